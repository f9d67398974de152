//! The first steps of a run without the run: nothing is written but the token cache. What
//! `train --dry-run` and `bench train` measure.

use std::path::PathBuf;
use std::time::Instant;

use apertis_domain::event::{CheckpointSaved, DataChecked, PlanMade, StepFinished};
use apertis_domain::seam::Clock;
use apertis_domain::{Action, CheckpointMark, CheckpointRef, CheckpointStore, Command, Control, EventKind, EventSink, Recipe, SinkError};
use apertis_runs::{Home, machine};
use apertis_trainer::{Seams, TrainRequest};

use crate::failure::Failure;
use crate::settings;

/// A run that is rehearsed never comes to this step.
const FAR_STEPS: u64 = 1_000_000;

/// What the first steps were like.
#[derive(Default)]
pub(crate) struct Rehearsal {
    pub(crate) data: DataChecked,
    pub(crate) plan: PlanMade,
    pub(crate) steps: Vec<StepFinished>,
    /// Until the first step began.
    pub(crate) start_seconds: f64,
    pub(crate) peak_rss_bytes: u64,
}

impl Rehearsal {
    /// Median seconds of a step, the first ones left out where there are others.
    pub(crate) fn step_seconds(&self) -> f64 {
        median(self.warm().map(|step| step.step_ms / 1e3))
    }

    /// Median tokens a second.
    pub(crate) fn tokens_per_second(&self) -> f64 {
        median(self.warm().map(|step| step.tokens as f64 / (step.step_ms / 1e3)))
    }

    fn warm(&self) -> impl Iterator<Item = &StepFinished> {
        self.steps.iter().skip(usize::from(self.steps.len() > 1))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Trains `steps` steps of a recipe in this process; nothing is held out, evaluated or saved.
pub(crate) fn rehearse(recipe: &Recipe, home: &Home, steps: u64) -> Result<Rehearsal, Failure> {
    crate::memory::give_large_back();
    let recipe = Recipe {
        eval_fraction: 0.0,
        eval_data: String::new(),
        sample_tokens: 0,
        time_limit_minutes: 0.0,
        max_steps: FAR_STEPS,
        save_every: FAR_STEPS,
        ..recipe.clone()
    };
    let surroundings = settings::surroundings(&recipe, home)?;
    let machine = apertis_trainer::machine(&recipe, surroundings.cores)?;
    let began = Began(Instant::now());
    let mut collector = Collector { rehearsal: Rehearsal::default(), began: began.0 };
    let request = TrainRequest {
        recipe: &recipe,
        surroundings: &surroundings,
        resume: None,
        decisions: &[],
        extends: false,
        fixed_plan: None,
        heartbeat: &mut || {},
        on_plan: &mut |_| Ok(()),
    };
    let seams = Seams {
        sink: &mut collector,
        control: &mut StopAfter(steps),
        checkpoints: &mut Nowhere,
        clock: &began,
        peak_memory_bytes: &machine::peak_rss_bytes,
    };
    apertis_trainer::train(request, &machine, seams)?;
    Ok(Rehearsal { peak_rss_bytes: machine::peak_rss_bytes(), ..collector.rehearsal })
}

struct Began(Instant);

impl Clock for Began {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

struct Collector {
    rehearsal: Rehearsal,
    began: Instant,
}

impl EventSink for Collector {
    fn emit(&mut self, _: u64, kind: EventKind) -> Result<(), SinkError> {
        match kind {
            EventKind::DataChecked(data) => self.rehearsal.data = data,
            EventKind::PlanMade(plan) => self.rehearsal.plan = plan,
            EventKind::PhaseEntered(phase) if phase.phase == "training" => {
                self.rehearsal.start_seconds = self.began.elapsed().as_secs_f64();
            }
            EventKind::StepFinished(step) => self.rehearsal.steps.push(step),
            _ => {}
        }
        Ok(())
    }
}

struct StopAfter(u64);

impl Control for StopAfter {
    fn poll(&mut self, step: u64) -> Vec<Command> {
        match step >= self.0 {
            true => vec![Command { id: "rehearsed".to_owned(), action: Action::Stop { now: true } }],
            false => Vec::new(),
        }
    }
}

/// A rehearsal keeps nothing.
struct Nowhere;

impl CheckpointStore for Nowhere {
    fn begin(&mut self, step: u64) -> Result<PathBuf, SinkError> {
        Err(refused(step))
    }
    fn commit(&mut self, step: u64, _: CheckpointMark) -> Result<CheckpointSaved, SinkError> {
        Err(refused(step))
    }
    fn discard(&mut self, _: u64) {}
    fn best(&self) -> Option<CheckpointRef> {
        None
    }
    fn last(&self) -> Option<CheckpointRef> {
        None
    }
    fn mark_best(&mut self, step: u64) -> Result<(), SinkError> {
        Err(refused(step))
    }
}

fn refused(step: u64) -> SinkError {
    SinkError { operation: format!("save step {step}"), message: "a rehearsal saves nothing".to_owned(), is_disk_full: false }
}
