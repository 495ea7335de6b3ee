//! OTLP's JSON to protobuf, while it is read: no tree is built, so a message takes no more memory than it has bytes.
//!
//! Ids are hexadecimal, 64-bit numbers text or not, enumerations numbers; what is unknown or `null` is left out, as the
//! specification has it. Whether values make sense is not looked at here.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Signal;
use crate::otlp::encode::{text, varint};
use crate::otlp::schema::{self, Field, Kind, Message};

/// The request that a JSON text says. The problem of one that is none, for its sender, with line and column.
pub fn request(signal: Signal, json: &[u8]) -> Result<Bytes, String> {
    let message = schema::request(signal).ok_or("this signal is not taken")?;
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Fields { message, out: &mut out }.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(out.into())
}

/// The fields of a message, from an object.
struct Fields<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {}, which is an object", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.message.fields.iter().find(|field| field.name == name) {
                Some(field) => map.next_value_seed(Value { field, out: self.out, inside: false })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The value of a field; `inside`: one of many.
struct Value<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    inside: bool,
}

impl Value<'_> {
    fn tag(&mut self, wire: u64) {
        varint(self.out, self.field.number << 3 | wire);
    }

    fn is_packed(&self) -> bool {
        self.field.repeated && !matches!(self.field.kind, Kind::Message(_) | Kind::Text)
    }

    fn varint(mut self, number: u64) {
        if !self.is_packed() {
            self.tag(0);
        }
        varint(self.out, number);
    }

    fn fixed(mut self, bytes: &[u8]) {
        if !self.is_packed() {
            self.tag(if bytes.len() == 4 { 5 } else { 1 });
        }
        self.out.extend_from_slice(bytes);
    }

    fn bytes(self, bytes: &[u8]) {
        text(self.out, (self.field.number << 3) as u8 | 2, bytes); // their numbers are below 16
    }

    fn wrong<E: Error>(&self, expected: &str) -> E {
        E::custom(format_args!("{} must be {expected}", self.field.name))
    }

    fn integer<E: Error>(self, number: i128) -> Result<(), E> {
        let Value { field, .. } = self;
        let out_of_range = || E::custom(format_args!("{} is out of range: {number}", field.name));
        match field.kind {
            Kind::Int32 => self.varint(i64::from(i32::try_from(number).map_err(|_| out_of_range())?).cast_unsigned()),
            Kind::Int64 => self.varint(i64::try_from(number).map_err(|_| out_of_range())?.cast_unsigned()),
            Kind::Uint32 => self.varint(u32::try_from(number).map_err(|_| out_of_range())?.into()),
            Kind::Uint64 => self.varint(u64::try_from(number).map_err(|_| out_of_range())?),
            Kind::Sint32 => {
                let number = i32::try_from(number).map_err(|_| out_of_range())?;
                self.varint(u64::from((number << 1 ^ number >> 31).cast_unsigned()));
            }
            Kind::Fixed32 => self.fixed(&u32::try_from(number).map_err(|_| out_of_range())?.to_le_bytes()),
            Kind::Fixed64 => self.fixed(&u64::try_from(number).map_err(|_| out_of_range())?.to_le_bytes()),
            Kind::Sfixed64 => self.fixed(&i64::try_from(number).map_err(|_| out_of_range())?.to_le_bytes()),
            Kind::Double => self.fixed(&(number as f64).to_le_bytes()),
            _ => return Err(self.wrong(expected(field))),
        }
        Ok(())
    }
}

/// What a field takes, in a person's words.
fn expected(field: &Field) -> &'static str {
    match field.kind {
        Kind::Text => "text",
        Kind::Bytes => "text in base64",
        Kind::TraceId => "32 hexadecimal digits",
        Kind::SpanId => "16 hexadecimal digits",
        Kind::Bool => "true or false",
        Kind::Double => "a number",
        Kind::Message(_) => "an object",
        _ => "a whole number",
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = if self.field.repeated && !self.inside { "a list, each " } else { "" };
        write!(formatter, "{list}{} for {}", expected(self.field), self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.varint(flag.into()),
            _ => return Err(self.wrong(expected(self.field))),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.integer(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.integer(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.fixed(&number.to_le_bytes()),
            // Some writers have every number as 1.0.
            _ if number.fract() == 0.0 && number.abs() < 9e15 => return self.integer(number as i128),
            _ => return Err(self.wrong(expected(self.field))),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, given: &str) -> Result<(), E> {
        let wrong = self.wrong(expected(self.field));
        match self.field.kind {
            Kind::Text => self.bytes(given.as_bytes()),
            Kind::Bytes => self.bytes(&STANDARD.decode(given).map_err(|_| wrong)?),
            Kind::TraceId | Kind::SpanId if given.is_empty() => {}
            Kind::TraceId => self.bytes(&model::TraceId::parse(given).ok_or(wrong)?.0),
            Kind::SpanId => self.bytes(&model::SpanId::parse(given).ok_or(wrong)?.0),
            Kind::Double => self.fixed(&given.parse::<f64>().map_err(|_| wrong)?.to_le_bytes()),
            Kind::Bool | Kind::Message(_) => return Err(wrong),
            _ => return self.integer(given.parse().map_err(|_| wrong)?),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else { return Err(self.wrong(expected(self.field))) };
        let mut inner = Vec::new();
        Fields { message, out: &mut inner }.visit_map(map)?;
        self.bytes(&inner);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.inside {
            return Err(self.wrong(expected(self.field)));
        }
        let (field, packed) = (self.field, self.is_packed());
        let mut numbers = Vec::new();
        let out = if packed { &mut numbers } else { &mut *self.out };
        while list.next_element_seed(Value { field, out: &mut *out, inside: true })?.is_some() {}
        if !numbers.is_empty() {
            self.bytes(&numbers);
        }
        Ok(())
    }
}
