//! `go install example.com/cmd@v1.2.3` and `go run …@…`: the module graph is the package's own, and no go.mod can replace
//! anything in it.
//!
//! A dry run of the go command says which modules it takes, and which Go. The woven ones are put into a module cache of
//! our own that has links to the real one for everything else: the go command checks sums when it downloads, and downloads
//! still go to the real cache. Versions and sums in the binary are those of a plain build.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::cache::{self, Cache, Key};
use crate::error::{WeaveError, at};
use crate::go::GoEnv;
use crate::modules::ShadowModule;
use crate::project::Module;

/// The folder of the cache in which such module caches lie.
pub const KIND: &str = cache::MODULE_CACHE;

/// What the go command takes for the packages of a command line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Resolution {
    /// All modules whose code is built.
    pub modules: Vec<Module>,
    /// The GOROOT whose linker is used: the package's module may ask for a newer Go than the one here.
    pub root: PathBuf,
}

/// A module cache with woven modules in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModuleCache {
    /// Where it lies.
    pub dir: PathBuf,
    /// `go env GOMODCACHE`.
    pub real: PathBuf,
}

/// Asks the go command. What it refuses has no resolution: the woven run is refused for the same reason.
pub fn resolve(
    go: &Path,
    arguments: &Arguments,
    env: &GoEnv,
    cache: &Cache,
    dir: &Path,
) -> Result<Option<Resolution>, WeaveError> {
    let words = arguments.without_program();
    let mut key = words.iter().fold(Key::new("versioned"), |key, word| key.text(word)).text(env.all());
    key = key.text(std::env::var_os("CGO_ENABLED").unwrap_or_default());
    let name = key.name();
    let is_fixed = arguments.packages.iter().all(|package| has_exact_version(package));
    let known: Option<Resolution> = cache.kept("versioned", &name);
    let is_there = |known: &Resolution| is_fixed && known.modules.iter().all(|module| module.dir.is_dir());
    if let Some(known) = known.filter(is_there) {
        return Ok(Some(known));
    }
    let scratch = cache.scratch()?;
    let mut command = Command::new(go);
    command.args(["install", "-n"]).args(words).current_dir(dir);
    // Nothing is up to date there, so everything is shown.
    if env.builds_for_host() {
        command.env("GOBIN", scratch.path().join("bin"));
    } else {
        let state = PathBuf::from(env.get("GOPATH").split(':').next().unwrap_or_default()).join("pkg");
        symlink(state, scratch.path().join("pkg")).map_err(at("link", scratch.path()))?;
        command.env("GOPATH", scratch.path()).env("GOMODCACHE", env.get("GOMODCACHE"));
    }
    let output = command.output().map_err(|error| WeaveError::GoBroken {
        command: format!("{} install -n", go.display()),
        problem: error.to_string(),
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    for line in text.lines().filter(|line| line.starts_with("go: downloading ")) {
        eprintln!("{line}"); // the run that follows has nothing left to download
    }
    let resolution = output.status.success().then(|| read_dry_run(&text, Path::new(env.get("GOMODCACHE")))).flatten();
    if let Some(resolution) = resolution.as_ref().filter(|_| is_fixed) {
        cache.keep("versioned", &name, resolution)?;
    }
    Ok(resolution)
}

fn has_exact_version(package: &str) -> bool {
    let version = package.split_once("@v").map(|(_, version)| version);
    version.is_some_and(|version| semver::Version::parse(version).is_ok())
}

/// The linker's path, and the module information that it is given.
fn read_dry_run(text: &str, module_cache: &Path) -> Option<Resolution> {
    let mut modules: Vec<Module> = Vec::new();
    let mut root = None;
    for line in text.lines() {
        if let Some((before, _)) = line.split_once("/pkg/tool/").filter(|(_, tool)| tool.contains("/link ")) {
            // Variables may be set in front of it.
            let path = before.rsplit_once(' ').map_or(before, |(_, path)| path);
            root = root.or(Some(PathBuf::from(path)));
        }
        let Some(information) = line.strip_prefix("modinfo ").and_then(gobin::literal::unquote) else { continue };
        for line in String::from_utf8_lossy(&information).lines() {
            // The first line stands behind a mark.
            let mut words = line.split('\t').skip_while(|word| !matches!(*word, "mod" | "dep")).skip(1);
            let (Some(path), Some(version)) = (words.next(), words.next()) else { continue };
            let dir = module_cache.join(folder(path, version));
            let (path, version, sum) =
                (path.to_owned(), version.to_owned(), words.next().unwrap_or_default().to_owned());
            let module = Module { path, version, dir, sum, replacement: None };
            if !modules.contains(&module) && module.dir.is_dir() {
                modules.push(module);
            }
        }
    }
    Some(Resolution { modules, root: root? })
}

/// Where a module lies in a module cache: capital letters are marked, since some file systems do not tell them apart.
fn folder(path: &str, version: &str) -> String {
    let mut escaped = String::new();
    for c in format!("{path}@{version}").chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// Puts woven modules into a module cache, which is where they lie from then on; none is needed without woven modules.
pub fn module_cache(
    cache: &Cache,
    real: &Path,
    resolution: &Resolution,
    woven: &mut [ShadowModule],
) -> Result<Option<ModuleCache>, WeaveError> {
    if woven.iter().all(|shadow| shadow.dir.is_none()) {
        return Ok(None);
    }
    let place_of = |module: &Module| match woven.iter().find(|shadow| shadow.module == *module) {
        Some(ShadowModule { dir: Some(dir), .. }) => dir.clone(),
        _ => module.dir.clone(),
    };
    let mut places: BTreeMap<String, PathBuf> =
        resolution.modules.iter().flat_map(|module| above(real, module)).collect();
    places.extend(resolution.modules.iter().map(|module| (folder(&module.path, &module.version), place_of(module))));
    let key = Key::new("module cache").text(real).text(format!("{places:?}"));
    let dir = cache.entry(KIND, &key.name(), |work| {
        let link = |to: &Path, name: &str| {
            let place = work.join(name);
            let parent = place.parent().expect("below it");
            fs::create_dir_all(parent).map_err(at("create", parent))?;
            symlink(to, &place).map_err(at("create", &place))
        };
        link(&real.join("cache"), "cache")?;
        places.iter().try_for_each(|(name, place)| link(place, name))
    })?;
    for shadow in woven.iter_mut().filter(|shadow| shadow.dir.is_some()) {
        shadow.dir = Some(dir.join(folder(&shadow.module.path, &shadow.module.version)));
    }
    Ok(Some(ModuleCache { dir, real: real.to_owned() }))
}

/// Modules whose path is a beginning of a module's: the go command looks into them for the same packages.
fn above(real: &Path, module: &Module) -> Vec<(String, PathBuf)> {
    let path = folder(&module.path, "");
    let mut found = Vec::new();
    for prefix in Path::new(path.trim_end_matches('@')).ancestors().skip(1) {
        let (Some(parent), Some(name)) = (prefix.parent(), prefix.file_name()) else { continue };
        let start = format!("{}@", name.to_string_lossy());
        for entry in fs::read_dir(real.join(parent)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&start) {
                found.push((parent.join(name).to_string_lossy().into_owned(), entry.path()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_names_modules_and_go() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("a.com/!big@v1.0.0")).expect("writable");
        let text = "cat >$WORK/b001/importcfg.link << 'EOF' # internal\nmodinfo \"\\xff0123456789abcdepath\\ta.com/x\\nmod\\ta.com/Big\\tv1.0.0\\th1:s=\\ndep\\tgone.com\\tv1.2.0\\th1:t=\\nbuild\\t-a=b\\n\"\nEOF\nGOROOT='/usr/lib/go' /usr/lib/go/pkg/tool/linux_amd64/link -o x\n";
        let found = read_dry_run(text, dir.path()).expect("it is whole");
        assert_eq!(found.root, Path::new("/usr/lib/go"));
        assert_eq!(found.modules.len(), 1, "{:?}", found.modules);
        assert_eq!((&*found.modules[0].path, &*found.modules[0].sum), ("a.com/Big", "h1:s="));
        assert!(read_dry_run("go: nothing\n", dir.path()).is_none());
    }

    #[test]
    fn only_exact_versions_stay() {
        assert!(has_exact_version("a.com/x@v1.2.3") && has_exact_version("a.com/x@v0.0.0-20240101000000-abcdefabcdef"));
        assert!(!has_exact_version("a.com/x@latest") && !has_exact_version("a.com/x@v1") && !has_exact_version("./x"));
    }
}
