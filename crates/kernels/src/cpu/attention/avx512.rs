//! Attention's instructions on AVX-512, with operands in `f32` or in pairs of bf16.

use std::arch::x86_64::*;

use super::heads::HeadSlice;
use super::kernel::{EXP2_TAIL, Kernel, LANES, LEAST_POWER, compiled, load_row_f32};

/// What the two paths share: everything on 16 numbers.
macro_rules! numbers {
    () => {
        type Vector = __m512;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(into: *mut f32, value: __m512) {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_storeu_ps(into, value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m512, b: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: __m512, b: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn larger(a: __m512, b: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn keep(value: __m512, key: f32, start: __m512, end: __m512, otherwise: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe {
                let key = _mm512_set1_ps(key);
                let started = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(start, key);
                _mm512_mask_blend_ps(_mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(started, key, end), otherwise, value)
            }
        }
        #[inline(always)]
        unsafe fn exp2(x: __m512) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe {
                // The scale instruction makes zeros of what lies far below, so that this only
                // keeps the fraction of very small numbers in range.
                let clamped = _mm512_max_ps(_mm512_set1_ps(4.0 * LEAST_POWER), x);
                let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(clamped);
                let rest = _mm512_sub_ps(clamped, whole);
                let mut fraction = _mm512_set1_ps(EXP2_TAIL[5]);
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(EXP2_TAIL[4]));
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(EXP2_TAIL[3]));
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(EXP2_TAIL[2]));
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(EXP2_TAIL[1]));
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(EXP2_TAIL[0]));
                fraction = _mm512_fmadd_ps(fraction, rest, _mm512_set1_ps(1.0));
                _mm512_scalef_ps(fraction, whole)
            }
        }
        /// Exchanges rows and columns in four rounds: pairs of words, of pairs, of fours, of
        /// eights.
        #[inline(always)]
        unsafe fn transpose(into: *mut u32, into_stride: usize, from: *const u32, from_stride: usize) {
            // SAFETY: passed on to the caller.
            unsafe {
                let mut a = [_mm512_setzero_si512(); LANES];
                for i in 0..LANES {
                    a[i] = _mm512_loadu_si512(from.add(i * from_stride).cast());
                }
                let mut b = a;
                for i in (0..LANES).step_by(2) {
                    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
                    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
                }
                for i in (0..LANES).step_by(4) {
                    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
                    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
                    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
                    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
                }
                // a[4 * g + c] holds, in its four quarters, columns c, c + 4, c + 8, c + 12 of
                // rows 4g to 4g + 3.
                for c in 0..4 {
                    let low = _mm512_shuffle_i32x4::<0x44>(a[c], a[4 + c]);
                    let high = _mm512_shuffle_i32x4::<0xee>(a[c], a[4 + c]);
                    let low_after = _mm512_shuffle_i32x4::<0x44>(a[8 + c], a[12 + c]);
                    let high_after = _mm512_shuffle_i32x4::<0xee>(a[8 + c], a[12 + c]);
                    b[c] = _mm512_shuffle_i32x4::<0x88>(low, low_after);
                    b[4 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low_after);
                    b[8 + c] = _mm512_shuffle_i32x4::<0x88>(high, high_after);
                    b[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high_after);
                }
                for j in 0..LANES {
                    _mm512_storeu_si512(into.add(j * into_stride).cast(), b[j]);
                }
            }
        }
    };
}

/// Operands in `f32`.
pub(super) mod plain {
    use super::*;

    /// The path of AVX-512 without bf16 products.
    pub(in super::super) struct Path;

    impl Kernel for Path {
        type Packed = __m512;
        type Cell = f32;
        const PAIR: usize = 1;
        const ROWS: [usize; 3] = [8, 8, 8];
        numbers!();

        #[inline(always)]
        unsafe fn load_cells(from: *const f32) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn dot(sums: __m512, cells: __m512, cell: f32) -> __m512 {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_fmadd_ps(_mm512_set1_ps(cell), cells, sums) }
        }
        #[inline(always)]
        unsafe fn store_along(into: *mut f32, values: __m512) {
            // SAFETY: passed on to the caller.
            unsafe { _mm512_storeu_ps(into, values) }
        }
        #[inline(always)]
        unsafe fn store_across(into: *mut f32, stride: usize, first: __m512, second: __m512) {
            // SAFETY: passed on to the caller.
            unsafe {
                _mm512_storeu_ps(into, first);
                _mm512_storeu_ps(into.add(stride), second);
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
        compiled!("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl");
    }
}

/// Operands in pairs of bf16.
pub(super) mod pairs {
    use super::*;
    use crate::dtype::Element;
    use half::bf16;

    /// The path of AVX-512 with bf16 products.
    pub(in super::super) struct Path;

    /// Rounds 16 numbers to bf16.
    #[inline(always)]
    unsafe fn rounded(values: __m512) -> __m256i {
        // SAFETY: passed on to the caller; both types are 256 bits of any content.
        unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
    }

    impl Kernel for Path {
        type Packed = __m512bh;
        type Cell = u32;
        const PAIR: usize = 2;
        const ROWS: [usize; 3] = [8, 8, 8];
        numbers!();

        #[inline(always)]
        unsafe fn load_cells(from: *const u32) -> __m512bh {
            // SAFETY: passed on to the caller; both types are 512 bits of any content.
            unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
        }
        #[inline(always)]
        unsafe fn dot(sums: __m512, cells: __m512bh, cell: u32) -> __m512 {
            // SAFETY: passed on to the caller; both types are 512 bits of any content.
            unsafe { _mm512_dpbf16_ps(sums, cells, std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(cell as i32))) }
        }
        #[inline(always)]
        unsafe fn store_along(into: *mut u32, values: __m512) {
            // SAFETY: passed on to the caller.
            unsafe { _mm256_storeu_si256(into.cast(), rounded(values)) }
        }
        #[inline(always)]
        unsafe fn store_across(into: *mut u32, _: usize, first: __m512, second: __m512) {
            // SAFETY: passed on to the caller.
            unsafe {
                let first = _mm512_cvtepu16_epi32(rounded(first));
                let second = _mm512_cvtepu16_epi32(rounded(second));
                _mm512_storeu_si512(into.cast(), _mm512_or_si512(first, _mm512_slli_epi32::<16>(second)));
            }
        }
        #[inline(always)]
        unsafe fn load_row(into: *mut u32, from: HeadSlice<'_>, width_padded: usize) {
            // SAFETY: the caller vouches for the room; a u32 is aligned for two bf16, and the
            // vectors read and write whole sixteens inside the slices.
            unsafe {
                let values = std::slice::from_raw_parts_mut(into.cast::<bf16>(), width_padded);
                let mut done = 0;
                match from {
                    HeadSlice::Bf16(from) => {
                        while done + LANES <= from.len() {
                            let sixteen = _mm256_loadu_si256(from.as_ptr().add(done).cast());
                            _mm256_storeu_si256(values.as_mut_ptr().add(done).cast(), sixteen);
                            done += LANES;
                        }
                        if done < from.len() {
                            values[done..from.len()].copy_from_slice(&from[done..]);
                        }
                        done = from.len();
                    }
                    HeadSlice::F32(from) => {
                        while done + LANES <= from.len() {
                            let sixteen = rounded(_mm512_loadu_ps(from.as_ptr().add(done)));
                            _mm256_storeu_si256(values.as_mut_ptr().add(done).cast(), sixteen);
                            done += LANES;
                        }
                        for index in done..from.len() {
                            values[index] = Element::from_f32(from[index]);
                        }
                        done = from.len();
                    }
                    HeadSlice::F16(from) => {
                        for index in 0..from.len() {
                            values[index] = Element::from_f32(Element::to_f32(from[index]));
                        }
                        done = from.len();
                    }
                }
                for value in &mut values[done..] {
                    *value = bf16::ZERO;
                }
            }
        }
        #[inline(always)]
        unsafe fn across(into: *mut u32, first: *const u32, second: *const u32, width_padded: usize) {
            for column in (0..width_padded).step_by(LANES) {
                // SAFETY: passed on to the caller.
                unsafe {
                    let first = _mm512_cvtepu16_epi32(_mm256_loadu_si256(first.add(column / 2).cast()));
                    let second = _mm512_cvtepu16_epi32(_mm256_loadu_si256(second.add(column / 2).cast()));
                    _mm512_storeu_si512(into.add(column).cast(), _mm512_or_si512(first, _mm512_slli_epi32::<16>(second)));
                }
            }
        }
        compiled!("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");
    }
}
