//! Programs of any language, observed by what they say on their sockets: real servers and real clients, from outside.
//!
//! Guarantees: every exchange is one span of who asked and one of who answered, joined; with the attributes that a woven
//! program's span would have; nothing that is secret; connections that are older than the look included. Needs the
//! privileges for the sockets' probe, and of each server and client that it is there.

#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod golang;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod rig;
#[path = "../packs/servers/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of packs, which use all of it")]
mod servers;
#[path = "../e2e/spans.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod spans;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{ChildStdin, Command};

use model::{Kind, Source, Span, SpanId};
use rustix::process::Signal;

use rig::{LIMIT, Rig, Running, eventually, program, run};
use servers::Missing;
use spans::{attribute, is_error, kind};
use support::skip;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sockets/programs");
const SECRET: &str = "s3cr3t";

/// Whether this machine lacks something; then the test has been counted as skipped.
fn is_skipped(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing = programs.iter().find(|name| !there(name)).map(|name| format!("there is no {name} in PATH"));
    let why = probe::features::require_sockets().err().map(|error| error.to_string()).or(missing);
    if let Some(why) = &why {
        skip(test, why);
    }
    why.is_some()
}

fn script(interpreter: &str, file: &str) -> Command {
    let mut command = program(interpreter);
    command.arg(format!("{PROGRAMS}/{file}"));
    command
}

/// A program that prints the port at which it listens.
fn listening(command: &mut Command) -> (Running, u16) {
    let mut running = Running::start(command);
    let port = running.stdout_line(|line| line.trim().parse().ok());
    (running, port)
}

/// `tandem attach` while it runs.
struct Attached {
    rig: Rig,
    tandem: Running,
}

impl Attached {
    /// Attaches to processes, and waits until all of them are observed.
    fn to(processes: &[i32]) -> Self {
        let rig = Rig::new();
        let mut command = rig.observe("attach");
        command.args(processes.iter().map(ToString::to_string));
        let mut tandem = Running::start(&mut command);
        let all = if processes.len() == 1 {
            "observing 1 program".to_owned()
        } else {
            format!("observing {} programs", processes.len())
        };
        tandem.stderr_line(|line| line.contains(&all).then_some(()));
        Self { rig, tandem }
    }

    /// Waits until there are so many spans of a kind, ends it, and returns all of them by their start.
    fn spans(self, count: usize, fits: impl Fn(&Span) -> bool) -> Vec<Span> {
        let there =
            eventually(LIMIT, || (self.rig.spans().iter().filter(|span| fits(span)).count() >= count).then_some(()));
        self.tandem.signal(Signal::INT);
        let finished = self.tandem.finish();
        let mut spans = self.rig.spans();
        assert!(there.is_some(), "{finished}\n{spans:#?}");
        assert_eq!(finished.code, 0, "{finished}");
        assert!(!finished.stderr.contains("was lost"), "{finished}");
        assert!(spans.iter().all(|span| span.source == Source::Socket));
        assert!(!format!("{spans:?}").contains(SECRET), "{spans:#?}");
        spans.sort_by_key(|span| span.start_unix_nano);
        spans
    }
}

/// What of a span people read first: `client SELECT items error 42P01`.
fn summary(span: &Span) -> String {
    let error = if is_error(span) { format!(" error {}", attribute(span, "error.type")) } else { String::new() };
    format!("{} {}{error}", kind(span.kind), span.name)
}

fn summaries<'a>(spans: &'a [Span], kind: Kind) -> Vec<String> {
    spans.iter().filter(|span: &&'a Span| span.kind == kind).map(summary).collect()
}

/// Each span of a server hangs under the client's that asked.
fn assert_joined(spans: &[Span]) {
    for server in spans.iter().filter(|span| span.kind == Kind::Server) {
        let parent: Option<SpanId> = server.parent_span_id;
        let client = spans.iter().find(|span| Some(span.span_id) == parent && span.trace_id == server.trace_id);
        let client = client.unwrap_or_else(|| panic!("nobody asked {server:#?}: {spans:#?}"));
        assert_ne!(client.kind, Kind::Server);
        assert_eq!(attribute(server, "tandem.parent.source"), "connection");
        assert!(client.start_unix_nano <= server.start_unix_nano, "{client:#?} {server:#?}");
    }
}

fn say(stdin: &mut ChildStdin, line: &str) {
    writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads");
}

/// Starts a server of the tests of packs, or counts the test as skipped.
fn server_or_skip(test: &str, name: &str) -> Option<servers::Server> {
    match servers::start(name) {
        Ok(server) => Some(server),
        Err(Missing(why)) => {
            skip(test, &why);
            None
        }
    }
}

/// The port of `…127.0.0.1:PORT…` in what a server says of itself.
fn port(server: &servers::Server) -> String {
    let (_, value) = server.environment.first().expect("it says where it is");
    let digits = value.split("127.0.0.1:").nth(1).expect("an address");
    digits.chars().take_while(char::is_ascii_digit).collect()
}

/// Scenario: curl asks a server in Python, which asks another one. Guarantees: a trace of three spans whose parents are the
/// request's header, the thread that serves, and the connection; bodies that were not copied do not matter.
#[test]
fn http_of_python() {
    if is_skipped("sockets http_of_python", &["python3", "curl"]) {
        return;
    }
    let (inner, inner_port) = listening(&mut script("python3", "server.py"));
    let (outer, port) = listening(script("python3", "server.py").arg(format!("http://127.0.0.1:{inner_port}")));
    let attached = Attached::to(&[inner.pid(), outer.pid()]);
    let curl = |arguments: &[&str], path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let finished = run(program("curl").arg("-s").args(arguments).arg(url), LIMIT);
        assert_eq!(finished.code, 0, "{finished}");
    };
    curl(&["-H", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], "/call");
    curl(&[], &format!("/large?token={SECRET}&page=2"));
    curl(&[], "/broken");
    curl(&["-d", SECRET], "/orders");
    let spans = attached.spans(6, |_| true);
    assert_eq!(
        summaries(&spans, Kind::Server),
        ["server GET", "server GET", "server GET", "server GET error 503", "server POST"]
    );
    assert_eq!(summaries(&spans, Kind::Client), ["client GET"]);
    let trace: Vec<_> = spans.iter().filter(|span| span.trace_id.to_string().starts_with("4bf92f35")).collect();
    let found: Vec<_> = trace.iter().map(|span| attribute(span, "tandem.parent.source")).collect();
    assert_eq!(found, ["remote", "thread", "connection"]);
    assert_eq!(trace[0].parent_span_id.map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    assert!(trace.windows(2).all(|pair| pair[1].parent_span_id == Some(pair[0].span_id)), "{trace:#?}");
    assert_eq!(attribute(trace[1], "url.full"), format!("http://127.0.0.1:{inner_port}/inner"));
    let large = spans.iter().find(|span| attribute(span, "url.path") == "/large").expect("one of them");
    let told = [
        "url.query",
        "url.scheme",
        "client.address",
        "server.port",
        "http.response.status_code",
        "network.protocol.version",
    ];
    let told = told.map(|key| attribute(large, key));
    assert_eq!(told, ["token=REDACTED&page=2", "http", "127.0.0.1", &port.to_string(), "200", "1.1"]);
    assert!(attribute(large, "user_agent.original").starts_with("curl/"));
}

/// Scenario: a client in Node, with connections that are kept, and a server in Java. Guarantees: both ends are told and joined.
#[test]
fn http_of_node_and_java() {
    if is_skipped("sockets http_of_node_and_java", &["node", "java"]) {
        return;
    }
    let (server, port) = listening(&mut script("java", "Server.java"));
    let mut client = Running::start(&mut script("node", "client.js"));
    client.stdout_line(|line| (line == "ready").then_some(()));
    let attached = Attached::to(&[server.pid(), client.pid()]);
    let mut stdin = client.stdin();
    for path in ["a", "b", "c"] {
        say(&mut stdin, &format!("http http://127.0.0.1:{port}/{path}"));
        client.stdout_line(|line| (line == "done").then_some(()));
    }
    let spans = attached.spans(6, |_| true);
    assert_eq!(summaries(&spans, Kind::Client), ["client GET"; 3]);
    assert_eq!(summaries(&spans, Kind::Server), ["server GET"; 3]);
    assert_joined(&spans);
}

/// Scenario: gRPC between two programs in Node, with answers that do not fit one segment. Guarantees: method and status, and
/// of what is no gRPC the method and status of HTTP.
#[test]
fn http2_and_grpc_of_node() {
    if is_skipped("sockets http2_and_grpc_of_node", &["node"]) {
        return;
    }
    let (server, port) = listening(script("node", "http2.js").arg("server"));
    let mut client = Running::start(script("node", "http2.js").args(["client", &port.to_string()]));
    client.stdout_line(|line| (line == "ready").then_some(()));
    let attached = Attached::to(&[server.pid(), client.pid()]);
    let mut stdin = client.stdin();
    for line in ["/shop.Cart/Add", "/shop.Cart/Bad", "/shop.Cart/Add", "/plain text/plain"] {
        say(&mut stdin, line);
    }
    client.stdout_line(|line| (line == "done").then_some(()));
    let spans = attached.spans(8, |_| true);
    // They are asked at once.
    let sorted = |kind| {
        let mut all = summaries(&spans, kind);
        all.sort_unstable();
        all
    };
    let expected = ["POST", "shop.Cart/Add", "shop.Cart/Add", "shop.Cart/Bad error INTERNAL"];
    assert_eq!(sorted(Kind::Server), expected.map(|name| format!("server {name}")));
    let expected = ["POST error 404", "shop.Cart/Add", "shop.Cart/Add", "shop.Cart/Bad error INTERNAL"];
    assert_eq!(sorted(Kind::Client), expected.map(|name| format!("client {name}")));
    assert_joined(&spans);
    let codes: Vec<_> = spans.iter().map(|span| attribute(span, "rpc.response.status_code")).collect();
    assert_eq!(codes.iter().filter(|code| *code == "OK").count(), 4, "{codes:?}");
}

/// Scenario: redis-cli, connected before anybody looked, and its server. Guarantees: commands by name, without arguments.
#[test]
fn redis_of_its_own_client() {
    let test = "sockets redis_of_its_own_client";
    if is_skipped(test, &["redis-cli"]) {
        return;
    }
    let Some(server) = server_or_skip(test, "redis") else { return };
    let mut client = Running::start(program("redis-cli").args(["-h", "127.0.0.1", "-p", &port(&server)]));
    let mut stdin = client.stdin();
    say(&mut stdin, "PING");
    client.stdout_line(|line| (line == "PONG").then_some(()));
    let attached = Attached::to(&[client.pid(), server.pids()[0]]);
    for line in [&format!("SET key {SECRET}"), "GET key", "SELECT 3", "INCR n", "LPUSH n 1", "PING"] {
        say(&mut stdin, line);
    }
    client.stdout_line(|line| (line == "PONG").then_some(()));
    let spans = attached.spans(12, |_| true);
    let commands = ["SET", "GET", "SELECT", "INCR", "LPUSH error WRONGTYPE", "PING"];
    assert_eq!(summaries(&spans, Kind::Client), commands.map(|name| format!("client {name}")));
    assert_eq!(summaries(&spans, Kind::Server), commands.map(|name| format!("server {name}")));
    assert_joined(&spans);
    let client =
        |name: &str| spans.iter().find(|span| span.kind == Kind::Client && span.name == name).expect("it is there");
    let told = |span: &Span| {
        ["db.system.name", "db.query.text", "db.namespace", "server.port"].map(|key| attribute(span, key))
    };
    assert_eq!(told(client("SET")), ["redis", "SET ? ?", "0", &port(&server)]);
    assert_eq!(told(client("INCR"))[2], "3");
}

/// Scenario: psql, connected before anybody looked, its server, and a second psql from its first byte on. Guarantees: texts
/// without literals, several statements, errors, COPY, large results, the database's name.
#[test]
fn postgresql_of_its_own_client() {
    let test = "sockets postgresql_of_its_own_client";
    if is_skipped(test, &["psql"]) {
        return;
    }
    let Some(server) = server_or_skip(test, "postgres") else { return };
    let psql = || {
        let mut command = program("psql");
        command.args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", &port(&server), "-U", "pack", "-d", "pack"]);
        command
    };
    let mut client = Running::start(&mut psql());
    let mut stdin = client.stdin();
    // A connection has a process of its own, which alone holds it; later ones come by the first process.
    say(&mut stdin, "SELECT pg_backend_pid();");
    let backend = client.stdout_line(|line| line.parse().ok());
    let attached = Attached::to(&[client.pid(), server.pids()[0], backend]);
    say(&mut stdin, "CREATE TABLE items (id int, name text);");
    say(&mut stdin, &format!("INSERT INTO items VALUES (1, '{SECRET}');"));
    say(&mut stdin, &format!("SELECT id FROM items WHERE name = '{SECRET}' \\; SELECT 2;"));
    say(&mut stdin, "SELECT * FROM nowhere;");
    say(&mut stdin, "COPY items FROM STDIN;\n5\tfive\n\\.");
    say(&mut stdin, "\\o /dev/null\nSELECT repeat('x', 100) FROM generate_series(1, 1000);\n\\o");
    say(&mut stdin, "SELECT 'done';");
    client.stdout_line(|line| (line == "done").then_some(()));
    let second = run(psql().args(["-c", "SELECT count(*) FROM items"]), LIMIT);
    assert_eq!((second.code, second.stdout.trim()), (0, "2"));
    let spans = attached.spans(15, |_| true);
    let statements = [
        "CREATE TABLE items",
        "INSERT items",
        "SELECT items SELECT",
        "SELECT nowhere error 42P01",
        "COPY items",
        "SELECT",
        "SELECT",
    ];
    assert_eq!(summaries(&spans, Kind::Client), statements.map(|name| format!("client {name}")));
    let last = spans.last().expect("spans");
    assert_eq!(summary(last), "server SELECT items");
    let told =
        ["db.namespace", "db.query.text", "db.collection.name", "db.system.name"].map(|key| attribute(last, key));
    assert_eq!(told, ["pack", "SELECT count(*) FROM items", "items", "postgresql"]);
    let (joined, alone): (Vec<_>, Vec<_>) =
        spans.iter().cloned().partition(|span| span.start_unix_nano < last.start_unix_nano);
    assert_eq!(alone.len(), 1);
    assert_joined(&joined);
}

/// Scenario: MariaDB's client, connected before anybody looked, its server, and a second client from its first byte on.
#[test]
fn mysql_of_its_own_client() {
    let test = "sockets mysql_of_its_own_client";
    if is_skipped(test, &["mariadb"]) {
        return;
    }
    let Some(server) = server_or_skip(test, "mariadb") else { return };
    let mariadb = || {
        let mut command = program("mariadb");
        command.args([
            "--no-defaults",
            "--protocol=tcp",
            "--skip-ssl",
            "-h",
            "127.0.0.1",
            "-P",
            &port(&server),
            "-u",
            "pack",
        ]);
        command.args(["-N", "--unbuffered", "--force", "pack"]);
        command
    };
    let mut client = Running::start(&mut mariadb());
    let mut stdin = client.stdin();
    say(&mut stdin, "SELECT 'ready';");
    client.stdout_line(|line| (line == "ready").then_some(()));
    let attached = Attached::to(&[client.pid(), server.pids()[0]]);
    say(&mut stdin, "CREATE TABLE items (id int, name text);");
    say(&mut stdin, &format!("INSERT INTO items VALUES (1, \"{SECRET}\");"));
    say(&mut stdin, &format!("SELECT id FROM items WHERE name = '{SECRET}';"));
    say(&mut stdin, "SELECT * FROM nowhere;");
    say(&mut stdin, "SELECT 'done';");
    client.stdout_line(|line| (line == "done").then_some(()));
    let second = run(mariadb().args(["-e", "SELECT count(*) FROM items"]), LIMIT);
    assert_eq!((second.code, second.stdout.trim()), (0, "1"));
    let spans = attached.spans(11, |_| true);
    let statements = ["CREATE TABLE items", "INSERT items", "SELECT items", "SELECT nowhere error 1146", "SELECT"];
    assert_eq!(summaries(&spans, Kind::Client), statements.map(|name| format!("client {name}")));
    let second = spans
        .iter()
        .rev()
        .find(|span| attribute(span, "db.query.text").contains("count"))
        .expect("the second client's");
    let told =
        ["db.namespace", "db.query.text", "db.collection.name", "db.system.name"].map(|key| attribute(second, key));
    assert_eq!(told, ["pack", "SELECT count(*) FROM items", "items", "mysql"]);
}

/// Scenario: Node asks a name server for a name that there is, and for one that there is not.
#[test]
fn names_of_node() {
    if is_skipped("sockets names_of_node", &["node", "python3"]) {
        return;
    }
    let (server, port) = listening(&mut script("python3", "names.py"));
    let mut client = Running::start(&mut script("node", "client.js"));
    client.stdout_line(|line| (line == "ready").then_some(()));
    let attached = Attached::to(&[server.pid(), client.pid()]);
    let mut stdin = client.stdin();
    say(&mut stdin, &format!("dns shop.example {port}"));
    client.stdout_line(|line| (line == "done").then_some(()));
    say(&mut stdin, &format!("dns no.example {port}"));
    client.stdout_line(|line| (line == "failed").then_some(()));
    let spans = attached.spans(4, |_| true);
    let expected = ["DNS shop.example", "DNS no.example error NXDOMAIN"];
    assert_eq!(summaries(&spans, Kind::Client), expected.map(|name| format!("client {name}")));
    assert_eq!(summaries(&spans, Kind::Server), expected.map(|name| format!("server {name}")));
    assert_joined(&spans);
}

/// Scenario: a client in Java sends records to Kafka, and fetches them. Guarantees: the topic, of fetches also where they name
/// it by its id only; fetches that bring nothing are not told.
#[test]
#[ignore = "needs Kafka, which Maven fetches: make test-sockets"]
fn kafka_of_java() {
    let test = "sockets kafka_of_java";
    if is_skipped(test, &["java"]) {
        return;
    }
    let Some(server) = server_or_skip(test, "kafka") else { return };
    let jars = rig::repository().join("target/servers/kafka/libs/*");
    let mut command = program("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jars).arg(format!("{PROGRAMS}/Records.java"));
    let mut client = Running::start(command.arg(format!("127.0.0.1:{}", port(&server))));
    client.stdout_line_within(rig::BUILD_LIMIT, |line| (line == "ready").then_some(()));
    let attached = Attached::to(&[client.pid(), server.pids()[0]]);
    let mut stdin = client.stdin();
    for line in [&format!("send {SECRET}"), "send two", "poll"] {
        say(&mut stdin, line);
    }
    let spans = attached.spans(6, |span| attribute(span, "messaging.destination.name") == "orders");
    let sent: Vec<_> = spans.iter().filter(|span| span.kind == Kind::Producer).map(summary).collect();
    assert_eq!(sent, ["producer send orders"; 2]);
    let polled: Vec<_> = spans.iter().filter(|span| span.kind == Kind::Client).map(summary).collect();
    assert!(!polled.is_empty() && polled.iter().all(|poll| poll == "client poll orders"), "{polled:?}");
    let told = ["messaging.system", "messaging.operation.type", "server.port"];
    let first = spans.iter().find(|span| span.kind == Kind::Producer).expect("two of them");
    assert_eq!(told.map(|key| attribute(first, key)), ["kafka", "send", &port(&server)]);
    assert_joined(&spans);
}

/// Scenario: the program of the pack of MongoDB's driver, not woven, and its server. Guarantees: commands, databases and
/// collections as the pack tells them.
#[test]
#[ignore = "needs a server that Maven fetches: make test-sockets"]
fn mongodb_of_go() {
    let test = "sockets mongodb_of_go";
    if is_skipped(test, &["java", "go"]) {
        return;
    }
    let Some(server) = server_or_skip(test, "mongo") else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let client = folder.path().join("client");
    let source = rig::repository().join("packs/mongo-driver/program");
    let built = run(program("go").args(["build", "-o"]).arg(&client).arg(".").current_dir(source), rig::BUILD_LIMIT);
    assert_eq!(built.code, 0, "{built}");
    let attached = Attached::to(&[server.pids()[0]]);
    let (name, url) = &server.environment[0];
    let finished = run(program(&client).env(name, url), LIMIT);
    let spans = attached.spans(10, |_| true);
    let names: std::collections::BTreeSet<_> = spans.iter().map(|span| span.name.as_str()).collect();
    for name in ["insert orders", "update orders", "find orders"] {
        assert!(names.contains(name), "{names:?}\n{finished}");
    }
    let insert = spans.iter().find(|span| span.name == "insert orders").expect("one of them");
    assert_eq!(["db.namespace", "db.system.name"].map(|key| attribute(insert, key)), ["shop", "mongodb"]);
}
