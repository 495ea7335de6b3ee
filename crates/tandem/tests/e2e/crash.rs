//! Programs that are killed.
//!
//! Guarantees: whatever the program has finished is there, once; what it had begun is there, too, marked as unfinished.
//! `tests/programs/steps` writes down for itself what has begun and what has ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use model::{Kind, Span};
use rustix::process::{Pid, Signal};

use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, eventually, run};
use crate::spans::{attribute, by_id, title};
use crate::steps::{Account, Steps};

const HANGING: [u32; 3] = [1_000_001, 1_000_002, 1_000_003];

/// Scenario: SIGKILL while four clients have requests under way all the time and three more hang.
#[test]
fn sigkill_in_mid_request_loses_no_finished_span() {
    if crate::support::is_without_go("crash sigkill_in_mid_request_loses_no_finished_span") {
        return;
    }
    let rig = Rig::new();
    let mut tandem = Running::start(Steps::under(&mut rig.observe("run"), &rig));
    let steps = Steps::of(&mut tandem, &rig);

    let over = AtomicBool::new(false);
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for number in HANGING {
            let address = &steps.address;
            scope.spawn(move || prometheus::try_request(address, &format!("/hang?n={number}")));
        }
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    prometheus::try_request(&steps.address, &format!("/step?n={number}"));
                }
            });
        }
        let busy = eventually(LIMIT, || {
            let account = steps.account();
            let hanging = HANGING.iter().all(|number| account.began.contains(number));
            (hanging && account.ended.len() >= 300).then_some(())
        });
        let seen = run(rig.tandem("top").arg("--json"), LIMIT);
        rustix::process::kill_process(Pid::from_raw(steps.pid).expect("a process"), Signal::KILL).expect("it runs");
        over.store(true, Ordering::Relaxed);
        assert!(busy.is_some(), "the server does not get on");
        let hanging = seen.stdout.lines().find(|line| line.contains("/hang")).unwrap_or_else(|| panic!("{seen}"));
        assert!(hanging.contains("\"in_flight\":3,"), "{seen}");
    });
    let finished = tandem.finish();
    assert_eq!(finished.code, 128 + 9, "{finished}");
    assert!(finished.said().iter().any(|line| line.contains("unfinished when the program ended")), "{finished}");
    rig.assert_nothing_left();

    let spans = rig.spans();
    compare(&steps.account(), &spans);
    let hanging = spans.iter().find(|span| attribute(span, "step.number") == HANGING[0].to_string()).expect("a step");
    let shown = run(rig.tandem("trace").arg(hanging.trace_id.to_string()), LIMIT);
    assert!(shown.stdout.contains("(unfinished)"), "{shown}");
}

fn compare(account: &Account, spans: &[Span]) {
    let known = by_id(spans);
    let mut steps: BTreeMap<u32, &Span> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.name == "step") {
        let number = attribute(span, "step.number").parse().unwrap_or_else(|_| panic!("no number in {span:?}"));
        assert!(steps.insert(number, span).is_none(), "step {number} came twice");
        // Its request cannot have ended before it, so it is there: finished or not.
        let request = span.parent_span_id.and_then(|id| known.get(&(span.trace_id, id)));
        let request = request.unwrap_or_else(|| panic!("step {number} has no request above it"));
        assert_eq!(request.kind, Kind::Server, "{}", title(request));
    }
    for number in &account.ended {
        let step = steps.get(number).unwrap_or_else(|| panic!("step {number} has ended and is lost"));
        assert!(!step.unfinished, "step {number} has ended and is marked as unfinished");
    }
    for number in &account.began {
        assert!(steps.contains_key(number), "step {number} had begun and is lost");
    }
    for number in HANGING {
        let step = steps[&number];
        assert!(step.unfinished, "step {number} is not marked as unfinished");
        let request = known[&(step.trace_id, step.parent_span_id.expect("a request"))];
        assert!(request.unfinished, "the request of step {number} is not marked as unfinished");
        assert!(step.duration_ns > 0);
    }
}

/// Scenario: the agent itself is killed with SIGKILL under a running program. Guarantees: the program does not notice, and
/// what the store had is still there for a new agent, which adds what the program has done meanwhile.
#[test]
fn a_killed_agent_loses_no_span() {
    if crate::support::is_without_go("crash a_killed_agent_loses_no_span") {
        return;
    }
    let _machine = crate::agent::machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let start = |rig: &Rig| {
        let mut agent = Running::start(rig.observe("agent").arg("--socket").arg(&socket));
        agent.stderr_line(|line| line.contains("listening").then_some(()));
        agent
    };
    let first = start(&rig);
    let mut program = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket));
    let steps = Steps::of(&mut program, &rig);
    let walk = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| drop(prometheus::get(&steps.address, &format!("/step?n={number}"))))
    };
    walk(0..20);
    // Until spans have been delivered, a killed agent takes them along.
    let stored = || rig.traces(&["--limit", "1000"]).iter().map(|trace| trace.span_count).sum::<u64>();
    let delivered = || rig.spans().len() >= 40 && stored() >= 40;
    eventually(LIMIT, || delivered().then_some(())).expect("the first spans arrive");
    first.signal(Signal::KILL);
    assert_eq!(first.finish().code, 128 + 9);
    walk(20..40);
    let second = start(&rig);
    walk(40..60);
    eventually(LIMIT, || (steps.numbers(&rig.spans()).len() >= 60).then_some(())).expect("all spans arrive");
    assert_eq!(program.stop().code, 128 + 15);
    assert_eq!(second.stop().code, 0);
    assert_eq!(steps.numbers(&rig.spans()), (0..60).collect::<Vec<_>>());
    assert!(!socket.exists(), "the socket was left behind");
    assert_eq!(stored(), 120);
}
