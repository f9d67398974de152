//! GPT-NeoX and Pythia: interleaved projections, partial rotation, parallel residual.

use super::blocks::{Frame, activation, tied_embeddings};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{AttentionSpec, ChannelSpec, DenseSpec, HeadsSpec, LayerSpec, MixerSpec, ModelSpec, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let mut sizes = super::blocks::Sizes::read(config)?;
    sizes.kv_heads = sizes.heads;
    let super::blocks::Sizes { width, heads, head_width, .. } = sizes;
    let hidden = config.size("intermediate_size")?;
    let epsilon = config.number_or("layer_norm_eps", 1e-5)? as f32;
    let function = activation(config.word_or("hidden_act", "gelu")?)?;
    let attention_bias = config.flag_or("attention_bias", true)?;
    let is_parallel = config.flag_or("use_parallel_residual", true)?;
    let mut rope = config.rope(None, 10_000.0, head_width)?;
    if config.value("rotary_pct").is_none() && config.value("rope_parameters").is_none() && config.value("partial_rotary_factor").is_none()
    {
        rope.rotary_width = head_width / 4; // The class default of rotary_pct.
    }
    let mut builder = SpecBuilder::default();
    let embedding = builder.matrix("gpt_neox.embed_in.weight", sizes.vocabulary, width);
    let mut layers = Vec::with_capacity(sizes.layers);
    for index in 0..sizes.layers {
        let layer = format!("gpt_neox.layers.{index}");
        let mixer_norm = builder.layer_norm(format!("{layer}.input_layernorm"), width, epsilon, true);
        let channel_norm = builder.layer_norm(format!("{layer}.post_attention_layernorm"), width, epsilon, true);
        let all = builder.linear(format!("{layer}.attention.query_key_value"), 3 * width, width, attention_bias);
        let output = builder.linear(format!("{layer}.attention.dense"), width, width, attention_bias);
        // Each head's query, key and value lie side by side.
        let heads_at = |part: usize| HeadsSpec { input: 0, column_start: part * head_width, head_stride: 3 * head_width };
        let attention = AttentionSpec {
            heads,
            kv_heads: heads,
            head_width,
            inputs: vec![all],
            query: heads_at(0),
            key: heads_at(1),
            value: heads_at(2),
            query_norm: None,
            key_norm: None,
            rope: Some(0),
            window: None,
            soft_cap: None,
            scale: sizes.score_scale(),
            output,
        };
        let up = builder.linear(format!("{layer}.mlp.dense_h_to_4h"), hidden, width, true);
        let down = builder.linear(format!("{layer}.mlp.dense_4h_to_h"), width, hidden, true);
        layers.push(LayerSpec {
            mixer_norm: Some(mixer_norm),
            mixer: MixerSpec::Attention(attention),
            mixer_post_norm: None,
            channel_norm: Some(channel_norm),
            channel: ChannelSpec::Dense(DenseSpec { inputs: vec![up], hidden, is_gated: false, activation: function, output: down }),
            channel_post_norm: None,
            is_parallel,
            residual_scale: 1.0,
        });
    }
    let final_norm = builder.layer_norm("gpt_neox.final_layer_norm", width, epsilon, true);
    let head = if tied_embeddings(config, false)? { embedding } else { builder.matrix("embed_out.weight", sizes.vocabulary, width) };
    Frame { embedding, head, final_norm, ropes: vec![rope] }.finish(config, &sizes, layers, builder)
}
