//! The kernel's software events, one on each processor: programs that are attached to them run at each, or at each of so many.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use libbpf_rs::{Link, ProgramMut};

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

/// Which event: the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Event {
    /// Nanoseconds of the processor's time.
    CpuClock = 0,
    /// Page faults that waited for no device.
    PageFaultsMin = 5,
}

/// What an event can be told: requests from the kernel's user-space interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Count,
    Rest,
    /// Once in so many from now on.
    Period(u64),
}

/// Opens it on each processor, for whatever runs there: once in so many.
pub(crate) fn open(event: Event, period: u64) -> io::Result<Vec<OwnedFd>> {
    let opened = processors()?.into_iter().map(|processor| open_on(processor, event, period));
    opened.filter(|opened| !opened.as_ref().is_err_and(has_gone)).collect()
}

/// Attaches a program to one of them, which is closed when the program leaves it.
pub(crate) fn attach(program: &ProgramMut<'_>, event: OwnedFd) -> libbpf_rs::Result<Link> {
    let link = program.attach_perf_event(event.as_raw_fd())?;
    let _closed_by_its_link = event.into_raw_fd();
    Ok(link)
}

/// Tells all of them.
#[expect(unsafe_code, reason = "a system call that nobody wraps")]
pub(crate) fn tell(events: &[OwnedFd], command: Command) -> io::Result<()> {
    let (request, value): (libc::Ioctl, u64) = match command {
        Command::Count => (0x2400, 0),
        Command::Rest => (0x2401, 0),
        Command::Period(period) => (0x4008_2404, period),
    };
    for event in events {
        // SAFETY: the descriptor is a performance event's; the kernel reads at most the eight bytes of the value.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, &raw const value) } != 0 {
            let error = io::Error::last_os_error();
            if !has_gone(&error) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Processors that are there.
pub(crate) fn processors() -> io::Result<Vec<i32>> {
    Ok(listed(fs::read_to_string("/sys/devices/system/cpu/online")?.trim()))
}

/// `0-3,5` is what the kernel writes for processors 0, 1, 2, 3 and 5.
fn listed(list: &str) -> Vec<i32> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// The processor went away meanwhile.
fn has_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

#[expect(unsafe_code, reason = "a system call that the standard library does not have")]
fn open_on(processor: i32, event: Event, period: u64) -> io::Result<OwnedFd> {
    const ANY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let attributes = Attributes {
        kind: SOFTWARE,
        size: size_of::<Attributes>() as u32,
        config: event as u64,
        sample_period: period,
        ..Attributes::default()
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(listed("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(listed("7"), [7]);
        assert!(!processors().expect("the kernel lists them").is_empty());
    }
}
