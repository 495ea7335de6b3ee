//! A Go that is newer than any known one: its woven packages are compiled once, before a build depends on them, so that
//! hooks whose code no longer fits are left out with a warning instead of breaking the build.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::error::WeaveError;
use crate::goroot::WOVEN_GO;
use crate::plan::PLAN_VARIABLE;
use crate::reuse::REUSE_VARIABLE;

/// Compiles packages of a shadow GOROOT; gives those that do not compile, each with the first thing that is wrong.
pub fn compile<'a>(
    root: &Path,
    packages: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, WeaveError> {
    let go = root.join(WOVEN_GO);
    let mut command = Command::new(&go);
    command.arg("build").args(packages).arg("tandem/rt").current_dir(root.join("src"));
    command
        .env("GOROOT", root)
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env_remove(PLAN_VARIABLE)
        .env_remove(REUSE_VARIABLE);
    command.env("GOFLAGS", "-v=false"); // says nothing, but is there: flags of `go env -w` do not count
    let output = command.output().map_err(|error| WeaveError::GoBroken {
        command: format!("{} build", go.display()),
        problem: error.to_string(),
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let broken = broken_packages(&text);
    if output.status.success() || !broken.is_empty() {
        return Ok(broken);
    }
    let reason = text.lines().next().unwrap_or("the go command fails").to_owned();
    Ok(BTreeMap::from([("runtime".to_owned(), reason)])) // nothing can be built there
}

/// `# net/http` and the line that follows.
fn broken_packages(text: &str) -> BTreeMap<String, String> {
    let mut lines = text.lines().peekable();
    let mut broken = BTreeMap::new();
    while let Some(line) = lines.next() {
        let package = line.strip_prefix("# ").and_then(|rest| rest.split(' ').next());
        if let (Some(package), Some(reason)) = (package, lines.peek()) {
            broken.insert(package.to_owned(), (*reason).to_owned());
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        let text = "# net/http\nnet/http/tandem.go:3:2: undefined: x\nnet/http/tandem.go:4:2: undefined: y\n# log/slog [x]\nno\n";
        let broken = broken_packages(text);
        assert_eq!(broken.keys().collect::<Vec<_>>(), ["log/slog", "net/http"]);
        assert_eq!(broken["net/http"], "net/http/tandem.go:3:2: undefined: x");
    }
}
