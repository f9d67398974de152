//! The memory of the processor backend: which buffers live, and how a tensor becomes a view.
//!
//! Every view is checked here for liveness, bounds and alignment, and outputs for overlap with
//! inputs, so that the loops of the operations can trust their pointers.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::backend::BackendError;
use crate::context::Context;
use crate::cpu::operand::{Sink, Source};
use crate::cpu::view::{Rows, RowsMut};
use crate::dtype::Dtype;
use crate::tensor::{BufferId, Tensor};

/// Start of every buffer: a cache line, and the widest vector.
const ALIGNMENT_BYTES: usize = 64;
/// Buffers of at least this size lie on huge pages where the system has them.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Zeroed by one thread at a time.
const ZERO_BLOCK_BYTES: usize = 8 << 20;
/// Bits of a buffer id that number its slot; the rest count the slot's uses.
const SLOT_BITS: u32 = 20;

/// Bytes from the system, aligned, given back when dropped.
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory is owned by this value alone; who reads and writes it is decided by the
// operations, one at a time under the backend's lock.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed, hence touched, memory.
    pub(crate) fn zeroed(context: &Context, bytes: usize) -> Result<Memory, BackendError> {
        let error = || BackendError::OutOfMemory { wanted_bytes: bytes };
        let alignment = if bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { ALIGNMENT_BYTES };
        let rounded = bytes.max(1).checked_next_multiple_of(ALIGNMENT_BYTES).ok_or_else(error)?;
        let layout = Layout::from_size_align(rounded, alignment).map_err(|_| error())?;
        // SAFETY: the layout has a size above zero.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or_else(error)?;
        let memory = Memory { start, layout };
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE_BYTES {
            // SAFETY: the range is ours and page-aligned. Advice that is refused changes nothing.
            let _ = unsafe { rustix::mm::madvise(start.as_ptr().cast(), rounded, rustix::mm::Advice::LinuxHugepage) };
        }
        let whole = &memory;
        context.for_each(rounded.div_ceil(ZERO_BLOCK_BYTES), |block| {
            let first = block * ZERO_BLOCK_BYTES;
            let count = ZERO_BLOCK_BYTES.min(rounded - first);
            // SAFETY: blocks are disjoint parts of the memory that was just allocated.
            unsafe { std::ptr::write_bytes(whole.start.as_ptr().add(first), 0, count) };
        });
        Ok(memory)
    }

    fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[derive(Default)]
struct Slot {
    uses: u32,
    memory: Option<Arc<Memory>>,
}

/// The living buffers.
///
/// A slot's number is used again as late as possible, and each use changes the id, so that a
/// view of a freed buffer is noticed.
#[derive(Default)]
pub(crate) struct Buffers {
    slots: Vec<Slot>,
    free: VecDeque<u32>,
}

impl Buffers {
    /// Registers memory.
    pub(crate) fn insert(&mut self, memory: Arc<Memory>) -> BufferId {
        let number = if self.slots.len() < 1024 || self.free.is_empty() {
            self.slots.push(Slot::default());
            assert!(self.slots.len() <= 1 << SLOT_BITS, "allocate: more than {} living buffers", 1 << SLOT_BITS);
            self.slots.len() as u32 - 1
        } else {
            self.free.pop_front().expect("checked above")
        };
        let slot = &mut self.slots[number as usize];
        slot.memory = Some(memory);
        BufferId(slot.uses << SLOT_BITS | number)
    }

    /// Forgets a buffer; the memory goes when nobody shares it any more.
    pub(crate) fn remove(&mut self, id: BufferId) -> Option<Arc<Memory>> {
        let number = id.0 & ((1 << SLOT_BITS) - 1);
        let slot = self.slots.get_mut(number as usize).filter(|slot| slot.uses == id.0 >> SLOT_BITS)?;
        let memory = slot.memory.take()?;
        slot.uses = (slot.uses + 1) & (u32::MAX >> SLOT_BITS);
        self.free.push_back(number);
        Some(memory)
    }

    fn memory(&self, operation: &str, id: BufferId) -> &Memory {
        let number = id.0 & ((1 << SLOT_BITS) - 1);
        self.slots
            .get(number as usize)
            .filter(|slot| slot.uses == id.0 >> SLOT_BITS)
            .and_then(|slot| slot.memory.as_deref())
            .unwrap_or_else(|| panic!("{operation}: found buffer {}, which was freed or never allocated", id.0))
    }

    /// The address of a tensor's first element, after checking all of its elements.
    fn resolve(&self, operation: &str, tensor: &Tensor) -> *mut u8 {
        let memory = self.memory(operation, tensor.buffer);
        let size = tensor.dtype.size_bytes();
        assert!(
            tensor.offset_bytes.is_multiple_of(size),
            "{operation}: found offset {}, expected a multiple of {size}",
            tensor.offset_bytes
        );
        assert!(
            tensor.rows <= 1 || tensor.row_stride >= tensor.columns,
            "{operation}: rows of {} columns are {} apart",
            tensor.columns,
            tensor.row_stride
        );
        let end = extent_bytes(tensor).and_then(|extent| extent.checked_add(tensor.offset_bytes));
        assert!(
            end.is_some_and(|end| end <= memory.bytes()),
            "{operation}: found {} × {} at {}, expected at most {} bytes",
            tensor.rows,
            tensor.columns,
            tensor.offset_bytes,
            memory.bytes()
        );
        // SAFETY: the offset is inside the allocation (or one past it, for empty tensors).
        unsafe { memory.start.as_ptr().add(tensor.offset_bytes) }
    }

    /// A view to read numbers of any floating-point type.
    pub(crate) fn source(&self, operation: &str, tensor: Tensor) -> Source<'_> {
        let pointer = self.resolve(operation, &tensor);
        assert!(
            matches!(tensor.dtype, Dtype::F32 | Dtype::Bf16 | Dtype::F16),
            "{operation}: found {}, expected a floating-point tensor",
            tensor.dtype.name()
        );
        // SAFETY: checked by `resolve`; the lock that `self` was reached through keeps it alive.
        unsafe { Source::new(pointer, tensor.dtype, tensor.rows, tensor.columns, tensor.row_stride) }
    }

    /// A view to write numbers of any floating-point type.
    pub(crate) fn sink(&self, operation: &str, tensor: Tensor) -> Sink<'_> {
        let pointer = self.resolve(operation, &tensor);
        assert!(
            matches!(tensor.dtype, Dtype::F32 | Dtype::Bf16 | Dtype::F16),
            "{operation}: found {}, expected a floating-point tensor",
            tensor.dtype.name()
        );
        // SAFETY: as in `source`.
        unsafe { Sink::new(pointer, tensor.dtype, tensor.rows, tensor.columns, tensor.row_stride) }
    }

    /// A view to read elements of one type.
    pub(crate) fn rows<T: Kept>(&self, operation: &str, tensor: Tensor) -> Rows<'_, T> {
        let pointer = self.resolve(operation, &tensor);
        assert_eq!(tensor.dtype, T::KIND, "{operation}: found {}, expected {}", tensor.dtype.name(), T::KIND.name());
        // SAFETY: as in `source`; the types agree and the alignment was checked.
        unsafe { Rows::from_pointer(pointer.cast(), tensor.rows, tensor.columns, tensor.row_stride) }
    }

    /// A view to write elements of one type.
    pub(crate) fn rows_mut<T: Kept>(&self, operation: &str, tensor: Tensor) -> RowsMut<'_, T> {
        let pointer = self.resolve(operation, &tensor);
        assert_eq!(tensor.dtype, T::KIND, "{operation}: found {}, expected {}", tensor.dtype.name(), T::KIND.name());
        // SAFETY: as in `rows`; operations run one at a time and check their outputs for overlap.
        unsafe { RowsMut::from_pointer(pointer.cast(), tensor.rows, tensor.columns, tensor.row_stride) }
    }

    /// A view of the raw bytes of each row.
    pub(crate) fn byte_rows(&self, operation: &str, tensor: Tensor) -> RowsMut<'_, u8> {
        let pointer = self.resolve(operation, &tensor);
        let size = tensor.dtype.size_bytes();
        // SAFETY: as in `rows_mut`.
        unsafe { RowsMut::from_pointer(pointer, tensor.rows, tensor.columns * size, tensor.row_stride * size) }
    }
}

/// An element type as it lies in memory.
pub(crate) trait Kept: Copy + Send + Sync {
    /// Its runtime name.
    const KIND: Dtype;
}

macro_rules! kept {
    ($($kind:ty => $dtype:ident),*) => { $(impl Kept for $kind { const KIND: Dtype = Dtype::$dtype; })* };
}
kept!(f32 => F32, half::bf16 => Bf16, half::f16 => F16, u32 => U32, u16 => U16, u8 => U8);

/// Bytes from a tensor's first element to its last.
fn extent_bytes(tensor: &Tensor) -> Option<usize> {
    if tensor.rows == 0 || tensor.columns == 0 {
        return Some(0);
    }
    (tensor.rows - 1).checked_mul(tensor.row_stride)?.checked_add(tensor.columns)?.checked_mul(tensor.dtype.size_bytes())
}

/// Whether two tensors share a byte. Column ranges of one matrix do not.
pub(crate) fn overlap(a: &Tensor, b: &Tensor) -> bool {
    let (Some(a_extent), Some(b_extent)) = (extent_bytes(a), extent_bytes(b)) else { return true };
    if a.buffer != b.buffer || a_extent == 0 || b_extent == 0 {
        return false;
    }
    if a.offset_bytes + a_extent <= b.offset_bytes || b.offset_bytes + b_extent <= a.offset_bytes {
        return false;
    }
    let stride = |tensor: &Tensor| (tensor.rows > 1).then_some(tensor.row_stride * tensor.dtype.size_bytes());
    let (period, same) = match (stride(a), stride(b)) {
        (Some(a), Some(b)) => (a, a == b),
        (Some(period), None) | (None, Some(period)) => (period, true),
        (None, None) => return true,
    };
    let width = |tensor: &Tensor| tensor.columns * tensor.dtype.size_bytes();
    let shift = (b.offset_bytes as isize - a.offset_bytes as isize).rem_euclid(period as isize) as usize;
    !(same && shift >= width(a) && shift + width(b) <= period)
}

/// Whether two tensors are the same elements in the same places.
pub(crate) fn same_place(a: &Tensor, b: &Tensor) -> bool {
    a.buffer == b.buffer
        && a.offset_bytes == b.offset_bytes
        && a.dtype == b.dtype
        && (a.rows, a.columns) == (b.rows, b.columns)
        && (a.row_stride == b.row_stride || a.rows <= 1)
}

/// Checks that no output shares memory with an input or another output.
pub(crate) fn expect_apart(operation: &str, outs: &[Tensor], ins: &[Tensor]) {
    for (index, out) in outs.iter().enumerate() {
        for other in outs[index + 1..].iter().chain(ins) {
            assert!(!overlap(out, other), "{operation}: an output overlaps another tensor: {out:?} and {other:?}");
        }
    }
}

/// The same for hundreds of tensors, in less than the square of their number: by extent from
/// first to last byte, and by element only where extents touch.
pub(crate) fn expect_many_apart(operation: &str, outs: &[Tensor], ins: &[Tensor]) {
    let all = outs.iter().map(|out| (out, true)).chain(ins.iter().map(|tensor| (tensor, false)));
    let mut extents: Vec<(u32, usize, usize, &Tensor, bool)> = all
        .map(|(tensor, is_out)| {
            let end = tensor.offset_bytes.saturating_add(extent_bytes(tensor).unwrap_or(usize::MAX));
            (tensor.buffer.0, tensor.offset_bytes, end, tensor, is_out)
        })
        .collect();
    extents.sort_unstable_by_key(|(buffer, start, end, ..)| (*buffer, *start, *end));
    for (index, (buffer, _, end, tensor, is_out)) in extents.iter().enumerate() {
        for (_, _, _, other, other_is_out) in extents[index + 1..].iter().take_while(|other| other.0 == *buffer && other.1 < *end) {
            let is_shared = (*is_out || *other_is_out) && overlap(tensor, other);
            assert!(!is_shared, "{operation}: an output overlaps another tensor: {tensor:?} and {other:?}");
        }
    }
}

/// Checks that an output either is one of the inputs, element for element, or apart from it.
pub(crate) fn expect_apart_or_same(operation: &str, out: Tensor, ins: &[Tensor]) {
    for other in ins {
        assert!(same_place(&out, other) || !overlap(&out, other), "{operation}: an output overlaps another tensor: {out:?} and {other:?}");
    }
}

/// Checks a shape.
#[track_caller]
pub(crate) fn expect_shape(operation: &str, role: &str, tensor: Tensor, rows: usize, columns: usize) {
    assert!(
        tensor.rows == rows && tensor.columns == columns,
        "{operation}: found {role} {} × {}, expected {rows} × {columns}",
        tensor.rows,
        tensor.columns
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_set::InstructionSet;

    fn tensor(offset: usize, rows: usize, columns: usize, row_stride: usize) -> Tensor {
        Tensor { buffer: BufferId(0), dtype: Dtype::F32, offset_bytes: offset * 4, rows, columns, row_stride }
    }

    #[test]
    fn overlap_is_by_element() {
        let whole = tensor(0, 4, 10, 10);
        let check = |a: Tensor, b: Tensor, expected: bool| {
            assert_eq!((overlap(&a, &b), overlap(&b, &a)), (expected, expected), "{a:?} {b:?}");
        };
        check(whole, whole, true);
        check(whole.column_range(0, 4), whole.column_range(4, 6), false);
        check(whole.column_range(0, 5), whole.column_range(4, 6), true);
        check(whole.row_range(0, 2), whole.row_range(2, 2), false);
        check(whole.row_range(1, 1).column_range(0, 3), whole.column_range(3, 2), false);
        check(whole.row_range(1, 1).column_range(0, 4), whole.column_range(3, 2), true);
        check(tensor(0, 2, 3, 7), tensor(3, 2, 3, 9), true);
        check(tensor(0, 0, 3, 3), whole, false);
    }

    #[test]
    fn a_freed_buffer_is_noticed() {
        let context = Context::new(1, InstructionSet::Portable).expect("portable runs everywhere");
        let mut buffers = Buffers::default();
        let memory = || Arc::new(Memory::zeroed(&context, 64).expect("64 bytes"));
        let first = buffers.insert(memory());
        assert!(buffers.remove(first).is_some());
        assert!(buffers.remove(first).is_none());
        for _ in 0..3000 {
            let next = buffers.insert(memory());
            assert_ne!(next, first);
            buffers.remove(next);
        }
    }

    #[test]
    #[should_panic(expected = "expected at most 64 bytes")]
    fn bounds_are_checked() {
        let context = Context::new(1, InstructionSet::Portable).expect("portable runs everywhere");
        let mut buffers = Buffers::default();
        let id = buffers.insert(Arc::new(Memory::zeroed(&context, 64).expect("64 bytes")));
        buffers.rows::<f32>("test", Tensor::dense(id, Dtype::F32, 4, 4, 4));
    }
}
