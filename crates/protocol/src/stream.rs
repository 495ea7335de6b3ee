//! One direction of a connection: puts segments in order, and knows what of them is missing.
//!
//! Segments come as the network brings them: again, late, in another order. What is ahead of its time waits; if what is
//! before it does not come, it is missing, as is what a segment had more than was copied.

use std::collections::VecDeque;

/// Segments of one direction that wait for what is before them.
const WAITING_LIMIT: usize = 32;
/// Bytes that they may hold.
const WAITING_BYTES: usize = 64 << 10;

/// Which way, as the observed socket sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sent.
    Out,
    /// Received.
    In,
}

impl Direction {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::In => 1,
        }
    }
}

/// A piece of what a socket has sent or received.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which way.
    pub direction: Direction,
    /// When: `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// Sequence number of its first byte.
    pub sequence: u32,
    /// How many bytes it has.
    pub length: u32,
    /// The first of them, as many as were copied.
    pub bytes: &'a [u8],
    /// Thread of the process that sent it; 0: not known.
    pub thread: u32,
}

/// What comes next in a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) time: u64,
    pub(crate) position: u32,
    pub(crate) thread: u32,
    pub(crate) bytes: Vec<u8>,
    /// So many follow that nobody has seen.
    pub(crate) missing: u64,
}

#[derive(Debug)]
struct Waiting {
    sequence: u32,
    length: u32,
    piece: Piece,
}

/// Segments of one direction on their way into order.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    next: Option<u32>,
    waiting: VecDeque<Waiting>,
    held: usize,
}

impl Stream {
    /// Takes a segment; calls `each` with what is next, in order.
    pub(crate) fn add(&mut self, segment: &Segment<'_>, each: &mut dyn FnMut(Piece)) {
        if segment.length == 0 {
            return;
        }
        let copied = segment.bytes.len().min(segment.length as usize);
        let next = *self.next.get_or_insert(segment.sequence);
        let ahead = segment.sequence.wrapping_sub(next).cast_signed();
        let behind = if ahead < 0 { ahead.unsigned_abs() } else { 0 };
        if behind >= segment.length {
            return; // all of it has been seen
        }
        let known = (behind as usize).min(copied);
        let piece = Piece {
            time: segment.time,
            position: segment.sequence.wrapping_add(behind),
            thread: segment.thread,
            bytes: segment.bytes[known..copied].to_vec(),
            missing: u64::from(segment.length - behind) - (copied - known) as u64,
        };
        if ahead > 0 {
            self.hold(Waiting { sequence: segment.sequence, length: segment.length, piece }, each);
            return;
        }
        self.next = Some(segment.sequence.wrapping_add(segment.length));
        each(piece);
        self.release(each);
    }

    /// Gives up on what has not come.
    pub(crate) fn flush(&mut self, each: &mut dyn FnMut(Piece)) {
        while !self.waiting.is_empty() {
            self.jump(each);
        }
    }

    fn hold(&mut self, waiting: Waiting, each: &mut dyn FnMut(Piece)) {
        self.held += waiting.piece.bytes.len();
        let next = self.next.unwrap_or_default();
        let distance = waiting.sequence.wrapping_sub(next);
        let place = self.waiting.partition_point(|other| other.sequence.wrapping_sub(next) <= distance);
        self.waiting.insert(place, waiting);
        while self.waiting.len() > WAITING_LIMIT || self.held > WAITING_BYTES {
            self.jump(each);
        }
    }

    /// Goes on behind a hole.
    fn jump(&mut self, each: &mut dyn FnMut(Piece)) {
        let Some(first) = self.waiting.front() else { return };
        let hole = first.sequence.wrapping_sub(self.next.unwrap_or(first.sequence));
        if hole.cast_signed() > 0 {
            each(Piece {
                time: first.piece.time,
                position: self.next.unwrap_or_default(),
                thread: 0,
                bytes: Vec::new(),
                missing: hole.into(),
            });
            self.next = Some(first.sequence);
        }
        self.release(each);
    }

    /// Hands over what no longer waits.
    fn release(&mut self, each: &mut dyn FnMut(Piece)) {
        while let Some(first) = self.waiting.front() {
            let next = self.next.unwrap_or_default();
            let ahead = first.sequence.wrapping_sub(next).cast_signed();
            if ahead > 0 {
                return;
            }
            let Some(Waiting { length, mut piece, .. }) = self.waiting.pop_front() else { return };
            self.held -= piece.bytes.len();
            let behind = ahead.unsigned_abs();
            if behind >= length {
                continue;
            }
            let known = (behind as usize).min(piece.bytes.len());
            piece.bytes.drain(..known);
            piece.missing -= (u64::from(behind) - known as u64).min(piece.missing);
            piece.position = piece.position.wrapping_add(behind);
            self.next = Some(next.wrapping_add(length - behind));
            each(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(segments: &[(u32, &[u8])]) -> (Vec<u8>, u64) {
        let (mut all, mut missing) = (Vec::new(), 0);
        let mut stream = Stream::default();
        let mut each = |piece: Piece| {
            all.extend(piece.bytes);
            missing += piece.missing;
        };
        for (sequence, bytes) in segments {
            let segment = Segment {
                direction: Direction::In,
                time: 1,
                sequence: *sequence,
                length: bytes.len() as u32,
                bytes,
                thread: 0,
            };
            stream.add(&segment, &mut each);
        }
        stream.flush(&mut each);
        (all, missing)
    }

    /// Scenario: segments twice, overlapping, in another order, around the end of the numbers.
    #[test]
    fn segments_are_put_in_order() {
        let end = u32::MAX - 1;
        assert_eq!(collect(&[(end, b"abc"), (1, b"defg"), (end, b"abc")]), (b"abcdefg".to_vec(), 0));
        assert_eq!(collect(&[(0, b"ab"), (4, b"ef"), (2, b"cd")]), (b"abcdef".to_vec(), 0));
        assert_eq!(collect(&[(0, b"abc"), (1, b"bcde"), (0, b"ab")]), (b"abcde".to_vec(), 0));
        assert_eq!(collect(&[(0, b"ab"), (4, b"ef"), (3, b"def")]), (b"abdef".to_vec(), 1));
    }

    /// What never comes is missing, and what follows is there.
    #[test]
    fn a_hole_is_told() {
        assert_eq!(collect(&[(0, b"ab"), (7, b"hi")]), (b"abhi".to_vec(), 5));
    }
}
