//! Redis and what speaks its protocol: RESP2 and RESP3, pipelines, transactions, messages that nobody asked for.

use std::collections::VecDeque;

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::text;

/// Bytes of a line: a simple string, an error, the size of what follows.
const LINE_LIMIT: usize = 4096;
/// Arguments of a command; what has more is not of this protocol.
const ARGUMENT_LIMIT: u64 = 1 << 20;
/// Placeholders of arguments that a command's text shows.
const SHOWN_ARGUMENTS: u64 = 16;
/// Bytes of a command's name.
const NAME_LIMIT: usize = 32;

pub(crate) fn detect(bytes: &[u8]) -> Found {
    // *N CRLF $M CRLF and a name
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let count = lines.next().unwrap_or_default();
    let whole = count.len() < bytes.len();
    if bytes[0] != b'*' || count.len() > 9 || !count[1..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'\r') {
        return Found::Nothing;
    }
    if !whole {
        return Found::More;
    }
    let Some(arguments) = number(count.strip_suffix(b"\r").unwrap_or_default(), b'*') else { return Found::Nothing };
    let rest = &bytes[count.len() + 1..];
    let Some(end) = rest.iter().take(8).position(|&byte| byte == b'\n') else {
        return if rest.len() < 8 && rest.first().is_none_or(|&byte| byte == b'$') {
            Found::More
        } else {
            Found::Nothing
        };
    };
    let size = rest[..end].strip_suffix(b"\r").and_then(|line| number(line, b'$'));
    match size {
        Some(size) if (1..=NAME_LIMIT as u64).contains(&size) && (1..ARGUMENT_LIMIT).contains(&arguments) => {
            match rest.get(end + 1..end + 1 + size as usize) {
                None => Found::More,
                Some(name) if is_name(name) => Found::Protocol(Box::new(Redis::default()), Side::Client),
                Some(_) => Found::Nothing,
            }
        }
        _ => Found::Nothing,
    }
}

fn is_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_LIMIT && name.iter().all(fits)
}

/// The number of a line that begins with this mark.
fn number(line: &[u8], mark: u8) -> Option<u64> {
    let digits = line.strip_prefix(&[mark])?;
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[derive(Debug, Default)]
pub(crate) struct Redis {
    open: VecDeque<Asked>,
    command: Option<Command>,
    reply: Reply,
    /// What is being left out is the end of a reply.
    ending: bool,
    database: u64,
    subscribed: bool,
}

#[derive(Debug)]
struct Asked {
    open: Open,
    /// The database that it changes to, if it is answered with OK.
    selects: Option<u64>,
    subscribes: bool,
}

/// A command whose arguments have not all passed.
#[derive(Debug)]
struct Command {
    asked: Option<Asked>,
    arguments: u64,
    left: u64,
    name: String,
    /// The first argument of what changes the connection's state.
    first: Option<u64>,
}

/// How far a reply has been followed.
#[derive(Debug, Default)]
struct Reply {
    /// Values that are still to come; 0: the next thing begins a reply.
    left: u64,
    /// It is a message that nobody asked for.
    push: bool,
    /// An attribute: the reply itself follows it.
    attribute: bool,
}

impl Parser for Redis {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        match from {
            Side::Client => self.request(input),
            Side::Server => self.response(input, out),
        }
    }

    fn skipped(&mut self, from: Side, time: u64, out: &mut Finished) {
        if from == Side::Server && std::mem::take(&mut self.ending) {
            self.answered(time, out);
        }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        match from {
            Side::Client => {
                self.command = None;
            }
            Side::Server => {
                // All of it was said before the other side spoke.
                self.reply = Reply::default();
                self.ending = false;
                out.extend(self.open.drain(..).map(|asked| asked.open.finish(time)));
            }
        }
        true
    }
}

impl Redis {
    fn request(&mut self, input: &Input<'_>) -> Step {
        let Some(end) = input.bytes.iter().take(64).position(|&byte| byte == b'\n') else {
            return if input.bytes.len() < 64 { Step::More } else { Step::GiveUp };
        };
        let line = input.bytes[..end].strip_suffix(b"\r").unwrap_or_default();
        let Some(command) = &mut self.command else {
            return match number(line, b'*') {
                Some(0) => Step::Take(end as u64 + 1),
                Some(count) if count < ARGUMENT_LIMIT && self.open.len() < OPEN_LIMIT => {
                    let asked = Asked { open: input.open(Operation::Redis), selects: None, subscribes: false };
                    self.command = Some(Command {
                        asked: Some(asked),
                        arguments: count - 1,
                        left: count,
                        name: String::new(),
                        first: None,
                    });
                    Step::Take(end as u64 + 1)
                }
                _ => Step::GiveUp,
            };
        };
        let Some(size) = number(line, b'$').filter(|&size| size < 1 << 40) else { return Step::GiveUp };
        let position = command.arguments + 1 - command.left;
        if position == 0 || position == 1 && command.name.eq_ignore_ascii_case("select") {
            let all = end + 1 + size.min(NAME_LIMIT as u64) as usize;
            let Some(argument) = input.bytes.get(end + 1..all) else { return Step::More };
            if position == 0 {
                command.name = match size <= NAME_LIMIT as u64 && is_name(argument) {
                    true => text::lossy(argument),
                    false => "_OTHER".to_owned(),
                };
            } else {
                command.first = number(&[b"#", argument].concat(), b'#');
            }
        }
        command.left -= 1;
        if command.left == 0 {
            self.asked();
        }
        Step::Take(end as u64 + 1 + size + 2)
    }

    /// All of a command has been seen.
    fn asked(&mut self) {
        let Some(Command { asked: Some(mut asked), arguments, name, first, .. }) = self.command.take() else { return };
        let mut query = name.clone();
        (0..arguments.min(SHOWN_ARGUMENTS)).for_each(|_| query.push_str(" ?"));
        if arguments > SHOWN_ARGUMENTS {
            query.push_str(" ...");
        }
        asked.open.put("db.system.name", "redis");
        asked.open.put("db.namespace", self.database.to_string());
        asked.selects = if name.eq_ignore_ascii_case("select") { first } else { None };
        asked.subscribes = name.to_ascii_lowercase().ends_with("subscribe");
        asked.open.put("db.operation.name", name);
        asked.open.put("db.query.text", query);
        self.open.push_back(asked);
    }

    fn response(&mut self, input: &Input<'_>, out: &mut Finished) -> Step {
        let bytes = input.bytes;
        let Some(end) = bytes.iter().take(LINE_LIMIT).position(|&byte| byte == b'\n') else {
            return if bytes.len() < LINE_LIMIT { Step::More } else { Step::GiveUp };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or_default();
        let Some(&mark) = line.first() else { return Step::GiveUp };
        let begins = self.reply.left == 0;
        let null = line[1..] == *b"-1";
        let size = if null { 0 } else { number(line, mark).unwrap_or(u64::MAX) };
        let (more, inside) = match mark {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => (0, 0),
            b'$' | b'=' | b'!' if size < 1 << 40 => (0, if null { 0 } else { size + 2 }),
            b'*' | b'~' | b'>' if size < 1 << 32 => (size, 0),
            b'%' | b'|' if size < 1 << 32 => (2 * size, 0),
            _ => return Step::GiveUp,
        };
        if begins {
            self.reply.push = mark == b'>' || self.is_message(mark, bytes, end);
            self.reply.attribute = mark == b'|';
            self.reply.left = 1;
            if !self.reply.push && !self.reply.attribute {
                self.answer(line, bytes.get(end + 1..).unwrap_or_default());
            }
        }
        self.reply.left = (self.reply.left - 1).saturating_add(more);
        if self.reply.left > 1 << 40 {
            return Step::GiveUp;
        }
        let count = end as u64 + 1 + inside;
        if self.reply.left == 0 && !self.reply.push && !self.reply.attribute {
            if count <= bytes.len() as u64 {
                self.answered(input.time, out);
            } else {
                self.ending = true;
            }
        }
        Step::Take(count)
    }

    /// A message to a subscriber, which in RESP2 looks like a reply.
    fn is_message(&self, mark: u8, bytes: &[u8], end: usize) -> bool {
        if mark != b'*' || !self.subscribed {
            return false;
        }
        let kinds: [&[u8]; 3] = [b"$7\r\nmessage\r\n", b"$8\r\npmessage\r\n", b"$8\r\nsmessage\r\n"];
        let rest = bytes.get(end + 1..).unwrap_or_default();
        kinds.iter().any(|kind| rest.starts_with(kind))
    }

    /// The first line of the reply to the first command.
    fn answer(&mut self, line: &[u8], rest: &[u8]) {
        let Some(asked) = self.open.front_mut() else { return };
        let message = match line[0] {
            b'-' => &line[1..],
            b'!' => rest.split(|&byte| byte == b'\r').next().unwrap_or_default(),
            _ => {
                if let (Some(database), b"+OK") = (asked.selects, line) {
                    self.database = database;
                }
                self.subscribed |= asked.subscribes;
                return;
            }
        };
        let message = text::lossy(message);
        let (kind, rest) = message.split_once(' ').unwrap_or((&message, ""));
        let kind = if is_name(kind.as_bytes()) { kind } else { "_OTHER" };
        asked.open.put("db.response.status_code", kind);
        asked.open.fail(kind, Some(text::redacted_message(rest)));
    }

    fn answered(&mut self, time: u64, out: &mut Finished) {
        if let Some(asked) = self.open.pop_front() {
            out.push(asked.open.finish(time));
        }
    }
}
