//! Mistral: the Llama block with a window on every layer.

use super::llama;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::ModelSpec;

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    // The class default of 4,096 holds only for configs without the key; null means none.
    let window = match config.document.get("sliding_window") {
        None => Some(4096),
        Some(_) => config.optional_count("sliding_window")?,
    };
    llama::build(config, false, false, |_| Ok(window))
}
