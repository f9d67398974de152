//! Random choices as pure functions of numbers: the same on every machine, in every version, and
//! without state to save.

/// A well-mixed number from a seed and what it is for.
///
/// # Source
/// Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), the finaliser of
/// SplitMix64.
pub(crate) fn mix(parts: &[u64]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for &part in parts {
        state = finalise(state.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15));
    }
    state
}

fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An order of `0..count` that is computed, not stored: a Feistel network over the next power of
/// four, walked until the value falls inside.
///
/// # Source
/// Black, Rogaway, "Ciphers with arbitrary finite domains" (2002), the cycle-walking cipher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    count: u64,
    half_bits: u32,
    key: u64,
}

const ROUNDS: u64 = 6;

impl Permutation {
    pub(crate) fn new(count: u64, key: u64) -> Self {
        let bits = 64 - count.saturating_sub(1).leading_zeros();
        Self { count, half_bits: bits.div_ceil(2).max(1), key }
    }

    /// What stands at `position`.
    pub(crate) fn get(&self, position: u64) -> u64 {
        debug_assert!(position < self.count);
        let mask = (1u64 << self.half_bits) - 1;
        let mut value = position;
        loop {
            let (mut left, mut right) = (value >> self.half_bits, value & mask);
            for round in 0..ROUNDS {
                (left, right) = (right, left ^ (mix(&[self.key, round, right]) & mask));
            }
            value = left << self.half_bits | right;
            if value < self.count {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_visits_everything_once() {
        for count in [1, 2, 3, 7, 64, 65, 1000, 4097] {
            let permutation = Permutation::new(count, 42);
            let mut seen: Vec<u64> = (0..count).map(|at| permutation.get(at)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn keys_give_different_orders() {
        let order = |key| (0..100).map(|at| Permutation::new(100, key).get(at)).collect::<Vec<_>>();
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), (0..100).collect::<Vec<_>>());
        assert_eq!(order(1), order(1));
    }

    /// Runs depend on these numbers: when they change, resumed runs see other data.
    #[test]
    fn the_order_never_changes() {
        let order: Vec<u64> = (0..10).map(|at| Permutation::new(10, mix(&[42, 0])).get(at)).collect();
        assert_eq!(order, GOLDEN_ORDER);
    }

    const GOLDEN_ORDER: [u64; 10] = [1, 9, 2, 8, 6, 5, 3, 4, 7, 0];
}
