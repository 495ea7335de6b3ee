//! Facts about a Go executable (ELF, Mach-O, PE), without running it: what the go command recorded, and the manifest of what
//! was woven in.
//!
//! [`Binary`] is a program as probes see it: [`sites`] finds the instructions to put them on, [`Offsets`] where fields lie.
//!
//! [`line_table`](LineTable) knows functions and lines by address, as the program's own runtime does.
//!
//! `executable` (where the record lies) → `build` (its lines) → `manifest` (ours among them). Files come from anybody: every
//! length and offset is checked, and a broken file is an error that says what is wrong, never a crash.

mod binary;
mod build;
mod executable;
mod line_table;
pub mod literal;
pub mod manifest;
mod offsets;
mod sites;
mod source;
mod tls;

pub use binary::{Binary, BinaryError, Function};
pub use build::{BuildInformation, Module};
pub use executable::{Executable, Format, MARK_LENGTH, ReadError};
pub use line_table::{Frame, LineTable, Segment};
pub use manifest::{Manifest, ManifestError};
pub use offsets::table::compare as compare_versions;
pub use offsets::{OffsetSource, Offsets, Wanted, wanted};
pub use sites::{
    Condition, End, EndRule, FlagTest, Obstacle, Site, SiteError, SiteKind, Sites, beginning, behind_call, sites,
};
