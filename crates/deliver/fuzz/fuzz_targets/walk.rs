//! Any bytes as a request: where the protobuf library and we can both read it, we read the same spans.
#![no_main]

use deliver::otlp::walk::{self, Malformed, SpanFields};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

fn spans(request: &[u8]) -> Result<Vec<(SpanFields<'_>, usize)>, Malformed> {
    let mut spans = Vec::new();
    for group in walk::resources(request) {
        let group = group?;
        walk::attributes(group.resource, walk::RESOURCE_ATTRIBUTES).for_each(drop);
        for scope in group.scopes() {
            for span in scope?.records() {
                let span = span?;
                let mut attributes = 0;
                let fields = SpanFields::read_with(span, |_| {
                    attributes += 1;
                    Ok(())
                })?;
                assert_eq!(walk::trace_id_of(span).map(|id| id.is_zero()), Ok(fields.trace_id.is_zero()));
                let _ = walk::attribute(span, walk::SPAN_ATTRIBUTES, "http.route");
                spans.push((fields, attributes));
            }
        }
    }
    Ok(spans)
}

fuzz_target!(|request: &[u8]| {
    let (Ok(read), Ok(expected)) = (spans(request), ExportTraceServiceRequest::decode(request)) else { return };
    let expected = expected.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans);
    let expected: Vec<_> = expected.collect();
    assert_eq!(read.len(), expected.len());
    for ((read, attributes), span) in read.iter().zip(expected) {
        assert_eq!((read.name, read.tracestate), (span.name.as_bytes(), span.trace_state.as_bytes()));
        assert_eq!(read.start_unix_nano, span.start_time_unix_nano);
        assert_eq!((read.flags, *attributes), (span.flags, span.attributes.len()));
        assert!(read.trace_id.is_zero() || read.trace_id.0 == *span.trace_id);
    }
});
