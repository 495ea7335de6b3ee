//! What the protobuf library wrote, read in place; and bytes that nobody wrote.

use deliver::Signal;
use deliver::otlp::check::{self, Level};
use deliver::otlp::regroup::{Verdict, regroup};
use deliver::otlp::walk::{self, AnyValue, Attribute, Field, Malformed, SpanFields, Whole};
use model::{SpanId, StatusCode, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

fn some_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(Any::StringValue),
        any::<bool>().prop_map(Any::BoolValue),
        any::<i64>().prop_map(Any::IntValue),
        (-1e9..1e9).prop_map(Any::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Any::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let value = |value| opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) };
        prop_oneof![
            prop::collection::vec(inner.clone().prop_map(value), 0..4)
                .prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            key_values(inner).prop_map(|values| Any::KvlistValue(KeyValueList { values })),
        ]
    })
}

fn key_values(value: impl Strategy<Value = Any>) -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = ("[a-c.]{0,3}", value).prop_map(|(key, value)| KeyValue {
        key,
        value: Some(opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) }),
        ..Default::default()
    });
    prop::collection::vec(pair, 0..4)
}

prop_compose! {
    fn span()(
        ids in any::<([u8; 16], [u8; 8], Option<[u8; 8]>)>(),
        texts in (".{0,9}", ".{0,9}"),
        numbers in any::<(u32, u64, u64)>(),
        (kind, code) in (0..9i32, prop::option::of(0..4i32)),
        attributes in key_values(some_value()),
    ) -> Span {
        Span {
            trace_id: ids.0.to_vec(),
            span_id: ids.1.to_vec(),
            parent_span_id: ids.2.map(Vec::from).unwrap_or_default(),
            trace_state: texts.0,
            name: texts.1,
            kind,
            flags: numbers.0,
            start_time_unix_nano: numbers.1,
            end_time_unix_nano: numbers.2,
            attributes,
            status: code.map(|code| Status { code, message: "why".to_owned() }),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn scope_spans()(
        name in "[a-z]{0,5}",
        schema_url in "[a-z]{0,5}",
        spans in prop::collection::vec(span(), 0..4),
    ) -> ScopeSpans {
        let scope = (!name.is_empty()).then(|| InstrumentationScope { name, ..Default::default() });
        ScopeSpans { scope, spans, schema_url }
    }
}

prop_compose! {
    fn request()(
        groups in prop::collection::vec((key_values(some_value()), prop::collection::vec(scope_spans(), 0..3), "[a-z]{0,5}"), 0..3),
    ) -> ExportTraceServiceRequest {
        let resource_spans = groups.into_iter().map(|(attributes, scope_spans, schema_url)| ResourceSpans {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_spans,
            schema_url,
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
    }
}

fn same_value(read: AnyValue<'_>, written: &Any) -> bool {
    match (read, written) {
        (AnyValue::String(read), Any::StringValue(written)) => read == written.as_bytes(),
        (AnyValue::Bool(read), Any::BoolValue(written)) => read == *written,
        (AnyValue::Int(read), Any::IntValue(written)) => read == *written,
        (AnyValue::Double(read), Any::DoubleValue(written)) => read.to_bits() == written.to_bits(),
        (AnyValue::Bytes(read), Any::BytesValue(written)) => read == written,
        (AnyValue::Array(read), Any::ArrayValue(written)) => {
            let read: Vec<_> = walk::values(read).collect::<Result<_, _>>().expect("readable");
            let values = written.values.iter().map(|value| value.value.as_ref().expect("a value"));
            read.len() == written.values.len()
                && read.into_iter().zip(values).all(|(read, value)| same_value(read, value))
        }
        (AnyValue::Map(read), Any::KvlistValue(written)) => same_attributes(walk::entries(read), &written.values),
        _ => false,
    }
}

fn same_attributes<'a>(read: impl Iterator<Item = Result<Attribute<'a>, Malformed>>, written: &[KeyValue]) -> bool {
    let read: Vec<_> = read.collect::<Result<_, _>>().expect("readable");
    read.len() == written.len()
        && read.iter().zip(written).all(|(read, written)| {
            let value = written.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
            read.key == written.key.as_bytes() && same_value(AnyValue::read(read.value).expect("readable"), value)
        })
}

fn same_span(read: &[u8], written: &Span) {
    let fields = SpanFields::read(read).expect("readable");
    let id = |bytes: &[u8]| SpanId(bytes.try_into().unwrap_or_default());
    let code = written.status.as_ref().map_or(0, |status| status.code);
    let parent = id(&written.parent_span_id);
    let expected = SpanFields {
        trace_id: TraceId(written.trace_id.as_slice().try_into().expect("an id")),
        span_id: id(&written.span_id),
        tracestate: written.trace_state.as_bytes(),
        parent_span_id: (!parent.is_zero()).then_some(parent),
        name: written.name.as_bytes(),
        kind: written.kind,
        start_unix_nano: written.start_time_unix_nano,
        end_unix_nano: written.end_time_unix_nano,
        status: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error, StatusCode::Unset][code as usize],
        flags: written.flags,
    };
    assert_eq!(fields, expected);
    assert_eq!(walk::trace_id_of(read), Ok(fields.trace_id));
    assert!(same_attributes(walk::attributes(read, walk::SPAN_ATTRIBUTES), &written.attributes));
    for written in &written.attributes {
        assert!(walk::attribute(read, walk::SPAN_ATTRIBUTES, &written.key).expect("readable").is_some());
    }
}

/// Reads all there is to read, whatever it is.
fn read_all(request: &[u8]) -> Result<usize, Malformed> {
    let mut spans = 0;
    for group in walk::resources(request) {
        let group = group?;
        walk::attributes(group.resource, walk::RESOURCE_ATTRIBUTES).for_each(drop);
        for scope in group.scopes() {
            let scope = scope?;
            let _ = scope.name();
            for record in scope.records() {
                let (mut keys, record) = (Vec::new(), record?);
                let _ = SpanFields::read_with(record, |attribute| {
                    keys.extend(Attribute::read(attribute)?.map(|attribute| attribute.key));
                    Ok(())
                });
                spans += 1;
            }
        }
    }
    Ok(spans)
}

type Read<'a> = Vec<(SpanFields<'a>, Vec<Attribute<'a>>)>;

/// Checks all of a request and reads its spans, in one walk.
fn checked_while_read(request: &[u8]) -> Result<Read<'_>, Malformed> {
    let mut read = Vec::new();
    for (number, field, whole) in Whole::of(request) {
        let (1, Field::Bytes(group)) = (number, field?) else {
            check::beside_spans(Level::Request, whole)?;
            continue;
        };
        let regrouped = regroup(group, |span| {
            let mut attributes = Vec::new();
            let fields = check::span(span, |attribute, key_value| {
                assert_eq!(Attribute::read(key_value), Ok(Some(attribute)));
                attributes.push(attribute);
            })?;
            read.push((fields, attributes));
            Ok(Verdict::Kept)
        })?;
        regrouped.check_beside_spans()?;
    }
    Ok(read)
}

/// The same in two: first whether it is sound, then what is in it.
fn checked_then_read(request: &[u8]) -> Result<Read<'_>, Malformed> {
    check::request(Signal::Traces, request)?;
    let mut read = Vec::new();
    for group in walk::resources(request) {
        for scope in group?.scopes() {
            for span in scope?.records() {
                let mut attributes = Vec::new();
                let fields = SpanFields::read_with(span?, |key_value| {
                    attributes.extend(Attribute::read(key_value)?);
                    Ok(())
                })?;
                read.push((fields, attributes));
            }
        }
    }
    Ok(read)
}

/// Writes the request of [`request`] in another way: a field that nobody knows, text that is none, or what is longer than most.
fn strangely(mut request: ExportTraceServiceRequest, how: u8) -> Vec<u8> {
    let mut spans = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
    if let Some(span) = spans.find_map(|scope| scope.spans.last_mut()) {
        let value = match how % 4 {
            0 => Any::StringValue("long".repeat(usize::from(how))),
            1 => Any::StringValue("\u{fc}".repeat(usize::from(how))),
            2 => Any::BytesValue(vec![how; 9]),
            _ => Any::IntValue(how.into()),
        };
        let value = Some(opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) });
        span.attributes.push(KeyValue { key: "k".repeat(usize::from(how / 2)), value, ..Default::default() });
    }
    let mut bytes = request.encode_to_vec();
    bytes.extend_from_slice([&b""[..], b"\x08\x01", b"\x12\x00", b"\x0a\x02\x10\x01"][usize::from(how % 4)]);
    bytes
}

proptest! {
    /// What is sound in the eyes of the one is so in the eyes of the other, and they read the same.
    #[test]
    fn one_walk_says_what_two_say(request in request(), how: u8, damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>()))) {
        let mut bytes = if how == 0 { request.encode_to_vec() } else { strangely(request, how) };
        if let (Some((at, byte)), false) = (damage, bytes.is_empty()) {
            let place = at.index(bytes.len());
            bytes[place] = byte;
        }
        prop_assert_eq!(checked_while_read(&bytes), checked_then_read(&bytes));
    }

    #[test]
    fn requests_are_read_as_they_were_written(request in request()) {
        let bytes = request.encode_to_vec();
        let groups: Vec<_> = walk::resources(&bytes).collect::<Result<_, _>>().expect("readable");
        prop_assert_eq!(groups.len(), request.resource_spans.len());
        for (group, written) in groups.iter().zip(&request.resource_spans) {
            let attributes = &written.resource.as_ref().expect("a resource").attributes;
            prop_assert!(same_attributes(walk::attributes(group.resource, walk::RESOURCE_ATTRIBUTES), attributes));
            prop_assert_eq!(group.schema_url, written.schema_url.as_bytes());
            let scopes: Vec<_> = group.scopes().collect::<Result<_, _>>().expect("readable");
            prop_assert_eq!(scopes.len(), written.scope_spans.len());
            for (scope, written) in scopes.iter().zip(&written.scope_spans) {
                let name = written.scope.as_ref().map_or("", |scope| &scope.name);
                prop_assert_eq!((scope.name(), scope.schema_url), (Ok(name.as_bytes()), written.schema_url.as_bytes()));
                let spans: Vec<_> = scope.records().collect::<Result<_, _>>().expect("readable");
                prop_assert_eq!(spans.len(), written.spans.len());
                spans.iter().zip(&written.spans).for_each(|(read, written)| same_span(read, written));
            }
        }
    }

    /// Whatever is cut or changed: an error or something else, never more.
    #[test]
    fn broken_requests_do_no_harm(request in request(), cut in 0..2000usize, at in 0..2000usize, byte: u8) {
        let mut bytes = request.encode_to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = read_all(&bytes);
        bytes.truncate(cut);
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
    }
}
