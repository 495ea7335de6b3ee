//! What the store promises of samples of stacks: what goes in comes out, filters find them by span and route with what is
//! below, limits hold, and what no sample has any more is forgotten.

mod fixture;
#[path = "fixture/profiles.rs"]
mod sampled;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deliver::{Batch, Signal, Sink};
use fixture::{Details, START, flush, unlimited};
use model::ProfileKind;
use query::Term;
use sampled::{batch, ids};
use store::{Limits, ProfileFilter, ProfileStore, Reader, SqlValue, Store, StoredSample};
use tempfile::TempDir;

fn written(limits: Limits, batches: &[Arc<Batch>]) -> (TempDir, ProfileStore) {
    let folder = TempDir::new().expect("a temporary folder");
    let store = ProfileStore(Arc::new(Store::open(folder.path(), limits).expect("the store opens")));
    for batch in batches {
        store.offer(batch).expect("the queue has room");
    }
    flush(&store);
    (folder, store)
}

fn found(folder: &TempDir, filter: &ProfileFilter) -> Vec<StoredSample> {
    Reader::open(folder.path()).expect("the store opens").profile(filter).expect("the query runs")
}

fn all() -> ProfileFilter {
    ProfileFilter { limit: 1000, ..ProfileFilter::default() }
}

const CPU: ProfileKind = ProfileKind::Cpu;

#[test]
fn a_sample_comes_out_as_it_went_in() {
    let samples = [("main.a", CPU, Some((1, 2)), 0), ("main.b", ProfileKind::OffCpu, None, 1)];
    let (folder, store) = written(unlimited(), &[batch("cart", &samples), batch("cart", &samples[..1])]);
    let stored = found(&folder, &all());
    assert_eq!(stored.len(), 3);
    let first = &stored[0].sample;
    assert_eq!((first.kind, first.time_unix_nano, first.value_ns, first.thread_id), (CPU, START, 20_000_000, 9));
    assert_eq!((first.trace_id, first.span_id), (Some(ids(1, 2).0), Some(ids(1, 2).1)));
    let functions: Vec<_> = first.stack.iter().map(|frame| (frame.function.as_str(), frame.inlined)).collect();
    assert_eq!(functions, [("main.small", true), ("main.a", false), ("main.small", true), ("main.main", false)]);
    assert_eq!((first.stack[1].file.as_str(), first.stack[1].line, first.stack[1].start_line), ("/src/main.go", 7, 5));
    assert!(Arc::ptr_eq(&first.stack, &stored[1].sample.stack), "equal stacks are one");
    assert_eq!((&*stored[0].service, stored[2].sample.span_id), ("cart", None));
    assert_eq!((store.report().signal, store.report().delivered), (Signal::Profiles, 3));
}

#[test]
fn sql_sees_samples_with_their_functions() {
    let samples = [("main.a", CPU, Some((1, 2)), 0), ("main.b", ProfileKind::OffCpu, None, 1)];
    let (folder, _store) = written(unlimited(), &[batch("cart", &samples)]);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let answer = fixture::sql(&reader, "SELECT kind, function, stack ->> -1, span_id, service FROM samples ORDER BY 1");
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let row = |kind, span| vec![text(kind), text("main.small"), text("main.main"), span, text("cart")];
    let span = text(&ids(1, 2).1.to_string());
    assert_eq!(answer, Ok(vec![row("cpu", span), row("off_cpu", SqlValue::Null)]));
}

/// A root with a route, a child of it, and a trace of something else.
fn spans() -> Arc<Batch> {
    let with_route = fixture::span(1, 2, 0, "cart", "GET /cart", 0, 9).with("http.route", "/cart/{id}");
    let child = fixture::span(1, 3, 2, "cart", "load", 1, 5);
    let other = fixture::span(4, 5, 0, "cart", "cron", 20, 9);
    fixture::batch_of(&[with_route, child, other])
}

#[test]
fn filters_find_by_kind_trace_span_route_service_and_time() {
    let samples = [
        ("main.root", CPU, Some((1, 2)), 0),
        ("main.child", ProfileKind::OffCpu, Some((1, 3)), 1),
        ("main.cron", CPU, Some((4, 5)), 2),
        ("main.idle", CPU, None, 3),
    ];
    let shop = [("main.shop", CPU, None, 4)];
    let (folder, _store) = written(unlimited(), &[spans(), batch("cart", &samples), batch("shop", &shop)]);
    let functions = |filter: ProfileFilter| {
        let found = found(&folder, &filter).into_iter();
        found.map(|stored| stored.sample.stack[1].function.clone()).collect::<Vec<_>>()
    };
    assert_eq!(functions(all()), ["main.root", "main.child", "main.cron", "main.idle", "main.shop"]);
    assert_eq!(functions(ProfileFilter { limit: 1, ..all() }), ["main.shop"], "the newest");
    assert_eq!(functions(ProfileFilter { kind: Some(ProfileKind::OffCpu), ..all() }), ["main.child"]);
    let trace = Some(ids(1, 2).0);
    assert_eq!(functions(ProfileFilter { trace, ..all() }), ["main.root", "main.child"]);
    let of_span = |span| functions(ProfileFilter { trace, span: Some(ids(1, span).1), ..all() });
    assert_eq!(of_span(2), ["main.root", "main.child"], "with its children");
    assert_eq!(of_span(3), ["main.child"]);
    let of_route = |route: &str| functions(ProfileFilter { query: Term::contains(route).into(), ..all() });
    assert_eq!(of_route("/CART/"), ["main.root", "main.child"], "of a route, with what is below");
    assert_eq!(of_route("load"), ["main.child"]);
    assert_eq!(of_route("nothing"), [""; 0]);
    assert_eq!(functions(ProfileFilter { service: Some("shop".to_owned()), ..all() }), ["main.shop"]);
    let since_unix_nano = Some(START + 3_000_000_000);
    assert_eq!(functions(ProfileFilter { since_unix_nano, ..all() }), ["main.idle", "main.shop"]);
    let named = found(&folder, &ProfileFilter { with_operations: true, ..all() });
    let named: Vec<_> = named.iter().map(|stored| (stored.operation.as_deref(), stored.route.as_deref())).collect();
    let cart = Some("/cart/{id}");
    let expected = [(Some("GET /cart"), cart), (Some("load"), cart), (Some("cron"), None), (None, None), (None, None)];
    assert_eq!(named, expected);

    let reader = Reader::open(folder.path()).expect("the store opens");
    assert!(reader.has_profile(ids(1, 2).0).expect("the query runs"));
    assert!(!reader.has_profile(ids(9, 2).0).expect("the query runs"));
    let spans = |beginning: &str| reader.find_spans(beginning).expect("the query runs");
    assert_eq!(spans(&ids(1, 3).1.to_string()), Some(vec![ids(1, 3)]));
    assert_eq!((spans("f"), spans("x"), spans("")), (Some(Vec::new()), None, None));
    assert_eq!(spans("5a").map(|several| several.len()), Some(3));
}

#[test]
fn what_is_old_goes() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let second = |ago: u64| (now - START) / 1_000_000_000 - ago;
    let samples = [("main.old", CPU, None, second(7200)), ("main.new", CPU, None, second(60))];
    let folder = TempDir::new().expect("a temporary folder");
    let limits = || Limits { age: Duration::from_secs(3600), ..unlimited() };
    let open = || ProfileStore(Arc::new(Store::open(folder.path(), limits()).expect("the store opens")));
    let store = open();
    store.offer(&batch("cart", &samples)).expect("room");
    flush(&store);
    drop(store);
    drop(open()); // what is too old is looked for when it opens
    let left: Vec<_> = found(&folder, &all()).iter().map(|stored| stored.sample.stack[1].function.clone()).collect();
    assert_eq!(left, ["main.new"]);
    let database = rusqlite::Connection::open(folder.path().join("spans.sqlite3")).expect("the store opens");
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("the query runs");
    assert_eq!(count("SELECT count(*) FROM profile_stack"), 1);
    assert_eq!(count("SELECT count(*) FROM profile_function WHERE name = 'main.old'"), 0);
    assert_eq!(count("SELECT count(*) FROM profile_function"), 3);
}

/// The store is bounded also when there are nothing but samples, each with a stack of its own.
#[test]
fn a_store_of_samples_stays_within_its_size() {
    let limit = 1 << 20;
    let (folder, store) = written(Limits { bytes: limit, ..unlimited() }, &[]);
    for round in 0..12 {
        let names: Vec<String> = (0..500).map(|index| format!("main.function{round}x{index}")).collect();
        let samples: Vec<_> = names.iter().map(|name| (name.as_str(), CPU, None, round)).collect();
        store.offer(&batch("cart", &samples)).expect("room");
        flush(&store);
    }
    let left = found(&folder, &ProfileFilter { limit: 100_000, ..all() });
    assert!(!left.is_empty() && left.len() < 6_000, "{} samples", left.len());
    let database = rusqlite::Connection::open(folder.path().join("spans.sqlite3")).expect("the store opens");
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a number");
    let used = (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
    assert!(used as u64 <= limit + limit / 4, "{used} bytes are used");
}
