//! Scenario: a program that uses a third-party module: from the module cache, vendored, in a workspace, replaced by a
//! folder. Guarantee: the module is woven, the program's own rules and comments too, and nothing of the user's is changed.
//!
//! Needs Go, and the module proxy where github.com/go-chi/chi/v5 is not in the module cache.

mod common;

use std::fs;
use std::path::Path;

use common::{Sandbox, copy};

const MAIN: &str = r#"package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"

	"github.com/go-chi/chi/v5"
)

//tandem:span
func main() {
	r := chi.NewRouter()
	r.Get("/x/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, file, line, _ := runtime.Caller(1)
		fmt.Println(file, line, chi.URLParam(r, "id"))
	})
	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x/1", nil))
}
"#;
const PACK: &str = r#"
pack: chi
module: github.com/go-chi/chi/v5
rules:
  - id: chi.route
    description: the route
    target: github.com/go-chi/chi/v5
    version: ">=5.0.0, <6.0.0"
    add_files: [tandem_chi.go]
    edits:
      - where: {func: ServeHTTP, recv: "*Mux"}
        do: {enter: "tandemSeen($1)"}
  - id: chi.later
    target: github.com/go-chi/chi/v5
    version: ">=6"
  - id: chi.middleware
    target: github.com/go-chi/chi/v5/middleware
    edits:
      - where: {func: Logger}
        do: {enter: "_ = $0"}
"#;
const HOOK: &str =
    "package chi\n\nimport \"net/http\"\n\nfunc tandemSeen(r *http.Request) { println(\"woven\", r.URL.Path) }\n";

fn program() -> Sandbox {
    let go_mod = "module example.com/shop\n\ngo 1.22\n\nrequire github.com/go-chi/chi/v5 v5.2.1\n";
    let mut sandbox = Sandbox::new(&[("go.mod", go_mod), ("main.go", MAIN)]);
    let pack = sandbox.beside("pack");
    fs::create_dir_all(pack.join("hooks")).expect("writable");
    fs::write(pack.join("pack.yaml"), PACK).expect("writable");
    fs::write(pack.join("hooks/tandem_chi.go"), HOOK).expect("writable");
    sandbox.set("TANDEM_PACKS", pack.display().to_string());
    sandbox.plain(&["mod", "tidy"]).ok();
    sandbox
}

/// Runs the program plain and woven, and compares what it prints but for the hook's line.
fn is_woven_like_plain(sandbox: &Sandbox, arguments: &[&str]) {
    let before = sandbox.contents();
    let plain = sandbox.plain(&[&["run"], arguments].concat()).ok();
    let woven = sandbox.woven(&[&["run"], arguments].concat()).without_warnings().ok();
    assert_eq!(plain.stdout, woven.stdout);
    assert_eq!(woven.stderr, "woven /x/1\n");
    sandbox.woven(&[&["vet"], arguments].concat()).ok();
    sandbox.woven(&[&["test", "-cover", "-coverpkg=./...,github.com/go-chi/chi/v5"], arguments].concat()).ok();
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

#[test]
fn from_the_module_cache_network() {
    let sandbox = program();
    is_woven_like_plain(&sandbox, &["."]);
    is_woven_like_plain(&sandbox, &["-mod=mod", "."]);
    sandbox.woven(&["build", "-o", "../binary", "."]).ok();
    let woven = sandbox.plain(&["version", "-m", "../binary"]).ok().stdout;
    sandbox.plain(&["build", "-o", "../binary", "."]).ok();
    let plain = sandbox.plain(&["version", "-m", "../binary"]).ok().stdout;
    assert!(woven.contains("chi.route") && !woven.contains("chi.middleware"), "only what is linked is owned: {woven}");
    let rest: String = woven.split_inclusive('\n').filter(|line| !line.contains("-tandem")).collect();
    assert_eq!(rest, plain);
}

#[test]
fn vendored_network() {
    let sandbox = program();
    sandbox.plain(&["mod", "vendor"]).ok();
    is_woven_like_plain(&sandbox, &["."]);
    is_woven_like_plain(&sandbox, &["-mod=vendor", "."]);
}

#[test]
fn in_a_workspace_network() {
    let sandbox = program();
    for (path, text) in
        [("go.mod", "module example.com/lib\n\ngo 1.22\n"), ("lib.go", "package lib\n\n//tandem:span\nfunc F() {}\n")]
    {
        sandbox.write(&format!("lib/{path}"), text);
    }
    sandbox.write("go.work", "go 1.22\n\nuse (\n\t.\n\t./lib\n)\n");
    sandbox.write(
        "main.go",
        &MAIN.replace("import (", "import (\n\t\"example.com/lib\"").replace("r := chi", "lib.F()\n\tr := chi"),
    );
    is_woven_like_plain(&sandbox, &["."]);
    sandbox.plain(&["work", "vendor"]).ok();
    is_woven_like_plain(&sandbox, &["."]);
}

#[test]
fn replaced_by_a_folder_network() {
    let sandbox = program();
    let dir = sandbox.plain(&["list", "-m", "-f", "{{.Dir}}", "github.com/go-chi/chi/v5"]).ok().stdout;
    copy(Path::new(dir.trim()), &sandbox.path().join("fork"));
    let fork = fs::read_to_string(sandbox.path().join("fork/mux.go")).expect("chi has it");
    sandbox.write("fork/mux.go", &format!("{fork}\n// a fork\n"));
    let go_mod = fs::read_to_string(sandbox.path().join("go.mod")).expect("there");
    sandbox.write("go.mod", &format!("{go_mod}\nreplace github.com/go-chi/chi/v5 => ./fork\n"));
    is_woven_like_plain(&sandbox, &["."]);
}

#[test]
fn developed_in_the_workspace_network() {
    let sandbox = program();
    let dir = sandbox.plain(&["list", "-m", "-f", "{{.Dir}}", "github.com/go-chi/chi/v5"]).ok().stdout;
    copy(Path::new(dir.trim()), &sandbox.path().join("chi"));
    sandbox.write("go.work", "go 1.22\n\nuse (\n\t.\n\t./chi\n)\n");
    is_woven_like_plain(&sandbox, &["."]);
    // The library's own tests see its hooks too.
    let woven = sandbox.woven(&["test", "-v", "-run", "TestMuxBasic", "./chi"]).ok();
    assert!(woven.stdout.contains("woven /"), "{woven:#?}");
}

#[test]
fn errors_in_the_users_code_beside_a_woven_module_network() {
    let sandbox = program();
    sandbox.write("main.go", &MAIN.replace("r.Get(", "r.Gett("));
    assert_eq!(sandbox.plain(&["build", "."]), sandbox.woven(&["build", "."]).without_warnings());
    sandbox.write("go.mod", "module example.com/shop\n\ngo 1.22\n\nrequire github.com/go-chi/chi/v5 v5.2.1 oops\n");
    assert_eq!(sandbox.plain(&["build", "."]), sandbox.woven(&["build", "."]).without_warnings());
}

#[test]
fn explain_says_where_and_why_not_network() {
    let sandbox = program();
    let output = common::Run::of(sandbox.weave_command(&["explain", "./..."]).output().expect("starts")).ok();
    let after = |rule: &str| {
        let mut lines =
            output.stdout.lines().skip_while(|line| !line.get(2..).is_some_and(|line| line.starts_with(rule)));
        format!("{} {}", lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
    };
    assert!(
        after("chi.route ").starts_with("+ ") && after("chi.route ").contains("github.com/go-chi/chi/v5/mux.go:"),
        "{output:?}"
    );
    assert!(after("chi.later ").contains("is for versions >=6, this is github.com/go-chi/chi/v5 v5.2.1"), "{output:?}");
    assert!(after("chi.middleware ").contains("not imported by this program"), "{output:?}");
    assert!(after("span \"main.main\"").contains("main.go:13"), "{output:?}");
    assert!(after("runtime.slot ").starts_with("+ "), "{output:?}");
}

#[test]
fn rules_for_the_users_own_packages() {
    let mut sandbox = Sandbox::new(&[
        ("go.mod", "module shop\n\ngo 1.22\n"),
        ("main.go", "package main\n\nimport \"shop/biz\"\n\nfunc main() { biz.Pay() }\n"),
        ("biz/biz.go", "package biz\n\nfunc Pay() {}\n\n//tandem:ignore\nfunc Quiet() {}\n"),
        ("tandem.yaml", "packs: [observe]\ndisable: [own.quiet]\n"),
        (
            "observe/pack.yaml",
            "pack: own\nrules:\n  - id: own.pay\n    target: shop/biz\n    add_files: [tandem_own.go]\n    edits:\n      - where: {func: Pay}\n        do: {enter: \"tandemPaid()\"}\n  - id: own.quiet\n    target: shop/biz\n    edits:\n      - where: {func: Gone}\n        do: {enter: \"x()\"}\n",
        ),
        ("observe/hooks/tandem_own.go", "package biz\n\nfunc tandemPaid() { println(\"paid\") }\n"),
    ]);
    sandbox.set("GO111MODULE", "on");
    let run = sandbox.woven(&["run", "."]).ok();
    assert!(run.stderr.ends_with("paid\n") && !run.stderr.contains("own.quiet"), "{run:?}");
}
