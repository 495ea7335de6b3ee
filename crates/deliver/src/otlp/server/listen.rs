//! Listens, with or without TLS, and hands requests to the service. One thread does all of this.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::answer::Service;
use super::body::Memory;
use super::{Listening, Receiver, ServeError, Tls};

/// A connection says something within this time, and has sent a request's headers within as long.
const FIRST_WORDS: Duration = Duration::from_secs(30);
/// An HTTP/2 connection is asked so often whether it is still there, and answers within the time after.
const ASK_EVERY: Duration = Duration::from_secs(60);
const ALIVE: Duration = Duration::from_secs(20);
/// Headers of a request, bytes and number.
const HEADER_BYTES: usize = 16 * 1024;
const HEADER_COUNT: usize = 64;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 100;
/// What a sender may send before it is read, a stream and a connection: less makes it wait for every large message.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// At the end, requests that have begun get so long.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// A running server. Dropped, it answers what has begun, and closes.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stop: Option<watch::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves at all the addresses.
    pub fn start(listening: &Listening, receiver: Arc<dyn Receiver>) -> Result<Self, ServeError> {
        let tls = listening.tls.as_ref().map(acceptor).transpose()?;
        let mut listeners = Vec::new();
        for address in &listening.addresses {
            let listen = || {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok((listener.local_addr()?, listener))
            };
            listeners.push(listen().map_err(|source| ServeError::Listen { address: address.clone(), source })?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let (stop, stopped) = watch::channel(());
        let (addresses, listeners): (Vec<_>, Vec<_>) = listeners.into_iter().unzip();
        let limits = listening.limits;
        let service = Arc::new(Service { receiver, limits, memory: Memory::new(limits.memory) });
        let thread = thread::Builder::new()
            .name("tandem-receive".to_owned())
            .spawn(move || runtime.block_on(serve(listeners, tls, service, stopped)))
            .map_err(ServeError::Start)?;
        Ok(Self { addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is, with the ports that were chosen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
    mut stopped: watch::Receiver<()>,
) {
    let graceful = Arc::new(GracefulShutdown::new());
    let room = Arc::new(Semaphore::new(service.limits.connections));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let all = Connections {
            tls: tls.clone(),
            service: Arc::clone(&service),
            room: Arc::clone(&room),
            graceful: Arc::clone(&graceful),
        };
        accepting.spawn(all.accept(listener));
    }
    let _ = stopped.changed().await; // fails when the sender is gone, which is what is waited for
    accepting.shutdown().await;
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
    }
}

struct Connections {
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
    room: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
}

impl Connections {
    async fn accept(self, listener: TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::warn!("OTLP: {error}"),
        };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, usually: not at once again.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
                self.service.receiver.count("too_many_connections");
                continue;
            };
            let _ = stream.set_nodelay(true); // answers are short
            let watcher = self.graceful.watcher();
            tokio::spawn(begin(stream, self.tls.clone(), Arc::clone(&self.service), watcher, permit));
        }
    }
}

async fn begin(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
    watcher: Watcher,
    permit: OwnedSemaphorePermit,
) {
    let ready = tokio::time::timeout(FIRST_WORDS, stream.readable()).await;
    if !matches!(ready, Ok(Ok(()))) {
        return;
    }
    match tls {
        None => converse(stream, service, watcher).await,
        Some(tls) => match tokio::time::timeout(FIRST_WORDS, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, service, watcher).await,
            _ => service.receiver.count("no_tls"),
        },
    }
    drop(permit);
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, service: Arc<Service>, watcher: Watcher) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_WORDS)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES.max(64 * 1024)); // it is also what is read at once
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(ASK_EVERY)
        .keep_alive_timeout(ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let service = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let _ = watcher.watch(connection).await; // how it ends is the sender's affair
}

fn acceptor(files: &Tls) -> Result<TlsAcceptor, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(file, &error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
    let mut config = builder.with_single_cert(certificates(&files.certificate)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(unusable(file, &"there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(file, &error)),
    }
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> ServeError {
    ServeError::Certificate { file: file.to_owned(), problem: why.to_string() }
}
