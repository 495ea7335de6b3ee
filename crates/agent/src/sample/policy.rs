//! What a trace is kept for: the policies, how they vote, and what comes of their votes.
//!
//! Names and meanings are those of the Collector's `tail_sampling` processor. A trace is dropped where a `drop` policy fits it,
//! or an inverted match does not; else kept where any policy votes for it; else kept by an inverted match if no other policy
//! votes against it.
//!
//! A vote has a [`Weight`]: for how many traces each kept one stands. A policy that looks at the trace keeps all that fit, so
//! those stand for themselves, as they came; one that keeps a share raises the threshold in their `tracestate`; one that keeps
//! so many a second leaves it unknown for how many they stand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use deliver::otlp::walk::{self, AnyValue};
use model::{SpanId, StatusCode};
use regex::bytes::RegexSet;

use super::history::{Routes, Shapes};
use super::limit::{Bucket, Second};
use super::threshold::{self, NEVER, Told};
use super::trace::{Trace, TraceSpan};
use crate::regulate::objectives::Wanted;

/// The policy that objectives make.
const OBJECTIVE: &str = "objective";

/// For how many traces a kept one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// For as many as before.
    Same,
    /// For more: those are kept whose randomness reaches this threshold.
    Threshold(u64),
    /// Nobody knows.
    Unknown,
}

impl Weight {
    /// Of what either of two keeps: they decide by the same randomness, so the lower threshold keeps what the other does.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Same, _) | (_, Self::Same) => Self::Same,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Threshold(one), Self::Threshold(two)) => Self::Threshold(one.min(two)),
        }
    }

    /// Of what both of two keep.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Same, weight) | (weight, Self::Same) => weight,
            (Self::Threshold(one), Self::Threshold(two)) => Self::Threshold(one.max(two)),
        }
    }

    /// The threshold that a span gets which came with this one: it passed both. `None`: it has none.
    pub fn threshold(self, told: Option<u64>) -> Option<u64> {
        match self {
            Self::Same => told,
            Self::Threshold(threshold) => Some(told.map_or(threshold, |told| told.max(threshold))),
            Self::Unknown => None,
        }
    }
}

/// A policy with its name.
#[derive(Debug)]
pub struct Policy {
    /// The name it was given.
    pub name: String,
    /// Its type, as it is written.
    pub kind: &'static str,
    /// What it looks at.
    pub rule: Rule,
}

/// What a policy looks at.
#[derive(Debug)]
pub enum Rule {
    /// Fits all.
    Always,
    /// The whole trace's time.
    Latency {
        /// At least so long; with an upper bound: longer.
        from_ms: u64,
        /// At most so long; 0: no matter how long.
        to_ms: u64,
    },
    /// An attribute's value, of any span or resource.
    Attribute {
        /// Its key.
        key: String,
        /// The values that fit.
        values: Values,
        /// Fits where no value does.
        invert: bool,
    },
    /// A share of what arrives, by the trace's randomness.
    Share(f64),
    /// A span's status, a bit for each of OTLP's codes.
    Status(u8),
    /// Spans a second.
    Spans(Bucket),
    /// Bytes a second.
    Bytes(Bucket),
    /// Number of spans.
    Count {
        /// At least so many.
        least: u64,
        /// At most so many; 0: any number.
        most: u64,
    },
    /// A member of a span's `tracestate`.
    State {
        /// Its key.
        key: String,
        /// The values that fit.
        values: HashSet<Vec<u8>>,
    },
    /// A request whose objective is missed, or that its objective wants kept for being slow.
    Objective(Arc<Wanted>),
    /// A span's sampled flag.
    Sampled,
    /// All of them.
    And(Vec<Rule>),
    /// All of them: then the trace is dropped.
    Drop(Vec<Rule>),
    /// Not this one.
    Not(Box<Rule>),
    /// The first that fits, within its share of so many spans a second.
    Composite {
        /// Spans a second, all together.
        most: u64,
        /// In their order.
        parts: Vec<Allocated>,
    },
    /// A part of a span's anatomy.
    Anatomy {
        /// Which.
        part: Part,
        /// At least so long, ns.
        least_ns: u64,
        /// At least this share of the trace's time.
        share: f64,
    },
    /// The first so many of their shape.
    Novelty {
        /// So many.
        traces: u64,
        /// What was seen.
        shapes: Shapes,
    },
    /// Longer than traces that begin alike.
    Baseline {
        /// Than this quantile of them…
        quantile: f64,
        /// …times this.
        factor: f64,
        /// Once there were so many.
        least: u32,
        /// What was seen.
        routes: Routes,
    },
}

/// A part of a composite.
#[derive(Debug)]
pub struct Allocated {
    /// What fits.
    pub rule: Rule,
    /// Spans a second.
    pub most: u64,
    /// How many there were.
    pub second: Second,
}

/// Values of an attribute.
#[derive(Debug)]
pub enum Values {
    /// One of these texts.
    Texts(HashSet<Vec<u8>>),
    /// A text in which one of these expressions is found.
    Expressions(RegexSet),
    /// A number from … to.
    Range(i64, i64),
    /// This.
    Bool(bool),
}

impl Values {
    fn fit(&self, value: AnyValue<'_>) -> bool {
        match (self, value) {
            (Self::Texts(texts), AnyValue::String(text)) => texts.contains(text),
            (Self::Expressions(expressions), AnyValue::String(text)) => expressions.is_match(text),
            (Self::Range(from, to), AnyValue::Int(number)) => (*from..=*to).contains(&number),
            (Self::Range(from, to), AnyValue::Double(number)) => (*from as f64..=*to as f64).contains(&number),
            (Self::Bool(wanted), AnyValue::Bool(flag)) => *wanted == flag,
            _ => false,
        }
    }
}

/// Which part of a span's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// One that was measured.
    Named(String),
    /// What nothing explains: the time on a CPU that no child covers, and what was not measured.
    Unexplained,
}

/// What a policy says of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Vote {
    /// Keep it.
    Keep(Weight),
    /// It does not fit.
    Pass,
    /// Keep it unless another policy does not: an inverted match that found nothing.
    KeepUnlessPassed,
    /// Drop it: an inverted match that found something.
    Refuse,
    /// Drop it, whatever others say.
    Drop,
}

/// What came of the votes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Keep it, by this policy.
    Keep(usize, Weight),
    /// Drop it; by this policy, or because none voted for it.
    Drop(Option<usize>),
}

/// What one span alone already tells of its trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outlook {
    /// It fits, whatever else comes.
    Sure(Weight),
    /// It does not.
    Never,
    /// It depends.
    Open,
}

/// The policies, in their order.
#[derive(Debug)]
pub struct Policies {
    all: Vec<Policy>,
    /// A policy must see all traces, to know what is usual.
    learn: bool,
    stop_at_first: bool,
}

impl Policies {
    /// With `stop_at_first`, policies behind the first that keeps a trace are not asked.
    pub fn new(all: Vec<Policy>, stop_at_first: bool) -> Self {
        let learn = all.iter().any(|policy| policy.rule.learns());
        Self { all, learn, stop_at_first }
    }

    /// With one behind them that keeps what objectives want.
    #[must_use]
    pub fn with_objectives(mut self, wanted: Arc<Wanted>) -> Self {
        let name = OBJECTIVE.to_owned();
        self.all.push(Policy { name, kind: OBJECTIVE, rule: Rule::Objective(wanted) });
        self
    }

    /// All of them.
    pub fn all(&self) -> &[Policy] {
        &self.all
    }

    /// What each says of a trace; `None`: it was not asked. `now` only grows.
    pub fn votes(&mut self, trace: &Trace<'_>, now: Duration) -> Vec<Option<Vote>> {
        let mut votes = vec![None; self.all.len()];
        let (drops, others): (Vec<_>, Vec<_>) =
            self.all.iter_mut().enumerate().partition(|(_, policy)| matches!(policy.rule, Rule::Drop(_)));
        for (index, policy) in drops.into_iter().chain(others) {
            let vote = policy.rule.vote(trace, now);
            votes[index] = Some(vote);
            // A policy that keeps a share is not the whole truth of what the trace stands for.
            let is_enough = self.stop_at_first && vote == Vote::Keep(Weight::Same);
            if (vote == Vote::Drop || is_enough) && !self.learn {
                break;
            }
        }
        votes
    }

    /// What comes of votes.
    pub fn verdict(votes: &[Option<Vote>]) -> Verdict {
        let first = |wanted: fn(&Vote) -> bool| votes.iter().position(|vote| vote.as_ref().is_some_and(wanted));
        if let Some(index) = first(|vote| *vote == Vote::Drop).or_else(|| first(|vote| *vote == Vote::Refuse)) {
            return Verdict::Drop(Some(index));
        }
        if let Some(index) = first(|vote| matches!(vote, Vote::Keep(_))) {
            let weights = votes.iter().filter_map(|vote| match vote {
                Some(Vote::Keep(weight)) => Some(*weight),
                _ => None,
            });
            return Verdict::Keep(index, weights.reduce(Weight::or).unwrap_or(Weight::Same));
        }
        match first(|vote| *vote == Vote::KeepUnlessPassed) {
            Some(index) if first(|vote| *vote == Vote::Pass).is_none() => Verdict::Keep(index, Weight::Same),
            _ => Verdict::Drop(None),
        }
    }

    /// Decides on a trace as it is now.
    pub fn decide(&mut self, trace: &Trace<'_>, now: Duration) -> Verdict {
        Self::verdict(&self.votes(trace, now))
    }

    /// Whether a span can decide on its trace before all of it is there.
    pub fn can_be_early(&self) -> bool {
        !self.learn
    }

    /// What a span decides on its trace, whatever else comes.
    pub fn early(&self, trace: &Trace<'_>) -> Option<Verdict> {
        if self.learn {
            return None;
        }
        let (mut best, mut is_open, mut may_be_dropped) = (None::<(usize, Weight)>, false, false);
        for (index, policy) in self.all.iter().enumerate() {
            let outlook = policy.rule.outlook(trace);
            match (&policy.rule, outlook) {
                (Rule::Drop(_), Outlook::Sure(_)) => return Some(Verdict::Drop(Some(index))),
                (Rule::Drop(_), Outlook::Open) => may_be_dropped = true,
                (Rule::Drop(_), Outlook::Never) => {}
                (Rule::Attribute { invert: true, .. }, Outlook::Never) => return Some(Verdict::Drop(Some(index))),
                (Rule::Attribute { invert: true, .. }, _) => may_be_dropped = true,
                (_, Outlook::Sure(weight)) => {
                    best = Some(best.map_or((index, weight), |(first, other)| match (weight, other) {
                        (Weight::Same, Weight::Threshold(_) | Weight::Unknown) => (index, weight),
                        _ => (first, weight.or(other)),
                    }));
                }
                (_, Outlook::Open) => is_open = true,
                (_, Outlook::Never) => {}
            }
        }
        match best {
            _ if may_be_dropped => None,
            Some((index, Weight::Same)) => Some(Verdict::Keep(index, Weight::Same)),
            // Another policy may yet keep it for what it is: then it stands for fewer.
            _ if is_open => None,
            Some((index, weight)) => Some(Verdict::Keep(index, weight)),
            None => Some(Verdict::Drop(None)),
        }
    }
}

impl Rule {
    fn learns(&self) -> bool {
        match self {
            Self::Novelty { .. } | Self::Baseline { .. } => true,
            Self::And(rules) | Self::Drop(rules) => rules.iter().any(Self::learns),
            Self::Not(rule) => rule.learns(),
            Self::Composite { parts, .. } => parts.iter().any(|part| part.rule.learns()),
            _ => false,
        }
    }

    fn vote(&mut self, trace: &Trace<'_>, now: Duration) -> Vote {
        let is_drop = matches!(self, Self::Drop(_));
        let is_inverted = matches!(self, Self::Attribute { invert: true, .. });
        match self.fits(trace, now) {
            Some(_) if is_drop => Vote::Drop,
            Some(_) if is_inverted => Vote::KeepUnlessPassed,
            Some(weight) => Vote::Keep(weight),
            None if is_inverted => Vote::Refuse,
            None => Vote::Pass,
        }
    }

    /// Whether the trace fits, and what it then stands for.
    fn fits(&mut self, trace: &Trace<'_>, now: Duration) -> Option<Weight> {
        let sure = |fits: bool| fits.then_some(Weight::Same);
        match self {
            Self::Always => sure(true),
            Self::Latency { from_ms, to_ms } => {
                let took = trace.duration_ns() / 1_000_000;
                sure(if *to_ms == 0 { took >= *from_ms } else { *from_ms < took && took <= *to_ms })
            }
            Self::Attribute { key, values, invert } => {
                let found = trace.spans.iter().any(|span| span.has(key, |value| values.fit(value)));
                sure(found != *invert)
            }
            Self::Share(share) => is_in_share(trace, *share),
            Self::Status(codes) => sure(trace.spans.iter().any(|span| has_status(span, *codes))),
            Self::Spans(bucket) => bucket.take(trace.spans.len() as u64, now).then_some(Weight::Unknown),
            Self::Bytes(bucket) => bucket.take(trace.bytes(), now).then_some(Weight::Unknown),
            Self::Count { least, most } => {
                let count = trace.spans.len() as u64;
                sure(count >= *least && (*most == 0 || count <= *most))
            }
            Self::State { key, values } => sure(trace.spans.iter().any(|span| has_state(span, key, values))),
            Self::Objective(wanted) => sure(trace.spans.iter().any(|span| is_wanted(span, wanted))),
            Self::Sampled => sure(trace.spans.iter().any(|span| span.fields.flags & 1 != 0)),
            Self::And(rules) | Self::Drop(rules) => {
                // Those that learn see the trace even where another one does not fit.
                let fits = rules.iter_mut().map(|rule| rule.learns().then(|| rule.fits(trace, now)));
                let fits: Vec<Option<Option<Weight>>> = fits.collect();
                let mut all = Weight::Same;
                for (rule, fits) in rules.iter_mut().zip(fits) {
                    all = all.and(fits.unwrap_or_else(|| rule.fits(trace, now))?);
                }
                Some(all)
            }
            Self::Not(rule) => match rule.fits(trace, now) {
                Some(_) => None,
                // What a share leaves over is no share that a threshold could tell.
                None => Some(if rule.is_certain() { Weight::Same } else { Weight::Unknown }),
            },
            Self::Composite { most, parts } => composite(*most, parts, trace, now),
            Self::Anatomy { part, least_ns, share } => {
                let least = (*least_ns).max((*share * trace.duration_ns() as f64) as u64);
                sure(match part {
                    Part::Named(name) => trace.spans.iter().any(|span| is_in_part(span, name, least)),
                    Part::Unexplained => unexplained(trace.spans).any(|time| time >= least),
                })
            }
            Self::Novelty { traces, shapes } => sure(shapes.count(trace, now) <= *traces),
            Self::Baseline { quantile, factor, least, routes } => {
                let usual = routes.quantile_before(trace, *quantile, *least);
                sure(usual.is_some_and(|usual| trace.duration_ns() as f64 > usual as f64 * *factor))
            }
        }
    }

    /// It looks at the trace alone, not at chance or at how many there were.
    fn is_certain(&self) -> bool {
        match self {
            Self::Share(_) | Self::Spans(_) | Self::Bytes(_) | Self::Composite { .. } => false,
            Self::And(rules) | Self::Drop(rules) => rules.iter().all(Self::is_certain),
            Self::Not(rule) => rule.is_certain(),
            _ => true,
        }
    }

    /// What these spans, of which more may come, tell already.
    fn outlook(&self, trace: &Trace<'_>) -> Outlook {
        let any = |fits: &dyn Fn(&TraceSpan<'_>) -> bool| match trace.spans.iter().any(fits) {
            true => Outlook::Sure(Weight::Same),
            false => Outlook::Open,
        };
        match self {
            Self::Always => Outlook::Sure(Weight::Same),
            Self::Latency { from_ms, to_ms: 0 } => any(&|span| span.fields.duration_ns() / 1_000_000 >= *from_ms),
            Self::Attribute { key, values, invert } => match any(&|span| span.has(key, |value| values.fit(value))) {
                Outlook::Sure(_) if *invert => Outlook::Never,
                outlook => outlook,
            },
            Self::Share(share) => is_in_share(trace, *share).map_or(Outlook::Never, Outlook::Sure),
            Self::Status(codes) => any(&|span| has_status(span, *codes)),
            Self::State { key, values } => any(&|span| has_state(span, key, values)),
            Self::Objective(wanted) => any(&|span| is_wanted(span, wanted)),
            Self::Sampled => any(&|span| span.fields.flags & 1 != 0),
            Self::Count { least: 0 | 1, most: 0 } => Outlook::Sure(Weight::Same),
            Self::And(rules) | Self::Drop(rules) => {
                rules.iter().fold(Outlook::Sure(Weight::Same), |all, rule| match (all, rule.outlook(trace)) {
                    (Outlook::Never, _) | (_, Outlook::Never) => Outlook::Never,
                    (Outlook::Open, _) | (_, Outlook::Open) => Outlook::Open,
                    (Outlook::Sure(one), Outlook::Sure(two)) => Outlook::Sure(one.and(two)),
                })
            }
            Self::Not(rule) => match rule.outlook(trace) {
                Outlook::Sure(_) => Outlook::Never,
                Outlook::Never if rule.is_certain() => Outlook::Sure(Weight::Same),
                Outlook::Never => Outlook::Sure(Weight::Unknown),
                Outlook::Open => Outlook::Open,
            },
            Self::Anatomy { part: Part::Named(name), least_ns, share: 0.0 } => {
                any(&|span| is_in_part(span, name, *least_ns))
            }
            _ => Outlook::Open,
        }
    }
}

/// By the trace's own randomness, and the threshold with which it came: the lowest of its spans', as each process may have
/// sampled its own.
fn is_in_share(trace: &Trace<'_>, share: f64) -> Option<Weight> {
    if share >= 1.0 {
        return Some(Weight::Same);
    }
    let told = trace.spans.iter().map(|span| Told::of(span.fields.tracestate, trace.id));
    let told = told.min_by_key(|told| told.threshold.unwrap_or(0))?;
    let threshold = told.raised(share);
    (threshold < NEVER && told.randomness(trace.id) >= threshold).then_some(Weight::Threshold(threshold))
}

fn is_wanted(span: &TraceSpan<'_>, wanted: &Wanted) -> bool {
    let route = || match walk::attribute(span.bytes, walk::SPAN_ATTRIBUTES, "http.route") {
        Ok(Some(AnyValue::String(route))) => std::str::from_utf8(route).ok(),
        _ => None,
    };
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let fields = &span.fields;
    let kind = u8::try_from(fields.kind).unwrap_or_default();
    wanted.wants(kind, text(span.service()), text(fields.name), route, fields.duration_ns())
}

fn has_status(span: &TraceSpan<'_>, codes: u8) -> bool {
    let code = match span.fields.status {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    codes & 1 << code != 0
}

fn has_state(span: &TraceSpan<'_>, key: &str, values: &HashSet<Vec<u8>>) -> bool {
    threshold::member(span.fields.tracestate, key.as_bytes()).is_some_and(|value| values.contains(value))
}

fn composite(most: u64, parts: &mut [Allocated], trace: &Trace<'_>, now: Duration) -> Option<Weight> {
    let count = trace.spans.len() as u64;
    let used: u64 = parts.iter_mut().map(|part| part.second.used(now)).sum();
    for part in parts {
        if part.rule.fits(trace, now).is_none() {
            continue;
        }
        // The first that fits decides; a smaller trace may still find room.
        if part.second.used(now) + count > part.most || used + count > most {
            return None;
        }
        part.second.add(count);
        return Some(Weight::Unknown);
    }
    None
}

fn is_in_part(span: &TraceSpan<'_>, name: &str, least: u64) -> bool {
    span.parts().any(|(part, time)| part == name.as_bytes() && time >= least)
}

/// Of each span, what neither a child nor a part other than `on_cpu` accounts for: as both may account for the same time, the
/// smaller of what each leaves over.
fn unexplained<'a>(spans: &'a [TraceSpan<'a>]) -> impl Iterator<Item = u64> {
    let child = |span: &TraceSpan<'_>| {
        let fields = &span.fields;
        Some((fields.parent_span_id?, fields.start_unix_nano, fields.end_unix_nano))
    };
    let mut children: Vec<(SpanId, u64, u64)> = spans.iter().filter_map(child).collect();
    children.sort_unstable();
    spans.iter().map(move |span| {
        let fields = &span.fields;
        let wall = fields.duration_ns();
        let parts = span.parts().filter(|(part, _)| *part != b"on_cpu");
        let left_by_parts = wall.saturating_sub(parts.fold(0u64, |sum, (_, time)| sum.saturating_add(time)));
        let first = children.partition_point(|(parent, ..)| *parent < fields.span_id);
        let own = children[first..].iter().take_while(|(parent, ..)| *parent == fields.span_id);
        let (mut covered, mut until) = (0, fields.start_unix_nano);
        for (_, start, end) in own {
            let end = (*end).min(fields.end_unix_nano);
            covered += end.saturating_sub((*start).max(until));
            until = until.max(end);
        }
        left_by_parts.min(wall.saturating_sub(covered))
    })
}
