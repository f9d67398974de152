//! The AVX2 body of a block of dot products; both operands lie along k and are read in place.
//! Written in intrinsics, since sums in plain arrays were added up lane by lane at every end.

use std::arch::x86_64::*;

use super::avx2::Kernel;
use super::dots::{DotKernel, DotSegment, dispatch_dots};
use super::tile::{TilePlace, write_tile};
use super::zmm::each_sum;

/// Elements of a step along k.
const STEP: usize = 8;

impl DotKernel for Kernel {
    const DOT_ROWS: usize = 2;
    /// Measured at 576 × 576 to 576 × 1,536: 8 rows reach 70% of the peak, 16 rows by tiles 33%.
    const FEW_ROWS: usize = 16;

    unsafe fn dots(rows: usize, columns: usize, segments: &[DotSegment], place: &TilePlace) {
        // SAFETY: the set was detected; all else is the caller's contract.
        unsafe { dispatch_dots!(rows, columns, segments, place; (1, 1) (1, 2) (1, 3) (1, 4) (2, 1) (2, 2) (2, 3) (2, 4)) }
    }
}

/// # Safety
/// As [`DotKernel::dots`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots<const R: usize, const C: usize>(segments: &[DotSegment], place: &TilePlace) {
    let mut sums = [[_mm256_setzero_ps(); C]; R];
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 && segment.rescale != 1.0 {
            let factor = _mm256_set1_ps(segment.rescale);
            each_sum!(r < R, c < C, { sums[r][c] = _mm256_mul_ps(sums[r][c], factor) });
        }
        // SAFETY: by the contract of the segment.
        unsafe {
            match segment.right_is_bf16 {
                true => add_dots::<R, C, true>(&mut sums, segment),
                false => add_dots::<R, C, false>(&mut sums, segment),
            }
        }
    }
    let mut results = [[0.0f32; 4]; R];
    for (row, result) in sums.iter().zip(&mut results) {
        let sum = |c: usize| if c < C { row[c] } else { _mm256_setzero_ps() };
        // SAFETY: the result has four elements.
        unsafe { _mm_storeu_ps(result.as_mut_ptr(), sum_each(sum(0), sum(1), sum(2), sum(3))) };
    }
    // SAFETY: by the contract.
    unsafe { write_tile(results.as_flattened(), 4, place) };
}

/// The sums of all lanes of four vectors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_each(a: __m256, b: __m256, c: __m256, d: __m256) -> __m128 {
    let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves))
}

/// Adds the products of one segment to the sums.
///
/// # Safety
/// As [`DotKernel::dots`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_dots<const R: usize, const C: usize, const BF16: bool>(sums: &mut [[__m256; C]; R], segment: &DotSegment) {
    let mut local = *sums;
    let size = if BF16 { 2 } else { 4 };
    let whole = segment.elements / STEP * STEP;
    let mut first = 0;
    while first < whole {
        let mut left = [_mm256_setzero_ps(); R];
        for (r, vector) in left.iter_mut().enumerate() {
            // SAFETY: 8 elements of the row from `first` on are readable.
            *vector = unsafe { _mm256_loadu_ps(segment.left.add(r * segment.left_row_stride + 4 * first).cast()) };
        }
        for c in 0..C {
            // SAFETY: 8 elements of the column from `first` on are readable.
            let right = unsafe { load::<BF16>(segment.right.add(c * segment.right_column_stride + size * first)) };
            for r in 0..R {
                local[r][c] = _mm256_fmadd_ps(left[r], right, local[r][c]);
            }
        }
        first += STEP;
    }
    let rest = segment.elements - whole;
    if rest > 0 {
        for c in 0..C {
            // SAFETY: `rest` elements of the column from `whole` on are readable.
            let right = unsafe { load_rest::<BF16>(segment.right.add(c * segment.right_column_stride + size * whole), rest) };
            for (r, row) in local.iter_mut().enumerate() {
                // SAFETY: `rest` elements of the row from `whole` on are readable.
                let left = unsafe { load_rest::<false>(segment.left.add(r * segment.left_row_stride + 4 * whole), rest) };
                row[c] = _mm256_fmadd_ps(left, right, row[c]);
            }
        }
    }
    *sums = local;
}

/// # Safety
/// 8 elements are readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load<const BF16: bool>(from: *const u8) -> __m256 {
    // SAFETY: by the contract.
    unsafe {
        match BF16 {
            true => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())))),
            false => _mm256_loadu_ps(from.cast()),
        }
    }
}

/// Some elements, and zeros behind them.
///
/// # Safety
/// `count` elements, at most 8, are readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_rest<const BF16: bool>(from: *const u8, count: usize) -> __m256 {
    let mut elements = [0u8; 4 * STEP];
    let size = if BF16 { 2 } else { 4 };
    // SAFETY: by the contract; the copy has room for 8 elements.
    unsafe {
        std::ptr::copy_nonoverlapping(from, elements.as_mut_ptr(), size * count);
        load::<BF16>(elements.as_ptr())
    }
}
