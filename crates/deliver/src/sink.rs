//! What takes batches: the local store, OTLP endpoints, a file of JSON lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::metrics::OwnMetric;
use crate::{Batch, Signal};

/// A sink did not take a batch; the sink has counted its records as dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its queue is full: it is slower than the batches come.
    #[error("the queue is full")]
    Full,
    /// It has stopped.
    #[error("it has stopped")]
    Stopped,
}

/// Takes batches. Called from the thread that drains the rings: nothing here may block.
pub trait Sink: Send + Sync {
    /// Short name for messages and metrics: `store`, `otlp`, `json`.
    fn name(&self) -> &'static str;

    /// What it takes: batches of this signal are offered to it.
    fn signal(&self) -> Signal {
        Signal::Traces
    }

    /// It writes to this machine's disk, or to whoever reads our output: at the end it is worth waiting for.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether so many batches would find room now. Who can make its sender wait asks before it takes something.
    fn has_room(&self, _batches: usize, _bytes: usize) -> bool {
        true
    }

    /// Takes a batch into a bounded queue, or refuses it at once.
    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused>;

    /// Waits until everything taken so far is delivered or given up, at most until `deadline`.
    fn flush(&self, deadline: Instant);

    /// What became of the records so far.
    fn report(&self) -> SinkReport;

    /// A stage hands on what it lets through: these sinks take it. Its `flush` only hands over what it still holds; those
    /// behind are flushed for themselves.
    fn behind(&self) -> &[Arc<dyn Sink>] {
        &[]
    }

    /// What a stage says of itself.
    fn metrics(&self) -> Vec<OwnMetric> {
        Vec::new()
    }
}

/// All sinks, those behind stages included; each stage before what is behind it.
pub fn with_those_behind(sinks: &[Arc<dyn Sink>]) -> Vec<Arc<dyn Sink>> {
    let mut all = Vec::new();
    for sink in sinks {
        all.push(Arc::clone(sink));
        all.extend(with_those_behind(sink.behind()));
    }
    all
}

/// Hands a batch to all sinks of its signal; one that refuses it has counted it. The refusal of one that decides: where telemetry
/// goes on to somebody else, what this machine keeps for itself holds up nobody.
pub fn offer_to(sinks: &[Arc<dyn Sink>], batch: &Arc<Batch>) -> Result<(), Refused> {
    let decides = deciding(sinks, batch.signal);
    let mut taken = Ok(());
    for sink in sinks.iter().filter(|sink| sink.signal() == batch.signal) {
        match sink.offer(batch) {
            Err(refused) if decides(sink) => taken = Err(refused),
            _ => {}
        }
    }
    taken
}

/// Whether so many batches would find room in those sinks that decide.
pub fn have_room(sinks: &[Arc<dyn Sink>], signal: Signal, batches: usize, bytes: usize) -> bool {
    let decides = deciding(sinks, signal);
    let mut of_signal = sinks.iter().filter(|sink| sink.signal() == signal && decides(sink));
    of_signal.all(|sink| sink.has_room(batches, bytes))
}

fn deciding(sinks: &[Arc<dyn Sink>], signal: Signal) -> impl Fn(&Arc<dyn Sink>) -> bool + use<> {
    let goes_on = sinks.iter().any(|sink| sink.signal() == signal && !sink.is_local());
    move |sink: &Arc<dyn Sink>| !goes_on || !sink.is_local()
}

/// What became of the spans or log records that a sink was offered. Numbers only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// Of what: spans or log records.
    pub signal: Signal,
    /// Delivered.
    pub delivered: u64,
    /// Dropped, by cause (`queue_full`, `refused`, `timeout`…).
    pub dropped: BTreeMap<&'static str, u64>,
    /// The last thing that went wrong, for the person: one line.
    pub problem: Option<String>,
    /// What waits for a receiver elsewhere.
    pub queue: Option<QueueReport>,
}

/// What waits in a queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueReport {
    /// Spans, log records or samples, those included that are just being sent.
    pub records: u64,
    /// Bytes on disk, and of what is not there yet.
    pub bytes: u64,
    /// How long the oldest has waited.
    pub oldest: std::time::Duration,
    /// Attempts that were not the first, so far.
    pub retries: u64,
    /// What waits survives the end of the agent.
    pub is_kept: bool,
}
