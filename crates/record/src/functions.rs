//! Functions that were woven dormant: their names, and the switches by which they are turned on while the program runs.
//!
//! The switches have one writer at a time, who holds a lock on the file (another one than the reader of the rings has, so
//! that an agent is no obstacle). As elsewhere nothing is believed: every number is checked, and text is made printable.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::Control;
use crate::bytes;
use crate::header::{FunctionGeometry, Header};
use crate::instrument::{self, Instrument};
use crate::layout::{ACTIVE, ACTIVE_ARGUMENTS, CALLS, CONTROL, FUNCTION_TEXT};
use crate::memory::{self, Identity, Mapping, OpenError};

/// How long one waits for another who switches.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Blocks of text that are looked at; each source file has one.
const BLOCK_LIMIT: usize = 1 << 16;

/// Number of a function, in the order in which the program registered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionNumber(pub u32);

/// A function that was woven dormant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its number.
    pub number: FunctionNumber,
    /// Import path of its package.
    pub import_path: String,
    /// Name of its package.
    pub package: String,
    /// Its name within the package: `(*Cart).Add`.
    pub name: String,
    /// Arguments that it can record.
    pub arguments: Vec<String>,
}

impl Function {
    /// `cart.(*Cart).Add`
    pub fn title(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }
}

/// How a function is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Spans a second; 0: no limit.
    pub limit: u32,
    /// Its arguments are recorded.
    pub arguments: bool,
}

/// A function that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Which.
    pub number: FunctionNumber,
    /// How.
    pub setting: Setting,
    /// Calls since then.
    pub calls: u64,
    /// Of them, those that got no span because of the limit.
    pub limited: u64,
}

/// Why nothing was switched.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Somebody else does so.
    #[error("somebody else is switching its functions")]
    Busy,
    /// The table is full.
    #[error("at most {0} functions can be on at once")]
    Full(u32),
    /// There is no such function.
    #[error("it has no function of number {0}")]
    Number(u32),
}

/// The texts, for whoever only wants names.
#[derive(Debug)]
pub(crate) struct FunctionTexts {
    mapping: Arc<Mapping>,
    control: usize,
    geometry: FunctionGeometry,
}

/// One block of text.
struct Block {
    first: u32,
    count: u32,
    text: usize,
    size: usize,
}

impl FunctionTexts {
    pub(crate) fn new(mapping: Arc<Mapping>, header: &Header) -> Option<Self> {
        let geometry = header.geometry.functions.clone()?;
        Some(Self { mapping, control: header.geometry.control, geometry })
    }

    /// Functions that are registered.
    fn count(&self) -> u32 {
        let count = self.mapping.word32(self.control + const { CONTROL.at("function_count") });
        count.load(Ordering::Acquire).min(self.geometry.function_count)
    }

    /// Blocks, up to the first one that makes no sense.
    fn blocks(&self) -> impl Iterator<Item = Block> {
        let size = self.mapping.word32(self.control + const { CONTROL.at("function_text_size") });
        let end = size.load(Ordering::Acquire).min(self.geometry.text_size) as usize / 8 * 8;
        let mut at = 0;
        std::iter::from_fn(move || {
            let mut head = [0; FUNCTION_TEXT.size];
            if end - at < FUNCTION_TEXT.size {
                return None;
            }
            self.mapping.copy_out(self.geometry.texts + at, &mut head);
            let number = |name| bytes::u32_at(&head, FUNCTION_TEXT.at(name));
            let (first, count, size) = (number("first"), number("count"), number("size") as usize);
            let text = at + FUNCTION_TEXT.size;
            if size > end - text || first.checked_add(count).is_none_or(|end| end > self.geometry.function_count) {
                return None;
            }
            at = (text + size.next_multiple_of(8)).min(end);
            Some(Block { first, count, text: self.geometry.texts + text, size })
        })
        .take(BLOCK_LIMIT)
    }

    fn functions(&self, block: &Block) -> Vec<Function> {
        let mut text = vec![0; block.size.next_multiple_of(8)];
        self.mapping.copy_out(block.text, &mut text);
        text.truncate(block.size);
        let text = printable(&String::from_utf8_lossy(&text));
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let (import_path, package) = head.split_once(' ').unwrap_or((head, head));
        let function = |(number, line): (u32, &str)| {
            let mut words = line.split(' ');
            Function {
                number: FunctionNumber(number),
                import_path: import_path.to_owned(),
                package: package.to_owned(),
                name: words.next().unwrap_or_default().to_owned(),
                arguments: words.map(str::to_owned).collect(),
            }
        };
        (block.first..block.first + block.count).zip(lines).map(function).collect()
    }

    /// One function by its number.
    pub(crate) fn find(&self, number: FunctionNumber) -> Option<Function> {
        let block = self.blocks().find(|block| (block.first..block.first + block.count).contains(&number.0))?;
        self.functions(&block).into_iter().find(|function| function.number == number)
    }
}

/// What a terminal would take for a command becomes a question mark.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

/// The functions of one program.
#[derive(Debug)]
pub struct Functions {
    file: File,
    identity: Identity,
    header: Header,
    texts: FunctionTexts,
}

impl Functions {
    /// Opens the file behind a descriptor that was found in `/proc`. `None`: the program knows no dormant functions.
    /// Whoever reads the rings is not disturbed.
    pub fn open(descriptor: BorrowedFd<'_>) -> Result<Option<Self>, OpenError> {
        let file = memory::open_description(descriptor)?;
        let opened = memory::check_and_map(&file)?;
        let texts = FunctionTexts::new(opened.mapping, &opened.header);
        Ok(texts.map(|texts| Self { file, identity: opened.identity, header: opened.header, texts }))
    }

    pub(crate) fn mapping(&self) -> Arc<Mapping> {
        Arc::clone(&self.texts.mapping)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The resource text: lines of the program's environment.
    pub fn resource(&self) -> String {
        memory::resource(&self.file, &self.header)
    }

    /// The metrics that the program keeps itself, as they are now.
    pub fn instruments(&self) -> Vec<Instrument> {
        let control = Control::new(Arc::clone(&self.texts.mapping), &self.header.geometry);
        instrument::read(&self.file, &self.header, &control)
    }

    /// All functions, in the order of their numbers.
    pub fn all(&self) -> Vec<Function> {
        self.texts.blocks().flat_map(|block| self.texts.functions(&block)).collect()
    }

    /// Those that are on.
    pub fn active(&self) -> Vec<Active> {
        active(&self.file, &self.texts)
    }

    /// Begins to switch.
    pub fn switch(&self) -> Result<Switchboard<'_>, SwitchError> {
        for _ in 0..LOCK_ATTEMPTS {
            match rustix::fs::fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Switchboard { functions: self }),
                Err(_) => thread::sleep(LOCK_PAUSE),
            }
        }
        Err(SwitchError::Busy)
    }
}

/// The functions that are on: read by system call, so that holes of the file stay holes.
pub(crate) fn active(file: &File, texts: &FunctionTexts) -> Vec<Active> {
    let (geometry, mapping) = (&texts.geometry, &texts.mapping);
    let highest = mapping.word32(texts.control + const { CONTROL.at("active_count") }).load(Ordering::Acquire);
    let highest = highest.min(geometry.active_count.saturating_sub(1)) as usize;
    if highest == 0 {
        return Vec::new();
    }
    let mut entries = vec![0; (highest + 1) * ACTIVE.size];
    if file.read_exact_at(&mut entries, geometry.active as u64).is_err() {
        return Vec::new();
    }
    let counts = counts(file, geometry, highest);
    let entries = entries.chunks_exact(ACTIVE.size).enumerate().skip(1);
    entries
        .filter_map(|(index, entry)| {
            let number = bytes::u32_at(entry, const { ACTIVE.at("function") }).checked_sub(1)?;
            let word = |name| bytes::u64_at(entry, ACTIVE.at(name));
            (number < texts.count()).then(|| Active {
                number: FunctionNumber(number),
                setting: Setting {
                    limit: bytes::u32_at(entry, const { ACTIVE.at("limit") }),
                    arguments: bytes::u32_at(entry, const { ACTIVE.at("flags") }) & ACTIVE_ARGUMENTS != 0,
                },
                calls: counts[index].0.saturating_sub(word("calls_before")),
                limited: counts[index].1.saturating_sub(word("limited_before")),
            })
        })
        .collect()
}

/// Calls, and those beyond the limit, that each entry up to the highest has counted, over all processors.
fn counts(file: &File, geometry: &FunctionGeometry, highest: usize) -> Vec<(u64, u64)> {
    let mut sums = vec![(0u64, 0u64); highest + 1];
    let mut table = vec![0; sums.len() * CALLS.size];
    for processor in 0..geometry.processor_count as usize {
        let at = geometry.calls + processor * geometry.active_count as usize * CALLS.size;
        if file.read_exact_at(&mut table, at as u64).is_err() {
            break;
        }
        for (sum, calls) in sums.iter_mut().zip(table.chunks_exact(CALLS.size)) {
            sum.0 = sum.0.saturating_add(bytes::u64_at(calls, const { CALLS.at("calls") }));
            sum.1 = sum.1.saturating_add(bytes::u64_at(calls, const { CALLS.at("limited") }));
        }
    }
    sums
}

/// The one who switches. Others wait until it is dropped.
#[derive(Debug)]
pub struct Switchboard<'a> {
    functions: &'a Functions,
}

impl<'a> Switchboard<'a> {
    pub(crate) fn functions(&self) -> &'a Functions {
        self.functions
    }

    /// Switches a function on, or changes how it is on.
    pub fn on(&mut self, number: FunctionNumber, setting: Setting) -> Result<(), SwitchError> {
        self.check(number)?;
        if let Some(entry) = self.entry_of(number) {
            self.set(entry, setting);
            return Ok(());
        }
        let geometry = &self.functions.texts.geometry;
        let free = (1..geometry.active_count).find(|&entry| self.function(entry) == 0);
        let entry = free.ok_or(SwitchError::Full(geometry.active_count.saturating_sub(1)))?;
        let mapping = &self.functions.texts.mapping;
        let highest = mapping.word32(self.functions.texts.control + const { CONTROL.at("active_count") });
        highest.fetch_max(entry, Ordering::AcqRel);
        let (calls, limited) = counts(&self.functions.file, geometry, entry as usize)[entry as usize];
        self.set(entry, setting);
        mapping.word64(self.place(entry, const { ACTIVE.at("calls_before") })).store(calls, Ordering::Relaxed);
        mapping.word64(self.place(entry, const { ACTIVE.at("limited_before") })).store(limited, Ordering::Relaxed);
        mapping.word32(self.place(entry, const { ACTIVE.at("function") })).store(number.0 + 1, Ordering::Release);
        self.write_switch(number, entry as u16); // below the capacity, which is checked to fit
        Ok(())
    }

    /// Switches a function off.
    pub fn off(&mut self, number: FunctionNumber) -> Result<(), SwitchError> {
        self.check(number)?;
        self.write_switch(number, 0);
        if let Some(entry) = self.entry_of(number) {
            let place = self.place(entry, const { ACTIVE.at("function") });
            self.functions.texts.mapping.word32(place).store(0, Ordering::Release);
        }
        Ok(())
    }

    fn check(&self, number: FunctionNumber) -> Result<(), SwitchError> {
        if number.0 < self.functions.texts.count() { Ok(()) } else { Err(SwitchError::Number(number.0)) }
    }

    fn set(&self, entry: u32, setting: Setting) {
        let mapping = &self.functions.texts.mapping;
        let flags = if setting.arguments { ACTIVE_ARGUMENTS } else { 0 };
        mapping.word32(self.place(entry, const { ACTIVE.at("flags") })).store(flags, Ordering::Relaxed);
        mapping.word32(self.place(entry, const { ACTIVE.at("limit") })).store(setting.limit, Ordering::Relaxed);
    }

    /// The entry that a function has, whatever its switch says.
    fn entry_of(&self, number: FunctionNumber) -> Option<u32> {
        let texts = &self.functions.texts;
        let highest = texts.mapping.word32(texts.control + const { CONTROL.at("active_count") });
        let highest = highest.load(Ordering::Acquire).min(texts.geometry.active_count.saturating_sub(1));
        (1..=highest).find(|&entry| self.function(entry) == number.0 + 1)
    }

    fn function(&self, entry: u32) -> u32 {
        let place = self.place(entry, const { ACTIVE.at("function") });
        self.functions.texts.mapping.word32(place).load(Ordering::Acquire)
    }

    fn place(&self, entry: u32, field: usize) -> usize {
        self.functions.texts.geometry.active + entry as usize * ACTIVE.size + field
    }

    /// Two switches share a word; nobody else writes it while we hold the lock.
    fn write_switch(&self, number: FunctionNumber, value: u16) {
        let place = self.functions.texts.geometry.switches + number.0 as usize * 2;
        let (word, shift) = (self.functions.texts.mapping.word32(place / 4 * 4), place % 4 * 8);
        let others = word.load(Ordering::Acquire) & !(0xffff << shift);
        word.store(others | u32::from(value) << shift, Ordering::Release);
    }
}

impl Drop for Switchboard<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::fcntl_lock(&self.functions.file, FlockOperation::Unlock);
    }
}
