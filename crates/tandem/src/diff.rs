//! `tandem diff`: what the weave puts into packages, as a unified diff.

use std::ffi::OsString;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::failure;
use crate::terminal::{self, BOLD, Layout, clean};

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();

/// Show what the weave puts into packages, as a unified diff.
///
/// Without packages: into all below this folder. Packages are named as for `go build`: ./..., net/http,
/// github.com/gin-gonic/gin.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// Flags of `go build`, and packages.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS AND PACKAGES")]
    arguments: Vec<OsString>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem diff                # your own packages, below this folder
  tandem diff net/http       # a package of Go's
  tandem diff ./... | less

Exit codes: 0, whether there is a difference or not; 3 when the weave could not be done.";

impl Diff {
    pub fn run(self) -> ExitCode {
        let diff = match weave::diff::diff(&self.arguments) {
            Ok(diff) => diff,
            Err(error) => return failure::weave(error),
        };
        if diff.files.is_empty() {
            let packages = match diff.packages.as_slice() {
                [] => "no package is named".to_owned(),
                [one] => format!("nothing is woven into {one}"),
                several => format!("nothing is woven into these {} packages", several.len()),
            };
            eprintln!("tandem: {packages}");
        }
        if !diff.others.is_empty() {
            eprintln!("tandem: also woven in this program: {}", diff.others.join(" "));
        }
        let layout = Layout::of_stdout();
        terminal::report(|out| {
            for line in diff.files.iter().flat_map(|file| file.lines()) {
                match style(line).filter(|_| layout.colours) {
                    Some(style) => writeln!(out, "{}", layout.paint(style, clean(&line.replace('\t', "    "))))?,
                    // As it is: a program may want to read it.
                    None => writeln!(out, "{line}")?,
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn style(line: &str) -> Option<Style> {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Some(BOLD),
        [b'@', ..] => Some(PLACE),
        [b'+', ..] => Some(ADDED),
        [b'-', ..] => Some(REMOVED),
        _ => None,
    }
}
