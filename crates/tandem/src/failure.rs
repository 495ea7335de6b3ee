//! How a command of ours that failed says so, and with which exit code.

use std::process::ExitCode;

use weave::WeaveError;

/// Prints the error; go's own words are passed on as they are.
pub fn weave(error: WeaveError) -> ExitCode {
    let code = ExitCode::from(error.exit_code());
    match error {
        WeaveError::GoRefused { message, .. } => eprintln!("{message}"),
        WeaveError::Interrupted => {}
        other => eprintln!("tandem: {:?}", miette::Report::new(other)),
    }
    code
}
