//! Woven programs that run on this machine, for whoever wants to switch functions in them on or off.
//!
//! That is done in their shared memory by whoever asks: no agent has to run, and one that runs is not in the way. The
//! kernel decides whose programs one may touch: one's own, and with root's rights everybody's.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use deliver::otlp::decode;
use model::Span;
use record::{Functions, Identity, OpenError, SpanRecord};

use crate::assemble::{Assembler, Ending};
use crate::clock::{self, Clock};
use crate::graph::ServiceGraph;
use crate::measure::Measure;
use crate::session::process;

/// Which programs are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All that one may touch.
    All,
    /// The process with this id.
    Process(u32),
    /// All of this `service.name`.
    Service(String),
}

/// A woven program that runs.
#[derive(Debug)]
pub struct Program {
    /// Process id.
    pub pid: u32,
    /// Its `service.name`.
    pub service: String,
    /// Its functions; `None`: it was woven by a tandem that knew no dormant functions.
    pub functions: Option<Functions>,
}

impl Program {
    /// The spans that it is in the middle of, as if they ended now, the oldest first.
    pub fn in_flight(&self) -> Vec<Span> {
        let Some(memory) = &self.functions else { return Vec::new() };
        let resource = Arc::new(process::resource(self.pid, memory.header(), &memory.resource()));
        let mut assembler = Assembler::new(memory.tables(), resource, env!("CARGO_PKG_VERSION"))
            .told(&memory.header().facts)
            .unmeasured();
        let (clock, now) = (Clock::default(), clock::now());
        let mut nothing = Measure::new(0, &ServiceGraph::default());
        memory.in_flight(|entry| {
            // What is being written or freed just then makes no sense, and is nobody's loss.
            if SpanRecord::parse(entry).is_ok_and(|record| record.end().is_some()) {
                return;
            }
            let _ = assembler.record(entry, Ending::Noticed(now), clock.offset(), &mut nothing);
        });
        let batch = assembler.take();
        let mut spans = batch.and_then(|batch| decode::spans(&batch.bytes).ok()).unwrap_or_default();
        spans.sort_by_key(|span| span.start_unix_nano);
        spans
    }
}

/// Why a program cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// There is no such process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// It is a zombie.
    #[error("process {0} has ended; its parent has not asked for its exit code yet")]
    Ended(u32),
    /// It is not ours.
    #[error("process {0} is somebody else's: run this as that user, or as root")]
    Forbidden(u32),
    /// It has no shared memory.
    #[error("process {0} is not a woven program: build it with `tandem go build` (and without OTEL_SDK_DISABLED=true)")]
    NotWoven(u32),
    /// What it has is not as it should be.
    #[error("the memory of process {pid} cannot be used: {source}")]
    Unusable {
        /// The process.
        pid: u32,
        /// Why.
        source: OpenError,
    },
    /// No program is of this service.
    #[error("no woven program of the service {service:?} runs here{others}", others = others(.running, *.forbidden))]
    NoService {
        /// What was asked for.
        service: String,
        /// Services that do run.
        running: Vec<String>,
        /// Processes that one must not look into.
        forbidden: usize,
    },
    /// No program runs at all.
    #[error("no woven program runs here{others}", others = others(&[], *.0))]
    None(usize),
}

fn others(running: &[String], forbidden: usize) -> String {
    let mut text = String::new();
    if !running.is_empty() {
        text += &format!("; there are {}", running.join(", "));
    }
    if forbidden > 0 {
        text += &format!("; {forbidden} processes of other users were not looked at (root can)");
    }
    text
}

/// The programs that are meant; at least one.
pub fn find(choice: &Choice) -> Result<Vec<Program>, ProgramsError> {
    if let Choice::Process(pid) = choice {
        return Ok(vec![open(*pid)?]);
    }
    let mut programs: Vec<Program> = Vec::new();
    let mut seen: Vec<Option<Identity>> = Vec::new(); // of each program
    let mut forbidden = 0;
    for pid in process::all() {
        match open(pid) {
            Ok(program) => {
                // A child that was forked and not yet replaced holds its parent's memory, and so does an agent.
                let identity = program.functions.as_ref().map(Functions::identity);
                let known = identity.and_then(|identity| seen.iter().position(|&known| known == Some(identity)));
                let is_its_own = program.functions.as_ref().is_some_and(|memory| memory.header().pid == pid);
                match known {
                    Some(index) if is_its_own => programs[index] = program,
                    Some(_) => {}
                    None => {
                        seen.push(identity);
                        programs.push(program);
                    }
                }
            }
            Err(ProgramsError::Forbidden(_)) => forbidden += 1,
            Err(_) => {}
        }
    }
    programs.sort_by(|one, other| (&one.service, one.pid).cmp(&(&other.service, other.pid)));
    let Choice::Service(service) = choice else {
        return if programs.is_empty() { Err(ProgramsError::None(forbidden)) } else { Ok(programs) };
    };
    let (found, rest): (Vec<Program>, Vec<Program>) =
        programs.into_iter().partition(|program| is_service(&program.service, service));
    if !found.is_empty() {
        return Ok(found);
    }
    let mut running: Vec<String> = rest.into_iter().map(|program| program.service).collect();
    running.dedup();
    Err(ProgramsError::NoService { service: service.clone(), running, forbidden })
}

/// A service that nobody gave a name is known by its executable's, too.
fn is_service(actual: &str, wanted: &str) -> bool {
    actual == wanted || actual.strip_prefix("unknown_service:") == Some(wanted)
}

fn open(pid: u32) -> Result<Program, ProgramsError> {
    match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(error) if is_refusal(&error) => return Err(ProgramsError::Forbidden(pid)),
        Err(_) if !Path::new(&format!("/proc/{pid}")).exists() => return Err(ProgramsError::NoProcess(pid)),
        _ => {}
    }
    let memory = process::find_memory(pid, true).ok_or_else(|| match process::has_ended(pid) {
        true => ProgramsError::Ended(pid),
        false => ProgramsError::NotWoven(pid),
    })?;
    let unusable = |source| ProgramsError::Unusable { pid, source };
    let functions = Functions::open(memory.as_fd()).map_err(unusable)?;
    let service = match &functions {
        Some(functions) => process::resource(pid, functions.header(), &functions.resource()).service().to_owned(),
        None => "unknown_service".to_owned(),
    };
    Ok(Program { pid, service, functions })
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}
