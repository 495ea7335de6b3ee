//! `tandem list`: the operations of packs and the functions that can be switched on in programs that run, and those that are.

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use model::FunctionPattern;
use record::{Active, Function, FunctionNumber, Operation};
use serde_json::json;

use crate::functions::{Meant, Operating, Programs};
use crate::terminal::{self, BOLD, DIM, Layout, NOTICE, clean};

/// List what can be switched on in programs that run, and what is: operations of packs, and functions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// Functions, an operation or a pack, as for `tandem enable` [default: all].
    #[arg(value_name = "PATTERN")]
    pattern: Option<FunctionPattern>,
    #[command(flatten)]
    programs: Programs,
    /// Only those that are on.
    #[arg(long)]
    on: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem list            # operations of packs, and functions
  tandem list --on       # those that are on
  tandem list net/http   # of a pack
  tandem list 'cart.*'   # functions

Exit codes: 0; 1 when there is no such program.";

impl List {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let operating = self.programs.operating(self.pattern.as_ref().map(FunctionPattern::text))?;
            for program in &operating {
                if !self.json {
                    writeln!(out, "{}", Layout::of_stdout().paint(BOLD, clean(&program.title())))?;
                }
                for operation in program.operations.iter().filter(|operation| operation.on || !self.on) {
                    if self.json {
                        write_operation_object(out, program, operation)?;
                    } else {
                        write_operation(out, operation)?;
                    }
                }
            }
            if !operating.is_empty() && !self.programs.have_functions(self.pattern.as_ref())? {
                return Ok(ExitCode::SUCCESS);
            }
            for program in self.programs.with(self.pattern.as_ref())? {
                let active: HashMap<FunctionNumber, Active> =
                    program.functions.active().into_iter().map(|active| (active.number, active)).collect();
                if !self.json && operating.iter().all(|known| known.pid != program.pid) {
                    writeln!(out, "{}", Layout::of_stdout().paint(BOLD, clean(&program.title())))?;
                }
                for function in &program.chosen {
                    let active = active.get(&function.number);
                    if self.on && active.is_none() {
                        continue;
                    }
                    if self.json {
                        write_object(out, &program, function, active)?;
                    } else {
                        write_line(out, function, active)?;
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn write_operation(out: &mut dyn Write, operation: &Operation) -> std::io::Result<()> {
    let layout = Layout::of_stdout();
    match operation.on {
        true => write!(out, "  on   {}", clean(&operation.id))?,
        false => write!(out, "  off  {}", layout.paint(DIM, clean(&operation.id)))?,
    }
    if !operation.quiet.is_empty() {
        write!(out, "  {}", layout.paint(NOTICE, format!("not sampled: {}", clean(&operation.quiet.join(", ")))))?;
    }
    writeln!(out)
}

fn write_operation_object(out: &mut dyn Write, program: &Operating, operation: &Operation) -> std::io::Result<()> {
    let object = json!({
        "pid": program.pid,
        "service": program.service,
        "operation": operation.id,
        "on": operation.on,
        "not_sampled": operation.quiet,
    });
    writeln!(out, "{object}")
}

fn write_line(out: &mut dyn Write, function: &Function, active: Option<&Active>) -> std::io::Result<()> {
    let layout = Layout::of_stdout();
    let title = function.title();
    let Some(active) = active else {
        return writeln!(out, "  off  {}", layout.paint(DIM, clean(&title)));
    };
    let calls = if active.calls == 1 { "1 call".to_owned() } else { format!("{} calls", active.calls) };
    let arguments = if active.setting.arguments { ", with arguments" } else { "" };
    write!(out, "  on   {}  {calls}{arguments}", clean(&title))?;
    if active.limited > 0 {
        let text = format!("{} of them beyond the limit of {} a second", active.limited, active.setting.limit);
        write!(out, ", {}", layout.paint(NOTICE, text))?;
    }
    writeln!(out)
}

fn write_object(
    out: &mut dyn Write,
    program: &Meant,
    function: &Function,
    active: Option<&Active>,
) -> std::io::Result<()> {
    let object = json!({
        "pid": program.pid,
        "service": program.service,
        "import_path": function.import_path,
        "function": function.title(),
        "arguments": function.arguments,
        "on": active.is_some(),
        "limit": active.map(|active| active.setting.limit),
        "with_arguments": active.is_some_and(|active| active.setting.arguments),
        "calls": active.map(|active| active.calls),
        "limited": active.map(|active| active.limited),
    });
    writeln!(out, "{object}")
}
