//! Operations that treat elements, rows or columns alike: copies, products by element, sums over
//! rows and columns, masks and noise.

use crate::cpu::buffers::{expect_apart, expect_apart_or_same, expect_shape};
use crate::cpu::functions::{Arithmetic, sigmoid as sigmoid_of, with_arithmetic};
use crate::cpu::lanes;
use crate::cpu::operand::CHUNK;
use crate::cpu::random::{Random, uniform};
use crate::cpu::reference::elementwise as reference;
use crate::cpu::work::{Leaves, Work, flatten, for_leaves, for_row_ranges, for_tiles};
use crate::instruction_set::vectorized;
use crate::tensor::Tensor;

type Scratch<const N: usize> = [[f32; CHUNK]; N];

pub(super) fn fill(work: &Work<'_>, out: Tensor, value: f32) {
    let mut sink = work.buffers.sink("fill", out);
    flatten(&mut sink, []);
    let set = work.instruction_set();
    for_tiles(
        work.context,
        sink.rows,
        sink.columns,
        || [value; CHUNK],
        |values, tile| {
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, &values[..tile.count]) };
        },
    );
}

pub(super) fn copy(work: &Work<'_>, out: Tensor, x: Tensor, scale: f32, accumulate: bool) {
    expect_shape("copy", "out", out, x.rows, x.columns);
    expect_apart_or_same("copy", out, &[x]);
    if out.dtype == x.dtype && scale == 1.0 && !accumulate {
        return copy_bytes(work, out, x);
    }
    if work.is_scalar() {
        let result = reference::copy(&work.matrix("copy", x), f64::from(scale));
        return work.put("copy", out, &result, accumulate);
    }
    let (mut sink, mut source) = (work.buffers.sink("copy", out), work.buffers.source("copy", x));
    flatten(&mut sink, [&mut source]);
    let set = work.instruction_set();
    for_tiles(
        work.context,
        sink.rows,
        sink.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            source.load(set, tile.row, tile.start, values);
            if scale != 1.0 {
                lanes::scale(set, values, scale);
            }
            // SAFETY: tiles are disjoint.
            unsafe { sink.put(set, tile.row, tile.start, values, accumulate) };
        },
    );
}

/// Moves elements of any type unchanged.
fn copy_bytes(work: &Work<'_>, out: Tensor, x: Tensor) {
    let (to, from) = (work.buffers.byte_rows("copy", out), work.buffers.byte_rows("copy", x));
    for_row_ranges(work.context, x.rows, to.columns, |rows| {
        for row in rows {
            // SAFETY: both views cover the row; it is written by this task alone. The two may be
            // the same place, which `copy` allows.
            unsafe { std::ptr::copy(from.pointer().add(row * from.row_stride), to.pointer().add(row * to.row_stride), to.columns) };
        }
    });
}

pub(super) fn multiply(work: &Work<'_>, out: Tensor, a: Tensor, b: Tensor, accumulate: bool) {
    let is_row = b.rows == 1 && a.rows != 1;
    expect_shape("multiply", "out", out, a.rows, a.columns);
    expect_shape("multiply", "b", b, if is_row { 1 } else { a.rows }, a.columns);
    expect_apart_or_same("multiply", out, &[a, b]);
    if work.is_scalar() {
        let result = reference::multiply(&work.matrix("multiply", a), &work.matrix("multiply", b));
        return work.put("multiply", out, &result, accumulate);
    }
    let mut sink = work.buffers.sink("multiply", out);
    let (mut left, mut right) = (work.buffers.source("multiply", a), work.buffers.source("multiply", b));
    if !is_row {
        flatten(&mut sink, [&mut left, &mut right]);
    }
    let set = work.instruction_set();
    let scratch = || -> Scratch<2> { [[0.0; CHUNK]; 2] };
    for_tiles(work.context, sink.rows, sink.columns, scratch, |[x, y], tile| {
        let (x, y) = (&mut x[..tile.count], &mut y[..tile.count]);
        left.load(set, tile.row, tile.start, x);
        right.load(set, if is_row { 0 } else { tile.row }, tile.start, y);
        lanes::multiply(set, x, y);
        // SAFETY: tiles are disjoint.
        unsafe { sink.put(set, tile.row, tile.start, x, accumulate) };
    });
}

pub(super) fn column_sum(work: &Work<'_>, out: Tensor, a: Tensor, b: Option<Tensor>, scale: f32) {
    expect_shape("column_sum", "out", out, 1, a.columns);
    if let Some(b) = b {
        expect_shape("column_sum", "b", b, a.rows, a.columns);
        expect_apart("column_sum", &[out], &[b]);
    }
    expect_apart("column_sum", &[out], &[a]);
    if work.is_scalar() {
        let b = work.optional_matrix("column_sum", b);
        let result = reference::column_sum(&work.matrix("column_sum", a), b.as_ref(), f64::from(scale));
        return work.put("column_sum", out, &result, true);
    }
    let set = work.instruction_set();
    let left = work.buffers.source("column_sum", a);
    let right = b.map(|b| work.buffers.source("column_sum", b));
    let mut leaves = Leaves::new(a.rows, a.columns);
    let sums = leaves.rows();
    for_leaves(work.context, a.rows, a.columns, |leaf, rows| {
        // SAFETY: each task has its own leaf.
        let sum = unsafe { sums.row(leaf) };
        let [mut x, mut y]: Scratch<2> = [[0.0; CHUNK]; 2];
        for row in rows {
            for (index, sum) in sum.chunks_mut(CHUNK).enumerate() {
                let (x, y) = (&mut x[..sum.len()], &mut y[..sum.len()]);
                left.load(set, row, index * CHUNK, x);
                if let Some(right) = &right {
                    right.load(set, row, index * CHUNK, y);
                    lanes::multiply(set, x, y);
                }
                crate::cpu::operand::add(set, sum, x);
            }
        }
    });
    let mut total = leaves.sum(set);
    lanes::scale(set, &mut total, scale);
    let sink = work.buffers.sink("column_sum", out);
    // SAFETY: one thread writes.
    unsafe { sink.put(set, 0, 0, &mut total, true) };
}

pub(super) fn row_dot(work: &Work<'_>, out: Tensor, a: Tensor, b: Tensor) {
    expect_shape("row_dot", "out", out, a.rows, 1);
    expect_shape("row_dot", "b", b, a.rows, a.columns);
    expect_apart("row_dot", &[out], &[a, b]);
    if work.is_scalar() {
        return work.put("row_dot", out, &reference::row_dot(&work.matrix("row_dot", a), &work.matrix("row_dot", b)), false);
    }
    let sink = work.buffers.sink("row_dot", out);
    let (left, right) = (work.buffers.source("row_dot", a), work.buffers.source("row_dot", b));
    let set = work.instruction_set();
    for_row_ranges(work.context, a.rows, a.columns, |rows| {
        let [mut x, mut y]: Scratch<2> = [[0.0; CHUNK]; 2];
        for row in rows {
            let mut sum = 0.0;
            for start in (0..a.columns).step_by(CHUNK) {
                let count = CHUNK.min(a.columns - start);
                let (x, y) = (&mut x[..count], &mut y[..count]);
                left.load(set, row, start, x);
                right.load(set, row, start, y);
                sum += lanes::dot(set, x, y);
            }
            // SAFETY: each row is written by one task.
            unsafe { sink.store(set, row, 0, &[sum]) };
        }
    });
}

pub(super) fn scale_rows(work: &Work<'_>, out: Tensor, a: Tensor, factor: Tensor, accumulate: bool) {
    expect_shape("scale_rows", "out", out, a.rows, a.columns);
    expect_shape("scale_rows", "factor", factor, a.rows, 1);
    expect_apart_or_same("scale_rows", out, &[a]);
    expect_apart("scale_rows", &[out], &[factor]);
    if work.is_scalar() {
        let result = reference::scale_rows(&work.matrix("scale_rows", a), &work.matrix("scale_rows", factor));
        return work.put("scale_rows", out, &result, accumulate);
    }
    let sink = work.buffers.sink("scale_rows", out);
    let (source, factors) = (work.buffers.source("scale_rows", a), work.buffers.source("scale_rows", factor));
    let set = work.instruction_set();
    for_tiles(
        work.context,
        sink.rows,
        sink.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            let mut factor = [0.0];
            source.load(set, tile.row, tile.start, values);
            factors.load(set, tile.row, 0, &mut factor);
            lanes::scale(set, values, factor[0]);
            // SAFETY: tiles are disjoint.
            unsafe { sink.put(set, tile.row, tile.start, values, accumulate) };
        },
    );
}

pub(super) fn dropout(work: &Work<'_>, out: Tensor, x: Tensor, probability: f32, seed: u64) {
    expect_shape("dropout", "out", out, x.rows, x.columns);
    expect_apart_or_same("dropout", out, &[x]);
    if work.is_scalar() {
        return work.put("dropout", out, &reference::dropout(&work.matrix("dropout", x), probability, seed), false);
    }
    let (mut sink, mut source) = (work.buffers.sink("dropout", out), work.buffers.source("dropout", x));
    flatten(&mut sink, [&mut source]);
    let set = work.instruction_set();
    let columns = sink.columns;
    for_tiles(
        work.context,
        sink.rows,
        columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            source.load(set, tile.row, tile.start, values);
            mask(set, values, Random::new(seed), (tile.row * columns + tile.start) as u64, probability);
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, values) };
        },
    );
}

pub(super) fn add_noise(work: &Work<'_>, x: Tensor, magnitude: Tensor, seed: u64) {
    expect_shape("add_noise", "magnitude", magnitude, x.rows, 1);
    expect_apart("add_noise", &[x], &[magnitude]);
    if work.is_scalar() {
        let result = reference::add_noise(&work.matrix("add_noise", x), &work.matrix("add_noise", magnitude), seed);
        return work.put("add_noise", x, &result, false);
    }
    let (sink, magnitudes) = (work.buffers.sink("add_noise", x), work.buffers.source("add_noise", magnitude));
    let source = sink.source();
    let set = work.instruction_set();
    for_tiles(
        work.context,
        x.rows,
        x.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            let mut magnitude = [0.0];
            source.load(set, tile.row, tile.start, values);
            magnitudes.load(set, tile.row, 0, &mut magnitude);
            noise(set, values, Random::new(seed), (tile.row * x.columns + tile.start) as u64, magnitude[0]);
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, values) };
        },
    );
}

pub(super) fn divide_by_root(work: &Work<'_>, out: Tensor, numerator: Tensor, squares: Tensor) {
    const NAME: &str = "divide_by_root";
    expect_shape(NAME, "out", out, numerator.rows, numerator.columns);
    expect_shape(NAME, "squares", squares, numerator.rows, numerator.columns);
    expect_apart_or_same(NAME, out, &[numerator, squares]);
    if work.is_scalar() {
        return work.put(NAME, out, &reference::divide_by_root(&work.matrix(NAME, numerator), &work.matrix(NAME, squares)), false);
    }
    let mut sink = work.buffers.sink(NAME, out);
    let (mut numerator, mut squares) = (work.buffers.source(NAME, numerator), work.buffers.source(NAME, squares));
    flatten(&mut sink, [&mut numerator, &mut squares]);
    let set = work.instruction_set();
    let scratch = || -> Scratch<2> { [[0.0; CHUNK]; 2] };
    for_tiles(work.context, sink.rows, sink.columns, scratch, |[x, y], tile| {
        let (x, y) = (&mut x[..tile.count], &mut y[..tile.count]);
        numerator.load(set, tile.row, tile.start, x);
        squares.load(set, tile.row, tile.start, y);
        divide_roots(set, x, y);
        // SAFETY: tiles are disjoint.
        unsafe { sink.store(set, tile.row, tile.start, x) };
    });
}

pub(super) fn sigmoid(work: &Work<'_>, out: Tensor, x: Tensor) {
    expect_shape("sigmoid", "out", out, x.rows, x.columns);
    expect_apart_or_same("sigmoid", out, &[x]);
    if work.is_scalar() {
        return work.put("sigmoid", out, &reference::sigmoid(&work.matrix("sigmoid", x)), false);
    }
    let (mut sink, mut source) = (work.buffers.sink("sigmoid", out), work.buffers.source("sigmoid", x));
    flatten(&mut sink, [&mut source]);
    let set = work.instruction_set();
    for_tiles(
        work.context,
        sink.rows,
        sink.columns,
        || [0.0; CHUNK],
        |values, tile| {
            let values = &mut values[..tile.count];
            source.load(set, tile.row, tile.start, values);
            with_arithmetic!(sigmoids, set, values);
            // SAFETY: tiles are disjoint.
            unsafe { sink.store(set, tile.row, tile.start, values) };
        },
    );
}

vectorized! {
    fn divide_roots(values: &mut [f32], squares: &[f32]) {
        for (value, square) in values.iter_mut().zip(squares) {
            *value /= square.sqrt();
        }
    }
}

vectorized! {
    fn sigmoids<A: Arithmetic>(_arithmetic: A, values: &mut [f32]) {
        for value in values {
            *value = sigmoid_of::<A>(*value);
        }
    }
}

vectorized! {
    fn mask(values: &mut [f32], random: Random, first: u64, probability: f32) {
        let scale = 1.0 / (1.0 - probability);
        random.for_each(first, values, |value, bits| {
            *value = if uniform(bits) >= probability { *value * scale } else { 0.0 };
        });
    }
}

vectorized! {
    fn noise(values: &mut [f32], random: Random, first: u64, magnitude: f32) {
        random.for_each(first, values, |value, bits| *value += (2.0 * uniform(bits) - 1.0) * magnitude);
    }
}
