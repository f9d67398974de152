//! What stands of a run, folded from its log event by event: the source of list, curves, CSV,
//! samples and report.

use std::path::Path;

use apertis_domain::event::*;
use apertis_domain::history::{is_decision, supersedes_after};
use apertis_domain::{Event, EventKind, LogState};

use crate::RunsError;
use crate::error::AtPath;
use crate::log::read_log;

/// A point of the curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<T> {
    /// Optimizer steps done.
    pub step: u64,
    /// Working time.
    pub elapsed_ms: u64,
    /// Real tokens trained on until then.
    pub tokens: u64,
    /// What was measured.
    pub value: T,
}

/// What stands of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRecord {
    /// Where the events leave the run.
    pub state: LogState,
    /// Number of the newest event; `None` before the first.
    pub seq: Option<u64>,
    /// Worker starts.
    pub attempt: u32,
    /// When the first event was written, in UTC.
    pub began_at: String,
    /// When the newest event was written, in UTC.
    pub changed_at: String,
    /// Working time.
    pub elapsed_ms: u64,
    /// When the newest worker began its first step, in UTC; empty before it.
    pub first_step_at: String,
    /// The start.
    pub started: Option<RunStarted>,
    /// What the data check counted.
    pub data: Option<DataChecked>,
    /// The newest plan.
    pub plan: Option<PlanMade>,
    /// Steps of the whole run, replanning included; 0 while unknown.
    pub total_steps: u64,
    /// Most tokens computed at once, halving included; 0 while unknown.
    pub micro_batch_tokens: u64,
    /// Standing steps.
    pub steps: Vec<Point<StepFinished>>,
    /// Standing evaluations.
    pub evaluations: Vec<Point<Evaluated>>,
    /// Standing samples.
    pub samples: Vec<Point<Sampled>>,
    /// Standing checkpoints.
    pub checkpoints: Vec<Point<CheckpointSaved>>,
    /// Decisions that a resumed run repeats.
    pub decisions: Vec<Event>,
    /// What else happened that a reader of the report should know.
    pub notes: Vec<Event>,
    /// Worker starts that nobody asked for since the newest checkpoint.
    pub automatic_resumes: u32,
    /// Memory as measured.
    pub memory: Option<MemoryMeasured>,
    /// The end, if it was reached.
    pub finished: Option<RunFinished>,
    /// The failure, if it is the end.
    pub failed: Option<RunFailed>,
    pub(crate) tokens: u64,
}

impl RunRecord {
    /// The record of a log file; a missing one is empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> Result<RunRecord, RunsError> {
        Ok(RunRecord::of(&read_log(path).at("read", path)?))
    }

    /// The record of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> RunRecord {
        let mut record = RunRecord::default();
        for event in events {
            record.apply(event);
        }
        record
    }

    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        self.seq = Some(event.seq);
        self.attempt = event.attempt;
        if self.began_at.is_empty() {
            self.began_at = event.at.clone();
        }
        self.changed_at = event.at.clone();
        self.elapsed_ms = event.elapsed_ms;
        self.state.apply(&event.kind);
        if let Some(step) = supersedes_after(&event.kind) {
            self.take_back_after(step);
        }
        if is_decision(&event.kind) {
            self.decisions.push(event.clone());
        }
        if is_note(&event.kind) {
            self.notes.push(event.clone());
        }
        self.apply_kind(event);
    }

    /// Takes the end of the run in before it is written.
    pub(crate) fn apply_end(&mut self, step: u64, kind: &EventKind) {
        let event = Event {
            v: EVENT_VERSION,
            seq: self.seq.map_or(0, |seq| seq + 1),
            attempt: self.attempt,
            step,
            at: crate::clock::now_text(),
            elapsed_ms: self.elapsed_ms,
            kind: kind.clone(),
            extra: serde_json::Map::new(),
        };
        self.apply(&event);
    }

    fn apply_kind(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(started) => self.started = Some(started.clone()),
            EventKind::PhaseEntered(entered) if entered.phase == "training" && self.first_step_at.is_empty() => {
                self.first_step_at = event.at.clone();
            }
            EventKind::RunResumed(resumed) => {
                self.first_step_at.clear();
                self.finished = None;
                self.failed = None;
                self.automatic_resumes = if resumed.automatic { self.automatic_resumes + 1 } else { 0 };
            }
            EventKind::DataChecked(data) => self.data = Some(data.clone()),
            EventKind::PlanMade(plan) => {
                self.total_steps = plan.total_steps;
                self.micro_batch_tokens = plan.micro_batch_tokens;
                self.plan = Some(plan.clone());
            }
            EventKind::ScheduleReplanned(replanned) => self.total_steps = replanned.total_steps,
            EventKind::MicroBatchHalved(halved) => self.micro_batch_tokens = halved.to_tokens,
            EventKind::StepFinished(step) => {
                self.tokens += step.tokens;
                let point = self.point(event, step);
                place(&mut self.steps, point, |_, _| true);
            }
            EventKind::Evaluated(evaluated) => {
                let point = self.point(event, evaluated);
                place(&mut self.evaluations, point, |_, _| true);
            }
            EventKind::Sampled(sampled) => {
                let point = self.point(event, sampled);
                place(&mut self.samples, point, |a, b| a.index == b.index);
            }
            EventKind::CheckpointSaved(saved) => {
                self.automatic_resumes = 0;
                let point = self.point(event, saved);
                place(&mut self.checkpoints, point, |_, _| true);
            }
            EventKind::MemoryMeasured(memory) => self.memory = Some(memory.clone()),
            EventKind::RunFinished(finished) => self.finished = Some(finished.clone()),
            EventKind::RunFailed(failed) => self.failed = Some(failed.clone()),
            _ => {}
        }
    }

    fn point<T: Clone>(&self, event: &Event, value: &T) -> Point<T> {
        Point { step: event.step, elapsed_ms: event.elapsed_ms, tokens: self.tokens, value: value.clone() }
    }

    fn take_back_after(&mut self, step: u64) {
        self.steps.retain(|point| point.step <= step);
        self.evaluations.retain(|point| point.step <= step);
        self.samples.retain(|point| point.step <= step);
        self.checkpoints.retain(|point| point.step <= step);
        self.tokens = self.steps.last().map_or(0, |point| point.tokens);
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.steps.last().map_or(0, |point| point.step)
    }

    /// Real tokens trained on.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The standing evaluation with the smallest loss.
    pub fn best(&self) -> Option<&Point<Evaluated>> {
        let finite = self.evaluations.iter().filter(|point| point.value.loss.is_finite());
        finite.min_by(|a, b| a.value.loss.total_cmp(&b.value.loss))
    }

    /// The evaluation before the first step, if there was one.
    pub fn before(&self) -> Option<&Point<Evaluated>> {
        self.evaluations.first().filter(|point| point.step == 0)
    }

    /// Real tokens a second over the last 20 steps; 0 before the first.
    pub fn tokens_per_second(&self) -> f64 {
        let recent = &self.steps[self.steps.len().saturating_sub(20)..];
        let tokens: u64 = recent.iter().map(|point| point.value.tokens).sum();
        let seconds: f64 = recent.iter().map(|point| point.value.step_ms).sum::<f64>() / 1000.0;
        if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
    }

    /// Working time left, by the pace of the last 20 steps; `None` while unknown.
    ///
    /// # Units
    /// Seconds.
    pub fn seconds_left(&self) -> Option<f64> {
        let recent = &self.steps[self.steps.len().saturating_sub(20)..];
        let (first, last) = (recent.first()?, recent.last()?);
        if last.step <= first.step || self.total_steps < last.step {
            return None;
        }
        // Elapsed time counts evaluations and checkpoints between the steps too.
        let pace = (last.elapsed_ms.saturating_sub(first.elapsed_ms)) as f64 / (last.step - first.step) as f64;
        Some(pace * (self.total_steps - last.step) as f64 / 1000.0)
    }
}

/// Appends a point; one of the same step that it replaces goes.
fn place<T>(points: &mut Vec<Point<T>>, point: Point<T>, replaces: impl Fn(&T, &T) -> bool) {
    let of_this_step = points.iter().rev().take_while(|before| before.step == point.step);
    let replaced = of_this_step.into_iter().position(|before| replaces(&before.value, &point.value));
    if let Some(from_end) = replaced {
        points.remove(points.len() - 1 - from_end);
    }
    points.push(point);
}

fn is_note(kind: &EventKind) -> bool {
    is_decision(kind)
        || matches!(
            kind,
            EventKind::RunResumed(_)
                | EventKind::RunRewound(_)
                | EventKind::LogRepaired(_)
                | EventKind::CheckpointDamaged(_)
                | EventKind::RunPaused(_)
                | EventKind::WorkerSlept(_)
                | EventKind::Other { .. }
        )
}
