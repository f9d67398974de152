//! Curves as data: thinned to what an image can show, and smoothed; no drawing here.

use crate::record::RunRecord;

/// Columns that a thinned curve has at most, two points each.
const COLUMNS_MAX: usize = 700;

/// A curve: x is the step.
pub(super) type Series = Vec<(f64, f64)>;

/// The curves of a run.
#[derive(Debug, Default)]
pub(super) struct Curves {
    pub(super) loss: Series,
    pub(super) loss_smooth: Series,
    pub(super) eval_loss: Series,
    pub(super) best: Option<(f64, f64)>,
    pub(super) learning_rate: Series,
    pub(super) grad_norm: Series,
    pub(super) tokens_per_second: Series,
    pub(super) step_max: f64,
}

impl Curves {
    /// The standing curves of a record.
    pub(super) fn of(record: &RunRecord) -> Curves {
        let steps = |value: &dyn Fn(&apertis_domain::event::StepFinished) -> f64| -> Series {
            record.steps.iter().map(|point| (point.step as f64, value(&point.value))).collect()
        };
        let loss = steps(&|step| step.loss);
        let eval_loss: Series =
            record.evaluations.iter().map(|point| (point.step as f64, point.value.loss)).filter(|(_, loss)| loss.is_finite()).collect();
        let last_step = record.step().max(record.evaluations.last().map_or(0, |point| point.step));
        Curves {
            loss_smooth: thin(&smooth(&loss)),
            loss: thin(&loss),
            eval_loss,
            best: record.best().map(|point| (point.step as f64, point.value.loss)),
            learning_rate: thin(&steps(&|step| step.learning_rate)),
            grad_norm: thin(&steps(&|step| step.grad_norm)),
            tokens_per_second: thin(&smooth(&steps(&|step| step.tokens_per_second))),
            step_max: last_step.max(1) as f64,
        }
    }
}

/// The smallest and largest point of each column, so that a spike stays a spike.
fn thin(series: &[(f64, f64)]) -> Series {
    let finite: Series = series.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    if finite.len() <= 2 * COLUMNS_MAX {
        return finite;
    }
    let size = finite.len().div_ceil(COLUMNS_MAX);
    finite
        .chunks(size)
        .flat_map(|column| {
            let low = column.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
            let high = column.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
            let mut pair: Vec<_> = low.into_iter().chain(high).collect();
            pair.sort_by(|a, b| a.0.total_cmp(&b.0));
            pair.dedup();
            pair
        })
        .collect()
}

/// An exponential mean over about a fortieth of the run, corrected for its start.
fn smooth(series: &[(f64, f64)]) -> Series {
    let window = (series.len() as f64 / 40.0).clamp(4.0, 500.0);
    let keep = 1.0 - 1.0 / window;
    let (mut mean, mut weight) = (0.0, 0.0);
    let mut smoothed = Series::with_capacity(series.len());
    for &(x, y) in series.iter().filter(|(_, y)| y.is_finite()) {
        mean = keep * mean + (1.0 - keep) * y;
        weight = keep * weight + (1.0 - keep);
        smoothed.push((x, mean / weight));
    }
    smoothed
}

/// The range of some curves with a margin. With `clip`, the highest hundredth may be cut off, so
/// that one spike does not flatten the rest.
pub(super) fn range_of(curves: &[&[(f64, f64)]], clip: bool) -> (f64, f64) {
    let mut values: Vec<f64> = curves.iter().flat_map(|curve| curve.iter().map(|p| p.1)).collect();
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (values.first().copied(), values.last().copied()) else {
        return (0.0, 1.0);
    };
    let usual = values[(values.len() - 1) * 99 / 100];
    let high = if clip && high - low > 4.0 * (usual - low) && usual > low { usual } else { high };
    let margin = match high - low {
        span if span > 0.0 => span * 0.06,
        _ => high.abs().max(1e-9) * 0.1,
    };
    (low - margin, high + margin)
}

/// Round values for the marks of an axis: 1, 2 or 5 times a power of ten apart, about `count`.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    if !(rough > 0.0 && rough.is_finite()) {
        return vec![low];
    }
    let power = 10f64.powf(rough.log10().floor());
    let unit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|unit| unit * power >= rough);
    let distance = unit.unwrap_or(10.0) * power;
    let first = (low / distance).ceil() as i64;
    let last = (high / distance).floor() as i64;
    (first..=last).map(|index| index as f64 * distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_extremes_and_few_points() {
        let mut series: Series = (0..100_000).map(|x| (f64::from(x), 1.0)).collect();
        series[54_321].1 = 99.0;
        series[54_000].1 = f64::NAN;
        let thinned = thin(&series);
        assert!(thinned.len() <= 2 * COLUMNS_MAX);
        assert!(thinned.contains(&(54_321.0, 99.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn smoothing_starts_at_the_first_value() {
        let smoothed = smooth(&[(1.0, 4.0), (2.0, f64::NAN), (3.0, 2.0)]);
        assert_eq!(smoothed[0], (1.0, 4.0));
        assert!(smoothed.len() == 2 && smoothed[1].1 > 2.0 && smoothed[1].1 < 4.0);
    }

    #[test]
    fn marks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(1.9, 4.1, 4), [2.0, 3.0, 4.0]);
        assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
    }

    #[test]
    fn one_spike_does_not_flatten_the_rest() {
        let mut curve: Series = (0..1000).map(|x| (f64::from(x), 1.0 + f64::from(x % 7) / 7.0)).collect();
        curve[3].1 = 1e6;
        assert!(range_of(&[&curve], true).1 < 3.0);
        assert!(range_of(&[&curve], false).1 > 1e6);
    }
}
