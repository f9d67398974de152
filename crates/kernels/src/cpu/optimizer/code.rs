//! Eight bits a moment: 256 values share a scale, and the codes are the fourth roots of the
//! values, spread evenly.
//!
//! A fourth root is two square roots, so coding needs no table and runs in vector registers.
//! Codes 1 to 255 of the second moment span nine decades, each code at most 4/code apart from
//! the next in relative terms. A saved optimizer state keeps these codes: they must not change.

/// Values that share a scale.
pub const CODE_BLOCK: usize = 256;

/// Widens signed codes (two's complement, -127 to 127): `scale · sign · (|code| / 127)⁴`.
#[inline(always)]
pub fn decode_signed(codes: &[u8], scale: f32, values: &mut [f32]) {
    for (value, code) in values.iter_mut().zip(codes) {
        let root = f32::from(*code as i8) * (1.0 / 127.0);
        let square = root * root;
        *value = (scale * square * square).copysign(root);
    }
}

/// Rounds to the nearest signed code and returns the scale, the largest absolute value.
#[inline(always)]
pub fn encode_signed(values: &[f32], codes: &mut [u8]) -> f32 {
    let scale = largest(values);
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        let root = (value.abs() * inverse).min(1.0).sqrt().sqrt();
        let magnitude = (127.0 * root + 0.5) as i32;
        *code = (if *value < 0.0 { -magnitude } else { magnitude }) as u8;
    }
    scale
}

/// Widens codes of values that are not negative: `scale · (code / 255)⁴`.
#[inline(always)]
pub fn decode_unsigned(codes: &[u8], scale: f32, values: &mut [f32]) {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = scale * level(i32::from(*code));
    }
}

/// Rounds up or down at random, so that the expected value is the value itself; a second moment
/// changes by a thousandth a step, which rounding to nearest would lose for ever. What is above
/// zero stays above zero, because the update divides by its root. Returns the scale.
///
/// The randomness is a function of `seed` and the position.
#[inline(always)]
pub fn encode_unsigned(values: &[f32], codes: &mut [u8], seed: u32) -> f32 {
    let scale = largest(values);
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (position, (code, value)) in codes.iter_mut().zip(values).enumerate() {
        let share = (value * inverse).min(1.0);
        let lower = ((255.0 * share.sqrt().sqrt()) as i32).min(254);
        let (below, above) = (level(lower), level(lower + 1));
        let chance = (share - below) / (above - below);
        let random = (hash(seed.wrapping_add(position as u32)) >> 8) as f32 * (1.0 / 16_777_216.0);
        let rounded = lower + i32::from(random < chance);
        *code = if *value > 0.0 { rounded.max(1) } else { 0 } as u8;
    }
    scale
}

#[inline(always)]
fn level(code: i32) -> f32 {
    let root = code as f32 * (1.0 / 255.0);
    let square = root * root;
    square * square
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for chunk in values.chunks(16) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            let size = value.abs();
            *lane = if size > *lane { size } else { *lane };
        }
    }
    lanes.into_iter().fold(0.0, f32::max)
}

/// Mixes the bits of a number.
///
/// # Source
/// Wellons, "Prospecting for hash functions" (2018), the function with bias 0.17.
#[inline(always)]
pub fn hash(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x7feb_352d);
    let value = (value ^ (value >> 15)).wrapping_mul(0x846c_a68b);
    value ^ (value >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back() {
        let codes: Vec<u8> = (-127..=127i32).map(|code| code as u8).collect();
        let mut values = vec![0.0; codes.len()];
        decode_signed(&codes, 3.5, &mut values);
        let mut again = vec![0; codes.len()];
        assert_eq!(encode_signed(&values, &mut again), 3.5);
        assert_eq!(codes, again);
    }

    #[test]
    fn signed_error_is_within_half_a_step() {
        let values: Vec<f32> = (0..256).map(|index| (index as f32 - 127.3) * 0.01).collect();
        let (mut codes, mut back) = (vec![0; 256], vec![0.0; 256]);
        let scale = encode_signed(&values, &mut codes);
        decode_signed(&codes, scale, &mut back);
        for (value, back) in values.iter().zip(&back) {
            let root = (value.abs() / scale).powf(0.25);
            let bound = scale * ((root + 0.51 / 127.0).powi(4) - root.powi(4));
            assert!((value - back).abs() <= bound + 1e-9, "{value} became {back}");
        }
    }

    #[test]
    fn random_rounding_keeps_the_mean() {
        let values: Vec<f32> = (0..256).map(|index| (index as f32 / 255.0).powi(3) * 2e-4).collect();
        let mut mean = vec![0f64; 256];
        let rounds = 4000;
        for round in 0..rounds {
            let (mut codes, mut back) = (vec![0; 256], vec![0.0; 256]);
            let scale = encode_unsigned(&values, &mut codes, hash(round));
            decode_unsigned(&codes, scale, &mut back);
            assert_eq!(codes[0], 0);
            for (index, back) in back.iter().enumerate() {
                assert!(index == 0 || *back > 0.0);
                mean[index] += f64::from(*back) / f64::from(rounds);
            }
        }
        for (index, (mean, value)) in mean.iter().zip(&values).enumerate().skip(8) {
            // A step is 4/code wide; the mean of 4,000 draws varies by a 63rd of half of it.
            let code = 255.0 * (f64::from(*value) / 2e-4).powf(0.25);
            let bound = f64::from(*value) * (4.0 / code) * 0.5 / 63.0 * 5.0;
            assert!((mean - f64::from(*value)).abs() <= bound, "{index}: {value} has the mean {mean}");
        }
    }
}
