//! One block of one product: which parts of its operands are packed where, and which tiles read
//! them.

use std::ops::Range;

use crate::instruction_set::InstructionSet;

use super::operand::{DataRef, MatrixRef};
use super::pack::{self, Across, Along, PackElement};
use super::plan::{self, Chunk, KernelShape, LeftLayout, Panels, Piece};
use super::scratch::SharedWords;
use super::tile::{MicroKernel, TilePlace, TilePointer, TileSegment};

/// Words that one task packs.
const PACK_TASK_WORDS: usize = 24 << 10;

/// Where the sums of a stage go; the pointer is that of the whole output's first element.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) pointer: TilePointer,
    pub(super) row_stride: usize,
    pub(super) accumulate: bool,
    pub(super) bias: Option<&'a [f32]>,
}

/// A block of the output and the ranges of k that are summed into it.
pub(super) struct Stage<'a> {
    pieces: &'a [Piece<'a>],
    chunk: Chunk,
    pub(super) place: Place<'a>,
    panels: Panels,
    strips: Panels,
    shape: KernelShape,
    /// First packed word of the left and the right operand of each piece.
    first_words: Vec<(usize, usize)>,
    end_words: usize,
}

/// A part of an operand to pack.
pub(super) struct PackTask {
    piece: usize,
    is_left: bool,
    /// Words, rows or panels, as the layout is.
    range: Range<usize>,
}

/// A part of the output to compute: rows of the chunk, and panels.
pub(super) struct TileTask {
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(pieces: &'a [Piece<'a>], chunk: Chunk, place: Place<'a>, first_word: usize, shape: KernelShape) -> Stage<'a> {
        let panels = Panels::new(chunk.columns.len(), shape.lanes, shape.vectors);
        let strips = Panels::new(chunk.rows.len(), shape.lanes, 1);
        let mut end_words = first_word;
        let first_words = pieces
            .iter()
            .map(|piece| {
                let left = end_words;
                let right = left
                    + match piece.left {
                        LeftLayout::InPlace => 0,
                        LeftLayout::Rows(stride) => chunk.capacity.0 * stride,
                        LeftLayout::Strips => chunk.capacity.0.next_multiple_of(shape.lanes) * piece.words(),
                    }
                    .next_multiple_of(16);
                end_words = right + (chunk.capacity.1.next_multiple_of(shape.lanes) * piece.words()).next_multiple_of(16);
                (left, right)
            })
            .collect();
        Stage { pieces, chunk, place, panels, strips, shape, first_words, end_words }
    }

    /// One past the last packed word.
    pub(super) fn end_words(&self) -> usize {
        self.end_words
    }

    /// Words that are packed.
    pub(super) fn pack_words(&self) -> usize {
        self.end_words - self.first_words.first().map_or(self.end_words, |first| first.0)
    }

    /// The packing to do, in parts of similar size.
    pub(super) fn pack_tasks(&self) -> Vec<PackTask> {
        let mut tasks = Vec::new();
        let mut cut = |piece, is_left, count: usize, words_each: usize| {
            let parts = (count * words_each).div_ceil(PACK_TASK_WORDS).clamp(1, count.max(1));
            tasks.extend((0..parts).map(|part| PackTask { piece, is_left, range: count * part / parts..count * (part + 1) / parts }));
        };
        for (index, piece) in self.pieces.iter().enumerate() {
            if self.chunk.packs_left {
                match piece.left {
                    LeftLayout::InPlace => {}
                    LeftLayout::Rows(stride) => cut(index, true, self.chunk.rows.len(), stride),
                    LeftLayout::Strips => cut(index, true, piece.words(), self.strips.padded_columns()),
                }
            }
            if self.chunk.packs_right {
                match piece.term.right.column_stride {
                    1 => cut(index, false, piece.words(), self.panels.padded_columns()),
                    _ => cut(index, false, self.panels.count(), self.shape.lanes * self.shape.vectors * piece.words()),
                }
            }
        }
        tasks
    }

    /// Packs one part.
    ///
    /// # Safety
    /// `words` holds `end_words`, and no one else uses the words of this part.
    pub(super) unsafe fn pack(&self, set: InstructionSet, task: &PackTask, words: SharedWords) {
        let piece = &self.pieces[task.piece];
        let matrix = if task.is_left { &piece.term.left } else { &piece.term.right };
        // SAFETY: by the contract.
        unsafe {
            match matrix.data {
                DataRef::F32(data) => self.pack_elements(set, task, words, data),
                DataRef::Bf16(data) => self.pack_elements(set, task, words, data),
                DataRef::F16(data) => self.pack_elements(set, task, words, data),
            }
        }
    }

    /// # Safety
    /// As [`Stage::pack`].
    unsafe fn pack_elements<T: PackElement>(&self, set: InstructionSet, task: &PackTask, words: SharedWords, data: &[T]) {
        let piece = &self.pieces[task.piece];
        let (elements, kind, range) = (piece.elements, piece.kind, task.range.clone());
        let (first_left, first_right) = self.first_words[task.piece];
        // SAFETY: the ranges of `Stage::new` are inside the scratch memory and hold what the
        // packing functions write.
        unsafe {
            if task.is_left {
                let left = &piece.term.left;
                let out = words.at(first_left);
                let data = &data[self.chunk.rows.start * left.row_stride + piece.first_k * left.column_stride..];
                match piece.left {
                    LeftLayout::InPlace => {}
                    LeftLayout::Rows(stride) => {
                        pack::copy_along(set, &Along { data, column_stride: left.row_stride, elements, kind }, range, stride, out);
                    }
                    LeftLayout::Strips => {
                        pack::pack_across(set, &Across { data, k_stride: left.column_stride, elements, kind }, &self.strips, range, out);
                    }
                }
            } else {
                let right = &piece.term.right;
                let out = words.at(first_right);
                let data = &data[piece.first_k * right.row_stride + self.chunk.columns.start * right.column_stride..];
                if right.column_stride == 1 {
                    pack::pack_across(set, &Across { data, k_stride: right.row_stride, elements, kind }, &self.panels, range, out);
                } else {
                    pack::pack_along(set, &Along { data, column_stride: right.column_stride, elements, kind }, &self.panels, range, out);
                }
            }
        }
    }

    /// The blocks to compute; neighbours share panels.
    pub(super) fn tile_tasks(&self) -> Vec<TileTask> {
        let (rows, words) = (self.chunk.rows.len(), self.pieces.iter().map(Piece::words).sum());
        let (task_rows, task_panels) = plan::task_size(rows, &self.panels, words, self.shape);
        let mut tasks = Vec::with_capacity(rows.div_ceil(task_rows) * self.panels.count().div_ceil(task_panels));
        for first_panel in (0..self.panels.count()).step_by(task_panels) {
            for first_row in (0..rows).step_by(task_rows) {
                tasks.push(TileTask {
                    rows: first_row..rows.min(first_row + task_rows),
                    panels: first_panel..self.panels.count().min(first_panel + task_panels),
                });
            }
        }
        tasks
    }

    /// Computes one block.
    ///
    /// # Safety
    /// All parts are packed in `words`, the instruction set of `K` is there, and no one else uses
    /// this block of the output.
    pub(super) unsafe fn compute<K: MicroKernel>(&self, task: &TileTask, words: SharedWords) {
        let mut segments: Vec<TileSegment> = Vec::with_capacity(self.pieces.len());
        for panel in task.panels.clone() {
            let (first_column, vectors) = self.panels.panel(panel);
            let columns = (vectors * K::LANES).min(self.panels.columns - first_column);
            for first_row in task.rows.clone().step_by(K::ROWS) {
                segments.clear();
                for (index, piece) in self.pieces.iter().enumerate() {
                    let before = index.checked_sub(1).map_or(piece.term.scale, |before| self.pieces[before].term.scale);
                    // SAFETY: row and column are inside the chunk, so the words are inside the
                    // operands or their packed copies.
                    segments.push(unsafe { self.segment(index, first_row, first_column, before / piece.term.scale, words) });
                }
                let (row, column) = (self.chunk.rows.start + first_row, self.chunk.columns.start + first_column);
                let offset = row * self.place.row_stride + column;
                let place = TilePlace {
                    // SAFETY: row and column are inside the output.
                    pointer: unsafe {
                        match self.place.pointer {
                            TilePointer::F32(pointer) => TilePointer::F32(pointer.add(offset)),
                            TilePointer::Bf16(pointer) => TilePointer::Bf16(pointer.add(offset)),
                        }
                    },
                    row_stride: self.place.row_stride,
                    columns,
                    scale: self.pieces.last().map_or(1.0, |piece| piece.term.scale),
                    accumulate: self.place.accumulate,
                    bias: self.place.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
                };
                // SAFETY: by the contract of this function and the bounds above.
                unsafe { K::tile(K::ROWS.min(task.rows.end - first_row), vectors, &segments, &place) };
            }
        }
    }

    /// What one tile reads of one piece.
    ///
    /// # Safety
    /// The tile begins inside the chunk.
    #[inline]
    unsafe fn segment(&self, index: usize, first_row: usize, first_column: usize, rescale: f32, packed: SharedWords) -> TileSegment {
        let piece = &self.pieces[index];
        let (first_left, first_right) = self.first_words[index];
        let words = piece.words();
        let has_half_word = piece.left == LeftLayout::InPlace && piece.elements % piece.kind.elements() == 1;
        // SAFETY: by the contract.
        let (left, left_row_stride, left_word_stride) = unsafe {
            match piece.left {
                LeftLayout::InPlace => {
                    let row = self.chunk.rows.start + first_row;
                    let (start, element_bytes) = start(&piece.term.left);
                    let offset = row * piece.term.left.row_stride + piece.first_k;
                    (start.add(offset * element_bytes), piece.term.left.row_stride * element_bytes, 4)
                }
                LeftLayout::Rows(stride) => (packed.at(first_left + first_row * stride).cast::<u8>().cast_const(), stride * 4, 4),
                LeftLayout::Strips => {
                    let lanes = self.strips.lanes();
                    let (strip, lane) = (first_row / lanes, first_row % lanes);
                    (packed.at(first_left + strip * lanes * words + lane).cast::<u8>().cast_const(), 4, lanes * 4)
                }
            }
        };
        TileSegment {
            kind: piece.kind,
            left,
            left_row_stride,
            left_word_stride,
            // SAFETY: by the contract.
            right: unsafe { packed.at(first_right + first_column * words) },
            words: words - usize::from(has_half_word),
            has_half_word,
            rescale,
        }
    }
}

/// First byte of a matrix and the size of its elements.
fn start(matrix: &MatrixRef) -> (*const u8, usize) {
    match matrix.data {
        DataRef::F32(data) => (data.as_ptr().cast(), 4),
        DataRef::Bf16(data) => (data.as_ptr().cast(), 2),
        DataRef::F16(data) => (data.as_ptr().cast(), 2),
    }
}
