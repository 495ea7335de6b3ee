//! Applies rules to packages: each rule whole or not at all, with the reason kept for every rule that does not apply.
//!
//! Nothing here touches the disk but to read the sources of the target packages.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::action::{Action, Refusal, Site};
use crate::cache::Key;
use crate::condition::{Condition, Kind, Situation};
use crate::find::{self, Found, Scope};
use crate::imports::{self, Names};
use crate::pack::{self, Pack, Rule};
use crate::parse::{GoFile, children, descendants};
use crate::shadow;
use crate::splice::{self, Edit};
use crate::token;
use crate::types::{Imported, Types};
use crate::version::{ReleaseVersion, VersionRange};

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
    /// `file:line` of calls that may be meant: the receiver's type is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
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
    /// Where the packages lie that these import.
    pub imported: &'a Imported,
}

/// Applies the rules.
pub fn weave(input: &Input<'_>) -> Woven {
    let tasks = tasks(input);
    let types = Types::new(&input.sources, input.imported);
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    loop {
        let attempt = attempt(input, &types, &tasks, &refused, packages);
        let newly_refused = attempt.newly_refused(input, &tasks);
        if newly_refused.is_empty() {
            return attempt.finish(input, &tasks);
        }
        refused.extend(newly_refused);
        packages = attempt.packages;
    }
}

/// A rule and one package that it is for.
struct Task<'a> {
    of: RuleOf<'a>,
    target: String,
}

/// Each rule with each package that its target names; a target that names none stays as it is.
fn tasks<'a>(input: &Input<'a>) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    for of in &input.rules {
        let target = &of.rule.target;
        let known = tasks.len();
        if let Some(base) = pack::below(target) {
            let is_below =
                |path: &&String| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            tasks.extend(input.sources.keys().filter(is_below).map(|path| Task { of: *of, target: path.clone() }));
        }
        if tasks.len() == known {
            tasks.push(Task { of: *of, target: target.clone() });
        }
    }
    tasks
}

/// One pass over all tasks that were not refused so far.
struct Attempt {
    outcomes: Vec<Outcome>,
    /// Of each task, the places of which it cannot be said whether they are meant.
    unknown: Vec<Vec<String>>,
    packages: BTreeMap<String, Package>,
}

/// A target package.
struct Package {
    files: Vec<FileWork>,
    /// Names that its files declare for all of it; asked for rarely.
    declared: OnceCell<BTreeSet<String>>,
}

/// A file of a target package and the edits collected for it, each with the task it belongs to.
struct FileWork {
    name: String,
    plain: String,
    edits: Vec<(usize, Edit)>,
    /// All of them, merged, with the import that they need; found out once.
    spliced: OnceCell<Option<Vec<Edit>>>,
}

impl FileWork {
    fn new(name: String, plain: String) -> FileWork {
        FileWork { name, plain, edits: Vec::new(), spliced: OnceCell::new() }
    }

    fn forget_edits(&mut self) {
        self.edits.clear();
        self.spliced.take();
    }

    /// The merged edits; nothing when they do not fit together.
    fn spliced(&self) -> Option<&Vec<Edit>> {
        self.spliced.get_or_init(|| spliced(self, |_| true)).as_ref()
    }
}

impl Package {
    fn declares(&self, name: &str) -> bool {
        let declared = self.declared.get_or_init(|| {
            let names = self.files.iter().flat_map(|file| shadow::package_names_of_text(&file.plain));
            names.map(str::to_owned).collect()
        });
        declared.contains(name)
    }

    /// The name in the package clause.
    fn name(&self) -> Option<String> {
        let file = GoFile::parse_leniently(&self.files.iter().find(|file| !is_left_out(file))?.plain);
        file.package_name().map(|name| file.slice(name).to_owned())
    }
}

/// A program of its own beside the package, which `go run` is meant for.
fn is_left_out(work: &FileWork) -> bool {
    let head = work.plain.split("\npackage ").next().unwrap_or_default();
    head.lines().any(|line| line.trim_end() == "//go:build ignore")
}

fn attempt(
    input: &Input<'_>,
    types: &Types<'_>,
    tasks: &[Task<'_>],
    refused: &BTreeMap<usize, String>,
    mut packages: BTreeMap<String, Package>,
) -> Attempt {
    packages.values_mut().flat_map(|package| &mut package.files).for_each(FileWork::forget_edits);
    let mut outcomes = Vec::new();
    let mut unknown = vec![Vec::new(); tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        let rule = task.of.rule;
        if let Some(reason) = out_of_range(input, rule) {
            outcomes.push(Outcome::OutOfRange { reason });
            continue;
        }
        if let Some(reason) = refused.get(&index) {
            outcomes.push(Outcome::NotFound { reason: reason.clone() });
            continue;
        }
        let Some(source) = input.sources.get(&task.target) else {
            outcomes.push(Outcome::NotFound {
                reason: format!("there is no package {} in {}", task.target, input.version_label),
            });
            continue;
        };
        let package = packages
            .entry(task.target.clone())
            .or_insert_with(|| Package { files: read_package(source), declared: OnceCell::new() });
        outcomes.push(match rule_edits(input, types, task, package, &mut unknown[index]) {
            Ok((edits, places)) => {
                for (file, edit) in edits {
                    package.files[file].edits.push((index, edit));
                }
                Outcome::Matched { places }
            }
            Err(reason) => Outcome::NotFound { reason },
        });
    }
    Attempt { outcomes, unknown, packages }
}

impl Attempt {
    /// Tasks whose needs did not match, and tasks whose edits do not fit together or break the syntax.
    fn newly_refused(&self, input: &Input<'_>, tasks: &[Task<'_>]) -> BTreeMap<usize, String> {
        let mut refused = BTreeMap::new();
        let matched: BTreeSet<&str> = self.matched(tasks).map(|(_, task)| task.of.rule.id.as_str()).collect();
        for (index, task) in self.matched(tasks) {
            let is_missing =
                |need: &&String| !matched.contains(need.as_str()) && !input.matched_elsewhere.contains(*need);
            if let Some(need) = task.of.rule.needs.iter().find(is_missing) {
                refused.insert(index, format!("needs {need}, which did not match"));
            }
        }
        for file in self.packages.values().flat_map(|package| &package.files).filter(|file| !file.edits.is_empty()) {
            if let Some((index, reason)) = self.conflict(file) {
                refused.entry(index).or_insert(reason);
            }
        }
        refused
    }

    fn conflict(&self, file: &FileWork) -> Option<(usize, String)> {
        if file.spliced().is_some() {
            return None;
        }
        // The first rule with which the file does not come out well, in the order of the rules.
        let mut rules: Vec<usize> = file.edits.iter().map(|(index, _)| *index).collect();
        rules.dedup();
        let culprit = rules.into_iter().find(|last| spliced(file, |index| index <= *last).is_none())?;
        Some((culprit, format!("its text does not fit into {}", file.name)))
    }

    fn matched<'a>(&'a self, tasks: &'a [Task<'a>]) -> impl Iterator<Item = (usize, &'a Task<'a>)> {
        let is_matched = |outcome: &Outcome| matches!(outcome, Outcome::Matched { .. });
        let all = self.outcomes.iter().zip(tasks).enumerate();
        all.filter(move |(_, (outcome, _))| is_matched(outcome)).map(|(index, (_, task))| (index, task))
    }

    fn finish(self, input: &Input<'_>, tasks: &[Task<'_>]) -> Woven {
        let mut packages: BTreeMap<String, WovenPackage> = BTreeMap::new();
        for (_, task) in self.matched(tasks) {
            let package = packages.entry(task.target.clone()).or_default();
            // A hook for many packages takes the name of each.
            let name = pack::below(&task.of.rule.target).and_then(|_| self.packages[&task.target].name());
            for file in &task.of.rule.add_files {
                let text = &task.of.pack.hooks[file];
                let text = name.as_ref().map_or_else(|| text.clone(), |name| with_package_name(text, name));
                package.added.insert(file.clone(), text);
            }
        }
        for (path, package) in &self.packages {
            for file in package.files.iter().filter(|file| !file.edits.is_empty()) {
                let edits = file.spliced().expect("conflicts were refused before").clone();
                let rule_edits = file.edits.iter().map(|(_, edit)| edit.clone()).collect();
                let woven = WovenFile { plain: file.plain.clone(), edits, rule_edits };
                packages.entry(path.clone()).or_default().files.insert(file.name.clone(), woven);
            }
        }
        Woven { packages, reports: reports(input, tasks, self.outcomes, self.unknown) }
    }
}

/// One report for each rule; a rule for many packages has one for each in which it matched.
fn reports(
    input: &Input<'_>,
    tasks: &[Task<'_>],
    outcomes: Vec<Outcome>,
    unknown: Vec<Vec<String>>,
) -> Vec<RuleReport> {
    let is_matched = |outcome: &Outcome| matches!(outcome, Outcome::Matched { .. });
    let mut reports = Vec::new();
    let mut rest = tasks.iter().zip(outcomes).zip(unknown).peekable();
    for of in &input.rules {
        let mut own = Vec::new();
        let mut places = Vec::new();
        while let Some((next, unknown)) = rest.next_if(|((task, _), _)| std::ptr::eq(task.of.rule, of.rule)) {
            own.push(next);
            places.extend(unknown);
        }
        let first = reports.len();
        let any_matched = own.iter().any(|(_, outcome)| is_matched(outcome));
        let first_failure = own.iter().position(|(_, outcome)| !is_matched(outcome));
        for (at, (task, outcome)) in own.into_iter().enumerate() {
            if is_matched(&outcome) {
                reports.push(RuleReport { target: task.target.clone(), ..report(*of, outcome) });
            } else if !any_matched && first_failure == Some(at) {
                reports.push(report(*of, outcome));
            }
        }
        if let Some(report) = reports.get_mut(first) {
            report.unknown = places;
        }
    }
    reports
}

fn with_package_name(hook: &str, name: &str) -> String {
    let file = GoFile::parse_leniently(hook);
    match file.package_name() {
        Some(clause) => splice::apply(hook, &[Edit::replace(clause.byte_range(), name)]),
        None => hook.to_owned(),
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
        unknown: Vec::new(),
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
            Some(FileWork::new(name, plain))
        })
        .collect()
}

/// The files of a package, name and text, but for programs beside it.
pub(crate) fn package_files(source: &PackageSource) -> impl Iterator<Item = (String, String)> {
    read_package(source).into_iter().filter(|work| !is_left_out(work)).map(|work| (work.name, work.plain))
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
fn rule_edits(
    input: &Input<'_>,
    types: &Types<'_>,
    task: &Task<'_>,
    package: &Package,
    unknown: &mut Vec<String>,
) -> Result<RuleEdits, String> {
    let mut edits = Vec::new();
    let mut places = Vec::new();
    let rule = task.of.rule;
    let is_taken = |name: &&String| package.files.iter().any(|file| file.name == **name);
    if let Some(name) = rule.add_files.iter().find(is_taken) {
        return Err(format!("{} has a file {name} of its own", task.target));
    }
    for edit in &rule.edits {
        let is_outside =
            |range: &VersionRange| input.module_version.as_ref().is_some_and(|version| !range.contains(version));
        let is_other_go = edit.go.as_ref().is_some_and(|range| !range.contains(input.go));
        if is_other_go || edit.version.as_ref().is_some_and(is_outside) {
            continue;
        }
        match place_edits(input, types, task, edit, package, unknown) {
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

fn place_edits(
    input: &Input<'_>,
    types: &Types<'_>,
    task: &Task<'_>,
    edit: &pack::Edit,
    package: &Package,
    unknown: &mut Vec<String>,
) -> Result<RuleEdits, String> {
    let condition = &edit.place.condition;
    let is_named = condition.names_its_place();
    let words = condition.required_words();
    let mut found: Vec<(usize, Edit)> = Vec::new();
    let mut places = Vec::new();
    for (index, work) in package.files.iter().enumerate() {
        let is_wanted = condition.may_hold_in(&work.name) && words.iter().all(|word| work.plain.contains(word));
        if !is_wanted || (!is_named && is_left_out(work)) {
            continue;
        }
        let in_file = edits_in_file(input, types, task, edit, package, work)?;
        unknown.extend(in_file.unknown);
        for edits in in_file.edits {
            // Names in a signature come first; the place is where the text goes.
            places.extend(edits.last().map(|last| {
                let line = work.plain[..last.range.start].matches('\n').count() + 1;
                format!("{}/{}:{line}", task.target, work.name)
            }));
            let is_known = |edit: &Edit| found.contains(&(index, edit.clone()));
            let is_declaration = matches!(&edit.alternatives[0], Action::AddDeclaration(_));
            if !(is_declaration && edits.iter().all(is_known)) {
                found.extend(edits.into_iter().map(|edit| (index, edit)));
            }
        }
    }
    if found.is_empty() {
        return Err(not_found(&edit.place, is_named, &input.version_label));
    }
    Ok((found, places))
}

/// What a rule finds in a file.
struct InFile {
    /// The edits at each place.
    edits: Vec<Vec<Edit>>,
    /// Places of which it cannot be said whether they are meant.
    unknown: Vec<String>,
}

/// What is found in a file, or why the rule does not apply.
fn edits_in_file(
    input: &Input<'_>,
    types: &Types<'_>,
    task: &Task<'_>,
    edit: &pack::Edit,
    package: &Package,
    work: &FileWork,
) -> Result<InFile, String> {
    let condition = &edit.place.condition;
    let is_named = condition.names_its_place();
    let file = GoFile::parse_leniently(&work.plain);
    let is_declared = |name: &str| package.declares(name);
    let imports = file.imports();
    let names = Names { imports: &imports, own_path: &task.target, is_declared: &is_declared };
    let situation = Situation { file: &file, file_name: &work.name, names, types };
    let site = Site { file: &file, directive: condition.directive(), is_declared: &is_declared };
    let mut found = Vec::new();
    let Found { scopes, unknown } = find::scopes(&file, edit.place.kind, condition, &situation);
    let place = |scope: &Scope<'_>| format!("{}/{}:{}", task.target, work.name, scope.node().start_position().row + 1);
    let unknown = unknown.iter().filter(|scope| !is_ignored(&file, scope)).map(place).collect();
    for scope in scopes {
        if is_ignored(&file, &scope) {
            if is_named {
                return Err(format!("{}{} is taken out by //tandem:ignore", describe(&edit.place), work.name));
            }
            continue;
        }
        match first_alternative(&site, &scope, &edit.alternatives) {
            Ok(edits) => found.push(edits),
            Err(Refusal::Absent(_)) if !is_named => {}
            Err(Refusal::Unfit(_)) if !is_named && edit.optional => {}
            Err(refusal) => {
                let line = scope.node().start_position().row + 1;
                let at = if is_named { work.name.clone() } else { format!("{}:{line}", work.name) };
                let (reason, label) = (refusal.reason(), &input.version_label);
                return Err(format!("{reason} in {}{at} of {label}", describe(&edit.place)));
            }
        }
    }
    Ok(InFile { edits: found, unknown })
}

fn is_ignored(file: &GoFile<'_>, scope: &Scope<'_>) -> bool {
    match scope.function() {
        Some(function) => crate::directive::is_ignored(file, function),
        None => crate::directive::file_is_ignored(file),
    }
}

fn not_found(place: &pack::Place, is_named: bool, label: &str) -> String {
    let described = describe(place);
    let described = described.trim_end_matches(" in ");
    match (place.condition.file_name(), place.kind) {
        (Some(name), Kind::File) => format!("there is no file {name} in {label}"),
        (Some(name), _) if is_named => format!("{described} not found in {name} of {label}"),
        (None, _) if is_named => format!("{described} not found in {label}"),
        _ => format!("nothing found that is {described} in {label}"),
    }
}

/// The place but for its file, and "in " after it.
fn describe(place: &pack::Place) -> String {
    let is_file = |condition: &Condition| matches!(condition, Condition::File(_));
    let text = match &place.condition {
        Condition::All(parts) => {
            Condition::All(parts.iter().filter(|part| !is_file(part)).cloned().collect()).to_string()
        }
        other if is_file(other) => String::new(),
        other => other.to_string(),
    };
    if text.is_empty() { text } else { format!("{text} in ") }
}

fn first_alternative(site: &Site<'_>, scope: &Scope<'_>, alternatives: &[Action]) -> Result<Vec<Edit>, Refusal> {
    let mut first_refusal = None;
    for action in alternatives {
        match action.edits(site, scope) {
            Ok(edits) => return Ok(edits),
            Err(refusal) => first_refusal = first_refusal.or(Some(refusal)),
        }
    }
    Err(first_refusal.unwrap_or_else(|| Refusal::Absent("nothing to do".into())))
}

/// The merged edits of the rules that `wanted` lets through, with the import that they need; `None` when they overlap
/// or the result does not parse although the original did.
fn spliced(file: &FileWork, wanted: impl Fn(usize) -> bool) -> Option<Vec<Edit>> {
    let edits = file.edits.iter().filter(|(index, _)| wanted(*index)).map(|(_, edit)| edit.clone());
    finish_edits(&file.plain, edits.collect())
}

/// Adds the import, merges, and checks that the result parses and declares nothing of ours twice.
pub fn finish_edits(plain: &str, mut edits: Vec<Edit>) -> Option<Vec<Edit>> {
    if edits.iter().any(|edit| edit.text.contains("tandem_rt.")) {
        let name = runtime_name(plain);
        if name != RUNTIME_NAME {
            edits.iter_mut().for_each(|edit| edit.text = with_runtime_name(&edit.text, &name));
        }
        let at = package_clause(plain)?.end;
        edits.insert(0, Edit::insert(at, format!("; import {name} \"tandem/rt\"")));
    }
    let merged = splice::merge(edits).ok()?;
    let woven = splice::apply(plain, &merged);
    let file = GoFile::parse_edited(plain, &merged, &woven);
    // An error is believed only of the whole text.
    let is_broken = file.root().has_error() && GoFile::parse_leniently(&woven).root().has_error();
    let is_sound = !is_broken || GoFile::parse_leniently(plain).root().has_error();
    let may_declare_twice = plain.contains("tandem") || may_declare_twice(&merged);
    (is_sound && !(may_declare_twice && declares_twice(&file))).then_some(merged)
}

/// Where the name in the package clause stands. Without parsing all of the file, where what comes before it is plain.
fn package_clause(plain: &str) -> Option<Range<usize>> {
    let line = plain.lines().find(|line| line.starts_with("package "));
    let at = line.map(|line| line.as_ptr() as usize - plain.as_ptr() as usize);
    let is_first = |at: &usize| !plain[..*at].contains("/*") && token::tokens(&plain[..*at]).ranges.is_empty();
    let name = at.filter(is_first).and_then(|at| {
        let line = plain[at..].lines().next().unwrap_or_default();
        let words = token::tokens(line).ranges;
        let name = words.get(1).filter(|name| imports::is_identifier(&line[(*name).clone()]))?;
        Some(at + name.start..at + name.end)
    });
    name.or_else(|| GoFile::parse_leniently(plain).package_name().map(|name| name.byte_range()))
}

const RUNTIME_NAME: &str = "tandem_rt";

/// The name under which a file imports `tandem/rt`: another one where the file has that word already.
fn runtime_name(plain: &str) -> String {
    let is_used =
        |name: &str| plain.contains(name) && token::tokens(plain).ranges.into_iter().any(|range| &plain[range] == name);
    let others = (2..).map(|number| format!("{RUNTIME_NAME}{number}"));
    std::iter::once(RUNTIME_NAME.to_owned()).chain(others).find(|name| !is_used(name)).expect("a text is finite")
}

fn with_runtime_name(text: &str, name: &str) -> String {
    let words = token::tokens(text).ranges;
    let own = words.iter().filter(|range| &text[(*range).clone()] == RUNTIME_NAME);
    let edits: Vec<Edit> = own.map(|range| Edit::replace(range.clone(), name)).collect();
    splice::apply(text, &edits)
}

/// Whether two of the edits declare variables of ours.
fn may_declare_twice(edits: &[Edit]) -> bool {
    edits.iter().map(|edit| edit.text.matches(":=").count()).sum::<usize>() > 1
}

/// Whether one block declares a variable of ours twice, as two rules that do not know of each other might.
fn declares_twice(file: &GoFile<'_>) -> bool {
    let blocks = descendants(file.root()).into_iter().filter(|node| node.kind() == "statement_list");
    blocks.into_iter().any(|block| {
        let mut seen = BTreeSet::new();
        let declarations = children(block).filter(|node| node.kind() == "short_var_declaration");
        declarations.into_iter().any(|declaration| {
            let left = declaration.child_by_field_name("left").into_iter().flat_map(children);
            let names = left.map(|name| file.slice(name)).filter(|name| name.starts_with("tandem"));
            let (new, known): (Vec<&str>, Vec<&str>) = names.partition(|name| seen.insert(name.to_string()));
            // One that is new is enough for Go.
            new.is_empty() && !known.is_empty()
        })
    })
}

/// Whether a text is free of syntax errors.
pub fn parses(text: &str) -> bool {
    !GoFile::parse_leniently(text).root().has_error()
}
