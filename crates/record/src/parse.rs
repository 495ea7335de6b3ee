//! A span record, looked at in place. No allocation, no panic, no trust: every length is checked when it is used.

use crate::bytes;
use crate::extended::{self, AnyValue, Key, Moment};
use crate::layout::{ITEM, PARTS, RECORD, RECORD_LIMIT, RECORD_SPAN, item};
use crate::{MonotonicNanos, layout};

/// Why a record is not a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too short for a head, or its size field says something else than there is.
    #[error("its size is wrong")]
    Size,
    /// Not a span.
    #[error("its kind is unknown")]
    Kind,
    /// The trace id or the span id is all zeros.
    #[error("it has no id")]
    Id,
}

/// A span record.
#[derive(Clone, Copy, Debug)]
pub struct SpanRecord<'a> {
    bytes: &'a [u8],
}

impl<'a> SpanRecord<'a> {
    /// Looks at a copy of a record; bytes after the size that it claims are not part of it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.len() < RECORD.size {
            return Err(RecordError::Size);
        }
        let size = bytes::u32_at(bytes, const { RECORD.at("size") }) as usize;
        if !(RECORD.size..=RECORD_LIMIT.min(bytes.len())).contains(&size) {
            return Err(RecordError::Size);
        }
        if bytes[const { RECORD.at("kind") }] != RECORD_SPAN {
            return Err(RecordError::Kind);
        }
        let record = Self { bytes: &bytes[..size] };
        if record.trace_id() == [0; 16] || record.span_id() == [0; 8] {
            return Err(RecordError::Id);
        }
        Ok(record)
    }

    /// W3C trace flags.
    #[inline]
    pub fn trace_flags(&self) -> u8 {
        self.bytes[const { RECORD.at("trace_flags") }]
    }

    /// Status code, as in OTLP; numbers that OTLP does not know are "unset".
    #[inline]
    pub fn status(&self) -> u8 {
        match self.bytes[const { RECORD.at("status") }] {
            status @ 0..=2 => status,
            _ => 0,
        }
    }

    /// `RECORD_FLAG_*` bits.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.bytes[const { RECORD.at("flags") }]
    }

    /// One of the flags is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    /// Trace id, as on the wire.
    #[inline]
    pub fn trace_id(&self) -> [u8; 16] {
        bytes::array_at(self.bytes, const { RECORD.at("trace_id") })
    }

    /// Span id, as on the wire.
    #[inline]
    pub fn span_id(&self) -> [u8; 8] {
        bytes::array_at(self.bytes, const { RECORD.at("span_id") })
    }

    /// The parent's span id; zeros for a root.
    #[inline]
    pub fn parent_span_id(&self) -> [u8; 8] {
        bytes::array_at(self.bytes, const { RECORD.at("parent_span_id") })
    }

    /// Start.
    #[inline]
    pub fn start(&self) -> MonotonicNanos {
        MonotonicNanos(bytes::u64_at(self.bytes, const { RECORD.at("start") }))
    }

    /// End; `None` while it runs.
    #[inline]
    pub fn end(&self) -> Option<MonotonicNanos> {
        match bytes::u64_at(self.bytes, const { RECORD.at("end") }) {
            0 => None,
            end => Some(MonotonicNanos(end)),
        }
    }

    /// Id of its operation.
    #[inline]
    pub fn descriptor(&self) -> u32 {
        bytes::u32_at(self.bytes, const { RECORD.at("descriptor") })
    }

    /// Its items.
    #[inline]
    pub fn items(&self) -> Items<'a> {
        Items::new(&self.bytes[RECORD.size..])
    }
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// An attribute; of an event between [`Item::Event`] and [`Item::EventEnd`], of the span elsewhere.
    Attribute(u16, Value<'a>),
    /// The span's name. Not necessarily UTF-8, like all text here.
    Name(&'a [u8]),
    /// Explanation of an error.
    StatusMessage(&'a [u8]),
    /// W3C tracestate.
    Tracestate(&'a [u8]),
    /// Another span that this one has to do with: trace id and span id.
    Link([u8; 16], [u8; 8]),
    /// An event begins; its name is the key with this id.
    Event(u16, MonotonicNanos),
    /// An event's attributes end.
    EventEnd,
    /// A part of the anatomy: index in [`PARTS`], nanoseconds.
    Part(usize, u64),
    /// An attribute whose key or value needs more than [`Item::Attribute`] has; of an event or link as that.
    AnyAttribute(Key<'a>, AnyValue<'a>),
    /// An event with any name begins.
    NamedEvent(&'a [u8], Moment),
    /// A link begins; its attributes follow, up to [`Item::EventEnd`].
    OpenLink {
        /// Trace of the other span.
        trace_id: [u8; 16],
        /// The other span.
        span_id: [u8; 8],
        /// W3C trace flags.
        flags: u32,
        /// W3C tracestate.
        tracestate: &'a [u8],
    },
    /// The span's start as the program gave it, ns since 1970.
    Start(u64),
    /// The span's end as the program gave it, ns since 1970.
    End(u64),
    /// What went beyond the program's limits.
    Dropped {
        /// Attributes.
        attributes: u32,
        /// Events.
        events: u32,
        /// Links.
        links: u32,
    },
}

/// Value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, not necessarily UTF-8.
    String(&'a [u8]),
    /// Integer.
    Int(i64),
    /// Floating-point number.
    Float(f64),
    /// True or false.
    Bool(bool),
}

/// Gives attributes of a record other keys. Stops at the first item that cannot be read.
pub fn rename_attributes(record: &mut [u8], mut key_of: impl FnMut(u16) -> u16) {
    let mut at = RECORD.size;
    while record.len() >= at + ITEM.size {
        let key = bytes::u16_at(record, at + const { ITEM.at("key") });
        let word = bytes::u16_at(record, at + const { ITEM.at("type_and_size") });
        if matches!(word >> 12, item::STRING | item::INT | item::FLOAT | item::BOOL) {
            record[at + const { ITEM.at("key") }..][..2].copy_from_slice(&key_of(key).to_le_bytes());
        } else if word >> 12 == 0 {
            return;
        }
        at += ITEM.size + (usize::from(word) & layout::ITEM_LIMIT).next_multiple_of(4);
        if word >> 12 == item::EXTENDED {
            let Some(size) = record.get(at - 4..at) else { return };
            at += (bytes::u32_at(size, 0) as usize).next_multiple_of(4);
        }
    }
}

/// Goes through items. Leaves out what is not known, and ends at the first one that cannot be read.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl<'a> Items<'a> {
    /// Items in these bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, malformed: false }
    }

    /// An item could not be read; what came after it is lost.
    #[inline]
    pub fn malformed(&self) -> bool {
        self.malformed
    }

    /// The next item, if it is an [`Item::Attribute`]: nearly all are. Else it stays the next one.
    ///
    /// An [`Item`] has room for everything, and is copied from place to place before its last bytes have got there; a pair
    /// stays in registers.
    #[inline(always)]
    pub fn next_attribute(&mut self) -> Option<(u16, Value<'a>)> {
        let head = self.rest.first_chunk::<{ ITEM.size }>()?;
        let key = bytes::u16_at(head, const { ITEM.at("key") });
        let word = bytes::u16_at(head, const { ITEM.at("type_and_size") });
        let size = usize::from(word) & layout::ITEM_LIMIT;
        let data = self.rest[ITEM.size..].get(..size)?;
        let value = match (word >> 12, size) {
            (item::STRING, _) => Value::String(data),
            (item::INT, 8) => Value::Int(bytes::u64_at(data, 0).cast_signed()),
            (item::FLOAT, 8) => Value::Float(f64::from_bits(bytes::u64_at(data, 0))),
            (item::BOOL, 4) => Value::Bool(bytes::u32_at(data, 0) != 0),
            _ => return None,
        };
        self.rest = self.rest.get(ITEM.size + size.next_multiple_of(4)..).unwrap_or(&[]);
        Some((key, value))
    }

    /// One that says its length itself, and what comes after it. `Some(None)`: a newer program's, of a form that is not known.
    fn extended(&self, form: u16, size: usize) -> Option<(Option<Item<'a>>, &'a [u8])> {
        let rest = &self.rest[ITEM.size + 4..];
        let data = rest.get(..size)?;
        let after = rest.get(size.next_multiple_of(4)..).unwrap_or(&[]);
        if !extended::is_known(form) {
            return Some((None, after));
        }
        Some((Some(extended::read(form, data)?), after))
    }

    fn stop(&mut self, malformed: bool) -> Option<Item<'a>> {
        self.malformed |= malformed;
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if self.rest.len() < ITEM.size {
                return self.stop(!self.rest.is_empty());
            }
            let key = bytes::u16_at(self.rest, const { ITEM.at("key") });
            let word = bytes::u16_at(self.rest, const { ITEM.at("type_and_size") });
            if key == 0 && word == 0 {
                return self.stop(false); // what pads a record to 8 bytes
            }
            let (kind, size) = (word >> 12, usize::from(word) & layout::ITEM_LIMIT);
            let Some(data) = self.rest[ITEM.size..].get(..size) else { return self.stop(true) };
            if (kind, size) == (item::EXTENDED, 4) {
                let Some((item, rest)) = self.extended(key, bytes::u32_at(data, 0) as usize) else {
                    return self.stop(true);
                };
                self.rest = rest;
                match item {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let item = match (kind, size) {
                (item::STRING, _) => Some(Item::Attribute(key, Value::String(data))),
                (item::INT, 8) => Some(Item::Attribute(key, Value::Int(bytes::u64_at(data, 0).cast_signed()))),
                (item::FLOAT, 8) => Some(Item::Attribute(key, Value::Float(f64::from_bits(bytes::u64_at(data, 0))))),
                (item::BOOL, 4) => Some(Item::Attribute(key, Value::Bool(bytes::u32_at(data, 0) != 0))),
                (item::NAME, _) => Some(Item::Name(data)),
                (item::STATUS_MESSAGE, _) => Some(Item::StatusMessage(data)),
                (item::TRACESTATE, _) => Some(Item::Tracestate(data)),
                (item::LINK, 24) => Some(Item::Link(bytes::array_at(data, 0), bytes::array_at(data, 16))),
                (item::EVENT, 8) => Some(Item::Event(key, MonotonicNanos(bytes::u64_at(data, 0)))),
                (item::EVENT_END, 0) => Some(Item::EventEnd),
                (item::PART, 8) if usize::from(key) < PARTS.len() => {
                    Some(Item::Part(usize::from(key), bytes::u64_at(data, 0)))
                }
                (item::PART, 8) => None, // a newer program's, as what follows
                (kind, _) if kind > item::EXTENDED => None,
                _ => return self.stop(true),
            };
            let padded = ITEM.size + size.next_multiple_of(4);
            self.rest = self.rest.get(padded..).unwrap_or(&[]);
            if item.is_some() {
                return item;
            }
        }
    }
}
