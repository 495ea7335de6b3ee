//! What `tandem export` writes and `tandem open` reads: what goes out comes in again as it was, and other tools' rules hold.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;

fn tandem(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).env("TZ", "UTC").env("TANDEM_STORE", store);
    command
}

fn run(store: &Path, arguments: &[&str]) -> Output {
    tandem(store, arguments).output().expect("tandem runs")
}

fn stdout(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A folder with the shop's store in it.
fn shop() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    fixture::write(&folder.path().join("store"), &fixture::shop());
    folder
}

/// All that is in a store, as scripts see it.
fn everything(store: &Path) -> String {
    let traces = stdout(store, &["traces", "--limit", "100", "--json"]);
    let ids = traces.lines().map(|line| {
        let trace: Value = serde_json::from_str(line).expect("JSON");
        trace["trace_id"].as_str().expect("an id").to_owned()
    });
    let spans: Vec<String> = ids.map(|id| stdout(store, &["trace", &id, "--json"])).collect();
    traces + &spans.concat()
}

#[test]
fn otlp_files_come_in_again_as_they_went_out() {
    let folder = shop();
    let (store, file) = (folder.path().join("store"), |name: &str| folder.path().join(name).display().to_string());
    for (format, name) in
        [("otlp", "all.pb"), ("otlp-json", "all.jsonl"), ("otlp", "all.pb.gz"), ("otlp-json", "all.jsonl.gz")]
    {
        let exported = run(&store, &["export", "--format", format, "-o", &file(name)]);
        assert!(String::from_utf8_lossy(&exported.stderr).contains("36 traces in "), "{exported:?}");
        let copy = folder.path().join(format!("copy of {name}"));
        let opened = run(&store, &["open", &file(name), "--into", &copy.display().to_string()]);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        assert!(String::from_utf8_lossy(&opened.stderr).contains("46 spans in "), "{opened:?}");
        assert_eq!(everything(&copy), everything(&store), "{name}");
    }
    let packed = std::fs::read(file("all.pb.gz")).expect("the file");
    assert_eq!(packed[..2], [0x1f, 0x8b]);
}

/// Log records of two services, of spans of the shop and of none, with all that OTLP has.
const LOGS: &str = r#"{"resourceLogs":[
  {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},
   "scopeLogs":[{"scope":{"name":"tandem/log/slog"},"logRecords":[
    {"timeUnixNano":"1795449602005000000","observedTimeUnixNano":"1795449602005000007","severityNumber":17,"severityText":"ERROR",
     "body":{"stringValue":"card declined, \"0000\"\nask again"},"traceId":"02ababababababababababababababab","spanId":"5a00000000000202",
     "flags":1,"attributes":[{"key":"attempt","value":{"intValue":"2"}}]},
    {"timeUnixNano":"1795449602006000000","severityNumber":9,"eventName":"order.closed",
     "body":{"kvlistValue":{"values":[{"key":"paid","value":{"boolValue":false}}]}}}]}]},
  {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"worker"}}]},
   "scopeLogs":[{"scope":{"name":"zap"},"logRecords":[{"observedTimeUnixNano":"1795449602007000000","body":{"stringValue":"started"}}]}]}]}"#;

#[test]
fn log_records_come_in_again_as_they_went_out() {
    let folder = shop();
    let (store, path) = (folder.path().join("store"), |name: &str| folder.path().join(name).display().to_string());
    std::fs::write(path("logs.json"), LOGS).expect("written");
    stdout(&store, &["open", &path("logs.json"), "--into", &store.display().to_string()]);
    let all = stdout(&store, &["logs", "--json"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    for (format, name) in [("otlp", "logs.pb"), ("otlp-json", "logs.jsonl"), ("otlp", "logs.pb.gz")] {
        let exported = run(&store, &["export", "--format", format, "--signal", "logs", "-o", &path(name)]);
        assert!(String::from_utf8_lossy(&exported.stderr).contains("3 log records in "), "{exported:?}");
        let copy = path(&format!("copy of {name}"));
        let opened = run(&store, &["open", &path(name), "--into", &copy]);
        assert!(String::from_utf8_lossy(&opened.stderr).contains("3 log records in "), "{opened:?}");
        assert_eq!(stdout(Path::new(&copy), &["logs", "--json"]), all, "{name}");
        let resources = ["sql", "SELECT body, resource FROM logs", "--json"];
        assert_eq!(stdout(Path::new(&copy), &resources), stdout(&store, &resources), "{name}");
    }
    let table = |query: &[&str]| stdout(&store, &[&["export", "--format", "csv", "--signal", "logs"], query].concat());
    assert_snapshot!(table(&[]));
    assert_eq!(table(&["status=error"]).matches("card declined").count(), 1);
    assert_eq!(table(&["status=error"]).matches("order.closed").count(), 0);
    assert_eq!(table(&["02ab"]).matches("card declined").count(), 1);
    let wrong = run(&store, &["export", "--format", "perfetto", "--signal", "logs"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("has no place for log records"), "{wrong:?}");
}

/// Totals and deltas of another program, in the order in which it exported them.
const METRICS: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"elsewhere"}}]},
  "scopeMetrics":[{"metrics":[
    {"name":"jobs","unit":"{job}","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[
      {"startTimeUnixNano":"1795449600000000000","timeUnixNano":"1795449660000000000","asInt":"60"},
      {"startTimeUnixNano":"1795449600000000000","timeUnixNano":"1795449720000000000","asInt":"90"}]}},
    {"name":"mails","sum":{"isMonotonic":true,"aggregationTemporality":1,"dataPoints":[
      {"startTimeUnixNano":"1795449600000000000","timeUnixNano":"1795449660000000000","asDouble":1.5},
      {"startTimeUnixNano":"1795449660000000000","timeUnixNano":"1795449720000000000","asDouble":2}]}},
    {"name":"room.temperature","unit":"Cel","gauge":{"dataPoints":[{"timeUnixNano":"1795449660000000000","asDouble":21.5}]}},
    {"name":"waits","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[
      {"startTimeUnixNano":"1795449600000000000","timeUnixNano":"1795449660000000000","count":"4","sum":2,"explicitBounds":[0.5,1],
       "bucketCounts":["2","2","0"]}]}}]}]}]}"#;

#[test]
fn metrics_of_others_are_what_they_were_at_their_times() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("metrics.json"), METRICS).expect("written");
    let opened = run(folder.path(), &["open", &path("metrics.json"), "--into", &path("store")]);
    assert!(String::from_utf8_lossy(&opened.stderr).contains("4 metrics in "), "{opened:?}");
    assert_snapshot!(stdout(Path::new(&path("store")), &["metrics", "*", "--since", "9000d", "--json"]));
}

#[test]
fn what_is_exported_is_chosen_by_id_or_query() {
    let folder = shop();
    let store = folder.path().join("store");
    let lines = |arguments: &[&str]| {
        stdout(&store, &[&["export", "--format", "otlp-json"], arguments].concat()).lines().count()
    };
    assert_eq!(lines(&["last"]), 1);
    assert_eq!(lines(&["01ab"]), 1);
    assert_eq!(lines(&["service=orders"]), 2);
    assert_eq!(lines(&["checkout", "status=error"]), 0);
    assert_eq!(lines(&["--limit", "5"]), 5);
    let wrong = run(&store, &["export", "--format", "csv", "duration>2"]);
    assert_eq!(wrong.status.code(), Some(2));
    let nothing = run(&store, &["export", "--format", "csv", "service=nobody"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no trace fits"), "{nothing:?}");
}

#[test]
fn csv_has_a_line_a_span() {
    let folder = shop();
    let text = stdout(&folder.path().join("store"), &["export", "--format", "csv", "status=error"]);
    assert_snapshot!(text);
}

/// On every track a slice lies within the one that it began in, and each arrow has two ends.
#[test]
fn perfetto_gets_tracks_whose_slices_nest() {
    let folder = shop();
    let text = stdout(&folder.path().join("store"), &["export", "--format", "perfetto"]);
    let events: Value = serde_json::from_str(&text).expect("JSON");
    let events = events["traceEvents"].as_array().expect("events");
    let of_phase = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    assert_eq!(of_phase("M").len(), 5);
    assert_eq!(of_phase("X").len(), 46);
    assert!(!of_phase("s").is_empty());
    assert_eq!(of_phase("s").len(), of_phase("f").len());
    let number = |event: &Value, key: &str| (event[key].as_f64().expect("a number") * 1000.0).round() as i64;
    let mut tracks: HashMap<(i64, i64), Vec<(i64, i64)>> = HashMap::new();
    for event in of_phase("X") {
        let (start, duration) = (number(event, "ts"), number(event, "dur"));
        tracks.entry((number(event, "pid"), number(event, "tid"))).or_default().push((start, start + duration));
    }
    for slices in tracks.values_mut() {
        slices.sort_by_key(|&(start, end)| (start, -end));
        let mut open: Vec<i64> = Vec::new();
        for &(start, end) in slices.iter() {
            open.retain(|&open| open > start);
            assert!(open.last().is_none_or(|&open| end <= open), "a slice ends after the one that it began in");
            open.push(end);
        }
    }
}

/// What other writers make: pretty JSON, null and unknown members, several files of several signals, sizes before messages.
#[test]
fn files_of_others_are_understood() {
    let folder = TempDir::new().expect("a temporary folder");
    let span = r#"{
      "resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "elsewhere"}}]},
        "scopeSpans": [{"scope": {"name": "io.opentelemetry.jetty"}, "spans": [{
          "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "GET /there", "kind": 2,
          "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
          "status": null, "novelty": [1]}]}]}]}"#;
    let log = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1544712660300000000","severityNumber":17,
        "body":{"stringValue":"out of order"},"traceId":"5b8efff798038103d269b633813fc60c"}]}]}]}"#;
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let (spans, logs) =
        (write("spans.json", span.as_bytes()), write("logs.json", format!("{log}\n{log}\n").as_bytes()));
    let store = folder.path().join("store");
    let opened = run(&store, &["open", &spans, &logs, "--into", &store.display().to_string()]);
    assert!(String::from_utf8_lossy(&opened.stderr).contains("2 log records, 1 span in "), "{opened:?}");
    let found = stdout(&store, &["trace", "last", "--json"]);
    assert!(found.contains(r#""name":"GET /there""#) && found.contains(r#""source":"otlp""#), "{found}");
    assert_eq!(stdout(&store, &["traces", "service=elsewhere source=otlp", "--json"]).lines().count(), 1);
    assert_eq!(stdout(&store, &["logs", "--trace", "last", "--json"]).lines().count(), 2);

    let message = stdout_bytes(&store, &["export", "--format", "otlp"]);
    let framed = [&(message.len() as u32).to_be_bytes()[..], &message].concat();
    let framed = write("framed.bin", &framed.repeat(2));
    let copy = folder.path().join("copy");
    let opened = run(&store, &["open", &framed, "--into", &copy.display().to_string()]);
    assert!(String::from_utf8_lossy(&opened.stderr).contains("2 spans in "), "{opened:?}");
}

fn stdout_bytes(store: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn files_that_are_something_else_are_refused_with_the_reason() {
    let folder = TempDir::new().expect("a temporary folder");
    let files: [(&str, &[u8]); 6] = [
        ("empty", b" \n"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("cut.json", br#"{"resourceSpans":[{"scope"#),
        ("jaeger.json", br#"{"data":[{"traceID":"1"}]}"#),
        ("wrong.json", br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":7}]}]}]}"#),
        ("cut.gz", b"\x1f\x8b\x08\x00\x00"),
    ];
    let mut said = String::new();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("written");
        let output = tandem(folder.path(), &["open", name]).current_dir(folder.path()).output().expect("tandem runs");
        assert_eq!(output.status.code(), Some(3), "{name}");
        said += &String::from_utf8_lossy(&output.stderr);
    }
    let output = tandem(folder.path(), &["open", "absent"]).current_dir(folder.path()).output().expect("tandem runs");
    said += &String::from_utf8_lossy(&output.stderr);
    assert_snapshot!(said);
}

#[test]
fn an_opened_file_is_on_a_page_until_ctrl_c_and_leaves_nothing() {
    let folder = shop();
    let file = folder.path().join("all.pb").display().to_string();
    stdout(&folder.path().join("store"), &["export", "--format", "otlp", "-o", &file]);
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).expect("made");
    let mut child = tandem(folder.path(), &["open", &file])
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url).expect("an address");
    let address = url.trim().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("the page is there");
    write!(stream, "GET /api/traces?limit=1000 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer.matches("\"trace_id\"").count(), 36);
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 1);

    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it lives");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "the temporary store is gone");
}
