//! The seam between the trainer and what keeps its run: traits only, so that the trainer does
//! no file handling of runs and a test can stand in for all of it.

use std::path::PathBuf;

use thiserror::Error;

use crate::command::Command;
use crate::event::{CheckpointSaved, EventKind};

/// Something around the trainer could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {message}")]
pub struct SinkError {
    /// What was being done, with the file.
    pub operation: String,
    /// What went wrong.
    pub message: String,
    /// Whether the disk is full.
    pub is_disk_full: bool,
}

/// Where the trainer's events go.
pub trait EventSink {
    /// Records one event. Blocks while the disk is full.
    ///
    /// # Errors
    /// The event could not be recorded, and waiting will not help: the caller ends the run.
    fn emit(&mut self, step: u64, kind: EventKind) -> Result<(), SinkError>;
}

/// Where requests to the run come from.
pub trait Control {
    /// Requests that have arrived since the last call, oldest first; cheap enough for every
    /// step. Each is answered by a `CommandAnswered` event with its id.
    fn poll(&mut self, step: u64) -> Vec<Command>;
}

/// Which links a checkpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckpointMark {
    /// It is the best so far.
    pub is_best: bool,
    /// It is where a resumed run goes on.
    pub is_last: bool,
}

/// A whole checkpoint on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRef {
    /// The step after which it was saved.
    pub step: u64,
    /// Its folder.
    pub folder: PathBuf,
}

/// Where checkpoints are written. A checkpoint is whole or absent, whatever happens.
pub trait CheckpointStore {
    /// A new empty folder to write the checkpoint of `step` into.
    ///
    /// # Errors
    /// The folder cannot be made.
    fn begin(&mut self, step: u64) -> Result<PathBuf, SinkError>;

    /// Makes what was written since `begin` durable and visible, and removes checkpoints that
    /// are no longer kept. The result is to be emitted.
    ///
    /// # Errors
    /// Nothing changed; earlier checkpoints are as good as before.
    fn commit(&mut self, step: u64, mark: CheckpointMark) -> Result<CheckpointSaved, SinkError>;

    /// Gives up what was written since `begin`.
    fn discard(&mut self, step: u64);

    /// The checkpoint with the best evaluation.
    fn best(&self) -> Option<CheckpointRef>;

    /// The checkpoint to resume from.
    fn last(&self) -> Option<CheckpointRef>;

    /// Marks an existing checkpoint as the best one, so that it stays.
    ///
    /// # Errors
    /// There is none of that step, or the index cannot be written.
    fn mark_best(&mut self, step: u64) -> Result<(), SinkError>;
}

/// Working time of the run: it stands still while the machine sleeps or the run is paused.
pub trait Clock {
    /// Milliseconds of work since the run began, over all attempts.
    fn elapsed_ms(&self) -> u64;
}
