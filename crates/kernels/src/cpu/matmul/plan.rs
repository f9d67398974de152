//! How a product is cut, by shape alone: passes over k, chunks that fit the packing memory,
//! tasks for threads, panels for the micro-kernel.

use std::ops::Range;

use super::operand::{DataRef, MatrixRef, Product, Term};

/// Words of one term that one pass may hold: a panel of them stays in the second-level cache.
const PASS_WORDS: usize = 2048;
/// Words of packed memory of one operand: a few megabytes of the last-level cache.
const CHUNK_WORDS: usize = 1 << 20;
/// Word products of a task of a large product, about 0.1 ms of one core.
const TASK_WORDS_MAX: usize = 6 << 20;
/// Word products below which a task is not worth a thread's attention.
const TASK_WORDS_MIN: usize = 1 << 18;
/// Columns of a task: its packed block is read again for every few rows.
const TASK_COLUMNS: usize = 192;
/// Words of the left operand of a task, which is read once a panel.
const TASK_LEFT_WORDS: usize = 96 << 10;

/// What 32 bits of a packed operand hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    /// One F32 element.
    Single,
    /// Two bf16 elements that follow each other along k, the first in the low half.
    Pair,
}

impl WordKind {
    /// Elements along k in one word.
    pub(super) fn elements(self) -> usize {
        match self {
            WordKind::Single => 1,
            WordKind::Pair => 2,
        }
    }
}

/// Columns cut into panels of at most `vectors` vectors, as evenly as whole vectors allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    pub(super) columns: usize,
    lanes: usize,
    vectors: usize,
}

impl Panels {
    pub(super) fn new(columns: usize, lanes: usize, vectors: usize) -> Panels {
        Panels { columns, lanes, vectors }
    }

    /// Columns of a vector.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Vectors that cover the columns.
    fn all_vectors(&self) -> usize {
        self.columns.div_ceil(self.lanes)
    }

    /// Columns with those that fill the last vector.
    pub(super) fn padded_columns(&self) -> usize {
        self.all_vectors() * self.lanes
    }

    /// Number of panels.
    pub(super) fn count(&self) -> usize {
        self.all_vectors().div_ceil(self.vectors)
    }

    /// First column of a panel and its width in vectors: the first panels are one vector wider.
    pub(super) fn panel(&self, index: usize) -> (usize, usize) {
        let (all, count) = (self.all_vectors(), self.count());
        let (narrow, wider) = (all / count, all % count);
        let first = index * narrow + index.min(wider);
        (first * self.lanes, narrow + usize::from(index < wider))
    }
}

/// How the left operand reaches the micro-kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftLayout {
    /// Read where it lies.
    InPlace,
    /// Copied row by row, converted; rows are this many words apart.
    Rows(usize),
    /// Columns along the rows of the source, `lanes` wide strips, word after word.
    Strips,
}

/// A range of k of one term.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) term: &'a Term<'a>,
    pub(super) kind: WordKind,
    pub(super) first_k: usize,
    pub(super) elements: usize,
    pub(super) left: LeftLayout,
}

impl Piece<'_> {
    /// Words along k, the last perhaps half filled.
    pub(super) fn words(&self) -> usize {
        self.elements.div_ceil(self.kind.elements())
    }

    /// Packed words of one row of the left operand.
    pub(super) fn left_words(&self) -> usize {
        match self.left {
            LeftLayout::InPlace => 0,
            LeftLayout::Rows(stride) => stride,
            LeftLayout::Strips => self.words(),
        }
    }
}

/// Whether a product of the two is one of bf16 pairs.
pub(super) fn word_kind(term: &Term, has_pairs: bool) -> WordKind {
    let is_bf16 = |matrix: &MatrixRef| matches!(matrix.data, DataRef::Bf16(_));
    if has_pairs && (is_bf16(&term.left) || is_bf16(&term.right)) { WordKind::Pair } else { WordKind::Single }
}

fn left_layout(left: &MatrixRef, kind: WordKind, words: usize) -> LeftLayout {
    if left.column_stride != 1 {
        return LeftLayout::Strips;
    }
    let element_bytes = match (left.data, kind) {
        (DataRef::Bf16(_), WordKind::Pair) => Some(2),
        (DataRef::F32(_), WordKind::Single) => Some(4),
        _ => None,
    };
    // Rows a multiple of 4 KiB apart fall into one set of the first-level cache.
    match element_bytes {
        Some(bytes) if !(left.row_stride * bytes).is_multiple_of(4096) || left.rows <= 8 => LeftLayout::InPlace,
        _ => LeftLayout::Rows(words.next_multiple_of(16) + 16),
    }
}

/// The passes of a product: each sums some ranges of k.
pub(super) fn passes<'a>(product: &'a Product<'a>, has_pairs: bool) -> Vec<Vec<Piece<'a>>> {
    let mut passes = vec![Vec::new()];
    let mut pass_words = 0;
    for term in product.terms.iter().filter(|term| term.scale != 0.0) {
        let kind = word_kind(term, has_pairs);
        let k = term.left.columns;
        let all_words = k.div_ceil(kind.elements());
        let words = all_words.div_ceil(all_words.div_ceil(PASS_WORDS).max(1)).max(1);
        for first_k in (0..k).step_by(words * kind.elements()) {
            let elements = (words * kind.elements()).min(k - first_k);
            if pass_words > 0 && pass_words + words > PASS_WORDS * 3 / 2 {
                passes.push(Vec::new());
                pass_words = 0;
            }
            let left = left_layout(&term.left, kind, words);
            passes.last_mut().expect("there is one pass from the start").push(Piece { term, kind, first_k, elements, left });
            pass_words += words;
        }
    }
    passes
}

/// A block of the output in one pass, small enough that its operands can be packed.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// Rows and columns of the largest chunk: packed operands that serve several chunks stay put.
    pub(super) capacity: (usize, usize),
    pub(super) packs_left: bool,
    pub(super) packs_right: bool,
}

/// Rows and columns of micro-kernel blocks.
#[derive(Clone, Copy)]
pub(super) struct KernelShape {
    pub(super) rows: usize,
    pub(super) lanes: usize,
    pub(super) vectors: usize,
}

/// Chunks of an m × n output for one pass.
pub(super) fn chunks(m: usize, n: usize, pieces: &[Piece], shape: KernelShape) -> Vec<Chunk> {
    let left_words: usize = pieces.iter().map(Piece::left_words).sum();
    let right_words: usize = pieces.iter().map(Piece::words).sum();
    let rows = even_part(m, CHUNK_WORDS / left_words.max(1), shape.lanes);
    let columns = even_part(n, CHUNK_WORDS / right_words.max(1), shape.lanes * shape.vectors);
    let mut chunks = Vec::with_capacity(m.div_ceil(rows) * n.div_ceil(columns));
    for first_row in (0..m).step_by(rows) {
        for first_column in (0..n).step_by(columns) {
            chunks.push(Chunk {
                rows: first_row..m.min(first_row + rows),
                columns: first_column..n.min(first_column + columns),
                capacity: (rows, columns),
                packs_left: first_column == 0,
                packs_right: first_row == 0 || columns < n,
            });
        }
    }
    chunks
}

/// Rows and panels of one task of a chunk.
pub(super) fn task_size(rows: usize, panels: &Panels, words: usize, shape: KernelShape) -> (usize, usize) {
    let words = words.max(1);
    let total = rows * panels.columns * words;
    let wanted = (total / 8).clamp(TASK_WORDS_MIN, TASK_WORDS_MAX);
    let panel_width = shape.lanes * shape.vectors;
    let task_columns = panels.columns.min(TASK_COLUMNS);
    let task_rows = even_part(rows, (wanted / (task_columns * words)).min(TASK_LEFT_WORDS / words), shape.rows);
    let task_panels = (wanted / (task_rows * words) / panel_width).clamp(1, TASK_COLUMNS.div_ceil(panel_width));
    let count = panels.count().div_ceil(task_panels);
    (task_rows, panels.count().div_ceil(count))
}

/// The size of equal parts of `all`, at most about `limit`, each a multiple of `step`.
fn even_part(all: usize, limit: usize, step: usize) -> usize {
    let limit = (limit / step * step).max(step);
    let parts = all.div_ceil(limit).max(1);
    all.div_ceil(parts).next_multiple_of(step).max(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_all_columns_once() {
        for columns in 1..700 {
            for (lanes, vectors) in [(16, 3), (8, 3), (8, 1)] {
                let panels = Panels::new(columns, lanes, vectors);
                let mut next = 0;
                for index in 0..panels.count() {
                    let (first, width) = panels.panel(index);
                    assert_eq!(first, next, "panel {index} of {columns}");
                    assert!((1..=vectors).contains(&width), "panel {index} of {columns} has {width} vectors");
                    next += width * lanes;
                }
                assert_eq!(next, panels.padded_columns());
            }
        }
    }
}
