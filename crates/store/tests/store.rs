//! What the store promises: what goes in comes out, filters find, limits hold, and the death of a writer costs nothing.

mod fixture;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use deliver::{Batch, Refused, Signal, Sink};
use fixture::{Details, START, batch_of, flush, resource, span, unlimited};
use model::{Event, Kind, Link, Resource, Source, Span, SpanId, Status, StatusCode, TraceId, Value};
use proptest::prelude::*;
use store::{Found, Limits, Reader, SqlError, SqlValue, Store, StoreError, TraceFilter};
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn filter() -> TraceFilter {
    TraceFilter { limit: 100, ..TraceFilter::default() }
}

/// Roots of the traces that a query finds in the shop.
fn asked(query: &str) -> Vec<String> {
    roots(TraceFilter { query: query.parse().expect("a query"), ..filter() })
}

/// Roots of the traces that a filter finds in the shop.
fn roots(filter: TraceFilter) -> Vec<String> {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let reader = Reader::open(folder.path()).expect("the store opens");
    let found = reader.traces(&filter).expect("the query runs");
    found.into_iter().map(|trace| trace.root).collect()
}

#[test]
fn a_trace_comes_out_as_it_went_in() {
    let folder = folder();
    let shop = fixture::shop();
    fixture::write(folder.path(), &shop);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let mut expected: Vec<Span> = shop.iter().filter(|span| span.trace_id == shop[0].trace_id).cloned().collect();
    expected.sort_by_key(|span| span.start_unix_nano);

    let trace = reader.trace(shop[0].trace_id).expect("the query runs").expect("the trace is there");
    assert_eq!(trace.spans, expected);
    let summary = trace.summary;
    assert_eq!((summary.root.as_str(), summary.span_count, summary.error_count), ("POST /checkout", 9, 0));
    assert_eq!(summary.services, ["gateway", "inventory", "orders", "worker"]);
    assert_eq!((summary.start_unix_nano, summary.duration_ns), (START, 182_400_000));
}

#[test]
fn a_store_that_is_not_there_is_empty_and_is_found_once_it_is() {
    let folder = folder();
    let reader = Reader::open(&folder.path().join("later")).expect("an absent store opens");
    assert_eq!(reader.traces(&filter()).expect("the query runs"), []);
    assert_eq!(reader.services().expect("the query runs"), Vec::<String>::new());
    assert_eq!(reader.find("last").expect("the query runs"), Found::Nothing);
    assert!(!folder.path().join("later").exists(), "reading makes nothing");

    fixture::write(&folder.path().join("later"), &fixture::shop());
    assert_eq!(reader.services().expect("the query runs"), ["gateway", "inventory", "lager", "orders", "worker"]);
}

#[test]
fn lists_are_newest_first_and_limited() {
    let found = roots(TraceFilter { limit: 32, ..filter() });
    assert_eq!(found.len(), 32);
    assert_eq!(found[29], "GET /products");
    assert_eq!(found[30], "GET /artikel/寿司セット🍣/größe");
    assert_eq!(found[31], "POST /jobs");
}

#[test]
fn filters_find_by_service_route_error_duration_time_and_attribute() {
    let none: [&str; 0] = [];
    assert_eq!(asked("service=inventory"), ["POST /checkout"]);
    assert_eq!(asked("service=nobody"), none);
    assert_eq!(asked("RESERVE"), ["POST /checkout"]);
    assert_eq!(asked("/checkout").len(), 2);
    assert_eq!(asked("route=/checkout").len(), 2);
    assert_eq!(asked("trace.errors>0"), ["POST /checkout"]);
    assert_eq!(asked("status=error"), ["POST /checkout"]);
    assert_eq!(asked("trace.errors>0 service=gateway"), ["POST /checkout"]);
    assert_eq!(asked("status=error service=gateway"), none, "both are looked for in one span");
    assert_eq!(asked("trace.duration>=100ms"), ["POST /jobs", "POST /checkout"]);
    assert_eq!(asked("duration>=160ms duration<=170ms"), ["POST /checkout"]);
    assert_eq!(asked("trace.duration>=20ms trace.duration<=30ms"), ["POST /checkout"]);
    assert_eq!(roots(TraceFilter { until_unix_nano: Some(START), ..filter() }), ["POST /checkout"]);
    assert_eq!(roots(TraceFilter { since_unix_nano: Some(START + 9_900_000_000), ..filter() }), ["GET /products"]);
    assert_eq!(asked("http.response.status_code=402"), ["POST /checkout"]);
    assert_eq!(asked("http.response.status_code>=400 http.response.status_code<500"), ["POST /checkout"]);
    assert_eq!(asked("process.pid=4711").len(), 36);
    assert_eq!(asked("error.type=\"\\*orders.DeclinedError\" host.name=kiosk service=orders"), ["POST /checkout"]);
    assert_eq!(asked("http.response.status_code=402 service=orders"), none, "both are looked for in one span");
}

#[test]
fn queries_mean_what_they_say() {
    let none: [&str; 0] = [];
    assert_eq!(asked("").len(), 36);
    assert_eq!(asked("anatomy.run_queue>5ms").len(), 1);
    assert_eq!(asked("anatomy.run_queue>5ms service=gateway"), none);
    assert_eq!(asked("has:anatomy.go_sync -service=gateway"), ["POST /checkout"]);
    assert_eq!(asked("service=lager or service=inventory").len(), 2);
    assert_eq!(asked("(service=lager or service=inventory) kind=server"), ["POST /checkout"]);
    assert_eq!(asked("name=*products").len(), 30);
    assert_eq!(asked("name~\"^get /prod\"").len(), 30);
    assert_eq!(asked("name!~products -service=gateway -service=orders").len(), 4);
    assert_eq!(asked("root=\"POST /jobs\""), ["POST /jobs"]);
    assert_eq!(asked("root!=*products").len(), 6);
    assert_eq!(asked("trace.spans>8"), ["POST /checkout"]);
    assert_eq!(asked("trace.spans=1").len(), 33);
    assert_eq!(asked("error.type"), ["POST /checkout"]);
    assert_eq!(asked("db.system.name!=sqlite"), none);
    assert_eq!(asked("名前=値"), ["GET /artikel/寿司セット🍣/größe"]);
    assert_eq!(asked("寿司"), ["GET /artikel/寿司セット🍣/größe"]);
    assert_eq!(asked("source=woven").len(), 36);
    assert_eq!(asked("source=otlp"), none);
    assert_eq!(asked("source!=woven"), none);
    assert_eq!(asked("status=ok"), none);
    assert_eq!(asked("status=unset").len(), 36);
    assert_eq!(asked("scope=tandem/gin http.request.method=POST"), ["POST /checkout"]);
    assert_eq!(asked("http.response.status_code=402.0"), ["POST /checkout"]);
    assert_eq!(asked("http.response.status_code=40*"), ["POST /checkout"]);
    assert_eq!(asked("http.request.method>3"), none, "text is no number");
}

#[test]
fn ids_are_found_by_their_beginning() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let reader = Reader::open(folder.path()).expect("the store opens");
    let find = |beginning: &str| reader.find(beginning).expect("the query runs");
    let id = |first: u8| {
        let mut id = [0xab; 16];
        id[0] = first;
        TraceId(id)
    };
    assert_eq!(find("01a"), Found::One(id(1)));
    assert_eq!(find("01AB"), Found::One(id(1)));
    assert_eq!(find(&id(2).to_string()), Found::One(id(2)));
    assert_eq!(find("last"), Found::One(id(39)));
    assert_eq!(find("ff"), Found::Nothing);
    assert_eq!(find("xyz"), Found::NotAnId);
    assert_eq!(find(""), Found::NotAnId);
    assert_eq!(find(&"0".repeat(33)), Found::NotAnId);
    assert_eq!(find("é"), Found::NotAnId);
    assert!(matches!(find("0"), Found::Several(ids) if ids.len() == 4));
}

#[test]
fn a_trace_that_comes_in_pieces_and_backwards_is_one_trace() {
    let folder = folder();
    let store = Store::open(folder.path(), unlimited()).expect("the store opens");
    let mut spans = fixture::shop();
    spans.truncate(9);
    spans.reverse();
    let reader = Reader::open(folder.path()).expect("the store opens");
    for (index, span) in spans.iter().enumerate() {
        store.offer(&batch_of(std::slice::from_ref(span))).expect("the queue has room");
        flush(&store);
        let traces = reader.traces(&filter()).expect("the query runs");
        assert_eq!((traces.len(), traces[0].span_count), (1, index as u64 + 1));
    }
    let summary = &reader.traces(&filter()).expect("the query runs")[0];
    assert_eq!((summary.root.as_str(), summary.services.len()), ("POST /checkout", 4));
    assert_eq!((summary.start_unix_nano, summary.duration_ns), (START, 182_400_000));
}

#[test]
fn without_a_root_the_earliest_span_names_the_trace() {
    let folder = folder();
    let late = span(1, 2, 9, "a", "late", 200, 10);
    let early = span(1, 3, 9, "a", "early", 100, 10);
    fixture::write(folder.path(), &[late, early]);
    let reader = Reader::open(folder.path()).expect("the store opens");
    assert_eq!(reader.traces(&filter()).expect("the query runs")[0].root, "early");
}

#[test]
fn garbage_costs_only_itself() {
    let folder = folder();
    let store = Store::open(folder.path(), unlimited()).expect("the store opens");
    let garbage = |bytes: &'static [u8]| {
        Arc::new(Batch {
            signal: Signal::Traces,
            resource: resource("x"),
            bytes: Bytes::from_static(bytes),
            records: 7,
        })
    };
    store.offer(&garbage(b"\xff\xff\xff not protobuf")).expect("the queue has room");
    let mut zero = span(1, 1, 0, "a", "no ids", 0, 1);
    zero.span_id = SpanId([0; 8]);
    store.offer(&batch_of(&[zero, span(2, 1, 0, "a", "sound", 0, 1)])).expect("the queue has room");
    flush(&store);
    let report = store.report();
    assert_eq!((report.delivered, report.dropped), (1, BTreeMap::from([("malformed", 8)])));
    let reader = Reader::open(folder.path()).expect("the store opens");
    assert_eq!(reader.traces(&filter()).expect("the query runs").len(), 1);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let folder = folder();
    let store = Store::open(folder.path(), unlimited()).expect("the store opens");
    // Somebody else holds the write lock, so that nothing leaves the queue.
    let other = rusqlite::Connection::open(folder.path().join("spans.sqlite3")).expect("the database opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    let batch = batch_of(&[span(1, 1, 0, "a", "one", 0, 1), span(1, 2, 1, "a", "two", 0, 1)]);
    let (mut taken, mut refused) = (0, 0);
    let started = Instant::now();
    // The writer first takes what one transaction may hold; then it waits for the lock, and the queue is full for good.
    let mut full_since = None;
    while full_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
        match store.offer(&batch) {
            Ok(()) => {
                taken += 2;
                full_since = None;
                assert!(taken < 100_000, "the queue has no end");
            }
            Err(reason) => {
                assert_eq!(reason, Refused::Full);
                if refused == 0 {
                    assert!(started.elapsed() < Duration::from_secs(2), "offering waited");
                }
                refused += 2;
                full_since.get_or_insert_with(Instant::now);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(store.report().dropped, BTreeMap::from([("queue_full", refused)]));
    other.execute_batch("ROLLBACK").expect("the lock is given back");
    flush(&store);
    assert_eq!(store.report().delivered, taken);
}

#[test]
fn the_store_stays_within_its_size_and_keeps_the_newest() {
    let folder = folder();
    let limits = Limits { bytes: 2 << 20, ..unlimited() };
    let store = Store::open(folder.path(), limits).expect("the store opens");
    let traces = 3000u64;
    for index in 0..traces {
        let mut spans: Vec<Span> = (1..=5u8)
            .map(|id| span(0, id, id - 1, "a", "step", index * 1000, 500).with("filler", "x".repeat(400).as_str()))
            .collect();
        for span in &mut spans {
            span.trace_id.0[8..].copy_from_slice(&(index + 1).to_be_bytes());
        }
        while store.offer(&batch_of(&spans)).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    flush(&store);
    assert_eq!(store.report().delivered, traces * 5);
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    let database = size("spans.sqlite3");
    // One transaction may go over before the oldest are removed.
    assert!(database <= limits.bytes + (8 << 20), "{database} bytes");
    let reader = Reader::open(folder.path()).expect("the store opens");
    let kept = reader.traces(&TraceFilter { limit: 10_000, ..filter() }).expect("the query runs");
    assert!(kept.len() > 100 && kept.len() < 1200, "{} traces", kept.len());
    assert_eq!(kept[0].start_unix_nano, START + (traces - 1) * 1_000_000);
    let contiguous = kept.windows(2).all(|pair| pair[0].start_unix_nano - pair[1].start_unix_nano == 1_000_000);
    assert!(contiguous, "the oldest go, not others");
    let extent = reader.extent().expect("the query runs");
    assert_eq!(extent.oldest_unix_nano, kept.last().map(|oldest| oldest.start_unix_nano));
    assert!(extent.is_full(limits.bytes), "{extent:?}");
    assert!(!extent.is_full(2 * limits.bytes), "{extent:?}");
}

#[test]
fn traces_that_are_too_old_go_and_their_services_with_them() {
    let folder = folder();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let mut old = span(1, 1, 0, "old", "an hour ago", 0, 10);
    old.start_unix_nano = now - 3600 * 1_000_000_000;
    let mut fresh = span(2, 1, 0, "fresh", "now", 0, 10);
    fresh.start_unix_nano = now;
    fixture::write(folder.path(), &[old, fresh]);

    let limits = Limits { age: Duration::from_secs(600), ..unlimited() };
    let store = Store::open(folder.path(), limits).expect("the store opens");
    flush(&store);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let kept = reader.traces(&filter()).expect("the query runs");
    assert_eq!(kept.iter().map(|trace| trace.root.as_str()).collect::<Vec<_>>(), ["now"]);
    assert_eq!(reader.services().expect("the query runs"), ["fresh"]);
}

#[test]
fn readers_see_whole_batches_while_two_writers_write() {
    let folder = folder();
    let writer = |number: u8| {
        let folder = folder.path().to_owned();
        std::thread::spawn(move || {
            let store = Store::open(&folder, unlimited()).expect("the store opens");
            for index in 1..=100u8 {
                let batch: Vec<Span> =
                    (1..=4).map(|id| span(number * 100 + index % 100, id, id - 1, "w", "step", 0, 1)).collect();
                while store.offer(&batch_of(&batch)).is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                if index % 10 == 0 {
                    flush(&store);
                }
            }
            flush(&store);
            assert_eq!(store.report().delivered, 400, "{:?}", store.report());
        })
    };
    let writers = [writer(0), writer(1)];
    let reader = Arc::new(Reader::open(folder.path()).expect("the store opens"));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let reader = Arc::clone(&reader);
            std::thread::spawn(move || {
                let deadline = Instant::now() + Duration::from_secs(20);
                loop {
                    let traces = reader.traces(&TraceFilter { limit: 1000, ..filter() }).expect("the query runs");
                    assert!(traces.iter().all(|trace| trace.span_count == 4), "half a batch was seen");
                    if traces.len() == 200 || Instant::now() > deadline {
                        break traces.len();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("the writer is sound");
    }
    for reader in readers {
        assert_eq!(reader.join().expect("the reader is sound"), 200);
    }
}

/// Not a test of its own: the program that [`what_was_flushed_survives_sigkill`] starts and kills.
#[test]
fn endless_writer() {
    let Ok(folder) = std::env::var("TANDEM_TEST_ENDLESS_WRITER") else { return };
    let store = Store::open(Path::new(&folder), unlimited()).expect("the store opens");
    for index in 1u64.. {
        let mut span = span(0, 1, 0, "victim", "work", index, 1);
        span.trace_id.0[8..].copy_from_slice(&index.to_be_bytes());
        store.offer(&batch_of(&[span])).expect("the queue has room");
        flush(&store);
        println!("flushed {index}");
    }
}

#[test]
fn what_was_flushed_survives_sigkill() {
    let folder = folder();
    let mut flushed = 0;
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().expect("the test's own path"))
            .args(["endless_writer", "--exact", "--nocapture", "--test-threads=1"])
            .env("TANDEM_TEST_ENDLESS_WRITER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut seen = 0;
        while seen < 200 {
            let line = lines.next().expect("the writer lives").expect("text");
            if let Some(number) = line.strip_prefix("flushed ") {
                seen = number.parse().expect("a number");
            }
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
        for line in lines {
            if let Some(number) = line.expect("text").strip_prefix("flushed ") {
                seen = number.parse().unwrap_or(seen);
            }
        }
        flushed = flushed.max(seen);

        let reader = Reader::open(folder.path()).expect("the store opens");
        let traces = reader.traces(&TraceFilter { limit: 1_000_000, ..filter() }).expect("the query runs");
        assert!(traces.len() as u64 >= flushed, "{} of {flushed} traces", traces.len());
        let trace = reader.trace(traces[0].trace_id).expect("the query runs").expect("it is there");
        assert_eq!(trace.spans.len() as u64, trace.summary.span_count);
    }
    let database = rusqlite::Connection::open(folder.path().join("spans.sqlite3")).expect("the database opens");
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check runs");
    assert_eq!(verdict, "ok");
}

#[test]
fn queries_that_take_too_long_are_given_up_and_harm_no_later_ones() {
    let folder = folder();
    let mut spans = Vec::new();
    for index in 1..=2000u64 {
        let mut span = span(0, 1, 0, "a", "one", index, 1);
        span.trace_id.0[8..].copy_from_slice(&index.to_be_bytes());
        spans.push(span);
    }
    fixture::write(folder.path(), &spans);
    let nowhere = TraceFilter { query: "\"no such\"=thing".parse().expect("a query"), ..filter() };
    let hasty = Reader::open(folder.path()).expect("the store opens").with_longest_query(Duration::ZERO);
    assert!(matches!(hasty.traces(&nowhere), Err(StoreError::TooSlow)));
    let patient = hasty.with_longest_query(Duration::from_secs(10));
    assert_eq!(patient.traces(&nowhere).expect("the query runs"), []);
}

#[test]
fn newer_versions_and_foreign_files_are_refused() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let file = folder.path().join("spans.sqlite3");
    let database = rusqlite::Connection::open(&file).expect("the database opens");
    database.pragma_update(None, "user_version", 99).expect("the version is written");
    drop(database);
    let message = |folder: &Path| {
        let reading = Reader::open(folder).err().expect("refused").to_string();
        let writing = Store::open(folder, unlimited()).err().expect("refused").to_string();
        assert_eq!(reading, writing);
        writing
    };
    let refused = message(folder.path());
    assert!(refused.contains("has version 99, this tandem knows up to 2: use the newer tandem"), "{refused}");

    let other = self::folder();
    let file = other.path().join("spans.sqlite3");
    std::fs::write(&file, "notes to myself, not a database, and longer than a header of a hundred bytes".repeat(3))
        .expect("the file is written");
    assert!(message(other.path()).contains("is not a store of tandem"));
    std::fs::remove_file(&file).expect("the file goes");
    let database = rusqlite::Connection::open(&file).expect("the database opens");
    database.execute_batch("CREATE TABLE recipe (name TEXT)").expect("the table is made");
    drop(database);
    assert!(message(other.path()).contains("is not a store of tandem"));
}

#[test]
fn a_folder_that_cannot_be_made_says_so() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("the file is written");
    let error = Store::open(&file.join("store"), unlimited()).err().expect("refused");
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
}

#[test]
fn writes_that_fail_cost_what_is_new_and_are_reported() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let store = Store::open(folder.path(), unlimited()).expect("the store opens");
    // What SQLite refuses for a trigger's sake fails as it does on a full disk.
    let file = folder.path().join("spans.sqlite3");
    let tables = rusqlite::Connection::open(&file).expect("the database opens");
    tables
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON span BEGIN SELECT raise(FAIL, 'disk full'); END")
        .expect("made");
    store.offer(&batch_of(&[span(200, 1, 0, "a", "lost", 0, 1)])).expect("the queue has room");
    flush(&store);
    let report = store.report();
    assert_eq!(report.dropped, BTreeMap::from([("write_failed", 1)]));
    assert!(report.problem.expect("a problem").contains("disk full"));

    tables.execute_batch("DROP TRIGGER full").expect("dropped");
    store.offer(&batch_of(&[span(201, 1, 0, "a", "kept", 0, 1)])).expect("the queue has room");
    flush(&store);
    let report = store.report();
    assert_eq!((report.delivered, report.problem), (1, None));
    let reader = Reader::open(folder.path()).expect("the store opens");
    assert_eq!(reader.traces(&TraceFilter { limit: 1000, ..filter() }).expect("the query runs").len(), 37);
}

/// Makes of a store what an older Tandem would have left.
fn without_blocks(folder: &Path) {
    let database = rusqlite::Connection::open(folder.join("spans.sqlite3")).expect("the database opens");
    database.execute_batch("DROP TABLE trace_block; PRAGMA user_version = 1").expect("an older store");
}

fn version(folder: &Path) -> i32 {
    let database = rusqlite::Connection::open(folder.join("spans.sqlite3")).expect("the database opens");
    database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version")
}

/// Queries of every kind, for what must be the same in two stores.
const QUERIES: [&str; 12] = [
    "",
    "service=inventory",
    "status=error",
    "status!=error checkout",
    "duration>160ms",
    "anatomy.run_queue>5ms",
    "anatomy.run_queue<1ms",
    "http.response.status_code=402",
    "process.pid=4711 root=\"POST /jobs\"",
    "-service=gateway",
    "error.type or 名前=値",
    "http.route!=/products kind=server",
];

fn answers(folder: &Path) -> Vec<Vec<TraceId>> {
    let reader = Reader::open(folder).expect("the store opens");
    let ask = |query: &str| {
        let filter = TraceFilter { query: query.parse().expect("a query"), ..filter() };
        reader.traces(&filter).expect("the query runs").iter().map(|trace| trace.trace_id).collect()
    };
    QUERIES.into_iter().map(ask).collect()
}

#[test]
fn an_older_store_is_read_and_brought_up_to_date_when_it_is_written() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let expected = answers(folder.path());
    assert!(expected.iter().skip(1).all(|found| !found.is_empty() && found.len() < 36), "{expected:?}");

    without_blocks(folder.path());
    assert_eq!(answers(folder.path()), expected);
    assert_eq!(version(folder.path()), 1, "reading changes nothing");

    drop(Store::open(folder.path(), unlimited()).expect("the store opens"));
    assert_eq!(version(folder.path()), 2);
    assert_eq!(answers(folder.path()), expected);
}

/// Many blocks; spans that come late, into the first of them; a writer that starts anew in the middle.
#[test]
fn late_spans_are_found_whatever_block_their_trace_is_in() {
    let folder = folder();
    let numbered = |trace: u64, id: u8, name: &str| {
        let mut span = span(0, id, id - 1, "a", name, trace * 10, 5 + trace % 7);
        span.trace_id.0[8..].copy_from_slice(&(trace + 1).to_be_bytes());
        span
    };
    for part in 0..2 {
        let early: Vec<Span> = (part * 6000..(part + 1) * 6000)
            .map(|trace| numbered(trace, 1, "step").with("user.id", (trace as i64) / 3))
            .collect();
        fixture::write(folder.path(), &early);
    }
    let mut late = numbered(17, 2, "late").with("card.kind", "gold").failed("too late");
    late.duration_ns = 3_000_000_000;
    fixture::write(folder.path(), &[late]);

    let reader = Reader::open(folder.path()).expect("the store opens");
    let ask = |query: &str| {
        let filter = TraceFilter { query: query.parse().expect("a query"), limit: 5, ..filter() };
        let number = |id: TraceId| u64::from_be_bytes(id.0[8..].try_into().expect("eight bytes")) - 1;
        let found = reader.traces(&filter).expect("the query runs");
        found.iter().map(|trace| number(trace.trace_id)).collect::<Vec<_>>()
    };
    for query in ["card.kind=gold", "status=error", "duration>2s", "name=late", "trace.duration>=3s", "trace.spans=2"] {
        assert_eq!(ask(query), [17], "{query}");
    }
    assert_eq!(ask("user.id=100"), [302, 301, 300]);
    assert_eq!(ask("user.id>3998"), [11_999, 11_998, 11_997]);
    assert_eq!(ask(""), [11_999, 11_998, 11_997, 11_996, 11_995]);
    let database = rusqlite::Connection::open(folder.path().join("spans.sqlite3")).expect("the database opens");
    let blocks: i64 = database.query_row("SELECT count(*) FROM trace_block", [], |row| row.get(0)).expect("counted");
    assert!((11..=13).contains(&blocks), "{blocks} blocks");
}

/// What arrives too old is removed from the end of the store, and its numbers are given away again.
#[test]
fn traces_are_found_that_come_after_the_newest_were_removed() {
    let folder = folder();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let limits = Limits { age: Duration::from_secs(3600), ..unlimited() };
    let write = |numbers: std::ops::Range<u64>, start: u64| {
        let store = Store::open(folder.path(), limits).expect("the store opens");
        let spans: Vec<Span> = numbers
            .map(|number| {
                let mut span = span(0, 1, 0, "a", "step", 0, 5).with("user.id", number as i64);
                span.trace_id.0[8..].copy_from_slice(&(number + 1).to_be_bytes());
                span.start_unix_nano = start;
                span
            })
            .collect();
        store.offer(&batch_of(&spans)).expect("the queue has room");
        flush(&store);
    };
    write(0..1500, now);
    write(1500..5000, now - 7200 * 1_000_000_000);
    // Opening looks for what is too old.
    write(5000..9000, now);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let count = |query: &str| {
        let filter = TraceFilter { query: query.parse().expect("a query"), limit: 10_000, ..filter() };
        reader.traces(&filter).expect("the query runs").len()
    };
    assert_eq!((count(""), count("service=a")), (5500, 5500));
    for number in (0..1500).chain(5000..9000).step_by(250) {
        assert_eq!(count(&format!("user.id={number}")), 1, "{number}");
    }
}

#[test]
fn completions_know_what_was_seen() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let reader = Reader::open(folder.path()).expect("the store opens");
    let complete = |query: &str| {
        let found = reader.complete(query, usize::MAX).expect("the query runs");
        found.into_iter().map(|found| found.text).collect::<Vec<_>>()
    };
    assert_eq!(complete("service="), ["gateway", "inventory", "lager", "orders", "worker"]);
    assert_eq!(complete("http.response.status_code=4"), ["402"]);
    assert_eq!(complete("http.request.m"), ["http.request.method"]);
    assert_eq!(complete("db.system.name="), ["sqlite"]);
    assert_eq!(complete("host.name="), ["kiosk"]);
    assert!(complete("route=").contains(&"/items/{sku}/reserve".to_owned()));
    assert_eq!(complete("root=")[0], "\"GET /products\"");
}

#[test]
fn sql_reads_views_and_nothing_writes() {
    let folder = folder();
    fixture::write(folder.path(), &fixture::shop());
    let reader = Reader::open(folder.path()).expect("the store opens");
    let ask = |sql: &str| fixture::sql(&reader, sql);
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let answer = ask("SELECT service, count(*) FROM spans WHERE attributes ->> 'http.route' = '/products' GROUP BY 1");
    assert_eq!(answer, Ok(vec![vec![text("gateway"), SqlValue::Integer(30)]]));
    let answer = ask(
        "SELECT name, status, kind, resource ->> 'host.name' FROM spans ORDER BY anatomy ->> 'run_queue' DESC LIMIT 1",
    );
    assert_eq!(answer, Ok(vec![vec![text("POST /items/{sku}/reserve"), text("unset"), text("server"), text("kiosk")]]));
    let answer = ask("SELECT root, services, span_count FROM traces WHERE error_count > 0;");
    assert_eq!(answer, Ok(vec![vec![text("POST /checkout"), text("[\"gateway\",\"orders\"]"), SqlValue::Integer(2)]]));
    let roots = ask("SELECT count(*) FROM spans WHERE parent_span_id IS NULL");
    assert_eq!(roots, Ok(vec![vec![SqlValue::Integer(35)]]));
    assert_eq!(ask("SELECT count(*) FROM logs, samples"), Ok(vec![vec![SqlValue::Integer(0)]]));

    let marked = "no such column: nam\n  SELECT nam FROM spans\n         ^^^";
    assert_eq!(ask("SELECT nam FROM spans"), Err(marked.to_owned()));
    let other = folder.path().join("other.sqlite3").display().to_string();
    let attach = format!("ATTACH '{other}' AS other");
    for sql in
        ["DELETE FROM span", "PRAGMA journal_mode = delete", &attach, "CREATE TEMP TABLE a (b)", "DROP VIEW spans", ""]
    {
        assert!(ask(sql).expect_err(sql).contains("only SELECT is answered"), "{sql}");
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let hasty = reader.sql(endless, Duration::ZERO, &mut fixture::Answer::default());
    assert!(matches!(hasty, Err(SqlError::Store(StoreError::TooSlow))));
    without_blocks(folder.path());
    assert_eq!(ask("SELECT count(*) FROM spans").map(|rows| rows.len()), Ok(1));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9f64).prop_map(Value::Float),
        ".*".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z.]{0,6}", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

prop_compose! {
    fn any_span()(
        (name, trace_state) in (".*", ".*"),
        parent in any::<Option<[u8; 8]>>(),
        (kind, flags) in (1..=5i32, any::<u32>()),
        start in 0..1u64 << 62,
        duration in 0..1u64 << 40,
        attributes in prop::collection::btree_map("[a-z.é]{1,10}", any_value(), 0..6),
        events in prop::collection::vec((".*", any::<u64>()), 0..3),
        links in prop::collection::vec(any::<([u8; 16], [u8; 8])>(), 0..3),
        code in 0..3u8,
        message in ".*",
        parts in prop::option::of(prop::collection::btree_map("[a-z_]{1,8}", 0..1u64 << 40, 1..5)),
        source in 0..5usize,
        unfinished in any::<bool>(),
    ) -> Span {
        let mut span = span(1, 1, 0, "any", &name, 0, 0);
        span.parent_span_id = parent.filter(|id| *id != [0; 8]).map(SpanId);
        span.kind = Kind::from_otlp(kind);
        span.start_unix_nano = start;
        span.duration_ns = duration;
        span.attributes = attributes;
        span.events = events
            .into_iter()
            .map(|(name, time_unix_nano)| Event { name, time_unix_nano, attributes: BTreeMap::new() })
            .collect();
        span.links = links
            .into_iter()
            .map(|(trace, id)| Link { trace_id: TraceId(trace), span_id: SpanId(id), ..Link::default() })
            .collect();
        let code = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][usize::from(code)];
        span.status = Status { code, message };
        span.anatomy = parts.map(|parts_ns| model::Anatomy { wall_ns: duration, parts_ns });
        span.source = [Source::Woven, Source::Api, Source::Otlp, Source::Uprobe, Source::Socket][source];
        span.unfinished = unfinished;
        (span.trace_state, span.flags) = (trace_state, flags);
        span
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a span holds, it comes out as it went in; here against the OTLP that `opentelemetry-proto` writes.
    #[test]
    fn any_span_comes_out_as_it_went_in(spans in prop::collection::vec(any_span(), 1..8)) {
        let folder = folder();
        let mut spans = spans;
        for (index, span) in spans.iter_mut().enumerate() {
            span.span_id.0[0] = index as u8 + 1;
            span.resource = Arc::new(Resource { attributes: BTreeMap::from([("service.name".into(), Value::String("any".into()))]) });
        }
        fixture::write(folder.path(), &spans);
        spans.sort_by_key(|span| span.start_unix_nano);
        let reader = Reader::open(folder.path()).expect("the store opens");
        let trace = reader.trace(spans[0].trace_id).expect("the query runs").expect("it is there");
        prop_assert_eq!(trace.spans, spans);
    }

    /// Bytes that were cut or changed anywhere: nothing panics, and the writer goes on.
    #[test]
    fn damaged_batches_harm_nobody(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let folder = folder();
        let store = Store::open(folder.path(), unlimited()).expect("the store opens");
        let spans = fixture::shop();
        let sound = batch_of(&spans[..2]);
        let mut bytes = sound.bytes.to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let damaged = Arc::new(Batch { signal: Signal::Traces, resource: Arc::clone(&sound.resource), bytes: Bytes::from(bytes), records: 2 });
        store.offer(&damaged).expect("the queue has room");
        store.offer(&batch_of(&[span(200, 1, 0, "a", "sound", 0, 1)])).expect("the queue has room");
        flush(&store);
        prop_assert!(!store.report().dropped.contains_key("write_failed"));
        let reader = Reader::open(folder.path()).expect("the store opens");
        let traces = reader.traces(&filter()).expect("the query runs");
        prop_assert!(traces.iter().any(|trace| trace.root == "sound"));
        for trace in traces {
            reader.trace(trace.trace_id).expect("the query runs");
        }
    }
}
