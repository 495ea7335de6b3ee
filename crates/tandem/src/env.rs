//! `tandem env`: shell lines that put a `go` which builds woven in front of `PATH`.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use clap::Args;

use crate::{failure, terminal};

/// Let build systems that call `go` themselves build woven: eval "$(tandem env)".
///
/// Prints a line for the shell that puts a folder in front of PATH. Its `go` hands build, install, run, test and vet to
/// `tandem go`; every other sub-command runs plain. Nothing else is exported, and nothing is written outside the cache
/// folder.
///
/// A program that calls go by its full path, or through $(go env GOROOT)/bin, builds plain.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Env {
    /// Print a line that takes the folder out of PATH again: eval "$(tandem env --off)".
    #[arg(long, conflicts_with = "goroot")]
    off: bool,
    /// Print the folder of the woven standard library for this folder's Go and packs: an SDK for build systems that take
    /// one, such as Bazel's rules_go (docs/build-systems.md).
    #[arg(long)]
    goroot: bool,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  eval \"$(tandem env)\"        # from here on `go build` in this shell weaves
  make                        # a build that calls go, unchanged
  eval \"$(tandem env --off)\"  # and back
  tandem env --goroot         # an SDK for build systems that take one";

impl Env {
    pub fn run(self) -> ExitCode {
        let text = match (self.off, self.goroot) {
            (true, _) => weave::env::switch_off(),
            (_, true) => weave::env::goroot(),
            _ => weave::env::shim().map(|shim| weave::env::switch_on(&shim)),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => return failure::weave(error),
        };
        terminal::report(|out| {
            out.write_all(&text)?;
            if stdout().is_terminal() && !self.goroot {
                let off = if self.off { " --off" } else { "" };
                writeln!(out, "# This is for the shell: eval \"$(tandem env{off})\"")?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
