//! What sampling costs the agent: a span that waits for its trace's decision (indexing, and being dropped afterwards), one that
//! is kept, and the memory that spans take while they wait. `cargo bench -p agent --bench sample`.
//!
//! Spans as an HTTP server, its client and a database driver make them, in traces of one, five and thirty; batches of 128 KiB of
//! one process, traces mixed as concurrent requests mix them.
#![expect(unsafe_code, reason = "counts what is allocated, which only an allocator knows")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::Settings;
use agent::sample::Stage;
use deliver::otlp::builder::BatchBuilder;
use model::{Attributes, Resource, Value};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustix::time::{ClockId, clock_gettime};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator, as the caller asks for it; beside it a number is kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 30;
const BATCH_BYTES: usize = 128 * 1024;
const SPANS: usize = 30_000;
/// Traces that are under way at the same time.
const CONCURRENT: usize = 50;

const NOTHING_EARLY: &str = "sampling: {policies: [{name: slow, type: span_count, span_count: {min_spans: 1000}}]}\n";
const ERRORS_EARLY: &str = "sampling:
  policies:
    - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
";
const ALL_KEPT: &str =
    "sampling: {policies: [{name: many, type: span_count, span_count: {min_spans: 1, max_spans: 1000}}]}\n";

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    for spans_of_trace in [1, 5, 30] {
        // Two different sets: what has been decided on already would be no more than looked up.
        let both = [batches(spans_of_trace, 0), batches(spans_of_trace, 1 << 40)];
        let batches = &both[0];
        let wire: usize = batches.iter().map(|(bytes, _)| bytes.len()).sum();
        let (held, own) = memory(batches);
        let [dropped, looked_at, kept] = [NOTHING_EARLY, ERRORS_EARLY, ALL_KEPT].map(|text| {
            let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| round(text, &both)).collect();
            [0, 1].map(|step| rounds.iter().map(|round| round[step]).fold(f64::INFINITY, f64::min))
        });
        let (wire_bytes, held, own) = (wire / SPANS, held as f64 / wire as f64, own as f64 / wire as f64);
        if json {
            let figures = serde_json::json!({
                "spans": spans_of_trace, "wire_bytes": wire_bytes, "held": held, "own_account": own,
                "take_in_ns": dropped[0], "drop_ns": dropped[1], "look_ns": looked_at[0], "keep_ns": kept[1],
            });
            println!("{figures}");
            continue;
        }
        println!(
            "traces of {spans_of_trace}: {wire_bytes} bytes a span on the wire; held for each byte {held:.3} ({own:.3} by \
             the stage's own account)"
        );
        println!("  a span, best of {ROUNDS} rounds: to take in {:.0} ns, to drop {:.0} ns", dropped[0], dropped[1]);
        println!("  to take in and look for what is certain {:.0} ns; to keep {:.0} ns", looked_at[0], kept[1]);
    }
}

fn stage(text: &str) -> Stage {
    let file = std::env::temp_dir().join(format!("tandem-bench-{}.yaml", std::process::id()));
    std::fs::write(&file, text).expect("a configuration");
    let settings = Settings::read(&file).expect("a good one");
    let _ = std::fs::remove_file(&file);
    Stage::new(&settings.sampling.expect("a section")).expect("a stage")
}

/// Memory that the spans of these batches take while they wait: by the allocator, and by the stage's own account.
fn memory(batches: &[(Vec<u8>, u32)]) -> (usize, usize) {
    let mut stage = stage(NOTHING_EARLY);
    let before = IN_USE.load(Ordering::Relaxed);
    for (bytes, records) in batches {
        stage.take_in(bytes, *records, Duration::ZERO);
    }
    let held = IN_USE.load(Ordering::Relaxed) - before;
    let [_, spans, own] = stage.held();
    assert_eq!(spans, SPANS as u64, "all of them wait");
    (held, own as usize)
}

/// Nanoseconds of CPU time a span: to take it in, and to decide on it. Two batches come a second, so that what came ten seconds
/// before is decided on meanwhile; the first pass only fills the stage.
fn round(text: &str, both: &[Vec<(Vec<u8>, u32)>; 2]) -> [f64; 2] {
    let mut stage = stage(text);
    let (mut now, mut times) = (Duration::ZERO, [Duration::ZERO; 2]);
    for batches in both {
        times = [Duration::ZERO; 2];
        for (bytes, records) in batches {
            let start = processor_time();
            stage.take_in(bytes, *records, now);
            let taken = processor_time();
            while stage.decide_due(now, 64) {}
            drop(stage.take());
            times = [times[0] + (taken - start), times[1] + (processor_time() - taken)];
            now += Duration::from_millis(500);
        }
    }
    times.map(|time| time.as_secs_f64() * 1e9 / SPANS as f64)
}

fn batches(spans_of_trace: usize, first: u64) -> Vec<(Vec<u8>, u32)> {
    let attributes: Attributes = [
        ("service.name", "checkout"),
        ("service.version", "1.4.2"),
        ("host.name", "node-17.example.org"),
        ("process.executable.path", "/usr/local/bin/checkout"),
        ("telemetry.sdk.name", "tandem"),
    ]
    .map(|(key, value)| (key.to_owned(), Value::String(value.to_owned())))
    .into();
    let mut builder = BatchBuilder::new(Arc::new(Resource { attributes }));
    let scopes = ["tandem/net/http", "tandem/database/sql"].map(|name| builder.scope(name, "1", ""));
    let mut batches = Vec::new();
    for number in 0..SPANS {
        // So many traces take turns, until all of them are whole.
        let group = CONCURRENT * spans_of_trace;
        let (trace, index) = (number / group * CONCURRENT + number % group % CONCURRENT, number % group / CONCURRENT);
        let span = span(first + trace as u64, index as u64).encode_to_vec();
        builder.add(scopes[index % 2], |out| deliver::otlp::encode::text(out, 0x12, &span));
        if builder.size() >= BATCH_BYTES {
            batches.extend(builder.take());
        }
    }
    batches.extend(builder.take());
    batches.into_iter().map(|batch| (batch.bytes.to_vec(), batch.records)).collect()
}

fn span(trace: u64, index: u64) -> Span {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) }),
        ..Default::default()
    };
    let mut random = trace.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    random ^= random >> 29;
    let trace_id = [trace.to_be_bytes(), random.to_be_bytes()].concat();
    let attributes = match index % 2 {
        0 => vec![
            text("http.request.method", "GET"),
            text("url.path", "/carts/4711/items"),
            text("url.scheme", "http"),
            text("http.route", "/carts/{id}/items"),
            text("server.address", "10.1.2.3"),
            text("user_agent.original", "curl/8.5.0"),
        ],
        _ => vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "shop"),
            text("db.query.summary", "SELECT items"),
            text("db.query.text", "SELECT id, name, price FROM items WHERE cart = ?"),
        ],
    };
    Span {
        trace_id,
        span_id: (trace << 8 | (index + 1)).to_be_bytes().to_vec(),
        parent_span_id: if index == 0 { Vec::new() } else { (trace << 8 | 1).to_be_bytes().to_vec() },
        name: if index.is_multiple_of(2) { "GET /carts/{id}/items".to_owned() } else { "SELECT items".to_owned() },
        kind: 2,
        start_time_unix_nano: 1_795_449_600_000_000_000 + trace * 1000,
        end_time_unix_nano: 1_795_449_600_000_000_000 + trace * 1000 + 2_000_000,
        attributes,
        flags: 0x101,
        ..Default::default()
    }
}

/// CPU time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
