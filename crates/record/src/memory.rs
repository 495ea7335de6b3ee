//! The file itself: opened, sealed, locked, checked, mapped.
//!
//! What holds for every [`Memory`]:
//! * the file is an anonymous memory file that cannot shrink any more, so that no access to the mapping can fault
//!   (a program that truncates its file would kill its reader otherwise);
//! * no other agent reads it: a lock on our own open description, which the kernel takes back when we die;
//! * bytes are copied out before they are looked at, since the writer may change them at any time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::{FlockOperation, OFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::functions::{self, Active, FunctionTexts};
use crate::header::{Header, HeaderError};
use crate::instrument::{self, Instrument};
use crate::layout::{ENTRY_SIZE, PAGE, SERIES};
use crate::{Control, Ring, SeriesReader, Tables};

/// Largest file that is mapped; address space is what it costs.
const FILE_LIMIT: u64 = 1 << 36;
/// Type of the file system that anonymous memory files live in (not the one of huge pages, whose faults can fail).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
    /// The program has none.
    #[error("the program was not allowed to make any: {0}; its spans are lost")]
    Absent(#[source] io::Error),
    /// It is not an anonymous memory file.
    #[error("it is not a memory file")]
    Kind,
    /// It could still be truncated.
    #[error("it cannot be sealed against truncation")]
    Unsealed,
    /// Another agent reads it.
    #[error("another agent reads it")]
    Busy,
    /// It is smaller than a header or larger than anything sensible.
    #[error("it has {0} bytes")]
    Size(u64),
    /// Its header is not believed.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Which file it is: the same for every descriptor of it, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open file.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let status = rustix::fs::fstat(file)?;
        Ok(Self { device: status.st_dev, inode: status.st_ino })
    }
}

/// The shared memory of one program.
#[derive(Debug)]
pub struct Memory {
    file: File,
    mapping: Arc<Mapping>,
    header: Header,
    identity: Identity,
}

impl Memory {
    /// Opens the file behind a descriptor that a program sent, or that was found in `/proc`.
    pub fn open(descriptor: BorrowedFd<'_>) -> Result<Self, OpenError> {
        let file = open_description(descriptor)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Busy),
            Err(error) => return Err(OpenError::System("lock it", error.into())),
        }
        let Opened { mapping, header, identity } = check_and_map(&file)?;
        Ok(Self { file, mapping, header, identity })
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its rings, one a processor. Only one set of them may be used at a time: each keeps its own place.
    pub fn rings(&self) -> Vec<Ring> {
        let geometry = &self.header.geometry;
        (0..geometry.processor_count).map(|index| Ring::new(Arc::clone(&self.mapping), geometry, index)).collect()
    }

    /// What the agent tells the program.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.mapping), &self.header.geometry)
    }

    /// Operations and keys that the program has registered.
    pub fn tables(&self) -> Tables {
        Tables::new(Arc::clone(&self.mapping), &self.header)
    }

    /// The counts of spans that left no record.
    pub fn series(&self) -> SeriesReader {
        SeriesReader::new(self.header.geometry.series_count)
    }

    /// The resource text: lines of the program's environment.
    pub fn resource(&self) -> String {
        resource(&self.file, &self.header)
    }

    /// The metrics that the program keeps itself, as they are now.
    pub fn instruments(&self) -> Vec<Instrument> {
        instrument::read(&self.file, &self.header, &self.control())
    }

    /// Functions that are switched on; none where the program knows no dormant ones.
    pub fn active_functions(&self) -> Vec<Active> {
        let texts = FunctionTexts::new(Arc::clone(&self.mapping), &self.header);
        texts.map(|texts| functions::active(&self.file, &texts)).unwrap_or_default()
    }

    /// Calls `each` with the entries of the in-flight table that hold a span: of a dead program what it left unfinished.
    pub fn in_flight(&self, each: impl FnMut(&[u8])) {
        in_flight(&self.file, &self.header, each);
    }

    /// One processor's table of counts, read into `buffer`; at most so many bytes as there are.
    pub(crate) fn read_series<'b>(&self, processor: u32, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let geometry = &self.header.geometry;
        let table = geometry.series_count as usize * SERIES.size;
        buffer.resize(table, 0);
        self.read(buffer, table, geometry.series as u64 + u64::from(processor) * table as u64)
    }

    fn read<'b>(&self, buffer: &'b mut [u8], size: usize, offset: u64) -> Option<&'b [u8]> {
        read(&self.file, buffer, size, offset)
    }
}

/// Reads by system call: holes of the file stay holes, while touching them in the mapping would fill them.
fn read<'b>(file: &File, buffer: &'b mut [u8], size: usize, offset: u64) -> Option<&'b [u8]> {
    let part = &mut buffer[..size];
    file.read_exact_at(part, offset).ok()?;
    Some(part)
}

/// Calls `each` with the entries of the in-flight table that hold a span.
pub(crate) fn in_flight(file: &File, header: &Header, mut each: impl FnMut(&[u8])) {
    let geometry = &header.geometry;
    let mut chunk = vec![0; 64 * ENTRY_SIZE];
    let mut offset = geometry.entries as u64;
    let mut left = geometry.entry_count as usize;
    while left > 0 {
        let entries = left.min(64);
        let Some(read) = read(file, &mut chunk, entries * ENTRY_SIZE, offset) else { return };
        for entry in read.chunks_exact(ENTRY_SIZE) {
            let size = crate::bytes::u32_at(entry, 0) as usize;
            if size != 0 {
                each(&entry[..size.min(ENTRY_SIZE)]);
            }
        }
        offset += (entries * ENTRY_SIZE) as u64;
        left -= entries;
    }
}

/// A file that was checked and mapped.
pub(crate) struct Opened {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) header: Header,
    pub(crate) identity: Identity,
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |error| OpenError::System(what, error)
}

/// An open description of our own of a memory file: locks must be ours, not the program's.
pub(crate) fn open_description(descriptor: BorrowedFd<'_>) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags((OFlags::CLOEXEC | OFlags::NONBLOCK).bits().cast_signed())
        .open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
        .map_err(system("open it for reading and writing"))?;
    let file_system =
        rustix::fs::fstatfs(&file).map_err(|error| OpenError::System("ask for its file system", error.into()))?;
    if !u64::try_from(file_system.f_type).is_ok_and(|kind| kind == TMPFS_MAGIC) {
        return Err(OpenError::Kind);
    }
    Ok(file)
}

/// Checks the file's header, seals the file, and maps it.
pub(crate) fn check_and_map(file: &File) -> Result<Opened, OpenError> {
    // A program that is starting has made its file and not yet given it a size. Sealed now, it would stay empty, and the
    // program's spans would have no place; so the file is complete before anything about it is changed.
    checked_header(file)?;
    // Fails where the program has sealed the seals; what counts is the outcome.
    let _ = rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW);
    if !rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
        return Err(OpenError::Unsealed);
    }
    let (header, size) = checked_header(file)?;
    let length = usize::try_from(size).map_err(|_| OpenError::Size(size))?;
    let mapping = Arc::new(Mapping::new(file.as_fd(), length).map_err(system("map it"))?);
    let identity = Identity::of(file.as_fd()).map_err(system("ask for its identity"))?;
    Ok(Opened { mapping, header, identity })
}

/// The header of a file that has as many bytes as its header says, and their number.
fn checked_header(file: &File) -> Result<(Header, u64), OpenError> {
    let size = file.metadata().map_err(system("ask for its size"))?.size();
    if !(PAGE as u64..=FILE_LIMIT).contains(&size) {
        return Err(OpenError::Size(size));
    }
    let mut page = [0; PAGE];
    file.read_exact_at(&mut page, 0).map_err(system("read its header"))?;
    Ok((Header::parse(&page, size)?, size))
}

/// The resource text: lines of the program's environment.
pub(crate) fn resource(file: &File, header: &Header) -> String {
    let geometry = &header.geometry;
    let mut text = vec![0; geometry.resource_size as usize];
    // A read cannot fail inside the file; if it did, there would be no text.
    match file.read_exact_at(&mut text, geometry.resource as u64) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    }
}

/// The mapped file. All access is by atomic words, for the other side writes at the same time.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain shared memory, accessed only by atomic operations; it moves with its owner.
#[expect(unsafe_code, reason = "maps memory")]
unsafe impl Send for Mapping {}
// SAFETY: as above: every access through `&self` is atomic.
#[expect(unsafe_code, reason = "maps memory")]
unsafe impl Sync for Mapping {}

impl Mapping {
    #[expect(unsafe_code, reason = "maps memory")]
    fn new(file: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else refers to it. The file is sealed
        // against shrinking, so that its pages stay there.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// Four bytes at an aligned offset inside the file.
    #[inline]
    #[expect(unsafe_code, reason = "maps memory")]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < self.length && self.length - offset >= 4);
        // SAFETY: inside the mapping (just checked; its start is page aligned), mapped as long as `self`; only atomics.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// Eight bytes at an aligned offset inside the file.
    #[inline]
    #[expect(unsafe_code, reason = "maps memory")]
    pub(crate) fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.length && self.length - offset >= 8);
        // SAFETY: inside the mapping (just checked; its start is page aligned), mapped as long as `self`; only atomics.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// Writes bytes from `offset` on, a word at a time; offset and length are multiples of 8.
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(bytes.len().is_multiple_of(8));
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            self.word64(offset + index * 8).store(word, Ordering::Relaxed);
        }
    }

    /// Fills `out` with the bytes from `offset` on; offset and length are multiples of 8.
    #[expect(unsafe_code, reason = "maps memory")]
    pub(crate) fn copy_out(&self, offset: usize, out: &mut [u8]) {
        let size = out.len();
        assert!(offset.is_multiple_of(8) && size.is_multiple_of(8));
        assert!(offset <= self.length && size <= self.length - offset);
        // SAFETY: the words lie inside the mapping (just checked), which lives as long as `self`; only atomics.
        let words = unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().add(offset).cast_const().cast::<AtomicU64>(), size / 8)
        };
        let (targets, _) = out.as_chunks_mut::<8>();
        for (target, word) in targets.iter_mut().zip(words) {
            *target = word.load(Ordering::Relaxed).to_le_bytes();
        }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "unmaps memory")]
    fn drop(&mut self) {
        // SAFETY: what `new` mapped; nothing that borrows from it can outlive `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
