//! What the page asks of the program that serves it: what only that knows besides the store, and the one thing it may change.
//!
//! ```text
//! GET  /api/in-flight  {"spans": [under way …], or null where nobody can tell}
//! GET  /api/advice     {"advice": [advice …], or null where nobody gives any, "may_enable": false}
//! POST /api/enable     {"function": …, "service": …} answers {"done": "…"}: makes spans of a dormant function's calls
//! ```
//!
//! Changing something is refused unless whoever started the page has allowed it, and unless the page itself asks: the header
//! [`FROM_PAGE`] cannot come from another site without the browser's asking first, which is never answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use deliver::metrics::OwnMetric;
use model::{Kind, SpanId, TraceId};
use serde::{Deserialize, Serialize};

use crate::api::ApiError;
use crate::serve::Sources;

/// The page sends it with what changes something.
pub const FROM_PAGE: &str = "x-tandem-page";

/// Spans under way that are told.
const MOST_IN_FLIGHT: usize = 1000;

/// The program that serves the page.
pub trait Host: Send + Sync {
    /// What an agent says of itself; nothing, where there is none.
    fn own_numbers(&self) -> Option<Vec<OwnMetric>>;

    /// What is wrong right now with where telemetry goes, a line each.
    fn problems(&self) -> Vec<String>;

    /// Bytes up to which the store may grow; nothing, where nobody here writes it.
    fn store_limit(&self) -> Option<u64>;

    /// Spans that are under way in woven programs, those that began first first.
    fn in_flight(&self) -> Result<Vec<UnderWay>, String>;

    /// Blind spots and what to do about them, the most valuable first. May take seconds.
    fn advice(&self) -> Result<Vec<Advice>, String>;

    /// Whether the page may switch functions on.
    fn may_enable(&self) -> bool;

    /// Switches a function on that is woven dormant into programs that run. What was done, or why it could not be.
    fn enable(&self, function: &Function) -> Result<String, String>;
}

/// A span that has not ended.
#[derive(Clone, Debug, Serialize)]
pub struct UnderWay {
    /// Whose.
    pub service: String,
    /// The process.
    pub pid: u32,
    /// Its name, as far as that is known already.
    pub title: String,
    /// Its kind.
    pub kind: Kind,
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// For how long it has been under way, ns.
    pub age_ns: u64,
}

/// A blind spot, and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// Whose.
    pub service: String,
    /// One line.
    pub title: String,
    /// What was seen, a line each.
    pub evidence: Vec<String>,
    /// Examples.
    pub traces: Vec<TraceId>,
    /// The share of the service's time, spans or traces that it is about, 0 to 1.
    pub share: f64,
    /// What to do, the best first.
    pub acts: Vec<Act>,
}

/// Something to do.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    /// A command, or a sentence.
    pub words: String,
    /// The function that the page can switch on instead.
    pub enables: Option<Function>,
}

/// A function of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    /// Import path and name.
    pub function: String,
    /// `service.name`.
    pub service: String,
}

#[derive(Serialize)]
pub struct AllAdvice {
    advice: Option<Vec<Advice>>,
    may_enable: bool,
}

/// `GET /api/advice`
pub async fn advice(State(sources): State<Sources>) -> Result<Json<AllAdvice>, ApiError> {
    let Some(host) = sources.host else { return Ok(Json(AllAdvice { advice: None, may_enable: false })) };
    let may_enable = host.may_enable();
    let advice = ask(host, |host| host.advice()).await?;
    Ok(Json(AllAdvice { advice: Some(advice), may_enable }))
}

#[derive(Serialize)]
pub struct InFlight {
    spans: Option<Vec<UnderWay>>,
}

/// `GET /api/in-flight`
pub async fn in_flight(State(sources): State<Sources>) -> Result<Json<InFlight>, ApiError> {
    let Some(host) = sources.host else { return Ok(Json(InFlight { spans: None })) };
    let mut spans = ask(host, |host| host.in_flight()).await?;
    spans.truncate(MOST_IN_FLIGHT);
    Ok(Json(InFlight { spans: Some(spans) }))
}

/// `POST /api/enable`
pub async fn enable(
    State(sources): State<Sources>,
    headers: HeaderMap,
    Json(function): Json<Function>,
) -> Result<Response, ApiError> {
    let Some(host) = sources.host.filter(|host| host.may_enable() && headers.contains_key(FROM_PAGE)) else {
        let error = "this page can only be read from; start it with --ui-enable to switch functions on here";
        return Ok((StatusCode::FORBIDDEN, Json(serde_json::json!({ "error": error }))).into_response());
    };
    let done = ask(host, move |host| host.enable(&function)).await?;
    Ok(Json(serde_json::json!({ "done": done })).into_response())
}

async fn ask<T: Send + 'static>(
    host: Arc<dyn Host>,
    question: impl FnOnce(&dyn Host) -> Result<T, String> + Send + 'static,
) -> Result<T, ApiError> {
    let answer = tokio::task::spawn_blocking(move || question(&*host)).await;
    answer.map_err(|_| ApiError::Aborted)?.map_err(ApiError::BadRequest)
}
