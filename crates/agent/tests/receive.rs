//! Scenario: requests of OTLP, sound, strange and made to do harm, straight into an agent. Guarantee: what is sound comes out span by
//! span as it went in, measured exactly; whatever is sent, what the agent keeps of it is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use agent::{Agent, Config};
use bytes::Bytes;
use deliver::otlp::decode;
use deliver::otlp::server::{Accepted, Receiver, Refused, from_json};
use deliver::{Batch, Signal, Sink, SinkReport};
use model::{Source, Span};
use proptest::prelude::*;
use record::InstrumentValue;
use serde_json::{Value, json};

/// Keeps batches, as long as it has room.
struct Keep {
    signal: Signal,
    batches: Mutex<Vec<Arc<Batch>>>,
    is_full: AtomicBool,
}

impl Keep {
    fn of(signal: Signal) -> Arc<Self> {
        Arc::new(Self { signal, batches: Mutex::default(), is_full: AtomicBool::new(false) })
    }

    fn take(&self) -> Vec<Arc<Batch>> {
        std::mem::take(&mut *self.batches.lock().expect("whole"))
    }
}

impl Sink for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn has_room(&self, _batches: usize, _bytes: usize) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), deliver::Refused> {
        self.batches.lock().expect("whole").push(Arc::clone(batch));
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport { signal: self.signal, ..SinkReport::default() }
    }
}

struct Rig {
    agent: Agent,
    receiver: Arc<dyn Receiver>,
    spans: Arc<Keep>,
    logs: Arc<Keep>,
    metrics: Arc<Keep>,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    rig_that(false)
}

/// One that puts together what several tell of the same operations, or not.
fn rig_that(correlates: bool) -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let [spans, logs, metrics] = [Signal::Traces, Signal::Logs, Signal::Metrics].map(Keep::of);
    let config = Config {
        socket: folder.path().join("agent.sock"),
        scan: false,
        sinks: vec![Arc::clone(&spans) as _, Arc::clone(&logs) as _, Arc::clone(&metrics) as _],
        attributes: agent::attributes::Rules::default(),
        shows_received: true,
        fold: Default::default(),
        service_graph: Default::default(),
        correlates,
        regulating: None,
        kernel: None,
        profiling: None,
        observing: None,
        cardinality_limit: None,
    };
    let agent = Agent::start(config).expect("it starts");
    Rig { receiver: agent.receiver(), agent, spans, logs, metrics, _folder: folder }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

fn attribute(key: &str, text: &str) -> Value {
    json!({"key": key, "value": {"stringValue": text}})
}

fn span(number: u64, attributes: Vec<Value>) -> Value {
    json!({
        "traceId": format!("{:032x}", number / 4 + 1), "spanId": format!("{:016x}", number + 1), "name": format!("op {}", number % 3),
        "kind": number % 6, "startTimeUnixNano": (now() - 1_000_000).to_string(), "endTimeUnixNano": now().to_string(),
        "attributes": attributes, "flags": 257, "events": [{"timeUnixNano": "5", "name": "e"}],
    })
}

fn group(service: &str, scopes: Vec<Value>) -> Value {
    json!({"resource": {"attributes": [attribute("service.name", service)]}, "scopeSpans": scopes, "schemaUrl": "https://example.com/1"})
}

fn traces(groups: &[Value]) -> Bytes {
    let request = json!({"resourceSpans": groups}).to_string();
    from_json::request(Signal::Traces, request.as_bytes()).expect("OTLP")
}

fn decoded(batches: &[Arc<Batch>]) -> Vec<Span> {
    let spans = batches.iter().flat_map(|batch| decode::spans(&batch.bytes).expect("spans"));
    spans.collect()
}

/// What spans are, but for where they come from.
fn plain(mut spans: Vec<Span>) -> Vec<Span> {
    spans.iter_mut().for_each(|span| span.source = Source::Otlp);
    spans
}

/// Large and small, many resources and scopes: every span comes out once and as it was, in batches of one resource that are not
/// too large for any receiver, and the counts by name are exact.
#[test]
fn spans_come_out_as_they_went_in() {
    let rig = rig();
    let long = "x".repeat(2000);
    let mut number = 0;
    let mut scope = |spans: u64, text: &str| {
        let spans: Vec<Value> = (0..spans)
            .map(|_| {
                number += 1;
                span(number, vec![attribute("text", text)])
            })
            .collect();
        json!({"scope": {"name": "s", "version": "1"}, "spans": spans, "schemaUrl": "https://example.com/2"})
    };
    let groups = [
        group("large", vec![scope(900, &long), scope(0, ""), scope(5, "a")]),
        group("small", vec![scope(1, "a")]),
        group("empty", vec![scope(0, "")]),
        group("huge", vec![scope(2, &"y".repeat(1 << 20))]),
        group("large", vec![scope(7, "b")]),
    ];
    let request = traces(&groups);
    assert_eq!(rig.receiver.receive(Signal::Traces, request.clone()), Ok(Accepted::default()));
    let batches = rig.spans.take();
    assert_eq!(batches.iter().map(|batch| batch.records).sum::<u32>(), 915);
    for batch in &batches {
        let spans = decode::spans(&batch.bytes).expect("spans");
        assert_eq!((spans.len(), spans[0].service.as_str()), (batch.records as usize, batch.resource.service()));
        assert!(
            batch.bytes.len() < 1_100_000 || spans.len() == 1,
            "{} bytes of {} spans",
            batch.bytes.len(),
            spans.len()
        );
        assert!(batch.bytes.windows(21).any(|window| window == b"https://example.com/1"), "the schema is left out");
    }
    let (sent, received) = (decode::spans(&request).expect("spans"), decoded(&batches));
    assert!(received.iter().all(|span| span.source == Source::Otlp));
    assert!(plain(sent.clone()) == received, "a span is not what it was");

    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    sent.iter().for_each(|span| *expected.entry(span.name.clone()).or_default() += 1);
    let mut measured: BTreeMap<String, u64> = BTreeMap::new();
    for series in rig.agent.metrics()().red {
        *measured.entry(series.key.span_name.clone()).or_default() += series.count();
    }
    assert_eq!(measured, expected);
}

/// What says itself where it comes from is left as it is; so are log records and metrics, to the byte.
#[test]
fn what_need_not_change_does_not() {
    let rig = rig();
    let own = traces(&[group("a", vec![json!({"spans": [span(1, vec![attribute("tandem.source", "socket")])]})])]);
    assert_eq!(rig.receiver.receive(Signal::Traces, own.clone()), Ok(Accepted::default()));
    let batches = rig.spans.take();
    assert_eq!((batches.len(), &batches[0].bytes, decoded(&batches)[0].source), (1, &own, Source::Socket));

    let log = json!({"timeUnixNano": now().to_string(), "body": {"stringValue": "said"}});
    let group = |name: &str| json!({"resource": {"attributes": [attribute("service.name", name)]}, "scopeLogs": [{"logRecords": [log, log]}]});
    let request = json!({"resourceLogs": [group("a"), group("b")]}).to_string();
    let request = from_json::request(Signal::Logs, request.as_bytes()).expect("OTLP");
    assert_eq!(rig.receiver.receive(Signal::Logs, request.clone()), Ok(Accepted::default()));
    let batches = rig.logs.take();
    let services: Vec<_> = batches.iter().map(|batch| (batch.resource.service(), batch.records)).collect();
    assert_eq!(services, [("a", 2), ("b", 2)]);
    assert_eq!(batches.iter().map(|batch| &batch.bytes[..]).collect::<Vec<_>>().concat(), request);

    let point = json!({"timeUnixNano": "1", "asInt": "5"});
    let metrics =
        json!([{"name": "m", "sum": {"dataPoints": [point, point]}}, {"name": "g", "gauge": {"dataPoints": [point]}}]);
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    let request = from_json::request(Signal::Metrics, request.as_bytes()).expect("OTLP");
    assert_eq!(rig.receiver.receive(Signal::Metrics, request.clone()), Ok(Accepted::default()));
    let batches = rig.metrics.take();
    assert_eq!((batches.len(), &batches[0].bytes, batches[0].records), (1, &request, 3));
    let received = rig.agent.statistics().received;
    assert_eq!((received.spans, received.logs, received.points), (1, 4, 3));
    let own = rig.agent.metrics()().own;
    let hidden =
        own.iter().find(|metric| metric.name == "tandem_received_metrics_not_shown_total").expect("there is one");
    assert_eq!(hidden.points[0].1, 2, "the sum's temporality is not told");
}

/// Deltas are added up, once each however often they are sent; an exponential histogram is one with bounds; and what has no such form is counted.
#[test]
fn received_metrics_are_totals() {
    let rig = rig();
    let send = |time: u64| {
        let times = json!({"startTimeUnixNano": (time - 1).to_string(), "timeUnixNano": time.to_string()});
        let point = |more: Value| {
            let mut point = times.clone();
            point.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            json!([point])
        };
        let (delta, total) = (1, 2);
        let number = point(json!({"asInt": "5"}));
        let metrics = json!([
            {"name": "sum", "sum": {"aggregationTemporality": delta, "isMonotonic": true, "dataPoints": number}},
            {"name": "level", "sum": {"aggregationTemporality": delta, "dataPoints": number}},
            {"name": "sizes", "histogram": {"aggregationTemporality": delta, "dataPoints":
                point(json!({"count": "3", "sum": 7.5, "explicitBounds": [1, 2], "bucketCounts": ["1", "0", "2"]}))}},
            {"name": "times", "exponentialHistogram": {"aggregationTemporality": total, "dataPoints":
                point(json!({"count": "3", "sum": 9, "scale": 1, "zeroCount": "1", "positive": {"offset": 2, "bucketCounts": ["2"]}}))}},
        ]);
        let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
        let request = from_json::request(Signal::Metrics, request.as_bytes()).expect("OTLP");
        assert_eq!(rig.receiver.receive(Signal::Metrics, request), Ok(Accepted::default()));
    };
    [10, 20, 20].into_iter().for_each(send);
    let shown = rig.agent.metrics()();
    let value = |name: &str| {
        let metric = shown.received.iter().find(|metric| metric.name == name);
        metric.map(|metric| (metric.points[0].start.0, metric.points[0].value.clone()))
    };
    assert_eq!(value("sum"), Some((9, InstrumentValue::Int(10))));
    assert_eq!(value("level"), None);
    let sizes = InstrumentValue::Histogram { bounds: vec![1.0, 2.0], counts: vec![2, 0, 4], sum: 15.0 };
    assert_eq!(value("sizes"), Some((9, sizes)));
    let Some((19, InstrumentValue::Histogram { bounds, counts, sum })) = value("times") else { panic!("no histogram") };
    // Bucket 2 of scale 1 ends at 2 to the power of 1.5.
    let place = bounds.iter().position(|bound| *bound == 1.5_f64.exp2()).expect("its bound");
    assert_eq!((counts[0], counts[place], counts.iter().sum::<u64>(), sum), (1, 2, 3, 9.0));
    let hidden = shown.own.iter().find(|metric| metric.name == "tandem_received_metrics_not_shown_total");
    assert_eq!(hidden.expect("there is one").points[0].1, 3, "who sends deltas of a level does not say what it is");
}

/// Nothing of a request is taken while there is no room, and its sender is told; what is malformed, too.
#[test]
fn what_is_not_taken_is_not_taken_in_part() {
    let rig = rig();
    let request = traces(&[group("a", vec![json!({"spans": [span(1, Vec::new())]})])]);
    rig.spans.is_full.store(true, Ordering::Relaxed);
    assert_eq!(rig.receiver.receive(Signal::Traces, request.clone()), Err(Refused::Full));
    rig.spans.is_full.store(false, Ordering::Relaxed);
    let damaged = [&request[..], b"\x0a\x02\x12"].concat();
    assert!(matches!(rig.receiver.receive(Signal::Traces, damaged.into()), Err(Refused::Malformed(_))));
    assert!(rig.spans.take().is_empty() && rig.agent.metrics()().red.is_empty());
    let refused = rig.agent.statistics().received.refused;
    assert_eq!(refused, BTreeMap::from([("malformed", 1), ("queue_full", 1)]));
    assert_eq!(rig.receiver.receive(Signal::Traces, request), Ok(Accepted::default()));
    assert_eq!(rig.spans.take().len(), 1);
}

/// Where spans would wait for whoever else tells of them they pass while there is nobody: each once, whole and measured. Those of a
/// request that was refused have not passed.
#[test]
fn with_nobody_to_wait_for_each_span_passes_once() {
    let rig = rig_that(true);
    let request = |numbers: std::ops::Range<u64>| {
        let spans: Vec<Value> = numbers.map(|number| span(number, vec![attribute("http.route", "/a")])).collect();
        traces(&[group("a", vec![json!({"spans": spans[..1]}), json!({"spans": spans[1..]})])])
    };
    let (first, second) = (request(0..4), request(2..7));
    assert_eq!(rig.receiver.receive(Signal::Traces, first.clone()), Ok(Accepted::default()));
    rig.spans.is_full.store(true, Ordering::Relaxed);
    assert_eq!(rig.receiver.receive(Signal::Traces, second.clone()), Err(Refused::Full));
    rig.spans.is_full.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(rig.receiver.receive(Signal::Traces, second.clone()), Ok(Accepted::default()));
    }
    rig.agent.settle();
    let sent = [&first, &second].map(|request| decode::spans(request).expect("spans"));
    let expected: Vec<Span> = sent[0].iter().chain(&sent[1][2..]).cloned().collect();
    let received = decoded(&rig.spans.take());
    assert!(received.iter().all(|span| span.source == Source::Otlp));
    assert!(plain(expected) == received, "not each once, as it was");
    let snapshot = rig.agent.metrics()();
    assert_eq!(snapshot.red.iter().map(|series| series.count()).sum::<u64>(), 7);
    let merged = snapshot.own.iter().find(|metric| metric.name == "tandem_spans_merged_total").expect("there is one");
    assert_eq!(merged.points[0].1, 2 + 5);
}

/// What tells series apart is the value, of whatever type and in whatever order it came; of long text what is read of it.
#[test]
fn series_are_told_apart_by_values() {
    let rig = rig();
    let long = |last: &str| attribute("http.route", &format!("{}{last}", "ü".repeat(200)));
    let status = |value: Value| json!({"key": "http.response.status_code", "value": value});
    let method = || attribute("http.request.method", "GET");
    let spans = [
        vec![long("1")],
        vec![long("2")],
        vec![status(json!({"intValue": "200"})), method()],
        vec![method(), status(json!({"intValue": "200"}))],
        vec![method(), status(json!({"stringValue": "200"}))],
        vec![method(), attribute("http.route", "/ü")],
        vec![method(), attribute("http.route", "/u")],
        vec![method(), attribute("http.route", "/ü"), attribute("not.a.dimension", "a")],
    ];
    for _ in 0..2 {
        // The second time all of them are known.
        let spans: Vec<Value> = spans.iter().map(|attributes| span(1, attributes.clone())).collect();
        let request = traces(&[group("a", vec![json!({"spans": spans})])]);
        assert_eq!(rig.receiver.receive(Signal::Traces, request), Ok(Accepted::default()));
    }
    let mut counts: Vec<u64> = rig.agent.metrics()().red.iter().map(|series| series.count()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 4, 4, 4]);
}

/// A hundred thousand services with a span each, and names without end: the series are bounded, and the counts still exact.
#[test]
fn a_hundred_thousand_services_are_borne() {
    let rig = rig();
    // One request, in which the digits become others each time.
    let mut span = span(1, vec![attribute("http.route", "/987654")]);
    span["name"] = format!("987654 {}", "x".repeat(500)).into();
    let request = traces(&[group("service-987654", vec![json!({"spans": [span]})])]);
    let places: Vec<usize> = (0..request.len()).filter(|&at| request[at..].starts_with(b"987654")).collect();
    assert_eq!(places.len(), 3);
    for first in (0..100_000).step_by(1000) {
        let mut all = Vec::with_capacity(1000 * request.len());
        for number in first..first + 1000 {
            let begin = all.len();
            all.extend_from_slice(&request);
            for place in &places {
                all[begin + place..][..6].copy_from_slice(format!("{number:06}").as_bytes());
            }
        }
        assert_eq!(rig.receiver.receive(Signal::Traces, all.into()), Ok(Accepted::default()));
        assert_eq!(rig.spans.take().len(), 1000);
    }
    let snapshot = rig.agent.metrics()();
    let all: u64 = snapshot.red.iter().map(|series| series.count()).sum();
    assert_eq!(all, 100_000);
    assert!(snapshot.red.len() <= 14_010, "{} series", snapshot.red.len());
    assert!(snapshot.red.iter().all(|series| series.key.span_name.len() <= 256));
    let of_one = snapshot.red.iter().filter(|series| !series.key.overflow);
    assert!(of_one.clone().count() > 4096 && of_one.clone().all(|series| series.count() == 1), "counted as another's");
}

fn arbitrary_request() -> impl Strategy<Value = (Vec<u8>, prop::sample::Index)> {
    (prop::collection::vec(any::<u8>(), 0..64), any::<prop::sample::Index>())
}

proptest! {
    /// Damaged requests are refused or taken, and what is taken can be read.
    #[test]
    fn damage_is_borne((noise, at) in arbitrary_request(), keep in any::<bool>()) {
        let rig = rig();
        let mut bytes = traces(&[group("a", vec![json!({"spans": [span(1, vec![attribute("http.route", "/a")]), span(2, Vec::new())]})])]).to_vec();
        let at = at.index(bytes.len());
        let end = if keep { (at + noise.len()).min(bytes.len()) } else { at };
        bytes.splice(at..end, noise.iter().copied());
        for (signal, keep) in [(Signal::Traces, &rig.spans), (Signal::Logs, &rig.logs), (Signal::Metrics, &rig.metrics)] {
            let _ = rig.receiver.receive(signal, bytes.clone().into());
            for batch in keep.take() {
                match signal {
                    Signal::Traces => prop_assert!(decode::spans(&batch.bytes).is_ok()),
                    Signal::Logs => prop_assert!(decode::logs(&batch.bytes).is_ok()),
                    _ => {}
                }
            }
            let _ = from_json::request(signal, &bytes);
        }
    }
}
