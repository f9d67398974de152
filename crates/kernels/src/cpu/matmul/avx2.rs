//! The micro-kernel for AVX2 with fused multiply-add.

use std::arch::x86_64::*;

use super::dots::{DotKernel, DotSegment};
use super::plan::WordKind;
use super::tile::{MicroKernel, TilePlace, TileSegment, dispatch_tile, write_tile};

/// Tiles of 4 rows and up to three vectors of 8 columns: 12 sums in registers.
pub(super) struct Kernel;

impl MicroKernel for Kernel {
    const ROWS: usize = 4;
    const LANES: usize = 8;
    const VECTORS: usize = 3;
    const HAS_PAIRS: bool = false;

    unsafe fn tile(rows: usize, vectors: usize, segments: &[TileSegment], place: &TilePlace) {
        // SAFETY: the set was detected; all else is the caller's contract.
        unsafe {
            dispatch_tile!(rows, vectors, segments, place;
                (1, 1) (2, 1) (3, 1) (4, 1) (1, 2) (2, 2) (3, 2) (4, 2) (1, 3) (2, 3) (3, 3) (4, 3)
            );
        }
    }
}

impl DotKernel for Kernel {
    const HAS_DOTS: bool = false;

    unsafe fn dots(_: usize, _: usize, _: &[DotSegment], _: &TilePlace) {
        unreachable!("the driver asks `HAS_DOTS` first");
    }
}

/// # Safety
/// As [`MicroKernel::tile`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize, const V: usize>(segments: &[TileSegment], place: &TilePlace) {
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    for (index, segment) in segments.iter().enumerate() {
        debug_assert_eq!(segment.kind, WordKind::Single);
        if index > 0 && segment.rescale != 1.0 {
            let factor = _mm256_set1_ps(segment.rescale);
            sums.iter_mut().flatten().for_each(|sum| *sum = _mm256_mul_ps(*sum, factor));
        }
        let mut local = sums;
        let (mut left, mut right) = (segment.left, segment.right);
        // SAFETY: by the contract of the segment.
        unsafe {
            for _ in 0..segment.words / 2 {
                add_word::<R, V>(&mut local, left, segment.left_row_stride, right);
                add_word::<R, V>(&mut local, left.add(segment.left_word_stride), segment.left_row_stride, right.add(8 * V));
                left = left.add(2 * segment.left_word_stride);
                right = right.add(16 * V);
            }
            if segment.words % 2 == 1 {
                add_word::<R, V>(&mut local, left, segment.left_row_stride, right);
            }
        }
        sums = local;
    }
    let mut memory = [[0.0; 24]; R];
    for (row, sums) in memory.iter_mut().zip(&sums) {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: three vectors fit in a row of 24.
            unsafe { _mm256_storeu_ps(row.as_mut_ptr().add(8 * v), sum) };
        }
    }
    // SAFETY: by the contract of the place.
    unsafe { write_tile(memory.as_flattened(), 24, place) };
}

/// Adds the products of one word of k to the sums.
///
/// # Safety
/// One word of `R` rows and `V` vectors is readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_word<const R: usize, const V: usize>(
    sums: &mut [[__m256; V]; R],
    left: *const u8,
    left_row_stride: usize,
    right: *const u32,
) {
    let mut vectors = [_mm256_setzero_ps(); V];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: by the contract.
        *vector = unsafe { _mm256_loadu_ps(right.add(8 * v).cast()) };
    }
    for (r, row) in sums.iter_mut().enumerate() {
        // SAFETY: by the contract.
        let word = _mm256_set1_ps(unsafe { left.add(r * left_row_stride).cast::<f32>().read_unaligned() });
        for (sum, &vector) in row.iter_mut().zip(&vectors) {
            *sum = _mm256_fmadd_ps(word, vector, *sum);
        }
    }
}
