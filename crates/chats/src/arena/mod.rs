//! Which of two models answers better, blind: pairs and votes in an append-only log, ratings from
//! them, and the votes as rows to train on.

mod export;
mod pairs;
mod rating;

pub use export::{Preferences, preferences};
pub use pairs::{Arena, Choice, Pair, PairId, Side, Slot};
pub use rating::{Leaderboard, RESAMPLES, Rating, leaderboard};
