//! Ids, the recipe catalogue, the run state machine and its events; no input or output.
//!
//! Everything here is a value or a pure function, so that every other crate may use it.

pub mod command;
pub mod event;
pub mod failure;
pub mod history;
pub mod name;
pub mod recipe;
pub mod seam;
pub mod state;

pub use command::{Action, Command};
pub use event::{Event, EventKind};
pub use failure::FailureCode;
pub use name::RunName;
pub use recipe::{Recipe, RecipeError};
pub use seam::{CheckpointMark, CheckpointRef, CheckpointStore, Control, EventSink, SinkError};
pub use state::{LockFacts, LogState, RunState};
