//! Random numbers by counting: the number of an element is a function of (seed, element number)
//! alone, so that masks need not be kept and do not depend on threads or order.
//!
//! A 64-bit key is drawn from the seed (splitmix64). Element number i, a 32-bit counter and 32
//! upper bits that are mixed into the key, goes through two rounds of a 32-bit mixer.

/// The key of one operation's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    seed: u64,
}

/// The numbers of the elements that follow a first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    counter: u32,
    before: u32,
    between: u32,
    carried_before: u32,
    carried_between: u32,
}

impl Random {
    /// Numbers of a seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random { seed }
    }

    /// Gives each value the bits of its element, the first of which has number `first`.
    #[inline(always)]
    pub(crate) fn for_each(self, first: u64, values: &mut [f32], mut task: impl FnMut(&mut f32, u32)) {
        let stream = self.stream(first);
        if stream.counter.checked_add(values.len() as u32).is_none() {
            return values.iter_mut().zip(0..).for_each(|(value, index)| task(value, stream.bits(index)));
        }
        // Without a carry inside, which is nearly always, the loop is straight.
        for (value, counter) in values.iter_mut().zip(stream.counter..) {
            task(value, mix(mix(counter ^ stream.before).wrapping_add(stream.between)));
        }
    }

    /// Numbers from element `first` on, for fewer than 2³² elements.
    pub(crate) fn stream(self, first: u64) -> Stream {
        let key = |upper: u64| splitmix(splitmix(self.seed) ^ upper.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (key, carried) = (key(first >> 32), key((first >> 32) + 1));
        Stream {
            counter: first as u32,
            before: key as u32,
            between: (key >> 32) as u32,
            carried_before: carried as u32,
            carried_between: (carried >> 32) as u32,
        }
    }
}

impl Stream {
    /// 32 random bits of the element `index` after the first.
    #[inline(always)]
    pub(crate) fn bits(&self, index: u32) -> u32 {
        let counter = self.counter.wrapping_add(index);
        let is_carried = counter < self.counter;
        let before = if is_carried { self.carried_before } else { self.before };
        let between = if is_carried { self.carried_between } else { self.between };
        mix(mix(counter ^ before).wrapping_add(between))
    }
}

/// A number in [0, 1), of 24 bits.
#[inline(always)]
pub(crate) fn uniform(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A bijection of 32 bits whose output bits depend evenly on the input's.
///
/// # Source
/// Constants of the low-bias mixer found by search: C. Wellons, "Prospecting for hash functions",
/// 2018.
#[inline(always)]
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Steele, Lea, Flood 2014.
fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_its_element_alone() {
        for first in [0u64, 1000, (1 << 32) - 7, 5 << 32] {
            for index in 0..20u32 {
                let alone = Random::new(9).stream(first + u64::from(index)).bits(0);
                assert_eq!(Random::new(9).stream(first).bits(index), alone);
                let mut seen = Vec::new();
                Random::new(9).for_each(first, &mut [0.0; 20], |_, bits| seen.push(bits));
                assert_eq!(seen[index as usize], alone);
            }
        }
    }

    #[test]
    fn numbers_are_even_and_uncorrelated() {
        let count = 1 << 20;
        for seed in 0..4 {
            let stream = Random::new(seed).stream(0);
            let values: Vec<f64> = (0..count).map(|index| f64::from(uniform(stream.bits(index))) - 0.5).collect();
            let mean = values.iter().sum::<f64>() / f64::from(count);
            // Five standard errors of the mean and of a product of two uniform numbers.
            assert!(mean.abs() < 5.0 * (1.0 / 12.0f64).sqrt() / f64::from(count).sqrt(), "mean {mean}");
            for lag in [1, 2, 16, 512] {
                let product = values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum::<f64>() / f64::from(count);
                assert!(product.abs() < 5.0 / 12.0 / f64::from(count).sqrt(), "lag {lag}: {product}");
            }
            let other = Random::new(seed + 1).stream(0);
            let product = values.iter().zip(0..).map(|(a, index)| a * (f64::from(uniform(other.bits(index))) - 0.5)).sum::<f64>();
            assert!((product / f64::from(count)).abs() < 5.0 / 12.0 / f64::from(count).sqrt());
        }
    }
}
