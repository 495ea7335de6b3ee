//! Join points that cost more than they tell: many short spans a trace, all of them alike, of which none failed or has anything below it.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{FOLDED_PREFIX, Kind as SpanKind, Source, Span, SpanId, StatusCode, TraceId, Value, format_duration};

use crate::facts::Facts;
use crate::stacks;
use crate::{Act, Advice, Edit, Kind, percent, ratio, remember};

/// Fewer spans of an operation in a trace, on average, can be read.
const MOST_A_TRACE: u64 = 50;
/// Fewer of all cost nothing.
const FEWEST_SPANS: u64 = 500;
/// Longer spans may matter by themselves, ns.
const LONGEST: u64 = 100_000;
/// Operations with a smaller share of their service's spans cost little.
const SMALLEST_SHARE: f64 = 0.2;
/// If together they take more of what is around them, they are where the time goes: `functions` has the same bound, so that what is
/// switched on for its share is not switched off for its number.
const LARGEST_TIME: f64 = 0.1;

#[derive(Default)]
struct Operation {
    spans: u64,
    time: u64,
    durations: Vec<u64>,
    errors: u64,
    /// Of the spans, those that the agent has made numbers on their parents.
    folded: u64,
    parents: u64,
    /// Traces that have it, as examples and by number.
    traces: u64,
    most: u64,
    last: Option<(TraceId, u64)>,
    examples: Vec<TraceId>,
    names: HashSet<String>,
    /// Time of the spans around it.
    around: u64,
}

/// An operation as spans tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    service: String,
    scope: String,
    kind: u8,
    /// Of a function: its name. Spans of packs have many names.
    function: Option<String>,
}

/// Of each service.
pub(crate) fn advise(facts: &Facts) -> Vec<Advice> {
    let mut operations: BTreeMap<Key, Operation> = BTreeMap::new();
    let mut whole: BTreeMap<&str, u64> = BTreeMap::new();
    for spans in &facts.traces {
        look_at(spans, &mut operations, &mut whole);
    }
    let noisy = operations.into_iter().filter(|(key, operation)| {
        let of_service = whole.get(key.service.as_str()).copied().unwrap_or(0);
        is_noise(operation) && ratio(operation.spans, of_service) >= SMALLEST_SHARE
    });
    noisy
        .filter_map(|(key, operation)| {
            let of_service = whole.get(key.service.as_str()).copied().unwrap_or(0);
            of_operation(facts, &key, &operation, of_service)
        })
        .collect()
}

fn look_at<'a>(spans: &'a [Span], operations: &mut BTreeMap<Key, Operation>, whole: &mut BTreeMap<&'a str, u64>) {
    let parents: HashSet<SpanId> = spans.iter().filter_map(|span| span.parent_span_id).collect();
    // The first of a name under a parent were delivered: those that were folded are theirs.
    let mut folded = folded(spans);
    let mut around: BTreeMap<Key, HashSet<SpanId>> = BTreeMap::new();
    for span in spans {
        *whole.entry(&span.service).or_default() += 1;
        if span.source != Source::Woven || span.parent_span_id.is_none() {
            continue; // roots are what people look for
        }
        let function = stacks::is_function(span).then(|| span.name.clone());
        let key = Key { service: span.service.clone(), scope: span.scope.clone(), kind: span.kind as u8, function };
        if let Some(parent) = span.parent_span_id {
            around.entry(key.clone()).or_default().insert(parent);
        }
        let folded = span.parent_span_id.and_then(|parent| folded.remove(&(parent, span.name.as_str())));
        let (count, time) = folded.unwrap_or_default();
        *whole.entry(&span.service).or_default() += count;
        let operation = operations.entry(key).or_default();
        operation.spans += 1 + count;
        operation.folded += count;
        operation.time += span.duration_ns + time;
        operation.durations.push(span.duration_ns);
        operation.errors += u64::from(span.status.code == StatusCode::Error);
        operation.parents += u64::from(parents.contains(&span.span_id));
        operation.names.insert(span.name.clone());
        match &mut operation.last {
            Some((trace, known)) if *trace == span.trace_id => *known += 1 + count,
            last => {
                operation.traces += 1;
                *last = Some((span.trace_id, 1 + count));
            }
        }
        operation.most = operation.most.max(operation.last.map_or(0, |(_, count)| count));
        remember(&mut operation.examples, span.trace_id);
    }
    for (key, ids) in around {
        let time = spans.iter().filter(|span| ids.contains(&span.span_id)).map(|span| span.duration_ns).sum::<u64>();
        if let Some(operation) = operations.get_mut(&key) {
            operation.around += time;
        }
    }
}

/// How many spans the agent has folded, and their time, by their parent and their name.
fn folded(spans: &[Span]) -> HashMap<(SpanId, &str), (u64, u64)> {
    let mut folded: HashMap<_, (u64, u64)> = HashMap::new();
    for span in spans {
        for (key, value) in &span.attributes {
            let Value::Int(number) = value else { continue };
            let Some((name, what)) = key.strip_prefix(FOLDED_PREFIX).and_then(|rest| rest.rsplit_once('.')) else {
                continue;
            };
            let number = u64::try_from(*number).unwrap_or(0);
            let known = folded.entry((span.span_id, name)).or_default();
            match what {
                "count" => known.0 += number,
                "duration" => known.1 += number,
                _ => {}
            }
        }
    }
    folded
}

fn is_noise(operation: &Operation) -> bool {
    let mut durations = operation.durations.clone();
    durations.sort_unstable();
    let nearly_longest = durations[durations.len() * 95 / 100];
    // Names that differ tell something by themselves.
    let is_alike = operation.names.len() as u64 * 100 <= operation.spans;
    operation.spans >= FEWEST_SPANS
        && operation.spans >= MOST_A_TRACE * operation.traces
        && nearly_longest <= LONGEST
        && operation.errors == 0
        && operation.parents == 0
        && is_alike
        && ratio(operation.time, operation.around) < LARGEST_TIME
}

fn kind(number: u8) -> SpanKind {
    [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer]
        .into_iter()
        .find(|kind| *kind as u8 == number)
        .unwrap_or_default()
}

/// `None`: it is off already.
fn of_operation(facts: &Facts, key: &Key, operation: &Operation, of_service: u64) -> Option<Advice> {
    let share = ratio(operation.spans, of_service);
    let name = match &key.function {
        Some(function) => function.clone(),
        None => operation.names.iter().min().cloned().unwrap_or_default(),
    };
    let acts = match &key.function {
        Some(function) => of_function(facts, key, function)?,
        None => of_pack(facts, key)?,
    };
    let mut durations = operation.durations.clone();
    durations.sort_unstable();
    Some(Advice {
        kind: Kind::Noise,
        service: key.service.clone(),
        title: format!("spans of {name} cost more than they tell"),
        evidence: vec![
            format!(
                "{} spans in {} traces, up to {} in one: {} of the service's spans",
                operation.spans,
                operation.traces,
                operation.most,
                percent(share)
            ),
            format!(
                "half of them took less than {}, none failed, none has anything below it; together {} of what is around them",
                format_duration(durations[durations.len() / 2]),
                percent(ratio(operation.time, operation.around))
            ),
            if operation.folded == 0 {
                format!("without them: {} fewer spans to make, send and keep", percent(share))
            } else {
                let folded = ratio(operation.folded, operation.spans);
                format!(
                    "{} of them, {}, were folded: they are numbers on their parents, and still cost the program its time",
                    operation.folded,
                    percent(folded)
                )
            },
        ],
        traces: operation.examples.clone(),
        share,
        acts,
    })
}

fn of_function(facts: &Facts, key: &Key, function: &str) -> Option<Vec<Act>> {
    let mut programs = facts.programs_of(&key.service).peekable();
    if programs.peek().is_some() {
        let mut dormant = facts.programs_of(&key.service).flat_map(|program| &program.dormant);
        let found =
            dormant.find(|one| one.import_path == key.scope && format!("{}.{}", one.package, one.name) == function);
        if let Some(found) = found {
            let operation = format!("{}.{}", found.import_path, found.name);
            return found.on.then(|| vec![Act::Disable { operation, service: key.service.clone() }]);
        }
        let is_marked = facts.programs_of(&key.service).any(|program| program.spans.contains(function));
        let is_running = facts.programs_of(&key.service).any(|program| program.pid.is_some());
        if !is_marked && is_running {
            return None; // it was, in an older build
        }
    }
    Some(vec![Act::Advise {
        text: format!(
            "take //tandem:span off {function}, and name it under `functions:`: then it is there when it is wanted"
        ),
    }])
}

fn of_pack(facts: &Facts, key: &Key) -> Option<Vec<Act>> {
    let kind = kind(key.kind);
    let pack =
        facts.packs.iter().find(|pack| pack.spans.iter().any(|(scope, of, _)| *scope == key.scope && *of == kind));
    let Some(pack) = pack else { return Some(Vec::new()) };
    let operations: Vec<&String> = pack
        .spans
        .iter()
        .filter(|(scope, of, _)| *scope == key.scope && *of == kind)
        .flat_map(|(_, _, operations)| operations)
        .collect();
    let running: Vec<_> = facts.programs_of(&key.service).filter(|program| program.pid.is_some()).collect();
    let is_off = |id: &&String| {
        running.iter().flat_map(|program| &program.operations).any(|operation| operation.id == **id && !operation.on)
    };
    if !operations.is_empty() && operations.iter().all(is_off) {
        return None;
    }
    let mut acts = Vec::new();
    let here = &facts.configuration;
    let [operation] = operations[..] else {
        let names: Vec<&str> = operations.iter().map(|name| name.as_str()).collect();
        let text =
            format!("tandem disable one of {}, or OTEL_GO_DISABLED_INSTRUMENTATIONS with its name", names.join(", "));
        return Some(vec![Act::Advise { text }]);
    };
    if !running.is_empty() {
        acts.push(Act::Disable { operation: operation.clone(), service: key.service.clone() });
    }
    let is_here = facts.programs_of(&key.service).any(|program| here.has(program));
    let is_rule = pack.rules.iter().any(|(id, _)| id == operation);
    let reason = "many short spans, all alike: tandem advise".to_owned();
    match (is_here, is_rule) {
        _ if here.disable.contains(operation) || here.disable.contains(&pack.name) => {
            acts.push(Act::Advise { text: "build again: tandem.yaml leaves it out already".to_owned() });
        }
        (true, true) => acts.push(Act::Configure(Edit::LeaveOut { name: operation.clone(), reason })),
        _ => acts.push(Act::Advise {
            text: format!("for ever: OTEL_GO_DISABLED_INSTRUMENTATIONS={operation} in the program's environment"),
        }),
    }
    Some(acts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Dormant, KnownOperation, KnownPack, Program};
    use crate::testing::{Bed, MILLISECOND, on_cpu};

    const MICROSECOND: u64 = 1000;
    const CACHE: &str = "tandem/example.com/cache";

    /// Ten requests with so many questions to a cache each.
    fn bed(questions: u64, duration: u64) -> Bed {
        let mut bed = Bed::new();
        for _ in 0..10 {
            let request = bed.request(100 * MILLISECOND);
            for _ in 0..questions {
                bed.child(&request, "get", SpanKind::Client, CACHE, duration);
            }
        }
        bed.facts.packs = vec![KnownPack {
            name: "cache".into(),
            module: Some("example.com/cache".into()),
            rules: vec![("cache.get".into(), "example.com/cache".into())],
            spans: vec![(CACHE.into(), SpanKind::Client, vec!["cache.get".into()])],
        }];
        bed.facts.programs = vec![Program {
            pid: Some(7),
            service: "shop".into(),
            main_module: "example.com/shop".into(),
            operations: vec![KnownOperation { id: "cache.get".into(), on: true }],
            ..Program::default()
        }];
        bed.facts.configuration.modules = vec![("example.com/shop".into(), ".".into())];
        bed
    }

    #[test]
    fn many_short_spans_that_are_alike_are_noise() {
        let mut bed = bed(100, 5 * MICROSECOND);
        let found = advise(&bed.facts);
        assert_eq!(found[0].title, "spans of get cost more than they tell");
        assert_eq!(found[0].evidence[0], "1000 spans in 10 traces, up to 100 in one: 99 % of the service's spans");
        let reason = "many short spans, all alike: tandem advise".to_owned();
        assert_eq!(
            found[0].acts,
            [
                Act::Disable { operation: "cache.get".into(), service: "shop".into() },
                Act::Configure(Edit::LeaveOut { name: "cache.get".into(), reason }),
            ]
        );
        bed.facts.programs[0].operations[0].on = false;
        assert_eq!(advise(&bed.facts), [], "it is off");
    }

    #[test]
    fn what_was_folded_counts() {
        let mut bed = bed(60, 5 * MICROSECOND);
        for trace in &mut bed.facts.traces {
            let request = trace.iter_mut().find(|span| span.parent_span_id.is_none()).expect("a request");
            let mut say = |what: &str, number| {
                request.attributes.insert(format!("tandem.folded.get.{what}"), Value::Int(number));
            };
            say("count", 340);
            say("duration", 340 * 5 * MICROSECOND as i64);
        }
        let found = advise(&bed.facts);
        assert_eq!(found[0].evidence[0], "4000 spans in 10 traces, up to 400 in one: 100 % of the service's spans");
        assert_eq!(
            found[0].evidence[2],
            "3400 of them, 85 %, were folded: they are numbers on their parents, and still cost the program its time"
        );
    }

    #[test]
    fn what_can_be_read_or_tells_something_is_no_noise() {
        assert_eq!(advise(&bed(20, 5 * MICROSECOND).facts), [], "a few a trace");
        assert_eq!(advise(&bed(100, 200 * MICROSECOND).facts), [], "long ones");
        assert_eq!(advise(&bed(600, 50 * MICROSECOND).facts), [], "where the time goes");
        let mut failing = bed(100, 5 * MICROSECOND);
        failing.facts.traces[3][7].status.code = StatusCode::Error;
        assert_eq!(advise(&failing.facts), [], "one failed");
        let mut deep = bed(100, 5 * MICROSECOND);
        let above = deep.facts.traces[3][7].clone();
        deep.child(&above, "dial", SpanKind::Client, "tandem/net", MICROSECOND);
        assert_eq!(advise(&deep.facts), [], "one has something below it");
        let mut different = bed(100, 5 * MICROSECOND);
        for (index, span) in different.facts.traces.iter_mut().flatten().enumerate() {
            span.name = format!("{} {index}", span.name);
        }
        assert_eq!(advise(&different.facts), [], "each has a name of its own");
        let mut roots = Bed::new();
        for _ in 0..1000 {
            roots.request(5 * MICROSECOND);
        }
        assert_eq!(advise(&roots.facts), [], "requests");
    }

    #[test]
    fn functions_go_back_to_sleep_and_marked_ones_are_for_their_owners() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        for _ in 0..1000 {
            let mut call = bed.child(&request, "cart.price", SpanKind::Internal, "example.com/cart", 2 * MICROSECOND);
            call.anatomy = Some(on_cpu(2 * MICROSECOND));
        }
        let dormant = Dormant {
            import_path: "example.com/cart".into(),
            package: "cart".into(),
            name: "price".into(),
            on: true,
            calls: 9,
        };
        bed.facts.programs =
            vec![Program { pid: Some(7), service: "shop".into(), dormant: vec![dormant], ..Program::default() }];
        let disable = Act::Disable { operation: "example.com/cart.price".into(), service: "shop".into() };
        assert_eq!(advise(&bed.facts)[0].acts, [disable]);
        bed.facts.programs[0].dormant[0].on = false;
        assert_eq!(advise(&bed.facts), [], "it sleeps again");
        bed.facts.programs[0].dormant.clear();
        bed.facts.programs[0].spans.insert("cart.price".into());
        assert!(
            matches!(&advise(&bed.facts)[0].acts[..], [Act::Advise { text }] if text.starts_with("take //tandem:span off"))
        );
    }
}
