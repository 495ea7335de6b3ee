//! Whose method a call calls: the type of an expression, as far as the sources of the package and of those that it names
//! tell. What a generic function makes of its type parameters, and what lies in packages whose source is not at hand, is not
//! known, and said to be so. Sources come from anybody: each question has a limit of steps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use tree_sitter::Node;

use crate::cache::Key;
use crate::condition::Situation;
use crate::goroot;
use crate::imports::{self, MethodName};
use crate::modules;
use crate::parse::{GoFile, Import, ParameterList, children};
use crate::project::Module;
use crate::shadow;
use crate::weave::{self, PackageSource, RuleOf};

/// How deep an expression or a chain of declarations is followed.
const DEPTH: usize = 48;
/// How many expressions and types are looked at for one call.
const STEPS: u32 = 20_000;

/// Where the source of packages lies that a woven one imports.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The real GOROOT; empty where there is none.
    pub root: PathBuf,
    /// Modules.
    pub modules: Vec<ImportedModule>,
}

/// A module whose packages' source may be read.
#[derive(Debug, Clone)]
pub struct ImportedModule {
    /// Its path.
    pub path: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether the folder never changes: one of the module cache.
    pub is_fixed: bool,
}

impl ImportedModule {
    /// One of the module cache.
    pub fn fixed(module: &Module) -> ImportedModule {
        ImportedModule { path: module.path.clone(), dir: module.dir.clone(), is_fixed: true }
    }
}

impl Imported {
    /// The source of a package.
    fn package(&self, import_path: &str) -> Option<PackageSource> {
        let is_in = |module: &&ImportedModule| {
            let below = import_path.strip_prefix(module.path.as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let module = self.modules.iter().filter(is_in).max_by_key(|module| module.path.len());
        let dir = match module {
            Some(module) => module.dir.join(import_path[module.path.len()..].trim_start_matches('/')),
            None if goroot::is_standard(import_path) && self.root.is_absolute() => {
                self.root.join("src").join(import_path)
            }
            None => return None,
        };
        dir.is_dir().then(|| PackageSource { dir, ..PackageSource::default() })
    }

    /// With what lies in the module cache only.
    pub fn fixed(&self) -> Imported {
        let modules = self.modules.iter().filter(|module| module.is_fixed).cloned().collect();
        Imported { root: self.root.clone(), modules }
    }

    /// Adds to a key what decides which calls of methods the rules mean. The standard library is its version's.
    pub fn state(&self, key: Key, rules: &[RuleOf<'_>]) -> Key {
        if !rules.iter().any(|of| of.rule.edits.iter().any(|edit| !edit.place.condition.method_types().is_empty())) {
            return key;
        }
        let key = key.text(format!("{self:?}"));
        let changing = self.modules.iter().filter(|module| !module.is_fixed);
        let packages = changing.flat_map(|module| modules::packages(&module.dir, &module.path));
        packages.filter_map(|path| self.package(&path)).fold(key, |key, source| weave::package_state(key, &source))
    }
}

/// A type, as far as it matters here; type arguments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Type {
    Unknown,
    /// One without methods, or whose methods nobody asks for.
    Plain,
    /// By import path and name; `error` has no path.
    Named(String, String),
    Pointer(Box<Type>),
    /// A slice, an array.
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Channel(Box<Type>),
    /// With its results.
    Function(Vec<Type>),
    Structure(Vec<Field>),
    Interface(Vec<(String, Vec<Type>)>, Vec<Type>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    kind: Type,
    is_embedded: bool,
}

/// What a package declares under a name.
#[derive(Debug, Clone)]
enum Declared {
    /// A type as it is written; an alias is the other type itself.
    Type {
        kind: Type,
        is_alias: bool,
    },
    /// With its results.
    Function(Vec<Type>),
    Value(Type),
}

/// What `x.name` is.
enum Member {
    Field(Type),
    /// With the named types through which it is reached, the receiver's own first.
    Method {
        through: Vec<(String, String)>,
        results: Vec<Type>,
    },
    Nothing,
    Unknown,
}

/// A file, and where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a GoFile<'a>,
    imports: &'a [Import<'a>],
    path: &'a str,
}

impl<'a> Place<'a> {
    /// The import path of the package that a word stands for.
    fn package(&self, node: Node<'_>) -> Option<&'a str> {
        let name = self.file.slice(node);
        let is_word = matches!(node.kind(), "identifier" | "package_identifier");
        let import = self.imports.iter().find(|import| imports::is_called(import, name)).filter(|_| is_word)?;
        (!shadow::is_shadowed(self.file, node.start_byte(), name, None)).then_some(import.path)
    }

    fn dots(&self) -> impl Iterator<Item = &'a str> {
        self.imports.iter().filter(|import| import.name == Some(".")).map(|import| import.path)
    }
}

/// Declarations by package and name, as they were looked up.
type Known<T> = RefCell<BTreeMap<(String, String), T>>;

/// What is known of the types of the packages that are woven, and of those that they import.
pub struct Types<'a> {
    sources: &'a BTreeMap<String, PackageSource>,
    imported: &'a Imported,
    texts: RefCell<BTreeMap<String, Option<Rc<Vec<String>>>>>,
    declared: Known<Option<Declared>>,
    /// Whether it is a type.
    types: Known<bool>,
    steps: Cell<u32>,
}

impl<'a> Types<'a> {
    /// For packages that are woven together.
    pub fn new(sources: &'a BTreeMap<String, PackageSource>, imported: &'a Imported) -> Types<'a> {
        let (texts, declared, types) = (RefCell::default(), RefCell::default(), RefCell::default());
        Types { sources, imported, texts, declared, types, steps: Cell::default() }
    }

    /// Whether `call` calls the method; nothing where the receiver's type is not known.
    pub fn calls_method(&self, at: &Situation<'_>, call: Node<'_>, wanted: &MethodName) -> Option<bool> {
        let selector = imports::callee(call).and_then(|callee| imports::selector(at.file, callee));
        let Some((operand, _)) = selector.filter(|(_, name)| *name == wanted.name) else { return Some(false) };
        let place = Place { file: at.file, imports: at.names.imports, path: at.names.own_path };
        self.steps.set(STEPS);
        if place.package(operand).is_some() || self.names_type(&place, operand, DEPTH) {
            return Some(false); // a package's function, or a method as a function of its receiver
        }
        let kind = self.expression(&place, operand, DEPTH);
        let is_wanted = |path: &str, name: &str| path == wanted.path && name == wanted.kind;
        let value = if let Type::Pointer(value) = &kind { value } else { &kind };
        if matches!(value, Type::Named(path, name) if is_wanted(path, name)) {
            return Some(true);
        }
        match self.member(&kind, &wanted.name, DEPTH) {
            Member::Method { through, .. } => Some(through.iter().any(|(path, name)| is_wanted(path, name))),
            Member::Field(_) | Member::Nothing => Some(false),
            Member::Unknown => None,
        }
    }

    /// Whether there is no going on.
    fn is_spent(&self, depth: usize) -> bool {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        depth == 0 || left == 0
    }

    // Declarations.

    fn texts(&self, path: &str) -> Option<Rc<Vec<String>>> {
        if let Some(known) = self.texts.borrow().get(path) {
            return known.clone();
        }
        let source = self.sources.get(path).cloned().or_else(|| self.imported.package(path));
        let texts = source.map(|source| Rc::new(weave::package_files(&source).map(|(_, text)| text).collect()));
        self.texts.borrow_mut().insert(path.to_owned(), texts.clone());
        texts
    }

    /// The first that `look` finds in the files of a package that contain a word.
    fn in_package<T>(&self, path: &str, word: &str, look: impl Fn(&Place<'_>) -> Option<T>) -> Option<T> {
        let texts = self.texts(path)?;
        texts.iter().filter(|text| text.contains(word)).find_map(|text| {
            let file = GoFile::parse_leniently(text);
            let imports = file.imports();
            look(&Place { file: &file, imports: &imports, path })
        })
    }

    fn declared(&self, path: &str, name: &str, depth: usize) -> Option<Declared> {
        let key = (path.to_owned(), name.to_owned());
        if let Some(known) = self.declared.borrow().get(&key) {
            return known.clone();
        }
        // What leads back to itself is not known.
        self.declared.borrow_mut().insert(key.clone(), None);
        let found = self.in_package(path, name, |place| {
            children(place.file.root()).find_map(|node| self.declaration(place, node, name, depth))
        });
        self.declared.borrow_mut().insert(key, found.clone());
        found
    }

    /// Whether a package declares a type of that name; what it is made of is not asked, so it may speak of itself.
    fn is_type(&self, path: &str, name: &str) -> bool {
        let key = (path.to_owned(), name.to_owned());
        if let Some(known) = self.types.borrow().get(&key) {
            return *known;
        }
        let found = self.in_package(path, name, |place| {
            let declarations = children(place.file.root()).filter(|node| node.kind() == "type_declaration");
            let mut own = declarations.flat_map(children).filter_map(|part| part.child_by_field_name("name"));
            own.any(|own| place.file.slice(own) == name).then_some(())
        });
        self.types.borrow_mut().insert(key, found.is_some());
        found.is_some()
    }

    /// What a declaration at the top of a file says of a name.
    fn declaration(&self, place: &Place<'_>, node: Node<'_>, name: &str, depth: usize) -> Option<Declared> {
        match node.kind() {
            "function_declaration" => {
                let is_it = node.child_by_field_name("name").is_some_and(|own| place.file.slice(own) == name);
                is_it.then(|| Declared::Function(self.results(place, node, depth)))
            }
            "type_declaration" => children(node).find_map(|specification| {
                let own = specification.child_by_field_name("name")?;
                let kind = specification.child_by_field_name("type")?;
                (place.file.slice(own) == name).then(|| Declared::Type {
                    kind: self.type_of(place, kind, depth),
                    is_alias: specification.kind() == "type_alias",
                })
            }),
            "var_declaration" | "const_declaration" => self.declares(place, node, name, depth).map(Declared::Value),
            _ => None,
        }
    }

    /// The results of a type's own method.
    fn method(&self, path: &str, kind: &str, name: &str, depth: usize) -> Option<Vec<Type>> {
        self.in_package(path, name, |place| {
            let methods = children(place.file.root()).filter(|node| node.kind() == "method_declaration");
            let mut methods = methods.filter(|node| {
                let own = node.child_by_field_name("name").map(|own| place.file.slice(own));
                own == Some(name)
                    && node.child_by_field_name("receiver").is_some_and(|list| is_of(place.file, list, kind))
            });
            methods.next().map(|node| self.results(place, node, depth))
        })
    }

    /// The types of what a function gives back.
    fn results(&self, place: &Place<'_>, function: Node<'_>, depth: usize) -> Vec<Type> {
        let list = function.child_by_field_name("result").map(|list| place.file.parameters(list)).unwrap_or_default();
        (0..list.entries.len()).map(|index| self.entry(place, &list, index, depth)).collect()
    }

    fn entry(&self, place: &Place<'_>, list: &ParameterList, index: usize, depth: usize) -> Type {
        let entry = &list.entries[index];
        let node = place.file.root().named_descendant_for_byte_range(entry.kind.start, entry.kind.end);
        let kind = node.map_or(Type::Unknown, |node| self.type_of(place, node, depth));
        if entry.is_variadic { Type::List(Box::new(kind)) } else { kind }
    }

    // Types.

    fn type_of(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> Type {
        if self.is_spent(depth) {
            return Type::Unknown;
        }
        let part = |field: &str| {
            let part = node.child_by_field_name(field).map(|part| self.type_of(place, part, depth - 1));
            Box::new(part.unwrap_or(Type::Unknown))
        };
        match node.kind() {
            "type_identifier" | "identifier" => self.type_by_name(place, node),
            "qualified_type" => self.qualified_type(place, node, "package", "name"),
            "selector_expression" => self.qualified_type(place, node, "operand", "field"),
            "generic_type" => *part("type"),
            "parenthesized_type" | "parenthesized_expression" => {
                node.named_child(0).map_or(Type::Unknown, |inner| self.type_of(place, inner, depth - 1))
            }
            "pointer_type" => match node.named_child(0) {
                Some(inner) => Type::Pointer(Box::new(self.type_of(place, inner, depth - 1))),
                None => Type::Unknown,
            },
            // `(*T)(x)` reads as an expression.
            "unary_expression" if place.file.slice(node).starts_with('*') => Type::Pointer(part("operand")),
            "slice_type" | "array_type" | "implicit_length_array_type" => Type::List(part("element")),
            "map_type" => Type::Map(part("key"), part("value")),
            "channel_type" => Type::Channel(part("value")),
            "function_type" => Type::Function(self.results(place, node, depth - 1)),
            "struct_type" => Type::Structure(self.fields(place, node, depth - 1)),
            "interface_type" => self.interface(place, node, depth - 1),
            _ => Type::Unknown,
        }
    }

    fn type_by_name(&self, place: &Place<'_>, node: Node<'_>) -> Type {
        let name = place.file.slice(node);
        if is_type_parameter(place.file, node) || shadow::is_shadowed(place.file, node.start_byte(), name, None) {
            return Type::Unknown;
        }
        let named = |path: &str| Type::Named(path.to_owned(), name.to_owned());
        match place.dots().find(|path| self.is_type(path, name)) {
            _ if self.is_type(place.path, name) => named(place.path),
            Some(path) => named(path),
            None if name == "error" => named(""),
            None if shadow::is_predeclared(name) => Type::Plain,
            None => Type::Unknown,
        }
    }

    fn qualified_type(&self, place: &Place<'_>, node: Node<'_>, package: &str, name: &str) -> Type {
        let package = node.child_by_field_name(package).and_then(|package| place.package(package));
        match (package, node.child_by_field_name(name)) {
            (Some(path), Some(name)) => Type::Named(path.to_owned(), place.file.slice(name).to_owned()),
            _ => Type::Unknown,
        }
    }

    fn fields(&self, place: &Place<'_>, structure: Node<'_>, depth: usize) -> Vec<Field> {
        let lists = children(structure).filter(|node| node.kind() == "field_declaration_list");
        let declarations = lists.flat_map(children).filter(|node| node.kind() == "field_declaration");
        let mut fields = Vec::new();
        for declaration in declarations {
            let Some(node) = declaration.child_by_field_name("type") else { continue };
            let kind = self.type_of(place, node, depth);
            let mut cursor = declaration.walk();
            let names = declaration.children_by_field_name("name", &mut cursor);
            let names: Vec<&str> = names.map(|name| place.file.slice(name)).collect();
            if names.is_empty() {
                let text = place.file.slice(node).split('[').next().unwrap_or_default();
                let name = text.rsplit('.').next().unwrap_or(text).trim().to_owned();
                let is_pointer = place.file.slice(declaration).starts_with('*');
                let kind = if is_pointer { Type::Pointer(Box::new(kind)) } else { kind };
                fields.push(Field { name, kind, is_embedded: true });
                continue;
            }
            fields.extend(names.into_iter().map(|name| Field {
                name: name.to_owned(),
                kind: kind.clone(),
                is_embedded: false,
            }));
        }
        fields
    }

    fn interface(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> Type {
        let mut methods = Vec::new();
        let mut embedded = Vec::new();
        for element in children(node) {
            match (element.kind(), element.child_by_field_name("name"), element.named_child(0)) {
                ("method_elem", Some(name), _) => {
                    methods.push((place.file.slice(name).to_owned(), self.results(place, element, depth)));
                }
                ("type_elem", _, Some(inner)) => embedded.push(self.type_of(place, inner, depth)),
                _ => {}
            }
        }
        Type::Interface(methods, embedded)
    }

    /// What the type is made of.
    fn underlying(&self, kind: &Type, depth: usize) -> Type {
        match kind {
            _ if self.is_spent(depth) => Type::Unknown,
            Type::Named(path, _) if path.is_empty() => Type::Plain,
            Type::Named(path, name) => match self.declared(path, name, depth - 1) {
                Some(Declared::Type { kind, .. }) => self.underlying(&kind, depth - 1),
                _ => Type::Unknown,
            },
            other => other.clone(),
        }
    }

    /// The same for what is behind a pointer.
    fn behind(&self, kind: &Type, depth: usize) -> Type {
        match self.underlying(kind, depth) {
            Type::Pointer(inner) => self.underlying(&inner, depth),
            other => other,
        }
    }

    // Members.

    fn member(&self, kind: &Type, name: &str, depth: usize) -> Member {
        if self.is_spent(depth) {
            return Member::Unknown;
        }
        match kind {
            Type::Unknown => Member::Unknown,
            Type::Pointer(inner) if !matches!(**inner, Type::Pointer(_)) => self.member(inner, name, depth - 1),
            Type::Named(path, kind) => self.member_of_named(path, kind, name, depth - 1),
            Type::Structure(fields) => self.member_of_fields(fields, name, depth - 1),
            Type::Interface(methods, embedded) => match methods.iter().find(|(own, _)| own == name) {
                Some((_, results)) => Member::Method { through: Vec::new(), results: results.clone() },
                None => self.first_member(embedded.iter(), name, depth - 1),
            },
            _ => Member::Nothing,
        }
    }

    fn member_of_named(&self, path: &str, kind: &str, name: &str, depth: usize) -> Member {
        if self.is_spent(depth) {
            return Member::Unknown;
        }
        let own = (path.to_owned(), kind.to_owned());
        if path.is_empty() {
            let is_it = kind == "error" && name == "Error";
            return if is_it {
                Member::Method { through: vec![own], results: vec![Type::Plain] }
            } else {
                Member::Nothing
            };
        }
        let Some(Declared::Type { kind: declared, is_alias }) = self.declared(path, kind, depth) else {
            return Member::Unknown;
        };
        if !is_alias && let Some(results) = self.method(path, kind, name, depth) {
            return Member::Method { through: vec![own], results };
        }
        // Of a type that is defined by another one fields are taken over, methods only where that is an interface.
        let inner = if is_alias { declared } else { self.underlying(&declared, depth) };
        match self.member(&inner, name, depth - 1) {
            Member::Method { mut through, results } => {
                through.insert(0, own);
                Member::Method { through, results }
            }
            other => other,
        }
    }

    fn member_of_fields(&self, fields: &[Field], name: &str, depth: usize) -> Member {
        match fields.iter().find(|field| field.name == name) {
            Some(field) => Member::Field(field.kind.clone()),
            None => {
                let embedded = fields.iter().filter(|field| field.is_embedded);
                self.first_member(embedded.map(|field| &field.kind), name, depth)
            }
        }
    }

    /// The member of one of these. Beside one that is not known only what cannot be hidden is certain.
    fn first_member<'t>(&self, kinds: impl Iterator<Item = &'t Type>, name: &str, depth: usize) -> Member {
        if self.is_spent(depth) {
            return Member::Unknown;
        }
        let mut found = Member::Nothing;
        let mut is_unknown = false;
        for kind in kinds {
            match self.member(kind, name, depth - 1) {
                Member::Method { through, results } if through.len() <= 1 => {
                    return Member::Method { through, results };
                }
                Member::Unknown => is_unknown = true,
                Member::Nothing => {}
                other if matches!(found, Member::Nothing) => found = other,
                _ => {}
            }
        }
        if is_unknown { Member::Unknown } else { found }
    }

    // Expressions.

    fn expression(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> Type {
        if self.is_spent(depth) {
            return Type::Unknown;
        }
        let of = |field: &str| {
            let part = node.child_by_field_name(field);
            part.map_or(Type::Unknown, |part| self.expression(place, part, depth - 1))
        };
        let written = || {
            let kind = node.child_by_field_name("type");
            kind.map_or(Type::Unknown, |kind| self.type_of(place, kind, depth - 1))
        };
        match node.kind() {
            "identifier" | "type_identifier" => self.variable(place, node, depth - 1),
            "selector_expression" | "qualified_type" => self.selected(place, node, depth - 1),
            _ if imports::callee(node).is_some() => {
                let results = self.call(place, node, depth - 1);
                results.and_then(|results| results.into_iter().next()).unwrap_or(Type::Unknown)
            }
            "type_conversion_expression" | "composite_literal" | "type_assertion_expression" => written(),
            "parenthesized_expression" => {
                node.named_child(0).map_or(Type::Unknown, |inner| self.expression(place, inner, depth - 1))
            }
            "unary_expression" => {
                let operator = node.child_by_field_name("operator").map_or("", |operator| place.file.slice(operator));
                match (operator, of("operand")) {
                    ("&", kind) => Type::Pointer(Box::new(kind)),
                    ("*", kind) => match self.underlying(&kind, depth - 1) {
                        Type::Pointer(inner) => *inner,
                        _ => Type::Unknown,
                    },
                    ("<-", kind) => match self.underlying(&kind, depth - 1) {
                        Type::Channel(inner) => *inner,
                        _ => Type::Unknown,
                    },
                    ("!", _) => Type::Plain,
                    (_, kind) => kind,
                }
            }
            "index_expression" => match self.behind(&of("operand"), depth - 1) {
                Type::List(inner) | Type::Map(_, inner) => *inner,
                Type::Plain => Type::Plain, // a byte of a text
                _ => Type::Unknown,
            },
            "slice_expression" => of("operand"),
            "func_literal" => Type::Function(self.results(place, node, depth - 1)),
            "binary_expression" => {
                let operator = node.child_by_field_name("operator").map_or("", |operator| place.file.slice(operator));
                let is_comparison = matches!(operator, "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||");
                match of("left") {
                    _ if is_comparison => Type::Plain,
                    Type::Plain => of("right"), // of `2 * time.Second`
                    kind => kind,
                }
            }
            kind if kind.ends_with("_literal") => Type::Plain,
            "true" | "false" | "iota" => Type::Plain,
            _ => Type::Unknown,
        }
    }

    fn variable(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> Type {
        let name = place.file.slice(node);
        if let Some(kind) = self.local(place, node, name, depth) {
            return kind;
        }
        let value = |path: &str| match self.declared(path, name, depth) {
            Some(Declared::Value(kind)) => Some(kind),
            Some(Declared::Function(results)) => Some(Type::Function(results)),
            _ => None,
        };
        value(place.path).or_else(|| place.dots().find_map(value)).unwrap_or(Type::Unknown)
    }

    fn selected(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> Type {
        let Some((operand, name)) = imports::selector(place.file, node) else { return Type::Unknown };
        if let Some(path) = place.package(operand) {
            return match self.declared(path, name, depth) {
                Some(Declared::Value(kind)) => kind,
                Some(Declared::Function(results)) => Type::Function(results),
                _ => Type::Unknown,
            };
        }
        match self.member(&self.expression(place, operand, depth), name, depth) {
            Member::Field(kind) => kind,
            Member::Method { results, .. } => Type::Function(results),
            Member::Nothing | Member::Unknown => Type::Unknown,
        }
    }

    /// What a call gives back.
    fn call(&self, place: &Place<'_>, call: Node<'_>, depth: usize) -> Option<Vec<Type>> {
        if self.is_spent(depth) {
            return None;
        }
        let callee = imports::callee(call)?;
        let name = place.file.slice(callee);
        let is_own_word = callee.kind() == "identifier"
            && shadow::is_predeclared(name)
            && !shadow::is_shadowed(place.file, callee.start_byte(), name, None)
            && self.declared(place.path, name, depth).is_none();
        if is_own_word {
            return Some(vec![self.call_of_gos_own(place, call, name, depth)]);
        }
        if self.names_type(place, callee, depth) {
            return Some(vec![self.type_of(place, callee, depth)]);
        }
        match self.underlying(&self.expression(place, callee, depth), depth) {
            Type::Function(results) => Some(results),
            _ => None,
        }
    }

    fn call_of_gos_own(&self, place: &Place<'_>, call: Node<'_>, name: &str, depth: usize) -> Type {
        let first = call.child_by_field_name("arguments").and_then(|list| list.named_child(0));
        match (name, first) {
            ("new", Some(kind)) => Type::Pointer(Box::new(self.type_of(place, kind, depth))),
            ("make", Some(kind)) => self.type_of(place, kind, depth),
            ("append" | "min" | "max", Some(value)) => self.expression(place, value, depth),
            ("error", _) => Type::Named(String::new(), "error".to_owned()),
            _ => Type::Plain,
        }
    }

    /// Whether an expression is a type: `T`, `p.T`, `(*T)`, `[]T`.
    fn names_type(&self, place: &Place<'_>, node: Node<'_>, depth: usize) -> bool {
        if self.is_spent(depth) {
            return false;
        }
        match node.kind() {
            "identifier" | "type_identifier" => {
                let name = place.file.slice(node);
                let is_local = shadow::is_shadowed(place.file, node.start_byte(), name, None);
                !is_local && (self.is_type(place.path, name) || place.dots().any(|path| self.is_type(path, name)))
            }
            "selector_expression" | "qualified_type" => imports::selector(place.file, node)
                .and_then(|(operand, name)| Some((place.package(operand)?, name)))
                .is_some_and(|(path, name)| self.is_type(path, name)),
            "parenthesized_expression" => {
                node.named_child(0).is_some_and(|inner| self.names_type(place, inner, depth - 1))
            }
            "unary_expression" => {
                let operand = node.child_by_field_name("operand").filter(|_| place.file.slice(node).starts_with('*'));
                operand.is_some_and(|operand| self.names_type(place, operand, depth - 1))
            }
            kind => kind.ends_with("_type"),
        }
    }

    // Variables of functions.

    /// The type of the variable that a function, or a block in it, declares; nothing where none does.
    fn local(&self, place: &Place<'_>, node: Node<'_>, name: &str, depth: usize) -> Option<Type> {
        if self.is_spent(depth) {
            return Some(Type::Unknown);
        }
        let mut around = node.parent();
        while let Some(block) = around.filter(|around| !shadow::is_of_package(*around)) {
            if let Some(kind) = self.local_in(place, block, node.start_byte(), name, depth - 1) {
                return Some(kind);
            }
            around = block.parent();
        }
        None
    }

    fn local_in(&self, place: &Place<'_>, around: Node<'_>, at: usize, name: &str, depth: usize) -> Option<Type> {
        match around.kind() {
            "function_declaration" | "method_declaration" | "func_literal" => {
                let lists = ["receiver", "parameters", "result"].into_iter();
                let mut lists = lists.filter_map(|field| around.child_by_field_name(field));
                lists.find_map(|list| {
                    let list = place.file.parameters(list);
                    let index = list.entries.iter().position(|entry| place.file.text[entry.name.clone()] == *name)?;
                    Some(self.entry(place, &list, index, depth))
                })
            }
            "type_case" | "default_case" if is_alias_of(place.file, around, name) => {
                let mut cursor = around.walk();
                let kinds = around.children_by_field_name("type", &mut cursor).filter(|node| node.is_named());
                let kinds: Vec<Node<'_>> = kinds.collect();
                let switched = around.parent().and_then(|switch| switch.child_by_field_name("value"));
                let before = self.declared_before(place, around, at, name, depth);
                before.or_else(|| match (kinds.as_slice(), switched) {
                    ([kind], _) if place.file.slice(*kind) != "nil" => Some(self.type_of(place, *kind, depth)),
                    (_, Some(value)) => Some(self.expression(place, value, depth)),
                    _ => Some(Type::Unknown),
                })
            }
            _ => self.declared_before(place, around, at, name, depth),
        }
    }

    /// The same, of the statements in a block.
    fn declared_before(&self, place: &Place<'_>, block: Node<'_>, at: usize, name: &str, depth: usize) -> Option<Type> {
        let mut before = children(block).filter(|child| child.end_byte() <= at);
        before.find_map(|child| self.declares(place, child, name, depth))
    }

    /// The type of the variable that a statement declares.
    fn declares(&self, place: &Place<'_>, statement: Node<'_>, name: &str, depth: usize) -> Option<Type> {
        if self.is_spent(depth) {
            return None;
        }
        let position = |field: &str| names(place.file, statement, field).iter().position(|own| *own == name);
        match statement.kind() {
            "var_declaration" | "const_declaration" | "type_declaration" | "var_spec_list" | "for_clause"
            | "labeled_statement" => children(statement).find_map(|part| self.declares(place, part, name, depth - 1)),
            "var_spec" | "const_spec" => {
                let index = position("name")?;
                let count = names(place.file, statement, "name").len();
                match (statement.child_by_field_name("type"), statement.child_by_field_name("value")) {
                    (Some(kind), _) => Some(self.type_of(place, kind, depth - 1)),
                    (None, Some(values)) => Some(self.value(place, values, index, count, depth - 1)),
                    (None, None) => Some(Type::Plain), // as the constant before it
                }
            }
            "type_spec" | "type_alias" => position("name").map(|_| Type::Unknown),
            "short_var_declaration" => {
                let index = position("left")?;
                let count = names(place.file, statement, "left").len();
                let values = statement.child_by_field_name("right")?;
                Some(self.value(place, values, index, count, depth - 1))
            }
            "receive_statement" | "range_clause" => {
                children(statement).find(|child| child.kind() == ":=")?;
                let index = position("left")?;
                let value = statement.child_by_field_name("right")?;
                if statement.kind() == "receive_statement" {
                    return Some(if index == 0 { self.expression(place, value, depth - 1) } else { Type::Plain });
                }
                let kind = self.expression(place, value, depth - 1);
                Some(match (index, self.behind(&kind, depth - 1)) {
                    (0, Type::Map(key, _)) => *key,
                    (0, Type::Channel(inner)) | (1, Type::List(inner) | Type::Map(_, inner)) => *inner,
                    (0, Type::List(_)) | (_, Type::Plain) => Type::Plain,
                    _ => Type::Unknown,
                })
            }
            _ => None,
        }
    }

    /// The type of one of `count` variables that are set from a list of values.
    fn value(&self, place: &Place<'_>, values: Node<'_>, index: usize, count: usize, depth: usize) -> Type {
        let is_value = |node: &Node<'_>| node.is_named() && node.kind() != "comment";
        let values: Vec<Node<'_>> = match values.kind() {
            "expression_list" => children(values).filter(is_value).collect(),
            _ => vec![values],
        };
        match values.as_slice() {
            list if list.len() == count => self.expression(place, list[index], depth),
            [only] if imports::callee(*only).is_some() => {
                let results = self.call(place, *only, depth);
                results.and_then(|results| results.into_iter().nth(index)).unwrap_or(Type::Unknown)
            }
            // `value, ok := …`
            [only] if index == 0 => self.expression(place, *only, depth),
            [_] => Type::Plain,
            _ => Type::Unknown,
        }
    }
}

/// The words in a field of a node that is a name, several, or a list.
fn names<'text>(file: &GoFile<'text>, node: Node<'_>, field: &str) -> Vec<&'text str> {
    let mut cursor = node.walk();
    let mut found = Vec::new();
    for part in node.children_by_field_name(field, &mut cursor).filter(|part| part.is_named()) {
        match part.kind() {
            "expression_list" => {
                found.extend(children(part).filter(|name| name.is_named()).map(|name| file.slice(name)));
            }
            _ => found.push(file.slice(part)),
        }
    }
    found
}

/// Whether a case is one of `switch name := x.(type)`.
fn is_alias_of(file: &GoFile<'_>, case: Node<'_>, name: &str) -> bool {
    case.parent().is_some_and(|switch| names(file, switch, "alias").contains(&name))
}

/// Whether a receiver is of the type: `(c *T)`, `(T[K])`.
fn is_of(file: &GoFile<'_>, receiver: Node<'_>, kind: &str) -> bool {
    let list = file.parameters(receiver);
    list.entries.first().is_some_and(|entry| {
        let text = file.text[entry.kind.clone()].split('[').next().unwrap_or_default();
        text.trim_matches(|c: char| c == '*' || c == '(' || c == ')' || c.is_whitespace()) == kind
    })
}

/// Whether a declaration around a type's name has a type parameter of that name.
fn is_type_parameter(file: &GoFile<'_>, node: Node<'_>) -> bool {
    let name = file.slice(node);
    let mut around = node.parent();
    while let Some(declaration) = around {
        let list = declaration.child_by_field_name("type_parameters").into_iter().flat_map(children);
        if list.into_iter().any(|parameter| names(file, parameter, "name").contains(&name)) {
            return true;
        }
        around = declaration.parent();
    }
    false
}
