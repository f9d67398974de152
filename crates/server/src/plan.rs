//! What a run would take, estimated at once from small files: sizes in the model's configuration
//! and a look at the first rows. Where the same was measured before, that is taken instead.

use std::path::Path;

use apertis_dataset::{Columns, Sample, samples};
use apertis_domain::Recipe;
use apertis_domain::recipe::{Method, Optimizer, Precision};
use apertis_protocol::plan::{Plan, Remark, Repair};
use apertis_protocol::run::MemoryPart;
use apertis_runs::{facts, machine};
use apertis_storage::index::{RunQuery, RunSort};
use apertis_tokenizer::Tokenizer;
use serde_json::Value;

use crate::data_sets::About;
use crate::describe::field_value;
use crate::failure::{Answer, Failure};
use crate::jobs::measured;
use crate::studio::Studio;

/// Rows whose tokens are counted; the others are taken to be like them.
const ROWS_LOOKED_AT: usize = 200;
/// Newest runs of a model that are looked at for its speed.
const RUNS_LOOKED_AT: u32 = 50;
/// A file up to this size has its rows counted on the way.
const COUNTED_BYTES_MAX: u64 = 8 << 20;
/// Letters a token of English text, where there is no tokenizer yet.
const LETTERS_A_TOKEN: f64 = 3.6;
/// Longest row where neither recipe nor model says less; the same as in training.
const MAX_LENGTH: usize = 2048;
/// Tokens computed at once where memory is plenty; the same as in training.
const MICRO_BATCH_TOKENS: u64 = 1408;
/// Buffers, tokenizer and program; the same as in training.
const PROGRAM_BYTES: u64 = 160 << 20;
/// A run that takes longer than this is worth a word.
const LONG_SECONDS: f64 = 2.0 * 3600.0;

/// Sizes of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sizes {
    parameters: u64,
    layers: u64,
    width: u64,
    hidden: u64,
    query_width: u64,
    key_width: u64,
    vocabulary: u64,
    context: u64,
}

/// Rows and tokens of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    rows: u64,
    tokens: f64,
    longest: u64,
    is_estimate: bool,
}

/// The plan of a recipe whose paths were checked.
pub(crate) fn make(studio: &Studio, recipe: &Recipe) -> Answer<Plan> {
    let folder = match recipe.model.is_empty() {
        true => None,
        false => Some(studio.with_places(|places| apertis_library::resolve(places, &recipe.model))?.folder),
    };
    let sizes = match &folder {
        Some(folder) => sizes_of(folder)?,
        None => sizes_of_shape(recipe),
    };
    let max_length = match recipe.max_length {
        0 => sizes.context.clamp(2, MAX_LENGTH as u64),
        given => given as u64,
    };
    let counts = count(recipe, folder.as_deref(), max_length)?;
    let held_out = if recipe.eval_data.is_empty() { recipe.eval_rows_of(counts.rows) } else { 0 };
    let rows = counts.rows.saturating_sub(held_out).max(1);
    let steps_per_epoch = rows.div_ceil(recipe.batch_size as u64);
    let steps = match recipe.max_steps {
        0 => ((steps_per_epoch as f64 * recipe.epochs).ceil() as u64).max(1),
        given => given,
    };
    let trainable = trainable(recipe, &sizes);
    let memory = memory(recipe, &sizes, trainable, counts.longest.min(max_length));
    let tokens = (counts.tokens / counts.rows.max(1) as f64 * recipe.batch_size as f64 * steps as f64) as u64;
    let found = measured(&studio.home, recipe);
    let speed = found.as_ref().map(|found| found.tokens_per_second).or_else(|| speed_of_like(studio, recipe));
    let bytes_a_checkpoint = trainable * if recipe.method == Method::Lora { 12 } else { 10 };
    let mut plan = Plan {
        is_measured: found.is_some(),
        measured_at: found.as_ref().map(|found| found.at.clone()),
        memory_bytes: memory.iter().map(|part| part.bytes).sum(),
        memory,
        memory_limit_bytes: memory_limit(),
        disk_bytes: bytes_a_checkpoint * (recipe.keep_checkpoints as u64 + 1),
        disk_free_bytes: machine::disk_free_bytes(studio.home.root()),
        rows,
        tokens,
        is_token_estimate: counts.is_estimate,
        steps,
        evaluations: if held_out == 0 && recipe.eval_data.is_empty() { 0 } else { 1 + steps / recipe.eval_steps_of(steps).max(1) },
        tokens_per_second: speed,
        seconds: speed.filter(|speed| *speed > 0.0).map(|speed| tokens as f64 / speed),
        parameters: sizes.parameters,
        trainable_parameters: trainable,
        remarks: Vec::new(),
    };
    if let Some(found) = found {
        plan.memory = found.memory;
        plan.memory_bytes = found.memory_bytes;
        plan.disk_bytes = found.disk_bytes;
        plan.seconds = Some(found.seconds).filter(|seconds| *seconds > 0.0);
        (plan.steps, plan.evaluations) = (found.steps, found.evaluations);
    }
    plan.remarks = remarks(&plan, recipe, max_length);
    Ok(plan)
}

fn sizes_of(folder: &Path) -> Answer<Sizes> {
    let entry = apertis_library::describe(folder)?;
    let text = std::fs::read(folder.join("config.json"))?;
    let whole: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::new(apertis_protocol::error::ErrorCode::ModelInvalid, format!("config.json: {error}")))?;
    // Models that also see have their text part inside.
    let config = whole.get("text_config").filter(|inner| inner.is_object()).unwrap_or(&whole);
    let number = |names: &[&str]| names.iter().find_map(|name| config.get(*name)?.as_u64());
    let width = number(&["hidden_size", "n_embd", "dim"]).unwrap_or(0);
    let heads = number(&["num_attention_heads", "n_head", "n_heads"]).unwrap_or(1).max(1);
    let head_width = number(&["head_dim"]).unwrap_or(width / heads);
    Ok(Sizes {
        parameters: entry.parameters.unwrap_or(0),
        layers: number(&["num_hidden_layers", "n_layer", "n_layers"]).unwrap_or(0),
        width,
        hidden: number(&["intermediate_size", "n_inner"]).unwrap_or(4 * width),
        query_width: heads * head_width,
        key_width: number(&["num_key_value_heads", "n_kv_heads"]).unwrap_or(heads) * head_width,
        vocabulary: number(&["vocab_size"]).unwrap_or(0),
        context: number(&["max_position_embeddings", "n_positions", "n_ctx"]).unwrap_or(MAX_LENGTH as u64),
    })
}

fn sizes_of_shape(recipe: &Recipe) -> Sizes {
    let shape = &recipe.shape;
    let (width, heads) = (shape.width as u64, shape.heads.max(1) as u64);
    let hidden = if shape.hidden == 0 { width * 8 / 3 } else { shape.hidden as u64 };
    let kv_heads = if shape.kv_heads == 0 { heads } else { shape.kv_heads as u64 };
    let key_width = kv_heads * (width / heads);
    let vocabulary = if recipe.vocab_size == 0 { 4096 } else { recipe.vocab_size as u64 };
    let layers = shape.layers as u64;
    let a_layer = 2 * width * width + 2 * width * key_width + 3 * width * hidden + 2 * width;
    Sizes {
        parameters: layers * a_layer + vocabulary * width + width,
        layers,
        width,
        hidden,
        query_width: width,
        key_width,
        vocabulary,
        context: shape.context as u64,
    }
}

/// Parameters that are trained; an adapter on all linear layers of a plain decoder.
fn trainable(recipe: &Recipe, sizes: &Sizes) -> u64 {
    let Sizes { width, hidden, query_width, key_width, layers, parameters, .. } = *sizes;
    match recipe.method {
        Method::Lora => {
            let attention = 2 * (width + query_width) + 2 * (width + key_width);
            let channel = 3 * (width + hidden);
            recipe.lora.rank as u64 * layers * (attention + channel)
        }
        Method::Freeze if layers > 0 => {
            let body = parameters.saturating_sub(sizes.vocabulary * width);
            body / layers * (recipe.freeze_layers as u64).min(layers)
        }
        Method::Freeze | Method::Full | Method::Continue | Method::Scratch => parameters,
    }
}

fn memory(recipe: &Recipe, sizes: &Sizes, trainable: u64, longest: u64) -> Vec<MemoryPart> {
    let weight_bytes = if is_bf16(recipe) { 2 } else { 4 };
    let optimizer = match recipe.optimizer {
        Optimizer::AdamW => 8,
        Optimizer::AdamW8Bit => 2,
        Optimizer::Lion | Optimizer::Muon => 4,
    };
    let micro_batch = match recipe.micro_batch_tokens {
        0 => MICRO_BATCH_TOKENS.max(longest),
        given => given as u64,
    };
    // Of each layer: its input and norms, queries, keys, values, and the two inner rows.
    let a_token = sizes.layers * (4 * sizes.width + 2 * sizes.query_width + 2 * sizes.key_width + 3 * sizes.hidden);
    let part = |component: &str, bytes: u64| MemoryPart { component: component.to_owned(), bytes };
    let mut parts = vec![
        part("weights", sizes.parameters * weight_bytes),
        part("gradients", 4 * trainable),
        part("optimizer", optimizer * trainable),
        part("activations", micro_batch * a_token * weight_bytes),
        part("program", PROGRAM_BYTES),
    ];
    if recipe.method == Method::Lora {
        parts.insert(1, part("adapter", 4 * trainable));
    }
    parts
}

fn is_bf16(recipe: &Recipe) -> bool {
    match recipe.precision {
        Precision::Bf16 => true,
        Precision::F32 => false,
        #[cfg(target_arch = "x86_64")]
        Precision::Auto => std::arch::is_x86_feature_detected!("avx512bf16"),
        #[cfg(not(target_arch = "x86_64"))]
        Precision::Auto => false,
    }
}

fn count(recipe: &Recipe, model: Option<&Path>, max_length: u64) -> Answer<Counts> {
    let path = Path::new(&recipe.data);
    let (files, _) = apertis_dataset::find_files(&[path.to_owned()])?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let tokenizer = model.and_then(|folder| Tokenizer::from_folder(folder).ok());
    let tokens_of = |text: &str| match &tokenizer {
        Some(tokenizer) => tokenizer.encode(text, false).map_or(0.0, |ids| ids.len() as f64),
        None => text.chars().count() as f64 / LETTERS_A_TOKEN,
    };
    let (mut rows, mut looked_at, mut letters, mut tokens, mut longest) = (0_u64, 0_usize, 0_u64, 0.0_f64, 0.0_f64);
    let mut is_text = false;
    for row in samples(&[path.to_owned()], &columns(recipe))? {
        let Ok(converted) = row?.content else { continue };
        rows += 1;
        if looked_at < ROWS_LOOKED_AT {
            looked_at += 1;
            let text = match converted.sample {
                Sample::Document(text) => {
                    is_text = true;
                    text
                }
                Sample::Conversation(talk) => {
                    talk.messages.iter().filter_map(|turn| turn.content.as_text()).collect::<Vec<_>>().join("\n\n\n")
                }
            };
            let text: String = text.chars().take(200_000).collect();
            letters += text.len() as u64;
            let count = tokens_of(&text);
            (tokens, longest) = (tokens + count, longest.max(count));
        } else if bytes > COUNTED_BYTES_MAX {
            break;
        }
    }
    if looked_at == 0 {
        return Err(Failure::new(apertis_protocol::error::ErrorCode::DataInvalid, "No row of the data can be used."));
    }
    let a_row = tokens / looked_at as f64;
    let known = path.parent().and_then(About::read).filter(|about| path.ends_with(&about.file)).and_then(|about| about.rows);
    let is_estimate = rows as usize > looked_at || bytes > COUNTED_BYTES_MAX;
    if is_text {
        // Plain text is trained on in windows.
        let tokens = tokens * (bytes as f64 / letters.max(1) as f64).max(1.0);
        let windows = (tokens / max_length as f64).ceil().max(1.0) as u64;
        return Ok(Counts { rows: windows, tokens, longest: max_length, is_estimate: true });
    }
    if bytes > COUNTED_BYTES_MAX {
        let a_row_bytes = letters as f64 * 1.1 / looked_at as f64;
        rows = known.unwrap_or((bytes as f64 / a_row_bytes.max(1.0)) as u64);
    }
    let a_row = a_row.min(max_length as f64);
    Ok(Counts { rows, tokens: a_row * rows as f64, longest: longest as u64, is_estimate })
}

fn columns(recipe: &Recipe) -> Columns {
    let given = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
    let columns = &recipe.columns;
    Columns {
        prompt: given(&columns.prompt),
        response: given(&columns.response),
        system: given(&columns.system),
        text: given(&columns.text),
        messages: None,
    }
}

/// Tokens a second of the newest run with the same model and method.
fn speed_of_like(studio: &Studio, recipe: &Recipe) -> Option<f64> {
    let model = facts::model_name(&studio.home, &recipe.model);
    let query = RunQuery { model: Some(model), sort: RunSort::Changed, limit: RUNS_LOOKED_AT, ..RunQuery::default() };
    // Without an answer there is no estimate, and a plan all the same.
    let page = studio.wait(studio.storage.runs(&query)).ok()?;
    page.rows.iter().filter(|row| row.facts.method == recipe.method.name()).find_map(|row| row.tokens_per_second)
}

fn memory_limit() -> u64 {
    // Without a number the plan cannot refuse anything.
    let Ok(mut system) = sysinfo::System::new() else { return u64::MAX };
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(limit)
}

fn remarks(plan: &Plan, recipe: &Recipe, max_length: u64) -> Vec<Remark> {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let repair = |label: String, field: &str, value: String| Repair { label, fields: vec![field_value(field, value)] };
    let mut remarks = Vec::new();
    if plan.memory_bytes > plan.memory_limit_bytes {
        let mut repairs = vec![repair("Compute activations again".to_owned(), "recompute", "on".to_owned())];
        if max_length > 256 {
            repairs.push(repair(format!("Rows of at most {} tokens", max_length / 2), "max_length", (max_length / 2).to_string()));
        }
        if matches!(recipe.method, Method::Full | Method::Continue) {
            repairs.push(repair("Train an adapter only".to_owned(), "method", "lora".to_owned()));
        }
        let text = format!(
            "It takes about {:.1} GB of memory, and {:.1} GB may be used.",
            gigabytes(plan.memory_bytes),
            gigabytes(plan.memory_limit_bytes)
        );
        // The run's own plan looks for smaller parts before it refuses.
        let tone = if plan.is_measured { "bad" } else { "warn" };
        remarks.push(Remark { tone: tone.to_owned(), text, repairs });
    }
    if plan.disk_free_bytes > 0 && plan.disk_bytes > plan.disk_free_bytes {
        let text = format!(
            "Its checkpoints take {:.1} GB of disk, and {:.1} GB are free.",
            gigabytes(plan.disk_bytes),
            gigabytes(plan.disk_free_bytes)
        );
        let repairs = vec![repair("Keep one checkpoint".to_owned(), "keep_checkpoints", "1".to_owned())];
        remarks.push(Remark { tone: "bad".to_owned(), text, repairs });
    }
    if let Some(seconds) = plan.seconds.filter(|seconds| *seconds > LONG_SECONDS) {
        let mut repairs = vec![repair("Finish within an hour".to_owned(), "time_limit_minutes", "60".to_owned())];
        if recipe.epochs > 1.0 && recipe.max_steps == 0 {
            let minutes = seconds / recipe.epochs / 60.0;
            repairs.insert(0, repair(format!("1 epoch: {minutes:.0} min"), "epochs", "1".to_owned()));
        }
        remarks.push(Remark { tone: "info".to_owned(), text: format!("It takes about {:.1} hours.", seconds / 3600.0), repairs });
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trained_part_is_counted_by_method() {
        let sizes = sizes_of_shape(&Recipe { vocab_size: 1000, ..Recipe::default() });
        let check = |settings: &[&str], expected: u64| {
            let (recipe, _) = Recipe::from_sources(None, settings).expect("a recipe");
            assert_eq!(trainable(&recipe, &sizes), expected, "{settings:?}");
        };
        // Six layers of width 384 and hidden 1,024: 4 × 2 × 384 beside attention, 3 × 1,408 beside the channel.
        check(&["lora.rank=2"], 2 * 6 * (4 * 768 + 3 * 1408));
        check(&["method=scratch"], 6 * (4 * 384 * 384 + 3 * 384 * 1024 + 768) + 1000 * 384 + 384);
    }

    #[test]
    fn what_does_not_fit_comes_with_repairs() {
        let recipe = Recipe::default();
        let plan = |memory_bytes, seconds| Plan {
            is_measured: true,
            measured_at: None,
            memory: Vec::new(),
            memory_bytes,
            memory_limit_bytes: 4 << 30,
            disk_bytes: 1,
            disk_free_bytes: 2,
            rows: 1,
            tokens: 1,
            is_token_estimate: false,
            steps: 1,
            evaluations: 0,
            tokens_per_second: None,
            seconds,
            parameters: 1,
            trainable_parameters: 1,
            remarks: Vec::new(),
        };
        assert!(remarks(&plan(1 << 30, Some(60.0)), &recipe, 512).is_empty());
        let tight = remarks(&plan(8 << 30, Some(3.0 * 3600.0)), &recipe, 512);
        assert_eq!(tight.iter().map(|remark| remark.tone.as_str()).collect::<Vec<_>>(), ["bad", "info"]);
        let fields: Vec<&str> = tight.iter().flat_map(|remark| &remark.repairs).map(|repair| repair.fields[0].name.as_str()).collect();
        assert_eq!(fields, ["recompute", "max_length", "epochs", "time_limit_minutes"]);
    }
}
