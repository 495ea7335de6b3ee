//! Spans, log records and metrics that others send as OTLP: checked, measured as a woven program's, and handed on as the bytes
//! that they are.
//!
//! No tree is built: a request is walked in place, a span is copied whole, and all that is kept of it are its numbers. What the
//! tables here hold is bounded whatever is sent; what is refused is told to the sender and counted by its cause.

mod exponential;
mod known;
mod latest;
mod meter;
pub mod settings;
mod spans;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use deliver::otlp::check;
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::regroup::{Regrouped, Verdict, regroup};
use deliver::otlp::server::{Accepted, Receiver, Refused};
use deliver::otlp::walk::{self, Field, Fields, Malformed, ResourceGroup, Whole};
use deliver::{Batch, Signal};

use crate::correlate::Correlator;
use crate::pipeline::Shared;
pub(crate) use known::resource_of;
pub(crate) use latest::Latest;
pub(crate) use meter::Meter;

/// What begins later than this from now (ns) has a clock that is wrong beyond use: the store would keep it for good.
const FUTURE: u64 = 24 * 3600 * 1_000_000_000;

/// What takes OTLP.
pub(crate) struct Received {
    shared: Arc<Shared>,
    /// The stage in which spans wait that others may tell of, too.
    correlator: Option<Arc<Correlator>>,
    meter: Meter,
}

/// What was received, and what not.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Spans that were taken.
    pub spans: u64,
    /// Of them, those without a parent.
    pub roots: u64,
    /// Log records.
    pub logs: u64,
    /// Data points of metrics.
    pub points: u64,
    /// Records of requests that were taken, but for these, by cause.
    pub refused_records: BTreeMap<&'static str, u64>,
    /// Requests and connections that were refused, by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// What was taken although it is strange, by what.
    pub strange: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Nothing has ever come.
    pub fn is_empty(&self) -> bool {
        self.spans + self.logs + self.points == 0
    }

    fn add(&mut self, tally: &Tally) {
        self.spans += tally.spans;
        self.roots += tally.roots;
        self.logs += tally.logs;
        self.points += tally.points;
        for (into, from) in [(&mut self.refused_records, &tally.refused), (&mut self.strange, &tally.strange)] {
            from.iter().for_each(|(cause, count)| *into.entry(cause).or_default() += count);
        }
    }
}

/// The counts of one request.
#[derive(Default)]
struct Tally {
    spans: u64,
    roots: u64,
    logs: u64,
    points: u64,
    refused: Vec<(&'static str, u64)>,
    strange: Vec<(&'static str, u64)>,
}

fn count(causes: &mut Vec<(&'static str, u64)>, cause: &'static str) {
    match causes.iter_mut().find(|(known, _)| *known == cause) {
        Some((_, count)) => *count += 1,
        None => causes.push((cause, 1)),
    }
}

/// What the sender is told of records that are left out.
fn explained(cause: &str) -> &'static str {
    match cause {
        "no_trace_id" => "without a trace id",
        "no_span_id" => "without a span id",
        "future" => "from more than a day in the future",
        "too_long" => "that took longer than 30 days",
        _ => "for which the queue had no room",
    }
}

impl Received {
    pub fn new(shared: Arc<Shared>, correlator: Option<Arc<Correlator>>) -> Self {
        Self { meter: Meter::of(&shared), shared, correlator }
    }

    fn take(&self, signal: Signal, request: &Bytes) -> Result<Accepted, Refused> {
        let mut tally = Tally::default();
        if signal == Signal::Traces {
            self.spans(request, &mut tally)?;
        } else {
            check::request(signal, request).map_err(|unsound| Refused::Malformed(unsound.to_string()))?;
            self.find_room(signal, request)?;
            let taken = match signal {
                Signal::Metrics => self.metrics(request, &mut tally),
                _ => self.logs(request, &mut tally),
            };
            taken.map_err(|malformed| Refused::Malformed(malformed.to_string()))?;
        }
        let rejected: u64 = tally.refused.iter().map(|(_, count)| count).sum();
        let told = tally.refused.iter().map(|(cause, count)| format!("{count} {}", explained(cause)));
        let message = told.collect::<Vec<_>>().join(", ");
        self.shared.state().statistics.received.add(&tally);
        Ok(Accepted { rejected, message })
    }

    /// Whether there is room for all groups of a request.
    fn find_room(&self, signal: Signal, request: &Bytes) -> Result<(), Refused> {
        let groups = Fields::of(request).filter(|field| matches!(field, Ok((1, Field::Bytes(_)))));
        let has_room = self.shared.has_room(signal, groups.count(), request.len());
        if has_room { Ok(()) } else { Err(Refused::Full) }
    }

    fn logs(&self, request: &Bytes, tally: &mut Tally) -> Result<(), Malformed> {
        let latest = UnixNanos::now().0.saturating_add(FUTURE);
        let mut begin = 0;
        for (number, field, whole) in Whole::of(request) {
            let end = begin + whole.len();
            if let (1, Field::Bytes(message)) = (number, field?) {
                let group = ResourceGroup::read(message)?;
                let sender = self.meter.known().sender(group.resource)?;
                let regrouped = logs(group, latest, tally)?;
                let whole = request.slice(begin..end);
                regrouped.batches(Signal::Logs, &sender.resource, whole, |batch| self.offer(batch, tally));
            }
            begin = end;
        }
        Ok(())
    }

    /// Metrics pass through as they are.
    fn metrics(&self, request: &Bytes, tally: &mut Tally) -> Result<(), Malformed> {
        let mut points = 0;
        for group in walk::resources(request) {
            for scope in group?.scopes() {
                for metric in scope?.records() {
                    points += points_of(metric?)?;
                }
            }
        }
        if points == 0 {
            return Ok(());
        }
        tally.points = points;
        let records = u32::try_from(points).unwrap_or(u32::MAX);
        let batch = Batch { signal: Signal::Metrics, resource: Arc::default(), bytes: request.clone(), records };
        self.offer(batch, tally);
        Ok(())
    }

    /// Hands a batch on; what finds no room is no longer taken.
    fn offer(&self, batch: Batch, tally: &mut Tally) {
        let records = u64::from(batch.records);
        if !self.shared.offer(&Arc::new(batch)) {
            match tally.refused.iter_mut().find(|(cause, _)| *cause == "queue_full") {
                Some((_, count)) => *count += records,
                None => tally.refused.push(("queue_full", records)),
            }
        }
    }
}

impl Receiver for Received {
    fn receive(&self, signal: Signal, request: Bytes) -> Result<Accepted, Refused> {
        let taken = self.take(signal, &request);
        match &taken {
            Ok(_) => {}
            Err(Refused::Malformed(_)) => self.count("malformed"),
            Err(Refused::Full) => self.count("queue_full"),
            Err(Refused::Stopped) => self.count("stopped"),
        }
        taken
    }

    fn count(&self, cause: &'static str) {
        *self.shared.state().statistics.received.refused.entry(cause).or_default() += 1;
    }
}

fn logs<'a>(group: ResourceGroup<'a>, latest: u64, tally: &mut Tally) -> Result<Regrouped<'a>, Malformed> {
    regroup(group.message, |log| {
        for field in Fields::of(log) {
            if let (1 | 11, Field::Fixed64(time)) = field?
                && time > latest
            {
                count(&mut tally.refused, "future");
                return Ok(Verdict::Refused);
            }
        }
        tally.logs += 1;
        Ok(Verdict::Kept)
    })
}

/// Data points of a metric.
fn points_of(metric: &[u8]) -> Result<u64, Malformed> {
    let mut points = 0;
    for field in Fields::of(metric) {
        if let (5 | 7 | 9 | 10 | 11, Field::Bytes(data)) = field? {
            for field in Fields::of(data) {
                points += u64::from(matches!(field?, (1, Field::Bytes(_))));
            }
        }
    }
    Ok(points)
}

/// Now, as spans have it.
trait Now {
    fn now() -> Self;
}

impl Now for UnixNanos {
    fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64)
    }
}
