//! The latency anatomy against waits of known kinds.
//!
//! Guarantees: a plain Go program, woven by `tandem go build` and run under `tandem run`, has spans whose parts agree with
//! what the program itself stamped (5 % or 0.3 ms, whichever is larger), and whose parts together with the CPU clock of a
//! locked thread make up the wall time (95 to 105 %, spans over 1 ms). Alone, with other processes and with its own
//! goroutines hogging the CPUs, under garbage-collection pressure, with 200 spans at once, in a control group that may
//! use a part of a CPU only, and in a network that loses packets. `known-waits/` is the program. Needs Go, and the privileges of the kernel half.

mod group;
mod network;
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use group::Group;
use network::Network;
use probe::features::{FeatureId, State};
use report::{Observation, SpanAnatomy, Table};
use support::skip;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

/// Where the program runs.
enum Place<'a> {
    Here,
    In(&'a Group),
    Alone(&'a Network),
}

impl Place<'_> {
    fn entered_by(&self) -> Vec<PathBuf> {
        match self {
            Place::Here => Vec::new(),
            Place::In(group) => group.entered_by(),
            Place::Alone(network) => network.entered_by(),
        }
    }

    fn group(&self) -> Option<&Path> {
        match self {
            Place::In(group) => Some(group.folder()),
            Place::Here | Place::Alone(_) => None,
        }
    }
}

/// Compares in one mode.
fn check(mode: &str, place: &Place<'_>) {
    let program = built();
    let mut table = run(program, mode, place);
    println!("{table}");
    if !table.is_good() {
        println!("{mode}: once more, in case something else had the machine");
        table = run(program, mode, place);
        println!("{table}");
    }
    assert!(table.is_good(), "{mode}: the anatomy does not agree with the program's own stamps\n{table}");
}

/// Runs the program in one mode under `tandem run` and compares.
fn run(program: &Path, mode: &str, place: &Place<'_>) -> Table {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let report = folder.path().join("report");
    let output = Command::new(TANDEM)
        .args(["run", "--json", "--no-ui", "--store"])
        .arg(folder.path().join("store"))
        .args(Some("--detail").filter(|_| ["unread", "detail"].contains(&mode)))
        .arg("--")
        .args(place.entered_by())
        .args([program, Path::new(mode), folder.path(), &report])
        .envs(place.group().map(|folder| ("KNOWN_WAITS_GROUP", folder)))
        .output()
        .expect("tandem starts");
    assert!(output.status.success(), "tandem run: {}", String::from_utf8_lossy(&output.stderr));
    let spans = report::spans(&String::from_utf8_lossy(&output.stdout));
    if let Ok(left_out) = fs::read_to_string(folder.path().join("left-out")) {
        left_out.lines().for_each(|line| skip(&format!("anatomy {mode}"), line));
    }
    let observations = report::observations(&fs::read_to_string(&report).expect("the program wrote its report"));
    compare(&observations, &spans, mode == "garbage")
}

fn compare(observations: &[Observation], spans: &HashMap<String, SpanAnatomy>, collector_busy: bool) -> Table {
    let mut table = Table::default();
    for observation in observations {
        let faults = match spans.get(&observation.case) {
            Some(span) => observation.faults(span, collector_busy),
            None => vec!["there is no span".to_owned()],
        };
        table.add(observation, spans.get(&observation.case), faults);
    }
    table
}

/// The woven program; built once for all tests.
fn built() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = target.join("known-waits");
        let output = Command::new(TANDEM)
            .args(["go", "build", "-o"])
            .args([&program, Path::new(".")])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/anatomy/known-waits"))
            .env("TANDEM_CACHE", target.join("cache"))
            .output()
            .expect("tandem starts");
        assert!(output.status.success(), "tandem go build: {}", String::from_utf8_lossy(&output.stderr));
        program
    })
}

/// One mode after another: each wants the machine for itself.
#[test]
fn anatomy_agrees_with_the_programs_own_stamps() {
    let test = "anatomy anatomy_agrees_with_the_programs_own_stamps";
    if let Err(error) = probe::features::require_anatomy() {
        return skip(test, &error.to_string());
    }
    if support::is_without_go(test) {
        return;
    }
    for mode in ["alone", "processes", "goroutines", "garbage", "requests", "stopped"] {
        check(mode, &Place::Here);
    }
    match probe::features::state_of(FeatureId::SocketTimes) {
        State::Available(_) => check("unread", &Place::Here),
        State::Missing { why, .. } => skip("anatomy unread", &why),
    }
    let detailed = [FeatureId::PageFaults, FeatureId::SystemCalls].map(probe::features::state_of);
    match detailed.into_iter().find(|state| matches!(state, State::Missing { .. })) {
        Some(State::Missing { why, .. }) => skip("anatomy detail", &why),
        _ => check("detail", &Place::Here),
    }
    match Group::limited() {
        Ok(group) => check("throttled", &Place::In(&group)),
        Err(why) => skip("anatomy throttled", &why),
    }
    match (probe::features::state_of(FeatureId::Connections), Network::lossy()) {
        (State::Available(_), Ok(network)) => check("loss", &Place::Alone(&network)),
        (State::Missing { why, .. }, _) | (_, Err(why)) => skip("anatomy loss", &why),
    }
}
