//! A batch: rows laid end to end with offsets. No padding; attention never crosses an offset.

use apertis_kernels::{Backend, Dtype, SequenceSpan, Tensor, VisibleSpan};

use super::arena::Arena;
use crate::error::ModelError;
use crate::rope::RopeSpec;
use crate::spec::ModelSpec;

/// What a step is given.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Token ids of all rows, end to end.
    pub ids: Vec<u32>,
    /// Start of each row, and the end of the last.
    pub offsets: Vec<u32>,
    /// Positions within each row; empty means 0, 1, 2 … from each offset.
    pub positions: Vec<u32>,
    /// Ready embeddings that replace the table's: (token number, values of the model's width).
    pub embeddings: Vec<(u32, Vec<f32>)>,
    /// Spans inside a row that see each other in both directions.
    pub visible: Vec<VisibleSpan>,
    /// Lengths that decide rotations (dynamic, longrope), one a row; empty means the rows' own.
    pub rotary_lengths: Vec<usize>,
}

impl Batch {
    /// Rows of ids, laid end to end.
    pub fn from_rows(rows: &[Vec<u32>]) -> Batch {
        let mut batch = Batch { offsets: vec![0], ..Batch::default() };
        for row in rows {
            batch.ids.extend(row);
            batch.offsets.push(batch.ids.len() as u32);
        }
        batch
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Checks ids, offsets and lengths against a model.
    ///
    /// # Errors
    /// A sentence that names the first thing that does not fit.
    pub fn check(&self, spec: &ModelSpec) -> Result<(), ModelError> {
        let fail = |message: String| Err(ModelError::Input { operation: "batch", message });
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&(self.ids.len() as u32)) || !self.offsets.is_sorted() {
            return fail(format!("offsets {:?} do not cut {} ids into rows", self.offsets, self.ids.len()));
        }
        if let Some(id) = self.ids.iter().find(|id| **id as usize >= spec.vocabulary) {
            return fail(format!("found token id {id}, expected less than the vocabulary's {}", spec.vocabulary));
        }
        if let (Some(table), Some(position)) = (spec.position_embedding, self.all_positions().into_iter().max()) {
            let limit = spec.parameter(table).rows;
            if position as usize >= limit {
                return fail(format!("found position {position}, expected less than the model's {limit} learned positions"));
            }
        }
        Ok(())
    }

    /// Positions of all tokens.
    pub fn all_positions(&self) -> Vec<u32> {
        if !self.positions.is_empty() {
            return self.positions.clone();
        }
        self.offsets.windows(2).flat_map(|row| 0..row[1] - row[0]).collect()
    }
}

/// A batch on the device.
pub struct DeviceBatch {
    /// Number of tokens.
    pub tokens: usize,
    /// 1 × t, U32.
    pub ids: Tensor,
    /// The ids' order for the embedding's gradient, 1 × t, U32.
    pub id_order: Option<Tensor>,
    /// Learned positions and their order.
    pub positions: Option<(Tensor, Option<Tensor>)>,
    /// For each rotation of the model: table, row numbers.
    pub ropes: Vec<(Tensor, Tensor)>,
    /// Where sequences lie among queries and keys.
    pub sequences: Vec<SequenceSpan>,
    /// Spans seen in both directions.
    pub visible: Vec<VisibleSpan>,
    /// Rows of ready embeddings: row numbers and values.
    pub embeddings: Option<(Tensor, Tensor)>,
}

impl DeviceBatch {
    /// Cuts the memory of a batch of this size out of an arena.
    pub fn lay_out(arena: &mut Arena, spec: &ModelSpec, batch: &Batch, sequences: Vec<SequenceSpan>, for_training: bool) -> DeviceBatch {
        let tokens = batch.tokens();
        let order = |arena: &mut Arena| for_training.then(|| arena.take(tokens, 1, Dtype::U32));
        let ids = arena.take(tokens, 1, Dtype::U32);
        let id_order = order(arena);
        let positions = spec.position_embedding.map(|_| {
            let positions = arena.take(tokens, 1, Dtype::U32);
            (positions, order(arena))
        });
        let ropes = spec
            .ropes
            .iter()
            .map(|rope| {
                let rows = RopeRows::new(rope, batch).row_count;
                (arena.take(rows, rope.rotary_width, Dtype::F32), arena.take(tokens, 1, Dtype::U32))
            })
            .collect();
        let embeddings = (!batch.embeddings.is_empty()).then(|| {
            let count = batch.embeddings.len();
            (arena.take(count, 1, Dtype::U32), arena.take(count, spec.width, Dtype::F32))
        });
        DeviceBatch { tokens, ids, id_order, positions, ropes, sequences, visible: batch.visible.clone(), embeddings }
    }

    /// Copies a batch to the device.
    pub fn upload(&self, backend: &dyn Backend, spec: &ModelSpec, batch: &Batch) {
        backend.write_u32(self.ids, &batch.ids);
        if let Some(order) = self.id_order {
            backend.write_u32(order, &sorted_order(&batch.ids));
        }
        if let Some((positions, order)) = self.positions {
            let all = batch.all_positions();
            backend.write_u32(positions, &all);
            if let Some(order) = order {
                backend.write_u32(order, &sorted_order(&all));
            }
        }
        for (rope, (table, rows)) in spec.ropes.iter().zip(&self.ropes) {
            let built = RopeRows::new(rope, batch);
            backend.write_f32(*table, &built.table(rope));
            backend.write_u32(*rows, &built.rows);
        }
        if let Some((rows, values)) = self.embeddings {
            let numbers: Vec<u32> = batch.embeddings.iter().map(|(row, _)| *row).collect();
            let flat: Vec<f32> = batch.embeddings.iter().flat_map(|(_, values)| values.iter().copied()).collect();
            backend.write_u32(rows, &numbers);
            backend.write_f32(values, &flat);
        }
    }

    /// Sequences that are their own keys: no cache.
    pub fn plain_sequences(batch: &Batch) -> Vec<SequenceSpan> {
        batch
            .offsets
            .windows(2)
            .map(|row| {
                let (start, count) = (row[0] as usize, (row[1] - row[0]) as usize);
                SequenceSpan { query_start: start, query_count: count, key_start: start, key_count: count }
            })
            .collect()
    }
}

/// The numbers of elements, sorted by element, ties in order.
fn sorted_order(values: &[u32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by_key(|index| values[*index as usize]);
    order
}

/// Which rows of which table the tokens of a batch read: sequences whose length decides their
/// frequencies get a stretch of the table of their own.
struct RopeRows {
    /// (length that decides the frequencies, first position, number of rows).
    stretches: Vec<(usize, usize, usize)>,
    rows: Vec<u32>,
    row_count: usize,
}

impl RopeRows {
    fn new(rope: &RopeSpec, batch: &Batch) -> RopeRows {
        let positions = batch.all_positions();
        // Decoding one token needs a few rows, not the whole table from position 0: stretches
        // start at the smallest position that is used.
        let mut variants: Vec<(usize, usize, usize, usize)> = Vec::new(); // variant, length, low, high
        let mut variant_of_row = Vec::with_capacity(batch.rows());
        for (row, range) in batch.offsets.windows(2).enumerate() {
            let own = &positions[range[0] as usize..range[1] as usize];
            let (low, high) = (own.iter().min().map_or(0, |low| *low as usize), own.iter().max().map_or(0, |high| *high as usize + 1));
            let length = batch.rotary_lengths.get(row).copied().unwrap_or(high);
            let variant = rope.variant(length);
            let index = variants.iter().position(|known| known.0 == variant).unwrap_or_else(|| {
                variants.push((variant, length, low, high));
                variants.len() - 1
            });
            variants[index].2 = variants[index].2.min(low);
            variants[index].3 = variants[index].3.max(high);
            variant_of_row.push(index);
        }
        let mut starts = Vec::with_capacity(variants.len());
        let mut row_count = 0;
        for (_, _, low, high) in &variants {
            starts.push(row_count);
            row_count += high - low;
        }
        let mut rows = Vec::with_capacity(positions.len());
        for (range, variant) in batch.offsets.windows(2).zip(&variant_of_row) {
            let (_, _, low, _) = variants[*variant];
            rows.extend(
                positions[range[0] as usize..range[1] as usize].iter().map(|position| (starts[*variant] + *position as usize - low) as u32),
            );
        }
        let stretches = variants.iter().map(|(_, length, low, high)| (*length, *low, high - low)).collect();
        RopeRows { stretches, rows, row_count }
    }

    fn table(&self, rope: &RopeSpec) -> Vec<f32> {
        self.stretches.iter().flat_map(|(length, first, count)| rope.table(*length, *first, *count)).collect()
    }
}
