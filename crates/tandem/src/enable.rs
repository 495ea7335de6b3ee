//! `tandem enable`: switches functions that were woven dormant, and operations of packs, on in programs that run.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use model::FunctionPattern;
use record::{Setting, SwitchError};

use crate::functions::{Meant, Programs, count};
use crate::operations;
use crate::terminal;

/// More is no limit: 0 says that better.
const HIGHEST_LIMIT: i64 = 1_000_000_000;

/// Make spans of calls of functions, or of what a pack can record, in programs that run.
///
/// Functions are those that were woven dormant (`functions:` in tandem.yaml). No agent has to run; a program that starts anew begins
/// as it was woven.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Enable {
    /// Functions: Checkout, Cart.Add, cart.*, example.com/shop/cart.(*Cart).Add; * is any text. Or an operation or a pack, in
    /// full: net/http.client, database/sql.
    #[arg(value_name = "PATTERN")]
    pattern: FunctionPattern,
    #[command(flatten)]
    programs: Programs,
    /// With an operation that serves: let calls be sampled again that `tandem disable --route` has named so.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["args", "limit"])]
    route: Option<String>,
    /// Record the arguments, too (where tandem.yaml says `arguments: true`).
    #[arg(long)]
    args: bool,
    /// At most so many spans a second of each function; calls beyond it are only counted. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=HIGHEST_LIMIT))]
    limit: u32,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem enable 'cart.*'                                          # functions, in every woven program of yours that runs
  tandem enable '(*Cart).Add' --service shop --args --limit 100   # with arguments, at most a hundred a second
  tandem enable net/http.client                                   # what a pack records
  tandem enable net/http.server --route '/healthz*'               # again, what `tandem disable --route` has named

Exit codes: 0; 1 when nothing matches, or when there is no such program. docs/functions.md has the patterns.";

impl Enable {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let operating = self.programs.operating(Some(self.pattern.text()))?;
            if let Some(route) = &self.route {
                operations::switch_route(out, &operating, self.pattern.text(), route, true)?;
                return Ok(ExitCode::SUCCESS);
            }
            if !operating.is_empty() {
                operations::switch(out, &operating, true)?;
                return Ok(ExitCode::SUCCESS);
            }
            let meant = self.programs.with(Some(&self.pattern))?;
            meant.iter().try_for_each(|program| self.check(program))?;
            for program in &meant {
                self.switch(program)?;
                writeln!(
                    out,
                    "{}: {} on{}{}",
                    terminal::clean(&program.title()),
                    count(program.chosen.len()),
                    if self.args { ", with arguments" } else { "" },
                    match self.limit {
                        0 => ", without a limit".to_owned(),
                        limit => format!(", at most {limit} spans a second each"),
                    }
                )?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Nothing is switched in any program when something is wrong with one.
    fn check(&self, program: &Meant) -> anyhow::Result<()> {
        if self.args && program.chosen.iter().all(|function| function.arguments.is_empty()) {
            bail!(
                "{}: no function that matches {} can record arguments: say `arguments: true` in tandem.yaml and build \
                 again",
                program.title(),
                self.pattern.text()
            );
        }
        Ok(())
    }

    /// All or none: what does not fit is taken back.
    fn switch(&self, program: &Meant) -> anyhow::Result<()> {
        let on_before: Vec<_> = program.functions.active().into_iter().map(|active| active.number).collect();
        let mut switchboard = program.functions.switch().with_context(|| program.title())?;
        let setting = Setting { limit: self.limit, arguments: self.args };
        for (index, function) in program.chosen.iter().enumerate() {
            match switchboard.on(function.number, setting) {
                Ok(()) => {}
                Err(error) => {
                    let new = program.chosen[..index].iter().filter(|one| !on_before.contains(&one.number));
                    new.for_each(|one| drop(switchboard.off(one.number)));
                    let matching = program.chosen.len();
                    return Err(match error {
                        SwitchError::Full(_) => anyhow::anyhow!(
                            "{}: {error}, {} are, and {} {}: give a narrower pattern, or disable some",
                            program.title(),
                            on_before.len(),
                            self.pattern.text(),
                            if matching == 1 { "matches 1".to_owned() } else { format!("matches {matching}") }
                        ),
                        other => anyhow::Error::new(other).context(program.title()),
                    });
                }
            }
        }
        Ok(())
    }
}
