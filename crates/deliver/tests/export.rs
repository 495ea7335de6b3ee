//! Spans and metrics on their way to receivers that are other people's code: tonic for gRPC, hyper for HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deliver::conventions;
use deliver::metrics::{Exemplar, Metric, Origin, Point, RedKey, RedSeries, Snapshot};
use deliver::otlp::config::{ExportConfig, Temporality};
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::export::{self, MetricsExporter};
use deliver::otlp::profiles::{Observed, ProfileBuilder};
use deliver::otlp::temporality::Deltas;
use deliver::{Batch, Signal, Sink, SinkReport};
use flate2::read::GzDecoder;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::{Frame, Location, ProfileKind, Resource};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::profiles_service_server::{
    ProfilesService, ProfilesServiceServer,
};
use opentelemetry_proto::tonic::collector::profiles::v1development::{
    ExportProfilesServiceRequest, ExportProfilesServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Sum, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use record::layout::BUCKET_COUNT;
use record::{InstrumentKind, InstrumentValue};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;

/// What came over HTTP.
struct Post {
    path: String,
    token: Option<String>,
    message: Vec<u8>,
}

/// What a receiver got, and what it shall answer.
#[derive(Default)]
struct Receiver {
    spans: Mutex<Vec<String>>,
    logs: Mutex<Vec<String>>,
    /// What the stacks of each request have in common.
    profiles: Mutex<Vec<Vec<String>>>,
    posts: Mutex<Vec<Post>>,
    /// Refuses so many requests before it accepts one.
    refuse: Mutex<u32>,
    rejected: i64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    fn refuses(&self) -> bool {
        let mut left = locked(&self.refuse);
        let refuses = *left > 0;
        *left = left.saturating_sub(1);
        refuses
    }

    fn take(&self, request: &ExportTraceServiceRequest) -> ExportTraceServiceResponse {
        let spans = request.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans);
        locked(&self.spans).extend(spans.map(|span| span.name.clone()));
        let partial = ExportTracePartialSuccess { rejected_spans: self.rejected, error_message: "too old".to_owned() };
        ExportTraceServiceResponse { partial_success: (self.rejected > 0).then_some(partial) }
    }
}

impl Receiver {
    fn take_logs(&self, request: &ExportLogsServiceRequest) -> ExportLogsServiceResponse {
        let records = request.resource_logs.iter().flat_map(|one| &one.scope_logs).flat_map(|one| &one.log_records);
        locked(&self.logs).extend(records.map(|record| record.severity_text.clone()));
        ExportLogsServiceResponse::default()
    }
}

impl Receiver {
    fn take_profiles(&self, request: &ExportProfilesServiceRequest) -> ExportProfilesServiceResponse {
        let dictionary = request.dictionary.as_ref().expect("a dictionary");
        locked(&self.profiles).push(dictionary.string_table.clone());
        ExportProfilesServiceResponse::default()
    }
}

#[derive(Clone)]
struct Grpc(Arc<Receiver>);

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(self.0.take_logs(request.get_ref())))
    }
}

#[tonic::async_trait]
impl ProfilesService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportProfilesServiceRequest>,
    ) -> Result<tonic::Response<ExportProfilesServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(self.0.take_profiles(request.get_ref())))
    }
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        if self.0.refuses() {
            return Err(tonic::Status::unavailable("not yet"));
        }
        if request.metadata().get("x-token").is_some_and(|token| token != "secret") {
            return Err(tonic::Status::unauthenticated("who are you?"));
        }
        Ok(tonic::Response::new(self.0.take(request.get_ref())))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime")
}

fn grpc_server(runtime: &Runtime, receiver: &Arc<Receiver>) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
    let address = listener.local_addr().expect("address");
    let grpc = Grpc(Arc::clone(receiver));
    let service = TraceServiceServer::new(grpc.clone()).accept_compressed(CompressionEncoding::Gzip);
    let profiles = ProfilesServiceServer::new(grpc.clone()).accept_compressed(CompressionEncoding::Gzip);
    let logs = LogsServiceServer::new(grpc).accept_compressed(CompressionEncoding::Gzip);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(service).add_service(logs).add_service(profiles);
    runtime.spawn(server.serve_with_incoming(incoming));
    address
}

fn http_server(runtime: &Runtime, receiver: &Arc<Receiver>) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
    let address = listener.local_addr().expect("address");
    let receiver = Arc::clone(receiver);
    runtime.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let receiver = Arc::clone(&receiver);
            let service = service_fn(move |request| {
                let receiver = Arc::clone(&receiver);
                async move { Ok::<_, Infallible>(answer(request, &receiver).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn answer(request: Request<Incoming>, receiver: &Receiver) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if receiver.refuses() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let path = request.uri().path().to_owned();
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let (encoding, token) = (header("content-encoding"), header("x-token"));
    let body = request.into_body().collect().await.expect("body").to_bytes();
    let mut message = Vec::new();
    match encoding.as_deref() {
        Some("gzip") => drop(std::io::Read::read_to_end(&mut GzDecoder::new(&body[..]), &mut message).expect("gzip")),
        _ => message.extend(&body),
    }
    match path.as_str() {
        "/v1/traces" => {
            let request = ExportTraceServiceRequest::decode(message.as_slice()).expect("readable");
            *response.body_mut() = Full::from(receiver.take(&request).encode_to_vec());
        }
        "/v1/logs" => {
            let request = ExportLogsServiceRequest::decode(message.as_slice()).expect("readable");
            *response.body_mut() = Full::from(receiver.take_logs(&request).encode_to_vec());
        }
        "/v1development/profiles" => {
            let request = ExportProfilesServiceRequest::decode(message.as_slice()).expect("readable");
            *response.body_mut() = Full::from(receiver.take_profiles(&request).encode_to_vec());
        }
        "/v1/metrics" => {}
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    locked(&receiver.posts).push(Post { path, token, message });
    response
}

fn batch(names: &[&str]) -> Arc<Batch> {
    let spans = names.iter().map(|name| Span { name: (*name).to_owned(), ..Default::default() }).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
    let resource = Arc::new(Resource::default());
    Arc::new(Batch {
        signal: Signal::Traces,
        resource,
        bytes: request.encode_to_vec().into(),
        records: names.len() as u32,
    })
}

fn config(pairs: &[(&str, &str)]) -> ExportConfig {
    let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = ExportConfig::read(value);
    assert_eq!(config.warnings, [""; 0]);
    config
}

fn deliver(pairs: &[(&str, &str)], batches: &[Arc<Batch>], limit: Duration) -> SinkReport {
    let sink = export::spans(config(pairs).traces.expect("endpoint"), None).expect("start");
    batches.iter().for_each(|batch| sink.offer(batch).expect("room"));
    sink.flush(Instant::now() + limit);
    done(&sink)
}

/// What became of everything; nothing waits any more.
fn done(sink: &impl Sink) -> SinkReport {
    let report = sink.report();
    assert_eq!(report.queue.map(|queue| queue.records), Some(0));
    SinkReport { queue: None, ..report }
}

const LIMIT: Duration = Duration::from_secs(20);
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
const GZIP: (&str, &str) = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
const TOKEN: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=secret");

/// Scenario: three batches over each way, plain and compressed, with a header. Guarantee: each span arrives once.
#[test]
fn spans_arrive_once() {
    let runtime = runtime();
    for grpc in [true, false] {
        for gzip in [true, false] {
            let receiver = Arc::new(Receiver::default());
            let address = if grpc { grpc_server(&runtime, &receiver) } else { http_server(&runtime, &receiver) };
            let address = format!("http://{address}");
            let mut pairs = vec![(ENDPOINT, address.as_str()), TOKEN];
            pairs.extend(grpc.then_some(GRPC));
            pairs.extend(gzip.then_some(GZIP));
            let report = deliver(&pairs, &[batch(&["a", "b"]), batch(&["c"]), batch(&["d"])], LIMIT);
            assert_eq!(report, SinkReport { delivered: 4, ..SinkReport::default() }, "grpc {grpc} gzip {gzip}");
            assert_eq!(*locked(&receiver.spans), ["a", "b", "c", "d"]);
            assert!(locked(&receiver.posts).iter().all(|post| post.token.as_deref() == Some("secret")));
        }
    }
}

/// The same of log records, which go where the signal's own variables say.
#[test]
fn log_records_arrive_once() {
    let runtime = runtime();
    let batch = |names: &[&str]| {
        let record = |name: &&str| LogRecord { severity_text: (*name).to_owned(), ..Default::default() };
        let scope_logs = vec![ScopeLogs { log_records: names.iter().map(record).collect(), ..Default::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..Default::default() }];
        let bytes = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
        Arc::new(Batch { signal: Signal::Logs, resource: Arc::default(), bytes, records: names.len() as u32 })
    };
    for grpc in [true, false] {
        let receiver = Arc::new(Receiver::default());
        let address = if grpc { grpc_server(&runtime, &receiver) } else { http_server(&runtime, &receiver) };
        let own = if grpc { format!("http://{address}") } else { format!("http://{address}/v1/logs") };
        let protocol = if grpc { "grpc" } else { "http/protobuf" };
        let config = config(&[
            (ENDPOINT, "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &own),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol),
            GZIP,
        ]);
        let sink = export::logs(config.logs.expect("endpoint"), None).expect("start");
        for batch in [batch(&["a", "b"]), batch(&["c"])] {
            sink.offer(&batch).expect("room");
        }
        sink.flush(Instant::now() + LIMIT);
        assert_eq!(done(&sink), SinkReport { signal: Signal::Logs, delivered: 3, ..SinkReport::default() });
        assert_eq!(*locked(&receiver.logs), ["a", "b", "c"]);
    }
}

/// Profiles go where somebody asks for them, each with its own dictionary.
#[test]
fn profiles_arrive_each_by_itself() {
    let runtime = runtime();
    let batch = |function: &str| {
        let frames = vec![Frame { function: function.to_owned(), ..Frame::default() }];
        let stack = [Arc::new(Location { address: 1, frames })];
        let mut builder = ProfileBuilder::new(Arc::default(), "/opt/app", "1");
        let (kind, time) = (ProfileKind::Cpu, UnixNanos(5));
        builder.add(Observed { kind, time, value_ns: 1, span: None, thread_id: 1, stack: &stack });
        Arc::new(builder.take(1).expect("a batch"))
    };
    for grpc in [true, false] {
        let receiver = Arc::new(Receiver::default());
        let address = if grpc { grpc_server(&runtime, &receiver) } else { http_server(&runtime, &receiver) };
        let address = format!("http://{address}");
        let mut pairs = vec![(ENDPOINT, address.as_str()), GZIP];
        pairs.extend(grpc.then_some(GRPC));
        assert!(config(&pairs).profiles.is_none(), "nobody asked for them");
        pairs.push(("OTEL_PROFILES_EXPORTER", "otlp"));
        let sink = export::profiles(config(&pairs).profiles.expect("endpoint"), None).expect("start");
        for batch in [batch("main.a"), batch("main.b")] {
            sink.offer(&batch).expect("room");
        }
        sink.flush(Instant::now() + LIMIT);
        assert_eq!(done(&sink), SinkReport { signal: Signal::Profiles, delivered: 2, ..SinkReport::default() });
        let requests = locked(&receiver.profiles);
        assert_eq!(requests.len(), 2);
        for (texts, function) in requests.iter().zip(["main.a", "main.b"]) {
            assert!(texts[0].is_empty() && texts.iter().any(|text| text == function), "{texts:?}");
        }
    }
}

/// Scenario: the receiver is busy twice, then accepts. Guarantee: nothing is lost, nothing comes twice.
#[test]
fn a_busy_receiver_is_asked_again() {
    let runtime = runtime();
    for grpc in [true, false] {
        let receiver = Arc::new(Receiver { refuse: Mutex::new(2), ..Receiver::default() });
        let address = if grpc { grpc_server(&runtime, &receiver) } else { http_server(&runtime, &receiver) };
        let address = format!("http://{address}");
        let mut pairs = vec![(ENDPOINT, address.as_str())];
        pairs.extend(grpc.then_some(GRPC));
        let sink = export::spans(config(&pairs).traces.expect("endpoint"), None).expect("start");
        sink.offer(&batch(&["a"])).expect("room");
        let deadline = Instant::now() + LIMIT;
        while sink.report().delivered == 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(done(&sink), SinkReport { delivered: 1, ..SinkReport::default() });
        assert_eq!(*locked(&receiver.spans), ["a"]);
    }
}

/// Scenario: the receiver refuses for good, or takes only a part. Guarantee: every span is counted, by cause.
#[test]
fn what_is_refused_is_counted() {
    let runtime = runtime();
    let receiver = Arc::new(Receiver { rejected: 1, ..Receiver::default() });
    let grpc = format!("http://{}", grpc_server(&runtime, &receiver));
    let http = format!("http://{}", http_server(&runtime, &receiver));
    let spans = [batch(&["a", "b", "c"])];

    let wrong_token = ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=wrong");
    let report = deliver(&[(ENDPOINT, &grpc), GRPC, wrong_token], &spans, LIMIT);
    assert_eq!((report.delivered, report.dropped["unauthorized"]), (0, 3));
    assert!(report.problem.expect("said").contains("who are you?"));

    let report = deliver(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{http}/elsewhere"))], &spans, LIMIT);
    assert_eq!((report.delivered, report.dropped["not_found"]), (0, 3));
    assert!(report.problem.expect("said").contains("/elsewhere answers 404"));

    for pairs in [vec![(ENDPOINT, grpc.as_str()), GRPC], vec![(ENDPOINT, http.as_str())]] {
        let report = deliver(&pairs, &spans, LIMIT);
        assert_eq!((report.delivered, report.dropped["rejected"]), (2, 1));
        assert!(report.problem.expect("said").contains("too old"));
    }
}

/// Scenario: nobody listens, or nobody answers. Guarantee: the message names the address, every span is counted, and
/// whoever waits for the end does not wait long.
#[test]
fn a_receiver_that_is_not_there_costs_little_time() {
    let spans = [batch(&["a", "b", "c"])];
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let nobody = format!("http://{free}");
    for pairs in [vec![(ENDPOINT, nobody.as_str()), GRPC], vec![(ENDPOINT, nobody.as_str())]] {
        let start = Instant::now();
        let report = deliver(&pairs, &spans, LIMIT);
        assert_eq!((report.delivered, report.dropped["unreachable"]), (0, 3));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        let problem = report.problem.expect("said");
        assert!(problem.contains(&nobody) && problem.contains("refused"), "{problem}");
    }

    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}", silent.local_addr().expect("address"));
    let report = deliver(&[(ENDPOINT, &address)], &spans, Duration::from_millis(300));
    assert_eq!((report.delivered, report.dropped["too_late"]), (0, 3));
}

/// Scenario: a receiver that hangs, and more spans than may wait. Guarantee: offering never blocks, what does not fit
/// is counted.
#[test]
fn a_full_queue_refuses() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}", silent.local_addr().expect("address"));
    let sink = export::spans(config(&[(ENDPOINT, &address)]).traces.expect("endpoint"), None).expect("start");
    let name = "n".repeat(1 << 20);
    let large = batch(&[&name]);
    let start = Instant::now();
    let refused = (0..200).filter(|_| sink.offer(&large).is_err()).count() as u64;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!((100..200).contains(&refused), "{refused}");
    assert_eq!(sink.report().dropped["queue_full"], refused);
}

/// Metrics are sent at the end, even when the interval is long.
#[test]
fn metrics_arrive() {
    let runtime = runtime();
    let receiver = Arc::new(Receiver::default());
    let address = format!("http://{}", http_server(&runtime, &receiver));
    let source = || {
        let key = RedKey {
            service: "shop".into(),
            span_name: "GET /a".to_owned(),
            kind: 2,
            status: 0,
            dimensions: vec![("http.route".to_owned(), model::Value::String("/a".to_owned()))],
            metric: "",
            overflow: false,
        };
        let mut buckets = [0; BUCKET_COUNT];
        (buckets[0], buckets[19]) = (41, 1);
        let red = vec![RedSeries { key: Arc::new(key), buckets, sum_ns: 20_000_000_000, exemplars: Vec::new() }];
        Snapshot {
            host: "here".to_owned(),
            start: UnixNanos(1),
            now: UnixNanos(2),
            red,
            metrics: Vec::new(),
            received: Vec::new(),
            own: Vec::new(),
        }
    };
    let endpoint = config(&[(ENDPOINT, &address)]).metrics.expect("endpoint");
    drop(MetricsExporter::start(endpoint, Duration::from_secs(3600), Temporality::Cumulative, source).expect("start"));
    let posts = locked(&receiver.posts);
    assert_eq!(posts[0].path, "/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(posts[0].message.as_slice()).expect("readable");
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(metrics[1].name, "traces.span.metrics.duration");
    let Some(Data::Histogram(histogram)) = &metrics[1].data else { panic!("a histogram") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, point.bucket_counts.len()), (42, Some(20.0), point.explicit_bounds.len() + 1));
    assert_eq!(point.attributes.len(), 4);
}

/// Scenario: deltas are asked for; the receiver refuses the second request. Guarantees: each request has what was added since the
/// last one that arrived, beginning where that one ended; sums that go up and down stay totals; exemplars come once.
#[test]
fn deltas_lose_nothing() {
    let mut deltas = Deltas::new(Temporality::Delta);
    let mut sent = |total: u64, arrives: bool| {
        let snapshot = growing(total);
        let mut request = deliver::otlp::metrics::request(&snapshot);
        deltas.convert(&mut request, &snapshot);
        if arrives {
            deltas.arrived();
        }
        let find = |name: &str| {
            let all = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
            let found = all.flat_map(|scope| &scope.metrics).find(|metric| metric.name == name);
            found.unwrap_or_else(|| panic!("no {name}")).data.clone().expect("data")
        };
        let Data::Histogram(durations) = find("http.server.request.duration") else { panic!("a histogram") };
        let Data::Sum(calls) = find("traces.span.metrics.calls") else { panic!("a sum") };
        let Data::Sum(goroutines) = find("go.goroutine.count") else { panic!("a sum") };
        assert_eq!((durations.aggregation_temporality, calls.aggregation_temporality), (1, 1));
        assert_eq!(goroutines.aggregation_temporality, 2);
        let point = &durations.data_points[0];
        let number = |sum: &Sum| match sum.data_points[0].value {
            Some(number_data_point::Value::AsInt(number)) => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(point.count as i64, number(&calls));
        assert_eq!(point.sum, Some(point.count as f64));
        (point.start_time_unix_nano, point.time_unix_nano, point.count, number(&goroutines), point.exemplars.len())
    };
    assert_eq!(sent(10, true), (1, 10, 10, 10, 1));
    assert_eq!(sent(14, false), (10, 14, 4, 14, 1));
    assert_eq!(sent(17, true), (10, 17, 7, 17, 1));
    assert_eq!(sent(17, true), (17, 17, 0, 17, 0));
}

/// So many requests of a second each, the last at the time of that number.
fn growing(total: u64) -> Snapshot {
    let dimensions = vec![("http.request.method".to_owned(), model::Value::String("GET".to_owned()))];
    let key = RedKey {
        service: "shop".into(),
        span_name: "GET".to_owned(),
        kind: 2,
        status: 0,
        metric: conventions::metric_of(2, &dimensions),
        dimensions,
        overflow: false,
    };
    let mut buckets = [0; BUCKET_COUNT];
    buckets[14] = total;
    let mut exemplars = vec![None; BUCKET_COUNT];
    let time = UnixNanos(total);
    exemplars[14] = Some(Exemplar { trace_id: [1; 16], span_id: [2; 8], time, duration_ns: 1_000_000_000 });
    let red = vec![RedSeries { key: Arc::new(key), buckets, sum_ns: total * 1_000_000_000, exemplars }];
    let mut metrics = conventions::metrics(&red, UnixNanos(1), time);
    metrics.push(Metric {
        origin: Origin::Process(Arc::default()),
        scope: "tandem/runtime".to_owned(),
        scope_version: String::new(),
        schema_url: String::new(),
        name: "go.goroutine.count".to_owned(),
        unit: "{goroutine}".to_owned(),
        description: String::new(),
        kind: InstrumentKind::UpDown,
        observed: true,
        points: vec![Point {
            attributes: Vec::new(),
            start: UnixNanos(1),
            time,
            value: InstrumentValue::Int(total as i64),
            exemplars: Vec::new(),
        }],
    });
    Snapshot {
        host: "here".to_owned(),
        start: UnixNanos(1),
        now: time,
        red,
        metrics,
        received: Vec::new(),
        own: Vec::new(),
    }
}
