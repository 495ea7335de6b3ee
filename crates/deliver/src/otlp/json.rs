//! OTLP as JSON, for receivers that want it: made of the protobuf bytes when they are sent, since nothing else has that form.

use std::io;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;
use serde_json::Value;

use crate::Signal;
use crate::retry::Answer;

/// A request that was encoded as protobuf.
pub fn request(signal: Signal, message: Bytes) -> io::Result<Bytes> {
    match signal {
        Signal::Traces => converted::<ExportTraceServiceRequest>(message),
        Signal::Metrics => converted::<ExportMetricsServiceRequest>(message),
        Signal::Logs => converted::<ExportLogsServiceRequest>(message),
        Signal::Profiles => converted::<ExportProfilesServiceRequest>(message),
    }
}

fn converted<M: Message + Default + Serialize>(message: Bytes) -> io::Result<Bytes> {
    let message = M::decode(message).map_err(io::Error::other)?;
    let mut value = serde_json::to_value(&message)?;
    tidy(&mut value);
    Ok(serde_json::to_vec(&value)?.into())
}

/// Receivers refuse `null`, which optional fields without a value become, and the number of an exemplar has no name of its own.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(tidy);
            let is_number = |member: &Value| member.get("asDouble").or_else(|| member.get("asInt")).is_some();
            if members.get("value").is_some_and(is_number)
                && let Some(Value::Object(number)) = members.remove("value")
            {
                members.extend(number);
            }
        }
        _ => {}
    }
}

/// What an answer says about a request that was taken in part, whatever the signal.
pub fn partial_success(body: &[u8]) -> Answer {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let number = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords", "rejectedProfiles"]
        .iter()
        .map(|name| &partial[*name])
        .find_map(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
    let message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
    Answer::Accepted { rejected: number.unwrap_or(0), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1 as proto;

    /// What is optional and absent is left out, and numbers stand where the specification has them.
    #[test]
    fn metrics_are_what_the_specification_says() {
        let exemplar = proto::Exemplar {
            span_id: vec![1; 8],
            value: Some(proto::exemplar::Value::AsDouble(0.5)),
            ..Default::default()
        };
        let point = proto::HistogramDataPoint {
            count: 1,
            bucket_counts: vec![1],
            exemplars: vec![exemplar],
            ..Default::default()
        };
        let histogram = proto::Histogram { data_points: vec![point], aggregation_temporality: 2 };
        let number =
            proto::NumberDataPoint { value: Some(proto::number_data_point::Value::AsInt(-7)), ..Default::default() };
        let gauge = proto::Gauge { data_points: vec![number] };
        let metric = |data| proto::Metric { name: "m".to_owned(), data: Some(data), ..Default::default() };
        let metrics =
            vec![metric(proto::metric::Data::Histogram(histogram)), metric(proto::metric::Data::Gauge(gauge))];
        let scope_metrics = vec![proto::ScopeMetrics { metrics, ..Default::default() }];
        let resource_metrics = vec![proto::ResourceMetrics { scope_metrics, ..Default::default() }];
        let message = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
        let json = request(Signal::Metrics, message.into()).expect("JSON");
        let read: Value = serde_json::from_slice(&json).expect("JSON");
        assert!(!String::from_utf8_lossy(&json).contains("null"), "{read}");
        let metrics = &read["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let point = &metrics[0]["histogram"]["dataPoints"][0];
        assert_eq!((&point["count"], &point["bucketCounts"][0]), (&"1".into(), &"1".into()));
        assert_eq!(
            (&point["exemplars"][0]["asDouble"], &point["exemplars"][0]["spanId"]),
            (&0.5.into(), &"0101010101010101".into())
        );
        let number = &metrics[1]["gauge"]["dataPoints"][0]["asInt"];
        assert!(*number == -7 || *number == "-7", "{read}");
    }

    /// Numbers come as text or not; what is no JSON says nothing.
    #[test]
    fn answers_are_understood() {
        let answer = br#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}"#;
        let accepted = |rejected, message: &str| Answer::Accepted { rejected, message: message.to_owned() };
        assert_eq!(partial_success(answer), accepted(3, "too old"));
        assert_eq!(partial_success(br#"{"partialSuccess":{"rejectedSpans":2}}"#), accepted(2, ""));
        assert_eq!(partial_success(b"ok"), accepted(0, ""));
    }
}
