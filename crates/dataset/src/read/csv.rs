//! Tables of comma-, tab-, semicolon- or bar-separated cells, quoted as spreadsheets do.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{Payload, ROW_BYTES_MAX, RawRow, RowReader};
use crate::problem::{RowProblem, RowSource};

/// The separator that the first line uses most, outside quotes.
pub(super) fn separator(head: &[u8]) -> u8 {
    let mut counts = [0u32; 4];
    let marks = [b',', b'\t', b';', b'|'];
    let mut is_quoted = false;
    for &byte in head {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if !is_quoted => {
                if let Some(at) = marks.iter().position(|&mark| mark == byte) {
                    counts[at] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return b',';
    }
    let at = counts.iter().position(|&count| count == most).unwrap_or(0);
    marks[at]
}

/// Reads a table whose first record is its header. A single column whose first cell is a sentence
/// has no header: its column is called `text`.
pub(super) fn csv_reader(input: impl Read + 'static, file: u32, separator: u8) -> Box<dyn RowReader> {
    let seen = Rc::new(Seen::default());
    let capped = Capped { input, seen: seen.clone() };
    let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).buffer_capacity(128 << 10).from_reader(capped);
    Box::new(Table { reader, seen, file, header: None, is_done: false })
}

struct Table<R> {
    reader: Reader<Capped<R>>,
    seen: Rc<Seen>,
    file: u32,
    header: Option<Vec<String>>,
    is_done: bool,
}

impl<R: Read> RowReader for Table<R> {
    fn next_row(&mut self) -> Option<RawRow> {
        loop {
            if self.is_done {
                return None;
            }
            let mut record = ByteRecord::new();
            let start = self.reader.position().byte();
            let line = self.reader.position().line();
            self.seen.in_record.set(0);
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.is_done = true;
                    let source = RowSource { file: self.file, line };
                    let detail = format!("the table cannot be read from here on: {error}");
                    return Some(RawRow::problem(source, 0, RowProblem::DamagedFile, detail, b""));
                }
            }
            let bytes = self.reader.position().byte() - start;
            let source = RowSource { file: self.file, line: record.position().map_or(line, csv::Position::line) };
            if self.is_unclosed(&record) {
                self.is_done = true;
                let lines = self.reader.position().line().saturating_sub(source.line);
                let detail = format!("a quotation mark that opens here is never closed; {lines} lines follow");
                return Some(RawRow::problem(source, bytes, RowProblem::DamagedFile, detail, record.as_slice()));
            }
            let Some(header) = &self.header else {
                if is_sentence(&record) {
                    self.header = Some(vec!["text".to_string()]);
                    return Some(self.row(&record, source, bytes));
                }
                let names = record.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_string());
                self.header = Some(names.collect());
                continue;
            };
            if record.len() == 1 && header.len() > 1 && record[0].iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some(self.row(&record, source, bytes));
        }
    }
}

impl<R: Read> Table<R> {
    /// Whether the last cell of the file runs to its end without a closing mark, and so swallowed
    /// the rows that follow its opening.
    fn is_unclosed(&self, record: &ByteRecord) -> bool {
        let is_last = self.seen.is_at_end.get() && self.reader.position().byte() == self.seen.total.get();
        is_last && self.seen.last_visible.get() != b'"' && record.iter().next_back().is_some_and(|cell| cell.contains(&b'\n'))
    }

    fn row(&self, record: &ByteRecord, source: RowSource, bytes: u64) -> RawRow {
        let header = self.header.as_deref().unwrap_or_default();
        let raw = record.as_slice();
        if record.len() != header.len() {
            let detail = format!("{} cells, expected {} as in the header", record.len(), header.len());
            return RawRow::problem(source, bytes, RowProblem::WrongColumnCount, detail, raw);
        }
        let mut fields = Map::new();
        for (name, cell) in header.iter().zip(record) {
            let Ok(text) = std::str::from_utf8(cell) else {
                let detail = format!("column {name} is not UTF-8");
                return RawRow::problem(source, bytes, RowProblem::BrokenUtf8, detail, raw);
            };
            fields.insert(name.clone(), Value::String(text.to_string()));
        }
        RawRow { source, bytes, payload: Payload::Value(Value::Object(fields)) }
    }
}

/// Whether the only cell of a record reads like text rather than like a column name.
fn is_sentence(record: &ByteRecord) -> bool {
    record.len() == 1 && {
        let text = String::from_utf8_lossy(&record[0]);
        text.split_whitespace().count() > 3 || text.chars().count() > 40
    }
}

/// What went through [`Capped`].
#[derive(Default)]
struct Seen {
    /// Bytes since the last record began.
    in_record: Cell<usize>,
    total: Cell<u64>,
    is_at_end: Cell<bool>,
    /// The last byte that is no white space.
    last_visible: Cell<u8>,
}

/// Ends the table when one record swallows more than a row may hold, as after a quotation mark
/// that is never closed.
struct Capped<R> {
    input: R,
    seen: Rc<Seen>,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let seen = &self.seen;
        if seen.in_record.get() > ROW_BYTES_MAX {
            let limit = ROW_BYTES_MAX >> 20;
            return Err(io::Error::other(format!("a row does not end within {limit} MiB; is a quotation mark unclosed?")));
        }
        let count = self.input.read(buffer)?;
        seen.in_record.set(seen.in_record.get() + count);
        seen.total.set(seen.total.get() + count as u64);
        seen.is_at_end.set(count == 0);
        if let Some(&byte) = buffer[..count].iter().rev().find(|byte| !byte.is_ascii_whitespace()) {
            seen.last_visible.set(byte);
        }
        Ok(count)
    }
}
