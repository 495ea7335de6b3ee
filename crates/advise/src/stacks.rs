//! Names of functions as Go's tables have them, and which functions of a stack ran within the span that it was taken in.
//!
//! A stack goes on beyond its span: what called the span's function is on it, too. Where the span begins is known of functions
//! (by their name) and of packs (by the package that they edit); of spans made by hand it is not, so that only the innermost
//! function counts there.

use model::{Frame, Kind, Source, Span};

/// A function of Go's: where it is declared, and its name there as `tandem enable` and `tandem.yaml` have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Import path of its package; `main` for every program's main package.
    pub import_path: String,
    /// `(*Cart).Add`.
    pub name: String,
}

impl Name {
    /// Reads the name of a frame: literals and what the compiler makes of a function belong to it. `None`: it is not Go's,
    /// belongs to no function, or was woven in.
    pub fn of_frame(function: &str) -> Option<Name> {
        if function.starts_with('[') {
            return None;
        }
        let without_types = function.split('[').next()?;
        let package_end = match without_types.rfind('/') {
            Some(slash) => slash + function[slash..].find('.')?,
            None => function.find('.')?,
        };
        let import_path = unescaped(&function[..package_end]);
        let rest = without_brackets(&function[package_end + 1..]);
        let name = match rest.strip_prefix('(') {
            Some(receiver) => {
                let (receiver, rest) = receiver.split_once(").")?;
                format!("({receiver}).{}", first_word(rest)?)
            }
            None => {
                let first = first_word(&rest)?;
                match rest[first.len()..].strip_prefix('.').and_then(first_word) {
                    Some(second) if !is_made(second) => format!("{first}.{second}"),
                    _ => first.to_owned(),
                }
            }
        };
        let last = name.rsplit('.').next()?;
        let is_ours = last.starts_with("tandem") || import_path == "tandem" || import_path.starts_with("tandem/");
        (!is_ours && name != "glob" && name != "init").then_some(Name { import_path, name })
    }

    /// The same of a frame that is the function's own. A literal may run long after the function around it has returned, so that a
    /// span of that one would not be around it; where it has not, its own frame is on the stack, too.
    fn of_own_frame(frame: &Frame) -> Option<Name> {
        let name = Name::of_frame(&frame.function)?;
        let end = without_brackets(&frame.function);
        (end.ends_with(&format!(".{}", name.name)) || end.ends_with("-fm")).then_some(name)
    }

    /// `worker.(*Pool).run`, as people say it and as its span is called.
    pub fn title(&self) -> String {
        let package = self.import_path.rsplit('/').next().unwrap_or(&self.import_path);
        format!("{package}.{}", self.name)
    }
}

/// `sum[...]`, `(*Stack[...]).Push` without what is in brackets.
fn without_brackets(text: &str) -> String {
    let mut depth = 0;
    let mut kept = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth == 0 => kept.push(character),
            _ => {}
        }
    }
    kept
}

/// Up to the next dot or dash: `run` of `run.func1`, of `run-fm`, of `run-range2`.
fn first_word(text: &str) -> Option<&str> {
    let word = text.split(['.', '-']).next().unwrap_or(text);
    (!word.is_empty()).then_some(word)
}

/// What the compiler adds to a function's name.
fn is_made(word: &str) -> bool {
    let of = |prefix: &str| {
        word.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()))
    };
    ["func", "gowrap", "deferwrap", ""].iter().any(|prefix| of(prefix))
}

/// The linker writes dots after the last slash as `%2e`.
fn unescaped(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The package that a pack's spans come from.
const PACK_SCOPE: &str = "tandem/";

/// Whether it is a span of a function: it says by its name what ran.
pub(crate) fn is_function(span: &Span) -> bool {
    span.source == Source::Woven && span.kind == Kind::Internal && !span.scope.starts_with(PACK_SCOPE)
}

/// The functions that ran within the span, the outermost first, each once.
pub(crate) fn within(span: &Span, stack: &[Frame]) -> Vec<Name> {
    let inside = match span.scope.strip_prefix(PACK_SCOPE) {
        _ if is_function(span) => {
            let own = span.name.split_once('.').map_or(span.name.as_str(), |(_, name)| name);
            let is_own = |frame: &Frame| {
                Name::of_frame(&frame.function).is_some_and(|name| {
                    name.name == own && (name.import_path == span.scope || name.import_path == "main")
                })
            };
            let end = stack.iter().position(is_own);
            &stack[..end.unwrap_or(stack.len())]
        }
        Some(package) if span.source == Source::Woven => {
            let is_pack = |frame: &Frame| {
                Name::of_frame(&frame.function).is_some_and(|name| is_below(&name.import_path, package))
            };
            match stack.iter().rposition(is_pack) {
                Some(end) => &stack[..end],
                None => stack, // on another goroutine
            }
        }
        _ => {
            let innermost = stack.iter().find_map(|frame| Name::of_own_frame(frame).filter(is_someones));
            return innermost.into_iter().collect();
        }
    };
    names(inside)
}

/// All functions of a stack, the outermost first, each once: where there is no span.
pub(crate) fn names(stack: &[Frame]) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for name in stack.iter().rev().filter_map(Name::of_own_frame) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Not Go's own library.
pub(crate) fn is_someones(name: &Name) -> bool {
    name.import_path == "main" || name.import_path.split('/').next().is_some_and(|first| first.contains('.'))
}

/// It runs before anybody could switch it on, and until the end.
pub(crate) fn is_main(name: &Name) -> bool {
    name.import_path == "main" && name.name == "main"
}

/// Whether it is a package, or one below it.
pub(crate) fn is_below(path: &str, package: &str) -> bool {
    path.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{frames, span};

    #[test]
    fn names_are_those_of_the_source() {
        for (function, import_path, name) in [
            ("main.main", "main", "main"),
            ("main.report.func1", "main", "report"),
            ("main.report.func1.2", "main", "report"),
            ("example.com/shop/cart.(*Cart).Add", "example.com/shop/cart", "(*Cart).Add"),
            ("example.com/shop/cart.(*Cart).Add.func2", "example.com/shop/cart", "(*Cart).Add"),
            ("example.com/shop/cart.(*Cart).Add-fm", "example.com/shop/cart", "(*Cart).Add"),
            ("example.com/shop/cart.Line.Total", "example.com/shop/cart", "Line.Total"),
            ("example.com/shop/cart.Total.gowrap1", "example.com/shop/cart", "Total"),
            ("example.com/shop/cart.All-range1", "example.com/shop/cart", "All"),
            ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3", "Unmarshal"),
            ("main.sum[...]", "main", "sum"),
            ("main.(*Stack[...]).Push", "main", "(*Stack).Push"),
            ("main.sum[go.shape.struct { x/y.Z }].func1", "main", "sum"),
            ("net/http.(*conn).serve", "net/http", "(*conn).serve"),
        ] {
            let found = Name::of_frame(function).unwrap_or_else(|| panic!("{function}"));
            assert_eq!((found.import_path.as_str(), found.name.as_str()), (import_path, name), "{function}");
        }
        for function in
            ["[kernel: read]", "[libc.so.6]", "main.tandemCall0_main", "main.glob..func1", "tandem/rt.Admit", "", "x"]
        {
            assert_eq!(Name::of_frame(function), None, "{function}");
        }
    }

    #[test]
    fn a_stack_ends_where_its_span_began() {
        let stack = frames(&[
            "strings.Repeat",
            "main.render",
            "main.report",
            "main.main.func1",
            "net/http.HandlerFunc.ServeHTTP",
            "net/http.(*conn).serve",
        ]);
        let inside = |span: &Span| within(span, &stack).iter().map(Name::title).collect::<Vec<_>>();
        let server = Span { kind: Kind::Server, scope: "tandem/net/http".into(), ..span("GET /") };
        let below = ["http.HandlerFunc.ServeHTTP", "main.report", "main.render", "strings.Repeat"];
        assert_eq!(inside(&server), below);
        let function = Span { scope: "example.com/app".into(), ..span("main.report") };
        assert_eq!(inside(&function), ["main.render", "strings.Repeat"]);
        let by_hand = Span { source: Source::Api, scope: "mine".into(), ..span("work") };
        assert_eq!(inside(&by_hand), ["main.render"]);
    }
}
