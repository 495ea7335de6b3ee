//! Log records: into their table, out of it by filters, and away when the store has grown too large or they too old.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{LogRecord, Resource, SpanId, TraceId};
use query::Query;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};

use crate::fits::Plan;
use crate::{OtlpRecord, otlp, schema, search};

/// Which log records to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFilter {
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// `service.name`, exactly.
    pub service: Option<String>,
    /// Only those written in spans that fit.
    pub query: Query,
    /// At least as severe, by OTLP's number.
    pub min_severity: u8,
    /// Earliest time, ns since 1970.
    pub since_unix_nano: Option<u64>,
    /// Only those that came after the one with this number.
    pub after: Option<i64>,
    /// At most so many: the newest.
    pub limit: usize,
}

/// Writes one log record.
pub fn insert(transaction: &Transaction<'_>, resource: i64, scope: &str, bytes: &[u8]) -> rusqlite::Result<bool> {
    let Ok(facts) = otlp::log_facts(bytes) else { return Ok(false) };
    transaction
        .prepare_cached(
            "INSERT INTO log (time, trace_id, severity, resource, scope, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            i64::try_from(facts.time_unix_nano).unwrap_or(i64::MAX),
            facts.trace_id.as_ref().map(|id| &id.0),
            facts.severity,
            resource,
            scope,
            bytes,
        ])?;
    Ok(true)
}

/// Log records that fit, oldest first, and the number of the last one that there is.
pub fn query(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<(Vec<LogRecord>, i64)> {
    fitting(connection, filter, |log, _, _| Ok(log))
}

/// Log records that fit as they came, oldest first.
pub fn as_they_came(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<Vec<OtlpRecord>> {
    let as_it_came = |log: LogRecord, record: &[u8], resource| {
        Ok(OtlpRecord { record: record.to_vec(), resource: resource_bytes(connection, resource)?, scope: log.scope })
    };
    Ok(fitting(connection, filter, as_it_came)?.0)
}

/// What is made of those that fit (of the record, its bytes and its resource's number), oldest first, and the number of the last
/// one that there is.
fn fitting<T>(
    connection: &Connection,
    filter: &LogFilter,
    make: impl Fn(LogRecord, &[u8], i64) -> rusqlite::Result<T>,
) -> rusqlite::Result<(Vec<T>, i64)> {
    if !schema::has_logs(connection)? {
        return Ok((Vec::new(), 0));
    }
    let newest: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM log", [], |row| row.get(0))?;
    let (conditions, values) = conditions(filter, newest);
    let sql = format!("SELECT data, resource, scope FROM log WHERE {conditions} ORDER BY time DESC, id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let plan = if filter.query.is_empty() { None } else { Some(Plan::new(connection, &filter.query)?) };
    let mut within: HashMap<TraceId, HashSet<SpanId>> = HashMap::new();
    let mut resources: HashMap<i64, Arc<Resource>> = HashMap::new();
    let mut made = Vec::new();
    while made.len() < filter.limit
        && let Some(row) = rows.next()?
    {
        let id = row.get(1)?;
        let resource = match resources.get(&id) {
            Some(resource) => Arc::clone(resource),
            None => {
                let resource = Arc::new(resource_of(connection, id)?);
                resources.insert(id, Arc::clone(&resource));
                resource
            }
        };
        let bytes = row.get_ref(0)?.as_blob()?;
        match otlp::log(bytes, resource, row.get(2)?) {
            Ok(log) => {
                if plan.as_ref().map_or(Ok(true), |plan| is_within(connection, plan, &log, &mut within))? {
                    made.push(make(log, bytes, id)?);
                }
            }
            Err(error) => tracing::warn!(%error, "a stored log record cannot be read"),
        }
    }
    made.reverse();
    Ok((made, newest))
}

/// Whether a record was written in a span that fits; each trace is looked at once.
fn is_within(
    connection: &Connection,
    plan: &Plan,
    log: &LogRecord,
    fitting: &mut HashMap<TraceId, HashSet<SpanId>>,
) -> rusqlite::Result<bool> {
    let Some((trace, span)) = log.trace_id.zip(log.span_id) else { return Ok(false) };
    let of_trace = match fitting.entry(trace) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(search::fitting_spans(connection, plan, trace)?),
    };
    Ok(of_trace.contains(&span))
}

/// Without what cannot be read.
pub(crate) fn resource_of(connection: &Connection, id: i64) -> rusqlite::Result<Resource> {
    Ok(otlp::resource(&resource_bytes(connection, id)?).unwrap_or_default())
}

/// An older Tandem may have removed the resource, as no trace uses it: then it is empty.
fn resource_bytes(connection: &Connection, id: i64) -> rusqlite::Result<Vec<u8>> {
    let mut statement = connection.prepare_cached("SELECT data FROM resource WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?.unwrap_or_default())
}

fn conditions(filter: &LogFilter, newest: i64) -> (String, Vec<Value>) {
    let mut conditions = vec!["1"];
    let mut values = Vec::new();
    if let Some(trace) = &filter.trace {
        conditions.push("trace_id = ?");
        values.push(Value::Blob(trace.0.to_vec()));
    }
    if let Some(service) = &filter.service {
        conditions.push("resource IN (SELECT id FROM resource WHERE service_of(data) = ?)");
        values.push(Value::Text(service.clone()));
    }
    if filter.min_severity > 0 {
        conditions.push("severity >= ?");
        values.push(Value::Integer(filter.min_severity.into()));
    }
    if let Some(since) = filter.since_unix_nano {
        conditions.push("time >= ?");
        values.push(Value::Integer(i64::try_from(since).unwrap_or(i64::MAX)));
    }
    // Numbers begin again when the table was emptied.
    if let Some(after) = filter.after.filter(|&after| after <= newest) {
        conditions.push("id > ?");
        values.push(Value::Integer(after));
    }
    (conditions.join(" AND "), values)
}
