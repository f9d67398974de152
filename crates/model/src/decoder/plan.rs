//! Memory and arithmetic of a step, known before the first one: the same code runs on a
//! backend that only counts.

use apertis_kernels::{BufferId, Dtype, Tensor};

use super::arena::Arena;
use super::counting::CountingBackend;
use super::{Batch, Decoder, StepOptions, Targets};
use crate::adapter::Adapter;

/// What one micro-batch costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// Bytes the arena needs.
    pub arena_bytes: usize,
    /// Multiplications and additions of all products.
    pub operations: u64,
}

impl Decoder {
    /// The cost of [`Decoder::train`] on these row lengths with `targets` judged tokens.
    pub fn plan_training(&self, row_lengths: &[usize], targets: usize, adapter: Option<&Adapter>, options: &StepOptions) -> StepPlan {
        let (batch, targets) = shape_of(row_lengths, targets);
        let backend = CountingBackend::default();
        let mut arena = Arena::measuring();
        let totals = Tensor::dense(BufferId(u32::MAX), Dtype::F32, 0, 1, 4);
        self.train_on(&backend, &mut arena, &batch, &targets, adapter, None, totals, options);
        StepPlan { arena_bytes: arena.peak_bytes(), operations: backend.operations() }
    }

    /// The cost of [`Decoder::evaluate`].
    pub fn plan_evaluation(&self, row_lengths: &[usize], targets: usize, adapter: Option<&Adapter>) -> StepPlan {
        let (batch, targets) = shape_of(row_lengths, targets);
        let backend = CountingBackend::default();
        let mut arena = Arena::measuring();
        self.evaluate_on(&backend, &mut arena, &batch, &targets, adapter);
        StepPlan { arena_bytes: arena.peak_bytes(), operations: backend.operations() }
    }
}

pub(super) fn logits_bytes(decoder: &Decoder, tokens: usize, rows: usize, adapter: Option<&Adapter>) -> usize {
    let evaluation = decoder.plan_evaluation(&[tokens], rows.max(1), adapter).arena_bytes;
    // Decoding keeps the logits of the rows it was asked for.
    evaluation + rows * decoder.spec().vocabulary * 4 + 4096
}

fn shape_of(row_lengths: &[usize], targets: usize) -> (Batch, Targets) {
    let rows: Vec<Vec<u32>> = row_lengths.iter().map(|length| vec![0; *length]).collect();
    let batch = Batch::from_rows(&rows);
    let targets = targets.min(batch.tokens()).max(1);
    (batch, Targets::mean_nll((0..targets as u32).collect(), vec![0; targets], 1.0))
}
