//! A receiver that does everything receivers do, and counts the numbers in spans' names.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What was offered so long before an agent was killed is on disk, on any machine.
const SAFE_AFTER: Duration = Duration::from_secs(2);

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Takes it.
    Well,
    /// Takes it after this time.
    Slow(Duration),
    /// Never answers, and takes nothing.
    Silent,
    /// An HTTP status, headers and words.
    Answer(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// A gRPC status.
    Status(i32),
    /// A gRPC status that asks for this time.
    Exhausted(Duration),
    /// Takes it, but for so many of its spans.
    Rejects(i64),
}

#[derive(Debug)]
struct Inner {
    behaviour: Mutex<Behaviour>,
    /// How often each number came.
    numbers: Mutex<BTreeMap<u64, u32>>,
    requests: Mutex<Vec<Instant>>,
    limit: Mutex<usize>,
    plain: Mutex<bool>,
}

/// One that has a port from its beginning, and listens when it is told to.
#[derive(Debug)]
pub struct Receiver {
    grpc: bool,
    address: SocketAddr,
    inner: Arc<Inner>,
    running: Mutex<Option<Runtime>>,
    /// Keeps the port; a connection to a socket that does not listen is refused.
    _held: TcpSocket,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true).and_then(|()| socket.set_reuseport(true))?;
    socket.bind(address)?;
    Ok(socket)
}

fn socket(address: SocketAddr) -> TcpSocket {
    bound(address).expect("a port")
}

impl Receiver {
    pub fn reserve(grpc: bool) -> Self {
        Self::holding(grpc, socket(([127, 0, 0, 1], 0).into()))
    }

    /// So many, each at another address of this machine, all at the same port.
    pub fn reserve_all(grpc: bool, count: u8) -> Vec<Self> {
        for _ in 0..100 {
            let first = Self::reserve(grpc);
            let port = first.address.port();
            let others: Result<Vec<_>, _> = (2..=count).map(|last| bound(([127, 0, 0, last], port).into())).collect();
            if let Ok(others) = others {
                return [first].into_iter().chain(others.into_iter().map(|held| Self::holding(grpc, held))).collect();
            }
        }
        panic!("no port is free everywhere");
    }

    fn holding(grpc: bool, held: TcpSocket) -> Self {
        let inner = Inner {
            behaviour: Mutex::new(Behaviour::Well),
            numbers: Mutex::default(),
            requests: Mutex::default(),
            limit: Mutex::new(4 << 20),
            plain: Mutex::default(),
        };
        let address = held.local_addr().expect("an address");
        Self { grpc, address, inner: Arc::new(inner), running: Mutex::default(), _held: held }
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *locked(&self.inner.behaviour) = behaviour;
    }

    /// Takes no larger requests.
    pub fn limit(&self, bytes: usize) {
        *locked(&self.inner.limit) = bytes;
    }

    pub fn refuse_compression(&self) {
        *locked(&self.inner.plain) = true;
    }

    /// When requests came.
    pub fn requests(&self) -> Vec<Instant> {
        locked(&self.inner.requests).clone()
    }

    /// All numbers that came.
    pub fn all(&self) -> BTreeSet<u64> {
        locked(&self.inner.numbers).keys().copied().collect()
    }

    /// The same; each came once.
    pub fn once(&self) -> BTreeSet<u64> {
        let twice: Vec<_> =
            locked(&self.inner.numbers).iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
        assert!(twice.is_empty(), "more than once: {twice:?}");
        self.all()
    }

    /// How many numbers came more than once.
    pub fn more_than_once(&self) -> usize {
        locked(&self.inner.numbers).values().filter(|count| **count > 1).count()
    }

    pub fn listens(&self) -> bool {
        locked(&self.running).is_some()
    }

    pub fn listen(&self) {
        let runtime = runtime();
        let listener = self.listener(&runtime);
        let inner = Arc::clone(&self.inner);
        if self.grpc {
            let limit = *locked(&inner.limit);
            let service = TraceServiceServer::new(Grpc(inner)).max_decoding_message_size(limit);
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        } else {
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&inner)));
                }
            });
        }
        *locked(&self.running) = Some(runtime);
    }

    pub fn listen_tls(&self, authority: &Authority, certificate: Certificate) {
        let runtime = runtime();
        let listener = self.listener(&runtime);
        let acceptor = authority.acceptor(certificate);
        let inner = Arc::clone(&self.inner);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inner) = (acceptor.clone(), Arc::clone(&inner));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, inner).await;
                    }
                });
            }
        });
        *locked(&self.running) = Some(runtime);
    }

    /// Hangs up, and listens no more.
    pub fn stop(&self) {
        if let Some(runtime) = locked(&self.running).take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    fn listener(&self, runtime: &Runtime) -> TcpListener {
        let _entered = runtime.enter();
        socket(self.address).listen(1024).expect("it listens")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl Inner {
    fn asked(&self) -> Behaviour {
        locked(&self.requests).push(Instant::now());
        locked(&self.behaviour).clone()
    }

    fn take(&self, request: &ExportTraceServiceRequest, rejected: i64) -> ExportTraceServiceResponse {
        let spans = request.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans);
        let mut numbers = locked(&self.numbers);
        for span in spans {
            *numbers.entry(span.name.parse().expect("a number")).or_default() += 1;
        }
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: "too old".to_owned() };
        ExportTraceServiceResponse { partial_success: (rejected > 0).then_some(partial) }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, inner: Arc<Inner>) {
    let service = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { Ok::<_, Infallible>(answer(request, &inner).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, inner: &Inner) -> Response<Full<Bytes>> {
    let behaviour = inner.asked();
    let gzip = request.headers().get("content-encoding").is_some();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let with = |status: u16, words: &'static str| {
        let mut response = Response::new(Full::from(words));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response
    };
    let rejected = match behaviour {
        Behaviour::Answer(status, headers, words) => {
            let mut response = with(status, words);
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().expect("a value"));
            }
            return response;
        }
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Slow(time) => {
            tokio::time::sleep(time).await;
            0
        }
        Behaviour::Rejects(spans) => spans,
        _ => 0,
    };
    if gzip && *locked(&inner.plain) {
        return with(415, "no gzip here");
    }
    if body.len() > *locked(&inner.limit) {
        return with(413, "too much");
    }
    let mut message = Vec::new();
    match gzip {
        true => drop(GzDecoder::new(&body[..]).read_to_end(&mut message).expect("gzip")),
        false => message.extend(&body),
    }
    let request = ExportTraceServiceRequest::decode(message.as_slice()).expect("readable");
    Response::new(Full::from(inner.take(&request, rejected).encode_to_vec()))
}

struct Grpc(Arc<Inner>);

/// `google.rpc.Status` with one detail.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(message, optional, tag = "3")]
    detail: Option<Detail>,
}

#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        match self.0.asked() {
            Behaviour::Status(code) => Err(tonic::Status::new(tonic::Code::from_i32(code), "who are you?")),
            Behaviour::Exhausted(time) => {
                let delay = Delay { seconds: time.as_secs() as i64, nanos: time.subsec_nanos() as i32 };
                let value = RetryInfo { delay: Some(delay) }.encode_to_vec();
                let kind = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
                let details = Details { code: 8, detail: Some(Detail { kind, value }) }.encode_to_vec();
                Err(tonic::Status::with_details(tonic::Code::ResourceExhausted, "slow down", details.into()))
            }
            _ => Ok(tonic::Response::new(self.0.take(request.get_ref(), 0))),
        }
    }
}

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Good,
    /// Of an authority that nobody knows.
    Foreign,
    OtherHost,
    Expired,
}

/// Makes certificates.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// `None`: there is no openssl.
    pub fn make() -> Option<Self> {
        Command::new("openssl").arg("version").output().ok()?;
        let authority = Self { folder: tempfile::tempdir().expect("a folder") };
        for name in ["known", "foreign"] {
            let subject = format!("/CN={name} authority");
            authority.openssl(&["req", "-x509", "-subj", &subject, "-days", "2"], name, &format!("{name}.pem"));
        }
        for (name, host) in [("good", "IP:127.0.0.1"), ("other", "DNS:elsewhere"), ("expired", "IP:127.0.0.1")] {
            authority.openssl(&["req", "-subj", "/CN=server"], name, &format!("{name}.request"));
            std::fs::write(authority.file(&format!("{name}.extensions")), format!("subjectAltName={host}\n"))
                .expect("written");
        }
        authority.sign("good", "known", "2");
        authority.sign("other", "known", "2");
        authority.sign("expired", "known", "-1");
        std::fs::copy(authority.file("good.request"), authority.file("unknown.request")).expect("copied");
        std::fs::copy(authority.file("good.extensions"), authority.file("unknown.extensions")).expect("copied");
        std::fs::copy(authority.file("good.key"), authority.file("unknown.key")).expect("copied");
        authority.sign("unknown", "foreign", "2");
        Some(authority)
    }

    /// The file to trust.
    pub fn certificate(&self) -> PathBuf {
        self.file("known.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &mut Command) {
        let output = command.current_dir(self.folder.path()).output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn openssl(&self, arguments: &[&str], key: &str, output: &str) {
        let key = format!("{key}.key");
        let new =
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", &key, "-out", output];
        self.run(Command::new("openssl").args(arguments).args(new));
    }

    fn sign(&self, name: &str, by: &str, days: &str) {
        let [request, extensions, certificate] =
            ["request", "extensions", "pem"].map(|extension| format!("{name}.{extension}"));
        let [authority, key] = ["pem", "key"].map(|extension| format!("{by}.{extension}"));
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-in", &request, "-CA", &authority, "-CAkey", &key, "-CAcreateserial"]);
        self.run(command.args(["-extfile", &extensions, "-days", days, "-out", &certificate]));
    }

    fn acceptor(&self, certificate: Certificate) -> TlsAcceptor {
        let name = match certificate {
            Certificate::Good => "good",
            Certificate::Foreign => "unknown",
            Certificate::OtherHost => "other",
            Certificate::Expired => "expired",
        };
        let chain = CertificateDer::from_pem_file(self.file(&format!("{name}.pem"))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = config.with_no_client_auth().with_single_cert(vec![chain], key).expect("a configuration");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A file system in memory that is soon full.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`: this user may not mount.
    pub fn mount(path: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output().ok()?;
        mounted.status.success().then(|| Self { path: path.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}

/// A proxy that makes tunnels, all of them to one receiver.
#[derive(Debug)]
pub struct Proxy {
    pub address: String,
    asked: Arc<Mutex<String>>,
    _runtime: Runtime,
}

impl Proxy {
    pub fn start(receiver: &Receiver) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = format!("http://user:secret@{}", listener.local_addr().expect("an address"));
        let (asked, to) = (Arc::<Mutex<String>>::default(), receiver.address);
        let heard = Arc::clone(&asked);
        runtime.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = Arc::clone(&heard);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    *locked(&heard) = String::from_utf8_lossy(&head).into_owned();
                    let mut there = tokio::net::TcpStream::connect(to).await?;
                    stream.write_all(b"HTTP/1.1 200 here you are\r\n\r\n").await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut there).await
                });
            }
        });
        Self { address, asked, _runtime: runtime }
    }

    /// What it was asked first on its last connection.
    pub fn asked(&self) -> String {
        locked(&self.asked).clone()
    }
}

/// This test program again, as an agent.
#[derive(Debug)]
pub struct Agent {
    first: u64,
    child: Child,
    lines: mpsc::Receiver<(Instant, String)>,
}

impl Agent {
    /// It offers numbers from `first` on.
    pub fn start(address: &str, root: &Path, first: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["agent_of_its_own", "--exact", "--nocapture"]);
        command.env("RETRY_ADDRESS", address).env("RETRY_ROOT", root).env("RETRY_FIRST", first.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send((Instant::now(), line)))
        });
        Self { first, child, lines }
    }

    /// Ends it: the number up to which everything must arrive, and the one after its last.
    pub fn end(&mut self, kill: bool) -> (u64, u64) {
        let now = Instant::now();
        if kill {
            self.child.kill().expect("it runs");
        } else {
            drop(self.child.stdin.take());
        }
        let status = self.child.wait().expect("it ends");
        assert!(kill || status.success(), "{status}");
        let (mut safe, mut last) = (self.first, self.first);
        for (when, line) in self.lines.iter() {
            let (offered, ended) = (line.strip_prefix("offered "), line.strip_prefix("ended "));
            let Some(number) = offered.or(ended).and_then(|number| number.parse().ok()) else { continue };
            last = number;
            if ended.is_some() || when + SAFE_AFTER < now {
                safe = number;
            }
        }
        // What a line tells of has been offered; so may have been the next twenty.
        (safe, if kill { last + 20 } else { last })
    }

    /// In the process: address, folder, and the first number.
    pub fn asked_for() -> Option<(String, PathBuf, u64)> {
        let variable = |name: &str| std::env::var(name).ok();
        Some((variable("RETRY_ADDRESS")?, variable("RETRY_ROOT")?.into(), variable("RETRY_FIRST")?.parse().ok()?))
    }

    /// In the process: whether it is to end.
    pub fn until_end() -> Arc<AtomicBool> {
        let ended = Arc::<AtomicBool>::default();
        let set = Arc::clone(&ended);
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            set.store(true, Ordering::Relaxed);
        });
        ended
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
