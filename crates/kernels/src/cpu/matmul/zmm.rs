//! What the two AVX-512 micro-kernels share: the body of a tile, and turning 16 × 16 words.

use std::arch::x86_64::*;

/// Turns up to 16 × 16 words: row w of the target holds word w of each of 16 source columns.
///
/// # Safety
/// AVX-512F is there; 16 words are readable in each column, `stride_bytes` apart, and 16 words
/// are writable in each of `word_count` rows, `to_stride` words apart.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn turn_block(from: *const u8, stride_bytes: usize, to: *mut u32, to_stride: usize, word_count: usize) {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (column, row) in rows.iter_mut().enumerate() {
        // SAFETY: by the contract.
        *row = unsafe { _mm512_loadu_si512(from.add(column * stride_bytes).cast()) };
    }
    // Within 128-bit lanes first: pairs of words, then pairs of pairs.
    let mut fours = [_mm512_setzero_si512(); 16];
    for group in 0..4 {
        let [a, b, c, d] = [rows[4 * group], rows[4 * group + 1], rows[4 * group + 2], rows[4 * group + 3]];
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        fours[4 * group] = _mm512_unpacklo_epi64(ab_low, cd_low);
        fours[4 * group + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        fours[4 * group + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        fours[4 * group + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // Then whole 128-bit lanes: `fours[4g + j]` holds words j, 4+j, 8+j, 12+j of columns 4g … 4g+3.
    let mut turned = [_mm512_setzero_si512(); 16];
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
        turned[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        turned[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        turned[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        turned[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    for (word, row) in turned.into_iter().enumerate().take(word_count) {
        // SAFETY: by the contract.
        unsafe { _mm512_storeu_si512(to.add(word * to_stride).cast(), row) };
    }
}

/// Repeats a body for each sum of a tile, written out: a loop that the compiler keeps as a loop
/// would move all sums to memory. Up to 8 rows and 4 vectors.
macro_rules! each_sum {
    ($r:ident < $rows:ident, $v:ident < $vectors:ident, $body:block) => {
        each_sum!(@rows $r < $rows, $v < $vectors, $body; 0 1 2 3 4 5 6 7)
    };
    (@rows $r:ident < $rows:ident, $v:ident < $vectors:ident, $body:block; $($row:literal)*) => {{
        $(if $row < $rows {
            let $r = $row;
            each_sum!(@vectors $v < $vectors, $body; 0 1 2 3)
        })*
    }};
    (@vectors $v:ident < $vectors:ident, $body:block; $($vector:literal)*) => {{
        $(if $vector < $vectors {
            let $v = $vector;
            $body
        })*
    }};
}
pub(super) use each_sum;

/// Defines `Kernel`, a micro-kernel of 8 rows and up to 48 columns, for one set of features.
///
/// `$pairs(sums, left, right)` adds the products of pairs of bf16 to sums; `$round` makes 16 bf16
/// of 16 sums. Both are functions of the place of use.
macro_rules! zmm_kernel {
    ($features:literal, $has_pairs:literal, $pairs:ident, $round:ident) => {
        /// Tiles of 8 rows and up to three vectors of 16 columns: 24 sums in registers.
        pub(super) struct Kernel;

        impl MicroKernel for Kernel {
            const ROWS: usize = 8;
            const STRIP_ROWS: usize = 16;
            const LANES: usize = 16;
            const VECTORS: usize = 3;
            const HAS_PAIRS: bool = $has_pairs;

            unsafe fn tile(rows: usize, vectors: usize, segments: &[TileSegment], place: &TilePlace) {
                // SAFETY: the set was detected; all else is the caller's contract.
                unsafe {
                    dispatch_tile!(rows, vectors, segments, place;
                        (1, 1) (2, 1) (3, 1) (4, 1) (5, 1) (6, 1) (7, 1) (8, 1)
                        (1, 2) (2, 2) (3, 2) (4, 2) (5, 2) (6, 2) (7, 2) (8, 2)
                        (1, 3) (2, 3) (3, 3) (4, 3) (5, 3) (6, 3) (7, 3) (8, 3)
                    );
                }
            }
        }

        /// # Safety
        /// As [`MicroKernel::tile`].
        #[target_feature(enable = $features)]
        unsafe fn tile<const R: usize, const V: usize>(segments: &[TileSegment], place: &TilePlace) {
            let mut sums = [[_mm512_setzero_ps(); V]; R];
            for (index, segment) in segments.iter().enumerate() {
                if index > 0 && segment.rescale != 1.0 {
                    let factor = _mm512_set1_ps(segment.rescale);
                    scale_all::<R, V>(&mut sums, factor);
                }
                // SAFETY: by the contract of the segment.
                unsafe {
                    match segment.kind {
                        WordKind::Pair => add_segment::<R, V, true>(&mut sums, segment),
                        WordKind::Single => add_segment::<R, V, false>(&mut sums, segment),
                    }
                }
            }
            if place.scale != 1.0 {
                let factor = _mm512_set1_ps(place.scale);
                scale_all::<R, V>(&mut sums, factor);
            }
            if place.column_stride != 1 {
                // A copy: the address of the sums themselves would keep them out of registers.
                let mut copy = std::mem::MaybeUninit::<[[__m512; V]; R]>::uninit();
                let to = copy.as_mut_ptr().cast::<f32>();
                // SAFETY: vectors are 16 plain numbers each, and all are written before they are
                // read; all else by the contract of the place.
                return unsafe {
                    each_sum!(r < R, v < V, { _mm512_storeu_ps(to.add(16 * (r * V + v)), sums[r][v]) });
                    let numbers = std::slice::from_raw_parts(to.cast_const(), R * V * 16);
                    write_tile(numbers, 16 * V, &TilePlace { scale: 1.0, ..*place })
                };
            }
            let masks: [__mmask16; V] = std::array::from_fn(|v| ((1u32 << place.columns.saturating_sub(16 * v).min(16)) - 1) as __mmask16);
            if !place.bias.is_null() {
                // SAFETY: `bias` has `place.columns` elements, the mask keeps to them.
                let bias: [_; V] = std::array::from_fn(|v| unsafe { _mm512_maskz_loadu_ps(masks[v], place.bias.wrapping_add(16 * v)) });
                each_sum!(r < R, v < V, { sums[r][v] = _mm512_add_ps(sums[r][v], bias[v]) });
            }
            // SAFETY: by the contract of the place.
            unsafe {
                match (place.accumulate, place.columns == 16 * V) {
                    (false, true) => store::<R, V, false, true>(&sums, place, &masks),
                    (false, false) => store::<R, V, false, false>(&sums, place, &masks),
                    (true, true) => store::<R, V, true, true>(&sums, place, &masks),
                    (true, false) => store::<R, V, true, false>(&sums, place, &masks),
                }
            }
        }

        /// Multiplies all sums; in counted loops, which leave them in registers.
        #[inline]
        #[target_feature(enable = $features)]
        fn scale_all<const R: usize, const V: usize>(sums: &mut [[__m512; V]; R], factor: __m512) {
            each_sum!(r < R, v < V, { sums[r][v] = _mm512_mul_ps(sums[r][v], factor) });
        }

        /// Writes finished sums, added to what is there if `ADD`; without masks if `WHOLE`.
        ///
        /// # Safety
        /// The place has `R` rows and the columns that the masks name.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store<const R: usize, const V: usize, const ADD: bool, const WHOLE: bool>(
            sums: &[[__m512; V]; R],
            place: &TilePlace,
            masks: &[__mmask16; V],
        ) {
            // SAFETY: by the contract.
            unsafe {
                match place.pointer {
                    TilePointer::F32(pointer) => each_sum!(r < R, v < V, {
                        let to = pointer.wrapping_add(r * place.row_stride + 16 * v);
                        let sum = match (ADD, WHOLE) {
                            (true, true) => _mm512_add_ps(sums[r][v], _mm512_loadu_ps(to)),
                            (true, false) => _mm512_add_ps(sums[r][v], _mm512_maskz_loadu_ps(masks[v], to)),
                            _ => sums[r][v],
                        };
                        match WHOLE {
                            true => _mm512_storeu_ps(to, sum),
                            false => _mm512_mask_storeu_ps(to, masks[v], sum),
                        }
                    }),
                    TilePointer::Bf16(pointer) => each_sum!(r < R, v < V, {
                        let to = pointer.wrapping_add(r * place.row_stride + 16 * v).cast::<i16>();
                        let mut sum = sums[r][v];
                        if ADD {
                            let before = match WHOLE {
                                true => _mm256_loadu_si256(to.cast()),
                                false => _mm256_maskz_loadu_epi16(masks[v], to),
                            };
                            let before = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(before));
                            sum = _mm512_add_ps(sum, _mm512_castsi512_ps(before));
                        }
                        match WHOLE {
                            true => _mm256_storeu_si256(to.cast(), $round(sum)),
                            false => _mm256_mask_storeu_epi16(to, masks[v], $round(sum)),
                        }
                    }),
                }
            }
        }

        /// Adds the products of one segment to the sums.
        ///
        /// # Safety
        /// As [`MicroKernel::tile`].
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn add_segment<const R: usize, const V: usize, const PAIRS: bool>(sums: &mut [[__m512; V]; R], segment: &TileSegment) {
            let mut local = *sums;
            let (mut left, mut right) = (segment.left, segment.right);
            // SAFETY: words 0 to `words` (and the half word) of 8 rows and `V` vectors are readable.
            unsafe {
                for _ in 0..segment.words / 2 {
                    add_word::<R, V, PAIRS>(&mut local, left, segment.left_row_stride, right);
                    add_word::<R, V, PAIRS>(&mut local, left.add(segment.left_word_stride), segment.left_row_stride, right.add(16 * V));
                    left = left.add(2 * segment.left_word_stride);
                    right = right.add(32 * V);
                }
                if segment.words % 2 == 1 {
                    add_word::<R, V, PAIRS>(&mut local, left, segment.left_row_stride, right);
                    left = left.add(segment.left_word_stride);
                    right = right.add(16 * V);
                }
                if segment.has_half_word {
                    for (r, row) in local.iter_mut().enumerate() {
                        let element = left.add(r * segment.left_row_stride).cast::<u16>().read_unaligned();
                        let word = _mm512_set1_epi32(i32::from(element));
                        for (v, sum) in row.iter_mut().enumerate() {
                            *sum = $pairs(*sum, word, _mm512_loadu_si512(right.add(16 * v).cast()));
                        }
                    }
                }
            }
            *sums = local;
        }

        /// Adds the products of one word of k to the sums.
        ///
        /// # Safety
        /// One word of `R` rows and `V` vectors is readable.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn add_word<const R: usize, const V: usize, const PAIRS: bool>(
            sums: &mut [[__m512; V]; R],
            left: *const u8,
            left_row_stride: usize,
            right: *const u32,
        ) {
            let mut vectors = [_mm512_setzero_si512(); V];
            for (v, vector) in vectors.iter_mut().enumerate() {
                // SAFETY: by the contract.
                *vector = unsafe { _mm512_loadu_si512(right.add(16 * v).cast()) };
            }
            for (r, row) in sums.iter_mut().enumerate() {
                // SAFETY: by the contract.
                let word = _mm512_set1_epi32(unsafe { left.add(r * left_row_stride).cast::<i32>().read_unaligned() });
                for (sum, &vector) in row.iter_mut().zip(&vectors) {
                    *sum = if PAIRS {
                        $pairs(*sum, word, vector)
                    } else {
                        _mm512_fmadd_ps(_mm512_castsi512_ps(word), _mm512_castsi512_ps(vector), *sum)
                    };
                }
            }
        }
    };
}
pub(super) use zmm_kernel;
