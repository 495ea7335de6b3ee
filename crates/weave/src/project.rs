//! The user's project as the go command sees it: which go.mod and go.work count, whether vendor/ is used, and where the
//! source of the modules that packs name lies *after* the user's replaces.
//!
//! Answers of `go list -m` are cached by all that they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::cache::{Cache, Key};
use crate::error::WeaveError;
use crate::go::GoEnv;
use crate::modfile::{self, clean, first_words, module_path};

/// Where the go command takes the code of other modules from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Not in a module.
    NoModule,
    /// One module, dependencies from the module cache.
    Module,
    /// A workspace, dependencies from the module cache.
    Workspace,
    /// Dependencies from this vendor folder.
    Vendor(PathBuf),
}

/// The project.
#[derive(Debug, Clone)]
pub struct Project {
    /// What is used.
    pub layout: Layout,
    /// The go.mod that counts (`-modfile` or `go env GOMOD`).
    pub module_file: PathBuf,
    /// `go env GOWORK`.
    pub work_file: Option<PathBuf>,
    /// The user's modules: path and folder. The first is the main module, or the workspace's first.
    pub own_modules: Vec<(String, PathBuf)>,
    /// Every folder of the user's own code, with the import path of its module: own modules, and folders that replace
    /// others, or what was vendored from those.
    pub own_folders: Vec<(String, PathBuf)>,
    /// Folder in which `tandem.yaml` is looked for.
    pub root: PathBuf,
    /// Whether the build may change go.mod (`-mod=mod`).
    may_change: bool,
}

/// A module whose source may be woven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Path in the go.mod files.
    pub path: String,
    /// Version in the build list.
    pub version: String,
    /// Where the effective source lies.
    pub dir: PathBuf,
    /// `h1:` sum of the module, or of its replacement.
    pub sum: String,
    /// What the user's go.mod replaces it with: path and version (empty for a folder).
    pub replacement: Option<(String, String)>,
}

impl Module {
    /// Whether the source is a folder of the user's.
    pub fn is_local(&self) -> bool {
        self.replacement.as_ref().is_some_and(|(_, version)| version.is_empty())
    }

    /// The version by which rules are chosen. A fork's own says nothing of what it was forked from; the one that it
    /// stands for does.
    pub fn effective_version(&self) -> &str {
        match &self.replacement {
            Some((path, version)) if !version.is_empty() && *path == self.path => version,
            _ => &self.version,
        }
    }
}

/// Whether the module lies where its path is not UTF-8: the go command itself replaces what is not, in all that it says.
pub fn is_garbled(env: &GoEnv) -> bool {
    let is_garbled = |path: &str| path.contains(char::REPLACEMENT_CHARACTER) && !Path::new(path).exists();
    is_garbled(env.get("GOMOD")) || is_garbled(env.get("GOWORK"))
}

impl Project {
    /// Looks at what `go env` says in `dir`.
    pub fn read(env: &GoEnv, arguments: &Arguments, dir: &Path) -> Project {
        let go_mod = PathBuf::from(env.get("GOMOD"));
        let work_file = Some(PathBuf::from(env.get("GOWORK"))).filter(|path| path.is_absolute());
        let has_module = go_mod.is_absolute() && go_mod != Path::new("/dev/null");
        let (has_module, work_file) = if is_garbled(env) { (false, None) } else { (has_module, work_file) };
        if arguments.is_outside_module() || (!has_module && work_file.is_none()) {
            let root = dir.to_owned();
            return Project {
                layout: Layout::NoModule,
                module_file: PathBuf::new(),
                work_file: None,
                own_modules: Vec::new(),
                own_folders: Vec::new(),
                root,
                may_change: false,
            };
        }
        let module_file = arguments.module_file.as_ref().map_or_else(|| go_mod.clone(), |file| dir.join(file));
        let own_modules = match &work_file {
            Some(work) => first_words(&read(work), "use").into_iter().map(|used| work_dir(work).join(used)).collect(),
            None => vec![go_mod.parent().unwrap_or(dir).to_owned()],
        };
        let manifest = |dir: &Path| if work_file.is_some() { dir.join("go.mod") } else { module_file.clone() };
        let own_modules: Vec<(String, PathBuf)> =
            own_modules.into_iter().map(|dir| (module_path(&read(&manifest(&dir))), clean(&dir))).collect();
        let root = work_file.as_deref().map_or_else(|| own_modules[0].1.clone(), |work| work_dir(work).to_owned());
        let (layout, own_folders) = (Layout::Module, Vec::new());
        let may_change = arguments.module_mode.as_deref() == Some("mod");
        let mut project = Project { layout, module_file, work_file, own_modules, own_folders, root, may_change };
        project.layout = project.layout(arguments);
        project.own_folders = project.own_folders();
        project
    }

    fn layout(&self, arguments: &Arguments) -> Layout {
        let vendor = self.root.join("vendor");
        let uses_vendor = match arguments.module_mode.as_deref() {
            Some(mode) => mode == "vendor",
            None => vendor.is_dir() && self.vendors_by_default(&vendor),
        };
        match (uses_vendor, &self.work_file) {
            (true, _) => Layout::Vendor(vendor),
            (false, Some(_)) => Layout::Workspace,
            (false, None) => Layout::Module,
        }
    }

    /// As the go command decides: by the `go` line, and by whom the folder was made for.
    fn vendors_by_default(&self, vendor: &Path) -> bool {
        let for_workspace =
            read(&vendor.join("modules.txt")).lines().next().is_some_and(|line| line.starts_with("## workspace"));
        let file = self.work_file.as_ref().unwrap_or(&self.module_file);
        let oldest = if self.work_file.is_some() { (1, 22) } else { (1, 14) };
        let language = first_words(&read(file), "go").first().and_then(|go| crate::version::ReleaseVersion::parse(go));
        for_workspace == self.work_file.is_some() && language.is_some_and(|go| go.language() >= oldest)
    }

    /// The user's modules that packs name: a library's own developers, and whoever has a fork in a workspace.
    pub fn own_modules_of(&self, wanted: &BTreeSet<&str>) -> Vec<Module> {
        let is_wanted = |(path, _): &&(String, PathBuf)| wanted.contains(path.as_str());
        let as_module = |(path, dir): &(String, PathBuf)| Module {
            path: path.clone(),
            version: "(devel)".into(),
            dir: dir.clone(),
            sum: String::new(),
            replacement: Some((dir.to_string_lossy().into_owned(), String::new())),
        };
        self.own_modules.iter().filter(is_wanted).map(as_module).collect()
    }

    /// Files on which the build list depends.
    fn manifests(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::from([self.module_file.clone(), self.module_file.with_extension("sum")]);
        if let Some(work) = &self.work_file {
            files.extend([work.clone(), work.with_extension("work.sum")]);
        }
        for (_, dir) in &self.own_modules {
            files.extend([dir.join("go.mod"), dir.join("go.sum")]);
        }
        if let Layout::Vendor(vendor) = &self.layout {
            files.insert(vendor.join("modules.txt"));
        }
        files.extend(self.replacing_folders().into_iter().map(|(_, dir)| dir.join("go.mod")));
        files
    }

    /// The paths of all modules of which a go.mod, go.sum or go.work speaks.
    pub fn mentioned(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for file in self.manifests() {
            let text = read(&file);
            let lines = text.lines().map(|line| line.trim().trim_start_matches("require ").trim_start_matches("# "));
            let modules = lines.filter_map(|line| line.split_once(' ')).filter(|(_, rest)| rest.starts_with('v'));
            found.extend(modules.map(|(path, _)| path.trim_matches('"').to_owned()));
        }
        found
    }

    /// Modules that the user replaces by a folder, with the folder.
    fn replacing_folders(&self) -> Vec<(String, PathBuf)> {
        let in_module = |(_, dir): &(String, PathBuf)| {
            let file = if self.work_file.is_some() { dir.join("go.mod") } else { self.module_file.clone() };
            (dir.clone(), read(&file))
        };
        let in_work_file = self.work_file.iter().map(|file| (work_dir(file).to_owned(), read(file)));
        let manifests = in_work_file.chain(self.own_modules.iter().map(in_module));
        let folders = manifests.flat_map(|(base, text)| {
            let found = modfile::replaced_by_folders(&text).into_iter();
            found.map(move |(path, folder)| (path, clean(&base.join(folder))))
        });
        folders.collect()
    }

    fn own_folders(&self) -> Vec<(String, PathBuf)> {
        let mut folders = self.own_modules.clone();
        for (path, dir) in self.replacing_folders() {
            let dir = if let Layout::Vendor(vendor) = &self.layout { vendor.join(&path) } else { dir };
            if dir.is_dir() && !folders.iter().any(|(_, known)| *known == dir) {
                folders.push((path, dir));
            }
        }
        folders
    }

    /// The modules of `wanted` that the build takes code from; cached.
    pub fn modules(
        &self,
        go: &Path,
        env: &GoEnv,
        cache: &Cache,
        wanted: &BTreeSet<&str>,
        dir: &Path,
    ) -> Result<Vec<Module>, WeaveError> {
        if self.layout == Layout::NoModule || wanted.is_empty() {
            return Ok(Vec::new());
        }
        let manifests: Vec<(PathBuf, String)> = self
            .manifests()
            .into_iter()
            .map(|file| {
                let text = read(&file);
                (file, text)
            })
            .collect();
        let is_mentioned = |module: &str| manifests.iter().any(|(_, text)| text.contains(module));
        let wanted: Vec<&str> = wanted.iter().copied().filter(|module| is_mentioned(module)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if let Layout::Vendor(vendor) = &self.layout {
            return Ok(vendored_modules(vendor, &wanted));
        }
        let mut key = Key::new("modules").text(format!("{wanted:?} {}", self.may_change)).text(dir);
        for (file, text) in &manifests {
            key = key.text(file).text(text);
        }
        for name in ["GOVERSION", "GOFLAGS", "GOMODCACHE", "GOPATH", "GOEXPERIMENT"] {
            key = key.text(env.get(name));
        }
        let known: Option<Vec<Module>> = cache.kept("modules", &key.name());
        if let Some(modules) = known.filter(|modules| modules.iter().all(|module| module.dir.is_dir())) {
            return Ok(modules);
        }
        let modules = self.ask(go, cache, &wanted, &manifests, dir)?;
        cache.keep("modules", &key.name(), &modules)?;
        Ok(modules)
    }

    /// `go list -m`, on copies of go.mod and go.sum so that it cannot change them. A refusal gives no modules: the build
    /// itself will be refused for the same reason, in go's own words.
    fn ask(
        &self,
        go: &Path,
        cache: &Cache,
        wanted: &[&str],
        manifests: &[(PathBuf, String)],
        dir: &Path,
    ) -> Result<Vec<Module>, WeaveError> {
        let copy = cache.scratch()?;
        // Beside a vendor folder the go command would ask that.
        let mut flags = vec![if self.may_change { "-mod=mod" } else { "-mod=readonly" }.to_owned()];
        if self.layout == Layout::Module {
            modfile::copy_module_file(&self.module_file, copy.path(), &[])?;
            flags.push(format!("-modfile={}", copy.path().join("go.mod").display()));
        }
        let work_copy = copy.path().join("go.work");
        if let Some(work) = self.work_file.as_ref().filter(|_| self.layout == Layout::Workspace) {
            modfile::copy_work_file(work, &work_copy, &[])?;
        }
        let go_list = |arguments: &[String]| {
            let mut command = Command::new(go);
            command.arg("list").args(["-m", "-e", "-json"]).args(&flags).args(arguments).current_dir(dir);
            if work_copy.is_file() {
                command.env("GOWORK", &work_copy);
            }
            command.output().map_err(|error| WeaveError::GoBroken {
                command: format!("{} list -m", go.display()),
                problem: error.to_string(),
            })
        };
        let wanted_words: Vec<String> = wanted.iter().map(|module| (*module).to_owned()).collect();
        let mut listed = listed_modules(&go_list(&wanted_words)?.stdout);
        // Code that the build needs (its sum is in go.sum) and that is not in the module cache yet.
        let is_needed = |module: &ListedModule| {
            let (path, version) = module.effective();
            manifests
                .iter()
                .any(|(_, text)| text.lines().any(|line| line.starts_with(&format!("{path} {version} h1:"))))
        };
        let missing: Vec<String> = listed
            .iter()
            .filter(|module| module.dir().is_none() && is_needed(module))
            .map(|module| format!("{}@{}", module.effective().0, module.effective().1))
            .collect();
        if !missing.is_empty() {
            let mut command = Command::new(go);
            command.args(["mod", "download"]).args(&flags[1..]).args(&missing).current_dir(dir);
            if work_copy.is_file() {
                command.env("GOWORK", &work_copy);
            }
            command.output().map_err(|error| WeaveError::GoBroken {
                command: format!("{} mod download", go.display()),
                problem: error.to_string(),
            })?;
            listed = listed_modules(&go_list(&wanted_words)?.stdout);
        }
        let sum_of = |module: &ListedModule| {
            let (path, version) = module.effective();
            let start = format!("{path} {version} ");
            let lines = manifests.iter().flat_map(|(_, text)| text.lines());
            lines.filter_map(|line| line.strip_prefix(start.as_str())).next().unwrap_or_default().to_owned()
        };
        let is_own =
            |module: &ListedModule| module.main || self.own_modules.iter().any(|(path, _)| *path == module.path);
        let with_source = listed.iter().filter(|module| !is_own(module) && module.dir().is_some());
        Ok(with_source
            .map(|module| Module {
                path: module.path.clone(),
                version: module.version.clone(),
                dir: module.dir().map(Path::to_owned).expect("filtered by it"),
                sum: sum_of(module),
                replacement: module.replace.as_ref().map(|replace| (replace.path.clone(), replace.version.clone())),
            })
            .collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedModule {
    path: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    main: bool,
    dir: Option<PathBuf>,
    replace: Option<Box<ListedModule>>,
}

impl ListedModule {
    fn dir(&self) -> Option<&Path> {
        self.replace
            .as_ref()
            .and_then(|replace| replace.dir.as_deref())
            .or(self.dir.as_deref())
            .filter(|dir| !dir.as_os_str().is_empty())
    }

    /// Path and version of the code that is used.
    fn effective(&self) -> (&str, &str) {
        self.replace.as_ref().map_or((&self.path, &self.version), |replace| (&replace.path, &replace.version))
    }
}

fn listed_modules(json: &[u8]) -> Vec<ListedModule> {
    serde_json::Deserializer::from_slice(json).into_iter().map_while(Result::ok).collect()
}

/// Modules in `vendor/modules.txt`: `# path version` or `# path version => path version`.
fn vendored_modules(vendor: &Path, wanted: &[&str]) -> Vec<Module> {
    let text = read(&vendor.join("modules.txt"));
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((path, rest)) = words.split_first() else { continue };
        let dir = vendor.join(path);
        if !wanted.contains(path) || !dir.is_dir() {
            continue;
        }
        let arrow = rest.iter().position(|word| *word == "=>");
        let replacement = arrow
            .and_then(|at| rest.get(at + 1))
            .map(|path| ((*path).to_owned(), arrow.and_then(|at| rest.get(at + 2)).unwrap_or(&"").to_string()));
        let version = rest.first().filter(|word| **word != "=>").unwrap_or(&"").to_string();
        // Behind the modules stand the replacements that name no version, once more.
        found.entry(*path).or_insert(Module {
            path: (*path).to_owned(),
            version,
            dir,
            sum: String::new(),
            replacement,
        });
    }
    found.into_values().collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn work_dir(work_file: &Path) -> &Path {
    work_file.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_modules_txt() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for path in ["a.com/x", "a.com/y"] {
            fs::create_dir_all(dir.path().join(path)).expect("writable");
        }
        let text = "# a.com/x v1.2.0\n## explicit\na.com/x\n# a.com/y v1.0.0 => b.com/y v1.1.0\n# a.com/z => ./z\n# a.com/x => ./x\n";
        fs::write(dir.path().join("modules.txt"), text).expect("writable");
        let modules = vendored_modules(dir.path(), &["a.com/x", "a.com/y", "a.com/z"]);
        assert_eq!(modules.iter().map(|module| module.effective_version()).collect::<Vec<_>>(), ["v1.2.0", "v1.0.0"]);
    }
}
