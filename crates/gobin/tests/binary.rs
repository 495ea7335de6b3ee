//! Scenario: one program, linked and stripped in every way. Guarantee: its functions, the sites of probes and the places of
//! fields are the same in each, and true: bytes at a site are those of its instruction, places are those that the compiler
//! told the debugger.

#[path = "support/go.rs"]
mod go;

use std::fs;
use std::path::{Path, PathBuf};

use go::{Build, can_link_externally};
use gobin::{Binary, BinaryError, EndRule, OffsetSource, Offsets, SiteKind, sites, wanted};

const FUNCTIONS: [&str; 6] = [
    "net/http.serverHandler.ServeHTTP",
    "net/http.(*response).finishRequest",
    "net/http.(*conn).serve",
    "net/http.(*Transport).roundTrip",
    "database/sql.(*DB).queryDC",
    "database/sql.(*DB).execDC",
];

fn open(path: &Path) -> Binary {
    Binary::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// Arguments of `go build`, and whether with C.
type Way = (&'static [&'static str], bool);

const PLAIN: Way = (&[], false);
const BY_GO: [Way; 2] = [(&["-ldflags=-s -w"], false), (&["-buildmode=pie", "-ldflags=-s -w"], false)];
const BY_C: [Way; 2] =
    [(&["-ldflags=-linkmode=external -s -w"], true), (&["-buildmode=pie", "-ldflags=-linkmode=external"], true)];

fn build((arguments, cgo): Way) -> PathBuf {
    Build { program: "std", arguments, cgo, ..Build::default() }.make()
}

#[test]
fn functions_and_sites_do_not_depend_on_linking() {
    compare_sites(&BY_GO);
}

#[test]
fn fields_lie_where_the_compiler_says() {
    compare_fields(&BY_GO);
}

/// The standard library is compiled again for these.
#[test]
#[ignore = "compiles the standard library with C, twice: make probe-sites"]
fn linking_with_c_changes_nothing() {
    if can_link_externally() {
        compare_sites(&BY_C);
        compare_fields(&BY_C);
    }
}

/// Fields that the program itself describes, of which descriptors changed their form now and then.
#[test]
#[ignore = "builds with many versions of Go: make probe-sites"]
fn fields_lie_where_every_compiler_says() {
    for go in std::env::var("TANDEM_GO_VERSIONS").expect("TANDEM_GO_VERSIONS").split_whitespace() {
        let binary = open(&Build { program: "std", go: Some(go), ..Build::default() }.make());
        let [types, truth] =
            [OffsetSource::Types, OffsetSource::Dwarf].map(|source| Offsets::from_sources(&binary, &[source]));
        for wanted in wanted().filter(|wanted| truth.size(wanted.structure).is_some()) {
            assert_eq!(types.size(wanted.structure), truth.size(wanted.structure), "{go}: {}", wanted.structure);
            for field in wanted.fields.split(' ') {
                let places = [&types, &truth].map(|offsets| offsets.field(wanted.structure, field));
                assert_eq!(places[0], places[1], "{go}: {}.{field}", wanted.structure);
            }
        }
    }
}

fn compare_sites(ways: &[Way]) {
    let mut first: Option<Vec<_>> = None;
    for way in [&[PLAIN], ways].concat() {
        let (path, arguments) = (build(way), way.0);
        let binary = open(&path);
        let bytes = fs::read(&path).expect("a file");
        assert_eq!(binary.tls_g_offset(), Some(-8), "{arguments:?}");
        let mut all = Vec::new();
        for name in FUNCTIONS {
            let function = binary.function(name).unwrap_or_else(|| panic!("{arguments:?}: no {name}"));
            assert_eq!(binary.function_at(function.address + function.size - 1).as_ref(), Some(&function));
            let found =
                sites(&binary, &function, EndRule::Return).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            assert_eq!((found.begin.kind, bytes[found.begin.file_offset as usize]), (SiteKind::Push, 0x55), "{name}");
            assert_eq!(found.begin.frame, Some(0), "{name}");
            for end in &found.ends {
                assert_eq!(bytes[end.site.file_offset as usize], 0xc3, "{name}");
                // All that the function has put on the stack is gone.
                assert_eq!(end.site.frame, Some(0), "{name}");
            }
            let begin = found.begin.address - function.address;
            let inside = sites(&binary, &function, EndRule::Inside).map(|found| found.ends.len());
            all.push((begin, found.ends.len(), inside.map_err(|error| error.to_string())));
        }
        assert_eq!(first.get_or_insert_with(|| all.clone()), &all, "{arguments:?}");
    }
}

fn compare_fields(ways: &[Way]) {
    let plain = open(&build(PLAIN));
    let truth = Offsets::from_sources(&plain, &[OffsetSource::Dwarf]);
    let mut compared = 0;
    for way in ways {
        let (binary, arguments) = (open(&build(*way)), way.0);
        let offsets = Offsets::of(&binary);
        for wanted in wanted().filter(|wanted| wanted.module == "std") {
            let Some(size) = truth.size(wanted.structure) else { continue };
            assert_eq!(offsets.size(wanted.structure), Some(size), "{arguments:?}: {}", wanted.structure);
            for field in wanted.fields.split(' ') {
                let (one, other) = (offsets.field(wanted.structure, field), truth.field(wanted.structure, field));
                assert_eq!(one, other, "{arguments:?}: {}.{field}", wanted.structure);
                compared += usize::from(other.is_some());
            }
        }
        assert_eq!(offsets.source("net/http.Request"), Some(OffsetSource::Types));
        assert!(offsets.why_not("google.golang.org/grpc.ClientConn").is_some_and(|why| why.contains("no code of")));
    }
    assert!(compared > 100, "{compared} fields were compared");
}

/// What the program says of itself is what the table says of its version.
#[test]
fn the_table_agrees_with_programs() {
    let binary = open(&build(BY_GO[0]));
    let own = Offsets::of(&binary);
    let table = Offsets::from_sources(&binary, &[OffsetSource::Table]);
    for wanted in wanted().filter(|wanted| wanted.module == "std") {
        if table.size(wanted.structure).is_none() {
            continue;
        }
        for field in wanted.fields.split(' ') {
            let (one, other) = (own.field(wanted.structure, field), table.field(wanted.structure, field));
            assert_eq!(one, other, "{}.{field}", wanted.structure);
        }
    }
    assert_eq!(table.source("net/http.Request"), Some(OffsetSource::Table));
}

#[test]
fn other_processors_are_refused_by_name() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gobin-arm64");
    fs::create_dir_all(&folder).expect("writable");
    fs::write(folder.join("main.go"), "package main\n\nfunc main() {}\n").expect("writable");
    fs::write(folder.join("go.mod"), "module example.com/x\n\ngo 1.18\n").expect("writable");
    let mut command = std::process::Command::new("go");
    command.args(["build", "-o", "program"]).current_dir(&folder).env("GOARCH", "arm64").env("CGO_ENABLED", "0");
    assert!(command.env("GOFLAGS", "-buildvcs=false").status().is_ok_and(|status| status.success()));
    let refused = Binary::open(&folder.join("program")).expect_err("it is for another processor");
    assert!(matches!(&refused, BinaryError::Elsewhere { what, .. } if what == "arm64"), "{refused}");
    assert!(refused.to_string().contains("is for arm64; probes are placed in programs for Linux on amd64 only"));
}
