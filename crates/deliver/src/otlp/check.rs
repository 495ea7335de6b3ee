//! Whether a request is what OTLP says, down to the last value: what is passed on as bytes would otherwise be refused by
//! whoever reads it next, together with what others have sent.

use std::fmt;

use super::schema::{self, Kind, Message};
use super::walk::{Attribute, Field, Fields, Malformed, SPAN_ATTRIBUTES, SpanFields};
use crate::Signal;

/// Messages in messages; deeper is nobody's telemetry. Those that read protobuf into trees stop at a hundred.
const DEEPEST: usize = 64;

/// A request is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound {
    problem: &'static str,
    /// Names of fields, the innermost first.
    path: Vec<&'static str>,
}

impl fmt::Display for Unsound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path of many levels says no more than its beginning does.
        for (index, name) in self.path.iter().rev().take(12).enumerate() {
            write!(formatter, "{}{name}", if index > 0 { "." } else { "" })?;
        }
        write!(formatter, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.problem)
    }
}

impl std::error::Error for Unsound {}

/// Looks at every field of a request.
pub fn request(signal: Signal, bytes: &[u8]) -> Result<(), Unsound> {
    match schema::request(signal) {
        Some(message) => check(message, bytes, DEEPEST),
        None => Err(unsound("this signal is not taken")),
    }
}

fn unsound(problem: &'static str) -> Unsound {
    Unsound { problem, path: Vec::new() }
}

fn check(message: &Message, bytes: &[u8], depth: usize) -> Result<(), Unsound> {
    if depth == 0 {
        return Err(unsound("values are nested too deeply"));
    }
    for field in Fields::of(bytes) {
        let (number, value) = field.map_err(|_| unsound("not protobuf, or cut off"))?;
        check_field(message, number, value, depth)?;
    }
    Ok(())
}

/// Looks at one field of a message that is so deep.
#[inline]
fn check_field(message: &Message, number: u64, value: Field<'_>, depth: usize) -> Result<(), Unsound> {
    let Some(field) = message.field(number) else { return Ok(()) }; // of a later version
    let sound = match (field.kind, value) {
        (Kind::Message(inner), Field::Bytes(bytes)) => check(inner, bytes, depth - 1),
        (kind, value) => scalar(kind, value, field.repeated),
    };
    sound.map_err(|mut wrong| {
        wrong.path.push(field.name);
        wrong
    })
}

#[inline]
fn scalar(kind: Kind, value: Field<'_>, repeated: bool) -> Result<(), Unsound> {
    let sound = match (kind, value) {
        (Kind::Text, Field::Bytes(bytes)) => return if is_text(bytes) { Ok(()) } else { Err(unsound("not UTF-8")) },
        (Kind::TraceId, Field::Bytes(bytes)) => {
            return if matches!(bytes.len(), 0 | 16) { Ok(()) } else { Err(unsound("not 16 bytes")) };
        }
        (Kind::SpanId, Field::Bytes(bytes)) => {
            return if matches!(bytes.len(), 0 | 8) { Ok(()) } else { Err(unsound("not 8 bytes")) };
        }
        (Kind::Bytes, Field::Bytes(_))
        | (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32, Field::Varint(_))
        | (Kind::Fixed32, Field::Fixed32(_))
        | (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, Field::Fixed64(_)) => true,
        // Numbers one after the other.
        (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, Field::Bytes(packed)) if repeated => packed.len() % 8 == 0,
        (Kind::Uint64, Field::Bytes(packed)) if repeated => packed.last().is_none_or(|&byte| byte < 0x80),
        _ => false,
    };
    if sound { Ok(()) } else { Err(unsound("of the wrong type")) }
}

#[inline]
fn is_text(bytes: &[u8]) -> bool {
    is_ascii(bytes) || std::str::from_utf8(bytes).is_ok()
}

/// The standard library's looks at up to 31 bytes one by one, which is all there is of most texts.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let all = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    let last = match bytes.last_chunk::<8>() {
        Some(last) => u64::from_ne_bytes(*last), // some of it a second time
        None => rest.iter().fold(0, |all, &byte| all | u64::from(byte)),
    };
    (all | last) & 0x8080_8080_8080_8080 == 0
}

/// What a request of spans consists of, down to them.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// The request, of groups.
    Request,
    /// A `ResourceSpans`, of scopes.
    Group,
    /// A `ScopeSpans`, of spans.
    Scope,
}

/// Depths at which spans and their attributes stand in a request.
const SPAN_DEPTH: usize = DEEPEST - 3;
const ATTRIBUTE_DEPTH: usize = SPAN_DEPTH - 1;

/// Looks at fields beside groups, scopes or spans. With [`span`] for each span this is what [`request`] does: for who reads all of a
/// request anyway.
pub fn beside_spans(level: Level, fields: &[u8]) -> Result<(), Malformed> {
    let (message, depth) = match level {
        Level::Request => (&schema::TRACES, DEEPEST),
        Level::Group => (&schema::RESOURCE_SPANS, DEEPEST - 1),
        Level::Scope => (&schema::SCOPE_SPANS, DEEPEST - 2),
    };
    Ok(check(message, fields, depth)?)
}

/// Looks at every field of a span and reads it in the same walk. Shows each attribute on the way, with the `KeyValue` that it was read
/// from, though what comes after it may be unsound.
#[inline]
pub fn span<'a>(
    span: &'a [u8],
    mut attribute: impl FnMut(Attribute<'a>, &'a [u8]),
) -> Result<SpanFields<'a>, Malformed> {
    let mut fields = SpanFields::default();
    for field in Fields::of(span) {
        match field? {
            (SPAN_ATTRIBUTES, Field::Bytes(key_value)) => {
                let found = match usual_attribute(key_value) {
                    Some(usual) => Some(usual),
                    None => any_attribute(key_value)?,
                };
                if let Some(found) = found {
                    attribute(found, key_value);
                }
            }
            (number, field) => {
                check_field(&schema::SPAN, number, field, SPAN_DEPTH)?;
                fields.take(number, field)?;
            }
        }
    }
    Ok(fields)
}

/// An attribute as nearly all are: a short key, and a short text or a number, written in that order. That is sound.
#[inline]
fn usual_attribute(key_value: &[u8]) -> Option<Attribute<'_>> {
    let &[0x0a, key_size @ ..0x80, ref rest @ ..] = key_value else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(key_size))?;
    let &[0x12, size @ ..0x80, ref value @ ..] = rest else { return None };
    let is_sound = usize::from(size) == value.len()
        && match value {
            // A size of 0x80 and more would be longer than a byte, which is not ASCII either.
            [0x0a, size, text @ ..] => usize::from(*size) == text.len() && is_ascii(key_value),
            [0x10 | 0x18, number @ ..] => is_varint(number) && is_ascii(key),
            [0x21, number @ ..] => number.len() == 8 && is_ascii(key),
            _ => false,
        };
    is_sound.then_some(Attribute { key, value })
}

/// One that is not longer than nine bytes: ten would have to be looked at closely.
#[inline]
fn is_varint(bytes: &[u8]) -> bool {
    bytes
        .split_last()
        .is_some_and(|(&last, before)| before.len() < 9 && last < 0x80 && before.iter().all(|&byte| byte >= 0x80))
}

#[cold]
fn any_attribute(key_value: &[u8]) -> Result<Option<Attribute<'_>>, Malformed> {
    check(&schema::KEY_VALUE, key_value, ATTRIBUTE_DEPTH)?;
    Attribute::read(key_value)
}

impl From<Unsound> for Malformed {
    fn from(_: Unsound) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: a field that only profiles have, of a type that it does not have, which libraries refuse.
    #[test]
    fn fields_of_profiles_are_checked_too() {
        let key_of_wrong_type = b"\x0a\x06\x0a\x04\x0a\x02\x1a\x00";
        let unsound = request(Signal::Traces, key_of_wrong_type).expect_err("it is no number");
        assert!(unsound.to_string().ends_with("keyStrindex: of the wrong type"), "{unsound}");
        assert_eq!(request(Signal::Traces, b"\x0a\x06\x0a\x04\x0a\x02\x18\x01"), Ok(()));
    }
}
