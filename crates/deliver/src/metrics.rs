//! Metrics at one moment, ready to be shown to Prometheus or sent as OTLP.

use std::sync::Arc;

use model::Value;
use record::layout::BUCKET_COUNT;

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
    /// What the agent says of itself.
    pub own: Vec<OwnMetric>,
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
    /// Stands for all series that were one too many.
    pub overflow: bool,
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
}

impl RedSeries {
    /// Spans in it.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum: u64, &more| sum.saturating_add(more))
    }
}

/// Whether a number only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
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
