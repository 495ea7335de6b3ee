//! A queue in front of a receiver elsewhere that may be down, slow or busy: in memory while all is well, on disk otherwise.
//!
//! ```text
//!  offer ─► memory ──────────────────────────────► sender ─► receiver
//!              │ what is older than a moment          ▲
//!              ▼                                      │ what is no longer in memory
//!           keeper ─► 0…7.segment  0…8.segment  0…9.segment
//!                     ▲ done: delivered up to here        ▲ appended to
//! ```
//!
//! What waits has one order, that in which it came: first what is only on disk, then what is in memory, of which the older
//! part is on disk, too. The *sender* takes from the front, one request at a time, and tries until the receiver has it or has
//! refused it for good. The *keeper* writes what has waited for [`MOMENT`], marks what has been delivered, and makes room
//! within the quota by giving up the oldest segment. Only these two threads wait for a network or a disk; whoever offers never does.
//! No decision looks at the wall clock.
//!
//! What is on disk when an agent ends, however it does, is sent by the next one. `done` is written after a receiver has answered,
//! so what was under way then is sent twice: at least once, with the same ids. [docs/delivery.md](../../../../docs/delivery.md).

pub mod disk;
pub mod folder;
pub mod segment;

use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sink::QueueReport;
use crate::{Batch, Refused, Signal, Sink, SinkReport};
use disk::{Disk, Found, Place};
use folder::Folder;
use segment::{Piece, Pieces};

/// So long something may wait in memory only.
const MOMENT: Duration = Duration::from_millis(100);
/// Bytes that may wait in memory and are not on disk.
const MEMORY_BYTES: usize = 64 << 20;
/// Bytes that stay in memory though they are on disk.
const COPIES_BYTES: usize = 16 << 20;
/// A segment is so large, or a sixteenth of the quota.
const SEGMENT_BYTES: u64 = 4 << 20;
/// How often what waits on disk is made to survive the machine's end.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A disk that has said no is asked again after this time.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// After a failure the sender waits so long, twice as long after each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A receiver that asks for more time than this gets this.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Once somebody waits for the end, a receiver that does not answer gets so long.
pub const HURRY: Duration = Duration::from_secs(1);
/// How long the end waits for this machine's disk.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// A receiver that fails so long is worth a word.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// A problem that lasts is said so often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Where a queue keeps what waits, and how much.
#[derive(Debug)]
pub struct Keep {
    /// The folder, which is ours.
    pub folder: Folder,
    /// Bytes that it may take.
    pub quota: u64,
}

/// A request, or a part of one.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// An OTLP request.
    pub message: Bytes,
    /// Spans, log records or samples in it.
    pub records: u32,
}

/// Whether somebody waits.
#[derive(Debug, Default)]
pub struct Impatience {
    hurry: AtomicBool,
    stop: AtomicBool,
}

impl Impatience {
    /// Somebody waits for the end.
    pub fn hurry(&self) -> bool {
        self.hurry.load(Ordering::Relaxed) || self.stop()
    }

    /// What is under way is to be left at once.
    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was accepted, but for so many records, for this reason.
    Accepted {
        /// Records that the receiver did not take.
        rejected: u64,
        /// Why, in its words; also a warning where it took all.
        message: String,
    },
    /// Another attempt may succeed, not before this time has passed.
    Later {
        /// What the receiver has asked for.
        after: Option<Duration>,
        /// What happened, in one line for a person.
        problem: String,
    },
    /// Less at a time may be accepted.
    TooLarge {
        /// The same.
        problem: String,
    },
    /// It will not be accepted.
    Refused {
        /// Name of the cause in counts.
        cause: &'static str,
        /// The same.
        problem: String,
    },
}

/// Carries requests to a receiver; may take its time.
pub trait Transport: Send + 'static {
    /// Tries once.
    fn send(&mut self, parcels: &[Parcel], impatience: &Impatience) -> Answer;

    /// How many bytes it wants in one request.
    fn preferred_bytes(&self) -> usize;

    /// Two halves of a parcel; `None`: it cannot be divided.
    fn halves(&self, parcel: &Parcel) -> Option<[Parcel; 2]>;
}

/// The queue.
#[derive(Debug)]
pub struct RetryQueue {
    name: &'static str,
    signal: Signal,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    has_disk: bool,
    state: Mutex<State>,
    changed: Condvar,
    impatience: Impatience,
}

#[derive(Debug)]
struct State {
    report: SinkReport,
    retries: u64,
    /// Why what is in hand has not been accepted yet.
    trying: Option<String>,
    /// What has been left by earlier runs is known.
    ready: bool,
    segments: VecDeque<Segment>,
    /// Bytes of segments that only a newer Tandem can read.
    newer_bytes: u64,
    /// What comes after this place is on disk only, up to what is also in memory.
    next: Place,
    /// What comes before this place has been delivered…
    consumed: Place,
    /// …which the segments say up to this one.
    marked: Place,
    /// What waits in memory, oldest first; what is on disk, too, comes first.
    memory: VecDeque<Waiting>,
    memory_bytes: usize,
    unwritten_bytes: usize,
    flight: Option<Flight>,
    sequence: u64,
    /// All of memory is to be written, however young.
    write_all: bool,
    /// The sender has given up until there is no hurry any more.
    gave_up: bool,
    /// The disk has said no; not to be asked before.
    trouble: Option<(&'static str, Instant)>,
    stopped: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    length: u64,
    /// Records in it that nobody has taken yet.
    records: u64,
    /// When its first record was put there: by this run's clock, or an earlier run's.
    since: Result<Instant, u64>,
}

#[derive(Debug)]
struct Waiting {
    sequence: u64,
    parcel: Parcel,
    since: Instant,
    /// Where it begins and ends on disk.
    place: Option<(Place, Place)>,
}

/// What the sender has in hand.
#[derive(Debug)]
struct Flight {
    /// What came from memory.
    waiting: Vec<Waiting>,
    records: u64,
    since: Result<Instant, u64>,
    /// Its end on disk, as far as it is there.
    end: Option<Place>,
    /// Records of it whose place on disk has been given up.
    homeless: u64,
}

impl Segment {
    fn end(&self) -> Place {
        Place { segment: self.number, offset: self.length }
    }
}

impl State {
    fn new(signal: Signal) -> Self {
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
            write_all: false,
            gave_up: false,
            trouble: None,
            stopped: false,
        }
    }

    fn lose(&mut self, cause: &'static str, records: u64) {
        if records > 0 {
            *self.report.dropped.entry(cause).or_default() += records;
        }
    }

    fn disk_bytes(&self) -> u64 {
        self.newer_bytes + self.segments.iter().map(|segment| segment.length).sum::<u64>()
    }

    /// Where what is on disk only ends.
    fn boundary(&self) -> Place {
        let first = self.memory.front().and_then(|waiting| waiting.place);
        first.map(|(begin, _)| begin).or_else(|| self.segments.back().map(Segment::end)).unwrap_or_default()
    }

    /// Something on disk that is not in memory: its segment, from where, up to where.
    fn next_on_disk(&mut self) -> Option<(Place, u64)> {
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

    fn segment(&mut self, number: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.number == number)
    }

    /// Of what is on disk, so many records of a segment are somebody's now.
    fn taken(&mut self, number: u64, records: u64) {
        if let Some(segment) = self.segment(number) {
            segment.records = segment.records.saturating_sub(records);
        }
    }

    /// Takes from memory what makes one request.
    fn take_from_memory(&mut self, preferred: usize) -> Option<Vec<Parcel>> {
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
    fn trim(&mut self) {
        while self.memory_bytes > COPIES_BYTES
            && let Some(front) = self.memory.pop_front_if(|front| front.place.is_some())
        {
            self.memory_bytes -= front.parcel.message.len();
        }
    }

    /// Something in memory is now on disk, too.
    fn written(&mut self, sequence: u64, records: u32, size: usize, (begin, end): (Place, Place)) {
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
    fn unwritten(&self) -> impl Iterator<Item = &Waiting> {
        let flying = self.flight.iter().flat_map(|flight| &flight.waiting);
        flying.chain(&self.memory).filter(|waiting| waiting.place.is_none())
    }

    fn oldest_unwritten(&self) -> Option<Instant> {
        self.unwritten().next().map(|waiting| waiting.since)
    }

    /// What the keeper has to write now.
    fn due(&self) -> Vec<(u64, Parcel)> {
        let all = self.write_all || self.stopped;
        let due = self.unwritten().take_while(|waiting| all || waiting.since.elapsed() >= MOMENT);
        due.take(64).map(|waiting| (waiting.sequence, waiting.parcel.clone())).collect()
    }

    /// Makes room for so many bytes: the segments to remove. `None`: there cannot be so much.
    fn make_room(&mut self, size: u64, quota: u64) -> Option<Vec<u64>> {
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
    fn waiting(&self) -> u64 {
        let on_disk: u64 = self.segments.iter().map(|segment| segment.records).sum();
        let in_memory = self.memory.iter().filter(|waiting| waiting.place.is_none());
        let in_hand = self.flight.as_ref().map_or(0, |flight| flight.records);
        on_disk + in_hand + in_memory.map(|waiting| u64::from(waiting.parcel.records)).sum::<u64>()
    }

    fn is_idle(&mut self) -> bool {
        self.ready && self.flight.is_none() && self.memory.is_empty() && self.next_on_disk().is_none()
    }

    fn oldest(&mut self) -> Option<Result<Instant, u64>> {
        let on_disk = self.next_on_disk().map(|(place, _)| place.segment);
        let on_disk = on_disk.and_then(|number| self.segment(number).map(|segment| segment.since));
        let in_hand = self.flight.as_ref().map(|flight| flight.since);
        in_hand.or(on_disk).or_else(|| self.memory.front().map(|waiting| Ok(waiting.since)))
    }

    /// Counts what is in memory only as lost, and forgets it.
    fn give_up(&mut self, cause: &'static str) {
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Option<Duration>) -> MutexGuard<'a, State> {
        match limit {
            Some(limit) => self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl RetryQueue {
    /// Starts its threads. Without a place to keep things, they wait in memory only.
    pub fn start(
        name: &'static str,
        signal: Signal,
        keep: Option<Keep>,
        transport: impl Transport,
    ) -> io::Result<Self> {
        let mut state = State::new(signal);
        state.ready = keep.is_none();
        let shared = Arc::new(Shared {
            name,
            has_disk: keep.is_some(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            impatience: Impatience::default(),
        });
        let mut queue = Self { name, signal, shared: Arc::clone(&shared), threads: Vec::new() };
        let path = keep.as_ref().map(|keep| keep.folder.path().to_owned());
        if let Some(Keep { folder, quota }) = keep {
            let disk = Disk::new(folder, signal, (quota / 16).clamp(64 << 10, SEGMENT_BYTES));
            let mut keeper = Keeper { shared: Arc::clone(&shared), disk, quota, synced: Place::default() };
            let thread = thread::Builder::new().name("tandem-keeper".to_owned()).spawn(move || keeper.run())?;
            queue.threads.push(thread);
        }
        let mut sender = Sender { shared, folder: path, transport, preferred: usize::MAX, said: None };
        queue.threads.push(thread::Builder::new().name(format!("tandem-{name}")).spawn(move || sender.run())?);
        Ok(queue)
    }
}

/// Writes, marks, removes.
struct Keeper {
    shared: Arc<Shared>,
    disk: Disk,
    quota: u64,
    /// Up to here what is on disk survives the machine's end.
    synced: Place,
}

impl Keeper {
    fn run(&mut self) {
        let found = self.disk.find();
        self.publish(found);
        let mut sync_due = Instant::now() + SYNC_EVERY;
        loop {
            let mut state = self.shared.state();
            let due = loop {
                let due = state.due();
                let is_told = state.marked == state.consumed;
                let pause = state.trouble.map(|(_, until)| until.saturating_duration_since(Instant::now()));
                let may = pause.is_none_or(|pause| pause.is_zero());
                if state.stopped && (due.is_empty() || state.trouble.is_some()) && (is_told || state.trouble.is_some())
                {
                    drop(state);
                    let _ = self.disk.sync();
                    return;
                }
                if may && (!due.is_empty() || !is_told) {
                    break due;
                }
                let unsynced = self.synced < state.segments.back().map(Segment::end).unwrap_or_default();
                let waits_long = unsynced && sync_due <= Instant::now();
                if waits_long {
                    break due;
                }
                let young = state.oldest_unwritten().map(|since| MOMENT.saturating_sub(since.elapsed()));
                let sync = unsynced.then(|| sync_due.saturating_duration_since(Instant::now()));
                let next = match pause.filter(|_| !may) {
                    Some(pause) => Some(pause),
                    None => young.into_iter().chain(sync).min(),
                };
                state = self.shared.wait(state, next);
            };
            let consumed = state.consumed;
            drop(state);
            let outcome = self
                .mark(consumed)
                .and_then(|()| due.iter().try_for_each(|(sequence, parcel)| self.write(*sequence, parcel)));
            let outcome =
                outcome.and_then(|()| if sync_due <= Instant::now() { self.sync(&mut sync_due) } else { Ok(()) });
            self.note(outcome);
            self.shared.changed.notify_all();
        }
    }

    /// Tells the others what earlier runs have left.
    fn publish(&self, found: io::Result<Found>) {
        let name = self.shared.name;
        let folder = self.disk.folder().path().display();
        let mut state = self.shared.state();
        match found {
            Ok(found) => {
                if found.newer.1 > 0 {
                    tracing::warn!(
                        "{name}: {} of the files in {folder} are a newer tandem's (version {}, this one knows {}): they stay there until that one runs again",
                        found.newer.1,
                        found.newer_version,
                        segment::VERSION
                    );
                }
                state.newer_bytes = found.newer.0;
                if let Some(first) = found.segments.first() {
                    let place = Place { segment: first.number, offset: first.done };
                    (state.next, state.consumed, state.marked) = (place, place, place);
                }
                state.segments.extend(found.segments.iter().map(|segment| Segment {
                    number: segment.number,
                    length: segment.length,
                    records: segment.records,
                    since: Err(segment.unix_nanos),
                }));
            }
            Err(error) => tracing::warn!("{name}: what waits in {folder} cannot be read now: {error}"),
        }
        state.ready = true;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Writes that everything before this place is delivered.
    fn mark(&mut self, consumed: Place) -> io::Result<()> {
        let mut state = self.shared.state();
        if state.marked == consumed {
            return Ok(());
        }
        state.marked = consumed;
        let mut over = Vec::new();
        // A segment is over when all of it is delivered; also the last one, as long as nothing else waits.
        while state.segments.front().is_some_and(|segment| segment.end() <= consumed) {
            over.extend(state.segments.pop_front().map(|segment| segment.number));
        }
        let marked = state.segments.front().map(|segment| segment.number) == Some(consumed.segment);
        drop(state);
        for number in over {
            self.disk.remove(number)?;
        }
        if marked { self.disk.mark(consumed) } else { Ok(()) }
    }

    fn write(&mut self, sequence: u64, parcel: &Parcel) -> io::Result<()> {
        let mut state = self.shared.state();
        let Some(removed) = state.make_room(Disk::size(&parcel.message), self.quota) else {
            return Err(io::Error::new(ErrorKind::QuotaExceeded, "it is larger than the quota"));
        };
        drop(state);
        for number in removed {
            self.disk.remove(number)?;
        }
        let place = self.disk.append(&parcel.message, parcel.records)?;
        let mut state = self.shared.state();
        state.written(sequence, parcel.records, parcel.message.len(), place);
        state.trim();
        state.trouble = None;
        Ok(())
    }

    /// What has been on disk for a while and is still there is worth a sync.
    fn sync(&mut self, due: &mut Instant) -> io::Result<()> {
        *due = Instant::now() + SYNC_EVERY;
        let end = self.shared.state().segments.back().map(Segment::end).unwrap_or_default();
        self.synced = end;
        self.disk.sync()
    }

    fn note(&self, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        let cause = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => "disk_full",
            _ => "disk_error",
        };
        let mut state = self.shared.state();
        let is_new = state.trouble.is_none();
        state.trouble = Some((cause, Instant::now() + DISK_PAUSE));
        let problem = format!("what waits cannot be written to {}: {error}", self.disk.folder().path().display());
        if is_new && state.report.problem.as_deref() != Some(&problem) {
            tracing::warn!("{}: {problem}", self.shared.name);
        }
        state.report.problem = Some(problem);
    }
}

/// Takes from the front and sends.
struct Sender<T> {
    shared: Arc<Shared>,
    folder: Option<std::path::PathBuf>,
    transport: T,
    /// A receiver that found a request too large gets smaller ones.
    preferred: usize,
    /// When a problem was last said.
    said: Option<Instant>,
}

impl<T: Transport> Sender<T> {
    fn run(&mut self) {
        while let Some(parcels) = self.take() {
            let is_done = self.deliver(parcels);
            let mut state = self.shared.state();
            if !is_done {
                return; // what is on disk stays there
            }
            if let Some(flight) = state.flight.take() {
                let unwritten = flight.waiting.iter().filter(|one| one.place.is_none());
                let bytes: usize = unwritten.map(|one| one.parcel.message.len()).sum();
                state.unwritten_bytes = state.unwritten_bytes.saturating_sub(bytes);
                state.consumed = flight.end.map_or(state.consumed, |end| state.consumed.max(end));
            }
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    /// Waits for something to send. `None`: it is over.
    fn take(&mut self) -> Option<Vec<Parcel>> {
        let preferred = self.preferred.min(self.transport.preferred_bytes());
        let mut state = self.shared.state();
        loop {
            if state.stopped {
                return None;
            }
            if state.ready {
                if let Some((from, to)) = state.next_on_disk() {
                    drop(state);
                    if let Some(parcels) = self.take_from_disk(from, to, preferred) {
                        return Some(parcels);
                    }
                    state = self.shared.state();
                    continue;
                }
                if let Some(parcels) = state.take_from_memory(preferred) {
                    return Some(parcels);
                }
            }
            state = self.shared.wait(state, None);
        }
    }

    /// Reads what makes one request. `None`: there was nothing, or it was given up meanwhile.
    fn take_from_disk(&self, from: Place, to: u64, preferred: usize) -> Option<Vec<Parcel>> {
        let folder = self.folder.as_ref()?;
        let read = read(&folder.join(format!("{:016x}.segment", from.segment)), from.offset, to);
        let (mut parcels, mut bytes, mut records, mut damaged) = (Vec::new(), 0, 0, 0);
        let mut end = from.offset;
        match &read {
            Ok(part) => {
                for piece in Pieces::of(part.clone(), from.offset) {
                    match piece {
                        Piece::Record(record) => {
                            if !parcels.is_empty() && bytes + record.message.len() > preferred {
                                break;
                            }
                            bytes += record.message.len();
                            records += u64::from(record.records);
                            end = record.end;
                            parcels.push(Parcel { message: record.message, records: record.records });
                        }
                        Piece::Damaged { end: after, records: lost } => {
                            damaged += lost;
                            end = after;
                        }
                    }
                }
            }
            Err(_) => end = to,
        }
        let mut state = self.shared.state();
        if state.next != from {
            return None;
        }
        let place = Place { offset: end, ..from };
        let known = state.segment(from.segment).map_or(0, |segment| segment.records);
        let since = state.segment(from.segment).map_or_else(|| Ok(Instant::now()), |segment| segment.since);
        if let Err(error) = read {
            let problem = format!("what waited cannot be read: {error}");
            tracing::warn!("{}: {problem}", self.shared.name);
            state.report.problem = Some(problem);
            (records, damaged) = (known, known); // for what is taken
        }
        if damaged > 0 {
            if !state.report.dropped.contains_key("damaged") {
                tracing::warn!(
                    "{}: a file in {} is damaged; what can be read of it is sent",
                    self.shared.name,
                    folder.display()
                );
            }
            state.lose("damaged", damaged);
        }
        state.next = place;
        state.taken(from.segment, records);
        if parcels.is_empty() {
            state.consumed = state.consumed.max(place);
            drop(state);
            self.shared.changed.notify_all();
            return None;
        }
        state.flight = Some(Flight { waiting: Vec::new(), records, since, end: Some(place), homeless: 0 });
        Some(parcels)
    }

    /// Sends until all of it is accepted or refused. `false`: it is to be left.
    fn deliver(&mut self, parcels: Vec<Parcel>) -> bool {
        let mut parts = VecDeque::from([parcels]);
        while let Some(part) = parts.pop_front() {
            let records: u64 = part.iter().map(|parcel| u64::from(parcel.records)).sum();
            match self.insist(&part) {
                None => return false,
                Some(Answer::Accepted { rejected, message }) => {
                    let rejected = rejected.min(records);
                    let said = if message.is_empty() { message } else { format!("the receiver says: {message}") };
                    self.lost(records, rejected, "rejected", said);
                }
                Some(Answer::Refused { cause, problem }) => {
                    self.lost(records, records, cause, problem);
                }
                Some(Answer::TooLarge { problem }) => {
                    let bytes: usize = part.iter().map(|parcel| parcel.message.len()).sum();
                    let halves = match &part[..] {
                        [one] => self.transport.halves(one).map(|halves| halves.map(|half| vec![half])),
                        several => {
                            let (first, second) = several.split_at(several.len() / 2);
                            self.preferred = self.preferred.min((bytes / 2).max(64 << 10));
                            Some([first.to_vec(), second.to_vec()])
                        }
                    };
                    match halves {
                        Some([first, second]) => {
                            parts.push_front(second);
                            parts.push_front(first);
                        }
                        None => {
                            self.lost(records, records, "too_large", problem);
                        }
                    }
                }
                Some(Answer::Later { problem, .. }) => {
                    // Only without a disk: nothing can be kept for later.
                    self.lost(records, records, "unreachable", problem);
                }
            }
        }
        true
    }

    /// Counts what became of a part of what is in hand. What was given up meanwhile is counted already.
    fn count(&self, records: u64, lost: u64, cause: &'static str) {
        let mut state = self.shared.state();
        let Some(flight) = &mut state.flight else { return };
        let records = records.min(flight.records);
        let lost = lost.min(records);
        flight.records -= records;
        state.report.delivered += records - lost;
        state.lose(cause, lost);
    }

    fn say(&mut self, problem: &str) {
        if self.said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!("{}: {problem}", self.shared.name);
        }
    }

    /// What was lost, and why.
    fn lost(&mut self, records: u64, lost: u64, cause: &'static str, problem: String) {
        self.count(records, lost, cause);
        if !problem.is_empty() {
            self.say(&problem);
            self.shared.state().report.problem = Some(problem);
        }
    }

    /// Tries until there is an answer that another attempt would not change. `None`: it is to be left. Without a disk, `Later`:
    /// it is the end, and there is no later.
    fn insist(&mut self, part: &[Parcel]) -> Option<Answer> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let shared = Arc::clone(&self.shared);
            if shared.impatience.stop() {
                return None;
            }
            let answer = self.transport.send(part, &shared.impatience);
            let Answer::Later { after, problem } = answer else {
                shared.state().trying = None;
                return Some(answer);
            };
            let wait = after.map_or_else(|| jittered(pause), |after| after.min(LONGEST_ASKED));
            pause = (pause * 2).min(LONGEST_PAUSE);
            if start.elapsed() > SAY_AFTER {
                self.say(&problem);
            }
            let mut state = shared.state();
            state.retries += 1;
            state.trying = Some(problem);
            let until = Instant::now() + wait;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if state.stopped {
                    return None;
                }
                let hurry = shared.impatience.hurry();
                if hurry && !shared.has_disk && start.elapsed() + left > HURRY {
                    let problem = state.trying.take().unwrap_or_default();
                    return Some(Answer::Later { after: None, problem });
                }
                if hurry && shared.has_disk && !state.gave_up {
                    state.gave_up = true;
                    shared.changed.notify_all();
                }
                if left.is_zero() && !state.gave_up {
                    break;
                }
                let limit = if left.is_zero() { None } else { Some(left) };
                state = shared.wait(state, limit);
            }
        }
    }
}

/// Between a half and the whole of it, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8);
    pause / 2 + pause.mul_f64((random >> 11) as f64 / (1u64 << 54) as f64)
}

/// A part of a file.
fn read(path: &std::path::Path, from: u64, to: u64) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt;
    let file = fs::File::open(path)?;
    let mut part = vec![0; to.saturating_sub(from) as usize];
    let mut filled = 0;
    // What somebody has cut off reads as zeros, which are no record.
    while filled < part.len() {
        match file.read_at(&mut part[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(part.into())
}

impl Sink for RetryQueue {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let size = batch.bytes.len();
        let refused = if state.stopped {
            Some((Refused::Stopped, "stopped"))
        } else if state.unwritten_bytes + size > MEMORY_BYTES && state.unwritten_bytes > 0 {
            Some((Refused::Full, state.trouble.map_or("queue_full", |(cause, _)| cause)))
        } else {
            None
        };
        if let Some((refused, cause)) = refused {
            state.lose(cause, batch.records.into());
            return Err(refused);
        }
        state.unwritten_bytes += size;
        state.memory_bytes += size;
        state.sequence += 1;
        let sequence = state.sequence;
        let parcel = Parcel { message: batch.bytes.clone(), records: batch.records };
        state.memory.push_back(Waiting { sequence, parcel, since: Instant::now(), place: None });
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&self, deadline: Instant) {
        let shared = &self.shared;
        shared.impatience.hurry.store(true, Ordering::Relaxed);
        let mut state = shared.state();
        shared.changed.notify_all();
        while !state.is_idle() && !state.gave_up {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = shared.wait(state, Some(left));
        }
        if shared.has_disk {
            let deadline = Instant::now() + LAST_WRITES;
            state.write_all = true;
            shared.changed.notify_all();
            while state.unwritten().next().is_some() && state.trouble.is_none() && Instant::now() < deadline {
                state = shared.wait(state, Some(Duration::from_millis(50)));
            }
            state.write_all = false;
            // In hand, and its place on disk has been given up meanwhile.
            let homeless = state.flight.as_mut().map_or(0, |flight| {
                let homeless = std::mem::take(&mut flight.homeless).min(flight.records);
                flight.records -= homeless;
                homeless
            });
            state.lose("quota", homeless);
            if let Some((cause, _)) = state.trouble {
                state.give_up(cause);
            }
        } else {
            state.give_up("too_late");
        }
        state.gave_up = false;
        shared.impatience.hurry.store(false, Ordering::Relaxed);
        drop(state);
        shared.changed.notify_all();
    }

    fn report(&self) -> SinkReport {
        let mut state = self.shared.state();
        let oldest = state.oldest().map(|since| match since {
            Ok(since) => since.elapsed(),
            Err(unix_nanos) => Duration::from_nanos(disk::unix_nanos().saturating_sub(unix_nanos)),
        });
        let queue = QueueReport {
            records: state.waiting(),
            bytes: state.disk_bytes() + state.unwritten_bytes as u64,
            oldest: oldest.unwrap_or_default(),
            retries: state.retries,
            is_kept: self.shared.has_disk,
        };
        let trying = state.trying.clone().filter(|_| state.trouble.is_none());
        let problem = trying.or_else(|| state.report.problem.clone());
        SinkReport { queue: Some(queue), problem, ..state.report.clone() }
    }
}

impl Drop for RetryQueue {
    /// What is in memory is written, where there is a disk; a delivery that is under way is left.
    fn drop(&mut self) {
        self.shared.impatience.stop.store(true, Ordering::Relaxed);
        let mut state = self.shared.state();
        state.stopped = true;
        if !self.shared.has_disk {
            state.give_up("stopped");
        }
        drop(state);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
