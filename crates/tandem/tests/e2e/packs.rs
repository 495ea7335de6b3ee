//! Each pack's own program (`packs/*/program`), woven and run: it uses the library against itself in all ways that the pack
//! has to tell apart.
//!
//! Guarantees: exactly the spans of the committed snapshot, each below the span it belongs to; each with the attributes
//! that the conventions require of its operation and no others than are promised here; an error always with its type.
//! What differs from run to run (ids, times, free ports) is replaced before comparing. `INSTA_UPDATE=always cargo test`
//! accepts what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use model::{Attributes, Kind, LogRecord, Source, Span, Value};

use crate::golang::{self, woven};
use crate::rig::{Finished, LIMIT, Rig, Running, eventually, repository, run};
use crate::spans::{attribute, by_id, is_error, kind, title};

/// What the spans of an operation carry: always, and where it applies.
struct Promise {
    scope: &'static str,
    kind: Kind,
    always: &'static [&'static str],
    sometimes: &'static [&'static str],
}

const PROMISES: [Promise; 7] = [
    Promise {
        scope: "tandem/net/http",
        kind: Kind::Server,
        always: &[
            "http.request.method",
            "url.path",
            "url.scheme",
            "server.address",
            "client.address",
            "network.protocol.version",
        ],
        sometimes: &[
            "http.route",
            "http.response.status_code",
            "http.request.method_original",
            "url.query",
            "server.port",
            "user_agent.original",
            "error.type",
        ],
    },
    Promise {
        scope: "tandem/net/http",
        kind: Kind::Client,
        always: &["http.request.method", "url.full", "server.address", "server.port"],
        sometimes: &[
            "http.response.status_code",
            "http.request.method_original",
            "http.request.resend_count",
            "network.protocol.version",
            "error.type",
        ],
    },
    Promise {
        scope: "tandem/google.golang.org/grpc",
        kind: Kind::Client,
        always: &["rpc.system.name", "rpc.method", "rpc.response.status_code", "server.address"],
        sometimes: &["server.port", "network.peer.address", "network.peer.port", "error.type"],
    },
    Promise {
        scope: "tandem/google.golang.org/grpc",
        kind: Kind::Server,
        always: &["rpc.system.name", "rpc.method", "rpc.response.status_code"],
        sometimes: &[
            "rpc.method_original",
            "server.address",
            "server.port",
            "client.address",
            "client.port",
            "network.peer.address",
            "network.peer.port",
            "error.type",
        ],
    },
    Promise {
        scope: "tandem/database/sql",
        kind: Kind::Client,
        always: &["db.system.name", "db.operation.name"],
        sometimes: &[
            "db.namespace",
            "db.collection.name",
            "db.query.text",
            "db.query.summary",
            "db.response.status_code",
            "server.address",
            "server.port",
            "error.type",
        ],
    },
    Promise {
        scope: "tandem/os/exec",
        kind: Kind::Client,
        always: &["process.executable.name"],
        sometimes: &["process.pid", "process.exit.code", "error.type"],
    },
    Promise {
        scope: "tandem/process",
        kind: Kind::Internal,
        always: &["process.executable.name", "process.pid", "process.exit.code"],
        sometimes: &["error.type"],
    },
];

/// Of spans that a program makes by hand nobody promises anything.
fn assert_promises_are_kept(spans: &[Span]) {
    for span in spans.iter().filter(|span| span.source != Source::Api) {
        let promise = PROMISES.iter().find(|promise| promise.scope == span.scope && promise.kind == span.kind);
        let promise = promise.unwrap_or_else(|| panic!("nobody promised a {} of {:?}", title(span), span.scope));
        for key in promise.always {
            assert!(span.attributes.contains_key(*key), "{} has no {key}: {:?}", title(span), span.attributes);
        }
        for key in span.attributes.keys().map(String::as_str) {
            let promised = promise.always.contains(&key) || promise.sometimes.contains(&key);
            assert!(promised, "{} has {key}, which nobody promised", title(span));
        }
        assert_eq!(
            is_error(span),
            span.attributes.contains_key("error.type"),
            "{}: {:?}",
            title(span),
            span.attributes
        );
    }
}

/// Runs a pack's program with some more in its environment: its spans, which are as promised, its log records, its end.
fn exercise(pack: &str, environment: &[(&str, &str)]) -> (Vec<Span>, Vec<LogRecord>, Finished) {
    let ran = run_program(pack, environment);
    assert_promises_are_kept(&ran.0);
    ran
}

/// The same, whatever the spans are.
pub fn run_program(pack: &str, environment: &[(&str, &str)]) -> (Vec<Span>, Vec<LogRecord>, Finished) {
    let module = format!("packs/{pack}/program");
    let program = woven(&module, &["."]).join(program_name(&module));
    let rig = Rig::new();
    let finished = run(rig.observe("run").envs(environment.iter().copied()).arg("--").arg(program), LIMIT);
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
    (rig.spans(), rig.logs(&["--limit", "1000"]), finished)
}

/// What the go command calls a module's program: the last element of the module's path.
fn program_name(module: &str) -> String {
    let file = repository().join(module).join("go.mod");
    let text = std::fs::read_to_string(file).expect("a go.mod");
    let path = text.lines().find_map(|line| line.strip_prefix("module ")).expect("a module line");
    path.trim().rsplit('/').next().expect("a name").to_owned()
}

/// Spans as a tree: roots by their start, children by what they are, as they may run side by side.
pub fn tree(spans: &[Span]) -> String {
    let known = by_id(spans);
    let mut children: BTreeMap<_, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        let parent = span.parent_span_id.filter(|id| known.contains_key(&(span.trace_id, *id)));
        children.entry((span.trace_id, parent)).or_default().push(span);
    }
    let mut roots: Vec<&Span> =
        children.iter().filter(|(key, _)| key.1.is_none()).flat_map(|(_, spans)| spans.clone()).collect();
    roots.sort_by_key(|span| span.start_unix_nano);
    let branches: Vec<String> = roots.into_iter().map(|root| branch(root, &children, 0)).collect();
    without_ports(branches.concat(), spans)
}

type Children<'a> = BTreeMap<(model::TraceId, Option<model::SpanId>), Vec<&'a Span>>;

fn branch(span: &Span, children: &Children<'_>, depth: usize) -> String {
    let indent = "    ".repeat(depth);
    let mut text = format!("{indent}{} {}", kind(span.kind), span.name);
    if is_error(span) {
        // Both sides have the same deadline; who notices first is chance.
        let timed_out = attribute(span, "rpc.response.status_code") == "DEADLINE_EXCEEDED";
        let _ = write!(text, "  ✗ {}", if timed_out { "" } else { &span.status.message });
    }
    match (depth, span.parent_span_id) {
        (0, Some(parent)) => drop(write!(text, "  below {parent}, which is elsewhere")),
        _ if span.links.is_empty() => {}
        _ => drop(write!(text, "  {} linked", span.links.len())),
    }
    text.push('\n');
    text += &attribute_lines(&span.attributes, &format!("{indent}  ·"));
    for event in span.events.iter().take(EVENTS_SHOWN) {
        let _ = writeln!(text, "{indent}  ! {}", event.name);
        text += &attribute_lines(&event.attributes, &format!("{indent}    ·"));
    }
    if span.events.len() > EVENTS_SHOWN {
        let _ = writeln!(text, "{indent}  ! {} events", span.events.len());
    }
    let below = children.get(&(span.trace_id, Some(span.span_id))).into_iter().flatten();
    let mut below: Vec<String> = below.map(|child| branch(child, children, depth + 1)).collect();
    below.sort();
    text + &below.concat()
}

/// Events and attributes that are shown; of more only the number is.
const EVENTS_SHOWN: usize = 8;
const ATTRIBUTES_SHOWN: usize = 32;

fn attribute_lines(attributes: &Attributes, before: &str) -> String {
    let mut text = String::new();
    for (key, value) in attributes.iter().take(ATTRIBUTES_SHOWN) {
        let mut value = value.to_string().replace('\n', "\\n");
        if key == "exception.stacktrace" {
            value = "<stack>".to_owned();
        } else if key == "process.pid" {
            value = "<pid>".to_owned();
        } else if value.chars().count() > 200 {
            value = format!("<{} characters>", value.chars().count());
        }
        let _ = writeln!(text, "{before} {key} = {value}");
    }
    if attributes.len() > ATTRIBUTES_SHOWN {
        let _ = writeln!(text, "{before} {} attributes", attributes.len());
    }
    text
}

/// Ports that the system chose, by the order in which they were first used.
fn without_ports(mut text: String, spans: &[Span]) -> String {
    let mut by_start: Vec<&Span> = spans.iter().collect();
    by_start.sort_by_key(|span| span.start_unix_nano);
    let keys = ["server.port", "network.peer.port", "client.port"];
    let mut seen = BTreeSet::new();
    for key in keys {
        for span in &by_start {
            let Some(Value::Int(port)) = span.attributes.get(key) else { continue };
            if *port > 1024 && seen.insert(*port) {
                text = text.replace(&port.to_string(), &format!("<port {}>", seen.len()));
            }
        }
    }
    text
}

fn check(pack: &str) {
    if golang::missing(&format!("packs {pack}")) {
        return;
    }
    let (spans, ..) = exercise(pack, &[]);
    insta::assert_snapshot!(pack, tree(&spans));
}

#[test]
fn net_http() {
    check("net-http");
}

#[test]
fn ants() {
    check("ants");
}

#[test]
fn conc() {
    check("conc");
}

#[test]
fn context() {
    check("context");
}

#[test]
fn database_sql() {
    check("database-sql");
}

#[test]
fn grpc() {
    check("grpc");
}

#[test]
fn gin() {
    check("gin");
}

#[test]
fn os_exec() {
    check("os-exec");
}

/// Guarantees of each logging library's program: what is written carries the ids of the span that it is written in; where
/// OTEL_LOGS_EXPORTER asks for them, each record is recorded once, with them, and else none; what is written is the same
/// then; where the trace is not sampled, both say so.
fn check_logs(pack: &str) -> Vec<LogRecord> {
    if golang::missing(&format!("packs {pack}")) {
        return Vec::new();
    }
    let ids = ("TANDEM_LOG_IDS", "true");
    let otlp = ("OTEL_LOGS_EXPORTER", "otlp");
    let (spans, logs, finished) = exercise(pack, &[ids, otlp]);
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

    let (_, none, plain) = exercise(pack, &[ids]);
    assert_eq!(none, []);
    assert_eq!(plain.stdout.lines().count(), finished.stdout.lines().count(), "{plain}");

    let (spans, unsampled, finished) = exercise(pack, &[ids, otlp, ("OTEL_TRACES_SAMPLER", "always_off")]);
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
    if golang::missing("packs otel_metric") {
        return;
    }
    let program = woven("packs/otel-metric/program", &["."]).join("otel-metric");
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

/// What `tandem metrics` shows of what the program counts itself, a line each; of the metric with too many series the sum.
fn own_metrics(rig: &Rig) -> String {
    let output = run(rig.tandem("metrics").arg("--json"), LIMIT);
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
