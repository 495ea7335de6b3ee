//! `tandem go …`: the go command on woven sources.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use clap::Args;

use crate::failure;

/// All arguments belong to the go command.
#[derive(Args)]
pub struct Go {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Go {
    pub fn run(self) -> ExitCode {
        let status = match weave::go::run(&self.arguments) {
            Ok(status) => status,
            Err(error) => return failure::weave(error),
        };
        if let Some(signal) = status.signal() {
            // Whoever waits for us must see what they would have seen of go. Returns only for signals that do not end.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
        ExitCode::from(status.code().unwrap_or(1) as u8)
    }
}
