//! A Go that is newer than any known one: the installed one, which is made to say go1.29 and whose source is changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::Sandbox;
use crate::shop::{GO_MOD, MAIN, WOVEN, said, shop};

/// The compiler knows no language version but its own.
const COMPILER: &str = r#"#!/bin/sh
for word; do
	shift
	case $word in
	-lang=go1.29) set -- "$@" -lang=go1.0 ;;
	*) set -- "$@" "$word" ;;
	esac
done
exec OLD "$@"
"#;

/// Puts `from` into all places of `text` with one of the same length.
fn put_in_place(text: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    while let Some(found) = text[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        text[at + found..at + found + to.len()].copy_from_slice(to.as_bytes());
        at += found + to.len();
    }
}

/// Symbolic links to what is in a folder, but for some names.
fn link_all(from: &Path, to: &Path, but: &[&str]) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        if !but.iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), to.join(entry.file_name())).expect("writable");
        }
    }
}

/// A copy of the installed Go, by links, that calls itself go1.29, with a line of `runtime/proc.go` changed.
fn newer_go(sandbox: &mut Sandbox, line: &str, instead: &str) {
    let answer = sandbox.plain(&["env", "GOROOT", "GOVERSION", "GOTOOLDIR"]).ok().stdout;
    let [root, version, tools] = answer.lines().collect::<Vec<_>>()[..] else { panic!("{answer}") };
    let (root, tools) = (Path::new(root), Path::new(tools));
    let (_, patch) = version.rsplit_once('.').expect("goX.Y.Z");
    let newer = format!("go1.29.{patch}");
    let copy = sandbox.beside("go1.29");
    link_all(root, &copy, &["bin", "pkg", "src", "VERSION"]);
    link_all(&root.join("pkg"), &copy.join("pkg"), &["tool"]);
    link_all(&root.join("src"), &copy.join("src"), &["runtime"]);
    link_all(&root.join("src/runtime"), &copy.join("src/runtime"), &["proc.go"]);
    fs::write(copy.join("VERSION"), format!("{newer}\n")).expect("writable");
    let text = fs::read_to_string(root.join("src/runtime/proc.go")).expect("Go is installed");
    assert!(text.contains(line), "the runtime of {version} has no {line:?}");
    fs::write(copy.join("src/runtime/proc.go"), text.replace(line, instead)).expect("writable");
    let tool_copy = copy.join(tools.strip_prefix(root).expect("below it"));
    for (from, to) in [(tools, tool_copy.clone()), (&root.join("bin"), copy.join("bin"))] {
        fs::create_dir_all(&to).expect("writable");
        for entry in fs::read_dir(from).expect("readable").flatten() {
            let mut bytes = fs::read(entry.path()).expect("readable");
            put_in_place(&mut bytes, version, &newer);
            let to = to.join(entry.file_name());
            fs::write(&to, bytes).expect("writable");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("ours");
        }
    }
    fs::create_dir(copy.join("old")).expect("writable");
    fs::rename(tool_copy.join("compile"), copy.join("old/compile")).expect("writable");
    let (language, _) = version.rsplit_once('.').expect("goX.Y.Z");
    let compiler = COMPILER.replace("OLD", &copy.join("old/compile").display().to_string()).replace("go1.0", language);
    fs::write(tool_copy.join("compile"), compiler).expect("writable");
    fs::set_permissions(tool_copy.join("compile"), fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").unwrap_or_default();
    sandbox.set("PATH", format!("{}:{path}", copy.join("bin").display()));
    assert_eq!(sandbox.plain(&["env", "GOVERSION"]).ok().stdout.trim(), newer);
}

fn small_shop() -> Sandbox {
    let sandbox = shop();
    // The fewer packages are woven, the fewer are compiled to try them.
    sandbox.write("tandem.yaml", "disable: [net/http, database/sql, log, log/slog]\n");
    sandbox.write("go.mod", GO_MOD);
    sandbox.write("main.go", MAIN);
    sandbox
}

/// Build: Go versions | a Go that is newer than any known one, hooks that do not compile with it | woven without those hooks; a warning names each
#[test]
fn what_fits_is_woven() {
    let mut sandbox = small_shop();
    newer_go(&mut sandbox, "newg.startpc = fn.fn", "newg.startpc = fn.fn // as ever");
    let hook = sandbox.beside("packs/ring/hooks/tandem_seen.go");
    let run = sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(run.stderr.contains("go1.29") && run.stderr.contains("is newer than go1.27"), "{run:?}");
    assert_eq!(said(sandbox.run("../woven")).0, WOVEN);
    fs::write(hook, "package ring\n\nfunc tandemSeen() { gone() }\n").expect("writable");
    for _ in ["first", "from the cache"] {
        let run = sandbox.woven(&["build", "-o", "../woven", "."]).ok();
        let warning = run.stderr.lines().find(|line| line.contains("seen.ring")).unwrap_or_default();
        assert!(warning.contains("does not compile with go1.29") && warning.contains("undefined: gone"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
    }
    assert_eq!(said(sandbox.run("../woven")).0, WOVEN[..2]);
}

/// Build: Go versions | a Go whose runtime cannot be woven | plain, with a warning that says so
#[test]
fn an_unknown_runtime_is_built_plain() {
    let mut sandbox = small_shop();
    newer_go(&mut sandbox, "newg := new(g)", "newg := (new(g))");
    let before = sandbox.contents();
    for _ in ["first", "from the cache"] {
        let run = sandbox.woven(&["build", "-o", "../woven", "."]).ok();
        let warning = "tandem: warning: the runtime of go1.29";
        assert!(run.stderr.starts_with(warning) && run.stderr.contains("this is a plain build"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    let run = sandbox.run("../woven").ok();
    assert_eq!((&*run.stderr, run.stdout.starts_with("2 6 ")), ("", true), "{run:?}");
    sandbox.write("biz/biz.go", "package biz\n\nfunc Pay(int) int { return nothing }\n");
    assert_eq!(sandbox.plain(&["build", "./biz"]), sandbox.woven(&["build", "./biz"]).without_warnings());
    assert!(before.len() == sandbox.contents().len(), "the user's tree has changed");
}
