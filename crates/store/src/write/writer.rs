//! The writer's thread: gathers batches, writes them in transactions, and removes what is old or too much.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deliver::{Batch, Signal};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::insert::{Known, Written, nanos, write_batches};
use super::{Counts, Limits, Message, PRUNED_SIXTEENTHS, Queued};
use crate::schema::{self, LAST_ORDINAL, ORDINAL_BITS};
use crate::{Sample, aging, blocks, metrics, profiles};

/// Batches that one transaction takes.
const TRANSACTION_BATCHES: usize = 256;
/// Bytes of batches that one transaction takes. Trace ids are random, so each new one changes a page of their index: the
/// more of them go in at once, the more share a page.
const TRANSACTION_BYTES: u64 = 16 << 20;
/// Of the writer's thread: beside a program that wants all processors it gets a quarter of one, and what it cannot write is
/// refused and counted. Where there is room it makes no difference.
const NICENESS: i32 = 5;
/// So long a batch waits for others to be written with it. Each transaction writes whole pages, and many of those are
/// changed by every one of them.
const GATHERING: Duration = Duration::from_millis(500);
/// How often old traces are looked for.
const AGE_CHECK: Duration = Duration::from_secs(60);
/// Shortest time between two tidyings.
const TIDYING: Duration = Duration::from_secs(600);
/// Traces that one transaction removes at most.
const PRUNE_TRACES: i64 = 32_768;
/// Writes what is queued.
pub(super) struct Writer {
    connection: Connection,
    limits: Limits,
    transaction_bytes: usize,
    counts: Arc<Counts>,
    queued: Arc<Queued>,
    known: Known,
    /// Traces have been removed since the last tidying.
    has_removed: bool,
    next_tidying: Instant,
}

impl Writer {
    pub fn new(connection: Connection, limits: Limits, counts: Arc<Counts>, queued: Arc<Queued>) -> Self {
        Self {
            connection,
            limits,
            // What a transaction adds can be over the limit until the oldest are removed.
            transaction_bytes: (limits.bytes / 16).clamp(1 << 20, TRANSACTION_BYTES) as usize,
            counts,
            queued,
            known: Known::default(),
            has_removed: false,
            next_tidying: Instant::now(),
        }
    }

    /// Until nobody can queue anything any more.
    pub fn run(&mut self, receiver: &Receiver<Message>) {
        // What is written a little later is no loss; what is written while the program wants to run is.
        let _ = rustix::process::nice(NICENESS);
        let mut next_age_check = Instant::now();
        loop {
            if Instant::now() >= next_age_check {
                self.prune_by_age();
                self.forget_unused();
                next_age_check = Instant::now() + AGE_CHECK;
            }
            let first = match receiver.recv_timeout(AGE_CHECK) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (mut batches, mut samples) = (Vec::new(), Vec::new());
            let mut size = 0;
            let mut flushed = None;
            let written_by = Instant::now() + GATHERING;
            let mut message = Some(first);
            while let Some(next) = message {
                match next {
                    Message::Batch(batch) => {
                        size += batch.bytes.len();
                        batches.push(batch);
                    }
                    Message::Metrics(sample) => samples.push(*sample),
                    Message::Flush(done) => {
                        flushed = Some(done);
                        break;
                    }
                }
                let has_room = size < self.transaction_bytes && batches.len() < TRANSACTION_BATCHES;
                let patience = written_by.saturating_duration_since(Instant::now());
                message = if has_room { receiver.recv_timeout(patience).ok() } else { None };
            }
            self.write(&batches, &samples);
            self.queued.bytes.fetch_sub(size as u64, Ordering::Relaxed);
            self.queued.batches.fetch_sub(batches.len() as u64, Ordering::Relaxed);
            self.prune_by_size();
            if let Some(done) = flushed {
                // Nobody may wait any more.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, batches: &[Arc<Batch>], samples: &[Sample]) {
        if batches.is_empty() && samples.is_empty() {
            return;
        }
        match write_batches(&mut self.connection, &mut self.known, batches, samples) {
            Ok(written) => {
                let Written { spans, logs, profiles, metrics } = written;
                let signals = [
                    (Signal::Traces, spans),
                    (Signal::Logs, logs),
                    (Signal::Profiles, profiles),
                    (Signal::Metrics, metrics),
                ];
                for (signal, written) in signals {
                    let counts = self.counts.of(signal);
                    counts.stored.fetch_add(written.stored, Ordering::Relaxed);
                    counts.malformed.fetch_add(written.malformed, Ordering::Relaxed);
                    counts.too_many_series.fetch_add(written.refused, Ordering::Relaxed);
                }
                self.counts.recover();
            }
            Err(error) => {
                self.known = Known::default();
                for batch in batches {
                    let counts = self.counts.of(batch.signal);
                    counts.write_failed.fetch_add(batch.records.into(), Ordering::Relaxed);
                }
                let points = samples.iter().map(Sample::points).sum();
                self.counts.of(Signal::Metrics).write_failed.fetch_add(points, Ordering::Relaxed);
                self.counts.fail("telemetry cannot be written to the store and is dropped", &error);
            }
        }
    }

    fn prune_by_age(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = nanos(now.saturating_sub(self.limits.age).as_nanos());
        self.prune_while(|connection| {
            let times = aging::TABLES.map(|table| format!("SELECT min(time) FROM {table}"));
            for first in times.into_iter().chain(["SELECT min(start) FROM trace".to_owned()]) {
                let first: Option<i64> = connection.query_row(&first, [], |row| row.get(0))?;
                if first.is_some_and(|time| time < oldest) {
                    return Ok(Some(Doomed::StartedBefore(oldest)));
                }
            }
            Ok(None)
        });
    }

    /// Removes what no trace uses any more. It looks at every trace, so it is done rarely.
    fn forget_unused(&mut self) {
        if !self.has_removed || Instant::now() < self.next_tidying {
            return;
        }
        self.has_removed = false;
        self.next_tidying = Instant::now() + TIDYING;
        self.known = Known::default();
        let mut forget = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            profiles::forget_unused(&transaction)?;
            metrics::forget_unused(&transaction)?;
            transaction.execute_batch(FORGET_UNUSED)?;
            transaction.commit()
        };
        if let Err(error) = forget() {
            tracing::warn!(%error, "the store cannot be tidied");
        }
    }

    fn prune_by_size(&mut self) {
        let limit = self.limits.bytes;
        let target = limit / 16 * PRUNED_SIXTEENTHS;
        let mut too_large = false;
        self.prune_while(|connection| {
            let used = schema::used_bytes(connection)?;
            too_large |= used > limit;
            Ok((too_large && used > target).then(|| Doomed::Oldest { share: (used - target) as f64 / used as f64 }))
        });
    }

    /// Removes some traces at a time while `doomed` names some, so that readers and the queue never wait long.
    fn prune_while(&mut self, mut doomed: impl FnMut(&Connection) -> rusqlite::Result<Option<Doomed>>) {
        let mut prune = || -> rusqlite::Result<()> {
            while let Some(doomed) = doomed(&self.connection)? {
                if remove(&mut self.connection, doomed)? == 0 {
                    break;
                }
                self.has_removed = true;
                self.known.forget_removed();
            }
            Ok(())
        };
        if let Err(error) = prune() {
            self.counts.fail("what is old cannot be removed from the store", &error);
        }
    }
}

enum Doomed {
    /// So much of what there is.
    Oldest {
        share: f64,
    },
    StartedBefore(i64),
}

const FORGET_UNUSED: &str = "
DELETE FROM operation WHERE id NOT IN (SELECT operation FROM trace_operation);
DELETE FROM resource WHERE id NOT IN (SELECT resource FROM trace_operation)
    AND id NOT IN (SELECT resource FROM log)
    AND id NOT IN (SELECT resource FROM profile_sample)
    AND id NOT IN (SELECT resource FROM metric_series);
";

fn remove(connection: &mut Connection, doomed: Doomed) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = match doomed {
        Doomed::Oldest { share } => {
            remove_oldest(&transaction, share)?
                + aging::remove_oldest(&transaction, "log", share)?
                + aging::remove_oldest(&transaction, "metric_sample", share)?
                + remove_oldest_samples(&transaction, share)?
        }
        Doomed::StartedBefore(start) => {
            let ids: Vec<i64> = transaction
                .prepare_cached("SELECT id FROM trace WHERE start < ?1 LIMIT 256")?
                .query_map([start], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let traces: usize =
                ids.iter().map(|id| remove_traces(&transaction, *id, *id)).sum::<rusqlite::Result<_>>()?;
            let others = aging::TABLES.iter().map(|table| aging::remove_before(&transaction, table, start));
            traces + others.sum::<rusqlite::Result<usize>>()?
        }
    };
    blocks::forget_removed(&transaction)?;
    transaction.commit()?;
    Ok(removed)
}

fn remove_oldest(transaction: &Transaction<'_>, share: f64) -> rusqlite::Result<usize> {
    // Each by itself is a look at one end of the table; `SELECT min(id), max(id)` reads all of it.
    let ends = "SELECT (SELECT min(id) FROM trace), (SELECT max(id) FROM trace)";
    let (first, last): (Option<i64>, Option<i64>) =
        transaction.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(0) };
    let count = (((last - first) as f64 * share) as i64).clamp(1, PRUNE_TRACES);
    remove_traces(transaction, first, first + count - 1)
}

/// Samples, and at once what only they had: stacks may be most of it.
fn remove_oldest_samples(transaction: &Transaction<'_>, share: f64) -> rusqlite::Result<usize> {
    let removed = aging::remove_oldest(transaction, "profile_sample", share)?;
    if removed > 0 {
        profiles::forget_unused(transaction)?;
    }
    Ok(removed)
}

/// Removes the traces with these numbers: a range in one go, for they lie together.
fn remove_traces(transaction: &Transaction<'_>, first: i64, last: i64) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM span WHERE id BETWEEN ?1 AND ?2")?
        .execute([first << ORDINAL_BITS, last << ORDINAL_BITS | LAST_ORDINAL])?;
    transaction.prepare_cached("DELETE FROM trace_operation WHERE trace BETWEEN ?1 AND ?2")?.execute([first, last])?;
    transaction.prepare_cached("DELETE FROM trace WHERE id BETWEEN ?1 AND ?2")?.execute([first, last])
}
