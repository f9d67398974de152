//! Rows of heads as attention reads and writes them.
//!
//! Apart from `view` because heads may be interleaved with those of other tensors inside one
//! row, and because the element type is a value here: one compiled kernel serves every mixture.

use std::marker::PhantomData;

use half::{bf16, f16};

use crate::cpu::view::{Rows, RowsMut};
use crate::dtype::{Dtype, Element};

/// Heads to be read: head `i` of a row starts `i * head_stride` elements into it.
#[derive(Clone, Copy, Debug)]
pub struct HeadRows<'a> {
    data: *const u8,
    dtype: Dtype,
    rows: usize,
    row_stride: usize,
    heads: usize,
    head_width: usize,
    head_stride: usize,
    lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: only reads, like the shared slice it was made of.
unsafe impl Send for HeadRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for HeadRows<'_> {}

/// The elements of one head of one row.
#[derive(Clone, Copy, Debug)]
pub enum HeadSlice<'a> {
    /// 32-bit elements.
    F32(&'a [f32]),
    /// bfloat16 elements.
    Bf16(&'a [bf16]),
    /// IEEE half elements.
    F16(&'a [f16]),
}

impl<'a> HeadRows<'a> {
    /// Reads `rows` as heads.
    ///
    /// # Panics
    /// When the heads do not fit in the rows or the type is not a float.
    pub fn new<T: Element>(rows: Rows<'a, T>, heads: usize, head_width: usize, head_stride: usize) -> HeadRows<'a> {
        assert!(matches!(T::DTYPE, Dtype::F32 | Dtype::Bf16 | Dtype::F16), "attention: found {:?}, expected a float", T::DTYPE);
        assert!(
            heads == 0 || (heads - 1) * head_stride + head_width <= rows.columns,
            "attention: heads are wider than a row of {} columns",
            rows.columns
        );
        HeadRows {
            data: rows.pointer().cast(),
            dtype: T::DTYPE,
            rows: rows.rows,
            row_stride: rows.row_stride,
            heads,
            head_width,
            head_stride,
            lifetime: PhantomData,
        }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }
    /// Width of one head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// One head of one row.
    ///
    /// # Panics
    /// When row or head are outside the view.
    #[inline(always)]
    pub fn head(&self, row: usize, head: usize) -> HeadSlice<'a> {
        assert!(row < self.rows && head < self.heads, "attention: row {row} head {head} is outside {} × {}", self.rows, self.heads);
        let first = row * self.row_stride + head * self.head_stride;
        // SAFETY: every head of every row lies inside the rows, by the constructor.
        unsafe {
            match self.dtype {
                Dtype::F32 => HeadSlice::F32(std::slice::from_raw_parts(self.data.cast::<f32>().add(first), self.head_width)),
                Dtype::Bf16 => HeadSlice::Bf16(std::slice::from_raw_parts(self.data.cast::<bf16>().add(first), self.head_width)),
                _ => HeadSlice::F16(std::slice::from_raw_parts(self.data.cast::<f16>().add(first), self.head_width)),
            }
        }
    }

    /// One head of one row, widened.
    pub fn head_f32(&self, row: usize, head: usize) -> Vec<f32> {
        match self.head(row, head) {
            HeadSlice::F32(slice) => slice.to_vec(),
            HeadSlice::Bf16(slice) => slice.iter().map(|value| Element::to_f32(*value)).collect(),
            HeadSlice::F16(slice) => slice.iter().map(|value| Element::to_f32(*value)).collect(),
        }
    }
}

/// Heads that several threads write at once, each its own.
#[derive(Debug)]
pub struct HeadRowsMut<'a> {
    data: *mut u8,
    dtype: Dtype,
    rows: usize,
    row_stride: usize,
    heads: usize,
    head_width: usize,
    head_stride: usize,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: heads are written by `write_head`, whose contract keeps threads apart.
unsafe impl Send for HeadRowsMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for HeadRowsMut<'_> {}

impl<'a> HeadRowsMut<'a> {
    /// Writes `rows` as heads. Several of these may interleave in one buffer as long as their
    /// heads are disjoint.
    ///
    /// # Panics
    /// When the heads do not fit in the rows or the type is not a float.
    pub fn new<T: Element>(rows: RowsMut<'a, T>, heads: usize, head_width: usize, head_stride: usize) -> HeadRowsMut<'a> {
        assert!(matches!(T::DTYPE, Dtype::F32 | Dtype::Bf16 | Dtype::F16), "attention: found {:?}, expected a float", T::DTYPE);
        assert!(
            heads == 0 || (heads - 1) * head_stride + head_width <= rows.columns,
            "attention: heads are wider than a row of {} columns",
            rows.columns
        );
        HeadRowsMut {
            data: rows.pointer().cast(),
            dtype: T::DTYPE,
            rows: rows.rows,
            row_stride: rows.row_stride,
            heads,
            head_width,
            head_stride,
            lifetime: PhantomData,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }
    /// Width of one head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// Rounds `values` into one head of one row.
    ///
    /// # Safety
    /// No two threads may write the same head of the same row at once.
    ///
    /// # Panics
    /// When row or head are outside the view, or `values` is shorter than the head.
    #[inline(always)]
    pub unsafe fn write_head(&self, row: usize, head: usize, values: &[f32]) {
        assert!(row < self.rows && head < self.heads, "attention: row {row} head {head} is outside {} × {}", self.rows, self.heads);
        let first = row * self.row_stride + head * self.head_stride;
        let values = &values[..self.head_width];
        // SAFETY: inside the rows by the constructor and the check above; exclusive by contract.
        unsafe {
            match self.dtype {
                Dtype::F32 => write(std::slice::from_raw_parts_mut(self.data.cast::<f32>().add(first), self.head_width), values),
                Dtype::Bf16 => write(std::slice::from_raw_parts_mut(self.data.cast::<bf16>().add(first), self.head_width), values),
                _ => write(std::slice::from_raw_parts_mut(self.data.cast::<f16>().add(first), self.head_width), values),
            }
        }
    }
}

#[inline(always)]
fn write<T: Element>(out: &mut [T], values: &[f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = T::from_f32(*value);
    }
}
