//! The cache folder. Every entry is named by the hash of all that it was made of, built under a temporary name and put
//! in place by one rename, so that an entry that is there is whole, whoever else builds or was killed at that time. Its
//! seal (`seal.rs`) tells whether it still is; a damaged one is made again.
//!
//! Who plans a build holds the gate (shared) and notes every entry that it is given; before it lets go, the entries are
//! written into a file in `running`, locked as long as the build runs. `clean` closes the gate (exclusive) and leaves what
//! such files name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::{NamedTempFile, TempDir};

use crate::error::{WeaveError, at};
use crate::seal::{self, State};

/// Set by Ctrl-C while something is being woven; makers look at it between files.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Folder for entries that are being made; what is old there was left by a build that was killed.
const UNFINISHED: &str = "unfinished";
const UNFINISHED_LIFETIME: Duration = Duration::from_secs(3600);

/// Files of running builds, each naming the entries that it uses.
const RUNNING: &str = "running";
const RUNNING_PREFIX: &str = "build-";
/// Locks that builds and `clean` share.
const LOCKS: &str = "locks";
/// The folder of the `go` that `tandem env` puts in front of `PATH`.
pub const SHIM: &str = "env";
/// Module caches of our own: the go command unpacks into them what it downloads.
pub const MODULE_CACHE: &str = "modcache";
/// Copies of go.mod and go.work.
pub const MANIFEST: &str = "manifest";
/// Kinds to whose entries the go command may add.
const OPEN_KINDS: [&str; 2] = [MODULE_CACHE, MANIFEST];
/// Copies of standard libraries that cannot be linked to.
pub const SOURCE: &str = "source";

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    visit: Arc<Mutex<Visit>>,
}

/// What one process does in the cache.
#[derive(Debug, Default)]
struct Visit {
    /// Shared, while entries are looked up and made; none where the file system knows no locks.
    gate: Option<File>,
    /// Entries that were given out.
    used: BTreeSet<PathBuf>,
}

/// Keeps the entries of a running build in the cache.
#[derive(Debug)]
pub struct InUse {
    /// Removed, and with it unlocked, when the build is over.
    _file: NamedTempFile,
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
        for name in [UNFINISHED, RUNNING, LOCKS] {
            let dir = root.join(name);
            fs::create_dir_all(&dir).map_err(at("create", &dir))?;
        }
        // Go prints and records paths without symbolic links; so do we.
        let root = root.canonicalize().map_err(at("open", root))?;
        if root.to_str().is_none() {
            let problem = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(at("name to the go command", &root)(problem));
        }
        let gate = lock(&root, "gate", FlockOperation::LockShared)?;
        let cache = Cache { root, visit: Arc::new(Mutex::new(Visit { gate, used: BTreeSet::new() })) };
        cache.sweep();
        Ok(cache)
    }

    /// The end of planning: what was given out stays as long as the answer lives, whatever `clean` does.
    pub fn hold(&self) -> Result<InUse, WeaveError> {
        let running = self.root.join(RUNNING);
        let mut file = NamedTempFile::with_prefix_in(RUNNING_PREFIX, &running).map_err(at("write to", &running))?;
        let mut visit = self.visit();
        // Not on every file system; then `clean` takes the build for one that was killed.
        let _ = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
        for used in &visit.used {
            let line = [used.as_os_str().as_bytes(), b"\n"].concat();
            file.write_all(&line).map_err(at("write to", &running))?;
        }
        visit.gate = None;
        Ok(InUse { _file: file })
    }

    fn visit(&self) -> std::sync::MutexGuard<'_, Visit> {
        self.visit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The entry `kind/name`; made by `make` in a temporary folder if it is not there as it was made.
    pub fn entry(
        &self,
        kind: &str,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), WeaveError>,
    ) -> Result<PathBuf, WeaveError> {
        let place = self.root.join(kind).join(name);
        self.visit().used.insert(place.clone());
        if self.is_whole(kind, &place, true) {
            return Ok(place);
        }
        let work = self.scratch()?;
        make(work.path())?;
        self.seal(kind, work.path()).map_err(at("read", &place))?;
        let parent = self.root.join(kind);
        fs::create_dir_all(&parent).map_err(at("create", &parent))?;
        // Another build may have been faster, or is about to replace the same damaged entry.
        let _one_at_a_time = lock(&self.root, "entries", FlockOperation::LockExclusive)?;
        if self.is_whole(kind, &place, false) {
            return Ok(place); // ours goes away with `work`
        }
        let away = self.scratch()?;
        match fs::rename(&place, away.path().join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("replace", &place)(error)),
            _ => {}
        }
        fs::rename(work.path(), &place).map_err(at("create", &place))?;
        let _moved_away = work.keep();
        Ok(place)
    }

    /// Whether an entry is there and as it was made; says so when it was damaged.
    fn is_whole(&self, kind: &str, place: &Path, says_so: bool) -> bool {
        match seal::check(place) {
            State::Whole => true,
            State::Moved => {
                // In a folder that cannot be written the content is compared each time.
                let _ = self.seal(kind, place);
                true
            }
            State::Absent => false,
            State::Damaged(inside) => {
                if says_so {
                    let (place, inside) = (place.display(), inside.display());
                    eprintln!("tandem: warning: {place} was damaged ({inside}) and is made again");
                }
                false
            }
        }
    }

    fn seal(&self, kind: &str, entry: &Path) -> io::Result<()> {
        if OPEN_KINDS.contains(&kind) { seal::write_open(entry) } else { seal::write(entry, &self.own_copies()) }
    }

    /// The files of copied standard libraries: their second names are no names of anybody else's.
    fn own_copies(&self) -> seal::OwnCopies {
        let mut found = BTreeSet::new();
        visit_files(&self.root.join(SOURCE), &mut |metadata| found.extend([(metadata.dev(), metadata.ino())]));
        found
    }

    /// A small value that was kept under `kind/name`; `None` when it is not there or damaged.
    pub fn kept<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        let content = fs::read(self.kept_place(kind, name)).ok()?;
        let (hash, text) = content.split_at_checked(blake3::OUT_LEN)?;
        (hash == blake3::hash(text).as_bytes()).then_some(())?;
        serde_json::from_slice(text).ok()
    }

    /// Keeps a small value, with a hash of its text.
    pub fn keep(&self, kind: &str, name: &str, value: &impl Serialize) -> Result<(), WeaveError> {
        let text = serde_json::to_vec(value).expect("plain data");
        self.write(&self.kept_place(kind, name), &[blake3::hash(&text).as_bytes(), text.as_slice()].concat())
    }

    fn kept_place(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(format!("{name}.kept"))
    }

    /// A folder for one run; if that is killed, a later build removes it.
    pub fn scratch(&self) -> Result<TempDir, WeaveError> {
        let dir = TempDir::new_in(self.root.join(UNFINISHED)).map_err(at("write to", &self.root))?;
        self.visit().used.insert(dir.path().to_owned());
        Ok(dir)
    }

    /// Writes a small file of the cache in one step.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), WeaveError> {
        let parent = path.parent().expect("paths in the cache have a folder");
        fs::create_dir_all(parent).map_err(at("create", parent))?;
        let file = NamedTempFile::new_in(self.root.join(UNFINISHED)).map_err(at("write to", &self.root))?;
        fs::write(file.path(), content).map_err(at("write", path))?;
        file.persist(path).map_err(|error| at("write", path)(error.error))?;
        Ok(())
    }

    /// Removes what killed builds left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join(UNFINISHED)) else { return };
        let own = |entry: &fs::DirEntry| is_own(UNFINISHED, &entry.file_name().to_string_lossy());
        for entry in entries.flatten().filter(own) {
            let modified =
                entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or_else(|_| SystemTime::now());
            if modified.elapsed().is_ok_and(|age| age > UNFINISHED_LIFETIME) {
                // Somebody else may be sweeping too.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }
}

/// A lock in the cache folder, held until the answer is dropped; `None` where the file system knows none.
fn lock(root: &Path, name: &str, operation: FlockOperation) -> Result<Option<File>, WeaveError> {
    let path = root.join(LOCKS).join(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at("write", &path))?;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::INTR) => check_interrupted()?,
            Err(_) => return Ok(None),
        }
    }
}

fn visit_files(dir: &Path, visit: &mut dyn FnMut(&fs::Metadata)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // Somebody else may be removing it.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            visit_files(&entry.path(), visit);
        }
        visit(&metadata);
    }
}

/// What one kind of things in the cache takes.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    /// The folder's name.
    pub kind: String,
    /// What it holds, for people.
    pub description: &'static str,
    /// How many there are.
    pub entries: usize,
    /// Bytes on the disk that are free when they are removed.
    pub bytes: u64,
    /// Bytes that they share with files outside the cache, and that removing them does not free.
    pub shared_bytes: u64,
}

/// What `clean` did.
#[derive(Debug, Default, Serialize)]
pub struct Cleaned {
    /// Entries removed.
    pub removed: usize,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Entries left because a running build uses them.
    pub in_use: usize,
}

/// What a folder of the cache holds; `None`: no version of ours has made it.
fn description(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "goroot" => "woven standard libraries",
        SOURCE => "copies of standard libraries that cannot be linked to",
        "module" => "woven modules",
        "file" => "woven files of your own packages",
        "overlay" | MANIFEST | "plan" => "what woven builds are told",
        "modules" | "package" | "index" | "versioned" | "built" => "what is known of modules and packages",
        "pack" | "verify" => "what is known of packs and of the versions that they fit",
        UNFINISHED => "what is being made",
        RUNNING => "running builds",
        MODULE_CACHE => "module caches with woven modules",
        SHIM => "the go command of tandem env",
        _ => return None,
    })
}

/// Whether we have made this, by its name: `$TANDEM_CACHE` may be a folder that holds other people's things as well.
fn is_own(kind: &str, name: &str) -> bool {
    match kind {
        UNFINISHED => name.starts_with(".tmp"),
        RUNNING => name.starts_with(RUNNING_PREFIX),
        _ => {
            let digits = name.strip_suffix(".kept").unwrap_or(name);
            description(kind).is_some() && digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        }
    }
}

impl Cache {
    /// What is in the cache, by kind; the largest first.
    pub fn usage(&self) -> Vec<Usage> {
        let mut found: Vec<Usage> = Vec::new();
        for (kind, entries) in self.things() {
            let mut usage = Usage {
                description: description(&kind).unwrap_or_default(),
                kind,
                entries: entries.len(),
                ..Usage::default()
            };
            let sizes = sizes(&entries);
            (usage.bytes, usage.shared_bytes) = (sizes.own, sizes.shared);
            found.push(usage);
        }
        found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.kind.cmp(&b.kind)));
        found
    }

    /// Removes all that no running build uses, but the go command of `tandem env`: shells have its folder in `PATH`.
    pub fn clean(self) -> Result<Cleaned, WeaveError> {
        self.visit().gate = None;
        let _closed = lock(&self.root, "gate", FlockOperation::LockExclusive)?;
        let used = self.used_by_running_builds();
        let mut cleaned = Cleaned::default();
        for (kind, entries) in self.things() {
            let (kept, removed): (Vec<PathBuf>, Vec<PathBuf>) =
                entries.into_iter().partition(|entry| used.contains(entry) || kind == SHIM || kind == RUNNING);
            if kind != SHIM && kind != RUNNING {
                cleaned.in_use += kept.len();
            }
            cleaned.freed_bytes += sizes(&removed).own;
            for entry in removed {
                check_interrupted()?;
                let is_dir = entry.is_dir();
                let done = if is_dir { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
                match done {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("remove", &entry)(error)),
                    _ => cleaned.removed += 1,
                }
            }
        }
        Ok(cleaned)
    }

    /// Everything in the cache, by kind.
    fn things(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let mut things = BTreeMap::new();
        for kind in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = kind.file_name().to_string_lossy().into_owned();
            let entries = fs::read_dir(kind.path()).into_iter().flatten().flatten();
            let own = entries.filter(|entry| is_own(&name, &entry.file_name().to_string_lossy()));
            let own: Vec<PathBuf> = own.map(|entry| entry.path()).collect();
            if !own.is_empty() {
                things.insert(name, own);
            }
        }
        things
    }

    /// What the files of running builds name. Those of builds that were killed are not locked any more and go.
    fn used_by_running_builds(&self) -> BTreeSet<PathBuf> {
        let mut used = BTreeSet::new();
        let builds = fs::read_dir(self.root.join(RUNNING)).into_iter().flatten().flatten();
        for build in builds.filter(|build| is_own(RUNNING, &build.file_name().to_string_lossy())) {
            let Ok(file) = File::open(build.path()) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
                // Nobody else can want it: its name is its build's own.
                let _ = fs::remove_file(build.path());
                continue;
            }
            let names = fs::read(build.path()).unwrap_or_default();
            used.extend(names.split(|byte| *byte == b'\n').map(|name| PathBuf::from(OsStr::from_bytes(name))));
        }
        used
    }
}

#[derive(Default)]
struct Sizes {
    own: u64,
    shared: u64,
}

/// Of all files below the paths; a file with several names counts once.
fn sizes(paths: &[PathBuf]) -> Sizes {
    let mut names: BTreeMap<(u64, u64), (u64, u64, u64)> = BTreeMap::new();
    let mut add = |metadata: &fs::Metadata| {
        let known = names.entry((metadata.dev(), metadata.ino())).or_default();
        // A folder's links are its sub-folders.
        let links = if metadata.is_dir() { 1 } else { metadata.nlink() };
        *known = (known.0 + 1, links, metadata.blocks() * 512);
    };
    for path in paths {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            add(&metadata);
            if metadata.is_dir() {
                visit_files(path, &mut add);
            }
        }
    }
    names.values().fold(Sizes::default(), |mut sizes, (seen, links, bytes)| {
        *(if seen >= links { &mut sizes.own } else { &mut sizes.shared }) += bytes;
        sizes
    })
}

/// Says whether the person has pressed Ctrl-C.
pub fn check_interrupted() -> Result<(), WeaveError> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(WeaveError::Interrupted) } else { Ok(()) }
}

/// A second name for a file, or a copy where the disk does not allow that.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    // Of a symbolic link, what it leads to: go refuses to embed one.
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW).or_else(|_| fs::copy(from, to).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn make(work: &Path) -> Result<(), WeaveError> {
        let made = fs::create_dir_all(work.join("a\nb/c"))
            .and_then(|()| fs::write(work.join("a\nb/c/file"), "text"))
            .and_then(|()| fs::write(work.join("top"), "top"))
            .and_then(|()| symlink("top", work.join("link")));
        made.map_err(at("write", work))
    }

    fn cache() -> (TempDir, Cache) {
        let dir = TempDir::new().expect("a temporary folder");
        let cache = Cache::at(dir.path()).expect("writable");
        (dir, cache)
    }

    #[test]
    fn an_entry_is_made_once_and_again_after_every_damage() {
        let (_dir, cache) = cache();
        let place = cache.entry("kind", "name", make).expect("writable");
        cache.entry("kind", "name", |_| panic!("it is there")).expect("whole");
        let damages: [fn(&Path) -> io::Result<()>; 8] = [
            |place| fs::write(place.join("a\nb/c/file"), "tex"),
            |place| fs::write(place.join("a\nb/c/file"), "texx"),
            |place| fs::remove_file(place.join("a\nb/c/file")),
            |place| fs::write(place.join("a\nb/more"), ""),
            |place| fs::remove_dir_all(place.join("a\nb/c")),
            |place| fs::remove_file(place.join("link")).and_then(|()| symlink("else", place.join("link"))),
            |place| fs::write(place.join(seal::SEAL), ""),
            |place| fs::remove_file(place.join(seal::SEAL)),
        ];
        for damage in damages {
            damage(&place).expect("ours");
            assert!(matches!(seal::check(&place), State::Damaged(_)));
            let mut is_made = false;
            cache
                .entry("kind", "name", |work| {
                    is_made = true;
                    make(work)
                })
                .expect("writable");
            assert!(is_made);
            assert_eq!(seal::check(&place), State::Whole);
        }
    }

    #[test]
    fn what_was_only_touched_is_sealed_anew() {
        let (_dir, cache) = cache();
        let place = cache.entry("kind", "name", make).expect("writable");
        fs::write(place.join("top"), "top").expect("ours");
        fs::write(place.join("a\nb/more"), "").and_then(|()| fs::remove_file(place.join("a\nb/more"))).expect("ours");
        assert_eq!(seal::check(&place), State::Moved);
        cache.entry("kind", "name", |_| panic!("it is there")).expect("whole");
        assert_eq!(seal::check(&place), State::Whole);
    }

    #[test]
    fn the_go_command_may_add_to_what_is_open() {
        let (_dir, cache) = cache();
        let make = |work: &Path| {
            let made =
                fs::write(work.join("go.work"), "go 1.22\n").and_then(|()| fs::write(work.join("go.work.sum"), "a\n"));
            made.and_then(|()| symlink("/", work.join("link"))).map_err(at("write", work))
        };
        let place = cache.entry(MANIFEST, "name", make).expect("writable");
        fs::write(place.join("go.work.sum"), "a\nb\n").and_then(|()| fs::create_dir(place.join("more"))).expect("ours");
        assert_eq!(seal::check(&place), State::Whole);
        fs::write(place.join("go.work.sum"), "a").expect("ours");
        assert!(matches!(seal::check(&place), State::Damaged(_)));
        let place = cache.entry(MANIFEST, "name", make).expect("writable");
        fs::remove_file(place.join("link")).expect("ours");
        assert!(matches!(seal::check(&place), State::Damaged(_)));
    }

    #[test]
    fn a_damaged_value_is_none() {
        let (_dir, cache) = cache();
        cache.keep("kind", "name", &vec![1, 2]).expect("writable");
        assert_eq!(cache.kept("kind", "name"), Some(vec![1, 2]));
        let place = cache.kept_place("kind", "name");
        let content = fs::read(&place).expect("readable");
        for at in 0..content.len() {
            let mut damaged = content.clone();
            damaged[at] ^= 1;
            fs::write(&place, &damaged).expect("ours");
            assert_eq!(cache.kept::<Vec<u32>>("kind", "name"), None);
            fs::write(&place, &content[..at]).expect("ours");
            assert_eq!(cache.kept::<Vec<u32>>("kind", "name"), None);
        }
    }

    #[test]
    fn cleaning_leaves_what_is_held_and_counts_each_file_once() {
        let (dir, builder) = cache();
        let used = builder.entry("module", &"0".repeat(32), make).expect("writable");
        let held = builder.hold().expect("writable");
        let second = builder.entry("module", &"1".repeat(32), make).expect("writable");
        fs::hard_link(used.join("top"), second.join("second name")).expect("writable");
        let usage = Cache::at(dir.path()).expect("there").usage();
        let module = usage.iter().find(|usage| usage.kind == "module").expect("two entries");
        assert_eq!((module.entries, module.shared_bytes), (2, 0));
        let cleaned = Cache::at(dir.path()).and_then(Cache::clean).expect("ours");
        assert_eq!((cleaned.removed, cleaned.in_use, used.exists(), second.exists()), (1, 1, true, false));
        drop(held);
        let cleaned = Cache::at(dir.path()).and_then(Cache::clean).expect("ours");
        assert_eq!((cleaned.in_use, used.exists()), (0, false));
    }
}
