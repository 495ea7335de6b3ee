//! The woven sub-commands: build, install, run, test and vet.

use std::fs;

use crate::common::Run;
use crate::shop::{BIZ, MAIN, WOVEN, other, said, same, same_information, shop, with_packs};

/// Without times, which differ from run to run.
fn timeless(mut run: Run) -> Run {
    let line = |line: &str| {
        let line = line.split_once(",\"Action\"").map_or(line, |(_, after)| after); // behind the time, in JSON
        let line = line.split(",\"Elapsed\"").next().unwrap_or(line);
        let mut words = line.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.');
        let text: String = words.by_ref().map(|word| if word.starts_with("0.") { "TIME" } else { word }).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ") + "\n"
    };
    let text = |text: &str| text.lines().map(line).collect::<String>();
    (run.stdout, run.stderr) = (text(&run.stdout), text(&run.stderr));
    run
}

/// Build: Commands | `go build`, `go install`, `go run`, `go vet` | woven
#[test]
fn build_install_run_vet() {
    let mut sandbox = shop();
    let (hooks, run) = same(&sandbox, &["run", ".", "a", "-b"]);
    assert_eq!((&hooks[..], run.stdout.ends_with("[a -b]\n")), (&WOVEN.map(str::to_owned)[..], true), "{run:?}");
    same(&sandbox, &["build", "./..."]);
    same(&sandbox, &["vet", "./..."]);
    for (bin, weave) in [("plain", false), ("woven", true)] {
        sandbox.set("GOBIN", sandbox.beside(bin).display().to_string());
        let run = if weave { sandbox.woven(&["install", "./..."]) } else { sandbox.plain(&["install", "./..."]) };
        assert_eq!(run.ok().without_warnings().stderr, "");
    }
    same_information(&sandbox, "../plain/shop", "../woven/shop");
    assert_eq!(said(sandbox.run("../woven/shop")).0, WOVEN);
    sandbox.write(
        "biz/biz.go",
        &BIZ.replace("return 0", "fmt.Printf(\"%d\", \"x\")\n\t\treturn 0")
            .replace("package biz\n", "package biz\n\nimport \"fmt\"\n"),
    );
    let (_, run) = same(&sandbox, &["vet", "./..."]);
    assert_ne!(run.code, Some(0), "{run:?}");
}

/// Build: Commands | `go test`: tests inside and outside the package, examples, `-v`, `-json`, `-run`, `-short`, `-count`, `-list` | woven
#[test]
fn tests() {
    let sandbox = shop();
    let test = |arguments: &[&str]| {
        let arguments = [&["test", "-count=1"], arguments].concat();
        let plain = timeless(sandbox.plain(&arguments));
        let (hooks, woven) = said(sandbox.woven(&arguments));
        assert_eq!(plain, timeless(woven), "{arguments:?}");
        (hooks, plain)
    };
    let before = sandbox.contents();
    let (hooks, run) = test(&["-v", "./..."]);
    assert!(run.stdout.contains("as it should") && run.code == Some(1), "{run:?}");
    assert_eq!(hooks, ["woven biz.Pay"]);
    test(&["-short", "./biz"]);
    test(&["-run", "Outside|Example", "-v", "./biz"]);
    test(&["-short", "-json", "-run", "TestFromOutside", "./biz"]);
    test(&["-list", ".", "./..."]);
    test(&["-run", "none", "-v", "./biz", "-args", "x", "-overlay"]);
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

/// Build: Commands | `go test -c`, `-o`, benchmarks (`-bench`), fuzzing (`-fuzz`) | woven
#[test]
fn test_binaries_benchmarks_and_fuzzing() {
    let sandbox = shop();
    sandbox.woven(&["test", "-c", "-o", "../biz.test", "./biz"]).without_warnings().ok();
    let mut binary = other(&sandbox.beside("biz.test").display().to_string(), &["-test.short"]);
    let (hooks, run) = said(Run::of(binary.current_dir(sandbox.path().join("biz")).output().expect("it was built")));
    assert_eq!((hooks, run.ok().stdout), (vec!["woven biz.Pay".to_owned()], "PASS\n".to_owned()));
    let run = sandbox.woven(&["test", "-run", "none", "-bench", "Pay", "-benchtime", "10x", "./biz"]).ok();
    assert!(run.stdout.contains("BenchmarkPay") && run.stdout.contains("ns/op"), "{run:?}");
    let before = sandbox.contents();
    let run = sandbox.woven(&["test", "-run", "none", "-fuzz", "FuzzPay", "-fuzztime", "50x", "./biz"]).ok();
    assert!(run.stdout.contains("fuzz: elapsed") && run.stdout.contains("PASS"), "{run:?}");
    assert!(before == sandbox.contents(), "the user's tree has changed");
    // What fuzzing finds is written where it belongs, and found again.
    let test = fs::read_to_string(sandbox.path().join("biz/biz_test.go")).expect("there");
    sandbox.write("biz/biz_test.go", &test.replace("%2 != 0", "%2 != 0 || amount != 1"));
    let run = sandbox.woven(&["test", "-run", "none", "-fuzz", "FuzzPay", "-fuzztime", "1000x", "./biz"]);
    assert!(run.code == Some(1) && run.stdout.contains("testdata/fuzz/FuzzPay/"), "{run:?}");
    assert!(sandbox.path().join("biz/testdata/fuzz/FuzzPay").is_dir());
}

/// Build: Commands | what a test finds: `GOROOT`, `GOTOOLCHAIN`, `GOFLAGS`, `runtime.GOROOT()`; a `go` that it calls; results that are kept, `-exec` | as plain
#[test]
fn tests_find_what_they_would_find() {
    let sandbox = shop();
    let test = r#"package biz

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for _, name := range []string{"GOROOT", "GOTOOLCHAIN", "GOWORK", "GOFLAGS", "GOMODCACHE", "PWD"} {
		value, ok := os.LookupEnv(name)
		t.Log(name, value, ok)
	}
	t.Log(runtime.GOROOT())
	for _, arguments := range [][]string{{"env", "GOROOT", "GOFLAGS", "GOTOOLCHAIN"}, {"list", "-deps", "-f", "{{.Dir}}", "container/ring"}} {
		output, err := exec.Command("go", arguments...).CombinedOutput()
		t.Log(string(output), err)
	}
}
"#;
    sandbox.write("biz/environment_test.go", test);
    let arguments = ["test", "-count=1", "-v", "-run", "Environment", "./biz"];
    let (plain, woven) = (sandbox.plain(&arguments).ok(), sandbox.woven(&arguments).ok().without_warnings());
    assert_eq!(timeless(plain), timeless(woven));
    let arguments = ["test", "-run", "Outside", "./biz"];
    let first = sandbox.woven(&arguments).ok();
    let again = sandbox.woven(&arguments).ok();
    assert!(again.stdout.contains("(cached)"), "{first:?} {again:?}");
    let (_, run) = said(sandbox.woven(&["test", "-run", "Outside", "-v", "-exec", "echo by", "./biz"]));
    assert!(run.stdout.contains("by /tmp/"), "{run:?}");
}

/// Build: Commands | `go install pkg@version`, `go run pkg@version`, also outside a module and with `@latest` | woven with the modules it needs; build info as plain
#[test]
fn a_package_with_its_version() {
    let mut sandbox = crate::common::Sandbox::new(&[("notes.txt", "no module\n")]);
    with_packs(&mut sandbox);
    for version in ["v1.0.0", "latest"] {
        for (bin, weave) in [("plain", false), ("woven", true), ("woven", true)] {
            sandbox.set("GOBIN", sandbox.beside(bin).display().to_string());
            let arguments = ["install", &format!("example.net/tool/cmd/greet@{version}")];
            let run = if weave { sandbox.woven(&arguments) } else { sandbox.plain(&arguments) };
            run.without_warnings().ok();
        }
        same_information(&sandbox, "../plain/greet", "../woven/greet");
        let (hooks, run) = said(sandbox.run("../woven/greet"));
        assert_eq!((hooks, run.stdout), (vec!["woven dep.Name".to_owned()], "example.net/dep v1.1.0 []\n".to_owned()));
        let bytes = fs::read(sandbox.beside("woven/greet")).expect("installed");
        assert!(!String::from_utf8_lossy(&bytes).contains("weave-cache"), "a path of the cache is in the binary");
    }
    let (hooks, run) = same(&sandbox, &["run", "example.net/tool/cmd/greet@v1.0.0", "a", "b@c"]);
    assert_eq!((&hooks[..], &*run.stdout), (&["woven dep.Name".to_owned()][..], "example.net/dep v1.1.0 [a b@c]\n"));
    for wrong in ["example.net/tool/cmd/greet@v9.0.0", "example.net/tool/cmd/none@v1.0.0", "example.net/dep@v1.1.0"] {
        let (_, run) = same(&sandbox, &["install", wrong]);
        assert_ne!(run.code, Some(0), "{wrong}");
    }
    // Inside a module with other versions, which do not count.
    sandbox.write("go.mod", "module example.com/x\n\ngo 1.21\n\nrequire example.net/dep v1.0.0\n");
    sandbox.write("main.go", MAIN);
    let (hooks, _) = same(&sandbox, &["run", "-trimpath", "example.net/tool/cmd/greet@v1.0.0"]);
    assert_eq!(hooks, ["woven dep.Name"]);
    assert!(!sandbox.path().join("go.sum").exists());
}

/// Build: Commands | files instead of packages (`go run main.go`), outside a module too | woven
#[test]
fn files_instead_of_packages() {
    let sandbox = shop();
    let (hooks, _) = same(&sandbox, &["run", "main.go", "x.go.txt"]);
    assert_eq!(hooks, WOVEN);
    let mut outside = crate::common::Sandbox::new(&[
        ("a.go", "package main\n\nimport \"container/ring\"\n\nfunc main() { println(ring.New(1).Len()); named() }\n"),
        ("b.go", "package main\n\n//tandem:span\nfunc named() {}\n"),
    ]);
    with_packs(&mut outside);
    let (hooks, run) = same(&outside, &["run", "a.go", "b.go"]);
    assert_eq!((hooks, run.code), (vec!["woven ring.New".to_owned()], Some(0)));
    outside.woven(&["build", "-o", "../x", "a.go", "b.go"]).ok();
    let symbols = outside.plain(&["tool", "nm", "../x"]).ok().stdout;
    assert!(symbols.contains("main.tandemOp"), "the comment was not woven");
}
