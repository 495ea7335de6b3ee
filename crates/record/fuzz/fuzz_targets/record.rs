//! Any bytes as a record, and as a header page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::layout::PAGE;
use record::{Header, Items, LogRecord, SpanRecord};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(span) = SpanRecord::parse(bytes) {
        span.items().for_each(|item| drop(format!("{item:?}")));
    }
    if let Ok(log) = LogRecord::parse(bytes) {
        log.items().for_each(|item| drop(format!("{item:?}")));
    }
    let _ = Items::new(bytes).count();
    let mut page = [0; PAGE];
    let length = bytes.len().min(PAGE);
    page[..length].copy_from_slice(&bytes[..length]);
    let size = record::layout::HEADER.at("file_size");
    let _ = Header::parse(&page, u64::from_le_bytes(page[size..size + 8].try_into().unwrap_or_default()));
});
