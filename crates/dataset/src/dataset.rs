//! A part of prepared data, training or held out, as numbered units: rows, or windows of running
//! text. Any unit can be read at any time; memory does not grow with what was read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::{PackedBatch, RowId};
use crate::error::DatasetError;
use crate::problem::RowSource;
use crate::report::DataReport;
use crate::split::HeldOut;
use crate::store::{Handle, Shard};

/// What a unit is: what `batch_size` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One row: a conversation, or a window of an unpacked document.
    Row,
    /// A window of so many tokens, over running text.
    Window(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Train,
    HeldOut,
}

/// Units to train on or to evaluate on. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Dataset {
    handle: Arc<Handle>,
    unit: Unit,
    part: Part,
    held_out: Option<Arc<HeldOut>>,
}

/// The tokens of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowView {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether each token is learned.
    pub mask: Vec<bool>,
    /// Where the row came from.
    pub source: RowSource,
    /// Tokens cut off its end.
    pub cut_tokens: u32,
}

/// Consecutive tokens of a block that see each other, and whether the token after them is still
/// theirs to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) tokens: Range<u64>,
    pub(crate) has_next: bool,
    pub(crate) row: u64,
}

impl Dataset {
    pub(crate) fn all(handle: Arc<Handle>, unit: Unit) -> Self {
        Self { handle, unit, part: Part::All, held_out: None }
    }

    /// The two parts of data of which something is held out.
    pub(crate) fn split(handle: Arc<Handle>, unit: Unit, held_out: HeldOut) -> (Self, Self) {
        let held_out = Some(Arc::new(held_out));
        let part = |part| Self { handle: handle.clone(), unit, part, held_out: held_out.clone() };
        (part(Part::Train), part(Part::HeldOut))
    }

    /// What a unit is.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Hash of the files, the tokenizer and the settings that the rows come from.
    pub fn fingerprint(&self) -> String {
        self.handle.0.key.clone()
    }

    /// What is known about the data by now; of the whole data, not of this part.
    pub fn report(&self) -> DataReport {
        self.handle.0.report()
    }

    /// Share of the files read so far, 0 to 1.
    pub fn progress(&self) -> f64 {
        let shared = &self.handle.0;
        shared.position.load(Ordering::Relaxed) as f64 / shared.bytes_total.max(1) as f64
    }

    /// Units by now, and whether these are all.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn units_so_far(&self) -> Result<(u64, bool), DatasetError> {
        let (blocks, is_complete) = self.blocks()?;
        Ok((self.counts(&blocks).iter().sum(), is_complete))
    }

    /// How many units there are: exact when all is tokenised; before that reckoned from the first
    /// block and the size of the files, and the same number however far the rest is.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn units_estimated(&self) -> Result<u64, DatasetError> {
        let (blocks, is_complete) = self.blocks()?;
        let known: u64 = self.counts(&blocks).iter().sum();
        let Some(first) = blocks.first().filter(|_| !is_complete) else {
            return Ok(known);
        };
        let scale = self.handle.0.bytes_total as f64 / first.disk_bytes().max(1) as f64;
        Ok((self.count(0, first) as f64 * scale) as u64)
    }

    /// How many units there are; waits until all is tokenised.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn units(&self) -> Result<u64, DatasetError> {
        loop {
            let (units, is_complete) = self.units_so_far()?;
            if is_complete {
                return Ok(units);
            }
            self.wait(usize::MAX);
        }
    }

    /// Tokens of this part; waits until all is tokenised.
    ///
    /// # Errors
    /// The preparation failed.
    pub fn tokens(&self) -> Result<u64, DatasetError> {
        self.units()?;
        let (blocks, _) = self.blocks()?;
        let of_block =
            |(at, shard): (usize, &Arc<Shard>)| -> u64 { self.segments(at, shard).iter().map(|segment| segment.end - segment.start).sum() };
        Ok(blocks.iter().enumerate().map(of_block).sum())
    }

    /// The row behind an id that a batch named.
    ///
    /// # Errors
    /// There is no such row.
    pub fn row(&self, id: RowId) -> Result<RowView, DatasetError> {
        let (blocks, _) = self.blocks()?;
        let shard = blocks.get(id.block()).filter(|shard| id.row() < shard.row_count());
        let Some(shard) = shard else {
            let available = blocks.iter().map(|shard| shard.row_count()).sum();
            return Err(DatasetError::OutOfRange { what: "row", asked: id.0, available });
        };
        let entry = shard.row(id.row());
        let mut ids = Vec::new();
        shard.push_ids(entry.tokens.clone(), &mut ids);
        let mask = entry.tokens.clone().map(|token| shard.is_trained(token)).collect();
        Ok(RowView { ids, mask, source: entry.source, cut_tokens: entry.cut_tokens })
    }

    /// The row id of a unit in file order; for a window, the row in which it begins.
    ///
    /// # Errors
    /// There is no such unit; waits while it is not tokenised yet.
    pub fn row_id(&self, unit: u64) -> Result<RowId, DatasetError> {
        let mut rest = unit;
        let mut at = 0;
        loop {
            let (blocks, is_complete) = self.blocks()?;
            while let Some(shard) = blocks.get(at) {
                let count = self.count(at, shard);
                if rest < count {
                    let first = self.sequences(at, shard, rest, 0).first().map_or(0, |sequence| sequence.row);
                    return Ok(RowId::new(at, first));
                }
                rest -= count;
                at += 1;
            }
            if is_complete {
                return Err(DatasetError::OutOfRange { what: "row", asked: unit, available: unit - rest });
            }
            self.wait(blocks.len());
        }
    }

    /// All units in file order, packed up to `micro_batch_tokens` at a time: what an evaluation
    /// goes through.
    pub fn in_order(&self, micro_batch_tokens: usize) -> InOrder {
        InOrder { dataset: self.clone(), micro_batch_tokens, block: 0, unit: 0 }
    }

    pub(crate) fn blocks(&self) -> Result<(Vec<Arc<Shard>>, bool), DatasetError> {
        self.handle.0.blocks()
    }

    pub(crate) fn wait(&self, known_blocks: usize) {
        self.handle.0.wait_for_more(known_blocks, Duration::from_millis(200));
    }

    /// Units of each block.
    pub(crate) fn counts(&self, blocks: &[Arc<Shard>]) -> Vec<u64> {
        blocks.iter().enumerate().map(|(at, shard)| self.count(at, shard)).collect()
    }

    fn count(&self, block: usize, shard: &Shard) -> u64 {
        match self.unit {
            Unit::Row => {
                let held = match (block, self.held_out.as_deref()) {
                    (0, Some(HeldOut::Rows(rows))) => rows.len() as u64,
                    _ => 0,
                };
                match self.part {
                    Part::All | Part::Train => shard.row_count() - held,
                    Part::HeldOut => held,
                }
            }
            Unit::Window(length) => self.stream_length(block, shard).div_ceil(length as u64),
        }
    }

    /// Tokens of this part in a block.
    pub(crate) fn stream_length(&self, block: usize, shard: &Shard) -> u64 {
        self.segments(block, shard).iter().map(|segment| segment.end - segment.start).sum()
    }

    /// The token ranges of a block that belong to this part.
    fn segments(&self, block: usize, shard: &Shard) -> Vec<Range<u64>> {
        let whole = 0..shard.token_count();
        let held: Vec<Range<u64>> = match (block, self.held_out.as_deref()) {
            (0, Some(HeldOut::Tokens(ranges))) => ranges.clone(),
            (0, Some(HeldOut::Rows(rows))) => rows.iter().map(|&row| shard.row(row).tokens).collect(),
            _ => Vec::new(),
        };
        match self.part {
            Part::All => vec![whole],
            Part::HeldOut => held,
            Part::Train => {
                let mut kept = Vec::with_capacity(held.len() + 1);
                let mut at = 0;
                for range in held {
                    kept.push(at..range.start);
                    at = range.end;
                }
                kept.push(at..whole.end);
                kept.retain(|segment| !segment.is_empty());
                kept
            }
        }
    }

    /// The sequences of a unit. `rotation` shifts windows, for fresh borders each epoch: the text
    /// of a block is a ring, so that every token is in exactly one window whatever the shift.
    pub(crate) fn sequences(&self, block: usize, shard: &Shard, unit: u64, rotation: u64) -> Vec<Sequence> {
        match self.unit {
            Unit::Row => {
                let row = self.row_of_unit(block, unit);
                let tokens = shard.row(row).tokens;
                let has_next = row + 1 < shard.row_count() && shard.row(row + 1).continues;
                vec![Sequence { tokens, has_next, row }]
            }
            Unit::Window(length) => {
                let segments = self.segments(block, shard);
                let total: u64 = segments.iter().map(|segment| segment.end - segment.start).sum();
                let start = unit * length as u64;
                let end = (start + length as u64).min(total);
                let (start, end) = (start + rotation, end + rotation);
                let mut sequences = Vec::new();
                for turn in [0, total] {
                    window_sequences(shard, &segments, turn, start..end, &mut sequences);
                }
                sequences
            }
        }
    }

    /// The row number behind a unit of this part.
    fn row_of_unit(&self, block: usize, unit: u64) -> u64 {
        match (block, self.part, self.held_out.as_deref()) {
            (0, Part::HeldOut, Some(HeldOut::Rows(rows))) => rows[unit as usize],
            (0, Part::Train, Some(HeldOut::Rows(rows))) => {
                let (mut low, mut high) = (0, rows.len());
                while low < high {
                    let middle = (low + high) / 2;
                    if rows[middle] - middle as u64 <= unit { low = middle + 1 } else { high = middle }
                }
                unit + low as u64
            }
            _ => unit,
        }
    }
}

/// Cuts a window out of the segments, whose first token stands at `offset`, and cuts it again
/// where a document begins.
fn window_sequences(shard: &Shard, segments: &[Range<u64>], offset: u64, window: Range<u64>, sequences: &mut Vec<Sequence>) {
    let mut at = offset;
    for segment in segments {
        let length = segment.end - segment.start;
        let (low, high) = (window.start.max(at), window.end.min(at + length));
        if low < high {
            let mut token = segment.start + (low - at);
            let end = segment.start + (high - at);
            let mut row = shard.row_of_token(token);
            while token < end {
                let first_row = row;
                let mut stop = shard.row(row).tokens.end;
                while stop < end && row + 1 < shard.row_count() && shard.row(row + 1).continues {
                    row += 1;
                    stop = shard.row(row).tokens.end;
                }
                let stop = stop.min(end);
                let begins_document = |token: u64| {
                    let row = shard.row_of_token(token);
                    shard.row_start(row) == token && !shard.row(row).continues
                };
                let has_next = stop < segment.end && !begins_document(stop);
                sequences.push(Sequence { tokens: token..stop, has_next, row: first_row });
                token = stop;
                row += 1;
            }
        }
        at += length;
    }
}

/// Batches of all units in file order.
#[derive(Debug)]
pub struct InOrder {
    dataset: Dataset,
    micro_batch_tokens: usize,
    block: usize,
    unit: u64,
}

impl Iterator for InOrder {
    type Item = Result<PackedBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = PackedBatch::default();
        loop {
            let (blocks, is_complete) = match self.dataset.blocks() {
                Ok(blocks) => blocks,
                Err(error) => return Some(Err(error)),
            };
            let Some(shard) = blocks.get(self.block) else {
                if is_complete {
                    return (!batch.ids.is_empty()).then_some(Ok(batch));
                }
                self.dataset.wait(blocks.len());
                continue;
            };
            while self.unit < self.dataset.count(self.block, shard) {
                let sequences = self.dataset.sequences(self.block, shard, self.unit, 0);
                let length: u64 = sequences.iter().map(|sequence| sequence.tokens.end - sequence.tokens.start).sum();
                if !batch.ids.is_empty() && batch.ids.len() as u64 + length > self.micro_batch_tokens as u64 {
                    shard.release_pages();
                    return Some(Ok(batch));
                }
                batch.push_unit(self.block, shard, &sequences);
                self.unit += 1;
            }
            shard.release_pages();
            self.block += 1;
            self.unit = 0;
        }
    }
}
