//! From a request to its answer, in the protocol that it came by.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::body::{self, Held, Memory, Packing};
use super::{Accepted, INTERNAL, Limits, Receiver, Refusal, Refused, UNAVAILABLE, UNIMPLEMENTED, from_json};
use crate::Signal;
use crate::otlp::encode::{text, varint};

pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What is packed and longer, and all that is longer as JSON, is read on a thread beside the one that serves, bytes.
const LONG: usize = 64 * 1024;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Protobuf,
    Json,
}

impl Protocol {
    /// By the request's content type.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let given = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let plain = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match plain.as_str() {
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            "application/grpc" | "application/grpc+proto" => Some(Self::Grpc),
            _ => None,
        }
    }
}

/// What all connections share.
pub struct Service {
    pub receiver: Arc<dyn Receiver>,
    pub limits: Limits,
    pub memory: Arc<Memory>,
}

impl Service {
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        let Some(protocol) = Protocol::of(request.headers()) else {
            return self.strange(&request);
        };
        match self.take(protocol, request).await {
            Ok(accepted) => accepted_answer(protocol, &accepted),
            Err(refusal) => refused_answer(protocol, &refusal),
        }
    }

    /// Not OTLP: somebody who looks what is here, or a sender with another idea.
    fn strange(&self, request: &Request<Incoming>) -> Answer {
        let refusal = match (signal_at(request.uri().path()), request.method()) {
            (Some(_), &Method::POST) => {
                let message = "the content type must be application/x-protobuf, application/json or application/grpc";
                Refusal::new("unknown_content_type", 415, UNIMPLEMENTED, message)
            }
            (Some(_), _) => wrong_method(),
            (None, _) => unknown_path(),
        };
        self.receiver.count(refusal.cause);
        refused_answer(Protocol::Json, &refusal)
    }

    async fn take(&self, protocol: Protocol, request: Request<Incoming>) -> Result<Accepted, Refusal> {
        let (signal, message, held) = self.message(protocol, request).await.inspect_err(|refusal| {
            self.receiver.count(refusal.cause);
        })?;
        let taken = self.receiver.receive(signal, message);
        drop(held);
        taken.map_err(|refused| match refused {
            Refused::Malformed(problem) => Refusal::malformed(problem),
            Refused::Full => Refusal::busy("queue_full", "the queue is full"),
            Refused::Stopped => {
                let busy = Refusal::busy("stopped", "the agent ends");
                Refusal { http: 503, grpc: UNAVAILABLE, ..busy }
            }
        })
    }

    /// The request's message as protobuf.
    async fn message(&self, protocol: Protocol, request: Request<Incoming>) -> Result<(Signal, Bytes, Held), Refusal> {
        let (head, body) = request.into_parts();
        let signal = signal_at(head.uri.path()).filter(|(_, grpc)| *grpc == (protocol == Protocol::Grpc));
        let (signal, _) = signal.ok_or_else(unknown_path)?;
        if head.method != Method::POST {
            return Err(wrong_method());
        }
        let mut held = Held::none(&self.memory);
        let (limit, encoding, frame) = match protocol {
            Protocol::Grpc => (self.limits.grpc_message, head.headers.get("grpc-encoding"), 5),
            Protocol::Protobuf | Protocol::Json => (self.limits.http_body, head.headers.get(CONTENT_ENCODING), 0),
        };
        let packing = Packing::named(encoding.map(HeaderValue::as_bytes))?;
        let body = body::read(body, limit.saturating_add(frame), &mut held).await?;
        let (packed, packing) = match protocol {
            Protocol::Protobuf | Protocol::Json => (body, packing),
            Protocol::Grpc => match body::message_of(&body, limit)? {
                (true, message) => (message, packing),
                (false, message) => (message, Packing::None),
            },
        };
        let takes_long = packed.len() > LONG && (packing != Packing::None || protocol == Protocol::Json);
        let unpack = move || {
            let message = body::unpack(packed, packing, limit, &mut held)?;
            let message = match protocol {
                Protocol::Json => from_json::request(signal, &message).map_err(Refusal::malformed)?,
                Protocol::Grpc | Protocol::Protobuf => message,
            };
            Ok((signal, message, held))
        };
        if !takes_long {
            return unpack();
        }
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        unpacked.unwrap_or_else(|_| Err(Refusal::new("internal", 500, INTERNAL, "the message could not be read")))
    }
}

fn unknown_path() -> Refusal {
    Refusal::new("unknown_path", 404, UNIMPLEMENTED, "OTLP is taken at /v1/traces, /v1/metrics and /v1/logs")
}

fn wrong_method() -> Refusal {
    Refusal::new("wrong_method", 405, UNIMPLEMENTED, "OTLP is taken by POST")
}

/// The signal that is taken at a path, and whether by gRPC.
fn signal_at(path: &str) -> Option<(Signal, bool)> {
    Some(match path {
        "/v1/traces" => (Signal::Traces, false),
        "/v1/metrics" => (Signal::Metrics, false),
        "/v1/logs" => (Signal::Logs, false),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => (Signal::Traces, true),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => (Signal::Metrics, true),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => (Signal::Logs, true),
        _ => return None,
    })
}

/// The answers of all signals have the same form: field 1 is the partial success, in it the number and the message.
fn accepted_message(accepted: &Accepted) -> Vec<u8> {
    let mut message = Vec::new();
    if *accepted != Accepted::default() {
        let mut partial = Vec::new();
        if accepted.rejected > 0 {
            partial.push(0x08);
            varint(&mut partial, accepted.rejected);
        }
        text(&mut partial, 0x12, accepted.message.as_bytes());
        text(&mut message, 0x0a, &partial);
    }
    message
}

fn accepted_answer(protocol: Protocol, accepted: &Accepted) -> Answer {
    match protocol {
        Protocol::Grpc => {
            let message = accepted_message(accepted);
            let mut framed = BytesMut::with_capacity(5 + message.len());
            framed.put_u8(0);
            framed.put_u32(message.len() as u32); // an answer of ours is short
            framed.put_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(framed.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
            respond(StatusCode::OK, "application/grpc", body.boxed_unsync())
        }
        Protocol::Protobuf => {
            respond(StatusCode::OK, "application/x-protobuf", whole(accepted_message(accepted).into()))
        }
        Protocol::Json => {
            let message = match accepted {
                Accepted { rejected: 0, message } if message.is_empty() => serde_json::json!({}),
                Accepted { rejected, message } => {
                    // The name of the number differs by signal; a sender knows its own, and ignores the others.
                    let number = rejected.to_string();
                    serde_json::json!({"partialSuccess": {
                        "rejectedSpans": number, "rejectedDataPoints": number, "rejectedLogRecords": number,
                        "errorMessage": message,
                    }})
                }
            };
            respond(StatusCode::OK, "application/json", whole(message.to_string().into()))
        }
    }
}

fn refused_answer(protocol: Protocol, refusal: &Refusal) -> Answer {
    let Refusal { http, grpc, retry, message, .. } = refusal;
    let mut response = match protocol {
        Protocol::Grpc => {
            let mut response = respond(StatusCode::OK, "application/grpc", whole(Bytes::new()));
            let headers = response.headers_mut();
            headers.insert("grpc-status", HeaderValue::from(u16::from(*grpc)));
            // What may stand in a header as it is, but for the sign of encoding itself.
            const AS_IT_IS: &AsciiSet = &CONTROLS.add(b'%');
            let encoded = utf8_percent_encode(message, AS_IT_IS).to_string();
            headers.extend(HeaderValue::try_from(encoded).ok().map(|value| (GRPC_MESSAGE, value)));
            let details = STANDARD_NO_PAD.encode(status_message(refusal));
            headers.extend(HeaderValue::try_from(details).ok().map(|value| (GRPC_DETAILS, value)));
            return response;
        }
        Protocol::Protobuf => {
            let status = StatusCode::from_u16(*http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            respond(status, "application/x-protobuf", whole(status_message(refusal).into()))
        }
        Protocol::Json => {
            let status = StatusCode::from_u16(*http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = serde_json::json!({"code": grpc, "message": message}).to_string();
            respond(status, "application/json", whole(body.into()))
        }
    };
    if let Some(retry) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry.as_secs().max(1)));
    }
    if *http == 405 {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

const GRPC_MESSAGE: http::HeaderName = http::HeaderName::from_static("grpc-message");
const GRPC_DETAILS: http::HeaderName = http::HeaderName::from_static("grpc-status-details-bin");

/// A `google.rpc.Status`: code, message, and when to try again. Without the last a sender of gRPC gives up.
fn status_message(refusal: &Refusal) -> Vec<u8> {
    let mut status = vec![0x08, refusal.grpc];
    text(&mut status, 0x12, refusal.message.as_bytes());
    if let Some(retry) = refusal.retry {
        let mut delay = vec![0x08];
        varint(&mut delay, retry.as_secs());
        let mut info = Vec::new();
        text(&mut info, 0x0a, &delay);
        let mut any = Vec::new();
        text(&mut any, 0x0a, b"type.googleapis.com/google.rpc.RetryInfo");
        text(&mut any, 0x12, &info);
        text(&mut status, 0x1a, &any);
    }
    status
}

fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(body).boxed_unsync()
}

fn respond(status: StatusCode, content_type: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
