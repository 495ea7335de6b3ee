//! What the store promises of log records: what goes in comes out, filters find, limits hold, beside traces.

mod fixture;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use deliver::otlp::builder::any_value;
use deliver::{Batch, Signal, Sink};
use fixture::{Details, START, flush, resource, unlimited};
use model::{LogRecord, SpanId, TraceId, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use prost::Message;
use store::{Limits, LogFilter, LogStore, Reader, Store};
use tempfile::TempDir;

fn record(service: &str, number: u8, severity: u8, seconds: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: START + seconds * 1_000_000_000,
        observed_unix_nano: START + seconds * 1_000_000_000 + 5,
        severity_number: severity,
        severity_text: "WORD".to_owned(),
        event_name: "happened".to_owned(),
        body: Value::String(format!("record {number} of größe 🍣")),
        attributes: [
            ("list".to_owned(), Value::Array(vec![Value::Int(1), Value::Bool(true)])),
            ("user".to_owned(), Value::String("ann".to_owned())),
        ]
        .into(),
        trace_id: (number > 0).then_some(TraceId([number; 16])),
        span_id: (number > 0).then_some(SpanId([number; 8])),
        trace_flags: number & 1,
        service: service.to_owned(),
        scope: "tandem/log/slog".to_owned(),
        resource: resource(service),
    }
}

fn batch(records: &[LogRecord]) -> Arc<Batch> {
    let pairs = |attributes: &model::Attributes| {
        let pair = |(key, value): (&String, &Value)| KeyValue {
            key: key.clone(),
            value: Some(any_value(value)),
            ..Default::default()
        };
        attributes.iter().map(pair).collect::<Vec<_>>()
    };
    let log_records = records
        .iter()
        .map(|record| proto::LogRecord {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_unix_nano,
            severity_number: record.severity_number.into(),
            severity_text: record.severity_text.clone(),
            event_name: record.event_name.clone(),
            body: Some(any_value(&record.body)),
            attributes: pairs(&record.attributes),
            flags: record.trace_flags.into(),
            trace_id: record.trace_id.map(|id| id.0.to_vec()).unwrap_or_default(),
            span_id: record.span_id.map(|id| id.0.to_vec()).unwrap_or_default(),
            ..Default::default()
        })
        .collect();
    let scope = InstrumentationScope { name: records[0].scope.clone(), ..Default::default() };
    let scope_logs = vec![proto::ScopeLogs { scope: Some(scope), log_records, ..Default::default() }];
    let resource = ProtoResource { attributes: pairs(&records[0].resource.attributes), ..Default::default() };
    let resource_logs = vec![proto::ResourceLogs { resource: Some(resource), scope_logs, ..Default::default() }];
    Arc::new(Batch {
        signal: Signal::Logs,
        resource: Arc::clone(&records[0].resource),
        bytes: Bytes::from(ExportLogsServiceRequest { resource_logs }.encode_to_vec()),
        records: records.len() as u32,
    })
}

/// A store with these batches in it.
fn written(limits: Limits, batches: &[Arc<Batch>]) -> (TempDir, LogStore) {
    let folder = TempDir::new().expect("a temporary folder");
    let store = LogStore(Arc::new(Store::open(folder.path(), limits).expect("the store opens")));
    for batch in batches {
        store.offer(batch).expect("the queue has room");
    }
    flush(&store);
    (folder, store)
}

fn found(folder: &TempDir, filter: &LogFilter) -> Vec<LogRecord> {
    Reader::open(folder.path()).expect("the store opens").logs(filter).expect("the query runs").0
}

fn all() -> LogFilter {
    LogFilter { limit: 1000, ..LogFilter::default() }
}

#[test]
fn a_record_comes_out_as_it_went_in() {
    let records = [record("cart", 0, 9, 0), record("cart", 1, 17, 1), record("cart", 2, 5, 2)];
    let (folder, store) = written(unlimited(), &[batch(&records)]);
    assert_eq!(found(&folder, &all()), records);
    let (logs, spans) = (store.report(), store.0.report());
    assert_eq!((logs.signal, logs.delivered, spans.signal, spans.delivered), (Signal::Logs, 3, Signal::Traces, 0));
}

#[test]
fn a_query_finds_what_was_written_in_spans_that_fit() {
    let records = [record("cart", 0, 9, 0), record("cart", 1, 9, 1), record("cart", 2, 9, 2), record("cart", 3, 9, 3)];
    let (folder, store) = written(unlimited(), &[batch(&records)]);
    let span = |number: u8| {
        let mut span = fixture::span(1, 1, 0, "cart", "GET /cart", 0, 10);
        (span.trace_id, span.span_id) = (TraceId([number; 16]), SpanId([number; 8]));
        span
    };
    store.offer(&fixture::batch_of(&[span(1), span(2).failed("no stock"), span(3)])).expect("the queue has room");
    flush(&store);
    let ask =
        |query: &str, limit| found(&folder, &LogFilter { query: query.parse().expect("a query"), limit, ..all() });
    assert_eq!(ask("status=error", 10), records[2..3]);
    assert_eq!(ask("service=cart", 2), records[2..]);
    assert_eq!(ask("service=cart", 10), records[1..], "one was written outside of spans");
    assert_eq!(ask("service=shop", 10), []);
}

#[test]
fn filters_find_by_trace_service_severity_time_and_number() {
    let (cart, shop) =
        ([record("cart", 1, 9, 0), record("cart", 0, 17, 4), record("cart", 2, 13, 2)], [record("shop", 1, 5, 3)]);
    let (folder, store) = written(unlimited(), &[batch(&cart), batch(&shop)]);
    let bodies = |filter: LogFilter| {
        let found = found(&folder, &filter).into_iter();
        found.map(|log| format!("{} {}", log.service, log.severity_number)).collect::<Vec<_>>()
    };
    assert_eq!(bodies(all()), ["cart 9", "cart 13", "shop 5", "cart 17"], "by their time");
    assert_eq!(bodies(LogFilter { limit: 2, ..all() }), ["shop 5", "cart 17"], "the newest");
    assert_eq!(bodies(LogFilter { trace: Some(TraceId([1; 16])), ..all() }), ["cart 9", "shop 5"]);
    assert_eq!(bodies(LogFilter { service: Some("shop".to_owned()), ..all() }), ["shop 5"]);
    assert_eq!(bodies(LogFilter { min_severity: 13, ..all() }), ["cart 13", "cart 17"]);
    assert_eq!(bodies(LogFilter { since_unix_nano: Some(START + 3_000_000_000), ..all() }), ["shop 5", "cart 17"]);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let (_, last) = reader.logs(&all()).expect("the query runs");
    assert_eq!(bodies(LogFilter { after: Some(last), ..all() }), [""; 0]);
    store.offer(&batch(&[record("late", 3, 1, 9)])).expect("room");
    flush(&store);
    assert_eq!(bodies(LogFilter { after: Some(last), ..all() }), ["late 1"]);
    assert_eq!(bodies(LogFilter { after: Some(last + 1000), ..all() }).len(), 5, "the table was emptied meanwhile");
}

#[test]
fn garbage_costs_only_itself() {
    let mut damaged = record("cart", 1, 9, 0);
    damaged.trace_id = None;
    let sound = batch(&[damaged.clone()]);
    let garbage = Batch { bytes: Bytes::from_static(b"\xff\xff\xff"), records: 7, ..(*sound).clone() };
    let (folder, store) = written(unlimited(), &[Arc::new(garbage), sound]);
    let report = store.report();
    assert_eq!((report.delivered, report.dropped), (1, [("malformed", 7)].into()));
    assert_eq!(found(&folder, &all()).len(), 1);
}

#[test]
fn records_that_are_too_old_go() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let (mut old, mut young) = (record("cart", 1, 9, 0), record("cart", 2, 9, 0));
    old.time_unix_nano = now - 7200 * 1_000_000_000;
    young.time_unix_nano = now;
    let (folder, store) = written(unlimited(), &[batch(&[old, young.clone()])]);
    drop(store);
    let limits = Limits { age: Duration::from_secs(3600), ..unlimited() };
    let store = Store::open(folder.path(), limits).expect("the store opens");
    flush(&store);
    assert_eq!(found(&folder, &all()), [young]);
}

/// Log records and traces share the room: the oldest of both go.
#[test]
fn a_store_stays_below_its_size() {
    let limits = Limits { bytes: 2 << 20, ..unlimited() };
    let mut record = record("cart", 1, 9, 0);
    record.body = Value::String("x".repeat(2000));
    let (folder, store) = written(limits, &[]);
    for _ in 0..30 {
        let records: Vec<_> = (0..100)
            .map(|_| {
                record.time_unix_nano += 1;
                record.clone()
            })
            .collect();
        store.offer(&batch(&records)).expect("room");
        flush(&store);
    }
    assert_eq!(store.report().delivered, 3000);
    let left = found(&folder, &LogFilter { limit: 10_000, ..all() });
    assert!(left.len() > 300 && left.len() < 1000, "{} are left", left.len());
    assert_eq!(left.last().map(|log| log.time_unix_nano), Some(record.time_unix_nano), "the newest stay");
    drop(store);
    let size = std::fs::metadata(folder.path().join("spans.sqlite3")).expect("the database").len();
    assert!(size < 3 << 20, "{size} bytes");
}

/// A store that was written by a Tandem that knew no log records has none; once one writes to it there can be some.
#[test]
fn an_older_store_has_no_logs() {
    let (folder, store) = written(unlimited(), &[]);
    drop(store);
    let file = folder.path().join("spans.sqlite3");
    rusqlite::Connection::open(&file).and_then(|database| database.execute_batch("DROP TABLE log")).expect("dropped");
    assert_eq!(found(&folder, &all()), []);
    let store = LogStore(Arc::new(Store::open(folder.path(), unlimited()).expect("the store opens")));
    store.offer(&batch(&[record("cart", 1, 9, 0)])).expect("room");
    flush(&store);
    assert_eq!(found(&folder, &all()).len(), 1);
}
