//! Slow reference of matrix products.

use super::Matrix;

/// The transpose.
pub fn transpose(x: &Matrix) -> Matrix {
    Matrix::from_fn(x.columns, x.rows, |row, column| x.at(column, row))
}

/// `scale · left · right`.
pub fn product(left: &Matrix, right: &Matrix, scale: f64) -> Matrix {
    assert_eq!(left.columns, right.rows, "product: inner axes differ");
    Matrix::from_fn(left.rows, right.columns, |row, column| {
        scale * (0..left.columns).map(|inner| left.at(row, inner) * right.at(inner, column)).sum::<f64>()
    })
}
