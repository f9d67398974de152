//! Where one deferred operation finds its tensors: those of weights are laid out plainly for it,
//! and put back when it changed them.

use std::collections::HashMap;

use crate::backend::{Backend, Heads, MatrixView};
use crate::cpu::CpuBackend;
use crate::deferred::KeptWeight;
use crate::dtype::Dtype;
use crate::tensor::{BufferId, Tensor};

/// One operation's view of the buffers.
pub(super) struct Stage<'a> {
    /// What computes.
    pub(super) machine: &'a CpuBackend,
    weights: &'a mut HashMap<BufferId, KeptWeight>,
    /// Views of weights and their plain copies.
    copies: Vec<(Tensor, Tensor)>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(machine: &'a CpuBackend, weights: &'a mut HashMap<BufferId, KeptWeight>) -> Stage<'a> {
        Stage { machine, weights, copies: Vec::new() }
    }

    /// The tensor as the machine has it.
    pub(super) fn at(&mut self, tensor: Tensor) -> Tensor {
        let Some(weight) = self.weights.get(&tensor.buffer).copied() else { return tensor };
        if let Some((_, plain)) = self.copies.iter().find(|(view, _)| *view == tensor) {
            return *plain;
        }
        let plain = self.machine.allocate(tensor.rows, tensor.columns, tensor.dtype).expect("a copy of a weight of a test fits in memory");
        let kept = self.machine.read_bytes(kept_tensor(tensor, weight));
        let size = tensor.dtype.size_bytes();
        let bytes: Vec<u8> = places(tensor, weight).flat_map(|place| kept[place * size..(place + 1) * size].to_vec()).collect();
        self.machine.write_bytes(plain, &bytes);
        self.copies.push((tensor, plain));
        plain
    }

    pub(super) fn maybe(&mut self, tensor: Option<Tensor>) -> Option<Tensor> {
        tensor.map(|tensor| self.at(tensor))
    }

    pub(super) fn matrix(&mut self, view: MatrixView) -> MatrixView {
        MatrixView { tensor: self.at(view.tensor), ..view }
    }

    pub(super) fn heads(&mut self, heads: Heads) -> Heads {
        Heads { tensor: self.at(heads.tensor), ..heads }
    }

    /// Gives a buffer back.
    pub(super) fn free(&mut self, buffer: BufferId) {
        self.weights.remove(&buffer);
        self.machine.free(buffer);
    }

    /// Puts the copies back where they came from.
    pub(super) fn close(self) {
        for (view, plain) in self.copies {
            let weight = self.weights[&view.buffer];
            let whole = kept_tensor(view, weight);
            let mut kept = self.machine.read_bytes(whole);
            let bytes = self.machine.read_bytes(plain);
            let size = view.dtype.size_bytes();
            for (place, element) in places(view, weight).zip(bytes.chunks_exact(size)) {
                kept[place * size..(place + 1) * size].copy_from_slice(element);
            }
            self.machine.write_bytes(whole, &kept);
            self.machine.free(plain.buffer);
        }
    }
}

/// The whole buffer of a weight.
fn kept_tensor(view: Tensor, weight: KeptWeight) -> Tensor {
    Tensor::dense(view.buffer, view.dtype, 0, weight.columns, weight.rows)
}

/// Where the elements of a view lie in the transpose, in elements.
fn places(view: Tensor, weight: KeptWeight) -> impl Iterator<Item = usize> {
    let first = view.offset_bytes / view.dtype.size_bytes();
    (0..view.rows).flat_map(move |row| {
        (0..view.columns).map(move |column| {
            let plain = first + row * view.row_stride + column;
            plain % weight.columns * weight.rows + plain / weight.columns
        })
    })
}

/// The bytes of a matrix, column by column.
pub(super) fn transpose(bytes: &[u8], rows: usize, columns: usize, dtype: Dtype) -> Vec<u8> {
    let size = dtype.size_bytes();
    let element = |row: usize, column: usize| &bytes[(row * columns + column) * size..(row * columns + column + 1) * size];
    (0..columns).flat_map(|column| (0..rows).flat_map(move |row| element(row, column).to_vec())).collect()
}
