//! The training state of a checkpoint: optimizer tensors and an adapter's exact values. The
//! model or adapter itself lies beside it in the formats that other programs read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use apertis_kernels::{Backend, Dtype, Tensor};
use apertis_model::Adapter;
use apertis_model::weights::write_tensors;
use safetensors::View;

use crate::error::TrainError;
use crate::learner::Learner;

/// File name inside a checkpoint.
const FILE: &str = "training_state.safetensors";

/// Writes optimizer state and adapter values, tensor by tensor.
///
/// # Errors
/// When the file cannot be written.
pub fn save_state(folder: &Path, learner: &mut Learner) -> Result<(), TrainError> {
    let state = state_tensors(learner)?;
    let backend = learner.decoder().weights().backend();
    let tensors: Vec<(String, DeviceView<'_>)> =
        state.into_iter().map(|(name, tensor)| (name, DeviceView { backend: &**backend, shape: [tensor.len()], tensor })).collect();
    Ok(write_tensors(&folder.join(FILE), tensors, None)?)
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

/// A tensor that is read from the device when it is written.
struct DeviceView<'a> {
    backend: &'a dyn Backend,
    shape: [usize; 1],
    tensor: Tensor,
}

impl View for DeviceView<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.tensor.dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::U32 => safetensors::Dtype::U32,
            Dtype::U16 => safetensors::Dtype::U16,
            Dtype::U8 => safetensors::Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.backend.read_bytes(self.tensor))
    }

    fn data_len(&self) -> usize {
        self.tensor.len() * self.tensor.dtype.size_bytes()
    }
}
