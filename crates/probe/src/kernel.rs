//! Loads the scheduler probe and tells it which processes to watch.
//!
//! A watched process has an entry in `processes` (how its goroutines are found) and an array of accounts in
//! `accounts_of`. Adding an array takes the kernel some milliseconds, removing one too, while nobody should wait: a thread
//! does both, and keeps some in stock. The array is frozen before anyone else holds its descriptor, so that user space can only read it, the
//! process that maps it included. Its slots are cumulative and are never cleared.

use std::collections::HashMap;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::slice;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, MapType, PrintLevel, libbpf_sys};
use record::HeaderFacts;
use record::layout::{ACCOUNT, ACCOUNT_COUNT, FIRST_PART_COUNT};

use crate::error::ProbeError;
use crate::features;
use crate::skeleton::AnatomySkelBuilder;
use crate::skeleton::types::{tandem_statistics, tandem_watched};
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
    /// The programs of the detail mode; dropped with the rest.
    _details: Vec<Link>,
    processes: MapHandle,
    statistics: MapHandle,
    stock: Stock,
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
        let detail = detail && lacking & features::DETAIL_PARTS == 0;
        features::require_anatomy()?;
        loading("scheduler probe", || Self::load_with_log(detail, lacking))
    }

    fn load_with_log(detail: bool, lacking: u32) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = AnatomySkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        if let Some(constants) = open.maps.rodata_data.as_deref_mut() {
            constants.class_of_syscall = syscalls::classes();
        }
        for program in [&mut open.progs.on_data, &mut open.progs.on_receive] {
            program.set_autoload(detail);
        }
        if !detail {
            open.maps.awaited_sockets.set_autocreate(false).map_err(|error| ("leaving out a map", error))?;
        }
        let loaded = open.load().map_err(|error| ("loading it", error))?;
        let mut details = Vec::new();
        if detail {
            for program in [&loaded.progs.on_data, &loaded.progs.on_receive] {
                details.push(program.attach().map_err(|error| ("attaching the detail mode", error))?);
            }
        }
        let handle = |map| MapHandle::try_from(map).map_err(|error| ("opening its maps", error));
        // The link keeps the program, the program its maps: the rest of the object can go.
        Ok(Self {
            processes: handle(&loaded.maps.processes)?,
            stock: Stock::open(handle(&loaded.maps.accounts_of)?),
            watched: HashMap::new(),
            lacking,
            _details: details,
            statistics: handle(&loaded.maps.statistics)?,
            probe: loaded.progs.on_switch.attach().map_err(|error| ("attaching it", error))?,
        })
    }

    /// Begins to keep accounts for a process, named by its id in the agent's pid namespace (the initial one: `load`
    /// checks that). Watching a process again replaces its accounts by new ones.
    pub fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Result<AccountMap, ProbeError> {
        if !facts.has_accounts() {
            return Err(ProbeError::NoAccounts { pid });
        }
        let failed = |step| move |source| ProbeError::Watch { pid, step, source };
        self.unwatch(pid);
        let (index, accounts) = self.stock.take().map_err(failed("making an account map"))?;
        self.watched.insert(pid, index);
        let process = tandem_watched {
            tls_g_offset: facts.tls_g_offset,
            g0_address: facts.g0_address,
            g_m_offset: facts.g_m_offset,
            m_curg_offset: facts.m_curg_offset,
            account_offset: facts.account_offset,
            accounts: index,
            parts: if facts.part_count == 0 { FIRST_PART_COUNT as u64 } else { facts.part_count.into() },
        };
        self.processes
            .update(&pid.to_ne_bytes(), bytes_of(&process), MapFlags::ANY)
            .map_err(failed("adding the process"))?;
        let fd = accounts
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| failed("duplicating its descriptor")(error.into()))?;
        Ok(AccountMap { fd, slots: accounts.max_entries(), lacking: self.lacking })
    }

    /// Stops watching a process. What it has mapped stays readable to it and does not change any more.
    pub fn unwatch(&mut self, pid: u32) {
        // It may be gone already: the probe itself forgets a process whose last thread ends.
        let _ = self.processes.delete(&pid.to_ne_bytes());
        if let Some(index) = self.watched.remove(&pid) {
            self.stock.give_back(index);
        }
    }

    /// Whether the probe looks at a process. It forgets one by itself when the last thread ends.
    pub fn watches(&self, pid: u32) -> bool {
        self.processes.lookup(&pid.to_ne_bytes(), MapFlags::ANY).is_ok_and(|found| found.is_some())
    }

    /// The kernel's id of the loaded program, under which `bpftool prog` and its run-time statistics show it.
    pub fn program_id(&self) -> Result<u32, ProbeError> {
        self.probe.info().map(|info| info.prog_id).map_err(ProbeError::Statistics)
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
            let counts = statistics_from(&bytes);
            sum.switches += counts.switches;
            sum.attributed += counts.attributed;
            sum.via_curg += counts.via_curg;
            sum.failed_reads += counts.failed_reads;
            sum.lost += counts.lost;
        }
        Ok(sum)
    }
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
        self.ready.recv().unwrap_or_else(|_| Err(std::io::Error::other("its thread does not run").into()))
    }

    fn give_back(&self, index: u32) {
        let _ = self.orders.send(Order::Remove(index));
    }
}

fn add_account_map(accounts_of: &MapHandle, index: Option<u32>) -> Result<(u32, MapHandle), libbpf_rs::Error> {
    let index = index.ok_or_else(|| libbpf_rs::Error::from(std::io::Error::other("too many processes are watched")))?;
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

#[expect(unsafe_code, reason = "the kernel takes structures as bytes")]
pub(crate) fn bytes_of<T: Packed>(process: &T) -> &[u8] {
    // SAFETY: a `repr(C)` structure of integers without padding (Packed): every byte is initialised, and the slice lives
    // as long as the reference.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(process).cast(), size_of::<T>()) }
}

/// `repr(C)` structures of integers without padding.
pub(crate) trait Packed {}
impl Packed for tandem_watched {}
impl Packed for crate::profile_skeleton::types::tandem_profiled {}

#[expect(unsafe_code, reason = "the kernel gives structures as bytes")]
fn statistics_from(bytes: &[u8]) -> tandem_statistics {
    assert!(bytes.len() >= size_of::<tandem_statistics>(), "the map's values are smaller than their type");
    // SAFETY: long enough, checked above; a `repr(C)` structure of integers, so any bytes are a value of it.
    unsafe { bytes.as_ptr().cast::<tandem_statistics>().read_unaligned() }
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
