//! Samples without a tokenizer: to learn a vocabulary from, to look at, to generate answers for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::DatasetError;
use crate::problem::{Problem, RowSource};
use crate::read::{DataFile, find_files};
use crate::recognise::{Converted, FormatName, Sample};
use crate::rows::{FoundRows, Read};
use crate::settings::Columns;

/// One row of the data, read.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// Where it stands.
    pub source: RowSource,
    /// The format of its file.
    pub format: FormatName,
    /// What it holds, or why it cannot be used. Long text files come in several documents, each
    /// a piece of the text.
    pub content: Result<Converted, Problem>,
    /// The beginning of a row that cannot be used.
    pub excerpt: String,
}

/// Rows of files, folders and patterns, one at a time.
pub struct Samples {
    files: Vec<DataFile>,
    rows: FoundRows,
    is_done: bool,
}

/// Reads the samples of `paths`.
///
/// # Errors
/// A path that leads to no data file.
pub fn samples(paths: &[PathBuf], columns: &Columns) -> Result<Samples, DatasetError> {
    let (files, _) = find_files(paths)?;
    let rows = FoundRows::new(files.clone(), columns.clone(), Arc::new(AtomicU64::new(0)));
    Ok(Samples { files, rows, is_done: false })
}

impl Samples {
    /// The files, in the order of [`RowSource::file`].
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }
}

impl Iterator for Samples {
    type Item = Result<SampleRow, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        match self.rows.next() {
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
            Ok(None) => None,
            Ok(Some(found)) => {
                let (content, excerpt) = match found.read() {
                    Read::Bad(problem, excerpt) => (Err(problem), excerpt),
                    Read::Sample(converted) => (Ok(converted), String::new()),
                    Read::Piece(piece) => (Ok(Converted { sample: Sample::Document(piece.text), rejected_answers: 0 }), String::new()),
                };
                Some(Ok(SampleRow { source: found.row.source, format: found.format.name, content, excerpt }))
            }
        }
    }
}
