//! JSON in each of its file shapes: a value a line, one array of values, or values that follow
//! each other over several lines. A bad value costs itself, not the file.

use std::io::{BufRead, BufReader, Read};

use serde::de::IgnoredAny;

use super::{Payload, ROW_BYTES_MAX, RawRow, RowReader};
use crate::problem::{RowProblem, RowSource};

/// How the values stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonShape {
    /// One value a line.
    Lines,
    /// The elements of one array.
    Array,
    /// Values one after the other, each over as many lines as it likes.
    Sequence,
}

/// Decides the shape from the beginning of the file.
pub(super) fn json_shape(head: &[u8], is_whole: bool) -> JsonShape {
    let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(head.len());
    let body = &head[start..];
    let newline = body.iter().position(|&byte| byte == b'\n');
    let (line, rest) = match newline {
        Some(at) => (&body[..at], &body[at + 1..]),
        None => (body, &body[body.len()..]),
    };
    let has_more = !is_whole || rest.iter().any(|byte| !byte.is_ascii_whitespace());
    let is_complete = serde_json::from_slice::<IgnoredAny>(line).is_ok();
    match body.first() {
        Some(b'[') if newline.is_some() && is_complete && has_more && !holds_objects(line) => JsonShape::Lines,
        Some(b'[') => JsonShape::Array,
        Some(b'{') if is_complete => JsonShape::Lines,
        Some(b'{') if newline.is_none() => JsonShape::Sequence,
        // A line break inside a string is no JSON: the first line of a line file is torn.
        Some(b'{') if ends_in_string(line) || next_line_is_whole(rest) => JsonShape::Lines,
        Some(b'{') => JsonShape::Sequence,
        _ => JsonShape::Lines,
    }
}

/// Whether a line is an array of objects: rows, not one row of a file of lists.
fn holds_objects(line: &[u8]) -> bool {
    line[1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn ends_in_string(line: &[u8]) -> bool {
    let mut state = Nesting::default();
    line.iter().for_each(|&byte| state.step(byte));
    state.is_in_string
}

/// Whether the next line is a whole object that begins at its margin, as in a file of lines.
fn next_line_is_whole(rest: &[u8]) -> bool {
    let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Reads rows in the given shape.
pub(super) fn json_reader(input: impl Read + 'static, file: u32, shape: JsonShape) -> Box<dyn RowReader> {
    let input = BufReader::with_capacity(256 << 10, input);
    match shape {
        JsonShape::Lines => Box::new(Lines { input, file, line: 0, is_done: false }),
        JsonShape::Array => Box::new(Elements::new(input, file, true)),
        JsonShape::Sequence => Box::new(Elements::new(input, file, false)),
    }
}

struct Lines<R> {
    input: BufReader<R>,
    file: u32,
    line: u64,
    is_done: bool,
}

impl<R: Read> RowReader for Lines<R> {
    fn next_row(&mut self) -> Option<RawRow> {
        loop {
            if self.is_done {
                return None;
            }
            let source = RowSource { file: self.file, line: self.line + 1 };
            let mut row = Vec::new();
            let limit = ROW_BYTES_MAX as u64 + 1;
            if let Err(error) = self.input.by_ref().take(limit).read_until(b'\n', &mut row) {
                self.is_done = true;
                let detail = format!("the file cannot be read from here on: {error}");
                return Some(RawRow::problem(source, row.len() as u64, RowProblem::DamagedFile, detail, &row));
            }
            if row.is_empty() {
                return None;
            }
            self.line += 1;
            let mut bytes = row.len() as u64;
            if row.len() > ROW_BYTES_MAX && row.last() != Some(&b'\n') {
                bytes += skip_line(&mut self.input);
                let detail = format!("the row is longer than {} MiB", ROW_BYTES_MAX >> 20);
                return Some(RawRow::problem(source, bytes, RowProblem::TooLarge, detail, &row));
            }
            if row.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some(RawRow { source, bytes, payload: Payload::Json(row) });
        }
    }
}

/// Passes over the rest of a line without holding it.
fn skip_line(input: &mut impl BufRead) -> u64 {
    let mut passed = 0;
    while let Ok(buffer) = input.fill_buf() {
        if buffer.is_empty() {
            break;
        }
        let newline = buffer.iter().position(|&byte| byte == b'\n');
        let used = newline.map_or(buffer.len(), |at| at + 1);
        input.consume(used);
        passed += used as u64;
        if newline.is_some() {
            break;
        }
    }
    passed
}

/// Depth and string state of a JSON text, enough to find where a value ends.
#[derive(Debug, Default, Clone, Copy)]
struct Nesting {
    depth: u64,
    is_in_string: bool,
    is_escaped: bool,
}

impl Nesting {
    fn step(&mut self, byte: u8) {
        if self.is_in_string {
            if self.is_escaped {
                self.is_escaped = false;
            } else if byte == b'\\' {
                self.is_escaped = true;
            } else if byte == b'"' {
                self.is_in_string = false;
            }
        } else {
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}

/// Values of an array or of a sequence.
struct Elements<R> {
    input: BufReader<R>,
    file: u32,
    line: u64,
    in_array: bool,
    is_opened: bool,
    is_done: bool,
}

/// What stands between two values.
enum Between {
    Value,
    End,
    Trouble(RowProblem, String),
}

impl<R: Read> Elements<R> {
    fn new(input: BufReader<R>, file: u32, in_array: bool) -> Self {
        Self { input, file, line: 1, in_array, is_opened: false, is_done: false }
    }

    /// Goes to the first byte of the next value.
    fn seek_value(&mut self) -> Between {
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => {
                    return Between::Trouble(RowProblem::DamagedFile, format!("the file cannot be read from here on: {error}"));
                }
            };
            let Some(&byte) = buffer.first() else {
                return if self.in_array {
                    Between::Trouble(RowProblem::DamagedFile, "the array is not closed; the file ends early".to_string())
                } else {
                    Between::End
                };
            };
            match byte {
                b'\n' => self.line += 1,
                _ if byte.is_ascii_whitespace() => {}
                b',' if self.is_opened || !self.in_array => {}
                b'[' if self.in_array && !self.is_opened => self.is_opened = true,
                b']' if self.in_array => {
                    // What follows the array is read as further values, so that it is counted.
                    self.in_array = false;
                }
                _ => return Between::Value,
            }
            self.input.consume(1);
        }
    }

    /// Takes the bytes of one value; `Err` says why it never ends.
    fn take_value(&mut self, value: &mut Vec<u8>) -> (u64, Result<(), String>) {
        let mut nesting = Nesting::default();
        let mut bytes = 0;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => return (bytes, Err(format!("the file cannot be read from here on: {error}"))),
            };
            if buffer.is_empty() {
                let is_scalar = nesting.depth == 0 && !nesting.is_in_string;
                return (bytes, if is_scalar { Ok(()) } else { Err("the file ends inside a value".to_string()) });
            }
            let mut end = None;
            for (at, &byte) in buffer.iter().enumerate() {
                let is_first = bytes == 0 && at == 0;
                let is_bare = nesting.depth == 0 && !nesting.is_in_string;
                // Between values a bare word or number ends at the next mark.
                if is_bare && !is_first && (byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}')) {
                    end = Some(at);
                    break;
                }
                let was_open = nesting.depth > 0 || nesting.is_in_string;
                nesting.step(byte);
                if was_open && nesting.depth == 0 && !nesting.is_in_string {
                    end = Some(at + 1);
                    break;
                }
            }
            let used = end.unwrap_or(buffer.len());
            let taken = &buffer[..used];
            self.line += taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
            if value.len() <= ROW_BYTES_MAX {
                value.extend_from_slice(taken);
            }
            self.input.consume(used);
            bytes += used as u64;
            if end.is_some() {
                return (bytes, Ok(()));
            }
        }
    }
}

impl<R: Read> RowReader for Elements<R> {
    fn next_row(&mut self) -> Option<RawRow> {
        if self.is_done {
            return None;
        }
        match self.seek_value() {
            Between::End => {
                self.is_done = true;
                None
            }
            Between::Trouble(kind, detail) => {
                self.is_done = true;
                Some(RawRow::problem(RowSource { file: self.file, line: self.line }, 0, kind, detail, b""))
            }
            Between::Value => {
                let source = RowSource { file: self.file, line: self.line };
                let mut value = Vec::new();
                let (bytes, outcome) = self.take_value(&mut value);
                Some(match outcome {
                    Err(detail) => {
                        self.is_done = true;
                        RawRow::problem(source, bytes, RowProblem::DamagedFile, detail, &value)
                    }
                    Ok(()) if value.len() > ROW_BYTES_MAX => {
                        let detail = format!("the row is longer than {} MiB", ROW_BYTES_MAX >> 20);
                        RawRow::problem(source, bytes, RowProblem::TooLarge, detail, &value)
                    }
                    Ok(()) => RawRow { source, bytes, payload: Payload::Json(value) },
                })
            }
        }
    }
}
