//! Loops over chunks of `f32` that several operations share. Sums run in sixteen lanes that are
//! added by a fixed tree, so that they vectorise and give the same number on every path.

use crate::instruction_set::vectorized;

/// Running sums side by side.
pub(crate) const LANES: usize = 16;

/// The sum of the lanes, by halves.
#[inline(always)]
pub(crate) fn fold(lanes: [f32; LANES]) -> f32 {
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

/// Sums `term(i)` for all i below `count`.
#[inline(always)]
pub(crate) fn sum_of(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = count / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
        start += LANES;
    }
    for index in whole..count {
        lanes[index - whole] += term(index);
    }
    fold(lanes)
}

vectorized! {
    /// Σ a · b.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let b = &b[..a.len()];
        sum_of(a.len(), |index| a[index] * b[index])
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
                // A sum of 33 terms a lane, each rounded: 38 half units of the last place.
                let tolerance = expected * 38.0 * f64::from(f32::EPSILON) / 2.0;
                assert!((f64::from(dot(set, &values, &values)) - expected).abs() <= tolerance, "{set} {count}");
            }
        }
    }
}
