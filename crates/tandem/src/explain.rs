//! `tandem explain`: where each rule of each pack matched, or why it did not.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::failure;

/// The exit code when a hook is lost.
const LOST: u8 = 4;

/// Say for every rule of every pack where it matched, or why it did not.
///
/// For CI, keep what it says in the repository and compare later builds with that. A hook is lost when its code is used and not as
/// the hook knows it, or when it matched in the baseline and does not any more although its package is still used.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// End with code 4 when a hook is lost.
    #[arg(long)]
    strict: bool,
    /// What `tandem explain --json` said when all was well.
    #[arg(long, value_name = "FILE", requires = "strict")]
    baseline: Option<PathBuf>,
    /// Flags of `go build`, and packages.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS AND PACKAGES")]
    arguments: Vec<OsString>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem explain ./...                            # every rule: where it matched, or why it did not
  tandem explain --json ./... > hooks.json        # what CI compares with; keep it in the repository
  tandem explain --strict --baseline hooks.json ./...

Exit codes: 0; 3 when nothing can be woven here; with --strict, 4 when a hook is lost.";

impl Explain {
    pub fn run(self) -> ExitCode {
        let checked = weave::explain::explain(&self.arguments).and_then(|lines| {
            let lost = match self.strict {
                true => weave::explain::lost(&lines, self.baseline.as_deref())?,
                false => Vec::new(),
            };
            Ok((lines, lost))
        });
        let (lines, lost) = match checked {
            Ok(checked) => checked,
            Err(error) => return failure::weave(error),
        };
        for line in lines {
            let text = if self.json { serde_json::to_string(&line).expect("plain data") } else { line.text() };
            println!("{text}");
        }
        for hook in &lost {
            eprintln!("tandem: lost: {hook}");
        }
        if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LOST) }
    }
}
