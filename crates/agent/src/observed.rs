//! Programs that were not woven: their spans on the way from an observer to batches.
//!
//! An [`Observer`] sees what such programs do, in whatever way, and makes of each operation a record in the layout of
//! woven ones. From there on the way is the same: an [`Assembler`] a process, the same measure, the same sinks. Who is
//! observed [`discover`](crate::discover) tells. Each observer has a thread of its own, since what it does (reading
//! executables, placing probes) may take a while.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use gobin::{BuildInformation, Manifest};
use model::{Resource, Source};
use record::layout::RECORD;
use record::{HeaderFacts, Tables};

use crate::assemble::{Assembler, Ending};
use crate::clock::Clock;
use crate::discover::{Discovery, Selection};
use crate::pipeline::{Shared, State};

/// How long a thread sleeps while little happens, and how short that may get.
const IDLE: Duration = Duration::from_millis(50);
const BUSY: Duration = Duration::from_millis(2);
/// A batch is handed on when it has so many bytes, or when its oldest span has waited so long.
const BATCH_BYTES: usize = 128 * 1024;
const BATCH_AGE: Duration = Duration::from_millis(200);
/// How often an observer is asked for what it has lost.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// A process that is to be observed.
#[derive(Clone, Debug)]
pub struct ObservedProcess {
    /// Its id, as the initial pid namespace counts.
    pub pid: u32,
    /// A path under which its executable can be read, whatever became of the one it was started by.
    pub executable: PathBuf,
    /// What the go command recorded; `None`: it is no Go program.
    pub go: Option<Arc<BuildInformation>>,
    /// What was woven in.
    pub manifest: Option<Arc<Manifest>>,
    /// Where a woven program keeps the spans of its goroutines.
    pub facts: Option<HeaderFacts>,
    /// What it is, as OpenTelemetry says it.
    pub resource: Arc<Resource>,
}

impl ObservedProcess {
    /// The process itself records what this join point sees: nobody else may.
    pub fn owns(&self, join_point: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.join_points().any(|own| own.id == join_point))
    }

    /// A sign of a process, for messages: `shop (process 12)`.
    pub fn title(&self) -> String {
        match self.resource.attributes.get("process.executable.name") {
            Some(model::Value::String(name)) => format!("{name} (process {})", self.pid),
            _ => format!("process {}", self.pid),
        }
    }
}

/// Why a process is not observed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// It is not the kind of program that the observer is for: not worth a word.
    #[error("it is no program for this observer")]
    NotMeant,
    /// A sentence that says what, why, and what to do.
    #[error("{0}")]
    Failed(String),
}

/// What was lost so far, by cause.
pub type Losses = BTreeMap<&'static str, u64>;

/// What sees programs that were not woven. Used by one thread.
pub trait Observer {
    /// Where its spans come from.
    fn source(&self) -> Source;

    /// Operations and keys that its records name.
    fn tables(&self) -> Tables;

    /// Begins with a process, but for what that observes itself ([`ObservedProcess::owns`]). What is left out although it
    /// could have been expected is returned, a sentence each.
    fn watch(&mut self, process: &ObservedProcess) -> Result<Vec<String>, ObserveError>;

    /// Ends it. Spans that were complete before still come.
    fn unwatch(&mut self, pid: u32);

    /// Calls `each` with the process and the record of every span that has ended since the last time; does not wait. How
    /// full its buffer was, in eighths.
    fn take(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> usize;

    /// What was lost since the beginning, by cause.
    fn losses(&mut self) -> Losses;

    /// It sees every request that a process answers, whoever tells of it.
    fn sees_requests(&self) -> bool {
        false
    }

    /// How many of them it saw since the last time, by process.
    fn requests(&mut self) -> Vec<(u32, u64)> {
        Vec::new()
    }
}

/// Makes an observer, on the thread that uses it.
pub type OpenObserver = Box<dyn FnOnce() -> Box<dyn Observer> + Send>;

/// How observing is set up.
pub struct Observing {
    /// What observes.
    pub observers: Vec<OpenObserver>,
    /// Whom.
    pub selections: Vec<Selection>,
    /// Of these only whom the agent's own program has started, itself included: who was told to find it at its socket.
    pub started_only: bool,
}

pub(crate) enum Command {
    Watch(Arc<ObservedProcess>),
    End(u32),
}

/// The threads of all observers. Dropped, they take what is left and end.
pub(crate) struct Observers {
    commands: Vec<Sender<Command>>,
    threads: Vec<thread::JoinHandle<()>>,
    discovery: Option<Discovery>,
}

impl Observers {
    /// `socket` is the agent's.
    pub(crate) fn start(observing: Observing, socket: &Path, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let mut observers = Self { commands: Vec::new(), threads: Vec::new(), discovery: None };
        for open in observing.observers {
            let (commands, received) = channel();
            let shared = Arc::clone(shared);
            let thread = thread::Builder::new().name("tandem-observed".to_owned()).spawn(move || {
                Worker::new(open(), shared).run(&received);
            })?;
            observers.commands.push(commands);
            observers.threads.push(thread);
        }
        let told = observers.commands.clone();
        let agent = observing.started_only.then(|| socket.to_owned());
        observers.discovery = Some(Discovery::start(observing.selections, agent, told, Arc::clone(shared))?);
        Ok(observers)
    }

    /// Takes what is left, and hands it on.
    pub(crate) fn finish(&mut self) {
        self.discovery = None;
        self.commands.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Worker {
    observer: Box<dyn Observer>,
    shared: Arc<Shared>,
    clock: Clock,
    programs: HashMap<u32, Program>,
    /// Spans that were just taken: processes, and their records one after the other.
    taken: Vec<u32>,
    records: Vec<u8>,
    losses: Losses,
    counts_due: Instant,
}

struct Program {
    assembler: Assembler,
    waiting_since: Option<Instant>,
}

impl Worker {
    fn new(observer: Box<dyn Observer>, shared: Arc<Shared>) -> Self {
        Self {
            observer,
            shared,
            clock: Clock::default(),
            programs: HashMap::new(),
            taken: Vec::new(),
            records: Vec::new(),
            losses: Losses::new(),
            counts_due: Instant::now(),
        }
    }

    fn run(&mut self, commands: &Receiver<Command>) {
        let mut pause = IDLE;
        loop {
            let command = match self.programs.is_empty() {
                true => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => commands.recv_timeout(pause),
            };
            // Whatever is to be done about a process, its spans so far come first.
            let fullest = self.take();
            pause = if fullest > 0 { (pause / 2).max(BUSY) } else { (pause * 2).min(IDLE) };
            match command {
                Ok(Command::Watch(process)) => self.watch(&process),
                Ok(Command::End(pid)) => self.end(pid),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let left: Vec<u32> = self.programs.keys().copied().collect();
        left.into_iter().for_each(|pid| self.end(pid));
        self.count();
    }

    fn watch(&mut self, process: &ObservedProcess) {
        let pid = process.pid;
        self.end(pid); // another one that had its id, or the same before it became another program
        let source = self.observer.source();
        let watched = self.observer.watch(process);
        let mut state = self.shared.state();
        let (left_out, observed) = match watched {
            Ok(left_out) => (left_out, true),
            Err(ObserveError::NotMeant) => (Vec::new(), false),
            Err(error) => (vec![error.to_string()], false),
        };
        for why in &left_out {
            tracing::warn!("{}: {why}", process.title());
        }
        if observed && self.observer.sees_requests() {
            state.statistics.completeness.begin(pid, process.resource.service());
        }
        state.statistics.looked_at(pid, observed, left_out);
        drop(state);
        self.shared.changed.notify_all();
        if observed {
            let version = env!("CARGO_PKG_VERSION");
            let assembler = Assembler::new(self.observer.tables(), Arc::clone(&process.resource), version)
                .from(source)
                .folding(&self.shared.fold);
            let assembler = if self.shared.measures_late() { assembler.unmeasured() } else { assembler };
            self.programs.insert(pid, Program { assembler, waiting_since: None });
        }
    }

    fn end(&mut self, pid: u32) {
        if !self.programs.contains_key(&pid) {
            return;
        }
        self.observer.unwatch(pid);
        self.take();
        self.count();
        if let Some(mut program) = self.programs.remove(&pid) {
            program.assembler.end_folding(self.clock.offset(), &mut self.shared.state().measure);
            if let Some(batch) = program.assembler.take() {
                self.shared.offer(&Arc::new(batch));
            }
        }
        let mut state = self.shared.state();
        if self.observer.sees_requests() {
            state.statistics.completeness.end(pid);
        }
        state.statistics.no_longer_observed(pid);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Takes all spans that have ended. How full the observer's buffer was, in eighths.
    fn take(&mut self) -> usize {
        self.taken.clear();
        self.records.clear();
        let (taken, records) = (&mut self.taken, &mut self.records);
        let fullest = self.observer.take(&mut |pid, record| {
            taken.push(pid);
            records.extend_from_slice(record);
        });
        self.assemble();
        if self.counts_due <= Instant::now() {
            self.count();
        }
        let due = |program: &Program| {
            program.assembler.waiting() >= BATCH_BYTES
                || program.waiting_since.is_some_and(|since| since.elapsed() >= BATCH_AGE)
        };
        for program in self.programs.values_mut().filter(|program| due(program)) {
            program.waiting_since = None;
            if let Some(batch) = program.assembler.take() {
                self.shared.offer(&Arc::new(batch));
            }
        }
        fullest
    }

    /// Counts what was lost since the last time.
    fn count(&mut self) {
        self.counts_due = Instant::now() + COUNTS_EVERY;
        let losses = self.observer.losses();
        let mut state = self.shared.state();
        for (cause, count) in losses {
            let before = self.losses.insert(cause, count).unwrap_or(0);
            state.statistics.lost_observed(cause, count.saturating_sub(before));
        }
        for (pid, more) in self.observer.requests() {
            state.statistics.completeness.seen(pid, more);
        }
    }

    fn assemble(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        self.clock.refresh();
        let offset = self.clock.offset();
        let mut state = self.shared.state();
        let State { measure, statistics, .. } = &mut *state;
        let mut rest = self.records.as_slice();
        for pid in &self.taken {
            // A record begins with its size, of which an observer is sure: it has made the record itself.
            let size = rest.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
            let Some((record, after)) = rest.split_at_checked(size).filter(|_| size >= RECORD.size) else {
                statistics.fault("record_size", 1);
                break;
            };
            rest = after;
            let Some(program) = self.programs.get_mut(pid) else { continue };
            if let Some(span) = program.assembler.record(record, Ending::Recorded, offset, measure) {
                statistics.count(span);
                program.waiting_since.get_or_insert_with(Instant::now);
            }
            statistics.completeness.told(*pid, program.assembler.take_requests());
            for (cause, count) in program.assembler.take_faults() {
                statistics.fault(cause, count);
            }
        }
        for pid in &self.taken {
            if let Some(program) = self.programs.get_mut(pid) {
                program.assembler.hurry(offset, measure); // records come in the order in which spans have ended
            }
        }
    }
}
