//! Who calls whom: services, what they call outside of them, and what is known of each call, from the spans in the store.
//!
//! ```text
//! GET /api/map?since=…      {"nodes": [node …], "edges": [edge …], "traces": n, "from_ms": …, "to_ms": …}
//! ```
//!
//! The filters are those of `/api/traces`. A span whose parent is another service's is a call between them; a client's span
//! that none answers is a call of something outside, which is named by what the span says of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use model::{Kind, Span, SpanId, StatusCode, Value};
use serde::Serialize;
use store::{Reader, Trace, TraceFilter};

use crate::api::{ApiError, ask, filter};

/// Traces that are looked at, the newest.
const MOST_TRACES: usize = 5000;
/// Spans of theirs.
const MOST_SPANS: u64 = 200_000;
/// More nodes nobody can look at: of those outside the rarest are left out.
const MOST_OUTSIDE: usize = 60;

#[derive(Serialize)]
pub struct Map {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    traces: usize,
    from_ms: u64,
    to_ms: u64,
}

/// A service, or something outside.
#[derive(Serialize)]
struct Node {
    name: String,
    /// `service`, or `database`, `messaging`, `rpc`, `http`, `outside` of what has no spans of its own.
    kind: &'static str,
    /// Requests that it answered.
    requests: Figures,
    spans: u64,
    /// Spans by where they come from.
    sources: BTreeMap<&'static str, u64>,
    /// Its requests' time by part of the anatomy, ns.
    parts_ns: BTreeMap<String, u64>,
    /// Of its programs.
    language: Option<String>,
    version: Option<String>,
}

#[derive(Serialize)]
struct Edge {
    from: String,
    to: String,
    /// `http`, `grpc`, `postgresql` …
    protocol: String,
    calls: Figures,
}

#[derive(Default, Serialize)]
struct Figures {
    count: usize,
    errors: usize,
    p50_ns: u64,
    p95_ns: u64,
    #[serde(skip)]
    durations: Vec<u64>,
}

impl Figures {
    fn add(&mut self, span: &Span) {
        self.count += 1;
        self.errors += usize::from(span.status.code == StatusCode::Error);
        self.durations.push(span.duration_ns);
    }

    fn finish(&mut self) {
        self.durations.sort_unstable();
        let quantile = |at: f64| {
            let index = ((self.durations.len() as f64 * at) as usize).min(self.durations.len().saturating_sub(1));
            self.durations.get(index).copied().unwrap_or(0)
        };
        (self.p50_ns, self.p95_ns) = (quantile(0.5), quantile(0.95));
    }
}

/// `GET /api/map`
pub async fn map(
    State(reader): State<Arc<Reader>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Map>, ApiError> {
    let filter = TraceFilter { limit: MOST_TRACES, ..filter(parameters).map_err(ApiError::BadRequest)? };
    let traces = ask(reader, move |reader| reader.whole_traces(&filter, MOST_SPANS).map_err(ApiError::Store)).await?;
    Ok(Json(Drawn::of(&traces)))
}

#[derive(Default)]
struct Drawn {
    nodes: BTreeMap<String, Node>,
    edges: BTreeMap<(String, String, String), Figures>,
}

impl Drawn {
    fn of(traces: &[Trace]) -> Map {
        let mut drawn = Self::default();
        traces.iter().for_each(|trace| drawn.trace(&trace.spans));
        let starts = || traces.iter().map(|trace| trace.summary.start_unix_nano / 1_000_000);
        let ends = traces
            .iter()
            .map(|trace| trace.summary.start_unix_nano.saturating_add(trace.summary.duration_ns) / 1_000_000);
        let (from_ms, to_ms) = (starts().min().unwrap_or(0), ends.max().unwrap_or(0));
        drawn.leave_out_rare();
        let finished = |mut figures: Figures| {
            figures.finish();
            figures
        };
        Map {
            nodes: drawn.nodes.into_values().map(|node| Node { requests: finished(node.requests), ..node }).collect(),
            edges: drawn
                .edges
                .into_iter()
                .map(|((from, to, protocol), calls)| Edge { from, to, protocol, calls: finished(calls) })
                .collect(),
            traces: traces.len(),
            from_ms,
            to_ms,
        }
    }

    fn trace(&mut self, spans: &[Span]) {
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|span| (span.span_id, span)).collect();
        let parent = |span: &Span| span.parent_span_id.and_then(|id| by_id.get(&id).copied());
        let mut answered: HashSet<SpanId> = HashSet::new();
        for span in spans {
            let above = parent(span);
            self.service(span, above.is_none_or(|above| above.service != span.service));
            if let Some(above) = above.filter(|above| above.service != span.service) {
                answered.insert(above.span_id);
                // A client's span lasts as long as the caller had to wait.
                let call = if above.kind == Kind::Client { above } else { span };
                let key = (above.service.clone(), span.service.clone(), protocol(above, span));
                self.edges.entry(key).or_default().add(call);
            }
        }
        let asks = |span: &&Span| matches!(span.kind, Kind::Client | Kind::Producer);
        // What has a client's span below it is told by that one.
        answered.extend(spans.iter().filter(asks).filter_map(|span| span.parent_span_id));
        for span in spans.iter().filter(asks).filter(|span| !answered.contains(&span.span_id)) {
            let (kind, name, protocol) = outside(span);
            self.nodes.entry(name.clone()).or_insert_with(|| Node::new(&name, kind)).requests.add(span);
            self.edges.entry((span.service.clone(), name, protocol)).or_default().add(span);
        }
    }

    fn service(&mut self, span: &Span, entry: bool) {
        let node = self.nodes.entry(span.service.clone()).or_insert_with(|| Node::new(&span.service, "service"));
        node.spans += 1;
        *node.sources.entry(span.source.name()).or_default() += 1;
        let said = |key: &str| span.resource.attributes.get(key).map(Value::to_string);
        node.language = node.language.take().or_else(|| said("telemetry.sdk.language"));
        node.version = node.version.take().or_else(|| said("service.version"));
        if entry {
            node.requests.add(span);
            for (part, nanos) in span.anatomy.iter().flat_map(|anatomy| &anatomy.parts_ns) {
                let sum = node.parts_ns.entry(part.clone()).or_default();
                *sum = sum.saturating_add(*nanos);
            }
        }
    }

    fn leave_out_rare(&mut self) {
        let mut outside: Vec<(usize, String)> = self
            .nodes
            .values()
            .filter(|node| node.kind != "service")
            .map(|node| (node.requests.count, node.name.clone()))
            .collect();
        outside.sort_by(|a, b| b.cmp(a));
        for (_, name) in outside.into_iter().skip(MOST_OUTSIDE) {
            self.nodes.remove(&name);
            self.edges.retain(|(_, to, _), _| *to != name);
        }
    }
}

impl Node {
    fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            requests: Figures::default(),
            spans: 0,
            sources: BTreeMap::new(),
            parts_ns: BTreeMap::new(),
            language: None,
            version: None,
        }
    }
}

fn said(span: &Span, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| span.attributes.get(*key)).map(Value::to_string)
}

/// How the caller and the called talk.
fn protocol(caller: &Span, called: &Span) -> String {
    let keys = ["rpc.system.name", "rpc.system", "messaging.system", "db.system.name"];
    let named = said(caller, &keys).or_else(|| said(called, &keys));
    let http = || said(called, &["http.request.method"]).or_else(|| said(caller, &["http.request.method"]));
    named.or_else(|| http().map(|_| "http".to_owned())).unwrap_or_default()
}

/// What an unanswered call asks: its kind, its name, and how.
fn outside(span: &Span) -> (&'static str, String, String) {
    let address = said(span, &["server.address", "network.peer.address"]);
    let named = |system: &str| match said(span, &["db.namespace", "messaging.destination.name"]).or(address.clone()) {
        Some(name) => format!("{system} {name}"),
        None => system.to_owned(),
    };
    if let Some(system) = said(span, &["db.system.name", "db.system"]) {
        return ("database", named(&system), system);
    }
    if let Some(system) = said(span, &["messaging.system"]) {
        return ("messaging", named(&system), system);
    }
    if let Some(system) = said(span, &["rpc.system.name", "rpc.system"]) {
        let name = address.clone().or_else(|| said(span, &["rpc.service"])).unwrap_or_else(|| span.name.clone());
        return ("rpc", name, system);
    }
    let name = address.clone().unwrap_or_else(|| span.name.clone());
    match said(span, &["http.request.method"]) {
        Some(_) => ("http", name, "http".to_owned()),
        None => ("outside", name, String::new()),
    }
}
