//! What `tandem metrics` prints of what is in the store: command, exit code and both outputs, on 80 columns in UTC.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
#[path = "../../store/tests/fixture/metrics.rs"]
mod measured;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;

fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("metrics").args(arguments).env_remove("COLUMNS").env("TZ", "UTC").env("TANDEM_STORE", store);
    command
}

/// The store's folder is written as `[STORE]`.
fn metrics(store: &Path, arguments: &[&str]) -> String {
    let output = command(store, arguments).output().expect("tandem runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&store.display().to_string(), "[STORE]");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().expect("an exit code");
    let errors = if stderr.is_empty() { String::new() } else { format!("stderr:\n{stderr}") };
    format!("$ tandem metrics {} → {code}\n{stdout}{errors}", arguments.join(" "))
}

fn shop() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    drop(measured::write(folder.path(), fixture::unlimited(), measured::shop()));
    folder
}

/// Everything, however long ago the fixtures are.
const EVER: [&str; 2] = ["--since", "9000d"];

fn ever(store: &TempDir, arguments: &[&str]) -> String {
    metrics(store.path(), &[arguments, &EVER[..]].concat())
}

#[test]
fn they_are_listed_and_their_series_have_figures_and_a_picture() {
    let store = shop();
    let list = ever(&store, &[]);
    assert_snapshot!(list);
    let series = ever(&store, &["shop.*", "go.*"]);
    assert!(series.lines().skip(1).all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80), "{series}");
    assert_snapshot!(series);
    assert_eq!(ever(&store, &["shop.sold", "--limit", "1"]).matches("state=").count(), 1);
}

#[test]
fn json_is_a_series_a_line_in_the_documented_form() {
    let store = shop();
    assert_snapshot!(ever(&store, &["shop.sold", "shop.request.duration", "--json"]));
    assert_snapshot!(ever(&store, &["--json", "--service", "shop"]));
}

#[test]
fn nothing_is_explained() {
    let store = shop();
    let empty = TempDir::new().expect("a temporary folder");
    assert_snapshot!(metrics(empty.path(), &[]));
    assert_snapshot!(ever(&store, &["shop.solt"]));
    assert_snapshot!(metrics(store.path(), &["shop.sold", "--live"]));
}

/// Scenario: somebody follows a metric. Guarantee: only what is measured from then on is told, each once.
#[test]
fn what_is_measured_is_followed() {
    let folder = shop();
    let store = store::Store::open(folder.path(), fixture::unlimited()).expect("the store opens");
    let mut child = command(folder.path(), &["shop.sold", "--follow", "--json", "--since", "9000d"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tandem runs");
    let mut totals = store::MetricTotals::default();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    // Whether it looks already nobody knows: it is told until it does.
    let told = std::thread::scope(|scope| {
        let reading = scope.spawn(|| out.read_line(&mut line).map(|_| line));
        for seconds in 40.. {
            if reading.is_finished() {
                break;
            }
            let sold = [("cart", measured::int(seconds as i64))];
            let counter = record::InstrumentKind::Counter;
            let metric = measured::metric("shop.sold", counter, measured::BEGIN, &sold);
            store.offer_metrics(totals.sample(&measured::snapshot(seconds, vec![metric])));
            fixture::flush(&store);
        }
        reading.join().expect("it reads").expect("a line")
    });
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["name"], &told["attributes"]["state"]), (&"shop.sold".into(), &"cart".into()));
    let first = told["points"][0]["time_unix_nano"].as_u64().expect("a time");
    assert!(first >= fixture::START + 40 * measured::SECOND, "what was there before is not told: {told}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("it lives");
    child.wait().expect("it ends");
}
