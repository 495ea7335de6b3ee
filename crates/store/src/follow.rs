//! What comes into a store: whether anything did, and traces, each once, as soon as it seems to be whole.
//!
//! Spans are written when they end, so a trace's root comes last, and other services' spans may come a little later. A
//! trace is decided on when its root is there and nothing was added for a moment, or when it has waited long enough: a
//! query about its duration or its root would be answered wrongly before.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::TraceSummary;
use rusqlite::{Connection, OptionalExtension};

use crate::{Reader, StoreError, TraceFilter, schema, search};

/// So long nothing must have been added to a trace that has a root.
const SETTLED: Duration = Duration::from_secs(1);
/// A trace is decided on after this time, whatever is still to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// More traces do not wait: those that came first are decided on.
const MOST_OPEN: usize = 100_000;

/// What came after a moment, and what of it was told already.
pub struct Follower {
    /// The number of the newest trace that was seen.
    newest: i64,
    open: BTreeMap<i64, Open>,
}

/// A trace that spans may still be added to.
struct Open {
    spans: i64,
    has_root: bool,
    seen: Instant,
    changed: Instant,
}

impl Open {
    fn is_whole(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.changed);
        self.has_root && quiet >= SETTLED || now.saturating_duration_since(self.seen) >= PATIENCE
    }
}

impl Follower {
    /// Begins behind the traces that are in the store now.
    pub fn new(reader: &Reader) -> Result<Self, StoreError> {
        let newest = reader.with_connection(newest)?;
        Ok(Self { newest, open: BTreeMap::new() })
    }

    /// Traces that fit and have become whole since the last look, in order of their start. The filter's limit is not looked at.
    pub fn look(&mut self, reader: &Reader, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let now = Instant::now();
        reader.with_connection(|connection| {
            self.see_new(connection, now)?;
            self.see_changes(connection, now)?;
            let whole = self.take_whole(now);
            search::among(connection, filter, &whole, now + reader.longest_query())
        })
    }

    fn see_new(&mut self, connection: &Connection, now: Instant) -> rusqlite::Result<()> {
        // Numbers begin again when the newest traces were removed.
        let behind = self.newest.min(newest(connection)?);
        let mut statement = connection.prepare_cached("SELECT id FROM trace WHERE id > ?1")?;
        let mut rows = statement.query([behind])?;
        self.newest = behind;
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            self.newest = self.newest.max(number);
            self.open.insert(number, Open { spans: 0, has_root: false, seen: now, changed: now });
        }
        Ok(())
    }

    fn see_changes(&mut self, connection: &Connection, now: Instant) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached("SELECT spans, has_root FROM trace WHERE id = ?1")?;
        let mut removed = HashSet::new();
        for (number, open) in &mut self.open {
            let found = statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((spans, has_root)) = found else {
                removed.insert(*number);
                continue;
            };
            if spans != open.spans {
                *open = Open { spans, has_root, changed: now, ..*open };
            }
        }
        self.open.retain(|number, _| !removed.contains(number));
        Ok(())
    }

    fn take_whole(&mut self, now: Instant) -> Vec<i64> {
        let mut too_many = self.open.len().saturating_sub(MOST_OPEN);
        let whole = self.open.extract_if(.., |_, open| {
            let is_one_too_many = too_many > 0;
            too_many = too_many.saturating_sub(1);
            is_one_too_many || open.is_whole(now)
        });
        whole.map(|(number, _)| number).collect()
    }
}

/// Whether anything was written since somebody asked for the last time: a question that costs next to nothing.
pub struct Changes {
    folder: PathBuf,
    /// What SQLite says of it is of one connection: it has its own.
    connection: Option<Connection>,
    version: Option<i64>,
}

impl Changes {
    /// Those of a store, which need not be there yet.
    pub fn of(reader: &Reader) -> Self {
        Self { folder: reader.folder().to_owned(), connection: None, version: None }
    }

    /// Whether there are any since the last time. The first time there are, where there is a store.
    pub fn are_there(&mut self) -> Result<bool, StoreError> {
        if self.connection.is_none() {
            self.connection = schema::open_for_reading(&self.folder)?;
        }
        let Some(connection) = &self.connection else { return Ok(false) };
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        Ok(self.version.replace(version) != Some(version))
    }
}

fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM trace", [], |row| row.get(0))
}
