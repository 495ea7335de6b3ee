//! The shared-memory contract between a woven program (writer) and the agent (reader).
//!
//! [`layout`] is the specification; [`generate`] derives the Go and C sides from it. `docs/record.md` has the drawing.
//! The rest is the reader: [`Memory`] opens a program's file, its [`Ring`]s hand over records, [`SpanRecord`] looks
//! into one. A reader never trusts a writer. [`RecordBuilder`] makes records of what is seen from outside.

mod builder;
mod bytes;
mod control;
mod extended;
mod functions;
pub mod generate;
pub mod header;
mod hello;
#[cfg(feature = "writer")]
pub mod image;
mod instrument;
pub mod layout;
mod log;
mod memory;
mod operations;
mod parse;
mod ring;
mod series;
mod tables;
#[cfg(feature = "writer")]
pub mod writer;

pub use builder::RecordBuilder;
pub use control::{Control, ProgramCounters, ROUTE_LIMIT, Route, Rule};
pub use extended::{AnyValue, Key, List, Map, Moment};
pub use functions::{Active, Function, FunctionNumber, Functions, Setting, SwitchError, Switchboard};
pub use header::{GoroutineFacts, Header, HeaderError, HeaderFacts, READABLE_VERSIONS};
pub use hello::Hello;
pub use instrument::{Instrument, InstrumentAttribute, InstrumentKind, InstrumentValue};
pub use log::{LogItem, LogItems, LogRecord};
pub use memory::{Identity, Memory, OpenError};
pub use operations::{Operation, PATTERN_LIMIT, QuietError};
pub use parse::{Item, Items, RecordError, SpanRecord, Value, rename_attributes};
pub use ring::{Drained, Garbage, Ring};
pub use series::{SeriesDelta, SeriesReader};
pub use tables::{Descriptor, Tables};

/// A moment by `CLOCK_MONOTONIC`, ns: the clock of all times in shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicNanos(pub u64);
