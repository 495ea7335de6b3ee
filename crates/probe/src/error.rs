//! Everything that can keep the kernel half from working, each cause with what to do about it.

/// Why the kernel half cannot be loaded, or cannot watch a process.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Something this machine or privilege level does not offer.
    #[error("{}: {why}", feature.name())]
    Missing {
        /// What is missing.
        feature: crate::features::FeatureId,
        /// What was looked at and found.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// All that we know to ask for is there, yet the kernel refused a program.
    #[error("the kernel refused the {what} while {step}: {source}{}", log_lines(log))]
    Refused {
        /// Which of ours.
        what: &'static str,
        /// What was being done.
        step: &'static str,
        /// The kernel's error.
        source: libbpf_rs::Error,
        /// What libbpf and the verifier said.
        log: String,
    },
    /// The kernel refused a map for one process.
    #[error("cannot keep accounts for process {pid} ({step}): {source}")]
    Watch {
        /// The process.
        pid: u32,
        /// What was being done.
        step: &'static str,
        /// The kernel's error.
        source: libbpf_rs::Error,
    },
    /// The map of spans by thread can be neither used nor made where it was asked for.
    #[error("cannot share spans at {}: {source}", path.display())]
    Unshared {
        /// Where.
        path: std::path::PathBuf,
        /// The kernel's error.
        source: libbpf_rs::Error,
    },
    /// The kernel did not take one more process to look at.
    #[error("cannot {what} process {pid}: {source}")]
    Full {
        /// What is not done.
        what: &'static str,
        /// The process.
        pid: u32,
        /// The kernel's error.
        source: libbpf_rs::Error,
    },
    /// The program says that it has no accounts: woven for another architecture, or its runtime is not patched.
    #[error("process {pid} was woven without accounts of its goroutines")]
    NoAccounts {
        /// The process.
        pid: u32,
    },
    /// The kernel did not take the probes of one process.
    #[error("cannot observe process {pid} ({step}): {source}")]
    Attach {
        /// The process.
        pid: u32,
        /// What was being done.
        step: &'static str,
        /// The kernel's error.
        source: libbpf_rs::Error,
    },
    /// Counters could not be read.
    #[error("cannot read the probe's statistics: {0}")]
    Statistics(libbpf_rs::Error),
}

impl ProbeError {
    /// What the person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing { remedy, .. } => remedy,
            Self::Refused { .. } => {
                "run `tandem doctor`; if it finds nothing missing, please report this with your kernel version (uname -r) and the lines above"
            }
            Self::Watch { .. } => {
                "an account map takes 2 MiB of kernel memory a process: check the memory limit of the agent's control group"
            }
            Self::Unshared { .. } => {
                "name a place in a BPF file system, such as /sys/fs/bpf/otel/traces_ctx_v1, where there is no other kind of map"
            }
            Self::Full { .. } => "there is room for 4096 processes at once",
            Self::Attach { .. } => {
                "probes need CAP_BPF and CAP_PERFMON, and a process that still runs; there is room for 4096 at once"
            }
            Self::NoAccounts { .. } => "rebuild it on amd64 with this version of `tandem go build`",
            Self::Statistics(_) => "restart the agent",
        }
    }
}

/// The last lines of the log, which hold the reason; the rest is the verifier's walk.
fn log_lines(log: &str) -> String {
    const SHOWN: usize = 12;
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN)..].iter().flat_map(|line| ["\n  ", line]).collect()
}
