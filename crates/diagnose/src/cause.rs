//! What a part of an operation's time means.

use std::fmt;

use model::{Kind, Span, TraceId};
use serde::{Deserialize, Serialize};

/// Why a request took longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// Goroutines wait for a lock that another one holds.
    LockContention,
    /// The control group had used up its CPU time.
    CpuThrottling,
    /// Others had the CPUs.
    CpuContention,
    /// The program's own goroutines had all its threads.
    GoScheduler,
    /// The garbage collector: stopped worlds, assists, waits for them.
    GarbageCollection,
    /// The database took long to answer.
    SlowQuery,
    /// All connections of a pool were in use.
    PoolExhaustion,
    /// Packets were lost and sent again.
    PacketsLost,
    /// Between a client and its server: network, connecting, the server not having begun.
    Network,
    /// Files: reading, writing, above all synchronising.
    FileSync,
    /// Pages that had to be read from a device.
    MemoryPressure,
    /// More was computed.
    Computation,
    /// Another program, of which there are no spans, took long to answer.
    SlowDependency,
    /// The same operation was called more often.
    MoreCalls,
    /// Calls failed and were made again.
    Retries,
    /// Waits for other goroutines of the same program: channels, `select`, `WaitGroup`s.
    OtherGoroutines,
    /// Timers: sleeping, backing off.
    Sleeping,
    /// The receiver took the data slowly.
    SlowReceiver,
    /// Data had come and nobody of the program had looked.
    Unread,
    /// The kernel's own waits that have no name.
    Kernel,
    /// Nothing was measured.
    Unmeasured,
}

impl CauseKind {
    /// What it is called in a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::LockContention => "lock contention",
            Self::CpuThrottling => "CPU throttling by the control group",
            Self::CpuContention => "CPU contention with other programs",
            Self::GoScheduler => "not enough threads for the program's goroutines",
            Self::GarbageCollection => "garbage collection",
            Self::SlowQuery => "slow query",
            Self::PoolExhaustion => "connection pool exhausted",
            Self::PacketsLost => "packets lost",
            Self::Network => "between client and server",
            Self::FileSync => "file synchronisation and file I/O",
            Self::MemoryPressure => "pages read from a device",
            Self::Computation => "more computation",
            Self::SlowDependency => "slow answer from outside",
            Self::MoreCalls => "more calls",
            Self::Retries => "failed calls made again",
            Self::OtherGoroutines => "waits for other goroutines",
            Self::Sleeping => "sleeping",
            Self::SlowReceiver => "receiver takes data slowly",
            Self::Unread => "data had come, nobody looked",
            Self::Kernel => "waits in the kernel",
            Self::Unmeasured => "not measured",
        }
    }
}

impl fmt::Display for CauseKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}

/// A cause with what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What it is.
    pub kind: CauseKind,
    /// The service where the time went.
    pub service: String,
    /// The operation in which it went.
    pub operation: String,
    /// Share of the slow requests' extra time that it makes up, 0 to 1.
    pub share: f64,
    /// Time a slow request spent there, ns: the median.
    pub slow_ns: u64,
    /// Time a normal request spent there, ns: the median.
    pub normal_ns: u64,
    /// Calls of the operation a slow request made on its critical path, on average.
    pub slow_calls: f64,
    /// Those of a normal one.
    pub normal_calls: f64,
    /// What was seen, a sentence each.
    pub evidence: Vec<String>,
    /// Slow requests that show it most.
    pub traces: Vec<TraceId>,
    /// What to do next: a command, where there is one.
    pub next: String,
}

/// What matters of a span for what its time means.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    span: &'a Span,
    /// A span of another process answers it.
    pub answered: bool,
    /// Segments sent again on its connections, its children's left out.
    pub retransmits: u64,
}

impl<'a> Role<'a> {
    /// Of a span.
    pub fn new(span: &'a Span, answered: bool, retransmits: u64) -> Self {
        Self { span, answered, retransmits }
    }

    fn asks(&self) -> bool {
        matches!(self.span.kind, Kind::Client | Kind::Producer)
    }

    fn asks_database(&self) -> bool {
        self.asks() && self.span.attributes.contains_key("db.system.name")
    }

    /// What time in this part of the span's anatomy means.
    pub fn cause(&self, part: &str) -> CauseKind {
        match part {
            "throttled" => CauseKind::CpuThrottling,
            "run_queue" => CauseKind::CpuContention,
            "go_runnable" => CauseKind::GoScheduler,
            "go_stopped" | "go_gc" => CauseKind::GarbageCollection,
            "major_fault" => CauseKind::MemoryPressure,
            "blocked_file" | "block_io" => CauseKind::FileSync,
            "network_unread" => CauseKind::Unread,
            "go_send" => CauseKind::SlowReceiver,
            "blocked_lock" | "blocked_other" => CauseKind::Kernel,
            "on_cpu" | "cgo" | "minor_fault" if self.asks_database() => CauseKind::SlowQuery,
            "on_cpu" | "cgo" | "minor_fault" => CauseKind::Computation,
            "go_sync" | "blocked_futex" if !self.asks() => CauseKind::LockContention,
            "go_sleep" | "blocked_sleep" if self.asks_database() => CauseKind::SlowQuery,
            "go_sleep" | "blocked_sleep" => CauseKind::Sleeping,
            _ if part.starts_with("go_") || part.starts_with("blocked_") => self.wait(part),
            _ => CauseKind::Unmeasured,
        }
    }

    /// What a wait for somebody else means.
    fn wait(&self, part: &str) -> CauseKind {
        let network = matches!(part, "go_network" | "blocked_network");
        match () {
            // Of database/sql nothing waits in a `select` on the way of a request but who wants a connection.
            () if self.asks_database() && part == "go_select" && self.span.scope == "tandem/database/sql" => {
                CauseKind::PoolExhaustion
            }
            () if self.asks_database() && matches!(part, "go_sync" | "blocked_futex") => CauseKind::LockContention,
            () if self.asks() && self.retransmits > 0 => CauseKind::PacketsLost,
            () if self.asks() && self.answered => CauseKind::Network,
            () if self.asks_database() => CauseKind::SlowQuery,
            () if self.asks() => CauseKind::SlowDependency,
            () if network && self.retransmits > 0 => CauseKind::PacketsLost,
            () if network => CauseKind::SlowDependency,
            () => CauseKind::OtherGoroutines,
        }
    }
}
