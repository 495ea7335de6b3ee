//! Spans that wait for their trace's decision: their bytes as they came, one after the other, with a small index by trace.
//!
//! ```text
//!   segments, oldest first        each 256 KiB: heads and spans, in the order in which they came
//!   ┌────────┬────────┬────────┐  span: previous of its trace 8 │ its scope 4 │ length 4 │ bytes
//!   │        │        │     →  │  scope: its resource 4 │ length 4 │ bytes
//!   └────────┴────────┴────────┘  resource: length 4 │ bytes
//!   traces, 40 bytes each: id, last span, when the first came, neighbours in age; found by a table of 4-byte slots
//! ```
//!
//! What is held takes the wire's bytes, 16 for each span, and some 52 for each trace. All traces are decided at the same age,
//! so that segments are free again in the order in which they were filled; nothing is moved. Scopes and resources are
//! written once for each batch and segment.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::TraceId;
use std::hash::BuildHasher;

/// Bytes that are allocated at a time.
const SEGMENT: usize = 256 * 1024;
/// Free segments that are kept, so that their memory is not fetched from the system again.
const FREE_SEGMENTS: usize = 2;
/// What a trace takes beside its spans: [`Trace`], and its place in the table.
const TRACE_BYTES: usize = size_of::<Trace>() + 12;
/// Traces that are allocated at a time.
const CHUNK: usize = 1024;
const SPAN_HEAD: usize = 16;
const SCOPE_HEAD: usize = 8;
const RESOURCE_HEAD: usize = 4;
/// No trace, no span.
const NONE: u32 = u32::MAX;

/// Milliseconds since the stage began. They wrap: only differences count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Millis(pub u32);

impl Millis {
    /// Time from then to now.
    pub fn since(self, then: Self) -> u32 {
        self.0.wrapping_sub(then.0)
    }
}

/// A trace that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// Where a record is: the segment's number, and how far into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u32,
    offset: u32,
}

const NOWHERE: Place = Place { segment: NONE, offset: NONE };

#[derive(Clone, Copy, Debug)]
struct Trace {
    id: TraceId,
    last: Place,
    first_came: Millis,
    spans: u32,
    older: u32,
    newer: u32,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    /// Spans in it that have not been decided.
    held: u32,
}

/// Whose spans come, both as they stand in a request.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// What the `ResourceSpans` has before the scopes.
    pub resource: &'a [u8],
    /// What the `ScopeSpans` has before the spans.
    pub scope: &'a [u8],
}

/// Where heads have been written already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    segment: u32,
    resource: Option<u32>,
    scope: Option<u32>,
}

impl Written {
    /// The next scope of the same resource.
    pub fn next_scope(self) -> Self {
        Self { scope: None, ..self }
    }
}

/// A span that is held.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The `Span` message.
    pub span: &'a [u8],
    /// What its `ScopeSpans` has before the spans.
    pub scope: &'a [u8],
    /// What its `ResourceSpans` has before the scopes.
    pub resource: &'a [u8],
}

impl<'a> Held<'a> {
    /// One that comes.
    pub fn new(heads: &Heads<'a>, span: &'a [u8]) -> Self {
        Self { span, scope: heads.scope, resource: heads.resource }
    }
}

/// The spans that wait.
#[derive(Debug)]
pub struct Buffer {
    segments: VecDeque<Segment>,
    /// Number of the first of them.
    first: u32,
    free: Vec<Vec<u8>>,
    /// Bytes of all segments, filled or not.
    allocated: usize,
    traces: Vec<Vec<Trace>>,
    /// Slots that are used no longer, linked by `newer`.
    unused: u32,
    table: HashTable<u32>,
    hasher: RandomState,
    oldest: u32,
    newest: u32,
    spans: u64,
    limit: usize,
}

impl Buffer {
    /// Holds about so many bytes at most, and expects so many traces.
    pub fn new(limit: usize, traces: usize) -> Self {
        let limit = limit.max(2 * SEGMENT);
        Self {
            segments: VecDeque::new(),
            first: 1,
            free: Vec::new(),
            allocated: 0,
            traces: Vec::new(),
            unused: NONE,
            table: HashTable::with_capacity(traces.min(limit / SEGMENT * CHUNK)),
            hasher: RandomState::default(),
            oldest: NONE,
            newest: NONE,
            spans: 0,
            limit,
        }
    }

    /// Traces in it.
    pub fn traces(&self) -> usize {
        self.table.len()
    }

    /// Spans in it.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Memory that it takes: segments, as far as they are not given back, and the index.
    pub fn bytes(&self) -> usize {
        self.allocated + self.traces() * TRACE_BYTES
    }

    /// Memory that this span needs, where neither scope nor resource have been written.
    pub fn needed(heads: &Heads<'_>, span: &[u8]) -> usize {
        SPAN_HEAD + SCOPE_HEAD + RESOURCE_HEAD + heads.resource.len() + heads.scope.len() + span.len()
    }

    /// Whether that much can be held at all.
    pub fn can_hold(&self, needed: usize) -> bool {
        needed <= self.limit - SEGMENT
    }

    /// Whether traces have to go before that much more is held.
    pub fn is_full(&self, needed: usize) -> bool {
        let last = self.segments.back().map_or(0, |segment| segment.bytes.capacity() - segment.bytes.len());
        let has_free = needed <= SEGMENT && !self.free.is_empty();
        let more = if needed <= last || has_free { 0 } else { needed.max(SEGMENT) };
        self.traces() > 0 && self.bytes() + TRACE_BYTES + more > self.limit
    }

    fn hash(&self, id: TraceId) -> u64 {
        self.hasher.hash_one(u128::from_ne_bytes(id.0))
    }

    fn trace(&self, slot: u32) -> &Trace {
        &self.traces[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    fn trace_mut(&mut self, slot: u32) -> &mut Trace {
        &mut self.traces[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    /// Finds a trace.
    pub fn find(&self, id: TraceId) -> Option<Slot> {
        self.table.find(self.hash(id), |&slot| self.trace(slot).id == id).map(|&slot| Slot(slot))
    }

    /// Begins a trace that is not held yet.
    pub fn begin(&mut self, id: TraceId, now: Millis) -> Slot {
        let trace = Trace { id, last: NOWHERE, first_came: now, spans: 0, older: self.newest, newer: NONE };
        let slot = if self.unused == NONE {
            if self.traces.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.traces.push(Vec::with_capacity(CHUNK));
            }
            let before = (self.traces.len() - 1) * CHUNK;
            let chunk = self.traces.last_mut().expect("one was just pushed");
            chunk.push(trace);
            (before + chunk.len() - 1) as u32
        } else {
            let slot = self.unused;
            self.unused = self.trace(slot).newer;
            *self.trace_mut(slot) = trace;
            slot
        };
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.trace_mut(newest).newer = slot,
        }
        self.newest = slot;
        let hash = self.hash(id);
        let (hasher, traces) = (&self.hasher, &self.traces);
        self.table.insert_unique(hash, slot, |&slot| {
            let id = traces[slot as usize / CHUNK][slot as usize % CHUNK].id;
            hasher.hash_one(u128::from_ne_bytes(id.0))
        });
        Slot(slot)
    }

    /// The trace that has been held longest, and since when.
    pub fn oldest(&self) -> Option<(Slot, Millis)> {
        (self.oldest != NONE).then(|| (Slot(self.oldest), self.trace(self.oldest).first_came))
    }

    /// Id of a trace.
    pub fn id(&self, slot: Slot) -> TraceId {
        self.trace(slot.0).id
    }

    /// Adds a span to a trace.
    pub fn push(&mut self, slot: Slot, heads: &Heads<'_>, written: &mut Written, span: &[u8]) {
        let needed = Self::needed(heads, span);
        if self.segments.back().is_none_or(|segment| segment.bytes.capacity() - segment.bytes.len() < needed) {
            self.add_segment(needed);
        }
        let number = self.first.wrapping_add(self.segments.len() as u32 - 1);
        let previous = self.trace(slot.0).last;
        let segment = self.segments.back_mut().expect("one was just added");
        let scope = write_heads(&mut segment.bytes, number, heads, written);
        let place = Place { segment: number, offset: segment.bytes.len() as u32 };
        for word in [previous.segment, previous.offset, scope, span.len() as u32] {
            segment.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        segment.bytes.extend_from_slice(span);
        segment.held += 1;
        let trace = self.trace_mut(slot.0);
        trace.last = place;
        trace.spans += 1;
        self.spans += 1;
    }

    fn add_segment(&mut self, needed: usize) {
        self.release();
        if needed > SEGMENT {
            self.free.drain(..).for_each(|bytes| self.allocated -= bytes.capacity());
        }
        let bytes = match self.free.pop() {
            Some(bytes) => bytes,
            None => {
                self.allocated += needed.max(SEGMENT);
                Vec::with_capacity(needed.max(SEGMENT))
            }
        };
        self.segments.push_back(Segment { bytes, held: 0 });
    }

    /// The spans of a trace, the newest first.
    pub fn spans_of(&self, slot: Slot) -> impl Iterator<Item = Held<'_>> {
        let mut next = self.trace(slot.0).last;
        std::iter::from_fn(move || {
            if next == NOWHERE {
                return None;
            }
            let bytes = &self.segments[next.segment.wrapping_sub(self.first) as usize].bytes[..];
            let at = next.offset as usize;
            let [segment, offset, scope, length] = words(bytes, at);
            next = Place { segment, offset };
            let [resource, scope_length] = words(bytes, scope as usize);
            let [resource_length] = words(bytes, resource as usize);
            let piece = |at: usize, length: u32| &bytes[at..at + length as usize];
            Some(Held {
                span: piece(at + SPAN_HEAD, length),
                scope: piece(scope as usize + SCOPE_HEAD, scope_length),
                resource: piece(resource as usize + RESOURCE_HEAD, resource_length),
            })
        })
    }

    /// Lets go of a trace; how many spans it had.
    pub fn remove(&mut self, slot: Slot) -> u32 {
        let trace = *self.trace(slot.0);
        let mut next = trace.last;
        while next != NOWHERE {
            let index = next.segment.wrapping_sub(self.first) as usize;
            let segment = &mut self.segments[index];
            let [before, offset] = words(&segment.bytes, next.offset as usize);
            segment.held -= 1;
            if segment.held == 0 && index + 1 < self.segments.len() {
                let bytes = std::mem::take(&mut self.segments[index].bytes);
                self.give_back(bytes);
            }
            next = Place { segment: before, offset };
        }
        self.release();
        match trace.older {
            NONE => self.oldest = trace.newer,
            older => self.trace_mut(older).newer = trace.newer,
        }
        match trace.newer {
            NONE => self.newest = trace.older,
            newer => self.trace_mut(newer).older = trace.older,
        }
        let hash = self.hash(trace.id);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == slot.0) {
            entry.remove();
        }
        self.trace_mut(slot.0).newer = self.unused;
        self.unused = slot.0;
        self.spans -= u64::from(trace.spans);
        trace.spans
    }

    fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.free.len() < FREE_SEGMENTS && bytes.capacity() == SEGMENT {
            bytes.clear();
            self.free.push(bytes);
        } else {
            self.allocated -= bytes.capacity();
        }
    }

    /// Forgets the first segments, as far as nothing in them is held.
    fn release(&mut self) {
        while let Some(segment) = self.segments.pop_front_if(|segment| segment.held == 0) {
            self.first = self.first.wrapping_add(1);
            if segment.bytes.capacity() > 0 {
                self.give_back(segment.bytes);
            }
        }
    }
}

fn words<const COUNT: usize>(bytes: &[u8], at: usize) -> [u32; COUNT] {
    std::array::from_fn(|index| {
        let at = at + 4 * index;
        u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    })
}

/// Writes whose spans come, unless this segment has it; where the scope is.
fn write_heads(bytes: &mut Vec<u8>, segment: u32, heads: &Heads<'_>, written: &mut Written) -> u32 {
    if written.segment != segment {
        *written = Written { segment, resource: None, scope: None };
    }
    let resource = *written.resource.get_or_insert_with(|| {
        let at = bytes.len() as u32;
        bytes.extend_from_slice(&(heads.resource.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(heads.resource);
        at
    });
    *written.scope.get_or_insert_with(|| {
        let at = bytes.len() as u32;
        bytes.extend_from_slice(&resource.to_ne_bytes());
        bytes.extend_from_slice(&(heads.scope.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(heads.scope);
        at
    })
}
