//! From a checkpoint to a backend: shapes checked, pieces stacked, transposes undone.

use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{Backend, Dtype, Owned};
use half::bf16;

use super::checkpoint::{Checkpoint, StoredDtype, StoredTensor};
use super::llama2c;
use crate::config::ModelConfig;
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::family;
use crate::spec::{ModelSpec, ParameterPart, ParameterSpec};

/// How weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The dtype to compute in.
    pub dtype: Dtype,
    /// Refuse NaN and infinity.
    pub checks_values: bool,
}

/// Reads a Hugging Face model folder, or a model file of llama2.c (or a folder that holds one).
///
/// # Errors
/// A sentence about the config, a missing tensor, a shape that does not fit, or a value that is
/// not a number.
pub fn load_model(
    folder: &Path,
    backend: &Arc<dyn Backend>,
    options: &LoadOptions,
) -> Result<(ModelConfig, Arc<ModelWeights>), ModelError> {
    let alone = match folder.is_file() {
        true => Some(folder.to_path_buf()),
        false if !folder.join("config.json").exists() && folder.is_dir() => llama2c::find(folder)?,
        false => None,
    };
    let (config, checkpoint) = match alone {
        Some(path) => {
            let (config, file) = llama2c::open(&path)?;
            (config, Checkpoint::from_file(&path, Box::new(file))?)
        }
        None => (ModelConfig::from_folder(folder)?, Checkpoint::from_folder(folder)?),
    };
    let spec = Arc::new(family::map(&config)?);
    let weights = load_weights(&spec, &checkpoint, backend, options)?;
    Ok((config, weights))
}

/// Copies the parameters of `spec` to a backend.
///
/// # Errors
/// As [`load_model`].
pub fn load_weights(
    spec: &Arc<ModelSpec>,
    checkpoint: &Checkpoint,
    backend: &Arc<dyn Backend>,
    options: &LoadOptions,
) -> Result<Arc<ModelWeights>, ModelError> {
    /// Pages of the file are given back each time this much was copied.
    const RELEASE_EVERY_BYTES: usize = 64 << 20;
    let mut tensors = Vec::with_capacity(spec.parameters.len());
    let mut copied_bytes = 0;
    for parameter in &spec.parameters {
        let tensor = load_parameter(parameter, checkpoint, backend, options)?;
        copied_bytes += parameter.len() * 4;
        tensors.push(Arc::new(tensor));
        if copied_bytes > RELEASE_EVERY_BYTES {
            checkpoint.release();
            copied_bytes = 0;
        }
    }
    checkpoint.release();
    Ok(Arc::new(ModelWeights { spec: Arc::clone(spec), tensors, dtype: options.dtype }))
}

fn load_parameter(
    parameter: &ParameterSpec,
    checkpoint: &Checkpoint,
    backend: &Arc<dyn Backend>,
    options: &LoadOptions,
) -> Result<Owned, ModelError> {
    if let [part] = parameter.parts.as_slice()
        && !part.transposed
        && part.stacked_index.is_none()
    {
        let stored = checkpoint.tensor(resolve(checkpoint, &part.name))?;
        check_shape(parameter, part, &stored)?;
        if options.checks_values {
            check_values(&part.name, &stored)?;
        }
        if let Some(dtype) = Option::<Dtype>::from(stored.dtype) {
            let tensor = backend.load_weight(&part.name, dtype, options.dtype, parameter.rows, parameter.columns, &stored.bytes)?;
            return Ok(Owned::adopt(backend, tensor));
        }
    }
    let mut values: Vec<f32> = Vec::with_capacity(parameter.len());
    for part in &parameter.parts {
        let stored = checkpoint.tensor(resolve(checkpoint, &part.name))?;
        check_shape(parameter, part, &stored)?;
        if options.checks_values {
            check_values(&part.name, &stored)?;
        }
        let numbers = stored.to_f32();
        if part.transposed {
            for row in 0..part.rows {
                values.extend((0..parameter.columns).map(|column| numbers[column * part.rows + row]));
            }
        } else {
            values.extend(numbers);
        }
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = backend.load_weight(parameter.name(), Dtype::F32, options.dtype, parameter.rows, parameter.columns, &bytes)?;
    Ok(Owned::adopt(backend, tensor))
}

/// The name under which a checkpoint keeps a tensor: some leave the outermost prefix out, or
/// put one more in front.
fn resolve<'a>(checkpoint: &Checkpoint, name: &'a str) -> &'a str {
    if checkpoint.contains(name) {
        return name;
    }
    for prefix in ["transformer.", "model.", "gpt_neox.", "language_model."] {
        if let Some(rest) = name.strip_prefix(prefix)
            && checkpoint.contains(rest)
        {
            return rest;
        }
    }
    name
}

fn check_shape(parameter: &ParameterSpec, part: &ParameterPart, stored: &StoredTensor<'_>) -> Result<(), ModelError> {
    let expected = match (parameter.is_vector, part.transposed) {
        (true, _) => vec![parameter.columns],
        (false, true) => vec![parameter.columns, part.rows],
        (false, false) => vec![part.rows, parameter.columns],
    };
    if stored.shape != expected {
        return Err(ModelError::TensorShape { name: part.name.clone(), found: stored.shape.clone(), expected });
    }
    Ok(())
}

fn check_values(name: &str, stored: &StoredTensor<'_>) -> Result<(), ModelError> {
    // An exponent of all ones is infinity or NaN; looking at bits needs no conversion.
    let bad = match stored.dtype {
        StoredDtype::F32 => {
            stored.bytes.chunks_exact(4).position(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & 0x7f80_0000 == 0x7f80_0000)
        }
        StoredDtype::Bf16 => stored.bytes.chunks_exact(2).position(|b| !bf16::from_le_bytes([b[0], b[1]]).is_finite()),
        StoredDtype::F16 => stored.bytes.chunks_exact(2).position(|b| u16::from_le_bytes([b[0], b[1]]) & 0x7c00 == 0x7c00),
        StoredDtype::F64 => stored.to_f32().iter().position(|value| !value.is_finite()),
    };
    match bad {
        None => Ok(()),
        Some(element) => Err(ModelError::NotFinite { name: name.to_string(), element, value: stored.to_f32()[element] }),
    }
}
