//! Attention's instructions on AVX2 with fused multiply-add: two registers a vector.

#![expect(clippy::needless_range_loop, reason = "rows and columns of register tiles are counted, not iterated")]

use std::arch::x86_64::*;

use super::exponential::ROUNDING;
use super::heads::HeadSlice;
use super::kernel::{EXP2_TAIL, Kernel, LEAST_POWER, compiled, load_row_f32};

/// The path of AVX2.
pub(super) struct Path;

/// Applies an instruction to both halves.
macro_rules! halves {
    ($instruction:ident, $a:expr, $b:expr) => {
        // SAFETY: the caller of the kernel vouches for the instructions.
        unsafe { [$instruction($a[0], $b[0]), $instruction($a[1], $b[1])] }
    };
}

impl Kernel for Path {
    type Vector = [__m256; 2];
    type Packed = [__m256; 2];
    type Cell = f32;
    const PAIR: usize = 1;
    const ROWS: [usize; 3] = [4, 2, 2];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        // SAFETY: passed on to the caller.
        unsafe { [_mm256_set1_ps(value); 2] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: passed on to the caller.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(into: *mut f32, value: Self::Vector) {
        // SAFETY: passed on to the caller.
        unsafe {
            _mm256_storeu_ps(into, value[0]);
            _mm256_storeu_ps(into.add(8), value[1]);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        halves!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        halves!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        halves!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        halves!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // SAFETY: passed on to the caller.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
    #[inline(always)]
    unsafe fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        halves!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    unsafe fn keep(value: Self::Vector, key: f32, start: Self::Vector, end: Self::Vector, otherwise: Self::Vector) -> Self::Vector {
        let mut out = otherwise;
        for half in 0..2 {
            // SAFETY: passed on to the caller.
            unsafe {
                let key = _mm256_set1_ps(key);
                let seen = _mm256_and_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(start[half], key), _mm256_cmp_ps::<_CMP_LT_OQ>(key, end[half]));
                out[half] = _mm256_blendv_ps(otherwise[half], value[half], seen);
            }
        }
        out
    }
    #[inline(always)]
    unsafe fn exp2(x: Self::Vector) -> Self::Vector {
        let mut out = x;
        for value in &mut out {
            // SAFETY: passed on to the caller.
            unsafe {
                let least = _mm256_set1_ps(LEAST_POWER);
                let clamped = _mm256_max_ps(least, *value);
                let shifted = _mm256_add_ps(clamped, _mm256_set1_ps(ROUNDING));
                let rest = _mm256_sub_ps(clamped, _mm256_sub_ps(shifted, _mm256_set1_ps(ROUNDING)));
                let mut fraction = _mm256_set1_ps(EXP2_TAIL[5]);
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(EXP2_TAIL[4]));
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(EXP2_TAIL[3]));
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(EXP2_TAIL[2]));
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(EXP2_TAIL[1]));
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(EXP2_TAIL[0]));
                fraction = _mm256_fmadd_ps(fraction, rest, _mm256_set1_ps(1.0));
                let whole = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(ROUNDING.to_bits() as i32));
                let power = _mm256_slli_epi32::<23>(_mm256_add_epi32(whole, _mm256_set1_epi32(127)));
                let scaled = _mm256_mul_ps(fraction, _mm256_castsi256_ps(power));
                *value = _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(*value, least), scaled);
            }
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
        // SAFETY: passed on to the caller.
        unsafe {
            let cell = _mm256_set1_ps(cell);
            [_mm256_fmadd_ps(cell, cells[0], sums[0]), _mm256_fmadd_ps(cell, cells[1], sums[1])]
        }
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
    /// Four blocks of 8 × 8.
    #[inline(always)]
    unsafe fn transpose(into: *mut u32, into_stride: usize, from: *const u32, from_stride: usize) {
        for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: passed on to the caller.
            unsafe {
                let (from, into) = (from.add(i * from_stride + j), into.add(j * into_stride + i));
                let mut a = [_mm256_setzero_ps(); 8];
                for row in 0..8 {
                    a[row] = _mm256_loadu_ps(from.add(row * from_stride).cast());
                }
                let mut b = a;
                for row in (0..8).step_by(2) {
                    b[row] = _mm256_unpacklo_ps(a[row], a[row + 1]);
                    b[row + 1] = _mm256_unpackhi_ps(a[row], a[row + 1]);
                }
                for row in (0..8).step_by(4) {
                    a[row] = _mm256_shuffle_ps::<0x44>(b[row], b[row + 2]);
                    a[row + 1] = _mm256_shuffle_ps::<0xee>(b[row], b[row + 2]);
                    a[row + 2] = _mm256_shuffle_ps::<0x44>(b[row + 1], b[row + 3]);
                    a[row + 3] = _mm256_shuffle_ps::<0xee>(b[row + 1], b[row + 3]);
                }
                for column in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(a[column], a[4 + column]);
                    let high = _mm256_permute2f128_ps::<0x31>(a[column], a[4 + column]);
                    _mm256_storeu_ps(into.add(column * into_stride).cast(), low);
                    _mm256_storeu_ps(into.add((4 + column) * into_stride).cast(), high);
                }
            }
        }
    }
    compiled!("avx2,fma,f16c");
}
