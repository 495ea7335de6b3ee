//! MongoDB's protocol: commands as messages of one document (OP_MSG).

use std::collections::HashMap;

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::reader::Reader;
use crate::text;

const HEAD: usize = 16;
const OP_QUERY: i32 = 2004;
const OP_REPLY: i32 = 1;
const OP_COMPRESSED: i32 = 2012;
const OP_MSG: i32 = 2013;
const MESSAGE_LIMIT: i32 = 48 << 20;
/// Bytes of a message that are looked at.
const LOOK_LIMIT: usize = 4096;
/// Elements of a document that are looked at.
const ELEMENT_LIMIT: usize = 64;

/// The client expects no answer.
const MORE_TO_COME: u32 = 2;
const EXHAUST: u32 = 1 << 16;

/// What clients say to keep a connection going.
const HOUSEKEEPING: [&str; 12] = [
    "hello",
    "isMaster",
    "ismaster",
    "ping",
    "saslStart",
    "saslContinue",
    "authenticate",
    "getnonce",
    "endSessions",
    "killCursors",
    "buildInfo",
    "logout",
];

pub(crate) fn detect(bytes: &[u8]) -> Found {
    let mut reader = Reader::new(bytes);
    let head = (reader.i32_le(), reader.i32_le(), reader.i32_le(), reader.i32_le());
    let (Some(length), Some(_), Some(answers), Some(code)) = head else {
        let plausible = head.0.is_none_or(|length| (HEAD as i32 + 5..=MESSAGE_LIMIT).contains(&length));
        return if plausible { Found::More } else { Found::Nothing };
    };
    if !(HEAD as i32 + 5..=MESSAGE_LIMIT).contains(&length) || answers != 0 {
        return Found::Nothing;
    }
    let fits = match code {
        OP_MSG => {
            reader.u32_le().is_none_or(|flags| flags & !(EXHAUST | 3) == 0) && reader.u8().is_none_or(|kind| kind <= 1)
        }
        // What a client says first: `admin.$cmd`.
        OP_QUERY => reader.take(4).is_some() && reader.c_string().is_some_and(|name| name.ends_with(b".$cmd")),
        OP_COMPRESSED => reader.i32_le().is_some_and(|code| code == OP_MSG || code == OP_QUERY),
        _ => false,
    };
    if fits { Found::Protocol(Box::new(Mongodb::default()), Side::Client) } else { Found::Nothing }
}

#[derive(Debug, Default)]
pub(crate) struct Mongodb {
    open: HashMap<i32, Open>,
    ending: Option<i32>,
}

impl Parser for Mongodb {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let mut reader = Reader::new(input.bytes);
        let (Some(length), Some(number), Some(answers), Some(code)) =
            (reader.i32_le(), reader.i32_le(), reader.i32_le(), reader.i32_le())
        else {
            return Step::More;
        };
        if !(HEAD as i32..=MESSAGE_LIMIT).contains(&length) {
            return Step::GiveUp;
        }
        if ![OP_QUERY, OP_REPLY, OP_COMPRESSED, OP_MSG].contains(&code) {
            return Step::GiveUp;
        }
        let (all, here) = (length as usize, input.bytes.len());
        if code == OP_MSG && here < all && here < LOOK_LIMIT && input.more {
            return Step::More;
        }
        let body = &input.bytes[HEAD..all.min(here)];
        match from {
            Side::Client if code == OP_MSG && answers == 0 => {
                if self.open.len() >= OPEN_LIMIT {
                    return Step::GiveUp;
                }
                if let Some(open) = ask(body, input) {
                    self.open.insert(number, open);
                }
            }
            Side::Server if code == OP_MSG => {
                if let Some(open) = self.open.get_mut(&answers) {
                    answer(open, body);
                    if all <= here {
                        out.extend(self.open.remove(&answers).map(|open| open.finish(input.time)));
                    } else {
                        self.ending = Some(answers);
                    }
                }
            }
            _ => {}
        }
        Step::Take(all as u64)
    }

    fn skipped(&mut self, from: Side, time: u64, out: &mut Finished) {
        if from == Side::Server
            && let Some(number) = self.ending.take()
        {
            out.extend(self.open.remove(&number).map(|open| open.finish(time)));
        }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        if from == Side::Server {
            out.extend(self.open.drain().map(|(_, open)| open.finish(time)));
        }
        true
    }
}

/// The first section of a message that is a document: its flags, and that.
fn document(body: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader::new(body);
    let flags = reader.u32_le()?;
    loop {
        match reader.u8()? {
            0 => return Some((flags, reader.rest())),
            1 => {
                let size = usize::try_from(reader.i32_le()?).ok()?.checked_sub(4)?;
                reader.take(size)?; // documents of a bulk write
            }
            _ => return None,
        }
    }
}

fn ask(body: &[u8], input: &Input<'_>) -> Option<Open> {
    let (flags, document) = document(body)?;
    let (mut name, mut collection, mut database, mut batch) = (String::new(), None, None, None);
    each_element(document, |index, key, value| match (index, key, value) {
        (0, key, value) => {
            name = text::lossy(key);
            if let Element::Text(text) = value {
                collection = Some(text::lossy(text));
            }
        }
        (_, b"$db", Element::Text(text)) => database = Some(text::lossy(text)),
        (_, b"collection", Element::Text(text)) if name == "getMore" => collection = Some(text::lossy(text)),
        (_, b"documents" | b"updates" | b"deletes", Element::Array(size)) => batch = Some(size),
        _ => {}
    });
    let plain =
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || HOUSEKEEPING.contains(&name.as_str()) || flags & MORE_TO_COME != 0 {
        return None;
    }
    let mut open = input.open(Operation::Mongodb);
    open.put("db.system.name", "mongodb");
    if let Some(database) = database {
        open.put("db.namespace", database);
    }
    if let Some(collection) = collection.filter(|name| !name.is_empty()) {
        open.put("db.collection.name", collection);
    }
    if let Some(batch) = batch.filter(|&batch| batch > 1) {
        open.put("db.operation.batch.size", batch);
    }
    open.put("db.operation.name", name);
    Some(open)
}

fn answer(open: &mut Open, body: &[u8]) {
    let Some((_, document)) = document(body) else { return };
    let (mut failed, mut code, mut message, mut partly) = (false, None, String::new(), false);
    each_element(document, |_, key, value| match (key, value) {
        (b"ok", Element::Number(ok)) => failed = ok == 0,
        (b"code", Element::Number(number)) => code = Some(number),
        (b"errmsg", Element::Text(text)) => message = text::lossy(text),
        (b"writeErrors", Element::Array(size)) => partly = size > 0,
        _ => {}
    });
    if failed || partly {
        let code = code.map_or_else(|| "_OTHER".to_owned(), |code| code.to_string());
        if failed {
            open.put("db.response.status_code", code.clone());
        }
        open.fail(code, (!message.is_empty()).then(|| text::redacted_message(&message)));
    }
}

#[derive(Clone, Copy, Debug)]
enum Element<'a> {
    Text(&'a [u8]),
    Number(i64),
    /// With so many elements, as far as can be seen.
    Array(i64),
    Other,
}

/// Goes through a document as far as it is there.
fn each_element<'a>(document: &'a [u8], mut each: impl FnMut(usize, &'a [u8], Element<'a>)) {
    let mut reader = Reader::new(document);
    let _length = reader.i32_le();
    for index in 0..ELEMENT_LIMIT {
        let Some(kind) = reader.u8().filter(|&kind| kind != 0) else { return };
        let Some(key) = reader.c_string() else { return };
        let Some(value) = element(kind, &mut reader) else { return };
        each(index, key, value);
    }
}

fn element<'a>(kind: u8, reader: &mut Reader<'a>) -> Option<Element<'a>> {
    Some(match kind {
        1 => Element::Number(f64::from_bits(reader.i64_le()?.cast_unsigned()) as i64),
        2 | 13 | 14 => {
            let size = usize::try_from(reader.i32_le()?).ok()?;
            let text = reader.take(size)?;
            Element::Text(text.strip_suffix(b"\0")?)
        }
        3 | 4 => {
            let size = usize::try_from(reader.i32_le()?).ok()?.checked_sub(4)?;
            let inside = &reader.rest()[..size.min(reader.rest().len())];
            let count = if kind == 4 { count(inside) } else { 0 };
            // One that is cut is the last that can be looked at.
            let _ = reader.take(size);
            if kind == 4 { Element::Array(count) } else { Element::Other }
        }
        5 => {
            let size = usize::try_from(reader.i32_le()?).ok()?;
            reader.take(size.checked_add(1)?)?;
            Element::Other
        }
        6 | 10 | 127 | 255 => Element::Other,
        7 => reader.take(12).map(|_| Element::Other)?,
        8 => Element::Number(reader.u8()?.into()),
        9 | 17 => reader.take(8).map(|_| Element::Other)?,
        16 => Element::Number(reader.i32_le()?.into()),
        18 => Element::Number(reader.i64_le()?),
        19 => reader.take(16).map(|_| Element::Other)?,
        11 => {
            reader.c_string()?;
            reader.c_string()?;
            Element::Other
        }
        _ => return None,
    })
}

/// Elements of an array, whose length has been read: documents nearly always.
fn count(array: &[u8]) -> i64 {
    let mut reader = Reader::new(array);
    let mut count = 0;
    while let Some(kind) = reader.u8().filter(|&kind| kind != 0) {
        if reader.c_string().is_none() {
            break;
        }
        count += 1;
        let size = match kind {
            3 | 4 => reader.i32_le().and_then(|size| usize::try_from(size).ok()?.checked_sub(4)),
            _ => None,
        };
        if size.and_then(|size| reader.take(size)).is_none() {
            break;
        }
    }
    count
}
