//! How a query could go on where the cursor stands: keys, operators, values.

use serde::Serialize;

use crate::expression::Comparison;
use crate::field::{Field, FieldKind, KnownField, known_keys};
use crate::syntax::{Piece, RawTerm, Syntax};
use crate::{Pattern, Term, Test};

/// What there is to choose from: the attributes and values that were seen lately.
pub trait Values {
    /// Keys of attributes.
    fn keys(&self) -> Vec<String>;
    /// Values of a field; those that are seen most come first.
    fn values(&self, field: &Field) -> Vec<String>;
}

/// What a completion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompletionKind {
    /// A key.
    Key,
    /// What stands between key and value.
    Operator,
    /// A value.
    Value,
}

/// One way to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// What it is.
    pub kind: CompletionKind,
    /// What to write.
    pub text: String,
    /// First character that it replaces, counted from 0.
    pub from: usize,
    /// The character behind the last one that it replaces.
    pub to: usize,
    /// What it means, in a few words.
    pub meaning: String,
}

/// Longest list.
const MOST: usize = 50;

/// Ways to go on with a query at a cursor, which counts characters from 0.
pub fn complete(query: &str, cursor: usize, values: &impl Values) -> Vec<Completion> {
    let cursor_byte = query.char_indices().nth(cursor).map_or(query.len(), |(index, _)| index);
    let before = &query[..cursor_byte];
    let found = match place(before) {
        Place::Key(from) => keys(before, from, values),
        Place::Operator(field) => operators(before, &field),
        Place::Value(field, from, quote) => field_values(before, &field, from, quote, values),
    };
    found.into_iter().take(MOST).collect()
}

/// Where the cursor stands; ranges begin at these bytes and end at the cursor.
enum Place {
    Key(usize),
    Operator(Field),
    Value(Field, usize, bool),
}

fn place(before: &str) -> Place {
    let mut last: Option<RawTerm> = None;
    let mut end = 0;
    for (piece, at) in Syntax::of(before) {
        end = at.end;
        last = match piece {
            Piece::Term(term) => Some(term),
            // Half of a word that goes on.
            Piece::And | Piece::Or | Piece::Not if before[at.clone()].starts_with(char::is_alphabetic) => {
                (at.end == before.len()).then(|| bare(at.start, at.end))
            }
            _ => None,
        };
    }
    let Some(term) = last else { return Place::Key(before.len()) };
    let field = || match term.key.quote {
        Some(_) => Field::Attribute(term.key.inner(before).to_owned()),
        None => Field::of_key(term.key.inner(before)),
    };
    let at_end = end == before.len();
    match &term.operator {
        Some(_) if term.value.open || term.value.at.is_empty() || at_end && term.value.quote.is_none() => {
            let from = if term.value.at.is_empty() { before.len() } else { term.value.at.start };
            Place::Value(field(), from, term.value.quote.is_some())
        }
        None if at_end && term.key.quote.is_none() => Place::Key(term.key.at.start),
        // A key that is known and stands alone wants an operator.
        None if term.key.quote.is_none() && !term.has && is_known(term.key.inner(before)) => Place::Operator(field()),
        _ => Place::Key(before.len()),
    }
}

fn bare(start: usize, end: usize) -> RawTerm {
    let key = crate::syntax::Word { at: start..end, quote: None, open: false };
    RawTerm { key, has: false, operator: None, value: Default::default() }
}

fn is_known(key: &str) -> bool {
    known_keys().any(|known| known == key)
}

fn completion(before: &str, kind: CompletionKind, from: usize, text: String, meaning: &str) -> Completion {
    let characters = |to: usize| before[..to].chars().count();
    Completion { kind, text, from: characters(from), to: characters(before.len()), meaning: meaning.to_owned() }
}

/// Those that begin so first, then those that contain it.
fn fitting(typed: &str, candidates: impl IntoIterator<Item = String>) -> Vec<String> {
    let typed = typed.to_lowercase();
    let mut begin = Vec::new();
    let mut contain = Vec::new();
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        if lower.starts_with(&typed) {
            begin.push(candidate);
        } else if lower.contains(&typed) {
            contain.push(candidate);
        }
    }
    begin.append(&mut contain);
    begin
}

fn keys(before: &str, from: usize, values: &impl Values) -> Vec<Completion> {
    let meaning_of = |key: &str| match KnownField::ALL.iter().find(|known| known.key == key) {
        Some(known) => known.meaning,
        None if is_known(key) => "part of the span's time",
        None => "attribute",
    };
    let typed = &before[from..];
    // The parts of the anatomy are many: they come when somebody begins to write them, or last.
    let attributes = values.keys();
    let known = KnownField::ALL.iter().map(|known| known.key.to_owned());
    let parts = known_keys().skip(KnownField::ALL.len());
    let candidates = known.chain(attributes).chain(parts);
    let keys = fitting(typed, candidates).into_iter();
    // What has been written whole already wants an operator, which the next key press asks for.
    let mut offered: Vec<Completion> = Vec::new();
    for key in keys {
        let written = written_key(&key);
        // An attribute may have a key of its own: `service.name` is `service`.
        if !offered.iter().any(|known| known.text == written) {
            offered.push(completion(before, CompletionKind::Key, from, written, meaning_of(&key)));
        }
    }
    offered
}

fn written_key(key: &str) -> String {
    Term { field: Field::of_key(key), test: Test::Exists }.to_string().trim_start_matches("has:").to_owned()
}

fn operators(before: &str, field: &Field) -> Vec<Completion> {
    let offered: &[(&str, &str)] = match field.kind() {
        FieldKind::Duration | FieldKind::Count => &[
            (">", "more than"),
            ("<", "less than"),
            (">=", "at least"),
            ("<=", "at most"),
            ("=", "is"),
            ("!=", "is not"),
        ],
        FieldKind::Words(_) => &[("=", "is"), ("!=", "is not")],
        FieldKind::Text => {
            &[("=", "is; * stands for any text"), ("!=", "is not"), ("~", "matches"), ("!~", "does not match")]
        }
        FieldKind::Any => &[
            ("=", "is; * stands for any text"),
            ("!=", "is there and is not"),
            ("~", "matches"),
            (">", "is a number above"),
            ("<", "is a number below"),
        ],
    };
    let offer = |(symbol, meaning): &(&str, &str)| {
        completion(before, CompletionKind::Operator, before.len(), (*symbol).to_owned(), meaning)
    };
    offered.iter().map(offer).collect()
}

fn field_values(before: &str, field: &Field, from: usize, quoted: bool, values: &impl Values) -> Vec<Completion> {
    let typed = before[from..].trim_start_matches(['"', '\'']);
    let examples = |examples: &[&str]| examples.iter().map(|example| (*example).to_owned()).collect();
    let candidates: Vec<String> = match field.kind() {
        FieldKind::Words(words) => examples(words),
        FieldKind::Duration => examples(&["1ms", "10ms", "100ms", "1s", "10s"]),
        FieldKind::Count => examples(&["0", "10", "100"]),
        FieldKind::Text | FieldKind::Any => values.values(field),
    };
    let offer = |value: String| {
        let text = written_value(field, &value);
        let text = if quoted && !text.starts_with('"') { format!("\"{text}\"") } else { text };
        completion(before, CompletionKind::Value, from, text, "")
    };
    fitting(typed, candidates).into_iter().map(offer).collect()
}

/// A value so that it reads as itself: in quotes where it must be.
fn written_value(field: &Field, value: &str) -> String {
    if matches!(field.kind(), FieldKind::Duration | FieldKind::Count | FieldKind::Words(_)) {
        return value.to_owned();
    }
    let test = Test::Text { pattern: Pattern::Exact(value.to_owned()), negated: false };
    let term = Term { field: Field::Service, test }.to_string();
    term.split_once(Comparison::Equal.symbol()).map_or_else(String::new, |(_, value)| value.to_owned())
}
