//! What the tests of the command line share: how a test says that it cannot run here, waits for something, and asks a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes here, also where much else runs.
#[allow(dead_code, reason = "not every test waits")]
pub const PATIENCE: Duration = Duration::from_secs(120);

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

/// Waits until something holds.
#[allow(dead_code, reason = "not every test waits")]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What `http://address/path` answers, head and all, on a connection of its own.
#[allow(dead_code, reason = "not every test asks a server")]
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}
