//! Delivery: how spans and metrics leave the agent.
//!
//! Spans come as [`Batch`]es of OTLP bytes and go to [`Sink`]s. A sink takes a batch or refuses it at once; whatever
//! is slow (a network, a disk) happens behind it, on a thread of its own.

pub mod batch;
pub mod json;
pub mod metrics;
pub mod otlp;
pub mod prometheus;
pub mod queue;
pub mod sink;

pub use batch::Batch;
pub use sink::{Refused, Sink, SinkReport};
