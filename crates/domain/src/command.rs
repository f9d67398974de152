//! What a person can ask of a living run.

use serde::{Deserialize, Serialize};

/// A request to a run, as it lies in its `control/` folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The name of the file without its ending, `<attempt>-<n>`; the answer carries it too.
    #[serde(default)]
    pub id: String,
    /// What is asked.
    #[serde(flatten)]
    pub action: Action,
}

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Finish the step and wait.
    Pause,
    /// Go on after a pause.
    Unpause,
    /// Save a checkpoint after this step.
    SaveNow,
    /// Save and end.
    Stop {
        /// End without saving.
        #[serde(default)]
        now: bool,
    },
    /// Use another highest learning rate from here on; the rest of the schedule follows it.
    SetLearningRate {
        /// The new highest learning rate.
        learning_rate: f64,
    },
    /// Evaluate after this step. It does not count against `patience`.
    EvaluateNow,
    /// Evaluate after every so many steps from here on.
    SetEvalSteps {
        /// Steps from one evaluation to the next, at least 1.
        eval_steps: u64,
    },
    /// Train longer than planned.
    Extend {
        /// Passes through the data, in total; 0 leaves them.
        #[serde(default)]
        epochs: f64,
        /// Steps, in total; 0 leaves them.
        #[serde(default)]
        max_steps: u64,
    },
}

impl Action {
    /// The word for it in files and answers.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Pause => "pause",
            Action::Unpause => "unpause",
            Action::SaveNow => "save_now",
            Action::Stop { .. } => "stop",
            Action::SetLearningRate { .. } => "set_learning_rate",
            Action::EvaluateNow => "evaluate_now",
            Action::SetEvalSteps { .. } => "set_eval_steps",
            Action::Extend { .. } => "extend",
        }
    }
}
