//! Go source as a syntax tree, and the few questions the weave asks of it. All ranges are byte ranges of the text.

use std::ops::Range;

use tree_sitter::{Node, Parser, Tree};

/// A parsed Go file.
pub struct GoFile<'text> {
    /// The text that was parsed.
    pub text: &'text str,
    tree: Tree,
}

/// One entry of a parameter or result list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Range of the name; empty at the type's start when there is none.
    pub name: Range<usize>,
    /// Range of the type (without the dots of a variadic one).
    pub kind: Range<usize>,
}

/// A parameter or result list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterList {
    /// In order; `a, b int` are two.
    pub entries: Vec<Parameter>,
    /// Range of a single result type that has no parentheses.
    pub bare: Option<Range<usize>>,
}

/// A function or method with a body.
#[derive(Debug, Clone)]
pub struct Function<'tree> {
    /// Its name.
    pub name: &'tree str,
    /// The receiver's type as in the source.
    pub receiver_type: Option<&'tree str>,
    /// Receiver, one entry.
    pub receiver: ParameterList,
    /// Parameters.
    pub parameters: ParameterList,
    /// Results.
    pub results: ParameterList,
    /// The whole declaration.
    pub node: Node<'tree>,
    /// The body with its braces.
    pub body: Range<usize>,
}

impl<'text> GoFile<'text> {
    /// Parses; `None` when the text has a syntax error.
    pub fn parse(text: &'text str) -> Option<GoFile<'text>> {
        let file = GoFile::parse_leniently(text);
        (!file.tree.root_node().has_error()).then_some(file)
    }

    /// Parses a text that may have syntax errors.
    pub fn parse_leniently(text: &'text str) -> GoFile<'text> {
        let mut parser = Parser::new();
        parser
            .set_language(&tree_sitter_go::LANGUAGE.into())
            .expect("the grammar and the library fit: both are pinned");
        let tree = parser.parse(text, None).expect("without a time limit a parse always ends with a tree");
        GoFile { text, tree }
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

    /// Under which names the file imports `path`.
    pub fn import_names(&self, path: &str) -> Vec<&'text str> {
        let imports = children(self.root()).filter(|node| node.kind() == "import_declaration");
        let specifications = imports.flat_map(descendants).filter(|node| node.kind() == "import_spec");
        let imported_path =
            |node: &Node<'_>| node.child_by_field_name("path").map(|path| self.slice(path).trim_matches(['"', '`']));
        let name = |node: Node<'_>| match node.child_by_field_name("name") {
            Some(name) => Some(self.slice(name)),
            None => imported_path(&node)?.rsplit('/').next(),
        };
        specifications.filter(|node| imported_path(node) == Some(path)).filter_map(name).collect()
    }

    /// Every function and method that has a body.
    pub fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        children(self.root()).filter_map(|node| self.function(node))
    }

    fn function<'tree>(&'tree self, node: Node<'tree>) -> Option<Function<'tree>> {
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
            body: node.child_by_field_name("body")?.byte_range(),
        })
    }

    fn parameters(&self, list: Node<'_>) -> ParameterList {
        if list.kind() != "parameter_list" {
            let range = list.byte_range();
            let entry = Parameter { name: range.start..range.start, kind: range.clone() };
            return ParameterList { entries: vec![entry], bare: Some(range) };
        }
        let mut entries = Vec::new();
        for declaration in children(list).filter(|node| node.kind().ends_with("parameter_declaration")) {
            let Some(kind) = declaration.child_by_field_name("type") else { continue };
            let mut cursor = declaration.walk();
            let names: Vec<Node<'_>> = declaration.children_by_field_name("name", &mut cursor).collect();
            let start = declaration.start_byte();
            if names.is_empty() {
                entries.push(Parameter { name: start..start, kind: kind.byte_range() });
            }
            entries
                .extend(names.into_iter().map(|name| Parameter { name: name.byte_range(), kind: kind.byte_range() }));
        }
        ParameterList { entries, bare: None }
    }

    /// The struct type declared as `name`.
    pub fn structure(&self, name: &str) -> Option<Node<'_>> {
        let declarations = children(self.root()).filter(|node| node.kind() == "type_declaration");
        declarations.flat_map(children).find_map(|specification| {
            let is_named = specification.child_by_field_name("name").is_some_and(|node| self.slice(node) == name);
            let structure = specification.child_by_field_name("type").filter(|node| node.kind() == "struct_type")?;
            is_named.then_some(structure)
        })
    }
}

/// The direct children of a node.
pub fn children<'tree>(node: Node<'tree>) -> impl Iterator<Item = Node<'tree>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

/// The node and everything below it, in source order.
pub fn descendants(node: Node<'_>) -> Vec<Node<'_>> {
    let mut found = vec![node];
    found.extend(children(node).flat_map(descendants));
    found
}
