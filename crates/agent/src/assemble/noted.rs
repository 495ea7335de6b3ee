//! One record's items, gone through once: what they say about the span as a whole is noted, all else goes on to be encoded.

use arrayvec::ArrayVec;
use deliver::otlp::encode::{Parts, SpanEncoder, UnixNanos};
use record::layout::{self, FIRST_NON_METRIC_KEY, PARTS, RECORD_FLAG_GO_PARTS, RECORD_FLAG_KERNEL_PARTS};
use record::{Item, Key, MonotonicNanos, SpanRecord, Value};

use super::Faults;
use super::names::{Keys, Operation};
use crate::limits::Budget;

/// Attributes of one span that its name and its metrics can depend on; more than there are such keys.
const NOTED_LIMIT: usize = 24;
/// Attributes of one span that the service graph tells spans apart by, and spans that it is linked to.
const WANTED_LIMIT: usize = 8;
const LINKS_LIMIT: usize = 16;

/// What the items of a record say about the span as a whole.
pub(super) struct Noted<'a> {
    values: ArrayVec<(u16, Value<'a>), NOTED_LIMIT>,
    /// What the service graph wants beside the dimensions.
    pub(super) wanted: ArrayVec<(u16, Value<'a>), WANTED_LIMIT>,
    pub(super) links: ArrayVec<([u8; 16], [u8; 8]), LINKS_LIMIT>,
    /// It has events or links.
    pub(super) has_more: bool,
    pub(super) name: Option<&'a [u8]>,
    pub(super) status_message: &'a [u8],
    pub(super) tracestate: &'a [u8],
    pub(super) parts: Parts,
    pub(super) retransmits: u64,
    pub(super) page_faults: u64,
    /// As the program gave them.
    pub(super) start: Option<UnixNanos>,
    pub(super) end: Option<UnixNanos>,
    pub(super) dropped: [u32; 3],
}

impl<'a> Noted<'a> {
    /// Goes through the items, and hands them on to be encoded.
    pub(super) fn gather(
        record: &SpanRecord<'a>,
        end: MonotonicNanos,
        operation: &Operation,
        keys: &mut Keys,
        faults: &mut Faults,
        budget: &mut Budget,
        encoder: &mut SpanEncoder<'_>,
    ) -> Self {
        let mut noted = Self {
            values: ArrayVec::new(),
            wanted: ArrayVec::new(),
            links: ArrayVec::new(),
            has_more: false,
            name: None,
            status_message: &[],
            tracestate: &[],
            parts: measured_parts(record.flags()),
            retransmits: 0,
            page_faults: 0,
            start: None,
            end: None,
            dropped: [0; 3],
        };
        let template = &operation.template;
        let wall = end.0 - record.start().0;
        let mut fault = |cause| *faults.entry(cause).or_default() += 1;
        let mut is_inside = false; // of an event or a link
        let mut items = record.items();
        loop {
            if let Some((key, value)) = items.next_attribute() {
                if !keys.learn(key) {
                    fault("unknown_key");
                } else if !is_inside && (key < FIRST_NON_METRIC_KEY || template.uses(key)) {
                    noted.note(key, value);
                } else if let (RETRANSMITS | PAGE_FAULTS, Value::Int(count), false) = (key, value, is_inside) {
                    let place = if key == RETRANSMITS { &mut noted.retransmits } else { &mut noted.page_faults };
                    *place = count.max(0).cast_unsigned();
                }
                if !is_inside && keys.is_wanted(key, operation.kind) {
                    let _ = noted.wanted.try_push((key, value)); // more than there is room for are nobody's dimensions
                }
                if let Some(value) = budget.admit_attribute(value) {
                    encoder.attribute(key, value, &keys.known);
                }
                continue;
            }
            let Some(item) = items.next() else { break };
            match item {
                Item::Attribute(..) => {} // has been taken
                Item::Name(name) => noted.name = Some(name),
                Item::StatusMessage(message) => noted.status_message = message,
                Item::Tracestate(tracestate) => noted.tracestate = tracestate,
                Item::Part(part, nanoseconds) => noted.parts.set(part, nanoseconds.min(wall)),
                Item::Event(key, _) => {
                    noted.has_more = true;
                    keys.learn(key);
                    is_inside = true;
                }
                Item::NamedEvent(..) => (is_inside, noted.has_more) = (true, true),
                Item::OpenLink { trace_id, span_id, .. } => {
                    noted.link(trace_id, span_id);
                    is_inside = true;
                }
                Item::EventEnd => is_inside = false,
                Item::Link(trace_id, span_id) => noted.link(trace_id, span_id),
                Item::AnyAttribute(Key::Number(key), _) if !keys.learn(key) => fault("unknown_key"),
                Item::AnyAttribute(..) => {}
                Item::Start(time) => noted.start = Some(UnixNanos(time)),
                Item::End(time) => noted.end = Some(UnixNanos(time)),
                Item::Dropped { attributes, events, links } => noted.dropped = [attributes, events, links],
            }
            if let Some(item) = budget.admit(item) {
                if matches!(item, Item::EventEnd) {
                    encoder.dropped_inside(budget.inner_dropped);
                }
                encoder.item(&item, &keys.known);
            }
        }
        if items.malformed() {
            fault("malformed_items");
        }
        // The rest of wall time was spent computing, but only when everything else was measured.
        if record.has(RECORD_FLAG_GO_PARTS) && record.has(RECORD_FLAG_KERNEL_PARTS) {
            // The kernel's finding about a wait that Go has measured.
            let unread = noted.parts.get(UNREAD).unwrap_or(0);
            let network = noted.parts.get(GO_NETWORK).unwrap_or(0);
            if unread > network {
                noted.parts.set(UNREAD, network);
            }
            noted.parts.set(GO_NETWORK, network.saturating_sub(unread));
            noted.parts.set(ON_CPU, 0);
            let waited = noted.parts.sum();
            noted.parts.set(ON_CPU, wall.saturating_sub(waited));
            if (1..=CLOCKS_APART).contains(&waited.saturating_sub(wall)) {
                noted.parts.shorten_longest(waited - wall);
            }
        }
        noted
    }

    #[inline]
    fn note(&mut self, key: u16, value: Value<'a>) {
        // Of a key that is given twice the last value counts.
        match self.values.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => drop(self.values.try_push((key, value))),
        }
    }

    #[inline]
    pub(super) fn value(&self, wanted: u16) -> Option<Value<'a>> {
        self.values.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value)
    }

    fn link(&mut self, trace_id: [u8; 16], span_id: [u8; 8]) {
        self.has_more = true;
        let _ = self.links.try_push((trace_id, span_id));
    }

    pub(super) fn dimensions(&self) -> impl Iterator<Item = &(u16, Value<'a>)> {
        self.values.iter().filter(|(key, _)| *key < FIRST_NON_METRIC_KEY)
    }
}

const RETRANSMITS: u16 = layout::key("tandem.tcp.retransmits");
const PAGE_FAULTS: u16 = layout::key("tandem.page_faults");

const ON_CPU: usize = 0;
const GO_NETWORK: usize = layout::part("go_network");
const UNREAD: usize = layout::part("network_unread");

/// Go's waits are timed by the processor's counter, the span by the clock: a span that only waited may have waited longer
/// than it took, by no more than this (ns).
const CLOCKS_APART: u64 = 2_000;

/// The parts of Go's half and of the kernel's half, a bit each.
const GO_PARTS: u32 = parts_of(true);
const KERNEL_PARTS: u32 = parts_of(false);

pub(super) const fn parts_of(go: bool) -> u32 {
    let (mut mask, mut index) = (0, ON_CPU + 1);
    while index < PARTS.len() {
        let name = PARTS[index].as_bytes();
        if (name[0] == b'g' && name[1] == b'o' && name[2] == b'_') == go {
            mask |= 1 << index;
        }
        index += 1;
    }
    mask
}

/// Parts of the halves that were measured, as 0 until an item says more.
pub(super) fn measured_parts(flags: u8) -> Parts {
    let go = if flags & RECORD_FLAG_GO_PARTS != 0 { GO_PARTS } else { 0 };
    let kernel = if flags & RECORD_FLAG_KERNEL_PARTS != 0 { KERNEL_PARTS } else { 0 };
    Parts::zeros(go | kernel)
}
