//! The micro-kernel for every other processor: arrays of fixed width that a compiler turns into
//! whatever vectors there are.

use super::dots::{DotKernel, DotSegment, dispatch_dots};
use super::dots_plain::dots_body;
use super::plan::WordKind;
use super::tile::{MicroKernel, TilePlace, TileSegment, dispatch_tile, write_tile};

/// Tiles of 4 rows and 8 columns: 8 sums in 128-bit registers.
pub(super) struct Kernel;

impl MicroKernel for Kernel {
    const ROWS: usize = 4;
    const STRIP_ROWS: usize = 8;
    const LANES: usize = 8;
    const VECTORS: usize = 1;
    const HAS_PAIRS: bool = false;

    unsafe fn tile(rows: usize, vectors: usize, segments: &[TileSegment], place: &TilePlace) {
        // SAFETY: by the caller's contract.
        unsafe { dispatch_tile!(rows, vectors, segments, place; (1, 1) (2, 1) (3, 1) (4, 1)) }
    }
}

impl DotKernel for Kernel {
    const DOT_ROWS: usize = 2;
    const FEW_ROWS: usize = 8;

    unsafe fn dots(rows: usize, columns: usize, segments: &[DotSegment], place: &TilePlace) {
        // SAFETY: the set was detected; all else is the caller's contract.
        unsafe { dispatch_dots!(rows, columns, segments, place; (1, 1) (1, 2) (1, 3) (1, 4) (2, 1) (2, 2) (2, 3) (2, 4)) }
    }
}

/// # Safety
/// As [`DotKernel::dots`].
unsafe fn dots<const R: usize, const C: usize>(segments: &[DotSegment], place: &TilePlace) {
    // SAFETY: by the contract.
    unsafe { dots_body::<R, C>(segments, place) };
}

/// # Safety
/// As [`MicroKernel::tile`].
unsafe fn tile<const R: usize, const V: usize>(segments: &[TileSegment], place: &TilePlace) {
    let mut sums = [[0.0f32; 8]; R];
    for (index, segment) in segments.iter().enumerate() {
        debug_assert_eq!(segment.kind, WordKind::Single);
        if index > 0 && segment.rescale != 1.0 {
            sums.iter_mut().flatten().for_each(|sum| *sum *= segment.rescale);
        }
        for word in 0..segment.words {
            // SAFETY: word `word` of `R` rows and one vector is readable.
            unsafe {
                let right = segment.right.add(8 * word).cast::<[f32; 8]>().read();
                let left = segment.left.add(word * segment.left_word_stride);
                for (r, row) in sums.iter_mut().enumerate() {
                    let element = left.add(r * segment.left_row_stride).cast::<f32>().read_unaligned();
                    for lane in 0..8 {
                        row[lane] += element * right[lane];
                    }
                }
            }
        }
    }
    // SAFETY: by the contract of the place.
    unsafe { write_tile(sums.as_flattened(), 8, place) };
}
