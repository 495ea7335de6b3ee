//! Metrics as OTLP: `traces.span.metrics.calls`, `traces.span.metrics.duration`, and the agent's own.
//!
//! Spans of one service may come from many processes; their series are sums, so the resource is the service on this
//! host, not a process.

use std::collections::BTreeMap;

use model::{Attributes, Resource, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1 as proto;
use record::layout::BUCKET_BOUNDS;

use super::builder;
use crate::metrics::{OwnKind, OwnMetric, RedSeries, Snapshot, kind_name, status_name};

/// All metrics as one request.
pub fn request(snapshot: &Snapshot) -> ExportMetricsServiceRequest {
    let mut services: BTreeMap<&str, Vec<&RedSeries>> = BTreeMap::new();
    for series in &snapshot.red {
        services.entry(&series.key.service).or_default().push(series);
    }
    let mut resource_metrics: Vec<_> = services
        .into_iter()
        .map(|(service, series)| resource_metrics(snapshot, service, red(snapshot, &series)))
        .collect();
    let own = snapshot.own.iter().map(|metric| own_metric(snapshot, metric)).collect();
    resource_metrics.push(self::resource_metrics(snapshot, "tandem-agent", own));
    ExportMetricsServiceRequest { resource_metrics }
}

fn resource_metrics(snapshot: &Snapshot, service: &str, metrics: Vec<Metric>) -> ResourceMetrics {
    let text = |value: &str| Value::String(value.to_owned());
    let attributes = Attributes::from([
        ("service.name".to_owned(), text(service)),
        ("host.name".to_owned(), text(&snapshot.host)),
        ("telemetry.sdk.name".to_owned(), text("tandem")),
        ("telemetry.sdk.language".to_owned(), text("go")),
        ("telemetry.sdk.version".to_owned(), text(env!("CARGO_PKG_VERSION"))),
    ]);
    let resource = proto::Resource { attributes: builder::attributes(&Resource { attributes }), ..Default::default() };
    let scope = InstrumentationScope {
        name: "tandem/agent".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }],
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
            value: Some(integer(*number)),
            ..Default::default()
        })
        .collect();
    let data = match own.kind {
        OwnKind::Gauge => metric::Data::Gauge(Gauge { data_points }),
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
