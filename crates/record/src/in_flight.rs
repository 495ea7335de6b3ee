//! Spans that are under way in a program that runs, for whoever looks at it from outside. The program writes meanwhile: an
//! entry that is being written or freed may be anything, so what cannot be read, or makes no sense, is left out.

use crate::layout;
use crate::parse::{Item, SpanRecord, Value};
use crate::tables::Tables;
use crate::{Descriptor, Functions, MonotonicNanos, memory};

/// A span that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// What makes such spans.
    pub operation: Descriptor,
    /// As on the wire.
    pub trace_id: [u8; 16],
    /// As on the wire.
    pub span_id: [u8; 8],
    /// As on the wire; zeros: none.
    pub parent_span_id: [u8; 8],
    /// When it began.
    pub start: MonotonicNanos,
    /// Those of its attributes so far that are text and have well-known keys.
    pub attributes: Vec<(&'static str, String)>,
}

impl Functions {
    /// Spans that are under way, in the order of the table.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let tables = Tables::new(self.mapping(), self.header());
        let mut found = Vec::new();
        memory::in_flight(self.file(), self.header(), |entry| {
            let Ok(record) = SpanRecord::parse(entry) else { return };
            let Some(operation) = tables.descriptor(record.descriptor()) else { return };
            if record.end().is_some() || record.trace_id() == [0; 16] || record.span_id() == [0; 8] {
                return;
            }
            let attributes = record.items().filter_map(|item| match item {
                Item::Attribute(key, Value::String(text)) => {
                    Some((layout::key_name(key)?, String::from_utf8_lossy(text).into_owned()))
                }
                _ => None,
            });
            found.push(InFlight {
                operation,
                trace_id: record.trace_id(),
                span_id: record.span_id(),
                parent_span_id: record.parent_span_id(),
                start: record.start(),
                attributes: attributes.collect(),
            });
        });
        found
    }
}
