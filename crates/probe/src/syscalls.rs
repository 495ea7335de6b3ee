//! System calls by their numbers on amd64: their names, and which part of the anatomy one that blocks counts for.
//!
//! The number is all that the scheduler probe looks at, so a `read` counts as file whatever its descriptor is. Go's own
//! network reads never block in one: their goroutine parks, and its wait is in Go's half. What is not listed is *other*.

use std::sync::LazyLock;

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

/// Names of the system calls of amd64 from number 0 on.
const NAMES: &str = "\
    read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask \
    rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise \
    shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept \
    sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt \
    clone fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl \
    flock fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink \
    symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times ptrace \
    getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups \
    setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending \
    rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs \
    sysfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler \
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup \
    modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2 \
    swapon swapoff reboot sethostname setdomainname iopl ioperm create_module init_module delete_module \
    get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead \
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr \
    lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area io_setup \
    io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old \
    epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create \
    timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres \
    clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy \
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key \
    keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat \
    mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat \
    pselect6 ppoll unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages \
    utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 \
    signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open \
    recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs \
    sendmmsg setns getcpu process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr \
    renameat2 seccomp getrandom memfd_create kexec_file_load bpf execveat userfaultfd membarrier mlock2 \
    copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq";
/// Number of the first one after the gap that the kernel left.
const FIRST_COMMON: u32 = 424;
/// Names from [`FIRST_COMMON`] on.
const COMMON_NAMES: &str = "\
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount \
    fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr \
    quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease \
    futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue \
    statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal";

/// The name of a system call.
pub fn name(number: u32) -> Option<&'static str> {
    static ALL: LazyLock<Vec<&str>> = LazyLock::new(|| NAMES.split(' ').collect());
    static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| COMMON_NAMES.split(' ').collect());
    match number.checked_sub(FIRST_COMMON) {
        Some(place) => COMMON.get(place as usize),
        None => ALL.get(number as usize),
    }
    .copied()
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
        let named = |number: libc::c_long| name(number as u32);
        assert_eq!((named(libc::SYS_read), named(libc::SYS_rseq)), (Some("read"), Some("rseq")));
        assert_eq!(
            (named(libc::SYS_pidfd_send_signal), named(libc::SYS_futex_waitv)),
            (Some("pidfd_send_signal"), Some("futex_waitv"))
        );
        assert_eq!((name(335), name(5000)), (None, None));
        assert_eq!(class(libc::SYS_fsync), tandem_class::TANDEM_CLASS_FILE);
        assert_eq!(class(libc::SYS_flock), tandem_class::TANDEM_CLASS_LOCK);
        assert_eq!(class(libc::SYS_wait4), tandem_class::TANDEM_CLASS_OTHER);
    }
}
