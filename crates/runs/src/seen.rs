//! `first-batches.json`: the rows of a run's first batches, token by token, as it began.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{RunFolder, RunsError};

/// A row of one of the first batches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SeenRow {
    /// The batch, from 0.
    pub batch: u64,
    /// Number of the row.
    pub row: u64,
    /// Its tokens.
    pub tokens: Vec<SeenToken>,
}

/// A token of a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SeenToken {
    /// Its id.
    pub id: u32,
    /// What it reads as.
    pub text: String,
    /// trained or masked.
    pub kind: String,
}

/// Writes what a run begins with.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &RunFolder, rows: &[SeenRow]) -> Result<(), RunsError> {
    let path = folder.first_batches();
    let text = serde_json::to_vec(rows).expect("numbers and texts are JSON");
    replace_file(&path, &text).at("write", &path)
}

/// What a run began with; nothing where it has not begun, or was made by an earlier version.
///
/// # Errors
/// The file cannot be read.
pub fn read(folder: &RunFolder) -> Result<Vec<SeenRow>, RunsError> {
    let path = folder.first_batches();
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| RunsError::Damaged { path, message: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RunsError::File { operation: "read", path, source }),
    }
}
