//! From text to pieces: brackets, the words that join terms, and terms as key, operator and value, each with its place.
//!
//! Nothing is judged here but what has no end: completion reads what is half written by the same rules.

use std::ops::Range;

use crate::field::Field;
use crate::{Comparison, FieldKind};

/// What a query consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Open,
    Close,
    And,
    Or,
    Not,
    Term(RawTerm),
}

/// A term as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTerm {
    /// The key; a bare word when nothing follows; empty where the operator has none before it.
    pub key: Word,
    /// `has:` stands before the key.
    pub has: bool,
    /// What stands between them.
    pub operator: Option<(Operator, Range<usize>)>,
    /// What stands behind; empty where there is nothing.
    pub value: Word,
}

/// A word or a text in quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Where it stands, its quotes included.
    pub at: Range<usize>,
    /// Its quote.
    pub quote: Option<char>,
    /// Its last quote is missing.
    pub open: bool,
}

/// What stands between a key and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Compare(Comparison),
    Matches,
    MatchesNot,
}

/// The longer ones first.
pub const OPERATORS: [(&str, Operator); 12] = [
    ("==", Operator::Compare(Comparison::Equal)),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    (">=", Operator::Compare(Comparison::AtLeast)),
    ("<=", Operator::Compare(Comparison::AtMost)),
    ("=~", Operator::Matches),
    ("!~", Operator::MatchesNot),
    ("<>", Operator::Compare(Comparison::NotEqual)),
    ("=", Operator::Compare(Comparison::Equal)),
    (">", Operator::Compare(Comparison::Greater)),
    ("<", Operator::Compare(Comparison::Less)),
    ("~", Operator::Matches),
    (":", Operator::Compare(Comparison::Equal)),
];

impl Word {
    /// What it says, escapes as they are.
    pub fn inner<'q>(&self, query: &'q str) -> &'q str {
        let text = &query[self.at.clone()];
        match self.quote {
            Some(quote) => {
                let text = text.strip_prefix(quote).unwrap_or(text);
                if self.open { text } else { text.strip_suffix(quote).unwrap_or(text) }
            }
            None => text,
        }
    }
}

/// Reads pieces one after the other.
pub struct Syntax<'q> {
    query: &'q str,
    at: usize,
}

/// The keys that a colon may follow, as people know it from elsewhere: `service:orders`.
fn takes_colon(key: &str) -> bool {
    !matches!(Field::of_key(key).kind(), FieldKind::Any)
}

impl<'q> Syntax<'q> {
    pub fn of(query: &'q str) -> Self {
        Self { query, at: 0 }
    }

    fn rest(&self) -> &'q str {
        &self.query[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.query.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// A text in quotes, if one begins here.
    fn quoted(&mut self) -> Option<Word> {
        let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let start = self.at;
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            if c == quote && !escaped {
                self.at = start + index + quote.len_utf8();
                return Some(Word { at: start..self.at, quote: Some(quote), open: false });
            }
            escaped = c == '\\' && !escaped;
        }
        self.at = self.query.len();
        Some(Word { at: start..self.at, quote: Some(quote), open: true })
    }

    /// A key or a bare word; may be empty.
    fn word(&mut self) -> Word {
        if let Some(quoted) = self.quoted() {
            return quoted;
        }
        let start = self.at;
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '=' | '!' | '<' | '>' | '~');
        let mut length = rest.find(ends).unwrap_or(rest.len());
        if let Some(colon) = rest[..length].find(':')
            && takes_colon(&rest[..colon])
        {
            length = colon;
        }
        self.at += length;
        Word { at: start..self.at, quote: None, open: false }
    }

    /// A value: up to a blank or to a bracket that was not opened in it.
    fn value(&mut self) -> Word {
        if let Some(quoted) = self.quoted() {
            return quoted;
        }
        let start = self.at;
        let mut depth = 0usize;
        let end = self.rest().find(|c: char| {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => return true,
                ')' => depth -= 1,
                _ => {}
            }
            c.is_whitespace()
        });
        self.at += end.unwrap_or(self.rest().len());
        Word { at: start..self.at, quote: None, open: false }
    }

    fn operator(&mut self) -> Option<(Operator, Range<usize>)> {
        let (symbol, operator) = OPERATORS.into_iter().find(|(symbol, _)| self.rest().starts_with(symbol))?;
        let start = self.at;
        self.at += symbol.len();
        Some((operator, start..self.at))
    }

    fn term(&mut self) -> RawTerm {
        let has = self.take("has:");
        let key = self.word();
        let after_key = self.at;
        self.skip_blanks();
        // A colon joins only what it touches.
        let is_colon = self.rest().starts_with(':');
        if has || (is_colon && (self.at > after_key || key.quote.is_some())) {
            self.at = after_key;
            return RawTerm { key, has, operator: None, value: Word::default() };
        }
        let Some(operator) = self.operator() else {
            self.at = after_key;
            return RawTerm { key, has, operator: None, value: Word { at: after_key..after_key, ..Word::default() } };
        };
        self.skip_blanks();
        let value = self.value();
        RawTerm { key, has, operator: Some(operator), value }
    }
}

impl Iterator for Syntax<'_> {
    type Item = (Piece, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        let start = self.at;
        let first = self.rest().chars().next()?;
        let is_negation =
            first == '-' || first == '!' && !self.rest().starts_with("!=") && !self.rest().starts_with("!~");
        let piece = match first {
            '(' => Piece::Open,
            ')' => Piece::Close,
            _ if is_negation => Piece::Not,
            _ if self.rest().starts_with("&&") => Piece::And,
            _ if self.rest().starts_with("||") => Piece::Or,
            _ => {
                let term = self.term();
                let is_bare = term.key.quote.is_none() && term.operator.is_none() && !term.has;
                let word = self.query[term.key.at.clone()].to_lowercase();
                let piece = match word.as_str() {
                    "and" if is_bare => Piece::And,
                    "or" if is_bare => Piece::Or,
                    "not" if is_bare => Piece::Not,
                    _ => Piece::Term(term),
                };
                if self.at == start {
                    // A colon that follows nothing: a word of its own, so that every piece goes on.
                    self.at += first.len_utf8();
                    let key = Word { at: start..self.at, ..Word::default() };
                    let term = RawTerm { key, has: false, operator: None, value: Word::default() };
                    return Some((Piece::Term(term), start..self.at));
                }
                return Some((piece, start..self.at));
            }
        };
        self.at += match piece {
            Piece::And | Piece::Or => 2,
            _ => first.len_utf8(),
        };
        Some((piece, start..self.at))
    }
}
