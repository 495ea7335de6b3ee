//! Halves of requests that wait for the other: a client's span for its server's, and the other way round.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::RoleIndex;

/// No slot.
const NONE: u32 = u32::MAX;
/// Services that one message is remembered to have reached.
const REACHED: usize = 4;

/// What both halves name: the trace, and the span of the one that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub struct Half {
    pub role: RoleIndex,
    pub span_id: [u8; 8],
    /// When it ended, ns since 1970.
    pub time: u64,
    pub duration_ns: u64,
    /// Of a message: the services that have it already; numbers from 1.
    pub reached: [u32; REACHED],
}

/// Where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    half: Half,
    /// When it has waited long enough, ms.
    due: u64,
    older: u32,
    newer: u32,
}

/// All that wait, the oldest first.
#[derive(Debug)]
pub struct Halves {
    slots: Vec<Slot>,
    table: HashTable<u32>,
    hasher: RandomState,
    /// Slots that are used no longer, linked by `newer`.
    unused: u32,
    oldest: u32,
    newest: u32,
    limit: usize,
}

impl Halves {
    /// At most so many.
    pub fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            unused: NONE,
            oldest: NONE,
            newest: NONE,
            limit: limit.min(NONE as usize),
        }
    }

    /// The one of this request.
    #[inline]
    pub fn find(&self, key: &Key) -> Option<Place> {
        self.table
            .find(self.hasher.hash_one(key), |&slot| self.slots[slot as usize].key == *key)
            .map(|&slot| Place(slot))
    }

    pub fn get(&self, place: Place) -> &Half {
        &self.slots[place.0 as usize].half
    }

    pub fn get_mut(&mut self, place: Place) -> &mut Half {
        &mut self.slots[place.0 as usize].half
    }

    /// Lets one wait that is not there yet. `false`: there is no room.
    pub fn insert(&mut self, key: Key, half: Half, due: u64) -> bool {
        if self.table.len() >= self.limit {
            return false;
        }
        let slot = Slot { key, half, due, older: self.newest, newer: NONE };
        let index = match self.unused {
            NONE => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32 // below the limit
            }
            index => {
                self.unused = self.slots[index as usize].newer;
                self.slots[index as usize] = slot;
                index
            }
        };
        match self.newest {
            NONE => self.oldest = index,
            newest => self.slots[newest as usize].newer = index,
        }
        self.newest = index;
        let (hasher, slots) = (&self.hasher, &self.slots);
        self.table.insert_unique(hasher.hash_one(key), index, |&slot| hasher.hash_one(slots[slot as usize].key));
        true
    }

    pub fn remove(&mut self, place: Place) -> Half {
        let Slot { key, half, older, newer, .. } = self.slots[place.0 as usize];
        if let Ok(entry) = self.table.find_entry(self.hasher.hash_one(key), |&slot| slot == place.0) {
            entry.remove();
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        self.slots[place.0 as usize].newer = self.unused;
        self.unused = place.0;
        half
    }

    /// The oldest, where it has waited long enough at this moment.
    pub fn take_due(&mut self, now: u64) -> Option<(Key, Half)> {
        let slot = self.slots.get(self.oldest as usize).filter(|slot| slot.due <= now)?;
        let key = slot.key;
        Some((key, self.remove(Place(self.oldest))))
    }
}

impl Half {
    /// Remembers that a service has this message; `false`: it was known.
    pub fn reaches(&mut self, service: u32) -> bool {
        if self.reached.contains(&service) {
            return false;
        }
        // Of more services each is new every time: too many edges, but none is missing.
        if let Some(free) = self.reached.iter_mut().find(|known| **known == 0) {
            *free = service;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key { trace_id: [number; 16], span_id: [number; 8] }
    }

    fn half(number: u8) -> Half {
        Half { role: RoleIndex::NONE, span_id: [number; 8], time: 0, duration_ns: 0, reached: [0; REACHED] }
    }

    #[test]
    fn they_leave_by_age_or_when_they_are_found() {
        let mut halves = Halves::new(3);
        for number in 1..=3 {
            assert!(halves.insert(key(number), half(number), u64::from(number)));
        }
        assert!(!halves.insert(key(4), half(4), 4), "there is no room");
        let found = halves.find(&key(2)).expect("it is there");
        assert_eq!(halves.remove(found).span_id, [2; 8]);
        assert_eq!(halves.find(&key(2)), None);
        assert!(halves.insert(key(4), half(4), 4));
        assert_eq!(halves.take_due(0).map(|(key, _)| key), None);
        let left = std::iter::from_fn(|| halves.take_due(4)).map(|(key, _)| key.span_id[0]).collect::<Vec<_>>();
        assert_eq!(left, [1, 3, 4]);
        assert!(halves.table.is_empty() && halves.slots.len() == 3);
        assert!(halves.insert(key(5), half(5), 5) && halves.find(&key(5)).is_some());
    }

    #[test]
    fn a_message_reaches_a_service_once() {
        let mut half = half(1);
        assert!(half.reaches(7) && half.reaches(8));
        assert!(!half.reaches(7));
    }
}
