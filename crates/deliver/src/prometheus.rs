//! The Prometheus endpoint: `/metrics` over HTTP.

use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Value;
use record::layout::BUCKET_BOUNDS;
use tokio::sync::oneshot;

use crate::metrics::{OwnKind, RedSeries, Snapshot, kind_name, status_name};

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
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            // Taking the snapshot waits for the drain to look once more.
            let rendered = tokio::task::spawn_blocking(move || render(&source())).await;
            match rendered {
                Ok(rendered) => Response::new(Full::from(rendered)),
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
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn status(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Prometheus' text format.
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(1024 + 2048 * snapshot.red.len());
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, snapshot);
    out
}

fn write_all(out: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let labels: Vec<String> = snapshot.red.iter().map(red_labels).collect();
    const CALLS: &str = "traces_span_metrics_calls_total";
    writeln!(out, "# HELP {CALLS} Spans, sampled or not.\n# TYPE {CALLS} counter")?;
    for (series, labels) in snapshot.red.iter().zip(&labels) {
        writeln!(out, "{CALLS}{{{labels}}} {}", series.count())?;
    }
    const DURATION: &str = "traces_span_metrics_duration_seconds";
    writeln!(out, "# HELP {DURATION} Durations of spans, sampled or not.\n# TYPE {DURATION} histogram")?;
    for (series, labels) in snapshot.red.iter().zip(&labels) {
        let mut below = 0u64;
        for (bucket, count) in series.buckets.iter().enumerate() {
            below = below.saturating_add(*count);
            match BUCKET_BOUNDS.get(bucket) {
                Some(&bound) => {
                    writeln!(out, "{DURATION}_bucket{{{labels},le=\"{}\"}} {below}", bound as f64 / 1e9)?;
                }
                None => writeln!(out, "{DURATION}_bucket{{{labels},le=\"+Inf\"}} {below}")?,
            }
        }
        writeln!(out, "{DURATION}_sum{{{labels}}} {}", series.sum_ns as f64 / 1e9)?;
        writeln!(out, "{DURATION}_count{{{labels}}} {}", series.count())?;
    }
    for own in &snapshot.own {
        let kind = match own.kind {
            OwnKind::Counter => "counter",
            OwnKind::Gauge => "gauge",
        };
        writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", own.name, own.help)?;
        for (value, number) in &own.points {
            match own.label {
                Some(label) => writeln!(out, "{}{{{label}=\"{}\"}} {number}", own.name, escape(value))?,
                None => writeln!(out, "{} {number}", own.name)?,
            }
        }
    }
    Ok(())
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
    for (name, value) in &key.dimensions {
        let name: String =
            name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        let text = match value {
            Value::String(text) => escape(text),
            other => escape(&other.to_string()),
        };
        let _ = write!(labels, ",{name}=\"{text}\"");
    }
    labels
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{OwnMetric, RedKey};
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
            red: vec![RedSeries { key: key.into(), buckets, sum_ns: 1_500_000_000 }],
            own: vec![own],
        }
    }

    /// The text is what Prometheus reads: escaped labels, cumulative buckets, +Inf equal to the count.
    #[test]
    fn the_text_is_what_prometheus_reads() {
        let text = render(&snapshot());
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
