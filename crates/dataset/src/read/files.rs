//! Paths, folders and glob patterns to an ordered list of data files.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its path as it was reached.
    pub path: PathBuf,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// Whether it was named itself, not found in a folder or by a pattern.
    pub is_named: bool,
}

/// Endings of row files and of text files; in a folder that has rows, prose beside them is
/// documentation rather than data.
const ROW_ENDINGS: [&str; 7] = ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "pq"];
const TEXT_ENDINGS: [&str; 3] = ["txt", "text", "md"];

/// The data files behind `paths`, in order; folders recursively, sorted by path. The second value
/// lists notes about files that were passed over.
///
/// # Errors
/// A path that does not exist, or leads to no data file.
pub fn find_files(paths: &[PathBuf]) -> Result<(Vec<DataFile>, Vec<String>), DatasetError> {
    let mut files = Vec::new();
    let mut notes = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            let mut found = Vec::new();
            walk(path, &mut found)?;
            add_group(found, &mut files, &mut notes);
            if files.len() == before {
                return Err(no_files(path, "no data file in this folder"));
            }
        } else if path.exists() {
            files.push(data_file(path, true)?);
        } else {
            let pattern = path.to_string_lossy();
            if !pattern.contains(['*', '?', '[']) {
                return Err(no_files(path, "no such file or folder"));
            }
            let matches = glob::glob(&pattern).map_err(|error| no_files(path, &format!("a pattern that cannot be read ({error})")))?;
            let mut found = Vec::new();
            for entry in matches.flatten() {
                if entry.is_dir() {
                    walk(&entry, &mut found)?;
                } else {
                    found.push(entry);
                }
            }
            add_group(found, &mut files, &mut notes);
            if files.len() == before {
                return Err(no_files(path, "nothing that matches"));
            }
        }
    }
    if files.is_empty() {
        return Err(no_files(Path::new(""), "no path at all"));
    }
    Ok((files, notes))
}

/// What a file of a folder is for, by its name or its folder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Train,
    Validation,
    Test,
    Unsaid,
}

fn purpose(path: &Path) -> Purpose {
    let of = |name: &str| {
        let name = name.to_ascii_lowercase();
        let word = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        match word {
            "train" | "training" => Purpose::Train,
            "valid" | "val" | "validation" | "eval" | "evaluation" | "dev" => Purpose::Validation,
            "test" => Purpose::Test,
            _ => Purpose::Unsaid,
        }
    };
    let names = [path.file_name(), path.parent().and_then(Path::file_name)];
    let purposes = names.into_iter().flatten().map(|name| of(&name.to_string_lossy()));
    purposes.into_iter().find(|purpose| *purpose != Purpose::Unsaid).unwrap_or(Purpose::Unsaid)
}

/// Parts of a folder that has files called `train…` beside files called `valid…` or `test…`, as
/// published data often has: what is trained on, what is evaluated on, and notes about the rest.
/// `None` where no file was found in a folder or the names say nothing.
pub(crate) fn split_by_name(files: &[DataFile]) -> Option<(Vec<DataFile>, Vec<DataFile>, Vec<String>)> {
    let has = |wanted: Purpose| files.iter().any(|file| !file.is_named && purpose(&file.path) == wanted);
    if !has(Purpose::Train) || files.iter().any(|file| file.is_named) {
        return None;
    }
    let held = match (has(Purpose::Validation), has(Purpose::Test)) {
        (true, _) => Purpose::Validation,
        (false, true) => Purpose::Test,
        (false, false) => return None,
    };
    let mut notes = Vec::new();
    let (mut train, mut eval) = (Vec::new(), Vec::new());
    for file in files {
        match purpose(&file.path) {
            Purpose::Train | Purpose::Unsaid => train.push(file.clone()),
            purpose if purpose == held => {
                notes.push(format!("{} is evaluated on, as its name says, and not trained on", file.path.display()));
                eval.push(file.clone());
            }
            _ => notes.push(format!("{} is test data, as its name says, and not used", file.path.display())),
        }
    }
    Some((train, eval, notes))
}

fn no_files(pattern: &Path, found: &str) -> DatasetError {
    DatasetError::NoFiles { pattern: pattern.display().to_string(), found: found.to_string() }
}

fn data_file(path: &Path, is_named: bool) -> Result<DataFile, DatasetError> {
    let metadata = fs::metadata(path).map_err(DatasetError::io("look at data file", path))?;
    Ok(DataFile { path: path.to_path_buf(), bytes: metadata.len(), is_named })
}

fn add_group(mut found: Vec<PathBuf>, files: &mut Vec<DataFile>, notes: &mut Vec<String>) {
    found.sort();
    found.dedup();
    let has_rows = found.iter().any(|path| ROW_ENDINGS.contains(&ending(path).as_str()));
    for path in found {
        let ending = ending(&path);
        let is_row = ROW_ENDINGS.contains(&ending.as_str());
        let is_text = TEXT_ENDINGS.contains(&ending.as_str());
        if is_row || (is_text && !has_rows) {
            match data_file(&path, false) {
                Ok(file) => files.push(file),
                Err(error) => notes.push(error.to_string()),
            }
        } else if is_text {
            notes.push(format!("{} is prose beside row files and was not read", path.display()));
        } else {
            notes.push(format!("{} has no ending of a data file and was not read", path.display()));
        }
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    let io = || DatasetError::io("list data folder", folder);
    for entry in fs::read_dir(folder).map_err(io())? {
        let entry = entry.map_err(io())?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(io())?;
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// The ending in lower case, without `.gz` or `.zst`.
pub(super) fn ending(path: &Path) -> String {
    let of = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let last = of(path);
    if matches!(last.as_str(), "gz" | "gzip" | "zst" | "zstd") {
        return path.file_stem().map(|stem| of(Path::new(stem))).unwrap_or_default();
    }
    last
}
