//! Extended items: what a program says about its own spans through an API that knows no limits, in a form that has none
//! either. Like all of a record it is looked at in place, and believed only as far as its lengths hold.

use crate::layout::{extended, value};
use crate::parse::{Item, Value};
use crate::{MonotonicNanos, bytes};

/// Name of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key<'a> {
    /// A well-known or registered one.
    Number(u16),
    /// Given as text, not necessarily UTF-8.
    Text(&'a [u8]),
}

/// Any value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// One of those that plain attributes have.
    One(Value<'a>),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// Keys with values.
    Map(Map<'a>),
}

/// A moment as the program took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// By the clock of all records.
    Monotonic(MonotonicNanos),
    /// By the wall clock, ns since 1970.
    Unix(u64),
}

/// The values of a list, which were looked through when the item was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a>(&'a [u8]);

/// The pairs of a map, which were looked through when the item was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map<'a>(&'a [u8]);

impl<'a> Iterator for List<'a> {
    type Item = AnyValue<'a>;

    fn next(&mut self) -> Option<AnyValue<'a>> {
        let (value, rest) = read_value(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

impl<'a> Iterator for Map<'a> {
    type Item = (&'a [u8], AnyValue<'a>);

    fn next(&mut self) -> Option<(&'a [u8], AnyValue<'a>)> {
        let (key, rest) = sized(self.0)?;
        let (value, rest) = read_value(rest)?;
        self.0 = rest;
        Some((key, value))
    }
}

/// Whether there is such a form.
pub(crate) fn is_known(form: u16) -> bool {
    (extended::ATTRIBUTE..=extended::DROPPED).contains(&form)
}

/// What follows an extended item's length; `None` when it is not what it claims.
pub(crate) fn read(form: u16, data: &[u8]) -> Option<Item<'_>> {
    match form {
        extended::ATTRIBUTE => {
            let (head, rest) = data.split_at_checked(4)?;
            let (name, rest) = rest.split_at_checked(usize::from(bytes::u16_at(head, 2)))?;
            let (value, rest) = read_value(rest)?;
            let key = match bytes::u16_at(head, 0) {
                0 => Key::Text(name),
                number => Key::Number(number),
            };
            (rest.is_empty() && is_sound(&value, 1)).then_some(Item::AnyAttribute(key, value))
        }
        extended::EVENT => {
            let (head, name) = data.split_at_checked(9)?;
            let time = bytes::u64_at(head, 0);
            let moment = if head[8] == 1 { Moment::Unix(time) } else { Moment::Monotonic(MonotonicNanos(time)) };
            Some(Item::NamedEvent(name, moment))
        }
        extended::LINK => {
            let (head, tracestate) = data.split_at_checked(28)?;
            let (trace_id, span_id) = (bytes::array_at(head, 0), bytes::array_at(head, 16));
            Some(Item::OpenLink { trace_id, span_id, flags: bytes::u32_at(head, 24), tracestate })
        }
        extended::START => (data.len() == 8).then(|| Item::Start(bytes::u64_at(data, 0))),
        extended::END => (data.len() == 8).then(|| Item::End(bytes::u64_at(data, 0))),
        extended::DROPPED if data.len() == 12 => Some(Item::Dropped {
            attributes: bytes::u32_at(data, 0),
            events: bytes::u32_at(data, 4),
            links: bytes::u32_at(data, 8),
        }),
        _ => None,
    }
}

/// Bytes after their own length.
fn sized(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = data.split_at_checked(4)?;
    rest.split_at_checked(bytes::u32_at(head, 0) as usize)
}

/// A value and what comes after it. Of a list or a map only the length is looked at.
fn read_value(data: &[u8]) -> Option<(AnyValue<'_>, &[u8])> {
    let (form, rest) = data.split_first()?;
    match *form {
        value::INT | value::FLOAT => {
            let (word, rest) = rest.split_at_checked(8)?;
            let word = bytes::u64_at(word, 0);
            let value = match *form {
                value::INT => Value::Int(word.cast_signed()),
                _ => Value::Float(f64::from_bits(word)),
            };
            Some((AnyValue::One(value), rest))
        }
        value::BOOL => {
            let (flag, rest) = rest.split_first()?;
            Some((AnyValue::One(Value::Bool(*flag != 0)), rest))
        }
        value::STRING | value::BYTES | value::LIST | value::MAP => {
            let (data, rest) = sized(rest)?;
            let value = match *form {
                value::STRING => AnyValue::One(Value::String(data)),
                value::BYTES => AnyValue::Bytes(data),
                value::LIST => AnyValue::List(List(data)),
                _ => AnyValue::Map(Map(data)),
            };
            Some((value, rest))
        }
        _ => None,
    }
}

/// Looks through lists and maps, as deep as they go.
fn is_sound(value: &AnyValue<'_>, depth: usize) -> bool {
    match *value {
        AnyValue::One(_) | AnyValue::Bytes(_) => true,
        _ if depth > value::DEPTH_LIMIT => false,
        AnyValue::List(mut list) => {
            let all = list.by_ref().all(|value| is_sound(&value, depth + 1));
            all && list.0.is_empty()
        }
        AnyValue::Map(mut map) => {
            let all = map.by_ref().all(|(_, value)| is_sound(&value, depth + 1));
            all && map.0.is_empty()
        }
    }
}
