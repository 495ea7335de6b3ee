//! Changes of a `tandem.yaml`, which leave its comments, its order and everything else in it as they are.
//!
//! The text is changed in place, by lines. What it says is read before and after as YAML does: where that is not exactly what was
//! meant, since the file is written in a way that is not known here, nothing is changed.

use serde::Serialize;
use serde_json::{Map, Value, json};
use similar::TextDiff;
use thiserror::Error;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Edit {
    /// Weave the functions of packages dormant.
    Functions {
        /// As `functions:` names them.
        packages: String,
    },
    /// No longer leave a pack or rule out.
    Keep {
        /// Its name.
        name: String,
    },
    /// Leave a pack or rule out.
    LeaveOut {
        /// Its name.
        name: String,
        /// A comment beside it, so that nobody takes it for an oversight.
        reason: String,
    },
}

/// Why a file is not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Broken(String),
    /// The change would not do what it is to do.
    #[error("`{key}:` is written in a way that cannot be changed by a line: {hint}")]
    Form {
        /// The key.
        key: &'static str,
        /// What to write by hand.
        hint: String,
    },
}

impl Edit {
    fn key(&self) -> &'static str {
        match self {
            Edit::Functions { .. } => "functions",
            Edit::Keep { .. } | Edit::LeaveOut { .. } => "disable",
        }
    }

    /// What to write, in words.
    pub fn words(&self) -> String {
        match self {
            Edit::Functions { packages } => format!("add `- packages: [{packages}]` to `functions:`"),
            Edit::Keep { name } => format!("take `{name}` out of `disable:`"),
            Edit::LeaveOut { name, .. } => format!("add `{name}` to `disable:`"),
        }
    }

    /// What the file shall say.
    fn meant(&self, mut value: Map<String, Value>) -> Option<Value> {
        let list = value.entry(self.key()).or_insert_with(|| json!([]));
        if list.is_null() {
            *list = json!([]);
        }
        let list = list.as_array_mut()?;
        match self {
            Edit::Functions { packages } => list.push(json!({"packages": [packages]})),
            Edit::Keep { name } => list.retain(|one| one != name),
            Edit::LeaveOut { name, .. } => list.push(json!(name)),
        }
        Some(Value::Object(value))
    }

    /// The text of a `tandem.yaml` (empty: there is none) after the change.
    pub fn apply(&self, text: &str) -> Result<String, EditError> {
        let before = read(text)?;
        let form = || EditError::Form { key: self.key(), hint: self.words() };
        let meant = self.meant(before.clone()).ok_or_else(form)?;
        let is_done = match self {
            Edit::Functions { packages } => names_packages(text, packages),
            Edit::Keep { .. } => meant == Value::Object(before.clone()),
            Edit::LeaveOut { name, .. } => {
                let list = before.get("disable").and_then(Value::as_array);
                list.is_some_and(|list| list.iter().any(|one| one == name))
            }
        };
        if is_done {
            return Ok(text.to_owned());
        }
        let changed = match self {
            Edit::Functions { packages } => {
                let block = format!("packages: [{}]", scalar(packages));
                add(text, "functions", &block, &format!("{{{block}}}"), None)
            }
            Edit::LeaveOut { name, reason } => add(text, "disable", &scalar(name), &scalar(name), Some(reason)),
            Edit::Keep { name } => remove(text, "disable", name),
        };
        let changed = changed.ok_or_else(form)?;
        let after = read(&changed).map_err(|_| form())?;
        match normal(Value::Object(after)) == normal(meant) {
            true => Ok(changed),
            false => Err(form()),
        }
    }
}

/// The text after several changes.
pub fn apply_all<'a>(text: &str, edits: impl IntoIterator<Item = &'a Edit>) -> Result<String, EditError> {
    edits.into_iter().try_fold(text.to_owned(), |text, edit| edit.apply(&text))
}

/// The change as a unified diff.
pub fn diff(before: &str, after: &str) -> String {
    let old = if before.is_empty() { "/dev/null" } else { "a/tandem.yaml" };
    TextDiff::from_lines(before, after).unified_diff().header(old, "b/tandem.yaml").to_string()
}

/// Whether an entry of `disable:` has a comment beside it: then somebody has thought about it.
pub fn is_deliberate(text: &str, name: &str) -> bool {
    let Some(section) = Section::find(text, "disable") else { return false };
    let lines: Vec<&str> = text.lines().collect();
    let is_it = |line: &&str| item(line).is_some_and(|(value, comment)| is_scalar(value, name) && comment);
    let above = |at: usize| at > section.line + 1 && lines[at - 1].trim_start().starts_with('#');
    let of_entry = (section.line + 1..section.end)
        .any(|at| is_it(&lines[at]) || (above(at) && item(lines[at]).is_some_and(|(value, _)| is_scalar(value, name))));
    of_entry || (!section.rest.is_empty() && comment_at(lines[section.line]).is_some())
}

/// Whether `functions:` names packages by this pattern, or all of them.
pub fn names_packages(text: &str, packages: &str) -> bool {
    let Ok(map) = read(text) else { return false };
    let rules = map.get("functions").and_then(Value::as_array).into_iter().flatten();
    let patterns = rules.filter_map(|rule| rule.get("packages")?.as_array()).flatten().filter_map(Value::as_str);
    let is_meant = |pattern: &str| match pattern.strip_suffix("/...") {
        Some(base) => base == packages || packages.starts_with(&format!("{base}/")),
        None => pattern == packages || pattern == "...",
    };
    patterns.into_iter().any(|pattern| is_meant(pattern) || (pattern == "./..." && packages == "."))
}

fn read(text: &str) -> Result<Map<String, Value>, EditError> {
    let is_empty = text.lines().all(|line| matches!(line.trim().chars().next(), None | Some('#')));
    if is_empty {
        return Ok(Map::new());
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(EditError::Broken("it holds no keys".to_owned())),
        Err(error) => Err(EditError::Broken(error.to_string())),
    }
}

/// Empty lists mean what absent ones do.
fn normal(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    }
    value
}

/// In quotes where YAML would take it for something else.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@~".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || (c == '.' && text.contains('/')));
    let is_word = ["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str());
    if begins && text.chars().all(is_plain) && !is_word { text.to_owned() } else { format!("{text:?}") }
}

/// A list at the top of the file.
struct Section<'a> {
    /// The line of its key.
    line: usize,
    /// What stands behind the key's colon, without a comment.
    rest: &'a str,
    /// The line behind the last of its items.
    end: usize,
}

impl<'a> Section<'a> {
    fn find(text: &'a str, key: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let line = lines.iter().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
        let rest = lines[line][key.len() + 1..].trim();
        let rest = comment_at(rest).map_or(rest, |at| rest[..at].trim());
        let is_inside = |line: &str| line.starts_with([' ', '\t']) || line.starts_with("- ") || line == "-";
        let is_between = |line: &str| line.trim().is_empty() || line.starts_with('#');
        let mut end = line + 1;
        for (at, text) in lines.iter().enumerate().skip(line + 1) {
            if is_inside(text) && !text.trim().is_empty() {
                end = if text.trim_start().starts_with('#') { end } else { at + 1 };
            } else if !is_between(text) {
                break;
            }
        }
        Some(Self { line, rest, end })
    }
}

/// Where a comment begins.
fn comment_at(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (None, '#') if before.is_whitespace() => return Some(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
        before = character;
    }
    None
}

/// A list's item that is one scalar on its line, and whether there is a comment.
fn item(line: &str) -> Option<(&str, bool)> {
    let value = line.trim_start().strip_prefix("- ")?;
    let comment = comment_at(value);
    Some((comment.map_or(value, |at| &value[..at]).trim(), comment.is_some()))
}

fn is_scalar(written: &str, value: &str) -> bool {
    written.trim_matches(['"', '\'']) == value
}

fn add(text: &str, key: &str, block: &str, flow: &str, comment: Option<&str>) -> Option<String> {
    let comment = comment.map_or(String::new(), |comment| format!(" # {comment}"));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match Section::find(text, key) {
        None => lines.extend([format!("{key}:"), format!("  - {block}{comment}")]),
        Some(Section { line, rest: "", end }) => {
            let first = lines[line + 1..end].iter().find(|line| line.trim_start().starts_with('-'));
            let indent = first.map_or("  ", |first| &first[..first.len() - first.trim_start().len()]).to_owned();
            lines.insert(end, format!("{indent}- {block}{comment}"));
        }
        Some(Section { line, rest, .. }) => {
            let inner = rest.strip_prefix('[')?.strip_suffix(']')?.trim().trim_end_matches(',');
            let separator = if inner.is_empty() { "" } else { ", " };
            let written = &lines[line];
            let after = written.find(rest)? + rest.len();
            lines[line] = format!("{key}: [{inner}{separator}{flow}]{}", &written[after..]);
        }
    }
    Some(joined(&lines))
}

fn remove(text: &str, key: &str, value: &str) -> Option<String> {
    let section = Section::find(text, key)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if section.rest.is_empty() {
        let is_it = |at: &usize| item(&lines[*at]).is_some_and(|(written, _)| is_scalar(written, value));
        let at = (section.line + 1..section.end).find(is_it)?;
        let others = (section.line + 1..section.end).filter(|&other| other != at && item(&lines[other]).is_some());
        match others.count() {
            0 => drop(lines.drain(section.line..=at)),
            _ => drop(lines.remove(at)),
        }
        return Some(joined(&lines));
    }
    let inner = section.rest.strip_prefix('[')?.strip_suffix(']')?;
    let kept: Vec<&str> =
        inner.split(',').map(str::trim).filter(|item| !item.is_empty() && !is_scalar(item, value)).collect();
    let written = &lines[section.line];
    let after = written.find(section.rest)? + section.rest.len();
    lines[section.line] = format!("{key}: [{}]{}", kept.join(", "), &written[after..]);
    Some(joined(&lines))
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn functions(packages: &str) -> Edit {
        Edit::Functions { packages: packages.into() }
    }

    fn keep(name: &str) -> Edit {
        Edit::Keep { name: name.into() }
    }

    fn leave_out(name: &str) -> Edit {
        Edit::LeaveOut { name: name.into(), reason: "12,000 spans of 3 µs".into() }
    }

    #[test]
    fn lists_grow_where_they_are_and_comments_stay() {
        for (edit, before, after) in [
            (functions("./..."), "", "functions:\n  - packages: [./...]\n"),
            (functions("."), "# ours\n", "# ours\nfunctions:\n  - packages: [\".\"]\n"),
            (
                functions("./internal/ink"),
                "functions: # what we look at\n  - packages: [./cart] # hot\n    exclude: [x]\n\n# packs\npacks: [observe]\n",
                "functions: # what we look at\n  - packages: [./cart] # hot\n    exclude: [x]\n  - packages: [./internal/ink]\n\n\
                 # packs\npacks: [observe]\n",
            ),
            (
                functions("./ink"),
                "functions:\n- packages: [./a]\n",
                "functions:\n- packages: [./a]\n- packages: [./ink]\n",
            ),
            (
                functions("./ink"),
                "functions: [{packages: [./a]}] # all\n",
                "functions: [{packages: [./a]}, {packages: [./ink]}] # all\n",
            ),
            (functions("./ink"), "functions: []", "functions: [{packages: [./ink]}]\n"),
            (leave_out("net/http.client"), "disable: [gin]\n", "disable: [gin, net/http.client]\n"),
            (leave_out("gin"), "enable: [x]", "enable: [x]\ndisable:\n  - gin # 12,000 spans of 3 µs\n"),
            (keep("gin"), "disable:\n  - gin\n  - grpc # why\n", "disable:\n  - grpc # why\n"),
            (keep("gin"), "# a\ndisable:\n  - \"gin\"\nenable: [x]\n", "# a\nenable: [x]\n"),
            (keep("gin"), "disable: [grpc, 'gin'] # no\n", "disable: [grpc] # no\n"),
            (keep("gin"), "disable: [grpc]\n", "disable: [grpc]\n"),
            (leave_out("gin"), "disable: [gin]", "disable: [gin]"),
            (functions("./ink/pen"), "functions: [{packages: [./ink/...]}]", "functions: [{packages: [./ink/...]}]"),
            (functions("."), "functions: [{packages: [./...]}]", "functions: [{packages: [./...]}]"),
        ] {
            assert_eq!(edit.apply(before).as_deref(), Ok(after), "{edit:?} of\n{before}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_refused() {
        for (edit, text) in [
            (functions("./ink"), "functions: &anchor\n  - packages: [./a]\n"),
            (functions("./ink"), "functions: [\n  {packages: [./a]}\n]\n"),
            (leave_out("gin"), "{disable: [grpc]}\n"),
            (leave_out("gin"), "\"disable\": [grpc]\n"),
            (leave_out("gin"), "disable: grpc\n"),
            (keep("gin"), "disable:\n  -\n    gin\n"),
        ] {
            assert!(matches!(edit.apply(text), Err(EditError::Form { .. })), "{text}: {:?}", edit.apply(text));
        }
        assert!(matches!(keep("gin").apply("disable: ["), Err(EditError::Broken(_))));
        assert!(matches!(keep("gin").apply("- a\n"), Err(EditError::Broken(_))));
    }

    #[test]
    fn who_says_why_means_it() {
        let text = "disable:\n  - gin # slow\n  # nobody looks at these\n  - cobra\n  - grpc\n";
        let found: Vec<bool> = ["gin", "cobra", "grpc", "zap"].iter().map(|name| is_deliberate(text, name)).collect();
        assert_eq!(found, [true, true, false, false]);
        assert!(is_deliberate("disable: [gin] # slow\n", "gin") && !is_deliberate("disable: [gin]\n", "gin"));
    }

    proptest! {
        /// Whatever the file, the change does what it says, or nothing.
        #[test]
        fn any_text_is_changed_rightly_or_not_at_all(text in "(disable|functions|packs|#|-|:|\\[|\\]|,|gin| |\n|\"|\\{|\\}){0,24}") {
            for edit in [keep("gin"), leave_out("gin"), functions("./ink")] {
                if let Ok(changed) = edit.apply(&text) {
                    let (before, after) = (read(&text), read(&changed));
                    if changed == text {
                        continue;
                    }
                    prop_assert_eq!(
                        normal(Value::Object(after.expect("YAML"))),
                        normal(edit.meant(before.expect("YAML")).expect("a list"))
                    );
                }
            }
        }
    }
}
