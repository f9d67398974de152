//! The decode state of attention: keys and values of earlier positions.

use std::sync::Arc;

use apertis_kernels::{Backend, BackendError, Dtype, Heads, Owned, Tensor};

use super::batch::DeviceBatch;
use crate::spec::{MixerSpec, ModelSpec};

/// Keys and values of all layers, for a number of sequences side by side.
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    /// Positions each sequence may have.
    pub capacity: usize,
    /// Positions each sequence has.
    pub lengths: Vec<usize>,
}

/// Keys and values of one layer.
pub(super) struct LayerCache {
    key: Owned,
    value: Owned,
    heads: usize,
    head_width: usize,
}

impl KvCache {
    /// Room for `sequences` sequences of `capacity` positions.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(
        backend: &Arc<dyn Backend>,
        spec: &ModelSpec,
        sequences: usize,
        capacity: usize,
        dtype: Dtype,
    ) -> Result<KvCache, BackendError> {
        let mut layers = Vec::with_capacity(spec.layers.len());
        for layer in &spec.layers {
            layers.push(match &layer.mixer {
                MixerSpec::None => None,
                MixerSpec::Attention(attention) => {
                    let columns = attention.kv_heads * attention.head_width;
                    Some(LayerCache {
                        key: Owned::zeros(backend, sequences * capacity, columns, dtype)?,
                        value: Owned::zeros(backend, sequences * capacity, columns, dtype)?,
                        heads: attention.kv_heads,
                        head_width: attention.head_width,
                    })
                }
            });
        }
        Ok(KvCache { layers, capacity, lengths: vec![0; sequences] })
    }

    /// The same positions with room for `capacity` of each sequence.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn grown(&self, backend: &Arc<dyn Backend>, capacity: usize) -> Result<KvCache, BackendError> {
        let sequences = self.lengths.len();
        let capacity = capacity.max(self.capacity);
        let larger = |old: &Owned| -> Result<Owned, BackendError> {
            let new = Owned::zeros(backend, sequences * capacity, old.columns, old.dtype)?;
            for (sequence, length) in self.lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
                let (to, from) = (new.row_range(sequence * capacity, *length), old.row_range(sequence * self.capacity, *length));
                backend.copy(to, from, 1.0, false);
            }
            Ok(new)
        };
        let grow = |layer: &Option<LayerCache>| -> Result<Option<LayerCache>, BackendError> {
            let Some(layer) = layer else { return Ok(None) };
            let (heads, head_width) = (layer.heads, layer.head_width);
            Ok(Some(LayerCache { key: larger(&layer.key)?, value: larger(&layer.value)?, heads, head_width }))
        };
        let layers = self.layers.iter().map(grow).collect::<Result<_, _>>()?;
        Ok(KvCache { layers, capacity, lengths: self.lengths.clone() })
    }

    /// Forgets positions from `length` on.
    pub fn truncate(&mut self, sequence: usize, length: usize) {
        self.lengths[sequence] = self.lengths[sequence].min(length);
    }

    /// Bytes of keys and values.
    pub fn size_bytes(&self) -> usize {
        self.layers.iter().flatten().map(|layer| 2 * layer.key.len() * layer.key.dtype.size_bytes()).sum()
    }

    pub(super) fn layer(&self, index: usize) -> Option<&LayerCache> {
        self.layers[index].as_ref()
    }
}

impl LayerCache {
    /// Writes the batch's keys and values behind those that are there; returns all of them.
    pub(super) fn extend(&self, backend: &dyn Backend, batch: &DeviceBatch, key: Heads, value: Heads) -> (Heads, Heads) {
        for sequence in &batch.sequences {
            let first_new = sequence.key_start + sequence.key_count - sequence.query_count;
            for (cache, new) in [(*self.key, key), (*self.value, value)] {
                let rows = cache.row_range(first_new, sequence.query_count);
                let new_rows = new.tensor.row_range(sequence.query_start, sequence.query_count);
                if new.head_stride == new.head_width {
                    backend.copy(rows, new_rows.column_range(0, self.heads * self.head_width), 1.0, false);
                } else {
                    for head in 0..self.heads {
                        let to = rows.column_range(head * self.head_width, self.head_width);
                        backend.copy(to, new_rows.column_range(head * new.head_stride, self.head_width), 1.0, false);
                    }
                }
            }
        }
        (self.view(*self.key), self.view(*self.value))
    }

    fn view(&self, tensor: Tensor) -> Heads {
        Heads { tensor, heads: self.heads, head_width: self.head_width, head_stride: self.head_width }
    }
}
