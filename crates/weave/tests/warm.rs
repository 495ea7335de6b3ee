//! Scenario: `tandem warm` before the first build, again, with flags, in broken and in empty projects. Guarantee: the build
//! after it compiles the project's own packages and nothing else; nothing of the user's is changed.
//!
//! Needs Go, and the module proxy where github.com/go-chi/chi/v5 is not in the module cache.

mod common;

use common::{Run, Sandbox};

const GO_MOD: &str = "module example.com/shop\n\ngo 1.22\n\nrequire github.com/go-chi/chi/v5 v5.2.1\n";
const MAIN: &str = "package main\n\nimport \"example.com/shop/web\"\n\nfunc main() { web.Serve() }\n";

/// Two packages whose text nobody has compiled before.
fn shop() -> Sandbox {
    let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let web = format!(
        "package web\n\nimport (\n\t\"net/http\"\n\n\t\"github.com/go-chi/chi/v5\"\n)\n\nvar Made = \"{unique}\"\n\n\
         //tandem:span\nfunc Serve() {{ http.ListenAndServe(Made, chi.NewRouter()) }}\n"
    );
    let main = MAIN.replace("web.Serve()", &format!("println(\"{unique}\"); web.Serve()"));
    let sandbox = Sandbox::new(&[("go.mod", GO_MOD), ("main.go", &main), ("web/web.go", &web)]);
    sandbox.plain(&["mod", "tidy"]).ok();
    sandbox
}

fn warm(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    Run::of(sandbox.weave_command(&[&["warm"], arguments].concat()).output().expect("the example is built"))
}

#[test]
fn only_the_projects_own_packages_are_left_to_compile_network() {
    let sandbox = shop();
    let before = sandbox.contents();
    warm(&sandbox, &[]).ok();
    let again = warm(&sandbox, &[]).ok();
    assert_eq!(again.stdout.lines().count(), 1, "{again:#?}");
    assert!(again.stdout.contains("compiled: 0 }") && again.stdout.contains("packages: 1"), "{again:#?}");
    let woven = sandbox.woven(&["build", "-x", "-o", "../binary", "."]).ok();
    assert_eq!(woven.compiled(), 2, "example.com/shop and example.com/shop/web");
    // A linked dependency of tests is the project's matter.
    let flags = warm(&sandbox, &["-tags", "other", "./web"]).ok();
    assert!(flags.stdout.contains("packages: 1"), "{flags:#?}");
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

#[test]
fn a_workspace_is_warmed_from_its_root_network() {
    let sandbox = shop();
    sandbox.write("other/go.mod", "module example.com/other\n\ngo 1.22\n");
    sandbox.write("other/other.go", "package other\n");
    sandbox.write("work/go.work", "go 1.22\n\nuse (\n\t..\n\t../other\n)\n");
    let warmed = warm(&sandbox, &["-C", "work"]).ok();
    assert!(warmed.stdout.contains("} Count { packages: 1, "), "chi, which one of the modules imports: {warmed:#?}");
}

#[test]
fn what_cannot_be_compiled_is_left_to_the_build_network() {
    let sandbox = shop();
    sandbox.write("web/broken.go", "package web\n\nimport \"example.com/shop/missing\"\n\nvar _ = missing.X\n");
    warm(&sandbox, &[]).ok();
    let outside = Sandbox::new(&[("notes.txt", "no module\n")]);
    let standard = warm(&outside, &[]).ok();
    assert!(standard.stdout.ends_with("Count { packages: 0, compiled: 0 }\n"), "{standard:#?}");
}

#[test]
fn wrong_use_is_refused() {
    let sandbox = Sandbox::new(&[
        ("go.mod", "module example.com/shop\n\ngo 1.22\n"),
        ("main.go", "package main\n\nfunc main() {}\n"),
    ]);
    let output = warm(&sandbox, &["-o", "x"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(2), "tandem: warm builds no program: leave -o out\n"));
    let flag = warm(&sandbox, &["-nonsense"]);
    assert_eq!(flag.code, Some(2), "{flag:#?}");
    assert!(flag.stderr.contains("-nonsense"), "{flag:#?}");
}
