//! From a span record to OTLP bytes, without a tree in between.
//!
//! This runs once for every span there is, so it only ever appends: keys are constant bytes, nested lengths are
//! computed before they are written, and the span's own length (two bytes for nearly all spans) is put in afterwards.

use std::borrow::Cow;
use std::sync::LazyLock;

use model::{ANATOMY_PREFIX, SOURCE_ATTRIBUTE, Source, UNFINISHED_ATTRIBUTE};
use record::layout::{FIRST_DYNAMIC_KEY, KEYS, PARTS, RECORD_FLAG_CUT, RECORD_FLAG_REMOTE_PARENT};
use record::{AnyValue, Item, Moment, MonotonicNanos, SpanRecord, Value};

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

/// Attribute keys by their number in records, ready to be written.
#[derive(Debug)]
pub struct KeyTable {
    keys: Vec<Option<Key>>,
}

/// Longest key that is copied as a block of fixed size; nearly all are shorter.
const SHORT_KEY: usize = 35;
const KEY_BLOCK: usize = SHORT_KEY + 5;

/// A key.
#[derive(Clone, Debug)]
struct Key {
    /// Field 1 of a `KeyValue`.
    field: Box<[u8]>,
    /// An attribute of a span up to the length of its value: tag, length (filled in), the field above, tag of the value.
    /// Nothing where the key is long.
    block: Option<[u8; KEY_BLOCK]>,
}

impl Key {
    /// Names longer than 127 bytes are cut.
    fn new(name: &str) -> Self {
        let name = &name.as_bytes()[..name.floor_char_boundary(127)];
        let field = [&[0x0a, name.len() as u8], name].concat().into_boxed_slice();
        let block = (name.len() <= SHORT_KEY).then(|| {
            let mut block = [0; KEY_BLOCK];
            let size = field.len();
            block[0] = SPAN_ATTRIBUTE;
            block[2..2 + size].copy_from_slice(&field);
            block[2 + size] = VALUE;
            block
        });
        Self { field, block }
    }
}

/// Tags: an attribute in a span, one in an event, one in a link, the value in an attribute.
const SPAN_ATTRIBUTE: u8 = 0x4a;
const EVENT_ATTRIBUTE: u8 = 0x1a;
const LINK_ATTRIBUTE: u8 = 0x22;
const VALUE: u8 = 0x12;

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
        self.keys[index] = Some(Key::new(name));
    }

    /// Whether a number has a name.
    #[inline]
    pub fn knows(&self, id: u16) -> bool {
        self.key(id).is_some()
    }

    /// The name behind a number.
    pub fn name(&self, id: u16) -> Option<&str> {
        self.key(id).and_then(|key| std::str::from_utf8(&key.field[2..]).ok())
    }

    #[inline]
    fn key(&self, id: u16) -> Option<&Key> {
        self.keys.get(usize::from(id))?.as_ref()
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

    /// Forgets all other parts.
    #[inline]
    pub fn keep(&mut self, parts: u32) {
        self.measured &= parts;
    }

    /// The parts that were measured, a bit each.
    #[inline]
    pub fn measured(&self) -> u32 {
        self.measured
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

    /// Takes something off the longest part.
    pub fn shorten_longest(&mut self, nanoseconds: u64) {
        if let Some(longest) = self.nanoseconds.iter_mut().max() {
            *longest = longest.saturating_sub(nanoseconds);
        }
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
    /// Start.
    pub start: UnixNanos,
    /// End; for an unfinished span when that was noticed.
    pub end: UnixNanos,
    /// Where it comes from.
    pub source: Source,
    /// Attributes, events and links that went beyond the program's limits.
    pub dropped: [u32; 3],
    /// The program ended before the span did.
    pub unfinished: bool,
    /// Explanation of an error.
    pub status_message: &'a [u8],
    /// W3C tracestate.
    pub tracestate: &'a [u8],
    /// Anatomy.
    pub parts: &'a Parts,
}

impl Open {
    fn attribute(self) -> u8 {
        match self {
            Self::Span => SPAN_ATTRIBUTE,
            Self::Event => EVENT_ATTRIBUTE,
            Self::Link => LINK_ATTRIBUTE,
        }
    }
}

/// Writes one span as field 2 of a `ScopeSpans`, in one walk over its record: the items as they come, and at the end what
/// only all of them tell.
pub struct SpanEncoder<'a> {
    out: &'a mut Vec<u8>,
    /// Working space: the event or the link that is being written.
    part: &'a mut Vec<u8>,
    clock: ClockOffset,
    length_at: usize,
    open: Open,
}

/// What attributes belong to: the tag of what is being written, or nothing, and the tag of attributes in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Span,
    Event,
    Link,
}

impl<'a> SpanEncoder<'a> {
    /// Begins a span. `part` is working space.
    pub fn begin(out: &'a mut Vec<u8>, part: &'a mut Vec<u8>, record: &SpanRecord<'_>, clock: ClockOffset) -> Self {
        let length_at = out.len() + 1;
        let head = block::<31>(out);
        head[0] = 0x12;
        head[3..5].copy_from_slice(&[0x0a, 16]);
        head[5..21].copy_from_slice(&record.trace_id());
        head[21..23].copy_from_slice(&[0x12, 8]);
        head[23..].copy_from_slice(&record.span_id());
        let parent = record.parent_span_id();
        if parent != [0; 8] {
            let field = block::<10>(out);
            field[..2].copy_from_slice(&[0x22, 8]);
            field[2..].copy_from_slice(&parent);
        }
        Self { out, part, clock, length_at, open: Open::Span }
    }

    /// One item: an attribute, an event or a link. The others belong to the facts.
    #[inline]
    pub fn item(&mut self, item: &Item<'_>, keys: &KeyTable) {
        match *item {
            Item::Attribute(key, value) => self.attribute(key, value, keys),
            Item::AnyAttribute(key, value) => self.any_attribute(key, value, keys),
            Item::Event(key, time) => {
                let name = keys.key(key).map_or(b"event".as_slice(), |key| &key.field[2..]);
                self.event(Moment::Monotonic(time), name);
            }
            Item::NamedEvent(name, time) => self.event(time, &valid_utf8(name)),
            Item::EventEnd => self.finish_part(),
            Item::Link(trace_id, span_id) => {
                self.finish_part();
                self.out.extend_from_slice(&[0x6a, 28, 0x0a, 16]);
                self.out.extend_from_slice(&trace_id);
                self.out.extend_from_slice(&[0x12, 8]);
                self.out.extend_from_slice(&span_id);
            }
            Item::OpenLink { trace_id, span_id, flags, tracestate } => {
                self.finish_part();
                self.open = Open::Link;
                text(self.part, 0x0a, &trace_id);
                text(self.part, 0x12, &span_id);
                if !tracestate.is_empty() {
                    text(self.part, 0x1a, &valid_utf8(tracestate));
                }
                self.part.push(0x35);
                self.part.extend_from_slice(&flags.to_le_bytes());
            }
            Item::Name(_)
            | Item::StatusMessage(_)
            | Item::Tracestate(_)
            | Item::Part(..)
            | Item::Start(_)
            | Item::End(_)
            | Item::Dropped { .. } => {}
        }
    }

    /// One attribute, of the span or of the event or link that is open.
    #[inline]
    pub fn attribute(&mut self, key: u16, value: Value<'_>, keys: &KeyTable) {
        match keys.key(key) {
            Some(key) if self.open == Open::Span => span_attribute(self.out, key, value),
            Some(key) => attribute(self.part, self.open.attribute(), &key.field, value),
            None => {} // whoever assembles has counted it
        }
    }

    fn event(&mut self, time: Moment, name: &[u8]) {
        self.finish_part();
        self.open = Open::Event;
        let time = match time {
            Moment::Monotonic(time) => self.clock.unix(time).0,
            Moment::Unix(time) => time,
        };
        fixed64(self.part, 0x09, time);
        text(self.part, 0x12, name);
    }

    #[cold]
    fn any_attribute(&mut self, key: record::Key<'_>, value: AnyValue<'_>, keys: &KeyTable) {
        let mut pair = Vec::new();
        match key {
            record::Key::Text(name) => text(&mut pair, 0x0a, &valid_utf8(name)),
            record::Key::Number(number) => match keys.key(number) {
                Some(key) => pair.extend_from_slice(&key.field),
                None => return,
            },
        }
        text(&mut pair, VALUE, &any_value(value));
        let out = if self.open == Open::Span { &mut *self.out } else { &mut *self.part };
        text(out, self.open.attribute(), &pair);
    }

    /// So many attributes of the event or link that is open were left out.
    pub fn dropped_inside(&mut self, count: u32) {
        let tag = match self.open {
            Open::Event => 0x20,
            Open::Link => 0x28,
            Open::Span => return,
        };
        if count > 0 {
            self.part.push(tag);
            varint(self.part, count.into());
        }
    }

    fn finish_part(&mut self) {
        let tag = match std::mem::replace(&mut self.open, Open::Span) {
            Open::Span => return,
            Open::Event => 0x5a,
            Open::Link => 0x6a,
        };
        self.out.push(tag);
        varint(self.out, self.part.len() as u64);
        self.out.append(self.part);
    }

    /// Ends the span.
    pub fn finish(mut self, record: &SpanRecord<'_>, facts: &SpanFacts<'_>) {
        self.finish_part();
        let Self { out, length_at, .. } = self;
        if !facts.tracestate.is_empty() {
            text(out, 0x1a, &valid_utf8(facts.tracestate));
        }
        text(out, 0x2a, facts.name.as_bytes());
        let times = block::<20>(out);
        times[..3].copy_from_slice(&[0x30, facts.kind, 0x39]);
        times[3..11].copy_from_slice(&facts.start.0.to_le_bytes());
        times[11] = 0x41;
        times[12..].copy_from_slice(&facts.end.max(facts.start).0.to_le_bytes());
        parts(out, facts.parts);
        if facts.unfinished {
            out.extend_from_slice(&UNFINISHED);
        }
        if facts.source != Source::Woven {
            out.extend_from_slice(source_attribute(facts.source));
        }
        // Where the record was cut at least one attribute was dropped; how many is not known.
        let cut = [u32::from(record.has(RECORD_FLAG_CUT)), 0, 0];
        for (tag, (dropped, least)) in [0x50, 0x60, 0x70].into_iter().zip(facts.dropped.into_iter().zip(cut)) {
            if dropped.max(least) > 0 {
                out.push(tag);
                varint(out, dropped.max(least).into());
            }
        }
        status(out, record.status(), facts.status_message);
        let remote = if record.has(RECORD_FLAG_REMOTE_PARENT) { 0x200 } else { 0 };
        let flags = block::<6>(out);
        flags[..2].copy_from_slice(&[0x85, 0x01]);
        flags[2..].copy_from_slice(&(u32::from(record.trace_flags()) | 0x100 | remote).to_le_bytes());

        let start_at = length_at + 2;
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
}

/// So many more bytes, to be filled in. Filled in place: pieces put together elsewhere and copied from there in one go
/// would wait for each piece to arrive in the cache.
#[inline]
fn block<const SIZE: usize>(out: &mut Vec<u8>) -> &mut [u8; SIZE] {
    let start = out.len();
    out.extend_from_slice(&[0; SIZE]);
    match out[start..].first_chunk_mut() {
        Some(block) => block,
        None => unreachable!("so many bytes were just appended"),
    }
}

/// Longest text that is copied as a block.
const SHORT_TEXT: usize = 32;

/// An attribute of a span. Nearly all have a short key and a short value: those are written as blocks of fixed size, of
/// which the end is overwritten by what comes next, since a call for each few bytes costs more than the bytes.
#[inline]
fn span_attribute(out: &mut Vec<u8>, key: &Key, value: Value<'_>) {
    let start = out.len();
    let short = key.block.as_ref().and_then(|key_block| {
        out.extend_from_slice(key_block);
        out.truncate(start + key.field.len() + 3);
        let size = short_value(block(out), value)?;
        out[start + 1] = (key.field.len() + 2) as u8 + size;
        Some(start + key.field.len() + 4 + usize::from(size))
    });
    match short {
        Some(end) => out.truncate(end),
        None => {
            out.truncate(start);
            attribute(out, SPAN_ATTRIBUTE, &key.field, value);
        }
    }
}

/// Writes an `AnyValue`, its length before it; its size without that, or nothing where it is not short.
#[inline]
fn short_value(block: &mut [u8; SHORT_TEXT + 3], value: Value<'_>) -> Option<u8> {
    let size = match value {
        Value::String(bytes) => {
            if !copy_short_ascii(bytes, block.last_chunk_mut()?) {
                return None;
            }
            block[1] = 0x0a;
            block[2] = bytes.len() as u8;
            bytes.len() as u8 + 2
        }
        Value::Bool(flag) => {
            block[1] = 0x10;
            block[2] = u8::from(flag);
            2
        }
        Value::Int(number @ 0..0x80) => {
            block[1] = 0x18;
            block[2] = number as u8;
            2
        }
        Value::Int(number @ 0x80..0x4000) => {
            block[1] = 0x18;
            block[2] = number as u8 | 0x80;
            block[3] = (number >> 7) as u8;
            3
        }
        Value::Int(_) | Value::Float(_) => return None,
    };
    block[0] = size;
    Some(size)
}

/// Copies short text; `false` when it is longer than the block, or not ASCII. What follows the text is not touched.
/// Two pieces that may overlap cover every length.
#[inline]
fn copy_short_ascii(text: &[u8], block: &mut [u8; SHORT_TEXT]) -> bool {
    #[inline]
    fn ends<const SIZE: usize>(text: &[u8], block: &mut [u8]) -> Option<([u8; SIZE], [u8; SIZE])> {
        let (first, last) = (*text.first_chunk::<SIZE>()?, *text.last_chunk::<SIZE>()?);
        let block = block.get_mut(..text.len())?;
        *block.first_chunk_mut()? = first;
        *block.last_chunk_mut()? = last;
        Some((first, last))
    }
    const HIGH: u128 = u128::from_ne_bytes([0x80; 16]);
    let bits = match text.len() {
        0 => Some(0),
        1..4 => {
            // First, middle, last: at most three bytes.
            let (first, middle, last) = (text[0], text[text.len() / 2], text[text.len() - 1]);
            block[0] = first;
            block[text.len() / 2] = middle;
            block[text.len() - 1] = last;
            Some(u128::from(first | middle | last))
        }
        4..8 => ends(text, block).map(|(a, b)| u128::from(u32::from_ne_bytes(a) | u32::from_ne_bytes(b))),
        8..16 => ends(text, block).map(|(a, b)| u128::from(u64::from_ne_bytes(a) | u64::from_ne_bytes(b))),
        16..=SHORT_TEXT => ends(text, block).map(|(a, b)| u128::from_ne_bytes(a) | u128::from_ne_bytes(b)),
        _ => None,
    };
    bits.is_some_and(|bits| bits & HIGH == 0)
}

/// A `KeyValue` under `tag`; `key` is its field 1.
pub(super) fn attribute(out: &mut Vec<u8>, tag: u8, key: &[u8], value: Value<'_>) {
    let head = |out: &mut Vec<u8>, any_value: usize| {
        out.push(tag);
        varint(out, (key.len() + 1 + varint_size(any_value as u64) + any_value) as u64);
        out.extend_from_slice(key);
        out.push(VALUE);
        varint(out, any_value as u64);
    };
    match value {
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

/// An `AnyValue` of any form. The record was looked through, so it is not deep.
fn any_value(value: AnyValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        AnyValue::One(Value::String(bytes)) => text(&mut out, 0x0a, &valid_utf8(bytes)),
        AnyValue::One(Value::Bool(flag)) => out.extend_from_slice(&[0x10, u8::from(flag)]),
        AnyValue::One(Value::Int(number)) => {
            out.push(0x18);
            varint(&mut out, number.cast_unsigned());
        }
        AnyValue::One(Value::Float(number)) => fixed64(&mut out, 0x21, number.to_bits()),
        AnyValue::Bytes(bytes) => text(&mut out, 0x3a, bytes),
        AnyValue::List(values) => {
            let mut items = Vec::new();
            values.for_each(|value| text(&mut items, 0x0a, &any_value(value)));
            text(&mut out, 0x2a, &items);
        }
        AnyValue::Map(pairs) => {
            let mut items = Vec::new();
            for (key, value) in pairs {
                let mut pair = Vec::new();
                text(&mut pair, 0x0a, &valid_utf8(key));
                text(&mut pair, VALUE, &any_value(value));
                text(&mut items, 0x0a, &pair);
            }
            text(&mut out, 0x32, &items);
        }
    }
    out
}

/// Attributes of all parts, measured as 0.
static ZERO_PARTS: LazyLock<(Vec<u8>, [usize; PARTS.len() + 1])> = LazyLock::new(|| {
    let (mut bytes, mut offsets) = (Vec::new(), [0; PARTS.len() + 1]);
    for (index, part) in PARTS.iter().enumerate() {
        let key = format!("{ANATOMY_PREFIX}{part}");
        attribute(&mut bytes, SPAN_ATTRIBUTE, &Key::new(&key).field, Value::Int(0));
        offsets[index + 1] = bytes.len();
    }
    (bytes, offsets)
});

/// `tandem.unfinished: true`.
static UNFINISHED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    attribute(&mut bytes, SPAN_ATTRIBUTE, &Key::new(UNFINISHED_ATTRIBUTE).field, Value::Bool(true));
    bytes
});

/// In the order of [`Source`].
static SOURCES: LazyLock<[Vec<u8>; Source::ALL.len()]> =
    LazyLock::new(|| Source::ALL.map(|source| text_attribute(SOURCE_ATTRIBUTE, source.name())));

/// `tandem.source: "api"` and so on, as a field that can be appended to a span.
pub fn source_attribute(source: Source) -> &'static [u8] {
    &SOURCES[source as usize]
}

/// An attribute that is a text, as a field that can be appended to a span.
pub fn text_attribute(key: &str, text: &str) -> Vec<u8> {
    let mut field = Vec::new();
    attribute(&mut field, SPAN_ATTRIBUTE, &Key::new(key).field, Value::String(text.as_bytes()));
    field
}

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
            attribute(out, SPAN_ATTRIBUTE, key, Value::Int(nanoseconds.min(i64::MAX.cast_unsigned()).cast_signed()));
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
pub(super) fn valid_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Cow::Borrowed(bytes),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into_bytes()),
    }
}

/// A length-delimited field.
#[inline]
pub fn text(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(super) fn fixed64(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A base-128 number.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes that a base-128 number takes.
#[inline]
pub fn varint_size(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}
