//! Folders, fixtures and tiny models for tests; a dev-dependency only.

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

use std::path::{Path, PathBuf};

/// The folder of real-world test data beside the project, where it is there: the
/// environment variable `APERTIS_TESTDATA`, else `../shared/testdata` from the root.
/// Tests that need it skip their part without it.
pub fn shared_testdata() -> Option<PathBuf> {
    let named = std::env::var_os("APERTIS_TESTDATA").map(PathBuf::from);
    let beside = || workspace_root().join("../shared/testdata");
    Some(named.unwrap_or_else(beside)).filter(|folder| folder.is_dir())
}

/// The root of the project's source tree.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
