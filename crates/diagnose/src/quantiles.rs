//! Where the time of a route's requests goes: of those in the middle, and of the slow ones beside them.
//!
//! A quantile is told by the requests around it, not by a single one, so that chance does not decide what is shown. The
//! pieces of a quantile add up to the mean duration of its requests.

use std::collections::{BTreeMap, HashMap};

use model::{Placed, Span, SpanId, StatusCode, TraceId};
use serde::{Deserialize, Serialize};

use crate::cause::CauseKind;
use crate::compare::requests;
use crate::path::{Pieces, Standstills, Tree, divide};
use crate::{Facts, Question};

/// The quantiles that are told.
pub const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
/// So large a share of the requests stands for a quantile, those around it.
const AROUND: usize = 20;

/// Where the time of a route's requests goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTime {
    /// Who serves the requests.
    pub service: String,
    /// Their name.
    pub operation: String,
    /// How many there are.
    pub requests: usize,
    /// Those that failed.
    pub failed: usize,
    /// When the first began, ns since 1970.
    pub first_unix_nano: u64,
    /// When the last began, ns since 1970.
    pub last_unix_nano: u64,
    /// One for each of [`QUANTILES`].
    pub quantiles: Vec<Quantile>,
}

/// Where the time of the requests around a quantile goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// Which one, 0 to 1.
    pub at: f64,
    /// The duration there, ns.
    pub duration_ns: u64,
    /// Requests that stand for it.
    pub requests: usize,
    /// The one that is nearest to it.
    pub example: TraceId,
    /// Their time, the largest first.
    pub pieces: Vec<Piece>,
}

/// A part of an operation's time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The service whose time it is.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// The part of the anatomy.
    pub part: String,
    /// What it means.
    pub kind: CauseKind,
    /// Time, ns: the mean.
    pub time_ns: u64,
    /// Calls of the operation on the critical path, on average.
    pub calls: f64,
}

struct Request<'a> {
    span: &'a Span,
    pieces: Pieces<'a>,
}

/// Tells of each route that the question is about, those with the most time first. [`Question::split`] is not looked at.
pub fn route_times(facts: Facts<'_>, question: &Question) -> Vec<RouteTime> {
    let standstills = Standstills::new(facts.traces);
    let mut routes: BTreeMap<(&str, &str), Vec<Request<'_>>> = BTreeMap::new();
    for trace in facts.traces {
        let tree = Tree::new(trace);
        for span in requests(trace, question) {
            let pieces = divide(span, &tree, &standstills);
            routes.entry((&span.service, &span.name)).or_default().push(Request { span, pieces });
        }
    }
    let mut times: Vec<(u128, RouteTime)> = routes.into_values().map(route_time).collect();
    times.sort_by_key(|(sum, time)| std::cmp::Reverse((*sum, time.requests)));
    times.into_iter().map(|(_, time)| time).collect()
}

/// The route's time, and that of all of its requests together.
fn route_time(mut requests: Vec<Request<'_>>) -> (u128, RouteTime) {
    requests.sort_by_key(|request| (request.span.duration_ns, request.span.span_id));
    let starts = || requests.iter().map(|request| request.span.start_unix_nano);
    let time = RouteTime {
        service: requests[0].span.service.clone(),
        operation: requests[0].span.name.clone(),
        requests: requests.len(),
        failed: requests.iter().filter(|request| request.span.status.code == StatusCode::Error).count(),
        first_unix_nano: starts().min().unwrap_or(0),
        last_unix_nano: starts().max().unwrap_or(0),
        quantiles: QUANTILES.map(|at| quantile(&requests, at)).to_vec(),
    };
    (requests.iter().map(|request| u128::from(request.span.duration_ns)).sum(), time)
}

/// `requests` are sorted by duration, and there is one.
fn quantile(requests: &[Request<'_>], at: f64) -> Quantile {
    let count = requests.len();
    let index = ((count as f64 * at) as usize).min(count - 1);
    let width = (count / AROUND).max(1);
    let first = index.saturating_sub(width / 2).min(count - width);
    let around = &requests[first..first + width];
    let mut sums: HashMap<_, u64> = HashMap::new();
    for request in around {
        for (key, time) in &request.pieces.parts {
            let sum = sums.entry(*key).or_default();
            *sum = sum.saturating_add(*time);
        }
    }
    let calls = |service: &str, operation: &str| {
        let of = |request: &Request<'_>| request.pieces.calls.get(&(service, operation)).map_or(0, |calls| calls.count);
        around.iter().map(|request| f64::from(of(request))).sum::<f64>() / width as f64
    };
    let mut pieces: Vec<Piece> = sums
        .into_iter()
        .map(|((key, part), sum)| Piece {
            service: key.service.to_owned(),
            operation: key.operation.to_owned(),
            part: part.to_owned(),
            kind: key.kind,
            time_ns: sum / width as u64,
            calls: calls(key.service, key.operation),
        })
        .collect();
    pieces.sort_by(|a, b| {
        let names = |piece: &Piece| (piece.service.clone(), piece.operation.clone(), piece.part.clone());
        b.time_ns.cmp(&a.time_ns).then_with(|| names(a).cmp(&names(b)))
    });
    let example = requests[index].span.trace_id;
    Quantile { at, duration_ns: requests[index].span.duration_ns, requests: width, example, pieces }
}

/// For each span on the critical path of a trace, when its time there was its own, ns since 1970, the last first. A trace
/// whose root is missing has a path for each span that has no parent.
pub fn critical_path<S: Placed>(trace: &[S]) -> HashMap<SpanId, Vec<(u64, u64)>> {
    let tree = Tree::new(trace);
    let known: std::collections::HashSet<SpanId> = trace.iter().map(Placed::span_id).collect();
    let mut found = HashMap::new();
    let is_root = |span: &&S| span.parent_span_id().is_none_or(|parent| !known.contains(&parent));
    let mut roots: Vec<&S> = trace.iter().filter(is_root).collect();
    roots.sort_by_key(|span| std::cmp::Reverse((span.end_unix_nano(), span.duration_ns(), span.span_id())));
    for root in roots {
        tree.follow(root, &mut |stretch| {
            if !stretch.own.is_empty() {
                found.entry(stretch.span.span_id()).or_insert_with(|| stretch.own.to_vec());
            }
        });
    }
    found
}
