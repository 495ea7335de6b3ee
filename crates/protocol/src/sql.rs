//! What the protocols of SQL databases have in common.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use crate::exchange::Open;
use crate::query::{self, Dialect};

/// Bytes of a query that are kept; the rest is neither shown nor read.
pub(crate) const QUERY_LIMIT: usize = 8 << 10;
/// Bytes of the prepared statements of one connection that are remembered.
const PREPARED_LIMIT: usize = 128 << 10;
/// What one takes besides its text.
const PREPARED_EXTRA: usize = 64;

/// The prepared statements of a connection, by what it calls them.
#[derive(Debug)]
pub(crate) struct Prepared<K> {
    texts: HashMap<K, Vec<u8>>,
    bytes: usize,
}

impl<K> Default for Prepared<K> {
    fn default() -> Self {
        Self { texts: HashMap::new(), bytes: 0 }
    }
}

impl<K: Eq + Hash> Prepared<K> {
    pub(crate) fn insert(&mut self, name: K, text: &[u8]) {
        self.remove(&name);
        let text = &text[..text.len().min(QUERY_LIMIT)];
        if self.bytes + text.len() + PREPARED_EXTRA <= PREPARED_LIMIT {
            self.bytes += text.len() + PREPARED_EXTRA;
            self.texts.insert(name, text.to_vec());
        }
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, name: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(text) = self.texts.remove(name) {
            self.bytes -= text.len() + PREPARED_EXTRA;
        }
    }

    /// Its text; nothing where it is not known.
    pub(crate) fn text<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> &[u8]
    where
        K: Borrow<Q>,
    {
        self.texts.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Says what a query does.
pub(crate) fn describe(open: &mut Open, system: &'static str, namespace: Option<&str>, text: &[u8], dialect: Dialect) {
    open.put("db.system.name", system);
    if let Some(namespace) = namespace {
        open.put("db.namespace", namespace);
    }
    let text = String::from_utf8_lossy(&text[..text.len().min(QUERY_LIMIT)]);
    let statement = query::read(&text, dialect);
    let known = [
        ("db.operation.name", statement.operation),
        ("db.collection.name", statement.table),
        ("db.stored_procedure.name", statement.procedure),
        ("db.query.summary", statement.summary),
        ("db.query.text", statement.text.trim_end().to_owned()),
    ];
    known.into_iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| open.put(name, value));
}

/// The error that a database answered with.
pub(crate) fn fail(open: &mut Open, code: String, message: &str) {
    open.put("db.response.status_code", code.clone());
    open.fail(code, Some(crate::text::redacted_message(message)));
}
