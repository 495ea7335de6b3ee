//! Loads the profiler (`bpf/profile.bpf.c`), tells it which processes to look at, and takes their samples.
//!
//! Nothing of the anatomy's probe is shared, so each works without the other. The profiler runs on every processor at each
//! tick of a clock of its own, and leaves processes that nobody asked for after one look. What it hands over lies in a ring
//! buffer of fixed size until somebody reads it; what finds no room is counted.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};
use record::HeaderFacts;

use crate::error::ProbeError;
use crate::events::{self, Command, Event};
use crate::features;
use crate::filter::Filter;
use crate::kernel::{Plain, bytes_of, loading, value_from};
use crate::profile_skeleton::ProfileSkelBuilder;
use crate::profile_skeleton::types::{tandem_profile_statistics, tandem_profiled, tandem_sample, tandem_sample_kind};
use crate::programs::Programs;

/// Samples a second of each processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// What costs next to nothing. No divisor of what programs do at round intervals.
    pub const DEFAULT: Self = Self(49);
    /// More would be felt.
    pub const HIGHEST: u32 = 1000;

    /// So many a second; `None`: none at all, or too many.
    pub fn new(per_second: u32) -> Option<Self> {
        (1..=Self::HIGHEST).contains(&per_second).then_some(Self(per_second))
    }

    /// The time between two samples of a processor, ns.
    pub fn period(self) -> u32 {
        1_000_000_000 / self.0
    }

    /// Samples a second.
    pub fn per_second(self) -> u32 {
        self.0
    }
}

/// What a sample stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Time on a CPU.
    Cpu,
    /// Time blocked in a system call or by a fault, in the middle of a goroutine's work.
    Blocked,
}

/// One look at a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was, or when the thread was blocked: CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// The time that it stands for, ns.
    pub weight: u64,
    /// Process id.
    pub process: u32,
    /// Thread id.
    pub thread: u32,
    /// What was seen.
    pub kind: SampleKind,
    /// The trace and the span that its goroutine was in.
    pub span: Option<([u8; 16], [u8; 8])>,
    /// In the kernel: the number of the system call; negative for faults and interrupts.
    pub system_call: Option<i32>,
    /// Words at the top of the stack.
    pub top: Option<[u64; 2]>,
    /// Addresses, the innermost first: where it was, then return addresses.
    pub stack: Vec<u64>,
}

/// What the profiler has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfilerStatistics {
    /// Handed over.
    pub samples: u64,
    /// Found the buffer full.
    pub lost: u64,
    /// Their stack could not be read.
    pub failed: u64,
    /// Times that a thread was blocked while it worked for a goroutine.
    pub blocked: u64,
    /// Of these, those whose stack was read.
    pub chosen: u64,
}

/// The loaded profiler. Dropping it, or dying, detaches it.
#[derive(Debug)]
pub struct Profiler {
    links: Vec<Link>,
    profiled: MapHandle,
    filter: RefCell<Filter>,
    samples: MapHandle,
    statistics: MapHandle,
    period: MapHandle,
    programs: Programs,
    /// The clock of each processor.
    clocks: Vec<OwnedFd>,
    rate: Cell<Rate>,
    is_off: Cell<bool>,
}

impl Profiler {
    /// Loads and attaches it; it looks at nobody yet.
    pub fn load(rate: Rate) -> Result<Self, ProbeError> {
        Self::load_sized(rate, buffer_size(events::processors().map_or(1, |all| all.len())))
    }

    /// The same with a buffer of so many bytes: a power of two, at least a page.
    pub fn load_sized(rate: Rate, bytes: u32) -> Result<Self, ProbeError> {
        features::require_profiles()?;
        loading("profiler", || Self::load_with_log(rate, bytes))
    }

    fn load_with_log(rate: Rate, bytes: u32) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = ProfileSkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        if let Some(data) = open.maps.data_data.as_deref_mut() {
            data.period = rate.period();
        }
        open.maps.samples.set_max_entries(bytes).map_err(|error| ("sizing its buffer", error))?;
        let loaded = open.load().map_err(|error| ("loading it", error))?;
        let (mut links, mut clocks) = (Vec::new(), Vec::new());
        let opened = events::open(Event::CpuClock, rate.period().into());
        for clock in opened.map_err(|error| ("opening a clock", error.into()))? {
            clocks.push(clock.try_clone().map_err(|error| ("keeping a clock", error.into()))?);
            let link = events::attach(&loaded.progs.on_clock, clock);
            links.push(link.map_err(|error| ("attaching it to a clock", error))?);
        }
        links.push(loaded.progs.on_block.attach().map_err(|error| ("attaching it to the scheduler", error))?);
        let handle = |map| MapHandle::try_from(map).map_err(|error| ("opening its maps", error));
        Ok(Self {
            links,
            profiled: handle(&loaded.maps.profiled)?,
            filter: RefCell::new(Filter::of(handle(&loaded.maps.bss)?)),
            samples: handle(&loaded.maps.samples)?,
            statistics: handle(&loaded.maps.profile_counts)?,
            period: handle(&loaded.maps.data)?,
            programs: Programs::of([loaded.progs.on_clock.as_fd(), loaded.progs.on_block.as_fd()])
                .map_err(|error| ("keeping its programs", error.into()))?,
            clocks,
            rate: Cell::new(rate),
            is_off: Cell::new(false),
        })
    }

    /// How often it looks.
    pub fn rate(&self) -> Rate {
        self.rate.get()
    }

    /// Looks so often from now on; `None`: not at all, until there is a rate again. Those that it looks at stay the same.
    pub fn set_rate(&self, rate: Option<Rate>) -> Result<(), ProbeError> {
        let failed = |error: libbpf_rs::Error| ProbeError::Statistics(error);
        let Some(rate) = rate else {
            self.filter.borrow_mut().pause(true).map_err(failed)?;
            self.is_off.set(true);
            return self.tell_clocks(Command::Rest);
        };
        // Periods that passed while nobody looked are nobody's: another period begins anew.
        let period = rate.period() - u32::from(self.rate.replace(rate).period() == rate.period());
        self.period.update(&0u32.to_ne_bytes(), &period.to_ne_bytes(), MapFlags::ANY).map_err(failed)?;
        self.tell_clocks(Command::Period(period.into()))?;
        if self.is_off.replace(false) {
            self.tell_clocks(Command::Count)?;
        }
        self.filter.borrow_mut().pause(false).map_err(failed)
    }

    fn tell_clocks(&self, command: Command) -> Result<(), ProbeError> {
        events::tell(&self.clocks, command).map_err(|error| ProbeError::Statistics(error.into()))
    }

    /// The CPU time of its programs so far, while somebody has the kernel measure it ([`RunTimes`](crate::RunTimes)).
    pub fn run_time(&self) -> Duration {
        self.programs.run_time()
    }

    /// Begins to look at a process, named by its id in the initial pid namespace.
    pub fn watch(&self, pid: u32, facts: &HeaderFacts) -> Result<(), ProbeError> {
        if !facts.has_accounts() {
            return Err(ProbeError::NoAccounts { pid });
        }
        self.profiled
            .update(&pid.to_ne_bytes(), bytes_of(&tandem_profiled::from(facts)), MapFlags::ANY)
            .and_then(|()| self.filter.borrow_mut().add(pid))
            .map_err(|source| ProbeError::Full { what: "profile", pid, source })
    }

    /// Ends it.
    pub fn unwatch(&self, pid: u32) {
        let _ = self.profiled.delete(&pid.to_ne_bytes());
        self.filter.borrow_mut().remove(pid);
    }

    /// What it has done so far, summed over the processors.
    pub fn statistics(&self) -> Result<ProfilerStatistics, ProbeError> {
        let per_processor = self
            .statistics
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(ProbeError::Statistics)?
            .unwrap_or_default();
        let mut sum = ProfilerStatistics::default();
        for bytes in per_processor {
            let counts: tandem_profile_statistics = value_from(&bytes);
            sum.samples += counts.samples;
            sum.lost += counts.lost;
            sum.failed += counts.failed;
            sum.blocked += counts.blocked;
            sum.chosen += counts.chosen;
        }
        Ok(sum)
    }

    /// The kernel's ids of the loaded programs, the one on the clock first.
    pub fn program_ids(&self) -> Result<Vec<u32>, ProbeError> {
        let mut ids = Vec::new();
        for link in &self.links {
            let id = link.info().map_err(ProbeError::Statistics)?.prog_id;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Who takes its samples, on one thread.
    pub fn into_reader(self) -> Result<SampleReader, ProbeError> {
        let taken: Rc<RefCell<Vec<Sample>>> = Rc::default();
        let ring = {
            let taken = Rc::clone(&taken);
            let mut builder = RingBufferBuilder::new();
            builder
                .add(&self.samples, move |bytes| {
                    taken.borrow_mut().extend(sample_from(bytes));
                    0
                })
                .map_err(ProbeError::Statistics)?;
            builder.build().map_err(ProbeError::Statistics)?
        };
        Ok(SampleReader { profiler: self, ring, taken })
    }
}

/// A profiler and the way to its samples.
pub struct SampleReader {
    profiler: Profiler,
    ring: RingBuffer<'static>,
    taken: Rc<RefCell<Vec<Sample>>>,
}

impl fmt::Debug for SampleReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SampleReader").field("profiler", &self.profiler).finish_non_exhaustive()
    }
}

impl SampleReader {
    /// The profiler.
    pub fn profiler(&self) -> &Profiler {
        &self.profiler
    }

    /// All samples that came since the last time.
    pub fn take(&self) -> Vec<Sample> {
        // Without it there are none: the next time takes them.
        let _ = self.ring.consume_raw();
        mem::take(&mut self.taken.borrow_mut())
    }
}

/// Bytes of the buffer: a power of two, room for a second of samples of the usual length at the default rate.
fn buffer_size(processors: usize) -> u32 {
    (processors.min(2048) as u32 * 32 * 1024).next_power_of_two().clamp(1 << 20, 64 << 20)
}

/// A sample as the kernel wrote it, its stack as far as it goes.
fn sample_from(bytes: &[u8]) -> Option<Sample> {
    const HEAD: usize = mem::offset_of!(tandem_sample, frames);
    let mut whole = [0; size_of::<tandem_sample>()];
    let size = bytes.len().min(whole.len());
    whole[..size].copy_from_slice(&bytes[..size]);
    let raw: tandem_sample = value_from(&whole);
    let depth = usize::from(raw.depth).min(size.checked_sub(HEAD)? / size_of::<u64>());
    Some(Sample {
        time: raw.time,
        weight: raw.weight,
        process: raw.process,
        thread: raw.thread,
        kind: match raw.kind {
            tandem_sample_kind::TANDEM_SAMPLE_BLOCKED => SampleKind::Blocked,
            _ => SampleKind::Cpu,
        },
        span: (raw.in_span != 0).then_some((raw.trace_id, raw.span_id)),
        system_call: (raw.in_kernel != 0).then_some(raw.syscall),
        top: (raw.has_top != 0).then_some(raw.top),
        stack: raw.frames[..depth].to_vec(),
    })
}

impl From<&HeaderFacts> for tandem_profiled {
    fn from(facts: &HeaderFacts) -> Self {
        Self {
            tls_g_offset: facts.tls_g_offset,
            g_m_offset: facts.g_m_offset,
            m_curg_offset: facts.m_curg_offset,
            slot_offset: facts.slot_offset,
            reserved: 0,
        }
    }
}

#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers only, padded by fields of their own (profile.h).
unsafe impl Plain for tandem_profiled {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_sample {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_profile_statistics {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies beyond the bytes, or beyond the stack's end, is not believed.
    #[test]
    fn samples_are_as_long_as_they_are() {
        const HEAD: usize = mem::offset_of!(tandem_sample, frames);
        let mut bytes = vec![0; HEAD + 24];
        let depth = mem::offset_of!(tandem_sample, depth);
        bytes[depth] = 200;
        bytes[HEAD] = 7;
        bytes[mem::offset_of!(tandem_sample, weight)] = 5;
        let sample = sample_from(&bytes).expect("a sample");
        assert_eq!((sample.stack.as_slice(), sample.weight, sample.kind), (&[7, 0, 0][..], 5, SampleKind::Cpu));
        assert_eq!((sample.span, sample.top, sample.system_call), (None, None, None));
        assert_eq!(sample_from(&bytes[..HEAD - 1]), None);
    }

    /// The buffer's size is one that the kernel takes.
    #[test]
    fn buffers_are_powers_of_two() {
        assert_eq!([buffer_size(1), buffer_size(48), buffer_size(100_000)], [1 << 20, 2 << 20, 64 << 20]);
        assert_eq!((Rate::new(0), Rate::new(1001)), (None, None));
        assert_eq!(Rate::new(50).map(Rate::period), Some(20_000_000));
    }
}
