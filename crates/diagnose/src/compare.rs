//! Slow requests against normal ones: whose time makes the difference.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Kind, Span, TraceId, Value, format_duration};
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, CauseKind};
use crate::common::{self, Common};
use crate::path::{Key, Pieces, Standstills, Tree, divide, total};
use crate::stacks::{Collecting, Samples};
use crate::{Facts, Question, Split};

/// With fewer nothing is said.
pub const FEWEST_REQUESTS: usize = 20;
/// Slow requests that are looked at, where there are enough.
const FEWEST_SLOW: usize = 8;
/// Causes that make up less of the extra time are not told.
const SMALLEST_SHARE: f64 = 0.03;
/// The slow ones must take so many times as long as the normal ones.
const LEAST_RATIO: f64 = 1.3;
/// Notes that are kept where causes are merged.
const MOST_NOTES: usize = 2;
/// Traces that are named with a cause.
const EXAMPLES: usize = 3;

/// How the comparison went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There are causes.
    Explained,
    /// There are too few requests on one of the sides.
    TooFew,
    /// The slow requests hardly take longer than the others.
    Even,
}

/// What makes the slow requests of a route slow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Who serves the requests.
    pub service: String,
    /// Their name.
    pub operation: String,
    /// How the comparison went.
    pub verdict: Verdict,
    /// All requests.
    pub requests: usize,
    /// The slow ones.
    pub slow: usize,
    /// Those that they are compared with.
    pub normal: usize,
    /// Median duration of a slow one, ns.
    pub slow_ns: u64,
    /// Median duration of a normal one, ns.
    pub normal_ns: u64,
    /// Extra time of all slow requests together, ns.
    pub extra_ns: u64,
    /// Causes, the largest share first.
    pub causes: Vec<Cause>,
    /// Share of the extra time that went into parts too small to be told.
    pub rest: f64,
    /// What the slow ones have in common besides.
    pub common: Vec<Common>,
}

/// A request of a route.
struct Request<'a> {
    span: &'a Span,
    trace: &'a [Span],
    pieces: Pieces<'a>,
}

/// Diagnoses each route that the question is about, those with the most extra time first.
pub fn diagnose(facts: Facts<'_>, question: &Question) -> Vec<Diagnosis> {
    let standstills = Standstills::new(facts.traces);
    let samples = Samples::new(facts.samples);
    let mut routes: BTreeMap<(&str, &str), Vec<Request<'_>>> = BTreeMap::new();
    for trace in facts.traces {
        let tree = Tree::new(trace);
        for span in requests(trace, question) {
            let pieces = divide(span, &tree, &standstills);
            routes.entry((&span.service, &span.name)).or_default().push(Request { span, trace, pieces });
        }
    }
    let mut found: Vec<Diagnosis> =
        routes.into_values().map(|requests| route(&requests, question.split, &samples)).collect();
    found.sort_by_key(|diagnosis| std::cmp::Reverse((diagnosis.extra_ns, diagnosis.requests)));
    found
}

/// The requests of a trace that are asked about: the outermost ones that fit.
pub(crate) fn requests<'a>(trace: &'a [Span], question: &Question) -> Vec<&'a Span> {
    let wanted = question.route.as_ref().map(|route| route.to_lowercase());
    let fits = |span: &Span| {
        let named = |wanted: &String| {
            let route = match span.attributes.get("http.route") {
                Some(Value::String(route)) => route.to_lowercase(),
                _ => String::new(),
            };
            span.name.to_lowercase().contains(wanted) || route.contains(wanted)
        };
        !span.unfinished
            && question.service.as_ref().is_none_or(|service| *service == span.service)
            && wanted.as_ref().is_none_or(named)
    };
    let by_id: HashMap<_, _> = trace.iter().map(|span| (span.span_id, span)).collect();
    let is_request = |span: &Span| match span.kind {
        Kind::Server | Kind::Consumer => true,
        Kind::Internal => span.parent_span_id.is_none(),
        Kind::Client | Kind::Producer => false,
    };
    let asked = |span: &Span| is_request(span) && fits(span);
    let outermost = |span: &Span| {
        let mut seen = HashSet::from([span.span_id]);
        let mut above = span.parent_span_id;
        while let Some(parent) = above.filter(|id| seen.insert(*id)).and_then(|id| by_id.get(&id)) {
            if asked(parent) {
                return false;
            }
            above = parent.parent_span_id;
        }
        true
    };
    let any_asked = wanted.is_some() || question.service.is_some();
    let from_outside = |span: &Span| any_asked || span.parent_span_id.is_none_or(|id| !by_id.contains_key(&id));
    trace.iter().filter(|span| asked(span) && from_outside(span) && outermost(span)).collect()
}

/// Divides the requests into slow and normal ones.
fn split<'r, 'a>(requests: &'r [Request<'a>], split: Split) -> (Vec<&'r Request<'a>>, Vec<&'r Request<'a>>) {
    match split {
        Split::LongerThan(limit) => requests.iter().partition(|request| request.span.duration_ns > limit),
        Split::Since(moment) => {
            let (since, before): (Vec<_>, Vec<_>) =
                requests.iter().partition(|request| request.span.start_unix_nano >= moment);
            let mut usual: Vec<u64> = before.iter().map(|request| request.span.duration_ns).collect();
            usual.sort_unstable();
            let limit = usual.get(usual.len() * 95 / 100).copied().unwrap_or(u64::MAX);
            (since.into_iter().filter(|request| request.span.duration_ns > limit).collect(), before)
        }
        Split::Tail => {
            let mut sorted: Vec<_> = requests.iter().collect();
            sorted.sort_by_key(|request| (request.span.duration_ns, request.span.span_id));
            let count = sorted.len();
            let slow = (count / 20).max(FEWEST_SLOW.min(count / 5));
            let middle = sorted[count / 4..(count * 3 / 4).max(count / 4)].to_vec();
            (sorted.split_off(count - slow), middle)
        }
    }
}

fn route(requests: &[Request<'_>], how: Split, samples: &Samples<'_>) -> Diagnosis {
    let (slow, normal) = split(requests, how);
    let duration = |request: &&Request<'_>| request.span.duration_ns;
    let (slow_ns, normal_ns) = (median(slow.iter().map(duration)), median(normal.iter().map(duration)));
    let typical = trimmed_mean(normal.iter().map(duration));
    let mut diagnosis = Diagnosis {
        service: requests[0].span.service.clone(),
        operation: requests[0].span.name.clone(),
        verdict: Verdict::Explained,
        requests: requests.len(),
        slow: slow.len(),
        normal: normal.len(),
        slow_ns,
        normal_ns,
        extra_ns: total(slow.iter().map(|request| request.span.duration_ns.saturating_sub(typical as u64))),
        causes: Vec::new(),
        rest: 0.0,
        common: Vec::new(),
    };
    // With a time before, few slow requests are good news.
    let few_slow = slow.len() < 3 && !matches!(how, Split::Since(_));
    if requests.len() < FEWEST_REQUESTS || few_slow || normal.len() < FEWEST_SLOW {
        diagnosis.verdict = Verdict::TooFew;
        return diagnosis;
    }
    let usual_number = match how {
        Split::Since(moment) => {
            let since = requests.iter().filter(|request| request.span.start_unix_nano >= moment);
            slow.len() * 10 < since.count()
        }
        Split::Tail | Split::LongerThan(_) => false,
    };
    if usual_number || (slow_ns as f64) < LEAST_RATIO * normal_ns as f64 {
        diagnosis.verdict = Verdict::Even;
        return diagnosis;
    }
    let comparison = Comparison { slow: &slow, normal: &normal, samples };
    let (causes, rest) = comparison.causes();
    diagnosis.causes = causes;
    diagnosis.rest = rest;
    let of = |requests: &[&Request<'_>]| -> Vec<_> {
        requests.iter().map(|request| common::facts(request.span, request.trace.iter())).collect()
    };
    diagnosis.common = common::compare(&of(&slow), &of(&normal));
    diagnosis
}

struct Comparison<'r, 'a> {
    slow: &'r [&'r Request<'a>],
    normal: &'r [&'r Request<'a>],
    samples: &'r Samples<'a>,
}

/// What a cause is about.
#[derive(Clone, Debug)]
struct Candidate<'a> {
    /// Whose time it is; of more calls, that of the outermost operation.
    key: Key<'a>,
    /// Pieces whose time it is.
    pieces: Vec<Key<'a>>,
    share: f64,
    notes: Vec<String>,
}

impl<'a> Comparison<'_, 'a> {
    fn causes(&self) -> (Vec<Cause>, f64) {
        let keys: HashSet<Key<'a>> =
            self.slow.iter().chain(self.normal).flat_map(|request| request.pieces.time.keys().copied()).collect();
        let mut candidates: Vec<Candidate<'a>> = keys
            .into_iter()
            .map(|key| Candidate { key, pieces: vec![key], share: self.share(&key), notes: Vec::new() })
            .collect();
        candidates.sort_by_key(|candidate| candidate.key);
        self.split_collecting(&mut candidates);
        self.merge_more_calls(&mut candidates);
        self.merge_by_program(&mut candidates);
        give_waits_to_computing(&mut candidates);
        candidates.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.key.cmp(&b.key)));
        candidates.retain(|candidate| candidate.share >= SMALLEST_SHARE);
        let told: f64 = candidates.iter().map(|candidate| candidate.share).sum();
        let causes = candidates.into_iter().map(|candidate| self.cause(candidate)).collect();
        (causes, (1.0 - told).clamp(0.0, 1.0))
    }

    fn time(request: &Request<'a>, key: &Key<'a>) -> u64 {
        request.pieces.time.get(key).copied().unwrap_or(0)
    }

    /// The share of the extra time that a piece makes up. Each slow request counts the same, however slow it is, so that
    /// one that took minutes does not speak for all.
    fn share(&self, key: &Key<'a>) -> f64 {
        let usual = trimmed_mean(self.normal.iter().map(|request| Self::time(request, key)));
        let typical = trimmed_mean(self.normal.iter().map(|request| request.span.duration_ns));
        let mut shares = 0.0;
        let mut counted = 0;
        for request in self.slow {
            let extra = request.span.duration_ns as f64 - typical;
            if extra > 0.0 {
                shares += ((Self::time(request, key) as f64 - usual) / extra).clamp(-1.0, 1.0);
                counted += 1;
            }
        }
        if counted == 0 { 0.0 } else { shares / f64::from(counted) }
    }

    /// Time that went into collecting garbage, which only stacks tell from other computing: that of a goroutine that had
    /// to help, and that of others, for whose threads it had to wait.
    fn split_collecting(&self, candidates: &mut Vec<Candidate<'a>>) {
        let mut found = Vec::new();
        for candidate in candidates.iter_mut().filter(|candidate| candidate.share > 0.0) {
            let spans = self.spans(&candidate.pieces);
            let (whose, collecting) = match candidate.key.kind {
                CauseKind::Computation => ("its", self.samples.collecting(&spans)),
                CauseKind::GoScheduler => {
                    ("the program's", self.samples.collecting_meanwhile(candidate.key.service, &spans))
                }
                _ => continue,
            };
            let Some(Collecting { share, sampled_ns }) = collecting.filter(|collecting| collecting.share >= 0.1) else {
                continue;
            };
            let sampled = format_duration(sampled_ns);
            let note = format!(
                "{:.0} % of {whose} time on CPUs meanwhile, of {sampled} that were sampled, was the collector's",
                share * 100.0
            );
            let key = Key { kind: CauseKind::GarbageCollection, ..candidate.key };
            found.push(Candidate {
                key,
                pieces: vec![candidate.key],
                share: candidate.share * share,
                notes: vec![note],
            });
            candidate.share *= 1.0 - share;
        }
        candidates.extend(found);
    }

    /// What befalls a program as a whole is one cause, in whichever of its operations it shows.
    fn merge_by_program(&self, candidates: &mut Vec<Candidate<'a>>) {
        let of_program = |kind: CauseKind| {
            matches!(
                kind,
                CauseKind::CpuThrottling
                    | CauseKind::CpuContention
                    | CauseKind::GoScheduler
                    | CauseKind::GarbageCollection
                    | CauseKind::MemoryPressure
            )
        };
        let mut merged: BTreeMap<(&'a str, CauseKind), Vec<Candidate<'a>>> = BTreeMap::new();
        for candidate in std::mem::take(candidates) {
            if of_program(candidate.key.kind) {
                merged.entry((candidate.key.service, candidate.key.kind)).or_default().push(candidate);
            } else {
                candidates.push(candidate);
            }
        }
        for mut same in merged.into_values() {
            same.sort_by(|a, b| b.share.total_cmp(&a.share));
            let share = same.iter().map(|candidate| candidate.share).sum();
            let telling = same.iter().filter(|candidate| candidate.share >= SMALLEST_SHARE / 2.0);
            let notes = telling.flat_map(|candidate| candidate.notes.clone()).take(MOST_NOTES).collect();
            let key = same[0].key;
            let mut pieces: Vec<Key<'a>> = same.into_iter().flat_map(|candidate| candidate.pieces).collect();
            pieces.sort();
            pieces.dedup();
            candidates.push(Candidate { key, pieces, share, notes });
        }
    }

    /// Operations that are slow since they are called more often: one cause for all that lies below them.
    fn merge_more_calls(&self, candidates: &mut Vec<Candidate<'a>>) {
        let mut operations: BTreeMap<(&'a str, &'a str), f64> = BTreeMap::new();
        for candidate in candidates.iter().filter(|candidate| candidate.share > 0.0) {
            *operations.entry((candidate.key.service, candidate.key.operation)).or_default() += candidate.share;
        }
        // The number of calls that there are more of, the depth, the operation, and whether they fail.
        let mut more: Vec<(f64, u32, (&'a str, &'a str), bool)> = Vec::new();
        for (&operation, &share) in &operations {
            if share < SMALLEST_SHARE {
                continue;
            }
            let (slow, normal) = (self.calls(self.slow, operation), self.calls(self.normal, operation));
            let by_more = slow.count - normal.count;
            if by_more < 0.5 || slow.count < 1.5 * normal.count {
                continue;
            }
            let (slow_ns, normal_ns) = (self.mean_time(self.slow, operation), self.mean_time(self.normal, operation));
            let each_slow = slow_ns / slow.count;
            let each = if normal.count > 0.0 { each_slow.min(normal_ns / normal.count) } else { each_slow };
            if by_more * each >= (slow_ns - normal_ns) / 2.0 {
                let retries = slow.failed - normal.failed >= 0.5 * by_more;
                more.push((by_more, slow.depth, operation, retries));
            }
        }
        // What is called as often as another operation further up is its child.
        more.sort_by_key(|&(_, depth, operation, _)| (depth, operation));
        while !more.is_empty() {
            let (by_more, _, outermost, retries) = more[0];
            let together: HashSet<(&str, &str)> = more
                .iter()
                .filter(|other| (other.0 / by_more - 1.0).abs() < 0.25 || other.0 > by_more)
                .map(|other| other.2)
                .collect();
            more.retain(|other| !together.contains(&other.2));
            let (inside, outside): (Vec<_>, Vec<_>) = std::mem::take(candidates)
                .into_iter()
                .partition(|candidate| together.contains(&(candidate.key.service, candidate.key.operation)));
            *candidates = outside;
            let main = inside.iter().max_by(|a, b| a.share.total_cmp(&b.share)).expect("each has a share").key;
            let kind = if retries { CauseKind::Retries } else { CauseKind::MoreCalls };
            candidates.push(Candidate {
                key: Key { service: outermost.0, operation: outermost.1, kind },
                share: inside.iter().map(|candidate| candidate.share).sum(),
                pieces: inside.into_iter().flat_map(|candidate| candidate.pieces).collect(),
                notes: vec![format!("most of their time: {} in {}: {}", main.kind, main.service, main.operation)],
            });
        }
    }

    fn calls(&self, requests: &[&Request<'a>], operation: (&'a str, &'a str)) -> MeanCalls {
        let mut sum = MeanCalls { count: 0.0, failed: 0.0, depth: u32::MAX };
        for calls in requests.iter().filter_map(|request| request.pieces.calls.get(&operation)) {
            sum.count += f64::from(calls.count);
            sum.failed += f64::from(calls.failed);
            sum.depth = sum.depth.min(calls.depth);
        }
        let number = requests.len().max(1) as f64;
        MeanCalls { count: sum.count / number, failed: sum.failed / number, ..sum }
    }

    fn mean_time(&self, requests: &[&Request<'a>], operation: (&'a str, &'a str)) -> f64 {
        let of_operation = |request: &&Request<'a>| -> u64 {
            let own = request.pieces.time.iter().filter(|(key, _)| (key.service, key.operation) == operation);
            total(own.map(|(_, time)| *time))
        };
        total(requests.iter().map(of_operation)) as f64 / requests.len().max(1) as f64
    }

    /// Spans of the slow requests in which the time went.
    fn spans(&self, pieces: &[Key<'a>]) -> Vec<&'a Span> {
        let of_request = |request: &&Request<'a>| -> Vec<&'a Span> {
            pieces.iter().filter_map(|key| request.pieces.spans.get(key)).flatten().copied().collect()
        };
        self.slow.iter().flat_map(of_request).collect()
    }

    fn cause(&self, candidate: Candidate<'a>) -> Cause {
        let Candidate { key, pieces, share, notes } = candidate;
        let time = |request: &&Request<'a>| total(pieces.iter().map(|piece| Self::time(request, piece)));
        let operation = (key.service, key.operation);
        let mut slowest: Vec<(u64, TraceId)> =
            self.slow.iter().map(|request| (time(request), request.span.trace_id)).collect();
        slowest.sort_by_key(|&(time, id)| (std::cmp::Reverse(time), id));
        let mut traces: Vec<TraceId> = slowest.into_iter().map(|(_, id)| id).collect();
        traces.dedup();
        traces.truncate(EXAMPLES);
        let spans = self.spans(&pieces);
        let mut cause = Cause {
            kind: key.kind,
            service: key.service.to_owned(),
            operation: key.operation.to_owned(),
            // More than all, where slow requests spent less elsewhere.
            share: share.min(1.0),
            slow_ns: median(self.slow.iter().map(time)),
            normal_ns: median(self.normal.iter().map(time)),
            slow_calls: self.calls(self.slow, operation).count,
            normal_calls: self.calls(self.normal, operation).count,
            evidence: notes,
            traces,
            next: String::new(),
        };
        self.add_evidence(&mut cause, &pieces, &spans);
        cause.next = next(&cause, &spans);
        cause
    }

    fn add_evidence(&self, cause: &mut Cause, pieces: &[Key<'a>], spans: &[&Span]) {
        let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut hit = 0;
        for request in self.slow {
            let mut sum = 0;
            for ((_, part), time) in request.pieces.parts.iter().filter(|((key, _), _)| pieces.contains(key)) {
                let of_part = parts.entry(part).or_default();
                *of_part = of_part.saturating_add(*time);
                sum += time;
            }
            hit += usize::from(sum > cause.normal_ns.max(1_000_000));
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|&(part, time)| (std::cmp::Reverse(time), part));
        let all = total(parts.iter().map(|part| part.1));
        let parts: Vec<_> = parts
            .iter()
            .filter(|part| part.1 * 20 >= all.max(1))
            .map(|(part, time)| format!("{part} {:.0} %", *time as f64 / all as f64 * 100.0))
            .collect();
        cause.evidence.insert(
            0,
            format!("{hit} of {} slow requests spent longer there than usual ({})", self.slow.len(), parts.join(", ")),
        );
        if cause.slow_calls > cause.normal_calls + 0.5 {
            let (slow, normal) = (cause.slow_calls, cause.normal_calls);
            cause.evidence.push(format!("{slow:.1} calls a request instead of {normal:.1}"));
        }
        let failed: Vec<_> = spans.iter().filter(|span| span.status.code == model::StatusCode::Error).collect();
        if !failed.is_empty() {
            let why = most_frequent(failed.iter().filter_map(|span| span.attributes.get("error.type")));
            let why = why.map(|(why, _)| format!(", mostly {why}")).unwrap_or_default();
            cause.evidence.push(format!("{} of {} such calls failed{why}", failed.len(), spans.len()));
        }
        let sent_again = |span: &&&Span| match span.attributes.get("tandem.tcp.retransmits") {
            Some(Value::Int(count)) => *count,
            _ => 0,
        };
        let retransmits = spans.iter().map(|span| sent_again(&span)).fold(0, i64::saturating_add);
        if retransmits > 0 {
            cause.evidence.push(format!("{retransmits} segments were sent again on its connections"));
        }
        if let Some((query, count)) =
            most_frequent(spans.iter().filter_map(|span| span.attributes.get("db.query.text")))
        {
            cause.evidence.push(format!("{count} of {} times: {query}", spans.len()));
        }
        for call in ["fsync", "fdatasync", "pwrite64", "write", "openat"] {
            let key = format!("tandem.syscall.{call}.count");
            let count: i64 = spans
                .iter()
                .filter_map(|span| span.attributes.get(&key))
                .map(|value| if let Value::Int(count) = value { *count } else { 0 })
                .sum();
            if cause.kind == CauseKind::FileSync && count > 0 {
                cause.evidence.push(format!("{count} calls of {call}"));
            }
        }
        cause.evidence.extend(self.samples.place(spans, cause.kind));
    }
}

/// Who computes more waits more for a CPU: as much of a program's wait as it computed more, its collector included, goes with
/// that, without which it would not have been. What is beyond is others' doing.
fn give_waits_to_computing(candidates: &mut [Candidate<'_>]) {
    for waiting in 0..candidates.len() {
        let Key { service, kind, .. } = candidates[waiting].key;
        if kind != CauseKind::CpuContention || candidates[waiting].share <= 0.0 {
            continue;
        }
        let computes = |candidate: &Candidate<'_>| {
            matches!(candidate.key.kind, CauseKind::Computation | CauseKind::GarbageCollection)
                && candidate.key.service == service
                && candidate.share > 0.0
        };
        let computed: f64 = candidates.iter().filter(|one| computes(one)).map(|one| one.share).sum();
        if computed == 0.0 {
            continue;
        }
        let moved = candidates[waiting].share.min(computed);
        candidates[waiting].share -= moved;
        for candidate in candidates.iter_mut().filter(|one| computes(one)) {
            let part = moved * candidate.share / computed;
            candidate.share += part;
            if part >= SMALLEST_SHARE {
                let note = format!("{:.0} % of the extra time were waits for a CPU to do that on", part * 100.0);
                candidate.notes.push(note);
            }
        }
    }
}

struct MeanCalls {
    count: f64,
    failed: f64,
    depth: u32,
}

/// The value that comes most often.
fn most_frequent<'v>(values: impl Iterator<Item = &'v Value>) -> Option<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value.to_string()).or_default() += 1);
    counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
}

/// The middle value.
fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    let middle = values.len() / 2;
    match values.len() {
        0 => 0,
        _ => *values.select_nth_unstable(middle).1,
    }
}

/// The mean without the twentieth at each end.
fn trimmed_mean(values: impl Iterator<Item = u64>) -> f64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let cut = values.len() / 20;
    let kept = &values[cut..values.len() - cut];
    if kept.is_empty() { 0.0 } else { kept.iter().map(|&value| value as f64).sum::<f64>() / kept.len() as f64 }
}

/// What to do about a cause.
fn next(cause: &Cause, spans: &[&Span]) -> String {
    let trace = cause.traces.first().map(TraceId::to_string).unwrap_or_default();
    let trace = trace.get(..8).unwrap_or_default();
    let service = &cause.service;
    let pid = spans.iter().find_map(|span| span.resource.attributes.get("process.pid"));
    let pid = pid.map_or_else(|| "PID".to_owned(), Value::to_string);
    let system = spans.iter().find_map(|span| span.attributes.get("db.system.name")).map(Value::to_string);
    match cause.kind {
        CauseKind::LockContention => format!("tandem profile --trace {trace} --off-cpu: names who waits, where it ran with --profile"),
        CauseKind::CpuThrottling => {
            format!("cat /proc/{pid}/cgroup, and cpu.stat there: raise the CPU limit of {service}, or lower GOMAXPROCS to it")
        }
        CauseKind::CpuContention => "ps -eo pcpu,pid,args --sort=-pcpu | head: shows who has the CPUs".to_owned(),
        CauseKind::GoScheduler => format!("tandem profile --service {service}: shows what its threads do; GOMAXPROCS bounds them"),
        CauseKind::GarbageCollection => {
            format!("tandem metrics --service {service} (go.memory.*): raise GOGC or GOMEMLIMIT, or allocate less: tandem profile --trace {trace} --tree")
        }
        CauseKind::SlowQuery if system.as_deref() == Some("postgresql") => {
            "EXPLAIN (ANALYZE, BUFFERS) the query; SELECT pid, wait_event_type, wait_event, query FROM pg_stat_activity: shows who waits for a lock".to_owned()
        }
        CauseKind::SlowQuery => format!("EXPLAIN the query of tandem trace {trace}, and look for transactions that hold locks"),
        CauseKind::PoolExhaustion => {
            format!("tandem metrics --service {service} (db.client.connection.*): give connections back earlier, or allow more of them")
        }
        CauseKind::PacketsLost => format!("ss -ti and nstat -az TcpRetransSegs on the hosts of both ends; tandem trace {trace}"),
        CauseKind::Network => {
            format!("tandem trace {trace}: shows the gap between client and server: look at the network, and at how the server accepts")
        }
        CauseKind::FileSync => format!("tandem run --detail tells system calls by span; tandem profile --trace {trace} --off-cpu; iostat -x 1"),
        CauseKind::MemoryPressure => format!("grep -E 'VmSwap|VmRSS' /proc/{pid}/status: give {service} more memory"),
        CauseKind::Computation => format!("tandem profile --trace {trace} --tree: shows what it computes, where it ran with --profile"),
        CauseKind::MoreCalls | CauseKind::Retries => format!("tandem trace {trace}: shows the calls"),
        CauseKind::Unread => format!("tandem profile --service {service}: shows what kept it from looking"),
        CauseKind::Unmeasured => "tandem doctor: says what this machine cannot measure".to_owned(),
        CauseKind::SlowDependency
        | CauseKind::OtherGoroutines
        | CauseKind::Sleeping
        | CauseKind::SlowReceiver
        | CauseKind::Kernel => format!("tandem trace {trace}"),
    }
}
