//! Comma-separated values: a line a span, its anatomy in columns, its attributes as one JSON object.

use std::io::Write;

use model::{Span, TraceId, Value};
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
