//! Scenario: senders of OTLP by gRPC and HTTP, and a receiver that takes all, takes a part, is full, or ends. Guarantee: each is
//! told what became of its request in the form that its protocol has for that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use deliver::Signal;
use deliver::otlp::client::Client;
use deliver::otlp::config::{Endpoint, Protocol};
use deliver::otlp::server::{Accepted, Limits, Listening, Receiver, Refused, Server, Tls};
use deliver::retry::Answer;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// Answers all alike, and remembers what came.
struct Fixed {
    answer: Result<Accepted, Refused>,
    taken: Mutex<Vec<(Signal, Bytes)>>,
    counted: Mutex<Vec<&'static str>>,
}

impl Receiver for Fixed {
    fn receive(&self, signal: Signal, request: Bytes) -> Result<Accepted, Refused> {
        self.taken.lock().expect("whole").push((signal, request));
        self.answer.clone()
    }

    fn count(&self, cause: &'static str) {
        self.counted.lock().expect("whole").push(cause);
    }
}

fn serve(answer: Result<Accepted, Refused>, limits: Limits) -> (Server, Arc<Fixed>) {
    let receiver = Arc::new(Fixed { answer, taken: Mutex::default(), counted: Mutex::default() });
    let listening = Listening { addresses: vec!["127.0.0.1:0".to_owned()], limits, tls: None };
    let server = Server::start(&listening, Arc::clone(&receiver) as Arc<dyn Receiver>).expect("it listens");
    (server, receiver)
}

fn request(size: usize) -> ExportTraceServiceRequest {
    let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "x".repeat(size), ..Default::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..Default::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }
}

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends one request of HTTP/2.
async fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: Bytes) -> Response<(Bytes, HeaderMap)> {
    let client: HyperClient<_, Full<Bytes>> = HyperClient::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut request = Request::post(format!("http://{}{path}", server.addresses()[0]));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.request(request.body(body.into()).expect("a request")).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Response::from_parts(head, (body.to_bytes(), trailers))
}

fn framed(packed: u8, message: &[u8]) -> Bytes {
    [&[packed][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Code, message and details of a status of gRPC.
fn status(headers: &HeaderMap) -> (&str, String, Vec<u8>) {
    let text = |name| headers.get(name).map_or("", |value| value.to_str().expect("text"));
    let message = percent_encoding::percent_decode_str(text("grpc-message")).decode_utf8_lossy().into_owned();
    let details = STANDARD_NO_PAD.decode(text("grpc-status-details-bin")).expect("base64");
    (text("grpc-status"), message, details)
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn what_is_taken_is_said_to_be() {
    let (server, receiver) = serve(Ok(Accepted::default()), Limits::default());
    let sent = request(3).encode_to_vec();
    let answer = send(&server, EXPORT, &[GRPC], framed(0, &sent)).await;
    assert_eq!((answer.body().0.as_ref(), status(&answer.body().1).0), (&[0; 5][..], "0"));
    // HTTP/2 without gRPC, and the same requests by our own exporter, all ways.
    assert_eq!(send(&server, "/v1/traces", &[PROTOBUF], sent.clone().into()).await.status(), 200);
    for (protocol, path) in
        [(Protocol::Grpc, EXPORT), (Protocol::HttpProtobuf, "/v1/traces"), (Protocol::HttpJson, "/v1/traces")]
    {
        for gzip in [false, true] {
            let endpoint = Endpoint {
                only: None,
                uri: format!("http://{}{path}", server.addresses()[0]).parse().expect("an address"),
                protocol,
                headers: HeaderMap::new(),
                timeout: Duration::from_secs(60),
                gzip,
                certificate: None,
                client: None,
                proxy: None,
            };
            let client = Client::new(Signal::Traces, endpoint).expect("a client");
            let all = Answer::Accepted { rejected: 0, message: String::new() };
            assert_eq!(client.send(sent.clone().into()).await, all, "{protocol:?} {gzip}");
        }
    }
    for (signal, bytes) in receiver.taken.lock().expect("whole").iter() {
        assert_eq!(*signal, Signal::Traces);
        assert_eq!(ExportTraceServiceRequest::decode(bytes.clone()), Ok(request(3)));
    }
    assert_eq!((receiver.taken.lock().expect("whole").len(), receiver.counted.lock().expect("whole").len()), (8, 0));
}

#[tokio::test]
async fn what_is_left_out_is_told() {
    let (server, _) = serve(Ok(Accepted { rejected: 2, message: "too old".to_owned() }), Limits::default());
    let answer = send(&server, EXPORT, &[GRPC], framed(0, b"")).await;
    let partial = ExportTraceServiceResponse::decode(&answer.body().0[5..]).expect("an answer").partial_success;
    let partial = partial.expect("a partial success");
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (2, "too old"));
    let answer = send(&server, "/v1/logs", &[PROTOBUF], Bytes::new()).await;
    assert_eq!(
        ExportTraceServiceResponse::decode(answer.body().0.clone()).expect("an answer").partial_success,
        Some(partial)
    );
}

#[tokio::test]
async fn who_finds_no_room_is_told_when_to_come_again() {
    for (refused, grpc, http) in [(Refused::Full, "8", 429), (Refused::Stopped, "14", 503)] {
        let (server, _) = serve(Err(refused), Limits::default());
        let answer = send(&server, EXPORT, &[GRPC], framed(0, b"")).await;
        let (code, message, details) = status(answer.headers());
        assert_eq!((code, message.is_empty()), (grpc, false));
        assert!(has(&details, b"google.rpc.RetryInfo") && has(&details, &[0x0a, 2, 8, 1]), "{details:?}");
        let answer = send(&server, "/v1/traces", &[PROTOBUF], Bytes::new()).await;
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()), (http, &b"1"[..]));
        assert_eq!(answer.body().0.first(), Some(&0x08));
        let answer = send(&server, "/v1/traces", &[JSON], "{}".into()).await;
        assert_eq!(answer.status().as_u16(), http);
        assert!(has(&answer.body().0, b"\"message\":"), "{:?}", answer.body().0);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_in_grpc_words() {
    let limits = Limits { grpc_message: 1000, ..Limits::default() };
    let (server, receiver) = serve(Err(Refused::Malformed("100 % wrong\n".to_owned())), limits);
    let big = request(1000).encode_to_vec();
    let packed = |message: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(message).expect("memory takes it");
        framed(1, &encoder.finish().expect("memory takes it"))
    };
    const GZIP: (&str, &str) = ("grpc-encoding", "gzip");
    let unknown = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    for (code, said, path, headers, body) in [
        ("3", "100 % wrong\n", EXPORT, &[GRPC][..], framed(0, b"")),
        ("8", "longer than 1000 bytes", EXPORT, &[GRPC], framed(0, &big)),
        ("8", "longer than 1000 bytes", EXPORT, &[GRPC, GZIP], packed(&big)),
        ("13", "cut off", EXPORT, &[GRPC], framed(0, &[0; 900]).slice(..100)),
        ("13", "cut off", EXPORT, &[GRPC], Bytes::new()),
        ("13", "more than one", EXPORT, &[GRPC], [framed(0, b""), framed(0, b"")].concat().into()),
        ("13", "first byte", EXPORT, &[GRPC], framed(7, b"")),
        ("12", "zstd is not understood", EXPORT, &[GRPC, ("grpc-encoding", "zstd")], framed(1, b"")),
        ("3", "cannot be unpacked", EXPORT, &[GRPC, GZIP], framed(1, b"no gzip")),
        ("12", "/v1/traces", unknown, &[GRPC], framed(0, b"")),
        ("12", "/v1/traces", "/v1/traces", &[GRPC], framed(0, b"")),
    ] {
        let answer = send(&server, path, headers, body).await;
        let (found, message, details) = status(answer.headers());
        assert_eq!((answer.status().as_u16(), found), (200, code), "{message}");
        assert!(message.contains(said), "{message}");
        assert!(!has(&details, b"RetryInfo"), "it is no use to try again: {message}");
    }
    assert_eq!(receiver.taken.lock().expect("whole").len(), 1);
    assert_eq!(receiver.counted.lock().expect("whole").len(), 10);
}

/// Memory is bounded for all together: what would be beyond it is told to come again, and what waits in vain gives it back.
#[tokio::test]
async fn all_messages_together_are_bounded() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let (server, _) = serve(Ok(Accepted::default()), limits);
    let large = Bytes::from(request(2 << 20).encode_to_vec());
    let answer = send(&server, "/v1/traces", &[PROTOBUF], large).await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (429, true));
    let small = Bytes::from(request(1 << 19).encode_to_vec());
    for _ in 0..10 {
        assert_eq!(send(&server, "/v1/traces", &[PROTOBUF], small.clone()).await.status(), 200);
    }
}

#[test]
fn connections_are_bounded() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let (server, receiver) = serve(Ok(Accepted::default()), limits);
    let held = [(); 2].map(|()| TcpStream::connect(server.addresses()[0]).expect("it listens"));
    let mut third = TcpStream::connect(server.addresses()[0]).expect("it listens");
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0, "it is closed");
    assert_eq!(*receiver.counted.lock().expect("whole"), ["too_many_connections"]);
    drop(held);
}

/// A key and a certificate that signs itself, by the openssl command; `None`: there is no such command.
fn certificate(folder: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    match made {
        Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        Err(error) => {
            println!("skipped receive tls: cannot run openssl: {error}");
            return None;
        }
    }
    Some((certificate, key))
}

/// With TLS, and with certificates that senders must have: who has one is heard, nobody else is.
#[tokio::test]
async fn only_who_has_a_certificate_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((own, key)) = certificate(folder.path(), "server") else { return };
    let Some(sender) = certificate(folder.path(), "sender") else { return };
    let Some(stranger) = certificate(folder.path(), "stranger") else { return };
    let receiver =
        Arc::new(Fixed { answer: Ok(Accepted::default()), taken: Mutex::default(), counted: Mutex::default() });
    let tls = Tls { certificate: own.clone(), key, client_ca: Some(sender.0.clone()) };
    let addresses = vec!["127.0.0.1:0".to_owned()];
    let listening = Listening { addresses, limits: Limits::default(), tls: Some(tls) };
    let server = Server::start(&listening, Arc::clone(&receiver) as Arc<dyn Receiver>).expect("it listens");
    let port = server.addresses()[0].port();
    for (protocol, path) in [(Protocol::Grpc, EXPORT), (Protocol::HttpProtobuf, "/v1/traces")] {
        for (client, is_heard) in [(Some(sender.clone()), true), (Some(stranger.clone()), false), (None, false)] {
            let endpoint = Endpoint {
                only: None,
                uri: format!("https://localhost:{port}{path}").parse().expect("an address"),
                protocol,
                headers: HeaderMap::new(),
                timeout: Duration::from_secs(60),
                gzip: false,
                certificate: Some(own.clone()),
                client,
                proxy: None,
            };
            let sent = Client::new(Signal::Traces, endpoint).expect("a client").send(Bytes::new()).await;
            assert_eq!(matches!(sent, Answer::Accepted { .. }), is_heard, "{protocol:?}: {sent:?}");
        }
    }
    assert_eq!(receiver.taken.lock().expect("whole").len(), 2);
    assert!(receiver.counted.lock().expect("whole").iter().all(|cause| *cause == "no_tls"));
    let nothing = Tls { certificate: folder.path().join("none"), key: folder.path().join("none"), client_ca: None };
    let refused =
        Server::start(&Listening { tls: Some(nothing), ..listening }, receiver).map(|_| ()).expect_err("no files");
    assert!(refused.to_string().starts_with("cannot use "), "{refused}");
}
