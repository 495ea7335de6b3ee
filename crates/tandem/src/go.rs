//! `tandem go …`: the go command on woven sources.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

/// All arguments belong to the go command.
#[derive(Args)]
pub struct Go {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Go {
    pub fn run(self) -> ExitCode {
        match weave::go::run(&self.arguments) {
            Ok(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
            Err(error) => {
                let code = error.exit_code();
                eprintln!("{:?}", miette::Report::new(error));
                ExitCode::from(code)
            }
        }
    }
}
