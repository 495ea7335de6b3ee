//! What samples of stacks say of a cause: the functions in which the time went.

use std::collections::{HashMap, HashSet};

use model::{Frame, ProfileKind, ProfileSample, Span, SpanId, TraceId, format_duration};

use crate::cause::CauseKind;

/// Samples by span.
pub struct Samples<'a>(HashMap<(TraceId, SpanId), Vec<&'a ProfileSample>>);

impl<'a> Samples<'a> {
    /// Sorts them by their spans.
    pub fn new(samples: &'a [ProfileSample]) -> Self {
        let mut by_span: HashMap<_, Vec<&ProfileSample>> = HashMap::new();
        for sample in samples {
            if let (Some(trace), Some(span)) = (sample.trace_id, sample.span_id) {
                by_span.entry((trace, span)).or_default().push(sample);
            }
        }
        Self(by_span)
    }

    fn of<'s>(&'s self, spans: &'s [&Span], kind: ProfileKind) -> impl Iterator<Item = &'a ProfileSample> + 's {
        let mut seen = HashSet::new();
        spans
            .iter()
            .map(|span| (span.trace_id, span.span_id))
            .filter(move |id| seen.insert(*id))
            .filter_map(|id| self.0.get(&id))
            .flatten()
            .copied()
            .filter(move |sample| sample.kind == kind)
    }

    /// How much of these spans' time on CPUs went into collecting garbage, 0 to 1, and how much was sampled at all, ns.
    pub fn collecting(&self, spans: &[&Span]) -> Option<(f64, u64)> {
        let (mut collecting, mut all) = (0, 0);
        for sample in self.of(spans, ProfileKind::Cpu) {
            all += sample.value_ns;
            if sample.stack.iter().any(|frame| collects(&frame.function)) {
                collecting += sample.value_ns;
            }
        }
        (all > 0).then(|| (collecting as f64 / all as f64, all))
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
