//! Folders, fixtures and tiny models for tests; a dev-dependency only.

mod damage;

pub use damage::damaged;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The committed fixtures.
pub fn fixtures() -> PathBuf {
    workspace().join("fixtures")
}

/// A folder of larger test data outside the project, when there is one.
pub fn shared_testdata() -> Option<PathBuf> {
    let named = std::env::var_os("APERTIS_TESTDATA").map(PathBuf::from);
    let beside = workspace().join("../shared/testdata");
    named.into_iter().chain([beside]).find(|folder| folder.is_dir())
}
