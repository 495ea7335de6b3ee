//! One trace as the page draws it: columns instead of objects, so that 50,000 spans are few megabytes and are read at once.
//! All there is to say about a span is asked for when somebody selects it.
//!
//! ```text
//! GET /api/traces/ID/drawing      {"summary": …, "rows": {column: [value of each row …] …}, "critical": [row, from, to …], …}
//! GET /api/traces/ID/spans/SPAN   {"span": …, "resource": attributes}
//! GET /api/traces/ID/logs         {"logs": [record …]}
//! ```

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use model::{Attributes, Kind, LogRecord, Node, Source, Span, SpanId, StatusCode, TraceId, TraceSummary, Tree};
use serde::Serialize;
use store::{LogFilter, Reader, Trace};

use crate::api::{ApiError, ask, whole};

/// Log records of a trace that are shown, the newest of more.
const MOST_LOGS: usize = 2000;

/// A trace as rows.
#[derive(Serialize)]
pub struct Drawing {
    summary: TraceSummary,
    /// The summary's, as text: JavaScript's numbers cannot hold it.
    start_unix_nano: String,
    /// Names that [`Rows::name`] counts.
    names: Vec<String>,
    services: Vec<String>,
    scopes: Vec<String>,
    /// How parents were found, where the spans say so.
    parent_sources: Vec<String>,
    /// Parts of the anatomy that [`Rows::anatomy`] counts.
    parts: Vec<String>,
    rows: Rows,
    /// Row, begin, end (ns after the trace's start) of each stretch of the critical path, flat.
    critical: Vec<u64>,
    has_profile: bool,
}

/// A value for each row; times are small enough for JavaScript's numbers.
#[derive(Default, Serialize)]
struct Rows {
    span_id: Vec<SpanId>,
    name: Vec<usize>,
    service: Vec<usize>,
    scope: Vec<usize>,
    kind: Vec<Kind>,
    source: Vec<Source>,
    /// Index into [`Drawing::parent_sources`], or -1.
    parent_source: Vec<i64>,
    /// Row of the parent, or -1.
    parent: Vec<i64>,
    depth: Vec<usize>,
    children: Vec<usize>,
    /// Start, ns after the trace's.
    offset_ns: Vec<u64>,
    duration_ns: Vec<u64>,
    /// [`ERROR`], [`MISSING`], [`UNFINISHED`], added.
    marks: Vec<u8>,
    events: Vec<usize>,
    links: Vec<usize>,
    /// Index of a part, its ns, of the next part …; nothing where not measured.
    anatomy: Vec<Option<Vec<u64>>>,
}

const ERROR: u8 = 1;
const MISSING: u8 = 2;
const UNFINISHED: u8 = 4;

/// Values by the numbers that stand for them.
struct Numbered<T> {
    values: Vec<T>,
    known: HashMap<T, usize>,
}

impl<T: Eq + Hash + Clone> Numbered<T> {
    fn new() -> Self {
        Self { values: Vec::new(), known: HashMap::new() }
    }

    fn of<Q>(&mut self, value: &Q) -> usize
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = T> + ?Sized,
    {
        if let Some(&number) = self.known.get(value) {
            return number;
        }
        self.values.push(value.to_owned());
        self.known.insert(value.to_owned(), self.values.len() - 1);
        self.values.len() - 1
    }
}

/// `GET /api/traces/ID/drawing`
pub async fn drawing(
    State(reader): State<Arc<Reader>>,
    Path(beginning): Path<String>,
) -> Result<Json<Drawing>, ApiError> {
    let drawing = ask(reader, move |reader| {
        let trace = whole(reader, &beginning)?;
        let has_profile = reader.has_profile(trace.summary.trace_id).map_err(ApiError::Store)?;
        Ok(Drawing { has_profile, ..draw(trace) })
    })
    .await?;
    Ok(Json(drawing))
}

fn draw(trace: Trace) -> Drawing {
    let Trace { summary, spans } = trace;
    let tree = Tree::new(&spans);
    let critical = diagnose::critical_path(&spans);
    let (mut names, mut services, mut scopes) = (Numbered::new(), Numbered::new(), Numbered::new());
    let (mut parent_sources, mut parts) = (Numbered::new(), Numbered::new());
    let mut rows = Rows::default();
    let mut stretches = Vec::new();
    for (index, row) in tree.rows.iter().enumerate() {
        rows.parent.push(row.parent.map_or(-1, |parent| parent as i64));
        rows.depth.push(row.depth);
        rows.children.push(row.children);
        rows.offset_ns.push(row.start_unix_nano - tree.start_unix_nano);
        rows.duration_ns.push(row.duration_ns);
        let span = match row.node {
            Node::Span(span) => &spans[span],
            Node::Missing(id) => {
                rows.push_missing(id, names.of(""), services.of(""), scopes.of(""));
                continue;
            }
        };
        let source = span.attributes.get("tandem.parent.source");
        rows.span_id.push(span.span_id);
        rows.name.push(names.of(span.name.as_str()));
        rows.service.push(services.of(span.service.as_str()));
        rows.scope.push(scopes.of(span.scope.as_str()));
        rows.kind.push(span.kind);
        rows.source.push(span.source);
        rows.parent_source.push(source.map_or(-1, |source| parent_sources.of(source.to_string().as_str()) as i64));
        rows.marks.push(marks(span));
        rows.events.push(span.events.len());
        rows.links.push(span.links.len());
        rows.anatomy.push(span.anatomy.as_ref().map(|anatomy| {
            let measured = anatomy.parts_ns.iter().filter(|(_, nanos)| **nanos > 0);
            measured.flat_map(|(part, nanos)| [parts.of(part.as_str()) as u64, *nanos]).collect()
        }));
        for (from, to) in critical.get(&span.span_id).into_iter().flatten() {
            let after = |moment: &u64| moment.saturating_sub(tree.start_unix_nano);
            stretches.extend([index as u64, after(from), after(to)]);
        }
    }
    Drawing {
        start_unix_nano: tree.start_unix_nano.to_string(),
        summary,
        names: names.values,
        services: services.values,
        scopes: scopes.values,
        parent_sources: parent_sources.values,
        parts: parts.values,
        rows,
        critical: stretches,
        has_profile: false,
    }
}

impl Rows {
    fn push_missing(&mut self, id: SpanId, name: usize, service: usize, scope: usize) {
        self.span_id.push(id);
        self.name.push(name);
        self.service.push(service);
        self.scope.push(scope);
        self.kind.push(Kind::Internal);
        self.source.push(Source::Woven);
        self.parent_source.push(-1);
        self.marks.push(MISSING);
        self.events.push(0);
        self.links.push(0);
        self.anatomy.push(None);
    }
}

fn marks(span: &Span) -> u8 {
    let error = if span.status.code == StatusCode::Error { ERROR } else { 0 };
    error | if span.unfinished { UNFINISHED } else { 0 }
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
