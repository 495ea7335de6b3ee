//! A store whose disk is full.
//!
//! Scenario: the test has itself run again where it may mount a small disk, which is gone with it (as crates/store/tests/full_disk.rs does);
//! there it fills a store until the disk has no room, and makes some while the script looks on. Guarantees: what
//! `web/tests/full.mjs` checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use deliver::Sink;
use deliver::metrics::OwnMetric;
use libtest_mimic::Failed;
use model::Span;
use store::{Reader, Store};

use crate::fixture::{self, Details};

pub const NAME: &str = "the_page_says_that_the_store_is_full";

/// The folder of the small disk, for the process that has it to itself.
const DISK: &str = "TANDEM_TEST_SMALL_DISK";
const DISK_BYTES: u64 = 4 << 20;

/// In a name space of its own a process may mount; some machines do not let it.
fn where_it_may_mount(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command
}

/// Says why not.
pub fn can_be_checked() -> Result<(), String> {
    let folder = std::env::temp_dir();
    let tried = where_it_may_mount("mount -t tmpfs -o size=1m tmpfs \"$0\"").arg(folder).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if may { Ok(()) } else { Err("no small disk can be mounted here".to_owned()) }
}

pub fn run(browser: &Path) -> Result<(), Failed> {
    if let Some(disk) = std::env::var_os(DISK) {
        return check(browser, Path::new(&disk));
    }
    let folder = tempfile::TempDir::new()?;
    let script = format!("mount -t tmpfs -o size={DISK_BYTES} tmpfs \"$0\" && exec \"$@\"");
    let status = where_it_may_mount(&script)
        .arg(folder.path())
        .arg(std::env::current_exe()?)
        .args([NAME, "--exact", "--nocapture"])
        .env(DISK, folder.path())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("on the small disk: {status}").into()) }
}

/// An agent that has nothing but a store.
struct Writing(Arc<Store>);

impl ui::Host for Writing {
    fn own_numbers(&self) -> Option<Vec<OwnMetric>> {
        None
    }

    fn problems(&self) -> Vec<String> {
        self.0.report().problem.into_iter().map(|problem| format!("store: {problem}")).collect()
    }

    fn store_limit(&self) -> Option<u64> {
        Some(DISK_BYTES)
    }

    fn in_flight(&self) -> Result<Vec<ui::UnderWay>, String> {
        Ok(Vec::new())
    }

    fn advice(&self) -> Result<Vec<ui::Advice>, String> {
        Ok(Vec::new())
    }

    fn may_enable(&self) -> bool {
        false
    }

    fn enable(&self, _: &ui::Function) -> Result<String, String> {
        Err("nothing can be enabled".to_owned())
    }
}

fn check(browser: &Path, disk: &Path) -> Result<(), Failed> {
    let folder: PathBuf = disk.join("store");
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 1 << 20])?;
    let store = Arc::new(Store::open(&folder, fixture::unlimited())?);
    let mut written = 0;
    let mut write = || {
        let spans: Vec<Span> = (written..written + 100).map(numbered).collect();
        written += 100;
        store.offer(&fixture::batch_of(&spans)).expect("the queue has room");
        fixture::flush(&*store);
    };
    write();
    let reader = Reader::open(&folder)?;
    let server = ui::serve_with(reader, Arc::new(Writing(Arc::clone(&store))), ui::parse_address("0")?)?;
    crate::drive(browser, "full.mjs", &server.url(), |wish| {
        match wish {
            "fill" => {
                while store.report().problem.is_none() {
                    write();
                }
            }
            "room" => {
                fs::remove_file(&filler).expect("the filler goes");
                write();
            }
            _ => return false,
        }
        true
    })
}

fn numbered(number: u64) -> Span {
    let filler = "x".repeat(500);
    let mut span =
        fixture::span(0, 1, 0, "warehouse", "POST /pallets", 10_000_000 + number, 1).with("filler", filler.as_str());
    span.trace_id.0[8..].copy_from_slice(&(number + 1).to_be_bytes());
    span
}
