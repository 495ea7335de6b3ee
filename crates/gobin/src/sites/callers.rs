//! Who calls what: every direct call in a program's code, and which functions are called through their address.
//!
//! Made once a program in one pass over what is loaded. A byte that only looks like a call may be among them: whoever asks
//! decodes the caller and looks whether an instruction begins there.

use memchr::memchr3_iter;

use crate::binary::{Binary, Load};
use crate::offsets::types;

/// What is read at once; what follows belongs to an instruction that begins in it.
const PART: usize = 1 << 20;
const AFTER: usize = 8; // at least the longest of them
/// Functions begin at multiples of this.
const ALIGNMENT: u64 = 16;
/// More code than this is not looked through, more calls are not kept.
const MOST_CODE: u64 = 1 << 30;
const MOST_CALLS: usize = 32 << 20;

/// Direct calls, and functions whose address lies somewhere in the program's data.
#[derive(Debug, Default)]
pub struct Callers {
    text: u64,
    /// Function and instruction, as distances from the beginning of code; sorted.
    calls: Vec<(u32, u32)>,
    by_address: Places,
    /// There was too much to look through.
    incomplete: bool,
}

/// A set of places where functions may begin.
#[derive(Debug, Default)]
struct Places {
    text: u64,
    bits: Vec<u64>,
}

impl Places {
    fn new(text: u64, size: u64) -> Self {
        Self { text, bits: vec![0; (size / ALIGNMENT / 64 + 1) as usize] }
    }

    fn place(&self, address: u64) -> Option<(usize, u64)> {
        let offset = address.checked_sub(self.text)?;
        let number = offset / ALIGNMENT;
        let word = usize::try_from(number / 64).ok().filter(|&word| word < self.bits.len())?;
        (offset % ALIGNMENT == 0).then_some((word, 1 << (number % 64)))
    }

    fn insert(&mut self, address: u64) {
        if let Some((word, bit)) = self.place(address) {
            self.bits[word] |= bit;
        }
    }

    fn contains(&self, address: u64) -> bool {
        self.place(address).is_some_and(|(word, bit)| self.bits[word] & bit != 0)
    }
}

impl Callers {
    pub fn of(binary: &Binary) -> Callers {
        let text = binary.line_table().text();
        let size = binary.line_table().entries().map(|entry| entry.end.saturating_sub(text)).max().unwrap_or(0);
        if size > MOST_CODE {
            return Callers { incomplete: true, ..Callers::default() };
        }
        let mut functions = Places::new(text, size);
        let mut incomplete = false;
        for entry in binary.line_table().entries() {
            functions.insert(entry.address);
            incomplete |= functions.place(entry.address).is_none() && entry.address % ALIGNMENT != 0;
        }
        let mut callers = Callers { text, calls: Vec::new(), by_address: Places::new(text, size), incomplete: false };
        let longest = binary.loads().iter().map(|load| load.file_size.min(load.size)).max().unwrap_or(0);
        let mut part = vec![0; longest.min((PART + AFTER) as u64) as usize];
        for load in binary.loads() {
            incomplete |= !for_each_part(binary, load, &mut part, |address, bytes| match load.is_code {
                true => callers.find_calls(&functions, size, address, bytes),
                false => callers.find_words(&functions, address, bytes),
            });
        }
        for word in binary.relocations().words() {
            if functions.contains(word) {
                callers.by_address.insert(word);
            }
        }
        let methods = types::methods(binary, &|address| functions.contains(address));
        incomplete |= methods.is_none();
        for method in methods.unwrap_or_default() {
            callers.by_address.insert(method);
        }
        callers.calls.sort_unstable();
        callers.incomplete = incomplete || callers.calls.len() >= MOST_CALLS;
        callers
    }

    /// Instructions that may be calls of, or jumps to, the function at an address. `None`: they are not all known.
    pub fn calls(&self, function: u64) -> Option<impl Iterator<Item = u64> + '_> {
        if self.incomplete {
            return None;
        }
        let offset = u32::try_from(function.checked_sub(self.text)?).ok()?;
        let first = self.calls.partition_point(|&(to, _)| to < offset);
        let of_function = self.calls[first..].iter().take_while(move |&&(to, _)| to == offset);
        Some(of_function.map(|&(_, from)| self.text + u64::from(from)))
    }

    /// The function's address lies in data: in a method table, a closure, an interface's table.
    pub fn by_address(&self, function: u64) -> bool {
        self.incomplete || self.by_address.contains(function)
    }

    fn find_calls(&mut self, functions: &Places, size: u64, address: u64, bytes: &[u8]) -> bool {
        let begins = bytes.len().min(PART);
        for at in memchr3_iter(0xe8, 0xe9, 0x8d, &bytes[..begins]) {
            let Some(behind) = bytes.get(at + 1..at + 6) else { break };
            let from = address + at as u64;
            let target = |next: u64, distance: &[u8]| {
                let distance = i32::from_le_bytes([distance[0], distance[1], distance[2], distance[3]]);
                from.wrapping_add(next).wrapping_add_signed(distance.into())
            };
            if bytes[at] == 0x8d {
                // `lea function(%rip),register`: a closure is made.
                let target = target(6, &behind[1..]);
                if behind[0] & 0xc7 == 0x05 && functions.contains(target) {
                    self.by_address.insert(target);
                }
                continue;
            }
            let target = target(5, behind);
            let Some(from) = from.checked_sub(self.text).filter(|&from| from < size) else { continue };
            if functions.contains(target) {
                if self.calls.len() == MOST_CALLS {
                    return false;
                }
                self.calls.push(((target - self.text) as u32, from as u32));
            }
        }
        true
    }

    fn find_words(&mut self, functions: &Places, address: u64, bytes: &[u8]) -> bool {
        let skip = address.wrapping_neg() as usize % 8;
        for word in bytes.get(skip..bytes.len().min(PART + skip)).unwrap_or_default().as_chunks().0 {
            let word = u64::from_le_bytes(*word);
            if functions.contains(word) {
                self.by_address.insert(word);
            }
        }
        true
    }
}

/// Every part of what is loaded, with its address; false when one could not be read, or `each` wants no more.
fn for_each_part(binary: &Binary, load: &Load, part: &mut [u8], mut each: impl FnMut(u64, &[u8]) -> bool) -> bool {
    let size = load.file_size.min(load.size);
    if size > MOST_CODE {
        return false;
    }
    let mut done = 0;
    while done < size {
        let wanted = (size - done).min(part.len() as u64) as usize;
        let Some(offset) = load.file_offset.checked_add(done) else { return false };
        match binary.read_file(offset, &mut part[..wanted]) {
            Some(read) if read == wanted => {}
            _ => return false,
        }
        let Some(address) = load.address.checked_add(done) else { return false };
        if !each(address, &part[..wanted]) {
            return false;
        }
        done += PART as u64;
    }
    true
}
