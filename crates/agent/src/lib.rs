//! The agent: takes the records of woven programs out of shared memory and makes spans and metrics of them.
//!
//! The modules follow the way of the data: [`session`] (one program: hand-shake, memory, life) → [`assemble`] (records
//! become spans; [`logs`]: log records) → [`measure`] (rates, errors, durations, and the times by part of [`anatomy`]) → [`pipeline`] (the loop that does it all) → sinks of
//! `deliver`. [`limits`] is what a span may hold; [`kernel`] is where the kernel half plugs in; [`profile`] makes profiles of its samples and of those that `parked` takes of goroutines, whose addresses `symbols` looks up; [`programs`] finds programs for those who only want to switch
//! something in them. [`observed`] is where observers of programs that were not woven plug in, for whom [`discover`] finds the processes; [`sockets`] is one of them. [`receive`] takes what others send as OTLP, [`correlate`] makes one stream of all,
//! [`attributes`] changes attributes, [`sample`] keeps some traces and drops others: stages before the sinks. [`regulate`] keeps all of it within a budget. [`Completeness`] compares the two halves' counts. [`settings`] is `agent.yaml`. `place` knows where a process runs.

mod anatomy;
pub mod assemble;
pub mod attributes;
pub mod balance;
pub mod clock;
mod completeness;
pub mod correlate;
pub mod discover;
pub mod fold;
pub mod graph;
mod instruments;
pub mod kernel;
pub mod limits;
pub mod logs;
pub mod measure;
pub mod observed;
mod parked;
pub mod pipeline;
mod place;
pub mod profile;
pub mod programs;
pub mod receive;
pub mod regulate;
pub mod sample;
mod session;
pub mod settings;
pub mod sockets;
pub mod statistics;
mod symbols;
pub mod template;

pub use completeness::{Completeness, Requests};
pub use discover::Selection;
pub use fold::Fold;
pub use graph::ServiceGraph;
pub use kernel::{AccountMap, KernelHalf, SpanSystemCalls, SystemCalls};
pub use observed::{Losses, ObserveError, ObservedProcess, Observer, Observing, OpenObserver};
pub use pipeline::{Agent, AgentError, Config, Outcome};
pub use profile::{ProfileCounts, Profiling, Sample, Samples};
pub use programs::{Choice, Program, ProgramsError};
pub use regulate::Regulating;
pub use sample::{Sampler, Sampling};
pub use session::handshake::{ListenError, ask};
pub use settings::{Settings, SettingsError};
pub use sockets::{Asker, Askers, Known, Segments, SocketObserver};
pub use statistics::{FunctionCalls, Statistics};
