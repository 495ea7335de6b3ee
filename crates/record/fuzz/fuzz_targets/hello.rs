//! What anybody can send to the agent's socket: a process's introduction.

#![no_main]

use libfuzzer_sys::fuzz_target;
use record::Hello;
use record::layout::HELLO;

fuzz_target!(|message: &[u8]| {
    let parsed = Hello::parse(message);
    assert!(parsed.is_none() || message.len() == HELLO.size);
    // A file's size says whether there is memory; only without it is there a reason.
    if let Some(hello) = parsed {
        assert!(hello.refused <= 4095);
    }
});
