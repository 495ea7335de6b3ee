//! The program's own description of its types: descriptors in read-only data, one a type, with the names and places of
//! fields. The runtime knows them by address; here they are found by their form.

use std::collections::{HashMap, HashSet};

use super::{Layout, Wanted};
use crate::binary::Binary;

/// Larger descriptions belong to nobody.
const LONGEST: u64 = 256 << 20;
const MOST_FIELDS: u64 = 1024;
const LONGEST_NAME: usize = 4096;
/// Structures that have the name of one that is wanted.
const MOST_ALIKE: usize = 1024;

/// Of a descriptor: bits that say that the type has a name and methods behind the descriptor, and that its text has a star
/// too many in front.
const FLAG_BEHIND: u8 = 1;
const FLAG_STAR: u8 = 2;
const FLAG_NAMED: u8 = 4;
/// Of its kind.
const INTERFACE: u8 = 20;
const STRUCT: u8 = 25;
const KIND_MASK: u8 = 31;

/// Places in the descriptor of a structure.
const SIZE: usize = 0;
const HASH: usize = super::TYPE_HASH;
const FLAGS: usize = 20;
const ALIGN: usize = 21;
const FIELD_ALIGN: usize = 22;
const KIND: usize = 23;
const TEXT: usize = 40;
const POINTER: usize = 44;
const FIELDS: usize = 56;
const FIELD_COUNT: usize = 64;
const BEHIND: usize = 80;
/// Size of one field: its name, type, place.
const FIELD_SIZE: u64 = 24;

/// The descriptions of a program, with their address.
struct Types {
    address: u64,
    bytes: Vec<u8>,
}

impl Types {
    fn of(binary: &Binary) -> Option<Types> {
        /// Where the module's data say where types begin and end: until Go 1.19, until Go 1.26, since Go 1.27.
        const PLACES: [(u64, u64); 3] = [(280, 288), (296, 304), (296, 312)];
        let module = binary.module()?;
        let places = if binary.line_table().is_old() { &PLACES[..1] } else { &PLACES[1..] };
        places.iter().find_map(|&(start, end)| {
            let address = binary.word(module.checked_add(start)?)?;
            let size = binary.word(module.checked_add(end)?)?.checked_sub(address)?;
            let bytes = (size <= LONGEST).then(|| binary.bytes(address, size as usize))??;
            (size > 0).then_some(Types { address, bytes })
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }

    /// A name: a byte of flags, its length, its text.
    fn name(&self, at: usize) -> Option<&[u8]> {
        name(self.bytes.get(at..)?)
    }

    /// The name and the package of the structure whose descriptor lies here, if one does.
    fn structure(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let head = self.bytes.get(at..at.checked_add(BEHIND + 4)?)?;
        let is_align = |align: u8| matches!(align, 1 | 2 | 4 | 8);
        let needed = FLAG_NAMED | FLAG_BEHIND;
        if head[KIND] & KIND_MASK != STRUCT
            || head[FLAGS] & needed != needed
            || !is_align(head[ALIGN])
            || !is_align(head[FIELD_ALIGN])
        {
            return None;
        }
        let text = self.name(self.u32(at + TEXT)? as usize)?;
        let text = match head[FLAGS] & FLAG_STAR {
            0 => text,
            _ => text.strip_prefix(b"*")?,
        };
        let dot = text.iter().position(|&byte| byte == b'.')?;
        Some((&text[dot + 1..], self.name(self.u32(at + BEHIND)? as usize)?))
    }

    /// Where behind a descriptor that lies here its table of methods may be announced: it depends on the kind, and for maps on
    /// the version of Go.
    fn behind(&self, at: usize) -> Option<&'static [usize]> {
        let head = self.bytes.get(at..at.checked_add(TEXT + 8)?)?;
        let is_align = |align: u8| matches!(align, 1 | 2 | 4 | 8);
        if head[FLAGS] & FLAG_BEHIND == 0 || !is_align(head[ALIGN]) || !is_align(head[FIELD_ALIGN]) {
            return None;
        }
        self.name(self.u32(at + TEXT)? as usize).filter(|text| !text.is_empty())?;
        Some(match head[KIND] & KIND_MASK {
            1..=16 | 24 | 26 => &[48],
            17 => &[72],
            18 => &[64],
            19 | 22 | 23 => &[56],
            INTERFACE | STRUCT => &[80],
            21 => &[88, 96, 104, 112, 120, 128, 136, 144],
            _ => return None,
        })
    }

    /// Adds the code of an announcement's methods, for a pointer and for a value, that interfaces and reflection can reach.
    /// Says how many methods there are.
    fn methods(&self, at: usize, text: &Text<'_>, found: &mut Vec<u64>) -> Option<usize> {
        const SIZE: usize = 16;
        let count = (self.u32(at.checked_add(4)?)? & 0xffff) as usize;
        let first = at.checked_add(self.u32(at + 8)? as usize)?;
        let methods = self.bytes.get(first..first.checked_add(count * SIZE)?)?;
        for method in methods.as_chunks::<SIZE>().0 {
            let [name, kind, code, value_code] =
                [0, 4, 8, 12].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|byte| method[at + byte])));
            // One that neither can reach has lost its type, and names code that only others need; unless something else needs
            // a type that is the same. Reflection calls exported ones only.
            if kind == u32::MAX {
                continue;
            }
            let codes = [code, value_code].map(|code| text.address.wrapping_add(code.into()));
            let mut codes = codes.into_iter().filter(|&code| (text.is_function)(code)).peekable();
            if codes.peek().is_none() {
                continue;
            }
            let in_interface = || self.name(name as usize).is_none_or(|name| text.interfaces.contains(&(name, kind)));
            if self.is_exported(name as usize) || in_interface() {
                found.extend(codes);
            }
        }
        Some(count)
    }

    fn is_exported(&self, name: usize) -> bool {
        self.bytes.get(name).is_some_and(|flags| flags & 1 == 1)
    }

    /// Names and types of the methods that interfaces have. `None`: more than there can be.
    fn interface_methods(&self, binary: &Binary) -> Option<HashSet<(&[u8], u32)>> {
        const METHODS: usize = 56;
        const METHOD_COUNT: usize = 64;
        const SIZE: usize = 8;
        const MOST: u64 = 4096;
        let mut found = HashSet::new();
        let mut left = self.bytes.len() / 2 + 1024;
        for at in (0..self.bytes.len()).step_by(8) {
            let is_interface = self.bytes.get(at + KIND).is_some_and(|kind| kind & KIND_MASK == INTERFACE)
                // Two words, both pointers.
                && (self.u64(at), self.u64(at + 8)) == (Some(16), Some(16));
            let Some(count) = self.u64(at + METHOD_COUNT).filter(|count| is_interface && (1..=MOST).contains(count))
            else {
                continue;
            };
            left = left.checked_sub(count as usize)?;
            let methods = self.address.checked_add((at + METHODS) as u64).and_then(|place| binary.word(place));
            let first = methods.and_then(|methods| usize::try_from(methods.checked_sub(self.address)?).ok());
            let methods = first.and_then(|first| self.bytes.get(first..first.checked_add(count as usize * SIZE)?));
            for method in methods.unwrap_or_default().as_chunks::<SIZE>().0 {
                let [name, kind] = [0, 4].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|byte| method[at + byte])));
                found.extend(self.name(name as usize).map(|name| (name, kind)));
            }
        }
        Some(found)
    }

    /// The number of the type of pointers to the one that is described here, where the program has such.
    fn pointer_hash(&self, at: usize) -> Option<u32> {
        const POINTER_KIND: u8 = 22;
        let pointer = self.u32(at + POINTER).filter(|&place| place != 0)? as usize;
        let kind = self.bytes.get(pointer.checked_add(KIND)?)? & KIND_MASK;
        (kind == POINTER_KIND).then(|| self.u32(pointer + HASH))?
    }

    fn layout(&self, binary: &Binary, at: usize) -> Option<Layout> {
        let at_address = |place: usize| binary.word(self.address.checked_add((at + place) as u64)?);
        let size = u32::try_from(self.u64(at + SIZE)?).ok()?;
        let (fields, count) = (at_address(FIELDS)?, self.u64(at + FIELD_COUNT)?);
        if count > MOST_FIELDS {
            return None;
        }
        let mut found = Vec::new();
        for index in 0..count {
            let field = fields.checked_add(index * FIELD_SIZE)?;
            let name = binary.word(field)?;
            let name = match name.checked_sub(self.address).and_then(|at| self.name(usize::try_from(at).ok()?)) {
                Some(name) => name.to_vec(),
                None => return None,
            };
            let place = binary.word(field.checked_add(16)?)?;
            // Until Go 1.18 the lowest bit said that the field is embedded.
            let place = if binary.go_version().starts_with("go1.18") { place >> 1 } else { place };
            let offset = u32::try_from(place).ok().filter(|&offset| offset <= size)?;
            found.push((String::from_utf8(name).ok()?, offset));
        }
        let (hash, pointer_hash) = (self.u32(at + HASH), self.pointer_hash(at));
        Some(Layout { size: Some(size), fields: found, hash, pointer_hash })
    }
}

fn name(bytes: &[u8]) -> Option<&[u8]> {
    let (_, mut rest) = bytes.split_first()?;
    let mut length = 0usize;
    for shift in [0, 7, 14] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return rest.get(..length).filter(|_| length <= LONGEST_NAME);
        }
    }
    None
}

/// The layouts that the program describes, of those that are wanted. Two structures of one name (one of them inside a
/// function) leave it unknown.
pub fn layouts(binary: &Binary, wanted: &[Wanted]) -> HashMap<&'static str, Layout> {
    let mut found: HashMap<&'static str, Option<Layout>> = HashMap::new();
    let Some(types) = Types::of(binary) else { return HashMap::new() };
    let by_name: HashMap<(&[u8], &[u8]), &'static str> =
        wanted.iter().map(|wanted| ((wanted.name.as_bytes(), wanted.package.as_bytes()), wanted.structure)).collect();
    let mut alike = 0;
    for at in (0..types.bytes.len()).step_by(8) {
        if types.bytes.get(at + KIND).is_none_or(|kind| kind & KIND_MASK != STRUCT) {
            continue;
        }
        let Some(&structure) = types.structure(at).and_then(|name| by_name.get(&name)) else { continue };
        alike += 1;
        if alike > MOST_ALIKE {
            return HashMap::new();
        }
        let Some(layout) = types.layout(binary, at) else { continue };
        found
            .entry(structure)
            .and_modify(|known| {
                if known.as_ref() != Some(&layout) {
                    *known = None;
                }
            })
            .or_insert(Some(layout.clone()));
    }
    found.into_iter().filter_map(|(structure, layout)| Some((structure, layout?))).collect()
}

/// What is known of a program's code when its tables of methods are read.
struct Text<'a> {
    address: u64,
    is_function: &'a dyn Fn(u64) -> bool,
    interfaces: HashSet<(&'a [u8], u32)>,
}

/// Functions that are in a type's table of methods, and so may be called through an interface. What only looks like such a
/// table makes for a function too many. `None`: there are more than there can be, or no types at all.
pub fn methods(binary: &Binary, is_function: &dyn Fn(u64) -> bool) -> Option<Vec<u64>> {
    let types = Types::of(binary)?;
    let address = binary.line_table().text();
    let text = Text { address, is_function, interfaces: types.interface_methods(binary)? };
    let mut found = Vec::new();
    // Each method has a place of its own; some are read more than once, where the form of a map's descriptor is not known.
    let mut left = types.bytes.len() / 2 + 1024;
    for at in (0..types.bytes.len()).step_by(8) {
        for &place in types.behind(at).unwrap_or_default() {
            let read = types.methods(at + place, &text, &mut found);
            left = left.checked_sub(read.unwrap_or(0))?;
        }
    }
    Some(found)
}
