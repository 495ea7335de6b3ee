//! What waits, and where: bookkeeping without a file or a network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Parcel;
use super::disk::Place;
use super::segment;
use crate::{Signal, SinkReport};

/// So long something may wait in memory only.
pub(super) const MOMENT: Duration = Duration::from_millis(100);
/// Bytes that stay in memory though they are on disk.
const COPIES_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) report: SinkReport,
    pub(super) retries: u64,
    /// Why what is in hand has not been accepted yet.
    pub(super) trying: Option<String>,
    /// What has been left by earlier runs is known.
    pub(super) ready: bool,
    pub(super) segments: VecDeque<Segment>,
    /// Bytes of segments that only a newer Tandem can read.
    pub(super) newer_bytes: u64,
    /// What comes after this place is on disk only, up to what is also in memory.
    pub(super) next: Place,
    /// What comes before this place has been delivered…
    pub(super) consumed: Place,
    /// …which the segments say up to this one.
    pub(super) marked: Place,
    /// What waits in memory, oldest first; what is on disk, too, comes first.
    pub(super) memory: VecDeque<Waiting>,
    pub(super) memory_bytes: usize,
    pub(super) unwritten_bytes: usize,
    pub(super) flight: Option<Flight>,
    pub(super) sequence: u64,
    /// The sender is to end its pause.
    pub(super) try_now: bool,
    /// All of memory is to be written, however young.
    pub(super) write_all: bool,
    /// The sender has given up until there is no hurry any more.
    pub(super) gave_up: bool,
    /// The disk has said no; not to be asked before.
    pub(super) trouble: Option<(&'static str, Instant)>,
    pub(super) stopped: bool,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) length: u64,
    /// Records in it that nobody has taken yet.
    pub(super) records: u64,
    /// When its first record was put there: by this run's clock, or an earlier run's.
    pub(super) since: Result<Instant, u64>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sequence: u64,
    pub(super) parcel: Parcel,
    pub(super) since: Instant,
    /// Where it begins and ends on disk.
    pub(super) place: Option<(Place, Place)>,
}

/// What the sender has in hand.
#[derive(Debug)]
pub(super) struct Flight {
    /// What came from memory.
    pub(super) waiting: Vec<Waiting>,
    pub(super) records: u64,
    pub(super) since: Result<Instant, u64>,
    /// Its end on disk, as far as it is there.
    pub(super) end: Option<Place>,
    /// Records of it whose place on disk has been given up.
    pub(super) homeless: u64,
}

impl Segment {
    pub(super) fn end(&self) -> Place {
        Place { segment: self.number, offset: self.length }
    }
}

impl State {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            report: SinkReport { signal, ..SinkReport::default() },
            retries: 0,
            trying: None,
            ready: false,
            segments: VecDeque::new(),
            newer_bytes: 0,
            next: Place { segment: 0, offset: segment::HEAD as u64 },
            consumed: Place::default(),
            marked: Place::default(),
            memory: VecDeque::new(),
            memory_bytes: 0,
            unwritten_bytes: 0,
            flight: None,
            sequence: 0,
            try_now: false,
            write_all: false,
            gave_up: false,
            trouble: None,
            stopped: false,
        }
    }

    /// Puts something at the end; its number.
    pub(super) fn push(&mut self, parcel: Parcel, since: Instant) -> u64 {
        self.unwritten_bytes += parcel.message.len();
        self.memory_bytes += parcel.message.len();
        self.sequence += 1;
        self.memory.push_back(Waiting { sequence: self.sequence, parcel, since, place: None });
        self.sequence
    }

    /// What has this number waits, and is not on disk.
    pub(super) fn is_in_memory_only(&self, sequence: u64) -> bool {
        self.unwritten().any(|waiting| waiting.sequence == sequence)
    }

    pub(super) fn lose(&mut self, cause: &'static str, records: u64) {
        if records > 0 {
            *self.report.dropped.entry(cause).or_default() += records;
        }
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.newer_bytes + self.segments.iter().map(|segment| segment.length).sum::<u64>()
    }

    /// Where what is on disk only ends.
    fn boundary(&self) -> Place {
        let first = self.memory.front().and_then(|waiting| waiting.place);
        first.map(|(begin, _)| begin).or_else(|| self.segments.back().map(Segment::end)).unwrap_or_default()
    }

    /// Something on disk that is not in memory: its segment, from where, up to where.
    pub(super) fn next_on_disk(&mut self) -> Option<(Place, u64)> {
        loop {
            if self.next >= self.boundary() {
                return None;
            }
            let segment = self.segments.iter().find(|segment| segment.number >= self.next.segment)?;
            if segment.number > self.next.segment {
                self.next = Place { segment: segment.number, offset: segment::HEAD as u64 };
            } else if self.next.offset >= segment.length {
                self.next = Place { segment: segment.number + 1, offset: segment::HEAD as u64 };
            } else {
                let boundary = self.boundary();
                let to = if boundary.segment == segment.number { boundary.offset } else { segment.length };
                return Some((self.next, to));
            }
        }
    }

    pub(super) fn segment(&mut self, number: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.number == number)
    }

    /// Of what is on disk, so many records of a segment are somebody's now.
    pub(super) fn taken(&mut self, number: u64, records: u64) {
        if let Some(segment) = self.segment(number) {
            segment.records = segment.records.saturating_sub(records);
        }
    }

    /// Takes from memory what makes one request.
    pub(super) fn take_from_memory(&mut self, preferred: usize) -> Option<Vec<Parcel>> {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut bytes = 0;
        while let Some(front) = self.memory.front() {
            let size = front.parcel.message.len();
            if !waiting.is_empty() && bytes + size > preferred {
                break;
            }
            bytes += size;
            waiting.extend(self.memory.pop_front());
        }
        let since = Ok(waiting.first()?.since);
        self.memory_bytes -= bytes;
        let mut end = None;
        for one in &waiting {
            if let Some((begin, after)) = one.place {
                self.taken(begin.segment, one.parcel.records.into());
                (end, self.next) = (Some(after), self.next.max(after));
            }
        }
        let parcels: Vec<Parcel> = waiting.iter().map(|one| one.parcel.clone()).collect();
        let records = parcels.iter().map(|parcel| u64::from(parcel.records)).sum();
        self.flight = Some(Flight { waiting, records, since, end, homeless: 0 });
        Some(parcels)
    }

    /// Memory keeps no copies beyond a bound of what is on disk.
    pub(super) fn trim(&mut self) {
        while self.memory_bytes > COPIES_BYTES
            && let Some(front) = self.memory.pop_front_if(|front| front.place.is_some())
        {
            self.memory_bytes -= front.parcel.message.len();
        }
    }

    /// Something in memory is now on disk, too.
    pub(super) fn written(&mut self, sequence: u64, records: u32, size: usize, (begin, end): (Place, Place)) {
        let since = self.oldest_unwritten().unwrap_or_else(Instant::now);
        match self.segment(begin.segment) {
            Some(segment) => segment.length = end.offset,
            None => self.segments.push_back(Segment {
                number: begin.segment,
                length: end.offset,
                records: 0,
                since: Ok(since),
            }),
        }
        if let Ok(index) = self.memory.binary_search_by_key(&sequence, |waiting| waiting.sequence) {
            self.memory[index].place = Some((begin, end));
            self.unwritten_bytes -= size;
            if let Some(segment) = self.segment(begin.segment) {
                segment.records += u64::from(records);
            }
            return;
        }
        self.next = self.next.max(end);
        let flying = self.flight.as_mut().filter(|flight| flight.waiting.iter().any(|one| one.sequence == sequence));
        match flying {
            Some(flight) => {
                flight.end = Some(end);
                self.unwritten_bytes -= size;
                flight
                    .waiting
                    .iter_mut()
                    .filter(|one| one.sequence == sequence)
                    .for_each(|one| one.place = Some((begin, end)));
            }
            None => self.consumed = self.consumed.max(end), // delivered meanwhile
        }
    }

    /// What is not on disk, oldest first.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = &Waiting> {
        let flying = self.flight.iter().flat_map(|flight| &flight.waiting);
        flying.chain(&self.memory).filter(|waiting| waiting.place.is_none())
    }

    pub(super) fn oldest_unwritten(&self) -> Option<Instant> {
        self.unwritten().next().map(|waiting| waiting.since)
    }

    /// What the keeper has to write now.
    pub(super) fn due(&self) -> Vec<(u64, Parcel)> {
        let all = self.write_all || self.stopped;
        let due = self.unwritten().take_while(|waiting| all || waiting.since.elapsed() >= MOMENT);
        due.take(64).map(|waiting| (waiting.sequence, waiting.parcel.clone())).collect()
    }

    /// Makes room for so many bytes: the segments to remove. `None`: there cannot be so much.
    pub(super) fn make_room(&mut self, size: u64, quota: u64) -> Option<Vec<u64>> {
        let mut removed = Vec::new();
        if self.newer_bytes + size > quota {
            return None;
        }
        while self.disk_bytes() + size > quota
            && let Some(oldest) = self.segments.pop_front()
        {
            self.lose("quota", oldest.records);
            // What of it is still in memory is the oldest there.
            while let Some(front) =
                self.memory.pop_front_if(|front| front.place.is_some_and(|(begin, _)| begin.segment <= oldest.number))
            {
                self.memory_bytes -= front.parcel.message.len();
            }
            if let Some(flight) = &mut self.flight {
                let gone = |one: &&Waiting| one.place.is_some_and(|(begin, _)| begin.segment == oldest.number);
                flight.homeless += match flight.waiting.is_empty() {
                    true if flight.end.is_some_and(|end| end.segment == oldest.number) => flight.records,
                    true => 0,
                    false => flight.waiting.iter().filter(gone).map(|one| u64::from(one.parcel.records)).sum(),
                };
            }
            self.next = self.next.max(Place { segment: oldest.number + 1, offset: segment::HEAD as u64 });
            removed.push(oldest.number);
        }
        Some(removed)
    }

    /// Records that wait, those in hand included.
    pub(super) fn waiting(&self) -> u64 {
        let on_disk: u64 = self.segments.iter().map(|segment| segment.records).sum();
        let in_memory = self.memory.iter().filter(|waiting| waiting.place.is_none());
        let in_hand = self.flight.as_ref().map_or(0, |flight| flight.records);
        on_disk + in_hand + in_memory.map(|waiting| u64::from(waiting.parcel.records)).sum::<u64>()
    }

    pub(super) fn is_idle(&mut self) -> bool {
        self.ready && self.flight.is_none() && self.memory.is_empty() && self.next_on_disk().is_none()
    }

    pub(super) fn oldest(&mut self) -> Option<Result<Instant, u64>> {
        let on_disk = self.next_on_disk().map(|(place, _)| place.segment);
        let on_disk = on_disk.and_then(|number| self.segment(number).map(|segment| segment.since));
        let in_hand = self.flight.as_ref().map(|flight| flight.since);
        in_hand.or(on_disk).or_else(|| self.memory.front().map(|waiting| Ok(waiting.since)))
    }

    /// Counts what is in memory only as lost, and forgets it.
    pub(super) fn give_up(&mut self, cause: &'static str) {
        let kept = |place: Option<(Place, Place)>| place.is_some();
        let lost: u64 =
            self.memory.iter().filter(|one| !kept(one.place)).map(|one| u64::from(one.parcel.records)).sum();
        self.memory.retain(|one| kept(one.place));
        self.memory_bytes = self.memory.iter().map(|one| one.parcel.message.len()).sum();
        self.unwritten_bytes = 0;
        self.lose(cause, lost);
        if let Some(flight) = &mut self.flight {
            let lost =
                flight.waiting.iter().filter(|one| !kept(one.place)).map(|one| u64::from(one.parcel.records)).sum();
            flight.records -= lost;
            flight.waiting.retain(|one| kept(one.place));
            self.lose(cause, lost);
        }
    }
}
