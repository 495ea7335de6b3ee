//! The build half of Tandem: weaves spans into Go source and runs the go command on the result.
//!
//! `pack` (what to weave) → `find`, `splice`, `weave` (into which bytes) → `goroot` (where go finds it) → `go` (run).
//! The go command itself is not touched: it only reads its sources from elsewhere.

pub mod cache;
mod directive;
mod embedded;
pub mod error;
pub mod find;
pub mod go;
pub mod goroot;
pub mod pack;
pub mod parse;
pub mod runtime_patch;
pub mod signature;
pub mod splice;
pub mod token;
pub mod version;
pub mod weave;

pub use error::WeaveError;

/// Changes with every change of the weave, the packs or `tandem/rt`.
pub fn weave_version() -> &'static str {
    embedded::WEAVE_VERSION
}
