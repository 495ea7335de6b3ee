//! Finds the go command's record in an executable: a section of its own, inline since Go 1.18.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use object::read::{Object, ObjectSection, ObjectSegment, ReadCache};
use object::{BinaryFormat, ReadRef, SegmentFlags, elf, macho, pe};
use thiserror::Error;

use crate::build::BuildInformation;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Linux, the BSDs.
    Elf,
    /// macOS.
    MachO,
    /// Windows.
    Pe,
}

/// A Go executable.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Its format.
    pub format: Format,
    /// What was recorded.
    pub build: BuildInformation,
}

/// Why nothing can be said about a file.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no executable: {what}")]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It is cut short, or its tables contradict each other.
    #[error("{path} is damaged or cut short: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It holds no record of the go command.
    #[error("{path} was not built by the go command, or what that recorded was taken out")]
    NotGo {
        /// The file.
        path: PathBuf,
    },
    /// Its record has the form of Go 1.17 and older.
    #[error("{path} was built with Go 1.17 or older, which was never woven")]
    OldGo {
        /// The file.
        path: PathBuf,
    },
}

/// What the record begins with.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The record begins at a multiple of this.
const ALIGNMENT: usize = 16;
/// Magic, pointer size, flags, and space for two pointers that are no longer used.
const HEADER_LENGTH: usize = 32;
/// The bit of the flags that says that the strings follow the header.
const INLINE: u8 = 2;
/// Marks of this length surround the module information.
pub const MARK_LENGTH: usize = 16;

impl Executable {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Executable, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(ReadError::NotExecutable { path: path.to_owned(), what: "it is no file" });
        }
        let cache = ReadCache::new(file);
        let damaged = |problem: String| ReadError::Damaged { path: path.to_owned(), problem };
        if let Some(what) = other_kind(&cache) {
            return Err(ReadError::NotExecutable { path: path.to_owned(), what });
        }
        let file = object::File::parse(&cache).map_err(|error| damaged(error.to_string()))?;
        Self::of(&file, path)
    }

    /// What a parsed file says; its path is for messages.
    pub(crate) fn of<'data, R: ReadRef<'data>>(
        file: &object::File<'data, R>,
        path: &Path,
    ) -> Result<Executable, ReadError> {
        let damaged = |problem: String| ReadError::Damaged { path: path.to_owned(), problem };
        let format = match file.format() {
            BinaryFormat::Elf => Format::Elf,
            BinaryFormat::MachO => Format::MachO,
            BinaryFormat::Pe => Format::Pe,
            _ => return Err(ReadError::NotExecutable { path: path.to_owned(), what: "its format is not known" }),
        };
        let record = record_bytes(file, format).map_err(|error| damaged(error.to_string()))?;
        let Some(record) = record else { return Err(ReadError::NotGo { path: path.to_owned() }) };
        let flags = record.get(MAGIC.len() + 1).copied();
        match flags {
            Some(flags) if flags & INLINE != 0 => {}
            Some(_) => return Err(ReadError::OldGo { path: path.to_owned() }),
            None => return Err(damaged("the go command's record has no end".into())),
        }
        let build = build_information(record).ok_or_else(|| damaged("the go command's record has no end".into()))?;
        Ok(Executable { format, build })
    }
}

/// What people may give by mistake.
pub(crate) fn other_kind<'data, R: ReadRef<'data>>(cache: R) -> Option<&'static str> {
    let length = cache.len().unwrap_or_default().min(8);
    let beginning = cache.read_bytes_at(0, length).unwrap_or_default();
    match beginning {
        b"!<arch>\n" => Some("it is an archive (-buildmode=c-archive); ask the program it was linked into"),
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => {
            Some("it holds programs for several machines; take one out with lipo -thin")
        }
        [b'#', b'!', ..] => Some("it is a script"),
        [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] => None,
        [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => None,
        _ => Some("it begins like no format that Go writes (ELF, Mach-O, PE)"),
    }
}

/// The record and what follows it in its section.
fn record_bytes<'data, R: ReadRef<'data>>(
    file: &object::File<'data, R>,
    format: Format,
) -> object::Result<Option<&'data [u8]>> {
    let name = if format == Format::MachO { "__go_buildinfo" } else { ".go.buildinfo" };
    if let Some(section) = file.section_by_name(name) {
        return Ok(find_record(section.data()?));
    }
    // PE has no such section, and section names can be taken out: then it is at the beginning of the data.
    for segment in file.segments().filter(|segment| is_writable(segment.flags())) {
        if let Some(record) = find_record(segment.data()?) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn is_writable(flags: SegmentFlags) -> bool {
    match flags {
        SegmentFlags::Elf { p_flags, .. } => p_flags.0 & elf::PF_W.0 != 0,
        SegmentFlags::MachO { initprot, .. } => initprot.0 & macho::VM_PROT_WRITE.0 != 0,
        SegmentFlags::Coff { characteristics } => characteristics.0 & pe::IMAGE_SCN_MEM_WRITE.0 != 0,
        _ => false,
    }
}

fn find_record(data: &[u8]) -> Option<&[u8]> {
    (0..data.len()).step_by(ALIGNMENT).map(|at| &data[at..]).find(|data| data.starts_with(MAGIC))
}

fn build_information(record: &[u8]) -> Option<BuildInformation> {
    let mut rest = record.get(HEADER_LENGTH..)?;
    let version = string(&mut rest)?;
    let modules = string(&mut rest)?;
    // An empty one is a program that was linked without the go command.
    let text = modules.get(MARK_LENGTH..modules.len().saturating_sub(MARK_LENGTH)).unwrap_or_default();
    Some(BuildInformation::parse(&String::from_utf8_lossy(version), &String::from_utf8_lossy(text)))
}

/// A length in the form of Go's `binary.Uvarint`, and as many bytes.
fn string<'data>(rest: &mut &'data [u8]) -> Option<&'data [u8]> {
    let mut length: u64 = 0;
    let mut shift = 0;
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        length |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(text)
}
