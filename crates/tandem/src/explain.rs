//! `tandem explain`: where each rule of each pack matched, or why it did not.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::failure;

/// Flags of `go build` and packages, as for `tandem go build`.
#[derive(Args)]
pub struct Explain {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Flags of `go build`, and packages.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Explain {
    pub fn run(self) -> ExitCode {
        let lines = match weave::explain::explain(&self.arguments) {
            Ok(lines) => lines,
            Err(error) => return failure::weave(error),
        };
        for line in lines {
            let text = if self.json { serde_json::to_string(&line).expect("plain data") } else { line.text() };
            println!("{text}");
        }
        ExitCode::SUCCESS
    }
}
