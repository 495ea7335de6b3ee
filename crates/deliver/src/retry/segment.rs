//! A segment: one file of the queue, written once from its beginning to its end. Nothing in it is believed.
//!
//! ```text
//! ┌────────────────────────── head, 32 bytes ───────────────────────────┬─ record ─┬─ record ─┬─ …
//! │ "tandemq\0" │ version │ signal │ checksum │ done │ checksum of done │          │          │
//! └─────────────────────────────────────────────────────────────────────┴──────────┴──────────┴─ …
//!   record: "rec\xf1" │ length │ records │ before │ time │ checksum of the message │ checksum of these and of their place │ message
//! ```
//!
//! `done` is the only place that is written again: everything before that offset has been delivered. `before` counts the
//! spans (log records, samples) of the records before, so that a gap tells how many it has swallowed. All numbers are little-endian.

use bytes::Bytes;

/// The version of this form. What is later is left for the Tandem that wrote it.
pub const VERSION: u32 = 1;
/// Where the first record begins.
pub const HEAD: usize = 32;
/// Bytes before a record's message.
pub const RECORD_HEAD: usize = 32;
/// Where `done` and its checksum lie.
pub const DONE: u64 = 20;

const MAGIC: [u8; 8] = *b"tandemq\0";
const MARK: [u8; 4] = *b"rec\xf1";

/// What a segment's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Of this version; everything before this offset has been delivered.
    Known {
        /// The offset.
        done: usize,
    },
    /// Of a later version.
    Newer(u32),
    /// Not readable: what is behind it is read as if it were known.
    Damaged,
}

/// The first bytes of a segment.
pub fn head(signal: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&signal.to_le_bytes());
    let checksum = crc32fast::hash(&head[..16]);
    head[16..20].copy_from_slice(&checksum.to_le_bytes());
    head[DONE as usize..].copy_from_slice(&done(HEAD as u64));
    head
}

/// What is written at [`DONE`].
pub fn done(offset: u64) -> [u8; 12] {
    let mut done = [0; 12];
    done[..8].copy_from_slice(&offset.to_le_bytes());
    let checksum = crc32fast::hash(&done[..8]);
    done[8..].copy_from_slice(&checksum.to_le_bytes());
    done
}

/// Reads a segment's head.
pub fn read_head(file: &[u8]) -> Head {
    let Some(head) = file.first_chunk::<HEAD>() else { return Head::Damaged };
    if head[..8] != MAGIC || number(head, 16) != crc32fast::hash(&head[..16]) {
        return Head::Damaged;
    }
    let version = number(head, 8);
    if version != VERSION {
        return Head::Newer(version);
    }
    let offset = long(head, 20);
    let is_sound = number(head, 28) == crc32fast::hash(&head[20..28]);
    let offset = usize::try_from(offset).ok().filter(|offset| is_sound && *offset >= HEAD);
    Head::Known { done: offset.unwrap_or(HEAD) } // else some of it is sent twice
}

/// What precedes a message that shall lie at `offset`, of so many spans, with so many in the segment before it.
pub fn record_head(offset: u64, message: &[u8], records: u32, before: u32, unix_nanos: u64) -> [u8; RECORD_HEAD] {
    let mut head = [0; RECORD_HEAD];
    head[..4].copy_from_slice(&MARK);
    head[4..8].copy_from_slice(&(message.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&records.to_le_bytes());
    head[12..16].copy_from_slice(&before.to_le_bytes());
    head[16..24].copy_from_slice(&unix_nanos.to_le_bytes());
    head[24..28].copy_from_slice(&crc32fast::hash(message).to_le_bytes());
    let checksum = placed(&head, offset);
    head[28..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// A head's checksum: with its place, so that what looks like a head within a message is none.
fn placed(head: &[u8; RECORD_HEAD], offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..28]);
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// What lies next in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A record.
    Record(Record),
    /// Bytes that are none.
    Damaged {
        /// Where they end.
        end: u64,
        /// Spans that were in them: as far as can be known, at least one.
        records: u64,
    },
}

/// A record that is what it was when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it ends.
    pub end: u64,
    /// Spans, log records or samples in it.
    pub records: u32,
    /// When it was put there.
    pub unix_nanos: u64,
    /// An OTLP request.
    pub message: Bytes,
}

struct RecordHead {
    length: usize,
    records: u32,
    before: u32,
    unix_nanos: u64,
    checksum: u32,
}

/// The pieces of a part of a segment, in their order.
#[derive(Clone, Debug)]
pub struct Pieces {
    part: Bytes,
    /// Where the part begins in the segment.
    begin: u64,
    /// Read so far.
    at: usize,
    /// Spans before the next record, where that is known.
    before: Option<u32>,
}

impl Pieces {
    /// The pieces of a part that begins at this offset, with a record if nothing is damaged.
    pub fn of(part: Bytes, begin: u64) -> Self {
        Self { part, begin, at: 0, before: (begin == HEAD as u64).then_some(0) }
    }

    fn head_at(&self, at: usize) -> Option<RecordHead> {
        let head: &[u8; RECORD_HEAD] = self.part.get(at..)?.first_chunk()?;
        let is_one = head[..4] == MARK && number(head, 28) == placed(head, self.begin + at as u64);
        is_one.then(|| RecordHead {
            length: number(head, 4) as usize,
            records: number(head, 8),
            before: number(head, 12),
            unix_nanos: long(head, 16),
            checksum: number(head, 24),
        })
    }

    fn damaged(&mut self, end: usize, records: u64) -> Piece {
        self.at = end;
        Piece::Damaged { end: self.begin + end as u64, records: records.max(1) }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.part.len() {
            return None;
        }
        let Some(head) = self.head_at(self.at) else {
            let next = (self.at + 1..self.part.len()).find_map(|at| Some((at, self.head_at(at)?)));
            let Some((at, head)) = next else { return Some(self.damaged(self.part.len(), 1)) };
            let swallowed = self.before.map_or(1, |before| head.before.saturating_sub(before));
            self.before = Some(head.before);
            return Some(self.damaged(at, swallowed.into()));
        };
        let message = self.at + RECORD_HEAD;
        let end = message.saturating_add(head.length);
        // More than one may be missing here without a trace: pieces of a disk that were never written are zeros.
        self.before = Some(head.before.saturating_add(head.records));
        if end > self.part.len() {
            return Some(self.damaged(self.part.len(), head.records.into()));
        }
        if crc32fast::hash(&self.part[message..end]) != head.checksum {
            return Some(self.damaged(end, head.records.into()));
        }
        self.at = end;
        Some(Piece::Record(Record {
            end: self.begin + end as u64,
            records: head.records,
            unix_nanos: head.unix_nanos,
            message: self.part.slice(message..end),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut file = head(0).to_vec();
        for (index, message) in messages.iter().enumerate() {
            let head = record_head(file.len() as u64, message, 2, 2 * index as u32, 7);
            file.extend(head);
            file.extend(message);
        }
        file
    }

    fn pieces(file: &[u8]) -> Vec<Piece> {
        Pieces::of(Bytes::copy_from_slice(&file[HEAD..]), HEAD as u64).collect()
    }

    proptest! {
        /// What was written is read; one changed byte costs its own record, and is counted exactly.
        #[test]
        fn one_changed_byte_costs_one_record(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
            at in any::<prop::sample::Index>(),
            change in 1u8..,
        ) {
            let mut file = segment(&messages);
            let whole = pieces(&file);
            prop_assert_eq!(whole.len(), messages.len());
            for (piece, message) in whole.iter().zip(&messages) {
                prop_assert!(matches!(piece, Piece::Record(record) if record.message == message[..] && record.records == 2));
            }
            let at = HEAD + at.index(file.len() - HEAD);
            file[at] ^= change;
            let damaged = pieces(&file);
            let lost: u64 = damaged.iter().map(|piece| match piece {
                Piece::Damaged { records, .. } => *records,
                Piece::Record(_) => 0,
            }).sum();
            let left = damaged.iter().filter(|piece| matches!(piece, Piece::Record(_))).count();
            prop_assert_eq!(left, messages.len() - 1);
            // Behind the last record nothing tells how many there were.
            let is_last = at >= file.len() - RECORD_HEAD - messages.last().map_or(0, Vec::len);
            prop_assert!(lost == 2 || is_last && lost == 1, "{}", lost);
        }

        /// A file that is cut anywhere has all records before the cut.
        #[test]
        fn a_cut_costs_what_was_cut(length in 0usize..300) {
            let file = segment(&vec![vec![1; 10]; 5]);
            let length = HEAD + length.min(file.len() - HEAD);
            let records = pieces(&file[..length]).into_iter().filter(|piece| matches!(piece, Piece::Record(_))).count();
            prop_assert_eq!(records, (length - HEAD) / (RECORD_HEAD + 10));
        }
    }

    #[test]
    fn heads_say_what_they_are() {
        let mut file = head(0);
        assert_eq!(read_head(&file), Head::Known { done: HEAD });
        file[DONE as usize..].copy_from_slice(&done(77));
        assert_eq!(read_head(&file), Head::Known { done: 77 });
        file[DONE as usize] ^= 1;
        assert_eq!(read_head(&file), Head::Known { done: HEAD });
        file[8] = 2;
        assert_eq!(read_head(&file), Head::Damaged);
        let checksum = crc32fast::hash(&file[..16]);
        file[16..20].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(read_head(&file), Head::Newer(2));
        assert_eq!(read_head(&file[..31]), Head::Damaged);
    }
}
