//! Reading what a Prometheus endpoint says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::rig::LIMIT;

/// One line: a name, its labels and its value.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// A label's value, empty when there is no such label.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// All samples at `http://ADDRESS/metrics`.
pub fn scrape(address: &str) -> Vec<Sample> {
    let answer = get(address, "/metrics");
    answer.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect()
}

/// A span that stands for a bucket.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// The bucket.
    pub sample: Sample,
    pub trace_id: String,
    pub span_id: String,
    pub value: f64,
}

/// All exemplars there, in OpenMetrics.
pub fn exemplars(address: &str) -> Vec<Exemplar> {
    let (status, answer) = asking(address, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.ends_with("# EOF\n"), "not OpenMetrics: {answer}");
    let lines = answer.lines().filter_map(|line| line.split_once(" # {"));
    lines
        .map(|(bucket, exemplar)| {
            let exemplar = sample(exemplar.rsplit_once(' ').expect("a time").0.replacen("", "e{", 1).as_str());
            let label = |name: &str| exemplar.label(name).to_owned();
            Exemplar {
                sample: sample(bucket),
                trace_id: label("trace_id"),
                span_id: label("span_id"),
                value: exemplar.value,
            }
        })
        .collect()
}

/// The body of an answer with status 200.
pub fn get(address: &str, path: &str) -> String {
    let (status, body) = request(address, path);
    assert_eq!(status, 200, "http://{address}{path}: {body}");
    body
}

/// A request that may never be answered.
pub fn try_request(address: &str, path: &str) -> Option<()> {
    let mut connection = TcpStream::connect(address).ok()?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    connection.read_to_end(&mut Vec::new()).ok()?;
    Some(())
}

/// Status and body of an answer.
pub fn request(address: &str, path: &str) -> (u16, String) {
    asking(address, path, "")
}

/// The same with headers, each with its line's end.
fn asking(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n").expect("a request is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap_or_else(|error| panic!("http://{address}{path}: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = BTreeMap::new();
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    other => value.extend(other.map(|(_, character)| character)),
                },
                Some((end, '"')) => break end,
                Some((_, character)) => value.push(character),
                None => panic!("a label's value does not end: {line}"),
            }
        };
        labels.insert(label.trim_start_matches(',').to_owned(), value);
        rest = &after[end + 1..];
    }
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("not a number: {line}")) }
}
