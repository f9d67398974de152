//! Several runs beside one another.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::run::RunRow;

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct CompareQuery {
    /// 2–100 ids, separated by commas.
    pub runs: String,
    /// Most points a curve; 400 where absent.
    pub points: Option<u32>,
    /// The curve; `eval_loss` where absent.
    pub metric: Option<String>,
}

/// Runs, their curves, and where their recipes differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// In the order of the question.
    pub runs: Vec<RunRow>,
    /// The curve of each run, in the same order.
    pub curves: Vec<crate::metric::Series>,
    /// Fields whose values are not all the same.
    pub fields: Vec<ComparedField>,
    /// Fields of the catalogue in all.
    pub field_count: u32,
    /// Best and last values of each metric.
    pub values: Vec<ComparedValue>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparedField {
    /// Full name.
    pub name: String,
    /// Its value in each run.
    pub values: Vec<String>,
    /// Each value as a number, where the field is one.
    pub is_number: bool,
}

/// A metric's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparedValue {
    /// Name of the metric.
    pub name: String,
    /// Whether less is better.
    pub is_less_better: bool,
    /// Best value of each run.
    pub best: Vec<Option<f64>>,
    /// Last value of each run.
    pub last: Vec<Option<f64>>,
}
