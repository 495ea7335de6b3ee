//! Scenario: a cache folder that somebody or something has damaged, emptied while a build runs, or copied. Guarantee: what is
//! damaged is made again and never used, what is in use stays, and everything else can be removed at any time.
//!
//! Needs Go.

mod common;

use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Run, Sandbox};

const GO_MOD: &str = "module example.com/shop\n\ngo 1.22\n";
const MAIN: &str = "package main\n\nimport \"runtime\"\n\n//tandem:span\nfunc main() { println(\"works\", runtime.Version() != \"\") }\n";
/// A rule for the user's own package, so that all kinds of entries are there.
const PACK: &str = "pack: own\nrules:\n  - id: own.main\n    target: example.com/shop\n    edits:\n      - where: {func: main}\n        do: {enter: \"println(1)\"}\n";

/// A program that was built woven once, with a cache of its own.
fn built() -> Sandbox {
    let mut sandbox = Sandbox::new(&[
        ("go.mod", GO_MOD),
        ("main.go", MAIN),
        ("tandem.yaml", "packs: [own]\n"),
        ("own/pack.yaml", PACK),
    ]);
    sandbox.cache = sandbox.beside("cache");
    build(&sandbox).ok();
    sandbox
}

fn build(sandbox: &Sandbox) -> Run {
    sandbox.woven(&["build", "-o", "../woven", "."])
}

/// All that happens before the go command runs.
fn plan(sandbox: &Sandbox) -> Run {
    Run::of(sandbox.weave_command(&["env", "--goroot"]).output().expect("it is built")).ok()
}

fn clean(sandbox: &Sandbox) -> String {
    Run::of(sandbox.weave_command(&["clean"]).output().expect("it is built")).ok().stdout
}

/// Files of the cache that are no other file's second name.
fn own_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("readable").flatten() {
        let metadata = entry.metadata().expect("there");
        if metadata.is_dir() {
            found.extend(own_files(&entry.path()));
        } else if metadata.is_file() && metadata.nlink() == 1 && metadata.len() > 0 {
            found.push(entry.path());
        }
    }
    found
}

/// One cache for all steps: making a woven standard library is what takes time here.
#[test]
fn a_cache_survives_what_happens_to_it() {
    let mut sandbox = built();
    damage_of_every_kind_is_made_good(&sandbox);
    a_folder_that_is_missing_comes_back(&sandbox);
    cleaning_leaves_what_a_running_build_uses(&sandbox);
    a_copied_cache_is_used_without_weaving_again(&mut sandbox);
    what_a_killed_build_used_is_cleaned(&sandbox);
    other_peoples_files_stay(&sandbox);
}

fn damage_of_every_kind_is_made_good(sandbox: &Sandbox) {
    let expected = fs::read(sandbox.beside("woven")).expect("it was built");
    let files = own_files(&sandbox.cache);
    let with_name = |wanted: &str| {
        let is_wanted = |file: &&PathBuf| {
            file.strip_prefix(&sandbox.cache).is_ok_and(|file| file.to_string_lossy().contains(wanted))
        };
        files.iter().find(is_wanted).unwrap_or_else(|| panic!("{wanted} is in {files:#?}")).clone()
    };
    let kinds = ["overlay/", "plan/", "file/", "index/", "package/"];
    let mut targets: Vec<PathBuf> = kinds.map(with_name).into();
    targets.push(with_name("file/").with_file_name("main.go"));
    targets.push(with_name("file/").with_file_name("tandem.seal"));
    for target in &targets {
        for damage in [cut, flip_without_trace, remove] {
            is_made_again(sandbox, target, damage);
        }
    }
    is_made_again(sandbox, &with_name("src/runtime/proc.go"), flip_without_trace);
    build(sandbox).ok();
    assert!(fs::read(sandbox.beside("woven")).expect("built") == expected);
}

fn is_made_again(sandbox: &Sandbox, target: &Path, damage: fn(&Path)) {
    let text = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let whole = text(target);
    damage(target);
    let run = plan(sandbox);
    let is_value = target.extension().is_some_and(|extension| extension == "kept");
    assert_eq!(run.stderr.contains("was damaged"), !is_value, "{}: {run:?}", target.display());
    // Times are in a seal, and in what is known of files that may still change.
    let may_differ = is_value || target.ends_with("tandem.seal");
    assert!(may_differ || text(target) == whole, "{} was not made again", target.display());
    assert_eq!(plan(sandbox).stderr, "", "it is whole again");
}

fn cut(path: &Path) {
    let length = fs::metadata(path).expect("there").len();
    File::options().write(true).open(path).and_then(|file| file.set_len(length / 2)).expect("ours");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("ours");
}

/// Another byte in the middle; size and times are as before.
fn flip_without_trace(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    let metadata = fs::metadata(path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("writable");
    let times = FileTimes::new().set_modified(metadata.modified().expect("known here"));
    File::options().write(true).open(path).and_then(|file| file.set_times(times)).expect("ours");
}

fn a_folder_that_is_missing_comes_back(sandbox: &Sandbox) {
    let root = fs::read_dir(sandbox.cache.join("goroot")).expect("there").flatten().next().expect("one").path();
    fs::remove_dir_all(root.join("src/unicode/utf8")).expect("ours");
    fs::write(root.join("src/fmt/more.go"), "package other\n").expect("writable");
    assert!(plan(sandbox).stderr.contains("was damaged"));
    assert!(root.join("src/unicode/utf8/utf8.go").is_file() && !root.join("src/fmt/more.go").exists());
}

fn a_copied_cache_is_used_without_weaving_again(sandbox: &mut Sandbox) {
    let copy = sandbox.beside("copy");
    let copied = std::process::Command::new("cp").args(["-a", "--"]).args([&sandbox.cache, &copy]).status();
    assert!(copied.is_ok_and(|status| status.success()));
    sandbox.cache = copy;
    assert_eq!(plan(sandbox).stderr, "");
    assert_eq!(plan(sandbox).stderr, "");
}

fn cleaning_leaves_what_a_running_build_uses(sandbox: &Sandbox) {
    // `go run` gives the program its own standard input: it waits until we have cleaned.
    sandbox.write(
        "wait/main.go",
        "package main\n\nimport \"os\"\n\nfunc main() { println(\"runs\"); os.Stdin.Read(make([]byte, 1)) }\n",
    );
    let mut command = sandbox.weave_command(&["go", "run", "./wait"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("it says something").expect("text"), "runs");
    let said = clean(sandbox);
    assert!(!said.contains("in_use: 0"), "{said}");
    let kept = |kind: &str| fs::read_dir(sandbox.cache.join(kind)).map_or(0, Iterator::count);
    assert_eq!((kept("goroot"), kept("index")), (1, 0), "a value that was read is not needed any more");
    drop(child.stdin.take());
    assert!(child.wait().expect("ends").success());
    assert_eq!(plan(sandbox).stderr, "");
}

fn what_a_killed_build_used_is_cleaned(sandbox: &Sandbox) {
    let used = fs::read_dir(sandbox.cache.join("goroot")).expect("there").flatten().next().expect("one").path();
    fs::write(sandbox.cache.join("running/build-killed"), format!("{}\n", used.display())).expect("writable");
    let said = clean(sandbox);
    assert!(said.contains("in_use: 0"), "{said}");
    let kept = |kind: &str| fs::read_dir(sandbox.cache.join(kind)).map_or(0, Iterator::count);
    assert_eq!(["goroot", "plan", "file", "running", "unfinished"].map(kept), [0; 5]);
}

#[test]
fn cleaning_keeps_the_go_of_tandem_env() {
    let mut sandbox = Sandbox::new(&[("go.mod", GO_MOD)]);
    sandbox.cache = sandbox.beside("cache");
    let line = Run::of(sandbox.weave_command(&["env"]).output().expect("it is built")).ok().stdout;
    clean(&sandbox);
    assert_eq!(Run::of(sandbox.weave_command(&["env"]).output().expect("it is built")).ok().stdout, line);
    let folder = line.split('\'').nth(1).expect("it is quoted");
    assert!(Path::new(folder).join("go").is_file(), "{line}");
}

/// `$TANDEM_CACHE` may be a folder in which there is more, also under names that we use.
fn other_peoples_files_stay(sandbox: &Sandbox) {
    let names = ["photos/summer.jpg", "source/main.go", "unfinished/novel.txt", "running/shoes", "module/README"];
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(100 * 3600);
    for name in names {
        let path = sandbox.cache.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, name).expect("a file");
        File::options().write(true).open(&path).and_then(|file| file.set_modified(long_ago)).expect("a time");
    }
    plan(sandbox);
    clean(sandbox);
    for name in names {
        assert_eq!(fs::read_to_string(sandbox.cache.join(name)).ok().as_deref(), Some(name));
    }
    assert!(!sandbox.cache.join("goroot").read_dir().is_ok_and(|mut left| left.next().is_some()), "ours is gone");
}
