//! The program's own description of its types: descriptors in read-only data, one a type, with the names and places of
//! fields. The runtime knows them by address; here they are found by their form.

use std::collections::HashMap;

use super::{Layout, Wanted};
use crate::binary::Binary;

/// Larger descriptions belong to nobody.
const LONGEST: u64 = 256 << 20;
const MOST_FIELDS: u64 = 1024;

/// Of a descriptor: bits that say that the type has a name and methods behind the descriptor, and that its text has a star
/// too many in front.
const FLAG_BEHIND: u8 = 1;
const FLAG_STAR: u8 = 2;
const FLAG_NAMED: u8 = 4;
/// Of its kind.
const STRUCT: u8 = 25;
const KIND_MASK: u8 = 31;

/// Places in the descriptor of a structure.
const SIZE: usize = 0;
const FLAGS: usize = 20;
const ALIGN: usize = 21;
const FIELD_ALIGN: usize = 22;
const KIND: usize = 23;
const TEXT: usize = 40;
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
        Some(Layout { size, fields: found })
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
            return rest.get(..length);
        }
    }
    None
}

/// The layouts that the program describes, of those that are wanted. Two structures of one name (one of them inside a
/// function) leave it unknown.
pub fn layouts(binary: &Binary, wanted: &[Wanted]) -> HashMap<&'static str, Layout> {
    let mut found: HashMap<&'static str, Option<Layout>> = HashMap::new();
    let Some(types) = Types::of(binary) else { return HashMap::new() };
    let by_name: HashMap<(&[u8], &[u8]), &'static str> = wanted
        .iter()
        .map(|wanted| ((wanted.name.as_bytes(), wanted.package.as_bytes()), wanted.structure))
        .collect();
    for at in (0..types.bytes.len()).step_by(8) {
        if types.bytes.get(at + KIND).is_none_or(|kind| kind & KIND_MASK != STRUCT) {
            continue;
        }
        let Some(&structure) = types.structure(at).and_then(|name| by_name.get(&name)) else { continue };
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

/// Calls `each` with every address that is in a type's table of methods: such a function may be called through an interface.
/// A table's entries end with two functions (for a pointer and for a value); what only looks so is one too many.
pub fn for_each_method(binary: &Binary, mut each: impl FnMut(u64)) {
    let Some(types) = Types::of(binary) else { return };
    let text = binary.line_table().text();
    let mut before = 0;
    for word in types.bytes.as_chunks().0 {
        let word = u32::from_le_bytes(*word);
        let is_function = |word: u32| word != 0 && word != u32::MAX && word % 16 == 0;
        if is_function(before) && is_function(word) {
            each(text + u64::from(before));
            each(text + u64::from(word));
        }
        before = word;
    }
}
