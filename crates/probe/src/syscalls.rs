//! Which part of the anatomy a system call that blocks counts for, by its number on amd64.
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

#[cfg(target_arch = "x86_64")]
use numbers::*;

#[cfg(target_arch = "x86_64")]
mod numbers {
    use libc::*;

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
