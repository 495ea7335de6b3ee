//! Scenario: a program whose tables lie, as somebody who wants to harm the agent would write it. Guarantee: an answer or an
//! error, never a crash, and no more work than the file is long.

#[path = "support/go.rs"]
mod go;
#[path = "support/minimal.rs"]
mod minimal;

use std::fs;
use std::sync::LazyLock;

use gobin::{Binary, EndRule, OffsetSource, Offsets, sites};
use minimal::Program;
use proptest::prelude::*;

static STRIPPED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let build = go::Build { program: "std", arguments: &["-ldflags=-s -w"], ..go::Build::default() };
    fs::read(build.make()).expect("it was built")
});

/// A program with all that debuggers want, unpacked so that changes get there.
static DEBUGGED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let build = go::Build { program: "tiny", arguments: &["-ldflags=-compressdwarf=false"], ..go::Build::default() };
    fs::read(build.make()).expect("it was built")
});

/// Asks everything that an observer asks.
fn ask(binary: &Binary, names: &[&str]) {
    for name in names {
        let Some(function) = binary.function(name) else { continue };
        for rule in [EndRule::BestOf, EndRule::StandIn("a"), EndRule::Return] {
            let _ = sites(binary, &function, rule);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A real program with changes in its headers, its table of functions, its types and its code.
    #[test]
    fn damage(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        heads in prop::collection::vec((0usize..64 + 56 * 10, any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = STRIPPED.clone();
        for (at, byte) in heads {
            bytes[at] = byte;
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(binary) = Binary::read(bytes) {
            ask(&binary, &["net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve", "net/http.send"]);
            let offsets = Offsets::of(&binary);
            let _ = offsets.field("net/http.Request", "Method");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damage_to_what_debuggers_want(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..400),
        sections in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        const SECTION_HEADERS: usize = 64 * 24;
        let mut bytes = DEBUGGED.clone();
        let (length, headers) = (bytes.len(), u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize);
        for (at, byte) in changes {
            // The last half is for debuggers.
            bytes[length / 2 + at.index(length / 2)] = byte;
        }
        for (at, byte) in sections {
            bytes[(headers + at.index(SECTION_HEADERS)).min(length - 1)] = byte;
        }
        if let Ok(binary) = Binary::read(bytes) {
            let _ = Offsets::from_sources(&binary, &[OffsetSource::Dwarf]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes as code and data of a program that is otherwise sound.
    #[test]
    fn any_code(
        text in prop::collection::vec(any::<u8>(), 1..300),
        starts in prop::collection::vec(0u32..320, 1..4),
        data in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut starts = starts;
        starts.sort_unstable();
        let names = ["a", "b", "c", "d"];
        let functions = starts.into_iter().zip(names).map(|(start, name)| (start, name.to_owned())).collect();
        let program = Program { text, functions, data };
        if let Ok(binary) = Binary::read(program.bytes()) {
            ask(&binary, &names);
            let _ = Offsets::of(&binary);
        }
    }

    /// Code of the kinds of instructions that sites are made of, jumping anywhere.
    #[test]
    fn any_flow(pieces in prop::collection::vec((0usize..9, any::<i8>()), 1..60)) {
        let mut program = Program::default();
        program.function("runtime.gopanic", &[0xc3]);
        let mut code = vec![0x55];
        for (piece, number) in pieces {
            match piece {
                0 => code.push(0x90),
                1 => code.extend([0x74, number as u8]),
                2 => code.extend([0xeb, number as u8]),
                3 => code.extend([&[0xe8][..], &i32::from(number).to_le_bytes()].concat()),
                4 => code.push(0xc3),
                5 => code.extend([0x48, 0x85, 0xc0]),
                6 => code.extend([0xff, 0xe0]),
                7 => code.extend([0xff, 0x24, 0xc1]),
                _ => code.extend([0x0f, 0x0b]),
            }
        }
        program.function("a", &code);
        let binary = Binary::read(program.bytes()).expect("a program");
        ask(&binary, &["a"]);
    }
}
