//! A model as it is opened: the folder of the base, and an adapter on it.

use std::path::{Path, PathBuf};

use crate::{LibraryError, Places, find};

/// A model, and the adapter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedModel {
    /// The folder with the base or whole model.
    pub folder: PathBuf,
    /// An adapter on it.
    pub adapter: Option<PathBuf>,
    /// A short name for people.
    pub name: String,
}

/// Finds what a person typed, and the base where that is an adapter.
///
/// # Errors
/// Nothing of that name, or an adapter whose base is not there.
pub fn resolve(places: Places<'_>, text: &str) -> Result<ResolvedModel, LibraryError> {
    let found = find(places, text)?;
    let folder = std::path::absolute(&found).unwrap_or(found);
    let name = Path::new(text).file_name().map_or_else(|| text.to_owned(), |name| name.to_string_lossy().into_owned());
    let adapter_config = folder.join("adapter_config.json");
    if !adapter_config.is_file() || folder.join("config.json").is_file() {
        return Ok(ResolvedModel { folder, adapter: None, name });
    }
    let damaged = |message: &str| LibraryError::Damaged { path: adapter_config.clone(), message: message.to_owned() };
    let text = std::fs::read_to_string(&adapter_config).map_err(|error| damaged(&error.to_string()))?;
    let document: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(&error.to_string()))?;
    let base = document["base_model_name_or_path"].as_str().filter(|base| !base.is_empty());
    let base = base.ok_or_else(|| damaged("base_model_name_or_path is missing: what is this adapter for?"))?;
    Ok(ResolvedModel { folder: find(places, base)?, adapter: Some(folder), name })
}
