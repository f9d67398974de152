//! What a list says of a run, kept beside its log under the log's size and times, so that a
//! thousand runs are listed without reading a thousand logs. Removing it loses nothing.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use apertis_domain::LogState;
use serde::{Deserialize, Serialize};

use crate::{RunFolder, RunRecord};

/// Raised when the same log would give another summary.
const SUMMARY_VERSION: u32 = 1;

/// What stands in the log and the recipe of a run, as far as a list shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) state: LogState,
    pub(crate) method: String,
    pub(crate) model: String,
    pub(crate) data: String,
    pub(crate) step: u64,
    pub(crate) total_steps: u64,
    pub(crate) loss: Option<f64>,
    pub(crate) best_eval_loss: Option<f64>,
    pub(crate) best_step: Option<u64>,
    pub(crate) tokens_per_second: f64,
    pub(crate) seconds_left: Option<f64>,
    pub(crate) elapsed_ms: u64,
    pub(crate) began_at: String,
    pub(crate) changed_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    version: u32,
    log: LogMark,
    standing: Standing,
}

/// What changes with every line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LogMark {
    bytes: u64,
    modified_ns: u64,
    inode: u64,
}

impl LogMark {
    fn of(path: &Path) -> Option<LogMark> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(LogMark { bytes: metadata.len(), modified_ns: u64::try_from(modified.as_nanos()).ok()?, inode })
    }
}

impl Standing {
    pub(crate) fn of(folder: &RunFolder, record: &RunRecord) -> Standing {
        let recipe = folder.recipe().unwrap_or_default();
        let best = record.best();
        Standing {
            state: record.state.clone(),
            method: recipe.method.name().to_owned(),
            model: recipe.model,
            data: recipe.data,
            step: record.step(),
            total_steps: record.total_steps,
            // JSON has no other numbers.
            loss: record.steps.last().map(|point| point.value.loss).filter(|loss| loss.is_finite()),
            best_eval_loss: best.map(|point| point.value.loss),
            best_step: best.map(|point| point.step),
            tokens_per_second: record.tokens_per_second(),
            seconds_left: record.seconds_left(),
            elapsed_ms: record.elapsed_ms,
            began_at: record.began_at.clone(),
            changed_at: record.changed_at.clone(),
        }
    }
}

/// What stands of a run: as remembered where the log has not changed since, else read from the
/// log, and remembered unless a worker is about to change it.
pub(crate) fn look(folder: &RunFolder, is_held: bool) -> Standing {
    // Before the log is read: a line that comes meanwhile makes the note an old one.
    let mark = LogMark::of(&folder.events());
    let noted = fs::read(folder.summary()).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    match noted {
        Some(noted) if noted.version == SUMMARY_VERSION && Some(noted.log) == mark => noted.standing,
        _ => {
            let record = RunRecord::read(&folder.events());
            let standing = Standing::of(folder, record.as_ref().unwrap_or(&RunRecord::default()));
            if let (Some(log), false, true) = (mark, is_held, record.is_ok()) {
                write(folder, log, &standing);
            }
            standing
        }
    }
}

/// Remembers a run whose log has come to its end.
pub(crate) fn remember(folder: &RunFolder, record: &RunRecord) {
    if let Some(log) = LogMark::of(&folder.events()) {
        write(folder, log, &Standing::of(folder, record));
    }
}

fn write(folder: &RunFolder, log: LogMark, standing: &Standing) {
    let noted = Remembered { version: SUMMARY_VERSION, log, standing: standing.clone() };
    let Ok(text) = serde_json::to_vec(&noted) else { return };
    let path = folder.summary();
    let temporary = path.with_extension(format!("json.{}.tmp", std::process::id()));
    // Only a saving of time: without the note the log is read again.
    if fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path)).is_err() {
        let _ = fs::remove_file(&temporary);
    }
}
