//! SQL for who wants it: views over the store whose columns are called as in `--json`, and nothing that could write.
//!
//! The views live in the reader's own temporary schema, so that they are no part of the store's format: they follow what
//! docs/queries.md says, whatever the tables become.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Kind, MetricKind, ProfileKind};
use query::QueryError;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};

use crate::metrics::points_as_json;
use crate::profiles::functions;
use crate::schema::{self, ORDINAL_BITS};
use crate::{StoreError, otlp};

/// A value in a row.
pub type SqlValue = Value;

/// Steps of SQLite's between two looks at the clock.
const STEPS: i32 = 10_000;

/// Rows of an answer, as they come.
pub trait SqlRows {
    /// What the writing of a row can end with.
    type Error;
    /// The names of the columns, once and first.
    fn columns(&mut self, names: &[String]) -> Result<(), Self::Error>;
    /// A row.
    fn row(&mut self, values: Vec<SqlValue>) -> Result<(), Self::Error>;
}

/// Why there is no (whole) answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError<E> {
    /// The SQL is wrong; the place is marked where it is known.
    #[error("{0}")]
    Wrong(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// It would change something.
    #[error("only SELECT is answered: nobody but the agent writes the store")]
    NotReading,
    /// The rows could not be written.
    #[error("cannot write: {0}")]
    Output(E),
}

const VIEWS: &str = "
CREATE TEMP VIEW traces AS SELECT
    lower(hex(trace.trace_id)) AS trace_id, root,
    (SELECT json_group_array(DISTINCT service) FROM trace_operation AS o JOIN operation ON operation.id = o.operation
     WHERE o.trace = trace.id) AS services,
    spans AS span_count, errors AS error_count, start AS start_unix_nano, end - start AS duration_ns
FROM trace;
CREATE TEMP VIEW spans AS SELECT
    lower(hex(trace.trace_id)) AS trace_id, lower(hex(span.span_id)) AS span_id,
    nullif(lower(hex(span.parent_id)), '') AS parent_span_id, operation.service AS service, operation.name AS name,
    nullif(operation.route, '') AS route, kind_name(operation.kind) AS kind, span_part(span.data, 'status') AS status,
    span.start AS start_unix_nano, span.duration AS duration_ns, operation.scope AS scope,
    span_part(span.data, 'source') AS source, span_part(span.data, 'attributes') AS attributes,
    span_part(span.data, 'anatomy') AS anatomy, span_part(span.data, 'events') AS events,
    resource_attributes(resource.data) AS resource
FROM span JOIN trace ON trace.id = span.id >> ORDINAL_BITS JOIN operation ON operation.id = span.operation
    LEFT JOIN resource ON resource.id = span.resource;
CREATE TEMP VIEW logs AS SELECT
    time AS time_unix_nano, severity AS severity_number, log_part(log.data, 'severity_text') AS severity_text,
    log_part(log.data, 'body') AS body, service_of(resource.data) AS service, nullif(lower(hex(trace_id)), '') AS trace_id,
    log_part(log.data, 'span_id') AS span_id, scope, log_part(log.data, 'attributes') AS attributes,
    resource_attributes(resource.data) AS resource
FROM log LEFT JOIN resource ON resource.id = log.resource;
CREATE TEMP VIEW samples AS SELECT
    time AS time_unix_nano, profile_kind(kind) AS kind, value AS value_ns, service_of(resource.data) AS service,
    nullif(lower(hex(trace_id)), '') AS trace_id, nullif(lower(hex(span_id)), '') AS span_id, thread AS thread_id,
    stack_functions(frames) ->> 0 AS function, stack_functions(frames) AS stack
FROM profile_sample LEFT JOIN profile_stack ON profile_stack.id = profile_sample.stack
    LEFT JOIN resource ON resource.id = profile_sample.resource;
CREATE TEMP VIEW metrics AS SELECT
    time AS time_unix_nano, name, metric_kind(kind) AS kind, unit, service_of(resource.data) AS service, scope, attributes,
    point.value ->> 1 AS value, point.value ->> 2 AS count, point.value ->> 3 AS sum, point.value -> 4 AS bucket_counts,
    metric_bounds(bounds) AS bounds, start AS start_unix_nano, resource_attributes(resource.data) AS resource
FROM metric_sample, json_each(metric_points(points)) AS point JOIN metric_series ON metric_series.id = point.value ->> 0
    LEFT JOIN resource ON resource.id = metric_series.resource;
";

/// Answers a question in SQL.
pub fn ask<R: SqlRows>(
    mut connection: Connection,
    sql: &str,
    longest: Duration,
    rows: &mut R,
) -> Result<(), SqlError<R::Error>> {
    let store = |error: rusqlite::Error| SqlError::Store(error.into());
    if sql.trim().is_empty() {
        return Err(SqlError::NotReading);
    }
    prepare(&mut connection).map_err(store)?;
    let deadline = Instant::now() + longest;
    connection.progress_handler(STEPS, Some(move || Instant::now() > deadline)).map_err(store)?;
    let mut statement = connection.prepare(sql).map_err(|error| wrong(sql, error))?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(SqlError::NotReading);
    }
    answer(&mut statement, rows)
}

fn answer<R: SqlRows>(statement: &mut Statement<'_>, rows: &mut R) -> Result<(), SqlError<R::Error>> {
    let store = |error: rusqlite::Error| SqlError::Store(error.into());
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    rows.columns(&names).map_err(SqlError::Output)?;
    let mut found = statement.query([]).map_err(store)?;
    while let Some(row) = found.next().map_err(store)? {
        let values = (0..names.len()).map(|index| row.get(index)).collect::<rusqlite::Result<_>>();
        rows.row(values.map_err(store)?).map_err(SqlError::Output)?;
    }
    Ok(())
}

fn wrong<E>(sql: &str, error: rusqlite::Error) -> SqlError<E> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } if error.extended_code == rusqlite::ffi::SQLITE_AUTH => {
            SqlError::NotReading
        }
        rusqlite::Error::SqlInputError { msg, offset, .. } => {
            let before = sql.get(..usize::try_from(offset).unwrap_or(0)).unwrap_or_default();
            let rest = &sql[before.len()..];
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            let word = rest.chars().take_while(|c| is_word(*c)).count();
            let column = before.chars().count() + 1;
            let marked = QueryError { query: sql.to_owned(), column, length: word.max(1), message: msg };
            SqlError::Wrong(marked.to_string())
        }
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == rusqlite::ErrorCode::AuthorizationForStatementDenied =>
        {
            SqlError::NotReading
        }
        rusqlite::Error::SqliteFailure(failure, Some(message)) if failure.code == rusqlite::ErrorCode::Unknown => {
            SqlError::Wrong(message)
        }
        other => SqlError::Store(other.into()),
    }
}

/// Makes views and functions, then allows nothing but reading.
fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    schema::make_absent_tables(connection)?;
    add_functions(connection)?;
    connection.execute_batch(&VIEWS.replace("ORDINAL_BITS", &ORDINAL_BITS.to_string()))?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))
}

fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("kind_name", 1, flags, |context| {
        Ok(Kind::from_otlp(context.get::<i32>(0).unwrap_or(0)).name())
    })?;
    connection.create_scalar_function("profile_kind", 1, flags, |context| {
        let number = context.get::<i64>(0).unwrap_or(0);
        let kind = ProfileKind::ALL.into_iter().find(|kind| *kind as i64 == number);
        Ok(kind.map(ProfileKind::name))
    })?;
    connection.create_scalar_function("resource_attributes", 1, flags, |context| {
        Ok(otlp::resource(blob(context)).ok().and_then(|resource| json(&resource.attributes)))
    })?;
    connection.create_scalar_function("span_part", 2, flags, |context| {
        Ok(span_part(blob(context), context.get_raw(1).as_str().unwrap_or_default()))
    })?;
    connection.create_scalar_function("log_part", 2, flags, |context| {
        Ok(log_part(blob(context), context.get_raw(1).as_str().unwrap_or_default()))
    })?;
    connection.create_scalar_function("metric_kind", 1, flags, |context| {
        let number = context.get::<i64>(0).unwrap_or(0);
        let kind = MetricKind::ALL.into_iter().find(|kind| *kind as i64 == number);
        Ok(kind.map(MetricKind::name))
    })?;
    connection.create_scalar_function("metric_points", 1, flags, |context| Ok(points_as_json(blob(context))))?;
    connection.create_scalar_function("metric_bounds", 1, flags, |context| {
        let bounds: Vec<f64> = blob(context).as_chunks().0.iter().map(|bound| f64::from_le_bytes(*bound)).collect();
        Ok(if bounds.is_empty() { None } else { json(&bounds) })
    })?;
    let names = function_names(connection)?;
    connection.create_scalar_function("stack_functions", 1, flags, move |context| {
        let of_stack = functions(blob(context)).map(|(id, ..)| names.get(&id).map_or("?", String::as_str));
        Ok(json(&of_stack.collect::<Vec<_>>()))
    })
}

fn blob<'a>(context: &'a Context<'_>) -> &'a [u8] {
    context.get_raw(0).as_blob().unwrap_or_default()
}

fn json(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn function_names(connection: &Connection) -> rusqlite::Result<HashMap<i64, String>> {
    let mut statement = connection.prepare("SELECT id, name FROM profile_function")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn span_part(data: &[u8], part: &str) -> Option<String> {
    let span = otlp::span(data, Arc::default(), String::new()).ok()?;
    match part {
        "status" => Some(span.status.code.name().to_owned()),
        "source" => Some(span.source.name().to_owned()),
        "attributes" => json(&span.attributes),
        "anatomy" => span.anatomy.and_then(|anatomy| json(&anatomy.parts_ns)),
        "events" => json(&span.events),
        _ => None,
    }
}

fn log_part(data: &[u8], part: &str) -> Option<String> {
    let log = otlp::log(data, Arc::default(), String::new()).ok()?;
    match part {
        "severity_text" => Some(log.severity_text),
        "body" => Some(log.body.to_string()),
        "span_id" => log.span_id.map(|id| id.to_string()),
        "attributes" => json(&log.attributes),
        _ => None,
    }
}
