//! What a span costs that others send as OTLP, from the bytes of a request to the batches that the sinks get, in one process and by
//! phases: `cargo bench -p agent --bench receive`, with `-- --json` for scripts, with `-- WORDS` only those that have them in their names.
//!
//! The requests are those of `bench/harness/receive.go`: two hundred spans as an HTTP server makes them, ten attributes each, ids of
//! their own in each request. Phases take turns in another order each round; `A/A` is what two equal phases differ by. The last phase is
//! a server's thread: what HTTP adds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::{Agent, Config, Fold, ServiceGraph, Settings};
use bytes::Bytes;
use deliver::otlp::check;
use deliver::otlp::regroup::{Verdict, regroup};
use deliver::otlp::server::{Limits, Listening, Server};
use deliver::otlp::walk::{self, SpanFields};
use deliver::{Batch, Refused, Signal, Sink, SinkReport};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 60;
const REQUESTS: usize = 50;
const SPANS: usize = 200;

/// What is done with all requests of a round.
type Work = Box<dyn FnMut(&[Bytes])>;

/// A step on the way, or several.
struct Phase {
    name: &'static str,
    work: Work,
    /// Whose CPU time is measured.
    clock: fn() -> Duration,
    rounds: Vec<Duration>,
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let mut phases = phases();
    phases.retain(|phase| only.as_ref().is_none_or(|only| phase.name.contains(only)));
    let mut requests = Requests::new();
    for round in 0..ROUNDS + 5 {
        for turn in 0..phases.len() {
            let sent = requests.fresh(); // nobody is sent the same span twice
            let count = phases.len();
            let phase = &mut phases[(turn + round * 5) % count];
            let start = (phase.clock)();
            (phase.work)(&sent);
            let time = (phase.clock)() - start;
            if round >= 5 {
                phase.rounds.push(time);
            }
        }
    }
    for mut phase in phases {
        phase.rounds.sort();
        let fastest = &phase.rounds[..ROUNDS / 4];
        let each = |time: Duration| time.as_secs_f64() * 1e9 / (REQUESTS * SPANS) as f64;
        let (mean, median) =
            (each(fastest.iter().sum::<Duration>() / fastest.len() as u32), each(phase.rounds[ROUNDS / 2]));
        match json {
            true => println!("{}", serde_json::json!({"phase": phase.name, "ns": mean, "median_ns": median})),
            false => println!("{:<58} {mean:5.0} ns a span (median {median:.0})", phase.name),
        }
    }
}

fn phases() -> Vec<Phase> {
    let phase = |name, work| Phase { name, work, clock: of_process, rounds: Vec::new() };
    vec![
        phase(
            "check every field",
            Box::new(|requests: &[Bytes]| {
                requests.iter().for_each(|request| check::request(Signal::Traces, request).expect("sound"));
            }),
        ),
        phase("read ids, times and attributes", Box::new(|requests: &[Bytes]| requests.iter().for_each(read))),
        phase("regroup and mark each span", Box::new(|requests: &[Bytes]| requests.iter().for_each(mark))),
        received("all, measured when it comes", false, true),
        received("the same once more (A/A)", false, true),
        received("all, measured without the service graph", false, false),
        received("all, told apart from what was sent before", true, true),
        served("the same and HTTP, of the thread that serves"),
    ]
}

fn read(request: &Bytes) {
    for group in walk::resources(request) {
        for scope in group.expect("sound").scopes() {
            for span in scope.expect("sound").records() {
                let fields = SpanFields::read_with(span.expect("sound"), |key_value| {
                    std::hint::black_box(walk::Attribute::read(key_value)?);
                    Ok(())
                });
                std::hint::black_box(fields.expect("sound"));
            }
        }
    }
}

fn mark(request: &Bytes) {
    for group in walk::resources(request) {
        let regrouped = regroup(group.expect("sound").message, |_| Ok(Verdict::Marked)).expect("sound");
        regrouped.batches(Signal::Traces, &Arc::default(), request.clone(), |batch| drop(std::hint::black_box(batch)));
    }
}

/// An agent that does nothing but receive, and how long it takes until its sink has all.
fn received(name: &'static str, correlates: bool, has_graph: bool) -> Phase {
    let receiving = Receiving::start(correlates, has_graph);
    let receiver = receiving.agent.receiver();
    let work = move |requests: &[Bytes]| {
        receiving.until_taken(requests.len() * SPANS, || {
            for request in requests {
                receiver.receive(Signal::Traces, request.clone()).expect("it is taken");
            }
        });
    };
    Phase { name, work: Box::new(work), clock: of_process, rounds: Vec::new() }
}

/// The same by way of a connection.
fn served(name: &'static str) -> Phase {
    let receiving = Receiving::start(true, true);
    let listening = Listening { addresses: vec!["127.0.0.1:0".to_owned()], limits: Limits::default(), tls: None };
    let server = Server::start(&listening, receiving.agent.receiver()).expect("it listens");
    let mut connection = TcpStream::connect(server.addresses()[0]).expect("it is taken");
    let work = move |requests: &[Bytes]| {
        let _ = &server; // as long as there is work
        receiving
            .until_taken(requests.len() * SPANS, || requests.iter().for_each(|request| post(&mut connection, request)));
    };
    Phase { name, work: Box::new(work), clock: of_server, rounds: Vec::new() }
}

fn post(connection: &mut TcpStream, request: &[u8]) {
    let size = request.len();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {size}\r\n\r\n"
    );
    connection.write_all(&[head.as_bytes(), request].concat()).expect("it is taken");
    let mut answer = [0; 1024];
    let read = connection.read(&mut answer).expect("an answer"); // it is short, and comes in one piece
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", answer[..read].escape_ascii());
}

struct Receiving {
    agent: Agent,
    sink: Arc<Taken>,
    _folder: tempfile::TempDir,
}

impl Receiving {
    fn start(correlates: bool, has_graph: bool) -> Self {
        let sink = Arc::new(Taken::default());
        let folder = tempfile::tempdir().expect("a folder");
        let off = Settings::parse("service_graph: {enabled: false}\n").expect("settings");
        let config = Config {
            socket: folder.path().join("agent.sock"),
            scan: false,
            sinks: vec![Arc::clone(&sink) as _],
            attributes: agent::attributes::Rules::default(),
            shows_received: false,
            fold: Fold::default(),
            service_graph: if has_graph { ServiceGraph::default() } else { off.service_graph },
            correlates,
            regulating: None,
            kernel: None,
            profiling: None,
            observing: None,
            cardinality_limit: None,
        };
        Self { agent: Agent::start(config).expect("it starts"), sink, _folder: folder }
    }

    fn until_taken(&self, spans: usize, send: impl FnOnce()) {
        let wanted = self.sink.spans.load(Ordering::Relaxed) + spans as u64;
        send();
        let begun = Instant::now();
        while self.sink.spans.load(Ordering::Relaxed) < wanted {
            assert!(begun.elapsed() < Duration::from_secs(60), "spans are missing");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A sink that counts, and keeps the last batches so that their memory is not there again at once.
#[derive(Default)]
struct Taken {
    spans: AtomicU64,
    last: Mutex<Option<Arc<Batch>>>,
}

impl Sink for Taken {
    fn name(&self) -> &'static str {
        "taken"
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        *self.last.lock().expect("whole") = Some(Arc::clone(batch));
        self.spans.fetch_add(u64::from(batch.records), Ordering::Relaxed);
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport::default()
    }
}

/// Requests, and where the ids of their spans stand.
struct Requests {
    message: Vec<u8>,
    /// Places of trace ids and of span ids.
    places: Vec<[usize; 2]>,
    number: u64,
}

impl Requests {
    fn new() -> Self {
        let message = request().encode_to_vec();
        let mut places = Vec::new();
        for group in walk::resources(&message) {
            for scope in group.expect("sound").scopes() {
                for span in scope.expect("sound").records() {
                    let begin = span.expect("sound").as_ptr() as usize - message.as_ptr() as usize;
                    places.push([begin + 2, begin + 2 + 16 + 2]);
                }
            }
        }
        assert_eq!(places.len(), SPANS);
        Self { message, places, number: 0 }
    }

    fn fresh(&mut self) -> Vec<Bytes> {
        let mut one = || {
            let mut message = self.message.clone();
            for [trace, span] in &self.places {
                self.number += 1;
                let random = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                message[*trace..trace + 8].copy_from_slice(&random.to_le_bytes());
                message[*span..span + 8].copy_from_slice(&random.rotate_left(17).to_le_bytes());
            }
            Bytes::from(message)
        };
        (0..REQUESTS).map(|_| one()).collect()
    }
}

fn request() -> ExportTraceServiceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let spans = (0..SPANS as u64).map(|index| Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: if index.is_multiple_of(4) { Vec::new() } else { vec![3; 8] },
        name: "GET /items/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000 + index * 5000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/items/{id}"),
            text("url.path", "/items/4711"),
            text("url.scheme", "http"),
            text("http.response.status_code", "200"),
            text("server.address", "shop.example.com"),
            text("server.port", "8080"),
            text("client.address", "192.0.2.17"),
            text("network.protocol.version", "1.1"),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
        ],
        ..Default::default()
    });
    let scope = InstrumentationScope { name: "net/http".to_owned(), ..Default::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.collect(), ..Default::default() }];
    let resource = Resource { attributes: vec![text("service.name", "bench")], ..Default::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }],
    }
}

fn text(key: &str, text: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) }),
        ..Default::default()
    }
}

/// What this process has computed: a busy machine takes the processor away, and that is not a cost of ours.
fn of_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// The same of the thread that serves.
fn of_server() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("there is one").flatten().map(|entry| entry.path());
    let is_server = |thread: &PathBuf| std::fs::read(thread.join("comm")).is_ok_and(|name| name == b"tandem-receive\n");
    let times = threads.filter(is_server).map(|thread| std::fs::read_to_string(thread.join("schedstat")));
    let nanoseconds = |times: std::io::Result<String>| times.ok()?.split(' ').next()?.parse::<u64>().ok();
    Duration::from_nanos(times.filter_map(nanoseconds).sum())
}
