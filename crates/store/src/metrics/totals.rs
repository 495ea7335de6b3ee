//! From totals to what was added: of a snapshot of all metrics since the last one, of data points that somebody has exported.
//!
//! What was added can be added up for any time, whatever was restarted meanwhile. A program that had counted before anybody
//! looked has a total, but nobody knows when that was added: it counts from the second sample on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deliver::metrics::Snapshot;
use deliver::otlp::walk::Malformed;
use deliver::otlp::{decode, metrics as otlp};
use model::MetricKind;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric, number_data_point,
};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::{Sample, Series, Value};

/// So many samples long the total of a series is remembered that is not there any more: it may come back.
const REMEMBERED: u64 = 60;

/// What every series had when it was last looked at.
#[derive(Default)]
pub struct MetricTotals {
    known: HashMap<u128, Total>,
    /// Resources that were there before.
    resources: HashSet<Arc<[u8]>>,
    /// Samples so far.
    samples: u64,
    /// When the last one was made, or counting began; ns since 1970.
    before: u64,
}

struct Total {
    series: Arc<Series>,
    value: Value,
    /// When counting began: another time is another count.
    start: u64,
    /// When it was so; 0: nobody says.
    time: u64,
    /// The last sample that it was in.
    seen: u64,
}

/// What the points of a metric have in common.
struct Head<'a> {
    metric: &'a Metric,
    scope: &'a str,
    resource: &'a Arc<[u8]>,
    kind: MetricKind,
    /// A point is all that was added since counting began.
    is_total: bool,
}

/// A data point of any form.
struct Read<'a> {
    attributes: &'a [KeyValue],
    bounds: &'a [f64],
    start: u64,
    time: u64,
    value: Value,
}

/// What a series has to say.
struct Said {
    series: Arc<Series>,
    value: Value,
    /// What was added, was added since then.
    start: u64,
    time: u64,
}

impl MetricTotals {
    /// All metrics of a moment as a sample.
    pub fn sample(&mut self, snapshot: &Snapshot) -> Sample {
        if self.samples == 0 {
            self.before = snapshot.start.0;
        }
        self.samples += 1;
        // Others' metrics have been passed on as they came; here they are like the rest.
        let received = Snapshot {
            host: snapshot.host.clone(),
            start: snapshot.start,
            now: snapshot.now,
            red: Vec::new(),
            metrics: snapshot.received.clone(),
            received: Vec::new(),
            own: Vec::new(),
        };
        let mut sample = Sample { start: self.before, time: snapshot.now.0, points: Vec::new() };
        let mut resources = HashSet::new();
        for request in [otlp::request(snapshot), otlp::request(&received)] {
            resources.extend(self.look_at(&request, &mut |said| sample.points.push((said.series, said.value))));
        }
        self.resources = resources;
        self.before = sample.time;
        let now = self.samples;
        self.known.retain(|_, total| now - total.seen <= REMEMBERED);
        sample
    }

    /// What somebody has exported, an `ExportMetricsServiceRequest`, as samples of the times that the data points say, oldest first.
    pub fn exported(&mut self, request: &[u8]) -> Result<Vec<Sample>, Malformed> {
        let request = ExportMetricsServiceRequest::decode(request).map_err(|_| Malformed)?;
        // Whoever says when counting began says when the total was added.
        self.before = 1;
        let mut samples: BTreeMap<(u64, u64), Sample> = BTreeMap::new();
        let resources = self.look_at(&request, &mut |Said { series, value, start, time }| {
            let sample = samples.entry((time, start)).or_insert_with(|| Sample { start, time, points: Vec::new() });
            sample.points.push((series, value));
        });
        self.resources.extend(resources);
        Ok(samples.into_values().collect())
    }

    /// Shows what there is to say. The resources that it is of.
    fn look_at(&mut self, request: &ExportMetricsServiceRequest, say: &mut dyn FnMut(Said)) -> Vec<Arc<[u8]>> {
        let mut resources = Vec::new();
        for of_resource in &request.resource_metrics {
            let resource = of_resource.resource.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            let resource: Arc<[u8]> = resource.into();
            for of_scope in &of_resource.scope_metrics {
                let scope = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
                of_scope.metrics.iter().for_each(|metric| self.metric(metric, scope, &resource, say));
            }
            resources.push(resource);
        }
        resources
    }

    fn metric(&mut self, metric: &Metric, scope: &str, resource: &Arc<[u8]>, say: &mut dyn FnMut(Said)) {
        const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
        let head = |kind, is_total| Head { metric, scope, resource, kind, is_total };
        match &metric.data {
            Some(metric::Data::Sum(sum)) => {
                let head = match (sum.is_monotonic, sum.aggregation_temporality) {
                    (true, temporality) => head(MetricKind::Counter, temporality == CUMULATIVE),
                    (false, CUMULATIVE) => head(MetricKind::UpDownCounter, false),
                    // What it was, nobody knows.
                    (false, _) => return,
                };
                sum.data_points.iter().filter_map(number).for_each(|point| self.point(&head, point, say));
            }
            Some(metric::Data::Gauge(gauge)) => {
                let head = head(MetricKind::Gauge, false);
                gauge.data_points.iter().filter_map(number).for_each(|point| self.point(&head, point, say));
            }
            Some(metric::Data::Histogram(histogram)) => {
                let head = head(MetricKind::Histogram, histogram.aggregation_temporality == CUMULATIVE);
                histogram.data_points.iter().for_each(|point| self.point(&head, values(point), say));
            }
            _ => {}
        }
    }

    fn point(&mut self, head: &Head<'_>, point: Read<'_>, say: &mut dyn FnMut(Said)) {
        let identity = identity(head, &point);
        let Read { attributes, bounds, start, time, value } = point;
        let known = self.known.get(&identity);
        if known.is_some_and(|total| time != 0 && time <= total.time) {
            // It was said already: whoever measures it does so less often.
            self.known.entry(identity).and_modify(|total| total.seen = self.samples);
            return;
        }
        // Of a resource that was there before, a new series began since; so did what says that it did.
        let is_new = self.resources.contains(head.resource) || start >= self.before;
        let (said, since) = match known {
            _ if !head.is_total => (Some(value.clone()), if start == 0 { time } else { start }),
            Some(total) if total.start == start => (Some(value.clone().minus(&total.value)), total.time),
            _ => (is_new.then(|| value.clone()), start),
        };
        let total = self.known.entry(identity).or_insert_with(|| Total {
            series: Arc::new(series(head, identity, attributes, bounds)),
            value: value.clone(),
            start,
            time,
            seen: 0,
        });
        if let Some(value) = said.filter(|said| !head.kind.is_added() || !said.is_nothing()) {
            say(Said { series: Arc::clone(&total.series), value, start: since, time });
        }
        (total.value, total.start, total.time, total.seen) = (value, start, time, self.samples);
    }
}

fn number(point: &NumberDataPoint) -> Option<Read<'_>> {
    let value = match point.value? {
        number_data_point::Value::AsInt(number) => Value::Int(number),
        number_data_point::Value::AsDouble(number) => Value::Float(number),
    };
    let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
    Some(Read { attributes: &point.attributes, bounds: &[], start, time, value })
}

fn values(point: &HistogramDataPoint) -> Read<'_> {
    Read {
        attributes: &point.attributes,
        bounds: &point.explicit_bounds,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        value: Value::Histogram { bucket_counts: point.bucket_counts.clone(), sum: point.sum.unwrap_or(0.0) },
    }
}

fn series(head: &Head<'_>, identity: u128, attributes: &[KeyValue], bounds: &[f64]) -> Series {
    Series {
        identity,
        name: head.metric.name.clone(),
        unit: head.metric.unit.clone(),
        description: head.metric.description.clone(),
        kind: head.kind,
        scope: head.scope.to_owned(),
        resource: Arc::clone(head.resource),
        attributes: decode::attributes(attributes.to_vec()),
        bounds: bounds.to_vec(),
    }
}

/// All that tells a series from others, in sixteen bytes.
fn identity(head: &Head<'_>, point: &Read<'_>) -> u128 {
    let mut hash = Xxh3::new();
    let mut text = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    [
        head.metric.name.as_bytes(),
        head.metric.unit.as_bytes(),
        head.scope.as_bytes(),
        head.resource,
        &[head.kind as u8],
    ]
    .into_iter()
    .for_each(&mut text);
    // Senders may change their order.
    let mut attributes: Vec<&KeyValue> = point.attributes.iter().collect();
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    attributes.iter().for_each(|attribute| text(&attribute.encode_to_vec()));
    point.bounds.iter().for_each(|bound| text(&bound.to_le_bytes()));
    hash.digest128()
}

impl Value {
    /// What was added to a total. One that has become smaller began again.
    fn minus(self, before: &Self) -> Self {
        match (self, before) {
            (Self::Int(now), Self::Int(before)) if now >= *before => Self::Int(now - before),
            (Self::Float(now), Self::Float(before)) if now >= *before => Self::Float(now - before),
            (Self::Histogram { bucket_counts, sum }, Self::Histogram { bucket_counts: before, sum: sum_before })
                if bucket_counts.len() == before.len()
                    && bucket_counts.iter().zip(before).all(|(now, before)| now >= before) =>
            {
                let added = bucket_counts.iter().zip(before).map(|(now, before)| now - before);
                Self::Histogram { bucket_counts: added.collect(), sum: sum - sum_before }
            }
            (now, _) => now,
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Histogram { bucket_counts, .. } => bucket_counts.iter().all(|count| *count == 0),
        }
    }
}
