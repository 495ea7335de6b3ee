//! Scenario: the same program on two machines, in and out of version control, with a third-party module. Guarantee: the same
//! binary; nothing in it or in what it prints that tells where the cache lies; build information as in a plain build.
//!
//! Needs Go, git, and the module proxy where github.com/google/uuid is not in the module cache.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Run, Sandbox, skip, weave_program};

const GO_MOD: &str = "module example.com/shop\n\ngo 1.22\n\nrequire github.com/google/uuid v1.6.0\n";
const MAIN: &str = r#"package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/google/uuid"
)

//tandem:span
func main() {
	slog.New(slog.NewTextHandler(os.Stdout, nil)).Info("starts", "id", uuid.Nil)
	defer func() {
		recover()
		fmt.Println(string(debug.Stack()))
	}()
	uuid.Must(uuid.FromBytes([]byte{1}))
}
"#;
const PACK: &str = "pack: uuid\nmodule: github.com/google/uuid\nrules:\n  - id: uuid.must\n    target: github.com/google/uuid\n    add_files: [tandem_uuid.go]\n    edits:\n      - where: {func: Must}\n        do: {enter: \"tandemMust()\"}\n";
const HOOK: &str = "package uuid\n\nfunc tandemMust() { println(\"woven\") }\n";

fn shop() -> Sandbox {
    Sandbox::with_pack(&[("go.mod", GO_MOD), ("main.go", MAIN)], PACK, ("tandem_uuid.go", HOOK))
}

fn contains(bytes: &[u8], wanted: &str) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

#[test]
fn two_machines_make_the_same_binary_network() {
    let here = shop();
    let build = ["build", "-trimpath", "-o", "../woven", "."];
    here.woven(&build).ok();

    // Another home, module cache, build cache, weave cache and folder, and tandem itself at another place.
    let mut there = shop();
    let home = there.beside("some/where/else");
    fs::create_dir_all(&home).expect("writable");
    let tandem = home.join("other-weave");
    fs::copy(weave_program(), &tandem).expect("writable");
    there.cache = home.join("weave-cache-there");
    let real = here.plain(&["env", "GOMODCACHE"]).ok().stdout;
    for (name, value) in [
        ("HOME", home.display().to_string()),
        ("XDG_CACHE_HOME", home.join("xdg").display().to_string()),
        ("GOPATH", home.join("gopath").display().to_string()),
        ("GOCACHE", home.join("gocache").display().to_string()),
        ("GOPROXY", format!("file://{}/cache/download", real.trim_end())),
        ("GOSUMDB", "off".to_owned()),
        ("GOFLAGS", "-buildvcs=false -p=2 -modcacherw".to_owned()),
    ] {
        there.set(name, value);
    }
    let made = there.command(&tandem, &[&["go"], build.as_slice()].concat()).output().expect("it starts");
    Run::of(made).ok();

    let binary = |sandbox: &Sandbox| fs::read(sandbox.beside("woven")).expect("it was built");
    let (one, two) = (binary(&here), binary(&there));
    assert!(contains(&one, "tandemMust"), "the module was not woven");
    assert!(one == two, "{} and {} differ", blake3::hash(&one), blake3::hash(&two));
    let home_here = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    for (sandbox, home) in [(&here, Path::new(&home_here)), (&there, home.as_path())] {
        let paths = [home.join(""), sandbox.cache.clone(), sandbox.path(), sandbox.beside("pack")];
        for path in paths.map(|path| path.display().to_string()) {
            assert!(!contains(&one, &path), "{path} is in the binary");
        }
    }
    // What it prints, where a plain program prints the same.
    here.plain(&["build", "-trimpath", "-o", "../plain", "."]).ok();
    let frames = |program: &str| -> Vec<String> {
        let run = here.run(&format!("../{program}"));
        let is_place = |line: &&str| line.starts_with('\t');
        run.stdout.lines().filter(is_place).map(|line| line.split(" +").next().unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(frames("woven"), frames("plain"));
    assert!(frames("woven").iter().any(|line| line.contains("github.com/google/uuid@v1.6.0/uuid.go:")));
}

#[test]
fn build_information_is_that_of_a_plain_build_network() {
    let sandbox = shop();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=n", "-c", "user.email=e@example.com"])
            .args(arguments)
            .current_dir(sandbox.path());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().is_ok_and(|output| output.status.success())
    };
    if !git(&["init", "-q"]) {
        skip("build_information_is_that_of_a_plain_build_network", "there is no git");
        return;
    }
    assert!(git(&["add", "."]) && git(&["commit", "-qm", "first"]) && git(&["tag", "v1.2.3"]));
    let same_but_for_the_mark = || {
        let information =
            |program: &str| sandbox.plain(&["version", "-m", program]).ok().stdout.replace(program, "program");
        sandbox.woven(&["build", "-buildvcs=true", "-o", "../woven", "."]).ok();
        sandbox.plain(&["build", "-buildvcs=true", "-o", "../plain", "."]).ok();
        let woven = information("../woven");
        assert!(woven.contains("\tbuild\t-tandem=") && woven.contains("uuid.must"), "{woven}");
        let rest: String = woven.split_inclusive('\n').filter(|line| !line.contains("\tbuild\t-tandem")).collect();
        assert_eq!(rest, information("../plain"));
        assert!(!contains(&fs::read(sandbox.beside("woven")).expect("it was built"), "weave-cache"));
        rest
    };
    let clean = same_but_for_the_mark();
    assert!(clean.contains("vcs.modified=false") && clean.contains("github.com/google/uuid\tv1.6.0\th1:"), "{clean}");
    sandbox.write("main.go", &format!("{MAIN}\n// changed\n"));
    assert!(same_but_for_the_mark().contains("vcs.modified=true"));
    // In the program's own eyes too.
    let own = "package main\n\nimport \"runtime/debug\"\n\nfunc main() { b, ok := debug.ReadBuildInfo(); println(ok, b.Main.Path, len(b.Deps)) }\n";
    sandbox.write("main.go", own);
    sandbox.plain(&["mod", "tidy"]).ok();
    let (woven, plain) = (sandbox.woven(&["run", "."]).ok(), sandbox.plain(&["run", "."]).ok());
    assert_eq!(woven.without_warnings(), plain);
}
