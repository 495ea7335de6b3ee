//! One stream out of several: spans of the same operation are put together, whoever told of it, and traces that belong
//! together become one (docs/correlation.md).
//!
//! A stage in front of the sinks: spans wait in a `window` for whoever else tells of the same operations. Where nobody does, since no
//! program here is woven or observed, they go on at once, each of them `once`; what is received then passes by. What they are compared by
//! is in `facts`, who of many belongs to whom in `pairs`, how they are written again in `merge`.

mod facts;
mod merge;
mod once;
mod pairs;
#[cfg(test)]
mod testing;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use deliver::metrics::{OwnKind, OwnMetric};
use deliver::sink::have_room;
use deliver::{Batch, Refused, Signal, Sink, SinkReport};

use crate::receive::Meter;
use once::Once;
use window::{Counts, Window};

/// How long spans wait where programs send some themselves: SDKs do so every five seconds.
pub const WITH_SENDERS: Duration = Duration::from_secs(7);
/// Bytes of spans that wait at most; then the oldest go on before their time.
const LIMIT: usize = 64 << 20;
/// Bytes that may come while the stage is at work.
const QUEUE: usize = 64 << 20;
/// How often the stage looks, at least.
const LOOK: Duration = Duration::from_millis(200);

/// The stage.
pub struct Correlator {
    shared: Arc<Shared>,
    behind: Vec<Arc<dyn Sink>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl fmt::Debug for Correlator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Correlator").finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    around: OnceLock<Around>,
    /// What went on without waiting.
    once: Mutex<Once>,
    /// How long spans wait.
    wait: Duration,
}

/// The agent that the stage is a part of.
struct Around {
    meter: Option<Meter>,
    /// No program here is woven or observed just now.
    is_alone: Box<dyn Fn() -> bool + Send + Sync>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// How often all was wanted, and how often it was given.
    wanted: u64,
    given: u64,
    stop: bool,
    /// When somebody else was last seen.
    company: Option<Instant>,
    counts: Counts,
    /// Spans that had passed before.
    again: u64,
    refused: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn once(&self) -> MutexGuard<'_, Once> {
        self.once.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is nobody whom spans could wait for, and has not been for long: those who have gone may have told of spans that
    /// are still to come.
    fn is_alone(&self, now: Instant) -> bool {
        let is_alone = self.around.get().is_some_and(|around| (around.is_alone)());
        let mut state = self.state();
        if !is_alone {
            state.company = Some(now);
        }
        state.company.is_none_or(|last| now.saturating_duration_since(last) >= self.wait)
    }

    /// A batch without those spans that have passed before; `None`: nothing is left.
    fn pass(&self, batch: Arc<Batch>, now: Instant) -> Option<Arc<Batch>> {
        let passed = self.once().pass(Arc::clone(&batch), now);
        let (batch, again) = passed.unwrap_or((Some(batch), 0)); // what is no OTLP passes as it is
        self.state().again += again;
        batch
    }
}

impl Correlator {
    /// Puts one before those sinks that are of traces.
    pub(crate) fn before(sinks: &mut Vec<Arc<dyn Sink>>, wait: Duration) -> io::Result<Arc<Self>> {
        let of_traces = sinks.extract_if(.., |sink| sink.signal() == Signal::Traces).collect();
        let stage = Arc::new(Self::start(wait, of_traces)?);
        sinks.push(Arc::clone(&stage) as Arc<dyn Sink>);
        Ok(stage)
    }

    /// Spans that leave are measured, but for those that were when they came; and they wait for nobody while nobody is there.
    pub(crate) fn is_part_of(&self, agent: &Arc<crate::pipeline::Shared>) {
        let shared = Arc::downgrade(agent);
        let is_alone = Box::new(move || {
            shared.upgrade().is_none_or(|shared| {
                let statistics = &shared.state().statistics;
                statistics.active == 0 && statistics.observed.is_empty()
            })
        });
        let _ = self.shared.around.set(Around { meter: Some(Meter::of(agent)), is_alone }); // nobody does so twice
    }

    /// In front of these sinks, which are all of traces; spans wait so long.
    pub fn start(wait: Duration, behind: Vec<Arc<dyn Sink>>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            around: OnceLock::new(),
            once: Mutex::new(Once::new(wait)),
            wait,
        });
        let (theirs, sinks) = (Arc::clone(&shared), behind.clone());
        let thread = thread::Builder::new().name("tandem-correlate".to_owned()).spawn(move || {
            run(&theirs, &sinks);
        })?;
        Ok(Self { shared, behind, thread: Some(thread) })
    }

    /// Whether spans that are received now may pass by this stage: nobody else could tell of them. Who lets them asks for each of them
    /// whether it has [passed before](Self::passed_before), and measures it.
    pub(crate) fn may_be_passed_by(&self, now: Instant) -> bool {
        self.shared.is_alone(now) && !self.shared.state().stop
    }

    /// Of the spans with these ids, the places of those that have passed before. From now on all of them have.
    pub(crate) fn passed_before(&self, ids: impl Iterator<Item = ([u8; 16], [u8; 8])>, now: Instant) -> Vec<usize> {
        let mut once = self.shared.once();
        once.turn(now);
        let again = ids.enumerate().filter(|&(_, (trace_id, span_id))| !once.is_new(trace_id, span_id));
        let again: Vec<_> = again.map(|(place, _)| place).collect();
        drop(once);
        if !again.is_empty() {
            self.shared.state().again += again.len() as u64;
        }
        again
    }

    /// Hands a batch to those behind, as if it had been here.
    pub(crate) fn hand_on(&self, batch: &Arc<Batch>) {
        hand_on(&self.behind, batch);
    }
}

fn hand_on(sinks: &[Arc<dyn Sink>], batch: &Arc<Batch>) {
    for sink in sinks {
        let _ = sink.offer(batch); // who refuses it has counted it
    }
}

fn run(shared: &Shared, sinks: &[Arc<dyn Sink>]) {
    let mut window = Window::new(shared.wait, LIMIT);
    let measure_and_hand_on = |batch: &Arc<Batch>| {
        if let Some(meter) = shared.around.get().and_then(|around| around.meter.as_ref()) {
            let _ = meter.others(batch); // what is no OTLP has been counted
        }
        hand_on(sinks, batch);
    };
    loop {
        let mut state = shared.state();
        if state.queue.is_empty() && state.wanted == state.given && !state.stop {
            let pause = window.next().map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
            state = shared.changed.wait_timeout(state, pause.min(LOOK)).unwrap_or_else(PoisonError::into_inner).0;
        }
        let batches = std::mem::take(&mut state.queue);
        state.bytes = 0;
        let (stop, wanted) = (state.stop, state.wanted);
        let all = stop || wanted > state.given;
        drop(state);
        let now = Instant::now();
        let is_alone = shared.is_alone(now);
        for batch in batches {
            let passed = if is_alone { shared.pass(batch, now) } else { window.add(batch, now) };
            passed.iter().for_each(measure_and_hand_on);
        }
        while let Some(batch) = window.take(now, all) {
            batch.iter().for_each(measure_and_hand_on);
        }
        let mut state = shared.state();
        state.counts = window.counts;
        state.given = wanted;
        drop(state);
        shared.changed.notify_all();
        if stop {
            return;
        }
    }
}

impl Sink for Correlator {
    fn name(&self) -> &'static str {
        "correlate"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        self.shared.state().bytes + bytes <= QUEUE && have_room(&self.behind, Signal::Traces, batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let cause = if state.stop {
            Refused::Stopped
        } else if state.bytes + batch.bytes.len() > QUEUE {
            Refused::Full
        } else {
            state.bytes += batch.bytes.len();
            state.queue.push_back(Arc::clone(batch));
            drop(state);
            self.shared.changed.notify_all();
            return Ok(());
        };
        state.refused += u64::from(batch.records);
        Err(cause)
    }

    fn flush(&self, deadline: Instant) {
        let mut state = self.shared.state();
        state.wanted += 1;
        let wanted = state.wanted;
        self.shared.changed.notify_all();
        // What it holds is in memory: handing it on takes no time worth a deadline of nothing.
        let deadline = deadline.max(Instant::now() + Duration::from_secs(5));
        while state.given < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn report(&self) -> SinkReport {
        let refused = self.shared.state().refused;
        let dropped = (refused > 0).then_some(("queue_full", refused)).into_iter().collect::<BTreeMap<_, _>>();
        SinkReport { dropped, ..SinkReport::default() }
    }

    fn behind(&self) -> &[Arc<dyn Sink>] {
        &self.behind
    }

    fn metrics(&self) -> Vec<OwnMetric> {
        let state = self.shared.state();
        let (counts, again) = (state.counts, state.again);
        drop(state);
        let one = |name, help, number| OwnMetric {
            name,
            help,
            kind: OwnKind::Counter,
            label: None,
            points: vec![(String::new(), number)],
        };
        vec![
            one(
                "tandem_spans_merged_total",
                "Spans that told of an operation that another one tells of, too.",
                counts.merged + again,
            ),
            one("tandem_traces_joined_total", "Traces that were found to be a part of another one.", counts.joined),
            one(
                "tandem_correlation_early_batches_total",
                "Batches of spans that went on before their time, for want of room.",
                counts.early,
            ),
        ]
    }
}

impl Drop for Correlator {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{TestSpan, batch, span, spans};
    use super::*;
    use model::{Kind, Source};

    #[derive(Default)]
    struct Kept(Mutex<Vec<TestSpan>>);

    impl Sink for Kept {
        fn name(&self) -> &'static str {
            "kept"
        }

        fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
            self.0.lock().expect("it is sound").extend(spans(batch));
            Ok(())
        }

        fn flush(&self, _deadline: Instant) {}

        fn report(&self) -> SinkReport {
            SinkReport { signal: Signal::Traces, ..SinkReport::default() }
        }
    }

    fn operation(id: u8, source: Source) -> TestSpan {
        let words = [("http.request.method", "GET"), ("url.path", "/")];
        span(1, id, 9).kind(Kind::Server).with(&words).from(source)
    }

    #[test]
    fn what_waits_goes_on_when_it_is_time_or_asked_for() {
        let kept = Arc::new(Kept::default());
        let wait = Duration::from_millis(100);
        let stage = Correlator::start(wait, vec![Arc::clone(&kept) as Arc<dyn Sink>]).expect("a thread");
        let ids = || kept.0.lock().expect("it is sound").iter().map(TestSpan::id).collect::<Vec<_>>();
        let began = Instant::now();
        stage.offer(&batch("shop", &[operation(1, Source::Uprobe)])).expect("there is room");
        stage.offer(&batch("shop", &[operation(2, Source::Otlp)])).expect("there is room");
        while ids().is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(began.elapsed() >= wait);
        assert_eq!(ids(), [2]);
        assert_eq!(stage.metrics()[0].points[0].1, 1);
        stage.offer(&batch("shop", &[operation(3, Source::Otlp)])).expect("there is room");
        stage.flush(Instant::now());
        assert_eq!(ids(), [2, 3]);
        stage.offer(&batch("shop", &[operation(4, Source::Otlp)])).expect("there is room");
        drop(stage); // nothing is left behind
        assert_eq!(ids(), [2, 3, 4]);
    }

    #[test]
    fn where_nobody_else_tells_of_them_spans_go_on_at_once() {
        let kept = Arc::new(Kept::default());
        let stage = Correlator::start(Duration::from_mins(10), vec![Arc::clone(&kept) as Arc<dyn Sink>]);
        let stage = stage.expect("a thread");
        let _ = stage.shared.around.set(Around { meter: None, is_alone: Box::new(|| true) });
        let ids = || kept.0.lock().expect("it is sound").iter().map(TestSpan::id).collect::<Vec<_>>();
        for batches in [[1, 2], [2, 3]] {
            let spans = batches.map(|id| operation(id, Source::Otlp));
            stage.offer(&batch("shop", &spans)).expect("there is room");
        }
        while ids().len() < 3 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ids(), [1, 2, 3]);
        assert_eq!(stage.metrics()[0].points[0].1, 1);
    }
}
