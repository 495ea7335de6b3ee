//! Metrics from the store.
//!
//! ```text
//! GET /api/metrics?service=&since=             {"metrics": [{"name", "kind", "unit", "description", "series", "services"} …]}
//! GET /api/metrics?name=&service=&since=&limit=
//!     {"series": [as `tandem metrics NAME --json` …], "start_unix_nano": …, "end_unix_nano": …, "is_cut": false}
//! ```
//!
//! In a name `*` is any text; `since` is how far back (10m, 2h), an hour when nothing is said.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query, State};
use model::parse_duration;
use serde::{Deserialize, Serialize};
use store::{MeasuredSeries, MetricFilter, MetricName, Reader};

use crate::api::{ApiError, ask};

/// Series that are told when nobody says how many, and at most.
const USUAL_SERIES: usize = 100;
const MOST_SERIES: usize = 1000;
/// How far back, when nobody says it; ns.
const HOUR: u64 = 3600 * 1_000_000_000;

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    name: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    since: String,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Answer {
    List { metrics: Vec<MetricName> },
    Series { series: Vec<MeasuredSeries>, start_unix_nano: u64, end_unix_nano: u64, is_cut: bool },
}

/// `GET /api/metrics`
pub async fn metrics(State(reader): State<Arc<Reader>>, Query(asked): Query<Asked>) -> Result<Json<Answer>, ApiError> {
    let filter = asked.filter()?;
    let answer = ask(reader, move |reader| {
        if filter.names.is_empty() {
            return Ok(Answer::List { metrics: reader.metric_names(&filter).map_err(ApiError::Store)? });
        }
        let found = reader.metrics(&filter).map_err(ApiError::Store)?;
        let (start_unix_nano, end_unix_nano, is_cut) = (found.start_unix_nano, found.end_unix_nano, found.is_cut);
        Ok(Answer::Series { series: found.measured(), start_unix_nano, end_unix_nano, is_cut })
    });
    Ok(Json(answer.await?))
}

impl Asked {
    fn filter(self) -> Result<MetricFilter, ApiError> {
        let Self { name, service, since, limit } = self;
        let back = match since.as_str() {
            "" => HOUR,
            text => parse_duration(text)
                .ok_or_else(|| ApiError::BadRequest(format!("since: {text} is not a duration: write 10m or 2h")))?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Ok(MetricFilter {
            names: Some(name).filter(|name| !name.is_empty()).into_iter().collect(),
            service: Some(service).filter(|service| !service.is_empty()),
            since_unix_nano: Some(now.saturating_sub(back)),
            after: None,
            limit: limit.unwrap_or(USUAL_SERIES).min(MOST_SERIES),
        })
    }
}
