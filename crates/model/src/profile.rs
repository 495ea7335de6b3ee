//! What a profile consists of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the samples of a profile stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileKind {
    /// Time on a CPU.
    Cpu,
    /// Time blocked in the kernel in the middle of a goroutine's work, or parked by Go.
    OffCpu,
}

impl ProfileKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::OffCpu];

    /// Its name as the type of OTLP's and pprof's samples.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::OffCpu => "off_cpu",
        }
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A function on a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// `example.com/shop/cart.(*Cart).Add`; in brackets where it is no Go function: `[kernel: write]`, `[libc.so.6]`.
    pub function: String,
    /// Path of its source; empty where that is not known.
    pub file: String,
    /// Line of the call to the frame before, or of the instruction.
    pub line: u32,
    /// Line of the function's beginning.
    pub start_line: u32,
    /// It was compiled into the next frame.
    pub inlined: bool,
}

/// The functions at one address: all but the last were compiled into the one after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// As the program was linked; 0: not in the program.
    pub address: u64,
    /// The innermost first.
    pub frames: Vec<Frame>,
}

/// One or more looks at a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSample {
    /// What it stands for.
    pub kind: ProfileKind,
    /// When it was taken, ns since 1970; of time off the CPU, when that began.
    pub time_unix_nano: u64,
    /// The time that it stands for, ns.
    pub value_ns: u64,
    /// The trace that the goroutine was in.
    pub trace_id: Option<crate::TraceId>,
    /// The span.
    pub span_id: Option<crate::SpanId>,
    /// The system's id of the thread; 0: a goroutine that has none, since it is parked.
    pub thread_id: u32,
    /// The innermost function first.
    pub stack: Arc<Vec<Frame>>,
}

/// A sample, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSample {
    /// `service.name`.
    pub service: Arc<str>,
    /// The sample.
    pub sample: ProfileSample,
}
