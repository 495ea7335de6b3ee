//! From a place and an anchor of a pack to byte ranges of a file.
//!
//! An anchor is matched token by token, so white space and comments do not matter, and its ends must be borders of the
//! syntax: `x = w` is not found in `x = w.y`. What is found is therefore always something that can stand alone.

use std::ops::Range;

use tree_sitter::Node;

use crate::pack::Place;
use crate::parse::{Function, GoFile, children};
use crate::token;

/// Where in a file an edit is made.
pub enum Scope<'tree> {
    /// A function with a body.
    Function(Box<Function<'tree>>),
    /// A struct type.
    Structure(Node<'tree>),
    /// The whole file.
    File(Node<'tree>),
}

impl<'tree> Scope<'tree> {
    /// The syntax node that anchors are looked for in.
    pub fn node(&self) -> Node<'tree> {
        match self {
            Scope::Function(function) => function.node,
            Scope::Structure(node) | Scope::File(node) => *node,
        }
    }
}

/// What `place` names in `file`; several only for functions that are declared more than once (`init`, `_`).
pub fn scopes<'tree>(file: &'tree GoFile<'_>, place: &Place) -> Vec<Scope<'tree>> {
    if let Some(name) = &place.func {
        let wanted_receiver = place.recv.as_deref().map(squeeze);
        return file
            .functions()
            .filter(|function| function.name == name && function.receiver_type.map(squeeze) == wanted_receiver)
            .map(|function| Scope::Function(Box::new(function)))
            .collect();
    }
    match &place.structure {
        Some(name) => file.structure(name).into_iter().map(Scope::Structure).collect(),
        None => vec![Scope::File(file.root())],
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The ranges in `scope` whose text is the anchor.
pub fn anchors(file: &GoFile<'_>, scope: Node<'_>, anchor: &str) -> Vec<Range<usize>> {
    let base = scope.start_byte();
    let candidates = token::find_all(&file.text[scope.byte_range()], anchor);
    candidates
        .into_iter()
        .map(|range| base + range.start..base + range.end)
        .filter(|range| lies_on_borders(file, scope, range))
        .collect()
}

/// Whether the range is one node, or a run of siblings, or such a run whose first token closes or last token opens a block.
fn lies_on_borders(file: &GoFile<'_>, scope: Node<'_>, range: &Range<usize>) -> bool {
    let Some(covering) = scope.descendant_for_byte_range(range.start, range.end) else { return false };
    if covering.byte_range() == *range {
        return true;
    }
    let text = &file.text[range.clone()];
    let opens_a_block = text.ends_with(['{', '(', ':']);
    let closes_a_block = text.starts_with(['}', ')']);
    let is_start = |node: Node<'_>| node.start_byte() == range.start;
    let is_end = |node: Node<'_>| node.end_byte() == range.end;
    (closes_a_block || children(covering).any(is_start)) && (opens_a_block || children(covering).any(is_end))
}
