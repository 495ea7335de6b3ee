//! A batch: spans of one process, ready to send.

use std::sync::Arc;

use bytes::Bytes;
use model::Resource;

/// Spans of one process in OTLP's protobuf form. Immutable; shared by all sinks.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the spans come from; the same attributes are in `bytes`.
    pub resource: Arc<Resource>,
    /// A whole `ExportTraceServiceRequest` with one `ResourceSpans`. Such messages may be joined by writing one after
    /// the other: the result is a request again.
    pub bytes: Bytes,
    /// Spans in it.
    pub spans: u32,
}
