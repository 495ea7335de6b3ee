//! A writer of such files in Rust, for tests: what a woven program does, without a woven program.
//!
//! It writes by system call, so that nothing here needs to map memory, and it can write nonsense on purpose.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::MemfdFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

pub use crate::RecordBuilder;
use crate::layout::{
    ACTIVE, BUCKET_BOUNDS, CALLS, CONTROL, DESCRIPTOR, ENTRY_SIZE, FIRST_DYNAMIC_KEY, FUNCTION_TEXT, HEADER, HELLO,
    HELLO_MAGIC, KEY, LAYOUT_VERSION, LOG, MAGIC, MEMFD_NAME, PAGE, RECORD, RECORD_LOG, RECORD_PADDING, RESOURCE_SIZE,
    RING, ROUTE, ROUTE_COUNT, SERIES, WELCOME, WELCOME_MAGIC, log_item,
};
use crate::{HeaderFacts, MonotonicNanos, bytes};

/// Size of the tables of a file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rings.
    pub processors: u32,
    /// Bytes of a ring.
    pub ring_size: u32,
    /// Entries of the in-flight table.
    pub entries: u32,
    /// Series a processor.
    pub series: u32,
    /// What the resource text says.
    pub resource: String,
    /// What the kernel half would get.
    pub facts: HeaderFacts,
    /// The file may be sealed.
    pub sealable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            processors: 2,
            ring_size: 1 << 16,
            entries: 64,
            series: 16,
            resource: "OTEL_SERVICE_NAME=test".to_owned(),
            facts: HeaderFacts::default(),
            sealable: true,
        }
    }
}

/// The writing side of a file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    options: Options,
    places: Places,
    heads: Vec<u64>,
    next_descriptor: u32,
    next_key: u16,
    size: u64,
}

#[derive(Debug)]
struct Places {
    descriptors: usize,
    keys: usize,
    resource: usize,
    entries: usize,
    series: usize,
    ring_headers: usize,
    rings: usize,
    functions: usize,
    routes: usize,
}

const DESCRIPTORS: u32 = 64;
const KEYS: u32 = 64;
const FUNCTIONS: u32 = 64;
const ACTIVES: u32 = 4;
const TEXTS: usize = PAGE;
/// The parts of the functions' region, from its start: switches and active functions fit a page each.
const ACTIVE_AT: usize = PAGE;
const TEXTS_AT: usize = 2 * PAGE;
const CALLS_AT: usize = TEXTS_AT + TEXTS;

impl Writer {
    /// A new file, complete.
    pub fn create(options: Options) -> io::Result<Self> {
        let mut flags = MemfdFlags::CLOEXEC;
        flags.set(MemfdFlags::ALLOW_SEALING, options.sealable);
        let file = File::from(rustix::fs::memfd_create(MEMFD_NAME, flags)?);
        let processors = options.processors as usize;
        let descriptors = 2 * PAGE;
        let keys = descriptors + DESCRIPTORS as usize * DESCRIPTOR.size;
        let resource = keys + KEYS as usize * KEY.size;
        let entries = (resource + RESOURCE_SIZE).next_multiple_of(PAGE);
        let series = entries + options.entries as usize * ENTRY_SIZE;
        let ring_headers = (series + processors * options.series as usize * SERIES.size).next_multiple_of(PAGE);
        let rings = (ring_headers + processors * RING.size).next_multiple_of(PAGE);
        let functions = (rings + processors * options.ring_size as usize).next_multiple_of(PAGE);
        let routes = (functions + CALLS_AT + processors * ACTIVES as usize * CALLS.size).next_multiple_of(PAGE);
        let size = (routes + ROUTE_COUNT * ROUTE.size) as u64;
        file.set_len(size)?;
        let places = Places { descriptors, keys, resource, entries, series, ring_headers, rings, functions, routes };
        let writer = Self {
            file,
            heads: vec![0; processors],
            options,
            places,
            next_descriptor: 1,
            next_key: FIRST_DYNAMIC_KEY,
            size,
        };
        writer.write_header()?;
        Ok(writer)
    }

    fn write_header(&self) -> io::Result<()> {
        let mut page = [0; PAGE];
        let mut put = |name: &str, number: &[u8]| page[HEADER.at(name)..][..number.len()].copy_from_slice(number);
        let Places { descriptors, keys, resource, entries, series, ring_headers, functions, routes, .. } = self.places;
        for (name, offset) in [
            ("control_offset", PAGE),
            ("descriptors_offset", descriptors),
            ("keys_offset", keys),
            ("resource_offset", resource),
            ("entries_offset", entries),
            ("series_offset", series),
            ("rings_offset", ring_headers),
            ("functions_offset", functions),
            ("routes_offset", routes),
        ] {
            put(name, &(offset as u64).to_le_bytes());
        }
        let facts = &self.options.facts;
        for (name, number) in [
            ("layout_version", LAYOUT_VERSION),
            ("flags", facts.flags),
            ("pid", std::process::id()),
            ("accounts_size", facts.accounts_size),
            ("g_m_offset", facts.g_m_offset),
            ("m_curg_offset", facts.m_curg_offset),
            ("slot_offset", facts.slot_offset),
            ("account_offset", facts.account_offset),
            ("part_count", facts.part_count),
            ("descriptor_count", DESCRIPTORS),
            ("key_count", KEYS),
            ("resource_size", self.options.resource.len() as u32),
            ("entry_count", self.options.entries),
            ("series_count", self.options.series),
            ("processor_count", self.options.processors),
            ("ring_size", self.options.ring_size),
            ("function_count", FUNCTIONS),
            ("function_text_size", TEXTS as u32),
            ("active_count", ACTIVES),
            ("route_count", ROUTE_COUNT as u32),
        ] {
            put(name, &number.to_le_bytes());
        }
        put("tls_g_offset", &facts.tls_g_offset.to_le_bytes());
        put("g0_address", &facts.g0_address.to_le_bytes());
        put("file_size", &self.size.to_le_bytes());
        put("start_monotonic", &now().0.to_le_bytes());
        put("go_version", b"go1.26.8");
        put("tandem_version", b"0.1.0");
        put("magic", &MAGIC.to_le_bytes());
        self.file.write_all_at(self.options.resource.as_bytes(), resource as u64)?;
        self.file.write_all_at(&page, 0)
    }

    /// The file's descriptor.
    pub fn descriptor_of_file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Registers an operation; its id.
    pub fn descriptor(&mut self, id: &str, scope: &str, kind: u8, name: &str) -> io::Result<u32> {
        let mut entry = [0; DESCRIPTOR.size];
        entry[DESCRIPTOR.at("kind")] = kind;
        for (field, size, text) in [("id", "id_size", id), ("scope", "scope_size", scope), ("name", "name_size", name)]
        {
            entry[DESCRIPTOR.at(size)] = text.len() as u8;
            entry[DESCRIPTOR.at(field)..][..text.len()].copy_from_slice(text.as_bytes());
        }
        let number = self.next_descriptor;
        self.next_descriptor += 1;
        self.file.write_all_at(&entry, (self.places.descriptors + number as usize * DESCRIPTOR.size) as u64)?;
        self.file.write_all_at(&number.to_le_bytes(), (PAGE + CONTROL.at("descriptor_count")) as u64)?;
        Ok(number)
    }

    /// Registers a key; its id.
    pub fn key(&mut self, name: &str) -> io::Result<u16> {
        let mut entry = [0; KEY.size];
        entry[KEY.at("size")] = name.len() as u8;
        entry[KEY.at("name")..][..name.len()].copy_from_slice(name.as_bytes());
        let number = self.next_key;
        self.next_key += 1;
        let index = usize::from(number - FIRST_DYNAMIC_KEY);
        self.file.write_all_at(&entry, (self.places.keys + index * KEY.size) as u64)?;
        Ok(number)
    }

    /// Registers the functions of a file: a line with import path and package, then one for each function.
    pub fn functions(&mut self, text: &str) -> io::Result<()> {
        let first = self.control_u32("function_count")?;
        let at = self.control_u32("function_text_size")?;
        let count = text.lines().count() as u32 - 1;
        let mut block = vec![0; (FUNCTION_TEXT.size + text.len()).next_multiple_of(8)];
        for (name, number) in [("first", first), ("count", count), ("size", text.len() as u32)] {
            block[FUNCTION_TEXT.at(name)..][..4].copy_from_slice(&number.to_le_bytes());
        }
        block[FUNCTION_TEXT.size..][..text.len()].copy_from_slice(text.as_bytes());
        self.file.write_all_at(&block, (self.places.functions + TEXTS_AT) as u64 + u64::from(at))?;
        let put = |name, number: u32| self.file.write_all_at(&number.to_le_bytes(), (PAGE + CONTROL.at(name)) as u64);
        put("function_text_size", at + block.len() as u32)?;
        put("function_count", first + count)
    }

    /// What the switch of a function says.
    pub fn switch(&self, function: u32) -> io::Result<u16> {
        let mut switch = [0; 2];
        self.file.read_exact_at(&mut switch, self.places.functions as u64 + 2 * u64::from(function))?;
        Ok(u16::from_le_bytes(switch))
    }

    /// Counts calls of the function that has an entry, and those of them that got no span.
    pub fn called(&self, processor: u32, entry: u16, calls: u64, limited: u64) -> io::Result<()> {
        let index = (processor * ACTIVES) as usize + usize::from(entry);
        let place = (self.places.functions + CALLS_AT + index * CALLS.size) as u64;
        for (name, more) in [("calls", calls), ("limited", limited)] {
            let place = place + CALLS.at(name) as u64;
            self.write_u64(place, self.read_u64(place)? + more)?;
        }
        Ok(())
    }

    /// One of the 4-byte fields of an active function.
    pub fn active_u32(&self, entry: u16, name: &str) -> io::Result<u32> {
        let place = self.places.functions + ACTIVE_AT + usize::from(entry) * ACTIVE.size + ACTIVE.at(name);
        let mut word = [0; 4];
        self.file.read_exact_at(&mut word, place as u64)?;
        Ok(u32::from_le_bytes(word))
    }

    /// Writes any bytes over the texts of functions and over the table of active ones.
    pub fn vandalise_functions(&self, texts: &[u8], active: &[u8]) -> io::Result<()> {
        self.file.write_all_at(texts, (self.places.functions + TEXTS_AT) as u64)?;
        self.file.write_all_at(active, (self.places.functions + ACTIVE_AT) as u64)
    }

    /// Writes a record into a ring. `false`: the ring is full, and that has been counted.
    pub fn push(&mut self, ring: u32, record: &[u8]) -> io::Result<bool> {
        let size = self.options.ring_size as u64;
        let tail = self.read_u64(self.ring_header(ring) + RING.at("tail") as u64)?;
        let mut head = self.heads[ring as usize];
        let left = size - head % size;
        let padding = if left < record.len() as u64 { left } else { 0 };
        if head + padding + record.len() as u64 - tail > size {
            let dropped = self.ring_header(ring) + RING.at("dropped") as u64;
            self.write_u64(dropped, self.read_u64(dropped)? + 1)?;
            return Ok(false);
        }
        if padding > 0 {
            let mut mark = [0; 8];
            mark[..4].copy_from_slice(&(padding as u32).to_le_bytes());
            mark[RECORD.at("kind")] = RECORD_PADDING;
            self.file.write_all_at(&mark, self.ring_place(ring, head))?;
            head += padding;
        }
        self.file.write_all_at(record, self.ring_place(ring, head))?;
        self.set_head(ring, head + record.len() as u64)?;
        Ok(true)
    }

    /// Moves a ring's head, wherever to.
    pub fn set_head(&mut self, ring: u32, head: u64) -> io::Result<()> {
        self.heads[ring as usize] = head;
        self.write_u64(self.ring_header(ring) + RING.at("head") as u64, head)
    }

    /// End of what has been written to a ring.
    pub fn head(&self, ring: u32) -> u64 {
        self.heads[ring as usize]
    }

    /// Writes any bytes into a ring, without moving its head.
    pub fn scribble(&self, ring: u32, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.ring_place(ring, position))
    }

    /// Writes an entry of the in-flight table.
    pub fn begin(&self, index: u32, record: &[u8]) -> io::Result<()> {
        self.file.write_all_at(record, (self.places.entries + index as usize * ENTRY_SIZE) as u64)
    }

    /// Frees an entry of the in-flight table.
    pub fn finish(&self, index: u32) -> io::Result<()> {
        self.file.write_all_at(&[0; 4], (self.places.entries + index as usize * ENTRY_SIZE) as u64)
    }

    /// Counts a span that leaves no record.
    pub fn count(
        &self,
        processor: u32,
        index: u32,
        descriptor: u32,
        status: u8,
        labels: &[u8],
        duration: u64,
    ) -> io::Result<()> {
        let series = (self.places.series + (processor * self.options.series + index) as usize * SERIES.size) as u64;
        let bucket = BUCKET_BOUNDS.partition_point(|&bound| bound < duration);
        for (place, more) in
            [(SERIES.at("count"), 1), (SERIES.at("sum"), duration), (SERIES.at("buckets") + 8 * bucket, 1)]
        {
            let place = series + place as u64;
            self.write_u64(place, self.read_u64(place)? + more)?;
        }
        self.file.write_all_at(labels, series + SERIES.at("labels") as u64)?;
        let [a, b, c, d] = descriptor.to_le_bytes();
        self.file.write_all_at(&[a, b, c, d, status, labels.len() as u8], series + SERIES.at("descriptor") as u64)?;
        self.write_u64(series + SERIES.at("hash") as u64, 1 + u64::from(index))
    }

    /// One of the control page's 4-byte fields.
    pub fn control_u32(&self, name: &str) -> io::Result<u32> {
        let mut word = [0; 4];
        self.file.read_exact_at(&mut word, (PAGE + CONTROL.at(name)) as u64)?;
        Ok(u32::from_le_bytes(word))
    }

    /// One of the control page's 8-byte fields.
    pub fn control_u64(&self, name: &str) -> io::Result<u64> {
        self.read_u64((PAGE + CONTROL.at(name)) as u64)
    }

    /// An entry of the table of routes: its word, its pattern.
    pub fn route(&self, index: usize) -> io::Result<(u64, String)> {
        let at = (self.places.routes + index * ROUTE.size) as u64;
        let mut entry = [0; ROUTE.size];
        self.file.read_exact_at(&mut entry, at)?;
        let size = bytes::u32_at(&entry, ROUTE.at("size")) as usize;
        let pattern = String::from_utf8_lossy(&entry[ROUTE.at("pattern")..][..size]).into_owned();
        Ok((bytes::u64_at(&entry, ROUTE.at("word")), pattern))
    }

    /// Writes any bytes anywhere.
    pub fn vandalise(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Connects to an agent's socket, as a program does at its start; the agent's answer.
    pub fn connect(&self, socket: &Path) -> io::Result<Welcome> {
        introduce(socket, std::process::id(), self.file.as_fd())
    }

    fn ring_header(&self, ring: u32) -> u64 {
        (self.places.ring_headers + ring as usize * RING.size) as u64
    }

    fn ring_place(&self, ring: u32, position: u64) -> u64 {
        let size = u64::from(self.options.ring_size);
        self.places.rings as u64 + u64::from(ring) * size + position % size
    }

    fn read_u64(&self, offset: u64) -> io::Result<u64> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, offset)?;
        Ok(u64::from_le_bytes(word))
    }

    fn write_u64(&self, offset: u64, number: u64) -> io::Result<()> {
        self.file.write_all_at(&number.to_le_bytes(), offset)
    }
}

/// The agent's answer.
#[derive(Debug)]
pub struct Welcome {
    /// Newest layout that the agent reads.
    pub layout_version: u32,
    /// Slots of the account map; 0: no kernel half.
    pub account_count: u32,
    /// The account map.
    pub accounts: Option<OwnedFd>,
}

/// Introduces a process with a memory, as a program does with its own.
pub fn introduce(socket: &Path, pid: u32, memory: BorrowedFd<'_>) -> io::Result<Welcome> {
    let size = rustix::fs::fstat(memory)?.st_size.cast_unsigned();
    let mut hello = [0; HELLO.size];
    let mut put = |name: &str, number: &[u8]| hello[HELLO.at(name)..][..number.len()].copy_from_slice(number);
    put("magic", &HELLO_MAGIC.to_le_bytes());
    put("layout_version", &LAYOUT_VERSION.to_le_bytes());
    put("pid", &pid.to_le_bytes());
    put("file_size", &size.to_le_bytes());
    exchange(socket, &hello, Some(memory))
}

/// Sends any message, with a descriptor or without, and waits for the answer.
pub fn exchange(socket: &Path, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<Welcome> {
    let connection = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&connection, &SocketAddrUnix::new(socket)?)?;
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    rustix::net::sendmsg(&connection, &[io::IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;

    let mut answer = [0; WELCOME.size];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        &connection,
        &mut [io::IoSliceMut::new(&mut answer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes != WELCOME.size || bytes::u32_at(&answer, WELCOME.at("magic")) != WELCOME_MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the agent did not say welcome"));
    }
    let accounts = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(Welcome {
        layout_version: bytes::u32_at(&answer, WELCOME.at("layout_version")),
        account_count: bytes::u32_at(&answer, WELCOME.at("account_count")),
        accounts,
    })
}

/// The clock of the shared memory.
pub fn now() -> MonotonicNanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    MonotonicNanos(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// Makes a log record, item by item.
#[derive(Clone, Debug)]
pub struct LogBuilder {
    bytes: Vec<u8>,
}

impl LogBuilder {
    /// A record of a library, seen at a moment.
    pub fn new(descriptor: u32, severity: u8, observed: u64) -> Self {
        let mut bytes = vec![0; LOG.size];
        bytes[LOG.at("kind")] = RECORD_LOG;
        bytes[LOG.at("severity")] = severity;
        bytes[LOG.at("observed")..][..8].copy_from_slice(&observed.to_le_bytes());
        bytes[LOG.at("descriptor")..][..4].copy_from_slice(&descriptor.to_le_bytes());
        Self { bytes }
    }

    /// The span it belongs to.
    pub fn span(mut self, trace_id: [u8; 16], span_id: [u8; 8], trace_flags: u8) -> Self {
        self.bytes[LOG.at("trace_id")..][..16].copy_from_slice(&trace_id);
        self.bytes[LOG.at("span_id")..][..8].copy_from_slice(&span_id);
        self.bytes[LOG.at("trace_flags")] = trace_flags;
        self
    }

    /// Its own time.
    pub fn time(mut self, unix_nano: u64) -> Self {
        self.bytes[LOG.at("time")..][..8].copy_from_slice(&unix_nano.to_le_bytes());
        self
    }

    /// Its flags.
    pub fn flags(mut self, flags: u8) -> Self {
        self.bytes[LOG.at("flags")] |= flags;
        self
    }

    /// Any item.
    pub fn item(mut self, name: &str, kind: u16, data: &[u8]) -> Self {
        self.bytes.extend((name.len() as u16).to_le_bytes());
        self.bytes.extend((kind << 12 | (name.len() + data.len()) as u16).to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// A piece of the body.
    pub fn body(self, text: &str) -> Self {
        self.item("", log_item::BODY, text.as_bytes())
    }

    /// A text attribute.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.item(name, log_item::STRING, value.as_bytes())
    }

    /// An integer attribute.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.item(name, log_item::INT, &value.to_le_bytes())
    }

    /// The record, with its size.
    pub fn build(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let size = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&size.to_le_bytes());
        self.bytes
    }
}
