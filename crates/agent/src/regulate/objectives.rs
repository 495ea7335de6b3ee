//! Objectives, watched: what requests were like in the time that each objective looks at, how much of what it allows is left, and whether
//! it is met. The durations are those of [`measure`](crate::measure), so they are exact whatever is sampled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deliver::metrics::RedSeries;
use model::Value;
use record::layout::status::ERROR;
use record::layout::{BUCKET_BOUNDS, BUCKET_COUNT};

use super::settings::Objective;
use crate::measure::Unrecorded;

/// A window moves by so much of itself.
const PIECES: u32 = 60;
/// So much must be left again before an objective that was missed is met.
const RECOVERED: f64 = 0.2;

/// What requests were like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sums {
    buckets: [u64; BUCKET_COUNT],
    /// Of these, those without a record.
    unrecorded: [u64; BUCKET_COUNT],
    failed: u64,
}

const NONE: Sums = Sums { buckets: [0; BUCKET_COUNT], unrecorded: [0; BUCKET_COUNT], failed: 0 };

impl Sums {
    fn add(&mut self, series: &RedSeries, unrecorded: Option<&[u64; BUCKET_COUNT]>) {
        for (sum, more) in self.buckets.iter_mut().zip(series.buckets) {
            *sum = sum.saturating_add(more);
            self.failed = self.failed.saturating_add(if series.key.status == ERROR { more } else { 0 });
        }
        for (sum, more) in self.unrecorded.iter_mut().zip(unrecorded.into_iter().flatten()) {
            *sum = sum.saturating_add(*more);
        }
    }

    fn since(&self, before: &Self) -> Self {
        let less = |now: &[u64; BUCKET_COUNT], before: &[u64; BUCKET_COUNT]| {
            std::array::from_fn(|index| now[index].saturating_sub(before[index]))
        };
        Self {
            buckets: less(&self.buckets, &before.buckets),
            unrecorded: less(&self.unrecorded, &before.unrecorded),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// How many took longer. A bucket that the time lies in is shared out as if its requests lay evenly in it.
fn slower(buckets: &[u64; BUCKET_COUNT], time: u64) -> f64 {
    let shares = buckets.iter().enumerate().map(|(index, &count)| {
        let (from, to) = bounds(index);
        let above = (to - time as f64) / (to - from);
        count as f64 * above.clamp(0.0, 1.0)
    });
    shares.sum()
}

/// The time that this share keeps to; `None`: there were none.
fn quantile(buckets: &[u64; BUCKET_COUNT], share: f64) -> Option<u64> {
    let total: u64 = buckets.iter().sum();
    let mut left = share * total as f64;
    for (index, &count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = bounds(index);
        if left <= count as f64 {
            return Some((from + (to - from) * left / count as f64) as u64);
        }
        left -= count as f64;
    }
    None
}

/// Where a bucket begins and ends; the last one is as if it were as long as all before it.
fn bounds(index: usize) -> (f64, f64) {
    let from = if index == 0 { 0 } else { BUCKET_BOUNDS[index - 1] };
    let to = BUCKET_BOUNDS.get(index).copied().unwrap_or(from * 2);
    (from as f64, to as f64)
}

/// How an objective stands. Shares are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Requests in the window.
    pub requests: u64,
    /// The time that 99 of 100 kept to, ns.
    pub p99: Option<u64>,
    /// Of what `p99` allows to be slower, what is left; below 0: more were.
    pub p99_left: Option<f64>,
    /// The share that failed.
    pub error_rate: Option<f64>,
    /// Of what `error_rate` allows to fail, what is left.
    pub errors_left: Option<f64>,
    /// The share of slow requests that were recorded.
    pub slow_kept: Option<f64>,
    /// What observing adds to the programs' CPU time, percent.
    pub overhead: Option<f64>,
    /// It is missed.
    pub missed: bool,
}

impl Standing {
    /// The least that is left of anything it allows.
    pub fn left(&self) -> Option<f64> {
        [self.p99_left, self.errors_left].into_iter().flatten().min_by(f64::total_cmp)
    }
}

/// One objective and the time that it looks at.
#[derive(Debug)]
pub struct Watched {
    /// The objective.
    pub objective: Objective,
    /// How it stands.
    pub standing: Standing,
    /// Series that are about it.
    series: Vec<usize>,
    seen: usize,
    /// What had been counted, and when: the oldest is as old as the window.
    past: VecDeque<(Duration, Sums)>,
}

impl Watched {
    /// Begins to watch.
    pub fn new(objective: Objective) -> Self {
        Self { objective, standing: Standing::default(), series: Vec::new(), seen: 0, past: VecDeque::new() }
    }

    /// The places of the series that are about it.
    pub(super) fn series(&self) -> &[usize] {
        &self.series
    }

    fn counts(&self, series: &RedSeries) -> bool {
        let key = &series.key;
        let route = || {
            let route = key.dimensions.iter().find(|(name, _)| name == "http.route");
            route.and_then(|(_, value)| if let Value::String(route) = value { Some(route.as_str()) } else { None })
        };
        !key.overflow && self.objective.counts(&key.service, key.kind, &key.span_name, route)
    }

    /// Looks at all series: those that there are, in the order in which they came, and what of each left no record.
    pub fn look(&mut self, now: Duration, all: &[RedSeries], unrecorded: &[Unrecorded]) {
        let new = (self.seen..all.len()).filter(|&index| self.counts(&all[index]));
        let new: Vec<usize> = new.collect();
        self.series.extend(new);
        self.seen = all.len();
        let mut sums = NONE;
        for &index in &self.series {
            sums.add(&all[index], unrecorded.get(index).and_then(|kept| kept.as_deref()));
        }
        while self.past.len() > 1 && now.saturating_sub(self.past[1].0) >= self.objective.window {
            self.past.pop_front();
        }
        let before = self.past.front().map_or(sums, |(_, sums)| *sums);
        if self.past.back().is_none_or(|(when, _)| now.saturating_sub(*when) >= self.objective.window / PIECES) {
            self.past.push_back((now, sums));
        }
        self.judge(&sums.since(&before));
    }

    fn judge(&mut self, sums: &Sums) {
        let requests: u64 = sums.buckets.iter().sum();
        let overhead = self.standing.overhead;
        let total = requests as f64;
        // Of what is allowed, what is left; where nothing is allowed nothing may happen.
        let left = |happened: f64, share: f64| (requests > 0).then(|| 1.0 - happened / (share * total));
        let slow = self.objective.p99.map(|time| slower(&sums.buckets, time));
        let unrecorded = self.objective.p99.map(|time| slower(&sums.unrecorded, time));
        let slow_kept = slow.zip(unrecorded).filter(|(slow, _)| *slow > 0.0);
        let mut standing = Standing {
            requests,
            p99: quantile(&sums.buckets, 0.99),
            p99_left: slow.and_then(|slow| left(slow, 0.01)),
            error_rate: (requests > 0).then(|| sums.failed as f64 / total),
            errors_left: self.objective.error_rate.and_then(|share| left(sums.failed as f64, share)),
            slow_kept: slow_kept.map(|(slow, unrecorded)| (1.0 - unrecorded / slow).max(0.0)),
            overhead,
            missed: false,
        };
        let is_dear = overhead.zip(self.objective.overhead).is_some_and(|(is, may)| is > may);
        let edge = if self.standing.missed { RECOVERED } else { 0.0 };
        standing.missed = is_dear || standing.left().is_some_and(|left| left < edge);
        self.standing = standing;
    }

    /// More is wanted of its requests than what others get: it is missed, by what they do.
    pub fn wants_more(&self) -> bool {
        self.standing.missed && self.standing.left().is_some_and(|left| left < RECOVERED)
    }
}

/// Which traces objectives want kept, for whoever decides on traces.
#[derive(Debug)]
pub struct Wanted(Vec<(Objective, AtomicBool)>);

impl Wanted {
    /// By these objectives, none of which is missed yet.
    pub fn new(objectives: &[Objective]) -> Self {
        Self(objectives.iter().map(|objective| (objective.clone(), AtomicBool::new(false))).collect())
    }

    /// Whether the objective of that place is missed by its requests.
    pub(crate) fn set(&self, index: usize, is_missed: bool) {
        if let Some((_, missed)) = self.0.get(index) {
            missed.store(is_missed, Ordering::Relaxed);
        }
    }

    /// Whether the trace of such a span is wanted: its objective is missed, or keeps the slow ones and it is slow.
    pub fn wants<'a>(
        &self,
        kind: u8,
        service: &str,
        name: &str,
        route: impl Fn() -> Option<&'a str>,
        duration_ns: u64,
    ) -> bool {
        self.0.iter().any(|(objective, missed)| {
            let is_slow = objective.slow_kept.is_some() && objective.p99.is_some_and(|time| duration_ns > time);
            (is_slow || missed.load(Ordering::Relaxed)) && objective.counts(service, kind, name, &route)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deliver::metrics::RedKey;
    use record::layout::kind::{CLIENT, SERVER};
    use std::sync::Arc;

    fn series(service: &str, name: &str, kind: u8, status: u8, counts: &[(usize, u64)]) -> RedSeries {
        let key = RedKey {
            service: Arc::from(service),
            span_name: name.to_owned(),
            kind,
            status,
            dimensions: Vec::new(),
            metric: "",
            overflow: false,
        };
        let mut buckets = [0; BUCKET_COUNT];
        counts.iter().for_each(|&(index, count)| buckets[index] = count);
        RedSeries { key: Arc::new(key), buckets, sum_ns: 0, exemplars: Vec::new() }
    }

    fn objective(route: Option<&str>) -> Objective {
        Objective {
            name: "o".to_owned(),
            service: Some("sh*".to_owned()),
            route: route.map(str::to_owned),
            p99: Some(BUCKET_BOUNDS[8]),
            error_rate: Some(0.1),
            slow_kept: None,
            overhead: None,
            window: Duration::from_secs(60),
        }
    }

    #[test]
    fn budgets_are_spent_and_come_back() {
        let mut watched = Watched::new(objective(None));
        let second = Duration::from_secs(1);
        let mut all = vec![
            series("shop", "GET /", SERVER, 0, &[(3, 1000)]),
            series("shop", "GET /", CLIENT, ERROR, &[(19, 1000)]),
            series("bank", "GET /", SERVER, ERROR, &[(19, 1000)]),
        ];
        watched.look(second, &all, &[]);
        assert_eq!(
            (watched.standing.requests, watched.standing.left()),
            (0, None),
            "what was before counts for nothing"
        );
        all[0].buckets[3] += 980;
        all.push(series("shop", "GET /", SERVER, ERROR, &[(9, 20)]));
        watched.look(
            2 * second,
            &all,
            &[None, None, None, Some(Box::new(std::array::from_fn(|index| u64::from(index == 9) * 5)))],
        );
        let standing = watched.standing.clone();
        assert_eq!((standing.requests, standing.error_rate, standing.slow_kept), (1000, Some(0.02), Some(0.75)));
        assert!(
            (standing.p99_left.expect("there are requests") + 1.0).abs() < 1e-9,
            "twice as many are slow as may be"
        );
        assert!((standing.errors_left.expect("there are requests") - 0.8).abs() < 1e-9);
        assert!(standing.missed && watched.wants_more());
        let p99 = standing.p99.expect("there are requests");
        assert!(p99 > BUCKET_BOUNDS[8] && p99 <= BUCKET_BOUNDS[9]);
        // When the window has gone on, all is well.
        all[0].buckets[3] += 1000;
        for more in 3..100 {
            watched.look(more * second, &all, &[]);
        }
        all[0].buckets[3] += 1000;
        watched.look(100 * second, &all, &[]);
        assert_eq!((watched.standing.requests, watched.standing.missed), (1000, false));
        assert_eq!(watched.standing.left(), Some(1.0));
    }

    #[test]
    fn routes_are_named_by_patterns() {
        let watched = Watched::new(objective(Some("GET /cart/*")));
        let counts = |name, kind| watched.counts(&series("shop", name, kind, 0, &[]));
        assert!(counts("GET /cart/{id}", SERVER) && counts("GET /cart/{id}", 1));
        assert!(!counts("GET /cart/{id}", CLIENT) && !counts("GET /", SERVER));
    }

    #[test]
    fn traces_are_wanted_for_their_objective() {
        let kept = Objective { slow_kept: Some(1.0), service: Some("bank".to_owned()), ..objective(Some("*/{id}")) };
        let wanted = Wanted::new(&[objective(None), kept]);
        let wants = |kind: u8, service, name, route: &'static str, time| {
            wanted.wants(kind, service, name, || Some(route), time)
        };
        let slow = BUCKET_BOUNDS[8] + 1;
        assert!(!wants(SERVER, "shop", "GET /", "/", slow));
        assert!(wants(SERVER, "bank", "GET", "/a/{id}", slow) && !wants(SERVER, "bank", "GET", "/a/{id}", slow - 1));
        assert!(!wants(CLIENT, "bank", "GET", "/a/{id}", slow) && !wants(SERVER, "bank", "GET", "/", slow));
        wanted.set(0, true);
        assert!(wants(SERVER, "shop", "GET /", "/", 1) && !wants(CLIENT, "shop", "GET /", "/", 1));
    }

    #[test]
    fn slow_ones_are_shared_out() {
        let mut buckets = [0; BUCKET_COUNT];
        buckets[4] = 100;
        let middle = (BUCKET_BOUNDS[3] + BUCKET_BOUNDS[4]) / 2;
        assert!((slower(&buckets, middle) - 50.0).abs() < 1.0);
        assert_eq!((slower(&buckets, BUCKET_BOUNDS[4]), slower(&buckets, BUCKET_BOUNDS[3])), (0.0, 100.0));
        let half = quantile(&buckets, 0.5).expect("there are some");
        assert!(half.abs_diff(middle) <= 1);
        assert_eq!(quantile(&[0; BUCKET_COUNT], 0.5), None);
    }
}
