//! What the blocked attention asks of an instruction set, and the products built on it.
//!
//! A vector holds 16 `f32`. Operands of products are stored in cells: one `f32`, or two bf16
//! values that follow each other along the summed axis, so that one instruction multiplies and
//! adds both.

#![expect(clippy::needless_range_loop, reason = "rows and columns of register tiles are counted, not iterated")]

use super::heads::HeadSlice;
use crate::dtype::Element;

/// Numbers in a vector.
pub(super) const LANES: usize = 16;
/// Rows of a product come in multiples of this.
pub(super) const GRAIN: usize = 8;
/// Vectors beside each other in a product.
pub(super) const MOST_COLUMNS: usize = 3;

/// 2^r = 1 + r · Σ these · r^i on |r| <= 1/2, to 2e-9: a minimax fit (Lawson's reweighted least
/// squares, 80 rounds).
pub(super) const EXP2_TAIL: [f32; 6] =
    [std::f32::consts::LN_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_5, 0.000_153_533_6];
/// Below this, 2^x is 0.
pub(super) const LEAST_POWER: f32 = -126.0;

/// How the sums of a product begin.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// From zero.
    Zero,
    /// From what the output holds.
    Add,
    /// From what the output holds, times a factor for each column.
    Scaled(*const f32),
}

/// `c = start + a · b`, where b and c have `columns` vectors a row.
#[derive(Clone, Copy)]
pub(super) struct Product<C> {
    /// Cell (row, i) is at `row * a_row_stride + i * a_cell_stride`.
    pub(super) a: *const C,
    pub(super) a_row_stride: usize,
    pub(super) a_cell_stride: usize,
    /// Cells (i, column) are at `i * b_stride + column`.
    pub(super) b: *const C,
    pub(super) b_stride: usize,
    /// Cells along the summed axis.
    pub(super) cells: usize,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    /// A multiple of [`GRAIN`].
    pub(super) rows: usize,
    /// Vectors a row, at most [`MOST_COLUMNS`].
    pub(super) columns: usize,
    pub(super) start: Start,
}

/// Instructions of one code path.
///
/// # Safety
/// Every function needs the processor to have them, and pointers valid for what it reads or
/// writes: 16 numbers, or the cells named.
pub(super) trait Kernel: 'static {
    /// 16 numbers.
    type Vector: Copy;
    /// 16 cells.
    type Packed: Copy;
    /// An operand's element.
    type Cell: Copy + Default;
    /// Values in a cell.
    const PAIR: usize;
    /// Rows that are summed at once beside 1, 2 or 3 vectors; each divides [`GRAIN`].
    const ROWS: [usize; MOST_COLUMNS];

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(into: *mut f32, value: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b + c.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `value` where `start <= key < end`, else `otherwise`.
    unsafe fn keep(value: Self::Vector, key: f32, start: Self::Vector, end: Self::Vector, otherwise: Self::Vector) -> Self::Vector;
    /// 2^x; 0 below [`LEAST_POWER`]. x is at most 127.
    unsafe fn exp2(x: Self::Vector) -> Self::Vector;
    /// Sixteen neighbouring cells.
    unsafe fn load_cells(from: *const Self::Cell) -> Self::Packed;
    /// `sums + cells · cell`.
    unsafe fn dot(sums: Self::Vector, cells: Self::Packed, cell: Self::Cell) -> Self::Vector;
    /// Stores numbers that are neighbours along the summed axis.
    unsafe fn store_along(into: *mut Self::Cell, values: Self::Vector);
    /// Stores two rows that are neighbours along the summed axis; where a cell holds one value,
    /// the second row goes `stride` cells further.
    unsafe fn store_across(into: *mut Self::Cell, stride: usize, first: Self::Vector, second: Self::Vector);
    /// Brings one head of one row into cells along it; `into` has room for `width_padded`
    /// values, the rest of which become 0.
    unsafe fn load_row(into: *mut Self::Cell, from: HeadSlice<'_>, width_padded: usize);
    /// Cells across two rows from cells along each: `width_padded` of them.
    unsafe fn across(into: *mut Self::Cell, first: *const Self::Cell, second: *const Self::Cell, width_padded: usize);
    /// `into[j * into_stride + i] = from[i * from_stride + j]` for 16 × 16 words.
    unsafe fn transpose(into: *mut u32, into_stride: usize, from: *const u32, from_stride: usize);
    /// A product, compiled for this path.
    unsafe fn product(product: &Product<Self::Cell>);
    /// One task of the forward, compiled for this path.
    unsafe fn forward_task(forward: &super::forward::Forward<'_>, task: &super::plan::Task, scratch: &mut super::scratch::Scratch);
    /// One task of the backward, compiled for this path.
    unsafe fn backward_task(backward: &super::backward::Backward<'_>, task: &super::plan::Task, scratch: &mut super::scratch::Scratch);

    /// tanh by Lambert's continued fraction near 0, by the exponential elsewhere.
    #[inline(always)]
    unsafe fn tanh(x: Self::Vector) -> Self::Vector {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut values = [0f32; LANES];
            Self::store(values.as_mut_ptr(), x);
            for value in &mut values {
                *value = super::exponential::tanh(*value);
            }
            Self::load(values.as_ptr())
        }
    }
}

/// Runs a product in tiles whose sums stay in registers.
///
/// # Safety
/// As [`Kernel`]; the operands hold what the product names.
#[inline(always)]
pub(super) unsafe fn run_product<K: Kernel>(product: &Product<K::Cell>) {
    debug_assert!(product.rows.is_multiple_of(GRAIN));
    // SAFETY: passed on to the caller; constants are compared so that one arm is compiled.
    unsafe {
        match product.columns {
            1 => match K::ROWS[0] {
                8 => sweep::<K, 8, 1>(product),
                4 => sweep::<K, 4, 1>(product),
                _ => sweep::<K, 2, 1>(product),
            },
            2 => match K::ROWS[1] {
                8 => sweep::<K, 8, 2>(product),
                2 => sweep::<K, 2, 2>(product),
                _ => sweep::<K, 1, 2>(product),
            },
            _ => match K::ROWS[2] {
                8 => sweep::<K, 8, 3>(product),
                2 => sweep::<K, 2, 3>(product),
                _ => sweep::<K, 1, 3>(product),
            },
        }
    }
}

#[inline(always)]
unsafe fn sweep<K: Kernel, const ROWS: usize, const COLUMNS: usize>(product: &Product<K::Cell>) {
    for row in (0..product.rows).step_by(ROWS) {
        // SAFETY: passed on to the caller.
        unsafe { tile::<K, ROWS, COLUMNS>(product, row) };
    }
}

#[inline(always)]
unsafe fn tile<K: Kernel, const ROWS: usize, const COLUMNS: usize>(product: &Product<K::Cell>, first_row: usize) {
    // SAFETY: passed on to the caller.
    unsafe {
        let c = product.c.add(first_row * product.c_stride);
        let mut sums = [[K::splat(0.0); COLUMNS]; ROWS];
        match product.start {
            Start::Zero => {}
            Start::Add => {
                for row in 0..ROWS {
                    for column in 0..COLUMNS {
                        sums[row][column] = K::load(c.add(row * product.c_stride + column * LANES));
                    }
                }
            }
            Start::Scaled(factors) => {
                for row in 0..ROWS {
                    for column in 0..COLUMNS {
                        let factor = K::load(factors.add(column * LANES));
                        sums[row][column] = K::multiply(K::load(c.add(row * product.c_stride + column * LANES)), factor);
                    }
                }
            }
        }
        let mut a = [product.a; ROWS];
        for row in 0..ROWS {
            a[row] = product.a.add((first_row + row) * product.a_row_stride);
        }
        let mut b = product.b;
        let mut offset = 0;
        for _ in 0..product.cells {
            let mut cells = [K::load_cells(b); COLUMNS];
            for column in 1..COLUMNS {
                cells[column] = K::load_cells(b.add(column * LANES));
            }
            for row in 0..ROWS {
                let cell = *a[row].add(offset);
                for column in 0..COLUMNS {
                    sums[row][column] = K::dot(sums[row][column], cells[column], cell);
                }
            }
            b = b.add(product.b_stride);
            offset += product.a_cell_stride;
        }
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                K::store(c.add(row * product.c_stride + column * LANES), sums[row][column]);
            }
        }
    }
}

/// A product whose rows may be wider than [`MOST_COLUMNS`] vectors.
///
/// # Safety
/// As [`run_product`].
#[inline(always)]
pub(super) unsafe fn wide_product<K: Kernel>(product: &Product<K::Cell>) {
    let mut column = 0;
    while column < product.columns {
        let columns = (product.columns - column).min(MOST_COLUMNS);
        // Four vectors go as two and two.
        let columns = if product.columns - column == MOST_COLUMNS + 1 { 2 } else { columns };
        // SAFETY: a part of what the caller vouches for.
        unsafe {
            let start = match product.start {
                Start::Scaled(factors) => Start::Scaled(factors.add(column * LANES)),
                other => other,
            };
            let (b, c) = (product.b.add(column * LANES), product.c.add(column * LANES));
            K::product(&Product { b, c, columns, start, ..*product });
        }
        column += columns;
    }
}

/// Brings a head of a row, of any type, into `f32` cells.
///
/// # Safety
/// `into` has room for `width_padded` values.
#[inline(always)]
pub(super) unsafe fn load_row_f32(into: *mut f32, from: HeadSlice<'_>, width_padded: usize) {
    // SAFETY: the caller vouches for the room.
    let into = unsafe { std::slice::from_raw_parts_mut(into, width_padded) };
    let width = match from {
        HeadSlice::F32(from) => {
            into.iter_mut().zip(from).for_each(|(into, from)| *into = *from);
            from.len()
        }
        HeadSlice::Bf16(from) => {
            into.iter_mut().zip(from).for_each(|(into, from)| *into = Element::to_f32(*from));
            from.len()
        }
        HeadSlice::F16(from) => {
            into.iter_mut().zip(from).for_each(|(into, from)| *into = Element::to_f32(*from));
            from.len()
        }
    };
    for value in &mut into[width..] {
        *value = 0.0;
    }
}

/// [`Kernel::transpose`] one word at a time.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn transpose_words(into: *mut u32, into_stride: usize, from: *const u32, from_stride: usize) {
    for i in 0..LANES {
        for j in 0..LANES {
            // SAFETY: passed on to the caller.
            unsafe { *into.add(j * into_stride + i) = *from.add(i * from_stride + j) };
        }
    }
}

/// The functions of [`Kernel`] that are compiled whole for a path.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($features:literal) => {
        unsafe fn product(product: &$crate::cpu::attention::kernel::Product<Self::Cell>) {
            #[target_feature(enable = $features)]
            unsafe fn compiled(product: &$crate::cpu::attention::kernel::Product<<Path as Kernel>::Cell>) {
                // SAFETY: passed on to the caller.
                unsafe { $crate::cpu::attention::kernel::run_product::<Path>(product) }
            }
            // SAFETY: passed on to the caller.
            unsafe { compiled(product) }
        }
        unsafe fn forward_task(
            forward: &$crate::cpu::attention::forward::Forward<'_>,
            task: &$crate::cpu::attention::plan::Task,
            scratch: &mut $crate::cpu::attention::scratch::Scratch,
        ) {
            #[target_feature(enable = $features)]
            unsafe fn compiled(
                forward: &$crate::cpu::attention::forward::Forward<'_>,
                task: &$crate::cpu::attention::plan::Task,
                scratch: &mut $crate::cpu::attention::scratch::Scratch,
            ) {
                // SAFETY: passed on to the caller.
                unsafe { $crate::cpu::attention::forward::run_task::<Path>(forward, task, scratch) }
            }
            // SAFETY: passed on to the caller.
            unsafe { compiled(forward, task, scratch) }
        }
        unsafe fn backward_task(
            backward: &$crate::cpu::attention::backward::Backward<'_>,
            task: &$crate::cpu::attention::plan::Task,
            scratch: &mut $crate::cpu::attention::scratch::Scratch,
        ) {
            #[target_feature(enable = $features)]
            unsafe fn compiled(
                backward: &$crate::cpu::attention::backward::Backward<'_>,
                task: &$crate::cpu::attention::plan::Task,
                scratch: &mut $crate::cpu::attention::scratch::Scratch,
            ) {
                // SAFETY: passed on to the caller.
                unsafe { $crate::cpu::attention::backward::run_task::<Path>(backward, task, scratch) }
            }
            // SAFETY: passed on to the caller.
            unsafe { compiled(backward, task, scratch) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compiled;
