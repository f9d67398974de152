//! PyTorch's `.bin`: a zip of storages and a pickle that says which part of which storage a
//! tensor is; and the form from before the zip, where they follow one another.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use zip::ZipArchive;

use super::checkpoint::{StoredDtype, StoredTensor, TensorFile};
use super::pickle::{self, TensorRef, Value};
use crate::error::ModelError;

/// First number of the form from before the zip.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// A larger table of contents than any state dict's.
const LARGEST_PICKLE_BYTES: u64 = 64 << 20;
/// Packing makes no weights smaller than this part of them; more is a trap for the memory.
const LARGEST_PACKING: u64 = 64;

pub(super) struct TorchFile {
    path: PathBuf,
    map: Arc<Mmap>,
    tensors: BTreeMap<String, Place>,
    /// Storages that lie in the file as they are.
    storages: HashMap<String, Range<usize>>,
    /// Storages that were packed.
    unpacked: HashMap<String, Vec<u8>>,
}

/// Where a tensor is.
struct Place {
    storage: String,
    dtype: Option<StoredDtype>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl TorchFile {
    pub(super) fn open(path: &Path) -> Result<TorchFile, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: read only, as with mapped safetensors; loading copies at once.
        let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))?);
        let mut torch =
            TorchFile { path: path.to_path_buf(), map, tensors: BTreeMap::new(), storages: HashMap::new(), unpacked: HashMap::new() };
        let read = if torch.map.starts_with(b"PK") { torch.read_zip() } else { torch.read_legacy() };
        read.map_err(|message| ModelError::weights(path, format!("not a PyTorch file of tensors: {message}")))?;
        Ok(torch)
    }

    fn read_zip(&mut self) -> Result<(), String> {
        let map = Arc::clone(&self.map);
        let mut archive = ZipArchive::new(Cursor::new(&map[..])).map_err(|error| error.to_string())?;
        let table = archive
            .file_names()
            .filter_map(Result::ok)
            .find(|name| name.ends_with("data.pkl"))
            .map(|name| name.into_owned())
            .ok_or("data.pkl is missing")?;
        let root = table.trim_end_matches("data.pkl").to_string();
        let mut bytes = Vec::new();
        let entry = archive.by_name(&table).map_err(|error| error.to_string())?;
        entry.take(LARGEST_PICKLE_BYTES).read_to_end(&mut bytes).map_err(|error| format!("data.pkl: {error}"))?;
        if let Ok(mut order) = archive.by_name(&format!("{root}byteorder")) {
            let mut word = String::new();
            order.by_ref().take(16).read_to_string(&mut word).map_err(|error| format!("byteorder: {error}"))?;
            if word.trim() != "little" {
                return Err(format!("byteorder: found {word}, expected little"));
            }
        }
        let sizes = self.take_tensors(&pickle::read(&mut &bytes[..])?)?;
        for (key, size) in sizes {
            let mut entry = archive.by_name(&format!("{root}data/{key}")).map_err(|error| format!("storage {key}: {error}"))?;
            let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
            match (entry.compression(), start) {
                (zip::CompressionMethod::Stored, Some(start)) if start.checked_add(size).is_some_and(|end| end <= self.map.len()) => {
                    self.storages.insert(key, start..start + size);
                }
                _ => {
                    let packed_bytes = entry.compressed_size();
                    if size as u64 / LARGEST_PACKING > packed_bytes {
                        return Err(format!("storage {key}: {size} bytes packed into {packed_bytes}"));
                    }
                    let mut bytes = Vec::new();
                    entry.by_ref().take(size as u64).read_to_end(&mut bytes).map_err(|error| format!("storage {key}: {error}"))?;
                    if bytes.len() < size {
                        return Err(format!("storage {key}: found {} bytes, expected {size}", bytes.len()));
                    }
                    self.unpacked.insert(key, bytes);
                }
            }
        }
        Ok(())
    }

    /// Pickles of magic, version, machine, tensors and keys; then each storage's count and numbers.
    fn read_legacy(&mut self) -> Result<(), String> {
        let map = Arc::clone(&self.map);
        let mut rest = &map[..];
        let has_magic = rest.get(4..14) == Some(&LEGACY_MAGIC[..]);
        if !has_magic {
            return Err("it is neither a zip nor a pickle of PyTorch".to_string());
        }
        for _ in 0..3 {
            pickle::read(&mut rest)?;
        }
        let table = pickle::read(&mut rest)?;
        let keys = pickle::read(&mut rest)?;
        let mut position = self.map.len() - rest.len();
        let sizes = self.take_tensors(&table)?;
        let Value::Sequence(keys) = keys else { return Err("the list of storages is missing".to_string()) };
        for key in &keys.items {
            let Value::Text(key) = key else { return Err("a storage without a name".to_string()) };
            let (size, start) = (sizes.get(&**key).copied().ok_or("a storage without a tensor")?, position + 8);
            let end = start.checked_add(size).filter(|end| *end <= self.map.len()).ok_or("it ends inside a storage")?;
            self.storages.insert(key.to_string(), start..end);
            position = end;
        }
        Ok(())
    }

    /// Notes the tensors of a state dict; returns the bytes of each storage.
    fn take_tensors(&mut self, table: &Value) -> Result<BTreeMap<String, usize>, String> {
        let Value::Map(entries) = table else { return Err("found no map of names to tensors".to_string()) };
        let mut sizes = BTreeMap::new();
        for (name, value) in &entries.entries {
            let (Value::Text(name), Value::Tensor(tensor)) = (name, value) else { continue };
            let TensorRef { storage, offset, shape, strides } = &**tensor;
            let bytes =
                storage.count.checked_mul(storage.width).ok_or_else(|| format!("{name}: its storage has {} numbers", storage.count))?;
            let size = sizes.entry(storage.key.to_string()).or_insert(0);
            *size = bytes.max(*size);
            let place = Place {
                storage: storage.key.to_string(),
                dtype: storage.dtype,
                offset: *offset,
                shape: shape.clone(),
                strides: strides.clone(),
            };
            self.tensors.insert(name.to_string(), place);
        }
        if self.tensors.is_empty() {
            return Err("it holds no tensors".to_string());
        }
        Ok(sizes)
    }
}

impl TensorFile for TorchFile {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn tensor(&self, name: &str) -> Result<StoredTensor<'_>, ModelError> {
        let place = self.tensors.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_string() })?;
        let fail = |message: &str| ModelError::weights(&self.path, format!("{name}: {message}"));
        let dtype = place.dtype.ok_or_else(|| fail("is not of a floating type"))?;
        let storage: &[u8] = match (self.storages.get(&place.storage), self.unpacked.get(&place.storage)) {
            (Some(range), _) => &self.map[range.clone()],
            (None, Some(bytes)) => bytes,
            (None, None) => return Err(fail("its storage is missing")),
        };
        let (width, count) = (dtype.size_bytes(), place.shape.iter().product::<usize>());
        let lies_outside = || fail("lies beyond its storage");
        if count == 0 || is_dense(&place.shape, &place.strides) {
            let start = if count == 0 { 0 } else { place.offset * width };
            let bytes = storage.get(start..start + count * width).ok_or_else(lies_outside)?;
            return Ok(StoredTensor { shape: place.shape.clone(), dtype, bytes: Cow::Borrowed(bytes) });
        }
        let mut bytes = Vec::with_capacity(count * width);
        let mut index = vec![0; place.shape.len()];
        for _ in 0..count {
            let at = place.offset + index.iter().zip(&place.strides).map(|(index, stride)| index * stride).sum::<usize>();
            bytes.extend_from_slice(storage.get(at * width..(at + 1) * width).ok_or_else(lies_outside)?);
            for (index, size) in index.iter_mut().zip(&place.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        Ok(StoredTensor { shape: place.shape.clone(), dtype, bytes: Cow::Owned(bytes) })
    }

    fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the map is a private, read-only view of a file: dropped pages are read again.
            let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

/// Whether elements follow one another row by row.
fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected *= size;
        fits
    })
}
