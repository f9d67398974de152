//! Size of all gradients together, and the factor that clips it.

use crate::context::Context;
use crate::cpu::view::Rows;
use crate::instruction_set::vectorized;

/// Elements whose squares are summed in f32 before f64 takes over.
const BLOCK: usize = 4096;

vectorized! {
    /// Σ x² of a block, in 32 lanes.
    fn block_sum(values: &[f32]) -> f64 {
        let mut lanes = [0f32; 32];
        let chunks = values.chunks_exact(32);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value * value;
            }
        }
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane += value * value;
        }
        lanes.iter().map(|lane| f64::from(*lane)).sum()
    }
}

/// Σ x² over all tensors.
///
/// Blocks are cut by shape and summed in their order, so that the result does not depend on the
/// number of threads.
pub fn sum_of_squares(context: &Context, tensors: &[Rows<'_, f32>]) -> f64 {
    // A dense tensor is one long row.
    let flat = |tensor: &Rows<'_, f32>| {
        if tensor.row_stride == tensor.columns { (1, tensor.rows * tensor.columns) } else { (tensor.rows, tensor.columns) }
    };
    let mut firsts = Vec::with_capacity(tensors.len());
    let mut count = 0;
    for tensor in tensors {
        firsts.push(count);
        let (rows, columns) = flat(tensor);
        count += rows * columns.div_ceil(BLOCK);
    }
    let mut sums = vec![0f64; count];
    let parts = crate::cpu::view::RowsMut::dense(&mut sums, count, 1);
    // A task is a run of blocks: about half a million elements.
    const BLOCKS_PER_TASK: usize = 128;
    context.for_each(count.div_ceil(BLOCKS_PER_TASK), |task| {
        for block in task * BLOCKS_PER_TASK..((task + 1) * BLOCKS_PER_TASK).min(count) {
            let index = firsts.partition_point(|first| *first <= block) - 1;
            let tensor = &tensors[index];
            let (_, columns) = flat(tensor);
            let blocks_per_row = columns.div_ceil(BLOCK);
            let (row, column) = ((block - firsts[index]) / blocks_per_row, (block - firsts[index]) % blocks_per_row * BLOCK);
            let length = BLOCK.min(columns - column);
            // SAFETY: inside the rows: either one row of a tensor with gaps, or a part of a
            // dense one. Each block writes its own sum.
            unsafe {
                let values = std::slice::from_raw_parts(tensor.pointer().add(row * tensor.row_stride + column), length);
                parts.row(block)[0] = block_sum(context.instruction_set(), values);
            }
        }
    });
    sums.iter().sum()
}

/// From a sum of squares: the norm, the factor for the gradients, and 1 when the norm is finite.
///
/// The factor is `min(1, max_norm / (norm + 1e-6))`, and 1 when `max_norm` is 0.
pub fn clip_factor(sum_of_squares: f64, max_norm: f32) -> [f32; 3] {
    let norm = sum_of_squares.sqrt();
    let factor = if max_norm > 0.0 { (f64::from(max_norm) / (norm + 1e-6)).min(1.0) } else { 1.0 };
    [norm as f32, factor as f32, if (norm as f32).is_finite() { 1.0 } else { 0.0 }]
}
