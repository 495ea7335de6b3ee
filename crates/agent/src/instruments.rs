//! Metrics that programs keep themselves: the Go runtime's, those of connection pools, those made by hand.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use deliver::metrics::{Metric, Origin, Point};
use deliver::otlp::encode::UnixNanos;
use model::{Resource, Value};
use record::{Instrument, InstrumentAttribute, InstrumentKind, InstrumentValue, MonotonicNanos};

/// The metrics of one program. `time` says when a number was so, by whether it is observed; `start` is the wall clock.
pub(crate) fn metrics(
    instruments: Vec<Instrument>,
    resource: &Arc<Resource>,
    time: impl Fn(bool) -> UnixNanos,
    start: impl Fn(MonotonicNanos) -> UnixNanos,
) -> Vec<Metric> {
    let mut metrics: BTreeMap<[String; 4], (Metric, BTreeMap<String, Point>)> = BTreeMap::new();
    for instrument in instruments {
        let mut attributes: Vec<(String, Value)> =
            instrument.attributes.into_iter().map(|(key, attribute)| (key, value(attribute))).collect();
        attributes.sort_by(|(left, _), (right, _)| left.cmp(right));
        let metric = || Metric {
            origin: Origin::Process(Arc::clone(resource)),
            scope: instrument.scope.clone(),
            scope_version: instrument.scope_version.clone(),
            schema_url: instrument.schema_url.clone(),
            name: instrument.name.clone(),
            unit: instrument.unit.clone(),
            description: instrument.description.clone(),
            kind: instrument.kind,
            observed: instrument.observed,
            points: Vec::new(),
        };
        let (metric, points) = metrics
            .entry(
                [&instrument.name, &instrument.scope, &instrument.scope_version, &instrument.schema_url]
                    .map(String::clone),
            )
            .or_insert_with(|| (metric(), BTreeMap::new()));
        if metric.kind != instrument.kind {
            continue; // one name, two meanings
        }
        if metric.description.is_empty() {
            metric.description = instrument.description; // only some of its series say it
        }
        let point = Point {
            start: start(instrument.start),
            time: time(instrument.observed),
            value: instrument.value,
            exemplars: Vec::new(),
            attributes,
        };
        match points.entry(format!("{:?}", point.attributes)) {
            Entry::Vacant(place) => drop(place.insert(point)),
            // Two of a kind: two pools of one database, say.
            Entry::Occupied(mut place) => add(place.get_mut(), point, metric.kind),
        }
    }
    metrics.into_values().map(|(metric, points)| Metric { points: points.into_values().collect(), ..metric }).collect()
}

fn value(attribute: InstrumentAttribute) -> Value {
    match attribute {
        InstrumentAttribute::Text(text) => Value::String(text),
        InstrumentAttribute::Int(number) => Value::Int(number),
        InstrumentAttribute::Float(number) => Value::Float(number),
        InstrumentAttribute::Bool(truth) => Value::Bool(truth),
        InstrumentAttribute::List(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

fn add(into: &mut Point, more: Point, kind: InstrumentKind) {
    into.start = into.start.min(more.start);
    match (&mut into.value, more.value) {
        (value, more) if kind == InstrumentKind::Gauge => *value = more,
        (InstrumentValue::Int(into), InstrumentValue::Int(more)) => *into = into.saturating_add(more),
        (InstrumentValue::Float(into), InstrumentValue::Float(more)) => *into += more,
        (
            InstrumentValue::Histogram { bounds, counts, sum },
            InstrumentValue::Histogram { bounds: more_bounds, counts: more_counts, sum: more_sum },
        ) if *bounds == more_bounds => {
            counts.iter_mut().zip(more_counts).for_each(|(into, more)| *into = into.saturating_add(more));
            *sum += more_sum;
        }
        _ => {}
    }
}
