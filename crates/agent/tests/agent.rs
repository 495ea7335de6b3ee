//! The agent against programs made of a Rust writer: they send spans, die, and write nonsense.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent::assemble::{Assembler, Ending};
use agent::limits::Limits;
use agent::measure::Measure;
use agent::{
    AccountMap, Agent, Config, KernelHalf, Losses, ObserveError, ObservedProcess, Observer, Observing, Selection,
};
use deliver::otlp::encode::ClockOffset;
use deliver::{Batch, Refused, Signal, Sink, SinkReport};
use model::{LogRecord, Resource, Source, Span};
use proptest::prelude::*;
use record::layout::{FIRST_ARGUMENT_KEY, FIRST_FUNCTION, HEADER_HAS_ACCOUNTS};
use record::layout::{
    FIRST_PART_COUNT, PARTS, RECORD_FLAG_GO_PARTS, RECORD_FLAG_KERNEL_PARTS, RECORD_FLAG_REMOTE_PARENT,
};
use record::writer::{LogBuilder, Options, RecordBuilder, Writer, now};
use record::{Descriptor, HeaderFacts, Memory, MonotonicNanos, Tables};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

/// Keeps what it is given.
#[derive(Default)]
struct Keep(Mutex<Vec<Span>>);

impl Keep {
    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let spans = deliver::otlp::decode::spans(&batch.bytes).expect("batches are readable");
        assert_eq!(spans.len(), batch.records as usize);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport::default()
    }
}

/// Keeps the log records that it is given.
#[derive(Default)]
struct KeepLogs(Mutex<Vec<LogRecord>>);

impl Sink for KeepLogs {
    fn name(&self) -> &'static str {
        "keep_logs"
    }

    fn signal(&self) -> Signal {
        Signal::Logs
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let logs = deliver::otlp::decode::logs(&batch.bytes).expect("batches are readable");
        assert_eq!(logs.len(), batch.records as usize);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(logs);
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport { signal: Signal::Logs, ..SinkReport::default() }
    }
}

struct Rig {
    agent: Agent,
    keep: Arc<Keep>,
    logs: Arc<KeepLogs>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    rig_with(None)
}

fn rig_with(kernel: Option<Box<dyn KernelHalf>>) -> Rig {
    rig_of(kernel, None)
}

fn rig_of(kernel: Option<Box<dyn KernelHalf>>, observing: Option<Observing>) -> Rig {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("agent.sock");
    let keep = Arc::new(Keep::default());
    let logs = Arc::new(KeepLogs::default());
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::clone(&keep) as _, Arc::clone(&logs) as _];
    let config = Config {
        socket: socket.clone(),
        scan: false,
        sinks,
        kernel,
        profiling: None,
        observing,
        attributes: agent::attributes::Rules::default(),
        shows_received: false,
        cardinality_limit: None,
        fold: Default::default(),
        service_graph: Default::default(),
        correlates: false,
        regulating: None,
    };
    Rig { agent: Agent::start(config).expect("start"), keep, logs, socket, _folder: folder }
}

/// Log records come out beside the spans of the same ring, each where it belongs; what makes no sense is counted.
#[test]
fn log_records_arrive_beside_spans() {
    let rig = rig();
    let mut writer = Writer::create(Options::default()).expect("create");
    let operation = server(&mut writer);
    let library = writer.descriptor("log/slog.log", "tandem/log/slog", 1, "log").expect("descriptor");
    writer.connect(&rig.socket).expect("welcome");
    let start = now().0;
    let log =
        |number: u8| LogBuilder::new(library, 9, start).span([7; 16], [number; 8], 0).body("said").text("user", "ann");
    writer.push(0, &request(7, operation, start, 1000).build()).expect("push");
    writer.push(0, &log(1).build()).expect("push");
    writer.push(1, &log(2).time(5).build()).expect("push");
    writer.push(0, &LogBuilder::new(library + 1, 9, start).build()).expect("push");
    writer
        .push(0, &LogBuilder::new(library, 9, start).item("n", record::layout::log_item::INT, b"half").build())
        .expect("push");
    let outcome = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));

    assert_eq!(rig.keep.spans().len(), 1);
    let mut logs = rig.logs.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    logs.sort_by_key(|log| log.span_id);
    assert_eq!(logs.len(), 3);
    assert_eq!((logs[0].span_id, logs[0].body.to_string().as_str()), (None, ""));
    let [first, second] = [&logs[1], &logs[2]];
    assert_eq!(first.body.to_string(), "said");
    assert_eq!((first.service.as_str(), first.scope.as_str()), ("test", "tandem/log/slog"));
    assert_eq!((first.trace_id.map(|id| id.0), first.trace_flags, first.severity_number), (Some([7; 16]), 0, 9));
    assert_eq!(first.time_unix_nano, first.observed_unix_nano);
    assert_eq!(second.time_unix_nano, 5);
    assert_eq!((outcome.statistics.spans, outcome.statistics.logs), (1, 3));
    assert_eq!(outcome.statistics.faults, [("malformed_items", 1), ("unknown_operation", 1)].into());
}

const ROUTE: &str = "{http.request.method} {http.route}|{http.request.method}";

fn server(writer: &mut Writer) -> u32 {
    writer.descriptor("net/http.server", "tandem/net/http", 2, ROUTE).expect("descriptor")
}

fn request(number: u8, operation: u32, start: u64, duration: u64) -> RecordBuilder {
    RecordBuilder::span([number; 16], [number; 8], operation)
        .times(start, start + duration)
        .text(1, "GET")
        .text(2, "/a")
}

/// Everything that a record says is in the span that comes out.
#[test]
fn a_span_arrives_whole() {
    let rig = rig();
    let mut writer = Writer::create(Options {
        resource: "OTEL_SERVICE_NAME=shop\nOTEL_RESOURCE_ATTRIBUTES=team=red".to_owned(),
        facts: HeaderFacts { part_count: PARTS.len() as u32, ..HeaderFacts::default() },
        ..Options::default()
    })
    .expect("create");
    let operation = server(&mut writer);
    let key = writer.key("app.user").expect("key");
    let welcome = writer.connect(&rig.socket).expect("welcome");
    assert_eq!(welcome.account_count, 0);

    let start = now().0;
    let wall_clock =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let record = request(7, operation, start, 1_000_000)
        .parent([9; 8])
        .status(2)
        .flags(RECORD_FLAG_GO_PARTS | RECORD_FLAG_KERNEL_PARTS)
        .int(3, 500)
        .text(key, "ann")
        .item(32, record::layout::item::STRING, &[0x2f, 0xff])
        .item(0, record::layout::item::STATUS_MESSAGE, b"went wrong")
        .item(0, record::layout::item::LINK, &[3; 24])
        .item(59, record::layout::item::EVENT, &(start + 10).to_le_bytes())
        .text(56, "io.EOF")
        .item(0, record::layout::item::EVENT_END, b"")
        .part(1, 100_000)
        .part(3, 400_000)
        .build();
    writer.push(1, &record).expect("push");
    rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));

    let [span] = <[Span; 1]>::try_from(rig.keep.spans()).expect("one span");
    assert_eq!(span.name, "GET /a");
    assert_eq!((span.service.as_str(), span.scope.as_str()), ("shop", "tandem/net/http"));
    assert_eq!(span.trace_id.0, [7; 16]);
    assert_eq!(span.parent_span_id.map(|id| id.0), Some([9; 8]));
    assert_eq!(span.duration_ns, 1_000_000);
    assert!(span.start_unix_nano.abs_diff(wall_clock) < 50_000_000);
    assert_eq!(span.status.message, "went wrong");
    let attributes = serde_json::to_value(&span.attributes).expect("json");
    assert_eq!(
        attributes,
        serde_json::json!({
            "app.user": "ann", "http.request.method": "GET", "http.response.status_code": 500, "http.route": "/a",
            "url.path": "/\u{fffd}",
        })
    );
    assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("exception", span.start_unix_nano + 10));
    assert_eq!(span.links[0].span_id.0, [3; 8]);
    let anatomy = span.anatomy.expect("measured");
    assert_eq!(anatomy.parts_ns.len(), PARTS.len());
    assert_eq!((anatomy.parts_ns["run_queue"], anatomy.parts_ns["go_network"]), (100_000, 400_000));
    assert_eq!((anatomy.parts_ns["on_cpu"], anatomy.parts_ns["go_sleep"]), (500_000, 0));
    let resource = serde_json::to_value(&span.resource.attributes).expect("json");
    assert_eq!((&resource["team"], &resource["telemetry.sdk.language"]), (&"red".into(), &"go".into()));
    assert_eq!(resource["process.pid"], std::process::id());
}

/// A half that was not measured has no parts, and without both there is no rest.
#[test]
fn what_was_not_measured_is_absent() {
    let rig = rig();
    let mut writer = Writer::create(Options::default()).expect("create");
    let operation = server(&mut writer);
    writer.connect(&rig.socket).expect("welcome");
    let start = now().0;
    writer.push(0, &request(1, operation, start, 1000).build()).expect("push");
    let half = request(2, operation, start, 1000).flags(RECORD_FLAG_GO_PARTS).part(3, 400);
    writer.push(0, &half.build()).expect("push");
    rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));
    let spans = rig.keep.spans();
    assert_eq!(spans[0].anatomy, None);
    let parts = &spans[1].anatomy.as_ref().expect("measured").parts_ns;
    assert!(parts.keys().all(|part| part.starts_with("go_")));
    assert_eq!((parts.len(), parts["go_network"], parts["go_gc"]), (9, 400, 0));
}

/// Go's waits are timed by another clock than the span: who only waited has waited as long as it took, not 100 ns longer.
#[test]
fn parts_are_not_more_than_the_whole() {
    let rig = rig();
    let mut writer = Writer::create(Options::default()).expect("create");
    let operation = server(&mut writer);
    writer.connect(&rig.socket).expect("welcome");
    let flags = RECORD_FLAG_GO_PARTS | RECORD_FLAG_KERNEL_PARTS;
    let record = request(1, operation, now().0, 10_000).flags(flags).part(1, 100).part(3, 9_000).part(4, 1_000);
    writer.push(0, &record.build()).expect("push");
    rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));
    let spans = rig.keep.spans();
    let parts = &spans[0].anatomy.as_ref().expect("measured").parts_ns;
    assert_eq!((parts["run_queue"], parts["go_network"], parts["on_cpu"]), (100, 8_900, 0));
    // A program woven before the header said how many parts it knows has those of that time.
    assert_eq!((parts.len(), parts.contains_key("block_io")), (FIRST_PART_COUNT, false));
    assert_eq!(parts.values().sum::<u64>(), 10_000);
}

/// Garbage in one program's ring costs that program's spans only, and is counted by cause.
#[test]
fn garbage_costs_only_its_own_spans() {
    let rig = rig();
    let mut good = Writer::create(Options::default()).expect("create");
    let operation = server(&mut good);
    good.connect(&rig.socket).expect("welcome");
    let mut bad = Writer::create(Options::default()).expect("create");
    bad.connect(&rig.socket).expect("welcome");
    for number in 1..=50 {
        bad.scribble(0, bad.head(0), &[0xa5; 512]).expect("scribble");
        bad.set_head(0, bad.head(0) + 512).expect("head");
        bad.push(1, &request(number, 3, 5, 5).build()).expect("push");
        good.push(0, &request(number, operation, now().0, 10).build()).expect("push");
        std::thread::sleep(Duration::from_millis(1));
    }
    bad.set_head(0, u64::MAX).expect("head");
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert_eq!(rig.keep.spans().len(), 50);
    assert_eq!(statistics.spans, 50);
    assert_eq!(statistics.faults["unknown_operation"], 50);
    assert!(statistics.faults["record_size"] > 0);
}

/// Nonsense on the socket, and files that are none: refused, and the next program is served.
#[test]
fn nonsense_on_the_socket_is_refused() {
    let rig = rig();
    let writer = Writer::create(Options::default()).expect("create");
    assert!(record::writer::exchange(&rig.socket, b"what?", None).is_err());
    assert!(record::writer::exchange(&rig.socket, &[0; 24], Some(writer.descriptor_of_file())).is_err());
    let unsealable = Writer::create(Options { sealable: false, ..Options::default() }).expect("create");
    assert!(unsealable.connect(&rig.socket).is_err());
    writer.vandalise(16, &[9; 8]).expect("write");
    assert!(writer.connect(&rig.socket).is_err());
    let good = Writer::create(Options::default()).expect("create");
    good.connect(&rig.socket).expect("welcome");
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert_eq!(statistics.faults["hello_malformed"], 2);
    assert_eq!(statistics.faults["refused_programs"], 2);
}

/// Where the process that [`speaks_for_another`] is finds the agent, and whose memory it shows.
const SPEAKER: [&str; 2] = ["TANDEM_TEST_SPEAKER_SOCKET", "TANDEM_TEST_SPEAKER_MEMORY"];

/// Not a test of its own: the other process of the test below, which has got hold of somebody else's memory.
#[test]
fn speaks_for_another() {
    let [Some(socket), Some(memory)] = SPEAKER.map(std::env::var_os) else { return };
    let socket = PathBuf::from(socket);
    let memory = std::fs::File::options().read(true).write(true).open(memory).expect("the other's memory");
    let parent = std::os::unix::process::parent_id();
    for pid in [std::process::id(), parent] {
        let refused = record::writer::introduce(&socket, pid, memory.as_fd());
        assert!(refused.is_err(), "{refused:?} although the memory is that of {parent}");
    }
}

/// Nobody speaks for another process, not even who holds its memory: it neither becomes his, nor does he get its accounts,
/// whether the program itself has connected already or not.
#[test]
fn nobody_speaks_for_another_process() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let rig = rig_with(Some(Box::new(FakeKernel(Arc::clone(&said)))));
    let facts = HeaderFacts { flags: HEADER_HAS_ACCOUNTS, ..HeaderFacts::default() };
    let mut writer = Writer::create(Options { facts, ..Options::default() }).expect("create");
    let operation = server(&mut writer);
    let memory = writer.descriptor_of_file().as_raw_fd();
    let other_process = || {
        let test = std::env::current_exe().expect("this test");
        let values = [rig.socket.clone(), format!("/proc/{}/fd/{memory}", std::process::id()).into()];
        let mut other = std::process::Command::new(test);
        other.args(["--exact", "speaks_for_another"]).envs(SPEAKER.into_iter().zip(values));
        let output = other.output().expect("a process");
        assert!(output.status.success(), "{output:?}");
    };
    other_process();
    writer.connect(&rig.socket).expect("welcome");
    other_process();
    assert!(record::writer::introduce(&rig.socket, 1, writer.descriptor_of_file()).is_err(), "we are not process 1");
    writer.push(0, &request(1, operation, now().0, 10).build()).expect("push");
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert_eq!(rig.keep.spans().len(), 1);
    assert_eq!((statistics.sessions, statistics.spans), (1, 1));
    assert_eq!(statistics.faults, [("foreign_memory", 2), ("foreign_process", 3)].into());
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(said.iter().all(|line| line.contains("true")), "{said:?}");
}

/// Not a test of its own: another user who connects as often as he can and says nothing, until his input ends.
#[test]
fn connects_in_vain() {
    let Some(socket) = std::env::var_os("TANDEM_TEST_CROWD") else { return };
    let held: Vec<_> = (0..200)
        .map(|_| {
            let socket = &socket;
            let connection = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
            let address = SocketAddrUnix::new(Path::new(socket)).expect("an address");
            rustix::net::connect(&connection, &address).expect("the agent listens");
            connection
        })
        .collect();
    println!("connected");
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(held);
}

/// One user cannot keep others out by connecting again and again.
#[test]
fn one_user_leaves_room_for_others() {
    let rig = rig();
    let folder = rig.socket.parent().expect("a folder");
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    let test = folder.join("test");
    std::fs::copy(std::env::current_exe().expect("this test"), &test).expect("a copy");
    let mut other = std::process::Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&test);
    other.args(["--exact", "connects_in_vain", "--nocapture"]).env("TANDEM_TEST_CROWD", &rig.socket);
    other.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut other = other.spawn().expect("setpriv");
    let mut output = std::io::BufRead::lines(std::io::BufReader::new(other.stdout.take().expect("piped")));
    if !output.by_ref().map_while(Result::ok).any(|line| line.contains("connected")) {
        other.wait().expect("a child");
        return println!("skipped: there is no other user here");
    }
    let writer = Writer::create(Options::default()).expect("create");
    writer.connect(&rig.socket).expect("there is room");
    drop(other.stdin.take());
    other.wait().expect("a child");
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert!(statistics.faults["too_many_connections"] >= 100, "{:?}", statistics.faults);
    assert_eq!(statistics.sessions, 1);
}

/// A program that connects again gets its answer, and is still one program.
#[test]
fn connecting_again_is_no_second_session() {
    let rig = rig();
    let writer = Writer::create(Options::default()).expect("create");
    writer.connect(&rig.socket).expect("welcome");
    writer.connect(&rig.socket).expect("welcome");
    assert_eq!(rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics.sessions, 1);
}

/// Two agents cannot have one socket; a socket that was left behind is taken over.
#[test]
fn one_agent_a_socket() {
    let rig = rig();
    let config = || Config {
        socket: rig.socket.clone(),
        scan: false,
        sinks: Vec::new(),
        kernel: None,
        profiling: None,
        observing: None,
        attributes: agent::attributes::Rules::default(),
        shows_received: false,
        cardinality_limit: None,
        fold: Default::default(),
        service_graph: Default::default(),
        correlates: false,
        regulating: None,
    };
    let error = Agent::start(config()).expect_err("in use").to_string();
    assert!(error.contains("another agent listens"), "{error}");
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert!(statistics.faults.is_empty(), "the other one has only looked: {:?}", statistics.faults);
    assert!(!rig.socket.exists());
    let foreign = std::os::unix::net::UnixListener::bind(&rig.socket).expect("bind");
    let error = Agent::start(config()).expect_err("somebody else's").to_string();
    assert!(error.contains("something else is there"), "{error}");
    drop(foreign); // its file stays, and nobody listens any more
    drop(Agent::start(config()).expect("taken over"));
    std::fs::write(&rig.socket, "somebody's text").expect("a file");
    let error = Agent::start(config()).expect_err("no socket").to_string();
    assert!(error.contains("something else is there"), "{error}");
    assert_eq!(std::fs::read_to_string(&rig.socket).expect("it is left alone"), "somebody's text");
}

/// Rates, errors and durations are exact with one of ten spans sampled: those that were, plus the counts of the others.
#[test]
fn red_is_exact_at_any_sampling_rate() {
    let rig = rig();
    let mut writer = Writer::create(Options::default()).expect("create");
    let operation = server(&mut writer);
    writer.connect(&rig.socket).expect("welcome");
    let mut expected: BTreeMap<(bool, usize), u64> = BTreeMap::new();
    let mut total = 0;
    for number in 0..1000u64 {
        let duration = number * number * 1000;
        let failed = number % 7 == 0;
        let status = if failed { 2 } else { 0 };
        *expected.entry((failed, agent::measure::bucket(duration))).or_default() += 1;
        total += duration;
        let record = request(1 + (number % 255) as u8, operation, now().0, duration).status(status).text(32, "/a/1");
        if number % 10 == 0 {
            assert!(writer.push((number / 10 % 2) as u32, &record.build()).expect("push"));
        } else {
            let labels = RecordBuilder::span([1; 16], [1; 8], 0).text(1, "GET").text(2, "/a").labels();
            let index = if failed { 4 } else { 5 };
            writer.count((number % 2) as u32, index, operation, status, &labels, duration).expect("count");
        }
    }
    let metrics = rig.agent.metrics()();
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    assert_eq!((statistics.spans, statistics.counted), (100, 900));
    assert_eq!(metrics.red.len(), 2);
    let mut found = BTreeMap::new();
    for series in &metrics.red {
        assert_eq!((series.key.span_name.as_str(), series.key.kind), ("GET /a", 2));
        for (bucket, &count) in series.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            found.insert((series.key.status == 2, bucket), count);
        }
    }
    assert_eq!(found, expected);
    assert_eq!(metrics.red.iter().map(|series| series.sum_ns).sum::<u64>(), total);
}

/// Says "watch" and "unwatch" as it is told.
struct FakeKernel(Arc<Mutex<Vec<String>>>);

impl KernelHalf for FakeKernel {
    fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Option<AccountMap> {
        let own = pid == std::process::id();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("watch {own} {}", facts.g_m_offset));
        let file = std::fs::File::open("/dev/null").expect("open");
        Some(AccountMap { fd: file.into(), slots: 77, lacking: 0, system_calls: None })
    }

    fn unwatch(&mut self, pid: u32) {
        let own = pid == std::process::id();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("unwatch {own}"));
    }
}

/// A program with accounts gets the kernel's map, again when it connects again; one without is left alone.
#[test]
fn the_kernels_accounts_are_handed_over() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let rig = rig_with(Some(Box::new(FakeKernel(Arc::clone(&said)))));
    let facts = HeaderFacts { flags: HEADER_HAS_ACCOUNTS, g_m_offset: 48, ..HeaderFacts::default() };
    let with = Writer::create(Options { facts, ..Options::default() }).expect("create");
    let without = Writer::create(Options::default()).expect("create");
    for _ in 0..2 {
        let welcome = with.connect(&rig.socket).expect("welcome");
        assert_eq!((welcome.account_count, welcome.accounts.is_some()), (77, true));
    }
    assert_eq!(without.connect(&rig.socket).expect("welcome").account_count, 0);
    rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));
    assert_eq!(*said.lock().unwrap_or_else(PoisonError::into_inner), ["watch true 48", "unwatch true"]);
}

proptest! {
    /// Any record: no panic, and every batch that comes out is readable and has as many spans as were taken.
    #[test]
    fn any_record_is_assembled_or_counted(
        items in proptest::collection::vec((0u16..300, 0u16..16, proptest::collection::vec(any::<u8>(), 0..100)), 0..12),
        start: u64, end: u64, flags: u8, operation in 0u32..4, noticed: bool,
    ) {
        let mut writer = Writer::create(Options::default()).expect("create");
        server(&mut writer);
        writer.descriptor("x", "", 200, "{{http.route}|{app.user}|}").expect("descriptor");
        writer.key("app.user").expect("key");
        let memory = Memory::open(writer.descriptor_of_file()).expect("open");
        let mut assembler = Assembler::new(memory.tables(), Arc::new(Resource::default()), "0");
        let mut measure = Measure::default();
        let mut record = RecordBuilder::span([1; 16], [2; 8], operation).times(start, end).flags(flags);
        for (key, kind, data) in &items {
            record = record.item(*key, *kind, data);
        }
        let record = record.build();
        let ending = if noticed { Ending::Noticed(MonotonicNanos(7)) } else { Ending::Recorded };
        let taken = (0..3).filter(|_| assembler.record(&record, ending, ClockOffset(-5), &mut measure).is_some()).count();
        let batch = assembler.take();
        prop_assert_eq!(batch.as_ref().map_or(0, |batch| batch.records as usize), taken);
        if let Some(batch) = batch {
            prop_assert_eq!(deliver::otlp::decode::spans(&batch.bytes).expect("readable").len(), taken);
        }
        prop_assert!(taken == 3 || assembler.take_faults().values().sum::<u64>() > 0);
    }
}

/// What of one parent's children is delivered, and what the parent says of the others.
#[test]
fn short_spans_that_are_alike_are_folded() {
    const SHORT: u64 = 5_000;
    let mut writer = Writer::create(Options::default()).expect("create");
    let request = server(&mut writer);
    let step = writer.descriptor("main.step", "main", 1, "main.step").expect("a descriptor");
    let query = writer.descriptor("sql", "tandem/database/sql", 3, "{db.operation.name}|db").expect("a descriptor");
    let call = writer.descriptor("call", "tandem/net/http", 3, "call").expect("a descriptor");
    let memory = Memory::open(writer.descriptor_of_file()).expect("open");
    let settings = agent::Settings::parse("fold: {more_than: 10}\n").expect("a good one").fold;
    let mut assembler = Assembler::new(memory.tables(), Arc::new(Resource::default()), "0").folding(&settings);
    let mut measure = Measure::default();
    let number = std::cell::Cell::new(0u64);
    let ids = || {
        number.set(number.get() + 1);
        number.get().to_le_bytes()
    };
    let (parent, other) = ([0xf1; 8], [0xf2; 8]);
    let span = |id, operation, parent, time| {
        RecordBuilder::span([1; 16], id, operation).parent(parent).times(1000, 1000 + time)
    };
    let mut records: Vec<Vec<u8>> = Vec::new();
    for _ in 0..100 {
        records.push(span(ids(), step, parent, SHORT).build());
        records.push(span(ids(), query, parent, SHORT).text(8, "GET").text(7, "redis").build());
        // None of these is folded: long ones, failed ones, those with events, calls that others may answer, roots.
        records.push(span(ids(), step, parent, 1_000_000).build());
        records.push(span(ids(), step, parent, SHORT).status(2).build());
        records
            .push(span(ids(), step, parent, SHORT).item(59, record::layout::item::EVENT, &1u64.to_le_bytes()).build());
        records.push(span(ids(), call, parent, SHORT).build());
        records.push(span(ids(), step, [0; 8], SHORT).build());
        records.push(span(ids(), step, parent, SHORT).flags(RECORD_FLAG_REMOTE_PARENT).build());
        // Nor those with a child; it ends first.
        let with_child = ids();
        records.push(span(ids(), step, with_child, SHORT / 2).build());
        records.push(span(with_child, step, parent, SHORT).build());
    }
    records.push(span(parent, request, [0; 8], 9_000_000).build());
    let last = ids();
    records.push(span(last, step, other, SHORT).build());
    for _ in 0..20 {
        records.push(span(ids(), step, other, SHORT).build());
    }
    let folded = number.get().to_le_bytes();
    records.push(span(ids(), step, folded, 2_000_000).build()); // a child of the last one, which comes late
    let taken: Vec<_> = records
        .iter()
        .map(|record| assembler.record(record, Ending::Recorded, ClockOffset(0), &mut measure).expect("a span"))
        .collect();
    assembler.end_folding(ClockOffset(0), &mut measure);
    assert_eq!(taken.iter().filter(|span| span.folded).count(), 90 + 90 + 11);
    let batch = assembler.take().expect("a batch");
    let spans = deliver::otlp::decode::spans(&batch.bytes).expect("readable");
    assert_eq!((spans.len(), batch.records as usize), (records.len() - 191 + 1, records.len() - 191 + 1));
    let value = |span: &Span, key: &str| span.attributes.get(key).map(ToString::to_string);
    let of = |id: [u8; 8]| spans.iter().find(|span| span.span_id.0 == id).expect("it is there");
    let words = ["main.step.count", "main.step.duration", "GET.count", "GET.duration"];
    let said = words.map(|word| value(of(parent), &format!("tandem.folded.{word}")));
    assert_eq!(said, ["90", "450000", "90", "450000"].map(|number| Some(number.to_owned())));
    let orphan = spans.iter().find(|span| span.duration_ns == 2_000_000).expect("the late child");
    assert_eq!(orphan.parent_span_id.map(|parent| parent.0), Some(other));
    // The other parent never ended: a span stands for what was folded.
    let stands = spans.iter().find(|span| value(span, "tandem.folded.main.step.count").as_deref() == Some("11"));
    let stands = stands.expect("one stands for them");
    assert_eq!((stands.name.as_str(), stands.parent_span_id.map(|parent| parent.0)), ("main.step", Some(other)));
    // All of them were measured, and only they.
    let series = measure.snapshot();
    assert_eq!(series.iter().map(deliver::metrics::RedSeries::count).sum::<u64>(), records.len() as u64);
}

/// A program's own limits hold for its spans, and not for its metrics.
#[test]
fn limits_of_the_program_are_kept() {
    let mut writer = Writer::create(Options::default()).expect("create");
    let operation = server(&mut writer);
    let memory = Memory::open(writer.descriptor_of_file()).expect("open");
    let limits = Limits::parse("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1\nOTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=2\n");
    let mut assembler = Assembler::new(memory.tables(), Arc::new(Resource::default()), "0").within(limits);
    let mut measure = Measure::default();
    let record = RecordBuilder::span([1; 16], [1; 8], operation).times(1, 2);
    let record = record.text(32, "/ä/b").text(1, "GET").text(2, "/{id}").build();
    assembler.record(&record, Ending::Recorded, ClockOffset(0), &mut measure).expect("a span");
    let batch = assembler.take().expect("a batch");
    let span = &deliver::otlp::decode::spans(&batch.bytes).expect("readable")[0];
    assert_eq!(span.name, "GET /{id}");
    let attributes: Vec<_> = span.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(attributes, ["url.path=/ä"]);
}

/// A function that was switched on: its name, its arguments by their names, and its calls beyond the limit as a metric.
#[test]
fn a_function_has_its_name_and_its_arguments() {
    let rig = rig();
    let mut writer = Writer::create(Options::default()).expect("create");
    writer.functions("example.com/shop/cart cart\n(*Cart).Add item count\nNew\n").expect("functions");
    writer.connect(&rig.socket).expect("welcome");
    let functions = record::Functions::open(writer.descriptor_of_file()).expect("opens").expect("functions");
    let mut switchboard = functions.switch().expect("nobody else");
    let setting = record::Setting { limit: 1, arguments: true };
    switchboard.on(record::FunctionNumber(0), setting).expect("room");
    writer.called(0, 1, 5, 4).expect("inside");
    let start = now().0;
    let record = RecordBuilder::span([1; 16], [1; 8], FIRST_FUNCTION)
        .times(start, start + 10)
        .text(FIRST_ARGUMENT_KEY, "tea")
        .int(FIRST_ARGUMENT_KEY + 1, 3)
        .int(FIRST_ARGUMENT_KEY + 2, 4) // more than the function has
        .build();
    assert!(writer.push(0, &record).expect("push"));
    let unknown = RecordBuilder::span([2; 16], [2; 8], FIRST_FUNCTION + 2).times(start, start + 10).build();
    assert!(writer.push(0, &unknown).expect("push"));
    let statistics = rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5)).statistics;
    let spans = rig.keep.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].name, "cart.(*Cart).Add");
    let attributes: Vec<_> = spans[0].attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(attributes, ["tandem.argument.count=3", "tandem.argument.item=tea"]);
    assert_eq!(statistics.functions["cart.(*Cart).Add"], agent::FunctionCalls { calls: 5, limited: 4 });
    assert_eq!(
        (statistics.faults.get("unknown_operation"), statistics.faults.get("unknown_key")),
        (Some(&1), Some(&1))
    );
}

/// Sees one span a process, and one of a process that nobody asked about.
#[derive(Default)]
struct Seer {
    seen: Vec<u32>,
    ended: Arc<Mutex<Vec<u32>>>,
}

impl Observer for Seer {
    fn source(&self) -> Source {
        Source::Uprobe
    }

    fn tables(&self) -> Tables {
        let server = Descriptor::new("net/http.server", "tandem/net/http", 2, ROUTE);
        Tables::of(vec![server], vec!["tandem.parent.source".to_owned()])
    }

    fn watch(&mut self, process: &ObservedProcess) -> Result<Vec<String>, ObserveError> {
        if process.resource.service() == "refused" {
            return Err(ObserveError::Failed("it is not to be seen; leave it alone".to_owned()));
        }
        self.seen.push(process.pid);
        Ok(vec!["its client calls are not seen: there is no place for a probe".to_owned()])
    }

    fn unwatch(&mut self, pid: u32) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    fn take(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> usize {
        let start = now().0;
        for pid in self.seen.drain(..) {
            let span = request(1, 1, start, 1000).text(record::layout::FIRST_DYNAMIC_KEY, "goroutine").build();
            each(pid, &span);
            each(u32::MAX, &span);
            each(pid, &request(2, 9, start, 1000).build());
        }
        0
    }

    fn losses(&mut self) -> Losses {
        [("ring_full", 3)].into()
    }
}

/// Scenario: an observer sees two processes of which it may observe one, which ends. Guarantees: its spans come out as those
/// of woven programs do, and say where they come from; what is not observed, what was lost and what makes no sense is said.
#[test]
fn spans_of_observers_go_the_same_way() {
    let sleep = |service: &str| {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000").env("OTEL_SERVICE_NAME", service).spawn().expect("sleep is everywhere")
    };
    let (mut one, mut refused) = (sleep("seen"), sleep("refused"));
    let ended = Arc::<Mutex<Vec<u32>>>::default();
    let theirs = Arc::clone(&ended);
    let observing = Observing {
        observers: vec![Box::new(move || Box::new(Seer { ended: theirs, ..Seer::default() }))],
        selections: [one.id(), refused.id()].map(Selection::Process).to_vec(),
        started_only: false,
    };
    let rig = rig_of(None, Some(observing));
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("the span comes", &|| !rig.keep.spans().is_empty());
    wait("both were looked at", &|| rig.agent.statistics().not_observed.len() == 2);
    let statistics = rig.agent.statistics();
    assert_eq!((statistics.spans, statistics.observed_ever), (1, 1));
    assert_eq!(statistics.observed, [(one.id(), 1)].into());
    assert_eq!(statistics.losses, [("ring_full", 3)].into());
    assert_eq!(statistics.faults, [("unknown_operation", 1)].into());
    assert_eq!(statistics.not_observed[&refused.id()], ["it is not to be seen; leave it alone"]);
    one.kill().expect("ours");
    one.wait().expect("ours");
    wait("its end is seen", &|| rig.agent.statistics().observed.is_empty());
    assert_eq!(*ended.lock().unwrap_or_else(PoisonError::into_inner), [one.id()]);
    refused.kill().expect("ours");
    refused.wait().expect("ours");
    let spans = rig.keep.spans();
    rig.agent.stop(Duration::from_secs(5), Duration::from_secs(5));
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((span.service.as_str(), span.name.as_str(), span.source), ("seen", "GET /a", Source::Uprobe));
    assert_eq!((span.scope.as_str(), span.kind), ("tandem/net/http", model::Kind::Server));
    let how = span.attributes.get("tandem.parent.source");
    assert_eq!(how, Some(&model::Value::String("goroutine".to_owned())));
}
