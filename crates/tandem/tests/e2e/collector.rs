//! A real OpenTelemetry Collector (`tests/collector`, made of its published modules).
//!
//! Guarantees: what it receives by gRPC and by HTTP is what Tandem itself shows, span by span and attribute by attribute;
//! the metrics that it receives count those spans, and log records are what Tandem shows, too. Needs the Go modules of the Collector, so the network once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use model::{ANATOMY_PREFIX, Kind, LogRecord, Span, StatusCode, UNFINISHED_ATTRIBUTE};
use serde_json::{Value, json};

use crate::golang::{go, plain, woven};
use crate::rig::{self, BUILD_LIMIT, LIMIT, Rig, Running, repository, run};
use crate::support::skip;

const MODULE: &str = "tests/collector";

/// A running Collector.
pub(crate) struct Collector {
    process: Running,
    grpc: u16,
    pub(crate) http: u16,
    output: PathBuf,
}

impl Collector {
    /// `None`: it cannot be built here, which has been written down.
    fn start(rig: &Rig, test: &str) -> Option<Self> {
        Self::with(rig, test, false)
    }

    /// One that makes a service graph, too, of the spans that it receives.
    pub(crate) fn with_graph(rig: &Rig, test: &str) -> Option<Self> {
        Self::with(rig, test, true)
    }

    fn with(rig: &Rig, test: &str, graph: bool) -> Option<Self> {
        let download = run(go(&repository().join(MODULE)).args(["mod", "download"]), BUILD_LIMIT);
        if download.code != 0 {
            let reason = download.stderr.lines().last().unwrap_or("go mod download failed").to_owned();
            skip(test, &format!("the Collector's modules cannot be had: {reason}"));
            return None;
        }
        let program = plain(MODULE, &["."]).join("collector");
        let output = rig.path().join("collector.json");
        // Between finding a free port and the Collector's taking it somebody else may have taken it.
        for _ in 0..5 {
            let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
            let [grpc, http] = held.each_ref().map(|listener| listener.local_addr().expect("an address").port());
            drop(held);
            let configuration = rig.path().join("collector.yaml");
            std::fs::write(&configuration, configure(grpc, http, &output, graph))
                .expect("the configuration is written");
            let mut process = Running::start(rig::program(&program).arg(&configuration));
            let ready = process.stderr_line(|line| match line {
                line if line.contains("Everything is ready") => Some(true),
                line if line.contains("address already in use") => Some(false),
                _ => None,
            });
            if ready {
                return Some(Self { process, grpc, http, output });
            }
        }
        panic!("no port stays free");
    }

    /// The lines that it has written so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends it, and returns the lines that it has written.
    pub(crate) fn finish(self) -> Vec<Value> {
        let finished = self.process.stop();
        assert_eq!(finished.code, 0, "{finished}");
        let text = std::fs::read_to_string(&self.output).expect("the Collector's output");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

fn configure(grpc: u16, http: u16, output: &Path, graph: bool) -> String {
    let pipeline = json!({"receivers": ["otlp"], "processors": ["batch"], "exporters": ["lines"]});
    let protocols = json!({
        "grpc": {"endpoint": format!("127.0.0.1:{grpc}")}, "http": {"endpoint": format!("127.0.0.1:{http}")},
    });
    let mut configuration = json!({
        "receivers": {"otlp": {"protocols": protocols}},
        "processors": {"batch": {}},
        "exporters": {"lines": {"path": output}},
        "service": {"pipelines": {"traces": pipeline, "metrics": pipeline, "logs": pipeline}},
    });
    if graph {
        // Databases and peers by the names that Tandem has for them; the batches of two services may be seconds apart.
        configuration["connectors"] = json!({"service_graph": {
            "store": {"ttl": "8s", "max_items": 1_000_000}, "store_expiration_loop": "200ms", "metrics_flush_interval": "500ms",
            "database_name_attributes": ["db.namespace", "db.system.name"], "virtual_node_peer_attributes": ["server.address"],
        }});
        let pipelines = &mut configuration["service"]["pipelines"];
        pipelines["traces"]["exporters"] = json!(["lines", "service_graph"]);
        pipelines["metrics/graph"] = json!({"receivers": ["service_graph"], "exporters": ["lines"]});
    }
    configuration.to_string()
}

/// Scenario: a program with servers, clients, errors and panics; once by gRPC, once by HTTP, once compressed, once as JSON.
#[test]
fn a_collector_receives_what_tandem_shows() {
    let test = "collector a_collector_receives_what_tandem_shows";
    if crate::support::is_without_go(test) {
        return;
    }
    let program = woven("packs/net-http/program", &["."]).join("nethttp");
    let ways = [("grpc", "none"), ("http/protobuf", "none"), ("http/protobuf", "gzip"), ("http/json", "gzip")];
    for (protocol, compression) in ways {
        let rig = Rig::new();
        let Some(collector) = Collector::start(&rig, test) else { return };
        let port = if protocol == "grpc" { collector.grpc } else { collector.http };
        let mut tandem = rig.observe("run");
        tandem.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
        tandem.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        tandem.env("OTEL_SERVICE_NAME", "trial").env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        let finished = run(tandem.arg("--").arg(&program), LIMIT);
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");
        let lines = collector.finish();

        let shown = rig.spans();
        let received = received_spans(&lines);
        assert_eq!(received.len(), shown.len(), "{protocol}");
        for span in &shown {
            assert_eq!(received.get(&span.span_id.to_string()), Some(&as_received(span)), "{protocol}: {}", span.name);
        }
        let traces = rig.traces(&["--limit", "1000"]);
        let ids: BTreeSet<_> = received.values().map(|span| span["trace"].to_string()).collect();
        assert_eq!(traces.len(), ids.len(), "{protocol}");
        assert_eq!(traces.iter().map(|trace| trace.span_count).sum::<u64>(), received.len() as u64, "{protocol}");
        assert_eq!(received_calls(&lines), calls(&shown), "{protocol}: the metrics do not count the spans");
        let names = received_metrics(&lines);
        for (name, origin) in [
            ("http.server.request.duration", "service"),
            ("http.client.request.duration", "service"),
            ("go.memory.used", "process"),
            ("go.goroutine.count", "process"),
            ("go.schedule.duration", "process"),
        ] {
            assert!(names.contains(&(name.to_owned(), origin)), "{protocol}: no {name} of a {origin} in {names:?}");
        }
        exemplars_are_shown(&lines, &shown);
        rig.assert_nothing_left();
    }
}

/// The newest numbers of a counter of the service graph that this scope has: by its attributes.
pub(crate) fn graph(lines: &[Value], scope: &str, name: &str) -> BTreeMap<String, u64> {
    let resources = lines.iter().flat_map(|line| line["resourceMetrics"].as_array().into_iter().flatten());
    let scopes = resources.flat_map(|resource| resource["scopeMetrics"].as_array().into_iter().flatten());
    let metrics = scopes
        .filter(|found| found["scope"]["name"] == scope)
        .flat_map(|scope| scope["metrics"].as_array().into_iter().flatten());
    let mut newest = BTreeMap::new();
    for metric in metrics.filter(|metric| metric["name"] == name) {
        for point in metric["sum"]["dataPoints"].as_array().into_iter().flatten() {
            let number = point["asInt"].as_str().and_then(|number| number.parse().ok()).expect("a number");
            newest.insert(json!(attributes(&point["attributes"])).to_string(), number);
        }
    }
    newest
}

/// Names of metrics, and whether a process has them, or a service.
fn received_metrics(lines: &[Value]) -> BTreeSet<(String, &'static str)> {
    let resources = lines.iter().flat_map(|line| line["resourceMetrics"].as_array().into_iter().flatten());
    resources
        .flat_map(|resource| {
            let is_process = attributes(&resource["resource"]["attributes"]).contains_key("process.pid");
            let origin = if is_process { "process" } else { "service" };
            let scopes = resource["scopeMetrics"].as_array().into_iter().flatten();
            let metrics = scopes.flat_map(|scope| scope["metrics"].as_array().into_iter().flatten());
            metrics.map(move |metric| (metric["name"].as_str().unwrap_or_default().to_owned(), origin))
        })
        .collect()
}

/// Scenario: a program counts with the OpenTelemetry API, and ends. Guarantee: the Collector receives what it counted, with the
/// meter's name, version and schema, and attributes of their own types.
#[test]
fn a_collector_receives_metrics_made_by_hand() {
    let test = "collector a_collector_receives_metrics_made_by_hand";
    if crate::support::is_without_go(test) {
        return;
    }
    let program = woven("packs/otel-metric/program", &["."]).join("otel-metric");
    for protocol in ["http/protobuf", "http/json"] {
        let rig = Rig::new();
        let Some(collector) = Collector::start(&rig, test) else { return };
        let mut tandem = rig.observe("run");
        tandem.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.http));
        let finished = run(tandem.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).arg("--").arg(&program), LIMIT);
        assert_eq!(finished.code, 0, "{finished}");
        let lines = collector.finish();
        let resources = lines.iter().flat_map(|line| line["resourceMetrics"].as_array().into_iter().flatten());
        let scopes = resources.flat_map(|resource| resource["scopeMetrics"].as_array().into_iter().flatten());
        let shop: Vec<_> = scopes.filter(|scope| scope["scope"]["name"] == "shop").collect();
        let [shop] = &shop[..] else { panic!("{protocol}: one scope\n{finished}") };
        assert_eq!(
            (&shop["scope"]["version"], &shop["schemaUrl"]),
            (&json!("1.2.3"), &json!("https://example.com/schema"))
        );
        let metric = |name: &str| {
            let found = shop["metrics"].as_array().into_iter().flatten().find(|metric| metric["name"] == name);
            found.unwrap_or_else(|| panic!("{protocol}: no {name}"))
        };
        let orders = metric("orders");
        assert_eq!((&orders["unit"], &orders["description"]), (&json!("{order}"), &json!("Orders\nthat came.")));
        assert_eq!(
            (&orders["sum"]["isMonotonic"], &orders["sum"]["dataPoints"][0]["asInt"]),
            (&json!(true), &json!("6"))
        );
        assert_eq!(metric("temperature")["gauge"]["dataPoints"][0]["asDouble"], json!(-3.5));
        assert_eq!(metric("took")["histogram"]["dataPoints"][0]["explicitBounds"], json!([0.5, 1]));
        let points = metric("attributes")["sum"]["dataPoints"].as_array().expect("points");
        let found: Vec<_> = points.iter().map(|point| attributes(&point["attributes"])).collect();
        let typed = json!({"bool": true, "float": 1.5, "int": -1, "string": "s"});
        assert!(found.iter().any(|one| json!(one) == typed), "{protocol}: {found:?}");
        rig.assert_nothing_left();
    }
}

/// Exemplars of requests name spans that Tandem shows.
fn exemplars_are_shown(lines: &[Value], shown: &[Span]) {
    let resources = lines.iter().flat_map(|line| line["resourceMetrics"].as_array().into_iter().flatten());
    let scopes = resources.flat_map(|resource| resource["scopeMetrics"].as_array().into_iter().flatten());
    let metrics = scopes.flat_map(|scope| scope["metrics"].as_array().into_iter().flatten());
    let points = metrics
        .filter(|metric| metric["name"] == "http.server.request.duration")
        .flat_map(|metric| metric["histogram"]["dataPoints"].as_array().into_iter().flatten());
    let exemplars: Vec<_> = points.flat_map(|point| point["exemplars"].as_array().into_iter().flatten()).collect();
    assert!(!exemplars.is_empty(), "no exemplars");
    for exemplar in exemplars {
        let is_it = |span: &&Span| {
            exemplar["traceId"] == span.trace_id.to_string() && exemplar["spanId"] == span.span_id.to_string()
        };
        assert!(shown.iter().any(|span| is_it(&span)), "no such span: {exemplar}");
    }
}

/// Scenario: the same program by itself, without an agent; as protobuf, compressed, as JSON. Guarantee: the Collector receives
/// the spans that an agent shows of another run: as many of each name, kind, status and scope, with the same attribute keys,
/// below parents that were received, too, or that only a test's own header knows.
#[test]
fn a_collector_receives_what_a_program_sends_by_itself() {
    let test = "collector a_collector_receives_what_a_program_sends_by_itself";
    if crate::support::is_without_go(test) {
        return;
    }
    let program = woven("packs/net-http/program", &["."]).join("nethttp");
    let rig = Rig::new();
    let finished = run(rig.observe("run").args(["--no-kernel", "--"]).arg(&program), LIMIT);
    assert_eq!(finished.code, 0, "{finished}");
    let shown = rig.spans();
    let expected = shapes(&shown.iter().map(|span| (span.span_id.to_string(), as_received(span))).collect());
    let _machine = crate::agent::machine(); // a machine's agent would take the program
    for (protocol, compression) in [("http/protobuf", "none"), ("http/protobuf", "gzip"), ("http/json", "none")] {
        let rig = Rig::new();
        let Some(collector) = Collector::start(&rig, test) else { return };
        let mut alone = rig::program(&program);
        alone.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.http));
        alone.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol).env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
        alone.env("OTEL_SERVICE_NAME", "trial").env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        let finished = run(alone.env("TANDEM_SOCKET", "/nonexistent"), LIMIT);
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.said().is_empty(), "{finished}");
        let received = received_spans(&collector.finish());
        assert_eq!(shapes(&received), expected, "{protocol} {compression}");
    }
}

/// What spans are but for ids, times and ports, and how many of each there are.
fn shapes(spans: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut shapes = BTreeMap::new();
    for span in spans.values() {
        let keys: Vec<&String> = span["attributes"].as_object().expect("a map").keys().collect();
        let words = ["name", "kind", "status", "events", "links", "scope"].map(|word| span[word].to_string());
        let parent = span["parent"].as_str().expect("an id");
        let parent = spans.get(parent).map_or(parent, |parent| parent["name"].as_str().expect("a name"));
        *shapes.entry(format!("{} below {parent:?} {keys:?}", words.join(" "))).or_default() += 1;
    }
    shapes
}

/// Scenario: a program that logs with slog in all ways; by gRPC, by HTTP and as JSON. Guarantee: the log records that the Collector
/// receives are those that Tandem shows.
#[test]
fn a_collector_receives_the_logs_that_tandem_shows() {
    let test = "collector a_collector_receives_the_logs_that_tandem_shows";
    if crate::support::is_without_go(test) {
        return;
    }
    let program = woven("packs/log-slog/program", &["."]).join("logslog");
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let rig = Rig::new();
        let Some(collector) = Collector::start(&rig, test) else { return };
        let (port, path) = if protocol == "grpc" { (collector.grpc, "") } else { (collector.http, "/v1/logs") };
        let mut tandem = rig.observe("run");
        tandem.env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", format!("http://127.0.0.1:{port}{path}"));
        tandem.env("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol).env("OTEL_LOGS_EXPORTER", "otlp");
        tandem.env("OTEL_SERVICE_NAME", "trial");
        let finished = run(tandem.arg("--").arg(&program), LIMIT);
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");
        let received = received_logs(&collector.finish());
        let mut shown: Vec<Value> = rig.logs(&["--limit", "1000"]).iter().map(log_as_received).collect();
        shown.sort_by_key(Value::to_string);
        assert!(shown.len() > 10, "{protocol}: {shown:?}");
        assert_eq!(received, shown, "{protocol}");
        rig.assert_nothing_left();
    }
}

fn received_logs(lines: &[Value]) -> Vec<Value> {
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut logs = Vec::new();
    for resource_logs in lines.iter().flat_map(|line| each(line, "resourceLogs")) {
        let resource = attributes(&resource_logs["resource"]["attributes"]);
        for scope_logs in each(&resource_logs, "scopeLogs") {
            for log in each(&scope_logs, "logRecords") {
                logs.push(json!({
                    "time": log["timeUnixNano"],
                    "observed": log["observedTimeUnixNano"],
                    "severity": log["severityNumber"],
                    "word": log["severityText"],
                    "event": log["eventName"].as_str().unwrap_or_default(),
                    "body": log["body"]["stringValue"],
                    "attributes": attributes(&log["attributes"]),
                    "trace": log["traceId"].as_str().unwrap_or_default(),
                    "span": log["spanId"].as_str().unwrap_or_default(),
                    "flags": log["flags"].as_u64().unwrap_or(0),
                    "scope": scope_logs["scope"]["name"],
                    "service": resource["service.name"],
                }));
            }
        }
    }
    logs.sort_by_key(Value::to_string);
    logs
}

/// The same of a log record that Tandem shows.
fn log_as_received(log: &LogRecord) -> Value {
    json!({
        "time": log.time_unix_nano.to_string(),
        "observed": log.observed_unix_nano.to_string(),
        "severity": log.severity_number,
        "word": log.severity_text,
        "event": log.event_name,
        "body": log.body,
        "attributes": log.attributes.iter().map(|(key, value)| (key.clone(), otlp_json(value))).collect::<BTreeMap<_, _>>(),
        "trace": log.trace_id.map(|id| id.to_string()).unwrap_or_default(),
        "span": log.span_id.map(|id| id.to_string()).unwrap_or_default(),
        "flags": log.trace_flags,
        "scope": log.scope,
        "service": log.service,
    })
}

/// A value as `attributes` gives it: arrays in OTLP's own form.
fn otlp_json(value: &model::Value) -> Value {
    match value {
        model::Value::Array(values) => {
            let one = |value: &model::Value| match value {
                model::Value::String(text) => json!({"stringValue": text}),
                other => panic!("an array of {other:?}"),
            };
            json!({"values": values.iter().map(one).collect::<Vec<_>>()})
        }
        plain => json!(plain),
    }
}

/// OTLP's attributes as a map.
fn attributes(list: &Value) -> BTreeMap<String, Value> {
    let one = |entry: &Value| {
        let value = entry["value"].as_object().and_then(|value| value.iter().next()).expect("a value");
        let value = match (value.0.as_str(), value.1) {
            ("intValue", Value::String(digits)) => json!(digits.parse::<i64>().expect("digits")),
            (_, plain) => plain.clone(),
        };
        (entry["key"].as_str().unwrap_or_default().to_owned(), value) // JSON leaves out what is empty
    };
    list.as_array().into_iter().flatten().map(one).collect()
}

fn received_spans(lines: &[Value]) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    for resource_spans in lines.iter().flat_map(|line| line["resourceSpans"].as_array().into_iter().flatten()) {
        let resource = attributes(&resource_spans["resource"]["attributes"]);
        for scope_spans in resource_spans["scopeSpans"].as_array().into_iter().flatten() {
            for span in scope_spans["spans"].as_array().into_iter().flatten() {
                let nanos =
                    |key: &str| span[key].as_str().and_then(|digits| digits.parse::<u64>().ok()).expect("a time");
                let whole = json!({
                    "trace": span["traceId"],
                    "parent": span["parentSpanId"].as_str().unwrap_or_default(),
                    "name": span["name"],
                    "kind": span["kind"],
                    "start": nanos("startTimeUnixNano"),
                    "duration": nanos("endTimeUnixNano") - nanos("startTimeUnixNano"),
                    "status": span["status"]["code"].as_u64().unwrap_or(0),
                    "message": span["status"]["message"].as_str().unwrap_or_default(),
                    "attributes": attributes(&span["attributes"]),
                    "events": span["events"].as_array().map_or(0, Vec::len),
                    "links": span["links"].as_array().map_or(0, Vec::len),
                    "scope": scope_spans["scope"]["name"],
                    "service": resource["service.name"],
                    "environment": resource.get("deployment.environment.name"),
                });
                let id = span["spanId"].as_str().expect("an id").to_owned();
                assert!(spans.insert(id, whole).is_none(), "a span was received twice");
            }
        }
    }
    spans
}

/// The same of a span that Tandem shows.
fn as_received(span: &Span) -> Value {
    let mut attributes: BTreeMap<String, Value> =
        span.attributes.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    // A part of which there was nothing need not travel; a half that was measured shows in those that do.
    for (part, nanos) in span.anatomy.iter().flat_map(|anatomy| &anatomy.parts_ns) {
        attributes.insert(format!("{ANATOMY_PREFIX}{part}"), json!(nanos));
    }
    if span.unfinished {
        attributes.insert(UNFINISHED_ATTRIBUTE.to_owned(), json!(true));
    }
    json!({
        "trace": span.trace_id,
        "parent": span.parent_span_id.map(|id| id.to_string()).unwrap_or_default(),
        "name": span.name,
        "kind": otlp_kind(span.kind),
        "start": span.start_unix_nano,
        "duration": span.duration_ns,
        "status": match span.status.code { StatusCode::Unset => 0, StatusCode::Ok => 1, StatusCode::Error => 2 },
        "message": span.status.message,
        "attributes": attributes,
        "events": span.events.len(),
        "links": span.links.len(),
        "scope": span.scope,
        "service": "trial",
        "environment": "test",
    })
}

fn otlp_kind(kind: Kind) -> u8 {
    match kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Producer => 4,
        Kind::Consumer => 5,
    }
}

/// Calls by name, kind and status.
type Calls = BTreeMap<(String, String, String), u64>;

/// The last word of the metrics: they are cumulative.
fn received_calls(lines: &[Value]) -> Calls {
    let mut series: BTreeMap<String, ((String, String, String), u64)> = BTreeMap::new();
    for metric in lines.iter().flat_map(|line| {
        let resources = line["resourceMetrics"].as_array().into_iter().flatten();
        let scopes = resources.flat_map(|resource| resource["scopeMetrics"].as_array().into_iter().flatten());
        scopes.flat_map(|scope| scope["metrics"].as_array().into_iter().flatten())
    }) {
        if metric["name"] != "traces.span.metrics.calls" {
            continue;
        }
        assert_eq!(
            (&metric["sum"]["isMonotonic"], &metric["sum"]["aggregationTemporality"]),
            (&json!(true), &json!(2))
        );
        for point in metric["sum"]["dataPoints"].as_array().into_iter().flatten() {
            let labels = attributes(&point["attributes"]);
            let label = |key: &str| labels.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let count = point["asInt"].as_str().and_then(|digits| digits.parse().ok()).expect("a count");
            let key = (label("span.name"), label("span.kind"), label("status.code"));
            series.insert(json!(labels).to_string(), (key, count));
        }
    }
    let mut calls = Calls::new();
    for (key, count) in series.into_values() {
        *calls.entry(key).or_default() += count;
    }
    calls
}

fn calls(spans: &[Span]) -> Calls {
    let mut calls = Calls::new();
    for span in spans {
        let kind = format!("SPAN_KIND_{}", crate::spans::kind(span.kind).to_uppercase());
        let status = match span.status.code {
            StatusCode::Unset => "STATUS_CODE_UNSET",
            StatusCode::Ok => "STATUS_CODE_OK",
            StatusCode::Error => "STATUS_CODE_ERROR",
        };
        *calls.entry((span.name.clone(), kind, status.to_owned())).or_default() += 1;
    }
    calls
}

/// Scenario: a program with an SDK of its own sends to an agent, which stands where a Collector stood and sends on to one. Guarantee:
/// the Collector receives every span, log record and data point as it was sent, but for what says that a span was received.
#[test]
fn a_collector_receives_what_passes_through() {
    let test = "collector a_collector_receives_what_passes_through";
    if crate::support::is_without_go(test) {
        return;
    }
    let program = plain("tests/received", &["."]).join("received");
    for protocol in ["grpc", "http"] {
        let rig = Rig::new();
        let Some(collector) = Collector::start(&rig, test) else { return };
        let port = if protocol == "grpc" { collector.grpc } else { collector.http };
        let mut tandem = rig.observe("run");
        tandem.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
        tandem.env("OTEL_EXPORTER_OTLP_PROTOCOL", if protocol == "grpc" { "grpc" } else { "http/protobuf" });
        tandem.env("OTEL_LOGS_EXPORTER", "otlp");
        let mut agent = Running::start(tandem.args(["--no-kernel", "--otlp=127.0.0.1:0", "--", "cat"]));
        let address = agent.address("OTLP");
        let sent = run(rig::program(&program).args([protocol, &address, "40"]), LIMIT);
        assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{protocol}: {sent}");
        let finished = agent.finish();
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");
        let lines = collector.finish();
        let spans = received_spans(&lines);
        assert_eq!(spans.len(), 80, "{protocol}");
        for span in spans.values() {
            assert_eq!((&span["attributes"]["tandem.source"], &span["service"]), (&json!("otlp"), &json!("sender")));
        }
        let shown: Vec<Span> =
            rig.traces(&["--limit", "100"]).iter().flat_map(|trace| rig.trace(&trace.trace_id.to_string())).collect();
        for span in &shown {
            let received = &spans[&span.span_id.to_string()];
            assert_eq!((&received["start"], &received["name"]), (&json!(span.start_unix_nano), &json!(span.name)));
        }
        assert_eq!(received_logs(&lines).len(), 40, "{protocol}");
        let names = received_metrics(&lines);
        for name in ["orders", "took", "load", "http.server.request.duration"] {
            assert!(names.iter().any(|(found, _)| found == name), "{protocol}: no {name} in {names:?}");
        }
        rig.assert_nothing_left();
    }
}
