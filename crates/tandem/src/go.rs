//! `tandem go …`: the go command on woven sources.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use clap::Args;

use crate::failure;

/// Run the go command on sources in which spans are woven.
///
/// All arguments belong to the go command. `build`, `install`, `run`, `test` and `vet` weave; every other sub-command runs plain.
/// Your sources, go.mod, go.sum and vendor stay as they are.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Go {
    /// A sub-command of go with its flags and packages, as for go.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem go build -o shop ./cmd/shop   # woven; every flag of the go command works
  tandem go test ./...                 # tests run woven, too
  tandem go vet ./...                  # sees the woven code

Exit codes: those of the go command; 2 for a wrong use of tandem, 3 when the weave could not be done, 130 after Ctrl-C.
docs/weave.md says what happens to a build.";

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
