//! From a request to a run that can take its first step: model, data, plan, learner, prompts.

use apertis_dataset::{Sampler, SamplerSettings};
use apertis_domain::event::*;
use apertis_domain::recipe::{Method, Recipe};
use apertis_domain::{Event, EventKind};

use super::{Kept, PlanFacts, Run, Seams, TrainRequest};
use crate::checkpoint;
use crate::error::TrainError;
use crate::guard::LossGuard;
use crate::learner::{Learner, LossSettings};
use crate::optimizer::OptimizerSettings;
use crate::pace::eval_steps_of;
use crate::plan::{PlanRequest, plan};
use crate::progress::{Planned, Progress};
use crate::sample;
use crate::seen::first_batches;
use crate::setup::{Machine, Parts, Surroundings, parts};

impl<'a> Run<'a> {
    pub(super) fn prepare(mut request: TrainRequest<'a>, machine: &'a Machine, seams: Seams<'a>) -> Result<Run<'a>, TrainError> {
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
            resident_bytes: (seams.peak_memory_bytes)(),
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
        let mut decisions = request.decisions.to_vec();
        let is_extended = !is_new && (request.extends || progress.planned.is_some_and(|planned| planned != Planned::of(recipe)));
        if is_extended {
            let wanted = extend(&mut progress, &mut decisions, recipe, steps_per_epoch);
            if wanted < progress.step {
                let message = format!("{wanted} steps are asked for, {} are done", progress.step);
                let answer = CommandAnswered { id: "resume".to_string(), command: "extend".to_string(), accepted: false, message };
                seams.sink.emit(progress.step, answer.into())?;
            }
        }
        progress.planned = Some(Planned::of(recipe));
        if is_new || is_extended || progress.eval_steps == 0 {
            progress.eval_steps = match (recipe.eval_steps, &data.eval) {
                (_, None) => 0,
                (0, Some(_)) => eval_steps_of(progress.total_steps, progress.position()),
                (given, Some(_)) => given,
            };
        }
        let eval_steps = progress.eval_steps;
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
        let mut learner = Learner::new(weights, adapter, trainable, OptimizerSettings::of(recipe), loss, plan.arena_bytes)?;
        if let Some(folder) = &request.resume {
            checkpoint::load_state(folder, &mut learner)?;
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
            save_every: save_every(recipe, progress.eval_steps),
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
            first_batches: if is_new { first_batches(&sampler, &tokenizer)? } else { Vec::new() },
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
            progress,
            guard,
            prompts: Vec::new(),
            decisions,
            timed_tokens: 0,
            timed_seconds: 0.0,
            saved_step,
            noted_ms: None,
        };
        let context = run.learner.decoder().spec().context;
        run.prompts = sample::prompts(recipe, &run.parts.tokenizer, run.parts.eval.as_ref(), context)?;
        if is_extended {
            run.replan(run.progress.total_steps, eval_steps, "extended")?;
        }
        Ok(run)
    }
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

/// Plans a run that goes on after its end, or until another one, by what its recipe says now.
/// Decisions that were taken where it stands come before this one, and are not repeated after it.
/// Returns how many steps are asked for; those that are done stay done.
fn extend(progress: &mut Progress, decisions: &mut Vec<Event>, recipe: &Recipe, steps_per_epoch: u64) -> u64 {
    decisions.retain(|decision| {
        let is_due = decision.step == progress.step;
        if is_due {
            progress.repeat(decision);
        }
        !is_due
    });
    let wanted = total_steps(recipe, steps_per_epoch);
    progress.total_steps = wanted.max(progress.step);
    progress.evaluations_without_better = 0;
    wanted
}

/// Steps from one checkpoint to the next: what is evaluated is saved, where nobody says.
fn save_every(recipe: &Recipe, eval_steps: u64) -> u64 {
    match recipe.save_every {
        0 => eval_steps,
        given => given,
    }
}

/// Steps of a whole run.
pub(super) fn total_steps(recipe: &Recipe, steps_per_epoch: u64) -> u64 {
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
