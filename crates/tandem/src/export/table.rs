//! Comma-separated values: a line a span, its anatomy in columns, its attributes as one JSON object. Or a line a log record, in
//! the columns of `tandem sql`.

use std::io::Write;

use model::{LogRecord, Span, TraceId, Value};
use record::layout::PARTS;
use store::Reader;

const COLUMNS: [&str; 14] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "route",
    "kind",
    "status",
    "start_unix_nano",
    "duration_ns",
    "scope",
    "source",
    "attributes",
    "resource",
];

/// Writes the spans of traces.
pub fn write(out: &mut dyn Write, reader: &Reader, traces: &[TraceId]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    let parts = PARTS.iter().map(|part| format!("{part}_ns"));
    table.write_record(COLUMNS.iter().map(|column| (*column).to_owned()).chain(parts))?;
    for trace in traces {
        for span in reader.trace(*trace)?.into_iter().flat_map(|trace| trace.spans) {
            table.write_record(line(&span)?)?;
        }
    }
    Ok(table.flush()?)
}

const LOG_COLUMNS: [&str; 11] = [
    "time_unix_nano",
    "severity_number",
    "severity_text",
    "event_name",
    "body",
    "service",
    "trace_id",
    "span_id",
    "scope",
    "attributes",
    "resource",
];

/// Writes log records.
pub fn write_logs(out: &mut dyn Write, logs: &[LogRecord]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(LOG_COLUMNS)?;
    for log in logs {
        table.write_record([
            log.time_unix_nano.to_string(),
            log.severity_number.to_string(),
            log.severity_text.clone(),
            log.event_name.clone(),
            match &log.body {
                Value::String(text) => text.clone(),
                other => serde_json::to_string(other)?,
            },
            log.service.clone(),
            log.trace_id.map(|id| id.to_string()).unwrap_or_default(),
            log.span_id.map(|id| id.to_string()).unwrap_or_default(),
            log.scope.clone(),
            serde_json::to_string(&log.attributes)?,
            serde_json::to_string(&log.resource.attributes)?,
        ])?;
    }
    Ok(table.flush()?)
}

fn line(span: &Span) -> anyhow::Result<Vec<String>> {
    let route = match span.attributes.get("http.route") {
        Some(Value::String(route)) => route.clone(),
        _ => String::new(),
    };
    let mut line = vec![
        span.trace_id.to_string(),
        span.span_id.to_string(),
        span.parent_span_id.map(|id| id.to_string()).unwrap_or_default(),
        span.service.clone(),
        span.name.clone(),
        route,
        span.kind.name().to_owned(),
        span.status.code.name().to_owned(),
        span.start_unix_nano.to_string(),
        span.duration_ns.to_string(),
        span.scope.clone(),
        span.source.name().to_owned(),
        serde_json::to_string(&span.attributes)?,
        serde_json::to_string(&span.resource.attributes)?,
    ];
    let of_part = |part| span.anatomy.as_ref().and_then(|anatomy| anatomy.parts_ns.get(part));
    line.extend(PARTS.iter().map(|part| of_part(*part).map(u64::to_string).unwrap_or_default()));
    Ok(line)
}
