//! Where the sources come from: modules, workspaces, vendor folders, replacements, other caches.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Run, Sandbox, copy, skip, weave_program};
use crate::shop::{BIZ, GO_MOD, MAIN, WOVEN, builds_like_plain, built_like_plain, said, same, same_information, shop};

/// Build: Layouts | modules from the module cache | woven; build info as plain
#[test]
fn module_cache() {
    let sandbox = shop();
    builds_like_plain(&sandbox, &[]);
    same_information(&sandbox, "../plain", "../woven");
    // The same module in another version, for which the pack is not.
    sandbox.write("go.mod", &GO_MOD.replace("v1.1.0", "v1.0.0"));
    sandbox.plain(&["mod", "tidy"]).ok();
    let (hooks, _) = said(built_like_plain(&sandbox, &[]));
    assert_eq!(hooks, ["woven biz.Pay", "woven ring.New"]);
}

/// Build: Layouts | `vendor` folders, implied and with `-mod=vendor`; `-mod=mod` beside one | woven
#[test]
fn vendored() {
    let sandbox = shop();
    sandbox.plain(&["mod", "vendor"]).ok();
    builds_like_plain(&sandbox, &[]);
    same_information(&sandbox, "../plain", "../woven");
    builds_like_plain(&sandbox, &["-mod=vendor"]);
    builds_like_plain(&sandbox, &["-mod=mod"]);
    builds_like_plain(&sandbox, &["-mod=readonly"]);
    sandbox.write("go.mod", &GO_MOD.replace("v1.1.0", "v1.0.0"));
    let (_, run) = same(&sandbox, &["build", "."]);
    assert!(run.stderr.contains("inconsistent vendoring"), "{run:?}");
}

/// Build: Layouts | `replace` by a fork, by another version, by a folder (also one of no pack) | woven: what replaces, not what is replaced
#[test]
fn replacements() {
    let sandbox = shop();
    let replaced = |line: &str| {
        sandbox.write("go.mod", &format!("{GO_MOD}\n{line}\n"));
        sandbox.plain(&["mod", "tidy"]).ok();
        let run = builds_like_plain(&sandbox, &[]);
        same_information(&sandbox, "../plain", "../woven");
        run
    };
    sandbox
        .write("go.mod", &GO_MOD.replace("v1.1.0\n", "v1.0.0\n\nreplace example.net/dep => example.net/dep v1.1.0\n"));
    sandbox.plain(&["mod", "tidy"]).ok();
    assert!(builds_like_plain(&sandbox, &[]).stdout.contains("example.net/dep v1.1.0"));
    let run = replaced("replace example.net/dep => example.net/fork v0.3.0");
    assert!(run.stdout.contains("example.net/fork v0.3.0"), "{run:?}");
    replaced("replace example.net/dep v1.1.0 => example.net/fork v0.3.0");
    let dir = sandbox.plain(&["list", "-m", "-f", "{{.Dir}}", "example.net/dep"]).ok().stdout;
    copy(Path::new(dir.trim()), &sandbox.path().join("fork"));
    let name = fs::read_to_string(sandbox.path().join("fork/name.go")).expect("it has one");
    sandbox.write("fork/name.go", &name.replace("v0.3.0", "v0.3.0 by me"));
    let run = replaced("replace (\n\texample.net/dep => ./fork\n)");
    assert!(run.stdout.contains("by me"), "{run:?}");
    copy(&sandbox.path().join("fork"), &sandbox.beside("a folder"));
    replaced("replace example.net/dep v1.1.0 => \"../a folder\"");
    // A folder for which no pack has rules, with comments of its own; and the same vendored.
    sandbox.write("../lib/go.mod", "module example.com/lib\n\ngo 1.21\n");
    sandbox.write("../lib/in/lib.go", "package in\n\n//tandem:span\nfunc Lib() int { return 4 }\n");
    sandbox.write(
        "main.go",
        &MAIN.replace("import (", "import (\n\t\"example.com/lib/in\"").replace("biz.Pay(3)", "biz.Pay(in.Lib())"),
    );
    let manifest = format!("{GO_MOD}\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n");
    sandbox.write("go.mod", &manifest);
    for step in [&["mod", "tidy"], &["mod", "vendor"]] {
        sandbox.plain(step).ok();
        builds_like_plain(&sandbox, &[]);
        let symbols = sandbox.plain(&["tool", "nm", "../woven"]).ok().stdout;
        assert!(symbols.contains("example.com/lib/in.tandemOp"), "the comment was not woven after go {step:?}");
    }
}

/// Build: Layouts | `go.work`, also vendored, with replacements of its own, `GOWORK=off` | woven
#[test]
fn workspaces() {
    let mut sandbox = shop();
    sandbox.write("lib/go.mod", "module example.com/lib\n\ngo 1.21\n");
    sandbox.write("lib/lib.go", "package lib\n\n//tandem:span\nfunc Lib() int { return 4 }\n");
    sandbox.write("lib/lib_test.go", "package lib\n\nimport \"testing\"\n\nfunc TestLib(t *testing.T) { Lib() }\n");
    sandbox.write(
        "go.work",
        "go 1.22\n\nuse (\n\t.\n\t./lib\n)\n\nreplace example.net/dep v1.1.0 => example.net/fork v0.3.0\n",
    );
    sandbox.write(
        "main.go",
        &MAIN.replace("import (", "import (\n\t\"example.com/lib\"").replace("biz.Pay(3)", "biz.Pay(lib.Lib())"),
    );
    let spans = |sandbox: &Sandbox| {
        let run = builds_like_plain(sandbox, &[]);
        same_information(sandbox, "../plain", "../woven");
        assert!(run.stdout.contains("example.net/fork v0.3.0"), "{run:?}");
        let symbols = sandbox.plain(&["tool", "nm", "../woven"]).ok().stdout;
        assert!(symbols.contains("example.com/lib.tandemOp"), "the comment was not woven");
    };
    spans(&sandbox);
    same(&sandbox, &["vet", "./...", "./lib/..."]);
    sandbox.plain(&["work", "vendor"]).ok();
    spans(&sandbox);
    fs::remove_dir_all(sandbox.path().join("vendor")).expect("ours");
    sandbox.write("main.go", MAIN);
    sandbox.set("GOWORK", "off");
    let run = builds_like_plain(&sandbox, &[]);
    assert!(run.stdout.contains("example.net/dep v1.1.0"), "{run:?}");
}

/// Build: Layouts | nested modules | woven, each as its own
#[test]
fn nested_modules() {
    let sandbox = shop();
    sandbox.write("tools/go.mod", "module example.com/tools\n\ngo 1.21\n");
    sandbox.write("tools/main.go", "package main\n\n//tandem:span\nfunc main() { nope := 1 }\n");
    builds_like_plain(&sandbox, &[]);
    let (_, run) = same(&sandbox, &["build", "-C", "tools", "."]);
    assert!(run.stderr.contains("main.go:4:15: declared and not used: nope"), "{run:?}");
    sandbox.write("tools/main.go", "package main\n\n//tandem:span\nfunc main() {}\n");
    sandbox.woven(&["build", "-C", "tools", "-o", "../../tools", "."]).ok();
    let symbols = sandbox.plain(&["tool", "nm", "../tools"]).ok().stdout;
    assert!(symbols.contains("main.tandemOp"), "the nested module was not woven");
}

/// Build: Layouts | old language versions (`go 1.13` in go.mod) | woven
#[test]
fn old_language_versions() {
    let sandbox = shop();
    for line in ["go 1.13\n", "go 1.17\n"] {
        sandbox.write("go.mod", &GO_MOD.replace("go 1.21\n", line));
        sandbox.plain(&["mod", "tidy"]).ok();
        sandbox.write(
            "biz/biz.go",
            &format!("{BIZ}\n//tandem:span failing\nfunc Fails(a int, _ string) (err error) {{ return nil }}\n"),
        );
        builds_like_plain(&sandbox, &[]);
    }
}

/// Build: Layouts | GOPATH mode (`GO111MODULE=off`) | the standard library is woven, your packages are not
#[test]
fn gopath_mode() {
    let mut sandbox = shop();
    sandbox.set("GO111MODULE", "off");
    sandbox.set("GOPATH", sandbox.beside("gopath").display().to_string());
    copy(&sandbox.path().join("biz"), &sandbox.beside("gopath/src/example.com/shop/biz"));
    sandbox.write("../gopath/src/example.net/dep/dep.go", "package dep\n\nfunc Name() string { return \"gopath\" }\n");
    let (hooks, _) = said(built_like_plain(&sandbox, &[]));
    assert_eq!(hooks, ["woven ring.New"]);
}

/// Build: Circumstances | a cache on another file system | woven, from copies
#[test]
fn cache_on_another_file_system() {
    let sandbox = shop();
    let disk = sandbox.beside("disk");
    fs::create_dir_all(&disk).expect("writable");
    let script = format!(
        "mount -t tmpfs -o size=512m tandem-test '{disk}' || exit 99; export TANDEM_CACHE='{disk}/cache'; '{weave}' go build -o ../woven . && '{weave}' go vet .",
        disk = disk.display(),
        weave = weave_program().display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).current_dir(sandbox.path());
    command.envs(sandbox.variables.iter().map(|(name, value)| (name, value)));
    let Ok(output) = command.output() else {
        return skip("modes cache_on_another_file_system", "there is no unshare command");
    };
    let run = Run::of(output);
    if run.code == Some(99) || run.stderr.contains("unshare:") {
        let reason = run.stderr.lines().last().unwrap_or("nothing can be mounted here");
        return skip("modes cache_on_another_file_system", reason);
    }
    run.ok();
    assert_eq!(said(sandbox.run("../woven")).0, WOVEN);
}
