//! Metrics at one moment, ready to be shown to Prometheus or sent as OTLP.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Resource, Value};
use record::layout::BUCKET_COUNT;
use record::{InstrumentKind, InstrumentValue};

use crate::otlp::encode::UnixNanos;

/// All metrics at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// This machine's name.
    pub host: String,
    /// When counting began.
    pub start: UnixNanos,
    /// Now.
    pub now: UnixNanos,
    /// Rates, errors and durations of spans.
    pub red: Vec<RedSeries>,
    /// Metrics by the semantic conventions: durations of spans, and what programs count themselves.
    pub metrics: Vec<Metric>,
    /// The newest numbers that others have sent as OTLP. They have been passed on as they came.
    pub received: Vec<Metric>,
    /// What the agent says of itself.
    pub own: Vec<OwnMetric>,
}

impl Snapshot {
    /// The same, without exemplars where they are not wanted.
    #[must_use]
    pub fn with_exemplars(mut self, wanted: bool) -> Self {
        if !wanted {
            self.red.iter_mut().for_each(|series| series.exemplars.clear());
            self.metrics.iter_mut().flat_map(|metric| &mut metric.points).for_each(|point| point.exemplars.clear());
        }
        self
    }
}

/// What the spans of one series have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct RedKey {
    /// `service.name`.
    pub service: Arc<str>,
    /// The operation's name, rendered from its dimensions.
    pub span_name: String,
    /// Kind, as in OTLP.
    pub kind: u8,
    /// Status code, as in OTLP.
    pub status: u8,
    /// Attributes that are dimensions, sorted by key.
    pub dimensions: Vec<(String, Value)>,
    /// The metric that the conventions have for the durations; empty: none.
    pub metric: &'static str,
    /// Stands for all series that were one too many.
    pub overflow: bool,
}

/// A span that stands for the others of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// As on the wire.
    pub trace_id: [u8; 16],
    /// As on the wire.
    pub span_id: [u8; 8],
    /// When it ended.
    pub time: UnixNanos,
    /// How long it took.
    pub duration_ns: u64,
}

/// Whose metric it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// All processes of a service on this host.
    Service(Arc<str>),
    /// One process.
    Process(Arc<Resource>),
    /// The agent itself: what no one service can say.
    Agent,
}

/// A metric of one origin.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Whose it is.
    pub origin: Origin,
    /// Instrumentation scope.
    pub scope: String,
    /// The scope's version; empty: none.
    pub scope_version: String,
    /// The scope's schema; empty: none.
    pub schema_url: String,
    /// Name.
    pub name: String,
    /// Unit, as UCUM has it.
    pub unit: String,
    /// What it is.
    pub description: String,
    /// What its numbers mean.
    pub kind: InstrumentKind,
    /// It is brought up to date at times, not as things happen.
    pub observed: bool,
    /// Its series.
    pub points: Vec<Point>,
}

impl Metric {
    /// A pack or the agent makes it, not the program's own code.
    pub fn is_ours(&self) -> bool {
        self.scope.starts_with("tandem/")
    }
}

/// One series of a metric. Sums and histograms are cumulative.
#[derive(Clone, Debug)]
pub struct Point {
    /// What tells it from the others.
    pub attributes: Vec<(String, Value)>,
    /// When counting began.
    pub start: UnixNanos,
    /// When it was so.
    pub time: UnixNanos,
    /// What it has.
    pub value: InstrumentValue,
    /// Of a histogram: spans that stand for their buckets.
    pub exemplars: Vec<Exemplar>,
}

/// One series: a histogram of durations, whose count is the number of calls. Cumulative.
#[derive(Clone, Debug)]
pub struct RedSeries {
    /// What its spans have in common.
    pub key: Arc<RedKey>,
    /// Spans by duration; the bounds are `record::layout::BUCKET_BOUNDS`.
    pub buckets: [u64; BUCKET_COUNT],
    /// All durations, ns.
    pub sum_ns: u64,
    /// The newest sampled span of each bucket; empty while there is none.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl RedSeries {
    /// Spans in it.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum: u64, &more| sum.saturating_add(more))
    }
}

/// The series as `traces.span.metrics` shows them: what was too much is one series a service.
pub fn joined(red: &[RedSeries]) -> Vec<RedSeries> {
    let mut joined: Vec<RedSeries> = Vec::with_capacity(red.len());
    let mut overflow: HashMap<Arc<str>, usize> = HashMap::new();
    for series in red {
        let known = if series.key.overflow { overflow.get(&series.key.service).copied() } else { None };
        if let Some(index) = known {
            let into = &mut joined[index];
            into.sum_ns = into.sum_ns.saturating_add(series.sum_ns);
            into.buckets.iter_mut().zip(series.buckets).for_each(|(into, more)| *into = into.saturating_add(more));
            continue;
        }
        if series.key.overflow {
            overflow.insert(Arc::clone(&series.key.service), joined.len());
        }
        joined.push(series.clone());
    }
    joined
}

/// Whether a number only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
    /// The same; the numbers are thousandths.
    Thousandths,
}

/// One of the agent's own metrics.
#[derive(Clone, Debug)]
pub struct OwnMetric {
    /// Name as Prometheus sees it: `tandem_spans_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only rises.
    pub kind: OwnKind,
    /// Label, where it has one.
    pub label: Option<&'static str>,
    /// Value of the label, and the number.
    pub points: Vec<(String, u64)>,
}

/// Name of OTLP's span kind: `SPAN_KIND_SERVER`.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_INTERNAL",
    }
}

/// Name of OTLP's status code: `STATUS_CODE_ERROR`.
pub fn status_name(status: u8) -> &'static str {
    match status {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}
