//! Memory of a step: one buffer, cut up by the same arithmetic when it is planned and used.

use std::sync::Arc;

use apertis_kernels::{Backend, BackendError, BufferId, Dtype, Owned, Tensor};

/// Cache lines keep operations on neighbouring tensors apart.
const ALIGNMENT_BYTES: usize = 64;

/// Hands out pieces of one buffer, last in, first out.
pub struct Arena {
    memory: Option<Owned>,
    cursor_bytes: usize,
    peak_bytes: usize,
}

impl Arena {
    /// An arena that only counts: its tensors must not be used.
    pub fn measuring() -> Arena {
        Arena { memory: None, cursor_bytes: 0, peak_bytes: 0 }
    }

    /// An arena of this size.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(backend: &Arc<dyn Backend>, size_bytes: usize) -> Result<Arena, BackendError> {
        let memory = Owned::zeros(backend, 1, size_bytes.max(ALIGNMENT_BYTES), Dtype::U8)?;
        Ok(Arena { memory: Some(memory), cursor_bytes: 0, peak_bytes: 0 })
    }

    /// Bytes that can be handed out.
    pub fn capacity_bytes(&self) -> usize {
        self.memory.as_ref().map_or(usize::MAX, |memory| memory.columns)
    }

    /// The most bytes that were handed out at once.
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes
    }

    /// A dense tensor; what it holds is undefined.
    ///
    /// # Panics
    /// When the arena is too small: it was sized by the same calls, so this is a bug of ours.
    pub fn take(&mut self, rows: usize, columns: usize, dtype: Dtype) -> Tensor {
        let size_bytes = (rows * columns * dtype.size_bytes()).next_multiple_of(ALIGNMENT_BYTES);
        let offset_bytes = self.cursor_bytes;
        self.cursor_bytes += size_bytes;
        self.peak_bytes = self.peak_bytes.max(self.cursor_bytes);
        assert!(self.cursor_bytes <= self.capacity_bytes(), "arena: {} bytes in use, {} planned", self.cursor_bytes, self.capacity_bytes());
        let buffer = self.memory.as_ref().map_or(BufferId(u32::MAX), |memory| memory.buffer);
        Tensor::dense(buffer, dtype, offset_bytes, rows, columns)
    }

    /// Where the next tensor starts.
    pub fn mark(&self) -> usize {
        self.cursor_bytes
    }

    /// Takes back everything handed out since a mark.
    pub fn release(&mut self, mark: usize) {
        self.cursor_bytes = mark;
    }

    /// Takes everything back.
    pub fn reset(&mut self) {
        self.release(0);
    }
}
