//! Granite: the Llama block with multipliers on embeddings, scores, residuals and logits.

use super::llama;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{MixerSpec, ModelSpec};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let bias = config.flag_or("attention_bias", false)?;
    let mut spec = llama::build(config, bias, bias, |_| Ok(None))?;
    spec.embedding_scale = config.number_or("embedding_multiplier", 1.0)? as f32;
    let divisor = config.number_or("logits_scaling", 1.0)?;
    if divisor == 0.0 {
        return Err(ModelError::config("logits_scaling: found 0, expected another number"));
    }
    spec.logit_scale = (1.0 / divisor) as f32;
    let score_scale = config.number_or("attention_multiplier", 1.0)? as f32;
    let residual_scale = config.number_or("residual_multiplier", 1.0)? as f32;
    for layer in &mut spec.layers {
        layer.residual_scale = residual_scale;
        if let MixerSpec::Attention(attention) = &mut layer.mixer {
            attention.scale = score_scale;
        }
    }
    Ok(spec)
}
