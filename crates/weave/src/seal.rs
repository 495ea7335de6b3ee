//! The seal of a cache entry: what lies in it, so that an entry that was damaged (cut short, changed, something missing) is
//! found out and made again instead of being used.
//!
//! Files that the weave wrote are known by their content; it is read again only where size or times differ from the seal's.
//! Files that are second names of files elsewhere are known by their folder's listing: if they change, they change there
//! too, and a plain build sees the same. Copies that take the place of such names are known by size and time.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file's name in the entry.
pub const SEAL: &str = "tandem.seal";
const FIRST_WORDS: &str = "tandem seal 1 ";

/// How an entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// As it was made.
    Whole,
    /// As it was made, but copied or touched since: its times differ.
    Moved,
    /// Not there.
    Absent,
    /// This path in it is not as it was made.
    Damaged(PathBuf),
}

/// Files of which all other names lie in the cache too.
pub type OwnCopies = BTreeSet<(u64, u64)>;

/// Writes the seal of a finished entry. Nothing may be written into the entry afterwards.
pub fn write(entry: &Path, own_copies: &OwnCopies) -> io::Result<()> {
    let mut lines = Vec::new();
    add_folder(entry, Path::new(""), own_copies, &mut lines)?;
    put(entry, lines)
}

/// Writes the seal of an entry to which the go command may add: files, and lines of go.work.sum.
pub fn write_open(entry: &Path) -> io::Result<()> {
    let mut lines = Vec::new();
    add_open_folder(entry, Path::new(""), &mut lines)?;
    put(entry, lines)
}

fn put(entry: &Path, lines: Vec<u8>) -> io::Result<()> {
    let mut text = format!("{FIRST_WORDS}{}\n", blake3::hash(&lines).to_hex()).into_bytes();
    text.extend_from_slice(&lines);
    let file = tempfile::NamedTempFile::new_in(entry)?;
    fs::write(file.path(), text)?;
    file.persist(entry.join(SEAL))?;
    Ok(())
}

fn add_folder(entry: &Path, below: &Path, own_copies: &OwnCopies, lines: &mut Vec<u8>) -> io::Result<()> {
    let dir = entry.join(below);
    let listing = Listing::read(&dir)?;
    let metadata = fs::symlink_metadata(&dir)?;
    add_line(lines, &format!("d {} {}", listing.hash(), modified(&metadata)), below);
    for (name, metadata) in &listing.files {
        let path = below.join(name);
        if metadata.is_dir() {
            add_folder(entry, &path, own_copies, lines)?;
        } else if metadata.is_file() && metadata.nlink() == 1 {
            add_file(entry, &path, metadata, lines)?;
        } else if metadata.is_file() && own_copies.contains(&(metadata.dev(), metadata.ino())) {
            add_line(lines, &format!("c {} {}", metadata.len(), modified(metadata)), &path);
        }
    }
    Ok(())
}

fn add_open_folder(entry: &Path, below: &Path, lines: &mut Vec<u8>) -> io::Result<()> {
    for (name, metadata) in Listing::read(&entry.join(below))?.files {
        let path = below.join(&name);
        if metadata.is_dir() {
            add_open_folder(entry, &path, lines)?;
        } else if metadata.is_symlink() {
            add_line(lines, &format!("l {}", target_hash(&entry.join(&path))?), &path);
        } else if name == "go.work.sum" {
            add_line(lines, &format!("g {}", metadata.len()), &path);
        } else {
            add_file(entry, &path, &metadata, lines)?;
        }
    }
    Ok(())
}

fn add_file(entry: &Path, path: &Path, metadata: &Metadata, lines: &mut Vec<u8>) -> io::Result<()> {
    let hash = blake3::hash(&fs::read(entry.join(path))?).to_hex();
    add_line(lines, &format!("f {hash} {}", identity(metadata)), path);
    Ok(())
}

fn target_hash(link: &Path) -> io::Result<String> {
    Ok(blake3::hash(fs::read_link(link)?.as_os_str().as_bytes()).to_hex().to_string())
}

/// A line ends with the path, in which line ends are written as `\n`.
fn add_line(lines: &mut Vec<u8>, words: &str, path: &Path) {
    lines.extend_from_slice(words.as_bytes());
    lines.push(b' ');
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\\' => lines.extend_from_slice(b"\\\\"),
            b'\n' => lines.extend_from_slice(b"\\n"),
            other => lines.push(*other),
        }
    }
    lines.push(b'\n');
}

fn read_path(escaped: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' if rest.next() == Some(&b'n') => b'\n',
            other => *other,
        });
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Compares an entry with its seal.
pub fn check(entry: &Path) -> State {
    if !entry.is_dir() {
        return State::Absent;
    }
    let damaged_seal = || State::Damaged(PathBuf::from(SEAL));
    let Ok(text) = fs::read(entry.join(SEAL)) else { return damaged_seal() };
    let first_end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (first, lines) = text.split_at(first_end);
    let lines = lines.get(1..).unwrap_or_default();
    let hash = first.strip_prefix(FIRST_WORDS.as_bytes());
    if hash != Some(blake3::hash(lines).to_hex().as_bytes()) {
        return damaged_seal();
    }
    let mut state = State::Whole;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match check_line(entry, line) {
            State::Whole => {}
            State::Moved => state = State::Moved,
            other => return other,
        }
    }
    state
}

fn check_line(entry: &Path, line: &[u8]) -> State {
    let words = match line.first() {
        Some(b'f') => 5,
        Some(b'l' | b'g') => 2,
        _ => 3,
    };
    let mut parts = line.splitn(words + 1, |byte| *byte == b' ');
    let known: Vec<&str> = parts.by_ref().take(words).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let path = read_path(parts.next().unwrap_or_default());
    let at = entry.join(&path);
    let Ok(metadata) = fs::symlink_metadata(&at) else { return State::Damaged(path) };
    let (is_unchanged, is_same) = match known.as_slice() {
        ["d", hash, time] => {
            let is_same = || Listing::read(&at).is_ok_and(|listing| listing.hash() == *hash);
            // The seal itself comes and goes in the entry's own folder, whose time therefore says nothing.
            match path.as_os_str().is_empty() {
                true => (is_same(), false),
                false if modified(&metadata).to_string() == *time => (true, true),
                false => (false, is_same()),
            }
        }
        ["f", hash, size, time, changed] => {
            let is_same = || fs::read(&at).is_ok_and(|content| blake3::hash(&content).to_hex().as_str() == *hash);
            match identity(&metadata) == format!("{size} {time} {changed}") {
                true => (true, true),
                false => (false, metadata.is_file() && is_same()),
            }
        }
        ["l", hash] => (target_hash(&at).is_ok_and(|found| found == *hash), false),
        ["g", size] => (size.parse().is_ok_and(|size: u64| metadata.len() >= size), false),
        ["c", size, time] => (metadata.len().to_string() == *size && modified(&metadata).to_string() == *time, false),
        _ => return State::Damaged(PathBuf::from(SEAL)),
    };
    match (is_unchanged, is_same) {
        (true, _) => State::Whole,
        (false, true) => State::Moved,
        (false, false) => State::Damaged(path),
    }
}

/// What a folder holds.
struct Listing {
    /// In the order of their names, without the seal.
    files: Vec<(std::ffi::OsString, Metadata)>,
    /// Where symbolic links lead, in the same order.
    links: Vec<PathBuf>,
}

impl Listing {
    fn read(dir: &Path) -> io::Result<Listing> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_seal = name == SEAL || name.as_bytes().starts_with(b".tmp");
            if !is_seal {
                files.push((name, entry.metadata()?));
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let is_link = |metadata: &Metadata| metadata.file_type().is_symlink();
        let links = files.iter().filter(|(_, metadata)| is_link(metadata));
        let links = links.map(|(name, _)| fs::read_link(dir.join(name))).collect::<io::Result<_>>()?;
        Ok(Listing { files, links })
    }

    /// Of names, of the sizes of files, of what links lead to. Not of times: a cache may be copied.
    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        };
        for (name, metadata) in &self.files {
            add(name.as_bytes());
            add(&if metadata.is_file() { metadata.len().to_le_bytes().to_vec() } else { Vec::new() });
        }
        self.links.iter().for_each(|link| add(link.as_os_str().as_bytes()));
        hasher.finalize().to_hex().to_string()
    }
}

fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// Changes whenever the file is written, whatever its writer does to the times.
fn identity(metadata: &Metadata) -> String {
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    format!("{} {} {changed}", metadata.len(), modified(metadata))
}
