//! Curves: points thinned to what a chart can show.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which curves, and how finely.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct MetricQuery {
    /// Names separated by commas; all where absent.
    pub names: Option<String>,
    /// Most points a curve, 2–10,000; 1,500 where absent.
    pub points: Option<u32>,
    /// First step.
    pub from: Option<u64>,
    /// Last step.
    pub to: Option<u64>,
}

/// Curves of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// The run.
    pub run: String,
    /// One a name.
    pub series: Vec<Series>,
    /// What happened between: evaluations, checkpoints, pauses, changes, rewinds.
    pub marks: Vec<Mark>,
    /// Number of the newest event that this answer knows.
    pub seq: u64,
}

/// A curve: columns of the same length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// loss, eval_loss, accuracy, perplexity, learning_rate, grad_norm, tokens_per_second, cpu, memory, …
    pub name: String,
    /// Unit, or empty.
    pub unit: String,
    /// Points that each value stands for: 1, 16, 256, …
    pub bin: u32,
    /// Points of the whole curve.
    pub total: u64,
    /// Steps done at the last point of each bin.
    pub step: Vec<u64>,
    /// Real tokens trained on until then.
    pub tokens: Vec<u64>,
    /// Working time until then.
    pub elapsed_ms: Vec<u64>,
    /// Passes through the data until then.
    pub epoch: Vec<f32>,
    /// Mean of each bin.
    pub mean: Vec<Option<f32>>,
    /// Least of each bin; empty where `bin` is 1.
    pub min: Vec<Option<f32>>,
    /// Greatest of each bin; empty where `bin` is 1.
    pub max: Vec<Option<f32>>,
}

/// Something that happened at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// Where.
    pub step: u64,
    /// Working time until then.
    pub elapsed_ms: u64,
    /// evaluation, checkpoint, best, pause, resume, learning_rate, eval_steps, rewind, sleep, extended.
    pub kind: String,
    /// What to show when it is pointed at.
    pub text: String,
}
