//! OTLP files: the own bytes of spans and log records, in groups by resource and scope again.
//!
//! As protobuf, requests stand one after the other, which is one `TracesData` (or `LogsData`) with all of it. As JSON, each
//! trace is one `TracesData` in a line of its own, as OpenTelemetry's file exporters write; log records are some a line.

use std::collections::BTreeMap;
use std::io::Write;

use deliver::Signal;
use deliver::otlp::json;
use model::TraceId;
use prost::Message;
use store::{OtlpRecord, Reader};

/// `TracesData` or `LogsData`, which look alike down to the records. Messages as bytes have the same form as messages: what is
/// in a record is copied, known or not.
#[derive(Clone, PartialEq, Message)]
struct Data {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceRecords>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceRecords {
    #[prost(bytes = "vec", tag = "1")]
    resource: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeRecords>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeRecords {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    records: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
}

/// Log records in a line of JSON.
const LINE_LOGS: usize = 1000;

/// Writes traces as protobuf.
pub fn write(out: &mut dyn Write, reader: &Reader, traces: &[TraceId]) -> anyhow::Result<()> {
    for trace in traces {
        out.write_all(&message(reader.otlp_spans(*trace)?))?;
    }
    Ok(())
}

/// Writes traces as lines of JSON.
pub fn write_json(out: &mut dyn Write, reader: &Reader, traces: &[TraceId]) -> anyhow::Result<()> {
    for trace in traces {
        out.write_all(&json::request(Signal::Traces, message(reader.otlp_spans(*trace)?).into())?)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Writes log records as protobuf.
pub fn write_logs(out: &mut dyn Write, logs: Vec<OtlpRecord>) -> anyhow::Result<()> {
    Ok(out.write_all(&message(logs))?)
}

/// Writes log records as lines of JSON.
pub fn write_logs_json(out: &mut dyn Write, logs: &[OtlpRecord]) -> anyhow::Result<()> {
    for some in logs.chunks(LINE_LOGS) {
        out.write_all(&json::request(Signal::Logs, message(some.to_vec()).into())?)?;
        writeln!(out)?;
    }
    Ok(())
}

fn message(stored: Vec<OtlpRecord>) -> Vec<u8> {
    let mut groups: BTreeMap<Vec<u8>, BTreeMap<String, Vec<Vec<u8>>>> = BTreeMap::new();
    for OtlpRecord { record, resource, scope } in stored {
        groups.entry(resource).or_default().entry(scope).or_default().push(record);
    }
    let of_scope = |(name, records)| ScopeRecords { scope: Some(Scope { name }), records };
    let of_resource = |(resource, scopes): (_, BTreeMap<_, _>)| ResourceRecords {
        resource,
        scopes: scopes.into_iter().map(of_scope).collect(),
    };
    Data { resources: groups.into_iter().map(of_resource).collect() }.encode_to_vec()
}
