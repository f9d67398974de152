//! Curves: columns of points in chunks, with a pyramid of summaries above, so that a question
//! reads about as much as it shows.
//!
//! A track is what was measured together (steps, evaluations, machine samples). Level 0 holds its
//! points, 4,096 a chunk; each bin of a level above sums up 16 of the level below, 256 a chunk.
//! What a resume or rewind took back is moved to a stretch of its own, named by the event that
//! took it back; stretch 0 is what stands.

mod bins;
mod codec;
mod columns;
mod query;
mod track;

pub use query::{Curve, CurveEnds, CurveQuery, Curves};

pub(crate) use columns::{Place, Points};
pub(crate) use query::{bound, curve_of, points_before};
pub(crate) use track::{Track, TrackKey};

/// Points a chunk of level 0.
pub(crate) const CHUNK_POINTS: u64 = 4096;

/// Bins a chunk of the levels above, and how many of a level make one of the next.
pub(crate) const CHUNK_BINS: u64 = 256;

/// How many of a level make one of the next.
pub(crate) const FACTOR: u64 = 16;

/// The track of optimizer steps.
pub(crate) const STEPS: &str = "step";
/// The track of evaluations.
pub(crate) const EVALUATIONS: &str = "evaluation";
/// The track of machine samples.
pub(crate) const SYSTEM: &str = "system";

/// The topmost level of so many points. A level comes into being while every bin of the level
/// below still lies in that level's first chunk.
pub(crate) fn top_level(points: u64) -> u32 {
    (1..).take_while(|level| points >= FACTOR.pow(level + 1)).last().unwrap_or(0)
}

/// Bins of a level.
pub(crate) fn bins_of(points: u64, level: u32) -> u64 {
    points.div_ceil(FACTOR.pow(level))
}

/// Bins (points, at level 0) a chunk of a level.
pub(crate) fn chunk_size(level: u32) -> u64 {
    if level == 0 { CHUNK_POINTS } else { CHUNK_BINS }
}
