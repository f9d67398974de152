//! What one operation holds while it runs: the context, the lock on the buffers, and how the
//! operation is cut into tasks.

use std::ops::Range;
use std::sync::MutexGuard;

use crate::context::Context;
use crate::cpu::buffers::Buffers;
use crate::cpu::operand::{CHUNK, Sink, Source};
use crate::cpu::reference::Matrix;
use crate::instruction_set::InstructionSet;
use crate::tensor::Tensor;

/// Below so many elements a task is not worth handing to another thread.
const TASK_ELEMENTS: usize = 16 * 1024;
/// Rows summed before their sum is added to the others, at least.
const TREE_ROWS: usize = 64;
/// Partial sums kept at most.
const TREE_LEAVES: usize = 64;

/// One operation at work. Operations of a backend run one after the other: the lock is the queue.
pub(crate) struct Work<'a> {
    /// Threads and instruction set.
    pub(crate) context: &'a Context,
    /// The living buffers.
    pub(crate) buffers: MutexGuard<'a, Buffers>,
}

/// A piece of one row, at most [`CHUNK`] elements.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Row.
    pub(crate) row: usize,
    /// First column.
    pub(crate) start: usize,
    /// Number of columns.
    pub(crate) count: usize,
}

impl Work<'_> {
    /// The code path.
    pub(crate) fn instruction_set(&self) -> InstructionSet {
        self.context.instruction_set()
    }

    /// Whether the slow reference is wanted.
    pub(crate) fn is_scalar(&self) -> bool {
        self.instruction_set() == InstructionSet::Scalar
    }

    /// All elements of a tensor, for a reference.
    pub(crate) fn matrix(&self, operation: &str, tensor: Tensor) -> Matrix {
        let source = self.buffers.source(operation, tensor);
        let mut row_values = vec![0.0; tensor.columns];
        let mut matrix = Matrix::zeros(tensor.rows, tensor.columns);
        for row in 0..tensor.rows {
            source.load_row(self.instruction_set(), row, &mut row_values);
            for (column, value) in row_values.iter().enumerate() {
                matrix.set(row, column, f64::from(*value));
            }
        }
        matrix
    }

    /// The same for a tensor that may be missing.
    pub(crate) fn optional_matrix(&self, operation: &str, tensor: Option<Tensor>) -> Option<Matrix> {
        tensor.map(|tensor| self.matrix(operation, tensor))
    }

    /// All elements of an integer tensor, row by row.
    pub(crate) fn integers(&self, operation: &str, tensor: Tensor) -> Vec<u32> {
        let rows = self.buffers.rows::<u32>(operation, tensor);
        (0..tensor.rows).flat_map(|row| rows.row(row).iter().copied()).collect()
    }

    /// Writes the result of a reference, rounded once, or adds it to what is there.
    pub(crate) fn put(&self, operation: &str, tensor: Tensor, matrix: &Matrix, accumulate: bool) {
        assert_eq!((tensor.rows, tensor.columns), (matrix.rows, matrix.columns), "{operation}: shapes differ");
        let sink = self.buffers.sink(operation, tensor);
        let mut held = vec![0.0; tensor.columns];
        for row in 0..tensor.rows {
            if accumulate {
                sink.source().load_row(self.instruction_set(), row, &mut held);
            }
            let sum: Vec<f32> = (0..tensor.columns).map(|column| (matrix.at(row, column) + f64::from(held[column])) as f32).collect();
            // SAFETY: one thread writes.
            unsafe { sink.store(self.instruction_set(), row, 0, &sum) };
        }
    }
}

/// Runs `task` on ranges of rows, cut by shape: a range has about `TASK_ELEMENTS` elements.
pub(crate) fn for_row_ranges(context: &Context, rows: usize, elements_a_row: usize, task: impl Fn(Range<usize>) + Send + Sync) {
    let block = (TASK_ELEMENTS / elements_a_row.max(1)).max(1);
    if rows <= block {
        task(0..rows);
    } else {
        context.for_each(rows.div_ceil(block), |index| task(index * block..rows.min((index + 1) * block)));
    }
}

/// Runs `task` on every tile of `rows × columns`. `scratch` is made once for many tiles.
pub(crate) fn for_tiles<S>(
    context: &Context,
    rows: usize,
    columns: usize,
    scratch: impl Fn() -> S + Send + Sync,
    task: impl Fn(&mut S, Tile) + Send + Sync,
) {
    let tiles_a_row = columns.div_ceil(CHUNK);
    if tiles_a_row == 0 {
        return;
    }
    let elements_a_tile = columns.div_ceil(tiles_a_row);
    for_row_ranges(context, rows * tiles_a_row, elements_a_tile, |tiles| {
        let mut scratch = scratch();
        for tile in tiles {
            let (row, start) = (tile / tiles_a_row, tile % tiles_a_row * CHUNK);
            task(&mut scratch, Tile { row, start, count: CHUNK.min(columns - start) });
        }
    });
}

/// Views of equal shape as one long row each, when none has gaps.
pub(crate) fn flatten<const N: usize>(out: &mut Sink<'_>, sources: [&mut Source<'_>; N]) {
    if out.is_dense() && sources.iter().all(|source| source.is_dense()) {
        *out = out.flattened();
        for source in sources {
            *source = source.flattened();
        }
    }
}

/// How rows are cut for a sum over them: the number of leaves and the rows of each. The leaves
/// are then added in order, so that the result is a function of the shape alone.
fn tree(rows: usize) -> (usize, usize) {
    let leaf_rows = TREE_ROWS.max(rows.div_ceil(TREE_LEAVES));
    (rows.div_ceil(leaf_rows), leaf_rows)
}

/// Runs `task` on the rows of each leaf of the tree.
pub(crate) fn for_leaves(context: &Context, rows: usize, elements_a_row: usize, task: impl Fn(usize, Range<usize>) + Send + Sync) {
    let (leaves, leaf_rows) = tree(rows);
    let task = |leaf: usize| task(leaf, leaf * leaf_rows..rows.min((leaf + 1) * leaf_rows));
    if rows * elements_a_row <= TASK_ELEMENTS {
        (0..leaves).for_each(task);
    } else {
        context.for_each(leaves, task);
    }
}

/// Memory that tasks fill in disjoint pieces.
pub(crate) struct Leaves {
    values: Vec<f32>,
    columns: usize,
}

impl Leaves {
    /// Zeros for the leaves of a tree over `rows`.
    pub(crate) fn new(rows: usize, columns: usize) -> Leaves {
        Leaves { values: vec![0.0; tree(rows).0 * columns], columns }
    }

    /// A view in which each task writes its own leaf.
    pub(crate) fn rows(&mut self) -> crate::cpu::view::RowsMut<'_, f32> {
        let rows = self.values.len().checked_div(self.columns).unwrap_or(0);
        crate::cpu::view::RowsMut::dense(&mut self.values, rows, self.columns)
    }

    /// The sum of the leaves, in order.
    pub(crate) fn sum(mut self, instruction_set: InstructionSet) -> Vec<f32> {
        if self.columns == 0 || self.values.is_empty() {
            return vec![0.0; self.columns];
        }
        let (total, rest) = self.values.split_at_mut(self.columns);
        for leaf in rest.chunks_exact(self.columns) {
            crate::cpu::operand::add(instruction_set, total, leaf);
        }
        self.values.truncate(self.columns);
        self.values
    }
}
