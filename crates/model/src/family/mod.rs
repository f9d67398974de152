//! One small file a family: from its `config.json` and tensor names to a list of layers.

mod blocks;
mod gemma;
mod gpt2;
mod gpt_neox;
mod granite;
mod limits;
mod llama;
mod mistral;
mod mixture;
mod olmo2;
mod phi3;
mod qwen;
mod smollm3;
mod stablelm;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::ModelSpec;

type Mapping = fn(&ModelConfig) -> Result<ModelSpec, ModelError>;

/// Every `model_type` that is supported, and the file that maps it.
const FAMILIES: &[(&str, Mapping)] = &[
    ("gemma", gemma::gemma1),
    ("gemma2", gemma::gemma2),
    ("gemma3", gemma::gemma3),
    ("gemma3_text", gemma::gemma3),
    ("gpt2", gpt2::map),
    ("gpt_neox", gpt_neox::map),
    ("granite", granite::map),
    ("llama", llama::map),
    ("mistral", mistral::map),
    ("mixtral", mixture::mixtral),
    ("olmo2", olmo2::map),
    ("phi3", phi3::map),
    ("qwen2", qwen::qwen2),
    ("qwen2_moe", mixture::qwen2_moe),
    ("qwen3", qwen::qwen3),
    ("qwen3_moe", mixture::qwen3_moe),
    ("smollm3", smollm3::map),
    ("stablelm", stablelm::map),
];

/// The supported `model_type`s, in alphabetical order.
pub fn supported() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// Maps a config to the decoder it describes.
///
/// # Errors
/// [`ModelError::UnknownFamily`] with the supported ones, or a sentence about the config.
pub fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let family = config.family()?;
    let mapping = FAMILIES
        .iter()
        .find(|(name, _)| *name == family)
        .map(|(_, mapping)| mapping)
        .ok_or_else(|| ModelError::UnknownFamily { found: family.clone(), supported: supported().collect::<Vec<_>>().join(", ") })?;
    limits::check_config(config)?;
    let spec = mapping(config)?;
    limits::check_spec(&spec)?;
    Ok(spec)
}
