//! Third-party modules from the module cache: a copy of each module that is woven, with hard links to what is not
//! changed. The go command finds it by a `replace` line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Key, check_interrupted, link_or_copy};
use crate::error::{WeaveError, at};
use crate::functions::{self, DormantFunction, FunctionRules};
use crate::goroot::{DESCRIPTION, write_new};
use crate::pack::{self, PackSet};
use crate::parse::GoFile;
use crate::project::Module;
use crate::splice::Edit;
use crate::types::Imported;
use crate::version::ReleaseVersion;
use crate::weave::{self, Input, PackageSource, RuleOf, RuleReport, Woven, WovenFile};

/// The folder of the cache in which the copies lie.
pub const KIND: &str = "module";

/// A module and its woven copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShadowModule {
    /// The module.
    pub module: Module,
    /// Where the woven copy lies; `None` when no rule matched.
    pub dir: Option<PathBuf>,
    /// Edits of each woven file, by path below the module; `None` is an added file.
    pub files: BTreeMap<PathBuf, Option<Vec<Edit>>>,
    /// What became of the rules.
    pub reports: Vec<RuleReport>,
    /// Each function that `functions:` means, with its import path and its file below the module.
    pub functions: Vec<(String, PathBuf, DormantFunction)>,
}

/// The rules for one module, of all packs.
pub fn rules_for<'a>(set: &'a PackSet, module: &str) -> Vec<RuleOf<'a>> {
    let packs = set.packs.iter().filter(|pack| pack.module.as_deref() == Some(module));
    packs.flat_map(|pack| pack.rules.iter().map(move |rule| RuleOf { pack, rule })).collect()
}

/// Puts modules behind those whose rules theirs need; otherwise they stay as they are.
pub fn in_order_of_need(set: &PackSet, modules: &mut Vec<Module>) {
    let of_rule = |id: &String| {
        let pack = set.packs.iter().find(|pack| pack.rules.iter().any(|rule| rule.id == *id));
        pack.and_then(|pack| pack.module.as_deref())
    };
    let mut waiting = std::mem::take(modules);
    while !waiting.is_empty() {
        let is_free = |module: &Module| {
            let rules = rules_for(set, &module.path);
            let mut needed = rules.iter().flat_map(|of| &of.rule.needs).filter_map(of_rule);
            needed.all(|path| path == module.path || waiting.iter().all(|other| other.path != path))
        };
        let next = waiting.iter().position(is_free).unwrap_or(0); // packs that need each other stay as they are
        modules.push(waiting.remove(next));
    }
}

/// The packages that rules name; what is below `path/...` is looked up in `modules` (path and folder).
pub fn targets(rules: &[RuleOf<'_>], modules: &[(String, PathBuf)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for of in rules {
        let Some(base) = pack::below(&of.rule.target) else {
            found.insert(of.rule.target.clone());
            continue;
        };
        for (module, dir) in modules {
            let is_in = |outer: &str, inner: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if is_in(module, base) || is_in(base, module) {
                let below = base.strip_prefix(module.as_str()).unwrap_or_default().trim_start_matches('/');
                let path = if below.is_empty() { module.clone() } else { format!("{module}/{below}") };
                add_packages(&dir.join(below), &path, &mut found);
            }
        }
    }
    found
}

/// The packages of a module.
pub fn packages(dir: &Path, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    add_packages(dir, path, &mut found);
    found
}

/// The folders that hold Go files, as `./...` finds them: no vendor, testdata, nested module, nor what begins with . or _.
fn add_packages(dir: &Path, path: &str, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_hidden = name.starts_with(['.', '_']);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let is_left_out =
                is_hidden || name == "vendor" || name == "testdata" || entry.path().join("go.mod").exists();
            if !is_left_out {
                add_packages(&entry.path(), &format!("{path}/{name}"), found);
            }
        } else if name.ends_with(".go") && !name.ends_with("_test.go") && !is_hidden {
            found.insert(path.to_owned());
        }
    }
}

/// With what modules are woven.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The packs.
    pub set: &'a PackSet,
    /// The version of Go.
    pub go: &'a ReleaseVersion,
    /// Where the packages lie that the modules' import.
    pub imported: &'a Imported,
    /// Functions that are woven dormant.
    pub functions: &'a FunctionRules,
}

/// Weaves the target packages of a module; `source` says where a package below the module lies.
pub fn weave_module(
    around: Around<'_>,
    module: &Module,
    matched: &BTreeSet<String>,
    source: impl Fn(&str) -> Option<PackageSource>,
) -> Woven {
    let Around { set, go, imported, .. } = around;
    let rules = rules_for(set, &module.path);
    let targets = targets(&rules, &[(module.path.clone(), module.dir.clone())]);
    let sources = targets.into_iter().filter_map(|target| Some((target.clone(), source(&target)?))).collect();
    weave::weave(&Input {
        rules,
        sources,
        go,
        version_label: format!("{} {}", module.path, module.effective_version()),
        module_version: ReleaseVersion::parse(module.effective_version())
            .or_else(|| ReleaseVersion::parse(&module.version)),
        matched_elsewhere: matched.clone(),
        imported,
    })
}

/// The folder of a package below its module's folder.
pub fn package_dir(module: &Module, import_path: &str) -> Option<PathBuf> {
    let below = import_path.strip_prefix(module.path.as_str())?;
    let dir = module.dir.join(below.trim_start_matches('/'));
    (below.is_empty() || below.starts_with('/')).then_some(dir).filter(|dir| dir.is_dir())
}

impl ShadowModule {
    /// The woven copy of a module from the module cache.
    pub fn get(
        cache: &Cache,
        around: Around<'_>,
        module: &Module,
        matched: &BTreeSet<String>,
    ) -> Result<ShadowModule, WeaveError> {
        let Around { set, go, imported, functions } = around;
        // What may change outside of the module cache does not decide what lies in ours.
        let imported = &imported.fixed();
        let around = Around { imported, ..around };
        let key = Key::new("module").text(format!("{module:?}")).text(go.to_string()).text(format!("{matched:?}"));
        let rules = rules_for(set, &module.path);
        let key = imported.state(weave::rules_state(key, &rules), &rules);
        // The Debug text of a rule for functions holds every field of it, and nothing else.
        let key = key.text(format!("{:?}", functions.of_module(&module.path)));
        let entry = cache.entry(KIND, &key.name(), |work| make(work, around, module, matched))?;
        let path = entry.join(DESCRIPTION);
        let text = fs::read(&path).map_err(at("read", &path))?;
        let mut shadow: ShadowModule =
            serde_json::from_slice(&text).map_err(|error| at("read", &path)(error.into()))?;
        shadow.dir = shadow.dir.map(|dir| entry.join(dir));
        Ok(shadow)
    }
}

fn make(work: &Path, around: Around<'_>, module: &Module, matched: &BTreeSet<String>) -> Result<(), WeaveError> {
    let source =
        |target: &str| package_dir(module, target).map(|dir| PackageSource { dir, ..PackageSource::default() });
    let mut woven = weave_module(around, module, matched, source);
    let functions = weave_functions(around.functions, module, &mut woven)?;
    let (module_of, files) = (module.clone(), BTreeMap::new());
    let mut shadow = ShadowModule { module: module_of, dir: None, files, reports: woven.reports, functions };
    if !woven.packages.is_empty() {
        // The folder's own name, as the module cache has it: messages and profiles show it.
        let name = PathBuf::from(module.dir.file_name().unwrap_or_default());
        link_module(&module.dir, &work.join(&name))?;
        for (import_path, package) in &woven.packages {
            let below = PathBuf::from(import_path[module.path.len()..].trim_start_matches('/'));
            for (file_name, file) in &package.files {
                write_new(&work.join(&name).join(&below).join(file_name), file.text().as_bytes())?;
                shadow.files.insert(below.join(file_name), Some(file.edits.clone()));
            }
            for (file_name, text) in &package.added {
                write_new(&work.join(&name).join(&below).join(file_name), text.as_bytes())?;
                shadow.files.insert(below.join(file_name), None);
            }
        }
        let manifest = work.join(&name).join("go.mod");
        if !manifest.exists() {
            write_new(&manifest, format!("module {}\n", module.path).as_bytes())?;
        }
        shadow.dir = Some(name);
    }
    write_new(&work.join(DESCRIPTION), &serde_json::to_vec(&shadow).expect("plain data"))
}

/// Adds the dormant functions of a module's packages to what rules weave there.
fn weave_functions(
    functions: &FunctionRules,
    module: &Module,
    woven: &mut Woven,
) -> Result<Vec<(String, PathBuf, DormantFunction)>, WeaveError> {
    let mut found = Vec::new();
    if functions.of_module(&module.path).is_empty() {
        return Ok(found);
    }
    for import_path in packages(&module.dir, &module.path) {
        let rules = functions.for_dependency(&import_path);
        let Some(dir) = package_dir(module, &import_path).filter(|_| !rules.is_empty()) else { continue };
        check_interrupted()?;
        let below = PathBuf::from(import_path[module.path.len()..].trim_start_matches('/'));
        for (name, plain) in weave::package_files(&PackageSource { dir, ..PackageSource::default() }) {
            let Some(file) = GoFile::parse(&plain) else { continue };
            let mut dormant = functions::weave(&file, &name, &import_path, &rules);
            let known = woven.packages.get(&import_path).and_then(|package| package.files.get(&name));
            let rule_edits = known.map(|file| file.rule_edits.clone()).unwrap_or_default();
            let edits = rule_edits.iter().cloned().chain(std::mem::take(&mut dormant.edits)).collect();
            match weave::finish_edits(&plain, edits) {
                Some(edits) if !edits.is_empty() => {
                    let files = &mut woven.packages.entry(import_path.clone()).or_default().files;
                    files.insert(name.clone(), WovenFile { plain: plain.clone(), edits, rule_edits });
                }
                Some(_) => {}
                None => dormant.leave_out("it does not fit beside what packs weave into the file"),
            }
            let place = below.join(&name);
            found.extend(dormant.functions.into_iter().map(|function| (import_path.clone(), place.clone(), function)));
        }
    }
    Ok(found)
}

fn link_module(from: &Path, to: &Path) -> Result<(), WeaveError> {
    check_interrupted()?;
    fs::create_dir_all(to).map_err(at("create", to))?;
    for entry in fs::read_dir(from).map_err(at("read", from))?.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(at("read", &from))?;
        if kind.is_dir() {
            link_module(&from, &to)?;
        } else if kind.is_file() {
            link_or_copy(&from, &to).map_err(at("create", &to))?;
        }
    }
    Ok(())
}
