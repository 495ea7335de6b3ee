//! Who calls whom: each request between two services, by the spans of both ends, as `traces_service_graph_*` metrics.
//!
//! Spans come here before any sampling, told apart by their [`Role`]: what all spans have in common that say the same about a
//! request. A client's and a server's find each other by the id that the request carried ([`halves`]). Spans that leave no record
//! have no id: they are on the edges that sampled spans of the same role are on ([`shares`]; docs/metrics.md says how exact that is).
//! Everything here is bounded, and what finds no room is counted.

mod halves;
pub mod settings;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use deliver::metrics::{Exemplar, Metric, Origin, Point};
use deliver::otlp::encode::UnixNanos;
use foldhash::fast::RandomState;
use model::{Resource, Value};
use record::layout::kind::{CLIENT, CONSUMER, PRODUCER, SERVER};
use record::layout::{BUCKET_BOUNDS, BUCKET_COUNT};
use record::{InstrumentKind, InstrumentValue};

use crate::measure::bucket;
use halves::{Half, Halves, Key};
pub use settings::ServiceGraph;
use shares::{Counts, Shares};

/// Kinds of spans that are told apart; beyond it only by service.
const ROLES_LIMIT: usize = 10_000;
/// Pairs of them whose edge is remembered.
const PAIRS_LIMIT: usize = 65_536;
/// Services that are named where something is unpaired or dropped.
const NAMES_LIMIT: usize = 1000;
const OTHER: &str = "_OTHER";
/// So long (ms) counts wait for a sampled span that says where they belong.
const UNKNOWN: u64 = 60_000;
/// Longer values are cut, bytes.
const LONGEST_TEXT: usize = 256;
/// Who calls a server that has no caller, and a peer that has no name: the Collector's words.
const USER: &str = "user";
const NAMELESS: &str = "unknown";

/// A role's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoleIndex(u32);

impl RoleIndex {
    /// Of spans that are no end of a request.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether there is nothing to do about its spans.
    #[inline]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// What tells roles apart.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// `service.name`.
    pub service: &'a Arc<str>,
    /// The operation.
    pub name: &'a str,
    /// As in OTLP.
    pub kind: u8,
    /// Its status is an error.
    pub failed: bool,
    /// Attributes that unsampled spans have, too.
    pub dimensions: &'a [(String, Value)],
    /// Those that [`Graph::wanted`] names besides.
    pub more: &'a [(String, Value)],
    /// What they come from.
    pub resource: Option<&'a Resource>,
}

/// One span, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Its ids, its end, and how long it took.
    pub span: Exemplar,
    /// Zeros: none.
    pub parent: [u8; 8],
    /// The parent is in the same process: it is no caller.
    pub is_inside: bool,
    /// Ids of linked spans with their traces. Asked of messages only.
    pub links: &'a [([u8; 16], [u8; 8])],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Side {
    /// A client that may have a server.
    Client,
    Server,
    /// A client of a database, whose own spans nobody has.
    Database,
    Producer,
    Consumer,
}

#[derive(Debug)]
struct Role {
    side: Side,
    failed: bool,
    service: Arc<str>,
    /// The same as a number, from 1.
    service_number: u32,
    /// What a client's peer is called by where nobody answers.
    peer: Arc<str>,
    dimensions: Vec<(String, String)>,
    /// Those that do not fail, or differ only in what unsampled spans do not tell.
    group: u32,
    shares: Shares,
    /// The edge of which there is but one: to a database, from outside, to a peer that does not answer.
    edge: Option<u32>,
    /// Counts that came before anything was known, and since when.
    waiting: Option<Box<(u64, Counts)>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Connection {
    #[default]
    Direct,
    Messaging,
    Database,
    Virtual,
}

impl Connection {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "",
            Self::Messaging => "messaging_system",
            Self::Database => "database",
            Self::Virtual => "virtual_node",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct EdgeKey {
    client: Arc<str>,
    server: Arc<str>,
    connection: Connection,
    failed: bool,
    dimensions: Vec<(String, String)>,
    overflow: bool,
}

#[derive(Debug)]
struct Edge {
    key: Arc<EdgeKey>,
    requests: u64,
    /// Which end its requests are counted by: a message may arrive several times.
    by_server: bool,
    client: Times,
    server: Times,
}

#[derive(Debug, Default)]
struct Times {
    counts: Counts,
    exemplars: Vec<Option<Exemplar>>,
}

impl Times {
    fn span(&mut self, span: Exemplar) {
        let bucket = bucket(span.duration_ns);
        self.counts.buckets[bucket] = self.counts.buckets[bucket].saturating_add(1);
        self.counts.sum_ns = self.counts.sum_ns.saturating_add(span.duration_ns);
        if self.exemplars.is_empty() {
            self.exemplars = vec![None; BUCKET_COUNT];
        }
        self.exemplars[bucket] = Some(span);
    }
}

/// Names of services by what could not be done with their spans: those that asked, and those that answered.
type Losses = BTreeMap<(Arc<str>, bool), u64>;

/// All edges of all programs. Cumulative since the agent started.
#[derive(Debug)]
pub struct Graph {
    is_on: bool,
    /// Spans come when it is known which account of them stays, not as they are recorded.
    comes_late: bool,
    ttl_ms: u64,
    peer_attributes: Vec<String>,
    chosen: Vec<String>,
    wanted: Arc<[String]>,
    limit: usize,
    started: Instant,
    now_ms: u64,
    roles: Vec<Role>,
    role_index: HashMap<String, RoleIndex, RandomState>,
    groups: Vec<Shares>,
    group_index: HashMap<String, u32, RandomState>,
    services: HashMap<Arc<str>, u32, RandomState>,
    edges: Vec<Edge>,
    edge_index: HashMap<Arc<EdgeKey>, u32, RandomState>,
    pairs: HashMap<(RoleIndex, RoleIndex), u32, RandomState>,
    halves: Halves,
    waiting: Vec<RoleIndex>,
    chance: u64,
    unpaired: Losses,
    dropped: Losses,
}

impl Graph {
    /// As it is configured, with so many edges at most.
    pub fn new(settings: &ServiceGraph, limit: usize) -> Self {
        let peer_attributes = settings.peer_attributes();
        let databases = ["db.namespace", "db.name", "db.system"].map(str::to_owned);
        let mut wanted: Vec<String> = Vec::new();
        for name in settings.dimensions.iter().chain(&peer_attributes).chain(&databases) {
            if !wanted.contains(name) {
                wanted.push(name.clone());
            }
        }
        Self {
            is_on: settings.is_on(),
            comes_late: false,
            ttl_ms: u64::try_from(settings.ttl().as_millis()).unwrap_or(u64::MAX),
            peer_attributes,
            chosen: settings.dimensions.clone(),
            wanted: wanted.into(),
            limit,
            started: Instant::now(),
            now_ms: 0,
            roles: Vec::new(),
            role_index: HashMap::default(),
            groups: Vec::new(),
            group_index: HashMap::default(),
            services: HashMap::default(),
            edges: Vec::new(),
            edge_index: HashMap::default(),
            pairs: HashMap::default(),
            halves: Halves::new(settings.max_items()),
            waiting: Vec::new(),
            chance: 0x9e37_79b9_7f4a_7c15,
            unpaired: Losses::new(),
            dropped: Losses::new(),
        }
    }

    /// Spans come by [`Graph::span`] when it is known which account of them stays.
    pub fn comes_late(&mut self) {
        self.comes_late = true;
    }

    /// Whether spans are shown to it as they are recorded.
    #[inline]
    pub fn is_shown_records(&self) -> bool {
        self.is_on && !self.comes_late
    }

    /// Keys of attributes that roles are told apart by.
    pub fn wanted(&self) -> Arc<[String]> {
        Arc::clone(&self.wanted)
    }

    /// Whether one of them is wanted of those who answer, too. What names a peer is not: there it is whatever the caller says.
    pub fn is_chosen(&self, key: &str) -> bool {
        self.chosen.iter().any(|chosen| chosen == key)
    }

    /// Finds or makes the role of such spans.
    pub fn role(&mut self, about: &About<'_>) -> RoleIndex {
        let Some(side) = side(about).filter(|_| self.is_on) else { return RoleIndex::NONE };
        let value = |wanted: &str| value(about, wanted);
        let mut peer = Arc::from("");
        if matches!(side, Side::Client | Side::Producer | Side::Database) {
            let database = (side == Side::Database).then(|| database(about)).flatten();
            let named = || self.peer_attributes.iter().find_map(|key| value(key));
            peer = cut(&database.or_else(named).unwrap_or_else(|| NAMELESS.to_owned()));
        }
        let of_resource = |key: &String| about.resource?.attributes.get(key).map(ToString::to_string);
        let end = if matches!(side, Side::Server | Side::Consumer) { "server" } else { "client" };
        let chosen = self.chosen.iter().filter_map(|key| {
            Some((format!("{end}_{key}"), cut(&value(key).or_else(|| of_resource(key))?).to_string()))
        });
        let mut dimensions: Vec<_> = chosen.collect();
        let place = ["server.address", "server.port", "messaging.system", "messaging.destination.name"].map(value);
        let group = match side {
            Side::Client | Side::Producer => format!("{:?}", (&about.service, side, place)),
            Side::Database => format!("{:?}", (&about.service, side, &peer)),
            Side::Server | Side::Consumer => format!("{:?}", (&about.service, side, &place[2..])),
        };
        let mut name = about.name;
        if self.roles.len() >= ROLES_LIMIT {
            (name, peer, dimensions) = ("", Arc::from(NAMELESS), Vec::new());
        }
        let identity = format!("{:?}", (about.service, side, about.failed, name, &peer, &dimensions, &group));
        if let Some(&known) = self.role_index.get(&identity) {
            return known;
        }
        if self.roles.len() >= 2 * ROLES_LIMIT {
            return RoleIndex::NONE;
        }
        let next = self.groups.len() as u32;
        let group = *self.group_index.entry(group).or_insert(next);
        if group == next {
            self.groups.push(Shares::default());
        }
        let next = self.services.len() as u32 + 1;
        let role = RoleIndex(self.roles.len() as u32);
        self.roles.push(Role {
            side,
            failed: about.failed,
            service: Arc::clone(about.service),
            service_number: *self.services.entry(Arc::clone(about.service)).or_insert(next),
            peer,
            dimensions,
            group,
            shares: Shares::default(),
            edge: None,
            waiting: None,
        });
        self.role_index.insert(identity, role);
        role
    }

    /// Whether links of such spans matter: those of messages that arrive.
    #[inline]
    pub fn asks_for_links(&self, role: RoleIndex) -> bool {
        self.roles.get(role.0 as usize).is_some_and(|role| role.side == Side::Consumer)
    }

    /// Adds one span.
    #[inline]
    pub fn span(&mut self, role: RoleIndex, ends: &Ends<'_>) {
        if let Some(known) = self.roles.get(role.0 as usize) {
            match known.side {
                Side::Database => self.database(role, ends.span),
                Side::Client | Side::Producer => self.asked(role, ends.span),
                Side::Server => self.answered(role, ends),
                Side::Consumer => self.arrived(role, ends),
            }
        }
    }

    /// Adds spans that only left their counts.
    pub fn counts(&mut self, role: RoleIndex, buckets: &[u64; BUCKET_COUNT], sum_ns: u64) {
        if !role.is_none() {
            self.distribute(role, &Counts { buckets: *buckets, sum_ns });
        }
    }

    /// Time has passed: those that have waited long enough wait no longer.
    pub fn tick(&mut self, now: Instant) {
        self.now_ms = u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        self.expire(self.now_ms);
        self.look_again(false);
    }

    /// Nothing more will come.
    pub fn settle(&mut self) {
        self.expire(u64::MAX);
        self.look_again(true);
    }

    fn database(&mut self, role: RoleIndex, span: Exemplar) {
        let index = self.only_edge(role);
        let edge = &mut self.edges[index as usize];
        edge.requests += 1;
        edge.client.span(span);
        edge.server.span(span);
        if !self.chosen.is_empty() {
            self.is_on(role, Some(index)); // those that left only their counts do not have all that was chosen
        }
    }

    /// A client's span. A message stays, for others that it reaches.
    fn asked(&mut self, role: RoleIndex, span: Exemplar) {
        let key = Key { trace_id: span.trace_id, span_id: span.span_id };
        let is_message = self.roles[role.0 as usize].side == Side::Producer;
        let mut half = Half::of(role, &span);
        if let Some(place) = self.halves.find(&key) {
            let other = *self.halves.get(place);
            if !self.is_answer(other.role) {
                return; // told twice
            }
            self.halves.remove(place);
            self.pair(role, span, other.role, other.exemplar(key.trace_id));
            half.reaches(self.service(other.role));
            if !is_message {
                return;
            }
        }
        self.wait(key, half);
    }

    fn answered(&mut self, role: RoleIndex, ends: &Ends<'_>) {
        if ends.parent == [0; 8] {
            let index = self.only_edge(role);
            let edge = &mut self.edges[index as usize];
            edge.requests += 1;
            edge.server.span(ends.span);
            self.is_on(role, Some(index));
        } else if !ends.is_inside {
            let key = Key { trace_id: ends.span.trace_id, span_id: ends.parent };
            if !self.meets(role, ends.span, key) {
                self.wait(key, Half::of(role, &ends.span));
            }
        }
    }

    fn arrived(&mut self, role: RoleIndex, ends: &Ends<'_>) {
        let parent = (ends.parent != [0; 8] && !ends.is_inside).then_some((ends.span.trace_id, ends.parent));
        let mut is_known = false;
        for &(trace_id, span_id) in ends.links.iter().chain(&parent) {
            is_known |= self.meets(role, ends.span, Key { trace_id, span_id });
        }
        match (is_known, parent.or_else(|| ends.links.first().copied())) {
            (false, Some((trace_id, span_id))) => self.wait(Key { trace_id, span_id }, Half::of(role, &ends.span)),
            // Nothing came, or nobody says from whom.
            (false, None) => self.is_on(role, None),
            (true, _) => {}
        }
    }

    /// Whether who asked has been waiting for this answer.
    fn meets(&mut self, role: RoleIndex, span: Exemplar, key: Key) -> bool {
        let Some(place) = self.halves.find(&key) else { return false };
        let asked = *self.halves.get(place);
        if self.is_answer(asked.role) {
            return false;
        }
        if self.roles[asked.role.0 as usize].side == Side::Producer {
            let service = self.service(role);
            if !self.halves.get_mut(place).reaches(service) {
                self.is_on(role, None); // received, and now worked on
                return true;
            }
        } else {
            self.halves.remove(place);
        }
        self.pair(asked.role, asked.exemplar(key.trace_id), role, span);
        true
    }

    fn wait(&mut self, key: Key, half: Half) {
        let due = self.now_ms.saturating_add(self.ttl_ms);
        if self.halves.find(&key).is_some() {
            self.lose(half.role, false); // two servers of one client
        } else if !self.halves.insert(key, half, due) {
            self.lose(half.role, true);
            let mut one = Counts { sum_ns: half.duration_ns, ..Counts::default() };
            one.buckets[bucket(half.duration_ns)] = 1;
            self.distribute(half.role, &one);
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some((key, half)) = self.halves.take_due(now) {
            if self.is_answer(half.role) {
                self.is_on(half.role, None);
                self.lose(half.role, false);
            } else if half.reached == [0; 4] {
                let index = self.only_edge(half.role);
                let edge = &mut self.edges[index as usize];
                edge.requests += 1;
                edge.client.span(half.exemplar(key.trace_id));
                self.is_on(half.role, Some(index));
                self.lose(half.role, false);
            }
        }
    }

    /// Two halves are one request.
    fn pair(&mut self, asked: RoleIndex, client: Exemplar, answered: RoleIndex, server: Exemplar) {
        let index = match self.pairs.get(&(asked, answered)) {
            Some(&index) => index,
            None => {
                let (one, other) = (&self.roles[asked.0 as usize], &self.roles[answered.0 as usize]);
                let is_message = one.side == Side::Producer || other.side == Side::Consumer;
                let index = self.edge(EdgeKey {
                    client: Arc::clone(&one.service),
                    server: Arc::clone(&other.service),
                    connection: if is_message { Connection::Messaging } else { Connection::Direct },
                    failed: one.failed || other.failed,
                    dimensions: [&one.dimensions[..], &other.dimensions].concat(),
                    overflow: false,
                });
                if self.pairs.len() >= PAIRS_LIMIT {
                    self.pairs.clear();
                }
                self.pairs.insert((asked, answered), index);
                index
            }
        };
        let edge = &mut self.edges[index as usize];
        edge.requests += 1;
        edge.client.span(client);
        edge.server.span(server);
        self.is_on(asked, Some(index));
        self.is_on(answered, Some(index));
    }

    /// It is known what became of one span of a role.
    fn is_on(&mut self, role: RoleIndex, edge: Option<u32>) {
        let Role { shares, group, .. } = &mut self.roles[role.0 as usize];
        let group = &mut self.groups[*group as usize];
        shares.span();
        group.span();
        if let Some(edge) = edge {
            shares.on(edge);
            group.on(edge);
        }
    }

    fn is_answer(&self, role: RoleIndex) -> bool {
        matches!(self.roles[role.0 as usize].side, Side::Server | Side::Consumer)
    }

    fn service(&self, role: RoleIndex) -> u32 {
        self.roles[role.0 as usize].service_number
    }

    fn lose(&mut self, role: RoleIndex, for_want_of_room: bool) {
        let of = (Arc::clone(&self.roles[role.0 as usize].service), self.is_answer(role));
        let losses = if for_want_of_room { &mut self.dropped } else { &mut self.unpaired };
        let is_known = losses.contains_key(&of) || losses.len() < NAMES_LIMIT;
        *losses.entry(if is_known { of } else { (Arc::from(OTHER), of.1) }).or_default() += 1;
    }

    /// The edge of a role of which there is but one.
    fn only_edge(&mut self, role: RoleIndex) -> u32 {
        let Role { side, failed, service, peer, dimensions, edge, .. } = &self.roles[role.0 as usize];
        if let Some(edge) = edge {
            return *edge;
        }
        let (client, server) = match side {
            Side::Server | Side::Consumer => (Arc::from(USER), Arc::clone(service)),
            _ => (Arc::clone(service), Arc::clone(peer)),
        };
        let connection = if *side == Side::Database { Connection::Database } else { Connection::Virtual };
        let dimensions = dimensions.clone();
        let index = self.edge(EdgeKey { client, server, connection, failed: *failed, dimensions, overflow: false });
        self.roles[role.0 as usize].edge = Some(index);
        index
    }

    fn edge(&mut self, key: EdgeKey) -> u32 {
        if let Some(&known) = self.edge_index.get(&key) {
            return known;
        }
        let key = match self.edges.len() + 1 < self.limit {
            true => key,
            false => EdgeKey { overflow: true, ..EdgeKey::default() },
        };
        if let Some(&known) = self.edge_index.get(&key) {
            return known;
        }
        let key = Arc::new(key);
        let index = self.edges.len() as u32;
        let by_server = key.connection == Connection::Messaging || &*key.client == USER;
        let (client, server) = Default::default();
        self.edges.push(Edge { key: Arc::clone(&key), requests: 0, by_server, client, server });
        self.edge_index.insert(key, index);
        index
    }

    /// The same edge, of requests that failed or did not.
    fn sibling(&mut self, edge: u32, failed: bool) -> u32 {
        let key = &self.edges[edge as usize].key;
        if key.failed == failed || key.overflow {
            return edge;
        }
        let key = EdgeKey { failed, ..EdgeKey::clone(key) };
        self.edge(key)
    }

    /// Spans of a role that only left their counts are where others of it are; while there are none, where those of its group are.
    fn distribute(&mut self, index: RoleIndex, counts: &Counts) {
        let role = &self.roles[index.0 as usize];
        if role.side == Side::Database && self.chosen.is_empty() {
            let edge = self.only_edge(index);
            let edge = &mut self.edges[edge as usize];
            edge.requests = edge.requests.saturating_add(counts.count());
            edge.client.counts.add(counts);
            edge.server.counts.add(counts);
            return;
        }
        let (is_of_role, failed, is_answer) = (!role.shares.is_empty(), role.failed, self.is_answer(index));
        let shares = if is_of_role { &role.shares } else { &self.groups[role.group as usize] };
        if shares.is_empty() {
            let now = self.now_ms;
            let role = &mut self.roles[index.0 as usize];
            if role.waiting.is_none() {
                self.waiting.push(index);
            }
            role.waiting.get_or_insert_with(|| Box::new((now, Counts::default()))).1.add(counts);
            return;
        }
        let mut parts = Vec::new();
        let chance = &mut self.chance;
        shares.split_all(counts, || next(chance), |edge, part| parts.push((edge, part.clone())));
        for (edge, part) in parts {
            let edge = if is_of_role { edge } else { self.sibling(edge, failed) };
            self.add(edge, is_answer, &part);
        }
    }

    fn add(&mut self, edge: u32, is_answer: bool, counts: &Counts) {
        let edge = &mut self.edges[edge as usize];
        if edge.by_server == is_answer {
            edge.requests = edge.requests.saturating_add(counts.count());
        }
        if is_answer || edge.key.connection == Connection::Database {
            edge.server.counts.add(counts);
        }
        if !is_answer {
            edge.client.counts.add(counts);
        }
    }

    /// Counts that wait: perhaps more is known by now. `all`: what nothing is known of goes where nobody answers.
    fn look_again(&mut self, all: bool) {
        for index in std::mem::take(&mut self.waiting) {
            let role = &mut self.roles[index.0 as usize];
            let is_known = !role.shares.is_empty() || !self.groups[role.group as usize].is_empty();
            let Some(waiting) = role.waiting.take() else { continue };
            if is_known {
                self.distribute(index, &waiting.1);
            } else if !all && self.now_ms.saturating_sub(waiting.0) < UNKNOWN {
                role.waiting = Some(waiting);
                self.waiting.push(index);
            } else if self.is_answer(index) {
                let of = (Arc::clone(&self.roles[index.0 as usize].service), true);
                *self.unpaired.entry(of).or_default() += waiting.1.count();
            } else {
                let edge = self.only_edge(index);
                self.add(edge, false, &waiting.1);
            }
        }
    }

    /// As metrics.
    pub fn metrics(&self, start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
        let point = |attributes, value, exemplars| Point { attributes, start, time: now, value, exemplars };
        let number = |number: u64| InstrumentValue::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let edges = || self.edges.iter().filter(|edge| edge.requests > 0);
        let requests = edges().map(|edge| point(edge.key.attributes(), number(edge.requests), Vec::new()));
        let failed = edges().filter(|edge| edge.key.failed);
        let failed = failed.map(|edge| point(edge.key.attributes(), number(edge.requests), Vec::new()));
        let times = |times: fn(&Edge) -> &Times| {
            let measured = self.edges.iter().map(move |edge| (edge, times(edge)));
            measured.filter(|(_, times)| times.counts.count() > 0).map(move |(edge, times)| {
                let value = InstrumentValue::Histogram {
                    bounds: BUCKET_BOUNDS.iter().map(|&bound| bound as f64 / 1e9).collect(),
                    counts: times.counts.buckets.to_vec(),
                    sum: times.counts.sum_ns as f64 / 1e9,
                };
                point(edge.key.attributes(), value, times.exemplars.iter().flatten().copied().collect())
            })
        };
        let lost = |losses: &Losses| {
            let point_of = |((service, is_answer), count): (&(Arc<str>, bool), &u64)| {
                let service = Value::String(service.to_string());
                let (client, server) = if *is_answer { (none(), service) } else { (service, none()) };
                let attributes = vec![("client".to_owned(), client), ("server".to_owned(), server)];
                point(attributes, number(*count), Vec::new())
            };
            losses.iter().map(point_of).collect::<Vec<_>>()
        };
        let counter = |name, description, points| metric(name, description, "", InstrumentKind::Counter, points);
        let histogram = |name, description, points| metric(name, description, "s", InstrumentKind::Histogram, points);
        let all = [
            counter("traces_service_graph_request_total", "Requests between two services.", requests.collect()),
            counter("traces_service_graph_request_failed_total", "Those that failed.", failed.collect()),
            histogram(
                "traces_service_graph_request_server",
                "How long they took, as the server saw it.",
                times(|edge| &edge.server).collect(),
            ),
            histogram(
                "traces_service_graph_request_client",
                "How long they took, as the client saw it.",
                times(|edge| &edge.client).collect(),
            ),
            counter(
                "traces_service_graph_unpaired_spans_total",
                "Spans of one end of a request whose other end was not seen.",
                lost(&self.unpaired),
            ),
            counter(
                "traces_service_graph_dropped_spans_total",
                "Spans that found no room to wait for the other end.",
                lost(&self.dropped),
            ),
        ];
        all.into_iter().filter(|metric| !metric.points.is_empty()).collect()
    }
}

impl Half {
    fn of(role: RoleIndex, span: &Exemplar) -> Self {
        Self { role, span_id: span.span_id, time: span.time.0, duration_ns: span.duration_ns, reached: [0; 4] }
    }

    fn exemplar(&self, trace_id: [u8; 16]) -> Exemplar {
        Exemplar { trace_id, span_id: self.span_id, time: UnixNanos(self.time), duration_ns: self.duration_ns }
    }
}

impl EdgeKey {
    fn attributes(&self) -> Vec<(String, Value)> {
        if self.overflow {
            return vec![("otel.metric.overflow".to_owned(), Value::Bool(true))];
        }
        let text = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
        let mut attributes = vec![
            text("client", &self.client),
            text("server", &self.server),
            text("connection_type", self.connection.name()),
            ("failed".to_owned(), Value::Bool(self.failed)),
        ];
        attributes.extend(self.dimensions.iter().map(|(key, value)| text(key, value)));
        attributes
    }
}

fn metric(name: &str, description: &str, unit: &str, kind: InstrumentKind, points: Vec<Point>) -> Metric {
    Metric {
        origin: Origin::Agent,
        scope: "tandem/agent".to_owned(),
        scope_version: String::new(),
        schema_url: String::new(),
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: description.to_owned(),
        kind,
        observed: false,
        points,
    }
}

fn none() -> Value {
    Value::String(String::new())
}

/// Which end of a request such spans are; `None`: neither.
fn side(about: &About<'_>) -> Option<Side> {
    let is_message = value(about, "messaging.system").is_some();
    let operation = value(about, "messaging.operation.type").filter(|_| is_message);
    match (about.kind, operation.as_deref()) {
        (CLIENT | CONSUMER, Some("receive" | "process")) | (CONSUMER, _) => Some(Side::Consumer),
        (CLIENT, Some("settle")) => None,
        (PRODUCER, _) | (CLIENT, Some("send" | "publish" | "create")) => Some(Side::Producer),
        (SERVER, _) => Some(Side::Server),
        (CLIENT, _) if database(about).is_some() => Some(Side::Database),
        (CLIENT, _) => Some(Side::Client),
        _ => None,
    }
}

/// What a database is called: by its namespace where that is more than a number, else by what it is.
fn database(about: &About<'_>) -> Option<String> {
    let system = || value(about, "db.system.name").or_else(|| value(about, "db.system"));
    let namespace = value(about, "db.namespace").or_else(|| value(about, "db.name"));
    namespace.filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit())).or_else(system)
}

fn value(about: &About<'_>, wanted: &str) -> Option<String> {
    let all = about.dimensions.iter().chain(about.more);
    let mut found = all.filter(|(key, _)| key == wanted).map(|(_, value)| value.to_string());
    found.next().filter(|value| !value.is_empty())
}

fn cut(text: &str) -> Arc<str> {
    Arc::from(&text[..text.floor_char_boundary(LONGEST_TEXT)])
}

/// The next of a row of numbers that look like chance.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
