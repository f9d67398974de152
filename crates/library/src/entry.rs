//! One model or adapter folder, described by its small files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::LibraryError;
use crate::header::parameter_count;

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// A whole model.
    Model,
    /// An adapter for another model.
    Adapter,
}

/// A model on disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEntry {
    /// Name of its folder.
    pub name: String,
    /// Its folder, absolute where the list's was.
    pub path: PathBuf,
    /// What it is.
    pub kind: ModelKind,
    /// The configuration's `model_type`; empty for adapters and where it says nothing.
    pub family: String,
    /// Parameters in its safetensors files; `None` where there are none to count.
    pub parameters: Option<u64>,
    /// Size of all of its files.
    pub bytes: u64,
    /// For adapters, the model they belong to.
    pub base: Option<String>,
    /// Whether a tokenizer lies beside it.
    pub has_tokenizer: bool,
    /// When a file of it last changed, in seconds since 1970.
    pub changed_at: u64,
    /// Why it cannot be read, if it cannot.
    pub problem: Option<String>,
}

/// Every model and adapter directly in a folder, or one level below it (`owner/name`), by name.
/// What cannot be read is listed with the reason.
///
/// # Errors
/// The folder cannot be listed. A missing one is empty.
pub fn list(models: &Path) -> Result<Vec<ModelEntry>, LibraryError> {
    let mut entries = Vec::new();
    for (name, path) in folders(models)? {
        if is_model(&path) {
            entries.push(describe_or_say(name, &path));
            continue;
        }
        for (inner, path) in folders(&path)? {
            if is_model(&path) {
                entries.push(describe_or_say(format!("{name}/{inner}"), &path));
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Describes the model in a folder.
///
/// # Errors
/// The folder holds no model, or a file of it cannot be read.
pub fn describe(path: &Path) -> Result<ModelEntry, LibraryError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    describe_as(name, path)
}

/// Whether a folder says that it holds a model or an adapter.
pub(crate) fn is_model(path: &Path) -> bool {
    path.join("config.json").is_file() || path.join("adapter_config.json").is_file()
}

fn describe_or_say(name: String, path: &Path) -> ModelEntry {
    describe_as(name.clone(), path).unwrap_or_else(|error| ModelEntry {
        name,
        path: path.to_owned(),
        kind: match path.join("adapter_config.json").is_file() {
            true => ModelKind::Adapter,
            false => ModelKind::Model,
        },
        family: String::new(),
        parameters: None,
        bytes: 0,
        base: None,
        has_tokenizer: false,
        changed_at: 0,
        problem: Some(error.to_string()),
    })
}

fn describe_as(name: String, path: &Path) -> Result<ModelEntry, LibraryError> {
    if !is_model(path) {
        return Err(LibraryError::NotModel { path: path.to_owned() });
    }
    // A folder with both is an adapter with its base's configuration beside it.
    let adapter = path.join("adapter_config.json");
    let (kind, config) = match adapter.is_file() {
        true => (ModelKind::Adapter, read_json(&adapter)?),
        false => (ModelKind::Model, read_json(&path.join("config.json"))?),
    };
    let text = |name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut entry = ModelEntry {
        name,
        path: path.to_owned(),
        kind,
        family: text("model_type").unwrap_or_default(),
        parameters: None,
        bytes: 0,
        base: text("base_model_name_or_path"),
        has_tokenizer: false,
        changed_at: 0,
        problem: None,
    };
    for file in fs::read_dir(path).map_err(|source| refused("list", path, source))? {
        let file = file.map_err(|source| refused("list", path, source))?;
        let name = file.file_name().to_string_lossy().into_owned();
        // Follows links: a model's files may be kept elsewhere.
        let Ok(data) = fs::metadata(file.path()) else {
            continue;
        };
        if !data.is_file() {
            continue;
        }
        entry.bytes += data.len();
        entry.changed_at = entry.changed_at.max(data.modified().map_or(0, seconds));
        entry.has_tokenizer |= matches!(name.as_str(), "tokenizer.json" | "tokenizer.model" | "vocab.json" | "tokenizer.bin");
        if is_weights(&name, kind) {
            let count = parameter_count(&file.path());
            let count = count.map_err(|error| LibraryError::Damaged { path: file.path(), message: error.to_string() })?;
            entry.parameters = Some(entry.parameters.unwrap_or(0).saturating_add(count));
        }
    }
    Ok(entry)
}

/// The model's own weights: not the training state that a checkpoint has beside them.
fn is_weights(name: &str, kind: ModelKind) -> bool {
    let prefix = match kind {
        ModelKind::Model => "model",
        ModelKind::Adapter => "adapter_model",
    };
    name.starts_with(prefix) && name.ends_with(".safetensors")
}

fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>, LibraryError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(refused("list", path, source)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| refused("list", path, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            folders.push((name, entry.path()));
        }
    }
    folders.sort();
    Ok(folders)
}

fn read_json(path: &Path) -> Result<Value, LibraryError> {
    let text = fs::read(path).map_err(|source| refused("read", path, source))?;
    serde_json::from_slice(&text).map_err(|error| LibraryError::Damaged { path: path.to_owned(), message: error.to_string() })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn refused(operation: &'static str, path: &Path, source: std::io::Error) -> LibraryError {
    LibraryError::File { operation, path: path.to_owned(), source }
}
