//! What a run came to, in the fixed names that scripts rely on (`apertis train … --json`).

use serde::Serialize;

use crate::lock::lock_facts;
use crate::{RunFolder, RunRecord};

/// Steps before timing starts: the first ones touch memory that later ones find warm.
const WARM_STEPS: u64 = 2;

/// The result of training, as it stands after the command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainResult {
    /// Name of the run.
    pub run: String,
    /// Its folder, absolute.
    pub dir: String,
    /// Its state: finished, stopped, failed, …
    pub state: &'static str,
    /// Optimizer steps done.
    pub steps: u64,
    /// Real tokens trained on.
    pub tokens: u64,
    /// Real tokens from the end of step 2.
    pub timed_tokens: u64,
    /// Seconds they took, evaluation and saving excluded.
    pub timed_seconds: f64,
    /// Seconds of the whole command.
    pub wall_seconds: f64,
    /// Seconds from the start of the command to the beginning of its first step; none where it
    /// took none.
    pub first_step_seconds: Option<f64>,
    /// `timed_tokens / timed_seconds`.
    pub tokens_per_second: f64,
    /// Mean target-token negative log-likelihood of each step, before its update.
    pub train_losses: Vec<f64>,
    /// Held-out loss of the last evaluation.
    pub eval_loss: Option<f64>,
    /// Smallest held-out loss.
    pub best_eval_loss: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Largest resident size of command and worker together.
    pub peak_rss_bytes: u64,
    /// Code of the failure, if it failed.
    pub failure: Option<String>,
}

impl TrainResult {
    /// The result of a run, given how long the command took and the most memory it used itself.
    pub fn of(folder: &RunFolder, record: &RunRecord, wall_seconds: f64, command_peak_rss_bytes: u64) -> TrainResult {
        let (timed_tokens, timed_seconds) = timed(record);
        let worker_peak = record.memory.as_ref().map_or(0, |memory| memory.peak_rss_bytes);
        let finished_peak = record.finished.as_ref().map_or(0, |finished| finished.peak_rss_bytes);
        TrainResult {
            run: folder.name(),
            dir: folder.path().display().to_string(),
            state: record.state.with(&lock_facts(folder)).name(),
            steps: record.step(),
            tokens: record.tokens(),
            timed_tokens,
            timed_seconds,
            wall_seconds,
            first_step_seconds: first_step_seconds(record, wall_seconds),
            tokens_per_second: match timed_seconds > 0.0 {
                true => timed_tokens as f64 / timed_seconds,
                false => 0.0,
            },
            train_losses: record.steps.iter().map(|point| point.value.loss).collect(),
            eval_loss: record.evaluations.last().map(|point| point.value.loss),
            best_eval_loss: record.best().map(|point| point.value.loss),
            best_step: record.best().map(|point| point.step),
            peak_rss_bytes: command_peak_rss_bytes + worker_peak.max(finished_peak),
            failure: record.failed.as_ref().map(|failed| failed.code.clone()),
        }
    }
}

/// The log says when the first step began, and the command began `wall_seconds` ago.
fn first_step_seconds(record: &RunRecord, wall_seconds: f64) -> Option<f64> {
    let began_at: jiff::Timestamp = record.first_step_at.parse().ok()?;
    let since = jiff::Timestamp::now().duration_since(began_at).as_secs_f64();
    Some(wall_seconds - since).filter(|seconds| (0.0..=wall_seconds).contains(seconds))
}

/// Tokens and seconds from the end of step 2, by the trainer's own count where it covers the
/// whole run, else by the standing steps.
fn timed(record: &RunRecord) -> (u64, f64) {
    if let (1, Some(finished)) = (record.attempt, &record.finished)
        && finished.timed_seconds > 0.0
    {
        return (finished.timed_tokens, finished.timed_seconds);
    }
    let timed = record.steps.iter().filter(|point| point.step > WARM_STEPS);
    timed.fold((0, 0.0), |(tokens, seconds), point| (tokens + point.value.tokens, seconds + point.value.step_ms / 1000.0))
}
