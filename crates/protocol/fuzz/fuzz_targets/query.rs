//! Any text as a query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::query::{Dialect, read};

fuzz_target!(|text: &str| {
    for dialect in [Dialect::Postgresql, Dialect::Mysql] {
        let statement = read(text, dialect);
        assert!(statement.summary.len() <= 3 * 255 && statement.text.len() <= 3 * 448);
    }
});
