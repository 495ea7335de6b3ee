//! Questions to name servers, by UDP.

use std::collections::HashMap;

use crate::exchange::{Exchange, Open, Operation, Role, Side};
use crate::parser::Input;
use crate::reader::Reader;
use crate::stream::{Direction, Segment};

const HEAD: usize = 12;
const RESPONSE: u16 = 0x8000;
const KIND_MASK: u16 = 0x7800;
/// Questions of one socket that wait for their answers.
const OPEN_LIMIT: usize = 256;
/// A question that was not answered for so long will not be.
const PATIENCE: u64 = 30_000_000_000;
/// Datagrams of other kinds after which a socket is left alone.
const STRANGERS: u8 = 8;

const CODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// One UDP socket.
#[derive(Debug, Default)]
pub struct Datagrams {
    open: HashMap<(u16, u64), Open>,
    strangers: u8,
    known: bool,
    last: u64,
}

impl Datagrams {
    /// Takes a datagram; `peer` tells the other ends apart. `false`: nothing more is needed of this socket.
    pub fn add(&mut self, segment: &Segment<'_>, peer: u64, out: &mut Vec<Exchange>) -> bool {
        self.last = segment.time;
        match parse(segment.bytes) {
            Some(message) => {
                self.known = true;
                self.message(&message, segment, peer, out);
                true
            }
            None => {
                self.strangers = self.strangers.saturating_add(1);
                self.known || self.strangers < STRANGERS
            }
        }
    }

    /// When it was last heard.
    pub fn last_heard(&self) -> u64 {
        self.last
    }

    fn message(&mut self, message: &Message, segment: &Segment<'_>, peer: u64, out: &mut Vec<Exchange>) {
        let key = (message.number, peer);
        if message.response {
            let Some(mut open) = self.open.remove(&key) else { return };
            // The question goes the other way.
            if (open.exchange.role == Side::Client) != (segment.direction == Direction::In) {
                return;
            }
            if message.code != 0 {
                let code = CODES.get(usize::from(message.code)).copied().unwrap_or("_OTHER");
                open.fail(code, None);
            }
            out.push(open.finish(segment.time));
            return;
        }
        self.open.retain(|_, open| segment.time.saturating_sub(open.exchange.begun) < PATIENCE);
        if self.open.len() >= OPEN_LIMIT {
            return;
        }
        let role = if segment.direction == Direction::Out { Role::Client } else { Role::Server };
        let input = Input {
            bytes: segment.bytes,
            more: false,
            began: segment.time,
            time: segment.time,
            position: u32::from(message.number),
            role,
            thread: segment.thread,
        };
        let mut open = input.open(Operation::Dns);
        open.put("dns.question.name", message.name.clone());
        // Asked again, it is still the same question.
        self.open.entry(key).or_insert(open);
    }
}

struct Message {
    number: u16,
    response: bool,
    code: u8,
    name: String,
}

/// A message with one question; `None`: it is none.
fn parse(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(bytes);
    let (number, flags) = (reader.u16_be()?, reader.u16_be()?);
    let (questions, answers, authorities, others) =
        (reader.u16_be()?, reader.u16_be()?, reader.u16_be()?, reader.u16_be()?);
    let response = flags & RESPONSE != 0;
    let plausible = flags & KIND_MASK == 0 && questions == 1 && others <= 64 && authorities <= 64 && answers <= 256;
    if !plausible || !response && (answers != 0 || flags & 0xf != 0) {
        return None;
    }
    let name = question(bytes.get(HEAD..)?)?;
    Some(Message { number, response, code: (flags & 0xf) as u8, name })
}

fn question(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new(bytes);
    let mut name = String::new();
    loop {
        let size = reader.u8()?;
        if size == 0 {
            break;
        }
        let label = reader.take(usize::from(size)).filter(|_| size < 64)?;
        if name.len() + label.len() > 254 || !label.iter().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label));
    }
    let (_kind, class) = (reader.u16_be()?, reader.u16_be()?);
    (class & 0x7fff == 1).then_some(if name.is_empty() { ".".to_owned() } else { name })
}
