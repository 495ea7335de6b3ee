//! Programs that nobody has woven, observed from outside.
//!
//! Guarantees: each operation of a plain Go program, however it was linked, makes exactly one span, with the attributes that
//! a woven one would have and the right parent; what a woven program records itself is not observed again, and what it
//! leaves is, under its woven parent; an agent that is killed leaves no probe in the kernel and the program as it was.
//! `program/` is the program. Needs Go, and the privileges for probes.

#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod golang;
mod grpc;
mod kafka;
mod redis;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod rig;
#[path = "../packs/servers/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of packs, which use all of it")]
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use model::{Kind, Source, Span, SpanId, StatusCode, Value};
use support::{PATIENCE, get, skip, wait_for};
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unwoven/program");

/// Whether this machine lacks something; then the test has been counted as skipped.
fn is_skipped(test: &str) -> bool {
    if let Err(error) = probe::features::require_uprobes() {
        skip(test, &error.to_string());
        return true;
    }
    support::is_without_go(test)
}

/// Builds the program with the plain go command.
fn built(folder: &Path, arguments: &[&str]) -> PathBuf {
    built_by("", folder, arguments)
}

/// The same with a version of Go; empty: the one that is there.
fn built_by(version: &str, folder: &Path, arguments: &[&str]) -> PathBuf {
    built_from(Path::new(SOURCE), version, folder, arguments)
}

/// Any program.
fn built_from(source: &Path, version: &str, folder: &Path, arguments: &[&str]) -> PathBuf {
    let program = folder.join("unwoven");
    let mut command = Command::new("go");
    command.arg("build").args(arguments).arg("-o").arg(&program).arg(".").current_dir(source);
    if !version.is_empty() {
        command.env("GOTOOLCHAIN", version);
    }
    let output = command.output().expect("go starts");
    assert!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// The spans of a plain program, stripped, that is given an argument and then an order: it says where it listens, and when it has
/// done as ordered.
fn spans_of(source: &str, argument: &str, order: &str) -> Vec<Span> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let mut process = Command::new(built_from(Path::new(source), "", folder.path(), &["-ldflags=-s -w"]))
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("it prints");
    let mut input = process.stdin.take().expect("a pipe");
    line(); // its address
    let attached = Attached::to(&process.id().to_string());
    writeln!(input, "{order}").expect("it reads");
    assert_eq!(line(), "done");
    let spans = attached.finish();
    drop(input);
    assert!(process.wait().expect("it is ours").success());
    spans
}

/// The program while it runs. Dropped, it ends.
struct Program {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    front: String,
    back: String,
}

impl Program {
    fn start(path: &Path) -> Self {
        Self::start_under(path, None)
    }

    /// The same, with an agent that serves woven programs.
    fn start_under(path: &Path, socket: Option<&Path>) -> Self {
        Self::start_with(path, socket, &[])
    }

    /// The same, in such an environment.
    fn start_with(path: &Path, socket: Option<&Path>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.envs(environment.iter().copied());
        command.env("GODEBUG", "httpmuxgo121=0"); // routes, although its go.mod is of an older Go
        if let Some(socket) = socket {
            command.env("TANDEM_SOCKET", socket);
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut program = Self { process, input, output, front: String::new(), back: String::new() };
        program.front = program.line();
        program.back = program.line();
        program
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints");
        line.trim_end().to_owned()
    }

    /// Has it serve so many requests, so many at once.
    fn serve(&mut self, count: u32, at_once: u32) {
        self.serve_at(&PATHS, count, at_once);
    }

    /// The same at other paths, which take turns.
    fn serve_at(&mut self, paths: &[&str], count: u32, at_once: u32) {
        writeln!(self.input, "{count} {at_once} {}", paths.join(",")).expect("it reads");
        assert_eq!(self.line(), "done");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `tandem attach` while it runs. Dropped, it is killed.
struct Attached {
    process: Child,
    folder: TempDir,
}

impl Attached {
    /// Attaches to a process, and waits until it is observed.
    fn to(program: &str) -> Self {
        Self::with(&[program])
    }

    /// The same, told more.
    fn with(arguments: &[&str]) -> Self {
        Self::until("observing 1 program", arguments)
    }

    /// The same, until it says that it observes all.
    fn until(ready: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let said = fs::File::create(folder.path().join("said")).expect("a file");
        let process = Command::new(TANDEM)
            .arg("attach")
            .args(arguments)
            .args(["--no-ui", "--store"])
            .arg(folder.path().join("store"))
            .arg(format!("--json={}", folder.path().join("spans").display()))
            .stderr(said)
            .spawn()
            .expect("tandem starts");
        let mut attached = Self { process, folder };
        let deadline = Instant::now() + PATIENCE;
        while !attached.said().contains(ready) {
            let ended = attached.process.try_wait().expect("it is ours");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}: {}", attached.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        attached
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    }

    /// Ends it as Ctrl-C does; the spans that it has seen.
    fn finish(mut self) -> Vec<Span> {
        self.interrupt();
        let status = self.process.wait().expect("it is ours");
        assert!(status.success(), "{status}: {}", self.said());
        let said = self.said();
        assert!(!said.contains("was lost"), "{said}");
        let spans = fs::read_to_string(self.folder.path().join("spans")).expect("spans");
        spans.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text<'a>(span: &'a Span, key: &str) -> &'a str {
    match span.attributes.get(key) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match span.attributes.get(key) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// Which request a span belongs to, by what it carries.
fn request(span: &Span) -> u32 {
    let own = match text(span, "url.query") {
        "" => text(span, "url.full").rsplit_once('?').map(|(_, query)| query).unwrap_or_default(),
        query => query,
    };
    own.parse().unwrap_or_else(|_| panic!("a span of no request: {span:?}"))
}

/// What was seen of each request: spans of the front, of its calls, of the back.
fn by_request(spans: Vec<Span>) -> BTreeMap<u32, [Vec<Span>; 3]> {
    let mut requests: BTreeMap<u32, [Vec<Span>; 3]> = BTreeMap::new();
    for span in spans.into_iter().filter(|span| span.scope == "tandem/net/http") {
        let place = match (span.kind, text(&span, "server.address")) {
            (Kind::Server, "front.example") => 0,
            (Kind::Client, _) => 1,
            (Kind::Server, _) => 2,
            (kind, _) => panic!("{kind:?}"),
        };
        requests.entry(request(&span)).or_default()[place].push(span);
    }
    requests
}

const PATHS: [&str; 4] = ["direct", "context", "child", "fail"];

/// What older versions of Go do not tell.
#[derive(Clone, Copy)]
struct Tells {
    /// Which route the multiplexer has chosen: since 1.23.
    routes: bool,
    /// Which goroutine has started another one: since 1.21.
    ancestors: bool,
}

const ALL: Tells = Tells { routes: true, ancestors: true };

impl Tells {
    /// Of a version as `GOTOOLCHAIN` names it.
    fn of(version: &str) -> Self {
        let minor = version.strip_prefix("go1.").and_then(|rest| rest.split('.').next()?.parse().ok());
        let minor: u32 = minor.unwrap_or(u32::MAX); // the one that is there
        Self { routes: minor >= 23, ancestors: minor >= 21 }
    }
}

/// Checks every span of a run.
fn check(spans: Vec<Span>, program: &Program, count: u32) {
    check_with(spans, program, count, ALL);
}

/// The same of a program that tells less.
fn check_with(spans: Vec<Span>, program: &Program, count: u32, tells: Tells) {
    let (_, port) = program.back.rsplit_once(':').expect("a port");
    let mut queries: BTreeMap<SpanId, Vec<Span>> = BTreeMap::new();
    for query in spans.iter().filter(|span| span.scope == "tandem/database/sql") {
        queries.entry(query.parent_span_id.expect("a parent")).or_default().push(query.clone());
    }
    let mut requests = by_request(spans);
    assert_eq!(requests.len(), count as usize);
    for n in 0..count {
        let [front, calls, back] = requests.remove(&n).expect("every request was seen");
        let path = PATHS[n as usize % PATHS.len()];
        let [front] = &front[..] else { panic!("request {n}: {} spans of the front", front.len()) };
        let (route, name) = match tells.routes {
            true => (format!("/{path}/"), format!("GET /{path}/")),
            false => (String::new(), "GET".to_owned()),
        };
        assert_eq!((front.name.as_str(), text(front, "http.route")), (name.as_str(), route.as_str()));
        assert_eq!((front.source, front.service.as_str()), (Source::Uprobe, "unwoven"));
        assert_eq!(text(front, "url.path"), format!("/{path}/"));
        assert_eq!((text(front, "client.address"), number(front, "server.port")), ("127.0.0.1", Some(80)));
        assert_eq!((text(front, "network.protocol.version"), text(front, "url.scheme")), ("1.1", "http"));
        assert_eq!(number(front, "http.response.status_code"), Some(if path == "fail" { 418 } else { 200 }));
        let remote = (n % 8 == 0).then(|| format!("{:016x}", n + 1));
        assert_eq!(front.parent_span_id.map(|id| id.to_string()), remote, "request {n}");
        assert_eq!(text(front, "tandem.parent.source"), if remote.is_some() { "remote" } else { "" });
        if remote.is_some() {
            assert_eq!(front.trace_id.to_string(), format!("{:032x}", n + 1));
        }
        let queried = queries.remove(&front.span_id).unwrap_or_default();
        let said: Vec<_> = queried.iter().map(|query| (query.name.as_str(), text(query, "db.query.text"))).collect();
        let expected = match path {
            "direct" => &[("SELECT items", "SELECT name FROM items WHERE id = ?")][..],
            "fail" => &[("DELETE items", "DELETE FROM items WHERE id = ?")],
            _ => &[],
        };
        assert_eq!(said, expected, "request {n}");
        for query in &queried {
            assert_eq!((query.trace_id, text(query, "tandem.parent.source")), (front.trace_id, "explicit"));
            assert_eq!((query.kind, query.status.code == StatusCode::Error), (Kind::Client, path == "fail"));
        }
        if path == "fail" {
            assert!(calls.is_empty() && back.is_empty(), "request {n} calls nobody");
            continue;
        }
        let [call] = &calls[..] else { panic!("request {n}: {} calls", calls.len()) };
        let [back] = &back[..] else { panic!("request {n}: {} spans of the back", back.len()) };
        let how = ["goroutine", "explicit", "ancestor"][n as usize % PATHS.len()];
        let (how, parent) = match how == "ancestor" && !tells.ancestors {
            true => ("", None),
            false => (how, Some((front.span_id, front.trace_id))),
        };
        assert_eq!(call.parent_span_id.map(|id| (id, call.trace_id)), parent, "request {n} by {path}");
        assert_eq!(text(call, "tandem.parent.source"), how, "request {n}");
        assert_eq!(text(call, "url.full"), format!("http://{}/{path}?{n}", program.back));
        assert_eq!((text(call, "server.address"), number(call, "server.port")), ("127.0.0.1", port.parse().ok()));
        let status = if n == 0 { 503 } else { 200 };
        for span in [call, back] {
            assert_eq!(number(span, "http.response.status_code"), Some(status), "{span:?}");
            assert_eq!(span.status.code == StatusCode::Error, n == 0, "{span:?}");
        }
        assert!(front.start_unix_nano <= call.start_unix_nano && call.duration_ns <= front.duration_ns);
        assert_eq!((back.parent_span_id, back.trace_id), (Some(call.span_id), call.trace_id), "request {n}");
        assert_eq!(text(back, "tandem.parent.source"), "remote", "request {n}");
    }
    assert!(requests.is_empty() && queries.is_empty(), "{requests:?} {queries:?}");
}

/// Scenario: the program as it comes, without symbols, position-independent; each serves requests, some at once. Guarantees:
/// one span an operation, parents by goroutine, by context and by ancestor, a `traceparent` among few and many headers.
#[test]
fn every_operation_is_one_span_with_its_parent() {
    let test = "unwoven every_operation_is_one_span_with_its_parent";
    if is_skipped(test) {
        return;
    }
    for arguments in [&[][..], &["-ldflags=-s -w"], &["-buildmode=pie"]] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let mut program = Program::start(&built(folder.path(), arguments));
        let attached = Attached::to(&program.process.id().to_string());
        program.serve(240, 8);
        check(attached.finish(), &program, 240);
        // It goes on without its probes, and is observed again.
        program.serve(8, 1);
        let attached = Attached::to(&format!(":{}", program.front.rsplit_once(':').expect("a port").1));
        program.serve(8, 1);
        check(attached.finish(), &program, 8);
    }
}

/// Scenario: the program as older and newer versions of Go build it. Guarantees: the same spans; calls on goroutines of their own
/// have parents from Go 1.21 on, requests routes from 1.23 on.
#[test]
#[ignore = "make test-go-versions"]
fn programs_of_every_go_are_observed() {
    let test = "unwoven programs_of_every_go_are_observed";
    if is_skipped(test) {
        return;
    }
    let versions = std::env::var("TANDEM_GO_VERSIONS");
    let versions = versions.as_deref().unwrap_or("go1.18.10 go1.20.14 go1.21.13 go1.23.12 go1.24.13 local");
    for version in versions.split_whitespace() {
        println!("{version}");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let mut program = Program::start(&built_by(version, folder.path(), &["-ldflags=-s -w"]));
        let attached = Attached::to(&program.process.id().to_string());
        program.serve(48, 4);
        check_with(attached.finish(), &program, 48, Tells::of(version));
    }
}

/// Scenario: requests with bodies, kept alive, some of which name a trace of their own; then the same where nothing may be
/// inserted. Guarantees: what has no traceparent gets one, once, and nothing else of it changes; what has one is left alone;
/// the other end knows its parent either way.
#[test]
fn requests_name_their_trace() {
    let test = "unwoven requests_name_their_trace";
    if is_skipped(test) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let mut program = Program::start(&built(folder.path(), &[]));
    let pid = program.process.id().to_string();
    for (arguments, how, headers) in
        [(&[pid.as_str()][..], "remote", 1), (&[pid.as_str(), "--no-propagation"], "connection", 0)]
    {
        let attached = Attached::with(arguments);
        program.serve_at(&["post", "own"], 60, 4);
        let requests = by_request(attached.finish());
        assert_eq!(requests.len(), 60);
        for (n, [front, calls, back]) in requests {
            let ([front], [call], [back]) = (&front[..], &calls[..], &back[..]) else {
                panic!("request {n}: {} spans, {} calls, {} of the back", front.len(), calls.len(), back.len());
            };
            assert_eq!((call.parent_span_id, call.trace_id), (Some(front.span_id), front.trace_id), "request {n}");
            let own = n % 2 == 1;
            let seen = if own { 1 } else { headers };
            assert_eq!(number(front, "http.response.status_code"), Some(230 + seen), "request {n}");
            let parent = match own {
                true => (format!("{:0>32}", format!("a{n}")), format!("{:0>16}", format!("b{n}"))),
                false => (call.trace_id.to_string(), call.span_id.to_string()),
            };
            let actual = (back.trace_id.to_string(), back.parent_span_id.map(|id| id.to_string()).unwrap_or_default());
            assert_eq!(actual, parent, "request {n}");
            assert_eq!(text(back, "tandem.parent.source"), if own { "remote" } else { how }, "request {n}");
        }
    }
}

/// Scenario: a server and a client that speak HTTP/2. Guarantees: one span each, which says so.
#[test]
fn http2_is_seen_at_both_ends() {
    let test = "unwoven http2_is_seen_at_both_ends";
    if is_skipped(test) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let mut program = Program::start(&built(folder.path(), &[]));
    let attached = Attached::to(&program.process.id().to_string());
    program.serve_at(&["h2"], 40, 8);
    let requests = by_request(attached.finish());
    assert_eq!(requests.len(), 40);
    for (n, [front, calls, back]) in requests {
        let ([front], [call], [back]) = (&front[..], &calls[..], &back[..]) else {
            panic!("request {n}: {} spans, {} calls, {} of the back", front.len(), calls.len(), back.len());
        };
        assert_eq!((call.parent_span_id, call.trace_id), (Some(front.span_id), front.trace_id), "request {n}");
        assert_eq!((text(back, "network.protocol.version"), back.parent_span_id), ("2", None));
        let status = Some(if n == 0 { 503 } else { 200 });
        assert_eq!([call, back].map(|span| number(span, "http.response.status_code")), [status; 2], "request {n}");
    }
}

/// Scenario: a program that was woven but for its client calls and its database. Guarantees: what it records itself nobody
/// else does, what it leaves is seen, under the woven span that its goroutine is in: no operation twice, none missing.
#[test]
fn a_woven_program_is_completed() {
    let test = "unwoven a_woven_program_is_completed";
    if is_skipped(test) {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(target).expect("the target folder can be written");
    for file in ["go.mod", "main.go", "http2.go"] {
        fs::copy(Path::new(SOURCE).join(file), folder.path().join(file)).expect("a copy");
    }
    fs::write(folder.path().join("tandem.yaml"), "disable: [net/http.client, database/sql]\n").expect("a file");
    let woven = Command::new(TANDEM)
        .args(["go", "build", "-o", "woven", "."])
        .current_dir(folder.path())
        .env("TANDEM_CACHE", target.join("cache"))
        .output()
        .expect("tandem starts");
    assert!(woven.status.success(), "tandem go build: {}", String::from_utf8_lossy(&woven.stderr));
    let (path, socket) = (folder.path().join("woven"), folder.path().join("agent.sock"));
    let mut agent = Command::new(TANDEM)
        .args(["agent", "--observe"])
        .arg(&path)
        .arg("--socket")
        .arg(&socket)
        .arg("--store")
        .arg(folder.path().join("store"))
        .arg(format!("--json={}", folder.path().join("spans").display()))
        .spawn()
        .expect("tandem starts");
    wait_for("the agent listens", || socket.exists());
    let mut program = Program::start_under(&path, Some(&socket));
    wait_for("the program is observed", || links(agent.id()).len() == 5);
    program.serve_at(&["direct", "child", "fail"], 60, 4);
    // A span of the front ends after its answer was sent, which is when the program says that it is done.
    let written = || fs::read_to_string(folder.path().join("spans")).unwrap_or_default();
    wait_for("60 requests and 40 queries, calls and answers to them", || written().lines().count() >= 180);
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
        .expect("it runs");
    assert!(agent.wait().expect("it is ours").success());
    let spans = written();
    let spans: Vec<Span> = spans.lines().map(|line| serde_json::from_str(line).expect("a span")).collect();
    let queries: Vec<_> = spans.iter().filter(|span| span.scope == "tandem/database/sql").collect();
    assert_eq!(queries.len(), 40);
    for query in &queries {
        assert_eq!((text(query, "tandem.parent.source"), query.source), ("woven", Source::Uprobe), "{query:?}");
    }
    let fronts: Vec<SpanId> = spans.iter().filter(|span| span.kind == Kind::Server).map(|span| span.span_id).collect();
    assert!(queries.iter().all(|query| query.parent_span_id.is_some_and(|parent| fronts.contains(&parent))));
    let requests = by_request(spans);
    assert_eq!(requests.len(), 60);
    for (n, [front, calls, back]) in requests {
        let [front] = &front[..] else { panic!("request {n}: {} spans", front.len()) };
        assert_eq!(front.source, Source::Woven);
        assert_eq!([calls.len(), back.len()], [usize::from(n % 3 != 2); 2], "request {n}");
        for call in calls {
            assert_eq!((call.source, text(&call, "tandem.parent.source")), (Source::Uprobe, "woven"));
            assert_eq!((call.parent_span_id, call.trace_id), (Some(front.span_id), front.trace_id));
            // The woven half at the other end takes the trace up.
            assert!(
                back.iter().all(|back| back.parent_span_id == Some(call.span_id) && back.trace_id == call.trace_id)
            );
        }
        assert!(back.iter().all(|back| back.source == Source::Woven));
    }
}

/// Scenario: the kernel counts the requests of a woven program that tells of all, half of them sampled, and of one that tells of none.
/// Guarantee: both counts are exact.
#[test]
fn the_kernel_audits_what_is_told() {
    if is_skipped("unwoven the_kernel_audits_what_is_told") {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(target).expect("the target folder can be written");
    let path = folder.path().join("audited");
    let woven = Command::new(TANDEM)
        .args(["go", "build", "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(SOURCE)
        .env("TANDEM_CACHE", target.join("cache"))
        .output()
        .expect("tandem starts");
    assert!(woven.status.success(), "tandem go build: {}", String::from_utf8_lossy(&woven.stderr));
    let sampled = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
    let silent = [("OTEL_GO_DISABLED_INSTRUMENTATIONS", "nethttp")];
    for (environment, told, said) in [
        (&sampled[..], 100, "tandem: unknown_service:audited: all of 100 requests that the kernel saw are told"),
        (
            &silent[..],
            0,
            "tandem: warning: unknown_service:audited: of 100 requests that the kernel saw 0 are told (0.00 %)",
        ),
    ] {
        let socket = folder.path().join("agent.sock");
        let mut agent = Command::new(TANDEM)
            .args(["agent", "--metrics", "127.0.0.1:0", "--observe"])
            .arg(&path)
            .arg("--socket")
            .arg(&socket)
            .arg("--store")
            .arg(folder.path().join("store"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("tandem starts");
        let mut lines = BufReader::new(agent.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut line_with = |text: &str| lines.find(|line| line.contains(text)).expect("the agent says it");
        let line = line_with("metrics at http://");
        let metrics = line.rsplit_once("http://").and_then(|(_, url)| url.split('/').next()).expect("an address");
        wait_for("the agent listens", || socket.exists());
        let mut program = Program::start_with(&path, Some(&socket), environment);
        wait_for("its sockets are looked at", || {
            get(metrics, "/metrics").contains("tandem_requests_seen_total{service=")
        });
        program.serve_at(&["direct", "child", "fail"], 60, 4);
        // A span ends when the client has its response already.
        let service = "unknown_service:audited";
        let counted =
            |which: &str, count: u32| format!("tandem_requests_{which}_total{{service=\"{service}\"}} {count}\n");
        wait_for("all is counted", || {
            let metrics = get(metrics, "/metrics");
            metrics.contains(&counted("seen", 100)) && metrics.contains(&counted("told", told))
        });
        drop(program);
        rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
            .expect("it runs");
        assert_eq!(line_with("that the kernel saw"), said);
        assert!(agent.wait().expect("it is ours").success());
    }
}

/// What the kernel has of the probes of a process: the links that its descriptors hold.
fn links(pid: u32) -> Vec<String> {
    let facts = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs").flatten();
    let links = facts.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let links = links.filter(|facts| facts.contains("link_type:\tuprobe_multi"));
    links
        .filter_map(|facts| Some(facts.lines().find_map(|line| line.strip_prefix("link_id:"))?.trim().to_owned()))
        .collect()
}

/// Scenario: an agent is killed while it observes. Guarantees: none of its links is left in the kernel, and the program serves
/// on.
#[test]
fn a_killed_agent_leaves_nothing() {
    let test = "unwoven a_killed_agent_leaves_nothing";
    if is_skipped(test) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let mut program = Program::start(&built(folder.path(), &[]));
    let mut attached = Attached::to(&program.process.id().to_string());
    program.serve(16, 4);
    let own = links(attached.process.id());
    assert!(!own.is_empty(), "it holds links");
    attached.process.kill().expect("it runs");
    attached.process.wait().expect("it is ours");
    let left = || all_links().into_iter().any(|id| own.contains(&id.to_string()));
    wait_for("its links go away", || !left());
    program.serve(16, 4);
    assert_eq!(program.process.try_wait().expect("it is ours"), None);
}

/// The ids of all links in the kernel.
fn all_links() -> Vec<u32> {
    libbpf_rs::query::LinkInfoIter::default().map(|link| link.id).collect()
}

/// Scenario: a handler panics, another one takes its connection over. Guarantees: each request has a span that says so, and
/// later requests are not mixed up with them.
#[test]
fn a_panic_ends_its_span() {
    let test = "unwoven a_panic_ends_its_span";
    if is_skipped(test) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let mut program = Program::start(&built(folder.path(), &[]));
    let attached = Attached::to(&program.process.id().to_string());
    let ask = |request: &str| {
        let mut connection = TcpStream::connect(&program.front).expect("it listens");
        write!(connection, "{request} HTTP/1.1\r\nHost: front.example\r\n\r\n").expect("a connection");
        let mut answer = String::new();
        let _ = connection.read_to_string(&mut answer); // a panic ends it, too
        answer
    };
    assert_eq!([ask("BREW /panic/?7"), ask("GET /taken/?8")], ["", "mine"]);
    program.serve(8, 1);
    let (taken, spans): (Vec<Span>, Vec<Span>) =
        attached.finish().into_iter().partition(|span| text(span, "url.path") == "/taken/");
    let [span] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!((span.name.as_str(), span.status.code), ("GET /taken/", StatusCode::Unset));
    assert_eq!(number(span, "http.response.status_code"), None);
    let (panicked, spans): (Vec<Span>, Vec<Span>) =
        spans.into_iter().partition(|span| text(span, "url.path") == "/panic/");
    let [span] = &panicked[..] else { panic!("{panicked:?}") };
    assert_eq!((span.name.as_str(), text(span, "error.type")), ("_OTHER /panic/", "panic"));
    assert_eq!((text(span, "http.request.method_original"), span.status.code), ("BREW", StatusCode::Error));
    assert_eq!(number(span, "http.response.status_code"), None);
    check(spans, &program, 8);
}

/// What cannot be observed is said in a line: what, why, and what to do.
#[test]
fn what_cannot_be_observed_is_explained() {
    let test = "unwoven what_cannot_be_observed_is_explained";
    if is_skipped(test) {
        return;
    }
    let attach = |program: &str| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let output = Command::new(TANDEM).args(["attach", program, "--no-ui", "--store"]).arg(folder.path()).output();
        let output = output.expect("tandem starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    let said = attach("no-program-is-called-so");
    assert!(said.contains("there is no program called no-program-is-called-so"), "{said}");
    let doctor = Command::new(TANDEM).args(["doctor", "--observe", "/bin/sleep"]).output().expect("tandem starts");
    let said = String::from_utf8_lossy(&doctor.stderr);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(said.contains("was not built by the go command"), "{said}");
}
