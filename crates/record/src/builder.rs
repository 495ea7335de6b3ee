//! Makes span records: what woven programs do in Go, for spans that are seen from outside, and for tests.
//!
//! A record is never larger than a reader takes: an item that would make it so is left out, and the record says that it was cut.

use crate::layout::{ITEM, ITEM_LIMIT, RECORD, RECORD_FLAG_CUT, RECORD_LIMIT, RECORD_SPAN, item};

/// Makes a span record, item by item.
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    bytes: Vec<u8>,
}

impl RecordBuilder {
    /// A span of an operation.
    pub fn span(trace_id: [u8; 16], span_id: [u8; 8], descriptor: u32) -> Self {
        let mut bytes = vec![0; RECORD.size];
        bytes[RECORD.at("kind")] = RECORD_SPAN;
        bytes[RECORD.at("trace_flags")] = 1;
        bytes[RECORD.at("trace_id")..][..16].copy_from_slice(&trace_id);
        bytes[RECORD.at("span_id")..][..8].copy_from_slice(&span_id);
        bytes[RECORD.at("descriptor")..][..4].copy_from_slice(&descriptor.to_le_bytes());
        Self { bytes }
    }

    /// Its parent.
    pub fn parent(mut self, span_id: [u8; 8]) -> Self {
        self.bytes[RECORD.at("parent_span_id")..][..8].copy_from_slice(&span_id);
        self
    }

    /// Its times; an end of 0 is "not ended".
    pub fn times(mut self, start: u64, end: u64) -> Self {
        self.bytes[RECORD.at("start")..][..8].copy_from_slice(&start.to_le_bytes());
        self.bytes[RECORD.at("end")..][..8].copy_from_slice(&end.to_le_bytes());
        self
    }

    /// Its W3C trace flags; without, it is sampled.
    pub fn trace_flags(mut self, flags: u8) -> Self {
        self.bytes[RECORD.at("trace_flags")] = flags;
        self
    }

    /// Its status.
    pub fn status(mut self, code: u8) -> Self {
        self.bytes[RECORD.at("status")] = code;
        self
    }

    /// Its flags.
    pub fn flags(mut self, flags: u8) -> Self {
        self.bytes[RECORD.at("flags")] |= flags;
        self
    }

    /// Any item; of data that are longer than an item can be, the beginning.
    pub fn item(mut self, key: u16, kind: u16, data: &[u8]) -> Self {
        let data = &data[..data.len().min(ITEM_LIMIT)];
        if self.bytes.len() + ITEM.size + data.len() > RECORD_LIMIT - 16 {
            return self.flags(RECORD_FLAG_CUT);
        }
        self.bytes.extend(key.to_le_bytes());
        self.bytes.extend((kind << 12 | data.len() as u16).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Bytes as they are, padded to 4: what follows the length of an extended item.
    pub fn raw(mut self, data: &[u8]) -> Self {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// A text attribute. Not necessarily UTF-8.
    pub fn text(self, key: u16, value: impl AsRef<[u8]>) -> Self {
        self.item(key, item::STRING, value.as_ref())
    }

    /// The same, where there is any text.
    pub fn text_if_any(self, key: u16, value: impl AsRef<[u8]>) -> Self {
        if value.as_ref().is_empty() { self } else { self.text(key, value) }
    }

    /// An integer attribute.
    pub fn int(self, key: u16, value: i64) -> Self {
        self.item(key, item::INT, &value.to_le_bytes())
    }

    /// A part of the anatomy.
    pub fn part(self, part: u16, nanoseconds: u64) -> Self {
        self.item(part, item::PART, &nanoseconds.to_le_bytes())
    }

    /// Items only, for the labels of a series.
    pub fn labels(self) -> Vec<u8> {
        self.bytes[RECORD.size..].to_vec()
    }

    /// The record, with its size.
    pub fn build(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let size = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&size.to_le_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, SpanRecord, Value};

    /// What is built is read again, item by item.
    #[test]
    fn a_record_is_read_as_it_was_built() {
        let bytes = RecordBuilder::span([1; 16], [2; 8], 3)
            .parent([4; 8])
            .times(5, 6)
            .status(2)
            .text(7, "GET")
            .text_if_any(8, "")
            .int(9, -1)
            .build();
        let record = SpanRecord::parse(&bytes).expect("a record");
        assert_eq!((record.trace_id(), record.span_id(), record.parent_span_id()), ([1; 16], [2; 8], [4; 8]));
        assert_eq!((record.start().0, record.end().map(|end| end.0), record.status()), (5, Some(6), 2));
        let items: Vec<_> = record.items().collect();
        assert_eq!(items, [Item::Attribute(7, Value::String(b"GET")), Item::Attribute(9, Value::Int(-1))]);
    }

    /// However much is put into a record, a reader takes it.
    #[test]
    fn a_record_is_never_too_large() {
        let long = vec![b'x'; 3 * ITEM_LIMIT];
        let builder = (0..100).fold(RecordBuilder::span([1; 16], [2; 8], 3), |builder, _| builder.text(7, &long));
        let bytes = builder.build();
        let record = SpanRecord::parse(&bytes).expect("a record");
        assert!(record.has(RECORD_FLAG_CUT));
        let mut items = record.items();
        assert!(
            items
                .by_ref()
                .all(|item| matches!(item, Item::Attribute(7, Value::String(text)) if text.len() == ITEM_LIMIT))
        );
        assert!(!items.malformed());
    }
}
