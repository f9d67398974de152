//! Memory of a task, kept by its thread from task to task.

use std::cell::Cell;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Words that a task cuts into its buffers.
#[derive(Default)]
pub(super) struct Scratch {
    lines: Vec<Line>,
    used: usize,
}

thread_local! {
    static IDLE: Cell<Scratch> = Cell::default();
}

impl Scratch {
    /// Runs `work` with the memory of this thread.
    pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
        let mut scratch = IDLE.take();
        let result = work(&mut scratch);
        IDLE.set(scratch);
        result
    }

    /// Begins a task that cuts at most `buffers` buffers of `words` words together. What was cut
    /// before is gone.
    pub(super) fn begin(&mut self, words: usize, buffers: usize) {
        let lines = words.div_ceil(16) + buffers;
        if self.lines.len() < lines {
            self.lines = vec![Line([0; 16]); lines];
        }
        self.used = 0;
    }

    /// A buffer of `count` elements of any content, 64-byte aligned, valid until the next
    /// [`Scratch::begin`].
    ///
    /// # Panics
    /// When more is cut than was said.
    pub(super) fn cut<T: Copy>(&mut self, count: usize) -> *mut T {
        const { assert!(size_of::<T>() == 4 && align_of::<T>() == 4) };
        let start = self.used;
        self.used += count.div_ceil(16);
        assert!(self.used <= self.lines.len(), "attention: a task needs more scratch than it said");
        // SAFETY: inside the lines by the check above.
        unsafe { self.lines.as_mut_ptr().add(start).cast() }
    }
}
