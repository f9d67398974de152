//! Files to raw rows, streaming: whatever the file, memory holds one row and a buffer. What a
//! file is, is decided by its content; its ending only breaks ties.

mod csv;
mod decompress;
mod files;
mod json;
mod parquet;
mod sniff;
mod text;

pub(crate) use files::split_by_name;
pub use files::{DataFile, find_files};
pub use parquet::catches_panics;
pub(crate) use sniff::{FileKind, open_file};

use serde_json::Value;

use crate::problem::{Problem, RowProblem, RowSource, excerpt};

/// Longest row in bytes; a longer one is counted as `too_large` and never held.
pub(crate) const ROW_BYTES_MAX: usize = 64 << 20;

/// One row as a reader found it.
#[derive(Debug)]
pub(crate) struct RawRow {
    /// Where it stands.
    pub source: RowSource,
    /// Source bytes that it took.
    pub bytes: u64,
    /// What it holds.
    pub payload: Payload,
}

/// What a row holds. JSON stays bytes so that workers parse it in parallel.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The bytes of one JSON value.
    Json(Vec<u8>),
    /// A row of a table.
    Value(Value),
    /// A piece of a plain text file.
    Text(TextPiece),
    /// The row cannot be read.
    Problem(Problem, String),
}

/// A piece of a text file, cut where a line ends; long documents come in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextPiece {
    /// The text.
    pub text: String,
    /// Whether this piece goes on where the last one ended.
    pub continues: bool,
    /// Whether the document ends here.
    pub is_last: bool,
}

/// A stream of rows. Damage in the middle of a file is a last row with a problem.
pub(crate) trait RowReader {
    /// The next row, or the end.
    fn next_row(&mut self) -> Option<RawRow>;
}

impl RawRow {
    pub(crate) fn problem(source: RowSource, bytes: u64, kind: RowProblem, detail: impl Into<String>, raw: &[u8]) -> Self {
        Self { source, bytes, payload: Payload::Problem(Problem::new(kind, detail), excerpt(raw)) }
    }
}

/// Parses the bytes of a JSON row; the error also tells broken UTF-8 apart.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(RowProblem::BrokenUtf8, format!("byte {} of the row is not UTF-8", error.valid_up_to() + 1)))?;
    serde_json::from_str(text).map_err(|error| Problem::new(RowProblem::NotJson, format!("not JSON: {error}")))
}
