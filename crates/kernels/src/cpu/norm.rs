//! Normalisation of groups of columns, forward and backward, one pass over memory each.

use crate::backend::{NormKind, NormOptions};
use crate::cpu::buffers::{expect_apart, expect_apart_or_same, expect_shape};
use crate::cpu::lanes::{sum_of, sum_of_products};
use crate::cpu::operand::Source;
use crate::cpu::reference::norm as reference;
use crate::cpu::work::{Leaves, Work, for_leaves, for_row_ranges};
use crate::instruction_set::{InstructionSet, vectorized};
use crate::tensor::Tensor;

/// Checks what both directions share; returns the number of groups.
fn expect_groups(operation: &str, x: Tensor, stats: Tensor, parameters: &[Option<Tensor>], options: &NormOptions) -> usize {
    let width = options.group_columns;
    assert!(width > 0 && x.columns.is_multiple_of(width), "{operation}: found {} columns, expected a multiple of {width}", x.columns);
    let groups = x.columns / width;
    expect_shape(operation, "stats", stats, x.rows, 2 * groups);
    for parameter in parameters.iter().flatten() {
        let columns = if parameter.columns == width { width } else { x.columns };
        expect_shape(operation, "parameter", *parameter, 1, columns);
    }
    groups
}

/// A parameter in `f32`, or what stands for a missing one.
fn parameter(set: InstructionSet, source: Option<Source<'_>>, missing: f32, offset: f32, width: usize) -> Vec<f32> {
    let Some(source) = source else { return vec![missing; width] };
    let mut values = vec![0.0; source.columns];
    source.load_row(set, 0, &mut values);
    values.iter_mut().for_each(|value| *value += offset);
    values
}

pub(super) fn norm(
    work: &Work<'_>,
    out: Tensor,
    stats: Tensor,
    x: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    options: &NormOptions,
) {
    const NAME: &str = "norm";
    expect_groups(NAME, x, stats, &[weight, bias], options);
    expect_shape(NAME, "out", out, x.rows, x.columns);
    let parameters: Vec<Tensor> = [weight, bias].into_iter().flatten().collect();
    expect_apart(NAME, &[out, stats], &parameters);
    expect_apart(NAME, &[stats], &[x]);
    expect_apart_or_same(NAME, out, &[x]);
    if work.is_scalar() {
        let (weight, bias) = (work.optional_matrix(NAME, weight), work.optional_matrix(NAME, bias));
        let (out_values, stats_values) = reference::norm(&work.matrix(NAME, x), weight.as_ref(), bias.as_ref(), options);
        work.put(NAME, out, &out_values, false);
        return work.put(NAME, stats, &stats_values, false);
    }
    let set = work.instruction_set();
    let (sink, source) = (work.buffers.sink(NAME, out), work.buffers.source(NAME, x));
    let stats = work.buffers.rows_mut::<f32>(NAME, stats);
    let width = options.group_columns;
    let factor = parameter(set, weight.map(|weight| work.buffers.source(NAME, weight)), 1.0, options.weight_offset, width);
    let shift = parameter(set, bias.map(|bias| work.buffers.source(NAME, bias)), 0.0, 0.0, width);
    for_row_ranges(work.context, x.rows, x.columns, |rows| {
        let mut values = vec![0.0; x.columns];
        for row in rows {
            source.load_row(set, row, &mut values);
            // SAFETY: each row is written by one task.
            let stats = unsafe { stats.row(row) };
            forward_row(set, &mut values, stats, &factor, &shift, *options);
            // SAFETY: as above.
            unsafe { sink.store(set, row, 0, &values) };
        }
    });
}

#[expect(clippy::too_many_arguments, reason = "the operation has them")]
pub(super) fn norm_backward(
    work: &Work<'_>,
    dx: Tensor,
    accumulate: bool,
    dweight: Option<Tensor>,
    dbias: Option<Tensor>,
    dout: Tensor,
    x: Tensor,
    stats: Tensor,
    weight: Option<Tensor>,
    options: &NormOptions,
) {
    const NAME: &str = "norm_backward";
    expect_groups(NAME, x, stats, &[weight, dweight, dbias], options);
    expect_shape(NAME, "dx", dx, x.rows, x.columns);
    expect_shape(NAME, "dout", dout, x.rows, x.columns);
    let gradients: Vec<Tensor> = [dweight, dbias].into_iter().flatten().collect();
    let ins: Vec<Tensor> = [Some(x), Some(stats), weight].into_iter().flatten().collect();
    expect_apart(NAME, &gradients, &ins);
    expect_apart(NAME, &gradients, &[dx, dout]);
    expect_apart(NAME, &[dx], &ins);
    expect_apart_or_same(NAME, dx, &[dout]);
    if work.is_scalar() {
        let columns = gradients.first().map_or(options.group_columns, |gradient| gradient.columns);
        let weight = work.optional_matrix(NAME, weight);
        let (dout, x, stats) = (work.matrix(NAME, dout), work.matrix(NAME, x), work.matrix(NAME, stats));
        let (dx_values, dweight_values, dbias_values) = reference::norm_backward(&dout, &x, &stats, weight.as_ref(), columns, options);
        work.put(NAME, dx, &dx_values, accumulate);
        for (tensor, values) in [(dweight, dweight_values), (dbias, dbias_values)] {
            if let Some(tensor) = tensor {
                work.put(NAME, tensor, &values, true);
            }
        }
        return;
    }
    let set = work.instruction_set();
    let width = options.group_columns;
    let factor = parameter(set, weight.map(|weight| work.buffers.source(NAME, weight)), 1.0, options.weight_offset, width);
    let (sink, dout, source) = (work.buffers.sink(NAME, dx), work.buffers.source(NAME, dout), work.buffers.source(NAME, x));
    let stats = work.buffers.rows::<f32>(NAME, stats);
    let (dweight_columns, dbias_columns) = (dweight.map_or(0, |tensor| tensor.columns), dbias.map_or(0, |tensor| tensor.columns));
    let mut leaves = Leaves::new(x.rows, dweight_columns + dbias_columns);
    let sums = leaves.rows();
    for_leaves(work.context, x.rows, x.columns, |leaf, rows| {
        let mut none = [];
        // SAFETY: each task has its own leaf.
        let sum = if sums.columns == 0 { &mut none } else { unsafe { sums.row(leaf) } };
        let (dweight, dbias) = sum.split_at_mut(dweight_columns);
        let (mut gradient, mut values) = (vec![0.0; x.columns], vec![0.0; x.columns]);
        for row in rows {
            dout.load_row(set, row, &mut gradient);
            source.load_row(set, row, &mut values);
            backward_row(set, &mut gradient, &mut values, dweight, dbias, stats.row(row), &factor, *options);
            // SAFETY: each row is written by one task.
            unsafe { sink.put(set, row, 0, &mut gradient, accumulate) };
        }
    });
    let mut total = leaves.sum(set);
    let (dweight_total, dbias_total) = total.split_at_mut(dweight_columns);
    for (tensor, values) in [(dweight, dweight_total), (dbias, dbias_total)] {
        if let Some(tensor) = tensor {
            // SAFETY: one thread writes.
            unsafe { work.buffers.sink(NAME, tensor).put(set, 0, 0, values, true) };
        }
    }
}

/// The part of a parameter that belongs to a group.
#[inline(always)]
fn part(parameter: &[f32], group: usize, width: usize) -> &[f32] {
    if parameter.len() == width { parameter } else { &parameter[group * width..(group + 1) * width] }
}

vectorized! {
    fn forward_row(values: &mut [f32], stats: &mut [f32], factor: &[f32], shift: &[f32], options: NormOptions) {
        let width = options.group_columns;
        for ((group, values), stats) in values.chunks_exact_mut(width).enumerate().zip(stats.chunks_exact_mut(2)) {
            let mean = match options.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => sum_of(values, |value| value) / width as f32,
            };
            let square = sum_of(values, |value| (value - mean) * (value - mean)) / width as f32;
            let reciprocal = 1.0 / (square + options.epsilon).sqrt();
            stats[0] = mean;
            stats[1] = reciprocal;
            for ((value, factor), shift) in values.iter_mut().zip(part(factor, group, width)).zip(part(shift, group, width)) {
                *value = (*value - mean) * reciprocal * factor + shift;
            }
        }
    }
}

vectorized! {
    /// `gradient` comes as that of the output and leaves as that of the input; `values` is used up.
    fn backward_row(gradient: &mut [f32], values: &mut [f32], dweight: &mut [f32], dbias: &mut [f32], stats: &[f32], factor: &[f32], options: NormOptions) {
        let width = options.group_columns;
        let groups = gradient.chunks_exact_mut(width).zip(values.chunks_exact_mut(width)).zip(stats.chunks_exact(2));
        for (group, ((gradient, values), stats)) in groups.enumerate() {
            let (mean, reciprocal) = (stats[0], stats[1]);
            for value in values.iter_mut() {
                *value = (*value - mean) * reciprocal;
            }
            if !dweight.is_empty() {
                let start = if dweight.len() == width { 0 } else { group * width };
                for ((sum, gradient), value) in dweight[start..start + width].iter_mut().zip(&*gradient).zip(&*values) {
                    *sum += gradient * value;
                }
            }
            if !dbias.is_empty() {
                let start = if dbias.len() == width { 0 } else { group * width };
                for (sum, gradient) in dbias[start..start + width].iter_mut().zip(&*gradient) {
                    *sum += gradient;
                }
            }
            for (gradient, factor) in gradient.iter_mut().zip(part(factor, group, width)) {
                *gradient *= factor;
            }
            let along = sum_of_products(gradient, values) / width as f32;
            let level = match options.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => sum_of(gradient, |gradient| gradient) / width as f32,
            };
            for (gradient, value) in gradient.iter_mut().zip(&*values) {
                *gradient = reciprocal * (*gradient - level - value * along);
            }
        }
    }
}
