//! Tail sampling: traces are kept for what they turned out to be.
//!
//! A [`Sampler`] is a sink with other sinks behind it. Spans that come wait in a [`buffer`], by trace, until `decision_wait` after
//! the first of their trace; then the [`policy`]s vote. What is kept goes on, with the reason on it ([`outgoing`]); what is not is
//! counted. Where a span makes the decision certain its trace does not wait; where memory is short the oldest traces do not.
//! [`decisions`] are remembered, so that late spans follow them.
//!
//! Metrics are made of all spans before this stage: what is dropped here is in them. Spans that the program did not sample never
//! come here, and [`threshold`]s that samplers before this one have told stay right.

mod buffer;
mod decisions;
mod history;
mod limit;
mod outgoing;
pub mod policy;
pub mod settings;
mod stage;
pub mod threshold;
pub mod trace;
pub mod trial;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::regulate::objectives::Wanted;
use deliver::metrics::{OwnKind, OwnMetric};
use deliver::sink::have_room;
use deliver::{Batch, Refused, Signal, Sink, SinkReport};

pub use outgoing::POLICY_ATTRIBUTE;
pub use settings::Sampling;
pub use stage::{Counts, Stage};

/// How long what goes on may wait for more that goes on with it.
const GATHER: Duration = Duration::from_millis(100);
/// Traces that are decided on before somebody else may use the stage.
const AT_ONCE: usize = 64;

/// Why a sampler could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// Its configuration.
    #[error("sampling: {0}")]
    Settings(String),
    /// Its thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// The stage in front of the sinks of spans.
#[derive(Debug)]
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    stage: Mutex<Stage>,
    /// Something is held, after there was nothing; or it ends.
    changed: Condvar,
    behind: Vec<Arc<dyn Sink>>,
    start: Instant,
    stopped: std::sync::atomic::AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// One that refuses a batch has counted it.
    fn hand_on(&self, batches: Vec<Arc<Batch>>) {
        for batch in &batches {
            for sink in &self.behind {
                let _ = sink.offer(batch);
            }
        }
    }

    /// Decides as time passes.
    fn run(&self) {
        let mut stage = self.stage();
        while !self.is_stopped() {
            let more = stage.decide_due(self.start.elapsed(), AT_ONCE);
            let batches = if more { stage.take_full() } else { stage.take() };
            let pause = stage.next_due(self.start.elapsed());
            if more || !batches.is_empty() {
                drop(stage);
                self.hand_on(batches);
                stage = self.stage();
                continue;
            }
            stage = match pause {
                None => self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    let pause = pause.clamp(Duration::from_millis(1), GATHER);
                    self.changed.wait_timeout(stage, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Sampler {
    /// Starts it in front of these sinks.
    pub fn start(settings: &Sampling, behind: Vec<Arc<dyn Sink>>) -> Result<Self, SamplerError> {
        Self::start_with(settings, None, behind)
    }

    /// The same; what objectives want is kept, too.
    pub fn start_with(
        settings: &Sampling,
        wanted: Option<Arc<Wanted>>,
        behind: Vec<Arc<dyn Sink>>,
    ) -> Result<Self, SamplerError> {
        let stage = Stage::with(settings, wanted).map_err(|problem| SamplerError::Settings(problem.text))?;
        let shared = Arc::new(Shared {
            stage: Mutex::new(stage),
            changed: Condvar::new(),
            behind,
            start: Instant::now(),
            stopped: false.into(),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("tandem-sampling".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.shared.stage().counts().clone()
    }

    /// Names of the policies, in the order of [`Counts::kept`].
    pub fn policies(&self) -> Vec<String> {
        self.shared.stage().policies().all().iter().map(|policy| policy.name.clone()).collect()
    }
}

impl Sink for Sampler {
    fn name(&self) -> &'static str {
        "sampling"
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        have_room(&self.shared.behind, Signal::Traces, batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut stage = self.shared.stage();
        let was_idle = stage.is_idle();
        stage.take_in(&batch.bytes, batch.records, self.shared.start.elapsed());
        let full = stage.take_full();
        let is_idle = stage.is_idle();
        drop(stage);
        self.shared.hand_on(full);
        if was_idle && !is_idle {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {
        loop {
            let mut stage = self.shared.stage();
            let more = stage.decide_rest(self.shared.start.elapsed(), AT_ONCE);
            let batches = if more { stage.take_full() } else { stage.take() };
            drop(stage);
            self.shared.hand_on(batches);
            if !more {
                break;
            }
        }
    }

    fn report(&self) -> SinkReport {
        SinkReport { dropped: self.shared.stage().counts().lost.clone(), ..SinkReport::default() }
    }

    fn behind(&self) -> &[Arc<dyn Sink>] {
        &self.shared.behind
    }

    fn metrics(&self) -> Vec<OwnMetric> {
        let stage = self.shared.stage();
        let (counts, [traces, spans, bytes]) = (stage.counts().clone(), stage.held());
        let names: Vec<String> = stage.policies().all().iter().map(|policy| policy.name.clone()).collect();
        drop(stage);
        let by_policy = |numbers: &[u64]| names.iter().cloned().zip(numbers.iter().copied()).collect::<Vec<_>>();
        let counter = |name, help, label, points| OwnMetric { name, help, kind: OwnKind::Counter, label, points };
        let one = |number| vec![(String::new(), number)];
        let gauge =
            |name, help, number| OwnMetric { name, help, kind: OwnKind::Gauge, label: None, points: one(number) };
        let mut dropped = by_policy(&counts.dropped);
        dropped.retain(|(_, number)| *number > 0);
        dropped.push(("none".to_owned(), counts.unwanted));
        let early = counts.early.iter().map(|(cause, number)| ((*cause).to_owned(), *number)).collect();
        let [late_kept, late_dropped] = counts.late;
        let late = vec![("kept".to_owned(), late_kept), ("dropped".to_owned(), late_dropped)];
        vec![
            counter(
                "tandem_sampling_kept_traces_total",
                "Traces that were kept, by the policy that kept them.",
                Some("policy"),
                by_policy(&counts.kept),
            ),
            counter(
                "tandem_sampling_dropped_traces_total",
                "Traces that were not kept, by the policy that dropped them; none: no policy voted for them.",
                Some("policy"),
                dropped,
            ),
            counter("tandem_sampling_kept_spans_total", "Spans that were kept.", None, one(counts.kept_spans)),
            counter(
                "tandem_sampling_dropped_spans_total",
                "Spans that were not kept.",
                None,
                one(counts.dropped_spans),
            ),
            counter(
                "tandem_sampling_early_decisions_total",
                "Traces that were decided on before their time, by cause.",
                Some("cause"),
                early,
            ),
            counter(
                "tandem_sampling_late_spans_total",
                "Spans that came after the decision on their trace, by that decision.",
                Some("decision"),
                late,
            ),
            gauge("tandem_sampling_held_traces", "Traces that wait for their decision.", traces),
            gauge("tandem_sampling_held_spans", "Spans that wait for the decision on their trace.", spans),
            gauge("tandem_sampling_held_bytes", "Memory that they take, with the index.", bytes),
        ]
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        let stage = self.shared.stage(); // so that the thread is either waiting or looks again
        self.shared.stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(stage);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
