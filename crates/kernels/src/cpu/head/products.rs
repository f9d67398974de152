//! The three products of the head.

use super::HeadMatrix;
use crate::context::Context;
use crate::cpu::matmul::{Epilogue, MatrixRef, Output, Term, product};
use crate::cpu::view::{Rows, RowsMut};

/// `logits = x · weightᵀ`.
pub(super) fn forward(context: &Context, logits_cv: &RowsMut<'_, f32>, x_cd: HeadMatrix<'_>, weight_vd: HeadMatrix<'_>) {
    let term = Term::new(matrix(&x_cd), matrix(&weight_vd).transposed());
    product(context, output(logits_cv), &[term], &Epilogue::default());
}

/// `dx = dlogits · weight`.
pub(super) fn input_gradient(context: &Context, dx_cd: &RowsMut<'_, f32>, dlogits_cv: HeadMatrix<'_>, weight_vd: HeadMatrix<'_>) {
    let term = Term::new(matrix(&dlogits_cv), matrix(&weight_vd));
    product(context, output(dx_cd), &[term], &Epilogue::default());
}

/// `dweight += dlogitsᵀ · x`.
pub(super) fn weight_gradient(context: &Context, dweight_vd: &RowsMut<'_, f32>, dlogits_cv: HeadMatrix<'_>, x_cd: HeadMatrix<'_>) {
    let term = Term::new(matrix(&dlogits_cv).transposed(), matrix(&x_cd));
    product(context, output(dweight_vd), &[term], &Epilogue { accumulate: true, bias: None });
}

fn matrix<'a>(view: &HeadMatrix<'a>) -> MatrixRef<'a> {
    match view {
        HeadMatrix::F32(rows) => MatrixRef::new(slice(rows), rows.rows, rows.columns, rows.row_stride),
        HeadMatrix::Bf16(rows) => MatrixRef::new(slice(rows), rows.rows, rows.columns, rows.row_stride),
    }
}

/// The memory from the first element to the last; products read only the rows in it.
fn slice<'a, T>(rows: &Rows<'a, T>) -> &'a [T] {
    let length = if rows.rows == 0 { 0 } else { (rows.rows - 1) * rows.row_stride + rows.columns };
    // SAFETY: from the first to the last element of one allocation, none of which is written
    // while the head reads.
    unsafe { std::slice::from_raw_parts(rows.pointer(), length) }
}

fn output<'a>(rows: &RowsMut<'a, f32>) -> Output<'a> {
    // SAFETY: the same rows, used by the product alone while it runs.
    Output::F32(unsafe { RowsMut::from_pointer(rows.pointer(), rows.rows, rows.columns, rows.row_stride) })
}
