//! Traces in blocks, as the writer makes them: what a search can rule out without looking into them.
//!
//! A block is some thousand spans: the traces that arrived one after the other. Its row says when they began, how
//! long the longest took, and what their spans have ([`Tokens`]). Spans that come late are added to the block of their
//! trace. What is said may be too much, never too little.
//!
//! A transaction writes each block that it changed once; while spans come fast those are whole blocks, and a span costs a
//! few bytes more.

use std::collections::BTreeMap;

use deliver::otlp::walk::Malformed;
use model::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};

use crate::tokens::{Token, Tokens};

/// With so many spans, a block is full: the next new trace begins another one.
const BLOCK_SPANS: i64 = 1024;
/// Blocks that are kept in memory: late spans mostly belong to one of these.
const KNOWN_BLOCKS: usize = 32;

/// The table; `id` is the number of the block's first trace, and it goes on to the next block's.
pub const TABLE: &str = "
CREATE TABLE trace_block (
    id          INTEGER PRIMARY KEY,
    spans       INTEGER NOT NULL,
    first_start INTEGER NOT NULL,           -- of its traces, ns since 1970
    last_start  INTEGER NOT NULL,
    longest     INTEGER NOT NULL,           -- of its traces, ns
    tokens      BLOB NOT NULL               -- what its spans have; see tokens.rs
);
CREATE INDEX trace_block_by_start ON trace_block (last_start, id);
";

/// Blocks that are being filled.
#[derive(Default)]
pub struct Blocks {
    known: BTreeMap<i64, Block>,
    /// The last one, which new traces go to; `None`: not looked for yet.
    last: Option<i64>,
}

struct Block {
    spans: i64,
    first_start: i64,
    last_start: i64,
    longest: i64,
    tokens: Tokens,
    is_changed: bool,
}

/// What a block must know of a span.
pub struct BlockSpan<'a> {
    pub operation: i64,
    pub resource: i64,
    pub status: StatusCode,
    /// The OTLP span.
    pub bytes: &'a [u8],
}

impl Blocks {
    /// Adds spans of a trace, which lasts from `start` to `end` with them. A new trace comes behind all others.
    pub fn add<'a>(
        &mut self,
        connection: &Connection,
        trace: i64,
        is_new: bool,
        (start, end): (i64, i64),
        spans: impl Iterator<Item = BlockSpan<'a>>,
    ) -> rusqlite::Result<()> {
        let block = self.block_of(connection, trace, is_new)?;
        block.is_changed = true;
        block.first_start = block.first_start.min(start);
        block.last_start = block.last_start.max(start);
        block.longest = block.longest.max(end - start);
        for span in spans {
            block.spans += 1;
            block.tokens.insert(Token::operation(span.operation));
            block.tokens.insert(Token::resource(span.resource));
            block.tokens.insert(Token::status(span.status));
            if span.status == StatusCode::Error {
                block.tokens.insert(Token::failed(span.operation));
            }
            // What cannot be read has no attributes for a search either.
            let _: Result<(), Malformed> = block.tokens.insert_attributes(span.bytes);
        }
        Ok(())
    }

    fn block_of(&mut self, connection: &Connection, trace: i64, is_new: bool) -> rusqlite::Result<&mut Block> {
        let found = match self.last.filter(|_| is_new) {
            Some(last) => Some(last),
            None => connection
                .prepare_cached("SELECT id FROM trace_block WHERE id <= ?1 ORDER BY id DESC LIMIT 1")?
                .query_row([trace], |row| row.get(0))
                .optional()?,
        };
        let id = match found {
            Some(id) if !is_new || self.load(connection, id)?.spans < BLOCK_SPANS => id,
            _ => trace,
        };
        if found != Some(id) {
            // The row is there at once, so that spans which come late find it.
            connection
                .prepare_cached("INSERT INTO trace_block VALUES (?1, 0, ?2, 0, 0, x'')")?
                .execute([id, i64::MAX])?;
            self.known.insert(id, Block::empty());
        }
        if is_new {
            self.last = Some(id);
        }
        self.load(connection, id)
    }

    fn load(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<&mut Block> {
        use std::collections::btree_map::Entry;
        Ok(match self.known.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Block::read(connection, id)?),
        })
    }

    /// Writes what has changed, at the end of a transaction.
    pub fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE trace_block SET spans = ?2, first_start = ?3, last_start = ?4, longest = ?5, tokens = ?6
             WHERE id = ?1",
        )?;
        for (id, block) in self.known.iter_mut().filter(|(_, block)| block.is_changed) {
            let Block { spans, first_start, last_start, longest, tokens, .. } = &*block;
            update.execute(params![id, spans, first_start, last_start, longest, tokens.write()])?;
            block.is_changed = false;
        }
        // The last one has the largest number.
        while self.known.len() > KNOWN_BLOCKS {
            self.known.pop_first();
        }
        Ok(())
    }
}

impl Block {
    fn empty() -> Self {
        Self {
            spans: 0,
            first_start: i64::MAX,
            last_start: 0,
            longest: 0,
            tokens: Tokens::default(),
            is_changed: false,
        }
    }

    fn read(connection: &Connection, id: i64) -> rusqlite::Result<Self> {
        connection
            .prepare_cached("SELECT spans, first_start, last_start, longest, tokens FROM trace_block WHERE id = ?1")?
            .query_row([id], |row| {
                Ok(Self {
                    spans: row.get(0)?,
                    first_start: row.get(1)?,
                    last_start: row.get(2)?,
                    longest: row.get(3)?,
                    tokens: Tokens::read(row.get_ref(4)?.as_blob()?),
                    is_changed: false,
                })
            })
    }
}

/// Removes the blocks before that of the oldest trace, and those behind the newest: their numbers are given away again, to
/// traces that go on in the block before.
pub fn forget_removed(connection: &Connection) -> rusqlite::Result<()> {
    let before = "DELETE FROM trace_block WHERE id < coalesce(
                      (SELECT max(id) FROM trace_block WHERE id <= (SELECT min(id) FROM trace)), 9223372036854775807)";
    let behind = "DELETE FROM trace_block WHERE id > (SELECT max(id) FROM trace)";
    for sql in [before, behind] {
        connection.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

/// Makes the blocks of all traces of a store that has none yet.
pub fn make(connection: &Connection) -> rusqlite::Result<()> {
    let mut blocks = Blocks::default();
    let mut spans_of = connection
        .prepare("SELECT operation, resource, data, status FROM span WHERE id BETWEEN ?1 << ?2 AND ?1 << ?2 | ?3")?;
    let mut traces = connection.prepare("SELECT id, start, end FROM trace ORDER BY id")?;
    let mut rows = traces.query([])?;
    let mut block = None;
    while let Some(row) = rows.next()? {
        let (trace, start, end): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut spans = spans_of.query(params![trace, crate::schema::ORDINAL_BITS, crate::schema::LAST_ORDINAL])?;
        let mut found = Vec::new();
        while let Some(span) = spans.next()? {
            found.push((span.get::<_, i64>(0)?, span.get::<_, i64>(1)?, span.get::<_, Vec<u8>>(2)?));
        }
        let of_block = found.iter().map(|(operation, resource, bytes)| BlockSpan {
            operation: *operation,
            resource: *resource,
            status: crate::otlp::span_facts(bytes).map(|facts| facts.fields.status).unwrap_or_default(),
            bytes,
        });
        blocks.add(connection, trace, true, (start, end), of_block)?;
        // A block that is full is written, and no longer kept.
        let last = blocks.known.last_key_value().map(|(id, _)| *id);
        if block.replace(last) != Some(last) {
            blocks.write(connection)?;
        }
    }
    blocks.write(connection)
}
