//! What the store promises of metrics: what was added comes out by name, service and time, totals of restarted programs add up,
//! limits hold, beside traces.

mod fixture;
#[path = "fixture/metrics.rs"]
mod measured;

use std::sync::Arc;
use std::time::Duration;

use deliver::Sink;
use deliver::metrics::{RedKey, RedSeries, Snapshot};
use deliver::otlp::encode::UnixNanos;
use fixture::{START, flush, resource, unlimited};
use measured::{BEGIN, SECOND, at, int, metric, snapshot, write};
use model::{MetricFigures, MetricKind, MetricNumber, MetricPoint, MetricValue, Value};
use record::layout::BUCKET_COUNT;
use record::{InstrumentKind, InstrumentValue};
use store::{Limits, MetricFilter, MetricTotals, Reader, SqlValue, Store};
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn reader(folder: &TempDir) -> Reader {
    Reader::open(folder.path()).expect("the store opens")
}

fn named(name: &str) -> MetricFilter {
    MetricFilter { names: vec![name.to_owned()], limit: 100, ..MetricFilter::default() }
}

fn numbers(points: &[MetricPoint]) -> Vec<(u64, f64)> {
    let number = |point: &MetricPoint| match point.value {
        MetricValue::Number { value } => ((point.time_unix_nano - START) / SECOND, value.as_f64()),
        MetricValue::Histogram { .. } => panic!("a number"),
    };
    points.iter().map(number).collect()
}

/// A counter comes out as what was added, a gauge as what it was; where nothing was added there is no point.
#[test]
fn numbers_come_out_as_what_was_added_or_as_what_was_so() {
    let folder = folder();
    let of = |seconds, sold: i64, goroutines: i64| {
        let metrics = vec![
            metric("shop.sold", InstrumentKind::Counter, BEGIN, &[("cart", int(sold)), ("desk", int(5))]),
            metric("go.goroutine.count", InstrumentKind::UpDown, BEGIN, &[("all", int(goroutines))]),
        ];
        snapshot(seconds, metrics)
    };
    write(folder.path(), unlimited(), [of(10, 7, 40), of(20, 7, 38), of(30, 10, 38)]);

    let found = reader(&folder).metrics(&named("shop.*")).expect("the query runs");
    assert_eq!((found.start_unix_nano, found.looked_at_ns()), (START, 30 * SECOND));
    let [cart, desk] = &found.series[..] else { panic!("two series: {:?}", found.series) };
    assert_eq!((cart.name.as_str(), cart.kind, cart.service.as_str()), ("shop.sold", MetricKind::Counter, "shop"));
    assert_eq!((cart.unit.as_str(), cart.description.as_str()), ("{thing}", "Things."));
    assert_eq!(cart.attributes["state"], Value::String("cart".to_owned()));
    assert_eq!(numbers(&cart.points), [(10, 7.0), (30, 3.0)]);
    assert_eq!(numbers(&desk.points), [(10, 5.0)]);
    let figures = cart.figures(found.looked_at_ns());
    assert_eq!(figures.value, Some(MetricNumber::Int(10)));
    assert!((figures.per_second.expect("a rate") - 1.0 / 3.0).abs() < 1e-9);

    let found = reader(&folder).metrics(&named("go.goroutine.count")).expect("the query runs");
    assert_eq!(numbers(&found.series[0].points), [(10, 40.0), (20, 38.0), (30, 38.0)]);
    assert_eq!(found.series[0].resource, resource("shop"));
}

/// Scenario: a program that had counted for long before anybody looked; one that is started again; a series that begins late.
/// Guarantee: what was added before is in no point, all else is.
#[test]
fn totals_that_began_elsewhere_or_again_are_told_apart() {
    let folder = folder();
    let long_ago = UnixNanos(START - 3600 * SECOND);
    let of = |seconds, start, values: &[(&str, InstrumentValue)]| {
        snapshot(seconds, vec![metric("shop.sold", InstrumentKind::Counter, start, values)])
    };
    let snapshots = [
        of(10, long_ago, &[("cart", int(1_000_000))]),
        of(20, long_ago, &[("cart", int(1_000_004)), ("desk", int(2))]),
        of(30, at(25), &[("cart", int(3))]),
    ];
    write(folder.path(), unlimited(), snapshots);
    let found = reader(&folder).metrics(&named("shop.sold")).expect("the query runs");
    assert_eq!(numbers(&found.series[0].points), [(20, 4.0), (30, 3.0)]);
    assert_eq!(numbers(&found.series[1].points), [(20, 2.0)]);
}

/// Scenario: a sender tells a gauge once a minute, and the agent shows it all the time. Guarantee: it is one point, not six.
#[test]
fn what_was_said_already_is_not_said_again() {
    let folder = folder();
    let told_once = || {
        let mut told =
            metric("room.temperature", InstrumentKind::Gauge, BEGIN, &[("hall", InstrumentValue::Float(21.5))]);
        told.points[0].time = at(5);
        told
    };
    let of = |seconds| Snapshot { received: vec![told_once()], ..snapshot(seconds, Vec::new()) };
    write(folder.path(), unlimited(), [of(10), of(20), of(30)]);
    let found = reader(&folder).metrics(&named("room.temperature")).expect("the query runs");
    assert_eq!(numbers(&found.series[0].points), [(10, 21.5)]);
}

/// Durations of spans, whose counts are kept by the agent: p50, p95, p99 of what came since the time that is asked for.
#[test]
fn durations_have_quantiles_of_the_time_that_is_asked_for() {
    let folder = folder();
    let of = |seconds, fast: u64, slow: u64| {
        let mut buckets = [0; BUCKET_COUNT];
        (buckets[3], buckets[9]) = (fast, slow);
        let key = RedKey {
            service: "shop".into(),
            span_name: "GET /cart".to_owned(),
            kind: 2,
            status: 0,
            dimensions: vec![("http.route".to_owned(), Value::String("/cart".to_owned()))],
            metric: "http.server.request.duration",
            overflow: false,
        };
        let series = RedSeries { key: Arc::new(key), buckets, sum_ns: fast * 1_000_000, exemplars: Vec::new() };
        Snapshot { red: vec![series], ..snapshot(seconds, Vec::new()) }
    };
    write(folder.path(), unlimited(), [of(10, 100, 0), of(20, 100, 50), of(30, 100, 50)]);
    let durations = MetricFilter { service: Some("shop".to_owned()), ..named("traces.span.metrics.duration") };
    let figures = |filter: &MetricFilter| {
        let found = reader(&folder).metrics(filter).expect("the query runs");
        let [series] = &found.series[..] else { panic!("one series: {:?}", found.series) };
        assert_eq!(series.attributes["span.name"], Value::String("GET /cart".to_owned()));
        series.figures(found.looked_at_ns())
    };
    let MetricFigures { count, p50, p99, .. } = figures(&durations);
    let bound = |index: usize| record::layout::BUCKET_BOUNDS[index] as f64 / 1e9;
    assert_eq!(count, Some(150));
    assert!(p50.is_some_and(|p50| p50 > bound(2) && p50 <= bound(3)), "{p50:?}");
    assert!(p99.is_some_and(|p99| p99 > bound(8) && p99 <= bound(9)), "{p99:?}");
    let late = figures(&MetricFilter { since_unix_nano: Some(START + 15 * SECOND), ..durations.clone() });
    assert_eq!((late.count, late.per_second), (Some(50), Some(2.5)));
    assert!(late.p50.is_some_and(|p50| p50 > bound(8)), "{late:?}");
}

#[test]
fn metrics_are_listed_by_name_and_followed_by_number() {
    let folder = folder();
    let of = |seconds, sold| {
        let sold = metric("shop.sold", InstrumentKind::Counter, BEGIN, &[("cart", int(sold)), ("desk", int(1))]);
        snapshot(seconds, vec![sold])
    };
    let store = write(folder.path(), unlimited(), [of(10, 1), of(20, 2)]);
    let reader = reader(&folder);
    let names = reader.metric_names(&MetricFilter::default()).expect("the query runs");
    let listed: Vec<_> = names.iter().map(|name| (name.name.as_str(), name.kind.name(), name.series)).collect();
    assert_eq!(listed, [("shop.sold", "counter", 2)]);
    let newest = reader.metrics(&named("shop.sold")).expect("the query runs").newest;
    let after = MetricFilter { after: Some(newest), ..named("shop.sold") };
    assert_eq!(reader.metrics(&after).expect("the query runs").series, []);
    let mut totals = MetricTotals::default();
    store.offer_metrics(totals.sample(&of(30, 5)));
    flush(&store);
    assert_eq!(reader.metrics(&after).expect("the query runs").series.len(), 2);
    let none = MetricFilter { service: Some("nobody".to_owned()), ..MetricFilter::default() };
    assert_eq!(reader.metric_names(&none).expect("the query runs"), []);
}

/// Scenario: somebody asks for a long time. Guarantee: the points are bounded, and nothing of what was added is missing.
#[test]
fn points_of_a_long_time_are_put_together() {
    let folder = folder();
    let of = |number: u64| {
        let metrics = vec![
            metric("shop.sold", InstrumentKind::Counter, BEGIN, &[("cart", int(number as i64))]),
            metric("go.goroutine.count", InstrumentKind::UpDown, BEGIN, &[("all", int(number as i64))]),
        ];
        snapshot(number * 10, metrics)
    };
    write(folder.path(), unlimited(), (1..=3000).map(of));
    let found = reader(&folder).metrics(&named("*")).expect("the query runs");
    let of = |name: &str| found.series.iter().find(|series| series.name == name).expect("it is there");
    let sold = of("shop.sold");
    assert!((900..=1001).contains(&sold.points.len()), "{}", sold.points.len());
    assert_eq!(sold.figures(found.looked_at_ns()).value, Some(MetricNumber::Int(3000)));
    let last = numbers(&of("go.goroutine.count").points);
    assert_eq!(last.last(), Some(&(30_000, 3000.0)));
}

#[test]
fn sql_reads_them() {
    let folder = folder();
    let histogram = InstrumentValue::Histogram { bounds: vec![1.0, 2.0], counts: vec![0, 3, 1], sum: 9.5 };
    let metrics = vec![
        metric("shop.sold", InstrumentKind::Counter, BEGIN, &[("cart", int(4))]),
        metric("shop.wait", InstrumentKind::Histogram, BEGIN, &[("cart", histogram)]),
    ];
    write(folder.path(), unlimited(), [snapshot(10, metrics)]);
    let rows = fixture::sql(
        &reader(&folder),
        "SELECT name, kind, service, attributes ->> 'state', value, count, sum, bounds, bucket_counts FROM metrics
         WHERE name LIKE 'shop.%' ORDER BY name",
    );
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let counter = [text("shop.sold"), text("counter"), text("shop"), text("cart"), SqlValue::Integer(4)];
    let durations = [text("shop.wait"), text("histogram"), text("shop"), text("cart"), SqlValue::Null];
    let of_histogram = [SqlValue::Integer(4), SqlValue::Real(9.5), text("[1.0,2.0]"), text("[0,3,1]")];
    let nothing = vec![SqlValue::Null; 4];
    let expected = vec![[counter.to_vec(), nothing].concat(), [durations.to_vec(), of_histogram.to_vec()].concat()];
    assert_eq!(rows.expect("an answer"), expected);
}

/// Scenario: more series than a store keeps. Guarantee: the first ones are kept, the others are counted, and nothing fails.
#[test]
fn series_are_bounded_and_counted() {
    let folder = folder();
    let labels: Vec<String> = (0..20_500).map(|number| number.to_string()).collect();
    let values: Vec<(&str, InstrumentValue)> = labels.iter().map(|label| (label.as_str(), int(1))).collect();
    let store = write(
        folder.path(),
        unlimited(),
        [snapshot(10, vec![metric("shop.sold", InstrumentKind::Counter, BEGIN, &values)])],
    );
    let own = store.metrics();
    let points = |name: &str| &own.iter().find(|metric| metric.name == name).expect("there is one").points;
    assert_eq!(points("tandem_stored_metric_points_total")[0].1, 20_000);
    assert_eq!(*points("tandem_metric_points_not_stored_total"), [("too_many_series".to_owned(), 500)]);
    let found = reader(&folder).metrics(&named("shop.sold")).expect("the query runs");
    assert_eq!((found.series.len(), found.is_cut), (100, true));
}

#[test]
fn what_is_too_old_goes() {
    let folder = folder();
    let long_ago = UnixNanos(SECOND);
    let mut old = snapshot(0, vec![metric("shop.sold", InstrumentKind::Counter, long_ago, &[("cart", int(1))])]);
    (old.start, old.now) = (long_ago, UnixNanos(2 * SECOND));
    drop(write(folder.path(), unlimited(), [old]));
    assert_eq!(reader(&folder).metrics(&named("*")).expect("the query runs").series.len(), 1);
    // A writer looks for what is old when it begins, and tidies with it.
    let hour = Limits { age: Duration::from_secs(3600), ..Limits::default() };
    flush(&Store::open(folder.path(), hour).expect("the store opens"));
    assert_eq!(reader(&folder).metrics(&named("*")).expect("the query runs").series, []);
    assert_eq!(reader(&folder).metric_names(&MetricFilter::default()).expect("the query runs"), []);
}
