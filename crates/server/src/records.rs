//! Whole records of the runs whose pages are open: what the coach and a clone look through. A record
//! grows with its log, so that only what is new is read.

use std::sync::{Mutex, PoisonError};

use apertis_runs::watch::Watcher;
use apertis_runs::{RunRecord, RunsError};

use crate::mirror::KnownRun;

/// Records that are kept.
const KEPT: usize = 4;
/// A longer run's record takes too much memory to be kept.
const STEPS_MAX: usize = 200_000;

/// Records of the runs that were asked for last.
#[derive(Default)]
pub(crate) struct Records(Mutex<Vec<(String, Watcher)>>);

impl Records {
    /// What stands of a run. Reads the log, or what is new of it.
    pub(crate) fn with<T>(&self, run: &KnownRun, look: impl FnOnce(&RunRecord) -> T) -> Result<T, RunsError> {
        let known = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A folder that moved is another log to follow.
            let place = kept.iter().position(|(id, watcher)| *id == run.id && watcher.folder() == &run.folder);
            place.map(|place| kept.remove(place).1)
        };
        let mut watcher = known.unwrap_or_else(|| Watcher::new(&run.folder));
        watcher.look()?;
        let found = look(watcher.record());
        if watcher.record().steps.len() <= STEPS_MAX {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|(id, _)| *id != run.id);
            kept.push((run.id.clone(), watcher));
            if kept.len() > KEPT {
                kept.remove(0);
            }
        }
        Ok(found)
    }
}
