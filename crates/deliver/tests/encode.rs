//! The bytes that are written by hand, read back by the protobuf library.

use std::sync::Arc;

use deliver::otlp::builder::BatchBuilder;
use deliver::otlp::encode::{ClockOffset, KeyTable, Parts, SpanEncoder, SpanFacts, UnixNanos};
use model::{Attributes, Resource, Source, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;
use record::SpanRecord;
use record::layout::{KEYS, PARTS, extended, item, value};
use record::writer::RecordBuilder;

fn facts(parts: &Parts) -> SpanFacts<'_> {
    SpanFacts {
        name: "GET /a",
        kind: 2,
        start: UnixNanos(1_001_000),
        end: UnixNanos(1_002_000),
        source: Source::Woven,
        dropped: [0; 3],
        unfinished: false,
        status_message: b"",
        tracestate: b"",
        parts,
    }
}

fn keys() -> KeyTable {
    let mut keys = KeyTable::default();
    keys.insert(300, "app.user");
    keys
}

fn encode(out: &mut Vec<u8>, record: &SpanRecord<'_>, facts: &SpanFacts<'_>, clock: ClockOffset) {
    let (mut event, keys) = (Vec::new(), keys());
    let mut encoder = SpanEncoder::begin(out, &mut event, record, clock);
    record.items().for_each(|item| encoder.item(&item, &keys));
    encoder.finish(record, facts);
}

/// Encodes a record and reads it back.
fn round(record: &[u8], facts: &SpanFacts<'_>) -> Span {
    let mut out = Vec::new();
    encode(&mut out, &SpanRecord::parse(record).expect("a record"), facts, ClockOffset(1_000_000));
    let mut spans = ScopeSpans::decode(out.as_slice()).expect("readable").spans;
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    span.attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

/// Every field of a full record arrives.
#[test]
fn a_full_span() {
    let record = RecordBuilder::span([7; 16], [8; 8], 1)
        .parent([9; 8])
        .times(1000, 2000)
        .status(2)
        .flags(1 | 8)
        .text(1, "GET")
        .int(3, -5)
        .item(10, item::FLOAT, &1.5f64.to_le_bytes())
        .item(11, item::BOOL, &1u32.to_le_bytes())
        .text(300, "ann")
        .text(999, "nobody knows this key")
        .item(32, item::STRING, b"/\xff")
        .item(59, item::EVENT, &1500u64.to_le_bytes())
        .text(56, "io.EOF")
        .item(0, item::EVENT_END, b"")
        .item(59, item::EVENT, &1600u64.to_le_bytes())
        .text(57, "cut off")
        .item(0, item::LINK, &[3; 24])
        .build();
    let mut parts = Parts::zeros(0b1010);
    parts.set(5, 1 << 40);
    let facts = SpanFacts {
        unfinished: true,
        status_message: b"no",
        tracestate: b"a=b",
        dropped: [0, 3, 200],
        ..facts(&parts)
    };
    let span = round(&record, &facts);
    assert_eq!((span.trace_id.as_slice(), span.span_id.as_slice()), ([7; 16].as_slice(), [8; 8].as_slice()));
    assert_eq!(span.parent_span_id, [9; 8]);
    assert_eq!((span.name.as_str(), span.kind, span.trace_state.as_str()), ("GET /a", 2, "a=b"));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_001_000, 1_002_000));
    assert_eq!(span.flags, 0x301);
    assert_eq!((span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count), (1, 3, 200));
    let status = span.status.as_ref().expect("status");
    assert_eq!((status.code, status.message.as_str()), (2, "no"));
    let text = |text: &str| Some(Any::StringValue(text.to_owned()));
    assert_eq!(attribute(&span, "http.request.method"), text("GET"));
    assert_eq!(attribute(&span, "http.response.status_code"), Some(Any::IntValue(-5)));
    assert_eq!(attribute(&span, KEYS[9].name), Some(Any::DoubleValue(1.5)));
    assert_eq!(attribute(&span, KEYS[10].name), Some(Any::BoolValue(true)));
    assert_eq!(attribute(&span, "app.user"), text("ann"));
    assert_eq!(attribute(&span, "url.path"), text("/\u{fffd}"));
    assert_eq!(attribute(&span, "tandem.unfinished"), Some(Any::BoolValue(true)));
    let part = |index: usize| attribute(&span, &format!("tandem.anatomy.{}", PARTS[index]));
    assert_eq!((part(1), part(2)), (Some(Any::IntValue(0)), None));
    assert_eq!((part(3), part(5)), (Some(Any::IntValue(0)), Some(Any::IntValue(1 << 40))));
    assert_eq!(span.attributes.len(), 10);
    let event = |index: usize| {
        let event = &span.events[index];
        (event.name.as_str(), event.time_unix_nano, event.attributes.len())
    };
    assert_eq!((event(0), event(1)), (("exception", 1_001_500, 1), ("exception", 1_001_600, 1)));
    assert_eq!((span.links[0].trace_id.len(), span.links[0].span_id.len()), (16, 8));
}

/// Short spans and very long ones: the length before the span is right, however many bytes it takes.
#[test]
fn lengths_of_any_size() {
    for size in [0, 1, 20, 60, 100, 127, 128, 1000, 1900] {
        let record = RecordBuilder::span([7; 16], [8; 8], 1).times(1000, 2000).text(32, "x".repeat(size)).build();
        let span = round(&record, &SpanFacts { name: "", ..facts(&Parts::default()) });
        assert_eq!(attribute(&span, "url.path"), Some(Any::StringValue("x".repeat(size))));
    }
    let name = "n".repeat(20_000);
    let record = RecordBuilder::span([7; 16], [8; 8], 1).times(1000, 2000).build();
    let span = round(&record, &SpanFacts { name: &name, ..facts(&Parts::default()) });
    assert_eq!((span.name.len(), span.kind), (20_000, 2));
}

/// Spans of several scopes become one request, and requests can be joined by writing one after the other.
#[test]
fn batches_join() {
    let attributes = Attributes::from([("service.name".to_owned(), Value::String("shop".to_owned()))]);
    let mut builder = BatchBuilder::new(Arc::new(Resource { attributes }));
    assert!(builder.take().is_none());
    let (http, sql) = (builder.scope("tandem/net/http", "1", ""), builder.scope("tandem/database/sql", "1", ""));
    assert_eq!(builder.scope("tandem/net/http", "1", ""), http);
    assert_ne!(builder.scope("tandem/net/http", "1", "https://example.com/schema"), http);
    let bytes = RecordBuilder::span([7; 16], [8; 8], 1).times(1000, 2000).text(1, "GET").build();
    let record = SpanRecord::parse(&bytes).expect("a record");
    let parts = Parts::default();
    let write = |out: &mut Vec<u8>| {
        encode(out, &record, &facts(&parts), ClockOffset::default());
    };
    (0..300).for_each(|_| builder.add(http, write));
    (0..2).for_each(|_| builder.add(sql, write));
    let first = builder.take().expect("spans");
    assert_eq!((first.records, builder.size()), (302, 0));
    builder.add(sql, write);
    let second = builder.take().expect("a span");
    let joined = [first.bytes, second.bytes].concat();
    let request = ExportTraceServiceRequest::decode(joined.as_slice()).expect("readable");
    let shape: Vec<(String, usize)> = request
        .resource_spans
        .iter()
        .flat_map(|one| &one.scope_spans)
        .map(|one| (one.scope.clone().unwrap_or_default().name, one.spans.len()))
        .collect();
    let scope = |name: &str, count| (name.to_owned(), count);
    assert_eq!(
        shape,
        [scope("tandem/net/http", 300), scope("tandem/database/sql", 2), scope("tandem/database/sql", 1)]
    );
    assert_eq!(request.resource_spans.len(), 2);
}

proptest! {
    /// Any items: what is written is a readable span with the same ids, and text is valid.
    #[test]
    fn any_items_are_readable(
        items in proptest::collection::vec((0u16..400, 1u16..12, proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
        bits: u8, message: Vec<u8>, wall: u64,
    ) {
        let mut builder = RecordBuilder::span([7; 16], [8; 8], 1).times(1000, wall).status(bits % 4).flags(bits);
        for (key, kind, data) in &items {
            builder = match *kind {
                item::INT | item::FLOAT | item::EVENT | item::PART => {
                    builder.item(key % 18, *kind, &[data.len() as u8; 8])
                }
                item::BOOL => builder.item(*key, *kind, &[1; 4]),
                item::LINK => builder.item(*key, *kind, &[9; 24]),
                item::EVENT_END => builder.item(*key, *kind, &[]),
                _ => builder.item(*key, *kind, data),
            };
        }
        let mut parts = Parts::zeros(u32::from(bits));
        parts.set(usize::from(bits % 18), wall);
        let facts = SpanFacts { status_message: &message, tracestate: &message, ..facts(&parts) };
        let span = round(&builder.build(), &facts);
        prop_assert_eq!(span.trace_id, vec![7; 16]);
        prop_assert_eq!(span.name, "GET /a");
        prop_assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
}

/// An extended item's data, with their length before them.
fn extended(builder: RecordBuilder, form: u16, data: &[u8]) -> RecordBuilder {
    builder.item(form, item::EXTENDED, &(data.len() as u32).to_le_bytes()).raw(data)
}

fn sized(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_le_bytes()[..], data].concat()
}

/// What a newer program says in kinds and forms of its own is left out, and nothing else; an event says how much it lacks.
#[test]
fn what_is_not_known_is_left_out() {
    let record = RecordBuilder::span([7; 16], [8; 8], 1)
        .item(7, 13, b"a kind")
        .item(59, item::EVENT, &1u64.to_le_bytes())
        .item(99, item::EXTENDED, &6u32.to_le_bytes())
        .raw(b"a form")
        .text(33, "inside")
        .item(0, item::EVENT_END, b"")
        .item(PARTS.len() as u16, item::PART, &1u64.to_le_bytes())
        .text(34, "last")
        .build();
    let record = SpanRecord::parse(&record).expect("a record");
    let (mut out, mut part, keys) = (Vec::new(), Vec::new(), keys());
    let mut encoder = SpanEncoder::begin(&mut out, &mut part, &record, ClockOffset(0));
    let mut items = record.items();
    for item in items.by_ref() {
        if matches!(item, record::Item::EventEnd) {
            encoder.dropped_inside(3);
        }
        encoder.item(&item, &keys);
    }
    encoder.finish(&record, &facts(&Parts::default()));
    assert!(!items.malformed());
    let span = ScopeSpans::decode(out.as_slice()).expect("readable").spans.remove(0);
    assert_eq!((span.events[0].attributes.len(), span.events[0].dropped_attributes_count), (1, 3));
    let key = |id| KEYS.iter().find(|key| key.id == id).expect("a key").name;
    assert_eq!(attribute(&span, key(34)), Some(Any::StringValue("last".to_owned())));
}

/// What a program tells by hand arrives: any key, any value, events and links with attributes, what was dropped.
#[test]
fn extended_items() {
    let name = |name: &str| [&[0, 0, name.len() as u8, 0][..], name.as_bytes()].concat();
    let one = [&[value::INT][..], &7i64.to_le_bytes()].concat();
    let text = [&[value::STRING][..], &sized(b"a")].concat();
    let list = [&[value::LIST][..], &sized(&[one.clone(), text.clone()].concat())].concat();
    let map = [&[value::MAP][..], &sized(&[sized(b"inner"), list.clone()].concat())].concat();
    let mut builder = RecordBuilder::span([7; 16], [8; 8], 1).times(1000, 2000);
    for (key, value) in [("list", &list), ("map", &map), ("text", &text)] {
        builder = extended(builder, extended::ATTRIBUTE, &[name(key), value.clone()].concat());
    }
    builder = extended(builder, extended::EVENT, &[&5u64.to_le_bytes()[..], &[1], b"at five"].concat());
    builder = extended(builder, extended::ATTRIBUTE, &[name("of the event"), one.clone()].concat()).text(32, "/path");
    builder = builder.item(0, item::EVENT_END, &[]);
    builder = extended(builder, extended::LINK, &[&[1; 16][..], &[2; 8], &0x101u32.to_le_bytes(), b"a=b"].concat());
    builder = extended(builder, extended::ATTRIBUTE, &[name("of the link"), text].concat());
    builder = builder.item(0, item::EVENT_END, &[]).text(33, "after=all");
    let parts = Parts::default();
    let span = round(&builder.build(), &SpanFacts { source: Source::Api, dropped: [1, 2, 3], ..facts(&parts) });

    let shown = |attributes: &[KeyValue]| -> Vec<String> {
        let value = |pair: &KeyValue| pair.value.as_ref().and_then(|value| value.value.clone());
        attributes.iter().map(|pair| format!("{} = {:?}", pair.key, value(pair).map(simple))).collect()
    };
    assert_eq!(
        shown(&span.attributes),
        [
            "list = Some(\"[7, a]\")",
            "map = Some(\"{inner: [7, a]}\")",
            "text = Some(\"a\")",
            "url.query = Some(\"after=all\")",
            "tandem.source = Some(\"api\")"
        ]
    );
    let [event] = &span.events[..] else { panic!("{:?}", span.events) };
    assert_eq!((event.name.as_str(), event.time_unix_nano), ("at five", 5));
    assert_eq!(shown(&event.attributes), ["of the event = Some(\"7\")", "url.path = Some(\"/path\")"]);
    let [link] = &span.links[..] else { panic!("{:?}", span.links) };
    assert_eq!((&link.trace_id[..], &link.span_id[..], link.flags), (&[1; 16][..], &[2; 8][..], 0x101));
    assert_eq!(
        (link.trace_state.as_str(), shown(&link.attributes)),
        ("a=b", vec!["of the link = Some(\"a\")".to_owned()])
    );
    assert_eq!((span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count), (1, 2, 3));
}

fn simple(value: Any) -> String {
    let inner = |value: opentelemetry_proto::tonic::common::v1::AnyValue| simple(value.value.expect("a value"));
    match value {
        Any::StringValue(text) => text,
        Any::IntValue(number) => number.to_string(),
        Any::ArrayValue(list) => format!("[{}]", list.values.into_iter().map(inner).collect::<Vec<_>>().join(", ")),
        Any::KvlistValue(list) => {
            let pair = |pair: KeyValue| format!("{}: {}", pair.key, pair.value.map(inner).unwrap_or_default());
            format!("{{{}}}", list.values.into_iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// A span says where it comes from, in the words that readers know; woven ones, which nearly all are, say nothing.
#[test]
fn spans_say_where_they_come_from() {
    let parts = Parts::default();
    let record = RecordBuilder::span([7; 16], [8; 8], 1).build();
    for source in [Source::Woven, Source::Api, Source::Otlp, Source::Uprobe, Source::Socket] {
        let span = round(&record, &SpanFacts { source, ..facts(&parts) });
        let said = attribute(&span, "tandem.source");
        let word = serde_json::to_value(source).expect("plain data");
        match source {
            Source::Woven => assert_eq!(said, None),
            _ => assert_eq!(said, word.as_str().map(|word| Any::StringValue(word.to_owned()))),
        }
    }
}
