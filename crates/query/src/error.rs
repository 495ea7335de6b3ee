//! What is wrong with a query, and where.

use std::fmt;
use std::ops::Range;

/// A query that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The query.
    pub query: String,
    /// First character of what is wrong, counted from 1.
    pub column: usize,
    /// Characters of it; at least 1.
    pub length: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl QueryError {
    /// An error about a range of bytes.
    pub(crate) fn at(query: &str, bytes: &Range<usize>, message: impl Into<String>) -> Self {
        let characters = |from: usize, to: usize| query.get(from..to).map_or(0, |part| part.chars().count());
        Self {
            query: query.to_owned(),
            column: 1 + characters(0, bytes.start),
            length: characters(bytes.start, bytes.end).max(1),
            message: message.into(),
        }
    }
}

impl std::error::Error for QueryError {}

/// What is wrong, below it the query with a mark under the place.
impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query of several lines is shown as one, and nothing in it speaks to the terminal.
        let line: String = self.query.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (before, mark) = (" ".repeat(self.column - 1), "^".repeat(self.length));
        write!(formatter, "{}\n  {line}\n  {before}{mark}", self.message)
    }
}
