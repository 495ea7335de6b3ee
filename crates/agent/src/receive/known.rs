//! What is kept of senders: their resources and the series of their spans, in tables that are emptied when they are full.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deliver::metrics::RedKey;
use deliver::otlp::walk::{self, AnyValue, Attribute, Malformed, RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES, SpanFields};
use foldhash::fast::RandomState;
use model::{Resource, StatusCode, Value};

use crate::graph::RoleIndex;
use crate::measure::{self, Besides, Measure, SeriesIndex};

/// Resources that are remembered, and the largest of them, bytes.
const RESOURCES: usize = 4096;
const RESOURCE_BYTES: usize = 8 * 1024;
/// Sets of dimensions that are remembered.
const SERIES: usize = 32 * 1024;
/// Longer names and values are cut where they are dimensions, bytes.
const LONGEST_TEXT: usize = 256;
/// Values in values that are read of a resource; deeper ones are left out.
const DEEPEST: usize = 16;

/// Who sends: one resource.
#[derive(Clone)]
pub struct Sender {
    pub resource: Arc<Resource>,
    service: Arc<str>,
    /// Stands for the service in the keys of series.
    number: u64,
}

/// Resources and series that have come up.
#[derive(Default)]
pub struct Known {
    senders: HashMap<Box<[u8]>, Sender, RandomState>,
    services: HashMap<Arc<str>, u64, RandomState>,
    numbers: u64,
    series: HashMap<Box<[u8]>, SeriesIndex, RandomState>,
    /// Of spans that have been measured already.
    roles: HashMap<Box<[u8]>, RoleIndex, RandomState>,
}

impl Known {
    /// Who has this resource, a message.
    pub fn sender(&mut self, message: &[u8]) -> Result<Sender, Malformed> {
        if let Some(sender) = self.senders.get(message) {
            return Ok(sender.clone());
        }
        let resource = resource(message)?;
        let name = resource.service();
        let service: Arc<str> = Arc::from(&name[..name.floor_char_boundary(LONGEST_TEXT)]);
        if self.senders.len() >= RESOURCES {
            // Numbers go on: who is being measured keeps his.
            *self = Self { numbers: self.numbers, ..Self::default() };
        }
        let number = match self.services.get(&service) {
            Some(&number) => number,
            None => {
                self.numbers += 1;
                self.services.insert(Arc::clone(&service), self.numbers);
                self.numbers
            }
        };
        let sender = Sender { resource: Arc::new(resource), service, number };
        if message.len() <= RESOURCE_BYTES {
            self.senders.insert(message.into(), sender.clone());
        }
        Ok(sender)
    }

    /// The series that spans with this key belong to, where there has been one.
    #[inline]
    pub fn found(&self, key: &[u8]) -> Option<SeriesIndex> {
        self.series.get(key).copied()
    }

    /// The series that a span belongs to, found by its key or made of the span itself.
    pub fn series(&mut self, key: &[u8], sender: &Sender, span: &[u8], measure: &mut Measure) -> SeriesIndex {
        if let Some(&index) = self.series.get(key) {
            return index;
        }
        let attributes = wanted_of(span, &measure.graph.wanted());
        let besides = Besides { attributes: &attributes, resource: Some(&sender.resource) };
        let index = measure.series(red_key(sender, span), &besides);
        if self.series.len() >= SERIES {
            self.series.clear();
        }
        self.series.insert(key.into(), index);
        index
    }

    /// What a span is in the service graph that somebody else has measured.
    pub fn role(&mut self, key: &[u8], sender: &Sender, span: &[u8], measure: &mut Measure) -> RoleIndex {
        if let Some(&role) = self.roles.get(key) {
            return role;
        }
        let attributes = wanted_of(span, &measure.graph.wanted());
        let besides = Besides { attributes: &attributes, resource: Some(&sender.resource) };
        let role = measure.role(&red_key(sender, span), &besides);
        if self.roles.len() >= SERIES {
            self.roles.clear();
        }
        self.roles.insert(key.into(), role);
        role
    }
}

/// The resource of a batch.
pub fn resource_of(batch: &[u8]) -> Option<Resource> {
    let group = walk::resources(batch).next()?.ok()?;
    resource(group.resource).ok()
}

fn resource(message: &[u8]) -> Result<Resource, Malformed> {
    let mut attributes = BTreeMap::new();
    for attribute in walk::attributes(message, RESOURCE_ATTRIBUTES) {
        let Attribute { key, value } = attribute?;
        if let Some(value) = self::value(AnyValue::read(value)?, 0)? {
            attributes.insert(walk::text(key).into_owned(), value);
        }
    }
    Ok(Resource { attributes })
}

/// Attributes that are dimensions, whatever the span is.
const ALWAYS: &[&[u8]] = &[
    b"http.request.method",
    b"http.route",
    b"http.response.status_code",
    b"rpc.system.name",
    b"rpc.method",
    b"rpc.response.status_code",
    b"db.system.name",
    b"db.operation.name",
    b"db.collection.name",
    b"messaging.system",
    b"messaging.operation.type",
    b"messaging.operation.name",
    b"messaging.destination.name",
    b"error.type",
];
/// Those of a span whose peer the program has chosen; of a server they are whatever its caller says.
const OF_CALLERS: &[&[u8]] = &[b"server.address", b"server.port", b"db.namespace"];
/// Those of a server.
const OF_SERVERS: &[&[u8]] = &[b"url.scheme"];

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

/// Whether an attribute may be a dimension.
fn may_be_dimension(key: &[u8]) -> bool {
    [ALWAYS, OF_CALLERS, OF_SERVERS].iter().any(|keys| keys.contains(&key))
}

/// Keys of attributes that tell series apart, found fast: nearly all of what is looked for is none of them.
pub struct Telling {
    /// By their length; the longest here, and all that are as long or longer.
    by_length: [Vec<Box<[u8]>>; LONGEST_KEY + 1],
}

const LONGEST_KEY: usize = 31;

impl Telling {
    /// What may be a dimension, and these, which the service graph wants.
    pub fn with(wanted: &[String]) -> Self {
        let mut by_length = std::array::from_fn(|_| Vec::new());
        let dimensions = [ALWAYS, OF_CALLERS, OF_SERVERS].concat();
        for key in dimensions.into_iter().chain(wanted.iter().map(String::as_bytes)) {
            let alike: &mut Vec<Box<[u8]>> = &mut by_length[key.len().min(LONGEST_KEY)];
            if !alike.iter().any(|known| **known == *key) {
                alike.push(key.into());
            }
        }
        Self { by_length }
    }

    #[inline]
    fn has(&self, key: &[u8]) -> bool {
        let alike = &self.by_length[key.len().min(LONGEST_KEY)];
        // Of those that are as long the last letters differ most.
        alike.iter().any(|known| known.last_chunk::<4>() == key.last_chunk() && **known == *key)
    }
}

/// Whether a dimension is one of spans of this kind.
fn is_of(key: &[u8], kind: i32) -> bool {
    match key {
        _ if OF_CALLERS.contains(&key) => (CLIENT..=CONSUMER).contains(&kind),
        _ if OF_SERVERS.contains(&key) => kind == SERVER,
        _ => true,
    }
}

/// Writes an attribute into a key, where it tells series apart. `key_value` is what it was read from.
#[inline]
pub fn note(key: &mut Vec<u8>, attribute: Attribute<'_>, key_value: &[u8], telling: &Telling) {
    if !telling.has(attribute.key) {
        return;
    }
    if key_value.len() <= LONGEST_TEXT {
        append(key, key_value);
    } else {
        // Not as it is, or texts that are alike as far as they are read would each have a series here.
        append(key, attribute.key);
        append(key, attribute.value);
    }
}

/// Ends a key with what the span and its sender are.
#[inline]
pub fn finish(key: &mut Vec<u8>, sender: &Sender, span: &SpanFields<'_>) {
    append(key, span.name);
    key.extend_from_slice(&sender.number.to_le_bytes());
    key.extend_from_slice(&[kind(span.kind), status(span.status)]);
}

/// What the service graph wants of a span.
fn wanted_of(span: &[u8], wanted: &[String]) -> Vec<(String, Value)> {
    let attributes = walk::attributes(span, SPAN_ATTRIBUTES).flatten();
    let wanted = attributes.filter(|attribute| wanted.iter().any(|wanted| wanted.as_bytes() == attribute.key));
    wanted
        .filter_map(|attribute| {
            let value = dimension(AnyValue::read(attribute.value).ok()?)?;
            Some((walk::text(attribute.key).into_owned(), value))
        })
        .collect()
}

/// Text and its length, cut where it is long: two that are alike so far are one series.
fn append(key: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(LONGEST_TEXT + 8)];
    key.extend_from_slice(&(text.len() as u16).to_le_bytes());
    key.extend_from_slice(text);
}

fn kind(kind: i32) -> u8 {
    if (1..=CONSUMER).contains(&kind) { kind as u8 } else { 1 }
}

fn status(status: StatusCode) -> u8 {
    match status {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    }
}

fn red_key(sender: &Sender, span: &[u8]) -> RedKey {
    // It has been read before.
    let fields = SpanFields::read(span).unwrap_or_default();
    let mut dimensions = BTreeMap::new();
    for attribute in walk::attributes(span, SPAN_ATTRIBUTES).flatten() {
        if may_be_dimension(attribute.key)
            && is_of(attribute.key, fields.kind)
            && let Ok(value) = AnyValue::read(attribute.value)
            && let Some(value) = dimension(value)
        {
            dimensions.insert(walk::text(attribute.key).into_owned(), value);
        }
    }
    let mut key = RedKey {
        service: Arc::clone(&sender.service),
        span_name: cut(fields.name),
        kind: kind(fields.kind),
        status: status(fields.status),
        dimensions: dimensions.into_iter().collect(),
        metric: "",
        overflow: false,
    };
    key.metric = measure::metric_of(&key);
    key
}

fn cut(text: &[u8]) -> String {
    let text = walk::text(text);
    text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned()
}

/// Lists are no dimensions.
fn dimension(value: AnyValue<'_>) -> Option<Value> {
    match value {
        AnyValue::String(text) => Some(Value::String(cut(text))),
        AnyValue::Int(number) => Some(Value::Int(number)),
        AnyValue::Double(number) => Some(Value::Float(number)),
        AnyValue::Bool(flag) => Some(Value::Bool(flag)),
        _ => None,
    }
}

/// A value as people see it; nothing where there is none, or it is nested too deeply.
pub fn value(value: AnyValue<'_>, depth: usize) -> Result<Option<Value>, Malformed> {
    if depth > DEEPEST {
        return Ok(None);
    }
    Ok(Some(match value {
        AnyValue::Empty => return Ok(None),
        AnyValue::String(text) => Value::String(walk::text(text).into_owned()),
        AnyValue::Bool(flag) => Value::Bool(flag),
        AnyValue::Int(number) => Value::Int(number),
        AnyValue::Double(number) => Value::Float(number),
        AnyValue::Bytes(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        AnyValue::Array(array) => {
            let mut values = Vec::new();
            for inner in walk::values(array) {
                values.extend(self::value(inner?, depth + 1)?);
            }
            Value::Array(values)
        }
        AnyValue::Map(list) => {
            let mut values = BTreeMap::new();
            for entry in walk::entries(list) {
                let Attribute { key, value } = entry?;
                if let Some(value) = self::value(AnyValue::read(value)?, depth + 1)? {
                    values.insert(walk::text(key).into_owned(), value);
                }
            }
            Value::Map(values)
        }
    }))
}
