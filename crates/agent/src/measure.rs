//! Rates, errors and durations of spans: those that were sampled, as they pass, and the counts that the others left.
//! Together they are exact, whatever is sampled.

use std::collections::HashMap;
use std::sync::Arc;

use deliver::metrics::{RedKey, RedSeries};
use foldhash::fast::RandomState;
use record::layout::{BUCKET_BOUNDS, BUCKET_COUNT};

/// Series that are kept; what comes after goes into one series a service that says so.
const SERIES_LIMIT: usize = 10_000;

/// A series' place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesIndex(usize);

/// All series of all programs. Cumulative since the agent started.
#[derive(Debug, Default)]
pub struct Measure {
    index: HashMap<String, SeriesIndex, RandomState>,
    series: Vec<RedSeries>,
}

impl Measure {
    /// Finds or makes a series.
    pub fn series(&mut self, key: RedKey) -> SeriesIndex {
        if let Some(found) = self.find(&key) {
            return found;
        }
        if self.series.len() < SERIES_LIMIT || key.overflow {
            return self.insert(key);
        }
        let overflow = overflow(&key);
        self.find(&overflow).unwrap_or_else(|| self.insert(overflow))
    }

    /// Adds one span.
    #[inline]
    pub fn span(&mut self, index: SeriesIndex, duration_ns: u64) {
        let series = &mut self.series[index.0];
        // Saturating: counts that a program has made up must not stop the agent.
        let bucket = &mut series.buckets[bucket(duration_ns)];
        *bucket = bucket.saturating_add(1);
        series.sum_ns = series.sum_ns.saturating_add(duration_ns);
    }

    /// Adds spans that only left their counts.
    pub fn counts(&mut self, index: SeriesIndex, buckets: &[u64; BUCKET_COUNT], sum_ns: u64) {
        let series = &mut self.series[index.0];
        for (bucket, more) in series.buckets.iter_mut().zip(buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        series.sum_ns = series.sum_ns.saturating_add(sum_ns);
    }

    /// A copy of all series.
    pub fn snapshot(&self) -> Vec<RedSeries> {
        self.series.clone()
    }

    fn find(&self, key: &RedKey) -> Option<SeriesIndex> {
        self.index.get(&identity(key)).copied()
    }

    fn insert(&mut self, key: RedKey) -> SeriesIndex {
        let index = SeriesIndex(self.series.len());
        self.index.insert(identity(&key), index);
        self.series.push(RedSeries { key: Arc::new(key), buckets: [0; BUCKET_COUNT], sum_ns: 0 });
        index
    }
}

/// The series of a service for whatever is one too many.
pub fn overflow(key: &RedKey) -> RedKey {
    RedKey {
        service: Arc::clone(&key.service),
        span_name: String::new(),
        kind: 0,
        status: 0,
        dimensions: Vec::new(),
        overflow: true,
    }
}

/// Number of the bucket that a duration belongs to.
#[inline]
pub fn bucket(duration_ns: u64) -> usize {
    BUCKET_BOUNDS.partition_point(|&bound| bound < duration_ns)
}

/// Text that is the same for the same key only.
fn identity(key: &RedKey) -> String {
    format!("{:?}", (&key.service, &key.span_name, key.kind, key.status, &key.dimensions, key.overflow))
}
