//! A disk that is full: what cannot be written is counted, what is there stays readable and whole, and once there is room
//! the store goes on by itself.

mod fixture;

use std::fs;
use std::path::Path;
use std::process::Command;

use deliver::Sink;
use fixture::{Details, batch_of, flush, span, unlimited};
use model::Span;
use store::{Reader, Store, TraceFilter};

/// The folder of the small disk, for the process that has it to itself.
const DISK: &str = "TANDEM_TEST_SMALL_DISK";

#[test]
fn a_full_disk_costs_what_is_new_and_nothing_else() {
    if let Some(disk) = std::env::var_os(DISK) {
        return fill(Path::new(&disk));
    }
    // In a name space of its own a process may mount, and what it mounts is gone with it.
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=3m tmpfs \"$0\" || exit 77; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["a_full_disk_costs_what_is_new_and_nothing_else", "--exact", "--nocapture"])
        .env(DISK, folder.path())
        .output();
    match output {
        Ok(output)
            if output.status.code() == Some(77) || output.status.code() == Some(1) && is_refused(&output.stderr) =>
        {
            skip("a_full_disk_costs_what_is_new_and_nothing_else", "no small disk can be mounted here");
        }
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        }
        Err(_) => skip("a_full_disk_costs_what_is_new_and_nothing_else", "there is no unshare"),
    }
}

fn is_refused(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).starts_with("unshare:")
}

fn numbered(number: u64) -> Span {
    let mut span = span(0, 1, 0, "a", "step", number, 1).with("filler", "x".repeat(500).as_str());
    span.trace_id.0[8..].copy_from_slice(&(number + 1).to_be_bytes());
    span
}

fn fill(disk: &Path) {
    let folder = disk.join("store");
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect("there is room");
    let store = Store::open(&folder, unlimited()).expect("the store opens");
    let mut number = 0;
    while !store.report().dropped.contains_key("write_failed") {
        assert!(number < 100_000, "the disk has no end");
        let spans: Vec<Span> = (number..number + 100).map(numbered).collect();
        number += 100;
        store.offer(&batch_of(&spans)).expect("the queue has room");
        flush(&store);
    }
    let report = store.report();
    assert!(report.problem.as_deref().is_some_and(|problem| problem.contains("disk is full")), "{report:?}");
    assert_eq!(report.delivered + report.dropped["write_failed"], number);
    // Readers share a file with the writer, which is there already.
    assert_eq!(traces(&folder), report.delivered);

    fs::remove_file(&filler).expect("the filler goes");
    let spans: Vec<Span> = (number..number + 100).map(numbered).collect();
    store.offer(&batch_of(&spans)).expect("the queue has room");
    flush(&store);
    let after = store.report();
    assert_eq!((after.delivered, after.problem), (report.delivered + 100, None));
    assert_eq!(traces(&folder), after.delivered);
    drop(store);
    let database = rusqlite::Connection::open(folder.join("spans.sqlite3")).expect("the database opens");
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check runs");
    assert_eq!(verdict, "ok");
}

/// How many traces are found, by a search that asks every block.
fn traces(folder: &Path) -> u64 {
    let reader = Reader::open(folder).expect("the store opens");
    let query = "filler=xxx* service=a".parse().expect("a query");
    let filter = TraceFilter { query, limit: usize::MAX, ..TraceFilter::default() };
    reader.traces(&filter).expect("the query runs").len() as u64
}

/// Counts the calling test as skipped, with the reason (`scripts/test.sh` adds them up).
fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        use std::io::Write;
        let mut list = fs::File::options().append(true).create(true).open(path).expect("the list can be written");
        writeln!(list, "{test}: {reason}").expect("the list can be written");
    }
}
