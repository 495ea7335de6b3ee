//! Spans as JSON lines: one object a line, in the form of `model::Span`.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::Batch;
use crate::otlp::decode;
use crate::queue::{Loss, Worker};

/// Writes spans to a file or to standard output.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write + Send + 'static> JsonLines<W> {
    /// Writes to `out`, unbuffered: every delivery is one write of whole lines.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send + 'static> Worker for JsonLines<W> {
    fn is_local(&self) -> bool {
        true
    }

    fn deliver(&mut self, batches: &[Arc<Batch>], _hurry: &AtomicBool) -> Result<(), Loss> {
        let loss = |cause, problem| Loss { cause, records: None, problem };
        let mut lines = Vec::new();
        for batch in batches {
            let spans = decode::spans(&batch.bytes).map_err(|error| loss("unreadable", error.to_string()))?;
            for span in spans {
                serde_json::to_writer(&mut lines, &span).map_err(|error| loss("unwritable", error.to_string()))?;
                lines.push(b'\n');
            }
        }
        let written = self.out.write_all(&lines).and_then(|()| self.out.flush());
        written.map_err(|error| loss("unwritable", format!("cannot write JSON lines: {error}")))
    }

    fn preferred_bytes(&self) -> usize {
        64 * 1024
    }
}
