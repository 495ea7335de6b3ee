//! A log record, looked at in place. No allocation, no panic, no trust: every length is checked when it is used.

use crate::layout::{ITEM, ITEM_LIMIT, LOG, LOG_SIZE, RECORD_LOG, log_item};
use crate::{MonotonicNanos, RecordError, Value, bytes};

/// A log record.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    bytes: &'a [u8],
}

/// One item of a log record. Text is not necessarily UTF-8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogItem<'a> {
    /// An attribute: name and value.
    Attribute(&'a [u8], Value<'a>),
    /// A piece of JSON text: an attribute's value, or (without a name) of an object whose members are attributes.
    Json(&'a [u8], &'a [u8]),
    /// Name of members that such objects are to be read without.
    Omit(&'a [u8]),
    /// A piece of the body.
    Body(&'a [u8]),
    /// The severity's name.
    SeverityText(&'a [u8]),
    /// Name of the event that the record is.
    EventName(&'a [u8]),
    /// The function it was written in.
    Function(&'a [u8]),
    /// The file it was written in.
    File(&'a [u8]),
    /// The line it was written in.
    Line(u32),
}

impl<'a> LogRecord<'a> {
    /// Whether a record from a ring is a log record.
    #[inline]
    pub fn is_one(record: &[u8]) -> bool {
        record.get(const { LOG.at("kind") }) == Some(&RECORD_LOG)
    }

    /// Looks at a copy of a record; bytes after the size that it claims are not part of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.len() < LOG.size {
            return Err(RecordError::Size);
        }
        let size = bytes::u32_at(bytes, const { LOG.at("size") }) as usize;
        if !(LOG.size..=LOG_SIZE.min(bytes.len())).contains(&size) {
            return Err(RecordError::Size);
        }
        if !Self::is_one(bytes) {
            return Err(RecordError::Kind);
        }
        Ok(Self { bytes: &bytes[..size] })
    }

    /// Trace id and span id of the span it belongs to, where there was one.
    pub fn span(&self) -> Option<([u8; 16], [u8; 8])> {
        let trace_id = bytes::array_at(self.bytes, const { LOG.at("trace_id") });
        let span_id = bytes::array_at(self.bytes, const { LOG.at("span_id") });
        (trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id))
    }

    /// W3C trace flags of that span.
    pub fn trace_flags(&self) -> u8 {
        self.bytes[const { LOG.at("trace_flags") }]
    }

    /// Severity number; one that OTLP does not know is none.
    pub fn severity(&self) -> u8 {
        match self.bytes[const { LOG.at("severity") }] {
            severity @ 0..=24 => severity,
            _ => 0,
        }
    }

    /// One of the `RECORD_FLAG_*` bits is set.
    pub fn has(&self, flag: u8) -> bool {
        self.bytes[const { LOG.at("flags") }] & flag != 0
    }

    /// Its own time, ns since 1970; 0: it has none.
    pub fn time_unix_nano(&self) -> u64 {
        bytes::u64_at(self.bytes, const { LOG.at("time") })
    }

    /// When it was seen.
    pub fn observed(&self) -> MonotonicNanos {
        MonotonicNanos(bytes::u64_at(self.bytes, const { LOG.at("observed") }))
    }

    /// Id of the operation that stands for its library.
    pub fn descriptor(&self) -> u32 {
        bytes::u32_at(self.bytes, const { LOG.at("descriptor") })
    }

    /// Its items.
    pub fn items(&self) -> LogItems<'a> {
        LogItems { rest: &self.bytes[LOG.size..], malformed: false }
    }
}

/// Goes through the items of a log record. Leaves out what is not known, and ends at the first one that cannot be read.
#[derive(Clone, Debug)]
pub struct LogItems<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl LogItems<'_> {
    /// An item could not be read; what came after it is lost.
    pub fn malformed(&self) -> bool {
        self.malformed
    }

    fn stop<T>(&mut self, malformed: bool) -> Option<T> {
        self.malformed |= malformed;
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for LogItems<'a> {
    type Item = LogItem<'a>;

    fn next(&mut self) -> Option<LogItem<'a>> {
        loop {
            if self.rest.len() < ITEM.size {
                return self.stop(!self.rest.is_empty());
            }
            let name_size = usize::from(bytes::u16_at(self.rest, const { ITEM.at("key") }));
            let word = bytes::u16_at(self.rest, const { ITEM.at("type_and_size") });
            if name_size == 0 && word == 0 {
                return self.stop(false); // what pads a record to 8 bytes
            }
            let (kind, size) = (word >> 12, usize::from(word) & ITEM_LIMIT);
            let Some(data) = self.rest[ITEM.size..].get(..size) else { return self.stop(true) };
            let Some((name, data)) = data.split_at_checked(name_size) else { return self.stop(true) };
            let item = match (kind, data.len()) {
                (log_item::STRING, _) => LogItem::Attribute(name, Value::String(data)),
                (log_item::INT, 8) => LogItem::Attribute(name, Value::Int(bytes::u64_at(data, 0).cast_signed())),
                (log_item::FLOAT, 8) => LogItem::Attribute(name, Value::Float(f64::from_bits(bytes::u64_at(data, 0)))),
                (log_item::BOOL, 1) => LogItem::Attribute(name, Value::Bool(data[0] != 0)),
                (log_item::JSON, _) => LogItem::Json(name, data),
                (log_item::OMIT, _) => LogItem::Omit(data),
                (log_item::BODY, _) => LogItem::Body(data),
                (log_item::SEVERITY_TEXT, _) => LogItem::SeverityText(data),
                (log_item::FUNCTION, _) => LogItem::Function(data),
                (log_item::FILE, _) => LogItem::File(data),
                (log_item::EVENT_NAME, _) => LogItem::EventName(data),
                (log_item::LINE, 4) => LogItem::Line(bytes::u32_at(data, 0)),
                (kind, _) if kind > log_item::EVENT_NAME => {
                    self.rest = self.rest.get(ITEM.size + size.next_multiple_of(4)..).unwrap_or(&[]);
                    continue; // a newer program's
                }
                _ => return self.stop(true),
            };
            let padded = ITEM.size + size.next_multiple_of(4);
            self.rest = self.rest.get(padded..).unwrap_or(&[]);
            return Some(item);
        }
    }
}
