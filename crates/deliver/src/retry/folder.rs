//! Where a queue lies: `ROOT/NAME/SLOT/`, with a file `lock` and segments in it.
//!
//! What waits for one of several addresses of an endpoint lies in `ROOT/NAME@ADDRESS/SLOT/`.
//!
//! A slot has one owner at a time, who holds the lock. Agents that send to the same address at the same time have slots of
//! their own; who opens a queue takes over what nobody owns any more.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Agents of one address at a time.
const SLOTS: u32 = 64;
const SUFFIX: &str = ".segment";
/// Stands between a queue's name and the address of a part of it, which has a folder of its own.
pub const OF: char = '@';

/// Why a queue has no folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system says no.
    #[error("cannot use the queue's folder {}: {source}", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All slots have an owner.
    #[error("the queue's folder {} is in use by {SLOTS} agents", .0.display())]
    Taken(PathBuf),
}

/// A slot that is ours, as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the first free slot, and what lies in others that are free; also of those that are called `NAME@…`.
    pub fn open(root: &Path, name: &str) -> Result<Self, FolderError> {
        let all = root.join(name);
        let unusable = |source| FolderError::Unusable { folder: all.clone(), source };
        make(&all).map_err(unusable)?;
        let mut own = None;
        for slot in 0..SLOTS {
            let path = all.join(slot.to_string());
            match lock(&path, own.is_none()).map_err(unusable)? {
                Some(lock) => match &own {
                    None => own = Some(Self { path, _lock: lock }),
                    Some(own) => own.adopt(&path).map_err(unusable)?,
                },
                None if path.exists() => {}
                None => break,
            }
        }
        let own = own.ok_or_else(|| FolderError::Taken(all.clone()))?;
        for part in parts(root, name).map_err(unusable)? {
            for slot in slots(&part) {
                if let Some(_lock) = lock(&slot, false).map_err(unusable)? {
                    own.adopt(&slot).map_err(unusable)?;
                }
            }
            remove_empty(&part);
        }
        Ok(own)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A segment's file.
    pub fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016x}{SUFFIX}"))
    }

    /// The numbers of the segments that are there, sorted.
    pub fn segments(&self) -> io::Result<Vec<u64>> {
        segments(&self.path)
    }

    /// Makes a segment's file, which must not be there.
    pub fn create(&self, number: u64) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.segment(number))?;
        Ok(file)
    }

    /// What has been made, renamed and removed in it survives the machine's end, too.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn adopt(&self, slot: &Path) -> io::Result<()> {
        let first = self.segments()?.last().map_or(0, |last| last + 1);
        for (own, number) in (first..).zip(segments(slot)?) {
            fs::rename(slot.join(format!("{number:016x}{SUFFIX}")), self.segment(own))?;
        }
        Ok(())
    }
}

/// The folders of one queue's parts.
fn parts(root: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix(OF)).is_some() {
            parts.push(entry.path());
        }
    }
    Ok(parts)
}

fn slots(folder: &Path) -> impl Iterator<Item = PathBuf> {
    (0..SLOTS).map(|slot| folder.join(slot.to_string())).take_while(|slot| slot.exists())
}

/// Removes a queue's folder where nobody owns any of its slots, and nothing is left in them.
pub fn remove_empty(folder: &Path) {
    // The last first: who opens the queue meanwhile finds the others.
    let mut all: Vec<_> = slots(folder).collect();
    while let Some(slot) = all.pop() {
        let Ok(Some(_lock)) = lock(&slot, false) else { return };
        if !segments(&slot).is_ok_and(|segments| segments.is_empty()) {
            return;
        }
        let _ = fs::remove_file(slot.join("lock")).and_then(|()| fs::remove_dir(&slot));
    }
    let _ = fs::remove_dir(folder);
}

fn segments(slot: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(slot)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| u64::from_str_radix(name.strip_suffix(SUFFIX)?, 16).ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A slot's lock; `None`: it is somebody's, or not there and not to be made.
fn lock(slot: &Path, create: bool) -> io::Result<Option<File>> {
    if create {
        make(slot)?;
    } else if !slot.exists() {
        return Ok(None);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(slot.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two owners at a time have a slot each; the third, after them, has what both left, in order.
    #[test]
    fn who_comes_later_takes_over_what_is_left() {
        let root = tempfile::tempdir().expect("a folder");
        let first = Folder::open(root.path(), "traces").expect("free");
        let second = Folder::open(root.path(), "traces").expect("free");
        assert_ne!(first.path(), second.path());
        for (folder, number) in [(&first, 3), (&first, 4), (&second, 0), (&second, 9)] {
            fs::write(folder.segment(number), format!("{number}")).expect("written");
        }
        drop(second);
        drop(first);
        let third = Folder::open(root.path(), "traces").expect("free");
        let texts =
            third.segments().expect("listed").into_iter().map(|number| fs::read_to_string(third.segment(number)));
        assert_eq!(texts.collect::<io::Result<Vec<_>>>().expect("read"), ["3", "4", "0", "9"]);
    }
}
