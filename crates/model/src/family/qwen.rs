//! Qwen2, Qwen2.5 (biased projections) and Qwen3 (normalised queries and keys).

use super::blocks::windows;
use super::llama;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{MixerSpec, ModelSpec, NormSpec, SpecBuilder};

pub(super) fn qwen2(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let windows = qwen_windows(config)?;
    llama::build(config, true, false, |layer| Ok(windows[layer]))
}

pub(super) fn qwen3(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let windows = qwen_windows(config)?;
    let bias = config.flag_or("attention_bias", false)?;
    let mut spec = llama::build(config, bias, bias, |layer| Ok(windows[layer]))?;
    add_head_norms(config, &mut spec)?;
    Ok(spec)
}

/// Norms over each head of queries and keys, one weight for all heads.
pub(super) fn add_head_norms(config: &ModelConfig, spec: &mut ModelSpec) -> Result<(), ModelError> {
    let epsilon = config.number_or("rms_norm_eps", 1e-6)? as f32;
    let mut builder = SpecBuilder { parameters: std::mem::take(&mut spec.parameters), modules: std::mem::take(&mut spec.modules) };
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        if let MixerSpec::Attention(attention) = &mut layer.mixer {
            let norm = |builder: &mut SpecBuilder, which: &str| -> NormSpec {
                builder.rms_norm(format!("model.layers.{index}.self_attn.{which}_norm"), attention.head_width, epsilon)
            };
            attention.query_norm = Some(norm(&mut builder, "q"));
            attention.key_norm = Some(norm(&mut builder, "k"));
        }
    }
    spec.parameters = builder.parameters;
    spec.modules = builder.modules;
    Ok(())
}

fn qwen_windows(config: &ModelConfig) -> Result<Vec<Option<usize>>, ModelError> {
    let layers = config.count("num_hidden_layers")?;
    let first_windowed = config.count_or("max_window_layers", 28)?;
    let window = if config.flag_or("use_sliding_window", false)? { Some(config.count_or("sliding_window", 4096)?) } else { None };
    windows(config, layers, window, |layer| layer >= first_windowed)
}
