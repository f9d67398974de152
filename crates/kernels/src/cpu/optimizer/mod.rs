//! What happens to weights after a backward: the norm of the gradients and the update rules.
//!
//! Every rule makes one pass over memory, in blocks that threads share out; a block's numbers
//! do not depend on who computes it.

pub mod code;
mod master;
mod muon;
mod norm;
mod rules;

use half::bf16;

pub use master::{join_master, split_master};
pub use norm::{clip_factor, sum_of_squares};

use crate::backend::OptimizerRule;
use crate::context::Context;

/// The f32 master of a weight.
#[derive(Debug)]
pub enum Weight<'a> {
    /// The weight itself.
    F32(&'a mut [f32]),
    /// A bf16 weight and what [`split_master`] leaves.
    Split(&'a mut [bf16], &'a mut [u16]),
}

impl Weight<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Weight::F32(weight) => weight.len(),
            Weight::Split(weight, _) => weight.len(),
        }
    }
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A moment that a rule keeps between steps.
#[derive(Debug)]
pub enum Moment<'a> {
    /// One f32 an element.
    F32(&'a mut [f32]),
    /// One code an element and a scale for every [`code::CODE_BLOCK`] elements.
    Coded(&'a mut [u8], &'a mut [f32]),
}

/// One parameter's part of a step: [`crate::ParameterUpdate`] with its memory. All dense.
#[derive(Debug)]
pub struct Update<'a> {
    /// The weight, changed in place.
    pub weight: Weight<'a>,
    /// Rows of the weight.
    pub rows: usize,
    /// Columns of the weight.
    pub columns: usize,
    /// Its gradient.
    pub gradient: &'a [f32],
    /// First moment or momentum.
    pub first: Moment<'a>,
    /// Second moment, for AdamW.
    pub second: Option<Moment<'a>>,
    /// The rule.
    pub rule: OptimizerRule,
    /// Step size.
    pub learning_rate: f32,
    /// Decoupled decay.
    pub weight_decay: f32,
    /// Updates so far, this one included.
    pub update_count: u64,
}

/// Applies updates, each gradient times `clip[1]`; nothing changes when `clip[2]` is 0.
///
/// # Panics
/// When a state does not fit its rule or its weight.
pub fn optimizer_step(context: &Context, updates: &mut [Update<'_>], clip: &[f32; 3]) {
    if clip[2] == 0.0 {
        return;
    }
    rules::step(context, updates, clip[1]);
    for update in updates.iter_mut() {
        if let OptimizerRule::Muon { momentum, nesterov } = update.rule {
            muon::step(context, update, clip[1], momentum, nesterov);
        }
    }
}
