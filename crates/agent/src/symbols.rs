//! What the addresses on a stack are: the functions of a program, by the table that it carries itself, and other things that
//! are mapped into it, by their names.
//!
//! A program may be anybody's: what is read of it is checked, and an address that leads nowhere ends the stack.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};

use gobin::{LineTable, Segment};
use model::{Frame, Location, ProfileKind};

use crate::profile::Sample;

/// Addresses of one program that are remembered.
const KNOWN: usize = 65_536;
/// Texts longer than this are cut.
const LONGEST_TEXT: usize = 1024;
/// What parks a goroutine, whatever for.
const PARKS: [&str; 2] = ["runtime.gopark", "runtime.goparkunlock"];
/// Mappings with code that are looked at.
const MOST_MAPPINGS: usize = 256;

/// A running program's executable and where it lies in memory, looked at while it lives.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) path: String,
    file: Option<File>,
    /// What is mapped with code in it.
    mappings: Vec<Mapping>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    file_offset: u64,
    path: String,
}

impl Image {
    /// Of a process. What may not be read is missing, and its functions have no names.
    pub(crate) fn of(pid: u32) -> Self {
        let link = format!("/proc/{pid}/exe");
        let path = fs::read_link(&link).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let mappings = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let mappings = mappings.lines().filter_map(mapping).take(MOST_MAPPINGS).collect();
        Self { file: File::open(link).ok(), path, mappings }
    }

    /// How far from where it was linked the program lies.
    fn bias(&self, code: &[Segment]) -> Option<u64> {
        let page = |number: u64| number & !0xfff;
        let own = self.mappings.iter().filter(|mapping| mapping.path == self.path);
        own.flat_map(|mapping| code.iter().map(move |segment| (mapping, segment)))
            .find(|(mapping, segment)| mapping.file_offset == page(segment.file_offset))
            .map(|(mapping, segment)| mapping.start.wrapping_sub(page(segment.address)))
    }
}

/// `start-end perms offset device inode path`, where the memory holds code.
fn mapping(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(word)
    };
    let (start, end) = word()?.split_once('-')?;
    let permissions = word()?;
    let offset = word()?;
    let (_device, _inode) = (word()?, word()?);
    let path = rest.trim_start();
    let number = |text| u64::from_str_radix(text, 16).ok();
    (permissions.as_bytes().get(2) == Some(&b'x') && !path.is_empty()).then_some(())?;
    Some(Mapping { start: number(start)?, end: number(end)?, file_offset: number(offset)?, path: path.to_owned() })
}

/// Tables of executables, one each however many processes run it.
#[derive(Debug, Default)]
pub(crate) struct Images(HashMap<(u64, u64, i64, u64), Weak<LineTable>>);

impl Images {
    fn table(&mut self, image: &Image) -> Option<Arc<LineTable>> {
        let file = image.file.as_ref()?;
        let facts = file.metadata().ok()?;
        let identity = (facts.dev(), facts.ino(), facts.mtime(), facts.size());
        if let Some(known) = self.0.get(&identity).and_then(Weak::upgrade) {
            return Some(known);
        }
        let table = match LineTable::read_file(file.try_clone().ok()?, Path::new(&image.path)) {
            Ok(table) => Arc::new(table?),
            Err(error) => {
                tracing::warn!("functions of {} have no names in profiles: {error}", image.path);
                return None;
            }
        };
        self.0.retain(|_, table| table.strong_count() > 0);
        self.0.insert(identity, Arc::downgrade(&table));
        Some(table)
    }
}

/// What addresses of one process are.
#[derive(Debug)]
pub(crate) struct Symbols {
    table: Option<Arc<LineTable>>,
    bias: u64,
    mappings: Vec<Mapping>,
    known: HashMap<u64, Option<Arc<Location>>>,
    /// Places in the kernel.
    kernel: HashMap<String, Arc<Location>>,
}

impl Symbols {
    pub(crate) fn of(image: Image, images: &mut Images) -> Self {
        let table = images.table(&image);
        let bias = table.as_ref().and_then(|table| image.bias(table.code()));
        let Image { mappings, .. } = image;
        Self {
            table: table.filter(|_| bias.is_some()),
            bias: bias.unwrap_or(0),
            mappings,
            known: HashMap::new(),
            kernel: HashMap::new(),
        }
    }

    /// The places on a sample's stack, the innermost first.
    pub(crate) fn stack(&mut self, sample: &Sample) -> Vec<Arc<Location>> {
        let mut stack = Vec::with_capacity(sample.stack.len() + 2);
        if let Some(place) = &sample.in_kernel {
            stack.push(self.in_kernel(place));
        }
        let Some((&innermost, callers)) = sample.stack.split_first() else { return stack };
        let is_parked = sample.kind == ProfileKind::OffCpu && sample.in_kernel.is_none();
        if is_parked {
            // Where it goes on is behind a call; that it parks is known.
            stack.extend(sample.stack.iter().map_while(|address| self.location(address.wrapping_sub(1))));
            let parks =
                |location: &Arc<Location>| location.frames.iter().any(|frame| PARKS.contains(&frame.function.as_str()));
            let first = stack.iter().position(|location| !parks(location)).unwrap_or(0);
            stack.drain(..first);
            return stack;
        }
        // In a system call it stands behind the instruction that made it.
        let address = innermost.wrapping_sub(u64::from(sample.in_kernel.is_some()));
        stack.extend(self.location(address));
        // A function that has no frame, or not yet, is followed by the caller's caller.
        let skipped = self.skipped_caller(innermost, sample).filter(|caller| callers.first() != Some(caller));
        for caller in skipped.iter().chain(callers) {
            match self.location(caller.wrapping_sub(1)) {
                Some(location) => stack.push(location),
                None => break,
            }
        }
        stack
    }

    fn skipped_caller(&self, innermost: u64, sample: &Sample) -> Option<u64> {
        let growth = self.table.as_ref()?.stack_growth(innermost.wrapping_sub(self.bias))?;
        let top = sample.top?;
        match growth {
            0 => Some(top[0]),
            8 => Some(top[1]),
            _ => None,
        }
    }

    fn in_kernel(&mut self, place: &str) -> Arc<Location> {
        if let Some(known) = self.kernel.get(place) {
            return Arc::clone(known);
        }
        let frame = Frame { function: format!("[{place}]"), ..Frame::default() };
        let location = Arc::new(Location { address: 0, frames: vec![frame] });
        self.kernel.insert(place.to_owned(), Arc::clone(&location));
        location
    }

    /// What is at an address; `None` where nothing is that could run.
    fn location(&mut self, address: u64) -> Option<Arc<Location>> {
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let found = self.look_up(address).map(Arc::new);
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(address, found.clone());
        found
    }

    fn look_up(&self, address: u64) -> Option<Location> {
        if let Some(table) = &self.table {
            let linked = address.wrapping_sub(self.bias);
            let frames = table.frames(linked);
            if !frames.is_empty() {
                return Some(Location { address: linked, frames: frames.iter().map(frame).collect() });
            }
        }
        let mapping = self.mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&address))?;
        let name = mapping.path.rsplit('/').next().unwrap_or_default().trim_matches(['[', ']']);
        let file = if mapping.path.starts_with('/') { mapping.path.clone() } else { String::new() };
        let frame = Frame { function: format!("[{name}]"), file, ..Frame::default() };
        Some(Location { address: 0, frames: vec![frame] })
    }
}

fn frame(frame: &gobin::Frame<'_>) -> Frame {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_TEXT)]).into_owned();
    Frame {
        function: text(frame.function),
        file: text(frame.file),
        line: frame.line,
        start_line: frame.start_line,
        inlined: frame.inlined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What holds code is kept, with its whole path.
    #[test]
    fn mappings_are_read() {
        let line = "55d0a1c00000-55d0a1d00000 r-xp 00001000 fe:00 1234   /opt/my app (deleted)";
        let found = mapping(line).expect("a mapping");
        assert_eq!((found.start, found.end, found.file_offset), (0x55d0a1c00000, 0x55d0a1d00000, 0x1000));
        assert_eq!(found.path, "/opt/my app (deleted)");
        assert_eq!(mapping(&line.replace("r-xp", "rw-p")), None);
        assert_eq!(mapping("7f00-7f01 r-xp 0 00:00 0 "), None);
        assert_eq!(mapping(""), None);
    }

    /// The distance is that of the mapping whose part of the file the code is.
    #[test]
    fn programs_are_found_where_they_lie() {
        let mapping =
            |start, file_offset, path: &str| Mapping { start, end: start + 0x9000, file_offset, path: path.into() };
        let image = Image {
            path: "/opt/app".into(),
            file: None,
            mappings: vec![mapping(0x7f0000, 0x2d000, "/lib/c"), mapping(0x55002d000, 0x2d000, "/opt/app")],
        };
        let code = Segment { address: 0x42d040, size: 0x5000, file_offset: 0x2d040 };
        assert_eq!(image.bias(&[code]), Some(0x55002d000 - 0x42d000));
        assert_eq!(image.bias(&[Segment { file_offset: 0, ..code }]), None);
    }

    /// This very process: not a Go program, so its code has the name of its file.
    #[test]
    fn other_code_has_the_name_of_its_file() {
        let image = Image::of(std::process::id());
        let name = image.path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut symbols = Symbols::of(image, &mut Images::default());
        let sample = Sample {
            time: record::MonotonicNanos(1),
            value_ns: 1,
            process: 1,
            thread: 1,
            kind: ProfileKind::Cpu,
            span: None,
            in_kernel: Some("kernel: read".into()),
            top: None,
            stack: vec![mapping as fn(&str) -> Option<Mapping> as usize as u64, 0, 5],
        };
        let stack = symbols.stack(&sample);
        let functions: Vec<_> = stack.iter().map(|location| location.frames[0].function.as_str()).collect();
        assert_eq!(functions, ["[kernel: read]".to_owned(), format!("[{name}]")]);
    }
}
