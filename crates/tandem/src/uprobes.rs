//! Plugs the probes on functions (`probe::uprobe`) into the agent: observes Go programs that were not woven, and what woven
//! ones leave to others.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agent::{Asker, Askers, Known, Losses, ObserveError, ObservedProcess, Observer, OpenObserver};
use gobin::Binary;
use model::Source;
use probe::Sockets;
use probe::uprobe::spans::Program;
use probe::uprobe::{Asking, Event, Headers, LIBRARIES, Plan, UprobeReader, Uprobes, spans};
use protocol::Parent;
use record::Tables;

use crate::kernel::explain;
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
    let plans = Plans::default();
    let known = plans.clone();
    let elsewhere =
        move |process: &ObservedProcess| if places_probes { known.of_process(process) } else { Known::default() };
    let askers = Askers::default();
    let said = askers.clone();
    let functions = move || -> Box<dyn Observer> {
        let uprobes = functions.and_then(|uprobes| uprobes.into_reader().map_err(|error| explain(&error)));
        Box::new(FunctionObserver {
            uprobes,
            alone,
            plans,
            programs: HashMap::new(),
            askers: said,
            malformed: 0,
            no_room: 0,
        })
    };
    vec![Box::new(functions), sockets::observer(sockets, elsewhere, askers)]
}

/// An executable, as long as nobody changes it: device, inode, size, and when it was written.
type Sign = (u64, u64, u64, i64, i64);

/// Plans of executables: every observer asks for the same one, many processes run it, and to read it takes a while.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<HashMap<Sign, Arc<Plan>>>>);

impl Plans {
    /// So many are kept; then all are forgotten.
    const LIMIT: usize = 64;

    fn of(&self, process: &ObservedProcess) -> Result<Arc<Plan>, ObserveError> {
        let unread = |error| ObserveError::Failed(format!("cannot read {}: {error}", process.executable.display()));
        let file = fs::metadata(&process.executable).map_err(unread)?;
        let sign = (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        // Whoever asks meanwhile waits, and has it then.
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&sign) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(plan(&process.executable, |join_point| process.owns(join_point))?);
        if plans.len() >= Self::LIMIT {
            plans.clear();
        }
        plans.insert(sign, Arc::clone(&plan));
        Ok(plan)
    }

    /// What probes see in a process.
    fn of_process(&self, process: &ObservedProcess) -> Known {
        let Some(plan) = process.go.as_ref().and_then(|_| self.of(process).ok()) else { return Known::default() };
        let mut known = Known::default();
        for library in LIBRARIES.iter().filter(|library| plan.observed.contains(&library.name)) {
            let operations = if library.on_sockets { &mut known.asked } else { &mut known.told };
            operations.extend(library.join_points);
        }
        known
    }
}

/// What would be observed of an executable.
pub fn plan(executable: &Path, owns: impl Fn(&str) -> bool) -> Result<Plan, ObserveError> {
    let binary = Binary::open(executable).map_err(|error| ObserveError::Failed(error.to_string()))?;
    Ok(Plan::of(&binary, owns))
}

struct FunctionObserver {
    uprobes: Result<UprobeReader, String>,
    /// Nothing else observes what probes cannot see.
    alone: bool,
    plans: Plans,
    programs: HashMap<u32, Program>,
    /// Whom it tells for whom clients ask.
    askers: Askers,
    malformed: u64,
    /// Operations that have found no room, when room was last made.
    no_room: u64,
}

impl FunctionObserver {
    /// Probes have nothing to do with a process; that is worth a word only where nothing else has.
    fn unseen(&self, why: String) -> ObserveError {
        if self.alone { ObserveError::Failed(why) } else { ObserveError::NotMeant }
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
        let plan = self.plans.of(process)?;
        if plan.observed.is_empty() {
            let why = nothing(&plan);
            return Err(if plan.left_out.is_empty() { self.unseen(why) } else { ObserveError::Failed(why) });
        }
        let uprobes = self.uprobes.as_mut().map_err(|why| ObserveError::Failed(why.clone()))?;
        let slot_offset = process.facts.map_or(0, |facts| facts.slot_offset);
        let attached = uprobes.uprobes().attach(process.pid, &process.executable, &plan, slot_offset);
        attached.map_err(|error| ObserveError::Failed(explain(&error)))?;
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
        let (before, mut asked) = (agent::clock::now().0, Vec::new());
        let fullest = uprobes.take(|bytes| match Event::parse(bytes) {
            Some(event) => {
                if let Some(asking) = Asking::of(&event) {
                    asked.push(asker(&asking));
                } else if let Some(record) =
                    spans::record(&event, programs.get(&event.process).copied().unwrap_or_default())
                {
                    each(event.process, &record);
                }
            }
            None => *malformed += 1,
        });
        self.askers.add(asked, before);
        fullest
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
            ("header_not_inserted", statistics.not_inserted),
            ("malformed", self.malformed),
        ]
        .into()
    }
}

fn asker(asking: &Asking) -> Asker {
    let parent = asking.parent.map(|(trace_id, span_id)| Parent { trace_id, span_id, flags: asking.flags });
    let Asking { local, remote, position, found, .. } = *asking;
    Asker { local, remote, position, parent, found: found.unwrap_or_default() }
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
