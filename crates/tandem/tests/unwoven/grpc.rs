//! Programs that call each other by grpc; `grpc/` is both of them. Each call's method says which request it was made for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use model::{Kind, Source, Span, StatusCode};

use super::{Attached, TANDEM, built_from, is_skipped, links, number, text, wait_for};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unwoven/grpc");

/// One of the two while it runs. Dropped, it ends.
struct End {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: String,
}

impl End {
    fn start(program: &Path, arguments: &[&str], socket: Option<&Path>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("OTEL_SERVICE_NAME", arguments[0]);
        command.envs(socket.map(|socket| ("TANDEM_SOCKET", socket)));
        let mut process = command.spawn().expect("it starts");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut end = Self { process, input, output, address: String::new() };
        end.address = end.line();
        end
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints");
        line.trim_end().to_owned()
    }

    /// Has the front serve so many requests, so many at once, at paths that take turns.
    fn serve(&mut self, count: usize, at_once: usize, paths: &[&str]) {
        writeln!(self.input, "{count} {at_once} {}", paths.join(",")).expect("it reads");
        assert_eq!(self.line(), "done");
    }

    fn port(&self) -> Option<i64> {
        self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The spans of one request.
#[derive(Default)]
struct Request {
    front: Vec<Span>,
    /// Calls of the front, and what the back serves, by method without the number.
    calls: BTreeMap<(String, Side), Vec<Span>>,
}

/// One end of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Client,
    Server,
}

impl Request {
    /// What there is of a method at one end, the first begun first.
    fn of(&self, method: &str, kind: Side) -> Vec<&Span> {
        let mut spans: Vec<&Span> = self.calls.get(&(method.to_owned(), kind)).into_iter().flatten().collect();
        spans.sort_by_key(|span| span.start_unix_nano);
        spans
    }
}

fn by_request(spans: Vec<Span>) -> BTreeMap<usize, Request> {
    let mut requests: BTreeMap<usize, Request> = BTreeMap::new();
    for span in spans {
        match (span.scope.as_str(), span.kind) {
            ("tandem/net/http", Kind::Server) => {
                let number = text(&span, "url.query").parse().expect("a number");
                requests.entry(number).or_default().front.push(span);
            }
            ("tandem/google.golang.org/grpc", kind) => {
                let method = ["rpc.method_original", "rpc.method"].map(|key| text(&span, key));
                let method = method.into_iter().find(|method| !method.is_empty()).expect("a method");
                let (name, number) = method.rsplit_once("/Call").expect("one of ours");
                let kind = if kind == Kind::Client { Side::Client } else { Side::Server };
                let (name, number) = (name.to_owned(), number.parse().expect("a number"));
                requests.entry(number).or_default().calls.entry((name, kind)).or_default().push(span);
            }
            // The load generator writes its requests itself; only its socket is seen.
            ("tandem/socket", _) if text(&span, "url.full").starts_with("http://front.example/") => {}
            _ => panic!("nobody has done this: {span:?}"),
        }
    }
    requests
}

/// In one of these ways.
fn is_child(child: &Span, parent: &Span, ways: &[&str]) {
    assert_eq!((child.parent_span_id, child.trace_id), (Some(parent.span_id), parent.trace_id), "{child:?} {parent:?}");
    assert!(ways.contains(&text(child, "tandem.parent.source")), "{child:?}");
}

/// Checks all spans of requests by the paths.
fn check(spans: Vec<Span>, back: &End, count: usize, paths: &[&str]) {
    let mut requests = by_request(spans);
    assert_eq!(requests.len(), count);
    for n in 0..count {
        let request = requests.remove(&n).expect("every request was seen");
        let path = paths[n % paths.len()];
        let [front] = &request.front[..] else { panic!("request {n}: {} spans of the front", request.front.len()) };
        let service = service(path);
        let expected = match path {
            "nowhere" => "UNAVAILABLE",
            "unknown" => "UNIMPLEMENTED",
            "late" => "CANCELLED",
            "unary" | "pool" | "own" | "fresh" if n % 10 == 3 => "NOT_FOUND",
            _ => "OK",
        };
        let calls = request.of(service, Side::Client);
        let [call] = &calls[..] else { panic!("request {n} by {path}: {} calls", calls.len()) };
        is_child(call, front, &["explicit"]);
        assert_eq!((call.name.as_str(), call.source), (format!("{service}/Call{n}").as_str(), Source::Uprobe));
        assert_eq!(text(call, "rpc.method"), format!("{service}/Call{n}"));
        assert_eq!((text(call, "rpc.system.name"), text(call, "server.address")), ("grpc", "127.0.0.1"));
        assert_eq!(text(call, "rpc.response.status_code"), expected, "request {n} by {path}");
        assert_eq!(call.status.code == StatusCode::Error, expected != "OK");
        assert!(front.start_unix_nano <= call.start_unix_nano && call.duration_ns <= front.duration_ns);
        let served = request.of(service, Side::Server);
        match path {
            "nowhere" | "late" => {
                assert_eq!((number(call, "network.peer.port"), served.len()), (None, 0), "request {n} by {path}");
                continue;
            }
            "twice" => assert_eq!(served.len(), 2, "request {n}"), // one call, which is sent twice
            _ => assert_eq!(served.len(), 1, "request {n} by {path}"),
        }
        let peer = |span| (text(span, "network.peer.address").to_owned(), number(span, "network.peer.port"));
        assert_eq!((peer(call), number(call, "server.port")), (("127.0.0.1".to_owned(), back.port()), back.port()));
        for served in served {
            match path {
                "own" => {
                    let own = (format!("{:0>32}", format!("a{n}")), format!("{:0>16}", format!("b{n}")));
                    let parent = served.parent_span_id.map(|id| id.to_string()).unwrap_or_default();
                    assert_eq!((served.trace_id.to_string(), parent), own);
                    assert_eq!(text(served, "tandem.parent.source"), "remote");
                }
                // By one that is seen from its beginning: the call says so itself, unless it was sent too soon.
                "fresh" | "large" => is_child(served, call, &["remote", "connection"]),
                _ => is_child(served, call, &["connection"]),
            }
            let (name, method) = match path {
                "unknown" => ("grpc".to_owned(), "_OTHER".to_owned()),
                _ => (format!("{service}/Call{n}"), format!("{service}/Call{n}")),
            };
            assert_eq!((served.name.as_str(), text(served, "rpc.method")), (name.as_str(), method.as_str()));
            assert_eq!(text(served, "rpc.response.status_code"), expected);
            // What the caller did wrong is no fault of the server.
            assert_eq!(served.status.code == StatusCode::Error, expected == "UNIMPLEMENTED");
            assert_eq!((text(served, "server.address"), number(served, "server.port")), ("127.0.0.1", back.port()));
            assert_eq!(peer(served).0, "127.0.0.1");
            if service == "unwoven.Unary" && n % 10 == 7 {
                let inner = [Side::Client, Side::Server].map(|kind| request.of("unwoven.Inner", kind));
                let ([asked], [answered]) = (&inner[0][..], &inner[1][..]) else { panic!("request {n}: {inner:?}") };
                is_child(asked, served, &["explicit"]);
                is_child(answered, asked, &["connection"]);
            }
        }
    }
    assert!(requests.is_empty());
}

/// Whose methods a path calls.
fn service(path: &str) -> &'static str {
    match path {
        "stream" => "unwoven.Stream",
        "unknown" => "unwoven.Unknown",
        "twice" => "unwoven.Inner",
        "large" => "unwoven.Large",
        _ => "unwoven.Unary",
    }
}

/// Of `probe::uprobe`: those on servers and clients.
const GRPC_PROGRAMS: usize = 9;
const ORDINARY: [&str; 3] = ["unary", "pool", "stream"];
const FRESH: [&str; 2] = ["fresh", "large"];
const STRANGE: [&str; 5] = ["own", "nowhere", "unknown", "late", "twice"];
/// Those that can be where no interceptor is.
const DIRECT: &[&str] = STRANGE.split_at(4).0;

fn observe(program: &Path, strange: &[&str]) {
    let back = End::start(program, &["back"], None);
    let mut front = End::start(program, &["front", &back.address], None);
    for (count, at_once, paths) in
        [(600, 200, &ORDINARY[..]), (30, 1, &ORDINARY[..]), (50, 5, strange), (40, 8, &FRESH[..])]
    {
        let attached = Attached::until("observing 2 programs", &[program.to_str().expect("a path")]);
        front.serve(count, at_once, paths);
        check(attached.finish(), &back, count, paths);
    }
}

/// Scenario: one program calls another, 200 at once by one connection, which was made before anybody looked: unary calls, on
/// the handler's goroutine and a pool's, and streams; calls that fail, in every way; calls that an interceptor makes twice, or
/// that name a trace of their own; the same without interceptors, where calls end elsewhere. Guarantees: each is one span at either end, with what the woven half would say of it; a
/// client's hangs under the request whose context it was given, a server's under the client's.
#[test]
fn calls_have_their_parents() {
    if is_skipped("unwoven grpc::calls_have_their_parents") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    observe(&built_from(Path::new(SOURCE), "", folder.path(), &["-ldflags=-s -w"]), &STRANGE);
    observe(&built_from(Path::new(SOURCE), "", folder.path(), &["-ldflags=-s -w", "-tags=direct"]), DIRECT);
}

/// Scenario: the same with older versions of grpc. Guarantees: the same.
#[test]
#[ignore = "make test-go-versions"]
fn calls_of_every_grpc_have_their_parents() {
    if is_skipped("unwoven grpc::calls_of_every_grpc_have_their_parents") {
        return;
    }
    for version in ["v1.46.2", "v1.50.0", "v1.60.0", "v1.68.1", "v1.70.0", "v1.80.0"] {
        println!("{version}");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        copy_to(folder.path());
        let required =
            format!("module example.com/unwoven/grpc\n\ngo 1.21\n\nrequire google.golang.org/grpc {version}\n");
        fs::write(folder.path().join("go.mod"), required).expect("a file");
        let tidied = Command::new("go").args(["mod", "tidy"]).current_dir(folder.path()).output().expect("go starts");
        assert!(tidied.status.success(), "go mod tidy: {}", String::from_utf8_lossy(&tidied.stderr));
        observe(&built_from(folder.path(), "", folder.path(), &[]), &STRANGE);
        observe(&built_from(folder.path(), "", folder.path(), &["-tags=direct"]), DIRECT);
    }
}

fn copy_to(folder: &Path) {
    for file in ["go.mod", "go.sum", "main.go", "interceptors.go", "direct.go"] {
        fs::copy(Path::new(SOURCE).join(file), folder.join(file)).expect("a copy");
    }
}

/// Scenario: the calling program is woven, the called one is not; and both are woven but for grpc. Guarantees: what a program
/// records itself nobody else does; the trace goes on at an end that is observed, under the span that the woven end had.
#[test]
fn a_woven_end_is_completed() {
    if is_skipped("unwoven grpc::a_woven_end_is_completed") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let plain = built_from(Path::new(SOURCE), "", folder.path(), &["-ldflags=-s -w"]);
    let [woven, without] = ["", "disable: [grpc]\n"].map(|configuration| woven(folder.path(), configuration));
    let ordinary = &ORDINARY[..];
    for (front, back, observed, sources, ways, probes, paths) in [
        (&woven, &plain, &plain, [Source::Woven, Source::Uprobe], ["", "remote"], 1, ordinary),
        (&without, &without, &without, [Source::Uprobe; 2], ["woven", "connection"], 2, ordinary),
        (&plain, &woven, &plain, [Source::Uprobe, Source::Woven], ["explicit", ""], 1, &FRESH),
    ] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let (socket, said) = (folder.path().join("agent.sock"), folder.path().join("spans"));
        let mut agent = Command::new(TANDEM)
            .args(["agent", "--no-ui", "--observe"])
            .arg(observed)
            .arg("--socket")
            .arg(&socket)
            .arg("--store")
            .arg(folder.path().join("store"))
            .arg(format!("--json={}", said.display()))
            .spawn()
            .expect("tandem starts");
        wait_for("the agent listens", || socket.exists());
        let back = End::start(back, &["back"], Some(&socket));
        let mut front = End::start(front, &["front", &back.address], Some(&socket));
        // Those of grpc come first in each process, with a link for each program of the kernel's.
        wait_for("both are observed", || links(agent.id()).len() >= GRPC_PROGRAMS * probes);
        front.serve(60, 20, paths);
        rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
            .expect("it runs");
        assert!(agent.wait().expect("it is ours").success());
        let spans = fs::read_to_string(said).expect("spans");
        let spans: Vec<Span> = spans.lines().map(|line| serde_json::from_str(line).expect("a span")).collect();
        let mut requests = by_request(spans.into_iter().filter(|span| span.scope != "tandem/process").collect());
        for n in 0..60 {
            let path = paths[n % paths.len()];
            let request = requests.remove(&n).expect("every request was seen");
            let [calls, served] = [Side::Client, Side::Server].map(|side| request.of(service(path), side));
            let ([front], [call], [served]) = (&request.front[..], &calls[..], &served[..]) else {
                panic!("request {n}: {:?}, {calls:?}, {served:?}", request.front)
            };
            assert_eq!([call.source, served.source], sources);
            // The goroutine of a pool is in no woven span, and which one its context is of only the woven half knows.
            if path == "pool" && ways[0] == "woven" {
                continue;
            }
            is_child(call, front, &[ways[0]]);
            is_child(served, call, &[ways[1]]);
        }
    }
}

/// Builds the program with hooks.
fn woven(folder: &Path, configuration: &str) -> PathBuf {
    let source = folder.join(format!("woven-{}", configuration.len()));
    fs::create_dir(&source).expect("a folder");
    copy_to(&source);
    fs::write(source.join("tandem.yaml"), configuration).expect("a file");
    let output = Command::new(TANDEM)
        .args(["go", "build", "-o", "unwoven", "."])
        .current_dir(&source)
        .env("TANDEM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
        .output()
        .expect("tandem starts");
    assert!(output.status.success(), "tandem go build: {}", String::from_utf8_lossy(&output.stderr));
    source.join("unwoven")
}
