//! Llama 2, 3 and 3.x, and the many models that took its shape.

use super::blocks::{Frame, SeparateAttention, Sizes, activation, embedding, gated, pre_norm_layer};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::spec::{ChannelSpec, ModelSpec, SpecBuilder};

pub(super) fn map(config: &ModelConfig) -> Result<ModelSpec, ModelError> {
    build(config, config.flag_or("attention_bias", false)?, config.flag_or("attention_bias", false)?, |_| Ok(None))
}

/// The Llama block, with a window for some layers.
pub(super) fn build(
    config: &ModelConfig,
    input_bias: bool,
    output_bias: bool,
    window_of: impl Fn(usize) -> Result<Option<usize>, ModelError>,
) -> Result<ModelSpec, ModelError> {
    let sizes = Sizes::read(config)?;
    let hidden = config.size("intermediate_size")?;
    let function = activation(config.word_or("hidden_act", "silu")?)?;
    let channel_bias = config.flag_or("mlp_bias", false)?;
    let rope = config.rope(None, 10_000.0, sizes.head_width)?;
    let mut builder = SpecBuilder::default();
    let (embedding, head) = embedding(&mut builder, config, &sizes, false)?;
    let mut layers = Vec::with_capacity(sizes.layers);
    for index in 0..sizes.layers {
        let layer = format!("model.layers.{index}");
        let mixer_norm = builder.rms_norm(format!("{layer}.input_layernorm"), sizes.width, sizes.epsilon);
        let attention = SeparateAttention {
            sizes: &sizes,
            layer: &layer,
            input_bias,
            output_bias,
            rope: Some(0),
            window: window_of(index)?,
            scale: sizes.score_scale(),
        }
        .build(&mut builder);
        let channel_norm = builder.rms_norm(format!("{layer}.post_attention_layernorm"), sizes.width, sizes.epsilon);
        let channel = gated(&mut builder, &format!("{layer}.mlp"), sizes.width, hidden, function, channel_bias);
        layers.push(pre_norm_layer(mixer_norm, attention, channel_norm, ChannelSpec::Dense(channel)));
    }
    let final_norm = builder.rms_norm("model.norm", sizes.width, sizes.epsilon);
    Frame { embedding, head, final_norm, ropes: vec![rope] }.finish(config, &sizes, layers, builder)
}
