//! Loss, optimizers, schedules, evaluation, checkpoints and guards; emits events, prints nothing.

pub mod checkpoint;
pub mod error;
pub mod evaluate;
pub mod guard;
pub mod learner;
pub mod optimizer;
pub mod pace;
pub mod plan;
pub mod progress;
pub mod sample;
pub mod schedule;
pub mod seen;
pub mod setup;
pub mod train;

pub use error::TrainError;
pub use learner::{Learner, LossSettings, StepOutcome};
pub use optimizer::{OptimizerSettings, OptimizerState};
pub use setup::{Machine, Surroundings, check_vocabulary, check_weights_fit, machine};
pub use train::{Outcome, Seams, TrainRequest, train};
