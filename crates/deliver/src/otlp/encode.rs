//! From a span record to OTLP bytes, without a tree in between.
//!
//! This runs once for every span there is, so it only ever appends: keys are constant bytes, nested lengths are
//! computed before they are written, and the span's own length (two bytes for nearly all spans) is put in afterwards.

use std::borrow::Cow;
use std::sync::LazyLock;

use model::{ANATOMY_PREFIX, UNFINISHED_ATTRIBUTE};
use record::layout::{FIRST_DYNAMIC_KEY, KEYS, PARTS, RECORD_FLAG_CUT, RECORD_FLAG_REMOTE_PARENT};
use record::{Item, MonotonicNanos, SpanRecord, Value};

/// A moment, ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub u64);

/// How much later than `CLOCK_MONOTONIC` the wall clock is, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset(pub i64);

impl ClockOffset {
    /// The wall clock's time at a moment.
    #[inline]
    pub fn unix(self, moment: MonotonicNanos) -> UnixNanos {
        UnixNanos(moment.0.saturating_add_signed(self.0))
    }
}

/// Attribute keys by their number in records, ready to be written: field 1 of a `KeyValue`.
#[derive(Debug)]
pub struct KeyTable {
    keys: Vec<Option<Box<[u8]>>>,
}

impl Default for KeyTable {
    fn default() -> Self {
        let mut table = Self { keys: vec![None; usize::from(FIRST_DYNAMIC_KEY)] };
        for key in KEYS {
            table.insert(key.id, key.name);
        }
        table
    }
}

impl KeyTable {
    /// Gives a number a name; names longer than 127 bytes are cut.
    pub fn insert(&mut self, id: u16, name: &str) {
        let index = usize::from(id);
        if index >= self.keys.len() {
            self.keys.resize(index + 1, None);
        }
        let name = &name.as_bytes()[..name.floor_char_boundary(127)];
        self.keys[index] = Some([&[0x0a, name.len() as u8], name].concat().into_boxed_slice());
    }

    /// Whether a number has a name.
    #[inline]
    pub fn knows(&self, id: u16) -> bool {
        self.field(id).is_some()
    }

    /// The name behind a number.
    pub fn name(&self, id: u16) -> Option<&str> {
        self.field(id).and_then(|field| std::str::from_utf8(&field[2..]).ok())
    }

    #[inline]
    fn field(&self, id: u16) -> Option<&[u8]> {
        self.keys.get(usize::from(id))?.as_deref()
    }
}

/// The parts of a span's anatomy that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    measured: u32,
    nanoseconds: [u64; PARTS.len()],
}

impl Parts {
    /// Parts that were measured as 0, a bit each.
    #[inline]
    pub fn zeros(measured: u32) -> Self {
        Self { measured, nanoseconds: [0; PARTS.len()] }
    }

    /// Sets a part, by its index in `record::layout::PARTS`.
    #[inline]
    pub fn set(&mut self, part: usize, nanoseconds: u64) {
        self.measured |= 1 << part;
        self.nanoseconds[part] = nanoseconds;
    }

    /// A part, where measured.
    #[inline]
    pub fn get(&self, part: usize) -> Option<u64> {
        (self.measured & 1 << part != 0).then(|| self.nanoseconds[part])
    }

    /// Nothing was measured.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.measured == 0
    }

    /// Sum of all parts.
    #[inline]
    pub fn sum(&self) -> u64 {
        self.nanoseconds.iter().fold(0, |sum, &part| sum.saturating_add(part))
    }
}

/// What a record does not say itself: what its operation, its items together and its process add.
#[derive(Clone, Copy, Debug)]
pub struct SpanFacts<'a> {
    /// The span's name.
    pub name: &'a str,
    /// Kind, as in OTLP.
    pub kind: u8,
    /// End; for an unfinished span when that was noticed.
    pub end: MonotonicNanos,
    /// The program ended before the span did.
    pub unfinished: bool,
    /// Explanation of an error.
    pub status_message: &'a [u8],
    /// W3C tracestate.
    pub tracestate: &'a [u8],
    /// Anatomy.
    pub parts: &'a Parts,
}

/// Appends one span as field 2 of a `ScopeSpans`. `scratch` is working space.
pub fn span(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    record: &SpanRecord<'_>,
    facts: &SpanFacts<'_>,
    keys: &KeyTable,
    clock: ClockOffset,
) {
    out.push(0x12);
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let start_at = out.len();

    out.extend_from_slice(&[0x0a, 16]);
    out.extend_from_slice(&record.trace_id());
    out.extend_from_slice(&[0x12, 8]);
    out.extend_from_slice(&record.span_id());
    if !facts.tracestate.is_empty() {
        text(out, 0x1a, &valid_utf8(facts.tracestate));
    }
    let parent = record.parent_span_id();
    if parent != [0; 8] {
        out.extend_from_slice(&[0x22, 8]);
        out.extend_from_slice(&parent);
    }
    text(out, 0x2a, facts.name.as_bytes());
    out.extend_from_slice(&[0x30, facts.kind]);
    let start = record.start();
    fixed64(out, 0x39, clock.unix(start).0);
    fixed64(out, 0x41, clock.unix(facts.end.max(start)).0);
    items(out, scratch, record, keys, clock);
    parts(out, facts.parts);
    if facts.unfinished {
        out.extend_from_slice(&UNFINISHED);
    }
    if record.has(RECORD_FLAG_CUT) {
        out.extend_from_slice(&[0x50, 1]); // at least one attribute was dropped; how many is not known
    }
    status(out, record.status(), facts.status_message);
    let remote = if record.has(RECORD_FLAG_REMOTE_PARENT) { 0x200 } else { 0 };
    out.extend_from_slice(&[0x85, 0x01]);
    out.extend_from_slice(&(u32::from(record.trace_flags()) | 0x100 | remote).to_le_bytes());

    let length = out.len() - start_at;
    if (128..1 << 14).contains(&length) {
        out[length_at] = length as u8 | 0x80;
        out[length_at + 1] = (length >> 7) as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        varint(&mut prefix, length as u64);
        out.splice(length_at..start_at, prefix);
    }
}

/// Attributes, events and links.
fn items(out: &mut Vec<u8>, scratch: &mut Vec<u8>, record: &SpanRecord<'_>, keys: &KeyTable, clock: ClockOffset) {
    let mut in_event = false;
    for item in record.items() {
        match item {
            Item::Attribute(key, value) => match keys.field(key) {
                Some(field) if in_event => attribute(scratch, 0x1a, field, value),
                Some(field) => attribute(out, 0x4a, field, value),
                None => {} // whoever assembles has counted it
            },
            Item::Event(key, time) => {
                finish_event(out, scratch, &mut in_event);
                in_event = true;
                fixed64(scratch, 0x09, clock.unix(time).0);
                text(scratch, 0x12, keys.field(key).map_or(b"event".as_slice(), |field| &field[2..]));
            }
            Item::EventEnd => finish_event(out, scratch, &mut in_event),
            Item::Link(trace_id, span_id) => {
                out.extend_from_slice(&[0x6a, 28, 0x0a, 16]);
                out.extend_from_slice(&trace_id);
                out.extend_from_slice(&[0x12, 8]);
                out.extend_from_slice(&span_id);
            }
            Item::Name(_) | Item::StatusMessage(_) | Item::Tracestate(_) | Item::Part(..) => {}
        }
    }
    finish_event(out, scratch, &mut in_event);
}

fn finish_event(out: &mut Vec<u8>, scratch: &mut Vec<u8>, in_event: &mut bool) {
    if std::mem::take(in_event) {
        out.push(0x5a);
        varint(out, scratch.len() as u64);
        out.append(scratch);
    }
}

/// A `KeyValue` under `tag`; `key` is its field 1.
#[inline]
fn attribute(out: &mut Vec<u8>, tag: u8, key: &[u8], value: Value<'_>) {
    let head = |out: &mut Vec<u8>, any_value: usize| {
        out.push(tag);
        varint(out, (key.len() + 1 + varint_size(any_value as u64) + any_value) as u64);
        out.extend_from_slice(key);
        out.push(0x12);
        varint(out, any_value as u64);
    };
    match value {
        // Nearly all text is short: then all lengths have one byte.
        Value::String(bytes) if key.len() + bytes.len() < 120 && std::str::from_utf8(bytes).is_ok() => {
            let (size, key_size) = (bytes.len() as u8, key.len() as u8);
            out.extend_from_slice(&[tag, key_size + size + 4]);
            out.extend_from_slice(key);
            out.extend_from_slice(&[0x12, size + 2, 0x0a, size]);
            out.extend_from_slice(bytes);
        }
        Value::String(bytes) => {
            let text = valid_utf8(bytes);
            head(out, 1 + varint_size(text.len() as u64) + text.len());
            self::text(out, 0x0a, &text);
        }
        Value::Bool(flag) => {
            head(out, 2);
            out.extend_from_slice(&[0x10, u8::from(flag)]);
        }
        Value::Int(number) => {
            head(out, 1 + varint_size(number.cast_unsigned()));
            out.push(0x18);
            varint(out, number.cast_unsigned());
        }
        Value::Float(number) => {
            head(out, 9);
            fixed64(out, 0x21, number.to_bits());
        }
    }
}

/// Attributes of all parts, measured as 0.
static ZERO_PARTS: LazyLock<(Vec<u8>, [usize; PARTS.len() + 1])> = LazyLock::new(|| {
    let (mut bytes, mut offsets) = (Vec::new(), [0; PARTS.len() + 1]);
    for (index, part) in PARTS.iter().enumerate() {
        let key = format!("{ANATOMY_PREFIX}{part}");
        attribute(&mut bytes, 0x4a, &[&[0x0a, key.len() as u8], key.as_bytes()].concat(), Value::Int(0));
        offsets[index + 1] = bytes.len();
    }
    (bytes, offsets)
});

/// `tandem.unfinished: true`.
static UNFINISHED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    let key = [&[0x0a, UNFINISHED_ATTRIBUTE.len() as u8], UNFINISHED_ATTRIBUTE.as_bytes()].concat();
    attribute(&mut bytes, 0x4a, &key, Value::Bool(true));
    bytes
});

/// Most parts of most spans are 0: what lies between the others is copied in one piece.
fn parts(out: &mut Vec<u8>, parts: &Parts) {
    if parts.is_empty() {
        return;
    }
    let (zeros, offsets) = &*ZERO_PARTS;
    let mut index = 0;
    while index < PARTS.len() {
        let first = index;
        while index < PARTS.len() && parts.get(index) == Some(0) {
            index += 1;
        }
        out.extend_from_slice(&zeros[offsets[first]..offsets[index]]);
        if index == PARTS.len() {
            return;
        }
        if let Some(nanoseconds) = parts.get(index) {
            // The zero's attribute is: tag, length, the key's field, then four bytes of value.
            let key = &zeros[offsets[index] + 2..offsets[index + 1] - 4];
            attribute(out, 0x4a, key, Value::Int(nanoseconds.min(i64::MAX.cast_unsigned()).cast_signed()));
        }
        index += 1;
    }
}

fn status(out: &mut Vec<u8>, code: u8, message: &[u8]) {
    if code == 0 && message.is_empty() {
        return;
    }
    let message = valid_utf8(message);
    let code_size = if code == 0 { 0 } else { 2 };
    let message_size = if message.is_empty() { 0 } else { 1 + varint_size(message.len() as u64) + message.len() };
    out.push(0x7a);
    varint(out, (message_size + code_size) as u64);
    if message_size > 0 {
        text(out, 0x12, &message);
    }
    if code_size > 0 {
        out.extend_from_slice(&[0x18, code]);
    }
}

/// Text comes from the program: cut or binary text must not make the whole batch unreadable.
#[inline]
fn valid_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Cow::Borrowed(bytes),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into_bytes()),
    }
}

/// A length-delimited field.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
fn fixed64(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A base-128 number.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
pub(crate) fn varint_size(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}
