//! The scheduler probe against goroutines that this test makes up.
//!
//! Guarantees: a thread's time off the CPU goes to the right part of the right account, agrees with the thread's own
//! clocks, and to nobody when no goroutine with an account runs. A made-up g hangs in a thread-local variable as Go's
//! does, so these tests need no Go and decide by themselves what the probe finds. Needs the privileges of the kernel half.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "system calls that block, and a mapping of the accounts")]

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use probe::{AccountMap, Kernel};
use record::HeaderFacts;
use record::layout::{ACCOUNT, FIRST_PART_COUNT, HEADER_HAS_ACCOUNTS, PARTS};

use support::skip;

/// Loads the probe for one test at a time: they all watch this process, and would see each other's threads.
fn load_or_skip(test: &str) -> Option<(Kernel, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Some((support::load_with_or_skip(test, Kernel::load)?, turn))
}

/// A g as the probe sees it.
#[repr(C)]
struct Goroutine {
    m: AtomicU64,
    /// Index in the low half, on in the high half.
    account: AtomicU64,
}

/// An m as the probe sees it.
#[repr(C)]
struct Machine {
    curg: AtomicU64,
}

thread_local! {
    /// Address of the thread's current g. Lies at the same distance from the thread pointer in every thread.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

fn facts() -> HeaderFacts {
    let mut thread_pointer = 0u64;
    const ARCH_GET_FS: libc::c_int = 0x1003;
    // SAFETY: ARCH_GET_FS writes the thread pointer to the address given, which is a live u64.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_FS, &raw mut thread_pointer) };
    assert_eq!(result, 0);
    let current = CURRENT.with(|current| ptr::from_ref(current) as u64);
    HeaderFacts {
        flags: HEADER_HAS_ACCOUNTS,
        accounts_size: 16384,
        tls_g_offset: current.wrapping_sub(thread_pointer) as i64,
        g_m_offset: std::mem::offset_of!(Goroutine, m) as u32,
        m_curg_offset: std::mem::offset_of!(Machine, curg) as u32,
        slot_offset: 0,
        account_offset: std::mem::offset_of!(Goroutine, account) as u32,
        g0_address: 0,
        part_count: PARTS.len() as u32,
        ..HeaderFacts::default()
    }
}

fn goroutine(index: u32, on: bool) -> Box<Goroutine> {
    Box::new(Goroutine { m: AtomicU64::new(0), account: AtomicU64::new(u64::from(index) | u64::from(on) << 32) })
}

/// Runs `work` as the given g.
fn run_as(g: &Goroutine, work: impl FnOnce()) {
    CURRENT.set(ptr::from_ref(g) as u64);
    work();
    CURRENT.set(0);
}

/// The accounts as a program maps them.
struct Accounts {
    base: *const u8,
    slots: u32,
}

impl Accounts {
    fn map(accounts: &AccountMap) -> Self {
        let size = accounts.slots as usize * ACCOUNT.size;
        // SAFETY: a new mapping of a whole descriptor; nothing else is there.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, accounts.fd.as_raw_fd(), 0) };
        assert_ne!(base, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self { base: base.cast(), slots: accounts.slots }
    }

    fn read(&self, index: u32, field: &str) -> u64 {
        assert!(index < self.slots);
        let offset = index as usize * ACCOUNT.size + ACCOUNT.at(field);
        // SAFETY: inside the mapping, checked above; aligned by the layout; the kernel writes whole words.
        unsafe { ptr::read_volatile(self.base.add(offset).cast()) }
    }

    /// All time counters of a slot, by name.
    fn parts(&self, index: u32) -> Vec<(&'static str, u64)> {
        let counters = ACCOUNT.fields.iter().filter(|field| PARTS.contains(&field.name));
        counters.map(|field| (field.name, self.read(index, field.name))).collect()
    }
}

/// A scenario: what the thread does, and which part its wait belongs to.
struct Wait {
    part: &'static str,
    /// Waits; returns how long the blocking call took by its own stamps.
    work: Box<dyn Fn() -> Duration>,
}

const WAIT: Duration = Duration::from_millis(20);

fn stamped<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let _ = work();
    started.elapsed()
}

/// Does `now` at once, and lets another thread do `later` after [`WAIT`]. Returns how long `now` took.
fn wakes_after(later: impl FnOnce() + Send + 'static, now: impl FnOnce()) -> Duration {
    let waker = thread::spawn(move || {
        thread::sleep(WAIT);
        later();
    });
    let took = stamped(now);
    waker.join().expect("the waker does not panic");
    took
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

fn waits() -> Vec<Wait> {
    let file = |name: &str| File::create(std::env::temp_dir().join(name)).expect("the temporary folder can be written");
    let lock_name = format!("tandem-probe-lock-{}", std::process::id());
    let (holder, taker) = (file(&lock_name), file(&lock_name));
    std::fs::remove_file(std::env::temp_dir().join(&lock_name)).expect("it was just made");
    vec![
        Wait {
            part: "blocked_sleep",
            work: Box::new(|| {
                let time = timespec(WAIT);
                // SAFETY: the kernel reads `time` only.
                stamped(|| unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, 0) })
            }),
        },
        Wait {
            part: "blocked_file",
            work: Box::new(|| {
                let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
                wakes_after(
                    move || writer.write_all(b"x").expect("the reader is there"),
                    || {
                        reader.read_exact(&mut [0]).expect("the writer is there");
                    },
                )
            }),
        },
        Wait {
            part: "blocked_network",
            work: Box::new(|| {
                // SAFETY: no descriptors are passed; the call only waits.
                stamped(|| unsafe { libc::poll(ptr::null_mut(), 0, WAIT.as_millis() as i32) })
            }),
        },
        Wait {
            part: "blocked_futex",
            work: Box::new(|| {
                let word = AtomicU32::new(0);
                let time = timespec(WAIT);
                // SAFETY: the kernel compares `word` and waits for `time`; both outlive the call.
                stamped(|| unsafe {
                    libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 0, &raw const time)
                })
            }),
        },
        Wait {
            part: "blocked_lock",
            work: Box::new(move || {
                holder.lock().expect("nobody holds it");
                let held = holder.try_clone().expect("a descriptor");
                let took =
                    wakes_after(move || held.unlock().expect("we hold it"), || taker.lock().expect("it is unlocked"));
                taker.unlock().expect("we hold it");
                took
            }),
        },
        Wait {
            part: "blocked_other",
            work: Box::new(|| {
                // SAFETY: a set of signals is plain data; empty, it is waited for, and it outlives the call.
                stamped(|| unsafe {
                    let mut none = std::mem::zeroed();
                    libc::sigemptyset(&raw mut none);
                    libc::sigtimedwait(&raw const none, ptr::null_mut(), &timespec(WAIT))
                })
            }),
        },
    ]
}

fn thread_cpu() -> Duration {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the kernel fills `time` in.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// 5 % or 0.3 ms, whichever is larger.
fn close(measured: u64, expected: u64) -> bool {
    measured.abs_diff(expected) <= (expected / 20).max(300_000)
}

fn watch_self(kernel: &mut Kernel) -> Accounts {
    Accounts::map(&kernel.watch(std::process::id(), &facts()).expect("this process can be watched"))
}

/// A hypervisor may take the CPU away between our clocks and the kernel's, so a scenario has several attempts.
const ATTEMPTS: u32 = 3;

fn check(accounts: &Accounts, index: u32, Wait { part, work }: &Wait) -> Result<(), String> {
    let g = goroutine(index, true);
    let (mut wall, mut cpu, mut took) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    run_as(&g, || {
        let cpu_before = thread_cpu();
        wall = stamped(|| took = work());
        cpu = thread_cpu() - cpu_before;
    });
    let [wall, cpu, took] = [wall, cpu, took].map(|time| time.as_nanos() as u64);
    let parts = accounts.parts(index);
    let (blocked, run_queue) = (accounts.read(index, part), accounts.read(index, "run_queue"));
    let sum = cpu + parts.iter().map(|(_, time)| time).sum::<u64>();
    println!("{part}: wall {wall}, call {took}, CPU {cpu}, {parts:?}");
    if blocked < WAIT.as_nanos() as u64 * 19 / 20 || !close(blocked + run_queue, took) {
        return Err(format!("{part}: the call took {took}, the account says {blocked} and {run_queue} queued"));
    }
    if !close(sum, wall) {
        return Err(format!("{part}: parts and CPU time are {sum} of {wall}"));
    }
    Ok(())
}

/// Each class of system call has its part, and parts plus the thread's CPU clock make up the wall time.
#[test]
fn waits_go_to_their_parts() {
    let Some((mut kernel, _turn)) = load_or_skip("probe waits_go_to_their_parts") else { return };
    let accounts = watch_self(&mut kernel);
    let mut wrong = 0;
    for (scenario, wait) in (0u32..).zip(waits()) {
        let mut attempts = (1..=ATTEMPTS).map(|attempt| check(&accounts, scenario * ATTEMPTS + attempt, &wait));
        let first_good = attempts.find_map(|attempt| match attempt {
            Ok(()) => Some(()),
            Err(why) => {
                println!("{why}");
                wrong += 1;
                None
            }
        });
        assert!(first_good.is_some(), "{} was wrong {ATTEMPTS} times", wait.part);
    }
    let statistics = kernel.statistics().expect("statistics can be read");
    assert!(statistics.attributed > 0 && statistics.attributed <= statistics.switches, "{statistics:?}");
    // A switch that the kernel hid is counted, and makes its attempt a wrong one.
    assert!(statistics.lost <= wrong, "{wrong} attempts were wrong: {statistics:?}");
}

/// Reads a file from its device for some time; `None`: nothing here can be read past the page cache.
fn read_from_device() -> Option<()> {
    use std::os::unix::fs::OpenOptionsExt;
    const SIZE: usize = 4 << 20;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("device-{}", std::process::id()));
    std::fs::write(&path, vec![1u8; SIZE]).expect("the target folder can be written");
    let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path);
    std::fs::remove_file(&path).expect("it was just made");
    let file = direct.ok()?;
    let (writes, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping; direct reads want their buffer aligned to the device's blocks.
    let buffer = unsafe { libc::mmap(ptr::null_mut(), SIZE, writes, flags, -1, 0) };
    assert_ne!(buffer, libc::MAP_FAILED);
    let started = Instant::now();
    let mut read_all = true;
    while read_all && started.elapsed() < WAIT {
        // SAFETY: the kernel writes at most `SIZE` bytes to the mapping, which is as large.
        read_all = unsafe { libc::pread(file.as_raw_fd(), buffer, SIZE, 0) } == SIZE as isize;
    }
    // SAFETY: our own mapping, not used any more.
    unsafe { libc::munmap(buffer, SIZE) };
    read_all.then_some(())
}

/// Waiting for a block device is a part of its own; programs that do not know it have it under the class of the call.
#[test]
fn waits_for_a_device_are_block_io() {
    let test = "probe waits_for_a_device_are_block_io";
    let Some((mut kernel, _turn)) = load_or_skip(test) else { return };
    if read_from_device().is_none() {
        return skip(test, "no file here can be read past the page cache");
    }
    for (index, part_count, part, other) in
        [(5, PARTS.len(), "block_io", "blocked_file"), (6, FIRST_PART_COUNT, "blocked_file", "block_io")]
    {
        let facts = HeaderFacts { part_count: part_count as u32, ..facts() };
        let accounts = Accounts::map(&kernel.watch(std::process::id(), &facts).expect("this process can be watched"));
        run_as(&goroutine(index, true), || read_from_device().expect("it could just be read"));
        let parts = accounts.parts(index);
        println!("{part_count} parts: {parts:?}");
        assert!(accounts.read(index, part) > 1_000_000, "{parts:?}");
        // Making the file may wait for the file system's journal.
        assert!(accounts.read(index, part) > accounts.read(index, other), "{parts:?}");
    }
}

/// Waiting for a CPU that another thread hogs is run-queue time, also right after being blocked.
#[test]
fn a_busy_cpu_is_run_queue_time() {
    let Some((mut kernel, _turn)) = load_or_skip("probe a_busy_cpu_is_run_queue_time") else { return };
    let accounts = watch_self(&mut kernel);
    static STOP: AtomicBool = AtomicBool::new(false);
    let hog = thread::spawn(|| {
        pin_to_first_cpu();
        while !STOP.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    pin_to_first_cpu();
    let g = goroutine(7, true);
    let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
    run_as(&g, || {
        let (started, cpu_before) = (Instant::now(), thread_cpu());
        while thread_cpu() - cpu_before < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        thread::sleep(Duration::from_millis(5));
        (wall, cpu) = (started.elapsed(), thread_cpu() - cpu_before);
    });
    STOP.store(true, Ordering::Relaxed);
    hog.join().expect("the hog does not panic");
    let parts = accounts.parts(7);
    println!("wall {wall:?}, cpu {cpu:?}, {parts:?}");
    let (run_queue, asleep) = (accounts.read(7, "run_queue"), accounts.read(7, "blocked_sleep"));
    assert!(run_queue > 5_000_000, "two threads on one CPU wait for each other: {parts:?}");
    assert!(close(asleep, 5_000_000), "{parts:?}");
    assert!(close(run_queue + asleep + cpu.as_nanos() as u64, wall.as_nanos() as u64), "{parts:?}");
    assert!(accounts.read(7, "switches_involuntary") > 0);
}

fn pin_to_first_cpu() {
    // SAFETY: sets are plain data; the calls read and write the calling thread's affinity only.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed);
        let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| libc::CPU_ISSET(cpu, &allowed)).expect("a CPU");
        let mut only: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(first, &mut only);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&only), &raw const only), 0);
    }
}

fn nap() {
    thread::sleep(Duration::from_millis(5));
}

/// On a thread's g0 the time goes to m.curg, and to nobody when the scheduler runs or the account is off.
#[test]
fn time_goes_to_the_goroutine_behind_g0_or_to_nobody() {
    let Some((mut kernel, _turn)) = load_or_skip("probe time_goes_to_the_goroutine_behind_g0_or_to_nobody") else {
        return;
    };
    let g0 = goroutine(0, false);
    let facts = HeaderFacts { g0_address: ptr::from_ref(&*g0) as u64, ..facts() };
    let accounts = Accounts::map(&kernel.watch(std::process::id(), &facts).expect("this process can be watched"));
    let asleep = |index| accounts.read(index, "blocked_sleep");
    let g = goroutine(1, true);
    let m = Machine { curg: AtomicU64::new(ptr::from_ref(&*g) as u64) };
    g0.m.store(ptr::from_ref(&m) as u64, Ordering::Relaxed);
    // What lies behind runtime.g0 is not ours: an account word there must not be believed.
    g0.account.store(2 | 1 << 32, Ordering::Relaxed);

    run_as(&g0, nap);
    assert!(asleep(1) >= 4_000_000 && asleep(2) == 0, "{} {}", asleep(1), asleep(2));
    assert!(kernel.statistics().expect("statistics can be read").via_curg > 0);

    let so_far = asleep(1);
    m.curg.store(0, Ordering::Relaxed); // the scheduler
    run_as(&g0, nap);
    g.account.store(1, Ordering::Relaxed); // no span
    m.curg.store(ptr::from_ref(&*g) as u64, Ordering::Relaxed);
    run_as(&g0, nap);
    run_as(&g, nap);
    nap(); // a thread that Go does not know
    assert_eq!(asleep(1), so_far);
    assert_eq!(asleep(2), 0);
}

/// A program's false claims cost nobody anything: what cannot be read or does not exist is counted.
#[test]
fn nonsense_is_counted() {
    let Some((mut kernel, _turn)) = load_or_skip("probe nonsense_is_counted") else { return };
    let accounts = watch_self(&mut kernel);
    let before = kernel.statistics().expect("statistics can be read");
    for address in [0x1000, u64::MAX - 7, 0xffff_8880_0000_0000, 0x7fff_ffff_f000] {
        CURRENT.set(address);
        nap();
        CURRENT.set(0);
    }
    run_as(&goroutine(accounts.slots, true), nap);
    run_as(&goroutine(u32::MAX, true), nap);
    run_as(&goroutine(0, true), nap); // index 0 is no account
    let after = kernel.statistics().expect("statistics can be read");
    assert!(after.failed_reads >= before.failed_reads + 4, "{before:?} {after:?}");
    assert!(after.lost >= before.lost + 2, "{before:?} {after:?}");
    assert_eq!(accounts.parts(0).iter().map(|(_, time)| time).sum::<u64>(), 0);
}

/// Whoever holds an account map's descriptor can read it and do nothing else.
#[test]
fn accounts_are_read_only() {
    let Some((mut kernel, _turn)) = load_or_skip("probe accounts_are_read_only") else { return };
    let accounts = kernel.watch(std::process::id(), &facts()).expect("this process can be watched");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which is refused.
    let base = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_SHARED, accounts.fd.as_raw_fd(), 0) };
    assert_eq!(base, libc::MAP_FAILED, "accounts can be mapped for writing");
    // SAFETY: a new mapping of one page.
    let base =
        unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, accounts.fd.as_raw_fd(), 0) };
    assert_ne!(base, libc::MAP_FAILED);
    // SAFETY: our own mapping; the kernel refuses to make it writable.
    assert_ne!(unsafe { libc::mprotect(base, 4096, protection) }, 0, "accounts can be made writable");
    let written = [0xffu8; ACCOUNT.size];
    let (map, key) = (accounts.fd.as_raw_fd(), 0u32);
    // SAFETY: key and value are as large as the map's, and outlive the call, which is refused.
    let updated = unsafe {
        libbpf_sys::bpf_map_update_elem(
            map,
            (&raw const key).cast(),
            written.as_ptr().cast(),
            libbpf_sys::BPF_ANY.into(),
        )
    };
    assert_eq!(updated, -libc::EPERM, "accounts can be written by system call");
}

/// The kernel's number of a map.
fn number_of(accounts: &AccountMap) -> u32 {
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", accounts.fd.as_raw_fd())).expect("our own");
    let number = facts.lines().find_map(|line| line.strip_prefix("map_id:")).expect("a map");
    number.trim().parse().expect("a number")
}

/// Every program has a map of its own, and nobody gets at another's: it is in no file system, and by its number only who
/// administers the machine can have it.
#[test]
fn accounts_are_the_programs_own() {
    let Some((mut kernel, _turn)) = load_or_skip("probe accounts_are_the_programs_own") else { return };
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("a process");
    let own = kernel.watch(std::process::id(), &facts()).expect("this process can be watched");
    let other = kernel.watch(sleeper.id(), &facts()).expect("a child can be watched");
    let (own_number, other_number) = (number_of(&own), number_of(&other));
    let g = goroutine(1, true);
    run_as(&g, nap);
    let (own, other) = (Accounts::map(&own), Accounts::map(&other));
    sleeper.kill().and_then(|()| sleeper.wait()).expect("a child");
    assert_ne!(own_number, other_number);
    assert!(own.read(1, "blocked_sleep") > 0);
    for index in 0..other.slots {
        assert_eq!(other.parts(index).iter().map(|(_, time)| time).sum::<u64>(), 0, "account {index} is not its own");
    }
    // An agent's own thread has no more than this, after it has given away the rest.
    thread::spawn(move || {
        let bpf = rustix::thread::CapabilitySet::BPF;
        let none = rustix::thread::CapabilitySet::empty();
        let sets = rustix::thread::CapabilitySets { effective: bpf, permitted: bpf, inheritable: none };
        rustix::thread::set_capabilities(None, sets).expect("giving away is always allowed");
        // SAFETY: no memory is named.
        let found = unsafe { libbpf_sys::bpf_map_get_fd_by_id(other_number) };
        assert_eq!(found, -libc::EPERM);
    })
    .join()
    .expect("it is refused");
}

/// After `unwatch` an account stands still; watching again begins with a new map.
#[test]
fn unwatch_ends_it() {
    let Some((mut kernel, _turn)) = load_or_skip("probe unwatch_ends_it") else { return };
    let accounts = watch_self(&mut kernel);
    let g = goroutine(3, true);
    run_as(&g, nap);
    let so_far = accounts.read(3, "blocked_sleep");
    assert!(so_far > 0);
    kernel.unwatch(std::process::id());
    run_as(&g, nap);
    assert_eq!(accounts.read(3, "blocked_sleep"), so_far);
    assert!(!kernel.watches(std::process::id()));
    let again = watch_self(&mut kernel);
    run_as(&g, nap);
    assert!(again.read(3, "blocked_sleep") > 0);
    assert_eq!(accounts.read(3, "blocked_sleep"), so_far);
}

/// The probe itself forgets a process that dies, however late the agent notices: its id may be given out again.
#[test]
fn a_dead_process_is_forgotten() {
    let Some((mut kernel, _turn)) = load_or_skip("probe a_dead_process_is_forgotten") else { return };
    let mut child = Command::new("sleep").arg("60").spawn().expect("sleep starts");
    kernel.watch(child.id(), &facts()).expect("a living process can be watched");
    assert!(kernel.watches(child.id()));
    child.kill().expect("the child is ours");
    let started = Instant::now();
    while kernel.watches(child.id()) {
        assert!(started.elapsed() < Duration::from_secs(5), "the dead process is still watched");
        thread::sleep(Duration::from_millis(5));
    }
    child.wait().expect("the child is ours");
}

/// Threads that end do not end their process.
#[test]
fn a_thread_that_ends_is_not_the_process() {
    let Some((mut kernel, _turn)) = load_or_skip("probe a_thread_that_ends_is_not_the_process") else { return };
    watch_self(&mut kernel);
    for _ in 0..20 {
        thread::spawn(nap).join().expect("it does not panic");
    }
    assert!(kernel.watches(std::process::id()));
}

/// Name of the variable that makes this test binary the process that is killed in the next test.
const LOADER: &str = "TANDEM_TEST_LOADER";

/// A loader that is killed leaves no program behind: nothing is pinned.
#[test]
fn nothing_outlives_a_killed_loader() {
    const NAME: &str = "nothing_outlives_a_killed_loader";
    if std::env::var_os(LOADER).is_some() {
        let kernel = Kernel::load().expect("the parent could load it");
        println!("\nprogram {}", kernel.program_id().expect("it has an id"));
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let Some((kernel, _turn)) = load_or_skip("probe nothing_outlives_a_killed_loader") else { return };
    let exists = |id: u32| libbpf_rs::query::ProgInfoIter::default().any(|program| program.id == id);
    assert!(exists(kernel.program_id().expect("it has an id")), "programs cannot be listed");
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", NAME, "--nocapture"])
        .env(LOADER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let id = BufReader::new(child.stdout.take().expect("a pipe"))
        .lines()
        .find_map(|line| line.expect("text").strip_prefix("program ").and_then(|id| id.parse().ok()))
        .expect("the child loads the probe");
    assert!(exists(id));
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    let started = Instant::now();
    while exists(id) {
        assert!(started.elapsed() < Duration::from_secs(5), "the program outlives its loader");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Without privileges the loader says so and what to do, instead of passing the kernel's number on.
#[test]
fn no_privileges_is_a_clear_error() {
    if Kernel::load().is_ok() {
        return skip("probe no_privileges_is_a_clear_error", "this test is for people without privileges");
    }
    let error = Kernel::load().expect_err("checked above");
    assert!(!error.to_string().is_empty() && !error.remedy().is_empty());
}

/// Scenario: processes come and go, many times as many as the stock is large. Guarantees: no account map is left, and no descriptor; the next process
/// is watched as the first one was.
#[test]
fn processes_that_come_and_go_leave_nothing() {
    let Some((mut kernel, _turn)) = load_or_skip("probe processes_that_come_and_go_leave_nothing") else { return };
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("our own").count();
    let mut sleeper = Command::new("sleep").arg("600").spawn().expect("a process");
    drop(kernel.watch(sleeper.id(), &facts()).expect("a process can be watched"));
    kernel.unwatch(sleeper.id());
    let (before, maps) = (descriptors(), kernel.account_maps());
    for _ in 0..400 {
        drop(kernel.watch(sleeper.id(), &facts()).expect("a process can be watched"));
        kernel.unwatch(sleeper.id());
    }
    let left = (0..500).find(|_| {
        thread::sleep(WAIT);
        kernel.account_maps() <= maps + 8 && descriptors() <= before + 8 // a thread keeps some maps ready
    });
    assert!(
        left.is_some(),
        "{} account maps, {} descriptors; before {maps}, {before}",
        kernel.account_maps(),
        descriptors()
    );
    sleeper.kill().and_then(|()| sleeper.wait()).expect("a child");
    let accounts = watch_self(&mut kernel);
    run_as(&goroutine(1, true), nap);
    assert!(accounts.read(1, "blocked_sleep") > 0);
}
