//! Facts about a Go executable (ELF, Mach-O, PE), without running it: what the go command recorded, and the manifest of what
//! was woven in.
//!
//! [`line_table`](LineTable) knows functions and lines by address, as the program's own runtime does.
//!
//! `executable` (where the record lies) → `build` (its lines) → `manifest` (ours among them). Files come from anybody: every
//! length and offset is checked, and a broken file is an error that says what is wrong, never a crash.

mod build;
mod executable;
mod line_table;
pub mod literal;
pub mod manifest;

pub use build::{BuildInformation, Module};
pub use executable::{Executable, Format, MARK_LENGTH, ReadError};
pub use line_table::{Frame, LineTable, Segment};
pub use manifest::{Manifest, ManifestError};
