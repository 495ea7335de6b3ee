//! What commands do with `--follow`: what they show again as it changes, to programs and on a terminal, and how they end.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
#[path = "../../store/tests/fixture/profiles.rs"]
mod sampled;
mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use deliver::Sink;
use fixture::Details;
use insta::assert_snapshot;
use model::{Kind, ProfileKind, Span};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::wait_for;
use tempfile::TempDir;

/// A tandem that follows, and what it has said so far.
struct Following {
    child: Child,
    said: Arc<Mutex<String>>,
    /// On standard error.
    noted: Arc<Mutex<String>>,
}

impl Following {
    fn new(store: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        Self::of(command.args(arguments).arg("--follow"), store)
    }

    fn of(command: &mut Command, store: &Path) -> Self {
        let command = command.env_remove("COLUMNS").env("TZ", "UTC").env("TANDEM_STORE", store);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tandem runs");
        let said = heard(child.stdout.take().expect("a pipe"));
        let noted = heard(child.stderr.take().expect("a pipe"));
        Self { child, said, noted }
    }

    fn said(&self) -> String {
        self.said.lock().expect("nobody panics").clone()
    }

    fn noted(&self) -> String {
        self.noted.lock().expect("nobody panics").clone()
    }

    fn wait_for(&self, text: &str) {
        wait_for(text, || self.said().contains(text) || self.noted().contains(text));
    }

    /// What is in each line that it has said as JSON, under this key.
    fn told(&self, key: &str) -> Vec<String> {
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")[key].to_string();
        self.said().lines().map(line).collect()
    }

    /// Presses Ctrl-C.
    fn end(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it lives");
        self.child.wait().expect("it ends")
    }
}

/// What is written into a pipe, whole lines or not, as it comes.
fn heard(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let heard = Arc::new(Mutex::new(String::new()));
    let here = Arc::clone(&heard);
    thread::spawn(move || {
        let mut reader = BufReader::new(&mut pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).expect("it can be read") > 0 {
            here.lock().expect("nobody panics").push_str(&String::from_utf8_lossy(&std::mem::take(&mut line)));
        }
    });
    heard
}

/// A request of three spans, the last of which is the root.
fn cart(id: u8) -> Span {
    match id {
        1 => fixture::span(1, 1, 0, "shop", "GET /cart", 0, 3_000),
        _ => fixture::span(1, id, 1, "shop", "query", u64::from(id) * 100, 500),
    }
}

/// Scenario: somebody asks for a trace before it is there; then it grows. Guarantee: it is waited for, is shown anew when there is
/// more of it and only then, and Ctrl-C is a good end.
#[test]
fn a_trace_is_shown_again_as_it_grows() {
    let store = TempDir::new().expect("a temporary folder");
    let id = cart(1).trace_id.to_string();
    let following = Following::new(store.path(), &["trace", &id]);
    following.wait_for("waiting for trace");
    fixture::write(store.path(), &[cart(2)]);
    following.wait_for("1 span ·");
    fixture::write(store.path(), &[fixture::span(2, 1, 0, "shop", "GET /another", 0, 10)]);
    fixture::write(store.path(), &[cart(3), cart(1)]);
    following.wait_for("3 spans");
    let (said, noted) = (following.said(), following.noted());
    assert_eq!(following.end().code(), Some(0));
    assert_snapshot!(format!("{said}stderr:\n{}", noted.replace(&store.path().display().to_string(), "[STORE]")));
}

/// Guarantee: scripts are told each span once, also those that come into its middle.
#[test]
fn spans_that_come_are_told_once() {
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &[cart(3)]);
    let following = Following::new(store.path(), &["trace", "last", "--json"]);
    wait_for("the first", || following.told("span_id").len() == 1);
    fixture::write(store.path(), &[cart(2), cart(1)]);
    wait_for("the others", || following.told("span_id").len() >= 3);
    let ids = [3, 1, 2].map(|id| format!("\"{}\"", cart(id).span_id));
    assert_eq!(following.told("span_id"), ids);
    assert!(following.end().success());
}

/// Guarantee: a beginning that fits several traces is an error with `--follow`, too.
#[test]
fn what_cannot_come_is_not_waited_for() {
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &[cart(1), fixture::span(2, 1, 0, "shop", "GET /another", 0, 10)]);
    for (id, reason) in [("0", "several traces begin with 0"), ("xyz", "xyz is not the beginning of a trace's id")] {
        let mut following = Following::new(store.path(), &["trace", id]);
        assert_eq!(following.child.wait().expect("it ends").code(), Some(1));
        following.wait_for(reason);
    }
}

/// The lines of a terminal's screen after all of this was written to it: as much of a terminal as pictures need.
fn screen(written: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut row = 0;
    let mut rest = written;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\r' => {}
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            '\u{1b}' => {
                let end = rest.find(|character: char| character.is_ascii_alphabetic()).expect("a whole sequence");
                let (parameters, command) = (&rest[1..end], &rest[end..=end]);
                match command {
                    "F" => row -= parameters.parse::<usize>().expect("a number"),
                    "J" => {
                        lines.truncate(row + 1);
                        lines[row].clear();
                    }
                    "m" | "h" | "l" => {}
                    _ => panic!("ESC {parameters} {command}"),
                }
                rest = &rest[end + 1..];
            }
            _ => lines[row].push(first),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// Scenario: a trace grows on a terminal, first of eight lines and then of seven. Guarantee: there is one picture of it, within the
/// screen, and all of it when that is over.
#[test]
fn on_a_terminal_a_trace_is_drawn_in_place() {
    let test = "follow on_a_terminal_a_trace_is_drawn_in_place";
    if Command::new("script").arg("--version").output().is_err() {
        return support::skip(test, "there is no `script` to make a terminal with");
    }
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &[cart(2)]);
    // It is asked by its process's number, as `script` would pass on to its shell what is meant for tandem.
    let command = format!("stty rows 8 cols 60; echo $$; exec {} trace last --follow", env!("CARGO_BIN_EXE_tandem"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(Stdio::null());
    let mut following = Following::of(script.env("TERM", "xterm").env_remove("NO_COLOR"), store.path());
    following.wait_for("1 span");
    fixture::write(store.path(), &[cart(1), cart(3), cart(4)]);
    following.wait_for("more lines");
    let said = following.said();
    let (pid, said) = said.split_once("\r\n").expect("a line");
    let drawn = screen(said);
    assert_snapshot!(drawn.join("\n"));
    let pid = pid.parse().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::INT).expect("it lives");
    assert!(following.child.wait().expect("it ends").success());
    let now = || screen(following.said().split_once("\r\n").expect("a line").1);
    wait_for("the lines that there was no room for", || now().len() == drawn.len() + 2);
    assert_eq!(now()[..5], drawn[..5]);
}

/// Guarantee: samples are told once, and the table is of all of them.
#[test]
fn samples_that_come_are_shown() {
    let store = TempDir::new().expect("a temporary folder");
    let arguments = ["profile", "--since", "9000d"];
    let table = Following::new(store.path(), &arguments);
    let lines = Following::new(store.path(), &[&arguments[..], &["--json"]].concat());
    table.wait_for("waiting for some");
    let samples = [("main.a", ProfileKind::Cpu, None, 0), ("main.b", ProfileKind::Cpu, None, 1)];
    let writer =
        store::ProfileStore(Arc::new(store::Store::open(store.path(), fixture::unlimited()).expect("it opens")));
    for (number, sample) in samples.iter().enumerate() {
        writer.offer(&sampled::batch("shop", &[*sample])).expect("the queue has room");
        fixture::flush(&writer);
        table.wait_for(&format!("in {} samples", number + 1));
        wait_for("a line", || lines.told("time_unix_nano").len() > number);
    }
    let times = [0, 1].map(|second| (fixture::START + second * 1_000_000_000).to_string());
    assert_eq!(lines.told("time_unix_nano"), times);
    assert_snapshot!(table.said());
    assert!(lines.end().success() && table.end().success());
}

/// Requests, of which each tenth takes long: in its own service, or in another one that it calls.
fn requests(numbers: std::ops::RangeInclusive<u8>, waits: bool) -> Vec<Span> {
    let mut spans = Vec::new();
    for number in numbers {
        let start = u64::from(number) * 1_000_000;
        let (calls, computes) = match (number % 10 == 0, waits) {
            (true, true) => (90_000, 0),
            (true, false) => (0, 90_000),
            (false, _) => (0, 0),
        };
        let request = fixture::span(number, 1, 0, "gateway", "GET /cart", start, calls + computes + 5_000);
        spans.push(request.kind(Kind::Server, "tandem/test").spent(&[("go_select", calls + 3_000)]));
        let served = fixture::span(number, 2, 1, "stock", "GET /items", start + 1_000, calls + 3_000);
        spans.push(served.kind(Kind::Server, "tandem/test").spent(&[("go_sync", calls)]));
    }
    spans
}

/// Scenario: requests go on as they were, then others are slow for another reason. Guarantee: it is said once what was found, and
/// again when something else is.
#[test]
fn findings_are_said_again_when_they_are_others() {
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &requests(1..=60, false));
    let following = Following::new(store.path(), &["diagnose", "--since", "9000d", "--json"]);
    wait_for("the first", || following.told("requests").len() == 1);
    fixture::write(store.path(), &requests(61..=80, false));
    fixture::write(store.path(), &requests(81..=240, true));
    wait_for("something else", || following.told("requests").len() > 1);
    assert_eq!(following.told("requests"), ["60", "240"]);
    let lines: Vec<Value> = following.said().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let places = |line: &Value| line["causes"][0]["service"].as_str().map(str::to_owned);
    assert_eq!(lines.iter().map(places).collect::<Vec<_>>(), [Some("gateway".to_owned()), Some("stock".to_owned())]);
    assert!(following.end().success());
}

/// Scenario: `tandem logs --follow | head`, and no record comes any more. Guarantee: it ends with its reader.
#[test]
fn who_reads_no_more_is_not_waited_for() {
    let store = TempDir::new().expect("a temporary folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["logs", "--follow"])
        .env("TANDEM_STORE", store.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tandem runs");
    drop(child.stdout.take());
    assert!(child.wait().expect("it ends").success());
}
