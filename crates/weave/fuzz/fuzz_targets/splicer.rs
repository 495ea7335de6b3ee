//! Any text as a Go file.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/spliced.rs"]
#[allow(dead_code, reason = "the other target uses the rest")]
mod spliced;

fuzz_target!(|text: &str| spliced::check_file(text));
