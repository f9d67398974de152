//! How a product is cut, by shape alone: passes over k, chunks that fit the packing memory,
//! tasks for threads, panels for the micro-kernel.

use std::ops::Range;

use super::operand::{DataRef, MatrixRef, Term};

/// Bytes of packed operands, at most, of products of so many rows and columns and a vocabulary.
pub(crate) fn packed_bytes(rows: usize, width: usize, vocabulary: usize) -> usize {
    4 * (rows * width).min(CHUNK_WORDS) + 4 * (vocabulary * width).min(CHUNK_WORDS)
}

/// Words of one term that one pass may hold: a panel of them stays in the second-level cache.
const PASS_WORDS: usize = 2048;
/// Words of packed memory of one operand: a few megabytes of the last-level cache.
const CHUNK_WORDS: usize = 1 << 20;
/// Word products of a task of a large product, about 0.1 ms of one core.
const TASK_WORDS_MAX: usize = 6 << 20;
/// Word products below which a task is not worth a thread's attention.
const TASK_WORDS_MIN: usize = 1 << 18;
/// Columns of a task whose sums are long.
const TASK_COLUMNS: usize = 192;
/// Words of the right operand of a task: short sums take more columns, to write whole rows.
const TASK_RIGHT_WORDS: usize = 48 << 10;
/// Words of the left operand of a task, which is read once a panel.
const TASK_LEFT_WORDS: usize = 96 << 10;

/// Rows up to which a task takes all of them and packs its panels itself.
const BY_TASK_ROWS: usize = 64;
/// Panels from which on the same is done for any number of rows: there are enough tasks.
const BY_TASK_PANELS: usize = 64;
/// Words that a task packs at once: they stay in the second-level cache.
const BY_TASK_WORDS: usize = 128 << 10;
/// Packing a panel costs as much as computing this many rows.
const PACK_COST_ROWS: usize = 6;

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
    count: usize,
    /// Vectors of the narrower panels, and how many panels have one more.
    narrow: usize,
    wider: usize,
}

impl Panels {
    pub(super) fn new(columns: usize, lanes: usize, vectors: usize) -> Panels {
        let all = columns.div_ceil(lanes);
        let count = all.div_ceil(vectors);
        Panels { columns, lanes, count, narrow: all / count.max(1), wider: all % count.max(1) }
    }

    /// Columns of a vector.
    #[inline(always)]
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Columns with those that fill the last vector.
    pub(super) fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }

    /// Number of panels.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// First column of a panel and its width in vectors: the first panels are one vector wider.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> (usize, usize) {
        let first = index * self.narrow + index.min(self.wider);
        (first * self.lanes, self.narrow + usize::from(index < self.wider))
    }
}

/// How the left operand reaches the micro-kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftLayout {
    /// Read where it lies.
    InPlace,
    /// Copied row by row, converted; rows are this many words apart.
    Rows(usize),
    /// Columns along the rows of the source, strips of `strip_rows`, word after word.
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

/// The passes of a sum of terms: each adds some ranges of k.
pub(super) fn passes<'a>(terms: &'a [Term<'a>], has_pairs: bool) -> Vec<Vec<Piece<'a>>> {
    let mut passes = vec![Vec::new()];
    let mut pass_words = 0;
    for term in terms.iter().filter(|term| term.scale != 0.0) {
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
    pub(super) right: RightPacking,
}

/// When the right operand is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RightPacking {
    /// Before the tiles of the chunk, for all tasks.
    Ahead,
    /// By each task, a panel at a time.
    ByTask,
    /// It still lies there from the chunk before.
    Done,
}

/// Rows and columns of micro-kernel blocks.
#[derive(Clone, Copy)]
pub(super) struct KernelShape {
    pub(super) rows: usize,
    pub(super) strip_rows: usize,
    pub(super) lanes: usize,
    pub(super) vectors: usize,
}

/// Whether each task packs the panels it needs by itself, because it computes all rows of them.
fn packs_by_task(m: usize, n: usize, shape: KernelShape) -> bool {
    m <= BY_TASK_ROWS || n >= BY_TASK_PANELS * shape.lanes * shape.vectors
}

/// Chunks of an m × n output for one pass.
pub(super) fn chunks(m: usize, n: usize, pieces: &[Piece], shape: KernelShape) -> Vec<Chunk> {
    let left_words: usize = pieces.iter().map(Piece::left_words).sum();
    let by_task = packs_by_task(m, n, shape) && m * left_words <= CHUNK_WORDS;
    let right_words: usize = if by_task { 0 } else { pieces.iter().map(Piece::words).sum() };
    let rows = even_part(m, CHUNK_WORDS / left_words.max(1), shape.strip_rows);
    let columns = even_part(n, CHUNK_WORDS / right_words.max(1), shape.lanes * shape.vectors);
    let mut chunks = Vec::with_capacity(m.div_ceil(rows) * n.div_ceil(columns));
    for first_row in (0..m).step_by(rows) {
        for first_column in (0..n).step_by(columns) {
            chunks.push(Chunk {
                rows: first_row..m.min(first_row + rows),
                columns: first_column..n.min(first_column + columns),
                capacity: (rows, columns),
                packs_left: first_column == 0,
                right: match by_task {
                    true => RightPacking::ByTask,
                    false if first_row == 0 || columns < n => RightPacking::Ahead,
                    false => RightPacking::Done,
                },
            });
        }
    }
    chunks
}

/// Rows and panels of one task of a chunk.
pub(super) fn task_size(rows: usize, panels: &Panels, words: usize, right: RightPacking, shape: KernelShape) -> (usize, usize) {
    let words = words.max(1);
    if right == RightPacking::ByTask {
        let panel_cost = (rows + PACK_COST_ROWS) * words * shape.lanes * shape.vectors;
        let wanted = (panel_cost * panels.count() / 16).clamp(TASK_WORDS_MIN, TASK_WORDS_MAX);
        let panels_max = (BY_TASK_WORDS / (words * shape.lanes * shape.vectors)).max(1);
        return (rows, (wanted / panel_cost).clamp(1, panels_max));
    }
    let total = rows * panels.columns * words;
    let wanted = (total / 8).clamp(TASK_WORDS_MIN, TASK_WORDS_MAX);
    let panel_width = shape.lanes * shape.vectors;
    let columns_max = TASK_COLUMNS.max(TASK_RIGHT_WORDS / words);
    let task_columns = panels.columns.min(columns_max);
    let task_rows = even_part(rows, (wanted / (task_columns * words)).min(TASK_LEFT_WORDS / words), shape.rows);
    let task_panels = (wanted / (task_rows * words) / panel_width).clamp(1, columns_max.div_ceil(panel_width));
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
