//! A Go program as probes see it: functions by name with their places in the file, what the go command recorded, and the
//! bytes behind addresses.
//!
//! Functions come from the runtime's own table, which no stripping takes out; a symbol table is never asked, so one way
//! serves every program. The file is read by position and never as a whole.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use memchr::memmem;
use object::read::{Object, ObjectSection, ObjectSegment, ReadCache};
use object::{Architecture, SegmentFlags, elf};
use thiserror::Error;

use crate::build::BuildInformation;
use crate::executable::{Executable, Format, ReadError, other_kind};
use crate::line_table::{Entry, LineTable, Relocations};
use crate::sites::callers::Callers;
use crate::source::{Source, Stream};
use crate::tls;

/// What is read of a file to know its tables, for each of its bytes and altogether: tables may overlap.
const READ_FOR_EACH_BYTE: u64 = 3;
const READ_AT_LEAST: u64 = 1 << 20;
const MOST_SEGMENTS: usize = 64;

/// A Go executable for Linux on amd64.
#[derive(Debug)]
pub struct Binary {
    source: Source,
    length: u64,
    build: BuildInformation,
    lines: LineTable,
    relocations: Relocations,
    /// Where the module's own data lie.
    module: Option<u64>,
    loads: Vec<Load>,
    debug: Vec<DebugSection>,
    by_name: OnceLock<HashMap<u32, Vec<Entry>>>,
    callers: OnceLock<Callers>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `net/http.(*conn).serve`.
    pub name: String,
    /// Where it was linked at.
    pub address: u64,
    /// Bytes of code, and what pads them.
    pub size: u64,
    /// Where its code lies in the file.
    pub file_offset: u64,
}

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub address: u64,
    pub size: u64,
    pub file_offset: u64,
    pub file_size: u64,
    pub is_code: bool,
}

/// A section for debuggers.
#[derive(Debug, Clone)]
pub(crate) struct DebugSection {
    pub name: &'static str,
    pub file_offset: u64,
    pub file_size: u64,
    /// Its size when it is unpacked, where it is packed.
    pub unpacked: Option<u64>,
}

/// Why a program cannot be observed from outside.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// It is no Go program, or a broken one.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It runs on another system or processor.
    #[error("{path} is for {what}; probes are placed in programs for Linux on amd64 only")]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// `arm64`, or a format.
        what: String,
    },
    /// It has no table of functions in a form that is known.
    #[error("{path} ({go}) has no table of functions in the form of Go 1.18 to 1.27")]
    NoFunctions {
        /// The file.
        path: PathBuf,
        /// Which Go built it.
        go: String,
    },
}

impl Binary {
    /// Opens an executable.
    pub fn open(path: &Path) -> Result<Binary, BinaryError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        Self::of_file(File::open(path).map_err(unreadable)?, path)
    }

    /// The same of a file that is open already; its path is for messages.
    pub fn of_file(file: File, path: &Path) -> Result<Binary, BinaryError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(ReadError::NotExecutable { path: path.to_owned(), what: "it is no file" }.into());
        }
        Self::of(Source::File(Arc::new(file)), about.len(), path)
    }

    /// Of a program that lies in memory.
    pub fn read(bytes: Vec<u8>) -> Result<Binary, BinaryError> {
        let length = bytes.len() as u64;
        Self::of(Source::Bytes(bytes.into()), length, Path::new("the program"))
    }

    fn of(source: Source, length: u64, path: &Path) -> Result<Binary, BinaryError> {
        let damaged = |problem: String| ReadError::Damaged { path: path.to_owned(), problem };
        let broken = |error: object::Error| damaged(error.to_string());
        let limit = length.saturating_mul(READ_FOR_EACH_BYTE).saturating_add(READ_AT_LEAST);
        let cache = ReadCache::new(Stream::new(source.clone(), limit));
        if let Some(what) = other_kind(&cache) {
            return Err(ReadError::NotExecutable { path: path.to_owned(), what }.into());
        }
        let file = object::File::parse(&cache).map_err(broken)?;
        let elsewhere = |what: &str| BinaryError::Elsewhere { path: path.to_owned(), what: what.to_owned() };
        let loads = loads(&file);
        if loads.len() > MOST_SEGMENTS {
            return Err(damaged(format!("it is loaded in {} parts", loads.len())).into());
        }
        let executable = Executable::of(&file, path)?;
        match (executable.format, file.architecture()) {
            (Format::MachO, _) => return Err(elsewhere("macOS")),
            (Format::Pe, _) => return Err(elsewhere("Windows")),
            (Format::Elf, Architecture::X86_64) if file.is_64() && file.is_little_endian() => {}
            (Format::Elf, Architecture::Aarch64) => return Err(elsewhere("arm64")),
            (Format::Elf, other) => return Err(elsewhere(&format!("{other:?}").to_lowercase())),
        }
        let table = LineTable::of_functions(&file).map_err(broken)?;
        let Some((lines, surroundings)) = table else {
            return Err(BinaryError::NoFunctions { path: path.to_owned(), go: executable.build.go_version });
        };
        Ok(Binary {
            debug: debug_sections(&file),
            source,
            length,
            build: executable.build,
            lines,
            relocations: surroundings.relocations,
            module: surroundings.module,
            loads,
            by_name: OnceLock::new(),
            callers: OnceLock::new(),
        })
    }

    /// `go1.26.8`.
    pub fn go_version(&self) -> &str {
        &self.build.go_version
    }

    /// All that the go command recorded.
    pub fn build(&self) -> &BuildInformation {
        &self.build
    }

    /// The version of a module that was built in: that of its replacement, if it has one. A replacement by a folder has none.
    pub fn module_version(&self, path: &str) -> Option<&str> {
        let modules = self.build.main.iter().chain(&self.build.dependencies);
        let module = modules.into_iter().find(|module| module.path == path)?.effective();
        Some(module.version.as_str()).filter(|version| !version.is_empty())
    }

    /// A function by its full name, as stack traces show it. Of two with one name (a function and the wrapper that adapts
    /// its arguments) the longer.
    pub fn function(&self, name: &str) -> Option<Function> {
        let offsets = self.name_offsets(name);
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name: HashMap<u32, Vec<Entry>> = HashMap::new();
            for entry in self.lines.entries() {
                by_name.entry(entry.name).or_default().push(entry);
            }
            by_name
        });
        let named = offsets.into_iter().filter_map(|offset| by_name.get(&offset)).flatten();
        self.described(*named.max_by_key(|entry| entry.end - entry.address)?)
    }

    /// Every function, by address.
    pub fn functions(&self) -> impl Iterator<Item = Function> + '_ {
        self.lines.entries().filter_map(|entry| self.described(entry))
    }

    /// The function whose code holds an address.
    pub fn function_at(&self, address: u64) -> Option<Function> {
        self.described(self.lines.entry_at(address)?)
    }

    /// The program has code of this package.
    pub fn has_package(&self, path: &str) -> bool {
        let beginning = format!("\0{}.", escaped(path));
        memmem::find(self.lines.names(), beginning.as_bytes()).is_some()
    }

    /// How far from its thread pointer a thread keeps the address of its goroutine. `None` where that is only known when the
    /// program runs; in Go's own functions register R14 holds it as well.
    pub fn tls_g_offset(&self) -> Option<i64> {
        tls::g_offset(self)
    }

    /// Names and lines by address.
    pub fn line_table(&self) -> &LineTable {
        &self.lines
    }

    /// Where the byte at an address lies in the file.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        let load = self.load_at(address)?;
        let within = address - load.address;
        (within < load.file_size).then(|| load.file_offset.checked_add(within))?
    }

    /// Where names may begin that are this name.
    fn name_offsets(&self, name: &str) -> Vec<u32> {
        let names = self.lines.names();
        let whole = [name.as_bytes(), b"\0"].concat();
        let begins = |&at: &usize| at == 0 || names[at - 1] == 0;
        memmem::find_iter(names, &whole).filter(begins).filter_map(|at| u32::try_from(at).ok()).take(8).collect()
    }

    fn described(&self, entry: Entry) -> Option<Function> {
        let name = self.lines.name(entry.name as usize)?;
        Some(Function {
            name: String::from_utf8_lossy(name).into_owned(),
            address: entry.address,
            size: entry.end.checked_sub(entry.address)?,
            file_offset: self.file_offset(entry.address)?,
        })
    }

    fn load_at(&self, address: u64) -> Option<&Load> {
        self.loads.iter().find(|load| address >= load.address && address - load.address < load.size)
    }

    pub(crate) fn loads(&self) -> &[Load] {
        &self.loads
    }

    pub(crate) fn relocations(&self) -> &Relocations {
        &self.relocations
    }

    pub(crate) fn module(&self) -> Option<u64> {
        self.module
    }

    pub(crate) fn debug(&self) -> &[DebugSection] {
        &self.debug
    }

    pub(crate) fn callers(&self) -> &Callers {
        self.callers.get_or_init(|| Callers::of(self))
    }

    /// Bytes of the file.
    pub(crate) fn read_file(&self, offset: u64, into: &mut [u8]) -> Option<usize> {
        self.source.read_at(offset, into).ok()
    }

    /// What is loaded at an address, as it lies in the file: what the dynamic loader changes is not. As many bytes as asked
    /// for, or none.
    pub(crate) fn bytes(&self, address: u64, count: usize) -> Option<Vec<u8>> {
        let load = self.load_at(address)?;
        let within = address - load.address;
        if (count as u64) > load.size - within || load.file_size.saturating_sub(within) < count as u64 {
            return None;
        }
        self.file_bytes(load.file_offset.checked_add(within)?, count as u64)
    }

    /// So many bytes of the file, or none.
    pub(crate) fn file_bytes(&self, offset: u64, count: u64) -> Option<Vec<u8>> {
        if offset.checked_add(count)? > self.length {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(count).ok()?];
        (self.read_file(offset, &mut bytes)? == bytes.len()).then_some(bytes)
    }

    /// A word that is loaded at an address, as the program sees it.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        if let Some(word) = self.relocations.at(address) {
            return Some(word);
        }
        let bytes = self.bytes(address, 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// The path of a package as the linker writes it: dots of its last element would look like the end of the path.
fn escaped(path: &str) -> String {
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}{}", &path[..last], path[last..].replace('.', "%2e"))
}

fn loads<'data, R: object::ReadRef<'data>>(file: &object::File<'data, R>) -> Vec<Load> {
    let load = |segment: object::Segment<'data, '_, R>| {
        let (file_offset, file_size) = segment.file_range();
        let executable = |flags| matches!(flags, SegmentFlags::Elf { p_flags, .. } if p_flags.0 & elf::PF_X.0 != 0);
        let is_code = executable(segment.flags());
        Load { address: segment.address(), size: segment.size(), file_offset, file_size, is_code }
    };
    file.segments().map(load).take(MOST_SEGMENTS + 1).collect()
}

fn debug_sections<'data, R: object::ReadRef<'data>>(file: &object::File<'data, R>) -> Vec<DebugSection> {
    // Those that say which fields a type has, and what they refer to.
    let names = [".debug_info", ".debug_abbrev", ".debug_str", ".debug_str_offsets", ".debug_line_str"];
    let section = |name: &'static str| {
        // Until Go 1.18 packed ones had another name.
        let old_name = name.replacen('.', ".z", 1);
        let found = file.section_by_name(name).or_else(|| file.section_by_name(&old_name))?;
        let range = found.compressed_file_range().ok()?;
        let packed = match range.format {
            object::CompressionFormat::None => false,
            object::CompressionFormat::Zlib => true,
            _ => return None,
        };
        let unpacked = packed.then_some(range.uncompressed_size);
        Some(DebugSection { name, file_offset: range.offset, file_size: range.compressed_size, unpacked })
    };
    names.into_iter().filter_map(section).collect()
}
