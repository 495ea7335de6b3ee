//! The closed loop, on a program that runs: blind spot, advice, change, and the blind spot is gone.
//!
//! Guarantees: of a plain program whose time goes where no span is, `tandem advise` names the functions and the library that
//! nobody owns, with a patch; `--apply` writes that patch and nothing else; built again, the library has spans and the functions can be
//! switched on; `--apply` does so in the process that runs; then nothing is left to advise, and spans explain the time that they
//! did not explain before. What somebody has decided, with a comment beside it, is left alone. `blind/` is the program. Needs Go, and
//! the privileges of the kernel half.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::skip;
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/advise/blind");
const SERVICE: &str = "blind";
/// Far more than anything needs, on a machine that is busy with something else.
const LIMIT: Duration = Duration::from_secs(120);

/// Whether this machine lacks something; then the test has been counted as skipped.
fn is_skipped(test: &str) -> bool {
    if let Err(error) = probe::features::require_profiles() {
        skip(test, &error.to_string());
        return true;
    }
    support::is_without_go(test)
}

/// A copy of the program's source that may be changed, and a store.
struct Bed {
    folder: TempDir,
}

/// The program under `tandem run --profile`.
struct Running {
    tandem: Child,
    address: String,
}

/// What `tandem advise --json` says.
struct Advised {
    service: Value,
    advice: Vec<Value>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        fs::create_dir(folder.path().join("source")).expect("a folder");
        for file in ["go.mod", "main.go", "tandem.yaml"] {
            fs::copy(Path::new(SOURCE).join(file), folder.path().join("source").join(file)).expect("a copy");
        }
        Self { folder }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn configuration(&self) -> String {
        fs::read_to_string(self.source().join("tandem.yaml")).expect("the configuration")
    }

    fn tandem(&self, arguments: &[&str]) -> Command {
        let mut tandem = Command::new(TANDEM);
        tandem.args(arguments).current_dir(self.source());
        tandem.env("TANDEM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        tandem.env("TANDEM_STORE", self.folder.path().join("store")).env("COLUMNS", "100");
        tandem.env("OTEL_SERVICE_NAME", SERVICE);
        tandem
    }

    fn build(&self) {
        let output = self.tandem(&["go", "build", "-o", "blind", "."]).output().expect("tandem starts");
        assert!(output.status.success(), "tandem go build: {}", text(&output.stderr));
    }

    fn start(&self) -> Running {
        let mut tandem = self
            .tandem(&["run", "--no-ui", "--profile=397", "--", "./blind"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tandem starts");
        let mut line = String::new();
        BufReader::new(tandem.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(address.contains(':'), "the program says: {line:?}");
        Running { tandem, address }
    }

    fn advise(&self, arguments: &[&str]) -> Output {
        self.tandem(&["advise", "--service", SERVICE]).args(arguments).output().expect("tandem starts")
    }

    fn advised(&self) -> Advised {
        let output = self.advise(&["--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let (services, advice): (Vec<Value>, Vec<Value>) = lines.partition(|line| line["kind"] == "service");
        Advised { service: services.into_iter().next().unwrap_or_default(), advice }
    }

    /// Makes requests until what is advised is so.
    fn ask_until(&self, program: &Running, what: &str, is_so: impl Fn(&Advised) -> bool) -> Advised {
        let deadline = Instant::now() + LIMIT;
        loop {
            (0..10).for_each(|_| program.ask());
            let advised = self.advised();
            if is_so(&advised) {
                return advised;
            }
            assert!(Instant::now() < deadline, "{what}: {:?}\n{:#?}", advised.service, advised.advice);
        }
    }
}

impl Advised {
    fn titled(&self, title: &str) -> Option<&Value> {
        self.advice.iter().find(|advice| advice["title"].as_str().is_some_and(|text| text.contains(title)))
    }

    fn explained(&self) -> f64 {
        self.service["explained_on_cpu"].as_f64().expect("a share")
    }
}

impl Running {
    fn ask(&self) {
        let mut connection = TcpStream::connect(&self.address).expect("the program serves");
        connection.write_all(b"GET /report HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.tandem), Signal::TERM).expect("it runs");
        self.tandem.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.tandem.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(Pid::from_child(&self.tandem), Signal::TERM);
            let _ = self.tandem.wait();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn blind_spots_are_found_advised_and_gone() {
    if is_skipped("advise blind_spots_are_found_advised_and_gone") {
        return;
    }
    let bed = Bed::new();
    bed.build();
    let program = bed.start();
    let (hot, library) = ("main.totals is hot", "os/exec is in the program and has no spans");
    let advised = bed.ask_until(&program, "nothing is advised", |advised| {
        advised.titled(hot).is_some() && advised.titled(library).is_some()
    });
    let before = advised.explained();
    assert!(before < 0.1, "no span says what runs: {:?}", advised.service);
    let advice = advised.titled(hot).expect("advice");
    assert_eq!(advice["acts"][0]["change"], "functions", "{advice:#}");
    let patch = advice["patch"].as_str().expect("a patch");
    assert!(patch.contains("+functions:\n+  - packages: [\".\"]\n"), "{patch}");
    assert!(!advice["traces"].as_array().expect("examples").is_empty(), "{advice:#}");
    assert!(advised.titled("cobra").is_none(), "it is not in the program, and somebody has decided");

    let unchanged = bed.configuration();
    let applied = bed.advise(&["--apply"]);
    let said = text(&applied.stderr);
    assert!(applied.status.success() && said.contains("take `os/exec` out of `disable:`"), "{said}");
    let after = "# What the shop's owners decided.\ndisable:\n  - cobra # nobody looks at commands here\n\
                 functions:\n  - packages: [\".\"]\n";
    assert_eq!(bed.configuration(), after, "from\n{unchanged}");
    let again = text(&bed.advise(&[]).stdout);
    assert!(again.contains("build again"), "{again}");
    program.stop();

    bed.build();
    let program = bed.start();
    let advised = bed.ask_until(&program, "the function cannot be switched on", |advised| {
        advised.titled(hot).is_some_and(|advice| advice["acts"][0]["do"] == "enable")
    });
    assert!(advised.titled(library).is_none(), "its pack is woven: {:#?}", advised.advice);
    let traces = bed.tandem(&["trace", "last", "--json"]).output().expect("tandem starts");
    let spans = text(&traces.stdout);
    assert!(spans.contains("\"scope\":\"tandem/os/exec\""), "the library has spans: {spans}");
    let command = advised.titled(hot).expect("advice")["commands"][0].as_str().expect("a command").to_owned();
    assert_eq!(command, "tandem enable 'example.com/blind.totals' --service blind");

    let applied = bed.advise(&["--apply"]);
    let said = text(&applied.stderr);
    assert!(applied.status.success() && said.contains("example.com/blind.totals on"), "{said}");
    assert_eq!(bed.configuration(), after);
    let gone = bed.ask_until(&program, "the blind spot is still there", |advised| {
        advised.titled("is hot").is_none() && advised.explained() > 0.5
    });
    assert!(gone.explained() > before, "{:?}", gone.service);
    let applied = bed.advise(&["--apply"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert_eq!(bed.configuration(), after);
    program.stop();
}

/// What cannot be changed is refused, with what to write; what is there stays.
#[test]
fn what_cannot_be_applied_is_refused_clearly() {
    if is_skipped("advise what_cannot_be_applied_is_refused_clearly") {
        return;
    }
    let bed = Bed::new();
    let odd = "disable: [\n  os/exec,\n]\n";
    fs::write(bed.source().join("tandem.yaml"), odd).expect("the configuration");
    bed.build();
    let program = bed.start();
    bed.ask_until(&program, "nothing is advised", |advised| advised.titled("os/exec is in").is_some());
    let applied = bed.advise(&["--apply"]);
    let said = text(&applied.stderr);
    assert_eq!(applied.status.code(), Some(1), "{said}");
    assert!(said.contains("tandem: not applied: ") && said.contains("take `os/exec` out of `disable:`"), "{said}");
    assert!(bed.configuration().starts_with(odd), "{}", bed.configuration());

    fs::write(bed.source().join("tandem.yaml"), "disable: os/exec\n").expect("the configuration");
    let broken = bed.advise(&["--apply"]);
    assert_eq!(broken.status.code(), Some(3), "{}", text(&broken.stderr));
    assert_eq!(bed.configuration(), "disable: os/exec\n");
    program.stop();
}
