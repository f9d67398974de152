//! Adapter folders as PEFT reads and writes them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use apertis_kernels::{Backend, Dtype, Owned, Tensor};
use safetensors::View;
use serde_json::{Value, json};

use super::create::{AdapterSettings, ends_with_words};
use super::{Adapter, LowRank, LowRankSpec};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::ModelSpec;
use crate::weights::{Checkpoint, write};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before a module's name.
const PREFIX: &str = "base_model.model.";

/// Writes an adapter folder.
///
/// # Errors
/// When a file cannot be written.
pub fn save(
    folder: &Path,
    adapter: &Adapter,
    weights: &ModelWeights,
    settings: &AdapterSettings,
    base_name: &str,
) -> Result<(), ModelError> {
    let spec = &weights.spec;
    let backend: &dyn Backend = &**weights.backend();
    let mut views = Vec::new();
    let mut names = BTreeSet::new();
    for addition in &adapter.additions {
        for name in written_names(spec, addition) {
            names.insert(name.rsplit('.').next().unwrap_or(&name).to_string());
            let LowRankSpec { rank, input_width, .. } = addition.spec;
            let (rows, start) = written_rows(spec, addition, &name);
            let b = addition.b.row_range(start, rows);
            let name = class_name(&name);
            views.push((format!("{PREFIX}{name}.lora_A.weight"), F32View { backend, tensor: *addition.a, shape: vec![rank, input_width] }));
            views.push((format!("{PREFIX}{name}.lora_B.weight"), F32View { backend, tensor: b, shape: vec![rows, rank] }));
            if let Some(magnitude) = &addition.magnitude {
                views.push((
                    format!("{PREFIX}{name}.lora_magnitude_vector"),
                    F32View { backend, tensor: magnitude.column_range(start, rows), shape: vec![rows] },
                ));
            }
        }
    }
    write(&folder.join(WEIGHTS), views, Some(HashMap::from([("format".to_string(), "pt".to_string())])))?;
    let is_transposed =
        adapter.additions.iter().any(|addition| spec.parameter(spec.module(addition.spec.module).weight).parts[0].transposed);
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": names,
        "use_rslora": settings.use_rslora,
        "use_dora": settings.use_dora,
        "fan_in_fan_out": is_transposed,
        "bias": "none",
        "inference_mode": true,
        "modules_to_save": Value::Null,
    });
    let path = folder.join(CONFIG);
    let text = serde_json::to_string_pretty(&config).map_err(|error| ModelError::adapter(error.to_string()))?;
    std::fs::write(&path, text).map_err(ModelError::io(&path))
}

/// Where files and classes differ: a nested text model's modules, in the file and in the class
/// that PEFT names.
const NESTED: (&str, &str) = ("language_model.model.", "model.language_model.");

fn class_name(checkpoint_name: &str) -> String {
    checkpoint_name.strip_prefix(NESTED.0).map_or_else(|| checkpoint_name.to_string(), |rest| format!("{}{rest}", NESTED.1))
}

fn checkpoint_name(class_name: &str) -> String {
    class_name.strip_prefix(NESTED.1).map_or_else(|| class_name.to_string(), |rest| format!("{}{rest}", NESTED.0))
}

/// The checkpoint modules that an addition is written as: a fused expert's rows have names of
/// their own, which then share `a`.
fn written_names(spec: &ModelSpec, addition: &LowRank) -> Vec<String> {
    let module = spec.module(addition.spec.module);
    if module.named_ranges.is_empty() {
        return vec![module.name.clone()];
    }
    let LowRankSpec { output_start, output_count, .. } = addition.spec;
    let inside = |start: usize, count: usize| start >= output_start && start + count <= output_start + output_count;
    module.named_ranges.iter().filter(|range| inside(range.start, range.count)).map(|range| range.name.clone()).collect()
}

/// Rows of an addition that belong to a name: how many, and from which.
fn written_rows(spec: &ModelSpec, addition: &LowRank, name: &str) -> (usize, usize) {
    match spec.module(addition.spec.module).named_ranges.iter().find(|range| range.name == name) {
        Some(range) => (range.count, range.start - addition.spec.output_start),
        None => (addition.spec.output_count, 0),
    }
}

/// Reads an adapter folder that fits a model.
///
/// # Errors
/// When files are missing, an option is not supported, or a tensor fits no module.
pub fn load(folder: &Path, weights: &ModelWeights) -> Result<(Adapter, AdapterSettings), ModelError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
    let config: Value =
        serde_json::from_str(&text).map_err(|error| ModelError::adapter(format!("{}: not JSON: {error}", path.display())))?;
    let settings = settings_of(&config)?;
    let checkpoint = Checkpoint::from_files(&[folder.join(WEIGHTS)])?;
    let spec = &weights.spec;
    let places: BTreeMap<&str, (usize, usize, usize)> = spec
        .modules
        .iter()
        .enumerate()
        .flat_map(|(index, module)| {
            let whole = (module.name.as_str(), (index, 0, module.output_width));
            std::iter::once(whole)
                .chain(module.named_ranges.iter().map(move |range| (range.name.as_str(), (index, range.start, range.count))))
        })
        .collect();
    let mut additions = Vec::new();
    for name in checkpoint.names() {
        let Some(module_name) = name.strip_suffix(".lora_A.weight") else { continue };
        let plain = &checkpoint_name(module_name.strip_prefix(PREFIX).unwrap_or(module_name));
        let (index, output_start, output_count) =
            *places.get(plain.as_str()).ok_or_else(|| ModelError::adapter(format!("{name}: the model has no linear module {plain}")))?;
        let a = checkpoint.tensor(name)?;
        let b = checkpoint.tensor(&format!("{module_name}.lora_B.weight"))?;
        let rank = a.shape.first().copied().unwrap_or(0);
        let input_width = spec.modules[index].input_width;
        for (tensor, expected, part) in [(&a, [rank, input_width], "lora_A"), (&b, [output_count, rank], "lora_B")] {
            if tensor.shape != expected || rank == 0 {
                return Err(ModelError::TensorShape {
                    name: format!("{module_name}.{part}.weight"),
                    found: tensor.shape.clone(),
                    expected: expected.to_vec(),
                });
            }
        }
        let magnitude = match settings.use_dora {
            false => None,
            true => {
                let vector = [".lora_magnitude_vector", ".lora_magnitude_vector.weight"].map(|ending| format!("{module_name}{ending}"));
                let found = vector.iter().find(|name| checkpoint.contains(name)).unwrap_or(&vector[0]);
                Some(upload(weights, 1, output_count, &checkpoint.tensor(found)?.to_f32())?)
            }
        };
        let alpha = pattern(&config, "alpha_pattern", plain).map_or(settings.alpha, |alpha| alpha as f32);
        let divisor = if settings.use_rslora { (rank as f32).sqrt() } else { rank as f32 };
        additions.push(LowRank {
            spec: LowRankSpec {
                module: crate::spec::ModuleId(index),
                output_start,
                output_count,
                input_width,
                rank,
                scale: alpha / divisor,
                dropout: settings.dropout,
                has_magnitude: settings.use_dora,
            },
            a: upload(weights, rank, input_width, &a.to_f32())?,
            b: upload(weights, output_count, rank, &b.to_f32())?,
            magnitude,
        });
    }
    if additions.is_empty() {
        return Err(ModelError::adapter(format!("{}: holds no lora_A tensors", folder.display())));
    }
    additions.sort_by_key(|addition| (addition.spec.module, addition.spec.output_start));
    Ok((Adapter::new(spec, additions, BTreeMap::new()), settings))
}

fn upload(weights: &ModelWeights, rows: usize, columns: usize, values: &[f32]) -> Result<Owned, ModelError> {
    if values.len() != rows * columns {
        return Err(ModelError::adapter(format!("found {} numbers, expected {rows} × {columns}", values.len())));
    }
    let tensor = Owned::zeros(weights.backend(), rows, columns, Dtype::F32)?;
    weights.backend().write_f32(*tensor, values);
    Ok(tensor)
}

fn settings_of(config: &Value) -> Result<AdapterSettings, ModelError> {
    let kind = config["peft_type"].as_str().unwrap_or("LORA");
    if kind != "LORA" {
        return Err(ModelError::adapter(format!("peft_type: found {kind}, expected LORA")));
    }
    let bias = config["bias"].as_str().unwrap_or("none");
    if bias != "none" {
        return Err(ModelError::adapter(format!("bias: found {bias}, expected none")));
    }
    let targets = match &config["target_modules"] {
        Value::Array(list) => list.iter().filter_map(|word| word.as_str().map(str::to_string)).collect(),
        Value::String(word) => vec![word.clone()],
        _ => Vec::new(),
    };
    Ok(AdapterSettings {
        rank: config["r"].as_u64().unwrap_or(8) as usize,
        alpha: config["lora_alpha"].as_f64().unwrap_or(8.0) as f32,
        dropout: config["lora_dropout"].as_f64().unwrap_or(0.0) as f32,
        targets,
        use_rslora: config["use_rslora"].as_bool().unwrap_or(false),
        use_dora: config["use_dora"].as_bool().unwrap_or(false),
    })
}

/// A value of `rank_pattern` or `alpha_pattern` for a module.
fn pattern(config: &Value, key: &str, module: &str) -> Option<f64> {
    config[key].as_object()?.iter().find(|(word, _)| ends_with_words(module, word)).and_then(|(_, value)| value.as_f64())
}

struct F32View<'a> {
    backend: &'a dyn Backend,
    tensor: Tensor,
    shape: Vec<usize>,
}

impl View for F32View<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        safetensors::Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.backend.read_bytes(self.tensor))
    }
    fn data_len(&self) -> usize {
        4 * self.tensor.len()
    }
}
