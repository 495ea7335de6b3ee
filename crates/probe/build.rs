//! Compiles the eBPF programs with clang and generates their Rust skeletons.

use std::path::PathBuf;
use std::process::Command;
use std::{env, io};

use libbpf_cargo::SkeletonBuilder;

/// Programs under `src/bpf`; each becomes `$OUT_DIR/<name>.bpf.o` (for the tests) and `$OUT_DIR/<name>.skel.rs`.
const PROGRAMS: [&str; 5] = ["anatomy", "profile", "share", "socket", "uprobe"];
/// Newest clang that distributions give a name of its own.
const NEWEST_CLANG: u32 = 30;
/// Oldest clang that knows all we use (`preserve_access_index` on whole records).
const OLDEST_CLANG: u32 = 12;

fn main() {
    println!("cargo::rerun-if-changed=src/bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let Some(clang) = find_clang() else {
        panic!(
            "no clang found: the eBPF programs need clang {OLDEST_CLANG} or newer \
             (Debian, Ubuntu: apt install clang; Fedora: dnf install clang), or set CLANG to its path"
        );
    };
    for program in PROGRAMS {
        SkeletonBuilder::new()
            .source(format!("src/bpf/{program}.bpf.c"))
            .obj(out.join(format!("{program}.bpf.o")))
            .clang(&clang)
            .clang_args(["-Wall", "-Werror", "-Wno-unused-function"])
            .build_and_generate(out.join(format!("{program}.skel.rs")))
            .unwrap_or_else(|error| panic!("src/bpf/{program}.bpf.c: {error:?}"));
    }
}

fn find_clang() -> Option<PathBuf> {
    let named = env::var_os("CLANG").map(PathBuf::from);
    let versioned = (OLDEST_CLANG..=NEWEST_CLANG).rev().map(|version| PathBuf::from(format!("clang-{version}")));
    named.into_iter().chain([PathBuf::from("clang")]).chain(versioned).find(|clang| runs(clang).unwrap_or(false))
}

fn runs(clang: &PathBuf) -> io::Result<bool> {
    Ok(Command::new(clang).arg("--version").output()?.status.success())
}
