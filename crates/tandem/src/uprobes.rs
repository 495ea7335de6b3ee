//! Plugs the probes on functions (`probe::uprobe`) into the agent: observes Go programs that were not woven, and what woven
//! ones leave to others.

use std::collections::HashMap;
use std::path::Path;

use agent::{Losses, ObserveError, ObservedProcess, Observer, OpenObserver};
use gobin::Binary;
use model::Source;
use probe::Sockets;
use probe::uprobe::spans::Program;
use probe::uprobe::{Event, Headers, LIBRARIES, Plan, UprobeReader, Uprobes, spans};
use record::Tables;

use crate::sockets;

/// Loads what observes with probes on functions. Without it, why not is said of each process.
pub fn load(headers: Headers) -> Result<Uprobes, String> {
    let uprobes = Uprobes::load(headers).map_err(|error| explain(&error))?;
    if let Some(why) = uprobes.cannot_insert() {
        eprintln!("tandem: warning: requests of observed programs do not name their trace: {why}");
    }
    Ok(uprobes)
}

/// Sets it to work beside what observes sockets, which sees the rest: other languages, and other libraries.
pub fn with_sockets(functions: Result<Uprobes, String>, sockets: Result<Sockets, String>) -> Vec<OpenObserver> {
    let (places_probes, alone) = (functions.is_ok(), sockets.is_err());
    let elsewhere = move |process: &ObservedProcess| if places_probes { seen_in(process) } else { Vec::new() };
    let functions = move || -> Box<dyn Observer> {
        let uprobes = functions.and_then(|uprobes| uprobes.into_reader().map_err(|error| explain(&error)));
        Box::new(FunctionObserver { uprobes, alone, programs: HashMap::new(), malformed: 0, no_room: 0 })
    };
    vec![Box::new(functions), sockets::observer(sockets, elsewhere)]
}

/// The join points whose operations probes see in a process.
fn seen_in(process: &ObservedProcess) -> Vec<String> {
    if process.go.is_none() {
        return Vec::new();
    }
    let observed = plan_of(process).map(|plan| plan.observed).unwrap_or_default();
    let libraries = LIBRARIES.iter().filter(|library| observed.contains(&library.name));
    libraries.flat_map(|library| library.join_points).map(|join_point| (*join_point).to_owned()).collect()
}

fn plan_of(process: &ObservedProcess) -> Result<Plan, ObserveError> {
    plan(&process.executable, |join_point| process.owns(join_point))
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

struct FunctionObserver {
    uprobes: Result<UprobeReader, String>,
    /// Nothing else observes what probes cannot see.
    alone: bool,
    programs: HashMap<u32, Program>,
    malformed: u64,
    /// Operations that have found no room, when room was last made.
    no_room: u64,
}

impl FunctionObserver {
    /// Probes have nothing to do with a process; that is worth a word only where nothing else has.
    fn unseen(&self, why: String) -> ObserveError {
        if self.alone { ObserveError(why) } else { ObserveError::not_meant() }
    }
}

impl Observer for FunctionObserver {
    fn source(&self) -> Source {
        Source::Uprobe
    }

    fn tables(&self) -> Tables {
        spans::tables()
    }

    fn watch(&mut self, process: &ObservedProcess) -> Result<Vec<String>, ObserveError> {
        let Some(build) = &process.go else {
            return Err(self.unseen(
                "it is no Go program, or what the go command recorded was taken out of it; probes on functions are for Go \
                 programs only"
                    .to_owned(),
            ));
        };
        let plan = plan_of(process)?;
        if plan.observed.is_empty() {
            let why = nothing(&plan);
            return Err(if plan.left_out.is_empty() { self.unseen(why) } else { ObserveError(why) });
        }
        let uprobes = self.uprobes.as_mut().map_err(|why| ObserveError(why.clone()))?;
        let slot_offset = process.facts.map_or(0, |facts| facts.slot_offset);
        let attached = uprobes.uprobes().attach(process.pid, &process.executable, &plan, slot_offset);
        attached.map_err(|error| ObserveError(explain(&error)))?;
        self.programs.retain(|&pid, _| uprobes.uprobes().observes(pid)); // they were needed until their last span
        self.programs.insert(process.pid, Program::of(build));
        Ok(plan.left_out.iter().map(ToString::to_string).collect())
    }

    fn unwatch(&mut self, pid: u32) {
        if let Ok(uprobes) = &mut self.uprobes {
            uprobes.uprobes().detach(pid);
        }
    }

    fn take(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> usize {
        let Ok(uprobes) = &mut self.uprobes else { return 0 };
        let (programs, malformed) = (&self.programs, &mut self.malformed);
        uprobes.take(|bytes| match Event::parse(bytes) {
            Some(event) => {
                if let Some(record) = spans::record(&event, programs.get(&event.process).copied().unwrap_or_default()) {
                    each(event.process, &record);
                }
            }
            None => *malformed += 1,
        })
    }

    fn losses(&mut self) -> Losses {
        const LONG_OPEN: u64 = 60_000_000_000; // ns
        let statistics =
            self.uprobes.as_mut().ok().and_then(|uprobes| uprobes.uprobes().statistics().ok()).unwrap_or_default();
        if statistics.map_full > self.no_room {
            self.no_room = statistics.map_full;
            self.uprobes.iter_mut().for_each(|uprobes| uprobes.uprobes().make_room(LONG_OPEN));
        }
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
    let known: Vec<&str> = LIBRARIES.iter().map(|library| library.name).collect();
    format!("it has none of the libraries that are known: {}", known.join(", "))
}
