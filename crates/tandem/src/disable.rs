//! `tandem disable`: switches functions, and operations of packs, off.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::FunctionPattern;

use crate::functions::{Programs, count};
use crate::operations;
use crate::terminal;

/// Make no more spans of calls of functions, or of what packs record, in programs that run.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Disable {
    /// Functions, an operation or a pack, as for `tandem enable`.
    #[arg(value_name = "PATTERN")]
    pattern: FunctionPattern,
    #[command(flatten)]
    programs: Programs,
    /// With an operation that serves: only its calls that ask for this, a URL's path (/healthz*) or a full method; * is any text.
    /// They are not sampled: they leave no spans, nor does what they call, but their numbers are right.
    #[arg(long, value_name = "PATTERN")]
    route: Option<String>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem disable 'cart.*'                              # functions
  tandem disable net/http.client --service shop        # what a pack records
  tandem disable net/http.server --route '/healthz*'   # only requests for this
  tandem disable '*' --pid 4711                        # all functions of one process

Exit codes: 0; 1 when nothing matches, or when there is no such program.";

impl Disable {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let operating = self.programs.operating(Some(self.pattern.text()))?;
            if let Some(route) = &self.route {
                operations::switch_route(out, &operating, self.pattern.text(), route, false)?;
                return Ok(ExitCode::SUCCESS);
            }
            if !operating.is_empty() {
                operations::switch(out, &operating, false)?;
                return Ok(ExitCode::SUCCESS);
            }
            for program in self.programs.with(Some(&self.pattern))? {
                let mut switchboard = program.functions.switch().with_context(|| program.title())?;
                let active = program.functions.active();
                let is_on = |number| active.iter().any(|active| active.number == number);
                let were_on = program.chosen.iter().filter(|function| is_on(function.number)).count();
                for function in &program.chosen {
                    switchboard.off(function.number).with_context(|| program.title())?;
                }
                let title = program.title();
                match were_on {
                    0 => writeln!(out, "{}: nothing that matches was on", terminal::clean(&title))?,
                    _ => writeln!(out, "{}: {} off", terminal::clean(&title), count(were_on))?,
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
