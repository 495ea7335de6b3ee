//! Writes a batch again with some of its records changed or left out. What is not touched is copied as it is.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::text;
use super::walk::{Field, Malformed, Whole};
use crate::Batch;

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays as it is.
    Keep,
    /// It is left out.
    Drop,
    /// This message takes its place.
    Replace(Vec<u8>),
}

/// Tag of field 2, which holds the scopes of a resource, and the records of a scope.
const CONTENT: u8 = 0x12;
const RESOURCE: u8 = 0x0a;

/// A batch with each of its records as `edit` wants it, asked in their order. `None`: nothing is left.
pub fn batch(batch: &Batch, mut edit: impl FnMut(&[u8]) -> Edit) -> Result<Option<Batch>, Malformed> {
    let mut bytes = Vec::with_capacity(batch.bytes.len());
    let mut records = 0;
    for resource in super::walk::messages(&batch.bytes, 1) {
        let resource = level(resource?, |scope| {
            let scope = level(scope, |record| {
                Ok(match edit(record) {
                    Edit::Keep => Some(record.to_vec()),
                    Edit::Drop => None,
                    Edit::Replace(message) => Some(message),
                })
            })?;
            records += scope.inner;
            Ok((scope.inner > 0).then_some(scope.message))
        })?;
        if resource.inner > 0 {
            text(&mut bytes, RESOURCE, &resource.message);
        }
    }
    let resource = Arc::clone(&batch.resource);
    Ok((records > 0).then(|| Batch { signal: batch.signal, resource, bytes: Bytes::from(bytes), records }))
}

struct Level {
    message: Vec<u8>,
    /// Messages within it.
    inner: u32,
}

/// A message with each of those in its field 2 replaced, or left out.
fn level(
    message: &[u8],
    mut inner: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, Malformed>,
) -> Result<Level, Malformed> {
    let mut level = Level { message: Vec::with_capacity(message.len()), inner: 0 };
    for (number, field, whole) in Whole::of(message) {
        match field? {
            Field::Bytes(content) if number == 2 => {
                if let Some(content) = inner(content)? {
                    text(&mut level.message, CONTENT, &content);
                    level.inner += 1;
                }
            }
            _ => level.message.extend_from_slice(whole),
        }
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use model::Resource;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;
    use crate::Signal;

    fn scope(name: &str, spans: &[&str]) -> ScopeSpans {
        ScopeSpans {
            scope: Some(InstrumentationScope { name: name.into(), ..Default::default() }),
            spans: spans.iter().map(|&name| Span { name: name.into(), ..Default::default() }).collect(),
            schema_url: format!("schema of {name}"),
        }
    }

    fn request(scopes: Vec<ScopeSpans>) -> ExportTraceServiceRequest {
        let scope_spans = ResourceSpans { resource: None, scope_spans: scopes, schema_url: "schema".into() };
        ExportTraceServiceRequest { resource_spans: vec![scope_spans] }
    }

    #[test]
    fn what_is_not_touched_stays() {
        let before = request(vec![scope("a", &["1", "2"]), scope("b", &["3"])]);
        let bytes = Bytes::from(before.encode_to_vec());
        let before = Batch { signal: Signal::Traces, resource: Arc::default(), bytes, records: 3 };
        let edited = |edit: fn(&str) -> Edit| {
            let edited = batch(&before, |span| edit(&Span::decode(span).expect("a span").name)).expect("well formed");
            edited.map(|batch| (ExportTraceServiceRequest::decode(batch.bytes).expect("a request"), batch.records))
        };
        let kept = edited(|_| Edit::Keep).expect("all");
        assert_eq!(kept, (request(vec![scope("a", &["1", "2"]), scope("b", &["3"])]), 3));
        let other = Span { name: "other".into(), ..Default::default() }.encode_to_vec();
        let changed = batch(&before, |span| match Span::decode(span).expect("a span").name.as_str() {
            "1" => Edit::Replace(other.clone()),
            "3" => Edit::Drop,
            _ => Edit::Keep,
        });
        let changed = changed.expect("well formed").expect("two");
        let changed = (ExportTraceServiceRequest::decode(changed.bytes).expect("a request"), changed.records);
        assert_eq!(changed, (request(vec![scope("a", &["other", "2"])]), 2));
        assert_eq!(edited(|_| Edit::Drop), None);
    }

    #[test]
    fn what_is_malformed_is_said() {
        let bytes = Bytes::from_static(b"\x0a\x03\x12\x05a");
        let cut = Batch { signal: Signal::Traces, resource: Arc::new(Resource::default()), bytes, records: 1 };
        assert_eq!(batch(&cut, |_| Edit::Keep).err(), Some(Malformed));
    }
}
