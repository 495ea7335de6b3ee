//! The stage without its clock and its thread: spans come in, time passes, spans of kept traces come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deliver::Batch;
use deliver::otlp::encode::text;
use deliver::otlp::walk::{self, Malformed};
use model::TraceId;

use super::buffer::{Buffer, Heads, Held, Millis, Slot, Written};
use super::decisions::{Decisions, Kept};
use super::outgoing::{Change, Outgoing};
use super::policy::{Policies, Verdict, Weight};
use super::settings::Sampling;
use super::threshold::{Told, retold};
use super::trace::{Trace, TraceSpan};
use crate::regulate::objectives::Wanted;
use crate::settings::Problem;

/// Decisions of either kind that are remembered, unless somebody chose another number: 3 MiB.
const REMEMBERED: u64 = 65_536;
const MEMORY_MIB: u64 = 64;
const DECISION_WAIT: Duration = Duration::from_secs(10);
/// Policies' numbers in decisions; of a trace that was dropped there is none.
const NO_POLICY: u16 = u16::MAX;

/// Why a trace was decided on before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Early {
    /// A span made it certain.
    Certain,
    /// There was no more memory.
    Memory,
    /// There were too many traces.
    Traces,
    /// The agent stopped.
    Stop,
}

impl Early {
    fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Memory => "memory",
            Self::Traces => "num_traces",
            Self::Stop => "stop",
        }
    }
}

/// What was done. Numbers only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traces that were kept, by the number of the policy.
    pub kept: Vec<u64>,
    /// Traces that a policy dropped, by its number.
    pub dropped: Vec<u64>,
    /// Traces that no policy voted for.
    pub unwanted: u64,
    /// Spans that went on.
    pub kept_spans: u64,
    /// Spans that did not.
    pub dropped_spans: u64,
    /// Traces that were decided on before their time, by cause.
    pub early: BTreeMap<&'static str, u64>,
    /// Spans that came after the decision on their trace: of traces that were kept, and of others.
    pub late: [u64; 2],
    /// Spans that are lost, by cause.
    pub lost: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Traces that were kept.
    pub fn kept_traces(&self) -> u64 {
        self.kept.iter().sum()
    }

    /// Traces that were not.
    pub fn dropped_traces(&self) -> u64 {
        self.dropped.iter().sum::<u64>() + self.unwanted
    }
}

/// Everything but the clock.
#[derive(Debug)]
pub struct Stage {
    policies: Policies,
    buffer: Buffer,
    kept: Decisions,
    dropped: Decisions,
    outgoing: Outgoing,
    counts: Counts,
    wait_ms: u32,
    most_traces: usize,
    drop_at_stop: bool,
    can_be_early: bool,
}

impl Stage {
    /// As it is configured.
    pub fn new(settings: &Sampling) -> Result<Self, Problem> {
        Self::with(settings, None)
    }

    /// The same, and what objectives want is kept.
    pub fn with(settings: &Sampling, wanted: Option<Arc<Wanted>>) -> Result<Self, Problem> {
        let mut policies = settings.policies()?;
        if let Some(wanted) = wanted {
            policies = policies.with_objectives(wanted);
        }
        let number = |chosen: Option<crate::settings::values::Number>, default: u64| {
            usize::try_from(chosen.map_or(default, |number| number.0)).unwrap_or(usize::MAX)
        };
        let memory = number(settings.memory_mib, MEMORY_MIB).saturating_mul(1 << 20).min(u32::MAX as usize / 2);
        let kept = Decisions::new(number(settings.decision_cache.sampled_cache_size, REMEMBERED));
        let dropped = Decisions::new(number(settings.decision_cache.non_sampled_cache_size, REMEMBERED));
        let wait = settings.decision_wait.map_or(DECISION_WAIT, |wait| wait.0);
        let count = policies.all().len();
        Ok(Self {
            buffer: Buffer::new(memory, number(settings.expected_new_traces_per_sec, 0)),
            // Those that come after an early decision must be able to follow it.
            can_be_early: policies.can_be_early() && kept.is_active() && dropped.is_active(),
            policies,
            kept,
            dropped,
            outgoing: Outgoing::default(),
            counts: Counts { kept: vec![0; count], dropped: vec![0; count], ..Counts::default() },
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).min(u32::MAX / 2),
            most_traces: number(settings.num_traces, u64::MAX).max(1),
            drop_at_stop: settings.drop_pending_traces_on_shutdown,
        })
    }

    /// The policies.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What was done.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Traces, spans and bytes that are held.
    pub fn held(&self) -> [u64; 3] {
        [self.buffer.traces() as u64, self.buffer.spans(), self.buffer.bytes() as u64]
    }

    /// Takes a request. What cannot be read is counted as lost.
    pub fn take_in(&mut self, request: &[u8], records: u32, now: Duration) {
        let mut taken = 0;
        if self.take_groups(request, &mut taken, now).is_err() {
            *self.counts.lost.entry("malformed").or_default() += u64::from(records).saturating_sub(taken).max(1);
        }
    }

    fn take_groups(&mut self, request: &[u8], taken: &mut u64, now: Duration) -> Result<(), Malformed> {
        let (mut resource_head, mut scope_head) = (Vec::new(), Vec::new());
        for group in walk::resources(request) {
            let group = group?;
            head(&mut resource_head, group.resource, group.schema_url);
            let mut written = Written::default();
            for scope in group.scopes() {
                let scope = scope?;
                head(&mut scope_head, scope.scope, scope.schema_url);
                let heads = Heads { resource: &resource_head, scope: &scope_head };
                for span in scope.records() {
                    self.take_span(&heads, &mut written, span?, now);
                    *taken += 1;
                }
                written = written.next_scope();
            }
        }
        Ok(())
    }

    fn take_span(&mut self, heads: &Heads<'_>, written: &mut Written, span: &[u8], now: Duration) {
        let id = match walk::trace_id_of(span) {
            Ok(id) if !id.is_zero() => id,
            _ => return self.lose("malformed"),
        };
        let needed = Buffer::needed(heads, span);
        if !self.buffer.can_hold(needed) {
            return self.lose("too_large");
        }
        while self.buffer.is_full(needed) {
            self.decide_oldest(Some(Early::Memory), now);
        }
        let mut slot = self.buffer.find(id);
        if slot.is_none() {
            if let Some(kept) = self.kept.find(id) {
                return self.pass(heads, span, kept, true);
            }
            if self.dropped.find(id).is_some() {
                self.counts.late[1] += 1;
                self.counts.dropped_spans += 1;
                return;
            }
        }
        let verdict = if self.can_be_early { self.certain(id, heads, span) } else { None };
        if verdict.is_none() || slot.is_some() {
            if slot.is_none() && self.buffer.traces() >= self.most_traces {
                self.decide_oldest(Some(Early::Traces), now);
            }
            let held = *slot.get_or_insert_with(|| self.buffer.begin(id, millis(now)));
            self.buffer.push(held, heads, written, span);
        }
        match (verdict, slot) {
            (None, _) => {}
            (Some(verdict), Some(slot)) => {
                *self.counts.early.entry(Early::Certain.name()).or_default() += 1;
                self.settle(slot, verdict);
            }
            // Its first span is enough: it need not be held at all.
            (Some(verdict), None) => {
                *self.counts.early.entry(Early::Certain.name()).or_default() += 1;
                match self.remember(id, verdict) {
                    Some(kept) => self.pass(heads, span, kept, false),
                    None => self.counts.dropped_spans += 1,
                }
            }
        }
    }

    fn lose(&mut self, cause: &'static str) {
        *self.counts.lost.entry(cause).or_default() += 1;
    }

    /// What this span decides on its trace, whatever else comes.
    fn certain(&self, id: TraceId, heads: &Heads<'_>, span: &[u8]) -> Option<Verdict> {
        let spans = [TraceSpan::of(&Held::new(heads, span))?];
        self.policies.early(&Trace::new(id, &spans))
    }

    /// Lets a span of a kept trace through.
    fn pass(&mut self, heads: &Heads<'_>, span: &[u8], kept: Kept, is_late: bool) {
        self.counts.late[0] += u64::from(is_late);
        let Self { policies, outgoing, .. } = self;
        let name = policies.all().get(usize::from(kept.policy)).map_or("", |policy| &policy.name);
        let held = Held::new(heads, span);
        let passed = TraceSpan::read(span, &[])
            .and_then(|read| send(outgoing, &held, &read, kept.weight, read.is_local_root().then_some(name)));
        match passed {
            Ok(()) => self.counts.kept_spans += 1,
            Err(Malformed) => self.lose("malformed"),
        }
    }

    /// Decides on traces whose time has come, some at a time. `true`: there are more.
    pub fn decide_due(&mut self, now: Duration, most: usize) -> bool {
        for _ in 0..most {
            match self.buffer.oldest() {
                Some((_, first_came)) if millis(now).since(first_came) >= self.wait_ms => self.decide_oldest(None, now),
                _ => return false,
            }
        }
        true
    }

    /// When the next trace's time comes.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        let (_, first_came) = self.buffer.oldest()?;
        let left = self.wait_ms.saturating_sub(millis(now).since(first_came));
        Some(Duration::from_millis(left.into()))
    }

    /// Decides on what is held, as it is, some traces at a time. `true`: there are more.
    pub fn decide_rest(&mut self, now: Duration, most: usize) -> bool {
        for _ in 0..most {
            let Some((slot, _)) = self.buffer.oldest() else { return false };
            if self.drop_at_stop {
                *self.counts.early.entry(Early::Stop.name()).or_default() += 1;
                self.settle(slot, Verdict::Drop(None));
            } else {
                self.decide_oldest(Some(Early::Stop), now);
            }
        }
        true
    }

    /// Nothing is held, and nothing is on its way out.
    pub fn is_idle(&self) -> bool {
        self.buffer.traces() == 0 && self.outgoing.is_empty()
    }

    fn decide_oldest(&mut self, early: Option<Early>, now: Duration) {
        let Some((slot, _)) = self.buffer.oldest() else { return };
        if let Some(cause) = early {
            *self.counts.early.entry(cause.name()).or_default() += 1;
        }
        let Self { buffer, policies, .. } = self;
        let spans: Vec<TraceSpan<'_>> = buffer.spans_of(slot).filter_map(|held| TraceSpan::of(&held)).collect();
        let verdict = policies.decide(&Trace::new(buffer.id(slot), &spans), now);
        drop(spans);
        self.settle(slot, verdict);
    }

    /// Does as was decided.
    fn settle(&mut self, slot: Slot, verdict: Verdict) {
        let kept = self.remember(self.buffer.id(slot), verdict);
        let Self { buffer, policies, outgoing, counts, .. } = self;
        if let Some(kept) = kept {
            let name = policies.all().get(usize::from(kept.policy)).map_or("", |policy| &policy.name);
            let mut malformed = 0;
            let (mut sent, mut marked) = (0, false);
            // Where no process's first span is there (yet), the earliest one says why the trace was kept.
            let earliest = buffer
                .spans_of(slot)
                .enumerate()
                .filter_map(|(index, held)| Some((TraceSpan::of(&held)?, index)))
                .min_by_key(|(span, _)| (!span.is_local_root(), span.fields.start_unix_nano))
                .map(|(_, index)| index);
            for (index, held) in buffer.spans_of(slot).enumerate() {
                let Some(span) = TraceSpan::of(&held) else {
                    malformed += 1;
                    continue;
                };
                let mark = (earliest == Some(index) || span.is_local_root()).then_some(name);
                match send(outgoing, &held, &span, kept.weight, mark) {
                    Ok(()) => sent += 1,
                    Err(Malformed) => malformed += 1,
                }
                marked |= mark.is_some();
            }
            debug_assert!(marked || sent == 0);
            counts.kept_spans += sent;
            if malformed > 0 {
                *counts.lost.entry("malformed").or_default() += malformed;
            }
            buffer.remove(slot);
        } else {
            counts.dropped_spans += u64::from(buffer.remove(slot));
        }
    }

    /// Counts a decision and keeps it for spans that come late.
    fn remember(&mut self, id: TraceId, verdict: Verdict) -> Option<Kept> {
        match verdict {
            Verdict::Keep(policy, weight) => {
                self.counts.kept[policy] += 1;
                let kept = Kept { policy: policy as u16, weight };
                self.kept.insert(id, kept);
                Some(kept)
            }
            Verdict::Drop(policy) => {
                match policy {
                    Some(policy) => self.counts.dropped[policy] += 1,
                    None => self.counts.unwanted += 1,
                }
                self.dropped.insert(id, Kept { policy: NO_POLICY, weight: Weight::Same });
                None
            }
        }
    }

    /// Batches that are large enough.
    pub fn take_full(&mut self) -> Vec<Arc<Batch>> {
        self.outgoing.take_full()
    }

    /// All that goes on.
    pub fn take(&mut self) -> Vec<Arc<Batch>> {
        self.outgoing.take()
    }
}

impl<'a> TraceSpan<'a> {
    fn of(held: &Held<'a>) -> Option<Self> {
        Self::read(held.span, walk::bytes_field(held.resource, 1).ok()?).ok()
    }
}

fn millis(now: Duration) -> Millis {
    Millis(now.as_millis() as u32)
}

/// What stands before the records of a group.
fn head(out: &mut Vec<u8>, message: &[u8], schema_url: &[u8]) {
    out.clear();
    text(out, 0x0a, message);
    if !schema_url.is_empty() {
        text(out, 0x1a, schema_url);
    }
}

fn send(
    outgoing: &mut Outgoing,
    held: &Held<'_>,
    span: &TraceSpan<'_>,
    weight: Weight,
    policy: Option<&str>,
) -> Result<(), Malformed> {
    let tracestate = match weight {
        Weight::Same => None,
        Weight::Threshold(_) | Weight::Unknown => {
            let threshold = weight.threshold(Told::of(span.fields.tracestate, span.fields.trace_id).threshold);
            let is_told = threshold == Told::read(span.fields.tracestate).threshold;
            (!is_told).then(|| retold(span.fields.tracestate, threshold))
        }
    };
    outgoing.add(held, &Change { policy, tracestate: tracestate.as_deref() })
}
