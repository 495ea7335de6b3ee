//! Any bytes as a program to put probes into; and any code, names and data in a program that is otherwise sound.
#![no_main]

use gobin::{Binary, EndRule, Offsets, sites};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/minimal.rs"]
mod minimal;

type Input<'a> = (&'a [u8], Vec<(u16, u8)>, &'a [u8], Vec<(u16, u8)>);

/// Names that are treated in their own way.
const NAMES: [&str; 6] =
    ["a", "net/http.f", "runtime.morestack", "runtime.deferreturn", "runtime.gopanic", "runtime.gcWriteBarrier"];

fuzz_target!(|input: Input| {
    let (text, starts, data, changes) = input;
    if let Ok(binary) = Binary::read(text.to_vec()) {
        ask(&binary);
    }
    let mut functions: Vec<(u32, String)> = starts
        .iter()
        .map(|&(start, name)| (start.into(), NAMES[usize::from(name) % NAMES.len()].to_owned()))
        .collect();
    functions.sort_unstable();
    let program = minimal::Program { text: text.to_vec(), functions, data: data.to_vec() };
    let mut bytes = program.bytes();
    if let Ok(binary) = Binary::read(bytes.clone()) {
        ask(&binary);
    }
    // Headers and tables that lie: those of the file, and those at the beginning of its data.
    let data_offset = 0x1000 + text.len().next_multiple_of(0x1000);
    for (at, byte) in changes {
        let at = usize::from(at);
        let at = if at < 256 { at } else { data_offset + at - 256 };
        if let Some(changed) = bytes.get_mut(at) {
            *changed = byte;
        }
    }
    if let Ok(binary) = Binary::read(bytes) {
        ask(&binary);
    }
});

fn ask(binary: &Binary) {
    for name in NAMES {
        let Some(function) = binary.function(name) else { continue };
        for rule in [EndRule::BestOf, EndRule::ReturnSites, EndRule::StandIn("a"), EndRule::Return] {
            let _ = sites(binary, &function, rule);
        }
    }
    let _ = Offsets::of(binary);
}
