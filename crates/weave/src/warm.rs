//! `tandem warm`: compiles ahead what every woven build of this project will need, and nothing of the project itself:
//! the woven standard library, and the packages of other modules that its packages import.
//!
//! The go command's own cache is the only thing that is filled, by the go command, so nothing here can be stale.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::WeaveError;
use crate::go::{self, woven_go};
use crate::output::PathFilter;

/// What there is for each package that is compiled ahead: import path, then marks.
const LIST_FORMAT: &str = "{{.ImportPath}}{{if .Standard}} std{{end}}{{with .Module}}{{if .Main}} own{{end}}{{end}}{{if .Error}} broken{{end}}";

/// Packages of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub packages: usize,
    /// Those that were not in go's cache.
    pub compiled: usize,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warmed {
    /// `go1.26.8`.
    pub go_version: String,
    /// The standard library.
    pub standard: Count,
    /// Packages of other modules.
    pub others: Count,
    /// How the go command ended; what it had to say is on standard error.
    pub status: ExitStatus,
}

/// Compiles ahead for `arguments`: flags of `go build`, then packages (without any, all of the user's modules).
/// `on_compiled` hears of each package that is compiled.
pub fn warm(arguments: &[OsString], on_compiled: impl FnMut(&str) + Send + 'static) -> Result<Warmed, WeaveError> {
    let go = go::find_go()?;
    let build: Vec<OsString> = std::iter::once("build".into()).chain(arguments.iter().cloned()).collect();
    let (mut plan, arguments, dir) = go::plan(&go, &build)?;
    if arguments.rest.iter().any(is_output_flag) {
        let message = "tandem: warm builds no program: leave -o out".to_owned();
        return Err(WeaveError::GoRefused { message, code: 2 });
    }
    // The go command reads flags before packages only.
    let (flags, packages) = arguments.rest.split_at(arguments.rest.len() - arguments.packages.len());
    let own: Vec<OsString> = plan.own_modules.iter().map(|path| format!("{path}/...").into()).collect();
    let wanted = if packages.is_empty() { &own[..] } else { packages };
    let filter = PathFilter::new(&plan.mapping, &dir, false);

    let mut list = woven_go(&plan, &arguments, "list");
    list.args(flags).args(["-deps", "-e", "-f", LIST_FORMAT, "std"]).args(wanted);
    let kinds = packages_of(&mut list, &filter)?;
    let count = |wanted| Count { packages: kinds.values().filter(|kind| **kind == wanted).count(), compiled: 0 };
    let (mut standard, mut others) = (count(Kind::Standard), count(Kind::Other));

    let everything: Vec<String> =
        std::iter::once("std".into()).chain(wanted.iter().map(|word| word.to_string_lossy().into_owned())).collect();
    plan.reuse_objects(&go, &dir, &arguments, &everything);
    let mut compile = woven_go(&plan, &arguments, "build");
    let other_packages = kinds.iter().filter(|(_, kind)| **kind == Kind::Other).map(|(path, _)| path);
    compile.arg("-v").args(flags).arg("std").args(other_packages);
    let compiled: Arc<Mutex<Vec<Kind>>> = Arc::default();
    let listener = Listener { kinds, compiled: compiled.clone(), on_compiled, line: Vec::new() };
    let pipe = filter.pipe(listener).map_err(|error| broken(&compile, &error))?;
    let status = go::run_filtered(&mut compile, pipe)?;
    for kind in compiled.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        match kind {
            Kind::Standard => standard.compiled += 1,
            Kind::Other => others.compiled += 1,
        }
    }
    Ok(Warmed { go_version: plan.go_version, standard, others, status })
}

/// Runs `go list`.
fn packages_of(list: &mut Command, filter: &PathFilter) -> Result<BTreeMap<String, Kind>, WeaveError> {
    let output = list.output().map_err(|error| broken(list, &error))?;
    if !output.status.success() {
        let message = filter.text(String::from_utf8_lossy(&output.stderr).trim_end());
        return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(1) as u8 });
    }
    Ok(read_list(&String::from_utf8_lossy(&output.stdout)))
}

fn broken(command: &Command, error: &io::Error) -> WeaveError {
    let command = command.get_program().to_string_lossy().into_owned();
    WeaveError::GoBroken { command, problem: error.to_string() }
}

fn is_output_flag(word: &OsString) -> bool {
    let word = word.to_string_lossy();
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or_default();
    name == "o" || name.starts_with("o=")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standard,
    Other,
}

/// The packages that can be compiled ahead: neither the user's own, nor broken (the build itself will say so).
fn read_list(text: &str) -> BTreeMap<String, Kind> {
    let packages = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let path = words.next().filter(|path| !path.is_empty())?;
        let marks: Vec<&str> = words.collect();
        let is_left_out = marks.contains(&"own") || marks.contains(&"broken") || path == "command-line-arguments";
        let kind = if marks.contains(&"std") { Kind::Standard } else { Kind::Other };
        (!is_left_out).then(|| (path.to_owned(), kind))
    });
    packages.collect()
}

/// Reads what `go build -v` prints: a line for each package that it compiles. Anything else is for the person.
struct Listener<F> {
    kinds: BTreeMap<String, Kind>,
    compiled: Arc<Mutex<Vec<Kind>>>,
    on_compiled: F,
    line: Vec<u8>,
}

impl<F: FnMut(&str)> Write for Listener<F> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.hear(&line)?;
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&str)> Listener<F> {
    fn hear(&mut self, line: &[u8]) -> io::Result<()> {
        let path = String::from_utf8_lossy(line);
        match self.kinds.get(path.trim_end()) {
            Some(kind) => {
                self.compiled.lock().unwrap_or_else(PoisonError::into_inner).push(*kind);
                (self.on_compiled)(path.trim_end());
                Ok(())
            }
            None => io::stderr().write_all(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_and_broken_packages_are_left_out() {
        let kinds = read_list("fmt std\nexample.com/own own\nexample.com/lib\nexample.com/gone broken\n\n");
        let expected = [("example.com/lib", Kind::Other), ("fmt", Kind::Standard)];
        assert_eq!(kinds, expected.map(|(path, kind)| (path.to_owned(), kind)).into());
    }
}
