//! What a query means: terms about a span or its trace, joined by and, or, not.

use std::str::FromStr;

use crate::{Field, QueryError, parse};

/// A query. The empty one fits everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What it asks for.
    pub expression: Expression,
}

impl Default for Query {
    fn default() -> Self {
        Self { expression: Expression::And(Vec::new()) }
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        Self::parse(text)
    }
}

impl From<Term> for Query {
    fn from(term: Term) -> Self {
        Self { expression: Expression::Term(term) }
    }
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::query(text)
    }

    /// Whether it fits everything.
    pub fn is_empty(&self) -> bool {
        matches!(&self.expression, Expression::And(all) if all.is_empty())
    }

    /// The attributes that it asks for.
    pub fn attribute_keys(&self) -> Vec<&str> {
        let mut keys = Vec::new();
        self.expression.add_attribute_keys(&mut keys);
        keys
    }

    /// The query that asks for both.
    pub fn and(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        match (self.expression, other.expression) {
            (Expression::And(all), expression) if all.is_empty() => Self { expression },
            (expression, Expression::And(all)) if all.is_empty() => Self { expression },
            (Expression::And(mut all), expression) => {
                all.push(expression);
                Self { expression: Expression::And(all) }
            }
            (one, other) => Self { expression: Expression::And(vec![one, other]) },
        }
    }
}

/// Terms and how they are joined. One span has to fit the whole of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of them fit; of none, everything does.
    And(Vec<Expression>),
    /// One of them fits.
    Or(Vec<Expression>),
    /// It does not fit.
    Not(Box<Expression>),
    /// A term.
    Term(Term),
}

impl Expression {
    /// What fits where this one does not. Denied twice is not denied: written again it would be nested deeper than it was.
    pub fn denied(inner: Self) -> Self {
        match inner {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    fn add_attribute_keys<'a>(&'a self, keys: &mut Vec<&'a str>) {
        match self {
            Self::And(inner) | Self::Or(inner) => inner.iter().for_each(|inner| inner.add_attribute_keys(keys)),
            Self::Not(inner) => inner.add_attribute_keys(keys),
            Self::Term(Term { field: Field::Attribute(key), .. }) => keys.push(key),
            Self::Term(_) => {}
        }
    }
}

/// A field and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The field.
    pub field: Field,
    /// What is asked.
    pub test: Test,
}

impl Term {
    /// `field=text`, the text as it is.
    pub fn equals(field: Field, text: impl Into<String>) -> Self {
        Self { field, test: Test::Text { pattern: Pattern::Exact(text.into()), negated: false } }
    }

    /// A span's name or route contains the text.
    pub fn contains(text: impl Into<String>) -> Self {
        Self::equals(Field::Text, text)
    }

    /// A comparison with a number; of times, nanoseconds.
    pub fn compares(field: Field, comparison: Comparison, number: f64) -> Self {
        Self { field, test: Test::Number { comparison, number } }
    }
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// That it is there.
    Exists,
    /// That its text fits; negated: that it is there and does not fit.
    Text {
        /// The pattern.
        pattern: Pattern,
        /// `!=`, `!~`.
        negated: bool,
    },
    /// That it is a number which compares so.
    Number {
        /// How it compares with the number.
        comparison: Comparison,
        /// Times in nanoseconds, sizes in bytes.
        number: f64,
    },
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// It is this text. Of [`Field::Text`]: it contains this text, without regard to case.
    Exact(String),
    /// The same with `*` for any text.
    Glob(String),
    /// An expression matches somewhere in it, without regard to case.
    Regex(RegularExpression),
}

/// A regular expression; two are equal that are written alike.
#[derive(Clone, Debug)]
pub struct RegularExpression(regex::Regex);

/// Largest compiled expression, in bytes: what somebody types must not fill the memory.
const LARGEST_EXPRESSION: usize = 1 << 20;

impl RegularExpression {
    /// Compiles an expression that does not regard case. What is wrong with it is said in a few words.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = regex::RegexBuilder::new(text).case_insensitive(true).size_limit(LARGEST_EXPRESSION).build();
        compiled.map(Self).map_err(|error| {
            let error = error.to_string();
            error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for RegularExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Pattern {
    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Glob(glob) => model::wildcard(glob, text),
            Self::Regex(RegularExpression(expression)) => expression.is_match(text),
        }
    }

    /// Whether a text contains it, without regard to case.
    pub fn is_within(&self, text: &str) -> bool {
        match self {
            Self::Exact(part) => text.to_lowercase().contains(&part.to_lowercase()),
            Self::Glob(glob) => model::wildcard(&format!("*{}*", glob.to_lowercase()), &text.to_lowercase()),
            Self::Regex(RegularExpression(expression)) => expression.is_match(text),
        }
    }
}

/// How numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Equal, Self::NotEqual, Self::Greater, Self::AtLeast, Self::Less, Self::AtMost];

    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether `value` compares so with `number`.
    pub fn holds(self, value: f64, number: f64) -> bool {
        match self {
            Self::Equal => value == number,
            Self::NotEqual => value != number,
            Self::Greater => value > number,
            Self::AtLeast => value >= number,
            Self::Less => value < number,
            Self::AtMost => value <= number,
        }
    }
}
