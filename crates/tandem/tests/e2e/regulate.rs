//! An agent within its budget (`budget:` in agent.yaml), with a woven program whose load changes, `tests/programs/load`.
//!
//! Guarantees: when load triples, the agent's CPU time, by the kernel's own account of it, is held to the budget within a tenth once the
//! steps are taken, without any detail going back and forth; the detail comes back when the load has gone; rates, errors and durations
//! count each of the load generator's requests all the time; and all of it can be seen. What the budget is, is measured first: this
//! machine may be as slow or busy as it likes, but evenly so.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{ChildStdin, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::prometheus::{self, Sample};
use crate::rig::{LIMIT, Rig, Running, eventually, run};
use crate::spans::attribute;
use crate::steps;

/// Requests a second when there are few, and three times as many.
const LOW: u32 = 150;
const HIGH: u32 = 3 * LOW;

/// The program under an agent.
struct Loaded {
    rig: Rig,
    running: Running,
    input: ChildStdin,
    metrics: String,
}

impl Loaded {
    fn start(settings: &str, arguments: &[&str]) -> Self {
        Self::of("load", settings, arguments)
    }

    fn of(program: &str, settings: &str, arguments: &[&str]) -> Self {
        let rig = Rig::new();
        let config = rig.path().join("agent.yaml");
        std::fs::write(&config, settings).expect("a configuration");
        let mut command = rig.observe("run");
        command.args(["--metrics", "127.0.0.1:0"]).args(arguments).arg("--config").arg(&config);
        command.arg("--").arg(steps::program(program));
        let mut running = Running::start(&mut command);
        let input = running.stdin();
        let metrics = running.address("metrics");
        running.stdout_line(|line| line.starts_with("pid ").then_some(()));
        Self { rig, running, input, metrics }
    }

    fn rate(&mut self, rate: u32) {
        writeln!(self.input, "{rate}").expect("it reads");
    }

    /// The agent's CPU time over such a time, percent of a CPU, as the kernel tells it.
    fn cpu_over(&self, time: Duration) -> f64 {
        let (begin, before) = (Instant::now(), self.ticks());
        thread::sleep(time);
        let (ticks, passed) = (self.ticks() - before, begin.elapsed());
        100.0 * ticks as f64 / rustix::param::clock_ticks_per_second() as f64 / passed.as_secs_f64()
    }

    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.pid())).expect("the agent runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        fields.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// `tandem budget` of this agent, among others that may run.
    fn budget_command(&self) -> Command {
        let folders = std::fs::read_dir(self.rig.path().join("tmp")).expect("a folder").flatten();
        let socket = folders.map(|entry| entry.path().join("agent.sock")).find(|socket| socket.exists());
        let mut command = self.rig.tandem("budget");
        command.arg("--socket").arg(socket.expect("the agent's socket"));
        command
    }

    fn budget(&self) -> Value {
        let output = run(self.budget_command().arg("--json"), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Levels by kind.
    fn levels(&self) -> BTreeMap<String, u64> {
        let levels = self.budget()["levels"].as_array().expect("a list").clone();
        let level = |level: &Value| {
            (level["kind"].as_str().expect("a name").to_owned(), level["level"].as_u64().expect("a number"))
        };
        levels.iter().map(level).collect()
    }

    /// Requests by route that were counted, when that does not change any more.
    fn counted(&self) -> BTreeMap<String, u64> {
        let mut before = BTreeMap::new();
        let counted = eventually(LIMIT, || {
            let now = served(&prometheus::scrape(&self.metrics));
            let is_still = now == std::mem::replace(&mut before, now.clone());
            thread::sleep(Duration::from_millis(500));
            is_still.then_some(now)
        });
        counted.expect("the last requests end")
    }

    /// Has `routes` make so many requests, and waits until they are answered. Each call has its own number.
    fn ask(&mut self, number: u32, route: &str, count: u32) {
        let line = format!("{route} {count} of call {number}");
        writeln!(self.input, "{line}").expect("it reads");
        self.running.stdout_line(|said| (said == line).then_some(()));
    }

    /// Ends the program: what it says to have made is what was counted.
    fn finish(mut self) -> Vec<String> {
        self.rate(0);
        self.running.stdout_line(|line| (line == "rate 0").then_some(()));
        thread::sleep(Duration::from_millis(500));
        let counted = self.counted();
        drop(self.input);
        let finished = self.running.finish();
        assert_eq!(finished.code, 0, "{finished}");
        let made = finished.stdout.lines().find_map(|line| line.strip_prefix("made ")).expect("its last words");
        let made: Vec<u64> = made.split(' ').map(|count| count.parse().expect("a number")).collect();
        let expected = BTreeMap::from([("/busy".to_owned(), made[0]), ("/quick".to_owned(), made[1])]);
        assert_eq!(counted, expected, "{finished}");
        let said = finished.said().into_iter().filter(|line| line.starts_with("budget: "));
        said.map(str::to_owned).collect()
    }
}

/// Requests by route, as the metrics count them.
fn served(samples: &[Sample]) -> BTreeMap<String, u64> {
    let counts = samples.iter().filter(|sample| sample.name == "http_server_request_duration_seconds_count");
    let mut served = BTreeMap::new();
    counts.for_each(|sample| *served.entry(sample.label("http_route").to_owned()).or_default() += sample.value as u64);
    served
}

/// Scenario: a budget that nothing fits in. Detail is shed; it can be seen; nothing is miscounted. Objectives are watched.
#[test]
fn what_is_shed_is_seen_and_nothing_is_miscounted() {
    if crate::support::is_without_go("regulate what_is_shed_is_seen_and_nothing_is_miscounted") {
        return;
    }
    let settings = "
budget:
  agent: {cpu_percent: 0.001}
objectives:
  - {name: impossible, route: 'GET /busy', p99: 1us}
  - {name: easy, p99: 60s, error_rate: 1%}
";
    let mut loaded = Loaded::start(settings, &["--no-kernel"]);
    loaded.rate(LOW);
    let seen = eventually(LIMIT, || {
        let levels = loaded.levels();
        thread::sleep(Duration::from_millis(500));
        let level = |kind: &str| levels.get(kind).copied().unwrap_or_default();
        (level("join_points") > 0).then_some(())
    });
    seen.expect("noisy join points go first");
    let budget = loaded.budget();
    let now = budget["levels"][0]["now"].as_str().expect("a text");
    assert!(now.starts_with("only counted: func/main.piece"), "{budget:#}");
    let objective = |name: &str| {
        let objectives = budget["objectives"].as_array().expect("a list").iter();
        objectives.clone().find(|objective| objective["name"] == name).expect("it is watched").clone()
    };
    assert_eq!(
        (objective("impossible")["missed"].clone(), objective("easy")["missed"].clone()),
        (true.into(), false.into())
    );
    assert_eq!(objective("easy")["errors_left"], 1.0);
    let shown = run(&mut loaded.budget_command(), LIMIT);
    assert!(shown.stdout.contains("agent_cpu_percent") && shown.stdout.contains("impossible  missed: "), "{shown}");
    let samples = prometheus::scrape(&loaded.metrics);
    let value = |name: &str, label: &str, is: &str| {
        let found =
            samples.iter().find(|sample| sample.name == name && (label.is_empty() || sample.label(label) == is));
        found.unwrap_or_else(|| panic!("{name} {is}")).value
    };
    assert!(value("tandem_budget_cost", "cost", "agent_cpu_percent") > 0.001);
    assert_eq!(value("tandem_budget_limit", "cost", "agent_cpu_percent"), 0.001);
    assert!(value("tandem_budget_level", "kind", "join_points") >= 1.0);
    assert!(value("tandem_budget_steps_total", "step", "join_points_less") >= 1.0);
    assert_eq!(value("tandem_objective_missed", "objective", "impossible"), 1.0);
    let said = loaded.finish();
    let counted =
        "budget: join points: spans of func/main.piece are only counted in 50 % of traces: agent_cpu_percent is ";
    assert!(said[0].starts_with(counted), "{said:#?}");
}

/// Scenario: a budget that nothing fits in, a route that is asked for all the time and one that is asked for now and then and always
/// fails, `tests/programs/routes`. Of the former next to nothing is recorded, of the latter all; both are counted.
#[test]
fn the_route_that_misses_its_objective_keeps_its_traces() {
    if crate::support::is_without_go("regulate the_route_that_misses_its_objective_keeps_its_traces") {
        return;
    }
    const ROUNDS: u32 = 6;
    let settings = "
budget:
  agent: {cpu_percent: 0.001}
objectives:
  - {name: works, route: '/broken', error_rate: 1%}
";
    let mut loaded = Loaded::of("routes", settings, &["--no-kernel"]);
    let (mut rounds, mut asked) = (0, BTreeMap::new());
    let mut round = |loaded: &mut Loaded| {
        for (route, count) in [("/busy/", 400), ("/broken", u32::from(rounds % 6 == 0))] {
            loaded.ask(rounds, route, count);
            *asked.entry(route.to_owned()).or_default() += u64::from(count);
        }
        rounds += 1;
        thread::sleep(Duration::from_millis(500));
        rounds % 6 == 0
    };
    let of_route = |budget: &Value, route: &str| {
        let routes = budget["routes"].as_array().expect("a list").clone();
        routes.into_iter().find(|of| of["route"] == route).unwrap_or_default()
    };
    let shed = eventually(2 * LIMIT, || {
        while !round(&mut loaded) {}
        let budget = loaded.budget();
        let (busy, broken) = (of_route(&budget, "/busy/"), of_route(&budget, "/broken"));
        let few = busy["kept_percent"].as_f64().is_some_and(|kept| kept < 1.0);
        (few && broken["missed"] == true && broken["kept_percent"] == 100.0).then_some(budget)
    });
    let shed = shed.unwrap_or_else(|| panic!("it is shed by route: {:#}", loaded.budget()));
    let now = shed["levels"].as_array().expect("a list").iter().find(|level| level["kind"] == "head_sampling");
    assert!(now.expect("it is there")["level"].as_u64() > Some(0), "{shed:#}");
    let shown = run(&mut loaded.budget_command(), LIMIT);
    assert!(
        shown.stdout.contains("/broken  100.0 % of ") && shown.stdout.contains("its objective is missed"),
        "{shown}"
    );
    let samples = prometheus::scrape(&loaded.metrics);
    let kept = samples.iter().filter(|sample| sample.name == "tandem_budget_route_kept");
    assert!(
        kept.clone().any(|sample| sample.label("route").ends_with(" /busy/") && sample.value < 0.01),
        "{samples:?}"
    );

    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_nanos() as u64;
    for _ in 0..ROUNDS {
        while !round(&mut loaded) {}
    }
    assert_eq!(loaded.counted(), asked);
    drop(loaded.input);
    let finished = loaded.running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    let recorded = |route: &str| {
        let spans = loaded.rig.spans().into_iter();
        spans.filter(|span| span.start_unix_nano >= since && attribute(span, "http.route") == route).collect::<Vec<_>>()
    };
    assert_eq!(recorded("/broken").len(), ROUNDS as usize, "all of them: {finished}");
    let busy = recorded("/busy/");
    assert!(busy.len() < 400 * 6 * ROUNDS as usize / 20, "{} of {asked:?}", busy.len());
    for span in &busy {
        assert!(span.trace_state.starts_with("ot=th:f"), "{span:?}");
    }
    let said = finished.said();
    assert!(
        said.iter().any(|line| line.starts_with("budget: head sampling from ") && line.contains(" /busy/ ")),
        "{said:#?}"
    );
}

/// Scenario: load triples for two minutes, and falls again.
#[test]
#[ignore = "minutes, on a machine that does nothing else (make test-budget)"]
fn a_budget_holds_when_load_triples() {
    if crate::support::is_without_go("regulate a_budget_holds_when_load_triples") {
        return;
    }
    const MEASURED: Duration = Duration::from_secs(20);
    let detail: &[&str] = &["--detail", "--profile=99"];
    let mut loaded = Loaded::start("budget: {agent: {cpu_percent: 100000}}", detail);
    loaded.rate(LOW);
    thread::sleep(Duration::from_secs(3));
    let usual = loaded.cpu_over(MEASURED);
    loaded.rate(HIGH);
    thread::sleep(Duration::from_secs(3));
    let unregulated = loaded.cpu_over(MEASURED);
    assert!(loaded.levels().values().all(|level| *level == 0), "{:#}", loaded.budget());
    assert_eq!(loaded.finish(), [""; 0]);
    let limit = 1.4 * usual;
    println!("usual {usual:.2} %, three times the load {unregulated:.2} %, the budget is {limit:.2} %");

    let mut loaded = Loaded::start(&format!("budget: {{agent: {{cpu_percent: {limit:.3}}}}}"), detail);
    loaded.rate(LOW);
    thread::sleep(Duration::from_secs(15));
    assert!(loaded.levels().values().all(|level| *level == 0), "it fits: {:#}", loaded.budget());
    loaded.rate(HIGH);
    thread::sleep(Duration::from_secs(60)); // the steps
    let held = loaded.cpu_over(Duration::from_secs(60));
    let (steps_high, levels) = (loaded.budget()["events"].as_array().expect("a list").clone(), loaded.levels());
    println!("held at {held:.2} % with {levels:?}");
    for step in &steps_high {
        println!("  {}", step["text"]);
    }
    assert!(levels.values().any(|level| *level > 0), "something is shed: {levels:?}");
    assert!(held <= 1.1 * limit, "{held:.2} % is not within a tenth of {limit:.2} %");
    loaded.rate(LOW);
    eventually(8 * LIMIT, || {
        thread::sleep(Duration::from_secs(1));
        loaded.levels().values().all(|level| *level == 0).then_some(())
    })
    .unwrap_or_else(|| panic!("it does not come back: {:#}", loaded.budget()));
    let said = loaded.finish();
    println!("{said:#?}");
    // A step to less names what is above the budget, one to more what is below it.
    for kind in ["profile rate", "kernel detail", "join points", "head sampling"] {
        let steps = said.iter().take(steps_high.len()).filter(|line| line.starts_with(&format!("budget: {kind}")));
        let directions: Vec<bool> = steps.map(|line| line.contains(", above the budget")).collect();
        let changes = directions.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 1, "{kind} goes back and forth: {said:#?}");
    }
}
