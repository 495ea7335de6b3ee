//! The second part of an object: its symbols. Importers name a symbol by its index, so an object that is to look like
//! another to them must have it at that index. What is moved is every entry that belongs to the symbol, and every reference.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::sha256::sha256;

/// Where a text head ends and the object begins.
const MARKER: &[u8] = b"\n!\n";
const MAGIC: &[u8] = b"\0go120ld";
const FINGERPRINT_LENGTH: usize = 8;

/// Blocks, in their order.
const BLOCKS: usize = 19;
const PACKAGES: usize = 1;
const DEFINITIONS: usize = 3;
const HASHED_SHORT: usize = 4;
const HASHED: usize = 5;
const NAMED: usize = 6;
const REFERENCES: usize = 7;
const REFERENCE_FLAGS: usize = 8;
const HASHES_SHORT: usize = 9;
const HASHES: usize = 10;
const RELOCATION_INDEX: usize = 11;
const AUXILIARY_INDEX: usize = 12;
const DATA_INDEX: usize = 13;
const RELOCATIONS: usize = 14;
const AUXILIARIES: usize = 15;
const DATA: usize = 16;
const REFERENCE_NAMES: usize = 17;

/// Sizes of entries, and where the symbol that they name stands in them.
const STRING: usize = 8;
const SYMBOL: usize = 21;
const SYMBOL_SIZE: usize = 13;
const RELOCATION: usize = 23;
const RELOCATION_SYMBOL: usize = 15;
const AUXILIARY: usize = 9;
const AUXILIARY_SYMBOL: usize = 1;
const FLAGS: usize = 10;
const REFERENCE_NAME: usize = 16;
/// A word of the compiler's for an inlined call, in what it says of a function.
const INLINED_CALL: usize = 24;
const INLINED_CALL_SYMBOL: usize = 12;
/// Where in it the number of files stands.
const FUNCTION_FILES: usize = 16;

/// The kind of auxiliary that says of a function what it calls inline.
const FUNCTION: u8 = 1;
/// In place of a package: symbols that are known by their names, by hashes, or by the compiler.
const NO_PACKAGE: u32 = (1 << 31) - 1;
const HASHED_SHORT_PACKAGE: u32 = (1 << 31) - 2;
const HASHED_PACKAGE: u32 = (1 << 31) - 3;
const BUILT_IN: u32 = (1 << 31) - 4;
/// The package of a symbol of this object.
const SELF: u32 = (1 << 31) - 5;

const HASH: usize = 16;
const HASH_SHORT: usize = 8;

/// A way in which a version of Go hashes a symbol's content.
struct Way {
    /// The bitwise complement of SHA-256, until Go 1.23; later it begins with a byte of its own.
    is_inverted: bool,
    /// What keeps symbols of different sections apart.
    section: u8,
}

const CODE_SECTION: u8 = b't';
const WAYS: [Way; 7] = [
    Way { is_inverted: false, section: 0 },
    Way { is_inverted: false, section: b'T' },
    Way { is_inverted: false, section: b'F' },
    Way { is_inverted: false, section: CODE_SECTION },
    Way { is_inverted: true, section: 0 },
    Way { is_inverted: true, section: b'T' },
    Way { is_inverted: true, section: b'F' },
];

/// The symbols of an object, which can be put in another order.
pub struct Symbols {
    content: Vec<u8>,
    /// Where the object begins, behind its head.
    start: usize,
    blocks: [usize; BLOCKS],
}

impl Symbols {
    /// Reads the second part of an object; `None` where it is not of the form that we know.
    pub fn read(part: &[u8]) -> Option<Symbols> {
        let start = part.windows(MARKER.len()).position(|window| window == MARKER)? + MARKER.len();
        let object = part.get(start..)?;
        object.starts_with(MAGIC).then_some(())?;
        let head = MAGIC.len() + FINGERPRINT_LENGTH + 4;
        let mut blocks = [0; BLOCKS];
        for (index, block) in blocks.iter_mut().enumerate() {
            *block = word(object, head + 4 * index)? as usize;
        }
        let is_sound = blocks.is_sorted() && blocks[0] >= head + 4 * BLOCKS && blocks[BLOCKS - 1] <= object.len();
        let symbols = is_sound.then(|| Symbols { content: part.to_vec(), start, blocks })?;
        let sizes = [
            (DEFINITIONS, SYMBOL),
            (HASHED_SHORT, SYMBOL),
            (HASHED, SYMBOL),
            (NAMED, SYMBOL),
            (REFERENCE_FLAGS, FLAGS),
            (RELOCATIONS, RELOCATION),
            (AUXILIARIES, AUXILIARY),
            (REFERENCE_NAMES, REFERENCE_NAME),
        ];
        let defined = symbols.range(DEFINITIONS).start..symbols.range(REFERENCES).start;
        let index = 4 * (defined.len() / SYMBOL + 1);
        let has_whole_entries = sizes.iter().all(|(block, size)| symbols.range(*block).len() % size == 0)
            && [RELOCATION_INDEX, AUXILIARY_INDEX, DATA_INDEX].iter().all(|block| symbols.range(*block).len() == index);
        has_whole_entries.then_some(symbols)
    }

    /// The name of a symbol that importers may name by its index.
    pub fn name(&self, index: u32) -> Option<&[u8]> {
        let entry = self.range(DEFINITIONS).start + index as usize * SYMBOL;
        (entry < self.range(DEFINITIONS).end).then_some(())?;
        self.string(entry)
    }

    /// The same object of a package, with symbols at other indices (`from`, `to`), whose importers say that they have seen `fingerprint`.
    /// `None` where that cannot be done.
    pub fn rearranged(
        mut self,
        package: &str,
        moves: &BTreeMap<u32, u32>,
        fingerprint: [u8; FINGERPRINT_LENGTH],
    ) -> Option<Vec<u8>> {
        let count = self.range(DEFINITIONS).len() / SYMBOL;
        let order = order(count, moves)?;
        let mut place = vec![0; count];
        for (to, from) in order.iter().enumerate() {
            place[*from] = to as u32;
        }
        for (at, hash) in self.new_hashes(package.as_bytes(), &place)? {
            self.content[at..at + HASH].copy_from_slice(&hash);
        }
        let definitions = self.range(DEFINITIONS);
        let entries: Vec<u8> = order
            .iter()
            .flat_map(|from| &self.content[definitions.start + from * SYMBOL..][..SYMBOL])
            .copied()
            .collect();
        self.content[definitions].copy_from_slice(&entries);
        for (index, items, size) in [
            (RELOCATION_INDEX, RELOCATIONS, RELOCATION),
            (AUXILIARY_INDEX, AUXILIARIES, AUXILIARY),
            (DATA_INDEX, DATA, 1),
        ] {
            self.reorder(&order, index, items, size)?;
        }
        for (block, size, symbol) in [
            (RELOCATIONS, RELOCATION, RELOCATION_SYMBOL),
            (AUXILIARIES, AUXILIARY, AUXILIARY_SYMBOL),
            (REFERENCE_FLAGS, FLAGS, 0),
            (REFERENCE_NAMES, REFERENCE_NAME, 0),
        ] {
            for entry in self.range(block).step_by(size) {
                self.redirect(entry + symbol, &place)?;
            }
        }
        self.redirect_inlined_calls(&place)?;
        let at = self.start + MAGIC.len();
        self.content[at..at + FINGERPRINT_LENGTH].copy_from_slice(&fingerprint);
        Some(self.content)
    }

    fn range(&self, block: usize) -> Range<usize> {
        self.start + self.blocks[block]..self.start + self.blocks[block + 1]
    }

    /// The items of a symbol, by an index block.
    fn items(&self, index: usize, symbol: usize) -> Option<Range<usize>> {
        let at = self.range(index).start + 4 * symbol;
        let (start, end) = (word(&self.content, at)? as usize, word(&self.content, at + 4)? as usize);
        (start <= end).then_some(start..end)
    }

    /// Of each symbol that is known by a hash of its content (tables of methods, most of them): where the hash stands, and
    /// what it is when the symbols that the content names are elsewhere. `None` where a hash was made in another way than we
    /// know.
    fn new_hashes(&self, package: &[u8], place: &[u32]) -> Option<Vec<(usize, [u8; HASH])>> {
        let count = place.len();
        let short = self.range(HASHED_SHORT).len() / SYMBOL;
        let hashed = self.range(HASHED).len() / SYMBOL;
        let same: Vec<u32> = (0..count as u32).collect();
        let before: Vec<Option<[u8; HASH]>> = (0..hashed).map(|index| self.stored_hash(index)).collect();
        let mut hashes: Vec<Option<[u8; HASH]>> = vec![None; hashed];
        // Most name no other; the others are done in the order in which what they name is ready.
        loop {
            let mut has_changed = false;
            for index in 0..hashed {
                if hashes[index].is_some() {
                    continue;
                }
                let symbol = count + short + index;
                let relocations: Vec<usize> = self.relocations(symbol)?.collect();
                let is_ready = relocations.iter().all(|at| match self.reference(*at + RELOCATION_SYMBOL) {
                    Some((HASHED_PACKAGE, named)) => {
                        named as usize == index || hashes.get(named as usize).is_some_and(Option::is_some)
                    }
                    named => named.is_some(),
                });
                if !is_ready {
                    continue;
                }
                has_changed = true;
                let stored = before[index]?;
                let names_moved = relocations.iter().any(|at| match self.reference(*at + RELOCATION_SYMBOL) {
                    Some((SELF, named)) => place.get(named as usize) != Some(&named),
                    Some((HASHED_PACKAGE, named)) if named as usize != index => {
                        hashes[named as usize] != before[named as usize]
                    }
                    _ => false,
                });
                if !names_moved {
                    hashes[index] = Some(stored);
                    continue;
                }
                let way = WAYS
                    .iter()
                    .find(|way| self.hash(way, package, index, &relocations, &same, &before) == Some(stored))?;
                hashes[index] = Some(self.hash(way, package, index, &relocations, place, &hashes)?);
            }
            if !has_changed {
                break;
            }
        }
        let start = self.range(HASHES).start;
        let all: Option<Vec<[u8; HASH]>> = hashes.into_iter().collect();
        // The short ones are their content, which names nothing.
        let is_named =
            (count..count + short).any(|symbol| self.relocations(symbol).is_none_or(|mut all| all.next().is_some()));
        (!is_named).then_some(())?;
        Some(all?.into_iter().enumerate().map(|(index, hash)| (start + index * HASH, hash)).collect())
    }

    /// The hash of a symbol's content in one way, where symbols stand at `place`.
    fn hash(
        &self,
        way: &Way,
        package: &[u8],
        index: usize,
        relocations: &[usize],
        place: &[u32],
        hashes: &[Option<[u8; HASH]>],
    ) -> Option<[u8; HASH]> {
        let short = self.range(HASHED_SHORT).len() / SYMBOL;
        let symbol = place.len() + short + index;
        let entry = self.range(DEFINITIONS).start + symbol * SYMBOL;
        let mut content = if way.is_inverted { Vec::new() } else { vec![1] };
        content.extend_from_slice(&u64::from(word(&self.content, entry + SYMBOL_SIZE)?).to_le_bytes());
        content.push(way.section);
        if way.section == CODE_SECTION {
            content.extend_from_slice(&without_call_hash(self.string(entry)?));
        }
        let data = self.items(DATA_INDEX, symbol)?;
        let data = self.content.get(self.range(DATA).start + data.start..self.range(DATA).start + data.end)?;
        let length = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        content.extend_from_slice(&data[..length]);
        for at in relocations {
            // Offset, size, kind as a byte, addend.
            content.extend_from_slice(self.content.get(*at..at + 6)?);
            content.extend_from_slice(self.content.get(at + 7..at + 15)?);
            let (of, named) = self.reference(at + RELOCATION_SYMBOL)?;
            match of {
                0 => content.extend_from_slice(b"nil symbol"),
                HASHED_PACKAGE if named as usize == index => content.extend_from_slice(b"self symbol"),
                HASHED_SHORT_PACKAGE => {
                    content.push(0);
                    let at = self.range(HASHES_SHORT).start + named as usize * HASH_SHORT;
                    content.extend_from_slice(self.content.get(at..at + HASH_SHORT)?);
                }
                HASHED_PACKAGE => {
                    content.push(1);
                    content.extend_from_slice(&(*hashes.get(named as usize)?)?);
                }
                NO_PACKAGE => {
                    content.push(2);
                    let start = self.range(NAMED).start;
                    content.extend_from_slice(self.string(start + named as usize * SYMBOL)?);
                }
                BUILT_IN => {
                    content.push(3);
                    content.extend_from_slice(&named.to_le_bytes());
                }
                SELF => {
                    content.extend_from_slice(package);
                    content.extend_from_slice(&place.get(named as usize)?.to_le_bytes());
                }
                other => {
                    let at = self.range(PACKAGES).start + other as usize * STRING;
                    content.extend_from_slice(self.string(at)?);
                    content.extend_from_slice(&named.to_le_bytes());
                }
            }
        }
        let mut hash: [u8; HASH] = sha256(&content)[..HASH].try_into().ok()?;
        if way.is_inverted {
            hash.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Some(hash)
    }

    fn stored_hash(&self, index: usize) -> Option<[u8; HASH]> {
        let at = self.range(HASHES).start + index * HASH;
        self.content.get(at..at + HASH)?.try_into().ok()
    }

    /// Where a symbol's relocations stand.
    fn relocations(&self, symbol: usize) -> Option<impl Iterator<Item = usize>> {
        let items = self.items(RELOCATION_INDEX, symbol)?;
        let all = self.range(RELOCATIONS);
        (all.start + items.end * RELOCATION <= all.end).then_some(())?;
        Some(items.map(move |item| all.start + item * RELOCATION))
    }

    /// Package and index of a symbol that is named somewhere.
    fn reference(&self, at: usize) -> Option<(u32, u32)> {
        Some((word(&self.content, at)?, word(&self.content, at + 4)?))
    }

    fn string(&self, at: usize) -> Option<&[u8]> {
        let length = word(&self.content, at)? as usize;
        let start = self.start + word(&self.content, at + 4)? as usize;
        self.content.get(start..start.checked_add(length)?)
    }

    /// Puts the items of the first symbols into their new order.
    fn reorder(&mut self, order: &[usize], index: usize, block: usize, size: usize) -> Option<()> {
        let all = self.range(block);
        let (mut items, mut starts, mut next) = (Vec::new(), Vec::new(), 0);
        for from in order {
            let range = self.items(index, *from)?;
            starts.push(next as u32);
            next += range.len();
            items.extend_from_slice(self.content.get(all.start..all.end)?.get(range.start * size..range.end * size)?);
        }
        // Those of the other symbols follow, where they are.
        (self.items(index, order.len().checked_sub(1)?)?.end == next).then_some(())?;
        self.content.get_mut(all.start..all.start + items.len())?.copy_from_slice(&items);
        let at = self.range(index).start;
        for (symbol, start) in starts.into_iter().enumerate() {
            self.content[at + 4 * symbol..][..4].copy_from_slice(&start.to_le_bytes());
        }
        Some(())
    }

    fn redirect(&mut self, at: usize, place: &[u32]) -> Option<()> {
        if word(&self.content, at)? == SELF {
            let to = *place.get(word(&self.content, at + 4)? as usize)?;
            self.content[at + 4..][..4].copy_from_slice(&to.to_le_bytes());
        }
        Some(())
    }

    fn redirect_inlined_calls(&mut self, place: &[u32]) -> Option<()> {
        let mut functions: Vec<usize> = Vec::new();
        for entry in self.range(AUXILIARIES).step_by(AUXILIARY) {
            if self.content[entry] != FUNCTION {
                continue;
            }
            (word(&self.content, entry + AUXILIARY_SYMBOL)? == SELF).then_some(())?;
            functions.push(word(&self.content, entry + AUXILIARY_SYMBOL + 4)? as usize);
        }
        functions.sort_unstable();
        functions.dedup();
        for function in functions {
            let range = self.items(DATA_INDEX, function)?;
            let start = self.range(DATA).start;
            let (start, end) = (start + range.start, start + range.end);
            let files = word(self.content.get(..end)?, start + FUNCTION_FILES)? as usize;
            let calls_at = start + FUNCTION_FILES + 4 + 4 * files;
            let calls = word(self.content.get(..end)?, calls_at)? as usize;
            (calls_at + 4 + calls * INLINED_CALL == end).then_some(())?;
            for call in 0..calls {
                self.redirect(calls_at + 4 + call * INLINED_CALL + INLINED_CALL_SYMBOL, place)?;
            }
        }
        Some(())
    }
}

/// Which symbol comes at each index: those that are moved where they must, the others in their order in what is left.
fn order(count: usize, moves: &BTreeMap<u32, u32>) -> Option<Vec<usize>> {
    let mut order: Vec<Option<usize>> = vec![None; count];
    for (from, to) in moves {
        let place = order.get_mut(*to as usize)?;
        (place.is_none() && (*from as usize) < count).then_some(())?;
        *place = Some(*from as usize);
    }
    let mut others = (0..count).filter(|from| !moves.contains_key(&(*from as u32)));
    order.into_iter().map(|taken| taken.or_else(|| others.next())).collect()
}

/// The name of a function without what tells apart where it was inlined: `#`, eight bytes in base 64, `#`.
fn without_call_hash(name: &[u8]) -> Vec<u8> {
    const LENGTH: usize = 12;
    let Some(at) = name.iter().position(|byte| *byte == b'#') else { return name.to_vec() };
    match name.get(at + 1 + LENGTH) {
        Some(b'#') => [&name[..at], &name[at + 2 + LENGTH..]].concat(),
        _ => name.to_vec(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_pushes_the_others() {
        assert_eq!(order(4, &[(3, 0), (1, 1)].into()), Some(vec![3, 1, 0, 2]));
        assert_eq!(order(2, &[(0, 1), (1, 1)].into()), None);
        assert_eq!(order(2, &[(2, 0)].into()), None);
        assert_eq!(order(2, &[(0, 2)].into()), None);
    }
}
