//! Samples of stacks as a tree of calls, for a flame graph, and as the packages and functions that a service consists of.
//!
//! ```text
//! GET /api/flame?kind=cpu|off_cpu&trace=ID&span=ID&route=&service=&since=
//!     {"value_ns": …, "samples": n, "in_spans_ns": …, "calls": [{"function": …, "file": …, "line": n, "value_ns": …, "calls": […]} …]}
//! ```
//!
//! Calls that took less than [`LEAST_SHARE`] of all are left out: nobody could see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query as Parameters, State};
use model::{Frame, ProfileKind, SpanId, TraceId, parse_duration};
use query::{Query, Term};
use serde::{Deserialize, Serialize};
use store::{ProfileFilter, Reader, StoredSample};

use crate::api::{ApiError, ask};

/// Samples that are looked at, the newest.
const MOST_SAMPLES: usize = 200_000;
/// Calls with a smaller share of the time are left out.
const LEAST_SHARE: f64 = 0.0005;
/// Deeper calls are left out.
const DEEPEST: usize = 200;

#[derive(Deserialize)]
pub struct Asked {
    kind: Option<String>,
    trace: Option<String>,
    span: Option<String>,
    route: Option<String>,
    service: Option<String>,
    since: Option<String>,
}

#[derive(Serialize)]
pub struct Flame {
    value_ns: u64,
    samples: usize,
    /// Of the time, that within spans.
    in_spans_ns: u64,
    calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    function: String,
    file: String,
    /// The line of the function's beginning.
    line: u32,
    value_ns: u64,
    calls: Vec<Call>,
}

/// `GET /api/flame`
pub async fn flame(
    State(reader): State<Arc<Reader>>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Flame>, ApiError> {
    let filter = asked.filter().map_err(ApiError::BadRequest)?;
    let samples = ask(reader, move |reader| reader.profile(&filter).map_err(ApiError::Store)).await?;
    Ok(Json(burn(&samples)))
}

impl Asked {
    fn filter(self) -> Result<ProfileFilter, String> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let kind = match given(self.kind).as_deref() {
            None => ProfileKind::Cpu,
            Some(name) => {
                ProfileKind::of_name(name).ok_or_else(|| format!("kind: {name} is neither cpu nor off_cpu"))?
            }
        };
        let since = given(self.since).map(|text| {
            let duration =
                parse_duration(&text).ok_or_else(|| format!("since: {text} is not a duration: write 10m or 2h"))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            Ok::<u64, String>(now.saturating_sub(duration))
        });
        let trace = given(self.trace)
            .map(|text| TraceId::parse(&text).ok_or_else(|| format!("trace: {text} is not a trace's id")));
        let span =
            given(self.span).map(|text| SpanId::parse(&text).ok_or_else(|| format!("span: {text} is not a span's id")));
        Ok(ProfileFilter {
            kind: Some(kind),
            trace: trace.transpose()?,
            span: span.transpose()?,
            query: given(self.route).map(|route| Query::from(Term::contains(route))).unwrap_or_default(),
            service: given(self.service),
            since_unix_nano: since.transpose()?,
            with_operations: false,
            limit: MOST_SAMPLES,
        })
    }
}

/// A function, called by the one above it.
#[derive(Default)]
struct Node<'a> {
    value_ns: u64,
    frame: Option<&'a Frame>,
    callees: BTreeMap<&'a str, Node<'a>>,
}

fn burn(samples: &[StoredSample]) -> Flame {
    let mut root = Node::default();
    let mut in_spans_ns = 0;
    for stored in samples {
        let value = stored.sample.value_ns;
        root.value_ns += value;
        in_spans_ns += if stored.sample.span_id.is_some() { value } else { 0 };
        let mut node = &mut root;
        for frame in stored.sample.stack.iter().rev().take(DEEPEST) {
            node = node.callees.entry(frame.function.as_str()).or_default();
            node.frame = Some(frame);
            node.value_ns += value;
        }
    }
    let least = (root.value_ns as f64 * LEAST_SHARE) as u64;
    Flame { value_ns: root.value_ns, samples: samples.len(), in_spans_ns, calls: root.calls(least) }
}

impl Node<'_> {
    /// The largest first.
    fn calls(&self, least: u64) -> Vec<Call> {
        let mut calls: Vec<Call> = self
            .callees
            .iter()
            .filter(|(_, node)| node.value_ns > least)
            .map(|(function, node)| Call {
                function: (*function).to_owned(),
                file: node.frame.map(|frame| frame.file.clone()).unwrap_or_default(),
                line: node.frame.map_or(0, |frame| frame.start_line),
                value_ns: node.value_ns,
                calls: node.calls(least),
            })
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.value_ns));
        calls
    }
}
