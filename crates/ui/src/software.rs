//! The software itself at work: packages, functions and source lines of services, with the time that was spent in them.
//!
//! ```text
//! GET /api/software?by=spans|stacks&service=&since=…
//!     {"lines": [{"service", "package", "function", "file", "line", "calls", "time_ns", "parts_ns"} …], "of": n}
//! ```
//!
//! The filters are those of `/api/traces`; of stacks only `service` and the time count. By spans, a line is where a span was made,
//! its time that of the span without what is below it, its calls the spans, `of` the traces that were looked at. By stacks (of programs that were profiled), a line is what
//! ran or waited itself, its calls are samples, `of` all of them; the parts are `on_cpu` and `off_cpu`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use model::{ProfileKind, Span, SpanId, Value};
use serde::Serialize;
use store::{ProfileFilter, Reader, StoredSample, TraceFilter};

use crate::api::{ApiError, ask, filter};

/// Traces that are looked at, the newest.
const MOST_TRACES: usize = 5000;
/// Spans of theirs.
const MOST_SPANS: u64 = 200_000;
/// Samples of stacks, of either kind.
const MOST_SAMPLES: usize = 200_000;
/// Lines that are told, those with the most time.
const MOST_LINES: usize = 5000;

#[derive(Serialize)]
pub struct Software {
    lines: Vec<Line>,
    of: usize,
}

/// Where time was spent.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct Place {
    service: String,
    package: String,
    function: String,
    file: String,
    /// 0 where it is not known.
    line: u32,
}

#[derive(Default, Serialize)]
struct Sum {
    calls: u64,
    time_ns: u64,
    parts_ns: BTreeMap<String, u64>,
}

impl Sum {
    fn add(&mut self, time_ns: u64, parts: impl IntoIterator<Item = (String, u64)>) {
        self.calls += 1;
        self.time_ns = self.time_ns.saturating_add(time_ns);
        for (part, nanos) in parts {
            let sum = self.parts_ns.entry(part).or_default();
            *sum = sum.saturating_add(nanos);
        }
    }
}

/// `GET /api/software`
pub async fn software(
    State(reader): State<Arc<Reader>>,
    Query(mut parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Software>, ApiError> {
    let by = parameters.extract_if(.., |(name, _)| name == "by").last().map(|(_, value)| value).unwrap_or_default();
    let service = parameters.iter().find(|(name, value)| name == "service" && !value.is_empty());
    let service = service.map(|(_, value)| value.clone());
    let filter = filter(parameters)?;
    let software = ask(reader, move |reader| match by.as_str() {
        "" | "spans" => of_spans(reader, filter, service.as_deref()),
        "stacks" => of_stacks(reader, &filter, service),
        other => Err(ApiError::BadRequest(format!("by: {other} is neither spans nor stacks"))),
    });
    Ok(Json(software.await?))
}

fn of_spans(reader: &Reader, filter: TraceFilter, service: Option<&str>) -> Result<Software, ApiError> {
    let filter = TraceFilter { limit: MOST_TRACES, ..filter };
    let traces = reader.whole_traces(&filter, MOST_SPANS).map_err(ApiError::Store)?;
    let mut sums: HashMap<Place, Sum> = HashMap::new();
    for trace in &traces {
        let mut children: HashMap<SpanId, Vec<&Span>> = HashMap::new();
        for span in &trace.spans {
            if let Some(parent) = span.parent_span_id {
                children.entry(parent).or_default().push(span);
            }
        }
        for span in trace.spans.iter().filter(|span| service.is_none_or(|service| span.service == service)) {
            let below = children.get(&span.span_id).map_or(&[][..], Vec::as_slice);
            let own_ns = own_time(span, below);
            sums.entry(Place::of_span(span)).or_default().add(own_ns, own_parts(span, below, own_ns));
        }
    }
    Ok(Software { lines: lines(sums), of: traces.len() })
}

fn of_stacks(reader: &Reader, filter: &TraceFilter, service: Option<String>) -> Result<Software, ApiError> {
    let mut sums: HashMap<Place, Sum> = HashMap::new();
    let mut all = 0;
    for (kind, part) in [(ProfileKind::Cpu, "on_cpu"), (ProfileKind::OffCpu, "off_cpu")] {
        let samples = ProfileFilter {
            kind: Some(kind),
            service: service.clone(),
            since_unix_nano: filter.since_unix_nano,
            limit: MOST_SAMPLES,
            ..ProfileFilter::default()
        };
        for stored in reader.profile(&samples).map_err(ApiError::Store)? {
            let Some(place) = Place::of_stack(&stored) else { continue };
            let value_ns = stored.sample.value_ns;
            all += 1;
            sums.entry(place).or_default().add(value_ns, [(part.to_owned(), value_ns)]);
        }
    }
    Ok(Software { lines: lines(sums), of: all })
}

fn lines(sums: HashMap<Place, Sum>) -> Vec<Line> {
    let mut lines: Vec<Line> = sums.into_iter().map(|(place, sum)| Line { place, sum }).collect();
    lines.sort_by(|a, b| b.sum.time_ns.cmp(&a.sum.time_ns).then_with(|| a.place.cmp(&b.place)));
    lines.truncate(MOST_LINES);
    lines
}

impl Place {
    /// Where a span says that it was made; one that does not is of the library that made it, its operation stands for a function.
    fn of_span(span: &Span) -> Self {
        let text = |key: &str| span.attributes.get(key).map(Value::to_string);
        let function = text("code.function.name");
        let package = match &function {
            Some(function) => package_of(function).to_owned(),
            None if span.scope.is_empty() => "(no name)".to_owned(),
            None => span.scope.strip_prefix("tandem/").unwrap_or(&span.scope).to_owned(),
        };
        Self {
            service: span.service.clone(),
            package,
            function: function.unwrap_or_else(|| span.name.clone()),
            file: text("code.file.path").unwrap_or_default(),
            line: text("code.line.number").and_then(|line| line.parse().ok()).unwrap_or(0),
        }
    }

    fn of_stack(stored: &StoredSample) -> Option<Self> {
        let frame = stored.sample.stack.first()?;
        Some(Self {
            service: stored.service.to_string(),
            package: package_of(&frame.function).to_owned(),
            function: frame.function.clone(),
            file: frame.file.clone(),
            line: frame.line,
        })
    }
}

/// `net/http` of `net/http.(*conn).serve`; what is in brackets is no Go: all of the kernel is one.
fn package_of(function: &str) -> &str {
    if function.starts_with('[') {
        return if function.starts_with("[kernel") { "[kernel]" } else { function };
    }
    let last = function.rfind('/').map_or(0, |slash| slash + 1);
    function[last..].find('.').map_or(function, |dot| &function[..last + dot])
}

/// A span's time without that in which one of those below it was running.
fn own_time(span: &Span, below: &[&Span]) -> u64 {
    let end = |span: &Span| span.start_unix_nano.saturating_add(span.duration_ns);
    let mut covered: Vec<(u64, u64)> = below
        .iter()
        .map(|child| (child.start_unix_nano.max(span.start_unix_nano), end(child).min(end(span))))
        .collect();
    covered.sort_unstable();
    let (mut own, mut cursor) = (0, span.start_unix_nano);
    for (from, to) in covered {
        own += from.saturating_sub(cursor);
        cursor = cursor.max(to);
    }
    own + end(span).saturating_sub(cursor)
}

/// A span's anatomy without that of those below it in the same service, at most its own time.
fn own_parts(span: &Span, below: &[&Span], own_ns: u64) -> Vec<(String, u64)> {
    let Some(anatomy) = &span.anatomy else { return Vec::new() };
    let inside = |part: &str| {
        let same = below.iter().filter(|child| child.service == span.service);
        same.filter_map(|child| child.anatomy.as_ref()?.parts_ns.get(part))
            .fold(0, |sum: u64, nanos| sum.saturating_add(*nanos))
    };
    let own: Vec<(&String, u64)> =
        anatomy.parts_ns.iter().map(|(part, nanos)| (part, nanos.saturating_sub(inside(part)))).collect();
    let sum: u128 = own.iter().map(|(_, nanos)| u128::from(*nanos)).sum();
    let fits = |nanos: u64| {
        if sum > u128::from(own_ns) { (u128::from(nanos) * u128::from(own_ns) / sum) as u64 } else { nanos }
    };
    own.into_iter().map(|(part, nanos)| (part.clone(), fits(nanos))).filter(|(_, nanos)| *nanos > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_say_their_packages() {
        for (function, package) in [
            ("net/http.(*conn).serve", "net/http"),
            ("github.com/acme/shop/cart.(*Cart).Add", "github.com/acme/shop/cart"),
            ("main.main", "main"),
            ("gopkg.in/yaml%2ev3.Marshal", "gopkg.in/yaml%2ev3"),
            ("[kernel: write]", "[kernel]"),
            ("[libc.so.6]", "[libc.so.6]"),
            ("alone", "alone"),
        ] {
            assert_eq!(package_of(function), package, "{function}");
        }
    }
}
