//! Spans that wait a while for whoever else tells of the same operations, and what comes of it when they meet.
//!
//! Batches leave in the order in which they came. One in which nothing is to be changed leaves as it came.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deliver::Batch;
use deliver::otlp::rewrite::{self, Edit};
use deliver::otlp::walk::{Malformed, resources};
use foldhash::fast::{FixedState, RandomState};
use model::{Kind, Source, SpanId, TraceId, Value};

use super::facts::{Facts, What};
use super::merge::{self, Change};
use super::pairs::{self, Edge};

/// Spans of one kind of operation that are compared with one, to each side in time.
const CANDIDATES: usize = 256;
/// Spans that are told apart from each other at once.
const CROWD: usize = 64;
/// Ids that are remembered after their spans have left.
const REMEMBERED: usize = 65_536;
/// How often an id that was replaced may have been replaced again.
const LONGEST_CHAIN: usize = 8;
/// Bytes that holding a span takes beside its own.
const OVERHEAD: usize = 256;

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Spans that were put together with another one of the same operation.
    pub merged: u64,
    /// Traces that were found to be a part of another one.
    pub joined: u64,
    /// Batches that left before their time, since there was no room.
    pub early: u64,
    /// Batches that are no OTLP; they pass as they are.
    pub malformed: u64,
}

/// Where a span is held.
pub(super) type Place = (u64, u32);
/// Operations that may be the same: of a service, of a kind, doing the same.
type Alike = (u64, Kind, What);
/// A span that may be the other account, the likelier the less the first is: what both know of each other, and how far they are apart, ns.
type Candidate = ((Kinship, u128), Place);
/// A span, by its trace and itself.
type Id = (TraceId, SpanId);

pub(super) struct Window {
    age: Duration,
    limit: usize,
    held: VecDeque<Held>,
    /// Number of the oldest batch.
    first: u64,
    bytes: usize,
    ids: HashMap<Id, Place, RandomState>,
    /// Servers of those who told or saw them, and clients that were seen, by their parents.
    children: HashMap<Id, Vec<Place>, RandomState>,
    /// Spans that have met nobody yet, by their start: those that were told, and those that were seen.
    alike: HashMap<Alike, [BTreeSet<(u64, Place)>; 2], RandomState>,
    /// The servers among them, by their traces.
    servers: HashMap<TraceId, Vec<Place>, RandomState>,
    renamed: Remembered<Id, SpanId>,
    moved: Remembered<TraceId, TraceId>,
    pub(super) counts: Counts,
}

struct Held {
    batch: Arc<Batch>,
    since: Instant,
    service: u64,
    pid: Option<i64>,
    slots: Vec<Slot>,
}

struct Slot {
    facts: Facts,
    /// Where its message is in the batch.
    offset: usize,
    length: usize,
    /// It has met an account from the other side.
    met: bool,
    /// It waits for one.
    waits: bool,
    /// The other one says it all.
    merged: bool,
    /// What the other one says more.
    more: Vec<u8>,
    /// Its parent is this one, in that trace.
    adopted: Option<Id>,
}

impl Window {
    /// Spans wait so long; at most so many bytes of them.
    pub(super) fn new(age: Duration, limit: usize) -> Self {
        Self {
            age,
            limit,
            held: VecDeque::new(),
            first: 0,
            bytes: 0,
            ids: HashMap::default(),
            children: HashMap::default(),
            alike: HashMap::default(),
            servers: HashMap::default(),
            renamed: Remembered::default(),
            moved: Remembered::default(),
            counts: Counts::default(),
        }
    }

    /// Takes a batch. What is no OTLP is given back.
    pub(super) fn add(&mut self, batch: Arc<Batch>, now: Instant) -> Option<Arc<Batch>> {
        let Ok(slots) = slots(&batch) else {
            self.counts.malformed += 1;
            return Some(batch);
        };
        let service = FixedState::default().hash_one(batch.resource.service());
        let pid = match batch.resource.attributes.get("process.pid") {
            Some(Value::Int(pid)) => Some(*pid),
            _ => None,
        };
        let number = self.first + self.held.len() as u64;
        self.bytes += size(&batch, &slots);
        let count = slots.len() as u32;
        self.held.push_back(Held { batch, since: now, service, pid, slots });
        for index in 0..count {
            self.meet((number, index));
        }
        None
    }

    /// When the next batch is due; `None`: there is none.
    pub(super) fn next(&self) -> Option<Instant> {
        self.held.front().map(|held| held.since + self.age)
    }

    /// The next batch that is due, as it is to go on; outer `None`: none is due. `all`: whether its time has come or not.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Option<Option<Arc<Batch>>> {
        let front = self.held.front()?;
        let has_room = self.bytes <= self.limit;
        if !all && has_room && now.saturating_duration_since(front.since) < self.age {
            return None;
        }
        self.counts.early += u64::from(!all && !has_room);
        for index in 0..front.slots.len() as u32 {
            self.part((self.first, index));
        }
        let held = self.held.pop_front()?;
        self.bytes -= size(&held.batch, &held.slots);
        self.first += 1;
        Some(self.written(held))
    }

    fn written(&self, held: Held) -> Option<Arc<Batch>> {
        let changes: Vec<Change> = held.slots.iter().map(|slot| self.change(slot)).collect();
        let is_touched =
            |(slot, change): (&Slot, &Change)| slot.merged || !slot.more.is_empty() || *change != Change::default();
        if !held.slots.iter().zip(&changes).any(is_touched) {
            return Some(held.batch);
        }
        let mut each = held.slots.iter().zip(&changes);
        let written = rewrite::batch(&held.batch, |span| match each.next() {
            Some((slot, _)) if slot.merged => Edit::Drop,
            Some((slot, change)) if is_touched((slot, change)) => {
                merge::changed(span, *change, &slot.more).map_or(Edit::Keep, Edit::Replace)
            }
            _ => Edit::Keep,
        });
        match written {
            Ok(batch) => batch.map(Arc::new),
            Err(Malformed) => Some(held.batch), // cannot be: it was read when it came
        }
    }

    /// Under which ids a span goes on.
    fn change(&self, slot: &Slot) -> Change {
        let facts = &slot.facts;
        let parent = match slot.adopted {
            Some((trace, parent)) => Some(self.name_of(trace, parent)),
            None => facts.parent.map(|parent| self.name_of(facts.trace_id, parent)),
        };
        Change {
            trace_id: Some(self.trace_of(facts.trace_id)).filter(|trace| *trace != facts.trace_id),
            parent: parent.filter(|parent| Some(*parent) != facts.parent && *parent != facts.span_id),
        }
    }

    fn name_of(&self, mut trace: TraceId, mut span: SpanId) -> SpanId {
        for _ in 0..LONGEST_CHAIN {
            if let Some(other) = self.renamed.get(&(trace, span)) {
                span = other;
            } else if let Some(other) = self.moved.get(&trace) {
                trace = other;
            } else {
                break;
            }
        }
        span
    }

    fn trace_of(&self, mut trace: TraceId) -> TraceId {
        for _ in 0..LONGEST_CHAIN {
            match self.moved.get(&trace) {
                Some(other) => trace = other,
                None => break,
            }
        }
        trace
    }

    fn slot(&self, (batch, index): Place) -> (&Held, &Slot) {
        let held = &self.held[(batch - self.first) as usize];
        (held, &held.slots[index as usize])
    }

    fn slot_mut(&mut self, (batch, index): Place) -> &mut Slot {
        &mut self.held[(batch - self.first) as usize].slots[index as usize]
    }

    /// Looks for another span of the same operation among those that wait, and lets this one wait for it.
    fn meet(&mut self, place: Place) {
        let facts = self.slot(place).1.facts;
        let id = (facts.trace_id, facts.span_id);
        if let Some(&other) = self.ids.get(&id).filter(|other| !self.slot(**other).1.merged) {
            // Made by one and told by two: by its own exporter, and by our record of it, or sent twice.
            let comes_first = rank(facts.source) > rank(self.slot(other).1.facts.source);
            let (stays, goes) = if comes_first { (place, other) } else { (other, place) };
            self.merge(stays, goes);
            if stays == other {
                return;
            }
            self.ids.insert(id, place);
        } else {
            self.ids.insert(id, place);
        }
        if !facts.is_told() && !facts.is_observed() || facts.what.is_none() || self.slot(place).1.met {
            return;
        }
        match self.related(place, &facts) {
            Some(other) => self.join(place, other),
            None => self.wait(place, &facts),
        }
    }

    /// A span is about to leave: all that could tell of the same operation has come, and their parents are known.
    fn part(&mut self, place: Place) {
        let facts = self.slot(place).1.facts;
        // Servers first: what is below them is told apart by them.
        self.settle(facts.trace_id);
        if self.slot(place).1.waits {
            let mut candidates = self.candidates(place);
            let mut has_settled = false;
            for (_, other) in &candidates {
                has_settled |= self.settle(self.slot(*other).1.facts.trace_id);
            }
            if has_settled {
                candidates = self.candidates(place);
            }
            self.find(place, &candidates);
        }
        self.stop_waiting(place);
        let id = (facts.trace_id, facts.span_id);
        if self.ids.get(&id) == Some(&place) {
            self.ids.remove(&id);
        }
    }

    /// A trace's servers meet their other accounts, as far as these are there. Whether one has.
    fn settle(&mut self, trace: TraceId) -> bool {
        let Some(servers) = self.servers.get(&trace) else { return false };
        let mut has_met = false;
        for place in servers.clone() {
            has_met |= self.find(place, &self.candidates(place));
        }
        has_met
    }

    /// Puts a span that waits together with its other account, if that is among these. Whether it was.
    fn find(&mut self, place: Place, candidates: &[Candidate]) -> bool {
        if !self.slot(place).1.waits {
            return false;
        }
        let other = self.alike(place, candidates);
        if let Some(other) = other {
            self.join(place, other);
        }
        other.is_some()
    }

    /// A span that is one operation with this one by its ids: the same caller's server, or a client that was seen within one
    /// that was told.
    fn related(&self, place: Place, facts: &Facts) -> Option<Place> {
        let matches = |other: &Place| {
            let other = &self.slot(*other).1;
            other.waits && other.facts.what == facts.what && other.facts.is_told() != facts.is_told()
        };
        let parent = facts.parent.map(|parent| (facts.trace_id, parent));
        if let Some(parent) = parent.filter(|_| facts.kind == Kind::Server) {
            let siblings = self.children.get(&parent).into_iter().flatten();
            return siblings.copied().find(|other| {
                let is_alike = matches(other) && self.slot(*other).1.facts.kind == Kind::Server;
                is_alike && self.is_one_process(place, *other)
            });
        }
        let is_client = |other: &Place| is_asking(self.slot(*other).1.facts.kind);
        if facts.is_observed() && is_asking(facts.kind) {
            let parent = self.ids.get(&parent?).copied();
            return parent.filter(|parent| matches(parent) && is_client(parent));
        }
        let own = self.children.get(&(facts.trace_id, facts.span_id)).into_iter().flatten();
        own.copied().find(|other| is_asking(facts.kind) && matches(other) && is_client(other))
    }

    /// Of those that may be one operation with this one, the one that is. Of many at once each is to meet another one: the nearest may
    /// be somebody else's only one.
    fn alike(&self, place: Place, own: &[Candidate]) -> Option<Place> {
        let &((kinship, _), nearest) = own.iter().min()?;
        if own.len() == 1 && self.candidates(nearest).len() == 1 || kinship != Kinship::Unknown {
            return Some(nearest);
        }
        let mut crowd = vec![place];
        let mut edges: Vec<Edge<(Kinship, u128)>> = Vec::new();
        let mut next = 0;
        while let Some(&one) = crowd.get(next) {
            next += 1;
            for (weight, other) in self.candidates(one) {
                if !crowd.contains(&other) && crowd.len() < CROWD {
                    crowd.push(other);
                }
                if self.slot(one).1.facts.is_told() && crowd.contains(&other) {
                    edges.push(Edge { weight, told: one, seen: other });
                }
            }
        }
        let pair = pairs::of(edges).into_iter().find(|(told, seen)| place == *told || place == *seen);
        pair.map(|(told, seen)| if place == told { seen } else { told })
    }

    /// Spans that may be one operation with this one by what they do, where, and when, and how likely each is.
    fn candidates(&self, place: Place) -> Vec<Candidate> {
        let (held, slot) = self.slot(place);
        let facts = &slot.facts;
        let others = facts.what.and_then(|what| self.alike.get(&(held.service, facts.kind, what)));
        let Some(others) = others.map(|sides| &sides[usize::from(facts.is_told())]) else { return Vec::new() };
        let around =
            |from: Bound<(u64, Place)>, to: Bound<(u64, Place)>| others.range((from, to)).map(|(_, place)| *place);
        let middle = (facts.start, (0, 0));
        let before = around(Bound::Unbounded, Bound::Excluded(middle)).rev().take(CANDIDATES);
        let after = around(Bound::Included(middle), Bound::Unbounded).take(CANDIDATES);
        let candidates = before.chain(after).filter_map(|place_of_other| {
            let other = &self.slot(place_of_other).1.facts;
            let (told, seen) = if facts.is_told() { (facts, other) } else { (other, facts) };
            if !self.is_one_process(place, place_of_other) || !may_be_one(told, seen) {
                return None;
            }
            let apart = u128::from(other.start.abs_diff(facts.start)) + u128::from(other.end.abs_diff(facts.end));
            Some(((self.kinship(told, seen)?, apart), place_of_other))
        });
        candidates.collect()
    }

    /// How much two accounts know of each other's request: of many that do the same at once the one that knows more is the other
    /// account. `None`: they are of different requests, for sure.
    fn kinship(&self, told: &Facts, seen: &Facts) -> Option<Kinship> {
        let parent = |facts: &Facts| facts.parent.map(|parent| self.name_of(facts.trace_id, parent));
        let is_one_trace = self.trace_of(told.trace_id) == self.trace_of(seen.trace_id);
        match (parent(told), parent(seen)) {
            (Some(one), Some(other)) if is_one_trace && one == other => Some(Kinship::Siblings),
            _ if is_one_trace => Some(Kinship::Trace),
            (Some(_), Some(_)) if !seen.is_guess => None,
            _ => Some(Kinship::Unknown),
        }
    }

    /// Of the same service, and of one process where both say which.
    fn is_one_process(&self, one: Place, other: Place) -> bool {
        let (one, other) = (self.slot(one).0, self.slot(other).0);
        one.service == other.service && (one.pid.is_none() || other.pid.is_none() || one.pid == other.pid)
    }

    fn wait(&mut self, place: Place, facts: &Facts) {
        self.slot_mut(place).waits = true;
        if let Some(parent) = facts.parent
            && (facts.kind == Kind::Server || facts.is_observed() && is_asking(facts.kind))
        {
            self.children.entry((facts.trace_id, parent)).or_default().push(place);
        }
        if let Some(what) = facts.what {
            let key = (self.slot(place).0.service, facts.kind, what);
            let sides = self.alike.entry(key).or_default();
            sides[usize::from(facts.is_observed())].insert((facts.start, place));
        }
        if facts.kind == Kind::Server {
            self.servers.entry(facts.trace_id).or_default().push(place);
        }
    }

    fn no_longer_waits(&mut self, place: Place, service: u64, facts: &Facts) {
        if let Some(parent) = facts.parent {
            remove(&mut self.children, (facts.trace_id, parent), place);
        }
        remove(&mut self.servers, facts.trace_id, place);
        let Some(what) = facts.what else { return };
        let key = (service, facts.kind, what);
        if let Some(sides) = self.alike.get_mut(&key) {
            sides[usize::from(facts.is_observed())].remove(&(facts.start, place));
            if sides.iter().all(BTreeSet::is_empty) {
                self.alike.remove(&key);
            }
        }
    }

    /// Two spans are one operation: what was told stays, in one trace with what is known around the other.
    fn join(&mut self, one: Place, other: Place) {
        let (told, seen) = if self.slot(one).1.facts.is_told() { (one, other) } else { (other, one) };
        let (own, other) = (self.slot(told).1.facts, self.slot(seen).1.facts);
        self.merge(told, seen);
        self.stop_waiting(told);
        self.slot_mut(told).met = true;
        if own.span_id != other.span_id {
            self.renamed.insert((other.trace_id, other.span_id), own.span_id);
        }
        if own.trace_id == other.trace_id {
            return;
        }
        match (own.parent, other.parent) {
            // The program did not know who called it; whoever saw it did.
            (None, Some(parent)) => {
                self.slot_mut(told).adopted = Some((other.trace_id, parent));
                self.moved.insert(own.trace_id, other.trace_id);
                self.counts.joined += 1;
            }
            (_, None) => {
                self.moved.insert(other.trace_id, own.trace_id);
                self.counts.joined += 1;
            }
            // A guess was wrong: what hangs below stays where it was put.
            (Some(_), Some(_)) => {}
        }
    }

    fn merge(&mut self, stays: Place, goes: Place) {
        let more = {
            let (one, other) = (self.message(stays), self.message(goes));
            let mut known = one.to_vec();
            known.extend_from_slice(&self.slot(stays).1.more);
            let mut more = merge::more(other, &known).unwrap_or_default();
            more.extend_from_slice(&self.slot(goes).1.more);
            more
        };
        self.stop_waiting(goes);
        self.bytes += more.len();
        let gone = self.slot_mut(goes);
        gone.merged = true;
        let met = gone.met;
        let slot = self.slot_mut(stays);
        slot.more.extend(more);
        slot.met |= met;
        self.counts.merged += 1;
    }

    fn stop_waiting(&mut self, place: Place) {
        let (held, slot) = self.slot(place);
        let (service, facts, waits) = (held.service, slot.facts, slot.waits);
        if waits {
            self.slot_mut(place).waits = false;
            self.no_longer_waits(place, service, &facts);
        }
    }

    fn message(&self, place: Place) -> &[u8] {
        let (held, slot) = self.slot(place);
        &held.batch.bytes[slot.offset..slot.offset + slot.length]
    }
}

/// What two accounts have in common, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kinship {
    Siblings,
    Trace,
    Unknown,
}

/// Whose account of a span stays: our own record has the anatomy.
fn rank(source: Source) -> u8 {
    match source {
        Source::Woven | Source::Api => 2,
        Source::Otlp => 1,
        Source::Uprobe | Source::Socket => 0,
    }
}

fn is_asking(kind: Kind) -> bool {
    matches!(kind, Kind::Client | Kind::Producer)
}

/// Whether two spans that do the same in one process may be one operation.
fn may_be_one(told: &Facts, seen: &Facts) -> bool {
    // A server that has a parent from a header has it in both accounts: then they would have been found by it.
    let is_open = told.kind != Kind::Server || told.parent.is_none();
    // A driver is instrumented below database/sql, which probes see; sockets lie below both.
    is_open && (told.is_within(seen) || seen.is_within(told))
}

/// Takes a place from a list of them, and the list, too, when it was the last one.
fn remove<K: Eq + Hash>(lists: &mut HashMap<K, Vec<Place>, RandomState>, key: K, place: Place) {
    let Entry::Occupied(mut list) = lists.entry(key) else { return };
    list.get_mut().retain(|other| *other != place);
    if list.get().is_empty() {
        list.remove();
    }
}

fn size(batch: &Batch, slots: &[Slot]) -> usize {
    batch.bytes.len() + slots.iter().map(|slot| OVERHEAD + slot.more.len()).sum::<usize>()
}

fn slots(batch: &Batch) -> Result<Vec<Slot>, Malformed> {
    let mut slots = Vec::with_capacity(batch.records as usize);
    let start = batch.bytes.as_ptr().addr();
    for resource in resources(&batch.bytes) {
        for scope in resource?.scopes() {
            for span in scope?.records() {
                let span = span?;
                slots.push(Slot {
                    facts: Facts::read(span)?,
                    offset: span.as_ptr().addr() - start,
                    length: span.len(),
                    met: false,
                    waits: false,
                    merged: false,
                    more: Vec::new(),
                    adopted: None,
                });
            }
        }
    }
    Ok(slots)
}

/// The newest entries of a table.
struct Remembered<K, V> {
    entries: HashMap<K, V, RandomState>,
    order: VecDeque<K>,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Remembered<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).copied()
    }

    fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{self, TestSpan, batch, span};
    use super::*;

    const HTTP: [(&str, &str); 2] = [("http.request.method", "GET"), ("url.path", "/cart")];
    const SQL: [(&str, &str); 2] = [("db.system.name", "postgresql"), ("db.query.text", "SELECT 1")];

    fn held() -> Window {
        Window::new(Duration::from_secs(6), 1 << 20)
    }

    fn server(trace: u8, id: u8, parent: u8, source: Source) -> TestSpan {
        span(trace, id, parent).kind(Kind::Server).with(&HTTP).from(source).at(1000, 9000)
    }

    fn query(trace: u8, id: u8, parent: u8, source: Source) -> TestSpan {
        span(trace, id, parent).kind(Kind::Client).with(&SQL).from(source).at(2000, 3000)
    }

    /// All spans of one service, as they leave, by their ids; whatever order their batches come in.
    fn correlated(spans: &[TestSpan]) -> Vec<TestSpan> {
        let mut all: Vec<Vec<TestSpan>> = Vec::new();
        for turn in 0..spans.len() {
            let mut window = held();
            let now = Instant::now();
            let mut order = spans.to_vec();
            order.rotate_left(turn);
            for one in &order {
                assert!(window.add(batch("shop", std::slice::from_ref(one)), now).is_none());
            }
            all.push(drained(&mut window, now));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "the order matters: {all:#?}");
        all.swap_remove(0)
    }

    fn drained(window: &mut Window, now: Instant) -> Vec<TestSpan> {
        let mut left = Vec::new();
        while let Some(batch) = window.take(now, true) {
            left.extend(batch.iter().flat_map(|batch| testing::spans(batch)));
        }
        left.sort_by_key(TestSpan::id);
        assert_eq!((window.bytes, window.ids.len(), window.children.len(), window.alike.len()), (0, 0, 0, 0));
        assert!(window.servers.is_empty());
        left
    }

    fn ids(spans: &[TestSpan]) -> Vec<(u8, u8, u8)> {
        spans.iter().map(TestSpan::ids).collect()
    }

    #[test]
    fn what_is_told_twice_stays_once_and_keeps_both_accounts() {
        let own = server(1, 2, 3, Source::Woven).with(&[("tandem.anatomy.on_cpu", "5")]);
        let sent = server(1, 2, 3, Source::Otlp).with(&[("cart.items", "4")]).event("added");
        let left = correlated(&[own.clone(), sent]);
        assert_eq!(left, [own.with(&[("cart.items", "4")]).event("added")]);
    }

    #[test]
    fn a_server_that_has_the_same_caller_is_the_same() {
        let seen = server(1, 20, 3, Source::Uprobe).with(&[("network.peer.address", "::1")]);
        let below = query(1, 30, 20, Source::Uprobe);
        let told = server(1, 2, 3, Source::Otlp).at(1200, 8000);
        let left = correlated(&[seen, below, told]);
        assert_eq!(ids(&left), [(1, 2, 3), (1, 30, 2)]);
        assert_eq!(left[0].value("network.peer.address"), Some("::1"));
    }

    #[test]
    fn a_client_that_was_seen_within_one_that_was_told_is_the_same() {
        let told = server(1, 2, 3, Source::Otlp).kind(Kind::Client);
        let seen = server(1, 20, 2, Source::Socket).kind(Kind::Client).at(1500, 8500);
        let other_end = server(1, 40, 20, Source::Socket).at(1600, 8400);
        assert_eq!(ids(&correlated(&[told, seen, other_end])), [(1, 2, 3), (1, 40, 2)]);
    }

    #[test]
    fn roots_that_do_the_same_at_the_same_time_are_one_trace() {
        // The program did not know of its caller; its own client is told, its query is seen.
        let told = server(1, 2, 0, Source::Otlp).at(1200, 8000);
        let seen = server(9, 20, 0, Source::Socket);
        let below = query(9, 30, 20, Source::Socket);
        assert_eq!(ids(&correlated(&[told.clone(), seen, below.clone()])), [(1, 2, 0), (1, 30, 2)]);
        // Whoever saw it did.
        let seen = server(9, 20, 8, Source::Socket);
        let told_below = span(1, 5, 2);
        let left = correlated(&[told, seen, below, told_below]);
        assert_eq!(ids(&left), [(9, 2, 8), (9, 5, 2), (9, 30, 2)]);
    }

    #[test]
    fn queries_meet_by_their_time() {
        let told = |id, start| query(1, id, 2, Source::Otlp).at(start, start + 100_000_000);
        let seen = |id, start| query(9, id, 0, Source::Socket).at(start + 10_000_000, start + 90_000_000);
        let spans: Vec<_> = (0..5u8)
            .flat_map(|n| [told(10 + n, u64::from(n) * 40_000_000), seen(20 + n, u64::from(n) * 40_000_000)])
            .collect();
        let left = correlated(&spans);
        assert_eq!(ids(&left), (10..15).map(|id| (1, id, 2)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_surely_of_another_request_is_not_met() {
        let told = query(1, 2, 3, Source::Otlp);
        let seen = |how| query(9, 20, 8, Source::Uprobe).with(&[("tandem.parent.source", how)]);
        assert_eq!(correlated(&[told.clone(), seen("explicit")]).len(), 2);
        assert_eq!(ids(&correlated(&[told, seen("thread")])), [(1, 2, 3)]);
    }

    #[test]
    fn of_many_at_once_those_for_the_same_request_meet() {
        let mut window = held();
        let now = Instant::now();
        // Some are seen before they are told, some after.
        for n in (1..=9u8).filter(|n| n % 3 != 0) {
            window.add(batch("shop", &[query(n, 10 + n, 2, Source::Uprobe).at(1000 + u64::from(n), 90_000)]), now);
        }
        for n in (1..=9u8).rev() {
            window.add(batch("shop", &[query(n, 20 + n, 2, Source::Otlp).at(5000 - 100 * u64::from(n), 80_000)]), now);
        }
        for n in [3, 6, 9] {
            window.add(batch("shop", &[query(n, 10 + n, 2, Source::Uprobe).at(1000 + u64::from(n), 90_000)]), now);
        }
        let left = ids(&drained(&mut window, now));
        assert_eq!(left, (1..=9).map(|n| (n, 20 + n, 2)).collect::<Vec<_>>());
        assert_eq!(window.renamed.entries.iter().filter(|((trace, _), span)| trace.0[0] + 20 == span.0[0]).count(), 9);
    }

    #[test]
    fn of_many_at_once_none_is_left_alone() {
        // The nearest to the first that is told is the only one that the second one fits into.
        const MS: u64 = 1_000_000;
        let told = |n: u8, from: u64, to: u64| server(n, 10 + n, 0, Source::Otlp).at(from * MS, to * MS);
        let seen = |n: u8, from: u64, to: u64| server(10 + n, 20 + n, 0, Source::Uprobe).at(from * MS, to * MS);
        let below = query(12, 30, 22, Source::Uprobe);
        let spans = [told(1, 20, 40), told(2, 21, 63), seen(1, 0, 60), seen(2, 19, 63), below];
        assert_eq!(ids(&correlated(&spans)), [(1, 11, 0), (2, 12, 0), (2, 30, 12)]);
    }

    #[test]
    fn what_is_not_the_same_stays_apart() {
        let told = query(1, 2, 3, Source::Otlp);
        let others = [
            query(9, 20, 0, Source::Socket).at(2_000_000_000, 2_000_001_000), // at another time
            query(9, 21, 0, Source::Socket).with(&[("db.query.text", "UPDATE a")]),
            query(9, 22, 0, Source::Socket).kind(Kind::Server),
            query(9, 23, 0, Source::Otlp),
            query(9, 24, 0, Source::Woven),
        ];
        let mut spans = vec![told];
        spans.extend(others);
        assert_eq!(correlated(&spans).len(), spans.len());
        // At the same time as a part of it, but longer.
        assert_eq!(
            correlated(&[
                query(1, 2, 3, Source::Otlp).at(0, 9_000_000),
                query(9, 20, 0, Source::Socket).at(3_000_000, 30_000_000)
            ])
            .len(),
            2
        );
        // Other programs.
        let mut window = held();
        let now = Instant::now();
        window.add(batch("shop", &[query(1, 2, 3, Source::Otlp)]), now);
        window.add(batch("billing", &[query(9, 20, 0, Source::Socket)]), now);
        assert_eq!(drained(&mut window, now).len(), 2);
    }

    #[test]
    fn a_batch_in_which_nothing_changes_stays_the_same() {
        let mut window = held();
        let (now, sent) = (Instant::now(), batch("shop", &[query(1, 2, 3, Source::Otlp), span(1, 4, 2)]));
        window.add(Arc::clone(&sent), now);
        assert!(window.take(now + Duration::from_secs(5), false).is_none());
        let left = window.take(now + Duration::from_secs(6), false).flatten().expect("its time has come");
        assert!(Arc::ptr_eq(&left, &sent));
    }

    #[test]
    fn without_room_the_oldest_leave() {
        let mut window = Window::new(Duration::from_secs(6), 1000);
        let now = Instant::now();
        let spans: Vec<_> = (1..=3u8).map(|n| query(n, n, 0, Source::Socket)).collect();
        spans.iter().for_each(|one| assert!(window.add(batch("shop", std::slice::from_ref(one)), now).is_none()));
        let mut left = 0;
        while window.take(now, false).is_some() {
            left += 1;
        }
        assert!((1..3).contains(&left), "{left} left");
        assert_eq!(window.counts.early, left);
    }

    #[test]
    fn what_is_no_otlp_passes() {
        let mut broken = Batch::clone(&batch("shop", &[span(1, 2, 3)]));
        broken.bytes = bytes::Bytes::from_static(b"\x0a\x05\x12\x7f");
        let broken = Arc::new(broken);
        let back = held().add(Arc::clone(&broken), Instant::now()).expect("it is given back");
        assert!(Arc::ptr_eq(&back, &broken));
    }

    proptest! {
        /// Whatever comes: no id is there twice that was there once, none appears from nowhere, and what was told stays.
        #[test]
        fn nothing_is_lost_or_made(spans in prop::collection::vec((0..3u8, 1..20u8, 0..20u8, 0..5u8, 0..2u8, 0..50u64), 0..40)) {
            let sources = [Source::Woven, Source::Api, Source::Otlp, Source::Uprobe, Source::Socket];
            let kinds = [Kind::Server, Kind::Client];
            let spans: Vec<_> = spans.into_iter().map(|(trace, id, parent, source, kind, start)| {
                let words = if kind == 0 { &HTTP } else { &SQL };
                let start = start * 1_000_000;
                span(trace + 1, id, parent).kind(kinds[usize::from(kind)]).with(words).from(sources[usize::from(source)])
                    .at(start, start + 5_000_000)
            }).collect();
            let mut window = held();
            let now = Instant::now();
            for one in spans.chunks(3) {
                window.add(batch("shop", one), now);
            }
            let left = drained(&mut window, now);
            prop_assert_eq!(left.len() + window.counts.merged as usize, spans.len());
            for one in &left {
                prop_assert!(spans.iter().any(|span| span.id() == one.id()));
            }
            for told in spans.iter().filter(|span| !span.facts().is_observed()) {
                prop_assert!(left.iter().any(|span| span.id() == told.id()));
            }
        }
    }
}
