//! The runs of a home as data: what `apertis runs` prints and the studio shows.

use apertis_domain::RunState;
use serde::Serialize;

use crate::lock::lock_facts;
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
/// The home cannot be listed. A run that cannot be read is left out of neither: its fields are
/// empty.
pub fn list(home: &Home) -> Result<Vec<RunSummary>, RunsError> {
    let mut summaries: Vec<_> = RunFolder::all(home)?
        .iter()
        .map(|folder| {
            let record = RunRecord::read(&folder.events()).unwrap_or_default();
            RunSummary::of(folder, &record)
        })
        .collect();
    summaries.sort_by(|a, b| a.began_at.cmp(&b.began_at));
    Ok(summaries)
}

impl RunSummary {
    /// The summary of one run.
    pub fn of(folder: &RunFolder, record: &RunRecord) -> RunSummary {
        let recipe = folder.recipe().unwrap_or_default();
        let state = record.state.with(&lock_facts(folder));
        let best = record.best();
        let is_done = matches!(state, RunState::Finished { .. });
        RunSummary {
            name: folder.name(),
            dir: folder.path().display().to_string(),
            method: recipe.method.name().to_owned(),
            model: recipe.model,
            data: recipe.data,
            step: record.step(),
            total_steps: record.total_steps,
            progress: match (is_done, record.total_steps) {
                (true, _) => 1.0,
                (false, 0) => 0.0,
                (false, total) => record.step() as f64 / total as f64,
            },
            loss: record.steps.last().map(|point| point.value.loss),
            best_eval_loss: best.map(|point| point.value.loss),
            best_step: best.map(|point| point.step),
            tokens_per_second: record.tokens_per_second(),
            seconds_left: if state.is_active() { record.seconds_left() } else { None },
            state,
            elapsed_ms: record.elapsed_ms,
            began_at: record.began_at.clone(),
            changed_at: record.changed_at.clone(),
        }
    }
}
