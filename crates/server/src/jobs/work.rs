//! What each kind of job does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use apertis_domain::Recipe;
use apertis_protocol::error::ErrorCode;
use apertis_protocol::job::NewJob;
use apertis_protocol::recipe::RecipeDraft;
use apertis_protocol::run::MemoryPart;
use apertis_runs::clock::now_text;
use apertis_runs::durable::replace_file;
use apertis_runs::{Home, RunFolder, list};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Progress, process};
use crate::failure::{Answer, Failure};
use crate::recipes;
use crate::settings::Workers;

/// Measurements that are kept.
const MEASURED_KEPT: usize = 100;

/// Kind and title of work.
pub(super) fn title(task: &NewJob) -> (&'static str, String) {
    match task {
        NewJob::MeasurePlan { recipe } => ("measure_plan", format!("Measure the plan{}", of(recipe))),
        NewJob::Tokenise { recipe } => ("tokenise", format!("Read and tokenise the data{}", of(recipe))),
        NewJob::Merge { run, checkpoint } => ("merge", format!("Build {checkpoint} of {run} into a model of its own")),
    }
}

fn of(recipe: &RecipeDraft) -> String {
    recipes::read(recipe).map_or_else(|_| String::new(), |recipe| format!(" of {}", recipe.method.name()))
}

/// Does it.
pub(super) fn run(home: &Home, workers: &Workers, task: &NewJob, progress: &Progress) -> Answer<Value> {
    match task {
        NewJob::MeasurePlan { recipe } => measure(home, workers, &recipes::read(recipe)?, progress),
        NewJob::Tokenise { recipe } => {
            let recipe = recipes::read(recipe)?;
            progress.at(None, "It reads the data.");
            process::run(home, workers, &words("data", &Recipe { name: String::new(), ..recipe }), progress)
        }
        NewJob::Merge { run, checkpoint } => merge(home, workers, run, checkpoint, progress),
    }
}

/// `verb key=value …`: every word begins with a field's name, so that none is taken for a flag.
fn words(verb: &str, recipe: &Recipe) -> Vec<String> {
    let changed = recipes::changed(recipe).into_iter().map(|field| format!("{}={}", field.name, field.value));
    std::iter::once(verb.to_owned()).chain(changed).collect()
}

/// What three measured steps said of a model, length and batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) at: String,
    pub(crate) tokens_per_second: f64,
    pub(crate) memory: Vec<MemoryPart>,
    pub(crate) memory_bytes: u64,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) steps: u64,
    pub(crate) evaluations: u64,
    pub(crate) seconds: f64,
}

/// An earlier measurement of the same model, length and batch.
pub(crate) fn measured(home: &Home, recipe: &Recipe) -> Option<Measured> {
    read_measured(home).remove(&plan_key(recipe))
}

/// What memory and speed depend on.
fn plan_key(recipe: &Recipe) -> String {
    let by = [
        "model",
        "adapter",
        "method",
        "max_length",
        "too_long",
        "batch_size",
        "optimizer",
        "precision",
        "threads",
        "instruction_set",
        "micro_batch_tokens",
        "recompute",
        "freeze_layers",
        "lora.rank",
        "lora.targets",
        "model.family",
        "model.layers",
        "model.heads",
        "model.kv_heads",
        "model.width",
        "model.hidden",
        "model.context",
        "vocab_size",
        "data",
    ];
    let values = by.iter().filter_map(|name| recipe.get(name)).map(|value| value.to_string());
    blake3::hash(values.collect::<Vec<String>>().join("\u{1}").as_bytes()).to_hex()[..24].to_owned()
}

fn measured_path(home: &Home) -> PathBuf {
    home.cache().join("plans.json")
}

fn read_measured(home: &Home) -> BTreeMap<String, Measured> {
    fs::read(measured_path(home)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn measure(home: &Home, workers: &Workers, recipe: &Recipe, progress: &Progress) -> Answer<Value> {
    let is_busy = list(home)?.iter().any(|run| run.state.is_active() && run.state.name() != "queued" && run.state.name() != "paused");
    if is_busy {
        return Err(Failure::new(ErrorCode::NotPossibleNow, "A run trains: measuring now would slow it down, and be wrong.")
            .hint("Measure when it has ended; the estimate holds until then."));
    }
    progress.at(None, "It trains three steps.");
    let mut words = words("train", &Recipe { name: String::new(), ..recipe.clone() });
    words.push("--dry-run".to_owned());
    let answer = process::run(home, workers, &words, progress)?;
    let number = |name: &str| answer[name].as_f64().unwrap_or(0.0);
    let whole = |name: &str| answer[name].as_u64().unwrap_or(0);
    let parts = answer["memory"].as_object().into_iter().flatten();
    let measured = Measured {
        at: now_text(),
        tokens_per_second: number("tokens_per_second"),
        memory: parts.map(|(name, bytes)| MemoryPart { component: name.clone(), bytes: bytes.as_u64().unwrap_or(0) }).collect(),
        memory_bytes: whole("memory_bytes"),
        memory_limit_bytes: whole("memory_limit_bytes"),
        disk_bytes: whole("disk_bytes"),
        steps: whole("steps"),
        evaluations: whole("evaluations"),
        seconds: number("seconds"),
    };
    let mut all = read_measured(home);
    while all.len() >= MEASURED_KEPT
        && let Some(oldest) = all.iter().min_by(|a, b| a.1.at.cmp(&b.1.at)).map(|(key, _)| key.clone())
    {
        all.remove(&oldest);
    }
    all.insert(plan_key(recipe), measured.clone());
    let text = serde_json::to_vec(&all).map_err(Failure::internal)?;
    replace_file(&measured_path(home), &text)?;
    serde_json::to_value(measured).map_err(Failure::internal)
}

fn merge(home: &Home, workers: &Workers, run: &str, checkpoint: &str, progress: &Progress) -> Answer<Value> {
    let folder = RunFolder::find(home, run)?;
    let step = checkpoint.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok());
    let mark = match (checkpoint, step) {
        ("best" | "last", _) => checkpoint.to_owned(),
        (_, Some(step)) => step.to_string(),
        _ => return Err(Failure::bad("A checkpoint is best, last, or step- and its number.")),
    };
    let name = folder.name();
    let mut out = home.models().join(format!("{name}-merged"));
    let mut number = 2_u32;
    while out.exists() {
        out = home.models().join(format!("{name}-merged-{number}"));
        number += 1;
    }
    progress.at(None, "It writes the model.");
    let words = ["merge".to_owned(), format!("model={name}:{mark}"), format!("out={}", out.display())];
    process::run(home, workers, &words, progress)?;
    Ok(json!({ "model": out.file_name().unwrap_or_default().to_string_lossy() }))
}
