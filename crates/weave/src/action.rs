//! The `do` of a rule: from an action and the place where it is done to edits of the file.
//!
//! What is inserted is one line of Go that means the same wherever it stands: names of Go's own and of hooks are refused
//! where the source gives them another meaning.

use std::ops::Range;

use tree_sitter::Node;

use crate::find::{self, Call, Scope};
use crate::imports;
use crate::parse::{Function, GoFile, children};
use crate::shadow;
use crate::signature::Namer;
use crate::splice::Edit;
use crate::token;

/// What is done at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Text before each occurrence of the anchor.
    Before(Anchored),
    /// Text after each occurrence of the anchor.
    After(Anchored),
    /// Text instead of each occurrence of the anchor.
    Replace(Anchored),
    /// Text as the first statements of the function.
    Enter(String),
    /// Fields at the end of the struct.
    AddFields(String),
    /// Declarations at the end of the file.
    AddDeclaration(String),
    /// A hook called when the function is entered, one when it is left, or both.
    Call(HookCalls),
    /// A hook through which an argument of the call, or a parameter of the function, goes.
    WrapArgument(usize, String),
    /// A hook through which the results of the call go.
    WrapResult(String),
    /// A hook that is called instead: with the function, then its arguments.
    WrapCall(Hook),
    /// Arguments after the last one of the call.
    AppendArguments(Vec<String>),
}

/// Text at a piece of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// The piece of source.
    pub anchor: String,
    /// How often it must occur.
    pub count: usize,
    /// What is inserted.
    pub text: String,
}

/// A function of the pack's hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// How many parameters it has; the last may be variadic.
    pub parameters: usize,
    /// Whether the last parameter stands for any number.
    pub is_variadic: bool,
    /// How many results it has.
    pub results: usize,
}

/// Hooks around a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCalls {
    /// Name of the variable that holds what `before` returned, for `$before`.
    pub variable: String,
    /// Called first, with these arguments; without them: the receiver and all parameters.
    pub before: Option<(Hook, Option<Vec<String>>)>,
    /// Deferred, with these arguments; without them: `$before`, if there is one, and pointers to all results.
    pub after: Option<(Hook, Option<Vec<String>>)>,
}

/// Why an action cannot be done at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What it is about is not there.
    Absent(String),
    /// It is there, and the action does not fit.
    Unfit(String),
}

impl Refusal {
    /// A sentence fragment for people.
    pub fn reason(self) -> String {
        match self {
            Refusal::Absent(reason) | Refusal::Unfit(reason) => reason,
        }
    }
}

/// Where an action is done.
pub struct Site<'a> {
    /// The file.
    pub file: &'a GoFile<'a>,
    /// The directive by which the function was found.
    pub directive: Option<&'a str>,
    /// Whether the package declares a name.
    pub is_declared: &'a dyn Fn(&str) -> bool,
}

impl Action {
    /// The text that is inserted, where the pack gives one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Action::Before(Anchored { text, .. }) | Action::After(Anchored { text, .. }) => Some(text),
            Action::Replace(Anchored { text, .. }) | Action::Enter(text) => Some(text),
            Action::AddFields(text) | Action::AddDeclaration(text) => Some(text),
            _ => None,
        }
    }

    /// The edits that do it; the last one is what people want to see the place of.
    pub fn edits(&self, site: &Site<'_>, scope: &Scope<'_>) -> Result<Vec<Edit>, Refusal> {
        match self {
            Action::Before(anchored) => site.at_anchors(scope, anchored, |range| range.start..range.start),
            Action::After(anchored) => site.at_anchors(scope, anchored, |range| range.end..range.end),
            Action::Replace(anchored) => site.at_anchors(scope, anchored, |range| range.clone()),
            Action::Enter(text) => {
                let Scope::Function(function) = scope else { return Err(unfit("`enter` is for functions")) };
                site.enter(function, |names, at| names.expand(text, at))
            }
            Action::AddFields(text) => match scope {
                Scope::Structure(_, node) => Ok(vec![add_fields(*node, text)?]),
                _ => Err(unfit("`add_fields` is for structs")),
            },
            Action::AddDeclaration(text) => {
                let newline = if site.file.text.ends_with('\n') { "" } else { "\n" };
                Ok(vec![Edit::insert(site.file.text.len(), format!("{newline}{text}\n"))])
            }
            Action::Call(calls) => match scope {
                Scope::Function(function) => site.enter(function, |names, at| calls.text(names, function, at)),
                _ => Err(unfit("`call_before` and `call_after` are for functions")),
            },
            Action::WrapArgument(index, hook) => match scope {
                Scope::Function(function) => {
                    site.enter(function, |names, at| names.expand(&format!("${index} = {hook}(${index})"), at))
                }
                Scope::Call(call) => {
                    let argument = argument(site.file, call, *index)?;
                    site.around(argument, &format!("{hook}("))
                }
                _ => Err(unfit("`wrap_argument` is for calls and functions")),
            },
            Action::WrapResult(hook) => {
                let call = called(scope, "wrap_result")?;
                if is_started(call.node) {
                    return Err(unfit("the call is started by `go` or `defer`, so nobody gets its results"));
                }
                site.around(call.node.byte_range(), &format!("{hook}("))
            }
            Action::WrapCall(hook) => site.wrap_call(called(scope, "wrap_call")?, hook),
            Action::AppendArguments(arguments) => site.append_arguments(called(scope, "append_args")?, arguments),
        }
    }
}

fn unfit(reason: impl Into<String>) -> Refusal {
    Refusal::Unfit(reason.into())
}

fn called<'a, 'tree>(scope: &'a Scope<'tree>, word: &str) -> Result<&'a Call<'tree>, Refusal> {
    match scope {
        Scope::Call(call) => Ok(call),
        _ => Err(unfit(format!("`{word}` is for calls"))),
    }
}

fn is_started(call: Node<'_>) -> bool {
    call.parent().is_some_and(|parent| matches!(parent.kind(), "go_statement" | "defer_statement"))
}

impl Site<'_> {
    fn names<'a>(&'a self, function: &'a Function<'a>) -> Namer<'a> {
        Namer::new(self.file, function, self.directive)
    }

    /// Refuses text in which a word of Go's own, or of a hook, means something else at the byte `at`.
    fn check_meaning(&self, text: &str, at: usize) -> Result<(), Refusal> {
        let words = token::tokens(text).ranges;
        for (index, range) in words.iter().enumerate() {
            let word = &text[range.clone()];
            let is_selected = index > 0 && &text[words[index - 1].clone()] == ".";
            let is_called = words.get(index + 1).is_some_and(|next| &text[next.clone()] == "(");
            let is_ours = word.starts_with("tandem") && word != "tandem_rt" && is_called;
            let is_hidden = || shadow::is_shadowed(self.file, at, word, None);
            let is_predeclared = shadow::is_predeclared(word);
            let means_another =
                (is_predeclared && (is_hidden() || (self.is_declared)(word))) || (is_ours && is_hidden());
            if means_another && !is_selected {
                return Err(unfit(format!("{word} is declared anew there, and the woven text means another")));
            }
        }
        Ok(())
    }

    fn at_anchors(
        &self,
        scope: &Scope<'_>,
        anchored: &Anchored,
        place: impl Fn(&Range<usize>) -> Range<usize>,
    ) -> Result<Vec<Edit>, Refusal> {
        let Anchored { anchor, count, text } = anchored;
        let mut edits = Vec::new();
        let mut names = scope.function().map(|function| self.names(function));
        // What the function does not have is said first: it is the pack's mistake, whatever the source says.
        if let Some(names) = &mut names {
            names.expand(text, scope.node().start_byte()).map_err(Refusal::Unfit)?;
        }
        let found = find::anchors(self.file, scope.node(), anchor);
        match found.len() {
            0 => return Err(Refusal::Absent(format!("anchor {anchor:?} not found"))),
            number if number != *count => {
                return Err(unfit(format!("anchor {anchor:?} found {number} times, not {count}")));
            }
            _ => {}
        }
        let mut inserted = Vec::new();
        for range in &found {
            let range = place(range);
            let at = range.start;
            let text = match &mut names {
                Some(names) => names.expand(text, at).map_err(Refusal::Unfit)?,
                None => text.clone(),
            };
            self.check_meaning(&text, at)?;
            inserted.push(Edit::replace(range, text));
        }
        edits.extend(names.map(|names| names.edits).unwrap_or_default());
        edits.extend(inserted);
        Ok(edits)
    }

    /// Text as the first statements of a function.
    fn enter(
        &self,
        function: &Function<'_>,
        text: impl FnOnce(&mut Namer<'_>, usize) -> Result<String, String>,
    ) -> Result<Vec<Edit>, Refusal> {
        let at = function.body.start + 1;
        let mut names = self.names(function);
        let text = text(&mut names, at).map_err(Refusal::Unfit)?;
        self.check_meaning(&text, at)?;
        let mut edits = names.edits;
        edits.push(Edit::insert(at, format!(" {text};")));
        Ok(edits)
    }

    /// A call of `hook` around an expression.
    fn around(&self, range: Range<usize>, opening: &str) -> Result<Vec<Edit>, Refusal> {
        self.check_meaning(opening, range.start)?;
        Ok(vec![Edit::insert(range.end, ")"), Edit::insert(range.start, opening)])
    }

    /// `f(x)` becomes `hook(f, x)`.
    fn wrap_call(&self, call: &Call<'_>, hook: &Hook) -> Result<Vec<Edit>, Refusal> {
        let (list, arguments) = argument_list(call).ok_or_else(|| unfit("the call has no arguments"))?;
        let passes_slice = arguments.last().is_some_and(|last| last.kind() == "variadic_argument");
        let wanted = hook.parameters - 1;
        let fits = if hook.is_variadic { arguments.len() + 1 >= wanted } else { arguments.len() == wanted };
        let may_be_several =
            arguments.len() == 1 && imports::callee(arguments[0]).is_some() && (hook.is_variadic || wanted > 1);
        if !fits || may_be_several || (passes_slice && !hook.is_variadic) {
            let number = arguments.len();
            return Err(unfit(format!(
                "the call gives {number} arguments, {} takes {wanted} after the function",
                hook.name
            )));
        }
        let head = call.node.start_byte()..list;
        let comma = if arguments.is_empty() { "" } else { ", " };
        self.check_meaning(&format!("{}(", hook.name), head.start)?;
        // What stands there stays where it is: only the hook's name and a comma come in.
        let opening = Edit::replace(list..list + 1, comma);
        Ok(vec![opening, Edit::insert(head.start, format!("{}(", hook.name))])
    }

    fn append_arguments(&self, call: &Call<'_>, texts: &[String]) -> Result<Vec<Edit>, Refusal> {
        let (list, arguments) = argument_list(call).ok_or_else(|| unfit("the call has no arguments"))?;
        let last = arguments.last();
        if last.is_some_and(|last| last.kind() == "variadic_argument") {
            return Err(unfit("the call passes a slice with `...`, to which nothing can be appended"));
        }
        let at = last.map_or(list + 1, |last| last.end_byte());
        let mut names = call.function.as_ref().map(|function| self.names(function));
        let mut edits = Vec::new();
        let mut expanded = Vec::new();
        for text in texts {
            let text = match &mut names {
                Some(names) => names.expand(text, at).map_err(Refusal::Unfit)?,
                None if text.contains('$') => return Err(unfit("the call stands outside of any function")),
                None => text.clone(),
            };
            self.check_meaning(&text, at)?;
            expanded.push(text);
        }
        edits.extend(names.map(|names| names.edits).unwrap_or_default());
        let comma = if last.is_some() { ", " } else { "" };
        edits.push(Edit::insert(at, format!("{comma}{}", expanded.join(", "))));
        Ok(edits)
    }
}

impl HookCalls {
    fn text(&self, names: &mut Namer<'_>, function: &Function<'_>, at: usize) -> Result<String, String> {
        let mut text = String::new();
        let mut hands_on = false;
        if let Some((hook, arguments)) = &self.before {
            let own = || {
                let receiver = function.receiver.entries.iter().map(|_| "$recv".to_owned());
                receiver.chain((0..function.parameters.entries.len()).map(|index| format!("${index}"))).collect()
            };
            let mut arguments: Vec<String> = arguments.clone().unwrap_or_else(own);
            let count = check_count(hook, arguments.len(), function)?;
            let passes_own_slice = hook.is_variadic && arguments.len() == count;
            let last_is_variadic = function.parameters.entries.last().is_some_and(|last| last.is_variadic);
            let last_parameter = format!("${}", function.parameters.entries.len().wrapping_sub(1));
            if let Some(last) =
                arguments.last_mut().filter(|last| passes_own_slice && last_is_variadic && **last == last_parameter)
            {
                last.push_str("...");
            }
            hands_on = hook.results > 0 && self.after.is_some();
            let variable = if hands_on { format!("{} := ", self.variable) } else { String::new() };
            text += &names.expand(&format!("{variable}{}({})", hook.name, arguments.join(", ")), at)?;
        }
        if let Some((hook, arguments)) = &self.after {
            let own = || {
                let before = hands_on.then(|| "$before".to_owned()).into_iter();
                before.chain((0..function.results.entries.len()).map(|index| format!("&$r{index}"))).collect()
            };
            let arguments: Vec<String> = arguments.clone().unwrap_or_else(own);
            check_count(hook, arguments.len(), function)?;
            let call = format!("{}({})", hook.name, arguments.join(", ")).replace("$before", &self.variable);
            let separator = if text.is_empty() { "" } else { "; " };
            text += &format!("{separator}defer {}", names.expand(&call, at)?);
        }
        Ok(text)
    }
}

/// The hook's number of parameters, if it takes this many arguments.
fn check_count(hook: &Hook, given: usize, function: &Function<'_>) -> Result<usize, String> {
    let Hook { name, parameters, is_variadic, .. } = hook;
    let fits = if *is_variadic { given + 1 >= *parameters } else { given == *parameters };
    if fits {
        Ok(*parameters)
    } else {
        Err(format!("{name} takes {parameters} arguments and would get {given} from {}", function.name))
    }
}

/// Where the arguments' parenthesis opens, and the arguments. A call with one argument and type arguments reads as a
/// conversion.
fn argument_list<'tree>(call: &Call<'tree>) -> Option<(usize, Vec<Node<'tree>>)> {
    if let Some(list) = call.node.child_by_field_name("arguments") {
        return Some((list.start_byte(), arguments(list)));
    }
    let opening = children(call.node).find(|node| node.kind() == "(")?;
    Some((opening.start_byte(), vec![call.node.child_by_field_name("operand")?]))
}

fn arguments(list: Node<'_>) -> Vec<Node<'_>> {
    children(list).filter(|node| node.is_named() && node.kind() != "comment").collect()
}

/// The expression of an argument; of `xs...` that is `xs`.
fn argument(file: &GoFile<'_>, call: &Call<'_>, index: usize) -> Result<Range<usize>, Refusal> {
    let list = argument_list(call).map_or(Vec::new(), |(_, list)| list);
    let number = list.len();
    let argument =
        list.get(index).ok_or_else(|| unfit(format!("the call has {number} arguments, none is number {index}")))?;
    let is_conversion = |call: Node<'_>| {
        imports::callee(call).is_some_and(|callee| shadow::is_predeclared(&file.text[callee.byte_range()]))
    };
    if number == 1 && imports::callee(*argument).is_some() && !is_conversion(*argument) {
        // `f(g())` may hand on several results, which no hook for one argument takes.
        return Err(unfit("the argument is a call, which may have several results"));
    }
    let inner = if argument.kind() == "variadic_argument" { argument.named_child(0) } else { Some(*argument) };
    Ok(inner.unwrap_or(*argument).byte_range())
}

fn add_fields(structure: Node<'_>, text: &str) -> Result<Edit, Refusal> {
    let list = children(structure)
        .find(|node| node.kind() == "field_declaration_list")
        .ok_or_else(|| unfit("the struct has no fields"))?;
    let last_field = children(list).filter(|node| node.kind() == "field_declaration").last();
    Ok(match last_field {
        Some(field) => Edit::insert(field.end_byte(), format!("; {text}")),
        None => Edit::insert(list.start_byte() + 1, format!(" {text} ")),
    })
}

/// Whether a text is one Go expression once its `$` words are names.
pub fn is_expression(text: &str) -> bool {
    let words = text.replace('$', "d_");
    let source = format!("package p\n\nvar _ = f(\n{words},\n)\n");
    let Some(file) = GoFile::parse(&source) else { return false };
    let list = crate::parse::descendants(file.root()).into_iter().find(|node| node.kind() == "argument_list");
    list.is_some_and(|list| arguments(list).len() == 1)
        && children(file.root()).filter(|node| node.is_named()).count() == 2
}

/// The function of that name among Go sources; several for other systems count as the first.
pub fn hook<'a>(sources: impl Iterator<Item = &'a String>, name: &str) -> Option<Hook> {
    if !imports::is_identifier(name) {
        return None;
    }
    sources.filter(|text| text.contains(name)).find_map(|text| {
        let file = GoFile::parse_leniently(text);
        let function = file.functions().find(|function| function.name == name && function.receiver_type.is_none())?;
        let parameters = &function.parameters.entries;
        Some(Hook {
            name: name.to_owned(),
            parameters: parameters.len(),
            is_variadic: parameters.last().is_some_and(|last| last.is_variadic),
            results: function.results.entries.len(),
        })
    })
}
