//! What the policies of our own remember: shapes of traces that were seen, and how long each route usually takes.
//!
//! Both are bounded. What finds no room takes the place of what has not been seen for longest.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use foldhash::quality::RandomState;
use model::SpanId;

use super::trace::Trace;

/// A bounded map in which the entries that were not used for longest go first, in one go an eighth of them: so that making
/// room costs little a time.
#[derive(Debug)]
struct Recent<T> {
    entries: HashMap<u64, (u64, T), foldhash::fast::RandomState>,
    uses: u64,
    limit: usize,
}

impl<T> Recent<T> {
    fn new(limit: usize) -> Self {
        Self { entries: HashMap::default(), uses: 0, limit: limit.max(8) }
    }

    fn entry(&mut self, key: u64, new: impl FnOnce() -> T) -> &mut T {
        self.uses += 1;
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            let mut uses: Vec<u64> = self.entries.values().map(|(used, _)| *used).collect();
            let (_, &mut last, _) = uses.select_nth_unstable(self.limit / 8);
            self.entries.retain(|_, (used, _)| *used > last);
        }
        let (used, value) = self.entries.entry(key).or_insert_with(|| (0, new()));
        *used = self.uses;
        value
    }
}

/// Counts traces by their shape: which operations of which services called which, and how they ended.
#[derive(Debug)]
pub struct Shapes {
    seen: Recent<Seen>,
    window: Duration,
    hasher: RandomState,
}

#[derive(Debug)]
struct Seen {
    since: Duration,
    traces: u64,
}

impl Shapes {
    /// Counts anew after `window`; knows so many shapes.
    pub fn new(window: Duration, limit: usize) -> Self {
        Self { seen: Recent::new(limit), window, hasher: RandomState::default() }
    }

    /// How many traces of this shape there were in the window, this one included.
    pub fn count(&mut self, trace: &Trace<'_>, now: Duration) -> u64 {
        let shape = self.shape(trace);
        let seen = self.seen.entry(shape, || Seen { since: now, traces: 0 });
        if now.saturating_sub(seen.since) >= self.window {
            *seen = Seen { since: now, traces: 0 };
        }
        seen.traces += 1;
        seen.traces
    }

    fn shape(&self, trace: &Trace<'_>) -> u64 {
        let names: HashMap<SpanId, &[u8], foldhash::fast::RandomState> =
            trace.spans.iter().map(|span| (span.fields.span_id, span.fields.name)).collect();
        let mut edges: Vec<u64> = trace
            .spans
            .iter()
            .map(|span| {
                let parent = span.fields.parent_span_id.and_then(|parent| names.get(&parent)).copied();
                let mut hasher = self.hasher.build_hasher();
                for text in [span.service(), span.fields.name, parent.unwrap_or_default()] {
                    hasher.write_usize(text.len());
                    hasher.write(text);
                }
                hasher.write_u8(span.fields.status as u8);
                hasher.finish()
            })
            .collect();
        edges.sort_unstable();
        edges.dedup();
        self.hasher.hash_one(edges)
    }
}

/// Ratio of a bucket's bounds: a quantile is right to a twentieth.
const BUCKET_RATIO: f64 = 1.1;
/// Buckets from 1 µs to more than an hour.
const BUCKETS: usize = 232;
/// Then all counts are halved: what was long ago counts less and less.
const MOST: u32 = 16_384;

/// How long the traces of each route take.
#[derive(Debug)]
pub struct Routes {
    known: Recent<Durations>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Durations {
    total: u32,
    buckets: Box<[u16; BUCKETS]>,
}

impl Routes {
    /// Knows so many routes.
    pub fn new(limit: usize) -> Self {
        Self { known: Recent::new(limit), hasher: RandomState::default() }
    }

    /// The quantile of the durations so far of traces that begin as this one does, where there were at least so many; and
    /// remembers this one's.
    pub fn quantile_before(&mut self, trace: &Trace<'_>, quantile: f64, least: u32) -> Option<u64> {
        let root = trace.root()?;
        let mut hasher = self.hasher.build_hasher();
        for text in [root.service(), root.fields.name] {
            hasher.write_usize(text.len());
            hasher.write(text);
        }
        let durations = self.known.entry(hasher.finish(), || Durations { total: 0, buckets: Box::new([0; BUCKETS]) });
        let before = (durations.total >= least).then(|| durations.quantile(quantile));
        durations.add(trace.duration_ns());
        before
    }
}

impl Durations {
    fn add(&mut self, duration_ns: u64) {
        let micros = duration_ns as f64 / 1e3;
        let bucket = if micros <= 1.0 { 0 } else { (micros.ln() / BUCKET_RATIO.ln()).ceil() as usize };
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
        if self.total >= MOST {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.total = self.buckets.iter().map(|&count| u32::from(count)).sum();
        }
    }

    /// The upper bound of the bucket in which it is.
    fn quantile(&self, quantile: f64) -> u64 {
        let rank = (f64::from(self.total) * quantile).ceil() as u32;
        let mut below = 0;
        let bucket = self.buckets.iter().position(|&count| {
            below += u32::from(count);
            below >= rank
        });
        (BUCKET_RATIO.powi(bucket.unwrap_or(BUCKETS - 1) as i32) * 1e3) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_tenth_and_follow_the_times() {
        let mut durations = Durations { total: 0, buckets: Box::new([0; BUCKETS]) };
        for number in 1..=1000u64 {
            durations.add(number * 1_000_000);
        }
        let p99 = durations.quantile(0.99) as f64 / 1e6;
        assert!((990.0..990.0 * 1.1).contains(&p99), "{p99}");
        for _ in 0..4 * MOST {
            durations.add(1_000_000);
        }
        assert!(durations.quantile(0.99) < 1_100_000, "the past is forgotten");
        assert!(durations.total < MOST);
        durations.add(u64::MAX);
        durations.add(0);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut recent = Recent::new(16);
        for key in 0..1000 {
            *recent.entry(key, || 0) += 1;
            *recent.entry(7, || 0) += 1;
            assert!(recent.entries.len() <= 16);
        }
        assert_eq!(*recent.entry(7, || 0), 1001);
        assert_eq!(*recent.entry(3, || 0), 0);
    }
}
