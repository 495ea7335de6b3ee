//! The runtime's own table of functions and lines (`.gopclntab`), which every Go program carries, stripped or not: which
//! function an instruction belongs to, what was inlined there, and the line of source.
//!
//! Numbers in it are never trusted: each is an offset into bytes that may be anybody's, so each access is checked and what
//! does not fit is no answer. Two forms are known: that of Go 1.18 and 1.19, and that of Go 1.20 and later.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use object::read::{Object, ObjectSection, ObjectSegment, ReadCache};

use crate::executable::ReadError;

/// What the table begins with: its version, two zero bytes, instructions of one byte, pointers of eight.
const BEGINNING: [u8; 8] = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
/// The same in Go 1.18 and 1.19.
const OLD_BEGINNING: [u8; 8] = [0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8];
/// Tables that are larger belong to nobody.
const LONGEST_TABLE: u64 = 512 << 20;
/// More words that the dynamic loader has to write belong to nobody.
const MOST_RELOCATIONS: usize = 16 << 20;
/// Functions that are inlined into each other at one place.
const DEEPEST_INLINING: usize = 128;

/// In `_func.pcdata`: the index into the tree of what was inlined.
const PCDATA_INLINE_INDEX: u32 = 2;
/// In `_func.funcdata`: that tree.
const FUNCDATA_INLINE_TREE: u8 = 3;

/// What differs between the forms.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    /// Bytes of a function's record before its tables of offsets; the last of them counts the second table.
    function_size: usize,
    /// In it: the line where the function begins.
    start_line: Option<usize>,
    /// Bytes of one inlined call, and in them: its name, its place in the caller, the line where it begins.
    inlined_call_size: usize,
    inlined_name: usize,
    inlined_parent: usize,
    inlined_start_line: Option<usize>,
}

const FORM: Form = Form {
    function_size: 44,
    start_line: Some(36),
    inlined_call_size: 16,
    inlined_name: 4,
    inlined_parent: 8,
    inlined_start_line: Some(12),
};
const OLD_FORM: Form = Form {
    function_size: 40,
    start_line: None,
    inlined_call_size: 20,
    inlined_name: 12,
    inlined_parent: 16,
    inlined_start_line: None,
};

/// Functions and lines of one program, by the addresses that it was linked at.
#[derive(Debug, Default)]
pub struct LineTable {
    table: Vec<u8>,
    form: Form,
    /// What functions say about themselves in other places; here for the trees of what was inlined.
    function_data: Vec<u8>,
    text: u64,
    function_count: u64,
    names: usize,
    units: usize,
    files: usize,
    programs: usize,
    functions: usize,
    /// Loaded segments that hold code: address, size, place in the file.
    code: Vec<Segment>,
}

/// A loaded part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it was linked at.
    pub address: u64,
    /// Its size in memory.
    pub size: u64,
    /// Where it lies in the file.
    pub file_offset: u64,
}

/// A function at a place of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `example.com/shop/cart.(*Cart).Add`.
    pub function: &'a [u8],
    /// The path of its file, as the compiler was told.
    pub file: &'a [u8],
    /// The line of the call, or of the instruction.
    pub line: u32,
    /// Line of the function's beginning.
    pub start_line: u32,
    /// It was compiled into its caller, the next frame.
    pub inlined: bool,
}

/// A function's record.
struct Function<'a> {
    entry: u32,
    end: u32,
    record: &'a [u8],
    form: Form,
}

/// A function as the table has it, by addresses that it was linked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where its name begins among all names.
    pub name: u32,
    pub address: u64,
    pub end: u64,
}

/// What else was found on the way to the table.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub relocations: Relocations,
    /// Where the module's own data lie.
    pub module: Option<u64>,
}

impl LineTable {
    /// Reads the table of an executable. `None`: it has none of a form that is known.
    pub fn read(path: &Path) -> Result<Option<Self>, ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
        Self::read_file(File::open(path).map_err(unreadable)?, path)
    }

    /// The same of a file that is open already; its path is for messages.
    pub fn read_file(file: File, path: &Path) -> Result<Option<Self>, ReadError> {
        let cache = ReadCache::new(file);
        let damaged = |error: object::Error| ReadError::Damaged { path: path.to_owned(), problem: error.to_string() };
        let file = object::File::parse(&cache).map_err(damaged)?;
        Self::of(&file).map_err(damaged)
    }

    /// Of a program that lies in memory.
    pub fn parse(program: &[u8]) -> Option<Self> {
        Self::of(&object::File::parse(program).ok()?).ok()?
    }

    fn of<'data, R: object::ReadRef<'data>>(file: &object::File<'data, R>) -> object::Result<Option<Self>> {
        let Some((mut found, surroundings)) = Self::of_functions(file)? else { return Ok(None) };
        found.find_inlined(file, &surroundings)?;
        Ok(Some(found))
    }

    /// A table that does not know what was inlined, and what else was found on the way.
    pub(crate) fn of_functions<'data, R: object::ReadRef<'data>>(
        file: &object::File<'data, R>,
    ) -> object::Result<Option<(Self, Surroundings)>> {
        let Some((address, table)) = find_table(file)? else { return Ok(None) };
        let code = file.segments().filter(is_code).map(|segment| Segment {
            address: segment.address(),
            size: segment.size(),
            file_offset: segment.file_range().0,
        });
        let Some(mut found) = Self::of_parts(table.to_vec(), Vec::new()) else { return Ok(None) };
        found.code = code.collect();
        let surroundings = found.complete(file, address)?;
        Ok(Some((found, surroundings)))
    }

    /// Of a table, and of what its functions say elsewhere, as they are in a program. Checks the table's head.
    pub fn of_parts(table: Vec<u8>, function_data: Vec<u8>) -> Option<Self> {
        let form = if table.starts_with(&BEGINNING) {
            FORM
        } else if table.starts_with(&OLD_BEGINNING) {
            OLD_FORM
        } else {
            return None;
        };
        let head = |index: usize| u64_at(&table, 8 + 8 * index);
        let place = |index: usize| usize::try_from(head(index)?).ok().filter(|&offset| offset <= table.len());
        Some(Self {
            function_count: head(0)?,
            text: head(2)?,
            names: place(3)?,
            units: place(4)?,
            files: place(5)?,
            programs: place(6)?,
            functions: place(7)?,
            function_data,
            table,
            form,
            code: Vec::new(),
        })
    }

    /// Loaded segments that hold code.
    pub fn code(&self) -> &[Segment] {
        &self.code
    }

    /// How many functions there are.
    pub fn function_count(&self) -> u64 {
        self.function_count
    }

    /// Every function.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        // More than there are bytes cannot be true.
        let count = self.function_count.min(self.table.len() as u64 / 8);
        (0..count).filter_map(|index| self.known(self.function(index)?))
    }

    /// The function at an address.
    pub(crate) fn entry_at(&self, address: u64) -> Option<Entry> {
        self.known(self.function_at(address)?)
    }

    fn known(&self, function: Function<'_>) -> Option<Entry> {
        Some(Entry {
            name: function.number(4)?,
            address: self.text.checked_add(function.entry.into())?,
            end: self.text.checked_add(function.end.into())?,
        })
    }

    /// All names, each ended by a zero.
    pub(crate) fn names(&self) -> &[u8] {
        let end = if self.units > self.names { self.units } else { self.table.len() };
        self.table.get(self.names..end).unwrap_or_default()
    }

    /// Where code begins.
    pub(crate) fn text(&self) -> u64 {
        self.text
    }

    /// The table is that of Go 1.18 or 1.19.
    pub(crate) fn is_old(&self) -> bool {
        self.form.function_size == OLD_FORM.function_size
    }

    /// Finds in the module's own data what the table does not say: where code begins.
    fn complete<'data, R: object::ReadRef<'data>>(
        &mut self,
        file: &object::File<'data, R>,
        table_address: u64,
    ) -> object::Result<Surroundings> {
        /// From the module's data: its first fields, the address of the code.
        const TEXT: u64 = 176;
        let relocations = Relocations::of(file);
        let names = table_address.wrapping_add(self.names as u64);
        let module = find_module(file, &relocations, table_address, names)?;
        let text = match module {
            Some(module) => relocations.word(file, module.wrapping_add(TEXT))?,
            None if self.text == 0 => file.section_by_name(".text").map(|text| text.address()),
            None => None,
        };
        self.text = text.unwrap_or(self.text);
        Ok(Surroundings { relocations, module })
    }

    /// Finds the trees of what was inlined.
    fn find_inlined<'data, R: object::ReadRef<'data>>(
        &mut self,
        file: &object::File<'data, R>,
        surroundings: &Surroundings,
    ) -> object::Result<()> {
        /// Where the module's data say where the functions' data is: until Go 1.19, until Go 1.26, since Go 1.27.
        const FUNCTION_DATA: [u64; 3] = [304, 320, 344];
        let Some(module) = surroundings.module else { return Ok(()) };
        for offset in FUNCTION_DATA {
            let Some(address) = surroundings.relocations.word(file, module.wrapping_add(offset))? else { continue };
            if let Some(data) = data_from(file, address)?
                && self.is_function_data(data)
            {
                self.function_data = data.to_vec();
                break;
            }
        }
        Ok(())
    }

    /// Whether the trees of the first functions that have one make sense in these data.
    fn is_function_data(&self, data: &[u8]) -> bool {
        const ENOUGH: usize = 64;
        let mut seen = 0;
        for index in 0..self.function_count.min(1 << 20) {
            let Some(function) = self.function(index) else { return false };
            let Some(tree) = function.funcdata(FUNCDATA_INLINE_TREE) else { continue };
            let Some(call) = data.get(tree as usize..).and_then(|tree| tree.get(..self.form.inlined_call_size)) else {
                return false;
            };
            let name = u32_at(call, self.form.inlined_name).unwrap_or(u32::MAX) as usize;
            let parent = u32_at(call, self.form.inlined_parent).unwrap_or(u32::MAX);
            let begins = name == 0 || self.table.get(self.names.saturating_add(name - 1)) == Some(&0);
            let padded = self.is_old() || call[1..4] == [0; 3];
            if !padded || !begins || parent > function.end - function.entry || self.name(name).is_none() {
                return false;
            }
            seen += 1;
            if seen == ENOUGH {
                break;
            }
        }
        seen > 0
    }

    /// The functions at an address, the innermost first: all but the last are inlined into the one after them. Empty where
    /// there is no Go code.
    pub fn frames(&self, address: u64) -> Vec<Frame<'_>> {
        let mut frames = Vec::new();
        let Some(function) = self.function_at(address) else { return frames };
        let mut at = (address - self.text) as u32;
        let mut index = self.value(&function, function.pcdata(PCDATA_INLINE_INDEX), at).unwrap_or(-1);
        while index >= 0 && frames.len() < DEEPEST_INLINING {
            let Some(call) = function.inlined(&self.function_data, index as u32) else { break };
            let (Some(name), Some(parent)) =
                (u32_at(call, self.form.inlined_name), u32_at(call, self.form.inlined_parent))
            else {
                break;
            };
            let Some(name) = self.name(name as usize) else { break };
            let (file, line) = self.place(&function, at);
            let start_line = self.form.inlined_start_line.and_then(|at| u32_at(call, at)).unwrap_or(0);
            frames.push(Frame { function: name, file, line, start_line, inlined: true });
            at = function.entry.saturating_add(parent);
            if at >= function.end {
                break;
            }
            index = self.value(&function, function.pcdata(PCDATA_INLINE_INDEX), at).unwrap_or(-1);
        }
        let (file, line) = self.place(&function, at.min(function.end.saturating_sub(1)));
        frames.push(Frame {
            function: function.number(4).and_then(|name| self.name(name as usize)).unwrap_or_default(),
            file,
            line,
            start_line: self.form.start_line.and_then(|at| function.number(at)).unwrap_or(0),
            inlined: false,
        });
        frames
    }

    /// How many bytes the stack has grown since the function that holds this address was called: its return address lies so
    /// far above the stack pointer.
    pub fn stack_growth(&self, address: u64) -> Option<u32> {
        let function = self.function_at(address)?;
        let growth = self.value(&function, function.number(16), (address - self.text) as u32)?;
        u32::try_from(growth).ok()
    }

    fn place(&self, function: &Function<'_>, at: u32) -> (&[u8], u32) {
        let line = self.value(function, function.number(24), at).and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        let file = self.value(function, function.number(20), at).and_then(|number| u32::try_from(number).ok());
        let file = file.zip(function.number(32)).and_then(|(number, unit)| self.file(unit, number));
        (file.unwrap_or_default(), line)
    }

    fn file(&self, unit: u32, number: u32) -> Option<&[u8]> {
        let entry = (unit as usize).checked_add(number as usize)?.checked_mul(4)?.checked_add(self.units)?;
        let offset = u32_at(&self.table, entry)?;
        if offset == u32::MAX {
            return None;
        }
        self.text_at(self.files.checked_add(offset as usize)?)
    }

    pub(crate) fn name(&self, offset: usize) -> Option<&[u8]> {
        self.text_at(self.names.checked_add(offset)?)
    }

    fn text_at(&self, offset: usize) -> Option<&[u8]> {
        const LONGEST: usize = 1 << 16;
        let rest = self.table.get(offset..)?;
        let end = rest.iter().take(LONGEST).position(|&byte| byte == 0)?;
        Some(&rest[..end])
    }

    fn function_at(&self, address: u64) -> Option<Function<'_>> {
        let at = u32::try_from(address.checked_sub(self.text)?).ok()?;
        let (mut low, mut high) = (0, self.function_count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)? <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let function = self.function(low.checked_sub(1)?)?;
        (function.entry <= at && at < function.end).then_some(function)
    }

    /// Where a function begins; one after the last stands for the end.
    fn entry(&self, index: u64) -> Option<u32> {
        u32_at(&self.table, self.functions.checked_add(usize::try_from(index).ok()?.checked_mul(8)?)?)
    }

    fn function(&self, index: u64) -> Option<Function<'_>> {
        let place = self.functions.checked_add(usize::try_from(index).ok()?.checked_mul(8)?)?;
        let entry = u32_at(&self.table, place)?;
        let offset = u32_at(&self.table, place + 4)?;
        let end = u32_at(&self.table, place + 8)?;
        let record = self.table.get(self.functions.checked_add(offset as usize)?..)?;
        let form = self.form;
        (record.len() >= form.function_size && end >= entry).then_some(Function { entry, end, record, form })
    }

    /// What a table of values by address says: pairs of a difference of values and of addresses.
    fn value(&self, function: &Function<'_>, program: Option<u32>, at: u32) -> Option<i32> {
        let offset = program.filter(|&offset| offset != 0)?;
        let mut rest = self.table.get(self.programs.checked_add(offset as usize)?..)?;
        let (mut value, mut address, mut first) = (-1i32, function.entry, true);
        loop {
            let change = varint(&mut rest)?;
            if change == 0 && !first {
                return None;
            }
            first = false;
            value = value.wrapping_add(((change >> 1) as i32) ^ -((change & 1) as i32));
            address = address.checked_add(varint(&mut rest)?)?;
            if at < address {
                return Some(value);
            }
        }
    }
}

impl<'a> Function<'a> {
    /// A number of the record.
    fn number(&self, offset: usize) -> Option<u32> {
        u32_at(self.record, offset)
    }

    fn pcdata(&self, index: u32) -> Option<u32> {
        (index < self.number(28)?).then(|| self.number(self.form.function_size.checked_add(4 * index as usize)?))?
    }

    fn funcdata(&self, index: u8) -> Option<u32> {
        if index >= self.record[self.form.function_size - 1] {
            return None;
        }
        let tables = (self.number(28)? as usize).checked_add(index.into())?;
        self.number(self.form.function_size.checked_add(tables.checked_mul(4)?)?).filter(|&offset| offset != u32::MAX)
    }

    fn inlined<'d>(&self, data: &'d [u8], index: u32) -> Option<&'d [u8]> {
        let tree = self.funcdata(FUNCDATA_INLINE_TREE)? as usize;
        let size = self.form.inlined_call_size;
        let start = tree.checked_add((index as usize).checked_mul(size)?)?;
        data.get(start..start.checked_add(size)?)
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset.checked_add(8)?)?.try_into().ok()?))
}

fn varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn is_code<'data, S: ObjectSegment<'data>>(segment: &S) -> bool {
    matches!(segment.flags(), object::SegmentFlags::Elf { p_flags, .. } if p_flags.0 & object::elf::PF_X.0 != 0)
}

/// The table and its address: in a section of its own, else (without sections) wherever it begins as one does.
fn find_table<'data, R: object::ReadRef<'data>>(
    file: &object::File<'data, R>,
) -> object::Result<Option<(u64, &'data [u8])>> {
    for section in [".gopclntab", ".data.rel.ro.gopclntab"].into_iter().filter_map(|name| file.section_by_name(name)) {
        if section.size() <= LONGEST_TABLE
            && let data = section.data()?
            && begins_as_table(data)
        {
            return Ok(Some((section.address(), data)));
        }
    }
    for segment in file.segments().filter(|segment| segment.size() <= LONGEST_TABLE) {
        let data = segment.data()?;
        let begins = |&at: &usize| begins_as_table(&data[at..]) && u64_at(data, at + 8).is_some_and(|count| count > 0);
        if let Some(at) = (0..data.len()).step_by(8).find(begins) {
            return Ok(Some((segment.address() + at as u64, &data[at..])));
        }
    }
    Ok(None)
}

fn begins_as_table(data: &[u8]) -> bool {
    data.starts_with(&BEGINNING) || data.starts_with(&OLD_BEGINNING)
}

/// What the dynamic loader is to write, by address: linkers may leave these words empty in the file.
#[derive(Debug, Default)]
pub(crate) struct Relocations(HashMap<u64, u64>);

impl Relocations {
    /// What the loader writes at an address.
    pub fn at(&self, address: u64) -> Option<u64> {
        self.0.get(&address).copied()
    }

    /// All that it writes anywhere.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.values().copied()
    }

    fn of<'data, R: object::ReadRef<'data>>(file: &object::File<'data, R>) -> Self {
        let relative = file.dynamic_relocations().into_iter().flatten().filter_map(|(address, relocation)| {
            let relative =
                relocation.flags() == object::RelocationFlags::Elf { r_type: object::elf::R_X86_64_RELATIVE };
            relative.then_some((address, relocation.addend() as u64))
        });
        Self(relative.take(MOST_RELOCATIONS).collect())
    }

    fn word<'data, R: object::ReadRef<'data>>(
        &self,
        file: &object::File<'data, R>,
        address: u64,
    ) -> object::Result<Option<u64>> {
        if let Some(&word) = self.0.get(&address) {
            return Ok(Some(word));
        }
        Ok(data_from(file, address)?.and_then(|data| u64_at(data, 0)).filter(|&word| word != 0))
    }
}

/// The loaded bytes from an address to the end of its section, else of its segment.
fn data_from<'data, R: object::ReadRef<'data>>(
    file: &object::File<'data, R>,
    address: u64,
) -> object::Result<Option<&'data [u8]>> {
    let within = |start: u64, size: u64| address >= start && address - start < size && size <= LONGEST_TABLE;
    if let Some(section) =
        file.sections().find(|section| within(section.address(), section.size()) && section.address() != 0)
    {
        return Ok(section.data()?.get((address - section.address()) as usize..));
    }
    match file.segments().find(|segment| within(segment.address(), segment.size())) {
        Some(segment) => Ok(segment.data()?.get((address - segment.address()) as usize..)),
        None => Ok(None),
    }
}

/// Where the module's data lie: their first words are the addresses of the table and of the names in it.
fn find_module<'data, R: object::ReadRef<'data>>(
    file: &object::File<'data, R>,
    relocations: &Relocations,
    table: u64,
    names: u64,
) -> object::Result<Option<u64>> {
    for name in [".go.module", ".noptrdata", ".data"] {
        let Some(section) = file.section_by_name(name) else { continue };
        if let Some(at) = find_words(section.data()?, table, names) {
            return Ok(Some(section.address() + at));
        }
    }
    let begins = |&(&address, &word): &(&u64, &u64)| word == table && relocations.0.get(&(address + 8)) == Some(&names);
    if let Some((&address, _)) = relocations.0.iter().find(begins) {
        return Ok(Some(address));
    }
    for segment in file.segments().filter(|segment| !is_code(segment) && segment.size() <= LONGEST_TABLE) {
        if let Some(at) = find_words(segment.data()?, table, names) {
            return Ok(Some(segment.address() + at));
        }
    }
    Ok(None)
}

fn find_words(data: &[u8], first: u64, second: u64) -> Option<u64> {
    let pair = [first.to_le_bytes(), second.to_le_bytes()].concat();
    (0..data.len()).step_by(8).find(|&at| data[at..].starts_with(&pair)).map(|at| at as u64)
}
