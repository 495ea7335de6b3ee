//! Scenario: a program with functions and calls of every shape (generic, variadic, unnamed, closures, renamed and dot
//! imports, shadowed names, build tags, cgo, assembly …) and a pack that uses every word of the format, in
//! `testdata/shapes`. Guarantee: all rules match, the program builds and prints what it prints plain, and the hooks see what
//! the comments in `main.go` say, in that order.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Sandbox;

fn files(dir: &Path, below: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("readable").flatten() {
        let below = below.join(entry.file_name());
        if entry.path().is_dir() {
            files(&entry.path(), &below, found);
        } else {
            found.push((below, fs::read_to_string(entry.path()).expect("readable")));
        }
    }
}

#[test]
fn every_shape_is_woven() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/shapes");
    let mut found = Vec::new();
    files(&source, Path::new(""), &mut found);
    let named: Vec<(&str, &str)> =
        found.iter().map(|(path, text)| (path.to_str().expect("our names are UTF-8"), text.as_str())).collect();
    let sandbox = Sandbox::new(&named);
    let before = sandbox.contents();

    let plain = sandbox.plain(&["run", "."]).ok();
    let woven = sandbox.woven(&["run", "."]).ok();
    assert_eq!(woven.stdout, plain.stdout);
    let seen: Vec<&str> = woven.stderr.lines().collect();
    let main = fs::read_to_string(source.join("main.go")).expect("it is there");
    let expected: Vec<&str> = main.lines().filter_map(|line| Some(line.split_once("//sees: ")?.1)).collect();
    assert!(expected.len() > 30, "comments are missing");
    assert_eq!(seen, expected);
    assert!(before == sandbox.contents(), "the user's tree has changed");

    let explained = common::Run::of(sandbox.weave_command(&["explain", "./..."]).output().expect("starts")).ok();
    let lost: Vec<&str> =
        explained.stdout.lines().filter(|line| line.contains(" shapes.") && !line.starts_with("+ ")).collect();
    assert!(lost.is_empty(), "{lost:?} in {}", explained.stdout);
    let line = 1 + named
        .iter()
        .find_map(|(path, text)| {
            text.lines().position(|line| path.ends_with("methods.go") && line.contains("\" unknown\""))
        })
        .expect("it is there");
    let unknown = format!("the receiver's type is not known: example.com/shapes/calls/methods.go:{line}\n");
    assert!(explained.stdout.contains(&unknown), "{}", explained.stdout);
    let both = ["forms/tagged_linux.go:3", "forms/tagged_other.go:5"];
    assert!(both.iter().all(|place| explained.stdout.contains(place)), "{}", explained.stdout);
}
