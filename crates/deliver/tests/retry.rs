//! Nothing is lost on the way: numbered spans, a receiver that does everything receivers do, and a count at the end.
//!
//! `make soak` is [`chaos`] for an hour. The receivers are hyper for HTTP and tonic for gRPC; certificates are made by `openssl`. Whatever was offered has arrived at
//! least once, or is counted under a cause, or waits on disk: the three add up in every test.

mod balance;
mod receiver;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use deliver::otlp::config::ExportConfig;
use deliver::otlp::export;
use deliver::retry::{Keep, RetryQueue};
use deliver::{Batch, Signal, Sink};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use receiver::{Behaviour, Receiver};

/// How long anything may take on a machine that is busy with something else.
const LIMIT: Duration = Duration::from_secs(60);
const QUOTA: u64 = 512 << 20;
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
const GZIP: (&str, &str) = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");

/// Spans with these numbers as names, and so many bytes of something else each.
fn numbered(numbers: Range<u64>, padding: usize) -> Arc<Batch> {
    let trace_state = "x".repeat(padding);
    let span = |number: u64| Span { name: number.to_string(), trace_state: trace_state.clone(), ..Default::default() };
    let records = (numbers.end - numbers.start) as u32;
    let scope_spans = vec![ScopeSpans { spans: numbers.map(span).collect(), ..Default::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
    let bytes = Bytes::from(request.encode_to_vec());
    Arc::new(Batch { signal: Signal::Traces, resource: Arc::default(), bytes, records })
}

fn start_with(pairs: &[(&str, &str)], root: Option<&Path>, quota: u64) -> RetryQueue {
    let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = ExportConfig::read(value);
    assert_eq!(config.warnings, [""; 0]);
    let endpoint = config.traces.expect("an endpoint");
    let folder = root.map(|root| export::folder(root, Signal::Traces, &endpoint.uri).expect("a folder"));
    export::spans(endpoint, folder.map(|folder| Keep { folder, quota })).expect("it starts")
}

fn start(address: &str, root: &Path) -> RetryQueue {
    start_with(&[(ENDPOINT, address)], Some(root), QUOTA)
}

fn offer(queue: &RetryQueue, numbers: Range<u64>, at_once: u64) {
    for first in numbers.clone().step_by(at_once as usize) {
        queue.offer(&numbered(first..(first + at_once).min(numbers.end), 0)).expect("room");
    }
}

fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_with(what, || (), holds);
}

fn eventually_with<D: std::fmt::Debug>(what: &str, state: impl Fn() -> D, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: {:?}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn waiting(queue: &RetryQueue) -> u64 {
    queue.report().queue.expect("a queue").records
}

fn until_empty(queue: &RetryQueue) {
    eventually("everything is delivered or counted", || waiting(queue) == 0);
}

fn numbers(range: Range<u64>) -> BTreeSet<u64> {
    range.collect()
}

/// Files of segments below a folder.
fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "segment") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Scenario: nobody listens; the agent ends and starts again, twice; then somebody listens. Guarantee: each span arrives once, and
/// nothing is left on disk.
#[test]
fn an_outage_and_restarts_lose_nothing() {
    for grpc in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        let address = receiver.address();
        let start = || {
            let mut pairs = vec![(ENDPOINT, address.as_str())];
            pairs.extend(grpc.then_some(GRPC));
            start_with(&pairs, Some(root.path()), QUOTA)
        };
        let first = start();
        offer(&first, 0..1000, 7);
        first.flush(Instant::now() + Duration::from_millis(300));
        assert_eq!((waiting(&first), first.report().delivered), (1000, 0));
        assert!(first.report().problem.expect("said").contains("refused"), "{:?}", first.report());
        drop(first);

        let second = start();
        offer(&second, 1000..1500, 100);
        eventually("what was left is found", || waiting(&second) == 1500);
        drop(second); // without a flush

        let third = start();
        offer(&third, 1500..1510, 1);
        receiver.listen();
        until_empty(&third);
        assert_eq!(third.report().delivered, 1510);
        assert_eq!(receiver.once(), numbers(0..1510));
        eventually("the disk is free again", || segments(root.path()).is_empty());
    }
}

/// Scenario: all is well. Guarantee: nothing is written.
#[test]
fn nothing_is_written_while_all_is_well() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    receiver.listen();
    let queue = start(&receiver.address(), root.path());
    offer(&queue, 0..100, 10);
    until_empty(&queue);
    queue.flush(Instant::now() + LIMIT);
    assert_eq!(receiver.once(), numbers(0..100));
    assert_eq!(queue.report().dropped.len(), 0);
}

/// Scenario: a receiver that takes its time for each request, then hangs without an answer, then is well. Guarantee: each span
/// arrives, whoever offers never waits.
#[test]
fn a_slow_and_a_silent_receiver_lose_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    receiver.behave(Behaviour::Silent);
    receiver.listen();
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    let address = receiver.address();
    let queue = start_with(&[(ENDPOINT, &address), timeout], Some(root.path()), QUOTA);
    offer(&queue, 0..200, 10);
    eventually("it is tried again", || queue.report().queue.expect("a queue").retries >= 2);
    assert!(queue.report().problem.expect("said").contains("did not answer within 300ms"));
    receiver.behave(Behaviour::Slow(Duration::from_millis(50)));
    offer(&queue, 200..400, 10);
    until_empty(&queue);
    // A request that timed out may have been read by the receiver, which did not count it: it never answered.
    assert_eq!(receiver.all(), numbers(0..400));
    assert_eq!(queue.report().delivered, 400);
}

/// Scenario: a receiver asks for time: in seconds, by a date of a clock that is years wrong, by gRPC's details. Guarantee: it gets
/// that time, and then everything once.
#[test]
fn a_receiver_gets_the_time_that_it_asks_for() {
    let date = [("date", "Fri, 31 Dec 1999 23:59:58 GMT"), ("retry-after", "Sat, 01 Jan 2000 00:00:00 GMT")];
    let cases = [
        (false, Behaviour::Answer(429, vec![("retry-after", "2")], ""), 2),
        (false, Behaviour::Answer(503, date.to_vec(), ""), 2),
        (true, Behaviour::Exhausted(Duration::from_millis(1500)), 1),
    ];
    for (grpc, behaviour, seconds) in cases {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        receiver.behave(behaviour);
        receiver.listen();
        let address = receiver.address();
        let mut pairs = vec![(ENDPOINT, address.as_str())];
        pairs.extend(grpc.then_some(GRPC));
        let queue = start_with(&pairs, Some(root.path()), QUOTA);
        offer(&queue, 0..50, 5);
        eventually("it is asked", || receiver.requests().len() == 1);
        receiver.behave(Behaviour::Well);
        until_empty(&queue);
        assert_eq!(receiver.once(), numbers(0..50));
        let requests = receiver.requests();
        assert!(requests[1] - requests[0] >= Duration::from_secs(seconds), "{:?}", requests[1] - requests[0]);
    }
}

/// Scenario: a receiver rejects some spans of each request. Guarantee: they are counted, nothing is sent again.
#[test]
fn what_is_rejected_in_part_is_not_sent_again() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    receiver.behave(Behaviour::Rejects(3));
    receiver.listen();
    let queue = start(&receiver.address(), root.path());
    offer(&queue, 0..10, 10);
    until_empty(&queue);
    let report = queue.report();
    assert_eq!((report.delivered, report.dropped["rejected"], receiver.requests().len()), (7, 3, 1));
    assert_eq!(report.problem.as_deref(), Some("the receiver says: too old"));
}

/// Scenario: every status. Guarantee: those that OTLP calls so are tried again and lose nothing, the others are counted by their
/// cause, with the receiver's words; the queue goes on either way.
#[test]
fn every_status_has_its_consequence() {
    let http = [
        (400, "bad_request"),
        (401, "unauthorized"),
        (403, "unauthorized"),
        (404, "not_found"),
        (405, "not_found"),
        (413, "too_large"),
        (418, "refused"),
        (422, "bad_request"),
        (429, ""),
        (500, "server_error"),
        (501, "not_found"),
        (502, ""),
        (503, ""),
        (504, ""),
        (505, "server_error"),
        (301, "redirected"),
        (302, "redirected"),
        (307, "redirected"),
        (308, "redirected"),
        (304, "redirected"),
    ];
    let grpc = [
        (1, ""),
        (2, "server_error"),
        (3, "bad_request"),
        (4, ""),
        (5, "not_found"),
        (6, "refused"),
        (7, "unauthorized"),
        (8, "exhausted"),
        (9, "bad_request"),
        (10, ""),
        (11, ""),
        (12, "not_found"),
        (13, "server_error"),
        (14, ""),
        (15, ""),
        (16, "unauthorized"),
    ];
    let cases = http.map(|(status, cause)| (false, status, cause)).into_iter();
    for (grpc, status, cause) in cases.chain(grpc.map(|(code, cause)| (true, code, cause))) {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        receiver.behave(match grpc {
            true => Behaviour::Status(status.into()),
            false => Behaviour::Answer(status, vec![("location", "http://elsewhere/v1/traces")], "who are you?"),
        });
        receiver.listen();
        let address = receiver.address();
        let mut pairs = vec![(ENDPOINT, address.as_str())];
        pairs.extend(grpc.then_some(GRPC));
        let queue = start_with(&pairs, Some(root.path()), QUOTA);
        offer(&queue, 0..2, 1);
        let of = format!("{grpc} {status}");
        if cause.is_empty() {
            eventually("it is tried again", || queue.report().queue.expect("a queue").retries > 0);
            receiver.behave(Behaviour::Well);
            until_empty(&queue);
            assert_eq!(receiver.once(), numbers(0..2), "{of}");
            assert_eq!((queue.report().delivered, queue.report().dropped.len()), (2, 0), "{of}");
            continue;
        }
        until_empty(&queue);
        let report = queue.report();
        assert_eq!((report.delivered, report.dropped.get(cause)), (0, Some(&2)), "{of}: {report:?}");
        let words = if cause == "redirected" { "elsewhere" } else { "who are you?" };
        assert!(report.problem.as_deref().is_some_and(|problem| problem.contains(words)), "{of}: {report:?}");
        receiver.behave(Behaviour::Well);
        offer(&queue, 2..4, 1);
        until_empty(&queue);
        assert_eq!(receiver.once(), numbers(2..4), "{of}");
    }
}

/// Scenario: a receiver that takes only small requests. Guarantee: it gets them in parts, all of them; a span that is too large
/// by itself is counted.
#[test]
fn what_is_too_large_is_divided() {
    for grpc in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        receiver.limit(20_000);
        let address = receiver.address();
        let mut pairs = vec![(ENDPOINT, address.as_str())];
        pairs.extend(grpc.then_some(GRPC));
        let queue = start_with(&pairs, Some(root.path()), QUOTA);
        for first in (0..400).step_by(100) {
            queue.offer(&numbered(first..first + 100, 1000)).expect("room");
        }
        queue.offer(&numbered(400..401, 30_000)).expect("room");
        queue.offer(&numbered(401..410, 10)).expect("room");
        receiver.listen();
        until_empty(&queue);
        let report = queue.report();
        assert_eq!((report.delivered, report.dropped["too_large"]), (409, 1), "{report:?}");
        let mut expected = numbers(0..410);
        expected.remove(&400);
        assert_eq!(receiver.once(), expected);
    }
}

/// Scenario: a receiver that takes nothing compressed. Guarantee: it gets it uncompressed.
#[test]
fn compression_that_is_refused_is_done_without() {
    for grpc in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        receiver.refuse_compression();
        receiver.listen();
        let address = receiver.address();
        let mut pairs = vec![(ENDPOINT, address.as_str()), GZIP];
        pairs.extend(grpc.then_some(GRPC));
        let queue = start_with(&pairs, Some(root.path()), QUOTA);
        offer(&queue, 0..10, 1);
        until_empty(&queue);
        assert_eq!(queue.report().delivered, 10, "{:?}", queue.report());
        assert_eq!(receiver.once(), numbers(0..10));
    }
}

/// Scenario: more waits than the quota has room for. Guarantee: the quota is kept, the oldest goes, every span has arrived or is
/// counted, and the newest have all arrived.
#[test]
fn a_full_quota_gives_up_the_oldest_and_counts_it() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let address = receiver.address();
    let quota = 1 << 20;
    let queue = start_with(&[(ENDPOINT, &address)], Some(root.path()), quota);
    let size = numbered(0..10, 1000).bytes.len() as u64;
    let count = 3 * quota / size;
    for batch in 0..count {
        queue.offer(&numbered(10 * batch..10 * batch + 10, 1000)).expect("room");
    }
    let total = 10 * count;
    queue.flush(Instant::now() + Duration::from_millis(500));
    let (left, report) = (waiting(&queue), queue.report());
    assert_eq!(left + report.dropped["quota"], total, "{report:?}");
    let on_disk: u64 = segments(root.path()).iter().map(|file| fs::metadata(file).map_or(0, |file| file.len())).sum();
    assert!(on_disk <= quota, "{on_disk}");
    drop(queue);

    let queue = start_with(&[(ENDPOINT, &address)], Some(root.path()), quota);
    eventually("what was left is found", || waiting(&queue) == left);
    receiver.listen();
    until_empty(&queue);
    assert_eq!(queue.report().delivered, left);
    assert_eq!(receiver.once(), numbers(total - left..total), "the newest");
    assert!(left * size / 10 > quota * 3 / 4, "{left} of {total}: too much has been given up");
}

/// Scenario: the disk is full: a file system of 1 MiB. Guarantee: what is on disk and what fits in memory arrives.
#[test]
fn a_full_disk_is_survived() {
    let root = tempfile::tempdir().expect("a folder");
    let Some(disk) = receiver::SmallDisk::mount(root.path(), "size=1m") else {
        return skip("retry a_full_disk_is_survived", "mounting a small file system needs root");
    };
    let receiver = Receiver::reserve(false);
    let address = receiver.address();
    let queue = start_with(&[(ENDPOINT, &address)], Some(root.path()), QUOTA);
    for batch in 0..400 {
        queue.offer(&numbered(10 * batch..10 * batch + 10, 1000)).expect("room in memory");
    }
    eventually("the disk says no", || queue.report().problem.is_some_and(|problem| problem.contains("No space left")));
    receiver.listen();
    until_empty(&queue);
    assert_eq!(receiver.once(), numbers(0..4000));
    let report = queue.report();
    assert_eq!((report.delivered, report.dropped.len()), (4000, 0));
    drop(queue);
    drop(disk);
}

/// Scenario: the same, and the agent ends. Guarantee: what could not be written is counted, what was is sent by the next.
#[test]
fn what_a_full_disk_could_not_take_is_counted_at_the_end() {
    let root = tempfile::tempdir().expect("a folder");
    let Some(disk) = receiver::SmallDisk::mount(root.path(), "size=1m") else {
        return skip(
            "retry what_a_full_disk_could_not_take_is_counted_at_the_end",
            "mounting a small file system needs root",
        );
    };
    let receiver = Receiver::reserve(false);
    let address = receiver.address();
    let queue = start_with(&[(ENDPOINT, &address)], Some(root.path()), QUOTA);
    for batch in 0..400 {
        queue.offer(&numbered(10 * batch..10 * batch + 10, 1000)).expect("room in memory");
    }
    eventually("the disk says no", || queue.report().problem.is_some_and(|problem| problem.contains("No space left")));
    queue.flush(Instant::now() + Duration::from_millis(100));
    let report = queue.report();
    let left = waiting(&queue);
    assert_eq!(left + report.dropped["disk_full"], 4000, "{report:?}");
    assert!(left > 0);
    drop(queue);
    let queue = start_with(&[(ENDPOINT, &address)], Some(root.path()), QUOTA);
    receiver.listen();
    eventually("what was left is found", || waiting(&queue) + queue.report().delivered == left);
    until_empty(&queue);
    assert_eq!(receiver.once(), numbers(0..left));
    drop(queue);
    drop(disk);
}

fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        use std::io::Write;
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{test}: {reason}")).expect("skips can be written down");
    }
}

/// Leaves spans on disk, in three segments.
fn left_behind(address: &str, root: &Path) -> Vec<PathBuf> {
    for part in 0..3 {
        let queue = start(address, root);
        offer(&queue, 100 * part..100 * part + 100, 10);
        queue.flush(Instant::now() + Duration::from_millis(100));
    }
    let files = segments(root);
    assert_eq!(files.len(), 3);
    files
}

/// Scenario: a file's end is torn off, another is damaged in its middle, a third has a damaged head and comes from a time when
/// the clock was wrong. Guarantee: everything else arrives, and what does not is counted exactly.
#[test]
fn damaged_files_cost_what_is_damaged() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let files = left_behind(&receiver.address(), root.path());
    let whole = fs::read(&files[0]).expect("a file");
    fs::write(&files[0], &whole[..whole.len() - 5]).expect("written");
    let mut middle = fs::read(&files[1]).expect("a file");
    let at = middle.len() / 2;
    middle[at] ^= 0x40;
    fs::write(&files[1], &middle).expect("written");
    let mut third = fs::read(&files[2]).expect("a file");
    third[1] = b'?';
    fs::write(&files[2], &third).expect("written");
    let queue = start(&receiver.address(), root.path());
    receiver.listen();
    eventually("all is read", || queue.report().delivered + queue.report().dropped.values().sum::<u64>() >= 300);
    let report = queue.report();
    assert_eq!((report.delivered, report.dropped["damaged"]), (280, 20), "{report:?}");
    let arrived = receiver.once();
    assert_eq!(arrived.len(), 280);
    assert!(numbers(0..90).is_subset(&arrived) && numbers(200..300).is_subset(&arrived));
    eventually("the disk is free again", || segments(root.path()).is_empty());
}

/// Scenario: an older Tandem finds files of a newer one. Guarantee: it leaves them, says so, and does its own work.
#[test]
fn newer_files_are_left_to_the_newer_tandem() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let files = left_behind(&receiver.address(), root.path());
    let mut newer = fs::read(&files[1]).expect("a file");
    newer[8] = 9;
    let checksum = crc32fast::hash(&newer[..16]);
    newer[16..20].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&files[1], &newer).expect("written");
    receiver.listen();
    let queue = start(&receiver.address(), root.path());
    offer(&queue, 1000..1010, 1);
    eventually("all that can be read is sent", || queue.report().delivered == 210);
    until_empty(&queue);
    drop(queue);
    assert_eq!(segments(root.path()), [files[1].clone()]);
    assert_eq!(fs::read(&files[1]).expect("a file"), newer);
    assert_eq!(receiver.once().len(), 210);
}

/// Scenario: the clock was far ahead when spans were put on disk. Guarantee: they are sent all the same; their age is none.
#[test]
fn a_clock_that_jumps_changes_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let mut segment = deliver::retry::segment::head(0).to_vec();
    let message = numbered(0..5, 0).bytes.clone();
    for (index, time) in [u64::MAX, 0].into_iter().enumerate() {
        let head = deliver::retry::segment::record_head(segment.len() as u64, &message, 5, 5 * index as u32, time);
        segment.extend(head);
        segment.extend(&message);
    }
    drop(start(&receiver.address(), root.path()));
    let folder = fs::read_dir(root.path()).expect("a folder").next().expect("one").expect("an entry").path().join("0");
    fs::write(folder.join(format!("{:016x}.segment", 7)), &segment).expect("written");
    let queue = start(&receiver.address(), root.path());
    eventually("it is found", || waiting(&queue) == 10);
    assert_eq!(queue.report().queue.expect("a queue").oldest, Duration::ZERO);
    receiver.listen();
    until_empty(&queue);
    assert_eq!(receiver.all(), numbers(0..5));
    assert_eq!(queue.report().delivered, 10);
}

/// Scenario: two agents send to one address at the same time, both end while it is down. Guarantee: the next one sends what both
/// have left.
#[test]
fn agents_of_one_address_do_not_disturb_each_other() {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let (one, other) = (start(&receiver.address(), root.path()), start(&receiver.address(), root.path()));
    offer(&one, 0..50, 5);
    offer(&other, 50..100, 5);
    drop((one, other));
    receiver.listen();
    let next = start(&receiver.address(), root.path());
    eventually("all of it is sent", || next.report().delivered == 100);
    assert_eq!(receiver.once(), numbers(0..100));
}

/// Scenario: certificates that nobody trusts, that are of another host, that have expired. Guarantee: the message says which it
/// is, and nothing is lost: with the right one everything arrives.
#[test]
fn wrong_certificates_lose_nothing() {
    let Some(authority) = receiver::Authority::make() else {
        return skip("retry wrong_certificates_lose_nothing", "certificates are made with openssl, which is not here");
    };
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let address = receiver.address().replace("http:", "https:");
    let trusted = authority.certificate().to_str().expect("text").to_owned();
    let pairs = [(ENDPOINT, address.as_str()), ("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted.as_str())];
    let start = || start_with(&pairs, Some(root.path()), QUOTA);
    let queue = start();
    offer(&queue, 0..20, 1);
    drop(queue);
    for (kind, words) in [
        (receiver::Certificate::Foreign, "invalid peer certificate: UnknownIssuer"),
        (receiver::Certificate::OtherHost, "not valid for name"),
        (receiver::Certificate::Expired, "invalid peer certificate: Expired"),
    ] {
        receiver.listen_tls(&authority, kind);
        let queue = start();
        eventually_with(
            words,
            || queue.report(),
            || queue.report().problem.is_some_and(|problem| problem.contains(words)),
        );
        assert_eq!(waiting(&queue), 20);
        receiver.stop();
    }
    receiver.listen_tls(&authority, receiver::Certificate::Good);
    let queue = start();
    eventually("all of it is sent", || queue.report().delivered == 20);
    assert_eq!(receiver.once(), numbers(0..20));
}

/// Scenario: the address is known to a proxy only, which wants a password. Guarantee: everything goes through it, also gRPC.
#[test]
fn a_proxy_is_used_where_there_is_one() {
    for grpc in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::reserve(grpc);
        receiver.listen();
        let proxy = receiver::Proxy::start(&receiver);
        let mut pairs = vec![(ENDPOINT, "http://collector.invalid:4318"), ("HTTP_PROXY", proxy.address.as_str())];
        pairs.extend(grpc.then_some(GRPC));
        let queue = start_with(&pairs, Some(root.path()), QUOTA);
        offer(&queue, 0..10, 1);
        until_empty(&queue);
        assert_eq!(receiver.once(), numbers(0..10));
        let asked = proxy.asked();
        assert!(asked.starts_with("CONNECT collector.invalid:4318 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{asked}");
    }
}

/// Scenario: as long as this runs, agents end by themselves and by SIGKILL, while the receiver is well, slow, silent, busy or away.
/// Guarantees: what an agent was offered some seconds before it was killed arrives, and everything of one that ended; nothing is
/// dropped.
fn chaos(duration: Duration) {
    let root = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::reserve(false);
    let (begin, mut first, mut lost, mut killed) = (Instant::now(), 0, BTreeSet::new(), 0);
    while begin.elapsed() < duration {
        let mut agent = receiver::Agent::start(&receiver.address(), root.path(), first);
        for _ in 0..4 {
            match random(7) {
                0 => receiver.stop(),
                1 => receiver.behave(Behaviour::Slow(Duration::from_millis(200))),
                2 => receiver.behave(Behaviour::Silent),
                3 => receiver.behave(Behaviour::Answer(503, vec![("retry-after", "1")], "")),
                4 => receiver.behave(Behaviour::Answer(502, Vec::new(), "")),
                _ => receiver.behave(Behaviour::Well),
            }
            if !receiver.listens() && random(2) == 0 {
                receiver.listen();
            }
            std::thread::sleep(Duration::from_millis(200 + random(1000)));
        }
        let kill = random(2) == 0;
        let (safe, last) = agent.end(kill);
        killed += u64::from(kill);
        lost.extend(safe..last);
        first = last;
    }
    receiver.stop();
    receiver.behave(Behaviour::Well);
    receiver.listen();
    let queue = start(&receiver.address(), root.path());
    until_empty(&queue);
    eventually("the disk is free again", || segments(root.path()).is_empty());
    assert_eq!(queue.report().dropped.len(), 0, "{:?}", queue.report());
    let arrived = receiver.all();
    let missing: Vec<u64> = (0..first).filter(|number| !arrived.contains(number)).collect();
    let forbidden: Vec<u64> = missing.iter().copied().filter(|number| !lost.contains(number)).collect();
    eprintln!(
        "{first} spans, {} requests, {killed} agents killed: {} came more than once, {} were in memory only when an agent was killed",
        receiver.requests().len(),
        receiver.more_than_once(),
        missing.len(),
    );
    assert!(forbidden.is_empty(), "lost: {forbidden:?}");
    assert!(first > 0);
}

fn random(below: u64) -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0u8) % below
}

#[test]
fn chaos_loses_nothing() {
    chaos(Duration::from_secs(8));
}

/// `TANDEM_SOAK`: how long, as `90s`, `10m` or `1h`.
#[test]
#[ignore = "an hour; make soak"]
fn soak() {
    let text = std::env::var("TANDEM_SOAK").unwrap_or_else(|_| "1h".to_owned());
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = number.parse::<u64>().expect("a number")
        * match unit {
            "h" => 3600,
            "m" => 60,
            _ => 1,
        };
    chaos(Duration::from_secs(seconds));
}

/// Not a test: an agent in a process of its own, which [`chaos`] starts.
#[test]
fn agent_of_its_own() {
    let Some((address, root, first)) = receiver::Agent::asked_for() else { return };
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    let queue = start_with(&[(ENDPOINT, &address), timeout], Some(&root), QUOTA);
    let ended = receiver::Agent::until_end();
    let mut next = first;
    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
        offer(&queue, next..next + 20, 5);
        next += 20;
        println!("\noffered {next}");
        std::thread::sleep(Duration::from_millis(20));
    }
    queue.flush(Instant::now() + Duration::from_millis(500));
    assert_eq!(queue.report().dropped.len(), 0, "{:?}", queue.report());
    drop(queue);
    println!("\nended {next}");
}
