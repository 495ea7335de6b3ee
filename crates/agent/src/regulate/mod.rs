//! The agent within its budget (docs/budget.md): what observing costs is measured ([`cost`]) once a second, objectives are watched
//! ([`objectives`]), the [`controller`] decides on a step, and here it is taken, written down and shown ([`report`]).
//!
//! What programs are told ([`rules`]), they are told in their control page and their table of routes: which operations are only counted, which
//! share of new traces is recorded, of all and of single routes ([`traffic`], by the scheme of [`fill`]). Rates, errors and durations stay exact,
//! whatever is shed.

pub mod controller;
pub mod cost;
mod fill;
pub mod objectives;
mod pattern;
mod report;
mod rules;
pub mod settings;
mod traffic;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deliver::metrics::OwnMetric;
use record::layout::kind::{CONSUMER, SERVER};

use crate::measure::Measure;
use controller::{Cause, Controller, Cost, Kind, LEAST_SAMPLING, Look, Step, share};
use cost::{Costs, Meter, ProgramWork};
use objectives::{Wanted, Watched};
use report::Report;
pub(crate) use rules::Told;
use settings::{Budget, Objective};
use traffic::Traffic;

/// Levels of the profiler's rate: all of it, a half, a quarter, none.
const RATES: u32 = 3;
/// Join points that are only counted at once. A program has room for some more rules.
const MOST_JOIN_POINTS: u32 = 4;
/// Each is only counted in ever more traces: so many of 256, 255 being all.
const COUNTED: [u8; 4] = [128, 192, 224, 255];
const COUNTED_STEPS: u32 = COUNTED.len() as u32;
/// A join point is noisy that makes so many spans for each request, and so many a second.
const NOISY_A_REQUEST: f64 = 3.0;
const NOISY_A_SECOND: f64 = 20.0;
/// Of its spans, so many may begin a trace.
const NOISY_ROOTS: f64 = 0.1;
/// How much of the last look counts among those before.
const NEWEST: f64 = 0.3;
/// Of what misses its objective eight times as many traces are recorded as of others: head sampling sheds it so many halvings less.
const MORE_HALVINGS: u32 = 3;
/// Routes that a line names.
const NAMED: usize = 3;

/// How an agent is regulated.
pub struct Regulating {
    /// What it may cost.
    pub budget: Budget,
    /// What requests are to be like.
    pub objectives: Vec<Objective>,
    /// What they want kept, as the sampler sees it.
    pub wanted: Arc<Wanted>,
    /// Samples of stacks a second, where there are any.
    pub profile_rate: Option<u32>,
    /// Says what is done, a line each.
    pub say: Box<dyn Fn(&str) + Send>,
}

/// What a step asks of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// So many samples a second.
    ProfileRate(Option<u32>),
    /// The detail mode on or off.
    KernelDetail(bool),
}

/// What was measured and done by others.
pub(crate) struct Seen<'a> {
    /// Since the agent started.
    pub(crate) now: Duration,
    pub(crate) kernel: Option<Duration>,
    pub(crate) profiler: Option<Duration>,
    pub(crate) has_detail: bool,
    pub(crate) work: &'a [ProgramWork<'a>],
}

/// Spans a second of a join point, on average.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    recorded: f64,
    roots: f64,
    calls: f64,
}

pub(crate) struct Regulator {
    budget: Budget,
    profile_rate: Option<u32>,
    say: Box<dyn Fn(&str) + Send>,
    meter: Meter,
    controller: Controller,
    objectives: Vec<Watched>,
    /// By the join point's id.
    rates: HashMap<String, Rate>,
    /// Requests a second.
    requests: f64,
    /// Join points that are only counted, in the order in which they came to that.
    counted: Vec<String>,
    traffic: Traffic,
    wanted: Arc<Wanted>,
    report: Report,
}

impl Regulator {
    pub(crate) fn new(regulating: Regulating) -> Self {
        let Regulating { budget, objectives, wanted, profile_rate, say } = regulating;
        let meter = Meter::start();
        Self {
            budget,
            profile_rate,
            say,
            report: Report::new(meter.clock_read()),
            meter,
            controller: Controller::default(),
            objectives: objectives.into_iter().map(Watched::new).collect(),
            rates: HashMap::new(),
            requests: 0.0,
            counted: Vec::new(),
            traffic: Traffic::default(),
            wanted,
        }
    }

    /// Once a second: looks, and says what is to be done.
    pub(crate) fn look(&mut self, seen: &Seen<'_>, measure: &Measure) -> Option<Order> {
        let costs = self.meter.look(seen.now, seen.kernel, seen.profiler, seen.work)?;
        self.note_rates(seen.work);
        self.watch_objectives(seen.now, &costs, measure);
        let told: HashSet<&str> = seen.work.iter().filter(|work| work.room > 0).map(|work| work.service).collect();
        self.traffic.look(seen.now, measure, &self.objectives, &told);
        let look = self.controller_look(seen, &costs);
        let limits = look.costs.clone();
        let step = self.controller.look(look);
        self.traffic.share_out(self.controller.level(Kind::HeadSampling));
        let order = step.and_then(|step| self.take(step, &limits));
        let was_exhausted = self.report.exhausted;
        self.report.exhausted = self.controller.is_exhausted();
        if self.report.exhausted && !was_exhausted {
            (self.say)("budget: it is exceeded, and there is nothing more to shed");
        }
        self.report.show(
            costs,
            self.names().into_iter().zip(limits).collect(),
            self.levels(seen.has_detail),
            self.traffic.notable(),
            &self.objectives,
        );
        order
    }

    /// What the agent says of itself.
    pub(crate) fn metrics(&self) -> Vec<OwnMetric> {
        self.report.metrics()
    }

    /// The same for people, JSON.
    pub(crate) fn text(&self) -> String {
        self.report.text()
    }

    fn note_rates(&mut self, work: &[ProgramWork<'_>]) {
        let mut new: HashMap<&str, Rate> = HashMap::new();
        let mut requests = 0.0;
        for operation in work.iter().flat_map(|work| &work.operations) {
            requests += operation.spans.outermost as f64;
            if operation.api || matches!(operation.kind, SERVER | CONSUMER) {
                continue;
            }
            let rate = new.entry(&operation.id).or_default();
            rate.recorded += operation.spans.recorded as f64;
            rate.roots += operation.spans.roots as f64;
            rate.calls += (operation.spans.recorded + operation.spans.counted) as f64;
        }
        let mix = |old: &mut f64, new: f64| *old += NEWEST * (new - *old);
        mix(&mut self.requests, requests);
        for (id, rate) in &mut self.rates {
            let new = new.remove(id.as_str()).unwrap_or_default();
            mix(&mut rate.recorded, new.recorded);
            mix(&mut rate.roots, new.roots);
            mix(&mut rate.calls, new.calls);
        }
        let counted = &self.counted;
        self.rates.retain(|id, rate| rate.calls >= 0.01 || counted.contains(id));
        self.rates.extend(new.into_iter().map(|(id, rate)| (id.to_owned(), rate)));
    }

    /// The join point that makes the most spans of those that are noisy and still recorded.
    fn noisiest(&self) -> Option<&str> {
        let noisy = self.rates.iter().filter(|(id, rate)| {
            let is_noisy = rate.recorded >= NOISY_A_SECOND && rate.recorded >= NOISY_A_REQUEST * self.requests;
            is_noisy && rate.roots <= NOISY_ROOTS * rate.recorded && !self.counted.contains(id)
        });
        noisy.max_by(|one, other| one.1.recorded.total_cmp(&other.1.recorded)).map(|(id, _)| id.as_str())
    }

    fn watch_objectives(&mut self, now: Duration, costs: &Costs, measure: &Measure) {
        let (all, unrecorded) = measure.all();
        for (index, watched) in self.objectives.iter_mut().enumerate() {
            watched.standing.overhead = costs.added(|service| watched.objective.is_about(service));
            let before = watched.standing.missed;
            watched.look(now, all, unrecorded);
            self.wanted.set(index, watched.wants_more());
            if watched.standing.missed != before {
                let line = report::objective_line(watched);
                (self.say)(&line);
                self.report.note(now_unix(), line);
            }
        }
    }

    /// The costs that have a limit, by name.
    fn names(&self) -> Vec<String> {
        let fixed = ["agent_cpu_percent", "agent_memory_mib", "programs_cpu_percent"].map(str::to_owned);
        let dear = self.objectives.iter().filter(|watched| watched.objective.overhead.is_some());
        let dear = dear.map(|watched| format!("overhead_percent of {}", watched.objective.name));
        fixed.into_iter().chain(dear).collect()
    }

    fn controller_look(&self, seen: &Seen<'_>, costs: &Costs) -> Look {
        let cost = |measured: Option<f64>, limit: Option<f64>, follows| {
            measured.zip(limit).map(|(measured, limit)| Cost { measured, limit, follows })
        };
        let mut all = vec![
            cost(Some(100.0 * costs.agent), self.budget.agent_cpu, true),
            cost(Some(costs.memory), self.budget.agent_memory, false),
            cost(costs.added(|_| true), self.budget.programs_cpu, true),
        ];
        let dear = self.objectives.iter().filter(|watched| watched.objective.overhead.is_some());
        all.extend(dear.map(|watched| cost(watched.standing.overhead, watched.objective.overhead, true)));
        let join_points = (self.counted.len() as u32 + u32::from(self.noisiest().is_some())).min(MOST_JOIN_POINTS);
        // Where all that is asked for is so, half the samples do.
        let is_fine = !self.objectives.is_empty() && !self.objectives.iter().any(|watched| watched.standing.missed);
        let has_profiler = self.profile_rate.is_some();
        Look {
            now: seen.now,
            costs: all,
            work: costs.operations,
            highest: [
                if has_profiler { RATES } else { 0 },
                u32::from(seen.has_detail),
                join_points * COUNTED_STEPS,
                LEAST_SAMPLING,
            ],
            lowest: [u32::from(has_profiler && is_fine), 0, 0, 0],
        }
    }

    fn rate_at(&self, level: u32) -> Option<u32> {
        self.profile_rate.filter(|_| level < RATES).map(|rate| (rate >> level).max(1))
    }

    fn take(&mut self, step: Step, costs: &[Option<Cost>]) -> Option<Order> {
        let before = self.describe(step.kind, step.from);
        let (mut what, order) = (
            String::new(),
            match step.kind {
                Kind::ProfileRate => Some(Order::ProfileRate(self.rate_at(step.to))),
                Kind::KernelDetail => Some(Order::KernelDetail(step.to == 0)),
                Kind::JoinPoints => None,
                Kind::HeadSampling => None,
            },
        );
        if step.kind == Kind::JoinPoints {
            let wanted = step.to.div_ceil(COUNTED_STEPS) as usize;
            if self.counted.len() < wanted
                && let Some(noisiest) = self.noisiest().map(str::to_owned)
            {
                self.counted.push(noisiest);
            }
            what = self.counted.last().cloned().unwrap_or_default();
            self.counted.truncate(wanted);
        }
        let change = match step.kind {
            Kind::JoinPoints => match self.counted_share(&what) {
                0 => format!("join points: spans of {what} are recorded in all traces"),
                255 => format!("join points: spans of {what} are only counted"),
                share => format!("join points: spans of {what} are only counted in {} of traces", percent_of(share)),
            },
            kind => {
                let routes = if kind == Kind::HeadSampling { self.most_shed() } else { String::new() };
                format!("{} from {before} to {}{routes}", kind.name().replace('_', " "), self.describe(kind, step.to))
            }
        };
        let why = match step.cause {
            Cause::Over(index, mean) => {
                let limit = costs.get(index).copied().flatten().map_or(0.0, |cost| cost.limit);
                format!("{} is {mean:.2}, above the budget of {limit}", self.names()[index])
            }
            Cause::Room(index, mean) => {
                let limit = costs.get(index).copied().flatten().map_or(0.0, |cost| cost.limit);
                format!("{} is {mean:.2}, below the budget of {limit}", self.names()[index])
            }
            Cause::Wanted if step.to > step.from => "all objectives are met".to_owned(),
            Cause::Wanted => "there is no more of it".to_owned(),
        };
        let line = format!("budget: {change}: {why}");
        (self.say)(&line);
        self.report.step(step, now_unix(), line);
        order
    }

    /// What head sampling takes from most, in words.
    fn most_shed(&self) -> String {
        let shed = self.traffic.notable().into_iter().filter(|group| group.level > 0).take(NAMED);
        let shed: Vec<String> =
            shed.map(|group| format!("{} {:.1} %", group.name(), 100.0 * share(group.level))).collect();
        if shed.is_empty() { String::new() } else { format!(" ({})", shed.join(", ")) }
    }

    fn describe(&self, kind: Kind, level: u32) -> String {
        match kind {
            Kind::ProfileRate => self.rate_at(level).map_or("off".to_owned(), |rate| format!("{rate} a second")),
            Kind::KernelDetail => if level == 0 { "on" } else { "off" }.to_owned(),
            Kind::JoinPoints => format!("{level} steps"),
            Kind::HeadSampling => format!("{:.1} %", 100.0 * share(level)),
        }
    }

    /// Each kind: its level, and what that means; kinds that there are not are left out.
    fn levels(&self, has_detail: bool) -> Vec<(Kind, u32, String)> {
        let is_there = |kind: &Kind| match kind {
            Kind::ProfileRate => self.profile_rate.is_some(),
            Kind::KernelDetail => has_detail,
            Kind::JoinPoints | Kind::HeadSampling => true,
        };
        let levels = Kind::ALL.into_iter().filter(is_there).map(|kind| {
            let level = self.controller.level(kind);
            let text = match kind {
                Kind::JoinPoints if level > 0 => {
                    let counted = self.counted.iter().map(|id| match self.counted_share(id) {
                        255 => id.clone(),
                        share => format!("{id} in {} of traces", percent_of(share)),
                    });
                    format!("only counted: {}", counted.collect::<Vec<_>>().join(", "))
                }
                Kind::JoinPoints => "all recorded".to_owned(),
                Kind::HeadSampling => format!("{} of new traces", self.describe(kind, level)),
                _ => self.describe(kind, level),
            };
            (kind, level, text)
        });
        levels.collect()
    }
}

/// New roots are recorded whose trace id's high 16 random bits are not below this.
fn threshold(level: u32) -> u16 {
    ((1.0 - share(level)) * 65536.0).round().min(65535.0) as u16
}

fn percent_of(share: u8) -> String {
    format!("{:.0} %", f64::from(share) / 2.56)
}

fn now_unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{OperationWork, SpansDone};
    use record::Rule;
    use std::sync::Mutex;

    pub(super) fn regulator(budget: Budget, objectives: Vec<Objective>) -> (Regulator, Arc<Mutex<Vec<String>>>) {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&said);
        let say = Box::new(move |line: &str| lines.lock().expect("nobody panics").push(line.to_owned()));
        let wanted = Arc::new(Wanted::new(&objectives));
        (Regulator::new(Regulating { budget, objectives, wanted, profile_rate: Some(40), say }), said)
    }

    fn operation(number: u32, id: &str, kind: u8, recorded: u64, outermost: u64) -> OperationWork {
        let spans = SpansDone { recorded, outermost, ..SpansDone::default() };
        OperationWork { number, id: id.to_owned(), kind, api: false, spans }
    }

    /// A budget that cannot be held sheds everything in order; what is noisy is only counted, and a program is told so.
    #[test]
    fn everything_is_shed_in_order() {
        let (mut regulator, said) = regulator(Budget { agent_memory: Some(0.001), ..Budget::default() }, Vec::new());
        let mut orders = Vec::new();
        for second in 0..600 {
            let operations = vec![
                operation(1, "net/http.server", 2, 10, 10),
                operation(2, "database/sql.query", 3, 500, 0),
                operation(3, "net/http.client", 3, 20, 0),
            ];
            let work = [ProgramWork { pid: std::process::id(), service: "shop", room: 0, operations }];
            let now = Duration::from_secs(second);
            let seen = Seen { now, kernel: None, profiler: None, has_detail: true, work: &work };
            orders.extend(regulator.look(&seen, &Measure::default()));
        }
        assert_eq!(
            orders,
            [
                Order::ProfileRate(Some(20)),
                Order::ProfileRate(Some(10)),
                Order::ProfileRate(None),
                Order::KernelDetail(false)
            ]
        );
        let said = said.lock().expect("nobody panics").clone();
        assert!(
            said[0].starts_with("budget: profile rate from 40 a second to 20 a second: agent_memory_mib is "),
            "{said:?}"
        );
        let counted = "budget: join points: spans of database/sql.query are only counted";
        assert!(said[4].starts_with(&format!("{counted} in 50 % of traces: ")), "{said:?}");
        assert!(said[7].starts_with(&format!("{counted}: ")), "{said:?}");
        assert!(said[8].starts_with("budget: head sampling from 100.0 % to "), "{said:?}");
        assert_eq!(said.last().map(String::as_str), Some("budget: it is exceeded, and there is nothing more to shed"));
        let operations = [(1, "net/http.server".to_owned(), 2), (2, "database/sql.query".to_owned(), 3)];
        let told = regulator.tell("shop", &operations, 0);
        let least = threshold(LEAST_SAMPLING);
        assert_eq!(
            told.rules,
            [
                Rule { operation: Some(2), threshold: least, counted: 255, all: false },
                Rule { operation: None, threshold: least, counted: 0, all: false }
            ]
        );
        let text: serde_json::Value = serde_json::from_str(&regulator.text()).expect("JSON");
        assert_eq!(text["exhausted"], true);
        assert_eq!(text["levels"][2]["now"], "only counted: database/sql.query");
        assert!(!regulator.metrics().is_empty());
    }
}
