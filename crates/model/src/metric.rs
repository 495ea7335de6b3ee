//! A metric's series as people and scripts see it: what was measured from one moment to the next.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Attributes, Resource};

/// What a metric's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// It only rises: a point is what was added.
    Counter,
    /// It goes up and down: a point is what it was.
    UpDownCounter,
    /// A number that sums make no sense of: a point is what it was.
    Gauge,
    /// Values by size: a point is what was added.
    Histogram,
}

impl MetricKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Counter, Self::UpDownCounter, Self::Gauge, Self::Histogram];

    /// A point is what was added, not what was so.
    pub fn is_added(self) -> bool {
        matches!(self, Self::Counter | Self::Histogram)
    }

    /// As scripts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number as it was counted: whole ones stay whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricNumber {
    /// A whole one.
    Int(i64),
    /// Any.
    Float(f64),
}

impl MetricNumber {
    /// For figures.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Self::Int(one.saturating_add(other)),
            _ => Self::Float(self.as_f64() + other.as_f64()),
        }
    }
}

/// What a point says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricValue {
    /// Of a histogram.
    Histogram {
        /// Values that were added.
        count: u64,
        /// Their sum.
        sum: f64,
        /// How many were within each bound, and above the last one.
        bucket_counts: Vec<u64>,
    },
    /// Of all else.
    Number {
        /// The number.
        value: MetricNumber,
    },
}

/// A point of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// What was added, was added since then; ns since 1970.
    pub start_unix_nano: u64,
    /// When it was measured, ns since 1970.
    pub time_unix_nano: u64,
    /// What.
    #[serde(flatten)]
    pub value: MetricValue,
}

/// A series with its points, oldest first. Where nothing was added there is no point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Name.
    pub name: String,
    /// Unit, as UCUM has it.
    pub unit: String,
    /// What its points mean.
    pub kind: MetricKind,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `service.name` of its resource.
    pub service: String,
    /// Instrumentation scope.
    #[serde(default)]
    pub scope: String,
    /// What tells it from the metric's other series.
    pub attributes: Attributes,
    /// The whole resource; not part of the JSON line of a series.
    #[serde(skip)]
    pub resource: Arc<Resource>,
    /// Upper bounds of a histogram's buckets, inclusive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<f64>,
    /// Its points.
    pub points: Vec<MetricPoint>,
}

/// What a series' points are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricFigures {
    /// The newest number; of counters all that was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<MetricNumber>,
    /// Of counters and histograms: what was added, or how many values, a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Of histograms: values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Of histograms: their sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// Of histograms: half of the values are no larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 95 in a hundred are no larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// 99 in a hundred are no larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

impl MetricSeries {
    /// Puts what came next into the newest point: what was added together, else what was so last.
    pub fn merge(&mut self, next: MetricPoint) {
        let is_added = self.kind.is_added();
        let Some(newest) = self.points.last_mut() else { return self.points.push(next) };
        newest.time_unix_nano = next.time_unix_nano;
        match (&mut newest.value, next.value) {
            (
                MetricValue::Histogram { count, sum, bucket_counts },
                MetricValue::Histogram { count: more, sum: larger, bucket_counts: counts },
            ) => {
                *count += more;
                *sum += larger;
                bucket_counts.iter_mut().zip(counts).for_each(|(count, more)| *count += more);
            }
            (MetricValue::Number { value }, MetricValue::Number { value: next }) if is_added => {
                *value = value.plus(next);
            }
            (value, next) => *value = next,
        }
    }

    /// The figures of a series that was looked at for so long.
    pub fn figures(&self, looked_at_ns: u64) -> MetricFigures {
        let seconds = looked_at_ns as f64 / 1e9;
        let rate = |added: f64| (seconds > 0.0).then(|| added / seconds);
        match self.kind {
            MetricKind::Histogram => {
                let (count, sum, buckets) = self.all_values();
                let at = |share| quantile(&self.bounds, &buckets, share);
                MetricFigures {
                    per_second: rate(count as f64),
                    count: Some(count),
                    sum: Some(sum),
                    p50: at(0.5),
                    p95: at(0.95),
                    p99: at(0.99),
                    value: None,
                }
            }
            MetricKind::Counter => {
                let added = self.numbers().reduce(MetricNumber::plus);
                let per_second = rate(added.map_or(0.0, MetricNumber::as_f64));
                MetricFigures { value: added, per_second, ..MetricFigures::default() }
            }
            MetricKind::UpDownCounter | MetricKind::Gauge => {
                MetricFigures { value: self.numbers().last(), ..MetricFigures::default() }
            }
        }
    }

    fn numbers(&self) -> impl Iterator<Item = MetricNumber> {
        self.points.iter().filter_map(|point| match point.value {
            MetricValue::Number { value } => Some(value),
            MetricValue::Histogram { .. } => None,
        })
    }

    /// Count, sum and buckets of all points together.
    fn all_values(&self) -> (u64, f64, Vec<u64>) {
        let mut all = (0, 0.0, vec![0; self.bounds.len() + 1]);
        for point in &self.points {
            let MetricValue::Histogram { count, sum, bucket_counts } = &point.value else { continue };
            all.0 += count;
            all.1 += sum;
            all.2.iter_mut().zip(bucket_counts).for_each(|(all, more)| *all += more);
        }
        all
    }
}

/// The value that a share of all values is no larger than, as Prometheus tells it: values are taken to be spread evenly within
/// their bucket, which begins at 0 for the first one; of what is above the last bound only that is known. `None`: no values.
pub fn quantile(bounds: &[f64], bucket_counts: &[u64], share: f64) -> Option<f64> {
    let count: u64 = bucket_counts.iter().sum();
    if count == 0 || bounds.is_empty() {
        return None;
    }
    let rank = share * count as f64;
    let mut below = 0;
    for (index, &within) in bucket_counts.iter().enumerate() {
        let so_far = below + within;
        if within > 0 && so_far as f64 >= rank {
            let Some(&upper) = bounds.get(index) else { break };
            let lower = match index {
                0 => upper.min(0.0),
                _ => bounds[index - 1],
            };
            return Some(lower + (upper - lower) * ((rank - below as f64) / within as f64).clamp(0.0, 1.0));
        }
        below = so_far;
    }
    bounds.last().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_lie_where_the_values_are() {
        let bounds = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&bounds, &[0, 0, 0, 0], 0.5), None);
        assert_eq!(quantile(&bounds, &[10, 0, 0, 0], 0.5), Some(0.5));
        assert_eq!(quantile(&bounds, &[0, 10, 0, 0], 0.5), Some(1.5));
        assert_eq!(quantile(&bounds, &[5, 0, 5, 0], 0.75), Some(3.0));
        assert_eq!(quantile(&bounds, &[0, 0, 0, 7], 0.99), Some(4.0), "no more than that is known");
    }

    proptest! {
        #[test]
        fn higher_quantiles_are_no_lower(counts in prop::collection::vec(0..1000u64, 4), share in 0.0..1.0f64, more in 0.0..1.0f64) {
            let at = |share| quantile(&[0.1, 1.0, 10.0], &counts, share);
            prop_assert!(at(share) <= at(share + (1.0 - share) * more));
        }
    }
}
