//! From pieces to a query: what binds how. `not` before and, and before or; brackets say otherwise.

use std::iter::Peekable;
use std::ops::Range;

use crate::meaning;
use crate::syntax::{Piece, Syntax};
use crate::{Expression, Query, QueryError};

/// Brackets within brackets; nobody writes more, and each takes a piece of the stack.
const DEEPEST: usize = 64;

/// Reads a query.
pub fn query(text: &str) -> Result<Query, QueryError> {
    let mut parser = Parser { query: text, pieces: Syntax::of(text).peekable() };
    if parser.pieces.peek().is_none() {
        return Ok(Query::default());
    }
    let expression = parser.any_of(0)?;
    match parser.pieces.next() {
        None => Ok(Query { expression }),
        Some((_, at)) => Err(QueryError::at(text, &at, "no bracket is open that this one could close")),
    }
}

struct Parser<'q> {
    query: &'q str,
    pieces: Peekable<Syntax<'q>>,
}

impl Parser<'_> {
    fn error<T>(&self, at: &Range<usize>, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError::at(self.query, at, message))
    }

    fn take(&mut self, wanted: &Piece) -> bool {
        self.pieces.next_if(|(piece, _)| piece == wanted).is_some()
    }

    /// Terms joined by `or`.
    fn any_of(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let mut any = vec![self.all_of(depth)?];
        while self.take(&Piece::Or) {
            any.push(self.all_of(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Or(any) })
    }

    /// Terms beside each other.
    fn all_of(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let mut all = vec![self.one(depth)?];
        loop {
            match self.pieces.peek() {
                None | Some((Piece::Or | Piece::Close, _)) => break,
                Some((Piece::And, _)) => {
                    self.pieces.next();
                }
                Some(_) => {}
            }
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let end = self.query.len();
        let Some((piece, at)) = self.pieces.next() else {
            return self.error(&(end..end), "a term is missing here, like service=orders");
        };
        if depth > DEEPEST {
            return self.error(&at, "this is nested too deeply");
        }
        match piece {
            Piece::Term(term) => meaning::term(self.query, &term).map(Expression::Term),
            Piece::Not => Ok(Expression::denied(self.one(depth + 1)?)),
            Piece::Open => {
                let inner = self.any_of(depth + 1)?;
                if !self.take(&Piece::Close) {
                    return self.error(&at, "this bracket is not closed; to search for one, write it in quotes: \"(\"");
                }
                Ok(inner)
            }
            Piece::Close => self.error(&at, "a term is missing before this bracket"),
            Piece::And | Piece::Or => {
                let word = &self.query[at.clone()];
                self.error(&at, format!("a term is missing before {word}; to search for the word, write \"{word}\""))
            }
        }
    }
}
