//! Writing adapter folders that PEFT loads: names, targets and patterns that mean exactly the
//! modules that have additions.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use apertis_kernels::{Backend, Tensor};
use safetensors::View;
use serde_json::{Map, Value, json};

use super::config::FILE as CONFIG;
use super::create::AdapterSettings;
use super::names::{PREFIX, Stack, class_name, expert_channels, head_tensor_name, is_parameter_target, last_words, module_of};
use super::{Adapter, LowRank};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ModelSpec, ModuleId, ParameterId};
use crate::weights::write_tensors;

const WEIGHTS: &str = "adapter_model.safetensors";

/// Writes an adapter folder.
///
/// Experts that are all adapted alike are written as `target_parameters`, others by their own
/// names. A tied matrix that is trained is written under both its names.
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
    let layout = Layout::new(&weights.spec, adapter, settings);
    let config = layout.config(base_name);
    let backend: &dyn Backend = &**weights.backend();
    let views = layout.tensors.into_iter().map(|(name, shape, source)| (name, AdapterView { backend, shape, source })).collect();
    write_tensors(&folder.join(WEIGHTS), views, Some(HashMap::from([("format".to_string(), "pt".to_string())])))?;
    let path = folder.join(CONFIG);
    let text = serde_json::to_string_pretty(&config).map_err(|error| ModelError::adapter(error.to_string()))?;
    std::fs::write(&path, text).map_err(ModelError::io(&path))
}

/// What goes into the two files.
struct Layout<'a> {
    spec: &'a ModelSpec,
    adapter: &'a Adapter,
    settings: &'a AdapterSettings,
    tensors: Vec<(String, Vec<usize>, Source)>,
    modules: BTreeSet<String>,
    parameters: BTreeSet<String>,
    saved: BTreeSet<String>,
    ranks: Map<String, Value>,
    alphas: Map<String, Value>,
    stays_tied: bool,
}

impl<'a> Layout<'a> {
    fn new(spec: &'a ModelSpec, adapter: &'a Adapter, settings: &'a AdapterSettings) -> Layout<'a> {
        let mut layout = Layout {
            spec,
            adapter,
            settings,
            tensors: Vec::new(),
            modules: BTreeSet::new(),
            parameters: BTreeSet::new(),
            saved: BTreeSet::new(),
            ranks: Map::new(),
            alphas: Map::new(),
            stays_tied: false,
        };
        let mut in_stacks: BTreeSet<ModuleId> = BTreeSet::new();
        for experts in expert_channels(spec) {
            let stacks = Stack::of(experts);
            let whole = stacks.each_ref().map(|stack| layout.whole_stack(stack));
            // PEFT reads either layout, but not one for gate and up and the other for down.
            let is_mixed = stacks.iter().zip(&whole).any(|(stack, whole)| whole.is_none() && layout.has_additions(stack));
            if is_mixed {
                continue;
            }
            let are_both = whole.iter().all(Option::is_some);
            for (index, (stack, additions)) in stacks.iter().zip(whole).enumerate() {
                let Some(additions) = additions else { continue };
                let wrapper = if are_both && index == 0 { ".base_layer" } else { "" };
                layout.add_stack(stack, &additions, &format!("{}{wrapper}", stack.module_name()));
                in_stacks.extend(&stack.modules);
            }
        }
        for addition in adapter.additions.iter().filter(|addition| !in_stacks.contains(&addition.spec.module)) {
            layout.add_plain(addition);
        }
        for (id, tensor) in &adapter.replaced {
            layout.add_replaced(*id, **tensor);
        }
        layout
    }

    fn has_additions(&self, stack: &Stack) -> bool {
        stack.modules.iter().any(|module| self.adapter.on(*module).next().is_some())
    }

    /// The additions of a stack's experts, where each has one on all outputs, all alike.
    fn whole_stack(&self, stack: &Stack) -> Option<Vec<&'a LowRank>> {
        let mut found: Vec<&LowRank> = Vec::with_capacity(stack.modules.len());
        for module in &stack.modules {
            let mut on_module = self.adapter.on(*module).map(|(_, addition)| addition);
            let (Some(addition), None) = (on_module.next(), on_module.next()) else { return None };
            let spec = &addition.spec;
            let is_whole = spec.output_count == self.spec.module(*module).output_width && addition.magnitude.is_none();
            let is_alike = found.first().is_none_or(|first| (first.spec.rank, first.spec.scale) == (spec.rank, spec.scale));
            if !(is_whole && is_alike) {
                return None;
            }
            found.push(addition);
        }
        (!found.is_empty()).then_some(found)
    }

    fn add_stack(&mut self, stack: &Stack, additions: &[&LowRank], module_name: &str) {
        let first = &additions[0].spec;
        let all_ranks = first.rank * additions.len();
        let a = Source::Rows(additions.iter().map(|addition| *addition.a).collect());
        let b = Source::Turns(additions.iter().map(|addition| *addition.b).collect());
        self.tensors.push((format!("{PREFIX}{module_name}.lora_A.weight"), vec![all_ranks, first.input_width], a));
        self.tensors.push((format!("{PREFIX}{module_name}.lora_B.weight"), vec![first.output_count, all_ranks], b));
        self.parameters.insert(stack.name.clone());
        self.add_patterns(&stack.name, additions[0]);
    }

    fn add_plain(&mut self, addition: &LowRank) {
        for (name, start, rows) in written_ranges(self.spec, addition) {
            let name = class_name(&name);
            let (rank, input_width) = (addition.spec.rank, addition.spec.input_width);
            let b = addition.b.row_range(start, rows);
            self.tensors.push((format!("{PREFIX}{name}.lora_A.weight"), vec![rank, input_width], Source::Rows(vec![*addition.a])));
            self.tensors.push((format!("{PREFIX}{name}.lora_B.weight"), vec![rows, rank], Source::Rows(vec![b])));
            if let Some(magnitude) = &addition.magnitude {
                let magnitude = Source::Rows(vec![magnitude.column_range(start, rows)]);
                self.tensors.push((format!("{PREFIX}{name}.lora_magnitude_vector"), vec![rows], magnitude));
            }
            if is_parameter_target(self.spec, &name) {
                let parameter = format!("{name}.weight");
                self.add_patterns(&parameter, addition);
                self.parameters.insert(parameter);
            } else {
                self.add_patterns(&name, addition);
                self.modules.insert(name);
            }
        }
    }

    /// Where an addition differs from what is said once for all.
    fn add_patterns(&mut self, name: &str, addition: &LowRank) {
        let rank = addition.spec.rank as f32;
        let alpha = addition.spec.scale * if self.settings.use_rslora { rank.sqrt() } else { rank };
        if addition.spec.rank != self.settings.rank {
            self.ranks.insert(name.to_string(), json!(addition.spec.rank));
        }
        // The scale was rounded once.
        if (alpha - self.settings.alpha).abs() > 1e-6 * self.settings.alpha.abs() {
            self.alphas.insert(name.to_string(), number(alpha));
        }
    }

    fn add_replaced(&mut self, id: ParameterId, tensor: Tensor) {
        let parameter = self.spec.parameter(id);
        let mut start = 0;
        for part in &parameter.parts {
            let rows = tensor.reshape(parameter.rows, parameter.columns).row_range(start, part.rows);
            start += part.rows;
            let (shape, source) = match (parameter.is_vector, part.transposed) {
                (true, _) => (vec![parameter.columns], Source::Rows(vec![rows])),
                (false, true) => (vec![parameter.columns, part.rows], Source::Transposed(rows)),
                (false, false) => (vec![part.rows, parameter.columns], Source::Rows(vec![rows])),
            };
            let name = class_name(&part.name);
            self.saved.insert(module_of(&name).to_string());
            self.tensors.push((format!("{PREFIX}{name}"), shape, source));
        }
        if self.spec.is_tied() && id == self.spec.embedding {
            let name = class_name(&head_tensor_name(self.spec));
            // PEFT ties modules of this name alone; others it takes as two that are equal.
            self.stays_tied = last_words(module_of(self.spec.parameter(id).name()), 1) == "embed_tokens";
            if !self.stays_tied {
                self.saved.insert(module_of(&name).to_string());
            }
            self.tensors.push((format!("{PREFIX}{name}"), vec![parameter.rows, parameter.columns], Source::Rows(vec![tensor])));
        }
    }

    fn config(&self, base_name: &str) -> Value {
        let has_magnitudes = self.adapter.additions.iter().any(|addition| addition.magnitude.is_some());
        let weight_of = |addition: &LowRank| self.spec.parameter(self.spec.module(addition.spec.module).weight);
        let is_transposed = self.adapter.additions.iter().any(|addition| weight_of(addition).parts[0].transposed);
        let modules = all_module_names(self.spec);
        let parameters: Vec<String> = expert_channels(self.spec)
            .flat_map(|experts| Stack::of(experts).map(|stack| stack.name))
            .chain(modules.iter().map(|name| format!("{name}.weight")))
            .collect();
        let some = |list: Vec<String>| if list.is_empty() { Value::Null } else { json!(list) };
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_name,
            "r": self.settings.rank,
            "lora_alpha": number(self.settings.alpha),
            // PEFT refuses dropout on parameters.
            "lora_dropout": number(if self.parameters.is_empty() { self.settings.dropout } else { 0.0 }),
            "target_modules": shortened(&self.modules, &modules, 1),
            "target_parameters": some(shortened(&self.parameters, &parameters, 3)),
            "rank_pattern": self.ranks,
            "alpha_pattern": self.alphas,
            "use_rslora": self.settings.use_rslora,
            "use_dora": has_magnitudes,
            "fan_in_fan_out": is_transposed,
            "bias": "none",
            "inference_mode": true,
            "modules_to_save": some(self.saved.iter().cloned().collect()),
            "ensure_weight_tying": self.stays_tied,
        })
    }
}

/// A number without the digits that a wider type would add, whole where it is.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return json!(value as i64);
    }
    json!(value.to_string().parse::<f64>().unwrap_or(f64::from(value)))
}

/// Names that an addition is written under, with first row and rows: a fused expert's rows have
/// names of their own, which then share `a`.
fn written_ranges(spec: &ModelSpec, addition: &LowRank) -> Vec<(String, usize, usize)> {
    let module = spec.module(addition.spec.module);
    let (start, count) = (addition.spec.output_start, addition.spec.output_count);
    if module.named_ranges.is_empty() {
        return vec![(module.name.clone(), 0, count)];
    }
    let is_inside = |range: &&crate::spec::NamedRange| range.start >= start && range.start + range.count <= start + count;
    module.named_ranges.iter().filter(is_inside).map(|range| (range.name.clone(), range.start - start, range.count)).collect()
}

/// The class's names of everything that a target could mean.
fn all_module_names(spec: &ModelSpec) -> Vec<String> {
    let own = spec.modules.iter().filter(|module| module.named_ranges.is_empty()).map(|module| class_name(&module.name));
    let ranges = spec.modules.iter().flat_map(|module| &module.named_ranges).map(|range| class_name(&range.name));
    let ends = [head_tensor_name(spec), spec.parameter(spec.embedding).name().to_string()];
    own.chain(ranges).chain(ends.iter().map(|name| module_of(&class_name(name)).to_string())).collect()
}

/// Chosen names by their last words, where all names with those words are chosen.
fn shortened(chosen: &BTreeSet<String>, all: &[String], words: usize) -> Vec<String> {
    let incomplete: BTreeSet<&str> = all.iter().filter(|name| !chosen.contains(*name)).map(|name| last_words(name, words)).collect();
    let short = |name: &String| match last_words(name, words) {
        end if incomplete.contains(end) => name.clone(),
        end => end.to_string(),
    };
    chosen.iter().map(short).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Where the numbers of a written tensor come from.
enum Source {
    /// Tensors, one below another.
    Rows(Vec<Tensor>),
    /// One, turned.
    Transposed(Tensor),
    /// Experts' columns in turns.
    Turns(Vec<Tensor>),
}

/// A tensor of the file, read from the device when it is written, as F32.
struct AdapterView<'a> {
    backend: &'a dyn Backend,
    shape: Vec<usize>,
    source: Source,
}

impl AdapterView<'_> {
    fn values(&self) -> Vec<f32> {
        match &self.source {
            Source::Rows(tensors) => tensors.iter().flat_map(|tensor| self.backend.read_f32(*tensor)).collect(),
            Source::Transposed(tensor) => {
                let values = self.backend.read_f32(*tensor);
                let (rows, columns) = (tensor.rows, tensor.columns);
                (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column)).map(|at| values[at]).collect()
            }
            Source::Turns(tensors) => {
                let values: Vec<Vec<f32>> = tensors.iter().map(|tensor| self.backend.read_f32(*tensor)).collect();
                let elements = values.first().map_or(0, Vec::len);
                (0..elements).flat_map(|at| values.iter().map(move |values| values[at])).collect()
            }
        }
    }
}

impl View for AdapterView<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        safetensors::Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values().into_iter().flat_map(f32::to_le_bytes).collect())
    }
    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}
