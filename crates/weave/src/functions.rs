//! `functions:` in `tandem.yaml`: functions that are woven dormant, to be switched on in a running process.
//!
//! A function gets one condition in front of its body (`go/rt/dormant.go` shows the whole): while its switch is off that is
//! a load, a test and a branch. The span is made by a stand-in at the end of the file, which calls the function again; so
//! the function itself gets no `defer`, which would cost more than the rest, and its stack traces stay what they were.
//!
//! Each file is woven by itself: its switches are numbered in the order of the file, and its names are one text that is
//! registered when the program starts.

use std::path::{Path, PathBuf};

use model::FunctionPattern;
use serde::{Deserialize, Serialize};
use tree_sitter::Node;

use crate::directive;
use crate::parse::{Function, GoFile, ParameterList, children};
use crate::signature::Namer;
use crate::splice::Edit;

/// Functions of one file; more than `rt.Switches` has are left out.
const FILE_LIMIT: usize = 4096;
/// Arguments that a span can have (`ARGUMENT_COUNT` of the shared memory).
const ARGUMENT_LIMIT: usize = 16;
/// Longest name of an argument; it becomes a part of an attribute's key.
const ARGUMENT_NAME_LIMIT: usize = 64;

/// Built-in functions and conversions: calls that do not make a function more than a leaf.
const BUILT_IN: &[&str] = &[
    "append", "cap", "clear", "close", "complex", "copy", "delete", "imag", "len", "make", "max", "min", "new",
    "panic", "print", "println", "real", "bool", "byte", "error", "float32", "float64", "int", "int8", "int16",
    "int32", "int64", "rune", "string", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr",
];

/// Comments of the compiler that do not forbid a call in front of the body.
const HARMLESS_COMMENTS: &[&str] = &["//go:noinline", "//go:norace", "//go:generate"];

/// One entry of `functions:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionRule {
    /// Which packages: `./...`, `./cart`, `example.com/lib/...`.
    packages: Vec<PackagePattern>,
    /// Which functions; absent: all.
    #[serde(default)]
    names: Vec<NamePattern>,
    /// Which not.
    #[serde(default)]
    exclude: Vec<NamePattern>,
    /// Functions with fewer statements are left out.
    #[serde(default = "default_statements")]
    min_statements: usize,
    /// Functions that call nothing, wait for nothing and have no loop, too.
    #[serde(default)]
    leaves: bool,
    /// Arguments can be recorded.
    #[serde(default)]
    arguments: bool,
}

/// What is smaller the compiler likes to inline: a switch would forbid that.
fn default_statements() -> usize {
    3
}

/// A pattern of import paths, as the go command has them; `./` is the folder of `tandem.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct PackagePattern(String);

impl TryFrom<String> for PackagePattern {
    type Error = String;

    fn try_from(text: String) -> Result<PackagePattern, String> {
        let below = text.strip_prefix("./").unwrap_or(&text);
        let is_element = |element: &str| !element.is_empty() && element != "." && element != "..";
        let is_path =
            below.split('/').all(is_element) && !below.contains(|c: char| c.is_whitespace() || "*?[]".contains(c));
        if text == "." || is_path {
            return Ok(PackagePattern(text));
        }
        Err(format!(
            "{text:?} is no pattern of packages: write ./..., ./folder or an import path, with ... for any text"
        ))
    }
}

impl PackagePattern {
    /// Whether it names import paths, and not folders or everything.
    fn is_path(&self) -> bool {
        !self.0.starts_with('.')
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct NamePattern(FunctionPattern);

impl TryFrom<String> for NamePattern {
    type Error = model::BadPattern;

    fn try_from(text: String) -> Result<NamePattern, model::BadPattern> {
        FunctionPattern::parse(&text).map(NamePattern)
    }
}

/// All of `functions:`.
#[derive(Debug, Clone, Default)]
pub struct FunctionRules {
    rules: Vec<FunctionRule>,
    /// The folder of `tandem.yaml`.
    root: PathBuf,
}

/// A package of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package<'a> {
    /// Its import path.
    pub import_path: &'a str,
    /// Its folder.
    pub dir: &'a Path,
}

impl FunctionRules {
    /// The rules of the `tandem.yaml` in a folder.
    pub fn new(rules: Vec<FunctionRule>, root: &Path) -> FunctionRules {
        FunctionRules { rules, root: root.to_owned() }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Those for a package of a module that this program only requires: it must be named by its import path.
    pub fn for_dependency(&self, import_path: &str) -> Vec<&FunctionRule> {
        let is_meant = |pattern: &PackagePattern| pattern.is_path() && is_path_meant(&pattern.0, import_path);
        self.rules.iter().filter(|rule| rule.packages.iter().any(is_meant)).collect()
    }

    /// Those that may mean packages of such a module.
    pub fn of_module(&self, module: &str) -> Vec<&FunctionRule> {
        let may_mean = |pattern: &PackagePattern| {
            let (base, _) = pattern.0.split_once("...").unwrap_or((&pattern.0, ""));
            let is_below = base.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            pattern.is_path() && (is_below || (base != pattern.0 && module.starts_with(base.trim_end_matches('/'))))
        };
        self.rules.iter().filter(|rule| rule.packages.iter().any(may_mean)).collect()
    }

    /// Those for a package.
    pub fn for_package(&self, package: Package<'_>) -> Vec<&FunctionRule> {
        let is_meant = |rule: &&FunctionRule| rule.packages.iter().any(|pattern| self.is_meant(pattern, package));
        self.rules.iter().filter(is_meant).collect()
    }

    /// Patterns that mean none of these packages.
    pub fn useless<'a>(&'a self, packages: &'a [Package<'a>]) -> impl Iterator<Item = &'a str> {
        let patterns = self.rules.iter().flat_map(|rule| &rule.packages);
        patterns
            .filter(|pattern| !packages.iter().any(|package| self.is_meant(pattern, *package)))
            .map(|pattern| pattern.0.as_str())
    }

    fn is_meant(&self, pattern: &PackagePattern, package: Package<'_>) -> bool {
        let pattern = pattern.0.as_str();
        if !pattern.starts_with('.') {
            return is_path_meant(pattern, package.import_path);
        }
        let Ok(below) = package.dir.strip_prefix(&self.root) else { return false };
        let folder = if below.as_os_str().is_empty() { ".".to_owned() } else { format!("./{}", below.display()) };
        is_path_meant(pattern, &folder)
    }
}

/// As in Go: `x/...` means `x`, too.
fn is_path_meant(pattern: &str, path: &str) -> bool {
    pattern.strip_suffix("/...") == Some(path) || dots(pattern, path)
}

/// Whether a path is what a pattern says, `...` being any text.
fn dots(pattern: &str, path: &str) -> bool {
    match pattern.split_once("...") {
        None => pattern == path,
        Some((start, rest)) => path.strip_prefix(start).is_some_and(|left| {
            let mut ends = (0..=left.len()).filter(|at| left.is_char_boundary(*at));
            ends.any(|at| dots(rest, &left[at..]))
        }),
    }
}

/// What became of a function that a rule means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DormantFunction {
    /// Its line.
    pub line: usize,
    /// `cart.(*Cart).Add`.
    pub name: String,
    /// Why it was left out; `None`: it is woven.
    pub left_out: Option<String>,
}

/// What the rules make of a file.
#[derive(Debug, Default)]
pub struct DormantFunctions {
    /// To be merged with the edits of other rules and of directives.
    pub edits: Vec<Edit>,
    /// Each function that a rule means, in the order of the file.
    pub functions: Vec<DormantFunction>,
}

impl DormantFunctions {
    /// Leaves out those that were not, too.
    pub fn leave_out(&mut self, reason: &str) {
        let woven = self.functions.iter_mut().filter(|function| function.left_out.is_none());
        woven.for_each(|function| function.left_out = Some(reason.to_owned()));
    }
}

/// Weaves the functions of a file that `rules`, those for its package, mean. `base_name` makes names unique in the package.
pub fn weave(file: &GoFile<'_>, base_name: &str, import_path: &str, rules: &[&FunctionRule]) -> DormantFunctions {
    let mut found = DormantFunctions::default();
    if rules.is_empty() || directive::file_is_ignored(file) {
        return found;
    }
    let package = file.package_name().map_or("", |name| file.slice(name));
    let mut table = Table::new(base_name, format!("{import_path} {package}\n"));
    for function in file.functions() {
        let name = directive::name_in_package(&function);
        let rule = rules.iter().find(|rule| rule.means(import_path, package, &name));
        let Some(rule) = rule else { continue };
        let left_out = reason_against(file, &function, package, rule)
            .or_else(|| (table.count == FILE_LIMIT).then(|| format!("the file has more than {FILE_LIMIT} functions")));
        if left_out.is_none() {
            found.edits.extend(table.add(file, &function, &name, rule.arguments));
        }
        let line = function.node.start_position().row + 1;
        found.functions.push(DormantFunction { line, name: format!("{package}.{name}"), left_out });
    }
    found.edits.extend(table.declarations(file));
    found
}

impl FunctionRule {
    fn means(&self, import_path: &str, package: &str, name: &str) -> bool {
        let is_meant = |pattern: &NamePattern| pattern.0.matches_function(import_path, package, name);
        (self.names.is_empty() || self.names.iter().any(is_meant)) && !self.exclude.iter().any(is_meant)
    }
}

/// Why a function cannot be woven, or had better not be.
fn reason_against(file: &GoFile<'_>, function: &Function<'_>, package: &str, rule: &FunctionRule) -> Option<String> {
    let is_function = function.receiver_type.is_none();
    if is_function && (function.name == "init" || function.name == "main" && package == "main") {
        return Some("it runs before anybody could switch it on".into());
    }
    if function.name == "_" {
        return Some("nobody can call it".into());
    }
    if directive::is_ignored(file, function) {
        return Some("taken out by //tandem:ignore".into());
    }
    if directive::is_span(file, function) {
        return Some("//tandem:span makes it a span that is always on".into());
    }
    if let Some(comment) = compiler_comment(file, function) {
        return Some(format!("it is compiled in a special way ({comment})"));
    }
    if type_parameters(file, function).is_some_and(|list| list.names.contains(&"_")) {
        return Some("it has a type parameter without a name".into());
    }
    let body = Body::of(file, function);
    if let Some(call) = body.sees_its_caller {
        return Some(format!("it calls {call}, which would see the stand-in"));
    }
    if body.statements < rule.min_statements {
        return Some(format!("it has {} statements, fewer than min_statements", body.statements));
    }
    if !rule.leaves && body.is_leaf {
        return Some("it is a leaf: it calls nothing and has no loop".into());
    }
    None
}

fn compiler_comment<'a>(file: &'a GoFile<'_>, function: &Function<'a>) -> Option<&'a str> {
    let words = directive::doc_comments(file, function)
        .filter(|(_, comment)| comment.starts_with("//go:"))
        .filter_map(|(_, comment)| comment.split_whitespace().next());
    words.filter(|word| !HARMLESS_COMMENTS.contains(word)).last()
}

/// What decides whether a function is worth a switch.
struct Body {
    statements: usize,
    is_leaf: bool,
    /// A call that looks at who has called it: `recover()`, `runtime.Caller()`.
    sees_its_caller: Option<&'static str>,
}

impl Body {
    fn of(file: &GoFile<'_>, function: &Function<'_>) -> Body {
        let mut body = Body { statements: 0, is_leaf: true, sees_its_caller: None };
        if let Some(block) = function.node.child_by_field_name("body") {
            body.look_at(file, block, false);
        }
        body
    }

    fn look_at(&mut self, file: &GoFile<'_>, node: Node<'_>, in_closure: bool) {
        match node.kind() {
            "for_statement" | "select_statement" | "go_statement" | "send_statement" => self.is_leaf = false,
            "unary_expression" if file.slice(node).starts_with("<-") => self.is_leaf = false,
            "call_expression" => self.look_at_call(file, node, in_closure),
            _ => {}
        }
        let is_declaration = matches!(
            node.kind(),
            "short_var_declaration" | "var_declaration" | "const_declaration" | "type_declaration"
        );
        self.statements += usize::from(is_declaration || node.kind().ends_with("_statement"));
        let in_closure = in_closure || node.kind() == "func_literal";
        children(node).for_each(|child| self.look_at(file, child, in_closure));
    }

    fn look_at_call(&mut self, file: &GoFile<'_>, call: Node<'_>, in_closure: bool) {
        let Some(callee) = call.child_by_field_name("function").map(|callee| file.slice(callee)) else { return };
        if !BUILT_IN.contains(&callee) && callee != "recover" {
            self.is_leaf = false;
        }
        match callee {
            // In a closure it is the closure that is deferred, and that stays where it is.
            "recover" if !in_closure => self.sees_its_caller = Some("recover"),
            "runtime.Caller" => self.sees_its_caller = Some("runtime.Caller"),
            "runtime.Callers" => self.sees_its_caller = Some("runtime.Callers"),
            _ if callee.ends_with(".Helper") => self.sees_its_caller = Some("Helper"),
            _ => {}
        }
    }
}

/// The type parameters of a function.
struct TypeParameters<'a> {
    text: &'a str,
    names: Vec<&'a str>,
}

fn type_parameters<'a>(file: &'a GoFile<'_>, function: &Function<'a>) -> Option<TypeParameters<'a>> {
    let list = function.node.child_by_field_name("type_parameters")?;
    let mut names = Vec::new();
    for declaration in children(list).filter(|node| node.kind() == "type_parameter_declaration") {
        let mut cursor = declaration.walk();
        names.extend(declaration.children_by_field_name("name", &mut cursor).map(|name| file.slice(name)));
    }
    Some(TypeParameters { text: file.slice(list), names })
}

/// The switches of a file, and what is declared at its end.
struct Table {
    switches: String,
    suffix: String,
    count: usize,
    text: String,
    stand_ins: String,
}

impl Table {
    fn new(base_name: &str, text: String) -> Table {
        let suffix = directive::suffix(base_name);
        Table { switches: format!("tandemFunctions_{suffix}"), suffix, count: 0, text, stand_ins: String::new() }
    }

    fn add(&mut self, file: &GoFile<'_>, function: &Function<'_>, name: &str, with_arguments: bool) -> Vec<Edit> {
        let index = self.count;
        self.count += 1;
        let arguments = if with_arguments { recorded(file, function) } else { Vec::new() };
        self.text.push_str(name);
        arguments.iter().for_each(|(_, argument)| self.text += &format!(" {argument}"));
        self.text.push('\n');

        let call = Call::new(file, function, &format!("tandemCall{index}_{}", self.suffix));
        let switches = &self.switches;
        let stand_in = call.stand_in(switches, index, &arguments);
        self.stand_ins.push_str(&stand_in);
        let (returns, after) = if function.results.entries.is_empty() { ("", "; return") } else { ("return ", "") };
        let text = format!(
            " if {switches}[{index}] != 0 && tandem_rt.Admit({switches}, {index}) {{ {returns}{}{after} }};",
            call.text
        );
        let mut edits = call.edits;
        edits.push(Edit::insert(function.body.start + 1, text));
        edits
    }

    fn declarations(self, file: &GoFile<'_>) -> Option<Edit> {
        if self.count == 0 {
            return None;
        }
        let newline = if file.text.ends_with('\n') { "" } else { "\n" };
        let Table { switches, count, text, stand_ins, .. } = self;
        let declarations = format!(
            "{newline}var {switches} = &tandem_rt.Dormant\nvar _ = tandem_rt.RegisterFunctions(&{switches}, {count}, {text:?})\n{stand_ins}"
        );
        Some(Edit::insert(file.text.len(), declarations))
    }
}

/// How a function calls its stand-in, and how that one is declared.
struct Call<'a> {
    file: &'a GoFile<'a>,
    function: &'a Function<'a>,
    name: String,
    /// Names that the signature needs.
    edits: Vec<Edit>,
    /// The call.
    text: String,
}

impl<'a> Call<'a> {
    fn new(file: &'a GoFile<'_>, function: &'a Function<'_>, name: &str) -> Call<'a> {
        let mut namer = Namer::new(file, function, None);
        let receiver = namer.receiver().map(|receiver| format!("{receiver}.")).unwrap_or_default();
        let names = (0..function.parameters.entries.len()).filter_map(|index| namer.parameter(index));
        let parameters: Vec<String> = names.collect();
        let last = parameters.len().wrapping_sub(1);
        let passed = passed_on(&parameters, is_variadic(file, &function.parameters, last));
        let text = format!("{receiver}{name}{}({passed})", Call::type_arguments(file, function));
        Call { file, function, name: name.to_owned(), edits: namer.edits, text }
    }

    fn type_arguments(file: &GoFile<'_>, function: &Function<'_>) -> String {
        type_parameters(file, function).map(|list| format!("[{}]", list.names.join(", "))).unwrap_or_default()
    }

    /// The stand-in's declaration. Its parameters have names of ours: the user's could hide the types of the others.
    fn stand_in(&self, switches: &str, index: usize, arguments: &[(usize, String)]) -> String {
        let Call { file, function, name, .. } = self;
        let type_of = |list: &ParameterList, index: usize| file.text[list.entries[index].kind.clone()].to_owned();
        let receiver = match function.receiver.entries.is_empty() {
            true => String::new(),
            false => format!("(tandemRecv {}) ", type_of(&function.receiver, 0)),
        };
        let count = function.parameters.entries.len();
        let variadic = is_variadic(file, &function.parameters, count.wrapping_sub(1));
        let parameters: Vec<String> = (0..count).map(|index| format!("tandemP{index}")).collect();
        let declared: Vec<String> = (0..count)
            .map(|index| {
                let dots = if variadic && index + 1 == count { "..." } else { "" };
                format!("tandemP{index} {dots}{}", type_of(&function.parameters, index))
            })
            .collect();
        let results: Vec<String> = (0..function.results.entries.len())
            .map(|index| format!("tandemR{index} {}", type_of(&function.results, index)))
            .collect();
        let results = if results.is_empty() { String::new() } else { format!("({}) ", results.join(", ")) };
        let context = directive::context_parameter(file, function);
        let parent = context.map_or("nil".to_owned(), |index| format!("tandem_rt.FromContext(tandemP{index})"));
        let error = directive::error_result(file, &function.results);
        let error = error.map_or("nil".to_owned(), |index| format!("&tandemR{index}"));
        let type_text = type_parameters(file, function).map_or("", |list| list.text);
        let mut text = format!(
            "func {receiver}{name}{type_text}({}) {results}{{ tandemSpan := tandem_rt.Begin({switches}, {index}, {parent}); defer tandemSpan.EndFunc({error});",
            declared.join(", ")
        );
        if !arguments.is_empty() {
            text.push_str(" if tandemSpan.Arguments() {");
            for (position, (index, _)) in arguments.iter().enumerate() {
                text += &format!(" tandemSpan.Argument({position}, tandemP{index});");
            }
            text.push_str(" };");
        }
        let returns = if function.results.entries.is_empty() { "" } else { "return " };
        let target = if function.receiver.entries.is_empty() { "" } else { "tandemRecv." };
        let type_arguments = Call::type_arguments(file, function);
        let passed = passed_on(&parameters, variadic);
        text + &format!(" {returns}{target}{}{type_arguments}({passed}) }}\n", function.name)
    }
}

fn passed_on(parameters: &[String], variadic: bool) -> String {
    format!("{}{}", parameters.join(", "), if variadic { "..." } else { "" })
}

fn is_variadic(file: &GoFile<'_>, parameters: &ParameterList, index: usize) -> bool {
    parameters.entries.get(index).is_some_and(|entry| file.text[..entry.kind.start].trim_end().ends_with("..."))
}

/// The parameters that can be recorded, index and name: those with a name and a type that may be a number, text or boolean.
fn recorded(file: &GoFile<'_>, function: &Function<'_>) -> Vec<(usize, String)> {
    let entries = function.parameters.entries.iter().enumerate();
    let with_names = entries.filter_map(|(index, entry)| {
        let (name, kind) = (&file.text[entry.name.clone()], &file.text[entry.kind.clone()]);
        let is_simple = kind.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        let is_named = !name.is_empty() && name != "_" && name.len() <= ARGUMENT_NAME_LIMIT;
        let is_plain = is_simple && !is_variadic(file, &function.parameters, index);
        (is_named && is_plain && Some(index) != directive::context_parameter(file, function) && kind != "error")
            .then(|| (index, name.to_owned()))
    });
    with_names.take(ARGUMENT_LIMIT).collect()
}
