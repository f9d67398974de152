//! Numbers that look random and follow from a seed alone, the same on every machine and in every
//! version of the program: blind orders and intervals can be computed again.

/// A generator of such numbers.
///
/// # Source
/// SplitMix64, Steele, Lea and Flood 2014.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A whole number below a bound; 0 for the bound 0. The bias is below 2⁻³² for bounds below 2³².
    pub fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.bits()) * bound as u128;
        usize::try_from(product >> 64).expect("the upper half is below the bound")
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed() {
        // First outputs for seed 1234567, as published with the algorithm.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.bits(), random.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let mut counts = [0u32; 5];
        for _ in 0..10_000 {
            counts[random.below(5)] += 1;
            let unit = random.unit();
            assert!((0.0..1.0).contains(&unit));
        }
        // Expected 2,000 each, deviation 40: within five of them.
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }
}
