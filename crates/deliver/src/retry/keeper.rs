//! The thread that writes what has waited for a moment, marks what has been delivered, and keeps the quota.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Disk, Found, Place};
use super::state::{MOMENT, Segment};
use super::{Parcel, Shared, segment};

/// How often what waits on disk is made to survive the machine's end.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A disk that has said no is asked again after this time.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Writes, marks, removes.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    disk: Disk,
    quota: u64,
    /// Up to here what is on disk survives the machine's end.
    synced: Place,
    /// Since when there is more on disk than that.
    unsynced: Option<Instant>,
}

/// What is to be done.
struct Job {
    /// What has waited for a moment, to be written.
    due: Vec<(u64, Parcel)>,
    /// What has been delivered, to be marked.
    consumed: Place,
    /// What is on disk is to be synced.
    sync: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, disk: Disk, quota: u64) -> Self {
        Self { shared, disk, quota, synced: Place::default(), unsynced: None }
    }

    pub(super) fn run(&mut self) {
        let found = self.disk.find();
        self.publish(found);
        let mut failed = false;
        while let Some(job) = self.next(failed) {
            let outcome = self.mark(job.consumed);
            let outcome =
                outcome.and_then(|()| job.due.iter().try_for_each(|(sequence, parcel)| self.write(*sequence, parcel)));
            let outcome = outcome.and_then(|()| if job.sync { self.sync() } else { Ok(()) });
            failed = outcome.is_err();
            self.note(outcome);
            self.shared.changed.notify_all();
        }
        let _ = self.disk.sync();
    }

    /// Waits for something to do. `None`: it is over, and what can be written is.
    fn next(&mut self, failed: bool) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        loop {
            let (due, consumed) = (state.due(), state.consumed);
            let is_done = due.is_empty() && state.marked == consumed;
            if state.stopped {
                return (!is_done && !failed).then_some(Job { due, consumed, sync: false });
            }
            let unsynced = self.synced < state.segments.back().map(Segment::end).unwrap_or_default();
            self.unsynced = unsynced.then(|| self.unsynced.unwrap_or_else(Instant::now));
            let sync_in = self.unsynced.map(|since| SYNC_EVERY.saturating_sub(since.elapsed()));
            let sync = sync_in == Some(Duration::ZERO);
            let pause = state.trouble.map(|(_, until)| until.saturating_duration_since(Instant::now()));
            let pause = pause.filter(|pause| !pause.is_zero());
            if pause.is_none() && (!is_done || sync) {
                return Some(Job { due, consumed, sync });
            }
            let young = state.oldest_unwritten().map(|since| MOMENT.saturating_sub(since.elapsed()));
            let limit = pause.or_else(|| young.into_iter().chain(sync_in).min());
            state = shared.wait(state, limit);
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
                if let Some((number, error)) = found.unreadable {
                    tracing::warn!("{name}: the file {number:016x}.segment in {folder} cannot be read: {error}");
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
    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = None;
        let end = self.shared.state().segments.back().map(Segment::end).unwrap_or_default();
        self.synced = end;
        self.disk.sync()
    }

    fn note(&self, outcome: io::Result<()>) {
        let Err(error) = outcome else {
            self.shared.state().trouble = None;
            return;
        };
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
