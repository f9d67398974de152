//! What can go wrong around the database, in one sentence each, with what to try next.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

/// An operation on the database that failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The database refused.
    #[error("{operation}: {source}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
    /// It cannot be opened.
    #[error("open database {place}: {source}")]
    Unreachable {
        /// Where it is, without a password.
        place: String,
        /// What was said.
        source: sqlx::Error,
    },
    /// The file system refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not the address of a database.
    #[error("open database: expected postgres://…, found `{found}`")]
    Address {
        /// What was given, without a password.
        found: String,
    },
    /// It belongs to another home.
    #[error("open database {place}: expected home {expected}, found home {found}")]
    OtherHome {
        /// Where it is.
        place: String,
        /// The home that was opened.
        expected: String,
        /// The home that the database knows.
        found: String,
    },
    /// A newer version of the program made it.
    #[error("open database {place}: expected schema {known} or older, found {found}")]
    Newer {
        /// Where it is.
        place: String,
        /// The newest schema that this version knows.
        known: i64,
        /// The database's.
        found: i64,
    },
    /// Its tables could not be brought to this version.
    #[error("migrate database {place}: {message}")]
    Migration {
        /// Where it is.
        place: String,
        /// What was said.
        message: String,
    },
    /// A part of a log does not begin where the index ends.
    #[error("mirror {run}: expected a part from byte {expected}, found one from byte {found}")]
    PlaceMoved {
        /// The run.
        run: String,
        /// Where the index ends.
        expected: u64,
        /// Where the part begins.
        found: u64,
    },
    /// Somebody else changed it meanwhile.
    #[error("save {name}: expected version {expected}, found {found}")]
    Conflict {
        /// What was saved.
        name: String,
        /// The version that the change was made from.
        expected: u64,
        /// The version that is there.
        found: u64,
        /// The value that is there.
        value: Value,
    },
    /// A question about runs that cannot be asked.
    #[error("list runs: {message}")]
    Query {
        /// Expected and found.
        message: String,
    },
    /// A row that does not read.
    #[error("read {what}: {message}")]
    Damaged {
        /// Which.
        what: String,
        /// Expected and found.
        message: String,
    },
    /// A backup that cannot be taken in.
    #[error("restore {path}, line {line}: {message}", path = path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Expected and found.
        message: String,
    },
}

impl StorageError {
    /// What to try next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            StorageError::Newer { .. } => "use the version of apertis that made it, or go back to the copy `apertis.db.before-…` beside it",
            StorageError::OtherHome { .. } => "open that home with --home, or give this one a database of its own",
            StorageError::Unreachable { .. } => "check that the database runs and that --database-url is right",
            StorageError::Address { .. } => "leave --database-url away to use the file in the home",
            StorageError::Migration { .. } => "the copy `apertis.db.before-…` beside it is as it was before",
            StorageError::Damaged { .. } | StorageError::PlaceMoved { .. } => "fill the index again: apertis reindex",
            StorageError::Conflict { .. } => "look at both values and save again",
            StorageError::Backup { .. } => "use a file that `apertis backup` wrote",
            StorageError::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => "free some space and try again",
            _ => return None,
        })
    }
}

/// Says what was being done when the database refused.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, StorageError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Database { operation, source })
    }
}

/// Gives an I/O error its operation and path.
pub(crate) trait AtPath<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::File { operation, path: path.to_owned(), source })
    }
}

/// Reads a column of JSON.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| StorageError::Damaged { what: what.to_owned(), message: error.to_string() })
}

/// Writes a column of JSON.
pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("rows hold only text keys and JSON values")
}
