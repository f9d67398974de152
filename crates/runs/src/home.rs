//! The one folder under which everything of a user lives.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::RunsError;
use crate::error::AtPath;

/// The home: `runs/ models/ data/ cache/ locks/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Opens a home, making its folders where they are missing.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(root: &Path) -> Result<Home, RunsError> {
        let root = std::path::absolute(root).at("find home", root)?;
        let home = Home { root };
        for folder in [home.runs(), home.models(), home.data(), home.cache(), home.locks()] {
            fs::create_dir_all(&folder).at("create folder", &folder)?;
        }
        Ok(home)
    }

    /// The home itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One folder a run.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// One folder a model.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Data sets.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What can be made again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Deleted runs.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Locks of devices.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }
}

/// Where the home is when nobody says: `APERTIS_HOME`, else the platform's data folder. Takes
/// the lookup of environment variables, so that only the program itself reads them.
pub fn default_root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(root) = path("APERTIS_HOME") {
        return Some(root);
    }
    if cfg!(windows) {
        return path("LOCALAPPDATA").map(|folder| folder.join("apertis"));
    }
    if cfg!(target_os = "macos") {
        return path("HOME").map(|home| home.join("Library/Application Support/apertis"));
    }
    path("XDG_DATA_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| path("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("apertis"))
}
