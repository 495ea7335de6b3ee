//! OTLP spans and log records: what the columns need on the way in, the whole span on the way out.
//!
//! Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and its neighbours. A test compares what is
//! read here with what `opentelemetry-proto` wrote, for any span.

use std::collections::BTreeMap;
use std::sync::Arc;

use deliver::otlp::walk::{
    self, AnyValue, Attribute, EVENT_ATTRIBUTES, Field, Fields, LINK_ATTRIBUTES, LOG_ATTRIBUTES, Malformed,
    RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES, SpanFields, bytes_field, text,
};
use model::{
    ANATOMY_PREFIX, Anatomy, Attributes, Event, Kind, Link, LogRecord, Resource, SOURCE_ATTRIBUTE, Source, Span,
    SpanId, Status, StatusCode, TraceId, UNFINISHED_ATTRIBUTE, Value,
};

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
    for group in walk::resources(request) {
        let group = group?;
        for scope in group.scopes() {
            let scope = scope?;
            let spans = scope.records().collect::<Result<_, _>>()?;
            parts.push(ScopeSpans { resource: group.resource, scope: scope.name()?, spans });
        }
    }
    Ok(parts)
}

/// What the store's columns hold of a span.
#[derive(Debug)]
pub struct SpanFacts<'a> {
    pub fields: SpanFields<'a>,
    /// `http.route`.
    pub route: &'a [u8],
}

impl SpanFacts<'_> {
    /// Whether it failed.
    pub fn error(&self) -> bool {
        self.fields.status == StatusCode::Error
    }
}

/// How an attribute begins whose key is `http.route`.
const ROUTE: &[u8] = b"\x0a\x0ahttp.route";

/// Reads a span's facts. A span without valid ids is malformed: nothing could find it again.
pub fn span_facts(span: &[u8]) -> Result<SpanFacts<'_>, Malformed> {
    let mut route: &[u8] = &[];
    let fields = SpanFields::read_with(span, |attribute| {
        // Nearly all writers put the key first: then a look tells that it is another one.
        if (attribute.starts_with(ROUTE) || attribute.first() != Some(&ROUTE[0]))
            && let Some(Attribute { key: b"http.route", value }) = Attribute::read(attribute)?
        {
            route = bytes_field(value, 1)?;
        }
        Ok(())
    })?;
    if fields.trace_id.is_zero() || fields.span_id.is_zero() {
        return Err(Malformed);
    }
    Ok(SpanFacts { fields, route })
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
            (5, Field::Bytes(body)) => log.body = read_value(body, 0)?,
            (LOG_ATTRIBUTES, Field::Bytes(attribute)) => {
                read_attribute(attribute, &mut log.attributes).unwrap_or_default();
            }
            (8, Field::Fixed32(flags)) => log.trace_flags = flags as u8, // the low byte; the others are reserved
            (10, Field::Bytes(id)) => log.span_id = walk::span_id(id)?,
            _ => {}
        }
    }
    Ok(log)
}

/// Reads a whole span, as people see it. What cannot be read within it (its facts could, or it would not be stored) is left out.
pub fn span(bytes: &[u8], resource: Arc<Resource>, scope: String) -> Result<Span, Malformed> {
    let facts = span_facts(bytes)?.fields;
    let duration_ns = facts.duration_ns();
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
        trace_state: text(facts.tracestate).into_owned(),
        flags: facts.flags,
        scope,
        resource,
    };
    for field in Fields::of(bytes) {
        match field? {
            (SPAN_ATTRIBUTES, Field::Bytes(attribute)) => {
                read_attribute(attribute, &mut span.attributes).unwrap_or_default();
            }
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
            (SOURCE_ATTRIBUTE, Value::String(name)) => match Source::from_name(name.as_bytes()) {
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

/// Reads a resource.
pub fn resource(bytes: &[u8]) -> Result<Resource, Malformed> {
    Ok(Resource { attributes: attributes(bytes, RESOURCE_ATTRIBUTES)? })
}

/// Reads an `AnyValue`.
pub fn value(message: &[u8]) -> Result<Value, Malformed> {
    read_value(message, 0)
}

fn attributes(message: &[u8], number: u64) -> Result<Attributes, Malformed> {
    walk::attributes(message, number).map(|attribute| named_value(attribute?, 0)).collect()
}

fn read_attribute(key_value: &[u8], attributes: &mut Attributes) -> Result<(), Malformed> {
    if let Some(attribute) = Attribute::read(key_value)? {
        attributes.extend([named_value(attribute, 0)?]);
    }
    Ok(())
}

fn named_value(attribute: Attribute<'_>, depth: usize) -> Result<(String, Value), Malformed> {
    Ok((text(attribute.key).into_owned(), read_value(attribute.value, depth)?))
}

fn read_value(message: &[u8], depth: usize) -> Result<Value, Malformed> {
    if depth > DEEPEST_VALUE {
        return Err(Malformed);
    }
    Ok(match AnyValue::read(message)? {
        AnyValue::Empty => Value::String(String::new()),
        AnyValue::String(string) => Value::String(text(string).into_owned()),
        AnyValue::Bool(flag) => Value::Bool(flag),
        AnyValue::Int(number) => Value::Int(number),
        AnyValue::Double(number) => Value::Float(number),
        AnyValue::Array(array) => {
            let values = walk::messages(array, 1).map(|value| read_value(value?, depth + 1));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        AnyValue::Map(list) => {
            let entries = walk::attributes(list, 1).map(|entry| named_value(entry?, depth + 1));
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
        AnyValue::Bytes(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    })
}

fn read_event(message: &[u8]) -> Result<Event, Malformed> {
    let mut event =
        Event { name: String::new(), time_unix_nano: 0, attributes: attributes(message, EVENT_ATTRIBUTES)? };
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
    let mut link = Link { attributes: attributes(message, LINK_ATTRIBUTES)?, ..Link::default() };
    for field in Fields::of(message) {
        match field? {
            (1, Field::Bytes(id)) => link.trace_id = TraceId(id.try_into().map_err(|_| Malformed)?),
            (2, Field::Bytes(id)) => link.span_id = SpanId(id.try_into().map_err(|_| Malformed)?),
            (3, Field::Bytes(state)) => link.trace_state = text(state).into_owned(),
            (6, Field::Fixed32(flags)) => link.flags = flags,
            _ => {}
        }
    }
    Ok(link)
}

fn status_of(message: &[u8]) -> Result<Status, Malformed> {
    let explanation = text(bytes_field(message, 2)?).into_owned();
    Ok(Status { code: walk::status_code(message)?.unwrap_or_default(), message: explanation })
}
