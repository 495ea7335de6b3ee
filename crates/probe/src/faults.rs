//! The kernel's software event for page faults that waited for no device, on each processor, each time.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The beginning of the kernel's `struct perf_event_attr`, in its first published size.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

const SOFTWARE: u32 = 1;
const PAGE_FAULTS_MIN: u64 = 5;

/// Opens it, once a processor.
pub(crate) fn events() -> io::Result<Vec<OwnedFd>> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
    processors(online.trim()).into_iter().map(event).collect()
}

/// `0-3,5` is what the kernel writes for processors 0, 1, 2, 3 and 5.
fn processors(list: &str) -> Vec<i32> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[expect(unsafe_code, reason = "a system call that the standard library does not have")]
fn event(processor: i32) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: SOFTWARE,
        size: size_of::<Attributes>() as u32,
        config: PAGE_FAULTS_MIN,
        sample_period: 1,
        ..Attributes::default()
    };
    const ANY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    // SAFETY: the kernel reads as many bytes as the structure says that it has, and it outlives the call.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attributes, ANY_PROCESS, processor, NO_GROUP, CLOSE_ON_EXEC)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// Has it count, or not, for a while.
#[expect(unsafe_code, reason = "a system call that nobody wraps")]
pub(crate) fn switch(event: &OwnedFd, on: bool) -> io::Result<()> {
    const ENABLE: libc::Ioctl = 0x2400;
    const DISABLE: libc::Ioctl = 0x2401;
    // SAFETY: the descriptor is a performance event's, and neither request has an argument.
    let outcome = unsafe { libc::ioctl(event.as_raw_fd(), if on { ENABLE } else { DISABLE }, 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(processors("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(processors("7"), [7]);
    }
}
