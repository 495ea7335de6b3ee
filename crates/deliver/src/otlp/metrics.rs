//! Metrics as OTLP: those of the semantic conventions, `traces.span.metrics.*`, and the agent's own.
//!
//! Spans of one service may come from many processes; their series are sums, so the resource is the service on this
//! host, not a process. What a program counts itself has its process as the resource.

use std::collections::{BTreeMap, HashMap};

use model::{Attributes, Resource, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1 as proto;
use record::layout::BUCKET_BOUNDS;
use record::{InstrumentKind, InstrumentValue};

use super::builder;
use crate::metrics::{Origin, OwnKind, OwnMetric, Point, RedSeries, Snapshot, kind_name, status_name};

/// All metrics as one request.
pub fn request(snapshot: &Snapshot) -> ExportMetricsServiceRequest {
    let mut services: BTreeMap<&str, Vec<&RedSeries>> = BTreeMap::new();
    for series in &snapshot.red {
        services.entry(&series.key.service).or_default().push(series);
    }
    let places: HashMap<&str, usize> = services.keys().enumerate().map(|(place, service)| (*service, place)).collect();
    let mut resource_metrics: Vec<_> = services
        .into_iter()
        .map(|(service, series)| resource_metrics(snapshot, service, red(snapshot, &series)))
        .collect();
    let mut own: Vec<_> = snapshot.own.iter().map(|metric| own_metric(snapshot, metric)).collect();
    for metric in &snapshot.metrics {
        let converted = convention(metric);
        match &metric.origin {
            // Each service has series of its spans, or it would have no durations.
            Origin::Service(service) => {
                let known = places.get(&**service).map(|&place| &mut resource_metrics[place]);
                if let Some(scope) = known.and_then(|known| known.scope_metrics.first_mut()) {
                    scope.metrics.push(converted);
                }
            }
            Origin::Process(process) => {
                let attributes = builder::attributes(process);
                let resource = proto::Resource { attributes, ..Default::default() };
                add(&mut resource_metrics, resource, metric, converted);
            }
            Origin::Agent => own.push(converted),
        }
    }
    resource_metrics.push(self::resource_metrics(snapshot, "tandem-agent", own));
    ExportMetricsServiceRequest { resource_metrics }
}

/// Adds a metric to its resource and scope.
fn add(all: &mut Vec<ResourceMetrics>, resource: proto::Resource, from: &crate::metrics::Metric, metric: Metric) {
    let place = all.iter().position(|known| known.resource.as_ref() == Some(&resource)).unwrap_or_else(|| {
        all.push(ResourceMetrics { resource: Some(resource), ..Default::default() });
        all.len() - 1
    });
    let scopes = &mut all[place].scope_metrics;
    let mut scope = scope(&from.scope);
    if !from.is_ours() {
        scope.version.clone_from(&from.scope_version);
    }
    let same = |known: &ScopeMetrics| known.scope.as_ref() == Some(&scope) && known.schema_url == from.schema_url;
    let place = scopes.iter().position(same).unwrap_or_else(|| {
        let schema_url = from.schema_url.clone();
        scopes.push(ScopeMetrics { scope: Some(scope), schema_url, ..Default::default() });
        scopes.len() - 1
    });
    scopes[place].metrics.push(metric);
}

/// A metric of the conventions.
fn convention(from: &crate::metrics::Metric) -> Metric {
    let attributes =
        |point: &Point| point.attributes.iter().map(|(key, value)| key_value(key, value.clone())).collect::<Vec<_>>();
    let numbers = || {
        from.points
            .iter()
            .filter_map(|point| {
                let value = match point.value {
                    InstrumentValue::Int(value) => number_data_point::Value::AsInt(value),
                    InstrumentValue::Float(value) => number_data_point::Value::AsDouble(value),
                    InstrumentValue::Histogram { .. } => return None,
                };
                Some(NumberDataPoint {
                    attributes: attributes(point),
                    start_time_unix_nano: point.start.0,
                    time_unix_nano: point.time.0,
                    value: Some(value),
                    ..Default::default()
                })
            })
            .collect()
    };
    let sum = |is_monotonic| {
        metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic,
        })
    };
    let data = match from.kind {
        InstrumentKind::Counter => sum(true),
        InstrumentKind::UpDown => sum(false),
        InstrumentKind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers() }),
        InstrumentKind::Histogram => {
            let points = from.points.iter().filter_map(|point| {
                let InstrumentValue::Histogram { bounds, counts, sum } = &point.value else { return None };
                Some(HistogramDataPoint {
                    attributes: attributes(point),
                    start_time_unix_nano: point.start.0,
                    time_unix_nano: point.time.0,
                    count: counts.iter().fold(0, |all: u64, &more| all.saturating_add(more)),
                    sum: Some(*sum),
                    bucket_counts: counts.clone(),
                    explicit_bounds: bounds.clone(),
                    exemplars: point.exemplars.iter().map(exemplar).collect(),
                    ..Default::default()
                })
            });
            metric::Data::Histogram(Histogram {
                data_points: points.collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            })
        }
    };
    Metric {
        name: from.name.clone(),
        description: from.description.clone(),
        unit: from.unit.clone(),
        data: Some(data),
        ..Default::default()
    }
}

fn exemplar(span: &crate::metrics::Exemplar) -> Exemplar {
    Exemplar {
        time_unix_nano: span.time.0,
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(span.duration_ns as f64 / 1e9)),
        ..Default::default()
    }
}

fn resource(snapshot: &Snapshot, service: &str) -> proto::Resource {
    let text = |value: &str| Value::String(value.to_owned());
    let attributes = Attributes::from([
        ("service.name".to_owned(), text(service)),
        ("host.name".to_owned(), text(&snapshot.host)),
        ("telemetry.sdk.name".to_owned(), text("tandem")),
        ("telemetry.sdk.language".to_owned(), text("go")),
        ("telemetry.sdk.version".to_owned(), text(env!("CARGO_PKG_VERSION"))),
    ]);
    proto::Resource { attributes: builder::attributes(&Resource { attributes }), ..Default::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() }
}

fn resource_metrics(snapshot: &Snapshot, service: &str, metrics: Vec<Metric>) -> ResourceMetrics {
    let scope = Some(scope("tandem/agent"));
    ResourceMetrics {
        resource: Some(resource(snapshot, service)),
        scope_metrics: vec![ScopeMetrics { scope, metrics, ..Default::default() }],
        ..Default::default()
    }
}

fn red(snapshot: &Snapshot, series: &[&RedSeries]) -> Vec<Metric> {
    let temporality = AggregationTemporality::Cumulative.into();
    let bounds: Vec<f64> = BUCKET_BOUNDS.iter().map(|&bound| bound as f64 / 1e9).collect();
    let (start, now) = (snapshot.start.0, snapshot.now.0);
    let calls = series.iter().map(|series| NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(integer(series.count())),
        ..Default::default()
    });
    let durations = series.iter().map(|series| HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: series.count(),
        sum: Some(series.sum_ns as f64 / 1e9),
        bucket_counts: series.buckets.to_vec(),
        explicit_bounds: bounds.clone(),
        exemplars: series.exemplars.iter().flatten().map(exemplar).collect(),
        ..Default::default()
    });
    vec![
        Metric {
            name: "traces.span.metrics.calls".to_owned(),
            description: "Spans, sampled or not.".to_owned(),
            unit: "1".to_owned(),
            data: Some(metric::Data::Sum(Sum {
                data_points: calls.collect(),
                aggregation_temporality: temporality,
                is_monotonic: true,
            })),
            ..Default::default()
        },
        Metric {
            name: "traces.span.metrics.duration".to_owned(),
            description: "Durations of spans, sampled or not.".to_owned(),
            unit: "s".to_owned(),
            data: Some(metric::Data::Histogram(Histogram {
                data_points: durations.collect(),
                aggregation_temporality: temporality,
            })),
            ..Default::default()
        },
    ]
}

fn own_metric(snapshot: &Snapshot, own: &OwnMetric) -> Metric {
    let data_points = own
        .points
        .iter()
        .map(|(value, number)| NumberDataPoint {
            attributes: own.label.map(|label| key_value(label, Value::String(value.clone()))).into_iter().collect(),
            start_time_unix_nano: snapshot.start.0,
            time_unix_nano: snapshot.now.0,
            value: Some(match own.kind {
                OwnKind::Thousandths => number_data_point::Value::AsDouble(*number as f64 / 1000.0),
                _ => integer(*number),
            }),
            ..Default::default()
        })
        .collect();
    let data = match own.kind {
        OwnKind::Gauge | OwnKind::Thousandths => metric::Data::Gauge(Gauge { data_points }),
        OwnKind::Counter => metric::Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
    };
    Metric {
        name: own.name.trim_end_matches("_total").replace('_', "."),
        description: own.help.to_owned(),
        unit: "1".to_owned(),
        data: Some(data),
        ..Default::default()
    }
}

fn attributes(series: &RedSeries) -> Vec<KeyValue> {
    let key = &series.key;
    if key.overflow {
        return vec![key_value("otel.metric.overflow", Value::Bool(true))];
    }
    let text = |value: &str| Value::String(value.to_owned());
    let mut attributes = vec![
        key_value("span.name", text(&key.span_name)),
        key_value("span.kind", text(kind_name(key.kind))),
        key_value("status.code", text(status_name(key.status))),
    ];
    attributes.extend(key.dimensions.iter().map(|(name, value)| key_value(name, value.clone())));
    attributes
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(builder::any_value(&value)), ..Default::default() }
}

fn integer(number: u64) -> number_data_point::Value {
    number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX))
}
