//! Deleted runs: kept for 30 days under `trash/`, from where they come back as they were.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::AtPath;
use crate::lock::lock_facts;
use crate::{Home, RunCard, RunFolder, RunsError};

/// How long a deleted run is kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A deleted run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedRun {
    /// The run's id.
    pub id: String,
    /// Its folder in the trash.
    pub path: PathBuf,
    /// The name its folder had.
    pub name: String,
    /// Since when it lies there.
    pub since: SystemTime,
}

/// Moves a run to the trash.
///
/// # Errors
/// A worker is at work on it, or the folder cannot be moved.
pub fn discard(home: &Home, run: &RunFolder) -> Result<TrashedRun, RunsError> {
    if lock_facts(run).is_held {
        return Err(RunsError::AlreadyRunning { path: run.path().to_owned(), holder: "stop it first".to_owned() });
    }
    let card = RunCard::open(home, run)?;
    let trash = home.trash();
    fs::create_dir_all(&trash).at("create folder", &trash)?;
    let path = trash.join(&card.id);
    fs::rename(run.path(), &path).at("move to the trash", run.path())?;
    // The time of a folder is that of its newest entry: the mark says when it came here.
    let mark = path.join(MARK);
    fs::write(&mark, run.name()).at("write", &mark)?;
    Ok(TrashedRun { id: card.id, path, name: run.name(), since: SystemTime::now() })
}

/// What lies in the trash, newest first.
///
/// # Errors
/// The trash cannot be listed.
pub fn list(home: &Home) -> Result<Vec<TrashedRun>, RunsError> {
    let trash = home.trash();
    let entries = match fs::read_dir(&trash) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RunsError::File { operation: "list", path: trash, source }),
    };
    let mut runs: Vec<TrashedRun> = entries.flatten().filter_map(|entry| trashed(&entry.path())).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.since));
    Ok(runs)
}

/// Brings a run back under the name it had, or the next free one.
///
/// # Errors
/// It is not in the trash, or cannot be moved.
pub fn restore(home: &Home, id: &str) -> Result<RunFolder, RunsError> {
    let run = list(home)?.into_iter().find(|run| run.id == id);
    let run = run.ok_or_else(|| RunsError::NotFound { name: id.to_owned(), nearest: None })?;
    let path = RunFolder::free_path(home, &run.name)?;
    fs::rename(&run.path, &path).at("bring back", &run.path)?;
    let mark = path.join(MARK);
    fs::remove_file(&mark).at("remove", &mark)?;
    RunFolder::open(&path)
}

/// Removes for good what has lain there for [`KEPT`], and says how much that was.
///
/// # Errors
/// A folder cannot be removed.
pub fn sweep(home: &Home, now: SystemTime) -> Result<usize, RunsError> {
    let mut removed = 0;
    for run in list(home)? {
        if now.duration_since(run.since).unwrap_or_default() >= KEPT {
            fs::remove_dir_all(&run.path).at("remove", &run.path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Holds the name of the run's folder; its time is when the run came here.
const MARK: &str = "trashed.txt";

fn trashed(path: &Path) -> Option<TrashedRun> {
    let mark = path.join(MARK);
    let name = fs::read_to_string(&mark).ok()?;
    let since = fs::metadata(&mark).and_then(|data| data.modified()).ok()?;
    Some(TrashedRun { id: path.file_name()?.to_str()?.to_owned(), path: path.to_owned(), name, since })
}
