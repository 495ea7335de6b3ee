//! Sends encoded OTLP requests over HTTP or gRPC, and understands the answers.
//!
//! gRPC is HTTP/2 with five bytes before the message and the status in the trailers; the messages are bytes already, so
//! both ways share one client.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HyperClient, Error as ConnectionError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::{Endpoint, Protocol};
use super::json;
use crate::Signal;

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

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Another attempt may succeed.
    pub retry: bool,
    /// Not before this time has passed.
    pub after: Option<Duration>,
    /// What happened, for a person.
    pub problem: String,
}

/// What the receiver did not take of a request that it accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans, data points or log records that it rejected.
    pub rejected: u64,
    /// Why.
    pub message: String,
}

/// A client for one endpoint.
pub struct Client {
    signal: Signal,
    endpoint: Endpoint,
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The other side has answered before, whatever it was.
    answered: AtomicBool,
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
                tls.enable_http2().build()
            }
            Protocol::HttpProtobuf | Protocol::HttpJson => tls.enable_all_versions().build(),
        };
        Ok(Self { http: builder.build(connector), signal, endpoint, answered: AtomicBool::new(false) })
    }

    /// Sends an encoded request once.
    pub async fn send(&self, message: Bytes) -> Result<Accepted, Refusal> {
        let retry = |problem: String| Refusal { retry: true, after: None, problem };
        let request =
            self.request(message).map_err(|error| Refusal { retry: false, after: None, problem: error.to_string() })?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| retry(self.unreachable(&error)))?;
            self.answered.store(true, Ordering::Relaxed);
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| retry(format!("{}: {error}", self.authority())))?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            match self.endpoint.protocol {
                Protocol::HttpProtobuf => {
                    self.http_answer(head.status, &head.headers, &body.to_bytes(), partial_success)
                }
                Protocol::HttpJson => {
                    self.http_answer(head.status, &head.headers, &body.to_bytes(), json::partial_success)
                }
                Protocol::Grpc => self.grpc_answer(head.status, &head.headers, &trailers, &body.to_bytes()),
            }
        };
        match tokio::time::timeout(self.endpoint.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(retry(format!("{} did not answer within {:?}", self.authority(), self.endpoint.timeout))),
        }
    }

    fn authority(&self) -> String {
        let uri = &self.endpoint.uri;
        format!(
            "{}://{}",
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
        format!("cannot reach {}: {innermost}{hint}", self.authority())
    }

    fn request(&self, message: Bytes) -> io::Result<Request<Full<Bytes>>> {
        let Endpoint { uri, protocol, headers, gzip, .. } = &self.endpoint;
        let message = if *protocol == Protocol::HttpJson { json::request(self.signal, message)? } else { message };
        let message = if *gzip { compress(&message)? } else { message };
        let (body, content_type, encoding_header) = match protocol {
            Protocol::HttpProtobuf => (message, "application/x-protobuf", CONTENT_ENCODING),
            Protocol::HttpJson => (message, "application/json", CONTENT_ENCODING),
            Protocol::Grpc => (frame(&message, *gzip)?, "application/grpc", HeaderName::from_static("grpc-encoding")),
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
        if *gzip {
            all.insert(encoding_header, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }

    fn http_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        partial_success: impl FnOnce(&[u8]) -> Accepted,
    ) -> Result<Accepted, Refusal> {
        if status.is_success() {
            return Ok(partial_success(body));
        }
        let after =
            headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let retry = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        Err(Refusal { retry, after, problem: format!("{} answers {status}", self.endpoint.uri) })
    }

    fn grpc_answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        trailers: &HeaderMap,
        body: &[u8],
    ) -> Result<Accepted, Refusal> {
        let field =
            |name| trailers.get(name).or_else(|| headers.get(name)).and_then(|value: &HeaderValue| value.to_str().ok());
        let Some(code) = field("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
            let retry = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            let problem = format!("{} does not speak gRPC: it answers {status}", self.authority());
            return Err(Refusal { retry, after: None, problem });
        };
        if code == 0 {
            return Ok(partial_success(body.get(5..).unwrap_or_default()));
        }
        let message =
            percent_encoding::percent_decode_str(field("grpc-message").unwrap_or_default()).decode_utf8_lossy();
        let retry = matches!(code, 1 | 4 | 8 | 10 | 11 | 14 | 15);
        Err(Refusal {
            retry,
            after: None,
            problem: format!("{} answers gRPC status {code} {message}", self.authority()),
        })
    }
}

/// The other side has said in TLS what it does not like.
fn is_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(inner.or_else(|| error.downcast_ref::<rustls::Error>()), Some(rustls::Error::AlertReceived(_)))
}

/// What an answer says about a request that was taken in part. The answers of all signals have the same form.
fn partial_success(body: &[u8]) -> Accepted {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    Accepted { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
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
