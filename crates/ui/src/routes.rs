//! Where the time of routes goes, and why some of their requests are slow.
//!
//! ```text
//! GET /api/routes?service=&route=&since=…      {"routes": [route's time …], "traces": n}
//! GET /api/diagnosis?service=&route=&since=&slower_than=&baseline=
//!     {"diagnoses": [as `tandem diagnose --json` …], "traces": n}
//! ```
//!
//! The filters are those of `/api/traces`; they choose the traces that are looked at, and `service` and `route` the requests in them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use diagnose::{Diagnosis, Facts, Question, RouteTime, Sample, Split};
use model::{Span, parse_duration};
use serde::Serialize;
use store::{ProfileFilter, Reader, TraceFilter};

use crate::api::{ApiError, ask, filter};

/// Traces that are looked at, the newest.
const MOST_TRACES: usize = 5000;
/// Spans of theirs.
const MOST_SPANS: u64 = 200_000;
/// Samples of stacks.
const MOST_SAMPLES: usize = 100_000;
/// Routes that are told, those with the most time.
const MOST_ROUTES: usize = 100;

#[derive(Serialize)]
pub struct Routes {
    routes: Vec<RouteTime>,
    traces: usize,
}

/// `GET /api/routes`
pub async fn routes(
    State(reader): State<Arc<Reader>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Routes>, ApiError> {
    let asked = Asked::read(parameters)?;
    let answer = ask(reader, move |reader| {
        let traces = asked.traces(reader)?;
        let mut routes = diagnose::route_times(Facts { traces: &traces, samples: &[] }, &asked.question);
        routes.truncate(MOST_ROUTES);
        Ok(Routes { routes, traces: traces.len() })
    });
    Ok(Json(answer.await?))
}

#[derive(Serialize)]
pub struct Diagnoses {
    diagnoses: Vec<Diagnosis>,
    traces: usize,
}

/// `GET /api/diagnosis`
pub async fn diagnosis(
    State(reader): State<Arc<Reader>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Diagnoses>, ApiError> {
    let asked = Asked::read(parameters)?;
    let answer = ask(reader, move |reader| {
        let traces = asked.traces(reader)?;
        let samples = asked.samples(reader)?;
        let mut diagnoses = diagnose::diagnose(Facts { traces: &traces, samples: &samples }, &asked.question);
        diagnoses.truncate(MOST_ROUTES);
        Ok(Diagnoses { diagnoses, traces: traces.len() })
    });
    Ok(Json(answer.await?))
}

/// What a query asks for.
struct Asked {
    traces: TraceFilter,
    question: Question,
}

impl Asked {
    fn read(mut parameters: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut split = Split::Tail;
        let mut before = 0;
        for (name, value) in parameters.extract_if(.., |(name, _)| name == "slower_than" || name == "baseline") {
            if value.is_empty() {
                continue;
            }
            let duration = parse_duration(&value).ok_or_else(|| {
                ApiError::BadRequest(format!("{name}: {value} is not a duration: write 200ms or 10m"))
            })?;
            match name.as_str() {
                "baseline" => before = duration,
                _ => split = Split::LongerThan(duration),
            }
        }
        let mut taken = |wanted: &str| {
            let found = parameters.extract_if(.., |(name, value)| name == wanted && !value.is_empty());
            found.last().map(|(_, value)| value)
        };
        let (service, route) = (taken("service"), taken("route"));
        let mut traces = filter(parameters)?;
        if let (1.., Some(since)) = (before, traces.since_unix_nano) {
            split = Split::Since(since);
            traces.since_unix_nano = Some(since.saturating_sub(before));
        }
        let question = Question { route, service, split };
        // What else the programs did at the time tells why a request had to wait, whichever route it was.
        Ok(Self { traces: TraceFilter { limit: MOST_TRACES, ..traces }, question })
    }

    fn traces(&self, reader: &Reader) -> Result<Vec<Vec<Span>>, ApiError> {
        let traces = reader.whole_traces(&self.traces, MOST_SPANS).map_err(ApiError::Store)?;
        Ok(traces.into_iter().map(|trace| trace.spans).collect())
    }

    fn samples(&self, reader: &Reader) -> Result<Vec<Sample>, ApiError> {
        let since_unix_nano = self.traces.since_unix_nano;
        let filter = ProfileFilter { since_unix_nano, limit: MOST_SAMPLES, ..ProfileFilter::default() };
        let samples = reader.profile(&filter).map_err(ApiError::Store)?;
        Ok(samples.into_iter().map(Sample::from).collect())
    }
}
