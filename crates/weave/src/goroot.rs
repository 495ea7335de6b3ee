//! The shadow GOROOT: real folders whose files are second names of the real tree's, except files that are woven or added,
//! `tandem/rt` and `tandem/standalone` (ours) and the tools (wrappers beside links).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::alike;
use crate::cache::{Cache, Key, check_interrupted, link_or_copy};
use crate::embedded;
use crate::env::quoted;
use crate::error::{WeaveError, at};
use crate::overlay::UserOverlay;
use crate::reuse::REFUSING_TOOL;
use crate::runtime_patch;
use crate::splice::Edit;
use crate::tool;
use crate::trial;
use crate::types::Imported;
use crate::version::ReleaseVersion;
use crate::weave::{self, Input, Outcome, RuleOf, RuleReport, Woven};

/// Name of the description at the root of the shadow tree.
pub const DESCRIPTION: &str = "tandem.json";

/// Tools in whose place the shadow tree has a link to the tandem binary.
pub const WRAPPED_TOOLS: [&str; 4] = ["asm", "compile", "cover", "link"];

/// The go command that finds the shadow tree, below its root.
pub const WOVEN_GO: &str = "libexec/go";

/// The newest Go whose runtime and standard library the packs were made for.
pub const NEWEST_KNOWN_GO: (u64, u64) = (1, 27);

/// The Go installation that is shadowed.
#[derive(Debug, Clone)]
pub struct RealGo {
    /// `go env GOROOT`.
    pub root: PathBuf,
    /// `go env GOVERSION`.
    pub version_text: String,
    /// The same, parsed.
    pub version: ReleaseVersion,
    /// `go env GOTOOLDIR`.
    pub tool_dir: PathBuf,
    /// What is built for: `linux/amd64`.
    pub platform: String,
}

impl RealGo {
    /// Whether the rules were made for a Go like this one.
    pub fn is_known(&self) -> bool {
        self.version.language() <= NEWEST_KNOWN_GO
    }
}

/// Edits of each woven file, by path below the root; `None` is an added file.
type EditsByFile = BTreeMap<PathBuf, Option<Vec<Edit>>>;

/// What differs from the real tree, written at the root of the shadow tree.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    /// The tree that is shadowed.
    pub real_root: PathBuf,
    /// `go1.26.8`.
    pub go_version: String,
    /// Edits of each woven file, by path below the root; `None` is an added file.
    pub files: BTreeMap<PathBuf, Option<Vec<Edit>>>,
    /// What became of the rules for the standard library.
    pub reports: Vec<RuleReport>,
    /// Why nothing can be woven with this Go; then there is no tree.
    #[serde(default)]
    pub unusable: Option<String>,
}

impl Description {
    fn of(go: &RealGo, reports: Vec<RuleReport>) -> Description {
        let (real_root, go_version) = (go.root.clone(), go.version_text.clone());
        Description { real_root, go_version, files: BTreeMap::new(), reports, unusable: None }
    }
}

/// A shadow GOROOT that is ready for use.
#[derive(Debug)]
pub struct ShadowRoot {
    /// Its folder.
    pub dir: PathBuf,
    /// What differs.
    pub description: Description,
}

/// Whether an import path belongs to the standard library: its first element has no dot.
pub fn is_standard(import_path: &str) -> bool {
    !import_path.split('/').next().unwrap_or_default().contains('.')
}

impl ShadowRoot {
    /// The tree for this Go and these packs; made if it is not in the cache.
    /// `rules` are those whose target is in the standard library, which the user's overlay may change.
    pub fn get(
        cache: &Cache,
        go: &RealGo,
        rules: &[RuleOf<'_>],
        user: &UserOverlay,
        wrapper: &Path,
    ) -> Result<ShadowRoot, WeaveError> {
        let version_file = go.root.join("VERSION");
        let mut key = Key::new("goroot").text(&go.root).text(&go.version_text).text(wrapper);
        key = weave::rules_state(key.bytes(&fs::read(&version_file).unwrap_or_default()), rules);
        if !go.is_known() {
            key = key.text(&go.platform); // for which it is tried
        }
        for target in targets(rules) {
            let dir = go.root.join("src").join(target);
            key = folder_state(key, &dir);
            key = user
                .package(&dir)
                .instead
                .iter()
                .fold(key, |key, (name, text)| key.text(name).text(format!("{text:?}")));
        }
        let dir = cache.entry("goroot", &key.name(), |work| make(cache, work, go, rules, user, wrapper))?;
        let path = dir.join(DESCRIPTION);
        let text = fs::read(&path).map_err(at("read", &path))?;
        let description: Description =
            serde_json::from_slice(&text).map_err(|error| at("read", &path)(error.into()))?;
        match description.unusable {
            Some(reason) => Err(WeaveError::UnknownRuntime { version: go.version_text.clone(), reason }),
            None => Ok(ShadowRoot { dir, description }),
        }
    }
}

fn targets<'a>(rules: &[RuleOf<'a>]) -> Vec<&'a str> {
    let mut targets: Vec<&str> = rules.iter().map(|of| of.rule.target.as_str()).collect();
    targets.push("runtime");
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Names, sizes and times of the files of a folder: somebody may have patched their Go.
fn folder_state(mut key: Key, dir: &Path) -> Key {
    let Ok(entries) = fs::read_dir(dir) else { return key };
    let mut states: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(format!("{} {} {}", entry.file_name().to_string_lossy(), metadata.len(), modified.as_nanos()))
        })
        .collect();
    states.sort();
    for state in states {
        key = key.text(state);
    }
    key
}

fn make(
    cache: &Cache,
    work: &Path,
    go: &RealGo,
    standard_rules: &[RuleOf<'_>],
    user: &UserOverlay,
    wrapper: &Path,
) -> Result<(), WeaveError> {
    let linkable = linkable_root(cache, go)?;
    let mut refused: BTreeMap<String, String> = BTreeMap::new(); // packages that do not compile, and why
    loop {
        let woven = weave_root(go, standard_rules, user, &refused)?;
        let slot = woven.reports.iter().find(|report| report.rule == runtime_patch::SLOT_RULE);
        let outcome = slot.map(|report| &report.outcome);
        if let Some(Outcome::NotFound { reason } | Outcome::OutOfRange { reason }) = outcome {
            let unusable = Some(reason.clone());
            return describe(work, Description { unusable, ..Description::of(go, woven.reports) });
        }
        if refused.is_empty() {
            link_tree(&go.root, &linkable, work)?;
            link_commands(go, work, wrapper)?;
            link_tools(go, work, wrapper)?;
        }
        let (files, texts) = changed_files(&woven);
        for (path, text) in &texts {
            check_interrupted()?;
            write_new(&work.join(path), text.as_bytes())?;
        }
        let description = Description { files, ..Description::of(go, woven.reports) };
        let changed: Vec<PathBuf> = description.files.keys().cloned().collect();
        describe(work, description)?;
        if go.is_known() {
            return Ok(());
        }
        let broken = trial::compile(work, woven.packages.keys().map(String::as_str))?;
        let Some((first, reason)) = broken.iter().next() else { return Ok(()) };
        let essential = ["runtime", "tandem/rt"].iter().find_map(|package| broken.get(*package));
        let is_new = broken.keys().any(|package| woven.packages.contains_key(package));
        if let Some(reason) = essential.or((!is_new).then_some(reason)) {
            let unusable = Some(if essential.is_some() { reason.clone() } else { format!("{first}: {reason}") });
            return describe(work, Description { unusable, ..Description::of(go, Vec::new()) });
        }
        restore(&linkable, work, &changed)?;
        refused.extend(broken);
    }
}

/// The runtime, with its patch, and the packages of the rules.
fn weave_root(
    go: &RealGo,
    standard_rules: &[RuleOf<'_>],
    user: &UserOverlay,
    refused: &BTreeMap<String, String>,
) -> Result<Woven, WeaveError> {
    let runtime2 = go.root.join("src/runtime/runtime2.go");
    let runtime2 = fs::read_to_string(&runtime2).map_err(at("read", &runtime2))?;
    let patch = runtime_patch::pack(&runtime2, &go.version)?;
    let (broken, standard_rules): (Vec<RuleOf<'_>>, Vec<RuleOf<'_>>) =
        standard_rules.iter().partition(|of| refused.contains_key(&of.rule.target));
    let mut rules: Vec<RuleOf<'_>> = patch.rules.iter().map(|rule| RuleOf { pack: &patch, rule }).collect();
    rules.extend(standard_rules);
    let source = |target: &str| {
        let dir = go.root.join("src").join(target);
        dir.is_dir().then(|| (target.to_owned(), user.package(&dir)))
    };
    let mut woven = weave::weave(&Input {
        sources: rules.iter().filter_map(|of| source(&of.rule.target)).collect(),
        rules,
        go: &go.version,
        version_label: go.version_text.clone(),
        module_version: None,
        matched_elsewhere: Default::default(),
        imported: &Imported { root: go.root.clone(), modules: Vec::new() },
    });
    woven.reports.extend(broken.into_iter().map(|of| {
        let reason = format!("does not compile with {}: {}", go.version_text, refused[&of.rule.target]);
        weave::report(of, Outcome::NotFound { reason })
    }));
    Ok(woven)
}

/// Files that are not the real tree's, by path below the root: edits (none for an added file), and text.
fn changed_files(woven: &Woven) -> (EditsByFile, BTreeMap<PathBuf, String>) {
    let mut files = EditsByFile::new();
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (import_path, package) in &woven.packages {
        let dir = Path::new("src").join(import_path);
        for (name, file) in &package.files {
            files.insert(dir.join(name), Some(file.edits.clone()));
            texts.insert(dir.join(name), file.text());
        }
        for (name, text) in &package.added {
            files.insert(dir.join(name), None);
            // go knows objects by what they were compiled from. What the wrapper makes of one belongs to it.
            texts.insert(dir.join(name), format!("{text}\n// Objects: {}\n", alike::FORM));
        }
    }
    for (package, sources) in [
        ("src/tandem/rt", embedded::RT_FILES),
        ("src/tandem/standalone", embedded::STANDALONE_FILES),
        ("src/tandem", embedded::LIB_FILES),
    ] {
        for (name, bytes) in sources {
            let path = Path::new(package).join(name);
            files.insert(path.clone(), None);
            texts.insert(path, String::from_utf8_lossy(bytes).into_owned());
        }
    }
    (files, texts)
}

/// Puts the real files back.
fn restore(linkable: &Path, work: &Path, changed: &[PathBuf]) -> Result<(), WeaveError> {
    for path in changed {
        let (real, place) = (linkable.join(path), work.join(path));
        fs::remove_file(&place).map_err(at("remove", &place))?;
        if real.exists() {
            link_or_copy(&real, &place).map_err(at("create", &place))?;
        }
    }
    Ok(())
}

fn describe(work: &Path, description: Description) -> Result<(), WeaveError> {
    write_new(&work.join(DESCRIPTION), &serde_json::to_vec(&description).expect("plain data"))
}

/// Puts a file in place of a link to the real one; the real one is never written through.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), WeaveError> {
    let parent = path.parent().expect("a file has a folder");
    fs::create_dir_all(parent).map_err(at("create", parent))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at("replace", path)(error)),
        _ => {}
    }
    fs::write(path, content).map_err(at("write", path))
}

/// Links for everything but `bin` and `pkg/tool`; folders of packages are real, so that patterns like `std` find them.
fn link_tree(real: &Path, linkable: &Path, shadow: &Path) -> Result<(), WeaveError> {
    for name in names(real)? {
        match name.to_string_lossy().as_ref() {
            "src" => link_sources(linkable, shadow, Path::new("src"))?,
            "pkg" => {
                let pkg = shadow.join("pkg");
                fs::create_dir_all(&pkg).map_err(at("create", &pkg))?;
                for name in names(&real.join("pkg"))?.into_iter().filter(|name| name != "tool") {
                    link(&real.join("pkg").join(&name), &pkg.join(&name))?;
                }
            }
            "bin" => {}
            _ => link(&real.join(&name), &shadow.join(&name))?,
        }
    }
    Ok(())
}

/// Second names for the files of packages. A symbolic link would do for the compiler, but the go command keeps no index
/// of a folder that contains one, and does not embed one: it would read all of `src` again in each build.
fn link_sources(from: &Path, shadow: &Path, below: &Path) -> Result<(), WeaveError> {
    check_interrupted()?;
    let to = shadow.join(below);
    fs::create_dir_all(&to).map_err(at("create", &to))?;
    let is_test_data = below.file_name().is_some_and(|name| name == "testdata");
    let dir = from.join(below);
    for entry in fs::read_dir(&dir).map_err(at("read", &dir))?.flatten() {
        let (file, to) = (entry.path(), to.join(entry.file_name()));
        // In `testdata` are no packages. A symbolic link costs fifty times what a second name does.
        let is_leaf = is_test_data || below.join(entry.file_name()) == Path::new("src/cmd");
        match is_folder(&entry) {
            true if is_leaf => link(&file, &to)?,
            true => link_sources(from, shadow, &below.join(entry.file_name()))?,
            false => link_or_copy(&file, &to).map_err(at("create", &to))?,
        }
    }
    Ok(())
}

/// The folder whose files can get second names in the cache: the real tree, or, where that lies on another disk or
/// belongs to somebody else, one copy of its packages that all shadow trees share.
fn linkable_root(cache: &Cache, go: &RealGo) -> Result<PathBuf, WeaveError> {
    let probe = cache.scratch()?;
    let source = go.root.join("src/runtime/proc.go");
    if fs::canonicalize(&source).and_then(|source| fs::hard_link(source, probe.path().join("probe"))).is_ok() {
        return Ok(go.root.clone());
    }
    let key = tree_state(Key::new("source").text(&go.root), &go.root.join("src"))?;
    cache.entry("source", &key.name(), |work| link_sources(&go.root, work, Path::new("src")))
}

fn tree_state(key: Key, dir: &Path) -> Result<Key, WeaveError> {
    let mut key = folder_state(key.text(dir), dir);
    for name in names(dir)?.into_iter().filter(|name| name != "testdata" && name != "cmd") {
        if dir.join(&name).is_dir() {
            key = tree_state(key, &dir.join(&name))?;
        }
    }
    Ok(key)
}

/// The commands in `bin`: links. But for `go`: tests find that one in front of their `PATH`, and are to find the plain one.
/// The one that weaves lies where it takes the shadow tree for its own without being told.
fn link_commands(go: &RealGo, shadow: &Path, wrapper: &Path) -> Result<(), WeaveError> {
    let (real, bin) = (go.root.join("bin"), shadow.join("bin"));
    fs::create_dir_all(&bin).map_err(at("create", &bin))?;
    for name in names(&real)?.into_iter().filter(|name| name != "go") {
        link(&real.join(&name), &bin.join(&name))?;
    }
    let plain = bin.join("go");
    let mut script = b"#!/bin/sh\nexec ".to_vec();
    script.extend(quoted(wrapper.as_os_str()));
    script.extend_from_slice(format!(" {} ", tool::PROGRAM).as_bytes());
    script.extend(quoted(real.join("go").as_os_str()));
    script.extend_from_slice(b" \"$@\"\n");
    write_new(&plain, &script)?;
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).map_err(at("write", &plain))?;
    let woven = shadow.join(WOVEN_GO);
    let dir = woven.parent().expect("it has a folder");
    fs::create_dir_all(dir).map_err(at("create", dir))?;
    link(wrapper, &shadow.join(REFUSING_TOOL))?;
    link_or_copy(&real.join("go"), &woven).map_err(at("create", &woven))
}

/// The host's tools: links, and wrappers under the names in `WRAPPED_TOOLS`.
fn link_tools(go: &RealGo, shadow: &Path, wrapper: &Path) -> Result<(), WeaveError> {
    let relative = go.tool_dir.strip_prefix(&go.root).unwrap_or(Path::new("pkg/tool"));
    let dir = shadow.join(relative);
    fs::create_dir_all(&dir).map_err(at("create", &dir))?;
    for name in names(&go.tool_dir)? {
        let is_wrapped = WRAPPED_TOOLS.iter().any(|tool| name == *tool);
        let target = if is_wrapped { wrapper.to_owned() } else { go.tool_dir.join(&name) };
        link(&target, &dir.join(&name))?;
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<OsString>, WeaveError> {
    let entries = fs::read_dir(dir).map_err(at("read", dir))?;
    Ok(entries.flatten().map(|entry| entry.file_name()).collect())
}

/// Whether it is a folder, or leads to one.
fn is_folder(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
}

fn link(from: &Path, to: &Path) -> Result<(), WeaveError> {
    symlink(from, to).map_err(at("create", to))
}
