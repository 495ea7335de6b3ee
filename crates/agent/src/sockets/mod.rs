//! Spans of programs in any language, from what they say on their sockets.
//!
//! [`Segments`] is where the probe plugs in. A segment goes to its connection's parser (`protocol`), whose exchanges wait
//! in [`family`] until their parents are known, and become records in [`records`].

mod askers;
mod family;
mod records;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use protocol::dns::Datagrams;
use protocol::{Connection, Exchange, Fate, Given, Operation, Role, Seen, Transport, Value};

use crate::clock;
use crate::observed::{Losses, ObserveError, ObservedProcess, Observer};
pub use askers::{Asker, Askers};
use family::{Ends, Family};

/// Sockets that are followed at once; what comes then is left alone.
const SOCKET_LIMIT: usize = 16384;
/// A connection that has been silent for so long is forgotten; where it speaks again, it is recognised anew.
const SILENCE: u64 = 600_000_000_000;
/// How often connections are looked after.
const LOOK_EVERY: u64 = 200_000_000;

/// Where segments come from. Used by one thread.
pub trait Segments {
    /// Begins to look at the sockets of a process; what goes wrong is said in a line. Whether its threads serve a request at a
    /// time, so that what they ask others may get a `traceparent`.
    fn watch(&mut self, pid: u32, serves_by_thread: bool) -> Result<(), String>;

    /// Ends it.
    fn unwatch(&mut self, pid: u32);

    /// All segments since the last time, in the order in which they were seen.
    fn take(&mut self) -> Vec<Seen>;

    /// Requests that were given a `traceparent`: all of which [`Self::take`] has told.
    fn given(&mut self) -> Vec<Given>;

    /// Says what is to become of a socket.
    fn order(&mut self, cookie: u64, fate: Fate);

    /// What was lost so far, by cause.
    fn lost(&mut self) -> Losses;
}

/// What other observers know of a process, by join points.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Operations that they tell of.
    pub told: Vec<&'static str>,
    /// Operations of which they only say for whom they are.
    pub asked: Vec<&'static str>,
}

/// Says what other observers know of a process.
pub type Elsewhere = Box<dyn FnMut(&ObservedProcess) -> Known>;

struct Socket {
    process: u32,
    ends: Ends,
    state: SocketState,
    /// What was said is to become of it.
    ordered: Fate,
    /// By direction: all has been said.
    said: [bool; 2],
}

impl Socket {
    /// Notes which direction has ended; whether nothing more is to be expected, and whether all is over.
    fn ends(&mut self, seen: &Seen) -> (bool, bool) {
        self.said[usize::from(seen.out)] |= seen.fin;
        let both = seen.reset || self.said == [true; 2];
        let role = match &self.state {
            SocketState::Stream(connection) => connection.role(),
            _ => None,
        };
        // Who asks may close its direction and still wait for the answer.
        let answered = seen.fin && role.is_none_or(|role| (role == Role::Server) == seen.out);
        (both || answered, both)
    }
}

enum SocketState {
    Stream(Box<Connection>),
    Datagrams(Datagrams),
    /// Nothing more is made of it.
    Over,
}

/// Makes spans of what processes say on their sockets.
pub struct SocketObserver {
    segments: Box<dyn Segments>,
    sockets: HashMap<u64, Socket>,
    /// What somebody else tells of a process.
    owned: HashMap<u32, HashSet<(Operation, Role)>>,
    elsewhere: Elsewhere,
    family: Family,
    hasher: RandomState,
    looked: u64,
    losses: Losses,
    /// Requests that processes have answered, since somebody last asked.
    requests: HashMap<u32, u64>,
}

impl SocketObserver {
    /// With a source of segments; `elsewhere` knows what other observers see of a process, `askers` what they have said.
    pub fn new(segments: Box<dyn Segments>, elsewhere: Elsewhere, askers: Askers) -> Self {
        Self {
            segments,
            sockets: HashMap::new(),
            owned: HashMap::new(),
            elsewhere,
            family: Family::new(askers),
            hasher: RandomState::new(),
            looked: 0,
            losses: Losses::new(),
            requests: HashMap::new(),
        }
    }

    fn seen(&mut self, seen: &Seen) {
        if !self.owned.contains_key(&seen.process) {
            return; // it was given up meanwhile
        }
        if !self.sockets.contains_key(&seen.cookie) {
            if self.sockets.len() >= SOCKET_LIMIT {
                self.segments.order(seen.cookie, Fate::Quiet);
                *self.losses.entry("sockets_full").or_default() += 1;
                return;
            }
            let state = match seen.transport {
                Transport::Tcp => SocketState::Stream(Box::default()),
                Transport::Udp => SocketState::Datagrams(Datagrams::default()),
            };
            let ends = Ends { local: seen.local, remote: seen.remote };
            self.family.meet(ends);
            self.sockets.insert(
                seen.cookie,
                Socket { process: seen.process, ends, state, ordered: Fate::Open, said: [false; 2] },
            );
        }
        let Some(socket) = self.sockets.get_mut(&seen.cookie) else { return };
        socket.process = seen.process;
        let segment = seen.segment();
        let mut exchanges = Vec::new();
        let mut ends = socket.ends;
        let mut fate = match &mut socket.state {
            SocketState::Over => Fate::Quiet,
            SocketState::Stream(connection) => connection.add(&segment, &mut exchanges),
            SocketState::Datagrams(datagrams) => {
                ends = Ends { local: seen.local, remote: seen.remote };
                let peer = self.hasher.hash_one(seen.remote);
                match datagrams.add(&segment, peer, &mut exchanges) {
                    true => Fate::Open,
                    false => Fate::Quiet,
                }
            }
        };
        let (ended, over) = socket.ends(seen);
        if ended && let SocketState::Stream(connection) = &mut socket.state {
            connection.close(seen.time, &mut exchanges);
            fate = Fate::Open; // nothing more will come by itself
        }
        // A connection of grpc carries nothing but its calls.
        let owned = self.owned.get(&seen.process);
        let is_told = |one: &Exchange| owned.is_some_and(|owned| owned.contains(&(one.operation, one.role)));
        if exchanges.iter().any(|one| one.operation == Operation::Grpc && is_told(one)) {
            fate = Fate::Quiet;
        }
        self.keep(seen.cookie, fate);
        self.add(seen.process, seen.cookie, ends, exchanges);
        if over {
            self.forget(seen.cookie);
        }
    }

    /// Does as a connection's parser wants.
    fn keep(&mut self, cookie: u64, fate: Fate) {
        let Some(socket) = self.sockets.get_mut(&cookie).filter(|_| fate != Fate::Open) else { return };
        if socket.ordered != fate {
            socket.ordered = fate;
            self.segments.order(cookie, fate);
        }
        if fate == Fate::Quiet {
            socket.state = SocketState::Over;
        }
    }

    fn add(&mut self, process: u32, cookie: u64, ends: Ends, exchanges: Vec<Exchange>) {
        let owned = self.owned.get(&process);
        for exchange in exchanges {
            if exchange.role == Role::Server && matches!(exchange.operation, Operation::Http | Operation::Grpc) {
                *self.requests.entry(process).or_default() += 1;
            }
            if is_export(&exchange) {
                continue;
            }
            if owned.is_some_and(|owned| !owned.contains(&(exchange.operation, exchange.role))) {
                self.family.add(process, cookie, ends, exchange);
            }
        }
    }

    /// Looks after connections that are silent.
    fn look(&mut self, now: u64) {
        if now.saturating_sub(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let mut silent = Vec::new();
        let mut found = Vec::new();
        let mut oldest: HashMap<u32, u64> = HashMap::new();
        for (cookie, socket) in &mut self.sockets {
            let mut exchanges = Vec::new();
            let last = match &mut socket.state {
                SocketState::Stream(connection) => {
                    connection.look(now, &mut exchanges);
                    if connection.role() == Some(Role::Server)
                        && let Some(open) = connection.oldest_open()
                    {
                        oldest.entry(socket.process).and_modify(|known| *known = open.min(*known)).or_insert(open);
                    }
                    connection.last_heard()
                }
                SocketState::Datagrams(datagrams) => datagrams.last_heard(),
                SocketState::Over => 0,
            };
            if !exchanges.is_empty() {
                found.push((socket.process, *cookie, socket.ends, exchanges));
            }
            if now.saturating_sub(last) > SILENCE {
                silent.push(*cookie);
            }
        }
        for (process, cookie, ends, exchanges) in found {
            self.add(process, cookie, ends, exchanges);
        }
        for cookie in silent {
            self.forget(cookie);
        }
        self.family.settle(now, &oldest);
    }

    fn forget(&mut self, cookie: u64) {
        if let Some(socket) = self.sockets.remove(&cookie) {
            self.family.part(socket.ends);
        }
    }
}

/// Whether a client hands telemetry over.
fn is_export(exchange: &Exchange) -> bool {
    let text = |wanted: &str| {
        exchange.attributes.iter().find_map(|(name, value)| match value {
            Value::Text(text) if *name == wanted => Some(text.as_bytes()),
            _ => None,
        })
    };
    exchange.role == Role::Client
        && match exchange.operation {
            Operation::Http => {
                let path = text("url.full").or_else(|| text("url.path")).unwrap_or_default();
                protocol::http::is_export(text("http.request.method").unwrap_or_default(), path)
            }
            Operation::Grpc => text("rpc.method").is_some_and(protocol::http::is_export_call),
            _ => false,
        }
}

impl Observer for SocketObserver {
    fn tables(&self) -> record::Tables {
        records::tables()
    }

    fn source(&self) -> model::Source {
        model::Source::Socket
    }

    fn watch(&mut self, process: &ObservedProcess) -> Result<Vec<String>, ObserveError> {
        let Known { told, asked } = (self.elsewhere)(process);
        let owns = |join_point: &str| process.owns(join_point) || told.contains(&join_point);
        // A goroutine goes from thread to thread.
        self.segments.watch(process.pid, process.go.is_none()).map_err(ObserveError::Failed)?;
        self.owned.insert(process.pid, records::owned(owns));
        self.family.asks(process.pid, records::owned(|join_point| asked.contains(&join_point)));
        Ok(Vec::new())
    }

    fn unwatch(&mut self, pid: u32) {
        self.segments.unwatch(pid);
        let now = clock::now().0;
        let own: Vec<u64> =
            self.sockets.iter().filter(|(_, socket)| socket.process == pid).map(|(cookie, _)| *cookie).collect();
        for cookie in own {
            let Some(socket) = self.sockets.get_mut(&cookie) else { continue };
            let mut exchanges = Vec::new();
            if let SocketState::Stream(connection) = &mut socket.state {
                connection.close(now, &mut exchanges);
            }
            let ends = socket.ends;
            self.add(pid, cookie, ends, exchanges);
            self.forget(cookie);
        }
        self.owned.remove(&pid);
        self.family.end(pid);
    }

    fn take(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> usize {
        let seen = self.segments.take();
        let fullest = usize::from(!seen.is_empty());
        for given in self.segments.given() {
            self.family.give(given);
        }
        for seen in seen {
            self.seen(&seen);
        }
        self.look(clock::now().0);
        for span in self.family.take() {
            each(span.process, &records::record(&span));
        }
        fullest
    }

    fn sees_requests(&self) -> bool {
        true
    }

    fn requests(&mut self) -> Vec<(u32, u64)> {
        self.requests.drain().collect()
    }

    fn losses(&mut self) -> Losses {
        let mut losses = self.segments.lost();
        losses.extend(self.losses.iter().map(|(cause, count)| (*cause, *count)));
        losses
    }
}
