//! How programs end, and in what worlds they run.
//!
//! Guarantees: however a program ends, its exit code and output are the plain one's, each span that was finished is there,
//! what was under way is there and marked as unfinished; a panic is an event with the stack of who panicked; where nothing
//! can be recorded, the program does not notice and somebody is told. `tests/programs/ends` is the program.

use std::collections::BTreeMap;
use std::process::Command;

use model::{Event, Span, Value};
use rustix::process::Signal;

use crate::rig::{self, Finished, LIMIT, Rig, Running, run};
use crate::spans::is_error;
use crate::steps;
use crate::support::skip;

/// Runs `ends` under `tandem run`.
fn ends(arguments: &[&str]) -> (Finished, Vec<Span>) {
    let rig = Rig::new();
    let finished = run(under_tandem(&rig).arg(steps::program("ends")).args(arguments), LIMIT);
    rig.assert_nothing_left();
    (finished, rig.spans())
}

fn under_tandem(rig: &Rig) -> Command {
    let mut command = rig.observe("run");
    command.args(["--no-kernel", "--"]);
    command
}

/// Name of each span, with a mark for unfinished and failed ones, and how many there are.
fn names(spans: &[Span]) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for span in spans {
        let mark = if span.unfinished { " …" } else { "" };
        let error = if is_error(span) { " ✗" } else { "" };
        *names.entry(format!("{}{mark}{error}", span.name)).or_default() += 1;
    }
    names
}

fn expected<const N: usize>(names: [(&str, usize); N]) -> BTreeMap<String, usize> {
    names.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Scenario: the ends that a program chooses, or that Go chooses for it.
#[test]
fn no_end_loses_a_finished_span() {
    if crate::support::is_without_go("ends no_end_loses_a_finished_span") {
        return;
    }
    let alone = [("finished", 1)];
    let under_way = [("finished", 1), ("running …", 1)];
    let cases = [
        ("return", 0, "", expected(alone)),
        ("exit", 7, "", expected(under_way)),
        ("fatal", 1, "fatal on purpose", expected(under_way)),
        ("panic", 2, "panic: panic on purpose", expected([("finished", 1), ("fails ✗", 1), ("running ✗", 1)])),
        ("fault", 2, "nil pointer dereference", expected([("finished", 1), ("faults ✗", 1), ("running ✗", 1)])),
        ("elsewhere", 2, "panic elsewhere", expected([("finished", 1), ("fails ✗", 1), ("running …", 1)])),
        ("recovered", 0, "", expected([("finished", 2), ("fails ✗", 1), ("recovers", 1), ("running", 1)])),
        ("goexit", 0, "", expected([("finished", 1), ("running", 1)])),
        ("race", 2, "concurrent map", expected(under_way)),
        ("overflow", 2, "stack overflow", expected(under_way)),
        ("deadlock", 2, "all goroutines are asleep - deadlock!", expected(under_way)),
        ("exec", 0, "", expected([("finished", 2), ("running …", 1)])),
        ("children", 0, "", expected([("finished", 9), ("running", 1), ("ends", 16)])),
    ];
    for (how, code, said, names_of_spans) in cases {
        let (finished, spans) = ends(&[how]);
        assert_eq!(finished.code, code, "{how}: {finished}");
        assert!(finished.stderr.contains(said), "{how}: {finished}");
        assert_eq!(names(&spans), names_of_spans, "{how}: {finished}");
    }
}

/// Scenario: panics that nobody and that somebody recovers from. Guarantees: each span that a panic passes through has it as
/// an event, with the stack of the function that panicked; spans taken meanwhile have not.
#[test]
fn a_panic_is_an_event_with_its_stack() {
    if crate::support::is_without_go("ends a_panic_is_an_event_with_its_stack") {
        return;
    }
    let cases = [
        ("panic", "fails", "*errors.errorString", "panic on purpose", "main.fails"),
        ("panic", "running", "*errors.errorString", "panic on purpose", "main.fails"),
        ("fault", "faults", "runtime.errorString", "invalid memory address or nil pointer dereference", "main.faults"),
        ("recovered", "fails", "panic", "to be recovered", "main.fails"),
    ];
    for (how, name, kind, message, function) in cases {
        let (_, spans) = ends(&[how]);
        let span = spans.iter().find(|span| span.name == name).expect("the span");
        let [event] = &span.events[..] else { panic!("{how}: {:?}", span.events) };
        assert_eq!(event.name, "exception");
        assert_eq!(text(event, "exception.type"), kind);
        assert!(text(event, "exception.message").contains(message), "{how}: {event:?}");
        let stack = text(event, "exception.stacktrace");
        let lines: Vec<&str> = stack.lines().collect();
        assert_eq!(lines[0], function, "{stack}");
        assert!(lines[1].starts_with('\t') && lines[1].contains("/ends/main.go:"), "{stack}");
        assert!(stack.contains("main.running") && !stack.contains("tandem"), "{stack}");
        let untouched = spans.iter().filter(|span| ["finished", "recovers"].contains(&span.name.as_str()));
        assert!(untouched.into_iter().all(|span| span.events.is_empty()), "{how}: {spans:?}");
    }
}

fn text<'a>(event: &'a Event, key: &str) -> &'a str {
    match event.attributes.get(key) {
        Some(Value::String(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

/// Scenario: SIGTERM to a program that does not handle it, and to one that does.
#[test]
fn signals() {
    if crate::support::is_without_go("ends signals") {
        return;
    }
    for (how, code, names_of_spans) in [
        ("signal", 128 + 15, expected([("finished", 1), ("running …", 1)])),
        ("handled", 0, expected([("finished", 1), ("running", 1)])),
    ] {
        let rig = Rig::new();
        let mut tandem = Running::start(under_tandem(&rig).arg(steps::program("ends")).arg(how));
        tandem.stdout_line(|line| (line == "ready").then_some(()));
        tandem.signal(Signal::TERM);
        let finished = tandem.finish();
        assert_eq!(finished.code, code, "{how}: {finished}");
        assert_eq!(names(&rig.spans()), names_of_spans, "{how}: {finished}");
        rig.assert_nothing_left();
    }
}

/// Scenario: GOMAXPROCS is raised far beyond what the rings were made for. Guarantees: every span is there or counted as lost.
#[test]
fn more_processors_than_at_the_start() {
    if crate::support::is_without_go("ends more_processors_than_at_the_start") {
        return;
    }
    let (finished, spans) = ends(&["more"]);
    assert_eq!(finished.code, 0, "{finished}");
    let arrived = names(&spans)["counted"];
    let lost = |line: &&str| line.strip_prefix("warning: ")?.split_once(" spans lost")?.0.parse::<usize>().ok();
    let lost = finished.said().iter().find_map(lost).unwrap_or(0);
    assert_eq!(arrived + lost, 256 * 40, "{finished}");
    assert!(arrived > lost, "{finished}");
}

/// Scenario: a program that was started with a trace in its environment. Guarantee: it continues that trace, with a span for
/// itself above all others, however deep the programs are that it runs.
#[test]
fn a_trace_in_the_environment_goes_on() {
    if crate::support::is_without_go("ends a_trace_in_the_environment_goes_on") {
        return;
    }
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (how, all) in [("return", 2), ("children", 2 + 1 + 8 * 3), ("exit", 3)] {
        let rig = Rig::new();
        let mut command = under_tandem(&rig);
        command.env("TRACEPARENT", format!("00-{trace}-b7ad6b7169203331-01"));
        let finished = run(command.arg(steps::program("ends")).arg(how), LIMIT);
        let spans = rig.spans();
        assert_eq!(spans.len(), all, "{how}: {finished} {:?}", names(&spans));
        assert!(spans.iter().all(|span| span.trace_id.to_string() == trace), "{how}: {spans:?}");
        let parent = |span: &Span| span.parent_span_id.map(|id| id.to_string());
        let roots: Vec<&Span> =
            spans.iter().filter(|span| parent(span).as_deref() == Some("b7ad6b7169203331")).collect();
        let [root] = roots[..] else { panic!("{how}: {roots:?}") };
        assert_eq!((root.name.as_str(), root.unfinished), ("ends", false));
        assert_eq!(root.attributes.get("process.exit.code"), Some(&Value::Int(finished.code.into())));
    }
    for malformed in ["", "00-zz", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
        let rig = Rig::new();
        let mut command = under_tandem(&rig);
        let finished = run(command.env("TRACEPARENT", malformed).arg(steps::program("ends")).arg("return"), LIMIT);
        assert_eq!(names(&rig.spans()), expected([("finished", 1)]), "{malformed:?}: {finished}");
    }
}

/// Scenario: nobody gave the program a trace, but somebody asks for its span. Guarantee: it is the root of all others.
#[test]
fn a_program_is_a_root_where_asked_for() {
    if crate::support::is_without_go("ends a_program_is_a_root_where_asked_for") {
        return;
    }
    for (how, code) in [("return", 0), ("exit", 7)] {
        let rig = Rig::new();
        let mut command = under_tandem(&rig);
        let finished = run(command.env("TANDEM_ENABLE", "process").arg(steps::program("ends")).arg(how), LIMIT);
        assert_eq!(finished.code, code, "{finished}");
        let spans = rig.spans();
        let roots: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id.is_none()).collect();
        let [root] = roots[..] else { panic!("{how}: {roots:?}") };
        assert_eq!((root.name.as_str(), root.unfinished), ("ends", false));
        assert_eq!(root.attributes.get("process.exit.code"), Some(&Value::Int(code.into())));
        assert!(spans.len() > 1, "{how}: {:?}", names(&spans));
    }
}

/// Scenario: worlds in which the memory cannot be made: memfd_create is refused, addresses are few. Guarantees: the program
/// does what it does; the agent says why there is nothing.
#[test]
fn where_nothing_can_be_recorded() {
    if crate::support::is_without_go("ends where_nothing_can_be_recorded") {
        return;
    }
    let rig = Rig::new();
    let forbidden = [steps::program("ends").into_os_string(), "forbidden".into(), "exit".into()];
    let finished = run(under_tandem(&rig).args(&forbidden), LIMIT);
    assert_eq!(finished.code, 7, "{finished}");
    let why = "the program was not allowed to make any: Operation not permitted";
    assert!(finished.stderr.contains(why), "{finished}");
    // Before it became itself again, it had taken a span.
    assert_eq!(names(&rig.spans()), expected([("finished", 1)]), "{finished}");

    let alone =
        run(rig::program(&forbidden[0]).args(["forbidden", "fatal"]).env("TANDEM_SOCKET", "/nonexistent"), LIMIT);
    assert_eq!((alone.code, alone.stderr.contains("fatal on purpose")), (1, true), "{alone}");
    assert_eq!(alone.stderr.lines().count(), 1, "{alone}");
}

/// Scenario: `/dev/shm` is full, as in containers that have 64 MiB of it. Guarantee: that is not where spans go.
#[test]
fn a_full_dev_shm() {
    let name = "ends a_full_dev_shm";
    if crate::support::is_without_go(name) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root can mount");
    }
    let rig = Rig::new();
    let fill =
        "mount -t tmpfs -o size=64k tmpfs /dev/shm && ! head -c 1M /dev/zero 2>/dev/null >/dev/shm/full && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", fill, "sh"]);
    let tandem = under_tandem(&rig);
    command.arg(tandem.get_program()).args(tandem.get_args());
    for (name, value) in tandem.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let finished = run(command.arg(steps::program("ends")).arg("exit"), LIMIT);
    assert_eq!(finished.code, 7, "{finished}");
    assert_eq!(names(&rig.spans()), expected([("finished", 1), ("running …", 1)]), "{finished}");
}
