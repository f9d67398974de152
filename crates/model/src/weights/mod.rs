//! Weights on disk: formats in, folders out, and the way between them and a backend.

mod checkpoint;
mod llama2c;
mod load;
mod pickle;
mod safetensors;
mod save;
mod scratch;
mod torch;

pub use checkpoint::{Checkpoint, StoredDtype, StoredTensor};
pub use load::{LoadOptions, load_model, load_weights};
pub use save::save_model;
pub(crate) use save::write_tensors;
pub use scratch::{ScratchShape, config_for_scratch, initialize};
pub(crate) use scratch::{Uniform, name_hash};
