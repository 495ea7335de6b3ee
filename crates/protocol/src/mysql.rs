//! MySQL's and MariaDB's protocol: text queries and prepared ones, several results, errors.

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, Parser, Step};
use crate::query::Dialect;
use crate::reader::Reader;
use crate::sql::{self, Prepared, QUERY_LIMIT};
use crate::text;

const HEAD: usize = 4;

mod capability {
    pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(super) const COMPRESS: u32 = 1 << 5;
    pub(super) const SSL: u32 = 1 << 11;
    pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(super) const LENENC_AUTH: u32 = 1 << 21;
    pub(super) const DEPRECATE_EOF: u32 = 1 << 24;
}

mod command {
    pub(super) const QUIT: u8 = 1;
    pub(super) const INIT_DB: u8 = 2;
    pub(super) const QUERY: u8 = 3;
    pub(super) const PING: u8 = 14;
    pub(super) const PREPARE: u8 = 0x16;
    pub(super) const EXECUTE: u8 = 0x17;
    pub(super) const LONG_DATA: u8 = 0x18;
    pub(super) const CLOSE: u8 = 0x19;
    pub(super) const LAST: u8 = 0x1f;
}

const MORE_RESULTS: u16 = 8;
const CURSOR_EXISTS: u16 = 0x40;

pub(crate) fn detect(bytes: &[u8]) -> Found {
    let Some(head) = bytes.first_chunk::<5>() else { return Found::More };
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
    if head[3] != 0 || length == 0 {
        return Found::Nothing;
    }
    // The server's greeting: version 10 and its name.
    if head[4] == 10 && (40..512).contains(&length) {
        let rest = &bytes[5..];
        let Some(end) = rest.iter().take(64).position(|&byte| byte == 0) else {
            return if rest.len() < 64 { Found::More } else { Found::Nothing };
        };
        let version = &rest[..end];
        let named = version.first().is_some_and(u8::is_ascii_digit) && version.iter().all(u8::is_ascii_graphic);
        return match named {
            true => Found::Protocol(Box::new(Mysql::default()), Side::Server),
            false => Found::Nothing,
        };
    }
    // A query in the middle of a connection.
    if head[4] == command::QUERY && (5..1 << 20).contains(&length) && bytes.len() <= HEAD + length {
        let begin = &bytes[5..bytes.len().min(5 + 32)];
        let word = begin.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if word >= 3 && begin.get(word).is_none_or(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'(' | b';')) {
            return Found::Protocol(Box::new(Mysql { phase: Phase::Commands, ..Mysql::default() }), Side::Client);
        }
    }
    Found::Nothing
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Greeting,
    Login,
    Authentication,
    Commands,
}

/// What comes next of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    /// Nothing: no command is open.
    #[default]
    Nothing,
    /// The first packet.
    First,
    /// So many definitions of columns, then rows.
    Columns(u64),
    /// What ends the definitions.
    ColumnsEnd,
    Rows,
    /// Definitions of a prepared statement: so many packets.
    Prepared(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Mysql {
    phase: Phase,
    /// Results end with what older clients know.
    capabilities: u32,
    known: bool,
    database: Option<String>,
    open: Option<Open>,
    command: u8,
    expect: Expect,
    statements: Prepared<u32>,
    preparing: Vec<u8>,
    selecting: Option<String>,
}

impl Parser for Mysql {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let Some(head) = input.bytes.first_chunk::<HEAD>() else { return Step::More };
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let count = (HEAD + length) as u64;
        let here = input.bytes.len();
        if here < HEAD + length && here < QUERY_LIMIT && input.more {
            return Step::More;
        }
        let packet = &input.bytes[HEAD..here.min(HEAD + length)];
        let fits = match (self.phase, from) {
            (Phase::Greeting, Side::Server) => {
                self.phase = Phase::Login;
                true
            }
            (Phase::Login, Side::Client) => self.login(packet),
            (Phase::Authentication, Side::Client) => true, // a password: nothing is looked at
            (Phase::Authentication | Phase::Login, Side::Server) => {
                if packet.first() == Some(&0) {
                    self.phase = Phase::Commands;
                }
                packet.first() != Some(&0xff)
            }
            (Phase::Commands, Side::Client) => self.asks(head[3], packet, input, out),
            (Phase::Commands, Side::Server) => self.answers(packet, length, input.time, out),
            _ => false,
        };
        if fits { Step::Take(count) } else { Step::GiveUp }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        if from == Side::Server {
            self.answered(time, out);
        }
        self.phase == Phase::Commands
    }
}

impl Mysql {
    fn login(&mut self, packet: &[u8]) -> bool {
        self.phase = Phase::Authentication;
        let mut reader = Reader::new(packet);
        let Some(capabilities) = reader.u32_le() else { return false };
        if capabilities & (capability::SSL | capability::COMPRESS) != 0 {
            return false; // encrypted from here on, or after the login compressed
        }
        (self.capabilities, self.known) = (capabilities, true);
        let mut rest = || {
            reader.take(28)?; // the largest packet, the character set, nothing
            reader.c_string()?; // the user
            if capabilities & capability::LENENC_AUTH != 0 {
                let length = lenenc(&mut reader)?;
                reader.take(usize::try_from(length).ok()?)?;
            } else if capabilities & capability::SECURE_CONNECTION != 0 {
                let length = reader.u8()?;
                reader.take(length.into())?;
            } else {
                reader.c_string()?;
            }
            reader.c_string()
        };
        if capabilities & capability::CONNECT_WITH_DB != 0 {
            self.database = rest().filter(|name| !name.is_empty()).map(text::lossy);
        }
        true
    }

    fn asks(&mut self, sequence: u8, packet: &[u8], input: &Input<'_>, out: &mut Finished) -> bool {
        if sequence != 0 {
            return true; // data of a file that was asked for, or the rest of a long packet
        }
        self.answered(input.time, out); // an answer that was not recognised as ended
        let Some((&command, rest)) = packet.split_first() else { return true };
        if command > command::LAST {
            return false;
        }
        self.command = command;
        let mut open = input.open(Operation::Mysql);
        match command {
            command::QUERY => self.describe(&mut open, rest),
            command::EXECUTE => {
                let number = Reader::new(rest).u32_le().unwrap_or_default();
                self.describe(&mut open, self.statements.text(&number));
            }
            command::PREPARE => {
                self.preparing = rest[..rest.len().min(QUERY_LIMIT)].to_vec();
                self.describe(&mut open, rest);
            }
            command::PING => self.named(&mut open, "PING"),
            command::INIT_DB => {
                self.selecting = Some(text::lossy(rest));
                self.named(&mut open, "USE");
            }
            command::CLOSE => {
                let number = Reader::new(rest).u32_le().unwrap_or_default();
                self.statements.remove(&number);
            }
            _ => {}
        }
        let shown =
            matches!(command, command::QUERY | command::EXECUTE | command::PREPARE | command::PING | command::INIT_DB);
        let answered = !matches!(command, command::QUIT | command::CLOSE | command::LONG_DATA);
        self.open = shown.then_some(open);
        self.expect = if answered { Expect::First } else { Expect::Nothing };
        true
    }

    fn describe(&self, open: &mut Open, query: &[u8]) {
        sql::describe(open, "mysql", self.database.as_deref(), query, Dialect::Mysql);
    }

    fn named(&self, open: &mut Open, operation: &str) {
        open.put("db.system.name", "mysql");
        if let Some(database) = &self.database {
            open.put("db.namespace", database.clone());
        }
        open.put("db.operation.name", operation);
    }

    fn answers(&mut self, packet: &[u8], length: usize, time: u64, out: &mut Finished) -> bool {
        let Some(&first) = packet.first() else { return true };
        if first == 0xff && self.expect != Expect::Nothing {
            self.fails(packet);
            self.answered(time, out);
            return true;
        }
        match self.expect {
            Expect::Nothing => {}
            Expect::First => return self.first(packet, time, out),
            Expect::Columns(left) => {
                self.expect = match left {
                    0 | 1 if self.deprecates_eof() => Expect::Rows,
                    0 | 1 => Expect::ColumnsEnd,
                    left => Expect::Columns(left - 1),
                };
            }
            Expect::ColumnsEnd => {
                // A client that does not say so may not want it after all: then this is a row.
                let cursor = status_of_eof(packet).is_some_and(|status| status & CURSOR_EXISTS != 0);
                self.expect = Expect::Rows;
                if cursor {
                    self.answered(time, out);
                } else if !(self.known || first == 0xfe && length < 9) {
                    self.capabilities |= capability::DEPRECATE_EOF;
                }
            }
            Expect::Rows => {
                if first == 0xfe && length < 0xff_ffff && (length < 9 || self.deprecates_eof()) {
                    let status = if self.deprecates_eof() { status_of_ok(packet) } else { status_of_eof(packet) };
                    self.ended(status.unwrap_or_default(), time, out);
                }
            }
            Expect::Prepared(left) => match left {
                0 | 1 => self.answered(time, out),
                left => self.expect = Expect::Prepared(left - 1),
            },
        }
        true
    }

    fn first(&mut self, packet: &[u8], time: u64, out: &mut Finished) -> bool {
        if self.command == command::PREPARE && packet[0] == 0 {
            let mut reader = Reader::new(&packet[1..]);
            let (Some(number), Some(columns), Some(parameters)) = (reader.u32_le(), reader.u16_le(), reader.u16_le())
            else {
                return false;
            };
            self.statements.insert(number, &std::mem::take(&mut self.preparing));
            self.open = None; // what counts is its execution
            let end = u64::from(!self.deprecates_eof());
            let packets = |definitions: u16| if definitions > 0 { u64::from(definitions) + end } else { 0 };
            let left = packets(columns) + packets(parameters);
            match left {
                0 => self.answered(time, out),
                left => self.expect = Expect::Prepared(left),
            }
            return true;
        }
        match packet[0] {
            0 => {
                if let Some(database) = self.selecting.take() {
                    self.database = Some(database);
                }
                self.ended(status_of_ok(packet).unwrap_or_default(), time, out);
            }
            0xfb => {} // it asks for a file; the answer comes after that
            0xfe if packet.len() < 9 => self.ended(0, time, out),
            _ => match lenenc(&mut Reader::new(packet)) {
                // What answers other commands than queries has another form: it ends with the next command.
                Some(columns) if matches!(self.command, command::QUERY | command::EXECUTE) && columns <= 4096 => {
                    self.expect = Expect::Columns(columns);
                }
                _ => self.expect = Expect::Nothing,
            },
        }
        true
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities & capability::DEPRECATE_EOF != 0
    }

    fn fails(&mut self, packet: &[u8]) {
        let mut reader = Reader::new(&packet[1..]);
        let code = reader.u16_le().unwrap_or_default();
        let mut message = reader.rest();
        if message.first() == Some(&b'#') {
            message = message.get(6..).unwrap_or_default();
        }
        if let Some(open) = &mut self.open {
            sql::fail(open, code.to_string(), &text::lossy(message));
        }
    }

    /// A result has ended; there may be another.
    fn ended(&mut self, status: u16, time: u64, out: &mut Finished) {
        if status & MORE_RESULTS != 0 {
            self.expect = Expect::First;
        } else {
            self.answered(time, out);
        }
    }

    fn answered(&mut self, time: u64, out: &mut Finished) {
        self.expect = Expect::Nothing;
        self.selecting = None;
        out.extend(self.open.take().map(|open| open.finish(time)));
    }
}

/// Rows that were touched, an id, then the status.
fn status_of_ok(packet: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(packet.get(1..)?);
    lenenc(&mut reader)?;
    lenenc(&mut reader)?;
    reader.u16_le()
}

/// Warnings, then the status.
fn status_of_eof(packet: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(packet.get(1..)?);
    reader.u16_le()?;
    reader.u16_le()
}

/// An integer that says its own length.
fn lenenc(reader: &mut Reader<'_>) -> Option<u64> {
    match reader.u8()? {
        0xfc => reader.u16_le().map(u64::from),
        0xfd => {
            let low = reader.u16_le()?;
            Some(u64::from(low) | u64::from(reader.u8()?) << 16)
        }
        0xfe => reader.i64_le().map(i64::cast_unsigned),
        0xfb | 0xff => None,
        small => Some(small.into()),
    }
}
