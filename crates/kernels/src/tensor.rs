//! Handles to memory that a backend owns: nothing above a backend touches a buffer's bytes.

use std::ops::Deref;
use std::sync::Arc;

use crate::backend::{Backend, BackendError};
use crate::dtype::Dtype;

/// Names one buffer of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub u32);

/// A view of a matrix inside a buffer. It is a name: copying it copies no data, and it does
/// not keep the buffer alive ([`Owned`] does).
///
/// # Shapes
/// `rows × columns`; a vector is one row. Element (r, c) is at
/// `offset_bytes + (r * row_stride + c) * dtype.size_bytes()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// The buffer that holds the elements.
    pub buffer: BufferId,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Start of element (0, 0), in bytes from the start of the buffer.
    pub offset_bytes: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Elements between the starts of two rows.
    pub row_stride: usize,
}

impl Tensor {
    /// A dense view at the start of `buffer`.
    pub fn dense(buffer: BufferId, dtype: Dtype, offset_bytes: usize, rows: usize, columns: usize) -> Tensor {
        Tensor { buffer, dtype, offset_bytes, rows, columns, row_stride: columns }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns `start .. start + count`, all rows.
    ///
    /// # Panics
    /// When the range is outside the tensor.
    pub fn column_range(&self, start: usize, count: usize) -> Tensor {
        assert!(start + count <= self.columns, "column_range: found {start}+{count}, expected at most {}", self.columns);
        Tensor { offset_bytes: self.offset_bytes + start * self.dtype.size_bytes(), columns: count, ..*self }
    }

    /// Rows `start .. start + count`, all columns.
    ///
    /// # Panics
    /// When the range is outside the tensor.
    pub fn row_range(&self, start: usize, count: usize) -> Tensor {
        assert!(start + count <= self.rows, "row_range: found {start}+{count}, expected at most {}", self.rows);
        Tensor { offset_bytes: self.offset_bytes + start * self.row_stride * self.dtype.size_bytes(), rows: count, ..*self }
    }

    /// The same elements as `rows × columns`; only for dense tensors.
    ///
    /// # Panics
    /// When the tensor has gaps between rows or the counts differ.
    pub fn reshape(&self, rows: usize, columns: usize) -> Tensor {
        assert!(
            self.row_stride == self.columns || self.rows <= 1,
            "reshape: rows are {} apart, expected {}",
            self.row_stride,
            self.columns
        );
        assert_eq!(rows * columns, self.len(), "reshape: element counts differ");
        Tensor { rows, columns, row_stride: columns, ..*self }
    }
}

/// A tensor together with the right to free it: dropping it gives the buffer back.
pub struct Owned {
    tensor: Tensor,
    backend: Arc<dyn Backend>,
}

impl Owned {
    /// Allocates zeros.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn zeros(backend: &Arc<dyn Backend>, rows: usize, columns: usize, dtype: Dtype) -> Result<Owned, BackendError> {
        Ok(Owned { tensor: backend.allocate(rows, columns, dtype)?, backend: Arc::clone(backend) })
    }

    /// Takes over a tensor that `backend` made.
    pub fn adopt(backend: &Arc<dyn Backend>, tensor: Tensor) -> Owned {
        Owned { tensor, backend: Arc::clone(backend) }
    }

    /// The backend that owns the memory.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }
}

impl Deref for Owned {
    type Target = Tensor;
    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.backend.free(self.tensor.buffer);
    }
}
