//! `tandem at-terminal`: not for people. `go run` starts programs through it, so that they have the terminal itself as
//! standard error and not the pipe in which we look for paths.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// A terminal, a program and its arguments.
#[derive(Args)]
pub struct AtTerminal {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl AtTerminal {
    pub fn run(self) -> ExitCode {
        let error = weave::tool::run_at_terminal(&self.arguments);
        eprintln!("tandem: cannot run {:?}: {error}", self.arguments.get(1));
        ExitCode::FAILURE
    }
}
