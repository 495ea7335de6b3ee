//! What the sockets' probe sees of real processes, in the running kernel.
//!
//! These tests need privileges (CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN); without them they are counted as skipped.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use probe::uprobe::Headers;
use probe::{Bytes, SegmentReader, Sockets};
use protocol::{Fate, Seen};

use support::load_with_or_skip;

fn load(test: &str) -> Option<SegmentReader> {
    load_with(test, Headers::AsTheyAre)
}

fn load_with(test: &str, headers: Headers) -> Option<SegmentReader> {
    let sockets = load_with_or_skip(test, || Sockets::load(Bytes::DEFAULT, headers))?;
    Some(sockets.into_reader().expect("a reader"))
}

/// Takes segments until they are as wanted.
fn wait(reader: &SegmentReader, mut wanted: impl FnMut(&[Seen]) -> bool) -> Vec<Seen> {
    let (mut all, begun) = (Vec::new(), Instant::now());
    while !wanted(&all) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{all:#?}");
        all.extend(reader.take());
        thread::sleep(Duration::from_millis(5));
    }
    all
}

/// Scenario: this process listens and connects to itself. Guarantees: each byte is seen at both ends, with the same sequence
/// numbers, in order, with addresses and times; a connection inherits from its listener; of a long message only the
/// beginning is copied, the rest is counted.
#[test]
fn both_ends_of_a_connection_are_seen() {
    let Some(reader) = load("probe both_ends_of_a_connection_are_seen") else { return };
    let own = std::process::id();
    reader.sockets().watch(own, false).expect("room");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut client = TcpStream::connect(address).expect("a connection");
    let (mut server, _) = listener.accept().expect("a connection");
    client.write_all(b"a question").expect("written");
    let mut question = [0; 10];
    server.read_exact(&mut question).expect("read");
    server.write_all(&vec![b'x'; 100_000]).expect("written");
    let mut answer = vec![0; 100_000];
    client.read_exact(&mut answer).expect("read");
    drop(client);
    let of_port = |segment: &&Seen| segment.local.port() == address.port() || segment.remote.port() == address.port();
    let total = |segments: &[Seen], out: bool, server: bool| -> u32 {
        let side = segments.iter().filter(of_port).filter(|one| (one.local.port() == address.port()) == server);
        side.filter(|one| one.out == out).map(|one| one.length).sum()
    };
    let segments = wait(&reader, |all| total(all, false, false) >= 100_000 && all.iter().any(|one| one.fin));
    for server in [false, true] {
        assert_eq!((total(&segments, !server, server), total(&segments, server, server)), (10, 100_000));
    }
    let questions: Vec<_> = segments.iter().filter(of_port).filter(|one| one.bytes == b"a question").collect();
    assert_eq!(questions.len(), 2, "{segments:#?}");
    assert_eq!(questions[0].sequence, questions[1].sequence);
    assert!(questions[0].out && !questions[1].out && questions[0].time <= questions[1].time);
    assert_eq!((questions[0].local, questions[0].remote), (questions[1].remote, questions[1].local));
    assert_ne!(questions[0].cookie, questions[1].cookie);
    assert!(questions.iter().all(|one| one.process == own));
    assert_ne!(questions[0].thread, 0);
    let copied: usize =
        segments.iter().filter(of_port).filter(|one| one.length > 10 && one.out).map(|one| one.bytes.len()).sum();
    assert_eq!(copied, 4096);
}

/// Scenario: a process with connections that are older than the interest in it; then nobody is interested any more.
/// Guarantees: its connections are found, and left alone again; one that is ordered to be quiet is quiet.
#[test]
fn older_connections_are_found() {
    let Some(reader) = load("probe older_connections_are_found") else { return };
    let script = "import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\nprint('there',flush=True)\nfor line in sys.stdin: s.sendall(line.encode())\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let child = Command::new("python3")
        .args(["-c", script, &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return support::skip("probe older_connections_are_found", "there is no python3");
    };
    let (mut accepted, _) = listener.accept().expect("a connection");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("said");
    let pid = child.id();
    reader.sockets().watch(pid, false).expect("room");
    let mut say = |text: &[u8]| {
        child.stdin.as_mut().expect("piped").write_all(text).expect("written");
        let mut heard = vec![0; text.len()];
        accepted.read_exact(&mut heard).expect("read");
    };
    say(b"first\n");
    let of_port = |one: &Seen| one.remote.port() == port;
    let first = wait(&reader, |all| all.iter().any(of_port));
    let first = first.iter().find(|one| of_port(one)).expect("seen");
    assert_eq!((first.bytes.as_slice(), first.out), (b"first\n".as_slice(), true));
    reader.order(first.cookie, Fate::Quiet);
    say(b"second\n");
    say(b"third\n");
    assert!(!reader.take().iter().any(of_port));
    reader.sockets().unwatch(pid);
    say(b"fourth\n");
    assert!(!reader.take().iter().any(of_port));
    drop(child.stdin.take());
    child.wait().expect("it ends");
}

/// Scenario: a process that nobody asked for. Guarantees: nothing of it is seen.
#[test]
fn strangers_are_not_seen() {
    let Some(reader) = load("probe strangers_are_not_seen") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (mut server, _) = listener.accept().expect("a connection");
    client.write_all(b"nothing").expect("written");
    server.read_exact(&mut [0; 7]).expect("read");
    assert_eq!(reader.take(), []);
}

/// Scenario: a connection that begins as TLS does, and one that begins as HTTP/2 does, before anybody has read a byte.
/// Guarantees: nothing of the first is seen, and of the second all of a long message.
#[test]
fn what_cannot_wait_is_recognised_in_the_kernel() {
    let Some(reader) = load("probe what_cannot_wait_is_recognised_in_the_kernel") else { return };
    reader.sockets().watch(std::process::id(), false).expect("room");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[7; 30_000]].concat();
    for said in [[0x16, 3, 1, 0].repeat(50), preface] {
        let mut client = TcpStream::connect(address).expect("a connection");
        let (mut server, _) = listener.accept().expect("a connection");
        client.write_all(&said).expect("written");
        server.read_exact(&mut vec![0; said.len()]).expect("read");
        server.write_all(&said).expect("written");
        client.read_exact(&mut vec![0; said.len()]).expect("read");
    }
    let of_port = |one: &&Seen| one.local.port() == address.port();
    let copied = |all: &[Seen], out| -> usize {
        all.iter().filter(of_port).filter(|one| one.out == out).map(|one| one.bytes.len()).sum()
    };
    let all = wait(&reader, |all| copied(all, true) >= 30_000 && copied(all, false) >= 30_000);
    assert!(all.iter().all(|one| one.bytes.first() != Some(&0x16)), "TLS was seen");
}

/// One connection: who connects, and who has accepted.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    client.set_nodelay(true).expect("an option");
    let (server, _) = listener.accept().expect("a connection");
    server.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    (client, server)
}

/// Sends, in pieces, and what arrives: another thread reads it, since who reads a request serves it.
fn sent(client: &mut TcpStream, server: &mut TcpStream, pieces: &[&str]) -> String {
    let mut all = String::new();
    for piece in pieces {
        client.write_all(piece.as_bytes()).expect("written");
        let read = || {
            let (mut bytes, mut read) = (vec![0; 8192], 0);
            while read < piece.len() {
                read += server.read(&mut bytes[read..]).expect("read");
            }
            bytes.truncate(read);
            bytes
        };
        let bytes = thread::scope(|scope| scope.spawn(read).join().expect("it reads"));
        all.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
    all
}

/// Has this thread read a request.
fn read_request(client: &mut TcpStream, server: &mut TcpStream, request: &str) {
    client.write_all(request.as_bytes()).expect("written");
    server.read_exact(&mut vec![0; request.len()]).expect("read");
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn request(rest: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: shop\r\n{rest}\r\n")
}

/// Scenario: a thread of this process reads a request that names its trace, asks others before it answers, in every way, and
/// asks again afterwards; then it reads two requests at once. Guarantees: only what it asks for one request, and what surely is a request's
/// head that names no trace, gets a header, of the request's trace; all else arrives as it was sent.
#[test]
fn what_a_thread_asks_names_the_trace_of_what_it_serves() {
    let test = "probe what_a_thread_asks_names_the_trace_of_what_it_serves";
    if let Err(error) = probe::features::require_uprobes() {
        return support::skip(test, &error.to_string());
    }
    let Some(reader) = load_with(test, Headers::Insert) else { return };
    reader.sockets().watch(std::process::id(), true).expect("room");
    let (mut asked, mut serving) = connected();
    let [(mut client, mut server), (mut other, mut other_server)] = [connected(), connected()];
    let named = request(&format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"));
    read_request(&mut asked, &mut serving, &named);

    let plain = request("Accept: text/plain\r\n");
    let arrived = sent(&mut client, &mut server, &[&plain]);
    let (line, rest) = plain.split_once("\r\n").expect("lines");
    let header = arrived.strip_prefix(line).and_then(|rest| rest.strip_prefix("\r\ntraceparent: 00-"));
    let header = header.and_then(|header| header.strip_suffix(&format!("-01\r\n{rest}")));
    let (trace, span) = header.and_then(|header| header.split_once('-')).unwrap_or_else(|| panic!("{arrived}"));
    assert_eq!((trace, span.len()), (TRACE, 16), "{arrived}");
    let _ = reader.take();
    let given = reader.given();
    let [given] = given[..] else { panic!("{given:?}") };
    assert_eq!(given.span_id.map(|byte| format!("{byte:02x}")).concat(), span);
    assert!(given.served.is_some() && given.parent_id != [0; 8] && given.flags == 1, "{given:?}");

    let named = request("TraceParent: 00-11111111111111111111111111111111-2222222222222222-00\r\n");
    assert_eq!(sent(&mut client, &mut server, &[&named]), named);
    // A body may look like a request.
    let looks = request("");
    let post = format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n", looks.len());
    let arrived = sent(&mut client, &mut server, &[&post, &looks]);
    assert!(arrived.contains("traceparent: ") && arrived.ends_with(&format!("\r\n\r\n{looks}")), "{arrived}");
    assert!(sent(&mut client, &mut server, &[&request("")]).contains("traceparent: "));
    let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let arrived = sent(&mut client, &mut server, &[chunked, &looks]);
    assert!(arrived.contains("traceparent: ") && arrived.ends_with(&format!("\r\n\r\n{looks}")), "{arrived}");
    // From here on nobody knows where a request begins.
    assert_eq!(sent(&mut client, &mut server, &[&looks]), looks);
    for strange in ["\x16\x03\x01 a handshake", "GET is a word that a line may begin with\r\n\r\n"] {
        let (mut client, mut server) = connected();
        assert_eq!(sent(&mut client, &mut server, &[strange, &looks]), format!("{strange}{looks}"));
    }

    serving.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("written");
    assert_eq!(sent(&mut other, &mut other_server, &[&looks]), looks, "it serves nothing");
    let (mut second, mut also_serving) = connected();
    let (mut third, mut third_server) = connected();
    read_request(&mut second, &mut also_serving, &looks);
    assert!(sent(&mut other, &mut other_server, &[&looks]).contains("traceparent: "));
    read_request(&mut third, &mut third_server, &looks);
    assert_eq!(sent(&mut other, &mut other_server, &[&looks]), looks, "for which of two?");
}
