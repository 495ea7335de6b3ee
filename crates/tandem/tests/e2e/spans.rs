//! What tests ask of spans.

use std::collections::{BTreeMap, HashMap};

use model::{Kind, Span, SpanId, StatusCode, TraceId, Value};

/// An attribute as text, empty when there is none.
pub fn attribute(span: &Span, key: &str) -> String {
    span.attributes.get(key).map(Value::to_string).unwrap_or_default()
}

/// The service without what says that nobody gave it a name.
pub fn service(span: &Span) -> &str {
    span.service.strip_prefix("unknown_service:").unwrap_or(&span.service)
}

/// A span's own short name in messages and expectations: `gateway server POST /checkout`.
pub fn title(span: &Span) -> String {
    format!("{} {} {}", service(span), kind(span.kind), span.name)
}

pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }
}

pub fn is_error(span: &Span) -> bool {
    span.status.code == StatusCode::Error
}

pub fn by_id(spans: &[Span]) -> HashMap<(TraceId, SpanId), &Span> {
    let map: HashMap<_, _> = spans.iter().map(|span| ((span.trace_id, span.span_id), span)).collect();
    assert_eq!(map.len(), spans.len(), "a span came twice");
    map
}

/// Traces by id, their spans by start.
pub fn traces(spans: &[Span]) -> BTreeMap<TraceId, Vec<&Span>> {
    let mut traces: BTreeMap<TraceId, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace_id).or_default().push(span);
    }
    traces.values_mut().for_each(|spans| spans.sort_by_key(|span| (span.start_unix_nano, span.span_id)));
    traces
}

/// How often each pair of child and parent occurs; a root's parent is `-`. Every parent must be there.
pub fn parents(spans: &[Span]) -> BTreeMap<(String, String), usize> {
    let known = by_id(spans);
    let mut pairs = BTreeMap::new();
    for span in spans {
        let parent = match span.parent_span_id {
            None => "-".to_owned(),
            Some(id) => match known.get(&(span.trace_id, id)) {
                Some(parent) => title(parent),
                None => panic!("the parent {id} of {} is missing", title(span)),
            },
        };
        *pairs.entry((title(span), parent)).or_default() += 1;
    }
    pairs
}
