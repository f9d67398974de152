//! The micro-kernel for AVX-512 without bf16 products: everything is multiplied in F32.

use std::arch::x86_64::*;

use super::dots::{DotKernel, DotSegment, dispatch_dots};
use super::plan::WordKind;
use super::tile::{MicroKernel, TilePlace, TilePointer, TileSegment, dispatch_tile, write_tile};
use super::zmm::{each_sum, zmm_kernel};
use super::zmm_dots::zmm_dots;

zmm_kernel!("avx512f,avx512bw,avx512dq,avx512vl", false, add_pairs, round);
zmm_dots!("avx512f,avx512bw,avx512dq,avx512vl", false, add_pairs, round, to_pairs);

/// The same sum as `vdpbf16ps`, from two F32 products; only reached if a plan had pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_pairs(sums: __m512, left: __m512i, right: __m512i) -> __m512 {
    let low = |words| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words));
    let high = |words| _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32)));
    _mm512_fmadd_ps(low(left), low(right), _mm512_fmadd_ps(high(left), high(right), sums))
}

/// Rounds to nearest, ties to even; NaN stays NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn round(sums: __m512) -> __m256i {
    let bits = _mm512_castps_si512(sums);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sums, sums);
    let kept = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x40_0000));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(kept))
}

/// Pairs of 32 sums; only reached if a plan had pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn to_pairs(low: __m512, high: __m512) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(round(low)), round(high))
}
