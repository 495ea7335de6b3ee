//! Flags of `go build` and the environment's: each alone, the program built plain and woven and both run.

use std::fs;

use crate::common::{Run, skip};
use crate::shop::{
    BIZ, GO_MOD, MAIN, WOVEN, builds_like_plain, built_like_plain, other, said, same, same_information, shop,
};

fn has_c_compiler() -> bool {
    ["cc", "gcc"].iter().any(|name| other(name, &["--version"]).output().is_ok_and(|output| output.status.success()))
}

/// Build: Flags | `-trimpath`, `-tags`, `-ldflags`, `-gcflags`, `-o` | woven
#[test]
fn flags_of_the_compiler_and_linker() {
    let sandbox = shop();
    let run = |flags: &[&str]| builds_like_plain(&sandbox, flags);
    run(&["-trimpath"]);
    same_information(&sandbox, "../plain", "../woven");
    assert!(run(&["-tags", "fancy"]).stdout.contains("fancy"));
    assert!(run(&["-ldflags=-s -w -X main.Word=linked"]).stdout.contains("linked"));
    run(&["-gcflags=example.com/shop/...=-N -l"]);
    same_information(&sandbox, "../plain", "../woven");
}

/// Build: Flags | `-pgo=file`, and a `default.pgo` beside `main` | woven
#[test]
fn profile_guided() {
    let sandbox = shop();
    sandbox.plain(&["test", "-run", "Pay", "-cpuprofile", "../cpu.pgo", "-o", "../biz.test", "./biz"]).ok();
    builds_like_plain(&sandbox, &["-pgo=../cpu.pgo"]);
    fs::copy(sandbox.beside("cpu.pgo"), sandbox.path().join("default.pgo")).expect("writable");
    builds_like_plain(&sandbox, &[]);
    same_information(&sandbox, "../plain", "../woven");
}

/// Build: Flags | `-race` | woven; races are reported as in a plain build (needs cgo)
#[test]
fn race() {
    if !has_c_compiler() {
        return skip("modes race", "there is no C compiler");
    }
    let sandbox = shop();
    sandbox.write(
        "main.go",
        &MAIN.replace(
            "func main() {",
            "func main() {\n\tn, c := 0, make(chan int)\n\tgo func() { n++; c <- n }()\n\tn++\n\t<-c",
        ),
    );
    let woven = built_like_plain(&sandbox, &["-race"]);
    let (hooks, woven) = said(woven);
    assert_eq!(hooks, WOVEN);
    assert!(woven.stderr.contains("WARNING: DATA RACE") && woven.stderr.contains("main.go:"), "{woven:?}");
    assert!(!woven.stderr.contains("weave-cache"), "{woven:?}");
    assert_eq!(woven.code, Some(66));
}

/// Build: Flags | `go build -cover`, `-coverpkg`, with `GOCOVERDIR` | woven; figures are those of a plain build
#[test]
fn covered_binary() {
    let sandbox = shop();
    let percent = |name: &str, program: &str| {
        let dir = sandbox.beside(name);
        fs::create_dir_all(&dir).expect("writable");
        let mut command = other(&sandbox.beside(program).display().to_string(), &[]);
        let run = Run::of(command.env("GOCOVERDIR", &dir).output().expect("it was built")).ok();
        let percent = sandbox.plain(&["tool", "covdata", "percent", "-i", &format!("../{name}")]).ok().stdout;
        (said(run).0, percent)
    };
    for flags in [&["-cover"][..], &["-cover", "-coverpkg=./...,example.net/dep"]] {
        sandbox.plain(&[&["build", "-o", "../plain"], flags, &["."]].concat()).ok();
        sandbox.woven(&[&["build", "-o", "../woven"], flags, &["."]].concat()).ok();
        let ((_, plain), (hooks, woven)) = (percent("plain-data", "plain"), percent("woven-data", "woven"));
        assert_eq!((&plain, &hooks[..]), (&woven, &WOVEN.map(str::to_owned)[..]), "{flags:?}");
        assert!(woven.contains("%") && !woven.contains(" 0.0%"), "{woven}");
    }
}

/// Build: Flags | `-buildmode=exe`, `pie` | woven
#[test]
fn executables() {
    let sandbox = shop();
    builds_like_plain(&sandbox, &["-buildmode=pie"]);
    builds_like_plain(&sandbox, &["-buildmode=exe"]);
}

/// Build: Flags | `-buildmode=c-archive`, `c-shared`, called from a C program | woven (needs cgo)
#[test]
fn libraries_for_c() {
    if !has_c_compiler() {
        return skip("modes libraries_for_c", "there is no C compiler");
    }
    let sandbox = shop();
    let library = MAIN
        .replace("import (", "import \"C\"\n\nimport (")
        .replace("func main() {", "func main() {}\n\n//export Shop\nfunc Shop() {");
    sandbox.write("main.go", &library);
    sandbox.write("../user.c", "#include \"shop.h\"\nint main() { Shop(); return 0; }\n");
    for (mode, file) in [("c-archive", "shop.a"), ("c-shared", "libshop.so")] {
        let mut outputs = Vec::new();
        for weave in [false, true] {
            let arguments = ["build", &format!("-buildmode={mode}"), "-o", &format!("../{file}"), "."];
            let run = if weave { sandbox.woven(&arguments) } else { sandbox.plain(&arguments) };
            assert_eq!(run.ok().without_warnings().stderr, "");
            let header = file.replace(".a", ".h").replace(".so", ".h");
            if header != "shop.h" {
                fs::copy(sandbox.beside(&header), sandbox.beside("shop.h")).expect("go build wrote it");
            }
            let mut compiler = other("cc", &["-o", "caller", "user.c", file, "-lpthread", "-ldl", "-lm"]);
            Run::of(compiler.current_dir(sandbox.beside("")).output().expect("there is one")).ok();
            let mut user = other(&sandbox.beside("caller").display().to_string(), &[]);
            outputs.push(said(Run::of(user.env("LD_LIBRARY_PATH", sandbox.beside("")).output().expect("built")).ok()));
        }
        assert_eq!(outputs[0].1.stdout, outputs[1].1.stdout, "{mode}");
        assert_eq!((&outputs[0].0[..], &outputs[1].0[..]), (&[][..], &WOVEN.map(str::to_owned)[..]), "{mode}");
    }
}

/// Build: Flags | `-buildmode=plugin` | woven; load woven plugins in woven programs only, as Go asks for builds of one kind (needs cgo)
#[test]
fn plugins() {
    if !has_c_compiler() {
        return skip("modes plugins", "there is no C compiler");
    }
    let sandbox = shop();
    sandbox.write("plug/main.go", &MAIN.replace("func main() {", "func main() {}\n\nfunc Serve() {"));
    let host = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"plugin\"\n\n\t_ \"example.com/shop/biz\"\n)\n\nfunc main() {\n\tp, err := plugin.Open(os.Args[1])\n\tif err != nil {\n\t\tfmt.Println(err)\n\t\tos.Exit(1)\n\t}\n\tserve, err := p.Lookup(\"Serve\")\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tserve.(func())()\n}\n";
    sandbox.write("main.go", host);
    let load = |host: &str, plug: &str| {
        let path = sandbox.beside(plug).display().to_string();
        let mut command = other(&sandbox.beside(host).display().to_string(), &[&path]);
        let (hooks, mut run) = said(Run::of(command.output().expect("it was built")));
        run.stdout = run.stdout.replace(&path, "PLUGIN");
        (hooks, run)
    };
    sandbox.plain(&["build", "-o", "../host", "."]).ok();
    sandbox.plain(&["build", "-buildmode=plugin", "-o", "../plug.so", "./plug"]).ok();
    sandbox.woven(&["build", "-o", "../woven-host", "."]).ok();
    sandbox.woven(&["build", "-buildmode=plugin", "-o", "../woven-plug.so", "./plug"]).ok();
    let ((_, plain), (hooks, woven)) = (load("host", "plug.so"), load("woven-host", "woven-plug.so"));
    assert_eq!((plain, &hooks[..]), (woven, &WOVEN.map(str::to_owned)[..]));
    let (_, mixed) = load("host", "woven-plug.so");
    assert!(mixed.stdout.contains("different version of package"), "{mixed:?}");
}

/// Build: Flags | cgo on and off (`CGO_ENABLED`), packages with C code | woven
#[test]
fn cgo() {
    if !has_c_compiler() {
        return skip("modes cgo", "there is no C compiler");
    }
    let mut sandbox = shop();
    sandbox.write("c/c.go", "package c\n\n// int three() { return 3; }\nimport \"C\"\n\n//tandem:span\nfunc Three() int { return int(C.three()) }\n");
    sandbox.write(
        "main.go",
        &MAIN
            .replace("import (", "import (\n\t\"example.com/shop/c\"\n\t\"net\"")
            .replace("biz.Pay(3)", "biz.Pay(c.Three()), net.IPv4len"),
    );
    sandbox.set("CGO_ENABLED", "1");
    builds_like_plain(&sandbox, &[]);
    sandbox.write("c/c.go", "package c\n\n//tandem:span\nfunc Three() int { return 3 }\n");
    sandbox.set("CGO_ENABLED", "0");
    builds_like_plain(&sandbox, &[]);
}

/// Build: Flags | cross builds: `GOOS`, `GOARCH` (linux/arm64, darwin/arm64, windows/amd64) | woven; built, not run
#[test]
fn cross_builds() {
    let mut sandbox = shop();
    for (os, architecture) in [("linux", "arm64"), ("darwin", "arm64"), ("windows", "amd64")] {
        sandbox.set("GOOS", os);
        sandbox.set("GOARCH", architecture);
        let plain = sandbox.plain(&["build", "-o", "../plain", "."]).ok();
        let woven = sandbox.woven(&["build", "-o", "../woven", "."]).without_warnings().ok();
        assert_eq!(plain, woven, "{os}/{architecture}");
        same_information(&sandbox, "../plain", "../woven");
        let (_, run) = same(&sandbox, &["run", "."]);
        assert_ne!(run.code, Some(0), "{os}/{architecture} runs here?");
    }
    // A program that runs foreign binaries, as the go command looks for it.
    sandbox.set("GOOS", "linux");
    sandbox.set("GOARCH", "arm64");
    sandbox.write("../bin/go_linux_arm64_exec", "#!/bin/sh\nshift\necho emulated \"$@\"\n");
    use std::os::unix::fs::PermissionsExt;
    let emulator = sandbox.beside("bin/go_linux_arm64_exec");
    fs::set_permissions(emulator, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").unwrap_or_default();
    sandbox.set("PATH", format!("{}:{path}", sandbox.beside("bin").display()));
    let (_, run) = same(&sandbox, &["run", ".", "a", "b"]);
    assert_eq!(run.stdout, "emulated a b\n");
}

/// Build: Flags | `-mod=mod`, `-mod=readonly` | woven; with `-mod=mod` what the go command would write into go.mod is not written
#[test]
fn module_modes() {
    let sandbox = shop();
    builds_like_plain(&sandbox, &["-mod=mod"]);
    builds_like_plain(&sandbox, &["-mod=readonly"]);
    // What go says of a manifest that does not fit.
    sandbox.write("go.mod", &GO_MOD.replace("v1.1.0", "v1.0.0"));
    same(&sandbox, &["build", "."]);
    sandbox.write("go.sum", "");
    same(&sandbox, &["build", "."]);
}

/// Build: Flags | `-modfile` | woven
/// Refused: Flags | `-modfile` in a workspace | go: -modfile cannot be used in workspace mode
#[test]
fn module_file() {
    let sandbox = shop();
    fs::copy(sandbox.path().join("go.sum"), sandbox.beside("other.sum")).expect("tidy wrote it");
    sandbox.write("../other.mod", GO_MOD);
    sandbox.write("go.mod", "module example.com/shop\n\ngo 1.21\n");
    builds_like_plain(&sandbox, &["-modfile=../other.mod"]);
    same_information(&sandbox, "../plain", "../woven");
    sandbox.write("go.work", "go 1.21\n\nuse .\n");
    sandbox.write("go.mod", GO_MOD);
    let (_, run) = same(&sandbox, &["build", "-modfile=../other.mod", "."]);
    assert!(run.stderr.contains("go: -modfile cannot be used in workspace mode"), "{run:?}");
}

/// Build: Flags | `-overlay`: of the user's files, of the standard library's (also woven ones), files added and taken away | woven, merged with ours
#[test]
fn users_overlay() {
    let sandbox = shop();
    let root = sandbox.plain(&["env", "GOROOT"]).ok().stdout.trim().to_owned();
    let ring = fs::read_to_string(format!("{root}/src/container/ring/ring.go")).expect("Go has it");
    let list = fs::read_to_string(format!("{root}/src/container/list/list.go")).expect("Go has it");
    // A woven package of the standard library, one that is not, an own file, an added one, one less.
    sandbox.write(
        "../ring.go",
        &ring.replace("func (r *Ring) Len() int {", "func (r *Ring) Len() int {\n\tif r != nil {\n\t\treturn 77\n\t}"),
    );
    sandbox.write("../list.go", &list.replace("return l.len }", "return l.len + 88 }"));
    sandbox.write("../biz.go", &BIZ.replace("return twice(amount)", "return added(amount)"));
    sandbox.write("../added.go", "package biz\n\nfunc added(n int) int { return n + 1000 }\n");
    sandbox.write("biz/extra.go", "package nonsense\n");
    sandbox.write(
        "main.go",
        &MAIN
            .replace("import (", "import (\n\t\"container/list\"")
            .replace("biz.Pay(3)", "biz.Pay(3), list.New().Len()"),
    );
    let here = sandbox.path().display().to_string();
    let beside = sandbox.beside("").display().to_string();
    let replace = format!(
        "{{\"Replace\": {{\"{root}/src/container/ring/ring.go\": \"../ring.go\", \"{root}/src/container/list/list.go\": \"{beside}list.go\", \"biz/biz.go\": \"../biz.go\", \"{here}/biz/added.go\": \"../added.go\", \"biz/extra.go\": \"\"}}}}"
    );
    sandbox.write("../overlay.json", &replace);
    let run = builds_like_plain(&sandbox, &["-overlay=../overlay.json"]);
    assert!(run.stdout.starts_with("77 1003 88 "), "{run:?}");
    sandbox.write("../overlay.json", "{\"Replace\": 3}");
    same(&sandbox, &["build", "-overlay", "../overlay.json", "."]);
    same(&sandbox, &["build", "-overlay", "../nowhere.json", "."]);
}

/// Build: Flags | `-C`, builds started in a subfolder, by a symbolic link | woven
#[test]
fn started_elsewhere() {
    let sandbox = shop();
    let folder = |dir: &std::path::Path, arguments: &[&str]| {
        let run = |mut command: std::process::Command| {
            Run::of(command.current_dir(dir).env("PWD", dir).output().expect("starts"))
        };
        let (plain, woven) =
            (run(sandbox.plain_command(arguments)), run(sandbox.weave_command(&[&["go"], arguments].concat())));
        let (hooks, woven) = said(woven);
        assert_eq!(plain, woven, "{arguments:?}");
        hooks
    };
    std::os::unix::fs::symlink(sandbox.path(), sandbox.beside("link")).expect("writable");
    assert_eq!(folder(&sandbox.path().join("biz"), &["run", ".."]), WOVEN);
    assert_eq!(folder(&sandbox.beside("link"), &["run", "."]), WOVEN);
    assert_eq!(folder(&sandbox.beside(""), &["run", "-C", "user", "."]), WOVEN);
    assert_eq!(folder(&sandbox.beside(""), &["run", "-C=user/biz", "example.com/shop"]), WOVEN);
    sandbox.write("biz/biz.go", &BIZ.replace("return 0", "return nothing"));
    folder(&sandbox.path().join("biz"), &["build", "."]);
    folder(&sandbox.path().join("biz"), &["build", "example.com/shop"]);
    // One at a time: else a package and its test may complain in either order.
    folder(&sandbox.beside("link"), &["vet", "-p=1", "./..."]);
}

/// Build: Flags | `GOFLAGS`, and what `go env -w` has set | woven, flags as on the command line
#[test]
fn settings() {
    let mut sandbox = shop();
    let file = sandbox.beside("settings/env");
    sandbox.set("GOENV", file.display().to_string());
    sandbox.variables.retain(|(name, _)| name != "GOFLAGS");
    sandbox.unset = vec!["GOFLAGS".to_owned()];
    sandbox.write("../other.mod", GO_MOD);
    fs::copy(sandbox.path().join("go.sum"), sandbox.beside("other.sum")).expect("tidy wrote it");
    sandbox.write("../exec.sh", "#!/bin/sh\necho \"by exec\"\nexec \"$@\"\n");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(sandbox.beside("exec.sh"), fs::Permissions::from_mode(0o755)).expect("ours");
    let flags = format!(
        "GOFLAGS=-buildvcs=false -modcacherw -tags=fancy '-ldflags=-X main.Word=from-settings' -modfile={} -exec={}",
        sandbox.beside("other.mod").display(),
        sandbox.beside("exec.sh").display()
    );
    // Through us, as people would.
    sandbox.woven(&["env", "-w", &flags]).ok();
    let run = builds_like_plain(&sandbox, &[]);
    assert!(run.stdout.contains("from-settings fancy"), "{run:?}");
    let (hooks, run) = same(&sandbox, &["run", ".", "a"]);
    assert!(run.stdout.starts_with("by exec\n") && run.stdout.contains("from-settings fancy [a]"), "{run:?}");
    assert_eq!(hooks, WOVEN);
    let (_, run) = same(&sandbox, &["run", "-exec", "echo", "-tags=", ".", "a"]);
    assert!(run.stdout.ends_with(" a\n"), "{run:?}");
    sandbox.woven(&["env", "-w", "GOFLAGS=-nonsense"]).ok();
    same(&sandbox, &["build", "."]);
    sandbox.woven(&["env", "-u", "GOFLAGS"]).ok();
}

/// Build: Flags | `-n`, `-x`, `-json`, `-h`, `-toolexec` | woven; the commands that are shown are those of the woven build
#[test]
fn flags_that_show() {
    let sandbox = shop();
    for arguments in [
        &["build", "-h"][..],
        &["test", "-h"],
        &["run", "-nonsense"],
        &["vet", "-h"],
        &["install", "-h"],
        &["help", "build"],
    ] {
        same(&sandbox, arguments);
    }
    sandbox.woven(&["build", "-n", "."]).ok();
    let run = sandbox.woven(&["build", "-x", "-o", "../x", "."]).ok();
    assert!(run.stderr.contains("WORK=") && run.stderr.contains("/link "), "{run:?}");
    sandbox.woven(&["build", "-toolexec", "/usr/bin/env", "-o", "../x", "."]).ok();
    let (hooks, _) = said(sandbox.run("../x"));
    assert_eq!(hooks, WOVEN);
    sandbox.write("biz/biz.go", &BIZ.replace("return 0", "return nothing"));
    let (_, run) = same(&sandbox, &["build", "-json", "./biz"]);
    assert!(run.code == Some(1), "{run:?}");
}
