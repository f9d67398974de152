//! The micro-kernel for AVX2 with fused multiply-add.

use std::arch::x86_64::*;

use super::plan::WordKind;
use super::tile::{MicroKernel, TilePlace, TilePointer, TileSegment, dispatch_tile, write_tile};
use super::zmm::each_sum;

/// Tiles of 6 rows and up to two vectors of 8 columns: 12 sums, two vectors and one word in 15 of
/// 16 registers. With 4 rows and three vectors, 16 of 16, the compiler kept a sum in memory.
pub(super) struct Kernel;

impl MicroKernel for Kernel {
    const ROWS: usize = 6;
    const STRIP_ROWS: usize = 24;
    const LANES: usize = 8;
    const VECTORS: usize = 2;
    const HAS_PAIRS: bool = false;

    unsafe fn tile(rows: usize, vectors: usize, segments: &[TileSegment], place: &TilePlace) {
        // SAFETY: the set was detected; all else is the caller's contract.
        unsafe {
            dispatch_tile!(rows, vectors, segments, place;
                (1, 1) (2, 1) (3, 1) (4, 1) (5, 1) (6, 1) (1, 2) (2, 2) (3, 2) (4, 2) (5, 2) (6, 2)
            );
        }
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
            each_sum!(r < R, v < V, { sums[r][v] = _mm256_mul_ps(sums[r][v], factor) });
        }
        // SAFETY: by the contract of the segment.
        unsafe { add_segment::<R, V>(&mut sums, segment) };
    }
    if place.column_stride != 1 || place.columns != 8 * V {
        let mut memory = [[[0.0; 8]; V]; R];
        // SAFETY: a vector fits in its 8 numbers; all else by the contract of the place.
        return unsafe {
            each_sum!(r < R, v < V, { _mm256_storeu_ps(memory[r][v].as_mut_ptr(), sums[r][v]) });
            write_tile(memory.as_flattened().as_flattened(), 8 * V, place)
        };
    }
    if place.scale != 1.0 {
        let factor = _mm256_set1_ps(place.scale);
        each_sum!(r < R, v < V, { sums[r][v] = _mm256_mul_ps(sums[r][v], factor) });
    }
    if !place.bias.is_null() {
        each_sum!(r < R, v < V, {
            // SAFETY: the bias has as many elements as the place has columns: whole vectors.
            sums[r][v] = _mm256_add_ps(sums[r][v], unsafe { _mm256_loadu_ps(place.bias.add(8 * v)) });
        });
    }
    // SAFETY: by the contract of the place, whose columns are whole vectors.
    unsafe {
        match place.accumulate {
            true => store::<R, V, true>(&sums, place),
            false => store::<R, V, false>(&sums, place),
        }
    }
}

/// Adds the products of one segment to the sums.
///
/// # Safety
/// As [`MicroKernel::tile`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_segment<const R: usize, const V: usize>(sums: &mut [[__m256; V]; R], segment: &TileSegment) {
    let mut local = *sums;
    let (mut left, mut right) = (segment.left, segment.right);
    // SAFETY: words 0 to `words` of `R` rows and `V` vectors are readable.
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
    *sums = local;
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

/// Writes finished sums, added to what is there if `ADD`.
///
/// # Safety
/// The place has `R` rows of `V` whole vectors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store<const R: usize, const V: usize, const ADD: bool>(sums: &[[__m256; V]; R], place: &TilePlace) {
    // SAFETY: by the contract.
    unsafe {
        match place.pointer {
            TilePointer::F32(pointer) => each_sum!(r < R, v < V, {
                let to = pointer.add(r * place.row_stride + 8 * v);
                let sum = if ADD { _mm256_add_ps(sums[r][v], _mm256_loadu_ps(to)) } else { sums[r][v] };
                _mm256_storeu_ps(to, sum);
            }),
            TilePointer::Bf16(pointer) => each_sum!(r < R, v < V, {
                let to = pointer.add(r * place.row_stride + 8 * v).cast::<__m128i>();
                let mut sum = sums[r][v];
                if ADD {
                    let before = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(to)));
                    sum = _mm256_add_ps(sum, _mm256_castsi256_ps(before));
                }
                _mm_storeu_si128(to, round(sum));
            }),
        }
    }
}

/// Rounds to bf16, to nearest, ties to even; NaN stays NaN.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn round(sums: __m256) -> __m128i {
    let bits = _mm256_castps_si256(sums);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
    let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(sums, sums));
    let kept = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, is_nan));
    _mm_packus_epi32(_mm256_castsi256_si128(kept), _mm256_extracti128_si256::<1>(kept))
}
