//! What an agent may do: the capabilities that it keeps, each with its reason. All others it gives away before it listens to
//! anybody.
//!
//! Capabilities, `no_new_privs` and filters of system calls belong to threads: one that begins inherits them. So
//! [`confine`] comes before any thread of the agent, and what starts the user's program is a thread from before it
//! ([`Launcher`]): the program has all that whoever called `tandem run` has.

use std::fmt;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// How long a capability is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Until the kernel half is loaded.
    Loading,
    /// The same, where programs are observed that were not woven.
    LoadingObservers,
    /// For good.
    Always,
    /// For good, by `tandem run`.
    ByRun,
    /// For good, where a port below 1024 was asked for.
    WithLowPort,
}

/// A capability and what it is for.
pub struct Capability {
    pub name: &'static str,
    pub set: CapabilitySet,
    pub kept: Kept,
    pub reason: &'static str,
    /// What an agent does that lacks it.
    pub without: &'static str,
}

impl Capability {
    /// Whether this process has it.
    pub fn is_there(&self) -> bool {
        rustix::thread::capabilities(None).is_ok_and(|own| own.effective.contains(self.set))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Loading => "until the kernel half is loaded",
            Self::LoadingObservers => "until that, with `attach` or `--observe`",
            Self::Always => "always",
            Self::ByRun => "by `tandem run`",
            Self::WithLowPort => "with a port below 1024",
        })
    }
}

/// All that an agent can have. docs/security.md has the same list; a test compares them.
pub const CAPABILITIES: [Capability; 8] = [
    Capability {
        name: "CAP_PERFMON",
        set: CapabilitySet::PERFMON,
        kept: Kept::Loading,
        reason: "load programs that look at the scheduler, and those of probes on functions",
        without: "the kernel half stays off",
    },
    Capability {
        name: "CAP_NET_ADMIN",
        set: CapabilitySet::NET_ADMIN,
        kept: Kept::LoadingObservers,
        reason: "load programs that see packets of observed programs' sockets, and insert headers into their requests",
        without: "programs are not observed by their sockets",
    },
    Capability {
        name: "CAP_BPF",
        set: CapabilitySet::BPF,
        kept: Kept::Always,
        reason: "make an account map for each program that comes, and take it away; place probes on functions",
        without: "the kernel half stays off",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        set: CapabilitySet::SYS_PTRACE,
        kept: Kept::Always,
        reason: "see the descriptors and the executable of other users' programs",
        without: "programs of other users that ran before the agent are not found; those that come later are served",
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        set: CapabilitySet::DAC_READ_SEARCH,
        kept: Kept::Always,
        reason: "list the descriptors of other users' programs",
        without: "programs of other users that ran before the agent are not found; those that come later are served",
    },
    Capability {
        name: "CAP_SYS_NICE",
        set: CapabilitySet::SYS_NICE,
        kept: Kept::Always,
        reason: "empty rings in time on a machine that is saturated",
        without: "on a saturated machine more spans find their ring full",
    },
    Capability {
        name: "CAP_KILL",
        set: CapabilitySet::KILL,
        kept: Kept::ByRun,
        reason: "pass signals on to a program that has become another user",
        without: "signals do not reach a program that has become another user",
    },
    Capability {
        name: "CAP_NET_BIND_SERVICE",
        set: CapabilitySet::NET_BIND_SERVICE,
        kept: Kept::WithLowPort,
        reason: "serve the page or metrics at a port below 1024",
        without: "choose a port from 1024 on",
    },
];

/// What an agent keeps beside what all keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra {
    /// It is that of `tandem run`.
    pub run: bool,
    /// It serves something at a port below 1024.
    pub low_port: bool,
    /// It observes programs that were not woven.
    pub observes: bool,
}

impl Extra {
    /// The capabilities that stay.
    fn stay(self) -> CapabilitySet {
        self.set_of(|kept| match kept {
            Kept::Loading | Kept::LoadingObservers => false,
            Kept::Always => true,
            Kept::ByRun => self.run,
            Kept::WithLowPort => self.low_port,
        })
    }

    /// The capabilities that are kept until everything is loaded.
    fn load(self) -> CapabilitySet {
        self.set_of(|kept| kept == Kept::Loading || kept == Kept::LoadingObservers && self.observes)
    }

    fn set_of(self, fits: impl Fn(Kept) -> bool) -> CapabilitySet {
        let fitting = CAPABILITIES.iter().filter(|capability| fits(capability.kept));
        fitting.fold(CapabilitySet::empty(), |all, capability| all | capability.set)
    }
}

/// Gives away, for this thread and all that it starts, what an agent does not need; what loading needs is kept.
/// What was not there is not missed: an agent without privileges works without them.
pub fn confine(extra: Extra) -> io::Result<()> {
    let stay = extra.stay();
    // Needs CAP_SETPCAP; who lacks that could not gain anything by another program either.
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if stay.contains(one) || !rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
            continue;
        }
        let _ = rustix::thread::remove_capability_from_bounding_set(one);
    }
    rustix::thread::set_no_new_privs(true)?;
    keep_only(stay | extra.load())?;
    refuse_calls()
}

/// Gives away what only loading needed.
pub fn settle(extra: Extra) -> io::Result<()> {
    keep_only(extra.stay())
}

fn keep_only(set: CapabilitySet) -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    let sets = CapabilitySets {
        effective: own.effective & set,
        permitted: own.permitted & set,
        inheritable: CapabilitySet::empty(), // and with it what is ambient
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// System calls that an agent has no use for: those that change another process, and those that become another program.
const REFUSED: [libc::c_long; 4] =
    [libc::SYS_ptrace, libc::SYS_process_vm_writev, libc::SYS_execve, libc::SYS_execveat];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64
/// Numbers from here on are those of x86-64's second interface, which nobody uses.
const SECOND_INTERFACE: u32 = 0x4000_0000;

/// Has the kernel refuse them, with EPERM. Where it knows no filters, the capabilities alone have to do.
#[expect(unsafe_code, reason = "a filter of system calls has no safe binding")]
fn refuse_calls() -> io::Result<()> {
    let load = |offset| filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let answer = |value| filter(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let count = REFUSED.len() as u8;
    let mut code = vec![
        load(4), // seccomp_data.arch
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, count + 3, ARCHITECTURE),
        load(0), // seccomp_data.nr
        filter(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, count + 1, 0, SECOND_INTERFACE),
    ];
    for (index, call) in (0u8..).zip(REFUSED) {
        code.push(filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, count - index, 0, call as u32));
    }
    code.push(answer(libc::SECCOMP_RET_ALLOW));
    code.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: the kernel copies `program` and the code that it points to; both outlive the call.
    let outcome = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    match outcome {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            error => Err(error),
        },
    }
}

fn filter(code: u32, jump_true: u8, jump_false: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k: value }
}

/// A thread that still has all privileges, to start one program with; then it ends.
pub struct Launcher {
    orders: Sender<Command>,
    started: Receiver<io::Result<Child>>,
}

impl Launcher {
    /// To be called before [`confine`].
    pub fn new() -> io::Result<Self> {
        let (orders, order) = mpsc::channel::<Command>();
        let (done, started) = mpsc::channel();
        thread::Builder::new().name("tandem-launcher".to_owned()).spawn(move || {
            if let Ok(mut command) = order.recv() {
                let _ = done.send(command.spawn());
            }
        })?;
        Ok(Self { orders, started })
    }

    /// Starts the program.
    pub fn start(self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts programs has ended");
        self.orders.send(command).map_err(|_| gone())?;
        self.started.recv().map_err(|_| gone())?
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "system calls that are to be refused")]
mod tests {
    use super::*;

    /// docs/security.md says what is kept, for how long, and for what, in the same words.
    #[test]
    fn the_page_lists_what_is_kept() {
        let page = include_str!("../../../docs/security.md");
        let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `CAP_")).collect();
        let kept = CAPABILITIES.iter();
        let kept: Vec<_> = kept.map(|one| format!("| `{}` | {} | {} |", one.name, one.kept, one.reason)).collect();
        assert_eq!(listed, kept);
    }

    /// So do the unit and the manifest that are shipped, for an agent without a low port.
    #[test]
    fn what_is_deployed_gets_what_is_listed() {
        let named = |kept: &Capability| !matches!(kept.kept, Kept::ByRun | Kept::WithLowPort);
        let mut listed: Vec<_> = CAPABILITIES.iter().filter(|one| named(one)).map(|one| one.name.to_owned()).collect();
        listed.sort();
        let unit = include_str!("../../../deploy/systemd/tandem-agent.service");
        for setting in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
            let line = unit.lines().find_map(|line| line.strip_prefix(setting)).expect(setting);
            let mut given: Vec<_> = line.split(' ').map(str::to_owned).collect();
            given.sort();
            assert_eq!(given, listed, "{setting}");
        }
        let manifest = include_str!("../../../deploy/kubernetes/tandem.yaml");
        let lines: Vec<_> = manifest.lines().filter_map(|line| line.trim().strip_prefix("add: [")).collect();
        assert!(!lines.is_empty());
        for line in lines {
            let given = line.trim_end_matches(']').split(", ").map(|name| format!("CAP_{name}"));
            let mut given: Vec<_> = given.collect();
            given.sort();
            assert_eq!(given, listed);
        }
    }

    /// What only observers need, only they get, and not for longer than they need it.
    #[test]
    fn observers_alone_may_change_the_network() {
        let observes = Extra { observes: true, ..Extra::default() };
        assert!(observes.load().contains(CapabilitySet::NET_ADMIN));
        assert!(!observes.stay().contains(CapabilitySet::NET_ADMIN));
        assert!(!Extra::default().load().contains(CapabilitySet::NET_ADMIN));
        assert!(Extra::default().load().contains(CapabilitySet::PERFMON));
    }

    /// What a thread of the agent cannot do any more, and what a program that it starts can.
    #[test]
    fn a_confined_thread_changes_no_other_process() {
        let launcher = Launcher::new().expect("a thread");
        thread::spawn(move || {
            confine(Extra::default()).expect("giving away is always allowed");
            settle(Extra::default()).expect("giving away is always allowed");
            // SAFETY: refused before any argument is looked at; allowed, it would ask to attach to no process.
            let traced = unsafe { libc::ptrace(libc::PTRACE_ATTACH, 0, 0, 0) };
            assert_eq!((traced, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
            // SAFETY: no memory is named.
            let written = unsafe {
                libc::process_vm_writev(std::process::id() as i32, std::ptr::null(), 0, std::ptr::null(), 0, 0)
            };
            assert_eq!((written, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
            let refused = Command::new("true").spawn().expect_err("it starts no programs");
            assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
            assert!(rustix::thread::no_new_privs().expect("Linux knows it"));
            let sets = rustix::thread::capabilities(None).expect("one's own");
            assert!(Extra::default().stay().contains(sets.permitted));
            assert!(!sets.permitted.contains(CapabilitySet::PERFMON));
        })
        .join()
        .expect("all of it holds");
        let mut command = Command::new("sh");
        command.args(["-c", "grep -q 'NoNewPrivs:.0' /proc/self/status && grep -q 'Seccomp:.0' /proc/self/status"]);
        let plain = Command::new("sh")
            .args(["-c", "grep -q 'NoNewPrivs:.0' /proc/self/status && grep -q 'Seccomp:.0' /proc/self/status"])
            .status()
            .expect("a shell");
        let status = launcher.start(command).expect("the launcher is not confined").wait().expect("a child");
        assert_eq!(status.code(), plain.code());
    }
}
