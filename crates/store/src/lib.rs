//! The local store: traces, log records, profiles and metrics on disk, bounded by size and age, written by the agent while people read.
//!
//! [`Store`] writes, from a thread of its own; [`Reader`] answers queries, as many at once as are asked for. Both may be
//! open in several processes. SQLite, since it is the best-kept embedded engine whose files survive the death of their
//! writer and that every reader can open while another process writes. How it lies on disk is in `schema.rs`.

mod aggregate;
mod aging;
mod blocks;
mod fits;
mod follow;
mod logs;
mod metrics;
mod otlp;
mod outline;
mod profiles;
mod read;
mod schema;
mod search;
mod seen;
mod sql;
mod tokens;
mod varint;
mod write;

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use follow::{Changes, Follower};
pub use logs::LogFilter;
pub use metrics::{MeasuredSeries, MetricFilter, MetricName, MetricSampler, MetricTotals, Metrics, Sample};
pub use outline::{Outline, OutlineSpan};
pub use profiles::{ProfileFilter, StoredSample};
pub use read::{Extent, Found, OtlpRecord, Reader, Trace, TraceFilter};
pub use schema::SCHEMA_VERSION;
pub use sql::{SqlError, SqlRows, SqlValue};
pub use write::{Limits, LogStore, ProfileStore, Store};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or looked into.
    #[error("cannot use the store's folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is somebody else's.
    #[error(
        "the store in {} is another user's: ask as that user or as root, or have it written by `tandem agent --group` with \
         a group of yours",
        folder.display()
    )]
    Forbidden {
        /// The folder.
        folder: PathBuf,
    },
    /// The database cannot be opened.
    #[error("cannot open the store {}: {source}", file.display())]
    Open {
        /// The database.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Its disk is full.
    #[error("there is no room for the store {}: make some, or choose another folder with --store", file.display())]
    NoRoom {
        /// The database.
        file: PathBuf,
    },
    /// A later Tandem made it.
    #[error(
        "the store {} has version {found}, this tandem knows up to {known}: use the newer tandem, or another folder with --store",
        file.display()
    )]
    NewerVersion {
        /// The database.
        file: PathBuf,
        /// Its version.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// Somebody else's database.
    #[error("{} is not a store of tandem: choose another folder with --store", file.display())]
    NotAStore {
        /// The file.
        file: PathBuf,
    },
    /// A query failed.
    #[error("cannot read the store: {0}")]
    Query(rusqlite::Error),
    /// A query took longer than anybody waits.
    #[error("the query took too long: narrow it by time or service")]
    TooSlow,
    /// The writer's thread cannot be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(std::io::Error),
}

impl StoreError {
    fn folder(folder: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::PermissionDenied => Self::Forbidden { folder: folder.to_owned() },
            _ => Self::Folder { folder: folder.to_owned(), source },
        }
    }

    fn open(file: &Path, source: rusqlite::Error) -> Self {
        let extended = source.sqlite_error().map_or(0, |error| error.extended_code);
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::NotAStore { file: file.to_owned() },
            Some(rusqlite::ErrorCode::DiskFull) => Self::NoRoom { file: file.to_owned() },
            // The file that readers and writer share cannot grow.
            _ if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => Self::NoRoom { file: file.to_owned() },
            _ => Self::Open { file: file.to_owned(), source },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Query(error),
        }
    }
}

/// Makes a store's folder one that the members of a group may read, with all that will be in it.
pub fn share(folder: &Path, group: u32) -> Result<(), StoreError> {
    let shared = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        std::os::unix::fs::chown(folder, None, Some(group))?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700 | schema::SHARED))?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            let file = entry.path();
            std::os::unix::fs::chown(&file, None, Some(group))?;
            std::fs::set_permissions(&file, Permissions::from_mode(0o640))?;
        }
        Ok(())
    };
    shared().map_err(|source| StoreError::Folder { folder: folder.to_owned(), source })
}

/// Where the store lies when nobody says otherwise: `$TANDEM_STORE`, else `tandem/store` in `$XDG_STATE_HOME` or
/// `~/.local/state`, else below the system's temporary folder.
pub fn default_folder() -> PathBuf {
    let from_environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from_environment("TANDEM_STORE").unwrap_or_else(|| {
        from_environment("XDG_STATE_HOME")
            .or_else(|| from_environment("HOME").map(|home| home.join(".local/state")))
            .unwrap_or_else(std::env::temp_dir)
            .join("tandem/store")
    })
}
