//! OTLP files: the spans' own bytes, in groups by resource and scope again.
//!
//! As protobuf, requests stand one after the other, which is one `TracesData` with all of it. As JSON, each trace is one
//! `TracesData` in a line of its own, as OpenTelemetry's file exporters write.

use std::collections::BTreeMap;
use std::io::Write;

use deliver::Signal;
use deliver::otlp::json;
use model::TraceId;
use prost::Message;
use store::Reader;

/// Messages as bytes have the same form as messages: what is in a span is copied, known or not.
#[derive(Clone, PartialEq, Message)]
struct TracesData {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(bytes = "vec", tag = "1")]
    resource: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    spans: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
}

/// Writes traces as protobuf.
pub fn write(out: &mut dyn Write, reader: &Reader, traces: &[TraceId]) -> anyhow::Result<()> {
    for trace in traces {
        out.write_all(&message(reader, *trace)?)?;
    }
    Ok(())
}

/// Writes traces as lines of JSON.
pub fn write_json(out: &mut dyn Write, reader: &Reader, traces: &[TraceId]) -> anyhow::Result<()> {
    for trace in traces {
        out.write_all(&json::request(Signal::Traces, message(reader, *trace)?.into())?)?;
        writeln!(out)?;
    }
    Ok(())
}

fn message(reader: &Reader, trace: TraceId) -> anyhow::Result<Vec<u8>> {
    let mut groups: BTreeMap<Vec<u8>, BTreeMap<String, Vec<Vec<u8>>>> = BTreeMap::new();
    for stored in reader.otlp_spans(trace)? {
        groups.entry(stored.resource).or_default().entry(stored.scope).or_default().push(stored.span);
    }
    let scope_spans = |(name, spans)| ScopeSpans { scope: Some(Scope { name }), spans };
    let resource_spans = |(resource, scopes): (_, BTreeMap<_, _>)| ResourceSpans {
        resource,
        scope_spans: scopes.into_iter().map(scope_spans).collect(),
    };
    Ok(TracesData { resource_spans: groups.into_iter().map(resource_spans).collect() }.encode_to_vec())
}
