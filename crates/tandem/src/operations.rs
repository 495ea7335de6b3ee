//! Operations of packs in programs that run: switched on and off, and calls of them that are not sampled.

use std::io::Write;

use anyhow::{Context, bail};
use record::layout::kind::SERVER;

use crate::functions::Operating;
use crate::terminal::clean;

/// Switches operations on or off.
pub fn switch(out: &mut dyn Write, programs: &[Operating], on: bool) -> anyhow::Result<()> {
    for program in programs {
        let mut switchboard = program.functions.switch().with_context(|| program.title())?;
        program.operations.iter().for_each(|operation| switchboard.set_operation(operation, on));
        let ids: Vec<&str> = program.operations.iter().map(|operation| operation.id.as_str()).collect();
        let word = if on { "on" } else { "off" };
        writeln!(out, "{}: {} {word}", clean(&program.title()), clean(&ids.join(", ")))?;
    }
    Ok(())
}

/// Lets calls of servers that ask for what the pattern says be sampled (`on`), or not.
pub fn switch_route(
    out: &mut dyn Write,
    programs: &[Operating],
    name: &str,
    pattern: &str,
    on: bool,
) -> anyhow::Result<()> {
    let mut is_server = false;
    for program in programs {
        let mut switchboard = program.functions.switch().with_context(|| program.title())?;
        for operation in program.operations.iter().filter(|operation| operation.kind == SERVER) {
            is_server = true;
            let line = match on {
                false => {
                    switchboard.add_quiet(operation, pattern).with_context(|| program.title())?;
                    format!("{} {pattern} is not sampled", operation.id)
                }
                true if switchboard.remove_quiet(operation, pattern) => {
                    format!("{} {pattern} is sampled again", operation.id)
                }
                true => format!("{} has no pattern {pattern}", operation.id),
            };
            writeln!(out, "{}: {}", clean(&program.title()), clean(&line))?;
        }
    }
    if !is_server {
        bail!("--route is for what serves: {name} has no operation that does, in programs that run here");
    }
    Ok(())
}
