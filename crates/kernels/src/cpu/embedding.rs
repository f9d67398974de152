//! Rows of a table by id, and the gradient of the table.

use crate::cpu::buffers::{expect_apart, expect_shape};
use crate::cpu::lanes;
use crate::cpu::operand::CHUNK;
use crate::cpu::reference::embedding as reference;
use crate::cpu::work::{Work, for_tiles};
use crate::tensor::Tensor;

/// Sorted positions that one task looks at; it sums the ids that begin among them.
const BLOCK_POSITIONS: usize = 64;

fn expect_ids(operation: &str, ids: &[u32], rows: usize) {
    if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
        panic!("{operation}: found id {id}, expected one below {rows}");
    }
}

pub(super) fn embed(work: &Work<'_>, out: Tensor, table: Tensor, ids: Tensor, scale: f32, accumulate: bool) {
    const NAME: &str = "embed";
    expect_shape(NAME, "out", out, out.rows, table.columns);
    expect_shape(NAME, "ids", ids, out.rows, 1);
    expect_apart(NAME, &[out], &[table, ids]);
    let ids = work.integers(NAME, ids);
    expect_ids(NAME, &ids, table.rows);
    if work.is_scalar() {
        return work.put(NAME, out, &reference::embed(&work.matrix(NAME, table), &ids, f64::from(scale)), accumulate);
    }
    let (sink, source) = (work.buffers.sink(NAME, out), work.buffers.source(NAME, table));
    let set = work.instruction_set();
    for_tiles(
        work.context,
        out.rows,
        out.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            source.load(set, ids[tile.row] as usize, tile.start, values);
            if scale != 1.0 {
                lanes::scale(set, values, scale);
            }
            // SAFETY: tiles are disjoint.
            unsafe { sink.put(set, tile.row, tile.start, values, accumulate) };
        },
    );
}

pub(super) fn embed_backward(work: &Work<'_>, dtable: Tensor, dx: Tensor, ids: Tensor, order: Tensor, scale: f32) {
    const NAME: &str = "embed_backward";
    expect_shape(NAME, "dtable", dtable, dtable.rows, dx.columns);
    expect_shape(NAME, "ids", ids, dx.rows, 1);
    assert_eq!(order.len(), dx.rows, "{NAME}: found {} positions in the order, expected {}", order.len(), dx.rows);
    expect_apart(NAME, &[dtable], &[dx, ids, order]);
    let (ids, order) = (work.integers(NAME, ids), work.integers(NAME, order));
    expect_ids(NAME, &ids, dtable.rows);
    expect_ids(NAME, &order, dx.rows);
    let id_at = |position: usize| ids[order[position] as usize];
    assert!((1..order.len()).all(|position| id_at(position - 1) <= id_at(position)), "{NAME}: the order does not sort the ids");
    if work.is_scalar() {
        let result = reference::embed_backward(dtable.rows, &work.matrix(NAME, dx), &ids, f64::from(scale));
        return work.put(NAME, dtable, &result, true);
    }
    let (sink, source) = (work.buffers.rows_mut::<f32>(NAME, dtable), work.buffers.source(NAME, dx));
    let set = work.instruction_set();
    let task = |block: usize| {
        let mut values = vec![0.0; dx.columns];
        let mut sum = vec![0.0; dx.columns];
        let mut position = block * BLOCK_POSITIONS;
        let end = order.len().min(position + BLOCK_POSITIONS);
        // An id that began in the block before is that block's.
        while position > 0 && position < end && id_at(position) == id_at(position - 1) {
            position += 1;
        }
        while position < end {
            let id = id_at(position);
            sum.fill(0.0);
            while position < order.len() && id_at(position) == id {
                source.load_row(set, order[position] as usize, &mut values);
                crate::cpu::operand::add(set, &mut sum, &values);
                position += 1;
            }
            // SAFETY: equal ids are neighbours in the order, so only this task has this id.
            lanes::add_scaled(set, unsafe { sink.row(id as usize) }, &sum, scale);
        }
    };
    work.context.for_each(order.len().div_ceil(BLOCK_POSITIONS), task);
}
