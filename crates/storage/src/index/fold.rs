//! What a log says of a run so far, small enough to be kept with its place in the log: the next
//! lines are taken in without reading those before again.

use std::collections::VecDeque;

use apertis_domain::event::StepFinished;
use apertis_domain::{Event, EventKind, LockFacts, LogState};
use serde::{Deserialize, Serialize};

use super::rows::{RunDetails, RunFacts, RunRow, RunStatus};

/// Steps over which pace and newest loss are taken.
const RECENT_MAX: usize = 20;

/// A run as of its newest event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fold {
    state: LogState,
    pub(super) seq: Option<u64>,
    attempt: u32,
    began_at: String,
    changed_at: String,
    pub(super) elapsed_ms: u64,
    pub(super) step: u64,
    pub(super) tokens: u64,
    pub(super) epoch: f64,
    total_steps: u64,
    pub(super) recent: VecDeque<Recent>,
    pub(super) best: Option<Best>,
    /// Lines that are events.
    pub(super) lines: u64,
    /// The latest place of each kind of point, to notice one that is written again.
    pub(super) latest: Latest,
    pub(super) details: RunDetails,
}

/// A step, as far as pace and loss need it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    pub(super) step: u64,
    pub(super) elapsed_ms: u64,
    pub(super) tokens: u64,
    pub(super) loss: Option<f32>,
    pub(super) step_ms: f32,
}

/// The lowest held-out loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) loss: f64,
    pub(super) step: u64,
}

/// Latest step of each kind of point that is an event row; of samples with the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Latest {
    pub(super) evaluation: Option<u64>,
    pub(super) checkpoint: Option<u64>,
    pub(super) sample: Option<(u64, u64)>,
}

impl Fold {
    /// Takes one event in, but for what a resume or rewind takes back: that is the mirror's,
    /// which has the points.
    pub(super) fn apply(&mut self, event: &Event) {
        self.seq = Some(event.seq);
        self.attempt = event.attempt;
        if self.began_at.is_empty() {
            self.began_at = event.at.clone();
        }
        self.changed_at = event.at.clone();
        self.elapsed_ms = event.elapsed_ms;
        self.lines += 1;
        self.state.apply(&event.kind);
        let details = &mut self.details;
        match &event.kind {
            EventKind::RunStarted(started) => details.started = Some(started.clone()),
            EventKind::RunResumed(_) => {
                details.finished = None;
                details.failed = None;
            }
            EventKind::DataChecked(data) => details.data = Some(data.clone()),
            EventKind::PlanMade(plan) => {
                self.total_steps = plan.total_steps;
                details.plan = Some(plan.clone());
            }
            EventKind::ScheduleReplanned(replanned) => self.total_steps = replanned.total_steps,
            EventKind::StepFinished(step) => self.apply_step(event, step),
            EventKind::Evaluated(evaluated) if evaluated.loss.is_finite() && self.best.is_none_or(|best| evaluated.loss < best.loss) => {
                self.best = Some(Best { loss: evaluated.loss, step: event.step });
            }
            EventKind::MemoryMeasured(memory) => details.memory = Some(memory.clone()),
            EventKind::RunFinished(finished) => details.finished = Some(finished.clone()),
            EventKind::RunFailed(failed) => details.failed = Some(failed.clone()),
            _ => {}
        }
    }

    fn apply_step(&mut self, event: &Event, step: &StepFinished) {
        self.step = event.step;
        self.tokens += step.tokens;
        self.epoch = step.epoch;
        // Rounded as the points are, from which these are read again after a rewind.
        self.push_recent(Recent {
            step: event.step,
            elapsed_ms: event.elapsed_ms,
            tokens: step.tokens,
            loss: Some(step.loss as f32).filter(|loss| loss.is_finite()),
            step_ms: (step.step_ms as f32).min(f32::MAX),
        });
    }

    pub(super) fn push_recent(&mut self, recent: Recent) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// The row of a list.
    pub(super) fn row(&self, facts: &RunFacts, lock: &LockFacts, curve: Vec<Option<f32>>) -> RunRow {
        let status = RunStatus::from(&self.state.with(lock));
        let losses: Vec<f64> = self.recent.iter().filter_map(|recent| recent.loss).map(f64::from).collect();
        let failed = self.details.failed.as_ref();
        RunRow {
            facts: facts.clone(),
            step: self.step,
            total_steps: self.total_steps,
            tokens: self.tokens,
            epoch: self.epoch,
            train_loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
            best_loss: self.best.map(|best| best.loss),
            best_step: self.best.map(|best| best.step),
            tokens_per_second: self.tokens_per_second(),
            elapsed_ms: self.elapsed_ms,
            left_ms: if status.is_active { self.left_ms() } else { None },
            curve,
            created_at: if facts.created_at.is_empty() { self.began_at.clone() } else { facts.created_at.clone() },
            changed_at: if self.changed_at.is_empty() { facts.created_at.clone() } else { self.changed_at.clone() },
            failure: failed.map(|failed| failed.message.clone()).unwrap_or_default(),
            failure_hint: failed.map(|failed| failed.hint.clone()).unwrap_or_default(),
            attempt: self.attempt,
            seq: self.seq,
            status,
        }
    }

    fn tokens_per_second(&self) -> Option<f64> {
        let tokens: u64 = self.recent.iter().map(|recent| recent.tokens).sum();
        let milliseconds: f64 = self.recent.iter().map(|recent| f64::from(recent.step_ms)).sum();
        let pace = tokens as f64 / (milliseconds / 1000.0);
        pace.is_finite().then_some(pace)
    }

    fn left_ms(&self) -> Option<u64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        if last.step <= first.step || self.total_steps < last.step {
            return None;
        }
        // Elapsed time counts evaluations and checkpoints between the steps too.
        let pace = last.elapsed_ms.saturating_sub(first.elapsed_ms) as f64 / (last.step - first.step) as f64;
        Some((pace * (self.total_steps - last.step) as f64) as u64)
    }
}
