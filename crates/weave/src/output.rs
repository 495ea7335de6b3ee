//! What the go command prints, with paths of the cache turned back into the paths that a plain build would print.
//!
//! The text streams: only a piece that may be the beginning of such a path waits for its end. Everything else passes
//! byte for byte at once, so prompts, progress and binary output of tests arrive as they were written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::plan::Mapping;
use crate::splice::{self, Edit};

/// Turns paths back.
#[derive(Clone)]
pub struct PathFilter(Arc<Table>);

struct Table {
    /// Entries of the cache (`goroot/1f3…`) that this build uses, and what is in them.
    entries: BTreeMap<String, Entry>,
    cache_root: PathBuf,
    working_dir: PathBuf,
    /// Paths that are JSON values are absolute in a plain run too (`go vet -json`).
    absolute: bool,
}

/// The meaning of one cache entry.
struct Entry {
    /// The folder or file that the entry's content stands for.
    real: PathBuf,
    /// The part of the entry's path that `real` stands for: empty, or the file's or module's name.
    below: PathBuf,
    /// Edits by path below `below`.
    edits: BTreeMap<PathBuf, Vec<Edit>>,
}

/// A pipe whose reader filters.
pub struct Pipe {
    writer: PipeWriter,
    reader: JoinHandle<()>,
}

impl Pipe {
    /// An end for a child process.
    pub fn writer(&self) -> io::Result<PipeWriter> {
        self.writer.try_clone()
    }

    /// Waits until everything has passed.
    pub fn finish(self) {
        drop(self.writer);
        // A filter thread that panicked has printed why.
        let _ = self.reader.join();
    }
}

/// Whether two streams are the same file, so that the order of what they show matters.
pub fn same_file(a: impl AsFd, b: impl AsFd) -> bool {
    let identity = |stream: rustix::io::Result<rustix::fs::Stat>| stream.ok().map(|stat| (stat.st_dev, stat.st_ino));
    let (a, b) = (identity(rustix::fs::fstat(a)), identity(rustix::fs::fstat(b)));
    a.is_some() && a == b
}

impl PathFilter {
    /// For one build, run in `working_dir`.
    pub fn new(mapping: &Mapping, working_dir: &Path, absolute: bool) -> PathFilter {
        let mut table = Table {
            entries: BTreeMap::new(),
            cache_root: mapping.cache_root.clone(),
            working_dir: working_dir.to_owned(),
            absolute,
        };
        table.add(&mapping.shadow_root, &mapping.real_root, root_edits(mapping));
        let mut in_module_cache = BTreeMap::new();
        for shadow in &mapping.modules {
            let Some(dir) = &shadow.dir else { continue };
            let edits = shadow.files.iter().filter_map(|(path, edits)| Some((path, edits.clone()?)));
            let below = mapping.module_cache.as_ref().and_then(|cache| dir.strip_prefix(&cache.dir).ok());
            match below {
                Some(below) => in_module_cache.extend(edits.map(|(path, edits)| (below.join(path), edits))),
                None => table.add(dir, &shadow.module.dir, edits.map(|(path, edits)| (path.clone(), edits)).collect()),
            }
        }
        if let Some(cache) = &mapping.module_cache {
            table.add(&cache.dir, &cache.real, in_module_cache);
        }
        for (plain, file) in &mapping.overlay {
            let edits = file.edits.iter().map(|edits| (PathBuf::new(), edits.clone()));
            table.add(&file.woven, plain, edits.collect());
        }
        for (copy, plain) in &mapping.manifests {
            if let (Some(copy), Some(plain)) = (copy.parent(), plain.parent()) {
                table.add(copy, plain, BTreeMap::new());
            }
        }
        PathFilter(Arc::new(table))
    }

    /// A pipe whose text goes to `to`.
    pub fn pipe(&self, to: impl Write + Send + 'static) -> io::Result<Pipe> {
        let (reader, writer) = io::pipe()?;
        let table = self.0.clone();
        let reader = std::thread::spawn(move || pass(&table, reader, to));
        Ok(Pipe { writer, reader })
    }

    /// A whole text.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.0.map(text.as_bytes())).into_owned()
    }
}

/// The edits of the shadow GOROOT lie in its own description, read when they are first needed.
fn root_edits(mapping: &Mapping) -> BTreeMap<PathBuf, Vec<Edit>> {
    let text = fs::read(mapping.shadow_root.join(crate::goroot::DESCRIPTION)).unwrap_or_default();
    let description = serde_json::from_slice::<crate::goroot::Description>(&text);
    let files = description.map(|description| description.files).unwrap_or_default();
    files.into_iter().filter_map(|(path, edits)| Some((path, edits?))).collect()
}

fn pass(table: &Table, mut from: PipeReader, mut to: impl Write) {
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        held.extend_from_slice(&buffer[..count]);
        let ready = held.len() - table.undecided(&held);
        let text = table.map(&held[..ready]);
        held.drain(..ready);
        if to.write_all(&text).and_then(|()| to.flush()).is_err() {
            break; // nobody listens any more; the go command learns it from the closed pipe
        }
    }
    let _ = to.write_all(&table.map(&held)).and_then(|()| to.flush());
}

/// Length of the hexadecimal name of a cache entry.
const NAME_LENGTH: usize = 32;
/// A piece of the cache folder's path that is long enough to wait for the rest.
const SUSPICIOUS_LENGTH: usize = 8;

impl Table {
    fn add(&mut self, place: &Path, real: &Path, edits: BTreeMap<PathBuf, Vec<Edit>>) {
        let Ok(relative) = place.strip_prefix(&self.cache_root) else { return };
        let mut components = relative.components();
        let name: PathBuf = components.by_ref().take(2).collect();
        let below = components.as_path().to_owned();
        self.entries.insert(name.to_string_lossy().into_owned(), Entry { real: real.to_owned(), below, edits });
    }

    /// How many bytes at the end may be the beginning of a path in the cache.
    fn undecided(&self, text: &[u8]) -> usize {
        let line_start = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = &text[line_start..];
        let root = self.cache_root.as_os_str().as_encoded_bytes();
        let last_name = self.cache_root.file_name().unwrap_or_default().as_encoded_bytes();
        let has_path = find(line, &[b"/", last_name, b"/"].concat()).is_some();
        let longest = root.len().min(line.len());
        let ends_in_root = (SUSPICIOUS_LENGTH..=longest).any(|length| line.ends_with(&root[..length]));
        if has_path || ends_in_root { line.len() } else { 0 }
    }

    fn map(&self, text: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(text.len());
        let mut done = 0;
        let mut from = 0;
        while let Some((name, end)) = next_entry_name(text, from) {
            from = end;
            let Some(entry) = self.entries.get(&name) else { continue };
            let start = path_start(text, done, end - name.len());
            let path_end = path_end(text, end);
            let below =
                Path::new(std::str::from_utf8(&text[end..path_end]).unwrap_or_default().trim_start_matches('/'));
            let Some((real, inside)) = entry.resolve(below) else { continue };
            output.extend_from_slice(&text[done..start]);
            let is_absolute = text[start..path_end].starts_with(b"/");
            let is_json_value = start > 0 && text[start - 1] == b'"';
            let shown = if self.absolute && is_json_value {
                real.to_string_lossy().into_owned()
            } else {
                self.display(&real, is_absolute, &name, below)
            };
            output.extend_from_slice(shown.as_bytes());
            done = path_end;
            if let Some((position, length)) =
                entry.edits.get(&inside).and_then(|edits| original_position(&text[path_end..], &real, edits))
            {
                output.extend_from_slice(position.as_bytes());
                done = path_end + length;
            }
            from = done;
        }
        output.extend_from_slice(&text[done..]);
        output
    }

    /// The real path as the go command would print it: relative to the working folder where that is shorter.
    fn display(&self, real: &Path, was_absolute: bool, name: &str, below: &Path) -> String {
        let woven = self.cache_root.join(name).join(below);
        let was_kept_absolute = was_absolute && self.is_shortened(&woven, real);
        if was_kept_absolute {
            return real.to_string_lossy().into_owned();
        }
        let dir = real.parent().unwrap_or(Path::new("/"));
        let relative = relative(&self.working_dir, dir);
        let base = real.file_name().unwrap_or_default().to_string_lossy();
        if relative.len() < dir.as_os_str().len() {
            format!("{relative}/{base}")
        } else {
            real.to_string_lossy().into_owned()
        }
    }

    /// Whether the go command would have printed a compiler's message about the woven file with a relative path: it
    /// shortens the package's folder and the folders above it.
    fn is_shortened(&self, woven: &Path, real: &Path) -> bool {
        let dir = real.parent().unwrap_or(Path::new("/"));
        let common = dir.ancestors().find(|ancestor| woven.starts_with(ancestor)).unwrap_or(Path::new("/"));
        relative(&self.working_dir, common).len() < common.as_os_str().len()
    }
}

impl Entry {
    /// The real path of `path` below the entry, and what of it lies below `self.below`.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathBuf)> {
        let inside = path.strip_prefix(&self.below).ok()?;
        let real = if inside.as_os_str().is_empty() { self.real.clone() } else { self.real.join(inside) };
        Some((real, inside.to_owned()))
    }
}

/// The next `kind/0123…` in a path, and where it ends.
fn next_entry_name(text: &[u8], from: usize) -> Option<(String, usize)> {
    let mut at = from;
    while let Some(slash) = text.get(at..)?.iter().position(|byte| *byte == b'/').map(|found| at + found) {
        at = slash + 1;
        let name = text.get(at..at + NAME_LENGTH)?;
        let is_name = name.iter().all(|byte| byte.is_ascii_hexdigit());
        let ends = text.get(at + NAME_LENGTH).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if is_name && ends {
            let kind_start = text[..slash].iter().rposition(|byte| *byte == b'/').map_or(0, |found| found + 1);
            let end = at + NAME_LENGTH;
            return Some((String::from_utf8_lossy(&text[kind_start..end]).into_owned(), end));
        }
    }
    None
}

fn is_path_border(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(byte, b'"' | b'\'' | b'`' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b'=' | b':')
}

fn path_start(text: &[u8], done: usize, name_start: usize) -> usize {
    text[done..name_start].iter().rposition(|byte| is_path_border(*byte)).map_or(done, |found| done + found + 1)
}

fn path_end(text: &[u8], name_end: usize) -> usize {
    text[name_end..]
        .iter()
        .position(|byte| is_path_border(*byte) || *byte == b'\\')
        .map_or(text.len(), |found| name_end + found)
}

/// `:line:column` with the column of the plain file, and how long the printed one was.
fn original_position(rest: &[u8], real: &Path, edits: &[Edit]) -> Option<(String, usize)> {
    let rest = std::str::from_utf8(rest.get(..rest.len().min(32))?)
        .ok()
        .or_else(|| std::str::from_utf8(&rest[..rest.iter().position(|byte| !byte.is_ascii())?]).ok())?;
    let mut numbers = rest.strip_prefix(':')?.splitn(3, ':');
    let line: usize = numbers.next()?.parse().ok()?;
    let after = numbers.next()?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let column: usize = after[..digits].parse().ok()?;
    let length = rest.find(after)? + digits;
    let plain = fs::read_to_string(real).ok()?;
    Some((format!(":{line}:{}", splice::original_column(&plain, edits, line, column)), length))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// `to` as seen from `from`; both absolute and clean.
fn relative(from: &Path, to: &Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common).map(|component| component.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}
