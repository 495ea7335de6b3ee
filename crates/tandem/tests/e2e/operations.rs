//! What packs record, switched on and off: in a program that runs, for some of its calls, and by the environment.
//!
//! Guarantees: what the program does never depends on it; what is off leaves no span, and what it would have had below it moves
//! up; a call that is named by `--route` is not sampled, nor is what it calls, here and elsewhere, and its numbers are right.
//! `tests/programs/operations` is the program.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;

use model::{Kind, Span};
use serde_json::Value;

use crate::golang;
use crate::rig::{LIMIT, Rig, Running, run};
use crate::spans::{attribute, parents};
use crate::steps;

struct Program {
    running: Running,
    input: ChildStdin,
    pid: String,
    asked: usize,
}

impl Program {
    fn start(rig: &Rig, environment: &[(&str, &str)]) -> Self {
        Self::start_of(rig, &steps::program("operations"), environment)
    }

    fn start_of(rig: &Rig, program: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = rig.observe("run");
        command.args(["--no-kernel", "--"]).arg(program).envs(environment.iter().copied());
        let mut running = Running::start(&mut command);
        let pid = running.stdout_line(|line| line.strip_prefix("pid ").map(str::to_owned));
        let input = running.stdin();
        Self { running, input, pid, asked: 0 }
    }

    /// Lets the program ask itself for a path: what it answers.
    fn ask(&mut self, path: &str) -> String {
        self.asked += 1;
        writeln!(self.input, "{} {path}", self.asked).expect("the program reads");
        let start = format!("answer {} ", self.asked);
        self.running.stdout_line(|line| line.strip_prefix(&start).map(str::to_owned))
    }

    /// `tandem COMMAND … --pid …`, which must succeed.
    fn switch(&self, rig: &Rig, command: &str, arguments: &[&str]) -> String {
        let output = run(rig.tandem(command).args(arguments).args(["--pid", &self.pid]), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        output.stdout.replace(&self.pid, "PID")
    }

    fn end(self) {
        drop(self.input);
        let finished = self.running.finish();
        assert_eq!(finished.code, 0, "{finished}");
    }
}

type Pairs = BTreeMap<(String, String), usize>;

fn pairs(list: &[(&str, &str)]) -> Pairs {
    let mut pairs = Pairs::new();
    for (child, parent) in list {
        let full = |name: &str| if name == "-" { name.to_owned() } else { format!("operations {name}") };
        *pairs.entry((full(child), full(parent))).or_default() += 1;
    }
    pairs
}

/// The spans of a program that was asked for `/outer`.
fn of_outer(environment: &[(&str, &str)]) -> Pairs {
    let rig = Rig::new();
    let mut program = Program::start(&rig, environment);
    program.ask("/outer");
    program.end();
    rig.assert_nothing_left();
    parents(&rig.spans())
}

#[test]
fn operations_are_switched_in_a_running_program() {
    if crate::support::is_without_go("operations operations_are_switched_in_a_running_program") {
        return;
    }
    let rig = Rig::new();
    let mut program = Program::start(&rig, &[]);
    let listed = program.switch(&rig, "list", &["net/http"]);
    assert_eq!(
        listed, "unknown_service:operations (process PID)\n  on   net/http.client\n  on   net/http.server\n",
        "in the order in which the program registers them"
    );
    let said = program.switch(&rig, "disable", &["net/http.client"]);
    assert_eq!(said, "unknown_service:operations (process PID): net/http.client off\n");
    program.ask("/outer"); // two server spans: the request between them carried the context of the outer one
    let listed = program.switch(&rig, "list", &["net/http.client", "--json"]);
    let object: Value = serde_json::from_str(&listed.replace("PID", "1")).expect("JSON");
    assert_eq!((&object["operation"], &object["on"]), (&"net/http.client".into(), &false.into()));
    program.switch(&rig, "disable", &["net/http"]);
    program.ask("/outer");
    assert_eq!(program.switch(&rig, "list", &["net/http", "--on"]), "unknown_service:operations (process PID)\n");
    program.switch(&rig, "enable", &["net/http"]);
    program.ask("/outer");
    program.end();
    rig.assert_nothing_left();
    let expected = [
        ("server GET /outer", "-"),
        ("server GET /", "server GET /outer"),
        ("client GET", "-"),
        ("server GET /outer", "client GET"),
        ("client GET", "server GET /outer"),
        ("server GET /", "client GET"),
    ];
    assert_eq!(parents(&rig.spans()), pairs(&expected));
}

/// Guarantee: only what the pattern names, and all that it calls, is unsampled; the metrics know every call.
#[test]
fn calls_are_left_out_by_what_they_ask_for() {
    if crate::support::is_without_go("operations calls_are_left_out_by_what_they_ask_for") {
        return;
    }
    let rig = Rig::new();
    let mut program = Program::start(&rig, &[]);
    let said = program.switch(&rig, "disable", &["net/http.server", "--route", "/out*"]);
    assert_eq!(said, "unknown_service:operations (process PID): net/http.server /out* is not sampled\n");
    let listed = program.switch(&rig, "list", &["net/http.server"]);
    assert!(listed.contains("  on   net/http.server  not sampled: /out*\n"), "{listed}");
    let traceparent = program.ask("/outer");
    assert!(traceparent.ends_with("-00"), "what it calls is told: {traceparent}");
    let traceparent = program.ask("/other");
    assert!(traceparent.ends_with("-01"), "{traceparent}");
    program.switch(&rig, "enable", &["net/http.server", "--route", "/out*"]);
    assert!(program.ask("/outer").ends_with("-01"));
    let refused = run(rig.tandem("disable").args(["net/http.client", "--route", "/x", "--pid", &program.pid]), LIMIT);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("has no operation that does"), "{refused}");
    program.end();
    rig.assert_nothing_left();
    let expected = [
        ("client GET", "-"), // the request for what is left out
        ("client GET", "-"),
        ("server GET /", "client GET"),
        ("client GET", "-"),
        ("server GET /outer", "client GET"),
        ("client GET", "server GET /outer"),
        ("server GET /", "client GET"),
    ];
    assert_eq!(parents(&rig.spans()), pairs(&expected));
}

/// The same in servers other than net/http's: what serves below another server's span leaves out only itself and what it calls.
#[test]
fn calls_of_other_servers_are_left_out() {
    if crate::support::is_without_go("operations calls_of_other_servers_are_left_out") {
        return;
    }
    let rig = Rig::new();
    let mut program = Program::start_of(&rig, &golang::woven("tests/served", &["."]).join("served"), &[]);
    for (operation, pattern) in
        [("fasthttp.server", "/inner*"), ("connect.server", "/names.Names/I*"), ("net/rpc.server", "*.Inner")]
    {
        let said = program.switch(&rig, "disable", &[operation, "--route", pattern]);
        assert_eq!(said, format!("unknown_service:served (process PID): {operation} {pattern} is not sampled\n"));
    }
    for (library, asked) in [
        ("fasthttp", "/inner"),
        ("fasthttp", "/other"),
        ("connect", "/names.Names/Inner"),
        ("connect", "/names.Names/Other"),
        ("rpc", "Names.Inner"),
        ("rpc", "Names.Other"),
    ] {
        assert_eq!(program.ask(&format!("{library} {asked}")), asked);
    }
    program.end();
    rig.assert_nothing_left();
    let mut served: Vec<String> = rig.spans().iter().filter(|span| span.kind != Kind::Client).map(of_what).collect();
    served.sort();
    let expected = [
        "http /names.Names/Inner", // below which the call is left out
        "http /names.Names/Other",
        "fasthttp /other",
        "connect names.Names/Other",
        "rpc Names.Other",
        "work /other",
        "work /names.Names/Other",
        "work Names.Other",
    ];
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(served, expected);
}

/// The library that serves a span, and what was asked of it.
fn of_what(span: &Span) -> String {
    let asked = ["rpc.method", "url.path", "asked"].map(|key| attribute(span, key)).concat();
    match span.kind {
        Kind::Server => format!("{} {asked}", span.scope.rsplit_once('/').map_or("", |(_, library)| library)),
        _ => format!("{} {asked}", span.name),
    }
}

/// The official tool's variables, with its words and with ours.
#[test]
fn the_environment_chooses() {
    if crate::support::is_without_go("operations the_environment_chooses") {
        return;
    }
    let servers = pairs(&[("server GET /outer", "-"), ("server GET /", "server GET /outer")]);
    assert_eq!(of_outer(&[("OTEL_GO_DISABLED_INSTRUMENTATIONS", "grpc, NETHTTP")]), Pairs::new());
    assert_eq!(of_outer(&[("OTEL_GO_ENABLED_INSTRUMENTATIONS", "grpc,redis")]), Pairs::new());
    assert_eq!(of_outer(&[("OTEL_GO_DISABLED_INSTRUMENTATIONS", "net/http.client")]), servers);
    assert_eq!(of_outer(&[("OTEL_GO_ENABLED_INSTRUMENTATIONS", "nethttp")]).values().sum::<usize>(), 4);
}
