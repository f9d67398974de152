//! The body of a block of dot products in plain arrays, for the portable path.

use super::dots::DotSegment;
use super::tile::{TilePlace, write_tile};

/// Elements of a step along k.
const STEP: usize = 8;

/// Computes `R` × `C` dot products of F32 rows with F32 or bf16 columns.
///
/// # Safety
/// All that the segments describe is readable and the place writable by this thread alone.
#[inline(always)]
pub(super) unsafe fn dots_body<const R: usize, const C: usize>(segments: &[DotSegment], place: &TilePlace) {
    let mut results = [[0.0f32; C]; R];
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 && segment.rescale != 1.0 {
            results.as_flattened_mut().iter_mut().for_each(|result| *result *= segment.rescale);
        }
        // SAFETY: by the contract.
        unsafe {
            match segment.right_is_bf16 {
                true => add_dots::<R, C, true>(&mut results, segment),
                false => add_dots::<R, C, false>(&mut results, segment),
            }
        }
    }
    // SAFETY: by the contract.
    unsafe { write_tile(results.as_flattened(), C, place) };
}

/// # Safety
/// As [`dots_body`].
#[inline(always)]
unsafe fn add_dots<const R: usize, const C: usize, const BF16: bool>(results: &mut [[f32; C]; R], segment: &DotSegment) {
    let mut sums = [[[0.0f32; STEP]; C]; R];
    let steps = segment.elements / STEP;
    for step in 0..steps {
        for c in 0..C {
            // SAFETY: 8 elements of each row and column from `8 * step` on are readable.
            unsafe {
                let column = segment.right.add(c * segment.right_column_stride);
                let right = load::<BF16>(column, step * STEP);
                for r in 0..R {
                    let row = segment.left.add(r * segment.left_row_stride);
                    let left = load::<false>(row, step * STEP);
                    for lane in 0..STEP {
                        sums[r][c][lane] += left[lane] * right[lane];
                    }
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            let [s0, s1, s2, s3, s4, s5, s6, s7] = sums[r][c];
            let mut result = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7));
            for k in steps * STEP..segment.elements {
                // SAFETY: element k of each row and column is readable.
                unsafe {
                    let left = segment.left.add(r * segment.left_row_stride + 4 * k).cast::<f32>().read_unaligned();
                    let right = element::<BF16>(segment.right.add(c * segment.right_column_stride), k);
                    result += left * right;
                }
            }
            results[r][c] += result;
        }
    }
}

/// # Safety
/// Elements `first` to `first + 8` are readable.
#[inline(always)]
unsafe fn load<const BF16: bool>(row: *const u8, first: usize) -> [f32; STEP] {
    // SAFETY: by the contract.
    unsafe {
        match BF16 {
            true => row.add(2 * first).cast::<[u16; STEP]>().read_unaligned().map(|bits| f32::from_bits(u32::from(bits) << 16)),
            false => row.add(4 * first).cast::<[f32; STEP]>().read_unaligned(),
        }
    }
}

/// # Safety
/// Element `k` is readable.
#[inline(always)]
unsafe fn element<const BF16: bool>(row: *const u8, k: usize) -> f32 {
    // SAFETY: by the contract.
    unsafe {
        match BF16 {
            true => f32::from_bits(u32::from(row.add(2 * k).cast::<u16>().read_unaligned()) << 16),
            false => row.add(4 * k).cast::<f32>().read_unaligned(),
        }
    }
}
