//! Scenario: rules of `agent.yaml` and what passes through them. Guarantee: what a rule is about changes as it says, wherever it
//! stands; everything else stays as it was, to the byte.

use std::sync::Arc;

use agent::Settings;
use agent::attributes::{Rules, settings};
use bytes::Bytes;
use deliver::otlp::{check, decode, server::from_json};
use deliver::{Batch, Signal};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rules(yaml: &str) -> Rules {
    settings::rules(&read(yaml).expect("sound rules").attributes).expect("checked")
}

fn read(yaml: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, yaml).expect("it can be written");
    Settings::read(&file).map_err(|error| error.to_string().replace(&file.display().to_string(), "agent.yaml"))
}

fn attribute(key: &str, text: &str) -> Value {
    json!({"key": key, "value": {"stringValue": text}})
}

fn resource() -> Value {
    json!({"attributes": [attribute("service.name", "shop-a"), attribute("host.name", "h")]})
}

fn traces() -> Bytes {
    let id = "0102030405060708090a0b0c0d0e0f10";
    let span = json!({
        "traceId": id, "spanId": "0102030405060708", "name": "x",
        "attributes": [
            attribute("user.email", "jo@example.com"), attribute("http.method", "GET"), {"key": "port", "value": {"intValue": "80"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "card 4111-1111"}, {"intValue": "1"}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [attribute("inner", "4111-1111")]}}},
        ],
        "events": [{"name": "e", "timeUnixNano": "1", "attributes": [attribute("user.email", "jo@example.com")]}],
        "links": [{"traceId": id, "spanId": "0102030405060708", "attributes": [attribute("user.email", "jo@example.com")]}],
    });
    let other = json!({"traceId": id, "spanId": "0102030405060709", "name": "y", "attributes": [attribute("a", "b")]});
    let scope = json!({"scope": {"name": "s", "attributes": [attribute("user.email", "jo@example.com")]}, "spans": [span, other]});
    let request = json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [scope]}]});
    from_json::request(Signal::Traces, request.to_string().as_bytes()).expect("OTLP")
}

fn applied(yaml: &str, signal: Signal, bytes: &Bytes) -> Bytes {
    let batch = Arc::new(Batch { signal, resource: Arc::default(), bytes: bytes.clone(), records: 2 });
    let bytes = rules(yaml).apply(&batch).bytes.clone();
    check::request(signal, &bytes).expect("it is still OTLP");
    bytes
}

/// The spans as JSON, which names all there is.
fn shown(yaml: &str) -> Vec<Value> {
    let spans = decode::spans(&applied(yaml, Signal::Traces, &traces())).expect("spans");
    spans.iter().map(|span| json!({"span": span, "resource": &span.resource.attributes})).collect()
}

#[test]
fn each_action_does_what_it_says() {
    let text = |value: &Value| value.to_string();
    let dropped = shown("attributes:\n  - drop: [\"user.*\"]\n");
    assert!(!dropped.iter().any(|span| text(span).contains("jo@example.com")), "{dropped:?}");
    let only_event = shown("attributes:\n  - drop: [user.email]\n    on: [event]\n");
    assert_eq!(only_event[0]["span"]["events"][0]["attributes"], json!({}));
    assert_eq!(only_event[0]["span"]["attributes"]["user.email"], "jo@example.com");
    let renamed = shown(
        "attributes:\n  - rename: {from: http.method, to: http.request.method}\n  - rename: {from: port, to: list}\n",
    );
    let attributes = &renamed[0]["span"]["attributes"];
    assert_eq!((&attributes["http.request.method"], attributes.get("http.method")), (&json!("GET"), None));
    assert_eq!(
        (attributes["list"].is_array(), attributes.get("port")),
        (true, None),
        "what is there stays: {attributes}"
    );
    let set = shown(
        "attributes:\n  - set: {key: a, value: 7}\n  - insert: {key: http.method, value: nothing}\n  - insert: {key: stage, value: true}\n    on: [resource]\n",
    );
    assert_eq!((&set[1]["span"]["attributes"]["a"], &set[0]["span"]["attributes"]["a"]), (&json!(7), &json!(7)));
    assert_eq!(
        (&set[0]["span"]["attributes"]["http.method"], &set[1]["span"]["attributes"]["http.method"]),
        (&json!("GET"), &json!("nothing"))
    );
    assert_eq!((&set[0]["resource"]["stage"], &set[0]["resource"]["service.name"]), (&json!(true), &json!("shop-a")));
    let hashed = shown("attributes:\n  - hash: {keys: [user.email, port]}\n");
    let attributes = &hashed[0]["span"]["attributes"];
    // sha256sum says the same.
    assert_eq!(attributes["port"], "48449a14a4ff7d79bb7a1b6f3d488eba397c36ef25634c111b49baf362511afc");
    let keyed = shown("attributes:\n  - hash: {keys: [port], secret: s}\n");
    assert_ne!(keyed[0]["span"]["attributes"]["port"], attributes["port"]);
    let redacted = shown(
        "attributes:\n  - redact: {pattern: '\\d{4}-(\\d{4})', replacement: '****-$1'}\n  - redact: {keys: [http.*]}\n",
    );
    let attributes = &redacted[0]["span"]["attributes"];
    assert_eq!(
        (&attributes["list"], &attributes["map"]),
        (&json!(["card ****-1111", 1]), &json!({"inner": "****-1111"}))
    );
    assert_eq!((&attributes["http.method"], &attributes["port"]), (&json!("****"), &json!(80)));
    let in_order = shown(
        "attributes:\n  - rename: {from: user.email, to: who}\n  - hash: {keys: [user.email]}\n  - redact: {keys: [who], replacement: x}\n",
    );
    assert_eq!(in_order[0]["span"]["attributes"]["who"], "x");
}

/// A rule that is about something else leaves the very same bytes; a span that none is about is copied whole.
#[test]
fn conditions_hold() {
    let bytes = traces();
    for other in ["signals: [logs, metrics]", "services: [\"shop\", \"*-b\"]", "on: [body]"] {
        let action = if other.contains("body") { "redact: {pattern: jo}" } else { "drop: [\"*\"]" };
        let yaml = format!("attributes:\n  - {action}\n    {other}\n");
        assert!(applied(&yaml, Signal::Traces, &bytes).as_ptr() == bytes.as_ptr(), "{other}");
    }
    assert_ne!(applied("attributes:\n  - drop: [\"*\"]\n    services: [\"shop-*\"]\n", Signal::Traces, &bytes), bytes);
}

#[test]
fn log_records_and_data_points_are_reached() {
    let log = json!({"timeUnixNano": "1", "body": {"stringValue": "card 4111-1111"}, "attributes": [attribute("k", "4111-1111")]});
    let request = json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"logRecords": [log]}]}]});
    let bytes = from_json::request(Signal::Logs, request.to_string().as_bytes()).expect("OTLP");
    let logs = decode::logs(&applied("attributes:\n  - redact: {pattern: '\\d{4}-\\d{4}'}\n", Signal::Logs, &bytes))
        .expect("logs");
    assert_eq!(json!([logs[0].body, logs[0].attributes["k"]]), json!(["card ****", "****"]));
    let logs = decode::logs(&applied("attributes:\n  - redact: {keys: [k], pattern: '\\d+'}\n", Signal::Logs, &bytes))
        .expect("logs");
    assert_eq!(json!([logs[0].body, logs[0].attributes["k"]]), json!(["card 4111-1111", "****-****"]));

    let exemplar = json!({"timeUnixNano": "1", "asInt": "1", "filteredAttributes": [attribute("user", "u")]});
    let point = |extra: Value| {
        let mut point = json!({"timeUnixNano": "1", "attributes": [attribute("user", "u")]});
        point.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        json!({"dataPoints": [point]})
    };
    let number = point(json!({"asInt": "1", "exemplars": [exemplar]}));
    let metrics = json!([
        {"name": "a", "sum": number}, {"name": "b", "gauge": number}, {"name": "c", "histogram": point(json!({"exemplars": [exemplar]}))},
        {"name": "d", "exponentialHistogram": point(json!({"exemplars": [exemplar]}))}, {"name": "e", "summary": point(json!({}))},
    ]);
    let request = json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": metrics}]}]});
    let bytes = from_json::request(Signal::Metrics, request.to_string().as_bytes()).expect("OTLP");
    let contains = |bytes: &[u8]| bytes.windows(4).filter(|window| window == b"user").count();
    assert_eq!(contains(&bytes), 9);
    assert_eq!(contains(&applied("attributes:\n  - drop: [user]\n", Signal::Metrics, &bytes)), 0);
}

#[test]
fn wrong_rules_are_told_with_their_place() {
    for (yaml, said) in [
        (
            "attributes:\n  - drop: [a]\n    hash: {keys: [b]}\n",
            "agent.yaml:2: attributes[0].drop: 2 actions in one rule",
        ),
        ("attributes:\n  - signals: [traces]\n", "agent.yaml:2: attributes[0].signals: 0 actions in one rule"),
        ("attributes:\n  - drop: []\n", "agent.yaml:2: attributes[0].drop: there must be keys"),
        (
            "attributes:\n  - redact:\n      pattern: '('\n",
            "agent.yaml:3: attributes[0].redact.pattern: \"(\" is no regular expression: unclosed group",
        ),
        ("attributes:\n  - drop: [a]\n    on: [body]\n", "of the body, only what fits a pattern can be redacted"),
        ("attributes:\n  - drop: [a]\n    on: [spans]\n", "agent.yaml:3: attributes[0].on: "),
        ("attributes:\n  - dorp: [a]\n", "unknown field `dorp`"),
    ] {
        let problem = read(yaml).map(|_| ()).expect_err("it is wrong");
        assert!(problem.contains(said), "{said}\n{problem}");
    }
}

proptest! {
    /// Whatever the bytes are: nothing panics, and what was OTLP still is.
    #[test]
    fn any_bytes_are_borne(noise in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let all = rules("attributes:\n  - drop: [a]\n  - set: {key: b, value: 1}\n  - redact: {pattern: '[0-9]+'}\n  - hash: {keys: [\"*\"]}\n");
        let mut bytes = traces().to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + noise.len() / 4).min(bytes.len()), noise.iter().copied());
        for bytes in [bytes, noise] {
            for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
                let was_sound = check::request(signal, &bytes).is_ok();
                let batch = Arc::new(Batch { signal, resource: Arc::default(), bytes: bytes.clone().into(), records: 1 });
                let changed = all.apply(&batch);
                prop_assert!(!was_sound || check::request(signal, &changed.bytes).is_ok());
            }
        }
    }
}
