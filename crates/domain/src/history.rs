//! What of a log stands: pure functions from a sequence of events, in the order of `seq`.

use std::collections::BTreeMap;

use crate::event::{Event, EventKind};

/// Whether an event is a point of the curves, which a later resume or rewind can supersede.
/// Decisions are not: they hold from their step on, and a resumed run repeats them.
pub fn is_point(kind: &EventKind) -> bool {
    point_place(kind).is_some()
}

/// Whether an event is a decision taken from time, memory or a person, which applies from its
/// step on and must be repeated by a run that resumes before or at that step.
pub fn is_decision(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::BatchSkipped(_)
            | EventKind::ScheduleReplanned(_)
            | EventKind::LearningRateChanged(_)
            | EventKind::EvalStepsChanged(_)
            | EventKind::EvaluationAsked(_)
            | EventKind::MicroBatchHalved(_)
    )
}

/// The step after which earlier-written points do not stand, if this event takes some back.
pub fn supersedes_after(kind: &EventKind) -> Option<u64> {
    match kind {
        EventKind::RunResumed(resumed) => Some(resumed.from_step),
        EventKind::RunRewound(rewound) => Some(rewound.to_step),
        _ => None,
    }
}

/// For each event, whether it stands. Points of a later step than a resume or rewind goes back
/// to, written before it, do not; nor does a point that was written again, as when a run that
/// never saved starts over with its first evaluation. Everything else stands.
pub fn standing<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<bool> {
    let mut stands = Vec::new();
    // Standing points by step; of each step by kind and, for samples, by prompt.
    let mut points: BTreeMap<u64, BTreeMap<(&'static str, u64), usize>> = BTreeMap::new();
    for (index, event) in events.into_iter().enumerate() {
        stands.push(true);
        if let Some(step) = supersedes_after(&event.kind) {
            for (_, later) in points.split_off(&step.saturating_add(1)) {
                for point in later.into_values() {
                    stands[point] = false;
                }
            }
        }
        if let Some(place) = point_place(&event.kind) {
            let before = points.entry(event.step).or_default().insert(place, index);
            if let Some(before) = before {
                stands[before] = false;
            }
        }
    }
    stands
}

/// What tells the points of one step apart; `None` for what is no point.
fn point_place(kind: &EventKind) -> Option<(&'static str, u64)> {
    match kind {
        EventKind::StepFinished(_) => Some(("step", 0)),
        EventKind::Evaluated(_) => Some(("evaluation", 0)),
        EventKind::CheckpointSaved(_) => Some(("checkpoint", 0)),
        EventKind::Sampled(sampled) => Some(("sample", sampled.index)),
        _ => None,
    }
}

/// The events that stand, in order.
pub fn standing_events(events: &[Event]) -> Vec<&Event> {
    let stands = standing(events);
    events.iter().zip(stands).filter(|(_, stands)| *stands).map(|(event, _)| event).collect()
}

/// The decisions of a log, in order: what a resumed run repeats.
pub fn decisions(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| is_decision(&event.kind)).collect()
}
