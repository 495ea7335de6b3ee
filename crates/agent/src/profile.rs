//! Profiles: samples of stacks on their way from the kernel to batches. A thread of its own does all of it, since looking
//! addresses up may take a while the first time.
//!
//! [`Samples`] is where the kernel half plugs in. A sample is a list of addresses; [`symbols`](crate::symbols) says what they
//! are. Who is sampled the pipeline tells: programs that have connected, until they end.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use deliver::otlp::profiles::{Observed, ProfileBuilder};
use deliver::{Batch, Signal, Sink};
use model::{ProfileKind, Resource, SpanId, TraceId};
use record::{HeaderFacts, MonotonicNanos};

use crate::clock::{self, Clock};
use crate::parked::Parked;
use crate::symbols::{Image, Images, Symbols};

/// How often samples are taken out of the kernel's buffer, and parked goroutines are looked at.
const TAKE_EVERY: Duration = Duration::from_millis(50);
/// A look that comes later than this stands for so long only.
const LONGEST_LOOK: u64 = 1_000_000_000;
/// A batch is handed on when it has so many samples, or when its oldest has waited so long.
const BATCH_SAMPLES: u32 = 5_000;
const BATCH_AGE: Duration = Duration::from_secs(2);

/// One look at a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was, or when the thread was blocked.
    pub time: MonotonicNanos,
    /// The time that it stands for, ns.
    pub value_ns: u64,
    /// Process id.
    pub process: u32,
    /// Thread id.
    pub thread: u32,
    /// What was seen.
    pub kind: ProfileKind,
    /// The trace and the span that its goroutine was in.
    pub span: Option<(TraceId, SpanId)>,
    /// Where in the kernel it was: `kernel: read`.
    pub in_kernel: Option<String>,
    /// Words at the top of the stack.
    pub top: Option<[u64; 2]>,
    /// Addresses, the innermost first: where it was, then return addresses.
    pub stack: Vec<u64>,
}

/// Where samples come from. Used by one thread.
pub trait Samples {
    /// Begins to look at a process. What goes wrong is for it to report.
    fn watch(&mut self, pid: u32, facts: &HeaderFacts);

    /// Ends it.
    fn unwatch(&mut self, pid: u32);

    /// All samples since the last time.
    fn take(&mut self) -> Vec<Sample>;

    /// How many were lost so far, since nobody took them in time or their stack could not be read.
    fn lost(&mut self) -> u64;

    /// Looks so often a second from now on; `None`: not at all for a while. Says the time between two samples, ns.
    fn set_rate(&mut self, per_second: Option<u32>) -> u64;

    /// The CPU time of the kernel's programs for it so far; `None`: nobody measures it.
    fn run_time(&self) -> Option<Duration> {
        None
    }
}

/// How a profiler is set up.
pub struct Profiling {
    /// Makes the source of samples, on the thread that uses it.
    pub open: Box<dyn FnOnce() -> Box<dyn Samples> + Send>,
    /// The time between two samples of a processor, ns.
    pub period: u64,
}

/// What profiling has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileCounts {
    /// Samples that became part of a profile.
    pub samples: u64,
    /// Of these, those within a span.
    pub in_span: u64,
    /// Samples that were lost in the kernel.
    pub lost: u64,
    /// The CPU time of the kernel's programs; `None`: nobody measures it.
    pub run_time: Option<Duration>,
}

/// A program to profile.
pub(crate) struct Profiled {
    pub(crate) pid: u32,
    pub(crate) facts: HeaderFacts,
    pub(crate) resource: Arc<Resource>,
    pub(crate) version: String,
    pub(crate) image: Image,
}

enum Command {
    Watch(Box<Profiled>),
    End(u32),
    Rate(Option<u32>),
}

/// The thread. Dropped, it takes what is left and ends.
pub(crate) struct Profiler {
    commands: Option<Sender<Command>>,
    counts: Arc<Mutex<ProfileCounts>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Profiler {
    pub(crate) fn start(profiling: Profiling, sinks: Vec<Arc<dyn Sink>>) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let counts = Arc::<Mutex<ProfileCounts>>::default();
        let theirs = Arc::clone(&counts);
        let thread = thread::Builder::new().name("tandem-profile".to_owned()).spawn(move || {
            let Profiling { open, period } = profiling;
            let sinks = sinks.into_iter().filter(|sink| sink.signal() == Signal::Profiles).collect();
            let mut worker = Worker {
                source: open(),
                period,
                is_off: false,
                sinks,
                counts: theirs,
                clock: Clock::default(),
                images: Images::default(),
                programs: HashMap::new(),
            };
            worker.run(&received);
        })?;
        Ok(Self { commands: Some(commands), counts, thread: Some(thread) })
    }

    pub(crate) fn watch(&self, program: Profiled) {
        self.tell(Command::Watch(Box::new(program)));
    }

    pub(crate) fn end(&self, pid: u32) {
        self.tell(Command::End(pid));
    }

    /// Looks so often a second from now on; `None`: not at all for a while.
    pub(crate) fn set_rate(&self, per_second: Option<u32>) {
        self.tell(Command::Rate(per_second));
    }

    pub(crate) fn counts(&self) -> ProfileCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl Profiler {
    /// Takes what is left, and hands it on.
    pub(crate) fn finish(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Worker {
    source: Box<dyn Samples>,
    period: u64,
    is_off: bool,
    sinks: Vec<Arc<dyn Sink>>,
    counts: Arc<Mutex<ProfileCounts>>,
    clock: Clock,
    images: Images,
    programs: HashMap<u32, Program>,
}

struct Program {
    symbols: Symbols,
    parked: Option<Parked>,
    /// When its parked goroutines were last looked at.
    looked: MonotonicNanos,
    builder: ProfileBuilder,
    waiting_since: Option<Instant>,
}

impl Program {
    /// Samples of its goroutines that are parked, once the last ones are old enough. They stand for the time since.
    fn look(&mut self) -> Vec<Sample> {
        let now = clock::now();
        let passed = now.0.saturating_sub(self.looked.0);
        if passed < TAKE_EVERY.as_nanos() as u64 / 2 {
            return Vec::new();
        }
        self.looked = now;
        self.parked.as_mut().map(|parked| parked.look(now, passed.min(LONGEST_LOOK))).unwrap_or_default()
    }
}

impl Worker {
    fn run(&mut self, commands: &Receiver<Command>) {
        loop {
            let command = commands.recv_timeout(TAKE_EVERY);
            // Whatever is to be done about a program, its samples so far come first.
            self.take();
            match command {
                Ok(Command::Watch(program)) => self.watch(*program),
                Ok(Command::End(pid)) => self.end(pid),
                Ok(Command::Rate(rate)) => self.set_rate(rate),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let left: Vec<u32> = self.programs.keys().copied().collect();
        left.into_iter().for_each(|pid| self.end(pid));
    }

    fn watch(&mut self, program: Profiled) {
        let Profiled { pid, facts, resource, version, image } = program;
        self.end(pid); // another one that had its id
        let builder = ProfileBuilder::new(resource, &image.path, &version);
        let symbols = Symbols::of(image, &mut self.images);
        let parked = Parked::of(pid, &facts);
        let looked = clock::now();
        self.programs.insert(pid, Program { symbols, parked, looked, builder, waiting_since: None });
        self.source.watch(pid, &facts);
    }

    /// What a batch says of the time between two samples is true of all its samples.
    fn set_rate(&mut self, rate: Option<u32>) {
        let period = self.period;
        let batches: Vec<Batch> =
            self.programs.values_mut().filter_map(|program| program.builder.take(period)).collect();
        batches.into_iter().for_each(|batch| self.offer(Some(batch)));
        self.is_off = rate.is_none();
        self.period = self.source.set_rate(rate);
    }

    fn end(&mut self, pid: u32) {
        if let Some(mut program) = self.programs.remove(&pid) {
            self.source.unwatch(pid);
            self.offer(program.builder.take(self.period));
        }
    }

    fn take(&mut self) {
        self.clock.refresh();
        let mut counted = ProfileCounts::default();
        let mut samples = self.source.take();
        for program in self.programs.values_mut().filter(|_| !self.is_off) {
            samples.extend(program.look());
        }
        for sample in samples {
            let Some(program) = self.programs.get_mut(&sample.process) else { continue };
            let stack = program.symbols.stack(&sample);
            program.builder.add(Observed {
                kind: sample.kind,
                time: self.clock.unix(sample.time),
                value_ns: sample.value_ns,
                span: sample.span,
                thread_id: sample.thread,
                stack: &stack,
            });
            program.waiting_since.get_or_insert_with(Instant::now);
            counted.samples += 1;
            counted.in_span += u64::from(sample.span.is_some());
        }
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.samples += counted.samples;
            counts.in_span += counted.in_span;
            counts.lost = self.source.lost();
            counts.run_time = self.source.run_time();
        }
        let due = |program: &Program| {
            program.builder.records() >= BATCH_SAMPLES
                || program.waiting_since.is_some_and(|since| since.elapsed() >= BATCH_AGE)
        };
        let period = self.period;
        let batches: Vec<Batch> = self
            .programs
            .values_mut()
            .filter(|program| due(program))
            .filter_map(|program| {
                program.waiting_since = None;
                program.builder.take(period)
            })
            .collect();
        batches.into_iter().for_each(|batch| self.offer(Some(batch)));
    }

    fn offer(&self, batch: Option<Batch>) {
        let Some(batch) = batch.map(Arc::new) else { return };
        for sink in &self.sinks {
            let _ = sink.offer(&batch); // one that refuses it has counted it
        }
    }
}
