//! What samples of stacks say of a cause: the functions in which the time went.

use std::collections::{HashMap, HashSet};

use model::{Frame, ProfileKind, ProfileSample, Span, SpanId, TraceId, format_duration};

use crate::Sample;
use crate::cause::CauseKind;
use crate::path::end;

/// Samples by span, and those of each service that ran on a CPU.
pub struct Samples<'a> {
    of_spans: HashMap<(TraceId, SpanId), Vec<&'a ProfileSample>>,
    /// By their time.
    running: HashMap<&'a str, Vec<&'a ProfileSample>>,
}

impl<'a> Samples<'a> {
    /// Sorts them by their spans.
    pub fn new(samples: &'a [Sample]) -> Self {
        let mut of_spans: HashMap<_, Vec<&ProfileSample>> = HashMap::new();
        let mut running: HashMap<_, Vec<&ProfileSample>> = HashMap::new();
        for Sample { service, sample } in samples {
            if let (Some(trace), Some(span)) = (sample.trace_id, sample.span_id) {
                of_spans.entry((trace, span)).or_default().push(sample);
            }
            if sample.kind == ProfileKind::Cpu {
                running.entry(&**service).or_default().push(sample);
            }
        }
        running.values_mut().for_each(|samples| samples.sort_by_key(|sample| sample.time_unix_nano));
        Self { of_spans, running }
    }

    fn of<'s>(&'s self, spans: &'s [&Span], kind: ProfileKind) -> impl Iterator<Item = &'a ProfileSample> + 's {
        let mut seen = HashSet::new();
        spans
            .iter()
            .map(|span| (span.trace_id, span.span_id))
            .filter(move |id| seen.insert(*id))
            .filter_map(|id| self.of_spans.get(&id))
            .flatten()
            .copied()
            .filter(move |sample| sample.kind == kind)
    }

    /// How much of these spans' time on CPUs went into collecting garbage.
    pub fn collecting(&self, spans: &[&Span]) -> Option<Collecting> {
        Collecting::of(self.of(spans, ProfileKind::Cpu))
    }

    /// How much of the time on CPUs of the whole program, while these spans of it were under way.
    pub fn collecting_meanwhile(&self, service: &str, spans: &[&Span]) -> Option<Collecting> {
        let running = self.running.get(service)?;
        let mut seen = HashSet::new();
        let while_running = spans.iter().flat_map(|span| {
            let first = running.partition_point(|sample| sample.time_unix_nano < span.start_unix_nano);
            running[first..].iter().take_while(|sample| sample.time_unix_nano < end(span)).copied()
        });
        Collecting::of(while_running.filter(move |sample| seen.insert(std::ptr::from_ref(*sample))))
    }

    /// The function that most of these spans' time went to for this cause: its name, share and the time that was sampled.
    pub fn place(&self, spans: &[&Span], cause: CauseKind) -> Option<String> {
        let (kind, fits): (_, fn(&[Frame]) -> bool) = match cause {
            CauseKind::Computation
            | CauseKind::GarbageCollection
            | CauseKind::CpuContention
            | CauseKind::GoScheduler => (ProfileKind::Cpu, |_| true),
            CauseKind::LockContention => (ProfileKind::OffCpu, |stack| {
                stack.iter().any(|frame| frame.function.starts_with("sync.") || frame.function.contains("lock"))
            }),
            CauseKind::FileSync => (ProfileKind::OffCpu, |stack| {
                stack.iter().any(|frame| frame.function.starts_with("os.") || frame.function.starts_with("[kernel: f"))
            }),
            CauseKind::PoolExhaustion | CauseKind::OtherGoroutines | CauseKind::Sleeping => {
                (ProfileKind::OffCpu, |_| true)
            }
            _ => return None,
        };
        let mut functions: HashMap<&str, u64> = HashMap::new();
        let mut all = 0;
        for sample in self.of(spans, kind).filter(|sample| fits(&sample.stack)) {
            all += sample.value_ns;
            if let Some(frame) = sample.stack.iter().find(|frame| is_users(&frame.function)) {
                *functions.entry(&frame.function).or_default() += sample.value_ns;
            }
        }
        let (function, time) = functions.into_iter().max_by_key(|&(name, time)| (time, std::cmp::Reverse(name)))?;
        let doing = if kind == ProfileKind::Cpu { "ran" } else { "waited" };
        let percent = time as f64 / all as f64 * 100.0;
        Some(format!("{doing} in {function}: {percent:.0} % of {} that were sampled", format_duration(all)))
    }
}

/// How much of time on CPUs went into collecting garbage.
#[derive(Clone, Copy, Debug)]
pub struct Collecting {
    /// Its share, 0 to 1.
    pub share: f64,
    /// Time that was sampled, ns.
    pub sampled_ns: u64,
}

impl Collecting {
    fn of<'s>(samples: impl Iterator<Item = &'s ProfileSample>) -> Option<Self> {
        let (mut collecting, mut all) = (0, 0);
        for sample in samples {
            all += sample.value_ns;
            if sample.stack.iter().any(|frame| collects(&frame.function)) {
                collecting += sample.value_ns;
            }
        }
        (all > 0).then(|| Self { share: collecting as f64 / all as f64, sampled_ns: all })
    }
}

/// Functions of the collector that run on behalf of a goroutine or of all.
fn collects(function: &str) -> bool {
    const NAMES: [&str; 6] = ["gcAssist", "gcDrain", "gcBgMark", "bgsweep", "sweepone", "deductSweepCredit"];
    function.strip_prefix("runtime.").is_some_and(|name| NAMES.iter().any(|known| name.contains(known)))
}

/// Neither Go's runtime nor what locks and waits are made of.
fn is_users(function: &str) -> bool {
    const BELOW: [&str; 10] =
        ["runtime", "sync", "internal/", "syscall", "time", "os", "io", "net", "poll", "database/sql"];
    let package = function.rsplit_once('/').map_or(function, |(before, _)| before);
    let first = function.split(['.', '(']).next().unwrap_or_default();
    !function.starts_with('[')
        && !BELOW.iter().any(|below| {
            first == *below || below.ends_with('/') && function.starts_with(below) || package.starts_with("internal/")
        })
        && !first.starts_with("runtime/")
}
