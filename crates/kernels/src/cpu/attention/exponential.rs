//! Exponential and hyperbolic tangent as straight-line arithmetic, for loops that become vector
//! code.

/// Adding and subtracting this rounds a small number to an integer: 1.5 · 2²³.
pub(crate) const ROUNDING: f32 = 12_582_912.0;
/// ln 2, its upper bits: a product with an integer below 2¹⁰ is exact.
pub(crate) const LN2_UPPER: f32 = 0.693_359_4;
/// ln 2 less [`LN2_UPPER`].
pub(crate) const LN2_LOWER: f32 = -2.121_944_4e-4;
/// Below this, e^x is 0 to an f32.
pub(crate) const LEAST_EXPONENT: f32 = -87.3;
/// e^x = 1 + x + x² · Σ these · x^i on |x| <= ln 2 / 2, to 1e-9: Taylor's series, the two
/// highest terms bent to the interval.
pub(crate) const EXP_TAIL: [f32; 5] = [0.5, 0.166_666_67, 0.041_666_65, 0.008_335_6, 0.001_390_5];

/// e^x for x <= 88; 0 below -87.3. Within 2 ulp.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let clamped = if x < LEAST_EXPONENT { LEAST_EXPONENT } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDING;
    let power = shifted - ROUNDING;
    let rest = (clamped - power * LN2_UPPER) - power * LN2_LOWER;
    let [a, b, c, d, e] = EXP_TAIL;
    let tail = a + rest * (b + rest * (c + rest * (d + rest * e)));
    let value = 1.0 + (rest + rest * rest * tail);
    let scale =
        f32::from_bits((shifted.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32).wrapping_add(127).wrapping_shl(23) as u32);
    if x < LEAST_EXPONENT { 0.0 } else { value * scale }
}

/// Hyperbolic tangent, within 4 ulp.
///
/// Near 0 it is Lambert's continued fraction, cut after the fourth term; else it comes from the
/// exponential.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let near = x * (10_395.0 + square * (1_260.0 + square * 21.0)) / (10_395.0 + square * (4_725.0 + square * (210.0 + square)));
    let size = x.abs();
    let far = 1.0 - 2.0 / (exp(if size > 20.0 { 40.0 } else { 2.0 * size }) + 1.0);
    if size < 0.7 { near } else { far.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, found: f32, expected: f64, x: f32, ulps: f64) {
        let error = (f64::from(found) - expected).abs();
        let bound = ulps * f64::from(f32::EPSILON) * expected.abs() + 1.3e-38;
        assert!(error <= bound, "{name}({x:e}) is {found:e}, expected {expected:e}");
    }

    #[test]
    fn exp_and_tanh_are_close() {
        for step in 0..2_000_000 {
            let x = -100.0 + step as f32 * 0.000_094;
            check("exp", exp(x), f64::from(x).exp(), x, 2.0);
            let y = x * 0.1;
            check("tanh", tanh(y), f64::from(y).tanh(), y, 4.0);
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(tanh(f32::NAN).is_nan() && exp(f32::NAN).is_nan());
    }
}
