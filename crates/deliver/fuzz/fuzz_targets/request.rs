//! Any bytes as a request of each signal: what we call sound the protobuf library reads, too, and what batches are made of it are
//! sound again and have the same records.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use deliver::Signal;
use deliver::otlp::check;
use deliver::otlp::regroup::{Verdict, regroup};
use deliver::otlp::walk;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
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
