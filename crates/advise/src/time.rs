//! Which of the time of spans is explained.
//!
//! What a span's goroutine waited for its anatomy says, and what its children did they say themselves. Left is the time on the CPU
//! for itself: it is explained where the span's name says what ran (a function, a query, a call), not where it only says what was asked for
//! (a request, a message). Samples of stacks explain that too, for whoever looks at profiles. Parts of the anatomy that were not
//! measured explain nothing.

use std::collections::{BTreeMap, HashMap};

use model::{Kind as SpanKind, ProfileKind, Source, Span, SpanId, TraceId, format_duration};
use serde::Serialize;

use crate::facts::Facts;
use crate::stacks;
use crate::{Act, Advice, Kind, percent, ratio, remember};

/// Less of a service's time is left alone.
const SMALLEST_SHARE: f64 = 0.05;
/// Fewer spans say nothing.
const FEWEST_SPANS: u64 = 5;

/// The time of a service's spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServiceTime {
    /// `service.name`.
    pub service: String,
    /// Spans that were looked at.
    pub spans: u64,
    /// Their wall time without that of children on the same goroutine, ns.
    pub own_ns: u64,
    /// Of that: on the CPU.
    pub on_cpu_ns: u64,
    /// Of that: in spans that do not say what ran.
    pub unnamed_ns: u64,
    /// Of that: as samples of stacks have it.
    pub sampled_ns: u64,
    /// Of `own_ns`: in parts of the anatomy that were not measured.
    pub absent_ns: u64,
    /// The program's time on the CPU as all samples of stacks have it, ns.
    pub all_sampled_ns: u64,
    /// Of that: outside of spans.
    pub outside_ns: u64,
    #[serde(skip)]
    operations: BTreeMap<String, OperationTime>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct OperationTime {
    spans: u64,
    own: u64,
    unnamed: u64,
    sampled: u64,
    absent: u64,
    traces: Vec<TraceId>,
}

impl ServiceTime {
    /// The share of the time that spans explain by themselves, from 0 to 1.
    pub fn explained_by_spans(&self) -> f64 {
        1.0 - ratio(self.unnamed_ns + self.absent_ns, self.own_ns).min(1.0)
    }

    /// The share of the time on the CPU that spans explain: which does not grow with what the machine lets them wait.
    pub fn explained_on_cpu(&self) -> f64 {
        1.0 - ratio(self.unnamed_ns, self.on_cpu_ns).min(1.0)
    }

    /// The share of the program's time on the CPU that is outside of spans, as samples have it.
    pub fn outside(&self) -> f64 {
        ratio(self.outside_ns, self.all_sampled_ns)
    }

    /// The share that they explain together with profiles.
    pub fn explained_with_profiles(&self) -> f64 {
        let unnamed = self.unnamed_ns.saturating_sub(self.sampled_ns);
        1.0 - ratio(unnamed + self.absent_ns, self.own_ns).min(1.0)
    }
}

/// Whether a span's name says what its program ran: a function, or what was asked of somebody else.
pub(crate) fn says_what_ran(span: &Span) -> bool {
    stacks::is_function(span) || matches!(span.kind, SpanKind::Client | SpanKind::Producer)
}

/// Of each service whose spans come from the program itself, sorted by name.
pub fn times(facts: &Facts) -> Vec<ServiceTime> {
    let mut services: BTreeMap<&str, ServiceTime> = BTreeMap::new();
    let mut unnamed: HashMap<(TraceId, SpanId), &Span> = HashMap::new();
    for spans in &facts.traces {
        let mut children: HashMap<SpanId, Vec<&Span>> = HashMap::new();
        for span in spans {
            if let Some(parent) = span.parent_span_id {
                children.entry(parent).or_default().push(span);
            }
        }
        for span in spans.iter().filter(|span| is_measurable(span)) {
            let service = services.entry(&span.service).or_default();
            let children = children.get(&span.span_id).map_or(&[][..], |children| children);
            let own = Own::of(span, children);
            let operation = service.operations.entry(span.name.clone()).or_default();
            service.spans += 1;
            service.own_ns += own.wall;
            service.on_cpu_ns += own.on_cpu;
            operation.spans += 1;
            operation.own += own.wall;
            if says_what_ran(span) {
                continue;
            }
            service.unnamed_ns += own.on_cpu;
            service.absent_ns += own.absent;
            operation.unnamed += own.on_cpu;
            operation.absent += own.absent;
            if own.on_cpu + own.absent > 0 {
                remember(&mut operation.traces, span.trace_id);
            }
            unnamed.insert((span.trace_id, span.span_id), span);
        }
    }
    for sample in facts.samples.iter().filter(|sample| sample.sample.kind == ProfileKind::Cpu) {
        let ids = sample.sample.trace_id.zip(sample.sample.span_id);
        if let Some(service) = services.get_mut(&*sample.service) {
            service.all_sampled_ns += sample.sample.value_ns;
            service.outside_ns += if ids.is_none() { sample.sample.value_ns } else { 0 };
        }
        let Some(span) = ids.and_then(|ids| unnamed.get(&ids)) else { continue };
        let Some(service) = services.get_mut(span.service.as_str()) else { continue };
        service.sampled_ns += sample.sample.value_ns;
        if let Some(operation) = service.operations.get_mut(&span.name) {
            operation.sampled += sample.sample.value_ns;
        }
    }
    services.into_iter().map(|(name, time)| ServiceTime { service: name.to_owned(), ..time }).collect()
}

/// Spans that come from outside of the program have no anatomy, and those of a program that ended no end.
fn is_measurable(span: &Span) -> bool {
    matches!(span.source, Source::Woven | Source::Api) && !span.unfinished
}

/// What a span has for itself, ns.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    wall: u64,
    on_cpu: u64,
    absent: u64,
}

impl Own {
    fn of(span: &Span, children: &[&Span]) -> Self {
        let part = |span: &Span, name: &str| {
            span.anatomy.as_ref().and_then(|anatomy| anatomy.parts_ns.get(name)).copied().unwrap_or(0)
        };
        let measured =
            |span: &Span| span.anatomy.as_ref().map_or(0, |anatomy| total(anatomy.parts_ns.values().copied()));
        let here: Vec<&&Span> = children.iter().filter(|child| is_within(span, child)).collect();
        let of_children = |of: &dyn Fn(&Span) -> u64| total(here.iter().map(|child| of(child)));
        let wall = span.duration_ns.saturating_sub(of_children(&|child| child.duration_ns));
        let on_cpu = part(span, "on_cpu").saturating_sub(of_children(&|child| part(child, "on_cpu")));
        let has_on_cpu = span.anatomy.as_ref().is_some_and(|anatomy| anatomy.parts_ns.contains_key("on_cpu"));
        let absent = match has_on_cpu {
            true => 0, // it is the rest: nothing is missing
            false => wall.saturating_sub(measured(span).saturating_sub(of_children(&measured))),
        };
        Self { wall, on_cpu: on_cpu.min(wall), absent }
    }
}

fn total(times: impl Iterator<Item = u64>) -> u64 {
    times.fold(0, u64::saturating_add)
}

/// Whether a child may have run on its parent's goroutine: then all that it did is in the parent's parts.
fn is_within(parent: &Span, child: &Span) -> bool {
    let end = |span: &Span| span.start_unix_nano.saturating_add(span.duration_ns);
    let is_during = child.start_unix_nano >= parent.start_unix_nano && end(child) <= end(parent);
    let fits = match (&parent.anatomy, &child.anatomy) {
        (Some(parent), Some(child)) => {
            child.parts_ns.iter().all(|(name, time)| parent.parts_ns.get(name).is_none_or(|whole| time <= whole))
        }
        _ => true,
    };
    is_measurable(child) && child.service == parent.service && is_during && fits
}

/// Operations whose time nothing explains, not even profiles.
pub(crate) fn advise(facts: &Facts, times: &[ServiceTime]) -> Vec<Advice> {
    let mut advice = Vec::new();
    for time in times {
        let has_samples = facts.samples.iter().any(|sample| *sample.service == *time.service);
        for (name, operation) in &time.operations {
            let unseen = operation.unnamed.saturating_sub(operation.sampled);
            let unexplained = unseen + operation.absent;
            let share = ratio(unexplained, time.own_ns);
            // What was sampled is never exactly what was measured.
            let is_sampled = operation.absent == 0 && operation.sampled * 2 > operation.unnamed;
            if share < SMALLEST_SHARE || operation.spans < FEWEST_SPANS || is_sampled {
                continue;
            }
            let mut evidence = vec![format!(
                "{} of {} in {} spans, {} of the service's time in spans",
                format_duration(unexplained),
                format_duration(operation.own),
                operation.spans,
                percent(share)
            )];
            let text = if operation.absent > unseen {
                evidence.push(format!(
                    "of {} the kernel's half was not measured, so that time on the CPU is not known",
                    format_duration(operation.absent)
                ));
                "let an agent with the kernel half watch it: `tandem doctor` says what this machine lacks"
            } else if has_samples {
                evidence.push(format!("samples of stacks have {} of it", format_duration(operation.sampled)));
                "let all of it be sampled, and oftener: tandem agent --profile=199"
            } else {
                evidence.push("on the CPU, and no samples of stacks say in which functions".to_owned());
                "find the functions: tandem agent --profile (or tandem run --profile), then ask again"
            };
            advice.push(Advice {
                kind: Kind::Unexplained,
                service: time.service.clone(),
                title: format!("{} of {name} is unexplained", percent(ratio(unexplained, operation.own))),
                evidence,
                traces: operation.traces.clone(),
                share,
                acts: vec![Act::Advise { text: text.to_owned() }],
            });
        }
    }
    advice
}

#[cfg(test)]
mod tests {
    use model::Anatomy;

    use super::*;
    use crate::testing::{Bed, MILLISECOND};

    fn unexplained(bed: &Bed) -> Vec<String> {
        let all = crate::advise(&bed.facts).into_iter().filter(|advice| advice.kind == Kind::Unexplained);
        all.map(|advice| advice.title).collect()
    }

    #[test]
    fn functions_and_queries_explain_themselves_and_requests_do_not() {
        let mut bed = Bed::new();
        for _ in 0..10 {
            let request = bed.request(10 * MILLISECOND);
            bed.child(&request, "main.totals", SpanKind::Internal, "example.com/shop", 6 * MILLISECOND);
            bed.child(&request, "SELECT", SpanKind::Client, "tandem/database/sql", 3 * MILLISECOND);
        }
        let times = times(&bed.facts);
        assert_eq!((times[0].spans, times[0].own_ns, times[0].unnamed_ns), (30, 100 * MILLISECOND, 10 * MILLISECOND));
        assert_eq!((times[0].explained_by_spans(), times[0].explained_on_cpu()), (0.9, 0.9));
        assert_eq!(unexplained(&bed), ["100 % of GET /report is unexplained"]);
    }

    #[test]
    fn samples_explain_and_waits_need_no_explanation() {
        let mut bed = Bed::new();
        for _ in 0..10 {
            let request = bed.request(10 * MILLISECOND);
            bed.samples(4, 2 * MILLISECOND, Some(&request), &["main.report"]);
        }
        assert_eq!(unexplained(&bed), Vec::<String>::new());
        bed.samples(10, 2 * MILLISECOND, None, &["main.sweep"]);
        let time = &times(&bed.facts)[0];
        assert_eq!(time.outside(), 0.2);
        assert_eq!((time.explained_by_spans(), time.explained_with_profiles()), (0.0, 0.8));

        let mut waiting = Bed::new();
        for _ in 0..10 {
            let request = waiting.request(10 * MILLISECOND);
            let parts = [("on_cpu".to_owned(), 0), ("go_network".to_owned(), 10 * MILLISECOND)].into();
            let anatomy = Some(Anatomy { wall_ns: 10 * MILLISECOND, parts_ns: parts });
            waiting.facts.traces.pop();
            waiting.add(Span { anatomy, ..request });
        }
        assert_eq!(unexplained(&waiting), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_measured_is_unexplained_and_few_spans_say_nothing() {
        let mut bed = Bed::new();
        for _ in 0..FEWEST_SPANS {
            let request = bed.request(10 * MILLISECOND);
            bed.facts.traces.pop();
            bed.add(Span { anatomy: None, ..request });
        }
        assert_eq!(unexplained(&bed), ["100 % of GET /report is unexplained"]);
        bed.facts.traces.pop();
        assert_eq!(unexplained(&bed), Vec::<String>::new());
    }

    /// A child on another goroutine has parts that are not its parent's.
    #[test]
    fn children_beside_their_parents_take_nothing_from_them() {
        let mut bed = Bed::new();
        let request = bed.request(10 * MILLISECOND);
        let mut beside = bed.child(&request, "main.beside", SpanKind::Internal, "example.com/shop", 9 * MILLISECOND);
        let own = |child: &Span| Own::of(&request, &[child]);
        assert_eq!(own(&beside), Own { wall: MILLISECOND, on_cpu: MILLISECOND, absent: 0 });
        beside.duration_ns += 5 * MILLISECOND;
        assert_eq!(own(&beside).on_cpu, 10 * MILLISECOND, "it goes on after its parent");
    }
}
