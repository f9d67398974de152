//! The first screen.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::library::{DataCard, ModelCard};
use crate::run::RunRow;

/// What runs, what waits, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HomePage {
    /// Runs with a living worker.
    pub running: Vec<RunRow>,
    /// Runs that wait, in order.
    pub queued: Vec<RunRow>,
    /// Newest ended runs.
    pub recent: Vec<RunRow>,
    /// What to do next, best first.
    pub next: Vec<NextStep>,
    /// Models used last.
    pub models: Vec<ModelCard>,
    /// Data used last.
    pub data: Vec<DataCard>,
    /// The first-use tour; empty once it was closed.
    pub tour: Vec<TourStep>,
    /// State of the room `runs` at which this was read.
    pub seq: u64,
    /// Name of the server's life.
    pub epoch: String,
}

/// Something worth doing now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextStep {
    /// One sentence with its numbers.
    pub text: String,
    /// The button.
    pub label: String,
    /// Page that the button opens, from `/`.
    pub href: String,
    /// The same as a command.
    pub command: String,
}

/// A step of the first-use tour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TourStep {
    /// What to do.
    pub text: String,
    /// Page where it is done.
    pub href: String,
    /// Whether it was done.
    pub is_done: bool,
}
