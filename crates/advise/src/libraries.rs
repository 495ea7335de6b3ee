//! Libraries that Tandem has a pack for, that a program contains, and that nobody owns there; and what the kernel half sees of
//! a woven program that the program does not tell.

use std::collections::{BTreeMap, BTreeSet};

use model::{Source, Span, TraceId, Value, format_duration};

use crate::facts::{Facts, KnownPack, PackState, Program};
use crate::stacks::{self, Name};
use crate::{Act, Advice, Edit, Kind, edit, percent, ratio, remember};

/// What a library is worth of which nothing was seen: it is in the program, and may be used.
const UNSEEN_SHARE: f64 = 0.005;
/// Fewer spans of the kernel's are chance.
const FEWEST_SPANS: usize = 5;

/// For each woven program, one library after the other; programs of one service once.
pub(crate) fn advise(facts: &Facts) -> Vec<Advice> {
    let mut advice: Vec<Advice> = Vec::new();
    let is_newest = |program: &Program| {
        let mut same = facts.programs_of(&program.service).filter(|other| other.main_package == program.main_package);
        same.all(|other| other.start_unix_nano <= program.start_unix_nano)
    };
    for program in facts.programs.iter().filter(|program| program.owned.is_some() && is_newest(program)) {
        let seen = Seen::of(facts, &program.service);
        let mut explained: BTreeSet<&str> = BTreeSet::new();
        for pack in facts.packs.iter().filter(|pack| is_missed(pack, program)) {
            let kernel: Vec<(&str, &SeenSpans)> = seen.systems_of(pack);
            explained.extend(kernel.iter().map(|(system, _)| *system));
            if let Some(acts) = acts(facts, program, pack) {
                advice.push(of_pack(&seen, program, pack, &kernel, acts));
            }
        }
        for (system, spans) in &seen.systems {
            let is_owned = facts.packs.iter().any(|pack| owned(pack, program) && is_of_system(pack, system));
            if spans.count >= FEWEST_SPANS && !is_owned && !explained.contains(system.as_str()) {
                advice.push(of_system(&seen, program, system, spans));
            }
        }
    }
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    advice.retain(|advice| told.insert((advice.service.clone(), advice.title.clone())));
    advice
}

fn state<'a>(pack: &KnownPack, program: &'a Program) -> Option<&'a PackState> {
    program.owned.as_ref()?.iter().find(|state| state.name == pack.name)
}

fn owned(pack: &KnownPack, program: &Program) -> bool {
    state(pack, program).is_some_and(|state| !state.woven.is_empty())
}

/// The program has code that the pack would edit, and nothing of the pack; and the pack makes spans. One that keeps contexts,
/// or marks log lines, is left out for reasons that no trace shows.
fn is_missed(pack: &KnownPack, program: &Program) -> bool {
    !pack.spans.is_empty()
        && pack.rules.iter().any(|(_, package)| program.packages.contains(package))
        && !owned(pack, program)
}

/// What to do; `None`: nothing, since somebody has decided so.
fn acts(facts: &Facts, program: &Program, pack: &KnownPack) -> Option<Vec<Act>> {
    let here = &facts.configuration;
    let say = |text: String| Some(vec![Act::Advise { text }]);
    let module = if program.main_module.is_empty() { &program.main_package } else { &program.main_module };
    if let Some((rule, reason)) = state(pack, program).and_then(|state| state.left.first()) {
        return say(format!(
            "{rule} {reason}: take a version of {} that the pack knows (`tandem packs show {}`), or have it seen from outside \
             (docs/sockets.md)",
            pack.module.as_deref().unwrap_or("Go"),
            pack.name
        ));
    }
    if !here.has(program) {
        return say(format!(
            "in the project of {module}: take {} out of `disable:` in tandem.yaml if it is there, and build again",
            pack.name
        ));
    }
    if pack.is_meant(&here.disable) {
        let rules = pack.rules.iter().map(|(id, _)| id);
        let names: Vec<&String> =
            [&pack.name].into_iter().chain(rules).filter(|name| here.disable.contains(*name)).collect();
        if names.iter().any(|name| edit::is_deliberate(&here.text, name)) {
            return None;
        }
        return Some(names.into_iter().map(|name| Act::Configure(Edit::Keep { name: name.clone() })).collect());
    }
    say(match program.is_current {
        true => "build again: tandem.yaml has changed since".to_owned(),
        false => "build again: another tandem has woven it, whose packs were others".to_owned(),
    })
}

/// What was seen of a service from outside, and on its stacks.
#[derive(Default)]
struct Seen {
    /// Spans of the kernel half, by what was talked to: `redis`, `kafka`.
    systems: BTreeMap<String, SeenSpans>,
    /// The time on stacks, by package.
    packages: BTreeMap<String, u64>,
    whole: u64,
    spans_time: u64,
}

#[derive(Default)]
struct SeenSpans {
    count: usize,
    time: u64,
    names: BTreeSet<String>,
    traces: Vec<TraceId>,
}

impl Seen {
    fn of(facts: &Facts, service: &str) -> Self {
        let mut seen = Self::default();
        for span in facts.traces.iter().flatten().filter(|span| span.service == service) {
            match span.source {
                Source::Woven | Source::Api => {
                    seen.spans_time += if span.parent_span_id.is_none() { span.duration_ns } else { 0 };
                }
                Source::Uprobe | Source::Socket => {
                    let Some(system) = system(span) else { continue };
                    let of = seen.systems.entry(system.to_owned()).or_default();
                    of.count += 1;
                    of.time += span.duration_ns;
                    if of.names.len() < 3 {
                        of.names.insert(span.name.clone());
                    }
                    remember(&mut of.traces, span.trace_id);
                }
                Source::Otlp => {}
            }
        }
        for sample in facts.samples.iter().filter(|sample| *sample.service == *service) {
            seen.whole += sample.sample.value_ns;
            let on_stack = sample.sample.stack.iter().filter_map(|frame| Name::of_frame(&frame.function));
            let packages: BTreeSet<String> = on_stack.map(|name| name.import_path).collect();
            for package in packages {
                *seen.packages.entry(package).or_default() += sample.sample.value_ns;
            }
        }
        seen
    }

    fn systems_of(&self, pack: &KnownPack) -> Vec<(&str, &SeenSpans)> {
        let of_pack = self.systems.iter().filter(|(system, _)| is_of_system(pack, system));
        of_pack.map(|(system, spans)| (system.as_str(), spans)).collect()
    }

    /// The share of the time on stacks that one of a pack's packages is on.
    fn on_stacks(&self, pack: &KnownPack) -> f64 {
        let of = |package: &str| {
            let below = self.packages.iter().filter(|(path, _)| stacks::is_below(path, package));
            below.map(|(_, time)| *time).max().unwrap_or(0)
        };
        let time = pack.rules.iter().map(|(_, package)| of(package)).max().unwrap_or(0);
        ratio(time, self.whole)
    }
}

/// What a span of the kernel half talked to.
fn system(span: &Span) -> Option<&str> {
    let text = |key: &str| match span.attributes.get(key) {
        Some(Value::String(system)) => Some(system.as_str()),
        _ => None,
    };
    let named =
        ["db.system.name", "messaging.system", "rpc.system.name", "rpc.system"].iter().find_map(|key| text(key));
    named.or_else(|| text("http.request.method").map(|_| "http"))
}

/// Words of packs that talk to a system of another name.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("postgresql", &["pgx", "database/sql"]),
    ("mysql", &["database/sql"]),
    ("redis", &["redis", "redigo", "rueidis", "valkey"]),
    ("kafka", &["kafka", "sarama", "franz-go"]),
    ("mongodb", &["mongo"]),
];

fn is_of_system(pack: &KnownPack, system: &str) -> bool {
    let words = OTHER_NAMES.iter().find(|(name, _)| *name == system).map_or(&[][..], |(_, words)| words);
    let has = |word: &str| pack.name.contains(word) || pack.module.as_ref().is_some_and(|module| module.contains(word));
    has(system) || words.iter().any(|word| has(word))
}

fn of_pack(seen: &Seen, program: &Program, pack: &KnownPack, kernel: &[(&str, &SeenSpans)], acts: Vec<Act>) -> Advice {
    let library = pack.module.as_deref().unwrap_or(&pack.name);
    let version = program.modules.iter().find(|module| Some(&module.path) == pack.module.as_ref());
    let title = format!("{library} is in the program and has no spans, though there is a pack");
    let mut evidence = vec![format!(
        "{library} {}is linked; of the pack {} nothing is woven",
        version.map_or(String::new(), |module| format!("{} ", module.version)),
        pack.name
    )];
    let on_stacks = seen.on_stacks(pack);
    if on_stacks > 0.0 {
        evidence.push(format!("it is on {} of the stacks that were looked at, by time", percent(on_stacks)));
    } else if seen.whole > 0 {
        evidence.push("it was on no stack that was looked at: it may not be in use".to_owned());
    }
    let mut traces = Vec::new();
    for (system, spans) in kernel {
        evidence.push(told_by_kernel(system, spans));
        spans.traces.iter().for_each(|&trace| remember(&mut traces, trace));
    }
    let kernel_time: u64 = kernel.iter().map(|(_, spans)| spans.time).sum();
    Advice {
        kind: Kind::Library,
        service: program.service.clone(),
        title,
        evidence,
        traces,
        share: on_stacks.max(ratio(kernel_time, seen.spans_time).min(1.0)).max(UNSEEN_SHARE),
        acts,
    }
}

fn told_by_kernel(system: &str, spans: &SeenSpans) -> String {
    let names: Vec<&str> = spans.names.iter().map(String::as_str).collect();
    format!(
        "the kernel half has seen {} calls of {system} in {}: {}",
        spans.count,
        format_duration(spans.time),
        names.join(", ")
    )
}

fn of_system(seen: &Seen, program: &Program, system: &str, spans: &SeenSpans) -> Advice {
    Advice {
        kind: Kind::Library,
        service: program.service.clone(),
        title: format!("{system} is seen by the kernel half only"),
        evidence: vec![
            told_by_kernel(system, spans),
            "no pack owns the library that the program calls it by".to_owned(),
        ],
        traces: spans.traces.clone(),
        share: ratio(spans.time, seen.spans_time).clamp(UNSEEN_SHARE, 1.0),
        acts: vec![Act::Advise {
            text: format!(
                "write a pack for that library (`tandem packs new {system}`, docs/writing-packs.md) and name its folder under \
                 `packs:` in tandem.yaml; or name the library's packages under `functions:`"
            ),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bed, MILLISECOND, span};

    fn pack(name: &str, module: Option<&str>, package: &str) -> KnownPack {
        KnownPack {
            name: name.into(),
            module: module.map(str::to_owned),
            rules: vec![(format!("{name}.core"), package.into()), (format!("{name}.client"), package.into())],
            spans: vec![(format!("tandem/{package}"), model::Kind::Client, vec![format!("{name}.client")])],
        }
    }

    /// A program with redis and exec, of which nothing is woven.
    fn bed() -> Bed {
        let mut bed = Bed::new();
        let redis = "github.com/redis/go-redis/v9";
        bed.facts.packs = vec![pack("go-redis", Some(redis), redis), pack("os/exec", None, "os/exec")];
        bed.facts.programs = vec![Program {
            service: "shop".into(),
            main_module: "example.com/shop".into(),
            packages: [redis.to_owned()].into(),
            owned: Some(Vec::new()),
            is_current: true,
            ..Program::default()
        }];
        bed.facts.configuration.modules = vec![("example.com/shop".into(), ".".into())];
        bed
    }

    fn configured(bed: &mut Bed, text: &str, disable: &[&str]) {
        bed.facts.configuration.text = text.into();
        bed.facts.configuration.disable = disable.iter().map(|&name| name.to_owned()).collect();
    }

    fn words(bed: &Bed) -> Vec<String> {
        let acts = advise(&bed.facts).into_iter().flat_map(|advice| advice.acts);
        acts.map(|act| match act {
            Act::Configure(edit) => edit.words(),
            Act::Advise { text } => text,
            other => format!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn a_pack_that_is_left_out_is_taken_back_unless_somebody_said_why() {
        let mut bed = bed();
        configured(&mut bed, "disable:\n  - go-redis\n", &["go-redis"]);
        assert_eq!(words(&bed), ["take `go-redis` out of `disable:`"]);
        configured(&mut bed, "disable: [go-redis.core, go-redis.client]\n", &["go-redis.core", "go-redis.client"]);
        assert_eq!(words(&bed).len(), 2);
        configured(&mut bed, "disable:\n  - go-redis # the cache is not interesting\n", &["go-redis"]);
        assert_eq!(words(&bed), Vec::<String>::new());
        configured(&mut bed, "", &[]);
        assert_eq!(words(&bed), ["build again: tandem.yaml has changed since"]);
        bed.facts.programs[0].is_current = false;
        assert_eq!(words(&bed), ["build again: another tandem has woven it, whose packs were others"]);
        bed.facts.configuration.modules.clear();
        assert!(words(&bed)[0].starts_with("in the project of example.com/shop: take go-redis out of"));
    }

    #[test]
    fn versions_that_the_pack_does_not_know_are_said() {
        let mut bed = bed();
        let left = vec![("go-redis.core".to_owned(), "is for >=9.0.0, this is v8.1.0".to_owned())];
        bed.facts.programs[0].owned = Some(vec![PackState { name: "go-redis".into(), woven: Vec::new(), left }]);
        assert!(words(&bed)[0].starts_with("go-redis.core is for >=9.0.0, this is v8.1.0: take a version"));
    }

    #[test]
    fn what_is_owned_or_not_there_or_not_woven_or_makes_no_spans_needs_no_advice() {
        let mut owned = bed();
        let state = PackState { name: "go-redis".into(), woven: vec!["go-redis.core".into()], left: Vec::new() };
        owned.facts.programs[0].owned = Some(vec![state.clone()]);
        assert_eq!(advise(&owned.facts), []);
        let mut rebuilt = bed();
        let newer = Program { start_unix_nano: 1, owned: Some(vec![state]), ..rebuilt.facts.programs[0].clone() };
        rebuilt.facts.programs.push(newer);
        assert_eq!(advise(&rebuilt.facts), [], "an older process still runs");
        let mut absent = bed();
        absent.facts.programs[0].packages.clear();
        assert_eq!(advise(&absent.facts), []);
        let mut plain = bed();
        plain.facts.programs[0].owned = None;
        assert_eq!(advise(&plain.facts), []);
        let mut without_spans = bed();
        without_spans.facts.packs[0].spans.clear();
        assert_eq!(advise(&without_spans.facts), []);
    }

    #[test]
    fn what_the_kernel_sees_is_evidence_or_asks_for_a_pack() {
        let mut bed = bed();
        let request = bed.request(100 * MILLISECOND);
        let socket = |system: &str| Span {
            source: Source::Socket,
            duration_ns: MILLISECOND,
            attributes: [("db.system.name".to_owned(), Value::String(system.into()))].into(),
            trace_id: request.trace_id,
            parent_span_id: Some(request.span_id),
            ..span("GET")
        };
        (0..FEWEST_SPANS).for_each(|_| bed.add(socket("redis")));
        (0..FEWEST_SPANS).for_each(|_| bed.add(socket("cassandra")));
        (0..FEWEST_SPANS - 1).for_each(|_| bed.add(socket("neo4j")));
        let method = ("http.request.method".to_owned(), Value::String("GET".into()));
        (0..FEWEST_SPANS).for_each(|_| bed.add(Span { attributes: [method.clone()].into(), ..socket("") }));
        let found = advise(&bed.facts);
        let titles: Vec<&str> = found.iter().map(|advice| advice.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "github.com/redis/go-redis/v9 is in the program and has no spans, though there is a pack",
                "cassandra is seen by the kernel half only",
                "http is seen by the kernel half only"
            ]
        );
        assert_eq!(found[0].evidence[1], "the kernel half has seen 5 calls of redis in 5.00 ms: GET");
        assert_eq!((found[0].share, &found[0].traces), (0.05, &vec![request.trace_id]));
    }
}
