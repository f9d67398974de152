//! StableLM: layer norms, partial rotation, optionally parallel with one shared norm, and a
//! norm of its own for each query and key head.

use apertis_kernels::NormKind;

use super::blocks::{Frame, SeparateAttention, Sizes, activation, embedding, gated};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, LayerSpec, MixerSpec, ModelSpec, NormSpec, ParameterPart, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let sizes = Sizes::read(config)?;
    let width = sizes.width;
    let hidden = config.size("intermediate_size")?;
    let epsilon = config.number_or("layer_norm_eps", 1e-5)? as f32;
    let function = activation(config.word_or("hidden_act", "silu")?)?;
    let input_bias = config.flag_or("use_qkv_bias", false)?;
    let is_parallel = config.flag_or("use_parallel_residual", false)?;
    let has_head_norms = config.flag_or("qk_layernorm", false)?;
    let mut rope = config.rope(None, 10_000.0, sizes.head_width)?;
    let names_part = ["rope_parameters", "rope_scaling"]
        .iter()
        .any(|key| config.value(key).is_some_and(|settings| settings.get("partial_rotary_factor").is_some()));
    if config.value("partial_rotary_factor").is_none() && !names_part {
        rope.rotary_width = sizes.head_width / 4; // The class default of partial_rotary_factor.
    }
    let mut builder = SpecBuilder::default();
    let (embedding, head) = embedding(&mut builder, config, &sizes, false)?;
    let mut layers = Vec::with_capacity(sizes.layers);
    for index in 0..sizes.layers {
        let layer = format!("model.layers.{index}");
        let mixer_norm = builder.layer_norm(format!("{layer}.input_layernorm"), width, epsilon, true);
        let channel_norm = (!is_parallel).then(|| builder.layer_norm(format!("{layer}.post_attention_layernorm"), width, epsilon, true));
        let mut attention = SeparateAttention {
            sizes: &sizes,
            layer: &layer,
            input_bias,
            output_bias: false,
            rope: Some(0),
            window: None,
            scale: sizes.score_scale(),
        }
        .build(&mut builder);
        if has_head_norms {
            let mut norm = |which: &str, heads| {
                head_norm(&mut builder, &format!("{layer}.self_attn.{which}_layernorm"), heads, sizes.head_width, epsilon)
            };
            attention.query_norm = Some(norm("q", sizes.heads));
            attention.key_norm = Some(norm("k", sizes.kv_heads));
        }
        let channel = gated(&mut builder, &format!("{layer}.mlp"), width, hidden, function, false);
        layers.push(LayerSpec {
            mixer_norm: Some(mixer_norm),
            mixer: MixerSpec::Attention(attention),
            mixer_post_norm: None,
            channel_norm,
            channel: ChannelSpec::Dense(channel),
            channel_post_norm: None,
            is_parallel,
            residual_scale: 1.0,
        });
    }
    let final_norm = builder.layer_norm("model.norm", width, epsilon, true);
    Frame { embedding, head, final_norm, ropes: vec![rope] }.finish(config, &sizes, layers, builder)
}

/// One weight vector a head, each a tensor of its own in the checkpoint.
fn head_norm(builder: &mut SpecBuilder, name: &str, heads: usize, head_width: usize, epsilon: f32) -> NormSpec {
    let parts = (0..heads)
        .map(|head| ParameterPart { name: format!("{name}.norms.{head}.weight"), rows: 1, transposed: false, stacked_index: None })
        .collect();
    let weight = builder.push(heads, head_width, parts, true);
    NormSpec { kind: NormKind::Layer, epsilon, weight_offset: 0.0, weight: Some(weight), bias: None, group_columns: head_width }
}
