//! What the tests of the kernel half share: how a test says that it cannot run here.

use std::io::Write;

use probe::ProbeError;

/// Loads the probe, or counts the calling test as skipped with the reason.
pub fn load_with_or_skip<T>(test: &str, load: impl FnOnce() -> Result<T, ProbeError>) -> Option<T> {
    match load() {
        Ok(loaded) => Some(loaded),
        // Without privileges, type information and the like there is nothing to test. A kernel that has it all and yet
        // refuses the program is a failure.
        Err(error @ ProbeError::Missing { .. }) => {
            skip(test, &error.to_string());
            None
        }
        Err(error) => panic!("{error}\n{}", error.remedy()),
    }
}

/// Counts the calling test as skipped (`scripts/test.sh` adds them up).
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        let mut list = std::fs::File::options().append(true).create(true).open(path).expect("the list can be written");
        writeln!(list, "{test}: {reason}").expect("the list can be written");
    }
}
