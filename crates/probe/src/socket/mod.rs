//! Loads what sees the payload of sockets (`bpf/socket.bpf.c`), tells it whose, and takes what it has seen.
//!
//! It is attached to the root of the unified control groups, so that it sees the sockets of all processes, and leaves those
//! of processes that nobody observes after one look at the socket. Where that is asked for, requests of programs whose threads
//! serve get a `traceparent` (`bpf/relaying.h`). What it hands over lies in a ring buffer of fixed size
//! until somebody reads it, without waking anybody; what finds no room is counted.

mod segment;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

use protocol::{Fate, Given, Seen};

use crate::connections::{Rounds, attach_tracepoint, go_through};
use crate::error::ProbeError;
use crate::features::{self, FeatureId, State};
use crate::kernel::{Plain, bytes_of, loading, value_from};
use crate::socket_skeleton::SocketSkelBuilder;
use crate::socket_skeleton::types::{tandem_observed, tandem_socket_statistics};
use crate::uprobe::Headers;
use segment::Told;

/// Bytes of the buffer.
const BUFFER: u32 = 16 << 20;

/// How many bytes of a message are copied; what is behind them is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(u32);

impl Bytes {
    /// Enough for the head of a request.
    pub const DEFAULT: Self = Self(4096);

    /// So many; `None`: too few for anything to be recognised, or too many.
    pub fn new(count: u32) -> Option<Self> {
        (64..=1 << 20).contains(&count).then_some(Self(count))
    }
}

/// What the probe has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Segments that were handed over.
    pub segments: u64,
    /// Of these, those of which bytes were left out.
    pub cut: u64,
    /// Segments that were seen before.
    pub resent: u64,
    /// Found the buffer full.
    pub ring_full: u64,
    /// Sockets for which there was no memory.
    pub map_full: u64,
    /// Packets whose headers are not known.
    pub unread: u64,
    /// Requests that were sent with our header.
    pub inserted: u64,
    /// Requests in which there was no place for it.
    pub not_inserted: u64,
}

/// The loaded probe. Dropping it, or dying, detaches it.
#[derive(Debug)]
pub struct Sockets {
    _links: Vec<Link>,
    descriptors: OwnedFd,
    rounds: Rounds,
    processes: MapHandle,
    orders: MapHandle,
    segments: MapHandle,
    statistics: MapHandle,
    relaying: Option<Relaying>,
    limit: Bytes,
}

impl Sockets {
    /// Loads and attaches it; it looks at nobody yet. No thread is started.
    pub fn load(limit: Bytes, headers: Headers) -> Result<Self, ProbeError> {
        features::require_sockets()?;
        let root = match features::state_of(FeatureId::CgroupV2) {
            State::Available(place) => place,
            State::Missing { why, remedy } => {
                return Err(ProbeError::Missing { feature: FeatureId::CgroupV2, why, remedy });
            }
        };
        // Where there can be no probes, the kernel is older than what inserting takes.
        let relays = headers == Headers::Insert && features::require_uprobes().is_ok();
        loading("sockets' probe", || Self::load_with_log(limit, relays, &root))
    }

    fn load_with_log(limit: Bytes, relays: bool, root: &str) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = SocketSkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        open.maps.segments.set_max_entries(BUFFER).map_err(|error| ("sizing its buffer", error))?;
        if let Some(constants) = open.maps.rodata_data.as_deref_mut() {
            constants.relays = relays;
        }
        if !relays {
            for program in
                [&mut open.progs.on_relay_connect, &mut open.progs.on_relay_read, &mut open.progs.on_relay_message]
            {
                program.set_autoload(false);
            }
        }
        let loaded = open.load().map_err(|error| ("loading it", error))?;
        let group = File::open(root).map_err(|error| ("opening the root of control groups", error.into()))?;
        let mut links = Vec::new();
        for program in [&loaded.progs.on_create, &loaded.progs.on_egress, &loaded.progs.on_ingress] {
            let link = program.attach_cgroup(group.as_raw_fd());
            links.push(link.map_err(|error| ("attaching it to the root of control groups", error))?);
        }
        let mut relaying = None;
        if relays {
            let connections = loaded.maps.relaying_connections.as_fd().as_raw_fd();
            let attached = loaded.progs.on_relay_message.attach_sockmap(connections);
            attached.map_err(|error| ("attaching it to connections", error))?;
            let link = loaded.progs.on_relay_connect.attach_cgroup(group.as_raw_fd());
            links.push(link.map_err(|error| ("attaching it to the root of control groups", error))?);
            let reads = loaded.progs.on_relay_read.as_fd().try_clone_to_owned();
            let reads = reads.map_err(|error| ("keeping what sees reads", error.into()))?;
            let connections = MapHandle::try_from(&loaded.maps.relaying_connections);
            let connections = connections.map_err(|error| ("opening its maps", error))?;
            relaying = Some(Relaying { reads, _connections: connections, state: Mutex::default() });
        }
        let failed = |error: std::io::Error| ("keeping what goes through descriptors", error.into());
        let descriptors = loaded.progs.on_descriptor.as_fd();
        let handle = |map| MapHandle::try_from(map).map_err(|error| ("opening its maps", error));
        Ok(Self {
            rounds: Rounds::new(descriptors.try_clone_to_owned().map_err(failed)?),
            descriptors: descriptors.try_clone_to_owned().map_err(failed)?,
            processes: handle(&loaded.maps.observed_processes)?,
            orders: handle(&loaded.maps.socket_orders)?,
            segments: handle(&loaded.maps.segments)?,
            statistics: handle(&loaded.maps.socket_counts)?,
            _links: links,
            relaying,
            limit,
        })
    }

    /// Begins to look at the sockets of a process, named by its id in the initial pid namespace: those that it has, and all
    /// that it will make. Whether its threads serve a request at a time, so that what they ask others is for that one.
    pub fn watch(&self, pid: u32, serves_by_thread: bool) -> Result<(), ProbeError> {
        let relays = serves_by_thread && self.relaying.as_ref().is_some_and(|relaying| relaying.add(pid));
        let observed = tandem_observed { limit: self.limit.0, relays: relays.into(), ..tandem_observed::default() };
        self.processes
            .update(&pid.to_ne_bytes(), bytes_of(&observed), MapFlags::ANY)
            .map_err(|source| ProbeError::Full { what: "observe the sockets of", pid, source })?;
        // One that has just ended has none.
        let _ = go_through(&self.descriptors, pid);
        self.rounds.add(pid);
        Ok(())
    }

    /// Ends it.
    pub fn unwatch(&self, pid: u32) {
        self.rounds.remove(pid);
        self.relaying.iter().for_each(|relaying| relaying.remove(pid));
        let _ = self.processes.delete(&pid.to_ne_bytes());
    }

    /// What the probe has done so far, summed over the processors.
    pub fn statistics(&self) -> Result<SocketStatistics, ProbeError> {
        let per_processor = self
            .statistics
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(ProbeError::Statistics)?
            .unwrap_or_default();
        let mut sum = SocketStatistics::default();
        for bytes in per_processor {
            let counts: tandem_socket_statistics = value_from(&bytes);
            sum.segments += counts.segments;
            sum.cut += counts.cut;
            sum.resent += counts.resent;
            sum.ring_full += counts.ring_full;
            sum.map_full += counts.map_full;
            sum.unread += counts.unread;
            sum.inserted += counts.inserted;
            sum.not_inserted += counts.not_inserted;
        }
        Ok(sum)
    }

    /// Who takes its segments, on one thread.
    pub fn into_reader(self) -> Result<SegmentReader, ProbeError> {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let ring = {
            let taken = Arc::clone(&taken);
            let mut builder = RingBufferBuilder::new();
            builder
                .add(&self.segments, move |bytes| {
                    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    match segment::parse(bytes) {
                        Some(Told::Segment(seen)) => taken.seen.push(seen),
                        Some(Told::Given(given)) => taken.given.push(given),
                        None => {}
                    }
                    0
                })
                .map_err(ProbeError::Statistics)?;
            builder.build().map_err(ProbeError::Statistics)?
        };
        Ok(SegmentReader { sockets: self, ring, taken })
    }
}

/// Sees who reads requests, as long as somebody's threads serve.
#[derive(Debug)]
struct Relaying {
    reads: OwnedFd,
    /// With the last descriptor of the map the kernel detaches what looks at their messages.
    _connections: MapHandle,
    state: Mutex<RelayState>,
}

#[derive(Debug, Default)]
struct RelayState {
    processes: HashSet<u32>,
    link: Option<OwnedFd>,
}

impl Relaying {
    /// Begins with a process; whether that is possible.
    fn add(&self, pid: u32) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.processes.insert(pid);
        if state.link.is_none() {
            state.link = attach_tracepoint(&self.reads).ok();
        }
        state.link.is_some()
    }

    fn remove(&self, pid: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.processes.remove(&pid);
        if state.processes.is_empty() {
            state.link = None;
        }
    }
}

/// What was taken out of the ring.
#[derive(Debug, Default)]
struct Taken {
    seen: Vec<Seen>,
    given: Vec<Given>,
}

/// The probe and the way to its segments.
pub struct SegmentReader {
    sockets: Sockets,
    ring: RingBuffer<'static>,
    taken: Arc<Mutex<Taken>>,
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SegmentReader").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl SegmentReader {
    /// The probe.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// All segments that came since the last time, in the order in which they were seen.
    pub fn take(&self) -> Vec<Seen> {
        // Without it there are none: the next time takes them.
        let _ = self.ring.consume_raw();
        mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner).seen)
    }

    /// What was given a `traceparent`: all that the segments of [`Self::take`] tell of.
    pub fn given(&self) -> Vec<Given> {
        mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner).given)
    }

    /// Says what is to become of a socket's connection. Where it does not get through, more is seen than is needed.
    pub fn order(&self, cookie: u64, fate: Fate) {
        let order: u32 = match fate {
            Fate::Open => 0,
            Fate::Quiet => 1,
            Fate::Each => 2,
        };
        let _ = self.sockets.orders.update(&cookie.to_ne_bytes(), &order.to_ne_bytes(), MapFlags::ANY);
    }
}

#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers, padded by a field of its own (socket.h).
unsafe impl Plain for tandem_observed {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers of one size only.
unsafe impl Plain for tandem_socket_statistics {}
