//! `budget:` and `objectives:` in `agent.yaml`.

use std::time::Duration;

use model::wildcard;
use record::layout::kind::{CLIENT, CONSUMER, PRODUCER, SERVER};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::settings::Problem;
use crate::settings::values::{Number, Percent, Wait};

/// Objectives that are watched at once.
const MOST_OBJECTIVES: usize = 100;
const WINDOW: Duration = Duration::from_secs(300);
const SHORTEST_WINDOW: Duration = Duration::from_secs(10);
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What observing may cost. What is beyond it sheds detail, the least valuable first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSettings {
    /// Of the agent itself.
    #[serde(default)]
    agent: AgentBudget,
    /// Of woven programs.
    #[serde(default)]
    programs: ProgramsBudget,
}

/// What the agent may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AgentBudget {
    /// Percent of one CPU.
    #[schemars(with = "Option<f64>")]
    cpu_percent: Option<Spanned<f64>>,
    /// Memory that is resident, MiB.
    #[schemars(with = "Option<u64>")]
    memory_mib: Option<Spanned<Number>>,
}

/// What is added to programs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProgramsBudget {
    /// Percent of the CPU time that they use: their hooks, and the kernel half.
    #[schemars(with = "Option<f64>")]
    cpu_percent: Option<Spanned<f64>>,
}

/// What requests are to be like. At least one of `p99`, `error_rate` and `overhead`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSettings {
    /// What it is called [default: its service and route].
    name: Option<String>,
    /// Services whose requests are meant; `*` is any text [default: all].
    service: Option<String>,
    /// Requests that are meant, by the name of their span (`GET /cart/{id}`) or by their route; `*` is any text [default: all].
    route: Option<String>,
    /// 99 of 100 requests take no longer.
    p99: Option<Wait>,
    /// No more requests fail: `0.1%`.
    #[schemars(with = "Option<Percent>")]
    error_rate: Option<Spanned<Percent>>,
    /// The share of traces with a request slower than `p99` that head sampling keeps: `100%`. Head sampling cannot tell them from others, so
    /// it keeps so many of all.
    #[schemars(with = "Option<Percent>")]
    slow_kept: Option<Spanned<Percent>>,
    /// What observing may add to the CPU time of the service's programs: `1%`.
    #[schemars(with = "Option<Percent>")]
    overhead: Option<Spanned<Percent>>,
    /// The time that is looked at [default: 5m].
    #[schemars(with = "Option<Wait>")]
    window: Option<Spanned<Wait>>,
}

/// Limits of what observing costs; `None`: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// The agent's CPU time, percent of one CPU.
    pub agent_cpu: Option<f64>,
    /// Its memory, MiB.
    pub agent_memory: Option<f64>,
    /// What is added to programs, percent of their CPU time.
    pub programs_cpu: Option<f64>,
}

impl BudgetSettings {
    /// The limits.
    pub fn budget(&self) -> Result<Budget, Problem> {
        let percent = |value: &Option<Spanned<f64>>, most: f64| -> Result<Option<f64>, Problem> {
            let Some(value) = value else { return Ok(None) };
            let fits = value.value > 0.0 && value.value <= most;
            let wrong =
                || Problem::at(value, format!("{} is no budget: expected more than 0 and at most {most}", value.value));
            fits.then_some(Some(value.value)).ok_or_else(wrong)
        };
        let memory = match &self.agent.memory_mib {
            Some(value) if value.value.0 < 16 => {
                return Err(Problem::at(value, "an agent needs more than that: expected at least 16"));
            }
            memory => memory.as_ref().map(|value| value.value.0 as f64),
        };
        Ok(Budget {
            agent_cpu: percent(&self.agent.cpu_percent, 100_000.0)?,
            agent_memory: memory,
            programs_cpu: percent(&self.programs.cpu_percent, 100.0)?,
        })
    }
}

/// What requests are to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What it is called.
    pub name: String,
    /// Pattern of services; `None`: all.
    pub service: Option<String>,
    /// Pattern of requests; `None`: all.
    pub route: Option<String>,
    /// The time that 99 of 100 requests keep to, ns.
    pub p99: Option<u64>,
    /// The share that may fail.
    pub error_rate: Option<f64>,
    /// The share of slow traces that is kept.
    pub slow_kept: Option<f64>,
    /// What observing may add, percent.
    pub overhead: Option<f64>,
    /// The time that is looked at.
    pub window: Duration,
}

impl Objective {
    /// Whether a service's requests are meant.
    pub fn is_about(&self, service: &str) -> bool {
        self.service.as_ref().is_none_or(|pattern| wildcard(pattern, service))
    }

    /// Whether a span of a service is such a request: of this kind (OTLP's number), name and route. Where a route is named, what it is
    /// called counts, but for calls of others; else all that others ask for.
    pub fn counts<'a>(&self, service: &str, kind: u8, name: &str, route: impl Fn() -> Option<&'a str>) -> bool {
        self.is_about(service)
            && match &self.route {
                None => matches!(kind, SERVER | CONSUMER),
                Some(pattern) => {
                    !matches!(kind, CLIENT | PRODUCER)
                        && (wildcard(pattern, name) || route().is_some_and(|route| wildcard(pattern, route)))
                }
            }
    }
}

/// The objectives of a file.
pub fn objectives(settings: &[Spanned<ObjectiveSettings>]) -> Result<Vec<Objective>, Problem> {
    let mut all: Vec<Objective> = Vec::new();
    for settings in settings {
        let objective = settings.value.objective(settings)?;
        if all.iter().any(|other| other.name == objective.name) {
            let name = &objective.name;
            return Err(Problem::at(
                settings,
                format!("two objectives are called {name:?}: expected a `name` that differs"),
            ));
        }
        if all.len() == MOST_OBJECTIVES {
            return Err(Problem::at(settings, format!("there can be {MOST_OBJECTIVES} objectives")));
        }
        all.push(objective);
    }
    Ok(all)
}

/// What both sections want; `None`: nothing is to be regulated.
pub fn wanted(
    budget: Option<&BudgetSettings>,
    settings: &[Spanned<ObjectiveSettings>],
) -> Result<Option<(Budget, Vec<Objective>)>, Problem> {
    if budget.is_none() && settings.is_empty() {
        return Ok(None);
    }
    let budget = budget.map(BudgetSettings::budget).transpose()?;
    Ok(Some((budget.unwrap_or_default(), objectives(settings)?)))
}

impl ObjectiveSettings {
    fn objective(&self, whole: &Spanned<Self>) -> Result<Objective, Problem> {
        let share = |value: &Option<Spanned<Percent>>| -> Result<Option<f64>, Problem> {
            let Some(value) = value else { return Ok(None) };
            let percent = value.value.0;
            let fits = percent > 0.0 && percent <= 100.0;
            let wrong =
                || Problem::at(value, format!("{percent}% is no objective: expected more than 0% and at most 100%"));
            fits.then_some(Some(percent)).ok_or_else(wrong)
        };
        let (error_rate, slow_kept) = (share(&self.error_rate)?, share(&self.slow_kept)?);
        let overhead = share(&self.overhead)?;
        if self.p99.is_none() && error_rate.is_none() && overhead.is_none() {
            return Err(Problem::at(whole, "nothing is asked for: expected `p99`, `error_rate` or `overhead`"));
        }
        if let Some(slow_kept) = self.slow_kept.as_ref().filter(|_| self.p99.is_none()) {
            return Err(Problem::at(slow_kept, "nobody knows what is slow: expected `p99` beside it"));
        }
        if let Some(overhead) = self.overhead.as_ref().filter(|_| self.route.is_some()) {
            return Err(Problem::at(
                overhead,
                "what a route costs is not known: expected an objective without `route`",
            ));
        }
        let window = match &self.window {
            Some(window) if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&window.value.0) => {
                return Err(Problem::at(window, "expected a time from 10s to 24h"));
            }
            window => window.as_ref().map_or(WINDOW, |window| window.value.0),
        };
        let name = self.name.clone().unwrap_or_else(|| {
            let parts = [self.service.as_deref(), self.route.as_deref()];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            if parts.is_empty() { "all".to_owned() } else { parts.join(" ") }
        });
        Ok(Objective {
            name,
            service: self.service.clone(),
            route: self.route.clone(),
            p99: self.p99.map(|time| u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX)),
            error_rate: error_rate.map(|percent| percent / 100.0),
            slow_kept: slow_kept.map(|percent| percent / 100.0),
            overhead,
            window,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn sections_are_read() {
        let text = "
budget:
  agent: {cpu_percent: 2, memory_mib: 256}
  programs: {cpu_percent: 0.5}
objectives:
  - {service: shop, route: 'POST /checkout*', p99: 250ms, error_rate: 0.1%, slow_kept: 100%, window: 1m}
  - {name: cheap, overhead: 1%}
";
        let settings = Settings::parse(text).expect("nothing is wrong");
        let budget = settings.budget.expect("a budget").budget().expect("nothing is wrong");
        assert_eq!(budget, Budget { agent_cpu: Some(2.0), agent_memory: Some(256.0), programs_cpu: Some(0.5) });
        let objectives = objectives(&settings.objectives).expect("nothing is wrong");
        assert_eq!((objectives[0].name.as_str(), objectives[0].p99), ("shop POST /checkout*", Some(250_000_000)));
        assert_eq!((objectives[0].error_rate, objectives[0].slow_kept), (Some(0.001), Some(1.0)));
        assert_eq!((objectives[1].overhead, objectives[1].window), (Some(1.0), WINDOW));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("budget: {agent: {cpu_percent: 0}}", "0 is no budget"),
            ("budget: {programs: {cpu_percent: 200}}", "at most 100"),
            ("budget: {agent: {memory_mib: 1}}", "at least 16"),
            ("budget: {agent: {cpu: 1}}", "unknown field `cpu`"),
            ("objectives: [{service: a}]", "nothing is asked for"),
            ("objectives: [{p99: 1s, error_rate: 2}]", "is no share: write 0.1%"),
            ("objectives: [{p99: 1s, error_rate: 101%}]", "at most 100%"),
            ("objectives: [{error_rate: 1%, slow_kept: 1%}]", "nobody knows what is slow"),
            ("objectives: [{route: a, overhead: 1%}]", "without `route`"),
            ("objectives: [{p99: 1s, window: 1s}]", "from 10s to 24h"),
            ("objectives: [{p99: 1s}, {p99: 2s}]", "two objectives are called \"all\""),
        ] {
            let problem = Settings::parse(text).expect_err("it is wrong");
            assert!(problem.text.contains(said), "{text}: {}", problem.text);
            assert!(problem.at.is_some(), "{text}");
        }
    }
}
