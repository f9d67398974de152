//! Bins: what a chart needs to know of several points that fall on one another.

use super::FACTOR;

/// Least, greatest and mean of some points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bin {
    pub(crate) min: f32,
    pub(crate) max: f32,
    pub(crate) mean: f32,
    /// Points that are numbers; the others are in no way part of it.
    pub(crate) count: u32,
}

impl Bin {
    /// The bin of nothing.
    pub(crate) const EMPTY: Bin = Bin { min: f32::NAN, max: f32::NAN, mean: f32::NAN, count: 0 };

    /// The bin of one value.
    pub(crate) fn of(value: f32) -> Bin {
        match value.is_finite() {
            true => Bin { min: value, max: value, mean: value, count: 1 },
            false => Bin::EMPTY,
        }
    }

    /// The bin of several, in their order: the same bins give the same bits.
    pub(crate) fn merge(bins: impl IntoIterator<Item = Bin>) -> Bin {
        let (mut min, mut max, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64, 0u32);
        for bin in bins.into_iter().filter(|bin| bin.count > 0) {
            min = min.min(bin.min);
            max = max.max(bin.max);
            sum += f64::from(bin.mean) * f64::from(bin.count);
            count = count.saturating_add(bin.count);
        }
        match count {
            0 => Bin::EMPTY,
            _ => Bin { min, max, mean: (sum / f64::from(count)) as f32, count },
        }
    }
}

/// The next level of some bins.
pub(super) fn next_level(bins: &[Bin]) -> impl Iterator<Item = Bin> {
    bins.chunks(FACTOR as usize).map(|group| Bin::merge(group.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_numbers_are_left_out() {
        let values = [3.0, f32::NAN, 1.0, f32::INFINITY, 2.0];
        let merged = Bin::merge(values.map(Bin::of));
        assert_eq!(merged, Bin { min: 1.0, max: 3.0, mean: 2.0, count: 3 });
        assert_eq!(Bin::merge([Bin::EMPTY, Bin::of(f32::NAN)]).count, 0);
    }

    #[test]
    fn a_mean_of_means_weighs_by_count() {
        let merged = Bin::merge([Bin::merge([1.0, 1.0, 1.0].map(Bin::of)), Bin::of(5.0)]);
        assert_eq!(merged, Bin { min: 1.0, max: 5.0, mean: 2.0, count: 4 });
    }
}
