//! All files one after the other as raw rows, each with the format of its file.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::Value;

use crate::error::DatasetError;
use crate::problem::{Problem, RowProblem, RowSource, excerpt};
use crate::read::{DataFile, FileKind, Payload, RawRow, RowReader, TextPiece, open_file, parse_json};
use crate::recognise::{Converted, Format, ROWS_LOOKED_AT, recognise};
use crate::settings::Columns;

/// Bytes of rows held while the format is decided.
const BYTES_LOOKED_AT: u64 = 8 << 20;

/// What one raw row turned out to be.
#[derive(Debug)]
pub(crate) enum Read {
    Sample(Converted),
    Piece(TextPiece),
    Bad(Problem, String),
}

/// A raw row and how to read it.
#[derive(Debug)]
pub(crate) struct FoundRow {
    pub(crate) row: RawRow,
    pub(crate) format: Arc<Format>,
}

impl FoundRow {
    /// Parses and converts; pure, so that workers do it.
    pub(crate) fn read(&self) -> Read {
        match &self.row.payload {
            Payload::Problem(problem, excerpt) => Read::Bad(problem.clone(), excerpt.clone()),
            Payload::Text(piece) => Read::Piece(piece.clone()),
            Payload::Value(value) => self.convert(value, || excerpt(value.to_string().as_bytes())),
            Payload::Json(bytes) => match parse_json(bytes) {
                Ok(value) => self.convert(&value, || excerpt(bytes)),
                Err(problem) => Read::Bad(problem, excerpt(bytes)),
            },
        }
    }

    /// Hash of the row as it stands in the file, by which exact copies are found; text files have
    /// no rows.
    pub(crate) fn hash(&self) -> Option<u64> {
        let hash = match &self.row.payload {
            Payload::Json(bytes) => blake3::hash(bytes.trim_ascii()),
            Payload::Value(value) => blake3::hash(value.to_string().as_bytes()),
            Payload::Text(_) | Payload::Problem(..) => return None,
        };
        Some(u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes")))
    }

    fn convert(&self, value: &Value, excerpt: impl Fn() -> String) -> Read {
        match self.format.convert(value) {
            Ok(converted) => Read::Sample(converted),
            Err(problem) => Read::Bad(problem, excerpt()),
        }
    }
}

/// Rows of all files, in order. Memory holds the rows that decide the format, at most.
pub(crate) struct FoundRows {
    files: Vec<DataFile>,
    columns: Columns,
    position: Arc<AtomicU64>,
    next_file: usize,
    reader: Option<Box<dyn RowReader>>,
    format: Option<Arc<Format>>,
    held: VecDeque<RawRow>,
    /// Whether rows are text, as the first recognised file decided, and which file that was.
    is_text: Option<(bool, PathBuf)>,
}

impl FoundRows {
    pub(crate) fn new(files: Vec<DataFile>, columns: Columns, position: Arc<AtomicU64>) -> Self {
        Self { files, columns, position, next_file: 0, reader: None, format: None, held: VecDeque::new(), is_text: None }
    }

    /// Opens the next file; a bad one of a folder becomes a counted row.
    fn open_next(&mut self) -> Result<(), DatasetError> {
        let at = self.next_file;
        self.next_file += 1;
        let file = &self.files[at];
        match open_file(&file.path, at as u32, self.position.clone()) {
            Ok((kind, reader)) => {
                self.reader = Some(reader);
                if kind == FileKind::Text {
                    self.settle(Format::plain_text())?;
                }
                Ok(())
            }
            Err(error) if file.is_named => Err(error),
            Err(error) => {
                let source = RowSource { file: at as u32, line: 1 };
                self.held.push_back(RawRow::problem(source, 0, RowProblem::DamagedFile, error.to_string(), b""));
                Ok(())
            }
        }
    }

    /// Takes a format for the open file.
    fn settle(&mut self, format: Format) -> Result<(), DatasetError> {
        let path = &self.files[self.next_file - 1].path;
        let is_text = format.is_text();
        match &self.is_text {
            Some((was_text, first)) if *was_text != is_text => {
                let words = |is_text| if is_text { "plain text" } else { "conversations" };
                return Err(DatasetError::Settings(format!(
                    "{} holds {} and {} holds {}; give one kind at a time",
                    first.display(),
                    words(*was_text),
                    path.display(),
                    words(is_text)
                )));
            }
            Some(_) => {}
            None => self.is_text = Some((is_text, path.clone())),
        }
        self.format = Some(Arc::new(format));
        Ok(())
    }

    /// Reads rows until the format is known, at most as many as are looked at.
    fn look_ahead(&mut self) -> Result<(), DatasetError> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut values = Vec::new();
        let mut bytes = 0;
        while self.held.len() < ROWS_LOOKED_AT && bytes < BYTES_LOOKED_AT {
            let Some(row) = reader.next_row() else {
                self.reader = None;
                break;
            };
            bytes += row.bytes;
            match &row.payload {
                Payload::Json(json) => values.extend(parse_json(json).ok()),
                Payload::Value(value) => values.push(value.clone()),
                Payload::Text(_) | Payload::Problem(..) => {}
            }
            self.held.push_back(row);
        }
        if values.is_empty() {
            // Nothing to decide by yet; these rows are problems whatever the format.
            return Ok(());
        }
        match recognise(&values, &self.columns) {
            Ok(format) => self.settle(format),
            Err(reason) => {
                let at = self.next_file - 1;
                let file = &self.files[at];
                if file.is_named {
                    return Err(DatasetError::UnknownFormat { path: file.path.clone(), reason });
                }
                self.reader = None;
                self.held.clear();
                let source = RowSource { file: at as u32, line: 1 };
                self.held.push_back(RawRow::problem(source, 0, RowProblem::UnknownFormat, reason, b""));
                Ok(())
            }
        }
    }

    /// The next row of any file.
    pub(crate) fn next(&mut self) -> Result<Option<FoundRow>, DatasetError> {
        loop {
            if self.format.is_none() && self.held.is_empty() {
                self.look_ahead()?;
            }
            if let Some(row) = self.held.pop_front() {
                let format = self.format.clone().unwrap_or_else(|| Arc::new(Format::plain_text()));
                return Ok(Some(FoundRow { row, format }));
            }
            if let Some(row) = self.reader.as_mut().and_then(|reader| reader.next_row()) {
                if let Some(format) = self.format.clone() {
                    return Ok(Some(FoundRow { row, format }));
                }
                self.held.push_back(row);
                continue;
            }
            self.reader = None;
            self.format = None;
            if self.next_file == self.files.len() {
                return Ok(None);
            }
            self.open_next()?;
        }
    }
}
