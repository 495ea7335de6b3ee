//! One trace as the page draws it: columns instead of objects (`columns.rs`), so that 50,000 spans are few megabytes that nobody has
//! to parse. All there is to say about a span is asked for when somebody selects it.
//!
//! ```text
//! GET /api/traces/ID/drawing      columns with {"summary": …, "names": […] …}
//! GET /api/traces/ID/spans/SPAN   {"span": …, "resource": attributes}
//! GET /api/traces/ID/logs         {"logs": [record …]}
//! ```

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use model::{Attributes, Kind, LogRecord, Node, Row, Source, Span, SpanId, TraceId, TraceSummary, Tree};
use serde::Serialize;
use store::{LogFilter, Outline, OutlineSpan, Reader};

use crate::api::{ApiError, ask, one, whole};
use crate::columns::{Columns, Packed};

/// Log records of a trace that are shown, the newest of more.
const MOST_LOGS: usize = 2000;

/// What is said of a trace besides its columns.
#[derive(Serialize)]
struct Head {
    summary: TraceSummary,
    /// The summary's, as text: JavaScript's numbers cannot hold it.
    start_unix_nano: String,
    /// What columns of these names count.
    names: Vec<String>,
    services: Vec<String>,
    scopes: Vec<String>,
    kinds: [&'static str; KINDS.len()],
    sources: [&'static str; Source::ALL.len()],
    /// How parents were found, where the spans say so.
    parent_sources: Vec<String>,
    /// Parts of the anatomy.
    parts: Vec<String>,
    has_profile: bool,
}

/// In the order of their numbers in the column.
const KINDS: [Kind; 5] = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];

/// What a row is marked with, added.
const ERROR: u8 = 1;
const MISSING: u8 = 2;
const UNFINISHED: u8 = 4;
const MEASURED: u8 = 8;

/// `GET /api/traces/ID/drawing`
pub async fn drawing(State(reader): State<Arc<Reader>>, Path(beginning): Path<String>) -> Result<Packed, ApiError> {
    ask(reader, move |reader| {
        let outline = one(reader, &beginning, Reader::outline)?;
        let has_profile = reader.has_profile(outline.summary.trace_id).map_err(ApiError::Store)?;
        draw(outline, has_profile).map_err(|_| ApiError::Aborted)
    })
    .await
}

fn draw(outline: Outline, has_profile: bool) -> serde_json::Result<Packed> {
    let tree = Tree::new(&outline.spans);
    let mut columns = Columns::default();
    columns.i32("parent", tree.rows.iter().map(|row| row.parent.map_or(-1, |parent| parent as i32)));
    columns.u32("depth", tree.rows.iter().map(|row| row.depth as u32));
    columns.u32("children", tree.rows.iter().map(|row| row.children as u32));
    columns.f64("offset_ns", tree.rows.iter().map(|row| (row.start_unix_nano - tree.start_unix_nano) as f64));
    columns.f64("duration_ns", tree.rows.iter().map(|row| row.duration_ns as f64));
    add_spans(&mut columns, &outline, &tree.rows);
    add_anatomies(&mut columns, &outline, &tree.rows);
    add_critical_path(&mut columns, &outline, &tree);
    columns.finish(Head {
        start_unix_nano: tree.start_unix_nano.to_string(),
        summary: outline.summary,
        names: outline.names,
        services: outline.services,
        scopes: outline.scopes,
        kinds: KINDS.map(Kind::name),
        sources: Source::ALL.map(Source::name),
        parent_sources: outline.parent_sources,
        parts: outline.parts,
        has_profile,
    })
}

/// The span in a row; nothing, where it is missing.
fn span_of<'a>(outline: &'a Outline, row: &Row) -> Option<&'a OutlineSpan> {
    match row.node {
        Node::Span(span) => Some(&outline.spans[span]),
        Node::Missing(_) => None,
    }
}

fn add_spans(columns: &mut Columns, outline: &Outline, rows: &[Row]) {
    let ids = rows.iter().map(|row| match row.node {
        Node::Span(span) => outline.spans[span].span_id,
        Node::Missing(id) => id,
    });
    columns.u8("span_id", ids.flat_map(|SpanId(bytes)| bytes));
    let number = |of: fn(&OutlineSpan) -> u32| rows.iter().map(move |row| span_of(outline, row).map_or(0, of));
    columns.u32("name", number(|span| span.name));
    columns.u32("service", number(|span| span.service));
    columns.u32("scope", number(|span| span.scope));
    columns.u32("events", number(|span| span.events));
    columns.u32("links", number(|span| span.links));
    let parent_source = |span: &OutlineSpan| span.parent_source.map_or(-1, |source| source as i32);
    columns.i32("parent_source", rows.iter().map(|row| span_of(outline, row).map_or(-1, parent_source)));
    let small =
        |of: fn(&OutlineSpan) -> u8, missing| rows.iter().map(move |row| span_of(outline, row).map_or(missing, of));
    columns.u8("kind", small(|span| place_of(&KINDS, &span.kind), 0));
    columns.u8("source", small(|span| place_of(&Source::ALL, &span.source), 0));
    columns.u8("marks", small(marks, MISSING));
}

fn place_of<T: PartialEq>(list: &[T], wanted: &T) -> u8 {
    list.iter().position(|one| one == wanted).unwrap_or(0) as u8
}

fn marks(span: &OutlineSpan) -> u8 {
    let mark = |is: bool, mark: u8| if is { mark } else { 0 };
    mark(span.failed, ERROR) | mark(span.unfinished, UNFINISHED) | mark(!span.anatomy.is_empty(), MEASURED)
}

/// Parts of the anatomy and their times, all rows' behind each other; those of a row begin where `anatomy_begin` says.
fn add_anatomies(columns: &mut Columns, outline: &Outline, rows: &[Row]) {
    let (mut begins, mut parts, mut times) = (vec![0], Vec::new(), Vec::new());
    for row in rows {
        let range = span_of(outline, row).map_or(0..0, |span| span.anatomy.start as usize..span.anatomy.end as usize);
        for &(part, nanos) in outline.anatomies[range].iter().filter(|(_, nanos)| *nanos > 0) {
            // A program with more parts than that makes them up: they have no name here.
            parts.push(u16::try_from(part).unwrap_or(u16::MAX));
            times.push(nanos as f32);
        }
        begins.push(parts.len() as u32);
    }
    columns.u32("anatomy_begin", begins);
    columns.u16("anatomy_part", parts);
    columns.f32("anatomy_ns", times);
}

/// Row, begin and end (ns after the trace's start) of each stretch of the critical path.
fn add_critical_path(columns: &mut Columns, outline: &Outline, tree: &Tree) {
    let critical = diagnose::critical_path(&outline.spans);
    let stretches: Vec<(u32, u64, u64)> = (0..)
        .zip(&tree.rows)
        .filter_map(|(index, row)| Some((index, critical.get(&span_of(outline, row)?.span_id)?)))
        .flat_map(|(index, stretches)| stretches.iter().map(move |&(from, to)| (index, from, to)))
        .collect();
    let after = |moment: u64| moment.saturating_sub(tree.start_unix_nano) as f64;
    columns.u32("critical_row", stretches.iter().map(|stretch| stretch.0));
    columns.f64("critical_from", stretches.iter().map(|stretch| after(stretch.1)));
    columns.f64("critical_to", stretches.iter().map(|stretch| after(stretch.2)));
}

/// All there is to say about a span.
#[derive(Serialize)]
pub struct WholeSpan {
    span: Span,
    resource: Attributes,
}

/// `GET /api/traces/ID/spans/SPAN`
pub async fn span(
    State(reader): State<Arc<Reader>>,
    Path((trace, span)): Path<(String, String)>,
) -> Result<Json<WholeSpan>, ApiError> {
    let wanted = SpanId::parse(&span).ok_or_else(|| ApiError::BadRequest(format!("{span} is not a span's id")))?;
    let span = ask(reader, move |reader| {
        let spans = whole(reader, &trace)?.spans;
        let found = spans.into_iter().find(|span| span.span_id == wanted);
        found.ok_or_else(|| ApiError::NotFound(format!("the trace has no span {wanted}")))
    })
    .await?;
    let resource = span.resource.attributes.clone();
    Ok(Json(WholeSpan { span, resource }))
}

/// What was logged in a trace.
#[derive(Serialize)]
pub struct Logs {
    logs: Vec<LogRecord>,
}

/// `GET /api/traces/ID/logs`; the id is a whole one.
pub async fn logs(State(reader): State<Arc<Reader>>, Path(id): Path<String>) -> Result<Json<Logs>, ApiError> {
    let trace = TraceId::parse(&id).ok_or_else(|| ApiError::BadRequest(format!("{id} is not a trace's id")))?;
    let filter = LogFilter { trace: Some(trace), limit: MOST_LOGS, ..LogFilter::default() };
    let (logs, _) = ask(reader, move |reader| reader.logs(&filter).map_err(ApiError::Store)).await?;
    Ok(Json(Logs { logs }))
}
