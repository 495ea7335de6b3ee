//! PostgreSQL's protocol, version 3: simple and extended queries, pipelined ones, several statements in a query, COPY.

use std::collections::VecDeque;

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::query::Dialect;
use crate::reader::Reader;
use crate::sql::{self, Prepared, QUERY_LIMIT};
use crate::text;

const SYSTEM: &str = "postgresql";
const VERSION_3: u32 = 196_608;
const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
const HEAD: usize = 5;
/// No message is longer.
const MESSAGE_LIMIT: u32 = 1 << 30;
/// Bytes of a statement's name, as the server has it.
const NAME_LIMIT: usize = 63;

pub(crate) fn detect(bytes: &[u8]) -> Found {
    if bytes.len() < 8 {
        return if bytes[0] == 0 || bytes[0] == b'Q' || bytes[0] == b'P' { Found::More } else { Found::Nothing };
    }
    let mut reader = Reader::new(bytes);
    let (length, code) = (reader.u32_be().unwrap_or_default(), reader.u32_be().unwrap_or_default());
    let starts = match code {
        VERSION_3 => (9..=10_000).contains(&length),
        TLS_REQUEST | GSS_REQUEST => length == 8 && bytes.len() == 8,
        _ => false,
    };
    if starts {
        return Found::Protocol(Box::new(Postgresql::default()), Side::Client);
    }
    if is_query(bytes) {
        let parser = Postgresql { phase: Phase::Queries, ..Postgresql::default() };
        return Found::Protocol(Box::new(parser), Side::Client);
    }
    Found::Nothing
}

/// A query in the middle of a connection that was seen too late for its beginning.
fn is_query(bytes: &[u8]) -> bool {
    let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
    if !(6..=1 << 20).contains(&length) {
        return false;
    }
    let text = match bytes[0] {
        b'Q' => &bytes[HEAD..],
        // A statement's name and its text.
        b'P' => match bytes[HEAD..].iter().position(|&byte| byte == 0) {
            Some(name) if name < 64 => &bytes[HEAD + name + 1..],
            _ => return false,
        },
        _ => return false,
    };
    let end = text.iter().position(|&byte| byte == 0);
    let words = &text[..end.unwrap_or(text.len())];
    let ends = bytes[0] != b'Q' || end.is_none_or(|end| HEAD + end + 1 == 1 + length);
    ends && words.len() >= 3
        && std::str::from_utf8(&words[..words.len().min(64)])
            .is_ok_and(|words| !words.contains(char::is_control) || words.contains('\n'))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The client is about to say who it is.
    #[default]
    Startup,
    /// It has asked for encryption; the server answers with one byte.
    Encryption,
    Queries,
}

#[derive(Debug, Default)]
pub(crate) struct Postgresql {
    phase: Phase,
    database: Option<String>,
    prepared: Prepared<Vec<u8>>,
    bound: Vec<u8>,
    asked: VecDeque<Asked>,
    /// When the first message since the last one that is counted came.
    prelude: Option<Open>,
}

#[derive(Debug)]
enum Asked {
    /// A simple query: until the server is ready.
    Query(Open),
    /// The statement that a parsed one will be; it matters only if that fails.
    Parse(Open),
    Execute(Open),
    Sync,
}

impl Parser for Postgresql {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        match (self.phase, from) {
            (Phase::Startup, Side::Client) => self.startup(input),
            (Phase::Encryption, Side::Server) => match input.bytes[0] {
                b'N' => {
                    self.phase = Phase::Startup;
                    Step::Take(1)
                }
                _ => Step::GiveUp, // what follows is encrypted
            },
            (Phase::Queries, from) => self.message(from, input, out),
            _ => Step::GiveUp,
        }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        if from == Side::Server {
            // It has said all, in bytes that were not copied: what was asked has been answered.
            for asked in self.asked.drain(..) {
                if let Asked::Query(open) | Asked::Execute(open) = asked {
                    out.push(open.finish(time));
                }
            }
        }
        true
    }
}

impl Postgresql {
    fn startup(&mut self, input: &Input<'_>) -> Step {
        let mut reader = Reader::new(input.bytes);
        let (Some(length), Some(code)) = (reader.u32_be(), reader.u32_be()) else { return Step::More };
        match code {
            TLS_REQUEST | GSS_REQUEST if length == 8 => {
                self.phase = Phase::Encryption;
                Step::Take(8)
            }
            CANCEL_REQUEST => Step::GiveUp,
            VERSION_3 if (9..=10_000).contains(&length) => {
                let Some(parameters) = input.bytes.get(8..length as usize) else { return Step::More };
                let mut reader = Reader::new(parameters);
                let mut user = None;
                while let (Some(name), Some(value)) = (reader.c_string(), reader.c_string()) {
                    match name {
                        b"database" => self.database = Some(text::lossy(value)),
                        b"user" => user = Some(value),
                        _ => {}
                    }
                }
                // It is called as the user where nothing else is said.
                self.database = self.database.take().or_else(|| user.map(text::lossy));
                self.phase = Phase::Queries;
                Step::Take(length.into())
            }
            _ => Step::GiveUp,
        }
    }

    fn message(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let Some(head) = input.bytes.first_chunk::<HEAD>() else { return Step::More };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        if !(4..MESSAGE_LIMIT).contains(&length) || !head[0].is_ascii_alphanumeric() {
            return Step::GiveUp;
        }
        let (count, here) = (1 + u64::from(length), input.bytes.len() as u64);
        let wanted = match from {
            Side::Client => matches!(head[0], b'Q' | b'P' | b'B'),
            Side::Server => matches!(head[0], b'E' | b'Z'),
        };
        if wanted && here < count && here < QUERY_LIMIT as u64 && input.more {
            return Step::More;
        }
        let body = &input.bytes[HEAD..count.min(here) as usize];
        let fits = match from {
            Side::Client => self.asks(head[0], body, input),
            Side::Server => self.answers(head[0], body, input.time, out),
        };
        if fits { Step::Take(count) } else { Step::GiveUp }
    }

    fn describe(&self, open: &mut Open, query: &[u8]) {
        sql::describe(open, SYSTEM, self.database.as_deref(), query, Dialect::Postgresql);
    }

    fn asks(&mut self, kind: u8, body: &[u8], input: &Input<'_>) -> bool {
        if self.asked.len() >= OPEN_LIMIT {
            return false;
        }
        let mut reader = Reader::new(body);
        match kind {
            b'Q' => {
                let query = body.strip_suffix(b"\0").unwrap_or(body);
                let mut open = input.open(Operation::Postgresql);
                self.describe(&mut open, query);
                self.asked.push_back(Asked::Query(open));
            }
            b'P' => {
                let Some(name) = reader.c_string() else { return false };
                let query = reader.rest().split(|&byte| byte == 0).next().unwrap_or_default();
                let mut open = input.open(Operation::Postgresql);
                self.describe(&mut open, query);
                if name.len() <= NAME_LIMIT {
                    self.prepared.insert(name.to_vec(), query);
                }
                self.prelude = Some(input.open(Operation::Postgresql));
                self.asked.push_back(Asked::Parse(open));
            }
            b'B' => {
                let (Some(_portal), Some(name)) = (reader.c_string(), reader.c_string()) else { return false };
                self.bound = name[..name.len().min(NAME_LIMIT)].to_vec();
                self.prelude.get_or_insert_with(|| input.open(Operation::Postgresql));
            }
            b'E' => {
                let mut open = self.prelude.take().unwrap_or_else(|| input.open(Operation::Postgresql));
                let query = self.prepared.text(&self.bound);
                self.describe(&mut open, query);
                self.asked.push_back(Asked::Execute(open));
            }
            b'S' => {
                self.prelude = None;
                self.asked.push_back(Asked::Sync);
            }
            b'C' | b'D' | b'F' | b'H' | b'X' | b'c' | b'd' | b'f' | b'p' => {}
            _ => return false,
        }
        true
    }

    fn answers(&mut self, kind: u8, body: &[u8], time: u64, out: &mut Finished) -> bool {
        match kind {
            b'1' => {
                if let Some(at) = self.asked.iter().position(|asked| matches!(asked, Asked::Parse(_))) {
                    self.asked.remove(at);
                }
            }
            // Complete, or suspended after the rows that were asked for.
            b'C' | b'I' | b's' => {
                if matches!(self.asked.front(), Some(Asked::Execute(_)))
                    && let Some(Asked::Execute(open)) = self.asked.pop_front()
                {
                    out.push(open.finish(time));
                }
            }
            b'E' => self.fails(body, time, out),
            b'Z' => {
                while let Some(asked) = self.asked.pop_front() {
                    match asked {
                        Asked::Query(open) => {
                            out.push(open.finish(time));
                            break;
                        }
                        Asked::Sync => break,
                        // Left out after an error.
                        Asked::Execute(_) | Asked::Parse(_) => {}
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn fails(&mut self, body: &[u8], time: u64, out: &mut Finished) {
        let mut reader = Reader::new(body);
        let (mut code, mut message) = (String::new(), String::new());
        while let Some(field) = reader.u8().filter(|&field| field != 0) {
            let Some(value) = reader.c_string() else { break };
            match field {
                b'C' => code = text::lossy(value),
                b'M' => message = text::lossy(value),
                _ => {}
            }
        }
        let code = if code.is_empty() { "_OTHER".to_owned() } else { code };
        match self.asked.front_mut() {
            Some(Asked::Query(open)) => sql::fail(open, code, &message),
            Some(Asked::Parse(_) | Asked::Execute(_)) => {
                if let Some(Asked::Parse(mut open) | Asked::Execute(mut open)) = self.asked.pop_front() {
                    sql::fail(&mut open, code, &message);
                    out.push(open.finish(time));
                }
                // All others are left out until the next synchronisation.
                while self.asked.front().is_some_and(|asked| !matches!(asked, Asked::Sync)) {
                    self.asked.pop_front();
                }
            }
            _ => {}
        }
    }
}
