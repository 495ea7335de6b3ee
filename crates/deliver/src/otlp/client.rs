//! Sends encoded OTLP requests over HTTP or gRPC, and understands the answers.
//!
//! gRPC is HTTP/2 with five bytes before the message and the status in the trailers; the messages are bytes already, so
//! both ways share one client.

use std::future::{Future, ready};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client as HyperClient, Error as ConnectionError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::config::{Endpoint, Protocol};
use super::{answer, json};
use crate::Signal;
use crate::retry::Answer;

/// Answers are short; what is longer is no answer.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A certificate file.
    #[error("cannot use the certificate file {file}: {1}", file = .0.display())]
    Certificate(PathBuf, String),
    /// The TLS library.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread or the runtime.
    #[error("cannot start the exporter: {0}")]
    Start(#[from] io::Error),
}

/// Who knows the addresses of a name.
#[derive(Clone)]
enum Names {
    System(GaiResolver),
    /// Whatever the name, this is the address.
    Only(SocketAddr),
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::System(system) => system.poll_ready(context),
            Self::Only(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(system) => {
                let found = system.call(name);
                Box::pin(async { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
            }
            Self::Only(address) => Box::pin(ready(Ok(vec![*address].into_iter()))),
        }
    }
}

/// How a connection is made: straight, or through a tunnel that a proxy makes.
#[derive(Clone)]
enum Way {
    Straight(HttpConnector<Names>),
    Through(Tunnel<HttpConnector>),
}

impl Way {
    fn to(endpoint: &Endpoint) -> Self {
        let Some((proxy, shown)) = &endpoint.proxy else {
            let names = endpoint.only.map_or_else(|| Names::System(GaiResolver::new()), Names::Only);
            let mut connector = HttpConnector::new_with_resolver(names);
            connector.enforce_http(false); // TLS comes after it
            return Self::Straight(connector);
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let tunnel = Tunnel::new(proxy.clone(), connector);
        Self::Through(match shown {
            None => tunnel,
            Some(shown) => tunnel.with_auth(shown.clone()),
        })
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxError>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Straight(connector) => connector.poll_ready(context).map_err(Into::into),
            Self::Through(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Connecting {
        match self {
            Self::Straight(connector) => {
                let connecting = connector.call(to);
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
            Self::Through(tunnel) => {
                let connecting = tunnel.call(to);
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
        }
    }
}

/// A client for one endpoint.
pub struct Client {
    signal: Signal,
    endpoint: Endpoint,
    http: HyperClient<HttpsConnector<Way>, Full<Bytes>>,
    /// The other side has answered before, whatever it was.
    answered: AtomicBool,
    /// It does not take what is compressed.
    plain: AtomicBool,
}

impl Client {
    /// For one endpoint; connects when something is sent.
    pub fn new(signal: Signal, endpoint: Endpoint) -> Result<Self, ClientError> {
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls_config(&endpoint)?).https_or_http();
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(Duration::from_secs(60));
        let connector = match endpoint.protocol {
            Protocol::Grpc => {
                builder.http2_only(true);
                tls.enable_http2().wrap_connector(Way::to(&endpoint))
            }
            Protocol::HttpProtobuf | Protocol::HttpJson => tls.enable_all_versions().wrap_connector(Way::to(&endpoint)),
        };
        Ok(Self {
            http: builder.build(connector),
            signal,
            endpoint,
            answered: AtomicBool::new(false),
            plain: AtomicBool::new(false),
        })
    }

    /// Sends an encoded request once; where only its being compressed is not liked, once more.
    pub async fn send(&self, message: Bytes) -> Answer {
        let gzip = self.endpoint.gzip && !self.plain.load(Ordering::Relaxed);
        match tokio::time::timeout(self.endpoint.timeout, self.exchange(message.clone(), gzip)).await {
            Ok(Err(refused)) if refused.compression => {
                self.plain.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "{} does not take gzip: what follows is not compressed ({})",
                    self.authority(),
                    refused.problem
                );
                let again = tokio::time::timeout(self.endpoint.timeout, self.exchange(message, false)).await;
                again.map_or_else(|_| self.silent(), |answer| answer.unwrap_or_else(|refused| refused.answer()))
            }
            Ok(answer) => answer.unwrap_or_else(|refused| refused.answer()),
            Err(_) => self.silent(),
        }
    }

    fn silent(&self) -> Answer {
        let problem = format!("{} did not answer within {:?}", self.authority(), self.endpoint.timeout);
        Answer::Later { after: None, problem }
    }

    async fn exchange(&self, message: Bytes, gzip: bool) -> Result<Answer, Refusal> {
        let later = |problem: String| Answer::Later { after: None, problem };
        let request = match self.request(message, gzip) {
            Ok(request) => request,
            Err(error) => return Ok(Answer::Refused { cause: "bad_request", problem: error.to_string() }),
        };
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => return Ok(later(self.unreachable(&error))),
        };
        self.answered.store(true, Ordering::Relaxed);
        let (head, body) = response.into_parts();
        let (body, trailers) = match Limited::new(body, ANSWER_LIMIT).collect().await {
            Ok(body) => {
                let trailers = body.trailers().cloned().unwrap_or_default();
                (body.to_bytes(), trailers)
            }
            // Whether it was accepted is said by the status.
            Err(_) if self.endpoint.protocol != Protocol::Grpc && head.status.is_success() => Default::default(),
            Err(error) => return Ok(later(format!("{}: {error}", self.authority()))),
        };
        match self.endpoint.protocol {
            Protocol::HttpProtobuf => self.http_answer(head.status, &head.headers, &body, gzip, partial_success),
            Protocol::HttpJson => self.http_answer(head.status, &head.headers, &body, gzip, json::partial_success),
            Protocol::Grpc => self.grpc_answer(head.status, &head.headers, &trailers, &body, gzip),
        }
    }

    fn authority(&self) -> String {
        let uri = &self.endpoint.uri;
        let only = self.endpoint.only.map(|address| format!(" ({})", address.ip())).unwrap_or_default();
        format!(
            "{}://{}{only}",
            uri.scheme_str().unwrap_or("http"),
            uri.authority().map_or("", |authority| authority.as_str())
        )
    }

    /// The innermost cause is what a person understands: "Connection refused".
    fn unreachable(&self, error: &ConnectionError) -> String {
        let mut innermost: &(dyn std::error::Error + 'static) = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        // A server looks at our certificate when we take the handshake for done, and hangs up then.
        let hung_up = !error.is_connect() || is_alert(innermost);
        let is_tls = self.endpoint.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let hint = if hung_up && is_tls && !self.answered.load(Ordering::Relaxed) {
            "; it may want a certificate of ours (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE), or not accept the one that it got"
        } else {
            ""
        };
        let through =
            self.endpoint.proxy.as_ref().map(|(proxy, _)| format!(" through the proxy {proxy}")).unwrap_or_default();
        format!("cannot reach {}{through}: {innermost}{hint}", self.authority())
    }

    fn request(&self, message: Bytes, gzip: bool) -> io::Result<Request<Full<Bytes>>> {
        let Endpoint { uri, protocol, headers, .. } = &self.endpoint;
        let message = if *protocol == Protocol::HttpJson { json::request(self.signal, message)? } else { message };
        let message = if gzip { compress(&message)? } else { message };
        let (body, content_type, encoding_header) = match protocol {
            Protocol::HttpProtobuf => (message, "application/x-protobuf", CONTENT_ENCODING),
            Protocol::HttpJson => (message, "application/json", CONTENT_ENCODING),
            Protocol::Grpc => (frame(&message, gzip)?, "application/grpc", HeaderName::from_static("grpc-encoding")),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let all = request.headers_mut();
        all.extend(headers.clone());
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("tandem/", env!("CARGO_PKG_VERSION"))));
        all.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if *protocol == Protocol::Grpc {
            all.insert(TE, HeaderValue::from_static("trailers"));
        }
        if gzip {
            all.insert(encoding_header, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }

    fn http_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        gzip: bool,
        partial_success: impl FnOnce(&[u8]) -> Answer,
    ) -> Result<Answer, Refusal> {
        if status.is_success() {
            return Ok(partial_success(body));
        }
        let said = answer::said(headers, body);
        let problem = format!("{} answers {status}{said}", self.endpoint.uri);
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE && gzip {
            return Err(Refusal { compression: true, cause: "refused", problem });
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Answer::TooLarge { problem });
        }
        if answer::is_busy(status) {
            return Ok(Answer::Later { after: answer::retry_after(headers), problem });
        }
        if status.is_redirection() {
            // Headers with secrets do not go to whatever address somebody names.
            let to = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or("nowhere");
            let problem = format!(
                "{} answers {status}: what it says is at {to} is not sent there, set it as the endpoint",
                self.endpoint.uri
            );
            return Err(Refusal { compression: false, cause: "redirected", problem });
        }
        Err(Refusal { compression: false, cause: answer::cause_of_status(status), problem })
    }

    fn grpc_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        trailers: &HeaderMap,
        body: &[u8],
        gzip: bool,
    ) -> Result<Answer, Refusal> {
        let header = |name| trailers.get(name).or_else(|| headers.get(name));
        let field = |name| header(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let Some(code) = field("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
            let problem = format!("{} does not speak gRPC: it answers {status}", self.authority());
            if answer::is_busy(status) {
                return Ok(Answer::Later { after: answer::retry_after(headers), problem });
            }
            return Err(Refusal { compression: false, cause: answer::cause_of_status(status), problem });
        };
        if code == 0 {
            return Ok(partial_success(body.get(5..).unwrap_or_default()));
        }
        let message =
            percent_encoding::percent_decode_str(field("grpc-message").unwrap_or_default()).decode_utf8_lossy();
        let problem = format!("{} answers gRPC status {code} {message}", self.authority());
        let after = header("grpc-status-details-bin").and_then(|details| answer::retry_delay(details.as_bytes()));
        match code {
            // Servers' libraries have no status of its own for this.
            3 | 8 | 11 if answer::is_too_large(&message) => Ok(Answer::TooLarge { problem }),
            8 if after.is_none() => Err(Refusal { compression: false, cause: "exhausted", problem }),
            1 | 4 | 8 | 10 | 11 | 14 | 15 => Ok(Answer::Later { after, problem }),
            12 if gzip => Err(Refusal { compression: true, cause: "not_found", problem }),
            _ => Err(Refusal { compression: false, cause: answer::cause_of_code(code), problem }),
        }
    }
}

/// Why a request is not to be sent again as it is.
struct Refusal {
    /// Perhaps only because it was compressed.
    compression: bool,
    cause: &'static str,
    problem: String,
}

impl Refusal {
    fn answer(self) -> Answer {
        Answer::Refused { cause: self.cause, problem: self.problem }
    }
}

/// The other side has said in TLS what it does not like.
fn is_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(inner.or_else(|| error.downcast_ref::<rustls::Error>()), Some(rustls::Error::AlertReceived(_)))
}

/// What an answer says about a request that was taken in part. The answers of all signals have the same form.
fn partial_success(body: &[u8]) -> Answer {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    Answer::Accepted { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
}

/// A gRPC frame: whether the message is compressed, its length, the message.
fn frame(message: &[u8], compressed: bool) -> io::Result<Bytes> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::other("the message is too long for gRPC"))?;
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(u8::from(compressed));
    framed.put_u32(length);
    framed.put(message);
    Ok(framed.freeze())
}

fn compress(message: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
    encoder.write_all(message)?;
    encoder.finish().map(Bytes::from)
}

fn tls_config(endpoint: &Endpoint) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    match &endpoint.certificate {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate)?;
            }
        }
        // Certificates that cannot be used are left out; without any, a connection fails and says so.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    match &endpoint.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(unusable(file, &"there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(file, &error)),
    }
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> ClientError {
    ClientError::Certificate(file.to_owned(), why.to_string())
}
