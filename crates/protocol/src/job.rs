//! Long work of the server.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Work with a progress and a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// upload, tokenise, measure_plan or merge.
    pub kind: String,
    /// What a person reads.
    pub title: String,
    /// waiting, running, done, failed, cancelled or interrupted.
    pub state: String,
    /// Share done, 0–1; `None` where it cannot be known.
    pub progress: Option<f64>,
    /// What it does now.
    pub message: String,
    /// When it was asked for.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// What came out: a plan, a data set, a folder.
    pub result: serde_json::Value,
    /// Why it failed.
    pub failure: String,
    /// What to do about it.
    pub failure_hint: String,
    /// Whether it can be run again.
    pub can_repeat: bool,
}

/// Work to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NewJob {
    /// Measures memory and speed of a recipe in three steps.
    MeasurePlan {
        /// The recipe.
        recipe: crate::recipe::RecipeDraft,
    },
    /// Tokenises the data of a recipe ahead.
    Tokenise {
        /// The recipe.
        recipe: crate::recipe::RecipeDraft,
    },
    /// Writes the whole model of a run's adapter.
    Merge {
        /// The run.
        run: String,
        /// best, last or step-000600.
        checkpoint: String,
    },
}
