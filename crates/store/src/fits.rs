//! Whether a query fits, as far as is known: of a block of traces by its tokens, of a trace by what it is a sum of, of a
//! span by the span itself.
//!
//! A trace fits when one of its spans fits the whole query. Each step knows more than the one before it and decides only
//! what it is sure of ([`Fits`]); what none can decide is read from the span's OTLP bytes.

use std::collections::{HashMap, HashSet};
use std::ops::Not;

use deliver::otlp::walk::{self, AnyValue, Malformed, SPAN_ATTRIBUTES};
use memchr::memmem::Finder;
use model::{ANATOMY_PREFIX, Kind, SOURCE_ATTRIBUTE, Source, StatusCode};
use query::{Comparison, Expression, Field, Pattern, Query, Term, Test};
use rusqlite::Connection;

use crate::otlp;
use crate::tokens::{Token, may_hold};

/// What is known; the order is that of their likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fits {
    No,
    Maybe,
    Yes,
}

impl From<bool> for Fits {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

impl Not for Fits {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

impl Fits {
    fn perhaps(possible: bool) -> Self {
        if possible { Self::Maybe } else { Self::No }
    }
}

/// A block of traces, as its row says.
pub struct Block<'a> {
    /// Longest trace, ns.
    pub longest: i64,
    /// What its spans have.
    pub tokens: &'a [u8],
}

/// A trace, as its row says.
pub struct TraceFacts<'a> {
    pub duration: i64,
    pub spans: i64,
    pub errors: i64,
    pub root: &'a str,
}

/// A span, as its row says.
pub struct SpanRow<'a> {
    pub operation: i64,
    pub resource: i64,
    pub duration: i64,
    pub is_error: bool,
    /// The OTLP span.
    pub data: &'a [u8],
}

/// A query made ready for a store: what of it is decided by the operation or the resource has been decided for all that
/// the store has of them.
pub struct Plan {
    expression: Node,
    leaves: Vec<Leaf>,
}

enum Node {
    /// All of them, and what a block must hold one of, by those that operations decide together.
    All(Vec<Node>, Option<Vec<Token>>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// A term, by its number.
    Leaf(usize),
}

struct Leaf {
    term: Term,
    /// The key of the attribute that it asks for, and how it is found among others' bytes.
    key: Option<Finder<'static>>,
    /// Operations that it fits, where they decide it.
    operations: Option<HashSet<i64>>,
    /// Resources whose attributes it fits.
    resources: HashSet<i64>,
    /// One of these a block must hold that has a span which fits; `None`: any block may.
    tokens: Option<Vec<Token>>,
}

/// With more operations or resources than these, a block is not asked for each of them.
const MOST_TOKENS: usize = 1024;

/// What spans of one kind and place have in common.
struct Operation {
    service: String,
    name: String,
    route: String,
    kind: i32,
    scope: String,
}

impl Plan {
    /// Prepares a query.
    pub fn new(connection: &Connection, query: &Query) -> rusqlite::Result<Self> {
        let mut terms = Vec::new();
        let mut expression = node(&query.expression, &mut terms);
        let operations = if terms.iter().any(by_operation) { operations(connection)? } else { HashMap::new() };
        let is_attribute = |term: &Term| matches!(term.field, Field::Attribute(_));
        let resources = if terms.iter().any(is_attribute) { resources(connection)? } else { HashMap::new() };
        let leaves: Vec<Leaf> = terms.into_iter().map(|term| Leaf::new(term, &operations, &resources)).collect();
        expression.combine(&leaves);
        Ok(Self { expression, leaves })
    }

    /// Whether it fits everything.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    fn decide(&self, mut of_leaf: impl FnMut(&Leaf) -> Fits) -> Fits {
        self.expression.decide(&mut |number| of_leaf(&self.leaves[number]), None)
    }

    /// Whether a block may hold a trace that fits: never [`Fits::Yes`] of a query that asks for something.
    pub fn of_block(&self, block: &Block<'_>) -> Fits {
        self.expression.decide(&mut |number| self.leaves[number].of_block(block), Some(block.tokens))
    }

    /// Whether a trace may have a span that fits, by its row alone.
    pub fn of_trace(&self, trace: &TraceFacts<'_>) -> Fits {
        self.decide(|leaf| leaf.of_trace(trace))
    }

    /// Whether a trace has a span of this operation and resource that fits.
    pub fn of_operation(&self, trace: &TraceFacts<'_>, operation: i64, resource: i64) -> Fits {
        self.decide(|leaf| leaf.of_operation(trace, operation, resource))
    }

    /// Whether a span fits. One that cannot be read does not.
    pub fn of_span(&self, trace: &TraceFacts<'_>, span: &SpanRow<'_>) -> bool {
        let fits = self.decide(|leaf| match leaf.of_operation(trace, span.operation, span.resource) {
            Fits::Maybe => leaf.of_span(span).unwrap_or(false).into(),
            known => known,
        });
        fits == Fits::Yes
    }
}

fn node(expression: &Expression, terms: &mut Vec<Term>) -> Node {
    match expression {
        Expression::And(all) => Node::All(all.iter().map(|inner| node(inner, terms)).collect(), None),
        Expression::Or(any) => Node::Any(any.iter().map(|inner| node(inner, terms)).collect()),
        Expression::Not(inner) => Node::Not(Box::new(node(inner, terms))),
        Expression::Term(term) => {
            terms.push(term.clone());
            Node::Leaf(terms.len() - 1)
        }
    }
}

impl Node {
    /// Terms that stand beside each other are about one span: if operations decide some of them, a block must hold a span of
    /// an operation that fits all of those, and a failed one where that is asked for.
    fn combine(&mut self, leaves: &[Leaf]) {
        match self {
            Self::All(all, required) => {
                let of_all = all.iter().filter_map(|inner| match inner {
                    Self::Leaf(number) => Some(&leaves[*number]),
                    _ => None,
                });
                let of_all: Vec<&Leaf> = of_all.collect();
                let must_fail = of_all.iter().any(|leaf| leaf.term == Term::equals(Field::Status, "error"));
                let mut operations = of_all.iter().filter_map(|leaf| leaf.operations.clone());
                if let Some(first) = operations.next() {
                    let fitting = operations.fold(first, |fitting, others| &fitting & &others);
                    let token = if must_fail { Token::failed } else { Token::operation };
                    *required = (fitting.len() <= MOST_TOKENS).then(|| fitting.into_iter().map(token).collect());
                }
                all.iter_mut().for_each(|inner| inner.combine(leaves));
            }
            Self::Any(any) => any.iter_mut().for_each(|inner| inner.combine(leaves)),
            Self::Not(inner) => inner.combine(leaves),
            Self::Leaf(_) => {}
        }
    }

    /// Decides by what is known of each leaf, and of a block by its tokens.
    fn decide(&self, of_leaf: &mut impl FnMut(usize) -> Fits, block: Option<&[u8]>) -> Fits {
        match self {
            Self::All(all, required) => {
                if let (Some(block), Some(required)) = (block, required)
                    && !required.iter().any(|token| may_hold(block, *token))
                {
                    return Fits::No;
                }
                let mut fits = Fits::Yes;
                for inner in all {
                    fits = fits.min(inner.decide(of_leaf, block));
                    if fits == Fits::No {
                        break;
                    }
                }
                fits
            }
            Self::Any(any) => {
                let mut fits = Fits::No;
                for inner in any {
                    fits = fits.max(inner.decide(of_leaf, block));
                    if fits == Fits::Yes {
                        break;
                    }
                }
                fits
            }
            Self::Not(inner) => !inner.decide(of_leaf, block),
            Self::Leaf(number) => of_leaf(*number),
        }
    }
}

fn by_operation(term: &Term) -> bool {
    matches!(
        term.field,
        Field::Service | Field::Name | Field::Route | Field::Kind | Field::Scope | Field::Text | Field::Root
    )
}

fn operations(connection: &Connection) -> rusqlite::Result<HashMap<i64, Operation>> {
    let mut statement = connection.prepare_cached("SELECT id, service, name, route, kind, scope FROM operation")?;
    let rows = statement.query_map([], |row| {
        let operation = Operation {
            service: row.get(1)?,
            name: row.get(2)?,
            route: row.get(3)?,
            kind: row.get(4)?,
            scope: row.get(5)?,
        };
        Ok((row.get(0)?, operation))
    })?;
    rows.collect()
}

fn resources(connection: &Connection) -> rusqlite::Result<HashMap<i64, model::Resource>> {
    let mut statement = connection.prepare_cached("SELECT id, data FROM resource")?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, otlp::resource(row.get_ref(1)?.as_blob()?).unwrap_or_default())))?;
    rows.collect()
}

impl Leaf {
    fn new(term: Term, operations: &HashMap<i64, Operation>, resources: &HashMap<i64, model::Resource>) -> Self {
        let ids_of = |fits: &dyn Fn(&Operation) -> bool| -> HashSet<i64> {
            operations.iter().filter(|(_, operation)| fits(operation)).map(|(id, _)| *id).collect()
        };
        // Of a trace's root it is known only that one of its spans is called so.
        let of_operation = by_operation(&term).then(|| ids_of(&|operation| operation.fits(&term)));
        let of_resource = |resource: &model::Resource| match &term.field {
            Field::Attribute(key) => resource.attributes.get(key).is_some_and(|value| fits_model(&term.test, value)),
            _ => false,
        };
        let of_resources: HashSet<i64> =
            resources.iter().filter(|(_, resource)| of_resource(resource)).map(|(id, _)| *id).collect();
        let key = attribute_key(&term.field).map(|key| Finder::new(&key).into_owned());
        let tokens = tokens(&term, of_operation.as_ref(), &of_resources);
        let operations = if term.field == Field::Root { None } else { of_operation };
        Self { term, key, operations, resources: of_resources, tokens }
    }

    fn of_block(&self, block: &Block<'_>) -> Fits {
        if let (Field::Duration | Field::TraceDuration, Test::Number { comparison, number }) =
            (&self.term.field, &self.term.test)
            && !could_hold(*comparison, block.longest as f64, *number)
        {
            return Fits::No;
        }
        match &self.tokens {
            None => Fits::Maybe,
            Some(tokens) => Fits::perhaps(tokens.iter().any(|token| may_hold(block.tokens, *token))),
        }
    }

    fn of_operation(&self, trace: &TraceFacts<'_>, operation: i64, resource: i64) -> Fits {
        match &self.operations {
            Some(operations) => operations.contains(&operation).into(),
            None if self.resources.contains(&resource) => Fits::Yes,
            None => self.of_trace(trace),
        }
    }

    fn of_trace(&self, trace: &TraceFacts<'_>) -> Fits {
        let number = |value: i64| fits_number(&self.term.test, value as f64).into();
        match (&self.term.field, &self.term.test) {
            (Field::TraceDuration, _) => number(trace.duration),
            (Field::TraceSpans, _) => number(trace.spans),
            (Field::TraceErrors, _) => number(trace.errors),
            (Field::Root, test) => fits_text(test, trace.root).into(),
            (Field::Status, test) if trace.errors == trace.spans => fits_text(test, "error").into(),
            (Field::Status, Test::Text { pattern: Pattern::Exact(word), negated })
                if word == "error" && trace.errors == 0 =>
            {
                (*negated).into()
            }
            (Field::Duration, Test::Number { comparison, number }) => {
                Fits::perhaps(could_hold(*comparison, trace.duration as f64, *number))
            }
            _ => Fits::Maybe,
        }
    }

    fn of_span(&self, span: &SpanRow<'_>) -> Result<bool, Malformed> {
        let test = &self.term.test;
        if let Some(key) = &self.key {
            return has_attribute(span.data, key, test);
        }
        Ok(match &self.term.field {
            Field::Duration => fits_number(test, span.duration as f64),
            Field::Status if span.is_error => fits_text(test, "error"),
            Field::Status => {
                let code = walk::status_code(walk::bytes_field(span.data, 15)?)?;
                fits_text(test, code.unwrap_or_default().name())
            }
            Field::Source => match walk::attribute(span.data, SPAN_ATTRIBUTES, SOURCE_ATTRIBUTE)? {
                Some(AnyValue::String(name)) => fits_text(test, &walk::text(name)),
                _ => fits_text(test, Source::default().name()),
            },
            _ => false, // decided before
        })
    }
}

impl Operation {
    fn fits(&self, term: &Term) -> bool {
        match (&term.field, &term.test) {
            (Field::Service, test) => fits_text(test, &self.service),
            (Field::Name | Field::Root, test) => fits_text(test, &self.name),
            (Field::Route, Test::Exists) => !self.route.is_empty(),
            (Field::Route, Test::Text { negated: true, .. }) if self.route.is_empty() => false,
            (Field::Route, test) => fits_text(test, &self.route),
            (Field::Scope, Test::Exists) => !self.scope.is_empty(),
            (Field::Scope, test) => fits_text(test, &self.scope),
            (Field::Kind, test) => fits_text(test, Kind::from_otlp(self.kind).name()),
            (Field::Text, Test::Text { pattern, negated }) => {
                (pattern.is_within(&self.name) || pattern.is_within(&self.route)) != *negated
            }
            _ => false,
        }
    }
}

/// What a block must hold one of that has a span which fits.
fn tokens(term: &Term, operations: Option<&HashSet<i64>>, resources: &HashSet<i64>) -> Option<Vec<Token>> {
    if let Some(operations) = operations {
        return (operations.len() <= MOST_TOKENS).then(|| operations.iter().map(|id| Token::operation(*id)).collect());
    }
    if resources.len() > MOST_TOKENS {
        return None;
    }
    let of_span = match (&term.field, &term.test) {
        (Field::Status, test) => {
            let codes = [StatusCode::Error, StatusCode::Ok, StatusCode::Unset];
            codes.into_iter().filter(|code| fits_text(test, code.name())).map(Token::status).collect()
        }
        (Field::TraceErrors, test) if !fits_number(test, 0.0) => vec![Token::status(StatusCode::Error)],
        (Field::Source, Test::Text { pattern: Pattern::Exact(word), negated: false })
            if word != Source::default().name() =>
        {
            Token::equal(SOURCE_ATTRIBUTE, word)
        }
        (field, test) => attribute_tokens(&attribute_key(field)?, test),
    };
    Some(of_span.into_iter().chain(resources.iter().map(|id| Token::resource(*id))).collect())
}

/// The key of the attribute that a field is.
fn attribute_key(field: &Field) -> Option<String> {
    match field {
        Field::Anatomy(part) => Some(format!("{ANATOMY_PREFIX}{part}")),
        Field::Attribute(key) => Some(key.clone()),
        _ => None,
    }
}

fn attribute_tokens(key: &str, test: &Test) -> Vec<Token> {
    match test {
        Test::Text { pattern: Pattern::Exact(text), negated: false } => Token::equal(key, text),
        Test::Number { comparison, number } => {
            let (least, most) = match comparison {
                Comparison::Equal => (*number, *number),
                Comparison::Greater | Comparison::AtLeast => (*number, f64::INFINITY),
                Comparison::Less | Comparison::AtMost => (f64::NEG_INFINITY, *number),
                Comparison::NotEqual => (f64::NEG_INFINITY, f64::INFINITY),
            };
            Token::between(key, least, most).unwrap_or_else(|| vec![Token::key(key)])
        }
        _ => vec![Token::key(key)],
    }
}

/// Whether something that is at most `largest` can compare so.
fn could_hold(comparison: Comparison, largest: f64, number: f64) -> bool {
    match comparison {
        Comparison::Greater => largest > number,
        Comparison::AtLeast | Comparison::Equal => largest >= number,
        Comparison::Less | Comparison::AtMost | Comparison::NotEqual => true,
    }
}

fn fits_text(test: &Test, text: &str) -> bool {
    match test {
        Test::Exists => true,
        Test::Text { pattern, negated } => pattern.fits(text) != *negated,
        Test::Number { .. } => false, // whether "9" is more than 10 nobody knows
    }
}

fn fits_number(test: &Test, value: f64) -> bool {
    match test {
        Test::Exists => true,
        Test::Number { comparison, number } => comparison.holds(value, *number),
        Test::Text { pattern, negated } => equals_number(pattern, value) != *negated,
    }
}

/// `=402` and `=402.0` are the same number.
fn equals_number(pattern: &Pattern, value: f64) -> bool {
    match pattern {
        Pattern::Exact(text) => text.parse() == Ok(value),
        Pattern::Glob(_) | Pattern::Regex(_) => pattern.fits(&value.to_string()),
    }
}

fn has_attribute(span: &[u8], key: &Finder<'_>, test: &Test) -> Result<bool, Malformed> {
    // Most spans do not have it, which a look for its bytes says sooner than a walk.
    if key.find(span).is_none() {
        return Ok(false);
    }
    for attribute in walk::attributes(span, SPAN_ATTRIBUTES) {
        let attribute = attribute?;
        if attribute.key == key.needle() && fits_value(test, AnyValue::read(attribute.value)?, attribute.value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fits_value(test: &Test, value: AnyValue<'_>, message: &[u8]) -> Result<bool, Malformed> {
    Ok(match value {
        AnyValue::String(text) => fits_text(test, &walk::text(text)),
        _ => fits_model(test, &otlp::value(message)?),
    })
}

/// The same of a value that has been read.
fn fits_model(test: &Test, value: &model::Value) -> bool {
    match value {
        model::Value::String(text) => fits_text(test, text),
        model::Value::Int(number) => match test {
            Test::Text { pattern, negated } => {
                (pattern.fits(&number.to_string()) || equals_fraction(pattern, *number as f64)) != *negated
            }
            _ => fits_number(test, *number as f64),
        },
        model::Value::Float(number) => fits_number(test, *number),
        model::Value::Array(values) => {
            fits_text(test, &value.to_string()) || values.iter().any(|value| fits_model(test, value))
        }
        model::Value::Bool(_) | model::Value::Map(_) => fits_text(test, &value.to_string()),
    }
}

/// Whether a whole number was written with a point.
fn equals_fraction(pattern: &Pattern, value: f64) -> bool {
    matches!(pattern, Pattern::Exact(text) if text.contains(['.', 'e', 'E'])) && equals_number(pattern, value)
}
