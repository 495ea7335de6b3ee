//! Tail sampling (`sampling:` in agent.yaml) of a woven program, `tests/programs/outcomes`.
//!
//! Guarantees: rates, errors and durations are those of all requests, however few traces are kept; every trace that failed or was
//! slow is kept, whole, and says why; what waits when the agent stops is decided on; every trace is counted.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::prometheus::{self, Sample};
use crate::rig::{LIMIT, Rig, Running, eventually, run};
use crate::steps;

const GOOD: u64 = 60;
const BAD: u64 = 5;
const SLOW: u64 = 2;
const ALL: u64 = GOOD + BAD + SLOW;

/// Scenario: the traces' time comes while the agent runs.
#[test]
fn what_is_kept_is_chosen_and_what_is_counted_is_all() {
    if crate::support::is_without_go("sampling what_is_kept_is_chosen_and_what_is_counted_is_all") {
        return;
    }
    observe("1s", |rig, metrics| {
        let kept = || rig.traces(&["--limit", "1000"]).len() as u64;
        eventually(LIMIT, || {
            let samples = prometheus::scrape(metrics);
            let decided = sum(&samples, "tandem_sampling_kept_traces_total")
                + sum(&samples, "tandem_sampling_dropped_traces_total");
            (decided == ALL && sum(&samples, "tandem_sampling_held_spans") == 0).then_some(())
        })
        .expect("all traces are decided on");
        let samples = prometheus::scrape(metrics);
        let of_metric = sum(&samples, "tandem_sampling_kept_traces_total");
        eventually(LIMIT, || (kept() == of_metric).then_some(())).expect("what was kept is in the store");
        assert_eq!(sum(&samples, "tandem_sampling_kept_spans_total"), 2 * of_metric);
    });
}

/// Scenario: the agent stops before.
#[test]
fn what_waits_at_the_end_is_decided_on() {
    if crate::support::is_without_go("sampling what_waits_at_the_end_is_decided_on") {
        return;
    }
    observe("1h", |rig, metrics| {
        eventually(LIMIT, || {
            let samples = prometheus::scrape(metrics);
            // A span that failed makes it certain: those traces do not wait.
            let (bad, held) =
                (sum(&samples, "tandem_sampling_kept_traces_total"), sum(&samples, "tandem_sampling_held_traces"));
            (bad >= BAD && bad + held == ALL).then_some(())
        })
        .expect("the others wait");
        assert!((rig.traces(&["--limit", "1000"]).len() as u64) < ALL);
    });
}

/// Runs the program with this wait, looks while it runs, and checks what is there at the end.
fn observe(wait: &str, look: impl FnOnce(&Rig, &str)) {
    let rig = Rig::new();
    let config = rig.path().join("agent.yaml");
    let text = format!(
        "sampling:
  decision_wait: {wait}
  policies:
    - {{name: failed, type: status_code, status_code: {{status_codes: [ERROR]}}}}
    - {{name: slow, type: latency, latency: {{threshold_ms: 1000}}}}
    - {{name: few, type: probabilistic, probabilistic: {{sampling_percentage: 10}}}}
"
    );
    std::fs::write(&config, text).expect("a configuration");
    let mut command = rig.observe("run");
    command.args(["--no-kernel", "--metrics", "127.0.0.1:0", "--config"]).arg(&config).arg("--");
    command.arg(steps::program("outcomes")).args([GOOD, BAD, SLOW].map(|count| count.to_string()));
    let mut running = Running::start(&mut command);
    let input = running.stdin();
    let metrics = running.address("metrics");
    running.stdout_line(|line| (line == format!("made {ALL}")).then_some(()));

    let expected = BTreeMap::from([("/good".to_owned(), GOOD), ("/bad".to_owned(), BAD), ("/slow".to_owned(), SLOW)]);
    eventually(LIMIT, || (served(&prometheus::scrape(&metrics)) == expected).then_some(()))
        .unwrap_or_else(|| panic!("the metrics have {:?}", served(&prometheus::scrape(&metrics))));
    look(&rig, &metrics);
    drop(input);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");

    let traces = explained(&rig);
    let said = format!("sampling kept {} of {ALL} traces (failed {BAD}, slow ", traces.len());
    assert!(finished.said().iter().any(|line| line.starts_with(&said) && line.contains("--why")), "{said}\n{finished}");
    let of = |policy: &str| traces.iter().filter(|trace| trace["kept_by"] == Value::from(vec![policy])).count() as u64;
    assert_eq!(of("failed"), BAD, "{traces:#?}");
    // A busy machine makes others slow, too: then they are kept for that.
    let slow: Vec<_> = traces.iter().filter(|trace| trace["duration_ns"].as_u64() >= Some(1_000_000_000)).collect();
    assert!(of("slow") >= SLOW && slow.len() as u64 >= SLOW, "{traces:#?}");
    assert_eq!(of("failed") + of("slow") + of("few"), traces.len() as u64, "each says why: {traces:#?}");
    assert!(traces.iter().all(|trace| trace["span_count"] == 2), "each is whole: {traces:#?}");

    let shown = run(rig.tandem("traces").arg("--why").args(["--attribute", "tandem.sampling.policy=failed"]), LIMIT);
    assert_eq!(shown.stdout.matches("  failed  ").count() as u64, BAD, "{shown}");
    let exported = rig.spans();
    assert_eq!(exported.len(), 2 * traces.len(), "nothing else was exported");
    rig.assert_nothing_left();
}

fn sum(samples: &[Sample], name: &str) -> u64 {
    samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value as u64).sum()
}

/// Requests by route, as the metrics count them.
fn served(samples: &[Sample]) -> BTreeMap<String, u64> {
    let counts = samples.iter().filter(|sample| sample.name == "http_server_request_duration_seconds_count");
    counts.map(|sample| (sample.label("http_route").to_owned(), sample.value as u64)).collect()
}

fn explained(rig: &Rig) -> Vec<Value> {
    let output = run(rig.tandem("traces").args(["--json", "--why", "--limit", "1000"]), LIMIT);
    assert_eq!(output.code, 0, "{output}");
    output.stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}
