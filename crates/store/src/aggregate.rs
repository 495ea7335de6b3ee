//! Whole traces, many at once, for what is computed over them: where the time of routes goes, who calls whom, why some
//! requests are slow.

use model::TraceSummary;

use crate::{Reader, StoreError, Trace, TraceFilter};

impl Reader {
    /// The newest traces that fit, whole, with so many spans together at most: one that is too large is left out, so that it
    /// does not stand for all.
    pub fn whole_traces(&self, filter: &TraceFilter, most_spans: u64) -> Result<Vec<Trace>, StoreError> {
        self.whole(&self.traces(filter)?, most_spans)
    }

    /// The same of traces that have been found.
    pub fn whole(&self, found: &[TraceSummary], most_spans: u64) -> Result<Vec<Trace>, StoreError> {
        let mut traces = Vec::new();
        let mut room = most_spans;
        for summary in found {
            let Some(left) = room.checked_sub(summary.span_count) else { continue };
            room = left;
            // One that has been removed meanwhile is none.
            traces.extend(self.trace(summary.trace_id)?);
        }
        Ok(traces)
    }
}
