//! `tandem ui`: serves a store until it is told to stop, and says why when it cannot.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

fn tandem_ui(store: &Path, address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(["ui", address, "--store"]).arg(store).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn it_serves_a_store_until_it_is_stopped() {
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &fixture::shop());
    for signal in ["-INT", "-TERM"] {
        let mut child = tandem_ui(store.path(), "0").spawn().expect("tandem runs");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        let host = url.trim().trim_start_matches("http://").trim_end_matches('/');
        assert!(host.starts_with("127.0.0.1:"), "{url}");
        let mut stream = TcpStream::connect(host).expect("it listens");
        write!(stream, "GET /api/services HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.ends_with(r#"{"services":["gateway","inventory","lager","orders","worker"]}"#), "{answer}");

        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn a_port_in_use_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = tandem_ui(Path::new("/nonexistent"), &address).output().expect("tandem runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.starts_with(&format!("tandem: cannot show the page at {address}: ")), "{message}");
    assert!(message.contains("port 0: any free one"), "{message}");
}
