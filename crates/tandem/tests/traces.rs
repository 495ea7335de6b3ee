//! What `tandem traces`, `tandem trace` and `tandem diagnose` print: command, exit code and both outputs, on 80 columns in UTC.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use fixture::Details;
use insta::assert_snapshot;
use model::{Kind, Source, Span, SpanId, TraceSummary, Value};
use tempfile::TempDir;

/// Runs tandem on a store; the store's folder is written as `[STORE]`.
fn tandem(store: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(arguments)
        .env_remove("COLUMNS")
        .env("TZ", "UTC")
        .env("TANDEM_STORE", store)
        .envs(environment.iter().copied())
        .output()
        .expect("tandem runs");
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        text.replace(&store.display().to_string(), "[STORE]")
    };
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    let code = output.status.code().expect("an exit code");
    format!(
        "$ tandem {} → {code}\n{stdout}{}{stderr}",
        arguments.join(" "),
        if stderr.is_empty() { "" } else { "stderr:\n" }
    )
}

fn store_of(spans: &[Span]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    fixture::write(folder.path(), spans);
    folder
}

fn shop() -> TempDir {
    store_of(&fixture::shop())
}

fn assert_lines_fit(output: &str, columns: usize) {
    for line in output.lines().skip(1) {
        let width = unicode_width::UnicodeWidthStr::width(line);
        assert!(width <= columns, "{width} columns: {line}");
    }
}

#[test]
fn lists_the_newest_traces() {
    let store = shop();
    let output = tandem(store.path(), &["traces", "--limit", "3"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let output = tandem(store.path(), &["traces", "--min-duration", "3ms"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
}

#[test]
fn filters_are_those_of_the_store() {
    let store = shop();
    let count = |arguments: &[&str]| tandem(store.path(), arguments, &[]).lines().count().saturating_sub(2);
    assert_eq!(count(&["traces"]), 20);
    assert_eq!(count(&["traces", "--limit", "100"]), 36);
    assert_eq!(count(&["traces", "--service", "inventory"]), 1);
    assert_eq!(count(&["traces", "--route", "checkout"]), 2);
    assert_eq!(count(&["traces", "--errors"]), 1);
    assert_eq!(count(&["traces", "--attribute", "http.response.status_code=402"]), 1);
    assert_eq!(count(&["traces", "--max-duration", "900us", "--limit", "100"]), 4);
    assert!(tandem(store.path(), &["traces", "--until", "9000d"], &[]).contains("no trace fits"));
}

#[test]
fn queries_find_and_say_what_is_wrong() {
    let store = shop();
    let output = tandem(store.path(), &["traces", "service=orders kind=server anatomy.go_sync>10ms"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let count = |arguments: &[&str]| tandem(store.path(), arguments, &[]).lines().count().saturating_sub(2);
    assert_eq!(count(&["traces", "service=orders or service=lager"]), 3);
    assert_eq!(count(&["traces", "service=orders", "or", "service=lager", "--errors"]), 1, "without quotes, too");
    assert_eq!(count(&["traces", "not service=gateway", "--limit", "100"]), 5);
    assert_eq!(count(&["traces", "-service=gateway", "--limit", "100"]), 5, "no option begins so");
    assert_eq!(count(&["traces", "root=*products", "-http.route=/products", "--json"]), 0, "nor so");
    assert_snapshot!(tandem(store.path(), &["traces", "service=orders duration>200"], &[]));
    assert_snapshot!(tandem(store.path(), &["traces", "service=nobody"], &[]));
    assert_snapshot!(tandem(store.path(), &["traces", "http.rout=/cart host.name=kiosk"], &[]));
}

#[test]
fn sql_answers_as_a_table_as_json_and_as_csv() {
    let store = shop();
    let select = "SELECT service, count(*) AS spans, max(name) AS name, NULL AS missing FROM spans GROUP BY 1";
    assert_snapshot!(tandem(store.path(), &["sql", select], &[]));
    assert_snapshot!(tandem(store.path(), &["sql", select, "--json"], &[]));
    assert_snapshot!(tandem(store.path(), &["sql", select, "--csv"], &[]));
    let all = tandem(store.path(), &["sql", "SELECT * FROM spans LIMIT 2"], &[("COLUMNS", "200")]);
    assert_snapshot!(all);
    assert_snapshot!(tandem(store.path(), &["sql", "SELECT root FROM tracs"], &[]));
    assert_snapshot!(tandem(store.path(), &["sql", "DELETE FROM spans"], &[]));
}

#[test]
fn a_trace_is_a_tree_with_its_anatomy() {
    let store = shop();
    let output = tandem(store.path(), &["trace", "01"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let wide = tandem(store.path(), &["trace", "01"], &[("COLUMNS", "140")]);
    assert_lines_fit(&wide, 140);
    assert_snapshot!(wide);
    let narrow = tandem(store.path(), &["trace", "01"], &[("COLUMNS", "50")]);
    assert_lines_fit(&narrow, 50);
    assert_snapshot!(narrow);
}

#[test]
fn errors_missing_and_unfinished_spans_are_marked() {
    let store = shop();
    for id in ["02", "04", "05"] {
        let output = tandem(store.path(), &["trace", id], &[]);
        assert_lines_fit(&output, 80);
        assert_snapshot!(output);
    }
}

/// Spans of programs that nobody wove say how their parent was found; those of woven programs carry exact context.
#[test]
fn how_a_parent_was_found_stands_below_the_span() {
    let observed = |id: u8, service: &str, source: Source, how: &str| {
        let start = u64::from(id) * 10;
        let span = fixture::span(1, id, id - 1, service, "GET /a", start, 200 - 2 * start);
        Span { source, ..if how.is_empty() { span } else { span.with("tandem.parent.source", how) } }
    };
    let hows = ["remote", "explicit", "goroutine", "ancestor", "woven"];
    let mut spans = vec![observed(1, "gateway", Source::Woven, "")];
    spans.extend((2..).zip(hows).map(|(id, how)| observed(id, "pricing", Source::Uprobe, how)));
    spans.extend((7..).zip(["connection", "thread", "only"]).map(|(id, how)| observed(id, "tax", Source::Socket, how)));
    let store = store_of(&spans);
    let output = tandem(store.path(), &["trace", "01"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
}

#[test]
fn names_may_be_hostile_or_wide() {
    let store = shop();
    for id in ["03", "06"] {
        let output = tandem(store.path(), &["trace", id], &[]);
        assert_lines_fit(&output, 80);
        assert!(!output.contains('\u{1b}'), "an escape sequence came through");
        assert_snapshot!(output);
    }
}

#[test]
fn deep_traces_stay_within_the_page() {
    let mut spans: Vec<Span> =
        (1..=60u8).map(|id| fixture::span(1, id, id - 1, "deep", "step", u64::from(id), 100)).collect();
    spans[59] = spans[59].clone().failed("at the bottom of it all");
    let store = store_of(&spans);
    let output = tandem(store.path(), &["trace", "last"], &[]);
    assert_lines_fit(&output, 80);
    assert_eq!(output.lines().count(), 6 + 60 + 1);
    assert!(output.contains("⋯59 └ ✗ step  deep  "), "{output}");
}

/// Sixty requests, of which each tenth waits for a lock that another service holds.
fn contended() -> Vec<Span> {
    let mut spans = Vec::new();
    for number in 1..=60 {
        let (start, waits) = (u64::from(number) * 1_000_000, if number % 10 == 0 { 90_000 } else { 0 });
        let parts = [("go_select", waits + 3_000)];
        let request = fixture::span(number, 1, 0, "gateway", "GET /cart", start, waits + 5_000).spent(&parts);
        spans.push(request.kind(Kind::Server, "tandem/test"));
        let call = fixture::span(number, 2, 1, "gateway", "GET", start + 1_000, waits + 3_000).spent(&parts);
        spans.push(call.kind(Kind::Client, "tandem/test"));
        let served = fixture::span(number, 3, 2, "stock", "GET /items", start + 1_500, waits + 2_000);
        spans.push(served.kind(Kind::Server, "tandem/test").spent(&[("go_sync", waits)]));
    }
    spans
}

#[test]
fn causes_of_slow_requests_are_said_with_the_next_step() {
    let store = store_of(&contended());
    let all = ["diagnose", "--since", "30000d"];
    let output = tandem(store.path(), &all, &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let json = tandem(store.path(), &[&all[..], &["--json"]].concat(), &[]);
    assert_snapshot!(json);
    let inside = tandem(store.path(), &[&all[..], &["--service", "stock", "--slower-than", "10s"]].concat(), &[]);
    assert_snapshot!(inside);
    let nothing = tandem(store.path(), &[&all[..], &["--route", "nothing"]].concat(), &[]);
    assert_snapshot!(nothing);
}

#[test]
fn json_is_one_object_a_line_in_the_documented_form() {
    let store = shop();
    let output = tandem(store.path(), &["traces", "--json", "--limit", "100"], &[]);
    let summaries: Vec<TraceSummary> =
        output.lines().skip(1).map(|line| serde_json::from_str(line).expect("a summary")).collect();
    assert_eq!(summaries.len(), 36);
    assert_snapshot!(tandem(store.path(), &["traces", "--json", "--service", "inventory"], &[]));

    let output = tandem(store.path(), &["trace", "01", "--json"], &[]);
    let spans: Vec<Span> = output.lines().skip(1).map(|line| serde_json::from_str(line).expect("a span")).collect();
    assert_eq!(spans.len(), 9);
    assert_eq!(spans[2].anatomy.as_ref().expect("measured").parts_ns["go_network"], 92_000_000);
    assert_snapshot!(tandem(store.path(), &["trace", "05", "--json"], &[]));
}

/// Scenario: traces of which some were sampled. Guarantee: each of those says by which policies.
#[test]
fn why_a_trace_was_kept_is_shown() {
    let mut spans = Vec::new();
    for (number, policy) in [(1, "failed"), (2, "a policy with a name that is long"), (3, "")] {
        let mut root = fixture::span(number, 1, 0, "shop", "GET /cart", u64::from(number), 100);
        if !policy.is_empty() {
            root.attributes.insert("tandem.sampling.policy".to_owned(), Value::String(policy.to_owned()));
        }
        spans.extend([root, fixture::span(number, 2, 1, "shop", "query", u64::from(number), 50)]);
    }
    let store = store_of(&spans);
    let output = tandem(store.path(), &["traces", "--why"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let output = tandem(store.path(), &["traces", "--why", "--json"], &[]);
    assert!(output.contains(r#""kept_by":["failed"]"#) && output.contains(r#""kept_by":[]"#), "{output}");
}

/// Scenario: a configuration is tried on the traces of the shop. Guarantee: what each policy would do, and nothing is changed.
#[test]
fn a_sampling_configuration_is_tried_on_stored_traces() {
    let store = shop();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("agent.yaml");
    let try_out = |text: &str, arguments: &[&str]| {
        std::fs::write(&file, text).expect("a configuration");
        let file = file.display().to_string();
        let output = tandem(store.path(), &[&["sampling", "--dry-run", &file], arguments].concat(), &[]);
        output.replace(&file, "[FILE]")
    };
    let text = "sampling:
  policies:
    - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 50}}
    - {name: slower, type: latency, latency: {threshold_ms: 60000}}
    - {name: longer, type: latency, latency: {threshold_ms: 100}}
    - {name: shapes, type: novelty}
    - name: stock
      type: drop
      drop: {drop_sub_policy: [{name: a, type: string_attribute, string_attribute: {key: service.name, values: [inventory]}}]}
";
    let before = tandem(store.path(), &["traces", "--json", "--limit", "100"], &[]);
    let output = try_out(text, &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    assert_snapshot!(try_out(text, &["--json"]));
    assert_eq!(tandem(store.path(), &["traces", "--json", "--limit", "100"], &[]), before);
    assert_snapshot!(try_out("# nothing\n", &[]));
    assert_snapshot!(try_out("sampling:\n  policies:\n    - {name: a, type: lateness}\n", &[]));
}

#[test]
fn empty_states_say_what_to_do() {
    let nowhere = TempDir::new().expect("a temporary folder");
    assert_snapshot!(tandem(nowhere.path(), &["traces"], &[]));
    assert_snapshot!(tandem(nowhere.path(), &["trace", "last"], &[]));
    assert_snapshot!(tandem(nowhere.path(), &["traces", "--json"], &[]));
    let store = shop();
    assert_snapshot!(tandem(store.path(), &["traces", "--service", "nobody"], &[]));
    for id in ["ff", "0", "xyz"] {
        assert_snapshot!(tandem(store.path(), &["trace", id], &[]));
    }
}

#[test]
fn wrong_use_and_broken_stores_are_explained() {
    let store = shop();
    assert_snapshot!(tandem(store.path(), &["traces", "--since", "10"], &[]));
    assert_snapshot!(tandem(store.path(), &["traces", "--attribute", "http.route"], &[]));
    let foreign = TempDir::new().expect("a temporary folder");
    std::fs::write(foreign.path().join("spans.sqlite3"), "my notes ".repeat(100)).expect("written");
    assert_snapshot!(tandem(foreign.path(), &["traces"], &[]));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut spans = Vec::new();
    for id in 1..=255u8 {
        let mut span = fixture::span(1, 1, 0, "long", &"x".repeat(200), 0, 1).with("filler", "y".repeat(2000).as_str());
        span.span_id = SpanId([id; 8]);
        spans.push(span);
    }
    let store = store_of(&spans);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["trace", "last", "--json"])
        .env("TANDEM_STORE", store.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("tandem runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A trace is told once, when its root is there: what a query says of the whole trace is known only then.
#[test]
fn traces_that_come_are_told_when_they_are_whole() {
    let failed = |trace, id, parent| fixture::span(trace, id, parent, "shop", "GET /cart", 0, 10).failed("broken");
    let store = store_of(&[failed(1, 1, 0)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["traces", "--follow", "--json", "status=error"])
        .env("TANDEM_STORE", store.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tandem runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || {
        let line = lines.next().expect("it goes on").expect("a line");
        let trace: TraceSummary = serde_json::from_str(&line).expect("a trace");
        (trace.trace_id.0[0], trace.span_count)
    };
    assert_eq!(next(), (1, 1), "what is there already");
    fixture::write(store.path(), &[failed(2, 2, 1)]);
    fixture::write(store.path(), &[fixture::span(3, 1, 0, "shop", "GET /cart", 1, 10), failed(4, 1, 0)]);
    assert_eq!(next(), (4, 1), "the second has no root yet, the third did not fail");
    fixture::write(store.path(), &[fixture::span(2, 1, 0, "shop", "GET /cart", 0, 20)]);
    assert_eq!(next(), (2, 2));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("it lives");
    child.wait().expect("it ends");
}

#[test]
fn top_prints_its_routes_once_where_nobody_watches() {
    let store = shop();
    let output = tandem(store.path(), &["top", "--since", "9000d", "--sort", "name"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let output = tandem(store.path(), &["top", "--since", "9000d", "--service", "gateway", "--json"], &[]);
    let routes: Vec<serde_json::Value> =
        output.lines().skip(1).map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert!(!routes.is_empty() && routes.iter().all(|route| route["service"] == "gateway"), "{output}");
    assert_snapshot!(tandem(store.path(), &["top", "--since", "1s"], &[]));
}

#[test]
fn two_traces_stand_side_by_side() {
    let store = shop();
    let output = tandem(store.path(), &["compare", "01ab", "02ab"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let output = tandem(store.path(), &["compare", "01ab", "01ab"], &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
}

#[test]
fn two_sets_of_traces_stand_side_by_side() {
    let store = store_of(&two_builds());
    let queries = ["compare", "service.version=1.4", "service.version=1.5", "--since", "9000d"];
    let output = tandem(store.path(), &queries, &[]);
    assert_lines_fit(&output, 80);
    assert_snapshot!(output);
    let all = tandem(store.path(), &[&queries[..], &["--all"]].concat(), &[]);
    assert!(all.contains("render") && !output.contains("render"), "{all}");
    let json = tandem(store.path(), &[&queries[..], &["--json"]].concat(), &[]);
    let json: serde_json::Value = serde_json::from_str(json.lines().nth(1).expect("a line")).expect("an object");
    assert_eq!(json["traces"], serde_json::json!([4, 6]));
    let query = &json["places"][1];
    assert_eq!((query["name"].as_str(), &query["parent"]), (Some("SELECT items"), &serde_json::json!(0)));
    assert_eq!(query["sides"][1]["calls"], 3.0);
    assert_snapshot!(tandem(
        store.path(),
        &["compare", "service.version=1.4", "service.version=9", "--since", "9000d"],
        &[]
    ));
    assert_snapshot!(tandem(store.path(), &["compare", "service.version=1.4"], &[]));
}

/// Traces of two builds of one service: the newer one asks the database three times instead of once.
fn two_builds() -> Vec<Span> {
    let request = |number: u8| {
        let (version, queries) = if number < 4 { ("1.4", 1) } else { ("1.5", 3) };
        let (trace, duration) = (number + 1, 10_000 + 20_000 * queries);
        let span = move |id, parent, name, start, duration| {
            fixture::span(trace, id, parent, "shop", name, start, duration).with("service.version", version)
        };
        let root = span(1, 0, "GET /cart", 0, duration)
            .kind(Kind::Server, "tandem/net/http")
            .spent(&[("go_network", 20_000 * queries)]);
        let query = move |number: u64| {
            let query = span(2 + number as u8, 1, "SELECT items", 5_000 + 20_000 * number, 20_000);
            query.kind(Kind::Client, "tandem/database/sql")
        };
        [root, span(9, 1, "render", duration - 2_000, 1_000)].into_iter().chain((0..queries).map(query))
    };
    (0..10).flat_map(request).collect()
}
