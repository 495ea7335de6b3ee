//! HTTP/1: requests and responses, one after the other, pipelined or not.

use std::collections::VecDeque;

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::{http, text};

/// Bytes of a request's or response's head; what has more is no HTTP that we follow.
const HEAD_LIMIT: usize = 32 << 10;
/// Digits and extensions of a chunk's size.
const CHUNK_LINE_LIMIT: usize = 256;

/// Others by which a request can be recognised.
const OTHER_METHODS: [&[u8]; 8] = [b"PROPFIND", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"PURGE", b"REPORT"];

fn methods() -> impl Iterator<Item = &'static [u8]> {
    http::METHODS.into_iter().chain(OTHER_METHODS)
}

pub(crate) fn detect(bytes: &[u8]) -> Found {
    if bytes.starts_with(b"HTTP/1.") {
        return Found::Protocol(Box::new(Http1::default()), Side::Server);
    }
    let Some(space) = bytes.iter().take(12).position(|&byte| byte == b' ') else {
        return match methods().any(|method| method.starts_with(bytes)) || b"HTTP/1.".starts_with(bytes) {
            true => Found::More,
            false => Found::Nothing,
        };
    };
    let method = &bytes[..space];
    if !methods().any(|known| known == method) {
        return Found::Nothing;
    }
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) if is_request_line(&bytes[..end]) => Found::Protocol(Box::new(Http1::default()), Side::Client),
        Some(_) => Found::Nothing,
        // So long that its end was not copied.
        None if bytes.len() >= 2048 => Found::Protocol(Box::new(Http1::default()), Side::Client),
        None => Found::More,
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Where the head's empty line ends.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let text = &bytes[line..at];
        if text.is_empty() || text == b"\r" {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

/// How a message's body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    /// The next thing is a head.
    #[default]
    None,
    /// After so many bytes, which are being left out.
    Length,
    /// It comes in chunks; the next thing is the size of one.
    Chunks,
    /// The last chunk has passed; the next thing is a trailer or an empty line.
    Trailers,
    /// With the connection, or it cannot be followed.
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Http1 {
    open: VecDeque<Request>,
    request: Body,
    response: Body,
    /// The status of the first of them has been told.
    answered: bool,
}

#[derive(Debug)]
struct Request {
    open: Open,
    head: bool,
    connect: bool,
}

struct Head<'a> {
    first: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let headers = lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        });
        Some(Self { first, headers: headers.collect() })
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// What the head says of the body, if anything.
    fn body(&self) -> Result<Option<(Body, u64)>, ()> {
        if let Some(coding) = self.text("transfer-encoding") {
            let chunked = coding.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
            return Ok(Some((if chunked { Body::Chunks } else { Body::Unknown }, 0)));
        }
        match self.text("content-length") {
            None => Ok(None),
            Some(length) => {
                let length = length.trim();
                let length = length.parse::<u64>().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit()));
                length.filter(|&length| length < 1 << 60).map(|length| Some((Body::Length, length))).ok_or(())
            }
        }
    }
}

impl Parser for Http1 {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        match (from, if from == Side::Client { self.request } else { self.response }) {
            (Side::Client, Body::None | Body::Length) => self.request_head(input),
            (Side::Server, Body::None | Body::Length) => self.response_head(input, out),
            (_, Body::Chunks) => self.chunk(from, input),
            (_, Body::Trailers) => self.trailer(from, input, out),
            (_, Body::Unknown) => Step::Take(input.bytes.len() as u64),
        }
    }

    fn skipped(&mut self, from: Side, time: u64, out: &mut Finished) {
        let body = self.body_of(from);
        if *body == Body::Length {
            self.body_ended(from, time, out);
        }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        self.body_ended(from, time, out);
        true
    }

    fn closed(&mut self, time: u64, out: &mut Finished) {
        // The one that was being answered; to others there is no answer.
        if self.answered
            && let Some(request) = self.open.pop_front()
        {
            out.push(request.open.finish(time));
        }
        self.open.clear();
    }

    fn oldest(&self) -> Option<u64> {
        self.open.front().map(|request| request.open.exchange.begun)
    }
}

impl Http1 {
    fn body_of(&mut self, from: Side) -> &mut Body {
        if from == Side::Client { &mut self.request } else { &mut self.response }
    }

    fn body_ended(&mut self, from: Side, time: u64, out: &mut Finished) {
        *self.body_of(from) = Body::None;
        if from == Side::Server && self.answered {
            self.answered = false;
            if let Some(request) = self.open.pop_front() {
                out.push(request.open.finish(time));
            }
        }
    }

    fn request_head(&mut self, input: &Input<'_>) -> Step {
        let bytes = input.bytes;
        if bytes[0] == b'\r' || bytes[0] == b'\n' {
            return Step::Take(1); // allowed before a request
        }
        let end = match head_end(bytes) {
            Some(end) => end,
            None if input.more && bytes.len() <= HEAD_LIMIT => return Step::More,
            None => bytes.len(),
        };
        let whole = head_end(bytes).is_some();
        let Some(head) = Head::parse(&bytes[..end]) else { return Step::GiveUp };
        let mut words = head.first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Step::GiveUp };
        if whole && !is_request_line(head.first.as_bytes()) || method.is_empty() || !method.bytes().all(is_token) {
            return Step::GiveUp;
        }
        if self.open.len() >= OPEN_LIMIT {
            return Step::GiveUp;
        }
        let mut open = input.open(Operation::Http);
        describe_request(&mut open, method, target, &head);
        self.open.push_back(Request { open, head: method == "HEAD", connect: method == "CONNECT" });
        if !whole {
            self.request = Body::Unknown;
            return Step::Lost;
        }
        match head.body() {
            Err(()) => Step::GiveUp,
            Ok(None) => Step::Take(end as u64),
            Ok(Some((Body::Length, length))) => {
                self.request = if length > 0 { Body::Length } else { Body::None };
                self.settle(Side::Client, end as u64 + length, bytes.len())
            }
            Ok(Some((body, _))) => {
                self.request = body;
                Step::Take(end as u64)
            }
        }
    }

    /// Takes a head and its body. Where all of it is here, nobody will say that it was left out.
    fn settle(&mut self, from: Side, count: u64, here: usize) -> Step {
        if count <= here as u64 {
            *self.body_of(from) = Body::None;
        }
        Step::Take(count)
    }

    fn response_head(&mut self, input: &Input<'_>, out: &mut Finished) -> Step {
        let bytes = input.bytes;
        let (end, whole) = match head_end(bytes) {
            Some(end) => (end, true),
            None if input.more && bytes.len() <= HEAD_LIMIT => return Step::More,
            None => (bytes.len(), false),
        };
        let Some(head) = Head::parse(&bytes[..end]) else { return Step::GiveUp };
        let mut words = head.first.split(' ');
        let version = words.next().and_then(|word| word.strip_prefix("HTTP/1."));
        let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse::<u16>().ok());
        let (Some(version), Some(status)) = (version, status) else { return Step::GiveUp };
        if (100..200).contains(&status) && status != 101 {
            return if whole { Step::Take(end as u64) } else { Step::Lost };
        }
        let Some(request) = self.open.front_mut() else {
            // The answer to what we have not seen.
            return match head.body() {
                Ok(Some((Body::Length, length))) if whole => Step::Take(end as u64 + length),
                _ if whole => Step::Take(end as u64),
                _ => Step::Lost,
            };
        };
        if input.role == Side::Server {
            request.open.exchange.thread = input.thread; // that answers
        }
        request.open.put("http.response.status_code", i64::from(status));
        request.open.put("network.protocol.version", format!("1.{}", version.trim()));
        let failed = status >= if input.role == Side::Client { 400 } else { 500 };
        if failed {
            request.open.fail(status.to_string(), None);
        }
        let (no_body, tunnel) =
            (request.head || status == 204 || status == 304, status == 101 || request.connect && status / 100 == 2);
        self.answered = true;
        if tunnel {
            self.body_ended(Side::Server, input.time, out);
            return Step::GiveUp; // what follows is another protocol
        }
        if !whole {
            self.response = Body::Unknown;
            return Step::Lost;
        }
        if no_body {
            self.body_ended(Side::Server, input.time, out);
            return Step::Take(end as u64);
        }
        match head.body() {
            Err(()) => Step::GiveUp,
            Ok(None) => {
                self.response = Body::Unknown; // until the connection ends
                Step::Take(end as u64)
            }
            Ok(Some((Body::Length, length))) => {
                self.response = Body::Length;
                let count = end as u64 + length;
                if count <= bytes.len() as u64 {
                    self.body_ended(Side::Server, input.time, out);
                }
                Step::Take(count)
            }
            Ok(Some((body, _))) => {
                self.response = body;
                Step::Take(end as u64)
            }
        }
    }

    fn chunk(&mut self, from: Side, input: &Input<'_>) -> Step {
        let Some(end) = input.bytes.iter().take(CHUNK_LINE_LIMIT).position(|&byte| byte == b'\n') else {
            return if input.bytes.len() >= CHUNK_LINE_LIMIT { Step::GiveUp } else { Step::More };
        };
        let line = &input.bytes[..end];
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match size {
            Some(0) => {
                *self.body_of(from) = Body::Trailers;
                Step::Take(end as u64 + 1)
            }
            Some(size) if size < 1 << 60 => Step::Take(end as u64 + 1 + size + 2),
            _ => Step::GiveUp,
        }
    }

    fn trailer(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let Some(end) = input.bytes.iter().position(|&byte| byte == b'\n') else {
            return if input.bytes.len() > HEAD_LIMIT { Step::GiveUp } else { Step::More };
        };
        if end == 0 || &input.bytes[..end] == b"\r" {
            self.body_ended(from, input.time, out);
        }
        Step::Take(end as u64 + 1)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the conventions want to know of a request, whichever version of HTTP it came by.
pub(crate) fn describe(open: &mut Open, method: &str, path: &str, host: Option<&str>, user_agent: Option<&str>) {
    let known = http::method(method.as_bytes());
    open.put("http.request.method", text::lossy(known));
    if known != method.as_bytes() {
        open.put("http.request.method_original", text::limited(method, 64));
    }
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let query = query.map(http::redact);
    match open.exchange.role {
        Side::Server => {
            open.put("url.path", text::limited(path, 1024));
            if let Some(query) = query.filter(|query| !query.is_empty()) {
                open.put("url.query", text::limited(&query, 1024));
            }
            open.put("url.scheme", "http");
            if let Some(agent) = user_agent {
                open.put("user_agent.original", text::limited(agent, 256));
            }
        }
        Side::Client => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            if let Some(host) = host {
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                open.put("url.full", text::limited(&format!("http://{host}{path}{query}"), 1024));
            }
        }
    }
    if let Some(host) = host {
        describe_server(open, host, 80);
    }
}

/// The server as the request names it.
pub(crate) fn describe_server(open: &mut Open, authority: &str, usual_port: i64) {
    let authority = text::limited(authority, 256);
    let (address, port) = http::split_host(&authority);
    if !address.is_empty() {
        open.put("server.address", address.to_owned());
        open.put("server.port", if port == 0 { usual_port } else { port.into() });
    }
}

fn describe_request(open: &mut Open, method: &str, target: &str, head: &Head<'_>) {
    let (path, authority) = match target.split_once("://") {
        // As proxies get it.
        Some((_, rest)) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            (&rest[slash..], Some(rest[..slash].rsplit('@').next().unwrap_or_default()))
        }
        None => (target, None),
    };
    let host = head.text("host").or(authority);
    describe(open, method, path, host, head.text("user-agent"));
    open.exchange.parent = head.get("traceparent").and_then(text::traceparent);
}
