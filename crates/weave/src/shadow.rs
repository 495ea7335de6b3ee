//! Which identifiers mean something else at a place than they do at the head of the function or of the file: what the
//! blocks, functions and statements around the place declare before it. Syntax alone decides this in Go.

use std::collections::BTreeSet;

use tree_sitter::Node;

use crate::parse::{GoFile, children};

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
        if Some(node) == inside {
            return false;
        }
        if declares_inside(file, node, at, name) {
            return true;
        }
        next = node.parent().filter(|parent| parent.kind() != "source_file");
    }
    false
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
            var w = func() { x := 1; _ = x; <x> <!w> }";
        assert_eq!(check_marks(text), 30);
    }

    #[test]
    fn lists_the_names_of_a_package() {
        let file = GoFile::parse(
            "package p\nfunc f() {}\nfunc (t) m() {}\ntype t int\nvar a, b = 1, 2\nvar (\nc int\nd int\n)\nconst (\ne = iota\ng\n)\n",
        );
        let file = file.expect("it is Go");
        assert_eq!(package_names(&file).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f", "g", "t"]);
    }
}
