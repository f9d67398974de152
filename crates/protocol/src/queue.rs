//! What waits, and groups of runs that try values of fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::recipe::RecipeDraft;
use crate::run::{FieldValue, RunRow};

/// The queue of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Whether nothing new begins.
    pub is_paused: bool,
    /// Waiting runs in order.
    pub runs: Vec<RunRow>,
    /// For `If-Match`.
    pub etag: String,
}

/// A new order of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct QueueChange {
    /// Ids in their new order; those that are left out follow as they were.
    pub order: Option<Vec<String>>,
    /// Priorities by id, −100 to 100: a higher one begins before every lower one; 0 is usual.
    pub priorities: Option<BTreeMap<String, i32>>,
    /// Whether nothing new begins.
    pub is_paused: Option<bool>,
}

/// Values of fields to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SweepDraft {
    /// What all of them share.
    pub recipe: RecipeDraft,
    /// What they try.
    pub axes: Vec<SweepAxis>,
    /// grid or random.
    pub order: String,
    /// Seed of random.
    #[serde(default)]
    pub seed: u64,
    /// Most runs, 1–20.
    pub limit: u32,
    /// Stop the worse half at 1/4 and at 1/2 of the schedule.
    #[serde(default)]
    pub rungs: bool,
    /// Name of the group.
    #[serde(default)]
    pub name: String,
    /// Only say what would run.
    #[serde(default)]
    pub preview: bool,
}

/// A field with the values to try: a list, or a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SweepAxis {
    /// Full name of the field.
    pub field: String,
    /// Values as texts; empty where a range is given.
    #[serde(default)]
    pub values: Vec<String>,
    /// Least value of a range.
    pub min: Option<f64>,
    /// Greatest value of a range.
    pub max: Option<f64>,
    /// How many values of a range a grid takes.
    pub steps: Option<u32>,
    /// Whether the range is cut by factors.
    #[serde(default)]
    pub is_logarithmic: bool,
}

/// A group of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sweep {
    /// Its id; empty in a preview.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What each run tries, in order.
    pub tries: Vec<SweepTry>,
    /// Runs that the axes describe in all, before the limit.
    pub total: u64,
    /// What keeps it from starting; empty where nothing does.
    pub problem: String,
}

/// One run of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SweepTry {
    /// The run, once it exists.
    pub run: Option<RunRow>,
    /// The values it tries.
    pub fields: Vec<FieldValue>,
    /// The rung it reached: 0, 1 (a quarter), 2 (a half) or 3 (all).
    pub rung: u32,
}
