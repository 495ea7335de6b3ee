//! Spans on their way out of agents that end, by themselves or by SIGKILL, while the receiver is away.
//!
//! `tests/programs/steps` numbers its spans; a receiver in this process says which numbers came. Guarantee: what an agent has
//! put on disk arrives, whoever is killed meanwhile. (What happens to single requests: `crates/deliver/tests/retry.rs`.)

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use deliver::retry::segment::{HEAD, Piece, Pieces};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use rustix::process::Signal;

use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, eventually};
use crate::steps::Steps;

/// The numbers of steps in a request.
fn numbers(request: &[u8]) -> BTreeSet<u32> {
    let request = ExportTraceServiceRequest::decode(request).expect("a request");
    let spans = request.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans);
    let attributes = spans.flat_map(|span| &span.attributes).filter(|attribute| attribute.key == "step.number");
    let values = attributes.filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => u32::try_from(*number).ok(),
        Value::StringValue(text) => text.parse().ok(),
        _ => None,
    });
    values.collect()
}

/// What waits in all segments below a folder.
fn on_disk(folder: &Path) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(on_disk(&path));
        } else if let Ok(file) = fs::read(&path)
            && path.extension().is_some_and(|extension| extension == "segment")
            && file.len() > HEAD
        {
            let pieces = Pieces::of(Bytes::from(file).slice(HEAD..), HEAD as u64);
            found.extend(pieces.flat_map(|piece| match piece {
                Piece::Record(record) => numbers(&record.message),
                Piece::Damaged { .. } => BTreeSet::new(), // just being written
            }));
        }
    }
    found
}

/// A receiver of OTLP over HTTP that takes its time for each request.
#[derive(Clone, Default)]
struct Receiver {
    numbers: Arc<Mutex<BTreeSet<u32>>>,
}

impl Receiver {
    fn numbers(&self) -> BTreeSet<u32> {
        self.numbers.lock().expect("nobody has panicked").clone()
    }

    fn listen(&self, address: &str, pause: Duration) {
        let listener = eventually(LIMIT, || TcpListener::bind(address).ok()).expect("the port is free again");
        let receiver = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.serve(stream, pause));
            }
        });
    }

    fn serve(&self, stream: TcpStream, pause: Duration) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut length = 0;
            let path = line(&mut reader)?.split(' ').nth(1)?.to_owned();
            loop {
                let header = line(&mut reader)?.to_ascii_lowercase();
                if header.is_empty() {
                    break;
                }
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            thread::sleep(pause);
            if path == "/v1/traces" {
                self.numbers.lock().expect("nobody has panicked").extend(numbers(&body));
            }
            (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
        }
    }
}

/// A line without its end; `None`: there is none.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}

/// Scenario: nobody listens while one agent ends and the next is killed; a third finds a slow receiver and is killed as well; a
/// fourth does the rest. Guarantees: every number arrives; who ends says how much waits.
#[test]
fn outages_restarts_and_sigkill_lose_nothing() {
    if crate::support::is_without_go("delivery outages_restarts_and_sigkill_lose_nothing") {
        return;
    }
    let _machine = crate::agent::machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let queue = rig.path().join("queue");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let start = || {
        let mut command = rig.tandem("agent");
        command.args(["--no-ui", "--no-kernel", "--socket"]).arg(&socket);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{free}")).env("TANDEM_QUEUE", &queue);
        command.env("OTEL_METRICS_EXPORTER", "none");
        let mut agent = Running::start(&mut command);
        agent.stderr_line(|line| line.contains("listening").then_some(()));
        agent
    };
    let receiver = Receiver::default();
    // Where it is safe from SIGKILL.
    let safe = |count: usize| {
        let all = || receiver.numbers().union(&on_disk(&queue)).count();
        eventually(LIMIT, || (all() >= count).then_some(())).unwrap_or_else(|| panic!("{} of {count} are safe", all()));
    };

    let first = start();
    let mut program = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket));
    let steps = Steps::of(&mut program, &rig);
    let walk = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| drop(prometheus::get(&steps.address, &format!("/step?n={number}"))))
    };
    walk(0..20);
    let finished = first.stop();
    assert_eq!(finished.code, 0, "{finished}");
    let waits = "40 spans wait on disk for the next start: cannot reach http://";
    assert!(finished.said().iter().any(|line| line.starts_with(&format!("warning: otlp: {waits}"))), "{finished}");
    assert!(finished.said().iter().all(|line| !line.contains("lost")), "{finished}");

    let second = start();
    walk(20..40);
    safe(40);
    second.signal(Signal::KILL);
    assert_eq!(second.finish().code, 128 + 9);

    let third = start();
    walk(40..60);
    receiver.listen(&free, Duration::from_millis(300));
    walk(60..120);
    safe(120);
    third.signal(Signal::KILL);
    assert_eq!(third.finish().code, 128 + 9);

    let fourth = start();
    walk(120..130);
    eventually(LIMIT, || (receiver.numbers().len() >= 130).then_some(())).expect("all numbers arrive");
    assert_eq!(program.stop().code, 128 + 15);
    let finished = fourth.stop();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(receiver.numbers(), (0..130).collect());
    assert!(finished.said().iter().all(|line| !line.contains("wait on disk") && !line.contains("lost")), "{finished}");
    assert_eq!(on_disk(&queue), BTreeSet::new());
}
