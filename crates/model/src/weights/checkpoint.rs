//! A checkpoint as a set of named tensors, whatever files hold it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use apertis_kernels::Dtype;
use half::{bf16, f16};

use super::{safetensors, torch};
use crate::error::ModelError;

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// Upper halves of 32-bit floats.
    Bf16,
    /// IEEE halves.
    F16,
}

impl StoredDtype {
    /// Bytes of one number.
    pub const fn size_bytes(self) -> usize {
        match self {
            StoredDtype::F64 => 8,
            StoredDtype::F32 => 4,
            StoredDtype::Bf16 | StoredDtype::F16 => 2,
        }
    }
}

/// A tensor of a checkpoint: where its numbers are.
pub struct StoredTensor<'a> {
    /// Axes, outermost first.
    pub shape: Vec<usize>,
    /// Type of the numbers.
    pub dtype: StoredDtype,
    /// The numbers, little-endian, row by row.
    pub bytes: Cow<'a, [u8]>,
}

impl StoredTensor<'_> {
    /// The numbers as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let bytes = &*self.bytes;
        match self.dtype {
            StoredDtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            StoredDtype::F64 => {
                bytes.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect()
            }
            StoredDtype::Bf16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            StoredDtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        }
    }
}

/// What reads tensors out of one file.
pub(super) trait TensorFile: Send + Sync {
    /// Names of its tensors.
    fn names(&self) -> Vec<String>;
    /// One of them.
    fn tensor(&self, name: &str) -> Result<StoredTensor<'_>, ModelError>;
    /// Tells the system that what was read so far is not needed again.
    fn release(&self);
}

/// All tensors of a model folder or weight file.
pub struct Checkpoint {
    files: Vec<Box<dyn TensorFile>>,
    places: BTreeMap<String, usize>,
    paths: Vec<PathBuf>,
}

impl Checkpoint {
    /// Opens a folder's weights: `model.safetensors`, sharded with an index, or PyTorch's.
    ///
    /// # Errors
    /// When nothing is there, or a file is cut short or lies about itself.
    pub fn from_folder(folder: &Path) -> Result<Checkpoint, ModelError> {
        let single = folder.join("model.safetensors");
        if single.is_file() {
            return Checkpoint::from_files(&[single]);
        }
        for (index, single) in [("model.safetensors.index.json", "pytorch_model.bin"), ("pytorch_model.bin.index.json", "")] {
            let (index, single) = (folder.join(index), folder.join(single));
            if index.is_file() {
                return Checkpoint::from_files(&shards(folder, &index)?);
            }
            if single.is_file() {
                return Checkpoint::from_files(&[single]);
            }
        }
        Err(ModelError::weights(folder, "found neither model.safetensors, its index, nor pytorch_model.bin"))
    }

    /// Opens the weights of an adapter's folder.
    ///
    /// # Errors
    /// As [`Checkpoint::from_folder`].
    pub fn from_adapter_folder(folder: &Path) -> Result<Checkpoint, ModelError> {
        for name in ["adapter_model.safetensors", "adapter_model.bin"] {
            let path = folder.join(name);
            if path.is_file() {
                return Checkpoint::from_files(&[path]);
            }
        }
        Err(ModelError::weights(folder, "found neither adapter_model.safetensors nor adapter_model.bin"))
    }

    /// Opens some weight files as one checkpoint.
    ///
    /// # Errors
    /// When one is cut short or lies about itself, or two hold the same tensor.
    pub fn from_files(paths: &[PathBuf]) -> Result<Checkpoint, ModelError> {
        let mut checkpoint = Checkpoint { files: Vec::new(), places: BTreeMap::new(), paths: paths.to_vec() };
        for path in paths {
            let file: Box<dyn TensorFile> = match is_torch(path)? {
                true => Box::new(torch::TorchFile::open(path)?),
                false => Box::new(safetensors::SafetensorsFile::open(path)?),
            };
            checkpoint.add(path, file)?;
        }
        Ok(checkpoint)
    }

    /// A file that was read some other way.
    pub(super) fn from_file(path: &Path, file: Box<dyn TensorFile>) -> Result<Checkpoint, ModelError> {
        let mut checkpoint = Checkpoint { files: Vec::new(), places: BTreeMap::new(), paths: vec![path.to_path_buf()] };
        checkpoint.add(path, file)?;
        Ok(checkpoint)
    }

    fn add(&mut self, path: &Path, file: Box<dyn TensorFile>) -> Result<(), ModelError> {
        let index = self.files.len();
        for name in file.names() {
            if self.places.insert(name.clone(), index).is_some() {
                return Err(ModelError::weights(path, format!("tensor {name} is in two files")));
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// The files it reads.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether a tensor is there.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// One tensor.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], or what its file says.
    pub fn tensor(&self, name: &str) -> Result<StoredTensor<'_>, ModelError> {
        let place = self.places.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_string() })?;
        self.files[*place].tensor(name)
    }

    /// Gives pages of the files back to the system: what was read has been copied.
    pub fn release(&self) {
        self.files.iter().for_each(|file| file.release());
    }
}

impl From<StoredDtype> for Option<Dtype> {
    fn from(dtype: StoredDtype) -> Option<Dtype> {
        match dtype {
            StoredDtype::F32 => Some(Dtype::F32),
            StoredDtype::Bf16 => Some(Dtype::Bf16),
            StoredDtype::F16 => Some(Dtype::F16),
            StoredDtype::F64 => None,
        }
    }
}

/// Whether a file begins as PyTorch's do: a zip, or a pickle. The content decides, not the ending.
///
/// Safetensors begin with the length of their JSON, whose first two bytes can be those of either.
fn is_torch(path: &Path) -> Result<bool, ModelError> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(ModelError::io(path))?;
    file.take(9).read_to_end(&mut start).map_err(ModelError::io(path))?;
    let is_safetensors = matches!(start[..], [_, _, _, _, 0, 0, 0, 0, b'{']);
    Ok(!is_safetensors && (start.starts_with(b"PK") || start.starts_with(&[0x80, 0x02])))
}

/// The files that an index names, each once.
fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let text = std::fs::read_to_string(index).map_err(ModelError::io(index))?;
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| ModelError::weights(index, format!("not JSON: {error}")))?;
    let map =
        document.get("weight_map").and_then(|map| map.as_object()).ok_or_else(|| ModelError::weights(index, "weight_map is missing"))?;
    let mut names: Vec<&str> = map.values().filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(ModelError::weights(index, "weight_map names no file"));
    }
    names
        .into_iter()
        .map(|name| {
            let is_plain = !name.contains(['/', '\\']) && name != "..";
            let path = folder.join(name);
            match (is_plain, path.is_file()) {
                (true, true) => Ok(path),
                (false, _) => Err(ModelError::weights(index, format!("names {name:?}, expected a file of this folder"))),
                (true, false) => Err(ModelError::weights(index, format!("names {name}, which is missing"))),
            }
        })
        .collect()
}
