//! Functions that were woven dormant, switched on and off in a program that runs.
//!
//! Guarantees: what the program does never depends on what is on; each call of a function that is on is a span, nested as
//! the calls are, with its error and its arguments; a function that is off leaves none; what is beyond the limit is counted
//! and said. `tests/programs/functions` is the program.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command};

use model::Span;
use serde_json::Value;

use crate::prometheus;
use crate::rig::{self, Finished, LIMIT, Rig, Running, TANDEM, eventually, run};
use crate::spans::{attribute, by_id, is_error};
use crate::steps::{self, Steps};
use crate::support::skip;
use crate::unprivileged;

/// The program while it runs, and how to talk to it.
struct Program {
    running: Running,
    input: ChildStdin,
    pid: u32,
    asked: usize,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let pid = running.stdout_line(|line| line.strip_prefix("pid ")?.parse().ok());
        let input = running.stdin();
        Self { running, input, pid, asked: 0 }
    }

    /// Under `tandem run`, with these arguments.
    fn under(rig: &Rig, arguments: &[&str]) -> Self {
        Self::start(rig.observe("run").args(arguments).args(["--no-kernel", "--"]).arg(steps::program("functions")))
    }

    /// Asks the program to do something, and waits for its answer.
    fn ask(&mut self, what: &str) -> String {
        self.asked += 1;
        writeln!(self.input, "{} {what}", self.asked).expect("the program reads");
        let start = format!("answer {} ", self.asked);
        self.running.stdout_line(|line| line.strip_prefix(&start).map(str::to_owned))
    }

    /// Ends the program, and the agent that it runs under.
    fn end(self) -> Finished {
        drop(self.input);
        self.running.finish()
    }

    /// `tandem COMMAND PATTERN --pid …`, which must succeed.
    fn switch(&self, rig: &Rig, command: &str, arguments: &[&str]) -> String {
        let pid = self.pid.to_string();
        let output = run(rig.tandem(command).args(arguments).args(["--pid", &pid]), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        output.stdout
    }

    fn list(&self, rig: &Rig, arguments: &[&str]) -> BTreeMap<String, Value> {
        let text = self.switch(rig, "list", &[arguments, &["--json"]].concat());
        let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let functions = objects.filter(|object| object["operation"].is_null()); // others are packs'
        functions.map(|object| (object["function"].as_str().expect("a name").to_owned(), object)).collect()
    }
}

const EVERYTHING: [(&str, &str); 12] = [
    ("recursion 5", "5"),
    ("generics", "3.5 7 3a"),
    ("methods", "6"),
    ("variadic", "a-bc.d"),
    ("named 4", "8 <nil>"),
    ("named -4", "-4 -4: negative"),
    ("panics", "on purpose"),
    ("exits", "exited"),
    ("closure 4", "5"),
    ("parents 3", "5"),
    ("goroutines 4", "6"),
    ("hot 10", "5"),
];

fn ask_everything(program: &mut Program) {
    for (what, answer) in EVERYTHING {
        assert_eq!(program.ask(what), answer, "{what}");
    }
}

/// Scenario: everything that a function can be, off, on with arguments, and off again.
#[test]
fn functions_are_switched_in_a_running_program() {
    if crate::support::is_without_go("functions functions_are_switched_in_a_running_program") {
        return;
    }
    let rig = Rig::new();
    let mut program = Program::under(&rig, &[]);
    let listed = program.list(&rig, &[]);
    assert!(listed.values().all(|function| function["on"] == false), "{listed:?}");
    assert_eq!(listed["main.fibonacci"]["arguments"], serde_json::json!(["n"]));
    assert_eq!(listed["main.(*counter).add"]["service"], "unknown_service:functions");
    assert!(!listed.contains_key("main.serve") && !listed.contains_key("main.main"), "{listed:?}");
    ask_everything(&mut program);

    let said = program.switch(&rig, "enable", &["main.*", "--args", "--limit", "0"]);
    let count = listed.len();
    assert_eq!(
        said,
        format!(
            "unknown_service:functions (process {}): {count} functions on, with arguments, without a limit\n",
            program.pid
        )
    );
    ask_everything(&mut program);
    let on = program.list(&rig, &["fibonacci"]);
    assert_eq!((&on["main.fibonacci"]["calls"], &on["main.fibonacci"]["limited"]), (&15.into(), &0.into()));
    assert!(program.switch(&rig, "list", &["fibonacci"]).contains("  on   main.fibonacci  15 calls, with arguments"));

    let said = program.switch(&rig, "disable", &["example.com/programs/functions.*"]);
    assert!(said.ends_with(&format!(": {count} functions off\n")), "{said}");
    ask_everything(&mut program);
    let finished = program.end();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
    check(&rig.spans());
}

fn check(spans: &[Span]) {
    let known = by_id(spans);
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let parent =
        |span: &Span| span.parent_span_id.map_or("-", |id| known[&(span.trace_id, id)].name.as_str()).to_owned();
    assert_eq!(named("main.fibonacci").len(), 15);
    let roots = named("main.fibonacci").into_iter().filter(|span| span.parent_span_id.is_none());
    assert_eq!(roots.map(|span| attribute(span, "tandem.argument.n")).collect::<Vec<_>>(), ["5"]);
    let pairs = [
        ("main.outer", "-"),
        ("main.middle", "main.outer"),
        ("main.plus", "main.sum"),
        ("main.(*counter).zero", "main.(*counter).through"),
        ("main.exits", "main.exited"),
        ("main.panics", "main.caught"),
    ];
    for (name, above) in pairs {
        let found = named(name);
        assert!(!found.is_empty() && found.iter().all(|span| parent(span) == above), "{name}: {found:?}");
    }
    let mut inner: Vec<String> = named("main.inner").into_iter().map(parent).collect();
    inner.sort();
    assert_eq!(inner, ["main.middle", "main.spread", "main.spread", "main.spread", "main.spread"]);
    let arguments = |name: &str, argument: &str| {
        let key = format!("tandem.argument.{argument}");
        named(name).into_iter().map(|span| attribute(span, &key)).collect::<Vec<_>>()
    };
    assert_eq!(arguments("main.(*counter).add", "more"), ["2", "3"]);
    assert_eq!(arguments("main.join", "between"), ["-", "+", "."]);
    assert_eq!(arguments("main.sum", "what"), ["floats", "degrees"]);
    assert_eq!(arguments("main.exits", "after"), ["1000000000"]);
    assert_eq!(arguments("main.plus", "b"), ["1", "2.5", "3", "4"]);
    let errors: Vec<bool> = named("main.named").into_iter().map(is_error).collect();
    assert_eq!(errors, [false, true]);
    assert_eq!(named("main.hot").len(), 10);
    assert!(spans.iter().all(|span| !span.unfinished), "{spans:?}");
    let scope = named("main.hot")[0];
    assert_eq!(scope.kind, model::Kind::Internal);
}

/// Scenario: a hot loop with a limit. Guarantees: about so many spans a second, the other calls are counted: in the list,
/// in the agent's metrics, in its last words.
#[test]
fn a_hot_loop_is_limited_and_that_is_said() {
    if crate::support::is_without_go("functions a_hot_loop_is_limited_and_that_is_said") {
        return;
    }
    let rig = Rig::new();
    let mut program = Program::under(&rig, &["--metrics", "127.0.0.1:0"]);
    let metrics = program.running.address("metrics");
    program.switch(&rig, "enable", &["hot", "--limit", "10"]);
    assert_eq!(program.ask("hot 100000"), "50000");
    let hot = &program.list(&rig, &["--on"])["main.hot"];
    let limited = hot["limited"].as_u64().expect("a number");
    assert_eq!(hot["calls"], 100_000);
    // Each second that it takes allows ten more.
    assert!((50_000..=99_990).contains(&limited), "{hot}");
    let text = program.switch(&rig, "list", &["hot"]);
    let expected = format!("  on   main.hot  100000 calls, {limited} of them beyond the limit of 10 a second\n");
    assert!(text.ends_with(&expected), "{text}");
    let line = format!("tandem_function_calls_limited_total{{function=\"main.hot\"}} {limited}");
    let shown = eventually(LIMIT, || prometheus::get(&metrics, "/metrics").contains(&line).then_some(()));
    assert!(shown.is_some(), "{}", prometheus::get(&metrics, "/metrics"));
    let finished = program.end();
    let said = format!("main.hot: {limited} of 100000 calls got no span, being beyond the limit of `tandem enable`");
    assert!(finished.said().contains(&said.as_str()), "{finished}");
    let spans = rig.spans().len() as u64;
    assert_eq!(spans + limited, 100_000);
    rig.assert_nothing_left();
}

/// Scenario: no agent runs. Guarantees: switching works all the same, by the service's name, too.
#[test]
fn no_agent_is_needed_to_switch() {
    if crate::support::is_without_go("functions no_agent_is_needed_to_switch") {
        return;
    }
    let _machine = crate::agent::machine();
    let rig = Rig::new();
    let service = format!("alone-{}", std::process::id());
    let mut program = Program::start(
        rig::program(steps::program("functions"))
            .env("TANDEM_SOCKET", rig.path().join("nobody"))
            .env("OTEL_SERVICE_NAME", &service),
    );
    let output = run(rig.tandem("enable").args(["hot", "--service", &service]), LIMIT);
    assert_eq!(
        output.stdout,
        format!("{service} (process {}): 1 function on, at most 1000 spans a second each\n", program.pid)
    );
    assert_eq!(program.ask("hot 10"), "5");
    assert_eq!(program.list(&rig, &["hot"])["main.hot"]["calls"], 10);
    let output = run(rig.tandem("disable").args(["hot", "--service", &service]), LIMIT);
    assert!(output.stdout.ends_with(": 1 function off\n"), "{output}");
    assert_eq!(program.list(&rig, &["hot"])["main.hot"]["calls"], Value::Null);
    assert_eq!(program.end().code, 0);
}

/// Scenario: what people get wrong. Guarantee: one line that says what and what to do; nothing is switched.
#[test]
fn wrong_words_are_explained() {
    if crate::support::is_without_go("functions wrong_words_are_explained") {
        return;
    }
    let rig = Rig::new();
    let program = Program::under(&rig, &[]);
    let pid = program.pid.to_string();
    let own = std::process::id().to_string();
    let other = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", rig.path().join("nobody")));
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = run(rig.tandem("enable").args(arguments), LIMIT);
        assert_eq!(output.code, code, "{arguments:?}: {output}");
        words.iter().for_each(|word| assert!(output.stderr.contains(word), "{arguments:?}: no {word:?} in {output}"));
    };
    refused(&["hto", "--pid", &pid], 1, &["no function of", "matches hto", "tandem list"]);
    refused(&["h?t", "--pid", &pid], 2, &["is no pattern of functions", "Cart.Add"]);
    refused(&["hot", "--pid", "4194305"], 1, &["there is no process 4194305"]);
    let mut zombie = Command::new("true").spawn().expect("true");
    let ended = zombie.id().to_string();
    let words = "has ended; its parent";
    let seen = eventually(LIMIT, || {
        let output = run(rig.tandem("enable").args(["hot", "--pid", &ended]), LIMIT);
        (output.code == 1 && output.stderr.contains(words)).then_some(())
    });
    zombie.wait().expect("an exit code");
    assert!(seen.is_some(), "a zombie is not known as one");
    refused(&["hot", "--pid", &own], 1, &["is not a woven program", "tandem go build"]);
    refused(&["hot", "--service", "shpo"], 1, &["no woven program of the service \"shpo\""]);
    refused(&["hot", "--pid", &pid, "--limit=-1"], 2, &["--limit"]);
    refused(&["(*stack).pop", "--pid", &pid, "--args"], 1, &["can record arguments", "arguments: true"]);
    let listed = run(rig.tandem("list").args(["--pid", &pid, "--on"]), LIMIT);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed}");
    let stranger = "functions wrong_words_are_explained (somebody else's program)";
    if !rustix::process::geteuid().is_root() {
        skip(stranger, "only root can become somebody else");
    } else if !unprivileged::missing(stranger) {
        let mut command = rig::program(unprivileged::copy(Path::new(TANDEM), &rig));
        command.args(["enable", "hot", "--pid", &pid]);
        let output = run(&mut unprivileged::as_nobody(command), LIMIT);
        assert_eq!(output.code, 1, "{output}");
        assert!(output.stderr.contains("is somebody else's") && output.stderr.contains("root"), "{output}");
    }
    assert_eq!(other.finish().code, 0);
    assert_eq!(program.end().code, 0);
}
