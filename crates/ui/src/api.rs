//! The JSON API: lists, and traces as scripts read them. Spans and summaries have the forms that `--json` prints. What the
//! page draws comes from the files beside this one.
//!
//! ```text
//! GET /api/traces?q=service=orders status=error&since=10m&until=&limit=100      docs/queries.md
//!     {"traces": [summary …]}; from= and to= are moments, milliseconds since 1970
//!     also service=&route=&errors=1&min_duration=200ms&max_duration=&attribute=key=value: short forms of terms of the query
//! GET /api/complete?q=serv&at=4      `at` is the cursor; it, `from` and `to` count characters (code points) from 0
//!     {"completions": [{"kind": "key" or "operator" or "value", "text": …, "from": …, "to": …, "meaning": …} …]}
//! GET /api/traces/ID         a beginning that is unique, or `last`, is enough
//!     {"summary": …, "spans": [span …], "resources": {service: attributes …}}
//! GET /api/services
//!     {"services": [name …]}
//! ```
//!
//! What is wrong is told as `{"error": "…"}` with a status of 400, 404 or 500; of a query with the place in it,
//! `"column": n, "length": n`, in characters counted from 1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{Attributes, Span, TraceId, TraceSummary, parse_duration};
use query::{Comparison, Completion, Field, Query, QueryError, Term};
use serde::{Deserialize, Serialize};
use store::{Found, Reader, StoreError, Trace, TraceFilter};

/// Traces in a list when the query does not say.
const USUAL_LIMIT: usize = 100;
/// No list is longer.
const LARGEST_LIMIT: usize = 1000;

/// Why a request has no answer.
pub enum ApiError {
    BadRequest(String),
    Query(QueryError),
    NotFound(String),
    Store(StoreError),
    /// The query's thread ended early.
    Aborted,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::BadRequest(error) => (StatusCode::BAD_REQUEST, error),
            Self::Query(QueryError { message, column, length, .. }) => {
                let told = serde_json::json!({ "error": message, "column": column, "length": length });
                return (StatusCode::BAD_REQUEST, Json(told)).into_response();
            }
            Self::NotFound(error) => (StatusCode::NOT_FOUND, error),
            Self::Store(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            Self::Aborted => (StatusCode::INTERNAL_SERVER_ERROR, "the query was aborted".to_owned()),
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

/// Runs a query beside the event loop.
pub async fn ask<T: Send + 'static>(
    reader: Arc<Reader>,
    query: impl FnOnce(&Reader) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(move || query(&reader)).await.map_err(|_| ApiError::Aborted)?
}

#[derive(Serialize)]
pub struct Traces {
    traces: Vec<TraceSummary>,
}

/// `GET /api/traces`
pub async fn traces(
    State(reader): State<Arc<Reader>>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<Traces>, ApiError> {
    let filter = filter(parameters)?;
    let traces = ask(reader, move |reader| reader.traces(&filter).map_err(ApiError::Store)).await?;
    Ok(Json(Traces { traces }))
}

impl From<String> for ApiError {
    fn from(error: String) -> Self {
        Self::BadRequest(error)
    }
}

pub fn filter(parameters: Vec<(String, String)>) -> Result<TraceFilter, ApiError> {
    let duration = |name: &str, value: &str| {
        parse_duration(value)
            .ok_or_else(|| format!("{name}: {value} is not a duration: write a number and its unit, like 200ms or 10m"))
    };
    let ago = |duration: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        (now as u64).saturating_sub(duration)
    };
    let moment = |name: &str, value: &str| {
        let millis: Option<u64> = value.parse().ok();
        let nanos = millis.and_then(|millis| millis.checked_mul(1_000_000));
        nanos.ok_or_else(|| format!("{name}: {value} is not a moment: write milliseconds since 1970"))
    };
    let mut filter = TraceFilter { limit: USUAL_LIMIT, ..TraceFilter::default() };
    let mut terms = Vec::new();
    for (name, value) in parameters {
        if value.is_empty() {
            continue;
        }
        let long = |comparison| {
            Ok::<_, String>(Term::compares(Field::TraceDuration, comparison, duration(&name, &value)? as f64))
        };
        match name.as_str() {
            "q" => filter.query = Query::parse(&value).map_err(ApiError::Query)?,
            "service" => terms.push(Term::equals(Field::Service, value)),
            "route" => terms.push(Term::contains(value)),
            "errors" if value == "0" || value == "false" => {}
            "errors" => terms.push(Term::compares(Field::TraceErrors, Comparison::Greater, 0.0)),
            "min_duration" => terms.push(long(Comparison::AtLeast)?),
            "max_duration" => terms.push(long(Comparison::AtMost)?),
            "since" => filter.since_unix_nano = Some(ago(duration(&name, &value)?)),
            "until" => filter.until_unix_nano = Some(ago(duration(&name, &value)?)),
            "from" => filter.since_unix_nano = Some(moment(&name, &value)?),
            "to" => filter.until_unix_nano = Some(moment(&name, &value)?),
            "attribute" => {
                let (key, value) = value
                    .split_once('=')
                    .ok_or_else(|| format!("attribute: {value} lacks a value: write key=value"))?;
                terms.push(Term::equals(Field::Attribute(key.trim().to_owned()), value.trim()));
            }
            "limit" => {
                let limit: usize = value.parse().map_err(|_| format!("limit: {value} is not a number"))?;
                filter.limit = limit.min(LARGEST_LIMIT);
            }
            _ => return Err(format!("{name} is not a filter").into()),
        }
    }
    filter.query = terms.into_iter().fold(filter.query, Query::and);
    Ok(filter)
}

#[derive(Serialize)]
pub struct Completions {
    completions: Vec<Completion>,
}

/// What is typed so far, and where the cursor stands.
#[derive(Deserialize)]
pub struct Typed {
    #[serde(default)]
    q: String,
    at: Option<usize>,
}

/// `GET /api/complete`
pub async fn complete(
    State(reader): State<Arc<Reader>>,
    Parameters(Typed { q, at }): Parameters<Typed>,
) -> Result<Json<Completions>, ApiError> {
    let cursor = at.unwrap_or(usize::MAX);
    let completions = ask(reader, move |reader| reader.complete(&q, cursor).map_err(ApiError::Store)).await?;
    Ok(Json(Completions { completions }))
}

/// A trace as scripts read it.
#[derive(Serialize)]
pub struct WholeTrace {
    summary: TraceSummary,
    spans: Vec<Span>,
    /// Attributes of the resources, by `service.name`; of a service's instances, those of the first.
    resources: BTreeMap<String, Attributes>,
}

/// `GET /api/traces/ID`
pub async fn trace(
    State(reader): State<Arc<Reader>>,
    Path(beginning): Path<String>,
) -> Result<Json<WholeTrace>, ApiError> {
    let Trace { summary, spans } = ask(reader, move |reader| whole(reader, &beginning)).await?;
    let mut resources = BTreeMap::new();
    for span in &spans {
        resources.entry(span.service.clone()).or_insert_with(|| span.resource.attributes.clone());
    }
    Ok(Json(WholeTrace { summary, spans, resources }))
}

/// The trace whose id begins so, with all its spans.
pub fn whole(reader: &Reader, beginning: &str) -> Result<Trace, ApiError> {
    one(reader, beginning, Reader::trace)
}

/// What is read of the trace whose id begins so.
pub fn one<T>(
    reader: &Reader,
    beginning: &str,
    read: fn(&Reader, TraceId) -> Result<Option<T>, StoreError>,
) -> Result<T, ApiError> {
    match reader.find(beginning).map_err(ApiError::Store)? {
        Found::One(id) => read(reader, id).map_err(ApiError::Store)?,
        Found::Nothing => None,
        Found::NotAnId => {
            return Err(ApiError::BadRequest(format!("{beginning} is not the beginning of a trace's id")));
        }
        Found::Several(_) => {
            return Err(ApiError::BadRequest(format!("several traces begin with {beginning}: say more of the id")));
        }
    }
    .ok_or_else(|| ApiError::NotFound(format!("no trace begins with {beginning}")))
}

#[derive(Serialize)]
pub struct Services {
    services: Vec<String>,
}

/// `GET /api/services`
pub async fn services(State(reader): State<Arc<Reader>>) -> Result<Json<Services>, ApiError> {
    let services = ask(reader, |reader| reader.services().map_err(ApiError::Store)).await?;
    Ok(Json(Services { services }))
}

/// Any other address below `/api`.
pub async fn unknown() -> ApiError {
    ApiError::NotFound("there is no such part of the API".to_owned())
}
