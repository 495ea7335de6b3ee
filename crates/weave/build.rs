//! Embeds `packs/` and the Go packages below `go/` into the crate, and gives the weave a version that changes when any of
//! its own sources does: a cached shadow tree made by other code is never used.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let crate_dir = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = crate_dir.ancestors().nth(2).expect("the crate lies in crates/weave").to_path_buf();
    let mut generated = String::new();

    let mut packs = Vec::new();
    collect(&root.join("packs"), &mut packs, &|path| {
        let below_hooks = path.parent().is_some_and(|dir| dir.ends_with("hooks"));
        path.ends_with("pack.yaml") || (below_hooks && is_go_source(path))
    });
    table(&mut generated, "PACK_FILES", &root.join("packs"), &packs);

    let mut runtime_package = Vec::new();
    let rt = root.join("go/rt");
    collect(&rt, &mut runtime_package, &|path| {
        let source = is_go_source(path) || path.extension().is_some_and(|extension| extension == "s");
        path.parent() == Some(rt.as_path()) && source
    });
    table(&mut generated, "RT_FILES", &rt, &runtime_package);

    let mut exporter = Vec::new();
    let standalone = root.join("go/standalone");
    collect(&standalone, &mut exporter, &|path| path.parent() == Some(standalone.as_path()) && is_go_source(path));
    table(&mut generated, "STANDALONE_FILES", &standalone, &exporter);

    let mut shared = Vec::new();
    let lib = root.join("go/lib");
    collect(&lib, &mut shared, &is_go_source);
    table(&mut generated, "LIB_FILES", &lib, &shared);

    let mut patch = Vec::new();
    collect(&rt.join("runtime"), &mut patch, &|_| true);
    table(&mut generated, "RUNTIME_PATCH_FILES", &rt.join("runtime"), &patch);

    let mut sources = Vec::new();
    collect(&crate_dir.join("src"), &mut sources, &|_| true);
    let mut hasher = blake3::Hasher::new();
    for path in sources.iter().chain(&packs).chain(&runtime_package).chain(&exporter).chain(&shared).chain(&patch) {
        hasher.update(&fs::read(path).expect("the file was just listed"));
    }
    let version = hasher.finalize().to_hex();
    writeln!(generated, "pub(crate) const WEAVE_VERSION: &str = \"{}\";", &version[..16]).expect("a String");

    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("embedded.rs"), generated).expect("OUT_DIR is writable");
    for watched in ["packs", "go/rt", "go/standalone", "go/lib", "crates/weave/src", "crates/weave/build.rs"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
}

fn is_go_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".go") && !name.ends_with("_test.go")
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "program" && name != "testdata") {
                collect(&path, into, wanted);
            }
        } else if wanted(&path) {
            into.push(path);
        }
    }
}

fn table(generated: &mut String, name: &str, base: &Path, files: &[PathBuf]) {
    writeln!(generated, "pub(crate) static {name}: &[(&str, &[u8])] = &[").expect("a String");
    for path in files {
        let relative = path.strip_prefix(base).expect("collected below base");
        writeln!(generated, "    ({:?}, include_bytes!({:?})),", relative, path).expect("a String");
    }
    writeln!(generated, "];").expect("a String");
}
