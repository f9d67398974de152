//! What the targets share: a folder in memory, reading a model's weights, reading rows of data.

pub mod data;
pub mod weights;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A folder of this process, which stays until it ends; each run of a target overwrites its files.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder").keep())
}

/// Writes a file of that folder.
pub fn write(name: &str, content: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, content).expect("room for a small file");
    path
}

/// An error is one line with something in it.
pub fn check_sentence(error: impl std::fmt::Display) {
    let sentence = error.to_string();
    assert!(sentence.len() > 10 && !sentence.trim_end().contains('\n'), "no sentence: {sentence:?}");
}
