//! A batch: spans or log records of one process, ready to send.

use std::sync::Arc;

use bytes::Bytes;
use model::Resource;

/// One of OTLP's signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    #[default]
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// What it consists of, for a person: one of them.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Metrics => "metric",
            Self::Logs => "log record",
        }
    }
}

/// Spans or log records of one process in OTLP's protobuf form. Immutable; shared by all sinks.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Traces or logs.
    pub signal: Signal,
    /// What the records come from; the same attributes are in `bytes`.
    pub resource: Arc<Resource>,
    /// A whole `ExportTraceServiceRequest` with one `ResourceSpans`, or an `ExportLogsServiceRequest` with one
    /// `ResourceLogs`. Messages of one signal may be joined by writing one after the other: the result is a request again.
    pub bytes: Bytes,
    /// Spans or log records in it.
    pub records: u32,
}
