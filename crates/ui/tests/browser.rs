//! The page in a real browser (Debian's chromium, or `$CHROMIUM`), driven by `web/tests/page.mjs` over playwright-core.
//!
//! Scenario: a store with a shop's traces, a hostile name among them; while the script looks on, a trace is added, then the
//! server ends. Guarantees: what the script checks. Without a browser or the page's node modules the test counts as
//! skipped, with the reason. `TANDEM_SCREENSHOTS=DIR` keeps pictures of every view.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use model::Span;
use store::Reader;
use tempfile::TempDir;

/// Spans of the trace that is too large to be drawn whole.
const LARGE: u64 = 3000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = match find_browser() {
        Ok(browser) => Trial::test("the_page_works_in_a_browser", move || run(&browser)),
        Err(reason) => {
            println!("skipped: the_page_works_in_a_browser: {reason}");
            Trial::test("the_page_works_in_a_browser", || Ok(())).with_kind("skipped").with_ignored_flag(true)
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

fn find_browser() -> Result<PathBuf, String> {
    if !web().join("node_modules/playwright-core").is_dir() {
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

/// A trace of many spans, ten below each.
fn large() -> Vec<Span> {
    (0..LARGE)
        .map(|index| {
            let mut span = fixture::span(90, 1, 0, "batch", &format!("step {index}"), 20_000_000 + index * 10, 10_000);
            span.span_id.0[..4].copy_from_slice(&(index as u32 + 1).to_be_bytes());
            span.parent_span_id = (index > 0).then(|| {
                let mut parent = span.span_id;
                parent.0[..4].copy_from_slice(&(((index - 1) / 10) as u32 + 1).to_be_bytes());
                parent
            });
            span
        })
        .collect()
}

fn run(browser: &Path) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let server = ui::serve(Reader::open(folder.path())?, ui::parse_address("0")?)?;
    let mut script = Command::new("node")
        .arg("tests/page.mjs")
        .arg(server.url())
        .current_dir(web())
        .env("CHROMIUM", browser)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut answers = script.stdin.take().ok_or("no pipe")?;
    let mut server = Some(server);
    // The script asks for what only this side can do, and waits for an answer.
    for line in BufReader::new(script.stdout.take().ok_or("no pipe")?).lines() {
        match line?.as_str() {
            "fill" => {
                fixture::write(folder.path(), &fixture::shop());
                fixture::write(folder.path(), &large());
            }
            "add" => {
                fixture::write(folder.path(), &[fixture::span(100, 1, 0, "gateway", "GET /fresh", 30_000_000, 900)]);
            }
            "stop" => drop(server.take()),
            other => {
                println!("{other}");
                continue;
            }
        }
        writeln!(answers, "done")?;
    }
    let status = script.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the page's checks failed: {status}").into()) }
}
