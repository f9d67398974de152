//! `apertis train --dry-run`: what a run would take, from its plan and three measured steps.

use std::process::ExitCode;

use apertis_domain::Recipe;
use apertis_runs::Home;
use serde_json::{Value, json};

use super::view::{count, duration, gigabytes};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::rehearsal::rehearse;

const MEASURED_STEPS: u64 = 3;
/// A forward pass alone against forward and backward.
const EVALUATION_COST: f64 = 1.0 / 3.0;

pub(crate) fn run(recipe: &Recipe, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let found = rehearse(recipe, home, MEASURED_STEPS)?;
    let plan = &found.plan;
    // The rehearsal held nothing out.
    let units = found.data.train_rows;
    let held_out = if recipe.eval_data.is_empty() { recipe.eval_rows_of(units) } else { 0 };
    let steps_per_epoch = (units - held_out.min(units)).max(1).div_ceil(recipe.batch_size as u64);
    let steps = match recipe.max_steps {
        0 => ((steps_per_epoch as f64 * recipe.epochs).ceil() as u64).max(1),
        given => given,
    };
    let eval_steps = recipe.eval_steps_of(steps);
    let evaluations = if held_out == 0 { 0 } else { 1 + steps / eval_steps.max(1) };
    let step_seconds = found.step_seconds();
    let row_seconds = step_seconds / recipe.batch_size as f64;
    let training = steps as f64 * step_seconds;
    let evaluating = evaluations as f64 * held_out as f64 * row_seconds * EVALUATION_COST;
    let limit = recipe.time_limit_minutes * 60.0;
    let total = training + evaluating;
    let total = if limit > 0.0 { total.min(limit) } else { total };
    let losses: Vec<f64> = found.steps.iter().map(|step| step.loss).collect();

    printer.line(format!("data      {} rows ({}), about {held_out} held out", found.data.rows, found.data.format));
    for (reason, dropped) in &found.data.dropped {
        printer.line(format!("          {} left out: {reason}", dropped.count));
    }
    printer.line(format!("model     {} of {} parameters are trained", count(plan.trainable_parameters), count(plan.parameters)));
    printer.line(format!("steps     {steps} of {} rows, {steps_per_epoch} an epoch", plan.batch_size));
    printer.line(format!(
        "compute   {} with {} threads in {}, {} tokens at once{}",
        plan.instruction_set,
        plan.threads,
        plan.precision,
        plan.micro_batch_tokens,
        if plan.recompute { ", activations computed again" } else { "" }
    ));
    printer.line(format!("memory    {} planned, {} may be used", gigabytes(plan.memory_bytes), gigabytes(plan.memory_limit_bytes)));
    for part in &plan.memory {
        printer.line(format!("          {:12} {}", part.component, gigabytes(part.bytes)));
    }
    printer.line(format!("disk      {} for checkpoints, {} free", gigabytes(plan.disk_bytes), gigabytes(free_bytes(home))));
    printer.line(format!(
        "time      about {}: {steps} steps of {step_seconds:.3} s ({:.0} tokens/s), {evaluations} evaluations",
        duration(total),
        found.tokens_per_second()
    ));
    printer.line("No run was made. Early stopping may end it sooner.");
    let parts: serde_json::Map<String, Value> = plan.memory.iter().map(|part| (part.component.clone(), json!(part.bytes))).collect();
    printer.json(&json!({
        "steps": steps,
        "steps_per_epoch": steps_per_epoch,
        "held_out_rows": held_out,
        "evaluations": evaluations,
        "memory": parts,
        "memory_bytes": plan.memory_bytes,
        "memory_limit_bytes": plan.memory_limit_bytes,
        "measured_peak_bytes": found.peak_rss_bytes,
        "disk_bytes": plan.disk_bytes,
        "disk_free_bytes": free_bytes(home),
        "measured_steps": found.steps.len(),
        "measured_losses": losses,
        "step_seconds": step_seconds,
        "tokens_per_second": found.tokens_per_second(),
        "seconds": total,
    }));
    Ok(ExitCode::SUCCESS)
}

fn free_bytes(home: &Home) -> u64 {
    apertis_runs::machine::disk_free_bytes(home.root())
}
