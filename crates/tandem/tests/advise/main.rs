//! The closed loop, on a program that runs: blind spot, advice, change, and the blind spot is gone.
//!
//! Guarantees: of a plain program whose time goes where no span is, `tandem advise` names the functions and the library that
//! nobody owns, with a patch; `--apply` writes that patch and nothing else; built again, the library has spans and the functions can be
//! switched on; `--apply` does so in the process that runs; then nothing is left to advise, and spans explain the time that they
//! did not explain before. What somebody has decided, with a comment beside it, is left alone. `blind/` is the program; the shop
//! (`examples/shop`, `make test-advise`) is another one. Needs Go, and the privileges of the kernel half.

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
const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop");
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
    /// Whose advice is asked for.
    service: &'static str,
}

/// The program under `tandem run --profile`.
struct Running {
    tandem: Child,
    /// What it has said first.
    line: String,
}

/// What `tandem advise --json` says.
struct Advised {
    service: Value,
    advice: Vec<Value>,
}

impl Bed {
    fn of(source: &str, service: &'static str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        copy(Path::new(source), &folder.path().join("source"));
        Self { folder, service }
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
        tandem
    }

    fn build(&self, arguments: &[&str]) {
        let output = self.tandem(&["go", "build", "-o"]).args(arguments).output().expect("tandem starts");
        assert!(output.status.success(), "tandem go build: {}", text(&output.stderr));
    }

    fn start(&self, program: &[&str]) -> Running {
        let mut tandem = self.tandem(&["run", "--no-ui", "--profile=397", "--"]);
        if let [_] = program {
            tandem.env("OTEL_SERVICE_NAME", self.service);
        }
        let mut tandem =
            tandem.args(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("tandem starts");
        let mut line = String::new();
        BufReader::new(tandem.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "the program has ended");
        Running { tandem, line }
    }

    fn advise(&self, arguments: &[&str]) -> Output {
        self.tandem(&["advise", "--service", self.service]).args(arguments).output().expect("tandem starts")
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
    fn ask_until(&self, ask: &dyn Fn(), what: &str, is_so: impl Fn(&Advised) -> bool) -> Advised {
        let deadline = Instant::now() + LIMIT;
        loop {
            ask();
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

    fn share(&self, name: &str) -> f64 {
        self.service[name].as_f64().expect("a share")
    }

    fn explained(&self) -> f64 {
        self.share("explained_on_cpu")
    }
}

impl Running {
    /// Of `blind`: some requests.
    fn ask(&self) {
        for _ in 0..10 {
            let address = self.line.trim().rsplit(' ').next().unwrap_or_default();
            let mut connection = TcpStream::connect(address).expect("the program serves");
            connection.write_all(b"GET /report HTTP/1.0\r\n\r\n").expect("a request");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        }
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

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).expect("a copy")),
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
    let bed = Bed::of(SOURCE, "blind");
    bed.build(&["blind", "."]);
    let program = bed.start(&["./blind"]);
    let (hot, library) = ("main.totals is hot", "os/exec is in the program and has no spans");
    let advised = bed.ask_until(&|| program.ask(), "nothing is advised", |advised| {
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

    bed.build(&["blind", "."]);
    let program = bed.start(&["./blind"]);
    let advised = bed.ask_until(&|| program.ask(), "the function cannot be switched on", |advised| {
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
    let gone = bed.ask_until(&|| program.ask(), "the blind spot is still there", |advised| {
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
    let bed = Bed::of(SOURCE, "blind");
    let odd = "disable: [\n  os/exec,\n]\n";
    fs::write(bed.source().join("tandem.yaml"), odd).expect("the configuration");
    bed.build(&["blind", "."]);
    let program = bed.start(&["./blind"]);
    bed.ask_until(&|| program.ask(), "nothing is advised", |advised| advised.titled("os/exec is in").is_some());
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

/// Many short spans, and calls that outlive their requests.
#[test]
fn noise_and_lost_context_are_told() {
    if is_skipped("advise noise_and_lost_context_are_told") {
        return;
    }
    let bed = Bed::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/advise/noisy"), "noisy");
    bed.build(&["noisy", "."]);
    let program = bed.start(&["./noisy"]);
    let enabled = bed.tandem(&["enable", "example.com/noisy.price", "--service", "noisy", "--limit", "0"]).output();
    assert!(enabled.expect("tandem starts").status.success());
    let noise = "spans of main.price cost more than they tell";
    let advised = bed.ask_until(&|| program.ask(), "no noise", |advised| advised.titled(noise).is_some());
    let command = advised.titled(noise).expect("advice")["commands"][0].as_str().expect("a command").to_owned();
    assert_eq!(command, "tandem disable 'example.com/noisy.price' --service noisy");
    let unchanged = bed.configuration();
    let applied = bed.advise(&["--apply"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert_eq!(bed.configuration(), unchanged, "what is on is for people to switch off");

    let disabled = Command::new("sh").arg("-c").arg(command.replacen("tandem", TANDEM, 1)).output();
    assert!(disabled.expect("a shell").status.success());
    let advised = bed.ask_until(&|| program.ask(), "no lost context", |advised| {
        advised.titled(noise).is_none() && advised.titled("GET goes on after its request").is_some()
    });
    let lost = advised.titled("GET goes on").expect("advice");
    assert!(lost["evidence"][0].as_str().is_some_and(|text| text.contains("had ended: GET /report")), "{lost:#}");
    assert!(lost["acts"][0]["text"].as_str().is_some_and(|text| text.contains("context.WithoutCancel")), "{lost:#}");
    program.stop();
}

const SERVICES: [&str; 4] = ["./cmd/gateway", "./cmd/inventory", "./cmd/orders", "./cmd/worker"];

/// The shop draws invoices on goroutines of a pool, where no span is around.
#[test]
#[ignore = "weaves and builds the shop twice: make test-advise"]
fn the_shops_invoices_are_found_and_get_spans() {
    if is_skipped("advise the_shops_invoices_are_found_and_get_spans") {
        return;
    }
    let bed = Bed::of(SHOP, "unknown_service:worker");
    let weave = || bed.build(&[&["bin/"], &SERVICES[..]].concat());
    weave();
    let mut plain = Command::new("go");
    plain.args(["build", "-o", "plain/", "./cmd/shop", "./cmd/loadgen"]).current_dir(bed.source());
    assert!(plain.status().expect("go starts").success());
    let shop = ["plain/shop", "--json", "--bin-dir", "bin", "--log-dir", "logs"];
    let load = |program: &Running| {
        let said: Value = serde_json::from_str(&program.line).expect("the shop's addresses");
        let gateway = said["addresses"]["gateway"].as_str().expect("an address").to_owned();
        let mut customers = Command::new(bed.source().join("plain/loadgen"));
        customers.args(["--json", "--gateway", &gateway, "--requests", "200"]);
        assert!(customers.output().expect("customers").status.success());
    };
    let hot = "worker.(*Worker).handle is hot";

    let program = bed.start(&shop);
    let advised = bed.ask_until(&|| load(&program), "nothing is advised", |advised| advised.titled(hot).is_some());
    let acts = &advised.titled(hot).expect("advice")["acts"];
    assert_eq!((&acts[0]["change"], &acts[0]["packages"]), (&"functions".into(), &"./internal/worker".into()));
    let applied = bed.advise(&["--apply"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert_eq!(bed.configuration(), "functions:\n  - packages: [./internal/worker]\n");
    program.stop();

    weave();
    let program = bed.start(&shop);
    let advised = bed.ask_until(&|| load(&program), "the function cannot be switched on", |advised| {
        advised.titled(hot).is_some_and(|advice| advice["acts"][0]["do"] == "enable")
    });
    let before = advised.share("outside_of_spans");
    let applied = bed.advise(&["--apply"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    let gone = bed.ask_until(&|| load(&program), "the blind spot is still there", |advised| {
        advised.titled(hot).is_none() && advised.share("outside_of_spans") < before * 0.8
    });
    println!("outside of spans: {before:.2}, then {:.2}", gone.share("outside_of_spans"));
    program.stop();
}
