//! Muon: momentum whose singular values are all brought near 1 by Newton-Schulz steps.
//!
//! Conventions are those of `torch.optim.Muon` with its default scaling, `sqrt(max(1, rows /
//! columns))` times the learning rate; to match the size of AdamW's updates instead, multiply
//! the learning rate by `0.2 · sqrt(max(rows, columns)) / sqrt(max(1, rows / columns))`. The
//! products are in f32, where PyTorch rounds to bf16.

use super::rules::{join, split};
use super::{Moment, Update, Weight};
use crate::context::Context;
use crate::cpu::matmul::{Epilogue, MatrixRef, Output, Term, product};
use crate::cpu::view::RowsMut;

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
        let x = MatrixRef::dense(x_sl.as_slice(), short, long);
        multiply(context, &mut gram_ss, Term::new(x, x.transposed()), false);
        let gram = MatrixRef::dense(gram_ss.as_slice(), short, short);
        polynomial_ss.iter_mut().zip(&gram_ss).for_each(|(polynomial, gram)| *polynomial = b * gram);
        multiply(context, &mut polynomial_ss, Term { scale: c, ..Term::new(gram, gram) }, true);
        next_sl.iter_mut().zip(x_sl.iter()).for_each(|(next, x)| *next = a * x);
        multiply(context, &mut next_sl, Term::new(MatrixRef::dense(polynomial_ss.as_slice(), short, short), x), true);
        std::mem::swap(x_sl, &mut next_sl);
    }
}

fn multiply(context: &Context, out_mn: &mut [f32], term: Term<'_>, accumulate: bool) {
    let output = Output::F32(RowsMut::dense(out_mn, term.left.rows(), term.right.columns()));
    product(context, output, &[term], &Epilogue { accumulate, bias: None });
}
