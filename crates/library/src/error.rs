//! What can be wrong with models on disk, in one sentence each.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A model that cannot be found or read.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// The file system refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing has that name.
    #[error("find model: there is no folder, model or run `{name}`")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The name that is closest, if one is close.
        nearest: Option<String>,
    },
    /// The run has no checkpoint to take.
    #[error("find model: run `{run}` has no checkpoint `{mark}`")]
    NoCheckpoint {
        /// The run.
        run: String,
        /// best, last, or a step.
        mark: String,
    },
    /// A folder without a model.
    #[error("find model: {path} has neither config.json nor adapter_config.json", path = path.display())]
    NotModel {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not what its name says.
    #[error("read {path}: {message}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        message: String,
    },
}

impl LibraryError {
    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        match self {
            LibraryError::NotFound { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`apertis list` shows the models of the home".to_owned(),
            }),
            LibraryError::NoCheckpoint { run, .. } => Some(format!("it may not have saved one yet: apertis watch {run}")),
            LibraryError::NotModel { .. } => Some("give the folder that holds the model's config.json".to_owned()),
            LibraryError::File { .. } | LibraryError::Damaged { .. } => None,
        }
    }
}
