//! Exponential and its relatives as straight-line `f32` arithmetic, so that loops over them
//! become vector code, the same numbers on every instruction set.
//!
//! Polynomials are minimax fits (Lawson's reweighted least squares, 60 rounds, f64). Bounds,
//! against f64 over all of the tested inputs: `exp` 1.5 ulp, `sigmoid` 3 ulp, `tanh` 3 ulp,
//! `erf` 1.5e-7 absolute. `sigmoid` is 0 below -88.8, where it should be 3e-39 and less.

/// Adding and subtracting it rounds to an integer: 1.5 · 2²³.
const ROUNDER: f32 = 12_582_912.0;

/// `e^x`; infinite above 88.73, zero below -104, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let count = shifted - ROUNDER;
    // ln 2 in two parts; the first has few enough bits that its product is exact.
    let rest = (x - count * 0.693_359_4) - count * -2.121_944_4e-4;
    let tail = 0.5 + rest * (0.166_665_18 + rest * (0.041_666_206 + rest * (0.008_368_954 + rest * 0.001_395_06)));
    let value = 1.0 + (rest + rest * rest * tail);
    // 2^count in two steps, so that neither leaves the range of normal numbers.
    let power = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let half = power >> 1;
    value * power_of_two(half) * power_of_two(power.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(power: i32) -> f32 {
    f32::from_bits((power.wrapping_add(127) as u32) << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let near = x + x
        * square
        * (-0.333_332_84 + square * (0.133_314_91 + square * (-0.053_743_497 + square * (0.020_650_579 + square * -0.005_717_037))));
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 { near } else { far.copysign(x) }
}

/// The error function.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let square = x * x;
    let near = x
        * (std::f32::consts::FRAC_2_SQRT_PI
            + square
                * (-0.376_126_26
                    + square
                        * (0.112_836
                            + square * (-0.026_854_444 + square * (0.005_189_535 + square * (-8.020_841e-4 + square * 7.889_119e-5))))));
    let a = x.abs();
    let a = if a > 4.0 { 4.0 } else { a };
    let exponent = -1.758_748_5e-4
        + a * (1.129_520_8
            + a * (0.633_334_64
                + a * (0.108_293_95 + a * (-0.025_128_627 + a * (0.004_174_644 + a * (-4.352_191e-4 + a * 2.116_192_6e-5))))));
    let far = 1.0 - exp(-exponent);
    if x.abs() < 0.92 { near } else { far.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::activation as exact;

    /// Every 499th float of both signs, which is 8 million of them a function.
    fn inputs() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(499).map(f32::from_bits).filter(|x| x.is_finite())
    }

    /// Distance between two numbers in units of the last place of the expected one, or of
    /// `smallest` where the expected one is smaller.
    fn ulps(found: f32, expected: f64, smallest: f64) -> f64 {
        let rounded = expected as f32;
        if found == rounded {
            return 0.0;
        }
        let spacing = (f64::from(rounded.abs()).max(smallest).log2().floor() - 23.0).exp2();
        (f64::from(found) - expected).abs() / spacing
    }

    fn check(name: &str, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, worst_ulps: f64, smallest: f64) {
        let mut worst = (0.0, 0.0);
        for x in inputs() {
            let error = ulps(ours(x), exact(f64::from(x)), smallest);
            assert!(!error.is_nan(), "{name}({x:e}) is {}", ours(x));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        assert!(worst.0 <= worst_ulps, "{name}({:e}) is off by {} ulp, more than {worst_ulps}", worst.1, worst.0);
        assert!(ours(f32::NAN).is_nan(), "{name} hides NaN");
    }

    #[test]
    fn exp_is_within_its_bound() {
        check("exp", exp, f64::exp, 1.5, f64::from(f32::MIN_POSITIVE));
    }

    #[test]
    fn sigmoid_is_within_its_bound() {
        check("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 3.0, 1e-31);
    }

    #[test]
    fn tanh_is_within_its_bound() {
        check("tanh", tanh, f64::tanh, 3.0, f64::from(f32::MIN_POSITIVE));
    }

    #[test]
    fn erf_is_within_its_bound() {
        for x in inputs() {
            let error = (f64::from(erf(x)) - exact::erf(f64::from(x))).abs();
            assert!(error <= 1.5e-7, "erf({x:e}) is off by {error:e}");
        }
        assert!(erf(f32::NAN).is_nan());
        assert_eq!(erf(-0.0).to_bits(), (-0.0f32).to_bits());
    }
}
