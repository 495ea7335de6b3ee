//! The cache folder. Every entry is named by the hash of all that it was made of, built under a temporary name and put
//! in place by one rename, so that an entry that is there is whole, whoever else builds or was killed at that time.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::error::{WeaveError, at};

/// Set by Ctrl-C while something is being woven; makers look at it between files.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Folder for entries that are being made; what is old there was left by a build that was killed.
const UNFINISHED: &str = "unfinished";
const UNFINISHED_LIFETIME: Duration = Duration::from_secs(3600);

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Collects what an entry is made of.
#[derive(Default)]
pub struct Key(blake3::Hasher);

impl Key {
    /// A key that starts with the weave's own version.
    pub fn new(purpose: &str) -> Key {
        Key::default().text(purpose).text(crate::embedded::WEAVE_VERSION)
    }

    /// Adds a part; its length goes in too, so that parts cannot run into each other.
    pub fn bytes(mut self, part: &[u8]) -> Key {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a part.
    pub fn text(self, part: impl AsRef<OsStr>) -> Key {
        self.bytes(part.as_ref().as_encoded_bytes())
    }

    /// The name of the entry.
    pub fn name(&self) -> String {
        self.0.finalize().to_hex()[..32].to_owned()
    }
}

impl Cache {
    /// `$TANDEM_CACHE`, `$XDG_CACHE_HOME/tandem` or `~/.cache/tandem`; made if it is not there.
    pub fn open() -> Result<Cache, WeaveError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("TANDEM_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("tandem")))
            .or_else(|| variable("HOME").map(|dir| dir.join(".cache/tandem")))
            .ok_or(WeaveError::NoCache)?;
        Cache::at(&root)
    }

    /// A cache in a given folder.
    pub fn at(root: &Path) -> Result<Cache, WeaveError> {
        let unfinished = root.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(at("create", &unfinished))?;
        // Go prints and records paths without symbolic links; so do we.
        let root = root.canonicalize().map_err(at("open", root))?;
        if root.to_str().is_none() {
            let problem = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(at("name to the go command", &root)(problem));
        }
        let cache = Cache { root };
        cache.sweep();
        Ok(cache)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry `kind/name`; made by `make` in a temporary folder if it is not there.
    pub fn entry(
        &self,
        kind: &str,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), WeaveError>,
    ) -> Result<PathBuf, WeaveError> {
        let place = self.root.join(kind).join(name);
        if place.is_dir() {
            return Ok(place);
        }
        let work = self.scratch()?;
        make(work.path())?;
        let parent = self.root.join(kind);
        fs::create_dir_all(&parent).map_err(at("create", &parent))?;
        match fs::rename(work.path(), &place) {
            Ok(()) => {
                let _moved_away = work.keep();
                Ok(place)
            }
            Err(_) if place.is_dir() => Ok(place), // another build was faster; ours goes away with `work`
            Err(error) => Err(at("create", &place)(error)),
        }
    }

    /// A folder for one run; if that is killed, a later build removes it.
    pub fn scratch(&self) -> Result<TempDir, WeaveError> {
        TempDir::new_in(self.root.join(UNFINISHED)).map_err(at("write to", &self.root))
    }

    /// Writes a small file of the cache in one step.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), WeaveError> {
        let parent = path.parent().expect("paths in the cache have a folder");
        fs::create_dir_all(parent).map_err(at("create", parent))?;
        let file = tempfile::NamedTempFile::new_in(self.root.join(UNFINISHED)).map_err(at("write to", &self.root))?;
        fs::write(file.path(), content).map_err(at("write", path))?;
        file.persist(path).map_err(|error| at("write", path)(error.error))?;
        Ok(())
    }

    /// Removes what killed builds left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(UNFINISHED)) else { return };
        for entry in entries.flatten() {
            let modified =
                entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or_else(|_| SystemTime::now());
            if modified.elapsed().is_ok_and(|age| age > UNFINISHED_LIFETIME) {
                // Somebody else may be sweeping too.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }
}

/// Says whether the person has pressed Ctrl-C.
pub fn check_interrupted() -> Result<(), WeaveError> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(WeaveError::Interrupted) } else { Ok(()) }
}

/// A second name for a file, or a copy where the disk does not allow that.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    // Never through a symbolic link: go refuses to embed one.
    let from = fs::canonicalize(from)?;
    fs::hard_link(&from, to).or_else(|_| fs::copy(&from, to).map(|_| ()))
}
