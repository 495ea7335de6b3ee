//! Spans that need not wait for anybody: each goes on at once, but for those that were sent a second time.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deliver::Batch;
use deliver::otlp::rewrite::{self, Edit};
use deliver::otlp::walk::{Malformed, SpanFields, resources};
use foldhash::fast::RandomState;

/// Spans of half the time that are remembered, at most: 16 MiB twice.
const REMEMBERED: usize = 1 << 20;

/// Which spans have passed lately.
pub(super) struct Once {
    /// Spans are remembered so long at least, and twice as long at most; less where more come than are remembered.
    age: Duration,
    hash: RandomState,
    /// Of trace and span id, 64 bits: of a million spans a second one in some hundred days has the number of another one.
    newer: HashSet<u64, RandomState>,
    older: HashSet<u64, RandomState>,
    turned: Option<Instant>,
}

impl Once {
    pub(super) fn new(age: Duration) -> Self {
        Self { age, hash: RandomState::default(), newer: HashSet::default(), older: HashSet::default(), turned: None }
    }

    /// A batch without spans that have passed before, and how many those were. `None`: nothing is left.
    pub(super) fn pass(&mut self, batch: Arc<Batch>, now: Instant) -> Result<(Option<Arc<Batch>>, u64), Malformed> {
        self.turn(now);
        let mut again = Vec::new();
        let mut index = 0;
        for resource in resources(&batch.bytes) {
            for scope in resource?.scopes() {
                for span in scope?.records() {
                    let fields = SpanFields::read(span?)?;
                    if !self.is_new(fields.trace_id.0, fields.span_id.0) {
                        again.push(index);
                    }
                    index += 1;
                }
            }
        }
        if again.is_empty() {
            return Ok((Some(batch), 0));
        }
        let (mut index, mut next) = (0, again.iter().peekable());
        let rest = rewrite::batch(&batch, |_| {
            let edit = if next.next_if_eq(&&index).is_some() { Edit::Drop } else { Edit::Keep };
            index += 1;
            edit
        })?;
        Ok((rest.map(Arc::new), again.len() as u64))
    }

    /// Whether a span has not passed before. From now on it has.
    pub(super) fn is_new(&mut self, trace_id: [u8; 16], span_id: [u8; 8]) -> bool {
        let number = self.hash.hash_one((trace_id, span_id));
        if self.newer.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.newer);
        }
        !self.older.contains(&number) && self.newer.insert(number)
    }

    /// Forgets what has passed too long ago.
    pub(super) fn turn(&mut self, now: Instant) {
        let since = *self.turned.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.age {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
            self.turned = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Source;

    use super::super::testing::{TestSpan, batch, span, spans};
    use super::*;

    fn sent(ids: &[u8]) -> Arc<Batch> {
        batch("shop", &ids.iter().map(|&id| span(1, id, 9).from(Source::Otlp)).collect::<Vec<_>>())
    }

    #[test]
    fn what_was_sent_again_stays_behind() {
        let mut once = Once::new(Duration::from_secs(7));
        let now = Instant::now();
        let mut passed = |ids: &[u8], now| {
            let (batch, again) = once.pass(sent(ids), now).expect("sound");
            (batch.map_or_else(Vec::new, |batch| spans(&batch).iter().map(TestSpan::id).collect()), again)
        };
        assert_eq!(passed(&[1, 2, 3], now), (vec![1, 2, 3], 0));
        assert_eq!(passed(&[2, 4, 3, 4], now), (vec![4], 3));
        assert_eq!(passed(&[1, 2], now), (vec![], 2));
        let later = now + Duration::from_secs(8);
        assert_eq!(passed(&[1, 5], later), (vec![5], 1));
        // Nobody sends again after so long.
        assert_eq!(passed(&[1, 5], later + Duration::from_secs(8)), (vec![1], 1));
    }

    #[test]
    fn a_batch_without_them_stays_the_same() {
        let mut once = Once::new(Duration::from_secs(7));
        let batch = sent(&[1, 2]);
        let (passed, _) = once.pass(Arc::clone(&batch), Instant::now()).expect("sound");
        assert!(Arc::ptr_eq(&passed.expect("all of it"), &batch));
    }
}
