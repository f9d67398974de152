//! The decoder's passes: train, evaluate, logits, decode. Written against the backend alone.
//!
//! Shape letters: t tokens, d width.

mod arena;
mod batch;
mod cache;
mod channel;
mod counting;
mod experts;
mod head;
mod layer;
mod mixer;
mod parameters;
mod pass;
mod plan;

use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, Owned, SequenceSpan, Tensor};

pub use arena::Arena;
pub use batch::{Batch, DeviceBatch};
pub use cache::KvCache;
pub use head::{HeadOutputs, Targets};
pub use parameters::{Gradients, LowRankGradient, ModelWeights, Trainable};
pub use plan::StepPlan;

use crate::adapter::Adapter;
use crate::error::ModelError;
use head::HeadMemory;
use layer::SavedLayer;
use pass::Pass;

/// How a pass treats its memory and its noise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Keep only each layer's input and run the layer again in the backward.
    pub recompute: bool,
    /// Decides dropout masks and embedding noise of this step.
    pub seed: u64,
    /// Size of the uniform noise on embeddings (NEFTune); 0 for none. Jain et al. 2023.
    pub neftune_alpha: f32,
    /// The backward stops below this layer, because nothing there is trained.
    pub first_layer: usize,
    /// Keep the gradient of the input embeddings for the caller.
    pub wants_input_gradient: bool,
}

/// Whether a pass keeps what a backward needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keeps it.
    Train,
    /// Reuses one layer's memory for all.
    Evaluate,
}

/// A model ready to compute. It owns no memory of a step: callers bring an [`Arena`].
pub struct Decoder {
    weights: Arc<ModelWeights>,
    activation: Dtype,
}

impl Decoder {
    /// A decoder that computes in the weights' dtype.
    pub fn new(weights: Arc<ModelWeights>) -> Decoder {
        let activation = weights.dtype;
        Decoder { weights, activation }
    }

    /// The weights it reads.
    pub fn weights(&self) -> &Arc<ModelWeights> {
        &self.weights
    }

    /// What it computes.
    pub fn spec(&self) -> &crate::spec::ModelSpec {
        &self.weights.spec
    }

    /// Forward, loss and backward of one micro-batch: adds to `gradients`, and adds the sums of
    /// (log probability, log-sum-exp, mean logit, correct) to `totals` (1 × 4, F32).
    ///
    /// Returns the gradient of the input embeddings (t × d), when asked for.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    #[expect(clippy::too_many_arguments, reason = "a step names everything it reads and changes")]
    pub fn train(
        &self,
        arena: &mut Arena,
        batch: &Batch,
        targets: &Targets,
        adapter: Option<&Adapter>,
        gradients: &Gradients,
        totals: Tensor,
        options: &StepOptions,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        batch.check(self.spec())?;
        let backend: &dyn Backend = &**self.weights.backend();
        Ok(self.train_on(backend, arena, batch, targets, adapter, Some(gradients), totals, options))
    }

    #[expect(clippy::too_many_arguments, reason = "as above, and the backend that counts instead of computing")]
    fn train_on(
        &self,
        backend: &dyn Backend,
        arena: &mut Arena,
        batch: &Batch,
        targets: &Targets,
        adapter: Option<&Adapter>,
        gradients: Option<&Gradients>,
        totals: Tensor,
        options: &StepOptions,
    ) -> Option<Vec<f32>> {
        if targets.is_empty() {
            return None;
        }
        let start = arena.mark();
        let pass = self.pass(backend, arena, batch, adapter, gradients, Some(options.seed));
        let device = self.upload(&pass, arena, batch, DeviceBatch::plain_sequences(batch), true);
        let x_td = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
        let dx_td = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
        let head = HeadMemory::take(&pass, arena, targets);
        self.embed(&pass, arena, &device, batch, options, x_td);

        let mut saved: Vec<Kept> = Vec::with_capacity(pass.spec.layers.len());
        for (index, layer) in pass.spec.layers.iter().enumerate() {
            let mark = arena.mark();
            if index < options.first_layer {
                SavedLayer::take(&pass, arena, layer).forward(&pass, arena, layer, &device, None, x_td);
                arena.release(mark);
                saved.push(Kept::Nothing);
            } else if options.recompute {
                let input = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
                backend.copy(input, x_td, 1.0, false);
                let inner = arena.mark();
                SavedLayer::take(&pass, arena, layer).forward(&pass, arena, layer, &device, None, x_td);
                arena.release(inner);
                saved.push(Kept::Input(input));
            } else {
                let mut kept = SavedLayer::take(&pass, arena, layer);
                kept.forward(&pass, arena, layer, &device, None, x_td);
                saved.push(Kept::Layer(Box::new(kept)));
            }
        }
        head.train(&pass, arena, targets, x_td, dx_td);
        head.add_totals(&pass, totals);
        for (layer, kept) in pass.spec.layers.iter().zip(&saved).rev() {
            match kept {
                Kept::Nothing => break,
                Kept::Layer(kept) => kept.backward(&pass, arena, layer, &device, dx_td),
                Kept::Input(input) => {
                    let mark = arena.mark();
                    let mut again = SavedLayer::take(&pass, arena, layer);
                    backend.copy(x_td, *input, 1.0, false);
                    again.forward(&pass, arena, layer, &device, None, x_td);
                    again.backward(&pass, arena, layer, &device, dx_td);
                    arena.release(mark);
                }
            }
        }
        if options.first_layer == 0 {
            self.embed_backward(&pass, &device, dx_td);
        }
        let input_gradient = options.wants_input_gradient.then(|| backend.read_f32(dx_td));
        arena.release(start);
        input_gradient
    }

    /// What the head says of each target; no gradients.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    pub fn evaluate(
        &self,
        arena: &mut Arena,
        batch: &Batch,
        targets: &Targets,
        adapter: Option<&Adapter>,
    ) -> Result<HeadOutputs, ModelError> {
        batch.check(self.spec())?;
        if targets.is_empty() {
            return Ok(HeadOutputs::default());
        }
        let backend: &dyn Backend = &**self.weights.backend();
        Ok(self.evaluate_on(backend, arena, batch, targets, adapter))
    }

    fn evaluate_on(
        &self,
        backend: &dyn Backend,
        arena: &mut Arena,
        batch: &Batch,
        targets: &Targets,
        adapter: Option<&Adapter>,
    ) -> HeadOutputs {
        let start = arena.mark();
        let pass = self.pass(backend, arena, batch, adapter, None, None);
        let device = self.upload(&pass, arena, batch, DeviceBatch::plain_sequences(batch), false);
        let x_td = self.forward(&pass, arena, &device, batch, None);
        let head = HeadMemory::take(&pass, arena, targets);
        head.evaluate(&pass, targets, x_td);
        let outputs = head.read(&pass);
        arena.release(start);
        outputs
    }

    /// Logits of some tokens of a batch: `rows.len() × vocabulary`.
    ///
    /// With a cache the batch's rows continue its sequences (row i continues sequence i), and
    /// the cache grows by them.
    ///
    /// # Errors
    /// When the batch does not fit the model, or the cache is full.
    pub fn logits(
        &self,
        arena: &mut Arena,
        batch: &Batch,
        rows: &[u32],
        adapter: Option<&Adapter>,
        cache: Option<&mut KvCache>,
    ) -> Result<Vec<f32>, ModelError> {
        batch.check(self.spec())?;
        let backend: &dyn Backend = &**self.weights.backend();
        let sequences = match &cache {
            None => DeviceBatch::plain_sequences(batch),
            Some(cache) => cached_sequences(batch, cache)?,
        };
        let start = arena.mark();
        let pass = self.pass(backend, arena, batch, adapter, None, None);
        let device = self.upload(&pass, arena, batch, sequences, false);
        let x_td = self.forward(&pass, arena, &device, batch, cache.as_deref());
        let values = if rows.is_empty() { Vec::new() } else { head::logits(&pass, arena, rows, x_td) };
        if let Some(cache) = cache {
            for (length, row) in cache.lengths.iter_mut().zip(batch.offsets.windows(2)) {
                *length += (row[1] - row[0]) as usize;
            }
        }
        arena.release(start);
        Ok(values)
    }

    /// Bytes that [`Decoder::logits`] takes from an arena.
    pub fn logits_bytes(&self, tokens: usize, rows: usize, adapter: Option<&Adapter>) -> usize {
        plan::logits_bytes(self, tokens, rows, adapter)
    }

    fn pass<'a>(
        &'a self,
        backend: &'a dyn Backend,
        arena: &mut Arena,
        batch: &Batch,
        adapter: Option<&'a Adapter>,
        gradients: Option<&'a Gradients>,
        dropout_seed: Option<u64>,
    ) -> Pass<'a> {
        let mut pass = Pass {
            backend,
            spec: &self.weights.spec,
            weights: &self.weights,
            adapter,
            gradients,
            activation: self.activation,
            dropout_seed,
            magnitude_factors: Vec::new(),
            tokens: batch.tokens(),
        };
        pass.magnitude_factors = magnitude_factors(&pass, arena);
        pass
    }

    fn upload(&self, pass: &Pass<'_>, arena: &mut Arena, batch: &Batch, sequences: Vec<SequenceSpan>, for_training: bool) -> DeviceBatch {
        let device = DeviceBatch::lay_out(arena, pass.spec, batch, sequences, for_training);
        device.upload(pass.backend, pass.spec, batch);
        device
    }

    fn forward(&self, pass: &Pass<'_>, arena: &mut Arena, device: &DeviceBatch, batch: &Batch, cache: Option<&KvCache>) -> Tensor {
        let x_td = arena.take(pass.tokens, pass.spec.width, Dtype::F32);
        self.embed(pass, arena, device, batch, &StepOptions::default(), x_td);
        for (index, layer) in pass.spec.layers.iter().enumerate() {
            let mark = arena.mark();
            let layer_cache = cache.and_then(|cache| cache.layer(index));
            SavedLayer::take(pass, arena, layer).forward(pass, arena, layer, device, layer_cache, x_td);
            arena.release(mark);
        }
        x_td
    }

    fn embed(&self, pass: &Pass<'_>, arena: &mut Arena, device: &DeviceBatch, batch: &Batch, options: &StepOptions, x_td: Tensor) {
        let backend = pass.backend;
        let spec = pass.spec;
        backend.embed(x_td, pass.parameter(spec.embedding), device.ids, spec.embedding_scale, false);
        if let Some((_, values)) = device.embeddings {
            for (index, (row, _)) in batch.embeddings.iter().enumerate() {
                backend.copy(x_td.row_range(*row as usize, 1), values.row_range(index, 1), 1.0, false);
            }
        }
        if let (Some(table), Some((positions, _))) = (spec.position_embedding, device.positions) {
            backend.embed(x_td, pass.parameter(table), positions, 1.0, true);
        }
        if options.neftune_alpha > 0.0 {
            let mark = arena.mark();
            let magnitude = arena.take(pass.tokens, 1, Dtype::F32);
            let values: Vec<f32> = batch
                .offsets
                .windows(2)
                .flat_map(|row| {
                    let length = (row[1] - row[0]) as usize;
                    std::iter::repeat_n(options.neftune_alpha / ((length * spec.width) as f32).sqrt(), length)
                })
                .collect();
            backend.write_f32(magnitude, &values);
            backend.add_noise(x_td, magnitude, options.seed ^ 0x6e65_6674);
            arena.release(mark);
        }
    }

    fn embed_backward(&self, pass: &Pass<'_>, device: &DeviceBatch, dx_td: Tensor) {
        let spec = pass.spec;
        if let (Some((positions, Some(order))), Some(gradient)) =
            (device.positions, spec.position_embedding.and_then(|id| pass.gradient(id)))
        {
            pass.backend.embed_backward(gradient, dx_td, positions, order, 1.0);
        }
        if let (Some(gradient), Some(order)) = (pass.gradient(spec.embedding), device.id_order) {
            pass.backend.embed_backward(gradient, dx_td, device.ids, order, spec.embedding_scale);
        }
    }
}

enum Kept {
    Nothing,
    Input(Tensor),
    Layer(Box<SavedLayer>),
}

fn cached_sequences(batch: &Batch, cache: &KvCache) -> Result<Vec<SequenceSpan>, ModelError> {
    let mut sequences = Vec::with_capacity(batch.rows());
    if batch.rows() > cache.lengths.len() {
        let message = format!("found {} rows, expected at most the cache's {} sequences", batch.rows(), cache.lengths.len());
        return Err(ModelError::Input { operation: "decode", message });
    }
    for (index, row) in batch.offsets.windows(2).enumerate() {
        let (start, count) = (row[0] as usize, (row[1] - row[0]) as usize);
        let key_count = cache.lengths[index] + count;
        if key_count > cache.capacity {
            let message = format!("the context is full: {key_count} positions, the cache holds {}", cache.capacity);
            return Err(ModelError::Input { operation: "decode", message });
        }
        sequences.push(SequenceSpan { query_start: start, query_count: count, key_start: index * cache.capacity, key_count });
    }
    Ok(sequences)
}

/// For each addition with magnitudes: row 0 magnitude / length, row 1 one / length. The lengths
/// count as constants in the backward, as their authors train them.
fn magnitude_factors(pass: &Pass<'_>, arena: &mut Arena) -> Vec<Option<Tensor>> {
    let Some(adapter) = pass.adapter else { return Vec::new() };
    let backend = pass.backend;
    adapter
        .additions
        .iter()
        .map(|addition| {
            let magnitude = addition.magnitude.as_ref()?;
            let count = addition.spec.output_count;
            let factors = arena.take(2, count, Dtype::F32);
            let mark = arena.mark();
            let squares = arena.take(1, count, Dtype::F32);
            head::squared_row_lengths(pass, arena, addition, squares);
            let ones = arena.take(1, count, Dtype::F32);
            backend.fill(ones, 1.0);
            backend.divide_by_root(factors.row_range(0, 1), **magnitude, squares);
            backend.divide_by_root(factors.row_range(1, 1), ones, squares);
            arena.release(mark);
            Some(factors)
        })
        .collect()
}

/// Zeroed totals for [`Decoder::train`].
///
/// # Errors
/// When memory is short.
pub fn new_totals(backend: &Arc<dyn Backend>) -> Result<Owned, ModelError> {
    Ok(Owned::zeros(backend, 1, 4, Dtype::F32)?)
}
