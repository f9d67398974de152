//! The AVX-512 body of a block of dot products: both operands lie along k and are read in place,
//! which suits few rows (a model that answers) and few columns (the inner side of an adapter).

/// Defines `dots`, a block of up to 6 × 4 dot products, for one set of features.
///
/// `$pairs`, `$round` and `$to_pairs` (two vectors of F32 to one of bf16 pairs) are functions of
/// the place of use.
macro_rules! zmm_dots {
    ($features:literal, $has_pairs:literal, $pairs:ident, $round:ident, $to_pairs:ident) => {
        impl DotKernel for Kernel {
            const DOT_ROWS: usize = 6;
            const FEW_ROWS: usize = 64;

            unsafe fn dots(rows: usize, columns: usize, segments: &[DotSegment], place: &TilePlace) {
                // SAFETY: the set was detected; all else is the caller's contract.
                unsafe {
                    dispatch_dots!(rows, columns, segments, place;
                        (1, 1) (1, 2) (1, 3) (1, 4) (2, 1) (2, 2) (2, 3) (2, 4) (3, 1) (3, 2) (3, 3) (3, 4)
                        (4, 1) (4, 2) (4, 3) (4, 4) (5, 1) (5, 2) (5, 3) (5, 4) (6, 1) (6, 2) (6, 3) (6, 4)
                    );
                }
            }
        }

        /// # Safety
        /// As [`DotKernel::dots`].
        #[target_feature(enable = $features)]
        unsafe fn dots<const R: usize, const C: usize>(segments: &[DotSegment], place: &TilePlace) {
            let mut sums = [[_mm512_setzero_ps(); C]; R];
            for (index, segment) in segments.iter().enumerate() {
                if index > 0 && segment.rescale != 1.0 {
                    let factor = _mm512_set1_ps(segment.rescale);
                    scale_all::<R, C>(&mut sums, factor);
                }
                // SAFETY: by the contract of the segment.
                unsafe {
                    match (segment.kind, segment.right_is_bf16) {
                        (WordKind::Pair, true) if $has_pairs => add_dots::<R, C, true, true>(&mut sums, segment),
                        (WordKind::Pair, false) if $has_pairs => add_dots::<R, C, true, false>(&mut sums, segment),
                        (_, true) => add_dots::<R, C, false, true>(&mut sums, segment),
                        (_, false) => add_dots::<R, C, false, false>(&mut sums, segment),
                    }
                }
            }
            let mask = ((1u32 << C) - 1) as __mmask8;
            let bias = match place.bias.is_null() {
                true => _mm_setzero_ps(),
                // SAFETY: the bias has `C` elements, the mask keeps to them.
                false => unsafe { _mm_maskz_loadu_ps(mask, place.bias) },
            };
            let scale = _mm_set1_ps(place.scale);
            for (r, row) in sums.iter().enumerate() {
                let sum = |c: usize| if c < C { row[c] } else { _mm512_setzero_ps() };
                let mut result = _mm_add_ps(_mm_mul_ps(sum_each(sum(0), sum(1), sum(2), sum(3)), scale), bias);
                // SAFETY: the row is inside the place, the mask keeps to its columns.
                unsafe {
                    match place.pointer {
                        TilePointer::F32(pointer) => {
                            let to = pointer.wrapping_add(r * place.row_stride);
                            if place.accumulate {
                                result = _mm_add_ps(result, _mm_maskz_loadu_ps(mask, to));
                            }
                            _mm_mask_storeu_ps(to, mask, result);
                        }
                        TilePointer::Bf16(pointer) => {
                            let to = pointer.wrapping_add(r * place.row_stride).cast::<u16>();
                            // Through memory: a masked store of one element came out as two.
                            let mut bits = [0u16; 16];
                            if place.accumulate {
                                std::ptr::copy_nonoverlapping(to, bits.as_mut_ptr(), C);
                                let before = _mm_cvtepu16_epi32(_mm_loadu_si128(bits.as_ptr().cast()));
                                result = _mm_add_ps(result, _mm_castsi128_ps(_mm_slli_epi32::<16>(before)));
                            }
                            _mm256_storeu_si256(bits.as_mut_ptr().cast(), $round(_mm512_zextps128_ps512(result)));
                            std::ptr::copy_nonoverlapping(bits.as_ptr(), to, C);
                        }
                    }
                }
            }
        }

        /// The sums of all lanes of four vectors.
        #[inline]
        #[target_feature(enable = $features)]
        fn sum_each(a: __m512, b: __m512, c: __m512, d: __m512) -> __m128 {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
            let quarters = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            let halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps::<1>(quarters));
            _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves))
        }

        /// Adds the products of one segment to the sums, 16 words of k at a time.
        ///
        /// # Safety
        /// As [`DotKernel::dots`].
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn add_dots<const R: usize, const C: usize, const PAIRS: bool, const RIGHT_BF16: bool>(
            sums: &mut [[__m512; C]; R],
            segment: &DotSegment,
        ) {
            let per_vector = if PAIRS { 32 } else { 16 };
            let mut local = *sums;
            // SAFETY: elements 0 to `elements` of all rows and columns are readable, and masks
            // keep to them. Prefetching may go anywhere.
            unsafe {
                for step in 0..segment.elements / per_vector {
                    let first = step * per_vector;
                    let mut left = [_mm512_setzero_si512(); R];
                    for (r, vector) in left.iter_mut().enumerate() {
                        *vector = _mm512_loadu_si512(segment.left.add(r * segment.left_row_stride + step * 64).cast());
                    }
                    for c in 0..C {
                        let from = segment.right.wrapping_add(c * segment.right_column_stride);
                        let right = load_right::<PAIRS, RIGHT_BF16>(from, first);
                        if R <= 2 {
                            let ahead = from.wrapping_add(C * segment.right_column_stride + step * 64);
                            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                        }
                        for r in 0..R {
                            local[r][c] = multiply::<PAIRS>(local[r][c], left[r], right);
                        }
                    }
                }
                let first = segment.elements / per_vector * per_vector;
                let rest = segment.elements - first;
                if rest > 0 {
                    let mut left = [_mm512_setzero_si512(); R];
                    for (r, vector) in left.iter_mut().enumerate() {
                        let from = segment.left.add(r * segment.left_row_stride);
                        *vector = match PAIRS {
                            true => _mm512_maskz_loadu_epi16(((1u64 << rest) - 1) as __mmask32, from.add(2 * first).cast()),
                            false => _mm512_maskz_loadu_epi32(((1u32 << rest) - 1) as __mmask16, from.add(4 * first).cast()),
                        };
                    }
                    for c in 0..C {
                        let from = segment.right.wrapping_add(c * segment.right_column_stride);
                        let right = load_right_rest::<PAIRS, RIGHT_BF16>(from, first, rest);
                        for r in 0..R {
                            local[r][c] = multiply::<PAIRS>(local[r][c], left[r], right);
                        }
                    }
                }
            }
            *sums = local;
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn multiply<const PAIRS: bool>(sums: __m512, left: __m512i, right: __m512i) -> __m512 {
            match PAIRS {
                true => $pairs(sums, left, right),
                false => _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right), sums),
            }
        }

        /// 16 words of a column, from element `first` on.
        ///
        /// # Safety
        /// They are readable.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn load_right<const PAIRS: bool, const BF16: bool>(column: *const u8, first: usize) -> __m512i {
            // SAFETY: by the contract.
            unsafe {
                match (PAIRS, BF16) {
                    (true, true) => _mm512_loadu_si512(column.add(2 * first).cast()),
                    (false, false) => _mm512_loadu_si512(column.add(4 * first).cast()),
                    (true, false) => {
                        let from = column.add(4 * first).cast::<f32>();
                        $to_pairs(_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16)))
                    }
                    (false, true) => {
                        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(column.add(2 * first).cast())))
                    }
                }
            }
        }

        /// The last `rest` elements of a column, from `first` on, and zeros.
        ///
        /// # Safety
        /// They are readable.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn load_right_rest<const PAIRS: bool, const BF16: bool>(column: *const u8, first: usize, rest: usize) -> __m512i {
            let mask = ((1u64 << rest) - 1) as u32;
            // SAFETY: by the contract; the masks keep to `rest` elements.
            unsafe {
                match (PAIRS, BF16) {
                    (true, true) => _mm512_maskz_loadu_epi16(mask, column.add(2 * first).cast()),
                    (false, false) => _mm512_maskz_loadu_epi32(mask as __mmask16, column.add(4 * first).cast()),
                    (true, false) => {
                        let from = column.add(4 * first).cast::<f32>();
                        let low = _mm512_maskz_loadu_ps(mask as __mmask16, from);
                        $to_pairs(low, _mm512_maskz_loadu_ps((mask >> 16) as __mmask16, from.wrapping_add(16)))
                    }
                    (false, true) => {
                        let half = _mm256_maskz_loadu_epi16(mask as __mmask16, column.add(2 * first).cast());
                        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half))
                    }
                }
            }
        }
    };
}
pub(super) use zmm_dots;
