//! One transaction: spans by trace, log records, samples and metrics into their tables, and the traces into their blocks.

use std::collections::HashMap;
use std::sync::Arc;

use deliver::otlp::walk::{Malformed, text};
use deliver::{Batch, Signal};
use model::TraceId;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};

use crate::blocks::{BlockSpan, Blocks};
use crate::otlp::{self, SpanFacts};
use crate::schema::{LAST_ORDINAL, ORDINAL_BITS};
use crate::{Sample, logs, metrics, profiles};

/// Row ids that are known, so that they are not asked for again. Another process may remove rows: then all is forgotten.
#[derive(Default)]
pub(super) struct Known {
    data_version: i64,
    resources: HashMap<Vec<u8>, KnownResource>,
    operations: HashMap<Vec<u8>, i64>,
    stacks: profiles::KnownStacks,
    metrics: metrics::KnownSeries,
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

/// What a transaction has written.
#[derive(Default)]
pub(super) struct Written {
    pub spans: WrittenOf,
    pub logs: WrittenOf,
    pub profiles: WrittenOf,
    pub metrics: WrittenOf,
}

#[derive(Clone, Copy, Default)]
pub(super) struct WrittenOf {
    pub stored: u64,
    pub malformed: u64,
    /// Sound, but there is no room for their series.
    pub refused: u64,
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

/// Writes batches in one transaction.
pub(super) fn write_batches(
    connection: &mut Connection,
    known: &mut Known,
    batches: &[Arc<Batch>],
    samples: &[Sample],
) -> rusqlite::Result<Written> {
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
    for sample in samples {
        write_metrics(&transaction, known, sample, &mut all.metrics)?;
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
    each_record(transaction, known, batch, written, |known, origin, bytes| {
        let Ok(facts) = otlp::span_facts(bytes) else { return Ok(false) };
        let operation = known.operation(transaction, &origin.service, origin.scope, &facts)?;
        spans.push(NewSpan { facts, operation, resource: origin.resource, bytes });
        Ok(true)
    })
    .map(drop)
}

fn write_logs(
    transaction: &Transaction<'_>,
    known: &mut Known,
    batch: &Batch,
    written: &mut WrittenOf,
) -> rusqlite::Result<()> {
    let stored = each_record(transaction, known, batch, written, |_, origin, bytes| {
        logs::insert(transaction, origin.resource, &text(origin.scope), bytes)
    })?;
    written.stored += stored;
    Ok(())
}

/// What some records of a batch have in common.
struct RecordsOrigin<'a> {
    resource: i64,
    service: Arc<str>,
    scope: &'a [u8],
}

/// Shows the spans or log records of a batch to `take`, which says whether they are sound. How many were; the others are counted.
fn each_record<'a>(
    transaction: &Transaction<'_>,
    known: &mut Known,
    batch: &'a Batch,
    written: &mut WrittenOf,
    mut take: impl FnMut(&mut Known, &RecordsOrigin<'a>, &'a [u8]) -> rusqlite::Result<bool>,
) -> rusqlite::Result<u64> {
    let Ok(parts) = otlp::split_request(&batch.bytes) else {
        written.malformed += u64::from(batch.records);
        return Ok(0);
    };
    let mut taken = 0;
    for part in parts {
        let Ok((resource, service)) = known.resource(transaction, part.resource)? else {
            written.malformed += part.spans.len() as u64;
            continue;
        };
        let origin = RecordsOrigin { resource, service, scope: part.scope };
        for bytes in part.spans {
            match take(known, &origin, bytes)? {
                true => taken += 1,
                false => written.malformed += 1,
            }
        }
    }
    Ok(taken)
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

fn write_metrics(
    transaction: &Transaction<'_>,
    known: &mut Known,
    sample: &Sample,
    written: &mut WrittenOf,
) -> rusqlite::Result<()> {
    let mut series = std::mem::take(&mut known.metrics);
    let refused = metrics::insert(transaction, &mut series, sample, |resource| {
        // It was made here, so it can be read.
        Ok(known.resource(transaction, resource)?.map_or(0, |(id, _)| id))
    })?;
    known.metrics = series;
    written.stored += sample.points() - refused;
    written.refused += refused;
    Ok(())
}

impl Known {
    /// Rows have been removed.
    pub fn forget_removed(&mut self) {
        self.stacks = profiles::KnownStacks::default();
        self.blocks = Blocks::default();
    }

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
pub(super) fn nanos(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
