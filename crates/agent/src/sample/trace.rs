//! A trace as policies look at it.

use deliver::otlp::walk::{self, AnyValue, Malformed, SpanFields};
use model::{ANATOMY_PREFIX, TraceId};

/// One of its spans.
#[derive(Clone, Copy, Debug)]
pub struct TraceSpan<'a> {
    /// What is asked of nearly every span.
    pub fields: SpanFields<'a>,
    /// The `Span` message.
    pub bytes: &'a [u8],
    /// The `Resource` message.
    pub resource: &'a [u8],
}

impl<'a> TraceSpan<'a> {
    /// Reads a span.
    pub fn read(bytes: &'a [u8], resource: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { fields: SpanFields::read(bytes)?, bytes, resource })
    }

    /// Whether an attribute of the span, or of its resource, has a value that fits.
    pub fn has(&self, key: &str, fits: impl Fn(AnyValue<'a>) -> bool) -> bool {
        [(self.resource, walk::RESOURCE_ATTRIBUTES), (self.bytes, walk::SPAN_ATTRIBUTES)]
            .into_iter()
            .any(|(message, number)| walk::attribute(message, number, key).ok().flatten().is_some_and(&fits))
    }

    /// `service.name`.
    pub fn service(&self) -> &'a [u8] {
        match walk::attribute(self.resource, walk::RESOURCE_ATTRIBUTES, "service.name") {
            Ok(Some(AnyValue::String(name))) => name,
            _ => b"",
        }
    }

    /// The parts of its anatomy that were measured, with their nanoseconds.
    pub fn parts(&self) -> impl Iterator<Item = (&'a [u8], u64)> + use<'a> {
        walk::attributes(self.bytes, walk::SPAN_ATTRIBUTES).map_while(Result::ok).filter_map(|attribute| {
            let part = attribute.key.strip_prefix(ANATOMY_PREFIX.as_bytes())?;
            match AnyValue::read(attribute.value) {
                Ok(AnyValue::Int(nanoseconds)) => Some((part, u64::try_from(nanoseconds).ok()?)),
                _ => None,
            }
        })
    }

    /// A process began to work on the trace with it: it has no parent, or one elsewhere.
    pub fn is_local_root(&self) -> bool {
        const REMOTE_PARENT: u32 = 0x300;
        self.fields.parent_span_id.is_none() || self.fields.flags & REMOTE_PARENT == REMOTE_PARENT
    }
}

/// A trace, as far as it has come.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// Its id.
    pub id: TraceId,
    /// Its spans, in any order.
    pub spans: &'a [TraceSpan<'a>],
    /// When the first of them began, ns since 1970.
    pub start: u64,
    /// When the last of them ended.
    pub end: u64,
}

impl<'a> Trace<'a> {
    /// A trace of these spans.
    pub fn new(id: TraceId, spans: &'a [TraceSpan<'a>]) -> Self {
        let start = spans.iter().map(|span| span.fields.start_unix_nano).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.fields.end_unix_nano).max().unwrap_or(0);
        Self { id, spans, start, end }
    }

    /// From the first start to the last end, ns.
    pub fn duration_ns(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Bytes of its spans.
    pub fn bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes.len() as u64).sum()
    }

    /// Where it begins: a span without a parent, else one whose parent is elsewhere, else the first.
    pub fn root(&self) -> Option<&'a TraceSpan<'a>> {
        self.spans.iter().min_by_key(|span| {
            let distance = match span.fields.parent_span_id {
                None => 0,
                Some(_) if span.is_local_root() => 1,
                Some(_) => 2,
            };
            (distance, span.fields.start_unix_nano, span.fields.span_id)
        })
    }
}
