//! A query as text that reads the same.

use std::fmt::{self, Display, Formatter, Write};

use crate::field::{FieldKind, nearest_key};
use crate::meaning::is_key;
use crate::{Expression, Field, Pattern, Query, Term, Test};

impl Display for Query {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.expression.fmt(formatter)
    }
}

impl Display for Expression {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(all) => joined(formatter, all, " ", |inner| matches!(inner, Self::And(_) | Self::Or(_))),
            Self::Or(any) => joined(formatter, any, " or ", |inner| matches!(inner, Self::Or(_))),
            Self::Not(inner) if matches!(**inner, Self::Term(_)) => write!(formatter, "-{inner}"),
            Self::Not(inner) => write!(formatter, "-({inner})"),
            Self::Term(term) => term.fmt(formatter),
        }
    }
}

fn joined(
    formatter: &mut Formatter<'_>,
    parts: &[Expression],
    between: &str,
    needs_brackets: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(between)?;
        }
        match needs_brackets(part) {
            true => write!(formatter, "({part})")?,
            false => part.fmt(formatter)?,
        }
    }
    Ok(())
}

impl Display for Term {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match (&self.field, &self.test) {
            (Field::Text, Test::Text { pattern, .. }) => write_pattern(formatter, pattern, is_plain_word),
            (field, Test::Exists) => write!(formatter, "has:{}", Key(field)),
            (field, Test::Text { pattern, negated }) => {
                let symbol = match (pattern, negated) {
                    (Pattern::Regex(_), false) => "~",
                    (Pattern::Regex(_), true) => "!~",
                    (_, false) => "=",
                    (_, true) => "!=",
                };
                write!(formatter, "{}{symbol}", Key(field))?;
                write_pattern(formatter, pattern, is_plain_value)
            }
            (field, Test::Number { comparison, number }) => {
                write!(formatter, "{}{}", Key(field), comparison.symbol())?;
                match field.kind() {
                    FieldKind::Duration => write_duration(formatter, *number),
                    _ => write!(formatter, "{number}"),
                }
            }
        }
    }
}

/// The largest unit in which it is a whole number.
fn write_duration(formatter: &mut Formatter<'_>, nanos: f64) -> fmt::Result {
    const UNITS: [(&str, f64); 6] = [("d", 86400e9), ("h", 3600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];
    let fitting = UNITS.iter().find(|(_, size)| nanos > 0.0 && nanos % size == 0.0);
    match fitting {
        Some((unit, size)) => write!(formatter, "{}{unit}", nanos / size),
        None => write!(formatter, "{nanos}ns"),
    }
}

struct Key<'a>(&'a Field);

impl Display for Key<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let key = self.0.key();
        let is_own = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
        let is_plain = key.starts_with(|c: char| c.is_alphanumeric() || c == '_') && key.chars().all(is_own);
        // An attribute that is called like something else.
        let is_clear =
            Field::of_key(&key) == *self.0 && (self.0.kind() != FieldKind::Any || nearest_key(&key).is_none());
        let is_word = matches!(key.to_lowercase().as_str(), "and" | "or" | "not");
        if is_plain && is_clear && !is_word { formatter.write_str(&key) } else { write_quoted(formatter, &key, false) }
    }
}

fn write_pattern(formatter: &mut Formatter<'_>, pattern: &Pattern, is_plain: impl Fn(&str) -> bool) -> fmt::Result {
    match pattern {
        Pattern::Exact(text) if is_plain(text) && !text.contains('*') => formatter.write_str(text),
        Pattern::Exact(text) => write_quoted(formatter, text, true),
        Pattern::Glob(text) if is_plain(text) => formatter.write_str(text),
        Pattern::Glob(text) => write_quoted(formatter, text, false),
        Pattern::Regex(expression) => write_quoted(formatter, expression.text(), false),
    }
}

fn is_plain_value(text: &str) -> bool {
    let is_own = |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '\'' | '\\' | '=' | '~');
    !text.is_empty() && text.chars().all(is_own)
}

/// Whether a bare word is text to look for.
fn is_plain_word(text: &str) -> bool {
    let is_own =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '{' | '}' | '*' | '$' | '[' | ']');
    let begins = text.starts_with(|c: char| c.is_alphanumeric() || c == '/');
    let is_joining = matches!(text.to_lowercase().as_str(), "and" | "or" | "not");
    begins && text.chars().all(is_own) && !is_joining && !is_key(text)
}

fn write_quoted(formatter: &mut Formatter<'_>, text: &str, escape_stars: bool) -> fmt::Result {
    formatter.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') || c == '*' && escape_stars {
            formatter.write_char('\\')?;
        }
        formatter.write_char(c)?;
    }
    formatter.write_char('"')
}
