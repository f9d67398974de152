//! Rows laid end to end, without padding: what the model is given.

use crate::dataset::Sequence;
use crate::store::Shard;

/// Names a row of the token cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub u64);

/// Bits of an id that number the row within its block.
const ROW_BITS: u32 = 32;

impl RowId {
    pub(crate) fn new(block: usize, row: u64) -> Self {
        Self((block as u64) << ROW_BITS | row)
    }

    pub(crate) fn block(self) -> usize {
        (self.0 >> ROW_BITS) as usize
    }

    pub(crate) fn row(self) -> u64 {
        self.0 & ((1 << ROW_BITS) - 1)
    }
}

/// Sequences laid end to end. Attention never crosses an offset.
///
/// # Shapes
/// `ids positions targets`: one a token; `offsets`: one more than sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBatch {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Position within its sequence, from 0.
    pub positions: Vec<u32>,
    /// Where each sequence begins, and the end of the last one.
    pub offsets: Vec<u32>,
    /// The id to predict after each token, or −1 where nothing is learned.
    pub targets: Vec<i32>,
    /// The row of each sequence.
    pub rows: Vec<RowId>,
}

impl PackedBatch {
    /// Tokens with a target.
    pub fn target_count(&self) -> u64 {
        self.targets.iter().filter(|&&target| target >= 0).count() as u64
    }

    /// A batch of given sequences and masks: for data that comes from no file. The target of a
    /// token is the next one, where that is learned.
    ///
    /// # Panics
    /// When ids and mask of a sequence differ in length.
    pub fn from_sequences<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [bool])>) -> Self {
        let mut batch = Self::default();
        for (number, (ids, mask)) in sequences.into_iter().enumerate() {
            assert_eq!(ids.len(), mask.len(), "a mask has one entry a token");
            batch.begin(RowId(number as u64));
            batch.ids.extend_from_slice(ids);
            batch.positions.extend(0..ids.len() as u32);
            batch.targets.extend((1..ids.len()).map(|at| if mask[at] { ids[at] as i32 } else { -1 }));
            batch.targets.extend((!ids.is_empty()).then_some(-1));
            batch.end();
        }
        batch
    }

    fn begin(&mut self, row: RowId) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.rows.push(row);
    }

    fn end(&mut self) {
        self.offsets.push(self.ids.len() as u32);
    }

    /// Appends a unit.
    pub(crate) fn push_unit(&mut self, block: usize, shard: &Shard, sequences: &[Sequence]) {
        for sequence in sequences {
            self.begin(RowId::new(block, sequence.row));
            let first = self.ids.len();
            shard.push_ids(sequence.tokens.clone(), &mut self.ids);
            let length = self.ids.len() - first;
            self.positions.extend(0..length as u32);
            for token in sequence.tokens.start + 1..sequence.tokens.end {
                let target = if shard.is_trained(token) { shard.id(token) as i32 } else { -1 };
                self.targets.push(target);
            }
            let after = sequence.tokens.end;
            let is_learned = sequence.has_next && shard.is_trained(after);
            self.targets.push(if is_learned { shard.id(after) as i32 } else { -1 });
            self.end();
        }
    }
}

/// Everything of one optimizer step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalBatch {
    /// The step, from 0.
    pub step: u64,
    /// The pass through the data, from 0.
    pub epoch: u64,
    /// Batches of this worker, to be gone through one after the other.
    pub micro: Vec<PackedBatch>,
    /// Targets of the step over all workers: the divisor of its loss.
    pub target_count: u64,
    /// Units of the step over all workers.
    pub unit_count: u64,
}

impl GlobalBatch {
    /// Tokens of this worker.
    pub fn token_count(&self) -> u64 {
        self.micro.iter().map(|batch| batch.ids.len() as u64).sum()
    }

    /// Rows of this worker, without repetition.
    pub fn rows(&self) -> Vec<RowId> {
        let mut rows: Vec<RowId> = self.micro.iter().flat_map(|batch| batch.rows.iter().copied()).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}
