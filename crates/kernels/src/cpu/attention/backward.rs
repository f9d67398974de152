//! The blocked backward: probabilities are made again from the log-sum-exp, block by block.
//!
//! Gradients of keys and values are summed over the query heads of their group by one task, in
//! the order of queries and heads; the gradient of a query over blocks of keys, likewise.

#![expect(clippy::needless_range_loop, reason = "rows and columns of register tiles are counted, not iterated")]

use std::f32::consts::LOG2_E;
use std::ops::Range;

use super::forward::{KEY_BLOCK, Scores, lanes_across, load_keys, rows_across};
use super::heads::{HeadRows, HeadRowsMut};
use super::kernel::{GRAIN, Kernel, LANES, MOST_COLUMNS, Product, Start, load_row_f32, wide_product};
use super::plan::{Block, Gradients, Task, Visibility};
use super::scratch::Scratch;
use crate::backend::AttentionShape;
use crate::context::Context;
use crate::cpu::view::Rows;

/// Longer sequences are cut: once by keys for the gradients of keys and values, once by queries
/// for those of queries, at the price of making the probabilities twice.
const WHOLE_SEQUENCE: usize = 512;
/// Queries or keys of a task of a cut sequence.
const PART: usize = 256;
const LANES_MOST: usize = MOST_COLUMNS * LANES;
/// Lanes without a query get this log-sum-exp, which makes their probabilities 0.
const NO_QUERY: f32 = 1e30;

/// The tensors of a call.
pub(super) struct Backward<'a> {
    pub(super) dq: &'a HeadRowsMut<'a>,
    pub(super) dk: &'a HeadRowsMut<'a>,
    pub(super) dv: &'a HeadRowsMut<'a>,
    pub(super) dout: &'a HeadRows<'a>,
    pub(super) out: &'a HeadRows<'a>,
    pub(super) lse_th: &'a Rows<'a, f32>,
    pub(super) q: &'a HeadRows<'a>,
    pub(super) k: &'a HeadRows<'a>,
    pub(super) v: &'a HeadRows<'a>,
    pub(super) shape: &'a AttentionShape<'a>,
}

/// Cuts the call into tasks and runs them.
pub(super) fn run<K: Kernel>(context: &Context, backward: &Backward<'_>) {
    let mut tasks = Vec::new();
    for (sequence, span) in backward.shape.sequences.iter().enumerate() {
        for key_head in 0..backward.k.heads() {
            let mut push = |queries: Range<usize>, keys: Range<usize>, gradients| {
                tasks.push(Task { sequence, key_head, queries, keys, gradients });
            };
            if span.key_count <= WHOLE_SEQUENCE {
                push(0..span.query_count, 0..span.key_count, Gradients::Both);
                continue;
            }
            for start in (0..span.key_count).step_by(PART) {
                push(0..span.query_count, start..(start + PART).min(span.key_count), Gradients::Keys);
            }
            for start in (0..span.query_count).step_by(PART) {
                push(start..(start + PART).min(span.query_count), 0..span.key_count, Gradients::Queries);
            }
        }
    }
    Task::sort(&mut tasks);
    context.for_each(tasks.len(), |index| {
        Scratch::with(|scratch| {
            // SAFETY: the context vouches for the instruction set, the shapes were checked, and
            // tasks write disjoint gradients.
            unsafe { K::backward_task(backward, &tasks[index], scratch) }
        });
    });
}

/// Operands and sums of one block of queries.
#[derive(Clone, Copy)]
struct State<C> {
    /// Cells along the width, a lane a column.
    q: *const C,
    dout: *const C,
    /// Cells along the lanes, width columns.
    q_across: *const C,
    dout_across: *const C,
    /// Per lane: log-sum-exp in powers of 2, `dout · out`, first and last key.
    lse: *const f32,
    delta: *const f32,
    start: *const f32,
    end: *const f32,
    /// Gradient of the queries, width × lanes.
    dq: *mut f32,
}

/// Buffers for one block of keys.
struct Keys<C> {
    k_rows: *mut C,
    v_rows: *mut C,
    k_across: *mut C,
    /// Key × lanes.
    scores: *mut f32,
    dprobabilities: *mut f32,
    /// Cells along the lanes, a row a key.
    probabilities: *mut C,
    dscores: *mut C,
    /// Cells along the keys, a column a lane.
    dscores_across: *mut C,
    /// Key × width.
    dk: *mut f32,
    dv: *mut f32,
}

/// One task: all gradients of a short sequence, or one kind of a long one.
///
/// # Safety
/// As [`Kernel`]; no other thread writes these gradients.
#[inline(always)]
pub(super) unsafe fn run_task<K: Kernel>(backward: &Backward<'_>, task: &Task, scratch: &mut Scratch) {
    let visibility = Visibility::new(backward.shape, task.sequence);
    let span = visibility.span;
    let with_queries = task.gradients != Gradients::Keys;
    let with_keys = task.gradients != Gradients::Queries;
    let group = backward.q.heads() / backward.k.heads();
    let width = backward.q.head_width().next_multiple_of(LANES);
    let cells = width / K::PAIR;
    let mut blocks = Vec::new();
    Block::cut(&visibility, task.queries.clone(), group, &mut blocks);
    // Queries that see none of the task's keys have no part in it.
    blocks.retain(|block| with_queries || block.keys.start < task.keys.end && task.keys.start < block.keys.end);

    let lanes_total: usize = blocks.iter().map(|block| block.columns() * LANES).sum();
    let words = lanes_total * (2 * cells + 2 * width / K::PAIR + width + 4)
        + KEY_BLOCK * (2 * cells + 3 * width + 2 * LANES_MOST + 3 * LANES_MOST)
        + 3 * LANES_MOST * width;
    scratch.begin(words, 14 + 9 * blocks.len());
    let k_rows: *mut K::Cell = scratch.cut(KEY_BLOCK * cells);
    let keys_buffers = Keys::<K::Cell> {
        k_rows,
        v_rows: scratch.cut(KEY_BLOCK * cells),
        k_across: if K::PAIR == 1 { k_rows } else { scratch.cut(KEY_BLOCK / K::PAIR * width) },
        scores: scratch.cut(KEY_BLOCK * LANES_MOST),
        dprobabilities: scratch.cut(KEY_BLOCK * LANES_MOST),
        probabilities: scratch.cut(KEY_BLOCK * LANES_MOST / K::PAIR),
        dscores: scratch.cut(KEY_BLOCK * LANES_MOST / K::PAIR),
        dscores_across: scratch.cut(KEY_BLOCK / K::PAIR * LANES_MOST),
        dk: scratch.cut(KEY_BLOCK * width),
        dv: scratch.cut(KEY_BLOCK * width),
    };
    let lane_rows: *mut K::Cell = scratch.cut(LANES_MOST * width);
    let lane_values: *mut f32 = scratch.cut(LANES_MOST * width);

    // SAFETY: every buffer has room for what its comment says; rows and heads are checked by
    // the views; the instructions are vouched for by the caller.
    unsafe {
        let mut states = Vec::with_capacity(blocks.len());
        for block in &blocks {
            states.push(prepare::<K>(backward, task, &visibility, block, scratch, lane_rows, lane_values));
        }
        for key_start in (task.keys.start..task.keys.end).step_by(KEY_BLOCK) {
            let keys = key_start..task.keys.end.min(key_start + KEY_BLOCK);
            let is_seen = blocks.iter().any(|block| block.keys.start < keys.end && keys.start < block.keys.end);
            if is_seen {
                load_keys::<K>(keys_buffers.k_rows, backward.k, task.key_head, span.key_start, key_start, &keys, span.key_count, width);
                load_keys::<K>(keys_buffers.v_rows, backward.v, task.key_head, span.key_start, key_start, &keys, span.key_count, width);
                if with_queries {
                    rows_across::<K>(keys_buffers.k_across, keys_buffers.k_rows, 0, keys.len().next_multiple_of(GRAIN), width);
                }
            }
            if with_keys {
                std::slice::from_raw_parts_mut(keys_buffers.dk, KEY_BLOCK * width).fill(0.0);
                std::slice::from_raw_parts_mut(keys_buffers.dv, KEY_BLOCK * width).fill(0.0);
            }
            for (block, state) in blocks.iter().zip(&states) {
                if block.keys.start < keys.end && keys.start < block.keys.end {
                    pair::<K>(backward.shape, block, state, &keys, &keys_buffers, width, with_queries, with_keys);
                }
            }
            if with_keys {
                for key in keys.clone() {
                    let at = (key - key_start) * width;
                    let row = span.key_start + key;
                    backward.dk.write_head(row, task.key_head, std::slice::from_raw_parts(keys_buffers.dk.add(at), width));
                    backward.dv.write_head(row, task.key_head, std::slice::from_raw_parts(keys_buffers.dv.add(at), width));
                }
            }
        }
        if with_queries {
            for (block, state) in blocks.iter().zip(&states) {
                write_dq::<K>(backward, task, block, state, group, width, lane_values);
            }
        }
    }
}

/// Packs what a block of queries brings to every block of keys.
#[inline(always)]
unsafe fn prepare<K: Kernel>(
    backward: &Backward<'_>,
    task: &Task,
    visibility: &Visibility,
    block: &Block,
    scratch: &mut Scratch,
    lane_rows: *mut K::Cell,
    lane_values: *mut f32,
) -> State<K::Cell> {
    let span = visibility.span;
    let group = backward.q.heads() / backward.k.heads();
    let width = backward.q.head_width().next_multiple_of(LANES);
    let cells = width / K::PAIR;
    let stride = block.columns() * LANES;
    let place = |lane: usize| {
        let (query, head) = block.lane(lane);
        (span.query_start + query, task.key_head * group + head)
    };
    // SAFETY: passed on to the caller.
    unsafe {
        let mut both = [(std::ptr::null::<K::Cell>(), std::ptr::null::<K::Cell>()); 2];
        for (both, tensor) in both.iter_mut().zip([backward.q, backward.dout]) {
            let along: *mut K::Cell = scratch.cut(cells * stride);
            let across: *mut K::Cell = scratch.cut(stride / K::PAIR * width);
            let row = |lane: usize| {
                let (row, head) = place(lane);
                tensor.head(row, head)
            };
            lanes_across::<K>(along, block, width, lane_rows, row);
            // Cells along the lanes need whole rows; where a cell is a value they are the rows.
            let rows = if K::PAIR == 1 { across } else { lane_rows };
            for lane in 0..stride {
                let into = rows.add(lane * cells);
                if lane < block.lanes {
                    K::load_row(into, row(lane), width);
                } else {
                    std::slice::from_raw_parts_mut(into, cells).fill(K::Cell::default());
                }
            }
            rows_across::<K>(across, rows, 0, stride, width);
            *both = (along, across);
        }
        let (lse, delta): (*mut f32, *mut f32) = (scratch.cut(stride), scratch.cut(stride));
        let (start, end): (*mut f32, *mut f32) = (scratch.cut(stride), scratch.cut(stride));
        let dq: *mut f32 = scratch.cut(width * stride);
        std::slice::from_raw_parts_mut(dq, width * stride).fill(0.0);
        for lane in 0..stride {
            let (lse_now, delta_now, keys) = if lane < block.lanes {
                let (row, head) = place(lane);
                let other = lane_values.add(width);
                load_row_f32(lane_values, backward.dout.head(row, head), width);
                load_row_f32(other, backward.out.head(row, head), width);
                let mut sums = K::splat(0.0);
                for index in (0..width).step_by(LANES) {
                    sums = K::multiply_add(K::load(lane_values.add(index)), K::load(other.add(index)), sums);
                }
                let mut parts = [0f32; LANES];
                K::store(parts.as_mut_ptr(), sums);
                (backward.lse_th.row(row)[head] * LOG2_E, parts.iter().sum::<f32>(), visibility.keys(block.lane(lane).0))
            } else {
                (NO_QUERY, 0.0, 0..0)
            };
            *lse.add(lane) = lse_now;
            *delta.add(lane) = delta_now;
            *start.add(lane) = keys.start as f32;
            *end.add(lane) = keys.end as f32;
        }
        State { q: both[0].0, q_across: both[0].1, dout: both[1].0, dout_across: both[1].1, lse, delta, start, end, dq }
    }
}

/// One block of queries with one block of keys.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call site, all of it needed")]
unsafe fn pair<K: Kernel>(
    shape: &AttentionShape<'_>,
    block: &Block,
    state: &State<K::Cell>,
    keys: &Range<usize>,
    buffers: &Keys<K::Cell>,
    width: usize,
    with_queries: bool,
    with_keys: bool,
) {
    let cells = width / K::PAIR;
    let (columns, stride) = (block.columns(), block.columns() * LANES);
    // Rows of this block of keys that some lane sees, in whole grains from its start.
    let first = (block.keys.start.max(keys.start) - keys.start) / GRAIN * GRAIN;
    let last = (block.keys.end.min(keys.end) - keys.start).next_multiple_of(GRAIN);
    let rows = first..last;
    // SAFETY: passed on to the caller.
    unsafe {
        for (a, b, c) in [(buffers.k_rows, state.q, buffers.scores), (buffers.v_rows, state.dout, buffers.dprobabilities)] {
            K::product(&Product {
                a: a.add(rows.start * cells),
                a_row_stride: cells,
                a_cell_stride: 1,
                b,
                b_stride: stride,
                cells,
                c: c.add(rows.start * stride),
                c_stride: stride,
                rows: rows.len(),
                columns,
                start: Start::Zero,
            });
        }
        for column in 0..columns {
            if shape.soft_cap.is_some() {
                gradients_of_scores::<K, true>(shape, block, state, keys.start, &rows, buffers, stride, column * LANES);
            } else {
                gradients_of_scores::<K, false>(shape, block, state, keys.start, &rows, buffers, stride, column * LANES);
            }
        }
        if with_queries {
            K::product(&Product {
                a: buffers.k_across.add(rows.start / K::PAIR * width),
                a_row_stride: 1,
                a_cell_stride: width,
                b: buffers.dscores_across.add(rows.start / K::PAIR * stride),
                b_stride: stride,
                cells: rows.len() / K::PAIR,
                c: state.dq,
                c_stride: stride,
                rows: width,
                columns,
                start: Start::Add,
            });
        }
        if with_keys {
            for (a, b, c) in [(buffers.probabilities, state.dout_across, buffers.dv), (buffers.dscores, state.q_across, buffers.dk)] {
                wide_product::<K>(&Product {
                    a: a.add(rows.start * stride / K::PAIR),
                    a_row_stride: stride / K::PAIR,
                    a_cell_stride: 1,
                    b,
                    b_stride: width,
                    cells: stride / K::PAIR,
                    c: c.add(rows.start * width),
                    c_stride: width,
                    rows: rows.len(),
                    columns: width / LANES,
                    start: Start::Add,
                });
            }
        }
    }
}

/// Probabilities and the gradients of scores, for one vector of lanes.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call site, all of it needed")]
unsafe fn gradients_of_scores<K: Kernel, const CAPPED: bool>(
    shape: &AttentionShape<'_>,
    block: &Block,
    state: &State<K::Cell>,
    key_start: usize,
    rows: &Range<usize>,
    buffers: &Keys<K::Cell>,
    stride: usize,
    offset: usize,
) {
    let factors = Scores::new(shape);
    // SAFETY: passed on to the caller.
    unsafe {
        let (inner, outer, scale) = (K::splat(factors.inner), K::splat(factors.outer), K::splat(shape.scale));
        let (start, end) = (K::load(state.start.add(offset)), K::load(state.end.add(offset)));
        let (lse, delta) = (K::load(state.lse.add(offset)), K::load(state.delta.add(offset)));
        let (zero, one) = (K::splat(0.0), K::splat(1.0));
        for row in rows.clone().step_by(2) {
            let mut both = [zero; 2];
            for index in 0..2 {
                let row = row + index;
                let mut score = K::multiply(K::load(buffers.scores.add(row * stride + offset)), inner);
                let mut slope = scale;
                if CAPPED {
                    let squashed = K::tanh(score);
                    slope = K::multiply(scale, K::subtract(one, K::multiply(squashed, squashed)));
                    score = K::multiply(squashed, outer);
                }
                let mut probability = K::exp2(K::subtract(score, lse));
                if key_start + row < block.common_keys.start || key_start + row >= block.common_keys.end {
                    probability = K::keep(probability, (key_start + row) as f32, start, end, zero);
                }
                let dprobability = K::load(buffers.dprobabilities.add(row * stride + offset));
                both[index] = K::multiply(K::multiply(probability, slope), K::subtract(dprobability, delta));
                let at = (row * stride + offset) / K::PAIR;
                K::store_along(buffers.probabilities.add(at), probability);
                K::store_along(buffers.dscores.add(at), both[index]);
            }
            K::store_across(buffers.dscores_across.add(row / K::PAIR * stride + offset), stride, both[0], both[1]);
        }
    }
}

#[inline(always)]
unsafe fn write_dq<K: Kernel>(
    backward: &Backward<'_>,
    task: &Task,
    block: &Block,
    state: &State<K::Cell>,
    group: usize,
    width: usize,
    lane_values: *mut f32,
) {
    let stride = block.columns() * LANES;
    let span = backward.shape.sequences[task.sequence];
    for offset in (0..stride).step_by(LANES) {
        // SAFETY: passed on to the caller; a number is a word.
        unsafe {
            for index in (0..width).step_by(LANES) {
                K::transpose(lane_values.add(index).cast(), width, state.dq.add(index * stride + offset).cast(), stride);
            }
            for lane in offset..block.lanes.min(offset + LANES) {
                let (query, head) = block.lane(lane);
                let values = std::slice::from_raw_parts(lane_values.add((lane - offset) * width), width);
                backward.dq.write_head(span.query_start + query, task.key_head * group + head, values);
            }
        }
    }
}
