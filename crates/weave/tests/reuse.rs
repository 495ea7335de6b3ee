//! Scenario: the first woven build of a program whose plain build is in go's cache. Guarantee: what is taken from there is,
//! to the byte, what the compiler would make: the binary is the same, and with it the names that go derives from the content
//! of every object in it. What is woven, or sees something else of an import, is compiled.
//!
//! Needs Go; packages with C are left out where there is no C compiler.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{Run, Sandbox, skip};

const GO_MOD: &str = "module example.com/own\n\ngo 1.22\n";
const MAIN: &str = r#"package main

import (
	"fmt"
	"log/slog"
	"os"

	"example.com/own/assembled"
	"example.com/own/embedded"
	"example.com/own/marked"
	"example.com/own/native"
	"example.com/own/seeing"
)

//tandem:span
func main() {
	slog.New(slog.NewTextHandler(os.Stdout, nil)).Debug("nothing")
	fmt.Println(marked.Text(), seeing.Text(), assembled.Size(), embedded.Text, native.Seven())
}
"#;
const MARKED: &str = "package marked\n\nimport \"runtime\"\n\nfunc Text() string { return \"marked as it was compiled, for \" + runtime.GOOS }\n";
const WOVEN: &str = "package woven\n\n//tandem:span\nfunc Inlined(i int) int { return i + 1 }\n";
const SEEING: &str = "package seeing\n\nimport (\n\t\"strconv\"\n\n\t\"example.com/own/woven\"\n)\n\nfunc Text() string { return \"seeing as it was compiled, \" + strconv.Itoa(woven.Inlined(1)) }\n";
const ASSEMBLED: &str = "package assembled\n\nimport _ \"runtime\"\n\ntype pair struct{ one, two, three int64 }\n\n// Size is that of a pair.\nfunc Size() int64\n";
const ASSEMBLY: &str = "#include \"textflag.h\"\n#include \"go_asm.h\"\n\nTEXT ·Size(SB), NOSPLIT, $0-8\n\tMOVQ $pair__size, AX\n\tMOVQ AX, ret+0(FP)\n\tRET\n";
const EMBEDDED: &str =
    "package embedded\n\nimport (\n\t_ \"embed\"\n\t_ \"runtime\"\n)\n\n//go:embed text.txt\nvar Text string\n";
const NATIVE: &str = "package native\n\n// static int seven(void) { return 7; }\nimport \"C\"\n\nimport _ \"runtime\"\n\n// Seven is 7.\nfunc Seven() int { return int(C.seven()) }\n";

/// Packages that are written, assembled, generated and embedded, of which one is woven.
fn program() -> Sandbox {
    let mut sandbox = Sandbox::new(&[
        ("go.mod", GO_MOD),
        ("main.go", MAIN),
        ("marked/marked.go", MARKED),
        ("woven/woven.go", WOVEN),
        ("seeing/seeing.go", SEEING),
        ("assembled/assembled.go", ASSEMBLED),
        ("assembled/assembled_amd64.s", ASSEMBLY),
        ("embedded/embedded.go", EMBEDDED),
        ("embedded/text.txt", "embedded"),
    ]);
    let has_compiler = Command::new("gcc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_compiler {
        skip("reuse", "there is no gcc: without a package that calls C");
    }
    let plain = "package native\n\n// Seven is 7.\nfunc Seven() int { return 7 }\n";
    sandbox.write("native/native.go", if has_compiler { NATIVE } else { plain });
    sandbox.set("GOWORK", "off");
    sandbox
}

/// A cache of go's own in which the standard library of `program` is compiled, and the runtime woven as well. It stays from
/// run to run; go compares what it takes from it.
fn prepared_cache() -> &'static Path {
    static PREPARED: OnceLock<PathBuf> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reuse-cache");
        let mut sandbox = program();
        sandbox.set("GOCACHE", cache.display().to_string());
        sandbox.plain(&["build", "fmt", "log/slog", "os", "strconv", "runtime/cgo"]).ok();
        sandbox.woven(&["build", "-toolexec=env", "runtime"]).ok();
        cache
    })
}

/// A copy of a cache in which the sandbox's plain build is.
fn with_plain_build(sandbox: &mut Sandbox, cache: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let copy = sandbox.beside(name);
    if cache.is_dir() {
        copy_folder(cache, &copy);
    }
    sandbox.set("GOCACHE", copy.display().to_string());
    sandbox.plain(&[&["build", "-o", "../plain"], flags, &["."]].concat()).ok();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let place = to.join(entry.file_name());
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => copy_folder(&entry.path(), &place),
            // Another test may be writing there.
            false => drop(fs::copy(entry.path(), place)),
        }
    }
}

/// Builds woven from the same plain build, once with objects that are taken and once with all compiled; gives both binaries.
/// A program that go starts in front of its tools leaves what they do alone, but nothing is taken where there is one.
fn both_ways(sandbox: &mut Sandbox, cache: &Path, flags: &[&str]) -> [Vec<u8>; 2] {
    [None, Some("-toolexec=env")].map(|tool| {
        sandbox.cache = sandbox.beside("weave-cache"); // in which nothing was built
        let copy = with_plain_build(sandbox, cache, "go-cache", flags);
        let tool: Vec<&str> = tool.into_iter().collect();
        sandbox.woven(&[&["build", "-o", "../woven"], tool.as_slice(), flags, &["."]].concat()).ok();
        fs::remove_dir_all(copy).expect("it was made");
        fs::remove_dir_all(sandbox.cache.join("built")).ok();
        fs::read(sandbox.beside("woven")).expect("it was built")
    })
}

/// Changes a text in the plain object of a package, so that it can be told from one that is compiled.
fn mark(sandbox: &Sandbox, package: &str, from: &str, to: &str) {
    let object = sandbox.plain(&["list", "-export", "-f", "{{.Export}}", package]).ok().stdout;
    let object = Path::new(object.trim_end());
    let mut content = fs::read(object).expect("it was built");
    let place = content.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text is in it");
    content[place..place + to.len()].copy_from_slice(to.as_bytes());
    let mut permissions = fs::metadata(object).expect("it is there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(object, permissions).expect("it is ours");
    fs::write(object, content).expect("writable");
}

#[test]
fn a_plain_object_is_taken_where_it_is_the_same_and_only_there() {
    let cache = prepared_cache();
    let mut sandbox = program();
    sandbox.cache = sandbox.beside("weave-cache");
    let built = with_plain_build(&mut sandbox, cache, "go-cache", &[]);
    for package in ["marked", "seeing"] {
        mark(
            &sandbox,
            &format!("./{package}"),
            &format!("{package} as it was compiled"),
            &format!("{package} as it was replaced"),
        );
    }
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    let output = sandbox.run("../woven").ok().stdout;
    assert_eq!(output.trim_end(), "marked as it was replaced, for linux seeing as it was compiled, 2 24 embedded 7");

    // An edit is compiled, and what it leaves alone is where go has it.
    sandbox.write("marked/marked.go", &MARKED.replace("marked as", "edited as"));
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    let output = sandbox.run("../woven").ok().stdout;
    assert!(output.starts_with("edited as it was compiled, for linux seeing as it was compiled"), "{output}");
    fs::remove_dir_all(built).expect("it was made");

    let [taken, compiled] = both_ways(&mut sandbox, cache, &[]);
    assert!(taken == compiled, "{} and {} differ", blake3::hash(&taken), blake3::hash(&compiled));
}

#[test]
fn without_a_plain_build_nothing_is_missed() {
    let cache = prepared_cache();
    let mut sandbox = program();
    sandbox.cache = sandbox.beside("weave-cache");
    copy_folder(cache, &sandbox.beside("go-cache"));
    sandbox.set("GOCACHE", sandbox.beside("go-cache").display().to_string());
    let before = sandbox.contents();
    sandbox.woven(&["build", "-o", "../woven", "."]).ok();
    let output = sandbox.run("../woven").ok().stdout;
    assert_eq!(output.trim_end(), "marked as it was compiled, for linux seeing as it was compiled, 2 24 embedded 7");
    assert_eq!(sandbox.woven(&["build", "-x", "-o", "../woven", "."]).ok().compiled(), 0);
    assert!(before == sandbox.contents(), "the user's tree has changed");
    let run = Run::of(sandbox.weave_command(&["clean"]).output().expect("the example is built")).ok();
    assert!(run.stdout.contains("in_use: 0"), "{run:?}");
}

const PACK: &str = "pack: sys\nmodule: golang.org/x/sys\nrules:\n  - id: sys.cpu\n    target: golang.org/x/sys/cpu\n    add_files: [tandem_cpu.go]\n";
const USES_SYS: &str = "package main\n\nimport (\n\t\"golang.org/x/sys/cpu\"\n\t\"golang.org/x/sys/unix\"\n)\n\nfunc main() { println(unix.Getpagesize() > 0, cpu.CacheLinePad{} == cpu.CacheLinePad{}) }\n";

/// A program of two packages of a module, of which one is woven.
fn of_a_woven_module() -> Sandbox {
    let module = "module example.com/uses\n\ngo 1.22\n\nrequire golang.org/x/sys v0.30.0\n";
    let hook = ("tandem_cpu.go", "package cpu\n\n// TandemAdded is there where this was woven.\nvar TandemAdded = 1\n");
    Sandbox::with_pack(&[("go.mod", module), ("main.go", USES_SYS)], PACK, hook)
}

#[test]
fn what_is_not_woven_of_a_woven_module_is_the_same_network() {
    let [taken, compiled] = both_ways(&mut of_a_woven_module(), prepared_cache(), &[]);
    assert!(taken == compiled);
}

/// Minutes of compilation for each: `make test-reuse`.
#[test]
#[ignore = "compiles the standard library many times"]
fn larger_programs_are_the_same_with_every_flag() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let none = Path::new("/nonexistent");
    let flags: [&[&str]; 8] = [
        &[],
        &["-trimpath"],
        &["-race"],
        &["-cover", "-coverpkg=./..."],
        &["-pgo=hot.pgo"],
        &["-buildmode=pie"],
        &["-gcflags=all=-N -l"],
        &["-tags=netgo,osusergo"],
    ];
    let [taken, compiled] = both_ways(&mut of_a_woven_module(), none, &["-trimpath"]);
    assert!(taken == compiled, "a woven module, -trimpath");
    let programs = [("bench/hello", &flags[..]), ("compat/programs/cgo", &flags[..2]), ("examples/shop", &flags[..1])];
    for (folder, flags) in programs {
        for flags in flags {
            let mut sandbox = Sandbox::new(&[]);
            copy_folder(&root.join(folder), &sandbox.beside("user"));
            fs::write(sandbox.path().join("hot.pgo"), profile()).expect("writable");
            let [taken, compiled] = both_ways(&mut sandbox, none, flags);
            assert!(taken == compiled, "{folder} {flags:?}");
            println!("the same: {folder} {flags:?}");
        }
    }
}

/// A profile that the compiler takes: one of this machine's own go command would be as good as any.
fn profile() -> Vec<u8> {
    let sandbox = Sandbox::new(&[
        ("go.mod", "module example.com/hot\n\ngo 1.22\n"),
        (
            "main.go",
            "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"runtime/pprof\"\n)\n\nfunc main() {\n\tpprof.StartCPUProfile(os.Stdout)\n\ttext := \"\"\n\tfor i := 0; i < 3000000; i++ {\n\t\ttext = fmt.Sprint(i, len(text))\n\t}\n\tpprof.StopCPUProfile()\n}\n",
        ),
    ]);
    let output = sandbox.plain_command(&["run", "."]).output().expect("go is installed");
    assert!(output.status.success());
    output.stdout
}
