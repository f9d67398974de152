//! The safetensors format, memory-mapped; the header is checked before it is believed.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as FileDtype, Metadata};

use super::checkpoint::{StoredDtype, StoredTensor, TensorFile};
use crate::error::ModelError;

pub(super) struct SafetensorsFile {
    path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    data_start: usize,
}

impl SafetensorsFile {
    pub(super) fn open(path: &Path) -> Result<SafetensorsFile, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the map is read only; a file that someone cuts short while we read it would
        // raise a signal, as with every reader of mapped weights. Loading copies at once.
        let map = unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?;
        let (header_bytes, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|error| ModelError::weights(path, format!("not a sound safetensors file: {error}")))?;
        Ok(SafetensorsFile { path: path.to_path_buf(), map, metadata, data_start: header_bytes + 8 })
    }
}

impl TensorFile for SafetensorsFile {
    fn names(&self) -> Vec<String> {
        self.metadata.tensors().into_keys().collect()
    }

    fn tensor(&self, name: &str) -> Result<StoredTensor<'_>, ModelError> {
        let info = self.metadata.info(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_string() })?;
        let dtype = match info.dtype {
            FileDtype::F32 => StoredDtype::F32,
            FileDtype::F64 => StoredDtype::F64,
            FileDtype::BF16 => StoredDtype::Bf16,
            FileDtype::F16 => StoredDtype::F16,
            other => return Err(ModelError::weights(&self.path, format!("{name}: found type {other:?}, expected F32, F16 or BF16"))),
        };
        let (start, end) = info.data_offsets;
        let bytes = self
            .map
            .get(self.data_start + start..self.data_start + end)
            .ok_or_else(|| ModelError::weights(&self.path, format!("{name}: lies beyond the end of the file")))?;
        Ok(StoredTensor { shape: info.shape.clone(), dtype, bytes: Cow::Borrowed(bytes) })
    }

    fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the map is a private, read-only view of a file: dropped pages are read again.
            let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}
