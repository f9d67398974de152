//! Loops over chunks of `f32` that several operations share. Sums run in lanes that are
//! added by a fixed tree, so that they vectorise and give the same number on every path.

use crate::instruction_set::vectorized;

/// Running sums side by side: two vectors of the widest set, so that an addition need not wait
/// for the one before.
const LANES: usize = 32;

/// The sum of the lanes, by halves.
#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ term(a).
#[inline(always)]
pub(crate) fn sum_of(a: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = a.as_chunks::<LANES>();
    for a in whole {
        for (lane, a) in lanes.iter_mut().zip(a) {
            *lane += term(*a);
        }
    }
    for (lane, a) in lanes.iter_mut().zip(rest) {
        *lane += term(*a);
    }
    fold(lanes)
}

/// Σ a · b.
#[inline(always)]
pub(crate) fn sum_of_products(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += a * b;
    }
    fold(lanes)
}

vectorized! {
    /// Σ a · b.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum_of_products(a, b)
    }
}

vectorized! {
    /// `values *= factor`.
    pub(crate) fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

vectorized! {
    /// `values *= factors`.
    pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

vectorized! {
    /// `values += scale · x`.
    pub(crate) fn add_scaled(values: &mut [f32], x: &[f32], scale: f32) {
        for (value, x) in values.iter_mut().zip(x) {
            *value += scale * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_set::InstructionSet;

    #[test]
    fn sums_cover_every_element() {
        for set in InstructionSet::available() {
            for count in [0, 1, 15, 16, 17, 100, 513] {
                let values: Vec<f32> = (0..count).map(|index| index as f32).collect();
                let expected = (0..count).map(|index| f64::from(index * index)).sum::<f64>();
                // Sums of up to 33 terms in a row, each rounded: at most 38 half units of the last place.
                let tolerance = expected * 38.0 * f64::from(f32::EPSILON) / 2.0;
                assert!((f64::from(dot(set, &values, &values)) - expected).abs() <= tolerance, "{set} {count}");
            }
        }
    }
}
