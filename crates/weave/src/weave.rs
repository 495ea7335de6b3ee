//! Applies rules to packages: each rule whole or not at all, with the reason kept for every rule that does not apply.
//!
//! Nothing here touches the disk but to read the sources of the target packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::Key;
use crate::find::{self, Scope};
use crate::pack::{self, Action, Anchored, Pack, Rule};
use crate::parse::GoFile;
use crate::signature::Namer;
use crate::splice::{self, Edit};
use crate::version::ReleaseVersion;

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It is woven at these places (`file:line` of the real sources).
    Matched {
        /// `file:line`, in rule order.
        places: Vec<String>,
    },
    /// It is not meant for this Go or module version.
    OutOfRange {
        /// A sentence fragment for people.
        reason: String,
    },
    /// The program does not use its target.
    NotUsed {
        /// A sentence fragment for people.
        reason: String,
    },
    /// Its code is not there, or not as the rule knows it.
    NotFound {
        /// A sentence fragment for people.
        reason: String,
    },
}

/// A rule and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The pack's name.
    pub pack: String,
    /// The rule's id.
    pub rule: String,
    /// What the rule gives, for people.
    pub description: String,
    /// Import path of the target package.
    pub target: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl RuleReport {
    /// One line for a rule that should have matched and did not.
    pub fn warning(&self) -> Option<String> {
        let Outcome::NotFound { reason } = &self.outcome else { return None };
        let lost =
            if self.description.is_empty() { String::new() } else { format!("; not woven: {}", self.description) };
        Some(format!("{}: {reason}{lost} (tandem explain shows all)", self.rule))
    }
}

/// A rule with its pack.
#[derive(Clone, Copy)]
pub struct RuleOf<'a> {
    /// The pack.
    pub pack: &'a Pack,
    /// The rule.
    pub rule: &'a Rule,
}

/// A file of a woven package that differs from the original.
#[derive(Debug, Clone)]
pub struct WovenFile {
    /// The original's text.
    pub plain: String,
    /// In order, not overlapping; with the import that they need.
    pub edits: Vec<Edit>,
    /// As the rules gave them.
    pub rule_edits: Vec<Edit>,
}

impl WovenFile {
    /// The woven text.
    pub fn text(&self) -> String {
        splice::apply(&self.plain, &self.edits)
    }
}

/// A package after weaving.
#[derive(Debug, Default)]
pub struct WovenPackage {
    /// By base name.
    pub files: BTreeMap<String, WovenFile>,
    /// Files that rules add, by base name.
    pub added: BTreeMap<String, String>,
}

/// Everything that is woven in one go: packages by import path, rules with their reports.
#[derive(Debug, Default)]
pub struct Woven {
    /// Only packages that were changed.
    pub packages: BTreeMap<String, WovenPackage>,
    /// One for each rule given, in order.
    pub reports: Vec<RuleReport>,
}

/// The sources of one package: its folder, and other text for some of its files.
#[derive(Debug, Clone, Default)]
pub struct PackageSource {
    /// Where the files lie.
    pub dir: PathBuf,
    /// Text that stands for a file's own (the user's overlay); `None` is a file that is taken away.
    pub instead: BTreeMap<String, Option<String>>,
}

/// What rules are applied to.
pub struct Input<'a> {
    /// The rules, in order.
    pub rules: Vec<RuleOf<'a>>,
    /// Sources by import path; a missing path is a package that does not exist.
    pub sources: BTreeMap<String, PackageSource>,
    /// The Go version.
    pub go: &'a ReleaseVersion,
    /// How messages name the code's version: `go1.26.8`, `v1.12.0`.
    pub version_label: String,
    /// The module's version, where there is a module.
    pub module_version: Option<ReleaseVersion>,
    /// Rules that matched elsewhere, for `needs`.
    pub matched_elsewhere: BTreeSet<String>,
}

/// Applies the rules.
pub fn weave(input: &Input<'_>) -> Woven {
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let attempt = attempt(input, &refused);
        let newly_refused = attempt.newly_refused(input);
        if newly_refused.is_empty() {
            return attempt.finish(input);
        }
        refused.extend(newly_refused);
    }
}

/// One pass over all rules that were not refused so far.
struct Attempt {
    outcomes: Vec<Outcome>,
    packages: BTreeMap<String, Vec<FileWork>>,
}

/// A file of a target package and the edits collected for it, each with the rule it belongs to.
struct FileWork {
    name: String,
    plain: String,
    edits: Vec<(usize, Edit)>,
}

fn attempt(input: &Input<'_>, refused: &BTreeMap<String, String>) -> Attempt {
    let mut packages: BTreeMap<String, Vec<FileWork>> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for (index, RuleOf { rule, .. }) in input.rules.iter().enumerate() {
        if let Some(reason) = out_of_range(input, rule) {
            outcomes.push(Outcome::OutOfRange { reason });
            continue;
        }
        if let Some(reason) = refused.get(&rule.id) {
            outcomes.push(Outcome::NotFound { reason: reason.clone() });
            continue;
        }
        let Some(source) = input.sources.get(&rule.target) else {
            outcomes.push(Outcome::NotFound {
                reason: format!("there is no package {} in {}", rule.target, input.version_label),
            });
            continue;
        };
        let files = packages.entry(rule.target.clone()).or_insert_with(|| read_package(source));
        outcomes.push(match rule_edits(input, rule, files) {
            Ok((edits, places)) => {
                for (file, edit) in edits {
                    files[file].edits.push((index, edit));
                }
                Outcome::Matched { places }
            }
            Err(reason) => Outcome::NotFound { reason },
        });
    }
    Attempt { outcomes, packages }
}

impl Attempt {
    /// Rules whose needs did not match, and rules whose edits do not fit together or break the syntax.
    fn newly_refused(&self, input: &Input<'_>) -> BTreeMap<String, String> {
        let mut refused = BTreeMap::new();
        let matched: BTreeSet<&str> = self.matched(input).map(|(_, rule)| rule.id.as_str()).collect();
        for (_, rule) in self.matched(input) {
            let is_missing =
                |need: &&String| !matched.contains(need.as_str()) && !input.matched_elsewhere.contains(*need);
            if let Some(need) = rule.needs.iter().find(is_missing) {
                refused.insert(rule.id.clone(), format!("needs {need}, which did not match"));
            }
        }
        for file in self.packages.values().flatten().filter(|file| !file.edits.is_empty()) {
            if let Some((index, reason)) = self.conflict(file) {
                refused.entry(input.rules[index].rule.id.clone()).or_insert(reason);
            }
        }
        refused
    }

    fn conflict(&self, file: &FileWork) -> Option<(usize, String)> {
        if spliced(file, |_| true).is_some() {
            return None;
        }
        // The first rule with which the file does not come out well, in the order of the rules.
        let mut rules: Vec<usize> = file.edits.iter().map(|(index, _)| *index).collect();
        rules.dedup();
        let culprit = rules.into_iter().find(|last| spliced(file, |index| index <= *last).is_none())?;
        Some((culprit, format!("its text does not fit into {}", file.name)))
    }

    fn matched<'a>(&'a self, input: &'a Input<'_>) -> impl Iterator<Item = (usize, &'a Rule)> {
        let is_matched = |outcome: &Outcome| matches!(outcome, Outcome::Matched { .. });
        self.outcomes
            .iter()
            .zip(&input.rules)
            .enumerate()
            .filter(move |(_, (outcome, _))| is_matched(outcome))
            .map(|(index, (_, of))| (index, of.rule))
    }

    fn finish(self, input: &Input<'_>) -> Woven {
        let mut packages: BTreeMap<String, WovenPackage> = BTreeMap::new();
        for (index, rule) in self.matched(input) {
            let package = packages.entry(rule.target.clone()).or_default();
            for name in &rule.add_files {
                package.added.insert(name.clone(), input.rules[index].pack.hooks[name].clone());
            }
        }
        for (path, files) in &self.packages {
            for file in files.iter().filter(|file| !file.edits.is_empty()) {
                let edits = spliced(file, |_| true).expect("conflicts were refused before");
                let rule_edits = file.edits.iter().map(|(_, edit)| edit.clone()).collect();
                let woven = WovenFile { plain: file.plain.clone(), edits, rule_edits };
                packages.entry(path.clone()).or_default().files.insert(file.name.clone(), woven);
            }
        }
        let reports = input.rules.iter().zip(self.outcomes).map(|(of, outcome)| report(*of, outcome)).collect();
        Woven { packages, reports }
    }
}

/// The report of one rule.
pub fn report(of: RuleOf<'_>, outcome: Outcome) -> RuleReport {
    let Rule { id, description, target, .. } = of.rule;
    RuleReport {
        pack: of.pack.name.clone(),
        rule: id.clone(),
        description: description.clone(),
        target: target.clone(),
        outcome,
    }
}

fn out_of_range(input: &Input<'_>, rule: &Rule) -> Option<String> {
    if let Some(range) = rule.go.as_ref().filter(|range| !range.contains(input.go)) {
        return Some(format!("is for Go {range}, this is {}", input.go));
    }
    let version = input.module_version.as_ref()?;
    let range = rule.version.as_ref().filter(|range| !range.contains(version))?;
    Some(format!("is for versions {range}, this is {}", input.version_label))
}

fn read_package(source: &PackageSource) -> Vec<FileWork> {
    let mut names: BTreeSet<String> = source.instead.keys().cloned().collect();
    if let Ok(entries) = fs::read_dir(&source.dir) {
        names.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    let is_source = |name: &String| name.ends_with(".go") && !name.ends_with("_test.go");
    names
        .into_iter()
        .filter(is_source)
        .filter_map(|name| {
            let plain = match source.instead.get(&name) {
                Some(text) => text.clone()?,
                None => read_text(&source.dir.join(&name))?,
            };
            Some(FileWork { name, plain, edits: Vec::new() })
        })
        .collect()
}

/// Adds all that decides what rules do to a key.
pub fn rules_state(key: Key, rules: &[RuleOf<'_>]) -> Key {
    rules.iter().fold(key, |key, of| {
        let hooks = of.rule.add_files.iter().map(|name| &of.pack.hooks[name]);
        // The Debug text of a rule holds every field of it, and nothing else.
        hooks.fold(key.text(&of.pack.name).text(format!("{:?}", of.rule)), |key, text| key.text(text))
    })
}

/// Adds the texts of a package's files to a key.
pub fn package_state(key: Key, source: &PackageSource) -> Key {
    read_package(source).into_iter().fold(key, |key, file| key.text(file.name).text(file.plain))
}

/// The text of a regular file, or of one that a link leads to. Reading a pipe would wait for somebody to write to it.
pub(crate) fn read_text(path: &Path) -> Option<String> {
    fs::metadata(path).ok()?.is_file().then(|| fs::read(path).ok())?.and_then(|text| String::from_utf8(text).ok())
}

type RuleEdits = (Vec<(usize, Edit)>, Vec<String>);

/// All edits of a rule as (index of the file, edit), and the places for people; or why it does not apply.
fn rule_edits(input: &Input<'_>, rule: &Rule, files: &[FileWork]) -> Result<RuleEdits, String> {
    let mut edits = Vec::new();
    let mut places = Vec::new();
    for edit in &rule.edits {
        if edit.go.as_ref().is_some_and(|range| !range.contains(input.go)) {
            continue;
        }
        match place_edits(input, &rule.target, edit, files) {
            Ok((found, at)) => {
                edits.extend(found);
                places.extend(at);
            }
            Err(_) if edit.optional => {}
            Err(reason) => return Err(reason),
        }
    }
    Ok((edits, places))
}

fn place_edits(input: &Input<'_>, target: &str, edit: &pack::Edit, files: &[FileWork]) -> Result<RuleEdits, String> {
    let place = &edit.place;
    let name = place.func.as_ref().or(place.structure.as_ref());
    let mut found = Vec::new();
    let mut places = Vec::new();
    for (index, work) in files.iter().enumerate() {
        let is_wanted = place.file.as_ref().is_none_or(|file| *file == work.name);
        if !is_wanted || name.is_some_and(|name| !work.plain.contains(name.as_str())) {
            continue;
        }
        let file = GoFile::parse_leniently(&work.plain);
        for scope in find::scopes(&file, place) {
            if is_ignored(&file, &scope) {
                return Err(format!("{}{} is taken out by //tandem:ignore", describe(place), work.name));
            } else {
                let edits = first_alternative(&file, &scope, &edit.alternatives).map_err(|reason| {
                    format!("{reason} in {}{} of {}", describe(place), work.name, input.version_label)
                })?;
                // Names in a signature come first; the place is where the text goes.
                if let Some(first) = edits.last() {
                    let line = work.plain[..first.range.start].matches('\n').count() + 1;
                    places.push(format!("{target}/{}:{line}", work.name));
                }
                found.extend(edits.into_iter().map(|edit| (index, edit)));
            }
        }
    }
    if found.is_empty() {
        let file = place.file.as_ref().map(|file| format!("{file} of ")).unwrap_or_default();
        return Err(format!("{}not found in {file}{}", describe(place).trim_end_matches("in "), input.version_label));
    }
    Ok((found, places))
}

fn is_ignored(file: &GoFile<'_>, scope: &Scope<'_>) -> bool {
    match scope {
        Scope::Function(function) => crate::directive::is_ignored(file, function),
        Scope::Structure(_) | Scope::File(_) => crate::directive::file_is_ignored(file),
    }
}

fn describe(place: &pack::Place) -> String {
    match (&place.func, &place.recv, &place.structure) {
        (Some(func), Some(recv), _) => format!("func ({recv}) {func} in "),
        (Some(func), None, _) => format!("func {func} in "),
        (None, _, Some(structure)) => format!("struct {structure} in "),
        (None, _, None) => String::new(),
    }
}

fn first_alternative(file: &GoFile<'_>, scope: &Scope<'_>, alternatives: &[Action]) -> Result<Vec<Edit>, String> {
    let mut first_reason = None;
    for action in alternatives {
        match action_edits(file, scope, action) {
            Ok(edits) => return Ok(edits),
            Err(reason) => first_reason = first_reason.or(Some(reason)),
        }
    }
    Err(first_reason.unwrap_or_else(|| "nothing to do".into()))
}

fn action_edits(file: &GoFile<'_>, scope: &Scope<'_>, action: &Action) -> Result<Vec<Edit>, String> {
    let mut edits = Vec::new();
    let text = match scope {
        Scope::Function(function) => {
            let mut namer = Namer::new(file.text, function);
            let text = namer.expand(action.text())?;
            edits = namer.edits;
            text
        }
        Scope::Structure(_) | Scope::File(_) => action.text().to_owned(),
    };
    let find = |Anchored { anchor, count, .. }: &Anchored| {
        let found = find::anchors(file, scope.node(), anchor);
        match found.len() {
            0 => Err(format!("anchor {anchor:?} not found")),
            number if number != *count => Err(format!("anchor {anchor:?} found {number} times, not {count}")),
            _ => Ok(found),
        }
    };
    match action {
        Action::Before(anchored) => {
            edits.extend(find(anchored)?.into_iter().map(|range| Edit::insert(range.start, text.clone())))
        }
        Action::After(anchored) => {
            edits.extend(find(anchored)?.into_iter().map(|range| Edit::insert(range.end, text.clone())))
        }
        Action::Replace(anchored) => {
            edits.extend(find(anchored)?.into_iter().map(|range| Edit::replace(range, text.clone())))
        }
        Action::Enter(_) => match scope {
            Scope::Function(function) => edits.push(Edit::insert(function.body.start + 1, format!(" {text};"))),
            _ => return Err("`enter` is for functions".into()),
        },
        Action::AddFields(_) => match scope {
            Scope::Structure(node) => edits.push(add_fields(*node, &text)?),
            _ => return Err("`add_fields` is for structs".into()),
        },
    }
    Ok(edits)
}

fn add_fields(structure: tree_sitter::Node<'_>, text: &str) -> Result<Edit, String> {
    let list = crate::parse::children(structure)
        .find(|node| node.kind() == "field_declaration_list")
        .ok_or("the struct has no fields")?;
    let last_field = crate::parse::children(list).filter(|node| node.kind() == "field_declaration").last();
    Ok(match last_field {
        Some(field) => Edit::insert(field.end_byte(), format!("; {text}")),
        None => Edit::insert(list.start_byte() + 1, format!(" {text} ")),
    })
}

/// The merged edits of the rules that `wanted` lets through, with the import that they need; `None` when they overlap
/// or the result does not parse although the original did.
fn spliced(file: &FileWork, wanted: impl Fn(usize) -> bool) -> Option<Vec<Edit>> {
    let edits = file.edits.iter().filter(|(index, _)| wanted(*index)).map(|(_, edit)| edit.clone());
    finish_edits(&file.plain, edits.collect())
}

/// Adds the import, merges, and checks that the result parses.
pub fn finish_edits(plain: &str, mut edits: Vec<Edit>) -> Option<Vec<Edit>> {
    let original = GoFile::parse_leniently(plain);
    if edits.iter().any(|edit| edit.text.contains("tandem_rt.")) {
        let at = original.package_name()?.end_byte();
        edits.insert(0, Edit::insert(at, "; import tandem_rt \"tandem/rt\""));
    }
    let merged = splice::merge(edits).ok()?;
    (parses(&splice::apply(plain, &merged)) || original.root().has_error()).then_some(merged)
}

/// Whether a text is free of syntax errors.
pub fn parses(text: &str) -> bool {
    !GoFile::parse_leniently(text).root().has_error()
}
