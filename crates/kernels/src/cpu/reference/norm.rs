//! Slow references of normalisation.

use super::Matrix;
use crate::backend::{NormKind, NormOptions};

/// Column of `weight` or `bias` that belongs to a column of `x`.
fn shared(matrix: &Matrix, column: usize) -> usize {
    column % matrix.columns
}

/// The normalised rows and their statistics.
pub fn norm(x: &Matrix, weight: Option<&Matrix>, bias: Option<&Matrix>, options: &NormOptions) -> (Matrix, Matrix) {
    let width = options.group_columns;
    let groups = x.columns / width;
    let mut stats = Matrix::zeros(x.rows, 2 * groups);
    for row in 0..x.rows {
        for group in 0..groups {
            let values: Vec<f64> = (0..width).map(|column| x.at(row, group * width + column)).collect();
            let mean = match options.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => values.iter().sum::<f64>() / width as f64,
            };
            let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
            stats.set(row, 2 * group, mean);
            stats.set(row, 2 * group + 1, 1.0 / (square + f64::from(options.epsilon)).sqrt());
        }
    }
    let out = Matrix::from_fn(x.rows, x.columns, |row, column| {
        let group = column / width;
        let normal = (x.at(row, column) - stats.at(row, 2 * group)) * stats.at(row, 2 * group + 1);
        let factor = weight.map_or(1.0, |weight| weight.at(0, shared(weight, column)) + f64::from(options.weight_offset));
        normal * factor + bias.map_or(0.0, |bias| bias.at(0, shared(bias, column)))
    });
    (out, stats)
}

/// Gradients of the input, of a weight and of a bias, the last two of `weight_columns`.
pub fn norm_backward(
    dout: &Matrix,
    x: &Matrix,
    stats: &Matrix,
    weight: Option<&Matrix>,
    weight_columns: usize,
    options: &NormOptions,
) -> (Matrix, Matrix, Matrix) {
    let width = options.group_columns;
    let mut dx = Matrix::zeros(x.rows, x.columns);
    let (mut dweight, mut dbias) = (Matrix::zeros(1, weight_columns), Matrix::zeros(1, weight_columns));
    for row in 0..x.rows {
        for group in 0..x.columns / width {
            let (mean, reciprocal) = (stats.at(row, 2 * group), stats.at(row, 2 * group + 1));
            let columns = group * width..(group + 1) * width;
            let normal = |column: usize| (x.at(row, column) - mean) * reciprocal;
            let factor =
                |column: usize| weight.map_or(1.0, |weight| weight.at(0, shared(weight, column)) + f64::from(options.weight_offset));
            let dnormal = |column: usize| dout.at(row, column) * factor(column);
            let along = columns.clone().map(|column| dnormal(column) * normal(column)).sum::<f64>() / width as f64;
            let level = match options.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => columns.clone().map(dnormal).sum::<f64>() / width as f64,
            };
            for column in columns {
                dx.set(row, column, reciprocal * (dnormal(column) - level - normal(column) * along));
                dweight.add(0, column % weight_columns, dout.at(row, column) * normal(column));
                dbias.add(0, column % weight_columns, dout.at(row, column));
            }
        }
    }
    (dx, dweight, dbias)
}
