//! Where the packs of a build come from: the embedded ones, folders in `$TANDEM_PACKS`, and those that tandem.yaml names,
//! folders or Go modules. A module is fetched by the go command with the person's own proxy and checksum settings, beside
//! their project: nothing of theirs is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::arguments::Arguments;
use crate::cache::{Cache, Key};
use crate::error::{WeaveError, at};
use crate::go::{self, GoEnv};
use crate::pack::{Pack, PackError, PackSet};
use crate::plan::{Configuration, STANDALONE_PACK};
use crate::project::Project;

/// Where the cache keeps the folders of modules that were fetched.
const KIND: &str = "pack";

/// Everything that a search for packs needs.
pub struct Searcher<'a> {
    /// The go command.
    pub go: &'a Path,
    /// What it says of its environment.
    pub env: &'a GoEnv,
    /// The cache folder.
    pub cache: &'a Cache,
    /// The user's project.
    pub project: &'a Project,
    /// Where the go command works.
    pub dir: &'a Path,
}

/// The packs of a build in `dir`, with the rules that it leaves out because they are off by default.
pub fn packs_in(dir: &Path) -> Result<PackSet, WeaveError> {
    let (mut set, _, configuration) = known_in(dir)?;
    set.disable(&configuration.disable);
    Ok(set)
}

/// All packs that a build in `dir` could have, whatever its `tandem.yaml` leaves out; and the project and what that file says.
pub fn known_in(dir: &Path) -> Result<(PackSet, Project, Configuration), WeaveError> {
    let go = go::find_go()?;
    let env = GoEnv::read(&go, dir)?;
    let mut arguments = Arguments::read(&["build".into()]);
    arguments.add_defaults(env.get("GOFLAGS"));
    let project = Project::read(&env, &arguments, dir);
    let cache = Cache::open()?;
    let searcher = Searcher { go: &go, env: &env, cache: &cache, project: &project, dir };
    let configuration = Configuration::read(&project.root)?;
    let set = searcher.all_packs(&configuration)?;
    Ok((set, project, configuration))
}

/// Folders in `$TANDEM_PACKS`, separated as in `PATH`.
fn folders_in_environment() -> Vec<PathBuf> {
    let folders = std::env::var_os("TANDEM_PACKS").unwrap_or_default();
    std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()).collect()
}

/// What tandem.yaml means by one item of `packs:`.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    Folder(&'a str),
    /// A package path, and the version if there is one.
    Module(&'a str, Option<&'a str>),
}

impl Named<'_> {
    /// As import paths of other modules do, a module's path has a dot in its first element, and a folder's has not.
    fn read(entry: &str) -> Named<'_> {
        let first = entry.split('/').next().unwrap_or_default();
        let is_module = first.contains('.') && !first.starts_with('.') && !entry.starts_with('/');
        match entry.split_once('@') {
            _ if !is_module => Named::Folder(entry),
            Some((path, version)) => Named::Module(path, Some(version)),
            None => Named::Module(entry, None),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: Option<PathBuf>,
    /// Given as soon as there is such a module.
    info: Option<PathBuf>,
    error: Option<String>,
}

impl Searcher<'_> {
    /// What is woven, in the order in which it is applied.
    pub fn packs(&self, configuration: &Configuration) -> Result<PackSet, WeaveError> {
        let mut set = self.all_packs(configuration)?;
        // Whoever names a pack in the environment tries it: of that all is woven.
        let tried: Vec<String> = folders_in_environment().iter().map(|folder| folder.display().to_string()).collect();
        let is_tried = |pack: &Pack| tried.iter().any(|folder| pack.source == format!("{folder}/pack.yaml"));
        let mut enabled: Vec<String> =
            set.packs.iter().filter(|pack| is_tried(pack)).map(|pack| pack.name.clone()).collect();
        enabled.extend(configuration.enable.iter().cloned());
        set.enable(&enabled);
        set.disable(&configuration.disable);
        if configuration.standalone == Some(false) {
            set.disable(&[STANDALONE_PACK.to_owned()]);
        }
        set.check_unique()?;
        Ok(set)
    }

    fn all_packs(&self, configuration: &Configuration) -> Result<PackSet, WeaveError> {
        let mut folders = Vec::new();
        for entry in &configuration.packs {
            folders.push(self.folder(entry)?);
        }
        folders.extend(folders_in_environment()); // the later is used: who tries a pack means that one
        Ok(PackSet::load(&folders)?)
    }

    fn folder(&self, entry: &str) -> Result<PathBuf, WeaveError> {
        match Named::read(entry) {
            Named::Folder(folder) => Ok(self.project.root.join(folder)),
            Named::Module(path, Some(version)) => self.downloaded(entry, path, version),
            Named::Module(path, None) => self.in_build_list(entry, path),
        }
    }

    /// A pack in a module that the project requires, replaces or has in its workspace.
    fn in_build_list(&self, entry: &str, path: &str) -> Result<PathBuf, WeaveError> {
        let own = self.project.own_modules.iter().map(|(module, dir)| (module.clone(), dir.clone()));
        let wanted: BTreeSet<&str> = prefixes(path).into_iter().collect();
        let found = self.project.modules(self.go, self.env, self.cache, &wanted, self.dir)?;
        let mut modules: Vec<(String, PathBuf)> = own.collect();
        modules.extend(found.into_iter().map(|module| (module.path, module.dir)));
        let best = prefixes(path).into_iter().find_map(|prefix| modules.iter().find(|(module, _)| module == prefix));
        let Some((module, dir)) = best else {
            let problem = format!("no module of this project provides {path}");
            return Err(not_found(
                entry,
                problem,
                format!("name a version, as {path}@v1.2.0, or require the module in go.mod"),
            ));
        };
        self.with_pack(entry, dir.join(path[module.len()..].trim_start_matches('/')))
    }

    /// A pack in a module at a version of its own, whatever the project requires.
    fn downloaded(&self, entry: &str, path: &str, version: &str) -> Result<PathBuf, WeaveError> {
        let is_exact = version.strip_prefix('v').is_some_and(|rest| rest.split('.').count() >= 3);
        if !is_exact {
            let problem = format!("{version} is not an exact version");
            return Err(not_found(entry, problem, "name one as v1.2.0: every build is to use the same pack".into()));
        }
        let sums = fs::read(self.project.module_file.with_extension("sum")).unwrap_or_default();
        let key = Key::new("pack module").text(path).text(version).text(self.env.get("GOMODCACHE")).bytes(&sums);
        let known: Option<PathBuf> = self.cache.kept(KIND, &key.name());
        if let Some(dir) = known.filter(|dir| dir.join("pack.yaml").is_file()) {
            return Ok(dir);
        }
        let scratch = self.cache.scratch()?;
        let write =
            |name: &str, text: &[u8]| fs::write(scratch.path().join(name), text).map_err(at("write", scratch.path()));
        write("go.mod", b"module tandem.invalid/packs\n\ngo 1.21\n")?;
        // What the project's go.sum knows of the module must be true here too.
        write("go.sum", &sums)?;
        let mut problem: Option<String> = None;
        for module in prefixes(path) {
            match self.download(scratch.path(), &format!("{module}@{version}"))? {
                Err(refusal) => {
                    return Err(not_found(
                        entry,
                        refusal,
                        "what your go.sum knows of a module must be true of it here too".into(),
                    ));
                }
                Ok(Downloaded { dir: Some(dir), error: None, .. }) => {
                    let dir = self.with_pack(entry, dir.join(path[module.len()..].trim_start_matches('/')))?;
                    self.cache.keep(KIND, &key.name(), &dir)?;
                    return Ok(dir);
                }
                // What is wrong with a module that exists says more than that another does not.
                Ok(Downloaded { info: Some(_), error, .. }) => problem = error,
                Ok(Downloaded { error, .. }) => problem = problem.or(error),
            }
        }
        let problem = problem.unwrap_or_else(|| "the go command does not find it".into());
        Err(not_found(entry, problem, "GOPROXY, GOPRIVATE and GONOSUMDB are used as in your own builds".into()))
    }

    /// What the go command answers, or the words with which it refuses.
    fn download(&self, dir: &Path, module: &str) -> Result<Result<Downloaded, String>, WeaveError> {
        let mut command = Command::new(self.go);
        command
            .args(["mod", "download", "-json", module])
            .current_dir(dir)
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod");
        let broken = |problem: String| WeaveError::GoBroken { command: format!("go mod download {module}"), problem };
        let output = command.output().map_err(|error| broken(error.to_string()))?;
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(serde_json::from_slice(&output.stdout).map_err(|_| message))
    }

    fn with_pack(&self, entry: &str, dir: PathBuf) -> Result<PathBuf, WeaveError> {
        if dir.join("pack.yaml").is_file() {
            return Ok(dir);
        }
        let problem = format!("there is no pack.yaml in {}", dir.display());
        Err(not_found(entry, problem, "name the folder of the module that holds it".into()))
    }
}

fn not_found(entry: &str, problem: String, hint: String) -> WeaveError {
    WeaveError::Pack(PackError::NotFound { entry: entry.to_owned(), problem, hint })
}

/// A package path and what stands above it, the longest first: one of them is the module's.
fn prefixes(path: &str) -> Vec<&str> {
    let cuts = path.match_indices('/').map(|(at, _)| &path[..at]);
    let mut found: Vec<&str> = cuts.collect();
    found.push(path);
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_folders_from_modules() {
        for folder in ["observe", "./mypack", "../packs/x", "/opt/packs", ".packs"] {
            assert_eq!(Named::read(folder), Named::Folder(folder));
        }
        assert_eq!(Named::read("example.com/a/b@v1.2.0"), Named::Module("example.com/a/b", Some("v1.2.0")));
        assert_eq!(Named::read("example.com/a"), Named::Module("example.com/a", None));
        assert_eq!(prefixes("a.com/b/c"), ["a.com/b/c", "a.com/b", "a.com"]);
    }
}
