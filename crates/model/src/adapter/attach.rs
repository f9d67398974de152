//! Reading adapter folders: which tensors sit where, and what they make of a tied head.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{Dtype, Owned};

use super::config::PeftConfig;
use super::create::AdapterSettings;
use super::names::{PREFIX, Stack, class_name, expert_channels, head_tensor_name, is_expert, parameter_of};
use super::{Adapter, LowRank, LowRankSpec};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ModelSpec, ModuleId, ParameterId, ParameterPart, ParameterSpec};
use crate::weights::Checkpoint;

/// An adapter, and the weights that it sits on.
pub struct Attached {
    /// The base, sharing its tensors; with a head of its own where the adapter unties it.
    pub weights: Arc<ModelWeights>,
    /// Additions and replaced parameters.
    pub adapter: Adapter,
    /// What the adapter's config says of all modules.
    pub settings: AdapterSettings,
}

/// Reads an adapter folder that fits a model.
///
/// Modules are known by the names of the tensors, so that every way of choosing targets is read.
/// `modules_to_save` become replaced parameters. Where they change only one of two tied
/// matrices, or both differently, the result's weights are untied.
///
/// # Errors
/// When files are missing, an option is not supported, or a tensor fits no module.
pub fn attach(folder: &Path, weights: &Arc<ModelWeights>) -> Result<Attached, ModelError> {
    let config = PeftConfig::read(folder)?;
    let checkpoint = Checkpoint::from_adapter_folder(folder)?;
    let reader = Reader::new(&config, &checkpoint, weights);
    let mut additions = Vec::new();
    let mut saved = BTreeMap::new();
    for tensor in checkpoint.names() {
        let name = tensor.strip_prefix(PREFIX).unwrap_or(tensor);
        match name.split_once(".lora_") {
            Some((module, "A.weight")) => reader.addition(module, &mut additions)?,
            Some((module, "B.weight" | "magnitude_vector" | "magnitude_vector.weight")) => {
                if !checkpoint.contains(&reader.file_name(module, "lora_A.weight")) {
                    return Err(ModelError::adapter(format!("{tensor}: has no lora_A beside it")));
                }
            }
            Some((_, kind)) => return Err(ModelError::adapter(format!("{tensor}: lora_{kind} is not supported"))),
            None => {
                saved.insert(name.to_string(), tensor);
            }
        }
    }
    if additions.is_empty() && saved.is_empty() {
        return Err(ModelError::adapter(format!("{}: holds no adapter's tensors", folder.display())));
    }
    additions.sort_by_key(|addition| (addition.spec.module, addition.spec.output_start));
    let (weights, replaced) = reader.replacements(saved)?;
    let adapter = Adapter::new(&weights.spec, additions, replaced);
    Ok(Attached { weights, adapter, settings: config.settings })
}

/// [`attach`] for callers that keep the base as it is.
///
/// # Errors
/// As [`attach`], and when the adapter gives a tied model a head of its own.
pub fn load(folder: &Path, weights: &Arc<ModelWeights>) -> Result<(Adapter, AdapterSettings), ModelError> {
    let attached = attach(folder, weights)?;
    if !Arc::ptr_eq(&attached.weights, weights) {
        return Err(ModelError::adapter(format!("{}: unties head and embedding, which is not possible here", folder.display())));
    }
    Ok((attached.adapter, attached.settings))
}

struct Reader<'a> {
    config: &'a PeftConfig,
    checkpoint: &'a Checkpoint,
    weights: &'a Arc<ModelWeights>,
    /// By the checkpoint's and the class's name: module, first output, outputs.
    places: BTreeMap<String, (ModuleId, usize, usize)>,
    /// By the name of the module that holds them.
    stacks: BTreeMap<String, [Stack; 2]>,
}

impl<'a> Reader<'a> {
    fn new(config: &'a PeftConfig, checkpoint: &'a Checkpoint, weights: &'a Arc<ModelWeights>) -> Reader<'a> {
        let spec = &weights.spec;
        let mut places = BTreeMap::new();
        for (index, module) in spec.modules.iter().enumerate() {
            let whole = (&module.name, 0, module.output_width);
            let ranges = module.named_ranges.iter().map(|range| (&range.name, range.start, range.count));
            for (name, start, count) in std::iter::once(whole).chain(ranges) {
                places.insert(class_name(name), (ModuleId(index), start, count));
                places.insert(name.clone(), (ModuleId(index), start, count));
            }
        }
        let stacks = expert_channels(spec).map(Stack::of).map(|stacks| (stacks[0].module_name().to_string(), stacks)).collect();
        Reader { config, checkpoint, weights, places, stacks }
    }

    /// A tensor's name as the file has it.
    fn file_name(&self, module: &str, part: &str) -> String {
        let full = format!("{PREFIX}{module}.{part}");
        if self.checkpoint.contains(&full) { full } else { format!("{module}.{part}") }
    }

    /// A tensor of two axes, with its rows and columns.
    fn matrix(&self, module: &str, part: &str) -> Result<(usize, usize, Vec<f32>), ModelError> {
        let name = self.file_name(module, part);
        let stored = self.checkpoint.tensor(&name)?;
        let [rows, columns] = stored.shape[..] else {
            return Err(ModelError::adapter(format!("{name}: found {} axes, expected 2", stored.shape.len())));
        };
        let values = stored.to_f32();
        check_finite(&name, &values)?;
        Ok((rows, columns, values))
    }

    fn addition(&self, module: &str, additions: &mut Vec<LowRank>) -> Result<(), ModelError> {
        if let Some((id, start, count)) = self.places.get(module) {
            additions.push(self.plain(module, *id, *start, *count)?);
            return Ok(());
        }
        let (outer, is_inner) = match module.strip_suffix(".base_layer") {
            Some(outer) => (outer, true),
            None => (module, false),
        };
        let Some(stacks) = self.stacks.get(outer) else {
            return Err(ModelError::adapter(format!("the model has no linear module {module}")));
        };
        let has_inner = self.checkpoint.contains(&self.file_name(&format!("{outer}.base_layer"), "lora_A.weight"));
        let stack = match (is_inner, has_inner) {
            (true, _) => &stacks[0],
            (false, true) => &stacks[1],
            // One of the two is a target: only the config says which.
            (false, false) => stacks
                .iter()
                .find(|stack| self.config.targets_parameter(&stack.name))
                .ok_or_else(|| ModelError::adapter(format!("{module}: target_parameters names no parameter of it")))?,
        };
        self.stacked(module, stack, additions)
    }

    fn plain(&self, name: &str, module: ModuleId, output_start: usize, output_count: usize) -> Result<LowRank, ModelError> {
        if self.config.settings.use_dora && is_expert(&self.weights.spec, module) {
            return Err(ModelError::adapter(format!("{name}: use_dora is not supported on experts")));
        }
        let input_width = self.weights.spec.module(module).input_width;
        let (rank, columns, a) = self.matrix(name, "lora_A.weight")?;
        let (rows, inner, b) = self.matrix(name, "lora_B.weight")?;
        self.check_shape(name, "lora_A.weight", [rank, columns], [rank.max(1), input_width])?;
        self.check_shape(name, "lora_B.weight", [rows, inner], [output_count, rank])?;
        let magnitude = if self.config.settings.use_dora { Some(self.magnitude(name, output_count)?) } else { None };
        let spec = self.low_rank_spec(name, module, output_start, output_count, rank);
        Ok(LowRank { spec, a: self.upload(rank, input_width, &a)?, b: self.upload(output_count, rank, &b)?, magnitude })
    }

    fn magnitude(&self, name: &str, output_count: usize) -> Result<Owned, ModelError> {
        let long = self.file_name(name, "lora_magnitude_vector.weight");
        let found = if self.checkpoint.contains(&long) { long } else { self.file_name(name, "lora_magnitude_vector") };
        let stored = self.checkpoint.tensor(&found)?;
        if stored.shape.iter().product::<usize>() != output_count {
            return Err(ModelError::TensorShape { name: found, found: stored.shape, expected: vec![output_count] });
        }
        let values = stored.to_f32();
        check_finite(&found, &values)?;
        self.upload(1, output_count, &values)
    }

    /// One pair of tensors for all experts of a channel: `a` holds them one after another, `b`
    /// in turns: column ρ · experts + e is rank ρ of expert e.
    fn stacked(&self, name: &str, stack: &Stack, additions: &mut Vec<LowRank>) -> Result<(), ModelError> {
        if self.config.settings.use_dora {
            return Err(ModelError::adapter(format!("{name}: use_dora is not supported on experts")));
        }
        let spec = &self.weights.spec;
        let experts = stack.modules.len();
        let (all_ranks, columns, a) = self.matrix(name, "lora_A.weight")?;
        let (rows, inner, b) = self.matrix(name, "lora_B.weight")?;
        let first = stack.modules.first().map(|id| spec.module(*id));
        let (input_width, output_width) = first.map_or((0, 0), |module| (module.input_width, module.output_width));
        let rank = all_ranks / experts.max(1);
        self.check_shape(name, "lora_A.weight", [all_ranks, columns], [rank.max(1) * experts, input_width])?;
        self.check_shape(name, "lora_B.weight", [rows, inner], [output_width, all_ranks])?;
        for (expert, module) in stack.modules.iter().enumerate() {
            let own_a = &a[expert * rank * input_width..(expert + 1) * rank * input_width];
            let own_b: Vec<f32> = (0..output_width)
                .flat_map(|row| (0..rank).map(move |at| row * all_ranks + at * experts + expert))
                .map(|at| b[at])
                .collect();
            additions.push(LowRank {
                spec: self.low_rank_spec(&stack.name, *module, 0, output_width, rank),
                a: self.upload(rank, input_width, own_a)?,
                b: self.upload(output_width, rank, &own_b)?,
                magnitude: None,
            });
        }
        Ok(())
    }

    fn low_rank_spec(&self, name: &str, module: ModuleId, output_start: usize, output_count: usize, rank: usize) -> LowRankSpec {
        LowRankSpec {
            module,
            output_start,
            output_count,
            input_width: self.weights.spec.module(module).input_width,
            rank,
            scale: self.config.scale(name, rank),
            dropout: self.config.settings.dropout,
            has_magnitude: self.config.settings.use_dora,
        }
    }

    fn check_shape(&self, module: &str, part: &str, found: [usize; 2], expected: [usize; 2]) -> Result<(), ModelError> {
        if found == expected {
            return Ok(());
        }
        Err(ModelError::TensorShape { name: self.file_name(module, part), found: found.to_vec(), expected: expected.to_vec() })
    }

    fn upload(&self, rows: usize, columns: usize, values: &[f32]) -> Result<Owned, ModelError> {
        let backend = self.weights.backend();
        let tensor = Owned::zeros(backend, rows, columns, Dtype::F32)?;
        backend.write_f32(*tensor, values);
        Ok(tensor)
    }

    /// Parameters that stand in for the base's, and the weights that they fit.
    fn replacements(&self, mut saved: BTreeMap<String, &str>) -> Result<(Arc<ModelWeights>, BTreeMap<ParameterId, Owned>), ModelError> {
        let mut weights = Arc::clone(self.weights);
        let mut replaced = BTreeMap::new();
        if weights.spec.is_tied() {
            let spec = Arc::clone(&weights.spec);
            let embedding_name = class_name(spec.parameter(spec.embedding).name());
            let head_name = head_tensor_name(&spec);
            let mut take = |name: &str| saved.remove(name).map(|tensor| self.part(tensor, spec.parameter(spec.embedding), 0)).transpose();
            let embedding = take(&embedding_name)?;
            // Older versions wrote the checkpoint's name.
            let head = take(&class_name(&head_name))?.or(take(&head_name)?);
            let stays_tied = self.config.ensures_tying || embedding == head;
            let whole = spec.parameter(spec.embedding);
            match (embedding, head) {
                (None, None) => {}
                (Some(values), _) | (None, Some(values)) if stays_tied => {
                    replaced.insert(spec.embedding, self.upload(whole.rows, whole.columns, &values)?);
                }
                (embedding, head) => {
                    weights = untied(&weights, &head_name);
                    for (id, values) in [(weights.spec.embedding, embedding), (weights.spec.head, head)] {
                        if let Some(values) = values {
                            replaced.insert(id, self.upload(whole.rows, whole.columns, &values)?);
                        }
                    }
                }
            }
        }
        let mut parts: BTreeMap<ParameterId, BTreeMap<usize, Vec<f32>>> = BTreeMap::new();
        for (name, tensor) in saved {
            let Some((id, part)) = parameter_of(&weights.spec, &name) else {
                return Err(ModelError::adapter(format!("{tensor}: the model has no parameter {name}")));
            };
            parts.entry(id).or_default().insert(part, self.part(tensor, weights.spec.parameter(id), part)?);
        }
        for (id, parts) in parts {
            let parameter = weights.spec.parameter(id);
            if parts.len() != parameter.parts.len() {
                return Err(ModelError::adapter(format!("{}: some of the tensors stored with it are missing", parameter.name())));
            }
            let values: Vec<f32> = parts.into_values().flatten().collect();
            replaced.insert(id, self.upload(parameter.rows, parameter.columns, &values)?);
        }
        Ok((weights, replaced))
    }

    /// The numbers of a part of a parameter, row by row.
    fn part(&self, tensor: &str, parameter: &ParameterSpec, part: usize) -> Result<Vec<f32>, ModelError> {
        let part = &parameter.parts[part];
        let stored = self.checkpoint.tensor(tensor)?;
        let expected = match (parameter.is_vector, part.transposed) {
            (true, _) => vec![parameter.columns],
            (false, true) => vec![parameter.columns, part.rows],
            (false, false) => vec![part.rows, parameter.columns],
        };
        if stored.shape != expected {
            return Err(ModelError::TensorShape { name: tensor.to_string(), found: stored.shape, expected });
        }
        let values = stored.to_f32();
        check_finite(tensor, &values)?;
        if !part.transposed {
            return Ok(values);
        }
        Ok((0..part.rows).flat_map(|row| (0..parameter.columns).map(move |column| column * part.rows + row)).map(|at| values[at]).collect())
    }
}

fn check_finite(name: &str, values: &[f32]) -> Result<(), ModelError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(element) => Err(ModelError::NotFinite { name: name.to_string(), element, value: values[element] }),
    }
}

/// The same weights with a head that is a parameter of its own and, so far, the embedding's numbers.
fn untied(weights: &ModelWeights, head_name: &str) -> Arc<ModelWeights> {
    let mut spec: ModelSpec = (*weights.spec).clone();
    let embedding = spec.parameter(spec.embedding).clone();
    let part = ParameterPart { name: head_name.to_string(), rows: embedding.rows, transposed: false, stacked_index: None };
    spec.head = ParameterId(spec.parameters.len());
    spec.parameters.push(ParameterSpec { parts: vec![part], ..embedding });
    let mut tensors = weights.tensors.clone();
    tensors.push(Arc::clone(&tensors[spec.embedding.0]));
    Arc::new(ModelWeights { spec: Arc::new(spec), tensors, dtype: weights.dtype })
}
