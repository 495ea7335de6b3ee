//! Delta metrics: what was added since the last request that arrived.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric, number_data_point};
use prost::Message;

use super::config::Temporality;
use crate::metrics::{Origin, Snapshot};

/// What a series had when it was last sent.
#[derive(Clone, Debug)]
enum Sent {
    Int(i64),
    Float(f64),
    Histogram { buckets: Vec<u64>, sum: Option<f64> },
}

/// Series by resource, scope, metric and attributes, with the time up to which they were sent.
type Series = HashMap<Vec<u8>, (u64, Sent)>;

/// Turns cumulative requests into what the receiver prefers.
#[derive(Debug)]
pub struct Deltas {
    temporality: Temporality,
    sent: Series,
    /// Of the request that is on its way.
    sending: Series,
}

impl Deltas {
    /// Nothing was sent yet.
    pub fn new(temporality: Temporality) -> Self {
        Self { temporality, sent: Series::new(), sending: Series::new() }
    }

    /// Changes a request's sums and histograms where they are to be deltas.
    pub fn convert(&mut self, request: &mut ExportMetricsServiceRequest, snapshot: &Snapshot) {
        if self.temporality == Temporality::Cumulative {
            return;
        }
        self.sending.clear();
        let observed = |name: &str| {
            snapshot
                .metrics
                .iter()
                .any(|metric| metric.name == name && metric.observed && matches!(metric.origin, Origin::Process(_)))
        };
        for resource in &mut request.resource_metrics {
            let of = resource.resource.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            let scopes = resource.scope_metrics.iter_mut();
            let metrics = scopes.flat_map(|scope| {
                let of: Vec<u8> = scope.scope.as_ref().map(Message::encode_length_delimited_to_vec).unwrap_or_default();
                scope.metrics.iter_mut().map(move |metric| (of.clone(), metric))
            });
            for (scope, metric) in metrics {
                // Low memory: what is observed anyway as a total is left so, since a delta would have to be remembered.
                if self.temporality == Temporality::LowMemory && observed(&metric.name) {
                    continue;
                }
                let key = |attributes: &[KeyValue]| {
                    let mut key = of.clone();
                    key.push(0);
                    key.extend_from_slice(&scope);
                    key.extend_from_slice(metric.name.as_bytes());
                    attributes.iter().for_each(|attribute| {
                        key.push(0);
                        key.extend(attribute.encode_length_delimited_to_vec());
                    });
                    key
                };
                match &mut metric.data {
                    Some(metric::Data::Sum(sum)) if sum.is_monotonic => {
                        sum.aggregation_temporality = AggregationTemporality::Delta.into();
                        for point in &mut sum.data_points {
                            let key = key(&point.attributes);
                            let before = self.sent.get(&key);
                            let now = match &mut point.value {
                                Some(number_data_point::Value::AsInt(value)) => {
                                    let now = Sent::Int(*value);
                                    if let Some((_, Sent::Int(before))) = before
                                        && *before <= *value
                                    {
                                        *value -= before;
                                    }
                                    now
                                }
                                Some(number_data_point::Value::AsDouble(value)) => {
                                    let now = Sent::Float(*value);
                                    if let Some((_, Sent::Float(before))) = before
                                        && *before <= *value
                                    {
                                        *value -= before;
                                    }
                                    now
                                }
                                None => continue,
                            };
                            if let Some((time, _)) = before {
                                point.start_time_unix_nano = *time;
                            }
                            self.sending.insert(key, (point.time_unix_nano, now));
                        }
                    }
                    Some(metric::Data::Histogram(histogram)) => {
                        histogram.aggregation_temporality = AggregationTemporality::Delta.into();
                        for point in &mut histogram.data_points {
                            let key = key(&point.attributes);
                            let now = Sent::Histogram { buckets: point.bucket_counts.clone(), sum: point.sum };
                            if let Some((time, Sent::Histogram { buckets, sum })) = self.sent.get(&key)
                                && buckets.len() == point.bucket_counts.len()
                                && buckets.iter().zip(&point.bucket_counts).all(|(before, now)| before <= now)
                            {
                                let counts = point.bucket_counts.iter_mut().zip(buckets);
                                counts.for_each(|(count, before)| *count -= before);
                                point.count = point.bucket_counts.iter().fold(0, |all, more| all.saturating_add(*more));
                                if let (Some(now), Some(before)) = (&mut point.sum, sum) {
                                    *now -= before;
                                }
                                point.exemplars.retain(|exemplar| exemplar.time_unix_nano > *time);
                                point.start_time_unix_nano = *time;
                            }
                            self.sending.insert(key, (point.time_unix_nano, now));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The last request has arrived: the next one goes on from there. One that was lost is in the next one again.
    pub fn arrived(&mut self) {
        if self.temporality != Temporality::Cumulative {
            self.sent = std::mem::take(&mut self.sending);
        }
    }
}
