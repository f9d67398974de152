//! One block of one product: which parts of its operands are packed where, and which tiles read
//! them.

use std::ops::Range;

use crate::instruction_set::InstructionSet;

use super::operand::{DataRef, MatrixRef};
use super::pack::{self, Across, Along, PackElement};
use super::plan::{self, Chunk, KernelShape, LeftLayout, Panels, Piece, RightPacking};
use super::scratch::{Scratch, SharedWords};
use super::tile::{MicroKernel, TilePlace, TilePointer, TileSegment};

/// Words that one task packs.
const PACK_TASK_WORDS: usize = 24 << 10;
/// Sums of up to this many words count as short.
const SHORT_WORDS: usize = 48;

/// Where the sums of a stage go; the pointer is that of the whole output's first element.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) pointer: TilePointer,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
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
        let strips = Panels::new(chunk.rows.len(), shape.strip_rows, 1);
        let mut end_words = first_word;
        let first_words = pieces
            .iter()
            .map(|piece| {
                let left = end_words;
                let right = left
                    + match piece.left {
                        LeftLayout::InPlace => 0,
                        LeftLayout::Rows(stride) => chunk.capacity.0 * stride,
                        LeftLayout::Strips => chunk.capacity.0.next_multiple_of(shape.strip_rows) * piece.words(),
                    }
                    .next_multiple_of(16);
                if chunk.right != RightPacking::ByTask {
                    end_words = right + (chunk.capacity.1.next_multiple_of(shape.lanes) * piece.words()).next_multiple_of(16);
                } else {
                    end_words = right;
                }
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
            if self.chunk.right == RightPacking::Ahead {
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
        let (first_left, first_right) = self.first_words[task.piece];
        let range = task.range.clone();
        // SAFETY: the ranges of `Stage::new` are inside the scratch memory and hold what the
        // packing functions write.
        unsafe {
            if task.is_left {
                let out = words.at(first_left);
                match piece.term.left.data {
                    DataRef::F32(data) => self.pack_left(set, piece, data, range, out),
                    DataRef::Bf16(data) => self.pack_left(set, piece, data, range, out),
                    DataRef::F16(data) => self.pack_left(set, piece, data, range, out),
                }
            } else if piece.term.right.column_stride == 1 {
                self.pack_right(set, piece, 0..self.panels.count(), range, words.at(first_right));
            } else {
                self.pack_right(set, piece, range, 0..piece.words(), words.at(first_right));
            }
        }
    }

    /// # Safety
    /// `out` has room for the left operand; no one else uses the part of `range`.
    unsafe fn pack_left<T: PackElement>(&self, set: InstructionSet, piece: &Piece, data: &[T], range: Range<usize>, out: *mut u32) {
        let (left, elements, kind) = (&piece.term.left, piece.elements, piece.kind);
        let data = &data[self.chunk.rows.start * left.row_stride + piece.first_k * left.column_stride..];
        // SAFETY: by the contract.
        unsafe {
            match piece.left {
                LeftLayout::InPlace => {}
                LeftLayout::Rows(stride) => {
                    pack::copy_along(set, &Along { data, column_stride: left.row_stride, elements, kind }, range, stride, out);
                }
                LeftLayout::Strips => {
                    let source = Across { data, k_stride: left.column_stride, elements, kind };
                    pack::pack_across(set, &source, &self.strips, 0..self.strips.count(), range, out);
                }
            }
        }
    }

    /// Packs some words of some panels of the right operand; all words where k lies side by side.
    ///
    /// # Safety
    /// `out`, where the first of all panels would begin, has room for these panels; no one else
    /// uses these words.
    unsafe fn pack_right(&self, set: InstructionSet, piece: &Piece, panels: Range<usize>, words: Range<usize>, out: *mut u32) {
        // SAFETY: by the contract.
        unsafe {
            match piece.term.right.data {
                DataRef::F32(data) => self.pack_right_elements(set, piece, data, panels, words, out),
                DataRef::Bf16(data) => self.pack_right_elements(set, piece, data, panels, words, out),
                DataRef::F16(data) => self.pack_right_elements(set, piece, data, panels, words, out),
            }
        }
    }

    /// # Safety
    /// As [`Stage::pack_right`].
    unsafe fn pack_right_elements<T: PackElement>(
        &self,
        set: InstructionSet,
        piece: &Piece,
        data: &[T],
        panels: Range<usize>,
        words: Range<usize>,
        out: *mut u32,
    ) {
        let (right, elements, kind) = (&piece.term.right, piece.elements, piece.kind);
        let data = &data[piece.first_k * right.row_stride + self.chunk.columns.start * right.column_stride..];
        // SAFETY: by the contract.
        unsafe {
            if right.column_stride == 1 {
                pack::pack_across(set, &Across { data, k_stride: right.row_stride, elements, kind }, &self.panels, panels, words, out);
            } else {
                pack::pack_along(set, &Along { data, column_stride: right.column_stride, elements, kind }, &self.panels, panels, out);
            }
        }
    }

    /// The blocks to compute; neighbours share panels.
    pub(super) fn tile_tasks(&self) -> Vec<TileTask> {
        let (rows, words) = (self.chunk.rows.len(), self.pieces.iter().map(Piece::words).sum());
        let (task_rows, task_panels) = plan::task_size(rows, &self.panels, words, self.chunk.right, self.shape);
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
    /// All parts are packed in `words`, the instruction sets of `K` and `set` are there, and no
    /// one else uses this block of the output.
    pub(super) unsafe fn compute<K: MicroKernel>(&self, set: InstructionSet, task: &TileTask, words: SharedWords) {
        // SAFETY: by the contract.
        let mut operands: Vec<_> = (0..self.pieces.len()).map(|index| unsafe { self.operand(index, words) }).collect();
        if self.chunk.right != RightPacking::ByTask {
            // SAFETY: by the contract.
            return unsafe { self.compute_tiles::<K>(task, &operands) };
        }
        Scratch::with_task(|scratch| {
            let (first_column, _) = self.panels.panel(task.panels.start);
            let columns = task.panels.len() * self.shape.lanes * self.shape.vectors;
            let packed = scratch.words(self.pieces.iter().map(|piece| piece.words() * columns).sum());
            let mut first_word = 0;
            for (piece, operand) in self.pieces.iter().zip(&mut operands) {
                // SAFETY: the panels of each piece have their own part of `packed`.
                unsafe {
                    let out = packed.at(first_word).wrapping_sub(first_column * piece.words());
                    self.pack_right(set, piece, task.panels.clone(), 0..piece.words(), out);
                    operand.segment.right = out;
                }
                first_word += piece.words() * columns;
            }
            // SAFETY: the panels are packed; all else by the contract.
            unsafe { self.compute_tiles::<K>(task, &operands) };
        });
    }

    /// Computes the tiles of a task: panel by panel, so that a panel stays at hand, or where sums
    /// are short row by row, so that whole lines of the output are written.
    ///
    /// # Safety
    /// As [`Stage::compute`]; the panels are packed where the operands say.
    unsafe fn compute_tiles<K: MicroKernel>(&self, task: &TileTask, operands: &[Operand]) {
        let mut segments: Vec<_> = operands.iter().map(|operand| operand.segment).collect();
        let rows = task.rows.clone().step_by(K::ROWS);
        // SAFETY: by the contract.
        unsafe {
            if operands.iter().map(|operand| operand.right_words).sum::<usize>() <= SHORT_WORDS {
                for first_row in rows {
                    for panel in task.panels.clone() {
                        self.compute_tile::<K>(task, first_row, panel, operands, &mut segments);
                    }
                }
            } else {
                for panel in task.panels.clone() {
                    for first_row in rows.clone() {
                        self.compute_tile::<K>(task, first_row, panel, operands, &mut segments);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Stage::compute_tiles`].
    #[inline(always)]
    unsafe fn compute_tile<K: MicroKernel>(
        &self,
        task: &TileTask,
        first_row: usize,
        panel: usize,
        operands: &[Operand],
        segments: &mut [TileSegment],
    ) {
        let (first_column, vectors) = self.panels.panel(panel);
        let column = self.chunk.columns.start + first_column;
        for (segment, operand) in segments.iter_mut().zip(operands) {
            // SAFETY: the row is inside the chunk, so inside the operand or its copy.
            segment.left = unsafe { operand.segment.left.add(operand.left_offset(first_row, K::STRIP_ROWS)) };
            segment.right = operand.segment.right.wrapping_add(first_column * operand.right_words);
        }
        let offset = (self.chunk.rows.start + first_row) * self.place.row_stride + column * self.place.column_stride;
        // SAFETY: row and column are inside the output; all else by the contract.
        unsafe {
            let place = TilePlace {
                pointer: match self.place.pointer {
                    TilePointer::F32(pointer) => TilePointer::F32(pointer.add(offset)),
                    TilePointer::Bf16(pointer) => TilePointer::Bf16(pointer.add(offset)),
                },
                row_stride: self.place.row_stride,
                column_stride: self.place.column_stride,
                columns: (vectors * K::LANES).min(self.panels.columns - first_column),
                scale: self.pieces.last().map_or(1.0, |piece| piece.term.scale),
                accumulate: self.place.accumulate,
                bias: self.place.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
            };
            K::tile(K::ROWS.min(task.rows.end - first_row), vectors, segments, &place);
        }
    }

    /// What tiles read of one piece.
    ///
    /// # Safety
    /// `packed` holds `end_words`.
    unsafe fn operand(&self, index: usize, packed: SharedWords) -> Operand {
        let piece = &self.pieces[index];
        let before = index.checked_sub(1).map_or(piece.term.scale, |before| self.pieces[before].term.scale);
        let (first_left, first_right) = self.first_words[index];
        let words = piece.words();
        let has_half_word = piece.left == LeftLayout::InPlace && piece.elements % piece.kind.elements() == 1;
        // SAFETY: the first row of the chunk is inside the operand, `first_left` inside `packed`.
        let (left, left_row_stride, left_word_stride, strip_stride) = unsafe {
            let copy = packed.at(first_left).cast::<u8>().cast_const();
            match piece.left {
                LeftLayout::InPlace => {
                    let (start, element_bytes) = start(&piece.term.left);
                    let offset = self.chunk.rows.start * piece.term.left.row_stride + piece.first_k;
                    (start.add(offset * element_bytes), piece.term.left.row_stride * element_bytes, 4, None)
                }
                LeftLayout::Rows(stride) => (copy, stride * 4, 4, None),
                LeftLayout::Strips => (copy, 4, self.strips.lanes() * 4, Some(self.strips.lanes() * words * 4)),
            }
        };
        let segment = TileSegment {
            kind: piece.kind,
            left,
            left_row_stride,
            left_word_stride,
            // SAFETY: `first_right` is inside `packed`, or its end where tasks pack by themselves.
            right: unsafe { packed.at(first_right) },
            words: words - usize::from(has_half_word),
            has_half_word,
            rescale: before / piece.term.scale,
        };
        Operand { segment, strip_stride, right_words: words }
    }
}

/// A piece as the first tile of a chunk reads it, and how others differ.
struct Operand {
    segment: TileSegment,
    /// Bytes between strips of the left operand, if it was packed into strips.
    strip_stride: Option<usize>,
    /// Words of one column of the right operand.
    right_words: usize,
}

impl Operand {
    /// Bytes from the first row of the chunk to another.
    #[inline(always)]
    fn left_offset(&self, row: usize, strip_rows: usize) -> usize {
        match self.strip_stride {
            Some(stride) => row / strip_rows * stride + row % strip_rows * self.segment.left_row_stride,
            None => row * self.segment.left_row_stride,
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
