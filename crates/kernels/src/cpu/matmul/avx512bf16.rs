//! The micro-kernel for processors with `vdpbf16ps`: two products a lane and instruction.

use std::arch::x86_64::*;

use super::dots::{DotKernel, DotSegment, dispatch_dots};
use super::plan::WordKind;
use super::tile::{MicroKernel, TilePlace, TilePointer, TileSegment, dispatch_tile, write_tile};
use super::zmm::{each_sum, zmm_kernel};
use super::zmm_dots::zmm_dots;

zmm_kernel!("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16", true, add_pairs, round);
zmm_dots!("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16", true, add_pairs, round, to_pairs);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn add_pairs(sums: __m512, left: __m512i, right: __m512i) -> __m512 {
    // SAFETY: both types are 512 plain bits.
    let (left, right) = unsafe { (std::mem::transmute::<__m512i, __m512bh>(left), std::mem::transmute::<__m512i, __m512bh>(right)) };
    _mm512_dpbf16_ps(sums, left, right)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn round(sums: __m512) -> __m256i {
    // SAFETY: both types are 256 plain bits.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(sums)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn to_pairs(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are 512 plain bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}
