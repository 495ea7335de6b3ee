//! The agent: takes the records of woven programs out of shared memory and makes spans and metrics of them.
//!
//! The modules follow the way of the data.

pub mod kernel;

pub use kernel::{AccountMap, KernelHalf};
