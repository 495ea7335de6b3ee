//! Scenario: build scripts that know nothing of tandem, after `eval "$(tandem env)"`. Guarantee: what they build is woven,
//! every other use of go behaves as it always did, and nothing but `PATH` is exported.
//!
//! Needs Go and a POSIX shell.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{Run, Sandbox, weave_program};

const GO_MOD: &str =
    "module example.com/shop\n\ngo 1.22\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../lib\n";
const MAIN: &str = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/lib\"\n)\n\n//go:generate sh -c \"go env GOROOT > generated.txt && go build -o generated.bin .\"\n\n//tandem:span\nfunc main() { fmt.Println(lib.Name()) }\n";
const LIB: &str = "package lib\n\n//tandem:span\nfunc Name() string { return \"lib\" }\n";
const MAKEFILE: &str = "GO ?= go\n\napp: main.go\n\t$(GO) build -trimpath -o $@ .\n";
/// As `ko` and `goreleaser` do it: ask, then build for each target with an environment of their own.
const RELEASE: &str = r#"set -eu
go version >&2
go mod download
main=$(go list -f '{{.Name}} {{.ImportPath}}' . | sed -n 's/^main //p')
for target in linux/$(go env GOARCH); do
    CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} GOFLAGS=-trimpath \
        go build -ldflags="-s -w -X main.version=1" -o dist/shop "$main"
done
"#;

fn shop() -> Sandbox {
    let sandbox =
        Sandbox::new(&[("go.mod", GO_MOD), ("main.go", MAIN), ("Makefile", MAKEFILE), ("release.sh", RELEASE)]);
    let lib = sandbox.beside("lib");
    fs::create_dir_all(&lib).expect("writable");
    fs::write(lib.join("go.mod"), "module example.com/lib\n\ngo 1.22\n").expect("writable");
    fs::write(lib.join("lib.go"), LIB).expect("writable");
    sandbox
}

/// Runs lines of shell in the user's folder.
fn shell(sandbox: &Sandbox, script: &str) -> Run {
    Run::of(sandbox.command(Path::new("sh"), &["-c", script]).output().expect("there is a shell"))
}

/// The same after `eval "$(tandem env)"`.
fn drop_in(sandbox: &Sandbox, script: &str) -> Run {
    shell(sandbox, &format!("eval \"$('{}' env)\"\n{script}", weave_program().display()))
}

fn is_woven(sandbox: &Sandbox, program: &str) -> bool {
    sandbox.plain(&["version", "-m", program]).ok().stdout.contains("\tbuild\t-tandem=")
}

#[test]
fn unchanged_scripts_build_woven_programs() {
    let sandbox = shop();
    drop_in(
        &sandbox,
        "make && sh -eu release.sh && sh -c 'sh -c \"go build -o nested .\"' && go -C . build -o named .",
    )
    .ok();
    for program in ["app", "dist/shop", "nested", "named"] {
        assert!(is_woven(&sandbox, program), "{program} is not woven");
    }
    shell(&sandbox, "rm app && make").ok();
    assert!(!is_woven(&sandbox, "app"), "without the line a build is plain");
    // A way of writing the same build that goes round PATH.
    drop_in(&sandbox, "rm app && make GO=\"$(go env GOROOT)/bin/go\"").ok();
    assert!(!is_woven(&sandbox, "app"));
}

#[test]
fn nothing_but_the_path_is_exported_and_there_is_a_way_back() {
    let sandbox = shop();
    let variables = |script: &str| -> Vec<String> {
        let run = shell(&sandbox, &format!("{script}\nenv")).ok();
        let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("_="));
        lines.sort();
        lines
    };
    let weave = weave_program().display().to_string();
    let (before, on) = (variables(""), variables(&format!("eval \"$('{weave}' env)\"")));
    let changed: Vec<&String> = on.iter().filter(|line| !before.contains(line)).collect();
    assert!(matches!(changed.as_slice(), [path] if path.starts_with("PATH=")), "{changed:?}");
    assert_eq!(before.len(), on.len());
    let twice = format!("eval \"$('{weave}' env)\"; eval \"$('{weave}' env)\"; eval \"$('{weave}' env --off)\"");
    assert_eq!(before, variables(&twice));
}

#[test]
fn every_other_sub_command_is_plain() {
    let sandbox = shop();
    let overlay = sandbox.beside("overlay.json");
    fs::write(&overlay, "{\"Replace\":{}}").expect("writable");
    let overlay = format!(
        "list -overlay={} -e -json=Name,Dir,GoFiles,CompiledGoFiles,Imports -compiled -test -deps ./...",
        overlay.display()
    );
    let commands = [
        "",
        "version",
        "env GOROOT GOFLAGS GOVERSION GOTOOLDIR GOWORK",
        "env -json GOROOT GOENV PATH",
        "list -m all",
        "list std",
        "mod graph",
        "mod verify",
        "mod why example.com/lib",
        "tool -n compile",
        "fmt -n ./...",
        "doc fmt.Println",
        "help build",
        "nonsense",
        "build-nonsense",
        "get example.com/none@none",
        "work sync",
        "clean -n",
        "generate -n ./...",
        &overlay,
    ];
    for command in commands {
        let line = format!("go {command}");
        assert_eq!(shell(&sandbox, &line), drop_in(&sandbox, &line), "{line}");
    }
    // What such a command writes, and a go that one of them calls.
    drop_in(&sandbox, "go mod vendor && go work init . && go generate ./...").ok();
    assert_eq!(fs::read_to_string(sandbox.path().join("vendor/example.com/lib/lib.go")).expect("vendored"), LIB);
    let real = sandbox.plain(&["env", "GOROOT"]).ok().stdout;
    assert_eq!(fs::read_to_string(sandbox.path().join("generated.txt")).expect("generated"), real);
    assert!(!is_woven(&sandbox, "generated.bin"), "go puts its own folder in front of PATH for generators");
}

#[test]
fn a_script_of_that_name_that_calls_tandem_is_not_taken_for_go() {
    let sandbox = shop();
    let folder = sandbox.beside("wrapper");
    fs::create_dir_all(&folder).expect("writable");
    let script = format!("#!/bin/bash\nexec \"{}\" go \"$@\"\n", weave_program().display());
    // The tests' program has another name than tandem.
    let script = script.replace(&weave_program().display().to_string(), "tandem");
    fs::write(folder.join("go"), script).expect("writable");
    fs::set_permissions(folder.join("go"), fs::Permissions::from_mode(0o755)).expect("ours");
    symlink(weave_program(), folder.join("tandem")).expect("writable");
    let path = format!("PATH='{}':\"$PATH\"; export PATH; ", folder.display());
    let expected = sandbox.plain(&["version"]);
    assert_eq!(shell(&sandbox, &format!("{path}go version")), expected);
    assert_eq!(drop_in(&sandbox, &format!("{path}go version")), expected);
    shell(&sandbox, &format!("{path}go build -o app .")).ok();
    assert!(is_woven(&sandbox, "app"));
}

#[test]
fn odd_folders_are_quoted_and_impossible_ones_refused() {
    let mut sandbox = shop();
    let expected = sandbox.plain(&["version"]);
    sandbox.cache = sandbox.beside("it's $HOME \"a\" `cache`\n\\é");
    fs::create_dir_all(&sandbox.cache).expect("writable");
    assert_eq!(drop_in(&sandbox, "go version"), expected);
    let which = drop_in(&sandbox, "command -v go").ok().stdout;
    assert!(which.starts_with(&sandbox.cache.display().to_string()), "{which}");
    sandbox.cache = sandbox.beside("a:b");
    let refused = Run::of(sandbox.weave_command(&["env"]).output().expect("it is built"));
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""));
    assert!(refused.stderr.contains("set TANDEM_CACHE to a folder without a colon"), "{refused:?}");
}

#[test]
fn a_tandem_that_moves_breaks_no_build() {
    let sandbox = shop();
    let folder = sandbox.beside("bin");
    fs::create_dir_all(folder.join("release-1")).expect("writable");
    fs::hard_link(weave_program(), folder.join("release-1/tandem"))
        .or_else(|_| fs::copy(weave_program(), folder.join("release-1/tandem")).map(|_| ()))
        .expect("writable");
    symlink("release-1/tandem", folder.join("tandem")).expect("writable");
    let env = |name: &Path| Run::of(sandbox.command(name, &["env"]).output().expect("it starts")).ok().stdout;
    // By the name it was called: a link that leads to the next release tomorrow.
    let line = env(&folder.join("tandem"));
    fs::rename(folder.join("release-1"), folder.join("release-2")).expect("writable");
    fs::remove_file(folder.join("tandem")).expect("writable");
    symlink("release-2/tandem", folder.join("tandem")).expect("writable");
    let expected = sandbox.plain(&["version"]);
    assert_eq!(shell(&sandbox, &format!("{line}\ngo version")), expected);
    // Gone for good: plain, with a warning. Found under its name in PATH: as before.
    fs::remove_file(folder.join("tandem")).expect("writable");
    let gone = shell(&sandbox, &format!("{line}\ngo build -o app . && go version")).ok();
    assert_eq!((gone.stdout.as_str(), gone.stderr.matches("building plain").count()), (expected.stdout.as_str(), 2));
    assert!(!is_woven(&sandbox, "app"));
    let found = format!("{line}\nPATH=\"$PATH\":'{}'\ngo version", folder.join("release-2").display());
    assert_eq!(shell(&sandbox, &found), expected);
}

#[test]
fn the_woven_standard_library_is_a_toolchain_of_its_own() {
    // As build systems use an SDK: its compiler and linker by their paths, without us and without our variables.
    let sandbox = Sandbox::new(&[
        ("go.mod", "module example.com/shop\n\ngo 1.22\n"),
        ("main.go", "package main\n\nfunc main() { println(\"works\") }\n"),
    ]);
    let root = Run::of(sandbox.weave_command(&["env", "--goroot"]).output().expect("it is built")).ok().stdout;
    let root = Path::new(root.trim_end());
    assert!(root.join("src/tandem/rt").is_dir());
    let go = |arguments: &[&str]| {
        let mut command = sandbox.command(&root.join("bin/go"), arguments);
        Run::of(command.env("GOROOT", root).env("GOTOOLCHAIN", "local").output().expect("it starts"))
    };
    go(&["build", "-o", "app", "."]).ok();
    assert_eq!(sandbox.run("app").ok().stderr, "works\n");
    // A sandbox names the tool by links in a folder that holds nothing else.
    let (outer, inner) = (sandbox.beside("outer"), sandbox.beside("inner"));
    fs::create_dir_all(outer.join("bin")).and_then(|()| fs::create_dir_all(&inner)).expect("writable");
    let tools = sandbox.plain(&["env", "GOTOOLDIR"]).ok().stdout;
    let real = sandbox.plain(&["env", "GOROOT"]).ok().stdout;
    let below = Path::new(tools.trim_end()).strip_prefix(real.trim_end()).expect("tools lie in the tree");
    symlink(root.join(below), inner.join("tools")).expect("writable");
    symlink("../../inner/tools/compile", outer.join("bin/compile")).expect("writable");
    let output = Command::new("bin/compile").arg("-V=full").current_dir(&outer).output().expect("it starts");
    assert!(Run::of(output).ok().stdout.starts_with("compile version go"));
}
