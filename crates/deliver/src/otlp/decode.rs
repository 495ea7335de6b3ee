//! OTLP bytes to [`model::Span`] and [`model::LogRecord`]: for the store, for JSON lines and for tests; never on the way from a ring to the
//! network.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    ANATOMY_PREFIX, Anatomy, Attributes, Event, Kind, Link, LogRecord, Resource, SOURCE_ATTRIBUTE, Source, Span,
    SpanId, Status, StatusCode, TraceId, UNFINISHED_ATTRIBUTE, Value,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1 as proto_logs;
use opentelemetry_proto::tonic::resource::v1 as proto_resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;

/// The spans of an encoded `ExportTraceServiceRequest`.
pub fn spans(bytes: &[u8]) -> Result<Vec<Span>, prost::DecodeError> {
    let request = ExportTraceServiceRequest::decode(bytes)?;
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let attributes = resource_spans.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
        let resource = Arc::new(Resource { attributes });
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.map(|scope| scope.name).unwrap_or_default();
            spans.extend(scope_spans.spans.into_iter().map(|span| self::span(span, &resource, &scope)));
        }
    }
    Ok(spans)
}

/// The log records of an encoded `ExportLogsServiceRequest`.
pub fn logs(bytes: &[u8]) -> Result<Vec<LogRecord>, prost::DecodeError> {
    let request = ExportLogsServiceRequest::decode(bytes)?;
    let mut logs = Vec::new();
    for resource_logs in request.resource_logs {
        let attributes = resource_logs.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
        let resource = Arc::new(Resource { attributes });
        for scope_logs in resource_logs.scope_logs {
            let scope = scope_logs.scope.map(|scope| scope.name).unwrap_or_default();
            logs.extend(scope_logs.log_records.into_iter().map(|log| self::log(log, &resource, &scope)));
        }
    }
    Ok(logs)
}

/// An encoded `Resource`.
pub fn resource(bytes: &[u8]) -> Result<Resource, prost::DecodeError> {
    Ok(Resource { attributes: attributes(proto_resource::Resource::decode(bytes)?.attributes) })
}

/// One log record.
pub fn log(log: proto_logs::LogRecord, resource: &Arc<Resource>, scope: &str) -> LogRecord {
    let (trace_id, span_id) = (TraceId(id(&log.trace_id)), SpanId(id(&log.span_id)));
    LogRecord {
        time_unix_nano: log.time_unix_nano,
        observed_unix_nano: log.observed_time_unix_nano,
        severity_number: u8::try_from(log.severity_number).unwrap_or(0),
        severity_text: log.severity_text,
        event_name: log.event_name,
        body: log.body.and_then(value).unwrap_or_else(|| Value::String(String::new())),
        attributes: attributes(log.attributes),
        trace_id: (!trace_id.is_zero()).then_some(trace_id),
        span_id: (!span_id.is_zero()).then_some(span_id),
        trace_flags: log.flags as u8, // the low byte; the others are reserved
        service: resource.service().to_owned(),
        scope: scope.to_owned(),
        resource: Arc::clone(resource),
    }
}

/// One span, with what Tandem keeps in attributes put in its place.
pub fn span(span: proto::Span, resource: &Arc<Resource>, scope: &str) -> Span {
    let duration_ns = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let mut attributes = attributes(span.attributes);
    let unfinished = attributes.remove(UNFINISHED_ATTRIBUTE) == Some(Value::Bool(true));
    let source = attributes.remove(SOURCE_ATTRIBUTE).map_or(Source::Woven, |value| source(&value));
    let anatomy = take_anatomy(&mut attributes, duration_ns);
    let status = span.status.unwrap_or_default();
    let parent = SpanId(id(&span.parent_span_id));
    Span {
        trace_id: TraceId(id(&span.trace_id)),
        span_id: SpanId(id(&span.span_id)),
        parent_span_id: (!parent.is_zero()).then_some(parent),
        name: span.name,
        kind: Kind::from_otlp(span.kind),
        service: resource.service().to_owned(),
        start_unix_nano: span.start_time_unix_nano,
        duration_ns,
        status: Status { code: status_code(status.code), message: status.message },
        attributes,
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().map(link).collect(),
        anatomy,
        source,
        unfinished,
        trace_state: span.trace_state,
        flags: span.flags,
        scope: scope.to_owned(),
        resource: Arc::clone(resource),
    }
}

/// Attributes by key; of a key that is given twice the last one counts.
pub fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    pairs.into_iter().filter_map(|pair| Some((pair.key, value(pair.value?)?))).collect()
}

fn value(value: AnyValue) -> Option<Value> {
    Some(match value.value? {
        any_value::Value::StringValue(text) => Value::String(text),
        any_value::Value::BoolValue(flag) => Value::Bool(flag),
        any_value::Value::IntValue(number) => Value::Int(number),
        any_value::Value::DoubleValue(number) => Value::Float(number),
        any_value::Value::ArrayValue(array) => Value::Array(array.values.into_iter().filter_map(self::value).collect()),
        any_value::Value::KvlistValue(list) => Value::Map(attributes(list.values)),
        any_value::Value::BytesValue(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => return None,
    })
}

fn source(value: &Value) -> Source {
    match value {
        Value::String(name) => Source::from_name(name.as_bytes()).unwrap_or_default(),
        _ => Source::default(),
    }
}

fn take_anatomy(attributes: &mut Attributes, wall_ns: u64) -> Option<Anatomy> {
    let keys: Vec<String> = attributes.keys().filter(|key| key.starts_with(ANATOMY_PREFIX)).cloned().collect();
    let mut parts_ns = BTreeMap::new();
    for key in keys {
        if let Some(Value::Int(nanoseconds)) = attributes.remove(&key)
            && let Ok(nanoseconds) = u64::try_from(nanoseconds)
        {
            parts_ns.insert(key[ANATOMY_PREFIX.len()..].to_owned(), nanoseconds);
        }
    }
    (!parts_ns.is_empty()).then_some(Anatomy { wall_ns, parts_ns })
}

fn event(event: proto::span::Event) -> Event {
    Event { name: event.name, time_unix_nano: event.time_unix_nano, attributes: attributes(event.attributes) }
}

fn link(link: proto::span::Link) -> Link {
    Link {
        trace_id: TraceId(id(&link.trace_id)),
        span_id: SpanId(id(&link.span_id)),
        trace_state: link.trace_state,
        flags: link.flags,
        attributes: attributes(link.attributes),
    }
}

fn status_code(code: i32) -> StatusCode {
    match code {
        1 => StatusCode::Ok,
        2 => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

/// An id of exactly the right length; anything else is the id of all zeros.
fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}
