//! `tandem agent`: one agent for all woven programs of a machine.
//!
//! Guarantees: programs that were started before it are found, with what they had done until then; those started after it
//! connect by themselves; programs go on when it ends; its socket goes with it.

use std::fs::File;

use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, eventually};
use crate::spans::service;
use crate::steps::{Steps, numbers};

/// Such an agent takes any program that has none. Tests with programs that have none for a moment take turns, also with those
/// of another test run on this machine: the lock is one on a folder that all have.
pub fn machine() -> File {
    let turn = File::open(std::env::temp_dir()).expect("the folder for temporary files");
    turn.lock().expect("a lock");
    turn
}

fn walk(steps: &Steps, numbers: std::ops::Range<u32>) {
    for number in numbers {
        prometheus::get(&steps.address, &format!("/step?n={number}"));
    }
}

/// Scenario: a program before the agent, one after it, and a second agent after the first.
#[test]
fn programs_from_before_and_after_are_found() {
    if crate::support::is_without_go("agent programs_from_before_and_after_are_found") {
        return;
    }
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let program = |name: &str| {
        let mut running =
            Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket).env("OTEL_SERVICE_NAME", name));
        let steps = Steps::of(&mut running, &rig);
        (running, steps)
    };
    let agent = || {
        let mut agent = Running::start(rig.observe("agent").arg("--socket").arg(&socket));
        agent.stderr_line(|line| line.contains("listening").then_some(()));
        agent
    };
    let arrived = |name: &str, count: usize| {
        eventually(LIMIT, || (numbers(name, &rig.spans()).len() >= count).then_some(()))
            .unwrap_or_else(|| panic!("{count} steps of {name}: {:?} arrived", numbers(name, &rig.spans())))
    };

    let (before, earlier) = program("before");
    walk(&earlier, 0..10);
    let first = agent();
    arrived("before", 10);
    walk(&earlier, 10..20);
    let (after, later) = program("after");
    walk(&later, 0..10);
    arrived("before", 20);
    arrived("after", 10);
    let finished = first.stop();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(!socket.exists(), "the socket was left behind");

    walk(&earlier, 20..30);
    walk(&later, 10..20);
    let second = agent();
    arrived("before", 30);
    arrived("after", 20);
    for program in [before, after] {
        assert_eq!(program.stop().code, 128 + 15);
    }
    let finished = second.stop();
    assert_eq!(finished.code, 0, "{finished}");
    let spans = rig.spans();
    assert_eq!(numbers("before", &spans), (0..30).collect::<Vec<_>>());
    assert_eq!(numbers("after", &spans), (0..20).collect::<Vec<_>>());
    let own = spans.iter().filter(|span| matches!(service(span), "before" | "after"));
    assert_eq!(own.filter(|span| span.unfinished).count(), 0);
    rig.assert_nothing_left();
}
