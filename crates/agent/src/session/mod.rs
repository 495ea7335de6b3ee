//! A session: one woven program, from its hand-shake to its end.

pub(crate) mod handshake;
pub(crate) mod process;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deliver::Batch;
use deliver::metrics::Metric;
use deliver::otlp::encode::ClockOffset;
use model::Resource;
use record::layout::FIRST_FUNCTION;
use record::{
    Active, Control, FunctionNumber, Identity, LogRecord, Memory, MonotonicNanos, OpenError, ProgramCounters, Ring,
    SeriesReader, Tables,
};

use crate::assemble::{Assembler, Ending, OperationWork};
use crate::clock::{self, Clock};
use crate::fold::Fold;
use crate::instruments;
use crate::limits::Limits;
use crate::logs::LogAssembler;
use crate::measure::Measure;
use crate::profile::Profiled;
use crate::regulate::Told;
use crate::statistics::Statistics;
use crate::symbols::Image;
use crate::{AccountMap, KernelHalf};

/// A batch is handed on when it has so many bytes, or when its oldest span has waited so long.
const BATCH_BYTES: usize = 128 * 1024;
const BATCH_AGE: Duration = Duration::from_millis(200);
/// One program gets no more than this (and what is left of a ring) in one round, so that others get their turn.
const ROUND_BYTES: usize = 32 << 20;
/// So many of the last spans are remembered, to tell an entry that was just finished from one that was not.
const RECENT: usize = 8192;

/// One program.
#[derive(Debug)]
pub(crate) struct Session {
    pid: u32,
    /// Its user, as it was found.
    pub(crate) user: Option<u32>,
    pidfd: Option<OwnedFd>,
    resource: Arc<Resource>,
    memory: Memory,
    control: Control,
    rings: Vec<Ring>,
    next_ring: usize,
    series: SeriesReader,
    functions: FunctionReader,
    assembler: Assembler,
    logs: LogAssembler,
    recent: Recent,
    /// What the program had counted about itself at the last look.
    counted: ProgramCounters,
    waiting_since: Option<Instant>,
    logs_waiting_since: Option<Instant>,
    /// The kernel's accounts; kept, for a program may connect again.
    pub(crate) accounts: Option<AccountMap>,
    /// The kernel half has been told about the process.
    pub(crate) watched: bool,
    /// What the program was told.
    told: Told,
    /// The operations that have done something.
    operations: Vec<(u32, String, u8)>,
}

/// What a session works with.
pub(crate) struct Tools<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) measure: &'a mut Measure,
    pub(crate) statistics: &'a mut Statistics,
}

impl Session {
    /// Begins to read a program's memory. Without a pidfd the program has ended already.
    pub(crate) fn open(
        pid: u32,
        pidfd: Option<OwnedFd>,
        memory: BorrowedFd<'_>,
        fold: &Fold,
    ) -> Result<Self, OpenError> {
        let memory = Memory::open(memory)?;
        let text = memory.resource();
        let resource = Arc::new(process::resource(pid, memory.header(), &text));
        let control = memory.control();
        control.set_rules(&[]); // those of an agent that was killed
        control.set_routes(&[]);
        Ok(Self {
            pid,
            user: process::user(pid),
            pidfd,
            resource: Arc::clone(&resource),
            control,
            rings: memory.rings(),
            next_ring: 0,
            series: memory.series(),
            functions: FunctionReader { tables: memory.tables(), seen: HashMap::new() },
            logs: LogAssembler::new(memory.tables(), Arc::clone(&resource), &memory.header().tandem_version),
            assembler: Assembler::new(memory.tables(), resource, &memory.header().tandem_version)
                .within(Limits::parse(&text))
                .folding(fold)
                .told(&memory.header().facts),
            recent: Recent::default(),
            counted: ProgramCounters::default(),
            waiting_since: None,
            logs_waiting_since: None,
            accounts: None,
            watched: false,
            told: Told::default(),
            operations: Vec::new(),
            memory,
        })
    }

    /// Has the kernel half watch it, unless it does.
    pub(crate) fn watch(&mut self, kernel: &mut dyn KernelHalf) {
        if self.watched || !self.memory.header().facts.has_accounts() {
            return;
        }
        self.accounts = kernel.watch(self.pid, &self.memory.header().facts);
        if let Some(accounts) = &mut self.accounts {
            self.assembler.leave_out(accounts.lacking);
            self.assembler.ask(accounts.system_calls.take());
        }
        self.watched = true;
    }

    /// What a profiler has to know of it; `None`: it does not say where its goroutines are.
    pub(crate) fn profiled(&self) -> Option<Profiled> {
        let header = self.memory.header();
        header.facts.has_accounts().then(|| Profiled {
            pid: self.pid,
            facts: header.facts,
            resource: Arc::clone(&self.resource),
            version: header.tandem_version.clone(),
            image: Image::of(self.pid),
        })
    }

    /// Process id, as the agent sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The process id that the memory's program gave itself.
    pub(crate) fn owner(&self) -> u32 {
        self.memory.header().pid
    }

    /// Becomes readable when the process ends; `None` when it has.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Which memory it is.
    pub(crate) fn identity(&self) -> Identity {
        self.memory.identity()
    }

    /// Its `service.name`.
    pub(crate) fn service(&self) -> &str {
        self.resource.service()
    }

    /// What its operations have done since the last call.
    pub(crate) fn take_work(&mut self) -> Vec<OperationWork> {
        let work = self.assembler.take_work();
        for operation in work.iter().filter(|operation| !operation.api && operation.number < FIRST_FUNCTION) {
            if !self.operations.iter().any(|(number, ..)| *number == operation.number) {
                self.operations.push((operation.number, operation.id.clone(), operation.kind));
            }
        }
        work
    }

    /// The operations that packs have made, as far as they have done something: number, id and kind.
    pub(crate) fn operations(&self) -> &[(u32, String, u8)] {
        &self.operations
    }

    /// Leaves parts of the anatomy out of spans that began before a moment.
    pub(crate) fn leave_out_before(&mut self, parts: u32, moment: MonotonicNanos) {
        self.assembler.leave_out_before(parts, moment);
    }

    /// How many routes it can be told of.
    pub(crate) fn route_count(&self) -> usize {
        self.control.route_count()
    }

    /// Says to the program what is recorded of single operations and routes, where that has changed.
    pub(crate) fn tell(&mut self, told: Told) {
        if self.told.rules != told.rules {
            self.control.set_rules(&told.rules);
        }
        if self.told.routes != told.routes {
            self.control.set_routes(&told.routes);
        }
        self.told = told;
    }

    /// Asks the program to connect.
    pub(crate) fn call(&self) {
        self.control.raise_generation();
    }

    /// Says that the agent is there, or (at time 0) that it goes.
    pub(crate) fn beat(&self, now: MonotonicNanos) {
        self.control.beat(now);
    }

    /// Takes what is in the rings. How full the fullest was, in eighths.
    pub(crate) fn drain(&mut self, tools: &mut Tools<'_>) -> usize {
        self.drain_up_to(ROUND_BYTES, tools)
    }

    fn drain_up_to(&mut self, limit: usize, tools: &mut Tools<'_>) -> usize {
        let (mut fullest, mut taken) = (0, 0);
        let offset = tools.clock.offset();
        let count = self.rings.len();
        let mut all_read = true;
        for turn in 0..count {
            let index = (self.next_ring + turn) % count;
            if taken > limit {
                self.next_ring = index;
                all_read = false;
                break;
            }
            let ring = &mut self.rings[index];
            let drained = ring.drain(|record| {
                if LogRecord::is_one(record) {
                    tools.statistics.logs += u64::from(self.logs.record(record, offset));
                } else if let Some(span) = self.assembler.record(record, Ending::Recorded, offset, tools.measure) {
                    self.recent.add(span.span_id);
                    tools.statistics.count(span);
                }
            });
            taken += drained.level;
            fullest = fullest.max(drained.level * 8 / ring.size());
            let dropped = ring.take_dropped();
            tools.statistics.ring_full = tools.statistics.ring_full.saturating_add(dropped);
            let dropped_logs = ring.take_dropped_logs();
            tools.statistics.ring_full_logs = tools.statistics.ring_full_logs.saturating_add(dropped_logs);
            if let Some(garbage) = drained.garbage {
                tools.statistics.fault(garbage.name(), 1);
            }
        }
        if all_read {
            self.assembler.pass(offset, tools.measure);
        }
        self.tell_requests(tools);
        for (cause, count) in self.assembler.take_faults().into_iter().chain(self.logs.take_faults()) {
            tools.statistics.fault(cause, count);
        }
        if self.waiting_since.is_none() && self.assembler.waiting() > 0 {
            self.waiting_since = Some(Instant::now());
        }
        if self.logs_waiting_since.is_none() && self.logs.waiting() > 0 {
            self.logs_waiting_since = Some(Instant::now());
        }
        fullest
    }

    /// Takes the counts of spans that left no record.
    pub(crate) fn take_counts(&mut self, tools: &mut Tools<'_>) {
        self.series.take(&self.memory, |delta| {
            let counted = delta.buckets.iter().fold(tools.statistics.counted, |sum, &more| sum.saturating_add(more));
            tools.statistics.counted = counted;
            self.assembler.counts(&delta, tools.measure);
        });
        self.tell_requests(tools);
        self.functions.take(&self.memory.active_functions(), tools.statistics);
        let counted = self.control.counters();
        tools.statistics.met_limits(self.counted, counted);
        tools.statistics.cut_logs += counted.cut_logs.saturating_sub(self.counted.cut_logs);
        self.counted = counted;
    }

    fn tell_requests(&mut self, tools: &mut Tools<'_>) {
        tools.statistics.completeness.told(self.pid, self.assembler.take_requests());
    }

    /// The program has ended: takes what is left. What it had begun becomes spans marked as unfinished.
    pub(crate) fn end(&mut self, now: MonotonicNanos, tools: &mut Tools<'_>) {
        self.drain_up_to(usize::MAX, tools);
        self.take_counts(tools);
        let offset = tools.clock.offset();
        self.memory.in_flight(|entry| {
            // Killed between the copy to the ring and the freeing of the entry: the span is already there.
            if record::SpanRecord::parse(entry).is_ok_and(|record| self.recent.contains(record.span_id())) {
                return;
            }
            if let Some(span) = self.assembler.record(entry, Ending::Noticed(now), offset, tools.measure) {
                tools.statistics.count(span);
            }
        });
        self.assembler.end_folding(offset, tools.measure);
        for (cause, count) in self.assembler.take_faults() {
            tools.statistics.fault(cause, count);
        }
    }

    /// Somebody wants to see all that has come.
    pub(crate) fn hurry(&mut self, tools: &mut Tools<'_>) {
        self.assembler.hurry(tools.clock.offset(), tools.measure);
    }

    /// The agent ends before the program does: what was folded so far goes on.
    pub(crate) fn end_folding(&mut self, tools: &mut Tools<'_>) {
        self.assembler.end_folding(tools.clock.offset(), tools.measure);
    }

    /// The metrics that the program keeps itself.
    pub(crate) fn instruments(&self, offset: ClockOffset) -> Vec<Metric> {
        let Some(read) = self.control.instruments_read() else { return Vec::new() };
        let now = clock::now();
        instruments::metrics(
            self.memory.instruments(),
            &self.resource,
            |observed| {
                let moment = if observed { read.min(now) } else { now };
                offset.unix(moment)
            },
            |start| offset.unix(start.min(now)),
        )
    }

    /// A batch, when it is time for one.
    pub(crate) fn due(&mut self, all: bool) -> Option<Arc<Batch>> {
        let old = self.waiting_since.is_some_and(|since| since.elapsed() >= BATCH_AGE);
        if !(all || old || self.assembler.waiting() >= BATCH_BYTES) {
            return None;
        }
        self.waiting_since = None;
        self.assembler.take().map(Arc::new)
    }

    /// The same of log records.
    pub(crate) fn logs_due(&mut self, all: bool) -> Option<Arc<Batch>> {
        let old = self.logs_waiting_since.is_some_and(|since| since.elapsed() >= BATCH_AGE);
        if !(all || old || self.logs.waiting() >= BATCH_BYTES) {
            return None;
        }
        self.logs_waiting_since = None;
        self.logs.take().map(Arc::new)
    }
}

/// Takes what is new in the counts of functions that are switched on.
#[derive(Debug)]
struct FunctionReader {
    tables: Tables,
    /// Names, and the counts at the last look.
    seen: HashMap<FunctionNumber, (String, Active)>,
}

impl FunctionReader {
    fn take(&mut self, active: &[Active], statistics: &mut Statistics) {
        self.seen.retain(|number, _| active.iter().any(|now| now.number == *number));
        for &now in active {
            let (name, before) = match self.seen.remove(&now.number) {
                // Numbers that went down: it was switched off and on meanwhile.
                Some((name, before)) if before.calls <= now.calls && before.limited <= now.limited => {
                    (name, (before.calls, before.limited))
                }
                Some((name, _)) => (name, (0, 0)),
                None => match self.tables.descriptor(FIRST_FUNCTION.saturating_add(now.number.0)) {
                    Some(descriptor) => (descriptor.name, (0, 0)),
                    None => continue,
                },
            };
            statistics.called(&name, now.calls - before.0, now.limited - before.1);
            self.seen.insert(now.number, (name, now));
        }
    }
}

/// The last spans that came from rings.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<[u8; 8]>,
}

impl Recent {
    #[inline]
    fn add(&mut self, span: [u8; 8]) {
        if self.order.len() == RECENT {
            self.order.pop_front();
        }
        self.order.push_back(span);
    }

    fn contains(&self, span: [u8; 8]) -> bool {
        self.order.contains(&span)
    }
}
