//! What a span costs the retry queue's threads, in computing: while the receiver answers, while it is away, and when what has waited
//! is read back. The receiver itself costs nothing here. `cargo bench -p deliver`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use deliver::retry::folder::Folder;
use deliver::retry::{Answer, Impatience, Keep, Parcel, RetryQueue, Transport};
use deliver::{Batch, Signal, Sink};
use rustix::time::{ClockId, clock_gettime};

/// Spans of a batch of 128 KiB, about as many as the agent hands over at once.
const SPANS: u32 = 400;
const BATCH_BYTES: usize = 128 << 10;
const BATCHES: u64 = 3000;

fn main() {
    let root = tempfile::tempdir().expect("a folder");
    let away = Arc::new(AtomicBool::new(false));
    let queue = start(root.path(), &away);
    measure("answered", || {
        for _ in 0..BATCHES {
            offer(&queue);
            // As fast as it goes, but nothing gets old.
            while waiting(&queue) > u64::from(SPANS) * 20 {
                std::thread::yield_now();
            }
        }
        until(|| waiting(&queue) == 0);
    });
    away.store(true, Ordering::Relaxed);
    measure("written", || {
        for batch in 1..=BATCHES {
            offer(&queue);
            if batch % 100 == 0 {
                until(|| on_disk(root.path()) + (32 << 20) > batch * BATCH_BYTES as u64);
            }
        }
        until(|| on_disk(root.path()) >= BATCHES * BATCH_BYTES as u64);
    });
    drop(queue);
    away.store(false, Ordering::Relaxed);
    measure("read back", || {
        let queue = start(root.path(), &away);
        until(|| queue.report().delivered == BATCHES * u64::from(SPANS));
    });
}

struct Receiver {
    away: Arc<AtomicBool>,
}

impl Transport for Receiver {
    fn send(&mut self, _parcels: &[Parcel], _impatience: &Impatience) -> Answer {
        match self.away.load(Ordering::Relaxed) {
            true => Answer::Later { after: None, problem: "away".to_owned() },
            false => Answer::Accepted { rejected: 0, message: String::new() },
        }
    }

    fn preferred_bytes(&self) -> usize {
        2 << 20
    }

    fn halves(&self, _parcel: &Parcel) -> Option<[Parcel; 2]> {
        None
    }
}

fn start(root: &Path, away: &Arc<AtomicBool>) -> RetryQueue {
    let folder = Folder::open(root, "bench").expect("a folder");
    let receiver = Receiver { away: Arc::clone(away) };
    RetryQueue::start("bench", Signal::Traces, Some(Keep { folder, quota: 1 << 30 }), receiver).expect("threads")
}

fn offer(queue: &RetryQueue) {
    let bytes = Bytes::from(vec![7; BATCH_BYTES]);
    let batch = Batch { signal: Signal::Traces, resource: Arc::default(), bytes, records: SPANS };
    queue.offer(&Arc::new(batch)).expect("room");
}

fn waiting(queue: &RetryQueue) -> u64 {
    queue.report().queue.map_or(0, |queue| queue.records)
}

fn on_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(
            |entry| {
                if entry.path().is_dir() {
                    on_disk(&entry.path())
                } else {
                    entry.metadata().map_or(0, |file| file.len())
                }
            },
        )
        .sum()
}

fn until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn measure(what: &str, run: impl FnOnce()) {
    let time = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
    };
    let before = time();
    run();
    println!("{what}: {:.0} ns a span", (time() - before) / (BATCHES * u64::from(SPANS)) as f64);
}
