//! The three products of the head.

use super::HeadMatrix;
use crate::context::Context;
use crate::cpu::view::{Rows, RowsMut};
use crate::dtype::Element;
use crate::instruction_set::vectorized;

/// `logits = x · weightᵀ`.
pub(super) fn forward(context: &Context, logits_cv: &RowsMut<'_, f32>, x_cd: HeadMatrix<'_>, weight_vd: HeadMatrix<'_>) {
    fn typed<X: Element, W: Element>(context: &Context, out: &RowsMut<'_, f32>, x: Rows<'_, X>, weight: Rows<'_, W>) {
        context.for_each(out.rows, |row| {
            let x_d: Vec<f32> = x.row(row).iter().map(|value| value.to_f32()).collect();
            // SAFETY: each task writes its own row.
            for (column, out) in unsafe { out.row(row) }.iter_mut().enumerate() {
                *out = dot(context.instruction_set(), &x_d, weight.row(column));
            }
        });
    }
    match (x_cd, weight_vd) {
        (HeadMatrix::F32(x), HeadMatrix::F32(weight)) => typed(context, logits_cv, x, weight),
        (HeadMatrix::F32(x), HeadMatrix::Bf16(weight)) => typed(context, logits_cv, x, weight),
        (HeadMatrix::Bf16(x), HeadMatrix::F32(weight)) => typed(context, logits_cv, x, weight),
        (HeadMatrix::Bf16(x), HeadMatrix::Bf16(weight)) => typed(context, logits_cv, x, weight),
    }
}

/// `dx = dlogits · weight`.
pub(super) fn input_gradient(context: &Context, dx_cd: &RowsMut<'_, f32>, dlogits_cv: HeadMatrix<'_>, weight_vd: HeadMatrix<'_>) {
    fn typed<T: Element>(context: &Context, dx: &RowsMut<'_, f32>, dlogits: Rows<'_, T>, weight: Rows<'_, T>) {
        context.for_each(dx.rows, |row| {
            // SAFETY: each task writes its own row.
            let dx_d = unsafe { dx.row(row) };
            dx_d.fill(0.0);
            for (column, factor) in dlogits.row(row).iter().enumerate() {
                add_scaled(context.instruction_set(), dx_d, weight.row(column), factor.to_f32());
            }
        });
    }
    match (dlogits_cv, weight_vd) {
        (HeadMatrix::F32(dlogits), HeadMatrix::F32(weight)) => typed(context, dx_cd, dlogits, weight),
        (HeadMatrix::Bf16(dlogits), HeadMatrix::Bf16(weight)) => typed(context, dx_cd, dlogits, weight),
        _ => unreachable!("gradients of logits have the type of the weight"),
    }
}

/// `dweight += dlogitsᵀ · x`.
pub(super) fn weight_gradient(context: &Context, dweight_vd: &RowsMut<'_, f32>, dlogits_cv: HeadMatrix<'_>, x_cd: HeadMatrix<'_>) {
    fn typed<T: Element>(context: &Context, dweight: &RowsMut<'_, f32>, dlogits: Rows<'_, T>, x: Rows<'_, T>) {
        context.for_each(dweight.rows, |column| {
            // SAFETY: each task writes its own row of the weight.
            let dweight_d = unsafe { dweight.row(column) };
            for row in 0..x.rows {
                add_scaled(context.instruction_set(), dweight_d, x.row(row), dlogits.row(row)[column].to_f32());
            }
        });
    }
    match (dlogits_cv, x_cd) {
        (HeadMatrix::F32(dlogits), HeadMatrix::F32(x)) => typed(context, dweight_vd, dlogits, x),
        (HeadMatrix::Bf16(dlogits), HeadMatrix::Bf16(x)) => typed(context, dweight_vd, dlogits, x),
        _ => unreachable!("gathered rows have the type of the weight"),
    }
}

vectorized! {
    fn dot<T: Element>(a: &[f32], b: &[T]) -> f32 {
        let mut lanes = [0f32; 16];
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += a * b.to_f32();
            }
        }
        lanes.iter().sum()
    }
}

vectorized! {
    fn add_scaled<T: Element>(out: &mut [f32], from: &[T], factor: f32) {
        for (out, from) in out.iter_mut().zip(from) {
            *out += factor * from.to_f32();
        }
    }
}
