//! The runs of a home as data: what `apertis runs` prints and the studio shows.

use apertis_domain::{LockFacts, RunState};
use serde::Serialize;

use crate::lock::lock_facts;
use crate::remembered::{self, Standing};
use crate::{Home, RunFolder, RunRecord, RunsError};

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub name: String,
    /// Its folder, absolute.
    pub dir: String,
    /// What it is doing.
    #[serde(flatten)]
    pub state: RunState,
    /// The recipe's method.
    pub method: String,
    /// The recipe's model.
    pub model: String,
    /// The recipe's data.
    pub data: String,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run; 0 while unknown.
    pub total_steps: u64,
    /// Share of the steps done, from 0 to 1.
    pub progress: f64,
    /// Newest training loss.
    pub loss: Option<f64>,
    /// Smallest held-out loss.
    pub best_eval_loss: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Real tokens a second over the last 20 steps.
    pub tokens_per_second: f64,
    /// Working time left.
    pub seconds_left: Option<f64>,
    /// Working time.
    pub elapsed_ms: u64,
    /// When it began, in UTC.
    pub began_at: String,
    /// When its log last grew, in UTC.
    pub changed_at: String,
}

/// Every run of a home, the oldest first.
///
/// # Errors
/// The home cannot be listed. A run that cannot be read is not left out: its fields are empty.
pub fn list(home: &Home) -> Result<Vec<RunSummary>, RunsError> {
    let mut summaries: Vec<_> = RunFolder::all(home)?
        .iter()
        .map(|folder| {
            let lock = lock_facts(folder);
            RunSummary::with(folder, remembered::look(folder, lock.is_held), &lock)
        })
        .collect();
    summaries.sort_by(|a, b| a.began_at.cmp(&b.began_at));
    Ok(summaries)
}

impl RunSummary {
    /// The summary of one run.
    pub fn of(folder: &RunFolder, record: &RunRecord) -> RunSummary {
        RunSummary::with(folder, Standing::of(folder, record), &lock_facts(folder))
    }

    fn with(folder: &RunFolder, standing: Standing, lock: &LockFacts) -> RunSummary {
        let state = standing.state.with(lock);
        let is_done = matches!(state, RunState::Finished { .. });
        RunSummary {
            name: folder.name(),
            dir: folder.path().display().to_string(),
            method: standing.method,
            model: standing.model,
            data: standing.data,
            step: standing.step,
            total_steps: standing.total_steps,
            progress: match (is_done, standing.total_steps) {
                (true, _) => 1.0,
                (false, 0) => 0.0,
                (false, total) => standing.step as f64 / total as f64,
            },
            loss: standing.loss,
            best_eval_loss: standing.best_eval_loss,
            best_step: standing.best_step,
            tokens_per_second: standing.tokens_per_second,
            seconds_left: standing.seconds_left.filter(|_| state.is_active()),
            state,
            elapsed_ms: standing.elapsed_ms,
            began_at: standing.began_at,
            changed_at: standing.changed_at,
        }
    }
}
