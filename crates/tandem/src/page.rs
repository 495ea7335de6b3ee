//! What the page asks of this program: the agent's own numbers, advice, and functions to be switched on.

use std::path::PathBuf;

use agent::programs::{self, Choice, Program, ProgramsError};
use deliver::metrics::{OwnMetric, Snapshot};
use model::{Kind, SpanId, TraceId};
use record::InFlight;
use rustix::time::{ClockId, clock_gettime};

use crate::advise;

/// The program behind the page.
pub struct PageHost {
    /// Folder of the store.
    pub store: PathBuf,
    /// All metrics of the agent, where there is one.
    pub metrics: Option<Box<dyn Fn() -> Snapshot + Send + Sync>>,
    /// Whether the page may switch functions on.
    pub may_enable: bool,
}

impl ui::Host for PageHost {
    fn own_numbers(&self) -> Option<Vec<OwnMetric>> {
        self.metrics.as_ref().map(|metrics| metrics().own)
    }

    fn in_flight(&self) -> Result<Vec<ui::UnderWay>, String> {
        let programs = match programs::find(&Choice::All) {
            Ok(programs) => programs,
            Err(ProgramsError::None(_)) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        let mut spans: Vec<ui::UnderWay> = Vec::new();
        for Program { pid, service, functions } in programs {
            let under_way = functions.map(|functions| functions.in_flight()).unwrap_or_default();
            spans.extend(under_way.into_iter().map(|span| ui::UnderWay {
                service: service.clone(),
                pid,
                title: title(&span),
                kind: Kind::from_otlp(span.operation.kind.into()),
                trace_id: TraceId(span.trace_id),
                span_id: SpanId(span.span_id),
                age_ns: now.saturating_sub(span.start.0),
                operation: span.operation.id,
            }));
        }
        spans.sort_by_key(|span| std::cmp::Reverse(span.age_ns));
        Ok(spans)
    }

    fn advice(&self) -> Result<Vec<ui::Advice>, String> {
        advise::for_page(&self.store).map_err(|error| format!("{error:#}"))
    }

    fn may_enable(&self) -> bool {
        self.may_enable
    }

    fn enable(&self, function: &ui::Function) -> Result<String, String> {
        advise::enable(&function.function, &function.service).map_err(|error| format!("{error:#}"))
    }
}

/// What is known of a span that has not ended: its route is so only when the router has chosen it.
fn title(span: &InFlight) -> String {
    let said = |key: &str| span.attributes.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str());
    let what = ["http.route", "url.path", "rpc.method", "db.query.summary", "messaging.destination.name"];
    let words = [said("http.request.method"), what.into_iter().find_map(said)];
    match words.into_iter().flatten().collect::<Vec<_>>().join(" ") {
        nothing if nothing.is_empty() => span.operation.id.clone(),
        words => words,
    }
}
