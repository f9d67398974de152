//! Slow references of the pointwise functions of the channel.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::Matrix;
use crate::backend::Activation;

/// The error function, to about 1e-15: its power series near 0, the continued fraction of its
/// complement further out.
///
/// # Source
/// Abramowitz and Stegun 7.1.6 and 7.1.14.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return a;
    }
    if a < 2.5 {
        let (mut term, mut sum, mut index) = (a, a, 0.0);
        while term > sum * 1e-17 {
            index += 1.0;
            term *= 2.0 * a * a / (2.0 * index + 1.0);
            sum += term;
        }
        return (2.0 / PI.sqrt() * (-a * a).exp() * sum).copysign(x);
    }
    let mut fraction = a;
    for index in (1..=80).rev() {
        fraction = a + f64::from(index) / 2.0 / fraction;
    }
    (1.0 - (-a * a).exp() / PI.sqrt() / fraction).copysign(x)
}

/// The value of a function at a point.
pub fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
    }
}

/// Its slope there (0 at the corner of Relu, as PyTorch has it).
pub fn slope(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => {
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            sigmoid * (1.0 + x * (1.0 - sigmoid))
        }
        Activation::Gelu => 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt(),
        Activation::GeluTanh => {
            let tanh = ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh();
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x)
        }
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::ReluSquared => 2.0 * x.max(0.0),
    }
}

/// `act(gate) · up`.
pub fn activate(gate: &Matrix, up: Option<&Matrix>, activation: Activation) -> Matrix {
    Matrix::from_fn(gate.rows, gate.columns, |row, column| {
        value(activation, gate.at(row, column)) * up.map_or(1.0, |up| up.at(row, column))
    })
}

/// Gradients of gate and up.
pub fn activate_backward(dout: &Matrix, gate: &Matrix, up: Option<&Matrix>, activation: Activation) -> (Matrix, Matrix) {
    let dgate = Matrix::from_fn(gate.rows, gate.columns, |row, column| {
        dout.at(row, column) * up.map_or(1.0, |up| up.at(row, column)) * slope(activation, gate.at(row, column))
    });
    let dup = Matrix::from_fn(gate.rows, gate.columns, |row, column| dout.at(row, column) * value(activation, gate.at(row, column)));
    (dgate, dup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_known_values() {
        // Abramowitz and Stegun, table 7.1, and complements to more digits.
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (2.0, 0.995_322_265_018_952_7)] {
            assert!((erf(x) - expected).abs() < 2e-15, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + expected).abs() < 2e-15);
        }
        assert!((erf(2.499_999_999) - erf(2.500_000_001)).abs() < 1e-11);
        assert_eq!(erf(30.0), 1.0);
    }
}
