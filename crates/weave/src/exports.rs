//! Export data as the compiler writes them (unified IR), of the plain and of the woven package, side by side.
//!
//! Both are graphs of elements, compared from the exported names on. Three things may differ where importers would see no
//! difference: the packages that are imported, what parameters and results are called, and at which index of the object a
//! symbol stands. Where those are is read exactly; all else must be the same to the byte.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

const MARKER: &[u8] = b"\n$$B\nu";
/// Layouts: up to Go 1.26, and from Go 1.27 on, which tells generic methods and the order of methods. Those between were never
/// released.
const LAYOUT: u32 = 2;
const LAYOUT_OF_METHODS: u32 = 5;
const FINGERPRINT_LENGTH: usize = 8;

/// Sections, in their order.
const SECTIONS: usize = 10;
const STRING: usize = 0;
const META: usize = 1;
const PACKAGE: usize = 3;
const NAME: usize = 4;
const TYPES: usize = 5;
const OBJECT: usize = 6;
const EXTENSION: usize = 7;
const DICTIONARY: usize = 8;
const BODY: usize = 9;

/// Kinds of objects.
const ALIAS: u64 = 0;
const CONSTANT: u64 = 1;
const TYPE: u64 = 2;
const FUNCTION: u64 = 3;
const VARIABLE: u64 = 4;
const STUB: u64 = 5;

/// The kind of a type that is a function's.
const SIGNATURE: u64 = 7;

/// A symbol that importers name by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// In the plain object.
    pub plain: u32,
    /// In the woven one.
    pub woven: u32,
}

/// Why importers would see a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The data are not of the form that we know.
    Unknown,
    /// Something is exported that was not, or the other way round.
    Contents,
    /// A declaration is another: `(*Request).write`, or the section for what has no name.
    At(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Unknown => write!(f, "its form is not known"),
            Difference::Contents => write!(f, "more or less is exported"),
            Difference::At(place) => write!(f, "{place} differs"),
        }
    }
}

/// Export data that were read.
pub struct Exports<'a> {
    /// Where each section's elements end, among all.
    sections: Vec<usize>,
    /// Where each element ends.
    ends: Vec<usize>,
    data: &'a [u8],
    fingerprint: [u8; FINGERPRINT_LENGTH],
    path: String,
    /// Whether the layout is that of Go 1.27.
    tells_methods: bool,
}

/// Elements by package and name.
type Named<'a> = BTreeMap<(&'a str, &'a str), usize>;

/// An element: what it names, and its own bytes.
struct Element<'a> {
    references: Vec<(usize, usize)>,
    data: &'a [u8],
}

/// A word of an element that is read exactly.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Number(u64),
    Text(&'a [u8]),
    Package(&'a str),
    Element(usize, usize),
}

/// An element that is read word by word.
struct Reader<'a, 'e> {
    exports: &'e Exports<'a>,
    references: Vec<(usize, usize)>,
    bytes: Bytes<'a>,
    words: Vec<Word<'a>>,
}

/// The part of an object for the compiler alone: bytes, with indices of symbols between them.
#[derive(Default)]
struct Extension<'a> {
    pieces: Vec<&'a [u8]>,
    indices: Vec<i64>,
}

impl<'a> Exports<'a> {
    /// Reads the first part of an object; `None` where it is not of the form that we know.
    pub fn read(part: &'a [u8]) -> Option<Exports<'a>> {
        let start = part.windows(MARKER.len()).position(|window| window == MARKER)? + MARKER.len();
        let mut words = Words(part.get(start..)?);
        let version = words.next()?;
        let has_flags = version >= 1;
        let tells_methods = version == LAYOUT_OF_METHODS;
        if !(tells_methods || version <= LAYOUT) || (has_flags && words.next()? != 0) {
            return None;
        }
        let sections = (0..SECTIONS).map(|_| Some(words.next()? as usize)).collect::<Option<Vec<usize>>>()?;
        let count = *sections.last()?;
        (count <= part.len()).then_some(())?;
        let ends = (0..count).map(|_| Some(words.next()? as usize)).collect::<Option<Vec<usize>>>()?;
        let is_sound = sections.is_sorted() && ends.is_sorted();
        let length = *ends.last()?;
        let data = words.0.get(..length)?;
        let fingerprint = words.0.get(length..length + FINGERPRINT_LENGTH)?.try_into().ok()?;
        let mut exports =
            is_sound.then_some(Exports { sections, ends, data, fingerprint, path: String::new(), tells_methods })?;
        let root = exports.element(META, 0)?;
        let (_, package) = *root.references.get(Bytes(root.data).number()? as usize)?;
        exports.path = exports.package_path(package)?.to_owned();
        Some(exports)
    }

    /// What objects that import the package say they have seen.
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_LENGTH] {
        self.fingerprint
    }

    /// The package's import path.
    pub fn package_name(&self) -> &str {
        &self.path
    }

    /// The symbols that importers name by index, where they see no other difference.
    pub fn same_but_for_indices<'b>(&'b self, woven: &'b Exports<'a>) -> Result<Vec<Index>, Difference> {
        let mut comparison =
            Comparison { plain: self, woven, indices: Vec::new(), found: HashSet::new(), open: Vec::new() };
        comparison.roots()?;
        while let Some((section, plain, woven)) = comparison.open.pop() {
            comparison.compare(section, plain, woven)?;
        }
        Ok(comparison.indices)
    }

    /// Where a section's elements stand among all.
    fn range(&self, section: usize) -> Range<usize> {
        let start = section.checked_sub(1).map_or(0, |before| self.sections[before]);
        start..self.sections[section]
    }

    fn raw(&self, section: usize, index: usize) -> Option<&'a [u8]> {
        let range = self.range(section);
        let at = range.start.checked_add(index).filter(|at| *at < range.end)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.data.get(start..self.ends[at])
    }

    fn element(&self, section: usize, index: usize) -> Option<Element<'a>> {
        let mut bytes = Bytes(self.raw(section, index)?);
        let count = bytes.number()?;
        let mut references = Vec::new();
        for _ in 0..count {
            references.push((bytes.number()? as usize, bytes.number()? as usize));
        }
        Some(Element { references, data: bytes.0 })
    }

    fn text(&self, element: &Element<'_>, bytes: &mut Bytes<'_>) -> Option<&'a str> {
        let (section, index) = *element.references.get(bytes.number()? as usize)?;
        (section == STRING).then_some(())?;
        std::str::from_utf8(self.raw(STRING, index)?).ok()
    }

    /// Path and name.
    fn package(&self, index: usize) -> Option<(&'a str, Option<&'a str>)> {
        let element = self.element(PACKAGE, index)?;
        let mut bytes = Bytes(element.data);
        let path = self.text(&element, &mut bytes)?;
        Some((path, self.text(&element, &mut bytes)))
    }

    fn package_path(&self, index: usize) -> Option<&'a str> {
        self.package(index).map(|(path, _)| path)
    }

    /// The package of an object, its name, and what it is.
    fn object_name(&self, index: usize) -> Option<(&'a str, &'a str, u64)> {
        let element = self.element(NAME, index)?;
        let mut bytes = Bytes(element.data);
        let (section, package) = *element.references.get(bytes.number()? as usize)?;
        (section == PACKAGE).then_some(())?;
        let package = self.package_path(package)?;
        let name = self.text(&element, &mut bytes)?;
        Some((package, name, bytes.number()?))
    }

    fn describe(&self, section: usize, index: usize) -> String {
        match (section, self.object_name(index)) {
            (NAME | OBJECT | EXTENSION | DICTIONARY, Some((package, name, _))) => {
                let what = if section == EXTENSION { " (how it is compiled)" } else { "" };
                format!("{package}.{name}{what}")
            }
            _ => format!("element {index} of section {section}"),
        }
    }

    fn extension(&self, index: usize) -> Option<Extension<'a>> {
        let mut bytes = Bytes(self.element(EXTENSION, index)?.data);
        let mut extension = Extension::default();
        let (package, _, kind) = self.object_name(index)?;
        if package != self.path || matches!(kind, ALIAS | CONSTANT | STUB) {
            extension.pieces.push(bytes.0);
            return Some(extension);
        }
        if self.is_generic(index)? {
            // What is instantiated is known by name; an index there would be something that we do not know.
            let all = bytes.0;
            extension.pieces.push(all);
            let has_no_index = match kind {
                TYPE => {
                    bytes.signed()?;
                    bytes.signed()? == -1 && bytes.signed()? == -1
                }
                FUNCTION => {
                    bytes.signed()?;
                    bytes.signed()? == -1
                }
                _ => false,
            };
            return has_no_index.then_some(extension);
        }
        match kind {
            FUNCTION => {
                extension.fixed(&mut bytes, |bytes| bytes.signed().map(drop))?;
                extension.indices.push(bytes.signed()?);
            }
            VARIABLE => extension.indices.push(bytes.signed()?),
            TYPE => {
                extension.fixed(&mut bytes, |bytes| bytes.signed().map(drop))?;
                extension.indices.push(bytes.signed()?);
                extension.indices.push(bytes.signed()?);
                for parameters in self.methods(index)? {
                    extension.method(&mut bytes, parameters, self.tells_methods)?;
                }
                bytes.0.is_empty().then_some(())?;
            }
            _ => return None,
        }
        extension.pieces.push(bytes.0);
        Some(extension)
    }

    fn is_generic(&self, index: usize) -> Option<bool> {
        let mut bytes = Bytes(self.element(DICTIONARY, index)?.data);
        // Type parameters of what is around it, of its receiver, and its own.
        let has_receivers = self.tells_methods;
        Some(bytes.number()? != 0 || (has_receivers && bytes.number()? != 0) || bytes.number()? != 0)
    }

    /// What an element names.
    fn references(&self, element: &Element<'_>) -> Option<Vec<Word<'a>>> {
        element.references.iter().map(|(section, index)| self.word(*section, *index)).collect()
    }

    fn word(&self, section: usize, index: usize) -> Option<Word<'a>> {
        Some(match section {
            STRING => Word::Text(self.raw(STRING, index)?),
            PACKAGE => Word::Package(self.package_path(index)?),
            _ => Word::Element(section, index),
        })
    }

    /// All objects that the public root lists, by package and name.
    fn objects(&self) -> Option<Named<'a>> {
        let root = self.element(META, 0)?;
        let objects = root.references.iter().filter(|(section, _)| *section == OBJECT);
        objects.map(|(_, index)| self.object_name(*index).map(|(package, name, _)| ((package, name), *index))).collect()
    }

    /// Whether there is something to initialise, and the bodies that may be inlined, by package and name.
    fn bodies(&self) -> Option<(bool, Named<'a>)> {
        let root = self.element(META, 1)?;
        let mut bytes = Bytes(root.data);
        let initialises = bytes.boolean()?;
        let count = bytes.number()?;
        let mut bodies = Named::new();
        for _ in 0..count {
            let (package, name) = (self.text(&root, &mut bytes)?, self.text(&root, &mut bytes)?);
            let (section, index) = *root.references.get(bytes.number()? as usize)?;
            (section == BODY && bodies.insert((package, name), index).is_none()).then_some(())?;
        }
        bytes.0.is_empty().then_some((initialises, bodies))
    }

    /// What a signature or a declaration says, but for the names of parameters and results, and where those stand. `None` for
    /// other elements, and for what is generic.
    fn meaning(&self, section: usize, index: usize) -> Option<Vec<Word<'a>>> {
        let mut reader = self.reader(section, index)?;
        match section {
            TYPES => {
                let kind = reader.bytes.number()?;
                (kind == SIGNATURE).then_some(())?;
                reader.signature()?;
            }
            OBJECT if self.is_generic(index)? => return None,
            OBJECT => match self.object_name(index)?.2 {
                FUNCTION => {
                    reader.position()?;
                    if self.tells_methods && reader.boolean()? {
                        return None; // a generic method
                    }
                    reader.signature()?;
                    reader.position()?;
                }
                TYPE => drop(reader.declared_type()?),
                _ => return None,
            },
            _ => return None,
        }
        reader.bytes.0.is_empty().then_some(reader.words)
    }

    /// The number of parameters of each method of a type that is not generic, the receiver included.
    fn methods(&self, index: usize) -> Option<Vec<usize>> {
        let mut reader = self.reader(OBJECT, index)?;
        let methods = reader.declared_type()?;
        reader.bytes.0.is_empty().then_some(methods)
    }

    fn reader(&self, section: usize, index: usize) -> Option<Reader<'a, '_>> {
        let Element { references, data } = self.element(section, index)?;
        Some(Reader { exports: self, references, bytes: Bytes(data), words: Vec::new() })
    }
}

/// Two packages' elements, compared from what is exported on. What is written twice, because two imports name it, may be
/// once the one and once the other: so places are not compared, only what is there.
struct Comparison<'a, 'b> {
    plain: &'b Exports<'a>,
    woven: &'b Exports<'a>,
    indices: Vec<Index>,
    /// Pairs that must be the same: section, and where in it.
    found: HashSet<(usize, usize, usize)>,
    /// Those of them that have not been compared.
    open: Vec<(usize, usize, usize)>,
}

impl Comparison<'_, '_> {
    fn must_be_same(&mut self, section: usize, plain: usize, woven: usize) {
        if self.found.insert((section, plain, woven)) {
            self.open.push((section, plain, woven));
        }
    }

    fn roots(&mut self) -> Result<(), Difference> {
        let (plain, woven) = (self.plain, self.woven);
        if plain.path != woven.path {
            return Err(Difference::Contents);
        }
        let objects = (plain.objects().ok_or(Difference::Unknown)?, woven.objects().ok_or(Difference::Unknown)?);
        self.named(OBJECT, &objects.0, &objects.1)?;
        let (bodies, woven_bodies) =
            (plain.bodies().ok_or(Difference::Unknown)?, woven.bodies().ok_or(Difference::Unknown)?);
        if bodies.0 != woven_bodies.0 {
            return Err(Difference::Contents); // whether it has something to initialise
        }
        self.named(BODY, &bodies.1, &woven_bodies.1)
    }

    fn named(&mut self, section: usize, plain: &Named<'_>, woven: &Named<'_>) -> Result<(), Difference> {
        let only = plain.keys().find(|name| !woven.contains_key(*name));
        if let Some((package, name)) = only.or_else(|| woven.keys().find(|name| !plain.contains_key(*name))) {
            return Err(Difference::At(format!("whether {package}.{name} is exported")));
        }
        for (name, plain) in plain {
            self.must_be_same(section, *plain, woven[name]);
        }
        Ok(())
    }

    fn compare(&mut self, section: usize, at: usize, woven_at: usize) -> Result<(), Difference> {
        let (plain, woven) = (self.plain, self.woven);
        let differs = || Difference::At(plain.describe(section, at));
        let element = plain.element(section, at).ok_or(Difference::Unknown)?;
        let other = woven.element(section, woven_at).ok_or(Difference::Unknown)?;
        if section == OBJECT {
            for part in [NAME, EXTENSION, DICTIONARY] {
                self.must_be_same(part, at, woven_at);
            }
        }
        let has_same_bytes = match section {
            EXTENSION => self.compare_extensions(at, woven_at)?,
            _ => element.data == other.data,
        };
        if has_same_bytes && self.compare_words(plain.references(&element), woven.references(&other)) {
            return Ok(());
        }
        match section != EXTENSION && self.compare_words(plain.meaning(section, at), woven.meaning(section, woven_at)) {
            true => Ok(()),
            false => Err(differs()),
        }
    }

    /// Whether words are the same, where the elements are that they name.
    fn compare_words(&mut self, plain: Option<Vec<Word<'_>>>, woven: Option<Vec<Word<'_>>>) -> bool {
        let (Some(plain), Some(woven)) = (plain, woven) else { return false };
        let is_same = |(one, other): (&Word<'_>, &Word<'_>)| match (one, other) {
            (Word::Element(section, _), Word::Element(other, _)) => section == other,
            (one, other) => one == other,
        };
        if plain.len() != woven.len() || !plain.iter().zip(&woven).all(is_same) {
            return false;
        }
        for pair in plain.iter().zip(&woven) {
            if let (Word::Element(section, one), Word::Element(_, other)) = pair {
                self.must_be_same(*section, *one, *other);
            }
        }
        true
    }

    /// Whether all but the indices is the same to the byte.
    fn compare_extensions(&mut self, plain: usize, woven: usize) -> Result<bool, Difference> {
        let differs = || Difference::At(self.plain.describe(EXTENSION, plain));
        let one = self.plain.extension(plain).ok_or(Difference::Unknown)?;
        let other = self.woven.extension(woven).ok_or(Difference::Unknown)?;
        if one.pieces != other.pieces || one.indices.len() != other.indices.len() {
            return Err(differs());
        }
        let mut indices = Vec::new();
        for (plain, woven) in one.indices.into_iter().zip(other.indices) {
            match (u32::try_from(plain), u32::try_from(woven)) {
                (Ok(plain), Ok(woven)) => indices.push(Index { plain, woven }),
                _ if plain == woven => {} // known by its name alone, which is among the pieces
                _ => return Err(differs()),
            }
        }
        self.indices.extend(indices);
        Ok(true)
    }
}

impl<'a> Reader<'a, '_> {
    fn number(&mut self) -> Option<u64> {
        let number = self.bytes.number()?;
        self.words.push(Word::Number(number));
        Some(number)
    }

    fn boolean(&mut self) -> Option<bool> {
        let boolean = self.bytes.boolean()?;
        self.words.push(Word::Number(boolean.into()));
        Some(boolean)
    }

    fn reference(&mut self) -> Option<()> {
        let (section, index) = *self.references.get(self.bytes.number()? as usize)?;
        self.words.push(self.exports.word(section, index)?);
        Some(())
    }

    fn position(&mut self) -> Option<()> {
        if self.boolean()? {
            self.reference()?; // the file
            self.number()?;
            self.number()?;
        }
        Some(())
    }

    /// A type that depends on no type parameter.
    fn type_of(&mut self) -> Option<()> {
        (!self.boolean()?).then_some(())?;
        self.reference()
    }

    fn parameter(&mut self) -> Option<()> {
        let said = self.words.len();
        self.position()?;
        self.reference()?; // package and name
        self.reference()?;
        self.words.truncate(said);
        self.type_of()
    }

    /// Says how many parameters there are.
    fn signature(&mut self) -> Option<usize> {
        let parameters = self.number()?;
        for _ in 0..parameters {
            self.parameter()?;
        }
        let results = self.number()?;
        for _ in 0..results {
            self.parameter()?;
        }
        self.boolean()?; // whether it is variadic
        Some(parameters as usize)
    }

    /// Says how many parameters each method has, the receiver included.
    fn declared_type(&mut self) -> Option<Vec<usize>> {
        self.position()?;
        self.type_of()?;
        let count = self.number()?;
        let mut methods = Vec::new();
        for _ in 0..count {
            if self.exports.tells_methods {
                self.number()?; // its place among all methods
            }
            self.position()?;
            self.reference()?; // package and name
            self.reference()?;
            self.parameter()?;
            methods.push(self.signature()? + 1);
            self.position()?;
        }
        if self.exports.tells_methods {
            for _ in 0..self.number()? {
                self.reference()?; // a generic method, an object of its own
            }
        }
        Some(methods)
    }
}

impl<'a> Extension<'a> {
    /// Takes what must be the same.
    fn fixed(&mut self, bytes: &mut Bytes<'a>, read: impl FnOnce(&mut Bytes<'a>) -> Option<()>) -> Option<()> {
        let before = bytes.0;
        read(bytes)?;
        self.pieces.push(&before[..before.len() - bytes.0.len()]);
        Some(())
    }

    fn method(&mut self, bytes: &mut Bytes<'a>, parameters: usize, tells_methods: bool) -> Option<()> {
        self.fixed(bytes, |bytes| bytes.signed().map(drop))?;
        let index = bytes.signed()?;
        self.indices.push(index);
        self.fixed(bytes, |bytes| {
            if index < 0 {
                bytes.number()?; // its name
                if tells_methods {
                    bytes.boolean()?; // whether only the standard library may link to it
                }
            }
            bytes.boolean()?.then_some(())?;
            bytes.number()?; // how it is called
            for _ in 0..parameters {
                bytes.number()?; // how it escapes
            }
            if bytes.boolean()? {
                bytes.number()?; // what inlining costs
                bytes.boolean()?;
            }
            Some(())
        })
    }
}

/// Little-endian words.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }
}

/// The bytes of an element.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}
