//! The Prometheus endpoint: `/metrics` over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Value;
use record::layout::BUCKET_BOUNDS;
use record::{InstrumentKind, InstrumentValue};
use tokio::sync::oneshot;

use crate::metrics::{Exemplar, Metric, Origin, OwnKind, OwnMetric, RedSeries, Snapshot, kind_name, status_name};

type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// The endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {address}: {source}; choose another address with --metrics (port 0: any free one)")]
pub struct ServeError {
    address: String,
    source: io::Error,
}

/// A running endpoint. Dropped, it closes.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves what `source` says.
    pub fn start(address: &str, source: impl Fn() -> Snapshot + Send + Sync + 'static) -> Result<Self, ServeError> {
        let failed = |source| ServeError { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let source: Source = Arc::new(source);
        let thread = thread::Builder::new()
            .name("tandem-prometheus".to_owned())
            .spawn(move || runtime.block_on(serve(listener, source, stopped)))
            .map_err(failed)?;
        Ok(Self { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, source: Source, mut stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!("metrics: {error}"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, usually: not at once again.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let source = Arc::clone(&source);
        let service = service_fn(move |request: Request<Incoming>| {
            let source = Arc::clone(&source);
            async move { Ok::<_, Infallible>(answer(request, source).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { drop(connection.await) });
    }
}

async fn answer(request: Request<Incoming>, source: Source) -> Response<Full<Bytes>> {
    let asked = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = match asked.into_iter().any(|value| value.contains("application/openmetrics-text")) {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            // Taking the snapshot waits for the drain to look once more.
            let rendered = tokio::task::spawn_blocking(move || render(&source(), format)).await;
            match rendered {
                Ok(rendered) => {
                    let mut response = Response::new(Full::from(rendered));
                    response.headers_mut().insert(CONTENT_TYPE, format.content_type());
                    return response;
                }
                Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n"),
            }
        }
        (_, "/metrics") => {
            let mut response = status(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        _ => status(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
    };
    response.headers_mut().insert(CONTENT_TYPE, Format::Text.content_type());
    response
}

fn status(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Which text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What every Prometheus reads.
    Text,
    /// OpenMetrics, which has exemplars. For who asks for it.
    OpenMetrics,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// Prometheus' text format, or OpenMetrics.
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    let mut out = Out { text: String::with_capacity(4096 + 2048 * snapshot.red.len()), format };
    out.calls_and_durations(&snapshot.red);
    out.conventions(snapshot);
    snapshot.own.iter().for_each(|own| out.own(own));
    if format == Format::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

const CALLS: &str = "traces_span_metrics_calls_total";
const DURATION: &str = "traces_span_metrics_duration_seconds";

struct Out {
    text: String,
    format: Format,
}

impl Out {
    /// A family's head. Counters are named without their suffix in OpenMetrics.
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let name = match self.format {
            Format::OpenMetrics if kind == "counter" => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let help = if self.format == Format::OpenMetrics { help.replace('"', "\\\"") } else { help };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            _ => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &str,
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
        exemplars: &[Exemplar],
    ) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0u64;
        for (bucket, count) in counts.iter().enumerate() {
            below = below.saturating_add(*count);
            let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
            let le = if bound.is_finite() { self.number(bound) } else { "+Inf".to_owned() };
            let _ = write!(self.text, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {below}");
            let last = bucket.checked_sub(1).and_then(|before| bounds.get(before)).copied().unwrap_or(-1.0);
            let fits = |span: &&Exemplar| {
                let seconds = span.duration_ns as f64 / 1e9;
                last < seconds && seconds <= bound
            };
            if let (Format::OpenMetrics, Some(span)) = (self.format, exemplars.iter().find(fits)) {
                let _ = write!(
                    self.text,
                    " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {}.{:03}",
                    hex(&span.trace_id),
                    hex(&span.span_id),
                    span.duration_ns as f64 / 1e9,
                    span.time.0 / 1_000_000_000,
                    span.time.0 / 1_000_000 % 1000
                );
            }
            self.text.push('\n');
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, below);
    }

    /// OpenMetrics wants its numbers to look like floats.
    fn number(&self, number: f64) -> String {
        match self.format {
            Format::OpenMetrics => format!("{number:?}"),
            Format::Text => number.to_string(),
        }
    }

    fn calls_and_durations(&mut self, red: &[RedSeries]) {
        let labels: Vec<String> = red.iter().map(red_labels).collect();
        self.head(CALLS, "Spans, sampled or not.", "counter");
        for (series, labels) in red.iter().zip(&labels) {
            self.sample(CALLS, labels, series.count());
        }
        self.head(DURATION, "Durations of spans, sampled or not.", "histogram");
        let bounds = BUCKET_BOUNDS.map(|bound| bound as f64 / 1e9);
        for (series, labels) in red.iter().zip(&labels) {
            let exemplars: Vec<Exemplar> = series.exemplars.iter().flatten().copied().collect();
            self.histogram(DURATION, labels, &bounds, &series.buckets, series.sum_ns as f64 / 1e9, &exemplars);
        }
    }

    fn conventions(&mut self, snapshot: &Snapshot) {
        let mut families: BTreeMap<String, Vec<&Metric>> = BTreeMap::new();
        for metric in &snapshot.metrics {
            families.entry(family(metric)).or_default().push(metric);
        }
        // A family stands in one place, so what others call like one that is not here is left out.
        let is_ours = |name: &str| [CALLS, DURATION].contains(&name) || snapshot.own.iter().any(|own| own.name == name);
        for (metric, name) in snapshot.received.iter().map(|metric| (metric, family(metric))) {
            if !is_ours(&name) {
                families.entry(name).or_default().push(metric);
            }
        }
        for (name, metrics) in families {
            let [first, ..] = metrics.as_slice() else { continue };
            let kind = match first.kind {
                InstrumentKind::Counter => "counter",
                InstrumentKind::UpDown | InstrumentKind::Gauge => "gauge",
                InstrumentKind::Histogram => "histogram",
            };
            self.head(&name, &first.description, kind);
            for metric in metrics.iter().filter(|metric| metric.kind == first.kind) {
                for point in &metric.points {
                    let labels =
                        origin_labels(&metric.origin) + &scope_labels(metric) + &attribute_labels(&point.attributes);
                    let labels = labels.trim_start_matches(',');
                    match &point.value {
                        InstrumentValue::Int(value) => self.sample(&name, labels, value),
                        InstrumentValue::Float(value) => self.sample(&name, labels, value),
                        InstrumentValue::Histogram { bounds, counts, sum } => {
                            self.histogram(&name, labels, bounds, counts, *sum, &point.exemplars);
                        }
                    }
                }
            }
        }
    }

    fn own(&mut self, own: &OwnMetric) {
        let kind = match own.kind {
            OwnKind::Counter => "counter",
            OwnKind::Gauge | OwnKind::Thousandths => "gauge",
        };
        self.head(own.name, own.help, kind);
        for (value, number) in &own.points {
            let labels = own.label.map(|label| format!("{label}=\"{}\"", escape(value))).unwrap_or_default();
            if own.kind == OwnKind::Thousandths {
                self.sample(own.name, &labels, *number as f64 / 1000.0);
            } else {
                self.sample(own.name, &labels, number);
            }
        }
    }
}

/// A metric's name in Prometheus, by OpenTelemetry's rules: with its unit, and with what it is.
fn family(metric: &Metric) -> String {
    let mut name = plain_name(&metric.name);
    let unit = match metric.unit.as_str() {
        "" | "1" => "",
        unit if unit.starts_with('{') => "",
        "s" => "seconds",
        "ms" => "milliseconds",
        "By" => "bytes",
        "%" => "percent",
        other => other,
    };
    let unit = plain_letters(unit);
    if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
        name = format!("{name}_{unit}");
    }
    if metric.kind == InstrumentKind::Counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

fn plain_letters(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

fn plain_name(name: &str) -> String {
    let plain = plain_letters(name);
    if plain.starts_with(|first: char| !first.is_ascii_digit()) { plain } else { format!("_{plain}") }
}

fn origin_labels(origin: &Origin) -> String {
    match origin {
        Origin::Service(service) => format!("service_name=\"{}\"", escape(service)),
        Origin::Agent => String::new(),
        Origin::Process(resource) => {
            let value = |key: &str| resource.attributes.get(key).map(ToString::to_string);
            let (name, value) = match (value("process.pid"), value("service.instance.id")) {
                (None, Some(instance)) => ("service_instance_id", instance),
                (pid, _) => ("process_pid", pid.unwrap_or_default()),
            };
            format!("service_name=\"{}\",{name}=\"{}\"", escape(resource.service()), escape(&value))
        }
    }
}

/// Two scopes of a program may each have a metric of one name.
fn scope_labels(metric: &Metric) -> String {
    if metric.is_ours() {
        return String::new();
    }
    let version = match metric.scope_version.as_str() {
        "" => String::new(),
        version => format!(",otel_scope_version=\"{}\"", escape(version)),
    };
    format!(",otel_scope_name=\"{}\"{version}", escape(&metric.scope))
}

/// Keys that are one label have their values joined; a label that is there already is the attribute's second name.
fn attribute_labels(attributes: &[(String, Value)]) -> String {
    const TAKEN: [&str; 6] =
        ["service_name", "process_pid", "service_instance_id", "otel_scope_name", "otel_scope_version", "le"];
    let mut labels: Vec<(String, String)> = Vec::with_capacity(attributes.len());
    for (name, value) in attributes {
        let mut name = plain_name(name);
        if TAKEN.contains(&name.as_str()) {
            name.insert_str(0, "exported_");
        }
        let text = match value {
            Value::String(text) => escape(text),
            other => escape(&other.to_string()),
        };
        match labels.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => drop(write!(values, ";{text}")),
            None => labels.push((name, text)),
        }
    }
    labels.iter().map(|(name, text)| format!(",{name}=\"{text}\"")).collect()
}

fn red_labels(series: &RedSeries) -> String {
    let key = &series.key;
    let mut labels = format!("service_name=\"{}\"", escape(&key.service));
    if key.overflow {
        labels.push_str(",otel_metric_overflow=\"true\"");
        return labels;
    }
    let _ = write!(
        labels,
        ",span_name=\"{}\",span_kind=\"{}\",status_code=\"{}\"",
        escape(&key.span_name),
        kind_name(key.kind),
        status_name(key.status)
    );
    labels + &attribute_labels(&key.dimensions)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RedKey;
    use crate::otlp::encode::UnixNanos;

    fn snapshot() -> Snapshot {
        let mut buckets = [0; BUCKET_BOUNDS.len() + 1];
        (buckets[0], buckets[2], buckets[19]) = (3, 1, 1);
        let key = RedKey {
            service: "shop".into(),
            span_name: "GET /\"a\"\n\\".to_owned(),
            kind: 2,
            status: 2,
            dimensions: vec![
                ("http.request.method".to_owned(), Value::String("GET".to_owned())),
                ("http.response.status_code".to_owned(), Value::Int(500)),
            ],
            metric: "",
            overflow: false,
        };
        let own = OwnMetric {
            name: "tandem_spans_dropped_total",
            help: "Spans that were lost, by cause.",
            kind: OwnKind::Counter,
            label: Some("cause"),
            points: vec![("ring_full".to_owned(), 7)],
        };
        Snapshot {
            host: "here".to_owned(),
            start: UnixNanos(1),
            now: UnixNanos(2),
            red: vec![RedSeries { key: key.into(), buckets, sum_ns: 1_500_000_000, exemplars: Vec::new() }],
            metrics: Vec::new(),
            received: Vec::new(),
            own: vec![own],
        }
    }

    /// The text is what Prometheus reads: escaped labels, cumulative buckets, +Inf equal to the count.
    #[test]
    fn the_text_is_what_prometheus_reads() {
        let text = render(&snapshot(), Format::Text);
        let labels = r#"service_name="shop",span_name="GET /\"a\"\n\\",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR",http_request_method="GET",http_response_status_code="500""#;
        for line in [
            "# TYPE traces_span_metrics_calls_total counter".to_owned(),
            format!("traces_span_metrics_calls_total{{{labels}}} 5"),
            "# TYPE traces_span_metrics_duration_seconds histogram".to_owned(),
            format!("traces_span_metrics_duration_seconds_bucket{{{labels},le=\"0.0001\"}} 3"),
            format!("traces_span_metrics_duration_seconds_bucket{{{labels},le=\"0.0005\"}} 4"),
            format!("traces_span_metrics_duration_seconds_bucket{{{labels},le=\"10\"}} 4"),
            format!("traces_span_metrics_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 5"),
            format!("traces_span_metrics_duration_seconds_sum{{{labels}}} 1.5"),
            format!("traces_span_metrics_duration_seconds_count{{{labels}}} 5"),
            "tandem_spans_dropped_total{cause=\"ring_full\"} 7".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line}\nin {text}");
        }
    }

    /// What programs count by hand may have any names: no label is there twice, and scopes are told apart.
    #[test]
    fn any_names_become_labels() {
        let text = |text: &str| Value::String(text.to_owned());
        let attributes = [
            ("a.b".to_owned(), text("1")),
            ("a_b".to_owned(), Value::Int(2)),
            ("service.name".to_owned(), text("x\"")),
            ("1st".to_owned(), Value::Bool(true)),
            (String::new(), text("")),
        ];
        let labels = attribute_labels(&attributes);
        assert_eq!(labels, r#",a_b="1;2",exported_service_name="x\"",_1st="true",_="""#);
        let metric = Metric {
            origin: Origin::Service("shop".into()),
            scope: "cart".to_owned(),
            scope_version: "2".to_owned(),
            schema_url: String::new(),
            name: "2nd.count".to_owned(),
            unit: "{item}".to_owned(),
            description: String::new(),
            kind: InstrumentKind::Counter,
            observed: false,
            points: Vec::new(),
        };
        assert_eq!(family(&metric), "_2nd_count_total");
        assert_eq!(scope_labels(&metric), r#",otel_scope_name="cart",otel_scope_version="2""#);
    }

    /// A port that is taken is one clear error; a free one is found and served, and closed afterwards.
    #[test]
    fn the_endpoint_serves_and_closes() {
        use std::io::{Read, Write};
        let server = Server::start("127.0.0.1:0", snapshot).expect("a free port");
        let address = server.address();
        let error = Server::start(&address.to_string(), snapshot).map(drop).expect_err("taken").to_string();
        assert!(error.contains("in use") && error.contains("--metrics"), "{error}");
        let get = |path: &str| {
            let mut stream = std::net::TcpStream::connect(address).expect("connect");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answer");
            answer
        };
        assert!(get("/metrics").contains("traces_span_metrics_calls_total{"));
        assert!(get("/").starts_with("HTTP/1.1 404"));
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
