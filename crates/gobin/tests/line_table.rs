//! Scenario: addresses of a running Go program, and tables that anybody may have written. Guarantee: functions, inlined ones
//! and lines are those that the program's own runtime tells, however it was linked and stripped; broken tables give no
//! answer, and never a crash.
//!
//! The programs are built with the Go in PATH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gobin::LineTable;
use proptest::prelude::*;

const MAIN: &str = r#"package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

func inner(pcs []uintptr) int { return runtime.Callers(1, pcs) }

func middle(pcs []uintptr) int {
	return inner(pcs)
}

type worker struct{}

//go:noinline
func (*worker) outer(pcs []uintptr) int { return middle(pcs) }

// Where code of this program is mapped, then each address and what the runtime says of it.
func main() {
	pcs := make([]uintptr, 32)
	n := new(worker).outer(pcs)
	maps, _ := os.ReadFile("/proc/self/maps")
	own, _ := os.Executable()
	for _, line := range strings.Split(string(maps), "\n") {
		if words := strings.Fields(line); len(words) == 6 && words[5] == own && words[1] == "r-xp" {
			start, _, _ := strings.Cut(words[0], "-")
			fmt.Println(start, words[2])
		}
	}
	frames := runtime.CallersFrames(pcs[:n])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		fmt.Printf("%x\t%s\t%s\t%d\n", frame.PC, frame.Function, frame.File, frame.Line)
	}
}
"#;

fn built(name: &str, arguments: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gobin-lines").join(name);
    fs::create_dir_all(&folder).expect("writable");
    fs::write(folder.join("main.go"), MAIN).expect("writable");
    fs::write(folder.join("go.mod"), "module example.com/x\n\ngo 1.21\n").expect("writable");
    let mut command = Command::new("go");
    command.args(["build", "-o", "program"]).args(arguments).current_dir(&folder).env("GOFLAGS", "-buildvcs=false");
    assert!(command.status().is_ok_and(|status| status.success()), "go builds {name}");
    folder.join("program")
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Looks up what the program has reported.
fn compare(name: &str, arguments: &[&str]) {
    let program = built(name, arguments);
    let table = LineTable::read(&program).expect("a program").expect("a Go program");
    let output = Command::new(&program).output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let mut lines = said.lines();
    let (start, offset) = lines.next().and_then(|line| line.split_once(' ')).expect("a mapping");
    let page = |address: u64| address & !0xfff;
    let segment = table.code().iter().find(|segment| page(segment.file_offset) == number(offset)).expect("a segment");
    let bias = number(start).wrapping_sub(page(segment.address));
    let mut inlined = 0;
    for line in lines {
        let (address, said) = line.split_once('\t').expect("an address");
        // The runtime tells of each function that was inlined by itself, with an address in it.
        let found = table.frames(number(address).wrapping_sub(bias));
        let Some(innermost) = found.first() else { panic!("{name}: {line}: nothing is there") };
        let text = |bytes| String::from_utf8_lossy(bytes);
        let shown = format!("{}\t{}\t{}", text(innermost.function), text(innermost.file), innermost.line);
        assert_eq!(shown, said, "{name}: {address}");
        inlined += found.iter().filter(|frame| frame.inlined).count();
    }
    assert!(inlined >= 2, "{name}: what is inlined is not told");
}

#[test]
fn addresses_are_what_the_runtime_says() {
    compare("plain", &[]);
    compare("stripped", &["-ldflags=-s -w"]);
    compare("position-independent", &["-buildmode=pie", "-ldflags=-s -w"]);
    if Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        compare("external", &["-ldflags=-linkmode=external -s -w"]);
        compare("external-position-independent", &["-buildmode=pie", "-ldflags=-linkmode=external -s -w"]);
    }
}

/// Sections can be taken out; then the table is found by how it begins.
#[test]
fn programs_without_sections_have_one_too() {
    let program = built("sections", &["-ldflags=-s -w"]);
    let mut bytes = fs::read(&program).expect("it was built");
    let whole = LineTable::parse(&bytes).expect("a table");
    bytes[0x28..0x30].fill(0); // e_shoff
    bytes[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
    let found = LineTable::parse(&bytes).expect("a table");
    assert_eq!(found.function_count(), whole.function_count());
    let address = whole.code()[0].address + 0x2000;
    assert!(!whole.frames(address).is_empty());
    assert_eq!(found.frames(address), whole.frames(address));
}

#[test]
fn what_is_no_go_program_has_none() {
    let own = std::env::current_exe().expect("this process has a file");
    assert!(LineTable::read(&own).expect("a program").is_none());
    assert!(LineTable::read(Path::new("/")).is_err());
    assert!(LineTable::parse(b"\x7fELF").is_none());
    assert!(LineTable::of_parts(vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8], Vec::new()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A table of one function whose numbers are anything.
    #[test]
    fn numbers_may_be_anything(
        record in prop::collection::vec(any::<u8>(), 44..120),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        places in prop::collection::vec(0u64..400, 5),
        function_data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut table = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        for number in [1, 1, 0].into_iter().chain(places) {
            table.extend_from_slice(&number.to_le_bytes());
        }
        let functions = table.len() as u64;
        let last = 8 + 7 * 8;
        table[last..last + 8].copy_from_slice(&functions.to_le_bytes());
        for number in [0u32, 12, 64] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        table.extend_from_slice(&record);
        table.extend_from_slice(&rest);
        if let Some(table) = LineTable::of_parts(table, function_data) {
            for address in 0..70 {
                let frames = table.frames(address);
                prop_assert_eq!(frames.is_empty(), address >= 64);
                let _ = table.stack_growth(address);
            }
        }
    }
}
