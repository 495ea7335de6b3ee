//! A query as arguments of a command.

use std::process::ExitCode;

use ::query::Query;
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
        const FEWEST_DIGITS: usize = 4; // fewer are rather a word
        let [word] = &self.words[..] else { return None };
        let is_id = (FEWEST_DIGITS..=32).contains(&word.len()) && word.chars().all(|c| c.is_ascii_hexdigit());
        (is_id || word == "last").then_some(word)
    }

    /// The query. What is wrong with it has been said, with its place, when there is none.
    pub fn read(&self) -> Result<Query, ExitCode> {
        // Whoever forgets the quotes is understood, too, as far as the shell lets it through.
        Query::parse(&self.words.join(" ")).map_err(|error| {
            let lines: Vec<_> = error.to_string().lines().map(|line| clean(line).into_owned()).collect();
            eprintln!("tandem: {}", lines.join("\n"));
            ExitCode::from(WRONG_USE)
        })
    }
}
