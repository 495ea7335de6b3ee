//! What regulating looks like from outside: metrics, and the JSON that `tandem budget` shows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use deliver::metrics::{OwnKind, OwnMetric};
use model::format_duration;
use serde_json::{Value, json};

use super::controller::{Cost, Kind, Step, share};
use super::cost::Costs;
use super::objectives::Watched;
use super::traffic::Group;

/// Steps that are remembered.
const EVENTS: usize = 50;
/// Programs that are shown one by one.
const PROGRAMS: usize = 50;
/// Routes likewise.
const ROUTES: usize = 50;

#[derive(Debug)]
pub(super) struct Report {
    /// What a read of the clock takes.
    clock_read: Duration,
    costs: Costs,
    limited: Vec<(String, Option<Cost>)>,
    levels: Vec<(Kind, u32, String)>,
    /// Routes of which less is recorded than all, or more is wanted; and by their names the shares that are recorded.
    routes: Vec<Value>,
    kept: Vec<(String, u64)>,
    objectives: Vec<Value>,
    points: BTreeMap<&'static str, Vec<(String, u64)>>,
    events: VecDeque<(Duration, String)>,
    /// Steps by kind and direction.
    steps: BTreeMap<String, u64>,
    pub(super) exhausted: bool,
}

impl Report {
    pub(super) fn new(clock_read: Duration) -> Self {
        Self {
            clock_read,
            costs: Costs::default(),
            limited: Vec::new(),
            levels: Vec::new(),
            routes: Vec::new(),
            kept: Vec::new(),
            objectives: Vec::new(),
            points: BTreeMap::new(),
            events: VecDeque::new(),
            steps: BTreeMap::new(),
            exhausted: false,
        }
    }

    /// Something has happened.
    pub(super) fn note(&mut self, unix: Duration, line: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((unix, line));
    }

    pub(super) fn step(&mut self, step: Step, unix: Duration, line: String) {
        let direction = if step.to > step.from { "less" } else { "more" };
        *self.steps.entry(format!("{}_{direction}", step.kind.name())).or_default() += 1;
        self.note(unix, line);
    }

    /// What is so now.
    pub(super) fn show(
        &mut self,
        costs: Costs,
        limited: Vec<(String, Option<Cost>)>,
        levels: Vec<(Kind, u32, String)>,
        mut routes: Vec<&Group>,
        objectives: &[Watched],
    ) {
        self.costs = costs;
        self.limited = limited;
        self.levels = levels;
        routes.truncate(ROUTES);
        self.kept = routes.iter().map(|group| (group.name(), thousandths(share(group.level)))).collect();
        self.routes = routes.into_iter().map(route).collect();
        self.objectives = objectives.iter().map(objective).collect();
        self.points = points(objectives);
    }

    pub(super) fn metrics(&self) -> Vec<OwnMetric> {
        let measured = [
            ("agent_cpu_percent", Some(100.0 * self.costs.agent)),
            ("agent_memory_mib", Some(self.costs.memory)),
            ("kernel_cpu_percent", self.costs.kernel.map(|share| 100.0 * share)),
            ("programs_cpu_percent", self.costs.added(|_| true)),
        ];
        let measured = measured.iter().filter_map(|(name, value)| Some(((*name).to_owned(), thousandths((*value)?))));
        let limits = self.limited.iter().filter_map(|(name, cost)| Some((name.clone(), thousandths((*cost)?.limit))));
        let levels = self.levels.iter().map(|(kind, level, _)| (kind.name().to_owned(), u64::from(*level)));
        let metric = |name, help, kind, label, points| OwnMetric { name, help, kind, label: Some(label), points };
        let mut metrics = vec![
            metric(
                "tandem_budget_cost",
                "What observing costs: percent of one CPU, MiB, percent of the programs' CPU time.",
                OwnKind::Thousandths,
                "cost",
                measured.collect(),
            ),
            metric("tandem_budget_limit", "What it may cost.", OwnKind::Thousandths, "cost", limits.collect()),
            metric(
                "tandem_budget_level",
                "How much of each detail is shed, in steps; 0: nothing.",
                OwnKind::Gauge,
                "kind",
                levels.collect(),
            ),
            metric(
                "tandem_budget_steps_total",
                "Steps to less detail and to more, by kind.",
                OwnKind::Counter,
                "step",
                self.steps.iter().map(|(step, count)| (step.clone(), *count)).collect(),
            ),
            metric(
                "tandem_budget_route_kept",
                "Of routes of which less than all is recorded, or that miss an objective: the share of new traces that is.",
                OwnKind::Thousandths,
                "route",
                self.kept.clone(),
            ),
            OwnMetric {
                name: "tandem_budget_exhausted",
                help: "1: a budget is exceeded, and there is nothing more to shed.",
                kind: OwnKind::Gauge,
                label: None,
                points: vec![(String::new(), u64::from(self.exhausted))],
            },
        ];
        if !self.objectives.is_empty() {
            let of = |name| self.points.get(name).cloned().unwrap_or_default();
            let gauge = |name, help, points| metric(name, help, OwnKind::Gauge, "objective", points);
            metrics.extend([
                gauge("tandem_objective_missed", "1: the objective is missed.", of("missed")),
                gauge("tandem_objective_requests", "Requests in the objective's window.", of("requests")),
                metric(
                    "tandem_objective_spent",
                    "Of the slow or failed requests that the objective allows, the share that there were; above 1: more.",
                    OwnKind::Thousandths,
                    "objective",
                    of("spent"),
                ),
                metric(
                    "tandem_objective_slow_kept",
                    "The share of slow requests that were recorded.",
                    OwnKind::Thousandths,
                    "objective",
                    of("slow_kept"),
                ),
            ]);
        }
        metrics
    }

    pub(super) fn text(&self) -> String {
        let costs = &self.costs;
        let percent = |share: f64| 100.0 * share;
        let programs = costs.programs.iter().take(PROGRAMS).map(|program| {
            json!({
                "service": program.service,
                "cpu_percent": percent(program.uses),
                "hooks_percent": percent(program.hooks),
                "kernel_percent": percent(program.kernel),
            })
        });
        let limited = self.limited.iter().filter_map(|(name, cost)| {
            let cost = (*cost)?;
            Some(json!({ "cost": name, "measured": cost.measured, "limit": cost.limit }))
        });
        let levels =
            self.levels.iter().map(|(kind, level, text)| json!({ "kind": kind.name(), "level": level, "now": text }));
        let events = self.events.iter().map(|(unix, line)| json!({ "unix_nano": nanos(*unix), "text": line }));
        json!({
            "agent_cpu_percent": percent(costs.agent),
            "agent_memory_mib": costs.memory,
            "kernel_cpu_percent": costs.kernel.map(percent),
            "profiler_cpu_percent": costs.profiler.map(percent),
            "programs_added_percent": costs.added(|_| true),
            "operations_per_second": costs.operations,
            "records_per_second": costs.records,
            "clock_read_ns": nanos(self.clock_read),
            "programs": programs.collect::<Vec<_>>(),
            "budgets": limited.collect::<Vec<_>>(),
            "exhausted": self.exhausted,
            "levels": levels.collect::<Vec<_>>(),
            "routes": self.routes,
            "objectives": self.objectives,
            "events": events.collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn route(group: &Group) -> Value {
    json!({
        "service": &*group.service,
        "route": group.asked.as_ref().map(|asked| &asked.route),
        "traces_per_second": group.rate,
        "kept_percent": 100.0 * share(group.level),
        "missed": group.is_missed,
    })
}

fn objective(watched: &Watched) -> Value {
    let (objective, standing) = (&watched.objective, &watched.standing);
    json!({
        "name": objective.name,
        "service": objective.service,
        "route": objective.route,
        "window_seconds": objective.window.as_secs(),
        "missed": standing.missed,
        "requests": standing.requests,
        "p99_ns": standing.p99,
        "p99_limit_ns": objective.p99,
        "p99_left": standing.p99_left,
        "error_rate": standing.error_rate,
        "error_rate_limit": objective.error_rate,
        "errors_left": standing.errors_left,
        "slow_kept": standing.slow_kept,
        "slow_kept_limit": objective.slow_kept,
        "overhead_percent": standing.overhead,
        "overhead_limit_percent": objective.overhead,
    })
}

fn points(objectives: &[Watched]) -> BTreeMap<&'static str, Vec<(String, u64)>> {
    let mut points: BTreeMap<&'static str, Vec<(String, u64)>> = BTreeMap::new();
    for watched in objectives {
        let (name, standing) = (&watched.objective.name, &watched.standing);
        let mut put = |what, name: String, value| points.entry(what).or_default().push((name, value));
        put("missed", name.clone(), u64::from(standing.missed));
        put("requests", name.clone(), standing.requests);
        for (of, left) in [("p99", standing.p99_left), ("error_rate", standing.errors_left)] {
            if let Some(left) = left {
                put("spent", format!("{name}: {of}"), thousandths(1.0 - left));
            }
        }
        if let Some(kept) = standing.slow_kept {
            put("slow_kept", name.clone(), thousandths(kept));
        }
    }
    points
}

/// A line when an objective is missed, or met again.
pub(super) fn objective_line(watched: &Watched) -> String {
    let (objective, standing) = (&watched.objective, &watched.standing);
    let mut facts = Vec::new();
    if let (Some(p99), Some(limit)) = (standing.p99, objective.p99) {
        facts.push(format!("p99 is about {} of {}", format_duration(p99), format_duration(limit)));
    }
    if let (Some(rate), Some(limit)) = (standing.error_rate, objective.error_rate) {
        facts.push(format!("{:.2} % of requests fail, {:.2} % may", 100.0 * rate, 100.0 * limit));
    }
    if let (Some(overhead), Some(limit)) = (standing.overhead, objective.overhead) {
        facts.push(format!("observing adds {overhead:.2} %, {limit:.2} % are allowed"));
    }
    let what = if standing.missed { "is missed" } else { "is met again" };
    format!("objective {:?} {what}: {} ({} requests)", objective.name, facts.join("; "), standing.requests)
}

fn thousandths(value: f64) -> u64 {
    (value.max(0.0) * 1000.0).round() as u64
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
