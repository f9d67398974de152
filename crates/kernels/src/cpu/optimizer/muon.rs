//! Muon: momentum whose singular values are all brought near 1 by Newton-Schulz steps.
//!
//! Conventions are those of `torch.optim.Muon` with its default scaling, `sqrt(max(1, rows /
//! columns))` times the learning rate; to match the size of AdamW's updates instead, multiply
//! the learning rate by `0.2 · sqrt(max(rows, columns)) / sqrt(max(1, rows / columns))`. The
//! products are in f32, where PyTorch rounds to bf16.

use super::rules::{join, split};
use super::{Moment, Update, Weight};
use crate::context::Context;
use crate::cpu::view::RowsMut;
use crate::instruction_set::vectorized;

/// Coefficients of the quintic step. Jordan et al. 2024.
const QUINTIC: (f32, f32, f32) = (3.4445, -4.775, 2.0315);
const STEPS: usize = 5;
/// Least norm to divide by.
const EPSILON: f64 = 1e-7;

/// Updates one matrix.
pub(super) fn step(context: &Context, update: &mut Update<'_>, gradient_factor: f32, momentum: f32, nesterov: bool) {
    let (rows, columns) = (update.rows, update.columns);
    let Moment::F32(buffer) = &mut update.first else { panic!("optimizer_step: Muon keeps its momentum in f32") };
    assert!(
        rows * columns == update.weight.len() && buffer.len() == update.weight.len() && update.gradient.len() == update.weight.len(),
        "optimizer_step: Muon found states that do not fit {rows} × {columns}"
    );
    let wide = rows <= columns;
    let (short, long) = if wide { (rows, columns) } else { (columns, rows) };
    let mut x_sl = vec![0f32; short * long];
    for row in 0..rows {
        for column in 0..columns {
            let index = row * columns + column;
            let gradient = update.gradient[index] * gradient_factor;
            buffer[index] += (gradient - buffer[index]) * (1.0 - momentum);
            let direction = if nesterov { buffer[index] - (buffer[index] - gradient) * (1.0 - momentum) } else { buffer[index] };
            x_sl[if wide { index } else { column * rows + row }] = direction;
        }
    }
    orthogonalize(context, &mut x_sl, short, long);
    let keep = (1.0 - f64::from(update.learning_rate) * f64::from(update.weight_decay)) as f32;
    let ratio = (rows as f64 / columns as f64).max(1.0).sqrt();
    let step_size = (f64::from(update.learning_rate) * ratio) as f32;
    let mut masters = Vec::new();
    let weight: &mut [f32] = match &mut update.weight {
        Weight::F32(weight) => weight,
        Weight::Split(weight, remainder) => {
            masters.resize(weight.len(), 0.0);
            join(context.instruction_set(), weight, remainder, &mut masters);
            &mut masters
        }
    };
    for row in 0..rows {
        for column in 0..columns {
            let index = row * columns + column;
            weight[index] = weight[index] * keep - step_size * x_sl[if wide { index } else { column * rows + row }];
        }
    }
    if let Weight::Split(weight, remainder) = &mut update.weight {
        split(context.instruction_set(), &masters, weight, remainder);
    }
}

/// Brings the singular values of `x` near 1: five times `x = a·x + (b·g + c·g²)·x`, `g = x·xᵀ`.
fn orthogonalize(context: &Context, x_sl: &mut Vec<f32>, short: usize, long: usize) {
    let norm = x_sl.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt().max(EPSILON) as f32;
    x_sl.iter_mut().for_each(|value| *value /= norm);
    let (a, b, c) = QUINTIC;
    let mut gram_ss = vec![0f32; short * short];
    let mut polynomial_ss = vec![0f32; short * short];
    let mut next_sl = vec![0f32; short * long];
    for _ in 0..STEPS {
        let mut x_ls = vec![0f32; short * long];
        for row in 0..short {
            for column in 0..long {
                x_ls[column * short + row] = x_sl[row * long + column];
            }
        }
        product(context, &mut gram_ss, x_sl, &x_ls, short, long, short);
        product(context, &mut polynomial_ss, &gram_ss, &gram_ss, short, short, short);
        for (polynomial, gram) in polynomial_ss.iter_mut().zip(&gram_ss) {
            *polynomial = b * gram + c * *polynomial;
        }
        product(context, &mut next_sl, &polynomial_ss, x_sl, short, short, long);
        for (next, x) in next_sl.iter_mut().zip(x_sl.iter()) {
            *next += a * x;
        }
        std::mem::swap(x_sl, &mut next_sl);
    }
}

/// `out_mn = left_mk · right_kn`, a row of the output a task.
fn product(context: &Context, out_mn: &mut [f32], left_mk: &[f32], right_kn: &[f32], m: usize, k: usize, n: usize) {
    let out = RowsMut::dense(out_mn, m, n);
    context.for_each(m, |row| {
        // SAFETY: each task writes its own row.
        let out_n = unsafe { out.row(row) };
        row_product(context.instruction_set(), out_n, &left_mk[row * k..(row + 1) * k], right_kn);
    });
}

vectorized! {
    fn row_product(out_n: &mut [f32], left_k: &[f32], right_kn: &[f32]) {
        out_n.fill(0.0);
        for (left, right_n) in left_k.iter().zip(right_kn.chunks_exact(out_n.len())) {
            for (out, right) in out_n.iter_mut().zip(right_n) {
                *out += left * right;
            }
        }
    }
}
