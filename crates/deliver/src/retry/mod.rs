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
//! refused it for good. The *keeper* writes what has waited for a moment, marks what has been delivered, and makes room
//! within the quota by giving up the oldest segment. Only these two threads wait for a network or a disk; whoever offers never does.
//! No decision looks at the wall clock.
//!
//! What is on disk when an agent ends, however it does, is sent by the next one. `done` is written after a receiver has answered,
//! so what was under way then is sent twice: at least once, with the same ids. [docs/delivery.md](../../../../docs/delivery.md).

pub mod disk;
pub mod folder;
mod keeper;
pub mod segment;
mod sender;
mod state;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sink::QueueReport;
use crate::{Batch, Refused, Signal, Sink, SinkReport};
use disk::Disk;
use folder::Folder;
use keeper::Keeper;
use sender::Sender;
use state::State;

/// Bytes that may wait in memory and are not on disk.
const MEMORY_BYTES: usize = 64 << 20;
/// A segment is so large, or a sixteenth of the quota.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Once somebody waits for the end, a receiver that does not answer gets so long.
pub const HURRY: Duration = Duration::from_secs(1);
/// How long the end waits for this machine's disk.
const LAST_WRITES: Duration = Duration::from_secs(2);

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
    /// Another queue has it now, and counts what becomes of it.
    Moved,
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
            let mut keeper = Keeper::new(Arc::clone(&shared), disk, quota);
            let thread = thread::Builder::new().name("tandem-keeper".to_owned()).spawn(move || keeper.run())?;
            queue.threads.push(thread);
        }
        let mut sender = Sender::new(shared, path, transport);
        queue.threads.push(thread::Builder::new().name(format!("tandem-{name}")).spawn(move || sender.run())?);
        Ok(queue)
    }

    /// Takes what another queue has kept until now, however much waits here already. Returns when it is as safe here as it
    /// was there: on disk where there is one, or delivered. `false`: it has stopped, and the other one keeps it.
    pub fn take_over(&self, parcel: Parcel) -> bool {
        let shared = &self.shared;
        let mut state = shared.state();
        if state.stopped {
            return false;
        }
        // As old as what is written at once.
        let since = Instant::now().checked_sub(state::MOMENT).unwrap_or_else(Instant::now);
        let sequence = state.push(parcel, since);
        shared.changed.notify_all();
        while shared.has_disk && state.is_in_memory_only(sequence) && state.trouble.is_none() && !state.stopped {
            state = shared.wait(state, Some(Duration::from_millis(50)));
        }
        true
    }

    /// Ends the pause after a failure.
    pub fn try_now(&self) {
        self.shared.state().try_now = true;
        self.shared.changed.notify_all();
    }
}

impl Sink for RetryQueue {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn has_room(&self, _batches: usize, bytes: usize) -> bool {
        let state = self.shared.state();
        state.unwritten_bytes == 0 || state.unwritten_bytes + bytes <= MEMORY_BYTES
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
        state.push(Parcel { message: batch.bytes.clone(), records: batch.records }, Instant::now());
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
            (state.write_all, state.trouble) = (true, None);
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
