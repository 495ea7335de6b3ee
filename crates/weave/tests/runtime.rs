//! Scenario: Go's runtime, patched. Guarantee: its export data is byte-identical to the plain one, so that almost nothing is
//! compiled again; and no Go version changes a goroutine's status in a place that the patch does not know.
//!
//! Needs Go; tests whose names end in `_network` fetch another toolchain from the module proxy when it is not in the cache.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Sandbox, weave_program};
use weave::cache::Cache;
use weave::goroot::{RealGo, ShadowRoot};
use weave::overlay::UserOverlay;
use weave::version::ReleaseVersion;

const OTHER_GO: &str = "go1.24.10";

fn sandbox(toolchain: Option<&str>) -> Sandbox {
    let main = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"x\") }\n";
    let mut sandbox = Sandbox::new(&[("go.mod", "module example.com/x\n\ngo 1.21\n"), ("main.go", main)]);
    if let Some(toolchain) = toolchain {
        sandbox.set("GOTOOLCHAIN", toolchain);
    }
    sandbox
}

/// The export data in a package's archive, from its marker on.
fn export_data(archive: &Path) -> Vec<u8> {
    let bytes = fs::read(archive).expect("the build made it");
    let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&bytes[range]).trim().to_owned();
    let mut at = "!<arch>\n".len();
    while at < bytes.len() {
        let (name, size) = (text(at..at + 16), text(at + 48..at + 58).parse::<usize>().expect("a number"));
        let content = &bytes[at + 60..at + 60 + size];
        if name == "__.PKGDEF" {
            let marker = content.windows(5).position(|window| window == b"\n$$B\n");
            return content[marker.expect("unified export data")..].to_vec();
        }
        at += 60 + size + size % 2;
    }
    panic!("no __.PKGDEF in {}", archive.display());
}

/// Compiles runtime, or finds it in the build cache.
fn runtime_archive(go: &Path, variables: &[(&str, &Path)]) -> PathBuf {
    let mut command = Command::new(go);
    command.args(["list", "-export", "-f", "{{.Export}}", "runtime"]).envs(variables.iter().copied());
    let output = Run::of(command.env("GOFLAGS", "-p=2").current_dir("/").output().expect("Go is installed")).ok();
    PathBuf::from(output.stdout.trim())
}

/// Compares for a 64-bit Intel and, where asked, an ARM machine.
fn export_data_is_identical(toolchain: Option<&str>, architectures: &[&str]) {
    let sandbox = sandbox(toolchain);
    let answer = sandbox.plain(&["env", "GOROOT", "GOVERSION", "GOTOOLDIR"]).ok().stdout;
    let [root, version_text, tool_dir] = answer.lines().collect::<Vec<_>>()[..] else { panic!("{answer}") };
    let version = ReleaseVersion::parse(version_text).expect("a version");
    let real = RealGo {
        root: root.into(),
        version_text: version_text.to_owned(),
        version,
        tool_dir: tool_dir.into(),
        platform: String::new(),
    };
    let cache = Cache::at(&sandbox.cache).expect("writable");
    let shadow =
        ShadowRoot::get(&cache, &real, &[], &UserOverlay::default(), &weave_program()).expect("this Go can be woven");
    for architecture in architectures {
        let archive = |root: &Path| {
            let variables =
                [("GOROOT", root), ("GOTOOLCHAIN", Path::new("local")), ("GOARCH", Path::new(architecture))];
            runtime_archive(&root.join("bin/go"), &variables)
        };
        let (plain, woven) = (archive(&real.root), archive(&shadow.dir));
        assert!(plain != woven, "{version_text}: runtime was not woven");
        assert!(export_data(&plain) == export_data(&woven), "{version_text} {architecture}: the export data differs");
    }
}

#[test]
fn export_data_is_identical_here() {
    export_data_is_identical(None, &["amd64", "arm64"]);
}

#[test]
fn export_data_is_identical_in_another_go_network() {
    let versions = std::env::var("TANDEM_GO_VERSIONS").unwrap_or_else(|_| OTHER_GO.to_owned());
    for version in versions.split_whitespace() {
        export_data_is_identical(Some(version), &["amd64"]);
    }
}

/// Places that change a goroutine's status other than by `casgstatus`, with their number, and what the patch does there.
/// A line of `accounts-proof` in code: scan bits change nothing; the rest is stamped, or charged by what follows.
fn known_transitions(go: (u64, u64)) -> BTreeMap<&'static str, usize> {
    let mut known = BTreeMap::from([
        ("casgstatus", 1),          // the branch itself
        ("castogscanstatus", 1),    // scan bit only
        ("casfrom_Gscanstatus", 1), // scan bit only
        ("casGToPreemptScan", 1),   // stamped
        ("casGFromPreempted", 1),   // its wait reason says runnable, the stamp stands
    ]);
    if go <= (1, 23) {
        known.insert("casgcopystack", 1); // dead code
    }
    if go >= (1, 22) {
        known.insert("coroswitch_m", 2); // a move before each
    }
    if go >= (1, 26) {
        known.extend([
            ("reentersyscall", 1),           // on the CPU for Go's half
            ("exitsyscall", 1),              // on the CPU for Go's half
            ("allGsSnapshotSortedForGC", 1), // charged up to leaked by casgstatus, from there by what follows
        ]);
    }
    known
}

fn status_changes_are_known(toolchain: Option<&str>) {
    let sandbox = sandbox(toolchain);
    let answer = sandbox.plain(&["env", "GOROOT", "GOVERSION"]).ok().stdout;
    let (root, version) = answer.trim().split_once('\n').expect("two lines");
    let go = ReleaseVersion::parse(version).expect("a version").language();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let (mut new_g, mut labels) = (0, 0);
    let mut static_g: Vec<String> = Vec::new();
    for entry in fs::read_dir(Path::new(root).join("src/runtime")).expect("Go is installed").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".go") || name.ends_with("_test.go") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("source");
        let mut function = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("func ") {
                function = rest
                    .trim_start_matches(|c| c != ')')
                    .split(['(', '['])
                    .find(|part| !part.trim().is_empty())
                    .unwrap_or(rest)
                    .to_owned();
                if !rest.starts_with('(') {
                    function = rest.split(['(', '[']).next().unwrap_or_default().to_owned();
                }
            }
            let code = line.split("//").next().unwrap_or_default();
            let changes = ["CompareAndSwap(", "Store(", "Swap(", "And(", "Or("]
                .iter()
                .any(|call| code.contains(&format!("atomicstatus.{call}")));
            *found.entry(function.clone()).or_default() += usize::from(changes);
            new_g += usize::from(code.contains("new(g)"));
            labels += usize::from(code.trim() == "gp.labels = nil");
            let is_package_level = code.starts_with("var ") || (code.starts_with('\t') && function.is_empty());
            let words: Vec<&str> = code.trim_start_matches("var ").split_whitespace().collect();
            if let ([variable, "g"], true) = (words.as_slice(), is_package_level) {
                static_g.push((*variable).to_owned());
            }
        }
    }
    // In Go 1.21 to 1.25 casgstatus spells its loop over two lines in some forms: functions count, zeros do not.
    found.retain(|_, number| *number > 0);
    let known: BTreeMap<String, usize> =
        known_transitions(go).into_iter().map(|(name, number)| (name.to_owned(), number)).collect();
    let unknown: Vec<_> = found.iter().filter(|(name, _)| !known.contains_key(*name)).collect();
    assert!(
        unknown.is_empty(),
        "{version} changes a goroutine's status in places that the patch does not know: {unknown:?}"
    );
    for (name, number) in &known {
        // castogscanstatus and casfrom_Gscanstatus have one call for several states, or one for each.
        let scans = name.contains("scanstatus");
        assert!(
            found.get(name).is_some_and(|found| found == number || scans),
            "{version}: {name} changes it {:?} times, not {number}",
            found.get(name)
        );
    }
    assert_eq!((new_g, labels), (1, 1), "{version}: a g is made or cleared elsewhere too");
    assert!(
        static_g.iter().all(|name| name == "g0" || name == "gcrash"),
        "{version}: {static_g:?} have no slot behind them"
    );
}

#[test]
fn status_changes_are_known_here() {
    status_changes_are_known(None);
}

#[test]
fn status_changes_are_known_in_another_go_network() {
    status_changes_are_known(Some(OTHER_GO));
}
