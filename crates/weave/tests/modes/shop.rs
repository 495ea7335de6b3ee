//! The program that most tests build: its own packages, a module from a proxy, and a package of the standard library, each
//! with a hook that says that it was woven, on standard error, when its function is called.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Run, Sandbox};
use crate::proxy::Proxy;

pub const GO_MOD: &str = "module example.com/shop\n\ngo 1.21\n\nrequire example.net/dep v1.1.0\n";
pub const MAIN: &str = r#"package main

import (
	"container/ring"
	"fmt"
	"os"

	"example.com/shop/biz"
	"example.net/dep"
)

// Word is set by -ldflags.
var Word = "none"

func main() {
	fmt.Println(ring.New(2).Len(), biz.Pay(3), dep.Name(), Word, biz.Tagged, os.Args[1:])
}
"#;
pub const BIZ: &str = r#"// Package biz is what the shop is about.
package biz

// Pay pays.
//
//tandem:span pay amount=amount
func Pay(amount int) int {
	if amount > 100 {
		return 0
	}
	return twice(amount)
}

func twice(amount int) int { return 2 * amount }
"#;
const BIZ_TEST: &str = r#"package biz

import (
	"fmt"
	"testing"
)

func TestPay(t *testing.T) {
	if Pay(3) != 6 {
		t.Fatal(Pay(3))
	}
}

func TestFails(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	t.Error("as it should")
}

func BenchmarkPay(b *testing.B) {
	for i := 0; i < b.N; i++ {
		twice(i)
	}
}

func ExamplePay() {
	fmt.Println(Pay(1))
	// Output: 2
}

func FuzzPay(f *testing.F) {
	f.Add(1)
	f.Fuzz(func(t *testing.T, amount int) {
		if twice(amount)%2 != 0 {
			t.Fatal(amount)
		}
	})
}
"#;
const EXTERNAL_TEST: &str = r#"package biz_test

import (
	"testing"

	"example.com/shop/biz"
)

func TestFromOutside(t *testing.T) {
	if outside() != 10 {
		t.Fatal(outside())
	}
}

//tandem:span
func outside() int { return biz.Pay(5) }
"#;
/// What the hooks say when all of them are woven.
pub const WOVEN: [&str; 3] = ["woven biz.Pay", "woven dep.Name", "woven ring.New"];

/// Packs for the three, and the module proxy with two versions of `example.net/dep`, its fork, and a tool.
pub fn with_packs(sandbox: &mut Sandbox) {
    let packs = [
        ("ring", "", "container/ring", "New", "", "ring"),
        ("biz", "", "example.com/shop/biz", "Pay", "", "biz"),
        ("dep", "module: example.net/dep\n", "example.net/dep", "Name", "    version: \">=1.1.0\"\n", "dep"),
    ];
    let mut folders = Vec::new();
    for (name, module, target, func, version, package) in packs {
        let dir = sandbox.beside("packs").join(name);
        fs::create_dir_all(dir.join("hooks")).expect("writable");
        let rule = format!(
            "pack: seen-{name}\n{module}rules:\n  - id: seen.{name}\n    target: {target}\n{version}    add_files: [tandem_seen.go]\n    edits:\n      - where: {{func: {func}}}\n        do: {{enter: \"tandemSeen()\"}}\n"
        );
        fs::write(dir.join("pack.yaml"), rule).expect("writable");
        let hook = format!("package {package}\n\nfunc tandemSeen() {{ println(\"woven {package}.{func}\") }}\n");
        fs::write(dir.join("hooks/tandem_seen.go"), hook).expect("writable");
        folders.push(dir.display().to_string());
    }
    sandbox.set("TANDEM_PACKS", folders.join(":"));
    let proxy = Proxy::new(sandbox.beside("proxy"));
    publish(&proxy);
    sandbox.set("GOPROXY", proxy.url());
    sandbox.set("GONOSUMDB", "example.net");
    sandbox.set("GOMODCACHE", sandbox.beside("modules").display().to_string());
    sandbox.set("GOFLAGS", "-buildvcs=false -p=2 -modcacherw");
}

fn publish(proxy: &Proxy) {
    for (module, version) in
        [("example.net/dep", "v1.0.0"), ("example.net/dep", "v1.1.0"), ("example.net/fork", "v0.3.0")]
    {
        let name =
            format!("package dep\n\n// Name is {module}.\nfunc Name() string {{ return \"{module} {version}\" }}\n");
        let manifest = format!("module {module}\n\ngo 1.21\n");
        let license = ("LICENSE", "none\n");
        proxy.publish(module, version, &[("go.mod", &manifest), ("name.go", &name), license]);
    }
    let main = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\n\t\"example.net/dep\"\n)\n\nfunc main() { fmt.Println(dep.Name(), os.Args[1:]) }\n";
    let manifest = "module example.net/tool\n\ngo 1.21\n\nrequire example.net/dep v1.1.0\n";
    proxy.publish("example.net/tool", "v1.0.0", &[("go.mod", manifest), ("cmd/greet/main.go", main)]);
}

/// The program, ready to build.
pub fn shop() -> Sandbox {
    let mut sandbox = Sandbox::new(&[
        ("go.mod", GO_MOD),
        ("main.go", MAIN),
        ("biz/biz.go", BIZ),
        (
            "biz/plain.go",
            "//go:build !fancy\n\npackage biz\n\n// Tagged says which tags were set.\nconst Tagged = \"plain\"\n",
        ),
        (
            "biz/fancy.go",
            "//go:build fancy\n\npackage biz\n\n// Tagged says which tags were set.\nconst Tagged = \"fancy\"\n",
        ),
        ("biz/biz_test.go", BIZ_TEST),
        ("biz/outside_test.go", EXTERNAL_TEST),
    ]);
    with_packs(&mut sandbox);
    sandbox.plain(&["mod", "tidy"]).ok();
    sandbox
}

/// Standard error of a woven program: what the hooks said, sorted and each once, and the rest.
pub fn said(run: Run) -> (Vec<String>, Run) {
    let mut run = without_chance(run.without_warnings());
    let spoken =
        |line: &str| line.find("woven ").map(|at| line[at..].trim_end_matches(['}', '"', 'n', '\\']).to_owned());
    let is_hook = |line: &&str| line.starts_with("woven ") || line.contains("\"Output\":\"woven ");
    let mut hooks: Vec<String> =
        run.stderr.lines().chain(run.stdout.lines()).filter(is_hook).filter_map(spoken).collect();
    hooks.sort();
    hooks.dedup();
    let rest = |text: &str| text.split_inclusive('\n').filter(|line| !is_hook(line)).collect();
    (run.stderr, run.stdout) = (rest(&run.stderr), rest(&run.stdout));
    (hooks, run)
}

/// Without what differs from run to run: who comes first downloads, and builds happen in folders with a number.
fn without_chance(mut run: Run) -> Run {
    run.stderr = run.stderr.split_inclusive('\n').filter(|line| !line.starts_with("go: downloading ")).collect();
    for text in [&mut run.stdout, &mut run.stderr] {
        let mut pieces = text.split("go-build");
        let first = pieces.next().unwrap_or_default().to_owned();
        *text = pieces
            .fold(first, |text, piece| text + "go-build" + piece.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    run
}

/// Runs the same command plain and woven: the same result but for what the hooks say, which is given back, and nothing of
/// the user's has changed.
#[track_caller]
pub fn same(sandbox: &Sandbox, arguments: &[&str]) -> (Vec<String>, Run) {
    let plain = without_chance(sandbox.plain(arguments));
    let before = sandbox.contents();
    let (hooks, woven) = said(sandbox.woven(arguments));
    assert_eq!(plain, woven, "go {arguments:?}");
    let after = sandbox.contents();
    let changed: Vec<_> = after.iter().filter(|(path, text)| before.get(*path) != Some(text)).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "go {arguments:?} has changed {changed:?}");
    (hooks, woven)
}

/// Builds with these flags plain and woven, runs both programs, and compares; all three hooks must have spoken.
#[track_caller]
pub fn builds_like_plain(sandbox: &Sandbox, flags: &[&str]) -> Run {
    let run = built_like_plain(sandbox, flags);
    let (hooks, woven) = said(run);
    assert_eq!(hooks, WOVEN, "go build {flags:?}");
    woven
}

/// The same, whatever the hooks say.
#[track_caller]
pub fn built_like_plain(sandbox: &Sandbox, flags: &[&str]) -> Run {
    let plain = without_chance(sandbox.plain(&[&["build", "-o", "../plain"], flags, &["."]].concat()).ok());
    let before = sandbox.contents();
    let woven = sandbox.woven(&[&["build", "-o", "../woven"], flags, &["."]].concat()).ok();
    let woven = without_chance(woven.without_warnings());
    assert_eq!(plain, woven, "go build {flags:?}");
    assert!(before == sandbox.contents(), "go build {flags:?} has changed the user's tree");
    let (plain, woven) = (sandbox.run("../plain"), sandbox.run("../woven"));
    assert_eq!((plain.code, &plain.stdout), (woven.code, &woven.stdout), "built with {flags:?}");
    woven
}

/// `go version -m` without our own lines, for comparison; `name` stands for the file.
#[track_caller]
pub fn build_information(sandbox: &Sandbox, file: &str) -> (Vec<String>, String) {
    let text = sandbox.plain(&["version", "-m", file]).ok().stdout;
    let (ours, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains("\t-tandem"));
    let rest = rest.join("\n").replacen(file, "FILE", 1);
    (ours.into_iter().map(str::to_owned).collect(), rest)
}

/// The woven binary is marked, and otherwise says of itself what the plain one says.
#[track_caller]
pub fn same_information(sandbox: &Sandbox, plain: &str, woven: &str) {
    let (marks, woven) = build_information(sandbox, woven);
    assert!(marks.iter().any(|line| line.contains("runtime.slot")), "not woven: {marks:?}");
    assert_eq!(build_information(sandbox, plain), (Vec::new(), woven));
}

/// A command that is not go.
pub fn other(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PathBuf::from(program));
    command.args(arguments);
    command
}
