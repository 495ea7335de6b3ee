//! The programs of packs that are asked for more than their spans: the logging libraries'. Each pack's spans are tested in
//! `tests/packs`.
//!
//! What differs from run to run (ids, times, free ports) is replaced before comparing. `INSTA_UPDATE=always cargo test`
//! accepts what is new.

use std::fmt::Write as _;
use std::io::Write as _;

use model::{LogRecord, Span};

use crate::program::{Observed, observe, woven_program};
use crate::promises::assert_kept;
use crate::rig::{LIMIT, Rig, Running, eventually, repository, run, tandem};
use crate::spans::kind;
use crate::tree::tree;

/// Runs a pack's program with some more in its environment: its spans, which are as promised, its log records, its end.
fn exercise(pack: &str, environment: &[(&str, &str)]) -> Observed {
    let observed = observe(&woven_program(pack), environment.iter().copied());
    assert_kept(&observed.spans);
    observed
}

/// Guarantees of each logging library's program: what is written carries the ids of the span that it is written in; where
/// OTEL_LOGS_EXPORTER asks for them, each record is recorded once, with them, and else none; what is written is the same
/// then; where the trace is not sampled, both say so.
fn check_logs(pack: &str) -> Vec<LogRecord> {
    if crate::support::is_without_go(&format!("packs {pack}")) {
        return Vec::new();
    }
    let ids = ("TANDEM_LOG_IDS", "true");
    let otlp = ("OTEL_LOGS_EXPORTER", "otlp");
    let Observed { spans, logs, finished } = exercise(pack, &[ids, otlp, ("TANDEM_DEBUG", "1")]);
    if spans.is_empty() {
        let inspected = run(tandem().arg("inspect").arg(woven_program(pack)), LIMIT);
        panic!("no spans\n{finished}\n{inspected}");
    }
    let mut written: String = finished.stdout.lines().map(|line| without_time(line) + "\n").collect();
    let mut recorded: String = logs.iter().map(log_line).collect();
    let mut by_start: Vec<&Span> = spans.iter().collect();
    by_start.sort_by_key(|span| span.start_unix_nano);
    for span in by_start {
        let name = format!("<{} {}>", kind(span.kind), span.name);
        for text in [&mut written, &mut recorded] {
            *text = text.replace(&span.trace_id.to_string(), "<trace>").replace(&span.span_id.to_string(), &name);
        }
    }
    let at = repository().canonicalize().expect("the repository").display().to_string();
    let snapshot = format!("{}\n{}\n{}", tree(&spans), written.replace(&at, "…"), recorded.replace(&at, "…"));
    insta::assert_snapshot!(pack, snapshot);

    let Observed { logs: none, finished: plain, .. } = exercise(pack, &[ids]);
    assert_eq!(none, []);
    assert_eq!(plain.stdout.lines().count(), finished.stdout.lines().count(), "{plain}");

    let unsampled = [ids, otlp, ("OTEL_TRACES_SAMPLER", "always_off")];
    let Observed { spans, logs: unsampled, finished } = exercise(pack, &unsampled);
    assert_eq!(spans, []);
    assert_eq!(unsampled.len(), logs.len());
    for (log, sampled) in unsampled.iter().zip(&logs) {
        assert_eq!((&log.body, log.trace_id.is_some()), (&sampled.body, sampled.trace_id.is_some()));
        assert_eq!(log.trace_flags & 1, 0, "{log:?}");
    }
    assert!(!finished.stdout.contains("\"01\"") && !finished.stdout.contains("trace_flags=01"), "{finished}");
    logs
}

/// A log record as a line, without what differs from run to run.
fn log_line(log: &LogRecord) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    let head = format!(
        "{} {} {} {} {:02x} {}\n",
        log.severity_number,
        if log.severity_text.is_empty() { "-" } else { &log.severity_text },
        id(log.trace_id.map(|id| id.to_string())),
        id(log.span_id.map(|id| id.to_string())),
        log.trace_flags,
        log.scope
    );
    let attributes = log.attributes.iter().map(|(key, value)| format!("  · {key} = {value:?}\n"));
    let event = if log.event_name.is_empty() { String::new() } else { format!("  event {}\n", log.event_name) };
    format!("{head}  {:?}\n{event}{}", log.body.to_string(), attributes.collect::<String>())
}

#[test]
fn log_slog() {
    check_logs("log-slog");
}

#[test]
fn log() {
    check_logs("log");
}

#[test]
fn zap() {
    check_logs("zap");
}

#[test]
fn zerolog() {
    check_logs("zerolog");
}

#[test]
fn logrus() {
    check_logs("logrus");
}

/// Records of the OpenTelemetry API, and of bridges to it, with no SDK. Their own guarantees: nobody records what a provider of
/// the program's own got, what passes a bridge is recorded once, and the times are those that were given.
#[test]
fn otel_log() {
    let logs = check_logs("otel-log");
    let Some(timed) = logs.iter().find(|log| log.event_name == "cart.emptied") else {
        assert!(logs.is_empty());
        return;
    };
    assert_eq!(timed.time_unix_nano, 1_700_000_000_000_000_005);
    // It says that it was first seen before the one in front of it was.
    let values = logs.iter().find(|log| log.body.to_string() == "values").expect("it");
    assert!(timed.observed_unix_nano < values.observed_unix_nano, "{timed:?} {values:?}");
}

/// Scenario: a program counts with the OpenTelemetry API, then observes less, then sets a provider. Guarantees: every kind of
/// instrument has the numbers, bounds and attributes that it was given, of which the limit of series takes none away; what is
/// not observed any more is gone; nothing that is said to the provider is Tandem's.
#[test]
fn otel_metric() {
    if crate::support::is_without_go("packs otel_metric") {
        return;
    }
    let program = woven_program("otel-metric");
    let rig = Rig::new();
    let mut running = Running::start(rig.observe("run").arg("--").arg(program));
    let mut input = running.stdin();
    let mut say = |word: &str| writeln!(input, "{word}").expect("the program's input");
    let ready = |line: &str| (line == "counted").then_some(());
    running.stdout_line(ready);
    let when = |is: &dyn Fn(&str) -> bool| {
        let mut shown = String::new();
        eventually(LIMIT, || {
            shown = own_metrics(&rig);
            is(&shown).then_some(())
        })
        .unwrap_or_else(|| panic!("not what was expected:\n{shown}"));
        shown
    };
    let all = when(&|shown| shown.contains("asked.second"));
    insta::assert_snapshot!("otel-metric", all);
    say("less");
    let fewer = when(&|shown| !shown.contains("sometimes"));
    let without = |text: &str| text.lines().filter(|line| !line.contains("sometimes")).map(str::to_owned).collect();
    let (expected, found): (Vec<String>, Vec<String>) = (without(&all), without(&fewer));
    assert_eq!(found, expected);
    say("provider");
    running.stdout_line(|line| (line == "a provider is set").then_some(()));
    let at_the_end = when(&|shown| !shown.contains("asked"));
    let gone = |line: &&String| ["asked.", "volume", "temperature"].iter().any(|name| line.contains(name));
    let kept: Vec<&String> = expected.iter().filter(|line| !gone(line)).collect();
    assert_eq!(at_the_end.lines().collect::<Vec<_>>(), kept);
    drop(input);
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
}

/// What `tandem metrics --live` shows of what the program counts itself, a line each; of the metric with too many series the sum.
fn own_metrics(rig: &Rig) -> String {
    let output = run(rig.tandem("metrics").args(["--live", "--json"]), LIMIT);
    assert_eq!(output.code, 0, "{output}");
    let (mut several, mut series) = (0, 0);
    let mut text = String::new();
    for line in output.stdout.lines() {
        let metric: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let word = |name: &str| metric[name].as_str().unwrap_or_default().to_owned();
        if word("scope").starts_with("tandem/") {
            continue;
        }
        if word("name") == "several" {
            several += metric["value"].as_i64().expect("a number");
            series += 1;
            continue;
        }
        let _ = writeln!(
            text,
            "{} {} {} [{}] {} = {}",
            word("scope"),
            word("kind"),
            word("name"),
            word("unit"),
            metric["attributes"],
            metric["value"]
        );
    }
    if series > 0 {
        let _ = writeln!(text, "several: {several} in {series} series");
    }
    text
}

/// A log line without the moment at its beginning or in its `time`.
fn without_time(line: &str) -> String {
    let is_time = |text: &str| {
        text.len() > 18 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit) && text.as_bytes()[4] == b'-'
    };
    let start = line.char_indices().map(|(index, _)| index).find(|&index| is_time(&line[index..]));
    let Some(start) = start else { return line.to_owned() };
    let end = line[start..].find(['"', ' ']).map_or(line.len(), |end| start + end);
    format!("{}<time>{}", &line[..start], &line[end..])
}
