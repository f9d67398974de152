//! Weights on disk: formats in, folders out, and the way between them and a backend.

mod checkpoint;
mod load;
mod safetensors;

pub use checkpoint::{Checkpoint, StoredDtype, StoredTensor};
pub use load::{LoadOptions, load_model, load_weights};
