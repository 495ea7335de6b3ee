//! Has the kernel look at the TCP connections of watched processes once a second: how far away is the other end?
//!
//! Done from here, it costs the programs nothing. The kernel goes through a process's descriptors by itself and writes what
//! it finds to the process's account map; a round takes some 50 µs a process and 0.2 µs a descriptor.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use libbpf_rs::libbpf_sys;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

/// The rounds through the processes; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct Rounds {
    processes: Arc<Mutex<HashSet<u32>>>,
    /// What its thread will need, until that has been started.
    idle: Mutex<Option<(OwnedFd, Receiver<()>)>>,
    _end: Sender<()>,
}

impl Rounds {
    /// With a loaded program for the descriptors of a task. There is no thread yet.
    pub(crate) fn new(program: OwnedFd) -> Self {
        let (end, ended) = mpsc::channel();
        Self { processes: Arc::default(), idle: Mutex::new(Some((program, ended))), _end: end }
    }

    /// Begins them, unless they have begun: by a thread with the privileges of whoever calls this.
    pub(crate) fn begin(&self) {
        let Some((program, ended)) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let watched = Arc::clone(&self.processes);
        let work = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let now: Vec<u32> = watched.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
                // A process that has just ended has no connections; one that cannot be gone through lacks their times.
                now.into_iter().for_each(|pid| drop(go_through(&program, pid)));
            }
        };
        // Without the thread the times are lacking, which spans then do not have.
        let _ = thread::Builder::new().name("tandem-peers".to_owned()).spawn(work);
    }

    pub(crate) fn add(&self, pid: u32) {
        self.begin();
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    }

    pub(crate) fn remove(&self, pid: u32) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }
}

/// Runs the program for each descriptor of a process.
pub(crate) fn go_through(program: &OwnedFd, pid: u32) -> std::io::Result<()> {
    let mut whose = libbpf_sys::bpf_iter_link_info::default();
    whose.task.pid = pid;
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        iter_info: &raw mut whose,
        iter_info_len: size_of_val(&whose) as u32,
        ..Default::default()
    };
    // Reading runs it; it writes nothing to read.
    let link = opened(link_create(program, &options))?;
    let mut round = std::fs::File::from(opened(iter_create(&link))?);
    while round.read(&mut [0; 64])? != 0 {}
    Ok(())
}

/// Attaches a loaded program to its tracepoint, until what is returned is closed.
#[expect(unsafe_code, reason = "libbpf's wrapper wants the object, which is gone")]
pub(crate) fn attach_tracepoint(program: &OwnedFd) -> std::io::Result<OwnedFd> {
    // SAFETY: an open descriptor, and no options.
    opened(unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_TRACE_RAW_TP, std::ptr::null())
    })
}

#[expect(unsafe_code, reason = "libbpf's wrapper does not know a task's descriptors")]
fn link_create(program: &OwnedFd, options: &libbpf_sys::bpf_link_create_opts) -> i32 {
    // SAFETY: an open descriptor, and options that outlive the call, as does what they point to.
    unsafe { libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_TRACE_ITER, options) }
}

#[expect(unsafe_code, reason = "libbpf's wrapper does not know a task's descriptors")]
fn iter_create(link: &OwnedFd) -> i32 {
    // SAFETY: an open descriptor; the kernel checks what it is.
    unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) }
}

#[expect(unsafe_code, reason = "libbpf gives descriptors as numbers")]
fn opened(descriptor: i32) -> std::io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: it is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
