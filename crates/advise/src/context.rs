//! Traces that lost their context: spans whose parents are not there, and traces that begin where none should.
//!
//! Many traces rightly begin in the middle of a program: timers, queues that are polled, work at the start. So a root counts only where something
//! says what it should have belonged to: a link to the request that started its goroutine, a call of somebody that is seen
//! and contains it, a message that somebody is seen to send; calls of a serving program's own accord are a weaker sign.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Kind as SpanKind, Source, Span, SpanId, TraceId, Value};

use crate::facts::Facts;
use crate::functions::Owner;
use crate::stacks;
use crate::{Act, Advice, Kind, percent, ratio, remember};

/// Fewer cases are accidents.
const FEWEST: u64 = 5;
/// A smaller share of a service's traces, too.
const SMALLEST_SHARE: f64 = 0.01;
/// Spans of younger traces may still be on their way, ns.
const SETTLED: u64 = 10_000_000_000;
/// Clocks of two machines are apart by so much, ns.
const CLOCKS_APART: u64 = 2_000_000;
/// Calls that one looks back at for the one that contains a request.
const LOOK_BACK: usize = 256;

/// How context was lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// A request or message whose sender's span is not there.
    CallerUnseen,
    /// A span whose parent in the same program is not there.
    ParentGone,
    /// It went on after the request that began its goroutine had ended.
    Outlived,
    /// A call that nobody asked for, of a program that serves.
    OwnAccord,
    /// A request of somebody who is seen, whose context did not arrive.
    NotHandedOver {
        /// The service that called.
        caller: String,
    },
    /// A message of somebody who is seen.
    MessageWithout {
        /// Where it was sent to.
        destination: String,
    },
}

#[derive(Default)]
struct Cases {
    count: u64,
    traces: Vec<TraceId>,
    parents: Vec<String>,
    starts: BTreeMap<String, u64>,
}

/// Of each service.
pub(crate) fn advise(facts: &Facts) -> Vec<Advice> {
    let settled: Vec<&Vec<Span>> = facts
        .traces
        .iter()
        .filter(|spans| {
            let ends = spans.iter().map(|span| span.start_unix_nano.saturating_add(span.duration_ns));
            ends.max().unwrap_or(0).saturating_add(SETTLED) <= facts.now_unix_nano
        })
        .collect();
    let around = Around::of(&settled);
    let starts = goroutine_starts(facts);
    let mut traces_of: HashMap<&str, u64> = HashMap::new();
    let mut cases: BTreeMap<(String, Loss, String), Cases> = BTreeMap::new();
    for spans in &settled {
        let services: HashSet<&str> = spans.iter().map(|span| span.service.as_str()).collect();
        services.iter().for_each(|service| *traces_of.entry(service).or_default() += 1);
        let ids: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
        for span in spans.iter() {
            let Some(loss) = around.loss(span, &ids) else { continue };
            let known = cases.entry((span.service.clone(), loss, span.name.clone())).or_default();
            known.count += 1;
            remember(&mut known.traces, span.trace_id);
            if let Some(link) = span.links.first()
                && let Some(name) = around.names.get(&(link.trace_id, link.span_id))
                && !known.parents.contains(&(*name).to_owned())
                && known.parents.len() < 3
            {
                known.parents.push((*name).to_owned());
            }
            if let Some(start) = starts.get(&(span.trace_id, span.service.as_str())) {
                *known.starts.entry(start.clone()).or_default() += 1;
            }
        }
    }
    let mut advice = Vec::new();
    for ((service, loss, operation), cases) in cases {
        let share = ratio(cases.count, traces_of.get(service.as_str()).copied().unwrap_or(0)).min(1.0);
        if cases.count >= FEWEST && share >= SMALLEST_SHARE {
            advice.push(of_cases(&service, &loss, &operation, &cases, share));
        }
    }
    advice
}

/// The functions of a service with which goroutines begin, by trace.
fn goroutine_starts(facts: &Facts) -> HashMap<(TraceId, &str), String> {
    let mut owners: HashMap<&str, Owner<'_>> = HashMap::new();
    let mut found = HashMap::new();
    for sample in &facts.samples {
        let Some(trace) = sample.sample.trace_id else { continue };
        let owner = owners.entry(&sample.service).or_insert_with(|| Owner::of(facts, &sample.service));
        let names = stacks::names(&sample.sample.stack);
        if let Some(name) = names.iter().find(|name| owner.is_own(name) && !stacks::is_main(name)) {
            found.entry((trace, &*sample.service)).or_insert_with(|| name.title());
        }
    }
    found
}

/// A call of somebody, without anything below it.
struct Call<'a> {
    start: u64,
    end: u64,
    service: &'a str,
}

/// What all traces say together.
struct Around<'a> {
    /// When a service answered its first request; those that answer none are not here.
    serves_since: HashMap<&'a str, u64>,
    names: HashMap<(TraceId, SpanId), &'a str>,
    /// Calls by the port that they went to, in order of their start.
    calls: HashMap<i64, Vec<Call<'a>>>,
    /// Where messages are sent to.
    destinations: HashSet<&'a str>,
}

impl<'a> Around<'a> {
    fn of(traces: &[&'a Vec<Span>]) -> Self {
        let mut around = Self {
            serves_since: HashMap::new(),
            names: HashMap::new(),
            calls: HashMap::new(),
            destinations: HashSet::new(),
        };
        let mut answered: HashMap<&str, u64> = HashMap::new();
        for spans in traces {
            let parents: HashSet<SpanId> = spans.iter().filter_map(|span| span.parent_span_id).collect();
            for span in spans.iter() {
                around.names.insert((span.trace_id, span.span_id), &span.name);
                match span.kind {
                    SpanKind::Server | SpanKind::Consumer => {
                        *answered.entry(&span.service).or_default() += 1;
                        let since = around.serves_since.entry(&span.service).or_insert(u64::MAX);
                        *since = span.start_unix_nano.min(*since);
                    }
                    SpanKind::Client if !parents.contains(&span.span_id) => {
                        if let Some(Value::Int(port)) = span.attributes.get("server.port") {
                            let end = span.start_unix_nano.saturating_add(span.duration_ns);
                            let call = Call { start: span.start_unix_nano, end, service: &span.service };
                            around.calls.entry(*port).or_default().push(call);
                        }
                    }
                    SpanKind::Producer => around.destinations.extend(destination(span)),
                    _ => {}
                }
            }
        }
        around.serves_since.retain(|service, _| answered.get(service).is_some_and(|count| *count >= FEWEST));
        around.calls.values_mut().for_each(|calls| calls.sort_by_key(|call| call.start));
        around
    }

    fn loss(&self, span: &Span, ids: &HashSet<SpanId>) -> Option<Loss> {
        if !matches!(span.source, Source::Woven | Source::Api) {
            return None; // what is seen from outside knows no contexts
        }
        if let Some(parent) = span.parent_span_id {
            let is_asked = matches!(span.kind, SpanKind::Server | SpanKind::Consumer);
            return (!ids.contains(&parent)).then_some(if is_asked { Loss::CallerUnseen } else { Loss::ParentGone });
        }
        match span.kind {
            SpanKind::Server => {
                let caller = self.caller(span)?;
                Some(Loss::NotHandedOver { caller: caller.to_owned() })
            }
            SpanKind::Consumer => {
                let destination = destination(span).filter(|to| self.destinations.contains(to))?;
                // A batch names its messages by links.
                span.links.is_empty().then(|| Loss::MessageWithout { destination: destination.to_owned() })
            }
            kind => {
                let since = *self.serves_since.get(span.service.as_str())?;
                let is_call = matches!(kind, SpanKind::Client | SpanKind::Producer);
                match span.links.is_empty() {
                    false => Some(Loss::Outlived),
                    true => (is_call && span.start_unix_nano > since).then_some(Loss::OwnAccord),
                }
            }
        }
    }

    /// Who called: a service with a call to this port that contains the request, and has nothing below it.
    fn caller(&self, span: &Span) -> Option<&'a str> {
        let Some(Value::Int(port)) = span.attributes.get("server.port") else { return None };
        let calls = self.calls.get(port)?;
        let end = span.start_unix_nano.saturating_add(span.duration_ns);
        let before = calls.partition_point(|call| call.start <= span.start_unix_nano.saturating_add(CLOCKS_APART));
        let near = calls[..before].iter().rev().take(LOOK_BACK);
        let contains = |call: &&Call<'_>| end <= call.end.saturating_add(CLOCKS_APART) && call.service != span.service;
        near.clone().find(contains).map(|call| call.service)
    }
}

fn destination(span: &Span) -> Option<&str> {
    match span.attributes.get("messaging.destination.name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    }
}

fn of_cases(service: &str, loss: &Loss, operation: &str, cases: &Cases, share: f64) -> Advice {
    let count = cases.count;
    let started = cases.starts.iter().max_by_key(|(_, count)| **count).map(|(start, _)| start.as_str());
    let in_function = started.map_or(String::new(), |start| format!(" in the goroutine of {start}"));
    let (title, evidence, text) = match loss {
        Loss::CallerUnseen => (
            format!("the callers of {operation} are not seen"),
            format!("{count} spans have a parent in another program that is not here"),
            "let an agent watch what calls it: woven (`tandem go build`) or as it is (`tandem attach`); if it is sampled elsewhere, \
             by its own decision, nothing is wrong"
                .to_owned(),
        ),
        Loss::ParentGone => (
            format!("parents of {operation} are missing"),
            format!("{count} spans have a parent in the same program that never came"),
            "see whether spans were dropped (tandem_spans_dropped_total, the agent's last words) or a program was killed".to_owned(),
        ),
        Loss::Outlived => (
            format!("{operation} goes on after its request{in_function}"),
            format!("{count} traces begin with it, linked to a request that had ended: {}", cases.parents.join(", ")),
            "hand on the request's context: context.WithoutCancel(ctx), into the goroutine and into the call (docs/context.md)".to_owned(),
        ),
        Loss::OwnAccord => (
            format!("{operation} belongs to no request{in_function}"),
            format!("{count} traces begin with it, though the program serves requests"),
            match started {
                Some(start) => format!(
                    "where a request asks for it, hand on its context (docs/context.md); where nobody does, //tandem:span above {start}, or \
                     above what that calls for each piece of work, makes it one trace"
                ),
                None => "where a request asks for it, hand on its context (docs/context.md); where nobody does, //tandem:span above the \
                         function that does it makes it one trace"
                    .to_owned(),
            },
        ),
        Loss::NotHandedOver { caller } => (
            format!("{caller} calls {operation}, and the context gets lost between them"),
            format!("{count} traces begin with it while a call of {caller} to that port contains them"),
            "give both the same OTEL_PROPAGATORS, and see whether something between them drops headers (docs/propagation.md)".to_owned(),
        ),
        Loss::MessageWithout { destination } => (
            format!("messages of {destination} lose their context"),
            format!("{count} traces begin with {operation}, though whoever sends to {destination} is seen"),
            "see that sender and receiver are both woven with the library's pack, have the same OTEL_PROPAGATORS, and that the broker keeps \
             headers (docs/propagation.md)"
                .to_owned(),
        ),
    };
    // A weak sign comes after what is sure.
    let weight = if matches!(loss, Loss::OwnAccord | Loss::CallerUnseen) { 0.25 } else { 1.0 };
    Advice {
        kind: Kind::LostContext,
        service: service.to_owned(),
        title,
        evidence: vec![format!("{evidence}; {} of the service's traces", percent(share))],
        traces: cases.traces.clone(),
        share: share * weight,
        acts: vec![Act::Advise { text }],
    }
}

#[cfg(test)]
mod tests {
    use model::Link;

    use super::*;
    use crate::testing::{Bed, MILLISECOND, START};

    fn titles(bed: &Bed) -> Vec<String> {
        advise(&bed.facts).into_iter().map(|advice| advice.title).collect()
    }

    /// Twenty requests.
    fn serving() -> (Bed, Vec<Span>) {
        let mut bed = Bed::new();
        let requests = (0..20).map(|_| bed.request(10 * MILLISECOND)).collect();
        (bed, requests)
    }

    /// A span as a root of its own, after the requests.
    fn root(bed: &mut Bed, name: &str, kind: SpanKind) -> Span {
        let request = bed.request(MILLISECOND);
        bed.facts.traces.pop();
        let start_unix_nano = START + MILLISECOND;
        Span { name: name.into(), kind, scope: "tandem/net/http".into(), start_unix_nano, ..request }
    }

    #[test]
    fn missing_parents_are_told_by_where_they_should_be() {
        let (mut bed, requests) = serving();
        for request in &requests[..FEWEST as usize] {
            let mut child = bed.child(request, "SELECT", SpanKind::Client, "tandem/database/sql", MILLISECOND);
            let spans = bed.facts.traces.iter_mut().find(|spans| spans[0].trace_id == child.trace_id).expect("a trace");
            child.parent_span_id = Some(SpanId([9; 8]));
            spans[0].parent_span_id = Some(SpanId([8; 8]));
            *spans.last_mut().expect("the child") = child;
        }
        assert_eq!(titles(&bed), ["the callers of GET /report are not seen", "parents of SELECT are missing"]);
        bed.facts.now_unix_nano = START + SETTLED;
        assert_eq!(titles(&bed), Vec::<String>::new(), "they may still come");
    }

    #[test]
    fn what_outlives_its_request_is_told_by_its_link_and_where_it_runs() {
        let (mut bed, requests) = serving();
        for request in &requests[..FEWEST as usize] {
            let mut call = root(&mut bed, "POST", SpanKind::Client);
            call.links = vec![Link { trace_id: request.trace_id, span_id: request.span_id, ..Link::default() }];
            bed.samples(
                1,
                MILLISECOND,
                Some(&call),
                &["net/http.(*Client).Do", "main.send", "main.(*pool).work", "runtime.goexit"],
            );
            bed.add(call);
        }
        assert_eq!(titles(&bed), ["POST goes on after its request in the goroutine of main.(*pool).work"]);
        assert!(advise(&bed.facts)[0].evidence[0].contains("had ended: GET /report; 20 %"), "{:?}", advise(&bed.facts));
    }

    #[test]
    fn programs_may_work_of_their_own_accord() {
        let calls = |bed: &mut Bed, kind, count| {
            for _ in 0..count {
                let call = root(bed, "POST", kind);
                bed.add(call);
            }
        };
        let (mut few, _) = serving();
        calls(&mut few, SpanKind::Client, FEWEST - 1);
        assert_eq!(titles(&few), Vec::<String>::new());
        let (mut functions, _) = serving();
        calls(&mut functions, SpanKind::Internal, 20);
        assert_eq!(titles(&functions), Vec::<String>::new(), "functions in the background");
        let mut tool = Bed::new();
        calls(&mut tool, SpanKind::Client, 20);
        assert_eq!(titles(&tool), Vec::<String>::new(), "it serves nobody");
        let (mut early, _) = serving();
        for _ in 0..20 {
            let call =
                Span { start_unix_nano: START - MILLISECOND, ..root(&mut early, "CREATE TABLE", SpanKind::Client) };
            early.add(call);
        }
        assert_eq!(titles(&early), Vec::<String>::new(), "before it served");
        let (mut serving, _) = serving();
        calls(&mut serving, SpanKind::Client, 20);
        assert_eq!(titles(&serving), ["POST belongs to no request"]);
    }

    #[test]
    fn requests_that_somebody_seen_has_made_should_have_his_context() {
        let port = |span: Span| Span { attributes: [("server.port".to_owned(), Value::Int(8080))].into(), ..span };
        let mut bed = Bed::new();
        let mut other = Bed::new();
        for n in 0..10 {
            let at = START + n * 50 * MILLISECOND;
            let request = port(Span { start_unix_nano: at + MILLISECOND, ..bed.request(10 * MILLISECOND) });
            bed.facts.traces.pop();
            let call =
                Span { kind: SpanKind::Client, service: "gateway".into(), start_unix_nano: at, ..request.clone() };
            let call = Span { trace_id: TraceId([n as u8 + 100; 16]), duration_ns: 12 * MILLISECOND, ..call };
            other.add(Span { start_unix_nano: at + 30 * MILLISECOND, ..call.clone() });
            other.add(request.clone());
            bed.add(call);
            bed.add(request);
        }
        assert_eq!(titles(&bed), ["gateway calls GET /report, and the context gets lost between them"]);
        assert_eq!(titles(&other), Vec::<String>::new(), "calls at other times");
    }

    #[test]
    fn messages_are_compared_by_where_they_were_sent() {
        let message = |bed: &mut Bed, kind, name: &str| {
            let attributes = [("messaging.destination.name".to_owned(), Value::String(name.into()))].into();
            Span { attributes, ..root(bed, &format!("process {name}"), kind) }
        };
        let (mut bed, requests) = serving();
        for request in &requests[..FEWEST as usize] {
            let sent = message(&mut bed, SpanKind::Producer, "orders");
            bed.add(Span { trace_id: request.trace_id, parent_span_id: Some(request.span_id), ..sent });
            for name in ["orders", "others"] {
                let taken = message(&mut bed, SpanKind::Consumer, name);
                bed.add(taken);
            }
            let batch = message(&mut bed, SpanKind::Consumer, "orders");
            let links = vec![Link { trace_id: request.trace_id, span_id: request.span_id, ..Link::default() }];
            bed.add(Span { links, name: "receive".into(), ..batch });
        }
        assert_eq!(titles(&bed), ["messages of orders lose their context"]);
    }
}
