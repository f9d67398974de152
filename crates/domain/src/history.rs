//! What of a log stands: pure functions from a sequence of events, in the order of `seq`.

use crate::event::{Event, EventKind};

/// Whether an event is a point of the curves, which a later resume or rewind can supersede.
/// Decisions are not: they hold from their step on, and a resumed run repeats them.
pub fn is_point(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StepFinished(_) | EventKind::Evaluated(_) | EventKind::CheckpointSaved(_) | EventKind::Sampled(_))
}

/// Whether an event is a decision taken from time, memory or a person, which applies from its
/// step on and must be repeated by a run that resumes before or at that step.
pub fn is_decision(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::BatchSkipped(_) | EventKind::ScheduleReplanned(_) | EventKind::LearningRateChanged(_) | EventKind::MicroBatchHalved(_)
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
/// to, written before it, do not; everything else does.
pub fn standing<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<bool> {
    let mut stands = Vec::new();
    // Indices of standing points with their step. Steps rise between two takings-back, so that
    // those taken back are always a tail.
    let mut points: Vec<(usize, u64)> = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        stands.push(true);
        if let Some(step) = supersedes_after(&event.kind) {
            while let Some((point, _)) = points.pop_if(|(_, point_step)| *point_step > step) {
                stands[point] = false;
            }
        }
        if is_point(&event.kind) {
            let place = points.partition_point(|(_, step)| *step <= event.step);
            points.insert(place, (index, event.step));
        }
    }
    stands
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
