//! Two traces, or two sets of them, side by side: two routes, two stretches of time, two builds. As `tandem compare`.
//!
//! ```text
//! GET /api/compare?a=&b=&a_since=&a_until=&b_since=&b_until=
//!     {"sides": [{"traces": n, "trace": summary, or null of a set} …], "places": [place …], "telling": [bool …]}
//! GET /api/builds       {"builds": [{"service": …, "versions": [the one that was started last …]} …]}
//! ```
//!
//! `a` and `b` are the beginning of a trace's id, `last`, or a query; the times are durations ago.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use diagnose::{Place, SideBySide, side_by_side};
use model::{Resource, Span, TraceSummary, Value};
use serde::Serialize;
use store::{Reader, TraceFilter};

use crate::api::{ApiError, ask, filter, whole};

/// Traces of a set, the newest.
const MOST_TRACES: usize = 1000;
/// Spans of theirs.
const MOST_SPANS: u64 = 200_000;

#[derive(Serialize)]
pub struct Compared {
    sides: [Told; 2],
    places: Vec<Place>,
    /// Which places are worth a look.
    telling: Vec<bool>,
}

#[derive(Serialize)]
struct Told {
    traces: usize,
    /// Of a single trace that was asked for.
    trace: Option<TraceSummary>,
}

#[derive(Serialize)]
pub struct Builds {
    builds: Vec<Build>,
}

#[derive(Serialize)]
struct Build {
    service: String,
    versions: Vec<String>,
}

/// `GET /api/builds`
pub async fn builds(State(reader): State<Arc<Reader>>) -> Result<Json<Builds>, ApiError> {
    let builds = ask(reader, |reader| Ok(versions(&reader.resources().map_err(ApiError::Store)?)));
    Ok(Json(Builds { builds: builds.await? }))
}

/// Versions by service, in the order of the programs' runs.
fn versions(resources: &[Resource]) -> Vec<Build> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for resource in resources {
        let Some(Value::String(version)) = resource.attributes.get("service.version") else { continue };
        let versions = found.entry(resource.service()).or_default();
        if !versions.contains(version) {
            versions.push(version.clone());
        }
    }
    found.into_iter().map(|(service, versions)| Build { service: service.to_owned(), versions }).collect()
}

/// What is asked of a side.
enum Asked {
    Trace(String),
    Set(TraceFilter),
}

/// `GET /api/compare`
pub async fn compare(
    State(reader): State<Arc<Reader>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Compared>, ApiError> {
    let [a, b] = read(&parameters)?;
    let compared = ask(reader, move |reader| {
        let ((a, of_a), (b, of_b)) = (a.look(reader)?, b.look(reader)?);
        let found = side_by_side(&of_a, &of_b);
        let telling = found.telling();
        let SideBySide { places, .. } = found;
        Ok(Compared { sides: [a, b], places, telling })
    });
    Ok(Json(compared.await?))
}

fn read(parameters: &[(String, String)]) -> Result<[Asked; 2], ApiError> {
    const NAMES: [&str; 6] = ["a", "a_since", "a_until", "b", "b_since", "b_until"];
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !NAMES.contains(&name.as_str())) {
        return Err(ApiError::BadRequest(format!("{name} is not a parameter of a comparison")));
    }
    Ok([Asked::read(parameters, "a")?, Asked::read(parameters, "b")?])
}

impl Asked {
    fn read(parameters: &[(String, String)], side: &str) -> Result<Self, ApiError> {
        let given = |name: &str| parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        let text = given(side).unwrap_or_default();
        if query::is_id(&text) {
            return Ok(Self::Trace(text));
        }
        let times =
            ["since", "until"].map(|name| (name.to_owned(), given(&format!("{side}_{name}")).unwrap_or_default()));
        let filter = filter([("q".to_owned(), text)].into_iter().chain(times).collect())?;
        Ok(Self::Set(TraceFilter { limit: MOST_TRACES, ..filter }))
    }

    fn look(self, reader: &Reader) -> Result<(Told, Vec<Vec<Span>>), ApiError> {
        match self {
            Self::Trace(id) => {
                let trace = whole(reader, &id)?;
                Ok((Told { traces: 1, trace: Some(trace.summary) }, vec![trace.spans]))
            }
            Self::Set(filter) => {
                let found = reader.whole_traces(&filter, MOST_SPANS).map_err(ApiError::Store)?;
                let traces: Vec<_> = found.into_iter().map(|trace| trace.spans).collect();
                Ok((Told { traces: traces.len(), trace: None }, traces))
            }
        }
    }
}
