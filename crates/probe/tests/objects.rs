//! The eBPF programs as they were compiled, before any kernel sees them.
//!
//! Guarantees: none of them can change a watched program, the kernel takes each of them, and what they keep is bounded as
//! docs/security.md says. `make test-clangs` does the same with what other compilers make of the same source.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapType, ObjectBuilder, OpenObject};
use probe::uprobe::{Headers, Uprobes};
use probe::{Kernel, Profiler, Rate};
use record::layout::{ACCOUNT, ACCOUNT_COUNT};

use support::load_with_or_skip;

/// What the build script has compiled.
fn objects() -> Vec<(PathBuf, OpenObject)> {
    let files = std::fs::read_dir(env!("OUT_DIR")).expect("the build script's folder");
    let files = files.map(|file| file.expect("a file").path());
    let objects: Vec<_> = files
        .filter(|file| file.to_string_lossy().ends_with(".bpf.o"))
        .map(|file| {
            let object = ObjectBuilder::default().open_file(&file).expect("an object");
            (file, object)
        })
        .collect();
    assert!(!objects.is_empty(), "there are no objects in {}", env!("OUT_DIR"));
    objects
}

/// Helper functions that reach into what is watched: its memory, its signals, the outcome of its system calls.
const REFUSED: [(i32, &str); 5] = [
    (36, "bpf_probe_write_user"),
    (58, "bpf_override_return"),
    (109, "bpf_send_signal"),
    (117, "bpf_send_signal_thread"),
    (166, "bpf_sys_bpf"),
];

/// An instruction that calls; the second is how, the third whom.
const CALL: u8 = 0x85;
const HELPER: u8 = 0;

/// Every call of every program is one of a helper that only looks, or of the object's own functions.
#[test]
fn no_program_can_write_user_memory() {
    for (file, object) in objects() {
        let mut helpers = 0;
        for program in object.progs() {
            for instruction in program.insns().iter().filter(|instruction| instruction.code == CALL) {
                if instruction.src_reg() != HELPER {
                    continue;
                }
                helpers += 1;
                let refused = REFUSED.iter().find(|(number, _)| *number == instruction.imm);
                assert_eq!(refused, None, "{} calls it: {}", program.name().display(), file.display());
            }
        }
        assert!(helpers > 0, "{} calls nothing", file.display());
        // Functions of the kernel that are no helpers are named in this section: none has been looked at.
        let bytes = std::fs::read(&file).expect("the object");
        assert!(!bytes.windows(6).any(|window| window == b".ksyms"), "{} uses kfuncs", file.display());
    }
}

/// The verifier takes all programs, those of the detail mode and the profiler's, too.
#[test]
fn the_kernel_takes_every_program() {
    let test = "probe the_kernel_takes_every_program";
    for load in [Kernel::load, Kernel::load_detailed] {
        drop(load_with_or_skip(test, load));
    }
    drop(load_with_or_skip(test, || Profiler::load(Rate::DEFAULT)));
    drop(load_with_or_skip(test, || probe::Sockets::load(probe::Bytes::DEFAULT, Headers::Insert)));
    drop(load_with_or_skip(test, || Uprobes::load(Headers::Insert)));
}

/// What a map can hold: entries, and bytes of each as the kernel keeps it.
#[derive(Debug, PartialEq)]
struct Bound {
    kind: String,
    entries: u64,
    entry: u64,
}

/// Those of docs/security.md, by name.
fn documented() -> BTreeMap<String, Bound> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let rows = page.split("## What the kernel half keeps").nth(1).expect("the section").lines();
    let rows = rows.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let number = |cell: &str| cell.replace(' ', "").parse().unwrap_or_else(|_| panic!("{cell} in {row}"));
        (cells[1].to_owned(), Bound { kind: cells[2].to_owned(), entries: number(cells[3]), entry: number(cells[4]) })
    })
    .collect()
}

fn kind(map: MapType) -> &'static str {
    match map {
        MapType::Hash => "hash",
        MapType::LruHash => "hash, the oldest go",
        MapType::Array => "array",
        MapType::PercpuArray => "array a CPU",
        MapType::PercpuHash => "hash a CPU",
        MapType::ArrayOfMaps => "array of maps",
        MapType::StackTrace => "stacks",
        MapType::RingBuf => "ring",
        MapType::TaskStorage => "of a thread",
        MapType::SkStorage => "of a socket",
        MapType::Sockhash => "hash of sockets",
        other => panic!("{other:?}: say in docs/security.md how it is bounded, and here what it is called"),
    }
}

/// Every map has an end, and the page says which. Without accounts and samples, all of them together take less than 8 MiB, 16 MiB
/// more where programs are observed that were not woven, and what threads and sockets of watched programs bring themselves.
#[test]
fn every_map_is_bounded_as_documented() {
    let mut bounds = BTreeMap::new();
    let (mut total, mut unwoven) = (0, 0);
    for (file, object) in objects() {
        let of_unwoven = file.ends_with("uprobe.bpf.o") || file.ends_with("socket.bpf.o");
        let total = if of_unwoven { &mut unwoven } else { &mut total };
        for map in object.maps() {
            let bound = Bound {
                kind: kind(map.map_type()).to_owned(),
                entries: map.max_entries().into(),
                entry: u64::from(map.key_size()) + u64::from(map.value_size()),
            };
            let processors = if bound.kind.ends_with("a CPU") { 64 } else { 1 };
            // Of a ring the entries are its bytes; the page says how large it can be made.
            *total += if bound.kind == "ring" { 0 } else { bound.entries * (bound.entry + 64) * processors };
            bounds.insert(map.name().to_string_lossy().into_owned(), bound);
        }
    }
    let accounts = Bound { kind: "array".to_owned(), entries: ACCOUNT_COUNT as u64, entry: 4 + ACCOUNT.size as u64 };
    bounds.insert("accounts of one program".to_owned(), accounts);
    let rows = bounds
        .iter()
        .map(|(name, Bound { kind, entries, entry })| format!("| `{name}` | {kind} | {entries} | {entry} |"));
    assert!(documented() == bounds, "docs/security.md should have:\n{}", rows.collect::<Vec<_>>().join("\n"));
    assert!(total < 8 << 20, "{total} bytes");
    assert!(unwoven < 16 << 20, "{unwoven} bytes for programs that were not woven");
}
