//! The names behind the numbers in records: operations and keys that a program has registered, or that are fixed for what
//! is seen from outside.
//!
//! An entry is complete before the first record that refers to it is published, so that entries are simply looked up
//! by id when a record asks for one.

use std::sync::Arc;

use crate::functions::{FunctionNumber, FunctionTexts};
use crate::header::Header;
use crate::layout::{DESCRIPTOR, DESCRIPTOR_API, FIRST_DYNAMIC_KEY, FIRST_FUNCTION, KEY};
use crate::memory::Mapping;

/// An operation: what the spans of one join point have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Kind of its spans, as in OTLP (1 to 5).
    pub kind: u8,
    /// The join point's id: `net/http.server`.
    pub id: String,
    /// Instrumentation scope: `tandem/net/http`.
    pub scope: String,
    /// Template of the span's name.
    pub name: String,
    /// Its spans are made by hand, with the OpenTelemetry API: then `name` is no template, but version, line feed, schema URL.
    pub api: bool,
    /// Names behind the keys that stand for arguments, by position.
    pub arguments: Vec<String>,
}

impl Descriptor {
    /// Version and schema URL of its scope, of which `own` is the version where the scope is ours.
    pub fn made_by<'a>(&'a self, own: &'a str) -> (&'a str, &'a str) {
        match self.api {
            true => self.name.split_once('\n').unwrap_or((&self.name, "")),
            false => (own, ""),
        }
    }

    /// An operation of Tandem's own, not of a woven program.
    pub fn new(id: &str, scope: &str, kind: u8, name: &str) -> Self {
        let [id, scope, name] = [id, scope, name].map(str::to_owned);
        Self { kind, id, scope, name, api: false, arguments: Vec::new() }
    }
}

/// Reader of both tables: of those in a program's memory, or of fixed ones.
#[derive(Debug)]
pub struct Tables(Source);

#[derive(Debug)]
enum Source {
    Memory(Registered),
    Fixed { operations: Vec<Descriptor>, keys: Vec<String> },
}

/// What a program has registered in its memory.
#[derive(Debug)]
struct Registered {
    mapping: Arc<Mapping>,
    descriptors: usize,
    descriptor_count: u32,
    keys: usize,
    key_count: u32,
    functions: Option<FunctionTexts>,
}

impl Tables {
    pub(crate) fn new(mapping: Arc<Mapping>, header: &Header) -> Self {
        Self(Source::Memory(Registered::new(mapping, header)))
    }

    /// Tables that never change: the first operation has id 1, the first key [`FIRST_DYNAMIC_KEY`].
    pub fn of(operations: Vec<Descriptor>, keys: Vec<String>) -> Self {
        Self(Source::Fixed { operations, keys })
    }

    /// Largest descriptor id that the table has room for, and one more.
    pub fn descriptor_limit(&self) -> u32 {
        match &self.0 {
            Source::Memory(registered) => registered.descriptor_count,
            Source::Fixed { operations, .. } => operations.len() as u32 + 1,
        }
    }

    /// Largest key id that the table has room for, and one more.
    pub fn key_limit(&self) -> u32 {
        let count = match &self.0 {
            Source::Memory(registered) => registered.key_count,
            Source::Fixed { keys, .. } => keys.len() as u32,
        };
        u32::from(FIRST_DYNAMIC_KEY) + count
    }

    /// The operation with this id, if there is one.
    pub fn descriptor(&self, id: u32) -> Option<Descriptor> {
        match &self.0 {
            Source::Memory(registered) => registered.descriptor(id),
            Source::Fixed { operations, .. } => operations.get(id.checked_sub(1)? as usize).cloned(),
        }
    }

    /// The key with this id, if there is one.
    pub fn key(&self, id: u16) -> Option<String> {
        match &self.0 {
            Source::Memory(registered) => registered.key(id),
            Source::Fixed { keys, .. } => keys.get(usize::from(id.checked_sub(FIRST_DYNAMIC_KEY)?)).cloned(),
        }
    }
}

impl Registered {
    fn new(mapping: Arc<Mapping>, header: &Header) -> Self {
        let geometry = &header.geometry;
        Self {
            functions: FunctionTexts::new(Arc::clone(&mapping), header),
            mapping,
            descriptors: geometry.descriptors,
            descriptor_count: geometry.descriptor_count,
            keys: geometry.keys,
            key_count: geometry.key_count,
        }
    }

    fn descriptor(&self, id: u32) -> Option<Descriptor> {
        if let Some(number) = id.checked_sub(FIRST_FUNCTION) {
            return self.function(FunctionNumber(number));
        }
        if id == 0 || id >= self.descriptor_count {
            return None;
        }
        let mut entry = [0; DESCRIPTOR.size];
        self.mapping.copy_out(self.descriptors + id as usize * DESCRIPTOR.size, &mut entry);
        let text = |name: &str, size: &str, room: usize| {
            let size = usize::from(entry[DESCRIPTOR.at(size)]).min(room);
            String::from_utf8_lossy(&entry[DESCRIPTOR.at(name)..][..size]).into_owned()
        };
        let descriptor = Descriptor {
            kind: entry[const { DESCRIPTOR.at("kind") }],
            api: crate::bytes::u32_at(&entry, const { DESCRIPTOR.at("flags") }) & DESCRIPTOR_API != 0,
            id: text("id", "id_size", const { DESCRIPTOR.at("scope") } - const { DESCRIPTOR.at("id") }),
            scope: text("scope", "scope_size", const { DESCRIPTOR.at("name") } - const { DESCRIPTOR.at("scope") }),
            name: text("name", "name_size", DESCRIPTOR.size - const { DESCRIPTOR.at("name") }),
            arguments: Vec::new(),
        };
        (!descriptor.id.is_empty()).then_some(descriptor)
    }

    /// A function that was woven dormant, as an operation.
    fn function(&self, number: FunctionNumber) -> Option<Descriptor> {
        let function = self.functions.as_ref()?.find(number)?;
        Some(Descriptor {
            kind: 1,
            api: false,
            id: format!("func/{}", function.title()),
            name: function.title(),
            scope: function.import_path,
            arguments: function.arguments,
        })
    }

    fn key(&self, id: u16) -> Option<String> {
        let index = id.checked_sub(FIRST_DYNAMIC_KEY)?;
        if u32::from(index) >= self.key_count {
            return None;
        }
        let mut entry = [0; KEY.size];
        self.mapping.copy_out(self.keys + usize::from(index) * KEY.size, &mut entry);
        let size = usize::from(entry[const { KEY.at("size") }]).min(KEY.size - const { KEY.at("name") });
        let name = String::from_utf8_lossy(&entry[const { KEY.at("name") }..][..size]).into_owned();
        (!name.is_empty()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed tables answer as those of a program do: ids count from 1 and from the first dynamic key.
    #[test]
    fn fixed_tables_are_looked_up_by_id() {
        let operation = Descriptor::new("a.server", "tandem/a", 2, "{x}");
        let tables = Tables::of(vec![operation.clone()], vec!["x".to_owned()]);
        assert_eq!([0, 1, 2].map(|id| tables.descriptor(id)), [None, Some(operation), None]);
        assert_eq!([255, 256, 257].map(|id| tables.key(id)), [None, Some("x".to_owned()), None]);
        assert_eq!((tables.descriptor_limit(), tables.key_limit()), (2, 257));
    }
}
