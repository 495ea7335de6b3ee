//! `tandem disable`: switches functions off again.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::FunctionPattern;

use crate::functions::{Programs, count};
use crate::terminal;

/// Make no more spans of calls of functions.
#[derive(Args)]
pub struct Disable {
    /// Functions, as for `tandem enable`.
    #[arg(value_name = "PATTERN")]
    pattern: FunctionPattern,
    #[command(flatten)]
    programs: Programs,
}

impl Disable {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
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
