//! Noise (`fold:` in agent.yaml): a woven program that makes thousands of short spans in one request, `tests/programs/noise`.
//!
//! Guarantees: however many there are, few are delivered; the span around them says how many the others were, and how long they took;
//! what failed, took long, has something below it or nobody around it is delivered; metrics have all of them. Spans that are not
//! sampled are counted as ever, and nothing is folded where nobody wants it.

use std::collections::BTreeMap;

use model::{Span, StatusCode};

use crate::prometheus::{self, Sample};
use crate::rig::{LIMIT, Rig, Running, eventually};
use crate::spans::by_id;
use crate::steps;

const PRICES: u64 = 5000;
const QUERIES: u64 = 2000;
/// Of each: those that fail, those with something below them, and those that are nobody's.
const OTHERS: u64 = 150;

/// Runs the program under this configuration; its spans, and what the metrics had at its end.
fn observe(configuration: &str, environment: &[(&str, &str)]) -> (Vec<Span>, Vec<Sample>) {
    let rig = Rig::new();
    let config = rig.path().join("agent.yaml");
    std::fs::write(&config, configuration).expect("a configuration");
    let mut command = rig.observe("run");
    command.args(["--no-kernel", "--metrics", "127.0.0.1:0", "--config"]).arg(&config);
    command.arg("--").arg(steps::program("noise")).envs(environment.iter().copied());
    let mut running = Running::start(&mut command);
    let input = running.stdin();
    let metrics = running.address("metrics");
    let said = format!("prices {} queries {QUERIES} failures {OTHERS}", PRICES + 2 * OTHERS);
    running.stdout_line(|line| (line == said).then_some(()));
    let expected = BTreeMap::from([
        ("basket".to_owned(), OTHERS),
        ("price".to_owned(), PRICES + 2 * OTHERS),
        ("refuse".to_owned(), OTHERS),
        ("report".to_owned(), 1),
        ("UPDATE".to_owned(), QUERIES),
    ]);
    let mut samples = Vec::new();
    let counted = eventually(LIMIT, || {
        samples = prometheus::scrape(&metrics);
        (calls(&samples) == expected).then_some(())
    });
    assert!(counted.is_some(), "the metrics have {:?}", calls(&samples));
    drop(input);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.said().iter().all(|line| !line.contains("warning")), "{finished}");
    let spans = rig.spans();
    rig.assert_nothing_left();
    (spans, samples)
}

fn calls(samples: &[Sample]) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == "traces_span_metrics_calls_total") {
        let name = sample.label("span_name").split(' ').next().unwrap_or_default();
        *calls.entry(name.to_owned()).or_default() += sample.value as u64;
    }
    calls
}

fn folded(samples: &[Sample]) -> u64 {
    let found = samples.iter().find(|sample| sample.name == "tandem_spans_folded_total");
    found.map_or(0, |sample| sample.value as u64)
}

fn of<'a>(spans: &'a [Span], name: &'a str) -> impl Iterator<Item = &'a Span> {
    spans.iter().filter(move |span| span.name.split(' ').next() == Some(name))
}

/// Scenario: the defaults.
#[test]
fn thousands_of_short_spans_become_numbers() {
    if crate::support::is_without_go("noise thousands_of_short_spans_become_numbers") {
        return;
    }
    let (spans, samples) = observe("", &[]);
    let report = of(&spans, "report").next().expect("the request");
    let number = |name: &str, what: &str| -> u64 {
        let is_it = |key: &str| {
            let named = key.strip_prefix("tandem.folded.").and_then(|rest| rest.strip_suffix(what));
            named.is_some_and(|named| named.starts_with(name))
        };
        let found = report.attributes.iter().find(|(key, _)| is_it(key));
        found.unwrap_or_else(|| panic!("no {name}{what} in {report:?}")).1.to_string().parse().expect("a number")
    };
    let known = by_id(&spans);
    let below = |span: &Span, name: &str| {
        span.parent_span_id.and_then(|id| known.get(&(span.trace_id, id))).is_some_and(|parent| parent.name == name)
    };
    let mut all = 0;
    for (name, made) in [("price", PRICES), ("UPDATE", QUERIES)] {
        let delivered = of(&spans, name).filter(|span| below(span, "report")).count() as u64;
        let (count, duration) = (number(name, ".count"), number(name, ".duration"));
        assert_eq!(delivered + count, made, "{name}");
        assert!(delivered >= 100 && count >= made / 2, "{name}: {delivered} delivered");
        assert!(duration > 0 && duration < count * 100_000, "{name}: {count} took {duration} ns");
        all += count;
    }
    assert_eq!(folded(&samples), all);
    assert_eq!(of(&spans, "price").filter(|span| below(span, "basket")).count() as u64, OTHERS);
    assert_eq!(of(&spans, "price").filter(|span| span.parent_span_id.is_none()).count() as u64, OTHERS);
    assert_eq!(of(&spans, "basket").count() as u64, OTHERS);
    let failed = of(&spans, "refuse").filter(|span| span.status.code == StatusCode::Error);
    assert_eq!(failed.count() as u64, OTHERS);
    for span in &spans {
        let is_whole = span.parent_span_id.is_none_or(|id| known.contains_key(&(span.trace_id, id)));
        assert!(is_whole, "nothing is below what was folded: {span:?}");
    }
}

/// Scenarios: nothing sampled, and folding switched off.
#[test]
fn nothing_is_folded_that_is_not_there_or_is_wanted() {
    if crate::support::is_without_go("noise nothing_is_folded_that_is_not_there_or_is_wanted") {
        return;
    }
    let (spans, samples) = observe("", &[("OTEL_TRACES_SAMPLER", "always_off")]);
    assert_eq!((spans.len(), folded(&samples)), (0, 0));
    let (spans, samples) = observe("fold: {enabled: false}\n", &[]);
    assert_eq!((spans.len() as u64, folded(&samples)), (1 + PRICES + QUERIES + 4 * OTHERS, 0));
}
