//! Packs: what is woven into which package, read from `pack.yaml` files.
//!
//! A pack that was loaded is complete and sound in form: every file it adds is present, every version range parses,
//! no inserted text contains a newline or a line comment. Whether its anchors exist is the business of `weave`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;
use thiserror::Error;

use crate::embedded;
use crate::version::VersionRange;

/// Why a pack cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum PackError {
    /// The YAML is not what a pack looks like.
    #[error("pack {name}: {problem}")]
    #[diagnostic(help("docs/packs.md describes the format"))]
    Malformed {
        /// Name of the file, for people.
        name: String,
        /// What is wrong, a lowercase fragment.
        problem: String,
        /// The file's text.
        #[source_code]
        source_code: Arc<NamedSource<String>>,
        /// Where in the text.
        #[label("here")]
        span: SourceSpan,
    },
    /// A file of a pack or its folder cannot be read.
    #[error("cannot read pack {path}: {source}")]
    Unreadable {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// One library's hooks.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Name shown to people.
    pub name: String,
    /// One line for `tandem explain`.
    pub description: String,
    /// Path of the module that is edited; `None` is the standard library or the user's own module.
    pub module: Option<String>,
    /// In the order in which they are applied.
    pub rules: Vec<Rule>,
    /// Go files that rules may add, by base name.
    pub hooks: BTreeMap<String, String>,
}

/// One join point: applied whole or not at all.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique over all packs.
    pub id: String,
    /// One line for `tandem explain`.
    #[serde(default)]
    pub description: String,
    /// Import path of the edited package.
    pub target: String,
    /// Versions of the module that it fits.
    pub version: Option<VersionRange>,
    /// Go versions that it fits.
    pub go: Option<VersionRange>,
    /// Names in `Pack::hooks`.
    #[serde(default)]
    pub add_files: Vec<String>,
    /// Rules that must have matched too.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is spliced.
    #[serde(default)]
    pub edits: Vec<Edit>,
}

/// One place and what is done there.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "EditText")]
pub struct Edit {
    /// The function, struct or file.
    pub place: Place,
    /// The first that matches is used.
    pub alternatives: Vec<Action>,
    /// Outside this range the edit is not needed.
    pub go: Option<VersionRange>,
    /// The rule holds without it.
    pub optional: bool,
}

/// Where an edit is made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Name of a function or method.
    pub func: Option<String>,
    /// Receiver's type as in the source; `None` is a plain function.
    pub recv: Option<String>,
    /// Name of a struct type.
    #[serde(rename = "struct")]
    pub structure: Option<String>,
    /// Base name of the file; `None` is any file of the package.
    pub file: Option<String>,
}

/// What is done at a place.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "ActionText")]
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
}

/// Text at a piece of source.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// The piece of source.
    pub anchor: String,
    /// How often it must occur.
    pub count: usize,
    /// What is inserted.
    pub text: String,
}

impl Action {
    /// The text that is inserted.
    pub fn text(&self) -> &str {
        match self {
            Action::Before(Anchored { text, .. })
            | Action::After(Anchored { text, .. })
            | Action::Replace(Anchored { text, .. }) => text,
            Action::Enter(text) | Action::AddFields(text) => text,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditText {
    #[serde(rename = "where")]
    place: Place,
    #[serde(rename = "do")]
    action: Option<ActionText>,
    #[serde(default)]
    any_of: Vec<AlternativeText>,
    go: Option<VersionRange>,
    #[serde(default)]
    optional: bool,
}

/// An item of `any_of`: an action, or `do:` and an action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlternativeText {
    #[serde(rename = "do")]
    action: Option<ActionText>,
    before: Option<String>,
    after: Option<String>,
    replace: Option<String>,
    insert: Option<String>,
    with: Option<String>,
    enter: Option<String>,
    add_fields: Option<String>,
    count: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionText {
    before: Option<String>,
    after: Option<String>,
    replace: Option<String>,
    insert: Option<String>,
    with: Option<String>,
    enter: Option<String>,
    add_fields: Option<String>,
    count: Option<usize>,
    #[serde(default)]
    any_of: Vec<AlternativeText>,
}

impl TryFrom<ActionText> for Action {
    type Error = String;

    fn try_from(text: ActionText) -> Result<Self, String> {
        let ActionText { before, after, replace, insert, with, enter, add_fields, count, any_of: _ } = text;
        let anchored = |anchor, text| Anchored { anchor, text, count: count.unwrap_or(1) };
        let action = match (before, after, replace, insert, with, enter, add_fields) {
            (Some(anchor), None, None, Some(text), None, None, None) => Action::Before(anchored(anchor, text)),
            (None, Some(anchor), None, Some(text), None, None, None) => Action::After(anchored(anchor, text)),
            (None, None, Some(anchor), None, Some(text), None, None) => Action::Replace(anchored(anchor, text)),
            (None, None, None, None, None, Some(text), None) => Action::Enter(text),
            (None, None, None, None, None, None, Some(text)) => Action::AddFields(text),
            _ => {
                let forms = "`before` or `after` with `insert`, `replace` with `with`, `enter`, `add_fields`";
                return Err(format!("an action is one of {forms}"));
            }
        };
        if action.text().contains('\n') {
            return Err("inserted text must not contain a newline: lines would move".into());
        }
        if crate::token::tokens(action.text()).comments > 0 && action.text().contains("//") {
            return Err("inserted text must not contain a line comment: it would swallow the rest of the line".into());
        }
        Ok(action)
    }
}

impl TryFrom<AlternativeText> for Vec<Action> {
    type Error = String;

    fn try_from(item: AlternativeText) -> Result<Self, String> {
        let AlternativeText { action, before, after, replace, insert, with, enter, add_fields, count } = item;
        match action {
            Some(action) => actions(action),
            None => Ok(vec![Action::try_from(ActionText {
                before,
                after,
                replace,
                insert,
                with,
                enter,
                add_fields,
                count,
                any_of: Vec::new(),
            })?]),
        }
    }
}

fn actions(text: ActionText) -> Result<Vec<Action>, String> {
    if text.any_of.is_empty() {
        return Ok(vec![Action::try_from(text)?]);
    }
    let lists: Vec<Vec<Action>> = text.any_of.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    Ok(lists.into_iter().flatten().collect())
}

impl TryFrom<EditText> for Edit {
    type Error = String;

    fn try_from(text: EditText) -> Result<Self, String> {
        let EditText { place, action, any_of, go, optional } = text;
        if place.func.is_some() == place.structure.is_some() && place.file.is_none() {
            return Err("`where` names a `func`, a `struct`, or only a `file`".into());
        }
        let mut alternatives = action.map_or(Ok(Vec::new()), actions)?;
        for item in any_of {
            alternatives.extend(Vec::try_from(item)?);
        }
        if alternatives.is_empty() {
            return Err("an edit needs `do` or `any_of`".into());
        }
        Ok(Edit { place, alternatives, go, optional })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackText {
    pack: String,
    #[serde(default)]
    description: String,
    module: Option<String>,
    rules: Vec<Rule>,
}

impl Pack {
    /// Reads one pack; `name` is how messages call the file.
    pub fn parse(name: &str, yaml: &str, hooks: BTreeMap<String, String>) -> Result<Pack, PackError> {
        let malformed = |problem: String, span: SourceSpan| PackError::Malformed {
            name: name.to_owned(),
            problem,
            source_code: Arc::new(NamedSource::new(name, yaml.to_owned())),
            span,
        };
        let text: PackText =
            serde_saphyr::from_str(yaml).map_err(|error| malformed(plain_problem(&error), error_span(yaml, &error)))?;
        for rule in &text.rules {
            for file in &rule.add_files {
                if !hooks.contains_key(file) {
                    let offset = yaml.find(file.as_str()).unwrap_or(0);
                    return Err(malformed(
                        format!("rule {}: there is no hooks/{file}", rule.id),
                        (offset, file.len()).into(),
                    ));
                }
            }
        }
        let PackText { pack, description, module, rules } = text;
        Ok(Pack { name: pack, description, module, rules, hooks })
    }

    /// Reads `<dir>/pack.yaml` and the Go files of `<dir>/hooks`.
    pub fn load(dir: &Path) -> Result<Pack, PackError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| PackError::Unreadable { path, source }
        };
        let file = dir.join("pack.yaml");
        let yaml = fs::read_to_string(&file).map_err(unreadable(&file))?;
        let mut hooks = BTreeMap::new();
        let hooks_dir = dir.join("hooks");
        if hooks_dir.is_dir() {
            for entry in fs::read_dir(&hooks_dir).map_err(unreadable(&hooks_dir))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".go") && !name.ends_with("_test.go") {
                    hooks.insert(name, fs::read_to_string(entry.path()).map_err(unreadable(&entry.path()))?);
                }
            }
        }
        Pack::parse(&file.display().to_string(), &yaml, hooks)
    }
}

/// The error's own sentence, without the place and the source lines that `miette` shows better.
pub(crate) fn plain_problem(error: &serde_saphyr::Error) -> String {
    let full = error.to_string();
    let first = full.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let sentence =
        first.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(first, |(_, sentence)| sentence);
    sentence.to_owned()
}

/// From where YAML went wrong to the end of that line.
pub(crate) fn error_span(text: &str, error: &serde_saphyr::Error) -> SourceSpan {
    error.location().map_or((0, 0), |at| line_span(text, at.line() as usize, at.column() as usize)).into()
}

fn line_span(text: &str, line: usize, column: usize) -> (usize, usize) {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text[start.min(text.len())..].lines().next().unwrap_or_default();
    let skip = rest.char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at);
    (start + skip, rest.len() - skip)
}

/// All packs of a build, in the order in which they are applied.
#[derive(Debug, Clone, Default)]
pub struct PackSet {
    /// Unique by name.
    pub packs: Vec<Pack>,
}

impl PackSet {
    /// The embedded packs and those in `folders`; of two with one name the later is used.
    pub fn load(folders: &[PathBuf]) -> Result<PackSet, PackError> {
        let mut set = PackSet::default();
        for (yaml_path, yaml) in embedded::PACK_FILES.iter().filter(|(path, _)| path.ends_with("pack.yaml")) {
            let folder = yaml_path.trim_end_matches("pack.yaml");
            let hooks = embedded::PACK_FILES
                .iter()
                .filter_map(|(path, bytes)| Some((path.strip_prefix(folder)?.strip_prefix("hooks/")?, bytes)))
                .map(|(name, bytes)| (name.to_owned(), String::from_utf8_lossy(bytes).into_owned()))
                .collect();
            set.add(Pack::parse(&format!("packs/{yaml_path}"), &String::from_utf8_lossy(yaml), hooks)?);
        }
        for folder in folders {
            set.add(Pack::load(folder)?);
        }
        Ok(set)
    }

    fn add(&mut self, pack: Pack) {
        match self.packs.iter_mut().find(|known| known.name == pack.name) {
            Some(known) => *known = pack,
            None => self.packs.push(pack),
        }
    }

    /// Takes out packs and rules by name.
    pub fn disable(&mut self, names: &[String]) {
        self.packs.retain(|pack| !names.contains(&pack.name));
        for pack in &mut self.packs {
            pack.rules.retain(|rule| !names.contains(&rule.id));
        }
    }
}
