//! What can go wrong with a data set as a whole. A single bad row is not an error: it is a
//! counted [`crate::Problem`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every failure of this crate, each one sentence that names the operation and what was found.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The operating system refused.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, such as `open data file`.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A path, folder or pattern leads to no data file.
    #[error("find data: {pattern}: {found}, expected files ending in .jsonl .json .csv .tsv .parquet .txt .md, or these with .gz or .zst")]
    NoFiles {
        /// The path or pattern as given.
        pattern: String,
        /// What was there instead.
        found: String,
    },
    /// A file cannot be read as data at all.
    #[error("read data file {}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// One sentence: what it is, and what was expected.
        reason: String,
    },
    /// The rows of a file have no known shape.
    #[error("recognise {}: {reason}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Which fields were found, and which are missing.
        reason: String,
    },
    /// A row was bad, or too long, and the settings say to stop there.
    #[error("{}:{line}: {code}: {detail} ({because})", path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// Line or row number, from 1.
        line: u64,
        /// The reason code.
        code: &'static str,
        /// The reason in words.
        detail: String,
        /// The setting that makes this row stop the preparation.
        because: &'static str,
    },
    /// Nothing is left to train on.
    #[error("prepare data: no usable row in {rows_read} read ({summary})")]
    NoUsableRows {
        /// Rows that were read.
        rows_read: u64,
        /// Counts by reason and the first example.
        summary: String,
    },
    /// A setting is out of range.
    #[error("data settings: {0}")]
    Settings(String),
    /// A row or step beyond the end was asked for.
    #[error("read data set: {what} {asked} asked for, {available} available")]
    OutOfRange {
        /// `row`, `step` or `block`.
        what: &'static str,
        /// Which one.
        asked: u64,
        /// How many there are.
        available: u64,
    },
    /// The background preparation failed; every reader gets the same error.
    #[error(transparent)]
    Preparation(#[from] Arc<DatasetError>),
}

impl DatasetError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
