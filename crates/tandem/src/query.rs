//! A query as arguments of a command.

use std::process::ExitCode;

use ::query::{Query, is_id};
use clap::Args;

use crate::terminal::clean;

/// What to look for.
#[derive(Args)]
pub struct QueryArgument {
    /// What to look for, in quotes: 'service=orders status=error duration>200ms' (docs/queries.md).
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
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
