//! The loop of a run: steps, evaluations, checkpoints, early stopping, rewinds.

mod obey;
mod prepare;

use std::time::Instant;

use apertis_dataset::{Dataset, Sampler};
use apertis_domain::event::*;
use apertis_domain::recipe::{Method, Recipe};
use apertis_domain::seam::Clock;
use apertis_domain::{CheckpointMark, CheckpointStore, Control, Event, EventKind, EventSink};
use apertis_model::{adapter, weights};

use crate::checkpoint;
use crate::error::TrainError;
use crate::evaluate::evaluate_learner;
use crate::guard::{Alarm, LossGuard, REWINDS_MAX};
use crate::learner::{Learner, LossSettings, StepOutcome};
use crate::optimizer::OptimizerSettings;
use crate::plan::MemoryPlan;
use crate::progress::Progress;
use crate::sample::{SamplePrompt, answer};
use crate::schedule::LearningRate;
use crate::seen::SeenRow;
use crate::setup::{Machine, Surroundings, adapter_settings, parts};

/// What a run is given.
pub struct TrainRequest<'a> {
    /// Every setting.
    pub recipe: &'a Recipe,
    /// Files and machine.
    pub surroundings: &'a Surroundings,
    /// Folder of the checkpoint to go on from.
    pub resume: Option<std::path::PathBuf>,
    /// Decisions of earlier attempts, to be repeated from their steps on.
    pub decisions: &'a [Event],
    /// The run goes on although it had come to its end.
    pub extends: bool,
    /// Micro-batch and recomputation of an earlier attempt.
    pub fixed_plan: Option<(usize, bool)>,
    /// A sign of life during work without events.
    pub heartbeat: &'a mut dyn FnMut(),
    /// Told once what the first step will be computed from and how; an error is a sentence.
    pub on_plan: &'a mut dyn FnMut(&PlanFacts) -> Result<(), String>,
}

/// What makes a run repeatable, for its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanFacts {
    /// Most tokens computed at once.
    pub micro_batch_tokens: usize,
    /// Whether activations are computed again.
    pub recompute: bool,
    /// Hash of the base model's config and weight sizes; empty from scratch.
    pub model_hash: String,
    /// Hash of the training data.
    pub data_hash: String,
    /// Hash of tokenizer and template.
    pub tokenizer_hash: String,
    /// Rows of the first batches of a new run.
    pub first_batches: Vec<SeenRow>,
}

/// Everything around the loop that remembers.
pub struct Seams<'a> {
    /// Where events go.
    pub sink: &'a mut dyn EventSink,
    /// Where requests come from.
    pub control: &'a mut dyn Control,
    /// Where checkpoints go.
    pub checkpoints: &'a mut dyn CheckpointStore,
    /// Working time.
    pub clock: &'a dyn Clock,
    /// Largest resident size of this process so far.
    pub peak_memory_bytes: &'a dyn Fn() -> u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// `RunFinished` or `RunStopped`, to be recorded last.
    pub ending: EventKind,
}

/// Trains until the end, a stop, or an error.
///
/// # Errors
/// A sentence about what cannot go on.
pub fn train<'a>(request: TrainRequest<'a>, machine: &'a Machine, seams: Seams<'a>) -> Result<Outcome, TrainError> {
    let mut run = Run::prepare(request, machine, seams)?;
    run.go()
}

struct Run<'a> {
    request: TrainRequest<'a>,
    machine: &'a Machine,
    seams: Seams<'a>,
    parts: Kept,
    learner: Learner,
    plan: MemoryPlan,
    sampler: Sampler,
    steps_per_epoch: u64,
    progress: Progress,
    guard: LossGuard,
    prompts: Vec<SamplePrompt>,
    decisions: Vec<Event>,
    timed_tokens: u64,
    timed_seconds: f64,
    saved_step: Option<u64>,
    /// Until when working time is counted in the pace.
    noted_ms: Option<u64>,
}

/// What of [`crate::setup::Parts`] is left once weights and adapter have moved into the learner.
struct Kept {
    config: apertis_model::ModelConfig,
    tokenizer: std::sync::Arc<apertis_tokenizer::Tokenizer>,
    eval: Option<Dataset>,
}

/// Why the loop ends.
enum End {
    Finished(&'static str),
    Stopped { reason: String, saves: bool },
}

impl Run<'_> {
    fn go(&mut self) -> Result<Outcome, TrainError> {
        if self.progress.step == 0 && self.progress.eval_steps > 0 {
            self.noted_ms = Some(self.seams.clock.elapsed_ms());
            self.evaluate()?;
            self.note_evaluation_time(true);
            self.noted_ms = None;
        }
        self.emit(PhaseEntered { phase: "training".to_string() })?;
        let end = loop {
            if let Some(end) = self.obey()? {
                break end;
            }
            self.repeat_decisions()?;
            if self.progress.step < self.progress.total_steps {
                self.replan_time()?;
            }
            if self.progress.step >= self.progress.total_steps {
                break End::Finished(self.reason_at_last_step());
            }
            if self.is_out_of_time() {
                break End::Finished("time_limit");
            }
            if let Some(end) = self.one_step()? {
                break end;
            }
        };
        self.finish(end)
    }

    fn finish(&mut self, end: End) -> Result<Outcome, TrainError> {
        let step = self.progress.step;
        let (reason, saves) = match &end {
            End::Finished(reason) => (reason.to_string(), true),
            End::Stopped { reason, saves } => (reason.clone(), *saves),
        };
        // A run that ends between two evaluations, as by the clock, is judged by where it ends.
        let is_judged = self.progress.eval_steps == 0 || self.progress.evaluated_step == Some(step);
        let is_better = matches!(end, End::Finished(_)) && !is_judged && self.evaluate()?;
        self.emit(RunStopping { reason: reason.clone() })?;
        if saves && (is_better || self.saved_step != Some(step)) {
            self.save(is_better)?;
        }
        self.measure_memory()?;
        let ending = match end {
            End::Finished(_) => RunFinished {
                reason,
                steps: step,
                best_step: if self.progress.best_eval_loss.is_some() { self.progress.best_step } else { step },
                best_eval_loss: self.progress.best_eval_loss.unwrap_or(f64::NAN),
                eval_loss: self.progress.eval_loss.unwrap_or(f64::NAN),
                tokens: self.progress.tokens,
                timed_tokens: self.timed_tokens,
                timed_seconds: self.timed_seconds,
                peak_rss_bytes: (self.seams.peak_memory_bytes)(),
            }
            .into(),
            End::Stopped { .. } => RunStopped { reason, steps: step, saved_step: self.saved_step.unwrap_or(0) }.into(),
        };
        Ok(Outcome { step, ending })
    }

    fn one_step(&mut self) -> Result<Option<End>, TrainError> {
        let step = self.progress.step;
        let batch_number = self.progress.batch_of(step);
        let batch = self.sampler.global_batch(batch_number)?;
        let rate = self.schedule().at(step);
        let learner = &mut self.learner;
        // On a thread of the engine, so that operations need no handover.
        let outcome = self.machine.context.install(|| learner.step(&batch, step, rate))?;
        if let Some(alarm) = self.guard.judge(outcome.loss, outcome.is_finite) {
            self.rewind(alarm, batch_number, &batch, &outcome)?;
            return Ok(None);
        }
        self.progress.step += 1;
        self.progress.tokens += outcome.tokens;
        if self.progress.step > 2 {
            self.timed_tokens += outcome.tokens;
            self.timed_seconds += outcome.milliseconds / 1e3;
        }
        self.emit(StepFinished {
            loss: outcome.loss,
            learning_rate: rate,
            grad_norm: outcome.gradient_norm,
            tokens: outcome.tokens,
            target_tokens: outcome.target_tokens,
            rows: batch.unit_count,
            epoch: (batch_number + 1) as f64 / self.steps_per_epoch as f64,
            tokens_per_second: outcome.tokens as f64 / (outcome.milliseconds / 1e3),
            step_ms: outcome.milliseconds,
        })?;
        self.note_step_time();
        let is_last = self.progress.step >= self.progress.total_steps;
        let evaluates = self.progress.is_evaluation_due();
        let is_better = evaluates && self.evaluate()?;
        if evaluates {
            self.emit(PhaseEntered { phase: "training".to_string() })?;
        }
        let saves = match self.request.recipe.save_every {
            0 => evaluates,
            given => self.progress.step.is_multiple_of(given),
        };
        if is_better || is_last || saves {
            self.save(is_better)?;
        }
        self.note_evaluation_time(evaluates);
        let patience = self.request.recipe.patience;
        if patience > 0 && self.progress.evaluations_without_better >= patience {
            return Ok(Some(End::Finished("early_stop")));
        }
        Ok(None)
    }

    fn schedule(&self) -> LearningRate {
        let recipe = self.request.recipe;
        LearningRate {
            peak: self.progress.peak_learning_rate,
            warmup_steps: self.progress.warmup_steps,
            total_steps: self.progress.total_steps,
            schedule: recipe.schedule,
            floor_ratio: recipe.min_learning_rate_ratio,
            decay_ratio: recipe.decay_ratio,
        }
    }

    /// Evaluates and answers the fixed prompts; true when this is the best so far.
    fn evaluate(&mut self) -> Result<bool, TrainError> {
        let Some(dataset) = self.parts.eval.clone() else { return Ok(false) };
        let started = Instant::now();
        self.emit(PhaseEntered { phase: "evaluating".to_string() })?;
        (self.request.heartbeat)();
        let (learner, tokens) = (&mut self.learner, self.plan.micro_batch_tokens);
        let evaluation = self.machine.context.install(|| evaluate_learner(learner, &dataset, tokens, || ()))?;
        (self.request.heartbeat)();
        let step = self.progress.step;
        if step > 0 && self.progress.evaluated_step != Some(step) {
            self.progress.evaluations += 1;
        }
        self.progress.evaluated_step = Some(step);
        let loss = evaluation.loss();
        let is_better = loss.is_finite() && self.progress.best_eval_loss.is_none_or(|best| loss < best);
        self.progress.eval_loss = Some(loss);
        if is_better {
            self.progress.best_eval_loss = Some(loss);
            self.progress.best_step = self.progress.step;
            self.progress.evaluations_without_better = 0;
        } else {
            self.progress.evaluations_without_better += 1;
        }
        let (loss_low, loss_high) = evaluation.loss_interval();
        self.emit(Evaluated {
            loss,
            accuracy: evaluation.accuracy(),
            loss_low,
            loss_high,
            rows: evaluation.rows.len() as u64,
            tokens: evaluation.target_tokens(),
            best: is_better,
            duration_ms: started.elapsed().as_secs_f64() * 1e3,
        })?;
        for index in 0..self.prompts.len() {
            let prompt = self.prompts[index].clone();
            let (learner, tokenizer, longest) = (&self.learner, &*self.parts.tokenizer, self.request.recipe.sample_tokens);
            let answer = self.machine.context.install(|| answer(learner, tokenizer, &prompt.ids, longest))?;
            (self.request.heartbeat)();
            self.emit(Sampled {
                index: index as u64,
                prompt: prompt.text,
                text: answer.text,
                reference: prompt.reference,
                tokens: answer.tokens,
                finish_reason: answer.finish_reason.to_string(),
            })?;
        }
        // Before the first step there is nothing to keep: the base is what it was.
        Ok(is_better && self.progress.step > 0)
    }

    fn save(&mut self, is_best: bool) -> Result<(), TrainError> {
        let step = self.progress.step;
        if self.saved_step == Some(step) {
            return if is_best { Ok(self.seams.checkpoints.mark_best(step)?) } else { Ok(()) };
        }
        self.emit(PhaseEntered { phase: "saving".to_string() })?;
        let folder = self.seams.checkpoints.begin(step)?;
        if let Err(error) = self.write_checkpoint(&folder) {
            self.seams.checkpoints.discard(step);
            return Err(error);
        }
        let saved = self.seams.checkpoints.commit(step, CheckpointMark { is_best, is_last: true })?;
        self.saved_step = Some(step);
        self.emit(saved)?;
        self.emit(PhaseEntered { phase: "training".to_string() })
    }

    fn write_checkpoint(&mut self, folder: &std::path::Path) -> Result<(), TrainError> {
        self.progress.recent_losses = self.guard.recent();
        let weights_of = self.learner.decoder().weights();
        match (self.request.recipe.method, self.learner.adapter()) {
            (Method::Lora, Some(adapter)) => {
                let base = self.request.surroundings.model_folder.as_deref().map(|folder| folder.display().to_string()).unwrap_or_default();
                adapter::save(folder, adapter, weights_of, &adapter_settings(self.request.recipe), &base)?;
            }
            _ => {
                let tensor_of = |id| weights_of.tensor(id);
                weights::save_model(folder, &self.parts.config, &weights_of.spec, &*self.machine.backend, &tensor_of)?;
            }
        }
        self.parts.tokenizer.save(folder)?;
        checkpoint::save_state(folder, &mut self.learner)?;
        self.progress.save(folder)
    }

    /// Goes back to the last checkpoint, or the start, and leaves the batch out from there on.
    fn rewind(
        &mut self,
        alarm: Alarm,
        batch_number: u64,
        batch: &apertis_dataset::GlobalBatch,
        outcome: &StepOutcome,
    ) -> Result<(), TrainError> {
        let step = self.progress.step;
        let times = self.progress.rewinds;
        if times >= REWINDS_MAX {
            return Err(match alarm {
                Alarm::NotFinite => TrainError::NotFinite { step, times },
                Alarm::Spike { recent } => TrainError::Spike { step, loss: outcome.loss, recent, times },
            });
        }
        let reason = match alarm {
            Alarm::NotFinite => "not_finite",
            Alarm::Spike { .. } => "loss_spike",
        };
        let rows: Vec<u64> = batch.rows().iter().map(|row| row.0).collect();
        let before = self.progress.clone();
        let last = self.seams.checkpoints.last();
        let to_step = last.as_ref().map_or(0, |checkpoint| checkpoint.step);
        self.emit(RunRewound { to_step, reason: reason.to_string(), rows: rows.clone() })?;
        self.reload(last.map(|checkpoint| checkpoint.folder))?;
        self.progress.total_steps = before.total_steps;
        self.progress.peak_learning_rate = before.peak_learning_rate;
        self.progress.pace = before.pace;
        self.progress.eval_steps = before.eval_steps;
        self.progress.is_eval_asked = before.is_eval_asked;
        self.progress.planned = before.planned;
        self.progress.skipped_batches = before.skipped_batches;
        self.progress.skipped_batches.push(batch_number);
        self.progress.rewinds = times + 1;
        self.guard = LossGuard::new(self.request.recipe.loss_spike_factor, self.progress.recent_losses.iter().copied());
        self.saved_step = (to_step > 0).then_some(to_step);
        self.noted_ms = None;
        self.emit(BatchSkipped { batch_step: batch_number, rows, reason: reason.to_string() })
    }

    fn reload(&mut self, checkpoint: Option<std::path::PathBuf>) -> Result<(), TrainError> {
        let recipe = self.request.recipe;
        // Two of them at once are more than was planned.
        self.learner.forget_state();
        let heartbeat = &mut self.request.heartbeat;
        let found = parts(recipe, self.request.surroundings, self.machine, checkpoint.as_deref(), &mut |_| heartbeat())?;
        let loss = LossSettings {
            label_smoothing: recipe.label_smoothing as f32,
            neftune_alpha: recipe.neftune_alpha as f32,
            seed: recipe.seed,
            recompute: self.plan.recompute,
        };
        self.learner =
            Learner::new(found.weights, found.adapter, found.trainable, OptimizerSettings::of(recipe), loss, self.plan.arena_bytes)?;
        let kept = self.progress.clone();
        match checkpoint {
            Some(folder) => {
                checkpoint::load_state(&folder, &mut self.learner)?;
                self.progress = Progress::load(&folder)?;
            }
            None => {
                self.progress = Progress {
                    total_steps: kept.total_steps,
                    warmup_steps: kept.warmup_steps,
                    peak_learning_rate: kept.peak_learning_rate,
                    micro_batch_tokens: kept.micro_batch_tokens,
                    ..Progress::default()
                };
            }
        }
        Ok(())
    }

    fn measure_memory(&mut self) -> Result<(), TrainError> {
        let planned_bytes = self.plan.total_bytes();
        self.emit(MemoryMeasured { peak_rss_bytes: (self.seams.peak_memory_bytes)(), planned_bytes })
    }

    fn emit(&mut self, kind: impl Into<EventKind>) -> Result<(), TrainError> {
        Ok(self.seams.sink.emit(self.progress.step, kind.into())?)
    }
}
