//! What can end a training run, in sentences.

use apertis_domain::{FailureCode, SinkError};
use thiserror::Error;

/// An error of the trainer.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The recipe asks for something that cannot be.
    #[error("recipe: {0}")]
    Recipe(String),
    /// The model or an adapter.
    #[error(transparent)]
    Model(#[from] apertis_model::ModelError),
    /// The data.
    #[error(transparent)]
    Data(#[from] apertis_dataset::DatasetError),
    /// The tokenizer or its template.
    #[error(transparent)]
    Tokenizer(#[from] apertis_tokenizer::TokenizerError),
    /// Ids that the model has no row for.
    #[error("tokenizer: its largest id is {largest_id}, the model's vocabulary has {entries} entries")]
    Vocabulary {
        /// Of the tokenizer.
        largest_id: u32,
        /// Rows of the model's embedding.
        entries: usize,
    },
    /// Nothing is left to train on.
    #[error("data: {0}")]
    Empty(String),
    /// The plan does not fit.
    #[error("memory: {:.1} GB are needed, {:.1} GB may be used", *needed_bytes as f64 / 1e9, *limit_bytes as f64 / 1e9)]
    MemoryPlan {
        /// What the smallest plan needs.
        needed_bytes: u64,
        /// What this process may use.
        limit_bytes: u64,
    },
    /// A checkpoint is not what was saved.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// The loss stopped being a number, again and again.
    #[error("loss: not finite at step {step}, after {times} rewinds")]
    NotFinite {
        /// The step.
        step: u64,
        /// Rewinds before.
        times: u32,
    },
    /// The loss jumped, again and again.
    #[error("loss: {loss:.3} at step {step} is far above the recent {recent:.3}, after {times} rewinds")]
    Spike {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Median of the steps before.
        recent: f64,
        /// Rewinds before.
        times: u32,
    },
    /// Events or checkpoints cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A backend refused memory.
    #[error(transparent)]
    Backend(#[from] apertis_kernels::BackendError),
}

impl TrainError {
    /// The failure of the catalogue that this is.
    pub fn code(&self) -> FailureCode {
        use apertis_model::ModelError;
        match self {
            TrainError::Recipe(_) => FailureCode::RecipeInvalid,
            TrainError::Model(ModelError::UnknownFamily { .. }) => FailureCode::ModelUnsupported,
            TrainError::Model(ModelError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                FailureCode::PermissionDenied
            }
            TrainError::Model(ModelError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => FailureCode::ModelMissing,
            TrainError::Model(ModelError::Io { source, .. }) if is_disk_full(source) => FailureCode::DiskFull,
            TrainError::Model(ModelError::Backend(_)) | TrainError::Backend(_) => FailureCode::OutOfMemory,
            TrainError::Model(_) => FailureCode::ModelInvalid,
            TrainError::Data(_) => FailureCode::DataInvalid,
            TrainError::Tokenizer(apertis_tokenizer::TokenizerError::Template { .. }) => FailureCode::TemplateInvalid,
            TrainError::Vocabulary { .. } | TrainError::Tokenizer(_) => FailureCode::TokenizerInvalid,
            TrainError::Empty(_) => FailureCode::DataEmpty,
            TrainError::MemoryPlan { .. } => FailureCode::MemoryPlan,
            TrainError::Checkpoint(_) => FailureCode::CheckpointDamaged,
            TrainError::NotFinite { .. } => FailureCode::LossNotFinite,
            TrainError::Spike { .. } => FailureCode::LossSpike,
            TrainError::Sink(error) if error.is_disk_full => FailureCode::DiskFull,
            TrainError::Sink(_) => FailureCode::PermissionDenied,
        }
    }
}

/// Whether a write failed for want of space, on the disk or within what this user or process may use.
fn is_disk_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
