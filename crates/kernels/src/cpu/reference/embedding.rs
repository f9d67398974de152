//! Slow references of the look-up of rows by id.

use super::Matrix;

/// `scale · table[ids]`.
pub fn embed(table: &Matrix, ids: &[u32], scale: f64) -> Matrix {
    Matrix::from_fn(ids.len(), table.columns, |row, column| scale * table.at(ids[row] as usize, column))
}

/// `scale · Σ dx` of the rows of each id, as a table of `rows`.
pub fn embed_backward(rows: usize, dx: &Matrix, ids: &[u32], scale: f64) -> Matrix {
    let mut dtable = Matrix::zeros(rows, dx.columns);
    for (row, id) in ids.iter().enumerate() {
        for column in 0..dx.columns {
            dtable.add(*id as usize, column, scale * dx.at(row, column));
        }
    }
    dtable
}
