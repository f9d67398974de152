//! The seam between the driver and the micro-kernels: a tile of the output that fits in registers.

use half::bf16;

use crate::dtype::Element;

use super::plan::WordKind;

/// A range of k of one term, as one tile reads it.
#[derive(Clone, Copy)]
pub(super) struct TileSegment {
    pub(super) kind: WordKind,
    /// Word (r, w) of the left operand is at `left + r * left_row_stride + w * left_word_stride` bytes.
    pub(super) left: *const u8,
    pub(super) left_row_stride: usize,
    pub(super) left_word_stride: usize,
    /// Word (w, c) of the right operand is at `right + w * width + c`, `width` whole vectors.
    pub(super) right: *const u32,
    /// Whole words of the left operand.
    pub(super) words: usize,
    /// One more bf16 element follows the last whole pair of the left operand.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AVX-512 multiplies pairs"))]
    pub(super) has_half_word: bool,
    /// The sums so far are multiplied by this before the segment.
    pub(super) rescale: f32,
}

/// Where a tile goes and what is done on the way.
#[derive(Clone, Copy)]
pub(super) struct TilePlace {
    pub(super) pointer: TilePointer,
    /// Elements between rows.
    pub(super) row_stride: usize,
    /// Elements between columns: 1 unless rows and columns were exchanged.
    pub(super) column_stride: usize,
    /// Columns to write; the last vector may be filled in part.
    pub(super) columns: usize,
    /// The sums are multiplied by this at the end.
    pub(super) scale: f32,
    pub(super) accumulate: bool,
    /// As many elements as `columns`, or null.
    pub(super) bias: *const f32,
}

/// First element of a tile of the output.
#[derive(Clone, Copy)]
pub(super) enum TilePointer {
    F32(*mut f32),
    Bf16(*mut bf16),
}

// SAFETY: whoever writes through it has a part of the output of its own.
unsafe impl Send for TilePointer {}
// SAFETY: as above.
unsafe impl Sync for TilePointer {}

/// The inner loop of one instruction set.
pub(super) trait MicroKernel {
    /// Rows of a tile.
    const ROWS: usize;
    /// Rows of a packed strip of the left operand: a multiple of `ROWS` and of 8.
    const STRIP_ROWS: usize;
    /// Columns of a vector.
    const LANES: usize;
    /// Vectors of a tile.
    const VECTORS: usize;
    /// Whether it takes segments of bf16 pairs.
    const HAS_PAIRS: bool;

    /// Computes `rows` (1 to `ROWS`) by `vectors` (1 to `VECTORS`) of the output.
    ///
    /// # Safety
    /// The instruction set is there; all that the segments and the place describe is readable
    /// and the place writable by this thread alone.
    unsafe fn tile(rows: usize, vectors: usize, segments: &[TileSegment], place: &TilePlace);
}

/// Calls `tile::<rows, vectors>` of the place of use for the given numbers.
macro_rules! dispatch_tile {
    ($rows:expr, $vectors:expr, $segments:expr, $place:expr; $(($r:literal, $v:literal))*) => {
        match ($rows, $vectors) {
            $(($r, $v) => tile::<$r, $v>($segments, $place),)*
            _ => unreachable!("a tile larger than the kernel"),
        }
    };
}
pub(super) use dispatch_tile;

/// Writes sums that a kernel left in memory, rows of `width`, in plain loops.
///
/// # Safety
/// The place holds as many rows, writable by this thread alone.
#[inline(always)]
pub(super) unsafe fn write_tile(sums: &[f32], width: usize, place: &TilePlace) {
    let columns = place.columns.min(width);
    let bias = if place.bias.is_null() {
        None
    } else {
        // SAFETY: `bias` holds `columns` elements.
        Some(unsafe { std::slice::from_raw_parts(place.bias, columns) })
    };
    for (index, sums) in sums.chunks_exact(width).enumerate() {
        // SAFETY: the row is inside the place.
        unsafe {
            match place.pointer {
                TilePointer::F32(pointer) if place.column_stride == 1 => {
                    let row = std::slice::from_raw_parts_mut(pointer.add(index * place.row_stride), columns);
                    write_row(row, &sums[..columns], bias, place.scale, place.accumulate);
                }
                TilePointer::Bf16(pointer) if place.column_stride == 1 => {
                    let row = std::slice::from_raw_parts_mut(pointer.add(index * place.row_stride), columns);
                    write_row(row, &sums[..columns], bias, place.scale, place.accumulate);
                }
                TilePointer::F32(pointer) => {
                    for (column, &sum) in sums[..columns].iter().enumerate() {
                        let to = &mut *pointer.add(index * place.row_stride + column * place.column_stride);
                        write_row(std::slice::from_mut(to), &[sum], bias.map(|bias| &bias[column..]), place.scale, place.accumulate);
                    }
                }
                TilePointer::Bf16(pointer) => {
                    for (column, &sum) in sums[..columns].iter().enumerate() {
                        let to = &mut *pointer.add(index * place.row_stride + column * place.column_stride);
                        write_row(std::slice::from_mut(to), &[sum], bias.map(|bias| &bias[column..]), place.scale, place.accumulate);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn write_row<T: Element>(row: &mut [T], sums: &[f32], bias: Option<&[f32]>, scale: f32, accumulate: bool) {
    for (column, (place, &sum)) in row.iter_mut().zip(sums).enumerate() {
        let mut value = sum * scale;
        if let Some(bias) = bias {
            value += bias[column];
        }
        if accumulate {
            value += place.to_f32();
        }
        *place = T::from_f32(value);
    }
}
