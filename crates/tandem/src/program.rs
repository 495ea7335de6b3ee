//! `tandem program`: not for people. `go run` starts programs through it, so that they find the environment and the
//! terminal as they were outside.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// A program and its arguments.
#[derive(Args)]
pub struct Program {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Program {
    pub fn run(self) -> ExitCode {
        let error = weave::tool::run_program(&self.arguments);
        eprintln!("tandem: cannot run {:?}: {error}", self.arguments.first());
        ExitCode::FAILURE
    }
}
