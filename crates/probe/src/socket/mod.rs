//! Loads what sees the payload of sockets (`bpf/socket.bpf.c`), tells it whose, and takes what it has seen.
//!
//! It is attached to the root of the unified control groups, so that it sees the sockets of all processes, and leaves those
//! of processes that nobody observes after one look at the socket. What it hands over lies in a ring buffer of fixed size
//! until somebody reads it, without waking anybody; what finds no room is counted.

mod segment;

use std::fmt;
use std::fs::File;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

use protocol::{Fate, Seen};

use crate::connections::{Rounds, go_through};
use crate::error::ProbeError;
use crate::features::{self, FeatureId, State};
use crate::kernel::{Plain, bytes_of, loading, value_from};
use crate::socket_skeleton::SocketSkelBuilder;
use crate::socket_skeleton::types::{tandem_observed, tandem_socket_statistics};

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
    limit: Bytes,
}

impl Sockets {
    /// Loads and attaches it; it looks at nobody yet. No thread is started.
    pub fn load(limit: Bytes) -> Result<Self, ProbeError> {
        features::require_sockets()?;
        let root = match features::state_of(FeatureId::CgroupV2) {
            State::Available(place) => place,
            State::Missing { why, remedy } => {
                return Err(ProbeError::Missing { feature: FeatureId::CgroupV2, why, remedy });
            }
        };
        loading("sockets' probe", || Self::load_with_log(limit, &root))
    }

    fn load_with_log(limit: Bytes, root: &str) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = SocketSkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        open.maps.segments.set_max_entries(BUFFER).map_err(|error| ("sizing its buffer", error))?;
        let loaded = open.load().map_err(|error| ("loading it", error))?;
        let group = File::open(root).map_err(|error| ("opening the root of control groups", error.into()))?;
        let mut links = Vec::new();
        for program in [&loaded.progs.on_create, &loaded.progs.on_egress, &loaded.progs.on_ingress] {
            let link = program.attach_cgroup(group.as_raw_fd());
            links.push(link.map_err(|error| ("attaching it to the root of control groups", error))?);
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
            limit,
        })
    }

    /// Begins to look at the sockets of a process, named by its id in the initial pid namespace: those that it has, and all
    /// that it will make.
    pub fn watch(&self, pid: u32) -> Result<(), ProbeError> {
        let observed = tandem_observed { limit: self.limit.0 };
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
        }
        Ok(sum)
    }

    /// Who takes its segments, on one thread.
    pub fn into_reader(self) -> Result<SegmentReader, ProbeError> {
        let taken: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let ring = {
            let taken = Arc::clone(&taken);
            let mut builder = RingBufferBuilder::new();
            builder
                .add(&self.segments, move |bytes| {
                    taken.lock().unwrap_or_else(PoisonError::into_inner).extend(segment::parse(bytes));
                    0
                })
                .map_err(ProbeError::Statistics)?;
            builder.build().map_err(ProbeError::Statistics)?
        };
        Ok(SegmentReader { sockets: self, ring, taken })
    }
}

/// The probe and the way to its segments.
pub struct SegmentReader {
    sockets: Sockets,
    ring: RingBuffer<'static>,
    taken: Arc<Mutex<Vec<Seen>>>,
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
        mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
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
// SAFETY: one integer.
unsafe impl Plain for tandem_observed {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers of one size only.
unsafe impl Plain for tandem_socket_statistics {}
