//! What was seen lately, for those who write a query: keys of attributes and values, those that are seen most first.

use std::collections::HashMap;

use deliver::otlp::walk::{self, SPAN_ATTRIBUTES};
use model::ANATOMY_PREFIX;
use query::{Completion, Field, Values};
use rusqlite::Connection;

use crate::otlp;

/// Spans that are looked at for keys and values of attributes.
const SPANS: i64 = 2000;
/// Traces whose roots are looked at.
const TRACES: i64 = 2000;
/// Longest value that is offered, in bytes: nobody picks a longer one from a list.
const LONGEST_VALUE: usize = 120;

/// Ways to go on with a query at a cursor.
pub fn complete(connection: &Connection, query: &str, cursor: usize) -> rusqlite::Result<Vec<Completion>> {
    Ok(query::complete(query, cursor, &Seen { connection }))
}

/// Keys of attributes, those that are seen most first.
pub fn keys(connection: &Connection) -> Vec<String> {
    Seen { connection }.keys()
}

struct Seen<'a> {
    connection: &'a Connection,
}

impl Values for Seen<'_> {
    fn keys(&self) -> Vec<String> {
        let mut counts = HashMap::new();
        let count = |key: &[u8], _: &[u8]| {
            let is_part = key.starts_with(ANATOMY_PREFIX.as_bytes());
            if !is_part {
                *counts.entry(walk::text(key).into_owned()).or_insert(0) += 1;
            }
        };
        none_if_it_fails(self.attributes(count));
        most_first(counts)
    }

    fn values(&self, field: &Field) -> Vec<String> {
        none_if_it_fails(match field {
            Field::Service => self.texts("SELECT DISTINCT service FROM operation ORDER BY service", []),
            Field::Name => self.texts("SELECT DISTINCT name FROM operation ORDER BY id DESC LIMIT 1000", []),
            Field::Route => {
                self.texts("SELECT DISTINCT route FROM operation WHERE route <> '' ORDER BY id DESC LIMIT 1000", [])
            }
            Field::Scope => self.texts("SELECT DISTINCT scope FROM operation WHERE scope <> '' ORDER BY scope", []),
            Field::Root => {
                let newest = "SELECT root FROM trace ORDER BY id DESC LIMIT ?1";
                self.texts(&format!("SELECT root FROM ({newest}) GROUP BY root ORDER BY count(*) DESC"), [TRACES])
            }
            Field::Attribute(key) => self.attribute_values(key),
            _ => Ok(Vec::new()),
        })
    }
}

/// A list that cannot be made is no reason to keep somebody from typing.
fn none_if_it_fails<T: Default>(list: rusqlite::Result<T>) -> T {
    list.unwrap_or_else(|error| {
        tracing::debug!(%error, "no completions");
        T::default()
    })
}

fn most_first(counts: HashMap<String, usize>) -> Vec<String> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one, one_count), (other, other_count)| (other_count, one).cmp(&(one_count, other)));
    counts.into_iter().map(|(text, _)| text).collect()
}

impl Seen<'_> {
    fn texts(&self, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<Vec<String>> {
        self.connection.prepare_cached(sql)?.query_map(parameters, |row| row.get(0))?.collect()
    }

    fn attribute_values(&self, wanted: &str) -> rusqlite::Result<Vec<String>> {
        let mut counts = HashMap::new();
        self.attributes(|key, value| {
            if key == wanted.as_bytes()
                && value.len() <= LONGEST_VALUE
                && let Ok(value) = otlp::value(value)
            {
                *counts.entry(value.to_string()).or_insert(0) += 1;
            }
        })?;
        Ok(most_first(counts))
    }

    /// Shows key and value of every attribute of the newest spans, and of all resources.
    fn attributes(&self, mut each: impl FnMut(&[u8], &[u8])) -> rusqlite::Result<()> {
        let messages = [
            ("SELECT data FROM span ORDER BY id DESC LIMIT ?1", SPAN_ATTRIBUTES),
            ("SELECT data FROM resource ORDER BY id DESC LIMIT ?1", walk::RESOURCE_ATTRIBUTES),
        ];
        for (sql, number) in messages {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([SPANS])?;
            while let Some(row) = rows.next()? {
                for attribute in walk::attributes(row.get_ref(0)?.as_blob()?, number).map_while(Result::ok) {
                    each(attribute.key, attribute.value);
                }
            }
        }
        Ok(())
    }
}
