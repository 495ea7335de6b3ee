//! Services that are observed in every way there is, side by side and in several ways at once.
//!
//! Guarantees: whether a service is woven, plain and observed from outside, instrumented with an SDK of its own that sends to the
//! agent, or two of these at once, and whatever its caller is, each request makes one trace with one root and exactly one
//! span an operation, each under its caller, and counts once in the metrics and in the service graph. `tests/mixed` is the service. Needs Go, its modules,
//! and the privileges for probes.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use model::{Kind, Span, SpanId, TraceId};
use support::{PATIENCE, get, skip, wait_for};

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/mixed");
/// Requests from each kind of service to each.
const REQUESTS: usize = 20;

/// How a service is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    name: &'static str,
    woven: bool,
    sdk: bool,
    observed: bool,
}

const fn way(name: &'static str, woven: bool, sdk: bool, observed: bool) -> Way {
    Way { name, woven, sdk, observed }
}

const WAYS: [Way; 5] = [
    way("woven", true, false, false),
    way("observed", false, false, true),
    way("sdk", false, true, false),
    way("woven-sdk", true, true, false),
    way("observed-sdk", false, true, true),
];

struct Service {
    process: Child,
    input: Option<ChildStdin>,
    address: String,
}

impl Service {
    fn start(program: &Path, name: &str, way: Way, socket: &Path, otlp: &str) -> Self {
        let mut command = Command::new(program);
        command.arg(if way.sdk { "sdk" } else { "plain" });
        command.env("OTEL_SERVICE_NAME", name).env("TANDEM_SOCKET", socket).env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp);
        // An SDK sends every five seconds; on a machine that is busy with much else that may be later than others wait.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1000");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let input = process.stdin.take();
        let mut address = String::new();
        output.read_line(&mut address).expect("it prints");
        Self { process, input, address: address.trim_end().to_owned() }
    }

    /// Has it end, sending what it has.
    fn end(mut self) {
        self.input = None;
        assert!(self.process.wait().expect("it is ours").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn built(command: &str, arguments: &[&str], program: &Path) {
    let mut go = Command::new(command);
    go.args(arguments).arg("-o").arg(program).arg(".").current_dir(SOURCE);
    go.env("TANDEM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    let output = go.output().expect("it starts");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_mix_of_services_makes_one_trace_a_request() {
    let test = "mixed every_mix_of_services_makes_one_trace_a_request";
    if let Err(error) = probe::features::require_uprobes() {
        return skip(test, &error.to_string());
    }
    if support::is_without_go(test) {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let at = |name: &str| folder.path().join(name);
    built("go", &["build"], &at("plain"));
    built(TANDEM, &["go", "build"], &at("woven"));
    // The same program under two names, so that one of them can be observed.
    fs::hard_link(at("plain"), at("observed")).expect("a link");
    fs::copy(at("plain"), at("own")).expect("a copy");
    let socket = at("agent.sock");
    let mut agent = Command::new(TANDEM)
        .args(["agent", "--otlp=127.0.0.1:0", "--metrics", "127.0.0.1:0", "--observe"])
        .arg(at("observed"))
        .arg("--socket")
        .arg(&socket)
        .arg("--store")
        .arg(at("store"))
        .arg(format!("--json={}", at("spans").display()))
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    let mut lines = BufReader::new(agent.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut address_after = |text: &str| {
        let line = lines.find(|line| line.contains(text)).expect("the agent says it");
        line.split_once(text).expect("an address").1.split([' ', '/']).next().expect("an address").to_owned()
    };
    let metrics = address_after("metrics at http://");
    let otlp = format!("http://{}", address_after("OTLP at http://"));
    wait_for("the agent listens", || socket.exists());
    let start = |role: &str, way: Way| {
        let program: PathBuf = match way {
            Way { woven: true, .. } => at("woven"),
            Way { observed: true, .. } => at("observed"),
            _ => at("own"),
        };
        Service::start(&program, &format!("{role}-{}", way.name), way, &socket, &otlp)
    };
    let fronts = WAYS.map(|way| start("front", way));
    let backs = WAYS.map(|way| start("back", way));
    wait_for("four are observed", || {
        let observed = get(&metrics, "/metrics");
        let has = |wanted: &str| observed.lines().any(|line| line == wanted);
        has("tandem_observed_programs 4") && has("tandem_observers_busy 0")
    });
    let mut number = 0;
    for front in &fronts {
        for back in &backs {
            thread::scope(|scope| {
                for turn in 0..REQUESTS {
                    let path = format!("/call?n={}&at={}", number + turn, back.address);
                    scope.spawn(move || get(&front.address, &path));
                }
            });
            number += REQUESTS;
        }
    }
    fronts.into_iter().chain(backs).for_each(Service::end);
    let deadline = Instant::now() + PATIENCE;
    let mut measured = String::new();
    while Instant::now() < deadline && !(is_measured(&measured) && wrong_edges(&measured).is_empty()) {
        measured = get(&metrics, "/metrics");
        thread::sleep(Duration::from_millis(50));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
        .expect("it runs");
    let _ = lines.by_ref().count();
    assert!(agent.wait().expect("it is ours").success());

    let spans = fs::read_to_string(at("spans")).expect("spans");
    let spans: Vec<Span> = spans.lines().map(|line| serde_json::from_str(line).expect("a span")).collect();
    let mut traces: BTreeMap<TraceId, Vec<Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace_id).or_default().push(span);
    }
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for trace in traces.values() {
        match mix_of(trace) {
            Ok(mix) => *seen.entry(mix).or_default() += 1,
            Err(what) => wrong.entry(what).or_default().push(drawn(trace)),
        }
    }
    let examples: Vec<_> =
        wrong.iter().map(|(what, all)| format!("{what}, {} times:\n{}", all.len(), all[0])).collect();
    let all: BTreeMap<String, usize> = WAYS
        .iter()
        .flat_map(|front| WAYS.iter().map(move |back| (format!("front-{} back-{}", front.name, back.name), REQUESTS)))
        .collect();
    let missing: Vec<_> = all.iter().filter(|(mix, _)| seen.get(*mix) != Some(&REQUESTS)).collect();
    assert!(wrong.is_empty() && seen == all, "{}\nnot all of: {missing:#?}\n{seen:#?}", examples.join("\n"));
    assert!(is_measured(&measured), "{measured}");
    assert_eq!(wrong_edges(&measured), [""; 0], "{measured}");
}

/// What of the service graph is not as it should be: each front has asked each back so often, and a database as often as it was asked.
fn wrong_edges(metrics: &str) -> Vec<String> {
    let requests = |client: &str, server: &str| -> usize {
        let lines = metrics.lines().filter(|line| {
            let has = |name: &str, value: &str| line.contains(&format!("{name}=\"{value}\""));
            line.starts_with("traces_service_graph_request_total{") && has("client", client) && has("server", server)
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    };
    let mut wrong = Vec::new();
    for front in &WAYS {
        for back in &WAYS {
            let [client, server] = [format!("front-{}", front.name), format!("back-{}", back.name)];
            let count = requests(&client, &server);
            if count != REQUESTS {
                wrong.push(format!("{client} has asked {server} {count} times"));
            }
        }
    }
    wrong
}

/// Each service has answered each request once.
fn is_measured(metrics: &str) -> bool {
    let expected = REQUESTS * WAYS.len();
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("traces_span_metrics_calls_total{")) {
        let label = |name: &str| line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next());
        if let (Some(service), Some("SPAN_KIND_SERVER")) = (label("service_name"), label("span_kind")) {
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a number");
            *calls.entry(service.to_owned()).or_default() += count as usize;
        }
    }
    calls.len() == 2 * WAYS.len() && calls.values().all(|&count| count == expected)
}

/// Which services the trace of one request went through, or what is wrong with it.
fn mix_of(trace: &[Span]) -> Result<String, String> {
    let find = |what: &str, kind: Kind, role: &str, parent: Option<SpanId>| {
        let is_query = |span: &Span| span.attributes.keys().any(|key| key.starts_with("db."));
        let fits =
            |span: &&Span| span.kind == kind && span.service.starts_with(role) && is_query(span) == (what == "query");
        let found: Vec<_> = trace.iter().filter(fits).collect();
        match found[..] {
            [span] if span.parent_span_id == parent => Ok(span),
            [_] => Err(format!("{what} under another parent")),
            _ => Err(format!("{what}: {} spans", found.len())),
        }
    };
    let front = find("front", Kind::Server, "front-", None)?;
    let call = find("call", Kind::Client, "front-", Some(front.span_id))?;
    let back = find("back", Kind::Server, "back-", Some(call.span_id))?;
    find("query", Kind::Client, "back-", Some(back.span_id))?;
    match trace.len() {
        4 => Ok(format!("{} {}", front.service, back.service)),
        more => Err(format!("{more} spans")),
    }
}

fn drawn(trace: &[Span]) -> String {
    let mut lines: Vec<_> = trace
        .iter()
        .map(|span| {
            let parent = span.parent_span_id.map(|parent| parent.to_string()).unwrap_or_default();
            let found = span.attributes.get("tandem.parent.source");
            format!(
                "  {} {:16} < {parent:16} {:?} {:?} {} {} {} {found:?}",
                span.trace_id,
                span.span_id.to_string(),
                span.kind,
                span.source,
                span.service,
                span.scope,
                span.name
            )
        })
        .collect();
    lines.sort();
    lines.join("\n")
}
