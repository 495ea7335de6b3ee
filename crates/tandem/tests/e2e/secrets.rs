//! Nothing that is secret leaves a program by itself: `tests/secrets` has marked secrets wherever programs have them, and every
//! way out is searched for the marks: the store, the file of spans, OTLP as a server gets it, Prometheus.
//!
//! What the program logs is its own choice, and no part of this.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::golang::woven;
use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, eventually};
use crate::servers::{self, Missing};
use crate::spans::{attribute, kind};
use crate::support::skip;

/// What each secret begins with. It is no word of anything else.
const MARK: &str = "zq7hidden";

/// Headers that somebody asks for, in the words of one language of OpenTelemetry or another: those that are secret by their names, too.
const CAPTURED: [(&str, &str); 4] = [
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "X-Shop-Flavour,Cookie,X-Api-Key,Referer"),
    (
        "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_RESPONSE_HEADERS",
        "x-shop-flavour, set-cookie, x-token, content-location",
    ),
    (
        "OTEL_INSTRUMENTATION_HTTP_CLIENT_CAPTURE_REQUEST_HEADERS",
        "x-shop-flavour,authorization,cookie,x-api-key,referer",
    ),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE", "X-Shop-Flavour,Set-Cookie,X-Token,Content-Location"),
];

/// The place where a mark is, with what is around it.
fn marked(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let around = &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())];
    Some(String::from_utf8_lossy(around).into_owned())
}

/// A server that takes whatever is sent by HTTP, and keeps it.
struct Sink {
    address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&received);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let target = Arc::clone(&target);
                thread::spawn(move || take(connection, &target));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers the requests of a connection, with their heads and bodies into `target`.
fn take(connection: TcpStream, target: &Mutex<Vec<u8>>) -> Option<()> {
    let mut answers = connection.try_clone().ok()?;
    let mut reader = BufReader::new(connection);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            reader.read_line(&mut head).ok().filter(|&read| read > 0)?;
            let line = head[before..].trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut received = target.lock().unwrap_or_else(PoisonError::into_inner);
        received.extend(head.as_bytes());
        received.extend(body);
        drop(received);
        answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn nothing_that_is_secret_is_exported() {
    if crate::support::is_without_go("secrets nothing_that_is_secret_is_exported") {
        return;
    }
    let program = woven("tests/secrets", &["."]).join("secrets");
    let (rig, sink) = (Rig::new(), Sink::start());
    let redis = servers::start("redis").map_err(|Missing(reason)| skip("secrets redis", &reason)).ok();
    let mut command = rig.observe("run");
    command.args(["--metrics", "127.0.0.1:0", "--"]).arg(program).arg(format!("--token={MARK}-own-argument"));
    command.env("MARK", MARK).env("OTEL_LOGS_EXPORTER", "otlp");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", sink.address));
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "200").envs(CAPTURED);
    command.envs(redis.iter().flat_map(|server| server.environment.clone()));
    let mut running = Running::start(&mut command);
    let metrics = running.address("metrics");
    running.stdout_line(|line| (line == "done").then_some(()));
    let scraped = eventually(LIMIT, || {
        let text = prometheus::get(&metrics, "/metrics");
        (text.contains("http_server_request_duration") && text.contains("db_client_operation_duration")).then_some(text)
    });
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();

    let spans = rig.spans();
    let of = |wanted: &str, key: &str| {
        let one = spans.iter().find(|span| kind(span.kind) == wanted && span.attributes.contains_key(key));
        one.map(|span| attribute(span, key)).unwrap_or_default()
    };
    // What is searched is there: each place that had a secret is told without it.
    let url = of("client", "url.full");
    assert!(url.contains("//REDACTED:REDACTED@") && url.contains("sig=REDACTED"), "{url}");
    assert!(of("server", "url.query").contains("X-Amz-Signature=REDACTED"), "{}", of("server", "url.query"));
    assert!(
        spans.iter().any(|span| attribute(span, "db.query.text") == "INSERT INTO users (name, password) VALUES (?, ?)")
    );
    assert!(spans.iter().any(|span| attribute(span, "process.executable.name") == "true"));

    for (side, message, flavour) in [
        ("client", "request", "chocolate"),
        ("server", "request", "chocolate"),
        ("client", "response", "vanilla"),
        ("server", "response", "vanilla"),
    ] {
        let header = |name: &str| of(side, &format!("http.{message}.header.{name}"));
        assert_eq!(header("x-shop-flavour"), format!("[\"{flavour}\"]"), "{side} {message}");
        let (hidden, shown, text) = match message {
            "request" => ("cookie", "referer", "[\"https://shop.example/?password=REDACTED\"]"),
            _ => ("set-cookie", "content-location", "[\"https://REDACTED:REDACTED@shop.example/?token=REDACTED\"]"),
        };
        assert_eq!(header(hidden), "[\"REDACTED\"]", "{side} {message}");
        assert_eq!(header(shown), text, "{side} {message}");
    }
    assert!(spans.iter().any(|span| attribute(span, "rpc.method") == "grpc.health.v1.Health/Check"));
    let commands = ["hset ? ? ?", "lpush ? ?; publish ? ?", "eval ? ? ? ?", "auth ? ?"];
    let known: Vec<String> = spans.iter().map(|span| attribute(span, "db.query.text")).collect();
    let lost: Vec<&str> =
        commands.into_iter().filter(|text| redis.is_some() && !known.iter().any(|known| known == text)).collect();
    assert!(lost.is_empty(), "{lost:?} is not among {known:?}");

    let mut outputs = vec![("OTLP".to_owned(), sink.received())];
    outputs.push(("Prometheus".to_owned(), scraped.expect("metrics of what it did").into_bytes()));
    outputs.push(("the file of spans".to_owned(), serde_json::to_vec(&spans).expect("plain data")));
    outputs.push(("the logs".to_owned(), serde_json::to_vec(&rig.logs(&[])).expect("plain data")));
    let store = files_below(&rig.store()).into_iter().map(|file| fs::read(file).expect("a file of the store"));
    outputs.push(("the store".to_owned(), store.collect::<Vec<_>>().concat()));
    let empty: Vec<&str> =
        outputs.iter().filter(|(_, bytes)| bytes.is_empty()).map(|(what, _)| what.as_str()).collect();
    assert!(empty.is_empty(), "nothing came out of {}", empty.join(", "));
    for signal in ["v1/traces", "v1/metrics", "v1/logs"] {
        let path = format!("POST /{signal} ");
        let otlp = &outputs[0].1;
        assert!(otlp.windows(path.len()).any(|window| window == path.as_bytes()), "no {signal} was sent");
    }
    let found: Vec<String> =
        outputs.iter().filter_map(|(what, bytes)| Some(format!("{what}: {}", marked(bytes)?))).collect();
    assert!(found.is_empty(), "secrets came out:\n{}", found.join("\n"));
}
