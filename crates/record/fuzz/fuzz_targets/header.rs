//! The first page of a program's memory, which decides where everything else is looked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use record::Header;
use record::layout::{HEADER, LAYOUT_VERSION, MAGIC, PAGE};

fuzz_target!(|input: (u64, bool, Vec<u8>)| {
    let (size, plausible, bytes) = input;
    let mut page = [0; PAGE];
    let length = bytes.len().min(PAGE);
    page[..length].copy_from_slice(&bytes[..length]);
    if plausible {
        // Past the first three checks, which a fuzzer would spend its time on.
        page[HEADER.at("magic")..][..8].copy_from_slice(&MAGIC.to_le_bytes());
        page[HEADER.at("layout_version")..][..4].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
        page[HEADER.at("file_size")..][..8].copy_from_slice(&size.to_le_bytes());
    }
    let _ = Header::parse(&page, size);
});
