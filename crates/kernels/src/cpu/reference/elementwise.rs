//! Slow references of the operations by element, row and column.

use super::Matrix;
use crate::cpu::random::{Random, uniform};

/// `scale · x`.
pub fn copy(x: &Matrix, scale: f64) -> Matrix {
    x.map(|value| scale * value)
}

/// `a · b` by element; a single row `b` multiplies every row.
pub fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix::from_fn(a.rows, a.columns, |row, column| a.at(row, column) * b.at(if b.rows == 1 { 0 } else { row }, column))
}

/// `scale · Σ_t a · b`, one row.
pub fn column_sum(a: &Matrix, b: Option<&Matrix>, scale: f64) -> Matrix {
    Matrix::from_fn(1, a.columns, |_, column| {
        scale * (0..a.rows).map(|row| a.at(row, column) * b.map_or(1.0, |b| b.at(row, column))).sum::<f64>()
    })
}

/// `Σ_n a · b`, one column.
pub fn row_dot(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix::from_fn(a.rows, 1, |row, _| (0..a.columns).map(|column| a.at(row, column) * b.at(row, column)).sum())
}

/// `a · factor`, one factor a row.
pub fn scale_rows(a: &Matrix, factor: &Matrix) -> Matrix {
    Matrix::from_fn(a.rows, a.columns, |row, column| a.at(row, column) * factor.at(row, 0))
}

/// Zeroes elements whose number is below `probability`, scales the rest.
pub fn dropout(x: &Matrix, probability: f32, seed: u64) -> Matrix {
    Matrix::from_fn(x.rows, x.columns, |row, column| {
        let number = uniform(Random::new(seed).stream((row * x.columns + column) as u64).bits(0));
        if number < probability { 0.0 } else { x.at(row, column) / (1.0 - f64::from(probability)) }
    })
}

/// Adds uniform noise.
pub fn add_noise(x: &Matrix, magnitude: &Matrix, seed: u64) -> Matrix {
    Matrix::from_fn(x.rows, x.columns, |row, column| {
        let number = uniform(Random::new(seed).stream((row * x.columns + column) as u64).bits(0));
        x.at(row, column) + (2.0 * f64::from(number) - 1.0) * magnitude.at(row, 0)
    })
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid(x: &Matrix) -> Matrix {
    x.map(|value| 1.0 / (1.0 + (-value).exp()))
}

/// `numerator / √squares`.
pub fn divide_by_root(numerator: &Matrix, squares: &Matrix) -> Matrix {
    Matrix::from_fn(numerator.rows, numerator.columns, |row, column| numerator.at(row, column) / squares.at(row, column).sqrt())
}
