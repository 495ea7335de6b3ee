//! What was decided of traces that are held no longer: late spans follow it.
//!
//! The oldest decision goes when there are too many. Traces are known by 64 bits of a keyed hash of their id: that two of
//! some hundred thousand share them is as good as impossible, and nobody can make it happen.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use model::TraceId;

use super::policy::Weight;

/// A trace that was kept: by which policy, and what its spans stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The policy's number.
    pub policy: u16,
    /// What its spans stand for.
    pub weight: Weight,
}

#[derive(Clone, Copy, Debug)]
struct Decision {
    trace: u64,
    kept: Kept,
}

/// Decisions of one kind, the newest so many.
#[derive(Debug)]
pub struct Decisions {
    ring: Vec<Decision>,
    next: usize,
    limit: usize,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Decisions {
    /// Remembers so many at most.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(u32::MAX as usize);
        Self { ring: Vec::new(), next: 0, limit, table: HashTable::new(), hasher: RandomState::default() }
    }

    /// It remembers something.
    pub fn is_active(&self) -> bool {
        self.limit > 0
    }

    fn hash(&self, trace: TraceId) -> u64 {
        self.hasher.hash_one(u128::from_ne_bytes(trace.0))
    }

    /// Looks for a trace.
    pub fn find(&self, trace: TraceId) -> Option<Kept> {
        if self.ring.is_empty() {
            return None;
        }
        let hash = self.hash(trace);
        let &index = self.table.find(hash, |&index| self.ring[index as usize].trace == hash)?;
        Some(self.ring[index as usize].kept)
    }

    /// Remembers a trace.
    pub fn insert(&mut self, trace: TraceId, kept: Kept) {
        if self.limit == 0 {
            return;
        }
        let hash = self.hash(trace);
        let decision = Decision { trace: hash, kept };
        let index = self.next;
        if index == self.ring.len() {
            self.ring.push(decision);
        } else {
            let before = std::mem::replace(&mut self.ring[index], decision);
            if let Ok(entry) = self.table.find_entry(before.trace, |&other| other as usize == index) {
                entry.remove();
            }
        }
        self.next = (index + 1) % self.limit;
        let ring = &self.ring;
        self.table.insert_unique(hash, index as u32, |&index| ring[index as usize].trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let id = |number: u8| TraceId([number; 16]);
        let mut decisions = Decisions::new(3);
        for number in 1..=5 {
            decisions.insert(id(number), Kept { policy: u16::from(number), weight: Weight::Threshold(7) });
        }
        assert_eq!((decisions.find(id(1)), decisions.find(id(2))), (None, None));
        for number in 3..=5 {
            let kept = Kept { policy: u16::from(number), weight: Weight::Threshold(7) };
            assert_eq!(decisions.find(id(number)), Some(kept));
        }
        let mut none = Decisions::new(0);
        none.insert(id(1), Kept { policy: 0, weight: Weight::Same });
        assert!(none.find(id(1)).is_none() && !none.is_active());
    }
}
