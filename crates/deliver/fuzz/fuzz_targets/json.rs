//! Any bytes as JSON of each signal: what is taken for it is protobuf, and no larger than a few times the text.
#![no_main]

use deliver::Signal;
use deliver::otlp::server::from_json;
use deliver::otlp::walk::Fields;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        if let Ok(request) = from_json::request(signal, bytes) {
            assert!(request.len() <= 16 * bytes.len());
            assert!(Fields::of(&request).all(|field| field.is_ok()));
        }
    }
});
