//! The names behind the numbers in records: operations and keys that the program has registered.
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
}

/// Reader of both tables.
#[derive(Debug)]
pub struct Tables {
    mapping: Arc<Mapping>,
    descriptors: usize,
    descriptor_count: u32,
    keys: usize,
    key_count: u32,
    functions: Option<FunctionTexts>,
}

impl Tables {
    pub(crate) fn new(mapping: Arc<Mapping>, header: &Header) -> Self {
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

    /// Largest descriptor id that the table has room for, and one more.
    pub fn descriptor_limit(&self) -> u32 {
        self.descriptor_count
    }

    /// Largest key id that the table has room for, and one more.
    pub fn key_limit(&self) -> u32 {
        u32::from(FIRST_DYNAMIC_KEY) + self.key_count
    }

    /// The operation with this id, if the program has registered it.
    pub fn descriptor(&self, id: u32) -> Option<Descriptor> {
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

    /// The key with this id, if the program has registered it.
    pub fn key(&self, id: u16) -> Option<String> {
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
