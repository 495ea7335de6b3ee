//! `tandem warm`: compiles ahead what woven builds of this project will need.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use weave::warm::{Count, Warmed};

use crate::failure;
use crate::terminal;

/// Compile ahead what the woven builds of this project will need.
///
/// That is the woven standard library, and the packages of other modules that yours import; they go into go's build cache.
///
/// The next woven build with the same flags compiles only your own packages. Run it where a cache is filled for many
/// builds (a CI image, a new machine) and after a change of go.mod, of Go or of tandem. Outside a module it compiles the
/// standard library alone.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Warm {
    /// Flags of `go build` (-race, -tags …; GOOS, GOARCH and CGO_ENABLED count too), then packages [default: all of your module or workspace].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem warm                  # for tandem go build, install, test
  tandem warm -race ./cmd/...  # for builds with -race
  GOARCH=arm64 tandem warm     # for another processor

Exit codes: 0; those of the go command; 3 when nothing can be woven with this Go.";

impl Warm {
    pub fn run(self) -> ExitCode {
        let shows_progress = io::stderr().is_terminal();
        let columns = terminal::Layout::of_stdout().columns;
        let mut compiled = 0;
        let on_compiled = move |package: &str| {
            compiled += 1;
            if shows_progress {
                let line = format!("{compiled} compiled: {package}");
                // A terminal that cannot be written to is no reason to stop.
                let _ = write!(io::stderr(), "\r\x1b[K{}", terminal::fit(&line, columns));
            }
        };
        let warmed = weave::warm::warm(&self.arguments, on_compiled);
        if shows_progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        match warmed {
            Ok(warmed) if warmed.status.success() => {
                println!("{}", describe(&warmed));
                ExitCode::SUCCESS
            }
            Ok(warmed) => ExitCode::from(warmed.status.code().unwrap_or(1) as u8),
            Err(error) => failure::weave(error),
        }
    }
}

fn describe(warmed: &Warmed) -> String {
    let count = |count: &Count| match count.compiled {
        0 => format!("{} packages, nothing to compile", count.packages),
        compiled => format!("{} packages, {compiled} compiled now", count.packages),
    };
    let mut text = format!("woven standard library of {}: {}", warmed.go_version, count(&warmed.standard));
    if warmed.others.packages > 0 {
        text += &format!("\nother modules: {}", count(&warmed.others));
    }
    text
}
