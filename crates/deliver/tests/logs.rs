//! Log records as OTLP bytes, read back by the protobuf library.

use std::sync::Arc;

use deliver::Signal;
use deliver::otlp::builder::BatchBuilder;
use deliver::otlp::decode;
use deliver::otlp::encode::ClockOffset;
use deliver::otlp::logs::{LogEncoder, LogFaults};
use model::{Attributes, LogRecord, Resource, SpanId, TraceId, Value};
use proptest::prelude::*;
use record::layout::{RECORD_FLAG_CUT, log_item};
use record::writer::LogBuilder;

/// Encodes a record as a batch and reads it back.
fn round(record: &[u8]) -> (LogRecord, LogFaults) {
    let service = ("service.name".to_owned(), Value::String("shop".to_owned()));
    let mut builder = BatchBuilder::of(Signal::Logs, Arc::new(Resource { attributes: Attributes::from([service]) }));
    let scope = builder.scope("tandem/log/slog", "1", "");
    let mut faults = LogFaults::default();
    let mut encoder = LogEncoder::default();
    builder.add(scope, |out| {
        let log = record::LogRecord::parse(record).expect("a record");
        faults = encoder.encode(out, &log, ClockOffset(1000));
    });
    let batch = builder.take().expect("a batch");
    assert_eq!((batch.signal, batch.records), (Signal::Logs, 1));
    let mut logs = decode::logs(&batch.bytes).expect("readable");
    assert_eq!(logs.len(), 1);
    (logs.remove(0), faults)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Every field of a full record arrives; of an attribute that is given twice the last one.
#[test]
fn a_full_record() {
    let record = LogBuilder::new(1, 13, 5000)
        .span([7; 16], [8; 8], 1)
        .time(1_700_000_000_000_000_000)
        .flags(RECORD_FLAG_CUT)
        .item("", log_item::SEVERITY_TEXT, b"WARN")
        .body("größe ")
        .body("\u{1F363} 2")
        .item("", log_item::EVENT_NAME, b"cart.filled")
        .item("", log_item::FUNCTION, b"main.cart")
        .item("", log_item::FILE, b"/src/cart.go")
        .item("", log_item::LINE, &42u32.to_le_bytes())
        .text("user", "bob")
        .text("user", "ann")
        .int("request.id", -7)
        .item("ratio", log_item::FLOAT, &0.5f64.to_bits().to_le_bytes())
        .item("retry", log_item::BOOL, &[1])
        .item("ids", log_item::JSON, br#"[1,"a",null,{"b":[2.5]}]"#)
        .item("order", log_item::JSON, br#"{"id":18446744073709551615,"lines":{"count":2},"none":null}"#)
        .item("broken", log_item::JSON, b"{not json")
        .build();
    let (log, faults) = round(&record);
    assert!(!faults.malformed_items);
    assert_eq!((log.time_unix_nano, log.observed_unix_nano), (1_700_000_000_000_000_000, 6000));
    assert_eq!((log.severity_number, log.severity_text.as_str()), (13, "WARN"));
    assert_eq!(log.body, text("größe \u{1F363} 2"));
    assert_eq!(log.event_name, "cart.filled");
    assert_eq!((log.trace_id, log.span_id, log.trace_flags), (Some(TraceId([7; 16])), Some(SpanId([8; 8])), 1));
    assert_eq!((log.service.as_str(), log.scope.as_str()), ("shop", "tandem/log/slog"));
    let list = vec![
        Value::Int(1),
        text("a"),
        text(""),
        Value::Map([("b".to_owned(), Value::Array(vec![Value::Float(2.5)]))].into()),
    ];
    let expected = [
        ("broken", text("{not json")),
        ("code.file.path", text("/src/cart.go")),
        ("code.function.name", text("main.cart")),
        ("code.line.number", Value::Int(42)),
        ("ids", Value::Array(list)),
        ("order.id", text("18446744073709551615")),
        ("order.lines.count", Value::Int(2)),
        ("ratio", Value::Float(0.5)),
        ("request.id", Value::Int(-7)),
        ("retry", Value::Bool(true)),
        ("user", text("ann")),
    ];
    assert_eq!(log.attributes, expected.map(|(key, value)| (key.to_owned(), value)).into());
}

/// A record outside of spans, without a time of its own: that of its observation.
#[test]
fn an_empty_record() {
    let (log, _) = round(&LogBuilder::new(1, 0, 5000).build());
    assert_eq!((log.time_unix_nano, log.observed_unix_nano, log.severity_number), (6000, 6000, 0));
    assert_eq!((log.trace_id, log.span_id, log.trace_flags), (None, None, 0));
    assert!(log.attributes.is_empty());
}

/// A line of JSON that is cut gives what came before, whatever it is cut in; what is to be omitted is.
#[test]
fn a_line_of_json() {
    let line = r#"{"level":"info","a":1,"group":{"b":true,"c":["x","y"]},"text":"z"}"#;
    for size in 0..=line.len() {
        let cut = line[..size].len() / 2;
        let record = LogBuilder::new(1, 9, 1)
            .flags(RECORD_FLAG_CUT)
            .item("", log_item::JSON, &line.as_bytes()[..cut])
            .item("", log_item::OMIT, b"level")
            .item("", log_item::JSON, &line.as_bytes()[cut..size])
            .build();
        let (log, _) = round(&record);
        assert_eq!(log.attributes.contains_key("a"), size > line.find(r#","group"#).expect("there"), "{size}");
        assert_eq!(log.attributes.contains_key("group.b"), size >= line.find(r#","c""#).expect("there"), "{size}");
        assert!(!log.attributes.contains_key("level"));
    }
    let (log, _) = round(&LogBuilder::new(1, 9, 1).item("", log_item::JSON, line.as_bytes()).build());
    assert_eq!(log.attributes.len(), 5);
    let deep = format!("{}1", r#"{"a":"#.repeat(100));
    assert!(round(&LogBuilder::new(1, 9, 1).item("", log_item::JSON, deep.as_bytes()).build()).0.attributes.is_empty());
}

proptest! {
    /// Any items: the message stays readable.
    #[test]
    fn any_items(items in proptest::collection::vec(any::<u8>(), 0..2048), kind in 1u16..12, name in ".{0,40}", data: Vec<u8>) {
        round(&LogBuilder::new(1, 9, 1).item(&name, kind, &data).build());
        let mut record = LogBuilder::new(1, 9, 1).build();
        record.extend(&items);
        record.resize(record.len().next_multiple_of(8), 0);
        let size = record.len() as u32;
        record[..4].copy_from_slice(&size.to_le_bytes());
        round(&record);
    }
}
