//! Kafka's protocol: records that are sent and fetched. What else clients ask for is followed, but makes no span.

use std::collections::{HashMap, VecDeque};

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::reader::Reader;
use crate::text;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
const LAST_KEY: i16 = 92;
const LAST_VERSION: i16 = 20;
const MESSAGE_LIMIT: i32 = 100 << 20;
/// Bytes of a message that are looked at.
const LOOK_LIMIT: usize = 4096;
/// From these versions on, lengths are varints and fields have tags; then topics are called by their ids.
const PRODUCE_FLEXIBLE: i16 = 9;
const PRODUCE_BY_ID: i16 = 13;
const FETCH_FLEXIBLE: i16 = 12;
const FETCH_BY_ID: i16 = 13;
/// Topics of a connection whose names are remembered.
const TOPIC_LIMIT: usize = 1024;
const METADATA_FLEXIBLE: i16 = 9;
const METADATA_WITH_IDS: i16 = 10;
/// Errors that name what failed; 0 is none.
const ERRORS: [(i16, &str); 12] = [
    (-1, "UNKNOWN_SERVER_ERROR"),
    (1, "OFFSET_OUT_OF_RANGE"),
    (2, "CORRUPT_MESSAGE"),
    (3, "UNKNOWN_TOPIC_OR_PARTITION"),
    (5, "LEADER_NOT_AVAILABLE"),
    (6, "NOT_LEADER_OR_FOLLOWER"),
    (7, "REQUEST_TIMED_OUT"),
    (10, "MESSAGE_TOO_LARGE"),
    (17, "INVALID_TOPIC_EXCEPTION"),
    (19, "NOT_ENOUGH_REPLICAS"),
    (29, "TOPIC_AUTHORIZATION_FAILED"),
    (87, "INVALID_RECORD"),
];

pub(crate) fn detect(bytes: &[u8]) -> Found {
    let mut reader = Reader::new(bytes);
    let Some(length) = reader.i32_be() else { return Found::More };
    let (key, version) = (reader.i16_be(), reader.i16_be());
    let fits = (10..=MESSAGE_LIMIT).contains(&length)
        && key.is_none_or(|key| (0..=LAST_KEY).contains(&key))
        && version.is_none_or(|version| (0..=LAST_VERSION).contains(&version));
    if !fits {
        return Found::Nothing;
    }
    let (Some(number), Some(size)) = (reader.i32_be(), reader.i16_be()) else { return Found::More };
    if number < 0 || !(-1..=249).contains(&size) || i32::from(size) > length - 10 {
        return Found::Nothing;
    }
    match reader.take(size.max(0) as usize) {
        Some(name) if name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => {
            Found::Protocol(Box::new(Kafka::default()), Side::Client)
        }
        Some(_) => Found::Nothing,
        None => Found::More,
    }
}

#[derive(Debug, Default)]
pub(crate) struct Kafka {
    asked: VecDeque<Asked>,
    /// An answer has fitted its question: it is this protocol.
    confirmed: bool,
    ending: bool,
    topics: HashMap<[u8; 16], String>,
}

#[derive(Debug)]
struct Asked {
    number: i32,
    key: i16,
    version: i16,
    open: Option<Open>,
}

impl Parser for Kafka {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let mut reader = Reader::new(input.bytes);
        let Some(length) = reader.i32_be() else { return Step::More };
        if !(4..=MESSAGE_LIMIT).contains(&length) {
            return Step::GiveUp;
        }
        let (all, here) = (4 + length as usize, input.bytes.len());
        if here < all && here < LOOK_LIMIT && input.more {
            return Step::More;
        }
        let body = &input.bytes[4.min(here)..all.min(here)];
        let fits = match from {
            Side::Client => self.asks(body, input),
            Side::Server => self.answers(body, all <= here, input.time, out),
        };
        if fits { Step::Take(all as u64) } else { Step::GiveUp }
    }

    fn skipped(&mut self, from: Side, time: u64, out: &mut Finished) {
        if from == Side::Server && std::mem::take(&mut self.ending) {
            self.answered(time, out);
        }
    }

    fn resumed(&mut self, from: Side, time: u64, out: &mut Finished) -> bool {
        if from == Side::Server && self.confirmed {
            self.ending = false;
            while !self.asked.is_empty() {
                self.answered(time, out);
            }
        }
        self.confirmed
    }
}

impl Kafka {
    fn asks(&mut self, body: &[u8], input: &Input<'_>) -> bool {
        let mut reader = Reader::new(body);
        let (Some(key), Some(version), Some(number), Some(size)) =
            (reader.i16_be(), reader.i16_be(), reader.i32_be(), reader.i16_be())
        else {
            return false;
        };
        let sound =
            (0..=LAST_KEY).contains(&key) && (0..=LAST_VERSION).contains(&version) && (-1..=1024).contains(&size);
        if !sound || self.asked.len() >= OPEN_LIMIT || reader.take(size.max(0) as usize).is_none() {
            return false;
        }
        let open = match key {
            PRODUCE => {
                let mut open = input.open(Operation::KafkaSend);
                let (topics, acks) = produced(&mut reader, version, &self.topics).unwrap_or_default();
                if acks == Some(0) {
                    return true; // nobody answers
                }
                describe(&mut open, "send", "send", topics.as_deref());
                Some(open)
            }
            FETCH => {
                let mut open = input.open(Operation::KafkaPoll);
                let topic = fetched(&mut reader, version, &self.topics).flatten();
                describe(&mut open, "poll", "receive", topic.as_deref());
                Some(open)
            }
            _ => None,
        };
        self.asked.push_back(Asked { number, key, version, open });
        true
    }

    fn answers(&mut self, body: &[u8], whole: bool, time: u64, out: &mut Finished) -> bool {
        let mut reader = Reader::new(body);
        let Some(number) = reader.i32_be() else { return false };
        // Answers come in the order of questions; what was asked before we looked is not known.
        let Some(place) = self.asked.iter().position(|asked| asked.number == number) else {
            return self.confirmed || self.asked.is_empty();
        };
        self.asked.drain(..place);
        self.confirmed = true;
        let Some(asked) = self.asked.front_mut() else { return false };
        let outcome = match asked.key {
            PRODUCE => produce_error(&mut reader, asked.version),
            FETCH => fetch_outcome(&mut reader, asked.version, &self.topics),
            METADATA => {
                learn(&mut reader, asked.version, &mut self.topics);
                None
            }
            _ => None,
        };
        if let (Some(open), Some(outcome)) = (&mut asked.open, outcome) {
            match outcome {
                Outcome::Nothing => asked.open = None,
                Outcome::Error(code) => {
                    let name = ERRORS.iter().find(|(number, _)| *number == code).map(|(_, name)| (*name).to_owned());
                    open.fail(name.unwrap_or_else(|| code.to_string()), None);
                }
                Outcome::Topic(topic) => {
                    let known = open.exchange.attributes.iter().any(|(name, _)| *name == DESTINATION);
                    if !known && let Some(topic) = topic {
                        open.put(DESTINATION, topic);
                    }
                }
            }
        }
        if whole {
            self.answered(time, out);
        } else {
            self.ending = true;
        }
        true
    }

    fn answered(&mut self, time: u64, out: &mut Finished) {
        if let Some(Asked { open: Some(open), .. }) = self.asked.pop_front() {
            out.push(open.finish(time));
        }
    }
}

const DESTINATION: &str = "messaging.destination.name";

enum Outcome {
    /// It brought no records.
    Nothing,
    Error(i16),
    Topic(Option<String>),
}

fn describe(open: &mut Open, name: &'static str, kind: &'static str, topic: Option<&str>) {
    open.put("messaging.system", "kafka");
    open.put("messaging.operation.name", name);
    open.put("messaging.operation.type", kind);
    if let Some(topic) = topic {
        open.put(DESTINATION, topic);
    }
}

/// A length: of an array or a text. Compact ones are one more than they say, 0 is none.
fn length(reader: &mut Reader<'_>, flexible: bool, wide: bool) -> Option<i64> {
    if flexible {
        return Some(i64::from(reader.varint()?) - 1);
    }
    if wide { reader.i32_be().map(i64::from) } else { reader.i16_be().map(i64::from) }
}

fn string<'a>(reader: &mut Reader<'a>, flexible: bool) -> Option<&'a [u8]> {
    let size = length(reader, flexible, false)?;
    reader.take(usize::try_from(size.max(0)).ok()?)
}

/// Fields that later versions have added.
fn tags(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..reader.varint()?.min(64) {
        reader.varint()?;
        let size = reader.varint()?;
        reader.take(size as usize)?;
    }
    Some(())
}

fn topic(
    reader: &mut Reader<'_>,
    flexible: bool,
    by_id: bool,
    known: &HashMap<[u8; 16], String>,
) -> Option<Option<String>> {
    if by_id {
        let id: [u8; 16] = reader.take(16)?.try_into().ok()?;
        return Some(known.get(&id).cloned());
    }
    let name = string(reader, flexible)?;
    let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    Some((plain && !name.is_empty() && name.len() <= 249).then(|| text::lossy(name)))
}

type Produced = (Option<String>, Option<i16>);

/// The only topic of what is sent, and how many have to acknowledge it.
fn produced(reader: &mut Reader<'_>, version: i16, known: &HashMap<[u8; 16], String>) -> Option<Produced> {
    let flexible = version >= PRODUCE_FLEXIBLE;
    if flexible {
        tags(reader)?;
    }
    if version >= 3 {
        string(reader, flexible)?;
    }
    let acks = reader.i16_be()?;
    reader.i32_be()?;
    let topics = length(reader, flexible, true)?;
    let name = if topics == 1 { topic(reader, flexible, version >= PRODUCE_BY_ID, known).flatten() } else { None };
    Some((name, Some(acks)))
}

/// The only topic that is asked for.
fn fetched(reader: &mut Reader<'_>, version: i16, known: &HashMap<[u8; 16], String>) -> Option<Option<String>> {
    let flexible = version >= FETCH_FLEXIBLE;
    if flexible {
        tags(reader)?;
    }
    if version < 15 {
        reader.i32_be()?; // who asks
    }
    reader.take(8)?; // how long, how much at least
    if version >= 3 {
        reader.i32_be()?;
    }
    if version >= 4 {
        reader.u8()?;
    }
    if version >= 7 {
        reader.take(8)?;
    }
    let topics = length(reader, flexible, true)?;
    if topics == 1 { topic(reader, flexible, version >= FETCH_BY_ID, known) } else { Some(None) }
}

/// The first error among partitions.
fn produce_error(reader: &mut Reader<'_>, version: i16) -> Option<Outcome> {
    let flexible = version >= PRODUCE_FLEXIBLE;
    if flexible {
        tags(reader)?;
    }
    if length(reader, flexible, true)? < 1 {
        return None;
    }
    match version >= PRODUCE_BY_ID {
        true => reader.take(16)?,
        false => string(reader, flexible)?,
    };
    if length(reader, flexible, true)? < 1 {
        return None;
    }
    reader.i32_be()?;
    let error = reader.i16_be()?;
    (error != 0).then_some(Outcome::Error(error))
}

/// Whether anything was fetched, and of which topic.
fn fetch_outcome(reader: &mut Reader<'_>, version: i16, known: &HashMap<[u8; 16], String>) -> Option<Outcome> {
    let flexible = version >= FETCH_FLEXIBLE;
    if flexible {
        tags(reader)?;
    }
    if version >= 1 {
        reader.i32_be()?; // throttled for so long
    }
    if version >= 7 {
        let error = reader.i16_be()?;
        reader.i32_be()?;
        if error != 0 {
            return Some(Outcome::Error(error));
        }
    }
    let topics = length(reader, flexible, true)?;
    if topics < 1 {
        return Some(Outcome::Nothing);
    }
    let name = topic(reader, flexible, version >= FETCH_BY_ID, known)?;
    if length(reader, flexible, true)? < 1 {
        return Some(Outcome::Nothing);
    }
    reader.i32_be()?; // the partition
    let error = reader.i16_be()?;
    if error != 0 {
        return Some(Outcome::Error(error));
    }
    reader.take(8)?;
    if version >= 4 {
        reader.take(8)?;
        if version >= 5 {
            reader.take(8)?;
        }
        let aborted = length(reader, flexible, true)?;
        for _ in 0..aborted.clamp(0, 1024) {
            reader.take(16)?;
            if flexible {
                tags(reader)?;
            }
        }
        if version >= 11 {
            reader.i32_be()?;
        }
    }
    let records = length(reader, flexible, true)?;
    if topics == 1 && records <= 0 {
        return Some(Outcome::Nothing);
    }
    Some(Outcome::Topic(if topics == 1 { name } else { None }))
}

/// Which topic has which id.
fn learn(reader: &mut Reader<'_>, version: i16, topics: &mut HashMap<[u8; 16], String>) -> Option<()> {
    if version < METADATA_WITH_IDS {
        return None;
    }
    let flexible = version >= METADATA_FLEXIBLE;
    tags(reader)?;
    reader.i32_be()?;
    for _ in 0..length(reader, flexible, true)?.clamp(0, 1024) {
        reader.i32_be()?;
        string(reader, flexible)?;
        reader.i32_be()?;
        string(reader, flexible)?;
        tags(reader)?;
    }
    string(reader, flexible)?; // of the cluster
    reader.i32_be()?;
    for _ in 0..length(reader, flexible, true)?.clamp(0, 1024) {
        reader.i16_be()?;
        let name = text::lossy(string(reader, flexible)?);
        let id: [u8; 16] = reader.take(16)?.try_into().ok()?;
        if topics.len() < TOPIC_LIMIT && !name.is_empty() && id != [0; 16] {
            topics.insert(id, name);
        }
        reader.u8()?;
        for _ in 0..length(reader, flexible, true)?.clamp(0, 4096) {
            reader.take(2 + 4 + 4 + 4)?; // its error, its number, its leader and the leader's epoch
            for _ in 0..3 {
                let replicas = length(reader, flexible, true)?.max(0);
                reader.take(usize::try_from(replicas).ok()?.checked_mul(4)?)?;
            }
            tags(reader)?;
        }
        reader.i32_be()?; // what may be done
        tags(reader)?;
    }
    Some(())
}
