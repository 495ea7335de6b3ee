//! Paths that the environment names.

use std::path::PathBuf;

/// The path in a variable; one that is empty counts as not set.
pub fn path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}
