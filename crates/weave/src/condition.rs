//! The `where` of a rule: a condition on functions, structs, calls or files, made of leaves and `all-of`, `one-of`, `not`.
//!
//! A condition is about one kind of thing, which follows from its leaves; one whose parts exclude each other is refused
//! when the pack is read.

use std::fmt;

use crate::directive;
use crate::find::Scope;
use crate::imports::{self, FunctionName, MethodName, Names};
use crate::parse::{Function, GoFile, ParameterList};
use crate::types::Types;

/// What a condition is about; a call lies in a function, and all of them in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A whole file.
    File,
    /// A struct type with a name.
    Structure,
    /// A function or method with a body.
    Function,
    /// A function literal.
    Closure,
    /// A call.
    Call,
}

/// A condition on a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Each of them holds.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The file's base name, a pattern.
    File(String),
    /// The name in the package clause, a pattern.
    Package(String),
    /// The struct's name, a pattern.
    Structure(String),
    /// The function's name, a pattern.
    Function(String),
    /// The receiver's type as in the source, with or without type parameters; `None` is a plain function.
    Receiver(Option<String>),
    /// What Go calls the function literal, after the name of the function around it: `func1.2`, a pattern.
    Closure(String),
    /// A comment of this form above the function: `//acme:trace …`.
    Directive(String),
    /// The types of all parameters, and of all results.
    Signature(TypeList, TypeList),
    /// One of these is the type of a parameter, or one of those that of a result.
    SignatureContains(Vec<String>, Vec<String>),
    /// A parameter has this type.
    Parameter(String),
    /// A result has this type.
    Result(String),
    /// The last result has this type.
    LastResult(String),
    /// A call of this function.
    FunctionCall(FunctionName),
    /// A call of this method, the receiver being of its type, or of one that embeds it.
    MethodCall(MethodName),
}

/// Types in order; `None` is any.
pub type TypeList = Option<Vec<String>>;

/// Why a condition makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverHolds(pub String);

impl Condition {
    /// What the condition is about, or why nothing can fulfil it.
    pub fn kind(&self) -> Result<Kind, NeverHolds> {
        match self {
            Condition::File(_) | Condition::Package(_) => Ok(Kind::File),
            Condition::Structure(_) => Ok(Kind::Structure),
            Condition::FunctionCall(_) | Condition::MethodCall(_) => Ok(Kind::Call),
            Condition::Closure(_) => Ok(Kind::Closure),
            Condition::Not(inner) => inner.kind(),
            Condition::All(parts) => {
                let kind = joint_kind(parts, false)?;
                self.contradiction().map_or(Ok(kind), |reason| Err(NeverHolds(reason)))
            }
            Condition::Any(parts) => joint_kind(parts, true),
            _ => Ok(Kind::Function),
        }
    }

    /// Two leaves that exclude each other.
    fn contradiction(&self) -> Option<String> {
        let leaves = self.required();
        for (at, first) in leaves.iter().enumerate() {
            for second in &leaves[at + 1..] {
                if excludes(first, second) || excludes(second, first) {
                    return Some(format!("{first} and {second} at once"));
                }
            }
        }
        let negated = |condition: &Condition| {
            leaves.iter().any(|leaf| matches!(leaf, Condition::Not(inner) if **inner == *condition))
        };
        leaves.iter().find(|leaf| negated(leaf)).map(|leaf| format!("{leaf} and not"))
    }

    /// The conditions that must all hold.
    fn required(&self) -> Vec<&Condition> {
        match self {
            Condition::All(parts) => parts.iter().flat_map(Condition::required).collect(),
            Condition::Any(parts) if parts.len() == 1 => parts[0].required(),
            other => vec![other],
        }
    }

    /// Names that must stand in a file for the condition to hold there: other files need not be parsed.
    pub fn required_words(&self) -> Vec<&str> {
        let words = self.required().into_iter().filter_map(|leaf| match leaf {
            Condition::Function(name) | Condition::Structure(name) if !is_pattern(name) => Some(name.as_str()),
            Condition::FunctionCall(function) => Some(function.name.as_str()),
            Condition::MethodCall(method) => Some(method.name.as_str()),
            _ => None,
        });
        words.collect()
    }

    /// The types whose methods' calls it is about.
    pub fn method_types(&self) -> Vec<&MethodName> {
        match self {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().flat_map(Condition::method_types).collect(),
            Condition::Not(inner) => inner.method_types(),
            Condition::MethodCall(method) => vec![method],
            _ => Vec::new(),
        }
    }

    /// Whether the condition names its place, so that not finding it, or not finding an anchor in it, is a failure.
    pub fn names_its_place(&self) -> bool {
        let is_name = |leaf: &&Condition| match leaf {
            Condition::Function(name) | Condition::Structure(name) | Condition::File(name) => !is_pattern(name),
            _ => false,
        };
        let names: Vec<&Condition> = self.required().into_iter().filter(is_name).collect();
        let names_literal = |leaf: &&Condition| matches!(leaf, Condition::Closure(name) if !is_pattern(name));
        match self.kind() {
            Ok(Kind::File) => !names.is_empty(),
            Ok(Kind::Closure) => {
                names.iter().any(|leaf| matches!(leaf, Condition::Function(_)))
                    && self.required().iter().any(names_literal)
            }
            Ok(Kind::Function | Kind::Structure) => names.iter().any(|leaf| !matches!(leaf, Condition::File(_))),
            _ => false,
        }
    }

    /// The directive that must stand above the function.
    pub fn directive(&self) -> Option<&str> {
        self.required().into_iter().find_map(|leaf| match leaf {
            Condition::Directive(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The name that the function must have.
    pub fn function_name(&self) -> Option<&str> {
        self.required().into_iter().find_map(|leaf| match leaf {
            Condition::Function(name) if !is_pattern(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The file that it must be.
    pub fn file_name(&self) -> Option<&str> {
        self.required().into_iter().find_map(|leaf| match leaf {
            Condition::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it holds for a whole file, as far as that can be said without looking into it.
    pub fn may_hold_in(&self, file_name: &str) -> bool {
        self.required().into_iter().all(|leaf| match leaf {
            Condition::File(pattern) => matches_pattern(pattern, file_name),
            _ => true,
        })
    }

    /// Whether it holds for `scope`; nothing where that cannot be said.
    pub fn holds(&self, at: &Situation<'_>, scope: &Scope<'_>) -> Option<bool> {
        match self {
            Condition::All(parts) => all(parts.iter().map(|part| part.holds(at, scope))),
            Condition::Any(parts) => all(parts.iter().map(|part| not(part.holds(at, scope)))).map(|none| !none),
            Condition::Not(inner) => not(inner.holds(at, scope)),
            Condition::MethodCall(method) => match scope {
                Scope::Call(call) => at.types.calls_method(at, call.node, method),
                _ => Some(false),
            },
            leaf => Some(leaf.leaf_holds(at, scope)),
        }
    }

    fn leaf_holds(&self, at: &Situation<'_>, scope: &Scope<'_>) -> bool {
        let function = scope.function();
        let in_function = |test: &dyn Fn(&Function<'_>) -> bool| function.is_some_and(test);
        match self {
            Condition::File(pattern) => matches_pattern(pattern, at.file_name),
            Condition::Package(pattern) => {
                at.file.package_name().is_some_and(|name| matches_pattern(pattern, at.file.slice(name)))
            }
            Condition::Structure(pattern) => {
                matches!(scope, Scope::Structure(name, _) if matches_pattern(pattern, name))
            }
            Condition::Function(pattern) => {
                in_function(&|function| !function.name.is_empty() && matches_pattern(pattern, function.name))
            }
            Condition::Receiver(wanted) => in_function(&|function| has_receiver(function, wanted.as_deref())),
            Condition::Closure(pattern) => in_function(&|function| {
                function.literal.as_ref().is_some_and(|literal| matches_pattern(pattern, literal))
            }),
            Condition::Directive(name) => in_function(&|function| directive::named(at.file, function, name).is_some()),
            Condition::Signature(parameters, results) => in_function(&|function| {
                at.has_types(&function.parameters, parameters) && at.has_types(&function.results, results)
            }),
            Condition::SignatureContains(parameters, results) => in_function(&|function| {
                let has = |list: &ParameterList, wanted: &[String]| wanted.iter().any(|kind| at.has_type(list, kind));
                has(&function.parameters, parameters) || has(&function.results, results)
            }),
            Condition::Parameter(kind) => in_function(&|function| at.has_type(&function.parameters, kind)),
            Condition::Result(kind) => in_function(&|function| at.has_type(&function.results, kind)),
            Condition::LastResult(kind) => {
                in_function(&|function| at.types(&function.results).last().is_some_and(|last| at.is_type(last, kind)))
            }
            Condition::FunctionCall(wanted) => {
                matches!(scope, Scope::Call(call) if imports::calls_function(at.file, call.node, wanted, &at.names))
            }
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) | Condition::MethodCall(_) => false, // not leaves
        }
    }
}

fn not(holds: Option<bool>) -> Option<bool> {
    holds.map(|holds| !holds)
}

/// Whether all hold: one that does not settles it, one of which it cannot be said otherwise leaves it open.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut joint = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => joint = None,
            Some(true) => {}
        }
    }
    joint
}

fn joint_kind(parts: &[Condition], is_choice: bool) -> Result<Kind, NeverHolds> {
    if parts.is_empty() {
        return Err(NeverHolds("an empty list".into()));
    }
    let mut joint = (Kind::File, &parts[0]);
    for part in parts {
        let kind = part.kind()?;
        let (known, by) = joint;
        if (kind == Kind::Structure && known > Kind::Structure) || (known == Kind::Structure && kind > Kind::Structure)
        {
            let word = if is_choice { "or" } else { "and" };
            return Err(NeverHolds(format!("{by} {word} {part}: one is about structs, the other about functions")));
        }
        if matches!((known, kind), (Kind::Closure, Kind::Call) | (Kind::Call, Kind::Closure)) {
            let word = if is_choice { "or" } else { "and" };
            return Err(NeverHolds(format!(
                "{by} {word} {part}: one is about function literals, the other about calls"
            )));
        }
        if kind > known {
            joint = (kind, part);
        }
    }
    Ok(joint.0)
}

/// Whether nothing fulfils both.
fn excludes(first: &Condition, second: &Condition) -> bool {
    match (first, second) {
        (Condition::Function(a), Condition::Function(b))
        | (Condition::Structure(a), Condition::Structure(b))
        | (Condition::Package(a), Condition::Package(b))
        | (Condition::File(a), Condition::File(b)) => {
            let both_plain = !is_pattern(a) && !is_pattern(b);
            (both_plain && a != b) || (is_pattern(a) && !is_pattern(b) && !matches_pattern(a, b))
        }
        (Condition::Receiver(a), Condition::Receiver(b)) => a != b,
        (Condition::Closure(a), Condition::Closure(b)) => !is_pattern(b) && !matches_pattern(a, b),
        (Condition::LastResult(a), Condition::LastResult(b)) => a != b,
        (Condition::FunctionCall(a), Condition::FunctionCall(b)) => a != b,
        (Condition::MethodCall(a), Condition::MethodCall(b)) => a != b,
        (Condition::FunctionCall(_), Condition::MethodCall(_)) => true,
        (Condition::Signature(Some(types), _), Condition::Parameter(kind)) => !types.contains(kind),
        (Condition::Signature(_, Some(types)), Condition::Result(kind)) => !types.contains(kind),
        (Condition::Signature(_, Some(types)), Condition::LastResult(kind)) => types.last() != Some(kind),
        _ => false,
    }
}

fn has_receiver(function: &Function<'_>, wanted: Option<&str>) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    match (function.receiver_type.map(squeeze), wanted) {
        (None, None) => true,
        (Some(own), Some(wanted)) if wanted.contains('[') => own == wanted,
        (Some(own), Some(wanted)) => own.split('[').next() == Some(wanted),
        _ => false,
    }
}

/// A file under the eyes of a condition.
pub struct Situation<'a> {
    /// The file.
    pub file: &'a GoFile<'a>,
    /// Its base name.
    pub file_name: &'a str,
    /// What its names stand for.
    pub names: Names<'a>,
    /// What is known of types.
    pub types: &'a Types<'a>,
}

impl Situation<'_> {
    fn types(&self, list: &ParameterList) -> Vec<String> {
        list.entries.iter().map(|entry| imports::type_text(self.file, self.names.imports, entry)).collect()
    }

    /// Whether a type of the file is the wanted one; what a dot import brings in stands there without its package.
    fn is_type(&self, kind: &str, wanted: &str) -> bool {
        let mut dots = self.names.imports.iter().filter(|import| import.name == Some("."));
        kind == wanted || dots.any(|import| kind == wanted.replace(&format!("{}.", import.path), ""))
    }

    fn has_type(&self, list: &ParameterList, wanted: &str) -> bool {
        self.types(list).iter().any(|kind| self.is_type(kind, wanted))
    }

    fn has_types(&self, list: &ParameterList, wanted: &TypeList) -> bool {
        let Some(wanted) = wanted else { return true };
        let types = self.types(list);
        types.len() == wanted.len() && types.iter().zip(wanted).all(|(kind, wanted)| self.is_type(kind, wanted))
    }
}

/// Whether a text is a pattern: `*` stands for any characters, `?` for one.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `text` is what `pattern` says.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where the last star stands and how much it has taken so far; on a mismatch it takes one more.
    let (mut at, mut in_pattern, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = taken + 1;
                in_pattern = star_at + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|c| *c == '*')
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &[String]| types.join(", ");
        match self {
            Condition::All(parts) => write_joined(f, parts, " "),
            Condition::Any(parts) => {
                f.write_str("(")?;
                write_joined(f, parts, " or ")?;
                f.write_str(")")
            }
            Condition::Not(inner) => write!(f, "not {inner}"),
            Condition::File(name) => write!(f, "file {name}"),
            Condition::Package(name) => write!(f, "package {name}"),
            Condition::Structure(name) => write!(f, "struct {name}"),
            Condition::Function(name) => write!(f, "func {name}"),
            Condition::Receiver(Some(kind)) => write!(f, "receiver {kind}"),
            Condition::Receiver(None) => f.write_str("no receiver"),
            Condition::Closure(name) => write!(f, "closure {name}"),
            Condition::Directive(name) => write!(f, "directive //{name}"),
            Condition::Signature(parameters, results) => {
                let text = |types: &TypeList| types.as_ref().map_or("…".to_owned(), |types| list(types));
                write!(f, "signature ({}) ({})", text(parameters), text(results))
            }
            Condition::SignatureContains(parameters, results) => {
                write!(f, "signature with one of ({}) ({})", list(parameters), list(results))
            }
            Condition::Parameter(kind) => write!(f, "parameter {kind}"),
            Condition::Result(kind) => write!(f, "result {kind}"),
            Condition::LastResult(kind) => write!(f, "last result {kind}"),
            Condition::FunctionCall(name) => write!(f, "call of {}.{}", name.path, name.name),
            Condition::MethodCall(name) => write!(f, "call of {name}"),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], between: &str) -> fmt::Result {
    // "func (*DB) Query" reads better than "func Query receiver *DB".
    let receiver = parts.iter().find_map(|part| match part {
        Condition::Receiver(kind) => Some(kind.as_deref()),
        _ => None,
    });
    let has_name = parts.iter().any(|part| matches!(part, Condition::Function(_)));
    let mut first = true;
    for part in parts {
        let text = match (part, receiver) {
            (Condition::Receiver(_), _) if has_name => continue,
            (Condition::Function(name), Some(Some(kind))) => format!("func ({kind}) {name}"),
            _ => part.to_string(),
        };
        f.write_str(if first { "" } else { between })?;
        f.write_str(&text)?;
        first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("*", ""),
            ("Get*", "GetAll"),
            ("*_linux.go", "a_linux.go"),
            ("a?c", "abc"),
            ("*a*b*", "xaybz"),
            ("x", "x"),
        ] {
            assert!(matches_pattern(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("Get*", "get"), ("a?c", "ac"), ("*.go", "x.s"), ("", "x"), ("*ab", "aba")] {
            assert!(!matches_pattern(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_can_never_hold_is_known() {
        let function = |name: &str| Condition::Function(name.to_owned());
        let structure = |name: &str| Condition::Structure(name.to_owned());
        let never = |condition: Condition| condition.kind().expect_err("it never holds").0;
        assert_eq!(
            never(Condition::All(vec![function("A"), structure("B")])),
            "func A and struct B: one is about structs, the other about functions"
        );
        assert_eq!(
            never(Condition::All(vec![function("A"), Condition::All(vec![function("B")])])),
            "func A and func B at once"
        );
        assert_eq!(never(Condition::All(vec![function("A*"), function("B")])), "func A* and func B at once");
        assert_eq!(
            never(Condition::All(vec![function("A"), Condition::Not(Box::new(function("A")))])),
            "func A and not"
        );
        assert_eq!(never(Condition::Any(Vec::new())), "an empty list");
        let any = Condition::Any(vec![function("A"), function("B")]);
        assert_eq!((any.kind(), any.names_its_place()), (Ok(Kind::Function), false));
    }
}
