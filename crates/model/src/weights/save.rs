//! Writes model folders that Hugging Face programs load: config, weights by name, index.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::path::Path;

use apertis_kernels::{Backend, Dtype, Tensor};
use safetensors::View;
use serde_json::{Map, Value, json};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{ModelSpec, ParameterId, ParameterPart};

/// Weight files grow to this size before the next one begins.
const SHARD_BYTES: usize = 5 << 30;

/// Writes `config.json` and the weights into a folder, tensor by tensor.
///
/// Names, pieces and orientation are those that the family reads. Tokenizer files and syncing
/// to disk are the caller's.
///
/// # Errors
/// When a file cannot be written; what was written stays in the folder for the caller to remove.
pub fn save_model(
    folder: &Path,
    config: &ModelConfig,
    spec: &ModelSpec,
    backend: &dyn Backend,
    tensor_of: &dyn Fn(ParameterId) -> Tensor,
) -> Result<(), ModelError> {
    let mut views: Vec<(String, PieceView<'_>)> = Vec::new();
    for (index, parameter) in spec.parameters.iter().enumerate() {
        let tensor = tensor_of(ParameterId(index));
        let mut start = 0;
        for part in &parameter.parts {
            let shape = match (parameter.is_vector, part.transposed) {
                (true, _) => vec![parameter.columns],
                (false, true) => vec![parameter.columns, part.rows],
                (false, false) => vec![part.rows, parameter.columns],
            };
            let piece = tensor.reshape(parameter.rows, parameter.columns).row_range(start, part.rows);
            start += part.rows;
            views.push((part.name.clone(), PieceView { backend, tensor, piece, part, shape }));
        }
    }
    write_shards(folder, views)?;
    let dtype = tensor_of(spec.embedding).dtype;
    let text = serde_json::to_string_pretty(&document(config, spec, dtype)).map_err(|error| ModelError::config(error.to_string()))?;
    let path = folder.join("config.json");
    std::fs::write(&path, text).map_err(ModelError::io(&path))
}

/// The config as it was read, with what saving decides.
fn document(config: &ModelConfig, spec: &ModelSpec, dtype: Dtype) -> Value {
    let mut document = config.document.clone();
    let word = match dtype {
        Dtype::Bf16 => "bfloat16",
        Dtype::F16 => "float16",
        _ => "float32",
    };
    // Version 5 of Transformers says dtype, version 4 torch_dtype; whichever was there stays.
    let key = if document.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
    document.insert(key.to_string(), json!(word));
    document.insert("tie_word_embeddings".to_string(), json!(spec.is_tied()));
    if let Some(Value::Object(inner)) = document.get_mut("text_config") {
        if inner.contains_key("tie_word_embeddings") {
            inner.insert("tie_word_embeddings".to_string(), json!(spec.is_tied()));
        }
        for key in ["dtype", "torch_dtype"] {
            if inner.contains_key(key) {
                inner.insert(key.to_string(), json!(word));
            }
        }
    }
    Value::Object(document)
}

fn write_shards(folder: &Path, views: Vec<(String, PieceView<'_>)>) -> Result<(), ModelError> {
    let total: usize = views.iter().map(|(_, view)| view.data_len()).sum();
    let metadata = || Some(HashMap::from([("format".to_string(), "pt".to_string())]));
    if total <= SHARD_BYTES {
        return write_tensors(&folder.join("model.safetensors"), views, metadata());
    }
    let mut shards: Vec<Vec<(String, PieceView<'_>)>> = vec![Vec::new()];
    let mut room = SHARD_BYTES;
    for (name, view) in views {
        if view.data_len() > room {
            shards.push(Vec::new());
            room = SHARD_BYTES;
        }
        room = room.saturating_sub(view.data_len());
        if let Some(last) = shards.last_mut() {
            last.push((name, view));
        }
    }
    let count = shards.len();
    let mut map = Map::new();
    for (index, shard) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
        map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), json!(name))));
        write_tensors(&folder.join(&name), shard, metadata())?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, index.to_string()).map_err(ModelError::io(&path))
}

/// Writes tensors into a safetensors file, one after the other. What was at that path before
/// stays until the new file is whole.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_tensors<V: View>(
    path: &Path,
    views: Vec<(String, V)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<(), ModelError> {
    let permissions = new_file_permissions(path).map_err(ModelError::io(path))?;
    safetensors::serialize_to_file(views, metadata, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => ModelError::Io { path: path.to_path_buf(), source },
        other => ModelError::weights(path, other.to_string()),
    })?;
    std::fs::set_permissions(path, permissions).map_err(ModelError::io(path))
}

/// Who may read a new file in that place. The library writes into a temporary file, which it
/// makes for the owner alone, and renames it.
fn new_file_permissions(path: &Path) -> std::io::Result<Permissions> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".permissions");
    let permissions = File::create(&beside)?.metadata()?.permissions();
    std::fs::remove_file(&beside)?;
    Ok(permissions)
}

/// A tensor of the checkpoint, read from the device when it is written.
struct PieceView<'a> {
    backend: &'a dyn Backend,
    /// The whole parameter: a backend may keep weights in its own layout, so pieces are cut
    /// from what it gives back.
    tensor: Tensor,
    piece: Tensor,
    part: &'a ParameterPart,
    shape: Vec<usize>,
}

impl View for PieceView<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.tensor.dtype {
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::F16 => safetensors::Dtype::F16,
            _ => safetensors::Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let size = self.tensor.dtype.size_bytes();
        let start = self.piece.offset_bytes - self.tensor.offset_bytes;
        let mut bytes = self.backend.store_weight(self.tensor);
        bytes.truncate(start + self.data_len());
        bytes.drain(..start);
        if !self.part.transposed {
            return Cow::Owned(bytes);
        }
        let (rows, columns) = (self.piece.rows, self.piece.columns);
        let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| (row * columns + column) * size));
        Cow::Owned(turned.flat_map(|at| bytes[at..at + size].iter().copied()).collect())
    }

    fn data_len(&self) -> usize {
        self.piece.len() * self.tensor.dtype.size_bytes()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn weights_may_be_read_by_whom_other_new_files_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| std::fs::metadata(path).expect("it was written").permissions().mode() & 0o777;
        let (plain, weights) = (folder.path().join("plain"), folder.path().join("model.safetensors"));
        std::fs::write(&plain, "").expect("room");
        let data = [0u8; 8];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).expect("eight bytes");
        write_tensors(&weights, vec![("x".to_string(), view)], None).expect("room");
        assert_eq!(mode(&weights), mode(&plain));
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 2, "nothing else stays");
    }
}
