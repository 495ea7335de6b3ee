//! The metrics of a pool of connections, as the program in `tests/programs/pool` brings it about.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

use crate::rig::{LIMIT, Rig, Running, eventually, run};
use crate::steps::program;

/// Scenario: one connection may be open and is in use, one request waits for it, the time of two has ended, and one was taken
/// back; then the wait ends, then the limit, then the database. Guarantees: each of these numbers is right at each time, and a
/// number that does not exist any more is not there.
#[test]
fn a_pool_says_what_it_is_short_of() {
    if crate::support::is_without_go("pool a_pool_says_what_it_is_short_of") {
        return;
    }
    let rig = Rig::new();
    let mut running = Running::start(rig.observe("run").arg("--").arg(program("pool")));
    let mut input = running.stdin();
    let mut say = |word: &str| writeln!(input, "{word}").expect("the program's input");
    running.stdout_line(|line| (line == "waiting").then_some(()));
    shows(
        &rig,
        &[("count idle", 0), ("count used", 1), ("idle.max", 1), ("max", 1), ("pending_requests", 1), ("timeouts", 2)],
    );
    say("free");
    shows(
        &rig,
        &[("count idle", 1), ("count used", 0), ("idle.max", 1), ("max", 1), ("pending_requests", 0), ("timeouts", 2)],
    );
    say("unlimited");
    shows(&rig, &[("count idle", 1), ("count used", 0), ("idle.max", 1), ("pending_requests", 0), ("timeouts", 2)]);
    say("close");
    shows(&rig, &[("timeouts", 2)]);
    drop(input);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
}

/// Waits until the pool's numbers are these, and no others.
fn shows(rig: &Rig, expected: &[(&str, i64)]) {
    let expected: BTreeMap<String, i64> = expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let mut found = BTreeMap::new();
    let same = eventually(LIMIT, || {
        let output = run(rig.tandem("metrics").args(["--live", "--json"]), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        found = lines
            .filter_map(|metric| {
                let name = metric["name"].as_str()?.strip_prefix("db.client.connection.")?.to_owned();
                let state = metric["attributes"]["db.client.connection.state"].as_str();
                Some((state.map_or(name.clone(), |state| format!("{name} {state}")), metric["value"].as_i64()?))
            })
            .collect();
        (found == expected).then_some(())
    });
    assert!(same.is_some(), "{found:?} instead of {expected:?}");
}
