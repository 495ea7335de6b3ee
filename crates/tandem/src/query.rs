//! A query as arguments of a command.

use std::ffi::OsString;
use std::process::ExitCode;

use ::query::{Query, is_id};
use clap::{Args, Command};

use crate::terminal::clean;

/// What to look for.
#[derive(Args)]
pub struct QueryArgument {
    /// What to look for, in quotes: 'service=orders status=error duration>200ms' (docs/queries.md).
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
}

/// Arguments of the command line in which a query that begins with `-` is no option: `-status:error` becomes `not status:error`,
/// which means the same. What may be an option stays as it is.
pub fn with_denials(arguments: impl Iterator<Item = OsString>, tandem: &Command) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let Some(command) = arguments.get(1).and_then(|name| tandem.find_subcommand(name)) else { return arguments };
    if !command.get_positionals().any(|positional| positional.get_id() == "words") {
        return arguments;
    }
    for argument in arguments.iter_mut().skip(2).take_while(|argument| *argument != "--") {
        if let Some(denied) = argument.to_str().and_then(|text| denied(text, command)) {
            *argument = format!("not {denied}").into();
        }
    }
    arguments
}

/// What stands behind the `-` of a term that cannot be options in short.
fn denied<'a>(argument: &'a str, command: &Command) -> Option<&'a str> {
    let term = argument.strip_prefix('-').filter(|term| !term.starts_with('-'))?;
    let is_term = term.contains(['=', ':', '<', '>', '~', '.', '"', '(']);
    let first = term.chars().next()?;
    let takes_rest = command.get_opts().any(|option| option.get_short() == Some(first));
    (is_term && !takes_rest).then_some(term)
}

/// A wrong use of tandem.
pub const WRONG_USE: u8 = 2;

impl QueryArgument {
    /// The beginning of a trace's id, or `last`, where that stands there instead of a query.
    pub fn as_id(&self) -> Option<&str> {
        let [word] = &self.words[..] else { return None };
        is_id(word).then_some(word)
    }

    /// The query. What is wrong with it has been said, with its place, when there is none.
    pub fn read(&self) -> Result<Query, ExitCode> {
        // Whoever forgets the quotes is understood, too, as far as the shell lets it through.
        read(&self.words.join(" "))
    }
}

/// A query. What is wrong with it has been said, with its place, when there is none.
pub fn read(text: &str) -> Result<Query, ExitCode> {
    Query::parse(text).map_err(|error| {
        let lines: Vec<_> = error.to_string().lines().map(|line| clean(line).into_owned()).collect();
        eprintln!("tandem: {}", lines.join("\n"));
        ExitCode::from(WRONG_USE)
    })
}
