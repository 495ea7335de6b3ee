//! Beside the user's own OpenTelemetry: spans made by hand, with and without an SDK, and libraries that are instrumented by hand
//! although they are woven.
//!
//! Guarantees: what the API is told arrives, below and above woven spans as the program's contexts say; what an SDK's exporter
//! sees Tandem sees too, with the same ids and parents, and the SDK's sampler decides as if nothing were woven; one span an
//! operation, whoever else instruments it. Each program checks for itself what the API must answer, and fails else.

use std::collections::BTreeMap;

use model::{Source, Span, Value};
use serde::Deserialize;

use crate::program::{Observed, observe, woven_program};
use crate::tree::tree;

fn run_program(pack: &str, environment: &[(&str, &str)]) -> Observed {
    observe(&woven_program(pack), environment.iter().copied())
}

/// What the program's own exporter saw of a span.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exported {
    trace: String,
    span: String,
    parent: String,
    name: String,
    attributes: BTreeMap<String, Value>,
    events: usize,
    links: usize,
    status: String,
}

fn find<'a>(spans: &'a [Span], trace: &str, span: &str) -> &'a Span {
    let is = |one: &&Span| one.trace_id.to_string() == trace && one.span_id.to_string() == span;
    spans.iter().find(is).unwrap_or_else(|| panic!("Tandem has no span {span} of trace {trace}"))
}

fn parent_of(span: &Span) -> String {
    span.parent_span_id.map(|id| id.to_string()).unwrap_or_default()
}

/// With no SDK, Tandem records: all that a span can have, in the right place.
#[test]
fn spans_made_by_hand() {
    if crate::support::is_without_go("opentelemetry by hand") {
        return;
    }
    let Observed { spans, .. } = run_program("otel", &[]);
    insta::assert_snapshot!("otel", tree(&spans));
    for span in &spans {
        let expected = if span.scope.starts_with("tandem/") { Source::Woven } else { Source::Api };
        assert_eq!(span.source, expected, "{span:?}");
    }
    let timed = spans.iter().find(|span| span.name == "at a time").expect("it");
    assert_eq!((timed.start_unix_nano, timed.duration_ns), (1_700_000_000_123_456_789, 1_000_000_000));
    let contents = spans.iter().find(|span| span.name == "contents, renamed").expect("it");
    let earlier = contents.events.iter().find(|event| event.name == "earlier").expect("its event");
    assert_eq!(earlier.time_unix_nano, 1_700_000_000_000_000_005);
}

/// With `OTEL_SDK_DISABLED` the API does what it does without Tandem.
#[test]
fn spans_made_by_hand_are_switched_off() {
    if crate::support::is_without_go("opentelemetry off") {
        return;
    }
    let Observed { spans, .. } = run_program("otel-trace", &[("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(spans.len(), 0, "{}", tree(&spans));
}

/// With an SDK both see the same, and the SDK decides for its own exporter.
#[test]
fn beside_an_sdk() {
    if crate::support::is_without_go("opentelemetry sdk") {
        return;
    }
    let Observed { spans, finished, .. } = run_program("otel-sdk", &[]);
    insta::assert_snapshot!("otel-sdk", tree(&spans));
    let lines = finished.stdout.lines().filter(|line| line.starts_with('{'));
    let exported: Vec<Exported> =
        lines.map(|line| serde_json::from_str(line).expect("a line of the exporter")).collect();
    assert!(exported.len() > 8, "{finished}");
    for theirs in &exported {
        let ours = find(&spans, &theirs.trace, &theirs.span);
        assert_eq!((&ours.name, parent_of(ours)), (&theirs.name, theirs.parent.clone()), "{theirs:?}");
        assert_eq!(ours.attributes, theirs.attributes.clone().into_iter().collect(), "{theirs:?}");
        assert_eq!((ours.events.len(), ours.links.len()), (theirs.events, theirs.links), "{theirs:?}");
        assert_eq!(format!("{:?}", ours.status.code), theirs.status, "{theirs:?}");
    }
    // The third request is the first to be dropped by the SDK; Tandem has its spans, and nothing else is missing.
    let made_by_hand = spans.iter().filter(|span| span.source == Source::Api).count();
    assert_eq!(made_by_hand, exported.len() + 2, "{}", tree(&spans));
    let flags: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("flags of ")).collect();
    assert_eq!(
        flags,
        ["flags of /kept: 01", "flags of /dropped: 00", "flags of /kept: 01", "flags of /dropped: 01"],
        "the SDK's decision travels on"
    );
}

/// Ports without numbers: which of two connections was made first is chance.
fn unnumbered(tree: &str) -> String {
    let mut parts = tree.split("<port ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "<port" + part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// otelhttp, otelgrpc and otelsql in the program: one span an operation, the same tree with an SDK and without.
#[test]
fn instrumented_twice() {
    if crate::support::is_without_go("opentelemetry contrib") {
        return;
    }
    let Observed { spans: alone, .. } = run_program("otel-trace", &[]);
    let Observed { spans: beside, finished, .. } = run_program("otel-trace", &[("SDK", "1")]);
    let tree_alone = unnumbered(&tree(&alone));
    assert_eq!(unnumbered(&tree(&beside)), tree_alone);
    insta::assert_snapshot!("otel-contrib", tree_alone);
    let mut exported = 0;
    for line in finished.stdout.lines() {
        let [trace, span, parent, _kind, name] = line.splitn(5, ' ').collect::<Vec<_>>()[..] else { continue };
        exported += 1;
        if name.contains("reset_session") || name.contains("rows") {
            continue; // parts of an operation, which for Tandem belong to its span
        }
        let ours = find(&beside, trace, span);
        let theirs = parent.trim_matches('0').len();
        assert_eq!(parent_of(ours), if theirs == 0 { "" } else { parent }, "{line}");
    }
    assert!(exported >= 10, "{finished}");
}
