//! Spans to several receivers of one name: every trace whole at one of them, whoever comes, goes, or falls silent, and none lost.
//!
//! Spans are numbered, four to a trace, one batch after the other with one span of many traces each, as they come from several programs. The
//! receivers are hyper and tonic at several addresses of this machine; what the name resolves to is the test's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::receiver::{Behaviour, Receiver};
use crate::{LIMIT, QUOTA, eventually_with as eventually};
use bytes::Bytes;
use deliver::balance::{self, Balance, BalanceError, Balancer, KeepIn};
use deliver::otlp::config::{Endpoint, ExportConfig};
use deliver::otlp::export;
use deliver::retry::Keep;
use deliver::{Batch, Signal, Sink};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const SPANS: u64 = 4;
/// Traces in a batch.
const AT_ONCE: u64 = 50;
const OFTEN: Balance = Balance { resolve: Duration::from_millis(50), away_after: Duration::from_millis(500) };

fn trace_id(trace: u64) -> Vec<u8> {
    let mut id = vec![7; 16];
    id[8..].copy_from_slice(&trace.to_be_bytes());
    id
}

/// Of so many traces from this one on the spans with this place in their trace.
fn spans(first: u64, place: u64) -> Arc<Batch> {
    let span = |trace: u64| Span {
        trace_id: trace_id(trace),
        name: (trace * SPANS + place).to_string(),
        ..Default::default()
    };
    let spans: Vec<_> = (first..first + AT_ONCE).map(span).collect();
    let records = spans.len() as u32;
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
    Arc::new(Batch { signal: Signal::Traces, resource: Arc::default(), bytes: request.encode_to_vec().into(), records })
}

/// What the name resolves to.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Option<Vec<SocketAddr>>>>);

impl Names {
    fn are(&self, receivers: &[&Receiver]) {
        let addresses = receivers.iter().map(|receiver| receiver.socket_address()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
    }

    fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.ok_or_else(|| io::Error::other("no such name"))
    }
}

struct Bed {
    receivers: Vec<Receiver>,
    names: Names,
    root: tempfile::TempDir,
    endpoint: Endpoint,
}

impl Bed {
    /// So many receivers, which listen, and are all that the name resolves to.
    fn new(grpc: bool, count: u8) -> Self {
        let receivers = Receiver::reserve_all(grpc, count);
        let address = format!("http://collectors.test:{}", receivers[0].socket_address().port());
        let pairs = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", if grpc { "grpc" } else { "http/protobuf" }),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
        ];
        let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let endpoint = ExportConfig::read(value).traces.expect("an endpoint");
        let bed = Self { receivers, names: Names::default(), root: tempfile::tempdir().expect("a folder"), endpoint };
        bed.receivers.iter().for_each(Receiver::listen);
        bed.names.are(&bed.receivers.iter().collect::<Vec<_>>());
        bed
    }

    fn start(&self) -> Balancer {
        self.start_with(OFTEN, Some(self.root.path()))
    }

    /// One that gives up nobody.
    fn start_patiently(&self) -> Balancer {
        self.start_with(Balance { away_after: LIMIT * 10, ..OFTEN }, Some(self.root.path()))
    }

    fn start_with(&self, balance: Balance, root: Option<&Path>) -> Balancer {
        let keep = root.map(|root| KeepIn { root: root.to_owned(), quota: QUOTA });
        let names = self.names.clone();
        balance::spans_to(self.endpoint.clone(), balance, keep, move || names.resolve()).expect("it starts")
    }

    /// All numbers that came; none came twice.
    fn once(&self) -> BTreeSet<u64> {
        let mut all = BTreeSet::new();
        for number in self.receivers.iter().flat_map(Receiver::once) {
            assert!(all.insert(number), "{number} came to two receivers");
        }
        all
    }

    /// How many traces each receiver has spans of; nobody has a trace that another has, too.
    fn shares(&self) -> Vec<usize> {
        let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
        let mut shares = vec![0; self.receivers.len()];
        for (index, receiver) in self.receivers.iter().enumerate() {
            for trace in receiver.all().into_iter().map(|number| number / SPANS).collect::<BTreeSet<_>>() {
                let other = owners.insert(trace, index);
                assert_eq!(other, None, "trace {trace} is split");
                shares[index] += 1;
            }
        }
        shares
    }
}

/// Offers all spans of so many traces.
fn offer(balancer: &Balancer, traces: std::ops::Range<u64>) {
    for place in 0..SPANS {
        for first in traces.clone().step_by(AT_ONCE as usize) {
            balancer.offer(&spans(first, place)).expect("room");
        }
    }
}

fn numbers(traces: std::ops::Range<u64>) -> BTreeSet<u64> {
    (traces.start * SPANS..traces.end * SPANS).collect()
}

fn waiting(balancer: &Balancer) -> u64 {
    balancer.report().queue.expect("a queue").records
}

fn until_empty(balancer: &Balancer) {
    eventually("all is delivered", || format!("{:?}", balancer.report()), || waiting(balancer) == 0);
}

fn number(balancer: &Balancer, name: &str, label: &str) -> u64 {
    let metrics = balancer.metrics();
    let metric = metrics.iter().find(|metric| metric.name == name).expect("a metric");
    metric.points.iter().find(|(value, _)| value == label).expect("a point").1
}

fn until(balancer: &Balancer, is_in: u64) {
    let what = format!("{is_in} are in");
    eventually(
        &what,
        || format!("{:?}", balancer.metrics()),
        || number(balancer, "tandem_balance_addresses", "in") == is_in,
    );
}

/// Guarantee: by gRPC and by HTTP each of three gets whole traces, and a fair share of them; an agent that does not know the other one
/// sends the same traces to the same receivers.
#[test]
fn every_trace_is_whole_at_one_of_them() {
    for grpc in [false, true] {
        let bed = Bed::new(grpc, 3);
        let (one, other) = (bed.start(), bed.start_with(OFTEN, None));
        for first in (0..3000).step_by(AT_ONCE as usize) {
            one.offer(&spans(first, 0)).expect("room");
            other.offer(&spans(first, 1)).expect("room");
            one.offer(&spans(first, 2)).expect("room");
            other.offer(&spans(first, 3)).expect("room");
        }
        until_empty(&one);
        until_empty(&other);
        assert_eq!(bed.once(), numbers(0..3000));
        let shares = bed.shares();
        assert!(shares.iter().all(|share| (800..1200).contains(share)), "{shares:?}");
        assert_eq!(one.report().delivered + other.report().delivered, 12_000);
    }
}

/// Scenario: one of three is down, then goes from the name; another comes. Guarantee: each span arrives once, those that waited for who is gone,
/// too; every trace that began after a change is whole; the changes are counted, and nothing is left of the queue of who has gone.
#[test]
fn what_waits_for_who_goes_goes_to_the_others() {
    let bed = Bed::new(false, 4);
    let [a, b, c, d] = &bed.receivers[..] else { panic!("four") };
    bed.names.are(&[a, b, c]);
    c.stop();
    let balancer = bed.start_patiently();
    offer(&balancer, 0..1000);
    eventually(
        "two have theirs",
        || format!("{:?}", balancer.report()),
        || {
            balancer.report().delivered + waiting(&balancer) == 4000
                && a.all().len() + b.all().len() > 2000
                && balancer.report().queue.expect("a queue").retries > 1
        },
    );
    assert!(waiting(&balancer) > 800, "a third waits");
    bed.names.are(&[a, b]);
    until_empty(&balancer);
    assert_eq!((bed.once(), c.all().len()), (numbers(0..1000), 0));
    bed.shares();
    assert!(number(&balancer, "tandem_balance_moved_spans_total", "") > 800);
    bed.names.are(&[a, b, d]);
    until(&balancer, 3);
    offer(&balancer, 1000..2000);
    until_empty(&balancer);
    assert_eq!(bed.once(), numbers(0..2000));
    let [a, b, c, d] = bed.shares()[..] else { panic!("four") };
    assert!(c == 0 && d > 250 && a + b < 1750, "{a} {b} {c} {d}");
    let changes =
        ["joined", "left", "away", "back"].map(|what| number(&balancer, "tandem_balance_changes_total", what));
    assert_eq!(changes, [1, 1, 0, 0]);
    assert!(number(&balancer, "tandem_balance_in_motion_spans_total", "") > 0);
    let folders = || std::fs::read_dir(bed.root.path()).expect("a folder").count();
    eventually("three and the name have folders", || folders().to_string(), || folders() == 4);
    assert_eq!(balancer.report().delivered, 8000);
}

/// Scenario: one of two refuses connections, in another run it takes them and never answers; later it is well again. Guarantee: the
/// other one gets its traces, also those that had waited for it; then it gets its share again.
#[test]
fn who_does_not_answer_is_out_until_it_does() {
    for silent in [false, true] {
        let bed = Bed::new(silent, 2);
        let [well, ill] = &bed.receivers[..] else { panic!("two") };
        if silent {
            ill.behave(Behaviour::Silent);
        }
        let balancer = bed.start();
        if !silent {
            ill.stop();
        }
        offer(&balancer, 0..1000);
        if silent {
            // The gRPC receiver answers at once, whatever it is asked to do: nobody reads there any more instead.
            ill.stop();
        }
        until(&balancer, 1);
        until_empty(&balancer);
        let before = ill.all().len();
        offer(&balancer, 1000..2000);
        until_empty(&balancer);
        assert_eq!(ill.all().len(), before);
        ill.behave(Behaviour::Well);
        ill.listen();
        until(&balancer, 2);
        offer(&balancer, 2000..3000);
        until_empty(&balancer);
        let all: BTreeSet<_> = well.all().union(&ill.all()).copied().collect();
        assert_eq!(all, numbers(0..3000));
        let of_last = |receiver: &Receiver| receiver.all().range(8000..).count();
        assert!(of_last(ill) > 1200 && of_last(well) > 1200, "{} {}", of_last(ill), of_last(well));
        let changes =
            ["joined", "left", "away", "back"].map(|what| number(&balancer, "tandem_balance_changes_total", what));
        assert_eq!(changes, [0, 0, 1, 1]);
    }
}

/// Scenario: nobody answers anywhere for a while. Guarantee: nothing is moved or lost; both get theirs when they are back.
#[test]
fn when_all_are_away_they_wait_for_each() {
    let bed = Bed::new(true, 2);
    bed.receivers.iter().for_each(Receiver::stop);
    let balancer = bed.start();
    offer(&balancer, 0..1000);
    std::thread::sleep(OFTEN.away_after * 3);
    bed.receivers.iter().for_each(Receiver::listen);
    until_empty(&balancer);
    assert_eq!(bed.once(), numbers(0..1000));
    assert_eq!(balancer.report().delivered, 4000);
}

/// Scenario: the name has no address when the agent starts. Guarantee: what comes waits, and finds its way when there is one.
#[test]
fn a_name_without_addresses_loses_nothing() {
    let bed = Bed::new(false, 3);
    *bed.names.0.lock().expect("locked") = None;
    let balancer = bed.start();
    offer(&balancer, 0..200);
    eventually(
        "it is said",
        || format!("{:?}", balancer.report()),
        || balancer.report().problem.is_some_and(|problem| problem.contains("collectors.test has no address")),
    );
    assert_eq!(waiting(&balancer), 800);
    bed.names.are(&bed.receivers.iter().collect::<Vec<_>>());
    until_empty(&balancer);
    assert_eq!(bed.once(), numbers(0..200));
    assert!(bed.shares().iter().all(|share| *share > 20));
}

/// Scenario: the agent ends while nobody listens; the next one finds other addresses; one after it, of the same kind, does not balance
/// at all. Guarantee: nothing is lost, nothing stays behind.
#[test]
fn what_is_left_on_disk_finds_its_way() {
    let bed = Bed::new(false, 4);
    let [a, b, c, d] = &bed.receivers[..] else { panic!("four") };
    bed.receivers.iter().for_each(Receiver::stop);
    bed.names.are(&[a, b]);
    let first = bed.start();
    offer(&first, 0..500);
    drop(first);
    bed.names.are(&[c, d]);
    let second = bed.start_patiently();
    eventually("it is found", || format!("{:?}", second.report()), || waiting(&second) == 2000);
    offer(&second, 500..600);
    c.listen();
    eventually("a part is delivered", || format!("{:?}", second.report()), || c.all().len() > 800);
    drop(second);
    let left = numbers(0..600).difference(&c.all()).count();
    assert!(left > 0);
    a.listen();
    let uri = bed.endpoint.uri.clone();
    let folder = export::folder(bed.root.path(), Signal::Traces, &uri).expect("a folder");
    let only = Endpoint { only: Some(a.socket_address()), ..bed.endpoint.clone() };
    let third = export::spans(only, Some(Keep { folder, quota: QUOTA })).expect("it starts");
    eventually(
        "the rest is delivered",
        || format!("{:?}", third.report()),
        || a.all().len() + c.all().len() >= 2400 && third.report().queue.expect("a queue").records == 0,
    );
    let all: BTreeSet<_> = a.all().union(&c.all()).copied().collect();
    assert_eq!(all, numbers(0..600));
    assert_eq!(std::fs::read_dir(bed.root.path()).expect("a folder").count(), 1);
}

/// Guarantee: what cannot be read goes to one of them, who may refuse it.
#[test]
fn what_is_malformed_harms_nobody() {
    let bed = Bed::new(false, 2);
    let balancer = bed.start();
    let bytes = Bytes::from_static(b"\x0a\x04\x12\x02\x12\x05");
    let batch = Batch { signal: Signal::Traces, resource: Arc::default(), bytes, records: 1 };
    bed.receivers.iter().for_each(|receiver| receiver.behave(Behaviour::Answer(400, vec![], "what is that?")));
    balancer.offer(&Arc::new(batch)).expect("room");
    until_empty(&balancer);
    assert_eq!(balancer.report().dropped.get("bad_request"), Some(&1));
}

#[test]
fn not_through_a_proxy() {
    let pairs =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collectors.test:4317"), ("HTTP_PROXY", "http://proxy.test:3128")];
    let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let endpoint = ExportConfig::read(value).traces.expect("an endpoint");
    let error = balance::spans(endpoint, OFTEN, None).expect_err("a proxy");
    assert!(matches!(&error, BalanceError::Proxy(to) if to == "collectors.test:4317"), "{error}");
}
