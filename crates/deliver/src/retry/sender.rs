//! The thread that takes from the front and tries until the receiver has answered.

use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::disk::Place;
use super::segment::{Piece, Pieces};
use super::state::Flight;
use super::{Answer, HURRY, Parcel, Shared, Transport};

/// After a failure the sender waits so long, twice as long after each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A receiver that asks for more time than this gets this.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// A receiver that fails so long is worth a word.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// A problem that lasts is said so often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Takes from the front and sends.
pub(super) struct Sender<T> {
    shared: Arc<Shared>,
    folder: Option<PathBuf>,
    transport: T,
    /// A receiver that found a request too large gets smaller ones.
    preferred: usize,
    /// When a problem was last said.
    said: Option<Instant>,
}

impl<T: Transport> Sender<T> {
    pub(super) fn new(shared: Arc<Shared>, folder: Option<PathBuf>, transport: T) -> Self {
        Self { shared, folder, transport, preferred: usize::MAX, said: None }
    }

    pub(super) fn run(&mut self) {
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
                Some(Answer::Moved) => {
                    if let Some(flight) = &mut self.shared.state().flight {
                        flight.records = flight.records.saturating_sub(records);
                    }
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
            let wait = after
                .map_or(Duration::ZERO, |after| after.min(LONGEST_ASKED))
                .max(jittered(if after.is_some() { FIRST_PAUSE } else { pause }));
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
                if std::mem::take(&mut state.try_now) || left.is_zero() && !state.gave_up {
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
fn read(path: &Path, from: u64, to: u64) -> io::Result<Bytes> {
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
