//! Any bytes as a request of each signal: what we call sound the protobuf library reads, too, and what batches are made of it are
//! sound again and have the same records. Who checks spans while reading them says the same.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use deliver::Signal;
use deliver::otlp::check::{self, Level};
use deliver::otlp::regroup::{Verdict, regroup};
use deliver::otlp::walk::{self, Attribute, Field, Malformed, SpanFields, Whole};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// Checks and reads all spans in one walk; what was read of a sound one is what [`SpanFields`] reads.
fn checked_while_read(request: &[u8]) -> Result<(), Malformed> {
    for (number, field, whole) in Whole::of(request) {
        let (1, Field::Bytes(group)) = (number, field?) else {
            check::beside_spans(Level::Request, whole)?;
            continue;
        };
        let regrouped = regroup(group, |span| {
            let mut attributes = Vec::new();
            let fields = check::span(span, |attribute, _| attributes.push(attribute))?;
            let mut expected = Vec::new();
            let again = SpanFields::read_with(span, |key_value| {
                expected.extend(Attribute::read(key_value)?);
                Ok(())
            });
            assert_eq!((Ok(fields), attributes), (again, expected));
            Ok(Verdict::Kept)
        })?;
        regrouped.check_beside_spans()?;
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(checked_while_read(bytes).is_ok(), check::request(Signal::Traces, bytes).is_ok());
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        if check::request(signal, bytes).is_err() {
            continue;
        }
        let is_read = match signal {
            Signal::Traces => ExportTraceServiceRequest::decode(bytes).is_ok(),
            Signal::Logs => ExportLogsServiceRequest::decode(bytes).is_ok(),
            _ => ExportMetricsServiceRequest::decode(bytes).is_ok(),
        };
        assert!(is_read, "called sound, but is not");
        for group in walk::resources(bytes) {
            let group = group.expect("it is sound");
            let (mut seen, mut handed_on) = (0, 0);
            let regrouped = regroup(group.message, |record| {
                seen += 1;
                Ok(if record.len() % 2 == 0 || signal != Signal::Traces { Verdict::Kept } else { Verdict::Marked })
            });
            let mut whole = vec![0x0a];
            prost::encoding::encode_varint(group.message.len() as u64, &mut whole);
            whole.extend_from_slice(group.message);
            regrouped.expect("it is sound").batches(signal, &Arc::default(), Bytes::from(whole), |batch| {
                check::request(signal, &batch.bytes).expect("still sound");
                handed_on += batch.records;
            });
            assert_eq!(seen, handed_on);
        }
    }
});
