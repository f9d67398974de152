//! New adapters: which modules get one, and its first values.

use std::collections::BTreeMap;

use apertis_kernels::{Dtype, MatrixView, Owned, ProductOptions, ProductTerm};

use super::names::{class_name, ends_with_words, head_tensor_name, is_expert, is_parameter_target, module_of};
use super::whole::{copies_of, parameters_of};
use super::{Adapter, LowRankSpec};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, ModelSpec, ModuleId};
use crate::weights::{Uniform, name_hash};

/// What a new adapter is like.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSettings {
    /// Inner width.
    pub rank: usize,
    /// Strength: multiplied by alpha / rank.
    pub alpha: f32,
    /// Share of inputs dropped while training.
    pub dropout: f32,
    /// `all-linear`, or the last words of module names.
    pub targets: Vec<String>,
    /// alpha / √rank instead. Kalajdzievski 2023.
    pub use_rslora: bool,
    /// Learn lengths apart from directions. Liu et al. 2024.
    pub use_dora: bool,
    /// Last words of modules trained in full and kept with the adapter.
    pub modules_to_save: Vec<String>,
}

impl AdapterSettings {
    /// What the product of the two matrices is multiplied by.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }
}

/// Makes an adapter that changes nothing yet: `b` is zero, `a` uniform as PEFT has it, and modules
/// to save are copies of the base's. These get no low-rank addition beside.
///
/// # Errors
/// When a target or module to save names no module, both name the same one, an option is not
/// supported on a target, or memory is short.
pub fn create(weights: &ModelWeights, settings: &AdapterSettings, seed: u64) -> Result<Adapter, ModelError> {
    let spec = &weights.spec;
    let whole = parameters_of(spec, &settings.modules_to_save)?;
    let mut modules = targets(spec, &settings.targets)?;
    let is_whole = |module: &ModuleId| whole.contains(&spec.module(*module).weight);
    if let (Some(module), false) = (modules.iter().find(|module| is_whole(module)), means_all(&settings.targets)) {
        let name = &spec.module(*module).name;
        let message = format!("lora.modules_to_save: {name} is in lora.targets too; a module is trained in full or gets an adapter");
        return Err(ModelError::adapter(message));
    }
    modules.retain(|module| !is_whole(module));
    if settings.use_dora {
        check_dora(spec, &modules)?;
    }
    let specs = modules
        .into_iter()
        .map(|module| {
            let found = spec.module(module);
            LowRankSpec {
                module,
                output_start: 0,
                output_count: found.output_width,
                input_width: found.input_width,
                rank: settings.rank,
                scale: settings.scale(),
                dropout: settings.dropout,
                has_magnitude: settings.use_dora,
            }
        })
        .collect();
    let mut adapter = Adapter::with_values(weights.backend(), spec, specs, |low, is_b| {
        if is_b {
            return vec![0.0; low.output_count * low.rank];
        }
        // Kaiming's uniform with a = √5: ±1/√inputs.
        let bound = 1.0 / (low.input_width as f64).sqrt();
        let mut random = Uniform::new(seed ^ name_hash(&spec.module(low.module).name));
        (0..low.rank * low.input_width).map(|_| ((2.0 * random.next() - 1.0) * bound) as f32).collect()
    })?;
    for addition in &adapter.additions {
        if let Some(magnitude) = &addition.magnitude {
            weights.backend().write_f32(**magnitude, &row_lengths(weights, addition)?);
        }
    }
    adapter.replaced = copies_of(weights, &whole)?;
    Ok(adapter)
}

/// Refuses modules that no saved adapter could hold learned lengths of.
fn check_dora(spec: &ModelSpec, modules: &[ModuleId]) -> Result<(), ModelError> {
    let refused = |module: &&ModuleId| is_expert(spec, **module) || is_parameter_target(spec, &class_name(&spec.module(**module).name));
    match modules.iter().find(refused) {
        None => Ok(()),
        Some(module) => {
            let name = &spec.module(*module).name;
            let message = format!(
                "lora.dora: is not supported on {name}: experts, and the gated channels of a model that has experts, take plain adapters; \
                 name other modules in lora.targets, such as q_proj,v_proj"
            );
            Err(ModelError::adapter(message))
        }
    }
}

fn means_all(targets: &[String]) -> bool {
    targets.iter().any(|word| word == "all-linear")
}

/// Lengths of the rows of `weight + scale · b · a`.
fn row_lengths(weights: &ModelWeights, addition: &super::LowRank) -> Result<Vec<f32>, ModelError> {
    let backend = weights.backend();
    let low = &addition.spec;
    let rows = weights.tensor(weights.spec.module(low.module).weight).row_range(low.output_start, low.output_count);
    let merged = Owned::zeros(backend, low.output_count, low.input_width, Dtype::F32)?;
    let squares = Owned::zeros(backend, low.output_count, 1, Dtype::F32)?;
    let term = ProductTerm { left: MatrixView::plain(*addition.b), right: MatrixView::plain(*addition.a), scale: low.scale };
    backend.product(*merged, &[term], &ProductOptions::default());
    backend.copy(*merged, rows, 1.0, true);
    backend.row_dot(*squares, *merged, *merged);
    Ok(backend.read_f32(*squares).into_iter().map(f32::sqrt).collect())
}

/// Modules that an adapter may sit on: all but routers and gates of experts.
fn candidates(spec: &ModelSpec) -> Vec<ModuleId> {
    spec.layers
        .iter()
        .flat_map(|layer| {
            let excluded = match &layer.channel {
                ChannelSpec::Experts(experts) => vec![Some(experts.router), experts.shared_gate],
                _ => Vec::new(),
            };
            layer.modules().into_iter().filter(move |module| !excluded.contains(&Some(*module)))
        })
        .collect()
}

fn targets(spec: &ModelSpec, wanted: &[String]) -> Result<Vec<ModuleId>, ModelError> {
    let all = candidates(spec);
    if means_all(wanted) {
        return Ok(all);
    }
    let head_name = head_tensor_name(spec);
    let tables = [spec.parameter(spec.embedding).name().to_string(), class_name(&head_name), head_name];
    let mut by_word: BTreeMap<&str, Vec<ModuleId>> = BTreeMap::new();
    for module in &all {
        let name = &spec.module(*module).name;
        by_word.entry(name.rsplit('.').next().unwrap_or(name)).or_default().push(*module);
    }
    let mut chosen = Vec::new();
    for word in wanted {
        let matching: Vec<ModuleId> = all.iter().copied().filter(|module| ends_with_words(&spec.module(*module).name, word)).collect();
        if tables.iter().any(|table| ends_with_words(module_of(table), word)) {
            let message = format!("lora.targets: {word} is trained in full, not by an adapter; name it in lora.modules_to_save");
            return Err(ModelError::adapter(message));
        }
        if matching.is_empty() {
            let names: Vec<&str> = by_word.keys().copied().collect();
            return Err(ModelError::adapter(format!("lora.targets: no module is called {word:?}; this model has {}", names.join(", "))));
        }
        chosen.extend(matching);
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}
