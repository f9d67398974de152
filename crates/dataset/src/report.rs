//! What was found in the data: files and their formats, counts, reasons, notes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::{ProblemCounts, RowSource};
use crate::statistics::Statistics;

/// One file of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// The format in words; empty until the file was reached.
    pub format: String,
    /// Fields of its rows that nothing is taken from.
    pub unused_fields: Vec<String>,
    /// Rows read from it.
    pub rows_read: u64,
}

/// Everything that is known about prepared data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// The files, in order.
    pub files: Vec<FileReport>,
    /// Whether rows are conversations (or unpacked documents) and not windows of running text.
    pub has_rows: bool,
    /// Rows read, usable or not.
    pub rows_read: u64,
    /// Rows left out, by reason.
    pub problems: ProblemCounts,
    /// Counts over what is usable.
    pub statistics: Statistics,
    /// Sentences that a person should read.
    pub notes: Vec<String>,
    /// Whether all files were read.
    pub is_complete: bool,
}

impl DataReport {
    /// `file:line` of a row.
    pub fn place(&self, source: RowSource) -> String {
        match self.files.get(source.file as usize) {
            Some(file) => format!("{}:{}", file.path.display(), source.line),
            None => format!("line {}", source.line),
        }
    }
}
