//! The shop (`examples/shop`) with services that are observed in every way there is: woven, plain and observed from outside,
//! instrumented by hand with an SDK that sends to the agent (`tests/shop`), and with services in Go and Python that nobody wove.
//!
//! Guarantees: whatever each service is, each request of a customer makes one trace with one root and exactly one span an
//! operation, each under its caller, the same as in the woven shop, also where work goes on after its request has ended. Needs
//! Go, its modules, the privileges for probes, and for the last of these Python.

#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod golang;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod rig;
#[path = "../e2e/spans.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod spans;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use model::{Kind, Source, Span, SpanId};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use golang::{plain, woven};
use rig::{LIMIT, Rig, Running, program, run};
use spans::{attribute, kind, service, traces};
use support::{get, skip, wait_for};

const MODULE: &str = "examples/shop";
const SERVICES: [&str; 4] = ["gateway", "inventory", "orders", "worker"];
const WOVEN: [&str; 4] = ["./cmd/gateway", "./cmd/inventory", "./cmd/orders", "./cmd/worker"];
const PLAIN: [&str; 2] = ["./cmd/...", "./unwoven/pricing"];

/// What customers ask for in each mix.
const REQUESTS: &str = "60";

fn is_skipped(test: &str) -> bool {
    if let Err(error) = probe::features::require_uprobes() {
        skip(test, &error.to_string());
        return true;
    }
    support::is_without_go(test)
}

/// How a service is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Woven,
    Observed,
    Sdk,
}

/// The shop's programs, in a folder of their own for each mix.
struct Programs {
    folder: TempDir,
}

impl Programs {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program itself, which its script starts.
    fn real(&self, service: &str) -> PathBuf {
        self.path().join("real").join(service)
    }

    /// Puts a service there; what is observed is a file of its own, since that is by what it is found.
    fn add(&self, service: &str, way: Way) {
        let source = match way {
            Way::Woven => woven(MODULE, &WOVEN),
            Way::Observed => plain(MODULE, &PLAIN),
            Way::Sdk => plain("tests/shop", &["."]),
        };
        let source = source.join(if way == Way::Sdk { "instrumented" } else { service });
        let real = self.real(service);
        fs::create_dir_all(real.parent().expect("a folder")).expect("the folder can be written");
        match way {
            Way::Observed => drop(fs::copy(source, &real).expect("a copy")),
            _ => fs::hard_link(source, &real).expect("a link"),
        }
        // Nothing that no request asked for, and whose connection may be older than the look. The SDK's service is as it is.
        let arguments = if service == "worker" && way != Way::Sdk { "--sweep 1h" } else { "" };
        self.add_script(service, &format!("exec {} {arguments} \"$@\"", real.display()));
    }

    /// Puts a Python of its own there, which nobody else runs; whether there is one.
    fn add_python(&self) -> bool {
        let says = "import sys; print(sys.executable, sys.base_prefix, sep='\\n')";
        let Ok(found) = program("python3").args(["-c", says]).output() else { return false };
        let found = String::from_utf8(found.stdout).expect("text");
        let Some((executable, home)) = found.trim_end().split_once('\n') else { return false };
        let real = self.real("python3");
        fs::create_dir_all(real.parent().expect("a folder")).expect("the folder can be written");
        fs::copy(executable, &real).expect("a copy");
        self.add_script("python3", &format!("PYTHONHOME={home} exec {} \"$@\"", real.display()));
        true
    }

    /// Where the shop looks for Python: here first.
    fn search_path(&self) -> String {
        format!("{}:{}", self.path().display(), std::env::var("PATH").unwrap_or_default())
    }

    fn add_script(&self, name: &str, command: &str) {
        let script = self.path().join(name);
        fs::write(&script, format!("#!/bin/sh\n{command}\n")).expect("a file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
}

/// An agent, and where it listens.
struct Agent {
    rig: Rig,
    running: Running,
    metrics: String,
    otlp: String,
}

impl Agent {
    fn start(observe: &[String]) -> Self {
        let rig = Rig::new();
        let mut command = rig.observe("agent");
        command.args(["--otlp=127.0.0.1:0", "--metrics", "127.0.0.1:0", "--socket"]).arg(rig.path().join("agent.sock"));
        for what in observe {
            command.arg("--observe").arg(what);
        }
        let mut running = Running::start(&mut command);
        let metrics = running.address("metrics");
        let otlp = format!("http://{}", running.address("OTLP"));
        wait_for("the agent listens", || rig.path().join("agent.sock").exists());
        Self { rig, running, metrics, otlp }
    }

    fn await_observed(&self, count: usize) {
        await_observed(&self.metrics, count);
    }

    fn finish(self) -> Vec<Span> {
        let finished = self.running.stop();
        assert_eq!(finished.code, 0, "{finished}");
        assert!(!finished.stderr.contains("was lost"), "{finished}");
        self.rig.spans()
    }
}

/// Waits until so many programs are observed, and no more are about to be.
fn await_observed(metrics: &str, count: usize) {
    let wanted = format!("tandem_observed_programs {count}");
    wait_for(&wanted, || {
        let metrics = get(metrics, "/metrics");
        let has = |wanted: &str| metrics.lines().any(|line| line == wanted);
        has(&wanted) && has("tandem_observers_busy 0")
    });
}

/// The gateway's address, of what the shop prints first.
fn gateway_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["addresses"]["gateway"].as_str()?.to_owned())
}

/// The shop while it runs.
struct Shop {
    running: Running,
    gateway: String,
}

impl Shop {
    fn start(programs: &Programs, agent: &Agent, arguments: &[&str]) -> Self {
        let mut command = program(plain(MODULE, &PLAIN).join("shop"));
        command.args(["--json", "--bin-dir"]).arg(programs.path());
        command.arg("--log-dir").arg(programs.path().join("logs")).args(arguments);
        command.env("TANDEM_SOCKET", agent.rig.path().join("agent.sock"));
        command.env("PATH", programs.search_path());
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &agent.otlp).env("OTEL_BSP_SCHEDULE_DELAY", "1000");
        let mut running = Running::start(&mut command);
        let gateway = running.stdout_line(gateway_of);
        Self { running, gateway }
    }

    fn port(&self) -> String {
        self.gateway.rsplit_once(':').expect("a port").1.to_owned()
    }

    fn finish(self) {
        let finished = self.running.stop();
        assert_eq!(finished.code, 0, "{finished}");
    }
}

/// What a span is of, in words that all who tell have: not the route, which not all know, nor ids.
fn operation(span: &Span) -> Option<String> {
    let method = attribute(span, "rpc.method");
    if !method.is_empty() {
        let service = attribute(span, "rpc.service");
        return Some(if service.is_empty() { method } else { format!("{service}/{method}") });
    }
    let method = attribute(span, "http.request.method");
    if method.is_empty() {
        return None;
    }
    let url = attribute(span, "url.full");
    let path = match attribute(span, "url.path") {
        path if !path.is_empty() => path,
        _ => url.splitn(4, '/').nth(3).map_or_else(String::new, |path| format!("/{path}")),
    };
    let mut path = path.split('?').next().unwrap_or_default().to_owned();
    for of_id in ["/orders/", "/reservations/"] {
        if path.starts_with(of_id) {
            path = format!("{of_id}*");
        }
    }
    Some(format!("{method} {path}"))
}

/// Of whom nobody asked anything.
fn is_of_nobody(operation: &str) -> bool {
    operation.ends_with("/healthz") || operation.ends_with("Health/Check") || operation.ends_with("ListUninvoiced")
}

/// All calls of the trace of one request; or what is wrong with it.
fn calls(trace: &[&Span]) -> Result<Vec<String>, String> {
    let known: HashMap<SpanId, &Span> = trace.iter().map(|span| (span.span_id, *span)).collect();
    if known.len() != trace.len() {
        return Err("a span came twice".to_owned());
    }
    let mut served: BTreeMap<SpanId, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut roots = 0;
    for span in trace {
        let parent = match span.parent_span_id {
            None => None,
            Some(parent) => {
                Some(*known.get(&parent).ok_or_else(|| format!("the parent of {} is missing", spans::title(span)))?)
            }
        };
        let Some(operation) = operation(span) else {
            // Whoever tells of databases, of one of its own service.
            match parent {
                Some(parent) if service(parent) != service(span) => {
                    return Err(format!("{} under {}", spans::title(span), spans::title(parent)));
                }
                _ => continue,
            }
        };
        match (span.kind, parent) {
            (Kind::Server, None) => roots += 1,
            (Kind::Server, Some(parent)) => {
                if parent.kind != Kind::Client || self::operation(parent).as_ref() != Some(&operation) {
                    return Err(format!("{operation} served under {}", spans::title(parent)));
                }
                *served.entry(parent.span_id).or_default() += 1;
            }
            (_, Some(parent)) if parent.kind == Kind::Server && service(parent) == service(span) => {
                served.entry(span.span_id).or_default();
            }
            (_, parent) => return Err(format!("{operation} called under {:?}", parent.map(spans::title))),
        }
        let failed = if span.kind == Kind::Client && spans::is_error(span) { " failed" } else { "" };
        calls.push(format!("{} {} {operation}{failed}", service(span), kind(span.kind)));
    }
    if let Some((id, count)) = served.iter().find(|(_, count)| **count != 1) {
        return Err(format!("{} was served {count} times", spans::title(known[id])));
    }
    if roots != 1 {
        return Err(format!("{roots} roots"));
    }
    calls.sort();
    Ok(calls)
}

fn drawn(trace: &[&Span]) -> String {
    let line = |span: &&Span| {
        let parent = span.parent_span_id.map(|parent| parent.to_string()).unwrap_or_default();
        let found = attribute(span, "tandem.parent.source");
        format!("  {} < {parent:16} {:?} {} {found}", span.span_id, span.source, spans::title(span))
    };
    let lines: Vec<_> = trace.iter().map(line).collect();
    format!("{}:\n{}", trace.first().map(|span| span.trace_id.to_string()).unwrap_or_default(), lines.join("\n"))
}

/// Scenario: the shop as it is woven; with each service in turn observed from outside; with all of them observed; with services that
/// have an SDK between woven and observed ones. The same customers buy in each. Guarantees: all mixes have the same traces.
#[test]
fn every_mix_of_services_has_the_same_traces() {
    if is_skipped("shop_mixes every_mix_of_services_has_the_same_traces") {
        return;
    }
    use Way::{Observed, Sdk, Woven};
    let mixes = [
        [Woven; 4],
        [Observed, Woven, Woven, Woven],
        [Woven, Observed, Woven, Woven],
        [Woven, Woven, Observed, Woven],
        [Woven, Woven, Woven, Observed],
        [Observed; 4],
        [Sdk, Woven, Woven, Sdk],
        [Woven, Sdk, Sdk, Woven],
        [Observed, Sdk, Woven, Sdk],
        [Sdk, Observed, Sdk, Observed],
    ];
    let (mut programs, mut observed) = (Vec::new(), Vec::new());
    for mix in &mixes {
        let own = Programs::new();
        for (service, way) in SERVICES.into_iter().zip(*mix) {
            own.add(service, way);
            if way == Observed {
                observed.push(own.real(service).display().to_string());
            }
        }
        programs.push(own);
    }
    let agent = Agent::start(&observed);
    let shops: Vec<Shop> = programs.iter().map(|programs| Shop::start(programs, &agent, &[])).collect();
    agent.await_observed(observed.len());
    for shop in &shops {
        let mut customers = program(plain(MODULE, &PLAIN).join("loadgen"));
        customers.args(["--gateway", &shop.gateway, "--requests", REQUESTS, "--rate", "0", "--concurrency", "4"]);
        let played = run(&mut customers, LIMIT);
        assert_eq!(played.code, 0, "{played}");
    }
    let ports: Vec<String> = shops.iter().map(Shop::port).collect();
    shops.into_iter().for_each(Shop::finish);
    let spans = agent.finish();

    let mut seen: Vec<BTreeMap<Vec<String>, usize>> = vec![BTreeMap::new(); mixes.len()];
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for trace in traces(&spans).values() {
        let root = trace.iter().find(|span| span.parent_span_id.is_none());
        if root.is_some_and(|root| operation(root).is_none_or(|operation| is_of_nobody(&operation))) {
            continue;
        }
        let mix = root.and_then(|root| ports.iter().position(|port| *port == attribute(root, "server.port")));
        match (mix, calls(trace)) {
            (Some(mix), Ok(calls)) => *seen[mix].entry(calls).or_default() += 1,
            (mix, what) => {
                let mix = mix.map(|mix| format!("{:?}", mixes[mix])).unwrap_or_default();
                let what = what.err().unwrap_or_else(|| "no customer's".to_owned());
                wrong.entry(format!("{mix} {what}")).or_default().push(drawn(trace));
            }
        }
    }
    let wrong: Vec<_> = wrong.iter().map(|(what, all)| format!("{} times {what}\n{}", all.len(), all[0])).collect();
    let counts: Vec<usize> = seen.iter().map(|traces| traces.values().sum()).collect();
    assert!(wrong.is_empty(), "{counts:?} right of {REQUESTS} each\n{}", wrong.join("\n"));
    for (mix, own) in mixes.iter().zip(&seen) {
        let more: Vec<_> = own.iter().filter(|(calls, count)| seen[0].get(*calls) != Some(*count)).collect();
        assert_eq!(own, &seen[0], "{mix:?} has others: {more:#?}");
    }
    assert_eq!(counts[0].to_string(), REQUESTS);
}

/// Whether each page that customers asked for is one trace with one root, in which each service is asked by whom it was asked,
/// once; and so many of them. Through a woven gateway, a plain Go service, one in Python, and a woven one.
fn assert_pages(spans: &[Span], count: usize) {
    let all = traces(spans);
    let mut right = 0;
    for trace in all.values() {
        let root = trace.iter().find(|span| span.parent_span_id.is_none());
        if root.is_some_and(|root| operation(root).is_none_or(|operation| is_of_nobody(&operation))) {
            continue;
        }
        let calls = calls(trace).unwrap_or_else(|what| panic!("{what}\n{}", drawn(trace)));
        let services: BTreeSet<&str> =
            trace.iter().map(|span| if service(span).starts_with("python") { "tax" } else { service(span) }).collect();
        assert_eq!(services, ["gateway", "inventory", "pricing", "tax"].into(), "{}", drawn(trace));
        assert_eq!(calls.len(), 9, "{}", drawn(trace));
        // Down from the root, each asks the next.
        let below = |parent: &Span, fits: &dyn Fn(&Span) -> bool| -> &Span {
            let found = trace.iter().find(|span| span.parent_span_id == Some(parent.span_id) && fits(span));
            found.unwrap_or_else(|| panic!("nothing below {}\n{}", spans::title(parent), drawn(trace)))
        };
        let asks = |path: &'static str| move |span: &Span| operation(span).is_some_and(|own| own.contains(path));
        let mut span = *root.expect("a root");
        let mut made = vec![span.source];
        for path in ["/prices/", "/prices/", "/rates/", "/rates/", "/items/", "/items/"] {
            span = below(span, &asks(path));
            made.push(span.source);
        }
        use Source::{Socket, Uprobe, Woven};
        assert_eq!(made, [Woven, Woven, Uprobe, Uprobe, Socket, Socket, Woven], "{}", drawn(trace));
        assert_eq!((service(span), span.kind), ("inventory", Kind::Server), "{}", drawn(trace));
        right += 1;
    }
    assert_eq!(right, count);
}

/// Customers ask for so many product pages, eight at once.
fn ask_for_pages(gateway: &str, count: usize) {
    thread::scope(|scope| {
        for customer in 0..8 {
            scope.spawn(move || {
                for request in 0..count / 8 {
                    get(gateway, &format!("/products/P{}", 100 + (customer + request) % 16));
                }
            });
        }
    });
}

/// The services of the shop, woven, and the two that nobody wove. `None`: this machine lacks something, which was counted.
fn with_unwoven(test: &str) -> Option<Programs> {
    if is_skipped(test) {
        return None;
    }
    let programs = Programs::new();
    if !programs.add_python() {
        skip(test, "there is no python3 in PATH");
        return None;
    }
    SERVICES.into_iter().for_each(|service| programs.add(service, Way::Woven));
    programs.add("pricing", Way::Observed);
    Some(programs)
}

/// Scenario: 240 product pages, eight at once; a woven gateway asks a plain Go service, that asks one in Python, and that a woven
/// one. Guarantees: each request is one trace with one root, in which each is asked by whom it was asked.
#[test]
fn a_trace_goes_through_services_that_nobody_wove() {
    let test = "shop_mixes a_trace_goes_through_services_that_nobody_wove";
    let Some(programs) = with_unwoven(test) else { return };
    let observed = ["pricing", "python3"].map(|name| programs.real(name).display().to_string());
    let agent = Agent::start(&observed);
    let shop = Shop::start(&programs, &agent, &["--with-unwoven"]);
    agent.await_observed(observed.len());
    const PAGES: usize = 240;
    ask_for_pages(&shop.gateway, PAGES);
    shop.finish();
    assert_pages(&agent.finish(), PAGES);
}

/// Scenario: `tandem run` starts the same shop, and is told two names, as `make demo` does; a program of one of these names that
/// somebody else has started runs on the machine, too. Guarantees: of what was started these two are observed, and nothing else is.
#[test]
fn run_observes_of_what_it_starts_whom_it_is_told() {
    let test = "shop_mixes run_observes_of_what_it_starts_whom_it_is_told";
    let Some(programs) = with_unwoven(test) else { return };
    let sleeps = "import time; print('awake', flush=True); time.sleep(1000)";
    let mut other = Running::start(program(programs.path().join("python3")).args(["-c", sleeps]));
    other.stdout_line(|line| (line == "awake").then_some(()));

    let rig = Rig::new();
    let mut command = rig.observe("run");
    command.args(["--metrics", "127.0.0.1:0", "--observe", "pricing", "--observe", "python3", "--"]);
    command
        .arg(plain(MODULE, &PLAIN).join("shop"))
        .args(["--json", "--with-unwoven", "--bin-dir"])
        .arg(programs.path());
    command.arg("--log-dir").arg(programs.path().join("logs")).env("PATH", programs.search_path());
    let mut running = Running::start(&mut command);
    let metrics = running.address("metrics");
    let gateway = running.stdout_line(gateway_of);
    await_observed(&metrics, 2);
    const PAGES: usize = 80;
    ask_for_pages(&gateway, PAGES);
    await_observed(&metrics, 2); // as many as before, though processes were looked through meanwhile
    let finished = running.stop();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(!finished.stderr.contains("was lost"), "{finished}");
    other.signal(Signal::KILL);
    assert_pages(&rig.spans(), PAGES);
    rig.assert_nothing_left();
}
