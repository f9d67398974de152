//! Curves of the index as they go over the wire.

use apertis_protocol::metric::{Mark, MetricQuery, Series};
use apertis_storage::index;
use apertis_storage::points::{Curve, CurveQuery};

use crate::failure::{Answer, Failure};

/// Points a curve where nobody says.
const POINTS: u32 = 1_500;
const POINTS_MAX: u32 = 10_000;

/// What every run measures, and two are compared by.
pub(crate) const COMPARED: [&str; 6] = ["loss", "eval_loss", "accuracy", "perplexity", "grad_norm", "tokens_per_second"];

/// A question as the index takes it.
pub(crate) fn query(query: &MetricQuery) -> Answer<CurveQuery> {
    let names: Vec<String> = query.names.as_deref().unwrap_or_default().split(',').map(str::trim).map(str::to_owned).collect();
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.len() > 100 || names.iter().any(|name| !is_name(name)) {
        return Err(Failure::bad("names is at most 100 names of curves, separated by commas."));
    }
    let points = query.points.unwrap_or(POINTS).clamp(2, POINTS_MAX);
    Ok(CurveQuery { names, points, from: query.from, to: query.to, ..CurveQuery::default() })
}

/// Whether a curve can be called that.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// A curve.
pub(crate) fn series(curve: Curve) -> Series {
    Series {
        name: curve.name,
        unit: curve.unit.to_owned(),
        bin: curve.bin,
        total: curve.total,
        step: curve.step,
        tokens: curve.tokens,
        elapsed_ms: curve.elapsed_ms,
        epoch: curve.epoch,
        mean: curve.mean,
        min: curve.min,
        max: curve.max,
    }
}

/// A curve that a run does not have.
pub(crate) fn empty(name: &str) -> Series {
    series(Curve { name: name.to_owned(), bin: 1, ..Curve::default() })
}

/// What happened between the points.
pub(crate) fn mark(mark: index::Mark) -> Mark {
    Mark { step: mark.step, elapsed_ms: mark.elapsed_ms, kind: mark.kind, text: mark.text }
}

/// Whether a smaller value of a curve is the better one.
pub(crate) fn is_less_better(name: &str) -> bool {
    !matches!(name, "accuracy" | "tokens_per_second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_and_nonsense_is_refused() {
        let ask = |names: &str, points| query(&MetricQuery { names: Some(names.to_owned()), points, ..MetricQuery::default() });
        let found = ask("loss, eval_loss,", Some(1)).expect("a question");
        assert_eq!((found.names, found.points), (vec!["loss".to_owned(), "eval_loss".to_owned()], 2));
        assert_eq!(ask("", None).expect("a question").points, POINTS);
        for bad in ["a b", "é", "'", &"x".repeat(65)] {
            assert!(ask(bad, None).is_err(), "{bad}");
        }
    }
}
