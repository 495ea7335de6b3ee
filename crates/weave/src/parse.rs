//! Go source as a syntax tree, and the few questions the weave asks of it. All ranges are byte ranges of the text.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;

use tree_sitter::{InputEdit, Node, Parser, Point, Tree};

use crate::splice::Edit;

/// A parsed Go file.
pub struct GoFile<'text> {
    /// The text that was parsed.
    pub text: &'text str,
    tree: Tree,
}

/// One import of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import<'text> {
    /// The name that the file gives it: `.` and `_` too.
    pub name: Option<&'text str>,
    /// The import path.
    pub path: &'text str,
}

/// One entry of a parameter or result list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Range of the name; empty at the type's start when there is none.
    pub name: Range<usize>,
    /// Range of the type (without the dots of a variadic one).
    pub kind: Range<usize>,
    /// Whether it stands for any number of arguments.
    pub is_variadic: bool,
}

/// A parameter or result list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterList {
    /// In order; `a, b int` are two.
    pub entries: Vec<Parameter>,
    /// Range of a single result type that has no parentheses.
    pub bare: Option<Range<usize>>,
}

/// A function or method with a body, or a function literal in one.
#[derive(Debug, Clone)]
pub struct Function<'tree> {
    /// Its name; of a literal that of the function around it, empty where there is none.
    pub name: &'tree str,
    /// The receiver's type as in the source; of a literal that of the method around it.
    pub receiver_type: Option<&'tree str>,
    /// Receiver, one entry; none of a literal.
    pub receiver: ParameterList,
    /// Parameters.
    pub parameters: ParameterList,
    /// Results.
    pub results: ParameterList,
    /// The whole declaration, or the literal.
    pub node: Node<'tree>,
    /// The declaration that it is, or lies in.
    pub declaration: Node<'tree>,
    /// What Go adds to the name of the function around a literal: `func1`, `func1.2`.
    pub literal: Option<String>,
    /// The body with its braces.
    pub body: Range<usize>,
}

impl<'text> GoFile<'text> {
    /// Parses; `None` when the text has a syntax error.
    pub fn parse(text: &'text str) -> Option<GoFile<'text>> {
        let file = GoFile::parse_leniently(text);
        (!file.tree.root_node().has_error()).then_some(file)
    }

    /// Parses a text that may have syntax errors; one that was parsed a moment ago is not parsed again.
    pub fn parse_leniently(text: &'text str) -> GoFile<'text> {
        GoFile { text, tree: RECENT.with_borrow_mut(|recent| recent.tree_of(text)) }
    }

    /// Parses what edits have made of `plain`, whose tree is known: only what they touch is parsed.
    pub fn parse_edited(plain: &str, edits: &[Edit], text: &'text str) -> GoFile<'text> {
        let mut tree = GoFile::parse_leniently(plain).tree;
        let mut places = Places { text: plain, at: 0, row: 0, line: 0 };
        let changes: Vec<InputEdit> = edits.iter().map(|edit| places.change(edit)).collect();
        // From the last to the first: what is before a change lies where it did.
        changes.iter().rev().for_each(|change| tree.edit(change));
        GoFile { text, tree: parse(text, Some(&tree)) }
    }

    /// The whole file.
    pub fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    /// The text of a node.
    pub fn slice(&self, node: Node<'_>) -> &'text str {
        &self.text[node.byte_range()]
    }

    /// The name in the package clause.
    pub fn package_name(&self) -> Option<Node<'_>> {
        let clause = children(self.root()).find(|node| node.kind() == "package_clause")?;
        clause.named_child(0)
    }

    /// What the file imports.
    pub fn imports(&self) -> Vec<Import<'text>> {
        // They come before all other declarations, of which there may be thousands.
        let mut cursor = self.root().walk();
        let mut next = cursor.goto_first_child();
        let head = std::iter::from_fn(|| {
            let node = Some(cursor.node()).filter(|node| next && !is_declaration(*node))?;
            next = cursor.goto_next_sibling();
            Some(node)
        });
        let declarations = head.filter(|node| node.kind() == "import_declaration");
        let specifications = declarations.flat_map(descendants).filter(|node| node.kind() == "import_spec");
        specifications
            .filter_map(|node| {
                let path = self.slice(node.child_by_field_name("path")?).trim_matches(['"', '`']);
                Some(Import { name: node.child_by_field_name("name").map(|name| self.slice(name)), path })
            })
            .collect()
    }

    /// Under which names the file imports `path`.
    pub fn import_names(&self, path: &str) -> Vec<&'text str> {
        let imports = self.imports().into_iter().filter(|import| import.path == path);
        imports.filter_map(|import| import.name.or_else(|| import.path.rsplit('/').next())).collect()
    }

    /// Every function and method that has a body.
    pub fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        children(self.root()).filter_map(|node| self.function(node))
    }

    /// Those of that name.
    pub fn functions_named(&self, name: &str) -> Vec<Function<'_>> {
        let is_it = |node: &Node<'_>| node.child_by_field_name("name").is_some_and(|own| self.slice(own) == name);
        children(self.root()).filter(is_it).filter_map(|node| self.function(node)).collect()
    }

    /// The function that `node` declares.
    pub fn function<'tree>(&'tree self, node: Node<'tree>) -> Option<Function<'tree>> {
        if node.kind() != "function_declaration" && node.kind() != "method_declaration" {
            return None;
        }
        let list = |field| node.child_by_field_name(field).map(|list| self.parameters(list)).unwrap_or_default();
        let receiver = list("receiver");
        Some(Function {
            name: self.slice(node.child_by_field_name("name")?),
            receiver_type: receiver.entries.first().map(|entry| &self.text[entry.kind.clone()]),
            receiver,
            parameters: list("parameters"),
            results: list("result"),
            node,
            declaration: node,
            literal: None,
            body: node.child_by_field_name("body")?.byte_range(),
        })
    }

    /// Every function literal, in the order of the source (what the compiler drops counts, too): those of each declared function, and those of the package's
    /// variables, which are counted through the file.
    pub fn literals(&self) -> Vec<Function<'_>> {
        let mut found = Vec::new();
        let mut outside = 0;
        for declaration in children(self.root()) {
            match declaration.kind() {
                "function_declaration" | "method_declaration" => {
                    self.add_literals(declaration, self.function(declaration), &mut 0, &mut found);
                }
                "var_declaration" => self.add_literals(declaration, None, &mut outside, &mut found),
                _ => {}
            }
        }
        found
    }

    fn add_literals<'tree>(
        &'tree self,
        declaration: Node<'tree>,
        around: Option<Function<'tree>>,
        count: &mut usize,
        found: &mut Vec<Function<'tree>>,
    ) {
        // Literals around the place: where each ends, what it is called, and how many lie directly in it.
        let mut open: Vec<(usize, String, usize)> = Vec::new();
        for node in descendants(declaration).into_iter().filter(|node| node.kind() == "func_literal") {
            open.retain(|(end, _, _)| node.start_byte() < *end);
            let name = match open.last_mut() {
                Some((_, name, inside)) => {
                    *inside += 1;
                    format!("{name}.{inside}")
                }
                None => {
                    *count += 1;
                    format!("func{count}")
                }
            };
            open.push((node.end_byte(), name.clone(), 0));
            let list = |field| node.child_by_field_name(field).map(|list| self.parameters(list)).unwrap_or_default();
            let Some(body) = node.child_by_field_name("body") else { continue };
            found.push(Function {
                name: around.as_ref().map_or("", |function| function.name),
                receiver_type: around.as_ref().and_then(|function| function.receiver_type),
                receiver: ParameterList::default(),
                parameters: list("parameters"),
                results: list("result"),
                node,
                declaration,
                literal: Some(name),
                body: body.byte_range(),
            });
        }
    }

    /// What a parameter or result list says; a single result need not be in one.
    pub fn parameters(&self, list: Node<'_>) -> ParameterList {
        if list.kind() != "parameter_list" {
            let range = list.byte_range();
            let entry = Parameter { name: range.start..range.start, kind: range.clone(), is_variadic: false };
            return ParameterList { entries: vec![entry], bare: Some(range) };
        }
        let mut entries = Vec::new();
        for declaration in children(list).filter(|node| node.kind().ends_with("parameter_declaration")) {
            let Some(kind) = declaration.child_by_field_name("type") else { continue };
            let mut cursor = declaration.walk();
            let names: Vec<Node<'_>> = declaration.children_by_field_name("name", &mut cursor).collect();
            let start = declaration.start_byte();
            let is_variadic = declaration.kind() == "variadic_parameter_declaration";
            let entry = |name: Range<usize>| Parameter { name, kind: kind.byte_range(), is_variadic };
            if names.is_empty() {
                entries.push(entry(start..start));
            }
            entries.extend(names.into_iter().map(|name| entry(name.byte_range())));
        }
        name_all_or_none(&mut entries);
        ParameterList { entries, bare: None }
    }

    /// Every struct type that has a name, with it.
    pub fn structures(&self) -> impl Iterator<Item = (&'text str, Node<'_>)> {
        let declarations = children(self.root()).filter(|node| node.kind() == "type_declaration");
        declarations.flat_map(children).filter_map(|specification| {
            let name = specification.child_by_field_name("name")?;
            let structure = specification.child_by_field_name("type").filter(|node| node.kind() == "struct_type")?;
            Some((self.slice(name), structure))
        })
    }
}

/// Whether a node at the top of a file can only come after the imports.
fn is_declaration(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "function_declaration" | "method_declaration" | "type_declaration" | "var_declaration" | "const_declaration"
    )
}

/// In Go all of a list has names or none. Of a long `a, b, …, j int` the parser gives up to know that what comes before
/// the last are names, and takes each for a type.
fn name_all_or_none(entries: &mut [Parameter]) {
    if entries.iter().all(|entry| entry.name.is_empty()) {
        return;
    }
    let mut kind = None;
    for entry in entries.iter_mut().rev() {
        match &kind {
            Some(kind) if entry.name.is_empty() => {
                entry.name = std::mem::replace(&mut entry.kind, Range::clone(kind));
            }
            _ => kind = Some(entry.kind.clone()),
        }
    }
}

thread_local! {
    static RECENT: RefCell<RecentTrees> = RefCell::default();
}

/// So many bytes of source are remembered: more than the largest package that packs edit (net/http, 2 MB).
const REMEMBERED_BYTES: usize = 4 << 20;

/// The trees of the last texts. Each edit of each rule looks at all files that may hold its place, so the same files are
/// asked for dozens of times in a row; parsing them anew was four fifths of a weave.
#[derive(Default)]
struct RecentTrees {
    /// Hash of the text, its length, its tree; the last used one at the end.
    trees: VecDeque<(blake3::Hash, usize, Tree)>,
    bytes: usize,
}

impl RecentTrees {
    fn tree_of(&mut self, text: &str) -> Tree {
        let hash = blake3::hash(text.as_bytes());
        let known = self.trees.iter().position(|(known, _, _)| *known == hash);
        let entry = match known.and_then(|at| self.trees.remove(at)) {
            Some(entry) => entry,
            None => {
                self.bytes += text.len();
                (hash, text.len(), parse(text, None))
            }
        };
        let tree = entry.2.clone(); // a reference to the same tree
        self.trees.push_back(entry);
        while self.bytes > REMEMBERED_BYTES {
            let Some((_, length, _)) = self.trees.pop_front() else { break };
            self.bytes -= length;
        }
        tree
    }
}

/// Goes through a text and knows the line.
struct Places<'text> {
    text: &'text str,
    at: usize,
    row: usize,
    /// Where the line begins.
    line: usize,
}

impl Places<'_> {
    /// Never backwards.
    fn point(&mut self, at: usize) -> Point {
        for (end, _) in self.text[self.at..at].match_indices('\n') {
            (self.row, self.line) = (self.row + 1, self.at + end + 1);
        }
        self.at = at;
        Point::new(self.row, at - self.line)
    }

    fn change(&mut self, edit: &Edit) -> InputEdit {
        let start = self.point(edit.range.start);
        let end = self.point(edit.range.end);
        // Lines that are taken away come back behind the text (`splice::apply`).
        let given_back = edit.lines_given_back(&self.text[edit.range.clone()]);
        let (rows, column) = match edit.text.rsplit_once('\n') {
            _ if given_back > 0 => (edit.text.matches('\n').count() + given_back, 0),
            Some((_, last)) => (edit.text.matches('\n').count(), last.len()),
            None => (0, start.column + edit.text.len()),
        };
        InputEdit {
            start_byte: edit.range.start,
            old_end_byte: edit.range.end,
            new_end_byte: edit.range.start + edit.text.len() + given_back,
            start_position: start,
            old_end_position: end,
            new_end_position: Point::new(start.row + rows, column),
        }
    }
}

fn parse(text: &str, old: Option<&Tree>) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_go::LANGUAGE.into()).expect("the grammar and the library fit: both are pinned");
    parser.parse(text, old).expect("without a time limit a parse always ends with a tree")
}

/// The direct children of a node. By a cursor: asking for the n-th child goes through all before it, and generated files
/// have a hundred thousand.
pub fn children<'tree>(node: Node<'tree>) -> impl Iterator<Item = Node<'tree>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).collect::<Vec<_>>().into_iter()
}

/// The node and everything below it, in source order. Without recursion: a sum of ten thousand terms is as deep a tree.
pub fn descendants(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    let mut found = vec![node];
    loop {
        if cursor.goto_first_child() || cursor.goto_next_sibling() {
            found.push(cursor.node());
            continue;
        }
        loop {
            if !cursor.goto_parent() {
                return found;
            }
            if cursor.goto_next_sibling() {
                found.push(cursor.node());
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_names_is_one_of_names() {
        let text = "package p\nfunc f(x bool, a, b, c, d, e, f, g, h, i, j, k, l, m int, _ ...T) {}\n";
        let file = GoFile::parse_leniently(text);
        let function = file.functions().next().expect("there is one");
        let entries = function.parameters.entries;
        let words = |entry: &Parameter| format!("{} {}", &text[entry.name.clone()], &text[entry.kind.clone()]);
        let names = ["x", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "_"];
        assert_eq!(entries.iter().map(|entry| text[entry.name.clone()].to_owned()).collect::<Vec<_>>(), names);
        assert_eq!((words(&entries[1]), words(&entries[13])), ("a int".to_owned(), "m int".to_owned()));
    }

    /// Guarantees: what is parsed again after edits is the tree of the new text, places included.
    #[test]
    fn an_edited_file_is_that_of_its_text() {
        let plain =
            "package p\n\nfunc f(\n\ta int,\n\tb int,\n) { g()\n h() }\nvar s = \"ä\"\nfunc i() int { return 1 }\n";
        let at = |word: &str| plain.find(word).expect("it is there");
        let edits = [
            Edit::insert(at("package p") + 9, "; import x \"y\""),
            Edit::replace(at("(\n\ta")..at(" { g"), "(a, b, c int)"),
            Edit::insert(at("h()"), "if x { \n y() };\n"),
            Edit::replace(at("\"ä\"")..at("\nfunc i"), "`ö\n`"),
            Edit::insert(plain.len(), "var z = 1\n"),
        ];
        let text = crate::splice::apply(plain, &edits);
        let (edited, whole) = (GoFile::parse_edited(plain, &edits, &text), GoFile::parse_leniently(&text));
        let look = |file: &GoFile<'_>| -> Vec<String> {
            let nodes = descendants(file.root()).into_iter();
            nodes.map(|node| format!("{} {:?}", node.kind(), node.range())).collect()
        };
        assert!(!whole.root().has_error());
        assert_eq!(look(&edited), look(&whole));
    }

    /// Guarantees: literals have the names that Go gives them in stack traces.
    #[test]
    fn literals_are_counted_as_go_does() {
        let text = "package p\nvar a, b = func() {}, T{func() { go func() {}() }}\nfunc (t *T) f() { g(func() { func() {}(); h(func(x int) {}) }, func() {})\n for i := range 3 { defer func() {}() } }\nvar c = func() {}\n";
        let file = GoFile::parse(text).expect("it is Go");
        let names = file
            .literals()
            .into_iter()
            .map(|literal| format!("{}.{}", literal.name, literal.literal.expect("it is one")));
        let expected =
            [".func1", ".func2", ".func2.1", "f.func1", "f.func1.1", "f.func1.2", "f.func2", "f.func3", ".func3"];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn trees_are_remembered_by_text_and_forgotten_in_time() {
        let mut recent = RecentTrees::default();
        let package = |name: usize| format!("package p{name}\n//{}\n", " ".repeat(REMEMBERED_BYTES / 3));
        for name in [1, 2, 1, 3, 1] {
            let text = package(name);
            let tree = recent.tree_of(&text);
            assert_eq!(
                GoFile { text: &text, tree }.package_name().map(|node| &text[node.byte_range()]),
                Some(&*format!("p{name}"))
            );
        }
        let remembered: Vec<usize> = recent.trees.iter().map(|(_, length, _)| *length).collect();
        assert_eq!((remembered.len(), recent.bytes), (2, remembered.iter().sum()), "two fit");
        recent.tree_of(&package(4).repeat(4));
        assert_eq!((recent.trees.len(), recent.bytes), (0, 0), "larger than all that is remembered");
    }
}
