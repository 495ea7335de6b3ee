//! Any bytes as a batch that rules are applied to: what was sound still is.
#![no_main]

use std::sync::{Arc, LazyLock};

use agent::Settings;
use agent::attributes::{Rules, settings};
use bytes::Bytes;
use deliver::otlp::check;
use deliver::{Batch, Signal};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let yaml = "attributes:\n  - drop: [a]\n  - rename: {from: b, to: c}\n  - set: {key: d, value: 1}\n  - hash: {keys: [\"e*\"]}\n  \
                - redact: {pattern: '[0-9]+'}\n  - insert: {key: f, value: g}\n    services: [\"s*\"]\n";
    settings::rules(&Settings::parse(yaml).expect("sound").attributes).expect("checked")
});

fuzz_target!(|bytes: &[u8]| {
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        let was_sound = check::request(signal, bytes).is_ok();
        let batch = Arc::new(Batch { signal, resource: Arc::default(), bytes: Bytes::copy_from_slice(bytes), records: 1 });
        let changed = RULES.apply(&batch);
        assert!(!was_sound || check::request(signal, &changed.bytes).is_ok());
    }
});
