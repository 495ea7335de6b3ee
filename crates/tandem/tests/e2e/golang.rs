//! Go programs for tests: built by the go command or woven by `tandem go`, each once for all tests.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::rig::{BUILD_LIMIT, kept, repository, run, tandem};

/// The go command, plain, two jobs at a time.
pub fn go(folder: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(folder);
    go
}

/// A folder with programs of a module of this repository, woven.
pub fn woven(module: &str, packages: &[&str]) -> PathBuf {
    let out = kept().join("woven").join(module.replace('/', "-"));
    once(&out, || {
        let mut build = tandem();
        build.args(["go", "build", "-o"]).arg(out.join("")).args(packages).current_dir(repository().join(module));
        build
    })
}

/// The same, with the race detector.
pub fn woven_with_race_detector(module: &str, packages: &[&str]) -> PathBuf {
    let out = kept().join("race").join(module.replace('/', "-"));
    once(&out, || {
        let mut build = tandem();
        build.args(["go", "build", "-race", "-o"]).arg(out.join("")).args(packages);
        build.current_dir(repository().join(module));
        build
    })
}

/// The same, built plainly.
pub fn plain(module: &str, packages: &[&str]) -> PathBuf {
    let out = kept().join("plain").join(module.replace('/', "-"));
    once(&out, || {
        let mut build = go(&repository().join(module));
        build.args(["build", "-o"]).arg(out.join("")).args(packages);
        build
    })
}

/// Builds into a folder unless another test has done so; tests that want the same wait for it.
fn once(out: &Path, build: impl FnOnce() -> Command) -> PathBuf {
    static BUILDS: Mutex<Option<HashMap<PathBuf, Arc<OnceLock<()>>>>> = Mutex::new(None);
    let built = {
        let mut builds = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(match builds.get_or_insert_default().entry(out.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Arc::default()),
        })
    };
    built.get_or_init(|| {
        fs::create_dir_all(out).expect("the target folder can be written");
        let output = run(&mut build(), BUILD_LIMIT);
        assert_eq!(output.code, 0, "{output}");
        assert!(!output.stderr.contains("warning:"), "the weave is not whole\n{}", output.stderr);
    });
    out.to_owned()
}

/// All there is to know of a file tree, for comparing it before and after.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let facts = path.symlink_metadata().expect("a file");
            let contents = if facts.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
            if facts.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (facts.permissions().mode(), facts.modified().expect("a time"), contents));
        }
    }
    found
}
