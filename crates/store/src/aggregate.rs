//! Whole traces, many at once, for what is computed over them: where the time of routes goes, who calls whom, why some
//! requests are slow.

use crate::{Reader, StoreError, Trace, TraceFilter};

impl Reader {
    /// The newest traces that fit, whole, until they have so many spans together.
    pub fn whole_traces(&self, filter: &TraceFilter, most_spans: u64) -> Result<Vec<Trace>, StoreError> {
        let mut traces = Vec::new();
        let mut spans = 0;
        for summary in self.traces(filter)? {
            if spans >= most_spans {
                break;
            }
            spans += summary.span_count;
            // One that has been removed meanwhile is none.
            traces.extend(self.trace(summary.trace_id)?);
        }
        Ok(traces)
    }
}
