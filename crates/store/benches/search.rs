//! How fast spans go in while people read, and how fast they are found: a store of many spans is made, then asked.
//! `cargo bench -p store --bench search -- [--spans N] [--folder DIR] [--json]`.
//!
//! Traces of ten spans of a shop of twenty services, with what an HTTP server and a database driver say of them; each trace
//! has a user of its own, one in a hundred fails, one in a hundred thousand passes a service that no other does. Going in is
//! judged by the CPU time of the store's thread, which is what "on one core" means on a machine that does other things.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deliver::{Batch, Signal, Sink};
use model::{Attributes, Resource, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use rustix::time::{ClockId, clock_gettime};
use store::{Limits, Reader, Store, TraceFilter};

const TRACE_SPANS: u64 = 10;
const BATCH_TRACES: u64 = 40;
const SERVICES: u64 = 20;
const ROUTES: u64 = 200;
/// Each question is asked so often, about other things each time.
const ROUNDS: u64 = 20;
/// One trace in so many passes the service that no other does.
const RARE: u64 = 100_000;

fn main() {
    let options = Options::read();
    let temporary = tempfile::TempDir::new().expect("a temporary folder");
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let traces = options.spans / TRACE_SPANS;
    write(&folder, traces, &options);
    read(&folder, traces, &options);
}

struct Options {
    spans: u64,
    folder: Option<PathBuf>,
    json: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { spans: 10_000_000, folder: None, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--spans" => options.spans = arguments.next().and_then(|n| n.parse().ok()).expect("--spans N"),
                "--folder" => options.folder = Some(arguments.next().expect("--folder DIR").into()),
                "--json" => options.json = true,
                _ => {} // cargo's own
            }
        }
        options
    }
}

/// Fills the store, while two people ask for what is newest and what failed.
fn write(folder: &Path, traces: u64, options: &Options) {
    let store = Store::open(folder, Limits { bytes: 1 << 40, ..Limits::default() }).expect("the store opens");
    let writing = AtomicBool::new(true);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for query in ["", "status=error"] {
            let (folder, writing) = (folder, &writing);
            scope.spawn(move || {
                let reader = Reader::open(folder).expect("the store opens");
                while writing.load(Ordering::Relaxed) {
                    ask(&reader, query);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for first in (0..traces).step_by(BATCH_TRACES as usize) {
            let batch = batch(first, traces);
            while store.offer(&batch).is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        store.flush(Instant::now() + Duration::from_secs(3600));
        writing.store(false, Ordering::Relaxed);
    });
    let (wall, cpu) = (began.elapsed().as_secs_f64(), thread_time("tandem-store").as_secs_f64());
    let spans = store.report().delivered as f64;
    let size = std::fs::metadata(folder.join("spans.sqlite3")).map_or(0, |file| file.len()) as f64;
    if options.json {
        println!(
            "{{\"spans\":{spans},\"per_core_second\":{:.0},\"per_second\":{:.0},\"bytes\":{:.0}}}",
            spans / cpu,
            spans / wall,
            size / spans
        );
    } else {
        println!(
            "{spans} spans in: {:.0} a second of one core, {:.0} a second of the clock, {:.0} bytes each",
            spans / cpu,
            spans / wall,
            size / spans
        );
    }
}

fn ask(reader: &Reader, query: &str) -> usize {
    let query = query.parse().expect("a query");
    let filter = TraceFilter { query, limit: 100, ..TraceFilter::default() };
    reader.traces(&filter).expect("the query runs").len()
}

/// A question: its name, and how it is asked in each round.
type Question = (&'static str, fn(u64, u64) -> String);

const QUESTIONS: [Question; 13] = [
    ("the newest", |_, _| String::new()),
    ("service", |round, _| format!("service=service-{}", round % SERVICES)),
    ("service that few have", |_, _| "service=rare".to_owned()),
    ("route", |round, _| format!("route=/shop/{}/{{id}}", round * 7 % ROUTES)),
    ("errors", |_, _| "status=error".to_owned()),
    ("service and errors", |round, _| format!("service=service-{} status=error", round % SERVICES)),
    ("range of durations", |_, _| "duration>900ms duration<950ms".to_owned()),
    ("attribute = value of one trace", |round, traces| format!("user.id=u{}", mix(round) % traces)),
    ("attribute = value of many", |_, _| "http.response.status_code=503".to_owned()),
    ("attribute = value of none", |round, _| format!("user.id=nobody-{round}")),
    ("attribute = value and service, in one span", |round, traces| {
        format!("user.id=u{} service=service-{}", mix(round) % traces, round % SERVICES)
    }),
    ("part of the anatomy above", |_, _| "anatomy.run_queue>60ms".to_owned()),
    ("text in names", |round, _| format!("/shop/{}/", round * 11 % ROUTES)),
];

fn read(folder: &Path, traces: u64, options: &Options) {
    let reader = Reader::open(folder).expect("the store opens").with_longest_query(Duration::from_secs(600));
    for (what, query) in QUESTIONS {
        let mut times = Times::default();
        for round in 0..ROUNDS {
            let query = query(round, traces);
            times.take(|| ask(&reader, &query));
        }
        times.tell(what, options);
    }
    let mut times = Times::default();
    for round in 0..ROUNDS * 5 {
        let id = trace_id(mix(round) % traces);
        times.take(|| usize::from(reader.trace(id).expect("the query runs").is_some()));
    }
    times.tell("trace by id", options);
}

/// How long a question took each time, ms: by the clock, and on the CPU, which others do not lengthen much.
#[derive(Default)]
struct Times {
    clock: Vec<f64>,
    cpu: Vec<f64>,
    found: usize,
}

impl Times {
    fn take(&mut self, ask: impl FnOnce() -> usize) {
        let (began, cpu) = (Instant::now(), cpu_time());
        self.found += ask();
        self.cpu.push((cpu_time() - cpu).as_secs_f64() * 1e3);
        self.clock.push(began.elapsed().as_secs_f64() * 1e3);
    }

    fn tell(mut self, what: &str, options: &Options) {
        self.clock.sort_by(f64::total_cmp);
        self.cpu.sort_by(f64::total_cmp);
        let rounds = self.clock.len();
        let (median, p95, cpu) = (self.clock[rounds / 2], self.clock[rounds * 95 / 100], self.cpu[rounds / 2]);
        let found = self.found;
        match options.json {
            true => println!(
                "{{\"what\":\"{what}\",\"p50_ms\":{median:.3},\"p95_ms\":{p95:.3},\"cpu_ms\":{cpu:.3},\"found\":{found}}}"
            ),
            false => println!("{what}: {median:.2} ms, p95 {p95:.2} ms, on the CPU {cpu:.2} ms; {found} found"),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

fn number(key: &str, value: u64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value as i64)) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

/// The spans of some traces, by service, as one request.
fn batch(first: u64, traces: u64) -> Arc<Batch> {
    let mut of_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES as usize + 1];
    let last = traces.min(first + BATCH_TRACES);
    for trace in first..last {
        for ordinal in 0..TRACE_SPANS {
            let is_rare = trace % RARE == 77 && ordinal == 3;
            let service = if is_rare { SERVICES } else { (trace + ordinal / 2) % SERVICES };
            of_service[service as usize].push(span(trace, ordinal));
        }
    }
    let records = ((last - first) * TRACE_SPANS) as u32;
    let resource_spans = of_service.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty());
    let resource_spans = resource_spans.map(|(service, spans)| {
        let name = if service == SERVICES as usize { "rare".to_owned() } else { format!("service-{service}") };
        let attributes = vec![text("service.name", name), text("host.name", "bench"), number("process.pid", 4711)];
        let scope = InstrumentationScope { name: "tandem/net/http".to_owned(), ..Default::default() };
        ResourceSpans {
            resource: Some(ProtoResource { attributes, ..Default::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
            ..Default::default()
        }
    });
    let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
    let resource = Arc::new(Resource { attributes: Attributes::new() });
    Arc::new(Batch { signal: Signal::Traces, resource, bytes: request.encode_to_vec().into(), records })
}

fn trace_id(trace: u64) -> TraceId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(trace + 1).to_le_bytes());
    id[8..].copy_from_slice(&mix(!trace).to_le_bytes());
    TraceId(id)
}

fn span(trace: u64, ordinal: u64) -> Span {
    let chance = mix(trace * TRACE_SPANS + ordinal + 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    // A tenth of a millisecond to a second, few of them long.
    let duration = 100_000 * (1 + (1e4_f64.powf((chance % 10_000) as f64 / 1e4)) as u64);
    let failed = chance.is_multiple_of(1000);
    let route = format!("/shop/{}/{{id}}", mix(trace) % ROUTES);
    let is_query = ordinal % 2 == 1;
    let mut attributes = vec![
        text("user.id", format!("u{trace}")),
        number("tandem.anatomy.on_cpu", duration / 3),
        number("tandem.anatomy.run_queue", duration / (2 + chance % 64)),
        number("tandem.anatomy.go_network", duration / 4),
    ];
    if is_query {
        attributes.extend([
            text("db.system.name", "postgresql"),
            text("db.query.text", "SELECT id, name, price FROM products WHERE id = ? AND warehouse = ?"),
            text("server.address", "db.shop.example"),
        ]);
    } else {
        attributes.extend([
            text("http.request.method", "GET"),
            text("http.route", route.as_str()),
            text("url.path", format!("/shop/{}/{trace}", mix(trace) % ROUTES)),
            number("http.response.status_code", if failed { 503 } else { 200 }),
            text("server.address", "shop.example"),
            number("client.port", chance % 60_000),
            text("user_agent.original", "curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0"),
        ]);
    }
    let id = |ordinal: u64| mix(trace * TRACE_SPANS + ordinal + 7).to_le_bytes().to_vec();
    Span {
        trace_id: trace_id(trace).0.to_vec(),
        span_id: id(ordinal),
        parent_span_id: if ordinal == 0 { Vec::new() } else { id(ordinal - 1) },
        name: if is_query { "SELECT products".to_owned() } else { format!("GET {route}") },
        kind: if is_query { 3 } else { 2 },
        start_time_unix_nano: now,
        end_time_unix_nano: now + duration,
        attributes,
        status: failed.then(|| Status { code: 2, ..Default::default() }),
        ..Default::default()
    }
}

/// A number that looks like a random one (the finalizer of MurmurHash3).
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (number ^ number >> 33).max(1)
}

/// CPU time of this process's thread of that name, by the scheduler's account.
fn thread_time(name: &str) -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("there are threads").flatten();
    let read = |thread: &Path, file: &str| std::fs::read_to_string(thread.join(file)).unwrap_or_default();
    let found = threads.map(|thread| thread.path()).find(|thread| read(thread, "comm").trim() == name);
    let account = found.map(|thread| read(&thread, "schedstat")).expect("the store's thread");
    let nanos = account.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("its time");
    Duration::from_nanos(nanos)
}
