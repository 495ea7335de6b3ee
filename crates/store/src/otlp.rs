//! OTLP spans and log records: what the columns need on the way in, the whole span on the way out.
//!
//! Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and its neighbours. A test compares what is
//! read here with what `opentelemetry-proto` wrote, for any span.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    ANATOMY_PREFIX, Anatomy, Attributes, Event, Kind, Link, LogRecord, Resource, SOURCE_ATTRIBUTE, Source, Span,
    SpanId, Status, StatusCode, TraceId, UNFINISHED_ATTRIBUTE, Value,
};

use crate::wire::{Field, Fields, Malformed, text};

/// Values may hold values; deeper than this is nobody's telemetry.
const DEEPEST_VALUE: usize = 16;

/// The spans (or log records) of one resource and scope.
pub struct ScopeSpans<'a> {
    /// Bytes of the `Resource` message.
    pub resource: &'a [u8],
    /// Name of the instrumentation scope.
    pub scope: &'a [u8],
    /// Bytes of each `Span` (or `LogRecord`) message.
    pub spans: Vec<&'a [u8]>,
}

/// Takes an `ExportTraceServiceRequest` (or `TracesData`) apart. Requests of log records have the same form and numbers.
pub fn split_request(request: &[u8]) -> Result<Vec<ScopeSpans<'_>>, Malformed> {
    let mut parts = Vec::new();
    for field in Fields::of(request) {
        if let (1, Field::Bytes(resource_spans)) = field? {
            split_resource_spans(resource_spans, &mut parts)?;
        }
    }
    Ok(parts)
}

fn split_resource_spans<'a>(message: &'a [u8], parts: &mut Vec<ScopeSpans<'a>>) -> Result<(), Malformed> {
    let first = parts.len();
    let mut resource: &[u8] = &[];
    for field in Fields::of(message) {
        match field? {
            (1, Field::Bytes(bytes)) => resource = bytes,
            (2, Field::Bytes(scope_spans)) => {
                let mut part = ScopeSpans { resource: &[], scope: &[], spans: Vec::new() };
                for field in Fields::of(scope_spans) {
                    match field? {
                        (1, Field::Bytes(scope)) => part.scope = bytes_field(scope, 1)?,
                        (2, Field::Bytes(span)) => part.spans.push(span),
                        _ => {}
                    }
                }
                parts.push(part);
            }
            _ => {}
        }
    }
    for part in &mut parts[first..] {
        part.resource = resource;
    }
    Ok(())
}

/// The bytes of one field of a message; empty when it is not there.
fn bytes_field(message: &[u8], number: u64) -> Result<&[u8], Malformed> {
    let mut found: &[u8] = &[];
    for field in Fields::of(message) {
        if let (field_number, Field::Bytes(bytes)) = field?
            && field_number == number
        {
            found = bytes;
        }
    }
    Ok(found)
}

/// What the store's columns hold of a span.
#[derive(Debug)]
pub struct SpanFacts<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub name: &'a [u8],
    pub kind: i32,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    pub error: bool,
    /// `http.route`.
    pub route: &'a [u8],
}

/// How an attribute begins whose key is `http.route`.
const ROUTE: &[u8] = b"\x0a\x0ahttp.route";

/// Reads a span's facts. A span without valid ids is malformed: nothing could find it again.
pub fn span_facts(span: &[u8]) -> Result<SpanFacts<'_>, Malformed> {
    let mut facts = SpanFacts {
        trace_id: TraceId::default(),
        span_id: SpanId::default(),
        parent_span_id: None,
        name: &[],
        kind: 0,
        start_unix_nano: 0,
        end_unix_nano: 0,
        error: false,
        route: &[],
    };
    for field in Fields::of(span) {
        match field? {
            (1, Field::Bytes(id)) => facts.trace_id = TraceId(id.try_into().map_err(|_| Malformed)?),
            (2, Field::Bytes(id)) => facts.span_id = SpanId(id.try_into().map_err(|_| Malformed)?),
            (4, Field::Bytes(id)) => facts.parent_span_id = parent(id)?,
            (5, Field::Bytes(name)) => facts.name = name,
            (6, Field::Varint(kind)) => facts.kind = kind as i32,
            (7, Field::Fixed64(start)) => facts.start_unix_nano = start,
            (8, Field::Fixed64(end)) => facts.end_unix_nano = end,
            // Nearly all writers put the key first: then a look tells that it is another one.
            (9, Field::Bytes(attribute)) if attribute.starts_with(ROUTE) || attribute.first() != Some(&ROUTE[0]) => {
                if let Some((b"http.route", value)) = key_value(attribute)? {
                    facts.route = bytes_field(value, 1)?;
                }
            }
            (15, Field::Bytes(status)) => facts.error = status_of(status)?.code == StatusCode::Error,
            _ => {}
        }
    }
    if facts.trace_id.is_zero() || facts.span_id.is_zero() {
        return Err(Malformed);
    }
    Ok(facts)
}

/// What the store's columns hold of a log record.
#[derive(Debug, Default)]
pub struct LogFacts {
    pub time_unix_nano: u64,
    pub observed_unix_nano: u64,
    pub severity: u8,
    pub trace_id: Option<TraceId>,
}

/// Reads a log record's facts.
pub fn log_facts(log: &[u8]) -> Result<LogFacts, Malformed> {
    let mut facts = LogFacts::default();
    for field in Fields::of(log) {
        match field? {
            (1, Field::Fixed64(time)) => facts.time_unix_nano = time,
            (2, Field::Varint(number)) => facts.severity = u8::try_from(number).unwrap_or(0),
            (9, Field::Bytes(id)) if !id.is_empty() => {
                let id = TraceId(id.try_into().map_err(|_| Malformed)?);
                facts.trace_id = (!id.is_zero()).then_some(id);
            }
            (11, Field::Fixed64(time)) => facts.observed_unix_nano = time,
            _ => {}
        }
    }
    if facts.time_unix_nano == 0 {
        facts.time_unix_nano = facts.observed_unix_nano;
    }
    Ok(facts)
}

/// Reads a whole log record, as people see it. What cannot be read within it is left out.
pub fn log(bytes: &[u8], resource: Arc<Resource>, scope: String) -> Result<LogRecord, Malformed> {
    let facts = log_facts(bytes)?;
    let mut log = LogRecord {
        time_unix_nano: facts.time_unix_nano,
        observed_unix_nano: facts.observed_unix_nano,
        severity_number: facts.severity,
        severity_text: String::new(),
        event_name: String::new(),
        body: Value::String(String::new()),
        attributes: Attributes::new(),
        trace_id: facts.trace_id,
        span_id: None,
        trace_flags: 0,
        service: resource.service().to_owned(),
        scope,
        resource,
    };
    for field in Fields::of(bytes) {
        match field? {
            (3, Field::Bytes(name)) => log.severity_text = text(name).into_owned(),
            (12, Field::Bytes(name)) => log.event_name = text(name).into_owned(),
            (5, Field::Bytes(body)) => log.body = any_value(body, 0)?,
            (6, Field::Bytes(attribute)) => read_attribute(attribute, &mut log.attributes).unwrap_or_default(),
            (8, Field::Fixed32(flags)) => log.trace_flags = flags as u8, // the low byte; the others are reserved
            (10, Field::Bytes(id)) => log.span_id = parent(id)?,
            _ => {}
        }
    }
    Ok(log)
}

/// OTLP writes "no parent" as no bytes; some writers send zeros.
fn parent(id: &[u8]) -> Result<Option<SpanId>, Malformed> {
    if id.is_empty() {
        return Ok(None);
    }
    let id = SpanId(id.try_into().map_err(|_| Malformed)?);
    Ok((!id.is_zero()).then_some(id))
}

/// Key, and bytes of the value.
type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// Takes a `KeyValue` apart; nothing when it has no value.
fn key_value(message: &[u8]) -> Result<Option<KeyValue<'_>>, Malformed> {
    let mut key: &[u8] = &[];
    let mut value = None;
    for field in Fields::of(message) {
        match field? {
            (1, Field::Bytes(bytes)) => key = bytes,
            (2, Field::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    Ok(value.map(|value| (key, value)))
}

/// Whether a message whose attributes are field `number` (9 in a span, 1 in a resource) has the attribute, by the text of its value.
pub fn has_attribute(message: &[u8], number: u64, key: &str, value: &str) -> Result<bool, Malformed> {
    for field in Fields::of(message) {
        if let (field_number, Field::Bytes(attribute)) = field?
            && field_number == number
            && let Some((attribute_key, bytes)) = key_value(attribute)?
            && attribute_key == key.as_bytes()
            && any_value(bytes, 0)?.to_string() == value
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a whole span, as people see it. What cannot be read within it (its facts could, or it would not be stored) is left out.
pub fn span(bytes: &[u8], resource: Arc<Resource>, scope: String) -> Result<Span, Malformed> {
    let facts = span_facts(bytes)?;
    let duration_ns = facts.end_unix_nano.saturating_sub(facts.start_unix_nano);
    let mut span = Span {
        trace_id: facts.trace_id,
        span_id: facts.span_id,
        parent_span_id: facts.parent_span_id,
        name: text(facts.name).into_owned(),
        kind: Kind::from_otlp(facts.kind),
        service: resource.service().to_owned(),
        start_unix_nano: facts.start_unix_nano,
        duration_ns,
        status: Status::default(),
        attributes: Attributes::new(),
        events: Vec::new(),
        links: Vec::new(),
        anatomy: None,
        source: Source::Woven,
        unfinished: false,
        scope,
        resource,
    };
    for field in Fields::of(bytes) {
        match field? {
            (9, Field::Bytes(attribute)) => read_attribute(attribute, &mut span.attributes).unwrap_or_default(),
            (11, Field::Bytes(event)) => span.events.extend(read_event(event)),
            (13, Field::Bytes(link)) => span.links.extend(read_link(link)),
            (15, Field::Bytes(status)) => span.status = status_of(status)?,
            _ => {}
        }
    }
    take_own_attributes(&mut span);
    Ok(span)
}

/// Moves the attributes that have a field of their own in [`Span`] there.
fn take_own_attributes(span: &mut Span) {
    let mut parts_ns = BTreeMap::new();
    span.attributes.retain(|key, value| {
        match (key.as_str(), &*value) {
            (SOURCE_ATTRIBUTE, Value::String(name)) => match source_by_name(name) {
                Some(source) => span.source = source,
                None => return true,
            },
            (UNFINISHED_ATTRIBUTE, Value::Bool(unfinished)) => span.unfinished = *unfinished,
            (key, Value::Int(nanos)) => match (key.strip_prefix(ANATOMY_PREFIX), u64::try_from(*nanos)) {
                (Some(part), Ok(nanos)) => drop(parts_ns.insert(part.to_owned(), nanos)),
                _ => return true,
            },
            _ => return true,
        }
        false
    });
    if !parts_ns.is_empty() {
        span.anatomy = Some(Anatomy { wall_ns: span.duration_ns, parts_ns });
    }
}

fn source_by_name(name: &str) -> Option<Source> {
    Some(match name {
        "woven" => Source::Woven,
        "api" => Source::Api,
        "otlp" => Source::Otlp,
        "uprobe" => Source::Uprobe,
        "socket" => Source::Socket,
        _ => return None,
    })
}

/// Reads a resource.
pub fn resource(bytes: &[u8]) -> Result<Resource, Malformed> {
    Ok(Resource { attributes: attributes(bytes, 1)? })
}

fn attributes(message: &[u8], number: u64) -> Result<Attributes, Malformed> {
    let mut attributes = Attributes::new();
    for field in Fields::of(message) {
        if let (field_number, Field::Bytes(attribute)) = field?
            && field_number == number
        {
            read_attribute(attribute, &mut attributes)?;
        }
    }
    Ok(attributes)
}

fn read_attribute(message: &[u8], attributes: &mut Attributes) -> Result<(), Malformed> {
    if let Some((key, value)) = key_value(message)? {
        attributes.insert(text(key).into_owned(), any_value(value, 0)?);
    }
    Ok(())
}

fn any_value(message: &[u8], depth: usize) -> Result<Value, Malformed> {
    if depth > DEEPEST_VALUE {
        return Err(Malformed);
    }
    let mut value = Value::String(String::new());
    for field in Fields::of(message) {
        value = match field? {
            (1, Field::Bytes(string)) => Value::String(text(string).into_owned()),
            (2, Field::Varint(flag)) => Value::Bool(flag != 0),
            (3, Field::Varint(number)) => Value::Int(number as i64),
            (4, Field::Fixed64(bits)) => Value::Float(f64::from_bits(bits)),
            (5, Field::Bytes(array)) => array_value(array, depth)?,
            (6, Field::Bytes(list)) => map_value(list, depth)?,
            (7, Field::Bytes(bytes)) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            _ => continue,
        };
    }
    Ok(value)
}

fn array_value(message: &[u8], depth: usize) -> Result<Value, Malformed> {
    let mut values = Vec::new();
    for field in Fields::of(message) {
        if let (1, Field::Bytes(value)) = field? {
            values.push(any_value(value, depth + 1)?);
        }
    }
    Ok(Value::Array(values))
}

fn map_value(message: &[u8], depth: usize) -> Result<Value, Malformed> {
    let mut values = BTreeMap::new();
    for field in Fields::of(message) {
        if let (1, Field::Bytes(entry)) = field?
            && let Some((key, value)) = key_value(entry)?
        {
            values.insert(text(key).into_owned(), any_value(value, depth + 1)?);
        }
    }
    Ok(Value::Map(values))
}

fn read_event(message: &[u8]) -> Result<Event, Malformed> {
    let mut event = Event { name: String::new(), time_unix_nano: 0, attributes: attributes(message, 3)? };
    for field in Fields::of(message) {
        match field? {
            (1, Field::Fixed64(time)) => event.time_unix_nano = time,
            (2, Field::Bytes(name)) => event.name = text(name).into_owned(),
            _ => {}
        }
    }
    Ok(event)
}

fn read_link(message: &[u8]) -> Result<Link, Malformed> {
    let mut link = Link { trace_id: TraceId::default(), span_id: SpanId::default() };
    for field in Fields::of(message) {
        match field? {
            (1, Field::Bytes(id)) => link.trace_id = TraceId(id.try_into().map_err(|_| Malformed)?),
            (2, Field::Bytes(id)) => link.span_id = SpanId(id.try_into().map_err(|_| Malformed)?),
            _ => {}
        }
    }
    Ok(link)
}

fn status_of(message: &[u8]) -> Result<Status, Malformed> {
    let mut status = Status::default();
    for field in Fields::of(message) {
        match field? {
            (2, Field::Bytes(explanation)) => status.message = text(explanation).into_owned(),
            (3, Field::Varint(1)) => status.code = StatusCode::Ok,
            (3, Field::Varint(2)) => status.code = StatusCode::Error,
            _ => {}
        }
    }
    Ok(status)
}
