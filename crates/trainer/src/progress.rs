//! What a run remembers between steps beside the tensors: saved with every checkpoint.

use std::path::Path;

use apertis_domain::recipe::Recipe;
use apertis_domain::{Event, EventKind};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::pace::{Pace, Position};

/// File name inside a checkpoint.
const FILE: &str = "progress.json";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// What of the recipe that number comes from; none in checkpoints of earlier versions.
    pub planned: Option<Planned>,
    /// Steps from one evaluation to the next; 0 for none.
    pub eval_steps: u64,
    /// Whether a person chose that number while it went on.
    pub is_eval_asked: bool,
    /// Steps of the warmup.
    pub warmup_steps: u64,
    /// Highest learning rate.
    pub peak_learning_rate: f64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Loss of the best evaluation.
    pub best_eval_loss: Option<f64>,
    /// Step of the best evaluation.
    pub best_step: u64,
    /// Loss of the latest evaluation.
    pub eval_loss: Option<f64>,
    /// Evaluations so far, without the one before the first step.
    pub evaluations: u64,
    /// Step of the latest evaluation; none in checkpoints of earlier versions.
    pub evaluated_step: Option<u64>,
    /// Evaluations since the best one.
    pub evaluations_without_better: u64,
    /// Recent losses, for the guard.
    pub recent_losses: Vec<f64>,
    /// Batches that are left out, by their number.
    pub skipped_batches: Vec<u64>,
    /// How often the run went back.
    pub rewinds: u32,
    /// Most tokens computed at once.
    pub micro_batch_tokens: usize,
    /// What steps and evaluations took, for the time limit.
    pub pace: Pace,
}

/// How long a recipe wants a run to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Passes over the data.
    pub epochs: f64,
    /// Steps; 0 leaves it to the epochs.
    pub max_steps: u64,
}

impl Planned {
    /// What this recipe says.
    pub fn of(recipe: &Recipe) -> Planned {
        Planned { epochs: recipe.epochs, max_steps: recipe.max_steps }
    }
}

impl Progress {
    /// Writes it into a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|error| TrainError::Checkpoint(format!("{FILE}: {error}")))?;
        std::fs::write(&path, text).map_err(|source| apertis_model::ModelError::Io { path, source }.into())
    }

    /// Reads it from a checkpoint.
    ///
    /// # Errors
    /// When it is missing or not what was written.
    pub fn load(folder: &Path) -> Result<Progress, TrainError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| TrainError::Checkpoint(format!("{}: {error}", path.display())))?;
        let mut progress: Progress =
            serde_json::from_str(&text).map_err(|error| TrainError::Checkpoint(format!("{}: {error}", path.display())))?;
        if progress.evaluated_step.is_none() && progress.eval_steps > 0 {
            // Earlier versions evaluated at multiples.
            progress.evaluations = progress.step / progress.eval_steps;
            progress.evaluated_step = Some(progress.evaluations * progress.eval_steps);
        }
        Ok(progress)
    }

    /// Where the run is between its evaluations.
    pub fn position(&self) -> Position {
        Position { step: self.step, evaluations: self.evaluations, evaluated_step: self.evaluated_step.unwrap_or(0) }
    }

    /// Whether the step that was just done is one to evaluate at.
    pub fn is_evaluation_due(&self) -> bool {
        let since = self.step - self.evaluated_step.unwrap_or(0);
        self.eval_steps > 0 && (since >= self.eval_steps || self.step >= self.total_steps)
    }

    /// The batch of a step: batches are numbered from 0, and skipped ones are passed over.
    pub fn batch_of(&self, step: u64) -> u64 {
        let mut skipped = self.skipped_batches.clone();
        skipped.sort_unstable();
        skipped.dedup();
        skipped.into_iter().fold(step, |batch, skip| if skip <= batch { batch + 1 } else { batch })
    }

    /// Repeats a decision of an earlier attempt, when its step has come.
    pub fn repeat(&mut self, decision: &Event) {
        match &decision.kind {
            EventKind::ScheduleReplanned(replanned) => {
                self.total_steps = replanned.total_steps;
                if replanned.eval_steps > 0 {
                    self.eval_steps = replanned.eval_steps;
                }
                if replanned.reason == "extended" {
                    self.evaluations_without_better = 0;
                }
            }
            EventKind::LearningRateChanged(changed) => self.peak_learning_rate = changed.to,
            EventKind::EvalStepsChanged(changed) => (self.eval_steps, self.is_eval_asked) = (changed.to, true),
            EventKind::BatchSkipped(skipped) if !self.skipped_batches.contains(&skipped.batch_step) => {
                self.skipped_batches.push(skipped.batch_step);
                self.rewinds += 1;
            }
            EventKind::MicroBatchHalved(halved) => self.micro_batch_tokens = halved.to_tokens as usize,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_an_earlier_version_was_evaluated_at_multiples() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), r#"{"step": 27, "eval_steps": 10, "total_steps": 100, "step_seconds": 2.5}"#)
            .expect("room");
        let progress = Progress::load(folder.path()).expect("it reads");
        assert_eq!(progress.position(), Position { step: 27, evaluations: 2, evaluated_step: 20 });
        assert!(!progress.is_evaluation_due());
        assert!(Progress { step: 30, ..progress }.is_evaluation_due());
    }

    #[test]
    fn skipped_batches_are_passed_over() {
        let progress = Progress { skipped_batches: vec![3, 4, 9], ..Progress::default() };
        let batches: Vec<u64> = (0..9).map(|step| progress.batch_of(step)).collect();
        assert_eq!(batches, [0, 1, 2, 5, 6, 7, 8, 10, 11]);
    }
}
