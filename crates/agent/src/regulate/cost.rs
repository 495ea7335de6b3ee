//! What observing costs, measured: the agent's own time and memory, the run time of the kernel half's programs, and the hooks in programs.
//!
//! A hook's time cannot be measured from outside without costing more than it does. So it is calculated: spans and counts that came, times
//! what each takes in reads of the clock, times what a read takes on this machine, which is measured at the start. `make bench
//! ONLY=span` measures the former: 6 reads for a span of ten attributes, 4 for one that is only counted, whatever the machine.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::assemble::OperationWork;
use crate::clock;

/// What hooks take, in reads of the clock.
const READS_A_SPAN: f64 = 6.0;
const READS_A_COUNT: f64 = 4.0;
/// Programs that use less of a CPU are idle: what observing adds to next to nothing is not judged.
const IDLE: f64 = 0.01;

/// A program's share in a look.
pub struct ProgramWork<'a> {
    /// Process id.
    pub pid: u32,
    /// `service.name`.
    pub service: &'a str,
    /// How many routes it can be told of.
    pub room: usize,
    /// What its operations did since the last look.
    pub operations: Vec<OperationWork>,
}

/// What a program costs, seconds of CPU time a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgramCost {
    /// `service.name`.
    pub service: String,
    /// The CPU time that it uses itself.
    pub uses: f64,
    /// Its hooks.
    pub hooks: f64,
    /// Its part of the kernel half, by its part of the CPU time.
    pub kernel: f64,
}

/// What was measured in the time since the last look. Times are in seconds of CPU time a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    /// All of the agent.
    pub agent: f64,
    /// Its resident memory, MiB.
    pub memory: f64,
    /// The kernel half's programs; `None`: nobody measures them.
    pub kernel: Option<f64>,
    /// Of these, the profiler's.
    pub profiler: Option<f64>,
    /// Watched programs.
    pub programs: Vec<ProgramCost>,
    /// Operations a second, recorded or not.
    pub operations: f64,
    /// Records a second.
    pub records: f64,
}

impl Costs {
    /// What is added to the programs that fit, percent of the CPU time that they use. `None`: they are idle.
    pub fn added(&self, fits: impl Fn(&str) -> bool) -> Option<f64> {
        let (mut uses, mut added) = (0.0, 0.0);
        for program in self.programs.iter().filter(|program| fits(&program.service)) {
            uses += program.uses;
            added += program.hooks + program.kernel;
        }
        (uses >= IDLE).then(|| 100.0 * added / uses)
    }
}

/// Readings that only rise.
#[derive(Clone, Copy, Debug, Default)]
struct Readings {
    now: Duration,
    agent: Duration,
    kernel: Option<Duration>,
    profiler: Option<Duration>,
}

/// Measures.
#[derive(Debug)]
pub struct Meter {
    /// What a read of the clock takes, seconds.
    read: f64,
    last: Option<Readings>,
    /// CPU times of programs at the last look.
    programs: HashMap<u32, Duration>,
}

impl Meter {
    /// Calibrates, and begins.
    pub fn start() -> Self {
        Self { read: clock_read(), last: None, programs: HashMap::new() }
    }

    /// What a read of the clock takes here.
    pub fn clock_read(&self) -> Duration {
        Duration::from_secs_f64(self.read)
    }

    /// The costs since the last look; the first one has nothing to compare with.
    pub fn look(
        &mut self,
        now: Duration,
        kernel: Option<Duration>,
        profiler: Option<Duration>,
        work: &[ProgramWork<'_>],
    ) -> Option<Costs> {
        let readings = Readings { now, agent: own_time(), kernel, profiler };
        let used: HashMap<u32, Duration> =
            work.iter().filter_map(|work| Some((work.pid, time_of(work.pid)?))).collect();
        let before = std::mem::replace(&mut self.programs, used);
        let last = self.last.replace(readings)?;
        let passed = now.saturating_sub(last.now).as_secs_f64();
        if passed <= 0.0 {
            return None;
        }
        let share = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / passed;
        let shares = |now: Option<Duration>, before: Option<Duration>| Some(share(now?, before?));
        let profiler = shares(readings.profiler, last.profiler);
        let anatomy = shares(readings.kernel, last.kernel);
        let kernel = anatomy.or(profiler).map(|_| anatomy.unwrap_or(0.0) + profiler.unwrap_or(0.0));
        let mut costs =
            Costs { agent: share(readings.agent, last.agent), memory: memory(), kernel, profiler, ..Costs::default() };
        for work in work {
            let (mut recorded, mut counted) = (0, 0);
            for operation in &work.operations {
                recorded += operation.spans.recorded;
                counted += operation.spans.counted;
            }
            let (recorded, counted) = (recorded as f64 / passed, counted as f64 / passed);
            costs.records += recorded;
            costs.operations += recorded + counted;
            let uses =
                self.programs.get(&work.pid).zip(before.get(&work.pid)).map(|(now, before)| share(*now, *before));
            costs.programs.push(ProgramCost {
                service: work.service.to_owned(),
                uses: uses.unwrap_or(0.0),
                hooks: (recorded * READS_A_SPAN + counted * READS_A_COUNT) * self.read,
                kernel: 0.0,
            });
        }
        let uses: f64 = costs.programs.iter().map(|program| program.uses).sum();
        if let Some(kernel) = costs.kernel.filter(|_| uses > 0.0) {
            costs.programs.iter_mut().for_each(|program| program.kernel = kernel * program.uses / uses);
        }
        Some(costs)
    }
}

/// The shortest of some tries, seconds: the others were interrupted.
fn clock_read() -> f64 {
    const READS: u32 = 1000;
    let once = || {
        let start = clock::now().0;
        for _ in 0..READS {
            std::hint::black_box(clock_gettime(ClockId::Monotonic));
        }
        clock::now().0.saturating_sub(start)
    };
    (0..10).map(|_| once()).min().unwrap_or_default() as f64 / f64::from(READS) / 1e9
}

/// The CPU time of this process.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// The resident memory of this process, MiB.
fn memory() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    (pages * rustix::param::page_size() as u64) as f64 / f64::from(1 << 20)
}

/// The CPU time of a process; `None`: it is gone.
fn time_of(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = ticks(&text)?;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Its time in user mode and in the kernel. Its name, which stands in parentheses, may have any letters.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::SpansDone;

    #[test]
    fn times_are_read_whatever_the_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S"), None);
        assert!(time_of(std::process::id()).is_some() && time_of(u32::MAX).is_none());
    }

    /// This process as the program: it uses as much as the agent, and hooks cost as many reads of the clock as they are said to.
    #[test]
    fn costs_are_shares_of_the_time_that_passed() {
        let mut meter = Meter::start();
        assert!(meter.read > 1e-9 && meter.read < 1e-4, "{}", meter.read);
        let spans = SpansDone { recorded: 1000, counted: 500, ..SpansDone::default() };
        let operation = OperationWork { number: 1, id: "a.b".to_owned(), kind: 1, api: false, spans };
        let work = |operations| vec![ProgramWork { pid: std::process::id(), service: "shop", room: 0, operations }];
        let start = clock::now();
        assert_eq!(meter.look(Duration::ZERO, None, None, &work(Vec::new())), None);
        while clock::now().0 - start.0 < 200_000_000 {
            std::hint::black_box(memory());
        }
        let passed = Duration::from_nanos(clock::now().0 - start.0);
        let run = Duration::from_millis(2);
        meter.last.as_mut().expect("a look").kernel = Some(Duration::ZERO);
        let costs = meter.look(passed, Some(run), None, &work(vec![operation])).expect("the second look");
        assert!(costs.agent > 0.0 && costs.memory > 1.0, "{costs:?}");
        let seconds = passed.as_secs_f64();
        assert!((costs.operations * seconds - 1500.0).abs() < 1e-6 && (costs.records * seconds - 1000.0).abs() < 1e-6);
        assert!((costs.kernel.expect("it is measured") * seconds - 0.002).abs() < 1e-9);
        let program = &costs.programs[0];
        assert!((program.hooks * seconds / meter.read - 8000.0).abs() < 1.0, "{costs:?}");
        if program.uses >= IDLE {
            let added = costs.added(|service| service == "shop").expect("it is busy");
            assert!((added - 100.0 * (program.hooks + program.kernel) / program.uses).abs() < 1e-9);
        }
        assert_eq!(costs.added(|service| service == "bank"), None);
    }
}
