//! What a product takes: matrices to read, summands, the place it writes and what is added there.

use half::{bf16, f16};

use crate::cpu::view::RowsMut;

/// Elements of a matrix or a vector.
#[derive(Clone, Copy, Debug)]
pub enum DataRef<'a> {
    /// 32-bit elements.
    F32(&'a [f32]),
    /// bf16 elements.
    Bf16(&'a [bf16]),
    /// IEEE 16-bit elements.
    F16(&'a [f16]),
}

impl DataRef<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            DataRef::F32(data) => data.len(),
            DataRef::Bf16(data) => data.len(),
            DataRef::F16(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element, widened.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            DataRef::F32(data) => data[index],
            DataRef::Bf16(data) => data[index].to_f32(),
            DataRef::F16(data) => data[index].to_f32(),
        }
    }
}

impl<'a> From<&'a [f32]> for DataRef<'a> {
    fn from(data: &'a [f32]) -> Self {
        DataRef::F32(data)
    }
}
impl<'a> From<&'a [bf16]> for DataRef<'a> {
    fn from(data: &'a [bf16]) -> Self {
        DataRef::Bf16(data)
    }
}
impl<'a> From<&'a [f16]> for DataRef<'a> {
    fn from(data: &'a [f16]) -> Self {
        DataRef::F16(data)
    }
}

/// A matrix to read: element (r, c) is at `r * row_stride + c * column_stride`, one of which is 1.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a> {
    pub(super) data: DataRef<'a>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> MatrixRef<'a> {
    /// Rows one after another, their starts `row_stride` elements apart.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn new(data: impl Into<DataRef<'a>>, rows: usize, columns: usize, row_stride: usize) -> Self {
        let data = data.into();
        assert!(
            rows == 0 || columns == 0 || data.len() >= (rows - 1) * row_stride + columns,
            "matmul: {} elements found, expected {rows} rows of {columns}, {row_stride} apart",
            data.len()
        );
        MatrixRef { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Rows without gaps.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn dense(data: impl Into<DataRef<'a>>, rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns)
    }

    /// The same elements with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        MatrixRef {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// One summand of a product: `scale · left · right`.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// m × k.
    pub left: MatrixRef<'a>,
    /// k × n.
    pub right: MatrixRef<'a>,
    /// Multiplies this summand.
    pub scale: f32,
}

impl<'a> Term<'a> {
    /// `left · right`.
    pub fn new(left: MatrixRef<'a>, right: MatrixRef<'a>) -> Self {
        Term { left, right, scale: 1.0 }
    }
}

/// Where a product is written, row by row.
#[derive(Debug)]
pub enum Output<'a> {
    /// Not rounded.
    F32(RowsMut<'a, f32>),
    /// Rounded to nearest, ties to even.
    Bf16(RowsMut<'a, bf16>),
}

impl Output<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Output::F32(rows) => rows.rows,
            Output::Bf16(rows) => rows.rows,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        match self {
            Output::F32(rows) => rows.columns,
            Output::Bf16(rows) => rows.columns,
        }
    }
}

/// What is added to the sum of the terms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Add what the output holds.
    pub accumulate: bool,
    /// Added to every row.
    pub bias: Option<DataRef<'a>>,
}

/// One product of several that are computed together.
#[derive(Debug)]
pub struct Product<'a> {
    /// m × n.
    pub output: Output<'a>,
    /// What is summed.
    pub terms: &'a [Term<'a>],
    /// What is added to the sum.
    pub epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// Compares all shapes.
    pub(super) fn check(&self) {
        let (m, n) = (self.output.rows(), self.output.columns());
        for Term { left, right, .. } in self.terms {
            assert_eq!(left.columns, right.rows, "matmul: inner axes differ, {} and {}", left.columns, right.rows);
            assert_eq!((left.rows, right.columns), (m, n), "matmul: a term has another shape than the output");
        }
        if let Some(bias) = &self.epilogue.bias {
            assert_eq!(bias.len(), n, "matmul: bias has {} elements, expected {n}", bias.len());
        }
    }
}
