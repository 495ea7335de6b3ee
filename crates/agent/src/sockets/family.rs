//! Finds the parents of exchanges, and holds them until that is done.
//!
//! In this order, each with the name that its span bears as `tandem.parent.source`:
//! * `connection`: what a server answers was asked by a client that is observed, too. Both ends number their bytes alike, so
//!   connection and position say exactly which request it is.
//! * `remote`: the request says it (W3C trace context).
//! * `explicit`, `goroutine`, `ancestor`, `woven`: probes on the client's functions have said for whom it is ([`askers`](super::askers)).
//! * `thread`: the request was given a `traceparent` on its way, for the one that the same thread had read; or what a client asked was asked for the request that the same thread answered next, and that was there already.
//! * `only`: it was asked while its process had only one request to answer.
//!
//! Where none of these holds, the span is a root: nothing is guessed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use protocol::{Exchange, Given, Operation, Parent, Role};

use super::askers::{Answer, Askers};

/// How long a parent is waited for.
const PATIENCE: u64 = 5_000_000_000;
/// How long the other end is waited for where the request names a parent.
const BRIEFLY: u64 = 500_000_000;
/// How long one that was handed on may still become a parent.
const MEMORY: u64 = 30_000_000_000;
/// Exchanges that are held; the oldest go first, as roots.
const HELD_LIMIT: usize = 65536;
/// Requests that a process has answered and that are remembered.
const ANSWERED_LIMIT: usize = 8192;

/// Both ends of a connection, as one of its sockets has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Ends {
    fn mirrored(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }
}

/// An exchange that has become a span.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) process: u32,
    pub(super) ends: Ends,
    pub(super) exchange: Exchange,
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) parent_id: [u8; 8],
    /// The parent is in another process.
    pub(super) remote: bool,
    /// How the parent was found.
    pub(super) found: Option<&'static str>,
}

/// Numbers exchanges in the order in which they ended.
type Number = u64;

/// An exchange, as its children and its other end see it.
#[derive(Debug)]
struct Member {
    process: u32,
    span_id: [u8; 8],
    trace_id: Option<[u8; 16]>,
    /// The trace that it has where it has no parent: others have been told of it.
    told_trace: Option<[u8; 16]>,
    /// The request that its thread served, as the header that it was given says.
    within: Option<Parent>,
    /// When it was added.
    added: u64,
    held: Option<Box<(Ends, Exchange)>>,
}

/// A request that a process has answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    number: Number,
    begun: u64,
    ended: u64,
    thread: u32,
}

/// All exchanges that are held or remembered.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: BTreeMap<Number, Member>,
    next: Number,
    /// Those that wait, in order.
    waiting: VecDeque<Number>,
    /// What observed clients asked, by connection and position.
    asked: HashMap<(Ends, u32), Number>,
    /// Sockets that are observed, by their ends.
    sockets: HashMap<Ends, u32>,
    answered: HashMap<u32, VecDeque<Answered>>,
    ready: Vec<Span>,
    ids: Ids,
    /// Of which operations of a process is said for whom they are.
    asking: HashMap<u32, HashSet<(Operation, Role)>>,
    askers: Askers,
    /// Requests of clients that were given a `traceparent`, by the span that it names, and those for which that was done, by socket
    /// and position.
    given: HashMap<[u8; 8], Given>,
    served: HashMap<(u64, u32), Given>,
}

#[derive(Debug, Default)]
struct Ids {
    random: RandomState,
    count: u64,
}

impl Ids {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.random.hash_one(self.count).max(1)
    }

    fn span(&mut self) -> [u8; 8] {
        self.next().to_be_bytes()
    }

    fn trace(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}

/// What is known of a member's parent.
enum Finding {
    /// Perhaps it will be known later.
    Wait,
    Root,
    /// Another process said so.
    Told(Parent),
    /// Probes in the same process did.
    Within(Parent, &'static str),
    Member(Number, &'static str),
}

impl Family {
    /// Of processes whose probes say for whom they ask.
    pub(super) fn new(askers: Askers) -> Self {
        Self { askers, ..Self::default() }
    }

    /// Begins with a process, of which such is said of these operations.
    pub(super) fn asks(&mut self, process: u32, operations: HashSet<(Operation, Role)>) {
        self.asking.insert(process, operations);
    }

    /// A socket is observed from now on.
    pub(super) fn meet(&mut self, ends: Ends) {
        *self.sockets.entry(ends).or_default() += 1;
    }

    /// It is not any more.
    pub(super) fn part(&mut self, ends: Ends) {
        if let Some(count) = self.sockets.get_mut(&ends) {
            *count -= 1;
            if *count == 0 {
                self.sockets.remove(&ends);
            }
        }
    }

    /// A request was given a `traceparent`: its span and that of the request for which it is sent are what that says.
    pub(super) fn give(&mut self, given: Given) {
        if self.given.len().max(self.served.len()) >= HELD_LIMIT {
            self.given.clear();
            self.served.clear();
        }
        self.given.insert(given.span_id, given);
        if let Some(served) = given.served {
            self.served.insert(served, given);
        }
    }

    /// An exchange has ended.
    pub(super) fn add(&mut self, process: u32, cookie: u64, ends: Ends, mut exchange: Exchange) {
        let number = self.next;
        self.next += 1;
        let mut span_id = self.ids.span();
        let (mut told_trace, mut within) = (None, None);
        match exchange.role {
            Role::Server => {
                if let Some(given) = self.served.remove(&(cookie, exchange.position)) {
                    (span_id, told_trace) = (given.parent_id, Some(given.trace_id));
                }
            }
            Role::Client => {
                let given = exchange.parent.and_then(|parent| self.given.remove(&parent.span_id));
                if let Some(given) = given {
                    (span_id, told_trace, exchange.parent) = (given.span_id, Some(given.trace_id), None);
                    within = given.served.map(|_| Parent {
                        trace_id: given.trace_id,
                        span_id: given.parent_id,
                        flags: given.flags,
                    });
                }
            }
        }
        match exchange.role {
            Role::Client => {
                self.asked.insert((ends, exchange.position), number);
            }
            Role::Server => {
                let answered = self.answered.entry(process).or_default();
                if answered.len() >= ANSWERED_LIMIT {
                    answered.pop_front();
                }
                let Exchange { begun, ended, thread, .. } = exchange;
                answered.push_back(Answered { number, begun, ended, thread });
            }
        }
        let member = Member {
            process,
            span_id,
            trace_id: None,
            told_trace,
            within,
            added: exchange.ended,
            held: Some(Box::new((ends, exchange))),
        };
        self.members.insert(number, member);
        self.waiting.push_back(number);
    }

    /// Finds the parents that can be found by now. `oldest` says since when each process has a request to answer, if it has.
    pub(super) fn settle(&mut self, now: u64, oldest: &HashMap<u32, u64>) {
        // A parent that is settled settles its children, which may come before it.
        loop {
            let before = self.waiting.len();
            for _ in 0..before {
                let Some(number) = self.waiting.pop_front() else { break };
                if !self.settle_one(number, now, oldest) {
                    self.waiting.push_back(number);
                }
            }
            if self.waiting.len() == before {
                break;
            }
        }
        while self.waiting.len() > HELD_LIMIT {
            if let Some(number) = self.waiting.pop_front() {
                self.become_span(number, Finding::Root);
            }
        }
        self.forget(now);
    }

    /// A process is not observed any more: what it has said waits for nothing of its own.
    pub(super) fn end(&mut self, process: u32) {
        for number in std::mem::take(&mut self.waiting) {
            match self.members.get(&number) {
                Some(member) if member.process == process => {
                    let finding = match self.find(number, u64::MAX, &HashMap::new()) {
                        Finding::Wait => Finding::Root,
                        Finding::Member(parent, _) if self.members[&parent].trace_id.is_none() => Finding::Root,
                        finding => finding,
                    };
                    self.become_span(number, finding);
                }
                Some(_) => self.waiting.push_back(number),
                None => {}
            }
        }
        self.answered.remove(&process);
        self.asking.remove(&process);
    }

    /// Spans whose parents are known.
    pub(super) fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.ready)
    }

    /// Whether it became a span.
    fn settle_one(&mut self, number: Number, now: u64, oldest: &HashMap<u32, u64>) -> bool {
        let Some(member) = self.members.get(&number) else { return true };
        let late = now.saturating_sub(member.added) > PATIENCE;
        let finding = match self.find(number, now, oldest) {
            Finding::Wait if late => Finding::Root,
            Finding::Wait => return false,
            // Its trace will be known when that one is settled, which takes no longer than its own patience.
            Finding::Member(parent, _) if self.members.get(&parent).is_some_and(|parent| parent.trace_id.is_none()) => {
                return false;
            }
            finding => finding,
        };
        self.become_span(number, finding);
        true
    }

    fn find(&self, number: Number, now: u64, oldest: &HashMap<u32, u64>) -> Finding {
        let Some(member) = self.members.get(&number) else { return Finding::Root };
        let Some((ends, exchange)) = member.held.as_deref() else { return Finding::Root };
        match exchange.role {
            Role::Server => {
                let mirrored = ends.mirrored();
                if let Some(&client) = self.asked.get(&(mirrored, exchange.position)) {
                    return Finding::Member(client, "connection");
                }
                // The client hears the last of it a moment later. It is not told of where its own hooks tell of it, which
                // then have sent a header.
                let waited =
                    now.saturating_sub(member.added) > if exchange.parent.is_some() { BRIEFLY } else { PATIENCE };
                if self.sockets.contains_key(&mirrored) && !waited {
                    return Finding::Wait;
                }
                exchange.parent.map_or(Finding::Root, Finding::Told)
            }
            Role::Client => match exchange.parent {
                Some(parent) => Finding::Told(parent),
                None if let Some(parent) = member.within => Finding::Within(parent, "thread"),
                None if member.told_trace.is_some() => Finding::Root,
                None if self.is_said(member.process, exchange) => {
                    let late = now.saturating_sub(member.added) > BRIEFLY;
                    match self.askers.find((ends.local, ends.remote), exchange.position, exchange.begun) {
                        Answer::For(parent, found) => Finding::Within(parent, found),
                        Answer::NotYet if !late => Finding::Wait,
                        Answer::NotYet | Answer::Nobody => Finding::Root,
                    }
                }
                None => {
                    let late = now.saturating_sub(member.added) > PATIENCE;
                    self.enclosing(member.process, exchange, late, oldest)
                }
            },
        }
    }

    fn is_said(&self, process: u32, exchange: &Exchange) -> bool {
        let said = self.asking.get(&process);
        said.is_some_and(|operations| operations.contains(&(exchange.operation, exchange.role)))
    }

    /// The request of the same process that a client's exchange was made for.
    fn enclosing(&self, process: u32, exchange: &Exchange, late: bool, oldest: &HashMap<u32, u64>) -> Finding {
        // Requests that were there when it was asked and are still to be answered.
        if !late && oldest.get(&process).is_some_and(|&open| open <= exchange.begun) {
            return Finding::Wait;
        }
        let Some(answered) = self.answered.get(&process) else { return Finding::Root };
        let around = answered.iter().filter(|one| one.begun <= exchange.begun && exchange.begun <= one.ended);
        let mut there = 0;
        let (mut any, mut of_thread, mut of_threads) = (None, None, 0);
        for one in around {
            there += 1;
            any = Some(one.number);
            if one.thread != 0 && one.thread == exchange.thread {
                of_threads += 1;
                of_thread = Some(one.number);
            }
        }
        match (of_thread, any) {
            (Some(number), _) if of_threads == 1 && there > 1 => Finding::Member(number, "thread"),
            (_, Some(number)) if there == 1 => Finding::Member(number, "only"),
            _ => Finding::Root,
        }
    }

    fn become_span(&mut self, number: Number, finding: Finding) {
        let (trace_id, parent_id, remote, found) = match finding {
            Finding::Told(parent) => (parent.trace_id, parent.span_id, true, Some("remote")),
            Finding::Within(parent, found) => (parent.trace_id, parent.span_id, false, Some(found)),
            Finding::Member(parent, how) => match self.members.get(&parent) {
                Some(Member { trace_id: Some(trace), span_id, .. }) => {
                    (*trace, *span_id, how == "connection", Some(how))
                }
                _ => (self.root(number), [0; 8], false, None),
            },
            Finding::Root | Finding::Wait => (self.root(number), [0; 8], false, None),
        };
        let Some(member) = self.members.get_mut(&number) else { return };
        member.trace_id = Some(trace_id);
        let Some(held) = member.held.take() else { return };
        let (ends, exchange) = *held;
        let (process, span_id) = (member.process, member.span_id);
        self.ready.push(Span { process, ends, exchange, trace_id, span_id, parent_id, remote, found });
    }

    /// The trace of one without a parent.
    fn root(&mut self, number: Number) -> [u8; 16] {
        let told = self.members.get(&number).and_then(|member| member.told_trace);
        told.unwrap_or_else(|| self.ids.trace())
    }

    fn forget(&mut self, now: u64) {
        while let Some(first) = self.members.first_entry() {
            let member = first.get();
            let old = now.saturating_sub(member.added) > MEMORY || self.next - first.key() > 2 * HELD_LIMIT as u64;
            if member.held.is_some() || !old {
                break;
            }
            first.remove();
        }
        let first = self.members.first_key_value().map_or(self.next, |(number, _)| *number);
        self.asked.retain(|_, number| *number >= first);
        for answered in self.answered.values_mut() {
            while answered.front().is_some_and(|one| one.number < first) {
                answered.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Operation;

    const CLIENT: u32 = 1;
    const SERVER: u32 = 2;

    fn ends(local: u16, remote: u16) -> Ends {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ends { local: address(local), remote: address(remote) }
    }

    fn exchange(role: Role, begun: u64, ended: u64, thread: u32, position: u32) -> Exchange {
        Exchange {
            operation: Operation::Http,
            role,
            begun,
            ended,
            position,
            attributes: Vec::new(),
            error: None,
            message: None,
            parent: None,
            thread,
        }
    }

    fn settled(family: &mut Family, now: u64, oldest: &[(u32, u64)]) -> Vec<Span> {
        family.settle(now, &oldest.iter().copied().collect());
        family.take()
    }

    /// Scenario: a request, in whose service another process is asked. Guarantees: the server's span hangs under the client's,
    /// which hangs under the request's, which is known last; all in one trace.
    #[test]
    fn both_ends_and_what_encloses_them_are_one_trace() {
        let mut family = Family::default();
        family.meet(ends(5, 80));
        family.meet(ends(80, 5));
        family.add(SERVER, 0, ends(80, 5), exchange(Role::Server, 20, 30, 7, 99));
        assert!(settled(&mut family, 31, &[(CLIENT, 10)]).is_empty());
        family.add(CLIENT, 0, ends(5, 80), exchange(Role::Client, 19, 31, 4, 99));
        assert!(settled(&mut family, 32, &[(CLIENT, 10)]).is_empty());
        family.add(CLIENT, 0, ends(90, 6), exchange(Role::Server, 10, 40, 4, 1));
        let spans = settled(&mut family, 41, &[]);
        let [inner, asked, outer] =
            [30, 31, 40].map(|end| spans.iter().find(|span| span.exchange.ended == end).expect("it"));
        assert_eq!((inner.parent_id, inner.found, inner.remote), (asked.span_id, Some("connection"), true));
        assert_eq!((asked.parent_id, asked.found, asked.remote), (outer.span_id, Some("only"), false));
        assert_eq!((outer.parent_id, outer.found), ([0; 8], None));
        assert!(spans.iter().all(|span| span.trace_id == outer.trace_id));
    }

    /// Scenario: two requests at once, by two threads, each asking somebody; and two by one thread. Guarantees: the thread tells
    /// whose it is; where it does not, nothing is guessed.
    #[test]
    fn threads_tell_requests_apart() {
        let mut family = Family::default();
        for (thread, port) in [(1, 5), (2, 6)] {
            family.add(CLIENT, 0, ends(port, 80), exchange(Role::Client, 20, 30, thread, 1));
            family.add(CLIENT, 0, ends(90, port), exchange(Role::Server, 10, 40, thread, 1));
        }
        let spans = settled(&mut family, 41, &[]);
        for thread in [1, 2] {
            let of = |role| {
                spans.iter().find(|span| span.exchange.role == role && span.exchange.thread == thread).expect("it")
            };
            assert_eq!(
                (of(Role::Client).parent_id, of(Role::Client).found),
                (of(Role::Server).span_id, Some("thread"))
            );
        }
        let mut family = Family::default();
        family.add(CLIENT, 0, ends(5, 80), exchange(Role::Client, 20, 30, 1, 1));
        for port in [5, 6] {
            family.add(CLIENT, 0, ends(90, port), exchange(Role::Server, 10, 40, 1, 1));
        }
        let spans = settled(&mut family, 41, &[]);
        assert!(spans.len() == 3 && spans.iter().all(|span| span.parent_id == [0; 8]));
    }

    /// Scenario: while a thread serves a request, what it asks is given a `traceparent` that names two spans; and one asks for itself.
    /// Guarantees: the spans are what others were told, in one trace, the request's own parent as it is.
    #[test]
    fn what_was_given_holds() {
        let told = Parent { trace_id: [3; 16], span_id: [4; 8], flags: 1 };
        let given = |served, span| Given { served, trace_id: [3; 16], parent_id: [5; 8], span_id: [span; 8], flags: 1 };
        let sent = |span| Some(Parent { trace_id: [3; 16], span_id: [span; 8], flags: 1 });
        let mut family = Family::default();
        family.give(given(Some((7, 1)), 6));
        family.give(Given { parent_id: [0; 8], ..given(None, 8) });
        let asked = exchange(Role::Client, 20, 30, 1, 1);
        family.add(CLIENT, 9, ends(5, 80), Exchange { parent: sent(6), ..asked.clone() });
        family.add(CLIENT, 9, ends(6, 80), Exchange { parent: sent(8), ..asked.clone() });
        family.add(CLIENT, 9, ends(7, 80), Exchange { parent: sent(9), ..asked });
        family.add(CLIENT, 7, ends(90, 5), Exchange { parent: Some(told), ..exchange(Role::Server, 10, 40, 1, 1) });
        let spans = settled(&mut family, 41, &[]);
        let facts = |span: &Span| (span.span_id, span.parent_id, span.found, span.trace_id);
        let found: Vec<_> = spans.iter().map(facts).collect();
        assert_eq!(found[0], ([6; 8], [5; 8], Some("thread"), [3; 16]));
        assert_eq!(found[1], ([8; 8], [0; 8], None, [3; 16]));
        assert_eq!((found[2].1, found[2].2), ([9; 8], Some("remote")));
        assert_eq!(found[3], ([5; 8], [4; 8], Some("remote"), [3; 16]));
        assert!(family.given.is_empty() && family.served.is_empty());
    }

    /// Scenario: a request names its parent, and its client is observed, too, but told of by somebody else; a client that is
    /// never answered for; a process that ends. Guarantees: nothing waits for ever.
    #[test]
    fn nobody_is_waited_for_in_vain() {
        let mut family = Family::default();
        family.meet(ends(5, 80));
        let parent = Parent { trace_id: [3; 16], span_id: [4; 8], flags: 1 };
        family.add(SERVER, 0, ends(80, 5), Exchange { parent: Some(parent), ..exchange(Role::Server, 20, 30, 0, 1) });
        family.add(SERVER, 0, ends(80, 5), exchange(Role::Server, 20, 31, 0, 2));
        family.add(CLIENT, 0, ends(7, 80), exchange(Role::Client, 20, 32, 0, 3));
        assert!(settled(&mut family, 40, &[(CLIENT, 1)]).is_empty());
        let spans = settled(&mut family, 40 + BRIEFLY, &[(CLIENT, 1)]);
        assert_eq!(
            spans.iter().map(|span| (span.trace_id, span.parent_id, span.found)).collect::<Vec<_>>(),
            [([3; 16], [4; 8], Some("remote"))]
        );
        family.end(CLIENT);
        assert_eq!(family.take().len(), 1);
        assert_eq!(settled(&mut family, 40 + PATIENCE, &[]).len(), 1);
        family.settle(50 + MEMORY, &HashMap::new());
        assert!(family.members.is_empty() && family.asked.is_empty());
    }
}
