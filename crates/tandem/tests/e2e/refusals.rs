//! When something is not as it should be.
//!
//! Guarantees: one clear message with what to do, the right exit code, the program itself unharmed, nothing left behind.
//! What the command line does about wrong arguments and missing programs is tested in `tests/run.rs`, bad input of the
//! weave in `crates/weave/tests/bad_input.rs`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::golang::{go, tree};
use crate::prometheus;
use crate::rig::{self, BUILD_LIMIT, Finished, LIMIT, Rig, Running, run, tandem};
use crate::steps::Steps;
use crate::support::skip;
use crate::unprivileged::{as_nobody, hand_over};

/// Writes the smallest program there is; `body` is what its main function does.
fn small_program(folder: &Path, body: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("go.mod"), "module example.com/small\n\ngo 1.21\n").expect("a file");
    fs::write(folder.join("main.go"), format!("package main\n\nfunc main() {{\n\t{body}\n}}\n")).expect("a file");
}

fn weave(folder: &Path) -> Command {
    let mut weave = tandem();
    weave.args(["go", "build", "-o", "program", "."]).current_dir(folder);
    weave
}

/// `tandem run` of a server that takes ten steps and ends, with these variables.
fn ten_steps(rig: &Rig, environment: &[(&str, &str)]) -> Finished {
    let mut tandem = rig.observe("run");
    tandem.envs(environment.iter().copied());
    let mut running = Running::start(Steps::under(&mut tandem, rig));
    let input = running.stdin();
    let steps = Steps::of(&mut running, rig);
    for number in 0..10 {
        prometheus::get(&steps.address, &format!("/step?n={number}"));
    }
    drop(input);
    running.finish()
}

fn warnings(finished: &Finished) -> Vec<&str> {
    finished.said().into_iter().filter(|line| line.contains("warning")).collect()
}

/// Scenario: an OTLP endpoint where nobody listens, by gRPC and by HTTP. Guarantees: the program and its exit code are
/// what they were; one line at the end says how much waits, or, where nothing may wait on disk, one warning while it runs and one
/// at the end how much was lost; the store has everything.
#[test]
fn an_endpoint_that_refuses_is_said_once() {
    if crate::support::is_without_go("refusals an_endpoint_that_refuses_is_said_once") {
        return;
    }
    for (protocol, queue) in [("grpc", "0"), ("http/protobuf", "0"), ("http/protobuf", "1MiB")] {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let rig = Rig::new();
        let endpoint = format!("http://127.0.0.1:{port}");
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("TANDEM_QUEUE_BYTES", queue),
        ];
        let finished = ten_steps(&rig, &environment);
        assert_eq!(finished.code, 0, "{finished}");
        if queue == "0" {
            let warnings = warnings(&finished);
            let [first, last] = warnings[..] else { panic!("one warning at first, one at the end: {finished}") };
            assert!(first.contains(&format!("cannot reach {endpoint}")), "{finished}");
            assert!(last.contains("otlp: 20 spans lost"), "{finished}");
        } else {
            let waits = format!("warning: otlp: 20 spans wait on disk for the next start: cannot reach {endpoint}");
            assert!(finished.said().iter().any(|line| line.starts_with(&waits)), "{finished}");
            assert!(warnings(&finished).iter().all(|line| !line.contains("lost")), "{finished}");
        }
        assert_eq!(rig.traces(&["--limit", "100"]).len(), 10, "the store has lost something");
        rig.assert_nothing_left();
    }
}

/// Scenario: an OTLP endpoint that takes connections and never answers. Guarantees: the end does not wait for it for ever.
#[test]
fn an_endpoint_that_never_answers_does_not_keep_the_program() {
    if crate::support::is_without_go("refusals an_endpoint_that_never_answers_does_not_keep_the_program") {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let rig = Rig::new();
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let finished = ten_steps(&rig, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.said().iter().any(|line| line.contains("otlp: 20 spans wait on disk")), "{finished}");
    assert_eq!(rig.traces(&["--limit", "100"]).len(), 10);
    rig.assert_nothing_left();
}

/// Scenario: the page's or the metrics' port belongs to somebody else. Guarantees: a message that names the address, exit
/// code 1, and the program was not started.
#[test]
fn a_port_in_use_is_said_before_the_program_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--ui", "--metrics"] {
        let rig = Rig::new();
        let mut tandem = rig.tandem("run");
        let mark = rig.path().join("started");
        let finished = run(tandem.args([flag, &address, "--", "touch"]).arg(&mark), LIMIT);
        assert_eq!(finished.code, 1, "{finished}");
        assert!(finished.said().iter().any(|line| line.contains(&address)), "{flag}: {finished}");
        assert!(finished.stderr.contains("in use"), "{flag}: {finished}");
        assert!(!mark.exists(), "the program was started");
        rig.assert_nothing_left();
    }
}

/// Scenario: no go command in PATH. Guarantees: exit code 3 and where to get one.
#[test]
fn no_go_command() {
    let rig = Rig::new();
    let folder = rig.path().join("small");
    small_program(&folder, "println(1)");
    let before = tree(&folder);
    let finished = run(weave(&folder).env("PATH", ""), LIMIT);
    assert_eq!(finished.code, 3, "{finished}");
    assert!(finished.stderr.contains("there is no go command in PATH"), "{finished}");
    assert!(finished.stderr.contains("https://go.dev/dl"), "{finished}");
    assert!(tree(&folder) == before, "something was left behind");
}

/// Scenario: errors in the user's own code. Guarantees: message and exit code are the go command's own, with the user's
/// paths and lines, and nothing is left behind.
#[test]
fn an_error_in_the_code_is_gos_own() {
    if crate::support::is_without_go("refusals an_error_in_the_code_is_gos_own") {
        return;
    }
    for body in ["if {", "var unused int", "undefined()"] {
        let rig = Rig::new();
        let folder = rig.path().join("small");
        small_program(&folder, body);
        let before = tree(&folder);
        let plain = run(go(&folder).args(["build", "-o", "program", "."]), BUILD_LIMIT);
        let woven = run(&mut weave(&folder), BUILD_LIMIT);
        assert_ne!(plain.code, 0, "{plain}");
        assert_eq!((woven.code, &woven.stdout, &woven.stderr), (plain.code, &plain.stdout, &plain.stderr));
        assert!(woven.stderr.contains("main.go:4:"), "{woven}");
        assert!(tree(&folder) == before, "something was left behind");
    }
}

/// Scenario: a cache folder that may not be written. Guarantees: exit code 3, the folder is named, and what to do.
#[test]
fn a_cache_that_cannot_be_written() {
    let test = "refusals a_cache_that_cannot_be_written";
    if crate::support::is_without_go(test) || crate::unprivileged::missing(test) {
        return;
    }
    let rig = Rig::new();
    let folder = rig.path().join("small");
    small_program(&folder, "println(1)");
    let cache = rig.path().join("cache");
    fs::create_dir(&cache).expect("a folder");
    let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(&cache, read_only).expect("a folder of ours");
    hand_over(&rig);
    let tandem = rig.path().join("tandem");
    fs::copy(rig::TANDEM, &tandem).expect("a copy");
    let mut weave = rig::program(tandem);
    weave.args(["go", "build", "-o", "program", "."]).current_dir(&folder).env("TANDEM_CACHE", &cache);
    // A home would get the go command's own statistics, after the test has ended.
    weave.env("HOME", "/nonexistent").env("GOPATH", rig.path().join("go")).env("GOCACHE", rig.path().join("go-build"));
    let mut weave_as_nobody = as_nobody(weave);
    let finished = run(weave_as_nobody.current_dir(&folder), BUILD_LIMIT);
    assert_eq!(finished.code, 3, "{finished}");
    assert!(finished.stderr.contains(cache.to_str().expect("text")), "{finished}");
    assert!(finished.stderr.contains("set TANDEM_CACHE"), "{finished}");
    assert!(!folder.join("program").exists());
    assert_eq!(fs::read_dir(&cache).expect("a folder").count(), 0);
}

/// A folder on a small file system of its own, which only one process and its children see.
fn on_a_small_disk(command: &Command, folder: &Path, size: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        r#"mount -t tmpfs -o size="$1" small "$2" && shift 2 && exec "$@""#,
        "sh",
        size,
    ]);
    unshare.arg(folder).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => unshare.env(name, value),
            None => unshare.env_remove(name),
        };
    }
    if let Some(current) = command.get_current_dir() {
        unshare.current_dir(current);
    }
    unshare
}

fn small_disks_missing(test: &str) -> bool {
    let rig = Rig::new();
    if on_a_small_disk(&Command::new("true"), rig.path(), "64k").output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    skip(test, "a small file system cannot be mounted here: that needs root");
    true
}

/// Scenario: the disk of the cache is full. Guarantees: exit code 3, the reason, what to do, no half-made output.
#[test]
fn a_full_disk_below_the_cache() {
    let test = "refusals a_full_disk_below_the_cache";
    if crate::support::is_without_go(test) || small_disks_missing(test) {
        return;
    }
    let rig = Rig::new();
    let folder = rig.path().join("small");
    small_program(&folder, "println(1)");
    let cache = rig.path().join("cache");
    fs::create_dir(&cache).expect("a folder");
    let before = tree(&folder);
    let mut weave = weave(&folder);
    weave.env("TANDEM_CACHE", &cache);
    let finished = run(&mut on_a_small_disk(&weave, &cache, "256k"), BUILD_LIMIT);
    assert_eq!(finished.code, 3, "{finished}");
    assert!(finished.stderr.contains("No space left on device"), "{finished}");
    assert!(finished.stderr.contains("make room"), "{finished}");
    assert!(tree(&folder) == before, "something was left behind");
}

/// Scenario: there is no room for a store at all. Guarantees: that is said before the program starts.
#[test]
fn no_room_for_a_store() {
    let test = "refusals no_room_for_a_store";
    if small_disks_missing(test) {
        return;
    }
    let rig = Rig::new();
    let disk = rig.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let mark = rig.path().join("started");
    let mut tandem = rig.tandem("run");
    tandem.env("TANDEM_STORE", disk.join("store")).args(["--no-ui", "--", "touch"]).arg(&mark);
    let finished = run(&mut on_a_small_disk(&tandem, &disk, "16k"), LIMIT);
    assert_eq!(finished.code, 1, "{finished}");
    assert_eq!(finished.said().len(), 1, "{finished}");
    assert!(finished.stderr.contains("there is no room for the store"), "{finished}");
    assert!(!mark.exists(), "the program was started");
    rig.assert_nothing_left();
}

/// Scenario: the disk of the store fills up while a server works. Guarantees: the server does not notice and keeps its exit
/// code; other ways out have every span; what the store has lost is said, and what it has can be read.
#[test]
fn a_disk_that_fills_up_below_the_store() {
    let test = "refusals a_disk_that_fills_up_below_the_store";
    if crate::support::is_without_go(test) || small_disks_missing(test) {
        return;
    }
    let rig = Rig::new();
    let disk = rig.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let mut tandem = rig.observe("run");
    Steps::under(tandem.env("TANDEM_STORE", disk.join("store")), &rig);
    let mut running = Running::start(&mut on_a_small_disk(&tandem, &disk, "640k"));
    let input = running.stdin();
    let steps = Steps::of(&mut running, &rig);
    const STEPS: u32 = 2000;
    for number in 0..STEPS {
        prometheus::get(&steps.address, &format!("/step?n={number}"));
    }
    drop(input);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(steps.numbers(&rig.spans()).len() as u32, STEPS, "the file has lost spans, too");
    let lost = finished.said().into_iter().filter(|line| line.starts_with("warning: store:") && line.contains("lost"));
    assert_eq!(lost.count(), 1, "{finished}");
    assert!(finished.stderr.contains("full"), "{finished}");
    rig.assert_nothing_left();
}
