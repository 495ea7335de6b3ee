//! The profiler against goroutines that this test makes up.
//!
//! Guarantees: samples stand for the time that a thread ran or was blocked, carry the span that its goroutine is in while that
//! runs, and no other; nobody else's threads are sampled; what finds no room is counted. A made-up g hangs in a thread-local
//! variable as Go's does, so these tests need no Go and decide by themselves what the profiler finds. Needs the privileges of
//! the kernel half.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "the thread pointer, and system calls that block")]

mod support;

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use probe::{Profiler, ProfilerStatistics, Rate, Sample, SampleKind, SampleReader};
use record::HeaderFacts;
use record::layout::HEADER_HAS_ACCOUNTS;

use support::load_with_or_skip;

const TRACE: [u8; 16] = [7; 16];
const SPAN: [u8; 8] = [8; 8];
/// No multiple of the scheduler's own clock, nor close to one: what else happens at its ticks would always be there, too.
const RATE: u32 = 397;
const LIMIT: Duration = Duration::from_secs(60);

/// A g as the profiler sees it.
#[repr(C)]
struct Goroutine {
    m: u64,
    slot: u64,
}

/// An m as the profiler sees it.
#[repr(C)]
struct Machine {
    curg: u64,
}

/// What a slot points to: the beginning of a context record.
#[repr(C)]
struct Context {
    captured: u32,
    state: u32,
    trace: [u8; 16],
    span: [u8; 8],
    valid: AtomicU64,
}

/// A goroutine in a span.
struct Made {
    goroutine: Box<Goroutine>,
    machine: Box<Machine>,
    context: Box<Context>,
}

impl Made {
    fn new() -> Self {
        let valid = AtomicU64::new(1);
        let context = Box::new(Context { captured: 0, state: 0, trace: TRACE, span: SPAN, valid });
        let mut machine = Box::new(Machine { curg: 0 });
        let m = ptr::from_ref(&*machine) as u64;
        let goroutine = Box::new(Goroutine { m, slot: ptr::from_ref(&*context) as u64 });
        machine.curg = ptr::from_ref(&*goroutine) as u64;
        Self { goroutine, machine, context }
    }

    fn run(&self, work: impl FnOnce()) {
        assert_ne!(self.machine.curg, 0);
        CURRENT.set(ptr::from_ref(&*self.goroutine) as u64);
        work();
        CURRENT.set(0);
    }
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
        tls_g_offset: current.wrapping_sub(thread_pointer) as i64,
        g_m_offset: std::mem::offset_of!(Goroutine, m) as u32,
        m_curg_offset: std::mem::offset_of!(Machine, curg) as u32,
        slot_offset: std::mem::offset_of!(Goroutine, slot) as u32,
        ..HeaderFacts::default()
    }
}

/// Loads the profiler for one test at a time, watching this process, or counts the test as skipped.
fn watching_or_skip(test: &str, rate: u32, buffer: u32) -> Option<(SampleReader, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let rate = Rate::new(rate).expect("a rate");
    let profiler = load_with_or_skip(test, || Profiler::load_sized(rate, buffer))?;
    let reader = profiler.into_reader().expect("its buffer");
    reader.profiler().watch(std::process::id(), &facts()).expect("this process");
    Some((reader, turn))
}

/// Runs on the CPU for so long, by the thread's own clock.
fn burn(duration: Duration) {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock is written to a live structure.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    while now() - start < duration {
        for number in 0..10_000 {
            std::hint::black_box(number);
        }
    }
}

fn own_thread() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}

fn of_this_thread(samples: Vec<Sample>, kind: SampleKind) -> Vec<Sample> {
    let own = own_thread();
    let samples: Vec<Sample> =
        samples.into_iter().filter(|sample| sample.thread == own && sample.kind == kind).collect();
    assert!(samples.iter().all(|sample| sample.process == std::process::id() && !sample.stack.is_empty()));
    samples
}

fn time(samples: &[Sample]) -> Duration {
    Duration::from_nanos(samples.iter().map(|sample| sample.weight).sum())
}

#[test]
fn samples_carry_the_span_while_it_runs() {
    let Some((reader, _turn)) = watching_or_skip("profiler samples_carry_the_span_while_it_runs", RATE, 1 << 20) else {
        return;
    };
    let made = Made::new();
    let share = Duration::from_millis(400);
    made.run(|| burn(share));
    let in_span = of_this_thread(reader.take(), SampleKind::Cpu);
    assert!(time(&in_span).abs_diff(share) < share / 4, "{:?}", time(&in_span));
    // A sample before or after the span is possible, and was in no goroutine then.
    let tagged = in_span.iter().filter(|sample| sample.span == Some((TRACE, SPAN))).count();
    let untagged = in_span.iter().filter(|sample| sample.span.is_none()).count();
    assert_eq!(tagged + untagged, in_span.len());
    assert!(untagged <= 2 && tagged > 50, "{untagged} of {}", in_span.len());

    made.context.valid.store(0, Ordering::Relaxed); // the span has ended; the goroutine goes on
    made.run(|| burn(share));
    burn(share); // and this is no goroutine at all
    let outside = of_this_thread(reader.take(), SampleKind::Cpu);
    assert!(outside.len() > 100 && outside.iter().all(|sample| sample.span.is_none()), "{}", outside.len());

    reader.profiler().unwatch(std::process::id());
    reader.take();
    burn(share);
    assert_eq!(reader.take(), [], "nobody is watched");
    let ProfilerStatistics { lost, failed, .. } = reader.profiler().statistics().expect("statistics");
    assert_eq!((lost, failed), (0, 0));
}

/// Many short waits stand for as much time as they took, and waits of no goroutine for nothing.
#[test]
fn blocked_threads_are_sampled_by_the_time_they_wait() {
    let test = "profiler blocked_threads_are_sampled_by_the_time_they_wait";
    let Some((reader, _turn)) = watching_or_skip(test, RATE, 1 << 20) else { return };
    let sleep = |duration: Duration| {
        let wait = libc::timespec { tv_sec: 0, tv_nsec: duration.as_nanos() as i64 };
        // SAFETY: the kernel reads a live structure.
        unsafe { libc::nanosleep(&raw const wait, ptr::null_mut()) };
    };
    let made = Made::new();
    let (mut waited, mut asked) = (Duration::ZERO, Duration::ZERO);
    made.run(|| {
        // Long ones first: among many short ones only some of them would be chosen, for all.
        for round in 0..1500 {
            let start = Instant::now();
            let wait = if round < 15 { Duration::from_millis(20) } else { Duration::from_micros(300) };
            sleep(wait);
            asked += wait;
            waited += start.elapsed();
        }
    });
    sleep(Duration::from_millis(50)); // of no goroutine
    let blocked = of_this_thread(reader.take(), SampleKind::Blocked);
    let sampled = time(&blocked);
    assert!(blocked.iter().all(|sample| sample.span == Some((TRACE, SPAN))), "{blocked:?}");
    assert!(blocked.iter().all(|sample| sample.system_call == Some(libc::SYS_nanosleep as i32)
        || sample.system_call == Some(libc::SYS_clock_nanosleep as i32)));
    // What it waited for the CPU afterwards is in its own clock only.
    let range = asked - asked / 3..waited + waited / 3;
    assert!(range.contains(&sampled), "{sampled:?} is not in {range:?}");
    let ProfilerStatistics { blocked: times, chosen, .. } = reader.profiler().statistics().expect("statistics");
    // Virtual machines hide a few switches from the tracepoint: one in a thousand was seen.
    assert!(
        times >= 1500 * 99 / 100 && chosen <= times && (blocked.len() as u64) < chosen,
        "{times} {chosen} {}",
        blocked.len()
    );
}

#[test]
fn what_finds_no_room_is_counted() {
    let Some((reader, _turn)) = watching_or_skip("profiler what_finds_no_room_is_counted", 1000, 4096) else { return };
    let started = Instant::now();
    let statistics = || reader.profiler().statistics().expect("statistics");
    while statistics().lost < 10 && started.elapsed() < LIMIT {
        burn(Duration::from_millis(20));
    }
    let ProfilerStatistics { samples, lost, .. } = statistics();
    assert!(lost >= 10 && samples > 0, "{samples} handed over, {lost} lost");
    assert!(reader.take().len() as u64 >= samples, "what was there is whole");
    burn(Duration::from_millis(50));
    assert!(!reader.take().is_empty(), "and there is room again");
}

/// Scenario: the rate is a fourth, none, and as before. Samples stand for the time that passed while it looked, and for no other.
#[test]
fn rates_change_while_it_looks() {
    let Some((reader, _turn)) = watching_or_skip("profiler rates_change_while_it_looks", 4 * RATE / 2, 1 << 20) else {
        return;
    };
    let work = Duration::from_millis(400);
    let made = Made::new();
    let rate = |per_second| Rate::new(per_second).expect("a rate");
    let mut seen = Vec::new();
    for chosen in [Some(2 * RATE), Some(RATE / 2), None, Some(2 * RATE)] {
        reader.profiler().set_rate(chosen.map(rate)).expect("it can be changed");
        reader.take();
        made.run(|| burn(work));
        let samples = of_this_thread(reader.take(), SampleKind::Cpu);
        let time: u64 = samples.iter().map(|sample| sample.weight).sum();
        seen.push((samples.len(), Duration::from_nanos(time)));
    }
    let [(many, _), (few, _), (none, _), (again, _)] = seen[..] else { panic!("four looks") };
    assert!(none == 0 && few > 0 && many > 2 * few && again > 2 * few, "{seen:?}");
    let time_fits = |time: Duration| time > work * 6 / 10 && time < work * 15 / 10;
    assert!(seen.iter().all(|(count, time)| *count == 0 || time_fits(*time)), "{seen:?}");
}
