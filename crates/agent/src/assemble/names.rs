//! What the numbers in a program's records stand for: operations and keys, looked up when they first come up.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use deliver::otlp::builder::{BatchBuilder, ScopeIndex};
use deliver::otlp::encode::KeyTable;
use record::layout::kind::{CLIENT, INTERNAL, PRODUCER};
use record::layout::{FIRST_ARGUMENT_KEY, FIRST_DYNAMIC_KEY, FIRST_FUNCTION, FIRST_NON_METRIC_KEY, KEYS};
use record::{SpanRecord, Tables};

use super::SpansDone;
use crate::completeness;
use crate::graph::Graph;
use crate::template::Template;

/// Different names of arguments that one program may have, and functions that are looked for in vain.
const ARGUMENT_NAMES_LIMIT: usize = 8192;
const UNKNOWN_FUNCTIONS_LIMIT: u32 = 4096;
/// Before the name of an argument in its attribute's key.
const ARGUMENT_PREFIX: &str = "tandem.argument.";

/// Names behind numbers, as far as they have come up.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) keys: Keys,
    pub(super) operations: Operations,
    pub(super) tandem_version: String,
}

#[derive(Debug)]
pub(super) struct Keys {
    pub(super) tables: Tables,
    pub(super) known: KeyTable,
    /// Keys whose values the service graph wants, beside the dimensions.
    pub(super) wanted: Vec<u16>,
    /// Of them, those that it wants of servers, too.
    pub(super) chosen: Vec<u16>,
    pub(super) wanted_names: Arc<[String]>,
    pub(super) chosen_names: Vec<String>,
    /// Keys that we gave to arguments, from the program's own last one on.
    pub(super) of_arguments: HashMap<String, u16>,
}

/// Operations by their numbers.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) registered: Vec<Option<Operation>>,
    /// Functions that were woven dormant: their numbers are large, and few of them come up.
    pub(super) functions: HashMap<u32, Operation>,
    pub(super) unknown_functions: u32,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: u8,
    pub(super) id: String,
    pub(super) scope: ScopeIndex,
    pub(super) template: Template,
    /// Its spans are made by hand: each has its own name.
    pub(super) api: bool,
    /// Its spans are requests that the program answers.
    pub(super) request: bool,
    /// Keys of a function's arguments, by position.
    pub(super) argument_keys: Vec<u16>,
    /// Its spans since somebody last asked.
    pub(super) work: Cell<SpansDone>,
}

impl Names {
    /// Makes sure that an operation is known; `false` when there is none of this number.
    #[inline]
    pub(super) fn learn(&mut self, id: u32, builder: &mut BatchBuilder) -> bool {
        self.operations.get(id).is_some() || self.look_up(id, builder).is_some()
    }

    #[cold]
    pub(super) fn look_up(&mut self, id: u32, builder: &mut BatchBuilder) -> Option<()> {
        if id >= FIRST_FUNCTION && self.operations.unknown_functions >= UNKNOWN_FUNCTIONS_LIMIT {
            return None; // looking for one costs something
        }
        let Some(descriptor) = self.keys.tables.descriptor(id) else {
            self.operations.unknown_functions += u32::from(id >= FIRST_FUNCTION);
            return None;
        };
        let (version, schema_url) = descriptor.made_by(&self.tandem_version);
        let template = if descriptor.api { "" } else { &descriptor.name };
        let operation = Operation {
            kind: if (1..=5).contains(&descriptor.kind) { descriptor.kind } else { 1 },
            scope: builder.scope(&descriptor.scope, version, schema_url),
            template: Template::parse(template, |name| self.keys.number(name)),
            api: descriptor.api,
            request: !descriptor.api && completeness::is_request(&descriptor.id),
            argument_keys: descriptor.arguments.iter().map(|name| self.keys.of_argument(name)).collect(),
            work: Cell::default(),
            id: descriptor.id,
        };
        self.operations.add(id, operation);
        Some(())
    }
}

impl Operations {
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Operation> {
        if id < FIRST_FUNCTION { self.registered.get(id as usize)?.as_ref() } else { self.functions.get(&id) }
    }

    pub(super) fn add(&mut self, id: u32, operation: Operation) {
        if id >= FIRST_FUNCTION {
            self.functions.insert(id, operation);
            return;
        }
        let index = id as usize; // below the table's capacity, or the descriptor would not have been found
        if index >= self.registered.len() {
            self.registered.resize_with(index + 1, || None);
        }
        self.registered[index] = Some(operation);
    }
}

impl Operation {
    #[inline]
    pub(super) fn did(&self, more: impl FnOnce(&mut SpansDone)) {
        let mut spans = self.work.get();
        more(&mut spans);
        self.work.set(spans);
    }

    /// The record with the names of its arguments, where it can have any.
    pub(super) fn named<'a>(
        &self,
        record: SpanRecord<'a>,
        bytes: &[u8],
        renamed: &'a mut Vec<u8>,
    ) -> Option<SpanRecord<'a>> {
        if self.argument_keys.is_empty() {
            return Some(record);
        }
        renamed.clear();
        renamed.extend_from_slice(bytes);
        record::rename_attributes(renamed, |key| match key.checked_sub(FIRST_ARGUMENT_KEY) {
            Some(position) => self.argument_keys.get(usize::from(position)).copied().unwrap_or(key),
            None => key,
        });
        SpanRecord::parse(renamed).ok() // as it did before
    }
}

impl Keys {
    /// A key for arguments of this name; 0, which no attribute has, when there are too many names.
    pub(super) fn of_argument(&mut self, name: &str) -> u16 {
        if let Some(key) = self.of_arguments.get(name) {
            return *key;
        }
        let key = self.tables.key_limit().saturating_add(self.of_arguments.len() as u32);
        if self.of_arguments.len() >= ARGUMENT_NAMES_LIMIT || key >= FIRST_ARGUMENT_KEY.into() {
            return 0;
        }
        let key = key as u16; // below the first argument's
        self.known.insert(key, &format!("{ARGUMENT_PREFIX}{name}"));
        self.of_arguments.insert(name.to_owned(), key);
        key
    }

    pub(super) fn number(&self, name: &str) -> Option<u16> {
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            return Some(key.id);
        }
        let dynamic = FIRST_DYNAMIC_KEY..u16::try_from(self.tables.key_limit()).unwrap_or(u16::MAX);
        dynamic.map_while(|id| Some((id, self.tables.key(id)?))).find(|(_, key)| key == name).map(|(id, _)| id)
    }

    /// Makes sure that a key has a name.
    #[inline]
    pub(super) fn learn(&mut self, id: u16) -> bool {
        self.known.knows(id) || self.look_up(id).is_some()
    }

    #[cold]
    pub(super) fn look_up(&mut self, id: u16) -> Option<()> {
        let name = self.tables.key(id)?;
        self.known.insert(id, &name);
        if self.wanted_names.contains(&name) {
            self.wanted.push(id);
            self.chosen.extend(self.chosen_names.contains(&name).then_some(id));
        }
        Some(())
    }

    /// Whether the service graph wants an attribute of spans of this kind.
    #[inline]
    pub(super) fn is_wanted(&self, key: u16, kind: u8) -> bool {
        match kind {
            INTERNAL => false,
            CLIENT | PRODUCER => self.wanted.contains(&key),
            _ => self.chosen.contains(&key),
        }
    }

    /// Looks out for attributes that the service graph wants.
    #[cold]
    pub(super) fn want(&mut self, graph: &Graph) {
        let names = graph.wanted();
        let are_no_dimensions = KEYS.iter().filter(|key| key.id >= FIRST_NON_METRIC_KEY);
        for key in are_no_dimensions.filter(|key| names.iter().any(|name| name == key.name)) {
            self.wanted.push(key.id);
            self.chosen.extend(graph.is_chosen(key.name).then_some(key.id));
        }
        self.chosen_names = names.iter().filter(|name| graph.is_chosen(name)).cloned().collect();
        self.wanted_names = names;
    }
}
