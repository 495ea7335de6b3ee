//! Which part of the anatomy a system call that blocks counts for, by its number on amd64, and what the usual ones are called.
//!
//! The number is all that the scheduler probe looks at, so a `read` counts as file whatever its descriptor is. Go's own
//! network reads never block in one: their goroutine parks, and its wait is in Go's half. What is not listed is *other*.

use crate::skeleton::types::tandem_class;

/// Class of every system call number, as the probe takes it.
pub(crate) fn classes<const COUNT: usize>() -> [u8; COUNT] {
    let mut classes = [tandem_class::TANDEM_CLASS_OTHER.0 as u8; COUNT];
    for (class, numbers) in LISTS {
        for &number in *numbers {
            classes[number as usize] = class.0 as u8;
        }
    }
    classes
}

#[cfg(target_arch = "x86_64")]
const LISTS: &[(tandem_class, &[libc::c_long])] = &[
    (tandem_class::TANDEM_CLASS_FILE, FILE),
    (tandem_class::TANDEM_CLASS_NETWORK, NETWORK),
    (tandem_class::TANDEM_CLASS_FUTEX, FUTEX),
    (tandem_class::TANDEM_CLASS_LOCK, LOCK),
    (tandem_class::TANDEM_CLASS_SLEEP, SLEEP),
];
/// The probe runs on amd64 only; elsewhere loading it is refused before this is asked.
#[cfg(not(target_arch = "x86_64"))]
const LISTS: &[(tandem_class, &[libc::c_long])] = &[];
#[cfg(not(target_arch = "x86_64"))]
const NAMES: &[(libc::c_long, &str)] = &[];

/// What a system call is called; `None` for those that Go programs hardly make.
pub fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == libc::c_long::from(number)).map(|(_, name)| *name)
}

#[cfg(target_arch = "x86_64")]
use numbers::*;

#[cfg(target_arch = "x86_64")]
mod numbers {
    use libc::*;

    /// What Go programs make themselves, or its runtime and C libraries for them.
    pub(super) const NAMES: &[(c_long, &str)] = &[
        (SYS_read, "read"),
        (SYS_write, "write"),
        (SYS_open, "open"),
        (SYS_close, "close"),
        (SYS_stat, "stat"),
        (SYS_fstat, "fstat"),
        (SYS_lstat, "lstat"),
        (SYS_poll, "poll"),
        (SYS_lseek, "lseek"),
        (SYS_mmap, "mmap"),
        (SYS_mprotect, "mprotect"),
        (SYS_munmap, "munmap"),
        (SYS_brk, "brk"),
        (SYS_ioctl, "ioctl"),
        (SYS_pread64, "pread64"),
        (SYS_pwrite64, "pwrite64"),
        (SYS_readv, "readv"),
        (SYS_writev, "writev"),
        (SYS_access, "access"),
        (SYS_pipe, "pipe"),
        (SYS_select, "select"),
        (SYS_sched_yield, "sched_yield"),
        (SYS_mremap, "mremap"),
        (SYS_msync, "msync"),
        (SYS_mincore, "mincore"),
        (SYS_madvise, "madvise"),
        (SYS_dup, "dup"),
        (SYS_dup2, "dup2"),
        (SYS_pause, "pause"),
        (SYS_nanosleep, "nanosleep"),
        (SYS_getpid, "getpid"),
        (SYS_sendfile, "sendfile"),
        (SYS_socket, "socket"),
        (SYS_connect, "connect"),
        (SYS_accept, "accept"),
        (SYS_sendto, "sendto"),
        (SYS_recvfrom, "recvfrom"),
        (SYS_sendmsg, "sendmsg"),
        (SYS_recvmsg, "recvmsg"),
        (SYS_shutdown, "shutdown"),
        (SYS_bind, "bind"),
        (SYS_listen, "listen"),
        (SYS_clone, "clone"),
        (SYS_fork, "fork"),
        (SYS_vfork, "vfork"),
        (SYS_execve, "execve"),
        (SYS_exit, "exit"),
        (SYS_wait4, "wait4"),
        (SYS_kill, "kill"),
        (SYS_fcntl, "fcntl"),
        (SYS_flock, "flock"),
        (SYS_fsync, "fsync"),
        (SYS_fdatasync, "fdatasync"),
        (SYS_truncate, "truncate"),
        (SYS_ftruncate, "ftruncate"),
        (SYS_getdents, "getdents"),
        (SYS_getcwd, "getcwd"),
        (SYS_chdir, "chdir"),
        (SYS_rename, "rename"),
        (SYS_mkdir, "mkdir"),
        (SYS_rmdir, "rmdir"),
        (SYS_creat, "creat"),
        (SYS_link, "link"),
        (SYS_unlink, "unlink"),
        (SYS_symlink, "symlink"),
        (SYS_readlink, "readlink"),
        (SYS_chmod, "chmod"),
        (SYS_fchmod, "fchmod"),
        (SYS_chown, "chown"),
        (SYS_gettimeofday, "gettimeofday"),
        (SYS_statfs, "statfs"),
        (SYS_fstatfs, "fstatfs"),
        (SYS_gettid, "gettid"),
        (SYS_futex, "futex"),
        (SYS_sched_getaffinity, "sched_getaffinity"),
        (SYS_io_getevents, "io_getevents"),
        (SYS_io_submit, "io_submit"),
        (SYS_getdents64, "getdents64"),
        (SYS_clock_gettime, "clock_gettime"),
        (SYS_clock_nanosleep, "clock_nanosleep"),
        (SYS_exit_group, "exit_group"),
        (SYS_epoll_wait, "epoll_wait"),
        (SYS_epoll_ctl, "epoll_ctl"),
        (SYS_tgkill, "tgkill"),
        (SYS_waitid, "waitid"),
        (SYS_openat, "openat"),
        (SYS_mkdirat, "mkdirat"),
        (SYS_newfstatat, "newfstatat"),
        (SYS_unlinkat, "unlinkat"),
        (SYS_renameat, "renameat"),
        (SYS_linkat, "linkat"),
        (SYS_symlinkat, "symlinkat"),
        (SYS_readlinkat, "readlinkat"),
        (SYS_fchmodat, "fchmodat"),
        (SYS_faccessat, "faccessat"),
        (SYS_pselect6, "pselect6"),
        (SYS_ppoll, "ppoll"),
        (SYS_splice, "splice"),
        (SYS_tee, "tee"),
        (SYS_sync_file_range, "sync_file_range"),
        (SYS_utimensat, "utimensat"),
        (SYS_epoll_pwait, "epoll_pwait"),
        (SYS_fallocate, "fallocate"),
        (SYS_accept4, "accept4"),
        (SYS_eventfd2, "eventfd2"),
        (SYS_epoll_create1, "epoll_create1"),
        (SYS_dup3, "dup3"),
        (SYS_pipe2, "pipe2"),
        (SYS_preadv, "preadv"),
        (SYS_pwritev, "pwritev"),
        (SYS_recvmmsg, "recvmmsg"),
        (SYS_sendmmsg, "sendmmsg"),
        (SYS_syncfs, "syncfs"),
        (SYS_process_vm_readv, "process_vm_readv"),
        (SYS_renameat2, "renameat2"),
        (SYS_getrandom, "getrandom"),
        (SYS_memfd_create, "memfd_create"),
        (SYS_execveat, "execveat"),
        (SYS_mlock2, "mlock2"),
        (SYS_copy_file_range, "copy_file_range"),
        (SYS_preadv2, "preadv2"),
        (SYS_pwritev2, "pwritev2"),
        (SYS_statx, "statx"),
        (SYS_io_uring_enter, "io_uring_enter"),
        (SYS_openat2, "openat2"),
        (SYS_epoll_pwait2, "epoll_pwait2"),
        (SYS_close_range, "close_range"),
        (SYS_faccessat2, "faccessat2"),
        (SYS_sync, "sync"),
        (SYS_rt_sigreturn, "rt_sigreturn"),
        (SYS_rt_sigaction, "rt_sigaction"),
        (SYS_rt_sigprocmask, "rt_sigprocmask"),
        (SYS_pidfd_open, "pidfd_open"),
        (SYS_pidfd_send_signal, "pidfd_send_signal"),
        (SYS_futex_waitv, "futex_waitv"),
    ];

    /// Reads, writes and metadata of files; also pipes and terminals, which share these calls.
    pub(super) const FILE: &[c_long] = &[
        SYS_read,
        SYS_write,
        SYS_pread64,
        SYS_pwrite64,
        SYS_readv,
        SYS_writev,
        SYS_preadv,
        SYS_pwritev,
        SYS_preadv2,
        SYS_pwritev2,
        SYS_open,
        SYS_openat,
        SYS_openat2,
        SYS_creat,
        SYS_close,
        SYS_close_range,
        SYS_stat,
        SYS_fstat,
        SYS_lstat,
        SYS_newfstatat,
        SYS_statx,
        SYS_statfs,
        SYS_fstatfs,
        SYS_access,
        SYS_faccessat,
        SYS_faccessat2,
        SYS_lseek,
        SYS_getdents,
        SYS_getdents64,
        SYS_getcwd,
        SYS_chdir,
        SYS_fchdir,
        SYS_mkdir,
        SYS_mkdirat,
        SYS_rmdir,
        SYS_rename,
        SYS_renameat,
        SYS_renameat2,
        SYS_link,
        SYS_linkat,
        SYS_unlink,
        SYS_unlinkat,
        SYS_symlink,
        SYS_symlinkat,
        SYS_readlink,
        SYS_readlinkat,
        SYS_mknod,
        SYS_mknodat,
        SYS_chmod,
        SYS_fchmod,
        SYS_fchmodat,
        SYS_chown,
        SYS_fchown,
        SYS_lchown,
        SYS_fchownat,
        SYS_utime,
        SYS_utimes,
        SYS_utimensat,
        SYS_futimesat,
        SYS_truncate,
        SYS_ftruncate,
        SYS_fallocate,
        SYS_fadvise64,
        SYS_readahead,
        SYS_fsync,
        SYS_fdatasync,
        SYS_sync,
        SYS_syncfs,
        SYS_sync_file_range,
        SYS_msync,
        SYS_sendfile,
        SYS_copy_file_range,
        SYS_splice,
        SYS_tee,
        SYS_vmsplice,
        SYS_ioctl,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_fsetxattr,
        SYS_getxattr,
        SYS_lgetxattr,
        SYS_fgetxattr,
        SYS_listxattr,
        SYS_llistxattr,
        SYS_flistxattr,
        SYS_removexattr,
        SYS_lremovexattr,
        SYS_fremovexattr,
        SYS_execve,
        SYS_execveat,
    ];

    /// Sockets, and waiting for descriptors to become ready.
    pub(super) const NETWORK: &[c_long] = &[
        SYS_socket,
        SYS_socketpair,
        SYS_bind,
        SYS_listen,
        SYS_accept,
        SYS_accept4,
        SYS_connect,
        SYS_shutdown,
        SYS_sendto,
        SYS_sendmsg,
        SYS_sendmmsg,
        SYS_recvfrom,
        SYS_recvmsg,
        SYS_recvmmsg,
        SYS_getsockname,
        SYS_getpeername,
        SYS_getsockopt,
        SYS_setsockopt,
        SYS_poll,
        SYS_ppoll,
        SYS_select,
        SYS_pselect6,
        SYS_epoll_ctl,
        SYS_epoll_wait,
        SYS_epoll_pwait,
        SYS_epoll_pwait2,
    ];

    /// Locks of the Go runtime, of C code and between processes.
    pub(super) const FUTEX: &[c_long] = &[SYS_futex, SYS_futex_waitv];

    /// Locks on files: `flock`, and POSIX locks through `fcntl`.
    pub(super) const LOCK: &[c_long] = &[SYS_flock, SYS_fcntl];

    /// Sleeping for its own sake.
    pub(super) const SLEEP: &[c_long] = &[SYS_nanosleep, SYS_clock_nanosleep];
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// A number stands in one list only, and the calls people know are where they look for them.
    #[test]
    fn lists_are_disjoint() {
        let mut seen = std::collections::HashSet::new();
        for number in LISTS.iter().flat_map(|(_, numbers)| *numbers) {
            assert!(seen.insert(*number), "system call {number} has two classes");
        }
        let classes: [u8; 512] = classes();
        let class = |number: libc::c_long| tandem_class(u32::from(classes[number as usize]));
        assert_eq!(class(libc::SYS_fsync), tandem_class::TANDEM_CLASS_FILE);
        assert_eq!(class(libc::SYS_flock), tandem_class::TANDEM_CLASS_LOCK);
        assert_eq!(class(libc::SYS_wait4), tandem_class::TANDEM_CLASS_OTHER);
    }
}
