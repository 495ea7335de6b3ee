//! From a snapshot of all metrics to a sample: what was added since the last one, and what is so now.
//!
//! MetricTotals become what was added, so that figures of any time can be made by adding up, whatever was restarted meanwhile.
//! A program that had counted before anybody looked has a total, but nobody knows when that was added: it counts from the
//! second sample on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use deliver::metrics::Snapshot;
use deliver::otlp::{decode, metrics as otlp};
use model::MetricKind;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use super::{Sample, Series, Value};
use crate::{Store, StoreError};

/// So many samples long the total of a series is remembered that is not there any more: it may come back.
const REMEMBERED: u64 = 60;

/// Puts all metrics into a store at an interval. Dropped, it does so once more.
pub struct MetricSampler {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl MetricSampler {
    /// Starts to ask `source`.
    pub fn start(
        store: Arc<Store>,
        interval: Duration,
        source: impl Fn() -> Snapshot + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (stop, stopped) = channel();
        let sample = move || {
            let mut totals = MetricTotals::default();
            loop {
                let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                store.offer_metrics(totals.sample(&source().with_exemplars(false)));
                if is_last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("tandem-sampler".into()).spawn(sample).map_err(StoreError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for MetricSampler {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

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
    seen: u64,
}

/// What the points of a metric have in common.
struct Head<'a> {
    metric: &'a Metric,
    scope: &'a str,
    resource: &'a Arc<[u8]>,
    kind: MetricKind,
    /// A point is what was added, not the total.
    is_delta: bool,
}

/// A data point of any form.
struct Read<'a> {
    attributes: &'a [KeyValue],
    bounds: &'a [f64],
    start: u64,
    value: Value,
}

impl MetricTotals {
    /// All metrics of a moment as a sample.
    pub fn sample(&mut self, snapshot: &Snapshot) -> Sample {
        if self.samples == 0 {
            self.before = snapshot.start.0;
        }
        self.samples += 1;
        let mut sample = Sample { start: self.before, time: snapshot.now.0, points: Vec::new() };
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
        let mut resources = HashSet::new();
        for of_resource in
            [otlp::request(snapshot), otlp::request(&received)].iter().flat_map(|all| &all.resource_metrics)
        {
            let resource: Arc<[u8]> =
                of_resource.resource.as_ref().map(Message::encode_to_vec).unwrap_or_default().into();
            for of_scope in &of_resource.scope_metrics {
                let scope = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
                of_scope.metrics.iter().for_each(|metric| self.metric(metric, scope, &resource, &mut sample));
            }
            resources.insert(resource);
        }
        self.resources = resources;
        self.before = sample.time;
        let now = self.samples;
        self.known.retain(|_, total| now - total.seen <= REMEMBERED);
        sample
    }

    fn metric(&mut self, metric: &Metric, scope: &str, resource: &Arc<[u8]>, sample: &mut Sample) {
        const DELTA: i32 = 1;
        let head = |kind, temporality| Head { metric, scope, resource, kind, is_delta: temporality == DELTA };
        match &metric.data {
            Some(metric::Data::Sum(sum)) => {
                let kind = if sum.is_monotonic { MetricKind::Counter } else { MetricKind::UpDownCounter };
                let head = head(kind, sum.aggregation_temporality);
                sum.data_points.iter().filter_map(number).for_each(|point| self.point(&head, point, sample));
            }
            Some(metric::Data::Gauge(gauge)) => {
                let head = head(MetricKind::Gauge, 0);
                gauge.data_points.iter().filter_map(number).for_each(|point| self.point(&head, point, sample));
            }
            Some(metric::Data::Histogram(histogram)) => {
                let head = head(MetricKind::Histogram, histogram.aggregation_temporality);
                for point in &histogram.data_points {
                    let value =
                        Value::Histogram { bucket_counts: point.bucket_counts.clone(), sum: point.sum.unwrap_or(0.0) };
                    let (attributes, bounds, start) =
                        (&point.attributes, &point.explicit_bounds, point.start_time_unix_nano);
                    self.point(&head, Read { attributes, bounds, start, value }, sample);
                }
            }
            _ => {}
        }
    }

    fn point(&mut self, head: &Head<'_>, point: Read<'_>, sample: &mut Sample) {
        let identity = identity(head, &point);
        let is_total = matches!(head.kind, MetricKind::Counter | MetricKind::Histogram) && !head.is_delta;
        let Read { attributes, bounds, start, value } = point;
        let samples = self.samples;
        // Of a resource that was there before, a new series began since; so did what says that it did.
        let is_new = self.resources.contains(head.resource) || start >= self.before;
        let mut added = is_new.then(|| value.clone());
        let total = self.known.entry(identity).and_modify(|total| {
            if is_total && total.start == start {
                added = Some(value.clone().minus(&total.value));
            }
        });
        let total = total.or_insert_with(|| Total {
            series: Arc::new(series(head, identity, attributes, bounds)),
            value: value.clone(),
            start,
            seen: samples,
        });
        let said = if is_total { added.filter(|added| !added.is_nothing()) } else { Some(value.clone()) };
        sample.points.extend(said.map(|said| (Arc::clone(&total.series), said)));
        (total.value, total.start, total.seen) = (value, start, samples);
    }
}

fn number(point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint) -> Option<Read<'_>> {
    let value = match point.value? {
        number_data_point::Value::AsInt(number) => Value::Int(number),
        number_data_point::Value::AsDouble(number) => Value::Float(number),
    };
    Some(Read { attributes: &point.attributes, bounds: &[], start: point.start_time_unix_nano, value })
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
