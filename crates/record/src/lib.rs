//! The shared-memory contract between a woven program (writer) and the agent (reader).
//!
//! [`layout`] is the specification; [`generate`] derives the Go and C sides from it. `docs/record.md` has the drawing.

pub mod generate;
pub mod header;
pub mod layout;

pub use header::HeaderFacts;
