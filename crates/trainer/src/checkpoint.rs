//! The training state of a checkpoint: optimizer tensors and an adapter's exact values. The
//! model or adapter itself lies beside it in the formats that other programs read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use apertis_kernels::{Backend, Dtype, Tensor};
use apertis_model::{Adapter, ModelError};
use serde_json::json;

use crate::error::TrainError;
use crate::learner::Learner;

/// File name inside a checkpoint.
const FILE: &str = "training_state.safetensors";
/// A tensor of the state is read from the device and written in pieces of this size.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

/// Writes optimizer state and adapter values, tensor by tensor.
///
/// # Errors
/// When the file cannot be written.
pub fn save_state(folder: &Path, learner: &mut Learner) -> Result<(), TrainError> {
    let state = state_tensors(learner)?;
    let backend = learner.decoder().weights().backend();
    let path = folder.join(FILE);
    write_state(&path, &**backend, state).map_err(|source| ModelError::Io { path, source }.into())
}

/// Writes a safetensors file without having a whole tensor in memory twice: those of a whole
/// model's embedding are among the largest buffers of a run.
fn write_state(path: &Path, backend: &dyn Backend, state: BTreeMap<String, Tensor>) -> std::io::Result<()> {
    let mut state: Vec<(String, Tensor)> = state.into_iter().collect();
    // Wider types first, so that each starts at a multiple of its size.
    state.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype.size_bytes()));
    let mut header = serde_json::Map::new();
    let mut start = 0;
    for (name, tensor) in &state {
        let end = start + tensor.len() * tensor.dtype.size_bytes();
        header.insert(name.clone(), json!({ "dtype": word(tensor.dtype), "shape": [tensor.len()], "data_offsets": [start, end] }));
        start = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = std::fs::File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (_, tensor) in state {
        let row = tensor.reshape(1, tensor.len());
        let most = PIECE_BYTES / tensor.dtype.size_bytes();
        for first in (0..tensor.len()).step_by(most) {
            file.write_all(&backend.read_bytes(row.column_range(first, most.min(tensor.len() - first))))?;
        }
    }
    Ok(())
}

fn word(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "F32",
        Dtype::Bf16 => "BF16",
        Dtype::F16 => "F16",
        Dtype::U32 => "U32",
        Dtype::U16 => "U16",
        Dtype::U8 => "U8",
    }
}

/// Reads the state back into a learner of the same shape.
///
/// # Errors
/// When the file is missing, damaged, or of another shape.
pub fn load_state(folder: &Path, learner: &mut Learner) -> Result<(), TrainError> {
    let path = folder.join(FILE);
    let damaged = |message: String| TrainError::Checkpoint(format!("{}: {message}", path.display()));
    let file = std::fs::File::open(&path).map_err(|error| damaged(error.to_string()))?;
    // SAFETY: the map is read only and copied at once; checkpoints are never changed once named.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|error| damaged(error.to_string()))?;
    let stored = safetensors::SafeTensors::deserialize(&map).map_err(|error| damaged(error.to_string()))?;
    let state = state_tensors(learner)?;
    let backend = learner.decoder().weights().backend();
    for (name, tensor) in state {
        let view = stored.tensor(&name).map_err(|error| damaged(format!("{name}: {error}")))?;
        if view.data().len() != tensor.len() * tensor.dtype.size_bytes() {
            return Err(damaged(format!(
                "{name}: found {} bytes, expected {}",
                view.data().len(),
                tensor.len() * tensor.dtype.size_bytes()
            )));
        }
        backend.write_bytes(tensor, view.data());
    }
    Ok(())
}

fn state_tensors(learner: &mut Learner) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let mut tensors: BTreeMap<String, Tensor> =
        learner.optimizer()?.tensors().into_iter().map(|(name, tensor)| (format!("optimizer/{name}"), tensor)).collect();
    if let Some(adapter) = learner.adapter() {
        tensors.extend(adapter_tensors(adapter));
    }
    Ok(tensors)
}

fn adapter_tensors(adapter: &Adapter) -> Vec<(String, Tensor)> {
    let mut tensors = Vec::new();
    for (index, addition) in adapter.additions.iter().enumerate() {
        tensors.push((format!("adapter/{index}.a"), *addition.a));
        tensors.push((format!("adapter/{index}.b"), *addition.b));
        tensors.extend(addition.magnitude.as_ref().map(|magnitude| (format!("adapter/{index}.magnitude"), **magnitude)));
    }
    tensors.extend(adapter.replaced.iter().map(|(id, tensor)| (format!("adapter/replaced.{}", id.0), **tensor)));
    tensors
}
