//! Scenario: a span in every function and function literal of real files, as a directive asks for it and as a rule that names every parameter
//! and result does. Guarantee: the output is the input with insertions only, no line moves, and Go's own parser reads it
//! as the same functions on the same lines.
//!
//! A sample of the standard library by default; `make test-splicer` takes all of it and every module in the module cache.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weave::parse::GoFile;
use weave::signature::Namer;
use weave::splice::{Edit, apply};
use weave::{directive, shadow, weave as engine};

/// One file in so many, unless all are wanted.
const SAMPLE: usize = 41;

#[test]
fn every_function_of_real_files_can_be_woven() {
    let all = std::env::var_os("TANDEM_TEST_EVERY_FILE").is_some();
    let root = PathBuf::from(go(&["env", "GOROOT"]));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    if all {
        collect(Path::new(&go(&["env", "GOMODCACHE"])), &mut files);
    } else {
        files = files.into_iter().step_by(SAMPLE).collect();
    }
    assert!(files.len() > 100, "only {} files", files.len());

    let checker = Checker::start();
    let mut functions = Functions::default();
    let mut not_text = 0;
    for file in &files {
        let Ok(plain) = fs::read_to_string(file) else {
            not_text += 1; // not UTF-8, so not Go
            continue;
        };
        check(&checker, file, &plain, &mut functions);
    }
    let answer = checker.finish();
    let (wrong, rest): (Vec<&str>, Vec<&str>) = answer.lines().partition(|line| line.starts_with("wrong "));
    let unread: Vec<&&str> = rest.iter().filter(|line| line.starts_with("unread ")).collect();
    println!("{} files ({not_text} not UTF-8), {functions:?}; {}", files.len(), rest.last().unwrap_or(&""));
    println!("files that Go reads and the weave does not: {unread:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // They are left as they are. A new kind of file that the grammar does not know should be looked at.
    assert!(unread.len() <= 1 + files.len() / 1000, "{unread:#?}");
    assert!(functions.left.len() <= 1 + functions.woven / 200, "{functions:?}");
}

/// What became of the functions.
#[derive(Debug, Default)]
struct Functions {
    woven: usize,
    /// `file: function` of those whose parameters cannot all get names: the grammar does not read the result, so a rule that
    /// asks for them is refused.
    left: Vec<String>,
}

/// Weaves the file in both ways and sends both to be looked at.
fn check(checker: &Checker, path: &Path, plain: &str, functions: &mut Functions) {
    let name = path.display().to_string();
    let Some(file) = GoFile::parse(plain) else {
        return checker.send(&name, plain, "");
    };
    let mut names = shadow::package_names(&file);
    names.remove(","); // the tree counts it among them
    assert_eq!(shadow::package_names_of_text(plain), names, "{name}");
    let mut edits = Vec::new();
    let mut comments = Vec::new();
    for literal in file.literals() {
        edits.push((directive::qualified_name("", &literal), everything_named(&file, &literal)));
    }
    for function in file.functions() {
        edits.push((function.name.to_owned(), everything_named(&file, &function)));
        let start = function.node.start_byte();
        // A directive needs a line of its own.
        if start == 0 || plain.as_bytes()[start - 1] == b'\n' {
            comments.push(Edit::insert(start, "//tandem:span n=1\n"));
        }
    }
    if edits.is_empty() {
        return;
    }
    let all = |edits: &[(String, Vec<Edit>)]| edits.iter().flat_map(|(_, edits)| edits.clone()).collect::<Vec<_>>();
    if engine::finish_edits(plain, all(&edits)).is_none() {
        edits.retain(|(function, edits)| {
            let fits = engine::finish_edits(plain, edits.clone()).is_some();
            if !fits {
                functions.left.push(format!("{name}: {function}"));
            }
            fits
        });
    }
    functions.woven += edits.len();
    let woven = finish(&name, plain, all(&edits));
    checker.send(&name, plain, &woven);

    let asked = apply(plain, &comments);
    if let Some(file) = GoFile::parse(&asked) {
        let found = directive::spans(&file, path.file_name().unwrap_or_default().to_str().unwrap_or_default(), "p");
        // One that reaches nothing is reported, never woven elsewhere.
        assert_eq!(found.spans.len(), comments.len(), "{name}: {:?}", found.warnings);
        let woven = finish(&name, &asked, found.edits);
        checker.send(&format!("{name} (directives)"), &asked, &woven);
    } else {
        panic!("{name}: it does not parse with directives");
    }
}

/// What a rule's `enter: tandemTest($recv, $0, …, $r0, …)` does.
fn everything_named(file: &GoFile<'_>, function: &weave::parse::Function<'_>) -> Vec<Edit> {
    let mut namer = Namer::new(file, function, None);
    let mut names: Vec<String> = namer.receiver().into_iter().collect();
    names.extend((0..function.parameters.entries.len()).filter_map(|index| namer.parameter(index)));
    names.extend((0..function.results.entries.len()).filter_map(|index| namer.result(index)));
    assert!(names.iter().all(|name| !name.is_empty() && name != "_"), "{names:?}");
    let mut edits = namer.edits;
    edits.push(Edit::insert(function.body.start + 1, format!(" tandem_rt.Test({});", names.join(", "))));
    edits
}

fn finish(name: &str, plain: &str, edits: Vec<Edit>) -> String {
    let edits = engine::finish_edits(plain, edits).unwrap_or_else(|| panic!("{name}: the edits do not fit"));
    let woven = apply(plain, &edits);
    // Without the insertions it is the input; replaced names (`_`) and types are whole tokens of it.
    let (mut at, mut in_woven) = (0, 0);
    for edit in &edits {
        let same = edit.range.start - at;
        assert_eq!(plain[at..edit.range.start], woven[in_woven..in_woven + same], "{name}");
        assert!(
            edit.range.is_empty()
                || !plain[edit.range.clone()].contains('\n')
                || edit.text.contains(&plain[edit.range.clone()]),
            "{name}: {edit:?}"
        );
        in_woven += same + edit.text.len();
        at = edit.range.end;
        // Only what is appended may have lines of its own.
        assert!(!edit.text.contains('\n') || at == plain.len() || !edit.range.is_empty(), "{name}: {edit:?}");
    }
    woven
}

/// Go's own parser, in a process of its own.
struct Checker {
    process: std::process::Child,
    reader: std::thread::JoinHandle<String>,
}

impl Checker {
    fn start() -> Checker {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/splicer/check.go");
        let mut process = Command::new("go")
            .arg("run")
            .arg(source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("go is installed");
        let mut output = process.stdout.take().expect("piped");
        // Read all the while, or both would wait.
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).expect("the checker writes text");
            text
        });
        Checker { process, reader }
    }

    fn send(&self, name: &str, plain: &str, woven: &str) {
        let mut input = self.process.stdin.as_ref().expect("piped");
        for text in [name, plain, woven] {
            input.write_all(&(text.len() as u32).to_le_bytes()).expect("the checker reads");
            input.write_all(text.as_bytes()).expect("the checker reads");
        }
    }

    fn finish(mut self) -> String {
        drop(self.process.stdin.take());
        assert!(self.process.wait().expect("it was started").success());
        self.reader.join().expect("it reads to the end")
    }
}

fn go(arguments: &[&str]) -> String {
    let output = Command::new("go").args(arguments).output().expect("go is installed");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, files),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|extension| extension == "go") => {
                files.push(path)
            }
            _ => {}
        }
    }
}
