//! Writes spans again after it is known what they have in common with others.

use std::collections::HashSet;

use deliver::otlp::encode::text;
use deliver::otlp::walk::{Attribute, Field, Fields, Malformed, SPAN_ATTRIBUTES, Whole};
use model::{SOURCE_ATTRIBUTE, SpanId, TraceId};

/// What is written differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub trace_id: Option<TraceId>,
    pub parent: Option<SpanId>,
}

const TRACE_ID: u64 = 1;
const PARENT: u64 = 4;
const EVENTS: u64 = 11;
const LINKS: u64 = 13;
/// Tags of those fields.
const TRACE_ID_TAG: u8 = 0x0a;
const PARENT_TAG: u8 = 0x22;

/// What a span says that another one of the same operation does not: attributes, and events and links where that one has
/// none. As fields that can be appended to its message.
pub(super) fn more(of: &[u8], than: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (mut known, mut has) = (HashSet::new(), [false; 2]);
    for field in Fields::of(than) {
        match field? {
            (SPAN_ATTRIBUTES, Field::Bytes(pair)) => {
                known.extend(Attribute::read(pair)?.map(|attribute| attribute.key));
            }
            (EVENTS, _) => has[0] = true,
            (LINKS, _) => has[1] = true,
            _ => {}
        }
    }
    let mut more = Vec::new();
    for (number, field, whole) in Whole::of(of) {
        let is_more = match (number, field?) {
            (SPAN_ATTRIBUTES, Field::Bytes(pair)) => Attribute::read(pair)?.is_some_and(|attribute| {
                attribute.key != SOURCE_ATTRIBUTE.as_bytes() && !known.contains(attribute.key)
            }),
            (EVENTS, _) => !has[0],
            (LINKS, _) => !has[1],
            _ => false,
        };
        if is_more {
            more.extend_from_slice(whole);
        }
    }
    Ok(more)
}

/// A span with other ids and with more at its end.
pub(super) fn changed(span: &[u8], change: Change, more: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut changed = Vec::with_capacity(span.len() + more.len() + 16);
    if let Some(trace_id) = change.trace_id {
        text(&mut changed, TRACE_ID_TAG, &trace_id.0);
    }
    if let Some(parent) = change.parent {
        text(&mut changed, PARENT_TAG, &parent.0);
    }
    for (number, field, whole) in Whole::of(span) {
        field?;
        let is_replaced =
            number == TRACE_ID && change.trace_id.is_some() || number == PARENT && change.parent.is_some();
        if !is_replaced {
            changed.extend_from_slice(whole);
        }
    }
    changed.extend_from_slice(more);
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, span};
    use super::*;

    #[test]
    fn what_another_has_more_is_added_once() {
        let told = span(1, 2, 3).with(&[("a", "1"), ("b", "2")]).bytes();
        let seen = span(9, 9, 9).with(&[("b", "3"), ("c", "4"), (SOURCE_ATTRIBUTE, "socket")]).event("x").bytes();
        let more = more(&seen, &told).expect("spans");
        let change = Change { trace_id: Some(testing::trace(5)), parent: Some(testing::id(6)) };
        let read = testing::read(&changed(&told, change, &more).expect("a span"));
        assert_eq!(read, span(5, 2, 6).with(&[("a", "1"), ("b", "2"), ("c", "4")]).event("x"));
        let own = super::more(&seen, &read.bytes()).expect("spans");
        assert!(own.is_empty(), "nothing is left to say: {own:?}");
        assert_eq!(testing::read(&changed(&told, Change::default(), &[]).expect("a span")), testing::read(&told));
    }
}
