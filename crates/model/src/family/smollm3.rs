//! SmolLM3: the Llama block, some layers without rotation, some with a window.

use super::blocks::windows;
use super::llama;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{MixerSpec, ModelSpec};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let layers = config.count("num_hidden_layers")?;
    let interval = config.count_or("no_rope_layer_interval", 4)?.max(1);
    let rotates: Vec<bool> = match config.counts("no_rope_layers")? {
        Some(list) if list.len() == layers => list.into_iter().map(|flag| flag != 0).collect(),
        Some(list) => return Err(ModelError::config(format!("no_rope_layers: found {} entries, expected {layers}", list.len()))),
        None => (0..layers).map(|layer| (layer + 1) % interval != 0).collect(),
    };
    let window = config.optional_count("sliding_window")?.filter(|_| config.flag_or("use_sliding_window", false).unwrap_or(false));
    let windows = windows(config, layers, window, |layer| !rotates[layer])?;
    let bias = config.flag_or("attention_bias", false)?;
    let mut spec = llama::build(config, bias, bias, |layer| Ok(windows[layer]))?;
    if config.value("rope_theta").is_none() && !has_theta(config) {
        spec.ropes[0].theta = 2_000_000.0;
    }
    if config.value("tie_word_embeddings").is_none() {
        return Err(ModelError::config("tie_word_embeddings is missing"));
    }
    for (layer, rotates) in spec.layers.iter_mut().zip(rotates) {
        if let (MixerSpec::Attention(attention), false) = (&mut layer.mixer, rotates) {
            attention.rope = None;
        }
    }
    Ok(spec)
}

fn has_theta(config: &ModelConfig) -> bool {
    ["rope_parameters", "rope_scaling"].iter().any(|key| config.value(key).is_some_and(|settings| settings.get("rope_theta").is_some()))
}
