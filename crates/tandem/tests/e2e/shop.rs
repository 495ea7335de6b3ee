//! The shop (`examples/shop`): four services without a line of telemetry, woven, under load from its own customers.
//!
//! Guarantees: every request is one trace in which each span has the parent that called it, across goroutines, pools and
//! processes; rates and errors are exactly what the customers counted, at any sampling rate; errors and slow queries are
//! visible; log lines carry their trace; the shop's files stay as they were.

use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, Span};
use rustix::process::Signal;
use serde_json::Value;

use crate::collector::{Collector, graph};
use crate::golang::{go, plain, tree, woven};
use crate::prometheus::{self, Exemplar, Sample};
use crate::rig::{BUILD_LIMIT, Finished, LIMIT, Rig, Running, eventually, kept, repository, run, tandem};
use crate::spans::{attribute, by_id, is_error, kind, parents, service, title, traces};

const MODULE: &str = "examples/shop";
const SERVICES: [&str; 4] = ["gateway", "inventory", "orders", "worker"];
const PACKAGES: [&str; 4] = ["./cmd/gateway", "./cmd/inventory", "./cmd/orders", "./cmd/worker"];

/// Route with its method, and status.
type Kinds = BTreeMap<(String, u16), u64>;

/// The shop, woven, under `tandem run`.
struct Shop {
    rig: Rig,
    tandem: Running,
    gateway: String,
    metrics: String,
}

impl Shop {
    fn open(environment: &[(&str, &str)]) -> Self {
        let (services, launcher) = (woven(MODULE, &PACKAGES), plain(MODULE, &["./cmd/..."]));
        let rig = Rig::new();
        let mut run = rig.observe("run");
        run.args(["--metrics", "127.0.0.1:0", "--"]).arg(launcher.join("shop")).arg("--json");
        run.arg("--bin-dir").arg(services).arg("--log-dir").arg(rig.path().join("logs"));
        run.envs(environment.iter().copied());
        let mut tandem = Running::start(&mut run);
        let metrics = tandem.address("metrics");
        let gateway = tandem.stdout_line(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["addresses"]["gateway"].as_str()?.to_owned())
        });
        Self { rig, tandem, gateway, metrics }
    }

    /// Lets customers make so many requests. Returns what they counted.
    fn load(&self, requests: u32) -> Kinds {
        let mut loadgen = std::process::Command::new(plain(MODULE, &["./cmd/..."]).join("loadgen"));
        loadgen.args(["--json", "--gateway", &self.gateway, "--requests", &requests.to_string()]);
        let output = run(&mut loadgen, LIMIT);
        assert_eq!(output.code, 0, "{output}");
        let report: Value = serde_json::from_str(&output.stdout).expect("the customers' report");
        let counts = report["counts"].as_array().expect("counts").iter();
        counts
            .map(|count| {
                let status = count["status"].as_u64().expect("a status") as u16;
                (
                    (count["route"].as_str().expect("a route").to_owned(), status),
                    count["count"].as_u64().expect("a count"),
                )
            })
            .collect()
    }

    /// Waits until the metrics have as many requests as the customers counted, and compares each kind. A request ends a
    /// moment after its answer has arrived, so its count may be on its way.
    fn assert_metrics_equal(&self, counted: &Kinds) -> Vec<Sample> {
        let total: u64 = counted.values().sum();
        let mut samples = Vec::new();
        eventually(LIMIT, || {
            samples = prometheus::scrape(&self.metrics);
            (metric_kinds(&samples).values().sum::<u64>() >= total).then_some(())
        });
        assert_eq!(&metric_kinds(&samples), counted, "the metrics differ from what the customers counted");
        assert_eq!(&convention_kinds(&samples), counted, "http.server.request.duration has other counts");
        samples
    }

    fn close(self) -> (Rig, Finished) {
        let finished = self.tandem.stop();
        assert_eq!(finished.code, 0, "{finished}");
        assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");
        self.rig.assert_nothing_left();
        (self.rig, finished)
    }
}

/// What the gateway served, according to its metrics. The launcher's own questions for health are left out.
fn metric_kinds(samples: &[Sample]) -> Kinds {
    let served = samples.iter().filter(|sample| {
        sample.name == "traces_span_metrics_calls_total"
            && sample.label("service_name").ends_with("gateway")
            && sample.label("span_kind") == "SPAN_KIND_SERVER"
            && sample.label("http_route") != "/healthz"
    });
    let mut kinds = Kinds::new();
    for sample in served {
        let route = format!("{} {}", sample.label("http_request_method"), sample.label("http_route"));
        let status = sample.label("http_response_status_code").parse().expect("a status");
        *kinds.entry((route, status)).or_default() += sample.value as u64;
    }
    kinds
}

/// The same according to the metric that the conventions have.
fn convention_kinds(samples: &[Sample]) -> Kinds {
    let served = samples.iter().filter(|sample| {
        sample.name == "http_server_request_duration_seconds_count"
            && sample.label("service_name").ends_with("gateway")
            && sample.label("http_route") != "/healthz"
    });
    let mut kinds = Kinds::new();
    for sample in served {
        assert_eq!(sample.label("url_scheme"), "http", "{sample:?}");
        let route = format!("{} {}", sample.label("http_request_method"), sample.label("http_route"));
        let status = sample.label("http_response_status_code").parse().expect("a status");
        *kinds.entry((route, status)).or_default() += sample.value as u64;
    }
    kinds
}

/// The same according to the spans.
fn span_kinds(spans: &[Span]) -> Kinds {
    let mut kinds = Kinds::new();
    for span in spans.iter().filter(|span| span.kind == Kind::Server && service(span) == "gateway") {
        if span.name != "GET /healthz" {
            let status = attribute(span, "http.response.status_code").parse().expect("a status");
            *kinds.entry((span.name.clone(), status)).or_default() += 1;
        }
    }
    kinds
}

/// Who calls whom in the shop: each span with every parent that it may have; `-` is none. What a database does is said
/// by its operation, whatever the table.
const CALLS: &[(&str, &[&str])] = &[
    ("gateway server GET /healthz", &["-"]),
    ("inventory server GET /healthz", &["-"]),
    ("worker server GET /healthz", &["-"]),
    ("orders server grpc.health.v1.Health/Check", &["-"]),
    ("gateway server GET /products", &["-"]),
    ("gateway server GET /products/:id", &["-"]),
    ("gateway server POST /cart/:user/items", &["-"]),
    ("gateway server POST /checkout", &["-"]),
    ("gateway server GET /orders/:id", &["-"]),
    (
        "gateway client GET",
        &["gateway server GET /products", "gateway server GET /products/:id", "gateway server POST /cart/:user/items"],
    ),
    ("gateway client shop.orders.v1.Orders/PlaceOrder", &["gateway server POST /checkout"]),
    ("gateway client shop.orders.v1.Orders/GetOrder", &["gateway server GET /orders/:id"]),
    ("gateway client shop.orders.v1.Orders/WatchOrder", &["gateway server GET /orders/:id"]),
    ("inventory server GET /items", &["gateway client GET"]),
    ("inventory server GET /items/{sku}", &["gateway client GET"]),
    ("inventory server GET /items/{sku}/related", &["gateway client GET"]),
    ("inventory server POST /items/{sku}/reserve", &["orders client POST"]),
    ("inventory server DELETE /reservations/{order}", &["orders client DELETE"]),
    ("orders server shop.orders.v1.Orders/PlaceOrder", &["gateway client shop.orders.v1.Orders/PlaceOrder"]),
    ("orders server shop.orders.v1.Orders/WatchOrder", &["gateway client shop.orders.v1.Orders/WatchOrder"]),
    (
        "orders server shop.orders.v1.Orders/GetOrder",
        &["gateway client shop.orders.v1.Orders/GetOrder", "worker client shop.orders.v1.Orders/GetOrder"],
    ),
    ("orders server shop.orders.v1.Orders/RecordInvoice", &["worker client shop.orders.v1.Orders/RecordInvoice"]),
    ("orders server shop.orders.v1.Orders/ListUninvoiced", &["worker client shop.orders.v1.Orders/ListUninvoiced"]),
    ("orders client POST", &["orders server shop.orders.v1.Orders/PlaceOrder"]),
    ("orders client DELETE", &["orders server shop.orders.v1.Orders/PlaceOrder"]),
    ("worker server POST /jobs", &["orders client POST"]),
    // The pool's goroutines hold nothing but the context that came with the job.
    ("worker client shop.orders.v1.Orders/GetOrder", &["worker server POST /jobs"]),
    ("worker client shop.orders.v1.Orders/RecordInvoice", &["worker server POST /jobs"]),
    ("worker client shop.orders.v1.Orders/ListUninvoiced", &["-"]),
    // Tables are made, filled and read, and statements prepared, before anybody asks for anything.
    ("inventory client CREATE", &["-"]),
    ("inventory client PREPARE", &["-"]),
    (
        "inventory client BEGIN",
        &["-", "inventory server POST /items/{sku}/reserve", "inventory server DELETE /reservations/{order}"],
    ),
    (
        "inventory client COMMIT",
        &["-", "inventory server POST /items/{sku}/reserve", "inventory server DELETE /reservations/{order}"],
    ),
    ("inventory client ROLLBACK", &["inventory server POST /items/{sku}/reserve"]),
    ("inventory client INSERT", &["-", "inventory server POST /items/{sku}/reserve"]),
    (
        "inventory client UPDATE",
        &["inventory server POST /items/{sku}/reserve", "inventory server DELETE /reservations/{order}"],
    ),
    ("inventory client DELETE", &["inventory server DELETE /reservations/{order}"]),
    (
        "inventory client SELECT",
        &[
            "-",
            "inventory server GET /items",
            "inventory server GET /items/{sku}",
            "inventory server GET /items/{sku}/related",
            "inventory server POST /items/{sku}/reserve",
            "inventory server DELETE /reservations/{order}",
        ],
    ),
    ("orders client CREATE", &["-"]),
    ("orders client PREPARE", &["-", "orders server shop.orders.v1.Orders/PlaceOrder"]),
    (
        "orders client BEGIN",
        &["orders server shop.orders.v1.Orders/PlaceOrder", "orders server shop.orders.v1.Orders/RecordInvoice"],
    ),
    (
        "orders client COMMIT",
        &["orders server shop.orders.v1.Orders/PlaceOrder", "orders server shop.orders.v1.Orders/RecordInvoice"],
    ),
    ("orders client INSERT", &["orders server shop.orders.v1.Orders/PlaceOrder"]),
    (
        "orders client UPDATE",
        &["orders server shop.orders.v1.Orders/PlaceOrder", "orders server shop.orders.v1.Orders/RecordInvoice"],
    ),
    (
        "orders client SELECT",
        &[
            "orders server shop.orders.v1.Orders/PlaceOrder",
            "orders server shop.orders.v1.Orders/GetOrder",
            "orders server shop.orders.v1.Orders/WatchOrder",
            "orders server shop.orders.v1.Orders/RecordInvoice",
            "orders server shop.orders.v1.Orders/ListUninvoiced",
        ],
    ),
];

/// `title`, but for databases only the operation: how a call is named in `CALLS`.
fn caller(span: &Span) -> String {
    match attribute(span, "db.operation.name") {
        none if none.is_empty() => title(span),
        operation => format!("{} {} {operation}", service(span), kind(span.kind)),
    }
}

fn assert_parents_are_callers(spans: &[Span]) {
    let known = by_id(spans);
    let mut wrong = BTreeSet::new();
    for span in spans {
        let parent = span.parent_span_id.map_or_else(
            || "-".to_owned(),
            |id| known.get(&(span.trace_id, id)).map_or_else(|| format!("missing {id}"), |parent| caller(parent)),
        );
        let allowed = CALLS.iter().find(|call| call.0 == caller(span)).map_or(&[][..], |call| call.1);
        if !allowed.contains(&parent.as_str()) {
            wrong.insert(format!("{} below {parent}", caller(span)));
        }
    }
    assert!(wrong.is_empty(), "not as the shop calls: {wrong:#?}");
}

/// Scenario: 400 requests, everything sampled. Guarantees what the module says, for each of them.
#[test]
fn every_request_is_a_whole_trace_and_is_counted() {
    if crate::support::is_without_go("shop every_request_is_a_whole_trace_and_is_counted") {
        return;
    }
    let shop = Shop::open(&[]);
    let counted = shop.load(400);
    shop.assert_metrics_equal(&counted);
    let exemplars = prometheus::exemplars(&shop.metrics);
    let (rig, _) = shop.close();
    let spans = rig.spans();
    exemplars_are_spans(&exemplars, &spans);
    assert_eq!(span_kinds(&spans), counted, "the spans differ from what the customers counted");
    assert!(spans.iter().all(|span| !span.unfinished), "the shop was stopped in peace");
    assert_parents_are_callers(&spans);
    four_services_in_one_trace(&rig, &spans);
    a_declined_card_is_an_error(&rig, &spans);
    the_slow_query_is_seen(&rig);
    logs_carry_their_trace(&rig, &spans);
    anatomies_add_up(&spans);
}

/// Each exemplar names a span of the metric's own service and kind (of the service graph: of the end that it is about), with the
/// duration that it says.
fn exemplars_are_spans(exemplars: &[Exemplar], spans: &[Span]) {
    let known = by_id(spans);
    for exemplar in exemplars {
        let ids = (model::TraceId::parse(&exemplar.trace_id), model::SpanId::parse(&exemplar.span_id));
        let (Some(trace), Some(span)) = ids else { panic!("no ids in {exemplar:?}") };
        let span = known.get(&(trace, span)).unwrap_or_else(|| panic!("no such span: {exemplar:?}"));
        let name = &exemplar.sample.name;
        let is_of_graph = name.strip_prefix("traces_service_graph_request_");
        let end = match is_of_graph {
            Some(end) if end.starts_with("client") || exemplar.sample.label("connection_type") == "database" => {
                "client"
            }
            Some(_) => "server",
            None => "service_name",
        };
        assert!(exemplar.sample.label(end).ends_with(service(span)), "{exemplar:?}");
        assert!((span.duration_ns as f64 / 1e9 - exemplar.value).abs() < 1e-8, "{exemplar:?}: {}", span.duration_ns);
        let bound: f64 = exemplar.sample.label("le").parse().unwrap_or(f64::INFINITY);
        assert!(exemplar.value <= bound, "{exemplar:?}");
        match exemplar.sample.name.as_str() {
            "http_server_request_duration_seconds_bucket" | "rpc_server_call_duration_seconds_bucket" => {
                assert_eq!(span.kind, Kind::Server, "{exemplar:?}");
            }
            "db_client_operation_duration_seconds_bucket" => {
                assert_eq!(attribute(span, "db.operation.name"), exemplar.sample.label("db_operation_name"));
            }
            _ => {}
        }
    }
    for metric in
        ["http_server_request", "http_client_request", "rpc_server_call", "rpc_client_call", "db_client_operation"]
    {
        let name = format!("{metric}_duration_seconds_bucket");
        assert!(exemplars.iter().any(|exemplar| exemplar.sample.name == name), "no exemplars of {name}");
    }
}

/// An order that was paid: one trace through all services, the same in the store as in the stream.
fn four_services_in_one_trace(rig: &Rig, spans: &[Span]) {
    let all = traces(spans);
    let paid = spans
        .iter()
        .filter(|span| span.name == "POST /checkout" && attribute(span, "http.response.status_code") == "201");
    let mut seen = 0;
    for order in paid {
        seen += 1;
        let trace = &all[&order.trace_id];
        let services: BTreeSet<&str> = trace.iter().map(|span| service(span)).collect();
        assert_eq!(services, SERVICES.into());
        let roots = trace.iter().filter(|span| span.parent_span_id.is_none()).count();
        assert_eq!(roots, 1, "one root a trace");
        for done in ["POST /jobs", "shop.orders.v1.Orders/RecordInvoice"] {
            assert!(
                trace.iter().any(|span| span.name == done && span.kind == Kind::Server),
                "{done} is not in the trace"
            );
        }
    }
    assert!(seen > 0, "nobody bought anything");
    let listed = rig.traces(&["--route", "POST /checkout", "--limit", "1000"]);
    let whole = listed.iter().find(|trace| trace.services.len() == SERVICES.len()).expect("a trace of four services");
    let mut stored = rig.trace(&whole.trace_id.to_string());
    let mut streamed: Vec<Span> = all[&whole.trace_id].iter().map(|span| (*span).clone()).collect();
    stored.sort_by_key(|span| span.span_id);
    streamed.sort_by_key(|span| span.span_id);
    assert_eq!(stored, streamed, "the store has other spans than the stream");
}

/// A card that is declined ends as 402: orders says FAILED_PRECONDITION, which is an error for who has called it.
fn a_declined_card_is_an_error(rig: &Rig, spans: &[Span]) {
    let declined =
        spans.iter().find(|span| attribute(span, "http.response.status_code") == "402").expect("a declined card");
    let failed = rig.traces(&["--errors", "--route", "POST /checkout", "--limit", "1000"]);
    assert!(failed.iter().any(|trace| trace.trace_id == declined.trace_id), "not among the traces with errors");
    let trace = rig.trace(&declined.trace_id.to_string());
    let call =
        trace.iter().find(|span| title(span) == "gateway client shop.orders.v1.Orders/PlaceOrder").expect("the call");
    assert!(is_error(call), "{call:?}");
    assert_eq!(attribute(call, "rpc.response.status_code"), "FAILED_PRECONDITION");
    let shown = run(rig.tandem("trace").arg(declined.trace_id.to_string()), LIMIT);
    assert!(shown.stdout.contains("✗ shop.orders.v1.Orders/PlaceOrder"), "{shown}");
    assert!(!shown.stdout.contains("missing span"), "{shown}");
}

/// A product page with related products shows the query that it waits for, its text without literals.
fn the_slow_query_is_seen(rig: &Rig) {
    let listed = rig.traces(&["--route", "/related", "--limit", "1"]);
    let trace = rig.trace(&listed.first().expect("somebody asked for related products").trace_id.to_string());
    let page = trace.iter().find(|span| span.name == "GET /items/{sku}/related").expect("the page");
    let query = trace
        .iter()
        .find(|span| span.parent_span_id == Some(page.span_id) && attribute(span, "db.query.text").contains("JOIN"))
        .expect("the join below the page");
    assert_eq!(attribute(query, "db.system.name"), "sqlite");
    assert!(!attribute(query, "db.query.text").contains('\''), "a literal in {}", attribute(query, "db.query.text"));
    assert!(page.duration_ns >= query.duration_ns && page.start_unix_nano <= query.start_unix_nano);
}

/// What the worker logs about an order carries ids of spans of the trace that has placed it.
fn logs_carry_their_trace(rig: &Rig, spans: &[Span]) {
    let known = by_id(spans);
    let log = std::fs::read_to_string(rig.path().join("logs/worker.log")).expect("the worker's log");
    let mut invoiced = 0;
    for line in log.lines().filter(|line| line.contains("invoiced")) {
        let value = |key: &str| {
            let start = line.find(key).unwrap_or_else(|| panic!("no {key} in {line}")) + key.len();
            line[start..]
                .trim_start_matches(['=', '"', ':'])
                .chars()
                .take_while(char::is_ascii_hexdigit)
                .collect::<String>()
        };
        let ids = (model::TraceId::parse(&value("trace_id")), model::SpanId::parse(&value("span_id")));
        let (Some(trace), Some(span)) = ids else { panic!("no ids in {line}") };
        assert!(known.contains_key(&(trace, span)), "{line} names a span that there is not");
        invoiced += 1;
    }
    assert!(invoiced > 0, "no invoice was logged");
}

/// Where both halves were measured, the parts are the whole: time on the CPU is what the others leave.
fn anatomies_add_up(spans: &[Span]) {
    let anatomies = spans.iter().filter_map(|span| span.anatomy.as_ref().map(|anatomy| (span, anatomy)));
    let mut measured = 0;
    for (span, anatomy) in anatomies.filter(|(_, anatomy)| anatomy.parts_ns.contains_key("on_cpu")) {
        assert_eq!(anatomy.wall_ns, span.duration_ns);
        let sum: u64 = anatomy.parts_ns.values().sum();
        assert_eq!(sum, anatomy.wall_ns, "{}: {anatomy:?}", title(span));
        measured += 1;
    }
    if let Err(error) = probe::features::require_anatomy() {
        return crate::support::skip("shop anatomies_add_up", &error.to_string());
    }
    assert!(measured > spans.len() / 2, "{measured} of {} spans have an anatomy", spans.len());
}

/// Who calls whom, by the metrics: requests of all that are (or are not) failed.
fn edges(samples: &[Sample], metric: &str) -> BTreeMap<(String, String), u64> {
    let mut edges = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == format!("traces_service_graph_{metric}")) {
        let name = |label| sample.label(label).trim_start_matches("unknown_service:").to_owned();
        *edges.entry((name("client"), name("server"))).or_default() += sample.value as u64;
    }
    edges
}

/// The service graph has as many requests as the customers made, and as the services made of them: what a service asks is what its
/// clients' spans say, counted whether sampled or not. Of a request that has just ended one of its two spans may be on its way.
fn the_graph_is_what_was_counted(shop: &Shop, counted: &Kinds) {
    let mut wrong = Vec::new();
    let right = eventually(LIMIT, || {
        wrong = wrong_edges(&prometheus::scrape(&shop.metrics), counted);
        wrong.is_empty().then_some(())
    });
    assert!(right.is_some(), "{wrong:#?}");
}

fn wrong_edges(samples: &[Sample], counted: &Kinds) -> Vec<String> {
    let sum = |fits: &dyn Fn(&str, u16) -> bool| -> u64 {
        counted.iter().filter(|((route, status), _)| fits(route, *status)).map(|(_, count)| count).sum()
    };
    let [edges, failed] = ["request_total", "request_failed_total"].map(|metric| edges(samples, metric));
    let among = |edges: &BTreeMap<(String, String), u64>, client: &str, servers: &dyn Fn(&str) -> bool| -> u64 {
        edges.iter().filter(|((from, to), _)| from == client && servers(to)).map(|(_, count)| count).sum()
    };
    let asked = |service: &str, label: &str| -> u64 {
        let all = samples.iter().filter(|sample| sample.name == "traces_span_metrics_calls_total");
        let own = all.filter(|sample| {
            let (name, kind) = (sample.label("service_name"), sample.label("span_kind"));
            name.ends_with(service) && kind == "SPAN_KIND_CLIENT" && !sample.label(label).is_empty()
        });
        own.map(|sample| sample.value as u64).sum()
    };
    let is = |wanted: &'static str| move |server: &str| server == wanted;
    let is_database = |server: &str| !SERVICES.contains(&server);
    let calls = sum(&|route, _| route == "POST /checkout" || route == "GET /orders/:id");
    let refused = sum(&|_, status| matches!(status, 402 | 409));
    let both = [
        ("gateway asks orders", among(&edges, "gateway", &is("orders")), calls),
        ("gateway asks inventory", among(&edges, "gateway", &is("inventory")), asked("gateway", "http_request_method")),
        ("gateway asks nobody else", among(&edges, "gateway", &is_database), 0),
        (
            "orders asks both",
            { among(&edges, "orders", &is("worker")) + among(&edges, "orders", &is("inventory")) },
            asked("orders", "http_request_method"),
        ),
        ("worker asks orders", among(&edges, "worker", &is("orders")), asked("worker", "rpc_method")),
        ("orders' database", among(&edges, "orders", &is_database), asked("orders", "db_system_name")),
        ("inventory's database", among(&edges, "inventory", &is_database), asked("inventory", "db_system_name")),
        ("gateway is refused by orders", among(&failed, "gateway", &is("orders")), refused),
    ];
    let wrong = both.into_iter().filter(|(_, edge, expected)| edge != expected);
    wrong.map(|(what, edge, expected)| format!("{what}: {edge} instead of {expected}; {edges:?}")).collect()
}

/// Scenario: the shop's spans and metrics go on to a Collector with the connector for service graphs. Guarantee: both count the same
/// requests between the same services and databases, and from outside, and the same of them failed.
#[test]
fn a_collector_makes_the_same_graph_of_the_spans() {
    let test = "shop a_collector_makes_the_same_graph_of_the_spans";
    if crate::support::is_without_go(test) {
        return;
    }
    let rig = Rig::new();
    let Some(collector) = Collector::with_graph(&rig, test) else { return };
    let shop = Shop::open(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", collector.http)),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
    let counted = shop.load(300);
    shop.assert_metrics_equal(&counted);
    the_graph_is_what_was_counted(&shop, &counted);
    shop.close();
    for name in ["traces_service_graph_request_total", "traces_service_graph_request_failed_total"] {
        let mut both = [BTreeMap::new(), BTreeMap::new()];
        let same = eventually(LIMIT, || {
            let lines = collector.lines();
            both = ["tandem/agent", "traces_service_graph"].map(|scope| graph(&lines, scope, name));
            (both[0] == both[1] && !both[0].is_empty()).then_some(())
        });
        assert!(same.is_some(), "{name}, Tandem and the Collector: {both:#?}");
    }
    collector.finish();
}

/// Scenario: a tenth of the traces sampled. Guarantees: the counts are exact, and what is kept is kept whole.
#[test]
fn a_tenth_sampled_is_counted_exactly() {
    if crate::support::is_without_go("shop a_tenth_sampled_is_counted_exactly") {
        return;
    }
    let shop = Shop::open(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")]);
    let counted = shop.load(400);
    shop.assert_metrics_equal(&counted);
    the_graph_is_what_was_counted(&shop, &counted);
    let (rig, _) = shop.close();
    let spans = rig.spans();
    let (kept, all) = (span_kinds(&spans).values().sum::<u64>(), counted.values().sum::<u64>());
    // Four hundred times one in ten: outside these borders once in many billions of runs.
    assert!(kept > 2 && kept < all / 3, "{kept} of {all} requests were sampled");
    parents(&spans);
    assert_parents_are_callers(&spans);
}

/// Scenario: nothing sampled. Guarantees: no span leaves the programs, and the counts are exact, errors and all services
/// included.
#[test]
fn nothing_sampled_is_counted_exactly() {
    if crate::support::is_without_go("shop nothing_sampled_is_counted_exactly") {
        return;
    }
    let shop = Shop::open(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")]);
    let counted = shop.load(300);
    let samples = shop.assert_metrics_equal(&counted);
    let calls = |service: &str, kind: &str, name: &str| -> f64 {
        let fitting = samples.iter().filter(|sample| {
            sample.name == "traces_span_metrics_calls_total"
                && sample.label("service_name").ends_with(service)
                && (sample.label("span_kind"), sample.label("span_name")) == (kind, name)
        });
        fitting.map(|sample| sample.value).sum()
    };
    let orders: u64 = counted.iter().filter(|((route, _), _)| route == "POST /checkout").map(|(_, count)| count).sum();
    let place = "shop.orders.v1.Orders/PlaceOrder";
    assert_eq!(calls("gateway", "SPAN_KIND_CLIENT", place), orders as f64);
    assert_eq!(calls("orders", "SPAN_KIND_SERVER", place), orders as f64);
    let failed = samples.iter().filter(|sample| {
        sample.name == "traces_span_metrics_calls_total"
            && sample.label("status_code") == "STATUS_CODE_ERROR"
            && sample.label("span_name") == place
    });
    let refused: u64 =
        counted.iter().filter(|((_, status), _)| matches!(status, 402 | 409)).map(|(_, count)| count).sum();
    assert_eq!(failed.map(|sample| sample.value).sum::<f64>(), refused as f64);
    // A histogram has as many durations as there were calls, also when no span has left.
    for sample in samples.iter().filter(|sample| sample.name == "traces_span_metrics_duration_seconds_count") {
        let calls = samples
            .iter()
            .find(|calls| calls.name == "traces_span_metrics_calls_total" && calls.labels == sample.labels);
        assert_eq!(calls.map(|calls| calls.value), Some(sample.value), "{sample:?}");
    }
    assert_eq!(prometheus::exemplars(&shop.metrics).len(), 0, "an exemplar of a span that was not kept");
    programs_say_how_they_are(&shop);
    let (rig, finished) = shop.close();
    assert_eq!(rig.spans(), []);
    assert!(finished.said().iter().any(|line| line.contains("none sampled")), "{finished}");
}

/// The Go runtime's metrics of each service, and those of the pools of those that have a database.
fn programs_say_how_they_are(shop: &Shop) {
    let complete = |samples: &[Sample]| {
        SERVICES.iter().all(|service| {
            let value = |name: &str| {
                let mut own = samples.iter().filter(|sample| sample.label("service_name").ends_with(service));
                own.find(|sample| sample.name == name).map_or(0.0, |sample| sample.value)
            };
            value("go_goroutine_count") > 1.0
                && value("go_memory_used_bytes") > 100_000.0
                && value("go_memory_allocated_bytes_total") > 100_000.0
                && value("go_memory_allocations_total") > 1000.0
                && value("go_memory_gc_goal_bytes") > 1_000_000.0
                && value("go_processor_limit") >= 1.0
                && value("go_config_gogc_percent") == 100.0
                && value("go_schedule_duration_seconds_count") > 10.0
        })
    };
    let mut samples = Vec::new();
    let all_there = eventually(LIMIT, || {
        samples = prometheus::scrape(&shop.metrics);
        complete(&samples).then_some(())
    });
    assert!(all_there.is_some(), "not all services say all: {samples:#?}");
    the_terminal_shows_them(shop);
    for service in ["inventory", "orders"] {
        let of = |name: &str| -> Vec<&Sample> {
            let own = samples.iter().filter(|sample| sample.label("service_name").ends_with(service));
            own.filter(|sample| sample.name == name).collect()
        };
        let sum = |name: &str| of(name).iter().map(|sample| sample.value).sum::<f64>();
        let states: BTreeSet<&str> =
            of("db_client_connection_count").iter().map(|sample| sample.label("db_client_connection_state")).collect();
        assert_eq!(states, ["idle", "used"].into(), "{service}");
        assert!(sum("db_client_connection_count") >= 1.0, "{service} has no connection");
        assert!(sum("db_client_connection_idle_max") >= 1.0, "{service}");
        let (waited, used) =
            (sum("db_client_connection_wait_time_seconds_count"), sum("db_client_connection_use_time_seconds_count"));
        // What is in use at the moment was obtained and not given back yet.
        assert!(waited >= used && used > 10.0, "{service}: {waited} obtained, {used} returned");
        assert!(sum("db_client_connection_create_time_seconds_count") >= 1.0, "{service}");
        assert!(
            !of("db_client_connection_create_time_seconds_count")[0].label("db_client_connection_pool_name").is_empty()
        );
    }
}

/// `tandem metrics --live` reads the same numbers from the programs' memory.
fn the_terminal_shows_them(shop: &Shop) {
    for service in SERVICES {
        let output = run(shop.rig.tandem("metrics").args(["--live", "--json", "--service", service]), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        let lines: Vec<Value> =
            output.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let goroutines = lines.iter().find(|line| line["name"] == "go.goroutine.count");
        assert!(goroutines.is_some_and(|line| line["value"].as_i64() > Some(1)), "{output}");
        let output = run(shop.rig.tandem("metrics").args(["--live", "--service", service]), LIMIT);
        assert!(output.stdout.contains("go.memory.used go.memory.type=stack"), "{output}");
    }
}

/// Scenario: three series a metric are allowed, a tenth sampled. Guarantees: what is too much is one series that says so, and
/// no request is missing.
#[test]
fn too_many_series_overflow_into_one() {
    if crate::support::is_without_go("shop too_many_series_overflow_into_one") {
        return;
    }
    let shop = Shop::open(&[
        ("TANDEM_METRICS_CARDINALITY_LIMIT", "3"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
    ]);
    let counted = shop.load(100);
    let total: u64 = counted.values().sum();
    const NAME: &str = "http_server_request_duration_seconds_count";
    let own = |samples: Vec<Sample>| -> Vec<Sample> {
        let fitting = |sample: &Sample| sample.name == NAME && sample.label("service_name").ends_with("gateway");
        samples.into_iter().filter(fitting).collect()
    };
    let samples = eventually(LIMIT, || {
        let samples = own(prometheus::scrape(&shop.metrics));
        (samples.iter().map(|sample| sample.value).sum::<f64>() >= total as f64).then_some(samples)
    })
    .expect("the metrics count fewer than the customers");
    assert_eq!(samples.len(), 3, "{samples:?}");
    let overflow: Vec<_> = samples.iter().filter(|sample| sample.label("otel_metric_overflow") == "true").collect();
    assert_eq!(overflow.len(), 1, "{samples:?}");
    assert_eq!(overflow[0].labels.len(), 2, "nothing but the service and that it is too much: {overflow:?}");
    // The launcher asks for health a few times, and nobody else asks.
    let calls = |samples: &[Sample]| -> f64 {
        let all = samples.iter().filter(|sample| {
            sample.name == "traces_span_metrics_calls_total" && sample.label("service_name").ends_with("gateway")
        });
        all.map(|sample| sample.value).sum()
    };
    assert!(calls(&prometheus::scrape(&shop.metrics)) >= total as f64);
    shop.close();
}

/// Scenario: `tandem go build` in the shop's own folder. Guarantees: its files are byte for byte what they were, down to
/// their times, and a plain build afterwards compiles nothing again.
#[test]
fn weaving_leaves_the_tree_and_the_build_cache_alone() {
    if crate::support::is_without_go("shop weaving_leaves_the_tree_and_the_build_cache_alone") {
        return;
    }
    plain(MODULE, &["./cmd/..."]);
    let folder = repository().join(MODULE);
    let before = tree(&folder);
    let out = kept().join("woven-again");
    std::fs::create_dir_all(&out).expect("the target folder can be written");
    let mut weave = tandem();
    weave.args(["go", "build", "-o"]).arg(out.join("")).args(PACKAGES).current_dir(&folder);
    let output = run(&mut weave, BUILD_LIMIT);
    assert_eq!(output.code, 0, "{output}");
    let after = tree(&folder);
    let changed: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
    let again = run(
        go(&folder).args(["build", "-v", "-o"]).arg(kept().join("plain-again").join("")).arg("./cmd/..."),
        BUILD_LIMIT,
    );
    assert_eq!(again.code, 0, "{again}");
    assert_eq!(again.stderr, "", "a plain build compiled again");
}

/// Scenario: Ctrl-C on the running shop. Guarantees: it ends by itself, its spans are there, nothing is left behind.
#[test]
fn an_interrupted_shop_keeps_its_traces() {
    if crate::support::is_without_go("shop an_interrupted_shop_keeps_its_traces") {
        return;
    }
    let shop = Shop::open(&[]);
    let counted = shop.load(50);
    let Shop { rig, tandem, .. } = shop;
    tandem.signal(Signal::INT);
    let finished = tandem.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(span_kinds(&rig.spans()), counted);
    rig.assert_nothing_left();
}
