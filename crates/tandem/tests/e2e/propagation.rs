//! Three woven processes in a row (`tests/chain`: net/http, gRPC, net/http), each with propagators and samplers of its own.
//!
//! Guarantees: by each propagator a request is one trace from the first process to the last, with the tracestate and the
//! baggage that came with it; without any, each process has its own. Samplers by ratio keep the same traces everywhere and
//! tell their threshold; what was exported is exactly what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use model::{Kind, Span, SpanId, Value};

use crate::agent::machine;
use crate::golang::woven;
use crate::rig::{self, LIMIT, Rig, Running, eventually};
use crate::spans::by_id;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

type Variables<'a> = &'a [(&'a str, &'a str)];
type Headers = BTreeMap<String, Vec<String>>;

/// The agent that all rows of a test have.
struct Observed {
    rig: Rig,
    agent: Running,
    socket: PathBuf,
}

impl Observed {
    fn new() -> Self {
        let rig = Rig::new();
        let socket = rig.path().join("agent.sock");
        let mut agent = Running::start(rig.observe("agent").arg("--socket").arg(&socket));
        agent.stderr_line(|line| line.contains("listening").then_some(()));
        Self { rig, agent, socket }
    }

    /// Three processes; `environments` are those of front, middle and back.
    fn row(&self, name: &str, environments: [Variables<'_>; 3]) -> Row {
        let start = |role: &str, next: Option<&str>, environment: Variables<'_>| {
            let mut command = rig::program(woven("tests/chain", &["."]).join("chain"));
            command.arg(role).args(next).env("TANDEM_SOCKET", &self.socket);
            command.env("OTEL_SERVICE_NAME", format!("{name} {role}")).envs(environment.iter().copied());
            let mut running = Running::start(&mut command);
            let address = running.stdout_line(|line| Some(line.strip_prefix("address ")?.to_owned()));
            (running, address)
        };
        let (back, back_address) = start("back", None, environments[2]);
        let (middle, middle_address) = start("middle", Some(&back_address), environments[1]);
        let (front, address) = start("front", Some(&middle_address), environments[0]);
        Row { processes: [front, middle, back], address }
    }

    /// Waits for so many spans, ends the agent, and returns all that came, by the name of their row.
    fn spans(self, count: usize) -> BTreeMap<String, Vec<Span>> {
        eventually(LIMIT, || (self.rig.spans().len() >= count).then_some(()));
        let finished = self.agent.stop();
        assert_eq!(finished.code, 0, "{finished}");
        let mut rows: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in self.rig.spans() {
            let (row, _) = span.service.rsplit_once(' ').expect("a row and a role");
            rows.entry(row.to_owned()).or_default().push(span);
        }
        self.rig.assert_nothing_left();
        rows
    }
}

struct Row {
    processes: [Running; 3],
    address: String,
}

impl Row {
    /// Sends a request with these headers. Returns those that the last process got.
    fn ask(&self, headers: &[&str]) -> Headers {
        let mut connection = TcpStream::connect(&self.address).expect("the front listens");
        connection.set_read_timeout(Some(LIMIT)).expect("a limit");
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        write!(connection, "GET /front HTTP/1.0\r\nHost: front\r\n{lines}\r\n").expect("a request is sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{answer}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Ends the processes. Returns what they wrote to standard error.
    fn end(self) -> String {
        let finished = self.processes.map(Running::finish);
        assert!(finished.iter().all(|finished| finished.code == 0));
        finished.iter().map(|finished| finished.stderr.as_str()).collect()
    }
}

fn role(span: &Span) -> &str {
    span.service.rsplit_once(' ').map_or("", |(_, role)| role)
}

/// The way from a span up to where its parent is not known: the roles and kinds, and that parent.
fn way_up(span: &Span, spans: &[Span]) -> (Vec<String>, Option<SpanId>) {
    let known = by_id(spans);
    let (mut way, mut at) = (Vec::new(), span);
    loop {
        way.push(format!("{} {:?}", role(at), at.kind));
        match at.parent_span_id.map(|parent| known.get(&(at.trace_id, parent)).ok_or(parent)) {
            Some(Ok(parent)) => at = parent,
            Some(Err(parent)) => return (way, Some(parent)),
            None => return (way, None),
        }
    }
}

/// Scenario: each list of propagators, with a request that begins a trace and one that goes on with one.
#[test]
fn each_propagator_makes_one_trace() {
    if crate::support::is_without_go("propagation each_propagator_makes_one_trace") {
        return;
    }
    let _machine = machine();
    let observed = Observed::new();
    let w3c = [format!("traceparent: 00-{TRACE}-{SPAN}-01"), "tracestate: vendor=1,other=2".to_owned()];
    let single = [format!("b3: {TRACE}-{SPAN}-1")];
    let several = [format!("X-B3-TraceId: {TRACE}"), format!("X-B3-SpanId: {SPAN}"), "X-B3-Sampled: 1".to_owned()];
    let several_names = ["X-B3-Traceid", "X-B3-Spanid", "X-B3-Sampled"];
    // The list, what comes, and which headers go to the last process with it.
    let cases: [(&str, &[String], &[&str]); 6] = [
        ("", &w3c, &["Traceparent", "Tracestate", "Baggage"]),
        ("tracecontext", &w3c, &["Traceparent", "Tracestate"]),
        ("b3", &single, &["B3"]),
        ("b3multi,baggage", &several, &[&several_names[..], &["Baggage"]].concat()),
        ("tracecontext,b3,baggage", &single, &["Traceparent", "B3", "Baggage"]),
        ("none", &w3c, &[]),
    ];
    let carriers = [&several_names[..], &["Traceparent", "Tracestate", "Baggage", "B3"]].concat();
    for (list, come, go) in cases {
        let name = if list.is_empty() { "default" } else { list };
        let row = observed.row(name, [&[("OTEL_PROPAGATORS", list)]; 3]);
        row.ask(&[]);
        let baggage = "baggage: user=alice;since=1 , id=%C3%A4";
        let got = row.ask(&come.iter().map(String::as_str).chain([baggage]).collect::<Vec<_>>());
        let names: BTreeSet<&str> = got.keys().map(String::as_str).filter(|name| carriers.contains(name)).collect();
        assert_eq!(names, go.iter().copied().collect(), "{list}: {got:?}");
        let value = |name: &str| got.get(name).map(|values| values.join("|"));
        if names.contains("Tracestate") {
            assert_eq!(value("Tracestate").as_deref(), Some("vendor=1,other=2"), "{list}");
        }
        if names.contains("Baggage") {
            assert_eq!(value("Baggage").as_deref(), Some("user=alice;since=1 , id=%C3%A4"), "{list}");
        }
        assert_eq!(row.end(), "", "{list}");
    }
    let unknown = observed.row("unknown", [&[("OTEL_PROPAGATORS", "xray,tracecontext,xrays")]; 3]);
    unknown.ask(&[]);
    unknown.ask(&[&w3c[0]]);
    assert_eq!(unknown.end().matches("tandem: warning: OTEL_PROPAGATORS: xray").count(), 2 * 3);

    let rows = observed.spans(7 * 10);
    assert_eq!(rows.len(), 7, "{:?}", rows.keys());
    for (name, spans) in rows {
        assert_eq!(spans.len(), 10, "{name}: two requests, five spans each");
        let ways = |of: &str, kind| {
            let spans_of = spans.iter().filter(|span| role(span) == of && span.kind == kind);
            let mut ways: Vec<_> = spans_of.map(|span| way_up(span, &spans)).collect();
            ways.sort_by_key(|(_, above)| above.is_some());
            ways
        };
        let way = |roles: &[&str]| roles.iter().map(|&role| role.to_owned()).collect::<Vec<_>>();
        if name == "none" {
            let alone = |role: &str| (way(&[role]), None);
            assert_eq!(ways("back", Kind::Server), [alone("back Server"), alone("back Server")]);
            assert_eq!(ways("middle", Kind::Server), [alone("middle Server"), alone("middle Server")]);
            assert_eq!(ways("front", Kind::Server), [alone("front Server"), alone("front Server")]);
            continue;
        }
        let whole = way(&["back Server", "middle Client", "middle Server", "front Client", "front Server"]);
        let came = SpanId::parse(SPAN);
        assert_eq!(ways("back", Kind::Server), [(whole.clone(), None), (whole, came)], "{name}");
        assert!(spans.iter().any(|span| span.trace_id.to_string() == TRACE), "{name}");
    }
}

/// The header that the last process got of one that there is once.
fn the<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let values = headers.get(name)?;
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    Some(&values[0])
}

/// Scenario: the front keeps half of the traces, the middle a quarter by itself, the back what the middle keeps. Some
/// requests begin a trace; others come with a tracestate that has a randomness of its own.
#[test]
fn samplers_decide_alike() {
    if crate::support::is_without_go("propagation samplers_decide_alike") {
        return;
    }
    let _machine = machine();
    let observed = Observed::new();
    let ratio = |ratio| [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
    let (half, quarter) = (ratio("0.5"), ratio("0.25"));
    let row = observed.row("ratios", [&half, &quarter, &[]]);
    let mut expected = BTreeMap::new();
    for number in 0..60_u64 {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
        let explicit = format!("tracestate: vendor=1,ot=rv:{random:014x}");
        // The ids say the contrary of what "rv" says.
        let parent = format!("traceparent: 00-{:016x}{:016x}-{SPAN}-01", number + 1, !random & ((1 << 56) - 1));
        let headers: [&str; 2] = [&parent, &explicit];
        let got = row.ask(if number % 2 == 0 { &[] } else { &headers });
        let traceparent = the(&got, "Traceparent").expect("a trace").to_owned();
        let trace = &traceparent[3..35];
        let random = if number % 2 == 0 { u64::from_str_radix(&trace[18..], 16).expect("digits") } else { random };
        let (front, middle) = (random >= 1 << 55, random >= 3 << 54);
        assert_eq!(&traceparent[53..], if middle { "01" } else { "00" }, "{traceparent}");
        let threshold = if middle { "th:c" } else { "" };
        let state = match (number % 2, threshold) {
            (0, "") => None,
            (0, threshold) => Some(format!("ot={threshold}")),
            (_, "") => the(&got, "Tracestate").map(str::to_owned),
            (_, threshold) => Some(format!("ot={threshold};rv:{random:014x},vendor=1")),
        };
        assert_eq!(the(&got, "Tracestate"), state.as_deref());
        if number % 2 == 1 && !middle {
            let mut members: Vec<&str> = the(&got, "Tracestate").expect("what came").split(',').collect();
            members.sort_unstable();
            assert_eq!(members, [&format!("ot=rv:{random:014x}"), "vendor=1"]);
        }
        let mut spans = BTreeSet::new();
        spans.extend(front.then_some(["front Server", "front Client"]).into_iter().flatten());
        spans.extend(middle.then_some(["middle Server", "middle Client", "back Server"]).into_iter().flatten());
        expected.insert(trace.to_owned(), spans.into_iter().map(str::to_owned).collect::<BTreeSet<_>>());
    }
    assert_eq!(row.end(), "");
    assert_eq!(expected.len(), 60, "a trace came twice");
    expected.retain(|_, spans| !spans.is_empty());

    // A parent's decision, and one that nobody knows.
    let row = observed.row(
        "parents",
        [
            &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")],
            &[("OTEL_TRACES_SAMPLER", "Parentbased_TraceIDRatio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
            &[("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_TRACES_SAMPLER_ARG", "often")],
        ],
    );
    let got = row.ask(&[]);
    assert!(the(&got, "Traceparent").expect("a trace").ends_with("-00"), "{got:?}");
    let kept = "00-4bf92f3577b34da6a3ffffffffffffff-00f067aa0ba902b7-03";
    let got = row.ask(&[&format!("traceparent: {kept}"), "tracestate: ot=th:fd70a4"]);
    let traceparent = the(&got, "Traceparent").expect("a trace");
    assert!(traceparent.starts_with(&kept[..36]) && traceparent.ends_with("-03"), "{traceparent}");
    assert_eq!(the(&got, "Tracestate"), Some("ot=th:fd70a4"));
    let said = row.end();
    assert!(said.contains("tandem: warning: OTEL_TRACES_SAMPLER: sometimes is not known here"), "{said}");

    let count = expected.values().map(BTreeSet::len).sum::<usize>() + 5;
    let rows = observed.spans(count);
    let mut exported: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in &rows["ratios"] {
        let spans = exported.entry(span.trace_id.to_string()).or_default();
        assert!(spans.insert(format!("{} {:?}", role(span), span.kind)), "a span came twice");
    }
    assert_eq!(exported, expected);
    assert_eq!(rows["parents"].len(), 5);
}

/// Scenario: limits on what a span may hold, of which one is no number.
#[test]
fn limits_of_the_environment_are_kept() {
    if crate::support::is_without_go("propagation limits_of_the_environment_are_kept") {
        return;
    }
    let _machine = machine();
    let observed = Observed::new();
    let limits = [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "2"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "lots"),
        ("OTEL_SDK_DISABLED", "perhaps"),
    ];
    let row = observed.row("limits", [&limits, &[], &[]]);
    row.ask(&[]);
    let said = row.end();
    let warnings: Vec<&str> = said.lines().collect();
    assert_eq!(
        warnings,
        [
            "tandem: warning: OTEL_SDK_DISABLED: perhaps is neither true nor false; it counts as false",
            "tandem: warning: OTEL_SPAN_EVENT_COUNT_LIMIT: lots is not a number; it is ignored",
        ]
    );
    let rows = observed.spans(5);
    let (limited, free): (Vec<_>, Vec<_>) = rows["limits"].iter().partition(|span| role(span) == "front");
    assert_eq!((limited.len(), free.len()), (2, 3));
    for span in limited {
        assert_eq!(span.attributes.len(), 3, "{:?}", span.attributes);
        let texts = span.attributes.values().filter_map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        });
        assert!(texts.into_iter().all(|text| text.chars().count() <= 4), "{:?}", span.attributes);
    }
    assert!(free.iter().all(|span| span.attributes.len() > 3));
}
