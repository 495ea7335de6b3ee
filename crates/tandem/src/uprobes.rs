//! Plugs the probes on functions (`probe::uprobe`) into the agent: observes Go programs that were not woven, and what woven
//! ones leave to others.

use std::path::Path;

use agent::{Losses, ObserveError, ObservedProcess, Observer, OpenObserver};
use gobin::Binary;
use model::Source;
use probe::uprobe::{Event, Plan, UprobeReader, Uprobes, spans};
use record::Tables;

/// Loads what observes with probes on functions. Without it, why not is said of each process.
pub fn load() -> Result<Uprobes, String> {
    Uprobes::load().map_err(|error| explain(&error))
}

/// Sets it to work.
pub fn observer(uprobes: Result<Uprobes, String>) -> OpenObserver {
    Box::new(|| {
        let uprobes = uprobes.and_then(|uprobes| uprobes.into_reader().map_err(|error| explain(&error)));
        Box::new(FunctionObserver { uprobes, malformed: 0 })
    })
}

/// A line that says what, why and what to do.
pub fn explain(error: &probe::ProbeError) -> String {
    let why = error.to_string();
    format!("{}; {}", why.lines().next().unwrap_or_default(), error.remedy())
}

/// What would be observed of an executable.
pub fn plan(executable: &Path, owns: impl Fn(&str) -> bool) -> Result<Plan, ObserveError> {
    let binary = Binary::open(executable).map_err(|error| ObserveError(error.to_string()))?;
    Ok(Plan::of(&binary, owns))
}

/// The join points that are observed of a process here, for those who observe it, too.
pub fn told_elsewhere(uprobes: &Result<Uprobes, String>) -> impl FnMut(&ObservedProcess) -> Vec<String> + Send + use<> {
    let works = uprobes.is_ok();
    move |process| {
        if !works || process.go.is_none() {
            return Vec::new();
        }
        let Ok(plan) = plan(&process.executable, |join_point| process.owns(join_point)) else { return Vec::new() };
        let observed = probe::uprobe::LIBRARIES.iter().filter(|library| plan.observed.contains(&library.name));
        observed.flat_map(|library| library.join_points).map(|join_point| (*join_point).to_owned()).collect()
    }
}

struct FunctionObserver {
    uprobes: Result<UprobeReader, String>,
    malformed: u64,
}

impl Observer for FunctionObserver {
    fn source(&self) -> Source {
        Source::Uprobe
    }

    fn tables(&self) -> Tables {
        spans::tables()
    }

    fn watch(&mut self, process: &ObservedProcess) -> Result<Vec<String>, ObserveError> {
        if process.go.is_none() {
            return Err(ObserveError::not_meant());
        }
        let uprobes = self.uprobes.as_mut().map_err(|why| ObserveError(why.clone()))?;
        let plan = plan(&process.executable, |join_point| process.owns(join_point))?;
        if plan.observed.is_empty() {
            return Err(ObserveError(nothing(&plan)));
        }
        let slot_offset = process.facts.map_or(0, |facts| facts.slot_offset);
        let attached = uprobes.uprobes().attach(process.pid, &process.executable, &plan, slot_offset);
        attached.map_err(|error| ObserveError(explain(&error)))?;
        Ok(plan.left_out.iter().map(ToString::to_string).collect())
    }

    fn unwatch(&mut self, pid: u32) {
        if let Ok(uprobes) = &mut self.uprobes {
            uprobes.uprobes().detach(pid);
        }
    }

    fn take(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> usize {
        let Ok(uprobes) = &mut self.uprobes else { return 0 };
        let malformed = &mut self.malformed;
        uprobes.take(|bytes| match Event::parse(bytes) {
            Some(event) => {
                if let Some(record) = spans::record(&event) {
                    each(event.process, &record);
                }
            }
            None => *malformed += 1,
        })
    }

    fn losses(&mut self) -> Losses {
        let statistics =
            self.uprobes.as_mut().ok().and_then(|uprobes| uprobes.uprobes().statistics().ok()).unwrap_or_default();
        [
            ("too_many_open", statistics.map_full),
            ("buffer_full", statistics.ring_full),
            ("read_failed", statistics.failed_reads),
            ("no_memory", statistics.no_memory),
            ("end_not_seen", statistics.superseded),
            ("cut", statistics.cut),
            ("malformed", self.malformed),
        ]
        .into()
    }
}

/// Why nothing of a program is observed.
pub fn nothing(plan: &Plan) -> String {
    if !plan.left_out.is_empty() {
        let why: Vec<String> = plan.left_out.iter().map(ToString::to_string).collect();
        return format!("there is no place for the probes: {}", why.join("; "));
    }
    if !plan.owned.is_empty() {
        return format!(
            "it was woven and records {} itself; start `tandem agent`, which it reports to",
            plan.owned.join(" and ")
        );
    }
    let known: Vec<&str> = probe::uprobe::LIBRARIES.iter().map(|library| library.name).collect();
    format!("it has none of the libraries that are known: {}", known.join(", "))
}
