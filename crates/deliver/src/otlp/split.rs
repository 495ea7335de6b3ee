//! Takes a request of spans or log records apart by what each record says. Records are copied as they are.

use std::sync::Arc;

use model::Resource;

use super::builder::{BatchBuilder, ScopeIndex};
use super::walk::{self, Field, Malformed, Whole};
use crate::{Batch, Signal};

/// A request's records, each in the part that `part_of` says, with its resource and scope. There may be several batches of a
/// part: each has one resource. Parts that get nothing are not there.
pub fn split(
    signal: Signal,
    resource: &Arc<Resource>,
    message: &[u8],
    mut part_of: impl FnMut(&[u8]) -> Result<usize, Malformed>,
) -> Result<Vec<(usize, Batch)>, Malformed> {
    let mut batches = Vec::new();
    for group in walk::messages(message, 1) {
        let group = group?;
        let head = head(group)?;
        let mut parts: Vec<Part> = Vec::new();
        for scope in walk::messages(group, 2) {
            let scope = scope?;
            let scope_head = self::head(scope)?;
            parts.iter_mut().for_each(|part| part.scope = None);
            for (number, field, whole) in Whole::of(scope) {
                let (2, Field::Bytes(record)) = (number, field?) else { continue };
                let number = part_of(record)?;
                let index = parts.iter().position(|part| part.number == number).unwrap_or_else(|| {
                    let builder = BatchBuilder::of_encoded(signal, Arc::clone(resource), head.clone());
                    parts.push(Part { number, builder, scope: None });
                    parts.len() - 1
                });
                let part = &mut parts[index];
                let at = match part.scope.or_else(|| part.builder.encoded_scope(&scope_head)) {
                    Some(at) => at,
                    None => {
                        // So many scopes: the next batch begins with none.
                        batches.extend(part.builder.take().map(|batch| (number, batch)));
                        part.builder = BatchBuilder::of_encoded(signal, Arc::clone(resource), head.clone());
                        part.builder.encoded_scope(&scope_head).ok_or(Malformed)?
                    }
                };
                part.scope = Some(at);
                part.builder.add(at, |out| out.extend_from_slice(whole));
            }
        }
        batches.extend(parts.into_iter().filter_map(|mut part| Some((part.number, part.builder.take()?))));
    }
    Ok(batches)
}

struct Part {
    number: usize,
    builder: BatchBuilder,
    /// The scope that is being read, where it is known there.
    scope: Option<ScopeIndex>,
}

/// What stands in a group beside its scopes, or in a scope beside its records.
fn head(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut head = Vec::new();
    for (number, field, whole) in Whole::of(message) {
        field?;
        if number != 2 {
            head.extend_from_slice(whole);
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;

    fn span(number: u8) -> Span {
        Span { trace_id: vec![number; 16], name: format!("span {number}"), ..Default::default() }
    }

    fn scope(name: &str, numbers: &[u8]) -> ScopeSpans {
        let spans = numbers.iter().map(|number| span(*number)).collect();
        let scope = Some(InstrumentationScope { name: name.into(), ..Default::default() });
        ScopeSpans { scope, spans, schema_url: format!("schema of {name}") }
    }

    fn group(dropped: u32, scope_spans: Vec<ScopeSpans>) -> ResourceSpans {
        let resource = Some(ProtoResource { dropped_attributes_count: dropped, ..Default::default() });
        ResourceSpans { resource, scope_spans, schema_url: "schema".into() }
    }

    fn parts(request: &ExportTraceServiceRequest) -> Result<Vec<(usize, ExportTraceServiceRequest, u32)>, Malformed> {
        let part_of = |span: &[u8]| Ok(usize::from(walk::trace_id_of(span)?.0[0] % 3));
        let parts = split(Signal::Traces, &Arc::default(), &request.encode_to_vec(), part_of)?;
        // Which scope comes first does not matter.
        let decoded = |batch: &Batch| {
            let mut request = ExportTraceServiceRequest::decode(batch.bytes.clone()).expect("a request");
            let groups = request.resource_spans.iter_mut();
            groups.for_each(|group| group.scope_spans.sort_by(|one, other| one.schema_url.cmp(&other.schema_url)));
            request
        };
        Ok(parts.iter().map(|(part, batch)| (*part, decoded(batch), batch.records)).collect())
    }

    #[test]
    fn every_record_is_in_its_part_with_all_that_it_belongs_to() {
        let (a, b) = (scope("a", &[1, 2, 4]), scope("b", &[2, 7]));
        let request =
            ExportTraceServiceRequest { resource_spans: vec![group(1, vec![a, b]), group(2, vec![scope("a", &[5])])] };
        let one = |group| ExportTraceServiceRequest { resource_spans: vec![group] };
        let expected = vec![
            (1, one(group(1, vec![scope("a", &[1, 4]), scope("b", &[7])])), 3),
            (2, one(group(1, vec![scope("a", &[2]), scope("b", &[2])])), 2),
            (2, one(group(2, vec![scope("a", &[5])])), 1),
        ];
        assert_eq!(parts(&request).expect("well formed"), expected);
    }

    #[test]
    fn more_scopes_than_a_batch_has_room_for() {
        let scopes = (0..700).map(|number| scope(&format!("scope {number}"), &[3])).collect();
        let request = ExportTraceServiceRequest { resource_spans: vec![group(1, scopes)] };
        let parts = parts(&request).expect("well formed");
        assert_eq!(parts.iter().map(|(_, _, records)| records).sum::<u32>(), 700);
        let names = parts.iter().flat_map(|(_, request, _)| &request.resource_spans[0].scope_spans);
        let names: std::collections::BTreeSet<_> = names.map(|scope| scope.schema_url.clone()).collect();
        assert_eq!(names.len(), 700);
    }

    #[test]
    fn what_is_malformed_is_said() {
        let short = Span { trace_id: vec![1; 3], ..Default::default() };
        let scope = ScopeSpans { spans: vec![short], ..Default::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![group(1, vec![scope])] };
        assert_eq!(parts(&request).err(), Some(Malformed));
    }
}
