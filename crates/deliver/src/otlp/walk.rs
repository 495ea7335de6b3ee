//! Reads OTLP's protobuf in place: the fields of a message one after the other, nothing copied, no tree, nothing trusted.
//!
//! A request of any signal is [`resources`], in each of which are [`ResourceGroup::scopes`], in each of which are
//! [`ScopeGroup::records`]: spans, log records or metrics, as the bytes of their messages. Requests of all three have the
//! same field numbers down to there. [`SpanFields`] is what is asked of nearly every span, [`attributes`] are those of any
//! message, [`AnyValue`] is the value of one.
//!
//! What is malformed ends the walk with [`Malformed`]; what was read before it stands. A field of a number that is known but of
//! another wire type is passed over, as unknown ones are.

use std::borrow::Cow;

use model::{SpanId, StatusCode, TraceId};

/// Bytes that are not the message they were said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OTLP message")]
pub struct Malformed;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64(u64),
    /// `fixed32`, `float`.
    Fixed32(u32),
    /// Text, bytes, messages.
    Bytes(&'a [u8]),
}

/// The fields of a message, with their numbers. Ends at the first malformed one.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of this message.
    #[inline]
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            &[byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth byte has room for one bit only.
                return if shift == 63 && byte > 1 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn take(&mut self, size: u64) -> Result<&'a [u8], Malformed> {
        let size = usize::try_from(size).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    fn field(&mut self) -> Result<(u64, Field<'a>), Malformed> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let size = self.varint()?;
                Field::Bytes(self.take(size)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed),
        };
        // No field has the number 0, and none is larger than 29 bits.
        if (8..1 << 32).contains(&tag) { Ok((tag >> 3, field)) } else { Err(Malformed) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The fields of a message with the bytes that each was written as, its tag included.
#[derive(Clone, Debug)]
pub struct Whole<'a> {
    fields: Fields<'a>,
}

impl<'a> Whole<'a> {
    /// The fields of this message.
    pub fn of(message: &'a [u8]) -> Self {
        Self { fields: Fields::of(message) }
    }
}

impl<'a> Iterator for Whole<'a> {
    /// Number, value, and all bytes of the field.
    type Item = (u64, Result<Field<'a>, Malformed>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.fields.rest();
        Some(match self.fields.next()? {
            Ok((number, field)) => (number, Ok(field), &before[..before.len() - self.fields.rest().len()]),
            Err(malformed) => (0, Err(malformed), &[]),
        })
    }
}

/// Text of a field; what is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The fields of one number that hold bytes.
#[inline]
pub fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((found, Field::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// The last field of one number that holds bytes; empty when there is none.
pub fn bytes_field(message: &[u8], number: u64) -> Result<&[u8], Malformed> {
    messages(message, number).try_fold(&[][..], |_, bytes| bytes)
}

/// `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`.
#[derive(Clone, Copy, Debug)]
pub struct ResourceGroup<'a> {
    /// The whole message.
    pub message: &'a [u8],
    /// The `Resource`; its attributes are [`RESOURCE_ATTRIBUTES`].
    pub resource: &'a [u8],
    /// The schema that it follows.
    pub schema_url: &'a [u8],
}

/// The groups of an `ExportTraceServiceRequest`, or of the same of logs or metrics.
pub fn resources(request: &[u8]) -> impl Iterator<Item = Result<ResourceGroup<'_>, Malformed>> {
    messages(request, 1).map(|message| ResourceGroup::read(message?))
}

impl<'a> ResourceGroup<'a> {
    /// Reads what all of it have in common, wherever in the message that stands.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut group = Self { message, resource: &[], schema_url: &[] };
        for field in Fields::of(message) {
            match field? {
                (1, Field::Bytes(resource)) => group.resource = resource,
                (3, Field::Bytes(schema_url)) => group.schema_url = schema_url,
                _ => {}
            }
        }
        Ok(group)
    }

    /// What it holds, by instrumentation scope.
    pub fn scopes(&self) -> impl Iterator<Item = Result<ScopeGroup<'a>, Malformed>> + use<'a> {
        messages(self.message, 2).map(|message| ScopeGroup::read(message?))
    }
}

/// `ScopeSpans`, `ScopeLogs` or `ScopeMetrics`.
#[derive(Clone, Copy, Debug)]
pub struct ScopeGroup<'a> {
    /// The whole message.
    pub message: &'a [u8],
    /// The `InstrumentationScope`; its attributes are [`SCOPE_ATTRIBUTES`].
    pub scope: &'a [u8],
    /// The schema that it follows.
    pub schema_url: &'a [u8],
}

impl<'a> ScopeGroup<'a> {
    /// Reads what all of it have in common, wherever in the message that stands.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut group = Self { message, scope: &[], schema_url: &[] };
        for field in Fields::of(message) {
            match field? {
                (1, Field::Bytes(scope)) => group.scope = scope,
                (3, Field::Bytes(schema_url)) => group.schema_url = schema_url,
                _ => {}
            }
        }
        Ok(group)
    }

    /// Name of the scope.
    pub fn name(&self) -> Result<&'a [u8], Malformed> {
        bytes_field(self.scope, 1)
    }

    /// The bytes of each `Span`, `LogRecord` or `Metric`.
    pub fn records(&self) -> impl Iterator<Item = Result<&'a [u8], Malformed>> + use<'a> {
        messages(self.message, 2)
    }
}

/// What is asked of nearly every span. Its attributes are [`SPAN_ATTRIBUTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanFields<'a> {
    /// Trace id; zero where there is none.
    pub trace_id: TraceId,
    /// Span id; zero where there is none.
    pub span_id: SpanId,
    /// W3C tracestate.
    pub tracestate: &'a [u8],
    /// Parent.
    pub parent_span_id: Option<SpanId>,
    /// Name.
    pub name: &'a [u8],
    /// Kind, OTLP's number.
    pub kind: i32,
    /// Start, ns since 1970.
    pub start_unix_nano: u64,
    /// End, ns since 1970.
    pub end_unix_nano: u64,
    /// Code of the status.
    pub status: StatusCode,
    /// W3C trace flags in the low byte, and what OTLP has beside them.
    pub flags: u32,
}

/// Zero where there is none; other sizes are malformed.
fn trace_id(bytes: &[u8]) -> Result<TraceId, Malformed> {
    if bytes.is_empty() { Ok(TraceId::default()) } else { Ok(TraceId(bytes.try_into().map_err(|_| Malformed)?)) }
}

/// A span id that may be none, which some writers say by zeros. Other sizes are malformed.
pub fn span_id(bytes: &[u8]) -> Result<Option<SpanId>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = SpanId(bytes.try_into().map_err(|_| Malformed)?);
    Ok((!id.is_zero()).then_some(id))
}

/// Code of the status that is written in a `Status`.
pub fn status_code(status: &[u8]) -> Result<Option<StatusCode>, Malformed> {
    let mut code = None;
    for field in Fields::of(status) {
        if let (3, Field::Varint(number)) = field? {
            code = Some(match number {
                1 => StatusCode::Ok,
                2 => StatusCode::Error,
                _ => StatusCode::Unset,
            });
        }
    }
    Ok(code)
}

impl<'a> SpanFields<'a> {
    /// Reads them.
    pub fn read(span: &'a [u8]) -> Result<Self, Malformed> {
        Self::read_with(span, |_| Ok(()))
    }

    /// Reads them and shows each attribute, a `KeyValue`, on the way: one walk for both.
    #[inline]
    pub fn read_with(
        span: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for field in Fields::of(span) {
            match field? {
                (SPAN_ATTRIBUTES, Field::Bytes(key_value)) => attribute(key_value)?,
                (number, field) => fields.take(number, field)?,
            }
        }
        Ok(fields)
    }

    /// Takes a field of the span in.
    #[inline]
    pub(super) fn take(&mut self, number: u64, field: Field<'a>) -> Result<(), Malformed> {
        match (number, field) {
            (1, Field::Bytes(id)) => self.trace_id = trace_id(id)?,
            (2, Field::Bytes(id)) => self.span_id = span_id(id)?.unwrap_or_default(),
            (3, Field::Bytes(tracestate)) => self.tracestate = tracestate,
            (4, Field::Bytes(id)) => self.parent_span_id = span_id(id)?,
            (5, Field::Bytes(name)) => self.name = name,
            (6, Field::Varint(kind)) => self.kind = kind as i32,
            (7, Field::Fixed64(start)) => self.start_unix_nano = start,
            (8, Field::Fixed64(end)) => self.end_unix_nano = end,
            (15, Field::Bytes(status)) => self.status = status_code(status)?.unwrap_or(self.status),
            (16, Field::Fixed32(flags)) => self.flags = flags,
            _ => {}
        }
        Ok(())
    }

    /// Time from start to end, ns; 0 where the end is before the start.
    pub fn duration_ns(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }
}

/// The spans that a span is linked to, each by its trace and itself.
pub fn links(span: &[u8]) -> impl Iterator<Item = Result<(TraceId, SpanId), Malformed>> {
    messages(span, 13).map(|link| {
        let link = link?;
        Ok((trace_id(bytes_field(link, 1)?)?, span_id(bytes_field(link, 2)?)?.unwrap_or_default()))
    })
}

/// Which trace a span belongs to, without reading the rest where the id stands first, as nearly all writers put it.
#[inline]
pub fn trace_id_of(span: &[u8]) -> Result<TraceId, Malformed> {
    if let [0x0a, 16, rest @ ..] = span
        && let Some(id) = rest.first_chunk()
    {
        return Ok(TraceId(*id));
    }
    trace_id(bytes_field(span, 1)?)
}

/// Number of the field that attributes are in a `Resource`.
pub const RESOURCE_ATTRIBUTES: u64 = 1;
/// In an `InstrumentationScope`.
pub const SCOPE_ATTRIBUTES: u64 = 3;
/// In a `Span`.
pub const SPAN_ATTRIBUTES: u64 = 9;
/// In a span's `Event`.
pub const EVENT_ATTRIBUTES: u64 = 3;
/// In a span's `Link`.
pub const LINK_ATTRIBUTES: u64 = 4;
/// In a `LogRecord`.
pub const LOG_ATTRIBUTES: u64 = 6;

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attribute<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The message of its value; [`AnyValue::read`] reads it.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Takes a `KeyValue` apart; nothing when it has no value.
    #[inline]
    pub fn read(key_value: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut key: &[u8] = &[];
        let mut value = None;
        for field in Fields::of(key_value) {
            match field? {
                (1, Field::Bytes(bytes)) => key = bytes,
                (2, Field::Bytes(bytes)) => value = Some(bytes),
                _ => {}
            }
        }
        Ok(value.map(|value| Self { key, value }))
    }
}

/// The attributes of a message, which are its fields of this number.
pub fn attributes(message: &[u8], number: u64) -> impl Iterator<Item = Result<Attribute<'_>, Malformed>> {
    messages(message, number).filter_map(|key_value| key_value.and_then(Attribute::read).transpose())
}

/// The value of one attribute of a message; of a key that is given twice the last one counts.
pub fn attribute<'a>(message: &'a [u8], number: u64, key: &str) -> Result<Option<AnyValue<'a>>, Malformed> {
    let mut found = None;
    for attribute in attributes(message, number) {
        let attribute = attribute?;
        if attribute.key == key.as_bytes() {
            found = Some(AnyValue::read(attribute.value)?);
        }
    }
    Ok(found)
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum AnyValue<'a> {
    /// None of the kinds below.
    #[default]
    Empty,
    /// Text; whether it is UTF-8 nobody has looked.
    String(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Floating-point number.
    Double(f64),
    /// An `ArrayValue`: [`values`] are in it.
    Array(&'a [u8]),
    /// A `KeyValueList`: [`entries`] are in it.
    Map(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads an `AnyValue`.
    #[inline]
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut value = Self::Empty;
        for field in Fields::of(message) {
            value = match field? {
                (1, Field::Bytes(string)) => Self::String(string),
                (2, Field::Varint(flag)) => Self::Bool(flag != 0),
                (3, Field::Varint(number)) => Self::Int(number.cast_signed()),
                (4, Field::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Field::Bytes(array)) => Self::Array(array),
                (6, Field::Bytes(list)) => Self::Map(list),
                (7, Field::Bytes(bytes)) => Self::Bytes(bytes),
                _ => continue,
            };
        }
        Ok(value)
    }
}

/// The values of an [`AnyValue::Array`].
pub fn values(array: &[u8]) -> impl Iterator<Item = Result<AnyValue<'_>, Malformed>> {
    messages(array, 1).map(|value| AnyValue::read(value?))
}

/// The entries of an [`AnyValue::Map`].
pub fn entries(list: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, Malformed>> {
    attributes(list, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_protobuf_says() {
        fn read(bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
            Fields::of(bytes).collect::<Result<_, _>>().ok()
        }
        let fields = [(1, Field::Varint(300)), (2, Field::Fixed32(1)), (3, Field::Bytes(b"ab"))];
        assert_eq!(read(b"\x08\xac\x02\x15\x01\0\0\0\x1a\x02ab"), Some(fields.to_vec()));
        assert_eq!(read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Some(vec![(1, Field::Varint(u64::MAX))]));
        let beyond = [&b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"[..], b"\x08\xff", b"\x1a\x03ab", b"\x09\0"];
        let wrong_kinds = [&b"\x0b"[..], b"\x0c", b"\x0e", b"\x00\x01", b"\x80\x80\x80\x80\x10\x01"];
        for malformed in beyond.into_iter().chain(wrong_kinds) {
            assert_eq!(read(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn ids_have_their_size() {
        assert_eq!(trace_id_of(b"\x12\x00\x0a\x10ABCDEFGHIJKLMNOP"), Ok(TraceId(*b"ABCDEFGHIJKLMNOP")));
        assert_eq!(trace_id_of(b"\x0a\x00"), Ok(TraceId::default()));
        assert_eq!(trace_id_of(b"\x0a\x03ABC"), Err(Malformed));
        assert_eq!(SpanFields::read(b"\x22\x08\0\0\0\0\0\0\0\0").map(|span| span.parent_span_id), Ok(None));
        assert_eq!(SpanFields::read(b"\x12\x03ABC"), Err(Malformed));
    }
}
