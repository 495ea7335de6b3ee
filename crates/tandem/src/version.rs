//! `tandem version`: which tandem this is, and which weave it carries.

use std::process::ExitCode;

use clap::Args;

/// No arguments.
#[derive(Args)]
pub struct Version {}

impl Version {
    pub fn run(self) -> ExitCode {
        println!("tandem {} (weave {})", env!("CARGO_PKG_VERSION"), weave::weave_version());
        ExitCode::SUCCESS
    }
}
