//! The way in: a bounded queue, a thread, transactions of many spans.
//!
//! Offering a batch never blocks: what does not fit is refused, and counted by its cause.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deliver::otlp::walk::{Malformed, text};
use deliver::{Batch, Refused, Signal, Sink, SinkReport};
use model::TraceId;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};

use crate::blocks::{self, BlockSpan, Blocks};
use crate::otlp::{self, SpanFacts};
use crate::schema::{self, LAST_ORDINAL, ORDINAL_BITS};
use crate::{StoreError, logs, profiles};

/// How large and how old a store may grow. The oldest traces, log records and samples go first.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the database (its log beside it is bounded on its own).
    pub bytes: u64,
    /// Age of a trace's start, of a log record, and of a sample.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 30, age: Duration::from_secs(7 * 24 * 3600) }
    }
}

#[derive(Default)]
struct Counts {
    spans: SignalCounts,
    logs: SignalCounts,
    profiles: SignalCounts,
    problem: Mutex<Option<String>>,
}

/// Of spans, of log records, or of samples.
#[derive(Default)]
struct SignalCounts {
    stored: AtomicU64,
    malformed: AtomicU64,
    queue_full: AtomicU64,
    write_failed: AtomicU64,
}

impl Counts {
    fn of(&self, signal: Signal) -> &SignalCounts {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Profiles => &self.profiles,
            _ => &self.spans,
        }
    }

    fn report(&self, signal: Signal) -> SinkReport {
        let counts = self.of(signal);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let causes = [
            ("queue_full", &counts.queue_full),
            ("malformed", &counts.malformed),
            ("write_failed", &counts.write_failed),
        ];
        SinkReport {
            signal,
            delivered: read(&counts.stored),
            dropped: causes.into_iter().map(|(cause, count)| (cause, read(count))).filter(|drop| drop.1 > 0).collect(),
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            queue: None,
        }
    }

    /// Keeps the last problem for the report, and says the first of a row of them aloud.
    fn fail(&self, what: &str, error: &rusqlite::Error) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if problem.is_none() {
            tracing::warn!(%error, "{what}");
        }
        *problem = Some(format!("{what}: {error}"));
    }

    fn recover(&self) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Batches that may wait for the writer.
const QUEUE_BATCHES: usize = 4096;
/// Bytes that may wait for the writer.
const QUEUE_BYTES: u64 = 64 << 20;
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
/// A store that has grown beyond its limit shrinks to so many sixteenths of it, so that it does not remove while it writes.
const PRUNED_SIXTEENTHS: u64 = 15;

/// What waits for the writer.
#[derive(Default)]
struct Queued {
    batches: AtomicU64,
    bytes: AtomicU64,
}

enum Message {
    Batch(Arc<Batch>),
    Flush(Sender<()>),
}

/// A store, open for writing: a sink of the agent. Dropping it writes what is queued.
pub struct Store {
    queue: Option<SyncSender<Message>>,
    queued: Arc<Queued>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in a folder; makes it when it is not there.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, StoreError> {
        let connection = schema::open_for_writing(folder)?;
        let (queue, receiver) = sync_channel(QUEUE_BATCHES);
        let queued = Arc::<Queued>::default();
        let counts = Arc::<Counts>::default();
        let mut writer = Writer {
            connection,
            limits,
            // What a transaction adds can be over the limit until the oldest are removed.
            transaction_bytes: (limits.bytes / 16).clamp(1 << 20, TRANSACTION_BYTES) as usize,
            counts: Arc::clone(&counts),
            queued: Arc::clone(&queued),
            known: Known::default(),
            has_removed: false,
            next_tidying: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("tandem-store".into())
            .spawn(move || writer.run(&receiver))
            .map_err(StoreError::Thread)?;
        Ok(Self { queue: Some(queue), queued, counts, thread: Some(thread) })
    }
}

impl Sink for Store {
    fn name(&self) -> &'static str {
        "store"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        let queued = self.queued.batches.load(Ordering::Relaxed);
        let bytes = self.queued.bytes.load(Ordering::Relaxed) + bytes as u64;
        queued == 0 || queued + batches as u64 <= QUEUE_BATCHES as u64 && bytes <= QUEUE_BYTES
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let size = batch.bytes.len() as u64;
        let queued = self.queued.bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.queued.batches.fetch_add(1, Ordering::Relaxed);
        // A batch that is larger than the queue still gets its turn when nothing else waits.
        let refused = match &self.queue {
            Some(queue) if queued <= QUEUE_BYTES || queued == size => {
                match queue.try_send(Message::Batch(Arc::clone(batch))) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(_)) => Refused::Full,
                    Err(TrySendError::Disconnected(_)) => Refused::Stopped,
                }
            }
            Some(_) => Refused::Full,
            None => Refused::Stopped,
        };
        self.queued.bytes.fetch_sub(size, Ordering::Relaxed);
        self.queued.batches.fetch_sub(1, Ordering::Relaxed);
        self.counts.of(batch.signal).queue_full.fetch_add(batch.records.into(), Ordering::Relaxed);
        Err(refused)
    }

    fn flush(&self, deadline: Instant) {
        let Some(queue) = &self.queue else { return };
        let (done, wait) = channel();
        let mut message = Message::Flush(done);
        loop {
            match queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(unsent)) if Instant::now() < deadline => message = unsent,
                Err(_) => return,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Done, too late, or the thread is gone: there is nothing left to wait for.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn report(&self) -> SinkReport {
        self.counts.report(Signal::Traces)
    }
}

/// The same store as a sink of log records.
pub struct LogStore(pub Arc<Store>);

impl Sink for LogStore {
    fn name(&self) -> &'static str {
        "store_logs"
    }

    fn signal(&self) -> Signal {
        Signal::Logs
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        self.0.has_room(batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        self.0.offer(batch)
    }

    fn flush(&self, deadline: Instant) {
        self.0.flush(deadline);
    }

    fn report(&self) -> SinkReport {
        self.0.counts.report(Signal::Logs)
    }
}

/// The same store as a sink of profiles.
pub struct ProfileStore(pub Arc<Store>);

impl Sink for ProfileStore {
    fn name(&self) -> &'static str {
        "store_profiles"
    }

    fn signal(&self) -> Signal {
        Signal::Profiles
    }

    fn is_local(&self) -> bool {
        true
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        self.0.has_room(batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        self.0.offer(batch)
    }

    fn flush(&self, deadline: Instant) {
        self.0.flush(deadline);
    }

    fn report(&self) -> SinkReport {
        self.0.counts.report(Signal::Profiles)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread died");
        }
    }
}

/// Row ids that are known, so that they are not asked for again. Another process may remove rows: then all is forgotten.
#[derive(Default)]
struct Known {
    data_version: i64,
    resources: HashMap<Vec<u8>, KnownResource>,
    operations: HashMap<Vec<u8>, i64>,
    stacks: profiles::KnownStacks,
    blocks: Blocks,
    /// Working space for a key of `operations`.
    key: Vec<u8>,
}

struct KnownResource {
    id: i64,
    service: Arc<str>,
}

/// More than this is not kept in memory: names that hold ids would fill it.
const KNOWN_OPERATIONS: usize = 20_000;
/// The same for resources: every program that starts is another one.
const KNOWN_RESOURCES: usize = 2_000;

struct Writer {
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
    fn run(&mut self, receiver: &Receiver<Message>) {
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
            let mut batches = Vec::new();
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
                    Message::Flush(done) => {
                        flushed = Some(done);
                        break;
                    }
                }
                let has_room = size < self.transaction_bytes && batches.len() < TRANSACTION_BATCHES;
                let patience = written_by.saturating_duration_since(Instant::now());
                message = if has_room { receiver.recv_timeout(patience).ok() } else { None };
            }
            self.write(&batches);
            self.queued.bytes.fetch_sub(size as u64, Ordering::Relaxed);
            self.queued.batches.fetch_sub(batches.len() as u64, Ordering::Relaxed);
            self.prune_by_size();
            if let Some(done) = flushed {
                // Nobody may wait any more.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, batches: &[Arc<Batch>]) {
        if batches.is_empty() {
            return;
        }
        match write_batches(&mut self.connection, &mut self.known, batches) {
            Ok(written) => {
                let Counts { spans, logs, profiles, .. } = &*self.counts;
                for (counts, written) in [(spans, written.spans), (logs, written.logs), (profiles, written.profiles)] {
                    counts.stored.fetch_add(written.stored, Ordering::Relaxed);
                    counts.malformed.fetch_add(written.malformed, Ordering::Relaxed);
                }
                self.counts.recover();
            }
            Err(error) => {
                self.known = Known::default();
                for batch in batches {
                    let counts = self.counts.of(batch.signal);
                    counts.write_failed.fetch_add(batch.records.into(), Ordering::Relaxed);
                }
                self.counts.fail("telemetry cannot be written to the store and is dropped", &error);
            }
        }
    }

    fn prune_by_age(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = nanos(now.saturating_sub(self.limits.age).as_nanos());
        self.prune_while(|connection| {
            let first = |sql| connection.query_row::<Option<i64>, _, _>(sql, [], |row| row.get(0));
            let firsts = [
                first("SELECT min(start) FROM trace")?,
                first("SELECT min(time) FROM log")?,
                first("SELECT min(time) FROM profile_sample")?,
            ];
            let too_old = firsts.into_iter().flatten().any(|time| time < oldest);
            Ok(too_old.then_some(Doomed::StartedBefore(oldest)))
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
            transaction.execute_batch(FORGET_UNUSED)?;
            profiles::forget_unused(&transaction)?;
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
            let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let used = ((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64;
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
                self.known.stacks = profiles::KnownStacks::default();
                self.known.blocks = Blocks::default();
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
    AND id NOT IN (SELECT resource FROM profile_sample);
";

fn remove(connection: &mut Connection, doomed: Doomed) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = match doomed {
        Doomed::Oldest { share } => {
            remove_oldest(&transaction, share)?
                + logs::remove_oldest(&transaction, share)?
                + remove_oldest_samples(&transaction, share)?
        }
        Doomed::StartedBefore(start) => {
            let ids: Vec<i64> = transaction
                .prepare_cached("SELECT id FROM trace WHERE start < ?1 LIMIT 256")?
                .query_map([start], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let traces: usize =
                ids.iter().map(|id| remove_traces(&transaction, *id, *id)).sum::<rusqlite::Result<_>>()?;
            traces + logs::remove_before(&transaction, start)? + profiles::remove_before(&transaction, start)?
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
    let removed = profiles::remove_oldest(transaction, share)?;
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

#[derive(Default)]
struct Written {
    spans: WrittenOf,
    logs: WrittenOf,
    profiles: WrittenOf,
}

#[derive(Clone, Copy, Default)]
struct WrittenOf {
    stored: u64,
    malformed: u64,
}

/// A trace as it was before this transaction, then with the spans that it adds.
#[derive(Default)]
struct OpenTrace {
    start: i64,
    end: i64,
    spans: i64,
    errors: i64,
    root: String,
    root_start: i64,
    has_root: bool,
}

/// A span of this transaction.
struct NewSpan<'a> {
    facts: SpanFacts<'a>,
    operation: i64,
    resource: i64,
    bytes: &'a [u8],
}

impl NewSpan<'_> {
    fn for_block(&self) -> BlockSpan<'_> {
        let NewSpan { facts, operation, resource, bytes } = self;
        BlockSpan { operation: *operation, resource: *resource, status: facts.fields.status, bytes }
    }
}

/// A trace after its new spans have been written.
struct WrittenTrace {
    id: i64,
    is_new: bool,
    start: i64,
    end: i64,
    /// How many of the new ones there was room for.
    kept: usize,
}

/// What runs for every span or trace, prepared once a transaction.
struct Statements<'connection> {
    find_trace: CachedStatement<'connection>,
    insert_trace: CachedStatement<'connection>,
    update_trace: CachedStatement<'connection>,
    insert_operation: CachedStatement<'connection>,
    insert_span: CachedStatement<'connection>,
    next_trace: i64,
}

fn write_batches(connection: &mut Connection, known: &mut Known, batches: &[Arc<Batch>]) -> rusqlite::Result<Written> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let data_version = transaction.pragma_query_value(None, "data_version", |row| row.get(0))?;
    if known.data_version != data_version {
        *known = Known { data_version, ..Known::default() };
    }
    let mut all = Written::default();
    let mut spans = Vec::new();
    for batch in batches {
        match batch.signal {
            Signal::Logs => write_logs(&transaction, known, batch, &mut all.logs)?,
            Signal::Profiles => write_profiles(&transaction, known, batch, &mut all.profiles)?,
            _ => read_spans(&transaction, known, batch, &mut spans, &mut all.spans)?,
        }
    }
    let mut order: Vec<(TraceId, usize)> =
        spans.iter().enumerate().map(|(index, span)| (span.facts.fields.trace_id, index)).collect();
    order.sort_unstable();
    // New ones in the order in which they came: the table grows at its end, and the oldest are removed from its beginning.
    let mut traces: Vec<&[(TraceId, usize)]> = order.chunk_by(|one, other| one.0 == other.0).collect();
    traces.sort_unstable_by_key(|of_trace| of_trace[0].1);
    let mut statements = Statements::prepare(&transaction)?;
    for of_trace in traces {
        let trace = statements.write_trace(of_trace, &spans, &mut all.spans)?;
        let added = of_trace[..trace.kept].iter().map(|(_, index)| spans[*index].for_block());
        known.blocks.add(&transaction, trace.id, trace.is_new, (trace.start, trace.end), added)?;
    }
    drop(statements);
    known.blocks.write(&transaction)?;
    transaction.commit()?;
    Ok(all)
}

/// Takes a batch of spans apart.
fn read_spans<'a>(
    transaction: &Transaction<'_>,
    known: &mut Known,
    batch: &'a Batch,
    spans: &mut Vec<NewSpan<'a>>,
    written: &mut WrittenOf,
) -> rusqlite::Result<()> {
    let Ok(parts) = otlp::split_request(&batch.bytes) else {
        written.malformed += u64::from(batch.records);
        return Ok(());
    };
    for part in parts {
        let Ok((resource, service)) = known.resource(transaction, part.resource)? else {
            written.malformed += part.spans.len() as u64;
            continue;
        };
        for bytes in part.spans {
            let Ok(facts) = otlp::span_facts(bytes) else {
                written.malformed += 1;
                continue;
            };
            let operation = known.operation(transaction, &service, part.scope, &facts)?;
            spans.push(NewSpan { facts, operation, resource, bytes });
        }
    }
    Ok(())
}

fn write_logs(
    transaction: &Transaction<'_>,
    known: &mut Known,
    batch: &Batch,
    written: &mut WrittenOf,
) -> rusqlite::Result<()> {
    let Ok(parts) = otlp::split_request(&batch.bytes) else {
        written.malformed += u64::from(batch.records);
        return Ok(());
    };
    for part in parts {
        let Ok((resource, _)) = known.resource(transaction, part.resource)? else {
            written.malformed += part.spans.len() as u64;
            continue;
        };
        for bytes in part.spans {
            match logs::insert(transaction, resource, &text(part.scope), bytes)? {
                true => written.stored += 1,
                false => written.malformed += 1,
            }
        }
    }
    Ok(())
}

fn write_profiles(
    transaction: &Transaction<'_>,
    known: &mut Known,
    batch: &Batch,
    written: &mut WrittenOf,
) -> rusqlite::Result<()> {
    let Some(found) = profiles::read(batch) else {
        written.malformed += u64::from(batch.records);
        return Ok(());
    };
    for profiled in found {
        let count = profiled.samples.len() as u64;
        let Ok((resource, _)) = known.resource(transaction, &profiled.resource)? else {
            written.malformed += count;
            continue;
        };
        profiles::insert(transaction, &mut known.stacks, resource, &profiled.samples)?;
        written.stored += count;
    }
    Ok(())
}

impl Known {
    fn resource(
        &mut self,
        transaction: &Transaction<'_>,
        bytes: &[u8],
    ) -> rusqlite::Result<Result<(i64, Arc<str>), Malformed>> {
        if let Some(known) = self.resources.get(bytes) {
            return Ok(Ok((known.id, Arc::clone(&known.service))));
        }
        let resource = match otlp::resource(bytes) {
            Ok(resource) => resource,
            Err(malformed) => return Ok(Err(malformed)),
        };
        transaction.prepare_cached("INSERT OR IGNORE INTO resource (data) VALUES (?1)")?.execute([bytes])?;
        let id = transaction
            .prepare_cached("SELECT id FROM resource WHERE data = ?1")?
            .query_row([bytes], |row| row.get(0))?;
        let service: Arc<str> = resource.service().into();
        if self.resources.len() >= KNOWN_RESOURCES {
            self.resources.clear();
        }
        self.resources.insert(bytes.to_vec(), KnownResource { id, service: Arc::clone(&service) });
        Ok(Ok((id, service)))
    }

    fn operation(
        &mut self,
        transaction: &Transaction<'_>,
        service: &Arc<str>,
        scope: &[u8],
        facts: &SpanFacts<'_>,
    ) -> rusqlite::Result<i64> {
        let key = &mut self.key;
        key.clear();
        for part in [service.as_bytes(), facts.fields.name, facts.route, scope] {
            key.extend_from_slice(&part.len().to_le_bytes());
            key.extend_from_slice(part);
        }
        key.extend_from_slice(&facts.fields.kind.to_le_bytes());
        if let Some(&id) = self.operations.get(key.as_slice()) {
            return Ok(id);
        }
        let columns = params![&**service, text(facts.fields.name), text(facts.route), facts.fields.kind, text(scope)];
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO operation (service, name, route, kind, scope) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(columns)?;
        let id = transaction
            .prepare_cached(
                "SELECT id FROM operation WHERE service = ?1 AND name = ?2 AND route = ?3 AND kind = ?4 AND scope = ?5",
            )?
            .query_row(columns, |row| row.get(0))?;
        if self.operations.len() >= KNOWN_OPERATIONS {
            self.operations.clear();
        }
        self.operations.insert(key.clone(), id);
        Ok(id)
    }
}

impl<'connection> Statements<'connection> {
    fn prepare(transaction: &'connection Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            find_trace: transaction.prepare_cached(
                "SELECT id, start, end, spans, errors, root, root_start, has_root FROM trace WHERE trace_id = ?1",
            )?,
            insert_trace: transaction.prepare_cached(
                "INSERT INTO trace (id, start, end, spans, errors, root, root_start, has_root, trace_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (trace_id) DO NOTHING",
            )?,
            update_trace: transaction.prepare_cached(
                "UPDATE trace SET start = ?2, end = ?3, spans = ?4, errors = ?5, root = ?6, root_start = ?7,
                 has_root = ?8 WHERE id = ?1",
            )?,
            insert_operation: transaction.prepare_cached(
                "INSERT OR IGNORE INTO trace_operation (trace, operation, resource) VALUES (?1, ?2, ?3)",
            )?,
            insert_span: transaction.prepare_cached(
                "INSERT INTO span (id, span_id, parent_id, operation, resource, start, duration, status, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            next_trace: transaction.query_row("SELECT coalesce(max(id), 0) + 1 FROM trace", [], |row| row.get(0))?,
        })
    }

    /// Writes what this transaction has of one trace.
    fn write_trace(
        &mut self,
        of_trace: &[(TraceId, usize)],
        spans: &[NewSpan<'_>],
        written: &mut WrittenOf,
    ) -> rusqlite::Result<WrittenTrace> {
        let trace_id = of_trace[0].0;
        // Most are new, which the attempt to insert them says as well as a question before it.
        let mut trace = OpenTrace::default();
        let mut first = 0;
        let mut kept = trace.add(of_trace, spans);
        let mut id = self.next_trace;
        let OpenTrace { start, end, spans: count, errors, root, root_start, has_root } = &trace;
        let columns = params![id, start, end, count, errors, root, root_start, has_root, &trace_id.0];
        let is_new = self.insert_trace.execute(columns)? == 1;
        if is_new {
            self.next_trace += 1;
        } else {
            (id, trace) = self.find_trace(trace_id)?;
            first = trace.spans;
            kept = trace.add(of_trace, spans);
            let OpenTrace { start, end, spans: count, errors, root, root_start, has_root } = &trace;
            self.update_trace.execute(params![id, start, end, count, errors, root, root_start, has_root])?;
        }
        let mut operations: Vec<(i64, i64)> = Vec::new(); // few
        for (ordinal, (_, index)) in (first..).zip(&of_trace[..kept]) {
            let span = &spans[*index];
            self.insert_span(id << ORDINAL_BITS | ordinal, span)?;
            if !operations.contains(&(span.operation, span.resource)) {
                operations.push((span.operation, span.resource));
                self.insert_operation.execute([id, span.operation, span.resource])?;
            }
        }
        written.stored += kept as u64;
        written.malformed += (of_trace.len() - kept) as u64;
        Ok(WrittenTrace { id, is_new, start: trace.start, end: trace.end, kept })
    }

    fn find_trace(&mut self, trace_id: TraceId) -> rusqlite::Result<(i64, OpenTrace)> {
        self.find_trace.query_row([&trace_id.0], |row| {
            let trace = OpenTrace {
                start: row.get(1)?,
                end: row.get(2)?,
                spans: row.get(3)?,
                errors: row.get(4)?,
                root: row.get(5)?,
                root_start: row.get(6)?,
                has_root: row.get(7)?,
            };
            Ok((row.get(0)?, trace))
        })
    }

    fn insert_span(&mut self, id: i64, span: &NewSpan<'_>) -> rusqlite::Result<()> {
        let facts = &span.facts;
        let (start, end) = times(facts);
        self.insert_span.execute(params![
            id,
            &facts.fields.span_id.0,
            facts.fields.parent_span_id.as_ref().map(|id| &id.0),
            span.operation,
            span.resource,
            start,
            end - start,
            if facts.error() { 2 } else { 0 },
            span.bytes,
        ])?;
        Ok(())
    }
}

impl OpenTrace {
    /// Adds the spans of a transaction, as many as there is room for. How many those are.
    fn add(&mut self, of_trace: &[(TraceId, usize)], spans: &[NewSpan<'_>]) -> usize {
        let room = usize::try_from(LAST_ORDINAL + 1 - self.spans).unwrap_or(0);
        let kept = of_trace.len().min(room);
        let mut root: Option<&[u8]> = None;
        for (_, index) in &of_trace[..kept] {
            let facts = &spans[*index].facts;
            let (start, end) = times(facts);
            let (is_first, is_root) = (self.spans == 0, facts.fields.parent_span_id.is_none());
            if is_first || (is_root, std::cmp::Reverse(start)) > (self.has_root, std::cmp::Reverse(self.root_start)) {
                root = Some(facts.fields.name);
                self.root_start = start;
                self.has_root = is_root;
            }
            self.start = if is_first { start } else { self.start.min(start) };
            self.end = self.end.max(end);
            self.spans += 1;
            self.errors += i64::from(facts.error());
        }
        if let Some(name) = root {
            self.root = text(name).into_owned();
        }
        kept
    }
}

fn times(facts: &SpanFacts<'_>) -> (i64, i64) {
    (
        nanos(facts.fields.start_unix_nano.into()),
        nanos(facts.fields.end_unix_nano.max(facts.fields.start_unix_nano).into()),
    )
}

/// SQLite's integers are signed; what does not fit is nobody's time.
fn nanos(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
