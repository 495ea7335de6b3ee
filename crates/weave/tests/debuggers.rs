//! Scenario: a woven program under Delve, in `go tool pprof`, and stripped or in another format; its source in gopls. Guarantee:
//! breakpoints are set by the user's lines in their own code, the standard library and a third-party module, variables are
//! shown, sources are the user's; the manifest is always there.
//!
//! `make test-debuggers`: builds Delve and gopls from their modules, which takes minutes the first time. Needs Go, ptrace, and
//! the module proxy.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, Sandbox, skip};

const DELVE: &str = "github.com/go-delve/delve/cmd/dlv@v1.27.2";
const GOPLS: &str = "golang.org/x/tools/gopls@v0.23.0";
const GO_MOD: &str = "module example.com/shop\n\ngo 1.24\n\nrequire github.com/google/uuid v1.6.0\n";
const MAIN: &str = r#"package main

import (
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/google/uuid"
)

type order struct {
	item  string
	count int
}

//tandem:span pay count=o.count
func pay(o order) int {
	total := o.count * 7 // line 19
	return total
}

//tandem:span
func burn(until time.Time) (rounds int) {
	for time.Now().Before(until) {
		rounds++ // the line that burns
	}
	return rounds
}

func main() {
	if len(os.Args) > 1 {
		file, _ := os.Create(os.Args[1])
		pprof.StartCPUProfile(file)
		burn(time.Now().Add(time.Second))
		pprof.StopCPUProfile()
	}
	println(pay(order{"book", 3}))
	uuid.FromBytes([]byte("sixteen bytes...")) // not called by the module itself
	slog.Info("done")
}
"#;
const PACK: &str = "pack: uuid\nmodule: github.com/google/uuid\nrules:\n  - id: uuid.from\n    target: github.com/google/uuid\n    add_files: [tandem_uuid.go]\n    edits:\n      - where: {func: FromBytes}\n        do: {enter: \"tandemFrom($0)\"}\n";
const HOOK: &str = "package uuid\n\nfunc tandemFrom([]byte) {}\n";

fn shop() -> Sandbox {
    Sandbox::with_pack(&[("go.mod", GO_MOD), ("main.go", MAIN)], PACK, ("tandem_uuid.go", HOOK))
}

/// A Go program of somebody else's, built once and kept; `None`, counted as skipped, when it cannot be had.
fn tool(test: &str, package: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools");
    let (path, _) = package.split_once('@')?;
    let program = folder.join(path.rsplit('/').next()?);
    if !program.is_file() {
        let output =
            Command::new("go").args(["install", package]).env("GOBIN", &folder).env("GOFLAGS", "-p=2").output();
        let run = Run::of(output.expect("go is installed"));
        if run.code != Some(0) {
            skip(test, &format!("{package} cannot be had: {}", run.stderr.lines().next_back().unwrap_or_default()));
            return None;
        }
    }
    Some(program)
}

/// The line of a file that holds a text.
fn line_of(file: &Path, text: &str) -> usize {
    let content = fs::read_to_string(file).expect("readable");
    content.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} in {}", file.display())) + 1
}

#[test]
#[ignore = "make test-debuggers"]
fn delve_stops_at_the_users_lines_and_shows_variables() {
    let test = "delve_stops_at_the_users_lines_and_shows_variables";
    let Some(delve) = tool(test, DELVE) else { return };
    let sandbox = shop();
    let flags = "-gcflags=example.com/shop=-N -l";
    sandbox.woven(&["build", flags, "-gcflags=github.com/google/uuid=-N -l", "-o", "woven", "."]).ok();
    let go_root = PathBuf::from(sandbox.plain(&["env", "GOROOT"]).ok().stdout.trim_end());
    let module = PathBuf::from(
        sandbox.plain(&["list", "-m", "-f", "{{.Dir}}", "github.com/google/uuid"]).ok().stdout.trim_end(),
    );
    let (own, third, standard) =
        (sandbox.path().join("main.go"), module.join("uuid.go"), go_root.join("src/log/slog/logger.go"));
    let places = [
        (own.clone(), line_of(&own, "line 19")),
        (third.clone(), line_of(&third, "err = uuid.UnmarshalBinary(b)")),
        (standard.clone(), line_of(&standard, "_ = l.Handler().Handle(ctx, r)")),
    ];
    let breaks: String = places.iter().map(|(file, line)| format!("break {}:{line}\n", file.display())).collect();
    let script = format!(
        "{breaks}continue\nprint o\nprint o.count\nlist\nstack\ncontinue\nprint string(b)\nlist\nstack\ncontinue\nlist\nstack\nexit\n"
    );
    fs::write(sandbox.beside("script"), script).expect("writable");
    let arguments = ["exec", "./woven", "--allow-non-terminal-interactive=true", "--init", "../script"];
    let run = Run::of(sandbox.command(&delve, &arguments).env("TERM", "dumb").output().expect("it is built"));
    let text = format!("{}{}", run.stdout, run.stderr);
    if text.contains("operation not permitted") {
        skip(test, "this system forbids ptrace");
        return;
    }
    for (file, line) in &places {
        // Delve names files below the working folder by their relative path.
        let shown = file.strip_prefix(sandbox.path()).map_or_else(|_| file.clone(), |below| Path::new(".").join(below));
        let place = format!("{}:{line}", shown.display());
        assert!(text.contains(&place), "{place}:\n{text}");
        // Delve marks the line at which it has stopped; the text is that of the real file.
        let content = fs::read_to_string(file).expect("readable");
        let source = content.lines().nth(line - 1).expect("there").trim();
        let is_shown = text.lines().any(|shown| {
            shown.starts_with("=>") && shown.contains(&format!("{line}:")) && shown.trim_end().ends_with(source)
        });
        assert!(is_shown, "{place} {source}:\n{text}");
    }
    for variable in ["item: \"book\", count: 3", "\"sixteen bytes...\""] {
        assert!(text.contains(variable), "{variable}:\n{text}");
    }
    assert!(!text.contains("weave-cache"), "{text}");
}

#[test]
#[ignore = "make test-debuggers"]
fn pprof_lists_the_users_sources() {
    let sandbox = shop();
    sandbox.woven(&["build", "-o", "woven", "."]).ok();
    Run::of(sandbox.command(&sandbox.path().join("woven"), &["profile"]).output().expect("it was built")).ok();
    for function in ["main.burn", "time.Now"] {
        let listing =
            sandbox.plain(&["tool", "pprof", "-list", &format!("^{function}$"), "woven", "profile"]).ok().stdout;
        assert!(listing.contains(&format!("ROUTINE ======================== {function} in ")), "{listing}");
        assert!(!listing.contains("weave-cache") && !listing.contains("no such file"), "{listing}");
    }
    let listing = sandbox.plain(&["tool", "pprof", "-list", "^main.burn$", "woven", "profile"]).ok().stdout;
    let own = sandbox.path().join("main.go");
    assert!(
        listing.contains(&*own.to_string_lossy()) && listing.contains("rounds++ // the line that burns"),
        "{listing}"
    );
    assert!(!listing.contains("tandem_rt"), "{listing}");
}

#[test]
#[ignore = "make test-debuggers"]
fn gopls_sees_the_plain_tree() {
    let test = "gopls_sees_the_plain_tree";
    let Some(gopls) = tool(test, GOPLS) else { return };
    let sandbox = shop();
    let before = sandbox.contents();
    let answers = |prefix: &str| -> Vec<Run> {
        let commands = [
            "check main.go",
            "symbols main.go",
            "definition main.go:39:7",
            "references main.go:18:6",
            "workspace_symbol pay",
        ];
        let run = |command: &&str| {
            let script = format!("{prefix}\n'{}' {command}", gopls.display());
            Run::of(sandbox.command(Path::new("sh"), &["-c", &script]).output().expect("there is a shell"))
        };
        commands.iter().map(run).collect()
    };
    let plain = answers("");
    assert!(plain[2].stdout.contains("uuid.go"), "{plain:?}");
    let drop_in = answers(&format!("eval \"$('{}' env)\"", common::weave_program().display()));
    assert_eq!(plain, drop_in);
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

#[test]
#[ignore = "make test-debuggers"]
fn every_form_of_a_program_keeps_the_manifest() {
    let main = "package main\n\nimport \"C\"\n\n//export add\nfunc add(a, b int) int { return pay(a) + b }\n\n//tandem:span\nfunc pay(a int) int { return a }\n\nfunc main() { pay(1) }\n";
    let sandbox = Sandbox::new(&[("go.mod", "module example.com/shop\n\ngo 1.22\n"), ("main.go", main)]);
    let plain_main = main.replace("import \"C\"\n\n//export add\n", "");
    let forms: [(&[&str], &str, bool); 7] = [
        (&["-ldflags=-s -w"], "", true),
        (&["-buildmode=pie"], "", true),
        (&["-buildmode=c-shared"], "", true),
        (&["-ldflags=-linkmode=external"], "", true),
        (&["-trimpath"], "linux/arm64", false),
        (&[], "darwin/arm64", false),
        (&[], "windows/amd64", false),
    ];
    for (flags, platform, uses_c) in forms {
        sandbox.write("main.go", if uses_c { main } else { &plain_main });
        let arguments = [&["go", "build", "-o", "woven"], flags, &["."]].concat();
        let mut command = sandbox.weave_command(&arguments);
        if let Some((os, architecture)) = platform.split_once('/') {
            command.env("GOOS", os).env("GOARCH", architecture).env("CGO_ENABLED", "0");
        }
        Run::of(command.output().expect("it starts")).ok();
        let program = sandbox.path().join("woven");
        let is_listed = || {
            let found =
                gobin::Executable::read(&program).unwrap_or_else(|error| panic!("{flags:?} {platform}: {error}"));
            let manifest = found.build.manifest().expect("it is whole").expect("it is woven");
            assert_eq!(
                manifest.spans[0].place,
                "example.com/shop/main.go:9".replace(":9", if uses_c { ":9" } else { ":6" })
            );
            assert!(manifest.join_points().any(|join_point| join_point.id == "runtime.slot"));
        };
        is_listed();
        let can_strip =
            platform.is_empty() && Command::new("strip").arg(&program).status().is_ok_and(|status| status.success());
        if can_strip {
            is_listed();
        }
    }
}
