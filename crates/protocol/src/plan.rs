//! What a run will take, before it starts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::run::{FieldValue, MemoryPart};

/// Memory, steps, time and disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Whether time and memory were measured with this model, length and batch, rather than estimated.
    pub is_measured: bool,
    /// When it was measured.
    pub measured_at: Option<String>,
    /// Memory by component.
    pub memory: Vec<MemoryPart>,
    /// Their sum.
    pub memory_bytes: u64,
    /// What the run may use.
    pub memory_limit_bytes: u64,
    /// Bytes the checkpoints will take.
    pub disk_bytes: u64,
    /// Free space where they go.
    pub disk_free_bytes: u64,
    /// Rows trained on.
    pub rows: u64,
    /// Tokens of all epochs.
    pub tokens: u64,
    /// Whether the counts come from a part of the data.
    pub is_token_estimate: bool,
    /// Optimizer steps.
    pub steps: u64,
    /// Evaluations.
    pub evaluations: u64,
    /// Real tokens a second; `None` where nothing like it was measured here.
    pub tokens_per_second: Option<f64>,
    /// Time of the whole run.
    pub seconds: Option<f64>,
    /// Parameters.
    pub parameters: u64,
    /// Of these, trained.
    pub trainable_parameters: u64,
    /// What keeps it from starting, or is worth knowing.
    pub remarks: Vec<Remark>,
}

/// Something about a plan, with what would change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Remark {
    /// info, warn or bad; bad keeps the run from starting.
    pub tone: String,
    /// One sentence with its numbers.
    pub text: String,
    /// Changes, each one click.
    pub repairs: Vec<Repair>,
}

/// A change of the recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repair {
    /// The button: "1 epoch: 41 min".
    pub label: String,
    /// What it sets.
    pub fields: Vec<FieldValue>,
}
