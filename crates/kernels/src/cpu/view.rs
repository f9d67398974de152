//! Typed views of rows, as the operations on the processor take them.

use std::marker::PhantomData;

/// Rows of elements that may have gaps between them.
///
/// The gaps may belong to someone else, who may be writing them: a reader goes through `row` or
/// `pointer` and stays inside the columns.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: *const T,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Elements between the starts of two rows.
    pub row_stride: usize,
    lifetime: PhantomData<&'a [T]>,
}

// SAFETY: the view only reads, and its elements stay valid and unchanged for `'a`.
unsafe impl<T: Sync> Send for Rows<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// Takes rows out of a slice.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn new(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || (columns <= row_stride || rows == 1) && data.len() >= (rows - 1) * row_stride + columns,
            "rows: slice too short"
        );
        Rows { data: data.as_ptr(), rows, columns, row_stride, lifetime: PhantomData }
    }

    /// Dense rows.
    pub fn dense(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "rows: element count differs from {rows} × {columns}");
        Self::new(data, rows, columns, columns)
    }

    /// Takes rows that start at a pointer.
    ///
    /// # Safety
    /// All elements of all rows are valid for reads for `'a`, and no one writes them meanwhile.
    pub unsafe fn from_pointer(data: *const T, rows: usize, columns: usize, row_stride: usize) -> Self {
        Rows { data, rows, columns, row_stride, lifetime: PhantomData }
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [T] {
        assert!(row < self.rows, "rows: no such row");
        // SAFETY: inside the view by the check above and the constructors.
        unsafe { std::slice::from_raw_parts(self.data.add(row * self.row_stride), self.columns) }
    }

    /// The first element, for kernels that compute addresses themselves.
    pub fn pointer(&self) -> *const T {
        self.data
    }
}

/// Rows that several threads write at once, each its own.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    data: *mut T,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Elements between the starts of two rows.
    pub row_stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: rows are handed out by `row`, whose contract keeps threads apart.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// Takes rows out of a slice.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn new(data: &'a mut [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || (columns <= row_stride || rows == 1) && data.len() >= (rows - 1) * row_stride + columns,
            "rows: slice too short"
        );
        RowsMut { data: data.as_mut_ptr(), rows, columns, row_stride, lifetime: PhantomData }
    }

    /// Dense rows.
    pub fn dense(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns)
    }

    /// Takes rows that start at a pointer.
    ///
    /// # Safety
    /// All rows are valid for reads and writes for `'a`, and no one else uses them.
    pub unsafe fn from_pointer(data: *mut T, rows: usize, columns: usize, row_stride: usize) -> Self {
        RowsMut { data, rows, columns, row_stride, lifetime: PhantomData }
    }

    /// One row, to be written.
    ///
    /// # Safety
    /// No two threads may hold the same row (or overlapping rows) at once.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "threads write disjoint rows of one view; the contract says so")]
    pub unsafe fn row(&self, row: usize) -> &mut [T] {
        debug_assert!(row < self.rows);
        // SAFETY: inside the view by the constructor; exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.columns) }
    }

    /// The first element, for kernels that compute addresses themselves.
    pub fn pointer(&self) -> *mut T {
        self.data
    }
}
