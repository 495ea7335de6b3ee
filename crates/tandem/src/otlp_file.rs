//! What is in an OTLP file: requests as protobuf, whatever the file's form.
//!
//! Known are JSON (one object, or one after the other as OpenTelemetry's file exporters write them) and protobuf (one message,
//! or several with their sizes before them in four bytes, as the Collector's file exporter writes them), packed with gzip or
//! not. Which signal it is is seen from the content.

use std::io::Read;

use bytes::Bytes;
use deliver::Signal;
use deliver::otlp::check;
use deliver::otlp::server::from_json;
use deliver::otlp::walk::{self, Malformed, SpanFields};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Requests, each with its signal.
pub type Requests = Vec<(Signal, Bytes)>;

/// Reads a file's content. What is wrong with it is said for a person.
pub fn requests(content: Vec<u8>) -> Result<Requests, String> {
    let content = unpacked(content)?;
    let first = content.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err("it is empty".to_owned()),
        Some(b'{') => json(&content),
        Some(_) => {
            let bytes = Bytes::from(content);
            let message = one(&bytes).map(|signal| vec![(signal, bytes.clone())]);
            message.or_else(|| framed(&bytes)).ok_or_else(|| {
                "it is neither OTLP as JSON (TracesData, LogsData) nor as protobuf; `tandem export --format otlp` writes such"
                    .to_owned()
            })
        }
    }
}

fn unpacked(content: Vec<u8>) -> Result<Vec<u8>, String> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok(content);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&content[..])
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("it cannot be unpacked: {error}"))?;
    Ok(unpacked)
}

/// The members of an object that say which signal it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    resource_spans: Option<IgnoredAny>,
    resource_logs: Option<IgnoredAny>,
    resource_metrics: Option<IgnoredAny>,
    /// Jaeger's and Zipkin's files have this or are arrays.
    data: Option<IgnoredAny>,
}

fn json(content: &[u8]) -> Result<Requests, String> {
    let mut objects = serde_json::Deserializer::from_slice(content).into_iter::<Members>();
    let mut requests = Requests::new();
    loop {
        let begin = objects.byte_offset();
        let Some(members) = objects.next() else { break };
        let members = members.map_err(|error| format!("it is no JSON: {error}"))?;
        let object = &content[begin..objects.byte_offset()];
        let signal = match members {
            Members { resource_spans: Some(_), .. } => Signal::Traces,
            Members { resource_logs: Some(_), .. } => Signal::Logs,
            Members { resource_metrics: Some(_), .. } => Signal::Metrics,
            Members { data: Some(_), .. } => return Err("it is Jaeger's JSON, not OTLP's".to_owned()),
            _ => return Err("an object in it has neither resourceSpans nor resourceLogs".to_owned()),
        };
        let number = requests.len() + 1;
        let request = from_json::request(signal, object).map_err(|error| format!("object {number} of it: {error}"))?;
        requests.push((signal, request));
    }
    Ok(requests)
}

/// The signal of a message that is one request.
fn one(message: &[u8]) -> Option<Signal> {
    [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().find(|signal| is_request(*signal, message))
}

/// Messages of all signals look alike down to the records, so those decide.
fn is_request(signal: Signal, message: &[u8]) -> bool {
    let are_spans = || {
        let mut spans = walk::resources(message)
            .flat_map(|group| group.into_iter().flat_map(|group| group.scopes()))
            .flat_map(|scope| scope.into_iter().flat_map(|scope| scope.records()));
        spans.all(|span| span.and_then(SpanFields::read).is_ok_and(|fields| !fields.trace_id.is_zero()))
    };
    let has_groups = walk::resources(message).next().is_some();
    has_groups && check::request(signal, message).is_ok() && (signal != Signal::Traces || are_spans())
}

/// Messages with their sizes before them.
fn framed(content: &Bytes) -> Option<Requests> {
    let mut requests = Requests::new();
    let mut at = 0;
    while at < content.len() {
        let size = u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?) as usize;
        let end = at.checked_add(4)?.checked_add(size).filter(|end| *end <= content.len())?;
        let message = content.slice(at + 4..end);
        requests.push((one(&message)?, message));
        at = end;
    }
    Some(requests)
}

/// How many records a request has.
pub fn records(request: &[u8]) -> Result<u32, Malformed> {
    let mut count = 0;
    for group in walk::resources(request) {
        for scope in group?.scopes() {
            count += scope?.records().count() as u32;
        }
    }
    Ok(count)
}
