//! What can go wrong with a model, in sentences.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the model crate.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A config that is not what its family needs.
    #[error("config: {message}")]
    Config {
        /// The sentence.
        message: String,
    },
    /// A `model_type` that no family maps.
    #[error("config: model_type {found:?} is not supported; supported are {supported}")]
    UnknownFamily {
        /// The word in the config.
        found: String,
        /// All supported words.
        supported: String,
    },
    /// A weight file that lies or is cut short.
    #[error("weights: {}: {message}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The sentence.
        message: String,
    },
    /// A tensor that the config promises and the folder lacks.
    #[error("weights: tensor {name} is missing")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor whose shape the config contradicts.
    #[error("weights: {name}: found shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Axes in the file.
        found: Vec<usize>,
        /// Axes that the config asks for.
        expected: Vec<usize>,
    },
    /// NaN or infinity among the weights.
    #[error("weights: {name}: element {element} is {value}, expected finite numbers")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Which element.
        element: usize,
        /// NaN or infinity.
        value: f32,
    },
    /// An adapter that does not fit the model.
    #[error("adapter: {message}")]
    Adapter {
        /// The sentence.
        message: String,
    },
    /// Ids or lengths that the model cannot take.
    #[error("{operation}: {message}")]
    Input {
        /// What was tried.
        operation: &'static str,
        /// The sentence.
        message: String,
    },
    /// The backend refused.
    #[error(transparent)]
    Backend(#[from] apertis_kernels::BackendError),
}

impl ModelError {
    /// Wraps an error of the file system.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError + '_ {
        move |source| ModelError::Io { path: path.to_path_buf(), source }
    }

    /// A sentence about a config.
    pub fn config(message: impl Into<String>) -> ModelError {
        ModelError::Config { message: message.into() }
    }

    /// A sentence about an adapter.
    pub fn adapter(message: impl Into<String>) -> ModelError {
        ModelError::Adapter { message: message.into() }
    }

    /// A sentence about a weight file.
    pub fn weights(path: &Path, message: impl Into<String>) -> ModelError {
        ModelError::Weights { path: path.to_path_buf(), message: message.into() }
    }
}
