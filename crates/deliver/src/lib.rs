//! Delivery: how spans, metrics and log records leave the agent.
//!
//! Spans and log records come as [`Batch`]es of OTLP bytes and go to [`Sink`]s, of which each is for one signal. A sink takes a batch or refuses it at once; whatever
//! is slow (a network, a disk) happens behind it, on a thread of its own.

pub mod balance;
pub mod batch;
pub mod conventions;
mod fnv;
pub mod json;
pub mod metrics;
pub mod otlp;
pub mod prometheus;
pub mod queue;
pub mod retry;
pub mod sink;

pub use batch::{Batch, Signal};
pub use sink::{QueueReport, Refused, Sink, SinkReport};
