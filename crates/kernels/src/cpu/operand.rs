//! Rows whose element type is known only at run time, read and written as `f32` in short chunks.
//!
//! An operation is written once, on chunks of `f32` that stay in the nearest cache; the widening
//! and rounding around it costs little beside the memory it saves.

use std::marker::PhantomData;

use half::{bf16, f16};

use crate::dtype::{Dtype, Element};
use crate::instruction_set::{InstructionSet, vectorized};

/// Elements handled at once.
pub(crate) const CHUNK: usize = 512;

/// Rows to be read.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pointer: *const u8,
    dtype: Dtype,
    /// Number of rows.
    pub(crate) rows: usize,
    /// Elements of a row.
    pub(crate) columns: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: a source only reads.
unsafe impl Send for Source<'_> {}
// SAFETY: as above.
unsafe impl Sync for Source<'_> {}

impl Source<'_> {
    /// # Safety
    /// All elements are valid for reads for the lifetime, and aligned for `dtype`, which is a
    /// floating-point type. They change only through a [`Sink`] at the same place.
    pub(crate) unsafe fn new(pointer: *const u8, dtype: Dtype, rows: usize, columns: usize, row_stride: usize) -> Self {
        Source { pointer, dtype, rows, columns, row_stride, lifetime: PhantomData }
    }

    /// Whether rows follow each other without gaps.
    pub(crate) fn is_dense(&self) -> bool {
        self.row_stride == self.columns || self.rows <= 1
    }

    /// The same elements as one row; only for dense sources.
    pub(crate) fn flattened(self) -> Self {
        debug_assert!(self.is_dense());
        let columns = self.rows * self.columns;
        Source { rows: 1, columns, row_stride: columns, ..self }
    }

    /// Widens `into.len()` elements that start at a column.
    #[inline]
    pub(crate) fn load(&self, instruction_set: InstructionSet, row: usize, start: usize, into: &mut [f32]) {
        assert!(row < self.rows && start + into.len() <= self.columns, "load: outside the rows");
        let first = row * self.row_stride + start;
        // SAFETY: inside the rows by the check; valid and aligned by the constructor's contract.
        // The slices live only for this call, in which nobody writes the same elements: tasks
        // own the elements that they write.
        unsafe {
            match self.dtype {
                Dtype::F32 => std::ptr::copy_nonoverlapping(self.pointer.cast::<f32>().add(first), into.as_mut_ptr(), into.len()),
                Dtype::Bf16 => widen(instruction_set, into, std::slice::from_raw_parts(self.pointer.cast::<bf16>().add(first), into.len())),
                _ => widen(instruction_set, into, std::slice::from_raw_parts(self.pointer.cast::<f16>().add(first), into.len())),
            }
        }
    }

    /// One whole row.
    pub(crate) fn load_row(&self, instruction_set: InstructionSet, row: usize, into: &mut [f32]) {
        self.load(instruction_set, row, 0, &mut into[..self.columns]);
    }
}

/// Rows to be written, by several threads, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Sink<'a> {
    pointer: *mut u8,
    dtype: Dtype,
    /// Number of rows.
    pub(crate) rows: usize,
    /// Elements of a row.
    pub(crate) columns: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: threads write disjoint elements by the contract of `store`.
unsafe impl Send for Sink<'_> {}
// SAFETY: as above.
unsafe impl Sync for Sink<'_> {}

impl<'a> Sink<'a> {
    /// # Safety
    /// All elements are valid for reads and writes for the lifetime, aligned for `dtype`, which
    /// is a floating-point type, and used by no one else but a [`Source`] at the same place.
    pub(crate) unsafe fn new(pointer: *mut u8, dtype: Dtype, rows: usize, columns: usize, row_stride: usize) -> Self {
        Sink { pointer, dtype, rows, columns, row_stride, lifetime: PhantomData }
    }

    /// Whether rows follow each other without gaps.
    pub(crate) fn is_dense(&self) -> bool {
        self.row_stride == self.columns || self.rows <= 1
    }

    /// The same elements as one row; only for dense sinks.
    pub(crate) fn flattened(self) -> Self {
        debug_assert!(self.is_dense());
        let columns = self.rows * self.columns;
        Sink { rows: 1, columns, row_stride: columns, ..self }
    }

    /// What the elements hold now.
    pub(crate) fn source(&self) -> Source<'a> {
        Source {
            pointer: self.pointer,
            dtype: self.dtype,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            lifetime: PhantomData,
        }
    }

    /// Rounds and keeps elements that start at a column.
    ///
    /// # Safety
    /// No other thread reads or writes these elements at the same time.
    #[inline]
    pub(crate) unsafe fn store(&self, instruction_set: InstructionSet, row: usize, start: usize, from: &[f32]) {
        assert!(row < self.rows && start + from.len() <= self.columns, "store: outside the rows");
        let first = row * self.row_stride + start;
        // SAFETY: inside the rows by the check; valid and aligned by the constructor's contract;
        // exclusive by this function's.
        unsafe {
            match self.dtype {
                Dtype::F32 => std::ptr::copy_nonoverlapping(from.as_ptr(), self.pointer.cast::<f32>().add(first), from.len()),
                Dtype::Bf16 => {
                    narrow(instruction_set, std::slice::from_raw_parts_mut(self.pointer.cast::<bf16>().add(first), from.len()), from);
                }
                _ => narrow(instruction_set, std::slice::from_raw_parts_mut(self.pointer.cast::<f16>().add(first), from.len()), from),
            }
        }
    }

    /// Stores, or adds to what is there; `from` is used up.
    ///
    /// # Safety
    /// As [`Sink::store`].
    #[inline]
    pub(crate) unsafe fn put(&self, instruction_set: InstructionSet, row: usize, start: usize, from: &mut [f32], accumulate: bool) {
        if accumulate {
            let mut held = [0.0; CHUNK];
            for (index, part) in from.chunks_mut(CHUNK).enumerate() {
                let held = &mut held[..part.len()];
                self.source().load(instruction_set, row, start + index * CHUNK, held);
                add(instruction_set, part, held);
            }
        }
        // SAFETY: passed on.
        unsafe { self.store(instruction_set, row, start, from) }
    }
}

vectorized! {
    /// Widens, exactly.
    pub(crate) fn widen<T: Element>(into: &mut [f32], from: &[T]) {
        for (into, from) in into.iter_mut().zip(from) {
            *into = from.to_f32();
        }
    }
}

vectorized! {
    /// Rounds to nearest, ties to even.
    pub(crate) fn narrow<T: Element>(into: &mut [T], from: &[f32]) {
        for (into, from) in into.iter_mut().zip(from) {
            *into = T::from_f32(*from);
        }
    }
}

vectorized! {
    /// `into += from`.
    pub(crate) fn add(into: &mut [f32], from: &[f32]) {
        for (into, from) in into.iter_mut().zip(from) {
            *into += from;
        }
    }
}
