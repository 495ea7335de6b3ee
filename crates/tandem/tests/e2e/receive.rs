//! Telemetry that others send to the agent as OTLP.
//!
//! Guarantees: what a real OpenTelemetry SDK sends by gRPC or by HTTP, or anybody as JSON, is stored, measured to the span, and said to
//! be received; what is no OTLP, too large or made to do harm is refused with the status and the reason, counted, and harms
//! nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::{Kind, Source, StatusCode, Value};
use serde_json::json;

use crate::golang::{plain, woven};
use crate::prometheus::{self, Sample};
use crate::rig::{Finished, LIMIT, Rig, Running, eventually, run};

const MODULE: &str = "tests/received";

/// `tandem run` of something that runs until its standard input ends, with a receiver.
struct Agent {
    process: Running,
    otlp: String,
    metrics: String,
}

impl Agent {
    fn start(rig: &Rig, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut tandem = rig.observe("run");
        tandem.args(["--no-kernel", "--otlp=127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        prepare(&mut tandem);
        let mut process = Running::start(tandem.args(["--", "cat"]));
        let metrics = process.address("metrics");
        let otlp = process.address("OTLP");
        Self { process, otlp, metrics }
    }

    /// The number of a metric of the agent's own.
    fn count(&self, name: &str, label: (&str, &str)) -> f64 {
        let samples = prometheus::scrape(&self.metrics);
        let found = samples.iter().filter(|sample| sample.name == name && sample.label(label.0) == label.1);
        found.map(|sample| sample.value).sum()
    }

    /// All metrics, as soon as so many spans of a name without a status were measured.
    fn scrape_with(&self, name: &str, wanted: f64) -> Vec<Sample> {
        let asked = || {
            let samples = prometheus::scrape(&self.metrics);
            (calls(&samples, name, "STATUS_CODE_UNSET") >= wanted).then_some(samples)
        };
        eventually(LIMIT, asked).unwrap_or_else(|| panic!("{wanted} spans {name:?} are not measured"))
    }

    fn finish(self) -> Finished {
        let finished = self.process.finish();
        assert_eq!(finished.code, 0, "{finished}");
        finished
    }
}

/// An answer over HTTP.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Sends a request as it is. `None`: the connection was closed without an answer.
fn send(address: &str, request: &[u8]) -> Option<Answer> {
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    let _ = connection.write_all(request); // it may be refused before its end
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer); // nor need it be read to its end
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Answer { status, headers, body: answer[end + 4..].to_vec() })
}

fn post(address: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    send(address, &request)
}

const JSON: &str = "Content-Type: application/json\r\n";
const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

/// Spans that were measured, of a name and a status.
fn calls(samples: &[Sample], name: &str, status: &str) -> f64 {
    let calls = samples.iter().filter(|sample| {
        sample.name == "traces_span_metrics_calls_total"
            && sample.label("span_name") == name
            && sample.label("status_code") == status
    });
    calls.map(|sample| sample.value).sum()
}

/// Scenario: a Go program with OpenTelemetry's own SDK sends spans (packed), log records and metrics, by gRPC and by HTTP.
#[test]
fn what_a_go_sdk_sends_is_taken() {
    if crate::support::is_without_go("receive what_a_go_sdk_sends_is_taken") {
        return;
    }
    let program = plain(MODULE, &["."]).join("received");
    for protocol in ["grpc", "http"] {
        let rig = Rig::new();
        let agent = Agent::start(&rig, |_| {});
        let sent = run(Command::new(&program).args([protocol, &agent.otlp, "40"]), LIMIT);
        assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{protocol}: {sent}");
        // Spans are measured when nobody else can tell of them any more.
        let samples = agent.scrape_with("SELECT items", 40.0);
        assert_eq!(calls(&samples, "GET /items", "STATUS_CODE_UNSET"), 30.0, "{protocol}");
        assert_eq!(calls(&samples, "GET /items", "STATUS_CODE_ERROR"), 10.0, "{protocol}");
        assert_eq!(calls(&samples, "SELECT items", "STATUS_CODE_UNSET"), 40.0, "{protocol}");
        let durations = samples.iter().filter(|sample| {
            sample.name == "http_server_request_duration_seconds_count"
                && sample.label("http_route") == "/items"
                && sample.label("http_response_status_code") == "500"
        });
        assert_eq!(durations.map(|sample| sample.value).sum::<f64>(), 10.0, "{protocol}");
        // Its own numbers are shown, too.
        let sender = |name: &str| {
            let found = samples.iter().filter(|sample| sample.name == name && sample.label("service_name") == "sender");
            found.map(|sample| (sample.label("code").to_owned(), sample.value)).collect::<BTreeMap<_, _>>()
        };
        let of = |pairs: &[(&str, f64)]| pairs.iter().map(|(code, value)| ((*code).to_owned(), *value)).collect();
        assert_eq!(sender("orders_total"), of(&[("200", 60.0), ("500", 20.0)]), "{protocol}");
        assert_eq!((sender("took_count"), sender("load")), (of(&[("", 40.0)]), of(&[("", 1.5)])), "{protocol}");
        assert_eq!(agent.count("tandem_received_total", ("signal", "traces")), 80.0, "{protocol}");
        assert_eq!(agent.count("tandem_received_total", ("signal", "logs")), 40.0, "{protocol}");
        let finished = agent.finish();
        assert!(finished.stderr.contains("received 80 spans, 40 log records, 4 data points"), "{finished}");

        let traces = rig.traces(&["--limit", "100", "--service", "sender"]);
        assert_eq!(traces.len(), 40, "{protocol}");
        assert!(traces.iter().all(|trace| trace.span_count == 2), "{protocol}: {traces:?}");
        let failed: Vec<_> = traces.iter().filter(|trace| trace.error_count == 1).collect();
        assert_eq!(failed.len(), 10, "{protocol}");
        let spans = rig.trace(&failed[0].trace_id.to_string());
        assert!(spans.iter().all(|span| span.source == Source::Otlp), "{protocol}: {spans:?}");
        let server = spans.iter().find(|span| span.parent_span_id.is_none()).expect("a root");
        assert_eq!(
            (server.kind, server.status.code, server.scope.as_str()),
            (Kind::Server, StatusCode::Error, "by-hand")
        );
        assert_eq!(server.attributes["http.response.status_code"], Value::Int(500));
        assert_eq!(
            server.attributes["list"],
            Value::Array(["a", "b"].map(|text| Value::String(text.to_owned())).to_vec())
        );
        assert_eq!(server.events[0].name, "began");
        assert_eq!(rig.spans().iter().filter(|span| span.source == Source::Otlp).count(), 80, "{protocol}");
        let logs = rig.logs(&["--limit", "100"]);
        assert_eq!(logs.len(), 40, "{protocol}");
        assert!(logs.iter().all(|log| log.trace_id.is_some() && log.service == "sender"), "{protocol}");
        rig.assert_nothing_left();
    }
}

/// A request of JSON with one span, changed where somebody wants that.
fn one_span(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut span = json!({
        "traceId": "0102030405060708090A0b0c0d0e0f10", "spanId": "0102030405060708", "parentSpanId": "",
        "name": "made by hand", "kind": 3, "startTimeUnixNano": now().to_string(), "endTimeUnixNano": now() + 1000,
        "attributes": [
            {"key": "text", "value": {"stringValue": "ä\u{1f600}"}}, {"key": "number", "value": {"intValue": "-9007199254740993"}},
            {"key": "float", "value": {"doubleValue": 1.5}}, {"key": "flag", "value": {"boolValue": true}},
            {"key": "bytes", "value": {"bytesValue": "AQI="}}, {"key": "nothing", "value": null},
            {"key": "map", "value": {"kvlistValue": {"values": [{"key": "inner", "value": {"arrayValue": {"values": [{"intValue": 1}]}}}]}}},
        ],
        "status": {"code": 2, "message": "broken"}, "ofALaterVersion": [{"x": {}}],
    });
    change(&mut span);
    let scope = json!({"scope": {"name": "hand"}, "spans": [span]});
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "json"}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).to_string().into_bytes()
}

/// Scenario: JSON, packed, as anybody may write it. Guarantee: every value arrives; what is zero, from the future or of absurd
/// length is left out, its sender is told how many and why, and the rest is taken.
#[test]
fn json_is_taken_and_what_is_left_out_is_told() {
    let rig = Rig::new();
    let agent = Agent::start(&rig, |_| {});
    let packed = format!("{JSON}Content-Encoding: gzip\r\n");
    let answer = post(&agent.otlp, "/v1/traces", &packed, &gzip(&one_span(|_| {}))).expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]), "{answer:?}");
    type Change = fn(&mut serde_json::Value);
    let strange: [(&str, Change); 4] = [
        ("1 without a trace id", |span| span["traceId"] = "0".repeat(32).into()),
        ("1 without a span id", |span| span["spanId"] = serde_json::Value::Null),
        ("1 from more than a day in the future", |span| span["startTimeUnixNano"] = u64::MAX.to_string().into()),
        ("1 that took longer than 30 days", |span| span["startTimeUnixNano"] = 0.into()),
    ];
    for (told, change) in strange {
        let answer = post(&agent.otlp, "/v1/traces", JSON, &one_span(change)).expect("an answer");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, &body["partialSuccess"]["rejectedSpans"]), (200, &json!("1")), "{body}");
        assert_eq!(body["partialSuccess"]["errorMessage"], told);
    }
    let backwards = |span: &mut serde_json::Value| {
        span["spanId"] = "0000000000000009".into();
        span["endTimeUnixNano"] = 5.into();
    };
    assert_eq!(post(&agent.otlp, "/v1/traces", JSON, &one_span(backwards)).map(|answer| answer.status), Some(200));
    assert_eq!(agent.count("tandem_received_refused_total", ("cause", "future")), 1.0);
    assert_eq!(agent.count("tandem_received_strange_total", ("what", "ends_before_it_starts")), 1.0);
    agent.finish();
    let spans = rig.trace("0102030405060708090a0b0c0d0e0f10");
    let span = spans.iter().find(|span| span.status.message == "broken").expect("the span");
    assert_eq!((spans.len(), span.kind, span.duration_ns > 0), (2, Kind::Client, true), "{spans:?}");
    let expected = json!({
        "text": "ä\u{1f600}", "number": -9_007_199_254_740_993_i64, "float": 1.5, "flag": true, "bytes": "0102", "map": {"inner": [1]},
    });
    assert_eq!(serde_json::to_value(&span.attributes).expect("JSON"), expected);
}

/// Scenario: somebody sends what is no OTLP, or is made to do harm. Guarantee: a status and a reason each, counted by cause; a good
/// request afterwards is taken.
#[test]
fn what_is_no_otlp_is_refused() {
    let rig = Rig::new();
    let agent = Agent::start(&rig, |_| {});
    let deep_json = format!(r#"{{"resourceSpans":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let values = |levels: usize| {
        let mut value = json!({"stringValue": "x"});
        for _ in 0..levels {
            value = json!({"arrayValue": {"values": [value]}});
        }
        one_span(|span| span["attributes"] = json!([{"key": "deep", "value": value}]))
    };
    let wrong = |name: &str, value: serde_json::Value| one_span(|span| span[name] = value);
    let bomb = gzip(&vec![b' '; 100 << 20]);
    let whole = gzip(&one_span(|_| {}));
    let packed_json = format!("{JSON}Content-Encoding: gzip\r\n");
    let packed = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let many_headers = (0..200).fold(JSON.to_owned(), |mut all, index| {
        let _ = write!(all, "X-{index}: y\r\n");
        all
    });
    let traces = "/v1/traces";
    let requests: Vec<(u16, &str, &str, &str, Vec<u8>)> = vec![
        (400, "resourceSpans", traces, JSON, br#"{"resourceSpans": 7}"#.to_vec()),
        (400, "EOF", traces, JSON, br#"{"resourceSpans": [{"#.to_vec()),
        (400, "trailing", traces, JSON, br"{} {}".to_vec()),
        (400, "line 1", traces, JSON, deep_json.into_bytes()),
        (400, "line 1", traces, JSON, values(60)),
        (400, "nested too deeply", traces, JSON, values(32)),
        (400, "traceId must be 32 hexadecimal digits", traces, JSON, wrong("traceId", json!("0102"))),
        (400, "name must be text", traces, JSON, wrong("name", json!(5))),
        (400, "kind must be a whole number", traces, JSON, wrong("kind", json!("SPAN_KIND_SERVER"))),
        (400, "kind is out of range", traces, JSON, wrong("kind", json!(1_u64 << 40))),
        (400, "attributes must be an object", traces, JSON, wrong("attributes", json!([[1]]))),
        (400, "status must be an object", traces, JSON, wrong("status", json!([{}]))),
        (400, "cut off", traces, PROTOBUF, b"\x0a\xff\xff\xff\xff\x0f".to_vec()),
        (400, "not UTF-8", traces, PROTOBUF, b"\x0a\x07\x12\x05\x12\x03\x2a\x01\xff".to_vec()),
        (400, "not 16 bytes", traces, PROTOBUF, b"\x0a\x09\x12\x07\x12\x05\x0a\x03abc".to_vec()),
        (400, "wrong type", traces, PROTOBUF, b"\x0a\x06\x12\x04\x12\x02\x28\x01".to_vec()),
        (400, "unpacked", traces, &packed, b"no gzip".to_vec()),
        (400, "unpacked", traces, &packed_json, whole[..whole.len() / 2].to_vec()),
        (413, "longer than 20971520 bytes", traces, &packed, bomb.clone()),
        (413, "longer than 20971520 bytes", traces, &packed_json, bomb),
        (
            415,
            "zstd is not understood",
            traces,
            "Content-Type: application/json\r\nContent-Encoding: zstd\r\n",
            b"{}".to_vec(),
        ),
        (415, "content type", traces, "Content-Type: text/plain\r\n", b"{}".to_vec()),
        (415, "content type", traces, "", b"{}".to_vec()),
        (404, "/v1/traces", "/v1/trace", JSON, b"{}".to_vec()),
        (404, "/v1/traces", "/v1development/profiles", PROTOBUF, Vec::new()),
        (431, "", traces, &many_headers, b"{}".to_vec()),
    ];
    for (status, reason, path, headers, body) in &requests {
        let answer = post(&agent.otlp, path, headers, body).expect("an answer");
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, *status, "{headers}{said}");
        assert!(said.contains(reason), "{reason}: {said}");
        let content_type = answer.headers.get("content-type").map_or("", String::as_str);
        if headers.contains("protobuf") && *status != 431 {
            assert_eq!(content_type, "application/x-protobuf");
            assert_eq!(answer.body.first(), Some(&0x08), "a status begins with its code");
        }
    }
    let get = send(&agent.otlp, b"GET /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("an answer");
    assert_eq!((get.status, get.headers.get("allow").map(String::as_str)), (405, Some("POST")));
    let long = format!("POST {traces} HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: 99999999999\r\n\r\n");
    assert_eq!(send(&agent.otlp, long.as_bytes()).map(|answer| answer.status), Some(413));
    endless(&agent.otlp);
    let too_large = || agent.count("tandem_received_requests_refused_total", ("cause", "too_large"));
    assert!(eventually(LIMIT, || (too_large() == 4.0).then_some(())).is_some(), "{}", too_large());
    assert!(agent.count("tandem_received_requests_refused_total", ("cause", "malformed")) >= 17.0);

    let good = post(&agent.otlp, traces, &packed_json, &whole).expect("an answer");
    assert_eq!(good.status, 200, "{good:?}");
    assert_eq!(agent.count("tandem_received_total", ("signal", "traces")), 1.0);
    let finished = agent.finish();
    assert!(finished.stderr.contains("received 1 span;"), "{finished}");
    assert!(finished.stderr.contains("warning: received requests that were refused:"), "{finished}");
}

/// A body without an end, until the other side has had enough.
fn endless(address: &str) {
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    write!(connection, "POST /v1/traces HTTP/1.1\r\nHost: x\r\n{PROTOBUF}Transfer-Encoding: chunked\r\n\r\n")
        .expect("sent");
    let piece = [b"10000\r\n".as_slice(), &vec![0; 0x10000], b"\r\n"].concat();
    let sent = (0..10_000).take_while(|_| connection.write_all(&piece).is_ok()).count();
    assert!(sent < 10_000, "it takes a body without an end");
}

/// Scenario: rules in `agent.yaml`, a woven program, and a sender. Guarantee: what leaves the agent has no secrets of either; the
/// metrics are as without rules.
#[test]
fn attributes_follow_the_rules() {
    let test = "receive attributes_follow_the_rules";
    if crate::support::is_without_go(test) {
        return;
    }
    let rig = Rig::new();
    let settings = rig.path().join("agent.yaml");
    let rules = "\
receive:
  http: {address: \"127.0.0.1:0\"}
attributes:
  - drop: [\"user.*\", \"url.path\"]
  - rename: {from: http.route, to: route}
  - hash: {keys: [card], secret: pepper}
  - redact: {pattern: '\\d{4} \\d{4} \\d{4} \\d{4}', replacement: '<card>'}
  - insert: {key: deployment.environment.name, value: test}
    on: [resource]
";
    std::fs::write(&settings, rules).expect("it can be written");
    let mut tandem = rig.observe("run");
    tandem.args(["--no-kernel", "--metrics", "127.0.0.1:0", "--config"]).arg(&settings);
    tandem.args(["--", "sh", "-c", "\"$0\" && cat"]).arg(woven("packs/net-http/program", &["."]).join("nethttp"));
    let mut process = Running::start(&mut tandem);
    let metrics = process.address("metrics");
    let agent = Agent { otlp: process.address("OTLP"), metrics, process };
    let sent = run(Command::new(plain(MODULE, &["."]).join("received")).args(["http", &agent.otlp]), LIMIT);
    assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{sent}");
    let samples = agent.scrape_with("SELECT items", 20.0);
    assert_eq!(calls(&samples, "GET /items", "STATUS_CODE_ERROR"), 5.0);
    assert!(samples.iter().any(|sample| sample.label("http_route") == "/items"), "metrics are of what was before");
    agent.finish();
    let spans = rig.spans();
    let of = |source: Source| spans.iter().filter(move |span| span.source == source);
    assert_eq!((of(Source::Otlp).count(), of(Source::Woven).count() > 10), (40, true));
    for span in &spans {
        for gone in ["user.email", "url.path", "http.route"] {
            assert!(!span.attributes.contains_key(gone), "{gone}: {span:?}");
        }
        assert!(span.events.iter().all(|event| !event.attributes.contains_key("user.email")), "{span:?}");
    }
    let routed = |source| of(source).any(|span| span.attributes.contains_key("route"));
    assert!(routed(Source::Otlp) && routed(Source::Woven));
    let hashes = of(Source::Otlp).filter_map(|span| span.attributes.get("card"));
    assert!(
        hashes.clone().count() == 20 && hashes.clone().all(|hash| hash.to_string().len() == 64),
        "{:?}",
        hashes.collect::<Vec<_>>()
    );
    let logs = rig.logs(&["--limit", "100", "--service", "sender"]);
    assert!(
        logs.len() == 20 && logs.iter().all(|log| log.body == Value::String("served for card <card>".to_owned())),
        "{logs:?}"
    );
    let found = rig.traces(&["--limit", "1000", "--attribute", "deployment.environment.name=test"]);
    assert!(found.iter().any(|trace| trace.services == ["sender"]), "{found:?}");
}
