//! The slow truth: three loops, summed in F64, nothing rounded but the result.

use crate::context::Context;
use crate::dtype::Element;

use super::operand::{MatrixRef, Output, Product};

fn element(matrix: &MatrixRef, row: usize, column: usize) -> f64 {
    f64::from(matrix.data.get(row * matrix.row_stride + column * matrix.column_stride))
}

/// Computes one product, its rows on all threads.
pub(super) fn product(context: &Context, product: &Product) {
    context.for_each(product.output.rows(), |row| {
        for column in 0..product.output.columns() {
            let mut sum = product.epilogue.bias.map_or(0.0, |bias| f64::from(bias.get(column)));
            for term in product.terms {
                let dot: f64 = (0..term.left.columns).map(|k| element(&term.left, row, k) * element(&term.right, k, column)).sum();
                sum += f64::from(term.scale) * dot;
            }
            // SAFETY: each row is one task's, and checked shapes keep it inside the output.
            unsafe {
                match &product.output {
                    Output::F32(rows) => write(&mut rows.row(row)[column], sum, product.epilogue.accumulate),
                    Output::Bf16(rows) => write(&mut rows.row(row)[column], sum, product.epilogue.accumulate),
                }
            }
        }
    });
}

fn write<T: Element>(place: &mut T, sum: f64, accumulate: bool) {
    let before = if accumulate { f64::from(place.to_f32()) } else { 0.0 };
    *place = T::from_f32((before + sum) as f32);
}
