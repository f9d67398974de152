//! Products of few rows or few columns whose operands both lie along k: blocks of dot products,
//! nothing packed, each matrix read once in the order it lies in memory.

use std::ops::Range;

use crate::context::Context;

use super::operand::{DataRef, MatrixRef, Product, Term};
use super::pack::{self, PackElement};
use super::plan::{self, WordKind};
use super::scratch::Scratch;
use super::tile::{MicroKernel, TilePlace, TilePointer};

/// Columns of a block.
const COLUMNS: usize = 4;
/// Columns up to which they beat a panel that is filled in part.
const FEW_COLUMNS: usize = 16;
/// Words of operands that may be copied because they lie otherwise.
const COPY_WORDS: usize = 1 << 18;
/// Word products of a task.
const TASK_WORDS: Range<usize> = 1 << 18..4 << 20;

/// A term as one block reads it.
#[derive(Clone, Copy)]
pub(super) struct DotSegment {
    /// Of the left operand; the right one is widened or rounded to it.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AVX-512 multiplies pairs"))]
    pub(super) kind: WordKind,
    /// The right operand is bf16, else F32.
    pub(super) right_is_bf16: bool,
    /// Row r begins `r * left_row_stride` bytes from here.
    pub(super) left: *const u8,
    pub(super) left_row_stride: usize,
    /// Column c begins `c * right_column_stride` bytes from here.
    pub(super) right: *const u8,
    pub(super) right_column_stride: usize,
    /// Elements along k.
    pub(super) elements: usize,
    /// The sums so far are multiplied by this before the segment.
    pub(super) rescale: f32,
}

// SAFETY: a segment only points at operands, which nobody writes during a call.
unsafe impl Send for DotSegment {}
// SAFETY: as above.
unsafe impl Sync for DotSegment {}

/// A block of dot products of one instruction set.
pub(super) trait DotKernel {
    /// Rows of a block.
    const DOT_ROWS: usize;
    /// Rows of a product up to which dot products beat packing the right operand.
    const FEW_ROWS: usize;

    /// Computes `rows` (1 to `DOT_ROWS`) by `columns` (1 to 4) of the output.
    ///
    /// # Safety
    /// The instruction set is there; all that the segments describe is readable and the place
    /// writable by this thread alone.
    unsafe fn dots(rows: usize, columns: usize, segments: &[DotSegment], place: &TilePlace);
}

/// Calls `dots::<rows, columns>` of the place of use for the given numbers.
macro_rules! dispatch_dots {
    ($rows:expr, $columns:expr, $segments:expr, $place:expr; $(($r:literal, $c:literal))*) => {
        match ($rows, $columns) {
            $(($r, $c) => dots::<$r, $c>($segments, $place),)*
            _ => unreachable!("a block larger than the kernel"),
        }
    };
}
pub(super) use dispatch_dots;

fn element_bytes(matrix: &MatrixRef) -> usize {
    if matches!(matrix.data, DataRef::F32(_)) { 4 } else { 2 }
}

/// Words of a copy of the left and the right operand of a term, 0 where it is read in place, or
/// `None` where dot products do not suit it.
fn copies(term: &Term, kind: WordKind) -> Option<(usize, usize)> {
    let (left, right) = (&term.left, &term.right);
    let stride = copy_stride(term, kind);
    let left_fits = matches!((left.data, kind), (DataRef::Bf16(_), WordKind::Pair) | (DataRef::F32(_), WordKind::Single));
    let left_words = if left_fits && left.column_stride == 1 { 0 } else { left.rows * stride };
    let right_fits = !matches!(right.data, DataRef::F16(_));
    let right_words = if right_fits && right.row_stride == 1 { 0 } else { right.columns * stride };
    (left_words + right_words <= COPY_WORDS && (right_words == 0 || right.columns <= FEW_COLUMNS)).then_some((left_words, right_words))
}

/// Words between rows of a copy.
fn copy_stride(term: &Term, kind: WordKind) -> usize {
    term.left.columns.div_ceil(kind.elements()).next_multiple_of(16)
}

/// A term, what its words are, and the words of copies of its operands.
type Suited<'a> = (&'a Term<'a>, WordKind, (usize, usize));

/// The terms that count, or `None` where another way is better.
fn suitable<'a>(product: &'a Product<'a>, has_pairs: bool, few_rows: usize) -> Option<Vec<Suited<'a>>> {
    let (m, n) = (product.output.rows(), product.output.columns());
    let terms = product.terms.iter().filter(|term| term.scale != 0.0 && term.left.columns > 0);
    let terms: Option<Vec<_>> = terms
        .map(|term| {
            let kind = plan::word_kind(term, has_pairs);
            copies(term, kind).map(|words| (term, kind, words))
        })
        .collect();
    let terms = terms.filter(|terms| !terms.is_empty())?;
    let words: usize = terms.iter().map(|(term, kind, _)| term.left.columns.div_ceil(kind.elements())).sum();
    (m <= 4 || words >= 64 && (m <= few_rows || n <= FEW_COLUMNS && few_rows > FEW_COLUMNS)).then_some(terms)
}

/// Computes a product in dot products where that is the better way; says whether it did.
pub(super) fn run<K: MicroKernel + DotKernel>(
    context: &Context,
    product: &Product,
    bias: Option<&[f32]>,
    target: (TilePointer, usize),
) -> bool {
    let Some(terms) = suitable(product, K::HAS_PAIRS, K::FEW_ROWS) else {
        return false;
    };
    Scratch::with(|scratch| {
        let copied = scratch.words(terms.iter().map(|(_, _, words)| words.0 + words.1).sum());
        let mut first_word = 0;
        let mut before = None;
        let segments: Vec<_> = terms
            .iter()
            .map(|&(term, kind, words)| {
                // SAFETY: each copy has its own part of `copied`, as long as `copies` said.
                let segment = unsafe {
                    let left = copied.at(first_word);
                    let right = copied.at(first_word + words.0);
                    segment(term, kind, (words.0 > 0).then_some(left), (words.1 > 0).then_some(right), before)
                };
                first_word += words.0 + words.1;
                before = Some(term.scale);
                segment
            })
            .collect();
        let shape = Block { m: product.output.rows(), n: product.output.columns() };
        let place = Place { target, accumulate: product.epilogue.accumulate, scale: before.unwrap_or(1.0), bias };
        let words = terms.iter().map(|(term, kind, _)| term.left.columns.div_ceil(kind.elements())).sum();
        let tasks = shape.tasks(words, K::DOT_ROWS);
        context.for_each(tasks.len(), |index| {
            // SAFETY: the instruction set is that of the context, the segments cover all rows and
            // columns, and tasks are disjoint parts of the output.
            unsafe { shape.compute::<K>(&tasks[index], &segments, &place) };
        });
    });
    true
}

/// # Safety
/// The copies have room for their operand.
unsafe fn segment(term: &Term, kind: WordKind, left: Option<*mut u32>, right: Option<*mut u32>, before: Option<f32>) -> DotSegment {
    let stride = copy_stride(term, kind);
    let (left, left_row_stride) = match left {
        None => (start(&term.left), term.left.row_stride * element_bytes(&term.left)),
        // SAFETY: by the contract.
        Some(out) => unsafe { (copy(&term.left.transposed(), kind, stride, out), stride * 4) },
    };
    let (right, right_column_stride, right_is_bf16) = match right {
        None => {
            let stride_bytes = term.right.column_stride * element_bytes(&term.right);
            (start(&term.right), stride_bytes, matches!(term.right.data, DataRef::Bf16(_)))
        }
        // SAFETY: by the contract.
        Some(out) => unsafe { (copy(&term.right, kind, stride, out), stride * 4, kind == WordKind::Pair) },
    };
    let rescale = before.map_or(1.0, |before| before / term.scale);
    DotSegment { kind, right_is_bf16, left, left_row_stride, right, right_column_stride, elements: term.left.columns, rescale }
}

fn start(matrix: &MatrixRef) -> *const u8 {
    match matrix.data {
        DataRef::F32(data) => data.as_ptr().cast(),
        DataRef::Bf16(data) => data.as_ptr().cast(),
        DataRef::F16(data) => data.as_ptr().cast(),
    }
}

/// Copies the columns of a k × columns matrix one after another.
///
/// # Safety
/// `out` has room for `stride` words a column.
unsafe fn copy(matrix: &MatrixRef, kind: WordKind, stride: usize, out: *mut u32) -> *const u8 {
    /// # Safety
    /// As [`copy`].
    unsafe fn elements<T: PackElement>(data: &[T], matrix: &MatrixRef, kind: WordKind, stride: usize, out: *mut u32) {
        let strides = (matrix.row_stride, matrix.column_stride);
        // SAFETY: by the contract.
        unsafe { pack::copy_strided(data, strides, (matrix.rows, kind), matrix.columns, stride, out) };
    }
    // SAFETY: by the contract.
    unsafe {
        match matrix.data {
            DataRef::F32(data) => elements(data, matrix, kind, stride, out),
            DataRef::Bf16(data) => elements(data, matrix, kind, stride, out),
            DataRef::F16(data) => elements(data, matrix, kind, stride, out),
        }
    }
    out.cast()
}

/// What all blocks of a product share of the output.
struct Place<'a> {
    target: (TilePointer, usize),
    accumulate: bool,
    scale: f32,
    bias: Option<&'a [f32]>,
}

/// The whole output.
struct Block {
    m: usize,
    n: usize,
}

impl Block {
    /// Rows and columns of each task: the longer side is cut.
    fn tasks(&self, words: usize, block_rows: usize) -> Vec<(Range<usize>, Range<usize>)> {
        // A row alone costs what reading the other operand costs.
        let cost = self.m.max(4) * self.n.max(4) * words;
        let parts = cost.div_ceil((cost / 16).clamp(TASK_WORDS.start, TASK_WORDS.end));
        let (all, step) = if self.n >= self.m { (self.n, COLUMNS) } else { (self.m, block_rows) };
        let size = all.div_ceil(parts).next_multiple_of(step);
        let ranges = (0..all).step_by(size).map(|first| first..all.min(first + size));
        ranges.map(|range| if self.n >= self.m { (0..self.m, range) } else { (range, 0..self.n) }).collect()
    }

    /// Computes one task: the smaller operand is read again for every block of the larger one.
    ///
    /// # Safety
    /// As [`DotKernel::dots`], for all blocks of the task.
    unsafe fn compute<K: DotKernel>(&self, (rows, columns): &(Range<usize>, Range<usize>), segments: &[DotSegment], place: &Place) {
        let mut local = segments.to_vec();
        let mut block = |row: usize, column: usize| {
            for (segment, whole) in local.iter_mut().zip(segments) {
                segment.left = whole.left.wrapping_add(row * whole.left_row_stride);
                segment.right = whole.right.wrapping_add(column * whole.right_column_stride);
            }
            let offset = row * place.target.1 + column;
            let tile = TilePlace {
                pointer: match place.target.0 {
                    TilePointer::F32(pointer) => TilePointer::F32(pointer.wrapping_add(offset)),
                    TilePointer::Bf16(pointer) => TilePointer::Bf16(pointer.wrapping_add(offset)),
                },
                row_stride: place.target.1,
                column_stride: 1,
                columns: COLUMNS.min(columns.end - column),
                scale: place.scale,
                accumulate: place.accumulate,
                bias: place.bias.map_or(std::ptr::null(), |bias| bias[column..].as_ptr()),
            };
            // SAFETY: row and column are inside the task; all else by the contract.
            unsafe { K::dots(K::DOT_ROWS.min(rows.end - row), tile.columns, &local, &tile) };
        };
        if self.n >= self.m {
            columns.clone().step_by(COLUMNS).for_each(|column| rows.clone().step_by(K::DOT_ROWS).for_each(|row| block(row, column)));
        } else {
            rows.clone().step_by(K::DOT_ROWS).for_each(|row| columns.clone().step_by(COLUMNS).for_each(|column| block(row, column)));
        }
    }
}
