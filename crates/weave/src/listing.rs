//! What the go command says of packages, without us: which ones a command line names, and where they lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use gobin::literal::unquote;

use crate::error::WeaveError;

/// A package that a command line names, or that such a one needs.
#[derive(Debug)]
pub struct Package {
    /// Its import path.
    pub import_path: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Not named itself.
    pub is_dependency: bool,
}

const FORMAT: &str = "{{.ImportPath}}\t{{.Dir}}\t{{.DepOnly}}\t{{with .Error}}{{printf `%q` .Err}}{{end}}";

/// The packages that `arguments` (flags of `go build`, packages) name, and all that they need; `dir` is where `-C` leads.
pub fn packages(go: &Path, arguments: &[OsString], dir: &Path) -> Result<Vec<Package>, WeaveError> {
    let broken = |problem: String| WeaveError::GoBroken { command: format!("{} list", go.display()), problem };
    let arguments = match arguments.first().map(|first| first.as_encoded_bytes()) {
        Some(b"-C" | b"--C") => arguments.get(2..).unwrap_or_default(),
        Some(first) if first.starts_with(b"-C=") || first.starts_with(b"--C=") => &arguments[1..],
        _ => arguments,
    };
    let mut command = Command::new(go);
    command.args(["list", "-deps", "-e", "-f", FORMAT]).args(arguments).current_dir(dir).env("PWD", dir);
    let output = command.output().map_err(|error| broken(error.to_string()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(1) as u8 });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, '\t');
        let (Some(import_path), Some(package_dir), Some(dependency)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let is_dependency = dependency == "true";
        if package_dir.is_empty() && !is_dependency {
            let message = words.next().and_then(unquote).unwrap_or_else(|| b"no such package".to_vec());
            let message = format!("{import_path}: {}", String::from_utf8_lossy(&message));
            return Err(WeaveError::GoRefused { message, code: 1 });
        }
        found.push(Package { import_path: import_path.to_owned(), dir: package_dir.into(), is_dependency });
    }
    Ok(found)
}
