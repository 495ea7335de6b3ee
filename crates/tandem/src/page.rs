//! What the page asks of this program: the agent's own numbers, advice, and functions to be switched on.

use std::path::PathBuf;

use deliver::metrics::{OwnMetric, Snapshot};

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
