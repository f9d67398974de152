//! Which units make up a step: a function of seed, step, rank and world size alone, so that a run
//! resumes from its step number.
//!
//! An epoch goes through the blocks of the cache, in file order the first time (later blocks may
//! still be in the making) and in a new order each time after; within a block the units come in a
//! new order each epoch. Data of one block, 64 MiB, is thus shuffled as a whole.

use std::sync::Arc;

use crate::batch::{GlobalBatch, PackedBatch};
use crate::dataset::{Dataset, Unit};
use crate::error::DatasetError;
use crate::random::{Permutation, mix};
use crate::store::Shard;

/// Purposes of random numbers, so that no two share a sequence.
const ORDER_OF_BLOCKS: u64 = 1;
const ORDER_OF_UNITS: u64 = 2;
const ROTATION: u64 = 3;

/// How steps are made of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplerSettings {
    /// Seed of the order.
    pub seed: u64,
    /// A new order each epoch, or file order.
    pub shuffle: bool,
    /// Units of one optimizer step, over all workers.
    pub batch_size: usize,
    /// Tokens of one micro-batch; a longer unit is one of its own.
    pub micro_batch_tokens: usize,
    /// This worker, from 0.
    pub rank: usize,
    /// How many workers there are.
    pub world_size: usize,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self { seed: 42, shuffle: true, batch_size: 8, micro_batch_tokens: 4096, rank: 0, world_size: 1 }
    }
}

/// Gives out the batches of a run, in any order.
#[derive(Debug, Clone)]
pub struct Sampler {
    dataset: Dataset,
    settings: SamplerSettings,
}

/// A place in the data: a block and a unit of it.
struct Place {
    block: usize,
    unit: u64,
}

/// Blocks in the order of an epoch, with where each begins.
struct EpochOrder {
    epoch: u64,
    blocks: Vec<(usize, u64)>,
}

impl Sampler {
    /// A sampler over `dataset`.
    ///
    /// # Errors
    /// A size of 0, or a rank that is not below the number of workers.
    pub fn new(dataset: Dataset, settings: SamplerSettings) -> Result<Self, DatasetError> {
        if settings.batch_size == 0 || settings.micro_batch_tokens == 0 || settings.rank >= settings.world_size {
            return Err(DatasetError::Settings(format!(
                "batch_size={} micro_batch_tokens={} rank={} world_size={}: sizes must be above 0, the rank below the world size",
                settings.batch_size, settings.micro_batch_tokens, settings.rank, settings.world_size
            )));
        }
        Ok(Self { dataset, settings })
    }

    /// What is sampled from.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Steps of one pass, the last one possibly short; waits until all is tokenised.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn steps_per_epoch(&self) -> Result<u64, DatasetError> {
        Ok(self.dataset.units()?.div_ceil(self.settings.batch_size as u64))
    }

    /// Steps of one pass as far as is known without waiting; see [`Dataset::units_estimated`].
    ///
    /// # Errors
    /// The preparation failed.
    pub fn steps_per_epoch_estimated(&self) -> Result<u64, DatasetError> {
        Ok(self.dataset.units_estimated()?.div_ceil(self.settings.batch_size as u64))
    }

    /// The batch of a step, from 0; waits while its rows are not tokenised yet.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn global_batch(&self, step: u64) -> Result<GlobalBatch, DatasetError> {
        let batch_size = self.settings.batch_size as u64;
        let (shards, counts, epoch, start) = loop {
            let (shards, is_complete) = self.dataset.blocks()?;
            let counts = self.dataset.counts(&shards);
            let total: u64 = counts.iter().sum();
            if is_complete {
                let steps = total.div_ceil(batch_size).max(1);
                break (shards, counts, step / steps, step % steps * batch_size);
            }
            if (step + 1) * batch_size <= total {
                break (shards, counts, 0, step * batch_size);
            }
            self.dataset.wait(shards.len());
        };
        let end = (start + batch_size).min(counts.iter().sum());
        let order = self.epoch_order(epoch, &counts);
        let mut batch = GlobalBatch { step, epoch, unit_count: end - start, ..GlobalBatch::default() };
        for position in start..end {
            let place = self.place(&order, &counts, position);
            let shard = &shards[place.block];
            let rotation = self.rotation(epoch, place.block, shard);
            let sequences = self.dataset.sequences(place.block, shard, place.unit, rotation);
            let mut unit = PackedBatch::default();
            unit.push_unit(place.block, shard, &sequences);
            batch.target_count += unit.target_count();
            if (position - start) % self.settings.world_size as u64 != self.settings.rank as u64 {
                continue;
            }
            match batch.micro.last_mut() {
                Some(last) if last.ids.len() + unit.ids.len() <= self.settings.micro_batch_tokens => {
                    last.push_unit(place.block, shard, &sequences);
                }
                _ => batch.micro.push(unit),
            }
        }
        for shard in &shards {
            shard.release_pages();
        }
        Ok(batch)
    }

    fn epoch_order(&self, epoch: u64, counts: &[u64]) -> EpochOrder {
        let blocks = counts.len() as u64;
        let is_shuffled = self.settings.shuffle && epoch > 0;
        let permutation = Permutation::new(blocks, mix(&[self.settings.seed, ORDER_OF_BLOCKS, epoch]));
        let mut start = 0;
        let place = |at: u64| {
            let block = if is_shuffled { permutation.get(at) } else { at } as usize;
            let entry = (block, start);
            start += counts[block];
            entry
        };
        EpochOrder { epoch, blocks: (0..blocks).map(place).collect() }
    }

    fn place(&self, order: &EpochOrder, counts: &[u64], position: u64) -> Place {
        let at = order.blocks.partition_point(|&(_, start)| start <= position) - 1;
        let (block, start) = order.blocks[at];
        let inside = position - start;
        let unit = if self.settings.shuffle {
            let key = mix(&[self.settings.seed, ORDER_OF_UNITS, order.epoch, block as u64]);
            Permutation::new(counts[block], key).get(inside)
        } else {
            inside
        };
        Place { block, unit }
    }

    /// How far the windows of a block are shifted in an epoch.
    fn rotation(&self, epoch: u64, block: usize, shard: &Arc<Shard>) -> u64 {
        if !self.settings.shuffle || self.dataset.unit() == Unit::Row {
            return 0;
        }
        let length = self.dataset.stream_length(block, shard).max(1);
        mix(&[self.settings.seed, ROTATION, epoch, block as u64]) % length
    }
}
