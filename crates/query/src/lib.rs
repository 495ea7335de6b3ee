//! The language in which people ask for traces: `service=orders status=error duration>200ms anatomy.run_queue>10ms`.
//!
//! [`Query::parse`] reads it, [`complete`] says how it could go on, and `Display` writes it back so that it reads the same.
//! What a query finds is the store's affair; how its words are meant is said in docs/queries.md. Pure: no I/O, and no text
//! makes it panic.
//!
//! ```text
//! text ── syntax ──► pieces with columns ── meaning ──► Query ── Display ──► text
//!                          └── complete
//! ```

mod complete;
mod display;
mod error;
mod expression;
mod field;
mod meaning;
mod parse;
mod syntax;

pub use complete::{Completion, CompletionKind, Values, complete};
pub use error::QueryError;
pub use expression::{Comparison, Expression, Pattern, Query, RegularExpression, Term, Test};
pub use field::{Field, FieldKind, KnownField, nearest_word};

/// Whether a word is rather the beginning of a trace's id, or `last`, than a query.
pub fn is_id(word: &str) -> bool {
    const FEWEST_DIGITS: usize = 4; // fewer are rather a word
    let digits = (FEWEST_DIGITS..=32).contains(&word.len()) && word.chars().all(|c| c.is_ascii_hexdigit());
    digits || word == "last"
}
