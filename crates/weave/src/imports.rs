//! What a file's imports make of its names: types with the import paths of their packages, and which function a call
//! calls. Renamed and dot imports are followed; a name that something nearer declares is not the package.

use std::fmt;

use tree_sitter::Node;

use crate::parse::{GoFile, Import, Parameter};
use crate::shadow;
use crate::token;

/// Whether `name` may be the name of the package at `path`: the clause that settles it is in another module. By custom it
/// is the last element, without a major version, `go-` before it or `-go`, `.go` after it.
fn may_be_named(path: &str, name: &str) -> bool {
    let is_major = |element: &str| {
        element
            .strip_prefix('v')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut elements = path.rsplit('/');
    let last = elements.next().unwrap_or(path);
    let base = if is_major(last) { elements.next().unwrap_or(last) } else { last };
    let base = base.rsplit_once('.').filter(|(_, end)| is_major(end) || *end == "go").map_or(base, |(start, _)| start);
    let short = base.strip_prefix("go-").or_else(|| base.strip_prefix("go.")).unwrap_or(base);
    let short = short.strip_suffix("-go").unwrap_or(short);
    let plain = |text: &str| text.replace(['-', '.'], "");
    let underscored = |text: &str| text.replace(['-', '.'], "_");
    let last_word = short.rsplit(['-', '.']).next().unwrap_or(short);
    let candidates = [last.to_owned(), base.to_owned(), short.to_owned(), plain(base), plain(short), underscored(base)];
    candidates.iter().any(|candidate| candidate == name) || last_word == name
}

/// Whether the file speaks of the package of `import` by `name`.
pub(crate) fn is_called(import: &Import<'_>, name: &str) -> bool {
    import.name.map_or_else(|| may_be_named(import.path, name), |own| own == name)
}

/// A type, with the import path in place of each package name, without white space: `*net/http.Request`.
pub fn type_text(file: &GoFile<'_>, imports: &[Import<'_>], parameter: &Parameter) -> String {
    let text = canonical(&file.text[parameter.kind.clone()], |name| {
        imports.iter().find(|import| is_called(import, name)).map(|import| import.path)
    });
    if parameter.is_variadic { format!("...{text}") } else { text }
}

/// A type as a pack writes it, in the form of `type_text`.
pub fn wanted_type(text: &str) -> String {
    canonical(text, |_| None)
}

fn canonical<'a>(text: &str, path_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let words: Vec<&str> = token::tokens(text).ranges.into_iter().map(|range| &text[range]).collect();
    let mut output = String::with_capacity(text.len());
    let is_word = |word: &str| word.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    for (at, word) in words.iter().enumerate() {
        let is_selected = at > 0 && matches!(words[at - 1], "." | "/");
        let is_qualifier = words.get(at + 1) == Some(&".") && !is_selected;
        if at > 0 && is_word(word) && is_word(words[at - 1]) {
            output.push(' ');
        }
        output.push_str(path_of(word).filter(|_| is_qualifier).unwrap_or(word));
    }
    output.replace("interface{}", "any")
}

/// A function of a package, as a pack names it: `net/http.Get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    /// Import path of its package.
    pub path: String,
    /// Its name.
    pub name: String,
}

impl FunctionName {
    /// Reads `path.Name`; the point after the last slash separates them.
    pub fn parse(text: &str) -> Option<FunctionName> {
        let (_, last) = text.rsplit_once('/').unwrap_or(("", text));
        let point = text.len() - last.len() + last.rfind('.')?;
        let (path, name) = (&text[..point], &text[point + 1..]);
        (!path.is_empty() && is_identifier(name)).then(|| FunctionName { path: path.to_owned(), name: name.to_owned() })
    }
}

/// A method of a type, as a pack names it: `net/http.Client.Do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodName {
    /// Import path of the type's package.
    pub path: String,
    /// The type's name.
    pub kind: String,
    /// The method's name.
    pub name: String,
}

impl MethodName {
    /// Reads `path.Type.Name`, or `(*path.Type).Name` as Go writes it: whether through a pointer does not matter.
    pub fn parse(text: &str) -> Option<MethodName> {
        let (kind, name) = text.rsplit_once('.')?;
        let kind = match kind.strip_prefix('(') {
            Some(inner) => inner.strip_suffix(')')?.trim_start_matches('*'),
            None => kind,
        };
        let FunctionName { path, name: kind } = FunctionName::parse(kind)?;
        is_identifier(name).then(|| MethodName { path, kind, name: name.to_owned() })
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.path, self.kind, self.name)
    }
}

/// Whether a text is one Go identifier.
pub fn is_identifier(text: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_numeric())
}

/// What a name may stand for in a file.
pub struct Names<'a> {
    /// The file's imports.
    pub imports: &'a [Import<'a>],
    /// Import path of the file's own package.
    pub own_path: &'a str,
    /// Whether the package declares a name.
    pub is_declared: &'a dyn Fn(&str) -> bool,
}

/// Whether `call`, a call expression, calls the function.
pub fn calls_function(file: &GoFile<'_>, call: Node<'_>, wanted: &FunctionName, names: &Names<'_>) -> bool {
    let Some(function) = callee(call) else { return false };
    match function.kind() {
        "selector_expression" | "qualified_type" => {
            let Some((operand, field)) = selector(file, function) else { return false };
            let is_import = |import: &&Import<'_>| import.path == wanted.path && is_called(import, file.slice(operand));
            field == wanted.name
                && matches!(operand.kind(), "identifier" | "package_identifier")
                && names.imports.iter().any(|import| is_import(&import))
                && !shadow::is_shadowed(file, operand.start_byte(), file.slice(operand), None)
        }
        "identifier" | "type_identifier" if file.slice(function) == wanted.name => {
            let is_dot = |import: &Import<'_>| import.path == wanted.path && import.name == Some(".");
            let is_own = names.own_path == wanted.path;
            let is_imported = names.imports.iter().any(is_dot) && !(names.is_declared)(&wanted.name);
            (is_own || is_imported) && !shadow::is_shadowed(file, function.start_byte(), &wanted.name, None)
        }
        _ => false,
    }
}

/// What is called: the function without its type arguments; `F[int](x)` reads as a conversion.
pub fn callee(call: Node<'_>) -> Option<Node<'_>> {
    if call.kind() == "type_conversion_expression" {
        let kind = call.child_by_field_name("type").filter(|kind| kind.kind() == "generic_type")?;
        return kind.child_by_field_name("type");
    }
    let function = call.child_by_field_name("function")?;
    match function.kind() {
        "type_instantiation_expression" => function.child_by_field_name("type"),
        "index_expression" => function.child_by_field_name("operand"),
        _ => Some(function),
    }
}

/// Of `x.name`: x, and the name.
pub(crate) fn selector<'tree, 'text>(file: &GoFile<'text>, node: Node<'tree>) -> Option<(Node<'tree>, &'text str)> {
    let (operand, field) = match node.kind() {
        "selector_expression" => ("operand", "field"),
        "qualified_type" => ("package", "name"),
        _ => return None,
    };
    Some((node.child_by_field_name(operand)?, file.slice(node.child_by_field_name(field)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_by_custom() {
        for (path, name) in [
            ("net/http", "http"),
            ("github.com/go-chi/chi/v5", "chi"),
            ("gopkg.in/yaml.v3", "yaml"),
            ("github.com/mattn/go-sqlite3", "sqlite3"),
            ("github.com/nats-io/nats.go", "nats"),
            ("github.com/segmentio/kafka-go", "kafka"),
        ] {
            assert!(may_be_named(path, name), "{path} {name}");
        }
        assert!(!may_be_named("net/http", "net") && !may_be_named("example.com/a/b", "a"));
    }

    #[test]
    fn types_have_import_paths() {
        let file = GoFile::parse("package p\nimport (\n web \"net/http\"\n \"context\"\n)\nfunc f(r *web.Request, c context.Context, m map[string] chan  int, a interface {}, v ...web.Header, g Box[web.Cookie], h func(a int) error) {}\n").expect("Go");
        let imports = file.imports();
        let function = file.functions().next().expect("there is one");
        let texts: Vec<String> =
            function.parameters.entries.iter().map(|parameter| type_text(&file, &imports, parameter)).collect();
        let expected = [
            "*net/http.Request",
            "context.Context",
            "map[string]chan int",
            "any",
            "...net/http.Header",
            "Box[net/http.Cookie]",
            "func(a int)error",
        ];
        assert_eq!(texts, expected);
        assert!(expected.iter().all(|text| wanted_type(text) == *text));
        assert_eq!(wanted_type("map[string] *github.com/a-b/c/v9.D"), "map[string]*github.com/a-b/c/v9.D");
    }

    #[test]
    fn names_of_functions() {
        let name = FunctionName::parse("gopkg.in/yaml.v3.Marshal").expect("a function");
        assert_eq!((name.path.as_str(), name.name.as_str()), ("gopkg.in/yaml.v3", "Marshal"));
        assert_eq!(FunctionName::parse("fmt.Println").expect("a function").path, "fmt");
        for bad in ["Println", "", "fmt.", "a/b", "fmt.2"] {
            assert_eq!(FunctionName::parse(bad), None, "{bad}");
        }
        for good in [
            "gopkg.in/yaml.v3.Encoder.Encode",
            "(*gopkg.in/yaml.v3.Encoder).Encode",
            "(gopkg.in/yaml.v3.Encoder).Encode",
        ] {
            let name = MethodName::parse(good).expect("a method");
            assert_eq!((&*name.path, &*name.kind, &*name.name), ("gopkg.in/yaml.v3", "Encoder", "Encode"));
        }
        for bad in ["Do", "http.Do", "(*Client).Do", "net/http.Client.", "net/http..Do", "(net/http.Client.Do"] {
            assert_eq!(MethodName::parse(bad), None, "{bad}");
        }
    }
}
