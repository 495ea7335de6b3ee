//! A program that writes garbage over its own shared memory (`tests/programs/garbage`).
//!
//! Guarantees: it costs only its own spans. The agent goes on, says that something made no sense, and loses nothing of the
//! programs beside it, nor of what this one did before.

use crate::agent::machine;
use crate::prometheus;
use crate::rig::{self, LIMIT, Rig, Running, eventually};
use crate::spans::{is_error, service};
use crate::steps::{Steps, numbers, program};

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Scenario: an honest server under load beside the program that writes garbage, both with one agent.
#[test]
fn garbage_costs_only_its_own_spans() {
    if crate::support::is_without_go("garbage garbage_costs_only_its_own_spans") {
        return;
    }
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let mut agent = Running::start(rig.observe("agent").args(["--metrics", "127.0.0.1:0", "--socket"]).arg(&socket));
    let metrics = agent.address("metrics");
    agent.stderr_line(|line| line.contains("listening").then_some(()));

    let mut honest = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket));
    let server = Steps::of(&mut honest, &rig);
    let mut garbage = Running::start(rig::program(program("garbage")).env("TANDEM_SOCKET", &socket));
    let mut command = garbage.stdin();
    garbage.stdout_line(|line| (line == "ready").then_some(()));
    eventually(LIMIT, || (numbers("garbage", &rig.spans()).len() == 10).then_some(()))
        .expect("what the program did in peace arrives");

    let done = AtomicBool::new(false);
    let walked = thread::scope(|scope| {
        let walker = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) || number < 100 {
                let path = if number % 10 == 9 { "fail" } else { "step" };
                prometheus::request(&server.address, &format!("/{path}?n={number}"));
                number += 1;
            }
            number
        });
        command.write_all(b"go\n").expect("the program listens");
        garbage.stdout_line(|line| (line == "done").then_some(()));
        done.store(true, Ordering::Relaxed);
        walker.join().expect("the honest server answers")
    });
    drop(command);
    let ended = garbage.finish();
    assert_eq!(ended.code, 0, "garbage in shared memory hurt the program itself\n{ended}");

    // Somebody who comes later is served as if nothing had happened.
    let mut late = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket).env("OTEL_SERVICE_NAME", "late"));
    let late_server = Steps::of(&mut late, &rig);
    prometheus::get(&late_server.address, "/step?n=7");
    eventually(LIMIT, || (numbers("late", &rig.spans()) == [7]).then_some(())).expect("the late program is served");
    eventually(LIMIT, || (server.numbers(&rig.spans()).len() as u32 >= walked).then_some(()))
        .expect("the honest server's spans arrive");

    let counted = prometheus::scrape(&metrics).into_iter().filter(|sample| {
        sample.name == "traces_span_metrics_calls_total"
            && sample.label("service_name").ends_with("steps")
            && sample.label("span_name") == "step"
    });
    assert_eq!(counted.map(|sample| sample.value).sum::<f64>(), f64::from(walked), "the honest program's metrics");
    for program in [honest, late] {
        assert_eq!(program.stop().code, 128 + 15);
    }
    let finished = agent.stop();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.said().iter().any(|line| line.contains("made no sense")), "{finished}");

    let spans = rig.spans();
    assert_eq!(server.numbers(&spans), (0..walked).collect::<Vec<_>>());
    let failed = spans.iter().filter(|span| service(span) == "steps" && span.name == "step" && is_error(span));
    assert_eq!(failed.count() as u32, walked / 10);
    let peaceful = numbers("garbage", &spans);
    assert!((0..10).all(|number| peaceful.contains(&number)), "{peaceful:?}");
    assert_eq!(numbers("late", &spans), [7]);
}
