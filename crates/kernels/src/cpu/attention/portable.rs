//! Attention's instructions as arrays of 16 numbers, which any compiler turns into vector code.

use super::heads::HeadSlice;
use super::kernel::{EXP2_TAIL, Kernel, LANES, LEAST_POWER, Product, load_row_f32, run_product, transpose_words};

/// The path without special instructions.
pub(super) struct Path;

/// As in `exponential`.
const ROUNDING: f32 = super::exponential::ROUNDING;

#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

impl Kernel for Path {
    type Vector = [f32; LANES];
    type Packed = [f32; LANES];
    type Cell = f32;
    const PAIR: usize = 1;
    const ROWS: [usize; 3] = [2, 1, 1];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: passed on to the caller.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(into: *mut f32, value: Self::Vector) {
        // SAFETY: passed on to the caller.
        unsafe { into.cast::<[f32; LANES]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        map(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        map(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        map(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        map(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        map(map(a, b, |a, b| a * b), c, |product, c| product + c)
    }
    #[inline(always)]
    unsafe fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        map(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn keep(value: Self::Vector, key: f32, start: Self::Vector, end: Self::Vector, otherwise: Self::Vector) -> Self::Vector {
        let mut out = otherwise;
        for lane in 0..LANES {
            out[lane] = if start[lane] <= key && key < end[lane] { value[lane] } else { otherwise[lane] };
        }
        out
    }
    #[inline(always)]
    unsafe fn exp2(x: Self::Vector) -> Self::Vector {
        let mut out = x;
        for value in &mut out {
            let clamped = if *value < LEAST_POWER { LEAST_POWER } else { *value };
            let shifted = clamped + ROUNDING;
            let rest = clamped - (shifted - ROUNDING);
            let [a, b, c, d, e, f] = EXP2_TAIL;
            let fraction = 1.0 + rest * (a + rest * (b + rest * (c + rest * (d + rest * (e + rest * f)))));
            let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUNDING.to_bits()).wrapping_add(127).wrapping_shl(23));
            *value = if *value < LEAST_POWER { 0.0 } else { fraction * power };
        }
        out
    }
    #[inline(always)]
    unsafe fn load_cells(from: *const f32) -> Self::Packed {
        // SAFETY: passed on to the caller.
        unsafe { Self::load(from) }
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::Vector, cells: Self::Packed, cell: f32) -> Self::Vector {
        map(sums, cells, |sum, value| sum + value * cell)
    }
    #[inline(always)]
    unsafe fn store_along(into: *mut f32, values: Self::Vector) {
        // SAFETY: passed on to the caller.
        unsafe { Self::store(into, values) }
    }
    #[inline(always)]
    unsafe fn store_across(into: *mut f32, stride: usize, first: Self::Vector, second: Self::Vector) {
        // SAFETY: passed on to the caller.
        unsafe {
            Self::store(into, first);
            Self::store(into.add(stride), second);
        }
    }
    #[inline(always)]
    unsafe fn load_row(into: *mut f32, from: HeadSlice<'_>, width_padded: usize) {
        // SAFETY: passed on to the caller.
        unsafe { load_row_f32(into, from, width_padded) }
    }
    #[inline(always)]
    unsafe fn across(_: *mut f32, _: *const f32, _: *const f32, _: usize) {
        unreachable!("cells of one value are the same along and across");
    }
    #[inline(always)]
    unsafe fn transpose(into: *mut u32, into_stride: usize, from: *const u32, from_stride: usize) {
        // SAFETY: passed on to the caller.
        unsafe { transpose_words(into, into_stride, from, from_stride) }
    }
    unsafe fn product(product: &Product<f32>) {
        // SAFETY: passed on to the caller.
        unsafe { run_product::<Path>(product) }
    }
    unsafe fn forward_task(forward: &super::forward::Forward<'_>, task: &super::plan::Task, scratch: &mut super::scratch::Scratch) {
        // SAFETY: passed on to the caller.
        unsafe { super::forward::run_task::<Path>(forward, task, scratch) }
    }
    unsafe fn backward_task(backward: &super::backward::Backward<'_>, task: &super::plan::Task, scratch: &mut super::scratch::Scratch) {
        // SAFETY: passed on to the caller.
        unsafe { super::backward::run_task::<Path>(backward, task, scratch) }
    }
}
