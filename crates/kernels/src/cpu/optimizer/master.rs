//! The f32 master of a weight: the weight itself, or a bf16 weight and a 16-bit remainder.

use half::bf16;

/// Cuts a number into its upper half, rounded to nearest (ties away from zero), and a remainder.
///
/// The remainder is the lower half of the bits, read as a signed number: it says how far the
/// number lies from the rounded half, so that [`join_master`] gives back the same bits, for
/// every number there is. Ties cannot go to even: two neighbours would leave the same halves.
#[inline(always)]
pub fn split_master(master: f32) -> (bf16, u16) {
    let bits = master.to_bits();
    (bf16::from_bits((bits.wrapping_add(0x8000) >> 16) as u16), bits as u16)
}

/// The number that [`split_master`] cut.
#[inline(always)]
pub fn join_master(weight: bf16, remainder: u16) -> f32 {
    let upper = u32::from(weight.to_bits()) << 16;
    f32::from_bits(upper.wrapping_add(i32::from(remainder as i16) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bits: u32) {
        let master = f32::from_bits(bits);
        let (weight, remainder) = split_master(master);
        assert_eq!(join_master(weight, remainder).to_bits(), bits, "bits {bits:08x}");
        if master.is_finite() && weight.is_finite() {
            let upper = f64::from(f32::from_bits(u32::from(weight.to_bits()) << 16));
            let below = f64::from(f32::from_bits(bits & 0xffff_0000));
            let above = f64::from(f32::from_bits((bits & 0xffff_0000).wrapping_add(0x1_0000)));
            let nearest = (f64::from(master) - below).abs().min((above - f64::from(master)).abs());
            assert_eq!((f64::from(master) - upper).abs(), nearest, "bits {bits:08x} did not round to the nearest");
        }
    }

    #[test]
    fn masters_survive_the_cut() {
        // Zero, ties of both parities, carries into the exponent, denormals, the largest
        // number, infinities, NaN; each with both signs.
        let edges = [
            0,
            1,
            0x7fff,
            0x8000,
            0x8001,
            0xffff,
            0x1_0000,
            0x1_8000,
            0x3f80_8000,
            0x3f81_8000,
            0x3fff_8000,
            0x3fff_ffff,
            0x007f_ffff,
            0x0080_0000,
            0x7f7f_7fff,
            0x7f7f_8000,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fc0_0000,
            0x7fff_8000,
            0x7fff_ffff,
        ];
        for bits in edges {
            check(bits);
            check(bits | 0x8000_0000);
        }
        for step in 0..4_000_000u32 {
            check(step.wrapping_mul(2_654_435_761));
        }
    }

    #[test]
    fn a_weight_read_from_a_file_has_no_remainder() {
        for bits in 0..=u16::MAX {
            let weight = bf16::from_bits(bits);
            let master = join_master(weight, 0);
            assert_eq!(master.to_bits(), u32::from(bits) << 16);
            assert_eq!(split_master(master).0.to_bits(), bits);
            assert_eq!(split_master(master).1, 0);
        }
    }
}
