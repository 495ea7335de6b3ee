//! From a place and an anchor of a pack to byte ranges of a file.
//!
//! An anchor is matched token by token, so white space and comments do not matter, and its ends must be borders of the
//! syntax: `x = w` is not found in `x = w.y`. What is found is therefore always something that can stand alone.

use std::ops::Range;

use tree_sitter::Node;

use crate::condition::{Condition, Kind, Situation};
use crate::imports;
use crate::parse::{Function, GoFile, children, descendants};
use crate::token;

/// Where in a file an edit is made.
pub enum Scope<'tree> {
    /// A function with a body, or a function literal.
    Function(Box<Function<'tree>>),
    /// A struct type and its name.
    Structure(&'tree str, Node<'tree>),
    /// A call.
    Call(Box<Call<'tree>>),
    /// The whole file.
    File(Node<'tree>),
}

/// A call and the function that it stands in; a package's variables are set outside of any.
pub struct Call<'tree> {
    /// The call expression.
    pub node: Node<'tree>,
    /// The function declaration around it.
    pub function: Option<Function<'tree>>,
}

impl<'tree> Scope<'tree> {
    /// The syntax node that anchors are looked for in.
    pub fn node(&self) -> Node<'tree> {
        match self {
            Scope::Function(function) => function.node,
            Scope::Structure(_, node) | Scope::File(node) => *node,
            Scope::Call(call) => call.node,
        }
    }

    /// The function that it is, or lies in.
    pub fn function(&self) -> Option<&Function<'tree>> {
        match self {
            Scope::Function(function) => Some(function),
            Scope::Call(call) => call.function.as_ref(),
            Scope::Structure(..) | Scope::File(_) => None,
        }
    }
}

/// The places of a file, in the order of the source.
pub struct Found<'tree> {
    /// Those for which the condition holds.
    pub scopes: Vec<Scope<'tree>>,
    /// Those of which it cannot be said.
    pub unknown: Vec<Scope<'tree>>,
}

/// All places of a file for which the condition holds, and those of which it cannot be said.
pub fn scopes<'tree>(file: &'tree GoFile<'_>, kind: Kind, condition: &Condition, at: &Situation<'_>) -> Found<'tree> {
    let scopes: Vec<Scope<'tree>> = match kind {
        Kind::File => vec![Scope::File(file.root())],
        Kind::Structure => file.structures().map(|(name, node)| Scope::Structure(name, node)).collect(),
        Kind::Function => match condition.function_name() {
            Some(name) => {
                file.functions_named(name).into_iter().map(|function| Scope::Function(Box::new(function))).collect()
            }
            None => file.functions().map(|function| Scope::Function(Box::new(function))).collect(),
        },
        Kind::Closure => file.literals().into_iter().map(|literal| Scope::Function(Box::new(literal))).collect(),
        Kind::Call => calls(file),
    };
    let mut found = Found { scopes: Vec::new(), unknown: Vec::new() };
    for scope in scopes {
        match condition.holds(at, &scope) {
            Some(true) => found.scopes.push(scope),
            Some(false) => {}
            None => found.unknown.push(scope),
        }
    }
    found
}

fn calls<'tree>(file: &'tree GoFile<'_>) -> Vec<Scope<'tree>> {
    let declarations = children(file.root());
    let in_declaration = |declaration: Node<'tree>| {
        let calls = descendants(declaration).into_iter().filter(|node| imports::callee(*node).is_some());
        calls.map(move |node| Scope::Call(Box::new(Call { node, function: file.function(declaration) })))
    };
    declarations.flat_map(in_declaration).collect()
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
