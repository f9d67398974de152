//! OLMo 2: norms after mixer and channel, and over all query and key columns at once.

use super::llama;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{MixerSpec, ModelSpec, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let bias = config.flag_or("attention_bias", false)?;
    let epsilon = config.number_or("rms_norm_eps", 1e-5)? as f32;
    let mut spec = llama::build(config, bias, bias, |_| Ok(None))?;
    let mut builder = SpecBuilder { parameters: std::mem::take(&mut spec.parameters), modules: std::mem::take(&mut spec.modules) };
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        // The block built norms before mixer and channel; here they stand after both.
        layer.mixer_post_norm = layer.mixer_norm.take();
        layer.channel_post_norm = layer.channel_norm.take();
        let rename = [(&layer.mixer_post_norm, "post_attention_layernorm"), (&layer.channel_post_norm, "post_feedforward_layernorm")];
        for (norm, name) in rename {
            if let Some(weight) = norm.as_ref().and_then(|norm| norm.weight) {
                builder.parameters[weight.0].parts[0].name = format!("model.layers.{index}.{name}.weight");
            }
        }
        if let MixerSpec::Attention(attention) = &mut layer.mixer {
            let name = format!("model.layers.{index}.self_attn");
            let (query_width, key_width) = (attention.heads * attention.head_width, attention.kv_heads * attention.head_width);
            attention.query_norm = Some(builder.rms_norm(format!("{name}.q_norm"), query_width, epsilon));
            attention.key_norm = Some(builder.rms_norm(format!("{name}.k_norm"), key_width, epsilon));
        }
    }
    spec.parameters = builder.parameters;
    spec.modules = builder.modules;
    Ok(spec)
}
