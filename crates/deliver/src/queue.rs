//! A bounded queue in front of something slow, with a thread of its own: how a [`Sink`] keeps its promise not to block.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::{Batch, Refused, Signal, Sink, SinkReport};

/// Delivers batches; may take its time.
pub trait Worker: Send + 'static {
    /// Delivers these batches, or says for which cause their records are lost. Once `hurry` is set somebody waits for the
    /// end: no more patience with a receiver that does not answer.
    fn deliver(&mut self, batches: &[Arc<Batch>], hurry: &AtomicBool) -> Result<(), Loss>;

    /// See [`Sink::is_local`].
    fn is_local(&self) -> bool {
        false
    }

    /// How many bytes it wants in one delivery.
    fn preferred_bytes(&self) -> usize {
        512 * 1024
    }
}

/// Why spans or log records were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Name of the cause in counts: `unreachable`, `rejected`…
    pub cause: &'static str,
    /// How many; `None`: all.
    pub records: Option<u64>,
    /// What happened, in one line for a person.
    pub problem: String,
}

/// A sink that hands its batches to a [`Worker`] on another thread.
#[derive(Debug)]
pub struct QueuedSink {
    name: &'static str,
    signal: Signal,
    limit_bytes: usize,
    is_local: bool,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    hurry: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// The worker has something in hand…
    working: bool,
    /// …of so many records, unless they have been given up.
    delivering: u64,
    stopped: bool,
    report: SinkReport,
}

impl State {
    /// Counts what was not delivered as lost.
    fn give_up(&mut self, cause: &'static str) {
        let waiting: u64 = self.queue.drain(..).map(|batch| u64::from(batch.records)).sum();
        self.bytes = 0;
        let lost = waiting + std::mem::take(&mut self.delivering);
        if lost > 0 {
            *self.report.dropped.entry(cause).or_default() += lost;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueuedSink {
    /// Starts the thread. At most `limit_bytes` wait.
    pub fn start(
        name: &'static str,
        signal: Signal,
        limit_bytes: usize,
        mut worker: impl Worker,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.state().report.signal = signal;
        let theirs = Arc::clone(&shared);
        let is_local = worker.is_local();
        let thread =
            thread::Builder::new().name(format!("tandem-{name}")).spawn(move || run(name, &theirs, &mut worker))?;
        Ok(Self { name, signal, limit_bytes, is_local, shared, thread: Some(thread) })
    }
}

fn run(name: &'static str, shared: &Shared, worker: &mut impl Worker) {
    loop {
        let mut state = shared.state();
        while state.queue.is_empty() && !state.stopped {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.queue.is_empty() {
            return;
        }
        let mut batches: Vec<Arc<Batch>> = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = state.queue.front() {
            if !batches.is_empty() && bytes + batch.bytes.len() > worker.preferred_bytes() {
                break;
            }
            bytes += batch.bytes.len();
            batches.extend(state.queue.pop_front());
        }
        state.bytes -= bytes;
        let records: u64 = batches.iter().map(|batch| u64::from(batch.records)).sum();
        (state.working, state.delivering) = (true, records);
        drop(state);

        let outcome = worker.deliver(&batches, &shared.hurry);
        let mut state = shared.state();
        state.working = false;
        if state.delivering == 0 {
            continue; // given up meanwhile, and counted
        }
        let lost = match outcome {
            Ok(()) => 0,
            Err(loss) => {
                let lost = loss.records.unwrap_or(records).min(records);
                *state.report.dropped.entry(loss.cause).or_default() += lost;
                if state.report.problem.is_none() {
                    tracing::warn!("{name}: {}", loss.problem);
                }
                state.report.problem = Some(loss.problem);
                lost
            }
        };
        state.report.delivered += records - lost;
        state.delivering = 0;
        drop(state);
        shared.changed.notify_all();
    }
}

impl Sink for QueuedSink {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn is_local(&self) -> bool {
        self.is_local
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let refused = if state.stopped {
            Some((Refused::Stopped, "stopped"))
        } else if state.bytes + batch.bytes.len() > self.limit_bytes && !state.queue.is_empty() {
            Some((Refused::Full, "queue_full"))
        } else {
            None
        };
        if let Some((refused, cause)) = refused {
            *state.report.dropped.entry(cause).or_default() += u64::from(batch.records);
            return Err(refused);
        }
        state.bytes += batch.bytes.len();
        state.queue.push_back(Arc::clone(batch));
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&self, deadline: Instant) {
        self.shared.hurry.store(true, Ordering::Relaxed);
        let mut state = self.shared.state();
        while !state.queue.is_empty() || state.delivering > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.give_up("too_late");
        drop(state);
        self.shared.hurry.store(false, Ordering::Relaxed);
    }

    fn report(&self) -> SinkReport {
        self.shared.state().report.clone()
    }
}

impl Drop for QueuedSink {
    /// What still waits is given up; a delivery that is under way is not waited for.
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let busy = state.working;
        state.stopped = true;
        state.give_up("stopped");
        drop(state);
        self.shared.hurry.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && !busy
        {
            let _ = thread.join();
        }
    }
}

/// Sum of what several sinks report, by sink. Stages deliver nothing themselves: of those, what they lost.
pub fn reports<'a>(sinks: impl IntoIterator<Item = &'a Arc<dyn Sink>>) -> BTreeMap<&'static str, SinkReport> {
    let reports = sinks.into_iter().map(|sink| (sink, sink.report()));
    let telling = reports.filter(|(sink, report)| sink.behind().is_empty() || !report.dropped.is_empty());
    telling.map(|(sink, report)| (sink.name(), report)).collect()
}
