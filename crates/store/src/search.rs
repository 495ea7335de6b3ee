//! Finds traces: block by block, the newest first, and no block that cannot hold one that fits.
//!
//! ```text
//! query ─► Plan ─┬─► blocks, by their row: time, longest trace, tokens
//!                ├─► traces of a block, by their row and the operations they pass through
//!                └─► spans of a trace, by their row and their OTLP bytes
//! ```
//!
//! It ends when it has as many as are asked for and no block is left that could hold a newer one: exact, for blocks say
//! when their last trace began. In a store of version 1, that nobody has written to since, there are no blocks: then
//! everything is looked at.

use std::collections::HashSet;
use std::time::Instant;

use model::{SpanId, TraceId, TraceSummary};
use rusqlite::{CachedStatement, Connection, ErrorCode, ffi, params};

use crate::TraceFilter;
use crate::fits::{Block, Fits, Plan, SpanRow, TraceFacts};
use crate::schema::{LAST_ORDINAL, ORDINAL_BITS};

/// Traces that are looked at in one go where there are no blocks.
const UNKNOWN_TRACES: i64 = 512;

/// Traces that fit, newest first.
pub fn traces(connection: &Connection, filter: &TraceFilter, deadline: Instant) -> rusqlite::Result<Vec<TraceSummary>> {
    let search = Search { connection, filter, plan: Plan::new(connection, &filter.query)?, deadline };
    let found = search.run()?;
    found.into_iter().map(|found| with_services(connection, found.id, found.summary)).collect()
}

/// Of the traces with these numbers those that fit, in order of their start.
pub fn among(
    connection: &Connection,
    filter: &TraceFilter,
    numbers: &[i64],
    deadline: Instant,
) -> rusqlite::Result<Vec<TraceSummary>> {
    let search = Search { connection, filter, plan: Plan::new(connection, &filter.query)?, deadline };
    let mut found = Vec::new();
    for &id in numbers {
        search.look_into(Range { id, end: id + 1 }, search.times(), &mut found)?;
    }
    found.sort_by_key(Found::order);
    found.into_iter().map(|found| with_services(connection, found.id, found.summary)).collect()
}

struct Search<'a> {
    connection: &'a Connection,
    filter: &'a TraceFilter,
    plan: Plan,
    deadline: Instant,
}

struct Found {
    id: i64,
    summary: TraceSummary,
}

impl Found {
    /// What lists are sorted by.
    fn order(&self) -> (u64, i64) {
        (self.summary.start_unix_nano, self.id)
    }
}

/// Traces from one number to before another.
#[derive(Clone, Copy)]
struct Range {
    id: i64,
    end: i64,
}

/// All blocks, the newest first, by an index: a list of what is newest reads one or two of them. The tokens of a row are
/// read only when somebody asks for them.
const BLOCKS: &str = "
SELECT id, coalesce((SELECT min(next.id) FROM trace_block AS next WHERE next.id > block.id), ?1),
    first_start, last_start, longest, tokens
FROM trace_block AS block ORDER BY last_start DESC, id DESC";

impl Search<'_> {
    fn run(&self) -> rusqlite::Result<Vec<Found>> {
        let (since, until) = self.times();
        let mut found: Vec<Found> = Vec::new();
        for range in self.without_blocks()? {
            self.look_into(range, (since, until), &mut found)?;
        }
        let mut blocks = self.connection.prepare_cached(BLOCKS)?;
        let mut rows = blocks.query([i64::MAX >> ORDINAL_BITS])?;
        while let Some(row) = rows.next()? {
            self.check_deadline()?;
            let range = Range { id: row.get(0)?, end: row.get(1)? };
            let (first_start, last_start): (i64, i64) = (row.get(2)?, row.get(3)?);
            if last_start < since || self.is_complete(&mut found, last_start) {
                break;
            }
            if first_start > until {
                continue;
            }
            let may_hold = self.plan.is_empty() || {
                let block = Block { longest: row.get(4)?, tokens: row.get_ref(5)?.as_blob()? };
                self.plan.of_block(&block) != Fits::No
            };
            if may_hold {
                self.look_into(range, (since, until), &mut found)?;
            }
        }
        self.keep_newest(&mut found);
        Ok(found)
    }

    /// Between these moments a trace must have begun.
    fn times(&self) -> (i64, i64) {
        (bound(self.filter.since_unix_nano).unwrap_or(0), bound(self.filter.until_unix_nano).unwrap_or(i64::MAX))
    }

    /// SQLite looks at the clock only within statements, of which there are many here.
    fn check_deadline(&self) -> rusqlite::Result<()> {
        check(self.deadline)
    }

    /// Whether there are as many as are asked for, and nothing can be newer of what began until then.
    fn is_complete(&self, found: &mut Vec<Found>, last_start: i64) -> bool {
        if found.len() < self.filter.limit {
            return false;
        }
        self.keep_newest(found);
        found.last().is_none_or(|oldest| oldest.summary.start_unix_nano as i64 > last_start)
    }

    fn keep_newest(&self, found: &mut Vec<Found>) {
        found.sort_by_key(|found| std::cmp::Reverse(found.order()));
        found.truncate(self.filter.limit);
    }

    /// The traces that lie before all blocks: all of them, in a store of version 1.
    fn without_blocks(&self) -> rusqlite::Result<Vec<Range>> {
        let sql = "SELECT (SELECT min(id) FROM trace), (SELECT max(id) FROM trace), (SELECT min(id) FROM trace_block)";
        let ends = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (first, last, block): (Option<i64>, Option<i64>, Option<i64>) =
            self.connection.prepare_cached(sql)?.query_row([], ends)?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        let end = block.unwrap_or(last + 1);
        let ranges = (first..end).step_by(UNKNOWN_TRACES as usize);
        Ok(ranges.map(|id| Range { id, end: end.min(id + UNKNOWN_TRACES) }).collect())
    }

    fn look_into(&self, range: Range, times: (i64, i64), found: &mut Vec<Found>) -> rusqlite::Result<()> {
        self.check_deadline()?;
        let mut statement = self.connection.prepare_cached(TRACES)?;
        let mut rows = statement.query([range.id, range.end])?;
        let mut statements = Statements::prepare(self.connection)?;
        while let Some(row) = rows.next()? {
            let (id, start): (i64, i64) = (row.get(0)?, row.get(2)?);
            if !(times.0..=times.1).contains(&start) {
                continue;
            }
            let facts = facts(row)?;
            let fits = match self.plan.of_trace(&facts) {
                Fits::Maybe => statements.has_fitting_span(&self.plan, id, &facts)?,
                known => known == Fits::Yes,
            };
            if fits {
                found.push(Found { id, summary: summary(row)? });
            }
        }
        Ok(())
    }
}

/// What is asked for every trace that the row alone does not decide.
struct Statements<'a> {
    operations: CachedStatement<'a>,
    spans: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            operations: connection
                .prepare_cached("SELECT operation, resource FROM trace_operation WHERE trace = ?1")?,
            spans: connection.prepare_cached(
                "SELECT operation, resource, duration, status, data FROM span
                 WHERE id BETWEEN ?1 << ?2 AND ?1 << ?2 | ?3",
            )?,
        })
    }

    fn has_fitting_span(&mut self, plan: &Plan, trace: i64, facts: &TraceFacts<'_>) -> rusqlite::Result<bool> {
        let mut possible: Vec<(i64, i64)> = Vec::new();
        let mut passed = self.operations.query([trace])?;
        while let Some(row) = passed.next()? {
            let (operation, resource) = (row.get(0)?, row.get(1)?);
            match plan.of_operation(facts, operation, resource) {
                Fits::Yes => return Ok(true),
                Fits::Maybe => possible.push((operation, resource)),
                Fits::No => {}
            }
        }
        if possible.is_empty() {
            return Ok(false);
        }
        let mut spans = self.spans.query(params![trace, ORDINAL_BITS, LAST_ORDINAL])?;
        while let Some(row) = spans.next()? {
            let (operation, resource) = (row.get(0)?, row.get(1)?);
            if !possible.contains(&(operation, resource)) {
                continue;
            }
            if plan.of_span(facts, &span_row(row)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The spans of a trace that fit a query, for what was seen within them. Of a trace that is not in the store there are none.
pub fn fitting_spans(connection: &Connection, plan: &Plan, trace: TraceId) -> rusqlite::Result<HashSet<SpanId>> {
    let mut fitting = HashSet::new();
    let mut statement = connection.prepare_cached(TRACE_BY_ID)?;
    let mut rows = statement.query([&trace.0])?;
    let Some(row) = rows.next()? else { return Ok(fitting) };
    let facts = facts(row)?;
    if plan.of_trace(&facts) == Fits::No {
        return Ok(fitting);
    }
    let mut statement = connection.prepare_cached(
        "SELECT operation, resource, duration, status, data, span_id FROM span WHERE id BETWEEN ?1 << ?2 AND ?1 << ?2 | ?3",
    )?;
    let mut spans = statement.query(params![row.get::<_, i64>(0)?, ORDINAL_BITS, LAST_ORDINAL])?;
    while let Some(row) = spans.next()? {
        if plan.of_span(&facts, &span_row(row)?) {
            fitting.insert(SpanId(row.get(5)?));
        }
    }
    Ok(fitting)
}

fn facts<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<TraceFacts<'a>> {
    Ok(TraceFacts {
        duration: row.get::<_, i64>(3)? - row.get::<_, i64>(2)?,
        spans: row.get(4)?,
        errors: row.get(5)?,
        root: row.get_ref(6)?.as_str()?,
    })
}

fn span_row<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<SpanRow<'a>> {
    Ok(SpanRow {
        operation: row.get(0)?,
        resource: row.get(1)?,
        duration: row.get(2)?,
        is_error: row.get::<_, i64>(3)? == 2,
        data: row.get_ref(4)?.as_blob()?,
    })
}

fn bound(time: Option<u64>) -> Option<i64> {
    time.map(|time| i64::try_from(time).unwrap_or(i64::MAX))
}

/// An error where there is no time left.
pub fn check(deadline: Instant) -> rusqlite::Result<()> {
    if Instant::now() > deadline { Err(interrupted()) } else { Ok(()) }
}

/// As if SQLite had stopped.
fn interrupted() -> rusqlite::Error {
    let error = ffi::Error { code: ErrorCode::OperationInterrupted, extended_code: ffi::SQLITE_INTERRUPT };
    rusqlite::Error::SqliteFailure(error, None)
}

const TRACES: &str = "SELECT id, trace_id, start, end, spans, errors, root FROM trace WHERE id >= ?1 AND id < ?2";

const TRACE_BY_ID: &str = "SELECT id, trace_id, start, end, spans, errors, root FROM trace WHERE trace_id = ?1";

/// The trace with this id, and its number.
pub fn trace(connection: &Connection, trace_id: TraceId) -> rusqlite::Result<Option<(i64, TraceSummary)>> {
    let mut statement = connection.prepare_cached(TRACE_BY_ID)?;
    let mut rows = statement.query([&trace_id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let id = row.get(0)?;
    Ok(Some((id, with_services(connection, id, summary(row)?)?)))
}

fn summary(row: &rusqlite::Row<'_>) -> rusqlite::Result<TraceSummary> {
    let (start, end): (i64, i64) = (row.get(2)?, row.get(3)?);
    Ok(TraceSummary {
        trace_id: TraceId(row.get(1)?),
        root: row.get(6)?,
        services: Vec::new(),
        span_count: row.get::<_, i64>(4)? as u64,
        error_count: row.get::<_, i64>(5)? as u64,
        start_unix_nano: start as u64,
        duration_ns: (end - start) as u64,
    })
}

fn with_services(connection: &Connection, id: i64, mut summary: TraceSummary) -> rusqlite::Result<TraceSummary> {
    summary.services = connection
        .prepare_cached(
            "SELECT DISTINCT service FROM trace_operation JOIN operation ON operation.id = operation
             WHERE trace = ?1 ORDER BY service",
        )?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(summary)
}
