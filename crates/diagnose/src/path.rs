//! A request's wall time, divided along its critical path.
//!
//! The critical path is walked from the request's end to its beginning: time that a child was running belongs to the child
//! that ended last, and so on down; what is left of a span is its own. A span's own time is divided by its anatomy, from
//! which the children's is taken away. The pieces add up to the wall time, whatever the spans say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Placed, Resource, Span, SpanId, Value};

use crate::cause::{CauseKind, Role};

/// Whose time it is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key<'a> {
    /// The service.
    pub service: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// What its time means.
    pub kind: CauseKind,
}

/// What a request did in one operation.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Spans on the critical path.
    pub count: u32,
    /// Those that failed.
    pub failed: u32,
    /// Ancestors of the outermost one.
    pub depth: u32,
}

/// A request's time.
#[derive(Clone, Debug, Default)]
pub struct Pieces<'a> {
    /// Time by whose it is and why, ns.
    pub time: HashMap<Key<'a>, u64>,
    /// Of the same time, that in each part of the anatomy.
    pub parts: HashMap<(Key<'a>, &'a str), u64>,
    /// Calls by service and operation.
    pub calls: HashMap<(&'a str, &'a str), Calls>,
    /// The spans in which the time was spent.
    pub spans: HashMap<Key<'a>, Vec<&'a Span>>,
}

/// A span's children, and what else is known around it.
pub struct Tree<'a, S = Span> {
    children: HashMap<SpanId, Vec<&'a S>>,
}

/// Deeper traces are not followed: what is below belongs to the span there.
const DEEPEST: u32 = 200;

/// Not measured, as a part.
const UNMEASURED: &str = "unmeasured";

impl<'a, S: Placed> Tree<'a, S> {
    /// Of a trace.
    pub fn new(trace: &'a [S]) -> Self {
        let mut children: HashMap<SpanId, Vec<&S>> = HashMap::new();
        for span in trace {
            if let Some(parent) = span.parent_span_id().filter(|&parent| parent != span.span_id()) {
                children.entry(parent).or_default().push(span);
            }
        }
        for list in children.values_mut() {
            list.sort_by_key(|span| std::cmp::Reverse((span.end_unix_nano(), span.span_id())));
        }
        Self { children }
    }

    fn children(&self, span: &S) -> &[&'a S] {
        self.children.get(&span.span_id()).map_or(&[], Vec::as_slice)
    }
}

/// When a span ended, ns since 1970.
pub fn end(span: &Span) -> u64 {
    span.end_unix_nano()
}

/// A program that runs.
pub type Process = usize;

/// When programs as a whole could not run: found in the spans that were under way then.
#[derive(Default)]
pub struct Standstills {
    processes: HashMap<String, Process>,
    /// By the address of the resource, which spans of a trace share.
    known: HashMap<*const Resource, Process>,
    wanted: HashMap<Process, OfProcess>,
}

/// What a program's spans say, by the moment, in steps of [`STEP`].
#[derive(Default)]
struct OfProcess {
    steps: BTreeMap<u64, Wanted>,
    /// It stood still at all.
    stood: bool,
}

/// Time for which spans wanted to run, ns, and for which of it they could not.
#[derive(Clone, Copy, Default)]
struct Wanted {
    all: f64,
    stood: [f64; STANDSTILLS.len()],
}

/// Parts of the anatomy in which no goroutine of the program can run, and what they mean.
const STANDSTILLS: [(&str, CauseKind); 3] = [
    ("throttled", CauseKind::CpuThrottling),
    ("go_stopped", CauseKind::GarbageCollection),
    // Others of its threads may run meanwhile: it counts for who waits for the program to begin, not for a lock in it.
    ("run_queue", CauseKind::CpuContention),
];
/// That a program stood still.
#[derive(Clone, Copy, Debug)]
struct Standstill {
    /// Why.
    kind: CauseKind,
    /// The part of the anatomy that tells.
    part: &'static str,
    /// For which share of the time, 0 to 1.
    share: f64,
}

/// How far around an interval spans tell of it, ns: a program that stands still begins no spans.
const AROUND: u64 = 50_000_000;
/// What spans say is kept by these steps of time, ns.
const STEP: u64 = 10_000_000;
/// Longer spans say too little of each moment, ns.
const LONGEST: u64 = 10_000_000_000;
/// Shorter ones are not looked at.
const SHORTEST_STANDSTILL: u64 = 1_000_000;

impl Standstills {
    /// Of all programs in these traces.
    pub fn new(traces: &[Vec<Span>]) -> Self {
        let mut found = Self::default();
        for span in traces.iter().flatten() {
            let process = found.learn(&span.resource, &span.service);
            let wanted = wanted_to_run(span);
            if wanted > 0 && span.duration_ns <= LONGEST {
                found.wanted.entry(process).or_default().add(span, wanted);
            }
        }
        found
    }

    fn learn(&mut self, resource: &Arc<Resource>, service: &str) -> Process {
        if let Some(&known) = self.known.get(&Arc::as_ptr(resource)) {
            return known;
        }
        let next = self.processes.len();
        let process = *self.processes.entry(identity(resource, service)).or_insert(next);
        self.known.insert(Arc::as_ptr(resource), process);
        process
    }

    /// The process that a span is of.
    pub fn process(&self, span: &Span) -> Option<Process> {
        self.known.get(&Arc::as_ptr(&span.resource)).copied()
    }

    /// The share of these intervals for which a process stood still, and why: that of the time for which its spans wanted to
    /// run, for which they could not. Those that waited for something else meanwhile cannot tell. `begins`: for who waits for
    /// the program to begin.
    fn within(&self, process: Process, intervals: &[(u64, u64)], begins: bool) -> Option<Standstill> {
        let of_process = self.wanted.get(&process).filter(|of_process| of_process.stood)?;
        let (mut stood, mut wanted) = ([0.0; STANDSTILLS.len()], 0.0);
        for &(from, to) in intervals {
            let around = (to - from).min(AROUND);
            let steps = from.saturating_sub(around) / STEP..=to.saturating_add(around) / STEP;
            for (_, step) in of_process.steps.range(steps) {
                wanted += step.all;
                stood.iter_mut().zip(step.stood).for_each(|(sum, stood)| *sum += stood);
            }
        }
        let counted = |index: &usize| begins || STANDSTILLS[*index].1 != CauseKind::CpuContention;
        let most = (0..STANDSTILLS.len()).filter(counted).max_by(|&a, &b| stood[a].total_cmp(&stood[b]))?;
        if wanted <= 0.0 || stood[most] < SHORTEST_STANDSTILL as f64 / 2.0 {
            return None;
        }
        let (part, kind) = STANDSTILLS[most];
        Some(Standstill { kind, part, share: (stood[most] / wanted).min(1.0) })
    }
}

impl OfProcess {
    /// Spreads what a span says evenly over its time.
    fn add(&mut self, span: &Span, wanted: u64) {
        self.stood |= STANDSTILLS.iter().any(|(part, _)| part_of(span, part) >= SHORTEST_STANDSTILL);
        let steps = span.start_unix_nano / STEP..=end(span) / STEP;
        let number = (steps.end() - steps.start() + 1) as f64;
        for step in steps {
            let step = self.steps.entry(step).or_default();
            step.all += wanted as f64 / number;
            for (sum, (part, _)) in step.stood.iter_mut().zip(STANDSTILLS) {
                *sum += part_of(span, part) as f64 / number;
            }
        }
    }
}

/// Time for which a span's goroutine had a thread, or the world was stopped for it.
fn wanted_to_run(span: &Span) -> u64 {
    let Some(anatomy) = &span.anatomy else { return 0 };
    let waits = |part: &str| {
        part.starts_with("go_") && part != "go_stopped" || part.starts_with("blocked_") || part == "network_unread"
    };
    total(anatomy.parts_ns.iter().filter(|(part, _)| !waits(part)).map(|(_, time)| *time))
}

/// A sum of what others say, which may be anything.
pub fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// What tells one process from another.
fn identity(resource: &Resource, service: &str) -> String {
    let text = |key: &str| resource.attributes.get(key).map(Value::to_string).unwrap_or_default();
    format!("{service}\n{}\n{}\n{}", text("host.name"), text("process.pid"), text("service.instance.id"))
}

fn part_of(span: &Span, part: &str) -> u64 {
    span.anatomy.as_ref().and_then(|anatomy| anatomy.parts_ns.get(part)).copied().unwrap_or(0)
}

/// Segments that were sent again, of a span with its children on the same goroutine.
fn retransmits(span: &Span) -> u64 {
    match span.attributes.get("tandem.tcp.retransmits") {
        Some(Value::Int(count)) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

/// Divides a request's time.
pub fn divide<'a>(request: &'a Span, tree: &Tree<'a>, standstills: &Standstills) -> Pieces<'a> {
    let mut division = Division { standstills, pieces: Pieces::default() };
    tree.follow(request, &mut |stretch| {
        division.pieces.call(stretch);
        division.own(stretch);
    });
    division.pieces
}

/// A span on the critical path: what of its time there is its own, and what its children's.
pub struct Stretch<'a, 'w, S = Span> {
    /// The span.
    pub span: &'a S,
    /// When its time was its own, ns since 1970, the last first.
    pub own: &'w [(u64, u64)],
    covered: &'w [Covered<'a, S>],
    depth: u32,
}

impl<'a, S: Placed> Tree<'a, S> {
    /// Walks the critical path of a request, children before their parents.
    pub fn follow(&self, request: &'a S, visit: &mut dyn FnMut(&Stretch<'a, '_, S>)) {
        let mut walk = Walk { tree: self, path: Vec::new(), visit };
        walk.span(request, request.start_unix_nano(), request.end_unix_nano(), 0);
    }
}

struct Walk<'a, 'w, S> {
    tree: &'w Tree<'a, S>,
    /// Spans above: one that is its own ancestor is not followed.
    path: Vec<SpanId>,
    visit: &'w mut dyn FnMut(&Stretch<'a, '_, S>),
}

/// Time of a span that a child had.
struct Covered<'a, S = Span> {
    child: &'a S,
    time_ns: u64,
}

impl<'a, S: Placed> Walk<'a, '_, S> {
    /// Divides the time of a span between two moments.
    fn span(&mut self, span: &'a S, from: u64, to: u64, depth: u32) {
        self.path.push(span.span_id());
        let mut own: Vec<(u64, u64)> = Vec::new();
        let mut covered = Vec::new();
        let mut cursor = to;
        let tree = self.tree;
        for &child in tree.children(span) {
            let (child_from, child_to) = (child.start_unix_nano().max(from), child.end_unix_nano().min(cursor));
            if child_from >= child_to || depth >= DEEPEST || self.path.contains(&child.span_id()) {
                continue;
            }
            own.push((child_to, cursor));
            covered.push(Covered { child, time_ns: child_to - child_from });
            self.span(child, child_from, child_to, depth + 1);
            cursor = child_from;
        }
        own.push((from, cursor));
        own.retain(|(from, to)| from < to);
        self.path.pop();
        (self.visit)(&Stretch { span, own: &own, covered: &covered, depth });
    }
}

struct Division<'a, 'w> {
    standstills: &'w Standstills,
    pieces: Pieces<'a>,
}

impl<'a> Division<'a, '_> {
    /// Divides a span's own time by its anatomy.
    fn own(&mut self, stretch: &Stretch<'a, '_>) {
        let &Stretch { span, own, covered, .. } = stretch;
        let own_ns = total(own.iter().map(|(from, to)| to - from));
        if own_ns == 0 {
            return;
        }
        let process = self.standstills.process(span);
        let remote = covered.iter().find(|covered| self.standstills.process(covered.child) != process);
        let below = total(covered.iter().map(|covered| retransmits(covered.child)));
        let role = Role::new(span, remote.is_some(), retransmits(span).saturating_sub(below));
        let parts = own_parts(span, covered, own_ns, |child| self.standstills.process(child) == process);

        // Who waits for a program that stands still waits for that.
        let elsewhere = remote.map(|remote| self.standstills.process(remote.child));
        let mut standing: HashMap<(Process, bool), Option<Standstill>> = HashMap::new();
        let waited = |kind: CauseKind| match kind {
            CauseKind::Network => elsewhere.flatten(),
            CauseKind::LockContention | CauseKind::OtherGoroutines | CauseKind::GoScheduler => process,
            _ => None,
        };
        for (part, time_ns) in parts {
            let mut kind = role.cause(part);
            let mut left = time_ns;
            if let Some(process) = waited(kind) {
                let standing = standing
                    .entry((process, kind == CauseKind::Network))
                    .or_insert_with(|| self.standstills.within(process, own, kind == CauseKind::Network));
                if let Some(Standstill { kind: why, part, share }) = *standing {
                    let taken = (left as f64 * share) as u64;
                    left -= taken;
                    let at = remote.filter(|_| kind == CauseKind::Network).map_or(span, |remote| remote.child);
                    self.pieces.add(at, why, part, taken);
                }
            }
            if kind == CauseKind::Unmeasured && span.anatomy.is_none() && role.answered {
                kind = CauseKind::Network;
            }
            self.pieces.add(span, kind, part, left);
        }
    }
}

impl<'a> Pieces<'a> {
    fn call(&mut self, &Stretch { span, depth, .. }: &Stretch<'a, '_>) {
        let calls = self.calls.entry((&span.service, &span.name)).or_insert(Calls { depth, ..Calls::default() });
        calls.count += 1;
        calls.failed += u32::from(span.status.code == model::StatusCode::Error);
        calls.depth = calls.depth.min(depth);
    }

    fn add(&mut self, span: &'a Span, kind: CauseKind, part: &'a str, time_ns: u64) {
        if time_ns == 0 {
            return;
        }
        let key = Key { service: &span.service, operation: &span.name, kind };
        *self.time.entry(key).or_default() += time_ns;
        *self.parts.entry((key, part)).or_default() += time_ns;
        let spans = self.spans.entry(key).or_default();
        if !spans.last().is_some_and(|known| std::ptr::eq(*known, span)) {
            spans.push(span);
        }
    }
}

/// Parts in which a goroutine waits for another one, or for an answer.
const WAITS: [&str; 6] = ["go_select", "go_channel", "go_sync", "go_network", "go_other", "network_unread"];
/// Parts may differ by so much and still be those of the same goroutine: snapshots are not taken at the very same moment.
const SLACK: u64 = 50_000;

/// The parts of a span's own time: its anatomy without its children's, together exactly `own_ns`.
fn own_parts<'a>(
    span: &'a Span,
    covered: &[Covered<'a>],
    own_ns: u64,
    same_process: impl Fn(&Span) -> bool,
) -> Vec<(&'a str, u64)> {
    let Some(anatomy) = &span.anatomy else { return vec![(UNMEASURED, own_ns)] };
    let mut parts: Vec<(&str, u64)> = anatomy.parts_ns.iter().map(|(part, time)| (part.as_str(), *time)).collect();
    for Covered { child, time_ns } in covered {
        let inside = match &child.anatomy {
            Some(anatomy) if same_process(child) => {
                // A child on the same goroutine has no more of any part than is left of its parent's.
                let fits = |(part, time): (&String, &u64)| {
                    let left = parts.iter().find(|known| known.0 == part).map_or(0, |known| known.1);
                    *time <= left + SLACK
                };
                anatomy.parts_ns.iter().all(fits).then_some(anatomy)
            }
            _ => None,
        };
        match inside {
            Some(anatomy) => {
                for (part, left) in &mut parts {
                    let of_child = anatomy.parts_ns.get(*part).copied().unwrap_or(0);
                    let within = u128::from(of_child) * u128::from(*time_ns) / u128::from(child.duration_ns.max(1));
                    *left = left.saturating_sub(within as u64);
                }
            }
            // It ran elsewhere, and was waited for.
            None => take_from_waits(&mut parts, *time_ns),
        }
    }
    let sum: u128 = parts.iter().map(|part| u128::from(part.1)).sum();
    if sum > own_ns.into() {
        for part in &mut parts {
            part.1 = (u128::from(part.1) * u128::from(own_ns) / sum) as u64;
        }
    }
    let sum = total(parts.iter().map(|part| part.1));
    let measured_whole = anatomy.parts_ns.contains_key("on_cpu");
    match parts.iter_mut().max_by_key(|part| part.1) {
        // What rounding and overlapping children left over.
        Some(largest) if measured_whole && own_ns - sum < own_ns / 10 => largest.1 += own_ns - sum,
        _ => parts.push((UNMEASURED, own_ns - sum)),
    }
    parts
}

fn take_from_waits(parts: &mut [(&str, u64)], mut time_ns: u64) {
    let waits = |part: &str| WAITS.contains(&part);
    let all = total(parts.iter().filter(|part| waits(part.0)).map(|part| part.1));
    if all == 0 {
        return;
    }
    time_ns = time_ns.min(all);
    for part in parts.iter_mut().filter(|part| waits(part.0)) {
        let taken = u128::from(part.1) * u128::from(time_ns) / u128::from(all);
        part.1 = part.1.saturating_sub(taken as u64);
    }
}
