//! Phi-3 and Phi-4: one module for queries, keys and values, one for gate and up.

use super::blocks::{Frame, Sizes, activation, embedding, pre_norm_layer};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{AttentionSpec, ChannelSpec, DenseSpec, HeadsSpec, ModelSpec, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    let sizes = Sizes::read(config)?;
    let Sizes { width, heads, kv_heads, head_width, .. } = sizes;
    let hidden = config.size("intermediate_size")?;
    let function = activation(config.word_or("hidden_act", "silu")?)?;
    let window = config.optional_count("sliding_window")?;
    let rope = config.rope(None, 10_000.0, head_width)?;
    let epsilon = config.number_or("rms_norm_eps", 1e-5)? as f32;
    let mut builder = SpecBuilder::default();
    let (embedding, head) = embedding(&mut builder, config, &sizes, false)?;
    let mut layers = Vec::with_capacity(sizes.layers);
    for index in 0..sizes.layers {
        let layer = format!("model.layers.{index}");
        let mixer_norm = builder.rms_norm(format!("{layer}.input_layernorm"), width, epsilon);
        let (query_width, key_width) = (heads * head_width, kv_heads * head_width);
        let all = builder.linear(format!("{layer}.self_attn.qkv_proj"), query_width + 2 * key_width, width, false);
        let output = builder.linear(format!("{layer}.self_attn.o_proj"), width, query_width, false);
        let heads_at = |column_start| HeadsSpec { input: 0, column_start, head_stride: head_width };
        let attention = AttentionSpec {
            heads,
            kv_heads,
            head_width,
            inputs: vec![all],
            query: heads_at(0),
            key: heads_at(query_width),
            value: heads_at(query_width + key_width),
            query_norm: None,
            key_norm: None,
            rope: Some(0),
            window,
            soft_cap: None,
            scale: sizes.score_scale(),
            output,
        };
        let channel_norm = builder.rms_norm(format!("{layer}.post_attention_layernorm"), width, epsilon);
        let gate_up = builder.linear(format!("{layer}.mlp.gate_up_proj"), 2 * hidden, width, false);
        let down = builder.linear(format!("{layer}.mlp.down_proj"), width, hidden, false);
        let channel = DenseSpec { inputs: vec![gate_up], hidden, is_gated: true, activation: function, output: down };
        layers.push(pre_norm_layer(mixer_norm, attention, channel_norm, ChannelSpec::Dense(channel)));
    }
    let final_norm = builder.rms_norm("model.norm", width, epsilon);
    Frame { embedding, head, final_norm, ropes: vec![rope] }.finish(config, &sizes, layers, builder)
}
