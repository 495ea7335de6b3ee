//! One socket's connection: finds out what it speaks, and drives the parser of that.

use crate::exchange::{Exchange, Role, Side};
use crate::parser::{Finished, Input, Parser, Step};
use crate::stream::{Direction, Piece, Segment, Stream};
use crate::{http1, http2, kafka, mongodb, mysql, postgresql, redis};

/// Bytes of one message that are kept until the rest has come.
const BUFFER_LIMIT: usize = 64 << 10;
/// Turns of speaking after which a connection that nobody has recognised is left alone. It may be an old one, of which the
/// first turn was seen from its middle on.
const TURNS: u8 = 3;
/// A side whose message cannot be followed any more counts as having ended it when it is silent for so long.
const SILENCE: u64 = 1_000_000_000;

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on as it is.
    Open,
    /// It goes on, and the first bytes of every segment are needed, not only those of every turn.
    Each,
    /// Nothing more of it is needed.
    Quiet,
}

/// What one socket sends and receives.
pub struct Connection {
    streams: [Stream; 2],
    halves: [Half; 2],
    last: Option<Direction>,
    state: State,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("role", &self.role()).finish_non_exhaustive()
    }
}

enum State {
    Unknown { turns: u8 },
    Known { parser: Box<dyn Parser>, client: Direction },
    Over,
}

#[derive(Debug, Default)]
struct Half {
    buffer: Vec<u8>,
    /// Bytes to come that no parser wants to see.
    skip: u64,
    /// Where the next message begins is not known.
    lost: bool,
    began: u64,
    position: u32,
    thread: u32,
    /// When it was last heard.
    last: u64,
}

impl Half {
    fn consume(&mut self, count: u64, time: u64) {
        let here = count.min(self.buffer.len() as u64);
        self.buffer.drain(..here as usize);
        self.skip = count - here;
        self.position = self.position.wrapping_add(count as u32);
        self.began = time;
    }

    fn lose(&mut self) {
        self.lost = true;
        self.buffer = Vec::new();
        self.skip = 0;
    }
}

/// What the first bytes of a turn tell.
pub(crate) enum Found {
    /// The protocol, and which side it is that speaks.
    Protocol(Box<dyn Parser>, Side),
    /// Too few bytes.
    More,
    /// Nothing that is known.
    Nothing,
}

impl Default for Connection {
    fn default() -> Self {
        Self { streams: Default::default(), halves: Default::default(), last: None, state: State::Unknown { turns: 0 } }
    }
}

impl Connection {
    /// Takes what was seen next; exchanges that ended with it are added to `out`.
    pub fn add(&mut self, segment: &Segment<'_>, out: &mut Vec<Exchange>) -> Fate {
        if matches!(self.state, State::Over) {
            return Fate::Quiet;
        }
        let mut stream = std::mem::take(&mut self.streams[segment.direction.index()]);
        stream.add(segment, &mut |piece| self.piece(segment.direction, piece, out));
        self.streams[segment.direction.index()] = stream;
        self.fate()
    }

    /// The connection has ended.
    pub fn close(&mut self, time: u64, out: &mut Vec<Exchange>) {
        for direction in [Direction::Out, Direction::In] {
            let mut stream = std::mem::take(&mut self.streams[direction.index()]);
            stream.flush(&mut |piece| self.piece(direction, piece, out));
        }
        if let State::Known { mut parser, .. } = std::mem::replace(&mut self.state, State::Over) {
            parser.closed(time, out);
        }
    }

    /// Looks after messages whose end was not seen, now and then.
    pub fn look(&mut self, now: u64, out: &mut Vec<Exchange>) -> Fate {
        for direction in [Direction::Out, Direction::In] {
            let half = &self.halves[direction.index()];
            if half.lost && half.last != 0 && now.saturating_sub(half.last) > SILENCE {
                self.resume(direction, out);
            }
        }
        self.fate()
    }

    /// When it last said something.
    pub fn last_heard(&self) -> u64 {
        self.halves[0].last.max(self.halves[1].last)
    }

    /// When the oldest request that has no answer yet was begun.
    pub fn oldest_open(&self) -> Option<u64> {
        match &self.state {
            State::Known { parser, .. } => parser.oldest(),
            _ => None,
        }
    }

    /// Which end the socket is, once that is known.
    pub fn role(&self) -> Option<Role> {
        match &self.state {
            State::Known { client: Direction::Out, .. } => Some(Side::Client),
            State::Known { client: Direction::In, .. } => Some(Side::Server),
            _ => None,
        }
    }

    fn fate(&self) -> Fate {
        match &self.state {
            State::Over => Fate::Quiet,
            State::Known { parser, .. } if parser.both_at_once() => Fate::Each,
            _ => Fate::Open,
        }
    }

    fn side(&self, direction: Direction) -> Option<Side> {
        match &self.state {
            State::Known { client, .. } => Some(if *client == direction { Side::Client } else { Side::Server }),
            _ => None,
        }
    }

    fn piece(&mut self, direction: Direction, piece: Piece, out: &mut Finished) {
        let turn = self.last != Some(direction);
        self.last = Some(direction);
        if turn && self.halves[direction.index()].lost {
            self.resume(direction, out);
        }
        let half = &mut self.halves[direction.index()];
        half.last = piece.time;
        if matches!(self.state, State::Unknown { .. }) && turn {
            half.buffer.clear();
        }
        if half.lost || matches!(self.state, State::Over) {
            return;
        }
        let left_out = half.skip.min(piece.bytes.len() as u64);
        if left_out > 0 {
            half.skip -= left_out;
            if half.skip == 0 {
                self.skipped(direction, piece.time, out);
            }
        }
        let half = &mut self.halves[direction.index()];
        let bytes = &piece.bytes[left_out as usize..];
        if !bytes.is_empty() {
            if half.buffer.is_empty() {
                half.began = piece.time;
                half.position = piece.position.wrapping_add(left_out as u32);
                half.thread = piece.thread;
            }
            if half.buffer.len() + bytes.len() > BUFFER_LIMIT {
                return self.end(piece.time, out);
            }
            half.buffer.extend_from_slice(bytes);
            self.drive(direction, piece.missing == 0, piece.time, out);
        }
        self.miss(direction, piece.missing, piece.time, out);
    }

    /// So many bytes will never be seen.
    fn miss(&mut self, direction: Direction, missing: u64, time: u64, out: &mut Finished) {
        let half = &mut self.halves[direction.index()];
        if missing == 0 || half.lost {
            return;
        }
        let left_out = half.skip.min(missing);
        half.skip -= left_out;
        if left_out > 0 && half.skip == 0 {
            self.skipped(direction, time, out);
        }
        if missing > left_out {
            self.halves[direction.index()].lose();
        }
    }

    fn skipped(&mut self, direction: Direction, time: u64, out: &mut Finished) {
        let side = self.side(direction);
        if let (State::Known { parser, .. }, Some(side)) = (&mut self.state, side) {
            parser.skipped(side, time, out);
        }
    }

    fn resume(&mut self, direction: Direction, out: &mut Finished) {
        let side = self.side(direction);
        let half = &mut self.halves[direction.index()];
        half.lost = false;
        let last = half.last;
        if let (State::Known { parser, .. }, Some(side)) = (&mut self.state, side)
            && !parser.resumed(side, last, out)
        {
            self.end(last, out);
        }
    }

    /// Nothing more is made of this connection.
    fn end(&mut self, time: u64, out: &mut Finished) {
        if let State::Known { mut parser, .. } = std::mem::replace(&mut self.state, State::Over) {
            parser.closed(time, out);
        }
        self.halves = Default::default();
    }

    fn drive(&mut self, direction: Direction, more: bool, time: u64, out: &mut Finished) {
        if let State::Unknown { turns } = self.state {
            let half = &mut self.halves[direction.index()];
            let found = match detect(&half.buffer) {
                Found::More if !more => Found::Nothing,
                found => found,
            };
            match found {
                Found::More => return,
                Found::Nothing if turns + 1 >= TURNS => return self.end(time, out),
                Found::Nothing => {
                    half.lose();
                    self.state = State::Unknown { turns: turns + 1 };
                    return;
                }
                Found::Protocol(parser, side) => {
                    let other = if direction == Direction::Out { Direction::In } else { Direction::Out };
                    let client = if side == Side::Client { direction } else { other };
                    self.state = State::Known { parser, client };
                    let half = &mut self.halves[other.index()];
                    *half = Half { last: half.last, lost: half.lost, ..Half::default() };
                }
            }
        }
        let Some(side) = self.side(direction) else { return };
        let role = match self.role() {
            Some(role) => role,
            None => return,
        };
        loop {
            let State::Known { parser, .. } = &mut self.state else { return };
            let half = &mut self.halves[direction.index()];
            if half.buffer.is_empty() || half.skip > 0 || half.lost {
                return;
            }
            let input = Input {
                bytes: &half.buffer,
                more,
                began: half.began,
                time,
                position: half.position,
                thread: half.thread,
                role,
            };
            match parser.step(side, &input, out) {
                Step::More if more => return,
                Step::More | Step::Lost => half.lose(),
                Step::Take(0) | Step::GiveUp => return self.end(time, out),
                Step::Take(count) => half.consume(count, time),
            }
        }
    }
}

/// What speaks here. Never by the port: only by what is said.
fn detect(bytes: &[u8]) -> Found {
    // What may still become HTTP/2 could be taken for something else.
    match http2::detect(bytes) {
        Found::Nothing => {}
        found => return found,
    }
    let mut more = false;
    let known = [http1::detect, redis::detect, postgresql::detect, mongodb::detect, mysql::detect, kafka::detect];
    for detect in known {
        match detect(bytes) {
            Found::Protocol(parser, side) => return Found::Protocol(parser, side),
            Found::More => more = true,
            Found::Nothing => {}
        }
    }
    if more { Found::More } else { Found::Nothing }
}
