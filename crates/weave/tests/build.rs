//! Scenario: real go commands on small programs, plain and woven. Guarantee: what people see of their own files and lines
//! (panics, `runtime.Caller`, errors, coverage, exit codes) is what a plain build shows, and nothing of theirs is changed.
//!
//! Needs Go; the tests whose names end in `_network` fetch modules from the module proxy when they are not in the cache.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Run, Sandbox};

const GO_MOD: &str = "module example.com/shop\n\ngo 1.22\n";
const MAIN: &str = r#"package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"

	"example.com/shop/biz"
)

func main() {
	_, file, line, _ := runtime.Caller(0)
	fmt.Println(file, line, runtime.GOROOT(), os.Getenv("TANDEM_PLAN"), os.Getenv("GOTOOLCHAIN"), os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		biz.Panic()
	}
	line2, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Fprint(os.Stderr, "read ", line2)
	fmt.Println(biz.Pay(len(line2)))
	os.Exit(7)
}
"#;
const BIZ: &str = r#"// Package biz is what the shop is about.
package biz

import "errors"

// Pay pays.
//
//tandem:span pay amount=amount
func Pay(amount int) (int, error) {
	if amount > 100 {
		return 0, errors.New("too much")
	} else if amount < 0 {
		return 0, errors.New("too little")
	}
	return amount, nil
}

// Panic panics.
//
//tandem:span
//go:noinline
func Panic() { panic("no") }
"#;
const BIZ_TEST: &str = "package biz\n\nimport \"testing\"\n\nfunc TestPay(t *testing.T) {\n\tif _, err := Pay(3); err != nil {\n\t\tt.Fatal(err)\n\t}\n}\n";

fn shop() -> Sandbox {
    Sandbox::new(&[("go.mod", GO_MOD), ("main.go", MAIN), ("biz/biz.go", BIZ), ("biz/biz_test.go", BIZ_TEST)])
}

/// Frames and places of a stack trace, without addresses and arguments.
fn trace_lines(run: &Run) -> Vec<String> {
    run.stderr.lines().map(|line| line.split([' ', '(']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn nothing_changes_and_nothing_is_compiled_again() {
    let sandbox = shop();
    sandbox.plain(&["build", "-o", "../plain", "."]).ok();
    let before = sandbox.contents();
    let first = sandbox.woven(&["build", "-x", "-o", "../woven", "."]).ok();
    assert!(first.stderr.contains("tandem"), "nothing was woven: {}", first.stderr);
    assert_eq!(
        sandbox.woven(&["build", "-x", "-o", "../woven", "."]).ok().compiled(),
        0,
        "an unchanged woven build compiles"
    );
    assert_eq!(
        sandbox.plain(&["build", "-x", "-o", "../plain", "."]).ok().compiled(),
        0,
        "a plain build after a woven one compiles"
    );
    sandbox.woven(&["vet", "./..."]).ok();
    sandbox.woven(&["test", "./..."]).ok();
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

#[test]
fn panics_and_callers_show_the_users_lines() {
    let sandbox = shop();
    let run = |run: Run| (run.code, run.stdout.clone(), trace_lines(&run));
    let plain = run(sandbox.plain(&["run", ".", "panic"]));
    let woven = run(sandbox.woven(&["run", ".", "panic"]).without_warnings());
    assert_eq!(plain, woven);
    assert!(woven.2.iter().any(|line| line.ends_with("biz/biz.go:22")), "{woven:?}");
}

#[test]
fn a_program_that_is_run_keeps_its_input_output_and_exit_code() {
    let sandbox = shop();
    let run = |mut command: std::process::Command| {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(b"hello\n").expect("reads");
        Run::of(child.wait_with_output().expect("ends")).without_warnings()
    };
    let mut plain = std::process::Command::new("go");
    plain.args(["run", ".", "a", "-overlay", "b"]).current_dir(sandbox.path()).env("GOFLAGS", "-buildvcs=false");
    let plain = run(plain);
    let woven = run(sandbox.weave_command(&["go", "run", ".", "a", "-overlay", "b"]));
    assert_eq!(plain, woven);
    assert!(woven.stderr.starts_with("read hello\n") && woven.stdout.contains("6 <nil>"), "{woven:?}");
}

/// Build: Circumstances | code that does not compile, packages and flags that are wrong | refused with the messages and exit codes of a plain build
#[test]
fn errors_are_the_ones_of_a_plain_build() {
    let sandbox = shop();
    let same = |arguments: &[&str]| {
        let (plain, woven) = (sandbox.plain(arguments), sandbox.woven(arguments).without_warnings());
        assert_eq!(plain, woven, "go {arguments:?}");
        assert_ne!(plain.code, Some(0));
    };
    // An undefined name, a wrong type on the line with the span's text, an unused import, in and below the working folder.
    sandbox
        .write("biz/biz.go", &BIZ.replace("amount > 100", "amout > 100").replace("{ panic(\"no\") }", "{ panic(no) }"));
    for arguments in [["build", "./..."], ["vet", "./..."], ["test", "./..."], ["build", "./biz"]] {
        same(&arguments);
    }
    same(&["build", "-C", "biz", "."]);
    same(&["vet", "-json", "./biz"]);
    sandbox.write("main.go", &MAIN.replace("\"bufio\"", "\"bufio\"\n\t\"time\""));
    sandbox.write("biz/biz.go", BIZ);
    same(&["build", "."]);
    same(&["run", "."]);
    // Text that does not parse, packages that are not there, flags that are wrong.
    sandbox.write("biz/biz.go", &format!("{BIZ}}}\n"));
    same(&["build", "./..."]);
    same(&["vet", "./..."]);
    sandbox.write("biz/biz.go", &BIZ.replace("\"errors\"", "\"example.com/gone\""));
    same(&["build", "./..."]);
    same(&["build", "-nonsense"]);
    same(&["build", "./nowhere"]);
    same(&["build", "-v", "-C", "biz"]);
    same(&["build", "-C", "nowhere"]);
}

#[test]
fn a_wrong_expression_is_reported_with_the_functions_line() {
    let sandbox = shop();
    sandbox.write("biz/biz.go", &BIZ.replace("amount=amount", "amount=nope"));
    let run = sandbox.woven(&["build", "./biz"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("biz/biz.go:9:") && run.stderr.contains("undefined: nope"), "{run:?}");
    assert!(!run.stderr.contains("weave-cache"), "{run:?}");
}

/// Build: Flags | `go test -cover`, `-coverprofile`, `-coverpkg=./...`, each `-covermode` | woven; the profile is that of a plain build
#[test]
fn coverage_is_that_of_a_plain_build() {
    let sandbox = shop();
    for mode in ["set", "count", "atomic"] {
        let profile = |run: &dyn Fn(&[&str]) -> Run, name: &str| {
            let out = format!("-coverprofile=../{name}");
            let run = run(&["test", "-count=1", "-covermode", mode, "-coverpkg=./...", &out, "./biz"]).ok();
            let percentage = run.stdout.split("coverage:").nth(1).map(str::to_owned);
            (percentage, fs::read_to_string(sandbox.beside(name)).expect("the profile was written"))
        };
        let plain = profile(&|arguments| sandbox.plain(arguments), "plain");
        let woven = profile(&|arguments| sandbox.woven(arguments), "woven");
        assert_eq!(plain, woven, "{mode}");
        assert!(plain.0.is_some_and(|text| !text.contains(" 0.0%")), "{mode}: nothing is covered");
    }
    // That the covered code is woven: its directive's expression must be compiled.
    sandbox.write("biz/biz.go", &BIZ.replace("amount=amount", "amount=nope"));
    let run = sandbox.woven(&["test", "-cover", "./biz"]);
    assert!(run.stdout.contains("undefined: nope") || run.stderr.contains("undefined: nope"), "{run:?}");
}

#[test]
fn two_folders_give_the_same_binary_with_trimpath() {
    let (one, two) = (shop(), shop());
    for sandbox in [&one, &two] {
        sandbox.woven(&["build", "-trimpath", "-o", "../woven", "."]).ok();
    }
    let binary = |sandbox: &Sandbox| fs::read(sandbox.beside("woven")).expect("it was built");
    assert!(binary(&one) == binary(&two));
    let text = String::from_utf8_lossy(&binary(&one)).into_owned();
    assert!(
        !text.contains("weave-cache") && !text.contains(&*one.path().to_string_lossy()),
        "a path of this machine is in the binary"
    );
}

#[test]
fn the_binary_says_that_it_is_woven_and_nothing_of_the_cache() {
    let sandbox = shop();
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    let woven = sandbox.plain(&["version", "-m", "../woven"]).ok().stdout;
    assert!(woven.contains("\tbuild\t-tandem=") && woven.contains("runtime.slot"), "{woven}");
    sandbox.plain(&["build", "-o", "../plain", "."]).ok();
    let plain = sandbox.plain(&["version", "-m", "../plain"]).ok().stdout.replace("../plain", "../woven");
    let rest: String = woven.split_inclusive('\n').filter(|line| !line.contains("-tandem")).collect();
    assert_eq!(rest, plain);
    let bytes = fs::read(sandbox.beside("woven")).expect("it was built");
    assert!(!String::from_utf8_lossy(&bytes).contains("weave-cache"));
}

#[test]
fn users_overlay_and_module_file_are_merged() {
    let sandbox = shop();
    let replaced = sandbox.beside("other.go");
    fs::write(&replaced, BIZ.replace("return amount, nil", "return amount + 1000, nil")).expect("writable");
    let json = format!("{{\"Replace\": {{\"biz/biz.go\": {:?}}}}}", replaced.display().to_string());
    fs::write(sandbox.beside("overlay.json"), json).expect("writable");
    fs::write(sandbox.beside("other.mod"), GO_MOD.replace("example.com/shop", "example.com/shop // other"))
        .expect("writable");
    let arguments = ["build", "-overlay", "../overlay.json", "-modfile=../other.mod", "-o", "../woven", "."];
    sandbox.woven(&arguments).ok();
    let run = Run::of(std::process::Command::new(sandbox.beside("woven")).stdin(Stdio::null()).output().expect("runs"));
    assert!(run.stdout.contains("1000 <nil>"), "{run:?}");
    let symbols = sandbox.plain(&["tool", "nm", "../woven"]).ok().stdout;
    assert!(symbols.contains("example.com/shop/biz.tandemOp1_biz"), "the overlay's text was not woven");
}

/// Build: Circumstances | two builds at once | woven, the same binary
#[test]
fn two_builds_at_once_in_a_new_cache() {
    let mut sandbox = shop();
    sandbox.cache = sandbox.beside("cache");
    let children: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| {
            sandbox
                .weave_command(&["go", "build", "-o", &format!("../{name}"), "."])
                .stderr(Stdio::piped())
                .spawn()
                .expect("starts")
        })
        .collect();
    for child in children {
        Run::of(child.wait_with_output().expect("ends")).ok();
    }
    assert!(fs::read(sandbox.beside("one")).expect("built") == fs::read(sandbox.beside("two")).expect("built"));
    assert_eq!(fs::read_dir(sandbox.cache.join("unfinished")).expect("there").count(), 0);
}

/// Build: Circumstances | Ctrl-C | reaches the program that runs
#[test]
fn an_interrupt_reaches_the_program_and_leaves_nothing() {
    let sandbox = Sandbox::new(&[
        ("go.mod", GO_MOD),
        (
            "main.go",
            "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"os/signal\"\n\t\"time\"\n)\n\nfunc main() {\n\tc := make(chan os.Signal, 1)\n\tsignal.Notify(c, os.Interrupt)\n\tfmt.Println(\"ready\")\n\tselect {\n\tcase <-c:\n\t\tfmt.Println(\"interrupted\")\n\t\tos.Exit(3)\n\tcase <-time.After(time.Minute):\n\t}\n}\n",
        ),
    ]);
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    let mut command = sandbox.weave_command(&["go", "run", "."]);
    let mut child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("it says something").expect("text"), "ready");
    // As a terminal does: to the whole foreground group.
    let group = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a pid");
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).expect("it runs");
    assert_eq!(lines.next().expect("it says something").expect("text"), "interrupted");
    let status = child.wait().expect("ends");
    assert_eq!(
        (status.code(), status.signal()),
        (Some(1), None),
        "go run ends with 1 when its program does not end with 0"
    );
}

/// Build: Circumstances | a build killed in the middle | the next one is woven, what was half done is not used
#[test]
fn a_build_killed_in_the_middle_leaves_nothing_that_is_used() {
    let mut sandbox = shop();
    sandbox.cache = sandbox.beside("cache");
    let mut child =
        sandbox.weave_command(&["go", "build", "-o", "../woven", "."]).stderr(Stdio::null()).spawn().expect("starts");
    let unfinished = sandbox.cache.join("unfinished");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_dir(&unfinished).map_or(0, Iterator::count) == 0
        && Instant::now() < deadline
        && child.try_wait().expect("ours").is_none()
    {
        std::thread::yield_now();
    }
    child.kill().expect("ours");
    child.wait().expect("ours");
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    sandbox.woven(&["vet", "."]).ok();
}
