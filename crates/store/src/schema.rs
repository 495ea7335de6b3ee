//! The store on disk: one folder, in it an SQLite database in WAL mode.
//!
//! ```text
//! store/spans.sqlite3        tables below
//! store/spans.sqlite3-wal    what was committed last; survives the death of the writer
//! store/spans.sqlite3-shm    where readers find their snapshot
//! ```
//!
//! ```text
//! trace ──< trace_operation >── operation      lists and filters need only these three
//!   │
//!   └─< span (id = trace.id · 2²⁴ + ordinal) ── resource ──< log (id in order of arrival)
//!
//! trace_block                                  which traces a search need not look into; blocks.rs
//! ```
//!
//! A span's row id holds its trace's number, so the spans of a trace lie together and new ones are written at the end of
//! the file, whatever the random trace ids are. The span itself is kept as the OTLP bytes that came in. Log records are
//! kept apart from traces: those of a trace that was not sampled have none here. So are samples of stacks:
//!
//! ```text
//! profile_function ──< profile_stack ──< profile_sample >── resource
//! ```
//!
//! Metrics have a row for each interval, and one for each series: metrics/mod.rs.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, functions::FunctionFlags};

use crate::{StoreError, blocks, otlp};

/// Version of the tables. A reader or writer refuses newer ones.
///
/// 1: no blocks of traces. A writer adds them to such a store, a reader does without.
/// 2: all traces are in blocks.
pub const SCHEMA_VERSION: i32 = 2;

/// Version of a store that has no blocks.
const WITHOUT_BLOCKS: i32 = 1;

/// Says "a Tandem store" in the file's header.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Tndm");

/// Name of the database in the store's folder.
pub const FILE_NAME: &str = "spans.sqlite3";

/// Bits of a span's row id that number it within its trace.
pub const ORDINAL_BITS: u32 = 24;

/// Largest ordinal.
pub const LAST_ORDINAL: i64 = (1 << ORDINAL_BITS) - 1;

const TABLES: &str = "
CREATE TABLE resource (
    id        INTEGER PRIMARY KEY,
    data      BLOB NOT NULL UNIQUE          -- OTLP Resource
);
CREATE TABLE operation (
    id        INTEGER PRIMARY KEY,
    service   TEXT NOT NULL,
    name      TEXT NOT NULL,                -- of the span
    route     TEXT NOT NULL,                -- http.route, or empty
    kind      INTEGER NOT NULL,             -- as in OTLP
    scope     TEXT NOT NULL,                -- instrumentation scope
    UNIQUE (service, name, route, kind, scope)
);
CREATE TABLE trace (
    id        INTEGER PRIMARY KEY,          -- in order of arrival
    trace_id  BLOB NOT NULL UNIQUE,
    start     INTEGER NOT NULL,             -- ns since 1970
    end       INTEGER NOT NULL,
    spans     INTEGER NOT NULL,
    errors    INTEGER NOT NULL,
    root      TEXT NOT NULL,                -- name of the root, or of the earliest span while there is none
    root_start INTEGER NOT NULL,
    has_root  INTEGER NOT NULL
);
CREATE INDEX trace_by_start ON trace (start);
CREATE TABLE trace_operation (
    trace     INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    resource  INTEGER NOT NULL,
    PRIMARY KEY (trace, operation, resource)
) WITHOUT ROWID;
CREATE TABLE span (
    id        INTEGER PRIMARY KEY,          -- trace.id << 24 | ordinal
    span_id   BLOB NOT NULL,
    parent_id BLOB,
    operation INTEGER NOT NULL,
    resource  INTEGER NOT NULL,
    start     INTEGER NOT NULL,             -- ns since 1970
    duration  INTEGER NOT NULL,             -- ns
    status    INTEGER NOT NULL,             -- 2: error
    data      BLOB NOT NULL                 -- OTLP Span
);
";

/// Tables that came after the first version of the others. An older Tandem does not look at them.
const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS log (
    id        INTEGER PRIMARY KEY,          -- in order of arrival
    time      INTEGER NOT NULL,             -- ns since 1970
    trace_id  BLOB,                         -- of the span it was written in
    severity  INTEGER NOT NULL,             -- as in OTLP
    resource  INTEGER NOT NULL,
    scope     TEXT NOT NULL,                -- instrumentation scope
    data      BLOB NOT NULL                 -- OTLP LogRecord
);
CREATE INDEX IF NOT EXISTS log_by_time ON log (time);
CREATE INDEX IF NOT EXISTS log_by_trace ON log (trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS profile_function (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    file       TEXT NOT NULL,
    start_line INTEGER NOT NULL,
    UNIQUE (name, file, start_line)
);
CREATE TABLE IF NOT EXISTS profile_stack (
    id        INTEGER PRIMARY KEY,
    frames    BLOB NOT NULL UNIQUE          -- the innermost first: profile_function.id << 1 | inlined, line; varints
);
CREATE TABLE IF NOT EXISTS profile_sample (
    id        INTEGER PRIMARY KEY,          -- in order of arrival
    time      INTEGER NOT NULL,             -- ns since 1970
    kind      INTEGER NOT NULL,             -- 0: on a CPU, 1: off the CPU
    value     INTEGER NOT NULL,             -- the time that it stands for, ns
    trace_id  BLOB,                         -- of the span it was taken in
    span_id   BLOB,
    thread    INTEGER NOT NULL,
    resource  INTEGER NOT NULL,
    stack     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS profile_by_time ON profile_sample (time);
CREATE INDEX IF NOT EXISTS profile_by_trace ON profile_sample (trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS metric_series (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- samples may still name one that was removed
    identity    BLOB NOT NULL UNIQUE,       -- hash of what follows, but the description
    name        TEXT NOT NULL,
    unit        TEXT NOT NULL,
    description TEXT NOT NULL,
    kind        INTEGER NOT NULL,           -- 0: counter, 1: up and down, 2: gauge, 3: histogram
    scope       TEXT NOT NULL,              -- instrumentation scope
    resource    INTEGER NOT NULL,
    attributes  TEXT NOT NULL,              -- JSON
    bounds      BLOB NOT NULL,              -- of a histogram: f64, little-endian
    last        INTEGER NOT NULL            -- when something last came for it, to within ten minutes; ns since 1970
);
CREATE TABLE IF NOT EXISTS metric_sample (
    id        INTEGER PRIMARY KEY,          -- in order of arrival
    start     INTEGER NOT NULL,             -- when the sample before was made, ns since 1970
    time      INTEGER NOT NULL,             -- ns since 1970
    points    BLOB NOT NULL                 -- what was added and what is so, by metric_series.id; metrics/points.rs
);
CREATE INDEX IF NOT EXISTS metric_by_time ON metric_sample (time);
";

/// Whether log records can be asked for: not in a store that only an older Tandem has written to.
pub fn has_logs(connection: &Connection) -> rusqlite::Result<bool> {
    has_table(connection, "log")
}

/// The same of profiles.
pub fn has_profiles(connection: &Connection) -> rusqlite::Result<bool> {
    has_table(connection, "profile_sample")
}

/// The same of metrics.
pub fn has_metrics(connection: &Connection) -> rusqlite::Result<bool> {
    has_table(connection, "metric_sample")
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE name = ?1";
    connection.prepare_cached(sql)?.query_row([name], |row| row.get(0))
}

/// Makes the tables that an older Tandem has not made, empty and for this connection only.
pub fn make_absent_tables(connection: &Connection) -> rusqlite::Result<()> {
    let mut known = connection.prepare("SELECT count(*) FROM sqlite_master WHERE name = ?1")?;
    for statement in LATER_TABLES.split_inclusive(';') {
        let Some(definition) = statement.trim_start().strip_prefix("CREATE TABLE IF NOT EXISTS ") else { continue };
        let name = definition.split_whitespace().next();
        if !known.query_row([name], |row| row.get::<_, bool>(0))? {
            connection.execute_batch(&format!("CREATE TEMP TABLE {definition}"))?;
        }
    }
    Ok(())
}

/// Bytes of the database that something is in.
pub fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64)
}

/// Opens the database for writing; makes folder and tables when they are not there.
pub fn open_for_writing(folder: &Path) -> Result<Connection, StoreError> {
    let file = folder.join(FILE_NAME);
    make_private(folder, &file).map_err(|source| StoreError::folder(folder, source))?;
    let connection = Connection::open(&file).map_err(|source| StoreError::open(&file, source))?;
    prepare_for_writing(&connection).map_err(|source| StoreError::open(&file, source))?;
    if check_version(&connection, &file)? != Content::Current {
        bring_up_to_date(&connection).map_err(|source| StoreError::open(&file, source))?;
        check_version(&connection, &file)?;
    }
    connection.execute_batch(LATER_TABLES).map_err(|source| StoreError::open(&file, source))?;
    Ok(connection)
}

/// What people did is nobody else's business: folder and file are for their owner alone, and for a group where the folder is
/// one that [`crate::share`] has made. What is there already keeps its rights; SQLite gives its other files those of the
/// database.
fn make_private(folder: &Path, file: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let rights = folder.metadata()?.mode();
    let group = if rights & SHARED == SHARED { 0o040 } else { 0 };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600 | group).open(file);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The rights of a folder that a group may read: what is made in it is the group's, too.
pub const SHARED: u32 = 0o2050;

/// Opens the database for queries only; `None` when there is none yet.
pub fn open_for_reading(folder: &Path) -> Result<Option<Connection>, StoreError> {
    let file = folder.join(FILE_NAME);
    match File::open(&file) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::folder(folder, source)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = |name: &Path, flags| {
        let connection = Connection::open_with_flags(name, flags).map_err(|source| StoreError::open(&file, source))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|source| StoreError::open(&file, source))?;
        let content = check_version(&connection, &file)?;
        Ok::<_, StoreError>((connection, content))
    };
    let (connection, content) = match opened(&file, flags) {
        // Nobody writes, and we may not make the files that readers and writers share.
        Err(StoreError::Open { source, .. })
            if matches!(source.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                && !log_of(&file).exists() =>
        {
            opened(&unchanging(&file), flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        other => other?,
    };
    if content == Content::Nothing {
        return Ok(None);
    }
    let prepared = add_functions(&connection).and_then(|()| match content {
        // Searches find that there are none, and look at everything.
        Content::WithoutBlocks => connection.execute_batch(
            &blocks::TABLE
                .replace("CREATE TABLE ", "CREATE TABLE temp.")
                .replace("CREATE INDEX ", "CREATE INDEX temp."),
        ),
        _ => Ok(()),
    });
    prepared.map_err(|source| StoreError::open(&file, source))?;
    Ok(Some(connection))
}

/// What was committed last, while somebody writes.
fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A database's name as a URI that says that nobody changes it.
fn unchanging(file: &Path) -> PathBuf {
    let mut name = b"file:".to_vec();
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => name.push(byte),
            other => name.extend(format!("%{other:02x}").bytes()),
        }
    }
    name.extend(b"?immutable=1");
    OsString::from_vec(name).into()
}

/// Readers wait for nobody but in rare moments of tidying.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Two agents may share a store; each waits for the other's transaction, which takes milliseconds where there is room, and
/// much longer on a machine that others want for themselves.
const WRITERS_BUSY_TIMEOUT: Duration = Duration::from_secs(60);

fn prepare_for_writing(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(WRITERS_BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // In WAL mode, NORMAL loses nothing when the process dies; a power cut may cost the last transactions.
    connection.pragma_update(None, "synchronous", "normal")?;
    // Pages that many transactions change are copied from the log into the database once for all of them.
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.pragma_update(None, "cache_size", -16 << 10)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Makes the tables that are not there. In one go: what dies in the middle leaves the store as it was.
fn bring_up_to_date(connection: &Connection) -> rusqlite::Result<()> {
    // Two writers may get here at once: the second one finds the tables.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let created = (|| {
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        if version <= WITHOUT_BLOCKS {
            connection.execute_batch(blocks::TABLE)?;
            blocks::make(connection)?;
            connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        connection.execute_batch("COMMIT")
    })();
    if created.is_err() {
        // The first error is the one to report.
        drop(connection.execute_batch("ROLLBACK"));
    }
    created
}

#[derive(PartialEq, Eq)]
enum Content {
    Nothing,
    WithoutBlocks,
    Current,
}

fn check_version(connection: &Connection, file: &Path) -> Result<Content, StoreError> {
    let read = || {
        // One snapshot: another process may be making the tables just now.
        let snapshot = connection.unchecked_transaction()?;
        let pragma = |name| snapshot.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    let (application, version, tables) = read().map_err(|source| StoreError::open(file, source))?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(Content::Nothing),
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(Content::Current),
        (APPLICATION_ID, WITHOUT_BLOCKS, _) => Ok(Content::WithoutBlocks),
        (APPLICATION_ID, found, _) => {
            Err(StoreError::NewerVersion { file: file.to_owned(), found, known: SCHEMA_VERSION })
        }
        _ => Err(StoreError::NotAStore { file: file.to_owned() }),
    }
}

/// `service_of(data)`: the service that a resource says.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("service_of", 1, flags, |context| {
        let resource = otlp::resource(context.get_raw(0).as_blob().unwrap_or_default()).unwrap_or_default();
        Ok(resource.service().to_owned())
    })
}
