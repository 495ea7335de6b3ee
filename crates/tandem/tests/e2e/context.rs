//! The bed of concurrency shapes (`tests/programs/context`): each of its spans says what its parent must be, by
//! construction, in the words of its `truth.go`. The rules are those of `docs/context.md`.
//!
//! Guarantees: of all spans that come out, every one has the parent that it says, and those of packs lie where the bed's
//! spans below them say; none is missing, none is there twice, none is left unfinished. And nothing is kept: the program's
//! memory, its goroutines and its open spans at the end are those of its beginning.
//!
//! `make test` runs some 20,000 spans, `make test-context` a million, plainly and with the race detector
//! (`TANDEM_CONTEXT_SPANS`), `make soak` an hour (`TANDEM_SOAK`).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::thread;
use std::time::Duration;

use model::{Kind, Span, SpanId, TraceId};
use serde::Deserialize;

use crate::golang::{woven, woven_with_race_detector};
use crate::rig::{BUILD_LIMIT, LIMIT, Rig, Running, repository, run, tandem};
use crate::spans::attribute;

const MODULE: &str = "tests/programs/context";
const PROGRAM: &str = "context-bed";
const SHORT: &str = "20000";
/// How long what has no end of its own may take.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn every_parent_is_right_and_nothing_is_kept() {
    if crate::support::is_without_go("context every_parent_is_right_and_nothing_is_kept") {
        return;
    }
    check(&woven(MODULE, &["."]).join(PROGRAM), &["-spans", SHORT], Memory::Whole, 4 * LIMIT);
}

#[test]
#[ignore = "make test-context"]
fn every_parent_of_a_million_is_right() {
    check(&woven(MODULE, &["."]).join(PROGRAM), &["-spans", &spans()], Memory::Whole, LONG);
}

#[test]
#[ignore = "make test-context"]
fn every_parent_is_right_with_the_race_detector() {
    check(&woven_with_race_detector(MODULE, &["."]).join(PROGRAM), &["-spans", &spans()], Memory::Heap, LONG);
}

#[test]
#[ignore = "make soak"]
fn soak() {
    let duration = std::env::var("TANDEM_SOAK").unwrap_or_else(|_| "1h".to_owned());
    check(&woven(MODULE, &["."]).join(PROGRAM), &["-for", &duration, "-rate", "1000"], Memory::Whole, LONG);
}

/// The same with other versions of Go, where the shapes that need a newer one, or modules that do, are left out.
#[test]
#[ignore = "make test-go-versions"]
fn every_parent_is_right_in_go_versions_network() {
    let versions = std::env::var("TANDEM_GO_VERSIONS").unwrap_or_else(|_| "go1.21.0 go1.24.13 go1.27.4".to_owned());
    for version in versions.split_whitespace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in fs::read_dir(repository().join(MODULE)).expect("the program").flatten() {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
        }
        let number = version.strip_prefix("go1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        if number.is_some_and(|number| number < 26) {
            fs::write(folder.path().join("go.mod"), "module example.com/context-bed\n\ngo 1.21\n").expect("a go.mod");
        }
        let binary = folder.path().join(PROGRAM);
        let mut build = tandem();
        build.args(["go", "build", "-o"]).arg(&binary).arg(".").current_dir(folder.path());
        let built = run(build.env("GOTOOLCHAIN", version), BUILD_LIMIT);
        assert_eq!((built.code, &*built.stderr), (0, ""), "{version}: the weave is not whole\n{built}");
        eprintln!("{version}:");
        check(&binary, &["-spans", SHORT], Memory::Whole, LONG);
    }
}

fn spans() -> String {
    std::env::var("TANDEM_CONTEXT_SPANS").unwrap_or_else(|_| "1000000".to_owned())
}

/// What the program says of itself when it has come to rest.
#[derive(Debug, Deserialize)]
struct Measure {
    spans: u64,
    heap: u64,
    resident: u64,
    goroutines: u64,
    open: u64,
    dropped: u64,
}

/// What is looked at. The race detector's own memory grows with a program's life, woven or not.
#[derive(PartialEq, Eq)]
enum Memory {
    Whole,
    Heap,
}

/// Runs the bed.
fn check(program: &Path, arguments: &[&str], memory: Memory, limit: Duration) {
    let rig = Rig::new();
    let pipe = Pipe::new(&rig);
    let mut tandem = rig.tandem("run");
    tandem.arg("--no-ui").arg(format!("--json={}", pipe.path.display())).arg("--").arg(program).arg("-read");
    let mut running = Running::start(tandem.args(arguments));
    let reader = pipe.read(running.stdin());

    let made: u64 = running.stdout_line_within(limit, |line| line.strip_prefix("spans ")?.parse().ok());
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    let spans = reader.end();

    let measures: Vec<Measure> = finished
        .stdout
        .lines()
        .filter_map(|line| Some(serde_json::from_str(line.strip_prefix("measure ")?).expect("a measure")))
        .collect();
    let [begin, end] = &measures[..] else { panic!("two measures\n{finished}") };
    assert_nothing_kept(begin, end, memory);
    assert_eq!(end.spans, made);
    rig.assert_nothing_left();

    let judged = judge(&spans);
    assert_eq!(judged.wrong, 0, "of {} spans; for instance:\n{}", spans.len(), judged.examples);
    assert_eq!(judged.made, made, "spans of the program that came out\n{finished}");
    let lost: Vec<_> = finished.said().into_iter().filter(|line| line.contains("lost")).collect();
    assert!(lost.is_empty(), "{lost:?}");
    eprintln!("{} spans, {} of the program itself, every parent right; {begin:?}, {end:?}", spans.len(), judged.made);
}

/// Nothing grows but by what comes and goes with the moment.
fn assert_nothing_kept(begin: &Measure, end: &Measure, memory: Memory) {
    const MEGABYTE: u64 = 1 << 20;
    assert_eq!((begin.open, end.open), (0, 0), "open spans: {begin:?}, {end:?}");
    assert_eq!(end.dropped, 0, "{end:?}");
    assert!(end.heap < begin.heap + begin.heap / 4 + MEGABYTE, "{begin:?}, {end:?}");
    let resident_limit = begin.resident * 3 / 2 + 16 * MEGABYTE;
    assert!(memory == Memory::Heap || end.resident < resident_limit, "{begin:?}, {end:?}");
    assert!(end.goroutines <= begin.goroutines + 16, "{begin:?}, {end:?}");
}

/// A named pipe that tandem writes spans into: a million of them need not lie on a disk.
struct Pipe {
    path: PathBuf,
}

impl Pipe {
    fn new(rig: &Rig) -> Self {
        let path = rig.path().join("spans.pipe");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo, of coreutils");
        assert!(made.success());
        Self { path }
    }

    fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.path).expect("the pipe")
    }

    /// Reads the spans and tells the program how many of its own have come.
    fn read(self, mut program: ChildStdin) -> Reader {
        let file = self.open(); // for writing too, so that opening and reading wait for nobody
        let thread = thread::spawn(move || {
            let (mut spans, mut arrived) = (Vec::new(), 0_u64);
            for line in BufReader::new(file).lines() {
                let line = line.expect("text");
                if line == END {
                    break;
                }
                let span: Span = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let kept = Kept::of(&span);
                if kept.maker.is_bed() {
                    arrived += 1;
                    let _ = writeln!(program, "{arrived}"); // it may have ended
                }
                spans.push(kept);
            }
            spans
        });
        Reader { pipe: self, thread }
    }
}

const END: &str = "end";

struct Reader {
    pipe: Pipe,
    thread: thread::JoinHandle<Vec<Kept>>,
}

impl Reader {
    /// All spans, when nobody writes any more.
    fn end(self) -> Vec<Kept> {
        writeln!(self.pipe.open(), "{END}").expect("the pipe");
        self.thread.join().expect("spans that can be read")
    }
}

/// What is kept of a span until all are there.
struct Kept {
    key: Key,
    parent: Option<SpanId>,
    links: Box<[Key]>,
    maker: Maker,
    unfinished: bool,
}

type Key = (TraceId, SpanId);

enum Maker {
    /// The program itself, which says what the parent must be.
    Bed {
        number: u64,
        parent: Box<str>,
        shape: Box<str>,
    },
    /// A pack: the word for such spans.
    Pack(&'static str),
    Nobody(Box<str>),
}

impl Maker {
    fn is_bed(&self) -> bool {
        matches!(self, Self::Bed { .. })
    }
}

impl Kept {
    fn of(span: &Span) -> Self {
        let maker = if let Ok(number) = attribute(span, "bed.id").parse() {
            Maker::Bed {
                number,
                parent: attribute(span, "bed.parent").into(),
                shape: attribute(span, "bed.shape").into(),
            }
        } else {
            match (&*span.scope, span.kind) {
                ("tandem/net/http", Kind::Server) => Maker::Pack("server"),
                ("tandem/net/http", Kind::Client) => Maker::Pack("client"),
                ("tandem/database/sql", Kind::Client) => Maker::Pack("sql"),
                ("tandem/google.golang.org/grpc", Kind::Server) => Maker::Pack("grpc-server"),
                ("tandem/google.golang.org/grpc", Kind::Client) => Maker::Pack("grpc-client"),
                _ => Maker::Nobody(span.name.as_str().into()),
            }
        };
        Self {
            key: (span.trace_id, span.span_id),
            parent: span.parent_span_id,
            links: span.links.iter().map(|link| (link.trace_id, link.span_id)).collect(),
            maker,
            unfinished: span.unfinished,
        }
    }
}

#[derive(Default)]
struct Judged {
    made: u64,
    wrong: u64,
    /// One of each kind of mistake.
    examples: String,
}

fn judge(spans: &[Kept]) -> Judged {
    let mut judge = Judge { known: HashMap::new(), accounted: vec![false; spans.len()], spans };
    let mut mistakes: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut mistake = |what: String, example: String| mistakes.entry(what).or_insert((0, example)).0 += 1;
    for (index, span) in spans.iter().enumerate() {
        if judge.known.insert(span.key, index).is_some() {
            mistake("twice".into(), format!("{:?}", span.key));
        }
    }
    let mut made = 0;
    for span in spans {
        if span.unfinished {
            mistake("unfinished".into(), judge.way(Some(span)));
        }
        let Maker::Bed { parent, shape, .. } = &span.maker else { continue };
        made += 1;
        let words: Vec<&str> = parent.split(' ').collect();
        if !judge.has_parent(span, &words) {
            let kind: Vec<_> = words.iter().map(|word| if word.parse::<u64>().is_ok() { "N" } else { word }).collect();
            let links = span.links.iter().map(|link| judge.way(judge.find(*link))).collect::<Vec<_>>();
            let example = format!("{}, but must be below {parent}; links: {links:?}", judge.way(Some(span)));
            mistake(format!("{shape}: {}", kind.join(" ")), example);
        }
    }
    for (span, accounted) in spans.iter().zip(&judge.accounted) {
        if !accounted && !span.maker.is_bed() {
            mistake("nobody expected it".into(), judge.way(Some(span)));
        }
    }
    let mut judged = Judged { made, ..Judged::default() };
    for (what, (count, example)) in mistakes {
        judged.wrong += count;
        let _ = writeln!(judged.examples, "{count} × {what}: {example}");
    }
    judged
}

struct Judge<'a> {
    spans: &'a [Kept],
    known: HashMap<Key, usize>,
    /// Spans of packs that a span of the bed has named.
    accounted: Vec<bool>,
}

impl<'a> Judge<'a> {
    fn find(&self, key: Key) -> Option<&'a Kept> {
        Some(&self.spans[*self.known.get(&key)?])
    }

    fn has_parent(&mut self, span: &Kept, words: &[&str]) -> bool {
        match (words, span.parent, &*span.links) {
            (["link", rest @ ..], None, [link]) => self.find(*link).is_some_and(|target| self.is(target, rest)),
            (["root"], None, []) => true,
            (["link" | "root", ..], ..) => false,
            (_, Some(parent), []) => self.find((span.key.0, parent)).is_some_and(|parent| self.is(parent, words)),
            _ => false,
        }
    }

    fn is(&mut self, span: &Kept, words: &[&str]) -> bool {
        match (&span.maker, words) {
            (Maker::Bed { number, .. }, [word]) => word.parse() == Ok(*number),
            (Maker::Pack(name), [word, rest @ ..]) if name == word && !rest.is_empty() => {
                self.accounted[self.known[&span.key]] = true;
                self.has_parent(span, rest)
            }
            _ => false,
        }
    }

    /// The way up from a span, for people.
    fn way(&self, span: Option<&Kept>) -> String {
        let Some(mut span) = span else { return "one that is missing".into() };
        let mut way = String::new();
        for _ in 0..12 {
            let _ = match &span.maker {
                Maker::Bed { number, shape, .. } => write!(way, "{number} ({shape})"),
                Maker::Pack(name) => write!(way, "{name}"),
                Maker::Nobody(name) => write!(way, "{name:?}"),
            };
            let Some(parent) = span.parent else { return way + " < root" };
            let Some(next) = self.find((span.key.0, parent)) else { return way + " < one that is missing" };
            way += " < ";
            span = next;
        }
        way + "…"
    }
}
