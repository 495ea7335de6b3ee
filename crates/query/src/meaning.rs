//! From a term as it is written to what it asks: keys, values with their units, patterns.

use std::ops::Range;

use model::parse_duration;

use crate::field::{ANATOMY, Field, FieldKind, nearest_key, nearest_word};
use crate::syntax::{Operator, RawTerm, Word};
use crate::{Comparison, Pattern, QueryError, RegularExpression, Term, Test};

/// Reads a term.
pub fn term(query: &str, raw: &RawTerm) -> Result<Term, QueryError> {
    Reading { query, raw }.term()
}

/// Whether a bare word is an attribute's key, `error.type`, and not text to look for.
pub fn is_key(word: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    word.contains('.') && word.split('.').all(is_part)
}

struct Reading<'q> {
    query: &'q str,
    raw: &'q RawTerm,
}

impl Reading<'_> {
    fn error<T>(&self, at: &Range<usize>, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError::at(self.query, at, message))
    }

    fn term(&self) -> Result<Term, QueryError> {
        let RawTerm { key, has, operator, value } = self.raw;
        for word in [key, value] {
            if word.open {
                return self.error(&word.at, "this quote has no end");
            }
        }
        let Some((operator, at)) = operator else {
            return if *has { self.exists() } else { self.bare() };
        };
        let field = self.field()?;
        if value.at.is_empty() {
            let message =
                format!("a value is missing behind {}; for the empty one write \"\"", &self.query[at.clone()]);
            return self.error(at, message);
        }
        let test = match operator {
            Operator::Matches => self.matches(&field, false),
            Operator::MatchesNot => self.matches(&field, true),
            Operator::Compare(comparison) => self.compares(&field, *comparison, at),
        };
        Ok(Term { test: test?, field })
    }

    /// A word by itself. What looks like a key is one, and as wrong as behind `has:` where there is no such key.
    fn bare(&self) -> Result<Term, QueryError> {
        let key = &self.raw.key;
        if key.quote.is_none() && is_key(key.inner(self.query)) {
            let field = self.field()?;
            if field.may_be_absent() {
                return Ok(Term { field, test: Test::Exists });
            }
        }
        Ok(Term { field: Field::Text, test: Test::Text { pattern: self.pattern(key), negated: false } })
    }

    fn exists(&self) -> Result<Term, QueryError> {
        let field = self.field()?;
        if !field.may_be_absent() {
            return self.error(&self.raw.key.at, format!("every span has {}: compare it with a value", field.key()));
        }
        Ok(Term { field, test: Test::Exists })
    }

    fn field(&self) -> Result<Field, QueryError> {
        let key = &self.raw.key;
        let text = unescaped(key.inner(self.query));
        if text.is_empty() {
            let end = self.raw.operator.as_ref().map_or(key.at.end, |(_, at)| at.end);
            return self.error(&(key.at.start..end), "a key is missing here, like service or http.route");
        }
        // In quotes it is an attribute, whatever it is called.
        if key.quote.is_some() {
            return Ok(Field::Attribute(text));
        }
        let field = Field::of_key(&text);
        if !matches!(field, Field::Attribute(_)) {
            return Ok(field);
        }
        if text.starts_with(ANATOMY) {
            let hint = nearest_key(&text).map_or_else(
                || "docs/anatomy.md lists them, anatomy.run_queue is one".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            return self.error(&key.at, format!("{text} is no part of the anatomy; {hint}"));
        }
        match nearest_key(&text) {
            Some(near) => self.error(
                &key.at,
                format!(
                    "no key is called {text}; did you mean {near}? An attribute of that name is written \"{text}\""
                ),
            ),
            None => Ok(field),
        }
    }

    fn matches(&self, field: &Field, negated: bool) -> Result<Test, QueryError> {
        let value = &self.raw.value;
        if !matches!(field.kind(), FieldKind::Text | FieldKind::Any) {
            let key = field.key();
            let at = self.raw.operator.as_ref().map_or(&value.at, |(_, at)| at);
            return self.error(at, format!("~ compares text, which {key} is not: write {}", example(field)));
        }
        let inner = value.inner(self.query);
        let text = if value.quote.is_some() { quoted_expression(inner) } else { inner.to_owned() };
        match RegularExpression::new(&text) {
            Ok(expression) => Ok(Test::Text { pattern: Pattern::Regex(expression), negated }),
            Err(why) => self.error(
                &value.at,
                format!(
                    "not a regular expression: {why}; text with anything around it is written {}=*text*",
                    field.key()
                ),
            ),
        }
    }

    fn compares(&self, field: &Field, comparison: Comparison, at: &Range<usize>) -> Result<Test, QueryError> {
        let value = &self.raw.value;
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let negated = comparison == Comparison::NotEqual;
        match field.kind() {
            FieldKind::Duration | FieldKind::Count => Ok(Test::Number { comparison, number: self.number(field)? }),
            FieldKind::Any if !is_equality => Ok(Test::Number { comparison, number: self.number(field)? }),
            FieldKind::Any | FieldKind::Text if is_equality => Ok(Test::Text { pattern: self.pattern(value), negated }),
            FieldKind::Words(words) if is_equality => {
                let word = unescaped(value.inner(self.query)).to_lowercase();
                if words.contains(&word.as_str()) {
                    return Ok(Test::Text { pattern: Pattern::Exact(word), negated });
                }
                let near =
                    nearest_word(&word, words).map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.error(&value.at, format!("{} is one of {}{near}", field.key(), words.join(", ")))
            }
            _ => {
                let message = format!("{} is text: compare it by =, != or ~", field.key());
                self.error(at, message)
            }
        }
    }

    /// A value that must be a number: nanoseconds, bytes or whatever it counts.
    fn number(&self, field: &Field) -> Result<f64, QueryError> {
        let value = &self.raw.value;
        let text = unescaped(value.inner(self.query));
        let duration = || parse_duration(&text).map(|nanos| nanos as f64);
        let plain = || text.parse::<f64>().ok().filter(|number| number.is_finite());
        let found = match field.kind() {
            FieldKind::Duration => duration().or_else(|| plain().filter(|number| *number == 0.0)),
            FieldKind::Count => text.parse::<u32>().ok().map(f64::from),
            _ => plain().or_else(duration).or_else(|| parse_size(&text)),
        };
        if let Some(number) = found {
            return Ok(number);
        }
        let message = match field.kind() {
            FieldKind::Duration if plain().is_some() => {
                format!("the unit is missing: write {text}ms, {text}us or {text}s")
            }
            FieldKind::Duration => {
                format!("{text} is no length of time: write a number and its unit, like 200ms or 1.5s")
            }
            FieldKind::Count => format!("{text} is no whole number"),
            _ => format!("{text} is no number: > and < compare numbers, 500, 200ms (nanoseconds) or 4KiB (bytes)"),
        };
        self.error(&value.at, message)
    }

    /// A text, or a pattern where a star stands in it that has no backslash before it.
    fn pattern(&self, word: &Word) -> Pattern {
        let (inner, in_quotes) = (word.inner(self.query), word.quote.is_some());
        let mut text = String::with_capacity(inner.len());
        let mut is_glob = false;
        let mut characters = inner.chars().peekable();
        while let Some(c) = characters.next() {
            let escapes = |next: &char| *next == '*' || in_quotes && matches!(next, '"' | '\'' | '\\');
            match c {
                '\\' if characters.peek().is_some_and(escapes) => text.extend(characters.next()),
                '*' => {
                    is_glob = true;
                    text.push(c);
                }
                _ => text.push(c),
            }
        }
        if is_glob { Pattern::Glob(text) } else { Pattern::Exact(text) }
    }
}

/// The text of a key or a word, for which stars have no meaning.
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek().is_some_and(|next| matches!(next, '"' | '\'' | '\\')) => {
                text.extend(characters.next());
            }
            _ => text.push(c),
        }
    }
    text
}

/// An expression in quotes: backslashes before other characters than quotes and themselves are its own.
fn quoted_expression(inner: &str) -> String {
    unescaped(inner)
}

fn example(field: &Field) -> String {
    let key = field.key();
    match field.kind() {
        FieldKind::Duration => format!("{key}>200ms"),
        FieldKind::Count => format!("{key}>3"),
        FieldKind::Words(words) => format!("{key}={}", words[0]),
        FieldKind::Text | FieldKind::Any => format!("{key}=text"),
    }
}

/// Reads `512B`, `4KB`, `1.5MiB`.
fn parse_size(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] =
        [("kib", 1024.0), ("mib", 1048576.0), ("gib", 1073741824.0), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("b", 1.0)];
    let text = text.to_lowercase();
    let (number, bytes) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    let number: f64 = number.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
    Some(number * bytes)
}
