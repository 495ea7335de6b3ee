//! From a log record to OTLP bytes.
//!
//! Attributes have names of the program's own, in any number, so that what is given twice is found here: the last one
//! counts. JSON text (of libraries that write JSON anyway) is read here, not in the program; objects in it are groups.

use std::borrow::Cow;
use std::fmt;

use model::Value;
use prost::Message;
use record::layout::RECORD_FLAG_CUT;
use record::{LogItem, LogRecord};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::builder::any_value;
use super::encode::{ClockOffset, attribute, fixed64, text, valid_utf8, varint};

/// Values in values; deeper than this is nobody's log record.
const DEEPEST: usize = 32;

/// Tag of an attribute in a `LogRecord`.
const LOG_ATTRIBUTE: u8 = 0x32;

const FUNCTION: &[u8] = b"\x0a\x12code.function.name";
const FILE: &[u8] = b"\x0a\x0ecode.file.path";
const LINE: &[u8] = b"\x0a\x10code.line.number";

/// Writes log records. Kept, so that its working space is.
#[derive(Debug, Default)]
pub struct LogEncoder {
    body: Vec<u8>,
    json: Vec<u8>,
    omitted: Vec<Vec<u8>>,
    /// Where in `attributes` each is, and where in that its name is.
    index: Vec<Placed>,
    attributes: Vec<u8>,
    key: Vec<u8>,
    record: Vec<u8>,
}

#[derive(Debug)]
struct Placed {
    start: usize,
    end: usize,
    name: Vec<u8>,
}

/// What was wrong with a record, though not with all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFaults {
    /// An item could not be read; what came after it is lost.
    pub malformed_items: bool,
}

impl LogEncoder {
    /// Writes one record as field 2 of a `ScopeLogs`.
    pub fn encode(&mut self, out: &mut Vec<u8>, log: &LogRecord<'_>, clock: ClockOffset) -> LogFaults {
        let Self { body, json, omitted, index, attributes, record, .. } = self;
        for buffer in [&mut *body, json, attributes, record] {
            buffer.clear();
        }
        omitted.clear();
        index.clear();
        let (mut severity_text, mut event_name): (&[u8], &[u8]) = (&[], &[]);
        let mut items = log.items();
        for item in items.by_ref() {
            match item {
                LogItem::Attribute(name, value) => self.add(name, |out, key| attribute(out, LOG_ATTRIBUTE, key, value)),
                LogItem::Json([], piece) => self.json.extend_from_slice(piece),
                LogItem::Json(name, text) => self.add_json(name, text),
                LogItem::Omit(name) => self.omitted.push(name.to_vec()),
                LogItem::Body(piece) => self.body.extend_from_slice(piece),
                LogItem::SeverityText(name) => severity_text = name,
                LogItem::EventName(name) => event_name = name,
                LogItem::Function(name) => attribute(&mut self.record, LOG_ATTRIBUTE, FUNCTION, string(name)),
                LogItem::File(path) => attribute(&mut self.record, LOG_ATTRIBUTE, FILE, string(path)),
                LogItem::Line(line) => {
                    attribute(&mut self.record, LOG_ATTRIBUTE, LINE, record::Value::Int(line.into()));
                }
            }
        }
        self.add_members(log.has(RECORD_FLAG_CUT));
        let faults = LogFaults { malformed_items: items.malformed() };

        let record = &mut self.record; // which has the code's place already
        for placed in &self.index {
            record.extend_from_slice(&self.attributes[placed.start..placed.end]);
        }
        let observed = clock.unix(log.observed()).0;
        let time = if log.time_unix_nano() > 0 { log.time_unix_nano() } else { observed };
        fixed64(record, 0x09, time);
        fixed64(record, 0x59, observed);
        if log.severity() > 0 {
            record.extend_from_slice(&[0x10, log.severity()]);
        }
        if !severity_text.is_empty() {
            text(record, 0x1a, &valid_utf8(severity_text));
        }
        if !self.body.is_empty() {
            let body = valid_utf8(&self.body);
            let mut value = Vec::with_capacity(body.len() + 4);
            text(&mut value, 0x0a, &body);
            text(record, 0x2a, &value);
        }
        if log.has(RECORD_FLAG_CUT) {
            record.extend_from_slice(&[0x38, 1]); // at least one attribute was dropped; how many is not known
        }
        if let Some((trace_id, span_id)) = log.span() {
            record.push(0x45);
            record.extend_from_slice(&u32::from(log.trace_flags()).to_le_bytes());
            text(record, 0x4a, &trace_id);
            text(record, 0x52, &span_id);
        }
        if !event_name.is_empty() {
            text(record, 0x62, &valid_utf8(event_name));
        }
        text(out, 0x12, record);
        faults
    }

    /// Adds an attribute, in place of one of the same name. `write` gets the name as a field of a `KeyValue`.
    fn add(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>, &[u8])) {
        let name: Cow<'_, [u8]> = valid_utf8(name);
        self.key.clear();
        text(&mut self.key, 0x0a, &name);
        let start = self.attributes.len();
        write(&mut self.attributes, &self.key);
        let end = self.attributes.len();
        match self.index.iter_mut().find(|placed| *placed.name == *name) {
            Some(placed) => (placed.start, placed.end) = (start, end),
            None => self.index.push(Placed { start, end, name: name.into_owned() }),
        }
    }

    fn add_json(&mut self, name: &[u8], json: &[u8]) {
        let name = String::from_utf8_lossy(name);
        let mut values = Vec::new();
        match read(json, &name, &mut values) {
            Ok(()) => self.add_values(values),
            // Not JSON, whatever it said: the text is better than nothing.
            Err(_) => self.add(name.as_bytes(), |out, key| attribute(out, LOG_ATTRIBUTE, key, string(json))),
        }
    }

    /// The members of the object that was written as text, as far as it goes.
    fn add_members(&mut self, cut: bool) {
        if self.json.is_empty() {
            return;
        }
        let mut values = Vec::new();
        let ends_early = read(&self.json, "", &mut values).is_err(); // what came before counts
        if cut && ends_early && self.json.last().is_some_and(|byte| b"0123456789.eE+-".contains(byte)) {
            values.pop_if(|(_, value)| matches!(value, Value::Int(_) | Value::Float(_))); // perhaps half a number
        }
        values.retain(|(name, _)| !self.omitted.iter().any(|omitted| omitted == name.as_bytes()));
        self.add_values(values);
    }

    fn add_values(&mut self, values: Vec<(String, Value)>) {
        for (name, value) in values {
            let value = any_value(&value).encode_to_vec();
            self.add(name.as_bytes(), |out, key| {
                out.push(LOG_ATTRIBUTE);
                let mut size = Vec::new();
                varint(&mut size, value.len() as u64);
                varint(out, (key.len() + 1 + size.len() + value.len()) as u64);
                out.extend_from_slice(key);
                text(out, 0x12, &value);
            });
        }
    }
}

fn string(bytes: &[u8]) -> record::Value<'_> {
    record::Value::String(bytes)
}

/// Reads JSON text into attributes: a value under `name`, objects as groups. What was read before a mistake stays.
fn read(json: &[u8], name: &str, values: &mut Vec<(String, Value)>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Member { name, depth: 0, values }.deserialize(&mut reader)
}

/// One value, whose name is known.
struct Member<'a> {
    name: &'a str,
    depth: usize,
    values: &'a mut Vec<(String, Value)>,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Member<'_> {
    fn put(self, value: Value) {
        self.values.push((self.name.to_owned(), value));
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(Value::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(i64::try_from(value).map_or_else(|_| Value::String(value.to_string()), Value::Int));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(Value::Float(value));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(Value::String(value.to_owned()));
        Ok(())
    }

    /// `null`: nothing to say.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element::<Element>()? {
            elements.push(element.0);
        }
        self.put(Value::Array(elements));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        if self.depth >= DEEPEST {
            return Err(serde::de::Error::custom("too deep"));
        }
        while let Some(key) = object.next_key::<String>()? {
            let name = if self.name.is_empty() { key } else { format!("{}.{key}", self.name) };
            object.next_value_seed(Member { name: &name, depth: self.depth + 1, values: self.values })?;
        }
        Ok(())
    }
}

/// An element of an array: here objects stay objects. The JSON reader bounds how deep it goes.
struct Element(Value);

impl<'de> serde::Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|value| Self(plain(value)))
    }
}

fn plain(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::String(String::new()),
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Int(integer),
            (None, Some(float)) if !number.is_u64() => Value::Float(float),
            _ => Value::String(number.to_string()),
        },
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        serde_json::Value::Object(members) => {
            Value::Map(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
    }
}
