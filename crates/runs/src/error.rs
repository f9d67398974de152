//! What can go wrong around runs, in one sentence each.

use std::io;
use std::path::{Path, PathBuf};

use apertis_domain::name::RunNameError;
use apertis_domain::{RecipeError, SinkError};
use thiserror::Error;

/// An operation on runs that failed.
#[derive(Debug, Error)]
pub enum RunsError {
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
    /// A run of that name exists; it is never overwritten.
    #[error("create run: `{name}` already exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no such run.
    #[error("find run: there is no run `{name}`")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The run whose name is closest, if one is close.
        nearest: Option<String>,
    },
    /// Not a name for a run.
    #[error(transparent)]
    Name(#[from] RunNameError),
    /// The recipe of the run cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A worker is at work on it.
    #[error("open run {path}: a worker is already at work on it ({holder})", path = path.display())]
    AlreadyRunning {
        /// The run's folder.
        path: PathBuf,
        /// Who, as far as the lock tells.
        holder: String,
    },
    /// A file of the run is not what was written.
    #[error("read {path}: {message}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        message: String,
    },
    /// An event could not be recorded.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The run was asked to stop before it began.
    #[error("wait for {device}: the run was asked to stop")]
    StoppedInQueue {
        /// The device.
        device: String,
    },
    /// The index refused.
    #[error(transparent)]
    Storage(#[from] apertis_storage::StorageError),
    /// A chart could not be drawn.
    #[error("draw curves: {message}")]
    Chart {
        /// What the drawing library said.
        message: String,
    },
}

impl RunsError {
    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        match self {
            RunsError::NameTaken { name } => Some(format!("choose another name, or go on with it: apertis train resume={name}")),
            RunsError::NotFound { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`apertis runs` lists them".to_owned(),
            }),
            RunsError::AlreadyRunning { path, .. } => {
                Some(format!("watch it: apertis watch {}", path.file_name().unwrap_or_default().to_string_lossy()))
            }
            RunsError::Recipe(error) => error.hint(),
            RunsError::Storage(error) => error.hint().map(str::to_owned),
            RunsError::File { source, .. } if is_disk_full(source) => Some("free some space and try again".to_owned()),
            RunsError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("check the folder's owner and permissions, or choose another with --home".to_owned())
            }
            _ => None,
        }
    }
}

/// Gives an I/O error its operation and path.
pub(crate) trait AtPath<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, RunsError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, RunsError> {
        self.map_err(|source| RunsError::File { operation, path: path.to_owned(), source })
    }
}

/// Whether a write failed for want of space.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero)
}

/// The same error for the trainer's side of the seam.
pub(crate) fn sink_error(error: RunsError) -> SinkError {
    match error {
        RunsError::Sink(error) => error,
        RunsError::File { operation, path, source } => SinkError {
            operation: format!("{operation} {}", path.display()),
            message: source.to_string(),
            is_disk_full: is_disk_full(&source),
        },
        other => SinkError { operation: "run folder".to_owned(), message: other.to_string(), is_disk_full: false },
    }
}
