//! What the page asks of this program: the agent's own numbers, advice, and functions to be switched on.

use std::path::PathBuf;

use agent::programs::{self, Choice, Program, ProgramsError};
use deliver::metrics::{OwnMetric, Snapshot};

use crate::advise;

/// The program behind the page.
pub struct PageHost {
    /// Folder of the store.
    pub store: PathBuf,
    /// All metrics of the agent, where there is one.
    pub metrics: Option<Box<dyn Fn() -> Snapshot + Send + Sync>>,
    /// What is wrong with where its telemetry goes.
    pub problems: Option<Box<dyn Fn() -> Vec<String> + Send + Sync>>,
    /// Whether the page may switch functions on.
    pub may_enable: bool,
}

impl ui::Host for PageHost {
    fn own_numbers(&self) -> Option<Vec<OwnMetric>> {
        self.metrics.as_ref().map(|metrics| metrics().own)
    }

    fn problems(&self) -> Vec<String> {
        self.problems.as_ref().map(|problems| problems()).unwrap_or_default()
    }

    fn store_limit(&self) -> Option<u64> {
        // Of an agent: others only read.
        self.metrics.as_ref().map(|_| store::Limits::default().bytes)
    }

    fn in_flight(&self) -> Result<Vec<ui::UnderWay>, String> {
        let programs = match programs::find(&Choice::All) {
            Ok(programs) => programs,
            Err(ProgramsError::None(_)) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let under_way = |program: &Program| {
            let pid = program.pid;
            let spans = program.in_flight().into_iter();
            spans.map(move |span| ui::UnderWay {
                service: span.service,
                pid,
                title: span.name,
                kind: span.kind,
                trace_id: span.trace_id,
                span_id: span.span_id,
                age_ns: span.duration_ns,
            })
        };
        let mut spans: Vec<ui::UnderWay> = programs.iter().flat_map(under_way).collect();
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
