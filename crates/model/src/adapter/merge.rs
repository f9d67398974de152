//! Adapters merged into the weights they sit on, in memory and as a complete model folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, MatrixView, Owned, ProductOptions, ProductTerm, Tensor};

use super::{Adapter, LowRank, attach};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ModelSpec, ParameterId};
use crate::weights::{LoadOptions, load_model, save_model};

/// Files of a model folder that merging does not touch.
const COPIED_FILES: [&str; 12] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
];
/// The folder of further chat templates.
const TEMPLATE_FOLDER: &str = "additional_chat_templates";

/// The parameters that an adapter changes: `W + scale · b · a` summed in F32, its rows brought to
/// the learned lengths where the addition has them (DoRA), then rounded to the weights' dtype.
/// Parameters that are not in the result are the base's.
///
/// # Errors
/// When memory is short, or the result is not finite.
pub fn merge(weights: &ModelWeights, adapter: &Adapter) -> Result<BTreeMap<ParameterId, Owned>, ModelError> {
    let backend = weights.backend();
    let spec = &*weights.spec;
    let mut by_parameter: BTreeMap<ParameterId, Vec<&LowRank>> = BTreeMap::new();
    for id in adapter.replaced.keys() {
        by_parameter.entry(*id).or_default();
    }
    for addition in &adapter.additions {
        by_parameter.entry(spec.module(addition.spec.module).weight).or_default().push(addition);
    }
    let mut merged = BTreeMap::new();
    for (id, additions) in by_parameter {
        let parameter = spec.parameter(id);
        let sum = Owned::zeros(backend, parameter.rows, parameter.columns, Dtype::F32)?;
        let base = adapter.replacement(id).unwrap_or_else(|| weights.tensor(id));
        backend.copy(*sum, base.reshape(parameter.rows, parameter.columns), 1.0, false);
        for addition in &additions {
            let rows = sum.row_range(addition.spec.output_start, addition.spec.output_count);
            backend.product(rows, &[addition.delta()], &ProductOptions { accumulate: true, bias: None });
        }
        for addition in additions.iter().filter(|addition| addition.magnitude.is_some()) {
            scale_to_magnitude(backend, *sum, addition)?;
        }
        let values = backend.read_f32(*sum);
        if let Some(element) = values.iter().position(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { name: parameter.name().to_string(), element, value: values[element] });
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        drop(values);
        let tensor = backend.load_weight(parameter.name(), Dtype::F32, weights.dtype, parameter.rows, parameter.columns, &bytes)?;
        merged.insert(id, Owned::adopt(backend, tensor));
    }
    Ok(merged)
}

impl LowRank {
    /// What it adds to the weight: `scale · b · a`.
    fn delta(&self) -> ProductTerm {
        ProductTerm { left: MatrixView::plain(*self.b), right: MatrixView::plain(*self.a), scale: self.spec.scale }
    }
}

/// Multiplies each row of an addition's range by learned length / its own.
fn scale_to_magnitude(backend: &Arc<dyn Backend>, sum: Tensor, addition: &LowRank) -> Result<(), ModelError> {
    let Some(magnitude) = &addition.magnitude else { return Ok(()) };
    let count = addition.spec.output_count;
    let rows = sum.row_range(addition.spec.output_start, count);
    let squares = Owned::zeros(backend, count, 1, Dtype::F32)?;
    let factors = Owned::zeros(backend, 1, count, Dtype::F32)?;
    let scaled = Owned::zeros(backend, count, sum.columns, Dtype::F32)?;
    backend.row_dot(*squares, rows, rows);
    backend.divide_by_root(*factors, **magnitude, squares.reshape(1, count));
    backend.scale_rows(*scaled, rows, factors.reshape(count, 1), false);
    backend.copy(rows, *scaled, 1.0, false);
    Ok(())
}

/// Writes a model folder that is `model` with `adapter` merged into it: config, weights in
/// `dtype`, and the base's tokenizer and generation files.
///
/// An adapter that gives a tied model a head of its own makes it `tie_word_embeddings: false`.
/// Syncing to disk is the caller's; what was written stays in the folder when this fails.
///
/// # Errors
/// When a folder cannot be read or written, the adapter does not fit, or `out` is one of the
/// folders that are read.
pub fn merge_to_folder(model: &Path, adapter: &Path, out: &Path, backend: &Arc<dyn Backend>, dtype: Dtype) -> Result<(), ModelError> {
    std::fs::create_dir_all(out).map_err(ModelError::io(out))?;
    for read in [model, adapter] {
        if is_same_folder(read, out) {
            return Err(ModelError::adapter(format!("merge: {} is read here, expected another folder to write to", out.display())));
        }
    }
    let (config, base) = load_model(model, backend, &LoadOptions { dtype, checks_values: true })?;
    let attached = attach(adapter, &base)?;
    let merged = merge(&attached.weights, &attached.adapter)?;
    let spec: &ModelSpec = &attached.weights.spec;
    let tensor_of = |id: ParameterId| merged.get(&id).map_or_else(|| attached.weights.tensor(id), |tensor| **tensor);
    save_model(out, &config, spec, &**backend, &tensor_of)?;
    let source = if model.is_dir() { model } else { model.parent().unwrap_or(Path::new(".")) };
    copy_files(source, out)
}

fn is_same_folder(left: &Path, right: &Path) -> bool {
    matches!((left.canonicalize(), right.canonicalize()), (Ok(left), Ok(right)) if left == right)
}

/// Copies what merging leaves alone.
fn copy_files(from: &Path, to: &Path) -> Result<(), ModelError> {
    let copy = |source: &Path, target: &Path| std::fs::copy(source, target).map(drop).map_err(ModelError::io(source));
    for name in COPIED_FILES {
        let source = from.join(name);
        if source.is_file() {
            copy(&source, &to.join(name))?;
        }
    }
    let templates = from.join(TEMPLATE_FOLDER);
    if !templates.is_dir() {
        return Ok(());
    }
    let target = to.join(TEMPLATE_FOLDER);
    std::fs::create_dir_all(&target).map_err(ModelError::io(&target))?;
    for entry in std::fs::read_dir(&templates).map_err(ModelError::io(&templates))? {
        let path = entry.map_err(ModelError::io(&templates))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            copy(&path, &target.join(name))?;
        }
    }
    Ok(())
}
