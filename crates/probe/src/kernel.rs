//! Loads the scheduler probe and tells it which processes to watch.
//!
//! A watched process has an entry in `processes` (how its goroutines are found) and an array of accounts in
//! `accounts_of`. Adding an array takes the kernel some milliseconds, removing one too, while nobody should wait: a thread
//! does both, and keeps some in stock. The array is frozen before anyone else holds its descriptor, so that user space can only read it, the
//! process that maps it included. Its slots are cumulative and are never cleared.

use std::collections::HashMap;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::slice;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, MapType, PrintLevel, libbpf_sys};
use record::HeaderFacts;
use record::layout::{ACCOUNT, ACCOUNT_COUNT, FIRST_PART_COUNT};

use crate::connections::Rounds;
use crate::error::ProbeError;
use crate::events::{self, Command, Event};
use crate::features::{self, Details, FeatureId};
use crate::filter::Filter;
use crate::programs::Programs;
use crate::skeleton::AnatomySkelBuilder;
use crate::skeleton::types::{tandem_caller, tandem_statistics, tandem_syscalls, tandem_watched};
use crate::syscalls;

/// The kernel's accounts of one process: an array of `record::layout::ACCOUNT`.
#[derive(Debug)]
pub struct AccountMap {
    /// Descriptor of the array; it can be mapped shared and read-only, and in no other way.
    pub fd: OwnedFd,
    /// Slots in it.
    pub slots: u32,
    /// Parts of the anatomy that this kernel cannot tell from others, a bit each, by their index in
    /// `record::layout::PARTS`.
    pub lacking: u32,
    /// The system calls of its spans, where the kernel half keeps them.
    pub system_calls: Option<SpanSystemCalls>,
}

/// The system calls of one process, by span.
#[derive(Debug)]
pub struct SpanSystemCalls {
    callers: MapHandle,
    pid: u32,
}

/// System calls of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCalls {
    /// Their name; `None`: of all others together.
    pub name: Option<&'static str>,
    /// How many.
    pub count: u32,
    /// How long they took, ns.
    pub time: u64,
}

impl SpanSystemCalls {
    /// What a span that has ended did, once.
    pub fn take(&self, span_id: [u8; 8]) -> Vec<SystemCalls> {
        let caller = tandem_caller { span: u64::from_ne_bytes(span_id), process: self.pid, reserved: 0 };
        let Ok(Some(found)) = self.callers.lookup_and_delete(bytes_of(&caller)) else { return Vec::new() };
        let calls = found.chunks_exact(size_of::<tandem_syscalls>()).map(value_from::<tandem_syscalls>);
        let calls = calls.filter(|calls| calls.count != 0);
        calls
            .map(|calls| SystemCalls {
                name: calls.number.checked_sub(1).and_then(syscalls::name),
                count: calls.count,
                time: calls.time,
            })
            .collect()
    }
}

/// What the probe has done so far, for watched processes only. Its cost follows `switches`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Times a thread left the CPU.
    pub switches: u64,
    /// Of these, on behalf of a goroutine with an account.
    pub attributed: u64,
    /// Of the attributed, those in which the thread was on its g0 or signal stack.
    pub via_curg: u64,
    /// User memory that could not be read; the time went to nobody.
    pub failed_reads: u64,
    /// Attributed, but the thread's state or the account had no room, or its return was not seen; the time went to nobody.
    pub lost: u64,
}

/// The loaded scheduler probe. Dropping it, or dying, detaches it.
#[derive(Debug)]
pub struct Kernel {
    probe: Link,
    /// All other programs; dropped with the rest.
    _others: Vec<Link>,
    /// What of the detail mode can be switched off for a while.
    detail: Option<Switched>,
    programs: Programs,
    /// The looks at connections, where this kernel has what they need.
    rounds: Option<Rounds>,
    processes: MapHandle,
    filter: Filter,
    pollers: MapHandle,
    /// System calls by span, in the detail mode.
    callers: Option<MapHandle>,
    statistics: MapHandle,
    accounts_of: MapHandle,
    /// Made with the first process: its thread has the privileges of that moment, not those of loading.
    stock: OnceLock<Stock>,
    /// Parts that this kernel cannot tell from others, a bit each.
    lacking: u32,
    /// Index in `accounts_of` by process id.
    watched: HashMap<u32, u32>,
}

impl Kernel {
    /// Loads and attaches the probe; it watches nobody yet.
    pub fn load() -> Result<Self, ProbeError> {
        Self::load_with(false)
    }

    /// The same, with the programs of the detail mode, as far as this kernel has what they need.
    pub fn load_detailed() -> Result<Self, ProbeError> {
        Self::load_with(true)
    }

    fn load_with(detail: bool) -> Result<Self, ProbeError> {
        let lacking = features::lacking_parts(detail);
        let detail = if detail { Details::without(lacking) } else { Details::default() };
        features::require_anatomy()?;
        loading("scheduler probe", || Self::load_with_log(detail, lacking))
    }

    fn load_with_log(detail: Details, lacking: u32) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = AnatomySkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        if let Some(constants) = open.maps.rodata_data.as_deref_mut() {
            constants.class_of_syscall = syscalls::classes();
        }
        for program in [&mut open.progs.on_data, &mut open.progs.on_receive] {
            program.set_autoload(detail.sockets);
        }
        for program in [&mut open.progs.on_fault, &mut open.progs.on_kernel_fault, &mut open.progs.on_fault_end] {
            program.set_autoload(detail.faults);
        }
        for program in [&mut open.progs.on_call, &mut open.progs.on_call_end] {
            program.set_autoload(detail.calls);
        }
        let connections = matches!(features::state_of(FeatureId::Connections), features::State::Available(_));
        for program in [&mut open.progs.on_retransmit, &mut open.progs.on_descriptor] {
            program.set_autoload(connections);
        }
        let left_out = |error| ("leaving out a map", error);
        open.maps.awaited_sockets.set_autocreate(detail.sockets).map_err(left_out)?;
        open.maps.callers.set_autocreate(detail.calls).map_err(left_out)?;
        let loaded = open.load().map_err(|error| ("loading it", error))?;
        let mut others = Vec::new();
        let programs = &loaded.progs;
        let mut all = vec![programs.on_switch.as_fd()];
        let mut points = Vec::new();
        for (wanted, programs) in [
            (detail.sockets, [&programs.on_data, &programs.on_receive]),
            (detail.faults, [&programs.on_fault, &programs.on_kernel_fault]),
            (detail.calls, [&programs.on_call, &programs.on_call_end]),
        ] {
            points.extend(programs.into_iter().filter(|_| wanted).map(AsFd::as_fd));
        }
        all.extend(&points);
        let mut switched = Switched::attach(points).map_err(|error| ("attaching the detail mode", error.into()))?;
        if detail.faults {
            let failed = |error| ("attaching the detail mode to page faults", error);
            all.push(programs.on_fault_end.as_fd());
            for event in events::open(Event::PageFaultsMin, 1).map_err(|error| failed(error.into()))? {
                switched.events.push(event.try_clone().map_err(|error| failed(error.into()))?);
                others.push(events::attach(&loaded.progs.on_fault_end, event).map_err(failed)?);
            }
        }
        let programs = Programs::of(all).map_err(|error| ("keeping its programs", error.into()))?;
        let mut rounds = None;
        if connections {
            let failed = |error| ("attaching what looks at connections", error);
            others.push(loaded.progs.on_retransmit.attach().map_err(failed)?);
            let program = loaded.progs.on_descriptor.as_fd().try_clone_to_owned();
            rounds = Some(Rounds::new(program.map_err(|error| failed(error.into()))?));
        }
        let handle = |map| MapHandle::try_from(map).map_err(|error| ("opening its maps", error));
        // The link keeps the program, the program its maps: the rest of the object can go.
        Ok(Self {
            processes: handle(&loaded.maps.processes)?,
            filter: Filter::of(handle(&loaded.maps.bss)?),
            accounts_of: handle(&loaded.maps.accounts_of)?,
            stock: OnceLock::new(),
            watched: HashMap::new(),
            lacking,
            detail: (detail != Details::default()).then_some(switched),
            programs,
            _others: others,
            rounds,
            pollers: handle(&loaded.maps.pollers)?,
            callers: if detail.calls { Some(handle(&loaded.maps.callers)?) } else { None },
            statistics: handle(&loaded.maps.statistics)?,
            probe: loaded.progs.on_switch.attach().map_err(|error| ("attaching it", error))?,
        })
    }

    /// Begins to make account maps for processes that will come. The first [`Self::watch`] does it, too, and waits for one.
    pub fn stock_up(&self) {
        self.rounds.iter().for_each(Rounds::begin);
        let _ = self.stock(); // what keeps it from that keeps `watch`, too, which says so
    }

    fn stock(&self) -> Result<&Stock, libbpf_rs::Error> {
        match self.stock.get() {
            Some(stock) => Ok(stock),
            None => {
                let accounts_of = MapHandle::try_from(&self.accounts_of)?;
                Ok(self.stock.get_or_init(|| Stock::open(accounts_of)))
            }
        }
    }

    /// Begins to keep accounts for a process, named by its id in the agent's pid namespace (the initial one: `load`
    /// checks that). Watching a process again replaces its accounts by new ones.
    pub fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Result<AccountMap, ProbeError> {
        if !facts.has_accounts() {
            return Err(ProbeError::NoAccounts { pid });
        }
        let failed = |step| move |source| ProbeError::Watch { pid, step, source };
        self.unwatch(pid);
        let (index, accounts) = self.stock().and_then(Stock::take).map_err(failed("making an account map"))?;
        self.watched.insert(pid, index);
        let process = tandem_watched {
            tls_g_offset: facts.tls_g_offset,
            g0_address: facts.g0_address,
            g_m_offset: facts.g_m_offset,
            m_curg_offset: facts.m_curg_offset,
            account_offset: facts.account_offset,
            slot_offset: facts.slot_offset,
            reserved: 0,
            accounts: index,
            parts: if facts.part_count == 0 { FIRST_PART_COUNT as u64 } else { facts.part_count.into() },
            poller: 0,
        };
        self.processes
            .update(&pid.to_ne_bytes(), bytes_of(&process), MapFlags::ANY)
            .and_then(|()| self.filter.add(pid))
            .map_err(failed("adding the process"))?;
        if let Some(rounds) = &self.rounds {
            rounds.add(pid);
        }
        let fd = accounts
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| failed("duplicating its descriptor")(error.into()))?;
        let system_calls = match &self.callers {
            Some(callers) => Some(SpanSystemCalls {
                callers: MapHandle::try_from(callers).map_err(failed("opening the map of system calls"))?,
                pid,
            }),
            None => None,
        };
        Ok(AccountMap { fd, slots: accounts.max_entries(), lacking: self.lacking, system_calls })
    }

    /// Stops watching a process. What it has mapped stays readable to it and does not change any more.
    pub fn unwatch(&mut self, pid: u32) {
        if let Some(rounds) = &self.rounds {
            rounds.remove(pid);
        }
        // It may be gone already: the probe itself forgets a process whose last thread ends.
        if let Ok(Some(process)) = self.processes.lookup(&pid.to_ne_bytes(), MapFlags::ANY) {
            let _ = self.pollers.delete(&value_from::<tandem_watched>(&process).poller.to_ne_bytes());
        }
        let _ = self.processes.delete(&pid.to_ne_bytes());
        if let Some(index) = self.watched.remove(&pid) {
            self.filter.remove(pid);
            self.stock.get().iter().for_each(|stock| stock.give_back(index));
        }
    }

    /// Account maps that there are: those of watched processes, and a few that lie ready.
    pub fn account_maps(&self) -> usize {
        let there =
            |index: &u32| self.accounts_of.lookup(&index.to_ne_bytes(), MapFlags::ANY).is_ok_and(|map| map.is_some());
        (0..self.accounts_of.max_entries()).filter(there).count()
    }

    /// Whether the probe looks at a process. It forgets one by itself when the last thread ends.
    pub fn watches(&self, pid: u32) -> bool {
        self.processes.lookup(&pid.to_ne_bytes(), MapFlags::ANY).is_ok_and(|found| found.is_some())
    }

    /// The kernel's id of the loaded program, under which `bpftool prog` and its run-time statistics show it.
    pub fn program_id(&self) -> Result<u32, ProbeError> {
        self.probe.info().map(|info| info.prog_id).map_err(ProbeError::Statistics)
    }

    /// Whether it was loaded with the detail mode.
    pub fn has_detail(&self) -> bool {
        self.detail.is_some()
    }

    /// Switches the detail mode off for a while, and on again: nothing of it runs meanwhile. Says which parts of the anatomy nobody tells
    /// from others meanwhile, a bit each; spans that were under way have only some of them.
    pub fn set_detail(&mut self, on: bool) -> Result<u32, ProbeError> {
        let Some(detail) = &mut self.detail else { return Ok(0) };
        detail.switch(on).map_err(|error| ProbeError::Statistics(error.into()))?;
        Ok(features::DETAIL_PARTS & !self.lacking)
    }

    /// The CPU time of its programs so far, while somebody has the kernel measure it ([`RunTimes`](crate::RunTimes)).
    pub fn run_time(&self) -> Duration {
        self.programs.run_time()
    }

    /// What the probe has done so far, summed over the processors.
    pub fn statistics(&self) -> Result<Statistics, ProbeError> {
        let per_processor = self
            .statistics
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(ProbeError::Statistics)?
            .unwrap_or_default();
        let mut sum = Statistics::default();
        for bytes in per_processor {
            let counts = value_from::<tandem_statistics>(&bytes);
            sum.switches += counts.switches;
            sum.attributed += counts.attributed;
            sum.via_curg += counts.via_curg;
            sum.failed_reads += counts.failed_reads;
            sum.lost += counts.lost;
        }
        Ok(sum)
    }
}

/// Programs at points of the kernel, which come and go, and events whose programs stay.
#[derive(Debug)]
struct Switched {
    programs: Vec<OwnedFd>,
    /// Closed, a program is at its point no more.
    points: Vec<OwnedFd>,
    events: Vec<OwnedFd>,
}

impl Switched {
    fn attach<'a>(programs: impl IntoIterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        let programs = programs.into_iter().map(|program| program.try_clone_to_owned()).collect::<io::Result<_>>()?;
        let mut switched = Self { programs, points: Vec::new(), events: Vec::new() };
        switched.switch(true)?;
        Ok(switched)
    }

    fn switch(&mut self, on: bool) -> io::Result<()> {
        self.points.clear();
        if on {
            self.points =
                self.programs.iter().map(|program| at_its_point(program.as_fd())).collect::<io::Result<_>>()?;
        }
        events::tell(&self.events, if on { Command::Count } else { Command::Rest })
    }
}

/// Attaches a program to the tracepoint that it was loaded for.
#[expect(unsafe_code, reason = "the call takes a null pointer and gives a bare descriptor")]
fn at_its_point(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: without a name the kernel takes the tracepoint that the program names itself.
    let descriptor = unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) };
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(-descriptor));
    }
    // SAFETY: it is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// How many account maps lie ready.
const STOCK: u32 = 4;

/// Account maps in `accounts_of` that no process has yet.
#[derive(Debug)]
struct Stock {
    orders: Sender<Order>,
    ready: Receiver<Result<(u32, MapHandle), libbpf_rs::Error>>,
}

/// What the thread is to do.
enum Order {
    /// Make another map.
    More,
    /// Remove the one with this index.
    Remove(u32),
}

impl Stock {
    fn open(accounts_of: MapHandle) -> Self {
        let (orders, taken) = mpsc::channel();
        let (done, ready) = mpsc::channel();
        (0..STOCK).for_each(|_| drop(orders.send(Order::More)));
        let work = move || {
            let mut free: Vec<u32> = (0..accounts_of.max_entries()).rev().collect();
            let mut used: Vec<u32> = Vec::new(); // whose processes are gone: a new map there takes the old one away
            for order in taken {
                match order {
                    Order::More => {
                        let index = used.pop().or_else(|| free.pop());
                        let added = add_account_map(&accounts_of, index);
                        if let (Err(_), Some(index)) = (&added, index) {
                            free.push(index);
                        }
                        if done.send(added).is_err() {
                            return;
                        }
                    }
                    Order::Remove(index) if used.len() < STOCK as usize => used.push(index),
                    Order::Remove(index) => {
                        let _ = accounts_of.delete(&index.to_ne_bytes());
                        free.push(index);
                    }
                }
            }
        };
        // Without the thread nothing is ever ready, and `take` says so.
        let _ = thread::Builder::new().name("tandem-accounts".to_owned()).spawn(work);
        Self { orders, ready }
    }

    /// One of them, and its index.
    fn take(&self) -> Result<(u32, MapHandle), libbpf_rs::Error> {
        let _ = self.orders.send(Order::More);
        self.ready.recv().unwrap_or_else(|_| Err(io::Error::other("its thread does not run").into()))
    }

    fn give_back(&self, index: u32) {
        let _ = self.orders.send(Order::Remove(index));
    }
}

fn add_account_map(accounts_of: &MapHandle, index: Option<u32>) -> Result<(u32, MapHandle), libbpf_rs::Error> {
    let index = index.ok_or_else(|| libbpf_rs::Error::from(io::Error::other("too many processes are watched")))?;
    let accounts = new_account_map()?;
    accounts_of.update(&index.to_ne_bytes(), &accounts.as_fd().as_raw_fd().to_ne_bytes(), MapFlags::ANY)?;
    Ok((index, accounts))
}

/// An array of accounts, zeroed, that user space can map only to read.
fn new_account_map() -> Result<MapHandle, libbpf_rs::Error> {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        map_flags: libbpf_sys::BPF_F_MMAPABLE,
        ..Default::default()
    };
    let map = MapHandle::create(
        MapType::Array,
        Some("tandem_accounts"),
        size_of::<u32>() as u32,
        ACCOUNT.size as u32,
        ACCOUNT_COUNT as u32,
        &options,
    )?;
    map.freeze()?;
    Ok(map)
}

/// What the kernel takes and gives as bytes.
///
/// # Safety
/// A `repr(C)` structure of integers without padding: any bytes are a value, and all bytes of a value are initialised.
#[expect(unsafe_code, reason = "the kernel takes and gives structures as bytes")]
pub(crate) unsafe trait Plain: Copy {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers only, padded by fields of their own (intf.h).
unsafe impl Plain for tandem_watched {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_statistics {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_caller {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: as above.
unsafe impl Plain for tandem_syscalls {}

#[expect(unsafe_code, reason = "the kernel takes structures as bytes")]
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: every byte is initialised (`Plain`), and the slice lives as long as the reference.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

#[expect(unsafe_code, reason = "the kernel gives structures as bytes")]
pub(crate) fn value_from<T: Plain>(bytes: &[u8]) -> T {
    assert!(bytes.len() >= size_of::<T>(), "the map's values are smaller than their type");
    // SAFETY: long enough, checked above, and any bytes are a value of it (`Plain`).
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// Loads something with what libbpf says about it kept for the error.
pub(crate) fn loading<T>(
    what: &'static str,
    load: impl FnOnce() -> Result<T, (&'static str, libbpf_rs::Error)>,
) -> Result<T, ProbeError> {
    // libbpf's messages go to one printer for the whole process, so loads take turns.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    log_start();
    let loaded = load();
    let log = log_end();
    loaded.map_err(|(step, source)| {
        features::cause_of_refusal().unwrap_or(ProbeError::Refused { what, step, source, log })
    })
}

/// What libbpf said during the current load.
static LOG: Mutex<String> = Mutex::new(String::new());

fn log_start() {
    fn keep(_: PrintLevel, message: String) {
        LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push_str(&message);
    }
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
}

fn log_end() -> String {
    libbpf_rs::set_print(None);
    mem::take(&mut *LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}
