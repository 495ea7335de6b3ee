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

/// It only shows, unless it was allowed more; advice comes with it, and what is in flight.
#[test]
fn it_switches_functions_on_only_where_that_was_allowed() {
    let store = TempDir::new().expect("a temporary folder");
    fixture::write(store.path(), &fixture::shop());
    for (arguments, allowed) in [(&[][..], false), (&["--ui-enable"], true)] {
        let mut child = tandem_ui(store.path(), "0").args(arguments).spawn().expect("tandem runs");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        let host = url.trim().trim_start_matches("http://").trim_end_matches('/');
        let ask = |request: String| {
            let mut stream = TcpStream::connect(host).expect("it listens");
            stream.write_all(request.as_bytes()).expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            answer
        };
        let get = |path: &str| ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        let advice = get("/api/advice");
        assert!(
            advice.contains("\"advice\":[") && advice.ends_with(&format!("\"may_enable\":{allowed}}}")),
            "{advice}"
        );
        assert!(get("/api/in-flight").starts_with("HTTP/1.1 200"));
        let body = r#"{"function":"main.nobody","service":"no such service"}"#;
        let told = ask(format!(
            "POST /api/enable HTTP/1.1\r\nHost: {host}\r\nX-Tandem-Page: 1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        let expected = if allowed { "no woven program" } else { "can only be read from" };
        assert!(told.contains(expected), "{told}");
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success() && child.wait().expect("it ends").success());
    }
}

/// Who can reach it from elsewhere needs the token in the address that is printed.
#[test]
fn a_page_for_others_has_a_token_in_its_address() {
    let store = TempDir::new().expect("a temporary folder");
    let mut child = tandem_ui(store.path(), "0.0.0.0:0").spawn().expect("tandem runs");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
    let token = url.trim().split_once("/?token=").map(|(_, token)| token.len());
    assert_eq!(token, Some(32), "{url}");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    let output = child.wait_with_output().expect("it ends");
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(killed.success() && warning.contains("and knows that token can read the traces"), "{warning}");
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
