//! Plain text as documents, one a file, streamed in pieces. A piece ends after a line break
//! between two visible characters, so that cutting there changes no token.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};

use super::{Payload, RawRow, RowReader, TextPiece};
use crate::problem::{RowProblem, RowSource};

/// Bytes of one piece: enough to keep all threads busy, and the same on every machine.
const PIECE_BYTES: usize = 64 << 10;
/// A piece without any line break is cut at a space, and at the latest here.
const PIECE_BYTES_MAX: usize = 128 << 10;
/// Lines are taken in parts of this length, so that a file of one line streams too.
const PART_BYTES: u64 = 32 << 10;

/// Reads one document.
pub(super) fn text_reader(input: impl Read + 'static, file: u32) -> Box<dyn RowReader> {
    Box::new(Text {
        input: BufReader::with_capacity(256 << 10, input),
        file,
        line: 1,
        piece: Vec::new(),
        piece_line: 1,
        has_begun: false,
        is_done: false,
        ready: VecDeque::new(),
    })
}

struct Text<R> {
    input: BufReader<R>,
    file: u32,
    line: u64,
    /// Bytes not yet given out, and the line on which they begin.
    piece: Vec<u8>,
    piece_line: u64,
    has_begun: bool,
    is_done: bool,
    ready: VecDeque<RawRow>,
}

impl<R: Read> RowReader for Text<R> {
    fn next_row(&mut self) -> Option<RawRow> {
        while self.ready.is_empty() && !self.is_done {
            self.fill();
        }
        self.ready.pop_front()
    }
}

impl<R: Read> Text<R> {
    fn fill(&mut self) {
        let mut part = Vec::new();
        if let Err(error) = self.input.by_ref().take(PART_BYTES).read_until(b'\n', &mut part) {
            self.flush(true);
            let detail = format!("the file cannot be read from here on: {error}");
            self.ready.push_back(RawRow::problem(self.source(), 0, RowProblem::DamagedFile, detail, b""));
            self.is_done = true;
            return;
        }
        if part.is_empty() {
            self.flush(true);
            self.is_done = true;
            return;
        }
        if self.piece.len() >= PIECE_BYTES && can_cut(&self.piece, &part) {
            self.flush(false);
        }
        self.line += u64::from(part.last() == Some(&b'\n'));
        self.piece.extend_from_slice(&part);
        while self.piece.len() > PIECE_BYTES_MAX {
            self.flush_long();
        }
    }

    fn source(&self) -> RowSource {
        RowSource { file: self.file, line: self.piece_line }
    }

    /// Gives out all that is held.
    fn flush(&mut self, is_last: bool) {
        let bytes = std::mem::take(&mut self.piece);
        if !bytes.is_empty() || (is_last && self.has_begun) {
            self.give(bytes, is_last);
        }
        self.piece_line = self.line;
    }

    /// Gives out the first part of a piece that has no good place to cut.
    fn flush_long(&mut self) {
        let window = &self.piece[..PIECE_BYTES];
        let space = window.iter().rposition(|&byte| byte == b' ');
        let mut at = space.filter(|&at| at > PIECE_BYTES / 2).unwrap_or(PIECE_BYTES);
        while at > PIECE_BYTES - 4 && self.piece[at] & 0xc0 == 0x80 {
            at -= 1;
        }
        let rest = self.piece.split_off(at);
        let bytes = std::mem::replace(&mut self.piece, rest);
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.give(bytes, false);
        self.piece_line += lines;
    }

    /// Lines that are no UTF-8 are left out, each counted.
    fn give(&mut self, bytes: Vec<u8>, is_last: bool) {
        let length = bytes.len() as u64;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let mut kept = String::new();
                for (at, line) in error.as_bytes().split_inclusive(|&byte| byte == b'\n').enumerate() {
                    match std::str::from_utf8(line) {
                        Ok(line) => kept.push_str(line),
                        Err(_) => {
                            let source = RowSource { file: self.file, line: self.piece_line + at as u64 };
                            let detail = "the line is not UTF-8 and is left out of the text";
                            self.ready.push_back(RawRow::problem(source, 0, RowProblem::BrokenUtf8, detail, line));
                        }
                    }
                }
                kept
            }
        };
        let piece = TextPiece { text, continues: self.has_begun, is_last };
        self.has_begun = true;
        self.ready.push_back(RawRow { source: self.source(), bytes: length, payload: Payload::Text(piece) });
    }
}

/// Whether the border between two pieces is a line break between visible characters.
fn can_cut(before: &[u8], after: &[u8]) -> bool {
    let Some((b'\n', line)) = before.split_last() else {
        return false;
    };
    line.last().is_some_and(|byte| !byte.is_ascii_whitespace()) && after.first().is_some_and(|byte| !byte.is_ascii_whitespace())
}
