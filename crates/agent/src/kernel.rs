//! Where the kernel half plugs in. The agent works without one; then spans lack the kernel's parts of the anatomy.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use record::HeaderFacts;

/// The kernel's accounts of one process: an array of `record::layout::ACCOUNT` that the program maps read-only.
#[derive(Debug)]
pub struct AccountMap {
    /// Descriptor that the program maps; the agent passes it on and closes its own.
    pub fd: OwnedFd,
    /// Slots in it.
    pub slots: u32,
    /// Parts of the anatomy that this kernel cannot tell from others, a bit each, by their index in
    /// `record::layout::PARTS`.
    pub lacking: u32,
    /// The system calls of its spans, where the kernel half keeps them.
    pub system_calls: Option<Box<dyn SpanSystemCalls>>,
}

/// System calls of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCalls {
    /// Their name; `other`: of all that are not kept by name.
    pub name: &'static str,
    /// How many.
    pub count: u32,
    /// How long they took, waits included, ns.
    pub time: u64,
}

/// The system calls of a process, by span.
pub trait SpanSystemCalls: fmt::Debug + Send {
    /// What a span that has ended did, once.
    fn take(&self, span_id: [u8; 8]) -> Vec<SystemCalls>;
}

/// The kernel half: told which processes to watch.
pub trait KernelHalf: Send {
    /// Begins to keep accounts for a process. `None`: not for this one; the reason is the kernel half's to report.
    fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Option<AccountMap>;

    /// Ends it; the process is gone or nobody wants it any more.
    fn unwatch(&mut self, pid: u32);

    /// Whether there is a detail mode that can be switched.
    fn has_detail(&self) -> bool {
        false
    }

    /// Switches the detail mode. Says which parts of the anatomy nobody tells from others while it is off, a bit each.
    fn set_detail(&mut self, _on: bool) -> u32 {
        0
    }

    /// The CPU time of its programs so far; `None`: nobody measures it.
    fn run_time(&self) -> Option<Duration> {
        None
    }
}
