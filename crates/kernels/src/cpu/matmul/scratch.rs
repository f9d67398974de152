//! Memory that products reuse from call to call, so that a steady state allocates nothing.

use std::cell::Cell;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Packed operands and partial sums of one call.
#[derive(Default)]
pub(super) struct Scratch {
    lines: Vec<Line>,
    sums: Vec<f32>,
}

thread_local! {
    static CALL: Cell<Scratch> = Cell::default();
    static TASK: Cell<Scratch> = Cell::default();
}

impl Scratch {
    /// Runs `work` with the memory of this thread for whole calls. A nested call finds it taken
    /// and brings its own.
    pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
        let mut scratch = CALL.take();
        let result = work(&mut scratch);
        CALL.set(scratch);
        result
    }

    /// Runs `work` with the memory of this thread for one task of a call.
    pub(super) fn with_task<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
        let mut scratch = TASK.take();
        let result = work(&mut scratch);
        TASK.set(scratch);
        result
    }

    /// Room for sums that are rounded later, of any content; give it back afterwards.
    pub(super) fn take_sums(&mut self, count: usize) -> Vec<f32> {
        let mut sums = std::mem::take(&mut self.sums);
        sums.resize(count, 0.0);
        sums
    }

    /// Keeps the room of [`Scratch::take_sums`] for the next call.
    pub(super) fn return_sums(&mut self, sums: Vec<f32>) {
        if sums.capacity() > self.sums.capacity() {
            self.sums = sums;
        }
    }

    /// At least `words` words of any content, 64-byte aligned.
    pub(super) fn words(&mut self, words: usize) -> SharedWords {
        let lines = words.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.clear();
            self.lines.resize(lines, Line([0; 16]));
        }
        SharedWords(self.lines.as_mut_ptr().cast())
    }
}

/// Scratch words that the tasks of one call fill and read, each its own part.
#[derive(Clone, Copy)]
pub(super) struct SharedWords(*mut u32);

// SAFETY: tasks of one phase write disjoint ranges, and reading starts after that phase.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// The word at `offset`.
    ///
    /// # Safety
    /// `offset` lies inside what was asked for.
    #[inline(always)]
    pub(super) unsafe fn at(self, offset: usize) -> *mut u32 {
        // SAFETY: by the contract above.
        unsafe { self.0.add(offset) }
    }
}
