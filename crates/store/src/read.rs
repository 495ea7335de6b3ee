//! The way out: lists of traces by filters, a whole trace, the services, log records, samples of stacks.
//!
//! A [`Reader`] holds a small pool of read-only connections, so that a long query does not hold up a short one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{LogRecord, Resource, Span, SpanId, TraceId, TraceSummary};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::schema::{self, LAST_ORDINAL, ORDINAL_BITS};
use crate::{LogFilter, ProfileFilter, StoreError, StoredSample, logs, otlp, profiles};

/// Which traces to list. Service, route and attributes are looked for in one and the same span; errors, times and durations
/// are those of the trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// `service.name`, exactly.
    pub service: Option<String>,
    /// Part of a span's name or route, without regard to case.
    pub route: Option<String>,
    /// Only traces with an error.
    pub errors: bool,
    /// Shortest duration, ns.
    pub min_duration_ns: Option<u64>,
    /// Longest duration, ns.
    pub max_duration_ns: Option<u64>,
    /// Earliest start, ns since 1970.
    pub since_unix_nano: Option<u64>,
    /// Latest start, ns since 1970.
    pub until_unix_nano: Option<u64>,
    /// Attributes of the span or its resource, by the text of their values.
    pub attributes: Vec<(String, String)>,
    /// At most so many.
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

/// A span as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSpan {
    /// Its `Span` message.
    pub span: Vec<u8>,
    /// Its `Resource` message.
    pub resource: Vec<u8>,
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

    fn with_connection<T: Default>(
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
        self.with_connection(|connection| {
            let (conditions, values) = conditions(filter);
            let sql =
                format!("SELECT {SUMMARY_COLUMNS} FROM trace WHERE {conditions} ORDER BY start DESC, id DESC LIMIT ?");
            let mut statement = connection.prepare_cached(&sql)?;
            let limit = Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX));
            let rows = statement.query_map(params_from_iter(values.into_iter().chain([limit])), summary)?;
            let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            found.into_iter().map(|(id, summary)| with_services(connection, id, summary)).collect()
        })
    }

    /// A whole trace.
    pub fn trace(&self, trace_id: TraceId) -> Result<Option<Trace>, StoreError> {
        self.with_connection(|connection| {
            let sql = format!("SELECT {SUMMARY_COLUMNS} FROM trace WHERE trace_id = ?1");
            let found = connection.prepare_cached(&sql)?.query_row([&trace_id.0], summary).optional()?;
            let Some((id, summary)) = found else { return Ok(None) };
            let summary = with_services(connection, id, summary)?;
            Ok(Some(Trace { summary, spans: spans(connection, id)? }))
        })
    }

    /// The spans of a trace as they came.
    pub fn otlp_spans(&self, trace_id: TraceId) -> Result<Vec<OtlpSpan>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached(
                    "SELECT span.data, resource.data FROM trace
                     JOIN span ON span.id BETWEEN trace.id << ?2 AND trace.id << ?2 | ?3
                     JOIN resource ON resource.id = span.resource
                     WHERE trace_id = ?1 ORDER BY span.start, span.id",
                )?
                .query_map(params![&trace_id.0, ORDINAL_BITS, LAST_ORDINAL], |row| {
                    Ok(OtlpSpan { span: row.get(0)?, resource: row.get(1)? })
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

    /// Samples of stacks that fit, oldest first.
    pub fn profile(&self, filter: &ProfileFilter) -> Result<Vec<StoredSample>, StoreError> {
        self.with_connection(|connection| profiles::query(connection, filter))
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

const SUMMARY_COLUMNS: &str = "id, trace_id, start, end, spans, errors, root";

fn summary(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, TraceSummary)> {
    let (start, end): (i64, i64) = (row.get(2)?, row.get(3)?);
    let summary = TraceSummary {
        trace_id: TraceId(row.get(1)?),
        root: row.get(6)?,
        services: Vec::new(),
        span_count: row.get::<_, i64>(4)? as u64,
        error_count: row.get::<_, i64>(5)? as u64,
        start_unix_nano: start as u64,
        duration_ns: (end - start) as u64,
    };
    Ok((row.get(0)?, summary))
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

/// The filter as SQL, with the values of its parameters in order.
fn conditions(filter: &TraceFilter) -> (String, Vec<Value>) {
    let mut conditions = vec!["1".to_owned()];
    let mut values = Vec::new();
    let integer = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let bounds = [
        ("end - start >= ?", filter.min_duration_ns),
        ("end - start <= ?", filter.max_duration_ns),
        ("start >= ?", filter.since_unix_nano),
        ("start <= ?", filter.until_unix_nano),
    ];
    for (condition, bound) in bounds {
        if let Some(bound) = bound {
            conditions.push(condition.to_owned());
            values.push(integer(bound));
        }
    }
    if filter.errors {
        conditions.push("errors > 0".to_owned());
    }

    let mut of_operation = Vec::new();
    let mut operation_values = Vec::new();
    if let Some(service) = &filter.service {
        of_operation.push("service = ?");
        operation_values.push(Value::Text(service.clone()));
    }
    if let Some(route) = &filter.route {
        of_operation.push("(instr(lower(name), ?) OR instr(lower(route), ?))");
        operation_values.extend([Value::Text(route.to_lowercase()), Value::Text(route.to_lowercase())]);
    }
    let operations = (!of_operation.is_empty())
        .then(|| format!("operation IN (SELECT id FROM operation WHERE {})", of_operation.join(" AND ")));

    if let Some(operations) = &operations {
        conditions
            .push(format!("EXISTS (SELECT 1 FROM trace_operation AS o WHERE o.trace = trace.id AND o.{operations})"));
        values.extend(operation_values.clone());
    }
    if !filter.attributes.is_empty() {
        let mut of_span =
            vec![format!("s.id BETWEEN trace.id << {ORDINAL_BITS} AND trace.id << {ORDINAL_BITS} | {LAST_ORDINAL}")];
        if let Some(operations) = operations {
            of_span.push(format!("s.{operations}"));
            values.extend(operation_values);
        }
        for (key, value) in &filter.attributes {
            of_span.push(
                "(s.resource IN (SELECT id FROM resource WHERE resource_has(data, ?, ?)) OR span_has(s.data, ?, ?))"
                    .to_owned(),
            );
            let pair = [Value::Text(key.clone()), Value::Text(value.clone())];
            values.extend(pair.clone().into_iter().chain(pair));
        }
        conditions.push(format!("EXISTS (SELECT 1 FROM span AS s WHERE {})", of_span.join(" AND ")));
    }
    (conditions.join(" AND "), values)
}
