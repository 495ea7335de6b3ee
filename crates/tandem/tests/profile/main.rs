//! Profiles of a program that knows where its time goes.
//!
//! Guarantees: what `tandem profile` says of a plain Go program, woven by `tandem go build` and run under `tandem run
//! --profile`, agrees with the clocks of the program's own threads (20 %, of some hundred samples a function), on the CPU and
//! blocked; inlined functions and lines are told, also of a stripped, position-independent program; a sample carries trace
//! and span exactly when its goroutine was in one, also on goroutines that a span started; `go tool pprof` reads what is
//! written for it. `hot/` is the program. Needs Go, and the privileges of the kernel half.

#[path = "../support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Frame, ProfileKind, ProfileSample, Span};
use serde::de::DeserializeOwned;
use support::skip;
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profile/hot");
/// No multiple of the scheduler's own clock, nor close to one: what else happens at its ticks would always be there, too.
const RATE: u32 = 397;
/// Two clocks that are read one after the other, by different threads, are apart by so much at most, ns.
const CLOCKS_APART: u64 = 1_000_000;

/// Whether this machine lacks something; then the test has been counted as skipped.
fn is_skipped(test: &str) -> bool {
    if let Err(error) = probe::features::require_profiles() {
        skip(test, &error.to_string());
        return true;
    }
    support::is_without_go(test)
}

/// One run of the program, and what was seen of it.
struct Seen {
    folder: TempDir,
    cpu: HashMap<String, u64>,
    blocked: HashMap<String, u64>,
    spans: Vec<Span>,
    samples: Vec<ProfileSample>,
}

impl Seen {
    fn of(program: &Path, rate: u32, requests: u32) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let report = folder.path().join("report");
        let spans = folder.path().join("spans");
        let run = Command::new(TANDEM)
            .args(["run", "--no-ui", &format!("--profile={rate}"), &format!("--json={}", spans.display()), "--store"])
            .args([&folder.path().join("store"), Path::new("--"), program, &report])
            .arg(requests.to_string())
            .output()
            .expect("tandem starts");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "tandem run: {said}");
        assert!(said.contains("profile samples, "), "{said}");
        let report: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(report).expect("the program has reported")).expect("JSON");
        let times = |what: &str| {
            let all = report[what].as_object().expect("an object").iter();
            all.map(|(function, time)| (function.clone(), time.as_u64().expect("a time"))).collect()
        };
        let mut seen = Self {
            cpu: times("CPU"),
            blocked: times("Blocked"),
            spans: json_lines(&fs::read_to_string(spans).expect("spans")),
            samples: Vec::new(),
            folder,
        };
        seen.samples = json_lines(&seen.profile(&["--json"]));
        seen
    }

    /// What `tandem profile` prints.
    fn profile(&self, arguments: &[&str]) -> String {
        let output = Command::new(TANDEM)
            .arg("profile")
            .args(arguments)
            .arg("--store")
            .arg(self.folder.path().join("store"))
            .env("COLUMNS", "120")
            .output()
            .expect("tandem starts");
        assert!(output.status.success(), "tandem profile: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn of_function<'a>(&'a self, kind: ProfileKind, function: &'a str) -> impl Iterator<Item = &'a ProfileSample> {
        let has = move |sample: &&ProfileSample| sample.stack.iter().any(|frame| frame.function == function);
        self.samples.iter().filter(move |sample| sample.kind == kind).filter(has)
    }

    fn time(&self, kind: ProfileKind, function: &str) -> u64 {
        self.of_function(kind, function).map(|sample| sample.value_ns).sum()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, times) in [(ProfileKind::Cpu, &self.cpu), (ProfileKind::OffCpu, &self.blocked)] {
            for (function, time) in times {
                let (millis, sampled) = (*time as f64 / 1e6, self.time(kind, function) as f64 / 1e6);
                let count = self.of_function(kind, function).count();
                writeln!(
                    formatter,
                    "{:8} {function:14} {millis:8.1} ms by its clock, {sampled:8.1} ms in {count} samples",
                    kind.name()
                )?;
            }
        }
        Ok(())
    }
}

fn json_lines<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn built(name: &str, arguments: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = target.join(name);
    let output = Command::new(TANDEM)
        .args(["go", "build"])
        .args(arguments)
        .arg("-o")
        .args([&program, Path::new(".")])
        .current_dir(SOURCE)
        .env("TANDEM_CACHE", target.join("cache"))
        .output()
        .expect("tandem starts");
    assert!(output.status.success(), "tandem go build: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Where a function stands on a stack.
fn frame<'a>(sample: &'a ProfileSample, function: &str) -> Option<(usize, &'a Frame)> {
    sample.stack.iter().enumerate().find(|(_, frame)| frame.function == function)
}

#[test]
fn profiles_agree_with_the_programs_own_clocks() {
    if is_skipped("profile profiles_agree_with_the_programs_own_clocks") {
        return;
    }
    let seen = Seen::of(&built("hot", &[]), RATE, 8);
    println!("{seen}");
    for (kind, times) in [(ProfileKind::Cpu, &seen.cpu), (ProfileKind::OffCpu, &seen.blocked)] {
        for (function, &time) in times.iter().filter(|(function, _)| *function != "main.inlined") {
            let sampled = seen.time(kind, function);
            assert!(
                sampled.abs_diff(time) < time / 5,
                "{} of {function}: {sampled} is not {time}\n{seen}",
                kind.name()
            );
        }
    }
    // The loop around what was inlined is its caller's own: together they are the time.
    let (around, time) = (seen.time(ProfileKind::Cpu, "main.around"), seen.cpu["main.inlined"]);
    assert!(around.abs_diff(time) < time / 5, "main.around: {around} is not {time}\n{seen}");
    check_inlining(&seen);
    check_spans(&seen);
    check_commands(&seen);
}

fn check_inlining(seen: &Seen) {
    let inlined: Vec<_> = seen.of_function(ProfileKind::Cpu, "main.inlined").collect();
    assert!(inlined.len() > 20, "{} samples in what was inlined\n{seen}", inlined.len());
    let source = fs::read_to_string(Path::new(SOURCE).join("main.go")).expect("the source");
    let line_of = |text: &str| source.lines().position(|line| line.starts_with(text)).expect("a line") as u32 + 1;
    for sample in inlined {
        let (index, frame) = frame(sample, "main.inlined").expect("it is there");
        let caller = &sample.stack[index + 1];
        assert!(frame.inlined && !caller.inlined && caller.function == "main.around", "{sample:?}");
        let body = line_of("func inlined");
        assert!((body..body + 5).contains(&frame.line), "line {} is not in {body} to {}", frame.line, body + 5);
        assert_eq!(Path::new(&frame.file), Path::new(SOURCE).join("main.go").canonicalize().expect("a file"));
    }
    // spin has no frame of its own, so its callers must be found in another way.
    let spinning =
        seen.of_function(ProfileKind::Cpu, "main.spin").filter(|sample| sample.stack[0].function == "main.spin");
    let callers: HashSet<_> = spinning.map(|sample| sample.stack[1].function.as_str()).collect();
    assert_eq!(callers, HashSet::from(["main.plain", "main.beside", "main.deep", "main.outer"]));
    // What parks is left out, so that what it waits for is the innermost.
    for sample in seen.of_function(ProfileKind::OffCpu, "main.rests") {
        assert_eq!(
            (sample.stack[0].function.as_str(), sample.stack[1].function.as_str()),
            ("runtime.chanrecv", "runtime.chanrecv1")
        );
    }
}

fn check_spans(seen: &Seen) {
    let spans: HashMap<_, _> = seen.spans.iter().map(|span| ((span.trace_id, span.span_id), span)).collect();
    let expected = [
        (ProfileKind::Cpu, "main.plain", Some("main.request")),
        (ProfileKind::Cpu, "main.around", Some("main.request")),
        (ProfileKind::Cpu, "main.beside", Some("main.request")),
        (ProfileKind::Cpu, "main.deep", Some("main.inner")),
        (ProfileKind::OffCpu, "main.sleeps", Some("main.request")),
        (ProfileKind::OffCpu, "main.rests", Some("main.request")),
        (ProfileKind::Cpu, "main.outer", None),
    ];
    for (kind, function, name) in expected {
        for sample in seen.of_function(kind, function) {
            let ids = sample.trace_id.zip(sample.span_id);
            let Some(name) = name else {
                assert_eq!(ids, None, "{function} is outside of all spans: {sample:?}");
                continue;
            };
            let span = ids.and_then(|ids| spans.get(&ids));
            let span = span.unwrap_or_else(|| panic!("{function} is in a span: {sample:?}"));
            assert_eq!(span.name, name, "{sample:?}");
            let window = span.start_unix_nano - CLOCKS_APART..=span.start_unix_nano + span.duration_ns + CLOCKS_APART;
            assert!(window.contains(&sample.time_unix_nano), "{sample:?} is not in {window:?}");
        }
    }
}

fn check_commands(seen: &Seen) {
    // A span with its children, and one child alone.
    let request = seen.spans.iter().find(|span| span.name == "main.request").expect("a span");
    let inner = seen.spans.iter().find(|span| span.parent_span_id == Some(request.span_id)).expect("its child");
    let of_span =
        |span: &Span| json_lines::<ProfileSample>(&seen.profile(&["--json", "--span", &span.span_id.to_string()]));
    let (of_request, of_inner) = (of_span(request), of_span(inner));
    assert!(of_inner.iter().all(|sample| sample.span_id == Some(inner.span_id)));
    assert!(of_request.iter().all(|sample| sample.trace_id == Some(request.trace_id)));
    assert!(!of_inner.is_empty() && of_inner.len() < of_request.len(), "{} {}", of_inner.len(), of_request.len());
    let inner_spans: HashSet<_> =
        seen.spans.iter().filter(|span| span.name == "main.inner").map(|span| Some(span.span_id)).collect();
    let is_inner = |sample: &&ProfileSample| sample.kind == ProfileKind::Cpu && inner_spans.contains(&sample.span_id);
    let of_route = json_lines::<ProfileSample>(&seen.profile(&["--json", "--cpu", "--route", "main.INNER"]));
    assert_eq!(of_route.len(), seen.samples.iter().filter(is_inner).count(), "the samples of all inner spans");
    let table = seen.profile(&["--cpu"]);
    assert!(table.contains("on CPU") && table.contains("main.spin") && !table.contains("off CPU"), "{table}");
    let tree = seen.profile(&["--off-cpu", "--tree"]);
    assert!(tree.contains("main.sleeps") && tree.contains("[kernel: nanosleep]"), "{tree}");

    let file = seen.folder.path().join("profile.pb.gz");
    seen.profile(&["--pprof", &file.to_string_lossy()]);
    let pprof = |arguments: &[&str]| {
        let output = Command::new("go").args(["tool", "pprof"]).args(arguments).arg(&file).output().expect("go starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let top = pprof(&["-top"]);
    assert!(top.contains("Type: cpu") && top.contains("main.inlined (inline)") && top.contains("main.spin"), "{top}");
    assert!(pprof(&["-sample_index=off_cpu", "-peek", "main.sleeps"]).contains("main.blocking"));
    let tags = pprof(&["-tags"]);
    assert!(tags.contains(&request.trace_id.to_string()) && tags.contains("main.inner"), "{tags}");
}

/// Nothing but the runtime's own tables is there, and the code lies anywhere.
#[test]
fn stripped_programs_have_functions_and_lines() {
    if is_skipped("profile stripped_programs_have_functions_and_lines") {
        return;
    }
    let program = built("hot-stripped", &["-buildmode=pie", "-trimpath", "-ldflags=-s -w"]);
    let seen = Seen::of(&program, RATE, 1);
    let parked = seen.of_function(ProfileKind::OffCpu, "main.rests").next();
    assert!(parked.is_some_and(|sample| sample.span_id.is_some()), "what is parked is not seen\n{seen}");
    for function in ["main.plain", "main.beside", "main.deep", "main.outer", "main.around", "main.inlined"] {
        let sample = seen.of_function(ProfileKind::Cpu, function).next();
        let sample = sample.unwrap_or_else(|| panic!("{function} is not seen\n{seen}"));
        let (_, frame) = frame(sample, function).expect("it is there");
        assert_eq!((frame.file.as_str(), frame.inlined), ("hot/main.go", function == "main.inlined"));
        assert!(frame.line > 0 && sample.span_id.is_some() != (function == "main.outer"), "{sample:?}");
    }
}
