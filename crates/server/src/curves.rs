//! Curves of a run, thinned to what a chart can show: bins of 1, 16, 256, … points with their mean,
//! least and greatest value.

use apertis_domain::EventKind;
use apertis_domain::event::{Evaluated, StepFinished};
use apertis_protocol::metric::{Mark, MetricQuery, Series};
use apertis_runs::RunRecord;
use apertis_runs::record::Point;

/// Points a curve where nobody says.
const POINTS: u32 = 1_500;
const POINTS_MAX: u32 = 10_000;
/// Points of one level of bins in one of the next.
const FANOUT: usize = 16;

struct Curve<T> {
    name: &'static str,
    unit: &'static str,
    value: fn(&T) -> f64,
}

const OF_STEPS: [Curve<StepFinished>; 4] = [
    Curve { name: "loss", unit: "nats", value: |step| step.loss },
    Curve { name: "learning_rate", unit: "", value: |step| step.learning_rate },
    Curve { name: "grad_norm", unit: "", value: |step| step.grad_norm },
    Curve { name: "tokens_per_second", unit: "tokens/s", value: |step| step.tokens_per_second },
];

const OF_EVALUATIONS: [Curve<Evaluated>; 3] = [
    Curve { name: "eval_loss", unit: "nats", value: |evaluation| evaluation.loss },
    Curve { name: "accuracy", unit: "", value: |evaluation| evaluation.accuracy },
    Curve { name: "perplexity", unit: "", value: |evaluation| evaluation.loss.exp() },
];

/// Names of the curves that logs hold.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OF_STEPS.iter().map(|curve| curve.name).chain(OF_EVALUATIONS.iter().map(|curve| curve.name))
}

/// The curves that were asked for.
pub(crate) fn series(record: &RunRecord, query: &MetricQuery) -> Vec<Series> {
    let wanted: Option<Vec<&str>> = query.names.as_deref().map(|names| names.split(',').map(str::trim).collect());
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(&name));
    let points_max = query.points.unwrap_or(POINTS).clamp(2, POINTS_MAX) as usize;
    let (from, to) = (query.from.unwrap_or(0), query.to.unwrap_or(u64::MAX));
    let steps = part(&record.steps, from, to);
    let evaluations = part(&record.evaluations, from, to);
    let epochs = EpochOf(&record.steps);
    let of_steps = OF_STEPS.iter().filter(|curve| is_wanted(curve.name)).map(|curve| curve.thin(steps, points_max, &epochs));
    let of_evaluations =
        OF_EVALUATIONS.iter().filter(|curve| is_wanted(curve.name)).map(|curve| curve.thin(evaluations, points_max, &epochs));
    of_steps.chain(of_evaluations).collect()
}

/// Points are in the order of their steps.
fn part<T>(points: &[Point<T>], from: u64, to: u64) -> &[Point<T>] {
    let begin = points.partition_point(|point| point.step < from);
    let end = points.partition_point(|point| point.step <= to);
    &points[begin..end.max(begin)]
}

/// Passes through the data at a step, which only steps say.
struct EpochOf<'a>(&'a [Point<StepFinished>]);

impl EpochOf<'_> {
    fn at(&self, step: u64) -> f32 {
        let after = self.0.partition_point(|point| point.step <= step);
        after.checked_sub(1).map_or(0.0, |at| self.0[at].value.epoch as f32)
    }
}

impl<T> Curve<T> {
    fn thin(&self, points: &[Point<T>], points_max: usize, epochs: &EpochOf<'_>) -> Series {
        let mut bin = 1;
        while points.len().div_ceil(bin) > points_max {
            bin *= FANOUT;
        }
        let mut series = Series {
            name: self.name.to_owned(),
            unit: self.unit.to_owned(),
            bin: u32::try_from(bin).unwrap_or(u32::MAX),
            total: points.len() as u64,
            step: Vec::new(),
            tokens: Vec::new(),
            elapsed_ms: Vec::new(),
            epoch: Vec::new(),
            mean: Vec::new(),
            min: Vec::new(),
            max: Vec::new(),
        };
        for chunk in points.chunks(bin) {
            let Some(last) = chunk.last() else { continue };
            series.step.push(last.step);
            series.tokens.push(last.tokens);
            series.elapsed_ms.push(last.elapsed_ms);
            series.epoch.push(epochs.at(last.step));
            let (mut sum, mut count, mut min, mut max) = (0.0, 0_u32, f64::INFINITY, f64::NEG_INFINITY);
            for value in chunk.iter().map(|point| (self.value)(&point.value)).filter(|value| value.is_finite()) {
                (sum, count, min, max) = (sum + value, count + 1, min.min(value), max.max(value));
            }
            let known = |value: f64| (count > 0).then_some(value as f32);
            series.mean.push(known(sum / f64::from(count.max(1))));
            if bin > 1 {
                series.min.push(known(min));
                series.max.push(known(max));
            }
        }
        series
    }
}

/// What happened between the points.
pub(crate) fn marks(record: &RunRecord) -> Vec<Mark> {
    let best = record.best().map(|point| point.step);
    let evaluations = record.evaluations.iter().map(|point| Mark {
        step: point.step,
        elapsed_ms: point.elapsed_ms,
        kind: if Some(point.step) == best { "best" } else { "evaluation" }.to_owned(),
        text: format!("Held-out loss {:.4}, accuracy {:.1}%", point.value.loss, point.value.accuracy * 100.0),
    });
    let checkpoints = record.checkpoints.iter().map(|point| Mark {
        step: point.step,
        elapsed_ms: point.elapsed_ms,
        kind: "checkpoint".to_owned(),
        text: format!("Checkpoint saved, {:.1} MB", point.value.bytes as f64 / 1e6),
    });
    let notes = record.notes.iter().filter_map(|event| {
        let (kind, text) = match &event.kind {
            EventKind::RunPaused(paused) => ("pause", format!("Paused: {}", paused.reason.replace('_', " "))),
            EventKind::RunResumed(resumed) => ("resume", format!("Went on from step {} after: {}", resumed.from_step, resumed.cause)),
            EventKind::RunRewound(rewound) => {
                ("rewind", format!("Went back to step {}: {}", rewound.to_step, rewound.reason.replace('_', " ")))
            }
            EventKind::LearningRateChanged(changed) => {
                ("learning_rate", format!("Learning rate from {:e} to {:e}", changed.from, changed.to))
            }
            EventKind::ScheduleReplanned(replanned) => {
                ("extended", format!("{} steps from here: {}", replanned.total_steps, replanned.reason))
            }
            EventKind::WorkerSlept(slept) => ("sleep", format!("The machine slept for {} s", slept.slept_ms / 1000)),
            _ => return None,
        };
        Some(Mark { step: event.step, elapsed_ms: event.elapsed_ms, kind: kind.to_owned(), text })
    });
    let mut marks: Vec<Mark> = evaluations.chain(checkpoints).chain(notes).collect();
    marks.sort_by_key(|mark| mark.step);
    marks
}

/// Best and last value of a curve.
pub(crate) fn ends(record: &RunRecord, name: &str) -> (Option<f64>, Option<f64>) {
    let is_less_better = is_less_better(name);
    let of_steps = OF_STEPS.iter().find(|curve| curve.name == name).map(|curve| values(curve, &record.steps));
    let found = of_steps.or_else(|| OF_EVALUATIONS.iter().find(|curve| curve.name == name).map(|curve| values(curve, &record.evaluations)));
    let found = found.unwrap_or_default();
    let better = |a: f64, b: f64| if (a < b) == is_less_better { a } else { b };
    (found.iter().copied().reduce(better), found.last().copied())
}

/// Whether a smaller value of a curve is the better one.
pub(crate) fn is_less_better(name: &str) -> bool {
    !matches!(name, "accuracy" | "tokens_per_second")
}

fn values<T>(curve: &Curve<T>, points: &[Point<T>]) -> Vec<f64> {
    points.iter().map(|point| (curve.value)(&point.value)).filter(|value| value.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(count: u64) -> RunRecord {
        let step = |step: u64| Point {
            step,
            elapsed_ms: step * 10,
            tokens: step * 100,
            value: StepFinished {
                loss: if step == 7 { f64::NAN } else { step as f64 },
                epoch: step as f64 / 10.0,
                ..StepFinished::default()
            },
        };
        let evaluated = Point { step: 4, elapsed_ms: 40, tokens: 400, value: Evaluated { loss: 1.0, ..Evaluated::default() } };
        RunRecord { steps: (1..=count).map(step).collect(), evaluations: vec![evaluated], ..RunRecord::default() }
    }

    #[test]
    fn few_points_are_sent_as_they_are_and_many_in_bins() {
        let check = |count, points, bin, length| {
            let query = MetricQuery { names: Some("loss".to_owned()), points: Some(points), ..MetricQuery::default() };
            let series = series(&record(count), &query);
            assert_eq!((series.len(), series[0].bin, series[0].step.len()), (1, bin, length), "{count} {points}");
            assert_eq!(series[0].total, count);
        };
        check(100, 100, 1, 100);
        check(101, 100, 16, 7);
        check(1601, 100, 256, 7);
        check(0, 100, 1, 0);
    }

    #[test]
    fn bins_keep_extremes_and_leave_out_what_is_no_number() {
        let query = MetricQuery { names: Some("loss".to_owned()), points: Some(2), ..MetricQuery::default() };
        let series = series(&record(20), &query);
        assert_eq!((series[0].min.clone(), series[0].max.clone()), (vec![Some(1.0), Some(17.0)], vec![Some(16.0), Some(20.0)]));
        assert_eq!(series[0].mean[0], Some(((1..=16).sum::<i32>() - 7) as f32 / 15.0));
        assert_eq!((series[0].step.clone(), series[0].epoch.clone()), (vec![16, 20], vec![1.6, 2.0]));
    }

    #[test]
    fn a_range_of_steps_and_evaluations_with_their_epoch() {
        let query = MetricQuery { from: Some(3), to: Some(5), ..MetricQuery::default() };
        let found = series(&record(20), &query);
        let named = |name: &str| found.iter().find(|series| series.name == name).expect("it was not left out");
        assert_eq!(named("loss").step, [3, 4, 5]);
        assert_eq!((named("eval_loss").step.clone(), named("eval_loss").epoch.clone()), (vec![4], vec![0.4]));
        assert_eq!(ends(&record(20), "loss"), (Some(1.0), Some(20.0)));
        assert_eq!(marks(&record(20))[0].kind, "best");
    }
}
