//! The loop of a run: steps, evaluations, checkpoints, requests, early stopping, rewinds.

use std::time::{Duration, Instant};

use apertis_dataset::{Dataset, Sampler, SamplerSettings};
use apertis_domain::event::*;
use apertis_domain::recipe::{Method, Recipe};
use apertis_domain::seam::Clock;
use apertis_domain::{Action, CheckpointMark, CheckpointStore, Command, Control, Event, EventKind, EventSink};
use apertis_model::{adapter, weights};

use crate::checkpoint;
use crate::error::TrainError;
use crate::evaluate::evaluate_learner;
use crate::guard::{Alarm, LossGuard, REWINDS_MAX};
use crate::learner::{Learner, LossSettings, StepOutcome};
use crate::optimizer::OptimizerSettings;
use crate::plan::{MemoryPlan, PlanRequest, plan};
use crate::progress::Progress;
use crate::sample::{SamplePrompt, answer};
use crate::schedule::LearningRate;
use crate::setup::{Machine, Parts, Surroundings, adapter_settings, parts};

/// A paused run looks for requests this often.
const PAUSE_POLL: Duration = Duration::from_millis(200);
/// The time limit plans again when the end moves by more than this share.
const REPLAN_SHARE: f64 = 0.02;

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
    eval_steps: u64,
    save_every: u64,
    progress: Progress,
    guard: LossGuard,
    prompts: Vec<SamplePrompt>,
    timed_tokens: u64,
    timed_seconds: f64,
    saved_step: Option<u64>,
}

/// What of [`Parts`] is left once weights and adapter have moved into the learner.
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

impl<'a> Run<'a> {
    fn prepare(mut request: TrainRequest<'a>, machine: &'a Machine, seams: Seams<'a>) -> Result<Run<'a>, TrainError> {
        let recipe = request.recipe;
        let mut progress = match &request.resume {
            Some(folder) => Progress::load(folder)?,
            None => Progress::default(),
        };
        seams.sink.emit(progress.step, PhaseEntered { phase: "preparing".to_string() }.into())?;
        let heartbeat = &mut request.heartbeat;
        let found = parts(recipe, request.surroundings, machine, request.resume.as_deref(), &mut |_| heartbeat())?;
        seams.sink.emit(progress.step, data_checked(&found).into())?;

        let units = found.data.train.units_estimated()?;
        if units == 0 {
            return Err(TrainError::Empty(format!("{}: no row is left to train on", recipe.data)));
        }
        let steps_per_epoch = units.div_ceil(recipe.batch_size as u64);
        let longest_row = longest_row(&found);
        let batch_tokens = longest_row.saturating_mul(recipe.batch_size);
        let Parts { config, weights, adapter, trainable, tokenizer, data, max_length } = found;
        let planner = apertis_model::Decoder::new(std::sync::Arc::clone(&weights));
        let plan_request = PlanRequest {
            decoder: &planner,
            adapter: adapter.as_ref(),
            trainable: &trainable,
            longest_row,
            batch_tokens,
            limit_bytes: request.surroundings.memory_limit_bytes,
        };
        let halved = request.decisions.iter().rev().find_map(|event| match &event.kind {
            EventKind::MicroBatchHalved(halved) => Some(halved.to_tokens as usize),
            _ => None,
        });
        let fixed = request.fixed_plan.map(|(tokens, recompute)| (halved.unwrap_or(tokens), recompute));
        let plan = plan(&plan_request, recipe, fixed)?;

        let is_new = request.resume.is_none();
        if is_new {
            progress.total_steps = total_steps(recipe, steps_per_epoch);
            progress.peak_learning_rate = learning_rate(recipe, &weights);
            progress.warmup_steps = recipe.warmup_steps.unwrap_or((progress.total_steps as f64 * recipe.warmup_ratio).ceil() as u64);
        }
        progress.micro_batch_tokens = plan.micro_batch_tokens;
        let eval_steps = match (recipe.eval_steps, &data.eval) {
            (_, None) => 0,
            (0, Some(_)) => (progress.total_steps / 10).max(1),
            (given, Some(_)) => given,
        };
        let save_every = match recipe.save_every {
            0 => eval_steps,
            given => given,
        };
        let spec = std::sync::Arc::clone(&weights.spec);
        let trained: usize = trainable.parameters.iter().map(|id| spec.parameter(*id).len()).sum::<usize>()
            + adapter.as_ref().map_or(0, |adapter| adapter.additions.iter().map(|low| low.a.len() + low.b.len()).sum());
        let parameters = spec.parameter_count();
        let sampler = Sampler::new(
            data.train.clone(),
            SamplerSettings {
                seed: recipe.seed,
                shuffle: recipe.shuffle,
                batch_size: recipe.batch_size,
                micro_batch_tokens: plan.micro_batch_tokens,
                rank: 0,
                world_size: 1,
            },
        )?;
        let loss = LossSettings {
            label_smoothing: recipe.label_smoothing as f32,
            neftune_alpha: recipe.neftune_alpha as f32,
            seed: recipe.seed,
            recompute: plan.recompute,
        };
        let learner = Learner::new(weights, adapter, trainable, OptimizerSettings::of(recipe), loss, plan.arena_bytes)?;
        if let Some(folder) = &request.resume {
            checkpoint::load_state(folder, &learner)?;
        }
        let made = PlanMade {
            total_steps: progress.total_steps,
            epochs: progress.total_steps as f64 / steps_per_epoch as f64,
            batch_size: recipe.batch_size as u64,
            parameters: parameters as u64,
            trainable_parameters: trained as u64,
            max_length: max_length as u64,
            learning_rate: progress.peak_learning_rate,
            warmup_steps: progress.warmup_steps,
            eval_steps,
            save_every,
            micro_batch_tokens: plan.micro_batch_tokens as u64,
            recompute: plan.recompute,
            precision: match machine.dtype {
                apertis_kernels::Dtype::F32 => "f32".to_string(),
                _ => "bf16".to_string(),
            },
            instruction_set: machine.context.instruction_set().name().to_string(),
            threads: machine.context.threads() as u64,
            memory: plan.parts.clone(),
            memory_bytes: plan.total_bytes(),
            memory_limit_bytes: request.surroundings.memory_limit_bytes,
            disk_bytes: disk_bytes(recipe, parameters, trained, machine.dtype),
        };
        seams.sink.emit(progress.step, made.into())?;
        let facts = PlanFacts {
            micro_batch_tokens: plan.micro_batch_tokens,
            recompute: plan.recompute,
            model_hash: model_hash(request.surroundings)?,
            data_hash: sampler.dataset().fingerprint(),
            tokenizer_hash: tokenizer.content_hash(),
        };
        (request.on_plan)(&facts).map_err(TrainError::Checkpoint)?;
        let guard = LossGuard::new(recipe.loss_spike_factor, progress.recent_losses.iter().copied());
        let saved_step = request.resume.as_ref().map(|_| progress.step);
        let mut run = Run {
            request,
            machine,
            seams,
            parts: Kept { config, tokenizer, eval: data.eval },
            learner,
            plan,
            sampler,
            steps_per_epoch,
            eval_steps,
            save_every,
            progress,
            guard,
            prompts: Vec::new(),
            timed_tokens: 0,
            timed_seconds: 0.0,
            saved_step,
        };
        run.prompts = run.choose_prompts()?;
        Ok(run)
    }

    fn go(&mut self) -> Result<Outcome, TrainError> {
        if self.progress.step == 0 && self.eval_steps > 0 {
            self.evaluate()?;
        }
        self.emit(PhaseEntered { phase: "training".to_string() })?;
        let end = loop {
            if let Some(end) = self.obey()? {
                break end;
            }
            self.repeat_decisions();
            if self.progress.step >= self.progress.total_steps {
                break End::Finished("completed");
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
        self.emit(RunStopping { reason: reason.clone() })?;
        if saves && self.saved_step != Some(step) {
            self.save(false)?;
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
        self.progress.step_seconds += outcome.milliseconds / 1e3;
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
        self.replan_time()?;
        let is_last = self.progress.step >= self.progress.total_steps;
        let mut is_better = false;
        if self.eval_steps > 0 && (self.progress.step.is_multiple_of(self.eval_steps) || is_last) {
            is_better = self.evaluate()?;
            self.emit(PhaseEntered { phase: "training".to_string() })?;
        }
        if is_better || is_last || (self.save_every > 0 && self.progress.step.is_multiple_of(self.save_every)) {
            self.save(is_better)?;
        }
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
            let (learner, tokenizer, longest) = (&mut self.learner, &*self.parts.tokenizer, self.request.recipe.sample_tokens);
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
        checkpoint::save_state(folder, &self.learner)?;
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
        self.progress.step_seconds = before.step_seconds;
        self.progress.skipped_batches = before.skipped_batches;
        self.progress.skipped_batches.push(batch_number);
        self.progress.rewinds = times + 1;
        self.guard = LossGuard::new(self.request.recipe.loss_spike_factor, self.progress.recent_losses.iter().copied());
        self.saved_step = (to_step > 0).then_some(to_step);
        self.emit(BatchSkipped { batch_step: batch_number, rows, reason: reason.to_string() })
    }

    fn reload(&mut self, checkpoint: Option<std::path::PathBuf>) -> Result<(), TrainError> {
        let recipe = self.request.recipe;
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
                checkpoint::load_state(&folder, &self.learner)?;
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

    /// Carries out requests; waits while paused.
    fn obey(&mut self) -> Result<Option<End>, TrainError> {
        let mut paused_since: Option<Instant> = None;
        loop {
            for command in self.seams.control.poll(self.progress.step) {
                match &command.action {
                    Action::Pause if paused_since.is_none() => {
                        paused_since = Some(Instant::now());
                        self.reply(&command, true, "paused after this step")?;
                        self.emit(RunPaused { reason: "asked".to_string() })?;
                    }
                    Action::Unpause if paused_since.is_some() => {
                        let paused_ms = paused_since.take().map_or(0, |since| since.elapsed().as_millis() as u64);
                        self.reply(&command, true, "goes on")?;
                        self.emit(RunUnpaused { paused_ms })?;
                    }
                    Action::Pause => self.reply(&command, false, "is paused already")?,
                    Action::Unpause => self.reply(&command, false, "is not paused")?,
                    Action::SaveNow => {
                        self.save(false)?;
                        self.reply(&command, true, &format!("saved step {}", self.progress.step))?;
                    }
                    Action::Stop { now } => {
                        self.reply(&command, true, if *now { "stops without saving" } else { "saves and stops" })?;
                        let reason = if *now { "asked_now" } else { "asked" };
                        return Ok(Some(End::Stopped { reason: reason.to_string(), saves: !now }));
                    }
                    Action::SetLearningRate { learning_rate } if learning_rate.is_finite() && *learning_rate > 0.0 => {
                        let from = std::mem::replace(&mut self.progress.peak_learning_rate, *learning_rate);
                        self.emit(LearningRateChanged { from, to: *learning_rate })?;
                        self.reply(&command, true, &format!("learning_rate is {learning_rate} from here on"))?;
                    }
                    Action::SetLearningRate { .. } => self.reply(&command, false, "expected a learning rate above 0")?,
                    Action::Extend { epochs, max_steps } => {
                        let wanted = if *max_steps > 0 { *max_steps } else { (epochs * self.steps_per_epoch as f64).round() as u64 };
                        if wanted > self.progress.step {
                            self.replan(wanted, "extended")?;
                            self.reply(&command, true, &format!("trains until step {wanted}"))?;
                        } else {
                            self.reply(&command, false, "that many steps are done already")?;
                        }
                    }
                }
            }
            if paused_since.is_none() {
                return Ok(None);
            }
            (self.request.heartbeat)();
            std::thread::sleep(PAUSE_POLL);
        }
    }

    fn reply(&mut self, command: &Command, accepted: bool, message: &str) -> Result<(), TrainError> {
        self.emit(CommandAnswered {
            id: command.id.clone(),
            command: command.action.name().to_string(),
            accepted,
            message: message.to_string(),
        })
    }

    fn repeat_decisions(&mut self) {
        let step = self.progress.step;
        let due: Vec<Event> = self.request.decisions.iter().filter(|event| event.step == step).cloned().collect();
        for decision in due {
            self.progress.repeat(&decision);
        }
    }

    fn replan(&mut self, total_steps: u64, reason: &str) -> Result<(), TrainError> {
        self.progress.total_steps = total_steps;
        self.emit(ScheduleReplanned { reason: reason.to_string(), total_steps, epochs: total_steps as f64 / self.steps_per_epoch as f64 })
    }

    /// Moves the end of the schedule to where the time limit will be reached.
    fn replan_time(&mut self) -> Result<(), TrainError> {
        let limit_seconds = self.request.recipe.time_limit_minutes * 60.0;
        let step = self.progress.step;
        if limit_seconds <= 0.0 || step < 3 {
            return Ok(());
        }
        let elapsed = self.seams.clock.elapsed_ms() as f64 / 1e3;
        let step_seconds = self.progress.step_seconds / step as f64;
        let possible = step + ((limit_seconds - elapsed).max(0.0) / step_seconds) as u64;
        let wanted = possible.min(total_steps(self.request.recipe, self.steps_per_epoch)).max(step);
        let moved = (wanted as f64 - self.progress.total_steps as f64).abs() / self.progress.total_steps as f64;
        if moved > REPLAN_SHARE { self.replan(wanted, "time_limit") } else { Ok(()) }
    }

    fn is_out_of_time(&self) -> bool {
        let limit = self.request.recipe.time_limit_minutes;
        limit > 0.0 && self.seams.clock.elapsed_ms() as f64 >= limit * 60e3
    }

    fn measure_memory(&mut self) -> Result<(), TrainError> {
        let planned_bytes = self.plan.total_bytes();
        self.emit(MemoryMeasured { peak_rss_bytes: (self.seams.peak_memory_bytes)(), planned_bytes })
    }

    /// Prompts of the recipe, else the first held-out rows up to their answers.
    fn choose_prompts(&self) -> Result<Vec<SamplePrompt>, TrainError> {
        let recipe = self.request.recipe;
        let tokenizer = &self.parts.tokenizer;
        if recipe.sample_tokens == 0 {
            return Ok(Vec::new());
        }
        if !recipe.sample_prompts.is_empty() {
            let template = tokenizer.chat_template().cloned();
            return recipe.sample_prompts.iter().map(|text| prompt_of_text(tokenizer, template.as_ref(), text)).collect();
        }
        let Some(eval) = &self.parts.eval else { return Ok(Vec::new()) };
        let longest = self.learner.decoder().spec().context.saturating_sub(recipe.sample_tokens).max(1);
        let mut prompts = Vec::new();
        for unit in 0..eval.units()?.min(3) {
            let row = eval.row(eval.row_id(unit)?)?;
            let answer_start = row
                .mask
                .iter()
                .position(|trained| *trained)
                .unwrap_or(0)
                .max(row.ids.len().min(8) * usize::from(row.mask.first() == Some(&true)));
            if answer_start == 0 || answer_start > longest {
                continue;
            }
            let answer_end =
                row.mask[answer_start..].iter().position(|trained| !trained).map_or(row.ids.len(), |length| answer_start + length);
            let reference_end = answer_end.min(answer_start + recipe.sample_tokens);
            prompts.push(SamplePrompt {
                text: tokenizer.decode(&row.ids[..answer_start], true)?,
                ids: row.ids[..answer_start].to_vec(),
                reference: tokenizer.decode(&row.ids[answer_start..reference_end], true)?,
            });
        }
        Ok(prompts)
    }

    fn emit(&mut self, kind: impl Into<EventKind>) -> Result<(), TrainError> {
        Ok(self.seams.sink.emit(self.progress.step, kind.into())?)
    }
}

fn prompt_of_text(
    tokenizer: &apertis_tokenizer::Tokenizer,
    template: Option<&apertis_tokenizer::ChatTemplate>,
    text: &str,
) -> Result<SamplePrompt, TrainError> {
    let ids = match template {
        Some(template) => {
            let messages = [apertis_tokenizer::Message::text("user", text)];
            let rendered = template.render(&messages, None, true, &serde_json::Map::new())?;
            tokenizer.encode_rendered(&rendered.text)?.ids
        }
        None => tokenizer.encode(text, true)?,
    };
    Ok(SamplePrompt { text: text.to_string(), ids, reference: String::new() })
}

/// What distinguishes a base model: its config, and names, sizes and first bytes of its weights.
/// Reading all of a large model would delay the first step by seconds.
fn model_hash(surroundings: &Surroundings) -> Result<String, TrainError> {
    let Some(folder) = &surroundings.model_folder else { return Ok(String::new()) };
    let mut hasher = blake3::Hasher::new();
    let io = |path: &std::path::Path, source| TrainError::Model(apertis_model::ModelError::Io { path: path.to_path_buf(), source });
    let mut paths: Vec<std::path::PathBuf> = match folder.is_dir() {
        true => std::fs::read_dir(folder).map_err(|source| io(folder, source))?.flatten().map(|entry| entry.path()).collect(),
        false => vec![folder.clone()],
    };
    paths.retain(|path| path.extension().is_some_and(|ending| ["safetensors", "bin", "json"].iter().any(|known| ending == *known)));
    paths.sort();
    for path in paths {
        let mut file = std::fs::File::open(&path).map_err(|source| io(&path, source))?;
        let length = file.metadata().map_err(|source| io(&path, source))?.len();
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(&length.to_le_bytes());
        let mut first = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, 1 << 20), &mut first).map_err(|source| io(&path, source))?;
        hasher.update(&first);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Steps of a whole run.
fn total_steps(recipe: &Recipe, steps_per_epoch: u64) -> u64 {
    match recipe.max_steps {
        0 => ((steps_per_epoch as f64 * recipe.epochs).ceil() as u64).max(1),
        steps => steps,
    }
}

/// The documented defaults: 2e-4 for adapters, 2e-5 for whole models, by size from scratch.
fn learning_rate(recipe: &Recipe, weights: &apertis_model::ModelWeights) -> f64 {
    if recipe.learning_rate > 0.0 {
        return recipe.learning_rate;
    }
    match recipe.method {
        Method::Lora => 2e-4,
        Method::Full | Method::Continue | Method::Freeze => 2e-5,
        // Larger models want smaller steps: about 1e-3 at a million parameters, 3e-4 at a hundred
        // million, as GPT-3's table and nanoGPT's recipes have it.
        Method::Scratch => (1e-3 * (weights.spec.parameter_count() as f64 / 1e6).powf(-0.26)).clamp(1e-4, 1e-3),
    }
}

fn longest_row(found: &Parts) -> usize {
    match found.data.train.unit() {
        apertis_dataset::Unit::Window(length) => length,
        apertis_dataset::Unit::Row => {
            let report = &found.data.report;
            let known = report.statistics.length_max() as usize;
            // While files are still being read a longer row may come.
            if report.is_complete && known > 0 { known.min(found.max_length) } else { found.max_length }
        }
    }
}

fn disk_bytes(recipe: &Recipe, parameters: usize, trained: usize, dtype: apertis_kernels::Dtype) -> u64 {
    let model = match recipe.method {
        Method::Lora => 4 * trained,
        _ => parameters * dtype.size_bytes(),
    };
    // Optimizer state beside the model, in each checkpoint that is kept.
    (recipe.keep_checkpoints.max(2) as u64) * (model as u64 + 10 * trained as u64)
}

fn data_checked(found: &Parts) -> DataChecked {
    let report = &found.data.report;
    let reasons = |wants_fault: bool| {
        report
            .problems
            .iter()
            .filter(|(problem, _)| problem.is_fault() == wants_fault)
            .map(|(problem, count)| {
                let first = count.examples.first();
                let reason = ReasonCount {
                    count: count.count,
                    rows: count.examples.iter().map(|example| example.source.line).collect(),
                    example: first.map(|example| example.detail.clone()).unwrap_or_default(),
                };
                (problem.code().to_string(), reason)
            })
            .collect()
    };
    let eval_rows = found.data.eval.as_ref().and_then(|eval| eval.units_estimated().ok()).unwrap_or(0);
    DataChecked {
        rows: report.rows_read,
        train_rows: found.data.train.units_estimated().unwrap_or(0),
        eval_rows,
        tokens: report.statistics.tokens,
        target_tokens: report.statistics.target_tokens,
        format: report.files.first().map(|file| file.format.clone()).unwrap_or_default(),
        dropped: reasons(true),
        changed: reasons(false),
    }
}
