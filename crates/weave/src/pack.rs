//! Packs: what is woven into which package, read from `pack.yaml` files.
//!
//! A pack that was loaded is complete and sound in form: every file it adds is present, every version range parses,
//! no inserted text contains a newline or a line comment. Whether its anchors exist is the business of `weave`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Location;
use thiserror::Error;

pub use crate::action::{Action, Anchored};
use crate::condition::{Condition, Kind};
use crate::embedded;
use crate::pack_text::{PackText, Problem, nearest};
use crate::version::VersionRange;

/// Why a pack cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum PackError {
    /// The YAML is not what a pack looks like.
    #[error("pack {name}: {problem}")]
    #[diagnostic(help("{hint}"))]
    Malformed {
        /// Name of the file, for people.
        name: String,
        /// What is wrong, a lowercase fragment.
        problem: String,
        /// What to do.
        hint: String,
        /// The file's text.
        #[source_code]
        source_code: Arc<NamedSource<String>>,
        /// Where in the text.
        #[label("here")]
        span: SourceSpan,
    },
    /// Two packs have a rule of the same name.
    #[error("the packs {first} and {second} both have a rule {rule}")]
    #[diagnostic(help("rename it in one of them, or take one out with `disable:` in tandem.yaml"))]
    SameRule {
        /// The rule's id.
        rule: String,
        /// Where the first pack was read.
        first: String,
        /// Where the second was.
        second: String,
    },
    /// What tandem.yaml names is not there.
    #[error("pack {entry}: {problem}")]
    #[diagnostic(help("{hint}"))]
    NotFound {
        /// As tandem.yaml has it.
        entry: String,
        /// What is wrong, a lowercase fragment.
        problem: String,
        /// What to do.
        hint: String,
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

/// Texts of Go files by base name.
pub type Hooks = BTreeMap<String, String>;

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
    /// What it makes.
    pub spans: Vec<Spans>,
    /// Go files that rules may add.
    pub hooks: Hooks,
    /// Where it was read, for people.
    pub source: String,
}

/// A promise: spans of one scope and kind, and what they carry.
#[derive(Debug, Clone)]
pub struct Spans {
    /// The instrumentation scope, as in `tandem/net/http`.
    pub scope: String,
    /// Their kind.
    pub kind: SpanKind,
    /// Which operation's they are, where that needs words.
    pub description: String,
    /// The ids that the hooks give to NewOp, if they are said.
    pub operations: Vec<String>,
    /// Whether they are made only when somebody asks for them: the operations are off when a program starts.
    pub off: bool,
    /// Keys of the attributes that each of them has.
    pub always: Vec<String>,
    /// Keys of those that they may have; no others occur.
    pub sometimes: Vec<String>,
}

/// OpenTelemetry's kinds of spans, under the names that packs and people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
#[expect(missing_docs, reason = "the schema would repeat OpenTelemetry's definitions")]
pub enum SpanKind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl fmt::Display for SpanKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        })
    }
}

/// One join point: applied whole or not at all.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique over all packs.
    pub id: String,
    /// One line for `tandem explain`.
    pub description: String,
    /// Import path of the edited package; with `/...` at its end of all packages below too.
    pub target: String,
    /// Versions of the module that it fits.
    pub version: Option<VersionRange>,
    /// Go versions that it fits.
    pub go: Option<VersionRange>,
    /// Names in `Pack::hooks`.
    pub add_files: Vec<String>,
    /// Rules that must have matched too.
    pub needs: Vec<String>,
    /// Whether it is woven only where `enable:` in tandem.yaml names it.
    pub off: bool,
    /// What is spliced.
    pub edits: Vec<Edit>,
}

/// One place and what is done there.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The function, struct, call or file.
    pub place: Place,
    /// The first that matches is used.
    pub alternatives: Vec<Action>,
    /// Outside this range of Go the edit is not needed.
    pub go: Option<VersionRange>,
    /// Outside this range of the module the edit is not needed.
    pub version: Option<VersionRange>,
    /// The rule holds without it.
    pub optional: bool,
}

/// Where an edit is made.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the condition is about.
    pub kind: Kind,
    /// What holds there.
    pub condition: Condition,
}

/// What a target names besides the package itself: `path` of `path/...`.
pub fn below(target: &str) -> Option<&str> {
    target.strip_suffix("/...")
}

/// Whether a text can be the target of a rule, or why not.
pub(crate) fn check_target(target: &str) -> Result<(), String> {
    let path = below(target).unwrap_or(target);
    if path.is_empty()
        || path.contains("...")
        || path.contains(|c: char| c.is_whitespace() || matches!(c, '*' | '\\' | '"'))
    {
        return Err(format!("`target` is an import path, or one with /... at its end, {target:?} is not"));
    }
    if path.split('/').any(|element| element.is_empty() || element == "." || element == "..") {
        return Err(format!("`target` is an import path, not a folder as {target:?}"));
    }
    Ok(())
}

impl Pack {
    /// Reads one pack that has no part in others; `name` is how messages call the file.
    pub fn parse(name: &str, yaml: &str, hooks: Hooks) -> Result<Pack, PackError> {
        Pack::parse_beside(name, yaml, hooks, &|_| None)
    }

    /// Reads one pack. `others` has the hooks of the packs beside it, by folder.
    fn parse_beside(
        name: &str,
        yaml: &str,
        mut hooks: Hooks,
        others: &dyn Fn(&str) -> Option<Hooks>,
    ) -> Result<Pack, PackError> {
        let malformed = |problem: String, span: SourceSpan| {
            let (problem, hint) = match problem.split_once("; did you mean ") {
                Some((problem, hint)) => (problem.to_owned(), format!("did you mean {hint}")),
                None => (problem, "docs/packs.md describes the format".to_owned()),
            };
            let source_code = Arc::new(NamedSource::new(name, yaml.to_owned()));
            PackError::Malformed { name: name.to_owned(), problem, hint, source_code, span }
        };
        let text: PackText =
            serde_saphyr::from_str(yaml).map_err(|error| malformed(plain_problem(&error), error_span(yaml, &error)))?;
        let span = |at: Location| SourceSpan::from(line_span(yaml, at.line() as usize, at.column() as usize));
        if let Some(others_text) = &text.hooks_of {
            let added = others_text.add(&mut hooks, others);
            added.map_err(|Problem { text, at }| malformed(text, at.map_or((0, 0).into(), span)))?;
        }
        let mut rules: Vec<Rule> = Vec::new();
        for rule in text.rules {
            let at = rule.referenced;
            let rule = rule
                .value
                .rule(&hooks)
                .map_err(|Problem { text, at }| malformed(text, at.map_or((0, 0).into(), span)))?;
            if rules.iter().any(|known| known.id == rule.id) {
                return Err(malformed(format!("there are two rules {}", rule.id), span(at)));
            }
            rules.push(rule);
        }
        let mut spans = Vec::new();
        for promise in text.spans {
            let promise = promise.value.spans(&text.pack);
            spans.push(promise.map_err(|Problem { text, at }| malformed(text, at.map_or((0, 0).into(), span)))?);
        }
        let PackText { pack, description, module, .. } = text;
        Ok(Pack { name: pack, description, module, rules, spans, hooks, source: name.to_owned() })
    }

    /// Reads `<dir>/pack.yaml` and the Go files of `<dir>/hooks`.
    pub fn load(dir: &Path) -> Result<Pack, PackError> {
        let file = dir.join("pack.yaml");
        let yaml = fs::read_to_string(&file).map_err(unreadable(&file))?;
        let hooks = hooks_in(dir)?;
        let others = |name: &str| {
            let folder = dir.parent()?.join(name);
            let beside = folder.join("pack.yaml").is_file().then(|| hooks_in(&folder).ok()).flatten();
            beside.or_else(|| Some(embedded_hooks(name)).filter(|hooks| !hooks.is_empty()))
        };
        Pack::parse_beside(&file.display().to_string(), &yaml, hooks, &others)
    }
}

/// The Go files of `<dir>/hooks`.
fn hooks_in(dir: &Path) -> Result<Hooks, PackError> {
    let dir = dir.join("hooks");
    let mut hooks = Hooks::new();
    if dir.is_dir() {
        for entry in fs::read_dir(&dir).map_err(unreadable(&dir))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".go") {
                hooks.insert(name, fs::read_to_string(entry.path()).map_err(unreadable(&entry.path()))?);
            }
        }
    }
    Ok(hooks)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Unreadable { path, source }
}

/// The same, of an embedded pack; none where there is no such pack.
fn embedded_hooks(folder: &str) -> Hooks {
    let files = embedded::PACK_FILES.iter();
    files
        .filter_map(|(path, bytes)| Some((path.strip_prefix(folder)?.strip_prefix("/hooks/")?, bytes)))
        .map(|(name, bytes)| (name.to_owned(), String::from_utf8_lossy(bytes).into_owned()))
        .collect()
}

/// The error's own sentence, without the place and the source lines that `miette` shows better.
pub(crate) fn plain_problem(error: &serde_saphyr::Error) -> String {
    let full = error.to_string();
    let first = full.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let sentence =
        first.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(first, |(_, sentence)| sentence);
    match unknown_word(sentence) {
        Some((word, known)) => format!("{sentence}{}", nearest(word, known.into_iter())),
        None => sentence.to_owned(),
    }
}

/// The word that a reader does not know, and those that it does: "unknown field `x`, expected one of y, z".
fn unknown_word(sentence: &str) -> Option<(&str, Vec<&str>)> {
    let (start, known) = sentence.split_once(", expected ")?;
    let word = start.strip_prefix("unknown ")?.split('`').nth(1)?;
    let known = known.strip_prefix("one of ").unwrap_or(known).split([',', ' ']);
    Some((word, known.map(|word| word.trim_matches('`')).filter(|word| !word.is_empty()).collect()))
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
            let hooks = embedded_hooks(yaml_path.trim_end_matches("/pack.yaml"));
            let others = |name: &str| Some(embedded_hooks(name)).filter(|hooks| !hooks.is_empty());
            let yaml = String::from_utf8_lossy(yaml);
            set.add(Pack::parse_beside(&format!("packs/{yaml_path}"), &yaml, hooks, &others)?);
        }
        for folder in folders {
            set.add(Pack::load(folder)?);
        }
        Ok(set)
    }

    /// The packages of the types whose methods' calls rules mean.
    pub fn packages_of_types(&self) -> BTreeSet<&str> {
        let edits = self.packs.iter().flat_map(|pack| &pack.rules).flat_map(|rule| &rule.edits);
        let methods = edits.flat_map(|edit| edit.place.condition.method_types());
        methods.map(|method| method.path.as_str()).collect()
    }

    /// That no two packs have a rule of one name.
    pub fn check_unique(&self) -> Result<(), PackError> {
        let mut seen: BTreeMap<&str, &Pack> = BTreeMap::new();
        for pack in &self.packs {
            for rule in &pack.rules {
                if let Some(first) = seen.insert(&rule.id, pack) {
                    let (first, second) = (first.source.clone(), pack.source.clone());
                    return Err(PackError::SameRule { rule: rule.id.clone(), first, second });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, pack: Pack) {
        match self.packs.iter_mut().find(|known| known.name == pack.name) {
            Some(known) => *known = pack,
            None => self.packs.push(pack),
        }
    }

    /// Takes out the rules that are off by default, but those that are named, by themselves or with their pack.
    pub fn enable(&mut self, names: &[String]) {
        for pack in &mut self.packs {
            let is_all = names.contains(&pack.name);
            pack.rules.retain(|rule| !rule.off || is_all || names.contains(&rule.id));
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
