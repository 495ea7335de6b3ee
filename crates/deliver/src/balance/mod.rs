//! Spans to several receivers of one name, all of a trace to the same one.
//!
//! Whoever samples by tail must see all spans of a trace. So the agents of a fleet agree, without a word to each other, on which
//! of the addresses that the endpoint's name has gets which trace ([`ring`]). Each address has a queue of its own: one that
//! is slow or away holds up none of the others.
//!
//! ```text
//!  offer ─► split by trace ─► queue of 10.0.0.1 ─► its sender ─► receiver
//!                         └─► queue of 10.0.0.2 ─► its sender ─► receiver
//!                                  ▲                    │ it is out: what waits is split among the others
//!  watcher: resolves, asks ──► who is in ◄──────────────┘ it does not answer any more
//! ```
//!
//! An address is *out* when the name does not have it any more, or when nobody has answered there for a while. What waits for it then is
//! taken over by the queues of the others; its own ends when it is empty. While the name has no address at all, spans wait in
//! a queue of the name itself. [docs/delivery.md](../../../../docs/delivery.md#several-receivers) says what that costs.

mod member;
pub mod ring;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use model::Resource;

use crate::metrics::{OwnKind, OwnMetric};
use crate::otlp::client::ClientError;
use crate::otlp::config::Endpoint;
use crate::otlp::export;
use crate::otlp::split::split;
use crate::otlp::walk::{self, Malformed};
use crate::retry::folder::{self, Folder};
use crate::retry::{Answer, Keep, Parcel, RetryQueue};
use crate::sink::QueueReport;
use crate::{Batch, Refused, Signal, Sink, SinkReport};
use member::{Member, Waiting};
use ring::Ring;
use watch::Watch;

/// So long after a change a trace that began before it may still get spans.
const IN_MOTION: Duration = Duration::from_secs(30);

/// When an address is asked for, and given up.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    /// How often the name is resolved.
    pub resolve: Duration,
    /// An address at which nobody has answered for so long is out.
    pub away_after: Duration,
}

impl Default for Balance {
    fn default() -> Self {
        Self { resolve: Duration::from_secs(10), away_after: Duration::from_secs(5) }
    }
}

/// Where queues keep what waits: a folder for the name and one for each address, in this one.
#[derive(Clone, Debug)]
pub struct KeepIn {
    /// Folder of all queues.
    pub root: PathBuf,
    /// Bytes that each may take.
    pub quota: u64,
}

/// Why spans cannot be balanced.
#[derive(Debug, thiserror::Error)]
pub enum BalanceError {
    /// A proxy makes the connections, and asks for the name itself.
    #[error("cannot choose between the addresses of {0} through a proxy: set NO_PROXY for it, or take `balance` out")]
    Proxy(String),
    /// The client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Sends spans to all addresses of an endpoint's name.
#[derive(Debug)]
pub struct Balancer {
    shared: Arc<Shared>,
    /// What waits while there is no address.
    homeless: RetryQueue,
    _watch: Watch,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    balance: Balance,
    keep: Option<KeepIn>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<SocketAddr, Arc<Member>>,
    /// Of those that are in.
    ring: Arc<Ring>,
    owners: Vec<Arc<Member>>,
    /// Who was in before the last change, and when that was.
    before: Option<(Arc<Ring>, Instant)>,
    /// Of queues that have ended.
    ended: SinkReport,
    counts: Counts,
}

/// Numbers that only rise.
#[derive(Clone, Debug, Default)]
struct Counts {
    joined: u64,
    left: u64,
    away: u64,
    back: u64,
    /// Spans that waited for an address, and wait for another now.
    moved: u64,
    /// Spans that shortly after a change went elsewhere than they would have before it.
    in_motion: u64,
}

/// Starts to send spans to all addresses of an endpoint's name.
pub fn spans(endpoint: Endpoint, balance: Balance, keep: Option<KeepIn>) -> Result<Balancer, BalanceError> {
    let uri = endpoint.uri.clone();
    spans_to(endpoint, balance, keep, move || {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        // Without the brackets of an IPv6 address.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        Ok((host, port).to_socket_addrs()?.collect())
    })
}

/// The same, where `names` knows the addresses.
pub fn spans_to(
    endpoint: Endpoint,
    balance: Balance,
    keep: Option<KeepIn>,
    names: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<Balancer, BalanceError> {
    if endpoint.proxy.is_some() {
        return Err(BalanceError::Proxy(endpoint.uri.authority().map_or_else(String::new, ToString::to_string)));
    }
    // What waited for addresses until the last agent ended is taken over by this one, and finds its way again.
    let of_name = export::folder_name(Signal::Traces, &endpoint.uri);
    let keep_of_name = keep.as_ref().and_then(|keep| opened(keep, &of_name));
    let shared = Arc::new(Shared { endpoint, balance, keep, state: Mutex::default() });
    let homeless = Waiting::new(Arc::downgrade(&shared), &shared.endpoint);
    let homeless = RetryQueue::start(NAME, Signal::Traces, keep_of_name, homeless)?;
    let watch = Watch::start(&shared, names)?;
    Ok(Balancer { shared, homeless, _watch: watch })
}

/// What the sink is called.
const NAME: &str = "otlp";

fn opened(keep: &KeepIn, name: &str) -> Option<Keep> {
    match Folder::open(&keep.root, name) {
        Ok(folder) => Some(Keep { folder, quota: keep.quota }),
        Err(why) => {
            tracing::warn!("{why}; what cannot be sent at once waits in memory only");
            None
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder_of(&self, address: SocketAddr) -> String {
        format!("{}{}{address}", export::folder_name(Signal::Traces, &self.endpoint.uri), folder::OF)
    }

    /// The name has these addresses now.
    fn resolved(self: &Arc<Self>, addresses: &[SocketAddr]) -> Result<(), BalanceError> {
        let is_first = self.state().members.is_empty();
        for &address in addresses {
            let known = self.state().members.get(&address).cloned();
            if let Some(member) = known {
                if !member.is_listed() {
                    member.list(true);
                    self.state().counts.joined += 1;
                }
                continue;
            }
            // Opens files and starts threads: not with the lock.
            let folder = self.folder_of(address);
            let keep = self.keep.as_ref().and_then(|keep| opened(keep, &folder));
            let member = Arc::new(Member::start(self, address, keep)?);
            let mut state = self.state();
            state.members.insert(address, member);
            state.counts.joined += u64::from(!is_first);
        }
        let mut state = self.state();
        let State { members, counts, .. } = &mut *state;
        for member in members.values().filter(|member| member.is_listed() && !addresses.contains(&member.address)) {
            member.list(false);
            counts.left += 1;
            member.queue.try_now();
        }
        self.turn(&mut state);
        Ok(())
    }

    /// Nobody has answered there for long. `false`: it stays in, since nobody answers anywhere.
    fn away(&self, address: SocketAddr) -> bool {
        let mut state = self.state();
        let Some(member) = state.members.get(&address).filter(|member| member.is_in()).cloned() else {
            return true;
        };
        if state.members.values().filter(|member| member.is_in()).count() < 2 {
            // Who comes back first would get everything: all get their time again.
            let mut back = 0;
            for member in state.members.values().filter(|member| member.is_listed()) {
                back += u64::from(member.answers(true));
            }
            state.counts.back += back;
            self.turn(&mut state);
            return false;
        }
        member.answers(false);
        state.counts.away += 1;
        self.turn(&mut state);
        true
    }

    /// Somebody answers there again.
    fn back(&self, address: SocketAddr) {
        let mut state = self.state();
        if state.members.get(&address).is_some_and(|member| member.answers(true)) {
            state.counts.back += 1;
            self.turn(&mut state);
        }
    }

    /// Makes the ring of those that are in.
    fn turn(&self, state: &mut State) {
        let ring = Ring::of(state.members.values().filter(|member| member.is_in()).map(|member| member.address));
        if ring.addresses() == state.ring.addresses() {
            return;
        }
        let changed = std::mem::replace(&mut state.ring, Arc::new(ring));
        state.before = (!changed.is_empty()).then(|| (changed, Instant::now()));
        state.owners = state.ring.addresses().iter().map(|address| Arc::clone(&state.members[address])).collect();
        let names: Vec<String> = state.ring.addresses().iter().map(ToString::to_string).collect();
        tracing::debug!("{NAME}: spans of {} go to {}", self.endpoint.uri, names.join(", "));
    }

    /// Ends the queues of those that are out for good, and empty.
    fn reap(&self) {
        let mut state = self.state();
        let is_over = |member: &Arc<Member>| {
            // Somebody who is about to hand it something has a reference.
            !member.is_listed() && Arc::strong_count(member) == 1 && member.is_empty()
        };
        let over: Vec<SocketAddr> =
            state.members.values().filter(|member| is_over(member)).map(|member| member.address).collect();
        let over: Vec<Arc<Member>> = over.iter().filter_map(|address| state.members.remove(address)).collect();
        for member in &over {
            add(&mut state.ended, member.queue.report());
        }
        drop(state);
        for member in over {
            let folder = self.keep.as_ref().map(|keep| keep.root.join(self.folder_of(member.address)));
            drop(member);
            folder.as_deref().inspect(|folder| folder::remove_empty(folder));
        }
    }

    /// Gives those that are in what has waited elsewhere. `None`: there is nobody, or the one who asks is in.
    fn hand_over(&self, from: Option<SocketAddr>, parcels: &[Parcel]) -> Option<Answer> {
        let state = self.state();
        let is_in = |address| state.members.get(&address).is_some_and(|member| member.is_in());
        if state.ring.is_empty() || from.is_some_and(is_in) {
            return None;
        }
        let (ring, owners) = (Arc::clone(&state.ring), state.owners.clone());
        drop(state);
        let resource = Arc::new(Resource::default());
        let mut moved = 0;
        for parcel in parcels {
            let parts = split(Signal::Traces, &resource, &parcel.message, |span| owner(&ring, span));
            // What cannot be read is the receiver's to refuse.
            let parts = parts.map_or_else(
                |Malformed| vec![(0, parcel.clone())],
                |parts| {
                    let parcel = |batch: Batch| Parcel { message: batch.bytes, records: batch.records };
                    parts.into_iter().map(|(part, batch)| (part, parcel(batch))).collect()
                },
            );
            for (part, parcel) in parts {
                let records = u64::from(parcel.records);
                if !owners[part].queue.take_over(parcel) {
                    return Some(Answer::Later { after: None, problem: "it has stopped".to_owned() });
                }
                moved += records;
            }
        }
        self.state().counts.moved += moved;
        Some(Answer::Moved)
    }
}

fn owner(ring: &Ring, span: &[u8]) -> Result<usize, Malformed> {
    walk::trace_id_of(span).map(|trace| ring.owner(trace))
}

impl Sink for Balancer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        let state = self.shared.state();
        match &state.owners[..] {
            [] => self.homeless.has_room(batches, bytes),
            owners => owners.iter().all(|member| member.queue.has_room(batches, bytes)),
        }
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut state = self.shared.state();
        let State { ring, owners, before, counts, .. } = &mut *state;
        if owners.is_empty() {
            return self.homeless.offer(batch);
        }
        before.take_if(|(_, since)| since.elapsed() > IN_MOTION);
        if let ([only], None) = (&owners[..], &before) {
            return only.queue.offer(batch);
        }
        let parts = split(batch.signal, &batch.resource, &batch.bytes, |span| {
            let owner = owner(ring, span)?;
            if let Some((before, _)) = before {
                let moves = before.addresses()[self::owner(before, span)?] != ring.addresses()[owner];
                counts.in_motion += u64::from(moves);
            }
            Ok(owner)
        });
        // What cannot be read is the receiver's to refuse.
        let Ok(parts) = parts else { return owners[0].queue.offer(batch) };
        let mut taken = Ok(());
        for (part, batch) in parts {
            let offered = owners[part].queue.offer(&Arc::new(batch));
            taken = taken.and(offered);
        }
        taken
    }

    fn flush(&self, deadline: Instant) {
        let members: Vec<_> = self.shared.state().members.values().cloned().collect();
        // What is handed over at the end goes to queues that are still being flushed.
        thread::scope(|scope| {
            scope.spawn(|| self.homeless.flush(deadline));
            for member in &members {
                scope.spawn(|| member.queue.flush(deadline));
            }
        });
    }

    fn report(&self) -> SinkReport {
        let state = self.shared.state();
        let mut report = state.ended.clone();
        report.queue = Some(QueueReport { is_kept: self.shared.keep.is_some(), ..QueueReport::default() });
        let members: Vec<_> = state.members.values().cloned().collect();
        drop(state);
        add(&mut report, self.homeless.report());
        members.iter().for_each(|member| add(&mut report, member.queue.report()));
        report
    }

    fn metrics(&self) -> Vec<OwnMetric> {
        let state = self.shared.state();
        let (counts, all, is_in) = (state.counts.clone(), state.members.len() as u64, state.owners.len() as u64);
        drop(state);
        let one = |number| vec![(String::new(), number)];
        let counter = |name, help, label, points| OwnMetric { name, help, kind: OwnKind::Counter, label, points };
        let changes = [("joined", counts.joined), ("left", counts.left), ("away", counts.away), ("back", counts.back)];
        vec![
            OwnMetric {
                name: "tandem_balance_addresses",
                help: "Addresses of the endpoint's name: those that spans go to, and those that are out and still have a queue.",
                kind: OwnKind::Gauge,
                label: Some("state"),
                points: vec![("in".to_owned(), is_in), ("out".to_owned(), all - is_in)],
            },
            counter(
                "tandem_balance_changes_total",
                "Addresses that came, went, did not answer any more, and answered again.",
                Some("what"),
                changes.map(|(what, number)| (what.to_owned(), number)).to_vec(),
            ),
            counter(
                "tandem_balance_moved_spans_total",
                "Spans that waited for an address that is out, and were given to another.",
                None,
                one(counts.moved),
            ),
            counter(
                "tandem_balance_in_motion_spans_total",
                "Spans that within 30 s of a change went elsewhere than they would have before it: their traces may be in two places.",
                None,
                one(counts.in_motion),
            ),
        ]
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Their queues hold what refers to them: they end here, not when the last thread happens to.
        let members = std::mem::take(&mut self.shared.state().members);
        self.shared.state().owners.clear();
        drop(members);
    }
}

/// Adds what one queue says to what all say.
fn add(sum: &mut SinkReport, report: SinkReport) {
    sum.signal = report.signal;
    sum.delivered += report.delivered;
    for (cause, records) in report.dropped {
        *sum.dropped.entry(cause).or_default() += records;
    }
    sum.problem = report.problem.or(sum.problem.take());
    if let (Some(sum), Some(queue)) = (&mut sum.queue, report.queue) {
        sum.records += queue.records;
        sum.bytes += queue.bytes;
        sum.oldest = sum.oldest.max(queue.oldest);
        sum.retries += queue.retries;
    }
}
