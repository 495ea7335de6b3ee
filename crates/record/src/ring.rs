//! A ring: the finished records of one processor.
//!
//! The program moves `head` after it has written a record, the agent moves `tail` after it has copied one out. The
//! agent's own idea of `tail` is what counts; the shared one only tells the program how much room there is. Whatever
//! the program writes, the worst that happens is that its records are thrown away up to `head`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes;
use crate::header::Geometry;
use crate::layout::{LOG, LOG_SIZE, RECORD, RECORD_LIMIT, RECORD_LOG, RECORD_PADDING, RECORD_SPAN, RING};
use crate::memory::Mapping;

/// Bytes copied out at once; more than any record.
const CHUNK: usize = 64 * 1024;
/// Bytes of the head that each record and each padding has.
const RECORD_HEAD: usize = 8;

/// What makes a ring's content unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Garbage {
    /// `head` is behind `tail`, further ahead than the ring is long, or not aligned.
    Position,
    /// A record's size is impossible there.
    Size,
    /// A record's kind is unknown.
    Kind,
}

impl Garbage {
    /// Name in messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Position => "ring_position",
            Self::Size => "record_size",
            Self::Kind => "record_kind",
        }
    }
}

/// What a drain found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records handed over.
    pub records: u64,
    /// Bytes that were in the ring when the drain began.
    pub level: usize,
    /// The ring was emptied because its content could not be read.
    pub garbage: Option<Garbage>,
}

/// The reader of one ring.
#[derive(Debug)]
pub struct Ring {
    mapping: Arc<Mapping>,
    header: usize,
    data: usize,
    size: usize,
    tail: u64,
    dropped: u64,
    dropped_logs: u64,
    chunk: Vec<u8>,
}

impl Ring {
    pub(crate) fn new(mapping: Arc<Mapping>, geometry: &Geometry, index: u32) -> Self {
        let size = geometry.ring_size as usize;
        let header = geometry.ring_headers + index as usize * RING.size;
        let data = geometry.rings + index as usize * size;
        let tail = mapping.word64(header + const { RING.at("tail") }).load(Ordering::Relaxed);
        let mut ring = Self { mapping, header, data, size, tail, dropped: 0, dropped_logs: 0, chunk: Vec::new() };
        ring.dropped = ring.count(const { RING.at("dropped") });
        ring.dropped_logs = ring.count(const { RING.at("dropped_logs") });
        ring
    }

    /// Bytes of the ring.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Hands over every record that is complete, each as a copy of its own, and gives the room back.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> Drained {
        let head = self.mapping.word64(self.header + const { RING.at("head") }).load(Ordering::Acquire);
        let mut drained = Drained::default();
        if head == self.tail {
            return drained;
        }
        let used = head.wrapping_sub(self.tail);
        if used > self.size as u64 || !head.is_multiple_of(8) || !self.tail.is_multiple_of(8) {
            drained.garbage = Some(Garbage::Position);
            self.release(head);
            return drained;
        }
        drained.level = used as usize;
        while self.tail != head {
            match self.drain_chunk(head, &mut each) {
                Ok(records) => drained.records += records,
                Err(garbage) => {
                    drained.garbage = Some(garbage);
                    self.release(head);
                }
            }
        }
        drained
    }

    /// Spans that found the ring full since the last call (at first: since the ring was opened).
    pub fn take_dropped(&mut self) -> u64 {
        let dropped = self.count(const { RING.at("dropped") });
        let more = dropped.saturating_sub(self.dropped);
        self.dropped = dropped;
        more
    }

    /// The same of log records.
    pub fn take_dropped_logs(&mut self) -> u64 {
        let dropped = self.count(const { RING.at("dropped_logs") });
        let more = dropped.saturating_sub(self.dropped_logs);
        self.dropped_logs = dropped;
        more
    }

    fn count(&self, at: usize) -> u64 {
        self.mapping.word64(self.header + at).load(Ordering::Relaxed)
    }

    /// One contiguous piece: up to `head`, the ring's end, or [`CHUNK`].
    fn drain_chunk(&mut self, head: u64, each: &mut impl FnMut(&[u8])) -> Result<u64, Garbage> {
        let place = (self.tail % self.size as u64) as usize;
        let available = (head.wrapping_sub(self.tail) as usize).min(self.size - place);
        let length = available.min(CHUNK);
        if self.chunk.len() < length {
            self.chunk.resize(length, 0);
        }
        let chunk = &mut self.chunk[..length];
        self.mapping.copy_out(self.data + place, chunk);

        let mut records = 0;
        let mut position = 0;
        while position < length {
            let rest = &chunk[position..];
            let size = bytes::u32_at(rest, const { RECORD.at("size") }) as usize;
            if size < RECORD_HEAD || !size.is_multiple_of(8) || size > available - position {
                return Err(Garbage::Size);
            }
            match rest[const { RECORD.at("kind") }] {
                RECORD_SPAN if !(RECORD.size..=RECORD_LIMIT).contains(&size) => return Err(Garbage::Size),
                RECORD_LOG if !(LOG.size..=LOG_SIZE).contains(&size) => return Err(Garbage::Size),
                // Cut by the end of the chunk: the next one begins with it.
                RECORD_SPAN | RECORD_LOG if size > rest.len() => break,
                RECORD_SPAN | RECORD_LOG => {
                    each(&rest[..size]);
                    records += 1;
                }
                RECORD_PADDING => {}
                _ => return Err(Garbage::Kind),
            }
            position += size;
        }
        self.release(self.tail.wrapping_add(position as u64));
        Ok(records)
    }

    fn release(&mut self, tail: u64) {
        self.tail = tail;
        self.mapping.word64(self.header + const { RING.at("tail") }).store(tail, Ordering::Release);
    }
}
