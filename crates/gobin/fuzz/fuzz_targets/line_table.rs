//! Any bytes as a program, as its table of functions and lines, and as what functions say of themselves.
#![no_main]

use gobin::LineTable;
use libfuzzer_sys::fuzz_target;

/// What such a table begins with.
const BEGINNING: [u8; 8] = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];

fuzz_target!(|input: (&[u8], &[u8], u64)| {
    let (table, function_data, address) = input;
    look_up(LineTable::parse(table), address);
    look_up(LineTable::of_parts([&BEGINNING, table].concat(), function_data.to_vec()), address);
});

fn look_up(table: Option<LineTable>, address: u64) {
    let Some(table) = table else { return };
    for at in (address..address.saturating_add(64)).chain(0..64) {
        let frames = table.frames(at);
        assert!(frames.len() <= 129 && frames.last().is_none_or(|last| !last.inlined));
        let _ = table.stack_growth(at);
    }
}
