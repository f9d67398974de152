//! The blocked forward: for each block of queries, softmax sums that grow block by block of keys.
//!
//! Scores are kept as `scores[key][lane]`, a lane being a query with one of its heads, so that
//! maxima and sums over keys are plain vector operations.

use std::f32::consts::{LN_2, LOG2_E};
use std::ops::Range;

use super::heads::{HeadRows, HeadRowsMut};
use super::kernel::{GRAIN, Kernel, LANES, MOST_COLUMNS, Product, Start};
use super::plan::{Block, Gradients, Task, Visibility};
use super::scratch::Scratch;
use crate::backend::AttentionShape;
use crate::context::Context;
use crate::cpu::view::RowsMut;

/// Queries of a task: enough to pay for packing the keys, few enough to share out.
const TASK_QUERIES: usize = 64;
/// Keys of a block: their operands and scores stay in the nearest cache.
pub(super) const KEY_BLOCK: usize = 64;
/// The score of a key that is not seen.
const UNSEEN: f32 = f32::MIN;
/// The largest score before any was seen; above [`UNSEEN`], so that unseen keys count 0.
const NOTHING: f32 = -1e30;
const LANES_MOST: usize = MOST_COLUMNS * LANES;

/// The tensors of a call.
pub(super) struct Forward<'a> {
    pub(super) out: &'a HeadRowsMut<'a>,
    pub(super) lse_th: &'a RowsMut<'a, f32>,
    pub(super) q: &'a HeadRows<'a>,
    pub(super) k: &'a HeadRows<'a>,
    pub(super) v: &'a HeadRows<'a>,
    pub(super) shape: &'a AttentionShape<'a>,
}

/// Cuts the call into tasks and runs them.
pub(super) fn run<K: Kernel>(context: &Context, forward: &Forward<'_>) {
    let mut tasks = Vec::new();
    for (sequence, span) in forward.shape.sequences.iter().enumerate() {
        for key_head in 0..forward.k.heads() {
            for start in (0..span.query_count).step_by(TASK_QUERIES) {
                let queries = start..(start + TASK_QUERIES).min(span.query_count);
                let keys = 0..span.key_count - span.query_count + queries.end;
                tasks.push(Task { sequence, key_head, queries, keys, gradients: Gradients::None });
            }
        }
    }
    Task::sort(&mut tasks);
    context.for_each(tasks.len(), |index| {
        Scratch::with(|scratch| {
            // SAFETY: the context vouches for the instruction set, the shapes were checked, and
            // tasks write disjoint queries or heads.
            unsafe { K::forward_task(forward, &tasks[index], scratch) }
        });
    });
}

/// Buffers of one block of queries.
#[derive(Clone, Copy)]
struct State<C> {
    /// Queries across: cells along the width, a lane a column.
    q: *const C,
    /// The output so far, width × lanes.
    out: *mut f32,
    /// Per lane: largest score, sum, first and last key.
    largest: *mut f32,
    total: *mut f32,
    start: *const f32,
    end: *const f32,
}

/// Factors that turn a product of a query and a key into an exponent of 2.
#[derive(Clone, Copy)]
pub(super) struct Scores {
    /// `scale · log2 e`, or `scale / cap` when there is a cap.
    pub(super) inner: f32,
    /// `cap · log2 e`; 0 without a cap.
    pub(super) outer: f32,
}

impl Scores {
    pub(super) fn new(shape: &AttentionShape<'_>) -> Scores {
        match shape.soft_cap {
            None => Scores { inner: shape.scale * LOG2_E, outer: 0.0 },
            Some(cap) => Scores { inner: shape.scale / cap, outer: cap * LOG2_E },
        }
    }
}

/// One task: some queries of a sequence, with all heads that read one key/value head.
///
/// # Safety
/// As [`Kernel`]; no other thread writes these queries and heads.
#[inline(always)]
pub(super) unsafe fn run_task<K: Kernel>(forward: &Forward<'_>, task: &Task, scratch: &mut Scratch) {
    let visibility = Visibility::new(forward.shape, task.sequence);
    let span = visibility.span;
    let group = forward.q.heads() / forward.k.heads();
    let width = forward.q.head_width().next_multiple_of(LANES);
    let cells = width / K::PAIR;
    let mut blocks = Vec::new();
    Block::cut(&visibility, task.queries.clone(), group, &mut blocks);

    let lanes_total: usize = blocks.iter().map(|block| block.columns() * LANES).sum();
    let words = lanes_total * (cells + width + 4) + KEY_BLOCK * (2 * cells + width + 2 * LANES_MOST) + 2 * LANES * width + LANES_MOST;
    scratch.begin(words, 10 + 6 * blocks.len());
    let k_rows: *mut K::Cell = scratch.cut(KEY_BLOCK * cells);
    let v_rows: *mut K::Cell = scratch.cut(KEY_BLOCK * cells);
    let v_across: *mut K::Cell = if K::PAIR == 1 { v_rows } else { scratch.cut(KEY_BLOCK / K::PAIR * width) };
    let scores: *mut f32 = scratch.cut(KEY_BLOCK * LANES_MOST);
    let shares: *mut K::Cell = scratch.cut(KEY_BLOCK / K::PAIR * LANES_MOST);
    let factors: *mut f32 = scratch.cut(LANES_MOST);
    let lane_rows: *mut K::Cell = scratch.cut(LANES * width);
    let lane_values: *mut f32 = scratch.cut(LANES * width);

    // SAFETY: every buffer has room for what its comment says; rows and heads are checked by
    // the views; the instructions are vouched for by the caller.
    unsafe {
        let mut states = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let stride = block.columns() * LANES;
            let q: *mut K::Cell = scratch.cut(cells * stride);
            let row = |lane: usize| {
                let (query, head) = block.lane(lane);
                forward.q.head(span.query_start + query, task.key_head * group + head)
            };
            lanes_across::<K>(q, block, width, lane_rows, row);
            let out = scratch.cut(width * stride);
            let (largest, total): (*mut f32, *mut f32) = (scratch.cut(stride), scratch.cut(stride));
            let (start, end): (*mut f32, *mut f32) = (scratch.cut(stride), scratch.cut(stride));
            for lane in 0..stride {
                let keys = if lane < block.lanes { visibility.keys(block.lane(lane).0) } else { 0..0 };
                *start.add(lane) = keys.start as f32;
                *end.add(lane) = keys.end as f32;
                *largest.add(lane) = NOTHING;
                *total.add(lane) = 0.0;
            }
            states.push(State::<K::Cell> { q, out, largest, total, start, end });
        }

        let first_key = blocks.iter().map(|block| block.keys.start).min().unwrap_or(0);
        let last_key = blocks.iter().map(|block| block.keys.end).max().unwrap_or(0);
        for key_start in (first_key / KEY_BLOCK * KEY_BLOCK..last_key).step_by(KEY_BLOCK) {
            let keys = first_key.max(key_start) / GRAIN * GRAIN..last_key.min(key_start + KEY_BLOCK);
            load_keys::<K>(k_rows, forward.k, task.key_head, span.key_start, key_start, &keys, span.key_count, width);
            load_keys::<K>(v_rows, forward.v, task.key_head, span.key_start, key_start, &keys, span.key_count, width);
            rows_across::<K>(v_across, v_rows, keys.start - key_start, (keys.end - key_start).next_multiple_of(GRAIN), width);
            for (block, state) in blocks.iter().zip(&states) {
                // Rows of this block of keys that some lane sees, in whole grains.
                let first = block.keys.start.max(key_start) / GRAIN * GRAIN;
                let last = block.keys.end.min(key_start + KEY_BLOCK);
                if first >= last {
                    continue;
                }
                let rows = first - key_start..(last - key_start).next_multiple_of(GRAIN);
                let stride = block.columns() * LANES;
                K::product(&Product {
                    a: k_rows.add(rows.start * cells),
                    a_row_stride: cells,
                    a_cell_stride: 1,
                    b: state.q,
                    b_stride: stride,
                    cells,
                    c: scores.add(rows.start * stride),
                    c_stride: stride,
                    rows: rows.len(),
                    columns: block.columns(),
                    start: Start::Zero,
                });
                let common = block.common_keys.start.saturating_sub(key_start)..block.common_keys.end.saturating_sub(key_start);
                for column in 0..block.columns() {
                    let softmax = Softmax { rows: rows.clone(), common: common.clone(), key_start, stride, offset: column * LANES };
                    if forward.shape.soft_cap.is_some() {
                        softmax_block::<K, true>(&softmax, Scores::new(forward.shape), state, scores, shares, factors);
                    } else {
                        softmax_block::<K, false>(&softmax, Scores::new(forward.shape), state, scores, shares, factors);
                    }
                }
                let is_first = first <= block.keys.start;
                K::product(&Product {
                    a: v_across.add(rows.start / K::PAIR * width),
                    a_row_stride: 1,
                    a_cell_stride: width,
                    b: shares.add(rows.start / K::PAIR * stride),
                    b_stride: stride,
                    cells: rows.len() / K::PAIR,
                    c: state.out,
                    c_stride: stride,
                    rows: width,
                    columns: block.columns(),
                    start: if is_first { Start::Zero } else { Start::Scaled(factors) },
                });
            }
        }
        for (block, state) in blocks.iter().zip(&states) {
            finish::<K>(forward, task, block, state, group, width, lane_values);
        }
    }
}

/// Where the softmax of one vector of lanes lies.
struct Softmax {
    rows: Range<usize>,
    /// Rows that every lane sees.
    common: Range<usize>,
    key_start: usize,
    stride: usize,
    offset: usize,
}

/// Turns a block of scores into shares of the softmax, against the largest score so far.
#[inline(always)]
unsafe fn softmax_block<K: Kernel, const CAPPED: bool>(
    softmax: &Softmax,
    factors: Scores,
    state: &State<K::Cell>,
    scores: *mut f32,
    shares: *mut K::Cell,
    corrections: *mut f32,
) {
    let Softmax { rows, common, key_start, stride, offset } = softmax;
    let (stride, offset) = (*stride, *offset);
    // SAFETY: passed on to the caller.
    unsafe {
        let (inner, outer) = (K::splat(factors.inner), K::splat(factors.outer));
        let (start, end) = (K::load(state.start.add(offset)), K::load(state.end.add(offset)));
        let before = K::load(state.largest.add(offset));
        let unseen = K::splat(UNSEEN);
        let mut largest = before;
        for row in rows.clone() {
            let at = scores.add(row * stride + offset);
            let mut score = K::multiply(K::load(at), inner);
            if CAPPED {
                score = K::multiply(K::tanh(score), outer);
            }
            if !common.contains(&row) {
                score = K::keep(score, (key_start + row) as f32, start, end, unseen);
            }
            K::store(at, score);
            largest = K::larger(score, largest);
        }
        let correction = K::exp2(K::subtract(before, largest));
        let mut total = K::splat(0.0);
        for row in rows.clone().step_by(2) {
            let first = K::exp2(K::subtract(K::load(scores.add(row * stride + offset)), largest));
            let second = K::exp2(K::subtract(K::load(scores.add((row + 1) * stride + offset)), largest));
            total = K::add(total, K::add(first, second));
            K::store_across(shares.add(row / K::PAIR * stride + offset), stride, first, second);
        }
        K::store(state.total.add(offset), K::multiply_add(K::load(state.total.add(offset)), correction, total));
        K::store(state.largest.add(offset), largest);
        K::store(corrections.add(offset), correction);
    }
}

/// Divides by the sums and writes the rows.
#[inline(always)]
unsafe fn finish<K: Kernel>(
    forward: &Forward<'_>,
    task: &Task,
    block: &Block,
    state: &State<K::Cell>,
    group: usize,
    width: usize,
    lane_values: *mut f32,
) {
    let stride = block.columns() * LANES;
    let span = forward.shape.sequences[task.sequence];
    // SAFETY: passed on to the caller.
    unsafe {
        for column in 0..block.columns() {
            let offset = column * LANES;
            let share = K::divide(K::splat(1.0), K::load(state.total.add(offset)));
            for index in 0..width {
                let at = state.out.add(index * stride + offset);
                K::store(at, K::multiply(K::load(at), share));
            }
            for index in (0..width).step_by(LANES) {
                K::transpose(lane_values.add(index).cast(), width, state.out.add(index * stride + offset).cast(), stride);
            }
            for lane in offset..block.lanes.min(offset + LANES) {
                let (query, head) = block.lane(lane);
                let (row, head) = (span.query_start + query, task.key_head * group + head);
                forward.out.write_head(row, head, std::slice::from_raw_parts(lane_values.add((lane - offset) * width), width));
                let lse = f64::from(*state.largest.add(lane)) + f64::from(*state.total.add(lane)).log2();
                *forward.lse_th.pointer().add(row * forward.lse_th.row_stride + head) = (lse * f64::from(LN_2)) as f32;
            }
        }
    }
}

/// Brings rows of one head of keys or values into cells along the width; rows past the last key
/// become 0. Row `key_start` of the sequence is row 0 of `into`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call site a tensor, all of it needed")]
pub(super) unsafe fn load_keys<K: Kernel>(
    into: *mut K::Cell,
    from: &HeadRows<'_>,
    head: usize,
    first_row: usize,
    key_start: usize,
    keys: &Range<usize>,
    key_count: usize,
    width: usize,
) {
    let cells = width / K::PAIR;
    for key in keys.start..keys.end.next_multiple_of(GRAIN) {
        // SAFETY: the caller's buffer has a whole number of grains.
        unsafe {
            let row = into.add((key - key_start) * cells);
            if key < key_count {
                K::load_row(row, from.head(first_row + key, head), width);
            } else {
                std::slice::from_raw_parts_mut(row, cells).fill(K::Cell::default());
            }
        }
    }
}

/// Cells across pairs of rows, from cells along each row; nothing to do where a cell is a value.
#[inline(always)]
pub(super) unsafe fn rows_across<K: Kernel>(into: *mut K::Cell, from: *const K::Cell, first: usize, last: usize, width: usize) {
    if K::PAIR == 1 {
        return;
    }
    let cells = width / K::PAIR;
    for row in (first..last).step_by(2) {
        // SAFETY: passed on to the caller.
        unsafe { K::across(into.add(row / 2 * width), from.add(row * cells), from.add((row + 1) * cells), width) };
    }
}

/// Brings one row a lane into cells along the width, a lane a column. `lane_rows` has room for
/// 16 rows.
#[inline(always)]
pub(super) unsafe fn lanes_across<'a, K: Kernel>(
    into: *mut K::Cell,
    block: &Block,
    width: usize,
    lane_rows: *mut K::Cell,
    row: impl Fn(usize) -> super::heads::HeadSlice<'a>,
) {
    // A transpose reads 16 cells of a row at once, so rows are a multiple of that apart.
    let (cells, row_stride) = (width / K::PAIR, (width / K::PAIR).next_multiple_of(LANES));
    let stride = block.columns() * LANES;
    for offset in (0..stride).step_by(LANES) {
        // SAFETY: passed on to the caller; a cell is a word.
        unsafe {
            for lane in 0..LANES {
                let lane_row = lane_rows.add(lane * row_stride);
                if offset + lane < block.lanes {
                    K::load_row(lane_row, row(offset + lane), width);
                } else {
                    std::slice::from_raw_parts_mut(lane_row, cells).fill(K::Cell::default());
                }
            }
            let mut cell = 0;
            while cell + LANES <= cells {
                K::transpose(into.add(cell * stride + offset).cast(), stride, lane_rows.add(cell).cast(), row_stride);
                cell += LANES;
            }
            for cell in cell..cells {
                for lane in 0..LANES {
                    *into.add(cell * stride + offset + lane) = *lane_rows.add(lane * row_stride + cell);
                }
            }
        }
    }
}
