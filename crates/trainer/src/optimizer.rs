//! Optimizer state on the device: moments, remainders of split masters, and one update of all.

use std::sync::Arc;

use apertis_domain::recipe::{Optimizer, Recipe};
use apertis_kernels::{Backend, BackendError, Dtype, OptimizerRule, Owned, ParameterUpdate, Tensor};
use apertis_model::{Adapter, Gradients, ModelWeights, Trainable};

/// Values that share one scale of an 8-bit moment.
const QUANTISED_BLOCK: usize = 256;

/// Settings of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// Which rule.
    pub optimizer: Optimizer,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled decay, on matrices only.
    pub weight_decay: f32,
    /// Longest gradient; 0 for no limit.
    pub max_grad_norm: f32,
}

impl OptimizerSettings {
    /// What a recipe says.
    pub fn of(recipe: &Recipe) -> OptimizerSettings {
        OptimizerSettings {
            optimizer: recipe.optimizer,
            beta1: recipe.adam_beta1 as f32,
            beta2: recipe.adam_beta2 as f32,
            epsilon: recipe.adam_epsilon as f32,
            weight_decay: recipe.weight_decay as f32,
            max_grad_norm: recipe.max_grad_norm as f32,
        }
    }
}

/// One trained tensor and what its updates need.
struct Slot {
    name: String,
    weight: Tensor,
    gradient: Tensor,
    is_matrix: bool,
    rule: OptimizerRule,
    remainder: Option<Owned>,
    first_moment: Owned,
    second_moment: Option<Owned>,
    first_scales: Option<Owned>,
    second_scales: Option<Owned>,
}

/// The state of an optimizer over everything that is trained.
pub struct OptimizerState {
    settings: OptimizerSettings,
    slots: Vec<Slot>,
    gradients: Tensor,
    sum_of_squares: Owned,
    clip: Owned,
    backend: Arc<dyn Backend>,
}

/// Norm of all gradients, and whether the update was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateOutcome {
    /// Length of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// False when the norm was not finite: nothing changed.
    pub is_finite: bool,
}

impl OptimizerState {
    /// Zero moments for everything that is trained.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(
        weights: &ModelWeights,
        adapter: Option<&Adapter>,
        trainable: &Trainable,
        gradients: &Gradients,
        settings: OptimizerSettings,
    ) -> Result<OptimizerState, BackendError> {
        let backend = Arc::clone(weights.backend());
        let mut slots = Vec::new();
        for id in &trainable.parameters {
            let parameter = weights.spec.parameter(*id);
            let weight = adapter.and_then(|adapter| adapter.replacement(*id)).unwrap_or_else(|| weights.tensor(*id));
            let Some(gradient) = gradients.of_parameter[id.0] else { continue };
            let is_table = *id == weights.spec.embedding || *id == weights.spec.head;
            slots.push(Slot::new(&backend, parameter.name().to_string(), weight, gradient, !parameter.is_vector, is_table, &settings)?);
        }
        if let Some(adapter) = adapter.filter(|_| trainable.has_adapter) {
            for (index, (addition, gradient)) in adapter.additions.iter().zip(&gradients.of_addition).enumerate() {
                slots.push(Slot::new(&backend, format!("addition.{index}.a"), *addition.a, gradient.a, true, false, &settings)?);
                slots.push(Slot::new(&backend, format!("addition.{index}.b"), *addition.b, gradient.b, true, false, &settings)?);
                if let (Some(magnitude), Some(gradient)) = (&addition.magnitude, gradient.magnitude) {
                    slots.push(Slot::new(&backend, format!("addition.{index}.magnitude"), **magnitude, gradient, false, false, &settings)?);
                }
            }
        }
        let sum_of_squares = Owned::zeros(&backend, 1, 1, Dtype::F32)?;
        let clip = Owned::zeros(&backend, 1, 3, Dtype::F32)?;
        Ok(OptimizerState { settings, slots, gradients: gradients.all(), sum_of_squares, clip, backend })
    }

    /// Bytes that the state takes for this many trained numbers.
    pub fn planned_bytes(trained: usize, split_masters: bool, optimizer: Optimizer) -> u64 {
        let moments = match optimizer {
            Optimizer::AdamW => 8.0,
            Optimizer::AdamW8Bit => 2.0 + 8.0 / QUANTISED_BLOCK as f64,
            Optimizer::Lion | Optimizer::Muon => 4.0,
        };
        (trained as f64 * (moments + if split_masters { 2.0 } else { 0.0 })) as u64
    }

    /// Measures all gradients, clips, updates. `update_count` counts from 1. A named read.
    pub fn step(&self, learning_rate: f64, update_count: u64) -> UpdateOutcome {
        self.backend.fill(*self.sum_of_squares, 0.0);
        self.backend.sum_of_squares(*self.sum_of_squares, &[self.gradients]);
        self.backend.clip_factor(*self.clip, *self.sum_of_squares, self.settings.max_grad_norm);
        let updates: Vec<ParameterUpdate> =
            self.slots.iter().map(|slot| slot.update(&self.settings, learning_rate as f32, update_count)).collect();
        self.backend.optimizer_step(&updates, *self.clip);
        let clip = self.backend.read_f32(*self.clip);
        UpdateOutcome { gradient_norm: clip[0], is_finite: clip[2] == 1.0 }
    }

    /// Every tensor of the state with a name that does not change between versions.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        for slot in &self.slots {
            let parts = [
                ("remainder", &slot.remainder),
                ("second_moment", &slot.second_moment),
                ("first_scales", &slot.first_scales),
                ("second_scales", &slot.second_scales),
            ];
            tensors.push((format!("{}/first_moment", slot.name), *slot.first_moment));
            tensors.extend(
                parts.into_iter().filter_map(|(part, tensor)| tensor.as_ref().map(|tensor| (format!("{}/{part}", slot.name), **tensor))),
            );
        }
        tensors
    }
}

impl Slot {
    fn new(
        backend: &Arc<dyn Backend>,
        name: String,
        weight: Tensor,
        gradient: Tensor,
        is_matrix: bool,
        is_table: bool,
        settings: &OptimizerSettings,
    ) -> Result<Slot, BackendError> {
        let OptimizerSettings { beta1, beta2, epsilon, .. } = *settings;
        let rule = match settings.optimizer {
            // Muon is for hidden matrices; everything else takes AdamW beside it.
            Optimizer::Muon if is_matrix && !is_table && weight.rows > 1 => OptimizerRule::Muon { momentum: 0.95, nesterov: true },
            Optimizer::AdamW | Optimizer::Muon => OptimizerRule::AdamW { beta1, beta2, epsilon },
            Optimizer::AdamW8Bit if weight.len() < QUANTISED_BLOCK * 16 => OptimizerRule::AdamW { beta1, beta2, epsilon },
            Optimizer::AdamW8Bit => OptimizerRule::AdamW8bit { beta1, beta2, epsilon },
            Optimizer::Lion => OptimizerRule::Lion { beta1, beta2 },
        };
        let (rows, columns) = (weight.rows, weight.columns);
        let blocks = weight.len().div_ceil(QUANTISED_BLOCK);
        let is_quantised = matches!(rule, OptimizerRule::AdamW8bit { .. });
        let has_second = matches!(rule, OptimizerRule::AdamW { .. } | OptimizerRule::AdamW8bit { .. });
        let moment_dtype = if is_quantised { Dtype::U8 } else { Dtype::F32 };
        let zeros = |rows, columns, dtype| Owned::zeros(backend, rows, columns, dtype);
        let optional = |wanted: bool, rows, columns, dtype| wanted.then(|| zeros(rows, columns, dtype)).transpose();
        Ok(Slot {
            name,
            weight,
            gradient: gradient.reshape(rows, columns),
            is_matrix,
            rule,
            remainder: optional(weight.dtype == Dtype::Bf16, rows, columns, Dtype::U16)?,
            first_moment: zeros(rows, columns, moment_dtype)?,
            second_moment: optional(has_second, rows, columns, moment_dtype)?,
            first_scales: optional(is_quantised, 1, blocks, Dtype::F32)?,
            second_scales: optional(is_quantised, 1, blocks, Dtype::F32)?,
        })
    }

    fn update(&self, settings: &OptimizerSettings, learning_rate: f32, update_count: u64) -> ParameterUpdate {
        let tensor = |owned: &Option<Owned>| owned.as_ref().map(|owned| **owned);
        ParameterUpdate {
            weight: self.weight,
            remainder: tensor(&self.remainder),
            gradient: self.gradient,
            first_moment: *self.first_moment,
            second_moment: tensor(&self.second_moment),
            first_scales: tensor(&self.first_scales),
            second_scales: tensor(&self.second_scales),
            rule: self.rule,
            learning_rate,
            weight_decay: if self.is_matrix { settings.weight_decay } else { 0.0 },
            update_count,
        }
    }
}
