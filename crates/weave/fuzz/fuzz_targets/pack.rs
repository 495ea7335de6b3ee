//! Any text as a pack.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/spliced.rs"]
#[allow(dead_code, reason = "the other target uses the rest")]
mod spliced;

fuzz_target!(|text: &str| spliced::check_pack(text));
