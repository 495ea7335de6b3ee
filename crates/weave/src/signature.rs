//! Names for what a function's signature leaves unnamed, so that woven text can speak of `$recv`, `$0`, `$r0`.
//! The names depend on the position alone: several rules that weave one function insert the same ones.

use crate::parse::{Function, ParameterList};
use crate::splice::Edit;

const RECEIVER: &str = "tandemRecv";
const PARAMETER: &str = "tandemP";
const RESULT: &str = "tandemR";

/// Whether an inserted text is a name that a `Namer` gave.
pub fn is_name(text: &str) -> bool {
    text.strip_suffix(' ')
        .is_some_and(|name| [RECEIVER, PARAMETER, RESULT].iter().any(|prefix| name.starts_with(prefix)))
}

/// Gives names and collects the edits that this needs.
pub struct Namer<'a> {
    text: &'a str,
    function: &'a Function<'a>,
    /// Edits of the signature; the same edit may be there twice.
    pub edits: Vec<Edit>,
}

impl<'a> Namer<'a> {
    /// For one function of `text`.
    pub fn new(text: &'a str, function: &'a Function<'a>) -> Namer<'a> {
        Namer { text, function, edits: Vec::new() }
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
        let own_name = &self.text[entry.name.clone()];
        if !own_name.is_empty() && own_name != "_" {
            return Some(own_name.to_owned());
        }
        if own_name == "_" {
            self.push(Edit::replace(entry.name.clone(), format!("{prefix}{index}")));
        } else if let Some(bare) = &list.bare {
            self.push(Edit::replace(bare.clone(), format!("({prefix}{index} {})", &self.text[bare.clone()])));
        } else {
            // Go wants all or none of a list to be named.
            for (index, entry) in list.entries.iter().enumerate() {
                self.push(Edit::insert(entry.name.start, format!("{prefix}{index} ")));
            }
        }
        Some(format!("{prefix}{index}"))
    }

    fn push(&mut self, edit: Edit) {
        if !self.edits.contains(&edit) {
            self.edits.push(edit);
        }
    }

    /// Replaces `$recv`, `$0`, `$r0` … in `text`; the error names what the function does not have.
    pub fn expand(&mut self, text: &str) -> Result<String, String> {
        let mut output = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            output.push_str(&rest[..at]);
            let word_end =
                rest[at + 1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(rest.len(), |end| at + 1 + end);
            let word = &rest[at + 1..word_end];
            let name = match word {
                "recv" => self.receiver(),
                _ if word.starts_with('r') => word[1..].parse().ok().and_then(|index| self.result(index)),
                _ => word.parse().ok().and_then(|index| self.parameter(index)),
            };
            output.push_str(&name.ok_or_else(|| format!("{} has no ${word}", self.function.name))?);
            rest = &rest[word_end..];
        }
        output.push_str(rest);
        Ok(output)
    }
}
