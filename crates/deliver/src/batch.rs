//! A batch: spans, log records or samples of one process, ready to send.

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
    /// Samples of stacks.
    Profiles,
}

impl Signal {
    /// What it consists of, for a person: one of them.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Metrics => "metric",
            Self::Logs => "log record",
            Self::Profiles => "profile sample",
        }
    }
}

/// Spans, log records or samples of one process in OTLP's protobuf form. Immutable; shared by all sinks.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Traces, logs or profiles.
    pub signal: Signal,
    /// What the records come from; the same attributes are in `bytes`.
    pub resource: Arc<Resource>,
    /// A whole `ExportTraceServiceRequest` with one `ResourceSpans`, or an `ExportLogsServiceRequest` with one
    /// `ResourceLogs`. Messages of one signal may be joined by writing one after the other: the result is a request again.
    /// Not so of profiles: an `ExportProfilesServiceRequest` has one dictionary.
    pub bytes: Bytes,
    /// Spans, log records or samples in it.
    pub records: u32,
}
