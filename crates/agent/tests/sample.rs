//! The sampling stage: what each policy keeps, the Collector's words, and that no span is lost or doubled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use agent::regulate::objectives::Wanted;
use agent::regulate::settings::wanted;
use agent::sample::policy::{Policies, Verdict, Weight};
use agent::sample::threshold::Told;
use agent::sample::trace::{Trace, TraceSpan};
use agent::sample::{POLICY_ATTRIBUTE, Stage};
use agent::{Sampling, Settings, SettingsError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

const MS: u64 = 1_000_000;
const FLAGS_LOCAL: u32 = 0x101;

fn read(text: &str) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, text).expect("it can be written");
    Settings::read(&file)
}

fn sampling(text: &str) -> Sampling {
    read(text).unwrap_or_else(|error| panic!("{error}")).sampling.expect("a section")
}

fn policies(list: &str) -> Policies {
    sampling(&format!("sampling:\n  policies:\n{list}")).policies().unwrap_or_else(|problem| panic!("{}", problem.text))
}

/// One policy of a type, with what it needs to know.
fn one(kind: &str, section: &str) -> Policies {
    let section = if section.is_empty() { String::new() } else { format!("\n      {kind}: {section}") };
    policies(&format!("    - name: p\n      type: {kind}{section}\n"))
}

fn any(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: any(value), ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.to_owned()))
}

fn resource(service: &str) -> Resource {
    Resource { attributes: vec![text("service.name", service)], ..Default::default() }
}

/// A span from one millisecond of its trace to another; without parent where that is 0.
fn span(trace: u8, id: u8, parent: u8, from_ms: u64, to_ms: u64) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("operation {id}"),
        start_time_unix_nano: 1_000_000_000 + from_ms * MS,
        end_time_unix_nano: 1_000_000_000 + to_ms * MS,
        flags: FLAGS_LOCAL,
        ..Default::default()
    }
}

fn with(mut span: Span, attributes: impl IntoIterator<Item = KeyValue>) -> Span {
    span.attributes.extend(attributes);
    span
}

fn failed(mut span: Span) -> Span {
    span.status = Some(Status { code: 2, ..Default::default() });
    span
}

/// Lets policies decide on a trace of these spans, at this time.
fn decide_at(policies: &mut Policies, service: &str, spans: &[Span], now: Duration) -> Verdict {
    let resource = resource(service).encode_to_vec();
    let bytes: Vec<Vec<u8>> = spans.iter().map(Message::encode_to_vec).collect();
    let spans: Vec<_> = bytes.iter().map(|bytes| TraceSpan::read(bytes, &resource).expect("a span")).collect();
    policies.decide(&Trace::new(spans[0].fields.trace_id, &spans), now)
}

fn decide(policies: &mut Policies, spans: &[Span]) -> Verdict {
    decide_at(policies, "shop", spans, Duration::ZERO)
}

fn keeps(policies: &mut Policies, spans: &[Span]) -> bool {
    matches!(decide(policies, spans), Verdict::Keep(..))
}

#[test]
fn always_sample_keeps_all() {
    assert_eq!(decide(&mut one("always_sample", ""), &[span(1, 1, 0, 0, 1)]), Verdict::Keep(0, Weight::Same));
}

#[test]
fn latency_is_of_the_whole_trace() {
    let mut slow = one("latency", "{threshold_ms: 50}");
    assert!(keeps(&mut slow, &[span(1, 1, 0, 0, 50)]));
    assert!(!keeps(&mut slow, &[span(1, 1, 0, 0, 49)]));
    assert!(keeps(&mut slow, &[span(1, 2, 1, 0, 10), span(1, 3, 1, 45, 60)]), "from the first start to the last end");
    let mut between = one("latency", "{threshold_ms: 50, upper_threshold_ms: 100}");
    for (took, kept) in [(50, false), (51, true), (100, true), (101, false)] {
        assert_eq!(keeps(&mut between, &[span(1, 1, 0, 0, took)]), kept, "{took}");
    }
}

#[test]
fn numeric_attributes_lie_in_a_range() {
    let with_number = |number| [with(span(1, 1, 0, 0, 1), [pair("n", Any::IntValue(number))])];
    let mut range = one("numeric_attribute", "{key: n, min_value: 50, max_value: 100}");
    for (number, kept) in [(49, false), (50, true), (100, true), (101, false)] {
        assert_eq!(keeps(&mut range, &with_number(number)), kept, "{number}");
    }
    assert!(keeps(&mut range, &[with(span(1, 1, 0, 0, 1), [pair("n", Any::DoubleValue(99.5))])]));
    assert!(!keeps(&mut range, &[with(span(1, 1, 0, 0, 1), [text("n", "60")])]));
    assert!(keeps(&mut one("numeric_attribute", "{key: n, min_value: 50}"), &with_number(i64::MAX)));
    let mut inverted = one("numeric_attribute", "{key: n, min_value: 50, invert_match: true}");
    assert_eq!(decide(&mut inverted, &with_number(60)), Verdict::Drop(Some(0)));
    assert!(keeps(&mut inverted, &with_number(4)) && keeps(&mut inverted, &[span(1, 1, 0, 0, 1)]));
}

#[test]
fn string_attributes_are_those_of_spans_and_resources() {
    let spans = [span(1, 1, 0, 0, 1), with(span(1, 2, 1, 0, 1), [text("http.route", "/v1/name/ann")])];
    let route = |section: &str| one("string_attribute", &format!("{{key: http.route, {section}}}"));
    assert!(keeps(&mut route("values: [/a, /v1/name/ann]"), &spans));
    assert!(!keeps(&mut route("values: [/v1/name]"), &spans), "the whole text");
    assert!(keeps(&mut route("values: [/v1/name/.+], enabled_regex_matching: true, cache_max_size: 10"), &spans));
    assert!(keeps(&mut route("values: ['name'], enabled_regex_matching: true"), &spans), "found anywhere");
    assert!(!keeps(&mut route("values: ['^name'], enabled_regex_matching: true"), &spans));
    assert!(keeps(&mut one("string_attribute", "{key: service.name, values: [shop]}"), &spans));
    let mut inverted = route("values: [/v1/name/ann], invert_match: true");
    assert_eq!(decide(&mut inverted, &spans), Verdict::Drop(Some(0)));
    assert!(keeps(&mut inverted, &spans[..1]));
}

#[test]
fn boolean_attributes() {
    let flagged = |flag| [with(span(1, 1, 0, 0, 1), [pair("app.force", Any::BoolValue(flag))])];
    let mut forced = one("boolean_attribute", "{key: app.force, value: true}");
    assert!(keeps(&mut forced, &flagged(true)));
    assert!(!keeps(&mut forced, &flagged(false)) && !keeps(&mut forced, &[span(1, 1, 0, 0, 1)]));
    let mut inverted = one("boolean_attribute", "{key: app.force, value: true, invert_match: true}");
    assert!(!keeps(&mut inverted, &flagged(true)) && keeps(&mut inverted, &flagged(false)));
}

#[test]
fn status_codes_of_any_span() {
    let spans = [span(1, 1, 0, 0, 1), failed(span(1, 2, 1, 0, 1))];
    assert!(keeps(&mut one("status_code", "{status_codes: [ERROR]}"), &spans));
    assert!(!keeps(&mut one("status_code", "{status_codes: [OK]}"), &spans));
    assert!(keeps(&mut one("status_code", "{status_codes: [OK, UNSET]}"), &spans));
}

#[test]
fn span_counts_are_inclusive() {
    let spans = |count: u8| (1..=count).map(|id| span(1, id, 0, 0, 1)).collect::<Vec<_>>();
    let mut some = one("span_count", "{min_spans: 2, max_spans: 3}");
    for (count, kept) in [(1, false), (2, true), (3, true), (4, false)] {
        assert_eq!(keeps(&mut some, &spans(count)), kept, "{count}");
    }
    assert!(keeps(&mut one("span_count", "{max_spans: 3}"), &spans(1)));
    assert!(keeps(&mut one("span_count", "{min_spans: 3}"), &spans(9)));
}

#[test]
fn trace_state_and_flags() {
    let mut stated = span(1, 1, 0, 0, 1);
    stated.trace_state = "a=1, k=v2".to_owned();
    let mut policy = one("trace_state", "{key: k, values: [v1, v2]}");
    assert!(keeps(&mut policy, &[stated]) && !keeps(&mut policy, &[span(1, 1, 0, 0, 1)]));
    let mut unsampled = span(1, 1, 0, 0, 1);
    unsampled.flags = 0x100;
    assert!(keeps(&mut one("trace_flags", ""), &[span(1, 1, 0, 0, 1)]));
    assert!(!keeps(&mut one("trace_flags", ""), &[unsampled]));
}

/// A trace whose id ends in these 56 bits.
fn random(bits: u64, tracestate: &str) -> Span {
    let mut span = span(1, 1, 0, 0, 1);
    span.trace_id[8..].copy_from_slice(&bits.to_be_bytes());
    span.trace_state = tracestate.to_owned();
    span
}

#[test]
fn a_share_follows_the_randomness_of_the_trace_and_the_threshold_it_came_with() {
    let half = 1 << 55;
    let mut policy = one("probabilistic", "{sampling_percentage: 50, hash_salt: any}");
    assert_eq!(decide(&mut policy, &[random(half, "")]), Verdict::Keep(0, Weight::Threshold(1 << 55)));
    assert!(!keeps(&mut policy, &[random(half - 1, "")]));
    // Of those that another sampler kept with a half, a half: the upper quarter of all.
    assert!(keeps(&mut policy, &[random(half / 2 * 3, "ot=th:8")]));
    assert!(!keeps(&mut policy, &[random(half / 2 * 3 - 1, "ot=th:8")]));
    assert!(keeps(&mut policy, &[random(0, "ot=rv:ffffffffffffff")]), "a randomness that is told");
    assert!(!keeps(&mut one("probabilistic", "{sampling_percentage: 0}"), &[random(u64::MAX >> 8, "")]));
    assert_eq!(
        decide(&mut one("probabilistic", "{sampling_percentage: 100}"), &[random(0, "ot=th:8")]),
        Verdict::Keep(0, Weight::Same)
    );
}

#[test]
fn rates_are_of_spans_and_bytes() {
    let at = Duration::from_millis;
    let two = [span(1, 1, 0, 0, 1), span(1, 2, 1, 0, 1)];
    let mut rate = one("rate_limiting", "{spans_per_second: 2}");
    let kept = |policy: &mut Policies, time| matches!(decide_at(policy, "shop", &two, time), Verdict::Keep(..));
    assert!(kept(&mut rate, at(0)) && kept(&mut rate, at(0)) && !kept(&mut rate, at(900)), "twice as much at once");
    assert!(kept(&mut rate, at(1000)) && !kept(&mut rate, at(1100)));
    let mut rate = one("rate_limiting", "{spans_per_second: 2, burst_capacity: 1}");
    assert!(!kept(&mut rate, at(0)), "a trace that is larger never passes");
    let size: usize = two.iter().map(Message::encoded_len).sum();
    let mut rate = one("bytes_limiting", &format!("{{bytes_per_second: {size}, burst_capacity: {size}}}"));
    assert!(kept(&mut rate, at(0)) && !kept(&mut rate, at(500)) && kept(&mut rate, at(1000)));
}

#[test]
fn and_not_drop() {
    let slow_and_failed = "    - name: p
      type: and
      and:
        and_sub_policy:
          - {name: a, type: latency, latency: {threshold_ms: 50}}
          - {name: b, type: status_code, status_code: {status_codes: [ERROR]}}
";
    let mut policy = policies(slow_and_failed);
    assert!(keeps(&mut policy, &[failed(span(1, 1, 0, 0, 60))]));
    assert!(!keeps(&mut policy, &[span(1, 1, 0, 0, 60)]) && !keeps(&mut policy, &[failed(span(1, 1, 0, 0, 1))]));

    let mut not = one("not", "{not_sub_policy: {name: a, type: latency, latency: {threshold_ms: 50}}}");
    assert!(keeps(&mut not, &[span(1, 1, 0, 0, 1)]) && !keeps(&mut not, &[span(1, 1, 0, 0, 60)]));

    let health = "    - {name: all, type: always_sample}
    - name: health
      type: drop
      drop:
        drop_sub_policy:
          - name: a
            type: string_attribute
            string_attribute: {key: url.path, values: [\\/health, \\/metrics], enabled_regex_matching: true}
";
    let mut policy = policies(health);
    let health = with(span(1, 1, 0, 0, 1), [text("url.path", "/health")]);
    assert_eq!(decide(&mut policy, &[health]), Verdict::Drop(Some(1)), "drop comes before all");
    assert_eq!(decide(&mut policy, &[span(1, 1, 0, 0, 1)]), Verdict::Keep(0, Weight::Same));
}

/// An inverted match drops what it finds, and keeps what it does not find unless another policy votes against it; inside of
/// other policies it is the opposite of the match, and no more.
#[test]
fn inverted_matches_have_their_own_place() {
    let inverted = "    - name: not-ann
      type: string_attribute
      string_attribute: {key: user, values: [ann], invert_match: true}
";
    let slow = "    - {name: slow, type: latency, latency: {threshold_ms: 50}}\n";
    let ann = |took| [with(span(1, 1, 0, 0, took), [text("user", "ann")])];
    let bob = |took| [with(span(1, 1, 0, 0, took), [text("user", "bob")])];
    let mut both = policies(&format!("{slow}{inverted}"));
    assert_eq!(decide(&mut both, &ann(60)), Verdict::Drop(Some(1)), "though it is slow");
    assert_eq!(decide(&mut both, &bob(60)), Verdict::Keep(0, Weight::Same));
    assert_eq!(decide(&mut both, &bob(1)), Verdict::Drop(None), "as the other one does not fit");
    assert_eq!(decide(&mut policies(inverted), &bob(1)), Verdict::Keep(0, Weight::Same));
    let nested = "    - name: p
      type: and
      and:
        and_sub_policy:
          - {name: a, type: string_attribute, string_attribute: {key: user, values: [ann], invert_match: true}}
          - {name: b, type: always_sample}
    - {name: slow, type: latency, latency: {threshold_ms: 50}}
";
    let mut nested = policies(nested);
    assert_eq!(decide(&mut nested, &ann(60)), Verdict::Keep(1, Weight::Same));
    assert_eq!(decide(&mut nested, &bob(1)), Verdict::Keep(0, Weight::Same));
}

#[test]
fn a_composite_gives_each_part_its_share_of_the_rate() {
    let mut composite = policies(
        "    - name: c
      type: composite
      composite:
        max_total_spans_per_second: 10
        policy_order: [slow, failed, rest]
        composite_sub_policy:
          - {name: rest, type: always_sample}
          - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
          - {name: slow, type: latency, latency: {threshold_ms: 50}}
        rate_allocation:
          - {policy: slow, percent: 50}
          - {policy: failed, percent: 20}
",
    );
    let mut kept = |spans: &[Span], times: usize, now: u64| {
        (0..times)
            .filter(|_| {
                let verdict = decide_at(&mut composite, "shop", spans, Duration::from_millis(now));
                assert!(verdict == Verdict::Drop(None) || verdict == Verdict::Keep(0, Weight::Unknown));
                verdict != Verdict::Drop(None)
            })
            .count()
    };
    let (slow, error, rest) = ([span(1, 1, 0, 0, 60)], [failed(span(1, 1, 0, 0, 1))], [span(1, 1, 0, 0, 1)]);
    assert_eq!(kept(&slow, 9, 0), 5);
    assert_eq!(kept(&error, 9, 100), 2);
    assert_eq!(kept(&rest, 9, 200), 3, "what is left over");
    assert_eq!(
        kept(&[slow[0].clone(), error[0].clone()], 9, 1000),
        2,
        "two spans each: the order decides, not the rest"
    );
    assert_eq!(kept(&slow, 9, 1100), 1, "a smaller one still finds room");
}

/// What keeps all that fits stands for itself; a share beside it does not make it stand for more.
#[test]
fn the_weight_is_that_of_the_surest_policy() {
    let both = "    - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 50}}
    - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
";
    let (high, low) = (random(u64::MAX >> 8, ""), random(0, ""));
    for first in ["", "  sample_on_first_match: true\n"] {
        let text = format!("sampling:\n{first}  policies:\n{both}");
        let mut both = sampling(&text).policies().expect("policies");
        assert_eq!(decide(&mut both, std::slice::from_ref(&high)), Verdict::Keep(0, Weight::Threshold(1 << 55)));
        assert_eq!(decide(&mut both, &[failed(high.clone())]), Verdict::Keep(0, Weight::Same));
        assert_eq!(decide(&mut both, &[failed(low.clone())]), Verdict::Keep(1, Weight::Same));
        assert_eq!(decide(&mut both, std::slice::from_ref(&low)), Verdict::Drop(None));
    }
}

fn part(name: &str, milliseconds: u64) -> KeyValue {
    pair(&format!("tandem.anatomy.{name}"), Any::IntValue((milliseconds * MS).cast_signed()))
}

#[test]
fn anatomy_looks_at_parts_of_spans() {
    let waited =
        |time| [span(1, 1, 0, 0, 100), with(span(1, 2, 1, 0, 90), [part("run_queue", time), part("on_cpu", 5)])];
    let mut long = one("anatomy", "{part: run_queue, threshold_ms: 50}");
    assert!(keeps(&mut long, &waited(50)) && !keeps(&mut long, &waited(49)));
    let mut share = one("anatomy", "{part: run_queue, share: 0.3}");
    assert!(keeps(&mut share, &waited(30)) && !keeps(&mut share, &waited(29)), "of the trace's time");
    let mut both = one("anatomy", "{part: run_queue, share: 0.3, threshold_ms: 50}");
    assert!(keeps(&mut both, &waited(50)) && !keeps(&mut both, &waited(40)));
}

#[test]
fn unexplained_time_is_what_neither_children_nor_parts_account_for() {
    let mut policy = one("anatomy", "{part: unexplained, threshold_ms: 40}");
    let root = || span(1, 1, 0, 0, 100);
    assert!(keeps(&mut policy, &[root()]), "nothing was measured");
    let full = |cpu, network| with(root(), [part("on_cpu", cpu), part("go_network", network)]);
    assert!(keeps(&mut policy, &[full(40, 60)]), "on the CPU, and no child says why");
    assert!(!keeps(&mut policy, &[full(39, 61)]));
    assert!(!keeps(&mut policy, &[with(root(), [part("go_network", 61)])]), "the part on the CPU is the rest");
    let child = |id, from, to| with(span(1, id, 1, from, to), [part("go_sync", to - from)]);
    assert!(!keeps(&mut policy, &[full(90, 10), child(2, 0, 61)]), "a child covers it");
    assert!(keeps(&mut policy, &[full(90, 10), child(2, 0, 40), child(3, 20, 60)]), "twice covered is covered once");
    assert!(!keeps(&mut policy, &[full(90, 10), child(2, 50, 200), child(3, 0, 15)]), "no more than to its own end");
    let mut share = one("anatomy", "{part: unexplained, share: 0.5}");
    assert!(keeps(&mut share, &[full(50, 50)]) && !keeps(&mut share, &[full(49, 51)]));
}

#[test]
fn novelty_keeps_the_first_of_a_shape() {
    let mut policy = one("novelty", "{traces: 2, window: 1m}");
    let at = Duration::from_secs;
    let shape = |trace| [span(trace, 1, 0, 0, 10), span(trace, 2, 1, 0, 5)];
    let mut kept =
        |spans: &[Span], service: &str, now| matches!(decide_at(&mut policy, service, spans, now), Verdict::Keep(..));
    assert!(kept(&shape(1), "shop", at(0)) && kept(&shape(2), "shop", at(1)) && !kept(&shape(3), "shop", at(2)));
    assert!(kept(&shape(4), "stock", at(3)), "another service");
    assert!(kept(&[span(5, 1, 0, 0, 10), failed(span(5, 2, 1, 0, 5))], "shop", at(4)), "it failed");
    assert!(kept(&[span(6, 1, 0, 0, 10), span(6, 2, 0, 0, 5)], "shop", at(5)), "another parent");
    let twice = [span(7, 1, 0, 0, 10), span(7, 2, 1, 0, 5), span(7, 2, 1, 5, 9)];
    assert!(!kept(&twice, "shop", at(6)), "how often is no matter");
    assert!(kept(&shape(8), "shop", at(60)), "new again");
    assert!(keeps(&mut one("novelty", ""), &shape(1)));
}

#[test]
fn baseline_keeps_what_is_slower_than_its_route_is_otherwise() {
    let mut policy = one("baseline", "{quantile: 0.9, min_count: 50, factor: 1.5}");
    let route = |name: &str, took| {
        let mut root = span(1, 1, 0, 0, took);
        root.name = name.to_owned();
        [root]
    };
    for number in 0..50 {
        assert!(!keeps(&mut policy, &route("GET /a", 1000 + number)), "there are too few yet");
        assert!(!keeps(&mut policy, &route("GET /b", 10)));
    }
    assert!(keeps(&mut policy, &route("GET /b", 20)));
    assert!(!keeps(&mut policy, &route("GET /b", 14)) && !keeps(&mut policy, &route("GET /a", 1100)));
    assert!(!keeps(&mut policy, &route("GET /c", 100_000)), "a route of which nothing is known");
}

const COLLECTOR: &str = include_str!("sampling/collector.yaml");

/// A file as it is written for the Collector is understood, every type of it.
#[test]
fn the_collectors_own_words_are_understood() {
    let settings = sampling(COLLECTOR);
    let policies = settings.policies().unwrap_or_else(|problem| panic!("{}", problem.text));
    assert_eq!(policies.all().len(), 16);
    assert_eq!(settings.decision_wait.map(|wait| wait.0), Some(Duration::from_secs(90)));
    assert_eq!(settings.decision_cache.sampled_cache_size.map(|size| size.0), Some(100_000));
    Stage::new(&settings).expect("a stage");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let wrong = |policy: &str, at: &str, says: &str| {
        let said = read(&format!("sampling:\n  policies:\n    - {policy}\n")).expect_err("it is wrong").to_string();
        assert!(said.contains(at) && said.contains(says), "{said}");
    };
    wrong("{name: a, type: latency}", "agent.yaml:3: sampling.policies[0]", "latency: {threshold_ms: 500}");
    wrong("{name: a, type: ottl_condition, ottl_condition: {span: [x]}}", ":3:", "ottl_condition is not supported");
    wrong("{name: a, type: sometimes}", ":3:", "sometimes");
    wrong(
        "{name: a, type: always_sample}\n    - {name: a, type: trace_flags}",
        ":4: sampling.policies[1]",
        "another policy \"a\"",
    );
    wrong("{name: '', type: always_sample}", ":3:", "needs a name");
    wrong(
        "name: a\n      type: latency\n      latency: {threshold_ms: soon}",
        ":5: sampling.policies[0].latency",
        "soon",
    );
    wrong("name: a\n      type: latency\n      rate_limiting: {spans_per_second: 1}", ":4:", "there is rate_limiting");
    wrong("{name: a, type: numeric_attribute, numeric_attribute: {key: k}}", ":3:", "min_value");
    wrong(
        "{name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 2, max_value: 1}}",
        ":3:",
        "larger",
    );
    wrong(
        "{name: a, type: string_attribute, string_attribute: {key: k, values: ['('], enabled_regex_matching: true}}",
        ":3:",
        "unclosed group",
    );
    wrong("{name: a, type: anatomy, anatomy: {part: luck, threshold_ms: 1}}", ":3:", "run_queue");
    wrong("{name: a, type: anatomy, anatomy: {part: on_cpu}}", ":3:", "share");
    wrong("{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop}]}}", ":3:", "write not");
    wrong("{name: a, type: baseline, baseline: {quantile: 2}}", ":3:", "from 0 to 1");
    let said = read("sampling: {policies: []}\n").expect_err("it is wrong").to_string();
    assert!(said.contains("agent.yaml:1: ") && said.contains("no policy"), "{said}");
    let said = read("sampling:\n  decision_wait: 10\n  policies: []\n").expect_err("it is wrong").to_string();
    assert!(said.contains("agent.yaml:2: sampling.decision_wait") && said.contains("write 500ms, 10s"), "{said}");
}

/// A request of these spans, of one service and scope.
fn request(service: &str, scope: &str, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope { name: scope.to_owned(), version: "1".to_owned(), ..Default::default() }),
        spans,
        schema_url: "https://example.org/scope".to_owned(),
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource(service)),
        scope_spans: vec![scope_spans],
        schema_url: "https://example.org/resource".to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// What came out: each span with its service and scope.
fn out(stage: &mut Stage) -> Vec<(String, String, Span)> {
    let mut spans = Vec::new();
    for batch in stage.take() {
        let request = ExportTraceServiceRequest::decode(batch.bytes.clone()).expect("a request");
        assert_eq!(request.resource_spans.len(), 1, "one resource a batch");
        let before = spans.len();
        for group in request.resource_spans {
            assert_eq!(group.schema_url, "https://example.org/resource");
            assert_eq!(group.resource, Some(resource(batch.resource.service())));
            for scope in group.scope_spans {
                assert_eq!(scope.schema_url, "https://example.org/scope");
                let name = scope.scope.expect("a scope").name;
                spans.extend(
                    scope.spans.into_iter().map(|span| (batch.resource.service().to_owned(), name.clone(), span)),
                );
            }
        }
        assert_eq!(spans.len() - before, batch.records as usize);
    }
    spans
}

fn reason(span: &Span) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == POLICY_ATTRIBUTE)?;
    match attribute.value.clone()?.value? {
        Any::StringValue(text) => Some(text),
        _ => None,
    }
}

const ERRORS: &str = "sampling:
  decision_wait: 10s
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
";

/// A trace waits until its time has come; then late spans follow the decision.
#[test]
fn traces_wait_and_late_spans_follow() {
    let mut stage = Stage::new(&sampling(&ERRORS.replace("ERROR]", "OK]"))).expect("a stage");
    let at = Duration::from_secs;
    // Slow only as a whole: no span alone makes it certain.
    stage.take_in(&request("shop", "http", vec![span(1, 2, 1, 0, 300), span(2, 1, 0, 0, 10)]), 2, at(0));
    stage.take_in(&request("stock", "grpc", vec![span(1, 3, 2, 400, 600)]), 1, at(5));
    assert!(!stage.decide_due(at(9), 100) && out(&mut stage).is_empty());
    assert_eq!(stage.held()[..2], [2, 3]);
    stage.decide_due(at(10), 100);
    let kept = out(&mut stage);
    assert_eq!(kept.iter().map(|(service, ..)| service.as_str()).collect::<Vec<_>>(), ["stock", "shop"]);
    assert_eq!(
        kept.iter().filter_map(|(.., span)| reason(span)).collect::<Vec<_>>(),
        ["slow"],
        "once, as there is no root yet"
    );
    assert_eq!(stage.held()[..2], [0, 0]);
    stage.take_in(&request("shop", "http", vec![span(1, 1, 0, 0, 700), span(2, 2, 1, 0, 5)]), 2, at(11));
    let late = out(&mut stage);
    assert_eq!((late.len(), reason(&late[0].2).as_deref()), (1, Some("slow")), "the root says it, too");
    let counts = stage.counts();
    assert_eq!((counts.kept.as_slice(), counts.unwanted, counts.late), (&[0, 1][..], 1, [1, 1]));
    assert_eq!((counts.kept_spans, counts.dropped_spans), (3, 2));
}

/// What an objective wants is kept behind all policies, and says so: slow requests of its service, as long as nothing is missed.
#[test]
fn objectives_keep_traces() {
    let text = "objectives:\n  - {service: shop, p99: 100ms, slow_kept: 100%}\n";
    let settings = read(text).unwrap_or_else(|error| panic!("{error}"));
    let (_, objectives) = wanted(None, &settings.objectives).expect("nothing is wrong").expect("an objective");
    let mut stage = Stage::with(&sampling(ERRORS), Some(Arc::new(Wanted::new(&objectives)))).expect("a stage");
    let served = |trace, took| Span { kind: 2, ..span(trace, 1, 0, 0, took) };
    stage.take_in(&request("shop", "http", vec![served(1, 101), served(2, 100)]), 2, Duration::ZERO);
    stage.take_in(&request("bank", "http", vec![served(3, 101), served(4, 501)]), 2, Duration::ZERO);
    stage.decide_due(Duration::from_secs(10), 100);
    let mut kept: Vec<_> = out(&mut stage).into_iter().map(|(.., span)| (span.trace_id[0], reason(&span))).collect();
    kept.sort();
    assert_eq!(kept, [(1, Some("objective".to_owned())), (4, Some("slow".to_owned()))]);
}

/// A span that makes the decision certain ends the wait; unless a policy could still drop the trace.
#[test]
fn what_is_certain_does_not_wait() {
    let spans = || vec![span(1, 2, 1, 0, 1), failed(span(1, 3, 1, 1, 2)), span(1, 1, 0, 0, 3)];
    let mut stage = Stage::new(&sampling(ERRORS)).expect("a stage");
    stage.take_in(&request("shop", "http", spans()), 3, Duration::ZERO);
    let kept = out(&mut stage);
    assert_eq!(kept.len(), 3);
    assert!(
        kept.iter()
            .filter(|(.., span)| span.span_id == [1; 8])
            .all(|(.., span)| reason(span).as_deref() == Some("errors"))
    );
    assert_eq!(stage.counts().early.get("certain"), Some(&1));
    let and_drop = "    - {name: d, type: drop, drop: {drop_sub_policy: [{name: a, type: latency, latency: {threshold_ms: 5}}]}}\n";
    let mut stage = Stage::new(&sampling(&format!("{ERRORS}{and_drop}"))).expect("a stage");
    stage.take_in(&request("shop", "http", spans()), 3, Duration::ZERO);
    assert!(out(&mut stage).is_empty());
    stage.decide_due(Duration::from_secs(10), 9);
    assert_eq!(out(&mut stage).len(), 3);
}

/// Where only chance decides nothing waits, and what is kept tells for how many it stands.
#[test]
fn chance_alone_decides_at_once_and_tells_the_threshold() {
    let text = "sampling: {policies: [{name: some, type: probabilistic, probabilistic: {sampling_percentage: 25}}]}\n";
    let mut stage = Stage::new(&sampling(text)).expect("a stage");
    let trace = |number: u64| {
        let bits = number << 50; // 64 traces, evenly
        let mut state = random(bits, "k=v");
        state.span_id = vec![9; 8];
        vec![random(bits, ""), state]
    };
    for number in 0..64 {
        stage.take_in(&request("shop", "http", trace(number)), 2, Duration::ZERO);
    }
    let kept = out(&mut stage);
    assert_eq!((kept.len(), stage.held()[0]), (32, 0));
    for (.., span) in &kept {
        assert_eq!(Told::read(span.trace_state.as_bytes()).threshold, Some(0xc0_0000_0000_0000));
        assert_eq!(span.flags, FLAGS_LOCAL);
    }
    let counted: f64 = kept.len() as f64 / 0.25;
    assert_eq!(counted, 128.0);
    // What was kept with a half already: its threshold goes up, and counts stay right.
    for number in 32..64 {
        let spans = vec![random(number << 50 | 1, "ot=th:8")];
        stage.take_in(&request("shop", "http", spans), 1, Duration::ZERO);
    }
    let kept = out(&mut stage);
    assert_eq!(kept.len(), 8);
    assert!(kept.iter().all(|(.., span)| span.trace_state == "ot=th:e"));
    // Processes that sampled for themselves: the trace came if any of them kept it, and each of its spans passed both.
    let spans = vec![random(0xf1 << 48, ""), random(0xf1 << 48, "ot=th:8"), random(0xf1 << 48, "ot=th:f")];
    let mut waits = Stage::new(&sampling(&format!(
        "{ERRORS}    - {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: 25}}}}\n"
    )))
    .expect("a stage");
    waits.take_in(&request("shop", "http", spans), 3, Duration::ZERO);
    while waits.decide_rest(Duration::ZERO, 1) {}
    let mut states: Vec<String> = out(&mut waits).into_iter().map(|(.., span)| span.trace_state).collect();
    states.sort();
    assert_eq!(states, ["ot=th:c", "ot=th:c", "ot=th:f"]);
}

#[test]
fn limits_of_memory_and_of_traces_decide_the_oldest_at_once() {
    let mut stage =
        Stage::new(&sampling(&ERRORS.replacen("  policies", "  memory_mib: 4\n  policies", 1))).expect("a stage");
    for number in 0..8000u64 {
        let spans = vec![with(random(number, ""), [text("padding", &"x".repeat(1000))])];
        stage.take_in(&request("shop", "http", spans), 1, Duration::ZERO);
        assert!(stage.held()[2] <= 4 << 20, "{:?}", stage.held());
    }
    let [traces, spans, _] = stage.held();
    let counts = stage.counts();
    assert!(traces > 3000 && traces == spans);
    assert_eq!(counts.early.get("memory"), Some(&(8000 - traces)));
    assert_eq!(counts.unwanted, 8000 - traces);
    // One that is larger than all there is.
    let huge = vec![with(span(1, 1, 0, 0, 1), [text("padding", &"x".repeat(4 << 20))])];
    stage.take_in(&request("shop", "http", huge), 1, Duration::ZERO);
    assert_eq!(stage.counts().lost.get("too_large"), Some(&1));

    let mut stage =
        Stage::new(&sampling(&ERRORS.replacen("  policies", "  num_traces: 10\n  policies", 1))).expect("a stage");
    for number in 0..25u64 {
        stage.take_in(&request("shop", "http", vec![random(number, "")]), 1, Duration::ZERO);
    }
    assert_eq!((stage.held()[0], stage.counts().early.get("num_traces")), (10, Some(&15)));
}

#[test]
fn at_the_end_what_is_held_is_decided_on() {
    let slow = || vec![span(1, 1, 2, 0, 300), span(1, 2, 3, 300, 600), span(2, 1, 0, 0, 1)];
    for (line, kept) in [("", 2), ("  drop_pending_traces_on_shutdown: true\n", 0)] {
        let mut stage =
            Stage::new(&sampling(&ERRORS.replacen("  policies", &format!("{line}  policies"), 1))).expect("a stage");
        stage.take_in(&request("shop", "http", slow()), 3, Duration::ZERO);
        assert!(!stage.decide_rest(Duration::from_secs(1), 100));
        assert_eq!(out(&mut stage).len(), kept);
        let counts = stage.counts();
        assert_eq!((counts.kept_spans, counts.dropped_spans), (kept as u64, 3 - kept as u64));
        assert_eq!(counts.early.get("stop"), Some(&2));
    }
}

#[test]
fn what_cannot_be_read_is_counted() {
    let mut stage =
        Stage::new(&sampling("sampling: {policies: [{name: all, type: always_sample}]}\n")).expect("a stage");
    let mut nameless = span(1, 1, 0, 0, 1);
    nameless.trace_id = vec![0; 16];
    let whole = request("shop", "http", vec![span(1, 1, 0, 0, 1), nameless, span(2, 1, 0, 0, 1)]);
    stage.take_in(&whole, 3, Duration::ZERO);
    assert_eq!((out(&mut stage).len(), stage.counts().lost.get("malformed")), (2, Some(&1)));
    stage.take_in(&whole[..whole.len() - 1], 3, Duration::ZERO);
    assert_eq!(stage.counts().lost.get("malformed"), Some(&4));
}

fn any_spans() -> impl Strategy<Value = Vec<(u8, u8, u8, bool, u64, u8)>> {
    // Trace, parent, service and scope, error, how long, seconds until the next batch.
    prop::collection::vec((1..12u8, 0..4u8, 0..4u8, prop::bool::weighted(0.1), 0..600u64, 0..4u8), 1..120)
}

proptest! {
    /// Whatever order spans come in, and whenever: all spans of a kept trace go on, once, with their resource and scope;
    /// none of another trace does; every span is counted.
    #[test]
    fn no_span_of_a_kept_trace_is_lost_or_doubled(
        spans in any_spans(),
        size in 1..9usize,
        limit in prop_oneof![Just(""), Just("  num_traces: 3\n")],
        more in prop_oneof![
            Just(""),
            Just("    - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 50}}\n"),
            Just("    - {name: new, type: novelty}\n"),
            Just("    - {name: few, type: rate_limiting, rate_limiting: {spans_per_second: 3}}\n"),
            Just("    - {name: d, type: drop, drop: {drop_sub_policy: [{name: a, type: span_count, span_count: {min_spans: 9}}]}}\n"),
        ],
    ) {
        let text = format!("{}{more}", ERRORS.replacen("  policies", &format!("{limit}  policies"), 1));
        let mut stage = Stage::new(&sampling(&text)).expect("a stage");
        let (mut now, mut came, mut went) = (Duration::ZERO, HashMap::new(), Vec::new());
        for (number, batch) in spans.chunks(size).enumerate() {
            let mut groups: BTreeMap<u8, Vec<Span>> = BTreeMap::new();
            for (index, &(trace, parent, place, error, took, pause)) in batch.iter().enumerate() {
                let mut made = span(trace, 1, parent, 0, took);
                made.trace_id[15] = trace.wrapping_mul(37);
                made.span_id = ((number * size + index + 1) as u64).to_be_bytes().to_vec();
                let made = if error { failed(made) } else { made };
                came.insert(made.span_id.clone(), (made.clone(), place));
                groups.entry(place).or_default().push(made);
                now += Duration::from_secs(pause.into());
            }
            for (place, spans) in groups {
                let (service, scope) = (["shop", "stock"][usize::from(place & 1)], ["http", "grpc"][usize::from(place >> 1)]);
                let count = spans.len() as u32;
                stage.take_in(&request(service, scope, spans), count, now);
            }
            while stage.decide_due(now, 2) {}
            went.extend(out(&mut stage));
        }
        while stage.decide_rest(now, 3) {}
        went.extend(out(&mut stage));
        let counts = stage.counts().clone();
        prop_assert_eq!(stage.held()[..2].to_vec(), vec![0, 0]);
        prop_assert_eq!(counts.kept_spans, went.len() as u64);
        prop_assert_eq!(counts.kept_spans + counts.dropped_spans, came.len() as u64);

        let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut kept_traces = std::collections::HashSet::new();
        for (service, scope, span) in &went {
            *seen.entry(span.span_id.clone()).or_default() += 1;
            kept_traces.insert(span.trace_id.clone());
            let (original, place) = &came[&span.span_id];
            prop_assert_eq!(service, ["shop", "stock"][usize::from(place & 1)]);
            prop_assert_eq!(scope, ["http", "grpc"][usize::from(place >> 1)]);
            let mut plain = span.clone();
            plain.attributes.retain(|attribute| attribute.key != POLICY_ATTRIBUTE);
            plain.trace_state.clone_from(&original.trace_state);
            prop_assert_eq!(&plain, original);
        }
        prop_assert!(seen.values().all(|&times| times == 1));
        let of_kept = came.values().filter(|(span, _)| kept_traces.contains(&span.trace_id)).count();
        prop_assert_eq!(of_kept, went.len(), "all spans of a kept trace go on");
    }

    /// Any bytes as a request: refused and counted, or sampled.
    #[test]
    fn any_request_does_no_harm(
        spans in any_spans(), at in 0..3000usize, byte: u8, cut in 0..3000usize, text in prop_oneof![Just(ERRORS), Just(COLLECTOR)],
    ) {
        let mut stage = Stage::new(&sampling(text)).expect("a stage");
        let made = spans.iter().map(|&(trace, parent, ..)| span(trace, 1, parent, 0, 1)).collect();
        let mut bytes = request("shop", "http", made);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut);
        stage.take_in(&bytes, spans.len() as u32, Duration::ZERO);
        while stage.decide_rest(Duration::from_secs(1), 10) {}
        stage.take();
    }
}
