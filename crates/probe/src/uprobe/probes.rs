//! The loaded programs: places them in processes, and takes the spans that have ended.
//!
//! In each process every program has one link for all of its sites, which the kernel inserts into that process only. What a
//! site is comes by its cookie. Nothing is pinned: when the agent ends, however it does, the kernel takes the links away, and
//! with them the breakpoints.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::path::Path;
use std::rc::Rc;

use libbpf_rs::{
    Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, RingBuffer, RingBufferBuilder, UprobeMultiOpts,
};

use super::inserting::Inserting;
use super::plan::Plan;
use super::skeleton::types::{tandem_binary, tandem_open, tandem_open_key, tandem_uprobe_statistics};
use crate::error::ProbeError;
use crate::features;
use crate::kernel::{Plain, bytes_of, loading, value_from};

/// Programs that can be observed at once (TANDEM_BINARY_COUNT).
const BINARY_COUNT: u32 = 4096;
/// Bits of a cookie (`bpf/uprobe.h`).
const VARIANT_SHIFT: u32 = 32;
const CONDITION_SHIFT: u32 = 40;

/// The object as it was compiled; libbpf reads it at the alignment of an ELF file.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);
static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/uprobe.bpf.o")));

/// What the probes have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UprobeStatistics {
    /// Spans begun.
    pub begun: u64,
    /// Spans that ended and were handed over.
    pub handed_over: u64,
    /// Spans or texts that were not kept: too many are open.
    pub map_full: u64,
    /// Spans that found no room in the buffer.
    pub ring_full: u64,
    /// Memory of a program that could not be read.
    pub failed_reads: u64,
    /// Spans for which the kernel had no memory.
    pub no_memory: u64,
    /// Spans whose end was not seen.
    pub superseded: u64,
    /// Texts that were cut.
    pub cut: u64,
    /// Requests that were sent with our header.
    pub inserted: u64,
    /// Requests in which there was no place for it.
    pub not_inserted: u64,
}

/// The loaded programs. Dropping it, or dying, takes all probes out.
pub struct Uprobes {
    attached: HashMap<u32, Attached>,
    free: Vec<u32>,
    /// How many times a process was observed so far.
    observations: u32,
    binaries: MapHandle,
    open_spans: MapHandle,
    texts: MapHandle,
    statistics: MapHandle,
    ended: MapHandle,
    inserting: Option<Result<Inserting, String>>,
    object: Object,
}

/// Whether requests that observed processes send are to name their trace in a header (`traceparent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// They go as the program has written them.
    AsTheyAre,
    /// Those of HTTP/1 without TLS that have none get one.
    Insert,
}

/// One process.
struct Attached {
    binary: u32,
    _links: Vec<Link>,
}

impl fmt::Debug for Uprobes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Uprobes").field("processes", &self.attached.keys()).finish_non_exhaustive()
    }
}

impl Uprobes {
    /// Loads them; they are in no process yet.
    pub fn load(headers: Headers) -> Result<Self, ProbeError> {
        features::require_uprobes()?;
        loading("probes on functions", || Self::load_with_log(headers))
    }

    fn load_with_log(headers: Headers) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut open = ObjectBuilder::default().open_memory(&OBJECT.0).map_err(|error| ("opening it", error))?;
        if headers == Headers::AsTheyAre {
            Inserting::leave_out(&mut open);
        }
        let mut object = open.load().map_err(|error| ("loading it", error))?;
        let inserting = (headers == Headers::Insert).then(|| Inserting::attach(&mut object));
        let handle = |name: &str| {
            let found = object.maps().find(|map| map.name() == name).map(|map| MapHandle::try_from(&map));
            let missing = || Err(libbpf_rs::Error::from(std::io::Error::other(format!("no map {name}"))));
            found.unwrap_or_else(missing).map_err(|error| ("opening its maps", error))
        };
        Ok(Self {
            attached: HashMap::new(),
            free: (0..BINARY_COUNT).rev().collect(),
            observations: 0,
            binaries: handle("binaries")?,
            open_spans: handle("open_spans")?,
            texts: handle("kept_texts")?,
            statistics: handle("uprobe_counts")?,
            ended: handle("ended_spans")?,
            inserting,
            object,
        })
    }

    /// Places the probes of a plan in a process, named by its id in the initial pid namespace. `executable` is a path under
    /// which the kernel finds the process's executable, `slot_offset` where a woven program keeps the span of a goroutine.
    pub fn attach(&mut self, pid: u32, executable: &Path, plan: &Plan, slot_offset: u32) -> Result<(), ProbeError> {
        self.detach(pid);
        let failed = |step| move |source| ProbeError::Attach { pid, step, source };
        let full = || std::io::Error::other("too many processes are observed").into();
        let index = self.free.pop().ok_or_else(full).map_err(failed("finding room"))?;
        match self.place(index, pid, executable, plan, slot_offset) {
            Ok(links) => {
                self.attached.insert(pid, Attached { binary: index, _links: links });
                if let Some(Ok(inserting)) = &self.inserting {
                    inserting.watch(pid);
                }
                Ok(())
            }
            Err((step, source)) => {
                self.free.push(index);
                Err(failed(step)(source))
            }
        }
    }

    fn place(
        &mut self,
        index: u32,
        pid: u32,
        executable: &Path,
        plan: &Plan,
        slot_offset: u32,
    ) -> Result<Vec<Link>, (&'static str, libbpf_rs::Error)> {
        self.observations = self.observations.wrapping_add(1);
        let facts = tandem_binary { process: pid, observation: self.observations, slot_offset, ..plan.facts };
        let told = self.binaries.update(&index.to_ne_bytes(), bytes_of(&facts), MapFlags::ANY);
        told.map_err(|error| ("telling where fields are", error))?;
        let mut links = Vec::new();
        // Ends first: a span that begins meanwhile does not wait for an end in vain.
        for program in super::library::Program::ALL.into_iter().rev() {
            let sites: Vec<_> = plan.placements.iter().filter(|site| site.program == program).collect();
            if sites.is_empty() {
                continue;
            }
            let options = UprobeMultiOpts {
                offsets: sites.iter().map(|site| site.file_offset as usize).collect(),
                cookies: sites
                    .iter()
                    .map(|site| {
                        u64::from(index)
                            | u64::from(site.variant) << VARIANT_SHIFT
                            | u64::from(site.condition) << CONDITION_SHIFT
                    })
                    .collect(),
                ..UprobeMultiOpts::default()
            };
            let loaded = self.object.progs_mut().find(|loaded| loaded.name() == program.name());
            let missing = || std::io::Error::other(format!("no program {}", program.name())).into();
            let link = loaded
                .ok_or_else(missing)
                .and_then(|loaded| loaded.attach_uprobe_multi_with_opts(pid.cast_signed(), executable, "", options));
            links.push(link.map_err(|error| ("placing probes", error))?);
        }
        links.reverse(); // they are dropped in this order: beginnings first, else spans begin whose ends are not seen
        Ok(links)
    }

    /// Why requests get no header although that was asked for.
    pub fn cannot_insert(&self) -> Option<&str> {
        self.inserting.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// Whether there are probes in a process.
    pub fn observes(&self, pid: u32) -> bool {
        self.attached.contains_key(&pid)
    }

    /// Forgets operations that have been open for so long (ns): their ends were not seen, or will not be. For when there is
    /// no room for new ones.
    pub fn make_room(&self, age: u64) {
        let Ok(now) = u64::try_from(monotonic()) else { return };
        let at = mem::offset_of!(tandem_open, start);
        for key in self.open_spans.keys().collect::<Vec<_>>() {
            let open = self.open_spans.lookup(&key, MapFlags::ANY).ok().flatten().unwrap_or_default();
            let Some(start) = open.get(at..at + 8).and_then(|start| start.try_into().ok()) else { continue };
            if now.saturating_sub(u64::from_ne_bytes(start)) > age {
                let _ = self.open_spans.delete(&key);
                let _ = self.texts.delete(&key);
            }
        }
    }

    /// Takes the probes out of a process. Its spans that are open are forgotten.
    pub fn detach(&mut self, pid: u32) {
        let Some(attached) = self.attached.remove(&pid) else { return };
        self.free.push(attached.binary);
        drop(attached);
        if let Some(Ok(inserting)) = &self.inserting {
            inserting.unwatch(pid);
        }
        let process = mem::offset_of!(tandem_open_key, process);
        for map in [&self.open_spans, &self.texts] {
            forget(map, process, pid);
        }
    }

    /// Who takes the spans that have ended, on one thread.
    pub fn into_reader(self) -> Result<UprobeReader, ProbeError> {
        let taken: Rc<RefCell<Vec<u8>>> = Rc::default();
        let ring = {
            let taken = Rc::clone(&taken);
            let mut builder = RingBufferBuilder::new();
            let add = builder.add(&self.ended, move |bytes| {
                let mut taken = taken.borrow_mut();
                taken.extend_from_slice(&(bytes.len() as u32).to_ne_bytes());
                taken.extend_from_slice(bytes);
                0
            });
            add.map_err(ProbeError::Statistics)?;
            builder.build().map_err(ProbeError::Statistics)?
        };
        Ok(UprobeReader { uprobes: self, ring, taken })
    }

    /// What they have done so far, summed over the processors.
    pub fn statistics(&self) -> Result<UprobeStatistics, ProbeError> {
        let per_processor = self
            .statistics
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(ProbeError::Statistics)?
            .unwrap_or_default();
        let mut sum = UprobeStatistics::default();
        for bytes in per_processor {
            let counts: tandem_uprobe_statistics = value_from(&bytes);
            sum.begun += counts.begun;
            sum.handed_over += counts.handed_over;
            sum.map_full += counts.map_full;
            sum.ring_full += counts.ring_full;
            sum.failed_reads += counts.failed_reads;
            sum.no_memory += counts.no_memory;
            sum.superseded += counts.superseded;
            sum.cut += counts.cut;
            sum.inserted += counts.inserted;
            sum.not_inserted += counts.not_inserted;
        }
        Ok(sum)
    }

    /// Spans that are open now.
    pub fn open_count(&self) -> usize {
        self.open_spans.keys().count()
    }
}

/// The loaded programs and the way to the spans that have ended.
pub struct UprobeReader {
    uprobes: Uprobes,
    ring: RingBuffer<'static>,
    taken: Rc<RefCell<Vec<u8>>>,
}

impl fmt::Debug for UprobeReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UprobeReader").field("uprobes", &self.uprobes).finish_non_exhaustive()
    }
}

impl UprobeReader {
    /// The loaded programs.
    pub fn uprobes(&mut self) -> &mut Uprobes {
        &mut self.uprobes
    }

    /// Calls `each` with every span that has ended since the last time. How full the buffer was, in eighths.
    pub fn take(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        // Without it there are none: the next time takes them.
        let _ = self.ring.consume_raw();
        let mut taken = mem::take(&mut *self.taken.borrow_mut());
        let mut rest = taken.as_slice();
        while let Some((size, after)) = rest.split_first_chunk() {
            let (event, after) = after.split_at(u32::from_ne_bytes(*size) as usize);
            each(event);
            rest = after;
        }
        let fullest = taken.len() * 8 / self.uprobes.ended.max_entries() as usize;
        taken.clear(); // and is used again
        *self.taken.borrow_mut() = taken;
        fullest
    }
}

/// CLOCK_MONOTONIC, ns, as programs in the kernel read it.
#[expect(unsafe_code, reason = "the clock has no safe binding here")]
fn monotonic() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Takes out what belongs to a process, whose id is at that place of the key.
fn forget(map: &MapHandle, at: usize, pid: u32) {
    let own: Vec<Vec<u8>> = map.keys().filter(|key| key.get(at..at + 4) == Some(&pid.to_ne_bytes())).collect();
    for key in own {
        let _ = map.delete(&key);
    }
}

#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers only, padded by fields of their own (uprobe.h).
unsafe impl Plain for tandem_binary {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_uprobe_statistics {}
