//! Plugs the kernel half (`probe`) into the agent: `tandem run` and `tandem agent` both load it here.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use agent::{AccountMap, KernelHalf, Profiling, Sample, Samples, SpanSystemCalls, SystemCalls};
use model::{ProfileKind, SpanId, TraceId};
use probe::{Profiler, Rate, RunTimes, SampleKind, SampleReader, SharedContexts};
use record::{HeaderFacts, MonotonicNanos};

/// What the detail mode says before it starts.
const PRICE: &str = "--detail costs watched programs 0.1 to 0.3 µs for each system call and up to 0.1 µs for each read of a \
                     socket, arrival of data and page fault, and all other programs of this machine about 0.05 µs for each; \
                     a saturated server needs some 10 % more CPU time";

/// Whether the kernel measures how long its programs run: since [`measure_run_times`].
static RUN_TIMES: OnceLock<RunTimes> = OnceLock::new();

/// Has the kernel measure how long its programs run, for a budget. Needs a right that an agent gives away before anything is loaded.
pub fn measure_run_times() {
    // Without it only the hooks' own cost is known; `tandem budget` says so.
    if let Ok(measured) = RunTimes::measure() {
        let _ = RUN_TIMES.set(measured);
    }
}

fn measures_run_times() -> bool {
    RUN_TIMES.get().is_some()
}

/// Loads the kernel half. Where it cannot be had, the error is one line that says why and what to do. No thread is started.
pub fn load(detail: bool) -> Result<probe::Kernel, String> {
    if detail {
        eprintln!("tandem: {PRICE}");
    }
    let loaded = if detail { probe::Kernel::load_detailed() } else { probe::Kernel::load() };
    loaded.map_err(|error| format!("the kernel half is off: {} (tandem doctor says more)", explain(&error)))
}

/// A line that says what, why and what to do.
pub fn explain(error: &probe::ProbeError) -> String {
    let why = error.to_string();
    format!("{}; {}", why.lines().next().unwrap_or_default(), error.remedy())
}

/// Sets it to work.
pub fn watcher(kernel: probe::Kernel, shared: Option<SharedContexts>) -> Box<dyn KernelHalf> {
    kernel.stock_up();
    Box::new(Watcher(kernel, shared))
}

/// Loads what tells other tools the spans of threads. Where it cannot be had, the error is one line that says why and what to do.
pub fn shared_contexts(path: &Path) -> Result<SharedContexts, String> {
    SharedContexts::load(path).map_err(|error| format!("spans of threads are not shared: {}", explain(&error)))
}

/// Reports what cannot be watched, and goes on without: those spans lack the kernel's parts.
struct Watcher(probe::Kernel, Option<SharedContexts>);

impl KernelHalf for Watcher {
    fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Option<AccountMap> {
        if let Some(Err(error)) = self.1.as_ref().map(|shared| shared.watch(pid, facts)) {
            eprintln!("tandem: warning: {error}; {}", error.remedy());
        }
        match self.0.watch(pid, facts) {
            Ok(probe::AccountMap { fd, slots, lacking, system_calls }) => Some(AccountMap {
                fd,
                slots,
                lacking,
                system_calls: system_calls.map(|kept| Box::new(Calls(kept)) as Box<dyn SpanSystemCalls>),
            }),
            Err(error) => {
                eprintln!("tandem: warning: {error}; {}", error.remedy());
                None
            }
        }
    }

    fn unwatch(&mut self, pid: u32) {
        self.1.iter().for_each(|shared| shared.unwatch(pid));
        self.0.unwatch(pid);
    }

    fn has_detail(&self) -> bool {
        self.0.has_detail()
    }

    fn set_detail(&mut self, on: bool) -> u32 {
        self.0.set_detail(on).unwrap_or_else(|error| {
            eprintln!("tandem: warning: --detail cannot be switched: {error}");
            0
        })
    }

    fn run_time(&self) -> Option<Duration> {
        measures_run_times().then(|| self.0.run_time())
    }
}

#[derive(Debug)]
struct Calls(probe::SpanSystemCalls);

impl SpanSystemCalls for Calls {
    fn take(&self, span_id: [u8; 8]) -> Vec<SystemCalls> {
        let calls = self.0.take(span_id).into_iter();
        calls
            .map(|probe::SystemCalls { name, count, time }| SystemCalls { name: name.unwrap_or("other"), count, time })
            .collect()
    }
}

/// Loads the profiler. Where it cannot be had, the error is one line that says why and what to do.
pub fn profiler(rate: Rate) -> Result<Profiling, String> {
    let profiler = Profiler::load(rate)
        .map_err(|error| format!("there are no profiles: {} (tandem doctor says more)", explain(&error)))?;
    let period = rate.period().into();
    Ok(Profiling { open: Box::new(move || source(profiler)), period })
}

fn source(profiler: Profiler) -> Box<dyn Samples> {
    match profiler.into_reader() {
        Ok(reader) => Box::new(Sampler(Some(reader))),
        Err(error) => {
            eprintln!("tandem: warning: there are no profiles: {error}; {}", error.remedy());
            Box::new(Sampler(None))
        }
    }
}

struct Sampler(Option<SampleReader>);

impl Samples for Sampler {
    fn watch(&mut self, pid: u32, facts: &HeaderFacts) {
        if let Some(reader) = &self.0
            && let Err(error) = reader.profiler().watch(pid, facts)
        {
            eprintln!("tandem: warning: {error}; {}", error.remedy());
        }
    }

    fn unwatch(&mut self, pid: u32) {
        if let Some(reader) = &self.0 {
            reader.profiler().unwatch(pid);
        }
    }

    fn take(&mut self) -> Vec<Sample> {
        self.0.as_ref().map(SampleReader::take).unwrap_or_default().into_iter().map(sample).collect()
    }

    fn set_rate(&mut self, per_second: Option<u32>) -> u64 {
        let rate = per_second.and_then(Rate::new);
        let Some(reader) = &self.0 else { return Rate::DEFAULT.period().into() };
        if let Err(error) = reader.profiler().set_rate(rate) {
            eprintln!("tandem: warning: the profiler's rate cannot be changed: {error}");
        }
        reader.profiler().rate().period().into()
    }

    fn run_time(&self) -> Option<Duration> {
        let reader = self.0.as_ref().filter(|_| measures_run_times())?;
        Some(reader.profiler().run_time())
    }

    fn lost(&mut self) -> u64 {
        let statistics = self.0.as_ref().and_then(|reader| reader.profiler().statistics().ok()).unwrap_or_default();
        statistics.lost + statistics.failed
    }
}

fn sample(sample: probe::Sample) -> Sample {
    let in_kernel =
        sample.system_call.map(|number| match u32::try_from(number).ok().and_then(probe::system_call_name) {
            Some(name) => format!("kernel: {name}"),
            None if number < 0 => "kernel".to_owned(),
            None => format!("kernel: system call {number}"),
        });
    Sample {
        time: MonotonicNanos(sample.time),
        value_ns: sample.weight,
        process: sample.process,
        thread: sample.thread,
        kind: match sample.kind {
            SampleKind::Cpu => ProfileKind::Cpu,
            SampleKind::Blocked => ProfileKind::OffCpu,
        },
        span: sample.span.map(|(trace, span)| (TraceId(trace), SpanId(span))),
        in_kernel,
        top: sample.top,
        stack: sample.stack,
    }
}
