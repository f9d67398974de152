//! The operations written the slow, obvious way, in `f64`: what the fast versions are tested
//! against, what finite differences are taken of, and what the scalar path runs.

pub mod activation;
pub mod elementwise;
pub mod embedding;
pub mod experts;
pub mod head;
pub mod norm;
pub mod product;
pub mod rotary;

/// Numbers in rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// One value for each place.
    pub fn from_fn(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> f64) -> Matrix {
        let values = (0..rows * columns).map(|index| value(index / columns, index % columns)).collect();
        Matrix { rows, columns, values }
    }

    /// One element.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        assert!(row < self.rows && column < self.columns, "matrix: no such element");
        self.values[row * self.columns + column]
    }

    /// Changes one element.
    pub fn set(&mut self, row: usize, column: usize, value: f64) {
        assert!(row < self.rows && column < self.columns, "matrix: no such element");
        self.values[row * self.columns + column] = value;
    }

    /// Adds to one element.
    pub fn add(&mut self, row: usize, column: usize, value: f64) {
        self.set(row, column, self.at(row, column) + value);
    }

    /// All elements, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// One value for each place, from the value that is there.
    pub fn map(&self, value: impl Fn(f64) -> f64) -> Matrix {
        Matrix { values: self.values.iter().map(|x| value(*x)).collect(), ..*self }
    }
}
