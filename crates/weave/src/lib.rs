//! The build half of Tandem: weaves spans into Go source and runs the go command on the result.
//!
//! `plan` (what this command line needs) ← `project` (modules), `pack` (rules) → `weave` (`find`, `types`, `signature`,
//! `splice`: which bytes), `directive`, `functions` (the user's own code) → `goroot` (tried by `trial` where Go is new), `modules`,
//! `versioned`, `overlay` (where go finds it) → `go` (run), `output` (what it prints), `tool`, `cover`
//! (what its tools record), `reuse`, `alike`, `exports`, `symbols`, `object` (what is not compiled again).
//! The go command itself is not touched: it only reads its sources from elsewhere.

pub mod action;
pub mod alike;
pub mod arguments;
pub mod cache;
pub mod condition;
mod cover;
pub mod diff;
pub mod directive;
mod embedded;
pub mod env;
pub mod error;
pub mod explain;
pub mod exports;
pub mod find;
pub mod functions;
pub mod go;
pub mod goroot;
pub mod imports;
mod listing;
mod manifest;
pub mod modfile;
pub mod modules;
pub mod object;
pub mod output;
pub mod overlay;
pub mod pack;
pub mod pack_check;
pub mod pack_new;
pub mod pack_source;
pub mod pack_text;
pub mod pack_verify;
pub mod parse;
pub mod plan;
pub mod project;
pub mod reuse;
pub mod runtime_patch;
mod seal;
mod sha256;
pub mod shadow;
pub mod signature;
pub mod splice;
pub mod symbols;
pub mod token;
pub mod tool;
mod trial;
mod trimmed;
pub mod types;
pub mod version;
pub mod versioned;
pub mod warm;
pub mod weave;

pub use error::WeaveError;

/// Changes with every change of the weave, the packs or `tandem/rt`.
pub fn weave_version() -> &'static str {
    embedded::WEAVE_VERSION
}
