//! Scenario: files that are no Go programs, or broken ones. Guarantee: an error that says what is wrong; never a crash, and no
//! more memory than the file is long.
//!
//! The programs are built with the Go in PATH, small and for three systems.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use gobin::{Executable, Format, ReadError};
use proptest::prelude::*;

const MAIN: &str = "package main\n\nfunc main() {}\n";

/// Programs for three systems, and where the go command's record lies in each.
static PROGRAMS: LazyLock<Vec<(Vec<u8>, usize)>> = LazyLock::new(|| {
    let magic = b"\xff Go buildinf:";
    let read = |os| fs::read(program(os)).expect("it was built");
    let find = |bytes: &[u8]| (0..bytes.len()).step_by(16).rfind(|at| bytes[*at..].starts_with(magic));
    SYSTEMS
        .map(read)
        .map(|bytes| (find(&bytes).expect("it is a Go program"), bytes))
        .map(|(at, bytes)| (bytes, at))
        .into()
});

const SYSTEMS: [&str; 3] = ["linux", "darwin", "windows"];

/// A program for a system; kept for later runs.
fn program(os: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gobin").join(os);
    let file = dir.join("program");
    if !file.exists() {
        fs::create_dir_all(&dir).expect("writable");
        fs::write(dir.join("main.go"), MAIN).expect("writable");
        fs::write(dir.join("go.mod"), "module example.com/x\n\ngo 1.21\n").expect("writable");
        let made = dir.join(format!("made-{}", std::process::id()));
        let mut command = Command::new("go");
        command.args(["build", "-ldflags=-s -w", "-o"]).arg(&made).current_dir(&dir);
        command.env("GOOS", os).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false");
        assert!(command.status().is_ok_and(|status| status.success()), "go builds for {os}");
        fs::rename(made, &file).expect("writable");
    }
    file
}

fn read_bytes(bytes: &[u8]) -> Result<Executable, ReadError> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{:?}", std::thread::current().id()));
    fs::write(&file, bytes).expect("writable");
    Executable::read(&file)
}

#[test]
fn reads_every_format() {
    for (os, format) in [("linux", Format::Elf), ("darwin", Format::MachO), ("windows", Format::Pe)] {
        let found = Executable::read(&program(os)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((found.format, found.build.path.as_str()), (format, "example.com/x"));
        assert_eq!((found.build.setting("GOOS"), found.build.manifest()), (Some(os), Ok(None)));
        assert!(found.build.go_version.starts_with("go1."));
    }
}

#[test]
fn says_what_else_a_file_is() {
    let said = |bytes: &[u8]| read_bytes(bytes).expect_err("it is no program").to_string();
    assert!(said(b"").contains("no executable"));
    assert!(said(b"#!/bin/sh\n").contains("it is a script"));
    assert!(said(b"!<arch>\nx").contains("c-archive"));
    assert!(said(b"\xca\xfe\xba\xbe....").contains("several machines"));
    assert!(said(b"\x7fELF").contains("damaged or cut short"));
    assert!(Executable::read(Path::new("/")).expect_err("a folder").to_string().contains("it is no file"));
    assert!(Executable::read(Path::new("/nowhere")).expect_err("nothing").to_string().contains("cannot read /nowhere"));
    let own = std::env::current_exe().expect("this process has a file");
    assert!(matches!(Executable::read(&own), Err(ReadError::NotGo { .. })), "a Rust program");
}

#[test]
fn the_form_of_old_programs_is_told_apart() {
    let (mut bytes, at) = PROGRAMS[0].clone();
    bytes[at + 15] = 0; // pointers follow
    assert!(matches!(read_bytes(&bytes), Err(ReadError::OldGo { .. })));
}

#[test]
fn programs_that_are_cut_short_are_errors() {
    for (os, (bytes, _)) in SYSTEMS.iter().zip(PROGRAMS.iter()) {
        for part in 1..32 {
            let cut = bytes.len() * part / 32;
            if let Ok(found) = read_bytes(&bytes[..cut]) {
                // What is behind the record may be missing.
                assert_eq!(found.build.path, "example.com/x", "{os} {cut}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn headers_and_tables_may_say_anything(
        system in 0..SYSTEMS.len(),
        changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..8),
        at_record in any::<bool>(),
    ) {
        let (mut bytes, record) = PROGRAMS[system].clone();
        let base = if at_record { record } else { 0 };
        let length = bytes.len();
        for (offset, byte) in changes {
            bytes[(base + offset % if at_record { 64 } else { 4096 }).min(length - 1)] = byte;
        }
        if let Ok(found) = read_bytes(&bytes) {
            let _ = found.build.manifest();
        }
    }
}
