//! What this kernel, architecture and privilege level allow, and what to do about the rest.
//!
//! Looked at, not tried, wherever the kernel says it in files that everybody may read: the answers are then the same with
//! and without privileges, and asking changes nothing. [`require_anatomy`] is the same list as the loader sees it.

use std::env;
use std::fs;
use std::path::Path;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Composite, Enum, Struct, Typedef};

use record::layout;

use crate::error::ProbeError;

/// Something that a part of Tandem needs, or that tells a person how far it can go here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureId {
    /// Linux on amd64 or arm64.
    Architecture,
    /// A processor that the kernel half knows.
    Processor,
    /// Anonymous shared memory.
    Memfd,
    /// Type information of the running kernel.
    Btf,
    /// Privileges for tracing programs.
    Capabilities,
    /// Process ids as the kernel counts them.
    PidNamespace,
    /// The scheduler's tracepoint, typed.
    SchedulerTracepoint,
    /// Helper functions and map types of the scheduler probe.
    Helpers,
    /// Run-queue times of each thread.
    SchedInfo,
    /// The run queue's clock, reachable from a thread.
    RunQueueClock,
    /// Waits for block devices, marked as such.
    IoWait,
    /// Times that control groups have been throttled.
    Throttling,
    /// When data come to a socket, and when they are read.
    SocketTimes,
    /// The ways into page faults.
    PageFaults,
    /// The ways into system calls and out of them.
    SystemCalls,
    /// TCP connections of watched processes.
    Connections,
    /// What the kernel locks down.
    Lockdown,
    /// BPF ring buffers.
    RingBuffer,
    /// Many uprobes by one link.
    UprobeMulti,
    /// Socket maps, for headers inserted in the kernel.
    SocketMaps,
    /// Unified control groups.
    CgroupV2,
    /// Privileges for programs that see packets.
    NetworkPrivileges,
    /// Programs that see the packets of a control group, and what is kept behind a socket.
    SocketPayload,
    /// The tracing file system.
    Tracefs,
    /// The BPF file system.
    Bpffs,
    /// The security file system.
    Securityfs,
    /// Who may use performance events.
    PerfEvents,
    /// Who may use BPF without privileges.
    UnprivilegedBpf,
}

/// What a feature is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Spans of woven programs.
    Spans,
    /// The kernel's half of the latency anatomy.
    Anatomy,
    /// One part of it that is told from others.
    AnatomyPart,
    /// Profiles, besides what the anatomy needs.
    Profiles,
    /// Spans of programs in any language, from their sockets.
    Sockets,
    /// Spans of programs that were not woven, besides what the anatomy needs.
    Unwoven,
    /// Nothing in this version; it says how far probes could go on this machine.
    Outlook,
}

/// Whether a feature is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is; with what was found.
    Available(String),
    /// It is not.
    Missing {
        /// What was looked at and found.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// A feature and its state on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Which.
    pub id: FeatureId,
    /// Whether it is there.
    pub state: State,
}

impl FeatureId {
    /// All of them, by purpose, causes before what they cause.
    pub const ALL: [Self; 28] = [
        Self::Architecture,
        Self::Memfd,
        Self::Processor,
        Self::Btf,
        Self::Capabilities,
        Self::PidNamespace,
        Self::SchedulerTracepoint,
        Self::Helpers,
        Self::SchedInfo,
        Self::RunQueueClock,
        Self::IoWait,
        Self::Throttling,
        Self::SocketTimes,
        Self::PageFaults,
        Self::SystemCalls,
        Self::Connections,
        Self::RingBuffer,
        Self::PerfEvents,
        Self::CgroupV2,
        Self::NetworkPrivileges,
        Self::SocketPayload,
        Self::UprobeMulti,
        Self::Lockdown,
        Self::SocketMaps,
        Self::Tracefs,
        Self::Bpffs,
        Self::Securityfs,
        Self::UnprivilegedBpf,
    ];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Architecture => "Linux on amd64 or arm64",
            Self::Processor => "processor",
            Self::Memfd => "shared memory",
            Self::Btf => "kernel type information",
            Self::Capabilities => "privileges",
            Self::PidNamespace => "initial pid namespace",
            Self::SchedulerTracepoint => "scheduler tracepoint",
            Self::Helpers => "BPF helpers and maps",
            Self::SchedInfo => "run-queue times",
            Self::RunQueueClock => "run-queue clock",
            Self::IoWait => "block I/O",
            Self::Throttling => "CPU throttling",
            Self::SocketTimes => "socket tracepoints",
            Self::PageFaults => "page faults",
            Self::SystemCalls => "system calls",
            Self::Connections => "TCP connections",
            Self::Lockdown => "kernel lockdown",
            Self::RingBuffer => "BPF ring buffer",
            Self::UprobeMulti => "uprobe multi links",
            Self::SocketMaps => "socket maps",
            Self::CgroupV2 => "cgroup v2",
            Self::NetworkPrivileges => "network privileges",
            Self::SocketPayload => "packets of sockets",
            Self::Tracefs => "tracefs",
            Self::Bpffs => "bpffs",
            Self::Securityfs => "securityfs",
            Self::PerfEvents => "performance events",
            Self::UnprivilegedBpf => "unprivileged BPF",
        }
    }

    /// What it is needed for.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Architecture | Self::Memfd => Purpose::Spans,
            Self::Processor
            | Self::Btf
            | Self::Capabilities
            | Self::PidNamespace
            | Self::SchedulerTracepoint
            | Self::Helpers
            | Self::SchedInfo
            | Self::RunQueueClock => Purpose::Anatomy,
            Self::IoWait
            | Self::Throttling
            | Self::SocketTimes
            | Self::PageFaults
            | Self::SystemCalls
            | Self::Connections => Purpose::AnatomyPart,
            Self::RingBuffer | Self::PerfEvents => Purpose::Profiles,
            Self::CgroupV2 | Self::NetworkPrivileges | Self::SocketPayload => Purpose::Sockets,
            Self::UprobeMulti => Purpose::Unwoven,
            _ => Purpose::Outlook,
        }
    }

    /// The part of the anatomy that counts as another one without it, as its index in `record::layout::PARTS`.
    fn part(self) -> Option<usize> {
        match self {
            Self::IoWait => Some(layout::part("block_io")),
            Self::Throttling => Some(layout::part("throttled")),
            Self::SocketTimes => Some(NETWORK_UNREAD),
            Self::PageFaults => Some(MINOR_FAULT),
            _ => None,
        }
    }

    fn state(self, types: &KernelTypes) -> State {
        match self {
            Self::Architecture => architecture(env::consts::OS, env::consts::ARCH),
            Self::Processor => processor(env::consts::OS, env::consts::ARCH),
            Self::Memfd => memfd(),
            Self::Btf => types.state(),
            Self::Capabilities => capabilities(),
            Self::PidNamespace => pid_namespace(),
            Self::SchedulerTracepoint => types.require(
                |btf| btf.type_by_name::<Typedef<'_>>("btf_trace_sched_switch").is_some(),
                "sched_switch",
                "use a kernel with CONFIG_BPF_EVENTS and CONFIG_DEBUG_INFO_BTF, 5.15 or newer",
            ),
            Self::Helpers => types.require(
                |btf| {
                    has_enumerator(btf, "bpf_func_id", "BPF_FUNC_task_pt_regs")
                        && has_member(btf, "task_struct", "bpf_storage")
                },
                "task storage, bpf_task_pt_regs",
                "use Linux 5.15 or newer with CONFIG_BPF_SYSCALL",
            ),
            Self::SchedInfo => sched_info(types),
            Self::RunQueueClock => types.require(
                |btf| {
                    has_member(btf, "cfs_rq", "rq")
                        && has_member(btf, "sched_entity", "cfs_rq")
                        && has_member(btf, "rq", "clock")
                },
                "cfs_rq.rq",
                "use a kernel with CONFIG_FAIR_GROUP_SCHED",
            ),
            Self::IoWait => types.require(
                |btf| has_member(btf, "task_struct", "in_iowait"),
                "task_struct.in_iowait",
                "use Linux 5.15 or newer; until then waits for block devices count as blocked_file",
            ),
            Self::Throttling => types.require(
                |btf| has_member(btf, "cfs_rq", "throttled_clock_self_time"),
                "cfs_rq.throttled_clock_self_time",
                "use Linux 6.6 or newer with CONFIG_CFS_BANDWIDTH; until then time without CPU quota counts as run_queue",
            ),
            Self::SocketTimes => types.require(
                |btf| {
                    ["btf_trace_sk_data_ready", "btf_trace_sock_recv_length"]
                        .iter()
                        .all(|name| btf.type_by_name::<Typedef<'_>>(name).is_some())
                },
                "sk_data_ready, sock_recv_length (used with --detail)",
                "use Linux 6.4 or newer; until then --detail cannot tell network_unread from go_network",
            ),
            Self::PageFaults => types.require(
                |btf| {
                    ["btf_trace_page_fault_user", "btf_trace_page_fault_kernel"]
                        .iter()
                        .all(|name| btf.type_by_name::<Typedef<'_>>(name).is_some())
                },
                "page_fault_user, page_fault_kernel (used with --detail)",
                "use a kernel with CONFIG_TRACING; until then --detail has no minor_fault",
            ),
            Self::SystemCalls => types.require(
                |btf| {
                    ["btf_trace_sys_enter", "btf_trace_sys_exit"]
                        .iter()
                        .all(|name| btf.type_by_name::<Typedef<'_>>(name).is_some())
                },
                "sys_enter, sys_exit (used with --detail)",
                "use a kernel with CONFIG_FTRACE_SYSCALLS; until then --detail does not count system calls",
            ),
            Self::Connections => types.require(
                |btf| {
                    btf.type_by_name::<Typedef<'_>>("btf_trace_tcp_retransmit_skb").is_some()
                        && has_member(btf, "epitem", "ep")
                        && has_member(btf, "eppoll_entry", "base")
                        && has_enumerator(btf, "bpf_func_id", "BPF_FUNC_sock_from_file")
                        && has_member(btf, "bpf_iter_seq_task_common", "pid_visiting")
                },
                "tcp_retransmit_skb, task_file iterators of a process",
                "use Linux 6.1 or newer; until then spans have no tandem.tcp.retransmits and tandem.tcp.rtt",
            ),
            Self::Lockdown => lockdown(read("/sys/kernel/security/lockdown").as_deref()),
            Self::RingBuffer => types.require(
                |btf| has_enumerator(btf, "bpf_map_type", "BPF_MAP_TYPE_RINGBUF"),
                "BPF_MAP_TYPE_RINGBUF",
                "use Linux 5.8 or newer",
            ),
            Self::UprobeMulti => types.require(
                |btf| btf.type_by_name::<Struct<'_>>("bpf_uprobe_multi_link").is_some(),
                "bpf_uprobe_multi_link",
                "use Linux 6.6 or newer with CONFIG_UPROBES",
            ),
            Self::SocketMaps => types.require(
                |btf| btf.type_by_name::<Struct<'_>>("bpf_shtab").is_some(),
                "sockhash",
                "use a kernel with CONFIG_NET_SOCK_MSG",
            ),
            Self::CgroupV2 => mounted("cgroup2", "mount -t cgroup2 none /sys/fs/cgroup/unified"),
            Self::NetworkPrivileges => network_privileges(),
            Self::SocketPayload => types.require(
                |btf| {
                    has_enumerator(btf, "bpf_attach_type", "BPF_CGROUP_INET_EGRESS")
                        && has_enumerator(btf, "bpf_func_id", "BPF_FUNC_sock_from_file")
                },
                "cgroup_skb, socket storage, bpf_sock_from_file",
                "use Linux 5.15 or newer with CONFIG_CGROUP_BPF",
            ),
            Self::Tracefs => mounted("tracefs", "mount -t tracefs tracefs /sys/kernel/tracing"),
            Self::Bpffs => mounted("bpf", "mount -t bpf bpf /sys/fs/bpf"),
            Self::Securityfs => mounted("securityfs", "mount -t securityfs securityfs /sys/kernel/security"),
            Self::PerfEvents => {
                setting("/proc/sys/kernel/perf_event_paranoid", "the kernel was built without CONFIG_PERF_EVENTS")
            }
            Self::UnprivilegedBpf => {
                setting("/proc/sys/kernel/unprivileged_bpf_disabled", "use a kernel with CONFIG_BPF_SYSCALL")
            }
        }
    }
}

/// All features with their state here.
pub fn detect() -> Vec<Feature> {
    let types = KernelTypes::read();
    FeatureId::ALL.into_iter().map(|id| Feature { id, state: id.state(&types) }).collect()
}

/// The state of one of them.
pub fn state_of(id: FeatureId) -> State {
    id.state(&KernelTypes::read())
}

/// The first feature that the latency anatomy needs and that is missing, as an error.
pub fn require_anatomy() -> Result<(), ProbeError> {
    require(&[Purpose::Anatomy])
}

/// The first feature that probes on functions need and that is missing, as an error.
pub fn require_uprobes() -> Result<(), ProbeError> {
    require_all(&[
        FeatureId::Processor,
        FeatureId::Btf,
        FeatureId::Capabilities,
        FeatureId::PidNamespace,
        FeatureId::RingBuffer,
        FeatureId::UprobeMulti,
    ])
}

/// The first feature that profiles need and that is missing, as an error.
pub fn require_profiles() -> Result<(), ProbeError> {
    require(&[Purpose::Anatomy, Purpose::Profiles])
}

/// The first feature that spans of any language's programs need and that is missing, as an error.
pub fn require_sockets() -> Result<(), ProbeError> {
    let types = KernelTypes::read();
    for feature in [
        FeatureId::Architecture,
        FeatureId::Btf,
        FeatureId::Capabilities,
        FeatureId::NetworkPrivileges,
        FeatureId::PidNamespace,
        FeatureId::RingBuffer,
        FeatureId::SocketPayload,
        FeatureId::CgroupV2,
    ] {
        if let State::Missing { why, remedy } = feature.state(&types) {
            return Err(ProbeError::Missing { feature, why, remedy });
        }
    }
    Ok(())
}

fn require(purposes: &[Purpose]) -> Result<(), ProbeError> {
    let types = KernelTypes::read();
    for feature in FeatureId::ALL {
        let needed = feature == FeatureId::Architecture || purposes.contains(&feature.purpose());
        if let (true, State::Missing { why, remedy }) = (needed, feature.state(&types)) {
            return Err(ProbeError::Missing { feature, why, remedy });
        }
    }
    Ok(())
}

fn require_all(wanted: &[FeatureId]) -> Result<(), ProbeError> {
    let types = KernelTypes::read();
    for &feature in wanted {
        if let State::Missing { why, remedy } = feature.state(&types) {
            return Err(ProbeError::Missing { feature, why, remedy });
        }
    }
    Ok(())
}

const NETWORK_UNREAD: usize = layout::part("network_unread");
const MINOR_FAULT: usize = layout::part("minor_fault");
/// Parts that only the detail mode tells from others, a bit each.
pub(crate) const DETAIL_PARTS: u32 = 1 << NETWORK_UNREAD | 1 << MINOR_FAULT;

/// What the detail mode looks at besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) sockets: bool,
    pub(crate) faults: bool,
    pub(crate) calls: bool,
}

impl Details {
    /// All that this kernel lets it look at, `lacking` being the parts that it cannot tell from others.
    pub(crate) fn without(lacking: u32) -> Self {
        Self {
            sockets: lacking & 1 << NETWORK_UNREAD == 0,
            faults: lacking & 1 << MINOR_FAULT == 0,
            calls: matches!(state_of(FeatureId::SystemCalls), State::Available(_)),
        }
    }
}

/// Parts of the anatomy that this kernel cannot tell from others, a bit each, by their index in `record::layout::PARTS`.
pub(crate) fn lacking_parts(detail: bool) -> u32 {
    let types = KernelTypes::read();
    let lacking = FeatureId::ALL.into_iter().filter_map(|id| {
        let part = id.part()?;
        matches!(id.state(&types), State::Missing { .. }).then_some(1 << part)
    });
    lacking.fold(if detail { 0 } else { DETAIL_PARTS }, |mask, bit| mask | bit)
}

/// What may stand behind a refusal of the kernel although all that is needed is there.
pub(crate) fn cause_of_refusal() -> Option<ProbeError> {
    let feature = FeatureId::Lockdown;
    match feature.state(&KernelTypes::read()) {
        State::Missing { why, remedy } => Some(ProbeError::Missing { feature, why, remedy }),
        State::Available(_) => None,
    }
}

const BTF_FILE: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's type information, or why there is none.
struct KernelTypes(Result<Btf<'static>, String>);

impl KernelTypes {
    fn read() -> Self {
        if !Path::new(BTF_FILE).exists() {
            return Self(Err(format!("{BTF_FILE} does not exist")));
        }
        Self(Btf::from_path(BTF_FILE).map_err(|error| format!("{BTF_FILE}: {error}")))
    }

    fn state(&self) -> State {
        match &self.0 {
            Ok(_) => State::Available(BTF_FILE.into()),
            Err(why) => State::Missing {
                why: why.clone(),
                remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF (every large distribution's kernel since 2021), and let the container see /sys",
            },
        }
    }

    /// Asks the types; without them the answer is that they are missing.
    fn require(&self, holds: impl FnOnce(&Btf<'_>) -> bool, what: &str, remedy: &'static str) -> State {
        match &self.0 {
            Ok(btf) if holds(btf) => State::Available(what.into()),
            Ok(_) => State::Missing { why: format!("this kernel ({}) has no {what}", release()), remedy },
            Err(_) => State::Missing { why: format!("cannot tell without {BTF_FILE}"), remedy },
        }
    }
}

fn has_member(btf: &Btf<'_>, structure: &str, member: &str) -> bool {
    btf.type_by_name::<Composite<'_>>(structure)
        .is_some_and(|found| found.iter().any(|field| field.name.is_some_and(|name| name == member)))
}

fn has_enumerator(btf: &Btf<'_>, enumeration: &str, name: &str) -> bool {
    btf.type_by_name::<Enum<'_>>(enumeration)
        .is_some_and(|found| found.iter().any(|value| value.name.is_some_and(|candidate| candidate == name)))
}

fn release() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown release".into())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn architecture(system: &str, processor: &str) -> State {
    let here = format!("{system} on {processor}");
    match (system, processor) {
        ("linux", "x86_64" | "aarch64") => State::Available(here),
        _ => State::Missing {
            why: here,
            remedy: "Tandem records on Linux on amd64 and arm64; elsewhere woven programs run as plain ones do",
        },
    }
}

/// The kernel half reads registers and thread-local storage of the processor, and knows its numbers of system calls.
fn processor(system: &str, processor: &str) -> State {
    match (system, processor) {
        ("linux", "x86_64") => State::Available(processor.to_owned()),
        _ => State::Missing {
            why: format!("the kernel half does not know {system} on {processor} yet"),
            remedy: "use it on amd64; here spans have Go's half of their anatomy, which needs nothing",
        },
    }
}

#[expect(unsafe_code, reason = "a system call that the standard library does not have")]
fn memfd() -> State {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the name is a C string that outlives the call; the kernel only reads it.
    let fd = unsafe { libc::memfd_create(c"tandem-doctor".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return State::Missing {
            why: format!("memfd_create: {}", std::io::Error::last_os_error()),
            remedy: "let the sandbox (seccomp profile) allow memfd_create; programs record nothing without it",
        };
    }
    // SAFETY: the descriptor is new and nobody else's.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    State::Available("memfd_create".into())
}

const CAP_SYS_ADMIN: u32 = 21;

fn effective_capabilities() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            status.lines().find_map(|line| line.strip_prefix("CapEff:").map(str::trim).map(str::to_owned))
        })
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .unwrap_or(0)
}

fn network_privileges() -> State {
    const CAP_NET_ADMIN: u32 = 12;
    match effective_capabilities() & (1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN) {
        0 => State::Missing {
            why: "this process lacks CAP_NET_ADMIN".into(),
            remedy: "run `tandem agent` or `tandem run` as root, or add cap_net_admin to its capabilities",
        },
        _ => State::Available("CAP_NET_ADMIN".into()),
    }
}

fn capabilities() -> State {
    const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
    const REMEDY: &str =
        "run `tandem agent` or `tandem run` as root, or: setcap cap_bpf,cap_perfmon+ep $(command -v tandem)";
    let effective = effective_capabilities();
    let has = |bit: u32| effective & (1 << bit) != 0 || effective & (1 << CAP_SYS_ADMIN) != 0;
    let missing: Vec<_> = NEEDED.iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return State::Missing { why: format!("this process lacks {}", missing.join(" and ")), remedy: REMEDY };
    }
    if !in_initial_user_namespace() {
        return State::Missing {
            why: "its capabilities are those of a user namespace".into(),
            remedy: "run the agent outside of rootless containers: the kernel half belongs to the whole machine",
        };
    }
    State::Available(NEEDED.map(|(_, name)| name).join(", "))
}

fn in_initial_user_namespace() -> bool {
    let whole = ["0", "0", "4294967295"];
    read("/proc/self/uid_map").is_none_or(|map| map.split_whitespace().eq(whole))
}

fn pid_namespace() -> State {
    /// The kernel gives the initial pid namespace this inode.
    const INITIAL: &str = "pid:[4026531836]";
    match fs::read_link("/proc/self/ns/pid") {
        Ok(link) if link.as_os_str() == INITIAL => State::Available("process ids are the kernel's own".into()),
        Ok(_) => State::Missing {
            why: "the agent is in a pid namespace of its own".into(),
            remedy: "run the agent with the host's pid namespace (docker run --pid=host, hostPID: true)",
        },
        Err(error) => State::Missing { why: format!("/proc/self/ns/pid: {error}"), remedy: "mount /proc" },
    }
}

fn sched_info(types: &KernelTypes) -> State {
    const REMEDY: &str =
        "use a kernel with CONFIG_SCHED_INFO (CONFIG_SCHEDSTATS or CONFIG_TASK_DELAY_ACCT), 5.15 or newer";
    let known = types.require(
        |btf| has_member(btf, "sched_info", "last_queued") && has_member(btf, "sched_info", "run_delay"),
        "sched_info.run_delay",
        REMEDY,
    );
    // CPU time, run-queue time, times on a CPU. The fields may exist and yet not be kept: then all are 0.
    let kept = read("/proc/self/schedstat")
        .is_some_and(|line| line.split_whitespace().nth(2).is_some_and(|times_on_cpu| times_on_cpu != "0"));
    match known {
        State::Available(_) if !kept => State::Missing {
            why: "/proc/self/schedstat is empty: the kernel does not keep them".into(),
            remedy: REMEDY,
        },
        other => other,
    }
}

/// `modes` is what the kernel says: "none [integrity] confidentiality", the one in force in brackets.
fn lockdown(modes: Option<&str>) -> State {
    let Some(modes) = modes else { return State::Available("off, or not to be seen".into()) };
    match modes.split(['[', ']']).nth(1).unwrap_or("none") {
        "confidentiality" => State::Missing {
            why: "mode confidentiality: the kernel may refuse probes".into(),
            remedy: "boot with lockdown=integrity or none (Secure Boot asks for integrity only)",
        },
        mode => State::Available(format!("mode {mode}")),
    }
}

fn mounted(kind: &str, remedy: &'static str) -> State {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let place = mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (_, place, found) = (words.next()?, words.next()?, words.next()?);
        (found == kind).then(|| place.to_owned())
    });
    match place {
        Some(place) => State::Available(place),
        None => State::Missing { why: "not mounted".into(), remedy },
    }
}

fn setting(path: &str, remedy: &'static str) -> State {
    let name = path.rsplit('/').next().unwrap_or(path);
    match read(path) {
        Some(value) => State::Available(format!("{name} = {value}")),
        None => State::Missing { why: format!("{path} does not exist"), remedy },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every feature is listed once, and each that is missing says why and what to do.
    #[test]
    fn features_explain_themselves() {
        let features = detect();
        assert_eq!(features.len(), FeatureId::ALL.len());
        for (index, feature) in features.iter().enumerate() {
            assert!(!FeatureId::ALL[..index].contains(&feature.id), "{:?} twice", feature.id);
            if let State::Missing { why, remedy } = &feature.state {
                assert!(!why.is_empty() && !remedy.is_empty(), "{:?}", feature.id);
            }
        }
    }

    /// Without type information, what depends on it is missing for that reason instead of a guess.
    #[test]
    fn no_types_is_the_first_cause() {
        let types = KernelTypes(Err("gone".into()));
        assert!(matches!(FeatureId::Btf.state(&types), State::Missing { .. }));
        assert!(matches!(FeatureId::SchedInfo.state(&types), State::Missing { .. }));
    }

    /// Scenario: the processors that Go runs on. Guarantees: where only the kernel half is unknown, spans are not refused;
    /// the refusal names the processor, and is the first, before privileges and kernel features that would not help.
    #[test]
    fn a_processor_that_is_not_known_is_refused_by_name() {
        let refused = |state: State| match state {
            State::Available(_) => None,
            State::Missing { why, .. } => Some(why),
        };
        assert_eq!(refused(architecture("linux", "x86_64")).or(refused(processor("linux", "x86_64"))), None);
        assert_eq!(refused(architecture("linux", "aarch64")), None);
        assert!(refused(processor("linux", "aarch64")).is_some_and(|why| why.contains("aarch64")));
        for (system, name) in [("linux", "riscv64"), ("macos", "aarch64"), ("windows", "x86_64")] {
            assert!(refused(architecture(system, name)).is_some_and(|why| why.contains(name)), "{system} on {name}");
            assert!(refused(processor(system, name)).is_some(), "{system} on {name}");
        }
        let first = FeatureId::ALL.into_iter().find(|feature| feature.purpose() == Purpose::Anatomy);
        assert_eq!(first, Some(FeatureId::Processor));
    }

    /// The mode in force is the one in brackets; a kernel that does not say has none.
    #[test]
    fn lockdown_modes_are_read() {
        let available = |modes| matches!(lockdown(modes), State::Available(_));
        assert!(available(None) && available(Some("[none] integrity confidentiality")));
        assert_eq!(lockdown(Some("none [integrity] confidentiality")), State::Available("mode integrity".into()));
        assert!(!available(Some("none integrity [confidentiality]")));
    }
}
