//! What the tests of the command line share: how a test says that it cannot run here.

use std::io::Write;

/// Whether there is no go command; then the test has been counted as skipped.
#[allow(dead_code, reason = "not every test needs Go")]
pub fn is_without_go(test: &str) -> bool {
    if weave::go::find_go().is_ok() {
        return false;
    }
    skip(test, "there is no go command in PATH");
    true
}

/// Counts the calling test as skipped, with the reason (`scripts/test.sh` adds them up).
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        let mut list = std::fs::File::options().append(true).create(true).open(path).expect("the list can be written");
        writeln!(list, "{test}: {reason}").expect("the list can be written");
    }
}
