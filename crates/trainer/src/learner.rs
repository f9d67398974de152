//! Everything on the device that a run changes, and one optimizer step of it.

use std::sync::Arc;
use std::time::Instant;

use apertis_dataset::{GlobalBatch, PackedBatch};
use apertis_kernels::Owned;
use apertis_model::decoder::{Arena, Batch, HeadOutputs, StepOptions, Targets, new_totals};
use apertis_model::{Adapter, Decoder, Gradients, ModelWeights, Trainable};

use crate::error::TrainError;
use crate::optimizer::{OptimizerSettings, OptimizerState};

/// How the loss of a step is made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSettings {
    /// Share of each target spread over the vocabulary. Szegedy et al. 2016.
    pub label_smoothing: f32,
    /// Size of the noise on embeddings.
    pub neftune_alpha: f32,
    /// Start of every random choice.
    pub seed: u64,
    /// Keep only each layer's input for the backward.
    pub recompute: bool,
}

/// A model with what is trained of it.
pub struct Learner {
    decoder: Decoder,
    adapter: Option<Adapter>,
    trainable: Trainable,
    settings: OptimizerSettings,
    gradients: Option<Gradients>,
    optimizer: Option<OptimizerState>,
    totals: Owned,
    arena: Arena,
    loss: LossSettings,
}

/// What one optimizer step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean negative log-likelihood of the targets, before the update.
    pub loss: f64,
    /// Length of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Whether the update was made.
    pub is_finite: bool,
    /// Real tokens computed.
    pub tokens: u64,
    /// Of these, targets.
    pub target_tokens: u64,
    /// Time it took.
    pub milliseconds: f64,
}

impl Learner {
    /// Allocates an arena of this size. Gradients come with the first step and the optimizer's
    /// state with its update: clearing their pages takes the system seconds for a whole model,
    /// and nothing before needs them.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(
        weights: Arc<ModelWeights>,
        adapter: Option<Adapter>,
        trainable: Trainable,
        optimizer: OptimizerSettings,
        loss: LossSettings,
        arena_bytes: usize,
    ) -> Result<Learner, TrainError> {
        let backend = Arc::clone(weights.backend());
        let totals = new_totals(&backend)?;
        let arena = Arena::new(&backend, arena_bytes)?;
        let decoder = Decoder::new(weights);
        Ok(Learner { decoder, adapter, trainable, settings: optimizer, gradients: None, optimizer: None, totals, arena, loss })
    }

    /// The model.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What is trained beside or instead of the base.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// The optimizer's state, made where no step has needed it yet.
    ///
    /// # Errors
    /// When memory is short.
    pub fn optimizer(&mut self) -> Result<&OptimizerState, TrainError> {
        if self.optimizer.is_none() {
            let (weights, adapter) = (Arc::clone(self.decoder.weights()), self.adapter.as_ref());
            let gradients = made(&mut self.gradients, &weights, adapter, &self.trainable)?;
            self.optimizer = Some(OptimizerState::new(&weights, adapter, &self.trainable, gradients, self.settings)?);
        }
        Ok(self.optimizer.as_ref().expect("made above"))
    }

    /// Gives gradients and optimizer state back; the next step or reading of them makes new ones.
    pub fn forget_state(&mut self) {
        self.optimizer = None;
        self.gradients = None;
    }

    /// Bytes of the arena that were used at most.
    pub fn arena_peak_bytes(&self) -> usize {
        self.arena.peak_bytes()
    }

    /// Forward, backward and update on one global batch. The divisor of the loss is the number
    /// of targets over all its micro-batches, known before the first backward.
    ///
    /// # Errors
    /// When a batch does not fit the model.
    pub fn step(&mut self, batch: &GlobalBatch, step: u64, learning_rate: f64) -> Result<StepOutcome, TrainError> {
        let started = Instant::now();
        let backend = Arc::clone(self.decoder.weights().backend());
        if let Some(gradients) = &self.gradients {
            gradients.clear();
        }
        // New ones are zero.
        let gradients = made(&mut self.gradients, self.decoder.weights(), self.adapter.as_ref(), &self.trainable)?;
        backend.fill(*self.totals, 0.0);
        let divisor = batch.target_count.max(1) as f32;
        for (index, micro) in batch.micro.iter().enumerate() {
            let targets = smoothed_targets(micro, divisor, self.loss.label_smoothing);
            let options = StepOptions {
                recompute: self.loss.recompute,
                seed: self.loss.seed ^ (step + 1).wrapping_mul(0xd6e8_feb8_6659_fd93).wrapping_add(index as u64),
                neftune_alpha: self.loss.neftune_alpha,
                first_layer: self.trainable.first_layer,
                wants_input_gradient: false,
            };
            let device_batch = device_batch(micro);
            self.decoder.train(&mut self.arena, &device_batch, &targets, self.adapter.as_ref(), gradients, *self.totals, &options)?;
        }
        let update = self.optimizer()?.step(learning_rate, step + 1);
        let totals = backend.read_f32(*self.totals);
        Ok(StepOutcome {
            loss: -f64::from(totals[0]) / f64::from(divisor),
            gradient_norm: f64::from(update.gradient_norm),
            is_finite: update.is_finite,
            tokens: batch.token_count(),
            target_tokens: batch.target_count,
            milliseconds: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// What the head says of the targets of a batch.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    pub fn judge(&mut self, batch: &PackedBatch) -> Result<HeadOutputs, TrainError> {
        let targets = smoothed_targets(batch, 1.0, 0.0);
        Ok(self.decoder.evaluate(&mut self.arena, &device_batch(batch), &targets, self.adapter.as_ref())?)
    }
}

/// The gradients, made where there are none.
fn made<'a>(
    gradients: &'a mut Option<Gradients>,
    weights: &ModelWeights,
    adapter: Option<&Adapter>,
    trainable: &Trainable,
) -> Result<&'a Gradients, TrainError> {
    if gradients.is_none() {
        *gradients = Some(Gradients::new(weights.backend(), &weights.spec, adapter, trainable)?);
    }
    Ok(gradients.as_ref().expect("made above"))
}

/// The rows of a packed batch as the decoder takes them.
pub fn device_batch(batch: &PackedBatch) -> Batch {
    Batch { ids: batch.ids.clone(), offsets: batch.offsets.clone(), positions: batch.positions.clone(), ..Batch::default() }
}

/// Targets of a packed batch whose loss is
/// `(1 - smoothing) · nll + smoothing · (lse - mean logit)`, over `divisor`.
pub fn smoothed_targets(batch: &PackedBatch, divisor: f32, smoothing: f32) -> Targets {
    let (rows, ids): (Vec<u32>, Vec<u32>) =
        batch.targets.iter().enumerate().filter(|(_, target)| **target >= 0).map(|(row, target)| (row as u32, *target as u32)).unzip();
    let count = rows.len();
    Targets {
        rows,
        ids,
        dlogp: vec![-(1.0 - smoothing) / divisor; count],
        dlse: vec![smoothing / divisor; count],
        dmean: vec![-smoothing / divisor; count],
    }
}
