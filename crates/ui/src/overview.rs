//! The traces of a list as a whole: how many of which kind, how long they took, and when. Over the newest [`MOST`] that fit.
//!
//! ```text
//! GET /api/overview?…the filters of /api/traces…
//!     {"traces": n, "errors": n, "more": false, "facets": {"services": [["cart", 7] …], "roots": [["GET /cart", 7] …],
//!      "attributes": [{"key": …, "values": [["200", 7] …]} …], "attributes_of": n},
//!      "durations": [{"from_ns": …, "to_ns": …, "traces": n, "errors": n} …],
//!      "series": {"from_ms": …, "step_ms": …, "steps": [{"traces": n, "errors": n, "p50_ns": …, "p95_ns": …, "p99_ns": …,
//!                 "slowest": {"trace_id": …, "duration_ns": …}, "failed": {…}} …]}}
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use model::{TraceId, TraceSummary};
use serde::Serialize;
use store::{Reader, Trace, TraceFilter};

use crate::api::{ApiError, ask, filter};
use crate::facets::{self, Facet};

/// Traces that are looked at.
const MOST: usize = 10_000;
/// Values of a facet that are told.
const MOST_VALUES: usize = 20;
/// Steps of time, about.
const STEPS: u64 = 60;
/// Steps of time and their sizes that people like, ms.
const STEP_SIZES: [u64; 18] = [
    100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
    10_800_000, 43_200_000, 86_400_000,
];
/// Steps of duration within a power of ten.
const PER_DECADE: f64 = 8.0;

#[derive(Serialize)]
pub struct Overview {
    traces: usize,
    errors: usize,
    /// There are older ones that fit, too.
    more: bool,
    facets: Facets,
    durations: Vec<DurationStep>,
    series: Option<Series>,
}

/// Values with the number of their traces, the most frequent first.
#[derive(Serialize)]
struct Facets {
    services: Vec<(String, usize)>,
    roots: Vec<(String, usize)>,
    attributes: Vec<Facet>,
    /// Traces whose attributes were looked at, the newest.
    attributes_of: usize,
}

#[derive(Serialize)]
struct DurationStep {
    from_ns: u64,
    to_ns: u64,
    traces: usize,
    errors: usize,
}

#[derive(Serialize)]
struct Series {
    from_ms: u64,
    step_ms: u64,
    steps: Vec<TimeStep>,
}

#[derive(Clone, Default, Serialize)]
struct TimeStep {
    traces: usize,
    errors: usize,
    p50_ns: Option<u64>,
    p95_ns: Option<u64>,
    p99_ns: Option<u64>,
    slowest: Option<Exemplar>,
    /// The slowest that failed.
    failed: Option<Exemplar>,
}

/// A trace that a point of a plot opens.
#[derive(Clone, Serialize)]
struct Exemplar {
    trace_id: TraceId,
    duration_ns: u64,
}

/// `GET /api/overview`
pub async fn overview(
    State(reader): State<Arc<Reader>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Overview>, ApiError> {
    let filter = TraceFilter { limit: MOST + 1, ..filter(parameters)? };
    let overview = ask(reader, move |reader| {
        let found = reader.traces(&filter).map_err(ApiError::Store)?;
        let newest = &found[..found.len().min(facets::TRACES)];
        Ok(look(&found, &reader.whole(newest, facets::SPANS).map_err(ApiError::Store)?))
    });
    Ok(Json(overview.await?))
}

fn look(traces: &[TraceSummary], newest: &[Trace]) -> Overview {
    let more = traces.len() > MOST;
    let traces = &traces[..traces.len().min(MOST)];
    Overview {
        traces: traces.len(),
        errors: traces.iter().filter(|trace| trace.error_count > 0).count(),
        more,
        facets: Facets {
            services: counted(traces.iter().flat_map(|trace| trace.services.iter().map(String::as_str))),
            roots: counted(traces.iter().map(|trace| trace.root.as_str())),
            attributes: facets::attributes(newest),
            attributes_of: newest.len(),
        },
        durations: durations(traces),
        series: series(traces),
    }
}

fn counted<'a>(values: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    counts.truncate(MOST_VALUES);
    counts.into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
}

/// How many traces took how long, in steps that grow with the duration.
fn durations(traces: &[TraceSummary]) -> Vec<DurationStep> {
    let step = |duration: u64| (duration.max(1) as f64).log10().mul_add(PER_DECADE, 1e-9).floor() as i32;
    let bound = |step: i32| 10f64.powf(f64::from(step) / PER_DECADE).round() as u64;
    let steps = || traces.iter().map(|trace| step(trace.duration_ns));
    let (Some(first), Some(last)) = (steps().min(), steps().max()) else { return Vec::new() };
    let mut found: Vec<DurationStep> = (first..=last)
        .map(|step| DurationStep { from_ns: bound(step), to_ns: bound(step + 1), traces: 0, errors: 0 })
        .collect();
    for trace in traces {
        let step = &mut found[(step(trace.duration_ns) - first) as usize];
        step.traces += 1;
        step.errors += usize::from(trace.error_count > 0);
    }
    found
}

/// What happened when.
fn series(traces: &[TraceSummary]) -> Option<Series> {
    let millis = |trace: &TraceSummary| trace.start_unix_nano / 1_000_000;
    let (first, last) = (traces.iter().map(millis).min()?, traces.iter().map(millis).max()?);
    let largest = STEP_SIZES[STEP_SIZES.len() - 1];
    let fits = |step: &u64| (last - first) / step < STEPS;
    let step_ms = STEP_SIZES.into_iter().find(fits).unwrap_or(((last - first) / STEPS).next_multiple_of(largest));
    let from_ms = first / step_ms * step_ms;
    let mut by_step: Vec<Vec<&TraceSummary>> = vec![Vec::new(); ((last - from_ms) / step_ms + 1) as usize];
    traces.iter().for_each(|trace| by_step[((millis(trace) - from_ms) / step_ms) as usize].push(trace));
    Some(Series { from_ms, step_ms, steps: by_step.into_iter().map(time_step).collect() })
}

fn time_step(mut traces: Vec<&TraceSummary>) -> TimeStep {
    traces.sort_by_key(|trace| trace.duration_ns);
    let quantile = |at: f64| {
        let index = ((traces.len() as f64 * at) as usize).min(traces.len().saturating_sub(1));
        traces.get(index).map(|trace| trace.duration_ns)
    };
    let exemplar = |trace: &&TraceSummary| Exemplar { trace_id: trace.trace_id, duration_ns: trace.duration_ns };
    let failed = || traces.iter().filter(|trace| trace.error_count > 0);
    TimeStep {
        traces: traces.len(),
        errors: failed().count(),
        p50_ns: quantile(0.5),
        p95_ns: quantile(0.95),
        p99_ns: quantile(0.99),
        slowest: traces.last().map(exemplar),
        failed: failed().next_back().map(exemplar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(second: u64, duration_ns: u64, errors: u64) -> TraceSummary {
        TraceSummary {
            trace_id: TraceId([second as u8; 16]),
            root: "GET /".to_owned(),
            services: vec!["shop".to_owned()],
            span_count: 1,
            error_count: errors,
            start_unix_nano: second * 1_000_000_000,
            duration_ns,
        }
    }

    /// Every trace is in one step of time and in one of duration; a point's exemplars are traces of its step.
    #[test]
    fn every_trace_is_counted_once() {
        let traces: Vec<_> = (0..120).map(|second| trace(second, second * 997 + 1, second % 10 / 9)).collect();
        let found = look(&traces, &[]);
        assert_eq!(found.durations.iter().map(|step| step.traces).sum::<usize>(), 120);
        assert!(found.durations.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns));
        let series = found.series.expect("there are traces");
        assert_eq!((series.from_ms, series.step_ms, series.steps.len()), (0, 2000, 60));
        assert_eq!(series.steps.iter().map(|step| step.traces).sum::<usize>(), 120);
        assert_eq!((found.errors, series.steps[4].errors), (12, 1));
        assert_eq!(series.steps[4].failed.as_ref().map(|failed| failed.trace_id), Some(TraceId([9; 16])));
    }

    #[test]
    fn without_traces_there_is_nothing() {
        let found = look(&[], &[]);
        assert!(found.durations.is_empty() && found.series.is_none());
    }

    /// However far apart, and however long.
    #[test]
    fn extremes_fit() {
        let found = look(&[trace(0, 0, 0), trace(u64::MAX / 1_000_000_000, u64::MAX, 0)], &[]);
        assert!(found.durations.len() < 200 && found.series.expect("there are traces").steps.len() <= 62);
    }
}
