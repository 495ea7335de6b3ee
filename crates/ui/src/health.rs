//! How Tandem itself is: what the agent counts of itself, where the page belongs to one, and how large the store is.
//!
//! ```text
//! GET /api/problems    {"problems": [line …]}: what is wrong right now with where telemetry goes
//! GET /api/health      {"store": {"folder": …, "bytes": n, "limit": n or null, "is_full": bool, "oldest_unix_nano": n or null},
//!                       "agent": null, or {"cpu_ns": …,
//!                       "resident_bytes": …, "numbers": [{"name": …, "help": …, "kind": …,
//!                       "label": …, "points": [[label's value, n] …]} …]}}
//! ```

use std::fs;

use axum::Json;
use axum::extract::State;
use deliver::metrics::{OwnKind, OwnMetric};
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use store::Reader;

use crate::api::{ApiError, ask};
use crate::serve::Sources;

#[derive(Serialize)]
pub struct Health {
    store: StoreSize,
    agent: Option<AgentHealth>,
}

#[derive(Serialize)]
struct StoreSize {
    folder: String,
    bytes: u64,
    /// Up to which it may grow.
    limit: Option<u64>,
    /// It has come to its limit: the oldest traces go.
    is_full: bool,
    /// Start of the oldest trace that is there.
    oldest_unix_nano: Option<u64>,
}

#[derive(Serialize)]
pub struct Problems {
    problems: Vec<String>,
}

/// `GET /api/problems`: asked by every view, so it costs nothing.
pub async fn problems(State(sources): State<Sources>) -> Json<Problems> {
    Json(Problems { problems: sources.host.map_or_else(Vec::new, |host| host.problems()) })
}

#[derive(Serialize)]
struct AgentHealth {
    /// CPU time of the agent's process, this page's included.
    cpu_ns: u64,
    resident_bytes: u64,
    numbers: Vec<Number>,
}

#[derive(Serialize)]
struct Number {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    label: Option<&'static str>,
    points: Vec<(String, f64)>,
}

/// `GET /api/health`
pub async fn health(State(sources): State<Sources>) -> Result<Json<Health>, ApiError> {
    let Sources { reader, host } = sources;
    let health = ask(reader, move |reader| {
        Ok(Health {
            store: StoreSize::of(reader, host.as_ref().and_then(|host| host.store_limit()))?,
            agent: host.and_then(|host| host.own_numbers()).map(AgentHealth::of),
        })
    });
    Ok(Json(health.await?))
}

impl StoreSize {
    /// Of all its files; of those that come and go meanwhile, what is there.
    fn of(reader: &Reader, limit: Option<u64>) -> Result<Self, ApiError> {
        let folder = reader.folder();
        let extent = reader.extent().map_err(ApiError::Store)?;
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).filter(|file| file.is_file()).map(|file| file.len());
        Ok(Self {
            folder: folder.display().to_string(),
            bytes: bytes.sum(),
            limit,
            is_full: limit.is_some_and(|limit| extent.is_full(limit)),
            oldest_unix_nano: extent.oldest_unix_nano,
        })
    }
}

impl AgentHealth {
    fn of(own: Vec<OwnMetric>) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = pages.split(' ').nth(1).and_then(|resident| resident.parse().ok()).unwrap_or(0);
        Self {
            cpu_ns: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64,
            resident_bytes: pages * page_size() as u64,
            numbers: own.into_iter().map(Number::of).collect(),
        }
    }
}

impl Number {
    fn of(metric: OwnMetric) -> Self {
        let OwnMetric { name, help, kind, label, points } = metric;
        let (kind, unit) = match kind {
            OwnKind::Counter => ("counter", 1.0),
            OwnKind::Gauge => ("gauge", 1.0),
            OwnKind::Thousandths => ("gauge", 1000.0),
        };
        let points = points.into_iter().map(|(value, number)| (value, number as f64 / unit)).collect();
        Self { name, help, kind, label, points }
    }
}
