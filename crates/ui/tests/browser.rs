//! The page in a real browser (Debian's chromium, or `$CHROMIUM`), driven by `web/tests/page.mjs` over playwright-core.
//!
//! Scenario: a store with a shop's traces, a hostile name and a trace of 50,000 spans among them; while the script looks on, a
//! trace is added, then a quarter of an hour of traffic, then the server ends. Guarantees: what the script checks. Without a browser or the page's node modules the test counts as
//! skipped, with the reason. `TANDEM_SCREENSHOTS=DIR` keeps pictures of every view. A store on a disk that is full is in `full.rs`.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
#[path = "browser/full.rs"]
mod full;
mod traffic;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use deliver::metrics::{OwnKind, OwnMetric};
use libtest_mimic::{Arguments, Failed, Trial};
use model::Kind;
use store::Reader;
use tempfile::TempDir;
use traffic::{Traffic, large};

/// Spans of the trace that is too large to be drawn whole.
const LARGE: u64 = 50_000;
/// Requests of the traffic.
const REQUESTS: u64 = 600;

type Check = fn(&Path) -> Result<(), Failed>;

const CHECKS: [(&str, Check); 2] = [("the_page_works_in_a_browser", run), (full::NAME, full::run)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let browser = find_browser();
    let trials = CHECKS.map(|(name, check)| {
        let skipped = match (&browser, full::can_be_checked()) {
            (Err(reason), _) => reason.clone(),
            (_, Err(reason)) if name == full::NAME => reason,
            (Ok(browser), _) => {
                let browser = browser.clone();
                return Trial::test(name, move || check(&browser));
            }
        };
        println!("skipped: {name}: {skipped}");
        Trial::test(name, || Ok(())).with_kind("skipped").with_ignored_flag(true)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

fn find_browser() -> Result<PathBuf, String> {
    if !web().join("node_modules/axe-core").is_dir() {
        return Err("web/node_modules is missing: run `npm ci` in web/".to_owned());
    }
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(path.into());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
        .ok_or_else(|| "no chromium on PATH: install it, or set CHROMIUM to its path".to_owned())
}

/// An agent that has lost a little, and knows what to do next.
struct Agent;

impl ui::Host for Agent {
    fn own_numbers(&self) -> Option<Vec<OwnMetric>> {
        Some(own_numbers())
    }

    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    fn store_limit(&self) -> Option<u64> {
        Some(1 << 30)
    }

    fn in_flight(&self) -> Result<Vec<ui::UnderWay>, String> {
        let under_way = |title: &str, age_ms: u64| ui::UnderWay {
            service: "gateway".to_owned(),
            pid: 9,
            title: title.to_owned(),
            kind: Kind::Server,
            trace_id: fixture::span(1, 1, 0, "", "", 0, 0).trace_id,
            span_id: fixture::span(1, 1, 0, "", "", 0, 0).span_id,
            age_ns: age_ms * 1_000_000,
        };
        Ok(vec![under_way("POST /checkout", 4200), under_way("POST /checkout", 30), under_way("GET /products", 2)])
    }

    fn advice(&self) -> Result<Vec<ui::Advice>, String> {
        let function = ui::Function { function: "shop/mail.(*Renderer).Render".to_owned(), service: "mail".to_owned() };
        let act = |words: &str, enables| ui::Act { words: words.to_owned(), enables };
        Ok(vec![ui::Advice {
            service: "mail".to_owned(),
            title: "mail.(*Renderer).Render is hot and has no span".to_owned(),
            evidence: vec!["186 ms on the CPU, 73 % of the service's, in 37 samples".to_owned()],
            traces: Vec::new(),
            share: 0.73,
            acts: vec![
                act("tandem enable 'shop/mail.(*Renderer).Render' --service mail", Some(function)),
                act("//tandem:span above mail.(*Renderer).Render", None),
            ],
        }])
    }

    fn may_enable(&self) -> bool {
        true
    }

    fn enable(&self, function: &ui::Function) -> Result<String, String> {
        Ok(format!("{} (process 9): {} on", function.service, function.function))
    }
}

fn own_numbers() -> Vec<OwnMetric> {
    let number = |name, kind, label, points: &[(&str, u64)]| OwnMetric {
        name,
        help: "A number.",
        kind,
        label,
        points: points.iter().map(|(value, number)| ((*value).to_owned(), *number)).collect(),
    };
    let counter = OwnKind::Counter;
    vec![
        number("tandem_sessions", OwnKind::Gauge, None, &[("", 5)]),
        number("tandem_observed_programs", OwnKind::Gauge, None, &[("", 2)]),
        number("tandem_spans_total", counter, None, &[("", 184_213)]),
        number("tandem_spans_dropped_total", counter, Some("cause"), &[("ring_full", 7), ("store_queue_full", 0)]),
        number("tandem_spans_delivered_total", counter, Some("sink"), &[("store", 184_206)]),
        number("tandem_requests_seen_total", counter, Some("service"), &[("payments", 1000)]),
        number("tandem_requests_told_total", counter, Some("service"), &[("payments", 990)]),
        number(
            "tandem_budget_cost",
            OwnKind::Thousandths,
            Some("cost"),
            &[("agent_cpu_percent", 1_800), ("agent_memory_mib", 41_000), ("programs_cpu_percent", 700)],
        ),
        number(
            "tandem_budget_limit",
            OwnKind::Thousandths,
            Some("cost"),
            &[("agent_cpu_percent", 5_000), ("agent_memory_mib", 64_000), ("programs_cpu_percent", 2_000)],
        ),
        number("tandem_budget_level", OwnKind::Gauge, Some("kind"), &[("head_sampling", 12)]),
        number(
            "tandem_budget_route_kept",
            OwnKind::Thousandths,
            Some("route"),
            &[("shop /products", 130), ("shop /cart/{id}", 1_000)],
        ),
    ]
}

fn run(browser: &Path) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let reader = Reader::open(folder.path())?;
    let server = ui::serve_with(reader, Arc::new(Agent), ui::parse_address("0")?)?;
    let url = server.url();
    let mut server = Some(server);
    drive(browser, "page.mjs", &url, |wish| {
        match wish {
            "fill" => fixture::write(folder.path(), &fixture::shop()),
            // In parts: on a machine that others want as well the store takes its time.
            "large" => large::spans(LARGE).chunks(5000).for_each(|spans| fixture::write(folder.path(), spans)),
            "add" => {
                let fresh = fixture::span(100, 1, 0, "gateway", "GET /fresh", 30_000_000, 900);
                let hostile = fixture::span(100, 2, 1, fixture::HOSTILE_NAME, "answer", 30_000_100, 500);
                fixture::write(folder.path(), &[fresh, hostile]);
            }
            "traffic" => Traffic::of(REQUESTS).write(folder.path()),
            "stop" => drop(server.take()),
            _ => return false,
        }
        true
    })
}

/// Runs a script of `web/tests`. It asks for what only this side can do, and waits for an answer; what is no wish is for people.
fn drive(browser: &Path, script: &str, url: &str, mut grant: impl FnMut(&str) -> bool) -> Result<(), Failed> {
    let mut script = Command::new("node")
        .arg(Path::new("tests").join(script))
        .arg(url)
        .current_dir(web())
        .env("CHROMIUM", browser)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut answers = script.stdin.take().ok_or("no pipe")?;
    for line in BufReader::new(script.stdout.take().ok_or("no pipe")?).lines() {
        let line = line?;
        if grant(&line) {
            writeln!(answers, "done")?;
        } else {
            println!("{line}");
        }
    }
    let status = script.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the page's checks failed: {status}").into()) }
}
