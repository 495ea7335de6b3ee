//! Tandem from end to end, as a person uses it: real Go programs woven by `tandem go`, run under `tandem run` or beside
//! `tandem agent`, looked at through what comes out.
//!
//! Each module is one part of the promise. [`rig`] starts and stops processes: every wait has a limit, whatever was started
//! ends with its test, and each test has a folder of its own that must be empty of temporary files at its end. No test
//! depends on how long something takes. What a test needs and this machine lacks (a go command, root, a kernel feature, a
//! network) is written down as a skip with its reason.

mod agent;
mod collector;
mod containers;
mod context;
mod crash;
mod delivery;
mod ends;
mod fleet;
mod functions;
mod garbage;
mod go_versions;
mod golang;
mod interoperation;
mod noise;
mod opentelemetry;
mod operations;
mod packs;
mod pool;
#[path = "../packs/program.rs"]
mod program;
mod prometheus;
#[path = "../packs/promises.rs"]
mod promises;
mod propagation;
mod receive;
mod refusals;
mod regulate;
mod rig;
mod safety;
mod sampling;
mod secrets;
#[path = "../packs/servers/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of packs, which use all of it")]
mod servers;
mod shop;
mod soak;
mod spans;
mod steps;
#[path = "../support/mod.rs"]
mod support;
#[path = "../packs/tree.rs"]
mod tree;
mod unprivileged;
