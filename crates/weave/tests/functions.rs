//! Scenario: `functions:` in `tandem.yaml`. Guarantee: the program does what it does plain, with the race detector and in
//! coverage too; `explain` says what became of each function; wrong words show their line.
//!
//! That functions can be switched on is tested where an agent is: `crates/tandem/tests/e2e/functions.rs`.

mod common;
#[path = "modes/proxy.rs"]
mod proxy;

use std::fs;
use std::path::Path;

use common::{Run, Sandbox};
use proxy::Proxy;

/// The program that the end-to-end tests switch.
fn program() -> Sandbox {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/functions/main.go");
    let main = fs::read_to_string(source).expect("the program is there");
    Sandbox::new(&[
        ("go.mod", "module example.com/f\n\ngo 1.21\n"),
        ("main.go", &main),
        ("main_test.go", TEST),
        (
            "tandem.yaml",
            "functions:\n  - packages: [./...]\n    leaves: true\n    min_statements: 1\n    arguments: true\n",
        ),
    ])
}

const TEST: &str = r#"package main

import "testing"

func TestAnswers(t *testing.T) {
	for word, want := range map[string]any{"recursion": 21, "closure": 9, "panics": "on purpose", "exits": "exited", "goroutines": 28} {
		if got := answer(word, 8); got != want {
			t.Errorf("%s: %v", word, got)
		}
	}
}
"#;

#[test]
fn a_program_does_what_it_did() {
    let sandbox = program();
    let contents = sandbox.contents();
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    assert_eq!(sandbox.contents(), contents);
    let plain = sandbox.plain(&["test", "-cover", "."]).ok();
    let woven = sandbox.woven(&["test", "-cover", "."]).ok();
    let share = |text: &str| text.split_once("coverage: ").map(|(_, rest)| rest.to_owned());
    assert_eq!(share(&plain.stdout), share(&woven.stdout), "{plain:?} {woven:?}");
    assert_eq!(sandbox.plain(&["vet", "."]), sandbox.woven(&["vet", "."]).without_warnings());
}

/// A load of the table, a look at the switch, a branch; and no `defer` in the function itself.
#[test]
fn a_function_that_is_off_costs_a_branch() {
    if !cfg!(target_arch = "x86_64") {
        return common::skip("functions a_function_that_is_off_costs_a_branch", "it reads the code of amd64");
    }
    let sandbox = program();
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    let code = sandbox.plain(&["tool", "objdump", "-s", "^main.fibonacci$", "../woven"]).ok().stdout;
    let instructions: Vec<&str> = code.lines().filter(|line| !line.contains("NOP")).collect();
    let compare = instructions.iter().position(|line| line.contains("CMPW") && line.contains("$0x0"));
    let compare = compare.unwrap_or_else(|| panic!("it does not look at its switch: {code}"));
    // objdump names the table, unless it lies where the data begin.
    let loads = instructions[compare - 1].contains("(IP)") || instructions[compare - 1].contains("tandemFunctions");
    assert!(loads && instructions[compare + 1].contains("\tJ"), "{code}");
    assert!(!code.contains("deferreturn"), "{code}");
}

#[test]
fn explain_says_what_became_of_each() {
    let sandbox = program();
    let explained = |run: Run| run.ok().stdout;
    let run = Run::of(sandbox.weave_command(&["explain", "."]).output().expect("starts"));
    let text = explained(run);
    assert!(text.contains("+ function main.(*counter).add, dormant\n    "), "{text}");
    assert!(text.contains("- function main.main, left out: it runs before anybody could switch it on\n"), "{text}");
}

/// Packages of a module that a folder replaces, named by their import path; one that is nowhere is a warning.
#[test]
fn packages_of_other_modules_are_named() {
    let library = "package lib\n\nimport \"fmt\"\n\nfunc Hello(name string) string {\n\ttext := fmt.Sprint(name)\n\ttext += \"!\"\n\treturn text\n}\n";
    let sandbox = Sandbox::new(&[
        (
            "go.mod",
            "module example.com/x\n\ngo 1.21\n\nrequire example.org/lib v1.0.0\n\nreplace example.org/lib => ./lib\n",
        ),
        ("main.go", "package main\n\nimport \"example.org/lib\"\n\nfunc main() { println(lib.Hello(\"x\")) }\n"),
        ("lib/go.mod", "module example.org/lib\n\ngo 1.21\n"),
        ("lib/lib.go", library),
        ("tandem.yaml", "functions:\n  - packages: [example.org/lib/...]\n  - packages: [./gone, example.org/other]\n"),
    ]);
    let run = sandbox.woven(&["build", "-o", "../x", "."]).ok();
    let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.contains("functions:")).collect();
    assert_eq!(warnings.len(), 2, "{run:?}");
    assert!(warnings[0].contains("./gone is no package") && warnings[1].contains("example.org/other"), "{run:?}");
    let names = sandbox.plain(&["tool", "nm", "../x"]).ok().stdout;
    assert!(names.contains("example.org/lib.tandemCall0_lib"), "{names}");
}

const LIBRARY: &str = r#"package lib

import "fmt"

type Greeter struct{ word string }

func New(word string) *Greeter { return &Greeter{word} }

func (g *Greeter) Hello(name string, n int) (string, error) {
	text := fmt.Sprint(g.word, " ", name)
	for range make([]int, n) {
		text += "!"
	}
	return text, nil
}

func Seen(names ...string) string {
	all := ""
	for _, name := range names {
		all += name
	}
	return all
}
"#;

/// Scenario: a library in the module cache, named in `functions:`, with a pack that weaves one of its files too. Guarantee: its
/// functions are woven by the same rules as own ones, however the module gets into the build; the program does what it did.
#[test]
fn functions_of_a_library_are_woven() {
    let main = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.net/lib\"\n\t\"example.net/lib/deep\"\n)\n\nfunc main() {\n\tfmt.Println(lib.New(\"hello\").Hello(\"you\", 2))\n\tfmt.Println(lib.Seen(\"a\", \"b\"), deep.Sum(1, 2))\n}\n";
    let rule = "pack: seen\nmodule: example.net/lib\nrules:\n  - id: seen.seen\n    target: example.net/lib\n    add_files: [tandem_seen.go]\n    where: {func: Seen}\n    do: {call_before: tandemSeen}\n";
    let hook = "package lib\n\nfunc tandemSeen(names ...string) { println(\"seen\", len(names)) }\n";
    let mut sandbox = Sandbox::new(&[
        ("go.mod", "module example.com/app\n\ngo 1.21\n\nrequire example.net/lib v1.2.0\n"),
        ("main.go", main),
        ("pack/pack.yaml", rule),
        ("pack/hooks/tandem_seen.go", hook),
    ]);
    let proxy = Proxy::new(sandbox.beside("proxy"));
    let deep = "package deep\n\nfunc Sum(numbers ...int) (sum int) {\n\tfor _, number := range numbers {\n\t\tsum += number\n\t}\n\treturn sum\n}\n";
    let files = [("go.mod", "module example.net/lib\n\ngo 1.21\n"), ("lib.go", LIBRARY), ("deep/deep.go", deep)];
    proxy.publish("example.net/lib", "v1.2.0", &files);
    sandbox.set("GOPROXY", proxy.url());
    sandbox.set("GONOSUMDB", "*");
    sandbox.set("GOMODCACHE", sandbox.beside("modules").display().to_string());
    sandbox.set("GOFLAGS", "-modcacherw -buildvcs=false -p=2");
    sandbox.plain(&["mod", "tidy"]).ok();
    let plain = sandbox.plain(&["run", "."]).ok().stdout;
    let functions = |packages: &str| {
        sandbox.write("tandem.yaml", &format!("packs: [./pack]\nfunctions:\n  - packages: [{packages}]\n"))
    };
    let built = |flags: &[&str]| {
        let run = sandbox.woven(&[&["build", "-o", "../app"], flags, &["."]].concat()).ok();
        let ran = sandbox.run("../app").ok();
        assert_eq!((ran.stdout, ran.stderr), (plain.clone(), "seen 2\n".to_owned()), "{flags:?}");
        assert!(!run.stderr.contains("functions:"), "{flags:?} {}", run.stderr);
        sandbox.plain(&["tool", "nm", "../app"]).ok().stdout
    };
    let calls = ["lib.(*Greeter).tandemCall0_lib", "lib.tandemCall1_lib", "lib/deep.tandemCall0_deep"];
    let is_woven = |names: &str| calls.map(|call| names.contains(&format!("example.net/{call}")));

    functions("example.net/lib/..., ./...");
    for flags in [&[][..], &["-trimpath"], &["-mod=mod"]] {
        assert_eq!(is_woven(&built(flags)), [true; 3], "{flags:?}");
    }
    let explained = Run::of(sandbox.weave_command(&["explain", "."]).output().expect("starts")).ok().stdout;
    for line in [
        "+ function lib.(*Greeter).Hello, dormant\n",
        "- function lib.New, left out: it has 1 statements, fewer than min_statements\n",
        "modules/example.net/lib@v1.2.0/lib.go:9\n",
    ] {
        assert!(explained.contains(line), "no {line:?} in {explained}");
    }
    // By the organisation's path, and one package alone.
    functions("example.net/...");
    assert_eq!(is_woven(&built(&[])), [true; 3]);
    functions("example.net/lib/deep");
    assert_eq!(is_woven(&built(&[])), [false, false, true]);
    // Folders and everything are one's own.
    functions("./..., ...");
    assert_eq!(is_woven(&built(&[])), [false; 3]);

    functions("example.net/lib/...");
    sandbox.plain(&["mod", "vendor"]).ok();
    assert_eq!(is_woven(&built(&[])), [true; 3]);
}

#[test]
fn wrong_words_show_their_line() {
    let sandbox = program();
    let refused = |text: &str| {
        sandbox.write("tandem.yaml", text);
        let run = sandbox.woven(&["build", "."]);
        assert_eq!(run.code, Some(3), "{run:?}");
        run.stderr
    };
    let rule = "functions:\n  - packages: [./...]\n";
    for (text, words) in [
        (format!("{rule}    nmaes: [x]\n"), ["unknown field `nmaes`", "tandem.yaml:3"]),
        (format!("{rule}    names: [\"a b\"]\n"), ["is no pattern of functions", "tandem.yaml:3"]),
        (format!("{rule}    min_statements: many\n"), ["tandem.yaml:3", "invalid u64"]),
        ("functions:\n  - packages: [../other]\n".to_owned(), ["is no pattern of packages", "tandem.yaml:2"]),
        ("functions:\n  - names: [x]\n".to_owned(), ["missing field `packages`", "tandem.yaml:2"]),
    ] {
        let message = refused(&text);
        for word in words {
            assert!(message.contains(word), "{text}: no {word:?} in {message}");
        }
    }
}
