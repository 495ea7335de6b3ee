//! What the tests of the command line share: how a test says that it cannot run here.

use std::io::Write;

/// Counts the calling test as skipped, with the reason (`scripts/test.sh` adds them up).
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        let mut list = std::fs::File::options().append(true).create(true).open(path).expect("the list can be written");
        writeln!(list, "{test}: {reason}").expect("the list can be written");
    }
}
