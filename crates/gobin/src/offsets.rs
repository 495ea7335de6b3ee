//! Where fields lie in the structures of a Go program.
//!
//! Asked in this order, each only for what the ones before it do not tell:
//!
//! 1. The program's own description of its types, which the garbage collector and reflection need and no stripping takes
//!    out: every structure that is made on the heap is in it.
//! 2. DWARF, where the program still has it.
//! 3. The table of layouts by version that `make offsets` writes.
//!
//! Only the structures of `offsets/wanted.txt` are looked for. What none of them tells is unknown, never guessed.

mod dwarf;
pub(crate) mod table;
pub(crate) mod types;

use std::collections::HashMap;

use crate::binary::Binary;

/// Where the runtime's description of a type has its number. A table of an interface's methods repeats it at the same place.
const TYPE_HASH: usize = 16;

const WANTED: &str = include_str!("../offsets/wanted.txt");

/// Layouts of the structures that observers read.
#[derive(Debug, Default)]
pub struct Offsets {
    known: HashMap<&'static str, Known>,
    unknown: HashMap<&'static str, String>,
}

#[derive(Debug)]
struct Known {
    layout: Layout,
    source: OffsetSource,
}

/// How a layout is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSource {
    /// From the program's description of its types.
    Types,
    /// From what it holds for debuggers.
    Dwarf,
    /// From the table by versions.
    Table,
}

/// A structure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub size: Option<u32>,
    pub fields: Vec<(String, u32)>,
    /// What the runtime tells the type by, and pointers to it. Only the program's description of its types says so.
    pub hash: Option<u32>,
    pub pointer_hash: Option<u32>,
}

/// A structure that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `google.golang.org/grpc`; `std` for the standard library.
    pub module: &'static str,
    /// `google.golang.org/grpc.ClientConn`.
    pub structure: &'static str,
    /// Its package.
    pub package: &'static str,
    /// Its name in the package.
    pub name: &'static str,
    /// The fields that the table holds.
    pub fields: &'static str,
}

/// Structures that observers read.
pub fn wanted() -> impl Iterator<Item = Wanted> {
    let mut module = "";
    WANTED.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix("module ") {
            module = name;
            return None;
        }
        let (structure, fields) = line.split_once(' ').filter(|_| !line.starts_with('#'))?;
        let (package, name) = structure.rsplit_once('.')?;
        Some(Wanted { module, structure, package, name, fields })
    })
}

impl Offsets {
    /// Of a program.
    pub fn of(binary: &Binary) -> Self {
        Self::from_sources(binary, &[OffsetSource::Types, OffsetSource::Dwarf, OffsetSource::Table])
    }

    /// The same from some of the sources.
    pub fn from_sources(binary: &Binary, sources: &[OffsetSource]) -> Self {
        let mut found = Self::default();
        let mut missing: Vec<Wanted> = Vec::new();
        for wanted in wanted() {
            match binary.has_package(wanted.package) {
                true => missing.push(wanted),
                false => {
                    let reason = format!("the program has no code of {}", wanted.package);
                    found.unknown.insert(wanted.structure, reason);
                }
            }
        }
        for &source in sources {
            if missing.is_empty() {
                break;
            }
            let mut layouts = match source {
                OffsetSource::Types => types::layouts(binary, &missing),
                OffsetSource::Dwarf => dwarf::layouts(binary, &missing),
                OffsetSource::Table => {
                    let mut layouts = HashMap::new();
                    for wanted in &missing {
                        match table::layout(binary, wanted) {
                            Ok(layout) => drop(layouts.insert(wanted.structure, layout)),
                            Err(reason) => drop(found.unknown.insert(wanted.structure, reason)),
                        }
                    }
                    layouts
                }
            };
            missing.retain(|wanted| match layouts.remove(wanted.structure) {
                Some(layout) => {
                    found.known.insert(wanted.structure, Known { layout, source });
                    false
                }
                None => true,
            });
        }
        found
    }

    /// Where a field lies in its structure.
    pub fn field(&self, structure: &str, field: &str) -> Option<u32> {
        let fields = &self.known.get(structure)?.layout.fields;
        fields.iter().find(|(name, _)| name == field).map(|&(_, offset)| offset)
    }

    /// The size of a structure.
    pub fn size(&self, structure: &str) -> Option<u32> {
        self.known.get(structure)?.layout.size
    }

    /// The number by which the runtime tells a structure's type from others: where an interface holds such a value, it lies
    /// at byte 16 of what the interface's first word points to. Only the program's description of its types tells it.
    pub fn hash(&self, structure: &str) -> Option<u32> {
        self.known.get(structure)?.layout.hash
    }

    /// The same of pointers to the structure.
    pub fn pointer_hash(&self, structure: &str) -> Option<u32> {
        self.known.get(structure)?.layout.pointer_hash
    }

    /// How the layout of a structure is known.
    pub fn source(&self, structure: &str) -> Option<OffsetSource> {
        Some(self.known.get(structure)?.source)
    }

    /// Why a structure's layout is not known.
    pub fn why_not(&self, structure: &str) -> Option<&str> {
        if self.known.contains_key(structure) {
            return None;
        }
        let reason = self.unknown.get(structure).map(String::as_str);
        reason.or(Some("neither the program nor the table of versions tells its layout"))
    }
}
