//! Metrics: measured at an interval, kept as what was added or what was so, away when the store has grown too large or they too
//! old.
//!
//! ```text
//! Snapshot ─► totals.rs ──────► Sample ─► metric_sample (a row an interval, all numbers in it: points.rs)
//!             what was added      │ numbers of series
//!             since the last one  └─► metric_series (a row a series)
//! ```
//!
//! A row an interval instead of a row a number: a number takes a few bytes, and the writer changes one page however many
//! series there are. Who asks for one series reads them all, of the time that was asked for.

mod points;
mod read;
mod sampler;
mod totals;
mod write;

use std::sync::Arc;

use model::{Attributes, MetricKind};

pub use points::json as points_as_json;
pub use read::{MeasuredSeries, MetricFilter, MetricName, Metrics, names, query};
pub use sampler::MetricSampler;
pub use totals::MetricTotals;
pub use write::{KnownSeries, forget_unused, insert};

/// The longest time between two samples. A series says how late it is only so exactly.
const LATENESS: i64 = 10 * 60 * 1_000_000_000;

/// All that was measured at one moment.
#[derive(Debug)]
pub struct Sample {
    /// What was added, was added since then; ns since 1970.
    start: u64,
    /// When, ns since 1970.
    time: u64,
    points: Vec<(Arc<Series>, Value)>,
}

impl Sample {
    /// How many numbers and histograms it has.
    pub(crate) fn points(&self) -> u64 {
        self.points.len() as u64
    }
}

/// What the points of a series have in common.
#[derive(Debug)]
struct Series {
    /// Hash of all that follows but the description.
    identity: u128,
    name: String,
    unit: String,
    description: String,
    kind: MetricKind,
    scope: String,
    /// OTLP's message.
    resource: Arc<[u8]>,
    attributes: Attributes,
    bounds: Vec<f64>,
}

/// A point as it is stored.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Int(i64),
    Float(f64),
    Histogram { bucket_counts: Vec<u64>, sum: f64 },
}
