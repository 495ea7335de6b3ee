//! `tandem run` and `tandem agent`, with a program that writes records as a woven one does: this test binary itself,
//! started again with `FAKE_PROGRAM` set.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use model::Span;
use record::writer::{Options, RecordBuilder, Writer, now};
use serde_json::Value;
use tempfile::TempDir;

/// The fake program; without its variable there is nothing to do. What it does is the variable's value.
#[test]
fn fake_program() {
    let Ok(plan) = std::env::var("FAKE_PROGRAM") else { return };
    let options = Options { resource: "OTEL_SERVICE_NAME=fake".to_owned(), ..Options::default() };
    let mut writer = Writer::create(options).expect("create");
    let operation = writer.descriptor("net/http.server", "tandem/net/http", 2, "{http.request.method} {http.route}");
    let operation = operation.expect("descriptor");
    // One that waits until it is called does not call.
    if let Some(socket) = std::env::var_os("TANDEM_SOCKET").filter(|_| !plan.contains("called")) {
        writer.connect(Path::new(&socket)).expect("an agent");
    }
    let span = |number: u8, end: u64| {
        let span = RecordBuilder::span([number; 16], [number; 8], operation).times(now().0, end);
        span.text(1, "GET").text(2, "/a")
    };
    for (number, word) in (1..).zip(plan.split(' ')) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("span", _) => drop(writer.push(0, &span(number, now().0 + 1000).build()).expect("push")),
            ("unfinished", _) => writer.begin(number.into(), &span(number, 0).build()).expect("begin"),
            ("count", _) => {
                let labels = span(number, 0).labels();
                writer.count(0, 3, operation, 0, &labels, 1000).expect("count");
            }
            // Between the copy to the ring and the freeing of the entry.
            ("ending", _) => {
                let record = span(number, now().0 + 1000).build();
                writer.push(0, &record).expect("push");
                writer.begin(number.into(), &record).expect("begin");
            }
            ("say", text) => eprintln!("{text}"),
            ("wait", milliseconds) => {
                std::thread::sleep(Duration::from_millis(milliseconds.parse().expect("a number")))
            }
            ("child", plan) => drop(fake(&plan.replace(',', " ")).spawn().expect("spawn")),
            ("called", _) => {
                while writer.control_u32("generation").expect("read") == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            ("kill", _) => {
                drop(Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status());
                std::thread::sleep(Duration::from_secs(10));
            }
            ("exit", code) => std::process::exit(code.parse().expect("a number")),
            other => panic!("what is {other:?}?"),
        }
    }
    std::process::exit(0);
}

fn fake(plan: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "fake_program", "--nocapture", "--test-threads=1"]).env("FAKE_PROGRAM", plan);
    command
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    fn spans_file(&self) -> PathBuf {
        self.folder.path().join("spans.json")
    }

    fn tandem(&self, command: &str) -> Command {
        let mut tandem = Command::new(env!("CARGO_BIN_EXE_tandem"));
        let json = format!("--json={}", self.spans_file().display());
        tandem.args([command, "--no-kernel", "--no-ui", &json, "--store"]).arg(self.folder.path().join("store"));
        for variable in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "TANDEM_SOCKET", "TANDEM_DEBUG"] {
            tandem.env_remove(variable);
        }
        tandem.stdout(Stdio::piped()).stderr(Stdio::piped());
        tandem
    }

    /// `tandem run` of the fake program.
    fn run(&self, plan: &str) -> Command {
        let fake = fake(plan);
        let mut run = self.tandem("run");
        run.arg("--").arg(fake.get_program()).args(fake.get_args()).env("FAKE_PROGRAM", plan);
        run
    }

    fn spans(&self) -> Vec<Span> {
        let lines = fs::read_to_string(self.spans_file()).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).expect("a span")).collect()
    }
}

/// What tandem itself said.
fn said(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    stderr.lines().filter_map(|line| line.strip_prefix("tandem: ")).map(str::to_owned).collect()
}

/// Spans arrive, in the JSON form of the design, and the program's exit code passes through.
#[test]
fn spans_arrive_and_the_exit_code_passes_through() {
    let place = Place::new();
    let output = place.run("span span unfinished count exit=7").output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(7));
    let lines = said(&output);
    assert!(
        lines[0].starts_with("3 spans in 3 traces from 1 program; see them with: tandem traces --store "),
        "{lines:?}"
    );
    assert_eq!(lines[1..], ["1 span unfinished when the program ended"]);
    let spans = place.spans();
    assert_eq!(spans.iter().filter(|span| span.unfinished).count(), 1);
    assert!(spans.iter().all(|span| span.name == "GET /a" && span.service == "fake"));
    let text = fs::read_to_string(place.spans_file()).expect("spans");
    let line: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("json");
    let keys: Vec<&String> = line.as_object().expect("an object").keys().collect();
    for key in ["trace_id", "span_id", "parent_span_id", "kind", "start_unix_nano", "duration_ns", "status", "anatomy"]
    {
        assert!(keys.iter().any(|found| *found == key), "no {key} in {keys:?}");
    }
}

/// Scenario: what is to be observed is misspelt; it runs on this machine, but not as part of what was started. Guarantees: that is
/// said at the end, and nothing else is different.
#[test]
fn whom_it_should_observe_and_did_not_find_is_said() {
    let place = Place::new();
    let own = std::env::current_exe().expect("this binary");
    let mut run = place.tandem("run");
    run.arg("--observe").arg(own.file_name().expect("a name")).args(["--", "sh", "-c", "sleep 1.5; exit 3"]);
    let output = run.output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(3));
    let last = said(&output).pop().unwrap_or_default();
    assert!(last.starts_with("of what was started nothing was observed: there is no program called run-"), "{last}");
}

/// What the agent has measured is in the store when it has ended, all of it once.
#[test]
fn metrics_are_in_the_store_afterwards() {
    let place = Place::new();
    let output = place.run("span span span exit=0").output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(0));
    let stored = |names: &[&str]| -> Vec<Value> {
        let mut tandem = Command::new(env!("CARGO_BIN_EXE_tandem"));
        tandem.arg("metrics").args(names).args(["--json", "--store"]).arg(place.folder.path().join("store"));
        let output = tandem.output().expect("tandem runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    let durations = stored(&["traces.span.metrics.duration"]);
    assert_eq!(durations.len(), 1, "{durations:?}");
    assert_eq!((&durations[0]["service"], &durations[0]["count"]), (&"fake".into(), &3.into()));
    assert_eq!(durations[0]["attributes"]["span.name"], "GET /a");
    let list = stored(&[]);
    assert!(list.iter().any(|metric| metric["name"] == "http.server.request.duration"), "{list:?}");
}

/// Killed with SIGKILL: no finished span is lost, none comes twice, unfinished ones are marked; the code is 128 + 9.
#[test]
fn a_killed_program_loses_no_finished_span() {
    let place = Place::new();
    let output = place.run("span wait=30 span unfinished ending kill").output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(128 + 9));
    let spans = place.spans();
    let unfinished: Vec<bool> = spans.iter().map(|span| span.unfinished).collect();
    assert_eq!(unfinished.iter().filter(|unfinished| **unfinished).count(), 1, "{unfinished:?}");
    assert_eq!(spans.len(), 4);
}

/// Programs that the program has started are waited for, and their spans arrive, too.
#[test]
fn programs_of_the_program_are_waited_for() {
    let place = Place::new();
    let output = place.run("span child=wait=600,span,span wait=150 exit=0").output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(place.spans().len(), 3, "{:?}", said(&output));
    assert!(
        said(&output).iter().any(|line| line.contains("3 spans in 3 traces from 2 programs")),
        "{:?}",
        said(&output)
    );
}

/// What is no woven program runs all the same; what is no program has the shell's codes.
#[test]
fn other_programs() {
    let place = Place::new();
    let run = |program: &[&str]| place.tandem("run").arg("--").args(program).output().expect("tandem runs");
    let output = run(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"out\n".as_slice()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "err\ntandem: no woven program has connected; build it with `tandem go build`\n");
    let output = run(&["/no/such/program"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(said(&output)[0].starts_with("cannot run /no/such/program: "), "{output:?}");
    assert_eq!(run(&["/etc/passwd"]).status.code(), Some(126));
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).status.code(), Some(128 + 15));
}

/// Standard input is the program's, and signals that are sent to us reach it.
#[test]
fn input_and_signals_are_passed_on() {
    let place = Place::new();
    let script = "trap 'echo got it; exit 5' TERM; read line; echo \"$line\"; while :; do sleep 0.05; done";
    let mut child =
        place.tandem("run").args(["--", "sh", "-c", script]).stdin(Stdio::piped()).spawn().expect("tandem runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    child.stdin.take().expect("a pipe").write_all(b"hello\n").expect("it reads");
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "hello\n");
    signal("-TERM", &child);
    out.read_line(&mut line).expect("a line");
    assert_eq!((line.as_str(), child.wait().expect("it ends").code()), ("hello\ngot it\n", Some(5)));
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs").success());
}

/// An OTLP endpoint that nobody listens at: what waits is said at the end, and the program's exit code is its own.
#[test]
fn an_endpoint_that_refuses_changes_nothing_for_the_program() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let endpoint = format!("http://{free}");
    let start = Instant::now();
    let output = place
        .run("span span exit=4")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_METRICS_EXPORTER", "none")
        .output()
        .expect("tandem runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(start.elapsed() < Duration::from_secs(10));
    let lines = said(&output);
    let waits = lines
        .iter()
        .filter(|line| line.starts_with("warning: otlp: 2 spans wait on disk for the next start: cannot reach"));
    assert_eq!(waits.count(), 1, "{lines:?}");
    assert_eq!(place.spans().len(), 2, "the file has them all the same");
}

/// A port that is taken, a socket that is taken, a store that cannot be: one message each, and nothing is started.
#[test]
fn what_is_taken_is_said_before_anything_starts() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let output =
        place.tandem("run").args(["--metrics", &address, "--", "echo", "started"]).output().expect("tandem runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(said(&output)[0].contains("in use") && said(&output)[0].contains("--metrics"), "{output:?}");

    let socket = place.folder.path().join("agent.sock");
    let (mut first, _) = agent(&place, &socket, &[]);
    let output = place.tandem("agent").arg("--socket").arg(&socket).output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output)[0].contains("another agent listens at"), "{output:?}");
    stop(&mut first);

    let file = place.folder.path().join("file");
    fs::write(&file, "").expect("write");
    let output = place.tandem("agent").arg("--socket").arg(file.join("agent.sock")).output().expect("tandem runs");
    let line = &said(&output)[0];
    assert!(line.starts_with("cannot listen at ") && line.matches("os error").count() == 1, "{line}");
}

/// A process that ends with the test, whatever becomes of that.
struct Ended(Child);

impl Ended {
    fn started(command: &mut Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `tandem agent`, once it listens, and where its metrics are.
fn agent(place: &Place, socket: &Path, arguments: &[&str]) -> (Ended, String) {
    let mut command = place.tandem("agent");
    let mut agent = Ended::started(command.args(arguments).arg("--socket").arg(socket));
    let child = &mut agent.0;
    let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
    let (mut line, mut metrics) = (String::new(), String::new());
    while !line.starts_with("tandem: listening at ") {
        line.clear();
        assert_ne!(err.read_line(&mut line).expect("a line"), 0, "it has ended");
        if let Some(address) = line.trim().strip_prefix("tandem: metrics at http://") {
            metrics = address.trim_end_matches("/metrics").to_owned();
        }
    }
    child.stderr = Some(err.into_inner());
    (agent, metrics)
}

fn stop(agent: &mut Ended) -> ExitStatus {
    signal("-TERM", &agent.0);
    agent.0.wait().expect("it ends")
}

/// The machine's agent: programs that come, programs that ran before, but for one that says that it is another agent's; metrics,
/// the end. Its socket goes with it.
#[test]
fn the_agent_of_a_machine_finds_programs() {
    let place = Place::new();
    let socket = place.folder.path().join("run/agent.sock");
    // Runs already, knows no agent, and waits until it is called.
    let other = place.folder.path().join("other.sock");
    let _anothers = Ended::started(fake("wait=0 wait=0 wait=0 span called").env("TANDEM_SOCKET", &other));
    let same = place.folder.path().join("run/../run/agent.sock");
    let mut by_other_name = Ended::started(fake("span called exit=0").env("TANDEM_SOCKET", &same));
    let mut before = Ended::started(fake("span called span exit=0").env_remove("TANDEM_SOCKET"));
    let (mut agent, metrics) = agent(&place, &socket, &["--metrics", "127.0.0.1:0"]);
    assert!(before.0.wait().expect("it was called").success());
    assert!(by_other_name.0.wait().expect("it was called").success());
    let status = fake("span span span exit=0").env("TANDEM_SOCKET", &socket).status().expect("spawn");
    assert!(status.success());
    let text = get(&metrics);
    let calls: u64 = text
        .lines()
        .filter(|line| line.starts_with("traces_span_metrics_calls_total{service_name=\"fake\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(calls >= 5, "{text}"); // other tests' programs may be found, too
    assert!(stop(&mut agent).success());
    assert!(!socket.exists());
    let spans = place.spans();
    assert!(spans.len() >= 6);
    assert!(spans.iter().all(|span| span.span_id.to_string() != "0404040404040404"), "another agent's is left alone");
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
