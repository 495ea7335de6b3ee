//! Durations of operations as OpenTelemetry's semantic conventions name them, made of the series of spans.
//!
//! The bounds that the conventions advise are a part of ours, so buckets only have to be added up: the histograms are
//! exact, whatever is sampled.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::Value;
use record::layout::kind::{CLIENT, CONSUMER, PRODUCER, SERVER};
use record::layout::{BUCKET_BOUNDS, BUCKET_COUNT};
use record::{InstrumentKind, InstrumentValue};

use crate::metrics::{Exemplar, Metric, Origin, Point, RedKey, RedSeries};
use crate::otlp::encode::UnixNanos;

/// Bounds (ns) that the conventions advise for HTTP, RPC and messaging.
const REQUEST_BOUNDS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];
/// The same for databases.
const DATABASE_BOUNDS: [u64; 9] = [
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// One metric of durations.
struct Convention {
    name: &'static str,
    description: &'static str,
    bounds: &'static [u64],
    attributes: &'static [&'static str],
}

const CONVENTIONS: [Convention; 7] = [
    Convention {
        name: "http.server.request.duration",
        description: "Duration of HTTP server requests.",
        bounds: &REQUEST_BOUNDS,
        attributes: &["error.type", "http.request.method", "http.response.status_code", "http.route", "url.scheme"],
    },
    Convention {
        name: "http.client.request.duration",
        description: "Duration of HTTP client requests.",
        bounds: &REQUEST_BOUNDS,
        attributes: &[
            "error.type",
            "http.request.method",
            "http.response.status_code",
            "server.address",
            "server.port",
        ],
    },
    Convention {
        name: "rpc.server.call.duration",
        description: "Duration of incoming remote procedure calls.",
        bounds: &REQUEST_BOUNDS,
        attributes: &["error.type", "rpc.method", "rpc.response.status_code", "rpc.system.name"],
    },
    Convention {
        name: "rpc.client.call.duration",
        description: "Duration of outgoing remote procedure calls.",
        bounds: &REQUEST_BOUNDS,
        attributes: &[
            "error.type",
            "rpc.method",
            "rpc.response.status_code",
            "rpc.system.name",
            "server.address",
            "server.port",
        ],
    },
    Convention {
        name: "db.client.operation.duration",
        description: "Duration of database client operations.",
        bounds: &DATABASE_BOUNDS,
        attributes: &[
            "db.collection.name",
            "db.namespace",
            "db.operation.name",
            "db.system.name",
            "error.type",
            "server.address",
            "server.port",
        ],
    },
    Convention {
        name: "messaging.client.operation.duration",
        description: "Duration of messaging operations that a producer or consumer client began.",
        bounds: &REQUEST_BOUNDS,
        attributes: &MESSAGING,
    },
    Convention {
        name: "messaging.process.duration",
        description: "Duration of processing messages.",
        bounds: &REQUEST_BOUNDS,
        attributes: &MESSAGING,
    },
];
const MESSAGING: [&str; 7] = [
    "error.type",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "server.address",
    "server.port",
];

/// The metric that the duration of such spans belongs to; empty: to none.
pub fn metric_of(kind: u8, dimensions: &[(String, Value)]) -> &'static str {
    let value = |wanted: &str| dimensions.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
    let has = |key| value(key).is_some();
    match kind {
        SERVER if has("http.request.method") => "http.server.request.duration",
        CLIENT if has("http.request.method") => "http.client.request.duration",
        SERVER if has("rpc.system.name") => "rpc.server.call.duration",
        CLIENT if has("rpc.system.name") => "rpc.client.call.duration",
        CLIENT if has("db.system.name") => "db.client.operation.duration",
        CLIENT | PRODUCER | CONSUMER if has("messaging.system") => match value("messaging.operation.type") {
            Some(Value::String(operation)) if operation == "process" => "messaging.process.duration",
            _ => "messaging.client.operation.duration",
        },
        _ => "",
    }
}

/// The metrics of all services.
pub fn metrics(red: &[RedSeries], start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
    let mut found: HashMap<(Arc<str>, &'static str), usize> = HashMap::new();
    let mut metrics: Vec<(Metric, Vec<Sums>)> = Vec::new();
    let mut places: HashMap<(usize, String), usize> = HashMap::new();
    for series in red {
        let Some(convention) = CONVENTIONS.iter().find(|convention| convention.name == series.key.metric) else {
            continue;
        };
        let index = *found.entry((Arc::clone(&series.key.service), convention.name)).or_insert_with(|| {
            metrics.push((empty(convention, &series.key.service), Vec::new()));
            metrics.len() - 1
        });
        let attributes = attributes(convention, &series.key);
        let (_, sums) = &mut metrics[index];
        let place = *places.entry((index, format!("{attributes:?}"))).or_insert_with(|| {
            sums.push(Sums::new(attributes, convention));
            sums.len() - 1
        });
        sums[place].add(series, convention);
    }
    let durations = metrics.into_iter().map(|(metric, sums)| {
        let points = sums.into_iter().map(|sums| sums.point(start, now)).collect();
        Metric { points, ..metric }
    });
    durations.chain(messages(red, start, now)).collect()
}

/// Messages that were sent, and that arrived: one a span. A message that is received and then processed, by spans of the same
/// service and destination, arrives once.
fn messages(red: &[RedSeries], start: UnixNanos, now: UnixNanos) -> impl Iterator<Item = Metric> {
    let value = |series: &RedSeries, wanted: &str| {
        let found = series.key.dimensions.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.to_string()).unwrap_or_default()
    };
    let of = |series: &RedSeries| {
        let place = (value(series, "messaging.system"), value(series, "messaging.destination.name"));
        (Arc::clone(&series.key.service), place)
    };
    let kinds: Vec<(&RedSeries, String)> = red
        .iter()
        .filter(|series| series.key.metric.starts_with("messaging.") && !series.key.overflow)
        .map(|series| (series, value(series, "messaging.operation.type")))
        .collect();
    let received: HashSet<_> =
        kinds.iter().filter(|(_, kind)| kind == "receive").map(|(series, _)| of(series)).collect();
    let mut metrics: BTreeMap<(Arc<str>, &'static str), BTreeMap<String, Point>> = BTreeMap::new();
    for (series, kind) in &kinds {
        let name = match kind.as_str() {
            "send" | "publish" => SENT,
            "receive" => CONSUMED,
            "process" if !received.contains(&of(series)) => CONSUMED,
            _ => continue,
        };
        let mut attributes = series.key.dimensions.clone();
        attributes.retain(|(key, _)| MESSAGING.contains(&key.as_str()) && key != "messaging.operation.type");
        let points = metrics.entry((Arc::clone(&series.key.service), name)).or_default();
        let point = points.entry(format!("{attributes:?}")).or_insert_with(|| Point {
            attributes,
            start,
            time: now,
            value: InstrumentValue::Int(0),
            exemplars: Vec::new(),
        });
        if let InstrumentValue::Int(count) = &mut point.value {
            *count = count.saturating_add_unsigned(series.count());
        }
    }
    metrics.into_iter().map(|((service, name), points)| {
        let description = match name {
            SENT => "Messages that were handed to a broker, or should have been.",
            _ => "Messages that the application was given.",
        };
        Metric {
            name: name.to_owned(),
            unit: "{message}".to_owned(),
            description: description.to_owned(),
            kind: InstrumentKind::Counter,
            points: points.into_values().collect(),
            ..of_service(&service)
        }
    })
}

const SENT: &str = "messaging.client.sent.messages";
const CONSUMED: &str = "messaging.client.consumed.messages";

fn empty(convention: &Convention, service: &Arc<str>) -> Metric {
    Metric {
        name: convention.name.to_owned(),
        unit: "s".to_owned(),
        description: convention.description.to_owned(),
        ..of_service(service)
    }
}

fn of_service(service: &Arc<str>) -> Metric {
    Metric {
        origin: Origin::Service(Arc::clone(service)),
        scope: "tandem/agent".to_owned(),
        scope_version: String::new(),
        schema_url: String::new(),
        name: String::new(),
        unit: String::new(),
        description: String::new(),
        kind: InstrumentKind::Histogram,
        observed: false,
        points: Vec::new(),
    }
}

fn attributes(convention: &Convention, key: &RedKey) -> Vec<(String, Value)> {
    if key.overflow {
        return vec![("otel.metric.overflow".to_owned(), Value::Bool(true))];
    }
    key.dimensions.iter().filter(|(key, _)| convention.attributes.contains(&key.as_str())).cloned().collect()
}

/// One point, while series are added to it.
struct Sums {
    attributes: Vec<(String, Value)>,
    bounds: &'static [u64],
    counts: Vec<u64>,
    exemplars: Vec<Option<Exemplar>>,
    sum_ns: u64,
}

impl Sums {
    fn new(attributes: Vec<(String, Value)>, convention: &Convention) -> Self {
        let count = convention.bounds.len() + 1;
        Self { attributes, bounds: convention.bounds, counts: vec![0; count], exemplars: vec![None; count], sum_ns: 0 }
    }

    fn add(&mut self, series: &RedSeries, convention: &Convention) {
        self.sum_ns = self.sum_ns.saturating_add(series.sum_ns);
        for bucket in 0..BUCKET_COUNT {
            let into = match BUCKET_BOUNDS.get(bucket) {
                Some(&bound) => convention.bounds.partition_point(|&ours| ours < bound),
                None => convention.bounds.len(),
            };
            self.counts[into] = self.counts[into].saturating_add(series.buckets[bucket]);
            let newer = series.exemplars.get(bucket).copied().flatten();
            let known = &mut self.exemplars[into];
            if newer.is_some_and(|newer| known.is_none_or(|known| known.time.0 <= newer.time.0)) {
                *known = newer;
            }
        }
    }

    fn point(self, start: UnixNanos, time: UnixNanos) -> Point {
        Point {
            attributes: self.attributes,
            start,
            time,
            value: InstrumentValue::Histogram {
                bounds: self.bounds.iter().map(|&bound| bound as f64 / 1e9).collect(),
                counts: self.counts,
                sum: self.sum_ns as f64 / 1e9,
            },
            exemplars: self.exemplars.into_iter().flatten().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bound that is advised is one of ours, or counts could not be added up exactly.
    #[test]
    fn advised_bounds_are_ours() {
        for convention in &CONVENTIONS {
            assert!(convention.bounds.iter().all(|bound| BUCKET_BOUNDS.contains(bound)), "{}", convention.name);
        }
    }

    /// A message that is received and processed arrives once; where nobody receives, processing is arriving.
    #[test]
    fn messages_are_counted_once() {
        let series = |kind: u8, operation: &str, topic: &str, failed: bool, count: u64| {
            let text = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
            let mut dimensions = vec![
                text("messaging.destination.name", topic),
                text("messaging.operation.type", operation),
                text("messaging.system", "kafka"),
            ];
            if failed {
                dimensions.push(text("error.type", "timeout"));
            }
            let key = RedKey {
                service: "shop".into(),
                span_name: String::new(),
                kind,
                status: 0,
                metric: metric_of(kind, &dimensions),
                dimensions,
                overflow: false,
            };
            let mut buckets = [0; BUCKET_COUNT];
            buckets[3] = count;
            RedSeries { key: key.into(), buckets, sum_ns: 0, exemplars: Vec::new() }
        };
        let red = [
            series(PRODUCER, "send", "a", false, 1),
            series(CLIENT, "send", "a", false, 2),
            series(PRODUCER, "send", "a", true, 4),
            series(CONSUMER, "receive", "a", false, 8),
            series(CONSUMER, "process", "a", false, 16),
            series(CONSUMER, "process", "b", false, 32),
            series(CLIENT, "create", "a", false, 64),
            series(CLIENT, "settle", "a", false, 128),
        ];
        let counts: Vec<(String, Vec<i64>)> = metrics(&red, UnixNanos(1), UnixNanos(2))
            .into_iter()
            .filter(|metric| metric.kind == InstrumentKind::Counter)
            .map(|metric| {
                let count = |point: &Point| match point.value {
                    InstrumentValue::Int(count) => count,
                    _ => panic!("{point:?}"),
                };
                (metric.name, metric.points.iter().map(count).collect())
            })
            .collect();
        // What failed is a point of its own.
        assert_eq!(counts, [(CONSUMED.to_owned(), vec![8, 32]), (SENT.to_owned(), vec![4, 3])]);
    }

    /// Series that differ only in what is no attribute of the metric are one point; overflow is a point of its own.
    #[test]
    fn series_are_added_up_by_the_metrics_own_attributes() {
        let series = |status: i64, kept: bool, count: u64, overflow: bool| {
            let mut dimensions = vec![
                ("http.request.method".to_owned(), Value::String("GET".to_owned())),
                ("http.response.status_code".to_owned(), Value::Int(status)),
            ];
            if kept {
                dimensions.push(("rpc.method".to_owned(), Value::String("x".to_owned())));
            }
            let metric = metric_of(SERVER, &dimensions);
            let key = RedKey {
                service: "shop".into(),
                span_name: String::new(),
                kind: SERVER,
                status: 0,
                dimensions,
                metric,
                overflow,
            };
            let mut buckets = [0; BUCKET_COUNT];
            (buckets[0], buckets[5], buckets[19]) = (count, count, count);
            RedSeries { key: key.into(), buckets, sum_ns: count * 1_000_000_000, exemplars: Vec::new() }
        };
        let red = [
            series(200, false, 1, false),
            series(200, true, 2, false),
            series(404, false, 4, false),
            series(0, false, 8, true),
        ];
        let metrics = metrics(&red, UnixNanos(1), UnixNanos(2));
        assert_eq!(metrics.len(), 1);
        let counts: Vec<_> = metrics[0]
            .points
            .iter()
            .map(|point| match &point.value {
                InstrumentValue::Histogram { bounds, counts, sum } => {
                    assert_eq!((bounds[0], bounds.len(), counts.len()), (0.005, 14, 15));
                    (counts[0], counts[14], *sum)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(6, 3, 3.0), (8, 4, 4.0), (16, 8, 8.0)]);
        assert_eq!(metrics[0].points[2].attributes, [("otel.metric.overflow".to_owned(), Value::Bool(true))]);
    }
}
