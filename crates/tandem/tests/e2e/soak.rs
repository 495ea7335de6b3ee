//! An agent under which programs start and end by the thousand, each with goroutines by the hundred.
//!
//! Guarantees: afterwards it has the descriptors, threads, mappings and memory that it had after the first few; nothing is
//! mounted, pinned or left in a folder; every span of every program has arrived.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::agent::machine;
use crate::rig::{self, LIMIT, Rig, Running, eventually};
use crate::steps::program;

/// Programs that run at a time.
const AT_ONCE: u32 = 4;
/// What the second half of the programs may have added: the store's pages, which it keeps up to 16 MiB of, and noise.
const MEMORY: u64 = 32 << 20;

/// What an agent holds.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    /// Bytes that are its own.
    memory: u64,
    mappings: usize,
    mounts: usize,
    pinned: usize,
}

impl Held {
    fn by(agent: &Running) -> Self {
        let folder = Path::new("/proc").join(agent.pid().to_string());
        let text = |name: &str| fs::read_to_string(folder.join(name)).expect("it runs");
        let entries = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        let status = text("status");
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok());
        Self {
            descriptors: entries(&folder.join("fd")),
            threads: entries(&folder.join("task")),
            memory: kilobytes.unwrap_or(0u64) << 10,
            mappings: text("maps").lines().filter(|line| line.contains("memfd:tandem")).count(),
            mounts: text("mounts").lines().count(),
            pinned: entries(Path::new("/sys/fs/bpf")),
        }
    }
}

/// Starts so many programs, each with so many goroutines that take a span, and waits for them.
fn programs(socket: &Path, count: u32, goroutines: u32) {
    let brief = program("brief");
    let start = |_| {
        let mut command = rig::program(&brief);
        command.arg(goroutines.to_string()).env("TANDEM_SOCKET", socket).env("OTEL_SERVICE_NAME", "brief");
        command.spawn().expect("a program")
    };
    for first in (0..count).step_by(AT_ONCE as usize) {
        let running: Vec<_> = (first..count.min(first + AT_ONCE)).map(start).collect();
        for mut child in running {
            assert!(child.wait().expect("a child").success());
        }
    }
}

fn soak(count: u32, goroutines: u32) {
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let mut agent = rig.tandem("agent");
    agent.args(["--no-ui", "--socket"]).arg(&socket);
    let mut agent = Running::start(&mut agent);
    agent.stderr_line(|line| line.contains("listening").then_some(()));
    let all_gone =
        || eventually(LIMIT, || (Held::by(&agent).mappings == 0).then_some(())).expect("programs have ended");

    let settled = |before: &Held| {
        eventually(LIMIT, || {
            let after = Held::by(&agent);
            (after.descriptors <= before.descriptors + 8 && after.threads <= before.threads).then_some(after)
        })
        .unwrap_or_else(|| panic!("before {before:?}, after {:?}", Held::by(&agent)))
    };

    // What is only there once, or grows to a bound, is there after the first half.
    const FIRST: u32 = 8;
    programs(&socket, FIRST, goroutines);
    all_gone();
    let before = Held::by(&agent);
    programs(&socket, count / 2, goroutines);
    all_gone();
    let half = settled(&before);
    programs(&socket, count - count / 2, goroutines);
    all_gone();
    let after = settled(&before);
    println!("before {before:?}, after {} programs {half:?}, after {count} {after:?}", count / 2);
    assert!(after.memory < half.memory + MEMORY, "{half:?} {after:?}");
    assert_eq!((after.mounts, after.pinned), (before.mounts, before.pinned));
    agent.signal(Signal::TERM);
    let finished = agent.finish();
    assert_eq!(finished.code, 0, "{finished}");
    // An agent of a whole machine may have met others', too.
    let said = finished.said().into_iter().find(|line| line.contains(" spans in ")).expect("a summary");
    let numbers: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let expected = u64::from(FIRST + count);
    assert!(
        numbers[0] >= expected * u64::from(goroutines) && numbers[2] >= expected,
        "{expected} programs: {finished}"
    );
    assert!(!socket.exists());
    rig.assert_nothing_left();
}

/// The short one.
#[test]
fn programs_that_come_and_go_leave_nothing() {
    if crate::support::is_without_go("soak programs_that_come_and_go_leave_nothing") {
        return;
    }
    soak(120, 200);
}

/// The long one: `make soak-programs`.
#[test]
#[ignore = "make soak-programs"]
fn programs_by_the_thousand() {
    if crate::support::is_without_go("soak programs_by_the_thousand") {
        return;
    }
    let count = std::env::var("TANDEM_SOAK_PROGRAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(5000);
    soak(count, 100);
}
