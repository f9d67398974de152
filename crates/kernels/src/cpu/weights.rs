//! Numbers that come from the host or go to it: weights of a file, ids, losses.

use std::sync::Arc;

use half::{bf16, f16};

use crate::backend::BackendError;
use crate::context::Context;
use crate::cpu::buffers::Memory;
use crate::cpu::operand::{CHUNK, Sink};
use crate::cpu::work::{Work, for_row_ranges, for_tiles};
use crate::dtype::{Dtype, Element};
use crate::tensor::Tensor;

/// Fails where a weight cannot be kept as asked; returns the bytes it takes.
pub(super) fn expect_weight(
    name: &str,
    stored: Dtype,
    kept: Dtype,
    rows: usize,
    columns: usize,
    found_bytes: usize,
) -> Result<usize, BackendError> {
    for (dtype, supported) in [(stored, [Dtype::F32, Dtype::Bf16, Dtype::F16].as_slice()), (kept, &[Dtype::F32, Dtype::Bf16])] {
        if !supported.contains(&dtype) {
            return Err(BackendError::UnsupportedDtype { operation: "load_weight", dtype });
        }
    }
    let elements = rows.checked_mul(columns).ok_or(BackendError::OutOfMemory { wanted_bytes: usize::MAX })?;
    let expected_bytes = elements.saturating_mul(stored.size_bytes());
    if found_bytes != expected_bytes {
        return Err(BackendError::WeightSize { name: name.to_string(), found_bytes, expected_bytes });
    }
    elements.checked_mul(kept.size_bytes()).ok_or(BackendError::OutOfMemory { wanted_bytes: usize::MAX })
}

/// Memory for a tensor of any type.
pub(super) fn reserve(context: &Context, rows: usize, columns: usize, dtype: Dtype) -> Result<Arc<Memory>, BackendError> {
    let bytes = rows.checked_mul(columns).and_then(|elements| elements.checked_mul(dtype.size_bytes()));
    let bytes = bytes.ok_or(BackendError::OutOfMemory { wanted_bytes: usize::MAX })?;
    Memory::zeroed(context, bytes).map(Arc::new)
}

/// Fills a dense tensor from the bytes of a file.
pub(super) fn load(work: &Work<'_>, out: Tensor, stored: Dtype, bytes: &[u8]) {
    if stored == out.dtype {
        return write_bytes(work, out, bytes);
    }
    let sink = work.buffers.sink("load_weight", out);
    match stored {
        Dtype::F32 => convert(work, sink, bytes, f32::from_le_bytes),
        Dtype::Bf16 => convert(work, sink, bytes, |bytes| <bf16 as Element>::to_f32(bf16::from_le_bytes(bytes))),
        _ => convert(work, sink, bytes, |bytes| f16::to_f32(f16::from_le_bytes(bytes))),
    }
}

fn convert<const N: usize>(work: &Work<'_>, sink: Sink<'_>, bytes: &[u8], widen: impl Fn([u8; N]) -> f32 + Send + Sync) {
    let set = work.instruction_set();
    let columns = sink.columns;
    for_tiles(
        work.context,
        sink.rows,
        columns,
        || [0.0; CHUNK],
        |values, tile| {
            let first = tile.row * columns + tile.start;
            let from = &bytes[first * N..(first + tile.count) * N];
            for (value, bytes) in values.iter_mut().zip(from.chunks_exact(N)) {
                *value = widen(bytes.try_into().expect("chunks have N bytes"));
            }
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, &values[..tile.count]) };
        },
    );
}

pub(super) fn write_f32(work: &Work<'_>, out: Tensor, values: &[f32]) {
    assert_eq!(values.len(), out.len(), "write_f32: element counts differ");
    let sink = work.buffers.sink("write_f32", out);
    let set = work.instruction_set();
    for_row_ranges(work.context, out.rows, out.columns, |rows| {
        for row in rows {
            // SAFETY: each row is written by one task.
            unsafe { sink.store(set, row, 0, &values[row * out.columns..(row + 1) * out.columns]) };
        }
    });
}

pub(super) fn write_u32(work: &Work<'_>, out: Tensor, values: &[u32]) {
    assert_eq!(values.len(), out.len(), "write_u32: element counts differ");
    let rows = work.buffers.rows_mut::<u32>("write_u32", out);
    for row in 0..out.rows {
        // SAFETY: one thread writes.
        unsafe { rows.row(row) }.copy_from_slice(&values[row * out.columns..(row + 1) * out.columns]);
    }
}

/// Elements in memory are little-endian as those of files: the targets of this project are.
const _: () = assert!(cfg!(target_endian = "little"), "this backend expects a little-endian processor");

pub(super) fn write_bytes(work: &Work<'_>, out: Tensor, bytes: &[u8]) {
    let rows = work.buffers.byte_rows("write_bytes", out);
    assert_eq!(bytes.len(), out.rows * rows.columns, "write_bytes: byte counts differ");
    for_row_ranges(work.context, out.rows, rows.columns, |range| {
        for row in range {
            // SAFETY: each row is written by one task.
            unsafe { rows.row(row) }.copy_from_slice(&bytes[row * rows.columns..(row + 1) * rows.columns]);
        }
    });
}

pub(super) fn read_f32(work: &Work<'_>, tensor: Tensor) -> Vec<f32> {
    let source = work.buffers.source("read_f32", tensor);
    let mut values = vec![0.0; tensor.len()];
    for (row, values) in values.chunks_exact_mut(tensor.columns.max(1)).enumerate() {
        source.load_row(work.instruction_set(), row, values);
    }
    values
}

pub(super) fn read_bytes(work: &Work<'_>, tensor: Tensor) -> Vec<u8> {
    let rows = work.buffers.byte_rows("read_bytes", tensor);
    let mut bytes = Vec::with_capacity(tensor.rows * rows.columns);
    for row in 0..tensor.rows {
        // SAFETY: operations run one at a time; no one writes.
        bytes.extend_from_slice(unsafe { rows.row(row) });
    }
    bytes
}
