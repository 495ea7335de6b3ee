//! `program/test.yaml`: what the test of a pack needs.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use crate::program::folder_of;
use crate::rig::repository;

/// As it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Servers that the program finds in its environment; `servers/` has them.
    #[serde(default)]
    pub servers: Vec<String>,
    /// When it is run.
    pub set: Set,
    /// The lowest and the highest version of the pack's module that are supported, and others that need a look.
    #[serde(default)]
    pub versions: Vec<String>,
    /// Modules that go with the pack's, at the same version.
    #[serde(default)]
    pub together: Vec<String>,
    /// Modules of others, `path@version`, that one of the versions needs older than the program has them.
    #[serde(default)]
    pub beside: BTreeMap<String, Vec<String>>,
    /// More of the program's environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Where the program is another pack's under other names.
    #[serde(default)]
    pub program_of: Option<ProgramOf>,
}

/// A program that is another pack's: its files but those that the folder has itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramOf {
    /// Whose.
    pub pack: String,
    /// Pieces of its text, and what stands in their place here.
    #[serde(default)]
    pub replace: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// By `make test`.
    Core,
    /// By `make test-packs` only.
    Packs,
    /// By a test in `tests/e2e`, which asks for more than the spans; here only its versions are.
    E2e,
}

impl Settings {
    /// Those of a pack, or what is wrong with them.
    pub fn of(pack: &str) -> Result<Self, String> {
        let file = format!("{}/program/test.yaml", folder_of(pack));
        let text = fs::read_to_string(repository().join(&file)).map_err(|error| format!("{file}: {error}"))?;
        serde_saphyr::from_str(&text).map_err(|error| format!("{file}: {error}"))
    }
}
