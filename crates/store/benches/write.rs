//! What a span costs the store's thread, in computing and in bytes written: traces of one span and of ten, into a store
//! that grows and into one at its limit. `cargo bench -p store`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deliver::{Batch, Signal, Sink};
use model::{Attributes, Resource};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rustix::time::{ClockId, clock_gettime};
use store::{Limits, Store};

/// Spans of a batch, about as many as the agent hands over at once.
const BATCH: u64 = 300;
const SPANS: u64 = 120_000;
/// A store that the spans overflow.
const SMALL: u64 = 48 << 20;

fn main() {
    for (what, spans_a_trace, bytes) in [
        ("traces of one span, growing", 1, 1 << 40),
        ("traces of one span, at the limit", 1, SMALL),
        ("traces of ten spans, growing", 10, 1 << 40),
        ("traces of ten spans, at the limit", 10, SMALL),
    ] {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let limits = Limits { bytes, ..Limits::default() };
        let mut source = Source { number: 0, spans_a_trace };
        // One that is to be at its limit is filled first.
        if bytes == SMALL {
            write(folder.path(), limits, &mut source);
        }
        let (time, written) = write(folder.path(), limits, &mut source);
        println!("{what}: {:.1} µs a span, {written} bytes written a span", time.as_secs_f64() * 1e6 / SPANS as f64);
    }
}

/// Writes all spans: computing time of the store, and bytes that went to the file system a span.
fn write(folder: &Path, limits: Limits, source: &mut Source) -> (Duration, u64) {
    let batches: Vec<Arc<Batch>> = (0..SPANS / BATCH).map(|_| source.batch()).collect();
    let store = Store::open(folder, limits).expect("the store opens");
    let (start, written) = (processor_time(), bytes_written());
    for batch in &batches {
        while store.offer(batch).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    store.flush(Instant::now() + Duration::from_secs(600));
    ((processor_time() - start), (bytes_written() - written) / SPANS)
}

/// Makes spans: of traces with random ids, each ten attributes, as an HTTP server's are.
struct Source {
    number: u64,
    spans_a_trace: u64,
}

impl Source {
    fn batch(&mut self) -> Arc<Batch> {
        let spans = (0..BATCH).map(|_| self.span()).collect();
        let scope = InstrumentationScope { name: "tandem/net/http".to_owned(), ..Default::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
        let request =
            ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
        let resource = Arc::new(Resource { attributes: Attributes::new() });
        Arc::new(Batch {
            signal: Signal::Traces,
            resource,
            bytes: request.encode_to_vec().into(),
            records: BATCH as u32,
        })
    }

    fn span(&mut self) -> Span {
        let number = self.number;
        self.number += 1;
        let trace = number / self.spans_a_trace;
        let start = 1_700_000_000_000_000_000 + number * 10_000;
        let text = |key: &str, value: &str| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
            ..Default::default()
        };
        let parent =
            if number.is_multiple_of(self.spans_a_trace) { Vec::new() } else { mix(trace).to_le_bytes().to_vec() };
        Span {
            trace_id: [mix(trace).to_le_bytes(), mix(!trace).to_le_bytes()].concat(),
            span_id: mix(number + 1).to_le_bytes().to_vec(),
            parent_span_id: parent,
            name: "GET /hello/{name}".to_owned(),
            kind: 2,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 50_000,
            attributes: vec![
                text("http.request.method", "GET"),
                text("url.path", "/hello/ann"),
                text("url.scheme", "http"),
                text("http.route", "/hello/{name}"),
                text("server.address", "127.0.0.1"),
                text("server.port", "8080"),
                text("client.address", "127.0.0.1"),
                text("user_agent.original", "curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0"),
                text("network.protocol.version", "1.1"),
                text("http.response.status_code", "200"),
            ],
            ..Default::default()
        }
    }
}

/// A number that looks like a random one (the finalizer of MurmurHash3).
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (number ^ number >> 33).max(1)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What this process has written, by the kernel's account.
fn bytes_written() -> u64 {
    let account = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = account.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}
