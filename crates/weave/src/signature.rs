//! Names for what a function's signature leaves unnamed, so that woven text can speak of `$recv`, `$0`, `$r0`.
//! The names depend on the position alone: several rules that weave one function insert the same ones. Those of a literal
//! are others than those of what is around it, which text in the literal may speak of, too.
//!
//! A name that a nearer declaration hides at the place of the text is reached through a pointer taken at the function's start.

use crate::directive;
use crate::parse::{Function, GoFile, ParameterList};
use crate::shadow;
use crate::splice::Edit;

const RECEIVER: &str = "tandemRecv";
const PARAMETER: &str = "tandemP";
const RESULT: &str = "tandemR";
/// What the pointer to a hidden name is called, before that name's own place in the signature.
const POINTER: &str = " tandemAt";

/// Whether an inserted text is a name that a `Namer` gave: the same one, wanted twice, is inserted once.
pub fn is_name(text: &str) -> bool {
    let is_given = |name: &str| [RECEIVER, PARAMETER, RESULT].iter().any(|prefix| name.starts_with(prefix));
    text.strip_suffix(' ').is_some_and(is_given) || text.starts_with(POINTER)
}

/// Gives names and collects the edits that this needs.
pub struct Namer<'a> {
    file: &'a GoFile<'a>,
    function: &'a Function<'a>,
    /// The directive by which the function was found.
    directive: Option<&'a str>,
    /// What the names of a literal end with.
    suffix: String,
    /// Edits of the signature; the same edit may be there twice.
    pub edits: Vec<Edit>,
}

impl<'a> Namer<'a> {
    /// For one function of `file`, found by this directive.
    pub fn new(file: &'a GoFile<'a>, function: &'a Function<'a>, directive: Option<&'a str>) -> Namer<'a> {
        let suffix = function.literal.as_ref().map(|literal| literal.replace("func", "_").replace('.', "_"));
        Namer { file, function, directive, suffix: suffix.unwrap_or_default(), edits: Vec::new() }
    }

    /// The receiver's name.
    pub fn receiver(&mut self) -> Option<String> {
        self.name(&self.function.receiver, RECEIVER, 0)
    }

    /// The name of the parameter at `index`.
    pub fn parameter(&mut self, index: usize) -> Option<String> {
        self.name(&self.function.parameters, PARAMETER, index)
    }

    /// The name of the result at `index`.
    pub fn result(&mut self, index: usize) -> Option<String> {
        self.name(&self.function.results, RESULT, index)
    }

    fn name(&mut self, list: &ParameterList, prefix: &str, index: usize) -> Option<String> {
        let entry = list.entries.get(index)?;
        let suffix = self.suffix.clone();
        let given = |index: usize| format!("{prefix}{index}{suffix}");
        let own_name = &self.file.text[entry.name.clone()];
        if !own_name.is_empty() && own_name != "_" {
            return Some(own_name.to_owned());
        }
        if own_name == "_" {
            self.push(Edit::replace(entry.name.clone(), given(index)));
        } else if let Some(bare) = &list.bare {
            self.push(Edit::replace(bare.clone(), format!("({} {})", given(index), &self.file.text[bare.clone()])));
        } else {
            // Go wants all or none of a list to be named.
            for (index, entry) in list.entries.iter().enumerate() {
                self.push(Edit::insert(entry.name.start, format!("{} ", given(index))));
            }
        }
        Some(given(index))
    }

    fn push(&mut self, edit: Edit) {
        if !self.edits.contains(&edit) {
            self.edits.push(edit);
        }
    }

    /// Replaces `$recv`, `$0`, `$r0`, `$ctx`, `$err`, `$func`, `$directive` in `text`, which goes to the byte `at`; the
    /// error names what the function does not have.
    pub fn expand(&mut self, text: &str, at: usize) -> Result<String, String> {
        let mut output = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            output.push_str(&rest[..dollar]);
            let word_end = rest[dollar + 1..]
                .find(|c: char| !c.is_ascii_alphanumeric())
                .map_or(rest.len(), |end| dollar + 1 + end);
            let word = &rest[dollar + 1..word_end];
            let meaning = match word {
                "func" => Some(format!("{:?}", directive::qualified_name(self.package(), self.function))),
                "directive" => {
                    let name = self.directive.and_then(|name| directive::named(self.file, self.function, name));
                    name.map(|words| format!("{words:?}"))
                }
                _ => self.visible(word, at),
            };
            let name = || directive::name_in_package(self.function);
            output.push_str(&meaning.ok_or_else(|| format!("{} has no ${word}", name()))?);
            rest = &rest[word_end..];
        }
        output.push_str(rest);
        Ok(output)
    }

    fn package(&self) -> &'a str {
        self.file.package_name().map_or("", |name| self.file.slice(name))
    }

    /// A receiver, parameter or result as it can be spoken of at the byte `at`.
    fn visible(&mut self, word: &str, at: usize) -> Option<String> {
        let (place, name) = match word {
            "recv" => ("Recv".to_owned(), self.receiver()),
            "ctx" => {
                let index = directive::context_parameter(self.file, self.function)?;
                (index.to_string(), self.parameter(index))
            }
            "err" => {
                let index = directive::error_result(self.file, &self.function.results)?;
                (format!("R{index}"), self.result(index))
            }
            _ => match word.strip_prefix('r') {
                Some(number) => {
                    let index = number.parse().ok()?;
                    (format!("R{index}"), self.result(index))
                }
                None => {
                    let index = word.parse().ok()?;
                    (format!("{index}"), self.parameter(index))
                }
            },
        };
        let name = name?;
        if !shadow::is_shadowed(self.file, at, &name, Some(self.function.node)) {
            return Some(name);
        }
        let pointer = format!("{}{place}{}", POINTER.trim_start(), self.suffix);
        self.push(Edit::insert(self.function.body.start + 1, format!(" {pointer} := &{name};")));
        Some(format!("(*{pointer})"))
    }
}
