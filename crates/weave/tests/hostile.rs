//! Scenario: folders that hold what nobody expects: pipes, links, odd names, bytes that are not text, very large and very
//! deep sources. Guarantee: where plain go builds, the woven build does too, and the program behaves and names its lines
//! as plain; what cannot be woven is a warning; nothing hangs, and nothing outside the cache is written.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{Run, Sandbox, weave_program};

const MANIFEST: &str = "module example.com/x\n\ngo 1.22\n";
/// Says where its caller's function is.
const WHERE: &str = "package main\n\nimport (\n\t\"fmt\"\n\t\"path/filepath\"\n\t\"runtime\"\n)\n\nfunc where() {\n\t_, file, line, _ := runtime.Caller(1)\n\tfmt.Printf(\"%q %d\\n\", filepath.Base(file), line)\n}\n";

fn module(main: &str) -> Sandbox {
    Sandbox::new(&[("go.mod", MANIFEST), ("where.go", WHERE), ("main.go", main)])
}

/// Runs the weave in a folder, but not for ever.
fn woven_in(sandbox: &Sandbox, dir: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new("timeout");
    command.arg("300").arg(weave_program()).arg("go").args(arguments).current_dir(dir).env("PWD", dir);
    command.env("TANDEM_CACHE", &sandbox.cache).env_remove("TANDEM_PACKS").env("GOFLAGS", "-buildvcs=false -p=2");
    Run::of(command.envs(sandbox.variables.iter().map(|(name, value)| (name, value))).output().expect("it starts"))
}

/// Builds plain and woven: the same output of the program, and the user's files as they were. What the weave said.
#[track_caller]
fn same_as_plain(sandbox: &Sandbox, flags: &[&str]) -> String {
    let before = sandbox.contents_of_files();
    let (plain, woven) = (sandbox.beside("plain"), sandbox.beside("woven"));
    let arguments = |output: &Path| {
        [&["build", "-o", output.to_str().expect("text")], flags, &["."]]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let words = arguments(&plain);
    sandbox.plain(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let words = arguments(&woven);
    let run = woven_in(sandbox, &sandbox.path(), &words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let output = |program: &Path| Run::of(Command::new(program).output().expect("it was built"));
    assert_eq!(output(&plain).ok(), output(&woven).ok());
    assert_eq!(before, sandbox.contents_of_files());
    run.stderr
}

/// How many spans of the user's own the binary has.
fn spans(sandbox: &Sandbox, names: &[&str]) -> usize {
    let binary = fs::read(sandbox.beside("woven")).expect("it was built");
    let has = |name: &str| binary.windows(name.len()).any(|window| window == name.as_bytes());
    names.iter().filter(|name| has(name)).count()
}

fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("writable");
    assert!(Command::new("mkfifo").arg(path).status().expect("coreutils are installed").success());
}

#[test]
fn pipes_devices_and_links() {
    let sandbox = module(
        "package main\n\nfunc main() {\n\tlinked()\n\tspan()\n}\n\n//tandem:span hostile-own\nfunc span() { where() }\n",
    );
    // Go opens none of these: another folder, another system's file, a folder.
    pipe(&sandbox.path().join("run/pipe.go"));
    pipe(&sandbox.path().join("pipe_windows.go"));
    symlink("/dev/zero", sandbox.path().join("zero_windows.go")).expect("writable");
    symlink("nowhere", sandbox.path().join("run/dangling.go")).expect("writable");
    symlink("..", sandbox.path().join("run/loop")).expect("writable");
    fs::create_dir(sandbox.path().join("folder.go")).expect("writable");
    // A manifest that is a folder makes no module of its own.
    sandbox.write("inner/go.mod/file", "");
    sandbox.write("inner/inner.go", "package inner\n");
    // Out of the tree, and read through the link.
    fs::write(
        sandbox.beside("outside.go"),
        "package main\n\n//tandem:span hostile-linked\nfunc linked() { where() }\n",
    )
    .expect("writable");
    symlink(sandbox.beside("outside.go"), sandbox.path().join("linked.go")).expect("writable");
    assert_eq!(same_as_plain(&sandbox, &[]), "");
    assert_eq!(spans(&sandbox, &["hostile-own", "hostile-linked"]), 2);
    let outside = fs::read_to_string(sandbox.beside("outside.go")).expect("it is there");
    assert!(!outside.contains("tandem_rt"), "what a link leads to is not written");
}

#[test]
fn odd_names() {
    let names = [
        "a b.go",
        "quote's.go",
        "double\"quote.go",
        "new\nline.go",
        "semi;colon.go",
        "arrow=>x.go",
        "per%cent.go",
        "größe.go",
        "zz_tandem_rt.go",
    ];
    let calls: String = (0..names.len()).map(|index| format!("\tf{index}()\n")).collect();
    let sandbox = module(&format!("package main\n\nfunc main() {{\n{calls}}}\n"));
    for (index, name) in names.iter().enumerate() {
        sandbox.write(
            name,
            &format!("package main\n\n//tandem:span hostile-odd-{index}\nfunc f{index}() {{ where() }}\n"),
        );
    }
    assert_eq!(same_as_plain(&sandbox, &[]), "");
    let wanted: Vec<String> = (0..names.len()).map(|index| format!("hostile-odd-{index}")).collect();
    assert_eq!(spans(&sandbox, &wanted.iter().map(String::as_str).collect::<Vec<_>>()), names.len());
    assert_eq!(same_as_plain(&sandbox, &["-trimpath"]), "");
}

#[test]
fn names_that_are_not_text() {
    let sandbox = module("package main\n\nfunc main() { f() }\n");
    let file = sandbox.path().join(OsStr::from_bytes(b"caf\xe9.go"));
    fs::write(&file, "package main\n\n//tandem:span hostile-name\nfunc f() { where() }\n").expect("writable");
    let said = same_as_plain(&sandbox, &[]);
    assert!(said.starts_with("tandem: warning: ") && said.contains("not UTF-8") && said.lines().count() == 1, "{said}");

    let folder = sandbox.path().join(OsStr::from_bytes(b"sub\xe9"));
    fs::create_dir(&folder).expect("writable");
    fs::write(folder.join("go.mod"), MANIFEST).expect("writable");
    fs::write(folder.join("main.go"), "package main\n\n//tandem:span x\nfunc main() { println(\"hi\") }\n")
        .expect("writable");
    let run = woven_in(&sandbox, &folder, &["run", "."]).ok();
    assert!(run.stderr.contains("not UTF-8") && run.stderr.contains("hi"), "{run:?}");

    let mut sandbox = module("package main\n\nfunc main() {}\n");
    sandbox.cache = sandbox.beside("").join(OsStr::from_bytes(b"cache\xe9"));
    let run = woven_in(&sandbox, &sandbox.path(), &["build", "."]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("not UTF-8") && run.stderr.contains("TANDEM_CACHE"), "{run:?}");
}

#[test]
fn bytes_that_are_not_plain_text() {
    let sandbox = module("package main\n\nfunc main() {\n\tcrlf()\n\tbom()\n\tmoved()\n\tlast()\n}\n");
    sandbox.write("crlf.go", "package main\r\n\r\n//tandem:span hostile-crlf\r\nfunc crlf() {\r\n\twhere()\r\n}\r\n");
    sandbox.write("bom.go", "\u{feff}package main\n\n//tandem:span hostile-bom\nfunc bom() { where() }\n");
    sandbox.write(
        "moved.go",
        "package main\n\n//line elsewhere.y:100\n\n//tandem:span hostile-moved\nfunc moved() { where(); /*line z.go:7:1*/where() }\n",
    );
    // No newline at the end, and a comment there.
    sandbox.write("last.go", "package main\n\n//tandem:span hostile-last\nfunc last() { where() } // end");
    // Excluded from the build: Go looks no further than the imports.
    for (name, bytes) in [
        ("latin_windows.go", b"package main\n\nfunc f() { _ = \"\xe9\" } //tandem:span\n".as_slice()),
        ("nul_windows.go", b"package main\n\nfunc g() {} //tandem:\0\0"),
    ] {
        fs::write(sandbox.path().join(name), bytes).expect("writable");
    }
    assert_eq!(same_as_plain(&sandbox, &[]), "");
    assert_eq!(spans(&sandbox, &["hostile-crlf", "hostile-bom", "hostile-moved", "hostile-last"]), 4);

    // Where plain go refuses, it says why itself.
    for (name, bytes) in [
        ("nul.go", b"package main\n\n//tandem:span\nfunc f() {}\0\n".as_slice()),
        ("latin.go", b"package main\n\n//tandem:span\nfunc f() { _ = \"\xe9\" }\n"),
    ] {
        fs::write(sandbox.path().join(name), bytes).expect("writable");
        let woven = woven_in(&sandbox, &sandbox.path(), &["build", "-o", "/dev/null", "."]);
        assert_eq!(sandbox.plain(&["build", "-o", "/dev/null", "."]), woven);
        fs::remove_file(sandbox.path().join(name)).expect("ours");
    }
}

#[test]
fn large_and_deep_sources() {
    let sandbox = module("package main\n\nfunc main() {\n\tlarge()\n\tdeep()\n}\n");
    let functions: String =
        (0..5000).map(|index| format!("\nfunc f{index}() (int, error) {{ return 0, nil }}\n")).collect();
    let elements: String = (0..100_000).map(|index| format!("{index}, ")).collect();
    sandbox.write(
        "large.go",
        &format!("package main\n{functions}\nvar table = [...]int{{ {elements} }}\n\n//tandem:span hostile-large\nfunc large() {{ where(); _ = table }}\n"),
    );
    // A sum of strings is as deep a tree as it has terms.
    let terms = vec!["x"; 5000].join(" + ");
    let nested = format!("{}0{}", "(".repeat(500), ")".repeat(500));
    sandbox.write(
        "deep.go",
        &format!(
            "package main\n\n//tandem:span hostile-deep\nfunc deep() {{ where(); x := 1; _ = {terms}; _ = {nested} }}\n"
        ),
    );
    sandbox.write(&format!("{}deep.go", "d/".repeat(200)), "package d\n");
    assert_eq!(same_as_plain(&sandbox, &[]), "");
    assert_eq!(spans(&sandbox, &["hostile-large", "hostile-deep"]), 2);
}

#[test]
fn folders_that_cannot_be_written() {
    let sandbox =
        module("package main\n\nfunc main() { f() }\n\n//tandem:span hostile-read-only\nfunc f() { where() }\n");
    sandbox.write("below/below.go", "package below\n");
    let set = |mode| {
        for name in ["below", ""] {
            fs::set_permissions(sandbox.path().join(name), fs::Permissions::from_mode(mode)).expect("ours");
        }
    };
    set(0o555);
    assert_eq!(same_as_plain(&sandbox, &[]), "");
    set(0o755);
    assert_eq!(spans(&sandbox, &["hostile-read-only"]), 1);
}

#[test]
fn a_module_in_a_folder_of_odd_things() {
    let mut sandbox = Sandbox::new(&[
        (
            "go.mod",
            "module example.com/x\r\n\r\ngo 1.22\r\n\r\nrequire \"example.com/lib\" v0.0.0 // why\r\n\r\nreplace (\r\n\texample.com/lib => \"./the lib\"\r\n)\r\n",
        ),
        ("main.go", "package main\n\nimport \"example.com/lib\"\n\nfunc main() { lib.Do() }\n"),
        ("the lib/go.mod", "module example.com/lib\n"),
        ("the lib/lib.go", "package lib\n\nfunc Do() { println(\"done\") }\n"),
        (
            "pack/pack.yaml",
            "pack: lib\nmodule: example.com/lib\nrules:\n  - id: lib.do\n    target: example.com/lib\n    edits:\n      - where: {func: Do}\n        do: {enter: \"println(`woven`)\"}\n",
        ),
    ]);
    let folder = sandbox.path().join("the lib");
    pipe(&folder.join("pipe_windows.go"));
    pipe(&folder.join("data/pipe"));
    symlink("/", folder.join("root")).expect("writable");
    sandbox.set("TANDEM_PACKS", sandbox.path().join("pack").display().to_string());
    // The woven program says more.
    let run = woven_in(&sandbox, &sandbox.path(), &["run", "."]).ok();
    assert_eq!(run.stderr, "woven\ndone\n");
}
