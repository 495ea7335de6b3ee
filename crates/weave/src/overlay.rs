//! Woven files that stand for files of the user's tree: own packages, vendored modules, folders that replace modules.
//!
//! Each woven file lies under its original base name in a folder named by its content, and the go command's `-overlay`
//! puts it in place. A file whose content is known is not parsed again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Key, check_interrupted};
use crate::directive;
use crate::error::{WeaveError, at};
use crate::functions::{self, DormantFunction, FunctionRule, FunctionRules, Package};
use crate::goroot::{DESCRIPTION, write_new};
use crate::parse::GoFile;
use crate::splice::{self, Edit};
use crate::weave::{self, PackageSource, RuleReport, Woven};

/// The folder in an entry that holds the woven file.
const KIND: &str = "file";
/// The import path that the go command gives to a package of files.
const GIVEN_FILES: &str = "command-line-arguments";

/// A woven file that stands for another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverlayFile {
    /// Where it lies.
    pub woven: PathBuf,
    /// How it came from the plain text; `None` is an added file.
    pub edits: Option<Vec<Edit>>,
    /// Hash of the plain text.
    pub plain_hash: String,
}

/// What an entry of kind `file` says about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct FileDescription {
    edits: Vec<Edit>,
    warnings: Vec<(usize, String)>,
    spans: Vec<(usize, String)>,
    functions: Vec<DormantFunction>,
}

/// All overlay files of a build, by the path they stand for.
#[derive(Debug, Default)]
pub struct Overlay {
    /// By plain path.
    pub files: BTreeMap<PathBuf, OverlayFile>,
    /// `path:line: text`.
    pub warnings: Vec<String>,
    /// The spans that directives ask for.
    pub spans: Vec<OwnSpan>,
    /// `path` of each function that `functions:` means, and what became of it.
    pub functions: Vec<(PathBuf, DormantFunction)>,
    /// How many of them are woven, by import path.
    pub dormant: BTreeMap<String, usize>,
}

/// A span that a directive asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnSpan {
    /// Import path of its package.
    pub package: String,
    /// The file.
    pub path: PathBuf,
    /// The function's line.
    pub line: usize,
    /// Its name.
    pub name: String,
}

/// The user's own `-overlay`: what stands for which path; an empty path takes the file away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UserOverlay {
    /// Absolute plain paths.
    #[serde(rename = "Replace", default)]
    pub replace: BTreeMap<PathBuf, PathBuf>,
}

impl UserOverlay {
    /// Reads the file; a broken one is the go command's to refuse.
    pub fn read(file: &Path, dir: &Path) -> Option<UserOverlay> {
        let overlay: UserOverlay = serde_json::from_slice(&fs::read(dir.join(file)).ok()?).ok()?;
        let absolute =
            |path: PathBuf| if path.as_os_str().is_empty() { path } else { crate::modfile::clean(&dir.join(path)) };
        Some(UserOverlay {
            replace: overlay.replace.into_iter().map(|(plain, instead)| (absolute(plain), absolute(instead))).collect(),
        })
    }

    /// The text that the go command would see at `path`.
    pub fn text(&self, path: &Path) -> Option<String> {
        weave::read_text(self.replace.get(path).map_or(path, PathBuf::as_path))
    }

    /// What stands for files below `from`, for a copy of that folder at `to` in which some files are `done` already.
    pub fn moved(&self, from: &Path, to: &Path, done: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, PathBuf> {
        let below = self.replace.iter().filter_map(|(plain, instead)| Some((plain.strip_prefix(from).ok()?, instead)));
        below
            .filter(|(path, _)| !done.contains(*path))
            .map(|(path, instead)| (to.join(path), instead.clone()))
            .collect()
    }

    /// The package in `dir`, as the go command would see it.
    pub fn package(&self, dir: &Path) -> PackageSource {
        let inside = self.replace.keys().filter(|path| path.parent() == Some(dir));
        let instead = inside.filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, Some(self.text(path)).filter(|_| !self.replace[path].as_os_str().is_empty()).flatten()))
        });
        PackageSource { dir: dir.to_owned(), instead: instead.collect() }
    }
}

/// Edits that rules make in the packages of the user's tree, by plain path.
#[derive(Debug, Default)]
pub struct RuleEdits {
    /// Edits of files.
    pub edits: BTreeMap<PathBuf, Vec<Edit>>,
    /// Added files.
    pub added: BTreeMap<PathBuf, String>,
}

/// A package weave as it is kept in the cache.
#[derive(Serialize, Deserialize)]
struct KeptWeave {
    edits: BTreeMap<String, BTreeMap<String, Vec<Edit>>>,
    added: BTreeMap<String, BTreeMap<String, String>>,
    reports: Vec<RuleReport>,
}

impl RuleEdits {
    /// Adds what `make` weaves in the packages of `sources`, from the cache when neither they nor the rules have changed.
    pub fn add(
        &mut self,
        cache: &Cache,
        rules: Key,
        sources: &BTreeMap<String, PackageSource>,
        make: impl FnOnce() -> Woven,
    ) -> Result<Vec<RuleReport>, WeaveError> {
        let mut key = rules;
        for (import_path, source) in sources {
            key = weave::package_state(key.text(import_path), source);
        }
        let kept: Option<KeptWeave> = cache.kept("package", &key.name());
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let kept = KeptWeave::from(make());
                cache.keep("package", &key.name(), &kept)?;
                kept
            }
        };
        for (import_path, source) in sources {
            let files = kept.edits.get(import_path).into_iter().flatten();
            self.edits.extend(files.map(|(name, edits)| (source.dir.join(name), edits.clone())));
            let added = kept.added.get(import_path).into_iter().flatten();
            self.added.extend(added.map(|(name, text)| (source.dir.join(name), text.clone())));
        }
        Ok(kept.reports)
    }
}

impl From<Woven> for KeptWeave {
    fn from(woven: Woven) -> KeptWeave {
        let mut kept = KeptWeave { edits: BTreeMap::new(), added: BTreeMap::new(), reports: woven.reports };
        for (path, package) in woven.packages {
            let edits = package.files.into_iter().map(|(name, file)| (name, file.rule_edits)).collect();
            kept.edits.insert(path.clone(), edits);
            kept.added.insert(path, package.added);
        }
        kept
    }
}

/// What a command line and `tandem.yaml` give besides packs and functions.
#[derive(Debug)]
pub struct Given<'a> {
    /// Files that were given one by one.
    pub files: &'a [PathBuf],
    /// Every program can send its spans itself.
    pub standalone: bool,
    /// Packages of modules in the module cache of which `functions:` means functions.
    pub dependencies: &'a BTreeSet<String>,
}

impl Overlay {
    /// Weaves the user's tree: `rule_edits`, and in the folders of `modules` (import path and folder) the directives and
    /// the `functions`; of files that were `given` one by one the directives.
    pub fn build(
        cache: &Cache,
        user: &UserOverlay,
        modules: &[(String, PathBuf)],
        given: &Given<'_>,
        rule_edits: &RuleEdits,
        functions: &FunctionRules,
    ) -> Result<Overlay, WeaveError> {
        let mut overlay = Overlay::default();
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new(); // plain path to import path
        let mut packages: BTreeMap<PathBuf, String> = BTreeMap::new(); // folder to import path
        for (module, dir) in modules {
            for (file, has_directive) in go_files(cache, user, dir)? {
                let package_dir = file.parent().unwrap_or(dir);
                let below = package_dir.strip_prefix(dir).unwrap_or(Path::new(""));
                let import_path =
                    if below.as_os_str().is_empty() { module.clone() } else { format!("{module}/{}", below.display()) };
                let package = Package { import_path: &import_path, dir: package_dir };
                let is_meant = !functions.is_empty() && !is_test(&file) && !functions.for_package(package).is_empty();
                packages.insert(package_dir.to_owned(), import_path.clone());
                if has_directive || is_meant || (given.standalone && may_be_program(user, &file)) {
                    files.insert(file, import_path);
                }
            }
        }
        for file in given.files {
            let has_directive = user.text(file).is_some_and(|text| text.contains("//tandem:"));
            if has_directive || (given.standalone && may_be_program(user, file)) {
                files.entry(file.clone()).or_insert_with(|| GIVEN_FILES.to_owned());
            }
        }
        let own = packages.iter().map(|(dir, import_path)| Package { import_path, dir });
        let others = given.dependencies.iter().map(|path| Package { import_path: path, dir: Path::new("") });
        let packages: Vec<Package<'_>> = own.chain(others).collect();
        overlay.warnings.extend(functions.useless(&packages).map(|pattern| {
            format!(
                "tandem.yaml: functions: {pattern} is no package of this module, of its workspace, or of a module that \
                 it requires"
            )
        }));
        let ignored = ignored_packages(user, files.keys());
        for path in rule_edits.edits.keys() {
            files.entry(path.clone()).or_default();
        }
        for (path, import_path) in &files {
            check_interrupted()?;
            let is_ignored = path.parent().is_some_and(|dir| ignored.contains(dir));
            if !is_ignored {
                let edits = rule_edits.edits.get(path).map_or(&[][..], Vec::as_slice);
                let dir = path.parent().unwrap_or(Path::new(""));
                let rules = functions.for_package(Package { import_path, dir });
                let rules = if is_test(path) { Vec::new() } else { rules };
                let standalone = given.standalone && !is_test(path);
                overlay.add_file(cache, user, path, &Wanted { import_path, edits, rules, standalone })?;
            }
        }
        for (path, text) in &rule_edits.added {
            let name = path.file_name().unwrap_or_default();
            let key = Key::new("added").text(name).text(text);
            let entry = cache.entry(KIND, &key.name(), |work| write_new(&work.join(name), text.as_bytes()))?;
            let file = OverlayFile { woven: entry.join(name), edits: None, plain_hash: String::new() };
            overlay.files.insert(path.clone(), file);
        }
        Ok(overlay)
    }

    fn add_file(
        &mut self,
        cache: &Cache,
        user: &UserOverlay,
        path: &Path,
        wanted: &Wanted<'_>,
    ) -> Result<(), WeaveError> {
        let Some(plain) = user.text(path) else { return Ok(()) };
        if path.to_str().is_none() {
            let problem = "this path is not UTF-8, so it cannot be named in an -overlay; the file is not woven";
            self.warnings.push(format!("{}: {problem}", path.display()));
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let edits_text = serde_json::to_vec(wanted.edits).expect("plain data");
        let key = Key::new("file").text(&name).text(wanted.import_path).text(&plain).bytes(&edits_text);
        // The Debug text of the rules holds every field of them, and nothing else.
        let key = key.text(format!("{:?} {}", wanted.rules, wanted.standalone));
        let entry = cache.entry(KIND, &key.name(), |work| make_file(work, &name, &plain, wanted))?;
        let description = entry.join(DESCRIPTION);
        let text = fs::read(&description).map_err(at("read", &description))?;
        let description: FileDescription =
            serde_json::from_slice(&text).map_err(|error| at("read", &description)(error.into()))?;
        self.warnings
            .extend(description.warnings.into_iter().map(|(line, text)| format!("{}:{line}: {text}", path.display())));
        let own_span =
            |(line, name)| OwnSpan { package: wanted.import_path.to_owned(), path: path.to_owned(), line, name };
        self.spans.extend(description.spans.into_iter().map(own_span));
        let dormant = description.functions.iter().filter(|function| function.left_out.is_none()).count();
        if dormant > 0 {
            *self.dormant.entry(wanted.import_path.to_owned()).or_default() += dormant;
        }
        self.functions.extend(description.functions.into_iter().map(|function| (path.to_owned(), function)));
        if !description.edits.is_empty() {
            let plain_hash = blake3::hash(plain.as_bytes()).to_hex().to_string();
            self.files.insert(
                path.to_owned(),
                OverlayFile { woven: entry.join(&name), edits: Some(description.edits), plain_hash },
            );
        }
        Ok(())
    }
}

/// What is to be woven into a file.
struct Wanted<'a> {
    /// Of its package; empty where only rules of packs are wanted.
    import_path: &'a str,
    /// Of rules of packs.
    edits: &'a [Edit],
    /// Which functions.
    rules: Vec<&'a FunctionRule>,
    /// A file of package main imports what sends the spans.
    standalone: bool,
}

fn make_file(work: &Path, name: &str, plain: &str, wanted: &Wanted<'_>) -> Result<(), WeaveError> {
    let Wanted { import_path, edits, rules, standalone } = wanted;
    let mut description = FileDescription::default();
    let mut edits = edits.to_vec();
    // A file that does not parse is not woven: the go command says best what is wrong with it.
    if let Some(file) = GoFile::parse(plain) {
        if !import_path.is_empty() {
            let directives = directive::spans(&file, name, import_path);
            let dormant = functions::weave(&file, name, import_path, rules);
            description.warnings = directives.warnings;
            description.spans = directives.spans;
            description.functions = dormant.functions;
            edits.extend(directives.edits);
            edits.extend(dormant.edits);
        }
        let is_program = file.package_name().filter(|name| *standalone && file.slice(*name) == "main");
        edits.extend(is_program.map(|name| Edit::insert(name.end_byte(), "; import _ \"tandem/standalone\"")));
        if !edits.is_empty() {
            match weave::finish_edits(plain, edits) {
                Some(edits) => description.edits = edits,
                None => {
                    description.spans.clear();
                    description.functions.clear();
                    description
                        .warnings
                        .push((1, "the spans asked for do not fit together; the file is not woven".into()));
                }
            }
        }
    }
    if !description.edits.is_empty() {
        write_new(&work.join(name), splice::apply(plain, &description.edits).as_bytes())?;
    }
    write_new(&work.join(DESCRIPTION), &serde_json::to_vec(&description).expect("plain data"))
}

/// Folders of which a file says `//tandem:ignore package`.
fn ignored_packages<'a>(user: &UserOverlay, files: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    files
        .filter(|path| {
            let text = user.text(path).unwrap_or_default();
            // The clause is looked for only in files that contain the words.
            text.contains("//tandem:ignore package") && directive::package_is_ignored(&GoFile::parse_leniently(&text))
        })
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect()
}

/// What is known of a file: change time and size, and whether it has a directive.
type Known = (u128, u64, bool);

/// The Go files of a module, and whether they contain a directive; files that have not changed since the last build are not
/// read.
fn go_files(cache: &Cache, user: &UserOverlay, module_dir: &Path) -> Result<BTreeMap<PathBuf, bool>, WeaveError> {
    let name = Key::new("index").text(module_dir).name();
    let known: BTreeMap<String, Known> = cache.kept("index", &name).unwrap_or_default();
    let mut seen: BTreeMap<String, Known> = BTreeMap::new();
    let mut not_text = BTreeMap::new();
    walk(module_dir, module_dir, &known, &mut seen, &mut not_text);
    if seen != known {
        // A file written a moment ago may be written again within the same tick of the clock.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled = now.saturating_sub(Duration::from_secs(2)).as_nanos();
        let mut kept = seen.clone();
        kept.retain(|_, (modified, _, _)| *modified < settled);
        cache.keep("index", &name, &kept)?;
    }
    let mut found: BTreeMap<PathBuf, bool> =
        seen.into_iter().map(|(name, (_, _, has))| (module_dir.join(name), has)).chain(not_text).collect();
    for path in user.replace.keys().filter(|path| path.starts_with(module_dir) && is_go_file(path)) {
        let has_directive = user.text(path).is_some_and(|text| text.contains("//tandem:"));
        found.insert(path.clone(), has_directive);
    }
    Ok(found)
}

/// Whether a file can be one of package main. Only its text says so, for a folder may hold a package and, behind
/// `//go:build ignore`, programs.
fn may_be_program(user: &UserOverlay, path: &Path) -> bool {
    !is_test(path) && user.text(path).is_some_and(|text| text.contains("main"))
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_test.go"))
}

fn is_go_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "go")
}

/// Goes through the folders of a module. What has a name that is not UTF-8 goes into `not_text`.
fn walk(
    root: &Path,
    dir: &Path,
    known: &BTreeMap<String, Known>,
    seen: &mut BTreeMap<String, Known>,
    not_text: &mut BTreeMap<PathBuf, bool>,
) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if name.as_encoded_bytes().starts_with(b".") || name.as_encoded_bytes().starts_with(b"_") {
            continue;
        }
        if kind.is_dir() {
            let is_skipped = name == "testdata" || name == "vendor" || path.join("go.mod").is_file();
            if !is_skipped {
                walk(root, &path, known, seen, not_text);
            }
            continue;
        }
        let Some(metadata) = is_go_file(&path).then(|| fs::metadata(&path).ok()).flatten() else { continue };
        // Reading a pipe or a device would not end.
        if !metadata.is_file() {
            continue;
        }
        let read = || fs::read(&path).is_ok_and(|text| contains(&text, b"//tandem:"));
        let Some(relative) = path.strip_prefix(root).unwrap_or(&path).to_str().map(str::to_owned) else {
            not_text.insert(path.clone(), read());
            continue;
        };
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
            .unwrap_or_default();
        let (modified, size) = (modified.as_nanos(), metadata.len());
        let has_directive = match known.get(&relative) {
            Some((known_time, known_size, has)) if *known_time == modified && *known_size == size => *has,
            _ => read(),
        };
        seen.insert(relative, (modified, size, has_directive));
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
