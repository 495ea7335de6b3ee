//! Spans for tests, in the form that other SDKs' have, too.

use std::sync::Arc;

use bytes::Bytes;
use deliver::otlp::walk::resources;
use deliver::{Batch, Signal};
use model::{Kind, Resource, SOURCE_ATTRIBUTE, Source, SpanId, TraceId, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message;

use super::facts::Facts;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TestSpan(Span);

pub(super) fn trace(number: u8) -> TraceId {
    TraceId([number; 16])
}

pub(super) fn id(number: u8) -> SpanId {
    SpanId([number; 8])
}

/// Parent 0: none.
pub(super) fn span(trace: u8, id: u8, parent: u8) -> TestSpan {
    let parent_span_id = if parent == 0 { Vec::new() } else { vec![parent; 8] };
    TestSpan(Span { trace_id: vec![trace; 16], span_id: vec![id; 8], parent_span_id, ..Default::default() })
}

pub(super) fn read(bytes: &[u8]) -> TestSpan {
    TestSpan(Span::decode(bytes).expect("a span"))
}

impl TestSpan {
    /// With these attributes, in the place of those of the same keys.
    pub(super) fn with(mut self, attributes: &[(&str, &str)]) -> Self {
        for (key, value) in attributes {
            self.0.attributes.retain(|attribute| attribute.key != *key);
            let value = Some(AnyValue { value: Some(any_value::Value::StringValue((*value).to_owned())) });
            self.0.attributes.push(KeyValue { key: (*key).to_owned(), value, ..Default::default() });
        }
        self
    }

    pub(super) fn from(self, source: Source) -> Self {
        match source {
            Source::Woven => self,
            Source::Api => self.with(&[(SOURCE_ATTRIBUTE, "api")]),
            Source::Otlp => self.with(&[(SOURCE_ATTRIBUTE, "otlp")]),
            Source::Uprobe => self.with(&[(SOURCE_ATTRIBUTE, "uprobe")]),
            Source::Socket => self.with(&[(SOURCE_ATTRIBUTE, "socket")]),
        }
    }

    pub(super) fn event(mut self, name: &str) -> Self {
        self.0.events.push(Event { name: name.to_owned(), ..Default::default() });
        self
    }

    pub(super) fn kind(mut self, kind: Kind) -> Self {
        self.0.kind = match kind {
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
            Kind::Internal => 1,
        };
        self
    }

    /// ns from the beginning of time.
    pub(super) fn at(mut self, start: u64, end: u64) -> Self {
        (self.0.start_time_unix_nano, self.0.end_time_unix_nano) = (start, end);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    pub(super) fn facts(&self) -> Facts {
        Facts::read(&self.bytes()).expect("a span")
    }

    pub(super) fn id(&self) -> u8 {
        self.0.span_id[0]
    }

    /// Trace, id and parent.
    pub(super) fn ids(&self) -> (u8, u8, u8) {
        (self.0.trace_id[0], self.id(), self.0.parent_span_id.first().copied().unwrap_or(0))
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let attribute = self.0.attributes.iter().find(|attribute| attribute.key == key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some(text),
            _ => None,
        }
    }
}

/// A batch of a service.
pub(super) fn batch(service: &str, spans: &[TestSpan]) -> Arc<Batch> {
    let mut resource = Resource::default();
    resource.attributes.insert("service.name".to_owned(), Value::String(service.to_owned()));
    let spans: Vec<Span> = spans.iter().map(|span| span.0.clone()).collect();
    let records = spans.len() as u32;
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
    let bytes = Bytes::from(request.encode_to_vec());
    Arc::new(Batch { signal: Signal::Traces, resource: Arc::new(resource), bytes, records })
}

/// The spans of a batch.
pub(super) fn spans(batch: &Batch) -> Vec<TestSpan> {
    let scopes = resources(&batch.bytes).flat_map(|resource| resource.expect("a resource").scopes());
    let spans = scopes.flat_map(|scope| scope.expect("a scope").records());
    spans.map(|span| read(span.expect("a span"))).collect()
}
