//! Whether a request is what OTLP says, down to the last value: what is passed on as bytes would otherwise be refused by
//! whoever reads it next, together with what others have sent.

use std::fmt;

use super::schema::{self, Kind, Message};
use super::walk::{Field, Fields};
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
    // Fields mostly come in order, so the next one is the same or the one after.
    let mut at = 0;
    for field in Fields::of(bytes) {
        let (number, value) = field.map_err(|_| unsound("not protobuf, or cut off"))?;
        let known = message.fields;
        if known[at].number != number {
            match known.iter().position(|field| field.number == number) {
                Some(found) => at = found,
                None => continue, // of a later version
            }
        }
        let field = &known[at];
        let sound = match (field.kind, value) {
            (Kind::Message(inner), Field::Bytes(bytes)) => check(inner, bytes, depth - 1),
            (kind, value) => scalar(kind, value, field.repeated),
        };
        if let Err(mut wrong) = sound {
            wrong.path.push(field.name);
            return Err(wrong);
        }
    }
    Ok(())
}

#[inline]
fn scalar(kind: Kind, value: Field<'_>, repeated: bool) -> Result<(), Unsound> {
    let sound = match (kind, value) {
        (Kind::Text, Field::Bytes(bytes)) => {
            return if std::str::from_utf8(bytes).is_ok() { Ok(()) } else { Err(unsound("not UTF-8")) };
        }
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
