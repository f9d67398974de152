//! Which folder or file a name on the command line means.

use std::path::{Path, PathBuf};

use crate::LibraryError;
use crate::entry::{is_model, list};

/// Where names are looked up, after the path itself.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The home's models.
    pub models: &'a Path,
    /// The home's runs, each with `checkpoints/best` and `checkpoints/last`.
    pub runs: &'a Path,
}

/// Finds a model, in this order: a path (a folder with a model, a run's folder, or a `.bin`
/// file), a model of the home, a run's checkpoint: `lora-1` (the best, else the last),
/// `lora-1:last`, `lora-1:600`.
///
/// # Errors
/// Nothing has that name, or what has it is no model.
pub fn find(places: Places<'_>, name: &str) -> Result<PathBuf, LibraryError> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !name.is_empty() && path.is_dir() {
        return match (is_model(path), path.join("checkpoints").is_dir()) {
            (true, _) => Ok(path.to_owned()),
            (false, true) => checkpoint(path, name, "best"),
            (false, false) => Err(LibraryError::NotModel { path: path.to_owned() }),
        };
    }
    let model = places.models.join(name);
    if !name.is_empty() && is_model(&model) {
        return Ok(model);
    }
    let (run, mark) = name.rsplit_once(':').unwrap_or((name, "best"));
    let run_folder = places.runs.join(run);
    if !run.is_empty() && run_folder.join("checkpoints").is_dir() {
        return checkpoint(&run_folder, run, mark);
    }
    Err(LibraryError::NotFound { name: name.to_owned(), nearest: nearest(places, name) })
}

/// A checkpoint of a run; `best` falls back to `last`, where nothing was evaluated.
fn checkpoint(run: &Path, name: &str, mark: &str) -> Result<PathBuf, LibraryError> {
    let root = run.join("checkpoints");
    let folders = match (mark, mark.parse::<u64>()) {
        ("best", _) => vec![root.join("best"), root.join("last")],
        (_, Ok(step)) => vec![root.join(format!("step-{step:06}"))],
        _ => vec![root.join(mark)],
    };
    let found = folders.into_iter().find(|folder| is_model(folder));
    // The links move while the run goes on; the folder they point to does not change.
    let folder = found.map(|folder| folder.canonicalize().unwrap_or(folder));
    folder.ok_or_else(|| LibraryError::NoCheckpoint { run: name.to_owned(), mark: mark.to_owned() })
}

fn nearest(places: Places<'_>, name: &str) -> Option<String> {
    let models = list(places.models).unwrap_or_default().into_iter().map(|entry| entry.name);
    let runs = std::fs::read_dir(places.runs).into_iter().flatten().flatten();
    let runs = runs.map(|entry| entry.file_name().to_string_lossy().into_owned());
    models
        .chain(runs)
        .map(|found| (strsim::damerau_levenshtein(&found, name), found))
        .filter(|(distance, found)| *distance <= found.len().max(name.len()).div_ceil(3))
        .min()
        .map(|(_, found)| found)
}
