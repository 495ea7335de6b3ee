//! Which edges the sampled spans of a kind were on, and what that says about those that left only their counts.

use record::layout::BUCKET_COUNT;

/// Edges of one kind of spans that are told apart.
const EDGES: usize = 64;
/// After so many spans what is known counts half: programs move.
const MANY: u64 = 1 << 20;

/// How often spans were on each edge. One span may be on several, or on none.
#[derive(Debug, Default)]
pub struct Shares {
    spans: u64,
    edges: Vec<(u32, u64)>,
}

impl Shares {
    /// Nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.spans == 0
    }

    /// One more span of which it is known what became of it.
    pub fn span(&mut self) {
        self.spans += 1;
        if self.spans >= MANY {
            self.spans /= 2;
            self.edges.iter_mut().for_each(|(_, times)| *times /= 2);
        }
    }

    /// It is on this edge.
    #[inline]
    pub fn on(&mut self, edge: u32) {
        if let Some((_, times)) = self.edges.iter_mut().find(|(known, _)| *known == edge) {
            *times += 1;
        } else if self.edges.len() < EDGES {
            self.edges.push((edge, 1));
        }
    }

    /// How many of so many spans belong to each edge. All of them are given away where all that are known were on one edge each.
    /// What does not come out even is settled by `chance`, so that nobody is always the one who gets it.
    fn split(&self, count: u64, chance: u64, mut give: impl FnMut(usize, u64)) {
        let Some(phase) = chance.checked_rem(self.spans) else { return };
        let up_to = |times: u64| (u128::from(count) * u128::from(times) + u128::from(phase)) / u128::from(self.spans);
        let mut before = 0;
        for (place, (_, times)) in self.edges.iter().enumerate() {
            let after = before + times;
            give(place, u64::try_from(up_to(after) - up_to(before)).unwrap_or(u64::MAX));
            before = after;
        }
    }

    /// The same of a histogram, with the sum of its durations.
    pub fn split_all(&self, counts: &Counts, mut chance: impl FnMut() -> u64, mut give: impl FnMut(u32, &Counts)) {
        let mut parts = vec![Counts::default(); self.edges.len()];
        for (bucket, &count) in counts.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.split(count, chance(), |place, count| parts[place].buckets[bucket] = count);
        }
        let all = counts.count();
        for ((edge, _), mut part) in self.edges.iter().zip(parts) {
            let count = part.count();
            if count > 0 {
                part.sum_ns = match count == all {
                    true => counts.sum_ns,
                    false => (counts.sum_ns as f64 * count as f64 / all as f64) as u64,
                };
                give(*edge, &part);
            }
        }
    }
}

/// Spans by their duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub buckets: [u64; BUCKET_COUNT],
    pub sum_ns: u64,
}

impl Counts {
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, &more| sum.saturating_add(more))
    }

    pub fn add(&mut self, more: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&more.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(spans: u64, edges: &[u64]) -> Shares {
        Shares { spans, edges: edges.iter().enumerate().map(|(edge, &times)| (edge as u32, times)).collect() }
    }

    fn split(shares: &Shares, count: u64, chance: u64) -> Vec<u64> {
        let mut given = vec![0; shares.edges.len()];
        shares.split(count, chance, |place, count| given[place] += count);
        given
    }

    #[test]
    fn what_was_always_on_one_edge_is_on_it() {
        for chance in [0, 1, 6, u64::MAX] {
            assert_eq!(split(&shares(7, &[7]), 1_000_003, chance), [1_000_003]);
        }
    }

    #[test]
    fn nothing_is_lost_and_nobody_is_forgotten() {
        let shares = shares(10, &[7, 2, 1]);
        let mut all = [0; 3];
        for chance in 0..1000 {
            let given = split(&shares, 3, chance);
            assert_eq!(given.iter().sum::<u64>(), 3);
            all.iter_mut().zip(given).for_each(|(all, given)| *all += given);
        }
        assert_eq!(all, [2100, 600, 300]);
    }

    #[test]
    fn a_span_may_be_on_none_or_on_several() {
        assert_eq!(split(&shares(10, &[5]), 100, 0), [50]);
        assert_eq!(split(&shares(10, &[10, 10]), 100, 3), [100, 100]);
        assert_eq!(split(&shares(0, &[]), 100, 3), [0; 0]);
    }

    #[test]
    fn sums_go_with_the_counts() {
        let mut counts = Counts { sum_ns: 1000, ..Counts::default() };
        counts.buckets[2] = 8;
        counts.buckets[5] = 2;
        let mut all = Counts::default();
        shares(4, &[3, 1]).split_all(&counts, || 0, |_, part| all.add(part));
        assert_eq!((all.buckets, all.count()), (counts.buckets, 10));
        assert!(all.sum_ns.abs_diff(1000) <= 2, "{}", all.sum_ns);
    }
}
