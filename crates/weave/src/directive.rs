//! The comments by which people steer the weave in their own code.
//!
//! `//tandem:span [name] [attribute=expression …]` above a function makes it a span; `//tandem:ignore` above a function
//! or before the package clause, or `//tandem:ignore package` before any package clause of the package, takes it out.
//! A wrong directive is a warning with its line and never breaks a build.

use crate::parse::{Function, GoFile, ParameterList, descendants};
use crate::shadow;
use crate::signature::Namer;
use crate::splice::Edit;

const PREFIX: &str = "//tandem:";

/// What the directives of a file come to.
#[derive(Debug, Default)]
pub struct Directives {
    /// To be merged with the edits of rules.
    pub edits: Vec<Edit>,
    /// Line and text.
    pub warnings: Vec<(usize, String)>,
    /// Line and name of each span.
    pub spans: Vec<(usize, String)>,
}

/// Whether `//tandem:ignore` stands above the function or at the head of its file.
pub fn is_ignored(file: &GoFile<'_>, function: &Function<'_>) -> bool {
    if !file.text.contains(PREFIX) {
        return false;
    }
    doc_comments(file, function).any(|comment| comment.1.trim_end() == "//tandem:ignore") || file_is_ignored(file)
}

/// Whether `//tandem:ignore` stands before the package clause.
pub fn file_is_ignored(file: &GoFile<'_>) -> bool {
    head_has(file, "//tandem:ignore") || package_is_ignored(file)
}

/// Whether `//tandem:ignore package` stands before the package clause.
pub fn package_is_ignored(file: &GoFile<'_>) -> bool {
    head_has(file, "//tandem:ignore package")
}

fn head_has(file: &GoFile<'_>, line: &str) -> bool {
    let head = file.package_name().map_or("", |name| &file.text[..name.start_byte()]);
    head.lines().any(|candidate| candidate.trim_end() == line)
}

/// The comment lines directly above the function with their line numbers, the nearest first.
pub(crate) fn doc_comments<'a>(
    file: &'a GoFile<'_>,
    function: &Function<'a>,
) -> impl Iterator<Item = (usize, &'a str)> {
    let mut next = function.declaration;
    std::iter::from_fn(move || {
        let comment = next.prev_sibling().filter(|node| node.kind() == "comment")?;
        if comment.end_position().row + 1 != next.start_position().row {
            return None;
        }
        next = comment;
        Some((comment.start_position().row + 1, file.slice(comment)))
    })
}

/// The spans that the file's directives ask for. `base_name` makes the declared names unique in the package.
pub fn spans(file: &GoFile<'_>, base_name: &str, import_path: &str) -> Directives {
    let mut found = Directives::default();
    let mut used_lines = Vec::new();
    let mut declarations = Declarations::new(base_name);
    let package = file.package_name().map_or("", |name| file.slice(name));
    for function in file.functions() {
        let comments: Vec<(usize, &str)> = doc_comments(file, &function).collect();
        for (line, comment) in &comments {
            let Some(words) = span_words(comment) else { continue };
            used_lines.push(*line);
            if is_ignored(file, &function) {
                continue;
            }
            let default_name = format!("{package}.{}", name_in_package(&function));
            let request = Request::read(words, &default_name, &mut |problem| found.warnings.push((*line, problem)));
            let operation = declarations.operation(&format!("func/{default_name}"), import_path, &request.name);
            found.edits.extend(span_edits(file, &function, &operation, &request, &mut declarations));
            found.spans.push((function.node.start_position().row + 1, request.name));
        }
        used_lines.extend(
            comments.iter().filter(|(_, comment)| comment.trim_end() == "//tandem:ignore").map(|(line, _)| *line),
        );
    }
    if !declarations.lines.is_empty() {
        let newline = if file.text.ends_with('\n') { "" } else { "\n" };
        found.edits.push(Edit::insert(file.text.len(), format!("{newline}{}\n", declarations.lines.join("\n"))));
    }
    found.warnings.extend(unused_directives(file, &used_lines));
    found.warnings.sort();
    found
}

fn unused_directives(file: &GoFile<'_>, used_lines: &[usize]) -> Vec<(usize, String)> {
    let head_end = file.package_name().map_or(0, |name| name.start_byte());
    let comments = descendants(file.root()).into_iter().filter(|node| node.kind() == "comment");
    comments
        .filter_map(|node| {
            let line = node.start_position().row + 1;
            let text = file.slice(node).trim_end();
            let word = text.strip_prefix(PREFIX)?;
            let at_head = node.start_byte() < head_end && (word == "ignore" || word == "ignore package");
            if used_lines.contains(&line) || at_head {
                return None;
            }
            Some((line, match word.split_whitespace().next().unwrap_or_default() {
                "span" => "//tandem:span does not stand directly above a function with a body; it has no effect".to_owned(),
                "ignore" => "//tandem:ignore does not stand directly above a function or before the package clause; it has no effect".to_owned(),
                other => format!("there is no directive //tandem:{other}; known are span and ignore"),
            }))
        })
        .collect()
}

/// What stands after `//name` in the comment above the function that has this form.
pub fn named<'a>(file: &'a GoFile<'_>, function: &Function<'a>, name: &str) -> Option<&'a str> {
    doc_comments(file, function).find_map(|(_, comment)| {
        let rest = comment.strip_prefix("//")?.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
    })
}

fn span_words(comment: &str) -> Option<&str> {
    let rest = comment.strip_prefix("//tandem:span")?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// Whether `//tandem:span` stands above the function.
pub(crate) fn is_span(file: &GoFile<'_>, function: &Function<'_>) -> bool {
    file.text.contains(PREFIX) && doc_comments(file, function).any(|(_, comment)| span_words(comment).is_some())
}

/// `pkg.Func`, `pkg.T.Method` or `pkg.(*T).Method`.
pub fn qualified_name(package: &str, function: &Function<'_>) -> String {
    format!("{package}.{}", name_in_package(function))
}

/// `Func`, `T.Method`, `(*T).Method` or `Func.func1`, as in Go's stack traces but for type parameters.
pub(crate) fn name_in_package(function: &Function<'_>) -> String {
    if let Some(literal) = &function.literal {
        let around = Function { literal: None, ..function.clone() };
        let around = if around.name.is_empty() { "init".to_owned() } else { name_in_package(&around) };
        return format!("{around}.{literal}");
    }
    let is_part = |c: &char| !c.is_whitespace() && !matches!(c, '(' | ')');
    let receiver = function
        .receiver_type
        .map(|kind| kind.split('[').next().unwrap_or(kind).chars().filter(is_part).collect::<String>());
    match receiver {
        Some(pointer) if pointer.starts_with('*') => format!("({pointer}).{}", function.name),
        Some(value) => format!("{value}.{}", function.name),
        None => function.name.to_owned(),
    }
}

/// What one `//tandem:span` asks for.
struct Request {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Request {
    fn read(text: &str, default_name: &str, warn: &mut dyn FnMut(String)) -> Request {
        let mut name = None;
        let mut attributes = Vec::new();
        for word in split_words(text) {
            if let Some((key, expression)) = attribute(word) {
                if is_expression(expression) {
                    attributes.push((key.to_owned(), expression.to_owned()));
                } else {
                    warn(format!("{expression:?} is not a Go expression; the span goes without attribute {key}"));
                }
            } else if name.is_none() && !word.contains(['=', '\\']) {
                name = Some(word.trim_matches('"').to_owned());
            } else {
                warn(format!("{word:?} is neither a name nor attribute=expression; it has no effect"));
            }
        }
        Request { name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| default_name.to_owned()), attributes }
    }
}

/// Words are separated by white space outside of quotes and brackets.
fn split_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut depth, mut quote, mut start) = (0usize, None, None);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let outside = depth == 0 && quote.is_none();
        if c.is_whitespace() && outside {
            words.extend(start.take().map(|start| &text[start..at]));
            continue;
        }
        start = start.or(Some(at));
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if matches!(c, '(' | '[' | '{') => depth += 1,
            None if matches!(c, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            None => {}
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

fn attribute(word: &str) -> Option<(&str, &str)> {
    let (key, expression) = word.split_once('=')?;
    let is_key_character = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    (!key.is_empty() && key.chars().all(is_key_character)).then_some((key, expression))
}

fn is_expression(text: &str) -> bool {
    // A bracket too many would leave the parentheses: the text must be one whole expression within them.
    let source = format!("package p\nvar _ = any(\n{text}\n)\n");
    let Some(file) = GoFile::parse(&source) else { return false };
    let calls = descendants(file.root())
        .into_iter()
        .filter(|node| node.kind() == "argument_list" && node.start_position().row == 1);
    let arguments: Vec<usize> = calls.map(|node| node.named_child_count()).collect();
    arguments == [1] && file.root().named_child_count() == 2
}

/// What makes names that are declared for a file unique in its package.
pub(crate) fn suffix(base_name: &str) -> String {
    let stem = base_name.trim_end_matches(".go");
    stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("_{:x}", c as u32) }).collect()
}

/// The package-level declarations of a file, appended after its last line.
struct Declarations {
    suffix: String,
    operations: usize,
    keys: Vec<String>,
    lines: Vec<String>,
}

impl Declarations {
    fn new(base_name: &str) -> Declarations {
        Declarations { suffix: suffix(base_name), operations: 0, keys: Vec::new(), lines: Vec::new() }
    }

    fn operation(&mut self, id: &str, scope: &str, name: &str) -> String {
        self.operations += 1;
        let variable = format!("tandemOp{}_{}", self.operations, self.suffix);
        self.lines
            .push(format!("var {variable} = tandem_rt.NewOp({id:?}, {scope:?}, tandem_rt.KindInternal, {name:?})"));
        variable
    }

    /// A variable that is nil, for where that word means something else.
    fn nothing(&mut self, name: &str, kind: &str) -> String {
        let variable = format!("tandemNo{name}_{}", self.suffix);
        let line = format!("var {variable} {kind}");
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
        variable
    }

    fn key(&mut self, key: &str) -> String {
        let position = self.keys.iter().position(|known| known == key);
        let number = position.unwrap_or(self.keys.len()) + 1;
        let variable = format!("tandemKey{number}_{}", self.suffix);
        if position.is_none() {
            self.keys.push(key.to_owned());
            self.lines.push(format!("var {variable} = tandem_rt.NewKey({key:?})"));
        }
        variable
    }
}

fn span_edits(
    file: &GoFile<'_>,
    function: &Function<'_>,
    operation: &str,
    request: &Request,
    declarations: &mut Declarations,
) -> Vec<Edit> {
    let mut namer = Namer::new(file, function, None);
    let context = context_parameter(file, function).and_then(|index| namer.parameter(index));
    let error = error_result(file, &function.results).and_then(|index| namer.result(index));
    let body = function.body.start + 1;
    let nothing = |declarations: &mut Declarations, name: &str, kind: &str| {
        if means_something_else(file, body, "nil") { declarations.nothing(name, kind) } else { "nil".to_owned() }
    };
    let parent = match context {
        Some(name) => format!("tandem_rt.FromContext({name})"),
        None => nothing(declarations, "Parent", "*tandem_rt.Span"),
    };
    let error = match error {
        Some(name) => format!("&{name}"),
        None => nothing(declarations, "Error", "*error"),
    };
    // The end is deferred first: a panic in somebody's expression must end the span too.
    let mut text =
        format!(" tandemSpan := tandem_rt.StartFunc({operation}, {parent}); defer tandemSpan.EndFunc({error});");
    for (key, expression) in &request.attributes {
        text += &format!(" tandemSpan.SetAny({}, {expression});", declarations.key(key));
    }
    let mut edits = namer.edits;
    edits.push(Edit::insert(body, text));
    edits
}

/// The first parameter that is a `context.Context`.
pub fn context_parameter(file: &GoFile<'_>, function: &Function<'_>) -> Option<usize> {
    let names = file.import_names("context");
    let is_context = |kind: &str| match kind.strip_suffix(".Context") {
        Some(package) => names.contains(&package),
        None => kind == "Context" && names.contains(&"."),
    };
    function.parameters.entries.iter().position(|entry| is_context(&file.text[entry.kind.clone()]))
}

/// The last result, if it is an `error`.
pub fn error_result(file: &GoFile<'_>, results: &ParameterList) -> Option<usize> {
    let last = results.entries.len().checked_sub(1)?;
    let kind = &results.entries[last].kind;
    (&file.text[kind.clone()] == "error" && !means_something_else(file, kind.start, "error")).then_some(last)
}

/// Whether a name of Go's own is declared anew for the byte `at`.
fn means_something_else(file: &GoFile<'_>, at: usize, name: &str) -> bool {
    shadow::is_shadowed(file, at, name, None) || shadow::package_names(file).contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_expressions_whole() {
        assert_eq!(
            split_words(r#"checkout  user.id=u.ID n=len(a, b) s="x y" m=map[string]int{"a b": 1}"#),
            ["checkout", "user.id=u.ID", "n=len(a, b)", r#"s="x y""#, r#"m=map[string]int{"a b": 1}"#]
        );
        assert_eq!(split_words(r#""check out""#), [r#""check out""#]);
    }

    #[test]
    fn knows_what_an_expression_is() {
        for good in ["u.ID", "len(items)", "a+b", "f(1)(2)", "*p", "func() int { return 1 }()", "x[1:2]"] {
            assert!(is_expression(good), "{good}");
        }
        for bad in ["", "u.", "a b", "a)", "a); f(b", "x, y", "if", "a // b\n)", "1; 2"] {
            assert!(!is_expression(bad), "{bad}");
        }
    }
}
