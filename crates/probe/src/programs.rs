//! What loaded programs cost: the kernel adds up the time in which each one runs, while somebody asks for that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libbpf_rs::libbpf_sys;

/// The kernel measures how long programs run while this exists: those of the whole machine, two looks at the clock for each run.
#[derive(Debug)]
pub struct RunTimes {
    _measuring: OwnedFd,
}

impl RunTimes {
    /// Begins it. Needs `CAP_SYS_ADMIN`.
    #[expect(unsafe_code, reason = "the call gives a bare descriptor")]
    pub fn measure() -> io::Result<Self> {
        // SAFETY: it takes a number and nothing else.
        let descriptor = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
        if descriptor < 0 {
            return Err(io::Error::from_raw_os_error(-descriptor));
        }
        // SAFETY: it is new and nobody else's.
        Ok(Self { _measuring: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }
}

/// Loaded programs.
#[derive(Debug, Default)]
pub(crate) struct Programs(Vec<OwnedFd>);

impl Programs {
    pub(crate) fn of<'a>(programs: impl IntoIterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        Ok(Self(programs.into_iter().map(|program| program.try_clone_to_owned()).collect::<io::Result<_>>()?))
    }

    pub(crate) fn run_time(&self) -> Duration {
        Duration::from_nanos(self.0.iter().filter_map(|program| run_time(program.as_fd())).sum())
    }
}

#[expect(unsafe_code, reason = "the kernel fills in a structure")]
fn run_time(program: BorrowedFd<'_>) -> Option<u64> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the kernel writes no more than the size says, and follows no pointer, as all of them are null.
    let outcome = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size) };
    (outcome == 0).then_some(info.run_time_ns)
}
