//! The way out: lists of traces by filters, a whole trace, the services, log records, samples of stacks, metrics.
//!
//! A [`Reader`] holds a small pool of read-only connections, so that a long query does not hold up a short one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{LogRecord, Resource, Span, SpanId, TraceId, TraceSummary};
use query::{Completion, Query};
use rusqlite::{Connection, params};

use crate::schema::{self, LAST_ORDINAL, ORDINAL_BITS};
use crate::write::PRUNED_SIXTEENTHS;
use crate::{
    LogFilter, MetricFilter, MetricName, Metrics, ProfileFilter, SqlError, SqlRows, StoreError, StoredSample, logs,
    metrics, otlp, profiles, search, seen, sql,
};

/// Which traces to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceFilter {
    /// What a span of the trace, or the trace, must be like.
    pub query: Query,
    /// Earliest start, ns since 1970.
    pub since_unix_nano: Option<u64>,
    /// Latest start, ns since 1970.
    pub until_unix_nano: Option<u64>,
    /// At most so many: the newest.
    pub limit: usize,
}

/// A trace with all its spans, in order of their start.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What a list says of it.
    pub summary: TraceSummary,
    /// The spans.
    pub spans: Vec<Span>,
}

/// A span or log record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpRecord {
    /// Its `Span` or `LogRecord` message.
    pub record: Vec<u8>,
    /// Its `Resource` message.
    pub resource: Vec<u8>,
    /// Name of its instrumentation scope.
    pub scope: String,
}

/// How much there is in a store, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes in use, of those that its limit counts.
    pub used_bytes: u64,
    /// Start of the oldest trace, ns since 1970.
    pub oldest_unix_nano: Option<u64>,
    /// Traces have gone since it was made: too old ones, or those that others needed the room of.
    pub has_removed: bool,
}

impl Extent {
    /// Whether a store of at most so many bytes is at its limit, so that each new trace takes the place of an old one.
    pub fn is_full(&self, limit_bytes: u64) -> bool {
        self.has_removed && self.used_bytes >= limit_bytes / 16 * (PRUNED_SIXTEENTHS - 1)
    }
}

/// What the beginning of an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One trace.
    One(TraceId),
    /// None.
    Nothing,
    /// More than one; some of them.
    Several(Vec<TraceId>),
    /// Not the beginning of an id.
    NotAnId,
}

/// A store, open for queries. One that does not exist yet is empty.
pub struct Reader {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
    longest_query: Duration,
}

/// Then a query is given up, unless somebody chose another time.
const LONGEST_QUERY: Duration = Duration::from_secs(10);
/// Steps of SQLite's between two looks at the clock.
const STEPS: i32 = 1000;

/// Connections that are kept open.
const IDLE_CONNECTIONS: usize = 4;

impl Reader {
    /// Opens the store in a folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let idle = schema::open_for_reading(folder)?.into_iter().collect();
        Ok(Self { folder: folder.to_owned(), idle: Mutex::new(idle), longest_query: LONGEST_QUERY })
    }

    /// Gives queries up after this time.
    pub fn with_longest_query(self, longest_query: Duration) -> Self {
        Self { longest_query, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn longest_query(&self) -> Duration {
        self.longest_query
    }

    pub(crate) fn with_connection<T: Default>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle().pop();
        let mut connection = match reused {
            Some(connection) => connection,
            None => match schema::open_for_reading(&self.folder)? {
                Some(connection) => connection,
                None => return Ok(T::default()),
            },
        };
        let deadline = Instant::now() + self.longest_query;
        connection.progress_handler(STEPS, Some(move || Instant::now() > deadline))?;
        // One snapshot for all that the query asks.
        let transaction = connection.unchecked_transaction()?;
        let answer = query(&transaction)?;
        transaction.finish()?;
        let mut idle = idle();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Traces that fit, newest first.
    pub fn traces(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        self.with_connection(|connection| search::traces(connection, filter, Instant::now() + self.longest_query))
    }

    /// A whole trace.
    pub fn trace(&self, trace_id: TraceId) -> Result<Option<Trace>, StoreError> {
        self.with_connection(|connection| {
            let Some((id, summary)) = search::trace(connection, trace_id)? else { return Ok(None) };
            Ok(Some(Trace { summary, spans: spans(connection, id)? }))
        })
    }

    /// The spans of a trace as they came.
    pub fn otlp_spans(&self, trace_id: TraceId) -> Result<Vec<OtlpRecord>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached(
                    "SELECT span.data, resource.data, scope FROM trace
                     JOIN span ON span.id BETWEEN trace.id << ?2 AND trace.id << ?2 | ?3
                     JOIN resource ON resource.id = span.resource
                     JOIN operation ON operation.id = span.operation
                     WHERE trace_id = ?1 ORDER BY span.start, span.id",
                )?
                .query_map(params![&trace_id.0, ORDINAL_BITS, LAST_ORDINAL], |row| {
                    Ok(OtlpRecord { record: row.get(0)?, resource: row.get(1)?, scope: row.get(2)? })
                })?
                .collect()
        })
    }

    /// The trace whose id begins with these hexadecimal digits; `last` is the newest one.
    pub fn find(&self, beginning: &str) -> Result<Found, StoreError> {
        if beginning == "last" {
            let newest = self.traces(&TraceFilter { limit: 1, ..TraceFilter::default() })?;
            return Ok(newest.first().map_or(Found::Nothing, |trace| Found::One(trace.trace_id)));
        }
        let padded = |digit: &str| TraceId::parse(&format!("{beginning}{}", digit.repeat(32 - beginning.len())));
        if beginning.is_empty() || beginning.len() > 32 || !beginning.is_ascii() {
            return Ok(Found::NotAnId);
        }
        let (Some(first), Some(last)) = (padded("0"), padded("f")) else { return Ok(Found::NotAnId) };
        let found: Vec<TraceId> = self.with_connection(|connection| {
            connection
                .prepare_cached(
                    "SELECT trace_id FROM trace WHERE trace_id BETWEEN ?1 AND ?2 ORDER BY start DESC LIMIT 4",
                )?
                .query_map([&first.0, &last.0], |row| row.get(0).map(TraceId))?
                .collect()
        })?;
        Ok(match found[..] {
            [] => Found::Nothing,
            [one] => Found::One(one),
            _ => Found::Several(found),
        })
    }

    /// Log records that fit, oldest first, and the number of the newest that there is, for a filter's `after`.
    pub fn logs(&self, filter: &LogFilter) -> Result<(Vec<LogRecord>, i64), StoreError> {
        self.with_connection(|connection| logs::query(connection, filter))
    }

    /// The same as they came.
    pub fn otlp_logs(&self, filter: &LogFilter) -> Result<Vec<OtlpRecord>, StoreError> {
        self.with_connection(|connection| logs::as_they_came(connection, filter))
    }

    /// Samples of stacks that fit, oldest first.
    pub fn profile(&self, filter: &ProfileFilter) -> Result<Vec<StoredSample>, StoreError> {
        self.with_connection(|connection| profiles::query(connection, filter))
    }

    /// Metrics that fit, by name.
    pub fn metric_names(&self, filter: &MetricFilter) -> Result<Vec<MetricName>, StoreError> {
        self.with_connection(|connection| metrics::names(connection, filter))
    }

    /// Series of metrics that fit, with what came for them.
    pub fn metrics(&self, filter: &MetricFilter) -> Result<Metrics, StoreError> {
        self.with_connection(|connection| metrics::query(connection, filter, Instant::now() + self.longest_query))
    }

    /// Whether there are samples of a trace.
    pub fn has_profile(&self, trace: TraceId) -> Result<bool, StoreError> {
        self.with_connection(|connection| profiles::has_samples(connection, trace))
    }

    /// Spans whose ids begin with these hexadecimal digits, a few of them; `None`: no digits.
    pub fn find_spans(&self, beginning: &str) -> Result<Option<Vec<(TraceId, SpanId)>>, StoreError> {
        const SHOWN: usize = 4;
        if beginning.is_empty() || beginning.len() > 16 || !beginning.is_ascii() {
            return Ok(None);
        }
        let padded = |digit: &str| SpanId::parse(&format!("{beginning}{}", digit.repeat(16 - beginning.len())));
        let (Some(first), Some(last)) = (padded("0"), padded("f")) else { return Ok(None) };
        self.with_connection(|connection| profiles::find_spans(connection, first, last, SHOWN)).map(Some)
    }

    /// Ways to go on with a query at a cursor, which counts characters from 0, with what was seen lately.
    pub fn complete(&self, query: &str, cursor: usize) -> Result<Vec<Completion>, StoreError> {
        self.with_connection(|connection| seen::complete(connection, query, cursor))
    }

    /// Keys of attributes that were seen lately, those that are seen most first.
    pub fn attribute_keys(&self) -> Result<Vec<String>, StoreError> {
        self.with_connection(|connection| Ok(seen::keys(connection)))
    }

    /// Answers a question in SQL, within so much time; rows are handed over as they come. A store that does not exist yet has
    /// none.
    pub fn sql<R: SqlRows>(&self, sql: &str, longest: Duration, rows: &mut R) -> Result<(), SqlError<R::Error>> {
        match schema::open_for_reading(&self.folder).map_err(SqlError::Store)? {
            Some(connection) => sql::ask(connection, sql, longest, rows),
            None => Ok(()),
        }
    }

    /// Who has sent anything that is in the store: each program's run once, the one that came last first.
    pub fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached("SELECT data FROM resource ORDER BY id DESC")?
                .query_map([], |row| Ok(otlp::resource(row.get_ref(0)?.as_blob()?).unwrap_or_default()))?
                .collect()
        })
    }

    /// How much there is, and since when.
    pub fn extent(&self) -> Result<Extent, StoreError> {
        self.with_connection(|connection| {
            let first: Option<i64> = connection.query_row("SELECT min(id) FROM trace", [], |row| row.get(0))?;
            let oldest: Option<i64> = connection.query_row("SELECT min(start) FROM trace", [], |row| row.get(0))?;
            Ok(Extent {
                used_bytes: schema::used_bytes(connection)?,
                oldest_unix_nano: oldest.map(|start| start as u64),
                // They are numbered from 1 on.
                has_removed: first.is_some_and(|first| first > 1),
            })
        })
    }

    /// Services that have spans in the store, sorted.
    pub fn services(&self) -> Result<Vec<String>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached("SELECT DISTINCT service FROM operation ORDER BY service")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }
}

fn spans(connection: &Connection, trace: i64) -> rusqlite::Result<Vec<Span>> {
    let mut resources: HashMap<i64, Arc<Resource>> = HashMap::new();
    let first = trace << ORDINAL_BITS;
    let mut statement = connection.prepare_cached(
        "SELECT span.data, resource, scope FROM span JOIN operation ON operation.id = operation
         WHERE span.id BETWEEN ?1 AND ?2 ORDER BY start, span.id",
    )?;
    let mut rows = statement.query(params![first, first | LAST_ORDINAL])?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        let resource_id = row.get(1)?;
        let resource = match resources.get(&resource_id) {
            Some(resource) => Arc::clone(resource),
            None => {
                let data: Vec<u8> = connection
                    .prepare_cached("SELECT data FROM resource WHERE id = ?1")?
                    .query_row([resource_id], |row| row.get(0))?;
                let resource = Arc::new(otlp::resource(&data).unwrap_or_default());
                resources.insert(resource_id, Arc::clone(&resource));
                resource
            }
        };
        let data = row.get_ref(0)?.as_blob()?;
        match otlp::span(data, resource, row.get(2)?) {
            Ok(span) => spans.push(span),
            Err(error) => tracing::warn!(%error, "a stored span cannot be read"),
        }
    }
    Ok(spans)
}
