//! Objects as the compiler writes them: an archive whose first part is the export data, all that another compilation reads
//! of it, and whose second is the code. Assembled parts, which the go command appends, follow.
//!
//! Both parts name the build id in their heads. It says where an object came from, and is the one thing in which two
//! compilations of the same input differ.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const MAGIC: &[u8] = b"!<arch>\n";
const HEAD_LENGTH: usize = 60;
/// How a head ends, and the length of the number before that.
const END: &[u8] = b"`\n";
const LENGTH_LENGTH: usize = 10;
/// Names in an archive are cut to this length.
const NAME_LENGTH: usize = 16;
const EXPORT_DATA: &str = "__.PKGDEF";
const CODE: &str = "_go_.o";
const BUILD_ID: &[u8] = b"\nbuild id \"";

/// The parts of an object.
pub struct Object {
    content: Vec<u8>,
    /// Name, and where the content lies.
    parts: Vec<(String, std::ops::Range<usize>)>,
}

impl Object {
    /// Reads an object; `None` where it is not of the form that we know.
    pub fn read(path: &Path) -> Option<Object> {
        let content = std::fs::read(path).ok()?;
        let mut parts = Vec::new();
        let mut at = content.starts_with(MAGIC).then_some(MAGIC.len())?;
        while at < content.len() {
            let (name, length) = read_head(content.get(at..at + HEAD_LENGTH)?)?;
            let start = at + HEAD_LENGTH;
            content.get(start..start.checked_add(length)?)?;
            parts.push((name, start..start + length));
            at = start + length + length % 2;
        }
        let is_known =
            matches!(parts.as_slice(), [(first, _), (second, _), ..] if first == EXPORT_DATA && second == CODE);
        is_known.then_some(Object { content, parts })
    }

    /// What the compiler alone had written under another build id; `None` where that is no id of the same length.
    pub fn with_build_id(&self, build_id: &str) -> Option<Vec<u8>> {
        let code = &self.parts.get(1)?.1;
        let mut content = self.content.get(..code.end)?.to_vec();
        for (_, part) in &self.parts[..2] {
            let id = build_id_in(&content[part.clone()])?;
            let place = part.start + id.start..part.start + id.end;
            (place.len() == build_id.len()).then_some(())?;
            content[place].copy_from_slice(build_id.as_bytes());
        }
        if code.len() % 2 == 1 {
            content.push(0);
        }
        Some(content)
    }

    /// What importers read, behind a head.
    pub fn export_data(&self) -> &[u8] {
        &self.content[self.parts[0].1.clone()]
    }

    /// The symbols, behind a head.
    pub fn code(&self) -> &[u8] {
        &self.content[self.parts[1].1.clone()]
    }

    /// What the compiler alone had written, with other parts, under a build id; `None` where that is no id of the same
    /// length.
    pub fn with_parts(&self, export_data: &[u8], code: &[u8], build_id: &str) -> Option<Vec<u8>> {
        let mut content = MAGIC.to_vec();
        for ((_, range), part) in self.parts.iter().zip([export_data, code]) {
            let head = &self.content[range.start - HEAD_LENGTH..range.start];
            let (kept, _) = head.split_at(HEAD_LENGTH - LENGTH_LENGTH - END.len());
            content.extend_from_slice(kept);
            content.extend_from_slice(format!("{:<LENGTH_LENGTH$}", part.len()).as_bytes());
            content.extend_from_slice(END);
            let start = content.len();
            content.extend_from_slice(part);
            let id = build_id_in(part)?;
            let id = start + id.start..start + id.end;
            (id.len() == build_id.len()).then_some(())?;
            content[id].copy_from_slice(build_id.as_bytes());
            if part.len() % 2 == 1 {
                content.push(0);
            }
        }
        Some(content)
    }

    /// An assembled part, by the name of its file; `None` where there are several that may be meant.
    pub fn assembled(&self, file_name: &str) -> Option<&[u8]> {
        let cut = file_name.get(..NAME_LENGTH).unwrap_or(file_name);
        let mut found = self.parts.iter().skip(2).filter(|(name, _)| name == cut);
        let (_, part) = found.next()?;
        found.next().is_none().then(|| &self.content[part.clone()])
    }
}

/// Whether two objects look the same to who imports them.
pub fn same_exports(one: &Path, other: &Path) -> bool {
    one == other || matches!((export_data(one), export_data(other)), (Some(one), Some(other)) if one == other)
}

/// The export data but for the build id.
fn export_data(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut head = [0; MAGIC.len() + HEAD_LENGTH];
    file.read_exact(&mut head).ok()?;
    let (name, length) = read_head(head.strip_prefix(MAGIC)?)?;
    (name == EXPORT_DATA).then_some(())?;
    let mut content = Vec::with_capacity(length);
    let read: io::Result<usize> = file.take(length as u64).read_to_end(&mut content);
    (read.ok()? == length).then_some(())?;
    let id = build_id_in(&content)?;
    content.drain(id);
    Some(content)
}

/// Name and length of the part that follows.
fn read_head(head: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(head).ok()?.strip_suffix("`\n")?;
    let (name, rest) = text.split_at_checked(NAME_LENGTH)?;
    Some((name.trim_end().to_owned(), rest.split_whitespace().last()?.parse().ok()?))
}

/// Where the build id stands in a part's head, which is text.
fn build_id_in(part: &[u8]) -> Option<std::ops::Range<usize>> {
    const LONGEST_HEAD: usize = 4096;
    let head = &part[..part.len().min(LONGEST_HEAD)];
    let start = head.windows(BUILD_ID.len()).position(|window| window == BUILD_ID)? + BUILD_ID.len();
    let length = head[start..].iter().position(|byte| *byte == b'"')?;
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut content = MAGIC.to_vec();
        for (name, part) in parts {
            content.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, part.len()).bytes());
            content.extend_from_slice(part);
            content.extend(vec![0; part.len() % 2]);
        }
        content
    }

    fn object(id: &str, export: &str, code: &str) -> Vec<u8> {
        let part = |text: &str| format!("go object linux amd64 go1.26\nbuild id \"{id}\"\n\n{text}").into_bytes();
        archive(&[
            (EXPORT_DATA, &part(export)),
            (CODE, &part(code)),
            ("asm_amd64.o", b"asm"),
            ("a_name_longer_th", b"x"),
        ])
    }

    #[test]
    fn another_build_id_is_all_that_changes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, content: &[u8]| {
            std::fs::write(dir.path().join(name), content).expect("writable");
            dir.path().join(name)
        };
        let one = write("one", &object("aa/bb", "export", "odd"));
        let other = write("other", &object("cc/cc", "export", "odd"));
        let read = Object::read(&one).expect("it is one");
        let compiled = read.with_build_id("cc/cc").expect("as long");
        assert!(object("cc/cc", "export", "odd").starts_with(&compiled));
        assert_eq!(Object::read(&write("compiled", &compiled)).map(|object| object.parts.len()), Some(2));
        assert_eq!(read.with_build_id("longer/longer"), None);
        assert_eq!(read.assembled("asm_amd64.o"), Some(&b"asm"[..]));
        assert_eq!(read.assembled("a_name_longer_than_that.o"), Some(&b"x"[..]));
        assert_eq!(read.assembled("asm.o"), None);
        assert!(same_exports(&one, &other) && same_exports(&one, &one));
        assert!(!same_exports(&one, &write("changed", &object("aa/bb", "Export", "odd"))));
        assert!(!same_exports(&one, &write("text", b"no object")) && !same_exports(&one, &dir.path().join("absent")));
        for cut in 0..compiled.len() - 1 {
            assert!(Object::read(&write("cut", &compiled[..cut])).is_none(), "{cut}");
        }
    }
}
