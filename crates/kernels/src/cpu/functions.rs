//! Exponential and its relatives as straight-line `f32` arithmetic, so that loops over them
//! become vector code.
//!
//! Polynomials are minimax fits (Lawson's reweighted least squares, 60 rounds, f64). Bounds,
//! against f64 over all of the tested inputs, with and without fused multiply-add: `exp` 1.5 ulp,
//! `sigmoid` 3 ulp, `erf` 1.5e-7 absolute; results below 1e-37 may be 0.

/// How `a · b + c` is computed: rounded once where the instruction set has it, else twice (the
/// library's fused operation is a slow call there).
pub(crate) trait Arithmetic: Copy {
    /// `a · b + c`.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding.
#[derive(Clone, Copy)]
pub(crate) struct Fused;
impl Arithmetic for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Two roundings.
#[derive(Clone, Copy)]
pub(crate) struct Split;
impl Arithmetic for Split {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Calls a vectorised function with the arithmetic that an instruction set has.
macro_rules! with_arithmetic {
    ($name:ident, $set:expr $(, $argument:expr)*) => {
        match $set {
            $crate::InstructionSet::Scalar | $crate::InstructionSet::Portable => $name($set, $crate::cpu::functions::Split $(, $argument)*),
            _ => $name($set, $crate::cpu::functions::Fused $(, $argument)*),
        }
    };
}
pub(crate) use with_arithmetic;

/// Adding and subtracting it rounds to an integer: 1.5 · 2²³.
const ROUNDER: f32 = 12_582_912.0;

/// `c[0] + x · (c[1] + x · …)`.
#[inline(always)]
fn polynomial<A: Arithmetic, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for coefficient in coefficients.iter().rev().skip(1) {
        sum = A::multiply_add(sum, x, *coefficient);
    }
    sum
}

/// `e^x`; constant above 88.37 (2.4e38), zero below -87.3, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    let limited = if x > 88.37 { 88.37 } else { x };
    let limited = if limited < -87.3 { -87.3 } else { limited };
    let shifted = A::multiply_add(limited, std::f32::consts::LOG2_E, ROUNDER);
    let count = shifted - ROUNDER;
    // ln 2 in two parts; the first has few enough bits that its product is exact.
    let rest = A::multiply_add(count, 2.121_944_4e-4, A::multiply_add(count, -0.693_359_4, limited));
    let tail = polynomial::<A, 5>(rest, [0.5, 0.166_665_18, 0.041_666_206, 0.008_368_954, 0.001_395_06]);
    let value = 1.0 + A::multiply_add(rest * rest, tail, rest);
    // The integer stands in the lowest bits of the shifted number: moved into the exponent.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < -87.3 { 0.0 } else { value * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// The error function.
#[inline(always)]
pub(crate) fn erf<A: Arithmetic>(x: f32) -> f32 {
    let coefficients =
        [std::f32::consts::FRAC_2_SQRT_PI, -0.376_126_26, 0.112_836, -0.026_854_444, 0.005_189_535, -8.020_841e-4, 7.889_119e-5];
    let near = x * polynomial::<A, 7>(x * x, coefficients);
    let a = x.abs();
    let a = if a > 4.0 { 4.0 } else { a };
    let coefficients =
        [-1.758_748_5e-4, 1.129_520_8, 0.633_334_64, 0.108_293_95, -0.025_128_627, 0.004_174_644, -4.352_191e-4, 2.116_192_6e-5];
    let far = 1.0 - exp::<A>(-polynomial::<A, 8>(a, coefficients));
    if x.abs() < 0.92 { near } else { far.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::activation as exact;

    /// Every 997th float of both signs, which is 4 million of them a function.
    fn inputs() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(997).map(f32::from_bits).filter(|x| x.is_finite())
    }

    /// Distance between two numbers in units of the last place of the expected one.
    fn ulps(found: f32, expected: f64) -> f64 {
        let spacing = (f64::from((expected as f32).abs()).log2().floor() - 23.0).exp2();
        (f64::from(found) - expected).abs() / spacing
    }

    fn check(name: &str, ours: [fn(f32) -> f32; 2], exact: impl Fn(f64) -> f64, worst_ulps: f64) {
        for ours in ours {
            let mut worst = (0.0, 0.0);
            for x in inputs() {
                let expected = exact(f64::from(x));
                // What is larger than any finite number, or all but zero, is not asked for.
                if expected.abs() < 2e38 && expected.abs() > 1e-37 {
                    let error = ulps(ours(x), expected);
                    assert!(!error.is_nan(), "{name}({x:e}) is {}", ours(x));
                    worst = if error > worst.0 { (error, x) } else { worst };
                } else if expected.abs() <= 1e-37 {
                    assert!(ours(x).abs() <= 2e-37, "{name}({x:e}) is {}", ours(x));
                } else {
                    assert!(ours(x) >= 2e38, "{name}({x:e}) is {}", ours(x));
                }
            }
            assert!(worst.0 <= worst_ulps, "{name}({:e}) is off by {} ulp, more than {worst_ulps}", worst.1, worst.0);
            assert!(ours(f32::NAN).is_nan(), "{name} hides NaN");
        }
    }

    #[test]
    fn exp_is_within_its_bound() {
        check("exp", [exp::<Fused>, exp::<Split>], f64::exp, 1.5);
    }

    #[test]
    fn sigmoid_is_within_its_bound() {
        check("sigmoid", [sigmoid::<Fused>, sigmoid::<Split>], |x| 1.0 / (1.0 + (-x).exp()), 3.0);
    }

    #[test]
    fn erf_is_within_its_bound() {
        for erf in [erf::<Fused>, erf::<Split>] {
            for x in inputs() {
                let error = (f64::from(erf(x)) - exact::erf(f64::from(x))).abs();
                assert!(error <= 1.5e-7, "erf({x:e}) is off by {error:e}");
            }
            assert!(erf(f32::NAN).is_nan());
            assert_eq!(erf(-0.0).to_bits(), (-0.0f32).to_bits());
        }
    }
}
