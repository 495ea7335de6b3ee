//! Which identifiers mean something else at a place than they do at the head of the function or of the file: what the
//! blocks, functions and statements around the place declare before it. Syntax alone decides this in Go.

use std::collections::BTreeSet;
use std::ops::Range;

use tree_sitter::Node;

use crate::parse::{GoFile, children};
use crate::token;

/// Every name that Go declares itself.
const PREDECLARED: [&str; 44] = [
    "any",
    "append",
    "bool",
    "byte",
    "cap",
    "clear",
    "close",
    "comparable",
    "complex",
    "complex128",
    "complex64",
    "copy",
    "delete",
    "error",
    "false",
    "float32",
    "float64",
    "imag",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "iota",
    "len",
    "make",
    "max",
    "min",
    "new",
    "nil",
    "panic",
    "print",
    "println",
    "real",
    "recover",
    "rune",
    "string",
    "true",
    "uint",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "uintptr",
];

/// Whether `name` is one that Go declares itself.
pub fn is_predeclared(name: &str) -> bool {
    PREDECLARED.binary_search(&name).is_ok()
}

/// Whether something inside a function declares `name` so that it is visible at the byte `at`. `inside` is where to stop:
/// a declaration whose own parameters and results do not count (the function itself), or nothing.
pub fn is_shadowed(file: &GoFile<'_>, at: usize, name: &str, inside: Option<Node<'_>>) -> bool {
    // A place between two tokens lies in what either of them lies in.
    let beside = [(at.saturating_sub(1), at), (at, (at + 1).min(file.text.len()))];
    let nodes = beside.into_iter().filter_map(|(start, end)| file.root().descendant_for_byte_range(start, end));
    nodes.into_iter().any(|node| is_shadowed_in(file, node, at, name, inside))
}

fn is_shadowed_in(file: &GoFile<'_>, node: Node<'_>, at: usize, name: &str, inside: Option<Node<'_>>) -> bool {
    let mut next = Some(node);
    while let Some(node) = next {
        if Some(node) == inside || is_of_package(node) {
            return false;
        }
        if declares_inside(file, node, at, name) {
            return true;
        }
        next = node.parent();
    }
    false
}

/// Whether what the node declares is declared for the whole package: a file, or a declaration at its top but a function.
pub(crate) fn is_of_package(node: Node<'_>) -> bool {
    let is_function = matches!(node.kind(), "function_declaration" | "method_declaration");
    let declaration = if node.kind() == "var_spec_list" { node.parent() } else { Some(node) };
    let file = declaration.and_then(|declaration| declaration.parent());
    node.kind() == "source_file" || (!is_function && file.is_some_and(|file| file.kind() == "source_file"))
}

/// Whether a part of `node` that ends before `at` declares `name` for the rest of the node.
fn declares_inside(file: &GoFile<'_>, node: Node<'_>, at: usize, name: &str) -> bool {
    match node.kind() {
        "function_declaration" | "method_declaration" | "func_literal" => {
            let lists = ["receiver", "type_parameters", "parameters", "result"];
            let lists = lists.into_iter().filter_map(|field| node.child_by_field_name(field));
            let in_lists = lists.flat_map(children).any(|entry| has_name(file, entry, "name", name));
            let receiver = node.child_by_field_name("receiver");
            in_lists || receiver.is_some_and(|receiver| has_type_parameter(file, receiver, name))
        }
        "type_switch_statement" => has_name(file, node, "alias", name),
        _ => children(node).filter(|child| child.end_byte() <= at).any(|child| declares(file, child, name)),
    }
}

/// Whether a statement declares `name` for those that follow it.
fn declares(file: &GoFile<'_>, statement: Node<'_>, name: &str) -> bool {
    match statement.kind() {
        "short_var_declaration" | "range_clause" | "receive_statement" => {
            let is_declaration = children(statement).any(|child| child.kind() == ":=");
            is_declaration && has_name(file, statement, "left", name)
        }
        "var_declaration" | "const_declaration" | "type_declaration" | "var_spec_list" => {
            children(statement).any(|child| declares(file, child, name))
        }
        "var_spec" | "const_spec" | "type_spec" | "type_alias" => has_name(file, statement, "name", name),
        "for_clause" | "labeled_statement" => children(statement).any(|child| declares(file, child, name)),
        _ => false,
    }
}

/// Whether one of the nodes under `field`, or a member of a list there, is the identifier `name`.
fn has_name(file: &GoFile<'_>, node: Node<'_>, field: &str, name: &str) -> bool {
    let mut cursor = node.walk();
    node.children_by_field_name(field, &mut cursor)
        .any(|found| file.slice(found) == name || children(found).any(|member| file.slice(member) == name))
}

/// `func (b *Box[T]) …` declares `T`.
fn has_type_parameter(file: &GoFile<'_>, receiver: Node<'_>, name: &str) -> bool {
    let nodes = crate::parse::descendants(receiver);
    nodes
        .into_iter()
        .filter(|node| node.kind() == "type_arguments")
        .flat_map(children)
        .any(|node| file.slice(node) == name)
}

/// The names that a file declares for its whole package.
pub fn package_names<'text>(file: &GoFile<'text>) -> BTreeSet<&'text str> {
    let mut names = BTreeSet::new();
    for node in children(file.root()) {
        let specifications = match node.kind() {
            "function_declaration" => vec![node],
            "type_declaration" | "const_declaration" | "var_declaration" => {
                let lists = children(node).flat_map(|child| {
                    if child.kind() == "var_spec_list" { children(child).collect() } else { vec![child] }
                });
                lists.collect()
            }
            _ => continue,
        };
        for specification in specifications {
            let mut cursor = specification.walk();
            names.extend(specification.children_by_field_name("name", &mut cursor).map(|name| file.slice(name)));
        }
    }
    names
}

/// The same without a tree, for the many files of a package of which nothing else is asked: it takes a tenth of the time.
pub fn package_names_of_text(text: &str) -> BTreeSet<&str> {
    let tokens = token::tokens(text).ranges;
    let words = Words { text, tokens: &tokens };
    let mut names = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let next = words.next_statement(at);
        match (words.word(at), words.word(at + 1)) {
            ("func", name) => names.extend(is_name(name).then_some(name)), // a method's receiver is none
            ("type" | "var" | "const", "(") => {
                let group = Words { text, tokens: &tokens[..next.min(tokens.len())] };
                let mut at = at + 2;
                while at < next {
                    group.add_names(at, &mut names);
                    at = group.next_statement(at);
                }
            }
            ("type" | "var" | "const", _) => words.add_names(at + 1, &mut names),
            _ => {}
        }
        at = next;
    }
    names
}

/// The tokens of a text.
struct Words<'text, 'tokens> {
    text: &'text str,
    tokens: &'tokens [Range<usize>],
}

impl<'text> Words<'text, '_> {
    /// A token; nothing behind the last.
    fn word(&self, at: usize) -> &'text str {
        self.tokens.get(at).map_or("", |range| &self.text[range.clone()])
    }

    /// `a, b` at a place.
    fn add_names(&self, mut at: usize, names: &mut BTreeSet<&'text str>) {
        while is_name(self.word(at)) {
            names.insert(self.word(at));
            if self.word(at + 1) != "," {
                return;
            }
            at += 2;
        }
    }

    /// Where the statement after the one at `at` begins: behind a semicolon, or a line's end that stands for one.
    fn next_statement(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for here in at..self.tokens.len() {
            let word = self.word(here);
            match word {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return here + 1,
                _ => {}
            }
            let end = self.tokens[here].end;
            let next = self.tokens.get(here + 1).map_or(self.text.len(), |next| next.start);
            if depth == 0 && may_end_statement(word) && self.text[end..next].contains('\n') {
                return here + 1;
            }
        }
        self.tokens.len()
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Whether Go takes a line's end behind this token for a semicolon.
fn may_end_statement(word: &str) -> bool {
    let is_last = |last: char| last.is_alphanumeric() || matches!(last, '_' | ')' | ']' | '}' | '"' | '\'' | '`');
    let is_number = word.starts_with(|first: char| first.is_ascii_digit()); // which may end with its point
    is_number || word.ends_with(is_last) || matches!(word, "++" | "--")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks marks of the form `<name>`, or `<!name>` for one that is not shadowed there; gives back their number.
    fn check_marks(text: &str) -> usize {
        let text = text.replace('<', "_ = \"").replace('>', "\";");
        let file = GoFile::parse(&text).expect("tests are Go");
        let marks: Vec<usize> = text.match_indices("_ = \"").map(|(at, _)| at).collect();
        for at in &marks {
            let mark = text[at + 5..].split('"').next().expect("closed");
            let (name, expected) = (mark.trim_start_matches('!'), !mark.starts_with('!'));
            assert_eq!(is_shadowed(&file, *at, name, None), expected, "{name} at {at} of {text}");
        }
        marks.len()
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(PREDECLARED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(is_predeclared("nil") && !is_predeclared("nul"));
    }

    #[test]
    fn knows_what_is_declared_where() {
        let text = "package p
            func f[T any](a int, b ...string) (c error) {
                <a> <b> <c> <T> <!d>
                d := 1
                <d>
                if e := 2; e == 1 { <e> }
                <!e>
                for g, h := range []int{} { <g> <h> }
                for i := 0; i == 3; i++ { <i> }
                <!i> <!g>
                switch j := any(a).(type) { case int: <j> }
                switch k := 1; k { case 1: l := 2; _ = l; <l> <k> default: <!l> }
                _ = func(n int) { <n> <a> }
                <!n>
                var o int
                var p, q = 1, 2
                const r = 1
                type s int
                <o> <q> <r> <s>
                here: t := 1
                <t>
                goto here
            }
            func (u *Box[V]) g() { <u> <V> <!Box> }
            var w = func() { x := 1; _ = x; <x> <!w> }
            var (\n y = 1\n z = func() { <!y> }\n)\n";
        assert_eq!(check_marks(text), 31);
    }

    #[test]
    fn lists_the_names_of_a_package() {
        let text = "package p; import (\n\"x\"\n)\nfunc f() { type no int }\nfunc (t) m() {}\ntype t struct {\nno int\n}\nvar a, b = 1 +\nno, 2\n\
                    var (\nc int\nd = func() {\nvar no int\n}; h, i = no /*\n*/; j int\n)\nconst (\ne = iota\ng\n)\nfunc k[no any]() {}\n";
        let file = GoFile::parse(text).expect("it is Go");
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "t"];
        assert_eq!(package_names(&file).into_iter().collect::<Vec<_>>(), names);
        assert_eq!(package_names_of_text(text).into_iter().collect::<Vec<_>>(), names);
        assert_eq!(package_names_of_text("const (\n\ta = 0.\n\tb = 1.\n)").into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(package_names_of_text("func").is_empty() && package_names_of_text("var (\n}").is_empty());
    }
}
