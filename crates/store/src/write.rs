//! The way in: a bounded queue, a thread, transactions of many spans.
//!
//! Offering a batch never blocks: what does not fit is refused, and counted by its cause.

mod insert;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deliver::metrics::{OwnKind, OwnMetric};
use deliver::{Batch, Refused, Signal, Sink, SinkReport};

use crate::{Sample, StoreError, schema};
use writer::Writer;

/// How large and how old a store may grow. The oldest traces, log records, samples and metrics go first.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the database (its log beside it is bounded on its own).
    pub bytes: u64,
    /// Age of a trace's start, of a log record, of a sample, and of metrics.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 30, age: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// A store that has grown beyond its limit shrinks to so many sixteenths of it, so that it does not remove while it writes.
pub(crate) const PRUNED_SIXTEENTHS: u64 = 15;

#[derive(Default)]
struct Counts {
    spans: SignalCounts,
    logs: SignalCounts,
    profiles: SignalCounts,
    metrics: SignalCounts,
    problem: Mutex<Option<String>>,
}

/// Of spans, of log records, of samples, or of numbers and histograms of metrics.
#[derive(Default)]
struct SignalCounts {
    stored: AtomicU64,
    malformed: AtomicU64,
    queue_full: AtomicU64,
    write_failed: AtomicU64,
    too_many_series: AtomicU64,
}

impl Counts {
    fn of(&self, signal: Signal) -> &SignalCounts {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Profiles => &self.profiles,
            Signal::Metrics => &self.metrics,
            Signal::Traces => &self.spans,
        }
    }

    fn report(&self, signal: Signal) -> SinkReport {
        let counts = self.of(signal);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let causes = [
            ("queue_full", &counts.queue_full),
            ("malformed", &counts.malformed),
            ("write_failed", &counts.write_failed),
            ("too_many_series", &counts.too_many_series),
        ];
        SinkReport {
            signal,
            delivered: read(&counts.stored),
            dropped: causes.into_iter().map(|(cause, count)| (cause, read(count))).filter(|drop| drop.1 > 0).collect(),
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            queue: None,
        }
    }

    /// Keeps the last problem for the report, and says the first of a row of them aloud.
    fn fail(&self, what: &str, error: &rusqlite::Error) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if problem.is_none() {
            tracing::warn!(%error, "{what}");
        }
        *problem = Some(format!("{what}: {error}"));
    }

    fn recover(&self) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Batches that may wait for the writer.
const QUEUE_BATCHES: usize = 4096;
/// Bytes that may wait for the writer.
const QUEUE_BYTES: u64 = 64 << 20;

/// What waits for the writer.
#[derive(Default)]
struct Queued {
    batches: AtomicU64,
    bytes: AtomicU64,
}

enum Message {
    Batch(Arc<Batch>),
    Metrics(Box<Sample>),
    Flush(Sender<()>),
}

/// A store, open for writing: a sink of the agent. Dropping it writes what is queued.
pub struct Store {
    queue: Option<SyncSender<Message>>,
    queued: Arc<Queued>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in a folder; makes it when it is not there.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, StoreError> {
        let connection = schema::open_for_writing(folder)?;
        let (queue, receiver) = sync_channel(QUEUE_BATCHES);
        let queued = Arc::<Queued>::default();
        let counts = Arc::<Counts>::default();
        let mut writer = Writer::new(connection, limits, Arc::clone(&counts), Arc::clone(&queued));
        let thread = std::thread::Builder::new()
            .name("tandem-store".into())
            .spawn(move || writer.run(&receiver))
            .map_err(StoreError::Thread)?;
        Ok(Self { queue: Some(queue), queued, counts, thread: Some(thread) })
    }
}

impl Store {
    /// Takes metrics, or refuses them at once and counts that.
    pub fn offer_metrics(&self, sample: Sample) {
        let points = sample.points();
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send(Message::Metrics(Box::new(sample))).is_ok());
        if !taken {
            self.counts.metrics.queue_full.fetch_add(points, Ordering::Relaxed);
        }
    }
}

impl Sink for Store {
    fn name(&self) -> &'static str {
        "store"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        let queued = self.queued.batches.load(Ordering::Relaxed);
        let bytes = self.queued.bytes.load(Ordering::Relaxed) + bytes as u64;
        queued == 0 || queued + batches as u64 <= QUEUE_BATCHES as u64 && bytes <= QUEUE_BYTES
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let size = batch.bytes.len() as u64;
        let queued = self.queued.bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.queued.batches.fetch_add(1, Ordering::Relaxed);
        // A batch that is larger than the queue still gets its turn when nothing else waits.
        let refused = match &self.queue {
            Some(queue) if queued <= QUEUE_BYTES || queued == size => {
                match queue.try_send(Message::Batch(Arc::clone(batch))) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(_)) => Refused::Full,
                    Err(TrySendError::Disconnected(_)) => Refused::Stopped,
                }
            }
            Some(_) => Refused::Full,
            None => Refused::Stopped,
        };
        self.queued.bytes.fetch_sub(size, Ordering::Relaxed);
        self.queued.batches.fetch_sub(1, Ordering::Relaxed);
        self.counts.of(batch.signal).queue_full.fetch_add(batch.records.into(), Ordering::Relaxed);
        Err(refused)
    }

    fn flush(&self, deadline: Instant) {
        let Some(queue) = &self.queue else { return };
        let (done, wait) = channel();
        let mut message = Message::Flush(done);
        loop {
            match queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(unsent)) if Instant::now() < deadline => message = unsent,
                Err(_) => return,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Done, too late, or the thread is gone: there is nothing left to wait for.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn report(&self) -> SinkReport {
        self.counts.report(Signal::Traces)
    }

    /// Of metrics, which come by another way than batches.
    fn metrics(&self) -> Vec<OwnMetric> {
        let SinkReport { delivered, dropped, .. } = self.counts.report(Signal::Metrics);
        let counter = |name, help, label, points| OwnMetric { name, help, kind: OwnKind::Counter, label, points };
        let causes = dropped.into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect();
        vec![
            counter(
                "tandem_stored_metric_points_total",
                "Numbers and histograms of metrics that the store has taken.",
                None,
                vec![(String::new(), delivered)],
            ),
            counter(
                "tandem_metric_points_not_stored_total",
                "Those that it has not taken, by cause.",
                Some("cause"),
                causes,
            ),
        ]
    }
}

/// The same store as a sink of log records.
pub struct LogStore(pub Arc<Store>);

impl Sink for LogStore {
    fn name(&self) -> &'static str {
        "store_logs"
    }

    fn signal(&self) -> Signal {
        Signal::Logs
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        self.0.has_room(batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        self.0.offer(batch)
    }

    fn flush(&self, deadline: Instant) {
        self.0.flush(deadline);
    }

    fn report(&self) -> SinkReport {
        self.0.counts.report(Signal::Logs)
    }
}

/// The same store as a sink of profiles.
pub struct ProfileStore(pub Arc<Store>);

impl Sink for ProfileStore {
    fn name(&self) -> &'static str {
        "store_profiles"
    }

    fn signal(&self) -> Signal {
        Signal::Profiles
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        self.0.has_room(batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        self.0.offer(batch)
    }

    fn flush(&self, deadline: Instant) {
        self.0.flush(deadline);
    }

    fn report(&self) -> SinkReport {
        self.0.counts.report(Signal::Profiles)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread died");
        }
    }
}
