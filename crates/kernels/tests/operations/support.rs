//! One backend under test: places numbers on it, compares what it answers, and records every bit
//! of the answers, so that two runs can be compared whole.

use std::cell::RefCell;
use std::sync::Arc;

use apertis_kernels::cpu::reference::Matrix;
use apertis_kernels::{Backend, Dtype, Owned, Tensor};
use half::bf16;

/// What stands in the gaps between columns; nobody may change it.
const GAP: f32 = 77.0;

/// A matrix on the backend.
pub(crate) struct Placed {
    owner: Owned,
    /// The matrix without its gaps.
    pub(crate) tensor: Tensor,
    /// Its values, rounded as the backend keeps them.
    pub(crate) values: Matrix,
}

/// A backend and what it answered so far.
pub(crate) struct Bench {
    /// The backend.
    pub(crate) backend: Arc<dyn Backend>,
    record: RefCell<Vec<u8>>,
}

/// Element types and layout of one case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Type of inputs.
    pub(crate) input: Dtype,
    /// Type of outputs.
    pub(crate) output: Dtype,
    /// Leave gaps between rows.
    pub(crate) gaps: bool,
}

/// Types and layouts that each operation meets.
pub(crate) const KINDS: [Kind; 5] = [
    Kind { input: Dtype::F32, output: Dtype::F32, gaps: false },
    Kind { input: Dtype::Bf16, output: Dtype::Bf16, gaps: false },
    Kind { input: Dtype::F32, output: Dtype::Bf16, gaps: true },
    Kind { input: Dtype::Bf16, output: Dtype::F32, gaps: false },
    Kind { input: Dtype::F32, output: Dtype::F32, gaps: true },
];

/// Shapes that cross every boundary: lanes, chunks, leaves of sums, tasks.
pub(crate) const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 7), (1, 1500), (5, 64), (70, 33), (36, 530)];

/// Numbers about as large as 1, the same for equal seeds.
pub(crate) fn numbers(rows: usize, columns: usize, seed: u64) -> Matrix {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Matrix::from_fn(rows, columns, |_, _| {
        let mut sum = 0.0;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
        }
        f64::from((sum * 1.7) as f32)
    })
}

fn rounded(value: f64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bf16 => f64::from(bf16::from_f32(value as f32)),
        _ => f64::from(value as f32),
    }
}

impl Bench {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Bench {
        Bench { backend, record: RefCell::default() }
    }

    /// Every bit that was compared.
    pub(crate) fn record(self) -> Vec<u8> {
        self.record.into_inner()
    }

    /// Puts a matrix on the backend.
    pub(crate) fn place(&self, matrix: &Matrix, dtype: Dtype, gaps: bool) -> Placed {
        let (before, after) = if gaps { (2, 3) } else { (0, 0) };
        let owner = Owned::zeros(&self.backend, matrix.rows, before + matrix.columns + after, dtype).expect("small");
        if gaps {
            self.backend.fill(*owner, GAP);
        }
        let tensor = owner.column_range(before, matrix.columns);
        let values: Vec<f32> = matrix.values().iter().map(|value| *value as f32).collect();
        self.backend.write_f32(tensor, &values);
        Placed { owner, tensor, values: matrix.map(|value| rounded(value, dtype)) }
    }

    /// An input of a case.
    pub(crate) fn input(&self, rows: usize, columns: usize, kind: Kind, seed: u64) -> Placed {
        self.place(&numbers(rows, columns, seed), kind.input, kind.gaps)
    }

    /// An output of a case; it holds numbers before.
    pub(crate) fn output(&self, rows: usize, columns: usize, kind: Kind) -> Placed {
        self.place(&numbers(rows, columns, 99), kind.output, kind.gaps)
    }

    /// A dense matrix of 32-bit numbers.
    pub(crate) fn plain(&self, matrix: &Matrix) -> Placed {
        self.place(matrix, Dtype::F32, false)
    }

    /// A matrix that is loaded as a weight, in the layout of the backend.
    pub(crate) fn weight(&self, matrix: &Matrix, dtype: Dtype) -> Placed {
        let bytes: Vec<u8> = matrix.values().iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
        let tensor = self.backend.load_weight("weight", Dtype::F32, dtype, matrix.rows, matrix.columns, &bytes).expect("small");
        Placed { owner: Owned::adopt(&self.backend, tensor), tensor, values: matrix.map(|value| rounded(value, dtype)) }
    }

    /// A column of ids.
    pub(crate) fn ids(&self, ids: &[u32]) -> Owned {
        let tensor = Owned::zeros(&self.backend, ids.len(), 1, Dtype::U32).expect("small");
        self.backend.write_u32(*tensor, ids);
        tensor
    }

    /// Compares all elements. `error` is the allowed distance in units of the largest expected
    /// number's last place in `f32`; outputs in bf16 may also be one unit of their last place
    /// away, since a value near the middle of two rounds either way.
    pub(crate) fn expect(&self, what: &str, found: &Placed, expected: &Matrix, error: f64) {
        assert_eq!((found.tensor.rows, found.tensor.columns), (expected.rows, expected.columns), "{what}: shapes");
        let values = self.backend.read_f32(found.tensor);
        let largest = expected.values().iter().fold(1e-3f64, |largest, value| largest.max(value.abs()));
        for (index, (value, expected)) in values.iter().zip(expected.values()).enumerate() {
            let rounding = if found.tensor.dtype == Dtype::Bf16 { expected.abs() / 128.0 } else { 0.0 };
            let allowed = error * largest * f64::from(f32::EPSILON) + rounding;
            let distance = (f64::from(*value) - expected).abs();
            assert!(
                distance <= allowed,
                "{}: {what}: element {index} is {value}, expected {expected}, {distance:e} apart, allowed {allowed:e}",
                self.backend.name()
            );
        }
        self.expect_gaps(what, found);
        self.record.borrow_mut().extend(self.backend.read_bytes(found.tensor));
    }

    fn expect_gaps(&self, what: &str, found: &Placed) {
        let stride = found.owner.columns;
        if stride == found.tensor.columns {
            return;
        }
        let all = self.backend.read_f32(*found.owner);
        for row in all.chunks(stride) {
            assert!(row[..2].iter().chain(&row[stride - 3..]).all(|value| *value == GAP), "{what}: a gap was written");
        }
    }

    /// Compares whole numbers.
    pub(crate) fn expect_ids(&self, what: &str, found: Tensor, expected: &[u32]) {
        let found = self.backend.read_u32(found);
        assert_eq!(found, expected, "{}: {what}", self.backend.name());
        self.record.borrow_mut().extend(found.iter().flat_map(|id| id.to_le_bytes()));
    }
}

/// `a + b`, element by element.
pub(crate) fn plus(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix::from_fn(a.rows, a.columns, |row, column| a.at(row, column) + b.at(row, column))
}
