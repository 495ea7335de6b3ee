//! Functions that are hot in profiles, inside spans and outside of them, and have no span of their own.
//!
//! Which of the functions on the way down is worth a span? Those between which the time divides: a function that passes on all of its time to one
//! other tells no more than that one does. So, for each operation, one goes down from its beginning as long as one function takes nearly
//! all, and takes the functions where the ways part. Outside of spans it is the function with which the work begins, since all below it
//! then has a span to belong to; where that one is on and never called, since it loops for ever, the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{ProfileKind, Span, SpanId, TraceId, format_duration};

use crate::facts::{Dormant, Facts, Program, Sample};
use crate::stacks::{self, Name};
use crate::time::ServiceTime;
use crate::{Act, Advice, Edit, Kind, edit, percent, ratio, remember};

/// Fewer samples of a function are chance.
const FEWEST_SAMPLES: usize = 10;
/// Functions with a smaller share of their operation are not worth a span.
const SMALLEST_SHARE: f64 = 0.1;
/// One with a larger share than this has all of it.
const ALL: f64 = 0.9;
/// What a function must do itself, beside those that it calls, to be worth a span as well.
const OWN_SHARE: f64 = 0.3;
/// Functions of libraries must have more: most people know what a call of one costs.
const LIBRARY_SHARE: f64 = 0.25;
/// Operations with a smaller share of their service's time are left alone.
const SMALLEST_OPERATION: f64 = 0.01;
/// The same of a function outside of spans.
const SMALLEST_OUTSIDE: f64 = 0.05;

/// Time by function, as they call each other.
#[derive(Default)]
struct Node {
    time: u64,
    samples: usize,
    callees: BTreeMap<Name, Node>,
}

impl Node {
    fn add(&mut self, path: &[Name], sample: &Sample) {
        self.time += sample.sample.value_ns;
        self.samples += 1;
        if let Some((name, rest)) = path.split_first() {
            self.callees.entry(name.clone()).or_default().add(rest, sample);
        }
    }
}

/// What was seen of an operation; of what is outside of spans, too.
#[derive(Default)]
struct Operation {
    root: Node,
    traces: Vec<TraceId>,
    /// Its spans are those of a function.
    is_function: bool,
}

/// A function that is worth a span.
#[derive(Default)]
struct Found {
    time: u64,
    samples: usize,
    /// Its share of each operation.
    operations: Vec<(String, f64)>,
    traces: Vec<TraceId>,
    caller: Option<String>,
}

/// Of each service.
pub(crate) fn advise(facts: &Facts, times: &[ServiceTime]) -> Vec<Advice> {
    let mut services: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in facts.samples.iter().filter(|sample| sample.sample.kind == ProfileKind::Cpu) {
        services.entry(&sample.service).or_default().push(sample);
    }
    let spans: HashMap<(TraceId, SpanId), &Span> =
        facts.traces.iter().flatten().map(|span| ((span.trace_id, span.span_id), span)).collect();
    let mut advice = Vec::new();
    for (service, samples) in services {
        let whole: u64 = samples.iter().map(|sample| sample.sample.value_ns).sum();
        for (name, found) in functions(facts, service, &samples, &spans, whole) {
            advice.extend(of_function(facts, times, service, whole, &name, found));
        }
    }
    advice
}

fn functions(
    facts: &Facts,
    service: &str,
    samples: &[&Sample],
    spans: &HashMap<(TraceId, SpanId), &Span>,
    whole: u64,
) -> BTreeMap<Name, Found> {
    let owner = Owner::of(facts, service);
    let mut operations: BTreeMap<Option<String>, Operation> = BTreeMap::new();
    for sample in samples {
        let ids = sample.sample.trace_id.zip(sample.sample.span_id);
        let (operation, inside, is_function) = match ids {
            None => (None, stacks::names(&sample.sample.stack), false),
            Some(ids) => {
                let Some(span) = spans.get(&ids) else { continue }; // of a trace that is not here
                if crate::time::says_what_ran(span) && !stacks::is_function(span) {
                    continue; // a query is the query, however it is made
                }
                (Some(span.name.clone()), stacks::within(span, &sample.sample.stack), stacks::is_function(span))
            }
        };
        let path = owner.path(inside, ids.is_some());
        let known = operations.entry(operation).or_default();
        known.is_function = is_function;
        known.root.add(&path, sample);
        if let Some((trace, _)) = ids {
            remember(&mut known.traces, trace);
        }
    }
    let mut found: BTreeMap<Name, Found> = BTreeMap::new();
    for (name, operation) in &operations {
        let smallest = if name.is_some() { SMALLEST_OPERATION } else { 0.0 };
        if ratio(operation.root.time, whole) < smallest {
            continue;
        }
        let shown = name.as_deref().unwrap_or("no span");
        for (function, caller, node, share) in parting(operation, name.is_none(), whole, &owner) {
            let one = found.entry(function.clone()).or_default();
            one.time += node.time;
            one.samples += node.samples;
            one.operations.push((shown.to_owned(), share));
            one.caller = one.caller.take().or(caller.map(Name::title));
            operation.traces.iter().for_each(|&trace| remember(&mut one.traces, trace));
        }
    }
    found.retain(|_, one| one.samples >= FEWEST_SAMPLES);
    found
}

/// The functions where the ways of an operation part: with their callers, and their share of it.
fn parting<'a>(
    operation: &'a Operation,
    is_outside: bool,
    whole: u64,
    owner: &Owner<'_>,
) -> Vec<(&'a Name, Option<&'a Name>, &'a Node, f64)> {
    if is_outside {
        return beginnings(&operation.root, whole, owner);
    }
    let all = operation.root.time;
    let (mut at, mut place): (&Node, Option<(&Name, Option<&Name>)>) = (&operation.root, None);
    let next = |node: &'a Node| {
        node.callees.iter().find(|(name, callee)| ratio(callee.time, node.time) >= ALL && owner.is_own(name))
    };
    while let Some((name, callee)) = next(at) {
        place = Some((name, place.map(|(name, _)| name)));
        at = callee;
    }
    let caller = place.map(|(name, _)| name);
    let is_worth = |name: &Name, node: &Node| {
        let smallest = if owner.is_own(name) { SMALLEST_SHARE } else { LIBRARY_SHARE };
        let is_all = operation.is_function && ratio(node.time, operation.root.time) >= ALL;
        ratio(node.time, all) >= smallest && !is_all
    };
    let mut found: Vec<_> = at
        .callees
        .iter()
        .filter(|(name, node)| is_worth(name, node))
        .map(|(name, node)| (name, caller, node, ratio(node.time, all)))
        .collect();
    let of_callees: u64 = found.iter().map(|(_, _, node, _)| node.time).sum();
    if let Some((name, caller)) = place {
        let own = ratio(at.time - of_callees, all);
        if own >= OWN_SHARE && is_worth(name, at) {
            found.push((name, caller, at, ratio(at.time, all)));
        }
    }
    found
}

/// The functions with which work outside of spans begins.
fn beginnings<'a>(root: &'a Node, whole: u64, owner: &Owner<'_>) -> Vec<(&'a Name, Option<&'a Name>, &'a Node, f64)> {
    let mut found = Vec::new();
    let mut left: Vec<(&Name, Option<&Name>, &Node)> =
        root.callees.iter().map(|(name, node)| (name, None, node)).collect();
    while let Some((name, caller, node)) = left.pop() {
        if ratio(node.time, whole) < SMALLEST_OUTSIDE || !owner.is_own(name) {
            continue;
        }
        match owner.loops(name) {
            true => left.extend(node.callees.iter().map(|(callee, node)| (callee, Some(name), node))),
            false => found.push((name, caller, node, ratio(node.time, whole))),
        }
    }
    found
}

/// Whose functions a service's are.
pub(crate) struct Owner<'a> {
    modules: BTreeSet<&'a str>,
    /// Functions that are on, and were not called since: import path, package, name.
    never_called: BTreeSet<(&'a str, &'a str, &'a str)>,
}

impl<'a> Owner<'a> {
    pub fn of(facts: &'a Facts, service: &'a str) -> Self {
        let of_programs = facts.programs_of(service).map(|program| program.main_module.as_str());
        let own: BTreeSet<&str> = of_programs.filter(|module| !module.is_empty()).collect();
        let is_here = facts.programs_of(service).any(|program| facts.configuration.has(program));
        let here = facts.configuration.modules.iter().map(|(module, _)| module.as_str());
        let modules = if own.is_empty() || is_here { own.into_iter().chain(here).collect() } else { own };
        let dormant = facts.programs_of(service).flat_map(|program| &program.dormant);
        let never_called = dormant
            .filter(|one| one.on && one.calls == 0)
            .map(|one| (one.import_path.as_str(), one.package.as_str(), one.name.as_str()));
        Self { modules, never_called: never_called.collect() }
    }

    /// Whether it is on, and is not called although it runs.
    fn loops(&self, name: &Name) -> bool {
        self.never_called.iter().any(|(path, package, function)| {
            *function == name.name && (*path == name.import_path || (name.import_path == "main" && *package == "main"))
        })
    }

    pub fn is_own(&self, name: &Name) -> bool {
        name.import_path == "main" || self.modules.iter().any(|module| stacks::is_below(&name.import_path, module))
    }

    /// Of the functions on a stack, those that could have spans: one's own, and the one of a library that the last of them calls.
    fn path(&self, names: Vec<Name>, with_libraries: bool) -> Vec<Name> {
        let last_own = names.iter().rposition(|name| self.is_own(name));
        let library =
            names.iter().skip(last_own.map_or(0, |at| at + 1)).find(|name| stacks::is_someones(name)).cloned();
        let is_candidate = |name: &Name| self.is_own(name) && !stacks::is_main(name);
        let own = names.into_iter().filter(is_candidate);
        own.chain(library.filter(|_| with_libraries && last_own.is_some())).collect()
    }
}

fn of_function(
    facts: &Facts,
    times: &[ServiceTime],
    service: &str,
    whole: u64,
    name: &Name,
    found: Found,
) -> Option<Advice> {
    let acts = acts(facts, service, name)?;
    let share = ratio(found.time, whole);
    let mut evidence = vec![format!(
        "{} on the CPU, {} of the service's, in {} samples",
        format_duration(found.time),
        percent(share),
        found.samples
    )];
    let mut operations = found.operations;
    operations.sort_by(|one, other| other.1.total_cmp(&one.1));
    for (operation, share) in operations.iter().take(3) {
        evidence.push(match operation.as_str() {
            "no span" => format!("outside of spans: {} of the service's time on the CPU", percent(*share)),
            _ => format!("{} of the time on the CPU that spans of {operation} have for themselves", percent(*share)),
        });
    }
    evidence.extend(found.caller.map(|caller| format!("called by {caller}")));
    let time = times.iter().find(|time| time.service == service);
    evidence.extend(time.filter(|time| time.on_cpu_ns > 0).map(|time| {
        format!("spans explain {} of the service's time on the CPU so far", percent(time.explained_on_cpu()))
    }));
    Some(Advice {
        kind: Kind::HotFunction,
        service: service.to_owned(),
        title: format!("{} is hot and has no span", name.title()),
        evidence,
        traces: found.traces,
        share,
        acts,
    })
}

/// What to do; `None`: it is done.
fn acts(facts: &Facts, service: &str, name: &Name) -> Option<Vec<Act>> {
    let programs: Vec<&Program> = facts.programs_of(service).collect();
    let is_it = |dormant: &Dormant| {
        let is_main = name.import_path == "main" && dormant.package == "main";
        dormant.name == name.name && (dormant.import_path == name.import_path || is_main)
    };
    let mut dormant = programs.iter().flat_map(|program| &program.dormant).filter(|dormant| is_it(dormant)).peekable();
    if let Some(first) = dormant.peek() {
        let function = format!("{}.{}", first.import_path, first.name);
        // With arguments, with another limit: the person's own affair.
        return (!dormant.any(|dormant| dormant.on)).then(|| {
            let forever = format!("to have its spans always: //tandem:span above {}", name.title());
            vec![Act::Enable { function, service: service.to_owned() }, Act::Advise { text: forever }]
        });
    }
    if programs.iter().any(|program| program.spans.contains(&name.title())) {
        return None;
    }
    let main_package = programs.iter().map(|program| program.main_package.as_str()).find(|package| !package.is_empty());
    let package = if name.import_path == "main" { main_package.unwrap_or("main") } else { &name.import_path };
    if programs.iter().any(|program| program.dormant_packages.contains(package)) {
        let runs = programs.iter().any(|program| program.pid.is_some());
        return Some(vec![Act::Advise {
            text: match runs {
                true => format!(
                    "{} is woven with dormant functions, but without this one (`tandem explain` says why): write \
                     //tandem:span above it and build again",
                    package
                ),
                false => format!("when it runs again: tandem enable '{package}.{}' --service {service}", name.name),
            },
        }]);
    }
    let here = &facts.configuration;
    let is_here = programs.iter().any(|program| here.has(program))
        || (programs.is_empty() && here.modules.iter().any(|(module, _)| stacks::is_below(package, module)));
    let packages = here.package_pattern(package);
    Some(vec![match is_here {
        true if edit::names_packages(&here.text, &packages) => {
            Act::Advise { text: "build again: tandem.yaml names its package under `functions:` already".to_owned() }
        }
        true => Act::Configure(Edit::Functions { packages }),
        false => Act::Advise {
            text: format!(
                "in the project of {service}: `functions: [{{packages: [{package}]}}]` in tandem.yaml, or //tandem:span above \
                 the function; then build again (run this command there, and it writes it)"
            ),
        },
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise;
    use crate::testing::{Bed, MILLISECOND};

    const HANDLER: [&str; 3] = ["main.main.func1", "net/http.HandlerFunc.ServeHTTP", "net/http.(*conn).serve"];

    fn stack<'a>(inner: &[&'a str]) -> Vec<&'a str> {
        inner.iter().copied().chain(HANDLER).collect()
    }

    /// A program with these dormant functions, of which those with a `+` are on.
    fn program(dormant: &[&str]) -> Program {
        let function = |name: &&str| Dormant {
            import_path: "example.com/shop".into(),
            package: "main".into(),
            name: name.trim_start_matches('+').into(),
            on: name.starts_with('+'),
            calls: 1,
        };
        Program {
            pid: Some(7),
            service: "shop".into(),
            main_package: "example.com/shop".into(),
            main_module: "example.com/shop".into(),
            dormant: dormant.iter().map(function).collect(),
            dormant_packages: if dormant.is_empty() { BTreeSet::new() } else { ["example.com/shop".to_owned()].into() },
            ..Program::default()
        }
    }

    fn hot(bed: &Bed) -> Vec<Advice> {
        advise(&bed.facts).into_iter().filter(|advice| advice.kind == Kind::HotFunction).collect()
    }

    fn titles(bed: &Bed) -> Vec<String> {
        hot(bed).into_iter().map(|advice| advice.title).collect()
    }

    #[test]
    fn the_functions_where_ways_part_are_named() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        bed.samples(80, MILLISECOND, Some(&request), &stack(&["main.compute", "main.totals", "main.report"]));
        bed.samples(15, MILLISECOND, Some(&request), &stack(&["main.compute", "main.prices", "main.report"]));
        bed.samples(5, MILLISECOND, Some(&request), &stack(&["main.log", "main.report"]));
        bed.facts.programs = vec![program(&["report", "totals", "prices", "compute", "log"])];
        let found = hot(&bed);
        assert_eq!(titles(&bed), ["main.totals is hot and has no span", "main.prices is hot and has no span"]);
        let enable = Act::Enable { function: "example.com/shop.totals".into(), service: "shop".into() };
        assert_eq!((&found[0].acts[0], found[0].share), (&enable, 0.8));
        assert_eq!(found[0].traces, [request.trace_id]);

        // Once they are on there is no more to say, whatever was seen before.
        bed.facts.programs = vec![program(&["report", "+totals", "+prices", "compute", "log"])];
        assert_eq!(titles(&bed), Vec::<String>::new());
    }

    #[test]
    fn a_span_of_a_function_explains_what_that_function_does() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        let totals = bed.child(&request, "main.totals", model::Kind::Internal, "example.com/shop", 90 * MILLISECOND);
        bed.samples(90, MILLISECOND, Some(&totals), &stack(&["main.compute", "main.totals", "main.report"]));
        bed.facts.programs = vec![program(&["report", "+totals", "compute"])];
        assert_eq!(titles(&bed), Vec::<String>::new(), "compute is all that totals does");
        bed.samples(60, MILLISECOND, Some(&totals), &stack(&["main.sort", "main.totals", "main.report"]));
        bed.facts.programs = vec![program(&["report", "+totals", "compute", "sort"])];
        assert_eq!(titles(&bed), ["main.compute is hot and has no span", "main.sort is hot and has no span"]);
    }

    #[test]
    fn few_samples_small_operations_and_queries_are_left_alone() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        bed.samples(FEWEST_SAMPLES - 1, MILLISECOND, Some(&request), &stack(&["main.report"]));
        assert_eq!(titles(&bed), Vec::<String>::new(), "chance");
        let query = bed.child(&request, "SELECT", model::Kind::Client, "tandem/database/sql", 50 * MILLISECOND);
        bed.samples(5000, MILLISECOND, Some(&query), &stack(&["main.driver", "database/sql.Query", "main.report"]));
        bed.samples(9, MILLISECOND, Some(&request), &stack(&["main.report"]));
        assert_eq!(titles(&bed), Vec::<String>::new(), "a query, and a thousandth of the time");
    }

    #[test]
    fn without_dormant_functions_the_package_is_named_in_the_configuration() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        let hot_stack =
            ["example.com/shop/internal/ink.(*Pen).Draw.func1", "example.com/shop/internal/ink.(*Pen).Draw"];
        bed.samples(50, MILLISECOND, Some(&request), &stack(&hot_stack));
        bed.facts.programs = vec![program(&[])];
        let act = |bed: &Bed| hot(bed)[0].acts.clone();
        assert!(matches!(&act(&bed)[..], [Act::Advise { text }] if text.contains("run this command there")));
        bed.facts.configuration.modules = vec![("example.com/shop".into(), ".".into())];
        assert_eq!(act(&bed), [Act::Configure(Edit::Functions { packages: "./internal/ink".into() })]);
        bed.facts.configuration.text = "functions: [{packages: [./...]}]".into();
        assert!(matches!(&act(&bed)[..], [Act::Advise { text }] if text.starts_with("build again")));
        // Woven dormant, but without this function: a rule for the package would change nothing.
        bed.facts.programs[0].dormant_packages.insert("example.com/shop/internal/ink".into());
        assert!(matches!(&act(&bed)[..], [Act::Advise { text }] if text.contains("//tandem:span")));
        bed.facts.programs[0].spans.insert("ink.(*Pen).Draw".into());
        assert_eq!(titles(&bed), Vec::<String>::new(), "it has a span since");
    }

    #[test]
    fn libraries_count_where_they_take_much_and_what_is_outside_of_spans_by_the_whole() {
        let mut bed = Bed::new();
        let request = bed.request(100 * MILLISECOND);
        bed.samples(60, MILLISECOND, Some(&request), &stack(&["strings.Repeat", "main.report"]));
        bed.samples(40, MILLISECOND, Some(&request), &stack(&["x.org/json.scan", "x.org/json.Marshal", "main.report"]));
        bed.samples(20, MILLISECOND, None, &["main.clean", "main.sweep", "main.main.func2", "runtime.goexit"]);
        bed.samples(200, MILLISECOND, None, &["main.serve.func1", "runtime.goexit"]); // serve has returned
        bed.samples(5, MILLISECOND, None, &["main.idle", "main.main.func3", "runtime.goexit"]);
        bed.samples(500, MILLISECOND, None, &["runtime.gcBgMarkWorker"]);
        bed.facts.programs = vec![program(&["report", "sweep", "idle"])];
        assert_eq!(
            titles(&bed),
            ["main.report is hot and has no span", "json.Marshal is hot and has no span"],
            "sweep has a thirtieth of all"
        );
        bed.facts.samples.retain(|sample| {
            !["runtime.gcBgMarkWorker", "main.serve.func1"].contains(&sample.sample.stack[0].function.as_str())
        });
        assert!(titles(&bed).contains(&"main.sweep is hot and has no span".to_owned()), "{:?}", titles(&bed));
        bed.facts.programs = vec![program(&["report", "+sweep", "clean", "idle"])];
        assert!(
            !titles(&bed).iter().any(|title| title.contains("sweep") || title.contains("clean")),
            "it has spans now"
        );
        bed.facts.programs[0].dormant[1].calls = 0;
        assert!(titles(&bed).contains(&"main.clean is hot and has no span".to_owned()), "sweep loops for ever");
    }
}
