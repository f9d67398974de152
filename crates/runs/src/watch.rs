//! Watching a run from outside its worker: its events as they come, its state, and starting a
//! worker again where one is gone.

use std::process::Child;

use apertis_domain::{Event, FailureCode, RunState};

use crate::error::AtPath;
use crate::lock::{lock_facts, worker_facts};
use crate::log::LogFollower;
use crate::supervise::{Cause, Next, cause_of_death, next_step};
use crate::{RunFolder, RunRecord, RunsError, worker};

/// Watches a run. Reads only, but for [`Watcher::keep_alive`].
pub struct Watcher {
    folder: RunFolder,
    follower: LogFollower,
    record: RunRecord,
}

/// What keeping a run alive did.
#[derive(Debug)]
pub enum Kept {
    /// There was nothing to do.
    Nothing,
    /// A worker was started again.
    Restarted(Cause, Child),
    /// The run was given up; its log says so.
    GivenUp(FailureCode),
}

impl Watcher {
    /// Watches from the first event on.
    pub fn new(folder: &RunFolder) -> Watcher {
        Watcher { folder: folder.clone(), follower: LogFollower::new(&folder.events()), record: RunRecord::default() }
    }

    /// The events since the last look, and the state now.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn look(&mut self) -> Result<(Vec<Event>, RunState), RunsError> {
        // The lock first: a worker that ends between the two has written its end.
        let lock = lock_facts(&self.folder);
        let events = self.follower.read_new().at("read", &self.folder.events())?;
        for event in &events {
            self.record.apply(event);
        }
        Ok((events, self.record.state.with(&lock)))
    }

    /// What stands of the run as of the last look.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Starts a worker again if the last look found the run interrupted, or gives the run up
    /// where that has been tried often enough. `start` is to start an automatic attempt.
    ///
    /// # Errors
    /// The worker cannot be started, or the end not be written.
    pub fn keep_alive(
        &mut self,
        state: &RunState,
        version: &str,
        start: impl FnOnce(&RunFolder) -> Result<Child, RunsError>,
    ) -> Result<Kept, RunsError> {
        if *state != RunState::Interrupted {
            return Ok(Kept::Nothing);
        }
        let cause = worker_facts(&self.folder).map_or(Cause::Signal, |facts| cause_of_death(&self.folder, &facts));
        match next_step(&self.record, cause) {
            Next::Resume(cause) => Ok(Kept::Restarted(cause, start(&self.folder)?)),
            Next::Fail(code) => {
                worker::give_up(&self.folder, version, code)?;
                Ok(Kept::GivenUp(code))
            }
        }
    }
}
